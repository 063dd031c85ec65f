//! W7: start children under a supervisor.
//!
//! - Measured: 200,000 children (a u64 of state) under one dynamic supervisor, through
//!   `start_child`, whose answer comes when the child's `init` is done; by one caller, an actor,
//!   one after another, and by 8 callers at once. Figure `us_per_child`, with the parameter
//!   `callers`.
//! - Warm-up 1, repetitions 5.
//! - Checked: children started, and the number that the supervisor counts.
//! - Cannot show: a slow `init`. Children of other kinds (`--child`) are also sent their work, in
//!   the measured time.

use std::time::Instant;

use crate::failure::{Failure, expect_count};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::shutdown::callers::start_children;
use crate::shutdown::children::{Backlog, Busy, ChildKind, Idle, JobChild, Trapping, Work};
use crate::shutdown::gate::{Gate, Keeper};
use crate::shutdown::layout::Layout;
use crate::shutdown::tree::Tree;
use crate::tally::{Event, Tally};
use crate::under_test;

const CHILDREN: u64 = 200_000;

/// Runs W7.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan, child: ChildKind) -> Result<Vec<Figure>, Failure> {
    let children = plan.scaled(CHILDREN);
    let mut figures = Vec::new();
    for callers in [1, 8] {
        let params = plan.params().with("callers", callers).with("child", child.to_string());
        let series = plan.repeat(|| once(plan.workers, children, callers, child))?;
        figures.push(series.figure("W7", &params, ("us_per_child", "us"), |us| Some(*us)));
    }
    Ok(figures)
}

fn once(workers: usize, children: u64, callers: u64, child: ChildKind) -> Result<f64, Failure> {
    match child {
        ChildKind::Idle => once_with::<Idle>(workers, children, callers, child),
        ChildKind::Trapping => once_with::<Trapping>(workers, children, callers, child),
        ChildKind::Busy(_) => once_with::<Busy>(workers, children, callers, child),
        ChildKind::Backlog(_) => once_with::<Backlog>(workers, children, callers, child),
    }
}

fn once_with<C: JobChild>(
    workers: usize,
    children: u64,
    callers: u64,
    kind: ChildKind,
) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let tally = Tally::start();
    let work = Work { gate: rt.spawn::<Keeper>(()), kind };
    let tree = rt.block_on(Tree::<C>::start(&rt, Layout::Flat, children))?;

    let start = Instant::now();
    rt.block_on(start_children(&rt, &tree, &work, children, callers))?;
    let figure = super::ns_each(start, children) / 1e3;

    expect_count("children started", children, tally.of(Event::Started))?;
    expect_count("children that the supervisor counts", children, tree.count(children))?;
    // Those who wait at the gate would wait for ever.
    work.gate.cast(Gate::Open).map_err(Failure::library("opening the gate"))?;
    drop((tree, work));
    under_test::end(rt)?;
    expect_count("children ended with their runtime", children, tally.of(Event::Ended))?;
    Ok(figure)
}

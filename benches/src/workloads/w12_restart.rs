//! W12: restart supervised children.
//!
//! - Measured: 10,000 permanent children under dynamic supervisors without a restart limit. Each is
//!   told to crash; each of its next nine incarnations tells itself so when it starts; from the
//!   first crash until the eleventh incarnation of every child is up. Figure `restarts_per_s`, with
//!   the parameters `layout` (one supervisor; 16 under a partition supervisor; or a dynamic supervisor in
//!   16 partitions) and `reports`: whether a crash report is made and kept of each, as by default, or
//!   none is. None is printed.
//! - Warm-up 1, repetitions 5.
//! - Checked: the incarnations that started and those whose state was dropped, and the children that
//!   the supervisors count when all are up.
//! - Cannot show: a slow `init`; arguments that are costly to clone. A crash is a handler that fails,
//!   no panic.

use std::num::NonZeroUsize;
use std::time::Instant;

use whitebeam::{
    Actor, ActorRef, Child, Context, DynamicRef, DynamicSupervisor, ExitReason, Handle, Intensity,
    PartitionSupervisor, Partitions, Runtime, StartError,
};

use crate::failure::{Failure, expect_count};
use crate::finish_line::{self, Line};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::shutdown::layout::Layout;
use crate::tally::{self, Event, Tally};
use crate::under_test;

const CHILDREN: u64 = 10_000;

/// Crashes of each child.
const CRASHES: u32 = 10;

/// The trees.
const LAYOUTS: [Layout; 3] = [
    Layout::Flat,
    Layout::Partitioned(NonZeroUsize::new(16).unwrap()),
    Layout::TwoTier(NonZeroUsize::new(16)),
];

/// Runs W12.
///
/// # Errors
///
/// When a run fails or one of its counts is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let children = plan.scaled(CHILDREN);
    let mut figures = Vec::new();
    for layout in LAYOUTS {
        for (reports, are_kept) in [("none", false), ("kept", true)] {
            let params = plan.params().with("layout", layout.to_string()).with("reports", reports);
            let series = plan.repeat(|| once(plan.workers, layout, are_kept, children))?;
            let figure = ("restarts_per_s", "restarts/s");
            figures.push(series.figure("W12", &params, figure, |restarts| Some(*restarts)));
        }
    }
    Ok(figures)
}

fn once(workers: usize, layout: Layout, are_kept: bool, children: u64) -> Result<f64, Failure> {
    let mut builder = Runtime::builder().workers(workers).quiet_crashes();
    if !are_kept {
        builder = builder.crash_history(0);
    }
    let rt = builder.build().map_err(Failure::library("starting a runtime"))?;
    let tally = Tally::start();
    let line = finish_line::start(&rt);
    let supervisors =
        rt.block_on(start(&rt, layout, children)).map_err(Failure::library("starting"))?;
    let mut all = Vec::new();
    for (supervisor, number) in supervisors.iter().cycle().zip(0..children) {
        all.push(supervisor.start_child((number, line.clone())));
    }
    let mut first = Vec::with_capacity(all.len());
    for child in all {
        first.push(rt.block_on(child).map_err(Failure::library("starting a child"))?);
    }

    let start = Instant::now();
    for child in &first {
        child.cast(Crash).map_err(Failure::library("telling a child to crash"))?;
    }
    let sum = children * (children - 1) / 2;
    rt.block_on(finish_line::wait(&line, children, "children that are up again", sum))?;
    let restarts = children * u64::from(CRASHES);
    let figure = restarts as f64 / start.elapsed().as_secs_f64();

    expect_count("incarnations started", children + restarts, tally.of(Event::Started))?;
    expect_count("incarnations ended", restarts, tally.of(Event::Ended))?;
    let counted = supervisors.iter().map(|supervisor| supervisor.count() as u64).sum();
    expect_count("children that the supervisors count", children, counted)?;
    drop(first);
    under_test::end(rt)?;
    expect_count("incarnations ended", children + restarts, tally.of(Event::Ended))?;
    Ok(figure)
}

/// Starts the supervisors, and gives those that are to have so many children.
async fn start(
    rt: &Handle,
    layout: Layout,
    children: u64,
) -> Result<Vec<DynamicRef<Phoenix>>, StartError> {
    let spec = || DynamicSupervisor::<Phoenix>::new().with_intensity(Intensity::Unlimited);
    match layout {
        Layout::Partitioned(partitions) => {
            let each = move |_| Child::nested("partition", spec());
            let root = PartitionSupervisor::new(Partitions::exactly(partitions.get()), each);
            Ok(root.start(rt).await?.iter().cloned().collect())
        }
        Layout::TwoTier(count) => {
            let most = usize::try_from(children).unwrap_or(usize::MAX);
            let partitions = count
                .map_or(Partitions::for_children(most), |count| Partitions::exactly(count.get()));
            let root = spec().partitions(partitions).start(rt).await?;
            Ok(root.iter().cloned().collect())
        }
        Layout::Flat => Ok(vec![spec().start(rt).await?]),
    }
}

/// A child that crashes so many times.
struct Phoenix;

/// Crash.
#[derive(Debug)]
struct Crash;

impl Actor for Phoenix {
    type Args = (u64, ActorRef<Line>);
    type Msg = Crash;

    async fn init((number, line): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        tally::count(Event::Started);
        match cx.start_info().attempt {
            1 => {}
            attempt if attempt <= CRASHES => cx.me().cast(Crash)?,
            _ => line.cast(Line::Arrive(number))?,
        }
        Ok(Phoenix)
    }

    async fn handle(&mut self, Crash: Crash, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(ExitReason::custom(Crash))
    }
}

impl Drop for Phoenix {
    fn drop(&mut self) {
        tally::count(Event::Ended);
    }
}

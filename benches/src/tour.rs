//! The tour: what `cargo run --release -p whitebeam-bench` shows. The shutdown job for several
//! layouts, in a table.
//!
//! Under a minute on two cores. What is measured is told in `shutdown`.

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;

use crate::environment;
use crate::failure::Failure;
use crate::repetition::{Plan, Series};
use crate::report::{Table, grouped};
use crate::sampler::ENOUGH_SAMPLES;
use crate::shutdown::children::ChildKind;
use crate::shutdown::layout::Layout;
use crate::shutdown::{self, Job, Outcome};

/// Children of each tree.
const CHILDREN: u64 = 200_000;

/// How each row is taken. Three repetitions, not five: the tour shall be short.
const PLAN: Plan = Plan { workers: 2, reps: 3, scale: 1.0 };

/// The rows.
const ROWS: [(Layout, ChildKind); 6] = [
    (Layout::Flat, ChildKind::Idle),
    (Layout::Partitioned(partitions(8)), ChildKind::Idle),
    (Layout::Partitioned(partitions(16)), ChildKind::Idle),
    (Layout::Partitioned(partitions(50)), ChildKind::Idle),
    (Layout::TwoTier(None), ChildKind::Idle),
    (Layout::TwoTier(None), ChildKind::Trapping),
];

const fn partitions(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("a row of the table has partitions")
}

/// Says what it does, runs the job for each row, prints the table.
///
/// # Errors
///
/// When a run fails or one of its counts is off.
pub(crate) fn run() -> Result<(), Failure> {
    print(&introduction())?;
    let mut table = Table::new([
        "layout",
        "children",
        "processes",
        "memory KiB",
        "start s",
        "shutdown ms",
        "max queue",
        "sampled",
        "p50",
        "p99",
        "",
    ]);
    let mut transfers: Option<(f64, f64)> = None;
    for (layout, child) in ROWS {
        progress(&format!("running: {layout}, {child} children"));
        let job = Job { children: CHILDREN, layout, child, workers: PLAN.workers, sampled: true };
        let series = PLAN.repeat(|| shutdown::once(&job))?;
        table.row(row(child, &series));
        transfers = match (transfers, series.transfer_range()) {
            (Some((least, most)), Some((min, max))) => Some((least.min(min), most.max(max))),
            (known, new) => known.or(new),
        };
    }
    progress("");
    print(&format!("{}\n{}", table.render(), legend(transfers)))
}

fn introduction() -> String {
    let workers = PLAN.workers;
    let cores = environment::cores();
    let rustc = environment::RUSTC;
    let commit = environment::commit();
    let allocator = environment::ALLOCATOR;
    let reps = PLAN.reps;
    let children = grouped(CHILDREN as f64, 0);
    format!(
        "\
Whitebeam: stopping very many supervised processes

Each row starts {children} processes under supervisors, one after another from one caller, and then
sends the root an exit signal with reason shutdown. The clock stops when the root's DOWN arrives; by
then every process has really ended, and each run counts that it has. Meanwhile a sampler reads the
lengths of the supervisors' mailboxes.

{workers} workers, {cores} cores, rustc {rustc}, {allocator}, commit {commit}; medians of {reps} runs after a warm-up.

"
    )
}

fn row(child: ChildKind, series: &Series<Outcome>) -> [String; 11] {
    let Some(first) = series.values.first() else { return Default::default() };
    let cell = |decimals: usize, pick: fn(&Outcome) -> Option<f64>| {
        series.summary(pick).map_or("n/a".into(), |s| grouped(s.median, decimals))
    };
    let noisy = series.summary(Outcome::shutdown_ms).is_some_and(|shutdown| shutdown.is_noisy());
    [
        first.layout.to_string(),
        child.to_string(),
        grouped(first.processes as f64, 0),
        cell(1, Outcome::supervisors_kib),
        cell(3, |run| Some(run.start.as_secs_f64())),
        cell(1, Outcome::shutdown_ms),
        cell(0, Outcome::max_queue_len),
        cell(0, |run| Some(run.sampled?.max as f64)),
        cell(0, |run| Some(run.sampled?.p50? as f64)),
        cell(0, |run| Some(run.sampled?.p99? as f64)),
        if noisy { "noisy" } else { "" }.to_owned(),
    ]
}

fn legend(transfers: Option<(f64, f64)>) -> String {
    let transfers = transfers.map_or("n/a (one core)".to_owned(), |(least, most)| {
        if least.round() == most.round() {
            format!("{least:.0} ns")
        } else {
            format!("{least:.0} to {most:.0} ns")
        }
    });
    format!(
        "\
layout       flat: one DynamicSupervisor; partitioned:P: a PartitionSupervisor over P of them;
             two-tier:P: a DynamicSupervisor of P of them, as many as suit the children
children     idle: they end where the signal meets them; trapping: they trap exits, and their
             own terminate runs first
memory KiB   of all supervisors together, before they have children
max queue    longest mailbox of a supervisor, by its own high-water mark, last read while it lived
sampled      the longest mailbox that the sampler met; p50, p99: of all lengths it read
             (n/a below {ENOUGH_SAMPLES} samples)
noisy        the shutdown times spread by more than 25 %
A cache line took {transfers} from core to core; what uses both cores changes with it.

Next: `list` names the workloads, `run shutdown --help` the options of this one.
"
    )
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::system("printing"))
}

/// Shows what runs now, where somebody is looking.
fn progress(text: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r{text:<78}\r");
    }
}

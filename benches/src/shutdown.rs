//! The shutdown job: start very many supervised children, watch the supervisors' mailboxes, stop
//! the tree.
//!
//! # What is measured
//!
//! 1. The supervisors start; their memory is read before there are children.
//! 2. One caller, an actor, starts the children one after another through `start_child`
//!    (`start_s`), and sends each its work, where its kind has some.
//! 3. The clock starts, the root gets an exit signal with reason `Shutdown`, the clock stops when
//!    its DOWN arrives (`shutdown_ms`): by then every child and every partition has ended.
//! 4. A sampler reads the supervisors' mailbox lengths all the while: `max_queue_len_sampled`,
//!    `queue_len_p50`, `queue_len_p99` over all supervisors and samples, and `queue_samples`.
//!    `max_queue_len` is the highest of the supervisors' own high-water marks. The sampler reads
//!    them too, for they end with their process: a mark set in a supervisor's last 100 us may be
//!    missed.
//!
//! # What is checked
//!
//! The children that started, the number that the supervisors count, the children whose state was
//! dropped when the DOWN came (each once: the sum of their numbers), the terminates that ran, the
//! handlers that went on, the unread messages that were dropped, the DOWN's reason, and that no
//! partition outlived the root.
//!
//! # What it cannot show
//!
//! Children with state worth cleaning up, or that are spread over memory by long use. The sampler
//! takes some 5 % of a core from the run; W8 measures the time without it.

pub(crate) mod callers;
pub(crate) mod children;
pub(crate) mod gate;
pub(crate) mod layout;
pub(crate) mod tree;

use std::time::{Duration, Instant};

use whitebeam::{ExitReason, Handle, Pid};

use self::children::{Backlog, Busy, ChildKind, Idle, JobChild, Trapping, Work};
use self::gate::{Gate, Keeper};
use self::layout::Layout;
use self::tree::Tree;
use crate::cli::ShutdownArgs;
use crate::environment;
use crate::failure::{Failure, expect_count};
use crate::repetition::{Plan, Series};
use crate::report::{Figure, Params};
use crate::sampler::{Lengths, Probe, Reading, Sampler};
use crate::tally::{Event, Tally};
use crate::under_test;

/// One shutdown to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Number of children.
    pub(crate) children: u64,
    /// Shape of the tree.
    pub(crate) layout: Layout,
    /// What the children do.
    pub(crate) child: ChildKind,
    /// Worker threads.
    pub(crate) workers: usize,
    /// Whether the sampler runs beside it.
    pub(crate) sampled: bool,
}

/// What one run of a job found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// The layout, with its number of partitions.
    pub(crate) layout: Layout,
    /// Children and supervisors.
    pub(crate) processes: u64,
    /// Memory of the supervisors before there were children.
    pub(crate) supervisors_bytes: Option<u64>,
    /// From the first `start_child` to the last answer.
    pub(crate) start: Duration,
    /// From the exit signal to the root's DOWN.
    pub(crate) shutdown: Duration,
    /// What the sampler saw, where it ran.
    pub(crate) sampled: Option<Lengths>,
    /// The least time for what the handlers still had to burn.
    pub(crate) pure_work: Option<Duration>,
}

impl Job {
    /// The parameters of the job's figures; `plan` and an outcome complete them.
    pub(crate) fn params(&self, plan: &Plan, series: &Series<Outcome>) -> Params {
        let layout = series.values.first().map_or(self.layout, |outcome| outcome.layout);
        plan.params()
            .with("children", self.children)
            .with("layout", layout.to_string())
            .with("child", self.child.to_string())
    }
}

impl Outcome {
    /// Figure `shutdown_ms`.
    pub(crate) fn shutdown_ms(&self) -> Option<f64> {
        Some(self.shutdown.as_secs_f64() * 1e3)
    }

    /// Figure `supervisors_kib`.
    pub(crate) fn supervisors_kib(&self) -> Option<f64> {
        Some(self.supervisors_bytes? as f64 / 1024.0)
    }

    /// Figure `max_queue_len`: the highest high-water mark of a supervisor's mailbox.
    pub(crate) fn max_queue_len(&self) -> Option<f64> {
        Some(self.sampled?.high_water as f64)
    }

    /// Figure `ratio_to_pure_work`.
    pub(crate) fn ratio_to_pure_work(&self) -> Option<f64> {
        Some(self.shutdown.as_secs_f64() / self.pure_work?.as_secs_f64())
    }
}

/// Runs the job that the command line asks for.
///
/// # Errors
///
/// When a run fails or one of its counts is off.
pub(crate) fn run(args: &ShutdownArgs) -> Result<Vec<Figure>, Failure> {
    let ShutdownArgs { children, layout, child, workers, reps, json: _ } = *args;
    let plan = Plan { workers, reps, scale: 1.0 };
    let job = Job { children, layout, child, workers, sampled: true };
    let series = plan.repeat(|| once(&job))?;

    let params = job.params(&plan, &series);
    let figure = |name, unit, pick: fn(&Outcome) -> Option<f64>| {
        series.figure("shutdown", &params, (name, unit), pick)
    };
    let mut figures = vec![
        figure("start_s", "s", |run| Some(run.start.as_secs_f64())),
        figure("shutdown_ms", "ms", Outcome::shutdown_ms),
        figure("supervisors_kib", "KiB", Outcome::supervisors_kib),
        figure("max_queue_len", "messages", Outcome::max_queue_len),
        figure("max_queue_len_sampled", "messages", |run| Some(run.sampled?.max as f64)),
        figure("queue_len_p50", "messages", |run| Some(run.sampled?.p50? as f64)),
        figure("queue_len_p99", "messages", |run| Some(run.sampled?.p99? as f64)),
        figure("queue_samples", "samples", |run| Some(run.sampled?.samples as f64)),
    ];
    if let ChildKind::Busy(_) = child {
        figures.push(figure("ratio_to_pure_work", "x", Outcome::ratio_to_pure_work));
    }
    Ok(figures)
}

/// Runs a job once.
///
/// # Errors
///
/// When the run fails or one of its counts is off.
pub(crate) fn once(job: &Job) -> Result<Outcome, Failure> {
    match job.child {
        ChildKind::Idle => once_with::<Idle>(job),
        ChildKind::Trapping => once_with::<Trapping>(job),
        ChildKind::Busy(_) => once_with::<Busy>(job),
        ChildKind::Backlog(_) => once_with::<Backlog>(job),
    }
}

fn once_with<C: JobChild>(job: &Job) -> Result<Outcome, Failure> {
    let rt = under_test::runtime(job.workers)?;
    let tally = Tally::start();
    let work = Work { gate: rt.spawn::<Keeper>(()), kind: job.child };

    let tree = rt.block_on(Tree::<C>::start(&rt, job.layout, job.children))?;
    let supervisors = tree.supervisors();
    let supervisors_bytes = supervisors.iter().map(|&pid| under_test::memory(&rt, pid)).sum();
    let sampler = job.sampled.then(|| Sampler::start(probes(&rt, &supervisors))).transpose()?;

    let clock = Instant::now();
    rt.block_on(callers::start_children(&rt, &tree, &work, job.children, 1))?;
    let start = clock.elapsed();
    expect_count("children started", job.children, tally.of(Event::Started))?;
    expect_count("children that the supervisors count", job.children, tree.count(job.children))?;
    rt.block_on(all_in_handlers(job, &work))?;

    let down = rt.down(&tree);
    let clock = Instant::now();
    rt.exit(&tree, ExitReason::Shutdown);
    if let ChildKind::Busy(_) = job.child {
        work.gate.cast(Gate::Open).map_err(Failure::library("opening the gate"))?;
    }
    let down = rt.block_on(down);
    let shutdown = clock.elapsed();

    job.child.check_ends(job.children, &tally)?;
    if !matches!(down.reason, ExitReason::Shutdown) {
        return Err(Failure::Unexpected {
            what: "the reason in the root's DOWN",
            got: format!("{:?}", down.reason),
        });
    }
    let alive = supervisors.iter().filter(|&&pid| rt.is_alive(pid)).count();
    expect_count("supervisors alive after the root's DOWN", 0, alive as u64)?;
    let sampled = sampler.map(Sampler::stop).transpose()?;
    let outcome = Outcome {
        layout: tree.layout(),
        processes: job.children + supervisors.len() as u64,
        supervisors_bytes,
        start,
        shutdown,
        sampled,
        pure_work: job.child.pure_work(job.children, job.workers.min(environment::cores())),
    };
    drop((tree, work));
    under_test::end(rt)?;
    job.child.check_messages(job.children, &tally)?;
    Ok(outcome)
}

/// Waits until all handlers that shall be running when the signal comes are.
async fn all_in_handlers(job: &Job, work: &Work) -> Result<(), Failure> {
    let count = job.child.in_handlers(job.children);
    let full =
        work.gate.call(|reply| Gate::Full(count, reply)).timeout(under_test::LONGEST_WAIT).await;
    full.map_err(Failure::library("waiting for the handlers at the gate"))
}

/// A supervisor's mailbox, read by pid from the sampler's thread.
struct Supervisor {
    rt: Handle,
    pid: Pid,
}

impl Probe for Supervisor {
    fn look(&self) -> Option<Reading> {
        under_test::mailbox(&self.rt, self.pid)
    }
}

fn probes(rt: &Handle, supervisors: &[Pid]) -> Vec<Supervisor> {
    supervisors.iter().map(|&pid| Supervisor { rt: rt.clone(), pid }).collect()
}

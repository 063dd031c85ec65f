//! How a run came out.

use std::{error::Error, fmt, time::Duration};

use whitebeam_actor::{Pid, ShutdownReport};

use crate::record::Trace;

/// What a test's future may give: nothing, or a result, whose error fails the run.
pub trait Outcome {
    /// The failure, in words.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Debug> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| format!("{error:?}"))
    }
}

/// What left-overs at the end of a test mean: [`Sim::leaks`](crate::Sim::leaks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Leaks {
    /// Nothing: what is left is reported, and killed.
    Allow,
    /// What is left is told to shut down; what has not ended after ten seconds of virtual time fails the run.
    /// The default: a test need not stop what it started, but all of it must be able to stop.
    #[default]
    MustStop,
    /// As `MustStop`; and a process that lives when the test is over and nothing can run, a timer that is set,
    /// or an unread message fails the run.
    Forbid,
}

/// What is there when a test is over and nothing can run any more.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Left {
    /// Processes that live: pid, type of the actor, unread messages.
    pub processes: Vec<(Pid, String, usize)>,
    /// Timers that are set.
    pub timers: usize,
}

impl Left {
    /// Unread messages, of all processes.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.processes.iter().map(|(_, _, unread)| unread).sum()
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.timers == 0
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (processes, unread) = (self.processes.len(), self.unread());
        write!(f, "left: {processes} processes, {} timers, {unread} unread messages", self.timers)?;
        for (pid, actor, unread) in &self.processes {
            write!(f, "\n  {pid} {actor}, {unread} unread")?;
        }
        Ok(())
    }
}

/// One run that did not fail.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Turns of processes and tasks.
    pub steps: u64,
    /// Virtual time from its beginning to the end of the test.
    pub elapsed: Duration,
    /// Stands for all events of the run: two runs that agree in it went the same way.
    pub digest: u64,
    /// The last events.
    pub trace: Trace,
    /// What was left at the end of the test.
    pub left: Left,
}

/// All runs of a test, none of which failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// In the order of their seeds.
    pub runs: Vec<Run>,
}

/// Why a run failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// The test panicked, as a failed assertion does: the panic's text.
    Panicked(String),
    /// The test returned an error: its `Debug` text.
    Returned(String),
    /// Nothing could run, no timer was set, and the test still waited: who waits for whom, a line each.
    Deadlock(Vec<String>),
    /// More turns than [`Sim::max_steps`](crate::Sim::max_steps): who waits for whom, a line each.
    TooLong(Vec<String>),
    /// The test still waited when so much virtual time had passed, which is the deadline of
    /// [`Everywhere`](crate::Everywhere): who waits for whom, a line each.
    TooLate(Duration, Vec<String>),
    /// Something is left that [`Leaks::Forbid`] forbids.
    Leaked(Left),
    /// Something is left that does not stop.
    DoesNotStop(Box<ShutdownReport>),
}

/// The first run that failed.
///
/// Its text, which [`Sim::run`](crate::Sim::run) panics with, has all of it: why, the last events, and the
/// command that repeats the run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// How many runs there were, this one included.
    pub runs: usize,
    /// Turns of processes and tasks in it.
    pub steps: u64,
    /// Virtual time from its beginning to the failure.
    pub elapsed: Duration,
    /// Stands for all events of the run.
    pub digest: u64,
    /// Why.
    pub kind: FailureKind,
    /// The last events.
    pub trace: Trace,
    /// The strategy's name.
    pub strategy: String,
    /// The command that repeats this run.
    pub replay: String,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureKind::Panicked(text) => write!(f, "the test panicked: {text}"),
            FailureKind::Returned(text) => write!(f, "the test returned an error: {text}"),
            FailureKind::Deadlock(waits) => {
                f.write_str(
                    "deadlock: nothing can run, no timer is set, and the test still waits",
                )?;
                lines(f, waits)
            }
            FailureKind::TooLong(waits) => {
                f.write_str("the run does not come to an end within the turns that it may take")?;
                lines(f, waits)
            }
            FailureKind::TooLate(deadline, waits) => {
                write!(f, "the test has waited for {deadline:?}")?;
                lines(f, waits)
            }
            FailureKind::Leaked(left) => write!(f, "the test is over, and something is {left}"),
            FailureKind::DoesNotStop(report) => {
                write!(f, "what the test left does not stop when it is told to: {report}")
            }
        }
    }
}

fn lines(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, runs, steps, elapsed, kind, trace, strategy, replay, .. } = self;
        writeln!(f, "seed {seed} fails (run {runs}, strategy {strategy}): {kind}")?;
        writeln!(f, "the last events, of {steps} turns in {elapsed:?} of virtual time:")?;
        write!(f, "{trace}")?;
        write!(f, "repeat it with\n  {replay}")
    }
}

impl Error for Failure {}

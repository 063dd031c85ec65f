//! How a stop came out, as values: of one supervisor, of all below it, of a whole runtime.
//!
//! Ends in order are counted. What is named is bounded: the first exceptions of each supervisor, its slowest children,
//! the first supervisors below it; the rest is in the counts.

use std::{ops::AddAssign, sync::Arc, time::Duration};

use crate::{ChildKey, ExitReason, Info, Name, Pid, Status, contain::contain};

/// How the children of one process ended that it has stopped:
/// [`Context::stop_children`](crate::Context::stop_children), and [`StopReport::children`].
///
/// Each child is in one of the six counts.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StopSummary {
    /// Ended with an orderly reason, in time.
    pub clean: usize,
    /// Were to be killed, and were: [`Stop::Kill`](crate::Stop::Kill).
    pub brutal: usize,
    /// Ended with an orderly reason, but when their time was over: the kill came too late to change that.
    pub late: usize,
    /// Killed since their time was over, or by somebody else.
    pub killed: usize,
    /// Ended with another reason.
    pub crashed: usize,
    /// Did not return from their handlers after the runtime's kill.
    pub stuck: usize,
    /// The first [`EXCEPTIONS`](Self::EXCEPTIONS) of those that were late, killed, stuck, or crashed.
    pub exceptions: Vec<StopException>,
    /// Took longer than [`SLOW_AFTER`](Self::SLOW_AFTER).
    pub slow: usize,
    /// The [`SLOWEST`](Self::SLOWEST) of those, the slowest in front.
    pub slowest: Vec<SlowChild>,
    /// Those that stopped children of their own: the first [`NESTED`](Self::NESTED), those with something to tell
    /// rather than others.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::inspect::json::reports"))]
    pub nested: Vec<Arc<StopReport>>,
    /// Those of them that are not listed, with all below them.
    pub unlisted: StopCounts,
}

/// Sums over a tree of supervisors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StopCounts {
    /// Processes that stopped children.
    pub supervisors: usize,
    /// See [`StopSummary::clean`].
    pub clean: usize,
    /// See [`StopSummary::brutal`].
    pub brutal: usize,
    /// See [`StopSummary::late`].
    pub late: usize,
    /// See [`StopSummary::killed`].
    pub killed: usize,
    /// See [`StopSummary::crashed`].
    pub crashed: usize,
    /// See [`StopSummary::stuck`].
    pub stuck: usize,
    /// See [`StopReport::left`].
    pub left: usize,
}

/// A child that did not end as it was told to, or not in time.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StopException {
    /// Its id, if its supervisor [names its children](crate::Context::name_children).
    pub id: Option<String>,
    /// Its process.
    pub pid: Pid,
    /// What it was called for people, see [`SpawnOptions::label`](crate::SpawnOptions::label).
    pub label: Option<Name>,
    /// Its type, if it was seen.
    pub actor: Option<&'static str>,
    /// What was wrong.
    pub how: StopKind,
    /// Its exit reason; of one that is stuck `Killed`, which it will have.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::inspect::json::reason"))]
    pub reason: ExitReason,
    /// How long it took from when it was told to its end, or until now if it is stuck. Zero: it ended before it was told.
    pub took: Duration,
    /// What it was about when its time was over, if it was.
    pub status: Option<Status>,
    /// What its message in hand was called then, if its actor [names its messages](crate::Actor::msg_name).
    pub message: Option<&'static str>,
    /// How many messages waited then.
    pub mailbox_len: usize,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) key: Option<ChildKey>,
}

/// What was wrong with the end of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum StopKind {
    /// In order, but when its time was over.
    Late,
    /// Killed since its time was over, or by somebody else.
    Killed,
    /// With another reason than it was told to.
    Crashed,
    /// It has not ended: its handler did not return after the runtime's kill.
    Stuck,
}

/// A child that took its time.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SlowChild {
    /// Its id, if its supervisor [names its children](crate::Context::name_children).
    pub id: Option<String>,
    /// Its process.
    pub pid: Pid,
    /// What it was called for people.
    pub label: Option<Name>,
    /// Its type.
    pub actor: &'static str,
    /// From when it was told to its end.
    pub took: Duration,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) key: ChildKey,
}

/// How a process that supervises children ended, and how they did: a node of the tree that a [`ShutdownReport`] has,
/// and what [`Handle::stop_report`](crate::Handle::stop_report) gives.
///
/// Printed with `{}` it is a text of indented lines: one for a stop that was in order with all below, and else those
/// of what was not. With `{:#}` all supervisors that are listed have theirs.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StopReport {
    /// Its id under its own supervisor, if it has one and that [names its children](crate::Context::name_children).
    pub id: Option<String>,
    /// The process.
    pub pid: Pid,
    /// The name that it was registered under.
    pub name: Option<Name>,
    /// What it was called for people.
    pub label: Option<Name>,
    /// Its type.
    pub actor: &'static str,
    /// Its own exit reason.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::inspect::json::reason"))]
    pub reason: ExitReason,
    /// From when it told the first child to its own end.
    pub took: Duration,
    /// How its children ended.
    pub children: StopSummary,
    /// Children that it left when it ended itself, by a kill as a rule: they were told to shut down, and nobody has
    /// waited for them.
    pub left: usize,
    /// The first of those.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) orphans: Vec<Orphan>,
    /// Levels of reports below it.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) height: usize,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) key: Option<ChildKey>,
}

/// A child that was left.
#[derive(Clone, Debug)]
pub(crate) struct Orphan {
    pub(crate) id: Option<String>,
    pub(crate) pid: Pid,
    pub(crate) label: Option<Name>,
    pub(crate) actor: &'static str,
    pub(crate) key: ChildKey,
}

/// How a runtime ended: [`Handle::shutdown`](crate::Handle::shutdown).
///
/// Printed with `{}` it is a line for a shutdown in order, and else a text of indented lines, as a [`StopReport`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Processes without a supervisor that ended by themselves, in time and with an orderly reason. What they
    /// supervised ended before they did.
    pub clean: usize,
    /// Those that ended by themselves with another reason.
    pub crashed: usize,
    /// Processes, supervised or not, that were killed at the deadline.
    pub killed: usize,
    /// Processes whose handler did not return after the kill. They are left behind, with their worker.
    pub stuck: Vec<Info>,
    /// Closures on threads for blocking work that were still running: they are left behind, with their threads.
    pub blocking: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// Of processes that are in no supervisor's report: the first [`StopSummary::EXCEPTIONS`] that crashed, were killed,
    /// or are stuck, by their pids.
    pub exceptions: Vec<StopException>,
    /// The supervisors without a supervisor, by their pids, each with all below it: the first [`StopSummary::NESTED`],
    /// those with something to tell rather than others. A process that never had a child is none.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::inspect::json::reports"))]
    pub supervisors: Vec<Arc<StopReport>>,
    /// Those of them that are not listed, with all below them.
    pub unlisted: StopCounts,
}

impl StopSummary {
    /// Exceptions that are kept by name.
    pub const EXCEPTIONS: usize = 64;
    /// Slow children that are kept by name.
    pub const SLOWEST: usize = 8;
    /// Supervisors among the children that are kept by name.
    pub const NESTED: usize = 64;
    /// Levels of nested supervisors that are kept by name: what is deeper is in the counts.
    pub const LEVELS: usize = 32;
    /// A child that takes longer is slow: a fiftieth of the five seconds that children have as a rule. The end of one
    /// that is faster is counted without a look at the clock.
    pub const SLOW_AFTER: Duration = Duration::from_millis(100);

    /// How many children there were that have ended.
    pub fn ended(&self) -> usize {
        self.clean + self.brutal + self.late + self.killed + self.crashed
    }

    /// Sums over the children and all below them.
    pub fn totals(&self) -> StopCounts {
        let mut all = self.unlisted;
        all += StopCounts {
            clean: self.clean,
            brutal: self.brutal,
            late: self.late,
            killed: self.killed,
            crashed: self.crashed,
            stuck: self.stuck,
            ..StopCounts::default()
        };
        self.nested.iter().for_each(|report| all += report.totals());
        all
    }

    pub(crate) fn except(&mut self, exception: StopException) {
        *match exception.how {
            StopKind::Late => &mut self.late,
            StopKind::Killed => &mut self.killed,
            StopKind::Crashed => &mut self.crashed,
            StopKind::Stuck => &mut self.stuck,
        } += 1;
        if self.exceptions.len() < Self::EXCEPTIONS {
            self.exceptions.push(exception);
        } else {
            // Its reason is the user's.
            let _ = contain(|| drop(exception));
        }
    }

    pub(crate) fn slow(&mut self, child: SlowChild) {
        self.slow += 1;
        let place = self.slowest.partition_point(|other| other.took >= child.took);
        if place < Self::SLOWEST {
            self.slowest.truncate(Self::SLOWEST - 1);
            self.slowest.insert(place, child);
        }
    }

    pub(crate) fn nest(&mut self, report: Arc<StopReport>) {
        list(&mut self.nested, &mut self.unlisted, report);
    }

    /// Takes in what another stop of the same parent came to.
    pub(crate) fn merge(&mut self, other: StopSummary) {
        self.clean += other.clean;
        self.brutal += other.brutal;
        self.unlisted += other.unlisted;
        let kinds = [
            (&mut self.late, other.late, StopKind::Late),
            (&mut self.killed, other.killed, StopKind::Killed),
            (&mut self.crashed, other.crashed, StopKind::Crashed),
            (&mut self.stuck, other.stuck, StopKind::Stuck),
        ];
        for (count, more, how) in kinds {
            // Those with names are counted with them.
            *count += more - other.exceptions.iter().filter(|one| one.how == how).count();
        }
        self.slow += other.slow - other.slowest.len();
        other.exceptions.into_iter().for_each(|exception| self.except(exception));
        other.slowest.into_iter().for_each(|child| self.slow(child));
        other.nested.into_iter().for_each(|report| self.nest(report));
    }

    /// By the children's places in the table of their parent, which is no accident of their ends. That is the order of
    /// their starts as long as no place has been used again.
    pub(crate) fn sort(&mut self) {
        self.exceptions.sort_by_key(|exception| exception.key);
        self.slowest.sort_by_key(|child| (std::cmp::Reverse(child.took), child.key));
        self.nested.sort_by_key(|report| report.key);
    }
}

/// Puts a report in a list of at most [`StopSummary::NESTED`], or adds it up.
pub(crate) fn list(
    listed: &mut Vec<Arc<StopReport>>,
    unlisted: &mut StopCounts,
    report: Arc<StopReport>,
) {
    if report.height >= StopSummary::LEVELS {
        *unlisted += add_up(report);
    } else if listed.len() < StopSummary::NESTED {
        listed.push(report);
    } else if report.is_quiet() {
        *unlisted += add_up(report);
    } else {
        *unlisted += match listed.iter_mut().find(|other| other.is_quiet()) {
            Some(quiet) => add_up(std::mem::replace(quiet, report)),
            None => add_up(report),
        };
    }
}

/// The counts of a report that is not kept. Its reasons are the user's, and a panic in the drop of one is its own affair.
fn add_up(report: Arc<StopReport>) -> StopCounts {
    let totals = report.totals();
    let _ = contain(|| drop(report));
    totals
}

impl StopCounts {
    /// Whether all ended as they were told to, in time.
    pub fn is_quiet(&self) -> bool {
        self.late + self.killed + self.crashed + self.stuck + self.left == 0
    }

    /// How many children there were that have ended.
    pub fn ended(&self) -> usize {
        self.clean + self.brutal + self.late + self.killed + self.crashed
    }
}

impl AddAssign for StopCounts {
    fn add_assign(&mut self, other: Self) {
        self.supervisors += other.supervisors;
        self.clean += other.clean;
        self.brutal += other.brutal;
        self.late += other.late;
        self.killed += other.killed;
        self.crashed += other.crashed;
        self.stuck += other.stuck;
        self.left += other.left;
    }
}

impl StopReport {
    /// Sums over this supervisor and all below it.
    pub fn totals(&self) -> StopCounts {
        let mut all = self.children.totals();
        all += StopCounts { supervisors: 1, left: self.left, ..StopCounts::default() };
        all
    }

    /// Whether it and all below it ended as they were told to, in time.
    pub fn is_quiet(&self) -> bool {
        self.totals().is_quiet()
    }

    /// It and all that are listed below it, each ahead of its own.
    pub fn walk(&self) -> impl Iterator<Item = &StopReport> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            let next = open.pop()?;
            open.extend(next.children.nested.iter().rev().map(|report| &**report));
            Some(next)
        })
    }
}

impl ShutdownReport {
    /// Whether every process ended in time, and no closure was left behind.
    pub fn is_clean(&self) -> bool {
        self.killed == 0 && self.stuck.is_empty() && self.blocking == 0
    }

    /// Sums over all supervisors.
    pub fn totals(&self) -> StopCounts {
        let mut all = self.unlisted;
        self.supervisors.iter().for_each(|report| all += report.totals());
        all
    }

    /// All supervisors that are listed, each ahead of those below it.
    pub fn walk(&self) -> impl Iterator<Item = &StopReport> {
        self.supervisors.iter().flat_map(|report| report.walk())
    }
}

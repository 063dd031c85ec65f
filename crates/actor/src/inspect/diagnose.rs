//! What is wrong, with what speaks for it.
//!
//! | finding | what speaks for it |
//! | --- | --- |
//! | [`StuckProcess`] | the same message was in hand at all looks for longer than a limit: of a handler that holds its worker, in one and the same turn; of a suspended one, with messages behind it |
//! | [`GrowingMailbox`] | at no look was the mailbox shorter than at the one before, at the last it was longer than at the first, and at the pace of that time what waits takes longer than a limit |
//! | [`RestartStorm`] | so many crashes of restarted children of one parent within a time, by the crash history |
//! | [`BusyWorker`] | a worker was busy from one look to the next, and what was queued there at both waits for longer than a limit at the pace of that time |
//!
//! A burst that is worked off, a handler that waits with nobody behind it, and a full run queue that moves are no
//! findings.

use std::{collections::BTreeMap, fmt, time::Duration};

use whitebeam_scheduler::Time;

use super::{
    tree::Who,
    walker::{Book, Entry, Look, WorkerLook},
};
use crate::{Info, Pid, crash, info, shared::Shared};

/// A mailbox of fewer messages is none to speak of.
const MAILBOX_MIN: u32 = 100;
/// A worker of which a smaller part of the time was work is not busy.
const BUSY: f64 = 0.9;

/// From when on something is a [`Finding`]: [`Handle::diagnose_with`](crate::Handle::diagnose_with).
#[derive(Clone, Debug)]
#[must_use = "limits do nothing until something is diagnosed with them"]
pub struct Limits {
    handler: Duration,
    backlog: Duration,
    restarts: (u32, Duration),
    queue: Duration,
}

impl Default for Limits {
    /// A second for a handler and for a backlog, five restarts in ten seconds, a tenth of a second in a run queue.
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Limits { handler: second, backlog: second, restarts: (5, 10 * second), queue: second / 10 }
    }
}

impl Limits {
    /// The default ones.
    pub fn new() -> Self {
        Self::default()
    }

    /// For how long a handler may take. Default: a second.
    pub fn handler(mut self, time: Duration) -> Self {
        self.handler = time;
        self
    }

    /// For how long what waits in a mailbox that grows may take at its present pace. Default: a second.
    pub fn backlog(mut self, time: Duration) -> Self {
        self.backlog = time;
        self
    }

    /// How many crashes of restarted children of one parent are too many within a time. Default: five in ten seconds.
    /// No more are found than the [crash history](crate::Builder::crash_history) holds.
    pub fn restarts(mut self, crashes: u32, within: Duration) -> Self {
        self.restarts = (crashes.max(1), within);
        self
    }

    /// For how long what is ready to run may wait for its turn. Default: a tenth of a second.
    pub fn queue(mut self, time: Duration) -> Self {
        self.queue = time;
        self
    }
}

/// What seems to be wrong with a runtime: [`Handle::diagnose`](crate::Handle::diagnose). Printed with `{}` it is a
/// block of lines for each finding.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Diagnosis {
    /// When it was made, since the runtime's start, by its clock.
    pub at: Duration,
    /// For how long there have been looks to compare with. Zero: this was the first.
    pub since_first_look: Duration,
    /// Stuck handlers first, then growing mailboxes, restart storms and busy workers; of a kind the worst first.
    pub findings: Vec<Finding>,
}

/// Something that seems to be wrong.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Finding {
    /// A handler does not go on.
    StuckProcess(StuckProcess),
    /// A mailbox gets longer than its process can handle.
    GrowingMailbox(GrowingMailbox),
    /// Children of one parent are restarted again and again.
    RestartStorm(RestartStorm),
    /// What is queued with a worker waits for long.
    BusyWorker(BusyWorker),
}

/// A handler does not go on.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StuckProcess {
    /// Its process, with the message in hand if that has a name, and how many wait.
    pub info: Info,
    /// It had the same message in hand from the first to the last of the looks that found it so.
    pub at_least: Duration,
    /// The worker that it holds. `None`: it is suspended at an await.
    pub worker: Option<usize>,
}

/// A mailbox gets longer than its process can handle.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GrowingMailbox {
    /// Its process.
    pub info: Info,
    /// Its length at the first look.
    pub from: usize,
    /// Its length at the last look.
    pub to: usize,
    /// The time between the two.
    pub within: Duration,
    /// Messages that it handled in that time.
    pub handled: u32,
}

/// Children of one parent are restarted again and again.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RestartStorm {
    /// The parent.
    pub parent: Pid,
    /// As it is seen now. `None`: it has ended, of that as a rule.
    pub info: Option<Info>,
    /// Crashes of its restarted children, as far as the crash history tells.
    pub crashes: usize,
    /// The time from the first of them to now.
    pub within: Duration,
    /// The start with the highest number among them: 2 is the first restart.
    pub attempt: u32,
    /// The type of the last child.
    pub child: &'static str,
    /// Why the last one ended, in words.
    pub reason: String,
}

/// What is queued with a worker waits for long.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BusyWorker {
    /// Which.
    pub worker: usize,
    /// The part of the time that it had something to run, from 0 to 1.
    pub busy: f64,
    /// What is queued there.
    pub queue_len: usize,
    /// Runs in that time.
    pub runs: u64,
    /// The time between the two looks.
    pub within: Duration,
}

impl Finding {
    /// The processes that it is about, if it is about any.
    pub fn pids(&self) -> Vec<Pid> {
        match self {
            Finding::StuckProcess(stuck) => vec![stuck.info.pid],
            Finding::GrowingMailbox(growing) => vec![growing.info.pid],
            Finding::RestartStorm(storm) => vec![storm.parent],
            Finding::BusyWorker(_) => Vec::new(),
        }
    }

    /// What to do about it, in a sentence.
    pub fn advice(&self) -> &'static str {
        match self {
            Finding::StuckProcess(StuckProcess { worker: Some(_), .. }) => {
                "move what blocks or computes for long off the worker, or split it into messages"
            }
            Finding::StuckProcess(_) => {
                "give what it awaits a time limit, or await it elsewhere and have the outcome sent as a message"
            }
            Finding::GrowingMailbox(_) => {
                "have senders wait for replies, bound the mailbox, or spread the work over more processes"
            }
            Finding::RestartStorm(_) => {
                "see to the cause in the crash reports: a restart does not cure what the next start meets again"
            }
            Finding::BusyWorker(_) => {
                "use more workers, or make the turns shorter: `top(By::Busy, n)` at `Level::Times` says whose they are"
            }
        }
    }
}

/// By what the looks up to now have found.
pub(super) fn of(shared: &Shared, limits: &Limits) -> Diagnosis {
    let now = shared.scheduler().now();
    let found = {
        let book = shared.inspection().book().lock();
        Found::of(&book, limits, now)
    };
    let look = |pid| shared.resolve(pid).and_then(|cell| info::of(&cell));
    let mut findings = Vec::new();
    for (pid, at_least, worker) in &found.stuck {
        findings.extend(look(*pid).map(|info| {
            let (at_least, worker) = (*at_least, *worker);
            Finding::StuckProcess(StuckProcess { info, at_least, worker })
        }));
    }
    for (pid, first, last) in &found.growing {
        // It is told of already.
        if found.stuck.iter().any(|(stuck, ..)| stuck == pid) {
            continue;
        }
        findings.extend(look(*pid).map(|info| {
            Finding::GrowingMailbox(GrowingMailbox {
                info,
                from: first.len as usize,
                to: last.len as usize,
                within: last.at.saturating_since(first.at),
                handled: last.taken.wrapping_sub(first.taken),
            })
        }));
    }
    findings.extend(storms(shared, limits, now).into_iter().map(Finding::RestartStorm));
    findings.extend(found.busy.into_iter().map(Finding::BusyWorker));
    let since_first_look = found.first.map_or(Duration::ZERO, |first| now.saturating_since(first));
    Diagnosis { at: now.saturating_since(Time::ZERO), since_first_look, findings }
}

/// What the book says.
struct Found {
    first: Option<Time>,
    stuck: Vec<(Pid, Duration, Option<usize>)>,
    growing: Vec<(Pid, Look, Look)>,
    busy: Vec<BusyWorker>,
}

impl Found {
    fn of(book: &Book, limits: &Limits, now: Time) -> Self {
        let mut stuck = Vec::new();
        let mut growing = Vec::new();
        for (&pid, entry) in &book.entries {
            stuck.extend(stuck_for(entry, limits).map(|(time, worker)| (pid, time, worker)));
            growing.extend(growth(entry, limits).map(|(first, last)| (pid, first, last)));
        }
        stuck.sort_unstable_by_key(|(pid, time, _)| (std::cmp::Reverse(*time), *pid));
        growing.sort_unstable_by_key(|(pid, _, last)| (std::cmp::Reverse(last.len), *pid));
        let workers = book.workers.iter().enumerate();
        let busy = workers.filter_map(|(worker, looks)| {
            let mut looks = looks.iter().rev();
            let (last, before) = (looks.next()?, looks.next()?);
            held_up(worker, before, last, limits)
        });
        let first = book.first.filter(|first| *first < now);
        Found { first, stuck, growing, busy: busy.collect() }
    }
}

fn stuck_for(entry: &Entry, limits: &Limits) -> Option<(Duration, Option<usize>)> {
    let held = entry.held?;
    let time = held.last.saturating_since(held.since);
    (time >= limits.handler && !time.is_zero())
        .then_some((time, held.worker.map(|(worker, _)| worker)))
}

fn growth(entry: &Entry, limits: &Limits) -> Option<(Look, Look)> {
    let (first, last) = (*entry.looks.front()?, *entry.looks.back()?);
    let never_shorter =
        entry.looks.iter().zip(entry.looks.iter().skip(1)).all(|(one, next)| one.len <= next.len);
    let within = last.at.saturating_since(first.at);
    if !never_shorter || last.len <= first.len || last.len < MAILBOX_MIN || within.is_zero() {
        return None;
    }
    let handled = last.taken.wrapping_sub(first.taken);
    let takes = match handled {
        // Nobody knows: at the rate of this time at best.
        0 => within,
        handled => scaled(within, f64::from(last.len) / f64::from(handled)),
    };
    (takes >= limits.backlog).then_some((first, last))
}

fn held_up(
    worker: usize,
    before: &WorkerLook,
    last: &WorkerLook,
    limits: &Limits,
) -> Option<BusyWorker> {
    let within = last.at.saturating_since(before.at);
    if within.is_zero() || before.queue_len == 0 || last.queue_len == 0 {
        return None;
    }
    let busy = last.busy.saturating_sub(before.busy).as_secs_f64() / within.as_secs_f64();
    let runs = last.runs.wrapping_sub(before.runs);
    let waits = match runs {
        0 => within,
        runs => scaled(within, last.queue_len as f64 / runs as f64),
    };
    (busy >= BUSY && waits >= limits.queue).then(|| BusyWorker {
        worker,
        busy: busy.min(1.0),
        queue_len: last.queue_len,
        runs,
        within,
    })
}

fn scaled(time: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

/// Parents whose restarted children crash again and again.
fn storms(shared: &Shared, limits: &Limits, now: Time) -> Vec<RestartStorm> {
    let now = now.saturating_since(Time::ZERO);
    let (most, within) = limits.restarts;
    let history = shared.crashes().history();
    let mut by_parent: BTreeMap<Pid, Vec<_>> = BTreeMap::new();
    for report in &history {
        if report.attempt > 1
            && now.saturating_sub(report.at) <= within
            && let Some(parent) = report.parent
        {
            by_parent.entry(parent).or_default().push(report);
        }
    }
    let mut storms: Vec<_> = by_parent
        .into_iter()
        .filter(|(_, reports)| reports.len() >= most as usize)
        .filter_map(|(parent, reports)| {
            let (first, last) = (reports.first()?, reports.last()?);
            Some(RestartStorm {
                parent,
                info: shared.resolve(parent).and_then(|cell| info::of(&cell)),
                crashes: reports.len(),
                within: now.saturating_sub(first.at),
                attempt: reports.iter().map(|report| report.attempt).max().unwrap_or(0),
                child: last.actor,
                reason: crash::text_of(&last.reason),
            })
        })
        .collect();
    storms.sort_by_key(|storm| (std::cmp::Reverse(storm.crashes), storm.parent));
    storms
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match self.findings.len() {
            0 => "nothing was found".to_owned(),
            1 => "1 finding".to_owned(),
            more => format!("{more} findings"),
        };
        writeln!(
            f,
            "diagnosis at {:.3} s, with looks over {:.3} s: {found}",
            self.at.as_secs_f64(),
            self.since_first_look.as_secs_f64()
        )?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

/// Two lines or three: what, what speaks for it, what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::StuckProcess(stuck) => stuck.fmt(f)?,
            Finding::GrowingMailbox(growing) => growing.fmt(f)?,
            Finding::RestartStorm(storm) => storm.fmt(f)?,
            Finding::BusyWorker(busy) => busy.fmt(f)?,
        }
        write!(f, "\n    advice: {}", self.advice())
    }
}

impl fmt::Display for StuckProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stuck process: {}", Who(&self.info))?;
        match self.info.message {
            Some(message) => write!(f, "    in {message}")?,
            None => write!(f, "    in a message")?,
        }
        write!(f, " for at least {:.3} s, ", self.at_least.as_secs_f64())?;
        match self.worker {
            Some(worker) => write!(f, "holds worker {worker}")?,
            None => write!(f, "suspended at an await")?,
        }
        write!(f, "; {} unread, {} taken", self.info.mailbox_len, self.info.handled)
    }
}

impl fmt::Display for GrowingMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "growing mailbox: {}", Who(&self.info))?;
        write!(
            f,
            "    from {} to {} unread within {:.3} s, in which {} were handled",
            self.from,
            self.to,
            self.within.as_secs_f64(),
            self.handled
        )?;
        match self.info.oldest_message {
            Some(age) => {
                write!(f, "; the oldest waits for {:.3} s at least", age.at_least.as_secs_f64())
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for RestartStorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.info {
            Some(info) => writeln!(f, "restart storm: below {}", Who(info))?,
            None => writeln!(f, "restart storm: below {}, which has ended", self.parent)?,
        }
        write!(
            f,
            "    {} crashes of restarted children within {:.3} s, up to start {}; the last {}: {}",
            self.crashes,
            self.within.as_secs_f64(),
            self.attempt,
            super::short(self.child),
            self.reason.trim_end().replace('\n', "\n        ")
        )
    }
}

impl fmt::Display for BusyWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "busy worker: {}", self.worker)?;
        write!(
            f,
            "    {} queued, {} runs within {:.3} s, of which {:.0} % was work",
            self.queue_len,
            self.runs,
            self.within.as_secs_f64(),
            100.0 * self.busy
        )
    }
}

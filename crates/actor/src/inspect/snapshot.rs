//! A look at all processes, and at the runtime.

use std::{fmt, time::Duration};

use whitebeam_scheduler::{BlockingMetrics, Time, WorkerMetrics};

use super::Level;
use crate::{EventCounts, Info, UnreadCounts, info, shared::Shared};

/// All processes of a runtime and what the runtime counts: [`Handle::snapshot`](crate::Handle::snapshot).
///
/// Taken in one walk while everything goes on: each process is seen at its own moment. What lives throughout the walk
/// is in it, once; what begins or ends meanwhile may be.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// When the walk began, since the runtime's start, by its clock.
    pub at: Duration,
    /// Those that lived, in the order of their places in the process table.
    pub processes: Vec<Info>,
    /// What the runtime counts.
    pub runtime: RuntimeInfo,
}

/// What a runtime counts: [`Handle::runtime_info`](crate::Handle::runtime_info).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RuntimeInfo {
    /// Time since the runtime was built.
    pub uptime: Duration,
    /// Processes made so far, those that have ended included. Exact when nothing is being started.
    pub spawned: u64,
    /// Processes that ended abnormally by their own code: see [`CrashReport`](crate::CrashReport).
    pub crashed: u64,
    /// What is ready to run and belongs to no worker yet: what was sent to from outside.
    pub queued: usize,
    /// Timers that are set and have not fired: of processes, of the runtime, and of plain tasks. The time limit of a call
    /// becomes one only if that waits for some time.
    pub timers: usize,
    /// What ended processes have left unread.
    pub unread: UnreadCounts,
    /// Events that were [told](crate::Builder::on_event).
    pub events: EventCounts,
    /// How much is kept about each process.
    pub level: Level,
    /// The workers and then the spares, none in a simulation. `queue_len` is what waits there for its turn, `held_for`
    /// says which of them do not come to it, where [somebody watches](crate::Builder::stuck_after), `stands_in_for`
    /// what a spare does about it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::workers"))]
    pub workers: Vec<WorkerMetrics>,
    /// The pool for blocking work: threads, what they do, what waits for one.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::json::blocking"))]
    pub blocking: BlockingMetrics,
}

impl RuntimeInfo {
    pub(super) fn of(shared: &Shared) -> Self {
        let scheduler = shared.scheduler();
        // First: nothing has lasted longer than the runtime.
        let workers = scheduler.metrics();
        RuntimeInfo {
            uptime: scheduler.now().saturating_since(Time::ZERO),
            spawned: shared.inspection().spawned(),
            crashed: shared.crashes().counts().total,
            queued: scheduler.injected_len(),
            timers: scheduler.pending_timers(),
            unread: shared.unread().read(),
            events: shared.events().counts(),
            level: shared.inspection().level(),
            workers,
            blocking: scheduler.blocking_metrics(),
        }
    }
}

impl Snapshot {
    pub(super) fn of(shared: &Shared) -> Self {
        let runtime = RuntimeInfo::of(shared);
        let mut processes = Vec::new();
        shared.walk(|cell| processes.extend(info::of(&cell)));
        Snapshot { at: runtime.uptime, processes, runtime }
    }
}

/// What the runtime counts, in two lines, and a line for each worker.
impl fmt::Display for RuntimeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "up {:.3} s, {} processes made, {} crashed, {} ready outside of workers, {} timers, {} events",
            self.uptime.as_secs_f64(),
            self.spawned,
            self.crashed,
            self.queued,
            self.timers,
            self.events.told
        )?;
        writeln!(
            f,
            "blocking: {} threads, {} busy, {} queued; left unread: {} answered, {} dropped, {} to hooks, {} kept",
            self.blocking.threads,
            self.blocking.busy,
            self.blocking.queued,
            self.unread.answered,
            self.unread.dropped,
            self.unread.hooked,
            self.unread.kept
        )?;
        for (index, worker) in self.workers.iter().enumerate() {
            let what = if worker.is_spare { "spare" } else { "worker" };
            write!(
                f,
                "{what} {index}: busy {:.3} s, idle {:.3} s, {} runs, {} queued, {} steals, {} parks",
                worker.busy.as_secs_f64(),
                worker.idle.as_secs_f64(),
                worker.runs,
                worker.queue_len,
                worker.steals,
                worker.parks
            )?;
            if let Some(held) = worker.held_for {
                write!(f, ", held for {:.3} s", held.as_secs_f64())?;
            }
            if let Some(other) = worker.stands_in_for {
                write!(f, ", stands in for {other}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

//! What the workers count about themselves.
//!
//! Each counter is written by one thread with a plain load and store, which costs nothing; readers
//! get values that are a moment old and need not fit together exactly. Nothing here decides anything.

use std::time::Duration;

use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};

use crate::clock::{TickRate, ticks};
use crate::shared::Shared;

/// A number that one thread counts up and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// By the owner only: two writers would lose counts.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// By the owner only.
    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// By the owner only: who [sees](Self::see) this value sees what was written before it.
    #[inline]
    pub(crate) fn publish(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// A value that was [published](Self::publish).
    pub(crate) fn see(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The counters of one worker that thieves do not look at.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Runnables taken from the shared queue.
    pub(crate) injected: Counter,
    /// Times that runnables were stolen from another worker.
    pub(crate) steals: Counter,
    /// Runnables stolen from other workers.
    pub(crate) stolen: Counter,
    /// Times the worker parked.
    pub(crate) parks: Counter,
    /// Times the worker woke another.
    pub(crate) wakes: Counter,
    /// Timers fired by this worker.
    pub(crate) timers: Counter,
    /// Panics that left user code.
    pub(crate) panics: Counter,
    /// Ticks spent without work, up to the last time work was found.
    idle: Counter,
    /// The tick at which the worker last ran out of work; 0 while it has some.
    resting_since: Counter,
    /// The tick at which the worker began its life; 0 before.
    began: Counter,
    /// How long all workers had worked, in ticks, when this one last called the hook for those that rest.
    pub(crate) eased_at: Counter,
}

impl Counters {
    pub(crate) fn begin(&self, now: u64) {
        self.began.set(now);
    }

    pub(crate) fn rest(&self, now: u64) {
        self.resting_since.set(now);
    }

    pub(crate) fn resume(&self, now: u64) {
        self.idle.add(now.saturating_sub(self.resting_since.read()));
        self.resting_since.set(0);
    }

    /// Whether the worker has no work.
    pub(crate) fn is_resting(&self) -> bool {
        self.resting_since.read() != 0
    }

    /// Ticks spent with work until now, or until it rested.
    pub(crate) fn worked(&self, now: u64) -> u64 {
        let resting = self.resting_since.read();
        let until = if resting == 0 { now } else { resting };
        until.saturating_sub(self.began.read()).saturating_sub(self.idle.read())
    }

    /// Time without work and time with it.
    fn times(&self, rate: TickRate) -> (Duration, Duration) {
        let (began, resting) = (self.began.read(), self.resting_since.read());
        if began == 0 {
            return (Duration::ZERO, Duration::ZERO);
        }
        let now = ticks();
        let resting = if resting == 0 { 0 } else { now.saturating_sub(resting) };
        let idle = self.idle.read() + resting;
        let busy = now.saturating_sub(began).saturating_sub(idle);
        (rate.duration(idle), rate.duration(busy))
    }
}

/// What one worker has done since the scheduler's start. Advisory: the numbers of a running worker are a
/// moment old.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Runs of a runnable.
    pub runs: u64,
    /// Runs that came from the worker's queue; the others came from its slot or from outside.
    pub queue_runs: u64,
    /// Runnables taken from the shared queue.
    pub injected: u64,
    /// Times that it stole from another worker.
    pub steals: u64,
    /// Runnables it got that way.
    pub stolen: u64,
    /// Times that it went to sleep in the kernel.
    pub parks: u64,
    /// Times that it woke another worker.
    pub wakes: u64,
    /// Timers it fired.
    pub timers: u64,
    /// Panics that left what it ran (a plain task's panic goes to who awaits it, and is not counted).
    pub panics: u64,
    /// Runnables in its queue and slot now.
    pub queue_len: usize,
    /// Time it had something to run.
    pub busy: Duration,
    /// Time it searched, napped or slept.
    pub idle: Duration,
    /// For how long it has been in one and the same run, if the watchdog has found that to be too long: longer than
    /// [`Builder::on_long_run`](crate::Builder::on_long_run) or, where there are spares,
    /// [`Builder::spare_after`](crate::Builder::spare_after) says. `None` as well where there is no watchdog.
    pub held_for: Option<Duration>,
    /// Whether it is a [spare](crate::Builder::spare_workers).
    pub is_spare: bool,
    /// The worker that it stands in for at present, if it is a spare.
    pub stands_in_for: Option<usize>,
}

impl WorkerMetrics {
    pub(crate) fn read(shared: &Shared, index: usize) -> Self {
        let remote = &shared.remotes[index];
        let counters = &remote.counters;
        let (idle, busy) = counters.times(shared.rate);
        let held_since = shared.watch.held_since(index);
        let spare = index.checked_sub(shared.workers()).map(|spare| &shared.watch.spares[spare]);
        WorkerMetrics {
            runs: remote.runs.read(),
            queue_runs: remote.pops.read(),
            injected: counters.injected.read(),
            steals: counters.steals.read(),
            stolen: counters.stolen.read(),
            parks: counters.parks.read(),
            wakes: counters.wakes.read(),
            timers: counters.timers.read(),
            panics: counters.panics.read(),
            queue_len: remote.stealer.len() + usize::from(!remote.slot.is_empty()),
            busy,
            idle,
            held_for: held_since.map(|since| shared.clock.now() - since),
            is_spare: spare.is_some(),
            stands_in_for: spare.and_then(|spare| spare.duty()),
        }
    }
}

/// What the pool for blocking work does and has done: [`Handle::blocking_metrics`](crate::Handle::blocking_metrics).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockingMetrics {
    /// Threads that there are now: busy, asleep, or being started. None in the simulation.
    pub threads: usize,
    /// Closures that run now.
    pub busy: usize,
    /// Closures that wait now.
    pub queued: usize,
    /// Threads that were started.
    pub started: u64,
    /// Closures that returned or panicked. One whose task is awaited is counted before that is told.
    pub done: u64,
    /// Closures that were dropped with their tasks before they began.
    pub cancelled: u64,
    /// Closures that were refused since too many waited.
    pub refused: u64,
    /// Closures that panicked, whoever was told of it.
    pub panics: u64,
}

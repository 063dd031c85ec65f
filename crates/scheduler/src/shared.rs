//! What all workers of a scheduler, and its handles, share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_deque::{Injector, Steal, Stealer};
use whitebeam_sync::barrier::Heavy;
use whitebeam_sync::idle::{Idle, Wake};
use whitebeam_sync::shim::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use whitebeam_sync::steal_slot::StealSlot;

use crate::blocking::Pool;
use crate::choice::{self, Point};
use crate::clock::{Clock, TickRate, Time};
use crate::metrics::{Counter, Counters};
use crate::runnable::Runnable;
use crate::simulation::Sim;
use crate::task::quietly;
use crate::timer::Expire;
use crate::timers::{TimerKey, Timers};
use crate::watch::Watch;

/// The scheduler itself. A [`Handle`](crate::Handle) is a counted reference to it.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) rate: TickRate,
    pub(crate) tuning: Tuning,
    pub(crate) idle: Idle,
    /// Runnables from outside, and what workers leave behind when they end.
    pub(crate) injector: Injector<Runnable>,
    /// What thieves and readers see of each worker, and then of each spare. Empty in the simulation.
    pub(crate) remotes: Box<[Arc<Remote>]>,
    pub(crate) timers: Timers,
    /// Where closures run that would hold up a worker.
    pub(crate) blocking: Arc<Pool>,
    /// RUNNING, then STOPPING, then CLOSED; see [`Scheduler`](crate::Scheduler).
    state: AtomicU8,
    /// State of the generator behind [`random`](Self::random) on a real scheduler.
    draws: AtomicU64,
    pub(crate) watch: Watch,
    /// Set: there are no workers, this runs instead.
    pub(crate) sim: Option<Sim>,
}

/// The part of a worker that others see. Padded to lines of its own, the first of which has all that a run
/// touches; all of it is written by the worker alone, but for the slot's theft.
#[repr(C, align(128))]
pub(crate) struct Remote {
    /// What the worker runs next.
    pub(crate) slot: StealSlot,
    /// What has run out of work a moment ago, and waits for more of it: see [`queue`](crate::queue).
    pub(crate) quiet: StealSlot,
    /// Runs of anything: a thief sees by it whether the worker is stuck in one.
    pub(crate) runs: Counter,
    /// Runs from the queue: a thief sees by it how fast the queue moves.
    pub(crate) pops: Counter,
    /// What the worker runs, or ran last: the [word](Runnable::word) of it. 0: it fires timers.
    pub(crate) running: Counter,
    pub(crate) stealer: Stealer<Runnable>,
    pub(crate) counters: Counters,
    /// It is to call the hook for workers that rest, once more. Set by another one, reset by itself.
    pub(crate) is_asked: AtomicBool,
}

/// The numbers that a builder can change, in the units that the workers use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Messages per turn.
    pub(crate) budget: u32,
    /// Length of a time slice in ticks.
    pub(crate) slice: u64,
    /// How long a queued runnable may be expected to wait before a thief takes it, in ticks.
    pub(crate) age: u64,
    /// How long a sentinel spins before it naps, in ticks.
    pub(crate) spin: u64,
    /// The mean time between two wake-ups for timers, at least.
    pub(crate) timer_slack: Duration,
    /// How many of the threads are spares.
    pub(crate) spares: usize,
}

/// Runs.
const RUNNING: u8 = 0;
/// Workers end after the run they are in; what is scheduled stays in the shared queue.
const STOPPING: u8 = 1;
/// Nobody runs or collects anything any more; what is scheduled is dropped.
const CLOSED: u8 = 2;

impl Remote {
    pub(crate) fn new(stealer: Stealer<Runnable>, barrier: Option<Heavy>) -> Self {
        Remote {
            slot: StealSlot::new(barrier),
            quiet: StealSlot::new(barrier),
            runs: Counter::default(),
            pops: Counter::default(),
            running: Counter::default(),
            stealer,
            counters: Counters::default(),
            is_asked: AtomicBool::new(false),
        }
    }
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        tuning: Tuning,
        rate: TickRate,
        remotes: Box<[Arc<Remote>]>,
        seed: u64,
        blocking: Arc<Pool>,
        sim: Option<Sim>,
    ) -> Arc<Self> {
        let spares = tuning.spares;
        let workers = remotes.len() - spares;
        Arc::new(Shared {
            clock,
            rate,
            tuning,
            idle: Idle::with_spares(workers, spares),
            injector: Injector::new(),
            timers: Timers::new(workers.max(1), tuning.timer_slack),
            watch: Watch::new(remotes.len(), spares),
            remotes,
            blocking,
            state: AtomicU8::new(RUNNING),
            draws: AtomicU64::new(seed),
            sim,
        })
    }

    /// How many workers there are, without spares: none in the simulation.
    pub(crate) fn workers(&self) -> usize {
        self.remotes.len() - self.watch.spares.len()
    }

    /// From a thread that is no worker of this scheduler. (In a loom model what is scheduled goes elsewhere:
    /// `model`.)
    #[cfg(not(loom))]
    #[inline(never)]
    pub(crate) fn schedule_outside(&self, runnable: Runnable) {
        match &self.sim {
            Some(sim) => sim.push(runnable),
            None => {
                self.injector.push(runnable);
                self.pushed();
            }
        }
        self.drop_if_closed();
    }

    #[cfg(not(loom))]
    pub(crate) fn schedule_batch_outside(&self, batch: impl Iterator<Item = Runnable>) {
        match &self.sim {
            Some(sim) => batch.for_each(|runnable| sim.push(runnable)),
            None => {
                batch.for_each(|runnable| self.injector.push(runnable));
                self.pushed();
            }
        }
        self.drop_if_closed();
    }

    #[cfg(not(loom))]
    fn pushed(&self) {
        let wake = self.idle.look_after_push();
        self.idle.notify(wake);
    }

    /// Sets a timer from `worker`, or from outside, and sees to it that somebody wakes in time.
    pub(crate) fn timer_at(
        &self,
        worker: Option<usize>,
        deadline: Time,
        expire: Arc<dyn Expire>,
        token: u64,
    ) -> TimerKey {
        let (key, is_first) = self.timers.insert(worker, deadline, expire, token);
        if is_first && self.sim.is_none() {
            // A worker is active: the sentinel's nap is short, and the worker looks before it sleeps.
            let wake =
                if worker.is_some() { self.idle.look() } else { self.idle.look_after_push() };
            self.wake_for(wake, deadline.as_nanos());
        }
        key
    }

    /// Wakes whom a look at the idle word has named, if that one sleeps beyond `deadline`.
    pub(crate) fn wake_for(&self, wake: Wake, deadline: u64) {
        let is_needed = match wake {
            Wake::Nobody => false,
            Wake::Call => self.timers.is_nap_too_long(deadline),
            Wake::Recruit => self.timers.is_uncovered(deadline),
        };
        if is_needed {
            self.idle.notify(wake);
        }
    }

    /// Fires what is due, of all shards.
    pub(crate) fn fire_timers(&self) {
        if self.sim.is_some() {
            return;
        }
        let now = self.clock.now();
        let mut due = Vec::new();
        for shard in 0..self.timers.shards() {
            self.timers.take_due(shard, now, &mut due);
        }
        for (deadline, entry) in due {
            quietly(|| entry.expire.expire(entry.token, deadline));
        }
    }

    /// Ticks that workers have worked, all together. One that never ran anything has not: threads take time to start.
    pub(crate) fn worked(&self, now: u64) -> u64 {
        let have_run = self.remotes.iter().filter(|remote| remote.runs.read() != 0);
        have_run.map(|remote| remote.counters.worked(now)).sum()
    }

    pub(crate) fn choose(&self, point: Point, of: usize) -> usize {
        match &self.sim {
            Some(sim) if of > 1 => sim.choose(point, of),
            _ => 0,
        }
    }

    /// 64 bits: drawn from the seed in the simulation, else as good as the builder's seed.
    pub(crate) fn random(&self) -> u64 {
        match &self.sim {
            Some(sim) => {
                let half = || sim.choose(Point::Random, 1 << 32) as u64;
                half() << 32 | half()
            }
            None => choice::mix(self.draws.fetch_add(choice::STEP, Ordering::Relaxed)),
        }
    }

    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.load(Ordering::Relaxed) != RUNNING
    }

    /// RUNNING to STOPPING; wakes all threads, so that they see it.
    pub(crate) fn stop(&self) {
        // SeqCst: before the tokens of the parkers, which the workers take before they look.
        self.state.fetch_max(STOPPING, Ordering::SeqCst);
        self.idle.unpark_all();
        self.watch.lookout.call();
    }

    /// To CLOSED: from now on what is scheduled is dropped. What is still queued is dropped too, and who waits
    /// for a timer is told: a plain task is cancelled by it.
    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::SeqCst);
        self.blocking.close(&self.clock, Some(Time::ZERO));
        self.drain(drop);
        for (_, entry) in self.timers.take_all() {
            quietly(move || entry.expire.closed());
        }
    }

    /// Pushes come before this look, and `close` drains after its store: one of the two drops it.
    pub(crate) fn drop_if_closed(&self) {
        if self.state.load(Ordering::SeqCst) == CLOSED {
            self.drain(drop);
        }
    }

    /// Everything in the shared queue, in order.
    pub(crate) fn drain(&self, mut f: impl FnMut(Runnable)) {
        if let Some(sim) = &self.sim {
            return sim.drain(f);
        }
        loop {
            match self.injector.steal() {
                Steal::Success(runnable) => f(runnable),
                Steal::Retry => {}
                Steal::Empty => return,
            }
        }
    }

    /// Time from now until `deadline`, for a thread that is about to park.
    pub(crate) fn until(&self, deadline: u64) -> Duration {
        Time::from_nanos(deadline) - self.clock.now()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("workers", &self.remotes.len())
            .field("idle", &self.idle)
            .field("is_simulated", &self.sim.is_some())
            .field("is_stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}

//! What everybody holds: schedule, spawn, time.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::block_on;
use crate::choice::Point;
use crate::clock::Time;
use crate::metrics::WorkerMetrics;
use crate::runnable::Runnable;
use crate::shared::Shared;
use crate::simulation;
use crate::task::{self, Task};
use crate::timer::Expire;
use crate::timers::{Sleep, TimerKey};
use crate::worker::{Local, with_current};

/// A counted reference to a scheduler, or to a simulation, which offer the same.
///
/// Cloning costs one counter; it keeps no worker running. After the scheduler was dropped, whatever is
/// scheduled through it is dropped (a plain task is cancelled), and timers never fire.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Handle(shared)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Makes `runnable` run soon.
    ///
    /// On a worker of this scheduler it is what that worker runs next; what was next before goes to the
    /// back of the worker's queue. A few nanoseconds: no lock, no locked operation, no system call, unless
    /// something went to the queue while others sleep and nobody searches. From anywhere else it goes
    /// to the shared queue, and somebody is woken if all sleep.
    #[inline]
    pub fn schedule(&self, runnable: Runnable) {
        with_current(&self.0, |local| match local {
            Some(local) => local.schedule(runnable),
            None => self.0.schedule_outside(runnable),
        });
    }

    /// Makes `runnable` run after everything that is queued on this worker now. From anywhere else the
    /// same as [`schedule`](Self::schedule).
    #[inline]
    pub fn schedule_back(&self, runnable: Runnable) {
        with_current(&self.0, |local| match local {
            Some(local) => local.schedule_back(runnable),
            None => self.0.schedule_outside(runnable),
        });
    }

    /// Schedules all of `batch` to the back of the queue, and wakes at most one worker for all of it
    /// (which wakes the next, if there is work for two). A worker's own batch runs in order, as far as nobody
    /// takes a part of it away; one from outside is taken in portions.
    pub fn schedule_batch<I: IntoIterator<Item = Runnable>>(&self, batch: I) {
        let batch = batch.into_iter();
        with_current(&self.0, |local| match local {
            Some(local) => local.schedule_batch(batch),
            None => self.0.schedule_batch_outside(batch),
        });
    }

    /// Runs a future as a task of its own. Dropping the [`Task`] cancels it.
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        task::spawn(self, future)
    }

    /// Runs a future on the calling thread until it is ready; the thread sleeps meanwhile.
    ///
    /// In the simulation this runs the simulation, and moves its clock when nothing else is left.
    ///
    /// # Panics
    ///
    /// On a worker of this scheduler: it would hold up all that is queued there. In the simulation also
    /// when the future waits for something that can't happen any more.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            !self.is_worker(),
            "`block_on` was called on a worker of this scheduler, which would wait for itself; await the \
             future instead"
        );
        if self.is_simulated() {
            simulation::drive(&self.0, future)
        } else {
            block_on::block_on(future, self.0.rate)
        }
    }

    /// The scheduler's clock, now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.clock.now()
    }

    /// As [`now`](Self::now), as this thread's worker has read it last: up to a millisecond ago, longer behind a run that
    /// lasts. A few instructions; elsewhere than on a worker it reads the clock.
    #[inline]
    #[must_use]
    pub fn now_coarse(&self) -> Time {
        let coarse = with_current(&self.0, |local| local.map(Local::now_coarse));
        coarse.unwrap_or_else(|| self.now())
    }

    /// Ready after `duration`. See [`Sleep`].
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.clone(), self.now() + duration)
    }

    /// Ready at `deadline`. See [`Sleep`].
    pub fn sleep_until(&self, deadline: Time) -> Sleep {
        Sleep::new(self.clone(), deadline)
    }

    /// Calls `expire` with `token` at `deadline` or a little later, on a worker.
    ///
    /// Costs a lock that is rarely contended and no allocation. How much later: a slice of work (50 us) and
    /// the system's wake-up of a sleeping thread; up to the [slack](crate::Builder::timer_slack) while timers are so dense
    /// that workers would hardly sleep between them; more while every worker is inside a handler that takes longer.
    pub fn timer_at(&self, deadline: Time, expire: Arc<dyn Expire>, token: u64) -> TimerKey {
        let shard = with_current(&self.0, |local| local.map(|local| local.shard()));
        self.0.timer_at(shard, deadline, expire, token)
    }

    /// Takes a timer back; gives the time that was left. `None` when it has fired (or is being fired at this
    /// moment), or was cancelled.
    pub fn cancel(&self, timer: TimerKey) -> Option<Duration> {
        let deadline = self.0.timers.cancel(timer)?;
        Some(deadline - self.now())
    }

    /// How many timers are set and have not fired; takes each wheel's lock.
    #[must_use]
    pub fn pending_timers(&self) -> usize {
        self.0.timers.len()
    }

    /// Fires what is due, on the calling thread: for who must go on when no worker does, since each is held up
    /// in a run that does not return. Does nothing in the simulation.
    pub fn fire_timers(&self) {
        self.0.fire_timers();
    }

    /// Whether the calling thread is a worker of this scheduler, or is inside a step of this simulation.
    #[must_use]
    pub fn is_worker(&self) -> bool {
        self.worker_index().is_some()
    }

    /// Which worker of this scheduler the calling thread is; the numbers of spares come after the others'.
    #[must_use]
    pub fn worker_index(&self) -> Option<usize> {
        match &self.0.sim {
            Some(sim) => sim.is_stepping_here().then_some(0),
            None => with_current(&self.0, |local| local.map(|local| local.index())),
        }
    }

    /// How many workers there are, spares not counted: one in the simulation.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.0.workers().max(1)
    }

    /// Whether this is a simulation.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.0.sim.is_some()
    }

    /// What each worker has done, and then each spare. Empty in the simulation.
    #[must_use]
    pub fn metrics(&self) -> Vec<WorkerMetrics> {
        (0..self.0.remotes.len()).map(|index| WorkerMetrics::read(&self.0, index)).collect()
    }

    /// Runnables in the shared queue; advisory.
    #[must_use]
    pub fn injected_len(&self) -> usize {
        match &self.0.sim {
            Some(sim) => sim.len(),
            None => self.0.injector.len(),
        }
    }

    /// One of `0..of`: 0 on a real scheduler, at no cost worth speaking of; drawn in the simulation.
    #[inline]
    #[must_use]
    pub fn choose(&self, point: Point, of: usize) -> usize {
        self.0.choose(point, of)
    }

    /// 64 random bits: a function of the seed in the simulation, and on a real scheduler of its seed and of how
    /// often it was asked. Not for secrets.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.0.random()
    }

    /// Asks all workers to end after the run they are in, without waiting for them. What is scheduled
    /// from then on stays queued. [`Scheduler::shutdown`](crate::Scheduler::shutdown) waits.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether [`stop`](Self::stop) was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.0).finish()
    }
}

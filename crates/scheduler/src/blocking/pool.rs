//! The threads for blocking work, and the queue in front of them.
//!
//! # Who runs a job
//!
//! ```text
//!   a job comes    a thread sleeps                  it is claimed, and woken
//!                  none, fewer than there may be    one is started
//!                  none, all that there may be      it waits for one that becomes free
//! ```
//!
//! So each job that waits has a thread that comes for it, or all threads that there may be are busy: a job never waits
//! for another one while the pool could grow, be it that the two wait for each other. A thread that comes may find that
//! another was there first, and sleeps again.
//!
//! The thread that has slept for the shortest time is woken first: its caches are warm, and those that are too many sleep
//! on until their time is over. (A condition variable for all would wake them in turns, and none would ever leave.)
//!
//! A job that is cancelled is taken out of the queue, which is a tree by number for that; with a channel its place would
//! stay until a thread comes to it.
//!
//! # The end
//!
//! Closing drops what waits, wakes all that sleep, and waits for those that run as long as it may; then these are left
//! to themselves. A thread of the pool that closes it does not wait.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::null;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use whitebeam_sync::shim::thread_local;

use super::job::Run;
use super::{Refusal, Unfinished};
use crate::builder::Start;
use crate::clock::{Clock, Time};
use crate::metrics::BlockingMetrics;
use crate::task::quietly;

/// What a builder sets of it.
#[derive(Clone)]
pub(crate) struct Settings {
    /// What the threads are called, with a number behind.
    pub(crate) name: String,
    pub(crate) stack_size: Option<usize>,
    pub(crate) most_threads: usize,
    pub(crate) most_queued: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) start: Start,
}

/// See the module's text.
pub(crate) struct Pool {
    /// `None`: a simulation, which has no threads.
    settings: Option<Settings>,
    state: Mutex<State>,
    /// Told when a thread has ended after the pool was closed.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// By number: first come, first served.
    queue: BTreeMap<u64, Arc<dyn Run>>,
    next: u64,
    /// Threads without work; the last one has slept for the shortest time.
    idle: Vec<Arc<Condvar>>,
    /// Threads that were claimed or started, and have not looked at the queue since.
    coming: usize,
    /// Those among them that were asked of the system, or of the user's way to start one, and have not begun.
    starting: BTreeSet<u64>,
    /// In the order in which they were started. `None`: it is being started.
    threads: BTreeMap<u64, Option<JoinHandle<()>>>,
    next_thread: u64,
    /// The numbers in the names of threads.
    names: BTreeSet<usize>,
    /// Threads that have ended since it was closed.
    ended: Vec<JoinHandle<()>>,
    is_closed: bool,
    /// Somebody has waited for the threads, as long as he would.
    was_awaited: bool,
    counts: BlockingMetrics,
}

/// Where a thread stands in the pool.
#[derive(Clone, Copy)]
struct Place {
    id: u64,
    /// The number in its name.
    name: usize,
}

thread_local! {
    /// The pool that this thread belongs to: compared, never followed.
    static HERE: Cell<*const Pool> = const { Cell::new(null()) };
}

impl Pool {
    pub(crate) fn new(settings: Option<Settings>) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Pool { settings, state, ended: Condvar::new() })
    }

    /// Jobs that may wait where the queue is bounded.
    pub(super) fn most_queued(&self) -> usize {
        self.settings.as_ref().map_or(usize::MAX, |settings| settings.most_queued)
    }

    /// Takes a job, and gives the number of its place in the queue. At most `most` may wait already.
    pub(super) fn submit(
        self: &Arc<Self>,
        job: Arc<dyn Run>,
        most: Option<usize>,
    ) -> Result<u64, Refusal> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Refusal::Stopped);
        }
        let number = state.next;
        let mut start = None;
        if let Some(settings) = &self.settings {
            if let Some(sleeper) = state.idle.pop() {
                state.coming += 1;
                sleeper.notify_one();
            } else if state.threads.len() < settings.most_threads {
                state.coming += 1;
                start = Some((settings, state.reserve()));
            } else if most.is_some_and(|most| state.backlog() >= most) {
                state.counts.refused += 1;
                return Err(Refusal::Full);
            }
        }
        state.next += 1;
        state.queue.insert(number, job);
        drop(state);
        if let Some((settings, place)) = start
            && let Err(source) = self.start(settings, place)
        {
            let mut state = self.state.lock();
            if !state.starting.remove(&place.id) {
                // It has begun all the same.
                return Ok(number);
            }
            state.coming -= 1;
            state.leave(place);
            self.ended.notify_all();
            // Else it waits for one of the others.
            if state.threads.is_empty() {
                // Those as well whose own thread was not to be had a moment ago, when this one was still to come.
                let mut lost = std::mem::take(&mut state.queue);
                drop(state);
                let is_ours = lost.remove(&number).is_some();
                for job in lost.into_values() {
                    job.lose(Unfinished::NoThread(io::Error::from(source.kind())));
                }
                if is_ours {
                    return Err(Refusal::NoThread(source));
                }
            }
        }
        Ok(number)
    }

    fn start(self: &Arc<Self>, settings: &Settings, place: Place) -> io::Result<()> {
        let name = format!("{}-blocking-{}", settings.name, place.name);
        let mut thread = thread::Builder::new().name(name);
        if let Some(bytes) = settings.stack_size {
            thread = thread.stack_size(bytes);
        }
        let (pool, keep_alive) = (Arc::clone(self), settings.keep_alive);
        let body = Box::new(move || pool.live(place, keep_alive));
        // The user's. A panic was told to the panic hook.
        let start = AssertUnwindSafe(|| (settings.start)(thread, body));
        let thread = panic::catch_unwind(start).unwrap_or_else(|payload| {
            quietly(|| drop(payload));
            Err(io::Error::other("the closure that starts threads panicked"))
        })?;
        let mut state = self.state.lock();
        state.counts.started += 1;
        // It may have ended already.
        if let Some(handle) = state.threads.get_mut(&place.id) {
            *handle = Some(thread);
        }
        Ok(())
    }

    /// The life of a thread.
    fn live(self: Arc<Self>, place: Place, keep_alive: Duration) {
        HERE.with(|here| here.set(Arc::as_ptr(&self)));
        let me = Arc::new(Condvar::new());
        let mut state = self.state.lock();
        if !state.starting.remove(&place.id) {
            // It was given up: who was to start it said that he could not.
            return;
        }
        state.coming -= 1;
        loop {
            while let Some((_, job)) = state.queue.pop_first() {
                state.counts.busy += 1;
                let run = || {
                    let job = job;
                    job.run(&self);
                };
                MutexGuard::unlocked(&mut state, run);
            }
            if state.is_closed {
                break;
            }
            state.idle.push(Arc::clone(&me));
            let is_late = me.wait_for(&mut state, keep_alive).timed_out();
            match state.idle.iter().position(|sleeper| Arc::ptr_eq(sleeper, &me)) {
                None => state.coming -= 1,
                Some(at) => {
                    state.idle.remove(at);
                    if is_late && state.queue.is_empty() {
                        break;
                    }
                }
            }
        }
        let handle = state.leave(place);
        if state.is_closed {
            state.ended.extend(handle);
            self.ended.notify_all();
        }
    }

    /// A job that was waiting is given up.
    pub(super) fn cancel(&self, number: u64) {
        let mut state = self.state.lock();
        state.counts.cancelled += 1;
        let job = state.queue.remove(&number);
        drop(state);
        drop(job);
    }

    /// A job that was taken from the queue had been given up.
    pub(super) fn skipped(&self) {
        self.state.lock().counts.busy -= 1;
    }

    /// The closure of a job has returned.
    pub(super) fn done(&self, has_panicked: bool) {
        let mut state = self.state.lock();
        state.counts.busy -= 1;
        state.counts.done += 1;
        state.counts.panics += u64::from(has_panicked);
    }

    pub(super) fn metrics(&self) -> BlockingMetrics {
        let state = self.state.lock();
        let (threads, queued) = (state.threads.len(), state.queue.len());
        BlockingMetrics { threads, queued, ..state.counts.clone() }
    }

    /// Jobs that wait in a simulation.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// Whether the calling thread is of this pool, or runs a job of this simulation.
    pub(super) fn is_here(&self) -> bool {
        HERE.with(|here| std::ptr::eq(here.get(), self))
    }

    /// Runs the `at`-th of the jobs that wait in a simulation.
    pub(crate) fn run_here(&self, at: usize) {
        let mut state = self.state.lock();
        let Some(number) = state.queue.keys().nth(at).copied() else { return };
        let Some(job) = state.queue.remove(&number) else { return };
        state.counts.busy += 1;
        drop(state);
        let outer = HERE.with(|here| here.replace(self));
        job.run(self);
        HERE.with(|here| here.set(outer));
    }

    /// Takes no more jobs and drops those that wait; see the module's text. Waits for those that run until `deadline`
    /// (`None`: as long as it takes), once: who has no time to wait leaves that to another.
    pub(crate) fn close(&self, clock: &Clock, deadline: Option<Time>) {
        let mut state = self.state.lock();
        state.is_closed = true;
        for sleeper in &state.idle {
            sleeper.notify_one();
        }
        let lost = std::mem::take(&mut state.queue);
        MutexGuard::unlocked(&mut state, || {
            lost.into_values().for_each(|job| job.lose(Unfinished::Stopped));
        });
        if self.is_here() {
            return;
        }
        let has_time = deadline.is_none_or(|deadline| clock.now() < deadline);
        let waits = has_time && !std::mem::replace(&mut state.was_awaited, true);
        while waits && !state.threads.is_empty() {
            match deadline {
                None => self.ended.wait(&mut state),
                Some(deadline) => {
                    let left = deadline.saturating_since(clock.now());
                    if left.is_zero() {
                        break;
                    }
                    let _ = self.ended.wait_for(&mut state, left);
                }
            }
        }
        let ended = std::mem::take(&mut state.ended);
        drop(state);
        for thread in ended {
            // Nothing that runs on it panics; and it is over either way.
            let _ = thread.join();
        }
    }
}

impl State {
    /// A thread is about to be started. Its name gets the least number that no other has.
    fn reserve(&mut self) -> Place {
        let taken = self.names.iter().zip(0..).take_while(|(name, at)| **name == *at);
        let place = Place { id: self.next_thread, name: taken.count() };
        self.next_thread += 1;
        self.names.insert(place.name);
        self.threads.insert(place.id, None);
        self.starting.insert(place.id);
        place
    }

    /// A thread is gone.
    fn leave(&mut self, place: Place) -> Option<JoinHandle<()>> {
        self.names.remove(&place.name);
        self.threads.remove(&place.id).flatten()
    }

    /// Jobs that no thread comes for.
    fn backlog(&self) -> usize {
        self.queue.len().saturating_sub(self.coming)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.metrics().fmt(f)
    }
}

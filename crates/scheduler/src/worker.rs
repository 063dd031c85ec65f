//! A worker: one thread that runs what is in its queue, and helps others when that is empty.
//!
//! # The loop
//!
//! ```text
//!   +--> each 64 runs, or after a slice: stop? timers due? shared queue?   (pace.rs)
//!   |        |
//!   |        v
//!   |    slot or deque --> run it; if that leaves it quiet, keep it for one run, then settle it (queue.rs)
//!   |        | empty
//!   |        v
//!   |    shared queue --> run it, the batch goes into the deque
//!   |        | empty
//!   |        v
//!   +--- rest: search as the sentinel, or sleep                            (search.rs)
//! ```
//!
//! A worker that is always busy never comes to a search: each millisecond it looks for others that are held by one run,
//! and takes what is behind that. How a spare comes to work and stops is in `stand_in.rs`.
//!
//! # Who may touch it
//!
//! A [`Local`] belongs to its thread; code that runs on the worker reaches it through
//! [`current`]. What others may see is in [`Remote`](crate::shared::Remote).
//!
//! # Panics
//!
//! A panic that leaves user code unwinds to [`Local::live`], is counted, and the loop starts again: the
//! queue is whole at every point where user code runs, and the runnable in hand is used up. So one
//! `catch_unwind` serves all runs, and costs nothing for each.

mod current;
mod leisure;
mod pace;
mod search;
mod stand_in;

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use whitebeam_sync::idle::Wake;
use whitebeam_sync::{parker, prefetch};

use self::leisure::Leisure;
use self::pace::Pace;
use self::search::Sightings;
use crate::builder::Hooks;
use crate::clock::{Time, ticks};
use crate::coop::Coop;
use crate::queue::{Kept, LocalQueue};
use crate::runnable::{Left, Runnable};
use crate::shared::{Shared, Tuning};
use crate::timer::Entry;
use crate::turn::{Desk, Turn};

pub(crate) use self::current::{take_budget, with_current};

/// The owner's side of a worker.
pub(crate) struct Local {
    shared: Arc<Shared>,
    queue: LocalQueue,
    desk: Desk,
    pace: Pace,
    coop: Coop,
    /// The worker whose wheel is this one's: itself, or whom it stands in for.
    shard: Cell<usize>,
    /// What it saw of the others when it last searched.
    sightings: RefCell<Sightings>,
    /// What is to be done when it has rested for some time.
    leisure: Leisure,
    /// Timers taken out and not yet told; kept for its memory.
    due: Cell<Vec<(u64, Entry)>>,
}

/// How far ahead of the timer that is fired another one is [prepared](crate::Expire::prepare) for; that many more ahead, its
/// place is asked for. A line comes within 100 ns, a timer takes 20.
const AHEAD: usize = 6;

/// Room that a worker keeps for timers that are due, in entries of 32 bytes; more is freed.
const DUE_KEPT: usize = 1024;

/// Why a rest ended.
enum Found {
    /// This is to be run.
    Runnable(Runnable),
    /// Something is in the worker's queue, or a timer is due.
    Work,
    /// The scheduler stops.
    Stop,
}

/// Whether a worker goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Run,
    Stop,
}

impl Local {
    /// The worker `index` of `shared`, around the owner's end of its queue.
    pub(crate) fn new(shared: Arc<Shared>, index: usize, queue: LocalQueue, hooks: &Hooks) -> Self {
        let Tuning { budget, slice, .. } = shared.tuning;
        Local {
            queue,
            desk: Desk {
                worker: index,
                budget,
                slice,
                coarse: Cell::new(shared.clock.now().as_nanos()),
            },
            pace: Pace::new(slice, shared.rate),
            coop: Coop::default(),
            shard: Cell::new(index),
            leisure: Leisure::new(hooks.idle().cloned(), shared.rate),
            sightings: RefCell::new(Sightings::new(shared.remotes.len())),
            due: Cell::default(),
            shared,
        }
    }

    /// The worker's life, from its thread's start to its end.
    pub(crate) fn live(self, hooks: &Hooks) {
        let entered = current::enter(&self);
        parker::be_punctual();
        self.queue.remote().counters.begin(ticks());
        self.guarded(|| hooks.start(self.index()));
        match self.as_spare() {
            None => self.work_on(),
            Some(spare) => self.live_as(spare),
        }
        self.guarded(|| hooks.stop(self.index()));
        drop(entered);
        // What is left is the owner's, see `Scheduler::drain`.
        self.queue.drain(|runnable| self.shared.injector.push(runnable));
        self.shared.drop_if_closed();
    }

    /// The clock, as it was read last.
    #[inline]
    pub(crate) fn now_coarse(&self) -> Time {
        Time::from_nanos(self.desk.coarse.get())
    }

    pub(crate) fn index(&self) -> usize {
        self.desk.worker
    }

    /// Whose wheel it sets timers on, and looks at first.
    pub(crate) fn shard(&self) -> usize {
        self.shard.get()
    }

    /// Takes one from the budget of what runs now. `false`: none is left.
    fn take_budget(&self) -> bool {
        self.coop.take(self.queue.remote().runs.read(), self.desk.budget, self.desk.slice)
    }

    pub(crate) fn is_of(&self, shared: &Shared) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.shared), shared)
    }

    /// Makes it what this worker runs next.
    #[inline]
    pub(crate) fn schedule(&self, runnable: Runnable) {
        self.queue.push_next(runnable);
        // Also for the slot alone: what runs now may run for long.
        self.pushed();
    }

    /// To the back of this worker's queue.
    #[inline]
    pub(crate) fn schedule_back(&self, runnable: Runnable) {
        self.queue.push_back(runnable);
        self.pushed();
    }

    pub(crate) fn schedule_batch(&self, batch: impl Iterator<Item = Runnable>) {
        batch.for_each(|runnable| self.queue.push_back(runnable));
        self.pushed();
    }

    /// The deque or the slot has something that a thief could take.
    #[inline]
    fn pushed(&self) {
        if self.shared.idle.look() != Wake::Nobody {
            self.recruit();
        }
    }

    #[cold]
    fn recruit(&self) {
        if self.shared.idle.recruit() {
            self.queue.remote().counters.wakes.add(1);
        }
    }

    /// Runs `f`; `false` when a panic came out of it.
    fn guarded(&self, f: impl FnOnce()) -> bool {
        match panic::catch_unwind(AssertUnwindSafe(f)) {
            Ok(()) => true,
            Err(payload) => {
                self.queue.remote().counters.panics.add(1);
                // The payload is a user's value: its drop may panic once more, and then it is leaked.
                if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                    std::mem::forget(second);
                }
                false
            }
        }
    }

    /// Works until the scheduler stops, or this spare is relieved.
    fn work_on(&self) {
        // Again after each panic: the run it came from is over, the rest of the queue is not.
        while !self.guarded(|| self.work()) {}
    }

    fn work(&self) {
        loop {
            if self.pace.is_due() && self.look_up() == Next::Stop {
                return;
            }
            match self.queue.pop() {
                Some(runnable) => self.run(runnable),
                None => {
                    if self.run_out() == Next::Stop {
                        return;
                    }
                }
            }
        }
    }

    /// As [`run`](Self::run), where it comes up now and then.
    #[inline(never)]
    fn run_found(&self, runnable: Runnable) {
        self.run(runnable);
    }

    /// Runs it, and then those that this run brings into play again, for as long as they are next.
    #[inline(always)]
    fn run(&self, runnable: Runnable) {
        let mut next = runnable;
        loop {
            self.queue.remote().runs.add(1);
            self.queue.remote().running.publish(next.word());
            let mut turn = Turn::new(&self.desk);
            let left = next.run(&mut turn);
            if turn.is_out_of_time() {
                self.pace.hurry();
            }
            let quiet = match left {
                Left::Quiet(quiet) => quiet,
                Left::Nothing => return self.settle_quiet(),
                Left::Again(again) => {
                    self.settle_quiet();
                    return self.schedule_back(again);
                }
            };
            match self.queue.keep_quiet(quiet) {
                Kept::Settled => return,
                Kept::Next(other) => {
                    if self.pace.is_due() {
                        self.pace.hurry();
                        return self.schedule(other);
                    }
                    next = other;
                }
                Kept::Scheduled(again) => return self.schedule(again),
            }
        }
    }

    /// Settles what was quiet before the last run.
    #[inline]
    fn settle_quiet(&self) {
        if let Some(again) = self.queue.take_quiet().and_then(Runnable::settle) {
            self.schedule(again);
        }
    }

    /// Looks at everything but its own queue: whether to stop, timers, the shared queue.
    #[inline(never)]
    fn look_up(&self) -> Next {
        if self.is_over() {
            return Next::Stop;
        }
        let now = ticks();
        let look = self.pace.looked(now);
        if look.at_clock {
            self.look_at_timers(look.at_all_timers);
        }
        if look.at_all_timers {
            self.rescue(now);
        }
        if let Some(runnable) = self.take_injected() {
            self.run_found(runnable);
        }
        Next::Run
    }

    /// The queue is empty: finds something to do, or rests until there is something.
    #[inline(never)]
    fn run_out(&self) -> Next {
        // A thief has what was to run next, or that has panicked: nothing has looked at this yet.
        self.settle_quiet();
        if let Some(runnable) = self.queue.pop().or_else(|| self.take_injected()) {
            self.run_found(runnable);
            return Next::Run;
        }
        let counters = &self.queue.remote().counters;
        let begun = ticks();
        counters.rest(begun);
        self.leisure.begin(begun);
        let found = self.rest();
        let now = ticks();
        counters.resume(now);
        self.pace.resume(now);
        self.leisure.end();
        self.desk.coarse.set(self.shared.clock.now().as_nanos());
        match found {
            Found::Stop => return Next::Stop,
            Found::Work => {}
            Found::Runnable(runnable) => self.run_found(runnable),
        }
        Next::Run
    }

    fn take_injected(&self) -> Option<Runnable> {
        let before = self.queue.len();
        let runnable = self.queue.take_injected(&self.shared.injector)?;
        let taken = 1 + self.queue.len().saturating_sub(before);
        self.queue.remote().counters.injected.add(taken as u64);
        Some(runnable)
    }

    /// Reads the clock, and fires what is due on this worker's shard, or on all.
    fn look_at_timers(&self, all: bool) {
        let now = self.shared.clock.now();
        self.desk.coarse.set(now.as_nanos());
        let timers = &self.shared.timers;
        let shards = if all { 0..timers.shards() } else { self.shard()..self.shard() + 1 };
        for shard in shards {
            if timers.next_of(shard) <= now.as_nanos() {
                let mut due = self.due.take();
                timers.take_due(shard, now, &mut due);
                self.queue.remote().counters.timers.add(due.len() as u64);
                self.queue.remote().running.publish(0);
                for (at, (deadline, entry)) in due.iter().enumerate() {
                    if let Some((_, ahead)) = due.get(at + 2 * AHEAD) {
                        prefetch(Arc::as_ptr(&ahead.expire));
                    }
                    if let Some((_, ahead)) = due.get(at + AHEAD) {
                        self.guarded(|| ahead.expire.prepare());
                    }
                    self.guarded(|| entry.expire.expire(entry.token, *deadline));
                }
                due.clear();
                due.shrink_to(DUE_KEPT);
                self.due.set(due);
            }
        }
    }
}

//! A worker's own queue: one slot for what runs next, a FIFO deque for the rest.
//!
//! ```text
//!   schedule --> [slot] --displaced--> [ deque: back ... front ] --> run
//!                  |                                    |
//!                  +--> run (at most 32 in a row        +--> thieves: half of it,
//!                       while the deque has work)            when it would wait too long
//! ```
//!
//! What was made runnable last runs first, because its message is still in the cache: a hop of a ping-pong
//! costs 19 ns so, and 28 without the slot. The limit keeps two actors that wake each other from
//! starving the deque. First in, first out, and not the other way round: a target that gave its turn
//! up goes behind all others.
//!
//! # The quiet place
//!
//! A target that has run out of messages is not settled at once when another one is about to run: it may be
//! just that one which sends it its next message, as in a call or a ping-pong. It is put beside the queue
//! instead, still scheduled as far as senders are concerned, so that they have nothing to schedule, and looked
//! at after the next run: settled if nothing came in, else made the next to run. That saves a locked
//! operation of two and the way through the slot. It is never left there for longer than one run; should that
//! one take long, a thief takes it as it takes the slot. Where it is in vain it is not tried for a while.
//!
//! The deque is the one of Chase and Lev ("Dynamic Circular Work-Stealing Deque", SPAA 2005) in
//! crossbeam's version, whose FIFO flavour takes from the thieves' end for the owner too.

#![expect(unsafe_code, reason = "the owner's side of the slot, which holds runnables as raw words")]

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;

use crossbeam_deque::{Injector, Steal, Worker};
use whitebeam_sync::barrier::Heavy;
use whitebeam_sync::steal_slot::Stolen;

use crate::runnable::Runnable;
use crate::shared::Remote;

/// Runs from the slot in a row while the deque has work. Larger: a pair that never stops delays the
/// others; smaller: a pair's messages leave the cache more often. W3 and W10 see both ends.
const SLOT_RUNS: u32 = 32;

/// Failures in a row after which nothing is kept quiet for a while: chains and rings never come back in time, and
/// would pay for the exchange at each hop.
const LUCK: i32 = 4;

/// How often nothing is kept then: what a change of pattern costs, against the price of the tries.
const PAUSE: i32 = 64;

/// The most that is stolen at once. Half a queue of a million would be a pause for the thief.
const STEAL_MOST: usize = 4_096;

/// The owner's end of a worker's queue. Its other end is in [`Remote`].
///
/// There is one for each `Remote`, since both are made by [`new`](Self::new), and it is not `Sync`:
/// that makes its thread the owner of the slot.
pub(crate) struct LocalQueue {
    deque: Worker<Runnable>,
    /// Runs from the slot since the last one from the deque.
    slot_runs: Cell<u32>,
    /// How often in a row keeping something quiet may still be in vain; below zero, how often it is not to be
    /// tried.
    luck: Cell<i32>,
    remote: Arc<Remote>,
}

impl LocalQueue {
    /// A queue: the owner's end, and the other one.
    pub(crate) fn new(barrier: Option<Heavy>) -> (Self, Arc<Remote>) {
        let deque = Worker::new_fifo();
        let remote = Arc::new(Remote::new(deque.stealer(), barrier));
        (
            LocalQueue {
                deque,
                slot_runs: Cell::new(0),
                luck: Cell::new(LUCK),
                remote: Arc::clone(&remote),
            },
            remote,
        )
    }

    #[inline]
    pub(crate) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Into the slot; what was there goes to the deque.
    #[inline]
    pub(crate) fn push_next(&self, runnable: Runnable) {
        // SAFETY: this is the owner's end, on its one thread (see the type).
        if let Some(displaced) = unsafe { self.remote.slot.replace(runnable.into_raw()) } {
            self.deque.push(from_slot(displaced));
        }
    }

    /// To the back of the deque.
    #[inline]
    pub(crate) fn push_back(&self, runnable: Runnable) {
        self.deque.push(runnable);
    }

    /// What is to run next.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Runnable> {
        let slot_runs = self.slot_runs.get();
        if slot_runs < SLOT_RUNS
            && let Some(runnable) = self.take_slot()
        {
            self.slot_runs.set(slot_runs + 1);
            return Some(runnable);
        }
        self.slot_runs.set(0);
        match self.deque.pop() {
            Some(runnable) => {
                self.remote.pops.add(1);
                Some(runnable)
            }
            None => self.take_slot(),
        }
    }

    #[inline]
    fn take_slot(&self) -> Option<Runnable> {
        // SAFETY: this is the owner's end, on its one thread (see the type).
        unsafe { self.remote.slot.take() }.map(from_slot)
    }

    /// Keeps what a run has left quiet, if something else runs next, in the place of what was kept before.
    #[inline]
    pub(crate) fn keep_quiet(&self, quiet: Runnable) -> Kept {
        let is_last = self.remote.slot.is_empty();
        if self.remote.quiet.is_empty() && (is_last || !self.is_worth_keeping()) {
            return Kept::settle(quiet);
        }
        self.exchange_quiet(quiet, is_last)
    }

    /// Puts it there, and looks at what was there before.
    #[inline(never)]
    fn exchange_quiet(&self, quiet: Runnable, is_last: bool) -> Kept {
        // SAFETY: this is the owner's end, on its one thread (see the type).
        let Some(before) = unsafe { self.remote.quiet.replace(quiet.into_raw()) }.map(from_slot)
        else {
            return if is_last { self.settle_kept() } else { Kept::Settled };
        };
        if let Some(before) = before.settle() {
            self.luck.set(LUCK);
            // As in `pop`: a pair that keeps itself going leaves the deque its share.
            if is_last && self.slot_runs.get() < SLOT_RUNS {
                self.slot_runs.set(self.slot_runs.get() + 1);
                return Kept::Next(before);
            }
            return Kept::Scheduled(before);
        }
        self.was_in_vain();
        if is_last || self.luck.get() < 0 { self.settle_kept() } else { Kept::Settled }
    }

    fn settle_kept(&self) -> Kept {
        self.take_quiet().map_or(Kept::Settled, Kept::settle)
    }

    #[inline]
    fn is_worth_keeping(&self) -> bool {
        let luck = self.luck.get();
        if luck < 0 {
            self.luck.set(luck + 1);
        }
        luck >= 0
    }

    fn was_in_vain(&self) {
        let luck = self.luck.get();
        self.luck.set(if luck == 0 { -PAUSE } else { luck - 1 });
    }

    /// What was kept, if no thief has it.
    #[inline]
    pub(crate) fn take_quiet(&self) -> Option<Runnable> {
        // SAFETY: this is the owner's end, on its one thread (see the type).
        unsafe { self.remote.quiet.take() }.map(from_slot)
    }

    /// Length of the deque.
    pub(crate) fn len(&self) -> usize {
        self.deque.len()
    }

    /// One runnable of the shared queue, and some more into the deque.
    pub(crate) fn take_injected(&self, injector: &Injector<Runnable>) -> Option<Runnable> {
        while !injector.is_empty() {
            match injector.steal_batch_and_pop(&self.deque) {
                Steal::Success(runnable) => return Some(runnable),
                Steal::Empty => return None,
                Steal::Retry => std::hint::spin_loop(),
            }
        }
        None
    }

    /// Half of another worker's deque into this one; `false` when nothing came of it.
    pub(crate) fn steal_from(&self, victim: &Remote) -> bool {
        loop {
            match victim.stealer.steal_batch_with_limit(&self.deque, STEAL_MOST) {
                Steal::Success(()) => return true,
                Steal::Empty => return false,
                Steal::Retry => std::hint::spin_loop(),
            }
        }
    }

    /// What another worker would run next, or keeps quiet, to the back of this deque; `false` when nothing came
    /// of it.
    pub(crate) fn steal_slot_of(&self, victim: &Remote) -> bool {
        [&victim.slot, &victim.quiet].into_iter().any(|slot| match slot.steal() {
            Stolen::Taken(runnable) => {
                self.deque.push(from_slot(runnable));
                true
            }
            Stolen::Empty | Stolen::Refused => false,
        })
    }

    /// Everything, in the order in which it would have run. What is quiet is settled.
    pub(crate) fn drain(&self, mut f: impl FnMut(Runnable)) {
        if let Some(runnable) = self.take_quiet().and_then(Runnable::settle) {
            f(runnable);
        }
        if let Some(runnable) = self.take_slot() {
            f(runnable);
        }
        while let Some(runnable) = self.deque.pop() {
            f(runnable);
        }
    }
}

/// What came of [`keep_quiet`](LocalQueue::keep_quiet).
pub(crate) enum Kept {
    /// Nothing to do: it is kept, or idle.
    Settled,
    /// What was kept before has something to do, and is next.
    Next(Runnable),
    /// One that has something to do, and is to be scheduled.
    Scheduled(Runnable),
}

impl Kept {
    #[inline]
    fn settle(quiet: Runnable) -> Self {
        quiet.settle().map_or(Kept::Settled, Kept::Scheduled)
    }
}

/// What a slot gave back.
#[inline]
fn from_slot(raw: NonNull<()>) -> Runnable {
    // SAFETY: `push_next` and `keep_quiet` alone fill slots, with `into_raw`, and a slot gives each content once.
    unsafe { Runnable::from_raw(raw) }
}

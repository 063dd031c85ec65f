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
    remote: Arc<Remote>,
}

impl LocalQueue {
    /// A queue: the owner's end, and the other one.
    pub(crate) fn new(barrier: Option<Heavy>) -> (Self, Arc<Remote>) {
        let deque = Worker::new_fifo();
        let remote = Arc::new(Remote::new(deque.stealer(), barrier));
        (LocalQueue { deque, slot_runs: Cell::new(0), remote: Arc::clone(&remote) }, remote)
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

    /// What another worker would run next, to the back of this deque; `false` when nothing came of it.
    pub(crate) fn steal_slot_of(&self, victim: &Remote) -> bool {
        match victim.slot.steal() {
            Stolen::Taken(runnable) => {
                self.deque.push(from_slot(runnable));
                true
            }
            Stolen::Empty | Stolen::Refused => false,
        }
    }

    /// Everything, in the order in which it would have run.
    pub(crate) fn drain(&self, mut f: impl FnMut(Runnable)) {
        if let Some(runnable) = self.take_slot() {
            f(runnable);
        }
        while let Some(runnable) = self.deque.pop() {
            f(runnable);
        }
    }
}

/// What a slot gave back.
#[inline]
fn from_slot(raw: NonNull<()>) -> Runnable {
    // SAFETY: `push_next` alone fills slots, with `into_raw`, and a slot gives each content once.
    unsafe { Runnable::from_raw(raw) }
}

//! A slot that costs its owner nothing and that others can empty.
//!
//! A worker keeps what it made runnable last in one slot, outside its queue, because that is the best
//! thing to run next: its message is still in the cache. It fills and empties the slot for every
//! message, so the owner's side must not pay for a locked operation (5 ns of a hop of 19). But a slot
//! nobody else can reach strands its content while the owner runs a long handler: so a thief can empty
//! it, at the price of a system call, when the owner has stood still for long.
//!
//! # States
//!
//! ```text
//!   empty --replace--> full --take / steal--> empty         the word: null or the content
//!   open  --steal begins (CAS)--> claimed --steal ends--> open      the thieves' side
//! ```
//!
//! # Who may write
//!
//! | field | writer | allowed when |
//! | --- | --- | --- |
//! | `word` | owner, by plain load and store | between `busy = 1` and `busy = 0`, having read `intent == 0` in between |
//! | `word` | owner, by swap | always |
//! | `word` | thief, by swap | it holds `intent`, and saw `busy == 0` after the barrier |
//! | `busy` | owner | always |
//! | `intent` | thieves, by CAS from 0; the winner writes 0 | always |
//!
//! # Operations
//!
//! Owner (`replace`, `take`): 1. `busy = 1`; 2. [`light`]; 3. read `intent`; 4. when 0: read and write
//! the word plainly; 5. `busy = 0`. When `intent` is set: `busy = 0`, then swap the word.
//!
//! Thief (`steal`): 1. CAS `intent` 0 to 1, else give up; 2. [`Heavy::heavy`]; 3. wait until `busy` is
//! 0, give up after a while; 4. swap the word for null; 5. `intent = 0`.
//!
//! # Orderings
//!
//! | operation | ordering | pairs with | breaks if weaker |
//! | --- | --- | --- | --- |
//! | owner: store `busy`, light, load `intent` | barrier pair | thief: CAS `intent`, heavy, load `busy` | both pass: a plain access meets a swap, a content is run twice or lost |
//! | owner: store `word` | Release | thief: swap | the content's memory is not seen by the thief |
//! | owner: store `busy = 0` | Release | thief: load `busy` Acquire | the thief swaps an older word |
//! | thief: store `intent = 0` | Release | owner: load `intent` Acquire | the owner takes, plainly, what the thief has taken |
//!
//! # Why nothing is lost or taken twice
//!
//! Plain accesses and a thief's swap exclude each other. If the owner read `intent == 0`, then by the
//! barrier its `busy = 1` is visible to the thief after `heavy`, and the thief waits for step 5; what
//! the owner wrote is then visible by the Release of `busy = 0`. If the owner read `intent == 1`, it
//! uses a swap, which needs no exclusion. The next owner operation that reads `intent == 0` again
//! reads it from the thief's last store (or an older one that the barrier argument covers) and so sees
//! the thief's swap.
//!
//! # Where there is no such barrier
//!
//! [`StealSlot::new`] with `None` makes a slot whose owner always swaps: 5 ns dearer, simply correct.
//!
//! # Cost
//!
//! Owner, biased: 4 plain stores and 2 loads of its own line. Thief: 3.3 us. 16 bytes.
//!
//! # Checked by
//!
//! loom (`tests/loom_steal_slot.rs`) checks the swapping form only: a barrier that acts on other
//! threads can't be modelled. The biased form: the litmus test in [`barrier`](crate::barrier) and
//! `tests/stress.rs`, also under ThreadSanitizer.

use std::ptr::{self, NonNull};

use crate::barrier::{Heavy, light};
use crate::shim::atomic::{AtomicPtr, AtomicU8, Ordering};
use crate::shim::hint;

#[cfg(test)]
mod tests;

/// How often a thief looks whether the owner is out of its few instructions. Only an owner whose
/// thread was preempted inside them takes longer; a thief has better things to do than wait for it.
const PATIENCE: u32 = if cfg!(loom) { 2 } else { 1_000 };

/// One pointer, put and taken by an owner, stolen by others. See the [module](self).
///
/// It owns nothing: what the pointer means, and dropping it, is the user's concern.
#[derive(Debug)]
pub struct StealSlot {
    word: AtomicPtr<()>,
    /// The owner is between steps 1 and 5.
    busy: AtomicU8,
    /// A thief is between steps 1 and 5.
    intent: AtomicU8,
    /// Set: the owner is biased, thieves pay. Never changes.
    barrier: Option<Heavy>,
}

/// What a thief got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stolen {
    /// The content.
    Taken(NonNull<()>),
    /// There was none.
    Empty,
    /// Another thief is at it, the owner stands inside its critical instructions, or the system has
    /// refused the barrier. Nothing was taken.
    Refused,
}

impl StealSlot {
    /// An empty slot; biased towards its owner when the process has a [`Heavy`] barrier.
    #[must_use]
    pub fn new(barrier: Option<Heavy>) -> Self {
        StealSlot {
            word: AtomicPtr::new(ptr::null_mut()),
            busy: AtomicU8::new(0),
            intent: AtomicU8::new(0),
            barrier,
        }
    }

    /// Puts `content`; gives back what was there.
    ///
    /// # Safety
    ///
    /// Only one thread at a time is the owner: it alone calls `replace` and `take`.
    #[inline]
    #[must_use]
    pub unsafe fn replace(&self, content: NonNull<()>) -> Option<NonNull<()>> {
        NonNull::new(self.exchange(content.as_ptr()))
    }

    /// Empties the slot.
    ///
    /// # Safety
    ///
    /// As [`replace`](Self::replace).
    #[inline]
    #[must_use]
    pub unsafe fn take(&self) -> Option<NonNull<()>> {
        // Only the owner fills the slot, so an empty one stays empty: no handshake.
        if self.word.load(Ordering::Relaxed).is_null() {
            return None;
        }
        NonNull::new(self.exchange(ptr::null_mut()))
    }

    /// Whether there is something; for anyone, already old when it is known.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.word.load(Ordering::Relaxed).is_null()
    }

    /// Empties the slot from another thread. Dear: see the [module](self).
    pub fn steal(&self) -> Stolen {
        if self.is_empty() {
            return Stolen::Empty;
        }
        let Some(barrier) = self.barrier else {
            return taken(self.word.swap(ptr::null_mut(), Ordering::AcqRel));
        };
        let claim = self.intent.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        if claim.is_err() {
            return Stolen::Refused;
        }
        let stolen = if barrier.heavy() && self.owner_is_out() {
            taken(self.word.swap(ptr::null_mut(), Ordering::AcqRel))
        } else {
            Stolen::Refused
        };
        self.intent.store(0, Ordering::Release);
        stolen
    }

    fn owner_is_out(&self) -> bool {
        for _ in 0..PATIENCE {
            if self.busy.load(Ordering::Acquire) == 0 {
                return true;
            }
            hint::spin_loop();
        }
        false
    }

    /// The owner's exchange: plain where it may be, else a swap.
    #[inline]
    fn exchange(&self, new: *mut ()) -> *mut () {
        if self.barrier.is_none() {
            return self.word.swap(new, Ordering::AcqRel);
        }
        self.busy.store(1, Ordering::Relaxed);
        light();
        // Acquire: a 0 that a thief has written brings the thief's swap with it.
        if self.intent.load(Ordering::Acquire) != 0 {
            return self.exchange_contended(new);
        }
        let old = self.word.load(Ordering::Relaxed);
        self.word.store(new, Ordering::Release);
        self.busy.store(0, Ordering::Release);
        old
    }

    #[cold]
    fn exchange_contended(&self, new: *mut ()) -> *mut () {
        self.busy.store(0, Ordering::Release);
        self.word.swap(new, Ordering::AcqRel)
    }
}

fn taken(word: *mut ()) -> Stolen {
    NonNull::new(word).map_or(Stolen::Empty, Stolen::Taken)
}

//! The timing wheel: which timers are due, in deadline order, at constant cost per timer.
//!
//! This part knows deadlines and nothing else: no clock (every `now` is handed in), no threads, no
//! lock. One [`Wheel`] is one shard of the scheduler's timers; who locks it, who sleeps until the
//! next deadline and who runs what has expired is decided by its user.
//!
//! # Contract
//!
//! * **Never early**: an entry leaves [`Wheel::expire`] only with a `now` at or after its deadline.
//! * **In order**: what leaves one `expire` is sorted by deadline, and by order of insertion where
//!   deadlines are equal. Later calls give only later deadlines, or ones that were already due when
//!   they were inserted.
//! * **Never lost**: a `now` at or after a deadline takes the entry out, however far the clock
//!   jumped, and deadlines may lie anywhere in a `u64` of nanoseconds (584 years).
//! * **Keys are not confused**: a [`Key`] names one insertion for as long as the wheel lives. Once
//!   that entry has expired or was cancelled, its key finds nothing, also when its place has been
//!   used again.
//!
//! # Algorithm
//!
//! The hierarchical timing wheel, scheme 7 of G. Varghese and T. Lauck, "Hashed and Hierarchical
//! Timing Wheels: Data Structures for the Efficient Implementation of a Timer Facility", SOSP 1987.
//! What differs here:
//!
//! * A slot of the lowest wheel is a *tick* of 131 us, yet delivery is exact: entries keep their
//!   deadline to the nanosecond, and the slot that holds `now` gives up only what is due.
//! * The lowest wheel has 128 slots, the next one 1024, those above 64 each, so that common delays pass through one
//!   or two, and few entries are moved at one go.
//! * No per-tick work: occupancy bitmaps lead from one occupied slot to the next, so a clock that
//!   jumped by an hour costs no more than one that moved by a tick.
//! * Each slot keeps the earliest deadline it was given while occupied, so that the time to sleep
//!   is known exactly, not to a slot's start, unless an earlier entry of that slot was cancelled.
//!
//! # Files
//!
//! [`wheel`]: the wheels as one clock, insertion, cascading, expiry. [`level`]: one wheel of the
//! hierarchy, bitmap and lists. [`entries`]: where entries live, keys and their generations,
//! memory.
//!
//! # Cost
//!
//! Insert, remove: O(1), no search; insert allocates once in 256 entries. Expiry: O(1) per entry,
//! plus one move for each level it starts above the lowest (none below 17 ms, one below 17 s, four
//! for a day), plus the sort of a tick's entries. Memory: 60 to 64 bytes per pending entry, 36 KiB
//! for a wheel in use, nothing to speak of for one that never had a timer. After a burst the memory
//! of entries and lists is given back as they empty ([`entries`] has the rule).
//!
//! # Checked by
//!
//! `timer/tests.rs`: properties against a sorted map as the model, with the structure's invariants
//! verified after each step; cases for ties, clock jumps, far deadlines, keys and memory.

mod entries;
mod level;
mod wheel;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub(crate) use self::entries::Key;
pub(crate) use self::wheel::Wheel;

/// What is done when a timer is due.
///
/// One value usually serves many timers: `token` tells them apart, so that a timer needs no
/// allocation of its own.
pub trait Expire: Send + Sync {
    /// Called once for each timer that was not cancelled, at or after `deadline` (nanoseconds of
    /// the scheduler's clock), by whichever worker found it due and with no lock held.
    fn expire(&self, token: u64, deadline: u64);

    /// Told a moment ahead of [`expire`](Self::expire), where many timers are due at once: the time to
    /// [ask](whitebeam_sync::prefetch) for memory that `expire`, and what it brings about, will look at. A hint:
    /// it may not come, and no lock is held when it does. Does nothing, unless said otherwise.
    fn prepare(&self) {}

    /// Called instead when the scheduler ends before the deadline, with no lock held: whatever waits for it
    /// waits in vain.
    fn closed(&self) {}
}

/// A timer's payload: whom to tell, and the word that says which of their timers it was.
#[derive(Clone)]
pub(crate) struct Entry {
    /// Told when the deadline has come.
    pub(crate) expire: Arc<dyn Expire>,
    /// Handed to [`Expire::expire`] as it is.
    pub(crate) token: u64,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("token", &self.token).finish_non_exhaustive()
    }
}

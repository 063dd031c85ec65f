//! The gate of a guarded inbox: lets so many messages in as there is room for, exactly, and nobody past those who
//! wait for room.
//!
//! Whoever sends to a [guarded](crate::inbox::Inbox::guard) inbox is let in here first, and pushes then. There is
//! room while fewer than `limit` of those that were let in have not been taken; how many were taken the owner of the
//! inbox publishes itself, as it does for the inbox's length.
//!
//! # The word
//!
//! ```text
//!   63       62 ............................................... 0
//!  | WAITING | number ever let in                               |
//! ```
//!
//! The number does not come round: 2^63 messages take centuries. Its lower 32 bits are compared with the number
//! taken, which is mod 2^32.
//!
//! # Who may write
//!
//! | what | writer | allowed when |
//! | --- | --- | --- |
//! | the number | anyone, by CAS | there is room, and nobody waits or the queue's lock is held |
//! | `WAITING` | anyone | the lock of the queue of those who wait is held; it says whether that has anybody in it |
//! | `taken` | the owner, upwards | always |
//!
//! # Why there are never too many
//!
//! `taken` only grows, and is read before the CAS that lets in, which compares the number. So what is counted as
//! waiting at the CAS is what waits indeed, or more. The number does not come back to a former value, so that a
//! sender that was held up between the two is not let in by chance. (This is what a count of 15 bits in the inbox's
//! own word could not give: there the same node and the same count can be seen again after 32,768 messages.)
//!
//! # Why nobody is turned away without reason
//!
//! *Full* is answered only if `taken` was the same before and after the word was read: when it was read, `limit` of
//! those let in had not been taken. One that was let in and is not pushed yet has its place.
//!
//! # Why nobody gets past those who wait
//!
//! Who is to wait sets `WAITING` by an RMW on the word, and a plain sender comes in by a CAS that expects it clear:
//! either the sender came first, or it finds that somebody waits ([`Entry::Behind`]).
//!
//! # Orderings
//!
//! The word carries no data: what a message is, the inbox publishes. The CAS are AcqRel so that who finds `WAITING`
//! finds also what was done before it was set. `taken` is published relaxed; a reader that sees it ahead of the word
//! (it was let in, pushed and taken, and the reader sees only the last of these) finds a negative length, and reads
//! again.
//!
//! # Cost
//!
//! One RMW for each message. Refusals write nothing.
//!
//! # Checked by
//!
//! loom: `inbox/tests/loom_guard.rs`. Threads: `inbox/tests/stress.rs`. One thread: below.

use std::fmt;

use crate::shim::{
    atomic::{AtomicU64, Ordering},
    hint,
};

/// Somebody waits for room.
const WAITING: u64 = 1 << 63;

/// See the module's text. 8 bytes.
#[derive(Default)]
pub struct Gate(AtomicU64);

/// What the gate says to a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "who is let in has to push, or its place is taken for ever"]
pub enum Entry {
    /// It is let in, and pushes now.
    Admitted,
    /// There is no room.
    Full,
    /// There is room, for somebody who waits for it.
    Behind,
}

impl Gate {
    /// The gate of an inbox on which nothing was pushed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Asks to be let in. `limit` is less than 2^31; `taken` reads how many of those let in were taken, mod 2^32.
    #[inline]
    pub fn enter(&self, limit: u32, taken: impl Fn() -> u32) -> Entry {
        self.enter_if(limit, taken, |word| word & WAITING == 0)
    }

    /// As [`enter`](Self::enter), for who has the queue's lock, and whose turn it is.
    #[must_use = "as for an `Entry`"]
    pub fn enter_next(&self, limit: u32, taken: impl Fn() -> u32) -> bool {
        self.enter_if(limit, taken, |_| true) == Entry::Admitted
    }

    #[inline]
    fn enter_if(
        &self,
        limit: u32,
        taken: impl Fn() -> u32,
        may_pass: impl Fn(u64) -> bool,
    ) -> Entry {
        loop {
            let before = taken();
            // Acquire: `taken` is read again behind it.
            let word = self.0.load(Ordering::Acquire);
            let waits = (word as u32).wrapping_sub(before);
            if waits.cast_signed() < 0 {
                hint::spin_loop();
                continue;
            }
            if waits >= limit {
                if taken() == before {
                    return Entry::Full;
                }
                continue;
            }
            if !may_pass(word) {
                return Entry::Behind;
            }
            let entered =
                self.0.compare_exchange(word, word + 1, Ordering::AcqRel, Ordering::Relaxed);
            if entered.is_ok() {
                return Entry::Admitted;
            }
        }
    }

    /// Something will be counted as taken that needed no room. For who publishes that, before.
    pub fn count_in(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// Somebody waits from now on. For who has the queue's lock.
    pub fn set_waiting(&self) {
        self.0.fetch_or(WAITING, Ordering::AcqRel);
    }

    /// Nobody waits any more. For who has the queue's lock.
    pub fn clear_waiting(&self) {
        self.0.fetch_and(!WAITING, Ordering::AcqRel);
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0.load(Ordering::Relaxed);
        f.debug_struct("Gate")
            .field("admitted", &(word & !WAITING))
            .field("waiting", &(word & WAITING != 0))
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn as_many_come_in_as_there_is_room_for() {
        let gate = Gate::new();
        assert_eq!(
            [0; 3].map(|taken| gate.enter(2, || taken)),
            [Entry::Admitted, Entry::Admitted, Entry::Full]
        );
        assert_eq!(gate.enter(2, || 1), Entry::Admitted);
        assert_eq!(gate.enter(2, || 1), Entry::Full);
    }

    #[test]
    fn nobody_comes_in_before_those_who_wait() {
        let gate = Gate::new();
        gate.set_waiting();
        assert_eq!(gate.enter(2, || 0), Entry::Behind);
        assert!(gate.enter_next(2, || 0) && gate.enter_next(2, || 0));
        assert!(!gate.enter_next(2, || 0));
        assert_eq!(gate.enter(2, || 0), Entry::Full);
        gate.clear_waiting();
        assert_eq!(gate.enter(2, || 2), Entry::Admitted);
    }

    #[test]
    fn the_numbers_may_come_round() {
        let gate = Gate(AtomicU64::new(u64::from(u32::MAX)));
        assert_eq!(gate.enter(1, || u32::MAX), Entry::Admitted);
        assert_eq!(gate.enter(1, || u32::MAX), Entry::Full);
        assert_eq!(gate.enter(1, || 0), Entry::Admitted);
    }

    #[test]
    fn a_place_that_becomes_free_while_one_looks_is_found() {
        let gate = Gate::new();
        assert_eq!(gate.enter(1, || 0), Entry::Admitted);
        let looks = std::cell::Cell::new(0);
        // Taken between the two looks.
        let taken = || {
            looks.set(looks.get() + 1);
            u32::from(looks.get() > 1)
        };
        assert_eq!(gate.enter(1, taken), Entry::Admitted);
    }
}

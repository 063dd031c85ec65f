//! The budget of one turn: how long a target may stay on its worker.
//!
//! A turn ends after so many messages (fairness among equals) or after a time slice (fairness towards
//! the fast when some are slow). A look at the clock costs half of what a message costs, so it is
//! rationed:
//!
//! ```text
//! message of the turn     1   2   3   4   5 .. 11   12   13 .. 19   20 ..
//! an ordinary target      -   -   -   L   -  ..  -   L    -  ..  -   L      L: looks at the clock
//! a slow one            L L   L   L   L   L ..  L    L    L ..  L    L
//! ```
//!
//! The first four messages are free: most turns are no longer. A target whose eight messages between
//! two looks took more than a slice is *slow*: it is looked after at each message, from the beginning of
//! its next turn on, until its messages take less than a sixteenth of a slice again. The mark is kept by
//! the target ([`Turn::mark_slow`], [`Turn::is_slow`]), the scheduler has no place for it.
//!
//! A turn that ended by time makes the worker look at its timers and at the shared queue before it runs
//! anything else.
//!
//! In the simulation the budget of messages is drawn for each turn, and there is no slice.

use std::cell::Cell;
use std::fmt;

use crate::clock::{Time, ticks};

/// Messages at the start of a turn that are not timed.
pub(crate) const FREE: u32 = 4;
/// Messages between two looks at the clock.
pub(crate) const STRIDE: u32 = 8;
/// A slow target is no longer slow when its messages take less than this part of a slice.
const RECOVERED: u64 = 16;

/// One turn of a target on a worker: what it may use up before it has to give way.
///
/// A turn is over after so many messages or after a time slice. The clock is looked at after the first four
/// messages and then each eight; for a target that is [marked slow](Self::mark_slow), at each.
pub struct Turn<'a> {
    /// Messages so far.
    used: u32,
    /// The value of `used` at which something is to be done.
    next: u32,
    /// Messages until the turn is over.
    budget: u32,
    slow: bool,
    out_of_time: bool,
    /// The clock at the first look, 0 before it.
    started: u64,
    /// The clock at the last look.
    looked: u64,
    desk: &'a Desk,
}

/// What all turns on one worker have in common.
pub(crate) struct Desk {
    pub(crate) worker: usize,
    /// Messages per turn.
    pub(crate) budget: u32,
    /// Length of a slice in ticks; 0 when turns are not timed.
    pub(crate) slice: u64,
    /// When the worker last looked at the scheduler's clock, in nanoseconds.
    pub(crate) coarse: Cell<u64>,
}

impl<'a> Turn<'a> {
    #[inline]
    pub(crate) fn new(desk: &'a Desk) -> Self {
        Turn {
            used: 0,
            next: FREE.min(desk.budget),
            budget: desk.budget,
            slow: false,
            out_of_time: false,
            started: 0,
            looked: 0,
            desk,
        }
    }

    /// Counts one message as handled. `true`: the turn is over, and the target should say
    /// [`Again`](crate::Ran::Again) if it has work left.
    #[inline]
    #[must_use]
    pub fn tick(&mut self) -> bool {
        self.used += 1;
        if self.used < self.next {
            return false;
        }
        self.look()
    }

    /// At the start of a turn: it is over after `messages` at most, also if that is less than for others.
    #[cold]
    pub fn limit(&mut self, messages: u32) {
        self.budget = self.budget.min(messages).max(1);
        self.next = self.next.min(self.budget);
    }

    /// Messages counted so far in this turn.
    #[inline]
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.used
    }

    /// At the start of a turn: the target [was slow](Self::is_slow) in its last one.
    #[cold]
    pub fn mark_slow(&mut self) {
        if self.desk.slice == 0 {
            return;
        }
        self.slow = true;
        self.next = 1;
        self.started = ticks();
        self.looked = self.started;
    }

    /// At the end of a turn: whether the target is to be marked slow in its next one.
    #[inline]
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.slow && !self.has_recovered()
    }

    /// The scheduler's time when the worker last looked at it: at most about a slice of work ago, more
    /// when a single message takes longer.
    #[inline]
    #[must_use]
    pub fn now_coarse(&self) -> Time {
        Time::from_nanos(self.desk.coarse.get())
    }

    /// Index of the worker; those of spares come after the others'.
    #[inline]
    #[must_use]
    pub fn worker(&self) -> usize {
        self.desk.worker
    }

    #[inline]
    pub(crate) fn is_out_of_time(&self) -> bool {
        self.out_of_time
    }

    #[inline(never)]
    fn look(&mut self) -> bool {
        if self.used >= self.budget {
            return true;
        }
        if self.desk.slice == 0 {
            self.next = self.budget;
            return false;
        }
        let now = ticks();
        if self.started == 0 {
            self.started = now;
        } else {
            // The counters of two sockets may differ: a negative difference counts as none.
            self.slow |= now.saturating_sub(self.looked) >= self.desk.slice;
            self.out_of_time = now.saturating_sub(self.started) >= self.desk.slice;
        }
        self.looked = now;
        let stride = if self.slow { 1 } else { STRIDE };
        self.next = (self.used + stride).min(self.budget);
        self.out_of_time
    }

    #[cold]
    fn has_recovered(&self) -> bool {
        let spent = self.looked.saturating_sub(self.started);
        // A turn that became slow just now has its first eight messages behind it, and stays slow.
        self.used != 0
            && spent.saturating_mul(RECOVERED) < self.desk.slice.saturating_mul(self.used.into())
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("worker", &self.desk.worker)
            .field("messages", &self.used)
            .field("budget", &self.budget)
            .field("slow", &self.slow)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TickRate;
    use std::time::Duration;

    fn desk(slice: u64, budget: u32) -> Desk {
        Desk { worker: 3, budget, slice, coarse: Cell::new(77) }
    }

    fn burn(ticks_to_burn: u64) {
        let begun = ticks();
        while ticks().saturating_sub(begun) < ticks_to_burn {
            std::hint::spin_loop();
        }
    }

    fn messages_until_over(turn: &mut Turn<'_>, mut work: impl FnMut()) -> u32 {
        loop {
            work();
            if turn.tick() {
                return turn.messages();
            }
        }
    }

    #[test]
    fn fast_messages_end_by_the_budget() {
        let desk = desk(TickRate::measure().ticks(Duration::from_secs(100)), 128);
        let mut turn = Turn::new(&desk);
        assert_eq!(messages_until_over(&mut turn, || ()), 128);
        assert!(!turn.is_out_of_time() && !turn.is_slow());
        assert_eq!((turn.worker(), turn.now_coarse()), (3, Time::from_nanos(77)));
    }

    #[test]
    fn a_budget_below_the_free_messages_holds() {
        for budget in 1..=6 {
            let desk = desk(0, budget);
            assert_eq!(messages_until_over(&mut Turn::new(&desk), || ()), budget);
        }
    }

    #[test]
    fn a_target_of_its_own_limit_has_no_more_than_others() {
        let desk = desk(0, 20);
        for (limit, holds) in [(1, 1), (3, 3), (5, 5), (20, 20), (100, 20), (0, 1)] {
            let mut turn = Turn::new(&desk);
            turn.limit(limit);
            assert_eq!(messages_until_over(&mut turn, || ()), holds);
        }
    }

    #[test]
    fn slow_messages_end_by_time_and_mark_the_target() {
        let slice = TickRate::measure().ticks(Duration::from_micros(50));
        let desk = desk(slice, 128);
        let mut turn = Turn::new(&desk);
        let used = messages_until_over(&mut turn, || burn(slice / 2));
        assert_eq!(used, FREE + STRIDE, "the first look after the free ones finds it");
        assert!(turn.is_out_of_time() && turn.is_slow());

        let mut turn = Turn::new(&desk);
        turn.mark_slow();
        let used = messages_until_over(&mut turn, || burn(slice / 2));
        assert!(used <= 2, "timed at each message, and took {used} of half a slice each");
        assert!(turn.is_slow(), "still slow");
    }

    #[test]
    fn a_target_that_was_slow_recovers() {
        let desk = desk(TickRate::measure().ticks(Duration::from_secs(1)), 128);
        let mut turn = Turn::new(&desk);
        turn.mark_slow();
        assert!(turn.is_slow(), "nothing known yet");
        assert!(!turn.tick());
        assert!(!turn.is_slow());
    }

    #[test]
    fn turns_that_are_not_timed_ignore_the_mark() {
        let desk = desk(0, 50);
        let mut turn = Turn::new(&desk);
        turn.mark_slow();
        assert_eq!(messages_until_over(&mut turn, || ()), 50);
        assert!(!turn.is_slow());
    }
}

//! How often a worker looks up from its queue.
//!
//! Everything but the worker's own queue (timers, the shared queue, the end) is looked at each 64 runs:
//! that bounds the cost, 0.2 ns a run, but not the time, since a run may take a slice. Reading a clock
//! after each run would bound the time, at half the price of a message. So the number of runs between
//! two looks follows what they cost: it halves when they took more than a slice and doubles when they
//! took less than a quarter of one.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::{TickRate, ticks};

/// Runs between two looks at most.
const MOST: u32 = 64;

/// How often each worker looks at the timers of all others, whose workers may be stuck.
const ALL_TIMERS: Duration = Duration::from_millis(1);

/// Counts runs and ticks. All of it is the worker's own.
pub(super) struct Pace {
    /// Runs until the next look.
    left: Cell<u32>,
    /// Runs between looks.
    every: Cell<u32>,
    /// The tick of the last look.
    looked: Cell<u64>,
    /// The tick of the last look at the clock.
    clocked: Cell<u64>,
    /// The tick of the last look at all timers.
    swept: Cell<u64>,
    slice: u64,
    sweep: u64,
}

/// What this look includes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// A slice of work has passed: the clock, and the worker's own timers.
    pub(super) at_clock: bool,
    /// A millisecond of work has passed: the timers of all.
    pub(super) at_all_timers: bool,
}

impl Pace {
    pub(super) fn new(slice: u64, rate: TickRate) -> Self {
        let now = ticks();
        Pace {
            left: Cell::new(0),
            every: Cell::new(MOST),
            looked: Cell::new(now),
            clocked: Cell::new(now),
            swept: Cell::new(now),
            slice,
            sweep: rate.ticks(ALL_TIMERS),
        }
    }

    /// Before each run: whether it is time to look.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.wrapping_sub(1));
        left == 0
    }

    /// A turn ended by time: look before the next run.
    #[inline]
    pub(super) fn hurry(&self) {
        self.left.set(0);
    }

    /// The worker looks, at this tick.
    pub(super) fn looked(&self, now: u64) -> Look {
        let spent = now.saturating_sub(self.looked.replace(now));
        let every = self.every.get();
        let every = if spent > self.slice {
            (every / 2).max(1)
        } else if spent < self.slice / 4 {
            (every * 2).min(MOST)
        } else {
            every
        };
        self.every.set(every);
        // The run that follows is the first of them.
        self.left.set(every - 1);
        let at_clock = has_passed(&self.clocked, self.slice, now);
        Look { at_clock, at_all_timers: at_clock && has_passed(&self.swept, self.sweep, now) }
    }

    /// The worker had rested until this tick: what it did before says nothing about now, and somebody
    /// looked at everything meanwhile. It looks at the clock first.
    pub(super) fn resume(&self, now: u64) {
        self.looked.set(now);
        self.clocked.set(now.wrapping_sub(self.slice));
        self.swept.set(now.wrapping_sub(self.sweep));
        self.left.set(0);
    }
}

/// Whether `period` is over; if so the next one begins.
fn has_passed(since: &Cell<u64>, period: u64, now: u64) -> bool {
    let is_over = now.wrapping_sub(since.get()) >= period;
    if is_over {
        since.set(now);
    }
    is_over
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: u64 = 1_000;

    fn pace() -> Pace {
        let pace = Pace::new(SLICE, TickRate::measure());
        pace.resume(1 << 40);
        pace
    }

    fn runs_until_due(pace: &Pace) -> u32 {
        let mut runs = 0;
        loop {
            runs += 1;
            if pace.is_due() {
                return runs;
            }
            assert!(runs <= MOST, "it must look some time");
        }
    }

    #[test]
    fn fast_runs_are_looked_after_each_64() {
        let pace = pace();
        assert!(pace.is_due(), "after a rest it looks at once");
        let mut now = 1 << 40;
        for _ in 0..10 {
            now += SLICE / 10;
            let _ = pace.looked(now);
            assert_eq!(runs_until_due(&pace), MOST);
        }
    }

    #[test]
    fn slow_runs_are_looked_after_each() {
        let pace = pace();
        let mut now = 1 << 40;
        for _ in 0..7 {
            now += 10 * SLICE;
            assert!(pace.looked(now).at_clock);
            let _ = runs_until_due(&pace);
        }
        now += 10 * SLICE;
        let _ = pace.looked(now);
        assert_eq!(runs_until_due(&pace), 1);
    }

    #[test]
    fn a_turn_out_of_time_makes_the_next_look_come_first() {
        let pace = pace();
        let _ = pace.looked(1 << 40);
        pace.hurry();
        assert!(pace.is_due());
    }

    #[test]
    fn the_clock_is_read_once_a_slice() {
        let pace = pace();
        let start = 1 << 40;
        assert!(pace.looked(start).at_clock, "the first look after a rest");
        assert!(!pace.looked(start + SLICE / 2).at_clock);
        assert!(pace.looked(start + SLICE).at_clock);
        assert!(!pace.looked(start + SLICE + 1).at_clock);
    }
}

//! How often a sleeping thread is woken for timers.
//!
//! A wake-up costs its thread 3 to 5 us, and a search behind it: timers that are due each few microseconds would keep a
//! machine busy with nothing else. So wake-ups for timers have a rate, one in each *slack* (500 us); when they would come
//! more often than that for a while, those that are due meanwhile are gathered, and late by a slack at most.
//!
//! Timers that are sparse are not: a wake-up that comes soon after another is free, up to [`FREE`] of them at a time, and
//! each slack that passes without one gives one back. (It is the virtual scheduling algorithm of ITU-T I.371, also known
//! as GCRA: one number says what the wake-ups so far have used up.) Workers that are awake fire what is due whenever they
//! look: that needs no wake-up.
//!
//! # Who may write
//!
//! `used` by the sentinel, who finds that timers are due; it only rises, and is advisory. Read by who sets a timer, too:
//! why an old value does no harm is in [`timers`](super).

use std::time::Duration;

use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};

use crate::clock::Time;

/// A slack unless the builder says otherwise. 2,000 wake-ups a second are 1 % of a processor.
pub(crate) const SLACK: Duration = Duration::from_micros(500);

/// Wake-ups that may come at any time, one after another.
const FREE: u64 = 8;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Slack {
    /// Nanoseconds that a wake-up uses up.
    each: u64,
    /// The moment up to which wake-ups have used up time.
    used: AtomicU64,
}

impl Slack {
    pub(super) fn new(each: Duration) -> Self {
        let each = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
        Slack { each, used: AtomicU64::new(0) }
    }

    /// When to wake up for a timer that is due at `deadline`.
    pub(super) fn wake_at(&self, deadline: u64) -> u64 {
        let free = self.each.saturating_mul(FREE);
        deadline.max(self.used.load(Ordering::Relaxed).saturating_sub(free))
    }

    /// Somebody wakes up for timers.
    pub(super) fn woke(&self, now: Time) {
        let used = self.used.load(Ordering::Relaxed).max(now.as_nanos());
        self.used.store(used.saturating_add(self.each), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn slack() -> Slack {
        Slack::new(Duration::from_millis(1))
    }

    /// When it wakes up for each of these deadlines, in order.
    fn wakes(slack: &Slack, deadlines: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut last = 0;
        let wake = |deadline| {
            last = slack.wake_at(deadline).max(last);
            slack.woke(Time::from_nanos(last));
            last
        };
        deadlines.into_iter().map(wake).collect()
    }

    #[test]
    fn sparse_timers_are_on_time() {
        let deadlines: Vec<_> = (0..1_000).map(|n| n * MS).collect();
        assert_eq!(wakes(&slack(), deadlines.clone()), deadlines);
        // Two of them near each other, now and then.
        let deadlines: Vec<_> = (0..1_000).flat_map(|n| [n * 3 * MS, n * 3 * MS + 10]).collect();
        assert_eq!(wakes(&slack(), deadlines.clone()), deadlines);
    }

    #[test]
    fn dense_timers_have_a_wake_up_each_slack() {
        let slack = slack();
        // Deadlines of a tenth of a slack apart: each wake-up is for the first that is not over yet.
        let (mut now, mut late, mut count) = (0, 0, 0);
        while now < 1_000 * MS {
            let next = now / (MS / 10) * (MS / 10) + MS / 10;
            now = slack.wake_at(next);
            late = late.max(now - next);
            slack.woke(Time::from_nanos(now));
            count += 1;
        }
        assert!((1_000..=1_000 + FREE + 1).contains(&count), "{count} wake-ups in 1,000 slacks");
        assert!(late <= MS, "late by {late} ns");
    }

    #[test]
    fn a_pause_makes_wake_ups_free_again() {
        let slack = slack();
        let _ = wakes(&slack, (0..1_000).map(|n| n * 10));
        let later = 10_000 * MS;
        let deadlines: Vec<_> = (0..FREE).map(|n| later + n).collect();
        assert_eq!(wakes(&slack, deadlines.clone()), deadlines);
    }

    #[test]
    fn no_slack_and_an_endless_one() {
        let none = Slack::new(Duration::ZERO);
        let deadlines: Vec<_> = (0..1_000).map(|n| n * 10).collect();
        assert_eq!(wakes(&none, deadlines.clone()), deadlines);
        let endless = Slack::new(Duration::MAX);
        endless.woke(Time::from_nanos(5));
        endless.woke(Time::from_nanos(5));
        assert_eq!(endless.wake_at(7), 7, "what is free overflows as well");
    }
}

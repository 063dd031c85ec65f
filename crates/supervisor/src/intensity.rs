//! How many restarts a supervisor takes before it gives up.

use std::{collections::VecDeque, time::Duration};

use crate::SpecError;

/// How many restarts a supervisor takes within a period. One more, and it stops its children and
/// ends with `Shutdown`, so that its own supervisor decides.
///
/// A restart exactly a period ago still counts. `Limited` with 0 restarts takes none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intensity {
    /// At most so many restarts in any stretch of this length.
    Limited {
        /// Restarts.
        restarts: u32,
        /// Length of the stretch, more than zero.
        period: Duration,
    },
    /// Any number, with no bookkeeping. A child that fails at each start is then started for ever; and one whose name
    /// another keeps is tried without a pause.
    Unlimited,
}

impl Default for Intensity {
    /// 3 restarts in 5 s, as in Elixir.
    fn default() -> Self {
        Intensity::Limited { restarts: 3, period: Duration::from_secs(5) }
    }
}

impl Intensity {
    pub(crate) fn check(self) -> Result<(), SpecError> {
        match self {
            Intensity::Limited { period: Duration::ZERO, .. } => Err(SpecError::ZeroPeriod),
            _ => Ok(()),
        }
    }
}

/// The restarts that still count. At most `restarts` times are kept, in order; each is added and
/// removed once, so that a restart costs O(1).
#[derive(Debug)]
pub(crate) struct History {
    intensity: Intensity,
    times: VecDeque<Duration>,
}

impl History {
    pub(crate) fn new(intensity: Intensity) -> Self {
        History { intensity, times: VecDeque::new() }
    }

    /// As [`allows`](Self::allows) for who restarts very many: looks at the clock only if that matters.
    #[must_use]
    #[inline]
    pub(crate) fn allows_at(&mut self, now: impl FnOnce() -> Duration) -> bool {
        match self.intensity {
            Intensity::Unlimited => true,
            Intensity::Limited { .. } => self.allows(now()),
        }
    }

    /// Takes note of a restart at `now`. `false`: it is one too many.
    #[must_use]
    pub(crate) fn allows(&mut self, now: Duration) -> bool {
        let Intensity::Limited { restarts, period } = self.intensity else { return true };
        while self.times.front().is_some_and(|time| now.saturating_sub(*time) > period) {
            self.times.pop_front();
        }
        if self.times.len() >= restarts as usize {
            return false;
        }
        self.times.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_one_too_many_within_a_period_is_refused() {
        let mut history = History::new(Intensity::Limited { restarts: 2, period: ms(100) });
        assert!(history.allows(ms(0)));
        assert!(history.allows(ms(50)));
        assert!(!history.allows(ms(100)), "the first is exactly a period old and still counts");
        assert!(history.allows(ms(101)));
        assert!(!history.allows(ms(150)), "50 and 101 count");
        assert!(history.allows(ms(151)));
    }

    #[test]
    fn zero_restarts_allow_none_and_unlimited_keeps_nothing() {
        let mut none = History::new(Intensity::Limited { restarts: 0, period: ms(1) });
        assert!(!none.allows(ms(5)));
        let mut any = History::new(Intensity::Unlimited);
        assert!((0..10_000).all(|time| any.allows(ms(time))));
        assert!(any.times.is_empty());
    }

    #[test]
    fn what_no_longer_counts_is_forgotten() {
        let mut history = History::new(Intensity::Limited { restarts: 1_000_000, period: ms(10) });
        assert!((0..10_000).all(|time| history.allows(ms(time))));
        assert_eq!(history.times.len(), 11);
    }

    /// Looking through all that are remembered, this would take minutes.
    #[test]
    #[cfg_attr(miri, ignore = "too many")]
    #[allow(clippy::disallowed_methods, reason = "measures how long something takes")]
    fn a_restart_looks_at_no_others() {
        let intensity =
            Intensity::Limited { restarts: u32::MAX, period: Duration::from_secs(3_600) };
        let mut history = History::new(intensity);
        let begun = std::time::Instant::now();
        assert!((0..1_000_000).all(|time| history.allows(Duration::from_micros(time))));
        assert_eq!(history.times.len(), 1_000_000);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_period_of_zero_is_an_error() {
        let zero = Intensity::Limited { restarts: 1, period: Duration::ZERO };
        assert_eq!(zero.check(), Err(SpecError::ZeroPeriod));
        assert_eq!(Intensity::default().check(), Ok(()));
    }
}

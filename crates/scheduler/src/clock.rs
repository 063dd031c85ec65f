//! The clock seam: the only place that asks the system what time it is.
//!
//! Two clocks with two jobs:
//!
//! * [`Clock`] tells [`Time`], in nanoseconds since the scheduler's start: deadlines, lateness,
//!   anything a user sees. Real (`Instant`, 21 ns a look) or virtual (moved by the simulation).
//! * [`ticks`] counts what the processor counts (`rdtsc`, 9 ns): time slices and pacing, which need to
//!   be cheap and may be off by a percent. Never used for deadlines, never in the simulation.

mod ticks;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};

pub(crate) use self::ticks::{TickRate, ticks};

/// A moment on a scheduler's clock: nanoseconds since the scheduler was built.
///
/// Moments of different schedulers have nothing to do with each other. The range is 584 years; what
/// would go beyond stays at its ends.
///
/// ```
/// use std::time::Duration;
/// use whitebeam_scheduler::Time;
///
/// let later = Time::ZERO + Duration::from_micros(3);
/// assert_eq!(later.as_nanos(), 3_000);
/// assert_eq!(later - Time::ZERO, Duration::from_micros(3));
/// assert_eq!(Time::ZERO - later, Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The scheduler's start.
    pub const ZERO: Time = Time(0);
    /// The end of the range: a deadline that never comes.
    pub const MAX: Time = Time(u64::MAX);

    /// So many nanoseconds after the start.
    #[inline]
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// Nanoseconds since the start.
    #[inline]
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// `after` later, at most [`Time::MAX`].
    #[inline]
    #[must_use]
    pub const fn saturating_add(self, after: Duration) -> Self {
        Time(self.0.saturating_add(nanos(after)))
    }

    /// Time that has passed since `earlier`; zero when that is the later one.
    #[inline]
    #[must_use]
    pub const fn saturating_since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, after: Duration) -> Time {
        self.saturating_add(after)
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Duration::from_nanos(self.0), f)
    }
}

/// A duration in nanoseconds; 584 years when it is longer.
const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// Where a scheduler's time comes from.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The system's monotonic clock.
    Real {
        /// When the scheduler was built.
        origin: Instant,
    },
    /// Stands still until the simulation moves it.
    Virtual {
        /// Nanoseconds since the start. Written by the simulation's thread.
        now: AtomicU64,
    },
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the clock seam")]
    pub(crate) fn real() -> Self {
        Clock::Real { origin: Instant::now() }
    }

    pub(crate) fn simulated() -> Self {
        Clock::Virtual { now: AtomicU64::new(0) }
    }

    #[inline]
    #[expect(clippy::disallowed_methods, reason = "the clock seam")]
    pub(crate) fn now(&self) -> Time {
        match self {
            Clock::Real { origin } => {
                Time(nanos(Instant::now().saturating_duration_since(*origin)))
            }
            Clock::Virtual { now } => Time(now.load(Ordering::Acquire)),
        }
    }

    /// Moves a virtual clock forward; never back. A real clock moves by itself.
    pub(crate) fn move_to(&self, time: Time) {
        if let Clock::Virtual { now } = self {
            now.fetch_max(time.0, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_saturates_at_both_ends() {
        assert_eq!(Time::MAX + Duration::from_nanos(1), Time::MAX);
        assert_eq!(Time::ZERO + Duration::MAX, Time::MAX);
        assert_eq!(Time::ZERO - Time::MAX, Duration::ZERO);
    }

    #[test]
    fn a_virtual_clock_moves_forward_only() {
        let clock = Clock::simulated();
        clock.move_to(Time(5));
        clock.move_to(Time(3));
        assert_eq!(clock.now(), Time(5));
    }

    #[test]
    fn a_real_clock_moves_by_itself() {
        let clock = Clock::real();
        let first = clock.now();
        clock.move_to(Time::MAX);
        while clock.now() == first {
            std::hint::spin_loop();
        }
        assert!(clock.now() < Time(u64::MAX / 2));
    }
}

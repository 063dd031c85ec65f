//! The processor's own counter: a look costs half of what the system's clock costs.

#![expect(unsafe_code, reason = "reads the processor's time stamp counter")]

use std::time::{Duration, Instant};

/// Length of the measurement that tells how fast the counter runs. `Instant` is good to 50 ns, so the
/// rate is good to 0.05 %; a scheduler's start takes as long as this and its threads.
const CALIBRATION: Duration = Duration::from_micros(200);

/// The counter, now. Only differences mean something, and a difference may be wrong when the thread
/// moved to another socket: use it where that does no harm.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        // SAFETY: every x86-64 processor has the instruction, and it has no effect on memory.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let count: u64;
        // SAFETY: reads a register that user code may read on every system we build for.
        unsafe {
            std::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack));
        }
        count
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    {
        portable::nanos()
    }
}

/// The system's clock as a counter of nanoseconds, for processors without one that we know.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
mod portable {
    use std::sync::OnceLock;
    use std::time::Instant;

    /// Any fixed moment will do, so the first look of the process is as good as another.
    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    #[expect(clippy::disallowed_methods, reason = "the clock seam")]
    pub(super) fn nanos() -> u64 {
        ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// How fast the counter runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickRate {
    per_ms: u64,
}

impl TickRate {
    /// For a simulation, which looks at no counter.
    pub(crate) const NONE: TickRate = TickRate { per_ms: 1 };

    /// Measures it against the system's clock; takes a fifth of a millisecond.
    #[expect(clippy::disallowed_methods, reason = "the clock seam")]
    pub(crate) fn measure() -> Self {
        let (started, first) = (Instant::now(), ticks());
        let mut passed = started.elapsed();
        while passed < CALIBRATION {
            std::hint::spin_loop();
            passed = started.elapsed();
        }
        let counted = u128::from(ticks().wrapping_sub(first));
        let per_ms = counted * 1_000_000 / passed.as_nanos();
        TickRate { per_ms: u64::try_from(per_ms).unwrap_or(u64::MAX).max(1) }
    }

    /// So many ticks make up `duration`; at least one.
    pub(crate) fn ticks(self, duration: Duration) -> u64 {
        let ticks = duration.as_nanos() * u128::from(self.per_ms) / 1_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX).max(1)
    }

    /// So long do `ticks` take.
    pub(crate) fn duration(self, ticks: u64) -> Duration {
        let nanos = u128::from(ticks) * 1_000_000 / u128::from(self.per_ms);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_converts_both_ways() {
        let rate = TickRate { per_ms: 2_400_000 };
        assert_eq!(rate.ticks(Duration::from_micros(50)), 120_000);
        assert_eq!(rate.duration(120_000), Duration::from_micros(50));
        assert_eq!(rate.ticks(Duration::ZERO), 1);
        assert_eq!(rate.ticks(Duration::MAX), u64::MAX);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "compares both clocks")]
    fn measured_rate_agrees_with_the_system_clock() {
        let rate = TickRate::measure();
        let (started, first) = (Instant::now(), ticks());
        while started.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        let (by_ticks, by_clock) = (rate.duration(ticks() - first), started.elapsed());
        let ratio = by_ticks.as_secs_f64() / by_clock.as_secs_f64();
        assert!((0.5..2.0).contains(&ratio), "{by_ticks:?} by ticks, {by_clock:?} by the clock");
    }
}

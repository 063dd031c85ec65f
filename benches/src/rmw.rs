//! How long one read-modify-write of a line takes that the core already has.
//!
//! It is what the runtime's paths are made of (two for a message, five for a call), and machines differ in it
//! by three times and more: 5 ns on one, 11 to 18 ns on another, and the same virtual machine moves between
//! them with what its neighbours do. A figure divided by this number compares where the figure does not.
//!
//! Method: one thread, one word, load and compare-exchange. The fastest of many short batches counts.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Operations in one batch: 10 to 40 us.
const OPERATIONS: u64 = 2_000;

/// Batches measured; the first, which warms up, is not among them.
const BATCHES: usize = 25;

/// Nanoseconds for one load and one compare-exchange that succeeds.
pub(crate) fn measure() -> f64 {
    let word = AtomicU64::new(0);
    let batch = || {
        let start = Instant::now();
        for _ in 0..OPERATIONS {
            let now = black_box(&word).load(Ordering::Relaxed);
            let _ = word.compare_exchange(now, now + 1, Ordering::AcqRel, Ordering::Relaxed);
        }
        start.elapsed().as_secs_f64() * 1e9 / OPERATIONS as f64
    };
    batch();
    (0..BATCHES).map(|_| batch()).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_takes_some_nanoseconds() {
        // Wide bounds: unoptimised, and a busy machine may take the core away.
        let ns = measure();
        assert!(ns > 0.5 && ns < 1e5, "{ns}");
    }
}

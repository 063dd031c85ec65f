//! How long one cache line takes from one core to another, one way.
//!
//! The machines these figures come from have two moods: about 21 ns or about 185 ns, as the host
//! places the virtual cores, and they flip from minute to minute. Whatever uses both cores changes
//! with it by 2 to 10 times, so every figure carries the transfer measured beside its repetitions,
//! and only figures of the same mood compare.
//!
//! Method: two threads, each pinned to a core of its own, pass one counter to and fro. One way is
//! half a round trip. The fastest of many short batches counts: whatever else runs on the two cores
//! only ever adds to a batch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process;

/// Round trips in one batch: about 0.1 ms in the near mood, 0.7 ms in the far one, both well below
/// a time slice of the kernel's.
const ROUNDS: u64 = 2_000;

/// Batches measured; the first, which warms up, is not among them.
const BATCHES: usize = 25;

/// Longest time for one batch, and for all of them: 50 ms. Only on a machine whose cores are taken
/// by others; the measurement is then cut short instead of holding up the run.
const LIMIT: Duration = Duration::from_millis(50);

/// The value that ends the follower.
const STOP: u64 = u64::MAX;

/// The line that travels, alone on its line and on the one the prefetcher takes with it.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// Nanoseconds one way between the first two cores this process may use. None where there is only
/// one core, or where threads cannot be pinned.
pub(crate) fn measure() -> Option<f64> {
    let cores = process::allowed_cores();
    let (&first, &second) = (cores.first()?, cores.get(1)?);
    measure_between(first, second)
}

fn measure_between(leader: usize, follower: usize) -> Option<f64> {
    let line = Line::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            // Unpinned it still answers, which the leader needs in order to end.
            process::pin_to_core(follower);
            follow(&line);
        });
        let led = scope.spawn(|| {
            let pinned = process::pin_to_core(leader);
            let one_way = lead(&line);
            line.0.store(STOP, Ordering::Release);
            pinned.then_some(one_way).flatten()
        });
        led.join().ok().flatten()
    })
}

/// Writes odd numbers and waits for each to come back as the next even one.
fn lead(line: &Line) -> Option<f64> {
    let mut next = 1;
    let mut batch = || {
        let start = Instant::now();
        let mut rounds = 0;
        while rounds < ROUNDS {
            line.0.store(next, Ordering::Release);
            while line.0.load(Ordering::Acquire) != next + 1 {
                std::hint::spin_loop();
            }
            next += 2;
            rounds += 1;
            // Every 256 rounds: the clock costs as much as a near transfer.
            if rounds % 256 == 0 && start.elapsed() > LIMIT {
                break;
            }
        }
        start.elapsed().as_secs_f64() * 1e9 / (2 * rounds) as f64
    };
    batch();
    let begin = Instant::now();
    (0..BATCHES)
        .take_while(|&number| number == 0 || begin.elapsed() < LIMIT)
        .map(|_| batch())
        .reduce(f64::min)
}

/// Answers each odd number with the next even one, until [`STOP`].
fn follow(line: &Line) {
    loop {
        match line.0.load(Ordering::Acquire) {
            STOP => return,
            odd if odd % 2 == 1 => line.0.store(odd + 1, Ordering::Release),
            _ => std::hint::spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_takes_some_nanoseconds_where_there_are_two_cores() {
        match measure() {
            // Wide bounds: a busy machine may take its cores away in the middle.
            Some(ns) => assert!(ns > 1.0 && ns < 1e6, "{ns}"),
            None => assert!(process::allowed_cores().len() < 2),
        }
    }
}

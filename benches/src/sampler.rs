//! A thread that looks at mailbox lengths while a run goes on.
//!
//! It reads every probe, sleeps [`PAUSE`], and so on until stopped: one such round is a sample. It
//! sees what a monitoring process would see, from outside and in passing, and misses what comes and
//! goes between two rounds. The mailboxes' own high-water marks, which it reads too, miss nothing
//! as long as their owner lives; what happens between the last round and its end is lost with it.
//!
//! It takes part of a core from the workers (about 5 %), so runs that are about time alone go
//! without it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::failure::Failure;
use crate::process;

/// Sleep between two rounds. With the time a round takes and the kernel's own for a wake-up, a
/// sample comes every 60 to 100 us.
const PAUSE: Duration = Duration::from_micros(50);

/// Samples below which percentiles are not given: p99 of fewer is only another word for the
/// maximum.
pub(crate) const ENOUGH_SAMPLES: u64 = 20;

/// Longest mailbox that the histogram tells apart; longer ones count as this long.
const LONGEST: u64 = 1 << 32;

/// One look at one mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Unread messages now.
    pub(crate) len: u64,
    /// The most there ever were.
    pub(crate) high_water: u64,
}

/// A mailbox that can be looked at from any thread.
pub(crate) trait Probe: Send + 'static {
    /// The mailbox now; none once its owner has ended.
    fn look(&self) -> Option<Reading>;
}

/// What the samples say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// Rounds made, each over all mailboxes whose owners were alive.
    pub(crate) samples: u64,
    /// The longest mailbox that a round met.
    pub(crate) max: u64,
    /// The highest high-water mark that a round read.
    pub(crate) high_water: u64,
    /// Median length over all mailboxes and rounds; none with fewer than [`ENOUGH_SAMPLES`] rounds.
    pub(crate) p50: Option<u64>,
    /// 99th percentile of the same.
    pub(crate) p99: Option<u64>,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Lengths>,
}

impl Sampler {
    /// Starts looking at `probes`; the first round has been made when this returns.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(crate) fn start<P: Probe>(probes: Vec<P>) -> Result<Self, Failure> {
        let lengths = Histogram::new_with_bounds(1, LONGEST, 3)
            .map_err(Failure::system("making a histogram"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("sampler".into())
            .spawn({
                let stop = Arc::clone(&stop);
                move || sample(&probes, lengths, &stop, &ready)
            })
            .map_err(Failure::system("starting the sampler's thread"))?;
        // An error is a thread that has panicked: `stop` reports it.
        let _ = is_ready.recv();
        Ok(Self { stop, thread })
    }

    /// Ends the thread after one more round.
    ///
    /// # Errors
    ///
    /// When a probe panicked.
    pub(crate) fn stop(self) -> Result<Lengths, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::System {
            doing: "sampling mailboxes",
            why: "the sampler's thread panicked".into(),
        })
    }
}

fn sample<P: Probe>(
    probes: &[P],
    mut lengths: Histogram<u64>,
    stop: &AtomicBool,
    ready: &mpsc::SyncSender<()>,
) -> Lengths {
    process::sleep_precisely();
    let (mut samples, mut max, mut high_water) = (0, 0, 0);
    loop {
        let last = stop.load(Ordering::Relaxed);
        let mut alive = false;
        for reading in probes.iter().filter_map(Probe::look) {
            alive = true;
            max = max.max(reading.len);
            high_water = high_water.max(reading.high_water);
            lengths.saturating_record(reading.len);
        }
        samples += u64::from(alive);
        // Only the first is waited for; there is room for one.
        let _ = ready.try_send(());
        if last {
            break;
        }
        thread::sleep(PAUSE);
    }
    let percentile =
        |quantile| (samples >= ENOUGH_SAMPLES).then(|| lengths.value_at_quantile(quantile));
    Lengths { samples, max, high_water, p50: percentile(0.5), p99: percentile(0.99) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// A mailbox that grows by one at each look and whose owner ends after `lives` looks.
    struct Growing {
        looks: AtomicU64,
        lives: u64,
    }

    impl Probe for Growing {
        fn look(&self) -> Option<Reading> {
            let len = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
            (len <= self.lives).then_some(Reading { len, high_water: len * 2 })
        }
    }

    fn run(lives: u64) -> Lengths {
        let probe = Arc::new(Growing { looks: AtomicU64::new(0), lives });
        struct Shared(Arc<Growing>);
        impl Probe for Shared {
            fn look(&self) -> Option<Reading> {
                self.0.look()
            }
        }
        let sampler = Sampler::start(vec![Shared(Arc::clone(&probe))]).expect("a thread");
        while probe.looks.load(Ordering::Relaxed) < lives {
            thread::yield_now();
        }
        sampler.stop().expect("no panic")
    }

    #[test]
    fn samples_count_only_while_an_owner_is_alive() {
        let lengths = run(100);
        assert_eq!((lengths.samples, lengths.max, lengths.high_water), (100, 100, 200));
        assert_eq!((lengths.p50, lengths.p99), (Some(50), Some(99)));
    }

    #[test]
    fn too_few_samples_give_no_percentiles() {
        let lengths = run(ENOUGH_SAMPLES - 1);
        assert_eq!(lengths.max, ENOUGH_SAMPLES - 1);
        assert_eq!((lengths.p50, lengths.p99), (None, None));
    }
}

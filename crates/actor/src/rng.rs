//! Random numbers for the user's code, which a simulated run repeats.

use std::fmt;

use whitebeam_scheduler::{Handle, Seeded};

/// A small generator of random numbers: [`Context::rng`](crate::Context::rng),
/// [`Handle::rng`](crate::Handle::rng).
///
/// In a simulated runtime its seed is drawn from that of the run, so that a replayed run draws the same
/// numbers. On threads it comes from a number that the scheduler took from the system when it was built,
/// and each generator has another. SplitMix64, eight bytes of state: good enough to choose, to jitter and to
/// sample with, not for secrets.
///
/// ```
/// use whitebeam_actor::Rng;
///
/// let mut rng = Rng::seeded(42);
/// let die = rng.range(1..7);
/// assert!((1..7).contains(&die));
/// let mut cards: Vec<u32> = (0..52).collect();
/// rng.shuffle(&mut cards);
/// assert_ne!(cards, (0..52).collect::<Vec<_>>());
/// ```
#[derive(Clone)]
pub struct Rng(Seeded);

impl Rng {
    /// The generator that `seed` stands for: the same numbers on every machine.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Rng(Seeded::new(seed))
    }

    pub(crate) fn of(scheduler: &Handle) -> Self {
        Self::seeded(scheduler.random())
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// One of `0..end`, each as likely as another; 0 if `end` is 0.
    ///
    /// By multiplication, and again in the few cases that would make some numbers likelier (D. Lemire, "Fast
    /// Random Integer Generation in an Interval", TOMACS 2019).
    pub fn below(&mut self, end: u64) -> u64 {
        loop {
            let product = u128::from(self.next_u64()) * u128::from(end);
            let low = product as u64;
            if low >= end || low >= end.wrapping_neg().checked_rem(end).unwrap_or(0) {
                return (product >> 64) as u64;
            }
        }
    }

    /// One of `range`, each as likely as another; its start if it is empty.
    pub fn range(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// A number from 0 up to and without 1, in steps of 2^-53.
    pub fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `true` with the probability `share`: never at 0 and below, always at 1 and above.
    pub fn chance(&mut self, share: f64) -> bool {
        self.fraction() < share
    }

    /// One of `items`; `None` if there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Puts `items` in a random order, each as likely as another.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        // Fisher and Yates.
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range_and_reach_all_of_it() {
        let mut rng = Rng::seeded(1);
        let mut seen = [0_u32; 6];
        for _ in 0..6_000 {
            seen[rng.range(10..16) as usize - 10] += 1;
        }
        assert!(seen.iter().all(|&times| (850..1_150).contains(&times)), "{seen:?}");
        assert_eq!((rng.below(0), rng.range(5..5), rng.below(1)), (0, 5, 0));
        let large = u64::MAX / 2 + 3;
        assert!((0..1_000).all(|_| rng.below(large) < large));
    }

    #[test]
    fn chances_are_what_they_say() {
        let mut rng = Rng::seeded(2);
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!((0..100).all(|_| !rng.chance(0.0) && rng.chance(1.0)));
    }

    #[test]
    fn every_order_comes() {
        let mut rng = Rng::seeded(3);
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut items = [1, 2, 3];
            rng.shuffle(&mut items);
            orders.insert(items);
        }
        assert_eq!(orders.len(), 6);
        assert_eq!(rng.pick::<u8>(&[]), None);
        assert_eq!(rng.pick(&[9]), Some(&9));
    }
}

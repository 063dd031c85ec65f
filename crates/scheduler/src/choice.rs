//! The choice points: everything that could go one way or another, through one seam.
//!
//! Which runnable is next, how long a turn is, which of two timers due at the same moment comes first:
//! the real scheduler leaves these to the machine and asks nobody. The simulation asks a [`Choices`]
//! value, which by default is a generator [`Seeded`] with a number, so that a run can be repeated from
//! it. Crates above add their own points through [`Handle::choose`](crate::Handle::choose), which
//! answers 0, the ordinary way, on the real scheduler.

use std::collections::VecDeque;
use std::fmt;

use crate::runnable::Runnable;

/// What is chosen. A chooser may treat the points differently (few preemptions, many reorderings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Point {
    /// Which of the queued runnables runs next.
    Next,
    /// After how many messages a turn ends: 0 stands for one message.
    Budget,
    /// Which of the timers due at the same moment fires next.
    Timer,
    /// Whether a handler gives way at an await that it could pass: 0 stands for no.
    Preempt,
    /// Which of several things that ended at once is told first: blocking jobs, signals from outside.
    Completion,
    /// A number for the user's own purposes, by halves of 32 bits.
    Random,
}

/// Decides at each choice point of a [`Simulation`](crate::Simulation).
pub trait Choices: Send {
    /// One of `0..of`; `of` is at least one. What is out of range counts as the last one.
    fn choose(&mut self, point: Point, of: usize) -> usize;

    /// Which of `waiting` runs next: an index into it. Asked when there are two or more.
    ///
    /// By default a choice at [`Point::Next`]. A chooser that treats the runnables differently, by priority
    /// for example, writes its own.
    fn next(&mut self, waiting: Waiting<'_>) -> usize {
        self.choose(Point::Next, waiting.len())
    }
}

/// The runnables that wait in a simulation's queue, for [`Choices::next`]. The first is the one that has
/// waited longest, unless another was preferred to it before.
#[derive(Debug)]
pub struct Waiting<'a>(pub(crate) &'a VecDeque<Runnable>);

impl Waiting<'_> {
    /// How many there are: at least two.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there are always two")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Who is at `index`: a number that is the target's as long as that lives, and 0 for every plain task.
    ///
    /// It comes from an address, so that a run is only repeatable if the number is compared with others and
    /// neither ordered nor printed. A target made in the place of one that is gone has the number of that.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`len`](Self::len).
    #[must_use]
    pub fn who(&self, index: usize) -> u64 {
        self.0[index].identity()
    }
}

/// Choices drawn from a seed: the same seed, asked in the same way, answers in the same way, on every
/// machine and in every version that keeps the tests' golden values.
///
/// The generator is SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014): eight bytes of state, good enough to choose with, not for secrets.
#[derive(Clone)]
pub struct Seeded {
    state: u64,
}

impl Seeded {
    /// The generator that `seed` stands for.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Seeded { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }
}

/// The golden ratio in 64 bits: consecutive states are far apart.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Choices for Seeded {
    fn choose(&mut self, _point: Point, of: usize) -> usize {
        // Multiply and shift: no division, and the bias is of/2^64.
        ((u128::from(self.next_u64()) * of as u128) >> 64) as usize
    }
}

impl fmt::Debug for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seeded").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_hold() {
        let mut seeded = Seeded::new(1_234_567);
        // The published reference values of SplitMix64 for this seed.
        assert_eq!(seeded.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(seeded.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(seeded.next_u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn choices_stay_in_range_and_reach_all_of_it() {
        let mut seeded = Seeded::new(7);
        let mut seen = [0_u32; 5];
        for _ in 0..1_000 {
            seen[seeded.choose(Point::Next, 5)] += 1;
        }
        assert!(seen.iter().all(|&times| times > 100), "{seen:?}");
        assert_eq!(seeded.choose(Point::Next, 1), 0);
    }
}

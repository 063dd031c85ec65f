//! Random priorities with a few changes: PCT. The paper and the differences are named at
//! [`Strategy::priorities`](super::Strategy::priorities).

use std::collections::BTreeMap;

use whitebeam_scheduler::{Choices, Point, Seeded, Waiting};

/// Lengths of runs that changes are spread over, as powers of two.
const LENGTHS: std::ops::Range<usize> = 3..12;
/// Priorities at the beginning are at least this, those after a change less.
const BEHIND: u64 = 1 << 32;
/// Steps in a row after which one falls behind who waits.
const PATIENCE: u32 = 256;

pub(super) struct Priorities {
    seeded: Seeded,
    /// By what [`Waiting::who`] says; compared only, so that addresses decide nothing.
    priority: BTreeMap<u64, u64>,
    /// Steps at which a priority changes, the next one last.
    changes: Vec<u64>,
    /// Choices of who is next.
    step: u64,
    /// What the next one that falls behind gets: less than all before.
    lowest: u64,
    /// Who ran last, and how often in a row.
    streak: (u64, u32),
}

impl Priorities {
    pub(super) fn new(seed: u64, changes: u32) -> Self {
        let mut seeded = Seeded::new(seed);
        let length = LENGTHS.start + seeded.choose(Point::Next, LENGTHS.len());
        // More than the longest run has steps change nothing more.
        let changes = changes.min(1 << (LENGTHS.end - 1));
        let mut draw = || 1 + seeded.choose(Point::Next, 1 << length) as u64;
        let mut changes: Vec<u64> = (0..changes).map(|_| draw()).collect();
        changes.sort_unstable_by(|one, other| other.cmp(one));
        let priority = BTreeMap::new();
        Priorities { seeded, priority, changes, step: 0, lowest: BEHIND, streak: (0, 0) }
    }

    fn highest(&mut self, waiting: &Waiting<'_>) -> (usize, u64) {
        let mut highest = (0, 0, 0);
        for index in 0..waiting.len() {
            let who = waiting.who(index);
            let seeded = &mut self.seeded;
            let first = || BEHIND + (seeded.next_u64() >> 1);
            let priority = *self.priority.entry(who).or_insert_with(first);
            // Of equals the one that has waited longest: tasks share a priority.
            if index == 0 || priority > highest.2 {
                highest = (index, who, priority);
            }
        }
        (highest.0, highest.1)
    }

    fn fall_behind(&mut self, who: u64) {
        self.lowest -= 1;
        self.priority.insert(who, self.lowest);
    }
}

impl Choices for Priorities {
    fn choose(&mut self, point: Point, of: usize) -> usize {
        match point {
            // A process can be overtaken between any two of its messages.
            Point::Budget => 0,
            Point::Preempt => usize::from(self.seeded.choose(point, 4) == 0),
            _ => self.seeded.choose(point, of),
        }
    }

    fn next(&mut self, waiting: Waiting<'_>) -> usize {
        self.step += 1;
        while self.changes.last().is_some_and(|at| *at <= self.step) {
            self.changes.pop();
            let (_, who) = self.highest(&waiting);
            self.fall_behind(who);
        }
        let (mut index, mut who) = self.highest(&waiting);
        if who == self.streak.0 && self.streak.1 >= PATIENCE {
            self.fall_behind(who);
            (index, who) = self.highest(&waiting);
        }
        self.streak = if who == self.streak.0 { (who, self.streak.1 + 1) } else { (who, 1) };
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_lie_within_the_longest_run_and_are_taken_in_order() {
        for seed in 0..200 {
            let priorities = Priorities::new(seed, 3);
            assert_eq!(priorities.changes.len(), 3);
            assert!(priorities.changes.is_sorted_by(|one, other| one >= other));
            assert!(priorities.changes.iter().all(|at| (1..=2_048).contains(at)));
        }
    }
}

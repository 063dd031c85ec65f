//! Timers of one process in the order in which they are due, the next one where it costs one step to find.
//!
//! With a million timers each step to another place in memory is a hundred nanoseconds, and a tree takes four of them to
//! its first entry. So the timers of most processes are in one run of memory, sorted, the next one last: it is taken
//! without moving others, and its address is known ahead. Where there are more than [`SORTED`] of them, others wait in
//! a tree, which becomes the sorted run when that is used up.
//!
//! # Cost
//!
//! The next one: two comparisons. Insert: a move of those in the run that are due before, up to 6 KiB, or a step into
//! the tree. Remove: a search; what is taken out of the run leaves a gap, and gaps are closed when they are half of it.
//! So each timer costs O(log n), spread over all.

use std::{cmp::Reverse, collections::BTreeMap};

use whitebeam_scheduler::Time;

/// Timers that are kept sorted by moving others: 6 KiB.
const SORTED: usize = 128;

/// An empty run with room for more than this is freed.
const KEPT: usize = 64;

/// When, and which: numbers tell timers of one time apart, in the order in which they were set.
type At = (Time, u64);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// The last one first. Never empty while `tree` is not, and its last one is no gap.
    run: Vec<Item<T>>,
    /// Gaps in the run.
    gaps: usize,
    tree: BTreeMap<Reverse<At>, T>,
}

#[derive(Debug)]
struct Item<T> {
    at: At,
    /// `None`: a gap.
    what: Option<T>,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Queue { run: Vec::new(), gaps: 0, tree: BTreeMap::new() }
    }

    /// Adds one; no other has the same time and number.
    pub(super) fn insert(&mut self, at: At, what: T) {
        if self.run.len() < SORTED {
            let place = self.run.partition_point(|item| item.at > at);
            self.run.insert(place, Item { at, what: Some(what) });
        } else {
            self.tree.insert(Reverse(at), what);
        }
    }

    /// The one that is due before all others.
    pub(super) fn next(&self) -> Option<At> {
        let run = self.run.last().map(|item| item.at);
        match self.tree.last_key_value() {
            Some((Reverse(tree), _)) => run.map(|run| run.min(*tree)),
            None => run,
        }
    }

    /// Where it is likely to be, and what is there: for who looks ahead.
    pub(super) fn likely_next(&self) -> Option<(*const (), &T)> {
        let last = self.run.last()?;
        Some((std::ptr::from_ref(last).cast(), last.what.as_ref()?))
    }

    pub(super) fn contains(&self, at: At) -> bool {
        let is_next = self.run.last().is_some_and(|item| item.at == at);
        is_next
            || self.place(at).is_some_and(|place| self.run[place].what.is_some())
            || self.tree.contains_key(&Reverse(at))
    }

    pub(super) fn remove(&mut self, at: At) -> Option<T> {
        if self.run.last().is_some_and(|item| item.at == at) {
            let what = self.run.pop()?.what;
            self.tidy();
            return what;
        }
        match self.place(at) {
            Some(place) => {
                let what = self.run[place].what.take()?;
                self.gaps += 1;
                self.tidy();
                Some(what)
            }
            None => self.tree.remove(&Reverse(at)),
        }
    }

    /// In the order in which they are due.
    pub(super) fn into_ordered(self) -> impl Iterator<Item = T> {
        let mut all = self.tree;
        let items = self.run.into_iter();
        all.extend(items.filter_map(|item| Some((Reverse(item.at), item.what?))));
        all.into_values().rev()
    }

    fn place(&self, at: At) -> Option<usize> {
        self.run.binary_search_by(|item| at.cmp(&item.at)).ok()
    }

    /// Something has left the run.
    fn tidy(&mut self) {
        while self.run.pop_if(|item| item.what.is_none()).is_some() {
            self.gaps -= 1;
        }
        if self.gaps > self.run.len() / 2 {
            self.run.retain(|item| item.what.is_some());
            self.gaps = 0;
        }
        if self.run.is_empty() {
            if !self.tree.is_empty() {
                let tree = std::mem::take(&mut self.tree);
                self.run = tree
                    .into_iter()
                    .map(|(Reverse(at), what)| Item { at, what: Some(what) })
                    .collect();
            } else if self.run.capacity() > KEPT {
                self.run = Vec::new();
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use whitebeam_scheduler::Seeded;

    impl<T> Queue<T> {
        fn check(&self) {
            assert!(self.run.is_sorted_by(|one, next| one.at > next.at));
            assert!(
                self.run.last().is_none_or(|last| last.what.is_some()),
                "the next one is a gap"
            );
            assert!(self.tree.is_empty() || !self.run.is_empty());
            assert_eq!(self.gaps, self.run.iter().filter(|item| item.what.is_none()).count());
            assert!(self.gaps <= self.run.len() / 2);
        }
    }

    /// Against a map that is sorted, with few and with many timers.
    #[test]
    fn it_does_what_a_sorted_map_does() {
        for (seed, most) in [(1, 3), (2, 20), (3, SORTED), (4, 4 * SORTED), (5, 20 * SORTED)] {
            let mut random = Seeded::new(seed);
            let (mut queue, mut model) = (Queue::new(), BTreeMap::new());
            let mut ids = 0;
            let mut grows = true;
            for _ in 0..40_000 {
                let draw = random.next_u64();
                if model.len() >= most || model.is_empty() {
                    grows = model.is_empty();
                }
                if draw % 8 < if grows { 6 } else { 2 } {
                    ids += 1;
                    let at = (Time::from_nanos(draw >> 8 & 0x3ff), ids);
                    queue.insert(at, ids);
                    model.insert(at, ids);
                } else if draw % 16 < 12 {
                    let next = model.pop_first();
                    assert_eq!(queue.next(), next.map(|(at, _)| at));
                    assert_eq!(
                        queue.next().and_then(|at| queue.remove(at)),
                        next.map(|(_, id)| id)
                    );
                } else if let Some(at) = model.keys().nth((draw >> 8) as usize % model.len().max(1))
                {
                    let at = *at;
                    assert!(queue.contains(at));
                    assert_eq!(queue.remove(at), model.remove(&at));
                    assert!(!queue.contains(at));
                    assert_eq!(queue.remove(at), None);
                }
                queue.check();
                assert_eq!(queue.next(), model.keys().next().copied());
            }
            assert!(queue.into_ordered().eq(model.into_values()));
        }
    }

    #[test]
    fn a_burst_keeps_no_memory() {
        let mut queue = Queue::new();
        let at = |n| (Time::from_nanos(n), n);
        (0..10_000).for_each(|n| queue.insert(at(n), n));
        assert_eq!((0..10_000).filter_map(|n| queue.remove(at(n))).count(), 10_000);
        assert!(queue.run.capacity() <= KEPT && queue.tree.is_empty());
    }
}

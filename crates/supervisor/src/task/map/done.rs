//! Results that wait to be given: until they are asked for, and in order until it is their turn.

use std::collections::{BTreeMap, VecDeque};

use crate::guard;

/// Results that were not given yet.
pub(super) struct Done<T, E> {
    /// By the items' numbers.
    in_order: BTreeMap<u64, Result<T, E>>,
    /// Whose turn is next in there.
    next: u64,
    as_they_come: VecDeque<Result<T, E>>,
}

impl<T, E> Done<T, E> {
    pub(super) fn new() -> Self {
        Done { in_order: BTreeMap::new(), next: 0, as_they_come: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.in_order.len() + self.as_they_come.len()
    }

    pub(super) fn take(&mut self) -> Option<Result<T, E>> {
        let next = self.as_they_come.pop_front();
        next.or_else(|| {
            let next = self.in_order.remove(&self.next)?;
            self.next += 1;
            Some(next)
        })
    }

    /// Drops them, each on its own: they are the user's.
    pub(super) fn clear(&mut self) {
        std::mem::take(&mut self.in_order).into_values().for_each(guard::discard);
        self.as_they_come.drain(..).for_each(guard::discard);
    }

    /// The result of an item that has this number.
    pub(super) fn add_in_order(&mut self, number: u64, result: Result<T, E>) {
        self.in_order.insert(number, result);
    }

    /// One that nobody has to wait for.
    pub(super) fn add_next(&mut self, result: Result<T, E>) {
        self.as_they_come.push_back(result);
    }
}

//! The wheel against a sorted map, and the cases that a random walk meets too rarely.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::entries::Entries;
use super::{Entry, Expire, Key, Wheel};

/// One tick of the wheel.
const TICK: u64 = 1 << 17;
const SECOND: u64 = 1_000_000_000;

struct Nobody;

impl Expire for Nobody {
    fn expire(&self, _token: u64, _deadline: u64) {}
}

fn entry(token: u64) -> Entry {
    Entry { expire: Arc::new(Nobody), token }
}

fn expire(wheel: &mut Wheel, now: u64) -> Vec<(u64, u64)> {
    let mut due = Vec::new();
    wheel.expire(now, &mut due);
    due.into_iter().map(|(deadline, entry)| (deadline, entry.token)).collect()
}

fn cancel(wheel: &mut Wheel, key: Key) -> Option<u64> {
    wheel.remove(key).map(|(deadline, _)| deadline)
}

/// A wheel beside its model, which is sorted by deadline and order of insertion.
struct Pair {
    wheel: Wheel,
    model: BTreeMap<(u64, u64), Key>,
    now: u64,
    inserted: u64,
    cancelled: bool,
}

impl Pair {
    fn new(now: u64) -> Self {
        Self { wheel: Wheel::new(now), model: BTreeMap::new(), now, inserted: 0, cancelled: false }
    }

    fn insert(&mut self, deadline: u64) -> Key {
        let key = self.wheel.insert(deadline, entry(self.inserted));
        self.model.insert((deadline, self.inserted), key);
        self.inserted += 1;
        key
    }

    fn cancel(&mut self, key: Key) {
        let known = self.model.iter().find(|(_, of)| **of == key).map(|(at, _)| *at);
        let answer = cancel(&mut self.wheel, key);
        assert_eq!(answer, known.map(|(deadline, _)| deadline));
        self.cancelled |= known.is_some();
        self.model.retain(|_, of| *of != key);
    }

    fn expire(&mut self, now: u64) {
        self.now = self.now.max(now);
        let later = self.model.split_off(&(now.saturating_add(1), 0));
        let mut expected = std::mem::replace(&mut self.model, later);
        if now == u64::MAX {
            expected.append(&mut self.model);
        }
        let expected: Vec<_> = expected.into_keys().collect();
        assert_eq!(expire(&mut self.wheel, now), expected);
        if let Some(next) = self.wheel.next_deadline() {
            assert!(next > now, "no progress: next deadline {next} at {now}");
        }
    }

    fn check(&self) {
        self.wheel.check();
        assert_eq!(self.wheel.len(), self.model.len());
        let first = self.model.keys().next().map(|(deadline, _)| *deadline);
        let next = self.wheel.next_deadline();
        assert_eq!(next.is_some(), first.is_some());
        assert!(next <= first, "next deadline {next:?} is late for {first:?}");
        assert!(self.cancelled || next == first, "without cancellation the bound is exact");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Insert at now + this.
    After(u64),
    /// Insert at now - this: overdue.
    Overdue(u64),
    /// Insert at the deadline of a pending timer once more.
    Same(prop::sample::Index),
    /// Cancel by one of all keys ever given, most of them stale.
    Cancel(prop::sample::Index),
    /// Cancel the timer that is due first: the one that leaves a bound behind.
    CancelFirst,
    /// Move the clock and expire.
    Advance(u64),
    /// Move the clock to just before, at, or just after the deadline of a pending timer.
    AdvanceTo(prop::sample::Index, u8),
    /// Move the clock to where the wheel asks for it.
    AdvanceToNext,
    /// Expire with an older clock.
    Backwards(u64),
}

/// Delays of all magnitudes: within a tick, at slot and level borders, and up to centuries.
fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..4 * TICK,
        3 => 0..5000 * TICK,
        3 => 0..10 * SECOND,
        2 => (0u32..47, 0..TICK).prop_map(|(bits, rest)| (TICK << bits).saturating_add(rest)),
        2 => (0u32..47).prop_map(|bits| (TICK << bits) - 1),
        1 => any::<u64>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => delay().prop_map(Step::After),
        1 => delay().prop_map(Step::Overdue),
        2 => any::<prop::sample::Index>().prop_map(Step::Same),
        3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        2 => Just(Step::CancelFirst),
        3 => delay().prop_map(Step::Advance),
        3 => (any::<prop::sample::Index>(), 0u8..3).prop_map(|(at, side)| Step::AdvanceTo(at, side)),
        3 => Just(Step::AdvanceToNext),
        1 => delay().prop_map(Step::Backwards),
    ]
}

fn run(start: u64, steps: Vec<Step>) {
    let mut pair = Pair::new(start);
    let mut keys = Vec::new();
    for step in steps {
        let pending: Vec<_> = pair.model.iter().map(|((at, _), key)| (*at, *key)).collect();
        match step {
            Step::After(delay) => keys.push(pair.insert(pair.now.saturating_add(delay))),
            Step::Overdue(ago) => keys.push(pair.insert(pair.now.saturating_sub(ago))),
            Step::Same(at) if !pending.is_empty() => keys.push(pair.insert(at.get(&pending).0)),
            Step::Cancel(at) if !keys.is_empty() => pair.cancel(*at.get(&keys)),
            Step::CancelFirst if !pending.is_empty() => pair.cancel(pending[0].1),
            Step::Advance(by) => pair.expire(pair.now.saturating_add(by)),
            Step::AdvanceTo(at, side) if !pending.is_empty() => {
                let deadline = at.get(&pending).0.saturating_add(u64::from(side)).saturating_sub(1);
                pair.expire(deadline.max(pair.now));
            }
            Step::AdvanceToNext => {
                if let Some(next) = pair.wheel.next_deadline() {
                    pair.expire(next.max(pair.now));
                }
            }
            Step::Backwards(by) => pair.expire(pair.now.saturating_sub(by)),
            Step::Same(_) | Step::Cancel(_) | Step::CancelFirst | Step::AdvanceTo(..) => {}
        }
        pair.check();
    }
    // All that is left leaves at its own deadline, by following the wheel's own advice, within the
    // promised number of idle wake-ups.
    let (mut idle, left) = (0, pair.model.len());
    while let Some(next) = pair.wheel.next_deadline().filter(|next| *next < u64::MAX) {
        let before = pair.model.len();
        pair.expire(next.max(pair.now));
        idle += usize::from(pair.model.len() == before);
        pair.check();
    }
    assert!(idle <= 7 * left, "{idle} idle wake-ups for {left} timers");
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_map(
        start in prop_oneof![Just(0), 0..100 * SECOND, any::<u64>()],
        steps in prop::collection::vec(step(), 0..200),
    ) {
        run(start, steps);
    }

    #[test]
    fn a_dense_burst_leaves_in_order_and_gives_its_memory_back(
        delays in prop::collection::vec(0..50 * TICK, 300..1000),
        step in 1..20 * TICK,
    ) {
        let mut pair = Pair::new(0);
        for delay in delays {
            pair.insert(delay);
        }
        while !pair.model.is_empty() {
            pair.expire(pair.now + step);
            pair.check();
        }
        prop_assert_eq!(pair.wheel.resident_chunks(), 1);
    }
}

#[test]
fn is_never_early_by_a_nanosecond() {
    for delay in [1, TICK - 1, TICK, TICK + 1, 2048 * TICK, 5 * SECOND, 3_600 * SECOND, 1 << 62] {
        let mut wheel = Wheel::new(12_345);
        wheel.insert(12_345 + delay, entry(0));
        assert_eq!(expire(&mut wheel, 12_345 + delay - 1), []);
        assert_eq!(expire(&mut wheel, 12_345 + delay), [(12_345 + delay, 0)]);
    }
}

#[test]
fn timers_of_one_tick_leave_by_deadline_and_ties_by_insertion() {
    let mut wheel = Wheel::new(0);
    let deadlines = [9, 3, 7, 3, 9, 1, 3];
    for (token, deadline) in deadlines.into_iter().enumerate() {
        wheel.insert(SECOND + deadline, entry(token as u64));
    }
    assert_eq!(
        expire(&mut wheel, SECOND + 6),
        [5, 1, 3, 6].map(|t| (SECOND + deadlines[t as usize], t))
    );
    assert_eq!(wheel.next_deadline(), Some(SECOND + 7));
    assert_eq!(
        expire(&mut wheel, SECOND + 9),
        [2, 0, 4].map(|t| (SECOND + deadlines[t as usize], t))
    );
}

#[test]
fn ties_keep_their_order_when_they_entered_at_different_levels() {
    let deadline = 20 * SECOND;
    let mut wheel = Wheel::new(0);
    // The first is inserted from afar, the last from within the deadline's own tick.
    for (token, now) in
        [0, 19 * SECOND, deadline - SECOND / 100, deadline - 1].into_iter().enumerate()
    {
        assert_eq!(expire(&mut wheel, now), []);
        wheel.insert(deadline, entry(token as u64));
    }
    assert_eq!(expire(&mut wheel, deadline), [0, 1, 2, 3].map(|token| (deadline, token)));
}

#[test]
fn the_last_nanosecond_of_the_clock_is_a_deadline_like_any() {
    let mut wheel = Wheel::new(0);
    wheel.insert(u64::MAX, entry(0));
    assert_eq!(wheel.next_deadline(), Some(u64::MAX));
    assert_eq!(expire(&mut wheel, u64::MAX - 1), []);
    assert_eq!(expire(&mut wheel, u64::MAX), [(u64::MAX, 0)]);
    wheel.insert(7, entry(1));
    assert_eq!(expire(&mut wheel, u64::MAX), [(7, 1)]);
}

#[test]
fn delays_beyond_32_bits_of_milliseconds_are_exact() {
    let deadline = 50 * 24 * 3_600 * SECOND + 1;
    assert!(deadline / 1_000_000 > u64::from(u32::MAX));
    let mut wheel = Wheel::new(0);
    wheel.insert(deadline, entry(0));
    assert_eq!(wheel.next_deadline(), Some(deadline));
    assert_eq!(expire(&mut wheel, deadline), [(deadline, 0)]);
}

#[test]
fn overdue_timers_leave_at_once_in_order_of_deadline() {
    let mut wheel = Wheel::new(10 * SECOND);
    wheel.insert(5 * SECOND, entry(0));
    wheel.insert(0, entry(1));
    assert_eq!(wheel.next_deadline(), Some(0));
    assert_eq!(expire(&mut wheel, 10 * SECOND), [(0, 1), (5 * SECOND, 0)]);
}

#[test]
fn a_key_is_dead_after_cancel_and_after_expiry_also_when_its_place_is_used_again() {
    let mut wheel = Wheel::new(0);
    let cancelled = wheel.insert(5, entry(0));
    assert_eq!(cancel(&mut wheel, cancelled), Some(5));
    assert_eq!(cancel(&mut wheel, cancelled), None);
    let expired = wheel.insert(6, entry(1));
    assert_eq!(expire(&mut wheel, 6), [(6, 1)]);
    let present = wheel.insert(7, entry(2));
    assert_eq!(cancel(&mut wheel, expired), None);
    assert_eq!(cancel(&mut wheel, cancelled), None);
    assert_eq!(cancel(&mut wheel, present), Some(7));
}

#[test]
fn a_removed_entry_is_handed_back_and_nothing_keeps_it() {
    let told: Arc<Nobody> = Arc::new(Nobody);
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(SECOND, Entry { expire: told.clone(), token: 9 });
    let (deadline, entry) = wheel.remove(key).expect("it is pending");
    assert_eq!((deadline, entry.token), (SECOND, 9));
    drop(entry);
    assert_eq!(Arc::strong_count(&told), 1);

    wheel.insert(SECOND, Entry { expire: told.clone(), token: 0 });
    drop(wheel);
    assert_eq!(Arc::strong_count(&told), 1);
}

#[test]
fn memory_of_a_burst_returns_and_keys_from_before_stay_dead() {
    let mut wheel = Wheel::new(0);
    let keys: Vec<Key> = (0..100_000).map(|n| wheel.insert(n * 1_000, entry(n))).collect();
    assert_eq!(wheel.resident_chunks(), 391);
    for key in &keys[..50_000] {
        cancel(&mut wheel, *key);
    }
    assert!(wheel.resident_chunks() <= 197, "{} chunks", wheel.resident_chunks());
    assert_eq!(expire(&mut wheel, SECOND).len(), 50_000);
    assert_eq!(wheel.resident_chunks(), 1);
    // The same indices again, in chunks that were given back in between.
    for n in 0..100_000 {
        wheel.insert(2 * SECOND, entry(n));
    }
    assert!(keys.iter().all(|key| cancel(&mut wheel, *key).is_none()));
    assert_eq!(wheel.len(), 100_000);
    wheel.check();
}

#[test]
fn one_timer_at_a_time_around_a_chunk_border_does_not_give_memory_back_each_time() {
    let mut wheel = Wheel::new(0);
    for n in 0..256 {
        wheel.insert(SECOND, entry(n));
    }
    for n in 0..10 {
        let key = wheel.insert(SECOND, entry(n));
        assert_eq!(wheel.resident_chunks(), 2);
        cancel(&mut wheel, key);
        assert_eq!(wheel.resident_chunks(), 2, "the empty chunk is kept");
    }
}

#[test]
fn a_node_whose_generations_are_used_up_is_never_used_again() {
    // Two lives are left for each node of the first chunk.
    let mut entries = Entries::starting_at(u32::MAX - 2);
    let mut keys = Vec::new();
    for round in 0..600 {
        let (index, key) = entries.insert(round, entry(round));
        assert!(!keys.contains(&key), "a key was given twice");
        assert_eq!(entries.find(key), Some(index));
        entries.remove(index);
        assert!(keys.iter().chain([&key]).all(|key| entries.find(*key).is_none()));
        keys.push(key);
        entries.check();
    }
    assert_eq!(entries.resident_chunks(), 1, "the spent chunk's memory is given back");
}

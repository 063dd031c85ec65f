//! The levels as one clock: insertion, cascading and expiry.
//!
//! # How time is laid out
//!
//! A tick is 2^17 ns. A deadline's tick number has 47 bits: a lowest digit of seven, one of ten and five digits
//! of six, and level `l` is the wheel of digit `l`. With `elapsed` as the tick the wheel has come
//! to, an entry lies at the level of the highest digit in which its tick differs from `elapsed`, in
//! the slot of its digit there:
//!
//! ```text
//! level     6   5   4   3   2     1     0
//! elapsed   0   0   0   3  17   205   100       one tick is     131 us, level 0 spans 17 ms
//! entry a   0   0   0   3  17   205   101  ->  level 0, slot 101      level 1 spans 17 s
//! entry b   0   0   0   3  17   209     2  ->  level 1, slot 209      level 2 spans 18 min
//! entry c   0   0   0   4   0     0     0  ->  level 3, slot 4        level 3 spans 20 h
//! ```
//!
//! # Invariants
//!
//! 1. An entry at level `l` agrees with `elapsed` in all digits above `l`, and its digit `l` is
//!    greater than that of `elapsed` (level 0: greater or equal). So what is at a level is due
//!    before all that is at the levels above, slots of a level are in order of time, and the first
//!    slot of the lowest level in use holds the earliest deadline.
//! 2. `elapsed` enters the span of a slot only by emptying that slot into the levels below.
//! 3. Entries that were due when they were inserted lie in the slot of `elapsed` at level 0.
//!
//! # Progress
//!
//! After `expire(now, ..)`, [`Wheel::next_deadline`] is later than `now`. It is exact, except that
//! in a slot whose earliest entry was cancelled it may be as early as that entry's deadline. An
//! `expire` at such a time takes out nothing, and makes the bound exact or moves the slot's entries
//! to a lower level: one idle wake-up at most for each level an entry passes through.

use super::Entry;
use super::entries::{Entries, Key};
use super::level::{Level, Place};

/// A tick is two to this many nanoseconds: 131 us.
///
/// It is not the precision, which is the clock's, only the width of the slots whose entries are
/// sorted. Narrower ticks need more slots for the same span of level 0, wider ones sort more at
/// each look.
const TICK_BITS: u32 = 17;

/// Slots of level 0, as bits: 128 slots, 4 KiB, 17 ms.
///
/// It is also what a slot of level 1 spans, whose entries are moved at one go: with a million timers in four seconds
/// that takes 0.3 ms, for which other timers are late. A span of 268 ms took 5 ms.
const BASE_BITS: u32 = 7;

/// Slots of level 1, as bits: 1024 slots, 32 KiB, 17 s.
///
/// Each level an entry passes through costs a cache miss when timers are many, and perhaps an idle
/// wake-up when they are few. This width keeps timers under 17 s at two levels; with 64 slots these would be four.
const FIRST_STEP_BITS: u32 = 10;

/// Slots of each level above, as bits: 64 slots, 2 KiB.
const STEP_BITS: u32 = 6;

/// The bits of a tick number below those of level 2.
const LOW_BITS: u32 = BASE_BITS + FIRST_STEP_BITS;

const LEVELS: usize = 7;

const _: () = assert!(TICK_BITS + LOW_BITS + (LEVELS as u32 - 2) * STEP_BITS == u64::BITS);

/// Pending timers, and which of them are due.
pub(crate) struct Wheel {
    /// The tick the wheel has come to; never goes back.
    elapsed: u64,
    /// Bit n is set while level n holds an entry.
    occupied: u8,
    levels: [Level; LEVELS],
    entries: Entries,
    /// What a tick gives up, to be sorted: deadline, sequence, index. Empty between calls.
    sorting: Vec<(u64, u64, u32)>,
}

/// How far ahead entries are asked for that are moved. A line comes within 100 ns, a move takes 10.
pub(super) const AHEAD: usize = 10;

/// Room that `sorting` keeps between calls, in entries of 24 bytes; more is freed.
const SORTING_KEPT: usize = 1024;

impl Wheel {
    /// An empty wheel whose clock stands at `now` nanoseconds.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            elapsed: now >> TICK_BITS,
            occupied: 0,
            levels: std::array::from_fn(|at| Level::new(slot_bits(at as u8))),
            entries: Entries::new(),
            sorting: Vec::new(),
        }
    }

    /// Pending timers.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a timer. A deadline that has passed is as good as any: the next `expire` takes it out.
    ///
    /// # Panics
    ///
    /// With 2^32 - 256 timers pending (240 GiB of them).
    pub(crate) fn insert(&mut self, deadline: u64, entry: Entry) -> Key {
        let (index, key) = self.entries.insert(deadline, entry);
        self.place(index);
        key
    }

    /// Takes a timer out before it is due and hands it back with its deadline; `None` when it has
    /// expired or was taken out before.
    ///
    /// The entry is not dropped here: its drop may run a user's code, and the caller holds a lock.
    pub(crate) fn remove(&mut self, key: Key) -> Option<(u64, Entry)> {
        let index = self.entries.find(key)?;
        let place = self.entries.node(index).place;
        self.levels[place.level as usize].take(&mut self.entries, index);
        self.note(place.level);
        self.entries.remove(index)
    }

    /// When to call [`Wheel::expire`] next; `None` when nothing is pending.
    ///
    /// Never later than the earliest deadline; see the module's "Progress" for when it is earlier.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let place = self.first()?;
        Some(self.levels[place.level as usize].earliest(place.slot))
    }

    /// Appends all timers due at `now` to `due`, by deadline and then by order of insertion.
    ///
    /// A `now` before that of an earlier call is allowed and takes out only what is due at that
    /// `now`.
    pub(crate) fn expire(&mut self, now: u64, due: &mut Vec<(u64, Entry)>) {
        let now_tick = (now >> TICK_BITS).max(self.elapsed);
        while let Some(place) = self.first() {
            let start = self.start_of(place);
            if start > now_tick {
                break;
            }
            self.elapsed = start;
            if place.level > 0 {
                self.cascade(place);
                continue;
            }
            self.take_due(place, now, due);
            if start == now_tick {
                // What is left of this slot, and everything after it, is not due yet.
                break;
            }
        }
        self.elapsed = now_tick;
    }

    /// Puts an entry where its deadline and `elapsed` say.
    fn place(&mut self, index: u32) {
        let node = self.entries.node_mut(index);
        let tick = (node.deadline >> TICK_BITS).max(self.elapsed);
        let place = place_of(self.elapsed, tick);
        node.place = place;
        self.levels[place.level as usize].add(&mut self.entries, index);
        self.occupied |= 1 << place.level;
    }

    /// Moves the entries of a slot to the levels below; `elapsed` stands at the slot's start.
    fn cascade(&mut self, place: Place) {
        let list = self.levels[place.level as usize].take_all(place.slot);
        self.note(place.level);
        for (at, index) in list.iter().enumerate() {
            if let Some(ahead) = list.get(at + AHEAD) {
                self.entries.prefetch(*ahead);
            }
            self.place(*index);
        }
    }

    /// Takes what is due out of a slot of level 0.
    fn take_due(&mut self, place: Place, now: u64, due: &mut Vec<(u64, Entry)>) {
        if self.levels[0].earliest(place.slot) > now {
            return;
        }
        let sorting = &mut self.sorting;
        self.levels[0].sweep(place.slot, now, &mut self.entries, |entries, index| {
            let node = entries.node(index);
            sorting.push((node.deadline, node.sequence, index));
        });
        sorting.sort_unstable();
        due.extend(sorting.drain(..).filter_map(|(_, _, index)| self.entries.remove(index)));
        if sorting.capacity() > SORTING_KEPT {
            sorting.shrink_to(SORTING_KEPT);
        }
        self.note(0);
    }

    /// The slot with the earliest deadlines.
    fn first(&self) -> Option<Place> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros() as u8;
        let slot = self.levels[level as usize].first()?;
        Some(Place { level, slot })
    }

    /// Corrects the bit of a level that may have become empty.
    fn note(&mut self, level: u8) {
        if self.levels[level as usize].is_empty() {
            self.occupied &= !(1 << level);
        }
    }

    /// The first tick of a slot's span.
    fn start_of(&self, place: Place) -> u64 {
        let (shift, bits) = (shift_of(place.level), slot_bits(place.level));
        let above = self.elapsed >> (shift + bits) << (shift + bits);
        above | u64::from(place.slot) << shift
    }
}

impl std::fmt::Debug for Wheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wheel")
            .field("len", &self.len())
            .field("next_deadline", &self.next_deadline())
            .finish_non_exhaustive()
    }
}

/// The bits of a tick number that choose a slot of this level.
const fn slot_bits(level: u8) -> u32 {
    match level {
        0 => BASE_BITS,
        1 => FIRST_STEP_BITS,
        _ => STEP_BITS,
    }
}

/// The bits of a tick number below those of this level.
const fn shift_of(level: u8) -> u32 {
    match level {
        0 => 0,
        1 => BASE_BITS,
        _ => LOW_BITS + (level as u32 - 2) * STEP_BITS,
    }
}

/// Level and slot of a tick that is not before `elapsed`.
fn place_of(elapsed: u64, tick: u64) -> Place {
    let differs = elapsed ^ tick;
    let level = if differs >> BASE_BITS == 0 {
        0
    } else if differs >> LOW_BITS == 0 {
        1
    } else {
        2 + ((differs >> LOW_BITS).ilog2() / STEP_BITS) as u8
    };
    let slot = (tick >> shift_of(level)) & ((1 << slot_bits(level)) - 1);
    Place { level, slot: slot as u16 }
}

#[cfg(test)]
impl Wheel {
    /// Chunks of entries that hold memory now.
    pub(super) fn resident_chunks(&self) -> usize {
        self.entries.resident_chunks()
    }

    /// Panics unless the invariants of all parts hold.
    pub(super) fn check(&self) {
        self.entries.check();
        let mut linked = 0;
        for (at, level) in self.levels.iter().enumerate() {
            assert_eq!(level.is_empty(), self.occupied & (1 << at) == 0, "level {at}");
            level.check(&self.entries, |slot, index| {
                linked += 1;
                let node = self.entries.node(index);
                let place = Place { level: at as u8, slot };
                let tick = (node.deadline >> TICK_BITS).max(self.elapsed);
                assert_eq!(node.place, place);
                assert_eq!(place_of(self.elapsed, tick), place, "invariants 1 and 3");
            });
        }
        assert_eq!(linked, self.len());
    }
}

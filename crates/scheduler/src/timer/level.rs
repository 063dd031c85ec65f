//! One wheel of the hierarchy: slots, each a list of entries, and a bitmap of those in use.
//!
//! A list is a vector of indices in no order, and each entry knows its position in it. Next to a
//! linked list this costs four bytes less per entry, and the walk over a slot of entries that are
//! long out of the cache need not wait for one before it can ask for the next: that is what most of
//! the time of a million timers goes into.

use super::entries::Entries;

/// A slot that falls empty keeps memory for this many entries (256 bytes) and frees more.
///
/// Large enough that a wheel of up to half a million timers a second does not allocate again each time it comes round.
const KEPT: usize = 64;

/// Where an entry is: a level and one of its slots.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Place {
    pub(super) level: u8,
    pub(super) slot: u16,
}

/// The entries of one span of time.
#[derive(Clone)]
struct Slot {
    list: Vec<u32>,
    /// Not later than any deadline in the list: the earliest that was added since the slot was
    /// empty or was last [swept](Level::sweep). Too early only by cancellation.
    earliest: u64,
}

/// Slots in order of time: a power of two of them, from 64 to 4096.
pub(super) struct Level {
    /// Bit n is set while word n of `occupied` is not 0.
    summary: u64,
    /// Bit n of word m is set while slot 64 m + n holds an entry.
    occupied: Box<[u64]>,
    /// Made on first use, so that a wheel without timers costs nothing.
    slots: Box<[Slot]>,
    slot_bits: u32,
}

impl Level {
    pub(super) fn new(slot_bits: u32) -> Self {
        debug_assert!((6..=12).contains(&slot_bits));
        Self { summary: 0, occupied: Box::default(), slots: Box::default(), slot_bits }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.summary == 0
    }

    /// The earliest slot in use. Slots before the current time are never in use, so that the order
    /// of the bits is the order of time.
    pub(super) fn first(&self) -> Option<u16> {
        let word = self.summary.trailing_zeros();
        let bits = self.occupied.get(word as usize)?;
        Some((word * 64 + bits.trailing_zeros()) as u16)
    }

    /// A lower bound of the deadlines in a slot.
    pub(super) fn earliest(&self, slot: u16) -> u64 {
        self.slots[slot as usize].earliest
    }

    /// Adds an entry to the slot of its place.
    pub(super) fn add(&mut self, entries: &mut Entries, index: u32) {
        if self.slots.is_empty() {
            self.make_slots();
        }
        let node = entries.node_mut(index);
        let at = node.place.slot;
        let slot = &mut self.slots[at as usize];
        node.position = slot.list.len() as u32;
        slot.earliest = slot.earliest.min(node.deadline);
        slot.list.push(index);
        if slot.list.len() == 1 {
            self.occupied[at as usize / 64] |= 1 << (at % 64);
            self.summary |= 1 << (at / 64);
        }
    }

    /// Takes an entry out of the slot of its place; the slot's last takes its position.
    pub(super) fn take(&mut self, entries: &mut Entries, index: u32) {
        let node = entries.node(index);
        let (at, position) = (node.place.slot, node.position);
        let list = &mut self.slots[at as usize].list;
        list.swap_remove(position as usize);
        if let Some(&moved) = list.get(position as usize) {
            entries.node_mut(moved).position = position;
        }
        self.note(at);
    }

    /// Empties a slot and gives what it held.
    pub(super) fn take_all(&mut self, slot: u16) -> Vec<u32> {
        let list = std::mem::take(&mut self.slots[slot as usize].list);
        self.note(slot);
        list
    }

    /// Takes out of a slot what is due at `now`, in no order, and makes its bound exact.
    pub(super) fn sweep(
        &mut self,
        slot: u16,
        now: u64,
        entries: &mut Entries,
        mut due: impl FnMut(&Entries, u32),
    ) {
        let at = &mut self.slots[slot as usize];
        at.list.iter().for_each(|&index| entries.prefetch(index));
        at.earliest = u64::MAX;
        let mut kept = 0;
        at.list.retain(|&index| {
            let deadline = entries.node(index).deadline;
            if deadline <= now {
                due(entries, index);
                return false;
            }
            at.earliest = at.earliest.min(deadline);
            entries.node_mut(index).position = kept;
            kept += 1;
            true
        });
        self.note(slot);
    }

    /// Notes that a slot may have fallen empty.
    fn note(&mut self, at: u16) {
        let slot = &mut self.slots[at as usize];
        if !slot.list.is_empty() {
            return;
        }
        slot.earliest = u64::MAX;
        if slot.list.capacity() > KEPT {
            slot.list = Vec::new();
        }
        let word = &mut self.occupied[at as usize / 64];
        *word &= !(1 << (at % 64));
        if *word == 0 {
            self.summary &= !(1 << (at / 64));
        }
    }

    #[cold]
    fn make_slots(&mut self) {
        let slots = 1 << self.slot_bits;
        self.occupied = vec![0; slots / 64].into_boxed_slice();
        self.slots = vec![Slot { list: Vec::new(), earliest: u64::MAX }; slots].into_boxed_slice();
    }
}

#[cfg(test)]
impl Level {
    /// Panics unless bitmaps, positions and bounds agree; calls `see` with each entry's index.
    pub(super) fn check(&self, entries: &Entries, mut see: impl FnMut(u16, u32)) {
        for (at, word) in self.occupied.iter().enumerate() {
            assert_eq!(*word != 0, self.summary & (1 << at) != 0, "word {at}");
        }
        for (at, slot) in self.slots.iter().enumerate() {
            assert_eq!(
                !slot.list.is_empty(),
                self.occupied[at / 64] & (1 << (at % 64)) != 0,
                "slot {at}"
            );
            for (position, index) in slot.list.iter().enumerate() {
                let node = entries.node(*index);
                assert_eq!(node.position as usize, position);
                assert_eq!(node.place.slot as usize, at);
                assert!(node.deadline >= slot.earliest, "slot {at}: bound is late");
                see(at as u16, *index);
            }
        }
    }
}

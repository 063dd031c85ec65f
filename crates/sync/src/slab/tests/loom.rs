//! Looking up a name against the end of its life and the beginning of the next in the same slot.

use std::ptr::NonNull;

use super::super::region::header;
use super::super::{Class, Local, Slab, Slot};
use crate::shim::cell::UnsafeCell;
use crate::shim::{Arc, explore, thread};

const CLASS: Class = Class::for_size(128).unwrap();

/// A slab, and what is in its slots: by index, in cells that loom watches.
struct Table {
    slab: Slab,
    contents: [UnsafeCell<u32>; 4],
}

// SAFETY: the cells follow the slots, which is what the models test.
unsafe impl Sync for Table {}
// SAFETY: as above.
unsafe impl Send for Table {}

/// A slot on its way to another thread.
struct Sent(NonNull<u8>);
// SAFETY: the slab's protocol says who may do what.
unsafe impl Send for Sent {}

impl Table {
    fn new() -> Arc<Self> {
        Arc::new(Self { slab: Slab::new(), contents: std::array::from_fn(|_| UnsafeCell::new(0)) })
    }

    /// Begins a life that contains its generation.
    fn begin(&self, local: &mut Local) -> Slot {
        let slot = self.slab.alloc(local, CLASS).unwrap();
        self.write(slot.index, slot.generation);
        // SAFETY: allocated, initialised.
        unsafe { self.slab.publish(slot, 1) };
        slot
    }

    fn write(&self, index: u32, value: u32) {
        // SAFETY: the caller owns the slot, which loom checks.
        self.contents[index as usize].with_mut(|contents| unsafe { *contents = value });
    }

    fn release(&self, local: Option<&mut Local>, index: u32, slot: NonNull<u8>) -> bool {
        // SAFETY: the caller has a reference.
        let is_last = unsafe { header(slot) }.release();
        if is_last {
            self.write(index, 0);
            // SAFETY: the last reference is gone.
            unsafe { self.slab.free(local, slot) };
        }
        is_last
    }

    /// Looks a name up, and at what is there.
    fn look(&self, index: u32, generation: u32) {
        if let Ok(slot) = self.slab.resolve(index, generation) {
            // SAFETY: a reference is held.
            let contents = self.contents[index as usize].with(|contents| unsafe { *contents });
            assert_eq!(contents, generation, "another life under this name");
            self.release(None, index, slot);
        }
    }
}

#[test]
fn a_lookup_against_the_end_and_the_next_life_in_the_slot() {
    explore(8, || {
        let table = Table::new();
        let mut local = Local::new();
        let slot = table.begin(&mut local);
        let finder = {
            let table = table.clone();
            thread::spawn(move || table.look(slot.index, slot.generation))
        };
        table.release(Some(&mut local), slot.index, slot.ptr);
        let next = table.begin(&mut local);
        finder.join().unwrap();
        table.look(next.index, next.generation);
        assert_eq!(table.slab.resolve(slot.index, slot.generation), Err(super::super::Miss));
        assert!(table.release(Some(&mut local), next.index, next.ptr), "the only reference");
    });
}

#[test]
fn a_walk_against_the_end_and_the_next_life_in_the_slot() {
    explore(8, || {
        let table = Table::new();
        let mut local = Local::new();
        let slot = table.begin(&mut local);
        let walker = {
            let table = table.clone();
            thread::spawn(move || {
                table.slab.for_each_live(0, 4, |found| {
                    // SAFETY: a reference is held.
                    let (index, generation) = unsafe { super::super::identity_of(found) };
                    // SAFETY: as above.
                    let contents = table.contents[index as usize].with(|at| unsafe { *at });
                    assert_eq!(contents, generation);
                    table.release(None, index, found);
                });
            })
        };
        table.release(Some(&mut local), slot.index, slot.ptr);
        let next = table.begin(&mut local);
        walker.join().unwrap();
        assert!(table.release(Some(&mut local), next.index, next.ptr));
    });
}

#[test]
fn the_last_of_two_references_takes_the_slot_down() {
    explore(8, || {
        let table = Table::new();
        let slot = table.begin(&mut Local::new());
        // SAFETY: a reference is held.
        unsafe { header(slot.ptr) }.acquire();
        let other = {
            let (table, sent) = (table.clone(), Sent(slot.ptr));
            thread::spawn(move || {
                let Sent(slot_ptr) = { sent };
                // SAFETY: a reference is held.
                table.contents[slot.index as usize].with(|contents| unsafe { *contents });
                table.release(None, slot.index, slot_ptr)
            })
        };
        let here = table.release(None, slot.index, slot.ptr);
        assert_ne!(here, other.join().unwrap(), "one of the two is the last");
    });
}

#[test]
fn a_slot_freed_on_one_thread_begins_anew_on_another() {
    explore(8, || {
        let table = Table::new();
        let slot = table.begin(&mut Local::new());
        let other = {
            let (table, sent) = (table.clone(), Sent(slot.ptr));
            thread::spawn(move || {
                let Sent(slot_ptr) = { sent };
                table.release(None, slot.index, slot_ptr);
            })
        };
        let next = table.begin(&mut Local::new());
        table.look(slot.index, slot.generation);
        table.look(next.index, next.generation);
        other.join().unwrap();
        assert_ne!((next.index, next.generation), (slot.index, slot.generation));
        assert!(table.release(None, next.index, next.ptr));
    });
}

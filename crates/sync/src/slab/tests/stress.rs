//! Lives begun and ended on several threads, looked up by names that may be stale, walked over and
//! trimmed meanwhile. What is in a slot is plain memory, so that ThreadSanitizer sees what is not
//! ordered.

use std::ptr::NonNull;

use super::super::region::header;
use super::super::{Class, Local, Slab, identity_of};
use crate::shim::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::shim::thread;

const ROUNDS: u32 = if cfg!(miri) { 60 } else { 30_000 };
const WORKERS: usize = 3;
const NAMES: usize = 64;

/// Where a life keeps its own name.
const STAMP: usize = 16;

fn stamp(slot: NonNull<u8>) -> NonNull<u64> {
    // SAFETY: inside the slot.
    unsafe { slot.byte_add(STAMP) }.cast()
}

fn pack((index, generation): (u32, u32)) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

struct Table {
    slab: Slab,
    /// Names of lives, of which some have ended.
    names: [AtomicU64; NAMES],
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Table {
    fn begin(&self, local: &mut Local, class: Class, place: usize) -> NonNull<u8> {
        let slot = self.slab.alloc(local, class).unwrap();
        // SAFETY: the slot is ours until it is published.
        unsafe { stamp(slot.ptr).write(pack((slot.index, slot.generation))) };
        // SAFETY: allocated, initialised.
        unsafe { self.slab.publish(slot, 1) };
        self.begun.fetch_add(1, Ordering::Relaxed);
        // Relaxed: finding the slot by its name orders what is in it.
        self.names[place % NAMES].store(pack((slot.index, slot.generation)), Ordering::Relaxed);
        slot.ptr
    }

    fn release(&self, local: Option<&mut Local>, slot: NonNull<u8>) {
        // SAFETY: the caller has a reference.
        if unsafe { header(slot) }.release() {
            // SAFETY: the last reference: the slot is ours. Nobody reads this any more.
            unsafe { stamp(slot).write(0) };
            self.ended.fetch_add(1, Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { self.slab.free(local, slot) };
        }
    }

    /// Looks a name up. What it finds must have that name.
    fn find(&self, place: usize) -> Option<NonNull<u8>> {
        let name = self.names[place % NAMES].load(Ordering::Relaxed);
        let slot = self.slab.resolve(name as u32, (name >> 32) as u32).ok()?;
        // SAFETY: a reference is held.
        assert_eq!(unsafe { stamp(slot).read() }, name, "another life under this name");
        Some(slot)
    }
}

fn work(table: &Table, seed: usize) {
    let mut local = Local::new();
    let classes: Vec<Class> = Class::all().step_by(4).collect();
    let mut held = Vec::new();
    let mut random = seed * 2 + 1;
    for round in 0..ROUNDS {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(seed);
        let draw = random >> 33;
        match draw % 4 {
            0 | 1 if held.len() < 600 => {
                let class = classes[draw / 4 % classes.len()];
                held.push(table.begin(&mut local, class, draw));
            }
            2 => held.extend(table.find(draw / 4)),
            _ if !held.is_empty() => {
                let slot = held.swap_remove(draw / 4 % held.len());
                // Some from a thread that has no stock.
                let local = (round % 16 != 0).then_some(&mut local);
                table.release(local, slot);
            }
            _ => {}
        }
        if round % 4096 == 0 {
            table.slab.flush(&mut local);
        }
    }
    for slot in held {
        table.release(Some(&mut local), slot);
    }
    table.slab.flush(&mut local);
}

fn walk(table: &Table) {
    let mut from = Some(0);
    while let Some(at) = from {
        from = table.slab.for_each_live(at, 1000, |slot| {
            // SAFETY: a reference is held, and it is a slot of the slab.
            let name = unsafe { identity_of(slot) };
            // SAFETY: as above.
            assert_eq!(unsafe { stamp(slot).read() }, pack(name));
            table.release(None, slot);
        });
    }
}

#[test]
fn a_name_leads_to_its_own_life_or_to_none() {
    let table = Table {
        slab: Slab::new(),
        names: [const { AtomicU64::new(0) }; NAMES],
        begun: AtomicU64::new(0),
        ended: AtomicU64::new(0),
    };
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let table = &table;
        let walker = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                walk(table);
                table.slab.trim();
                thread::yield_now();
            }
        });
        let workers: Vec<_> =
            (0..WORKERS).map(|seed| scope.spawn(move || work(table, seed))).collect();
        for worker in workers {
            worker.join().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        // Joined one by one: ThreadSanitizer does not see the scope's own wait.
        walker.join().unwrap();
    });
    assert_eq!(table.begun.load(Ordering::Relaxed), table.ended.load(Ordering::Relaxed));
    assert_eq!(table.slab.for_each_live(0, usize::MAX, |_| panic!("a life is left")), None);
    for place in 0..NAMES {
        assert_eq!(table.find(place), None);
    }
}

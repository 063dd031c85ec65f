//! Each transition on one thread.

use std::collections::HashSet;
use std::ptr::NonNull;

use super::super::header::GENERATION_BITS;
use super::super::region::header;
use super::super::{Class, Local, MAX_SIZE, Miss, Slab, Slot, SlotHeader, identity_of, user_of};

const SMALL: Class = Class::for_size(128).unwrap();
const LARGE: Class = Class::for_size(MAX_SIZE).unwrap();

/// Slots of a region of `LARGE`.
const LARGE_SLOTS: usize = ((2 << 20) - 128) / 1024;

fn word(slot: NonNull<u8>) -> &'static SlotHeader {
    // SAFETY: the tests use slots while their slab lives.
    unsafe { header(slot) }
}

/// Allocates and publishes with one reference.
fn spawn(slab: &Slab, local: &mut Local, class: Class) -> Slot {
    let slot = slab.alloc(local, class).unwrap();
    // SAFETY: just allocated.
    unsafe { slab.publish(slot, 1) };
    slot
}

/// Releases the last reference and frees.
fn end(slab: &Slab, local: &mut Local, slot: Slot) {
    assert!(word(slot.ptr).release());
    // SAFETY: the last reference is gone.
    unsafe { slab.free(Some(local), slot.ptr) };
}

#[test]
fn slots_are_distinct_aligned_and_found_by_their_names() {
    let slab = Slab::new();
    let mut local = Local::new();
    for class in Class::all() {
        let slots: Vec<Slot> = (0..300).map(|_| spawn(&slab, &mut local, class)).collect();
        let addresses: HashSet<_> = slots.iter().map(|slot| slot.ptr.addr().get()).collect();
        assert_eq!(addresses.len(), slots.len());
        let mut sorted: Vec<_> = addresses.into_iter().collect();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= class.size()));
        for slot in slots {
            assert_eq!(slot.ptr.addr().get() % 16, 0);
            // SAFETY: a slot of a slab that lives.
            assert_eq!(unsafe { identity_of(slot.ptr) }, (slot.index, slot.generation));
            assert_eq!(slab.resolve(slot.index, slot.generation), Ok(slot.ptr));
            assert_eq!(word(slot.ptr).refs(), 2);
        }
    }
    assert_eq!(slab.regions(), Class::all().count());
}

#[test]
fn a_name_is_found_from_publish_to_the_last_release() {
    let slab = Slab::new();
    let mut local = Local::new();
    let slot = slab.alloc(&mut local, SMALL).unwrap();
    assert_ne!(slot.generation, 0);
    let resolve = || slab.resolve(slot.index, slot.generation);
    assert_eq!(resolve(), Err(Miss), "not published");
    // SAFETY: just allocated.
    unsafe { slab.publish(slot, 2) };
    assert_eq!(resolve(), Ok(slot.ptr));
    let word = word(slot.ptr);
    word.acquire();
    assert_eq!(word.refs(), 4);
    assert!(!word.release() && !word.release() && !word.release());
    assert_eq!(resolve(), Ok(slot.ptr));
    assert!(!word.release());
    assert!(word.release(), "the last");
    assert_eq!(resolve(), Err(Miss), "dead");
    // SAFETY: the last reference is gone.
    unsafe { slab.free(Some(&mut local), slot.ptr) };
    assert_eq!(resolve(), Err(Miss), "free");
    let next = spawn(&slab, &mut local, SMALL);
    assert_eq!((next.ptr, next.index), (slot.ptr, slot.index), "the warmest slot comes first");
    assert_eq!(next.generation, slot.generation + 1);
    assert_eq!(resolve(), Err(Miss), "another life");
}

#[test]
fn what_lives_is_found_by_its_address() {
    let slab = Slab::new();
    let mut local = Local::new();
    let slots = [SMALL, LARGE, SMALL].map(|class| spawn(&slab, &mut local, class));
    for slot in slots {
        let address = slot.ptr.addr().get();
        assert_eq!(slab.live_at(address), Some(slot.ptr));
        assert_eq!(word(slot.ptr).refs(), 2);
        for other in [address - 1, address + 1, address + 16, 0, usize::MAX] {
            assert_eq!(slab.live_at(other), None, "nothing begins at {other:x}");
        }
        assert!(!word(slot.ptr).release());
        end(&slab, &mut local, slot);
        assert_eq!(slab.live_at(address), None, "it does not live");
    }
    // In the header of a region, and behind its last slot.
    let region = slots[1].ptr.addr().get() & !((2 << 20) - 1);
    assert_eq!(slab.live_at(region), None);
    assert_eq!(slab.live_at(region + 128 + LARGE_SLOTS * 1024), None);
}

#[test]
fn names_that_were_never_given_are_not_found() {
    let slab = Slab::new();
    assert_eq!(slab.resolve(0, 0), Err(Miss));
    let slot = spawn(&slab, &mut Local::new(), LARGE);
    for (index, generation) in [
        (slot.index, 0),
        (slot.index, slot.generation + 1),
        (slot.index, 1 << GENERATION_BITS),
        (slot.index, u32::MAX),
        (slot.index + 1, slot.generation),
        (slot.index + LARGE_SLOTS as u32, slot.generation),
        (1 << 14, 1),
        (u32::MAX, 1),
    ] {
        assert_eq!(slab.resolve(index, generation), Err(Miss), "{index} {generation}");
    }
}

#[test]
fn a_slot_given_back_unpublished_gets_another_name() {
    let slab = Slab::new();
    let mut local = Local::new();
    let slot = slab.alloc(&mut local, SMALL).unwrap();
    // SAFETY: never published.
    unsafe { slab.free(Some(&mut local), slot.ptr) };
    let next = slab.alloc(&mut local, SMALL).unwrap();
    assert_eq!(next.ptr, slot.ptr);
    assert_ne!(next.generation, slot.generation);
}

#[test]
fn a_slot_whose_generations_are_spent_is_never_used_again() {
    let slab = Slab::new();
    let mut local = Local::new();
    let slot = slab.alloc(&mut local, SMALL).unwrap();
    let last = (1 << GENERATION_BITS) - 1;
    word(slot.ptr).prepare(last);
    let slot = Slot { generation: last, ..slot };
    // SAFETY: not published before.
    unsafe { slab.publish(slot, 1) };
    assert_eq!(slab.resolve(slot.index, last), Ok(slot.ptr));
    assert!(!word(slot.ptr).release());
    end(&slab, &mut local, slot);
    for generation in [0, 1, last, last + 1] {
        assert_eq!(slab.resolve(slot.index, generation), Err(Miss));
    }
    let others: Vec<Slot> = (0..20_000).map(|_| spawn(&slab, &mut local, SMALL)).collect();
    assert!(others.iter().all(|other| other.ptr != slot.ptr));
}

#[test]
fn slots_freed_on_one_worker_serve_another() {
    let slab = Slab::new();
    let (mut spawner, mut reaper) = (Local::new(), Local::new());
    for _ in 0..100 {
        let slots: Vec<Slot> = (0..1_000).map(|_| spawn(&slab, &mut spawner, SMALL)).collect();
        for slot in slots {
            end(&slab, &mut reaper, slot);
        }
    }
    assert_eq!(slab.regions(), 1, "100,000 lives in the 16,383 slots of a region");
}

#[test]
fn threads_without_a_stock_share_one() {
    let slab = Slab::new();
    let mut local = Local::new();
    let first = slab.alloc_shared(SMALL).unwrap();
    let second = slab.alloc_shared(SMALL).unwrap();
    assert_ne!(first.ptr, second.ptr);
    for slot in [first, second] {
        // SAFETY: never published.
        unsafe { slab.free(None, slot.ptr) };
    }
    let again = [slab.alloc_shared(SMALL).unwrap(), slab.alloc_shared(SMALL).unwrap()];
    assert_eq!(again.map(|slot| slot.ptr), [second.ptr, first.ptr]);
    for slot in again {
        // SAFETY: never published.
        unsafe { slab.free(None, slot.ptr) };
    }
    let warm = slab.alloc(&mut local, SMALL).unwrap();
    slab.flush(&mut local);
    // SAFETY: never published.
    unsafe { slab.free(None, warm.ptr) };
    let slots: HashSet<_> = (0..1_000).map(|_| slab.alloc_shared(SMALL).unwrap().ptr).collect();
    assert_eq!(slots.len(), 1_000);
    assert_eq!(slab.regions(), 1);
}

#[test]
fn a_stock_of_another_slab_is_left_alone() {
    let (mine, other) = (Slab::new(), Slab::new());
    let mut local = Local::new();
    let slot = spawn(&mine, &mut local, SMALL);
    let foreign = spawn(&other, &mut local, SMALL);
    assert_eq!(mine.resolve(slot.index, slot.generation), Ok(slot.ptr));
    assert_eq!(other.resolve(foreign.index, foreign.generation), Ok(foreign.ptr));
    assert!(!word(foreign.ptr).release());
    end(&other, &mut local, foreign);
    other.flush(&mut local);
    for _ in 0..100 {
        assert_ne!(spawn(&mine, &mut local, SMALL).ptr, foreign.ptr);
    }
    assert_eq!(other.alloc_shared(SMALL).unwrap().ptr, foreign.ptr);
}

#[test]
fn the_walker_meets_what_lives_in_slices() {
    let slab = Slab::new();
    let mut local = Local::new();
    let mut live = HashSet::new();
    for round in 0..5_000 {
        let class = if round % 2 == 0 { SMALL } else { LARGE };
        let slot = spawn(&slab, &mut local, class);
        if round % 3 == 0 {
            end(&slab, &mut local, slot);
        } else {
            live.insert(slot.ptr);
        }
    }
    let mut met = HashSet::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let before = met.len();
        from = slab.for_each_live(at, 97, |slot| {
            assert!(met.insert(slot), "met twice");
            assert!(!word(slot).release());
        });
        assert!(met.len() - before <= 97);
    }
    assert_eq!(met, live);
    assert_eq!(Slab::new().for_each_live(0, 10, |_| unreachable!()), None);
}

#[test]
fn every_slot_leads_to_the_owner_of_its_slab() {
    let slab = Slab::new();
    let mut local = Local::new();
    let before = spawn(&slab, &mut local, SMALL);
    let owner = 5_u64;
    slab.set_user((&raw const owner).cast());
    let after = spawn(&slab, &mut local, LARGE);
    for slot in [before, after] {
        // SAFETY: a slot of a slab that lives.
        assert_eq!(unsafe { user_of(slot.ptr) }, (&raw const owner).cast());
    }
}

#[test]
fn trim_gives_back_regions_that_are_wholly_free_and_keeps_names_stale() {
    let slab = Slab::new();
    let mut local = Local::new();
    let slots: Vec<Slot> =
        (0..LARGE_SLOTS * 3 + 10).map(|_| spawn(&slab, &mut local, LARGE)).collect();
    assert_eq!(slab.regions(), 4);
    let survivor = slots[LARGE_SLOTS + 7];
    for slot in &slots {
        if *slot != survivor {
            end(&slab, &mut local, *slot);
        }
    }
    slab.flush(&mut local);
    let bytes = slab.trim();
    // The first and third region; not the survivor's, nor the one that is being carved.
    let body = if cfg!(all(unix, not(miri))) { (2 << 20) - 4096 } else { 0 };
    assert_eq!(bytes, 2 * body);
    assert_eq!(slab.trim(), 0, "nothing is left to give");
    for slot in &slots {
        let found = slab.resolve(slot.index, slot.generation).is_ok();
        assert_eq!(found, *slot == survivor);
    }
    let again: Vec<Slot> =
        (1..LARGE_SLOTS * 3 + 10).map(|_| spawn(&slab, &mut local, LARGE)).collect();
    assert_eq!(slab.regions(), 4, "trimmed regions are used before new ones are made");
    let mut names: HashSet<_> = slots.iter().map(|slot| (slot.index, slot.generation)).collect();
    for slot in again {
        assert!(names.insert((slot.index, slot.generation)), "a name was given twice");
    }
}

#[test]
fn a_burst_is_a_region_s_worth_of_slots() {
    let slab = Slab::new();
    let mut local = Local::new();
    let mut burst = |slots: usize| {
        let slots: Vec<Slot> = (0..slots).map(|_| spawn(&slab, &mut local, LARGE)).collect();
        slots.into_iter().for_each(|slot| end(&slab, &mut local, slot));
        slab.flush(&mut local);
        slab.trim_after_burst()
    };
    let body = if cfg!(all(unix, not(miri))) { (2 << 20) - 4096 } else { 0 };
    assert_eq!(burst(LARGE_SLOTS / 2), 0, "too few to look");
    // The one that is being carved stays.
    assert_eq!(burst(LARGE_SLOTS * 3), 3 * body);
    assert_eq!(burst(1), 0, "what another stock had held would have been found here");
    assert_eq!(burst(LARGE_SLOTS / 2), 0, "the count begins anew");
}

/// Who rests first finds slots of each region in the others' stocks; the last one does not.
#[test]
fn a_burst_goes_back_when_the_last_stock_is_put_back() {
    let slab = Slab::new();
    let mut locals: Vec<Local> = (0..4).map(|_| Local::new()).collect();
    let slots: Vec<Slot> =
        (0..LARGE_SLOTS * 3).map(|_| spawn(&slab, &mut locals[0], LARGE)).collect();
    // Each stock has a few slots of each region when all are free.
    for local in &mut locals[1..] {
        let own = spawn(&slab, local, LARGE);
        end(&slab, local, own);
    }
    for (at, slot) in slots.iter().enumerate() {
        let of = if at % 100 < 3 { 1 + at % 100 } else { 0 };
        end(&slab, &mut locals[of], *slot);
    }
    let mut bytes = Vec::new();
    for local in &mut locals {
        slab.flush(local);
        bytes.push(slab.trim_after_burst());
    }
    let body = if cfg!(all(unix, not(miri))) { (2 << 20) - 4096 } else { 0 };
    assert_eq!(bytes[..3], [0, 0, 0], "the others have slots of each region");
    // The last of them may be the one that is being carved.
    assert!(bytes[3] >= 2 * body, "{bytes:?}");
}

#[test]
fn trim_remembers_spent_slots_and_slots_never_used() {
    let slab = Slab::new();
    let mut local = Local::new();
    let last = (1 << GENERATION_BITS) - 1;
    let spent = slab.alloc(&mut local, LARGE).unwrap();
    word(spent.ptr).prepare(last);
    // SAFETY: never published.
    unsafe { slab.free(Some(&mut local), spent.ptr) };
    for round in 0..3 {
        // The region is carved to its end, the last slots of it only by the next region's first.
        let slots: Vec<Slot> = (0..LARGE_SLOTS).map(|_| spawn(&slab, &mut local, LARGE)).collect();
        assert!(slots.iter().all(|slot| slot.ptr != spent.ptr), "round {round}");
        for slot in slots {
            end(&slab, &mut local, slot);
        }
        slab.flush(&mut local);
        slab.trim();
    }
    assert_eq!(slab.regions(), 2);
}

//! An owner that fills and empties at full speed, and thieves; each content must come out once.

use super::super::{StealSlot, Stolen};
use super::content;
use crate::barrier::Heavy;
use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::{Arc, thread};

fn both_kinds() -> impl Iterator<Item = StealSlot> {
    [Heavy::register(), None].into_iter().map(StealSlot::new)
}

/// The owner's two operations, for tests in which one thread is the owner.
fn replace(slot: &StealSlot, number: usize) -> Option<usize> {
    // SAFETY: each test has one owner thread, the caller.
    unsafe { slot.replace(content(number)) }.map(|content| content.addr().get())
}

fn take(slot: &StealSlot) -> Option<usize> {
    // SAFETY: as in `replace`.
    unsafe { slot.take() }.map(|content| content.addr().get())
}

#[test]
fn replace_gives_back_what_was_there() {
    for slot in both_kinds() {
        assert!(slot.is_empty());
        assert_eq!(take(&slot), None);
        assert_eq!(replace(&slot, 1), None);
        assert_eq!(replace(&slot, 2), Some(1));
        assert!(!slot.is_empty());
        assert_eq!(take(&slot), Some(2));
        assert_eq!(take(&slot), None);
    }
}

#[test]
fn steal_empties_the_slot() {
    for slot in both_kinds() {
        assert_eq!(slot.steal(), Stolen::Empty);
        assert_eq!(replace(&slot, 7), None);
        assert_eq!(slot.steal(), Stolen::Taken(content(7)));
        assert_eq!(slot.steal(), Stolen::Empty);
        assert_eq!(take(&slot), None);
    }
}

fn duel(slot: StealSlot, thieves: usize, rounds: usize) {
    let slot = Arc::new(slot);
    let stop = Arc::new(AtomicBool::new(false));
    let thieves: Vec<_> = (0..thieves)
        .map(|_| {
            let (slot, stop) = (Arc::clone(&slot), Arc::clone(&stop));
            thread::spawn(move || {
                let mut got = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match slot.steal() {
                        Stolen::Taken(content) => got.push(content.addr().get()),
                        // One processor is enough for this test to end.
                        Stolen::Empty | Stolen::Refused => thread::yield_now(),
                    }
                }
                got
            })
        })
        .collect();

    let mut seen = vec![0_u8; rounds + 1];
    for number in 1..=rounds {
        if let Some(old) = replace(&slot, number) {
            seen[old] += 1;
        }
        if number % 3 == 0
            && let Some(old) = take(&slot)
        {
            seen[old] += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for thief in thieves {
        for number in thief.join().unwrap() {
            seen[number] += 1;
        }
    }
    if let Some(last) = take(&slot) {
        seen[last] += 1;
    }
    let wrong = seen.iter().skip(1).position(|&times| times != 1);
    assert_eq!(wrong, None, "a content came out twice or never");
}

#[test]
fn every_content_comes_out_once_biased() {
    duel(StealSlot::new(Heavy::register()), 2, 1_000_000);
}

#[test]
fn every_content_comes_out_once_swapping() {
    duel(StealSlot::new(None), 2, 1_000_000);
}

//! The model: whoever works is looked after, and a worker that begins while everybody rests wakes who looks.

use super::super::Lookout;
use crate::shim::atomic::{AtomicUsize, Ordering, fence};
use crate::shim::{Arc, thread};

/// The one that looks sleeps only if nobody works, and must see each worker work: else it sleeps on, and loom
/// reports the deadlock.
fn begins(workers: usize) {
    let active = Arc::new(AtomicUsize::new(0));
    let lookout = Arc::new(Lookout::new());
    let beginners: Vec<_> = (0..workers)
        .map(|_| {
            let (active, lookout) = (Arc::clone(&active), Arc::clone(&lookout));
            thread::spawn(move || {
                active.fetch_add(1, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                lookout.begin();
            })
        })
        .collect();
    // A token of one that began earlier ends a sleep too soon: it sleeps again.
    while active.load(Ordering::Relaxed) < workers {
        lookout.doze(|| active.load(Ordering::Relaxed) == workers);
    }
    for beginner in beginners {
        beginner.join().unwrap();
    }
}

#[test]
fn one_that_begins_is_seen() {
    loom::model(|| begins(1));
}

#[test]
fn two_that_begin_are_seen() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| begins(2));
}

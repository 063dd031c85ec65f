//! The model: a token is never lost and carries what was written before it.

use super::super::Parker;
use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::cell::UnsafeCell;
use crate::shim::{Arc, thread};
use std::time::Duration;

struct Shared {
    parker: Parker,
    data: UnsafeCell<u32>,
    second: AtomicBool,
}

// SAFETY: the cell is written before `unpark` and read after the token was taken, which orders both.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        parker: Parker::new(),
        data: UnsafeCell::new(0),
        second: AtomicBool::new(false),
    })
}

#[test]
fn token_carries_the_data() {
    loom::model(|| {
        let shared = shared();
        let other = Arc::clone(&shared);
        let waker = thread::spawn(move || {
            // SAFETY: nobody reads before the token is handed over.
            other.data.with_mut(|data| unsafe { *data = 7 });
            other.parker.unpark();
        });
        shared.parker.park();
        // SAFETY: the token was taken, the writer is done.
        assert_eq!(shared.data.with(|data| unsafe { *data }), 7);
        waker.join().unwrap();
    });
}

#[test]
fn two_wakers_leave_at_least_one_token_each_time() {
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let shared = shared();
        let wakers = [false, true].map(|second| {
            let other = Arc::clone(&shared);
            thread::spawn(move || {
                if second {
                    other.second.store(true, Ordering::Relaxed);
                }
                other.parker.unpark();
            })
        });
        // Each return may stand for one or both wakers; the flag's waker is seen in the end.
        while !shared.second.load(Ordering::Relaxed) {
            shared.parker.park();
        }
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}

#[test]
fn timeout_that_meets_a_token_takes_it() {
    loom::model(|| {
        let shared = shared();
        let other = Arc::clone(&shared);
        let waker = thread::spawn(move || {
            // SAFETY: nobody reads before the token is handed over.
            other.data.with_mut(|data| unsafe { *data = 7 });
            other.parker.unpark();
        });
        // Time stands still in the model: it can only come back with the token or spuriously.
        while !shared.parker.park_timeout(Duration::from_secs(1)) {}
        // SAFETY: the token was taken, the writer is done.
        assert_eq!(shared.data.with(|data| unsafe { *data }), 7);
        waker.join().unwrap();
    });
}

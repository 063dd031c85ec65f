//! Real calls on the heap, freed by whom the word says, from three threads.

use std::collections::VecDeque;

use super::super::{Abandon, Complete, Rearm, ReplyWord};
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::cell::UnsafeCell;
use crate::shim::{Arc, Condvar, Mutex, thread};

const CALLS: u32 = if cfg!(miri) { 50 } else { 20_000 };

struct Call {
    word: ReplyWord<Arc<AtomicU32>>,
    value: UnsafeCell<Option<Box<u32>>>,
}

/// A party's pointer to a call.
struct Party(*mut Call);
// SAFETY: the word says who may do what.
unsafe impl Send for Party {}

impl Party {
    fn word(&self) -> &ReplyWord<Arc<AtomicU32>> {
        // SAFETY: asked by a party that is not done; the memory is not freed before both are.
        unsafe { &(*self.0).word }
    }

    fn reply(self, value: u32) {
        // SAFETY: as in `word`.
        let cell = unsafe { &(*self.0).value };
        // SAFETY: the replier's until it completes.
        cell.with_mut(|cell| unsafe { *cell = Some(Box::new(value)) });
        // SAFETY: the one reply.
        match unsafe { self.word().complete() } {
            Complete::Wake(target) => {
                target.fetch_add(1, Ordering::Release);
            }
            Complete::Abandoned => drop(self.free()),
            Complete::Unarmed => {}
        }
    }

    fn free(self) -> Option<Box<u32>> {
        // SAFETY: the word told this party that all is its own.
        let call = unsafe { Box::from_raw(self.0) };
        call.value.into_inner()
    }

    fn poll(&self, target: &Arc<AtomicU32>) -> bool {
        let same = |old: &Arc<AtomicU32>| Arc::ptr_eq(old, target);
        // SAFETY: one caller at a time, before it abandons.
        let rearmed = unsafe { self.word().rearm(same, || target.clone()) };
        matches!(rearmed, Rearm::Replied)
    }

    /// Gives up. The value, if it had come.
    fn abandon(self) -> Option<Box<u32>> {
        // SAFETY: the caller's last.
        match unsafe { self.word().abandon() } {
            Abandon::Pending(_) => None,
            Abandon::Replied => self.free(),
        }
    }
}

/// A channel that ThreadSanitizer sees all of, unlike std's. `None` ends it.
#[derive(Default)]
struct Queue {
    calls: Mutex<VecDeque<Option<(Party, u32)>>>,
    more: Condvar,
}

impl Queue {
    fn send(&self, call: Option<(Party, u32)>) {
        self.calls.lock().push_back(call);
        self.more.notify_one();
    }

    fn receive(&self) -> Option<(Party, u32)> {
        let mut calls = self.calls.lock();
        loop {
            match calls.pop_front() {
                Some(call) => return call,
                None => calls = self.more.wait(calls),
            }
        }
    }
}

#[test]
fn a_call_is_answered_or_given_up_and_freed_once() {
    let (requests, moved) = (&Queue::default(), &Queue::default());
    let wakes = Arc::new(AtomicU32::new(0));
    let (here, there, answered) = thread::scope(|scope| {
        let replier = scope.spawn(move || {
            let mut answered = 0;
            while let Some((call, id)) = requests.receive() {
                call.reply(id);
                answered += 1;
            }
            answered
        });
        let second = scope.spawn({
            let wakes = wakes.clone();
            move || {
                let mut got = 0;
                while let Some((call, id)) = moved.receive() {
                    if id % 2 == 0 && !call.poll(&wakes) {
                        // Wait for the answer, not for the wake: both must come.
                        while !call.word().is_replied() {
                            thread::yield_now();
                        }
                    }
                    if let Some(value) = call.abandon() {
                        assert_eq!(*value, id);
                        got += 1;
                    }
                }
                got
            }
        });
        let mut got = 0;
        for id in 0..CALLS {
            let word = ReplyWord::new();
            if id % 3 == 0 {
                // SAFETY: not sent yet.
                unsafe { word.arm(wakes.clone()) };
            }
            let call = Box::new(Call { word, value: UnsafeCell::new(None) });
            let call = Box::into_raw(call);
            requests.send(Some((Party(call), id)));
            let mine = Party(call);
            if id % 5 == 0 && mine.poll(&Arc::new(AtomicU32::new(0))) {
                assert_eq!(mine.free().as_deref(), Some(&id));
                got += 1;
            } else {
                moved.send(Some((mine, id)));
            }
        }
        requests.send(None);
        moved.send(None);
        (got, second.join().unwrap(), replier.join().unwrap())
    });
    assert_eq!(answered, CALLS);
    // The even ones wait; the odd ones may come too late.
    assert!(here + there >= CALLS / 2, "{here} + {there}");
    assert_eq!(Arc::strong_count(&wakes), 1, "no target is left behind");
}

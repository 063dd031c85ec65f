//! A call that is polled in A, moves, and is dropped in B, while it is answered in C. The value and
//! the memory end with exactly one party, and a caller that sleeps is woken.

use super::super::{Abandon, Complete, Rearm, ReplyWord};
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::cell::UnsafeCell;
use crate::shim::{Arc, explore, thread};

const VALUE: u32 = 42;

/// What a caller and a replier share. `freed` stands for giving the memory back: a second free,
/// and any access that is not ordered before it, are found by loom's cell.
struct Call {
    word: ReplyWord<Arc<Target>>,
    value: UnsafeCell<u32>,
    memory: UnsafeCell<bool>,
}

/// Whom a call wakes.
struct Target {
    wakes: AtomicU32,
}

// SAFETY: the cells follow the word, which is what the models test.
unsafe impl Sync for Call {}
// SAFETY: as above.
unsafe impl Send for Call {}

impl Call {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: ReplyWord::new(),
            value: UnsafeCell::new(0),
            memory: UnsafeCell::new(true),
        })
    }

    fn free(&self) {
        // The word is dropped with the memory, and a target that is left in it with the word.
        // SAFETY: the caller of this is the last owner: which is tested.
        drop(self.word.target.with_mut(|target| unsafe { (*target).take() }));
        self.memory.with_mut(|memory| {
            // SAFETY: as above.
            let is_there = unsafe { std::mem::replace(&mut *memory, false) };
            assert!(is_there, "freed twice");
        });
    }

    fn reply(&self) {
        // SAFETY: the replier writes the value before it completes.
        self.value.with_mut(|value| unsafe { *value = VALUE });
        // SAFETY: each model replies once.
        match unsafe { self.word.complete() } {
            Complete::Wake(target) => {
                target.wakes.fetch_add(1, Ordering::Relaxed);
            }
            Complete::Abandoned => self.free(),
            Complete::Unarmed => {}
        }
    }

    fn take(&self) {
        // SAFETY: replied: the value is the caller's.
        assert_eq!(self.value.with(|value| unsafe { *value }), VALUE);
        self.free();
    }

    /// Polls with this target. True: the answer was there, and was taken.
    fn poll(&self, target: &Arc<Target>) -> bool {
        if self.word.is_replied() {
            self.take();
            return true;
        }
        let same = |old: &Arc<Target>| Arc::ptr_eq(old, target);
        // SAFETY: one caller at a time.
        match unsafe { self.word.rearm(same, || target.clone()) } {
            Rearm::Kept | Rearm::Replaced(_) => false,
            Rearm::Replied => {
                self.take();
                true
            }
        }
    }

    fn drop_call(&self) {
        // SAFETY: the caller's last.
        match unsafe { self.word.abandon() } {
            Abandon::Pending(target) => drop(target),
            Abandon::Replied => self.take(),
        }
    }

    fn is_freed(&self) -> bool {
        // SAFETY: everyone has joined.
        !self.memory.with(|memory| unsafe { *memory })
    }
}

impl Target {
    fn new() -> Arc<Self> {
        Arc::new(Self { wakes: AtomicU32::new(0) })
    }

    fn wakes(&self) -> u32 {
        self.wakes.load(Ordering::Relaxed)
    }
}

#[test]
fn polled_in_a_dropped_in_b_answered_in_c() {
    explore(6, || {
        let call = Call::new();
        let target = Target::new();
        let replier = {
            let call = call.clone();
            thread::spawn(move || call.reply())
        };
        if !call.poll(&target) {
            let dropper = {
                let call = call.clone();
                thread::spawn(move || call.drop_call())
            };
            dropper.join().unwrap();
        }
        replier.join().unwrap();
        assert!(call.is_freed());
        assert_eq!(Arc::strong_count(&target), 1, "no target is left behind");
    });
}

#[test]
fn a_caller_that_moves_is_woken_where_it_polled_last() {
    explore(8, || {
        let call = Call::new();
        let (first, second) = (Target::new(), Target::new());
        // SAFETY: not sent yet.
        unsafe { call.word.arm(first.clone()) };
        let replier = {
            let call = call.clone();
            thread::spawn(move || call.reply())
        };
        let is_done = call.poll(&second);
        replier.join().unwrap();
        if !is_done {
            assert_eq!(second.wakes(), 1, "the caller would sleep for ever");
            assert!(call.poll(&second));
        }
        assert!(call.is_freed());
    });
}

#[test]
fn a_caller_that_polls_where_it_was_is_woken_there() {
    explore(6, || {
        let call = Call::new();
        let target = Target::new();
        // SAFETY: not sent yet.
        unsafe { call.word.arm(target.clone()) };
        let replier = {
            let call = call.clone();
            thread::spawn(move || call.reply())
        };
        let is_done = call.poll(&target) || call.poll(&target);
        replier.join().unwrap();
        if !is_done {
            assert_eq!(target.wakes(), 1);
            call.take();
        }
        assert!(call.is_freed());
    });
}

#[test]
fn a_call_dropped_unpolled_against_its_answer_frees_once() {
    explore(8, || {
        let call = Call::new();
        let target = Target::new();
        // SAFETY: not sent yet.
        unsafe { call.word.arm(target.clone()) };
        let replier = {
            let call = call.clone();
            thread::spawn(move || call.reply())
        };
        call.drop_call();
        replier.join().unwrap();
        assert!(call.is_freed());
    });
}

#[test]
fn a_look_before_the_answer_sees_a_whole_target_and_loses_nothing() {
    explore(4, || {
        let call = Call::new();
        let (first, second) = (Target::new(), Target::new());
        // SAFETY: not sent yet.
        unsafe { call.word.arm(first.clone()) };
        let replier = {
            let call = call.clone();
            thread::spawn(move || {
                // SAFETY: the replier's, before it answers.
                let wakes = unsafe { call.word.look(|target| target.wakes()) };
                assert!(wakes.is_none_or(|wakes| wakes == 0));
                call.reply();
            })
        };
        if !call.poll(&second) {
            call.drop_call();
        }
        replier.join().unwrap();
        assert!(call.is_freed());
        assert_eq!(Arc::strong_count(&first) + Arc::strong_count(&second), 2);
    });
}

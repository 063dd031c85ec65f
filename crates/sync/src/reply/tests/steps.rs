//! Each transition on one thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::{Abandon, Complete, Rearm, ReplyWord};

fn armed(target: u32) -> ReplyWord<u32> {
    let word = ReplyWord::new();
    // SAFETY: nobody else knows the word.
    unsafe { word.arm(target) };
    word
}

fn complete(word: &ReplyWord<u32>) -> Complete<u32> {
    // SAFETY: each test completes once.
    unsafe { word.complete() }
}

fn abandon(word: &ReplyWord<u32>) -> Abandon<u32> {
    // SAFETY: each test abandons last.
    unsafe { word.abandon() }
}

fn rearm(word: &ReplyWord<u32>, target: u32) -> Rearm<u32> {
    // SAFETY: no test rearms after it abandons.
    unsafe { word.rearm(|old| *old == target, || target) }
}

#[test]
fn an_answer_wakes_the_target() {
    let word = armed(7);
    assert!(!word.is_replied());
    assert_eq!(complete(&word), Complete::Wake(7));
    assert!(word.is_replied());
    assert_eq!(rearm(&word, 8), Rearm::Replied);
    assert_eq!(abandon(&word), Abandon::Replied);
}

#[test]
fn an_answer_without_a_target_wakes_nobody() {
    let word = ReplyWord::new();
    assert_eq!(complete(&word), Complete::Unarmed);
    assert!(word.is_replied());
}

#[test]
fn the_target_that_polled_last_is_woken() {
    let word = ReplyWord::new();
    assert_eq!(rearm(&word, 1), Rearm::Replaced(None));
    assert_eq!(rearm(&word, 1), Rearm::Kept);
    assert_eq!(rearm(&word, 2), Rearm::Replaced(Some(1)));
    assert_eq!(complete(&word), Complete::Wake(2));
}

#[test]
fn an_abandoned_word_belongs_to_the_replier() {
    let word = armed(7);
    assert!(!word.is_abandoned());
    assert_eq!(abandon(&word), Abandon::Pending(Some(7)));
    assert!(word.is_abandoned() && !word.is_replied());
    assert_eq!(complete(&word), Complete::Abandoned);
    let word = ReplyWord::new();
    assert_eq!(abandon(&word), Abandon::Pending(None));
    assert_eq!(complete(&word), Complete::Abandoned);
}

#[test]
fn an_answer_while_the_target_is_changed_is_found_when_that_ends() {
    for is_same in [true, false] {
        let word = armed(1);
        let same = |_: &u32| {
            assert_eq!(complete(&word), Complete::Unarmed);
            is_same
        };
        // SAFETY: the test is the caller.
        assert_eq!(unsafe { word.rearm(same, || 2) }, Rearm::Replied);
        assert!(word.is_replied());
    }
}

#[test]
fn a_comparison_or_clone_that_unwinds_leaves_the_target_as_it_was() {
    let word = armed(1);
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the test is the caller.
        unsafe { word.rearm(|_| panic!("in a waker"), || 2) }
    }));
    assert!(result.is_err());
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the test is the caller.
        unsafe { word.rearm(|_| false, || panic!("in a waker")) }
    }));
    assert!(result.is_err());
    assert_eq!(complete(&word), Complete::Wake(1));
}

#[test]
fn what_is_left_in_a_word_is_dropped_with_it() {
    let target = std::rc::Rc::new(());
    let word = ReplyWord::new();
    // SAFETY: nobody else knows the word.
    unsafe { word.arm(target.clone()) };
    drop(word);
    assert_eq!(std::rc::Rc::strong_count(&target), 1);
}

#[test]
fn a_look_sees_the_target_and_changes_nothing() {
    // SAFETY: the test is the replier.
    let look = |word: &ReplyWord<u32>| unsafe { word.look(|target| *target) };
    let word = ReplyWord::new();
    assert_eq!(look(&word), None, "nobody to wake");
    let word = armed(7);
    assert_eq!(look(&word), Some(7));
    assert!(!word.is_replied() && !word.is_abandoned());
    assert_eq!(rearm(&word, 7), Rearm::Kept);
    assert_eq!(look(&word), Some(7));
    assert_eq!(complete(&word), Complete::Wake(7));
    let word = armed(7);
    assert_eq!(abandon(&word), Abandon::Pending(Some(7)));
    assert_eq!(look(&word), None, "nobody waits");
}

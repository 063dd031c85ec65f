//! Flags and wakes against messages and settling.

use super::super::{Inbox, Push};
use super::support::{MESSAGE, Owner, REQUEST, Token, free_now, node};
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::{Arc, explore, thread};

#[test]
fn a_message_and_a_flag_both_arrive() {
    explore(6, || {
        let token = Token::new(());
        let owner = Arc::new(Owner::idle());
        let other = {
            let owner = owner.clone();
            thread::spawn(move || {
                let push = owner.inbox.raise(&owner.raised, 1);
                owner.follow(push);
            })
        };
        owner.push(node(&MESSAGE, 7, &token));
        other.join().unwrap();
        assert!(owner.inbox.is_idle());
        assert_eq!(owner.logged(), [7]);
        assert_eq!(owner.flags.load(Ordering::Relaxed), 1);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn a_message_and_two_flags_all_arrive() {
    explore(3, || {
        let token = Token::new(());
        let owner = Arc::new(Owner::idle());
        let others = [1, 2].map(|flag| {
            let owner = owner.clone();
            thread::spawn(move || {
                let push = owner.inbox.raise(&owner.raised, flag);
                owner.follow(push);
            })
        });
        owner.push(node(&MESSAGE, 7, &token));
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(owner.logged(), [7]);
        assert_eq!(owner.flags.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_wake_and_a_flag_survive_a_message_that_comes_after_them() {
    for vt in [&MESSAGE, &REQUEST] {
        explore(5, move || {
            let token = Token::new(());
            let owner = Arc::new(Owner::with(Inbox::idle(), |_, node| free_now(node)));
            let other = {
                let owner = owner.clone();
                thread::spawn(move || {
                    let push = owner.inbox.wake();
                    owner.follow(push);
                    let push = owner.inbox.raise(&owner.raised, 1);
                    owner.follow(push);
                })
            };
            owner.push(node(vt, 7, &token));
            other.join().unwrap();
            assert!(owner.inbox.is_idle());
            assert_eq!(owner.logged(), [7]);
            assert_eq!(owner.wakes.load(Ordering::Relaxed), 1);
            assert_eq!(owner.flags.load(Ordering::Relaxed), 1);
            assert_eq!(Token::strong_count(&token), 1);
        });
    }
}

/// What a waker wrote is seen by a poll that follows the wake: the owner drains, then polls (reads
/// `ready`), then settles. A wake that comes at any point must lead to a poll that sees it.
#[test]
fn a_wake_against_settle_leads_to_a_poll_that_sees_what_was_written() {
    struct Task {
        owner: Owner,
        ready: AtomicU32,
        polled: AtomicU32,
    }
    fn run(task: &Task) {
        loop {
            if task.owner.drain().woken {
                // Relaxed on purpose: the wake carries the order.
                let ready = task.ready.load(Ordering::Relaxed);
                task.polled.store(ready, Ordering::Relaxed);
            }
            if task.owner.settle() {
                return;
            }
        }
    }
    explore(6, || {
        let task = Arc::new(Task {
            owner: Owner::idle(),
            ready: AtomicU32::new(0),
            polled: AtomicU32::new(0),
        });
        let wake = |task: &Task, bit: u32| {
            task.ready.fetch_add(bit, Ordering::Relaxed);
            if task.owner.inbox.wake() == Push::Schedule {
                run(task);
            }
        };
        let other = {
            let task = task.clone();
            thread::spawn(move || wake(&task, 1))
        };
        wake(&task, 2);
        other.join().unwrap();
        assert!(task.owner.inbox.is_idle());
        assert_eq!(task.polled.load(Ordering::Relaxed), 3);
    });
}

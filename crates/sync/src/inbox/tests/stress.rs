//! Many threads push everything there is at one owner, which runs on whichever thread is told to.

use std::ptr::NonNull;

use super::super::{Barred, Inbox};
use super::support::{MESSAGE, Owner, REQUEST, SIGNAL, Token, free_now, node, number};
use crate::gate::{Entry, Gate};
use crate::node::Node;
use crate::shim::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::shim::thread;

const SENDERS: u32 = 4;
const ROUNDS: u32 = if cfg!(miri) { 40 } else { 20_000 };
const PER_SENDER: u32 = 1 << 24;

/// Requests on their way back to their senders.
static ANSWERS: [AtomicPtr<Node>; SENDERS as usize] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; SENDERS as usize];

fn answer(_: &Owner, request: NonNull<Node>) {
    let sender = number(request) / PER_SENDER;
    ANSWERS[sender as usize].store(request.as_ptr(), Ordering::Release);
}

/// One sender: messages and signals in order, one request at a time, whose node comes back as a
/// message at the same address: the ABA.
fn send(owner: &Owner, sender: u32, token: &Token) -> (u32, u32) {
    let (mut handled, mut wakes) = (0, 0);
    let mut is_out = false;
    for round in 0..ROUNDS {
        let id = sender * PER_SENDER + round;
        match round % 8 {
            3 if !is_out => {
                is_out = owner.push(node(&REQUEST, id, token));
                handled += u32::from(is_out);
            }
            5 => {
                let pushed = owner.push(node(&SIGNAL, id, token));
                handled += u32::from(pushed);
            }
            6 => {
                let push = owner.inbox.raise(&owner.raised, 1 << sender);
                owner.follow(push);
            }
            7 => {
                let push = owner.inbox.wake();
                wakes += u32::from(owner.follow(push));
            }
            _ => {
                let back = ANSWERS[sender as usize].swap(std::ptr::null_mut(), Ordering::Acquire);
                let message = match NonNull::new(back) {
                    Some(back) => {
                        is_out = false;
                        // SAFETY: the owner gave it back.
                        unsafe { Node::set_vt(back, &MESSAGE) };
                        back
                    }
                    None => node(&MESSAGE, id, token),
                };
                handled += u32::from(owner.push(message));
            }
        }
    }
    (handled, wakes)
}

#[test]
fn everything_pushed_is_handled_once_and_in_the_order_of_its_sender() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::idle(), answer);
    let mut pushed = 0;
    let mut wakes = 0;
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (owner, token) = (&owner, token.clone());
                scope.spawn(move || send(owner, sender, &token))
            })
            .collect();
        for sender in senders {
            let (more, woken) = sender.join().unwrap();
            pushed += more;
            wakes += woken;
        }
    });

    assert!(owner.inbox.is_idle());
    let log = owner.logged();
    assert_eq!(log.len(), pushed as usize);
    assert_eq!(owner.inbox.length(owner.taken.load(Ordering::Relaxed)), 0);
    assert_eq!(owner.flags.load(Ordering::Relaxed), (1 << SENDERS) - 1);
    let seen = owner.wakes.load(Ordering::Relaxed);
    assert!((1..=wakes).contains(&seen), "{seen} of {wakes} wakes");
    // Signals overtake messages, and a message made of a request has the request's number; the
    // fresh messages of a sender are in order, and so are its signals.
    for sender in 0..SENDERS {
        for kind in [&[0, 1, 2, 4][..], &[5]] {
            let mut last = None;
            for id in log.iter().filter(|id| *id / PER_SENDER == sender) {
                let round = id % PER_SENDER;
                if kind.contains(&(round % 8)) {
                    assert!(last < Some(round), "{round} after {last:?} of {sender}");
                    last = Some(round);
                }
            }
        }
    }
    assert!(owner.inbox.close_if_idle());
    for answer in &ANSWERS {
        let back = answer.swap(std::ptr::null_mut(), Ordering::Acquire);
        if let Some(back) = NonNull::new(back) {
            free_now(back);
        }
    }
    owner.dispose();
    assert_eq!(Token::strong_count(&token), 1, "every node was freed");
}

#[test]
fn a_push_against_a_close_is_handled_or_given_back() {
    let token = Token::new(());
    for round in 0..if cfg!(miri) { 5 } else { 2_000 } {
        let owner = Owner::idle();
        let accepted = AtomicU32::new(0);
        thread::scope(|scope| {
            let senders = [0, 1].map(|sender| {
                let (owner, accepted, token) = (&owner, &accepted, token.clone());
                scope.spawn(move || {
                    for message in 0..4 {
                        if owner.push(node(&MESSAGE, sender * 4 + message, &token)) {
                            accepted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            });
            // Once in a while the closer comes while somebody runs: it tries again.
            for _ in 0..round % 64 {
                crate::shim::hint::spin_loop();
            }
            while !owner.inbox.close_if_idle() {
                thread::yield_now();
            }
            // Joined one by one: ThreadSanitizer does not see the scope's own wait.
            for sender in senders {
                sender.join().unwrap();
            }
        });
        assert_eq!(owner.logged().len(), accepted.load(Ordering::Relaxed) as usize);
        assert_eq!(owner.dispose(), 0, "an idle inbox is empty");
    }
    assert_eq!(Token::strong_count(&token), 1);
}

/// Senders that are turned away try again; each sees how many are inside when it comes in.
#[test]
fn no_more_come_through_a_gate_than_there_is_room_for() {
    const LIMIT: u32 = 3;
    let token = Token::new(());
    let owner = Owner::idle();
    owner.inbox.guard();
    let gate = Gate::new();
    let refused = AtomicU32::new(0);
    thread::scope(|scope| {
        let senders = std::array::from_fn::<_, { SENDERS as usize }, _>(|sender| {
            let (owner, gate, refused, token) = (&owner, &gate, &refused, token.clone());
            let sender = sender as u32;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let fresh = node(&MESSAGE, sender * PER_SENDER + round, &token);
                    // SAFETY: a fresh node, given away.
                    let push = unsafe { owner.inbox.push_one_plain(fresh) };
                    assert_eq!(push, Err(Barred::Guarded));
                    let taken = || owner.taken.load(Ordering::Relaxed);
                    while gate.enter(LIMIT, taken) != Entry::Admitted {
                        refused.fetch_add(1, Ordering::Relaxed);
                        std::hint::spin_loop();
                    }
                    // Not read at one moment: what was taken meanwhile makes it too long by that.
                    let before = owner.taken.load(Ordering::Acquire);
                    // (As a length: the number pushed is low while a push wraps its count.)
                    let inside = owner.inbox.length(before);
                    let since = owner.taken.load(Ordering::Acquire).wrapping_sub(before);
                    assert!(inside <= LIMIT + since, "{inside} are inside");
                    assert!(owner.push(fresh));
                }
            })
        });
        // Joined one by one, see above.
        for sender in senders {
            sender.join().unwrap();
        }
    });
    assert_eq!(owner.logged().len() as u32, SENDERS * ROUNDS);
    drop(owner);
    assert_eq!(Token::strong_count(&token), 1);
}

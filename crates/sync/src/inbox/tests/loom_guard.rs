//! A guarded inbox behind its gate: never more in it than the limit, nobody turned away who need not be, no message
//! asleep, nobody past those who wait.

use super::super::Barred;
use super::support::{MESSAGE, Owner, Token, free_now, node};
use crate::gate::{Entry, Gate};
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::{Arc, Mutex, explore, thread};

/// An owner behind a gate for one message, and how many are in its inbox as those who sent and took them count.
struct Guarded {
    owner: Owner,
    gate: Gate,
    /// Numbers of those who wait, in order.
    queue: Mutex<Vec<u32>>,
    /// Let in, by who was.
    inside: AtomicU32,
}

const LIMIT: u32 = 1;

impl Guarded {
    fn new() -> Arc<Self> {
        let owner = Owner::idle();
        owner.inbox.guard();
        let (gate, queue) = (Gate::new(), Mutex::new(Vec::new()));
        Arc::new(Guarded { owner, gate, queue, inside: AtomicU32::new(0) })
    }

    fn taken(&self) -> u32 {
        self.owner.taken.load(Ordering::Relaxed)
    }

    /// A plain send. True: it was let in.
    fn send(&self, number: u32, token: &Token) -> bool {
        let fresh = node(&MESSAGE, number, token);
        // SAFETY: a fresh node, given away.
        assert_eq!(unsafe { self.owner.inbox.push_one_plain(fresh) }, Err(Barred::Guarded));
        if self.gate.enter(LIMIT, || self.taken()) != Entry::Admitted {
            free_now(fresh);
            return false;
        }
        self.note_entry();
        assert!(self.owner.push(fresh));
        true
    }

    /// Counted by an RMW, which reads the newest number, against the newest number of those taken.
    fn note_entry(&self) {
        let inside = self.inside.fetch_add(1, Ordering::AcqRel) + 1;
        let taken = self.owner.taken.fetch_add(0, Ordering::AcqRel);
        assert!(inside - taken <= LIMIT, "over the limit");
    }
}

#[test]
fn two_senders_and_a_limit_of_one() {
    explore(4, || {
        let token = Token::new(());
        let guarded = Guarded::new();
        let other = {
            let (guarded, token) = (guarded.clone(), token.clone());
            thread::spawn(move || guarded.send(1, &token))
        };
        let here = guarded.send(2, &token);
        let there = other.join().unwrap();
        // Whoever came first found room; the other may have come while that was inside.
        assert!(here || there);
        assert!(guarded.owner.inbox.is_idle(), "a message is asleep");
        let handled = guarded.owner.logged().len();
        assert_eq!(handled, usize::from(here) + usize::from(there));
        // Now there is room, and each sender knows.
        assert!(guarded.send(3, &token));
        assert!(guarded.owner.inbox.close_if_idle());
        assert_eq!(guarded.owner.dispose(), 0);
        drop(guarded);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

/// One waits, since the owner holds a message that it has not taken; another sends when the owner has taken it.
/// Whoever lets the first in, the other does not come before it.
#[test]
fn nobody_gets_past_one_who_waits() {
    explore(3, || {
        let guarded = Guarded::new();
        assert_eq!(guarded.gate.enter(LIMIT, || 0), Entry::Admitted);
        {
            // Full: number 1 waits.
            let mut queue = guarded.queue.lock();
            assert!(!guarded.gate.enter_next(LIMIT, || 0));
            guarded.gate.set_waiting();
            queue.push(1);
        }
        let other = {
            let guarded = guarded.clone();
            thread::spawn(move || guarded.gate.enter(LIMIT, || guarded.taken()) == Entry::Admitted)
        };
        // The owner takes the message, and lets the next one in.
        guarded.owner.taken.store(1, Ordering::Relaxed);
        {
            let mut queue = guarded.queue.lock();
            assert_eq!(queue.pop(), Some(1));
            assert!(guarded.gate.enter_next(LIMIT, || 1), "its place was given away");
            guarded.gate.clear_waiting();
        }
        assert!(!other.join().unwrap());
    });
}

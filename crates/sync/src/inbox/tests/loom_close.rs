//! Closing against pushes: a message is handled, disposed of or given back, and only one party
//! ever owns the cursor.

use super::super::Inbox;
use super::support::{MESSAGE, Owner, Token, free_now, node};
use crate::shim::atomic::Ordering;
use crate::shim::{Arc, explore, thread};

#[test]
fn a_push_against_close_if_idle_is_handled_or_given_back() {
    explore(8, || {
        let token = Token::new(());
        let owner = Arc::new(Owner::idle());
        let sender = {
            let (owner, token) = (owner.clone(), token.clone());
            thread::spawn(move || {
                let first = owner.push(node(&MESSAGE, 1, &token));
                let second = owner.push(node(&MESSAGE, 2, &token));
                u32::from(first) + u32::from(second)
            })
        };
        let closed = owner.inbox.close_if_idle();
        if closed {
            // Alone with it, while the sender may still be pushing.
            assert_eq!(owner.dispose(), 0, "an idle inbox is empty");
        }
        let accepted = sender.join().unwrap();
        assert_eq!(owner.logged().len() as u32, accepted);
        assert!(closed || accepted == 2);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn what_the_owner_wrote_before_it_closed_is_seen_by_who_is_refused() {
    explore(8, || {
        let token = Token::new(());
        let owner = Arc::new(Owner::with(Inbox::scheduled(), |_, node| free_now(node)));
        let sender = {
            let (owner, token) = (owner.clone(), token.clone());
            thread::spawn(move || {
                let accepted = owner.push(node(&MESSAGE, 1, &token));
                if !accepted {
                    assert_eq!(owner.flags.load(Ordering::Relaxed), 9, "the reason of the end");
                }
                accepted
            })
        };
        owner.flags.store(9, Ordering::Relaxed);
        let disposed = owner.close();
        let accepted = sender.join().unwrap();
        assert_eq!(disposed, u32::from(accepted));
        assert_eq!(Token::strong_count(&token), 1);
    });
}

//! Order and cursor: what two senders push is handled once, in the order of each sender, whoever
//! runs the owner; and the length is exact when they are done.

use super::support::{MESSAGE, Owner, SIGNAL, Token, node};
use crate::shim::atomic::Ordering;
use crate::shim::{Arc, explore, thread};

#[test]
fn two_senders_keep_their_orders() {
    explore(4, || {
        let token = Token::new(());
        let owner = Arc::new(Owner::idle());
        let other = {
            let (owner, token) = (owner.clone(), token.clone());
            thread::spawn(move || {
                owner.push(node(&MESSAGE, 10, &token));
                owner.push(node(&MESSAGE, 11, &token));
            })
        };
        owner.push(node(&MESSAGE, 20, &token));
        owner.push(node(&MESSAGE, 21, &token));
        other.join().unwrap();

        assert!(owner.inbox.is_idle());
        let log = owner.logged();
        let of = |sender: u32| log.iter().copied().filter(move |id| id / 10 == sender);
        assert!(of(1).eq([10, 11]) && of(2).eq([20, 21]), "{log:?}");
        assert_eq!(owner.inbox.length(owner.taken.load(Ordering::Relaxed)), 0);
        assert_eq!(owner.inbox.pushed(), 4);
        assert_eq!(Token::strong_count(&token), 1, "every node was freed");
    });
}

#[test]
fn signals_and_messages_of_three_threads_all_arrive() {
    explore(3, || {
        let token = Token::new(());
        let owner = Arc::new(Owner::idle());
        let senders = [(&SIGNAL, 1), (&MESSAGE, 2)].map(|(vt, id)| {
            let (owner, token) = (owner.clone(), token.clone());
            thread::spawn(move || {
                owner.push(node(vt, id, &token));
            })
        });
        owner.push(node(&MESSAGE, 3, &token));
        for sender in senders {
            sender.join().unwrap();
        }
        let mut log = owner.logged();
        log.sort_unstable();
        assert_eq!(log, [1, 2, 3]);
        assert_eq!(owner.inbox.length(owner.taken.load(Ordering::Relaxed)), 0);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

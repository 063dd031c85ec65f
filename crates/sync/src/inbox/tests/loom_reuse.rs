//! The ABA that `detach` is for: a request comes back to its sender while the callee's cursor
//! might still stand at it, and is pushed again at the same address.

use std::ptr::{self, NonNull};

use super::super::Inbox;
use super::support::{MESSAGE, Owner, REQUEST, Token, free_now, node};
use crate::node::{Node, NodeVt};
use crate::shim::atomic::{AtomicPtr, Ordering};
use crate::shim::{Arc, explore, thread};

/// What is behind an owner that answers a request by giving its node back.
fn answer(owner: &Owner, request: NonNull<Node>) {
    // A swap, not a store: loom lets an RMW miss a store that it is not ordered with.
    owner.back.swap(request.as_ptr(), Ordering::Release);
}

fn take_back(back: &AtomicPtr<Node>) -> Option<NonNull<Node>> {
    NonNull::new(back.swap(ptr::null_mut(), Ordering::Acquire))
}

/// A request of this kind, and a message at the same address when the answer was quick; meanwhile
/// another sender. Everything is handled.
fn call_then_cast_at_the_same_address(request: &'static NodeVt) {
    let token = Token::new(());
    let owner = Arc::new(Owner::with(Inbox::idle(), answer));
    let other = {
        let (owner, token) = (owner.clone(), token.clone());
        thread::spawn(move || {
            owner.push(node(&MESSAGE, 9, &token));
        })
    };
    owner.push(node(request, 1, &token));
    let is_quick = match take_back(&owner.back) {
        None => false,
        Some(back) => {
            // SAFETY: the owner gave it back.
            unsafe { Node::set_vt(back, &MESSAGE) };
            owner.push(back)
        }
    };
    other.join().unwrap();

    assert!(owner.inbox.is_idle());
    let log = owner.logged();
    let of = |wanted: u32| log.iter().filter(|id| **id == wanted).count();
    assert_eq!((of(9), of(1)), (1, 1 + usize::from(is_quick)), "{log:?}");
    if let Some(back) = take_back(&owner.back) {
        free_now(back);
    }
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_detached_node_may_come_back_at_the_same_address() {
    explore(5, || call_then_cast_at_the_same_address(&REQUEST));
}

/// The same with a kind that lacks the flag: the model would notice if `detach` did nothing.
#[test]
#[should_panic(expected = "assertion `left == right` failed: [")]
fn without_detach_the_cursor_takes_the_message_for_the_request() {
    static CARELESS: NodeVt = NodeVt { detach: false, ..REQUEST };
    explore(5, || call_then_cast_at_the_same_address(&CARELESS));
}

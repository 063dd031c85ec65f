//! Receives by choice: a message of a ring is looked at while its place is kept.

use std::ptr::NonNull;

use whitebeam_sync::{node::Node, shim::atomic::Ordering};

use super::{Token, Woken, both, drop_unread, ring_of};
use crate::{cell::CellPtr, message::Carried};

/// What a receive by choice finds at a token.
pub(crate) enum Found {
    /// A message, which is out of the ring, with its number.
    Message(NonNull<Node>, Held),
    /// Nothing from there on.
    Nothing,
    /// The segment has no message at all, and is over: the token is to be taken out of the FIFO.
    Over,
}

/// A message of the ring's that is looked at: its place is kept. Dropped, it was taken.
pub(crate) struct Held {
    cell: CellPtr,
    number: u64,
}

/// The first message of the token's segment with this number or a later one. If there is none in the last segment,
/// that is sealed.
pub(crate) fn look(cell: CellPtr, token: NonNull<Node>, from: u64) -> Found {
    let Some(ring) = ring_of(cell) else { return Found::Over };
    cell.note_waiting(ring.len.load(Ordering::Relaxed));
    let mut inner = ring.inner.lock();
    let Some(at) = inner.place_of(token) else {
        debug_assert!(false, "the token that a receive stands at stays");
        return Found::Nothing;
    };
    inner.looked_at = Some(Token(token));
    let numbers = inner.numbers(at);
    if numbers.is_empty() {
        inner.segments.remove(at);
        return Found::Over;
    }
    for number in from.max(numbers.start)..numbers.end {
        let place = (number - inner.first) as usize;
        if let Some(message) = inner.messages[place].take() {
            return Found::Message(message.into_node(), Held { cell, number });
        }
    }
    if at + 1 == inner.segments.len() {
        inner.is_open = false;
    }
    Found::Nothing
}

/// The token `next` stands directly behind `token` in the FIFO: its segment becomes a part of the other's, and it is
/// to be taken out.
pub(crate) fn merge(cell: CellPtr, next: NonNull<Node>) {
    if let Some(ring) = ring_of(cell) {
        let mut inner = ring.inner.lock();
        if let Some(at) = inner.place_of(next) {
            inner.segments.remove(at);
        }
    }
}

impl Held {
    /// Puts the message back, and gives the number of the next one. If it was displaced meanwhile, it is dropped.
    pub(crate) fn put_back(self, node: NonNull<Node>) -> u64 {
        let Held { cell, number } = self;
        std::mem::forget(self);
        let message = Carried::adopt(node);
        let Some((bound, ring)) = both(cell) else { return number };
        let mut inner = ring.inner.lock();
        if let Some(place) = number.checked_sub(inner.first) {
            inner.messages[place as usize] = Some(message);
        } else {
            drop(inner);
            bound.count_dropped();
            drop_unread(message);
        }
        number + 1
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((bound, ring)) = both(self.cell) else { return };
        let mut woken = Woken::default();
        let mut inner = ring.inner.lock();
        ring.serve();
        // Not if it was displaced: then it was handled nevertheless.
        if let Some(place) = self.number.checked_sub(inner.first) {
            inner.messages.remove(place as usize);
            let number = self.number;
            for later in inner.segments.iter_mut().filter(|segment| segment.start > number) {
                later.start -= 1;
            }
        }
        inner.let_in(self.cell, bound.limit, &mut woken);
        ring.publish(&inner);
        drop(inner);
        woken.wake(self.cell);
    }
}

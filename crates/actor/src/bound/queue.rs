//! The senders that wait for room, first come first served.
//!
//! A place holds the message itself. It is left in one of three ways, under the queue's lock: let in (whoever does so
//! pushes the node), given up by its sender, or given back at the end of the receiver. A sender of a cast finds out in
//! its [`Slot`]; that of a request by the answer.
//!
//! The lock of a slot is taken inside of the queue's, never the other way round, and neither is held over the user's
//! code: wakers are woken, and messages dropped, behind them.

use std::{collections::BTreeMap, mem, ptr::NonNull, sync::Arc, task::Waker};

use whitebeam_sync::{inbox::Push, node::Node, shim::Mutex};

use crate::{
    cell::{CellPtr, flag},
    contain::contain,
    ext::Map,
    message::Carried,
};

/// See the module's text.
#[derive(Default)]
pub(super) struct Queue {
    places: BTreeMap<u64, Place>,
    /// Numbers of places, by where the message's node is.
    by_node: Map<usize, u64>,
    /// The number of the next place.
    next: u64,
    is_closed: bool,
}

/// A message that waits for room.
pub(super) struct Place {
    message: Carried,
    /// `None`: a request.
    slot: Option<Arc<Slot>>,
}

impl Place {
    /// Takes the node over, which is unread.
    pub(super) fn new(node: NonNull<Node>, slot: Option<Arc<Slot>>) -> Self {
        Place { message: Carried::adopt(node), slot }
    }

    pub(super) fn into_parts(self) -> (NonNull<Node>, Option<Arc<Slot>>) {
        (self.message.into_node(), self.slot)
    }

    pub(super) fn into_message(self) -> Carried {
        self.message
    }

    /// The receiver has ended: a cast goes back to its sender, a request is dropped. Both run the user's code.
    pub(super) fn give_back(self) {
        if let Some(slot) = self.slot
            && let Some(waker) = slot.tell(Told::Back(self.message))
        {
            waker.wake();
        }
    }

    fn key(&self) -> usize {
        self.message.addr()
    }
}

impl Queue {
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// At the end.
    pub(super) fn add(&mut self, place: Place) {
        let number = self.next;
        self.next += 1;
        self.insert(number, place);
    }

    fn insert(&mut self, number: u64, place: Place) {
        self.by_node.insert(place.key(), number);
        self.places.insert(number, place);
    }

    /// The one that has waited longest.
    pub(super) fn pop(&mut self) -> Option<Place> {
        let (_, place) = self.places.pop_first()?;
        self.by_node.remove(&place.key());
        Some(place)
    }

    /// Puts back what [`pop`](Self::pop) gave.
    pub(super) fn put_back(&mut self, place: Place) {
        // Numbers go upwards from 0, and the one just taken out was less than all there are.
        let first = self.places.first_key_value().map_or(self.next, |(number, _)| *number);
        self.insert(first - 1, place);
    }

    /// The place of the message with its node there. `None`: it has none any more.
    pub(super) fn remove(&mut self, node: usize) -> Option<Place> {
        let number = self.by_node.remove(&node)?;
        self.places.remove(&number)
    }

    /// Nobody comes in any more. Gives those who wait, in order.
    pub(super) fn close(&mut self) -> Vec<Place> {
        self.is_closed = true;
        self.by_node = Map::default();
        mem::take(&mut self.places).into_values().collect()
    }
}

/// Where the sender of a cast that waits is told what has become of it.
pub(crate) struct Slot(Mutex<State>);

enum State {
    Waiting(Waker),
    Told(Told),
    /// And it knows.
    Over,
}

/// What has become of a cast that has waited.
pub(crate) enum Told {
    /// It is in the mailbox.
    Sent,
    /// The receiver has ended; here is the message.
    Back(Carried),
}

impl Slot {
    pub(crate) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Slot(Mutex::new(State::Waiting(waker))))
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(&*self.0.lock(), State::Waiting(_))
    }

    /// Tells the sender; the waker is to be woken outside of locks.
    fn tell(&self, told: Told) -> Option<Waker> {
        let before = mem::replace(&mut *self.0.lock(), State::Told(told));
        match before {
            State::Waiting(waker) => Some(waker),
            State::Told(_) | State::Over => None,
        }
    }

    /// What has become of the cast, once; or `waker` is woken when something has.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<Told> {
        if let State::Waiting(old) = &*self.0.lock()
            && old.will_wake(waker)
        {
            return None;
        }
        // Wakers are the user's: cloned and dropped outside of the lock.
        let mut other = State::Waiting(waker.clone());
        let mut state = self.0.lock();
        if matches!(&*state, State::Waiting(_)) {
            mem::swap(&mut *state, &mut other);
            drop(state);
            return None;
        }
        let told = mem::replace(&mut *state, State::Over);
        drop(state);
        match told {
            State::Told(told) => Some(told),
            State::Waiting(_) | State::Over => None,
        }
    }
}

/// What those are owed who were let in under the queue's lock.
#[derive(Default)]
pub(super) struct Woken {
    is_scheduled: bool,
    /// The owner is to look after the bound.
    pub(super) has_to_look: bool,
    wakers: Vec<Waker>,
}

impl Woken {
    /// The message with this slot was pushed.
    pub(super) fn note(&mut self, push: Push, slot: Option<Arc<Slot>>) {
        self.owe(push);
        self.wakers.extend(slot.and_then(|slot| slot.tell(Told::Sent)));
    }

    pub(super) fn owe(&mut self, push: Push) {
        self.is_scheduled |= push == Push::Schedule;
    }

    /// Outside of the lock.
    pub(super) fn wake(self, cell: CellPtr) {
        if self.is_scheduled {
            cell.schedule();
        }
        if self.has_to_look {
            cell.raise(flag::WAITERS);
        }
        for waker in self.wakers {
            let _ = contain(|| waker.wake());
        }
    }
}

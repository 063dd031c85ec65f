//! What all actors of one round share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use whitebeam::{ActorRef, Alias, DownFuture, Name};

use crate::stress::actor::Msg;
use crate::stress::book::{Book, Ev};
use crate::stress::dice::Dice;
use crate::stress::tokens::Door;

/// Places where aliases are found.
const DOORS: u64 = 64;
/// Places that are looked at for one whose actor has ended.
const TRIES: usize = 8;
/// Names that actors are registered under.
const NAMES: usize = 32;
/// Of so many actors the end of one is awaited from outside.
const AWAITED: u64 = 8;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) book: Book,
    /// Actors that there are to be, about.
    pub(crate) actors: u64,
    /// Actors do nothing by themselves any more.
    is_calm: AtomicBool,
    /// The runtime is about to end: not everything that is spawned becomes a process.
    is_closing: AtomicBool,
    next_id: AtomicU64,
    places: Vec<Mutex<Option<Peer>>>,
    doors: Vec<Mutex<Option<Shown>>>,
    pub(crate) names: Vec<Name>,
    /// All that have a state, by number.
    living: Mutex<HashMap<u64, ActorRef<Msg>>>,
    ends: Mutex<Vec<DownFuture>>,
}

/// An alias that all may send through.
pub(crate) type Shown = (Alias<Msg>, Arc<Door>);

/// An actor's address. Its number is higher than that of those that were there before.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: u64,
    pub(crate) address: ActorRef<Msg>,
}

impl World {
    pub(crate) fn new(actors: u64) -> Arc<World> {
        // One for each actor, so that most of those that live are found.
        let places = actors.max(2);
        Arc::new(World {
            book: Book::new(),
            actors,
            is_calm: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            places: (0..places).map(|_| Mutex::default()).collect(),
            doors: (0..DOORS).map(|_| Mutex::default()).collect(),
            names: (0..NAMES).map(|n| Name::from(format!("stress {n}"))).collect(),
            living: Mutex::default(),
            ends: Mutex::default(),
        })
    }

    /// A number for an actor or another sender: higher than all before.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm.load(Relaxed)
    }

    /// From now on actors do nothing by themselves.
    pub(crate) fn calm_down(&self) {
        self.is_calm.store(true, Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Relaxed)
    }

    /// Called before the runtime's end begins.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Relaxed);
    }

    /// States of actors that there are now, about.
    pub(crate) fn population(&self) -> u64 {
        self.book.of(Ev::States).saturating_sub(self.book.of(Ev::StatesDropped))
    }

    /// Somebody, alive or not.
    pub(crate) fn peer(&self, dice: &mut Dice) -> Option<Peer> {
        dice.pick(&self.places).lock().clone()
    }

    /// A process was started: it gets a place, if possible one whose actor has ended, and perhaps its end is
    /// awaited.
    pub(crate) fn place(&self, peer: Peer, dice: &mut Dice, down: impl FnOnce() -> DownFuture) {
        if dice.once_in(AWAITED) {
            self.await_end(down());
        }
        let is_alive = |peer: &Peer| peer.address.is_alive();
        let mut place = dice.pick(&self.places).lock();
        for _ in 0..TRIES {
            if !place.as_ref().is_some_and(is_alive) {
                break;
            }
            drop(place);
            place = dice.pick(&self.places).lock();
        }
        let before = place.replace(peer);
        drop(place);
        drop(before);
    }

    pub(crate) fn await_end(&self, end: DownFuture) {
        self.book.count(Ev::EndsAwaited);
        self.ends.lock().push(end);
    }

    /// The ends that were awaited.
    pub(crate) fn take_ends(&self) -> Vec<DownFuture> {
        std::mem::take(&mut *self.ends.lock())
    }

    /// Somebody's alias.
    pub(crate) fn door(&self, dice: &mut Dice) -> Option<Shown> {
        dice.pick(&self.doors).lock().clone()
    }

    pub(crate) fn show_door(&self, alias: Alias<Msg>, door: Arc<Door>, dice: &mut Dice) {
        let before = dice.pick(&self.doors).lock().replace((alias, door));
        drop(before);
    }

    /// An actor has a state.
    pub(crate) fn lives(&self, id: u64, address: ActorRef<Msg>) {
        self.book.count(Ev::States);
        self.living.lock().insert(id, address);
    }

    /// It has none any more.
    pub(crate) fn has_ended(&self, id: u64) {
        self.book.count(Ev::StatesDropped);
        let address = self.living.lock().remove(&id);
        drop(address);
    }

    /// All that have a state.
    pub(crate) fn living(&self) -> Vec<ActorRef<Msg>> {
        self.living.lock().values().cloned().collect()
    }

    /// Lets go of all addresses.
    pub(crate) fn clear(&self) {
        for place in &self.places {
            let before = place.lock().take();
            drop(before);
        }
        for door in &self.doors {
            let before = door.lock().take();
            drop(before);
        }
    }
}

//! The address of a supervised child: it goes on over restarts.
//!
//! A [`ChildRef`] and the supervisor share a slot with the incarnation that is in force.
//!
//! ```text
//!   Waiting ──set──▶ Current(incarnation) ──set──▶ Current(next) ..
//!      │                    │  ▲
//!      └───────gone─────────┴──▼──▶ Gone
//! ```
//!
//! Only the [`ChildSlot`] writes, which belongs to the child's spec: it is shared by the incarnations of
//! the supervisor, and when the last of them is dropped the child is gone for good. A reader may find an
//! incarnation that has ended already and that its supervisor has not replaced yet; the slot then says
//! what the refusal means: `Restarting`, unless it is gone.
//!
//! An incarnation may be given as a narrowed address, and a child's address be narrowed: the two ways are joined
//! for each message.
//!
//! Cost: a read lock, which is held while a message is pushed and never over the user's code.

use std::{fmt, marker::PhantomData, sync::Arc};

use parking_lot::RwLock;
use whitebeam_sync::shim::atomic::{AtomicBool, Ordering};

use crate::{
    ActorRef, Answered, Call, CastWait, Info, Pid, Reply, SendError, SendFailure, Target,
    call::{self, Waiting},
    cast_wait::To,
    cell::CellRef,
    message,
    narrow::{Via, Way},
    reference, request,
};

/// The address of a child, stable over its restarts and those of the supervisors above it.
///
/// Known when the child's spec is built, before anything runs. Its operations are those of
/// [`ActorRef`], on the incarnation in force:
///
/// | the child | cast, call |
/// | --- | --- |
/// | runs | as on its `ActorRef` |
/// | is not started yet, or is between two incarnations | `Restarting` |
/// | is gone for good | `NoProc` |
///
/// A call that is with an incarnation when that one ends is answered with its exit reason, and never
/// repeated: it may have been handled. A monitor binds one incarnation.
///
/// Made from an [`ActorRef`] it is pinned to that one process: for tests, and for who has no supervisor.
pub struct ChildRef<M> {
    at: At,
    /// How an `M` becomes what is taken there. `None`: it is.
    via: Option<Via<M>>,
}

#[derive(Clone)]
enum At {
    Pinned(CellRef),
    Slot(Arc<Slot>),
}

/// What a child's addresses share. Written by the [`ChildSlot`] only.
pub(crate) struct Slot {
    state: RwLock<State>,
    /// It was once given a narrowed address. Set before that is there; advisory.
    has_way: AtomicBool,
}

enum State {
    /// Not started yet.
    Waiting,
    /// The newest incarnation, and the way to it if it was given as a narrowed address. It may have ended.
    Current(CellRef, Option<Way>),
    /// There will be none any more.
    Gone,
}

/// The writing side of a child's address: for who writes supervisors. It belongs to the child's spec;
/// when it is dropped, the child is gone for good.
pub struct ChildSlot<M> {
    slot: Arc<Slot>,
    _message: PhantomData<fn(M)>,
}

impl Slot {
    /// What it means that the newest incarnation takes nothing.
    pub(crate) fn refusal(&self) -> &'static SendFailure {
        match &*self.state.read() {
            State::Gone => &SendFailure::NoProc,
            State::Waiting | State::Current(..) => &SendFailure::Restarting,
        }
    }

    /// The newest incarnation, and the way to it from an address with the way `via`.
    fn newest<M>(&self, via: Option<&Via<M>>) -> Option<(CellRef, Option<Via<M>>)> {
        match &*self.state.read() {
            State::Current(cell, way) => Some((cell.clone(), Via::joined(via, way.as_ref()))),
            State::Waiting | State::Gone => None,
        }
    }

    fn become_(&self, state: State) {
        let before = std::mem::replace(&mut *self.state.write(), state);
        // Outside of the lock: it may free the old incarnation's cell.
        drop(before);
    }
}

impl<M> ChildSlot<M> {
    /// A child that is not started yet.
    pub fn new() -> Self {
        let slot = Slot { state: RwLock::new(State::Waiting), has_way: AtomicBool::new(false) };
        ChildSlot { slot: Arc::new(slot), _message: PhantomData }
    }

    /// The child's address.
    pub fn child(&self) -> ChildRef<M> {
        ChildRef { at: At::Slot(self.slot.clone()), via: None }
    }

    /// `incarnation` is in force from now on.
    pub fn set(&self, incarnation: ActorRef<M>) {
        let (cell, via) = incarnation.into_parts();
        if via.is_some() {
            self.slot.has_way.store(true, Ordering::Relaxed);
        }
        self.slot.become_(State::Current(cell, via.map(Via::erased)));
    }

    /// There will be no other incarnation, unless the supervisor itself is restarted.
    pub fn gone(&self) {
        self.slot.become_(State::Gone);
    }
}

impl<M> Default for ChildSlot<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Drop for ChildSlot<M> {
    fn drop(&mut self) {
        self.gone();
    }
}

impl<M: Send + 'static> ChildRef<M> {
    /// Sends a message to the incarnation in force. Never waits.
    ///
    /// # Errors
    /// `Restarting` between two incarnations, `NoProc` when the child is gone for good; the message
    /// comes back with the error.
    pub fn cast(&self, msg: M) -> Result<(), SendError<M>> {
        let slot = match &self.at {
            At::Pinned(cell) => {
                return reference::cast_via(cell.ptr(), self.via.as_ref(), msg);
            }
            At::Slot(slot) => slot,
        };
        let refused = match &*slot.state.read() {
            State::Current(cell, way) => {
                let via = Via::joined(self.via.as_ref(), way.as_ref());
                match reference::cast_via(cell.ptr(), via.as_ref(), msg) {
                    Err(SendError(refused, SendFailure::NoProc)) => refused,
                    other => return other,
                }
            }
            State::Waiting | State::Gone => message::refused(message::node(msg)),
        };
        Err(SendError(refused, slot.refusal()))
    }

    /// Sends a message, and waits for room in the mailbox of the incarnation in force if that is full; as
    /// [`ActorRef::cast_wait`]. It does not wait for an incarnation.
    pub fn cast_wait(&self, msg: M) -> CastWait<'_, M> {
        CastWait::new(To::Child(self), msg)
    }

    /// Prepares a call to the incarnation in force now, see [`ActorRef::call`].
    #[inline]
    pub fn call<T: Send + 'static, F: FnOnce(Reply<T>) -> M>(&self, f: F) -> Call<'_, M, T> {
        match &self.at {
            At::Pinned(cell) => request::call(cell, self.via.as_ref(), f),
            At::Slot(slot) => match slot.newest(self.via.as_ref()) {
                Some((cell, via)) => request::call_child(cell, slot, via.as_ref(), f),
                None => request::call_nobody(*slot.refusal(), f),
            },
        }
    }

    /// The address of the same child for a part of its messages, over its restarts; see [`ActorRef::narrow`].
    pub fn narrow<Sub: Send + 'static>(&self) -> ChildRef<Sub>
    where
        M: From<Sub>,
    {
        ChildRef { at: self.at.clone(), via: Some(Via::to(self.via.as_ref())) }
    }
}

impl<M: Send + 'static> ChildRef<M> {
    /// As [`call`](Self::call), but the request goes out at once, and its answer has no timeout: for who
    /// writes supervisors.
    ///
    /// # Errors
    /// `Restarting` between two incarnations, `NoProc` when the child is gone for good.
    pub fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(Reply<T>) -> M,
    ) -> Result<Answered<T>, SendFailure> {
        let slot = match &self.at {
            At::Pinned(cell) => return ask(cell, self.via.as_ref(), f).ok_or(SendFailure::NoProc),
            At::Slot(slot) => slot,
        };
        if slot.has_way.load(Ordering::Relaxed) {
            let newest = slot.newest(self.via.as_ref());
            let asked = newest.and_then(|(cell, via)| ask(&cell, via.as_ref(), f));
            return asked.ok_or_else(|| *slot.refusal());
        }
        let mut waiting = call::waiting_via::<M, T>(self.via.as_ref(), f);
        // A request that is refused is dropped with `waiting`: behind the lock.
        let clock = match &*slot.state.read() {
            // With a way: it was put there a moment ago. Asked a moment before, it was not there yet.
            State::Current(cell, None) if waiting.try_send(cell.ptr()) => {
                Some(clock(&waiting, cell))
            }
            State::Current(..) | State::Waiting | State::Gone => None,
        };
        match clock {
            Some(clock) => Ok(Answered::to(waiting, clock)),
            None => Err(*slot.refusal()),
        }
    }
}

/// Sends a request to `cell` at once. `None`: the process has ended.
fn ask<M: Send + 'static, T: Send + 'static>(
    cell: &CellRef,
    via: Option<&Via<M>>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Option<Answered<T>> {
    let mut waiting = call::waiting_via::<M, T>(via, f);
    let sent = waiting.try_send(cell.ptr());
    let clock = clock(&waiting, cell);
    sent.then(|| Answered::to(waiting, clock))
}

/// Whose clock a time limit of the answer would go by, if not that of the process that waits.
fn clock<T>(waiting: &Waiting<T>, asked: &CellRef) -> Option<CellRef> {
    // A counter, which processes do without: they ask their supervisors for children by the million.
    (!waiting.is_of_process()).then(|| asked.clone())
}

impl<M> ChildRef<M> {
    /// The incarnation in force. `None`: there is none now, or its end has not been seen to yet.
    pub fn current(&self) -> Option<ActorRef<M>> {
        let (cell, via) = match &self.at {
            At::Pinned(cell) => (cell.clone(), self.via.clone()),
            At::Slot(slot) => slot.newest(self.via.as_ref())?,
        };
        (!cell.ptr().is_ended()).then(|| ActorRef::from_parts(cell, via))
    }

    /// Whether an incarnation is in force.
    pub fn is_alive(&self) -> bool {
        self.current().is_some()
    }

    /// What can be seen of the incarnation in force, also while it is stuck in a handler.
    pub fn info(&self) -> Option<Info> {
        self.current()?.info()
    }
}

impl<M> Target for ChildRef<M> {
    /// The pid of the incarnation in force.
    fn target(&self) -> Option<Pid> {
        match &self.at {
            At::Pinned(cell) => Some(cell.ptr().pid()),
            At::Slot(_) => self.current().map(|current| current.pid()),
        }
    }
}

impl<M> From<ActorRef<M>> for ChildRef<M> {
    /// Pinned to this one process.
    fn from(actor: ActorRef<M>) -> Self {
        let (cell, via) = actor.into_parts();
        ChildRef { at: At::Pinned(cell), via }
    }
}

impl<M> Clone for ChildRef<M> {
    #[inline]
    fn clone(&self) -> Self {
        ChildRef { at: self.at.clone(), via: self.via.clone() }
    }
}

impl<M> fmt::Debug for ChildRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            Some(pid) => write!(f, "ChildRef({pid})"),
            None => f.write_str("ChildRef(none now)"),
        }
    }
}

impl<M> fmt::Debug for ChildSlot<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildSlot({:?})", self.child())
    }
}

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
//! Cost: a read lock, which is held while a message is pushed and never over the user's code.

use std::{fmt, marker::PhantomData, sync::Arc};

use parking_lot::RwLock;

use crate::{
    ActorRef, Answered, Call, Info, Pid, Reply, SendError, SendFailure, Target, call,
    cell::CellRef, message, reference, request,
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
    _message: PhantomData<fn(M)>,
}

#[derive(Clone)]
enum At {
    Pinned(CellRef),
    Slot(Arc<Slot>),
}

/// What a child's addresses share. Written by the [`ChildSlot`] only.
pub(crate) struct Slot {
    state: RwLock<State>,
}

enum State {
    /// Not started yet.
    Waiting,
    /// The newest incarnation. It may have ended.
    Current(CellRef),
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
    pub(crate) fn refusal(&self) -> SendFailure {
        match &*self.state.read() {
            State::Gone => SendFailure::NoProc,
            State::Waiting | State::Current(_) => SendFailure::Restarting,
        }
    }

    fn cell(&self) -> Option<CellRef> {
        match &*self.state.read() {
            State::Current(cell) => Some(cell.clone()),
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
        let slot = Slot { state: RwLock::new(State::Waiting) };
        ChildSlot { slot: Arc::new(slot), _message: PhantomData }
    }

    /// The child's address.
    pub fn child(&self) -> ChildRef<M> {
        ChildRef { at: At::Slot(self.slot.clone()), _message: PhantomData }
    }

    /// `incarnation` is in force from now on.
    pub fn set(&self, incarnation: ActorRef<M>) {
        self.slot.become_(State::Current(incarnation.into_cell()));
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
            At::Pinned(cell) => return reference::cast(cell.ptr(), msg),
            At::Slot(slot) => slot,
        };
        let refused = match &*slot.state.read() {
            State::Current(cell) => match reference::cast(cell.ptr(), msg) {
                Err(SendError(refused, SendFailure::NoProc)) => refused,
                other => return other,
            },
            State::Waiting | State::Gone => message::refused(message::node(msg)),
        };
        Err(SendError(refused, slot.refusal()))
    }

    /// Prepares a call to the incarnation in force now, see [`ActorRef::call`].
    #[inline]
    pub fn call<T: Send + 'static, F: FnOnce(Reply<T>) -> M>(&self, f: F) -> Call<'_, M, T> {
        match &self.at {
            At::Pinned(cell) => request::call(cell, f),
            At::Slot(slot) => match slot.cell() {
                Some(cell) => request::call_child(cell, slot, f),
                None => request::call_nobody(slot.refusal(), f),
            },
        }
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
        let mut waiting = call::waiting::<M, T>(f);
        // A request that is refused is dropped with `waiting`: behind the lock.
        let refusal = match &self.at {
            At::Pinned(cell) if waiting.try_send(cell.ptr()) => None,
            At::Pinned(_) => Some(SendFailure::NoProc),
            At::Slot(slot) => {
                let sent = match &*slot.state.read() {
                    State::Current(cell) => waiting.try_send(cell.ptr()),
                    State::Waiting | State::Gone => false,
                };
                (!sent).then(|| slot.refusal())
            }
        };
        match refusal {
            None => Ok(Answered::to(waiting)),
            Some(why) => Err(why),
        }
    }
}

impl<M> ChildRef<M> {
    /// The incarnation in force. `None`: there is none now, or its end has not been seen to yet.
    pub fn current(&self) -> Option<ActorRef<M>> {
        let cell = match &self.at {
            At::Pinned(cell) => cell.clone(),
            At::Slot(slot) => slot.cell()?,
        };
        (!cell.ptr().is_ended()).then(|| ActorRef::from_cell(cell))
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
        ChildRef { at: At::Pinned(actor.into_cell()), _message: PhantomData }
    }
}

impl<M> Clone for ChildRef<M> {
    #[inline]
    fn clone(&self) -> Self {
        ChildRef { at: self.at.clone(), _message: PhantomData }
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

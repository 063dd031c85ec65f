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

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
    task::Waker,
};

use parking_lot::RwLock;
use whitebeam_sync::shim::atomic::{AtomicBool, Ordering};

use crate::{
    ActorRef, Answered, Call, CastWait, Info, Pid, Reply, SendError, SendFailure, Target,
    call::{self, Waiting},
    cast_wait::To,
    cell::CellRef,
    message,
    narrow::{Via, Way},
    reference::{self, InLine, Unsent},
    request,
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

/// Which child an address is of: equal for all addresses of one child, also narrowed ones, and for no other's.
#[derive(Clone)]
pub struct ChildTag(Arc<dyn IsSlot>);

/// A slot, of which nothing can be seen but where it is: so that a tag may be the key of a map.
trait IsSlot: Send + Sync {}

impl IsSlot for Slot {}

/// A message that was not delivered at once.
enum Offered<M: 'static> {
    /// To this incarnation.
    To(CellRef, Unsent<M>),
    /// There is none.
    Nobody(SendError<M>),
}

impl Slot {
    /// What it means that the newest incarnation takes nothing.
    pub(crate) fn refusal(&self) -> &'static SendFailure {
        match &*self.state.read() {
            State::Gone => &SendFailure::NoProc,
            State::Waiting | State::Current(..) => &SendFailure::Restarting,
        }
    }

    /// Sends a message to the newest incarnation, unless its bound is to be asked or it has ended.
    #[inline]
    fn offer<M: Send + 'static>(&self, via: Option<&Via<M>>, msg: M) -> Result<(), Offered<M>> {
        let refused = match &*self.state.read() {
            State::Current(cell, way) => {
                let via = Via::joined(via, way.as_ref());
                let offered = reference::offer_via(cell.ptr(), via.as_ref(), msg);
                return offered.map_err(|unsent| Offered::To(cell.clone(), unsent));
            }
            State::Waiting | State::Gone => message::refused(message::node(msg)),
        };
        Err(Offered::Nobody(SendError(refused, self.refusal())))
    }

    /// Why a request to the newest incarnation was not sent.
    fn why(&self, unsent: call::Unsent) -> SendFailure {
        match unsent {
            call::Unsent::Closed => *self.refusal(),
            call::Unsent::Full => SendFailure::Full,
        }
    }

    /// What it means to who has sent to the newest incarnation, which has ended.
    fn meaning<M>(&self, error: SendError<M>) -> SendError<M> {
        match error {
            SendError(refused, SendFailure::NoProc) => SendError(refused, self.refusal()),
            other => other,
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

    /// Which child this is.
    pub fn tag(&self) -> ChildTag {
        ChildTag(self.slot.clone())
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
    /// `Restarting` between two incarnations, `NoProc` when the child is gone for good, `Full` if its mailbox is
    /// [bounded](crate::SpawnOptions::bounded) and full; the message comes back with the error.
    pub fn cast(&self, msg: M) -> Result<(), SendError<M>> {
        let slot = match &self.at {
            At::Pinned(cell) => {
                return reference::cast_via(cell.ptr(), self.via.as_ref(), msg);
            }
            At::Slot(slot) => slot,
        };
        match slot.offer(self.via.as_ref(), msg) {
            Ok(()) => Ok(()),
            // Behind the lock: a bound may drop messages, and wake those who wait.
            Err(Offered::To(cell, unsent)) => {
                unsent.send(cell.ptr()).map_err(|error| slot.meaning(error))
            }
            Err(Offered::Nobody(error)) => Err(error),
        }
    }

    /// Sends a message, and waits for room in the mailbox of the incarnation in force if that is full; as
    /// [`ActorRef::cast_wait`]. It does not wait for an incarnation, and if that one ends the message comes back.
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
    /// `Restarting` between two incarnations, `NoProc` when the child is gone for good, `Full` if its mailbox is bounded
    /// and full.
    pub fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(Reply<T>) -> M,
    ) -> Result<Answered<T>, SendFailure> {
        let slot = match &self.at {
            At::Pinned(cell) => {
                return ask(cell, self.via.as_ref(), f).map_err(|unsent| match unsent {
                    call::Unsent::Closed => SendFailure::NoProc,
                    call::Unsent::Full => SendFailure::Full,
                });
            }
            At::Slot(slot) => slot,
        };
        if slot.has_way.load(Ordering::Relaxed) {
            let newest = slot.newest(self.via.as_ref());
            let Some((cell, via)) = newest else { return Err(*slot.refusal()) };
            return ask(&cell, via.as_ref(), f).map_err(|unsent| slot.why(unsent));
        }
        let mut waiting = call::waiting_via::<M, T>(self.via.as_ref(), f);
        // A request that is refused is dropped with `waiting`: behind the lock.
        let unsent = match &*slot.state.read() {
            // With a way: it was put there a moment ago. Asked a moment before, it was not there yet.
            State::Current(cell, None) => {
                if waiting.try_send(cell.ptr()) {
                    let clock = clock(&waiting, cell);
                    return Ok(Answered::to(waiting, clock));
                }
                Some(cell.clone())
            }
            State::Current(..) | State::Waiting | State::Gone => None,
        };
        let Some(cell) = unsent else { return Err(*slot.refusal()) };
        match waiting.send_bounded(cell.ptr(), false) {
            Ok(_) => {
                let clock = clock(&waiting, &cell);
                Ok(Answered::to(waiting, clock))
            }
            Err(unsent) => Err(slot.why(unsent)),
        }
    }
}

/// Sends a request to `cell` at once.
fn ask<M: Send + 'static, T: Send + 'static>(
    cell: &CellRef,
    via: Option<&Via<M>>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Result<Answered<T>, call::Unsent> {
    let mut waiting = call::waiting_via::<M, T>(via, f);
    if !waiting.try_send(cell.ptr()) {
        waiting.send_bounded(cell.ptr(), false)?;
    }
    let clock = clock(&waiting, cell);
    Ok(Answered::to(waiting, clock))
}

/// Whose clock a time limit of the answer would go by, if not that of the process that waits.
fn clock<T>(waiting: &Waiting<T>, asked: &CellRef) -> Option<CellRef> {
    // A counter, which processes do without: they ask their supervisors for children by the million.
    (!waiting.is_of_process()).then(|| asked.clone())
}

impl<M: Send + 'static> ChildRef<M> {
    /// Sends a message, or waits for room. With an error of the slot's own.
    pub(crate) fn send_or_wait(
        &self,
        msg: M,
        waker: &Waker,
    ) -> Result<Option<InLine>, SendError<M>> {
        match &self.at {
            At::Pinned(cell) => match reference::offer_via(cell.ptr(), self.via.as_ref(), msg) {
                Ok(()) => Ok(None),
                Err(unsent) => unsent.wait(cell.ptr(), waker),
            },
            At::Slot(slot) => match slot.offer(self.via.as_ref(), msg) {
                Ok(()) => Ok(None),
                Err(Offered::To(cell, unsent)) => {
                    unsent.wait(cell.ptr(), waker).map_err(|error| slot.meaning(error))
                }
                Err(Offered::Nobody(error)) => Err(error),
            },
        }
    }

    /// What is told to who has waited for an incarnation that has ended.
    pub(crate) fn refusal(&self) -> &'static SendFailure {
        match &self.at {
            At::Pinned(_) => &SendFailure::NoProc,
            At::Slot(slot) => slot.refusal(),
        }
    }
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

    /// Which child this is the address of. `None`: it is [pinned](ChildRef::from) to one process.
    pub fn tag(&self) -> Option<ChildTag> {
        match &self.at {
            At::Pinned(_) => None,
            At::Slot(slot) => Some(ChildTag(slot.clone())),
        }
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

    fn child_tag(&self) -> Option<ChildTag> {
        self.tag()
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

impl ChildTag {
    /// Where the slot is, which is no other's while the tag is there.
    fn place(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl PartialEq for ChildTag {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for ChildTag {}

impl Hash for ChildTag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}

impl fmt::Debug for ChildTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChildTag(..)")
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

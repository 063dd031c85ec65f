//! The priority lane of a process: messages that are handled before all others.
//!
//! ```text
//!   PriorityRef   ──push, and a flag──▶  inbox  ──drain: handed over as a signal──▶  Ext::lane   URGENT
//!   DOWN, EXIT    ──a signal, and a flag─▶                                              │
//!                                                       before the next other message ◀┘
//! ```
//!
//! A priority message is a node like any other but for `urgent` in its table: the drain hands it over ([`receive`]),
//! and it waits in a FIFO of its own, in the owner's part. The flag has a run that is at a long private FIFO drain
//! before its next message. A process that did not ask for a lane has none, and what comes that way keeps its place
//! among the others.
//!
//! The bit `URGENT` says that something is in the lane. It is among those that have the run look up between two
//! messages and after each drain, so that a process without a lane pays nothing: there the oldest is put at the front of
//! the mailbox, one at a time ([`bring`]). A body in the process form looks here before it looks there
//! ([`take_behind`]).
//!
//! Order is kept within the lane, and within the mailbox; none between the two.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

use std::{fmt, ptr::NonNull};

use whitebeam_sync::{
    inbox::{Cursor, Push},
    node::Node,
};

use crate::{
    ActorRef, Call, Handle, Pid, Reply, SendError, SendFailure, Target, bound,
    cell::{CellPtr, CellRef, bit, flag},
    ext::Ext,
    message,
    narrow::{self, Via},
    request,
};

/// The address of a process's priority lane, made by the process itself:
/// [`Context::priority_ref`](crate::Context::priority_ref).
///
/// What is sent through it is handled before whatever else waits in the mailbox, but for what is sent in the same way
/// and earlier: each of the two keeps its order, and between them there is none. It does not end or overtake the
/// handler that runs, or is suspended. A process that was started without
/// [`SpawnOptions::priority_lane`](crate::SpawnOptions::priority_lane) has no such lane: the messages are ordinary
/// ones then, and keep their place among the others.
///
/// A clone counts one reference, and never keeps the process running. A message costs one allocation, and two
/// read-modify-writes where an ordinary one costs one.
///
/// A lane that always has something in it starves the mailbox: it is for the few that steer a process, not for its
/// work.
///
/// ```
/// # use whitebeam_actor::{Actor, Context, ExitReason, PriorityRef, Reply, Runtime, SpawnOptions};
/// struct Worker { done: Vec<u32> }
/// enum Msg { Steer(Reply<PriorityRef<Msg>>), Work(u32), Done(Reply<Vec<u32>>) }
///
/// impl Actor for Worker {
///     type Args = ();
///     type Msg = Msg;
///     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
///         Ok(Worker { done: Vec::new() })
///     }
///     async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
///         match msg {
///             Msg::Steer(reply) => reply.send(cx.priority_ref()),
///             Msg::Work(n) => self.done.push(n),
///             Msg::Done(reply) => reply.send(self.done.clone()),
///         }
///         Ok(())
///     }
/// }
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let worker = rt.with(SpawnOptions::new().priority_lane()).start::<Worker>(()).await?;
///     let steer = worker.call(Msg::Steer).await?;
///     worker.cast(Msg::Work(1))?;
///     worker.cast(Msg::Work(2))?;
///     steer.cast(Msg::Work(3))?;
///     assert_eq!(worker.call(Msg::Done).await?, [3, 1, 2]);
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Differences from OTP
///
/// OTP's priority messages (EEP 76) go through a priority alias, which its process can switch off; this address stays
/// good. There is no exit signal by priority: those act ahead of the mailbox anyway, and a trapped one is by priority if
/// its link is ([`Context::link_priority`](crate::Context::link_priority)).
pub struct PriorityRef<M> {
    cell: CellRef,
    via: Option<Via<M>>,
}

impl<M: Send + 'static> PriorityRef<M> {
    /// Sends a message to the lane. Never waits, and is never refused for want of room.
    ///
    /// # Errors
    /// The process has ended; the message comes back with the error.
    pub fn cast(&self, msg: M) -> Result<(), SendError<M>> {
        let cell = self.cell.ptr();
        let node = match &self.via {
            None => message::urgent(msg),
            Some(via) => narrow::urgent(via, msg),
        };
        match message::push_anyway(cell, node) {
            Push::Queued => announce(cell),
            // The run that this schedules begins with a drain.
            Push::Schedule => cell.schedule(),
            Push::Closed => {
                let refused = match self.via {
                    None => message::refused(node),
                    Some(_) => narrow::refused(node),
                };
                return Err(SendError(refused, &SendFailure::NoProc));
            }
        }
        Ok(())
    }

    /// Prepares a call by priority, see [`ActorRef::call`]. It may be moved and outlives this address.
    pub fn call<T: Send + 'static, F: FnOnce(Reply<T>) -> M>(&self, f: F) -> Call<'static, M, T> {
        request::call_urgent(self.cell.clone(), self.via.as_ref(), f)
    }

    /// The address of the same lane for a part of the process's messages, see [`ActorRef::narrow`].
    pub fn narrow<Sub: Send + 'static>(&self) -> PriorityRef<Sub>
    where
        M: From<Sub>,
    {
        PriorityRef { cell: self.cell.clone(), via: Some(Via::to(self.via.as_ref())) }
    }
}

impl<M> PriorityRef<M> {
    pub(crate) fn new(cell: CellRef) -> Self {
        PriorityRef { cell, via: None }
    }

    /// The process's ordinary address.
    pub fn ordinary(&self) -> ActorRef<M> {
        ActorRef::from_parts(self.cell.clone(), self.via.clone())
    }

    /// The process's pid.
    pub fn pid(&self) -> Pid {
        self.cell.ptr().pid()
    }

    /// The runtime that the process belongs to.
    pub fn runtime(&self) -> Handle {
        Handle::of(self.cell.ptr())
    }

    /// Whether the process has not ended.
    pub fn is_alive(&self) -> bool {
        !self.cell.ptr().is_ended()
    }
}

impl<M> Target for PriorityRef<M> {
    fn target(&self) -> Option<Pid> {
        Some(self.pid())
    }
}

impl<M> Clone for PriorityRef<M> {
    fn clone(&self) -> Self {
        PriorityRef { cell: self.cell.clone(), via: self.via.clone() }
    }
}

impl<M> fmt::Debug for PriorityRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PriorityRef({})", self.pid())
    }
}

/// Something for the lane was pushed on an inbox that was not idle: has it drained before the next message. The caller
/// keeps the cell.
pub(crate) fn announce(cell: CellPtr) {
    cell.raise(flag::SIGNAL);
}

/// Gives a process that is not published yet a lane. Called by its spawner.
pub(crate) fn open(ext: &mut Ext) {
    ext.lane = Some(Cursor::new());
}

/// A priority message is there: into the lane, or among the others if there is none. Called by the owner, in a drain or
/// with its cursor; the node is given up.
pub(crate) fn receive(cell: CellPtr, cursor: &mut Cursor, node: NonNull<Node>) {
    let header = cell.header();
    if header.is_bounded() {
        // SAFETY: given up by the sender, and whole.
        bound::received(cell, unsafe { Node::vt(node) }.counted);
    }
    // SAFETY: the caller is the owner.
    match unsafe { Ext::get(cell) }.and_then(|ext| ext.lane.as_mut()) {
        Some(lane) => {
            // SAFETY: the caller gives it up; its sender promised that its payload may change threads.
            unsafe { lane.push_back(node) };
            header.set(bit::URGENT);
        }
        // SAFETY: as above.
        None => unsafe { cursor.push_back(node) },
    }
    if header.has(bit::RECEIVING) {
        // The drain does not count it among the messages that it has brought.
        header.set(bit::POLL);
    }
    cell.note_drained(1, true);
}

/// Puts a message of the process's own before all others: at the front of the lane, or of the mailbox if there is none.
///
/// # Safety
/// The caller is the owner, holds no reference to its cursor, and gives the node up.
pub(crate) unsafe fn push_front(cell: CellPtr, node: NonNull<Node>) {
    // SAFETY: the caller's word.
    match unsafe { Ext::get(cell) }.and_then(|ext| ext.lane.as_mut()) {
        Some(lane) => {
            // SAFETY: the caller's word.
            unsafe { lane.push_front(node) };
            cell.header().set(bit::URGENT);
        }
        None => {
            // SAFETY: the caller's word.
            let cursor = unsafe { cell.cursor() };
            // SAFETY: the caller's word.
            unsafe { cursor.push_front(node) };
        }
    }
}

/// Puts the oldest of the lane at the front of the mailbox, to be handled now.
///
/// # Safety
/// The caller is the owner, and holds no reference to its cursor or its part.
#[cold]
pub(crate) unsafe fn bring(cell: CellPtr) {
    // SAFETY: the caller's word.
    let Some(node) = (unsafe { take_behind(cell, None) }) else { return };
    // SAFETY: the caller's word.
    let cursor = unsafe { cell.cursor() };
    // SAFETY: taken out just above, and given up.
    unsafe { cursor.push_front(node) };
}

/// Takes the node behind `before` out of the lane, or the oldest one. It is the caller's.
///
/// # Safety
/// The caller is the owner, holds no reference to its part, and `before` is in the lane.
#[cold]
pub(crate) unsafe fn take_behind(
    cell: CellPtr,
    before: Option<NonNull<Node>>,
) -> Option<NonNull<Node>> {
    // SAFETY: the caller's word.
    let lane = unsafe { Ext::get(cell) }?.lane.as_mut()?;
    // SAFETY: the caller's word.
    let node = unsafe { lane.take_behind(before) };
    if lane.is_empty() {
        cell.header().clear(bit::URGENT);
    }
    node
}

/// The way back from [`take_behind`].
///
/// # Safety
/// As there; the caller gives the node up.
#[cold]
pub(crate) unsafe fn put_behind(cell: CellPtr, before: Option<NonNull<Node>>, node: NonNull<Node>) {
    // SAFETY: the caller's word.
    let Some(lane) = (unsafe { Ext::get(cell) }).and_then(|ext| ext.lane.as_mut()) else {
        unreachable!("it was taken out of the lane")
    };
    // SAFETY: the caller's word.
    unsafe { lane.put_behind(before, node) };
    cell.header().set(bit::URGENT);
}

/// Whether something stands behind `before` in the lane.
///
/// # Safety
/// As for [`take_behind`].
pub(crate) unsafe fn has_behind(cell: CellPtr, before: Option<NonNull<Node>>) -> bool {
    // SAFETY: the caller's word.
    let lane = unsafe { Ext::look(cell) }.and_then(|ext| ext.lane.as_ref());
    // SAFETY: the caller's word.
    lane.is_some_and(|lane| unsafe { lane.has_behind(before) })
}

/// Takes the first node that is looked for out of the lane.
///
/// # Safety
/// The caller is the owner and holds no reference to its part.
pub(crate) unsafe fn extract(
    cell: CellPtr,
    is_it: impl FnMut(NonNull<Node>) -> bool,
) -> Option<NonNull<Node>> {
    // SAFETY: the caller's word.
    let lane = unsafe { Ext::get(cell) }?.lane.as_mut()?;
    let node = lane.extract(is_it);
    if lane.is_empty() {
        cell.header().clear(bit::URGENT);
    }
    node
}

/// The process has ended: what is in its lane stands before the rest of what it left unread.
///
/// # Safety
/// The caller is the owner and holds no reference to its part.
pub(crate) unsafe fn close(cell: CellPtr, cursor: &mut Cursor) {
    // SAFETY: the caller's word.
    if let Some(lane) = unsafe { Ext::get(cell) }.and_then(|ext| ext.lane.as_mut()) {
        cursor.prepend(lane);
        cell.header().clear(bit::URGENT);
    }
}

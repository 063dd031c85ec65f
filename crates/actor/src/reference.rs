//! The typed address of an actor.

use std::{
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use whitebeam_sync::{
    inbox::{Barred, Push},
    node::Node,
};

use crate::{
    Call, CastWait, ChildTag, Handle, Info, Name, Pid, Reply, SendError, SendFailure,
    bound::{self, Sent, Slot, Told, Wish},
    cast_wait::To,
    cell::{CellPtr, CellRef},
    deadlock::Probe,
    info,
    message::{self, Carried, Refused},
    narrow::{self, Via},
    request,
    shared::Shared,
};

/// The address of one process that takes messages of type `M`.
///
/// A clone counts one reference; it never keeps the process running. All operations work from any
/// thread, also after the process or its runtime has ended.
pub struct ActorRef<M> {
    cell: CellRef,
    /// How an `M` becomes one of the actor's messages. `None`: it is one.
    via: Option<Via<M>>,
}

impl<M: Send + 'static> ActorRef<M> {
    /// Sends a message. Never waits; one allocation.
    ///
    /// Messages from one sender arrive in the order sent. Delivery says nothing about handling: the
    /// process may end before it comes to the message.
    ///
    /// # Errors
    /// The process has ended, or its mailbox is [bounded](crate::SpawnOptions::bounded) and full
    /// ([`SendFailure::Full`]); the message comes back with the error.
    #[inline(always)]
    pub fn cast(&self, msg: M) -> Result<(), SendError<M>> {
        cast_via(self.cell.ptr(), self.via.as_ref(), msg)
    }

    /// Sends a message, and waits for room in the mailbox if that is full.
    ///
    /// Without a [bound](crate::SpawnOptions::bounded) there is always room: the message is sent when the future is
    /// first polled, and that is ready then. See [`CastWait`].
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime};
    /// # struct Log;
    /// # impl Actor for Log {
    /// #     type Args = ();
    /// #     type Msg = String;
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Log) }
    /// #     async fn handle(&mut self, _: String, cx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Ok(cx.stop(ExitReason::Normal))
    /// #     }
    /// # }
    /// # let rt = Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let log = rt.start::<Log>(()).await?;
    /// let end = rt.down(&log);
    /// log.cast_wait("the last line".to_owned()).await?;
    /// end.await;
    /// let refused = log.cast_wait("one more".to_owned()).await.unwrap_err();
    /// assert_eq!(refused.into_message(), "one more");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn cast_wait(&self, msg: M) -> CastWait<'_, M> {
        CastWait::new(To::Actor(self), msg)
    }

    /// Prepares a call: `f` puts the reply into the request, and runs at once; the request is sent when
    /// the call is first polled.
    ///
    /// ```text
    /// let total = counter.call(Msg::Get).await?;
    /// ```
    #[inline]
    pub fn call<T: Send + 'static, F: FnOnce(Reply<T>) -> M>(&self, f: F) -> Call<'_, M, T> {
        request::call(&self.cell, self.via.as_ref(), f)
    }

    /// Sends a message, or waits for room.
    pub(crate) fn send_or_wait(
        &self,
        msg: M,
        waker: &Waker,
    ) -> Result<Option<InLine>, SendError<M>> {
        match offer_via(self.cell.ptr(), self.via.as_ref(), msg) {
            Ok(()) => Ok(None),
            Err(unsent) => unsent.wait(self.cell.ptr(), waker),
        }
    }

    /// The address of the same process for a part of its messages: those that can be made of a `Sub`.
    ///
    /// A message is sent as the `Sub` that it is and becomes an `M` when the process takes it from its mailbox:
    /// refused, it comes back as it was. The conversion is the receiver's code, and its panic ends the receiver
    /// as one of its handler does; a reply in the `Sub` is answered with that.
    ///
    /// Costs one counter, and each message 8 bytes. An address that is narrowed already is narrowed further with
    /// an allocation, and one counter for each message sent through it.
    ///
    /// ```
    /// use whitebeam_actor::{Actor, ActorRef, Context, ExitReason, Reply, Runtime};
    ///
    /// struct Store { notes: Vec<String> }
    /// enum Msg { Note(Note), Compact }
    /// enum Note { Put(String), Count(Reply<usize>) }
    ///
    /// impl From<Note> for Msg {
    ///     fn from(note: Note) -> Self { Msg::Note(note) }
    /// }
    ///
    /// impl Actor for Store {
    ///     type Args = ();
    ///     type Msg = Msg;
    ///     async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         Ok(Store { notes: Vec::new() })
    ///     }
    ///     async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         match msg {
    ///             Msg::Note(Note::Put(note)) => self.notes.push(note),
    ///             Msg::Note(Note::Count(reply)) => reply.send(self.notes.len()),
    ///             Msg::Compact => self.notes.shrink_to_fit(),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let store = rt.start::<Store>(()).await?;
    ///     let notes: ActorRef<Note> = store.narrow();
    ///     notes.cast(Note::Put("a".to_owned()))?;
    ///     assert_eq!(notes.call(Note::Count).await?, 1);
    ///     store.cast(Msg::Compact)?;
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn narrow<Sub: Send + 'static>(&self) -> ActorRef<Sub>
    where
        M: From<Sub>,
    {
        ActorRef { cell: self.cell.clone(), via: Some(Via::to(self.via.as_ref())) }
    }
}

impl<M> ActorRef<M> {
    pub(crate) fn from_cell(cell: CellRef) -> Self {
        ActorRef { cell, via: None }
    }

    /// The address of a process whose messages are what the way leads to.
    pub(crate) fn from_parts(cell: CellRef, via: Option<Via<M>>) -> Self {
        ActorRef { cell, via }
    }

    pub(crate) fn into_parts(self) -> (CellRef, Option<Via<M>>) {
        (self.cell, self.via)
    }

    pub(crate) fn parts(&self) -> (&CellRef, Option<&Via<M>>) {
        (&self.cell, self.via.as_ref())
    }

    pub(crate) fn into_cell(self) -> CellRef {
        self.cell
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

    /// What can be seen of the process now, also while it is stuck in a handler. `None`: it has ended.
    pub fn info(&self) -> Option<Info> {
        info::of(&self.cell)
    }
}

impl<M> Clone for ActorRef<M> {
    #[inline]
    fn clone(&self) -> Self {
        ActorRef { cell: self.cell.clone(), via: self.via.clone() }
    }
}

impl<M> fmt::Debug for ActorRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef({})", self.pid())
    }
}

impl<M> PartialEq for ActorRef<M> {
    /// The same process.
    fn eq(&self, other: &Self) -> bool {
        self.cell.ptr() == other.cell.ptr()
    }
}

impl<M> Eq for ActorRef<M> {}

/// Sends a message to `cell`, whose actor takes what the way leads to; messages of this type if there is none.
#[inline(always)]
pub(crate) fn cast_via<M: Send + 'static>(
    cell: CellPtr,
    via: Option<&Via<M>>,
    msg: M,
) -> Result<(), SendError<M>> {
    match via {
        None => cast(cell, msg),
        Some(via) => narrow::cast(cell, via, msg),
    }
}

/// As [`cast_via`], of what is not delivered at once nothing is decided: a bound is not asked.
pub(crate) fn offer_via<M: Send + 'static>(
    cell: CellPtr,
    via: Option<&Via<M>>,
    msg: M,
) -> Result<(), Unsent<M>> {
    let node = match via {
        None => message::node(msg),
        Some(via) => narrow::node(via, msg),
    };
    match message::push(cell, node) {
        Ok(push) => {
            cell.follow(push);
            Ok(())
        }
        Err(_) => {
            let message = Carried::adopt(node);
            Err(Unsent { message, is_narrowed: via.is_some(), _of: PhantomData })
        }
    }
}

/// A message that was not delivered yet, in its node.
pub(crate) struct Unsent<M> {
    message: Carried,
    is_narrowed: bool,
    _of: PhantomData<M>,
}

impl<M: Send + 'static> Unsent<M> {
    /// Sends it, if the mailbox has a bound that lets it in.
    pub(crate) fn send(self, cell: CellPtr) -> Result<(), SendError<M>> {
        if cell.is_ended() {
            return Err(self.refused(&SendFailure::NoProc));
        }
        let Unsent { message, is_narrowed, .. } = self;
        let node = message.into_node();
        let sent = bound::send(cell, node, Wish::Now);
        decided(sent, node, is_narrowed)
    }

    /// Sends it, or waits for room: for ever, if that is the handler whose mailbox it is. So that one is refused.
    pub(crate) fn wait(self, cell: CellPtr, waker: &Waker) -> Result<Option<InLine>, SendError<M>> {
        if cell.is_ended() {
            return Err(self.refused(&SendFailure::NoProc));
        }
        let is_own = Probe::polled_in(waker) == Some(cell) && !cell.vt().is_process;
        let Unsent { message, is_narrowed, .. } = self;
        let slot = Slot::new(waker.clone());
        let node = message.into_node();
        let wish = if is_own { Wish::Room } else { Wish::Wait(Some(slot.clone())) };
        match bound::send(cell, node, wish) {
            Sent::Queued => {
                Ok(Some(InLine { cell: cell.to_ref(), node: node.addr().get(), slot, is_narrowed }))
            }
            sent => decided(sent, node, is_narrowed).map(|()| None),
        }
    }

    fn refused(self, why: &'static SendFailure) -> SendError<M> {
        SendError(body(self.message.into_node(), self.is_narrowed), why)
    }
}

/// A cast that waits for room. Dropped, it leaves the queue, with its message.
pub(crate) struct InLine {
    cell: CellRef,
    /// Where its node is: compared, never followed.
    node: usize,
    slot: Arc<Slot>,
    is_narrowed: bool,
}

impl InLine {
    /// Ready when the message is in the mailbox, or comes back since the process has ended. The message is an `M`.
    pub(crate) fn poll<M>(&mut self, cx: &TaskContext<'_>) -> Poll<Result<(), Refused<M>>> {
        match self.slot.poll(cx.waker()) {
            None => Poll::Pending,
            Some(Told::Sent) => Poll::Ready(Ok(())),
            Some(Told::Back(message)) => {
                Poll::Ready(Err(body(message.into_node(), self.is_narrowed)))
            }
        }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        // Once told it stays so.
        if !self.slot.is_waiting() {
            return;
        }
        drop(bound::leave(self.cell.ptr(), self.node, &self.slot));
    }
}

/// What a bound has decided about the message of a node that is the caller's, unless it was sent.
#[cold]
fn decided<M: 'static>(
    sent: Sent,
    node: NonNull<Node>,
    is_narrowed: bool,
) -> Result<(), SendError<M>> {
    let why = match sent {
        Sent::Done | Sent::Queued => return Ok(()),
        Sent::Dropped => {
            bound::drop_unread(Carried::adopt(node));
            return Ok(());
        }
        Sent::Full => &SendFailure::Full,
        Sent::Closed => &SendFailure::NoProc,
    };
    Err(SendError(body(node, is_narrowed), why))
}

/// A refused node as an error's body.
fn body<M: 'static>(node: NonNull<Node>, is_narrowed: bool) -> Refused<M> {
    if is_narrowed { narrow::refused(node) } else { message::refused(node) }
}

/// The message of `node` was turned away: the mailbox is bounded, or the process has ended.
#[cold]
#[inline(never)]
pub(crate) fn not_pushed<M: 'static>(
    cell: CellPtr,
    node: NonNull<Node>,
    barred: Barred,
    is_narrowed: bool,
) -> Result<(), SendError<M>> {
    let sent = match barred {
        Barred::Guarded => bound::send(cell, node, Wish::Now),
        Barred::Closed => Sent::Closed,
    };
    decided(sent, node, is_narrowed)
}

/// Sends a message to `cell`, whose actor takes messages of this type.
// Always inlined, so that the message goes from the sender's registers into its node: passed by memory it
// is written in words and read in vectors, and the processor waits for the stores.
#[inline(always)]
pub(crate) fn cast<M: Send + 'static>(cell: CellPtr, msg: M) -> Result<(), SendError<M>> {
    let node = message::node(msg);
    match message::push(cell, node) {
        Ok(push) => {
            cell.follow(push);
            Ok(())
        }
        Err(barred) => not_pushed(cell, node, barred, false),
    }
}

/// As [`cast`], of a message that the runtime sends in the user's name.
pub(crate) fn cast_uncounted<M: Send + 'static>(cell: CellPtr, msg: M) -> Result<(), SendError<M>> {
    let node = message::uncounted(msg);
    match message::push_uncounted(cell, node) {
        Push::Closed => Err(SendError(message::refused(node), &SendFailure::NoProc)),
        push => {
            cell.follow(push);
            Ok(())
        }
    }
}

/// What names a process: a [`Pid`], an address or a [`Name`].
///
/// A name means something in a runtime only: it is looked up in the one where it is used, there and then. Text
/// alone is none, so that it is not taken for one by mistake: `Name::from("db")`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a process",
    note = "pass a `Pid`, an `&ActorRef<_>`, a `&ChildRef<_>`, or a `Name`: `Name::from(..)`"
)]
pub trait Target {
    /// The process's pid. `None`: a child that is between two incarnations, or a name.
    fn target(&self) -> Option<Pid>;

    /// The name that it is found by, if it is one: what a monitor's [`Down`](crate::Down) says of whom was
    /// watched.
    fn name(&self) -> Option<&Name> {
        None
    }

    /// The process's pid, where the names of a runtime are at hand. Overridden by what is looked up there.
    #[inline]
    fn target_in(&self, names: &Lookup<'_>) -> Option<Pid> {
        let _ = names;
        self.target()
    }

    /// Which child this is the address of, over its restarts, if it is one: see [`ChildRef::tag`](crate::ChildRef::tag).
    fn child_tag(&self) -> Option<ChildTag> {
        None
    }
}

/// The names of the runtime in which a [`Target`] is used.
#[derive(Clone, Copy)]
pub struct Lookup<'a>(&'a Shared);

impl<'a> Lookup<'a> {
    pub(crate) fn of(shared: &'a Shared) -> Self {
        Lookup(shared)
    }

    /// Who has a name now.
    pub fn whereis(&self, name: &Name) -> Option<Pid> {
        self.0.names().whereis(self.0, name)
    }
}

impl fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup(..)")
    }
}

impl Target for Name {
    /// `None`: there is no runtime at hand.
    fn target(&self) -> Option<Pid> {
        None
    }

    fn name(&self) -> Option<&Name> {
        Some(self)
    }

    fn target_in(&self, names: &Lookup<'_>) -> Option<Pid> {
        names.whereis(self)
    }
}

impl Target for Pid {
    fn target(&self) -> Option<Pid> {
        Some(*self)
    }
}

impl<M> Target for ActorRef<M> {
    fn target(&self) -> Option<Pid> {
        Some(self.pid())
    }
}

impl<T: Target + ?Sized> Target for &T {
    fn target(&self) -> Option<Pid> {
        (**self).target()
    }

    fn name(&self) -> Option<&Name> {
        (**self).name()
    }

    #[inline]
    fn target_in(&self, names: &Lookup<'_>) -> Option<Pid> {
        (**self).target_in(names)
    }

    fn child_tag(&self) -> Option<ChildTag> {
        (**self).child_tag()
    }
}

//! The typed address of an actor.

use std::fmt;

use whitebeam_sync::inbox::Push;

use crate::{
    Call, CastWait, Handle, Info, Name, Pid, Reply, SendError, SendFailure,
    cast_wait::To,
    cell::{CellPtr, CellRef},
    info, message,
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
    /// The process has ended; the message comes back with the error.
    #[inline(always)]
    pub fn cast(&self, msg: M) -> Result<(), SendError<M>> {
        cast_via(self.cell.ptr(), self.via.as_ref(), msg)
    }

    /// Sends a message, and waits for room in the mailbox if that is full.
    ///
    /// Mailboxes have no bound yet, so that there is always room: the message is sent when the future is first
    /// polled, and that is ready then. See [`CastWait`].
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

/// Sends a message to `cell`, whose actor takes messages of this type.
// Always inlined, so that the message goes from the sender's registers into its node: passed by memory it
// is written in words and read in vectors, and the processor waits for the stores.
#[inline(always)]
pub(crate) fn cast<M: Send + 'static>(cell: CellPtr, msg: M) -> Result<(), SendError<M>> {
    let node = message::node(msg);
    match message::push(cell, node) {
        Push::Queued => Ok(()),
        Push::Schedule => {
            cell.schedule();
            Ok(())
        }
        Push::Closed => Err(SendError(message::refused(node), &SendFailure::NoProc)),
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
}

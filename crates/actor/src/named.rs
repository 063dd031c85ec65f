//! A typed address by name.
//!
//! The name is looked up for each message, and the holder's type of messages compared with the address's: two
//! numbers, of which the one is in the table of the holder's type.

use std::{any::TypeId, fmt, marker::PhantomData, sync::Arc, task::Waker};

use crate::{
    ActorRef, Call, CastWait, FindError, Handle, Lookup, Name, Pid, Reply, SendError, SendFailure,
    Target, TypeName,
    cast_wait::To,
    cell::CellRef,
    message,
    reference::{self, InLine},
    request,
};

/// The address of whoever has a name: OTP's calls and casts to a name. Made by
/// [`Handle::named`](crate::Handle::named).
///
/// Each message goes to the process that has the name when it is sent, the request of a call when that is first
/// polled. There need not be one when this is made.
///
/// | who has the name | cast | call |
/// | --- | --- | --- |
/// | a process that takes messages of type `M` | as on its [`ActorRef`] | as there |
/// | a process that takes others | `WrongMessage` | `WrongMessage` |
/// | nobody | `NoProc` | `NoProc` |
///
/// It is bound to the runtime it was made by, also as a [`Target`]. A clone is one counter; a message costs a
/// [look-up](crate::Handle::whereis) more than one to an `ActorRef`: where many are sent to one process, keep
/// [`find`](Self::find)'s.
///
/// ```
/// # use whitebeam_actor::{Actor, CallError, Context, ExitReason, Reply, Runtime, SpawnOptions};
/// # struct Echo;
/// # impl Actor for Echo {
/// #     type Args = ();
/// #     type Msg = Reply<u32>;
/// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Echo) }
/// #     async fn handle(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         reply.send(7);
/// #         Ok(())
/// #     }
/// # }
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let seven = rt.named::<Reply<u32>>("seven");
///     assert!(matches!(seven.call(|reply| reply).await, Err(CallError::NoProc)));
///     rt.with(SpawnOptions::new().name("seven")).start::<Echo>(()).await?;
///     assert_eq!(seven.call(|reply| reply).await?, 7);
///     rt.stop(&seven, ExitReason::Normal).await?;
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct NamedRef<M> {
    place: Arc<Place>,
    _message: PhantomData<fn(M)>,
}

/// A name, where it is looked up, and what its holder is to take.
pub(crate) struct Place {
    handle: Handle,
    name: Name,
    message: TypeId,
}

/// A type of messages.
pub(crate) struct MessageType {
    pub(crate) id: TypeId,
    name: fn() -> &'static str,
    /// What is told to who took it for another.
    pub(crate) refusal: SendFailure,
}

impl MessageType {
    pub(crate) const fn of<M: 'static>() -> Self {
        let found = TypeName(std::any::type_name::<M>);
        MessageType {
            id: TypeId::of::<M>(),
            name: std::any::type_name::<M>,
            refusal: SendFailure::WrongMessage { found },
        }
    }

    /// For people.
    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }
}

impl Place {
    fn pid(&self) -> Option<Pid> {
        Lookup::of(self.handle.shared()).whereis(&self.name)
    }

    /// Who has the name, if he takes such messages.
    pub(crate) fn find(&self) -> Result<CellRef, &'static SendFailure> {
        let cell = self.pid().and_then(|pid| self.handle.shared().resolve(pid));
        take_if(cell.ok_or(&SendFailure::NoProc)?, self.message)
    }
}

/// The process, if it lives and takes messages of this type.
fn take_if(cell: CellRef, message: TypeId) -> Result<CellRef, &'static SendFailure> {
    if cell.ptr().is_ended() {
        return Err(&SendFailure::NoProc);
    }
    let found: &'static MessageType = &cell.ptr().vt().message;
    if found.id == message { Ok(cell) } else { Err(&found.refusal) }
}

/// As [`take_if`], for who says both types.
pub(crate) fn check<M: 'static>(cell: CellRef) -> Result<CellRef, FindError> {
    take_if(cell, TypeId::of::<M>()).map_err(|why| match why {
        SendFailure::WrongMessage { found } => {
            let expected = std::any::type_name::<M>();
            FindError::WrongMessage { expected, found: found.as_str() }
        }
        SendFailure::NoProc | SendFailure::Restarting | SendFailure::Full => FindError::NoProc,
    })
}

impl<M: Send + 'static> NamedRef<M> {
    pub(crate) fn new(handle: Handle, name: Name) -> Self {
        let place = Place { handle, name, message: TypeId::of::<M>() };
        NamedRef { place: Arc::new(place), _message: PhantomData }
    }

    /// Sends a message to whoever has the name now. Never waits.
    ///
    /// # Errors
    /// Nobody has it, or a process that takes messages of another type, or whose mailbox is full; the message comes back
    /// with the error.
    pub fn cast(&self, msg: M) -> Result<(), SendError<M>> {
        match self.place.find() {
            Ok(cell) => reference::cast(cell.ptr(), msg),
            Err(why) => Err(SendError(message::refused(message::node(msg)), why)),
        }
    }

    /// Sends a message to whoever has the name when the future is first polled, and waits for room in its mailbox if that
    /// is full, see [`ActorRef::cast_wait`].
    ///
    /// # Errors
    /// As for [`cast`](Self::cast), when the future is awaited; but a full mailbox is waited for.
    pub fn cast_wait(&self, msg: M) -> CastWait<'_, M> {
        CastWait::new(To::Named(self), msg)
    }

    /// Sends a message, or waits for room.
    pub(crate) fn send_or_wait(
        &self,
        msg: M,
        waker: &Waker,
    ) -> Result<Option<InLine>, SendError<M>> {
        match self.place.find() {
            Ok(cell) => match reference::offer_via(cell.ptr(), None, msg) {
                Ok(()) => Ok(None),
                Err(unsent) => unsent.wait(cell.ptr(), waker),
            },
            Err(why) => Err(SendError(message::refused(message::node(msg)), why)),
        }
    }

    /// The runtime in which the name is looked up.
    pub(crate) fn handle(&self) -> &Handle {
        &self.place.handle
    }

    /// Prepares a call to whoever has the name when it is first polled, see [`ActorRef::call`]. It may be moved
    /// and outlives this address.
    pub fn call<T: Send + 'static, F: FnOnce(Reply<T>) -> M>(&self, f: F) -> Call<'static, M, T> {
        request::call_named(self.place.clone(), f)
    }

    pub(crate) fn cell(&self) -> Result<CellRef, &'static SendFailure> {
        self.place.find()
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.place.handle
    }

    /// The address of the process that has the name now.
    ///
    /// # Errors
    /// Nobody has it, or a process that takes messages of another type.
    pub fn find(&self) -> Result<ActorRef<M>, FindError> {
        self.place.handle.find(self)
    }
}

impl<M> Target for NamedRef<M> {
    /// Who has the name now, in the runtime that this is bound to.
    fn target(&self) -> Option<Pid> {
        self.place.pid()
    }

    fn name(&self) -> Option<&Name> {
        Some(&self.place.name)
    }
}

impl<M> Clone for NamedRef<M> {
    fn clone(&self) -> Self {
        NamedRef { place: self.place.clone(), _message: PhantomData }
    }
}

impl<M> fmt::Debug for NamedRef<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedRef({:?})", self.place.name)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

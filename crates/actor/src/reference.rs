//! The typed address of an actor.

use std::{fmt, marker::PhantomData};

use whitebeam_sync::inbox::Push;

use crate::{
    Call, Info, Pid, Reply, SendError, SendFailure,
    cell::{CellPtr, CellRef},
    info, message, request,
};

/// The address of one process that takes messages of type `M`.
///
/// A clone counts one reference; it never keeps the process running. All operations work from any
/// thread, also after the process or its runtime has ended.
pub struct ActorRef<M> {
    cell: CellRef,
    _message: PhantomData<fn(M)>,
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
        cast(self.cell.ptr(), msg)
    }

    /// Prepares a call: `f` puts the reply into the request, and runs at once; the request is sent when
    /// the call is first polled.
    ///
    /// ```text
    /// let total = counter.call(Msg::Get).await?;
    /// ```
    #[inline]
    pub fn call<T: Send + 'static, F: FnOnce(Reply<T>) -> M>(&self, f: F) -> Call<'_, M, T> {
        request::call(&self.cell, f)
    }
}

impl<M> ActorRef<M> {
    pub(crate) fn from_cell(cell: CellRef) -> Self {
        ActorRef { cell, _message: PhantomData }
    }

    pub(crate) fn into_cell(self) -> CellRef {
        self.cell
    }

    /// The process's pid.
    pub fn pid(&self) -> Pid {
        self.cell.ptr().pid()
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
        ActorRef::from_cell(self.cell.clone())
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
        Push::Closed => Err(SendError(message::refused(node), SendFailure::NoProc)),
    }
}

/// What names a process: a [`Pid`] or an address.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a process",
    note = "pass a `Pid`, an `&ActorRef<_>` or a `&ChildRef<_>`"
)]
pub trait Target {
    /// The process's pid. `None`: a child that is between two incarnations.
    fn target(&self) -> Option<Pid>;
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
}

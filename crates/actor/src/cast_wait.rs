//! A cast that waits for room.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
};

use whitebeam_scheduler::poll_budget;

use crate::{ActorRef, ChildRef, SendError};

/// The future of a cast that waits for room in a full mailbox: [`ActorRef::cast_wait`] and
/// [`ChildRef::cast_wait`].
///
/// The message is sent when it is first polled and there is room. Mailboxes have no bound yet: so it is ready at
/// its first poll.
///
/// # Errors
/// As for [`ActorRef::cast`] and [`ChildRef::cast`]: the message comes back. `Restarting` is not waited for.
///
/// # Cancel safety
/// Dropped before it is ready it has sent nothing, and the message is dropped with it.
#[must_use = "a message is not sent until this is awaited"]
pub struct CastWait<'a, M> {
    to: To<'a, M>,
    /// `None`: it was sent, or has come back.
    msg: Option<M>,
}

/// Whom a message is for.
pub(crate) enum To<'a, M> {
    Actor(&'a ActorRef<M>),
    Child(&'a ChildRef<M>),
}

impl<'a, M> CastWait<'a, M> {
    pub(crate) fn new(to: To<'a, M>, msg: M) -> Self {
        CastWait { to, msg: Some(msg) }
    }
}

impl<M: Send + 'static> Future for CastWait<'_, M> {
    type Output = Result<(), SendError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // It never waits otherwise.
        ready!(poll_budget(cx));
        // Polled after it was ready, it stays pending.
        let Some(msg) = self.msg.take() else { return Poll::Pending };
        Poll::Ready(match self.to {
            To::Actor(actor) => actor.cast(msg),
            To::Child(child) => child.cast(msg),
        })
    }
}

// The message is moved out, never pinned.
impl<M> Unpin for CastWait<'_, M> {}

impl<M> fmt::Debug for CastWait<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            To::Actor(actor) => write!(f, "CastWait(to {actor:?})"),
            To::Child(child) => write!(f, "CastWait(to {child:?})"),
        }
    }
}

//! A cast that waits for room.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use whitebeam_scheduler::poll_budget;

use crate::{
    ActorRef, ChildRef, Handle, NamedRef, SendError, SendFailure, blocking,
    local::{self, StandIn},
    reference::InLine,
};

/// The future of a cast that waits for room in a full mailbox: [`ActorRef::cast_wait`], [`ChildRef::cast_wait`] and
/// [`NamedRef::cast_wait`].
///
/// The message is sent when this is first polled, if there is room then and nobody else waits for it. Else it waits in
/// a queue, first come first served, and comes in when it is its turn, whether this is polled then or not: ready, it
/// says what has become of it. Await it on any executor, or end it with [`blocking`](Self::blocking) on a plain thread.
/// Without a [bound](crate::SpawnOptions::bounded) it is ready at its first poll.
///
/// It has no timeout: race it against a [`Sleep`](crate::Sleep).
///
/// # Errors
/// As for [`ActorRef::cast`], [`ChildRef::cast`] and [`NamedRef::cast`]: the message comes back, also when the process ends while this
/// waits. `Restarting` is not waited for: an incarnation that ends gives the message back.
///
/// `Full` at once, if a handler awaits room in its own actor's mailbox: that would be for ever. (Not in the process form,
/// whose body may receive meanwhile; and not found out where it is awaited together with something else.) Processes that
/// wait for room in each other's mailboxes are not told: a call finds [circles](crate::Call), a cast does not.
///
/// # Cancel safety
/// Dropped before it is ready it leaves the queue, and the message is dropped with it, unless it has come in by then.
#[must_use = "a message is not sent until this is awaited"]
pub struct CastWait<'a, M: 'static> {
    to: To<'a, M>,
    state: State<M>,
}

/// Whom a message is for.
pub(crate) enum To<'a, M> {
    Actor(&'a ActorRef<M>),
    Child(&'a ChildRef<M>),
    Named(&'a NamedRef<M>),
}

enum State<M> {
    Unsent(M),
    Waits(InLine),
    Over,
}

impl<M: Send + 'static> To<'_, M> {
    /// The runtime that the message goes to, if it is known.
    fn runtime(&self) -> Option<Handle> {
        match self {
            To::Actor(actor) => Some(actor.runtime()),
            To::Child(child) => child.current().map(|actor| actor.runtime()),
            To::Named(named) => Some(named.handle().clone()),
        }
    }
}

impl<'a, M: Send + 'static> CastWait<'a, M> {
    pub(crate) fn new(to: To<'a, M>, msg: M) -> Self {
        CastWait { to, state: State::Unsent(msg) }
    }

    /// Sends the message, and waits for room on this thread.
    ///
    /// # Errors
    /// As for awaiting it.
    ///
    /// # Panics
    /// On a worker thread: it would hold up every actor that the worker has. Await it there.
    pub fn blocking(mut self) -> Result<(), SendError<M>> {
        let Some(handle) = self.to.runtime() else {
            // Nobody is there to wait for.
            let noop = &mut TaskContext::from_waker(std::task::Waker::noop());
            loop {
                if let Poll::Ready(sent) = Pin::new(&mut self).poll(noop) {
                    return sent;
                }
                // It waited for one that is about to end: that tells it in a moment.
                std::thread::yield_now();
            }
        };
        let scheduler = handle.shared().scheduler();
        assert!(
            !local::in_actor() && !scheduler.is_worker(),
            "`CastWait::blocking` on a worker thread would hold up its actors: await it instead"
        );
        if scheduler.is_simulated() {
            let _worker = StandIn::enter(handle.shared());
            return scheduler.block_on(self);
        }
        let sent = blocking::wait(scheduler, None, |waker| {
            match Pin::new(&mut self).poll(&mut TaskContext::from_waker(waker)) {
                Poll::Ready(sent) => Some(sent),
                Poll::Pending => None,
            }
        });
        match sent {
            Some(sent) => sent,
            None => unreachable!("there is no limit to the time"),
        }
    }
}

impl<M: Send + 'static> Future for CastWait<'_, M> {
    type Output = Result<(), SendError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let sent = match mem::replace(&mut this.state, State::Over) {
            State::Unsent(msg) => {
                // Who casts again and again gives way like any other.
                if poll_budget(cx).is_pending() {
                    this.state = State::Unsent(msg);
                    return Poll::Pending;
                }
                match this.to {
                    To::Actor(actor) => actor.send_or_wait(msg, cx.waker()),
                    To::Child(child) => child.send_or_wait(msg, cx.waker()),
                    To::Named(named) => named.send_or_wait(msg, cx.waker()),
                }
            }
            State::Waits(mut waits) => match waits.poll(cx) {
                Poll::Pending => Ok(Some(waits)),
                Poll::Ready(Ok(())) => Ok(None),
                Poll::Ready(Err(refused)) => Err(SendError(
                    refused,
                    match this.to {
                        To::Child(child) => child.refusal(),
                        To::Actor(_) | To::Named(_) => &SendFailure::NoProc,
                    },
                )),
            },
            // Polled after it was ready, it stays pending.
            State::Over => return Poll::Pending,
        };
        match sent {
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(waits)) => {
                this.state = State::Waits(waits);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

// The message is moved out, never pinned.
impl<M> Unpin for CastWait<'_, M> {}

impl<M> fmt::Debug for CastWait<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            To::Actor(actor) => write!(f, "CastWait(to {actor:?})"),
            To::Child(child) => write!(f, "CastWait(to {child:?})"),
            To::Named(named) => write!(f, "CastWait(to {named:?})"),
        }
    }
}

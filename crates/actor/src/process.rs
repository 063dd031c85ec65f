//! The process form: a process whose code is one future, the *body*, which receives its messages itself.
//!
//! A body is the frame of its cell from the first turn to the last ([`Life`]), and its process a plain one in
//! OTP's sense: no `init` that somebody waits for, no parent rule, no `terminate`, no state but what the future
//! holds. Everything else is as for any actor.
//!
//! # Receiving
//!
//! Messages stay in the owner's FIFO until the body takes them, those that a selective receive has refused as well:
//! order, length and disposal are those of any mailbox. A receive takes a node out, hands its message to who looks
//! for one, and puts both back if it is refused ([`Cursor::take_behind`]); it remembers where it stands, so that a
//! new message costs one look, however many were refused before.
//!
//! ```text
//!   a receive finds nothing     RECEIVING, Pending      the run drains: a message is there: POLL, polled again
//!   it has looked at so many    POLL, Pending           the run counts what was taken, and whether the turn is over
//!   a flag is up, or DOOMED     POLL, Pending           the run sees to it first
//! ```
//!
//! A suspended body whose FIFO has nothing but refused messages in it is not polled again before something is
//! added to that: by a drain (`Drained::messages`) or by a signal that became a message (`signal::append`). What
//! polls the receive may be a combinator with a waker of its own: that is in [`Ext::receiver`] meanwhile.
//!
//! `try_recv`, and a receive whose time is over, drain the inbox inside of the poll, signals included, and so see
//! all that was sent before. The signs that such a drain takes are handed on (POLL).
//!
//! # Why this is sound
//!
//! A [`Mailbox`] is a value that its body may move to another thread, to another process, or swap with another
//! one's, and so is a future that has borrowed it. It is the only one of its cell, and cannot be cloned.
//!
//! 1. It counts a reference: its cell is not freed, nor used for another process, while it exists.
//! 2. Whatever touches the owner's part through it ([`Context::own`](crate::Context), [`Mailbox::runs`]) first
//!    looks whether this thread now polls this very cell's frame ([`assert_runs`]), and panics if it does not. So
//!    the caller is the cell's owner, inside of its body.
//! 3. The run loop holds no reference to cursor, `Ext` or state while it polls a frame. So nor does anybody else
//!    but who was called through this mailbox; and that has it borrowed, uniquely if it writes, so that nothing
//!    that it calls (constructors of messages, destructors, the closure of a selective receive) comes back in by it.
//! 4. While signals are taken or a frame is dropped, code of the user's runs with the cell as the current one, but
//!    without a frame: it is refused.
//! 5. A receive's place is a node in the FIFO. It has the mailbox borrowed from one poll to the next, and while a
//!    body is suspended nothing but its receive takes a node out: the run appends only. (What a sender displaces, with
//!    an overflow policy that drops the oldest, is in no FIFO: [`ring`](crate::bound::ring).)
//!
//! What needs no ownership works from everywhere, as by an [`ActorRef`]: `me`, `pid`, `parent`, `runtime`, `exit`.
#![expect(unsafe_code, reason = "pins the body, and receives from the owner's part of the cell")]

mod mailbox;
mod receive;

pub use mailbox::Mailbox;

use std::{
    convert::Infallible,
    future::Future,
    marker::PhantomData,
    mem,
    pin::Pin,
    task::{Context as TaskContext, Poll, Waker},
};

use crate::{
    Actor, ActorRef, ChildKey, Context, ExitReason, SpawnOptions, StartInfo, StartReply,
    cell::{CellPtr, bit},
    contain::contain,
    ext::Ext,
    frame::{Inner, Outcome},
    local,
};

/// What an actor's type is: a server, or a process in the process form with the name of its body's type. Has no
/// name outside of the crate, so that no type of the user's can say that it is a process.
#[derive(Clone, Copy, Debug)]
#[expect(unnameable_types, reason = "see its text")]
pub struct Form(Option<fn() -> &'static str>);

impl Form {
    pub(crate) const SERVER: Form = Form(None);

    #[inline]
    pub(crate) const fn is_process(self) -> bool {
        self.0.is_some()
    }

    pub(crate) const fn name_of_body(self) -> Option<fn() -> &'static str> {
        self.0
    }
}

/// Panics unless this thread polls the frame of `cell`, which is allocated. See the module's text.
#[inline]
#[track_caller]
pub(crate) fn assert_runs(cell: CellPtr) {
    if local::current() != Some(cell) || local::frame().is_null() {
        used_elsewhere(cell);
    }
}

#[cold]
#[track_caller]
fn used_elsewhere(cell: CellPtr) -> ! {
    panic!("the mailbox of {} can be used by the running body of that process only", cell.pid())
}

/// The body begins.
pub(crate) fn started<M: 'static>(cell: CellPtr, ack: Option<StartReply<M>>) {
    if let Some(ack) = ack {
        ack.send(Ok(ActorRef::from_cell(cell.to_ref())));
    }
}

/// A drain has brought so many messages: has a body polled that waits for one. Called by the owner, with a suspended
/// frame. `POLL` may say that a signal has become a message.
pub(crate) fn attend_receiver(cell: CellPtr, messages: u32) {
    let header = cell.header();
    if !header.has(bit::RECEIVING) || (messages == 0 && !header.has(bit::POLL)) {
        return;
    }
    header.clear(bit::RECEIVING);
    header.set(bit::POLL);
    // SAFETY: the caller is the owner.
    let receiver = unsafe { Ext::get(cell) }.and_then(|ext| ext.receiver.take());
    // A waker is the user's code: its panic ends here, and no reference into the cell is alive.
    let _ = contain(|| receiver.map(Waker::wake));
}

/// What a process is spawned as. No value of it exists: its code is [`Life`].
pub(crate) struct Body<M, F, Fut> {
    never: Infallible,
    _types: PhantomData<fn(M, F, Fut)>,
}

impl<A: Actor> Context<A> {
    /// Starts a process in the process form that this one supervises, as [`spawn_child`](Self::spawn_child). It has no
    /// `init`: it has started when it begins.
    ///
    /// # Errors
    /// As for [`spawn_child`](Self::spawn_child).
    ///
    /// # Panics
    /// As for [`spawn_child`](Self::spawn_child).
    pub fn spawn_child_fn<M, F, Fut>(
        &mut self,
        f: F,
        options: SpawnOptions,
        info: Option<StartInfo>,
        ack: Option<StartReply<M>>,
    ) -> Option<(ChildKey, ActorRef<M>)>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.spawn_child::<Body<M, F, Fut>>(f, options, info, ack)
    }
}

impl<M, F, Fut> Actor for Body<M, F, Fut>
where
    M: Send + 'static,
    F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
{
    type Args = F;
    type Msg = M;

    const FORM: Form = Form(Some(std::any::type_name::<F>));

    /// The whole life of the process: never `Ok`.
    fn init(f: F, cx: &mut Context<Self>) -> impl Future<Output = Result<Self, ExitReason>> + Send {
        Life::New { f, mailbox: Mailbox::of(cx.cell()) }
    }

    async fn handle(&mut self, _: M, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match self.never {}
    }
}

/// A body, before its first poll and after. Ready with the reason that the process ends with.
enum Life<M: Send + 'static, F, Fut> {
    New {
        f: F,
        mailbox: Mailbox<M>,
    },
    Lives(Inner<Fut>),
    /// `f` has panicked.
    Over,
}

impl<M, F, Fut> Future for Life<M, F, Fut>
where
    M: Send + 'static,
    F: FnOnce(Mailbox<M>) -> Fut,
    Fut: Future<Output = Result<(), ExitReason>>,
{
    type Output = Result<Body<M, F, Fut>, ExitReason>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // SAFETY: of the variants `Lives` is pinned with `self`: it is made where it stays, and dropped there.
        let this = unsafe { self.get_unchecked_mut() };
        if let Life::New { .. } = this
            && let Life::New { f, mailbox } = mem::replace(this, Life::Over)
        {
            // In the frame's poll, so that `f` may use the mailbox.
            *this = Life::Lives(Inner::new(f(mailbox)));
        }
        let Life::Lives(body) = this else { return Poll::Pending };
        // SAFETY: as above.
        let body = unsafe { Pin::new_unchecked(body) };
        body.poll(cx).map(|ended| match ended {
            Ok(Ok(())) => Err(ExitReason::Normal),
            Ok(Err(reason)) | Err(reason) => Err(reason),
        })
    }
}

/// A [`Life`] as a frame's future.
pub(crate) fn outcome_of<A>(
    life: impl Future<Output = Result<A, ExitReason>>,
) -> impl Future<Output = Outcome> {
    OutcomeOf(life)
}

struct OutcomeOf<L>(L);

impl<A, L: Future<Output = Result<A, ExitReason>>> Future for OutcomeOf<L> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Outcome> {
        // SAFETY: the field is pinned with `self`: it is dropped where it is, and never moved.
        let life = unsafe { self.map_unchecked_mut(|of| &mut of.0) };
        life.poll(cx).map(|ended| ended.map(drop))
    }
}

/// The actor of a [`Mailbox`]'s context: a process that is sent `M`s. No value of it exists.
#[doc(hidden)]
#[derive(Debug)]
pub struct Process<M> {
    never: Infallible,
    _messages: PhantomData<fn(M)>,
}

impl<M: Send + 'static> Actor for Process<M> {
    /// So that none can be spawned.
    type Args = Infallible;
    type Msg = M;

    const FORM: Form = Form(Some(std::any::type_name::<Self>));

    async fn init(never: Infallible, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        match never {}
    }

    async fn handle(&mut self, _: M, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match self.never {}
    }
}

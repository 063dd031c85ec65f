//! The answering side of a call.
#![expect(unsafe_code, reason = "writes the value into the call's node")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{fmt, marker::PhantomData, ptr::NonNull};

use crate::{
    Pid,
    call::{self, Answer, CallNode},
};

/// Answers one call, once, from anywhere: the handler that got it, a later one, another thread.
///
/// Dropped unanswered it tells its caller so: with the exit reason if the process that had it ended (by an
/// error, a panic, a kill, or with the request still unread), else with
/// [`CallError::NoReply`](crate::CallError::NoReply). At once; or, dropped by a handler, as soon as that ends or
/// awaits, since only then it is known which of the two it is.
///
/// # Differences from OTP
/// Who holds the `Reply` answers. In OTP a call fails when the called process dies, even if another
/// one could still answer.
#[must_use = "a reply that is dropped tells its caller that there is none"]
pub struct Reply<T> {
    node: NonNull<CallNode>,
    _value: PhantomData<fn(T)>,
}

// SAFETY: it owns one side of the node, whose word orders the two sides; it carries a `T` to the
// caller's thread.
unsafe impl<T: Send> Send for Reply<T> {}
// SAFETY: a shared reference can only look at the word.
unsafe impl<T: Send> Sync for Reply<T> {}

impl<T> Reply<T> {
    /// # Safety
    /// `node` is a fresh call's node with room for a `T`, and this is its only `Reply`.
    pub(crate) unsafe fn new(node: NonNull<CallNode>) -> Self {
        Reply { node, _value: PhantomData }
    }
}

impl<T: Send + 'static> Reply<T> {
    /// Answers. If nobody waits any more, the value is dropped.
    pub fn send(self, value: T) {
        let node = self.node;
        std::mem::forget(self);
        // SAFETY: this was the node's `Reply`; the value is written before the word is completed.
        unsafe {
            call::value_ptr::<T>(node).write(value);
        }
        // SAFETY: the one answer.
        unsafe { call::complete::<T>(node, Answer::Value, None) };
    }

    /// Answers if the caller still waits.
    ///
    /// # Errors
    /// The value, back, if the caller has given up. A caller that gives up at this very moment may
    /// still be missed.
    pub fn try_send(self, value: T) -> Result<(), T> {
        if self.is_awaited() {
            self.send(value);
            Ok(())
        } else {
            Err(value)
        }
    }

    /// The process that made the call, or to which it was given before its first poll. `None`: it was made outside of
    /// any process, or was given up.
    ///
    /// It may have ended since; and who awaits the call now may be somebody else. Also `None` in the very moment in which
    /// the caller is polled again by another executor or combinator than before. Costs a read-modify-write.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Pid, Reply, Runtime};
    /// struct Mirror;
    /// struct Who(Reply<Option<Pid>>);
    ///
    /// impl Actor for Mirror {
    ///     type Args = ();
    ///     type Msg = Who;
    ///     async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Mirror) }
    ///     async fn handle(&mut self, Who(reply): Who, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         let caller = reply.caller();
    ///         reply.send(caller);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let mirror = rt.start::<Mirror>(()).await?;
    ///     assert_eq!(mirror.call(Who).await?, None, "asked from outside");
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn caller(&self) -> Option<Pid> {
        // SAFETY: this is the node's answering side, and has not answered.
        unsafe { call::awaited_by(self.node) }.flatten()
    }

    /// Says that others than the handler that got this reply may answer: handed on, it may be answered while that
    /// handler waits.
    ///
    /// To be called by a handler that hands the reply on (sends it to another process, to a thread) and awaits a call of
    /// its own afterwards. If that call comes back to who waits for this reply, nobody is told of a deadlock
    /// ([`CallError::Deadlock`](crate::CallError::Deadlock)): the handler could not answer, but another may. It needs no
    /// call where the reply is kept for a later message: there are no false alarms after the handler.
    ///
    /// ```
    /// use whitebeam_actor::{Actor, ActorRef, Context, ExitReason, Reply, Runtime};
    ///
    /// struct Front { back: ActorRef<Reply<u32>>, log: ActorRef<Reply<()>> }
    ///
    /// impl Actor for Front {
    ///     type Args = (ActorRef<Reply<u32>>, ActorRef<Reply<()>>);
    ///     type Msg = Reply<u32>;
    ///     async fn init((back, log): Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         Ok(Front { back, log })
    ///     }
    ///     async fn handle(&mut self, reply: Reply<u32>, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         self.back.cast(reply.defer())?;
    ///         self.log.call(|done| done).await?;
    ///         Ok(())
    ///     }
    /// }
    /// # struct Answers<T>(T);
    /// # impl<T: Copy + Send + Sync + 'static> Actor for Answers<T> {
    /// #     type Args = T;
    /// #     type Msg = Reply<T>;
    /// #     async fn init(with: T, _cx: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Answers(with)) }
    /// #     async fn handle(&mut self, reply: Reply<T>, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         reply.send(self.0);
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let rt = Runtime::builder().workers(1).build()?;
    /// # rt.block_on(async {
    /// # let back = rt.start::<Answers<u32>>(42).await?;
    /// # let log = rt.start::<Answers<()>>(()).await?;
    /// # let front = rt.start::<Front>((back, log)).await?;
    /// assert_eq!(front.call(|reply| reply).await?, 42);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn defer(self) -> Self {
        call::defer(self.node);
        self
    }

    /// Whether the caller still waits.
    pub fn is_awaited(&self) -> bool {
        call::is_awaited(self.node)
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        call::unanswered(self.node);
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply(..)")
    }
}

//! What a body is given.

use std::{
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    time::Duration,
};

use super::{
    Process, assert_runs,
    receive::{Receive, ReceiveWithin, receive_now},
};
use crate::{Context, cell::CellPtr, context::Place};

/// The mailbox of a process in the process form, and by [`Deref`] its [`Context`]: it monitors, links, traps exits,
/// sets timers and so on as any actor does.
///
/// Made by [`Handle::spawn_fn`](crate::Handle::spawn_fn). The process is a plain one: its body, one future, runs
/// until it is ready, and receives its messages itself, in their order or by choice. For a server that handles
/// whatever comes write an [`Actor`](crate::Actor); this form is for protocols, where what is expected depends on
/// how far one is.
///
/// ```
/// use std::time::Duration;
/// use whitebeam_actor::{Mailbox, Reply, Runtime};
///
/// enum Net { Send(&'static str, Reply<u32>), Ack(u32) }
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let sender = rt.spawn_fn(|mut net: Mailbox<Net>| async move {
///         loop {
///             let (_data, reply) = net.recv_match(|message| match message {
///                 Net::Send(data, reply) => Ok((data, reply)),
///                 ack => Err(ack),
///             }).await;
///             // Other requests wait meanwhile, where they are.
///             let ack = net.recv_match_timeout(Duration::from_secs(1), |message| match message {
///                 Net::Ack(number) => Ok(number),
///                 other => Err(other),
///             }).await;
///             reply.send(ack.ok_or(std::fmt::Error)?);
///         }
///     });
///     let first = sender.call(|reply| Net::Send("a", reply)).owned();
///     let second = sender.call(|reply| Net::Send("b", reply)).owned();
///     let both = async { futures_util::future::join(first.into_future(), second.into_future()).await };
///     sender.cast(Net::Ack(1))?;
///     sender.cast(Net::Ack(2))?;
///     let (first, second) = both.await;
///     assert_eq!((first?, second?), (1, 2));
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # use std::future::IntoFuture as _;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # How it ends
///
/// | what | the process ends with |
/// | --- | --- |
/// | the body is ready with `Ok(())`, `Err(reason)` | `Normal`, the reason |
/// | the body panics | the panic |
/// | an exit signal that is not trapped, [`Context::stop`], [`Handle::stop`](crate::Handle::stop) | its reason: the body is dropped at its await |
/// | a kill | `Killed`, in the same way |
///
/// While exits are trapped, every exit signal but a kill becomes a message, the parent's as well, and so does its or
/// the runtime's shutdown: the body should end then, since it is killed when its time is over. What was not received
/// goes the way of every mailbox: requests are answered with the exit reason.
///
/// # Receiving
///
/// Exit signals act, and kills, ahead of the messages that wait. A future of a receive may be dropped at any time
/// and nothing is lost, so that it can be raced with others; what it has refused is where it was. A body that always
/// finds messages gives way to others now and then: a receive may be pending once although there is one.
///
/// A receive by choice looks at each message once; begun anew it begins with the oldest.
///
/// # Where it can be used
///
/// In the body of its process only, while that runs. To keep it somewhere else is no error, but to use it there is
/// (but for what an address can do as well: `me`, `pid`, `parent`, `runtime`, `exit`).
///
/// # Panics
///
/// All that is said to be used in the body only, elsewhere: on another thread, in another process or task, in a
/// destructor that runs when the process was killed.
///
/// # Differences from OTP
///
/// A process in this form supervises no children ([`Context::supervise`] panics). [`ExitReason::Ignore`] is a reason
/// like any other that is not orderly: there is no `init`.
///
/// [`ExitReason::Ignore`]: crate::ExitReason::Ignore
pub struct Mailbox<M: Send + 'static> {
    /// With a reference to the cell, which is released when this is dropped.
    place: Place<Process<M>>,
    /// Messages looked at since a receive was last pending.
    pub(super) looked: u32,
    /// Receives give way where the simulation's chooser says so.
    pub(super) is_simulated: bool,
}

impl<M: Send + 'static> Mailbox<M> {
    /// Made once for each process, by its life.
    pub(super) fn of(cell: CellPtr) -> Self {
        let is_simulated = cell.shared().scheduler().is_simulated();
        Mailbox { place: Place::new(cell.to_ref().into_ptr()), looked: 0, is_simulated }
    }

    /// The cell, which the caller owns: its body runs.
    #[inline]
    #[track_caller]
    pub(super) fn runs(&self) -> CellPtr {
        let cell = self.place.cell();
        assert_runs(cell);
        cell
    }

    /// The next message, in order of arrival.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has taken nothing.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = M> + Send + Unpin + use<'_, M> {
        Receive::new(self, Ok)
    }

    /// The next message, or `None` if there is none within `limit`, which is counted from the first poll on. Never
    /// `None` while there is one: with a limit of zero it sees all that has been sent before.
    ///
    /// # Cancel safety
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(
        &mut self,
        limit: Duration,
    ) -> impl Future<Output = Option<M>> + Send + Unpin + use<'_, M> {
        ReceiveWithin::new(self, Ok, limit)
    }

    /// The first message that `f` takes, by an `Ok` of what it wants of it. `Err` gives a message back, which stays
    /// where it was, for a later receive.
    ///
    /// A message is shown to `f` once. One that `f` panics with is gone.
    ///
    /// # Cancel safety
    /// As [`recv`](Self::recv).
    pub fn recv_match<T: Send>(
        &mut self,
        f: impl FnMut(M) -> Result<T, M> + Send,
    ) -> impl Future<Output = T> + Send {
        Receive::new(self, f)
    }

    /// As [`recv_match`](Self::recv_match), or `None` if no such message comes within `limit`, counted from the first
    /// poll on. All that is there is looked at in any case.
    ///
    /// # Cancel safety
    /// As [`recv`](Self::recv).
    pub fn recv_match_timeout<T: Send>(
        &mut self,
        limit: Duration,
        f: impl FnMut(M) -> Result<T, M> + Send,
    ) -> impl Future<Output = Option<T>> + Send {
        ReceiveWithin::new(self, f, limit)
    }

    /// The next message if there is one: all that has been sent before is seen. `None` also if the process is about
    /// to end. Does not give way to others, who may have to send first: a loop over this alone never ends.
    pub fn try_recv(&mut self) -> Option<M> {
        receive_now(self)
    }
}

impl<M: Send + 'static> Deref for Mailbox<M> {
    type Target = Context<Process<M>>;

    fn deref(&self) -> &Context<Process<M>> {
        self.place.show()
    }
}

impl<M: Send + 'static> DerefMut for Mailbox<M> {
    fn deref_mut(&mut self) -> &mut Context<Process<M>> {
        self.place.lend()
    }
}

impl<M: Send + 'static> Drop for Mailbox<M> {
    fn drop(&mut self) {
        self.place.cell().release();
    }
}

impl<M: Send + 'static> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({})", self.place.cell().pid())
    }
}

//! A call as its caller sees it.

mod address;
mod timer;

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use whitebeam_scheduler::poll_budget;

use address::{Address, ChildSlot};
use timer::{Rare, Timer};

use crate::{
    CallError, Reply, SendFailure, blocking,
    bound::Queued,
    call::{self, Waiting},
    cell::{CellPtr, CellRef},
    child_ref::Slot,
    deadlock::{self, Leaf, Probe},
    lane,
    local::{self, StandIn},
    named::Place,
    narrow::Via,
    simulate::WaitOver,
    timeouts::NEVER,
};

/// How long a call waits for its reply unless it says otherwise, as in OTP.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A call that is not yet sent: its request is built, and goes out when it is first polled.
///
/// Await it on any executor, or end it with [`blocking`](Self::blocking) on a plain thread. Dropped
/// before its reply came it is forgotten: neither reply nor error of it can be seen later. It may be
/// moved between polls, to another actor or executor.
///
/// | error | when |
/// | --- | --- |
/// | `NoProc` | the process had ended |
/// | `Exit(reason)` | it ended before it answered; told at once |
/// | `NoReply` | it dropped the reply and lives on |
/// | `Timeout` | no answer within 5 s, or the time given |
/// | `Full` | its mailbox is [bounded](crate::SpawnOptions::bounded) and full, or has dropped the request |
/// | `WrongMessage` | by a name: its process takes messages of another type |
/// | `Deadlock(path)` | it waits for the caller, itself or over others; told as soon as it is found out |
///
/// # Calls in a circle
///
/// A handler that awaits a call handles nothing else. Processes that so wait for each other, for nothing but the
/// answer and with the default timeout, a longer one or none, are told after some 10 to 20 ms: one of the calls
/// fails with `Deadlock`, whose path names all of them. So does, instead of its kill, the call of a process that
/// ends to an ancestor that waits for its end. A call of a process to itself fails at once, whatever its timeout.
///
/// There are no false alarms, but for who hands a [`Reply`] on to others, awaits a call of its own in the same handler,
/// and has not said so by [`Reply::defer`]. Calls that are awaited together with something else (`select`, `join`)
/// or have a shorter timeout are left to it.
#[must_use = "a call does nothing until it is awaited (or ended with `.blocking()`)"]
pub struct Call<'a, M, T> {
    future: CallFuture<'a, M, T>,
}

/// The future of a [`Call`].
#[must_use = "a call does nothing until it is awaited (or ended with `.blocking()`)"]
pub struct CallFuture<'a, M, T> {
    // First, so that it is dropped first: a request leaves the queue before its node may be gone.
    timer: Timer,
    waiting: Waiting<T>,
    to: Address<'a>,
    /// [`NEVER`]: as long as it takes.
    timeout_ns: u64,
    _request: PhantomData<fn(M)>,
}

#[inline]
pub(crate) fn call<'a, M: Send + 'static, T: Send + 'static>(
    to: &'a CellRef,
    via: Option<&Via<M>>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Call<'a, M, T> {
    prepare(Address::Borrowed(to.ptr(), PhantomData), via, f)
}

/// A call to the incarnation of a child that is in force.
#[inline]
pub(crate) fn call_child<'a, M: Send + 'static, T: Send + 'static>(
    incarnation: CellRef,
    slot: &'a Arc<Slot>,
    via: Option<&Via<M>>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Call<'a, M, T> {
    prepare(Address::Child(incarnation, ChildSlot::Borrowed(slot)), via, f)
}

/// A call to a child that has no incarnation now.
#[cold]
pub(crate) fn call_nobody<'a, M: Send + 'static, T: Send + 'static>(
    why: SendFailure,
    f: impl FnOnce(Reply<T>) -> M,
) -> Call<'a, M, T> {
    prepare(Address::Nobody(why), None, f)
}

/// A call to whoever has a name when the request is sent.
pub(crate) fn call_named<M: Send + 'static, T: Send + 'static>(
    place: Arc<Place>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Call<'static, M, T> {
    prepare(Address::Named(place), None, f)
}

/// A call to the priority lane of a process.
pub(crate) fn call_urgent<M: Send + 'static, T: Send + 'static>(
    to: CellRef,
    via: Option<&Via<M>>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Call<'static, M, T> {
    Call {
        future: CallFuture {
            waiting: call::waiting_urgent::<M, T>(via, f),
            to: Address::Urgent(to),
            timeout_ns: const { CALL_TIMEOUT.as_nanos() as u64 },
            timer: Timer::None,
            _request: PhantomData,
        },
    }
}

#[inline]
fn prepare<'a, M: Send + 'static, T: Send + 'static>(
    to: Address<'a>,
    via: Option<&Via<M>>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Call<'a, M, T> {
    Call {
        future: CallFuture {
            waiting: call::waiting_via::<M, T>(via, f),
            to,
            timeout_ns: const { CALL_TIMEOUT.as_nanos() as u64 },
            timer: Timer::None,
            _request: PhantomData,
        },
    }
}

impl<'a, M, T> Call<'a, M, T> {
    /// Waits at most `time` for the reply, from the first poll on. Never less; a timeout of 250 ms and
    /// more may come up to 8 ms late, and is counted anew, once, when the call is moved to another handler or
    /// executor while it waits.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.future.timeout_ns = u64::try_from(time.as_nanos()).unwrap_or(NEVER);
        self
    }

    /// Waits as long as it takes.
    pub fn no_timeout(mut self) -> Self {
        self.future.timeout_ns = NEVER;
        self
    }

    /// Waits for room if the mailbox is [bounded](crate::SpawnOptions::bounded) and full, within the call's timeout.
    ///
    /// The request waits behind those that came before, first come first served, and comes in when it is its turn. If
    /// time is over by then, it is taken back: [`CallError::Timeout`] with `accepted: false`. So it is when the call is
    /// dropped. If the process ends meanwhile, the answer is its exit reason, at once.
    ///
    /// ```
    /// use std::{future::IntoFuture, time::Duration};
    /// use whitebeam_actor::{CallError, Mailbox, Overflow, Reply, Runtime, SpawnOptions};
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let handle = rt.handle();
    ///     let one = SpawnOptions::new().bounded(1, Overflow::Reject);
    ///     let echo = rt.with(one).spawn_fn(|mut mailbox: Mailbox<Reply<u32>>| async move {
    ///         handle.sleep(Duration::from_millis(10)).await;
    ///         for number in 1.. {
    ///             mailbox.recv().await.send(number);
    ///         }
    ///         Ok(())
    ///     });
    ///     let first = echo.call(|reply| reply);
    ///     let waits = echo.call(|reply| reply).wait_for_room();
    ///     let is_late = echo.call(|reply| reply).wait_for_room().timeout(Duration::from_millis(1));
    ///     let (first, waits, is_late) =
    ///         futures_util::join!(first.into_future(), waits.into_future(), is_late.into_future());
    ///     assert_eq!((first?, waits?), (1, 2));
    ///     assert!(matches!(is_late, Err(CallError::Timeout { accepted: false })));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_room(mut self) -> Self {
        self.future.timer = Timer::rare(Rare::Patient);
        self
    }

    /// Sends the request now, not when the call is first awaited: it is handled also if the future is dropped before,
    /// unless it [waits for room](Self::wait_for_room) then. For who writes supervisors: as
    /// [`ChildRef::ask`](crate::ChildRef::ask), but told of a circle. That one calls itself is told like any other circle,
    /// when it is awaited.
    ///
    /// # Errors
    /// Those of a request that nobody takes: `NoProc`, `Restarting`, `Full`, `WrongMessage`.
    pub fn sent(self) -> Result<CallFuture<'a, M, T>, CallError> {
        let mut future = self.future;
        let (is_urgent, waits) = (future.to.is_urgent(), future.timer.is_patient());
        let Some(cell) = future.to.cell().or_else(|| future.to.look_up()) else {
            return Err(future.to.refusal::<M>());
        };
        future.timer = Timer::rare(Rare::Unpolled);
        if !future.waiting.try_send(cell) {
            match future.waiting.send_bounded(cell, waits) {
                Ok(Some(queued)) => {
                    let timer = std::mem::replace(&mut future.timer, Timer::None);
                    future.timer = Timer::rare(Rare::InLine(queued, timer));
                }
                Ok(None) => {}
                Err(unsent) => return Err(future.to.not_sent::<M>(unsent)),
            }
        }
        if is_urgent {
            lane::announce(cell);
        }
        Ok(future)
    }

    /// The same call with an address of its own: it may outlive the reference it was made with. Costs
    /// one counter.
    pub fn owned(self) -> Call<'static, M, T> {
        let CallFuture { waiting, to, timeout_ns, timer, _request } = self.future;
        let to = match to {
            Address::Borrowed(cell, _) => Address::Owned(cell.to_ref()),
            Address::Owned(cell) => Address::Owned(cell),
            Address::Child(cell, ChildSlot::Borrowed(slot)) => {
                Address::Child(cell, ChildSlot::Owned(slot.clone()))
            }
            Address::Child(cell, ChildSlot::Owned(slot)) => {
                Address::Child(cell, ChildSlot::Owned(slot))
            }
            Address::Nobody(why) => Address::Nobody(why),
            Address::Named(place) => Address::Named(place),
            Address::Urgent(cell) => Address::Urgent(cell),
        };
        Call { future: CallFuture { waiting, to, timeout_ns, timer, _request } }
    }

    /// Sends the request and waits for the reply on this thread.
    ///
    /// # Errors
    /// As for awaiting it.
    ///
    /// # Panics
    /// On a worker thread: it would hold up every actor that the worker has. Await the call there.
    pub fn blocking(mut self) -> Result<T, CallError> {
        let is_urgent = self.future.to.is_urgent();
        let Some(cell) = self.future.to.cell().or_else(|| self.future.to.look_up()) else {
            return Err(self.future.to.refusal::<M>());
        };
        let scheduler = cell.shared().scheduler();
        assert!(
            !local::in_actor() && !scheduler.is_worker(),
            "`Call::blocking` on a worker thread would hold up its actors: await the call instead"
        );
        if scheduler.is_simulated() {
            // The call may have the last reference to what keeps all of this.
            let shared = cell.shared().arc();
            let _worker = StandIn::enter(&shared);
            if is_urgent {
                self.future.to = Address::Urgent(cell.to_ref());
            }
            return shared.scheduler().block_on(self.into_future());
        }
        let CallFuture { timer, mut waiting, to, timeout_ns, .. } = self.future;
        let waits = timer.is_patient();
        // Behind `waiting`, and so dropped before it.
        let mut queued = None;
        let timeout = (timeout_ns != NEVER).then(|| Duration::from_nanos(timeout_ns));
        let answer = blocking::wait(scheduler, timeout, |waker| {
            if waiting.is_unsent() && !waiting.register(waker) {
                if !waiting.try_send(cell) {
                    match waiting.send_bounded(cell, waits) {
                        Ok(in_line) => queued = in_line,
                        Err(unsent) => {
                            waiting.abandon();
                            return Some(Err(to.not_sent::<M>(unsent)));
                        }
                    }
                }
                if is_urgent {
                    lane::announce(cell);
                }
            }
            waiting.is_replied().then(|| {
                drop(queued.take());
                waiting.finish()
            })
        });
        answer.unwrap_or_else(|| {
            let was_in_line = queued.is_some_and(Queued::leave);
            Err(CallError::Timeout { accepted: !was_in_line })
        })
    }
}

impl<'a, M, T> IntoFuture for Call<'a, M, T> {
    type Output = Result<T, CallError>;
    type IntoFuture = CallFuture<'a, M, T>;

    fn into_future(self) -> CallFuture<'a, M, T> {
        self.future
    }
}

// The reply is moved out of the node, never pinned in it; the timer is pinned where it is polled.
impl<M, T> Unpin for CallFuture<'_, M, T> {}

impl<M, T> CallFuture<'_, M, T> {
    #[inline]
    fn start(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<T, CallError>> {
        let Some(cell) = self.to.cell() else { return self.start_elsewhere(cx) };
        if self.waiting.register(cx.waker()) {
            // Answered before it was sent: the closure gave the reply away.
            return Poll::Ready(self.waiting.finish());
        }
        // A body may receive its own call meanwhile.
        if self.waiting.is_armed_for(cell) && !cell.vt().is_process {
            // The handler that would have to be done first is the one that waits.
            ready!(poll_budget(cx));
            self.waiting.abandon();
            return Poll::Ready(Err(deadlock::calling_itself(cell)));
        }
        if !self.waiting.try_send(cell) {
            return self.start_bounded(cell, cx);
        }
        self.set_timer(cx);
        Poll::Pending
    }

    /// Nobody takes the request. Who tries again and again gives way like any other: the call is pending first.
    #[cold]
    fn refused(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<T, CallError>> {
        if poll_budget(cx).is_pending() {
            self.to = Address::Nobody(*self.to.why());
            return Poll::Pending;
        }
        self.waiting.abandon();
        Poll::Ready(Err(self.to.refusal::<M>()))
    }

    /// As [`start`](Self::start), where the address is to be looked at first.
    #[cold]
    #[inline(never)]
    fn start_elsewhere(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<T, CallError>> {
        let is_urgent = self.to.is_urgent();
        let Some(cell) = self.to.look_up() else {
            return self.refused(cx);
        };
        let polled = self.start(cx);
        // Refused, it is pending to give way, and the cell may be gone.
        if is_urgent && polled.is_pending() && !self.waiting.is_unsent() {
            lane::announce(cell);
        }
        polled
    }

    /// The request was not sent: the mailbox is bounded, or the process has ended.
    #[cold]
    fn start_bounded(
        &mut self,
        cell: CellPtr,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<T, CallError>> {
        // Who tries again and again gives way like any other.
        ready!(poll_budget(cx));
        let waits = self.timer.is_patient();
        match self.waiting.send_bounded(cell, waits) {
            Ok(queued) => {
                self.set_timer(cx);
                if let Some(queued) = queued {
                    let timer = std::mem::replace(&mut self.timer, Timer::None);
                    self.timer = Timer::rare(Rare::InLine(queued, timer));
                }
                Poll::Pending
            }
            Err(unsent) => {
                self.waiting.abandon();
                Poll::Ready(Err(self.to.not_sent::<M>(unsent)))
            }
        }
    }

    /// The frame is polled by a probe. `None`: it is not yet clear where this call is awaited.
    #[cold]
    fn probed(&mut self, probe: &Probe) -> Option<Poll<Result<T, CallError>>> {
        let to = self.to.cell()?;
        if !self.waiting.is_armed_for(probe.cell()) || self.timer.is_unpolled() {
            return None;
        }
        let node = self.waiting.node().addr().get();
        if let Some(path) = probe.verdict(node) {
            self.settle_timer(WaitOver::GivenUp);
            self.waiting.abandon();
            return Some(Poll::Ready(Err(CallError::Deadlock(path))));
        }
        if !self.is_long() || self.waiting.is_deferred() {
            probe.other();
        } else {
            let shared = probe.cell().shared();
            let number = self.waiting.number(|| shared.next_watch() as u32);
            let is_taken = self.waiting.is_taken();
            probe.leaf(Leaf::Call { to: to.to_ref(), node, is_taken, number });
        }
        Some(Poll::Pending)
    }
}

impl<M, T> Future for CallFuture<'_, M, T> {
    type Output = Result<T, CallError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.waiting.is_done() {
            // Polled after it was ready.
            return Poll::Ready(Err(CallError::NoReply));
        }
        if this.waiting.is_unsent() {
            return this.start(cx);
        }
        if this.waiting.is_replied() {
            if this.gives_way(cx) {
                return Poll::Pending;
            }
            this.settle_timer(WaitOver::Served);
            return Poll::Ready(this.waiting.finish());
        }
        if let Some(probe) = Probe::of(cx.waker())
            && let Some(polled) = this.probed(probe)
        {
            return polled;
        }
        if this.is_late(cx) {
            let accepted = this.is_accepted();
            this.settle_timer(WaitOver::TimedOut);
            this.waiting.abandon();
            return Poll::Ready(Err(CallError::Timeout { accepted }));
        }
        if this.waiting.register(cx.waker()) {
            this.settle_timer(WaitOver::Served);
            return Poll::Ready(this.waiting.finish());
        }
        this.wait_on(cx);
        Poll::Pending
    }
}

impl<M, T> fmt::Debug for Call<'_, M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call(to {:?})", self.future.to)
    }
}

impl<M, T> fmt::Debug for CallFuture<'_, M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallFuture(to {:?})", self.to)
    }
}

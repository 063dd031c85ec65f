//! One value for who waits, without a request: a [`Reply`] and the future of its value.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use whitebeam_scheduler::poll_budget;

use crate::{
    CallError, Reply,
    call::{self, Waiting},
    cell::{CellPtr, CellRef},
    shared::Shared,
    simulate,
};

/// The future of a [`Reply`] that is already on its way.
#[must_use = "a future does nothing until it is awaited"]
pub struct Answered<T> {
    /// `None`: it was ready.
    waiting: Option<Waiting<T>>,
    /// It was ready once, and others were let run first: in a simulation only.
    gave_way: bool,
    /// It was pending: what is awaited one after another and never is comes out of the turn's budget.
    was_pending: bool,
    /// A process of the runtime whose clock a time limit goes by, where who waits is none itself.
    clock: Option<CellRef>,
}

/// Makes a reply and the future of its value.
pub fn oneshot<T: Send + 'static>() -> (Reply<T>, Answered<T>) {
    let mut kept = None;
    let mut waiting = call::waiting::<(), T>(|reply| kept = Some(reply));
    waiting.mark_sent();
    match kept {
        Some(reply) => (reply, Answered::to(waiting, None)),
        None => unreachable!("`make` calls its closure"),
    }
}

impl<T> Answered<T> {
    /// The value that a request was sent for.
    pub(crate) fn to(sent: Waiting<T>, clock: Option<CellRef>) -> Self {
        Answered { waiting: Some(sent), gave_way: false, was_pending: false, clock }
    }

    /// The runtime whose clock a time limit goes by. `None`: the answer is there, or no runtime is known.
    pub(crate) fn runtime(&mut self) -> Option<Arc<Shared>> {
        match &self.clock {
            Some(cell) => Some(cell.ptr().shared().arc()),
            None => self.waiting.as_mut()?.runtime(),
        }
    }
}

impl<T> Answered<T> {
    /// Whether the value, or the reason why there is none, has come and was not taken: awaiting it gives it then, at
    /// once but for others who are let run first.
    ///
    /// ```
    /// let (reply, answer) = whitebeam_actor::oneshot();
    /// assert!(!answer.is_ready());
    /// reply.send(1);
    /// assert!(answer.is_ready());
    /// assert!(matches!(answer.take_ready(), Ok(Ok(1))));
    /// ```
    pub fn is_ready(&self) -> bool {
        self.waiting.as_ref().is_some_and(Waiting::is_replied)
    }

    /// The value if it [is there](Self::is_ready), without waiting.
    ///
    /// # Errors
    /// This, back, if it is not.
    pub fn take_ready(mut self) -> Result<Result<T, CallError>, Self> {
        match &mut self.waiting {
            Some(waiting) if waiting.is_replied() => {
                let result = waiting.finish();
                self.waiting = None;
                Ok(result)
            }
            _ => Err(self),
        }
    }

    /// Whether the value may still come, and nothing but the frame of `cell` is woken by it.
    pub(crate) fn is_awaited_by(&self, cell: CellPtr) -> bool {
        self.waiting.as_ref().is_some_and(|it| !it.is_replied() && it.is_armed_for(cell))
    }
}

impl<T> Future for Answered<T> {
    type Output = Result<T, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(waiting) = &mut this.waiting else {
            return Poll::Ready(Err(CallError::NoReply));
        };
        if !waiting.is_replied() && !waiting.register(cx.waker()) {
            this.was_pending = true;
            return Poll::Pending;
        }
        if !this.was_pending {
            ready!(poll_budget(cx));
            this.was_pending = true;
        }
        if !this.gave_way && simulate::gives_way(cx) {
            this.gave_way = true;
            return Poll::Pending;
        }
        let result = waiting.finish();
        this.waiting = None;
        Poll::Ready(result)
    }
}

impl<T> fmt::Debug for Answered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answered(..)")
    }
}

// The value is moved out of the node, never pinned in it.
impl<T> Unpin for Answered<T> {}

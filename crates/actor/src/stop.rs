//! Stopping a process from outside, in order.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use whitebeam_scheduler::Sleep;

use crate::{
    DownFuture, ExitReason, Pid, StopError,
    cell::flag,
    local,
    shared::Shared,
    signal::{self, Signal},
};

/// The end of a process that was asked to stop: [`Handle::stop`](crate::Handle::stop).
///
/// The request is on its way already: dropping this does not take it back.
#[must_use = "a stop that is not awaited says nothing of how it came out"]
pub struct Stopping {
    reason: ExitReason,
    /// `Err`: nobody was asked.
    down: Result<DownFuture, StopError>,
    limit: Option<Sleep>,
    shared: crate::runtime::Handle,
}

impl Stopping {
    pub(crate) fn new(
        handle: crate::runtime::Handle,
        pid: Option<Pid>,
        reason: ExitReason,
    ) -> Self {
        let down = Self::ask(handle.shared(), pid, &reason);
        Stopping { reason, down, limit: None, shared: handle }
    }

    fn ask(
        shared: &Shared,
        pid: Option<Pid>,
        reason: &ExitReason,
    ) -> Result<DownFuture, StopError> {
        let cell = pid.and_then(|pid| shared.resolve(pid)).ok_or(StopError::NoProc)?;
        if local::current() == Some(cell.ptr()) {
            return Err(StopError::Itself);
        }
        // Watched first, so that its end is not missed.
        let down = DownFuture::new(shared, cell.ptr().pid());
        match signal::send(cell.ptr(), Signal::Stop { reason: reason.clone() }) {
            Ok(()) => {
                // It acts before the next message.
                cell.ptr().raise(flag::SIGNAL);
                Ok(down)
            }
            Err(_) => Err(StopError::NoProc),
        }
    }

    /// Waits no longer than this, from now on. There is no limit unless one is given.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(self.shared.sleep(limit));
        self
    }
}

impl Future for Stopping {
    type Output = Result<(), StopError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let down = match &mut self.down {
            Ok(down) => Pin::new(down).poll(cx),
            Err(error) => return Poll::Ready(Err(error.clone())),
        };
        if let Poll::Ready(down) = down {
            let as_asked = down.reason.is_same(&self.reason);
            return Poll::Ready(if as_asked { Ok(()) } else { Err(StopError::Exit(down.reason)) });
        }
        match self.limit.as_mut().map(|limit| Pin::new(limit).poll(cx)) {
            Some(Poll::Ready(_)) => Poll::Ready(Err(StopError::Timeout)),
            _ => Poll::Pending,
        }
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stopping({:?})", self.reason)
    }
}

//! Stopping a process from outside, in order.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use whitebeam_scheduler::{Sleep, poll_budget};

use crate::{
    DownFuture, ExitReason, Pid, StopError,
    cell::{CellRef, flag},
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
        target: Option<CellRef>,
        reason: ExitReason,
    ) -> Self {
        let down = Self::ask(handle.shared(), target, &reason);
        Stopping { reason, down, limit: None, shared: handle }
    }

    fn ask(
        shared: &Shared,
        target: Option<CellRef>,
        reason: &ExitReason,
    ) -> Result<DownFuture, StopError> {
        let cell = target.ok_or(StopError::NoProc)?;
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
            Err(error) => return poll_budget(cx).map(|()| Err(error.clone())),
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

/// The end of a process that was asked to stop and is killed if it takes too long:
/// [`Handle::stop_or_kill`](crate::Handle::stop_or_kill).
///
/// # Cancel safety
/// The request is on its way already. Dropped, this kills nobody any more; to be sure of that, let a task of its
/// own wait: `rt.spawn_task(rt.stop_or_kill(..))`.
#[must_use = "a process is killed by this only while it is awaited"]
pub struct StopOrKill {
    stopping: Stopping,
    pid: Option<Pid>,
    limit: Sleep,
    /// The time was over, and it was killed.
    killed: bool,
}

/// How a process ended that was asked to stop: the outcome of
/// [`Handle::stop_or_kill`](crate::Handle::stop_or_kill).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StopOutcome {
    /// With the reason that it was asked to.
    Stopped,
    /// With another reason, by itself or by somebody else.
    Ended(ExitReason),
    /// It had not ended in time, and was killed.
    Killed,
}

impl StopOrKill {
    pub(crate) fn new(
        handle: crate::runtime::Handle,
        target: Option<CellRef>,
        reason: ExitReason,
        within: Duration,
    ) -> Self {
        let limit = handle.sleep(within);
        let pid = target.as_ref().map(|cell| cell.ptr().pid());
        let stopping = Stopping::new(handle, target, reason);
        StopOrKill { stopping, pid, limit, killed: false }
    }
}

impl Future for StopOrKill {
    type Output = Result<StopOutcome, StopError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut stopped = Pin::new(&mut this.stopping).poll(cx);
        if stopped.is_pending() && !this.killed && Pin::new(&mut this.limit).poll(cx).is_ready() {
            this.killed = true;
            if let Some(pid) = this.pid {
                this.stopping.shared.exit(pid, ExitReason::Kill);
            }
            stopped = Pin::new(&mut this.stopping).poll(cx);
        }
        stopped.map(|stopped| match stopped {
            Err(StopError::Exit(ExitReason::Killed)) if this.killed => Ok(StopOutcome::Killed),
            Err(StopError::Exit(reason)) => Ok(StopOutcome::Ended(reason)),
            Err(error) => Err(error),
            Ok(()) => Ok(StopOutcome::Stopped),
        })
    }
}

impl fmt::Debug for StopOrKill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StopOrKill({:?})", self.stopping.reason)
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stopping({:?})", self.reason)
    }
}

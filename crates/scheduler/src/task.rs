//! Plain futures on the scheduler: the `async-task` crate's tasks in our queues.

mod guarded;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use async_task::{FallibleTask, ScheduleInfo, WithInfo};

pub(crate) use self::guarded::quietly;
use self::guarded::{GuardedFuture, Output, guard_waker};
use crate::coop::poll_budget;
use crate::handle::Handle;
use crate::runnable::Runnable;

pub(crate) fn spawn<F>(handle: &Handle, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let home = handle.clone();
    let schedule = WithInfo(move |task, info: ScheduleInfo| {
        let runnable = Runnable::from_task(task);
        if info.woken_while_running {
            // It asked to be polled again, as a yield does: after the others.
            home.schedule_back(runnable);
        } else {
            home.schedule(runnable);
        }
    });
    let (runnable, task) = async_task::spawn(GuardedFuture::new(future), schedule);
    handle.schedule(Runnable::from_task(runnable));
    Task { inner: task.fallible(), waker: None }
}

/// A future that runs on a scheduler. Awaiting it gives what the future gave.
///
/// Dropping it cancels the future: that is dropped on a worker, or where it is cancelled from when it is
/// not queued. [`detach`](Self::detach) lets it run on.
///
/// # Panics
///
/// Awaiting it goes on with the panic that ended the future. It also panics when the future was dropped
/// unfinished because its scheduler ended; [`outcome`](Self::outcome) tells instead.
#[must_use = "dropping a task cancels it; `detach` lets it run on"]
pub struct Task<T> {
    inner: FallibleTask<Output<T>>,
    /// The waker of the last poll, and its guarded form: made again only when another one comes.
    waker: Option<(Waker, Waker)>,
}

impl<T> Task<T> {
    /// Lets the future run to its end without anybody waiting. Its panic ends nothing but itself.
    pub fn detach(self) {
        self.inner.detach();
    }

    /// Cancels the future and waits until it is dropped. What it gave, if it was done already.
    ///
    /// # Panics
    ///
    /// Goes on with the panic that ended the future, if it was done by one.
    pub async fn cancel(self) -> Option<T> {
        self.inner.cancel().await?.unwrap()
    }

    /// Waits for the future; `None` when its scheduler ended first.
    ///
    /// # Panics
    ///
    /// Goes on with the panic that ended the future.
    pub async fn outcome(mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll_outcome(cx)).await
    }

    /// Whether the future is done, or was dropped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.waker.is_none() && self.inner.is_finished() {
            // It was never pending.
            ready!(poll_budget(cx));
        }
        let is_known = self.waker.as_ref().is_some_and(|(waker, _)| waker.will_wake(cx.waker()));
        if !is_known {
            self.waker = Some((cx.waker().clone(), guard_waker(cx.waker())));
        }
        let Some((_, guarded)) = &self.waker else { return Poll::Pending };
        let mut cx = Context::from_waker(guarded);
        Pin::new(&mut self.inner).poll(&mut cx).map(|done| done.and_then(Output::unwrap))
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.poll_outcome(cx)
            .map(|done| done.expect("the scheduler ended before the task was done"))
    }
}

impl<T> Unpin for Task<T> {}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}

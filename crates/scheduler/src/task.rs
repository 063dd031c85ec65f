//! Plain futures on the scheduler: the `async-task` crate's tasks in our queues.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_task::{FallibleTask, ScheduleInfo, WithInfo};

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
    let (runnable, task) =
        async_task::Builder::new().propagate_panic(true).spawn(|()| future, schedule);
    handle.schedule(Runnable::from_task(runnable));
    Task { inner: task.fallible() }
}

/// A future that runs on a scheduler. Awaiting it gives what the future gave.
///
/// Dropping it cancels the future, which is dropped on a worker, or here when it is not queued;
/// [`detach`](Self::detach) lets it run on.
///
/// # Panics
///
/// Awaiting it goes on with the panic that ended the future. It also panics when the future was dropped
/// unfinished because its scheduler ended; [`outcome`](Self::outcome) tells instead.
#[must_use = "dropping a task cancels it; `detach` lets it run on"]
pub struct Task<T> {
    inner: FallibleTask<T>,
}

impl<T> Task<T> {
    /// Lets the future run to its end without anybody waiting. Its panic ends nothing but itself.
    pub fn detach(self) {
        self.inner.detach();
    }

    /// Cancels the future and waits until it is dropped. What it gave, if it was done already.
    pub async fn cancel(self) -> Option<T> {
        self.inner.cancel().await
    }

    /// Waits for the future; `None` when its scheduler ended first.
    pub async fn outcome(self) -> Option<T> {
        self.inner.await
    }

    /// Whether the future is done, or was dropped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.inner)
            .poll(cx)
            .map(|done| done.expect("the scheduler ended before the task was done"))
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}

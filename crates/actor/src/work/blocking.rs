//! Blocking closures whose output becomes a message.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use parking_lot::Mutex;
use whitebeam_scheduler::{BlockingTask, Refused, Unfinished};

use super::{add, pipe::Piped};
use crate::{ExitReason, cell::CellPtr, contain::contain, panic_place};

/// A closure as the pool gets it: its panic carries the reason that its process is to end with.
fn job<T>(work: impl FnOnce() -> T) -> T {
    match panic_place::noting(|| contain(work)) {
        Ok(value) => value,
        // The hook was called where it began.
        Err(reason) => std::panic::resume_unwind(Box::new(Ended(reason))),
    }
}

/// See [`job`].
struct Ended(ExitReason);

/// The result of a closure, as what is piped.
struct Awaited<T>(BlockingTask<T>);

impl<T> Future for Awaited<T> {
    type Output = Result<T, ExitReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.0.poll_outcome(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
            Poll::Ready(Err(Unfinished::Panicked(payload))) => Poll::Ready(Err(reason_of(payload))),
            Poll::Ready(Err(Unfinished::NoThread(source))) => Poll::Ready(Err(source.into())),
            // The runtime ends, and this process with it.
            Poll::Ready(Err(_)) => Poll::Pending,
        }
    }
}

fn reason_of(payload: Box<dyn Any + Send>) -> ExitReason {
    match payload.downcast::<Ended>() {
        Ok(ended) => ended.0,
        Err(payload) => ExitReason::from_panic(payload),
    }
}

/// Runs `work` on a thread for blocking work, and has `f` make a message of what it gives.
///
/// # Safety
/// The caller is the cell's owner and holds no reference to its part, and `M` is its message type.
pub(crate) unsafe fn blocking<T, M>(
    cell: CellPtr,
    work: impl FnOnce() -> T + Send + 'static,
    f: impl FnOnce(T) -> M + Send + 'static,
) where
    T: Send + 'static,
    M: Send + 'static,
{
    let task = cell.shared().scheduler().spawn_blocking(move || job(work));
    // SAFETY: the caller's word.
    unsafe { add(cell, Box::pin(Piped::new(Awaited(task), f))) };
}

/// As [`blocking`], unless too many wait. What was refused comes back.
///
/// # Safety
/// As for [`blocking`].
pub(crate) unsafe fn try_blocking<T, M, W, F>(
    cell: CellPtr,
    work: W,
    f: F,
) -> Result<(), Refused<(W, F)>>
where
    T: Send + 'static,
    M: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
    F: FnOnce(T) -> M + Send + 'static,
{
    // Kept beside the closure that the pool gets, from which it could not be taken back.
    let place = Arc::new(Mutex::new(Some(work)));
    let taken = {
        let place = Arc::clone(&place);
        move || {
            let work = place.lock().take();
            match work {
                Some(work) => job(work),
                None => unreachable!("what was refused is run by nobody"),
            }
        }
    };
    let task = match cell.shared().scheduler().try_spawn_blocking(taken) {
        Ok(task) => task,
        Err(refused) => {
            // Without the closure that the pool was offered, which shares the place.
            let (_, why) = refused.into_parts();
            let work = place.lock().take();
            return match work {
                Some(work) => Err(Refused::new((work, f), why)),
                None => unreachable!("what was refused is run by nobody"),
            };
        }
    };
    drop(place);
    // SAFETY: the caller's word.
    unsafe { add(cell, Box::pin(Piped::new(Awaited(task), f))) };
    Ok(())
}

//! User code of a plain task, made unable to take its worker or the process with it.
//!
//! `async-task` catches a panic of `poll`, and aborts on all others: of a future's drop, of an output's, of a
//! waker. Each of the three gets a wrapper here, which catches the panic where it happens:
//!
//! | user code | wrapper | its panic |
//! | --- | --- | --- |
//! | `poll` of the future | [`GuardedFuture`] | goes to who awaits the task |
//! | drop of the future | [`GuardedFuture`] | ends there |
//! | drop of an output nobody took | [`Output`] | ends there |
//! | the waker of who awaits the task | [`guard_waker`] | ends there |
//!
//! "Ends there" means after the panic hook has reported it.

#![expect(unsafe_code, reason = "pins a field and drops it in place")]

use std::any::Any;
use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// What a panic carries.
pub(super) type Payload = Box<dyn Any + Send>;

/// Runs user code whose panic concerns nobody.
pub(crate) fn quietly(f: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(f)) {
        // The payload is a user's value as well; a second panic in a row is leaked.
        if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(second);
        }
    }
}

/// A future that ends with its panic, and is dropped without one.
pub(super) struct GuardedFuture<F> {
    /// Structurally pinned; dropped in place by `drop` and nowhere else.
    inner: ManuallyDrop<F>,
}

impl<F> GuardedFuture<F> {
    pub(super) fn new(future: F) -> Self {
        GuardedFuture { inner: ManuallyDrop::new(future) }
    }
}

impl<F: Future> Future for GuardedFuture<F> {
    type Output = Output<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the field is never moved out: `Self` has no other access to it but `drop`, which drops it in
        // place, and is not `Unpin` unless `F` is.
        let inner = unsafe { self.map_unchecked_mut(|this| &mut *this.inner) };
        match panic::catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Output::new(Ok(value))),
            Err(payload) => Poll::Ready(Output::new(Err(payload))),
        }
    }
}

impl<F> Drop for GuardedFuture<F> {
    fn drop(&mut self) {
        // SAFETY: this is the only place that drops it, and runs once.
        quietly(|| unsafe { ManuallyDrop::drop(&mut self.inner) });
    }
}

/// What a task gave: a value or a panic. Dropped without one.
pub(super) struct Output<T> {
    /// Taken by the one who awaits the task.
    result: Option<Result<T, Payload>>,
}

impl<T> Output<T> {
    fn new(result: Result<T, Payload>) -> Self {
        Output { result: Some(result) }
    }

    /// The value; goes on with the panic.
    pub(super) fn unwrap(mut self) -> Option<T> {
        match self.result.take()? {
            Ok(value) => Some(value),
            Err(payload) => panic::resume_unwind(payload),
        }
    }
}

impl<T> Drop for Output<T> {
    fn drop(&mut self) {
        if let Some(result) = self.result.take() {
            quietly(|| drop(result));
        }
    }
}

/// A waker whose panics end here.
pub(super) fn guard_waker(waker: &Waker) -> Waker {
    Waker::from(Arc::new(GuardedWaker { inner: Some(waker.clone()) }))
}

struct GuardedWaker {
    /// Taken by `drop` only.
    inner: Option<Waker>,
}

impl Wake for GuardedWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(waker) = &self.inner {
            quietly(|| waker.wake_by_ref());
        }
    }
}

impl Drop for GuardedWaker {
    fn drop(&mut self) {
        let waker = self.inner.take();
        quietly(|| drop(waker));
    }
}

//! Futures whose output becomes a message.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use super::{Step, Work, add};
use crate::{Call, CallError, CallFuture, ExitReason, cell::CellPtr, message};

/// What [`Context::pipe`](crate::Context::pipe) takes: a future, or a call.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a future nor a call",
    label = "cannot be piped"
)]
pub trait Pipe {
    /// What it gives.
    type Output;
    /// What is polled.
    type Future: Future<Output = Self::Output> + Send + 'static;

    /// Makes a future of it that borrows nothing.
    fn into_pipe(self) -> Self::Future;
}

#[diagnostic::do_not_recommend]
impl<F: Future<Output: Send + 'static> + Send + 'static> Pipe for F {
    type Output = F::Output;
    type Future = F;

    fn into_pipe(self) -> F {
        self
    }
}

/// As [`Call::owned`].
impl<M: Send + 'static, T: Send + 'static> Pipe for Call<'_, M, T> {
    type Output = Result<T, CallError>;
    type Future = CallFuture<'static, M, T>;

    fn into_pipe(self) -> CallFuture<'static, M, T> {
        self.owned().into_future()
    }
}

/// A future that gives a value, or what its process is to end with; and what makes a message of the value.
pub(super) struct Piped<Fut, F> {
    future: Fut,
    f: Option<F>,
}

impl<Fut, F> Piped<Fut, F> {
    pub(super) fn new(future: Fut, f: F) -> Self {
        Piped { future, f: Some(f) }
    }
}

impl<Fut, F, T, M> Work for Piped<Fut, F>
where
    Fut: Future<Output = Result<T, ExitReason>> + Send,
    F: FnOnce(T) -> M + Send,
    M: Send + 'static,
{
    fn poll(self: Pin<&mut Self>, _id: u64, cx: &mut TaskContext<'_>) -> Step {
        // SAFETY: of the fields `future` is pinned with `self`: it is never moved, and dropped where it is.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(&mut this.future) };
        match future.poll(cx) {
            Poll::Pending => Step::Pending,
            Poll::Ready(Err(reason)) => Step::Failed(reason),
            Poll::Ready(Ok(output)) => {
                Step::Last(this.f.take().map(|f| message::carried_uncounted(f(output))))
            }
        }
    }
}

/// A future that always gives a value.
struct Plain<Fut>(Fut);

impl<Fut: Future> Future for Plain<Fut> {
    type Output = Result<Fut::Output, ExitReason>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // SAFETY: the field is pinned with `self`: it is never moved, and dropped where it is.
        let future = unsafe { self.map_unchecked_mut(|plain| &mut plain.0) };
        future.poll(cx).map(Ok)
    }
}

/// Has `f` make a message of what `work` gives.
///
/// # Safety
/// The caller is the cell's owner and holds no reference to its part, and `M` is its message type.
pub(crate) unsafe fn pipe<P, M>(
    cell: CellPtr,
    work: P,
    f: impl FnOnce(P::Output) -> M + Send + 'static,
) where
    P: Pipe,
    M: Send + 'static,
{
    let piped = Piped::new(Plain(work.into_pipe()), f);
    // SAFETY: the caller's word.
    unsafe { add(cell, Box::pin(piped)) };
}

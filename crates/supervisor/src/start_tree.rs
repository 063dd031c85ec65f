//! A supervisor that is being started.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use whitebeam_actor::StartError;

/// The future of a supervisor with its children: ready when all of them have started, or when one has
/// not and the rest was stopped.
///
/// The supervisor is on its way already: dropping this stops nothing.
#[must_use = "a start that is not awaited says nothing of its failure"]
pub struct StartTree<H>(Pin<Box<dyn Future<Output = Result<H, StartError>> + Send>>);

impl<H: Send + 'static> StartTree<H> {
    pub(crate) fn new(start: impl Future<Output = Result<H, StartError>> + Send + 'static) -> Self {
        StartTree(Box::pin(start))
    }

    pub(crate) fn failed(error: impl Into<StartError>) -> Self {
        Self::new(std::future::ready(Err(error.into())))
    }
}

impl<H> Future for StartTree<H> {
    type Output = Result<H, StartError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<H> fmt::Debug for StartTree<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StartTree(..)")
    }
}

//! A process that is being started.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use crate::{ActorRef, CallError, ExitReason, Reply, SendFailure, StartError, oneshot::Answered};

/// Who is told that a process has started, or why not.
pub type StartReply<M> = Reply<Result<ActorRef<M>, StartError>>;

/// The future of a started process: ready when its `init` is done.
///
/// The process, or the request for it, is on its way already: dropping this stops nothing. It has no timeout, as OTP's starts
/// have none.
#[must_use = "a start that is not awaited says nothing of its failure"]
pub struct Start<M>(Way<M>);

enum Way<M> {
    /// The process answers.
    Direct(Answered<Result<ActorRef<M>, StartError>>),
    Failed(Option<StartError>),
}

impl<M: Send + 'static> Start<M> {
    /// A start whose answer is on its way: for who writes supervisors.
    pub fn answered(answer: Answered<Result<ActorRef<M>, StartError>>) -> Self {
        Start(Way::Direct(answer))
    }

    /// The start that a supervisor was asked for by [`ChildRef::ask`](crate::ChildRef::ask): for who
    /// writes supervisors.
    pub fn asked(asked: Result<Answered<Result<ActorRef<M>, StartError>>, SendFailure>) -> Self {
        match asked {
            Ok(answer) => Self::answered(answer),
            Err(SendFailure::Restarting) => Self::failed(StartError::Restarting),
            Err(_) => Self::failed(StartError::NoSupervisor),
        }
    }

    /// A start that was refused.
    pub fn failed(error: StartError) -> Self {
        Start(Way::Failed(Some(error)))
    }
}

impl<M> Future for Start<M> {
    type Output = Result<ActorRef<M>, StartError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.0 {
            Way::Direct(answer) => Pin::new(answer).poll(cx),
            Way::Failed(error) => {
                return Poll::Ready(Err(error.take().unwrap_or(StartError::ShuttingDown)));
            }
        };
        answer.map(|answer| match answer {
            Ok(started) => started,
            // The process ended in its `init`, or the supervisor while the request was with it.
            Err(CallError::Exit(ExitReason::Ignore)) => Err(StartError::Ignore),
            Err(CallError::Exit(reason)) => Err(StartError::Exit(reason)),
            Err(_) => Err(StartError::ShuttingDown),
        })
    }
}

impl<M> Unpin for Start<M> {}

impl<M> fmt::Debug for Start<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start(..)")
    }
}

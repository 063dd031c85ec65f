//! A process that is being started.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use whitebeam_scheduler::{Sleep, poll_budget};

use crate::{
    ActorRef, CallError, DownFuture, ExitReason, Reply, SendFailure, StartError,
    cell::CellRef,
    deadlock::{Leaf, Probe},
    oneshot::Answered,
    shared::Shared,
    signal::{self, Signal},
};

/// Who is told that a process has started, or why not.
pub type StartReply<M> = Reply<Result<ActorRef<M>, StartError>>;

/// The future of a started process: ready when its `init` is done.
///
/// The process, or the request for it, is on its way already: dropping this stops nothing. It has no [timeout](Self::timeout)
/// unless one is given, as OTP's starts have none.
#[must_use = "a start that is not awaited says nothing of its failure"]
pub struct Start<M> {
    way: Way<M>,
    /// What a timeout has to kill. `None`: it is not ours to kill.
    made: Option<Made>,
}

struct Made {
    process: CellRef,
    linked_to: Option<CellRef>,
}

struct Limited<M> {
    answer: Answered<Result<ActorRef<M>, StartError>>,
    limit: Sleep,
    /// As [`Start::made`].
    made: Option<Made>,
    /// The process's slot is looked up through it.
    shared: Arc<Shared>,
}

impl<M> Limited<M> {
    /// Its time is over.
    fn over(&mut self) -> Way<M> {
        match self.made.take() {
            Some(made) => Way::Killed(made.kill(&self.shared)),
            None => Way::Failed(Some(StartError::Timeout)),
        }
    }
}

impl Made {
    fn kill(self, shared: &Shared) -> DownFuture {
        let process = self.process.ptr();
        let down = DownFuture::new(shared, process.pid());
        if let Some(starter) = &self.linked_to {
            // In the child's name, ahead of its end: the starter lets go of the link. No unlink of a process's own
            // has the number 0, so that the answer is nobody's.
            let _ = signal::send(starter.ptr(), Signal::Unlink { from: process.to_ref(), id: 0 });
        }
        signal::send_exit(process, None, ExitReason::Kill, false);
        down
    }
}

enum Way<M> {
    /// The process answers.
    Direct(Answered<Result<ActorRef<M>, StartError>>),
    /// The process answers, or its time is over.
    Limited(Box<Limited<M>>),
    /// Its time is over: it was killed, and has to be gone.
    Killed(DownFuture),
    Failed(Option<StartError>),
}

impl<M: Send + 'static> Start<M> {
    /// A start whose answer is on its way: for who writes supervisors.
    ///
    /// A [timeout](Self::timeout) of it needs a process that the [`oneshot`](crate::oneshot) was made by, whose
    /// clock it goes by. What is handed to callers from outside is better [asked](Self::asked).
    pub fn answered(answer: Answered<Result<ActorRef<M>, StartError>>) -> Self {
        Start { way: Way::Direct(answer), made: None }
    }

    /// The start that a supervisor was asked for by [`ChildRef::ask`](crate::ChildRef::ask): for who
    /// writes supervisors.
    pub fn asked(asked: Result<Answered<Result<ActorRef<M>, StartError>>, SendFailure>) -> Self {
        match asked {
            Ok(answer) => Self::answered(answer),
            Err(SendFailure::Restarting) => Self::failed(StartError::Restarting),
            Err(SendFailure::Full) => Self::failed(StartError::Full),
            Err(_) => Self::failed(StartError::NoSupervisor),
        }
    }

    /// The start of a process that the caller has made itself.
    pub(crate) fn of(
        process: CellRef,
        linked_to: Option<CellRef>,
        answer: Answered<Result<ActorRef<M>, StartError>>,
    ) -> Self {
        Start { way: Way::Direct(answer), made: Some(Made { process, linked_to }) }
    }

    /// Waits no longer than `limit` from now on; the answer is [`StartError::Timeout`] then. To be given before
    /// the start is first polled.
    ///
    /// | who was asked | what becomes of the process |
    /// | --- | --- |
    /// | the runtime, a context | it is killed, and has ended when the answer comes. A linked starter gets no EXIT of that |
    /// | a supervisor | nothing: it is the supervisor's child, and lives on, or comes to life later |
    ///
    /// The second is OTP's as well, where the caller's call of the supervisor times out.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime, StartError};
    /// struct Slow;
    /// impl Actor for Slow {
    ///     type Args = ();
    ///     type Msg = ();
    ///     async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         cx.runtime().sleep(Duration::from_secs(60)).await;
    ///         Ok(Slow)
    ///     }
    /// #   async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> { Ok(()) }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let started = rt.start::<Slow>(()).timeout(Duration::from_secs(5)).await;
    ///     assert!(matches!(started, Err(StartError::Timeout)));
    ///     assert_eq!(rt.processes().len(), 0);
    /// });
    /// # Ok::<_, whitebeam_actor::BuildError>(())
    /// ```
    pub fn timeout(self, limit: Duration) -> Self {
        let Start { way: Way::Direct(mut answer), made } = self else { return self };
        let runtime = match &made {
            Some(made) => Some(made.process.ptr().shared().arc()),
            None => answer.runtime(),
        };
        match runtime {
            Some(shared) => {
                let limit = shared.scheduler().sleep(limit);
                let limited = Limited { answer, limit, made, shared };
                Start { way: Way::Limited(Box::new(limited)), made: None }
            }
            None => Start { way: Way::Direct(answer), made },
        }
    }

    /// A start that was refused.
    pub fn failed(error: StartError) -> Self {
        Start { way: Way::Failed(Some(error)), made: None }
    }
}

impl<M> Future for Start<M> {
    type Output = Result<ActorRef<M>, StartError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let answer = match &mut this.way {
            Way::Direct(answer) => {
                if let Some(made) = &this.made
                    && let Some(probe) = Probe::of(cx.waker())
                    && answer.is_awaited_by(probe.cell())
                {
                    probe.leaf(Leaf::Start(made.process.clone()));
                    return Poll::Pending;
                }
                Pin::new(answer).poll(cx)
            }
            Way::Limited(limited) => match Pin::new(&mut limited.answer).poll(cx) {
                Poll::Pending if Pin::new(&mut limited.limit).poll(cx).is_ready() => {
                    this.way = limited.over();
                    return self.poll(cx);
                }
                answer => answer,
            },
            Way::Killed(down) => {
                return Pin::new(down).poll(cx).map(|_| Err(StartError::Timeout));
            }
            Way::Failed(error) => {
                ready!(poll_budget(cx));
                return Poll::Ready(Err(error.take().unwrap_or(StartError::ShuttingDown)));
            }
        };
        answer.map(|answer| match answer {
            Ok(started) => started,
            // The process ended in its `init`, or the supervisor while the request was with it.
            Err(CallError::Exit(ExitReason::Ignore)) => Err(StartError::Ignore),
            Err(CallError::Exit(reason)) => Err(StartError::Exit(reason)),
            // Out of the supervisor's mailbox.
            Err(CallError::Full) => Err(StartError::Full),
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

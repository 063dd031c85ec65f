//! A task, as its owner has it.
//!
//! Its process holds the one [`Reply`](whitebeam_actor::Reply) that the result goes by. A process that ends answers the
//! replies that it has with its exit reason, behind everything else that it tells: so there is no monitor, nothing of
//! a task comes by the mailbox but the EXIT of a link, and a result that was sent wins over the reason.

mod shutdown;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use whitebeam_actor::{
    Actor, Answered, Context, ExitError, ExitReason, Handle, Pid, Sleep, StartError,
};

use self::shutdown::Process;
use super::error::{NotOwner, TaskTimeout, exit_of, exit_with};

/// A task that was asked for: the future of its result.
///
/// | the task | it gives |
/// | --- | --- |
/// | is done | `Ok` with what its work gave |
/// | ended by a panic, an exit signal, [`ThisTask::exit`](super::ThisTask::exit) | an [`ExitError`] with that reason, `Normal` too |
/// | was not started | an [`ExitError`] with a [`StartError`] in it |
/// | is awaited for longer than its [`timeout`](Self::timeout) | an [`ExitError`] with a [`TaskTimeout`] in it |
/// | is awaited by another process than the one that asked for it | an [`ExitError`] with a [`NotOwner`] in it |
/// | has given all that already | an [`ExitError`] with `NoProc` |
///
/// An [`ExitError`] gives its reason back to who uses `?` in a handler: an actor ends as its task did.
///
/// # Dropped
/// A task that is dropped runs on, its result is dropped, and a link stays; [`ignore`](Self::ignore) takes that back,
/// [`shutdown`](Self::shutdown) ends the task.
///
/// # Who may wait
/// The process that asked for the task, and code that is part of no process: a task may be moved to a plain future
/// ([`Handle::spawn_task`]). Asked for from outside of any process, it may be awaited by all.
///
/// # Cancel safety
/// By `&mut`, it may be polled in any combinator, and dropped there: nothing is lost.
#[must_use = "a task that is dropped runs on, and its result is lost"]
pub struct Task<T> {
    state: State<T>,
    process: Option<Process>,
    limit: Limit,
}

enum State<T> {
    Waits(Answered<T>),
    /// There is no process, or none that could be waited for.
    Done(Result<T, ExitError>),
    Taken,
}

enum Limit {
    None,
    /// It begins with the first poll.
    Of(Duration),
    Runs(Sleep),
}

impl<T> Task<T> {
    pub(super) fn started(
        answer: Answered<T>,
        (rt, pid): (Handle, Pid),
        owner: Option<Pid>,
        is_linked: bool,
    ) -> Self {
        let process = Some(Process { rt, pid, owner, is_linked });
        Task { state: State::Waits(answer), process, limit: Limit::None }
    }

    pub(super) fn refused(error: StartError) -> Self {
        let state = State::Done(Err(exit_with(error)));
        Task { state, process: None, limit: Limit::None }
    }

    /// It was not started.
    pub(super) fn is_refused(&self) -> bool {
        self.process.is_none() && matches!(self.state, State::Done(Err(_)))
    }

    /// A task without a process, which gives `value`.
    ///
    /// ```
    /// use whitebeam_supervisor::Task;
    ///
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// assert_eq!(Task::completed(3).await?, 3);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn completed(value: T) -> Self {
        Task { state: State::Done(Ok(value)), process: None, limit: Limit::None }
    }

    /// Its process; [`Pid::NOBODY`] if it has none.
    pub fn pid(&self) -> Pid {
        self.process.as_ref().map_or(Pid::NOBODY, |process| process.pid)
    }

    /// Awaits it no longer than `limit`, from the first poll on: it gives an error with a [`TaskTimeout`] then, and
    /// goes on. There is no limit unless one is given. A result that has come by then is given, also with a limit of
    /// zero.
    ///
    /// The limit is for once: awaited again, by `&mut`, a task that has given a [`TaskTimeout`] is awaited as long as it
    /// takes, or until the next limit that it is given.
    ///
    /// ```
    /// use std::{future::pending, time::Duration};
    /// use whitebeam_supervisor::{TaskSupervisor, TaskTimeout};
    ///
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let late = tasks.spawn(pending::<()>()).timeout(Duration::from_secs(1));
    /// assert!(late.await.unwrap_err().reason().is::<TaskTimeout>());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Limit::Of(limit);
        self
    }

    /// Whether nothing more will be given: all was.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self.state, State::Taken)
    }

    /// The runtime of its process.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.process.as_ref().map(|process| &process.rt)
    }

    /// What has come of it so far, without waiting. `None`: nothing, or it was taken.
    pub(super) fn take_ready(&mut self) -> Option<Result<T, ExitError>> {
        if let Some(error) = self.not_mine() {
            return Some(Err(error));
        }
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Taken => None,
            State::Done(result) => Some(result),
            State::Waits(answer) => match answer.take_ready() {
                Ok(result) => Some(result.map_err(exit_of)),
                Err(answer) => {
                    self.state = State::Waits(answer);
                    None
                }
            },
        }
    }

    /// Its process has ended, and its answer is about to come: it is the last that a process gives.
    pub(super) fn is_gone(&self) -> bool {
        let ended = |process: &Process| !process.rt.is_alive(process.pid);
        matches!(self.state, State::Waits(_)) && self.process.as_ref().is_some_and(ended)
    }

    /// Who polls is another process than the owner.
    fn not_mine(&self) -> Option<ExitError> {
        let owner = self.process.as_ref()?.owner?;
        let waiter = Pid::current()?;
        (waiter != owner).then(|| exit_with(NotOwner { owner, waiter }))
    }

    /// Without its limit.
    pub(super) fn poll_result(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<T, ExitError>> {
        if let Some(error) = self.not_mine() {
            return Poll::Ready(Err(error));
        }
        let State::Waits(answer) = &mut self.state else {
            let result = self.take_ready();
            return Poll::Ready(result.unwrap_or_else(|| Err(ExitReason::NoProc.into())));
        };
        Pin::new(answer).poll(cx).map(|result| {
            self.state = State::Taken;
            result.map_err(exit_of)
        })
    }
}

impl<T: Send + 'static> Task<T> {
    /// Waits for it no longer than `limit`. `None`: it goes on, and can be waited for again. (Elixir: `yield`, which
    /// is no name in Rust.) The task's own [`timeout`](Self::timeout) has no part in this.
    ///
    /// Also `None`, at once, if all was given already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use whitebeam_supervisor::TaskSupervisor;
    ///
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let two_seconds = rt.sleep(Duration::from_secs(2));
    /// let mut task = tasks.spawn(two_seconds);
    /// assert!(task.wait(Duration::from_secs(1)).await.is_none());
    /// assert!(matches!(task.wait(Duration::from_secs(5)).await, Some(Ok(()))));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub async fn wait(&mut self, limit: Duration) -> Option<Result<T, ExitError>> {
        if self.is_taken() {
            return None;
        }
        let limit = self.runtime().map(|rt| rt.sleep(limit));
        let Some(limit) = limit else { return self.take_ready() };
        let mut limit = pin!(limit);
        let in_time = poll_fn(|cx| match self.poll_result(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => limit.as_mut().poll(cx).map(|()| self.take_ready()),
        });
        match in_time.await {
            None if self.is_gone() => Some(poll_fn(|cx| self.poll_result(cx)).await),
            result => result,
        }
    }

    /// Has the owner handle its result as a message, when it has come: [`Context::pipe`].
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitError, ExitReason, Runtime};
    /// # use whitebeam_supervisor::{TaskRef, TaskSupervisor};
    /// struct Parser;
    /// enum Msg { Parsed(Result<u64, ExitError>) }
    ///
    /// impl Actor for Parser {
    ///     type Args = TaskRef;
    ///     type Msg = Msg;
    ///     async fn init(tasks: TaskRef, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         tasks.spawn(async { 7 }).deliver(cx, Msg::Parsed);
    ///         Ok(Parser)
    ///     }
    ///     async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         let Msg::Parsed(number) = msg;
    ///         cx.stop(ExitReason::shutdown_with(number?));
    ///         Ok(())
    ///     }
    /// }
    /// # let rt = Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// # let tasks = TaskSupervisor::new().start(&rt).await?;
    /// # let parser = rt.spawn::<Parser>(tasks);
    /// assert_eq!(rt.down(&parser).await.reason.downcast_ref(), Some(&7_u64));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn deliver<A: Actor>(
        self,
        cx: &mut Context<A>,
        f: impl FnOnce(Result<T, ExitError>) -> A::Msg + Send + 'static,
    ) {
        cx.pipe(self, f);
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, ExitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(result) = this.poll_result(cx) {
            return Poll::Ready(result);
        }
        if let (Limit::Of(limit), Some(process)) = (&this.limit, &this.process) {
            this.limit = Limit::Runs(process.rt.sleep(*limit));
        }
        let Limit::Runs(limit) = &mut this.limit else { return Poll::Pending };
        if Pin::new(limit).poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.limit = Limit::None;
        match this.take_ready() {
            Some(result) => Poll::Ready(result),
            None if this.is_gone() => Poll::Pending,
            None => Poll::Ready(Err(exit_with(TaskTimeout))),
        }
    }
}

impl<T> Unpin for Task<T> {}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.pid())
    }
}

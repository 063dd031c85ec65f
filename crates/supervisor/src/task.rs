//! Tasks: work that is done once, in a process of its own, and whose result comes back to who asked for it.

mod error;
mod handle;
mod look;
mod many;
mod map;
mod places;
mod process;
mod running;
mod this;
pub(crate) mod wakes;

use std::{fmt, time::Duration};

use whitebeam_actor::{Actor, ChildRef, Context, Handle, SpawnOptions};

pub use self::{
    error::{NotOwner, TaskTimeout},
    handle::TaskRef,
    many::{OnTimeout, YieldMany, await_many, yield_many},
    map::TaskMap,
    running::Task,
    this::ThisTask,
};
use self::{
    places::Places,
    process::{Plan, Tasks},
};
use crate::{
    Child, ChildId, Intensity, Nested, SpecError, StartTree,
    child::{ActorChild, Sealed},
};

/// The spec of a supervisor whose children are tasks: futures and closures, each run once in a process of its own,
/// started by the methods of [`TaskRef`].
///
/// | setting | unless said |
/// | --- | --- |
/// | [`TaskRef::with_shutdown`] | a task has 5 s to shut down |
/// | [`max_children`](Self::max_children) | no limit |
/// | [`intensity`](Self::intensity) | 3 restarts in 5 s; only tasks of [`start_restarted`](TaskRef::start_restarted) are restarted |
///
/// The processes are made by who asks for them, so that a task's pid is known at once and a linked one is linked from
/// the beginning; they begin when the supervisor has them. When it stops, all tasks are told at once, each is killed
/// when its own time is over, and it ends when the last one has. While it stops them it starts none and answers
/// nothing.
///
/// ```
/// use whitebeam_actor::{Actor, Context, ExitError, ExitReason, Reply, Runtime};
/// use whitebeam_supervisor::{TaskRef, TaskSupervisor};
///
/// struct Sums { tasks: TaskRef, waiting: Vec<Reply<u64>> }
/// enum Msg { Sum(u64, Reply<u64>), Done(Result<u64, ExitError>) }
///
/// impl Actor for Sums {
///     type Args = TaskRef;
///     type Msg = Msg;
///     async fn init(tasks: TaskRef, _: &mut Context<Self>) -> Result<Self, ExitReason> {
///         Ok(Sums { tasks, waiting: Vec::new() })
///     }
///     async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
///         match msg {
///             Msg::Sum(most, reply) => {
///                 self.waiting.push(reply);
///                 self.tasks.spawn(async move { (1..=most).sum() }).deliver(cx, Msg::Done);
///             }
///             Msg::Done(sum) => {
///                 let sum = sum?;
///                 self.waiting.pop().into_iter().for_each(|reply| reply.send(sum));
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let tasks = TaskSupervisor::new().start(&rt).await?;
///     let sums = rt.start::<Sums>(tasks).await?;
///     assert_eq!(sums.call(|reply| Msg::Sum(100, reply)).await?, 5_050);
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Differences from Elixir
/// * Asking for a task does not wait for the supervisor.
/// * A task's result never is a message unless it is asked for as one ([`Task::deliver`]), so there is nothing to be
///   left in a mailbox.
/// * A task that is dropped unawaited runs on: as [`Task::ignore`], but a link stays.
#[derive(Clone)]
pub struct TaskSupervisor {
    plan: Plan,
    max_children: usize,
    options: SpawnOptions,
}

impl TaskSupervisor {
    /// A supervisor of tasks.
    #[must_use]
    pub fn new() -> Self {
        let plan = Plan { intensity: Intensity::default() };
        TaskSupervisor { plan, max_children: usize::MAX, options: SpawnOptions::new() }
    }

    /// Most tasks at a time, those that are starting included. One more is refused: it gives the error
    /// [`StartError::MaxChildren`](whitebeam_actor::StartError::MaxChildren), as an [`Error`] reason.
    ///
    /// A task makes room before its result can be seen.
    ///
    /// ```
    /// # use whitebeam_actor::{Runtime, StartError};
    /// # use whitebeam_supervisor::TaskSupervisor;
    /// # let rt = Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().max_children(1).start(&rt).await?;
    /// let first = tasks.spawn(async { 1 });
    /// let second = tasks.spawn(async { 2 }).await.unwrap_err();
    /// assert!(matches!(second.reason().downcast_ref(), Some(StartError::MaxChildren)));
    /// assert_eq!(first.await?, 1);
    /// assert_eq!(tasks.spawn(async { 3 }).await?, 3);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`Error`]: whitebeam_actor::ExitReason::Error
    #[must_use]
    pub fn max_children(mut self, most: usize) -> Self {
        self.max_children = most;
        self
    }

    /// At most `restarts` restarts in any stretch of `period`: more end the supervisor.
    #[must_use]
    pub fn intensity(self, restarts: u32, period: Duration) -> Self {
        self.with_intensity(Intensity::Limited { restarts, period })
    }

    /// How many restarts are taken.
    #[must_use]
    pub fn with_intensity(mut self, intensity: Intensity) -> Self {
        self.plan.intensity = intensity;
        self
    }

    /// How the supervisor's own process is started.
    #[must_use]
    pub fn options(mut self, options: SpawnOptions) -> Self {
        self.options = options;
        self
    }

    /// Starts it. Its own end is up to who has the handle: `rt.exit(&tasks, Shutdown)` ends it in order.
    pub fn start(self, rt: &Handle) -> StartTree<TaskRef> {
        if let Err(error) = self.check() {
            return StartTree::failed(error);
        }
        let places = Places::new(self.max_children);
        let start = rt.with(self.options).start::<Tasks>((self.plan, places.clone()));
        StartTree::new(async move { Ok(TaskRef::new(start.await?.into(), places)) })
    }

    /// Starts it linked to the running actor, which is its parent: it ends in order when that one ends.
    pub fn start_link<C: Actor>(self, cx: &mut Context<C>) -> StartTree<TaskRef> {
        if let Err(error) = self.check() {
            return StartTree::failed(error);
        }
        let places = Places::new(self.max_children);
        let start = cx.with(self.options).start_link::<Tasks>((self.plan, places.clone()));
        StartTree::new(async move { Ok(TaskRef::new(start.await?.into(), places)) })
    }

    fn check(&self) -> Result<(), SpecError> {
        self.plan.intensity.check()
    }
}

impl Default for TaskSupervisor {
    /// As [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl Nested for TaskSupervisor {
    type Handle = TaskRef;

    fn into_child(self, id: ChildId, _: Sealed) -> Child<TaskRef> {
        let fault = self.check().err();
        let plan = self.plan;
        let places = Places::new(self.max_children);
        let args = {
            let places = places.clone();
            move || {
                // Before the next incarnation can be asked.
                places.open();
                Some((plan.clone(), places.clone()))
            }
        };
        let launch = ActorChild::<Tasks>::new(args).fault(fault).asked(|address| Box::new(address));
        let at: ChildRef<_> = launch.handle();
        let handle = TaskRef::new(at, places);
        Child::supervisor(id, handle, self.options, launch)
    }
}

impl fmt::Debug for TaskSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSupervisor")
            .field("max_children", &self.max_children)
            .field("intensity", &self.plan.intensity)
            .field("options", &self.options)
            .finish()
    }
}

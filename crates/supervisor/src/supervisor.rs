//! Children of any kinds, each by its id: OTP's supervisor.

mod handle;
mod job;
mod litter;
mod look;
mod made;
mod nested;
mod process;
mod requests;
mod roster;
mod steps;

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ActorRef, Answered, ChildRef, Context, Handle, SpawnOptions, Start, StartError, oneshot,
};

pub use self::handle::{ChildCounts, ChildEntry, ChildSpec, ChildState, SupervisorRef};
pub use self::made::SupervisorFn;
pub(crate) use self::process::Supervising;
use self::process::{Request, Source, Strategy, Tree};
use crate::{
    AutoShutdown, Child, ChildId, Intensity, Nested, Restart, SpecError, StartTree, child::Spec,
    partition::children_started,
};

/// The spec of a supervisor of children of any kinds, actors, processes and other supervisors, each with an id.
///
/// They start in the order in which they are added here, each when the one before has started (an actor when its
/// `init` is done, a supervisor when its children have started), and are stopped in reverse order, one at a time, each
/// within its own [`Shutdown`](crate::Shutdown). If one fails to start, those before it are stopped in reverse order and
/// the start fails with [`FailedToStart`](crate::FailedToStart). The handles of children are there before anything
/// runs, and go on over restarts.
///
/// When a child ends by itself, its [`Restart`] says whether it is to be started again, and the strategy which
/// others are:
///
/// | strategy | with the child |
/// | --- | --- |
/// | [`one_for_one`](Self::one_for_one) | no other |
/// | [`one_for_all`](Self::one_for_all) | all others |
/// | [`rest_for_one`](Self::rest_for_one) | those that were started after it |
///
/// Others are stopped in reverse order, the temporary ones for good, and then all that are left are started in order:
/// those as well that had been stopped by hand, or had ended in order. That counts as one restart of the
/// [`intensity`](Self::intensity).
///
/// A restart whose start fails counts as one, too, and is tried again, behind what the supervisor was asked meanwhile:
/// it can always be asked, and told to end. Under `one_for_all` what the try has started is stopped first; under
/// `rest_for_one` the next try begins with the child that has failed.
///
/// | setting | unless said |
/// | --- | --- |
/// | [`intensity`](Self::intensity) | 3 restarts in 5 s |
/// | [`auto_shutdown`](Self::auto_shutdown) | `Never` |
/// | of a child | see [`Child`] |
///
/// ```
/// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
/// # struct Db(u32);
/// # struct Get(Reply<u32>);
/// # impl Actor for Db {
/// #     type Args = u32;
/// #     type Msg = Get;
/// #     async fn init(n: u32, _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Db(n)) }
/// #     async fn handle(&mut self, Get(reply): Get, _: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         reply.send(self.0);
/// #         Ok(())
/// #     }
/// # }
/// # struct Web { db: ChildRef<Get> }
/// # impl Actor for Web {
/// #     type Args = ChildRef<Get>;
/// #     type Msg = Get;
/// #     async fn init(db: ChildRef<Get>, _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Web { db }) }
/// #     async fn handle(&mut self, Get(reply): Get, _: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         reply.send(self.db.call(Get).await? + 1);
/// #         Ok(())
/// #     }
/// # }
/// use std::time::Duration;
/// use whitebeam_supervisor::{Child, Restart, Supervisor, prelude::ChildRef};
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let mut tree = Supervisor::rest_for_one().intensity(3, Duration::from_secs(5));
///     let db = tree.child::<Db>("db", 41);
///     let web = tree.child_with(Child::new::<Web>("web", db.clone()).restart(Restart::Transient));
///     let root = tree.start(&rt).await?;
///     assert_eq!(web.call(Get).await?, 42);
///
///     root.terminate_child(&db).await?;
///     assert!(!db.is_alive());
///     root.restart_child("db").await?;
///     assert_eq!(web.call(Get).await?, 42);
///     rt.stop(&root, ExitReason::Shutdown).await?;
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # What it is asked while it is at something
/// A start, a stop and a restart take as long as the children's own `init` and `terminate` do. The supervisor does not wait
/// for these itself: what only looks ([`which_children`](SupervisorRef::which_children) and the like) is answered at
/// once; what changes something, and the ends of other children, are seen to in their order when the one that is under
/// way is over. (What makes a child's arguments, a clone or a closure, runs in the supervisor, and does hold it up.)
///
/// An ordered end of the supervisor does not wait in line: what is under way is given up, and all children are stopped.
/// One that is being stopped then is waited for first, for what is left of its time.
///
/// After 256 steps that need no waiting, others get their turn: many children hold up no worker.
///
/// A child may ask its own supervisor:
///
/// | where | a question | a change |
/// | --- | --- | --- |
/// | in a handler | is answered | is made. If it ends the child itself, that ends at the await of its request, and sees no answer |
/// | in `init`, while the supervisor starts | **waits for itself** | **waits for itself** |
/// | in any other `init` | is answered | **waits for itself** |
/// | in `terminate`, stopped by hand or by a strategy | is answered | **waits for itself** |
/// | in `terminate`, stopped by the supervisor's own end | `Deadlock` | `Deadlock` |
///
/// Who waits for itself is not told so, as in OTP: such a `terminate` lasts until the child is killed, and such an `init`
/// until the supervisor is told to end. A request that is not awaited there, but [piped](Context::pipe), waits for nobody.
///
/// # Differences from OTP
/// * What only looks does not wait for starts and stops that are under way.
/// * When the supervisor is told to end while a child starts, that start is not waited for: the child is told to end,
///   as any other, and its `init` is dropped at its next await.
/// * A child whose name an orphan has, a process below a supervisor that was killed, is started when that has ended. It
///   is killed when it has had the time that the child's [`Shutdown`](crate::Shutdown) gives. OTP's start fails at once,
///   and its restarts are used up while the orphan ends. The other supervisors here do as OTP's.
/// * Restarts: 3 in 5 s unless said, as in Elixir; OTP's is 1 in 5 s.
/// * A start gives no information beside the child. There is no code change.
/// * A killed supervisor's children end with `Shutdown`, not with `Killed`.
#[must_use = "a supervisor spec does nothing until it is started"]
pub struct Supervisor {
    strategy: Strategy,
    intensity: Intensity,
    auto_shutdown: AutoShutdown,
    children: Vec<Spec>,
    options: SpawnOptions,
}

impl Supervisor {
    /// A child that is restarted is restarted alone.
    pub fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// If a child is restarted, all are.
    pub fn one_for_all() -> Self {
        Self::new(Strategy::OneForAll)
    }

    /// If a child is restarted, so are those that were started after it.
    pub fn rest_for_one() -> Self {
        Self::new(Strategy::RestForOne)
    }

    fn new(strategy: Strategy) -> Self {
        Supervisor {
            strategy,
            intensity: Intensity::default(),
            auto_shutdown: AutoShutdown::Never,
            children: Vec::new(),
            options: SpawnOptions::new(),
        }
    }

    /// At most `restarts` restarts in any stretch of `period`. One more, and the supervisor stops its children and ends
    /// with `Shutdown`.
    pub fn intensity(self, restarts: u32, period: Duration) -> Self {
        self.with_intensity(Intensity::Limited { restarts, period })
    }

    /// How many restarts are taken.
    pub fn with_intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// Whether it ends with its significant children.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// How the supervisor's own process is started. A [bound](SpawnOptions::bounded) of its mailbox holds for the requests
    /// that it has taken out to wait in line, too, once more; what its own work needs is never refused. If it is the line
    /// that is too long for [`Overflow::Exit`](whitebeam_actor::Overflow::Exit), the supervisor ends with that reason in
    /// order, with its children.
    pub fn options(mut self, options: SpawnOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds an actor, permanent and with 5 s to shut down, that is started with a clone of `args` each time. For
    /// anything else, [`child_with`](Self::child_with); without `Clone`, [`Child::from_fn`] or [`Child::temporary`].
    pub fn child<A: Actor>(&mut self, id: impl Into<ChildId>, args: A::Args) -> ChildRef<A::Msg>
    where
        A::Args: Clone,
    {
        self.child_with(Child::new::<A>(id, args))
    }

    /// Adds a child.
    pub fn child_with<H>(&mut self, child: Child<H>) -> H {
        let (spec, handle) = child.into_parts();
        self.children.push(spec);
        handle
    }

    /// Adds a supervisor, permanent and with all the time that it needs to shut down.
    ///
    /// ```
    /// # use whitebeam_actor::{Mailbox, Runtime};
    /// # use whitebeam_supervisor::{Child, Supervisor};
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let mut pool = Supervisor::one_for_all();
    ///     let worker = pool.child_with(Child::process("worker", |mut mailbox: Mailbox<u32>| async move {
    ///         loop {
    ///             mailbox.recv().await;
    ///         }
    ///     }));
    ///     let mut tree = Supervisor::one_for_one();
    ///     let pool = tree.nest("pool", pool);
    ///     let root = tree.start(&rt).await?;
    ///     assert!(worker.is_alive());
    ///     assert_eq!(pool.count_children().await?.workers, 1);
    ///     assert_eq!(root.count_children().await?.supervisors, 1);
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn nest<S: Nested>(&mut self, id: impl Into<ChildId>, supervisor: S) -> S::Handle {
        self.child_with(Child::nested(id, supervisor))
    }

    /// Starts it; ready when all children have started, or when one has not and all is gone again. Its own end is up to
    /// who has the handle: `rt.stop(&root, ExitReason::Shutdown)` ends it in order.
    ///
    /// | error | when |
    /// | --- | --- |
    /// | `Invalid` | the spec, or one below it, is wrong: a [`SpecError`]. Nothing was started |
    /// | `NameTaken` | the supervisor's own name is another's. Nothing was started |
    /// | `Exit(reason)` | a child did not start: `reason.downcast_ref::<FailedToStart>()` says which and why. Or the supervisor was ended meanwhile |
    pub fn start(mut self, rt: &Handle) -> StartTree<SupervisorRef> {
        let options = std::mem::take(&mut self.options);
        let tree = match self.into_tree(rt.workers()) {
            Ok(tree) => tree,
            Err(error) => return StartTree::failed(error),
        };
        start(Source::Tree(tree), options, rt)
    }

    /// Starts it linked to the running actor, which is its parent: it ends in order when that one ends. If the start
    /// fails the actor gets the exit signal of that, too, as from any linked process.
    ///
    /// # Errors
    /// Of the future: as for [`start`](Self::start).
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
    /// # use whitebeam_supervisor::{Supervisor, SupervisorRef};
    /// struct App { root: SupervisorRef }
    ///
    /// impl Actor for App {
    ///     type Args = ();
    ///     type Msg = Reply<usize>;
    ///     async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         Ok(App { root: Supervisor::one_for_one().start_link(cx).await? })
    ///     }
    ///     async fn handle(&mut self, reply: Reply<usize>, _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         reply.send(self.root.count_children().await?.specs);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let app = rt.start::<App>(()).await?;
    ///     assert_eq!(app.call(|reply| reply).await?, 0);
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_link<C: Actor>(mut self, cx: &mut Context<C>) -> StartTree<SupervisorRef> {
        let options = std::mem::take(&mut self.options);
        let tree = match self.into_tree(cx.runtime().workers()) {
            Ok(tree) => tree,
            Err(error) => return StartTree::failed(error),
        };
        start_link(Source::Tree(tree), options, cx)
    }

    /// Checks it and all below it.
    fn into_tree(self, workers: usize) -> Result<Arc<Tree>, SpecError> {
        self.intensity.check()?;
        let mut ids = HashSet::with_capacity(self.children.len());
        let mut children = Vec::with_capacity(self.children.len());
        for mut spec in self.children {
            check(&mut spec, self.auto_shutdown, workers)?;
            if !ids.insert(spec.id.clone()) {
                return Err(SpecError::DuplicateId(spec.id));
            }
            children.push(Arc::new(Mutex::new(spec)));
        }
        let Supervisor { strategy, intensity, auto_shutdown, .. } = self;
        Ok(Arc::new(Tree { strategy, intensity, auto_shutdown, children }))
    }
}

fn start(source: Source, options: SpawnOptions, rt: &Handle) -> StartTree<SupervisorRef> {
    let (ack, started) = oneshot();
    let start = rt.with(options).start::<Supervising>((source, Some(ack)));
    StartTree::new(ready(start, started))
}

fn start_link<C: Actor>(
    source: Source,
    options: SpawnOptions,
    cx: &mut Context<C>,
) -> StartTree<SupervisorRef> {
    let (ack, started) = oneshot();
    let start = cx.with(options).start_link::<Supervising>((source, Some(ack)));
    StartTree::new(ready(start, started))
}

/// The supervisor, when its children have started.
async fn ready(start: Start<Request>, started: Answered<()>) -> Result<SupervisorRef, StartError> {
    let root: ActorRef<Request> = start.await?;
    children_started(started).await?;
    Ok(SupervisorRef::new(root.into()))
}

/// Checks the spec of a child of a supervisor with this auto shutdown.
fn check(spec: &mut Spec, auto_shutdown: AutoShutdown, workers: usize) -> Result<(), SpecError> {
    let (id, restart) = (&spec.id, spec.restart);
    if spec.significant && (restart == Restart::Permanent || auto_shutdown == AutoShutdown::Never) {
        return Err(SpecError::Significant { id: id.clone(), restart, auto_shutdown });
    }
    spec.prepare(workers)
}

impl Default for Supervisor {
    /// One for one, without children.
    fn default() -> Self {
        Self::one_for_one()
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&ChildId> = self.children.iter().map(|spec| &spec.id).collect();
        f.debug_struct("Supervisor")
            .field("strategy", &self.strategy)
            .field("intensity", &self.intensity)
            .field("auto_shutdown", &self.auto_shutdown)
            .field("children", &ids)
            .field("options", &self.options)
            .finish()
    }
}

//! Any number of children, started and ended at run time.

mod any;
mod handle;
mod kept;
mod look;
mod mixed;
mod process;
mod serial;
mod sort;
mod stops;

use std::{fmt, sync::Arc};

use whitebeam_actor::{Actor, Context, Handle, SpawnOptions};

pub use self::any::Any;
pub(crate) use self::handle::Count;
pub use self::handle::{DynamicRef, StartMany, TerminateChild};
pub(crate) use self::mixed::Mixed;
use self::process::{Dynamic, Request, Template};
use self::sort::Settings;
pub use self::sort::Sort;
use crate::{
    AutoShutdown, Child, ChildId, ChildKind, Intensity, Nested, PartitionedDynamic, Partitions,
    Restart, Shutdown, SpecError, StartTree,
    child::{ActorChild, Sealed},
};

/// The spec of a supervisor whose children have no ids, each started by
/// [`DynamicRef::start_child`]: all `A`s, or of [any kinds](DynamicSupervisor::any).
///
/// Of children of one kind, all alike:
///
/// | setting | unless said |
/// | --- | --- |
/// | [`restart`](Self::restart) | `Permanent` with [`new`](Self::new), `Temporary` with [`temporary`](Self::temporary) |
/// | [`shutdown`](Self::shutdown) | 5 s |
/// | [`arguments`](Self::arguments) | those that are asked for |
/// | [`auto_shutdown`](Self::auto_shutdown) | `Never` |
/// | [`kind`](Self::kind) | `Worker` |
/// | [`child_options`](Self::child_options) | none |
///
/// Of any:
///
/// | setting | unless said |
/// | --- | --- |
/// | [`max_children`](Self::max_children) | no limit |
/// | [`intensity`](Self::intensity) | 3 restarts in 5 s |
/// | [`serial_starts`](Self::serial_starts) | no |
///
/// The `init` of a child runs in the child while the supervisor goes on serving, so that a slow one
/// holds up nobody but who asked for it. When the supervisor stops, all children are told at once, in
/// no promised order, and it ends when the last one has. Starts that are under way are then answered
/// with an error.
///
/// One supervisor is one process: a million children are fine, but their starts and ends all go
/// through its mailbox. With more than one worker, use [`partitions`](Self::partitions).
///
/// # Differences from OTP
/// * Starts are not one at a time, unless asked for.
/// * A child that is being ended by [`terminate_child`](DynamicRef::terminate_child) does not hold up
///   the supervisor.
/// * A child gets its shutdown ahead of the messages it has not read.
pub struct DynamicSupervisor<A: Sort = Any> {
    template: A::Template,
    settings: Settings,
    options: SpawnOptions,
}

impl<A: Actor> Sort for A {
    type Template = Template<A>;
    type Request = Request<A>;
    type Process = Dynamic<A>;

    fn check(template: &Template<A>, _: Sealed) -> Result<(), SpecError> {
        template.check()
    }
}

impl<A: Actor> DynamicSupervisor<A> {
    /// Children are restarted, always unless [`restart`](Self::restart) says otherwise, with a clone of
    /// their arguments. Without `Clone`, use [`temporary`](Self::temporary).
    #[must_use]
    pub fn new() -> Self
    where
        A::Args: Clone,
    {
        Self::temporary().restart(Restart::Permanent)
    }

    /// Children are never restarted. Nothing is kept for them but their places in the process table and
    /// in the supervisor's.
    #[must_use]
    pub fn temporary() -> Self {
        DynamicSupervisor::of(Template::temporary())
    }

    /// When children are restarted.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self
    where
        A::Args: Clone,
    {
        self.template.restart = restart;
        self.template.keep = (restart != Restart::Temporary).then_some(A::Args::clone);
        self
    }

    /// How children are stopped.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.template.shutdown = shutdown;
        self
    }

    /// What a child is started with is what `make` makes of the arguments that were asked for, at each start: the place
    /// for what is the same for all children, which then is not kept for each. OTP's start arguments of a
    /// `simple_one_for_one` supervisor, Elixir's `extra_arguments`.
    ///
    /// It runs in the supervisor. A panic in it is a failed start, that of a restart as well: it counts, and is tried again.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
    /// # use whitebeam_supervisor::DynamicSupervisor;
    /// #[derive(Clone, Default)]
    /// struct ShapeArgs {
    ///     table: String,
    ///     storage: Option<Arc<str>>,
    /// }
    /// # struct Shape(ShapeArgs);
    /// # impl Actor for Shape {
    /// #     type Args = ShapeArgs;
    /// #     type Msg = Reply<Option<Arc<str>>>;
    /// #     async fn init(args: ShapeArgs, _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Shape(args)) }
    /// #     async fn handle(&mut self, reply: Self::Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         reply.send(self.0.storage.clone());
    /// #         Ok(())
    /// #     }
    /// # }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let storage: Arc<str> = "disk".into();
    ///     let shapes = DynamicSupervisor::<Shape>::new()
    ///         .arguments(move |args| ShapeArgs { storage: Some(storage.clone()), ..args })
    ///         .start(&rt)
    ///         .await?;
    ///     let shape = shapes.start_child(ShapeArgs { table: "t".into(), storage: None }).await?;
    ///     assert_eq!(shape.call(|reply| reply).await?.as_deref(), Some("disk"));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn arguments(mut self, make: impl Fn(A::Args) -> A::Args + Send + Sync + 'static) -> Self {
        self.template.arguments = Some(Arc::new(make));
        self
    }

    /// All children are significant: whether the supervisor ends, with `Shutdown`, when one has ended by itself and is
    /// not restarted, or when the last one has. Not for permanent ones:
    /// [`SpecError::Significant`]. A child has left when it had started. The last one may leave while others are in
    /// their first starts: then the supervisor ends if these fail.
    ///
    /// Partitions each end for themselves, and are restarted, without children, by the supervisor above them.
    #[must_use]
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.template.auto_shutdown = auto_shutdown;
        self
    }

    /// What children are in lists and counts: for actors that supervise others themselves. It does not change how they
    /// are [stopped](Self::shutdown).
    #[must_use]
    pub fn kind(mut self, kind: ChildKind) -> Self {
        self.template.kind = kind;
        self
    }

    /// How the process of each child is started. A name can be had by one at a time: the start of a second child is
    /// [`StartError::NameTaken`](whitebeam_actor::StartError::NameTaken); a restart that finds it taken has failed, and is
    /// tried again: without a pause, for as long as another keeps it and the intensity allows.
    #[must_use]
    pub fn child_options(mut self, options: SpawnOptions) -> Self {
        self.template.options = options;
        self
    }
}

impl<A: Sort> DynamicSupervisor<A> {
    fn of(template: A::Template) -> Self {
        DynamicSupervisor { template, settings: Settings::default(), options: SpawnOptions::new() }
    }

    /// Most children at a time, those that are starting included. One more is refused with
    /// [`StartError::MaxChildren`](whitebeam_actor::StartError::MaxChildren). Partitions count each for
    /// itself.
    #[must_use]
    pub fn max_children(mut self, most: usize) -> Self {
        self.settings.max_children = most;
        self
    }

    /// At most `restarts` restarts in any stretch of `period`.
    #[must_use]
    pub fn intensity(self, restarts: u32, period: std::time::Duration) -> Self {
        self.with_intensity(Intensity::Limited { restarts, period })
    }

    /// How many restarts are taken.
    #[must_use]
    pub fn with_intensity(mut self, intensity: Intensity) -> Self {
        self.settings.intensity = intensity;
        self
    }

    /// One start at a time, as in OTP: the next child is started when the `init` of the one before is
    /// done. Restarts do not wait for starts.
    #[must_use]
    pub fn serial_starts(mut self) -> Self {
        self.settings.serial = true;
        self
    }

    /// How the supervisor's own process is started.
    #[must_use]
    pub fn options(mut self, options: SpawnOptions) -> Self {
        self.options = options;
        self
    }

    /// Two tiers: as many supervisors of this kind as `partitions` says, each child under the one that
    /// its key leads to. The options are those of the upper supervisor.
    #[must_use]
    pub fn partitions(mut self, partitions: Partitions) -> PartitionedDynamic<A> {
        let options = std::mem::take(&mut self.options);
        PartitionedDynamic::new(self, partitions, options)
    }

    /// Starts it. Its own end is up to who has the handle: `rt.exit(&supervisor, Shutdown)` ends it
    /// in order.
    pub fn start(self, rt: &Handle) -> StartTree<DynamicRef<A>> {
        if let Err(error) = self.check() {
            return StartTree::failed(error);
        }
        let count = Count::default();
        let args = (self.template, self.settings, count.clone());
        let start = rt.with(self.options).start::<A::Process>(args);
        StartTree::new(async move { Ok(DynamicRef::new(start.await?.into(), count)) })
    }

    /// Starts it linked to the running actor, which is its parent: it ends in order when that one
    /// ends.
    pub fn start_link<C: Actor>(self, cx: &mut Context<C>) -> StartTree<DynamicRef<A>> {
        if let Err(error) = self.check() {
            return StartTree::failed(error);
        }
        let count = Count::default();
        let args = (self.template, self.settings, count.clone());
        let start = cx.with(self.options).start_link::<A::Process>(args);
        StartTree::new(async move { Ok(DynamicRef::new(start.await?.into(), count)) })
    }

    fn check(&self) -> Result<(), SpecError> {
        self.settings.intensity.check()?;
        A::check(&self.template, Sealed::new())
    }
}

impl<A: Actor<Args: Clone>> Default for DynamicSupervisor<A> {
    /// As [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Sort> Nested for DynamicSupervisor<A> {
    type Handle = DynamicRef<A>;

    fn into_child(self, id: ChildId, _: Sealed) -> Child<DynamicRef<A>> {
        let fault = self.check().err();
        let count = Count::default();
        let args = (self.template, self.settings, count.clone());
        let launch = ActorChild::<A::Process>::new(move || Some(args.clone())).fault(fault);
        let launch = launch.asked(|at| Box::new(at));
        let handle = DynamicRef::new(launch.handle(), count);
        Child::supervisor(id, handle, self.options, launch)
    }
}

impl<A: Sort> Clone for DynamicSupervisor<A> {
    fn clone(&self) -> Self {
        DynamicSupervisor {
            template: self.template.clone(),
            settings: self.settings.clone(),
            options: self.options.clone(),
        }
    }
}

impl<A: Sort> fmt::Debug for DynamicSupervisor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicSupervisor")
            .field("template", &self.template)
            .field("max_children", &self.settings.max_children)
            .field("intensity", &self.settings.intensity)
            .field("serial_starts", &self.settings.serial)
            .field("options", &self.options)
            .finish()
    }
}

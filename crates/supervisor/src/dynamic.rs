//! Any number of children of one kind, started and ended at run time.

mod handle;
mod process;

use std::fmt;

use whitebeam_actor::{Actor, ChildRef, Context, Handle, SpawnOptions};

pub(crate) use self::handle::Count;
pub use self::handle::{DynamicRef, StartMany, TerminateChild};
use self::process::{Dynamic, Plan};
use crate::{
    Child, ChildId, Intensity, Nested, PartitionedDynamic, Partitions, Restart, Shutdown,
    SpecError, StartTree,
    child::{ActorChild, Sealed},
};

/// The spec of a supervisor whose children are all `A`s, without ids, each started by
/// [`DynamicRef::start_child`].
///
/// | setting | unless said |
/// | --- | --- |
/// | [`restart`](Self::restart) | `Permanent` with [`new`](Self::new), `Temporary` with [`temporary`](Self::temporary) |
/// | [`shutdown`](Self::shutdown) | 5 s |
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
pub struct DynamicSupervisor<A: Actor> {
    plan: Plan<A>,
    options: SpawnOptions,
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
        let plan = Plan {
            keep: None,
            restart: Restart::Temporary,
            shutdown: Shutdown::WORKER,
            max_children: usize::MAX,
            intensity: Intensity::default(),
            serial: false,
        };
        DynamicSupervisor { plan, options: SpawnOptions::new() }
    }

    /// When children are restarted.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self
    where
        A::Args: Clone,
    {
        self.plan.restart = restart;
        self.plan.keep = (restart != Restart::Temporary).then_some(A::Args::clone);
        self
    }

    /// How children are stopped.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.plan.shutdown = shutdown;
        self
    }

    /// Most children at a time, those that are starting included. One more is refused with
    /// [`StartError::MaxChildren`](whitebeam_actor::StartError::MaxChildren). Partitions count each for
    /// itself.
    #[must_use]
    pub fn max_children(mut self, most: usize) -> Self {
        self.plan.max_children = most;
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
        self.plan.intensity = intensity;
        self
    }

    /// One start at a time, as in OTP: the next child is started when the `init` of the one before is
    /// done. Restarts do not wait for starts.
    #[must_use]
    pub fn serial_starts(mut self) -> Self {
        self.plan.serial = true;
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
        let start = rt.with(self.options).start::<Dynamic<A>>((self.plan, count.clone()));
        StartTree::new(async move { Ok(DynamicRef::new(start.await?.into(), count)) })
    }

    /// Starts it linked to the running actor, which is its parent: it ends in order when that one
    /// ends.
    pub fn start_link<C: Actor>(self, cx: &mut Context<C>) -> StartTree<DynamicRef<A>> {
        if let Err(error) = self.check() {
            return StartTree::failed(error);
        }
        let count = Count::default();
        let start = cx.with(self.options).start_link::<Dynamic<A>>((self.plan, count.clone()));
        StartTree::new(async move { Ok(DynamicRef::new(start.await?.into(), count)) })
    }

    fn check(&self) -> Result<(), SpecError> {
        self.plan.intensity.check()
    }
}

impl<A: Actor<Args: Clone>> Default for DynamicSupervisor<A> {
    /// As [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Actor> Nested for DynamicSupervisor<A> {
    type Handle = DynamicRef<A>;

    fn into_child(self, id: ChildId, _: Sealed) -> Child<DynamicRef<A>> {
        let fault = self.check().err();
        let count = Count::default();
        let (plan, kept) = (self.plan, count.clone());
        let launch =
            ActorChild::<Dynamic<A>>::new(move || Some((plan.clone(), kept.clone()))).fault(fault);
        let handle = DynamicRef::new(launch.handle(), count);
        Child::supervisor(id, handle, self.options, launch)
    }
}

impl<A: Actor> Clone for DynamicSupervisor<A> {
    fn clone(&self) -> Self {
        DynamicSupervisor { plan: self.plan.clone(), options: self.options.clone() }
    }
}

impl<A: Actor> fmt::Debug for DynamicSupervisor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicSupervisor")
            .field("children", &std::any::type_name::<A>())
            .field("restart", &self.plan.restart)
            .field("shutdown", &self.plan.shutdown)
            .field("max_children", &self.plan.max_children)
            .field("intensity", &self.plan.intensity)
            .field("serial_starts", &self.plan.serial)
            .field("options", &self.options)
            .finish()
    }
}

impl<A: Actor> DynamicRef<A> {
    /// Leads to nobody.
    pub(crate) fn nobody() -> Self {
        let gone: ChildRef<_> = whitebeam_actor::ChildSlot::new().child();
        DynamicRef::new(gone, Count::default())
    }
}

//! A fixed number of children of one spec, found by a key.

mod handle;
mod look;
mod process;
mod resize;

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, Answered, CallError, ChildSlot, ChildTag, Context, Handle, SpawnOptions, StartError,
    StartInfo, oneshot,
};

pub use self::handle::PartitionRef;
use self::handle::Table;
pub(crate) use self::process::Partitioned;
use self::process::{Event, Tree};
use crate::{
    AutoShutdown, Child, ChildId, Intensity, Nested, Partitions, Restart, SpecError, StartTree,
    child::{Launch, Launched, Parent, Sealed, launch_supervisor},
    tree::Asked,
};

/// The spec of a supervisor with `n` children, its partitions, made by one function of their index:
/// actors ([`Child::new`]) or supervisors ([`Child::nested`]) alike.
///
/// A caller finds the partition of its key in a shared table ([`PartitionRef::of`]), without asking
/// the supervisor. A partition that ends is restarted on its own, as its spec says, and its handle goes
/// on. A restart that fails counts, and is tried again.
///
/// Partitions start side by side, so they must not need each other in their `init`. If one fails, the
/// others are stopped and the start fails with [`ChildFailed`](crate::ChildFailed); one whose `init` answers `Ignore` is
/// left without a process, and its keys lead to nobody. They stop side by
/// side as well: with each its shutdown time, the whole takes as long as the longest.
///
/// ```
/// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
/// # struct Store(usize);
/// # struct Index(Reply<usize>);
/// # impl Actor for Store {
/// #     type Args = usize;
/// #     type Msg = Index;
/// #     async fn init(index: usize, _cx: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Store(index)) }
/// #     async fn handle(&mut self, Index(reply): Index, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         reply.send(self.0);
/// #         Ok(())
/// #     }
/// # }
/// use whitebeam_supervisor::{Child, PartitionSupervisor, Partitions};
///
/// # let rt = Runtime::builder().workers(1).build()?;
/// # rt.block_on(async {
/// let stores = PartitionSupervisor::new(Partitions::exactly(3), |i| Child::new::<Store>("store", i))
///     .start(&rt)
///     .await?;
/// assert_eq!(stores.of(&4).call(Index).await?, 1);
/// assert_eq!(stores.of(&-1).call(Index).await?, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(()) })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Differences from OTP
/// * Partitions start and stop in parallel, not one after the other.
/// * A supervisor needs no name. One that has a name is found by it: [`PartitionRef::find`].
/// * Starts and stops of a [resize](PartitionRef::resize) go side by side, too.
pub struct PartitionSupervisor<H> {
    partitions: Partitions,
    make: Box<dyn Fn(usize) -> Child<H> + Send>,
    intensity: Intensity,
    options: SpawnOptions,
}

impl<H: Clone + Send + Sync + 'static> PartitionSupervisor<H> {
    /// As many children as `partitions` says; `child` makes the spec of each from its index. It is
    /// called when the supervisor is started, by who starts it.
    #[must_use]
    pub fn new(partitions: Partitions, child: impl Fn(usize) -> Child<H> + Send + 'static) -> Self {
        PartitionSupervisor {
            partitions,
            make: Box::new(child),
            intensity: Intensity::default(),
            options: SpawnOptions::new(),
        }
    }

    /// At most `restarts` restarts in any stretch of `period`; 3 in 5 s unless said.
    #[must_use]
    pub fn intensity(self, restarts: u32, period: std::time::Duration) -> Self {
        self.with_intensity(Intensity::Limited { restarts, period })
    }

    /// How many restarts are taken.
    #[must_use]
    pub fn with_intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// How the supervisor's own process is started.
    #[must_use]
    pub fn options(mut self, options: SpawnOptions) -> Self {
        self.options = options;
        self
    }

    /// Starts it; ready when all partitions have started.
    pub fn start(self, rt: &Handle) -> StartTree<PartitionRef<H>> {
        let table = Arc::new(Table::new());
        let tree = match build(self.partitions, &*self.make, self.intensity, &table, rt.workers()) {
            Ok(tree) => tree,
            Err(error) => return StartTree::failed(error),
        };
        let (ack, started) = oneshot();
        let start = rt.with(self.options).start::<Partitioned>((tree, Some(ack)));
        StartTree::new(async move {
            let root = start.await?;
            children_started(started).await?;
            Ok(PartitionRef::new(root.into(), table))
        })
    }

    /// Starts it linked to the running actor, which is its parent: it ends in order when that one
    /// ends.
    pub fn start_link<C: Actor>(self, cx: &mut Context<C>) -> StartTree<PartitionRef<H>> {
        let table = Arc::new(Table::new());
        let tree = match build(
            self.partitions,
            &*self.make,
            self.intensity,
            &table,
            cx.runtime().workers(),
        ) {
            Ok(tree) => tree,
            Err(error) => return StartTree::failed(error),
        };
        let (ack, started) = oneshot();
        let start = cx.with(self.options).start_link::<Partitioned>((tree, Some(ack)));
        StartTree::new(async move {
            let root = start.await?;
            children_started(started).await?;
            Ok(PartitionRef::new(root.into(), table))
        })
    }
}

/// Makes and checks the children, and fills the table with their handles.
fn build<H>(
    partitions: Partitions,
    make: &(dyn Fn(usize) -> Child<H> + Send),
    intensity: Intensity,
    table: &Arc<Table<H>>,
    workers: usize,
) -> Result<Arc<Tree>, SpecError>
where
    H: Clone + Send + Sync + 'static,
{
    intensity.check()?;
    let count = partitions.count(workers)?;
    let mut handles = Vec::with_capacity(count);
    let mut specs = Vec::with_capacity(count);
    for index in 0..count {
        let mut child = make(index);
        let spec = &mut child.spec;
        if spec.significant {
            return Err(SpecError::Significant {
                id: spec.id.clone(),
                restart: spec.restart,
                auto_shutdown: AutoShutdown::Never,
            });
        }
        spec.prepare(workers)?;
        handles.push(child.handle().clone());
        specs.push(child.spec);
    }
    table.fill(handles);
    Ok(Arc::new(Tree {
        children: Mutex::new(specs),
        intensity,
        in_use: table.in_use.clone(),
        table: table.clone(),
    }))
}

/// The supervisor says so when its last child has started. If one fails it ends, and the reason comes
/// instead.
pub(crate) async fn children_started(answer: Answered<()>) -> Result<(), StartError> {
    match answer.await {
        Ok(()) => Ok(()),
        Err(CallError::Exit(reason)) => Err(StartError::Exit(reason)),
        Err(_) => Err(StartError::ShuttingDown),
    }
}

/// A partition supervisor as a child.
struct NestedPartitions<H> {
    /// Until the children are made, when the tree is started.
    make: Option<Box<dyn Fn(usize) -> Child<H> + Send>>,
    partitions: Partitions,
    intensity: Intensity,
    table: Arc<Table<H>>,
    tree: Option<Arc<Tree>>,
    slot: ChildSlot<Event>,
}

impl<H: Clone + Send + Sync + 'static> Launch for NestedPartitions<H> {
    fn prepare(&mut self, _: &ChildId, _: Restart, workers: usize) -> Result<(), SpecError> {
        if let Some(make) = self.make.take() {
            self.tree = Some(build(self.partitions, &*make, self.intensity, &self.table, workers)?);
        }
        Ok(())
    }

    fn launch(
        &mut self,
        parent: Parent<'_>,
        options: SpawnOptions,
        info: Option<StartInfo>,
    ) -> Launched {
        let Some(tree) = self.tree.clone() else {
            // It was prepared, so it was forgotten: a temporary one has one start.
            return Launched::refused(StartError::Ignore);
        };
        launch_supervisor::<Partitioned, _>(parent, &self.slot, tree, options, info)
    }

    fn gone(&self) {
        self.slot.gone();
        if let Some(tree) = &self.tree {
            tree.children.lock().iter().for_each(|child| child.launch.gone());
        }
    }

    /// The tree is its incarnation's alone from now on.
    fn forget(&mut self) {
        self.tree = None;
    }

    fn tag(&self) -> ChildTag {
        self.slot.tag()
    }

    fn actor(&self) -> &'static str {
        std::any::type_name::<Partitioned>()
    }

    fn address(&self) -> Option<Box<dyn Asked>> {
        Some(Box::new(self.slot.child()))
    }
}

impl<H: Clone + Send + Sync + 'static> Nested for PartitionSupervisor<H> {
    type Handle = PartitionRef<H>;

    fn into_child(self, id: ChildId, _: Sealed) -> Child<PartitionRef<H>> {
        let launch = NestedPartitions {
            make: Some(self.make),
            partitions: self.partitions,
            intensity: self.intensity,
            table: Arc::new(Table::new()),
            tree: None,
            slot: ChildSlot::new(),
        };
        let handle = PartitionRef::new(launch.slot.child(), launch.table.clone());
        Child::supervisor(id, handle, self.options, launch)
    }
}

impl<H> fmt::Debug for PartitionSupervisor<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionSupervisor")
            .field("partitions", &self.partitions)
            .field("intensity", &self.intensity)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

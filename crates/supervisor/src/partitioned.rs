//! Dynamic supervisors in partitions: two tiers.

use std::{fmt, hash::Hash};

use whitebeam_actor::{
    Actor, ChildTag, Context, Handle, Info, Pid, SpawnOptions, Start, StartError, Target,
};

use crate::{
    Any, Child, ChildId, DynamicRef, DynamicSupervisor, Intensity, Nested, PartitionRef,
    PartitionSupervisor, Partitions, Sort, StartTree, TreeWalk, child::Sealed,
};

/// The spec of a dynamic supervisor in partitions: a [`PartitionSupervisor`] over
/// [`DynamicSupervisor`]s of one kind, or of children of any kinds. Made by [`DynamicSupervisor::partitions`].
///
/// A key decides under which of them a child is, by the rule of [`PartitionRef`]. Starts, ends and
/// stops of different partitions go side by side.
#[derive(Debug)]
pub struct PartitionedDynamic<A: Sort = Any> {
    tiers: PartitionSupervisor<DynamicRef<A>>,
}

/// Talks to a dynamic supervisor in partitions. Cheap to clone.
pub struct PartitionedRef<A: Sort = Any> {
    partitions: PartitionRef<DynamicRef<A>>,
}

impl<A: Sort> PartitionedDynamic<A> {
    pub(crate) fn new(
        each: DynamicSupervisor<A>,
        partitions: Partitions,
        options: SpawnOptions,
    ) -> Self {
        let child = move |index: usize| Child::nested(index, each.clone());
        PartitionedDynamic { tiers: PartitionSupervisor::new(partitions, child).options(options) }
    }

    /// How many restarts of partitions the upper supervisor takes; those of children count in their
    /// partition.
    #[must_use]
    pub fn with_intensity(self, intensity: Intensity) -> Self {
        PartitionedDynamic { tiers: self.tiers.with_intensity(intensity) }
    }

    /// How the upper supervisor's process is started.
    #[must_use]
    pub fn options(self, options: SpawnOptions) -> Self {
        PartitionedDynamic { tiers: self.tiers.options(options) }
    }

    /// Starts it; ready when all partitions have started.
    pub fn start(self, rt: &Handle) -> StartTree<PartitionedRef<A>> {
        let tiers = self.tiers.start(rt);
        StartTree::new(async { Ok(PartitionedRef { partitions: tiers.await? }) })
    }

    /// Starts it linked to the running actor, which is its parent: it ends in order when that one
    /// ends.
    pub fn start_link<C: Actor>(self, cx: &mut Context<C>) -> StartTree<PartitionedRef<A>> {
        let tiers = self.tiers.start_link(cx);
        StartTree::new(async { Ok(PartitionedRef { partitions: tiers.await? }) })
    }
}

impl<A: Sort> Nested for PartitionedDynamic<A> {
    type Handle = PartitionedRef<A>;

    fn into_child(self, id: ChildId, sealed: Sealed) -> Child<PartitionedRef<A>> {
        self.tiers.into_child(id, sealed).map(|partitions| PartitionedRef { partitions })
    }
}

impl<A: Actor> PartitionedRef<A> {
    /// Starts a child in the partition of `key`, see [`DynamicRef::start_child`]. Before the partitions are there:
    /// `Restarting`.
    pub fn start_child<K: Hash + ?Sized>(&self, key: &K, args: A::Args) -> Start<A::Msg> {
        match self.partitions.get(key) {
            Some(partition) => partition.start_child(args),
            None => Start::failed(StartError::Restarting),
        }
    }
}

impl PartitionedRef<Any> {
    /// Starts a child in the partition of `key`, see [`DynamicRef::<Any>::start_child`](DynamicRef::start_child).
    pub fn start_child<K, H>(&self, key: &K, child: Child<H>) -> StartTree<H>
    where
        K: Hash + ?Sized,
        H: Send + 'static,
    {
        match self.partitions.get(key) {
            Some(partition) => partition.start_child(child),
            None => StartTree::failed(StartError::Restarting),
        }
    }
}

impl<A: Sort> PartitionedRef<A> {
    /// The supervisor that the children of `key` are under. Before the start it is nobody: `NoSupervisor` for who asks it,
    /// also later.
    pub fn partition<K: Hash + ?Sized>(&self, key: &K) -> DynamicRef<A> {
        self.partitions.get(key).cloned().unwrap_or_else(DynamicRef::nobody)
    }

    /// Number of partitions; 0 before the supervisor is started.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The partitions by index.
    pub fn iter(&self) -> impl Iterator<Item = &DynamicRef<A>> {
        self.partitions.iter()
    }

    /// Children now, in all partitions; see [`DynamicRef::count`].
    pub fn count(&self) -> usize {
        self.iter().map(DynamicRef::count).sum()
    }

    /// A picture of both tiers with their children, as [`SupervisorRef::tree`](crate::SupervisorRef::tree).
    pub fn tree(&self) -> TreeWalk {
        self.partitions.tree()
    }

    /// What can be seen of the upper supervisor now. `None`: it has ended.
    pub fn info(&self) -> Option<Info> {
        self.partitions.info()
    }
}

impl<A: Sort> Target for PartitionedRef<A> {
    /// The pid of the upper supervisor.
    fn target(&self) -> Option<Pid> {
        self.partitions.target()
    }

    fn child_tag(&self) -> Option<ChildTag> {
        self.partitions.child_tag()
    }
}

impl<A: Sort> Clone for PartitionedRef<A> {
    fn clone(&self) -> Self {
        PartitionedRef { partitions: self.partitions.clone() }
    }
}

impl<A: Sort> fmt::Debug for PartitionedRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionedRef({:?})", self.partitions)
    }
}

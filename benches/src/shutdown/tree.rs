//! A started tree of one of the layouts: one face for the three kinds of root.

use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use whitebeam::{
    Child, DynamicRef, DynamicSupervisor, Handle, PartitionRef, PartitionSupervisor,
    PartitionedRef, Partitions, Pid, Start, Target,
};

use super::children::JobChild;
use super::layout::Layout;
use crate::failure::Failure;

/// Time in which a supervisor counts a child that has answered: it is at it, or about to be.
const COUNTED_WITHIN: Duration = Duration::from_secs(10);

/// The tree's root, through which children are started.
pub(crate) enum Tree<C: JobChild> {
    /// Of `flat`.
    Flat(DynamicRef<C>),
    /// Of `partitioned:P`.
    Partitioned(PartitionRef<DynamicRef<C>>),
    /// Of `two-tier[:P]`.
    TwoTier(PartitionedRef<C>),
}

impl<C: JobChild> Clone for Tree<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Flat(root) => Self::Flat(root.clone()),
            Self::Partitioned(root) => Self::Partitioned(root.clone()),
            Self::TwoTier(root) => Self::TwoTier(root.clone()),
        }
    }
}

/// Names the root.
impl<C: JobChild> Target for Tree<C> {
    fn target(&self) -> Option<Pid> {
        match self {
            Self::Flat(root) => root.target(),
            Self::Partitioned(root) => root.target(),
            Self::TwoTier(root) => root.target(),
        }
    }
}

impl<C: JobChild> Tree<C> {
    /// Starts the supervisors, without children so far. `children` is how many there will be at
    /// most.
    ///
    /// # Errors
    ///
    /// When a supervisor does not start.
    pub(crate) async fn start(rt: &Handle, layout: Layout, children: u64) -> Result<Self, Failure> {
        let supervisor = || DynamicSupervisor::<C>::temporary().shutdown(C::shutdown());
        let tree = match layout {
            Layout::Flat => supervisor().start(rt).await.map(Self::Flat),
            Layout::Partitioned(count) => {
                let each = move |_| Child::nested("partition", supervisor());
                PartitionSupervisor::new(Partitions::exactly(count.get()), each)
                    .start(rt)
                    .await
                    .map(Self::Partitioned)
            }
            Layout::TwoTier(count) => {
                let most = usize::try_from(children).unwrap_or(usize::MAX);
                let count = count.map_or(Partitions::for_children(most), |count| {
                    Partitions::exactly(count.get())
                });
                supervisor().partitions(count).start(rt).await.map(Self::TwoTier)
            }
        };
        tree.map_err(Failure::library("starting the supervisors"))
    }

    /// Starts one child under the supervisor that its number leads to.
    pub(crate) fn start_child(&self, number: u64, args: C::Args) -> Start<C::Msg> {
        match self {
            Self::Flat(root) => root.start_child(args),
            Self::Partitioned(root) => root.of(&number).start_child(args),
            Self::TwoTier(root) => root.start_child(&number, args),
        }
    }

    /// The layout, with the number of partitions it came to have.
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Self::Flat(_) => Layout::Flat,
            Self::Partitioned(root) => {
                NonZeroUsize::new(root.len()).map_or(Layout::Flat, Layout::Partitioned)
            }
            Self::TwoTier(root) => Layout::TwoTier(NonZeroUsize::new(root.len())),
        }
    }

    /// All supervisors, the root first.
    pub(crate) fn supervisors(&self) -> Vec<Pid> {
        let partitions =
            self.with_children().into_iter().filter_map(|supervisor| supervisor.target());
        let mut all: Vec<Pid> = self.target().into_iter().chain(partitions).collect();
        // The one of `flat` is both.
        all.dedup();
        all
    }

    /// Children alive, as the supervisors count them.
    ///
    /// A child answers its caller itself and may be faster than its supervisor's counting, so the
    /// supervisors get time to come to `children`. More than that, or less in the end, shows.
    pub(crate) fn count(&self, children: u64) -> u64 {
        let supervisors = self.with_children();
        let start = Instant::now();
        loop {
            let count = supervisors.iter().map(|supervisor| supervisor.count() as u64).sum();
            if count >= children || start.elapsed() > COUNTED_WITHIN {
                return count;
            }
            thread::yield_now();
        }
    }

    /// The supervisors that hold the children.
    fn with_children(&self) -> Vec<DynamicRef<C>> {
        match self {
            Self::Flat(root) => vec![root.clone()],
            Self::Partitioned(root) => root.iter().cloned().collect(),
            // A whole number leads to the partition of its remainder.
            Self::TwoTier(root) => (0..root.len()).map(|index| root.partition(&index)).collect(),
        }
    }
}

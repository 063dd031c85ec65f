//! The handle of a partition supervisor: a table that callers look up themselves.

use std::{
    fmt,
    hash::Hash,
    sync::{Arc, OnceLock},
};

use whitebeam_actor::{ChildRef, ChildTag, FindError, Handle, Info, Pid, Target};

use super::process::{Event, InUse};
use crate::{ChildCounts, ChildEntry, ChildError, ResizeError, TreeWalk, error::not_found, route};

/// Finds the partition of a key. Cheap to clone; it goes on over restarts of partitions and of the
/// supervisor.
///
/// A lookup reads a table and hashes the key; it asks nobody. The table is there when the supervisor has
/// been started: a partition's handle leads to whatever incarnation of it is in force. How many of the partitions are
/// in use may [change](Self::resize).
///
/// What it gives, a [`ChildRef`] or the handle of a supervisor, goes wherever a process is asked for: it is cast to,
/// called, monitored, told to exit, and is no name: nobody can be registered under it.
///
/// # Which partition
/// A key that is one integer, or hashes as one (newtypes of integers, `bool`, `char`, enums without
/// fields), goes to `|k| mod n`; any other key to its SipHash-1-3 mod n. The same key gives the same
/// partition in every thread, process and run.
pub struct PartitionRef<H> {
    root: ChildRef<Event>,
    table: Arc<Table<H>>,
}

/// The partitions' handles by index, once they are made.
pub(crate) struct Table<H> {
    handles: OnceLock<Box<[H]>>,
    pub(super) in_use: Arc<InUse>,
}

impl<H> Table<H> {
    pub(crate) fn new() -> Self {
        Table { handles: OnceLock::new(), in_use: Arc::default() }
    }

    /// Called once, when the children are made.
    pub(crate) fn fill(&self, handles: Vec<H>) {
        self.in_use.set(handles.len());
        let first = self.handles.set(handles.into_boxed_slice());
        debug_assert!(first.is_ok(), "children are made once");
    }

    fn all(&self) -> &[H] {
        self.handles.get().map_or(&[], |handles| handles)
    }

    /// Those in use.
    fn handles(&self) -> &[H] {
        let all = self.all();
        all.get(..self.in_use.get()).unwrap_or(all)
    }
}

/// Where a key leads to among these.
#[inline]
fn of_key<'a, H, K: Hash + ?Sized>(handles: &'a [H], key: &K) -> Option<&'a H> {
    if handles.is_empty() {
        return None;
    }
    handles.get(route::place(key, handles.len()))
}

impl<H: Send + Sync + 'static> PartitionRef<H> {
    /// The supervisor of this name, or pid. It is found once: the handle is of that process. Its keys are looked up as
    /// those of any other handle.
    ///
    /// ```
    /// use whitebeam_actor::{ChildRef, Mailbox, Name, Runtime, SpawnOptions};
    /// use whitebeam_supervisor::{Child, PartitionRef, PartitionSupervisor, Partitions};
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let sink = |index| Child::process(index, |mut mailbox: Mailbox<u32>| async move {
    ///         loop {
    ///             mailbox.recv().await;
    ///         }
    ///     });
    ///     let pool = PartitionSupervisor::new(Partitions::exactly(3), sink);
    ///     pool.options(SpawnOptions::new().name("pool")).start(&rt).await?;
    ///     let pool: PartitionRef<ChildRef<u32>> = PartitionRef::find(&rt, Name::from("pool")).await?;
    ///     assert_eq!(pool.len(), 3);
    ///     pool.of("key").cast(1)?;
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `NoProc` if there is no such process, or it ends meanwhile; `WrongMessage` if it is no partition supervisor, or one
    /// of other partitions; `Full` if its mailbox is bounded and full.
    pub async fn find(rt: &Handle, supervisor: impl Target) -> Result<Self, FindError> {
        let root: ChildRef<Event> = rt.find::<Event>(supervisor)?.into();
        let table = root.call(Event::Table).no_timeout().await.map_err(not_found)?;
        match table.downcast::<Table<H>>() {
            Ok(table) => Ok(PartitionRef::new(root, table)),
            Err(_) => Err(FindError::WrongMessage {
                expected: std::any::type_name::<H>(),
                found: "the handles of other partitions",
            }),
        }
    }
}

impl<H> PartitionRef<H> {
    pub(crate) fn new(root: ChildRef<Event>, table: Arc<Table<H>>) -> Self {
        PartitionRef { root, table }
    }

    /// The partition of `key`.
    ///
    /// When the supervisor was [resized](Self::resize) to 0, it is one that is being stopped, or was: who asks it is told
    /// so. [`get`](Self::get) gives none then.
    ///
    /// # Panics
    /// If there are no partitions yet: the supervisor, described as a child of another one, was not started.
    /// [`get`](Self::get) does not panic.
    pub fn of<K: Hash + ?Sized>(&self, key: &K) -> &H {
        match self.get(key).or_else(|| of_key(self.table.all(), key)) {
            Some(partition) => partition,
            None => panic!("no partition before the supervisor is started: start the tree first"),
        }
    }

    /// The partition of `key`. `None`: no partition is in use, as the supervisor was not started yet, or was
    /// [resized](Self::resize) to 0.
    pub fn get<K: Hash + ?Sized>(&self, key: &K) -> Option<&H> {
        of_key(self.table.handles(), key)
    }

    /// Number of partitions in use; 0 before the supervisor is started. Elixir's `partitions/1`.
    pub fn len(&self) -> usize {
        self.table.handles().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has as many partitions in use, from the first on, as `to` says; at most as many as the supervisor was started
    /// with. Gives how many there were before. Where a key leads to changes with the number.
    ///
    /// Of fewer, those that are too many are stopped, as their specs say, all at once. Keys are not led to them any more
    /// before they are told; who has such a partition's handle already finds `NoProc` there when it has ended. Of more,
    /// those that are missing are started, all at once, and keys are led to them when they have. If one does not
    /// start, all stays as it was.
    ///
    /// Resizes go one after the other. A restart of the supervisor brings all partitions back.
    ///
    /// ```
    /// # use whitebeam_actor::{Mailbox, Runtime};
    /// # use whitebeam_supervisor::{Child, PartitionSupervisor, Partitions, ResizeError};
    /// # let rt = Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// # let sink = |index| Child::process(index, |mut mailbox: Mailbox<u32>| async move {
    /// #     loop {
    /// #         mailbox.recv().await;
    /// #     }
    /// # });
    /// let pool = PartitionSupervisor::new(Partitions::exactly(8), sink).start(&rt).await?;
    /// assert_eq!(pool.resize(3).await?, 8);
    /// assert_eq!((pool.len(), pool.count_children().await?.active), (3, 3));
    /// assert!(matches!(pool.resize(9).await, Err(ResizeError::TooMany { most: 8, .. })));
    /// # Ok::<_, Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `TooMany`; `Start` if a partition did not start; or the supervisor could not be asked.
    pub async fn resize(&self, to: usize) -> Result<usize, ResizeError> {
        let resized = self.root.call(|reply| Event::Resize(to, reply)).no_timeout().await;
        resized.map_err(|error| ResizeError::Supervisor(error.into()))?
    }

    /// All partitions by index, which is their id, also those that are not in use.
    ///
    /// # Errors
    /// The supervisor could not be asked.
    pub async fn which_children(&self) -> Result<Vec<ChildEntry>, ChildError> {
        Ok(self.root.call(Event::WhichChildren).no_timeout().await?)
    }

    /// How many partitions there are, and of how many of them a process is alive.
    ///
    /// # Errors
    /// The supervisor could not be asked.
    pub async fn count_children(&self) -> Result<ChildCounts, ChildError> {
        Ok(self.root.call(Event::CountChildren).no_timeout().await?)
    }

    /// The partitions in use by index.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        self.table.handles().iter()
    }

    /// A picture of this supervisor with all below it, as [`SupervisorRef::tree`](crate::SupervisorRef::tree).
    pub fn tree(&self) -> TreeWalk {
        let handle = self.root.current().map(|current| current.runtime());
        TreeWalk::new(
            self.root.clone(),
            handle,
            std::any::type_name::<super::process::Partitioned>(),
        )
    }

    /// What can be seen of the supervisor itself now. `None`: it has ended.
    pub fn info(&self) -> Option<Info> {
        self.root.info()
    }
}

impl<H> Target for PartitionRef<H> {
    /// The supervisor's own pid.
    fn target(&self) -> Option<Pid> {
        self.root.target()
    }

    fn child_tag(&self) -> Option<ChildTag> {
        self.root.tag()
    }
}

impl<H> Clone for PartitionRef<H> {
    fn clone(&self) -> Self {
        PartitionRef { root: self.root.clone(), table: self.table.clone() }
    }
}

impl<H> fmt::Debug for PartitionRef<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionRef")
            .field("supervisor", &self.target())
            .field("partitions", &self.len())
            .finish()
    }
}

//! The handle of a partition supervisor: a table that callers look up themselves.

use std::{
    fmt,
    hash::Hash,
    sync::{Arc, OnceLock},
};

use whitebeam_actor::{ChildRef, Info, Pid, Target};

use super::process::Event;
use crate::route;

/// Finds the partition of a key. Cheap to clone; it goes on over restarts of partitions and of the
/// supervisor.
///
/// A lookup reads a table and hashes the key; it asks nobody. The table is there when the supervisor has
/// been started, and does not change any more: a partition's handle leads to whatever incarnation of
/// it is in force.
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
pub(crate) struct Table<H>(OnceLock<Box<[H]>>);

impl<H> Table<H> {
    pub(crate) fn new() -> Self {
        Table(OnceLock::new())
    }

    /// Called once, when the children are made.
    pub(crate) fn fill(&self, handles: Vec<H>) {
        let first = self.0.set(handles.into_boxed_slice());
        debug_assert!(first.is_ok(), "children are made once");
    }

    fn handles(&self) -> &[H] {
        self.0.get().map_or(&[], |handles| handles)
    }
}

#[expect(clippy::len_without_is_empty, reason = "once started it is never empty")]
impl<H> PartitionRef<H> {
    pub(crate) fn new(root: ChildRef<Event>, table: Arc<Table<H>>) -> Self {
        PartitionRef { root, table }
    }

    /// The partition of `key`.
    ///
    /// # Panics
    /// If the supervisor, described as a child of another one, was not started yet: there are no
    /// partitions then.
    pub fn of<K: Hash + ?Sized>(&self, key: &K) -> &H {
        match self.find(key) {
            Some(partition) => partition,
            None => panic!("no partition before the supervisor is started: start the tree first"),
        }
    }

    pub(crate) fn find<K: Hash + ?Sized>(&self, key: &K) -> Option<&H> {
        let handles = self.table.handles();
        if handles.is_empty() {
            return None;
        }
        handles.get(route::place(key, handles.len()))
    }

    /// Number of partitions; 0 before the supervisor is started.
    pub fn len(&self) -> usize {
        self.table.handles().len()
    }

    /// The partitions by index.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        self.table.handles().iter()
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

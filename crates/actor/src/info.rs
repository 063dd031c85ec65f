//! What can be seen of a process from outside, at any time.

use whitebeam_sync::shim::atomic::Ordering;

use crate::{Name, Pid, bound, cell::CellRef, ext::Ext};

/// A look at one process. Taken from counters that the process keeps for itself: reading them costs it
/// nothing, and works while it is stuck in a handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Its pid.
    pub pid: Pid,
    /// The name that it is registered under.
    pub name: Option<Name>,
    /// What it is called for people, see [`SpawnOptions::label`](crate::SpawnOptions::label).
    pub label: Option<Name>,
    /// Whether it has something to do.
    pub status: Status,
    /// Its parent's, if a process started it.
    pub parent: Option<Pid>,
    /// Messages (and ends of children) that wait. Exact when nothing is in flight.
    pub mailbox_len: usize,
    /// The longest mailbox since the start, at least `mailbox_len`. Taken where the inbox is drained: it
    /// misses at most what was handled since the last drain.
    pub mailbox_high_water: usize,
    /// How many messages may wait, if that is [bounded](crate::SpawnOptions::bounded).
    pub mailbox_bound: Option<usize>,
    /// Messages that the bound's policy has dropped: [`Overflow::DropNewest`](crate::Overflow::DropNewest),
    /// [`Overflow::DropOldest`](crate::Overflow::DropOldest).
    pub dropped: u64,
    /// Messages taken from the mailbox so far, modulo 2^32.
    pub handled: u32,
    /// Whether a handler is suspended at an await.
    pub is_suspended: bool,
    /// Bytes of the process's cell and of its table of children, without what its state owns.
    pub memory: usize,
    /// The actor's type.
    pub actor: &'static str,
}

/// What a process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It has nothing to do: it waits for a message, or a suspended handler waits for something.
    Waiting,
    /// It runs, or will when its turn comes. A process that has just run out of work may still be here for a
    /// moment.
    Running,
}

pub(crate) fn of(cell: &CellRef) -> Option<Info> {
    let ptr = cell.ptr();
    if ptr.is_ended() {
        return None;
    }
    let header = ptr.header();
    let len = header.mailbox_len();
    let bound = bound::look(ptr);
    let high = bound.as_ref().map_or(0, |bound| bound.high);
    let high = header.high.load(Ordering::Relaxed).max(high).max(len);
    Some(Info {
        pid: ptr.pid(),
        name: ptr.shared().names().name_of(ptr),
        label: Ext::label_of(ptr),
        status: if header.inbox.is_idle() { Status::Waiting } else { Status::Running },
        parent: header.parent_pid(),
        mailbox_len: len as usize,
        mailbox_high_water: high as usize,
        mailbox_bound: bound.as_ref().map(|bound| bound.limit),
        dropped: bound.as_ref().map_or(0, |bound| bound.dropped),
        handled: header.taken.load(Ordering::Relaxed),
        is_suspended: !header.frame.load(Ordering::Relaxed).is_null(),
        memory: ptr.memory(),
        actor: (ptr.vt().type_name)(),
    })
}

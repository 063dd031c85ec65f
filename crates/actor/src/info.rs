//! What can be seen of a process from outside, at any time.

use whitebeam_sync::shim::atomic::Ordering;

use crate::{Pid, cell::CellRef};

/// A look at one process. Taken from counters that the process keeps for itself: reading them costs it
/// nothing, and works while it is stuck in a handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Its pid.
    pub pid: Pid,
    /// Its parent's, if a process started it.
    pub parent: Option<Pid>,
    /// Messages (and ends of children) that wait. Exact when nothing is in flight.
    pub mailbox_len: usize,
    /// The longest mailbox since the start, at least `mailbox_len`. Taken where the inbox is drained: it
    /// misses at most what was handled since the last drain.
    pub mailbox_high_water: usize,
    /// Messages taken from the mailbox so far, modulo 2^32.
    pub handled: u32,
    /// Whether a handler is suspended at an await.
    pub is_suspended: bool,
    /// Bytes of the process's cell and of its table of children, without what its state owns.
    pub memory: usize,
    /// The actor's type.
    pub actor: &'static str,
}

pub(crate) fn of(cell: &CellRef) -> Option<Info> {
    let ptr = cell.ptr();
    if ptr.is_ended() {
        return None;
    }
    let header = ptr.header();
    let len = header.mailbox_len();
    let high = header.high.load(Ordering::Relaxed).max(len);
    Some(Info {
        pid: ptr.pid(),
        parent: header.parent_pid(),
        mailbox_len: len as usize,
        mailbox_high_water: high as usize,
        handled: header.taken.load(Ordering::Relaxed),
        is_suspended: !header.frame.load(Ordering::Relaxed).is_null(),
        memory: ptr.memory(),
        actor: (ptr.vt().type_name)(),
    })
}

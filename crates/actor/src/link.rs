//! Links: bidirectional, at most one per pair.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

use crate::{
    ExitReason, Pid,
    cell::{CellPtr, CellRef, flag},
    ext::Ext,
    signal::{self, Signal},
};

/// Links `owner` and `target` (`None`: nobody by that pid).
///
/// # Safety
/// The caller is `owner`'s owner.
pub(crate) unsafe fn link(owner: CellPtr, pid: Pid, target: Option<CellRef>) {
    if pid == owner.pid() {
        return;
    }
    let Some(target) = target else { return broken(owner, pid) };
    // SAFETY: the caller's word.
    let ext = unsafe { Ext::of(owner) };
    if ext.links.contains_key(&pid) {
        return;
    }
    ext.links.insert(pid, target.clone());
    if signal::send(target.ptr(), Signal::Link { from: owner.to_ref() }).is_err() {
        // The link stays on this side: it is what lets the signal below through.
        signal::send_exit(owner, Some(pid), ExitReason::NoProc, true);
    }
}

/// There is nobody to link to: the exit signal `NoProc`, as over a link that broke.
fn broken(owner: CellPtr, pid: Pid) {
    let from = Some(pid);
    if signal::send(owner, Signal::Exit { from, reason: ExitReason::NoProc, link: false }).is_ok() {
        owner.raise(flag::SIGNAL);
    }
}

/// Removes the link between `owner` and `pid`. From now on it has no effect on `owner`.
///
/// # Safety
/// The caller is `owner`'s owner.
pub(crate) unsafe fn unlink(owner: CellPtr, pid: Pid) {
    // SAFETY: the caller's word.
    let target = unsafe { Ext::get(owner) }.and_then(|ext| ext.links.remove(&pid));
    if let Some(target) = target {
        let _ = signal::send(target.ptr(), Signal::Unlink { from: owner.pid() });
    }
}

/// The other side has taken the link back.
pub(crate) fn receive_unlink(cell: CellPtr, from: Pid) {
    // SAFETY: called in the drain of the owner's run.
    if let Some(ext) = unsafe { Ext::get(cell) } {
        ext.links.remove(&from);
    }
}

/// Both sides are made before the child runs: `spawn_link`.
///
/// # Safety
/// The caller owns both cells. `child` is not published yet: the caller counts one reference for the
/// spawner's side when it publishes it.
pub(crate) unsafe fn link_at_spawn(owner: CellPtr, child: CellPtr, pid: Pid) {
    // SAFETY: the caller's word.
    unsafe { Ext::of(owner) }.links.insert(pid, CellRef::adopt(child));
    // SAFETY: the caller's word.
    unsafe { Ext::of(child) }.links.insert(owner.pid(), owner.to_ref());
}

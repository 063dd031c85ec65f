//! The end of a process: who decides it, and what goes in which order.
//!
//! ```text
//! doom            the first reason wins; only a kill, or an exit signal that does not wait for the
//!                 handler, overtakes an end that does
//! terminate       orderly ends only, in a frame of its own (see `run`)
//! finish          1 frame, then state dropped, on this worker
//!                 2 name and timers off
//!                 3 inbox closed: the process counts as dead
//!                 4 its own children, if any are left, are told to shut down
//!                 5 links and monitors fired, its own monitors taken back
//!                 6 replies that its last code dropped are answered
//!                 7 DOWN to the supervising parent, with the alive reference
//! dispose         the backlog, in slices, off the critical path; each request in it is answered with
//!                 the exit reason
//! ```
//!
//! No step is skipped by a panic in the user's destructors: each is caught, and a panic while the frame
//! or the state is dropped becomes the reason if the end would have been an orderly one.
#![expect(unsafe_code, reason = "drops frame and state, and hands the alive reference over")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{NonNull, null_mut},
};

use whitebeam_scheduler::Ran;
use whitebeam_sync::{inbox::Push, node::Node, shim::atomic::Ordering};

use crate::{
    ExitReason, call,
    cell::{CellPtr, bit},
    children,
    ext::{self, Ext},
    frame, local,
    monitor::Down,
    signal,
};

/// How a process is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// By its own `stop` or error: after its handler, with `terminate`.
    Own,
    /// Told by its parent: with `terminate`; a suspended handler is let finish if exits are trapped.
    Orderly,
    /// At once, without `terminate`.
    Abrupt,
}

/// Decides the end of `cell`. Called by the owner. A reason without a value needs no memory.
pub(crate) fn doom(cell: CellPtr, reason: ExitReason, how: How) {
    let header = cell.header();
    if header.has(bit::ENDED) {
        return;
    }
    let waits = how == How::Own || (how == How::Orderly && header.has(bit::TRAP));
    let overtakes = !header.has(bit::DOOMED)
        // A kill ends whatever takes its time: a handler that finishes, or `terminate`.
        || matches!(reason, ExitReason::Killed)
        || (header.has(bit::DOOM_WAITS) && !waits && !header.has(bit::TERMINATING));
    if overtakes {
        // SAFETY: callers are owners, and the process has not ended.
        unsafe { ext::set_exit_reason(cell, &reason) };
        header.clear(bit::DOOM_WAITS | bit::DOOM_ORDERLY);
        let waits = if waits { bit::DOOM_WAITS } else { 0 };
        let orderly = if how == How::Abrupt { 0 } else { bit::DOOM_ORDERLY };
        header.set(bit::DOOMED | waits | orderly);
    }
}

/// Drops the suspended frame, if there is one. A panic in it is handed back.
pub(crate) fn drop_frame(cell: CellPtr) -> Option<ExitReason> {
    let frame = NonNull::new(cell.header().frame.load(Ordering::Relaxed))?;
    cell.header().frame.store(null_mut(), Ordering::Relaxed);
    // SAFETY: the caller owns the cell; the frame was its own and is out of it.
    catch_unwind(AssertUnwindSafe(|| unsafe { frame::drop_suspended(frame) }))
        .err()
        .map(ExitReason::from_panic)
}

fn drop_state(cell: CellPtr) -> Option<ExitReason> {
    let header = cell.header();
    if !header.has(bit::STATE) {
        return None;
    }
    header.clear(bit::STATE);
    if !cell.vt().needs_drop {
        return None;
    }
    // SAFETY: the bit said that the state is there, and the frame, which borrowed it, is gone.
    catch_unwind(AssertUnwindSafe(|| unsafe { (cell.vt().drop_state)(cell) }))
        .err()
        .map(ExitReason::from_panic)
}

/// Whether anything is left to do for an ended cell.
#[must_use]
pub(crate) enum Left {
    /// Nothing: the cell may be gone.
    Nothing,
    /// The backlog: the cell is kept, and [`dispose`] must run.
    Backlog,
}

/// Carries out steps 1 to 7. The caller owns the cell and does so after only if there is a backlog.
pub(crate) fn finish(cell: CellPtr, reason: ExitReason) -> Left {
    let left = finish_but_for_parent(cell, reason);
    report(cell);
    left
}

/// Steps 1 to 6: for a parent that ends its child inline and counts it off itself.
///
/// With a backlog the cell is kept by a reference of its own.
pub(crate) fn finish_but_for_parent(cell: CellPtr, reason: ExitReason) -> Left {
    let header = cell.header();
    let _running = local::Running::enter(cell);
    let panicked = drop_frame(cell);
    let panicked = drop_state(cell).or(panicked);
    // What starter and callers are told.
    let answer = match panicked {
        Some(panic) if reason.is_orderly() => panic,
        _ => reason,
    };
    // A starter is told `Ignore`; the process itself ends quietly.
    let is_ignored = matches!(answer, ExitReason::Ignore) && header.has(bit::INIT);
    let reason = if is_ignored { &ExitReason::Normal } else { &answer };
    // SAFETY: the caller owns the cell, whose end is not published yet.
    unsafe { ext::set_exit_reason(cell, reason) };
    release_resources(cell);
    header.set(bit::ENDED);
    let children = children::gather(cell);
    // SAFETY: the caller owns the cell, and this is the only reference to the cursor.
    let cursor = unsafe { cell.cursor() };
    if !header.inbox.is_closed() {
        // SAFETY: as above.
        unsafe {
            header
                .inbox
                .close(cursor, |cursor, node| signal::receive_late(cell, cursor, node, reason));
        }
    }
    cell.shared().countdown().ended(cell);
    children::orphan(cell, &children);
    fire(cell, reason);
    call::flush_deferred(Some(&answer));
    if cursor.is_empty() {
        return Left::Nothing;
    }
    header.slot.acquire();
    Left::Backlog
}

/// Step 2.
fn release_resources(cell: CellPtr) {
    // SAFETY: the caller owns the cell.
    let Some(ext) = (unsafe { Ext::get(cell) }) else { return };
    if let Some(name) = ext.name.take() {
        cell.shared().names().remove(&name, cell.pid());
    }
    for (_, timer) in ext.timers.drain() {
        timer.cancel(cell.shared());
    }
    ext.trap = None;
}

/// Step 5.
fn fire(cell: CellPtr, reason: &ExitReason) {
    // SAFETY: the caller owns the cell.
    let Some(ext) = (unsafe { Ext::get(cell) }) else { return };
    let pid = cell.pid();
    for (_, linked) in std::mem::take(&mut ext.links) {
        signal::send_exit(linked.ptr(), Some(pid), reason.clone(), true);
    }
    for (_, watcher) in std::mem::take(&mut ext.watchers) {
        watcher.fire(Down { pid, reason: reason.clone() });
    }
    for (id, watched) in std::mem::take(&mut ext.monitors) {
        watched.forget((pid.to_bits(), id));
    }
}

/// Step 7: the alive reference goes with the DOWN, or is released.
fn report(cell: CellPtr) {
    let Some(parent) = children::supervisor_of(cell) else {
        cell.release();
        return;
    };
    // SAFETY: the embedded node is used once, here; the alive reference keeps it until it is taken.
    match unsafe { parent.header().inbox.push_one(cell.down_node()) } {
        // To the back: more DOWNs gather before the supervisor runs.
        Push::Schedule => parent.shared().scheduler().schedule_back(parent.runnable()),
        Push::Queued => {}
        Push::Closed => children::orphan_ended(parent, cell),
    }
}

/// Nodes of a backlog that are dropped in one turn.
const DISPOSED_PER_TURN: usize = 1024;

/// Drops a slice of an ended cell's backlog.
pub(crate) fn dispose(cell: CellPtr) -> Ran {
    let reason = ext::exit_reason(cell);
    let header = cell.header();
    for _ in 0..DISPOSED_PER_TURN {
        // SAFETY: the backlog's reference makes this run the cell's only owner.
        let Some(node) = (unsafe { cell.cursor() }).pop() else {
            cell.release();
            return Ran::Done;
        };
        // SAFETY: popped: ours.
        let vt = unsafe { Node::vt(node) };
        header.took(u32::from(vt.counted));
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: nobody handled it: its payload is there. `dispose` frees before it drops.
            local::dying(&reason, || unsafe { (vt.dispose)(node) });
        }));
        if let Err(panic) = dropped {
            // Told to the panic hook already; the process has its reason.
            drop(ExitReason::from_panic(panic));
        }
    }
    Ran::Again
}

//! The end of a process: who decides it, and what goes in which order.
//!
//! ```text
//! doom            the first reason wins; only a kill, or an exit signal that does not wait for the
//!                 handler, overtakes an end that does
//! terminate       orderly ends only, in a frame of its own (see `run`)
//! finish          1 frame, then attached work, then state dropped, on this worker
//!                 2 name, timers and aliases off
//!                 3 inbox closed: the process counts as dead; what is kept of it for the next incarnation is
//!                   taken out
//!                 4 its own children, if any are left, are told to shut down
//!                 5 links and monitors fired, its own monitors taken back
//!                 6 DOWN to the supervising parent, with the alive reference
//!                 7 replies that its last code dropped are answered
//! dispose         the backlog, in slices, off the critical path; each request in it is answered with
//!                 the exit reason, the rest goes to the policy for it (see `unread`)
//! ```
//!
//! If its own code has ended it abnormally there is a report, made between these steps and delivered behind
//! them: see [`crash`](crate::crash).
//!
//! No step is skipped by a panic in the user's destructors: each is caught, and a panic while the frame, attached work
//! or the state is dropped becomes the reason if the end would have been an orderly one.
#![expect(unsafe_code, reason = "drops frame and state, and hands the alive reference over")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::ptr::{NonNull, null_mut};

use whitebeam_scheduler::{Ran, RunHeader};
use whitebeam_sync::{inbox::Push, node::Node, shim::atomic::Ordering};

use crate::{
    ExitReason, bound, call,
    cell::{CellPtr, bit, flag},
    children,
    contain::contain,
    crash::{self, Crash},
    ext::{self, Ext, Map},
    frame, lane,
    local::{self, StandIn},
    message::tag,
    monitor::Down,
    signal,
    simulate::{Event, tell_of},
    timeouts,
    unread::{self, Disposal},
    work,
};

/// How a process is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// By its own `stop` or error: after its handler, with `terminate`; a body in the process form, at its await.
    Own,
    /// As `Own`, but asked for by another.
    Asked,
    /// Told by its parent: with `terminate`; a suspended handler is let finish if exits are trapped.
    Orderly,
    /// At once, without `terminate`.
    Abrupt,
    /// As `Abrupt`, by its own `init`, which has failed.
    Failed,
    /// As `Abrupt`, by a panic of its own while a message was made of a signal.
    Broken,
    /// As `Broken`, in attached work.
    BrokenWork,
}

impl How {
    /// Whether an end with an abnormal reason is a crash, and where it was then.
    fn crashes(self) -> Option<u32> {
        match self {
            How::Own | How::Failed => Some(0),
            How::Broken => Some(flag::IN_OTHER),
            How::BrokenWork => Some(flag::IN_WORK),
            How::Asked | How::Orderly | How::Abrupt => None,
        }
    }
}

/// Decides the end of `cell`. Called by the owner. A reason without a value needs no memory.
pub(crate) fn doom(cell: CellPtr, reason: ExitReason, how: How) {
    let header = cell.header();
    if header.has(bit::ENDED) {
        return;
    }
    // A body goes on for as long as it likes: its end comes at its next await.
    let waits = (matches!(how, How::Own | How::Asked)
        || (how == How::Orderly && header.has(bit::TRAP)))
        && !cell.vt().is_process;
    let is_kill = how == How::Abrupt && matches!(reason, ExitReason::Killed);
    let overtakes = if !header.has(bit::DOOMED) {
        true
    } else if is_kill {
        // It ends whatever takes its time: a handler that may finish, or `terminate`.
        let terminates = header.has(bit::DOOM_ORDERLY) && !cell.vt().ends_inline;
        header.has(bit::DOOM_WAITS) || terminates
    } else {
        header.has(bit::DOOM_WAITS) && !waits && !header.has(bit::TERMINATING)
    };
    if overtakes {
        // SAFETY: callers are owners, and the process has not ended.
        unsafe { ext::set_exit_reason(cell, &reason) };
        header.clear(bit::DOOM_WAITS | bit::DOOM_ORDERLY | bit::CRASHED);
        let waits = if waits { bit::DOOM_WAITS } else { 0 };
        let is_abrupt = matches!(how, How::Abrupt | How::Failed | How::Broken | How::BrokenWork);
        let orderly = if is_abrupt { 0 } else { bit::DOOM_ORDERLY };
        let crash = if reason.is_orderly() { None } else { how.crashes() };
        header.note_place(crash.unwrap_or(0));
        let crash = if crash.is_some() { bit::CRASHED } else { 0 };
        header.set(bit::DOOMED | waits | orderly | crash);
    }
}

/// Whether an end was decided that the suspended code of `cell` does not hold up: that of a body in the process form.
pub(crate) fn comes_at_its_await(cell: CellPtr) -> bool {
    cell.header().has(bit::DOOMED) && cell.vt().is_process
}

/// The handler that an end was decided in has finished: nothing is waited for but `terminate`.
pub(crate) fn waited(cell: CellPtr) {
    cell.header().clear(bit::DOOM_WAITS);
}

/// Drops the suspended frame, if there is one. A panic in it is handed back.
pub(crate) fn drop_frame(cell: CellPtr) -> Option<ExitReason> {
    let frame = NonNull::new(cell.header().frame.load(Ordering::Relaxed))?;
    cell.header().frame.store(null_mut(), Ordering::Relaxed);
    // SAFETY: the caller owns the cell; the frame was its own and is out of it.
    contain(|| unsafe { frame::drop_suspended(frame) }).err()
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
    contain(|| unsafe { (cell.vt().drop_state)(cell) }).err()
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
    let Ended { left, answer, crash } = finish_but_for_replies(cell, reason);
    report(cell);
    // Behind the DOWN in the parent's stream: who is told that a start has failed may ask for the next
    // one at once, and finds the place free.
    call::flush_deferred(Some(&answer));
    if let Some(crash) = crash {
        crash.deliver();
    }
    left
}

/// All steps but the DOWN: for a parent that ends its child inline and counts it off itself.
///
/// With a backlog the cell is kept by a reference of its own.
pub(crate) fn finish_but_for_parent(cell: CellPtr, reason: ExitReason) -> Left {
    let Ended { left, answer, crash } = finish_but_for_replies(cell, reason);
    call::flush_deferred(Some(&answer));
    if let Some(crash) = crash {
        crash.deliver();
    }
    left
}

/// What steps 1 to 5 have left to do.
struct Ended {
    left: Left,
    /// The reason that step 7 answers with.
    answer: ExitReason,
    /// To be delivered behind that.
    crash: Option<Box<Crash>>,
}

/// Steps 1 to 5.
fn finish_but_for_replies(cell: CellPtr, reason: ExitReason) -> Ended {
    let header = cell.header();
    let _running = local::Running::enter(cell);
    let panicked = drop_frame(cell);
    let panicked = work::drop_all(cell).or(panicked);
    let mut looked = None;
    if header.has(bit::CRASHED | bit::PARENT) {
        if header.has(bit::CRASHED) {
            looked = crash::look(cell);
        }
        if header.has(bit::PARENT) {
            children::name(cell);
        }
    }
    let panicked = drop_state(cell).or(panicked);
    // What starter and callers are told.
    let answer = match panicked {
        Some(panic) if reason.is_orderly() => {
            crash::panicked(cell);
            panic
        }
        _ => reason,
    };
    // A starter is told `Ignore`; the process itself ends quietly.
    let is_ignored = matches!(answer, ExitReason::Ignore) && header.has(bit::INIT);
    let reason = if is_ignored { &ExitReason::Normal } else { &answer };
    // SAFETY: the caller owns the cell, whose end is not published yet.
    unsafe { ext::set_exit_reason(cell, reason) };
    tell_of(cell, || Event::Exited { pid: cell.pid(), reason });
    let mut crash = None;
    if header.has(bit::CRASHED) {
        crash = crash::begin(cell, looked, &answer);
    }
    release_resources(cell);
    header.set(bit::ENDED | bit::LEAVING);
    let children = children::gather(cell);
    if let Some(crash) = &crash {
        crash.publish();
    }
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
    let has_part = !header.ext.load(Ordering::Relaxed).is_null();
    if has_part {
        if header.is_bounded() {
            bound::close(cell, cursor, reason);
        }
        // SAFETY: as above; no reference into its part is alive.
        unsafe { lane::close(cell, cursor) };
        if header.has(bit::PARENT) {
            children::publish(cell);
        }
    }
    // Given to it by another at this very moment.
    cell.shared().names().ended(cell);
    cell.shared().countdown().ended(cell);
    if let Some(crash) = &mut crash {
        crash.count_unread(cell);
    }
    if has_part {
        // Before anybody who may start the next incarnation is told.
        // SAFETY: as above.
        unsafe { unread::keep(cell, cursor, reason) };
    }
    children::orphan(cell, &children);
    fire(cell, reason);
    let left = if cursor.is_empty() {
        header.clear(bit::LEAVING);
        // SAFETY: as above.
        unsafe { unread::over(cell) };
        Left::Nothing
    } else {
        header.slot.acquire();
        Left::Backlog
    };
    Ended { left, answer, crash }
}

/// Step 2.
fn release_resources(cell: CellPtr) {
    if cell.header().has(bit::LOOK) {
        timeouts::leave(cell);
    }
    cell.shared().names().ended(cell);
    // SAFETY: the caller owns the cell.
    let Some(ext) = (unsafe { Ext::get(cell) }) else { return };
    if !ext.aliases.is_empty() {
        ext.aliases.clear();
    }
    let idle = ext.idle.take();
    let _ = contain(|| drop(idle));
    for timer in ext.timers.take().into_iter().flat_map(|timers| timers.into_pending()) {
        // With the message or the closure, which are the user's.
        let _ = contain(|| timer.cancel(cell.shared()));
    }
    let trap = ext.trap.take();
    let receiver = ext.receiver.take();
    let _ = contain(|| drop(trap));
    if receiver.is_some() {
        // It may keep the cell, which keeps it.
        let _ = contain(|| drop(receiver));
    }
}

/// Step 5.
fn fire(cell: CellPtr, reason: &ExitReason) {
    // SAFETY: the caller owns the cell.
    let Some(ext) = (unsafe { Ext::get(cell) }) else { return };
    let pid = cell.pid();
    // Most have none of one kind or the other: a look is cheaper than a walk through nothing.
    if !ext.links.is_empty() {
        for (_, half) in in_order(cell, std::mem::take(&mut ext.links)) {
            if let Some(other) = half.into_other() {
                signal::send_exit(other.ptr(), Some(pid), reason.clone(), true);
            }
        }
    }
    if !ext.watchers.is_empty() {
        for (_, watcher) in in_order(cell, std::mem::take(&mut ext.watchers)) {
            watcher.fire(Down::of(pid, reason.clone()));
        }
    }
    if !ext.monitors.is_empty() {
        for (id, watched) in in_order(cell, std::mem::take(&mut ext.monitors)) {
            // With the constructor, which is the user's.
            let _ = contain(|| watched.forget((pid.in_runtime(), id)));
        }
    }
}

/// The map's entries. Of an observed process in the order of their keys: that of a walk depends on the machine,
/// by what its hash function and its hash table make use of.
fn in_order<K: Ord, V>(cell: CellPtr, map: Map<K, V>) -> impl Iterator<Item = (K, V)> {
    let (walk, sorted) = if cell.header().has(bit::OBSERVED) {
        let mut sorted: Vec<_> = map.into_iter().collect();
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        (None, Some(sorted))
    } else {
        (Some(map), None)
    };
    walk.into_iter().flatten().chain(sorted.into_iter().flatten())
}

/// Step 6: the alive reference goes with the DOWN, or is released.
fn report(cell: CellPtr) {
    let Some(parent) = children::supervisor_of(cell) else {
        cell.release();
        return;
    };
    // The parent is kept for this child until it takes the node, and may be gone then.
    // SAFETY: the embedded node is used once, here; the alive reference keeps it until it is taken.
    match unsafe { parent.header().inbox.push_last(cell.down_node(), || parent.to_ref()) } {
        // To the back: more DOWNs gather before the supervisor runs.
        Push::Schedule => parent.shared().scheduler().schedule_back(parent.runnable()),
        Push::Queued => {}
        Push::Closed => children::orphan_ended(parent, cell),
    }
}

/// The function behind [`RunVt::dropped`](whitebeam_scheduler::RunVt::dropped): scheduled when the runtime had
/// stopped, as by a spawn that had looked before whether it may.
///
/// On the thread that scheduled it, which may be in the middle of anything: the workers are gone.
pub(crate) unsafe fn dropped(header: NonNull<RunHeader>) {
    // SAFETY: run queues hold cells that stay allocated while they are scheduled.
    let cell = unsafe { CellPtr::new(header.cast()) };
    // The cell may be the last to keep it.
    let shared = cell.shared().arc();
    let _worker = StandIn::enter(&shared);
    let _ = contain(|| finish_scheduled(cell));
}

/// Does what is left to do for a cell that was scheduled and that no worker will run: its runtime stops.
pub(crate) fn finish_scheduled(cell: CellPtr) {
    if cell.header().has(bit::ENDED) {
        return dispose_here(cell);
    }
    let never_begun = take_init(cell);
    finish_here(cell, ExitReason::Killed);
    if let Some(init) = never_begun {
        // SAFETY: taken out of the mailbox, unread.
        let vt = unsafe { Node::vt(init) };
        // Not by a kill: its starter is told that nothing is started any more.
        // SAFETY: as above.
        let _ = contain(|| unsafe { (vt.dispose)(init) });
    }
}

/// What a process that has never run was to be started with.
pub(crate) fn take_init(cell: CellPtr) -> Option<NonNull<Node>> {
    // SAFETY: the caller owns the cell, and this is the only reference to the cursor.
    let cursor = unsafe { cell.cursor() };
    let first = cursor.peek()?;
    // SAFETY: a node in the private FIFO is whole, and the owner's.
    let is_init = unsafe { Node::vt(first) }.tag == tag::INIT;
    if is_init { cursor.pop() } else { None }
}

/// Ends a process on this thread, its backlog included. The caller owns the cell.
pub(crate) fn finish_here(cell: CellPtr, reason: ExitReason) {
    if let Left::Backlog = finish(cell, reason) {
        dispose_here(cell);
    }
}

/// Drops an ended cell's backlog, all of it, on this thread.
pub(crate) fn dispose_here(cell: CellPtr) {
    while let Ran::Again = dispose(cell) {}
}

/// Nodes of a backlog that are dropped in one turn.
const DISPOSED_PER_TURN: usize = 1024;

/// Disposes of a slice of an ended cell's backlog.
pub(crate) fn dispose(cell: CellPtr) -> Ran {
    // SAFETY: the backlog's reference makes this run the cell's only owner; no reference into its part is alive.
    let mut disposal = unsafe { Disposal::begin(cell, ext::exit_reason(cell)) };
    for _ in 0..DISPOSED_PER_TURN {
        // SAFETY: as above.
        let Some(node) = (unsafe { cell.cursor() }).pop() else {
            drop(disposal);
            // SAFETY: as above.
            unsafe { unread::over(cell) };
            cell.header().clear(bit::LEAVING);
            cell.release();
            return Ran::Done;
        };
        // SAFETY: popped: ours.
        unsafe { disposal.dispose(node) };
    }
    Ran::Again
}

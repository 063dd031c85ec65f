//! One turn of an actor: drain, signals, the suspended handler, messages, settle.
//!
//! ```text
//!   drain ──▶ attend (flags, an end that was decided, a suspended handler, children's ends)
//!     ▲            │
//!     │            ▼
//!     │        messages, one at a time, until none is left, the turn is over, or a flag is up
//!     │            │
//!     └── new ── look ── nothing new: quiet, until the worker settles it: then it is idle, and the cell may
//!                         not be touched any more
//! ```
//!
//! Panics are caught once per turn, not per message; the turn ends with one.
#![expect(unsafe_code, reason = "the owner's loop: cursor, state and frame by pointer")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

mod heed;
mod init;
mod name;
pub(crate) mod observed;
mod others;
mod shape;
mod table;

pub(crate) use others::obey;
pub(crate) use shape::Shape;
pub(crate) use table::Table;

use std::{
    ptr::{NonNull, null_mut},
    task::Poll,
};

use whitebeam_scheduler::{Ran, RunHeader, Turn};
use whitebeam_sync::{inbox::Drained, node::Node, shim::atomic::Ordering};

use crate::{
    Actor, ExitReason,
    bound::ring,
    call::{self, CallNode},
    cell::{CellPtr, bit, flag},
    children,
    contain::contain,
    crash, deadlock,
    end::{self, How, Left},
    ext,
    frame::{self, First, FrameHdr, Outcome},
    inspect::level,
    local::{self, Running},
    message::{self, tag},
    narrow, process, signal, spawn, unread, waker, watermark, work,
};
use heed::{BEFORE_MESSAGES, Heeded, before_messages, heed};
use init::{body_began, init_done, start_init};
use shape::has_terminate;

/// What a turn came to.
enum Flow {
    /// Nothing is left. Still the turn's own: not settled.
    Quiet,
    /// Work is left.
    Again,
    /// The process is to end now.
    End,
}

/// What is to be done after [`attend`].
enum Next {
    Messages,
    /// A handler is suspended: nothing to do until it is woken.
    Settle,
    /// Look at the inbox again.
    Drain,
    Leave(Flow),
}

/// Bits that [`attend`] looks after.
const ATTENTION: u32 = bit::DOOMED
    | bit::YIELDED
    | bit::CHILDREN_DOWN
    | bit::POLL
    | bit::OBSERVED
    | bit::IDLE
    | bit::WORK
    | bit::URGENT
    | bit::WAITED;

/// The function behind [`RunVt::run`].
unsafe fn run<A: Actor>(header: NonNull<RunHeader>, turn: &mut Turn<'_>) -> Ran {
    // SAFETY: run queues hold cells that stay allocated while they are scheduled.
    let cell = unsafe { CellPtr::new(header.cast()) };
    if cell.header().has(bit::ENDED | bit::SLOW | bit::TURNS) {
        if cell.header().has(bit::ENDED) {
            return end::dispose(cell);
        }
        let flags = cell.header().flags.get();
        if flags & flag::TIMED != 0 {
            return level::timed_turn(cell, turn);
        }
        if flags & flag::ABOVE != 0 {
            return watermark::run(cell, turn);
        }
        pace(cell, turn);
    }
    let running = Running::enter(cell);
    let flow = contain(|| messages::<A>(cell, turn));
    drop(running);
    match flow {
        Ok(Flow::Quiet) => Ran::Quiet,
        Ok(Flow::Again) => {
            if turn.is_slow() {
                cell.header().set(bit::SLOW);
            } else {
                cell.header().clear(bit::SLOW);
            }
            Ran::Again
        }
        Ok(Flow::End) => finished(cell, ext::exit_reason(cell)),
        Err(panic) => panicked(cell, panic),
    }
}

/// The turn of one that is slow, or has a budget of its own.
#[cold]
fn pace(cell: CellPtr, turn: &mut Turn<'_>) {
    if cell.header().flags.get() & flag::PACED != 0 {
        // SAFETY: the turn owns the cell; it is read.
        if let Some(ext) = unsafe { ext::Ext::look(cell) } {
            turn.limit(ext.budget);
        }
    }
    if cell.header().has(bit::SLOW) {
        turn.mark_slow();
    }
}

/// The function behind [`RunVt::settle`].
unsafe fn settle(header: NonNull<RunHeader>) -> bool {
    // SAFETY: as in `run`.
    let cell = unsafe { CellPtr::new(header.cast()) };
    // SAFETY: the caller has the right to run the cell, as its last turn had; nothing of it is used after success.
    unsafe { cell.header().inbox.settle(cell.cursor_ptr()) }
}

#[cold]
fn panicked(cell: CellPtr, panic: ExitReason) -> Ran {
    crash::panicked(cell);
    finished(cell, panic)
}

#[cold]
fn finished(cell: CellPtr, reason: ExitReason) -> Ran {
    let left = end::finish(cell, reason);
    local::handled();
    match left {
        Left::Nothing => Ran::Done,
        Left::Backlog => Ran::Again,
    }
}

#[inline]
fn messages<A: Actor>(cell: CellPtr, turn: &mut Turn<'_>) -> Flow {
    let header = cell.header();
    loop {
        // SAFETY: the turn owns the cell; no other reference to the cursor is alive here.
        let cursor = unsafe { cell.cursor() };
        let others_waited = !cursor.is_empty();
        // SAFETY: as above, and this is the inbox's cursor.
        let drained = unsafe {
            header.inbox.drain(cursor, |cursor, node| signal::receive(cell, cursor, node))
        };
        cell.note_drained(drained.messages, others_waited);
        let bits = header.bits.load(Ordering::Relaxed);
        let suspended = !header.frame.load(Ordering::Relaxed).is_null();
        let mut handle = true;
        if suspended
            || drained.tagged
            || bits & ATTENTION != 0
            || header.flags.get() & flag::RUN != 0
        {
            match attend::<A>(cell, drained, turn) {
                Next::Messages => {}
                Next::Settle => handle = false,
                Next::Drain => continue,
                Next::Leave(flow) => return flow,
            }
        }
        if handle && let Some(flow) = handle_waiting::<A>(cell, turn) {
            return flow;
        }
        // Set by the last handler. What `attend` has just put off needs a signal to go on.
        if handle && header.bits.load(Ordering::Relaxed) & ATTENTION != 0 {
            continue;
        }
        // SAFETY: as above.
        if header.inbox.is_quiet(unsafe { cell.cursor() }) {
            return Flow::Quiet;
        }
    }
}

/// Handles what waits in the private FIFO, until something else is to be looked at. Some: the turn is over.
#[inline]
fn handle_waiting<A: Actor>(cell: CellPtr, turn: &mut Turn<'_>) -> Option<Flow> {
    let header = cell.header();
    // SAFETY: the turn owns the cell; the reference ends before the handler runs.
    while let Some(node) = unsafe { cell.cursor() }.pop() {
        let suspended = handle_one::<A>(cell, node);
        // An end that was decided is carried out in this turn: replies that the handler dropped wait for it on
        // this thread, where the end of somebody else's handler would answer them.
        if turn.tick() && !header.has(bit::DOOMED) {
            return Some(Flow::Again);
        }
        let bits = header.bits.load(Ordering::Relaxed);
        if suspended && bits & bit::YIELDED != 0 && !ends_in_this_turn::<A>(cell) {
            return Some(Flow::Again);
        }
        if suspended || bits & ATTENTION != 0 || header.flags.get() & flag::RUN != 0 {
            break;
        }
    }
    None
}

/// Handles one node. `true`: the handler is suspended.
#[inline]
fn handle_one<A: Actor>(cell: CellPtr, node: NonNull<Node>) -> bool {
    if const { A::FORM.is_process() } {
        // The first node of all; the others are its body's to take.
        return start_init::<A>(cell, node);
    }
    // SAFETY: popped: the turn's own.
    let vt = unsafe { Node::vt(node) };
    cell.header().took(u32::from(vt.counted));
    let is_plain = vt.tag == tag::MESSAGE;
    // One read at either place, straight into the handler's future: each copy less is felt.
    let msg: *const A::Msg = if is_plain {
        message::place_of(node)
    } else if vt.tag == tag::CALL {
        // SAFETY: of this tag, with a request that is still there.
        unsafe { call::request_place(node) }
    } else {
        return take_other::<A>(cell, node);
    };
    // SAFETY: the turn owns the cell, the node was popped, and its message, an `A::Msg`, is read below.
    let name = unsafe { name::of_unread::<A>(cell, node, msg, is_plain) };
    level::begins(cell, name);
    // SAFETY: messages are handled when init is done, so the state is there, and no frame exists that
    // borrows it; the turn owns the cell. The state outlives the frame (`end::finish_but_for_replies`).
    // What is in this cell's inbox under these tags is an `A::Msg`. It is read once, and its place then given up:
    // a plain node is the cursor's again, a call's the reply's.
    let first = unsafe {
        frame::start::<A, _>(cell, |cx| {
            let msg = msg.read();
            if is_plain {
                cell.cursor().retire(node);
            } else {
                call::request_taken(node);
            }
            (*cell.state::<A>()).handle(msg, cx)
        })
    };
    came_to(cell, first, name, (!is_plain).then(|| node.cast()))
}

/// A handler was polled for the first time. `true`: it is suspended.
#[inline]
fn came_to(
    cell: CellPtr,
    first: First,
    name: Option<&'static str>,
    request: Option<NonNull<CallNode>>,
) -> bool {
    match first {
        First::Done(outcome) => {
            done(cell, outcome);
            level::ends(cell, name);
            false
        }
        First::Suspended(frame) => {
            level::stays(cell, name);
            suspend(cell, frame, request)
        }
    }
}

/// What is in a mailbox beside messages and requests.
#[inline(never)]
fn take_other<A: Actor>(cell: CellPtr, node: NonNull<Node>) -> bool {
    // SAFETY: popped: the turn's own.
    match unsafe { Node::vt(node) }.tag {
        tag::DOWN | tag::ITEM => {
            // SAFETY: in this cell's mailbox under these tags is an `A::Msg`; the turn owns the cell.
            unsafe { work::take_numbered::<A::Msg>(cell, node) };
            handle_one::<A>(cell, node)
        }
        tag::KEPT => {
            // SAFETY: popped under this tag; no reference to the cursor is alive.
            let node = unsafe { unread::open(cell, node) };
            handle_one::<A>(cell, node)
        }
        tag::NARROWED | tag::NARROWED_CALL => handle_narrowed::<A>(cell, node),
        tag::TOKEN => match ring::take(cell, node) {
            Some(node) => handle_one::<A>(cell, node),
            None => false,
        },
        _ => start_init::<A>(cell, node),
    }
}

/// Handles what was sent through a narrowed address.
#[inline(never)]
fn handle_narrowed<A: Actor>(cell: CellPtr, node: NonNull<Node>) -> bool {
    // SAFETY: popped: the turn's own.
    let is_request = unsafe { Node::vt(node) }.tag == tag::NARROWED_CALL;
    // SAFETY: popped under one of the two tags, from the mailbox of an actor whose messages are `A::Msg`s; no
    // reference to the cursor is alive.
    let msg = unsafe { narrow::take::<A::Msg>(cell, node) };
    let name = A::msg_name(&msg);
    level::begins(cell, name);
    // SAFETY: as in `handle_one`.
    let first = unsafe { frame::start::<A, _>(cell, |cx| (*cell.state::<A>()).handle(msg, cx)) };
    // The request is the reply's from here on: compared, never followed.
    came_to(cell, first, name, is_request.then(|| node.cast()))
}

/// A handler has finished.
#[inline]
fn done(cell: CellPtr, outcome: Outcome) {
    if let Err(reason) = outcome {
        end::doom(cell, reason, How::Own);
    }
    if cell.header().has(bit::DOOMED | bit::STOPPING) {
        return done_otherwise(cell);
    }
    call::flush_deferred(None);
}

#[cold]
fn done_otherwise(cell: CellPtr) {
    if cell.header().has(bit::STOPPING) {
        // Its future is gone without having been dropped.
        children::give_up_stop(cell);
    }
    if cell.header().has(bit::DOOMED) {
        // Replies that it dropped are answered with the reason.
        end::waited(cell);
    } else {
        call::flush_deferred(None);
    }
}

/// The cell has a frame now. `request`: what its handler was called for, if that was a call.
fn suspend(cell: CellPtr, frame: NonNull<FrameHdr>, request: Option<NonNull<CallNode>>) -> bool {
    let in_hand = request.map_or(null_mut(), NonNull::as_ptr);
    // SAFETY: a donated frame's header, and the cell's own.
    unsafe { (&raw mut (*frame.as_ptr()).in_hand).write(in_hand) };
    donated(cell, frame)
}

/// As [`suspend`]; what is in hand was noted.
fn donated(cell: CellPtr, frame: NonNull<FrameHdr>) -> bool {
    cell.header().frame.store(frame.as_ptr(), Ordering::Relaxed);
    answer_of_suspended(cell);
    true
}

/// The code of the process has suspended: replies that it dropped are answered, unless its end, whose reason they are to
/// be told, comes in this turn.
fn answer_of_suspended(cell: CellPtr) {
    if !end::comes_at_its_await(cell) {
        call::flush_deferred(None);
    }
}

/// As [`end::comes_at_its_await`], at no cost for an actor.
#[inline]
fn ends_in_this_turn<A: Actor>(cell: CellPtr) -> bool {
    (const { A::FORM.is_process() }) && end::comes_at_its_await(cell)
}

/// Whatever is not a message. See the module's picture.
fn attend<A: Actor>(cell: CellPtr, drained: Drained, turn: &mut Turn<'_>) -> Next {
    let header = cell.header();
    let (mut woken, mut is_over) = (drained.woken, false);
    // One look at each of the two words says of most that there is nothing of all this.
    if header.flags.get() & flag::RUN != 0 || header.has(bit::WORK | bit::WAITED) {
        match heed::<A>(cell, woken, turn) {
            Heeded::On { is_woken, is_turn_over } => (woken, is_over) = (is_woken, is_turn_over),
            Heeded::Now(next) => return next,
        }
    } else if header.has(bit::DOOMED)
        && let Some(next) = wind_down::<A>(cell)
    {
        return next;
    }
    let Some(frame) = NonNull::new(header.frame.load(Ordering::Relaxed)) else {
        if is_over || header.has(BEFORE_MESSAGES) {
            return before_messages::<A>(cell, turn, is_over);
        }
        header.clear(bit::YIELDED | bit::POLL | bit::LOOKS);
        return Next::Messages;
    };
    if const { A::FORM.is_process() } {
        process::attend_receiver(cell, drained.messages);
    }
    if header.has(bit::YIELDED | bit::POLL) {
        header.clear(bit::YIELDED | bit::POLL);
        woken = true;
    }
    let taken =
        if const { A::FORM.is_process() } { header.taken.load(Ordering::Relaxed) } else { 0 };
    let polled = if woken {
        // SAFETY: the frame is the cell's, and the turn owns the cell.
        unsafe { frame::poll(frame, &waker::borrowed(cell)) }
    } else if header.has(bit::LOOKS | bit::CHASED) {
        // SAFETY: as above.
        unsafe { deadlock::look(frame, cell) }
    } else if is_over {
        return Next::Leave(Flow::Again);
    } else {
        return at_rest(cell);
    };
    match polled {
        Poll::Pending => {
            answer_of_suspended(cell);
            if ends_in_this_turn::<A>(cell) {
                return Next::Drain;
            }
            // Asked to be polled again in the next turn, whoever wakes it; or the turn is over, and the next one
            // looks whether it was woken.
            if header.has(bit::YIELDED) || tick::<A>(cell, taken, turn) || is_over {
                return Next::Leave(Flow::Again);
            }
            Next::Drain
        }
        Poll::Ready(outcome) => {
            header.frame.store(null_mut(), Ordering::Relaxed);
            // SAFETY: out of the cell just above.
            unsafe { frame::drop_suspended(frame) };
            if header.has(bit::TERMINATING) {
                return terminated(cell, outcome);
            }
            if header.has(bit::INIT) {
                init_done(cell, outcome);
            } else {
                done(cell, outcome);
                level::resumed_and_done(cell);
            }
            Next::Drain
        }
    }
}

/// Nothing is left to do but attached work, if there is more of that.
fn at_rest(cell: CellPtr) -> Next {
    if cell.header().has(bit::WORK) { Next::Drain } else { Next::Settle }
}

/// Counts a poll of the suspended frame; of a body each message that it took, `taken` before. `true`: the turn is
/// over.
#[inline]
fn tick<A: Actor>(cell: CellPtr, taken: u32, turn: &mut Turn<'_>) -> bool {
    if const { A::FORM.is_process() } {
        let more = cell.header().taken.load(Ordering::Relaxed).wrapping_sub(taken);
        for _ in 1..more {
            if turn.tick() {
                return true;
            }
        }
    }
    turn.tick()
}

/// Carries out an end that was decided. `None`: the handler that is running may finish first.
#[inline(never)]
fn wind_down<A: Actor>(cell: CellPtr) -> Option<Next> {
    let header = cell.header();
    let (orderly, waits) = (header.has(bit::DOOM_ORDERLY), header.has(bit::DOOM_WAITS));
    let suspended = !header.frame.load(Ordering::Relaxed).is_null();
    if suspended && (waits || header.has(bit::TERMINATING)) && orderly {
        return None;
    }
    let ends_now = !orderly || !const { has_terminate::<A>() } || !header.has(bit::STATE);
    if ends_now || header.has(bit::TERMINATING) {
        return Some(Next::Leave(Flow::End));
    }
    if let Some(panic) = end::drop_frame(cell) {
        // What broke while it was dropped may have broken the state: no `terminate`.
        // SAFETY: the turn owns the cell, whose end is not published.
        unsafe { ext::set_exit_reason(cell, &panic) };
        crash::panicked(cell);
        return Some(Next::Leave(Flow::End));
    }
    header.set(bit::TERMINATING);
    let reason = ext::exit_reason(cell);
    // SAFETY: the state is there, the frame that borrowed it is gone, and the state outlives this one.
    let first = unsafe {
        frame::start::<A, _>(cell, |cx| async move {
            frame::Inner::new((*cell.state::<A>()).terminate(&reason, cx)).await
        })
    };
    Some(match first {
        First::Done(outcome) => terminated(cell, outcome),
        First::Suspended(frame) => {
            level::stays_to_the_end(cell);
            suspend(cell, frame, None);
            if header.has(bit::YIELDED) { Next::Leave(Flow::Again) } else { Next::Drain }
        }
    })
}

/// `terminate` has finished.
fn terminated(cell: CellPtr, outcome: Outcome) -> Next {
    if let Err(panic) = outcome {
        // SAFETY: the turn owns the cell, whose end is not published.
        unsafe { ext::set_exit_reason(cell, &panic) };
        crash::panicked(cell);
    }
    Next::Leave(Flow::End)
}

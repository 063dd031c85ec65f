//! Signals: what processes do to each other besides sending messages.
//!
//! They travel in the inbox's one stream, so that the order between one pair of processes holds for
//! both kinds, and take effect when the stream is drained, ahead of a backlog of messages. A signal
//! that becomes a message of the user's keeps its place among the messages.
#![expect(unsafe_code, reason = "signal nodes are linked by pointer")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{ptr::NonNull, sync::Arc};

use whitebeam_scheduler::Time;
use whitebeam_sync::{
    inbox::{Cursor, Push},
    node::{Node, NodeVt},
    shim::atomic::Ordering,
};

use crate::{
    ExitReason, Pid, Relations, Reply, alias, bound, call,
    cell::{CellPtr, bit, flag},
    children,
    contain::contain,
    deadlock::{self, Chase},
    end,
    ext::Ext,
    lane, later, link,
    message::{self, Carried, tag},
    monitor::{self, Watcher},
    simulate::{self, Event, SignalKind},
    timer,
};

/// An EXIT as a message, for who traps exits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exit {
    /// Who sent it, or was linked. `None`: it came from outside of the runtime's processes.
    pub from: Option<Pid>,
    /// With what reason.
    pub reason: ExitReason,
}

/// A signal with a body.
pub(crate) enum Signal {
    /// An exit signal: sent, or by a link that broke.
    Exit { from: Option<Pid>, reason: ExitReason, link: bool },
    /// `watcher` wants to know of the receiver's end.
    Monitor { key: monitor::Key, watcher: Watcher },
    /// It does not any more.
    Demonitor { key: monitor::Key },
    /// A process that the receiver monitors has ended.
    Down { id: u64, down: monitor::Down },
    /// A timer of the receiver's is due, since then.
    Timer { id: u64, due: Time },
    /// The sender is linked to the receiver from now on.
    Link { from: crate::cell::CellRef },
    /// The sender is not linked to the receiver any more, and wants to be told that this is known.
    Unlink { from: crate::cell::CellRef, id: u64 },
    /// The receiver is to take its link to that process back, as if it had asked for it itself.
    TakeBack { link_to: Pid },
    /// The sender knows of the receiver's `Unlink` of this number.
    UnlinkKnown { from: Pid, id: u64 },
    /// A message that was sent through an alias of the receiver's.
    Aliased { id: u64, message: Carried },
    /// Somebody asks whom the receiver is related to.
    Relations { reply: Reply<Option<Relations>> },
    /// The receiver is to end in order, by whoever asks for it.
    Stop { reason: ExitReason },
    /// A message that is to come to the receiver later.
    Later(Arc<later::Inner>),
    /// It was cancelled.
    NotLater(Arc<later::Inner>),
    /// Somebody looks for a cycle of calls.
    Chase(Box<Chase>),
}

#[repr(C)]
struct SignalNode {
    node: Node,
    body: Signal,
}

/// Of a signal with a message in it, which counts in the mailbox's length.
static WITH_MESSAGE: NodeVt = NodeVt { counted: true, ..VT };

const VT: NodeVt = NodeVt {
    tag: tag::SIGNAL,
    counted: false,
    urgent: true,
    detach: false,
    free,
    dispose: free_whole,
};

fn node(body: Signal) -> NonNull<Node> {
    static PLAIN: NodeVt = VT;
    let vt = match &body {
        Signal::Aliased { message, .. } if message.is_counted() => &WITH_MESSAGE,
        _ => &PLAIN,
    };
    let whole = Box::new(SignalNode { node: Node::new(vt), body });
    // SAFETY: a box is not null.
    unsafe { NonNull::new_unchecked(Box::into_raw(whole)) }.cast()
}

/// Moves the body out and leaves the memory to the cursor's `retire`.
unsafe fn take(node: NonNull<Node>) -> Signal {
    let whole = node.cast::<SignalNode>().as_ptr();
    // SAFETY: the caller was given this node as a signal; its body is taken once.
    unsafe { (&raw const (*whole).body).read() }
}

unsafe fn free(node: NonNull<Node>) {
    let whole = node.cast::<std::mem::ManuallyDrop<SignalNode>>().as_ptr();
    // SAFETY: made by `node` as a box; the body was moved out, so only the memory goes.
    drop(unsafe { Box::from_raw(whole) });
}

unsafe fn free_whole(node: NonNull<Node>) {
    let whole = node.cast::<SignalNode>().as_ptr();
    // SAFETY: made by `node` as a box; the body is still there.
    drop(unsafe { Box::from_raw(whole) });
}

/// Sends a signal. The body comes back if the receiver has ended.
pub(crate) fn send(to: CellPtr, body: Signal) -> Result<(), Signal> {
    to.follow(push(to, body)?);
    Ok(())
}

/// As [`send`], but for what is owed then: the caller [follows](CellPtr::follow) up.
pub(crate) fn push(to: CellPtr, body: Signal) -> Result<Push, Signal> {
    let node = node(body);
    // SAFETY: a fresh node, given up.
    let push = unsafe { to.header().inbox.push_one(node) };
    if push == Push::Closed {
        // SAFETY: refused: still ours, its body untouched.
        let body = unsafe { take(node) };
        // SAFETY: the body is out.
        unsafe { free(node) };
        return Err(body);
    }
    Ok(push)
}

/// Sends an exit signal. It acts before the receiver's next message.
pub(crate) fn send_exit(to: CellPtr, from: Option<Pid>, reason: ExitReason, link: bool) {
    if send(to, Signal::Exit { from, reason, link }).is_ok() {
        to.raise(flag::SIGNAL);
    }
}

/// The DOWN of a child, which counts in the mailbox's length, is taken.
fn took_down(cell: CellPtr) {
    if cell.header().is_bounded() {
        bound::count_in(cell);
    }
    cell.header().took(1);
}

/// Takes a signal's effect on `cell`, in the drain of its owner's run. Panics in the user's code that it runs
/// (constructors of messages, destructors of what a signal carried) end here.
///
/// # Safety
/// The caller is the cell's owner, and `node` was handed over by its drain.
pub(crate) unsafe fn receive(cell: CellPtr, cursor: &mut Cursor, node: NonNull<Node>) {
    // SAFETY: the drain hands over whole nodes.
    let tag = unsafe { Node::vt(node) }.tag;
    if tag != tag::SIGNAL {
        if tag != tag::CHILD_DOWN {
            return lane::receive(cell, cursor, node);
        }
        took_down(cell);
        // SAFETY: a CHILD_DOWN node is embedded in the cell of a child of this one.
        unsafe { children::receive_down(cell, node) };
        return answer_dropped(cell);
    }
    // SAFETY: of this tag.
    let signal = unsafe { take(node) };
    if cell.header().has(bit::OBSERVED) {
        tell(cell, &signal);
    }
    let changes_tables = !matches!(
        signal,
        Signal::Timer { .. } | Signal::Relations { .. } | Signal::Stop { .. } | Signal::Chase(_)
    );
    match signal {
        Signal::Exit { from, reason, link } => receive_exit(cell, cursor, from, reason, link),
        Signal::Monitor { key, watcher } => {
            // SAFETY: the caller is the owner.
            unsafe { Ext::of(cell) }.watchers.insert(key, watcher);
        }
        Signal::Demonitor { key } => {
            // SAFETY: the caller is the owner.
            if let Some(ext) = unsafe { Ext::get(cell) } {
                ext.watchers.remove(&key);
            }
        }
        Signal::Timer { id, due } => timer::fired(cell, cursor, id, due),
        Signal::Down { id, down } => monitor::receive_down(cell, cursor, id, down),
        Signal::Link { from } => link::receive_link(cell, from),
        Signal::Unlink { from, id } => link::receive_unlink(cell, &from, id),
        // SAFETY: the caller is the owner.
        Signal::TakeBack { link_to } => unsafe { link::unlink(cell, link_to) },
        Signal::UnlinkKnown { from, id } => link::receive_known(cell, from, id),
        Signal::Aliased { id, message } => alias::receive(cell, cursor, id, message),
        // SAFETY: the caller is the owner.
        Signal::Relations { reply } => reply.send(Some(unsafe { Relations::of(cell) })),
        Signal::Stop { reason } => end::doom(cell, reason, end::How::Asked),
        Signal::Later(later) => timer::set_later(cell, later),
        Signal::NotLater(later) => timer::forget(cell, &later),
        Signal::Chase(chase) => deadlock::receive(cell, chase),
    }
    if changes_tables {
        Ext::publish(cell);
    }
    // SAFETY: the body is out, and the node is this cursor's.
    unsafe { cursor.retire(node) };
    answer_dropped(cell);
}

/// Tells the observer of a signal.
#[cold]
fn tell(cell: CellPtr, signal: &Signal) {
    let signal = match signal {
        Signal::Exit { from, reason, link } => {
            SignalKind::ExitSignal { from: *from, reason, link: *link }
        }
        Signal::Monitor { .. } => SignalKind::Monitored,
        Signal::Demonitor { .. } => SignalKind::Demonitored,
        Signal::Down { down, .. } => SignalKind::DownSignal { of: down.pid, reason: &down.reason },
        Signal::Link { from } => SignalKind::Linked { to: from.ptr().pid() },
        Signal::Unlink { from, .. } => SignalKind::Unlinked { from: from.ptr().pid() },
        // A timer is told of when it fires indeed; the others are the protocol's own.
        // What comes through an alias is told of when it is handled.
        Signal::Timer { .. }
        | Signal::TakeBack { .. }
        | Signal::UnlinkKnown { .. }
        | Signal::Aliased { .. }
        | Signal::Relations { .. }
        | Signal::Later(_)
        | Signal::NotLater(_)
        | Signal::Chase(_) => return,
        Signal::Stop { reason } => SignalKind::ExitSignal { from: None, reason, link: false },
    };
    simulate::tell_of(cell, || Event::Signalled { pid: cell.pid(), signal });
}

/// What happens to a signal that the end of `cell` finds in its stream: who asks is told, who tells is
/// too late.
///
/// # Safety
/// As for [`receive`].
pub(crate) unsafe fn receive_late(
    cell: CellPtr,
    cursor: &mut Cursor,
    node: NonNull<Node>,
    reason: &ExitReason,
) {
    // SAFETY: the drain hands over whole nodes.
    let tag = unsafe { Node::vt(node) }.tag;
    if tag != tag::SIGNAL {
        if tag != tag::CHILD_DOWN {
            return lane::receive(cell, cursor, node);
        }
        took_down(cell);
        // SAFETY: a CHILD_DOWN node is embedded in the cell of a child of this one.
        unsafe { children::receive_down(cell, node) };
        return;
    }
    // SAFETY: of this tag.
    match unsafe { take(node) } {
        Signal::Monitor { watcher, .. } => {
            watcher.fire(monitor::Down::of(cell.pid(), reason.clone()));
        }
        Signal::Link { from } => send_exit(from.ptr(), Some(cell.pid()), reason.clone(), true),
        Signal::Unlink { from, id } => link::receive_unlink(cell, &from, id),
        // Its links are not told yet: this end comes later than what was asked.
        // SAFETY: the caller is the owner.
        Signal::TakeBack { link_to } => unsafe { link::unlink(cell, link_to) },
        Signal::Aliased { message, .. } => {
            cell.header().took(u32::from(message.is_counted()));
            // With the message, which is the user's.
            let _ = contain(|| drop(message));
        }
        Signal::Relations { reply } => reply.send(None),
        Signal::Later(later) => {
            // With the message, which is the user's.
            let _ = contain(|| drop(later.take_message()));
        }
        Signal::Exit { .. }
        | Signal::Stop { .. }
        | Signal::Demonitor { .. }
        | Signal::Down { .. }
        | Signal::Timer { .. }
        | Signal::UnlinkKnown { .. }
        | Signal::NotLater(_)
        | Signal::Chase(_) => {}
    }
    // SAFETY: the body is out, and the node is this cursor's.
    unsafe { cursor.retire(node) };
}

/// What an exit signal does to its receiver: semantics as in OTP, with the parent rule of its servers.
///
/// | receiver | sent `Kill` | sent `Normal` | sent, other | link, not active | link, `Normal` | link, other |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | does not trap | killed | ignored, unless by itself | dies | ignored | ignored | dies |
/// | traps | killed | message | message | ignored | message | message |
///
/// From the parent, an orderly reason ends the process in order, trapping or not, and any other ends a
/// trapping one in order. For a process that was started by the runtime, what is sent from outside
/// comes from its parent. A process in the process form knows no such rule: the table alone holds for it.
fn receive_exit(
    cell: CellPtr,
    cursor: &mut Cursor,
    from: Option<Pid>,
    reason: ExitReason,
    link: bool,
) {
    let header = cell.header();
    let mut is_urgent = false;
    if link {
        let Some(ended) = from.and_then(|from| link::receive_end(cell, from)) else { return };
        is_urgent = ended.is_urgent;
    } else if matches!(reason, ExitReason::Kill) {
        end::doom(cell, ExitReason::Killed, end::How::Abrupt);
        return;
    }
    let trapping = header.has(bit::TRAP);
    // The parent rule is one of servers.
    let from_parent = from == header.parent_pid() && !cell.vt().is_process;
    if from_parent && (trapping || (reason.is_orderly() && !reason.is_normal())) {
        end::doom(cell, reason, end::How::Orderly);
    } else if trapping {
        deliver_exit(cell, cursor, Exit { from, reason }, is_urgent);
    } else if !reason.is_normal() || from == Some(cell.pid()) {
        end::doom(cell, reason, end::How::Abrupt);
    }
}

/// The parent or the runtime has told `cell` to shut down. Called by its owner, with no reference to its cursor
/// alive.
pub(crate) fn receive_shutdown(cell: CellPtr) {
    let header = cell.header();
    if cell.vt().is_process && header.has(bit::TRAP) {
        let exit = Exit { from: header.parent_pid(), reason: ExitReason::Shutdown };
        // SAFETY: the caller's word.
        deliver_exit(cell, unsafe { cell.cursor() }, exit, false);
    } else {
        end::doom(cell, ExitReason::Shutdown, end::How::Orderly);
    }
}

/// An EXIT becomes a message of `cell`'s, which traps exits. Called by its owner.
fn deliver_exit(cell: CellPtr, cursor: &mut Cursor, exit: Exit, is_urgent: bool) {
    // SAFETY: the caller is the owner.
    let ext = unsafe { Ext::of(cell) };
    let made = ext.trap.as_ref().map(|trap| contain(|| trap(exit)));
    if let Some(made) = made {
        delivered(cell, cursor, is_urgent, made);
    }
}

/// Appends the message that a signal becomes. `make` is the user's: its panic ends the process.
pub(crate) fn deliver(cell: CellPtr, cursor: &mut Cursor, make: impl FnOnce() -> NonNull<Node>) {
    delivered(cell, cursor, false, contain(make));
}

/// As [`deliver`], of a message that was made; to the priority lane if it is urgent. No reference into the owner's part
/// is alive.
pub(crate) fn delivered(
    cell: CellPtr,
    cursor: &mut Cursor,
    is_urgent: bool,
    made: Result<NonNull<Node>, ExitReason>,
) {
    match made {
        Ok(message) if is_urgent => lane::receive(cell, cursor, message),
        Ok(message) => append(cell, cursor, message),
        Err(panic) => end::doom(cell, panic, end::How::Broken),
    }
}

/// Appends a message that was inside a signal, or is made of one: a fresh node of the actor's own type.
pub(crate) fn append(cell: CellPtr, cursor: &mut Cursor, message: NonNull<Node>) {
    // SAFETY: the caller gives it up.
    unsafe { cursor.push_back(message) };
    if cell.header().has(bit::RECEIVING) || cell.header().is_bounded() {
        appended(cell);
    }
}

#[cold]
fn appended(cell: CellPtr) {
    if cell.header().has(bit::RECEIVING) {
        // No message of the inbox's, by which its body would be polled.
        cell.header().set(bit::POLL);
    }
    bound::seal(cell);
}

/// The user's code may have run outside of any handler: replies that it dropped would wait for the end of
/// somebody else's.
#[inline]
pub(crate) fn answer_dropped(cell: CellPtr) {
    // Those of a handler that has decided the end wait for that, which comes in this turn.
    let header = cell.header();
    let goes_on = !header.frame.load(Ordering::Relaxed).is_null() && !end::comes_at_its_await(cell);
    if !header.has(bit::DOOMED) || goes_on {
        call::flush_deferred(None);
    }
}

/// Turns a user's constructor into one that makes a message node.
pub(crate) fn constructor<T, M: 'static>(f: impl Fn(T) -> M + Send + 'static) -> Constructor<T> {
    Box::new(move |value| message::uncounted(f(value)))
}

/// Makes the message node of a signal that becomes a message.
pub(crate) type Constructor<T> = Box<dyn Fn(T) -> NonNull<Node> + Send>;

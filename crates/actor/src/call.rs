//! A call: one allocation that carries the request there and holds the reply.
//!
//! # Who owns the node
//!
//! ```text
//!   Call (caller)  ----\
//!                       CallNode { word, reason, place, reply value }  + request (until taken)
//!   Reply (callee) ----/
//! ```
//!
//! [`ReplyWord`] decides between the two: who comes second frees the node (a reply to an abandoned
//! call, or a call that takes its reply). A third party has it meanwhile: the inbox that the request
//! travels in. The request holds the `Reply`, so whoever answers has taken the request out before;
//! unless the closure given to `call` put the `Reply` somewhere else. Then a reply may arrive while the
//! request still waits. `place` tells: it is set by whoever moves the request out, as the last thing
//! done to the node on that side. Who is to free a node that is not taken leaves it to the list of
//! [`strays`], which is freed of it when it is. The ordinary path pays three loads for this.
//!
//! Request nodes are marked `detach`: their memory may be free for reuse as soon as they are taken.
//!
//! # What a caller waits on
//!
//! A future that is polled with its own cell's waker registers the cell and needs no clone of the
//! waker; anything else (a combinator, another executor, a thread) registers a clone. Each poll checks
//! that it is registered for who polls it now, so a `Call` may be moved between polls.
//!
//! # Cost
//!
//! One allocation; read-modify-writes: caller's reference, push, settle, detach, reply, wake, clear,
//! settle, release.
#![expect(unsafe_code, reason = "caller and callee share a node by pointer")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

mod strays;
mod waiting;

pub(crate) use waiting::{Unsent, Waiting};

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    mem::{MaybeUninit, offset_of, size_of},
    ptr::NonNull,
    task::Waker,
};

use whitebeam_sync::{
    node::{Node, NodeVt},
    reply::{Abandon, Complete, ReplyWord},
    shim::{
        atomic::{AtomicBool, AtomicU8, Ordering},
        cell::UnsafeCell,
    },
};

use crate::{
    ExitReason, Pid,
    cell::{CellPtr, CellRef},
    contain::contain,
    local::{self, Unanswered},
    message::tag,
    narrow::{Narrowed, Via},
    panic_place,
    reply::Reply,
    waker,
};

/// Whom a reply wakes.
pub(crate) enum Target {
    /// The suspended handler of this cell.
    Cell(CellRef),
    /// Anything else.
    Waker(Waker),
    /// Anything else, and the process that awaited the answer before. Boxed: the node has room for two words.
    WakerOf(Box<(Waker, Pid)>),
}

impl Target {
    /// The process that awaits the answer, or did before somebody else.
    fn pid(&self) -> Option<Pid> {
        match self {
            Target::Cell(cell) => Some(cell.ptr().pid()),
            Target::Waker(_) => None,
            Target::WakerOf(other) => Some(other.1),
        }
    }

    fn wake(self) {
        match self {
            Target::Cell(cell) => waker::wake_cell(cell.ptr()),
            Target::Waker(waker) => wake_other(waker),
            Target::WakerOf(other) => wake_other(other.0),
        }
    }
}

/// A waker is foreign code: its panic must not take the answering actor down.
fn wake_other(waker: Waker) {
    let _ = contain(|| waker.wake());
}

/// How a request was answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The value is in the node.
    Value,
    /// The reply was dropped by something that lives on.
    NoReply,
    /// The process that had it ended; `CallNode::reason` has the reason.
    Exit,
    /// The message that it was in has found a mailbox full.
    Full,
}

/// The part of a call's node that does not depend on its types.
#[repr(C)]
pub(crate) struct CallNode {
    node: Node,
    word: ReplyWord<Target>,
    /// Written by who answers, before it completes the word.
    answer: UnsafeCell<Answer>,
    /// Where the request is, see [`strays`].
    place: AtomicU8,
    /// Bytes from the node to the request and to the reply.
    request_at: u16,
    reply_at: u16,
    /// Who has the reply said that it may be answered by others than who got it. Never cleared; see `deadlock`.
    is_deferred: AtomicBool,
    /// Written by who answers with `Answer::Exit`.
    reason: UnsafeCell<Option<Box<ExitReason>>>,
}

/// What finds cycles of calls lies where nothing was.
#[cfg(not(loom))]
const _: () = assert!(offset_of!(CallNode, reason) == offset_of!(CallNode, reply_at) + 4);
const _: () = assert!(size_of::<Waiting<()>>() == 24);

#[repr(C)]
struct WholeNode<M, T> {
    head: CallNode,
    request: MaybeUninit<M>,
    reply: MaybeUninit<T>,
}

impl<M: 'static, T: 'static> WholeNode<M, T> {
    const LAYOUT: Layout = Layout::new::<Self>();
    const REQUEST_AT: u16 = {
        assert!(offset_of!(Self, request) <= u16::MAX as usize);
        offset_of!(Self, request) as u16
    };
    const REPLY_AT: usize = offset_of!(Self, reply);
    const VT: NodeVt = NodeVt {
        tag: tag::CALL,
        counted: true,
        urgent: false,
        detach: true,
        free: free::<M, T>,
        dispose: dispose::<M>,
    };
    /// Of a request that is [`Narrowed`].
    const NARROWED: NodeVt = NodeVt { tag: tag::NARROWED_CALL, ..Self::VT };
    /// For the priority lane, see [`crate::lane`].
    const URGENT: NodeVt = NodeVt { urgent: true, ..Self::VT };
    const NARROWED_URGENT: NodeVt = NodeVt { urgent: true, ..Self::NARROWED };
}

/// Makes a call's node: `f` gets the reply to put into the request.
#[inline]
fn make<M: 'static, T: 'static>(
    vt: &'static NodeVt,
    f: impl FnOnce(Reply<T>) -> M,
) -> (NonNull<CallNode>, Option<CellPtr>) {
    let layout = WholeNode::<M, T>::LAYOUT;
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc(layout) }.cast::<WholeNode<M, T>>();
    let Some(whole) = NonNull::new(memory) else { handle_alloc_error(layout) };
    let node = whole.cast::<CallNode>();
    let word = ReplyWord::new();
    // A call made by an actor is polled by its handler, as a rule: registering it here, before anyone
    // has the reply, saves the word's lock at the first poll.
    let armed = local::current();
    if let Some(cell) = armed {
        // SAFETY: nobody else has the word yet.
        unsafe { word.arm(Target::Cell(cell.to_ref())) };
    }
    let head = CallNode {
        node: Node::new(vt),
        word,
        answer: UnsafeCell::new(Answer::NoReply),
        place: AtomicU8::new(strays::IN_INBOX),
        request_at: WholeNode::<M, T>::REQUEST_AT,
        reply_at: whole_reply_at::<M, T>(),
        is_deferred: AtomicBool::new(false),
        reason: UnsafeCell::new(None),
    };
    // SAFETY: fresh memory of this layout.
    unsafe { node.write(head) };
    // SAFETY: the one `Reply` of this node.
    let reply = unsafe { Reply::new(node) };
    let request = MadeOrAbandoned { node, armed: true };
    let msg = f(reply);
    std::mem::forget(request);
    // SAFETY: inside the node, nothing there yet; the reply's side never touches the request.
    unsafe { (&raw mut (*whole.as_ptr()).request).cast::<M>().write(msg) };
    (node, armed)
}

/// The caller's side of a new call.
#[inline]
pub(crate) fn waiting<M: 'static, T: 'static>(f: impl FnOnce(Reply<T>) -> M) -> Waiting<T> {
    let (node, armed) = make(const { &WholeNode::<M, T>::VT }, f);
    Waiting::new(node, armed)
}

/// As [`waiting`], through an address that may be narrowed.
#[inline]
pub(crate) fn waiting_via<M: 'static, T: 'static>(
    via: Option<&Via<M>>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Waiting<T> {
    match via {
        None => waiting::<M, T>(f),
        Some(via) => waiting_narrowed(via.clone(), f),
    }
}

#[cold]
fn waiting_narrowed<M: 'static, T: 'static>(
    via: Via<M>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Waiting<T> {
    let vt = const { &WholeNode::<Narrowed<M>, T>::NARROWED };
    let (node, armed) = make(vt, |reply| Narrowed::new(via, f(reply)));
    Waiting::new(node, armed)
}

/// As [`waiting_via`], of a request that is handed over where the inbox is drained.
pub(crate) fn waiting_urgent<M: 'static, T: 'static>(
    via: Option<&Via<M>>,
    f: impl FnOnce(Reply<T>) -> M,
) -> Waiting<T> {
    let (node, armed) = match via {
        None => make(const { &WholeNode::<M, T>::URGENT }, f),
        Some(via) => {
            let vt = const { &WholeNode::<Narrowed<M>, T>::NARROWED_URGENT };
            make(vt, |reply| Narrowed::new(via.clone(), f(reply)))
        }
    };
    Waiting::new(node, armed)
}

const fn whole_reply_at<M: 'static, T: 'static>() -> u16 {
    // A request of more than 64 KiB inline would push the reply out of reach of the offset.
    assert!(
        WholeNode::<M, T>::REPLY_AT <= u16::MAX as usize,
        "a request is at most 63 KiB: box large parts"
    );
    WholeNode::<M, T>::REPLY_AT as u16
}

/// If the user's closure panics, the reply it had is dropped with nobody waiting.
struct MadeOrAbandoned {
    node: NonNull<CallNode>,
    armed: bool,
}

impl Drop for MadeOrAbandoned {
    fn drop(&mut self) {
        if self.armed {
            // SAFETY: the node is alive: its caller's side is this guard.
            let head = unsafe { self.node.as_ref() };
            head.place.store(strays::TAKEN, Ordering::Release);
            // SAFETY: called once, by the caller's side. The value, if there is one, is lost with the
            // node's type: the closure panicked after it had answered itself.
            match unsafe { head.word.abandon() } {
                Abandon::Pending(target) => drop(target),
                // SAFETY: the reply is done with it.
                Abandon::Replied => unsafe { free_node(self.node) },
            }
        }
    }
}

/// Where the request is.
///
/// # Safety
/// `node` is a call's node whose request is still there.
#[inline]
pub(crate) unsafe fn request_place<M>(node: NonNull<Node>) -> *const M {
    // SAFETY: the request is still there, so the node is allocated.
    let at = unsafe { node.cast::<CallNode>().as_ref() }.request_at;
    node.as_ptr().wrapping_byte_add(at.into()).cast()
}

/// The request has been moved out.
///
/// # Safety
/// It has, once, from a node that was still there. The node may be gone as soon as this returns, if nothing else
/// keeps it.
#[inline]
pub(crate) unsafe fn request_taken(node: NonNull<Node>) {
    // SAFETY: the reply inside the request keeps the node until it is answered, and a stray one waits for this
    // store.
    unsafe { strays::taken(node.cast()) };
}

/// Moves the request out of a taken node.
///
/// # Safety
/// As for the two above.
pub(crate) unsafe fn take_request<M>(node: NonNull<Node>) -> M {
    // SAFETY: the caller's word.
    let msg = unsafe { request_place::<M>(node).read() };
    // SAFETY: moved out just above.
    unsafe { request_taken(node) };
    msg
}

unsafe fn free<M: 'static, T: 'static>(node: NonNull<Node>) {
    let head = node.cast::<CallNode>();
    // SAFETY: the last owner frees; only the word and the reason may have something to drop.
    unsafe { head.drop_in_place() };
    // SAFETY: allocated by `make` with this layout.
    unsafe { dealloc(node.as_ptr().cast(), WholeNode::<M, T>::LAYOUT) };
}

/// The function behind [`NodeVt::dispose`]: an unread request. Its reply, dropped with it, frees or
/// answers.
unsafe fn dispose<M>(node: NonNull<Node>) {
    // SAFETY: an unread request is still there, and of this type by this table.
    drop(unsafe { take_request::<M>(node) });
}

/// Frees a node whose parties are done.
///
/// # Safety
/// The caller is the last owner of the two.
unsafe fn free_node(node: NonNull<CallNode>) {
    // SAFETY: the caller's word.
    if unsafe { node.as_ref() }.place.load(Ordering::Acquire) == strays::TAKEN {
        // SAFETY: request and reply are out; nobody else has the node.
        unsafe { strays::free(node) };
    } else {
        // SAFETY: the caller's word.
        unsafe { strays::leave(node) };
    }
}

/// The answering side: completes the word and wakes the caller.
///
/// # Safety
/// Called once per node, by the owner of its `Reply`, after the value was written if `answer` says so.
pub(crate) unsafe fn complete<T>(
    node: NonNull<CallNode>,
    answer: Answer,
    reason: Option<ExitReason>,
) {
    // SAFETY: the reply's side keeps the node.
    let head = unsafe { node.as_ref() };
    // SAFETY: the caller's side reads both only after the word says replied.
    head.answer.with_mut(|place| unsafe { *place = answer });
    if let Some(reason) = reason {
        // SAFETY: as above.
        head.reason.with_mut(|place| unsafe { *place = Some(Box::new(reason)) });
    }
    // SAFETY: called once by the reply's side.
    match unsafe { head.word.complete() } {
        Complete::Wake(target) => target.wake(),
        Complete::Unarmed => {}
        Complete::Abandoned => {
            let value = (answer == Answer::Value).then(|| {
                // SAFETY: written by the caller, and nobody else will take it.
                unsafe { take_value::<T>(node) }
            });
            // SAFETY: the caller's side is gone: this is the last owner.
            unsafe { free_node(node) };
            drop(value);
        }
    }
}

/// A `Reply` was dropped: answers now, or when the running handler's outcome is known.
pub(crate) fn unanswered(node: NonNull<CallNode>) {
    match local::unanswered(node) {
        // SAFETY: the reply is being dropped: the one answer of this node.
        Unanswered::NoReply => unsafe { complete::<()>(node, Answer::NoReply, None) },
        // SAFETY: as above.
        Unanswered::Exit(reason) => unsafe { complete::<()>(node, Answer::Exit, Some(reason)) },
        // SAFETY: as above.
        Unanswered::Full => unsafe { complete::<()>(node, Answer::Full, None) },
        Unanswered::Deferred => {}
    }
}

/// Answers the replies that the last handler dropped: with the reason if it ended the process.
#[inline]
pub(crate) fn flush_deferred(reason: Option<&ExitReason>) {
    if local::has_deferred() {
        answer_deferred(reason);
    }
}

#[cold]
fn answer_deferred(reason: Option<&ExitReason>) {
    // What panicked was caught by somebody.
    panic_place::tell_held();
    // Again, since a waker is the user's code and may drop others.
    while local::has_deferred() {
        for node in local::take_deferred() {
            let answer = if reason.is_some() { Answer::Exit } else { Answer::NoReply };
            // SAFETY: deferred by `unanswered`: the one answer of this node.
            unsafe { complete::<()>(node, answer, reason.cloned()) };
        }
    }
}

/// Where the reply's value goes.
///
/// # Safety
/// The caller is the reply's owner, or the call's after it was told of a value.
pub(crate) unsafe fn value_ptr<T>(node: NonNull<CallNode>) -> *mut T {
    // SAFETY: the caller keeps the node.
    let at = unsafe { node.as_ref() }.reply_at;
    node.as_ptr().wrapping_byte_add(at.into()).cast()
}

unsafe fn take_value<T>(node: NonNull<CallNode>) -> T {
    // SAFETY: callers know that a value was written, and take it once.
    unsafe { value_ptr::<T>(node).read() }
}

/// Who waits for the answer of `node`: `Some(None)` if no process does, nor did before somebody else.
///
/// # Safety
/// The caller has the answering side of the node, and has not answered.
pub(crate) unsafe fn awaited_by(node: NonNull<CallNode>) -> Option<Option<Pid>> {
    // SAFETY: the caller's side keeps it.
    let word = &unsafe { node.as_ref() }.word;
    if word.is_abandoned() {
        return None;
    }
    // SAFETY: not answered, by the caller's word; nothing of the user's runs.
    Some(unsafe { word.look(Target::pid) }.flatten())
}

/// Others than who got the request may answer it.
pub(crate) fn defer(node: NonNull<CallNode>) {
    // SAFETY: told by the owner of the `Reply`, whose side keeps the node.
    // Release: who is asked by what comes of this, and looks, finds it.
    unsafe { node.as_ref() }.is_deferred.store(true, Ordering::Release);
}

/// Whether the caller of `node` still waits.
pub(crate) fn is_awaited(node: NonNull<CallNode>) -> bool {
    // SAFETY: asked by the owner of the `Reply`, whose side keeps the node.
    !unsafe { node.as_ref() }.word.is_abandoned()
}

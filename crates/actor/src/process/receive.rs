//! Receives: a walk through the owner's FIFO that can be put off and gone on with. See [`super`] for the rules.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming the cursor of the cell and using it are one access"
)]

mod segment;

use std::{
    future::Future,
    marker::PhantomData,
    mem,
    pin::Pin,
    ptr::NonNull,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use whitebeam_scheduler::Sleep;
use whitebeam_sync::{
    node::{Node, NodeVt},
    shim::atomic::Ordering,
};

use segment::{InSegment, look_in_segment};

use super::Mailbox;
use crate::{
    bound, call,
    cell::{CellPtr, bit, flag},
    ext::Ext,
    lane, local,
    message::{self, tag},
    narrow,
    run::{self, observed},
    signal,
    simulate::{self, Delivery},
    unread, work,
};

/// Messages that are looked at in one poll. Then the run looks at its flags, and at the clock as often as for an
/// actor's messages: its turn counts those that were taken. A poll more for each eight messages costs less than what
/// the clock does.
const STRIDE: u32 = 8;

/// Where a receive stands: at the last node that it has refused, in the mailbox and in the priority lane.
#[derive(Default)]
struct At {
    /// `None`: before the oldest.
    node: Option<NonNull<Node>>,
    /// The same in the lane.
    lane: Option<NonNull<Node>>,
    /// The token behind that node, and the number of the message of its segment that is next, see [`ring`](crate::bound::ring).
    segment: Option<(NonNull<Node>, u64)>,
}

// SAFETY: it is followed by the owner of the nodes only, which a receive looks after at each poll.
unsafe impl Send for At {}

/// What a walk came to.
enum Look<T> {
    Taken(T),
    /// All that is there was refused.
    Nothing,
    /// Something else is to be done first.
    Interrupted,
}

/// How a walk goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Until something else is to be done, or others want to run.
    Strides,
    /// Until something else is to be done.
    Steady,
    /// To the end. What else is to be done was looked at just before.
    Headlong,
}

/// Walks on from where the receive stands. The process ends as soon as its body is pending: then nothing is taken.
#[inline]
fn look<M: Send + 'static, T>(
    mailbox: &mut Mailbox<M>,
    at: &mut At,
    take: &mut impl FnMut(M) -> Result<T, M>,
    pace: Pace,
) -> Look<T> {
    let cell = mailbox.runs();
    let header = cell.header();
    loop {
        let is_called = pace != Pace::Headlong && header.flags.get() & flag::BODY != 0;
        let is_special = header.has(bit::DOOMED | bit::URGENT);
        if is_called || (is_special && header.has(bit::DOOMED)) {
            return Look::Interrupted;
        }
        let stride =
            if header.has(bit::SLOW) || header.flags.get() & flag::PACED != 0 { 1 } else { STRIDE };
        if pace == Pace::Strides && mailbox.looked >= stride {
            return Look::Interrupted;
        }
        if is_special {
            // SAFETY: the body runs, so this is the owner, and no reference to its part is alive. Of the place in the
            // lane holds what holds of that in the mailbox, below.
            if let Some(node) = unsafe { lane::take_behind(cell, at.lane) } {
                mailbox.looked = mailbox.looked.saturating_add(1);
                // SAFETY: as below.
                match unsafe { offer::<M, T>(cell, node, take) } {
                    Ok(taken) => return Look::Taken(taken),
                    Err(node) => {
                        // SAFETY: as below.
                        unsafe { lane::put_behind(cell, at.lane, node) };
                        at.lane = Some(node);
                        continue;
                    }
                }
            }
        }
        let mut node = None;
        if at.segment.is_none() {
            // SAFETY: the body runs, so this is the owner, and the only reference to the cursor. The receive stands at
            // a node of this FIFO, since it was put there (below), and nothing else takes one out (module text, 5).
            let Some(next) = (unsafe { cell.cursor().take_behind(at.node) }) else {
                return Look::Nothing;
            };
            // SAFETY: taken out just above.
            if unsafe { Node::vt(next) }.tag == tag::TOKEN {
                // SAFETY: as above: nothing has come between the two.
                unsafe { cell.cursor().put_behind(at.node, next) };
                // Looked at before anything else is done: from then on the token stays where it is.
                at.segment = Some((next, 0));
            } else {
                node = Some(next);
            }
        }
        let Some(node) = node else {
            match look_in_segment::<M, T>(cell, at, take) {
                InSegment::Taken(taken) => return Look::Taken(taken),
                InSegment::Refused => mailbox.looked = mailbox.looked.saturating_add(1),
                InSegment::Left => {}
                InSegment::Nothing => return Look::Nothing,
            }
            continue;
        };
        mailbox.looked = mailbox.looked.saturating_add(1);
        // SAFETY: taken out just above; in a process's FIFO are its messages, `M`s, behind the init node, which is
        // gone when its body runs.
        match unsafe { offer::<M, T>(cell, node, take) } {
            Ok(taken) => return Look::Taken(taken),
            Err(node) => {
                // SAFETY: as above: nothing has come between the two. The message is in it again.
                unsafe { cell.cursor().put_behind(at.node, node) };
                at.node = Some(node);
            }
        }
    }
}

/// A node that is out of the FIFO. Dropped, also by a panic of who looks at its message: that was taken.
struct Held<M> {
    cell: CellPtr,
    node: NonNull<Node>,
    vt: &'static NodeVt,
    _message: PhantomData<fn(M)>,
}

impl<M> Drop for Held<M> {
    #[inline]
    fn drop(&mut self) {
        took(self.cell, u32::from(self.vt.counted));
        if self.vt.tag == tag::CALL {
            // SAFETY: read out by `offer`, and not written back. (If its reply was answered meanwhile, the node waits
            // for this.)
            unsafe { call::request_taken(self.node) };
        } else {
            if self.vt.tag == tag::ITEM {
                // SAFETY: of this tag, made for an `M`, and not retired yet.
                let id = unsafe { message::number_of::<M>(self.node) };
                // SAFETY: `offer`'s caller is the owner, and holds no reference to its part.
                unsafe { work::item_taken(self.cell, id) };
            }
            // SAFETY: `offer`'s caller is the owner with no reference to the cursor alive; the message is out.
            unsafe { self.cell.cursor().retire(self.node) };
        }
    }
}

/// The body has taken so many messages: there is room for others.
#[inline]
fn took(cell: CellPtr, messages: u32) {
    let header = cell.header();
    header.took(messages);
    if header.flags.get() & flag::WAITERS != 0 {
        let_in(cell);
    }
}

#[cold]
fn let_in(cell: CellPtr) {
    // Put back if any are left.
    cell.header().flags.take(flag::WAITERS);
    // What the body has dropped is answered when it ends or awaits, whatever wakers there are.
    local::aside(|| bound::attend(cell, false));
}

/// Shows the message of a node to `take`. `Err`: it was refused, and is in its node again, or in another.
///
/// # Safety
/// The caller owns `cell`, has no reference to its cursor, and has just taken `node` out: a node with an `M`.
#[inline]
unsafe fn offer<M: Send + 'static, T>(
    cell: CellPtr,
    node: NonNull<Node>,
    take: &mut impl FnMut(M) -> Result<T, M>,
) -> Result<T, NonNull<Node>> {
    // SAFETY: the caller's word.
    let vt = unsafe { Node::vt(node) };
    if matches!(vt.tag, tag::NARROWED | tag::NARROWED_CALL | tag::KEPT) {
        if vt.tag == tag::KEPT {
            // SAFETY: the caller's word, and of this tag.
            return unsafe { offer_kept(cell, node, take) };
        }
        // SAFETY: the caller's word, and of these tags.
        return unsafe { offer_narrowed(cell, node, vt, take) };
    }
    let place: *mut M = match vt.tag {
        // A monitor's and a stream's are laid out as a plain one, and freed by their own table.
        tag::MESSAGE | tag::DOWN | tag::ITEM => message::place_of::<M>(node).cast_mut(),
        // SAFETY: of this tag, with a request that is still there.
        tag::CALL => unsafe { call::request_place::<M>(node) }.cast_mut(),
        other => unreachable!("a node of kind {other} among the messages"),
    };
    let held = Held::<M> { cell, node, vt, _message: PhantomData };
    // SAFETY: the message is there. Read once: `held` takes care that the node is given up with it.
    let msg = unsafe { place.read() };
    let is_observed = cell.header().has(bit::OBSERVED);
    let variant = if is_observed { observed::variant_of(cell, &msg) } else { None };
    match take(msg) {
        Ok(taken) => {
            if is_observed {
                tell_delivered::<M>(cell, vt, variant);
            }
            note_in_hand(node, vt);
            drop(held);
            Ok(taken)
        }
        Err(msg) => {
            mem::forget(held);
            // SAFETY: where it was read from: the node is still the caller's, also if the reply that was in the
            // request has been answered, since the request counts as waiting.
            unsafe { place.write(msg) };
            Err(node)
        }
    }
}

/// As [`offer`], of what was sent through a narrowed address: shown for the first time it becomes an `M`, and stays one
/// if it is refused, in a node of its own.
///
/// # Safety
/// As for [`offer`]; the node has one of the two tags, and `vt` is its table.
#[cold]
unsafe fn offer_narrowed<M, T>(
    cell: CellPtr,
    node: NonNull<Node>,
    vt: &'static NodeVt,
    take: &mut impl FnMut(M) -> Result<T, M>,
) -> Result<T, NonNull<Node>>
where
    M: Send + 'static,
{
    // Dropped, also by a panic: the message was taken.
    struct Taken(CellPtr, bool);
    impl Drop for Taken {
        fn drop(&mut self) {
            took(self.0, u32::from(self.1));
        }
    }
    let taken = Taken(cell, vt.counted);
    // SAFETY: the caller's word.
    let msg = unsafe { narrow::take::<M>(cell, node) };
    let is_observed = cell.header().has(bit::OBSERVED);
    let variant = if is_observed { observed::variant_of(cell, &msg) } else { None };
    match take(msg) {
        Ok(wanted) => {
            if is_observed {
                tell_delivered::<M>(cell, vt, variant);
            }
            note_in_hand(node, vt);
            Ok(wanted)
        }
        Err(msg) => {
            mem::forget(taken);
            // As it was: of a timer it does not count.
            Err(if vt.counted { message::node(msg) } else { message::uncounted(msg) })
        }
    }
}

/// As [`offer`], of a message that an incarnation before has left unread. Refused, it is in the same node again, which
/// knows how often it was kept.
///
/// # Safety
/// As for [`offer`]; the node has the tag.
#[cold]
unsafe fn offer_kept<M, T>(
    cell: CellPtr,
    node: NonNull<Node>,
    take: &mut impl FnMut(M) -> Result<T, M>,
) -> Result<T, NonNull<Node>>
where
    M: Send + 'static,
{
    // Dropped, also by a panic: the message was taken.
    struct Opened(CellPtr, NonNull<Node>);
    impl Drop for Opened {
        fn drop(&mut self) {
            // SAFETY: `offer_kept`'s caller is the owner with no reference to the cursor alive; the message is out.
            unsafe { self.0.cursor().retire(self.1) };
        }
    }
    let opened = Opened(cell, node);
    // SAFETY: the caller's word.
    let inner = unsafe { unread::inner(node) };
    // SAFETY: the caller's word; what is kept is of the mailbox's own kind.
    match unsafe { offer::<M, T>(cell, inner, take) } {
        Ok(taken) => Ok(taken),
        Err(inner) => {
            mem::forget(opened);
            // SAFETY: the caller's word.
            unsafe { unread::set_inner(node, inner) };
            Err(node)
        }
    }
}

/// The body has taken a message. A request is what it has in hand until it takes another, see `deadlock`. The node is
/// compared, never followed.
#[inline]
fn note_in_hand(node: NonNull<Node>, vt: &NodeVt) {
    let is_request = matches!(vt.tag, tag::CALL | tag::NARROWED_CALL);
    let in_hand = if is_request { node.as_ptr().cast_const().cast() } else { std::ptr::null() };
    // SAFETY: the body runs, in a frame whose header has this field from before the first poll on.
    unsafe { (&raw mut (*local::frame()).in_hand).write(in_hand) };
}

#[cold]
fn tell_delivered<M>(cell: CellPtr, vt: &NodeVt, variant: Option<i128>) {
    let number = vt.counted.then(|| cell.header().taken.load(Ordering::Relaxed));
    let how = match vt.tag {
        tag::CALL | tag::NARROWED_CALL => Delivery::Request,
        _ if vt.counted => Delivery::Cast,
        _ => Delivery::Own,
    };
    observed::tell_delivered::<M>(cell, variant, how, number, None);
}

/// Does in the body's poll what the run does between two: drains the inbox and looks at the flags. The body runs,
/// with no reference to its cursor alive.
fn attend_here(cell: CellPtr) {
    let header = cell.header();
    // SAFETY: the body runs: this is the owner, and the only reference to the cursor.
    let cursor = unsafe { cell.cursor() };
    let others_waited = !cursor.is_empty();
    // SAFETY: as above, and this is the inbox's cursor.
    // What the body has dropped is answered when it ends or awaits, whatever signals there are.
    let drained = local::aside(|| unsafe {
        header.inbox.drain(cursor, |cursor, node| signal::receive(cell, cursor, node))
    });
    cell.note_drained(drained.messages, others_waited);
    // That of a call's timeout is the run's to look at.
    let flags = header.flags.take(flag::BODY & !flag::TIMEOUT);
    local::aside(|| run::obey(cell, flags));
    if drained.woken || drained.tagged {
        // What the signs stood for: whatever else the body waits for, and what is left of the flags.
        header.set(bit::POLL);
    }
}

/// A receive that does not wait.
pub(super) fn receive_now<M: Send + 'static>(mailbox: &mut Mailbox<M>) -> Option<M> {
    let mut at = At::default();
    if let Look::Taken(msg) = look(mailbox, &mut at, &mut Ok, Pace::Steady) {
        return Some(msg);
    }
    attend_here(mailbox.runs());
    match look(mailbox, &mut at, &mut Ok, Pace::Headlong) {
        Look::Taken(msg) => Some(msg),
        Look::Nothing | Look::Interrupted => None,
    }
}

/// The body is pending, and to be polled again when the run has looked around.
fn pause(cell: CellPtr, waker: &Waker) {
    let header = cell.header();
    header.set(bit::POLL);
    if local::polled_with(waker) != Some(cell) {
        // A combinator looks at what woke it only. That is no yield: the turn counts what was taken.
        let has_yielded = header.has(bit::YIELDED);
        waker.wake_by_ref();
        if !has_yielded {
            header.clear(bit::YIELDED);
        }
    }
}

/// The body is pending until a message comes.
fn wait(cell: CellPtr, waker: &Waker) {
    cell.header().set(bit::RECEIVING);
    if local::polled_with(waker) == Some(cell) {
        return;
    }
    // Before and behind the part is looked up: wakers are the user's.
    let waker = waker.clone();
    // SAFETY: the body runs: this is the owner, who holds no other reference.
    let old = unsafe { Ext::of(cell) }.receiver.replace(waker);
    drop(old);
}

/// A receive. Ready with what `take` has made of a message.
pub(super) struct Receive<'a, M: Send + 'static, F> {
    mailbox: &'a mut Mailbox<M>,
    at: At,
    take: F,
    /// The simulation's chooser was asked whether others are to run first.
    was_asked: bool,
}

// Nothing in it is pinned.
impl<M: Send + 'static, F> Unpin for Receive<'_, M, F> {}

impl<'a, M: Send + 'static, F> Receive<'a, M, F> {
    #[inline]
    pub(super) fn new<T>(mailbox: &'a mut Mailbox<M>, take: F) -> Self
    where
        F: FnMut(M) -> Result<T, M>,
    {
        Receive { mailbox, at: At::default(), take, was_asked: false }
    }

    /// One more walk. `Look::Interrupted`: it is to be polled again.
    #[inline]
    fn look<T>(&mut self, cx: &TaskContext<'_>) -> Look<T>
    where
        F: FnMut(M) -> Result<T, M>,
    {
        if self.mailbox.is_simulated && self.gives_way(cx) {
            return Look::Interrupted;
        }
        let looked = look(self.mailbox, &mut self.at, &mut self.take, Pace::Strides);
        if !matches!(looked, Look::Taken(_)) {
            self.mailbox.looked = 0;
            if matches!(looked, Look::Interrupted) {
                pause(self.mailbox.runs(), cx.waker());
            }
        }
        looked
    }

    /// There is a message. `true`: others are to run before it is looked at. Only in a simulation.
    #[cold]
    fn gives_way(&mut self, cx: &TaskContext<'_>) -> bool {
        let cell = self.mailbox.runs();
        // SAFETY: as in `look`.
        let is_there = unsafe { cell.cursor().has_behind(self.at.node) }
            // SAFETY: as above.
            || unsafe { lane::has_behind(cell, self.at.lane) };
        if self.was_asked || !is_there {
            return false;
        }
        self.was_asked = true;
        let gives_way = simulate::gives_way(cx);
        if gives_way {
            cell.header().set(bit::YIELDED);
        }
        gives_way
    }
}

impl<M, T, F> Future for Receive<'_, M, F>
where
    M: Send + 'static,
    F: FnMut(M) -> Result<T, M>,
{
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<T> {
        match self.look(cx) {
            Look::Taken(taken) => Poll::Ready(taken),
            Look::Interrupted => Poll::Pending,
            Look::Nothing => {
                wait(self.mailbox.runs(), cx.waker());
                Poll::Pending
            }
        }
    }
}

/// A [`Receive`] that does not wait for longer than it may.
pub(super) struct ReceiveWithin<'a, M: Send + 'static, F> {
    receive: Receive<'a, M, F>,
    limit: Limit,
}

enum Limit {
    /// To be counted from when nothing is found for the first time.
    Of(Duration),
    At(Sleep),
}

impl<'a, M: Send + 'static, F> ReceiveWithin<'a, M, F> {
    pub(super) fn new<T>(mailbox: &'a mut Mailbox<M>, take: F, limit: Duration) -> Self
    where
        F: FnMut(M) -> Result<T, M>,
    {
        ReceiveWithin { receive: Receive::new(mailbox, take), limit: Limit::Of(limit) }
    }

    fn is_over(&mut self, cell: CellPtr, cx: &mut TaskContext<'_>) -> bool {
        if let Limit::Of(limit) = self.limit {
            if limit.is_zero() {
                return true;
            }
            self.limit = Limit::At(cell.shared().scheduler().sleep(limit));
        }
        match &mut self.limit {
            Limit::Of(_) => true,
            Limit::At(sleep) => Pin::new(sleep).poll(cx).is_ready(),
        }
    }
}

impl<M, T, F> Future for ReceiveWithin<'_, M, F>
where
    M: Send + 'static,
    F: FnMut(M) -> Result<T, M>,
{
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        match this.receive.look(cx) {
            Look::Taken(taken) => return Poll::Ready(Some(taken)),
            Look::Interrupted => return Poll::Pending,
            Look::Nothing => {}
        }
        let cell = this.receive.mailbox.runs();
        if !this.is_over(cell, cx) {
            wait(cell, cx.waker());
            return Poll::Pending;
        }
        // What has come since the last drain came in time.
        attend_here(cell);
        let Receive { mailbox, at, take, .. } = &mut this.receive;
        match look(mailbox, at, take, Pace::Headlong) {
            Look::Taken(taken) => Poll::Ready(Some(taken)),
            Look::Nothing => Poll::Ready(None),
            // The process is about to end.
            Look::Interrupted => Poll::Pending,
        }
    }
}

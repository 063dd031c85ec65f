//! The ring of a mailbox that drops its oldest messages.
//!
//! Messages lie in a locked ring, apart from the inbox, where a sender reaches the oldest as well as the newest. In
//! the inbox's stream stand *tokens*, one for a *segment* of the ring: its messages are handled where the token stands.
//! So they keep their order with the signals of the same sender, some of which become messages.
//!
//! ```text
//!   ring    a b c | d | e f            stream    T1  down  T2  exit  T3     handled: a b c down d exit e f
//!           T1      T2  T3
//! ```
//!
//! # Operations
//!
//! *send*, under the lock: joins the last segment if nothing can have been pushed behind its token that came before
//! this send (below); else pushes a new token. Then, if the ring is longer than the limit, its first message is taken
//! out, wherever the owner is: it is dropped behind the lock.
//!
//! *take* (owner), when it comes to a token: the first message of the ring, if it is of the token's segment. With the
//! last one the segment is over, and the token goes. A token whose messages were all displaced is found empty.
//!
//! *look* (the body of a process, which receives by choice): takes a message of a segment out to look at it, leaves a
//! hole, and puts it back if it is refused. A hole keeps its place, can be the oldest, and be displaced: then the
//! message that comes back is dropped, and counts as dropped then.
//!
//! # When a message may join a segment
//!
//! It stands where the token does. So nothing may stand between that is older than this send in the eyes of its
//! sender, or of whoever caused it to send:
//!
//! - the token is the newest node of the inbox ([`End::Here`]): nothing was pushed behind it;
//! - or the owner is idle ([`End::Idle`]): all that was pushed was drained, and whatever of that became a message has
//!   *sealed* the ring, before the owner went idle. (What the inbox has that is neither a signal nor a token is the
//!   runtime's own, and has no order with a sender's messages.)
//!
//! # Why no message is asleep
//!
//! A message that joins wakes nobody. If its token is in the inbox, the owner was woken by that. If it is in the
//! owner's FIFO, the owner comes to it: an actor does not go idle with a token in its FIFO, unless its handler is
//! suspended, and that goes on first. A body may go idle with one; it seals the ring, under the lock, when it has
//! looked at all there is: who comes then pushes a token, and wakes it. One that waits for something else will look
//! again when it receives.
//!
//! # Memory
//!
//! The ring holds `limit` messages at most. Tokens: one, and one more for each time that something else came between;
//! most of that is gone by the time it is handled, but its tokens would pile up behind a handler that is suspended. So
//! who pushes one too many has the owner *tidy*: tokens that have nothing to say, or stand directly behind another,
//! are taken out. A token that a receive may stand at stays: it is the one that was looked at last, since a receive
//! goes past a token only to something else.
//!
//! # Who waits
//!
//! The queue lies under the same lock: whoever makes room lets in who waits. So nobody waits while there is room.
#![expect(unsafe_code, reason = "tokens are nodes, and the owner's FIFO is reached by pointer")]

mod choice;

pub(crate) use choice::{Found, look, merge};

use std::{collections::VecDeque, ptr::NonNull};

use whitebeam_sync::{
    inbox::{Cursor, End, Push},
    node::{Node, NodeVt},
    shim::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use super::{
    Bound, Sent, Wish, drop_unread,
    queue::{Place, Queue, Woken},
    ring_of,
};
use crate::{
    cell::{CellPtr, Header},
    message::{self, Carried, tag},
};

/// See the module's text.
pub(super) struct Ring {
    inner: Mutex<Inner>,
    /// Messages in it; written under the lock.
    len: AtomicU32,
    /// The most there were.
    high: AtomicU32,
    /// Messages that have left it for the owner, modulo 2^32; written under the lock.
    served: AtomicU32,
    /// The process has ended, and what was in the ring is in its backlog.
    is_over: AtomicBool,
}

#[derive(Default)]
struct Inner {
    /// `None`: a hole.
    messages: VecDeque<Option<Carried>>,
    /// The number of the first of them. They are numbered as they come, less those taken out from between.
    first: u64,
    /// Tokens that are not over, in their order.
    segments: VecDeque<Segment>,
    /// A message may join the last segment.
    is_open: bool,
    /// The token that a receive has looked at last.
    looked_at: Option<Token>,
    /// Tokens that were left in the FIFO when the owner has tidied last.
    tidied: usize,
    queue: Queue,
}

/// Tokens that may be there without a reason. Each has some 50 bytes.
const SPARE_TOKENS: usize = 64;

struct Segment {
    token: Token,
    /// The number of its first message; they go on to the next one's.
    start: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Token(NonNull<Node>);

// SAFETY: compared only, while the segment exists, and freed by the owner of the cell.
unsafe impl Send for Token {}

static TOKEN: NodeVt = NodeVt {
    tag: tag::TOKEN,
    counted: false,
    urgent: false,
    detach: false,
    free: free_token,
    dispose: free_token,
};

unsafe fn free_token(node: NonNull<Node>) {
    // SAFETY: made by `push_token` from a box, and freed once.
    drop(unsafe { Box::from_raw(node.as_ptr()) });
}

/// The process has ended: the message, back.
struct Refused(Carried);

impl Inner {
    /// The numbers of the messages of the segment at this place.
    fn numbers(&self, at: usize) -> std::ops::Range<u64> {
        let end = self.first + self.messages.len() as u64;
        let start = self.segments[at].start.clamp(self.first, end);
        let next = self.segments.get(at + 1).map_or(end, |next| next.start);
        start..next.clamp(start, end)
    }

    fn place_of(&self, token: NonNull<Node>) -> Option<usize> {
        self.segments.iter().position(|segment| segment.token == Token(token))
    }

    fn is_full(&self, limit: u32) -> bool {
        self.messages.len() >= limit as usize
    }

    /// Appends a message, whether there is room or not.
    fn append(
        &mut self,
        cell: CellPtr,
        message: Carried,
        woken: &mut Woken,
    ) -> Result<(), Refused> {
        let inbox = &cell.header().inbox;
        let last = self.segments.back().filter(|_| self.is_open);
        let joins = last.is_some_and(|last| match inbox.end(last.token.0) {
            End::Here | End::Idle => true,
            End::Elsewhere | End::Closed => false,
        });
        if !joins {
            let token = NonNull::from(Box::leak(Box::new(Node::new(&TOKEN))));
            // The owner may find it before its message is there: it looks under the lock.
            match message::push_anyway(cell, token) {
                Push::Closed => {
                    // SAFETY: refused: still ours.
                    unsafe { free_token(token) };
                    return Err(Refused(message));
                }
                push => woken.owe(push),
            }
            let start = self.first + self.messages.len() as u64;
            self.segments.push_back(Segment { token: Token(token), start });
            self.is_open = true;
            woken.has_to_look |= self.segments.len() > SPARE_TOKENS + 2 * self.tidied;
        }
        self.messages.push_back(Some(message));
        Ok(())
    }

    /// Lets in who waits, as there is room.
    fn let_in(&mut self, cell: CellPtr, limit: u32, woken: &mut Woken) {
        while !self.is_full(limit) {
            let Some(place) = self.queue.pop() else { return };
            let (node, slot) = place.into_parts();
            if let Err(Refused(message)) = self.append(cell, Carried::adopt(node), woken) {
                // The end of the process is about to close the queue, and gives it back.
                return self.queue.put_back(Place::new(message.into_node(), slot));
            }
            woken.note(Push::Queued, slot);
        }
    }
}

impl Ring {
    pub(super) fn new() -> Self {
        let [len, high, served] = [(); 3].map(|()| AtomicU32::new(0));
        Ring { inner: Mutex::default(), len, high, served, is_over: AtomicBool::new(false) }
    }

    pub(super) fn with_queue<R>(&self, f: impl FnOnce(&mut Queue) -> R) -> R {
        f(&mut self.inner.lock().queue)
    }

    pub(super) fn high(&self) -> u32 {
        self.high.load(Ordering::Relaxed)
    }

    pub(super) fn length(&self, header: &Header) -> u32 {
        // Taken first, as without a bound.
        let taken = header.taken.load(Ordering::Acquire);
        let pushed = header.inbox.pushed();
        let len = self.len.load(Ordering::Acquire);
        // Nothing but what is in the ring has ever come.
        if pushed == 0 && !self.is_over.load(Ordering::Acquire) {
            return len;
        }
        let others = pushed.wrapping_add(self.served.load(Ordering::Acquire)).wrapping_sub(taken);
        if others > u32::MAX / 2 { len } else { len.saturating_add(others) }
    }

    /// A message has left for the owner. Under the lock, before the length is published.
    fn serve(&self) {
        self.served.fetch_add(1, Ordering::Release);
    }

    /// Publishes the length, under the lock.
    fn publish(&self, inner: &Inner) {
        let len = inner.messages.len() as u32;
        self.len.store(len, Ordering::Release);
        if len > self.high.load(Ordering::Relaxed) {
            self.high.store(len, Ordering::Relaxed);
        }
    }

    /// See [`Bound::send`].
    pub(super) fn send(
        &self,
        bound: &Bound,
        cell: CellPtr,
        node: NonNull<Node>,
        wish: Wish,
        seems_full: bool,
    ) -> Sent {
        let mut woken = Woken::default();
        let mut inner = self.inner.lock();
        if inner.queue.is_closed() {
            return Sent::Closed;
        }
        let is_full = inner.is_full(bound.limit);
        if is_full && matches!(wish, Wish::Room) {
            return Sent::Full;
        }
        let is_plain = matches!(wish, Wish::Now);
        if let Wish::Wait(slot) = wish
            && is_full
        {
            inner.queue.add(Place::new(node, slot));
            return Sent::Queued;
        }
        if let Err(Refused(message)) = inner.append(cell, Carried::adopt(node), &mut woken) {
            drop(inner);
            let _ = message.into_node();
            return Sent::Closed;
        }
        let mut displaced = None;
        if is_full || (seems_full && is_plain && inner.messages.len() > 1) {
            displaced = inner.messages.pop_front().flatten();
            inner.first += 1;
            if displaced.is_some() {
                bound.count_dropped();
            }
        }
        self.publish(&inner);
        drop(inner);
        woken.wake(cell);
        if let Some(displaced) = displaced {
            drop_unread(displaced);
        }
        Sent::Done
    }

    pub(super) fn seal(&self) {
        self.inner.lock().is_open = false;
    }

    /// Takes tokens out of the FIFO that it can do without. `true`: there are too many in the inbox, and it is to be
    /// called again when they are drained. The caller is the owner, with no reference to its cursor alive.
    pub(super) fn tidy(&self, cell: CellPtr) -> bool {
        let mut inner = self.inner.lock();
        // SAFETY: the caller's word.
        let cursor = unsafe { cell.cursor() };
        // The tokens in the FIFO are those of the first segments, in their order.
        let (mut at, mut before, mut is_behind_token) = (0, None, false);
        let mut stay = Vec::new();
        // SAFETY: put there below, or the oldest.
        while let Some(node) = unsafe { cursor.take_behind(before) } {
            // SAFETY: taken out just above.
            let is_token = unsafe { Node::vt(node) }.tag == tag::TOKEN;
            if is_token {
                let is_empty = inner.numbers(at).is_empty();
                let stays = inner.looked_at == Some(Token(node)) || !(is_empty || is_behind_token);
                stay.push(stays);
                at += 1;
                if !stays {
                    if at == inner.segments.len() && !is_behind_token {
                        inner.is_open = false;
                    }
                    // SAFETY: taken out just above; a token has no payload.
                    unsafe { cursor.retire(node) };
                    continue;
                }
            }
            // SAFETY: nothing has come between the two.
            unsafe { cursor.put_behind(before, node) };
            (before, is_behind_token) = (Some(node), is_token);
        }
        let unseen = inner.segments.len() - stay.len();
        inner.tidied = stay.iter().filter(|stays| **stays).count();
        let mut stay = stay.into_iter();
        inner.segments.retain(|_| stay.next().unwrap_or(true));
        let needed = inner.segments.len();
        inner.segments.shrink_to(needed + SPARE_TOKENS);
        unseen > SPARE_TOKENS + 2 * inner.tidied
    }

    /// The process has ended, and its inbox is closed: puts what is in the ring where its tokens stand.
    pub(super) fn unfold(&self, cursor: &mut Cursor) {
        let mut inner = self.inner.lock();
        let segments: Vec<_> = (0..inner.segments.len())
            .map(|at| (inner.segments[at].token, inner.numbers(at).count()))
            .collect();
        let messages = std::mem::take(&mut inner.messages);
        inner.segments.clear();
        let moved = messages.iter().flatten().count();
        self.served.fetch_add(moved as u32, Ordering::Release);
        self.is_over.store(true, Ordering::Release);
        self.len.store(0, Ordering::Release);
        drop(inner);
        let mut messages = messages.into_iter();
        let mut segments = segments.into_iter().peekable();
        let mut nodes = Vec::new();
        while let Some(node) = cursor.pop() {
            nodes.push(node);
        }
        for node in nodes {
            let Some((_, count)) = segments.next_if(|(token, _)| *token == Token(node)) else {
                // SAFETY: popped just above, and whole.
                unsafe { cursor.push_back(node) };
                continue;
            };
            for message in messages.by_ref().take(count).flatten() {
                // SAFETY: the ring's, given up; messages may change threads.
                unsafe { cursor.push_back(message.into_node()) };
            }
            // SAFETY: popped just above; a token has no payload.
            unsafe { cursor.retire(node) };
        }
    }
}

/// The owner has popped a token: its next message, if it has any left. The token goes back to the front of the FIFO,
/// or is over. Called with no reference to the cursor alive.
pub(crate) fn take(cell: CellPtr, token: NonNull<Node>) -> Option<NonNull<Node>> {
    let (bound, ring) = both(cell)?;
    let mut woken = Woken::default();
    cell.note_waiting(ring.len.load(Ordering::Relaxed));
    let mut inner = ring.inner.lock();
    debug_assert!(inner.place_of(token) == Some(0));
    let mut numbers = inner.numbers(0);
    let message = if numbers.next().is_some() {
        inner.first += 1;
        ring.serve();
        inner.messages.pop_front().flatten()
    } else {
        None
    };
    let is_over = numbers.next().is_none();
    if is_over {
        inner.segments.pop_front();
    }
    inner.let_in(cell, bound.limit, &mut woken);
    ring.publish(&inner);
    drop(inner);
    // SAFETY: the caller owns the cell and has no reference to its cursor.
    let cursor = unsafe { cell.cursor() };
    if is_over {
        // SAFETY: popped by the caller; a token has no payload.
        unsafe { cursor.retire(token) };
    } else {
        // SAFETY: popped by the caller, and given up.
        unsafe { cursor.push_front(token) };
    }
    woken.wake(cell);
    message.map(Carried::into_node)
}

fn both<'a>(cell: CellPtr) -> Option<(&'a Bound, &'a Ring)> {
    super::of(cell).zip(ring_of(cell))
}

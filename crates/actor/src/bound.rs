//! Bounded mailboxes: how many messages may wait in one, and what becomes of those that find no room.
//!
//! What is bounded is what others send: casts and requests. Signals, and messages that are born of them, of timers or
//! of the process itself, are neither refused nor counted, nor is what comes through an alias, for which its receiver
//! has asked. So a bound costs nothing but those who send to it: the cell's inbox is
//! [guarded](whitebeam_sync::inbox::Inbox::guard), a plain push is turned away, and its sender comes here.
//!
//! ```text
//!   cast, call ──push_plain──▶ Guarded ──▶ send ─┬─ gate: let in ──────────▶ push ──▶ the inbox
//!                                                ├─ no room, may wait ────▶ queue ──▶ let in by whoever sees to it
//!                                                ├─ no room, may not ─────▶ refused, dropped, or the end (Exit)
//!                                                └─ ring (DropOldest) ────▶ the ring, the oldest displaced
//! ```
//!
//! # Where it is
//!
//! In the cell's [`Part`](crate::ext::Part), put there before the cell is published and never replaced; the bit
//! `BOUNDED` says that it is there. Limit and policy are never written again; the rest is atomic or locked.
//!
//! # Two ways to keep a bound
//!
//! *A gate* ([`Gate`]), for all policies but `DropOldest`: a message that is let in goes into the inbox as any other.
//! *A ring* ([`ring`]), for `DropOldest`: a sender has to reach the oldest message, and a lock-free stack lets it reach
//! the newest only.
//!
//! # Who waits
//!
//! [`queue`] has the senders that wait, first come first served, each with its message in its node. Whoever lets one
//! in pushes that node itself, under the queue's lock: so messages come in in the order of the queue, and none waits
//! for a sender that is slow to wake up. Who lets in:
//!
//! - the owner. Who joins the queue raises `flag::WAITERS`. If there are any left when the owner has looked after that, it
//!   takes note to look again behind the next message that it takes: by `bit::WAITED` if it has one in its FIFO, else
//!   by the flag, which it finds up when there is one. Both are among those that it looks at behind each message anyway;
//! - a plain sender that finds room and somebody before it ([`Entry::Behind`]);
//! - with a ring, whoever makes room in it: under the one lock for both.
//!
//! # Why nobody waits for ever (with a gate)
//!
//! Somebody joins the queue since there was no room, and raises the flag afterwards. A raise leads to a drain and a
//! look at the flags behind it, whatever the owner was about: the inbox sees to that. In that look the owner knows
//! itself how many it has taken, so it lets in whom there is room for. If there is none, as many as the limit were let
//! in and are not taken, and the owner looks again behind the next of these that it takes. If none of these is pushed
//! yet, their pushes wake the owner, which finds the flag. (The bit keeps the owner from going idle, the flag does not:
//! hence the two.)
//!
//! Who leaves the queue makes no room. An owner that ends closes the queue, behind its inbox: what is in it goes back,
//! and who comes later finds it closed.
//!
//! # Checked by
//!
//! loom: `inbox/tests/loom_guard.rs` of the sync crate for the gate, `models/bound.rs` for queue and flag. Tests:
//! `tests/it/bounded*.rs`, among them a storm that counts everything, and a model by random steps.

mod overflow;
mod queue;
pub(crate) mod ring;

pub(crate) use overflow::Wanted;
pub use overflow::{Overflow, ZeroBound};

pub(crate) use queue::{Slot, Told};

use std::{fmt, ptr::NonNull, sync::Arc};

use whitebeam_sync::{
    gate::{Entry, Gate},
    inbox::{Cursor, Push},
    node::Node,
    shim::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    ExitReason,
    cell::{CellPtr, CellRef, Header, bit, flag},
    contain::contain,
    ext::Part,
    local,
    message::{self, Carried},
    simulate::{Intervention, Moment},
};
use queue::{Place, Queue, Woken};
use ring::Ring;

/// A mailbox's bound. See the module's text.
pub(crate) struct Bound {
    limit: u32,
    /// Messages that the policy has dropped.
    dropped: AtomicU64,
    way: Way,
}

enum Way {
    Gate { gate: Gate, overflow: Overflow, queue: Mutex<Queue> },
    Ring(Ring),
}

/// What a sender wants that was turned away by the guard.
pub(crate) enum Wish {
    /// To send now, or what the policy says.
    Now,
    /// To send now or not at all: the sender would wait for itself.
    Room,
    /// To wait for room if there is none. With a slot it is told there; without, its message is a request, and the
    /// answer tells it.
    Wait(Option<Arc<Slot>>),
}

/// What became of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the node may be the caller's still"]
pub(crate) enum Sent {
    /// The message is in the mailbox.
    Done,
    /// It waits for room.
    Queued,
    /// There is no room. The node is the caller's.
    Full,
    /// It is to be dropped, and was counted. The node is the caller's, to be [dropped](drop_unread) outside of locks.
    Dropped,
    /// The process has ended. The node is the caller's.
    Closed,
}

/// Who was let in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LetIn {
    /// Others wait on.
    Some,
    /// All who waited.
    All,
    /// And who asked, who is to push.
    Me,
}

impl Bound {
    /// Gives `cell` its bound, before it is published.
    pub(crate) fn install(cell: CellPtr, wanted: Wanted) {
        let (limit, overflow) = wanted.into_parts();
        let way = match overflow {
            Overflow::DropOldest => Way::Ring(Ring::new()),
            overflow => Way::Gate { gate: Gate::new(), overflow, queue: Mutex::default() },
        };
        let bound = Bound { limit, dropped: AtomicU64::new(0), way };
        Part::set_bound(cell, Box::new(bound));
        cell.header().flags.put(flag::BOUNDED);
        cell.header().inbox.guard();
    }

    /// Sends what the guard has turned away. Runs none of the user's code but wakers of those who wait.
    pub(crate) fn send(&self, cell: CellPtr, node: NonNull<Node>, wish: Wish) -> Sent {
        let seems_full = cell.header().has(bit::OBSERVED) && is_said_to_be_full(cell);
        let (gate, overflow, queue) = match &self.way {
            Way::Ring(ring) => return ring.send(self, cell, node, wish, seems_full),
            Way::Gate { gate, overflow, queue } => (gate, *overflow, queue),
        };
        let taken = || taken(cell);
        let entered = !seems_full
            && match gate.enter(self.limit, taken) {
                Entry::Admitted => true,
                Entry::Full => false,
                // Those first who wait, and then who is here if there is room for all of them.
                Entry::Behind => {
                    !matches!(wish, Wish::Wait(_)) && self.let_in(cell, true) == LetIn::Me
                }
            };
        if entered {
            return push(cell, node);
        }
        if let Wish::Wait(slot) = wish {
            let mut queue = queue.lock();
            if queue.is_closed() {
                return Sent::Closed;
            }
            if !seems_full && queue.is_empty() && gate.enter_next(self.limit, taken) {
                drop(queue);
                return push(cell, node);
            }
            gate.set_waiting();
            queue.add(Place::new(node, slot));
            drop(queue);
            cell.raise(flag::WAITERS);
            return Sent::Queued;
        }
        if cell.is_ended() {
            return Sent::Closed;
        }
        if matches!(wish, Wish::Room) {
            return Sent::Full;
        }
        match overflow {
            Overflow::DropNewest => {
                self.count_dropped();
                Sent::Dropped
            }
            Overflow::Exit => {
                cell.raise(flag::OVERFLOW);
                Sent::Full
            }
            Overflow::Reject | Overflow::DropOldest => Sent::Full,
        }
    }

    /// Lets in those who wait, as there is room; with `me` who asks as well, behind all of them.
    fn let_in(&self, cell: CellPtr, me: bool) -> LetIn {
        let Way::Gate { gate, queue, .. } = &self.way else { return LetIn::All };
        let taken = || taken(cell);
        let mut woken = Woken::default();
        let mut queue = queue.lock();
        while !queue.is_empty() && gate.enter_next(self.limit, taken) {
            let Some(place) = queue.pop() else { break };
            let (node, slot) = place.into_parts();
            match message::push_anyway(cell, node) {
                Push::Closed => {
                    // The end of the process is about to close the queue, and gives it back.
                    queue.put_back(Place::new(node, slot));
                    break;
                }
                push => woken.note(push, slot),
            }
        }
        let let_in = if !queue.is_empty() {
            LetIn::Some
        } else {
            gate.clear_waiting();
            let is_in = me && !queue.is_closed() && gate.enter_next(self.limit, taken);
            if is_in { LetIn::Me } else { LetIn::All }
        };
        drop(queue);
        woken.wake(cell);
        let_in
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn with_queue<R>(&self, f: impl FnOnce(&mut Queue) -> R) -> R {
        match &self.way {
            Way::Gate { queue, .. } => f(&mut queue.lock()),
            Way::Ring(ring) => ring.with_queue(f),
        }
    }

    /// Takes who waits with `node` out of the queue, if `is_there` says that it is there still. `None`: it is not.
    fn leave(&self, node: usize, is_there: impl FnOnce() -> bool) -> Option<Carried> {
        self.with_queue(|queue| {
            let place = if is_there() { queue.remove(node) } else { None };
            if queue.is_empty()
                && let Way::Gate { gate, .. } = &self.way
            {
                gate.clear_waiting();
            }
            place
        })
        .map(Place::into_message)
    }
}

/// The bound of `cell`, which is allocated.
pub(crate) fn of<'a>(cell: CellPtr) -> Option<&'a Bound> {
    if cell.header().is_bounded() { Part::bound(cell.header()) } else { None }
}

/// Sends what the guard of `cell`'s inbox has turned away.
#[cold]
#[inline(never)]
pub(crate) fn send(cell: CellPtr, node: NonNull<Node>, wish: Wish) -> Sent {
    // Who was turned away sees what was written before the guard was set.
    match Part::bound(cell.header()) {
        Some(bound) => bound.send(cell, node, wish),
        None => unreachable!("a guarded inbox has a bound"),
    }
}

/// Lets in who waits, or tidies the ring: the flag `WAITERS` was up, or a message was taken since somebody has waited. Called by the owner,
/// with no reference to its cursor alive. `has_mail`: the run will handle another message before it goes idle.
#[cold]
pub(crate) fn attend(cell: CellPtr, has_mail: bool) {
    let header = cell.header();
    header.clear(bit::WAITED);
    let Some(bound) = of(cell) else { return };
    if let Way::Ring(ring) = &bound.way {
        if ring.tidy(cell) {
            header.flags.put(flag::WAITERS);
        }
        return;
    }
    if bound.let_in(cell, false) != LetIn::Some {
        return;
    }
    if has_mail {
        header.set(bit::WAITED);
    } else {
        header.flags.put(flag::WAITERS);
    }
}

/// A child's DOWN is about to count as taken, for which nobody was let in.
#[cold]
pub(crate) fn count_in(cell: CellPtr) {
    if let Some(Bound { way: Way::Gate { gate, .. }, .. }) = of(cell) {
        gate.count_in();
    }
}

/// Something was received that nobody had to let in, and that is no signal: a message by priority, or one that an
/// incarnation before has left. `counted`: it counts in the mailbox's length, and others find less room.
#[cold]
pub(crate) fn received(cell: CellPtr, counted: bool) {
    match of(cell).map(|bound| &bound.way) {
        Some(Way::Gate { gate, .. }) if counted => gate.count_in(),
        // If there is no lane, it is in the FIFO.
        Some(Way::Ring(ring)) => ring.seal(),
        _ => {}
    }
}

/// Something that is not in the ring was appended to the FIFO.
#[cold]
pub(crate) fn seal(cell: CellPtr) {
    if let Some(ring) = ring_of(cell) {
        ring.seal();
    }
}

/// The inbox of `cell` was closed by the caller, its owner: what is in a ring joins the backlog in its place, and who
/// waits is told. `reason` is what callers are told.
#[cold]
pub(crate) fn close(cell: CellPtr, cursor: &mut Cursor, reason: &ExitReason) {
    let Some(bound) = of(cell) else { return };
    if let Way::Ring(ring) = &bound.way {
        ring.unfold(cursor);
    }
    for place in bound.with_queue(Queue::close) {
        // Wakers and destructors are the user's.
        let _ = contain(|| local::dying(reason, || place.give_back()));
    }
}

/// The ring of `cell`, if it has one.
fn ring_of<'a>(cell: CellPtr) -> Option<&'a Ring> {
    match of(cell) {
        Some(Bound { way: Way::Ring(ring), .. }) => Some(ring),
        _ => None,
    }
}

/// Messages that wait in a bounded mailbox: never more than its limit, but for what nobody had to let in. (With a ring
/// and some of that, one that is on its way to its handler may be counted still.) Any thread may ask.
#[cold]
pub(crate) fn length(header: &Header) -> u32 {
    match Part::bound(header) {
        Some(Bound { way: Way::Ring(ring), .. }) => ring.length(header),
        _ => loop {
            let taken = header.taken.load(Ordering::Acquire);
            let length = header.inbox.length(taken);
            // Both at one moment, and not more than there ever were.
            if header.taken.load(Ordering::Acquire) == taken {
                break length;
            }
        },
    }
}

/// What can be seen of a bound.
pub(crate) struct Seen {
    pub(crate) limit: usize,
    pub(crate) dropped: u64,
    /// The longest the ring has been.
    pub(crate) high: u32,
}

/// Messages that have gone from the front of the mailbox for newer ones, modulo 2^32.
pub(crate) fn displaced(header: &Header) -> u32 {
    match header.is_bounded().then(|| Part::bound(header)).flatten() {
        Some(Bound { way: Way::Ring(_), dropped, .. }) => dropped.load(Ordering::Acquire) as u32,
        _ => 0,
    }
}

/// What can be seen of the bound of `cell`, if it has one.
pub(crate) fn look(cell: CellPtr) -> Option<Seen> {
    let bound = of(cell)?;
    let high = if let Way::Ring(ring) = &bound.way { ring.high() } else { 0 };
    let dropped = bound.dropped.load(Ordering::Relaxed);
    Some(Seen { limit: bound.limit as usize, dropped, high })
}

/// The bound of `cell` and its policy, if it has one.
pub(crate) fn rule(cell: CellPtr) -> Option<(usize, Overflow)> {
    let bound = of(cell)?;
    let overflow = match &bound.way {
        Way::Ring(_) => Overflow::DropOldest,
        Way::Gate { overflow, .. } => *overflow,
    };
    Some((bound.limit as usize, overflow))
}

/// Drops a message that a policy says is not to be handled, with the user's destructor, whose panic ends here. Callers
/// are told [`CallError::Full`](crate::CallError::Full).
pub(crate) fn drop_unread(message: Carried) {
    let _ = contain(|| local::overflowing(|| drop(message)));
}

/// A request that waits for room. Dropped it leaves the queue, and is dropped itself if it was in there.
pub(crate) struct Queued {
    cell: CellRef,
    /// Where its node is: compared, never followed.
    node: usize,
}

impl Queued {
    /// The request of this node was put in the queue of `cell`.
    pub(crate) fn new(cell: CellPtr, node: NonNull<Node>) -> Self {
        Queued { cell: cell.to_ref(), node: node.addr().get() }
    }

    /// Leaves the queue. `true`: it was in there, and was not delivered.
    pub(crate) fn leave(self) -> bool {
        self.take().is_some()
    }

    fn take(&self) -> Option<Carried> {
        // A request's node is not used anew before its caller is done with it, and that drops this first.
        of(self.cell.ptr())?.leave(self.node, || true)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Takes a cast that waits with `node` out of the queue of `cell`.
pub(crate) fn leave(cell: CellPtr, node: usize, slot: &Slot) -> Option<Carried> {
    of(cell)?.leave(node, || slot.is_waiting())
}

/// Whether a simulated run wants this message to find no room.
#[cold]
fn is_said_to_be_full(cell: CellPtr) -> bool {
    let intervention =
        cell.shared().observed().map(|observed| observed.intervention(cell.pid(), Moment::Room));
    matches!(intervention, Some(Intervention::Full))
}

/// How many were taken.
fn taken(cell: CellPtr) -> u32 {
    cell.header().taken.load(Ordering::Relaxed)
}

/// Pushes what was let in.
fn push(cell: CellPtr, node: NonNull<Node>) -> Sent {
    match message::push_anyway(cell, node) {
        Push::Queued => Sent::Done,
        Push::Schedule => {
            cell.schedule();
            Sent::Done
        }
        Push::Closed => Sent::Closed,
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("limit", &self.limit).finish_non_exhaustive()
    }
}

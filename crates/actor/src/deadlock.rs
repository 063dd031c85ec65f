//! Cycles of calls: found by chasing their edges, while those who wait do nothing.
//!
//! A handler that is suspended in a call handles nothing else. If it waits, over any number of others, for itself, nobody
//! of them goes on: one of them gets [`CallError::Deadlock`] with the path, instead of all a
//! timeout. After the edge chasing of Chandy, Misra and Haas ("Distributed deadlock detection", ACM TOCS 1(2), 1983).
//! There, who waits tells whom it waits for; here each hop looks at itself, a second tour round the cycle proves that the
//! edges hold at one moment, and who gets the error is agreed on by the path alone.
//!
//! # Edges
//!
//! Process `a` has an **edge** to `b` while a handler of `a`'s is suspended, waits for nothing but *w* (its leaf, found out
//! by a [`probe`]), and *w* can't come to pass before `b`'s handler, suspended as well, has gone on:
//!
//! | *w* | seen by `a` | seen by `b` |
//! | --- | --- | --- |
//! | the answer to a call to `b`, with no timeout or one of at least [`CALL_TIMEOUT`](crate::CALL_TIMEOUT) | not there; the reply is not [deferred](crate::Reply::defer); whether the request was taken | the request was not taken, or it is the one *in hand* |
//! | the end of `b`'s `init`, by a start without timeout | not there | `init` has not finished |
//! | the end of its child `b`, alone or with all others, which was told to end | `b` is in the table | - |
//!
//! In hand is what the suspended handler was called for (`FrameHdr::in_hand`). A reply that an earlier handler kept may
//! be with anybody, so no edge leads on from there. A reply that this handler has handed on is held to be with it, unless
//! it said [`defer`](crate::Reply::defer): that is the one thing that cannot be seen.
//!
//! The end of a child is only followed towards the process that looks: from one of its ancestors down to it.
//!
//! What is waited for together with anything else (`select`, `join`), or no longer than less than
//! [`CALL_TIMEOUT`](crate::CALL_TIMEOUT), makes no edge. Threads and tasks handle nothing, and are in no cycle.
//!
//! # Operations
//!
//! All by the owner of the cell that they are about; they tell each other by [`Signal::Chase`], which is pushed to the
//! cell: also to one of another runtime, as the request was.
//!
//! 1. *Look.* A handler's call has waited for [`LOOK_AFTER`](crate::timeouts::LOOK_AFTER), or was polled again and still
//!    waits: it may wait alone now. The cell probes its frame. If it has an edge, it is the **initiator** of a chase.
//! 2. *First tour.* Who gets a chase and is not suspended forgets it. Else it probes its frame, forgets the chase if its
//!    side of the edge does not hold or it has none of its own, appends itself to the path, with the number of its call,
//!    and passes the chase on. If it is in the path already, and not as its head, it forgets it: somebody else's cycle.
//! 3. *Closing.* The initiator, by the same call still, has its chase back: the path is complete. The one that is to get
//!    the error is **chosen** by the path: the greatest pid among those that wait for an answer; if an end of children is
//!    in the path, the initiator.
//! 4. *Second tour.* The chase goes on to the chosen one and from there once round. Each looks again, at its edge and at
//!    whether it is in the same call, and forgets the chase if not. Names are asked for only here.
//! 5. *Verdict.* The chosen one has it back, by the same call still: that call is given up as by a timeout, so that neither
//!    reply nor error of it can come later, and fails. The handler goes on.
//! 6. *Nudge.* Who waits for children and looks has its children look (no more than [`NUDGED`]): their calls may be older
//!    than the wait.
//!
//! A call that the handler of its own callee polls first fails at once and is not sent.
//!
//! # Why there is no false alarm
//!
//! Let the path be p0 .. pn-1, each looking at itself at times a0 < .. < an-1 in the first tour, and at bi in the last
//! time round, which the chosen one begins at T: every ai <= T <= every bi.
//!
//! - *Each waited from ai to bi for the same.* Of a call the number says so: it is given once, and the leaf was the only
//!   one at ai, so that the handler did not go on before it was ready. A start, and a stop of children, can only have
//!   ended if `init`, or the child, had; the next in the path says later that this is not so.
//! - *No request changed hands.* If pi finds at bi that it was not taken, then it was not at T. If it was taken, then it is
//!   what the next one has in hand, in the same handler since ai+1.
//! - *Nothing was answered.* The answer was not there at bi, so not at T.
//!
//! So all edges held at T. From then on nobody of them can go on by itself: what breaks the cycle comes from outside (a
//! kill, a timeout), or is another verdict. Of the same cycle there is none: whoever finds it chooses the same process,
//! and that gives up its call by the first. A kill that breaks the cycle while the verdict is on its way comes too late
//! for it.
//!
//! # Why none is missed
//!
//! An edge begins when its leaf is polled and is the only one left. For a call this is its first poll, or one that comes
//! later: a look follows either. When the last edge of a cycle has begun, its process looks, all others have theirs, and
//! the chase comes back. A chase is only lost where an edge does not hold, and waits for who is about to be polled.
//!
//! Left out: a start that is first awaited when the child has been in a call to its starter for some time, and a stop of
//! more than [`NUDGED`] children that began after such a call. A request through a narrowed address that a body in the
//! process form has refused once: it is not known for a request any more. The timeout remains.
//!
//! # Cost
//!
//! To a call that is answered within [`LOOK_AFTER`](crate::timeouts::LOOK_AFTER): one comparison, whether it is to the
//! caller itself. Later: one more poll of the frame, and one signal (an allocation or two) per process on the way.
//!
//! # Checked by
//!
//! `tests/it/deadlocks.rs`: cases, races on threads. `tests/it/deadlocks_random.rs`: random programs, simulated and on threads,
//! against a model that knows who waits for whom.
#![expect(unsafe_code, reason = "the cell's frame and rarely used part are reached by pointer")]

mod path;
mod probe;

use std::{ptr::NonNull, task::Poll};

use whitebeam_sync::shim::atomic::Ordering;

pub use path::CallPath;
pub(crate) use probe::{Leaf, Probe};

use crate::{
    CallError, Name, Pid, call,
    cell::{CellPtr, CellRef, bit, flag},
    children,
    ext::Ext,
    frame::{self, FrameHdr, Outcome},
    signal::{self, Signal},
};

/// How many children of a process that waits for their end are told to look, when it looks itself. Where more are left,
/// they are slow rather than stuck.
const NUDGED: usize = 1_024;

/// A chase on its way to the next process. See the module's text.
pub(crate) struct Chase {
    /// The initiator first.
    path: Vec<Hop>,
    /// What the last one waits for.
    edge: Edge,
    /// The path is complete.
    round: Option<Round>,
}

struct Hop {
    pid: Pid,
    wait: Wait,
    /// Found out in the second tour.
    name: Option<Name>,
}

/// What one in the path waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The answer to its call of this number.
    Call(u32),
    Start,
    Stop,
}

/// The second tour.
#[derive(Clone, Copy)]
struct Round {
    /// Place in the path of who sent the chase on.
    at: usize,
    /// How many it is still to be sent on by, that one not counted.
    left: usize,
}

/// What the sender of a chase has seen of its edge.
#[derive(Clone, Copy)]
enum Edge {
    Call { node: usize, is_taken: bool },
    Start,
    Stop,
}

/// The call of a suspended handler that is to fail.
struct Verdict {
    call: usize,
    path: CallPath,
}

/// The error of a process that calls itself.
#[cold]
pub(crate) fn calling_itself(cell: CellPtr) -> CallError {
    CallError::Deadlock(CallPath::of_itself(cell))
}

/// A chase has come, in the drain of `cell`'s owner's run.
pub(crate) fn receive(cell: CellPtr, chase: Box<Chase>) {
    let header = cell.header();
    if header.frame.load(Ordering::Relaxed).is_null() {
        // It waits for nobody.
        return;
    }
    // SAFETY: the caller is the owner, and holds no reference to the part.
    unsafe { Ext::of(cell) }.chases.push(chase);
    header.set(bit::CHASED);
}

/// Polls a suspended frame to see what it waits for, and does what there is to do: a look of its own (`LOOKS`), and the
/// chases that have come (`CHASED`).
///
/// # Safety
/// The frame is `cell`'s own, and the caller owns the cell.
#[cold]
pub(crate) unsafe fn look(frame: NonNull<FrameHdr>, cell: CellPtr) -> Poll<Outcome> {
    let header = cell.header();
    let is_own = header.has(bit::LOOKS);
    header.clear(bit::LOOKS | bit::CHASED);
    // SAFETY: the caller's word.
    let chases = match unsafe { Ext::get(cell) } {
        Some(ext) => std::mem::take(&mut ext.chases),
        None => Vec::new(),
    };
    let probe = Probe::new(cell);
    // SAFETY: the caller's word.
    let polled = unsafe { frame::poll(frame, &probe.waker()) };
    if polled.is_ready() {
        return polled;
    }
    call::flush_deferred(None);
    if header.has(bit::YIELDED | bit::POLL) {
        // It goes on in the next turn, and may wait then.
        if is_own {
            header.set(bit::LOOKS);
        }
        chases.into_iter().for_each(|chase| receive(cell, chase));
        return polled;
    }
    let Some(leaf) = probe.sole() else { return polled };
    // SAFETY: a donated frame's header is whole.
    let in_hand = unsafe { frame.as_ref() }.in_hand.addr();
    let me = Waiter { cell, in_hand, leaf };
    if is_own {
        me.look();
    }
    let verdict = chases.into_iter().filter_map(|chase| me.receive(chase)).last();
    match verdict {
        Some(Verdict { call, path }) => {
            let probe = Probe::deliver(cell, call, path);
            // SAFETY: the caller's word; still suspended.
            unsafe { frame::poll(frame, &probe.waker()) }
        }
        None => polled,
    }
}

/// The process waits for nothing any more: chases that came meanwhile are over.
///
/// # Safety
/// The caller owns the cell.
#[cold]
pub(crate) unsafe fn give_up_chases(cell: CellPtr) {
    // SAFETY: the caller's word.
    if let Some(ext) = unsafe { Ext::get(cell) } {
        ext.chases = Vec::new();
    }
}

/// A process whose handler waits for one thing.
struct Waiter {
    cell: CellPtr,
    /// The address of the request that the handler was called for, or 0.
    in_hand: usize,
    leaf: Leaf,
}

impl Waiter {
    fn hop(&self) -> Hop {
        let wait = match self.leaf {
            Leaf::Call { number, .. } => Wait::Call(number),
            Leaf::Start(_) => Wait::Start,
            Leaf::StopAll | Leaf::StopOne(_) => Wait::Stop,
        };
        Hop { pid: self.cell.pid(), wait, name: None }
    }

    /// Operation 1, and 6.
    fn look(&self) {
        match &self.leaf {
            Leaf::Call { .. } => {
                let path = vec![self.hop()];
                self.pass_on(Box::new(Chase { path, edge: Edge::Stop, round: None }));
            }
            Leaf::Start(child) => child.ptr().raise(flag::TIMEOUT),
            Leaf::StopAll => {
                // SAFETY: `look` is called by the owner, and `raise` touches nothing of the parent's.
                if let Some(set) = unsafe { children::look(self.cell) } {
                    set.left().take(NUDGED).for_each(|child| child.raise(flag::TIMEOUT));
                }
            }
            Leaf::StopOne(key) => {
                // SAFETY: as above.
                let child = unsafe { children::look(self.cell) }.and_then(|set| set.get(*key));
                if let Some(child) = child {
                    child.raise(flag::TIMEOUT);
                }
            }
        }
    }

    /// Operations 2 to 5.
    fn receive(&self, mut chase: Box<Chase>) -> Option<Verdict> {
        if !self.holds(chase.edge) {
            return None;
        }
        let hop = self.hop();
        match &mut chase.round {
            Some(round) => {
                round.at = (round.at + 1) % chase.path.len();
                let known = &mut chase.path[round.at];
                if (known.pid, known.wait) != (hop.pid, hop.wait) {
                    return None;
                }
                known.name = known.name.take().or_else(|| path::name_of(self.cell));
                match round.left.checked_sub(1) {
                    Some(left) => round.left = left,
                    None => return self.verdict(&chase.path, round.at),
                }
            }
            None if chase.path[0].pid == hop.pid => {
                if chase.path[0].wait != hop.wait {
                    return None;
                }
                chase.path[0].name = path::name_of(self.cell);
                // To the chosen one, and from there once round.
                let left = chosen(&chase.path) + chase.path.len() - 1;
                chase.round = Some(Round { at: 0, left });
            }
            None if chase.path.iter().any(|known| known.pid == hop.pid) => return None,
            None => chase.path.push(hop),
        }
        self.pass_on(chase);
        None
    }

    /// Whether the sender's edge leads here: the table of the module's text.
    fn holds(&self, edge: Edge) -> bool {
        match edge {
            Edge::Call { node, is_taken } => !is_taken || node == self.in_hand,
            Edge::Start => self.cell.header().has(bit::INIT),
            Edge::Stop => true,
        }
    }

    /// The error, its path beginning with this process, which is at `at` in `path`.
    fn verdict(&self, path: &[Hop], at: usize) -> Option<Verdict> {
        let Leaf::Call { node, .. } = self.leaf else { return None };
        let (before, from) = path.split_at(at);
        let members = from.iter().chain(before);
        let members = members.map(|hop| path::Member { pid: hop.pid, name: hop.name.clone() });
        Some(Verdict { call: node, path: CallPath::new(members.collect()) })
    }

    /// Sends a chase to whom this process waits for. It is lost if that one has ended.
    fn pass_on(&self, mut chase: Box<Chase>) {
        let (to, edge) = match &self.leaf {
            Leaf::Call { to, node, is_taken, .. } => {
                (to.clone(), Edge::Call { node: *node, is_taken: *is_taken })
            }
            Leaf::Start(child) => (child.clone(), Edge::Start),
            Leaf::StopAll | Leaf::StopOne(_) => {
                let Some(child) = self.child_above(chase.path[0].pid) else { return };
                (child, Edge::Stop)
            }
        };
        chase.edge = edge;
        let _ = signal::send(to.ptr(), Signal::Chase(chase));
    }

    /// The child of this process's that is `pid`, or an ancestor of it, if its end is waited for.
    fn child_above(&self, pid: Pid) -> Option<CellRef> {
        let (shared, parent) = (self.cell.shared(), self.cell.pid());
        let mut below = shared.resolve(pid)?;
        // Each is older than the one below it, so that this ends; a parent may be gone.
        loop {
            let above = below.ptr().header().parent_pid()?;
            if above == parent {
                break;
            }
            below = shared.resolve(above)?;
        }
        // SAFETY: called by the owner, which makes no other reference meanwhile.
        let set = unsafe { children::look(self.cell) }?;
        // SAFETY: as above.
        let key = unsafe { children::key_of(self.cell, below.ptr()) }?;
        let is_waited_for = match self.leaf {
            Leaf::StopAll => set.get(key) == Some(below.ptr()),
            Leaf::StopOne(one) => one == key && set.get(key) == Some(below.ptr()),
            Leaf::Call { .. } | Leaf::Start(_) => false,
        };
        is_waited_for.then_some(below)
    }
}

/// The place of who is to get the error. Whoever finds the cycle comes to the same.
fn chosen(path: &[Hop]) -> usize {
    // An end of children leads to the initiator only.
    if path.iter().any(|hop| hop.wait == Wait::Stop) {
        return 0;
    }
    let calls = path.iter().enumerate().filter(|(_, hop)| matches!(hop.wait, Wait::Call(_)));
    calls.max_by_key(|(_, hop)| hop.pid).map_or(0, |(place, _)| place)
}

//! The caller's side of a call's node: sends the request, waits for the reply, takes it or gives it up.

use std::{cell::Cell, marker::PhantomData, ptr::NonNull, sync::Arc, task::Waker};

use whitebeam_sync::{
    inbox::{Barred, Push},
    node::Node,
    reply::{Abandon, Rearm},
    shim::atomic::Ordering,
};

use super::{Answer, CallNode, Target, free_node, strays, take_value};
use crate::{
    CallError, ExitReason,
    bound::{self, Queued, Sent, Wish},
    cell::CellPtr,
    deadlock::Probe,
    lane, local, message,
    shared::Shared,
    timeouts,
};

/// Why a request was not sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    Closed,
    Full,
}

/// The caller's side of a node.
pub(crate) struct Waiting<T> {
    node: NonNull<CallNode>,
    /// The cell that the word is registered for, if it is one: compared, never followed.
    armed: Option<CellPtr>,
    /// Tells the call from any other of the process that awaits it, once it was asked for. 0: it was not.
    number: u32,
    /// The request is still in the node and was not sent.
    pub(super) unsent: bool,
    done: bool,
    /// The mailbox is bounded, and the request has not gone past the guard.
    is_barred: bool,
    _value: PhantomData<T>,
}

// SAFETY: it owns one side of the node; the word orders the two sides. The request in it is sent to
// another thread by the inbox, so the types of `make`'s callers are Send.
unsafe impl<T: Send> Send for Waiting<T> {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl<T: Send> Sync for Waiting<T> {}

impl<T> Waiting<T> {
    /// The caller's side of a node whose request is there and not sent.
    #[inline]
    pub(super) fn new(node: NonNull<CallNode>, armed: Option<CellPtr>) -> Self {
        Waiting {
            node,
            armed,
            number: 0,
            unsent: true,
            done: false,
            is_barred: false,
            _value: PhantomData,
        }
    }

    fn head(&self) -> &CallNode {
        // SAFETY: this side keeps the node until it is done.
        unsafe { self.node.as_ref() }
    }

    /// Names the call, for who keeps its timeout.
    pub(crate) fn node(&self) -> NonNull<CallNode> {
        self.node
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn is_unsent(&self) -> bool {
        self.unsent
    }

    /// Sends the request. `false`: it is still here: the process has ended, or its mailbox is
    /// [bounded](Self::send_bounded).
    pub(crate) fn try_send(&mut self, to: CellPtr) -> bool {
        self.unsent = false;
        let node = self.node.cast::<Node>();
        // SAFETY: the node is fresh, and given up until it is taken.
        let push = unsafe { to.header().inbox.push_one_plain(node) };
        match push {
            Ok(push) => {
                to.follow(push);
                true
            }
            Err(barred) => {
                self.unsent = true;
                self.is_barred = barred == Barred::Guarded;
                false
            }
        }
    }

    /// Sends the request that was not sent, if that is due to a bound; waits for room if there is none and `waits` says
    /// so.
    #[cold]
    pub(crate) fn send_bounded(
        &mut self,
        to: CellPtr,
        waits: bool,
    ) -> Result<Option<Queued>, Unsent> {
        if !std::mem::take(&mut self.is_barred) {
            return Err(Unsent::Closed);
        }
        self.unsent = false;
        let node = self.node.cast::<Node>();
        // SAFETY: not sent: this side's.
        if unsafe { Node::vt(node) }.urgent {
            // The lane has no bound.
            let push = message::push_anyway(to, node);
            self.unsent = push == Push::Closed;
            match push {
                Push::Queued => lane::announce(to),
                push => to.follow(push),
            }
            return if self.unsent { Err(Unsent::Closed) } else { Ok(None) };
        }
        let wish = if waits { Wish::Wait(None) } else { Wish::Now };
        let unsent = match bound::send(to, node, wish) {
            Sent::Done => return Ok(None),
            Sent::Queued => return Ok(Some(Queued::new(to, node))),
            Sent::Full | Sent::Dropped => Unsent::Full,
            Sent::Closed => Unsent::Closed,
        };
        self.unsent = true;
        Err(unsent)
    }

    /// Whether it was made by a process.
    pub(crate) fn is_of_process(&self) -> bool {
        self.armed.is_some()
    }

    /// The runtime of the process that waits, if it is one and was not answered yet.
    pub(crate) fn runtime(&mut self) -> Option<Arc<Shared>> {
        // It has the word armed with itself, and its clock is asked for before it is polled from elsewhere.
        self.armed?;
        let mut runtime = None;
        let same = |target: &Target| {
            if let Target::Cell(cell) = target {
                runtime = Some(cell.ptr().shared().arc());
            }
            true
        };
        let new = || Target::Waker(Waker::noop().clone());
        // SAFETY: called by the caller's side, which is this one.
        let _ = unsafe { self.head().word.rearm(same, new) };
        runtime
    }

    /// The request stays out of any inbox: what was asked for is under way already.
    pub(crate) fn mark_sent(&mut self) {
        self.unsent = false;
        self.head().place.store(strays::TAKEN, Ordering::Release);
    }

    /// Whether the reply is there.
    #[inline]
    pub(crate) fn is_replied(&self) -> bool {
        self.head().word.is_replied()
    }

    /// Registers who polls. `true`: the reply is there already.
    #[inline]
    pub(crate) fn register(&mut self, waker: &Waker) -> bool {
        let me = local::polled_with(waker);
        if me.is_some() && me == self.armed {
            return self.is_replied();
        }
        self.register_slow(me, waker)
    }

    #[cold]
    fn register_slow(&mut self, me: Option<CellPtr>, waker: &Waker) -> bool {
        let probe = Probe::of(waker);
        if let Some(probe) = probe {
            probe.other();
        }
        let me = me.or(probe.map(Probe::cell));
        let before = Cell::new(None);
        let same = |target: &Target| {
            before.set(target.pid());
            match (target, me) {
                (Target::Cell(cell), Some(me)) => cell.ptr() == me,
                (Target::Waker(old), None) => old.will_wake(waker),
                (Target::WakerOf(old), None) => old.0.will_wake(waker),
                _ => false,
            }
        };
        let new = || match (me, before.get()) {
            (Some(cell), _) => Target::Cell(cell.to_ref()),
            (None, None) => Target::Waker(waker.clone()),
            (None, Some(pid)) => Target::WakerOf(Box::new((waker.clone(), pid))),
        };
        // SAFETY: called by the caller's side, which is this one.
        let rearmed = unsafe { self.head().word.rearm(same, new) };
        if matches!(rearmed, Rearm::Replied) {
            return true;
        }
        // Before the old target is dropped: a foreign waker's destructor may panic.
        self.armed = me;
        drop(rearmed);
        false
    }

    /// Whether a reply wakes `cell`, and nothing else.
    pub(crate) fn is_armed_for(&self, cell: CellPtr) -> bool {
        self.armed == Some(cell)
    }

    /// Whether the request was taken out of its inbox.
    pub(crate) fn is_taken(&self) -> bool {
        self.head().place.load(Ordering::Acquire) == strays::TAKEN
    }

    /// Whether others may answer than who got the request.
    pub(crate) fn is_deferred(&self) -> bool {
        self.head().is_deferred.load(Ordering::Acquire)
    }

    /// The number of this call of the process that awaits it: no other has it, but for one 2^32 later.
    pub(crate) fn number(&mut self, mut next: impl FnMut() -> u32) -> u32 {
        while self.number == 0 {
            self.number = next();
        }
        self.number
    }

    /// Takes the reply. Only after [`is_replied`](Self::is_replied) said so.
    pub(crate) fn finish(&mut self) -> Result<T, CallError> {
        debug_assert!(!self.done && self.is_replied());
        self.done = true;
        // SAFETY: the word says replied: the answering side wrote it and is done.
        let answer = self.head().answer.with(|answer| unsafe { *answer });
        let result = match answer {
            // SAFETY: a value was written and is taken once.
            Answer::Value => Ok(unsafe { take_value::<T>(self.node) }),
            Answer::NoReply => Err(CallError::NoReply),
            Answer::Full => Err(CallError::Full),
            Answer::Exit => {
                // SAFETY: as for `answer`.
                let reason = self.head().reason.with_mut(|reason| unsafe { (*reason).take() });
                Err(CallError::Exit(reason.map_or(ExitReason::NoProc, |reason| *reason)))
            }
        };
        // The reply's side is done: this is the last owner.
        let last = Last(self.node);
        if self.unsent {
            // The closure gave the reply away, and it was answered before the request was sent.
            dispose_request(last.0);
        }
        result
    }

    /// Gives the call up: neither reply nor error will come. An unsent request is dropped.
    pub(crate) fn abandon(&mut self) {
        if self.done {
            return;
        }
        self.done = true;
        timeouts::forget(self.node);
        let unsent = self.unsent;
        let node = self.node;
        // SAFETY: called once, by the caller's side.
        match unsafe { self.head().word.abandon() } {
            // The target, which may be a foreign waker, is dropped behind the request.
            Abandon::Pending(_target) => {
                if unsent {
                    dispose_request(node);
                }
            }
            Abandon::Replied => {
                // SAFETY: this side keeps the node.
                let answer = unsafe { &node.as_ref().answer };
                // SAFETY: the word says replied.
                let answer = answer.with(|answer| unsafe { *answer });
                let _value = (answer == Answer::Value).then(|| {
                    // SAFETY: written, and nobody else takes it.
                    unsafe { take_value::<T>(node) }
                });
                // The reply's side is done: this is the last owner. Dropped before the value.
                let last = Last(node);
                if unsent {
                    // The reply was answered before the request was sent; the request is still here.
                    dispose_request(last.0);
                }
            }
        }
    }
}

/// A node that the caller's side owns alone. Freed when this is dropped, also if the request's destructor
/// panics.
struct Last(NonNull<CallNode>);

impl Drop for Last {
    fn drop(&mut self) {
        // SAFETY: made by the last owner, which does not use the node afterwards.
        unsafe { free_node(self.0) };
    }
}

fn dispose_request(node: NonNull<CallNode>) {
    // SAFETY: the request is still in the node, so it is allocated.
    let vt = unsafe { Node::vt(node.cast()) };
    // SAFETY: an unsent request is there and no inbox has the node.
    unsafe { (vt.dispose)(node.cast()) };
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.abandon();
    }
}

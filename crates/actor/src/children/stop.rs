//! Stopping children: one, or all of them in parallel batches.
//!
//! 1. Each child is told to shut down, 256 at a time; then the parent goes to the back of the queue, so
//!    that it stays fair, its mailbox stays short and the cells are still warm when the children run.
//! 2. A child that is idle, does not trap exits and has no `terminate` is ended at once, on the parent's
//!    worker: one compare-and-swap, its destructors, its memory. Any other child gets a flag, runs, and
//!    reports by its embedded DOWN.
//! 3. When the last child was told, a timer starts: one for each distinct time that children have. At its end those
//!    of them that are left are killed, past any backlog.
//! 4. The future is ready when all children have really ended.
//!
//! A future that is dropped half way, or forgotten, loses no end: what it has not told is told as any other, when
//! it is dropped, or when another stop begins or the handler is done.
//!
//! O(1) per child; nothing scans a mailbox, and the table is walked once (twice with kills).

use std::{
    collections::BTreeMap,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use whitebeam_scheduler::{Runnable, Sleep};

use super::{ChildKey, Seen, StoppingOne, Tally, Told, shut_down, told};
use crate::{
    ExitReason, StopSummary,
    cell::{CellPtr, bit, flag},
    deadlock::{Leaf, Probe},
    end, local, timeouts,
};

/// How long children get to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No time: killed.
    Kill,
    /// Told to shut down, killed after this time.
    After(Duration),
    /// Told to shut down, and waited for.
    Infinity,
}

/// How one child ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// With an orderly reason.
    Clean,
    /// Killed, by [`Stop::Kill`] or since its time was over.
    Killed,
    /// With another reason.
    Crashed(ExitReason),
    /// There is no such child (any more).
    NotFound,
}

/// Children told between two turns of their parent. By the W8 workload: 64 to 1,024 differ by 15 %;
/// more make the parent's mailbox long and let the cells grow cold.
const BATCH: usize = 256;

/// How far ahead of the walk a child's cell is fetched into the cache.
const PREFETCH: usize = 12;

enum Step {
    /// Telling the children, from this place of the table on.
    Telling(usize),
    /// Until children are slow, and then until they are killed.
    Waiting(Option<Sleep>),
    /// There is nothing to be done in time any more.
    Untimed,
}

/// The future of [`Context::stop_children`](crate::Context::stop_children).
#[must_use = "children are stopped as this is polled"]
pub struct StopChildren<'a> {
    parent: CellPtr,
    how: Stop,
    step: Step,
    begun: bool,
    /// Those that are told otherwise.
    others: BTreeMap<ChildKey, Stop>,
    is_mixed: bool,
    /// Timer and waker are set.
    is_armed: bool,
    _context: PhantomData<&'a mut ()>,
}

impl<'a> StopChildren<'a> {
    pub(crate) fn new(parent: CellPtr, how: Stop) -> Self {
        StopChildren {
            parent,
            how,
            step: Step::Telling(0),
            begun: false,
            others: BTreeMap::new(),
            is_mixed: false,
            is_armed: false,
            _context: PhantomData,
        }
    }

    /// These are stopped each in its own way, beside the others. One kill timer for each distinct time.
    pub fn except(mut self, others: impl IntoIterator<Item = (ChildKey, Stop)>) -> Self {
        self.others.extend(others);
        self
    }

    /// Tells one batch. `None`: all were told. `MIXED`: not all in the same way.
    fn tell<const MIXED: bool>(&self, from: usize) -> Option<usize> {
        let kills_all = self.how == Stop::Kill;
        let scheduler = self.parent.shared().scheduler();
        let mut told_of: Vec<Runnable> = Vec::new();
        let mut place = from;
        let mut left = BATCH;
        // Looked up for each child: an inline end runs the user's destructors, which may send.
        while let Some(set) = own(self.parent) {
            if place >= set.table.len() || left == 0 {
                break;
            }
            if let Some(ahead) = set.table.get(place + PREFETCH).copied().flatten() {
                ahead.prefetch();
            }
            let child = set.table[place];
            place += 1;
            let Some(child) = child else { continue };
            left -= 1;
            let kills = match &set.stopping {
                Some(tally) if MIXED => tally.how_of(super::place_of(child)) == Stop::Kill,
                _ => kills_all,
            };
            let told = if kills { told(child, flag::KILL) } else { shut_down(child) };
            match told {
                Told::Ended => end_inline(self.parent, child),
                Told::Schedule(runnable) => told_of.push(runnable),
                Told::Noted => {}
            }
        }
        if !told_of.is_empty() {
            scheduler.schedule_batch(told_of);
        }
        let more = own(self.parent).is_some_and(|set| place < set.table.len() && set.live > 0);
        more.then_some(place)
    }

    /// All were told: when there is something to be done next, if children are left.
    fn timer(&mut self) -> Option<Sleep> {
        let now = self.parent.shared().scheduler().now();
        let set = own(self.parent).filter(|set| set.live > 0)?;
        let next = set.stopping.as_mut()?.told(now);
        next.map(|next| self.parent.shared().scheduler().sleep_until(next))
    }

    /// The timer has fired: kills those whose time is over. When there is something to be done next.
    fn time_over(&mut self) -> Option<Sleep> {
        let scheduler = self.parent.shared().scheduler();
        let now = scheduler.now();
        let set = own(self.parent)?;
        let left: Vec<_> = match set.stopping.as_ref()?.is_any_over(now) {
            true => set.all().collect(),
            false => Vec::new(),
        };
        let tally = set.stopping.as_mut()?;
        let over: Vec<CellPtr> = left
            .into_iter()
            .filter(|(key, child)| tally.note_if_over(now, *key, *child))
            .map(|(_, child)| child)
            .collect();
        let next = tally.next_after(now);
        scheduler.schedule_batch(over.into_iter().filter_map(|child| {
            match told(child, flag::KILL) {
                Told::Schedule(runnable) => Some(runnable),
                _ => None,
            }
        }));
        next.map(|next| scheduler.sleep_until(next))
    }
}

/// The children of the parent whose handler runs this future.
fn own<'a>(parent: CellPtr) -> Option<&'a mut super::ChildSet> {
    // The futures of this file borrow the parent's `Context`, so they are polled by its handler only: by its
    // owner, or by somebody whom that waits for. No reference into the set is kept over user code.
    super::owned(parent)
}

/// A stop begins. One that is still noted was forgotten: its future borrowed the same `Context`.
fn begin(parent: CellPtr, set: &mut super::ChildSet) -> &mut super::ChildSet {
    if set.end_stops(parent) {
        parent.header().set(bit::CHILDREN_DOWN);
    }
    if parent.header().has(bit::TERMINATING) {
        set.stops(parent);
    }
    parent.header().set(bit::STOPPING);
    set
}

/// Ends a child whose inbox was just closed while it was idle.
fn end_inline(parent: CellPtr, child: CellPtr) {
    let left = local::apart(|| end::finish_but_for_parent(child, ExitReason::Shutdown));
    // SAFETY: as in `own`; the child was in the parent's table until now.
    unsafe { super::ended::<true>(parent, child) };
    if let end::Left::Backlog = left {
        child.shared().scheduler().schedule_back(child.runnable());
    }
    child.release();
}

impl Future for StopChildren<'_> {
    type Output = StopSummary;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<StopSummary> {
        // A probe that is the first to come here finds neither timer nor waker set.
        let (parent, is_armed) = (self.parent, self.is_armed);
        let Some(set) = own(parent) else { return Poll::Ready(StopSummary::default()) };
        if !self.begun {
            self.begun = true;
            let set = begin(parent, set);
            self.is_mixed = !self.others.is_empty();
            let others = std::mem::take(&mut self.others);
            let mut tally = Tally::new(parent.shared().scheduler().now(), self.how).except(others);
            // They ended before they were told: counted here, they are not reported any more.
            for mut down in set.take_pending() {
                let how = tally.how_of(down.key);
                tally.add_ended(&mut down, how);
            }
            set.stopping = Some(tally);
        }
        if let Step::Telling(from) = self.step {
            let more =
                if self.is_mixed { self.tell::<true>(from) } else { self.tell::<false>(from) };
            match more {
                Some(next) => {
                    self.step = Step::Telling(next);
                    // The back of the queue: the children run first.
                    parent.header().set(bit::YIELDED);
                    if local::polled_with(cx.waker()) != Some(parent) {
                        // A combinator looks at what woke it only.
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
                None => {
                    let timer = self.timer();
                    self.step = Step::Waiting(timer);
                }
            }
        }
        let Some(set) = own(parent) else { return Poll::Ready(StopSummary::default()) };
        if set.live == 0 {
            parent.header().clear(bit::STOPPING);
            let summary = set.stopping.take().map(Tally::into_summary).unwrap_or_default();
            if parent.header().has(bit::TERMINATING) {
                set.stops(parent).merge(summary.clone());
            }
            return Poll::Ready(summary);
        }
        if let Some(probe) = Probe::of(cx.waker()).filter(|_| is_armed && set.waker.is_none()) {
            probe.leaf(Leaf::StopAll);
            return Poll::Pending;
        }
        while let Step::Waiting(Some(timer)) = &mut self.step
            && Pin::new(timer).poll(cx).is_ready()
        {
            self.step = match self.time_over() {
                Some(next) => Step::Waiting(Some(next)),
                None => Step::Untimed,
            };
        }
        register(parent, cx.waker());
        self.is_armed = true;
        Poll::Pending
    }
}

/// Has `waker` woken when the stop of `parent`'s is over, if it is not the parent's own, whose frame is polled
/// anyway.
fn register(parent: CellPtr, waker: &Waker) {
    let is_own = local::polled_with(waker) == Some(parent);
    // Before and behind the set is looked up: wakers are the user's.
    let new = (!is_own).then(|| waker.clone());
    let old = own(parent).and_then(|set| std::mem::replace(&mut set.waker, new));
    drop(old);
    if is_own {
        timeouts::watch(parent);
    }
}

impl Drop for StopChildren<'_> {
    /// Given up: the ends of those that were told are reported as any others.
    fn drop(&mut self) {
        super::give_up_stop(self.parent);
    }
}

/// The future of [`Context::stop_child`](crate::Context::stop_child).
#[must_use = "the child is stopped as this is polled"]
pub struct StopChild<'a>(EndChild<'a>);

impl<'a> StopChild<'a> {
    pub(crate) fn new(parent: CellPtr, key: ChildKey, how: Stop) -> Self {
        StopChild(EndChild::new(parent, key, how))
    }
}

impl Future for StopChild<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(cx).map(|reason| match reason {
            None => Outcome::NotFound,
            Some(ExitReason::Killed) if self.0.killed => Outcome::Killed,
            Some(reason) if reason.is_orderly() => Outcome::Clean,
            Some(reason) => Outcome::Crashed(reason),
        })
    }
}

/// The future of [`Context::end_child`](crate::Context::end_child) and
/// [`await_child`](crate::Context::await_child).
#[must_use = "the child is stopped as this is polled"]
pub struct EndChild<'a> {
    parent: CellPtr,
    key: ChildKey,
    how: Stop,
    /// Somebody else has told it.
    was_told: bool,
    begun: bool,
    timer: Option<Sleep>,
    killed: bool,
    is_armed: bool,
    _context: PhantomData<&'a mut ()>,
}

impl<'a> EndChild<'a> {
    pub(crate) fn new(parent: CellPtr, key: ChildKey, how: Stop) -> Self {
        EndChild {
            parent,
            key,
            how,
            was_told: false,
            begun: false,
            timer: None,
            killed: false,
            is_armed: false,
            _context: PhantomData,
        }
    }

    /// The child was told to end so, and gets its time from now on.
    pub(crate) fn told(parent: CellPtr, key: ChildKey, how: Stop) -> Self {
        let mut end = Self::new(parent, key, how);
        end.was_told = true;
        end
    }

    fn begin(&mut self, child: CellPtr) {
        self.begun = true;
        self.killed = self.how == Stop::Kill;
        let told = match self.how {
            _ if self.was_told => Told::Noted,
            Stop::Kill => told(child, flag::KILL),
            Stop::After(_) | Stop::Infinity => shut_down(child),
        };
        match told {
            Told::Ended => return end_inline(self.parent, child),
            Told::Schedule(runnable) => self.parent.shared().scheduler().schedule(runnable),
            Told::Noted => {}
        }
        if let Some(set) = own(self.parent)
            && let Some(one) = &mut set.stopping_one
            && set.stops.is_some()
        {
            one.begun = Some(self.parent.shared().scheduler().now());
        }
        if let Stop::After(time) = self.how {
            self.timer = Some(self.parent.shared().scheduler().sleep(time));
        }
    }
}

impl Future for EndChild<'_> {
    type Output = Option<ExitReason>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<ExitReason>> {
        let (parent, key, is_armed) = (self.parent, self.key, self.is_armed);
        if !self.begun {
            let Some(set) = own(parent) else { return Poll::Ready(None) };
            let Some(child) = set.get(key) else { return Poll::Ready(None) };
            let one = StoppingOne { key, how: self.how, begun: None, seen: None, down: None };
            begin(parent, set).stopping_one = Some(one);
            self.begin(child);
        }
        let Some(set) = own(parent) else { return Poll::Ready(None) };
        if let Some(one) = &mut set.stopping_one
            && let Some(down) = one.down.take()
        {
            parent.header().clear(bit::STOPPING);
            set.stopping_one = None;
            set.told(key);
            return Poll::Ready(Some(down.reason));
        }
        if let Some(probe) = Probe::of(cx.waker()).filter(|_| is_armed && set.waker.is_none()) {
            probe.leaf(Leaf::StopOne(key));
            return Poll::Pending;
        }
        if let Some(timer) = &mut self.timer
            && Pin::new(timer).poll(cx).is_ready()
        {
            self.timer = None;
            self.killed = true;
            if let Some(set) = own(parent)
                && let Some(child) = set.get(key)
            {
                if let Some(one) = &mut set.stopping_one {
                    one.seen = Some(Seen::of(child));
                }
                if let Told::Schedule(runnable) = told(child, flag::KILL) {
                    parent.shared().scheduler().schedule(runnable);
                }
            }
        }
        register(parent, cx.waker());
        self.is_armed = true;
        Poll::Pending
    }
}

impl Drop for EndChild<'_> {
    /// Given up: the child's end is reported as any other, also if it is there and was not read.
    fn drop(&mut self) {
        super::give_up_stop(self.parent);
    }
}

impl std::fmt::Debug for StopChildren<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StopChildren").field("how", &self.how).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StopChild<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StopChild").field("key", &self.0.key).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for EndChild<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndChild").field("key", &self.key).finish_non_exhaustive()
    }
}

//! An actor's own timers.
//!
//! The message waits in the actor's own part, under a number; the wheel has only the cell and the
//! number. A timer that fires sends a signal, which becomes the message; one that was cancelled finds no
//! number. So a timer dies with its process, and cancel never races with delivery: both happen on the
//! owner's side.
//!
//! A process moves from worker to worker, and sets each timer where it is: they are in several wheels, which
//! are not at the same moment. The first to fire brings those of the process that are due before it, so that
//! messages come in the order of their due times.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

use std::{collections::BTreeSet, ptr::NonNull, sync::Arc, time::Duration};

use whitebeam_scheduler::{Expire, Time, TimerKey};
use whitebeam_sync::{inbox::Cursor, node::Node};

use crate::{
    Pid,
    cell::{CellPtr, CellRef},
    contain::contain,
    ext::{Ext, Map},
    idle, later,
    message::{self, Carried},
    shared::Shared,
    signal::{self, Signal},
    simulate::{Event, tell_of},
};

/// Names one timer of one process. Another process can do nothing with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerRef {
    owner: Pid,
    pub(crate) id: u64,
}

/// A timer that has not fired.
pub(crate) struct Pending {
    key: TimerKey,
    deadline: Time,
    what: What,
}

/// The timers of one process that have not fired.
pub(crate) struct Set {
    entry: Arc<Entry>,
    by_id: Map<u64, Pending>,
    by_deadline: BTreeSet<(Time, u64)>,
}

/// A table with room for more than this is not kept when it is empty.
const KEPT: usize = 64;

impl Set {
    fn new(cell: CellPtr) -> Box<Self> {
        let entry = Arc::new(Entry { cell: cell.to_ref() });
        Box::new(Set { entry, by_id: Map::default(), by_deadline: BTreeSet::new() })
    }

    fn insert(&mut self, id: u64, pending: Pending) {
        self.by_deadline.insert((pending.deadline, id));
        self.by_id.insert(id, pending);
    }

    fn remove(&mut self, id: u64) -> Option<Pending> {
        let pending = self.by_id.remove(&id)?;
        self.by_deadline.remove(&(pending.deadline, id));
        if self.by_id.is_empty() && self.by_id.capacity() > KEPT {
            self.by_id = Map::default();
        }
        Some(pending)
    }

    fn deadline(&self, id: u64) -> Option<Time> {
        self.by_id.get(&id).map(|pending| pending.deadline)
    }

    /// One that is due before `deadline`.
    fn first_before(&self, deadline: Time) -> Option<u64> {
        self.by_deadline.first().filter(|(first, _)| *first < deadline).map(|(_, id)| *id)
    }

    /// In the order in which they are due.
    pub(crate) fn into_pending(self) -> impl Iterator<Item = Pending> {
        let mut by_id = self.by_id;
        self.by_deadline.into_iter().filter_map(move |(_, id)| by_id.remove(&id))
    }
}

enum What {
    Once(NonNull<Node>),
    /// Set by somebody else, who may cancel it.
    Later(Arc<later::Inner>),
    Every {
        period: Duration,
        make: Box<dyn FnMut() -> NonNull<Node> + Send>,
    },
}

// SAFETY: the node is an unsent message, owned by this; messages are Send.
unsafe impl Send for What {}

impl Pending {
    /// Its process has ended.
    pub(crate) fn cancel(self, shared: &Shared) {
        let _ = shared.scheduler().cancel(self.key);
    }
}

impl Drop for What {
    fn drop(&mut self) {
        match self {
            What::Once(node) => {
                // SAFETY: an unsent message node is owned by its timer; `fire` takes it out before.
                let vt = unsafe { Node::vt(*node) };
                // SAFETY: as above.
                unsafe { (vt.dispose)(*node) };
            }
            What::Later(later) => drop(later.take_message()),
            What::Every { .. } => {}
        }
    }
}

/// What the wheel holds of a process: one for all of its timers. The token is a timer's number.
///
/// It keeps the cell, and is kept by the cell's own part until the process ends, and by timers in the wheel: these
/// are cancelled then.
struct Entry {
    cell: CellRef,
}

impl Expire for Entry {
    fn expire(&self, token: u64, _deadline: u64) {
        // Refused: it has ended, and its timers with it.
        let _ = signal::send(self.cell.ptr(), Signal::Timer { id: token });
    }
}

fn arm(cell: CellPtr, set: &Set, at: Time, id: u64) -> TimerKey {
    cell.shared().scheduler().timer_at(at, set.entry.clone(), id)
}

/// Sets a timer that sends one message.
///
/// # Safety
/// The caller is the cell's owner, and `M` its message type.
pub(crate) unsafe fn at<M: Send + 'static>(cell: CellPtr, deadline: Time, msg: M) -> TimerRef {
    // SAFETY: the caller's word.
    unsafe { set(cell, deadline, What::Once(message::carried_uncounted(msg).into_node())) }
}

/// Sets a timer that sends a message which is in its node already.
///
/// # Safety
/// The caller is the cell's owner, and the message is one of its own, uncounted.
pub(crate) unsafe fn after_which(cell: CellPtr, after: Duration, message: Carried) -> TimerRef {
    let deadline = cell.shared().scheduler().now().saturating_add(after);
    // SAFETY: the caller's word.
    unsafe { set(cell, deadline, What::Once(message.into_node())) }
}

/// Sets a timer that sends a message every `period`, for the first time at `first`.
///
/// # Safety
/// As for [`at`].
pub(crate) unsafe fn every<M: Send + 'static>(
    cell: CellPtr,
    first: Time,
    period: Duration,
    mut f: impl FnMut() -> M + Send + 'static,
) -> TimerRef {
    // A period of zero would never let time pass.
    let period = period.max(Duration::from_nanos(1));
    let make = Box::new(move || message::uncounted(f()));
    // SAFETY: the caller's word.
    unsafe { set(cell, first, What::Every { period, make }) }
}

unsafe fn set(cell: CellPtr, deadline: Time, what: What) -> TimerRef {
    // SAFETY: the callers' callers are owners.
    let ext = unsafe { Ext::of(cell) };
    let id = ext.next_id();
    let set = ext.timers.get_or_insert_with(|| Set::new(cell));
    let key = arm(cell, set, deadline, id);
    set.insert(id, Pending { key, deadline, what });
    TimerRef { owner: cell.pid(), id }
}

/// Somebody has set a timer for `cell`. Called in the drain of the owner's run.
pub(crate) fn set_later(cell: CellPtr, later: Arc<later::Inner>) {
    if !later.is_waiting() {
        return;
    }
    // SAFETY: called in the drain of the owner's run.
    let ext = unsafe { Ext::of(cell) };
    let (id, deadline) = (ext.next_id(), later.deadline());
    later.armed(id);
    let set = ext.timers.get_or_insert_with(|| Set::new(cell));
    let key = arm(cell, set, deadline, id);
    set.insert(id, Pending { key, deadline, what: What::Later(later) });
}

/// Who has set it has cancelled it. Called in the drain of the owner's run.
pub(crate) fn forget(cell: CellPtr, later: &later::Inner) {
    // SAFETY: called in the drain of the owner's run.
    let set = unsafe { Ext::get(cell) }.and_then(|ext| ext.timers.as_mut());
    if let Some(pending) = set.and_then(|set| set.remove(later.timer())) {
        let _ = cell.shared().scheduler().cancel(pending.key);
    }
}

/// The time until a timer is due, or `None` if it has fired or is not this process's.
///
/// # Safety
/// The caller is the cell's owner.
pub(crate) unsafe fn time_left(cell: CellPtr, timer: TimerRef) -> Option<Duration> {
    if timer.owner != cell.pid() {
        return None;
    }
    // SAFETY: the caller's word.
    let deadline = unsafe { Ext::get(cell) }?.timers.as_ref()?.deadline(timer.id)?;
    Some(deadline.saturating_since(cell.shared().scheduler().now()))
}

/// Takes a timer back. The time that was left, or `None` if it has fired or is not this process's.
///
/// # Safety
/// The caller is the cell's owner.
pub(crate) unsafe fn cancel(cell: CellPtr, timer: TimerRef) -> Option<Duration> {
    if timer.owner != cell.pid() {
        return None;
    }
    // SAFETY: the caller's word.
    let pending = unsafe { Ext::get(cell) }?.timers.as_mut()?.remove(timer.id)?;
    let scheduler = cell.shared().scheduler();
    let left = pending.deadline.saturating_since(scheduler.now());
    let _ = scheduler.cancel(pending.key);
    Some(left)
}

/// A timer has fired: its message joins the mailbox, unless it was cancelled, and before it those of the
/// timers that are due earlier. (They are with another worker, which has not come to them.)
pub(crate) fn fired(cell: CellPtr, cursor: &mut Cursor, id: u64) {
    let scheduler = cell.shared().scheduler();
    // SAFETY: called in the drain of the owner's run.
    let due = unsafe { Ext::get(cell) }.and_then(|ext| ext.timers.as_ref()?.deadline(id));
    // Not due: an interval's tick that came before its turn, by another timer, is told of late.
    let Some(due) = due.filter(|due| *due <= scheduler.now()) else { return };
    // SAFETY: as above, anew each time: what is delivered runs the user's code.
    let set = || unsafe { Ext::get(cell) }.and_then(|ext| ext.timers.as_deref_mut());
    while let Some(first) = set().and_then(|set| set.first_before(due)) {
        if let Some(pending) = set().and_then(|set| set.remove(first)) {
            let _ = scheduler.cancel(pending.key);
            tick(cell, cursor, first, pending);
        }
    }
    if let Some(pending) = set().and_then(|set| set.remove(id)) {
        tick(cell, cursor, id, pending);
    }
}

/// Delivers a timer's message, and sets an interval anew.
fn tick(cell: CellPtr, cursor: &mut Cursor, id: u64, pending: Pending) {
    // SAFETY: called in the drain of the owner's run.
    if unsafe { idle::is_over(cell, cursor, id) } {
        // With the message, which is the user's.
        let _ = contain(|| drop(pending));
        return;
    }
    tell_of(cell, || Event::TimerFired { pid: cell.pid() });
    let again = match pending.what.split() {
        Split::Once(node) => {
            signal::deliver(cell, cursor, || node);
            None
        }
        Split::Later(later) => {
            // Unless it was cancelled a moment ago.
            if let Some(message) = later.take_message() {
                signal::deliver(cell, cursor, || message.into_node());
            }
            None
        }
        Split::Every(period, mut make) => {
            signal::deliver(cell, cursor, &mut make);
            Some((period, make))
        }
    };
    if let Some((period, make)) = again {
        let now = cell.shared().scheduler().now();
        // Ticks that were missed are skipped, and the beat is kept.
        let mut deadline = pending.deadline.saturating_add(period);
        if deadline <= now {
            let behind = now.saturating_since(pending.deadline).as_nanos() / period.as_nanos();
            let steps = u32::try_from(behind + 1).unwrap_or(u32::MAX);
            deadline = pending.deadline.saturating_add(period.saturating_mul(steps));
        }
        let what = What::Every { period, make };
        // SAFETY: called in the drain of the owner's run.
        let ext = unsafe { Ext::of(cell) };
        let set = ext.timers.get_or_insert_with(|| Set::new(cell));
        let key = arm(cell, set, deadline, id);
        set.insert(id, Pending { key, deadline, what });
    }
}

enum Split {
    Once(NonNull<Node>),
    Later(Arc<later::Inner>),
    Every(Duration, Box<dyn FnMut() -> NonNull<Node> + Send>),
}

impl What {
    /// Takes the message out of a timer that has fired.
    fn split(self) -> Split {
        let what = std::mem::ManuallyDrop::new(self);
        match &*what {
            What::Once(node) => Split::Once(*node),
            // SAFETY: `what` is not dropped, so this is moved out once.
            What::Later(later) => Split::Later(unsafe { std::ptr::read(later) }),
            What::Every { period, make } => {
                // SAFETY: `what` is not dropped, so the box is moved out once.
                Split::Every(*period, unsafe { std::ptr::read(make) })
            }
        }
    }
}

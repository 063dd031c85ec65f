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
//!
//! # Where memory is far
//!
//! With a million timers each step to another place in memory is a hundred nanoseconds, and what a timer touches lies in
//! a dozen of places: cell, state, part, [queue], message. So a process writes down where its next timer is and where
//! that one's message, and who fires many timers asks for all of these ahead ([`Expire::prepare`]). Addresses that have
//! become wrong do no harm: nobody follows them.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

mod queue;

use std::{ptr::NonNull, sync::Arc, time::Duration};

use whitebeam_scheduler::{Expire, Time, TimerKey};
use whitebeam_sync::{
    inbox::Cursor,
    node::Node,
    prefetch,
    shim::atomic::{AtomicUsize, Ordering},
};

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
    timer::queue::Queue,
};

/// Names one timer of one process. Another process can do nothing with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerRef {
    owner: Pid,
    pub(crate) id: u64,
    /// When it is due, or was for the first time.
    deadline: Time,
}

/// A timer that has not fired.
pub(crate) struct Pending {
    key: TimerKey,
    what: What,
}

/// The timers of one process that have not fired.
pub(crate) struct Set {
    entry: Arc<Entry>,
    pending: Queue<Pending>,
    /// When the intervals are due: their [`TimerRef`]s do not know.
    beats: Map<u64, Time>,
}

/// A table with room for more than this is not kept when it is empty.
const KEPT: usize = 64;

impl Set {
    /// Of the cell whose part this is.
    fn of(cell: CellPtr, ext: &mut Ext) -> &mut Self {
        let part = std::ptr::from_mut(ext).addr();
        ext.timers.get_or_insert_with(|| {
            let entry = Arc::new(Entry::new(cell.to_ref(), part));
            let set = Box::new(Set { entry, pending: Queue::new(), beats: Map::default() });
            set.entry.set.store(std::ptr::from_ref(&*set).addr(), Ordering::Relaxed);
            set
        })
    }

    fn insert(&mut self, id: u64, deadline: Time, pending: Pending) {
        if matches!(pending.what, What::Every(_)) {
            self.beats.insert(id, deadline);
        }
        self.pending.insert((deadline, id), pending);
        self.write_down();
    }

    fn remove(&mut self, id: u64, deadline: Time) -> Option<Pending> {
        let pending = self.pending.remove((deadline, id))?;
        self.write_down();
        if matches!(pending.what, What::Every(_)) {
            self.beats.remove(&id);
            if self.beats.is_empty() && self.beats.capacity() > KEPT {
                self.beats = Map::default();
            }
        }
        Some(pending)
    }

    /// For who fires the next one.
    fn write_down(&self) {
        let Some((place, next)) = self.pending.likely_next() else { return };
        self.entry.next.store(place.addr(), Ordering::Relaxed);
        if let What::Once(node) = &next.what {
            self.entry.message.store(node.addr().get(), Ordering::Relaxed);
        }
    }

    /// When a timer is due that has not fired.
    fn deadline(&self, timer: TimerRef) -> Option<Time> {
        let deadline = self.beats.get(&timer.id).copied().unwrap_or(timer.deadline);
        self.pending.contains((deadline, timer.id)).then_some(deadline)
    }

    /// In the order in which they are due.
    pub(crate) fn into_pending(self) -> impl Iterator<Item = Pending> {
        self.pending.into_ordered()
    }
}

enum What {
    Once(NonNull<Node>),
    /// Set by somebody else, who may cancel it.
    Later(Arc<later::Inner>),
    Every(Box<Beat>),
}

/// An interval. In a box: the table is for timers that fire once.
struct Beat {
    period: Duration,
    make: Box<dyn FnMut() -> NonNull<Node> + Send>,
}

const _: () = assert!(size_of::<Pending>() == 32);

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
            What::Every(_) => {}
        }
    }
}

/// What the wheel holds of a process: one for all of its timers. The token is a timer's number.
///
/// It keeps the cell, and is kept by the cell's own part until the process ends, and by timers in the wheel: these
/// are cancelled then.
struct Entry {
    cell: CellRef,
    /// Addresses of what a timer's delivery touches, see the module's text. The owner writes them.
    part: usize,
    set: AtomicUsize,
    next: AtomicUsize,
    message: AtomicUsize,
}

impl Entry {
    fn new(cell: CellRef, part: usize) -> Self {
        let nowhere = || AtomicUsize::new(0);
        Entry { cell, part, set: nowhere(), next: nowhere(), message: nowhere() }
    }
}

impl Expire for Entry {
    fn expire(&self, token: u64, deadline: u64) {
        let due = Time::from_nanos(deadline);
        // Refused: it has ended, and its timers with it.
        let _ = signal::send(self.cell.ptr(), Signal::Timer { id: token, due });
    }

    fn prepare(&self) {
        self.cell.ptr().prefetch_for_run();
        let fields = [std::mem::offset_of!(Ext, timers), std::mem::offset_of!(Ext, idle)];
        let part = fields.map(|field| self.part + field);
        let [set, next, message] =
            [&self.set, &self.next, &self.message].map(|at| at.load(Ordering::Relaxed));
        // The next timer may lie on two lines.
        let moving = [set, next, next + size_of::<Pending>(), message];
        for address in part.into_iter().chain(moving) {
            prefetch(std::ptr::without_provenance::<()>(address));
        }
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
    unsafe { set(cell, first, What::Every(Box::new(Beat { period, make }))) }
}

unsafe fn set(cell: CellPtr, deadline: Time, what: What) -> TimerRef {
    // SAFETY: the callers' callers are owners.
    let ext = unsafe { Ext::of(cell) };
    let id = ext.next_id();
    let set = Set::of(cell, ext);
    let key = arm(cell, set, deadline, id);
    set.insert(id, deadline, Pending { key, what });
    TimerRef { owner: cell.pid(), id, deadline }
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
    let set = Set::of(cell, ext);
    let key = arm(cell, set, deadline, id);
    set.insert(id, deadline, Pending { key, what: What::Later(later) });
}

/// Who has set it has cancelled it. Called in the drain of the owner's run.
pub(crate) fn forget(cell: CellPtr, later: &later::Inner) {
    // SAFETY: called in the drain of the owner's run.
    let set = unsafe { Ext::get(cell) }.and_then(|ext| ext.timers.as_mut());
    if let Some(pending) = set.and_then(|set| set.remove(later.timer(), later.deadline())) {
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
    let deadline = unsafe { Ext::get(cell) }?.timers.as_ref()?.deadline(timer)?;
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
    let set = unsafe { Ext::get(cell) }?.timers.as_mut()?;
    let deadline = set.deadline(timer)?;
    let pending = set.remove(timer.id, deadline)?;
    let scheduler = cell.shared().scheduler();
    let left = deadline.saturating_since(scheduler.now());
    let _ = scheduler.cancel(pending.key);
    Some(left)
}

/// A timer has fired: its message joins the mailbox, unless it was cancelled, and before it those of the
/// timers that are due earlier. (They are with another worker, which has not come to them.)
pub(crate) fn fired(cell: CellPtr, cursor: &mut Cursor, id: u64, due: Time) {
    // SAFETY: called in the drain of the owner's run, anew each time: what is delivered runs the user's code.
    let set = || unsafe { Ext::get(cell) }.and_then(|ext| ext.timers.as_deref_mut());
    // Else it was cancelled, or came along with one that was due later. (An interval has another time then.)
    if !set().is_some_and(|set| set.pending.contains((due, id))) {
        return;
    }
    while let Some((time, first)) =
        set().and_then(|set| set.pending.next()).filter(|next| next.0 < due)
    {
        if let Some(pending) = set().and_then(|set| set.remove(first, time)) {
            let _ = cell.shared().scheduler().cancel(pending.key);
            tick(cell, cursor, first, time, pending);
        }
    }
    if let Some(pending) = set().and_then(|set| set.remove(id, due)) {
        tick(cell, cursor, id, due, pending);
    }
}

/// Delivers a timer's message, and sets an interval anew.
fn tick(cell: CellPtr, cursor: &mut Cursor, id: u64, due: Time, pending: Pending) {
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
        Split::Every(mut beat) => {
            signal::deliver(cell, cursor, &mut beat.make);
            Some(beat)
        }
    };
    if let Some(beat) = again {
        let (now, period) = (cell.shared().scheduler().now(), beat.period);
        // Ticks that were missed are skipped, and the beat is kept.
        let mut deadline = due.saturating_add(period);
        if deadline <= now {
            let behind = now.saturating_since(due).as_nanos() / period.as_nanos();
            let steps = u32::try_from(behind + 1).unwrap_or(u32::MAX);
            deadline = due.saturating_add(period.saturating_mul(steps));
        }
        // SAFETY: called in the drain of the owner's run.
        let set = Set::of(cell, unsafe { Ext::of(cell) });
        let key = arm(cell, set, deadline, id);
        set.insert(id, deadline, Pending { key, what: What::Every(beat) });
    }
}

enum Split {
    Once(NonNull<Node>),
    Later(Arc<later::Inner>),
    Every(Box<Beat>),
}

impl What {
    /// Takes the message out of a timer that has fired.
    fn split(self) -> Split {
        let what = std::mem::ManuallyDrop::new(self);
        match &*what {
            What::Once(node) => Split::Once(*node),
            // SAFETY: `what` is not dropped, so this is moved out once.
            What::Later(later) => Split::Later(unsafe { std::ptr::read(later) }),
            // SAFETY: as above.
            What::Every(beat) => Split::Every(unsafe { std::ptr::read(beat) }),
        }
    }
}

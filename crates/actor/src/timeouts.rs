//! Timeouts of calls, at no cost to a call that is answered soon.
//!
//! Each call has a timeout, five seconds unless said otherwise, and nearly all are answered in
//! microseconds: a timer that is set and cancelled would cost more than the call. So a call of at least
//! [`LAZY_MIN`] that is awaited in a handler is only noted in its frame, and its cell is put in a list,
//! unless it is there already. Every [`SWEEP`] the cells in the list are woken up to look: what is still
//! pending gets a deadline then, counted from that moment, and a timer of the wheel, unless one that is no
//! later is set for the cell already. A timeout comes therefore up to [`SWEEP`] late, never early.
//!
//! A cell has one timer at most, and has it for as long as the call that it was set for waits: it is taken back
//! when that is over, or the process is. So the wheel holds no more than there are calls.
//!
//! A call without a timeout is noted as well: what has waited from one sweep to the next is looked at for a cycle of calls
//! ([`crate::deadlock`]), and so is a handler whose call was polled again, since it may wait for nothing else any more.
//!
//! A frame notes one such call; more at once (`join`), short timeouts, calls outside of actors and all in
//! the simulation take a timer of their own. So does, from then on, a call that is moved away from the frame
//! that noted it.
#![expect(unsafe_code, reason = "the frame of the running handler is reached by pointer")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{
    ptr::NonNull,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use whitebeam_scheduler::{Expire, Time, TimerKey};
use whitebeam_sync::{
    inbox::Push,
    shim::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    Pid,
    call::CallNode,
    cell::{CellPtr, CellRef, bit, flag},
    ext::Map,
    frame::FrameHdr,
    local,
    shared::Shared,
};

/// Timeouts below this take a timer of their own.
pub(crate) const LAZY_MIN: Duration = Duration::from_millis(250);
/// How often new calls are looked at: what a lazy timeout may come late by.
const SWEEP: Duration = Duration::from_millis(8);
/// A call that has waited for this long is looked at for a cycle, [`SWEEP`] later at most: nearly all are over. A tenth
/// of what people notice; each look costs some hundred nanoseconds per process on the way.
pub(crate) const LOOK_AFTER: Duration = SWEEP;
/// No timeout.
pub(crate) const NEVER: u64 = u64::MAX;

/// The call of a frame that the cell looks after.
pub(crate) struct LazyTimeout {
    /// Which call: compared, never followed. Null: none, and the rest means nothing.
    call: *const CallNode,
    timeout_ns: u64,
    /// When it is over, in the scheduler's time; or one of the two below.
    deadline_ns: u64,
}

/// No deadline was counted out yet.
const UNARMED: u64 = 0;
/// The time is over.
const EXPIRED: u64 = u64::MAX;

impl LazyTimeout {
    /// Makes the note of a fresh frame empty: one store, for each handler.
    ///
    /// # Safety
    /// `at` is valid for writes.
    #[inline]
    pub(crate) unsafe fn clear(at: *mut LazyTimeout) {
        // SAFETY: the caller's word; the field lies inside.
        unsafe { (&raw mut (*at).call).write(std::ptr::null()) };
    }
}

/// Notes the timeout of a call in the frame that is being polled. `false`: not possible.
#[inline]
pub(crate) fn note(cell: CellPtr, call: NonNull<CallNode>, timeout_ns: u64) -> bool {
    if timeout_ns < LAZY_MIN.as_nanos() as u64 {
        return false;
    }
    let Some(lazy) = frame_timeout() else { return false };
    // SAFETY: initialised before the frame's first poll.
    let noted = unsafe { (*lazy).call };
    if !noted.is_null() && noted != call.as_ptr() {
        return false;
    }
    if !cell.header().has(bit::YOUNG) && !enter(cell) {
        return false;
    }
    // SAFETY: inside the frame that is being polled here.
    unsafe { lazy.write(LazyTimeout { call: call.as_ptr(), timeout_ns, deadline_ns: UNARMED }) };
    true
}

/// Has the cell look whether it waits in a cycle of calls, at the next sweep. Called by the owner, for what its frame
/// waits for.
#[cold]
pub(crate) fn watch(cell: CellPtr) {
    let header = cell.header();
    if cell.shared().scheduler().is_simulated() {
        // No sweep: nothing is to be left that was not asked for.
        header.set(bit::LOOKS);
        return;
    }
    header.set(bit::AGED);
    if !header.has(bit::YOUNG) {
        enter(cell);
    }
}

/// Puts the cell in the list. `false`: virtual time is exact, and so are its timeouts.
#[cold]
fn enter(cell: CellPtr) -> bool {
    if cell.shared().scheduler().is_simulated() {
        return false;
    }
    cell.header().set(bit::YOUNG);
    cell.shared().timeouts().add(cell);
    true
}

/// Whether the call's time is over. `None`: the frame that is being polled has no note of it.
pub(crate) fn is_expired(call: NonNull<CallNode>) -> Option<bool> {
    let lazy = frame_timeout()?;
    // SAFETY: initialised before the frame's first poll.
    if unsafe { (*lazy).call } != call.as_ptr() {
        return None;
    }
    // SAFETY: the note is initialised when its call is not null.
    Some(unsafe { (*lazy).deadline_ns } == EXPIRED)
}

/// The call is over.
#[inline]
pub(crate) fn forget(call: NonNull<CallNode>) {
    if let Some(lazy) = frame_timeout() {
        // SAFETY: initialised before the frame's first poll.
        if unsafe { (*lazy).call } == call.as_ptr() {
            // SAFETY: inside the frame that is being polled here.
            unsafe { LazyTimeout::clear(lazy) };
            // The frame that is being polled is the running cell's.
            if let Some(cell) = local::current().filter(|cell| cell.header().has(bit::LOOK)) {
                leave(cell);
            }
        }
    }
}

/// Nothing of the cell's is to be looked at any more. Called by the owner.
#[cold]
pub(crate) fn leave(cell: CellPtr) {
    cell.header().clear(bit::LOOK);
    cell.shared().timeouts().unset(cell);
}

/// The note of the frame that is being polled on this thread.
#[inline]
fn frame_timeout() -> Option<*mut LazyTimeout> {
    let frame: NonNull<FrameHdr> = NonNull::new(local::frame())?;
    // SAFETY: the frame is being polled; the field lies inside.
    Some(unsafe { &raw mut (*frame.as_ptr()).timeout })
}

/// The cell was told to look at its call. `true`: its time is over, and the frame is to be polled.
///
/// # Safety
/// The caller is the cell's owner.
pub(crate) unsafe fn due(cell: CellPtr) -> bool {
    let header = cell.header();
    let is_swept = header.has(bit::YOUNG);
    header.clear(bit::YOUNG);
    let Some(frame) = NonNull::new(header.frame.load(Ordering::Relaxed)) else { return false };
    // SAFETY: the cell's own frame, suspended: nobody else looks at it.
    let lazy = unsafe { &mut (*frame.as_ptr()).timeout };
    if !lazy.call.is_null() && lazy.deadline_ns == UNARMED {
        // What it waits for is new.
        watch(cell);
    } else if !is_swept || header.has(bit::AGED) {
        // Since the last sweep; or somebody else wants it to look.
        header.clear(bit::AGED);
        header.set(bit::LOOKS);
    }
    if lazy.call.is_null() {
        return false;
    }
    if lazy.timeout_ns == NEVER {
        lazy.deadline_ns = EXPIRED - 1;
        return false;
    }
    let now = cell.shared().scheduler().now();
    if lazy.deadline_ns == UNARMED {
        let timeout = Duration::from_nanos(lazy.timeout_ns);
        lazy.deadline_ns = now.saturating_add(timeout).as_nanos().min(EXPIRED - 1);
    } else if now.as_nanos() >= lazy.deadline_ns || lazy.deadline_ns == EXPIRED {
        lazy.deadline_ns = EXPIRED;
        header.clear(bit::LOOKS);
        return true;
    }
    header.set(bit::LOOK);
    cell.shared().timeouts().set(cell, Time::from_nanos(lazy.deadline_ns));
    false
}

/// A runtime's list of cells whose calls are new.
pub(crate) struct Timeouts {
    shared: OnceLock<Weak<Shared>>,
    me: Weak<Timeouts>,
    young: Mutex<Vec<CellRef>>,
    /// A sweep is coming.
    sweeping: AtomicBool,
    /// When the wheel is to look at a cell, by pid.
    looks: Mutex<Map<u64, Look>>,
}

/// A cell's timer in the wheel.
struct Look {
    at_ns: u64,
    /// None where there is no wheel any more.
    timer: Option<TimerKey>,
}

/// The token of a sweep; any other is a pid.
const SWEEP_TOKEN: u64 = 0;

impl Timeouts {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Timeouts {
            shared: OnceLock::new(),
            me: me.clone(),
            young: Mutex::new(Vec::new()),
            sweeping: AtomicBool::new(false),
            looks: Mutex::new(Map::default()),
        })
    }

    pub(crate) fn attach(&self, shared: Weak<Shared>) {
        let _ = self.shared.set(shared);
    }

    fn add(&self, cell: CellPtr) {
        self.young.lock().push(cell.to_ref());
        // A sweep clears the mark, then takes the list. AcqRel: whoever finds the mark set was before that
        // sweep, with its entry in the list; else its own sweep comes.
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            let scheduler = cell.shared().scheduler();
            let at = scheduler.now().saturating_add(SWEEP);
            self.timer(cell, at, SWEEP_TOKEN);
        }
    }

    /// Has the wheel look at the cell at `at`, instead of at any later time.
    fn set(&self, cell: CellPtr, at: Time) {
        let pid = cell.pid().to_bits();
        let mut looks = self.looks.lock();
        if looks.get(&pid).is_some_and(|look| look.at_ns <= at.as_nanos()) {
            return;
        }
        // With the lock held, so that what fires meanwhile finds the timer in its place.
        let look = Look { at_ns: at.as_nanos(), timer: self.timer(cell, at, pid) };
        let later = looks.insert(pid, look);
        drop(looks);
        self.cancel(cell, later);
    }

    fn unset(&self, cell: CellPtr) {
        let look = self.looks.lock().remove(&cell.pid().to_bits());
        self.cancel(cell, look);
    }

    fn cancel(&self, cell: CellPtr, look: Option<Look>) {
        if let Some(timer) = look.and_then(|look| look.timer) {
            cell.shared().scheduler().cancel(timer);
        }
    }

    fn timer(&self, cell: CellPtr, at: Time, token: u64) -> Option<TimerKey> {
        let me = self.me.upgrade()?;
        Some(cell.shared().scheduler().timer_at(at, me, token))
    }

    /// How many cells the wheel is to look at.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn looks(&self) -> usize {
        self.looks.lock().len()
    }

    /// Forgets the list: the runtime is going.
    pub(crate) fn clear(&self) {
        let young = std::mem::take(&mut *self.young.lock());
        // Outside of the lock: with the last reference to a cell goes what is the user's.
        drop(young);
    }
}

impl Expire for Timeouts {
    fn expire(&self, token: u64, deadline: u64) {
        let Some(shared) = self.shared.get().and_then(Weak::upgrade) else { return };
        if token != SWEEP_TOKEN {
            {
                let mut looks = self.looks.lock();
                // Not if an earlier one was set behind it.
                if looks.get(&token).is_some_and(|look| look.at_ns == deadline) {
                    looks.remove(&token);
                }
            }
            if let Some(cell) = shared.resolve(Pid::from_bits(token)) {
                cell.ptr().raise(flag::TIMEOUT);
            }
            return;
        }
        self.sweeping.store(false, Ordering::Release);
        let young = std::mem::take(&mut *self.young.lock());
        shared.scheduler().schedule_batch(young.iter().filter_map(|cell| {
            match cell.ptr().sign(flag::TIMEOUT) {
                Push::Schedule => Some(cell.ptr().runnable()),
                Push::Queued | Push::Closed => None,
            }
        }));
    }
}

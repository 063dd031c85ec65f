//! Timeouts of calls, at no cost to a call that is answered soon.
//!
//! Each call has a timeout, five seconds unless said otherwise, and nearly all are answered in
//! microseconds: a timer that is set and cancelled would cost more than the call. So a call of at least
//! [`LAZY_MIN`] that is awaited in a handler is only noted in its frame, and its cell is put in a list,
//! unless it is there already. Every [`SWEEP`] the cells in the list are woken up to look: what is still
//! pending gets a deadline then, counted from that moment, and one timer of the wheel per cell. A
//! timeout comes therefore up to [`SWEEP`] late, never early.
//!
//! A frame notes one such call; more at once (`join`), short timeouts, calls outside of actors and all in
//! the simulation take a timer of their own.
#![expect(unsafe_code, reason = "the frame of the running handler is reached by pointer")]

use std::{
    ptr::NonNull,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use whitebeam_scheduler::{Expire, Time};
use whitebeam_sync::{
    inbox::Push,
    shim::{Mutex, atomic::{AtomicBool, Ordering}},
};

use crate::{
    Pid,
    call::CallNode,
    cell::{CellPtr, CellRef, bit, flag},
    frame::FrameHdr,
    local,
    shared::Shared,
};

/// Timeouts below this take a timer of their own.
pub(crate) const LAZY_MIN: Duration = Duration::from_millis(250);
/// How often new calls are looked at: what a lazy timeout may come late by.
const SWEEP: Duration = Duration::from_millis(8);

/// The call of a frame that the cell looks after.
pub(crate) struct LazyTimeout {
    /// Which call: compared, never followed.
    call: *const CallNode,
    timeout: Duration,
    /// Zero: not armed yet.
    deadline: Time,
    expired: bool,
}

impl LazyTimeout {
    pub(crate) const NONE: LazyTimeout = LazyTimeout {
        call: std::ptr::null(),
        timeout: Duration::ZERO,
        deadline: Time::ZERO,
        expired: false,
    };
}

/// Notes the timeout of a call in the frame that is being polled. `false`: not possible.
pub(crate) fn note(cell: CellPtr, call: NonNull<CallNode>, timeout: Duration) -> bool {
    if timeout < LAZY_MIN || cell.shared().scheduler().is_simulated() {
        return false;
    }
    let Some(lazy) = frame_timeout() else { return false };
    if !lazy.call.is_null() && lazy.call != call.as_ptr() {
        return false;
    }
    *lazy = LazyTimeout { call: call.as_ptr(), timeout, deadline: Time::ZERO, expired: false };
    let header = cell.header();
    if !header.has(bit::YOUNG | bit::IN_WHEEL) {
        header.set(bit::YOUNG);
        cell.shared().timeouts().add(cell);
    }
    true
}

/// Whether the call's time is over.
pub(crate) fn is_expired(call: NonNull<CallNode>) -> bool {
    frame_timeout().is_some_and(|lazy| lazy.call == call.as_ptr() && lazy.expired)
}

/// The call is over.
pub(crate) fn forget(call: NonNull<CallNode>) {
    if let Some(lazy) = frame_timeout()
        && lazy.call == call.as_ptr()
    {
        lazy.call = std::ptr::null();
    }
}

fn frame_timeout<'a>() -> Option<&'a mut LazyTimeout> {
    let frame: NonNull<FrameHdr> = NonNull::new(local::frame())?;
    // SAFETY: set while the frame is polled on this thread; `timeout` is initialised before the first
    // poll, and only this module's functions make a reference to it, none of which calls another.
    Some(unsafe { &mut *(&raw mut (*frame.as_ptr()).timeout) })
}

/// The cell was told to look at its call. `true`: its time is over, and the frame is to be polled.
///
/// # Safety
/// The caller is the cell's owner.
pub(crate) unsafe fn due(cell: CellPtr) -> bool {
    let header = cell.header();
    header.clear(bit::YOUNG);
    let Some(frame) = NonNull::new(header.frame.load(Ordering::Relaxed)) else {
        header.clear(bit::IN_WHEEL);
        return false;
    };
    // SAFETY: the cell's own frame, suspended: nobody else looks at it.
    let lazy = unsafe { &mut *(&raw mut (*frame.as_ptr()).timeout) };
    header.clear(bit::IN_WHEEL);
    if lazy.call.is_null() {
        return false;
    }
    let now = cell.shared().scheduler().now();
    if lazy.deadline == Time::ZERO {
        lazy.deadline = now.saturating_add(lazy.timeout);
    } else if now >= lazy.deadline {
        lazy.expired = true;
        return true;
    }
    header.set(bit::IN_WHEEL);
    cell.shared().timeouts().set(cell, lazy.deadline);
    false
}

/// A runtime's list of cells whose calls are new.
pub(crate) struct Timeouts {
    shared: OnceLock<Weak<Shared>>,
    me: Weak<Timeouts>,
    young: Mutex<Vec<CellRef>>,
    /// A sweep is coming.
    sweeping: AtomicBool,
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
        })
    }

    pub(crate) fn attach(&self, shared: Weak<Shared>) {
        let _ = self.shared.set(shared);
    }

    fn add(&self, cell: CellPtr) {
        self.young.lock().push(cell.to_ref());
        // Relaxed: the list's lock orders the entry; a sweep that is coming takes the lock after it has
        // cleared the mark, so that an entry added after the mark was seen is found.
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            let scheduler = cell.shared().scheduler();
            let at = scheduler.now().saturating_add(SWEEP);
            self.timer(cell, at, SWEEP_TOKEN);
        }
    }

    fn set(&self, cell: CellPtr, at: Time) {
        self.timer(cell, at, cell.pid().to_bits());
    }

    fn timer(&self, cell: CellPtr, at: Time, token: u64) {
        if let Some(me) = self.me.upgrade() {
            let _ = cell.shared().scheduler().timer_at(at, me, token);
        }
    }

    /// Forgets the list: the runtime is going.
    pub(crate) fn clear(&self) {
        drop(std::mem::take(&mut *self.young.lock()));
    }
}

impl Expire for Timeouts {
    fn expire(&self, token: u64, _deadline: u64) {
        let Some(shared) = self.shared.get().and_then(Weak::upgrade) else { return };
        if token != SWEEP_TOKEN {
            if let Some(cell) = shared.resolve(Pid::from_bits(token)) {
                cell.ptr().raise(flag::TIMEOUT);
            }
            return;
        }
        self.sweeping.store(false, Ordering::Release);
        let young = std::mem::take(&mut *self.young.lock());
        shared.scheduler().schedule_batch(young.iter().filter_map(|cell| {
            match cell.ptr().header().inbox.raise(flag::TIMEOUT) {
                Push::Schedule => Some(cell.ptr().runnable()),
                Push::Queued | Push::Closed => None,
            }
        }));
    }
}

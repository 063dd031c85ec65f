//! An actor's idle timeout: a message for the case that no other comes.
//!
//! ```text
//!   none ──ask, in a handler──▶ Asked(after, message)
//!    ▲                             │ the handler is over, the inbox drained
//!    │◀── a message waits ─────────┤
//!    │◀── after is zero: handled ──┤
//!    │                             ▼
//!    │                          Armed(timer)
//!    │◀── a message waits ─────────┤
//!    │◀── the timer: handled, unless a message waits ──┘
//! ```
//!
//! The bit `IDLE` says that there is one. It is among those that have the run look up between two messages and
//! after each drain, so that an actor without one pays nothing: there all of this happens ([`waits`]).
//! Whatever is in the private FIFO then is handled next, and so ends the wait.
//!
//! Armed it is one of the actor's ordinary timers, which end with the process. A timer that fires finds in the
//! FIFO what came before it: then that is handled, and the timeout was none.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

use std::time::Duration;

use whitebeam_sync::inbox::Cursor;

use crate::{
    TimerRef, call,
    cell::{CellPtr, bit},
    contain::contain,
    ext::Ext,
    message::{self, Carried},
    timer,
};

/// An idle timeout.
pub(crate) enum Idle {
    /// Asked for by a handler that is not over.
    Asked { after: Duration, message: Carried },
    /// The actor waits. The message is with the timer.
    Armed(TimerRef),
}

/// Asks for an idle timeout, instead of any other.
///
/// # Safety
/// The caller is the cell's owner, and `M` its message type.
pub(crate) unsafe fn ask<M: Send + 'static>(cell: CellPtr, after: Duration, msg: M) {
    let asked = Idle::Asked { after, message: message::carried_uncounted(msg) };
    // SAFETY: the caller's word.
    let before = unsafe { Ext::of(cell) }.idle.replace(asked);
    cell.header().set(bit::IDLE);
    if let Some(before) = before {
        // SAFETY: the caller's word.
        unsafe { give_up(cell, before) };
    }
}

/// Something else is handled: the wait is over.
///
/// # Safety
/// The caller is the cell's owner.
pub(crate) unsafe fn over(cell: CellPtr) {
    // SAFETY: the caller's word.
    if let Some(idle) = unsafe { take(cell) } {
        // With the message, which is the user's.
        // SAFETY: the caller's word.
        let _ = contain(|| unsafe { give_up(cell, idle) });
        // No handler is running: a reply that was in it waits for none.
        call::flush_deferred(None);
    }
}

/// No handler is running, and the inbox was drained. `true`: nothing is to be handled, the actor waits.
///
/// # Safety
/// The caller is the cell's owner and holds no reference to its cursor.
pub(crate) unsafe fn waits(cell: CellPtr) -> bool {
    // SAFETY: the caller's word.
    if !unsafe { cell.cursor() }.is_empty() {
        // SAFETY: the caller's word.
        unsafe { over(cell) };
        return false;
    }
    // SAFETY: the caller's word.
    match unsafe { take(cell) } {
        None => return false,
        Some(Idle::Asked { after: Duration::ZERO, message }) => {
            // SAFETY: as above.
            let cursor = unsafe { cell.cursor() };
            // SAFETY: an unread message of the actor's own, given up.
            unsafe { cursor.push_back(message.into_node()) };
            return false;
        }
        Some(idle) => {
            let armed = match idle {
                // SAFETY: the caller's word; `ask` made the message.
                Idle::Asked { after, message } => unsafe {
                    timer::after_which(cell, after, message)
                },
                Idle::Armed(timer) => timer,
            };
            // SAFETY: the caller's word.
            unsafe { Ext::of(cell) }.idle = Some(Idle::Armed(armed));
        }
    }
    cell.header().set(bit::IDLE);
    true
}

/// The timer `id` has fired. If it is that of the idle timeout, the wait is over; `true`: by a message that came
/// before.
///
/// # Safety
/// The caller is the cell's owner.
pub(crate) unsafe fn is_over(cell: CellPtr, cursor: &Cursor, id: u64) -> bool {
    // SAFETY: the caller's word.
    let idle = unsafe { Ext::get(cell) }.and_then(|ext| ext.idle.as_ref());
    if !matches!(idle, Some(Idle::Armed(timer)) if timer.id == id) {
        return false;
    }
    // SAFETY: the caller's word.
    drop(unsafe { take(cell) });
    !cursor.is_empty() || cell.header().has(bit::URGENT)
}

/// # Safety
/// The caller is the cell's owner.
unsafe fn take(cell: CellPtr) -> Option<Idle> {
    cell.header().clear(bit::IDLE);
    // SAFETY: the caller's word.
    unsafe { Ext::get(cell) }?.idle.take()
}

/// # Safety
/// The caller is the cell's owner.
unsafe fn give_up(cell: CellPtr, idle: Idle) {
    match idle {
        Idle::Asked { message, .. } => drop(message),
        Idle::Armed(timer) => {
            // SAFETY: the caller's word.
            let _ = unsafe { timer::cancel(cell, timer) };
        }
    }
}

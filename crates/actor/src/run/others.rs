//! What others want of a process that runs: that it ends, that it looks for a cycle, that it makes room.

use crate::{
    ExitReason, bound,
    cell::{CellPtr, bit, flag},
    end::{self, How},
    signal,
    simulate::{Event, SignalKind, tell_of},
};

/// Ends the process that was told to, or tells it. Called by the owner, with no reference to the cursor alive.
#[inline]
pub(crate) fn obey(cell: CellPtr, flags: u32) {
    // Both come from who ends this process in order, the kill when its time is over: first come, first served.
    if flags & flag::SHUTDOWN != 0 {
        let signal = SignalKind::Shutdown;
        tell_of(cell, || Event::Signalled { pid: cell.pid(), signal });
        signal::receive_shutdown(cell);
    }
    if flags & flag::KILL != 0 {
        tell_of(cell, || Event::Signalled { pid: cell.pid(), signal: SignalKind::Kill });
        end::doom(cell, ExitReason::Killed, How::Abrupt);
    }
    if flags & flag::OVERFLOW != 0 {
        end::doom(cell, ExitReason::MailboxOverflow, How::Abrupt);
    }
}

/// Lets senders in that wait for room.
#[cold]
pub(super) fn let_in(cell: CellPtr) {
    // SAFETY: the turn owns the cell; no other reference to the cursor is alive here.
    let has_mail = !unsafe { cell.cursor() }.is_empty() || cell.header().has(bit::URGENT);
    // A body looks for itself.
    bound::attend(cell, has_mail && !cell.vt().is_process);
    // Wakers are the user's.
    signal::answer_dropped(cell);
}

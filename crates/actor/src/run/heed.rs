//! What few turns come to: flags, an end, attached work, and what goes before a message. Out of the way of the others.
#![expect(unsafe_code, reason = "the owner's loop: cursor and parts by pointer")]

use whitebeam_scheduler::Turn;

use super::{Actor, Flow, Next, at_rest, done, obey, observed, others, wind_down};
use crate::{
    cell::{CellPtr, bit, flag},
    children, deadlock, idle,
    inspect::level,
    lane, timeouts, work,
};

/// What is to be seen to before the next message is handled.
pub(super) const BEFORE_MESSAGES: u32 =
    bit::CHILDREN_DOWN | bit::CHASED | bit::URGENT | bit::IDLE | bit::OBSERVED;

/// What flags, an end and attached work have come to.
pub(super) enum Heeded {
    On { is_woken: bool, is_turn_over: bool },
    Now(Next),
}

/// Looks after flags, an end, and attached work.
#[inline(never)]
pub(super) fn heed<A: Actor>(cell: CellPtr, mut woken: bool, turn: &mut Turn<'_>) -> Heeded {
    let header = cell.header();
    let flags = header.flags.take(flag::RUN ^ flag::WORK);
    if flags & flag::LEVEL != 0 {
        level::attend(cell);
    }
    obey(cell, flags);
    if flags & flag::TIMEOUT != 0 {
        // SAFETY: the turn owns the cell.
        woken |= unsafe { timeouts::due(cell) };
    }
    if flags & flag::WAITERS != 0 || header.has(bit::WAITED) {
        others::let_in(cell);
    }
    if flags & flag::SIGNAL != 0 {
        // Raised behind the drain, perhaps: what it stands for is in the inbox, and comes before the next message.
        if woken {
            header.set(bit::POLL);
        }
        return Heeded::Now(Next::Drain);
    }
    if header.has(bit::DOOMED)
        && let Some(next) = wind_down::<A>(cell)
    {
        return Heeded::Now(next);
    }
    match work::attend(cell, turn) {
        work::Round::Broken => Heeded::Now(Next::Drain),
        round => Heeded::On { is_woken: woken, is_turn_over: round == work::Round::TurnOver },
    }
}

/// What comes before the next message, of a process that has no frame.
#[inline(never)]
pub(super) fn before_messages<A: Actor>(cell: CellPtr, turn: &mut Turn<'_>, is_over: bool) -> Next {
    let header = cell.header();
    // SAFETY: the turn owns the cell, and there is no other reference to the cursor.
    let is_idle = is_over && unsafe { cell.cursor() }.is_empty();
    // What is neither waits in no queue of messages.
    if is_idle && !header.has(bit::URGENT | bit::CHILDREN_DOWN) {
        return Next::Leave(Flow::Again);
    }
    if header.has(bit::CHILDREN_DOWN) && header.has(bit::STATE) {
        if header.has(bit::IDLE) {
            // SAFETY: the turn owns the cell.
            unsafe { idle::over(cell) };
        }
        // SAFETY: the turn owns the cell, the state is there and no frame borrows it.
        unsafe { children::deliver(cell) };
        done(cell, Ok(()));
        if header.has(bit::DOOMED | bit::IDLE) {
            return Next::Drain;
        }
    }
    if header.has(bit::CHASED) {
        // SAFETY: the turn owns the cell.
        unsafe { deadlock::give_up_chases(cell) };
    }
    header.clear(bit::YIELDED | bit::POLL | bit::LOOKS | bit::CHASED);
    if header.has(bit::URGENT) {
        // SAFETY: the turn owns the cell; no reference to its cursor or its part is alive.
        unsafe { lane::bring(cell) };
    }
    // SAFETY: the turn owns the cell, and has just drained its inbox.
    if header.has(bit::IDLE) && unsafe { idle::waits(cell) } {
        return at_rest(cell);
    }
    if header.has(bit::OBSERVED) {
        return observed::next_message::<A>(cell, turn);
    }
    Next::Messages
}

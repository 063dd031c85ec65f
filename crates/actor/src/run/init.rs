//! The first turn of a process: its `init`, or the beginning of its body.

use super::{
    Actor, CellPtr, First, How, Node, NonNull, Outcome, bit, donated, done, end, frame, process,
    spawn, suspend,
};

/// The first thing a process does.
#[inline(never)]
pub(super) fn start_init<A: Actor>(cell: CellPtr, node: NonNull<Node>) -> bool {
    cell.note_beginning();
    // SAFETY: the other node in a private FIFO is the one that the cell was spawned with, an `A`'s.
    let (args, ack) = unsafe { spawn::take_init::<A>(cell, node) };
    if const { A::FORM.is_process() } {
        process::started::<A::Msg>(cell, ack);
        // SAFETY: as below.
        return body_began(cell, unsafe {
            frame::start::<A, _>(cell, |cx| process::outcome_of(A::init(args, cx)))
        });
    }
    // SAFETY: the turn owns the cell, there is no frame, and nothing is borrowed but the context.
    let first = unsafe {
        frame::start::<A, _>(cell, |cx| async move {
            let me = ack.as_ref().map(|_| cx.me());
            let state = frame::Inner::new(A::init(args, cx)).await??;
            // The frame runs in turns of the cell's owner, and there is no state yet.
            cell.write_state::<A>(state);
            if let Some((ack, me)) = ack.zip(me) {
                ack.send(Ok(me));
            }
            Ok(())
        })
    };
    match first {
        First::Done(outcome) => {
            init_done(cell, outcome);
            false
        }
        First::Suspended(frame) => suspend(cell, frame, None),
    }
}

/// The body of a process was polled for the first time.
pub(super) fn body_began(cell: CellPtr, first: First) -> bool {
    match first {
        First::Done(outcome) => {
            done(cell, outcome);
            false
        }
        First::Suspended(frame) => donated(cell, frame),
    }
}

pub(super) fn init_done(cell: CellPtr, outcome: Outcome) {
    match outcome {
        Ok(()) => cell.header().clear(bit::INIT),
        // No state, so no `terminate`. The starter is told when the process is gone.
        Err(reason) => return end::doom(cell, reason, How::Failed),
    }
    done(cell, Ok(()));
}

//! The way of a message through a process that is observed, or watched ([`level`]): as in the ordinary loop, but told
//! of, and with whatever the observer has in mind for it.
//!
//! One message per look at the inbox: what others see of the process between two of its messages is exact.

use std::{
    future::{Future, poll_fn},
    mem::discriminant,
    pin::pin,
};

use super::{
    Actor, CellPtr, ExitReason, First, Flow, Next, Node, NonNull, Outcome, Poll, Turn, bit,
    body_began, call, came_to, frame, init_done, level, message, narrow, process, ring, spawn,
    suspend, tag, unread, work,
};
use crate::{
    panic_place,
    simulate::{Delivery, Event, Intervention, Moment, tell_of},
};

/// Handles the next message, if there is one.
pub(super) fn next_message<A: Actor>(cell: CellPtr, turn: &mut Turn<'_>) -> Next {
    // SAFETY: the turn owns the cell; no other reference to the cursor is alive here.
    let Some(node) = (unsafe { cell.cursor() }).pop() else { return super::at_rest(cell) };
    let suspended = handle_one::<A>(cell, node);
    let header = cell.header();
    if turn.tick() && !header.has(bit::DOOMED) {
        return Next::Leave(Flow::Again);
    }
    if suspended && header.has(bit::YIELDED) && !super::ends_in_this_turn::<A>(cell) {
        return Next::Leave(Flow::Again);
    }
    Next::Drain
}

/// As its namesake above.
fn handle_one<A: Actor>(cell: CellPtr, node: NonNull<Node>) -> bool {
    if const { A::FORM.is_process() } {
        return start_init::<A>(cell, node);
    }
    let header = cell.header();
    // SAFETY: popped: the turn's own.
    let vt = unsafe { Node::vt(node) };
    let number = vt.counted.then(|| header.taken.load(super::Ordering::Relaxed));
    header.took(u32::from(vt.counted));
    let (msg, how) = if vt.tag == tag::MESSAGE {
        // SAFETY: nodes of this tag in this cell's inbox carry an `A::Msg`.
        let msg = unsafe { message::take::<A::Msg>(node) };
        // SAFETY: the turn owns the cell; the payload is out.
        unsafe { cell.cursor().retire(node) };
        (msg, if vt.counted { Delivery::Cast } else { Delivery::Own })
    } else if vt.tag == tag::CALL {
        // SAFETY: a request in this cell's inbox is an `A::Msg`; the node is the reply's from here on.
        (unsafe { call::take_request::<A::Msg>(node) }, Delivery::Request)
    } else if vt.tag == tag::DOWN || vt.tag == tag::ITEM {
        // SAFETY: as in `run::take_other`.
        unsafe { work::take_numbered::<A::Msg>(cell, node) };
        return handle_one::<A>(cell, node);
    } else if vt.tag == tag::KEPT {
        // SAFETY: popped under this tag; no reference to the cursor is alive.
        return handle_one::<A>(cell, unsafe { unread::open(cell, node) });
    } else if vt.tag == tag::NARROWED || vt.tag == tag::NARROWED_CALL {
        let how = if vt.tag == tag::NARROWED { Delivery::Cast } else { Delivery::Request };
        // SAFETY: as in `run::handle_narrowed`.
        (unsafe { narrow::take::<A::Msg>(cell, node) }, how)
    } else if vt.tag == tag::TOKEN {
        return ring::take(cell, node).is_some_and(|node| handle_one::<A>(cell, node));
    } else {
        return start_init::<A>(cell, node);
    };
    let name = A::msg_name(&msg);
    tell_delivered::<A::Msg>(cell, variant_of(cell, &msg), how, number, name);
    let request = (how == Delivery::Request).then(|| node.cast());
    level::begins(cell, name);
    // SAFETY: as in `run::handle_one`: the state is there, no frame borrows it, and it outlives this one.
    let first = unsafe {
        frame::start::<A, _>(cell, |cx| {
            watched(cell, Moment::Message { number }, async move {
                frame::Inner::new((*cell.state::<A>()).handle(msg, cx)).await?
            })
        })
    };
    came_to(cell, first, name, request)
}

/// As its namesake above.
fn start_init<A: Actor>(cell: CellPtr, node: NonNull<Node>) -> bool {
    cell.note_beginning();
    // SAFETY: the other node in a private FIFO is the one that the cell was spawned with, an `A`'s.
    let (args, ack) = unsafe { spawn::take_init::<A>(cell, node) };
    if const { A::FORM.is_process() } {
        process::started::<A::Msg>(cell, ack);
        tell_of(cell, || Event::Started { pid: cell.pid() });
        // SAFETY: as below.
        return body_began(cell, unsafe {
            frame::start::<A, _>(cell, |cx| {
                watched(cell, Moment::Init, process::outcome_of(A::init(args, cx)))
            })
        });
    }
    // SAFETY: the turn owns the cell, there is no frame, and nothing is borrowed but the context.
    let first = unsafe {
        frame::start::<A, _>(cell, |cx| {
            watched(cell, Moment::Init, async move {
                let me = ack.as_ref().map(|_| cx.me());
                let state = frame::Inner::new(A::init(args, cx)).await??;
                // The frame runs in turns of the cell's owner, and there is no state yet.
                cell.write_state::<A>(state);
                tell_of(cell, || Event::Started { pid: cell.pid() });
                if let Some((ack, me)) = ack.zip(me) {
                    ack.send(Ok(me));
                }
                Ok(())
            })
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

/// The code of the process, behind what the observer does to it.
async fn watched(cell: CellPtr, moment: Moment, code: impl Future<Output = Outcome>) -> Outcome {
    let mut code = pin!(code);
    let intervention = match cell.shared().observed() {
        Some(observed) => observed.intervention(cell.pid(), moment),
        None => Intervention::Nothing,
    };
    match intervention {
        Intervention::Nothing | Intervention::Full => {}
        Intervention::Delay(time) => cell.shared().scheduler().sleep(time).await,
        Intervention::Crash(text) => {
            // The place of an earlier panic, which somebody has caught, is not that of this one.
            let _ = panic_place::take();
            std::panic::resume_unwind(Box::new(text));
        }
        Intervention::Fail(reason) => return fail(reason),
    }
    poll_fn(|cx| {
        tell_of(cell, || Event::Enters { pid: cell.pid() });
        let polled = code.as_mut().poll(cx);
        let is_suspended = matches!(polled, Poll::Pending);
        tell_of(cell, || Event::Leaves { pid: cell.pid(), is_suspended });
        polled
    })
    .await
}

fn fail(reason: ExitReason) -> Outcome {
    Err(reason)
}

/// Tells the observer of a message, an `M`, that its process takes.
pub(crate) fn tell_delivered<M>(
    cell: CellPtr,
    variant: Option<i128>,
    how: Delivery,
    number: Option<u32>,
    name: Option<&'static str>,
) {
    let message = std::any::type_name::<M>();
    level::takes(cell, name, message, how == Delivery::Request);
    tell_of(cell, || Event::Delivered { pid: cell.pid(), message, variant, how, number });
}

/// The discriminant of an enum's value, if an observer is to be told. The language has no other way to it that works
/// for every type.
pub(crate) fn variant_of<M>(cell: CellPtr, msg: &M) -> Option<i128> {
    cell.shared().observed()?;
    let text = format!("{:?}", discriminant(msg));
    text.strip_prefix("Discriminant(")?.strip_suffix(')')?.parse().ok()
}

//! Simulated runtimes from the inside: for test kits.
//!
//! [`Runtime::simulated`](crate::Runtime::simulated) is enough to run a program from a seed. A test kit wants
//! more: choices of its own ([`Choices`]), each step in its hand ([`Steps`]), an account of what happens
//! ([`Observer`]) and a say in it ([`Intervention`]). `whitebeam-testkit` is made of this; write tests with
//! that.
//!
//! # What it costs others
//!
//! Nothing: a runtime on threads never has an observer. A process of an observed runtime carries a bit that sends
//! its turns past the ordinary loop over messages (`run/observed.rs`); where ends, spawns, signals and timers
//! are told of, they are no hot path.

mod observer;
mod steps;
mod wait;

pub use observer::{
    Delivery, Event, Intervention, Moment, Observer, SignalKind, WaitOver, WaitsFor,
};
pub use steps::Steps;
pub use whitebeam_scheduler::{Choices, Point, Seeded, Waiting};

pub(crate) use observer::Observed;
pub(crate) use wait::{ReplyWait, Wait, gives_way};

use crate::{
    cell::{CellPtr, bit},
    inspect::level,
    shared::Shared,
};

/// Tells the runtime's observer, if it has one.
#[cold]
pub(crate) fn tell(shared: &Shared, event: Event<'_>) {
    if let Some(observed) = shared.observed() {
        observed.tell(shared.scheduler().now(), event);
    }
}

/// As [`tell`], of a process by its owner, who may be tracing it: only the bit of its cell is looked at if nobody
/// observes.
#[inline]
pub(crate) fn tell_of<'a>(cell: CellPtr, event: impl FnOnce() -> Event<'a>) {
    if cell.header().has(bit::OBSERVED) {
        let event = event();
        level::note(cell, &event);
        tell(cell.shared(), event);
    }
}

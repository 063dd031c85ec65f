//! Atomics, cells, threads and locks: std's (and parking_lot's locks), or loom's under `cfg(loom)`.
//!
//! Everything that two threads touch goes through here, in every crate of the workspace
//! (`clippy.toml` disallows std's own elsewhere), so that a loom model sees all of it.
//!
//! Differences from std, which hold on both sides of the switch:
//!
//! * [`cell::UnsafeCell`] lends its pointer to a closure (`with`, `with_mut`), which is how loom
//!   knows when an access begins and ends;
//! * [`Mutex`] and [`Condvar`] know no poison: a panic under a lock leaves the data as it is, and
//!   whoever writes a critical section keeps it right at each point that may unwind;
//! * [`thread_local!`] is the macro of that name, and [`program_wide!`] declares a `static`: a model's threads
//!   and runs each have their own.

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod native;

#[cfg(loom)]
pub use model::{
    Arc, Condvar, Mutex, MutexGuard, atomic, cell, explore, hint, loom, thread, thread_local,
};
#[cfg(not(loom))]
pub use native::{Arc, Condvar, Mutex, MutexGuard, atomic, cell, hint, thread, thread_local};

pub use crate::program_wide;

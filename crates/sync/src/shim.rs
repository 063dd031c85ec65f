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
//!   whoever writes a critical section keeps it right at each point that may unwind.

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod native;

#[cfg(loom)]
pub use model::{Arc, Condvar, Mutex, MutexGuard, atomic, cell, hint, thread};
#[cfg(not(loom))]
pub use native::{Arc, Condvar, Mutex, MutexGuard, atomic, cell, hint, thread};

/// Explores every interleaving of `f` with at most so many preemptions. Each model takes as many as
/// end within some seconds.
#[cfg(all(test, loom))]
pub(crate) fn explore(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

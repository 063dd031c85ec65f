//! The shim over loom. The same names as in `native.rs`; sizes and speed do not matter here.

pub use loom::hint;
pub use loom::sync::{Arc, MutexGuard};
// What the macros expand to.
#[doc(hidden)]
pub use loom;

use std::sync::PoisonError;
use std::time::Duration;

pub mod atomic;

/// Interior mutability that loom watches.
pub mod cell {
    pub use loom::cell::UnsafeCell;
}

/// Threads of the model.
pub mod thread {
    pub use loom::thread::*;

    use std::time::Duration;

    /// As std's. Time does not pass in a model: only an unpark ends it.
    pub fn park_timeout(_: Duration) {
        park();
    }
}

pub use crate::model_thread_local as thread_local;

/// Declares what each thread of a model has for itself.
#[macro_export]
#[doc(hidden)]
macro_rules! model_thread_local {
    ($(#[$meta:meta])* static $name:ident: $type:ty = const $init:block;) => {
        $crate::shim::loom::thread_local! { $(#[$meta])* static $name: $type = $init; }
    };
}

/// Declares a `static` that holds atomics or locks. Each run of a model has it anew.
#[macro_export]
#[doc(hidden)]
macro_rules! program_wide {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $crate::shim::loom::lazy_static! { $(#[$meta])* static ref $name: $type = $init; }
    };
}

/// Steps of a model's run, at most: those of actors take a thousand or two.
const STEPS: usize = 20_000;

/// Explores every interleaving of `f` with at most so many preemptions. Each model takes as many as
/// end within some seconds.
pub fn explore(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = STEPS;
    builder.check(f);
}

/// A mutex that knows no poison.
#[derive(Debug, Default)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex around `value`, unlocked.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// The value, out of a mutex that nobody shares.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    /// The value, through a mutex that nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(loom::sync::Condvar);

impl Condvar {
    /// A condition variable nobody waits on.
    pub fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    /// Gives the lock up, waits for a notification, takes the lock.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`wait`](Self::wait). Time does not pass in a model: it never says that it was up.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let (guard, result) =
            self.0.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner);
        (guard, result.timed_out())
    }

    /// Wakes one waiting thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

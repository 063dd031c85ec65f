//! The shim over std and parking_lot: wrappers that cost nothing.
//!
//! The atomics are types of our own, not re-exports: the lint that keeps std's out of the rest of
//! the workspace sees through a re-export.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the one place that may name them"
)]

pub use parking_lot::MutexGuard;
pub use std::sync::Arc;
pub use std::{hint, thread, thread_local};

use std::time::Duration;

pub mod atomic;

/// Interior mutability with loom's interface.
pub mod cell {
    /// `std::cell::UnsafeCell` that lends its pointer to a closure.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        #[inline]
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// The value, out of a cell that nobody shares.
        #[inline]
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Lends a pointer for reading. It must not be used after `f`.
        #[inline]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Lends a pointer for writing. It must not be used after `f`.
        #[inline]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// Declares a `static` that holds atomics or locks.
#[macro_export]
#[doc(hidden)]
macro_rules! program_wide {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $(#[$meta])*
        static $name: $type = $init;
    };
}

/// A mutex that knows no poison.
///
/// parking_lot's, not std's: one byte, and ThreadSanitizer sees all of it, where std's slow path is
/// compiled without instrumentation.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex around `value`, unlocked.
    pub const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    /// The value, out of a mutex that nobody shares.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }

    /// The lock, if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    /// The value, through a mutex that nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(parking_lot::Condvar);

impl Condvar {
    /// A condition variable nobody waits on.
    pub const fn new() -> Self {
        Self(parking_lot::Condvar::new())
    }

    /// Gives the lock up, waits for a notification (or for nothing: check the condition again),
    /// takes the lock.
    pub fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(&mut guard);
        guard
    }

    /// As [`wait`](Self::wait), for at most `timeout`. The flag says that the time was up.
    pub fn wait_timeout<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let result = self.0.wait_for(&mut guard, timeout);
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

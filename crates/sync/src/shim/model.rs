//! The shim over loom. The same names as in `native.rs`; sizes and speed do not matter here.

pub use loom::sync::{Arc, MutexGuard};
pub use loom::{hint, thread};

use std::sync::PoisonError;
use std::time::Duration;

/// The atomic types the runtime uses.
pub mod atomic {
    pub use loom::sync::atomic::{
        AtomicBool, AtomicIsize, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    use std::fmt;
    use std::marker::PhantomData;
    use std::ptr;

    /// `AtomicPtr` with the bit operations that loom's own lacks.
    ///
    /// It is an integer inside, so that each bit operation is one step of the model. Provenance is
    /// exposed, which no model looks at.
    pub struct AtomicPtr<T> {
        address: AtomicUsize,
        owns: PhantomData<*mut T>,
    }

    #[allow(unsafe_code, reason = "std's AtomicPtr is both as well")]
    // SAFETY: as std's type: the pointer is plain data, and using it is the user's concern.
    unsafe impl<T> Send for AtomicPtr<T> {}
    #[allow(unsafe_code, reason = "std's AtomicPtr is both as well")]
    // SAFETY: all accesses are those of the atomic integer inside.
    unsafe impl<T> Sync for AtomicPtr<T> {}

    impl<T> AtomicPtr<T> {
        /// An atomic that holds `pointer`.
        pub fn new(pointer: *mut T) -> Self {
            Self { address: AtomicUsize::new(pointer.expose_provenance()), owns: PhantomData }
        }

        /// As std's.
        pub fn load(&self, order: Ordering) -> *mut T {
            ptr::with_exposed_provenance_mut(self.address.load(order))
        }

        /// As std's.
        pub fn store(&self, pointer: *mut T, order: Ordering) {
            self.address.store(pointer.expose_provenance(), order);
        }

        /// As std's.
        pub fn swap(&self, pointer: *mut T, order: Ordering) -> *mut T {
            ptr::with_exposed_provenance_mut(self.address.swap(pointer.expose_provenance(), order))
        }

        /// As std's.
        ///
        /// # Errors
        ///
        /// The value that was there, if that is not `current`.
        pub fn compare_exchange(
            &self,
            current: *mut T,
            new: *mut T,
            success: Ordering,
            failure: Ordering,
        ) -> Result<*mut T, *mut T> {
            self.address
                .compare_exchange(current.addr(), new.expose_provenance(), success, failure)
                .map(ptr::with_exposed_provenance_mut)
                .map_err(ptr::with_exposed_provenance_mut)
        }

        /// As std's. It never fails spuriously here: a model would only repeat itself.
        ///
        /// # Errors
        ///
        /// The value that was there, if that is not `current`.
        pub fn compare_exchange_weak(
            &self,
            current: *mut T,
            new: *mut T,
            success: Ordering,
            failure: Ordering,
        ) -> Result<*mut T, *mut T> {
            self.compare_exchange(current, new, success, failure)
        }

        /// As std's.
        pub fn fetch_and(&self, mask: usize, order: Ordering) -> *mut T {
            ptr::with_exposed_provenance_mut(self.address.fetch_and(mask, order))
        }

        /// As std's.
        pub fn fetch_or(&self, bits: usize, order: Ordering) -> *mut T {
            ptr::with_exposed_provenance_mut(self.address.fetch_or(bits, order))
        }
    }

    impl<T> Default for AtomicPtr<T> {
        fn default() -> Self {
            Self::new(ptr::null_mut())
        }
    }

    impl<T> fmt::Debug for AtomicPtr<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_tuple("AtomicPtr").finish()
        }
    }
}

/// Interior mutability that loom watches.
pub mod cell {
    pub use loom::cell::UnsafeCell;
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

//! The atomic types the runtime uses, with loads that loom takes as seriously as stores.
//!
//! Loom (0.7) goes back to the *last* access of an object that an operation depends on, even if
//! that was the same thread's own. So where one thread loads and another loads, then CASes, it
//! never tries the first load after that CAS, and misses what comes of it. Hence each operation
//! here first crosses a second atomic by an RMW, which depends on every other crossing; being
//! relaxed, it orders nothing.

use std::fmt;
use std::marker::PhantomData;
use std::ptr;

use loom::sync::atomic as loom_atomic;

pub use loom::sync::atomic::{Ordering, fence};

/// An atomic of loom's, and the one that is crossed on the way to it.
struct Crossed<A> {
    atomic: A,
    crossing: loom_atomic::AtomicUsize,
}

impl<A> Crossed<A> {
    fn new(atomic: A) -> Self {
        Self { atomic, crossing: loom_atomic::AtomicUsize::new(0) }
    }

    fn cross(&self) -> &A {
        self.crossing.fetch_add(1, Ordering::Relaxed);
        &self.atomic
    }
}

/// The methods that every atomic has.
macro_rules! common {
    ($atomic:ident, $value:ty) => {
        common!($atomic, $value, store);
    };
    ($atomic:ident, $value:ty, $store:ident) => {
        #[doc = concat!("loom's `", stringify!($atomic), "`.")]
        pub struct $atomic(Crossed<loom_atomic::$atomic>);

        impl $atomic {
            /// As std's.
            pub fn new(value: $value) -> Self {
                Self(Crossed::new(loom_atomic::$atomic::new(value)))
            }

            /// As std's.
            pub fn load(&self, order: Ordering) -> $value {
                self.0.cross().load(order)
            }

            /// As std's.
            pub fn store(&self, value: $value, order: Ordering) {
                let _ = self.0.cross().$store(value, order);
            }

            /// As std's.
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.0.cross().swap(value, order)
            }

            /// As std's.
            ///
            /// # Errors
            ///
            /// The value that was there, if that is not `current`.
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.cross().compare_exchange(current, new, success, failure)
            }

            /// As std's. It never fails spuriously here: a model would only repeat itself.
            ///
            /// # Errors
            ///
            /// The value that was there, if that is not `current`.
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            /// As std's.
            ///
            /// # Errors
            ///
            /// The value that was there, if `change` has none for it.
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut value = self.load(failure);
                while let Some(new) = change(value) {
                    match self.compare_exchange(value, new, success, failure) {
                        Ok(value) => return Ok(value),
                        Err(now) => value = now,
                    }
                }
                Err(value)
            }
        }

        impl Default for $atomic {
            fn default() -> Self {
                Self::new(<$value>::default())
            }
        }

        impl fmt::Debug for $atomic {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Without a look at the value, which would be a step of the model.
                f.write_str(stringify!($atomic))
            }
        }
    };
}

macro_rules! operations {
    ($atomic:ident, $value:ty, $($operation:ident)*) => {
        impl $atomic {
            $(
                /// As std's.
                pub fn $operation(&self, value: $value, order: Ordering) -> $value {
                    self.0.cross().$operation(value, order)
                }
            )*
        }
    };
}

macro_rules! integer {
    ($($atomic:ident $value:ty),*) => {
        $(
            common!($atomic, $value);
            operations!($atomic, $value,
                fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
        )*
    };
}

integer!(AtomicU32 u32, AtomicU64 u64, AtomicUsize usize, AtomicIsize isize);

// Small states, stored by one side and CASed by the other. Loom lets a CAS miss a store that it is not ordered with,
// but no swap: so a store is one.
common!(AtomicU8, u8, swap);
operations!(AtomicU8, u8, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);

common!(AtomicBool, bool);
operations!(AtomicBool, bool, fetch_and fetch_or fetch_xor);

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
    /// As std's.
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
        f.write_str("AtomicPtr")
    }
}

//! The atomic types the runtime uses. Each method is std's of the same name.

use std::fmt;
use std::sync::atomic as std_atomic;

pub use std::sync::atomic::Ordering;

/// As std's.
#[inline]
pub fn fence(order: Ordering) {
    std_atomic::fence(order);
}

/// The methods that every atomic has.
macro_rules! common {
    ($atomic:ident $(<$t:ident>)?, $value:ty) => {
        impl $(<$t>)? $atomic $(<$t>)? {
            /// As std's.
            #[inline]
            pub const fn new(value: $value) -> Self {
                Self(std_atomic::$atomic::new(value))
            }

            /// As std's.
            #[inline]
            pub fn load(&self, order: Ordering) -> $value {
                self.0.load(order)
            }

            /// As std's.
            #[inline]
            pub fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, order);
            }

            /// As std's.
            #[inline]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.0.swap(value, order)
            }

            /// As std's: the value, of an atomic that nobody else can reach.
            #[inline]
            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }

            /// As std's.
            #[inline]
            pub const fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }

            /// As std's.
            ///
            /// # Errors
            ///
            /// The value that was there, if `change` has none for it.
            #[inline]
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.0.fetch_update(success, failure, change)
            }

            /// As std's.
            ///
            /// # Errors
            ///
            /// The value that was there, if that is not `current`.
            #[inline]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange(current, new, success, failure)
            }

            /// As std's.
            ///
            /// # Errors
            ///
            /// The value that was there, if that is not `current`, or spuriously.
            #[inline]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange_weak(current, new, success, failure)
            }
        }

        impl $(<$t>)? fmt::Debug for $atomic $(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! operations {
    ($atomic:ty, $value:ty, $result:ty, $($operation:ident)*) => {
        impl $atomic {
            $(
                /// As std's.
                #[inline]
                pub fn $operation(&self, value: $value, order: Ordering) -> $result {
                    self.0.$operation(value, order)
                }
            )*
        }
    };
}

macro_rules! integer {
    ($($atomic:ident $value:ty),*) => {
        $(
            #[doc = concat!("[`std::sync::atomic::", stringify!($atomic), "`].")]
            #[derive(Default)]
            #[repr(transparent)]
            pub struct $atomic(std_atomic::$atomic);
            common!($atomic, $value);
            operations!($atomic, $value, $value,
                fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
        )*
    };
}

integer!(AtomicU8 u8, AtomicU32 u32, AtomicU64 u64, AtomicUsize usize, AtomicIsize isize);

/// [`std::sync::atomic::AtomicBool`].
#[derive(Default)]
#[repr(transparent)]
pub struct AtomicBool(std_atomic::AtomicBool);
common!(AtomicBool, bool);
operations!(AtomicBool, bool, bool, fetch_and fetch_or fetch_xor);

/// [`std::sync::atomic::AtomicPtr`].
#[repr(transparent)]
pub struct AtomicPtr<T>(std_atomic::AtomicPtr<T>);
common!(AtomicPtr<T>, *mut T);

impl<T> AtomicPtr<T> {
    /// As std's.
    #[inline]
    pub fn fetch_and(&self, mask: usize, order: Ordering) -> *mut T {
        self.0.fetch_and(mask, order)
    }

    /// As std's.
    #[inline]
    pub fn fetch_or(&self, bits: usize, order: Ordering) -> *mut T {
        self.0.fetch_or(bits, order)
    }
}

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(std::ptr::null_mut())
    }
}

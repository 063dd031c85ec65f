//! Code of the user's that a panic may not leave: destructors, wakers, constructors of messages.
//!
//! It runs in the middle of the runtime's own work, where unwinding would skip steps that others wait for.

use std::{
    any::Any,
    fmt,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::ExitReason;

/// Runs `f`. A panic in it ends here and is handed back as a reason.
#[cfg(not(loom))]
pub(crate) fn contain<R>(f: impl FnOnce() -> R) -> Result<R, ExitReason> {
    catch_unwind(AssertUnwindSafe(f)).map_err(ExitReason::from_panic)
}

/// Runs `f`. In a loom model a panic is what the model has found, and not to be contained.
#[cfg(loom)]
pub(crate) fn contain<R>(f: impl FnOnce() -> R) -> Result<R, ExitReason> {
    Ok(f())
}

/// Drops what a panic carried, which is the user's as well: its destructor may panic, with a payload whose
/// destructor may panic, and so on. One that goes on for ever is leaked.
pub(crate) fn discard(mut payload: Box<dyn Any + Send>) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}

/// A value of the user's that may be dropped anywhere: a panic in its destructor ends here.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Contained(Some(value))
    }
}

impl<T> Deref for Contained<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("taken when it is dropped, and not before"),
        }
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        if std::mem::needs_drop::<T>() {
            let _ = contain(|| drop(value));
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Contained<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

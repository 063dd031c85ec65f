//! The user's code in a supervisor's own hands: clones, closures and destructors of arguments.
//!
//! A panic in one of them is that child's affair; it must not end the supervisor, and with it all the
//! other children.

use std::panic::{AssertUnwindSafe, catch_unwind};

use whitebeam_actor::ExitReason;

/// Calls the user's code. A panic is handed back as a reason.
///
/// Whatever `f` borrows must be right after a panic in any of the user's code that it calls.
pub(crate) fn call<T>(f: impl FnOnce() -> T) -> Result<T, ExitReason> {
    catch_unwind(AssertUnwindSafe(f)).map_err(ExitReason::from_panic)
}

/// A value of the user's whose destructor may panic: dropped on its own, so that two of them in one
/// collection are not two panics at once, which would abort.
pub(crate) struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Guarded(Some(value))
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }

    pub(crate) fn take(mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            // The panic hook has told of it; nobody is left to be told.
            let _ = call(|| drop(value));
        }
    }
}

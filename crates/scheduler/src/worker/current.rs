//! The worker whose thread this is.
//!
//! One thread-local pointer. It is constant-initialised and has no destructor, so that reading it is one
//! instruction; set for as long as the worker lives, and reached only through a closure, so that no
//! reference outlives it.

#![expect(unsafe_code, reason = "a pointer in a thread-local that lives as long as the worker")]

use std::cell::Cell;
use std::ptr;

use super::Local;
use crate::shared::Shared;

thread_local! {
    /// The [`Local`] of this thread; null on a thread that is no worker.
    static CURRENT: Cell<*const Local> = const { Cell::new(ptr::null()) };
}

/// Calls `f` with this thread's worker, if it is one of `shared`'s.
#[inline]
pub(crate) fn with_current<R>(shared: &Shared, f: impl FnOnce(Option<&Local>) -> R) -> R {
    let current = CURRENT.get();
    // SAFETY: `enter` borrows the worker for as long as it is set, on this thread; it is reset before
    // that borrow ends, and `f` cannot keep the reference.
    let current = unsafe { current.as_ref() };
    f(current.filter(|local| local.is_of(shared)))
}

/// Takes one from the budget of what this thread's worker runs. `false`: none is left. Endless on a thread that is no
/// worker.
pub(crate) fn take_budget() -> bool {
    let current = CURRENT.get();
    // SAFETY: as in `with_current`.
    unsafe { current.as_ref() }.is_none_or(Local::take_budget)
}

/// Sets this thread's worker, until the guard is dropped.
pub(super) fn enter(local: &Local) -> Entered<'_> {
    let before = CURRENT.replace(local);
    debug_assert!(before.is_null(), "a thread is one worker at most");
    Entered { _worker: local }
}

/// Calls `f` as if this thread were no worker's.
pub(super) fn without(local: &Local, f: impl FnOnce()) {
    struct Back(*const Local);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _back = Back(CURRENT.replace(ptr::null()));
    debug_assert!(ptr::eq(_back.0, local), "called by the worker itself");
    f();
}

/// While it lives the thread has a worker. Not `Send`: a [`Local`] is not `Sync`.
pub(super) struct Entered<'a> {
    _worker: &'a Local,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
    }
}

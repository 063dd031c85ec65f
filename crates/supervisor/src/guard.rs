//! The user's code in a supervisor's own hands: clones, closures and destructors of arguments.
//!
//! A panic in one of them is that child's affair; it must not end the supervisor, and with it all the
//! other children.

use std::{
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
};

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
            discard(value);
        }
    }
}

/// A field that holds something of the user's: used as if it stood there plainly, and dropped on its own, as a
/// [`Guarded`] is.
#[derive(Default)]
pub(crate) struct Contained<T: Default>(T);

impl<T: Default> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Contained(value)
    }
}

impl<T: Default> Deref for Contained<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Default> DerefMut for Contained<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Default> Drop for Contained<T> {
    fn drop(&mut self) {
        discard(std::mem::take(&mut self.0));
    }
}

/// Drops a value of the user's. A panic of its destructor ends here.
pub(crate) fn discard<T>(value: T) {
    // The panic hook has told of it; nobody is left to be told.
    let _ = call(|| drop(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Bomb(bool);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 {
                std::panic::panic_any("as the test asked");
            }
        }
    }

    #[test]
    fn of_many_that_panic_each_is_dropped() {
        let bombs = |count: u32| (0..count).map(|_| Bomb(true));
        drop(bombs(3).map(Contained::new).collect::<Vec<_>>());
        drop(bombs(3).map(Guarded::new).collect::<Vec<_>>());
        // While another panic is under way as well.
        let unwinding = call(|| {
            let _bombs: Vec<_> = bombs(3).map(Contained::new).collect();
            drop(Bomb(true));
        });
        assert!(unwinding.is_err());
    }

    #[test]
    fn a_contained_value_is_used_as_if_it_were_plain() {
        let mut text = Contained::new(String::from("a"));
        text.push('b');
        assert_eq!(text.len(), 2);
    }
}

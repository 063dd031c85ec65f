//! Where a panic happened: only a panic hook is told, so one is chained in front of the program's.
//!
//! The hook is set once per process, by the first runtime. It writes the place to a thread-local,
//! for threads that are running an actor's code only, and calls the hook that was there before, so
//! that what the program prints stays as it was. A program that sets its own hook later loses
//! nothing but the place in [`PanicInfo`](crate::PanicInfo).

use std::{cell::RefCell, panic, sync::Once};

use crate::{local, reason::PanicInfo};

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Chains the hook in, the first time it is called.
pub(crate) fn install() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if local::in_actor() {
                let place = info.location().map(PanicInfo::place);
                // No place while the thread's locals are being torn down.
                let _ = PLACE.try_with(|cell| *cell.borrow_mut() = place);
            }
            before(info);
        }));
    });
}

/// The place of the last panic on this thread, once.
pub(crate) fn take() -> Option<String> {
    PLACE.try_with(|cell| cell.borrow_mut().take()).ok().flatten()
}

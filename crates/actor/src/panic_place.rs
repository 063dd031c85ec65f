//! Panics of actors: where they happened, and who tells of them.
//!
//! Only a panic hook is told of the place, so one is chained in front of the program's, once per process, by the
//! first runtime. It writes the place to a thread-local, for threads that are running an actor's code only. A
//! program that sets its own hook later loses nothing but the place in [`PanicInfo`](crate::PanicInfo).
//!
//! # Who tells
//!
//! The hook that was there before is called, so that what the program prints stays as it was; with one
//! exception. If that hook is Rust's own, which prints, and the runtime prints a block for each crash, the message
//! would be there twice. Then it is *held*, and comes to one of these:
//!
//! | what becomes of the panic | the held message |
//! | --- | --- |
//! | it ends the process: it is in the report | is dropped, whether the block is printed or left out |
//! | somebody catches it, in the actor or in the runtime | is printed when the code that was running is done |
//! | another panic comes on the thread before (perhaps the last: of a destructor while it unwinds) | is printed, and so is the other |
//! | the thread ends | is printed |
//!
//! The second costs nothing: what looks for replies that a handler has dropped is sent here as well. Nothing is
//! held if panics abort, if the payload is not text, or if `RUST_BACKTRACE` asks for more than a block has.

use std::{
    cell::{Cell, RefCell},
    io::{Write, stderr},
    panic::{self, PanicHookInfo},
    sync::Once,
};

use crate::{local, reason::PanicInfo};

thread_local! {
    /// The code that runs belongs to an actor, although none runs here.
    static IS_NOTED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// A message that was not printed. It is when this is dropped.
struct Held {
    place: String,
    message: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        let text = format!("\nthread '{name}' panicked at {}:\n{}\n", self.place, self.message);
        // Not by `eprint`: that panics if stderr is closed, and this may be inside of a hook.
        let _ = stderr().lock().write_all(text.as_bytes());
    }
}

/// Chains the hook in, the first time it is called.
pub(crate) fn install() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        let own = panic::take_hook();
        // Rust's hook has no size, so that only the tables are compared, which tell types apart.
        #[allow(
            ambiguous_wide_pointer_comparisons,
            reason = "two tables of one type: held no more"
        )]
        let is_rusts = size_of_val(&*before) == 0 && std::ptr::eq(&*before, &*own);
        let is_brief = std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value == "0");
        let may_hold = is_rusts && is_brief && !cfg!(panic = "abort");
        panic::set_hook(Box::new(move |info| {
            let cell = local::panicking();
            if cell.is_some() || IS_NOTED.try_with(Cell::get).unwrap_or(false) {
                let place = info.location().map(PanicInfo::place);
                // No place while the thread's locals are being torn down.
                let _ = PLACE.try_with(|cell| *cell.borrow_mut() = place);
            }
            let Some(cell) = cell else { return before(info) };
            if !(may_hold && cell.shared().crashes().tells_on_stderr() && hold(info)) {
                before(info);
            }
        }));
    });
}

/// Runs code of an actor's on a thread that runs no actor: where it panics is noted as well.
pub(crate) fn noting<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            let _ = IS_NOTED.try_with(|is_noted| is_noted.set(self.0));
        }
    }
    let _reset = Reset(IS_NOTED.replace(true));
    f()
}

/// Keeps the message, if it is the only one.
fn hold(info: &PanicHookInfo<'_>) -> bool {
    let Ok(earlier) = HELD.try_with(|held| held.borrow_mut().take()) else { return false };
    if earlier.is_some() {
        return false;
    }
    let (Some(place), Some(message)) = (info.location(), info.payload_as_str()) else {
        return false;
    };
    let held = Held { place: PanicInfo::place(place), message: message.to_owned() };
    // Where a look is asked for, there is one.
    local::ask_for_flush() && HELD.try_with(|place| *place.borrow_mut() = Some(held)).is_ok()
}

/// The place of the last panic on this thread, once.
pub(crate) fn take() -> Option<String> {
    PLACE.try_with(|cell| cell.borrow_mut().take()).ok().flatten()
}

/// A report tells of this panic.
pub(crate) fn reported(panic: &PanicInfo) {
    let held = HELD.try_with(|held| held.borrow_mut().take()).ok().flatten();
    if let Some(held) = held {
        let is_it = held.message == panic.message() && Some(&*held.place) == panic.location();
        if is_it {
            // Not printed. Two strings go with it.
            let mut held = std::mem::ManuallyDrop::new(held);
            drop((std::mem::take(&mut held.place), std::mem::take(&mut held.message)));
        }
    }
}

/// Prints the message that is held, if there is one: no report will tell of it.
pub(crate) fn tell_held() {
    let held = HELD.try_with(|held| held.borrow_mut().take());
    drop(held);
}

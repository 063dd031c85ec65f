//! One thread sleeps until another wakes it.
//!
//! std's `thread::park` does the same with a token per thread, which anybody on that thread may take:
//! a handler that parks for its own reasons would eat the scheduler's wake-up. A [`Parker`] is a
//! token of its own, and tells the waker whether it had to enter the kernel.
//!
//! # States
//!
//! ```text
//!            park                       unpark
//!   EMPTY ----------> PARKED    EMPTY -----------> NOTIFIED
//!                       |                             |
//!                       | unpark (and wakes)          | park (returns at once)
//!                       v                             v
//!                    NOTIFIED --park returns-->     EMPTY
//!   PARKED --park_timeout, time is up--> EMPTY
//! ```
//!
//! # Who may write
//!
//! One thread at a time parks (a second one is refused by an assertion in debug builds and merely
//! shares the token otherwise); any thread unparks, any number of times: tokens do not add up.
//!
//! # Orderings
//!
//! | operation | ordering | pairs with | breaks if weaker |
//! | --- | --- | --- | --- |
//! | `unpark`: swap NOTIFIED | Release | `park`: the RMW that takes the token | what was written before `unpark` is not seen after `park` |
//! | `park`: fetch_sub, compare_exchange, swap | Acquire | the swap above | the same |
//!
//! # Why nothing is lost
//!
//! `unpark` comes before `park`'s first RMW: the token is there, and `park` does not sleep. It comes
//! after: the kernel compares the word with PARKED before it sleeps, under the lock that a wake takes
//! as well, so either the compare fails or the wake finds the sleeper. A wake without a token (the
//! kernel's spurious ones) leads back to sleep.
//!
//! # Cost
//!
//! A token that is there: one RMW. `unpark` of a thread that is awake: one RMW, no system call.
//!
//! # Checked by
//!
//! `tests/loom_parker.rs`: a token is never lost, and carries the data before it. On Linux the sleep
//! itself is the kernel's futex; elsewhere, and in the model, a condition variable with the same
//! compare-and-sleep rule.

use std::fmt;
use std::time::Duration;

use crate::shim::atomic::{AtomicU32, Ordering};

#[cfg(test)]
mod tests;

const PARKED: u32 = u32::MAX;
const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;

/// A token that one thread waits for and any thread hands over.
pub struct Parker {
    /// One of the three states. Written by both sides as drawn above.
    state: AtomicU32,
    sleep: system::Sleep,
}

impl Parker {
    /// A parker without a token.
    #[must_use]
    pub fn new() -> Self {
        Parker { state: AtomicU32::new(EMPTY), sleep: system::Sleep::new() }
    }

    /// Waits for a token and takes it.
    pub fn park(&self) {
        if self.begin() {
            return;
        }
        loop {
            self.sleep.wait(&self.state, PARKED, None);
            let taken =
                self.state.compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_ok() {
                return;
            }
        }
    }

    /// Waits for a token, for at most `timeout`. `true` when it got one.
    ///
    /// It may come back a little early without one (a spurious wake-up): look at the clock.
    pub fn park_timeout(&self, timeout: Duration) -> bool {
        if self.begin() {
            return true;
        }
        self.sleep.wait(&self.state, PARKED, Some(timeout));
        // Takes the token if it came meanwhile, and else says that nobody sleeps any more.
        self.state.swap(EMPTY, Ordering::Acquire) == NOTIFIED
    }

    /// Hands the token over. `true` when the parked thread was asleep and the kernel had to be asked.
    pub fn unpark(&self) -> bool {
        if self.state.swap(NOTIFIED, Ordering::Release) == PARKED {
            self.sleep.wake(&self.state);
            return true;
        }
        false
    }

    /// NOTIFIED to EMPTY (`true`), or EMPTY to PARKED: both are one down.
    fn begin(&self) -> bool {
        let before = self.state.fetch_sub(1, Ordering::Acquire);
        debug_assert_ne!(before, PARKED, "two threads wait at one parker");
        before == NOTIFIED
    }
}

/// Asks the kernel to end this thread's timeouts punctually.
///
/// Linux lets a sleep run over by 50 us, to wake several threads at once; a scheduler that sleeps until
/// the next timer passes that on to its user. On other systems this does nothing.
pub fn be_punctual() {
    system::be_punctual();
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Parker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state.load(Ordering::Relaxed) {
            PARKED => "parked",
            NOTIFIED => "notified",
            _ => "empty",
        };
        f.debug_tuple("Parker").field(&state).finish()
    }
}

/// Compare-and-sleep by the kernel.
#[cfg(all(target_os = "linux", not(loom), not(miri)))]
mod system {
    use super::{AtomicU32, Duration};
    use std::ptr;

    #[derive(Debug)]
    pub(super) struct Sleep;

    impl Sleep {
        pub(super) fn new() -> Self {
            Sleep
        }

        /// Sleeps while `word` is `expected`, until a wake or the end of `timeout`. May return
        /// without a reason.
        pub(super) fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) {
            let limit = timeout.and_then(timespec);
            let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the word lives as long as the reference to it, the limit is null or points to
            // a local that outlives the call; the kernel writes to neither.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, expected, limit) };
        }

        /// Wakes the thread that sleeps on `word`.
        pub(super) fn wake(&self, word: &AtomicU32) {
            let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
            let threads: libc::c_int = 1;
            // SAFETY: a wake only uses the address as a key.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, threads) };
        }
    }

    /// What a sleep may run over by on this thread, in nanoseconds; what the hardware needs comes on top.
    const TIMER_SLACK: libc::c_ulong = 1_000;

    pub(super) fn be_punctual() {
        // SAFETY: the call takes integers. It cannot fail on the calling thread; if it did, sleeps would
        // merely run over.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK) };
    }

    /// `None` when the time is too long for the kernel, which then means for ever.
    fn timespec(timeout: Duration) -> Option<libc::timespec> {
        Some(libc::timespec {
            tv_sec: timeout.as_secs().try_into().ok()?,
            tv_nsec: timeout.subsec_nanos().into(),
        })
    }
}

/// Compare-and-sleep by a condition variable.
#[cfg(not(all(target_os = "linux", not(loom), not(miri))))]
mod system {
    use super::{AtomicU32, Duration, Ordering};
    use crate::shim::{Condvar, Mutex};

    #[derive(Debug)]
    pub(super) struct Sleep {
        lock: Mutex<()>,
        woken: Condvar,
    }

    pub(super) fn be_punctual() {}

    impl Sleep {
        pub(super) fn new() -> Self {
            Sleep { lock: Mutex::new(()), woken: Condvar::new() }
        }

        pub(super) fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) {
            let guard = self.lock.lock();
            // Under the lock that `wake` takes: a change before it is seen here, one after it
            // notifies a thread that waits.
            if word.load(Ordering::Relaxed) != expected {
                return;
            }
            match timeout {
                Some(limit) => drop(self.woken.wait_timeout(guard, limit)),
                None => drop(self.woken.wait(guard)),
            }
        }

        pub(super) fn wake(&self, _word: &AtomicU32) {
            drop(self.lock.lock());
            self.woken.notify_one();
        }
    }
}

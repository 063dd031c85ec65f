//! A barrier on all threads of the process, paid by who asks.
//!
//! A Dekker-style handshake needs a full barrier between a store and a load on *both* sides. Where
//! one side runs millions of times a second and the other a few times, Linux lets the rare side pay
//! for both: `membarrier(PRIVATE_EXPEDITED)` interrupts every processor that runs a thread of this
//! process and makes it execute a full barrier. The frequent side then only keeps the compiler from
//! reordering ([`light`]), which costs nothing.
//!
//! # Contract
//!
//! ```text
//! frequent side:  store x; light();  load y
//! rare side:      store y; heavy();  load x
//! ```
//!
//! At least one of the two loads sees the other side's store, as if both sides had a `SeqCst` fence.
//! An interrupt falls between two instructions of the frequent side: before its load of `y`, which
//! then comes after the rare side's store; or after it, and then the barrier makes its earlier store
//! of `x` visible before [`Heavy::heavy`] returns.
//!
//! # Cost
//!
//! `light`: nothing. `heavy`: 3.3 us on the machine of the project with one other thread running, and
//! an interrupt of each processor that runs one of ours. Only for what happens rarely.
//!
//! # Checked by
//!
//! `tests::one_side_sees_the_other`, a litmus test. loom has no model of it: under `cfg(loom)` and on
//! systems without the call [`Heavy::register`] gives `None`, and the user takes its other path.

use crate::shim::atomic::Ordering;

/// The proof that this process may call [`heavy`](Heavy::heavy).
#[derive(Clone, Copy, Debug)]
pub struct Heavy(());

impl Heavy {
    /// Registers the process with the kernel; `None` where there is no such barrier.
    ///
    /// Costs a system call or two, and the first registration while other threads run a few
    /// milliseconds: once per scheduler, not per use.
    #[must_use]
    pub fn register() -> Option<Self> {
        system::register().then_some(Heavy(()))
    }

    /// A full barrier on every running thread of the process, the calling one included. `false`
    /// when the kernel refused after all: then nothing may be concluded.
    #[must_use]
    pub fn heavy(self) -> bool {
        system::heavy()
    }
}

/// The frequent side's half: keeps the compiler from moving memory accesses across.
#[inline(always)]
pub fn light() {
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

#[cfg(all(target_os = "linux", not(loom), not(miri)))]
mod system {
    const NO_FLAGS: libc::c_int = 0;
    const ANY_CPU: libc::c_int = 0;

    fn membarrier(command: libc::c_int) -> libc::c_long {
        // SAFETY: the call takes three integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, NO_FLAGS, ANY_CPU) }
    }

    pub(super) fn register() -> bool {
        let needed = libc::c_long::from(
            libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED
                | libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
        );
        let known = membarrier(libc::MEMBARRIER_CMD_QUERY);
        known >= 0
            && known & needed == needed
            && membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0
    }

    pub(super) fn heavy() -> bool {
        membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0
    }
}

#[cfg(not(all(target_os = "linux", not(loom), not(miri))))]
mod system {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn heavy() -> bool {
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shim::atomic::{AtomicU32, AtomicUsize};
    use crate::shim::{Arc, hint, thread};

    #[derive(Default)]
    struct Litmus {
        round: AtomicUsize,
        done: AtomicUsize,
        x: AtomicU32,
        y: AtomicU32,
        read_by_frequent: AtomicU32,
    }

    /// Store buffering: both sides reading the old value is what the barrier excludes.
    #[test]
    fn one_side_sees_the_other() {
        const ROUNDS: usize = 3_000;
        let Some(barrier) = Heavy::register() else { return };
        let litmus = Arc::new(Litmus::default());

        let frequent = thread::spawn({
            let litmus = Arc::clone(&litmus);
            move || {
                for round in 1..=ROUNDS {
                    while litmus.round.load(Ordering::Acquire) < round {
                        hint::spin_loop();
                    }
                    litmus.x.store(1, Ordering::Relaxed);
                    light();
                    let y = litmus.y.load(Ordering::Relaxed);
                    litmus.read_by_frequent.store(y, Ordering::Relaxed);
                    litmus.done.store(round, Ordering::Release);
                }
            }
        });

        for round in 1..=ROUNDS {
            litmus.x.store(0, Ordering::Relaxed);
            litmus.y.store(0, Ordering::Relaxed);
            litmus.round.store(round, Ordering::Release);
            litmus.y.store(1, Ordering::Relaxed);
            assert!(barrier.heavy());
            let x = litmus.x.load(Ordering::Relaxed);
            while litmus.done.load(Ordering::Acquire) < round {
                hint::spin_loop();
            }
            let y = litmus.read_by_frequent.load(Ordering::Relaxed);
            assert!(x == 1 || y == 1, "both sides read the old value in round {round}");
        }
        frequent.join().unwrap();
    }
}

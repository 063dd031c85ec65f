//! The word of a spare: whether it has a duty, and whom it is for. The protocol is in the [module above](super).
//!
//! ```text
//! 0                     FREE
//! worker + 1, << 1      ON DUTY for that worker
//! the same | RELIEVED
//! ```

use whitebeam_sync::shim::atomic::{AtomicUsize, Ordering};

const FREE: usize = 0;
const RELIEVED: usize = 1;

/// What the watchdog and one spare share.
#[derive(Default)]
pub(crate) struct Spare {
    word: AtomicUsize,
}

impl Spare {
    /// FREE to ON DUTY for `worker`, by the watchdog. `false`: it is not free.
    pub(super) fn call(&self, worker: usize) -> bool {
        // Acquire: pairs with `free`.
        if self.word.load(Ordering::Acquire) != FREE {
            return false;
        }
        // Nobody else writes a word that is FREE.
        self.word.store((worker + 1) << 1, Ordering::Release);
        true
    }

    /// ON DUTY to RELIEVED, by the watchdog.
    pub(super) fn relieve(&self) {
        // Nobody else writes a word that is ON DUTY.
        let duty = self.word.load(Ordering::Relaxed);
        self.word.store(duty | RELIEVED, Ordering::Release);
    }

    /// Whom it is to stand in for, also if it is relieved of that by now.
    pub(crate) fn duty(&self) -> Option<usize> {
        (self.word.load(Ordering::Acquire) >> 1).checked_sub(1)
    }

    pub(crate) fn is_relieved(&self) -> bool {
        self.word.load(Ordering::Relaxed) & RELIEVED != 0
    }

    /// RELIEVED to FREE, by the spare.
    pub(crate) fn free(&self) {
        debug_assert!(self.is_relieved(), "a duty ends when the watchdog says so");
        self.word.store(FREE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_goes_once_round() {
        let spare = Spare::default();
        assert_eq!((spare.duty(), spare.is_relieved()), (None, false));
        assert!(spare.call(0));
        assert!(!spare.call(1), "it is on duty");
        assert_eq!((spare.duty(), spare.is_relieved()), (Some(0), false));
        spare.relieve();
        assert!(!spare.call(1), "it is not yet back");
        assert_eq!((spare.duty(), spare.is_relieved()), (Some(0), true));
        spare.free();
        assert!(spare.call(7));
        assert_eq!(spare.duty(), Some(7));
    }
}

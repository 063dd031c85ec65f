//! The packed word of [`Idle`](super::Idle): how many are there, how many sleep, whether there is a sentinel, who it is.
//!
//! # Layout
//!
//! ```text
//! bit 63 .. 32              31 .. 18              17        16         15 .. 0
//! number of all present     id of the sentinel    NAPPING   SENTINEL   number of sleepers
//! ```
//!
//! The number of active workers is what is left of those present: it needs no bits, and can't disagree. States,
//! rules and reasons are in the [module above](super); this file alone knows the bits.

use std::fmt;

use crate::shim::atomic::{AtomicU64, Ordering};

const SLEEPERS: u64 = 0xffff;
const SENTINEL: u64 = 1 << 16;
const NAPPING: u64 = 1 << 17;
const ID_SHIFT: u32 = 18;
const ID: u64 = u32::MAX as u64 >> ID_SHIFT;
/// One that is present.
const PRESENT: u64 = 1 << PRESENT_SHIFT;
const PRESENT_SHIFT: u32 = 32;
/// What a change of the sentinel leaves as it is.
const COUNTS: u64 = SLEEPERS | u64::MAX << PRESENT_SHIFT;

/// The most workers the word can count and name.
pub const MAX_WORKERS: usize = 1 << (u32::BITS - ID_SHIFT);
const _: () = assert!(MAX_WORKERS <= SLEEPERS as usize, "all of them may sleep");

/// What a sender owes after it made work visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wake {
    /// Nothing: somebody looks, or nobody sleeps.
    Nobody,
    /// Somebody sleeps and nobody looks: make one of them the sentinel.
    Recruit,
    /// The sentinel naps: wake it.
    Call,
}

/// How a sentinel that has found work left its post.
#[must_use]
pub(super) enum Leave {
    /// There is no sentinel now, and so many sleepers.
    Left { sleepers: usize },
    /// It did not leave: others are active and others sleep, so the post must go to a sleeper.
    HandOver,
}

pub(super) struct IdleWord {
    word: AtomicU64,
}

impl IdleWord {
    /// So many are active.
    pub(super) fn new(workers: usize) -> Self {
        IdleWord { word: AtomicU64::new((workers as u64) << PRESENT_SHIFT) }
    }

    /// For a worker of this scheduler: does somebody sleep while nobody looks?
    #[inline]
    pub(super) fn look(&self) -> Wake {
        let word = self.word.load(Ordering::Relaxed);
        if word & SENTINEL == 0 && word & SLEEPERS != 0 { Wake::Recruit } else { Wake::Nobody }
    }

    /// For anybody, after a `SeqCst` fence: the same, or does the one who looks nap?
    ///
    /// Acquire: who reads that it naps also sees what it said about the nap before.
    pub(super) fn look_at_all(&self) -> Wake {
        let word = self.word.load(Ordering::Acquire);
        if word & NAPPING != 0 {
            Wake::Call
        } else if word & SENTINEL == 0 && word & SLEEPERS != 0 {
            Wake::Recruit
        } else {
            Wake::Nobody
        }
    }

    /// ACTIVE to SENTINEL, if there is none.
    pub(super) fn take_post(&self, me: usize) -> bool {
        self.update(|word| (word & SENTINEL == 0).then(|| (word & COUNTS) | post_of(me))).is_ok()
    }

    /// ACTIVE to SLEEPING, if there is a sentinel. Under the lock of the list.
    pub(super) fn sleep(&self) -> bool {
        self.update(|word| (word & SENTINEL != 0).then_some(word + 1)).is_ok()
    }

    /// The sentinel, from searching to napping; gives how many are active.
    pub(super) fn nap(&self) -> usize {
        let word = self.word.fetch_or(NAPPING, Ordering::SeqCst);
        debug_assert_ne!(word & SENTINEL, 0, "only the sentinel naps");
        active(word)
    }

    /// The sentinel, from napping (or called) to searching.
    pub(super) fn rise(&self) {
        self.word.fetch_and(!NAPPING, Ordering::SeqCst);
    }

    /// Claims the wake-up of a napping sentinel, and gives its id.
    pub(super) fn call(&self) -> Option<usize> {
        self.update(|word| (word & NAPPING != 0).then_some(word & !NAPPING)).ok().map(sentinel_of)
    }

    /// SENTINEL to ACTIVE, unless the post must not be vacant.
    pub(super) fn leave(&self) -> Leave {
        let left = self.update(|word| {
            debug_assert_ne!(word & SENTINEL, 0, "only the sentinel leaves the post");
            let must_stay = word & SLEEPERS != 0 && active(word) != 0;
            (!must_stay).then_some(word & COUNTS)
        });
        match left {
            Ok(word) => Leave::Left { sleepers: sleepers(word) },
            Err(_) => Leave::HandOver,
        }
    }

    /// SENTINEL to ACTIVE, and the sleeper `to` to SENTINEL. Under the lock of the list.
    pub(super) fn hand_over(&self, to: usize) {
        let done = self.update(|word| {
            debug_assert_ne!(word & SENTINEL, 0, "only the sentinel hands over");
            (word & SLEEPERS != 0).then(|| ((word & COUNTS) - 1) | post_of(to))
        });
        debug_assert!(done.is_ok(), "the list and the count agree under the lock");
    }

    /// The sleeper `to` to SENTINEL, if there is none. Under the lock of the list.
    pub(super) fn recruit(&self, to: usize) -> bool {
        self.update(|word| {
            let vacant = word & SENTINEL == 0 && word & SLEEPERS != 0;
            vacant.then(|| ((word & COUNTS) - 1) | post_of(to))
        })
        .is_ok()
    }

    /// ABSENT to ACTIVE.
    pub(super) fn join(&self) {
        self.word.fetch_add(PRESENT, Ordering::SeqCst);
    }

    /// ACTIVE to ABSENT.
    pub(super) fn part(&self) {
        let word = self.word.fetch_sub(PRESENT, Ordering::SeqCst);
        debug_assert_ne!(active(word), 0, "only an active one parts");
    }

    /// SLEEPING to ACTIVE. Under the lock of the list.
    pub(super) fn rouse(&self) {
        let word = self.word.fetch_sub(1, Ordering::SeqCst);
        debug_assert_ne!(word & SLEEPERS, 0, "the list and the count agree under the lock");
    }

    pub(super) fn active_workers(&self) -> usize {
        active(self.word.load(Ordering::Relaxed))
    }

    fn update(&self, change: impl FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
        self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change)
    }
}

fn sleepers(word: u64) -> usize {
    (word & SLEEPERS) as usize
}

fn active(word: u64) -> usize {
    let present = (word >> PRESENT_SHIFT) as usize;
    present - sleepers(word) - usize::from(word & SENTINEL != 0)
}

fn post_of(id: usize) -> u64 {
    SENTINEL | (id as u64) << ID_SHIFT
}

fn sentinel_of(word: u64) -> usize {
    (word >> ID_SHIFT & ID) as usize
}

impl fmt::Debug for IdleWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word.load(Ordering::Relaxed);
        f.debug_struct("Idle")
            .field("active", &active(word))
            .field("sleepers", &sleepers(word))
            .field("sentinel", &(word & SENTINEL != 0).then(|| sentinel_of(word)))
            .field("napping", &(word & NAPPING != 0))
            .finish()
    }
}

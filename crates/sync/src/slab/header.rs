//! The word at the start of each slot: who it is, and how many references keep it.
//!
//! ```text
//!   63 ...... 56 55 ............. 32 31 ............... 0
//!  |  SPENT or 0 |     generation    |     references     |
//! ```
//!
//! All shifts and masks of it are in this file.

use std::fmt;

use crate::shim::atomic::{AtomicU64, Ordering};

/// Where in a slot the header lies. The 8 bytes before it are the user's.
pub const HEADER_OFFSET: usize = 8;

/// Bits of a generation.
pub(super) const GENERATION_BITS: u32 = 24;
/// The first generation of a slot: not 0, so that index 0 with generation 0 names nothing.
pub(super) const FIRST: u32 = 1;
/// What stands in place of the generation of a slot that had its last.
pub(super) const SPENT: u32 = 1 << GENERATION_BITS;

const LAST: u32 = SPENT - 1;

/// More references than this are taken as a leak that would overflow into the generation. As far
/// from it as 2^31 threads that increment at once.
const MAX_REFS: u32 = 1 << 31;

/// The word at [`HEADER_OFFSET`] of every slot: generation and references.
///
/// It is an atomic for as long as the slab lives, whatever else happens to the slot, since a stale
/// name may be looked up at any time: never write over it.
#[repr(transparent)]
pub struct SlotHeader {
    word: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<SlotHeader>() == 8);

impl SlotHeader {
    /// The header of a slot that was never used.
    #[cfg(loom)]
    pub(super) fn unused() -> Self {
        Self { word: AtomicU64::new(0) }
    }

    /// One reference more. The caller has one already (borrowed is enough).
    #[inline]
    pub fn acquire(&self) {
        // Relaxed: who hands out a reference orders what it leads to.
        let word = self.word.fetch_add(1, Ordering::Relaxed);
        debug_assert_ne!(refs(word), 0, "no reference to make another from");
        if refs(word) >= MAX_REFS {
            too_many_references();
        }
    }

    /// Gives a reference up. True: it was the last, nobody can get another, and the slot is the
    /// caller's to take down and free. False: the slot may be gone.
    #[inline]
    #[must_use = "who gives the last reference up frees the slot"]
    pub fn release(&self) -> bool {
        // Release: what this reference wrote is seen by who frees.
        let word = self.word.fetch_sub(1, Ordering::Release);
        debug_assert_ne!(refs(word), 0, "released once too often");
        if refs(word) != 1 {
            return false;
        }
        // Acquire: every release before is in the release sequence this reads. (A load, not a
        // fence: ThreadSanitizer understands it.)
        self.word.load(Ordering::Acquire);
        true
    }

    /// The number of references at that moment.
    #[inline]
    pub fn refs(&self) -> u32 {
        refs(self.word.load(Ordering::Relaxed))
    }

    /// The generation of the slot's present, or else of its next life.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        generation(self.word.load(Ordering::Relaxed))
    }

    /// Sets the generation of a slot that nobody refers to.
    #[inline]
    pub(super) fn prepare(&self, generation: u32) {
        self.word.store(pack(generation, 0), Ordering::Relaxed);
    }

    /// Begins a life: from here on the slot can be found by its name.
    #[inline]
    pub(super) fn publish(&self, generation: u32, refs: u32) {
        debug_assert_eq!(self.word.load(Ordering::Relaxed), pack(generation, 0));
        debug_assert!(refs > 0 && refs < MAX_REFS);
        // Release: who finds it sees it initialised. A store does: nobody changes a word
        // without references.
        self.word.store(pack(generation, refs), Ordering::Release);
    }

    /// After a life: makes the name stale. False: that was the slot's last generation.
    #[inline]
    pub(super) fn renew(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        debug_assert_eq!(refs(word), 0, "freed while referred to");
        let next = if generation(word) < LAST { generation(word) + 1 } else { SPENT };
        // Relaxed: with either value, old or new, a lookup finds no references.
        self.word.store(pack(next, 0), Ordering::Relaxed);
        next != SPENT
    }

    /// One reference more, if the slot lives in this generation.
    #[inline]
    pub(super) fn acquire_if(&self, wanted: u32) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if generation(word) != wanted || refs(word) == 0 {
                return false;
            }
            match self.increment(word) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// One reference more, if the slot lives at all.
    #[inline]
    pub(super) fn acquire_if_live(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if refs(word) == 0 {
                return false;
            }
            match self.increment(word) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
    }

    #[inline]
    fn increment(&self, word: u64) -> Result<(), u64> {
        if refs(word) >= MAX_REFS {
            too_many_references();
        }
        // Acquire: pairs with publish, directly or through the RMWs since.
        self.word
            .compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed)
            .map(drop)
    }
}

impl fmt::Debug for SlotHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word.load(Ordering::Relaxed);
        f.debug_struct("SlotHeader")
            .field("generation", &generation(word))
            .field("refs", &refs(word))
            .finish()
    }
}

#[inline]
fn pack(generation: u32, refs: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(refs)
}

#[inline]
fn refs(word: u64) -> u32 {
    word as u32
}

#[inline]
fn generation(word: u64) -> u32 {
    (word >> 32) as u32
}

/// A count that overflowed would free a slot that is referred to.
#[cold]
#[inline(never)]
fn too_many_references() -> ! {
    std::process::abort()
}

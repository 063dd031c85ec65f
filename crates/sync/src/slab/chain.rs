//! Free slots, linked through their first eight bytes.

use std::ptr::{self, NonNull};

/// A list of free slots, last in first out. It owns them.
#[derive(Debug)]
pub(super) struct Chain {
    /// Null when empty. The first eight bytes of each slot point to the next.
    head: *mut u8,
    slots: u32,
}

// SAFETY: a free slot is raw memory, owned by the chain it is in.
unsafe impl Send for Chain {}

impl Chain {
    pub(super) const fn new() -> Self {
        Self { head: ptr::null_mut(), slots: 0 }
    }

    /// Number of slots in it.
    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.slots
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// # Safety
    ///
    /// The slot is free, and the caller gives it away.
    #[inline]
    pub(super) unsafe fn push(&mut self, slot: NonNull<u8>) {
        // SAFETY: a slot is at least 128 bytes, aligned to 16; a free one is its owner's to write.
        unsafe { slot.cast::<*mut u8>().write(self.head) };
        self.head = slot.as_ptr();
        self.slots += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        let slot = NonNull::new(self.head)?;
        // SAFETY: `push` wrote it, and nobody else writes a slot in a chain.
        self.head = unsafe { slot.cast::<*mut u8>().read() };
        self.slots -= 1;
        Some(slot)
    }

    /// Shows each slot, from the one that was freed last.
    pub(super) fn for_each(&self, mut f: impl FnMut(NonNull<u8>)) {
        let mut at = self.head;
        while let Some(slot) = NonNull::new(at) {
            f(slot);
            // SAFETY: `push` wrote it, and nobody else writes a slot in a chain.
            at = unsafe { slot.cast::<*mut u8>().read() };
        }
    }

    /// All of it, leaving an empty chain.
    #[inline]
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new())
    }
}

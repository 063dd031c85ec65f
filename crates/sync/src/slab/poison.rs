//! Tells AddressSanitizer which slots are free. It can't know by itself: the slab's memory is its own.
//!
//! Only in builds with `--cfg whitebeam_asan` beside `-Zsanitizer=address`, as `ci/sanitizers.sh` makes
//! them. Closed is what nobody may touch in a free slot: all but the user's first bytes, which link the free
//! ones, and the word, which stale names lead to.

use std::ptr::NonNull;

use super::Class;

/// The slot was given to a user.
#[inline]
pub(super) fn open(slot: NonNull<u8>, class: Class) {
    mark(slot, class, false);
}

/// The slot is free.
#[inline]
pub(super) fn close(slot: NonNull<u8>, class: Class) {
    mark(slot, class, true);
}

#[cfg(not(whitebeam_asan))]
#[inline]
fn mark(_slot: NonNull<u8>, _class: Class, _is_closed: bool) {}

#[cfg(whitebeam_asan)]
fn mark(slot: NonNull<u8>, class: Class, is_closed: bool) {
    /// The first bytes and the word.
    const KEPT: usize = super::HEADER_OFFSET + 8;
    unsafe extern "C" {
        fn __asan_poison_memory_region(at: *const u8, size: usize);
        fn __asan_unpoison_memory_region(at: *const u8, size: usize);
    }
    let (at, size) = (slot.as_ptr().wrapping_byte_add(KEPT), class.size() - KEPT);
    let mark = if is_closed { __asan_poison_memory_region } else { __asan_unpoison_memory_region };
    // SAFETY: bytes of a slot that is mapped; the functions write to the sanitizer's own memory only.
    unsafe { mark(at, size) };
}

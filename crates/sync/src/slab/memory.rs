//! Where regions come from: `mmap` on Unix, the allocator elsewhere (and under Miri and loom).
//!
//! A region is zeroed and aligned to its size, so that a slot's region is found by masking.

use std::ptr::NonNull;

use super::region::REGION_BYTES;

#[cfg(all(unix, not(miri), not(loom)))]
pub(super) use mapped::{give_back, map, unmap};

#[cfg(not(all(unix, not(miri), not(loom))))]
pub(super) use allocated::{give_back, map, unmap};

/// Whether a region may be backed by huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pages {
    /// Small pages only: the first region of a class, of which a small runtime uses little.
    Small,
    /// Huge pages where the system has them: a first touch costs a quarter.
    Huge,
}

#[cfg(all(unix, not(miri), not(loom)))]
mod mapped {
    use super::{NonNull, Pages, REGION_BYTES};

    /// The part at the start of a region that is kept: the page with the region's header.
    const KEPT: usize = 4096;

    /// A new region. None: the system gives no more.
    pub(in super::super) fn map(pages: Pages) -> Option<NonNull<u8>> {
        let region = match mmap(REGION_BYTES)? {
            region if region.addr().get().is_multiple_of(REGION_BYTES) => region,
            elsewhere => {
                munmap(elsewhere, REGION_BYTES);
                map_and_cut()?
            }
        };
        #[cfg(target_os = "linux")]
        {
            let advice = match pages {
                Pages::Small => libc::MADV_NOHUGEPAGE,
                Pages::Huge => libc::MADV_HUGEPAGE,
            };
            // A kernel without huge pages refuses, which is as good.
            madvise(region, REGION_BYTES, advice);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = pages;
        Some(region)
    }

    /// Maps twice the size and cuts the aligned half out.
    fn map_and_cut() -> Option<NonNull<u8>> {
        let start = mmap(2 * REGION_BYTES)?;
        let before = start.addr().get().wrapping_neg() % REGION_BYTES;
        // SAFETY: `before` is less than half of what was mapped.
        let region = unsafe { start.byte_add(before) };
        // SAFETY: the region ends inside or at the end of what was mapped.
        let end = unsafe { region.byte_add(REGION_BYTES) };
        if before != 0 {
            munmap(start, before);
        }
        if before != REGION_BYTES {
            munmap(end, REGION_BYTES - before);
        }
        Some(region)
    }

    /// Gives a region back for good.
    ///
    /// # Safety
    ///
    /// It came from [`map`], and nobody uses it any more.
    pub(in super::super) unsafe fn unmap(region: NonNull<u8>) {
        munmap(region, REGION_BYTES);
    }

    /// Gives the memory of a region back except for its header's page, and says how many bytes
    /// that was. It reads as zero from here on.
    ///
    /// # Safety
    ///
    /// It came from [`map`], and what is in its slots is not needed any more.
    pub(in super::super) unsafe fn give_back(region: NonNull<u8>) -> usize {
        let length = REGION_BYTES - KEPT;
        // SAFETY: inside the region.
        let body = unsafe { region.byte_add(KEPT) };
        if madvise(body, length, libc::MADV_DONTNEED) { length } else { 0 }
    }

    fn mmap(bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory
        // that is in use.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        NonNull::new(start.cast())
    }

    fn munmap(start: NonNull<u8>, bytes: usize) {
        // SAFETY: each caller passes pages that it mapped and that nobody uses. (A failure leaves
        // them mapped.)
        let result = unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
        debug_assert_eq!(result, 0);
    }

    fn madvise(start: NonNull<u8>, bytes: usize, advice: libc::c_int) -> bool {
        // SAFETY: the pages are a region's; the advices used change no content but for
        // `MADV_DONTNEED`, whose caller promises that the content is not needed.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, advice) == 0 }
    }
}

#[cfg(not(all(unix, not(miri), not(loom))))]
mod allocated {
    use super::{NonNull, Pages, REGION_BYTES};
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    const LAYOUT: Layout = match Layout::from_size_align(REGION_BYTES, REGION_BYTES) {
        Ok(layout) => layout,
        Err(_) => panic!("a region's size is a power of two"),
    };

    /// A new region. None: out of memory.
    pub(in super::super) fn map(_: Pages) -> Option<NonNull<u8>> {
        // SAFETY: the layout is not empty.
        NonNull::new(unsafe { alloc_zeroed(LAYOUT) })
    }

    /// Gives a region back for good.
    ///
    /// # Safety
    ///
    /// It came from [`map`], and nobody uses it any more.
    pub(in super::super) unsafe fn unmap(region: NonNull<u8>) {
        // SAFETY: `map` allocated it with this layout.
        unsafe { dealloc(region.as_ptr(), LAYOUT) };
    }

    /// An allocator takes no part of an allocation back.
    ///
    /// # Safety
    ///
    /// None here; the mapped variant has some.
    pub(in super::super) unsafe fn give_back(_: NonNull<u8>) -> usize {
        0
    }
}

//! A region: 2 MiB of slots of one class behind a header, aligned to its size.
//!
//! ```text
//!  0           HEADER_BYTES
//!  | header     | slot 0 | slot 1 | ...                    | slot capacity-1 | rest |
//! ```
//!
//! A slot's pointer leads to its header by masking, which is how an index is made of a pointer; the
//! region table leads from an index to the region. A region keeps its class for good: a stale name
//! must always find the word of a slot, never the middle of one.

use std::ptr::NonNull;

use super::class::{Class, quotient};
use super::header::{FIRST, HEADER_OFFSET, SlotHeader};
use super::memory::{self, Pages};
use crate::shim::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Size and alignment of a region: that of a huge page.
pub(super) const REGION_BYTES: usize = if cfg!(loom) { 2 << 10 } else { 2 << 20 };

/// Room for the header; a multiple of 64, so that slots of 128 bytes share no line of 64.
const HEADER_BYTES: usize = if cfg!(loom) { 1024 } else { 128 };

/// Bits of a slot's number in an index. The smallest class has 16,383 slots a region.
pub(super) const SLOT_BITS: u32 = 14;
/// Bits of a region's number in an index.
pub(super) const REGION_BITS: u32 = 14;

const _: () = assert!((REGION_BYTES - HEADER_BYTES) / 128 <= 1 << SLOT_BITS);
const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);

/// The header of a region.
#[repr(C, align(64))]
struct Header {
    /// Read by each alloc and free of a worker, written when the region is made (`user`: when the
    /// owner says who it is).
    fixed: Fixed,
    /// Written now and then, under the lock of the class.
    moving: Moving,
}

#[repr(C, align(64))]
struct Fixed {
    user: AtomicPtr<()>,
    /// The number of its slot 0 as an index.
    base: u32,
    class: Class,
    size: u32,
    /// For `quotient`.
    reciprocal: u32,
    capacity: u32,
}

#[repr(C, align(64))]
struct Moving {
    /// Slots from here on were not given out since the region was made or trimmed.
    carved: AtomicU32,
    /// Slots that had their last generation. Written by whoever frees.
    spent: AtomicU32,
    /// Generations of all slots when the region was trimmed: an array of `capacity`. Null before.
    saved: AtomicPtr<u32>,
}

/// A region that is mapped, for as long as the slab lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region(NonNull<Header>);

// SAFETY: a region is shared by all threads: its header is atomics and constants, and slots are
// handed from thread to thread by the slab's protocol.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Maps a region. None: out of memory.
    pub(super) fn map(number: u32, class: Class, user: *mut (), pages: Pages) -> Option<Self> {
        let size = class.size();
        let header = memory::map(pages)?.cast::<Header>();
        let capacity = ((REGION_BYTES - HEADER_BYTES) / size) as u32;
        // SAFETY: just mapped, aligned, large enough, nobody else's.
        unsafe {
            header.write(Header {
                fixed: Fixed {
                    user: AtomicPtr::new(user),
                    base: number << SLOT_BITS,
                    class,
                    size: size as u32,
                    reciprocal: class.reciprocal(),
                    capacity,
                },
                moving: Moving {
                    carved: AtomicU32::new(0),
                    spent: AtomicU32::new(0),
                    saved: AtomicPtr::new(std::ptr::null_mut()),
                },
            });
        }
        let region = Self(header);
        // Zeroed memory is a word of generation 0 without references; loom's words are more.
        #[cfg(loom)]
        for slot in 0..capacity {
            let word = region.slot(slot).as_ptr().wrapping_add(HEADER_OFFSET);
            // SAFETY: inside the region, nobody else's yet, aligned to 8.
            unsafe { word.cast::<SlotHeader>().write(SlotHeader::unused()) };
        }
        Some(region)
    }

    /// Unmaps it.
    ///
    /// # Safety
    ///
    /// Nobody uses the region or a slot of it any more.
    pub(super) unsafe fn unmap(self) {
        let saved = self.moving().saved.load(Ordering::Relaxed);
        if let Some(saved) = NonNull::new(saved) {
            let saved = NonNull::slice_from_raw_parts(saved, self.capacity() as usize);
            // SAFETY: `save_generations` leaked a box of this length, once.
            drop(unsafe { Box::from_raw(saved.as_ptr()) });
        }
        // SAFETY: nobody uses it, says the caller.
        unsafe { memory::unmap(self.0.cast()) };
    }

    /// The region a slot lies in.
    ///
    /// # Safety
    ///
    /// `slot` points to a slot of a slab that lives, with the provenance the slab gave it.
    #[inline]
    pub(super) unsafe fn of(slot: NonNull<u8>) -> Self {
        let header = slot.as_ptr().map_addr(|address| address & !(REGION_BYTES - 1));
        // SAFETY: no region is mapped at address 0.
        Self(unsafe { NonNull::new_unchecked(header) }.cast())
    }

    /// A region out of the table.
    ///
    /// # Safety
    ///
    /// The pointer came from [`as_ptr`](Self::as_ptr) of a region that is mapped, or is null.
    #[inline]
    pub(super) unsafe fn from_ptr(region: *mut ()) -> Option<Self> {
        NonNull::new(region.cast()).map(Self)
    }

    #[inline]
    pub(super) fn as_ptr(self) -> *mut () {
        self.0.as_ptr().cast()
    }

    #[inline]
    fn fixed<'a>(self) -> &'a Fixed {
        // SAFETY: regions are mapped, and headers written, for as long as a `Region` is used.
        unsafe { &(*self.0.as_ptr()).fixed }
    }

    #[inline]
    fn moving<'a>(self) -> &'a Moving {
        // SAFETY: as in `fixed`.
        unsafe { &(*self.0.as_ptr()).moving }
    }

    #[inline]
    pub(super) fn class(self) -> Class {
        self.fixed().class
    }

    #[inline]
    pub(super) fn capacity(self) -> u32 {
        self.fixed().capacity
    }

    /// The region's place in the table.
    #[inline]
    pub(super) fn number(self) -> u32 {
        self.fixed().base >> SLOT_BITS
    }

    #[inline]
    pub(super) fn user(self) -> *mut () {
        // Acquire: pairs with `set_user`, for what the pointer leads to.
        self.fixed().user.load(Ordering::Acquire)
    }

    pub(super) fn set_user(self, user: *mut ()) {
        self.fixed().user.store(user, Ordering::Release);
    }

    /// The slot of this number, which is below the capacity.
    #[inline]
    pub(super) fn slot(self, number: u32) -> NonNull<u8> {
        debug_assert!(number < self.capacity());
        let offset = HEADER_BYTES + number as usize * self.fixed().size as usize;
        // SAFETY: below the capacity, hence inside the region.
        unsafe { self.0.cast::<u8>().byte_add(offset) }
    }

    /// The slot of this region that begins at `address`, if one does.
    pub(super) fn slot_from(self, address: usize) -> Option<NonNull<u8>> {
        let offset = address.checked_sub(self.0.addr().get() + HEADER_BYTES)?;
        let number = u32::try_from(offset / self.fixed().size as usize).ok()?;
        let slot = (number < self.carved()).then(|| self.slot(number))?;
        (slot.addr().get() == address).then_some(slot)
    }

    /// The number of a slot of this region.
    #[inline]
    pub(super) fn number_of(self, slot: NonNull<u8>) -> u32 {
        let offset = (slot.addr().get() & (REGION_BYTES - 1)) - HEADER_BYTES;
        let number = quotient(offset as u32, self.fixed().reciprocal);
        debug_assert_eq!(self.slot(number), slot);
        number
    }

    /// The index of a slot of this region.
    #[inline]
    pub(super) fn index_of(self, slot: NonNull<u8>) -> u32 {
        self.fixed().base + self.number_of(slot)
    }

    /// Slots below this number were given out.
    #[inline]
    pub(super) fn carved(self) -> u32 {
        // Acquire: a walker that sees it sees the header; slots are atomics anyway.
        self.moving().carved.load(Ordering::Acquire)
    }

    /// Written under the lock of the class only.
    pub(super) fn set_carved(self, carved: u32) {
        self.moving().carved.store(carved, Ordering::Release);
    }

    /// Slots that had their last generation.
    pub(super) fn spent(self) -> u32 {
        // Acquire: pairs with `spend`, for the words of the spent slots.
        self.moving().spent.load(Ordering::Acquire)
    }

    /// One slot had its last generation.
    #[cold]
    pub(super) fn spend(self) {
        self.moving().spent.fetch_add(1, Ordering::Release);
    }

    /// The generation of a slot that is given out for the first time since the region was made or
    /// trimmed.
    #[inline]
    pub(super) fn first_generation(self, number: u32) -> u32 {
        // Relaxed: trim wrote it before it released the lock that this slot came through.
        match NonNull::new(self.moving().saved.load(Ordering::Relaxed)) {
            None => FIRST,
            Some(saved) => {
                // SAFETY: the array is as long as the region has slots.
                let entry = unsafe { saved.add(number as usize) };
                // SAFETY: it is not written while a slot is given out: trim owns all of them then.
                unsafe { entry.read() }
            }
        }
    }

    /// Saves the generations, gives the memory of the slots back and says how many bytes that
    /// was. From here on the region can be carved anew.
    ///
    /// # Safety
    ///
    /// Every slot of the region is spent, or free and the caller's, who forgets it.
    pub(super) unsafe fn retire(self) -> usize {
        self.save_generations();
        self.set_carved(0);
        // SAFETY: no slot is in use. Stale names may still look at words: they find no references,
        // before and after.
        unsafe { memory::give_back(self.0.cast()) }
    }

    /// Writes the generations of all slots down, outside the region.
    fn save_generations(self) {
        let is_first = self.moving().saved.load(Ordering::Relaxed).is_null();
        if is_first {
            let saved = vec![FIRST; self.capacity() as usize].into_boxed_slice();
            let saved = Box::leak(saved).as_mut_ptr();
            self.moving().saved.store(saved, Ordering::Relaxed);
        }
        let saved = self.moving().saved.load(Ordering::Relaxed);
        for number in 0..self.capacity() {
            // SAFETY: a slot of a region that is mapped.
            let generation = unsafe { header(self.slot(number)) }.generation();
            // 0: not used since the region was made or trimmed, and what was saved then is right.
            if generation != 0 {
                // SAFETY: the array is as long as the region has slots.
                let entry = unsafe { saved.add(number as usize) };
                // SAFETY: the slots are the caller's, so nobody reads the array.
                unsafe { entry.write(generation) };
            }
        }
    }
}

/// The header of a slot.
///
/// # Safety
///
/// `slot` points to a slot of a slab that lives for as long as the borrow is used.
#[inline]
pub(super) unsafe fn header<'a>(slot: NonNull<u8>) -> &'a SlotHeader {
    // SAFETY: inside the slot.
    let header = unsafe { slot.byte_add(HEADER_OFFSET) };
    // SAFETY: the word of a slot is an atomic, whatever the slot is used for.
    unsafe { header.cast::<SlotHeader>().as_ref() }
}

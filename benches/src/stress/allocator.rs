//! The global allocator, which can count what is allocated.
//!
//! Off, it costs each allocation a load of a line that nobody writes, so that the figures of the other commands
//! stay those of the allocator inside. On, each thread adds to one of some shards; a total is exact when no
//! thread is in the midst of an allocation, which is so for what is compared: the rest of the process is at rest.
//!
//! It is never switched off again: what is compared are two totals after it was switched on.
#![expect(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

/// Passes everything on to the allocator inside.
#[derive(Debug)]
pub(crate) struct Counting<A>(pub(crate) A);

/// What is allocated, less what was freed, since counting began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Blocks of memory.
    pub(crate) blocks: i64,
    /// Their bytes, as they were asked for.
    pub(crate) bytes: i64,
}

/// More than there are threads on most days: two on one shard only cost time.
const SHARDS: usize = 64;

#[repr(align(128))]
struct Shard {
    blocks: AtomicI64,
    bytes: AtomicI64,
}

static ON: AtomicBool = AtomicBool::new(false);
static ALL: [Shard; SHARDS] =
    [const { Shard { blocks: AtomicI64::new(0), bytes: AtomicI64::new(0) } }; SHARDS];
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's shard, and [`SHARDS`] until it has one. Without a destructor: memory is freed to the end of
    /// a thread's life.
    static MINE: Cell<usize> = const { Cell::new(SHARDS) };
}

/// Counts from now on.
pub(crate) fn count_from_now_on() {
    ON.store(true, Ordering::SeqCst);
}

/// What is held now.
pub(crate) fn held() -> Held {
    ALL.iter().fold(Held::default(), |held, shard| Held {
        blocks: held.blocks + shard.blocks.load(Ordering::SeqCst),
        bytes: held.bytes + shard.bytes.load(Ordering::SeqCst),
    })
}

#[cold]
fn count(blocks: i64, bytes: i64) {
    let shard = MINE.get();
    let shard = if shard < SHARDS {
        shard
    } else {
        let mine = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        MINE.set(mine);
        mine
    };
    ALL[shard].blocks.fetch_add(blocks, Ordering::Relaxed);
    ALL[shard].bytes.fetch_add(bytes, Ordering::Relaxed);
}

/// A layout's size, signed: no layout is larger than `isize::MAX`.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: every call goes to the allocator inside with the very same arguments; counting allocates nothing and
// does not unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word.
        let memory = unsafe { self.0.alloc(layout) };
        if ON.load(Ordering::Relaxed) && !memory.is_null() {
            count(1, signed(layout.size()));
        }
        memory
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word.
        let memory = unsafe { self.0.alloc_zeroed(layout) };
        if ON.load(Ordering::Relaxed) && !memory.is_null() {
            count(1, signed(layout.size()));
        }
        memory
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if ON.load(Ordering::Relaxed) {
            count(-1, -signed(layout.size()));
        }
        // SAFETY: the caller's word.
        unsafe { self.0.dealloc(memory, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's word.
        let moved = unsafe { self.0.realloc(memory, layout, size) };
        if ON.load(Ordering::Relaxed) && !moved.is_null() {
            count(0, signed(size) - signed(layout.size()));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_or_grown_is_counted_as_it_was_asked_for() {
        // Not the process's own: other tests allocate at the same time, but none in this much.
        const MUCH: usize = 1 << 40;
        struct Nowhere;
        // SAFETY: nothing is ever used: the test looks at the counts alone.
        unsafe impl GlobalAlloc for Nowhere {
            unsafe fn alloc(&self, _: Layout) -> *mut u8 {
                std::ptr::dangling_mut()
            }
            unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
            unsafe fn realloc(&self, memory: *mut u8, _: Layout, _: usize) -> *mut u8 {
                memory
            }
        }
        let much = || held().bytes >> 39;
        count_from_now_on();
        let (allocator, layout) =
            (Counting(Nowhere), Layout::from_size_align(MUCH, 1).expect("a layout"));
        let before = much();
        // SAFETY: the layout has a size.
        let memory = unsafe { allocator.alloc(layout) };
        assert_eq!(much(), before + 2);
        // SAFETY: allocated above with this layout.
        let memory = unsafe { allocator.realloc(memory, layout, 2 * MUCH) };
        assert_eq!(much(), before + 4);
        let layout = Layout::from_size_align(2 * MUCH, 1).expect("a layout");
        // SAFETY: as above, and grown to this layout.
        unsafe { allocator.dealloc(memory, layout) };
        assert_eq!(much(), before);
    }
}

//! What all cells, handles and workers of one runtime share.
//!
//! # Who keeps it
//!
//! Every [`Handle`](crate::Handle) counts one reference, and all the cells together one more: cells
//! follow a plain pointer to it (the slab's user pointer). That one is released when the runtime has
//! stopped and the last cell is freed, which may be long after: an `ActorRef` outlives its runtime.
#![expect(unsafe_code, reason = "cells follow a plain pointer to this")]

use std::sync::{Arc, OnceLock};

use whitebeam_scheduler::Handle as SchedulerHandle;
use whitebeam_sync::{
    shim::{Mutex, atomic::{AtomicBool, AtomicU64, Ordering}},
    slab::Slab,
};

use crate::{
    Pid,
    cell::{CellPtr, CellRef},
    local,
    names::Names,
    shutdown::Countdown,
    spawn,
    timeouts::Timeouts,
    timer::Timers,
};

/// See the module's text.
pub(crate) struct Shared {
    scheduler: OnceLock<SchedulerHandle>,
    slab: Slab,
    tag: u16,
    /// No process is spawned any more.
    closing: AtomicBool,
    names: Names,
    timeouts: Arc<Timeouts>,
    timers: Timers,
    countdown: Countdown,
    /// Numbers the monitors of who is no process.
    watches: AtomicU64,
    /// An address for spawns that were refused: a process that has ended.
    nobody: OnceLock<CellRef>,
    /// Cells that are still allocated, once the runtime has stopped.
    left: Mutex<Option<usize>>,
}

/// Tags of the runtimes that are alive in this program: what tells their pids apart.
///
/// The one piece of state that runtimes share; it decides nothing but the numbers in pids.
static TAGS: Mutex<Tags> = Mutex::new(Tags { used: [0; TAG_WORDS], next: 0 });
const TAG_WORDS: usize = (Pid::MAX_TAG as usize + 1) / 64;

struct Tags {
    used: [u64; TAG_WORDS],
    /// Where to look first, so that a tag is used again as late as possible.
    next: u16,
}

impl Tags {
    fn take(&mut self) -> Option<u16> {
        for step in 0..Pid::MAX_TAG {
            let tag = (self.next + step) % Pid::MAX_TAG + 1;
            let (word, bit) = (usize::from(tag / 64), 1 << (tag % 64));
            if self.used[word] & bit == 0 {
                self.used[word] |= bit;
                self.next = tag % Pid::MAX_TAG;
                return Some(tag);
            }
        }
        None
    }

    fn give_back(&mut self, tag: u16) {
        self.used[usize::from(tag / 64)] &= !(1 << (tag % 64));
    }
}

impl Shared {
    /// A runtime without its scheduler. `None`: no tag is left.
    pub(crate) fn new() -> Option<Arc<Self>> {
        let tag = TAGS.lock().take()?;
        let shared = Arc::new(Shared {
            scheduler: OnceLock::new(),
            slab: Slab::new(),
            tag,
            closing: AtomicBool::new(false),
            names: Names::default(),
            timeouts: Timeouts::new(),
            timers: Timers::new(),
            countdown: Countdown::default(),
            watches: AtomicU64::new(0),
            nobody: OnceLock::new(),
            left: Mutex::new(None),
        });
        shared.slab.set_user(Arc::as_ptr(&shared).cast());
        shared.timeouts.attach(Arc::downgrade(&shared));
        shared.timers.attach(Arc::downgrade(&shared));
        // The reference of the cells, released by `cells_gone`.
        std::mem::forget(Arc::clone(&shared));
        Some(shared)
    }

    pub(crate) fn set_scheduler(&self, handle: SchedulerHandle) {
        let _ = self.scheduler.set(handle);
    }

    #[inline]
    pub(crate) fn scheduler(&self) -> &SchedulerHandle {
        match self.scheduler.get() {
            Some(handle) => handle,
            None => unreachable!("set before anything is spawned"),
        }
    }

    pub(crate) fn slab(&self) -> &Slab {
        &self.slab
    }

    pub(crate) fn tag(&self) -> u16 {
        self.tag
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(crate) fn countdown(&self) -> &Countdown {
        &self.countdown
    }

    /// A number for a monitor of who is no process.
    pub(crate) fn next_watch(&self) -> u64 {
        self.watches.fetch_add(1, Ordering::Relaxed)
    }

    /// A counted reference, from a plain one that a cell has.
    pub(crate) fn arc(&self) -> Arc<Self> {
        let shared: *const Shared = self;
        // SAFETY: a `Shared` is only ever made inside an Arc, and is alive: `self`.
        unsafe { Arc::increment_strong_count(shared) };
        // SAFETY: as above; this takes the count just added.
        unsafe { Arc::from_raw(shared) }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// The process of this name, alive or ended, if its cell is still there.
    pub(crate) fn resolve(&self, pid: Pid) -> Option<CellRef> {
        if pid.tag() != self.tag {
            return None;
        }
        let slot = self.slab.resolve(pid.index(), pid.generation()).ok()?;
        // SAFETY: a live slot is an initialised cell; `resolve` took a reference.
        Some(CellRef::adopt(unsafe { CellPtr::new(slot.cast()) }))
    }

    /// The cell in a slot that the caller knows to be allocated.
    pub(crate) fn cell_at(&self, pid: Pid) -> CellPtr {
        match self.slab.slot_at(pid.index()) {
            // SAFETY: an initialised cell that is kept, by the caller's word.
            Some(slot) => unsafe { CellPtr::new(slot.cast()) },
            None => unreachable!("a parent's cell is kept for its children"),
        }
    }

    /// Meets each process that lives throughout the walk.
    pub(crate) fn walk(&self, mut f: impl FnMut(CellRef)) {
        let mut from = Some(0);
        while let Some(at) = from {
            from = self.slab.for_each_live(at, 4096, |slot| {
                // SAFETY: as in `resolve`.
                f(CellRef::adopt(unsafe { CellPtr::new(slot.cast()) }));
            });
        }
    }

    /// An address that nobody is at any more.
    #[cold]
    pub(crate) fn nobody(&self) -> CellRef {
        self.nobody.get_or_init(|| spawn::ended_process(self)).clone()
    }

    /// Frees a cell whose references are gone.
    pub(crate) fn free_cell(cell: CellPtr) {
        let shared: *const Shared = cell.shared();
        // SAFETY: the cell, which is not freed yet, keeps it.
        let here = unsafe { &*shared };
        let on_worker = local::with_slab(here, |free| match free {
            Some(free) => {
                // SAFETY: the last reference is gone, and the part of the cell with it.
                unsafe { here.slab.free(Some(free), cell.cast()) };
                true
            }
            None => false,
        });
        if on_worker {
            return;
        }
        let mut left = here.left.lock();
        // SAFETY: as above.
        unsafe { here.slab.free(None, cell.cast()) };
        let gone = match &mut *left {
            Some(count) => {
                *count -= 1;
                *count == 0
            }
            None => false,
        };
        drop(left);
        if gone {
            // SAFETY: the runtime has stopped and this was its last cell: see `stopped`.
            unsafe { Self::cells_gone(shared) };
        }
    }

    /// The workers are gone: counts the cells that handles still keep. With the last the cells'
    /// reference is released.
    pub(crate) fn stopped(self: &Arc<Self>) {
        self.timeouts.clear();
        drop(self.nobody.get().cloned());
        let mut kept = Vec::new();
        let mut left = self.left.lock();
        if left.is_some() {
            return;
        }
        self.walk(|cell| kept.push(cell));
        *left = Some(kept.len());
        let none = kept.is_empty();
        drop(left);
        // Those that only the walk kept are freed here, and counted.
        drop(kept);
        if none {
            // SAFETY: no cell is left that could follow its pointer.
            unsafe { Self::cells_gone(Arc::as_ptr(self)) };
        }
    }

    /// # Safety
    /// No cell of this runtime is allocated any more; called once.
    unsafe fn cells_gone(shared: *const Shared) {
        // SAFETY: the pointer is an Arc's, and the cells' reference was kept until now.
        unsafe { Arc::decrement_strong_count(shared) };
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        TAGS.lock().give_back(self.tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_used_again_as_late_as_possible_and_never_twice_at_once() {
        let mut tags = Tags { used: [0; TAG_WORDS], next: 0 };
        let first = tags.take();
        assert_eq!(first, Some(1));
        tags.give_back(1);
        assert_eq!(tags.take(), Some(2), "1 was just given back");
        let rest = std::iter::from_fn(|| tags.take()).count();
        assert_eq!(rest, usize::from(Pid::MAX_TAG) - 1);
        tags.give_back(77);
        assert_eq!(tags.take(), Some(77));
    }
}

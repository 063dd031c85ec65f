//! What all cells, handles and workers of one runtime share.
//!
//! # Who keeps it
//!
//! Every [`Handle`](crate::Handle) counts one reference, and all the cells together one more: cells
//! follow a plain pointer to it (the slab's user pointer). That one is released when the runtime has
//! stopped and the last cell is freed, which may be long after: an `ActorRef` outlives its runtime.
//!
//! `cells` says when: the number of cells that are allocated, and [`RUNNING`] on top until the runtime
//! has stopped. Workers count theirs for themselves and add them up when they stop; everybody else adds
//! at once. So it is exact when `RUNNING` is taken off, and who brings it to zero releases the cells'
//! reference. A cell made after that (an address of nobody, through a handle that is still there) takes
//! it anew.
#![expect(unsafe_code, reason = "cells follow a plain pointer to this")]

use std::{
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

use whitebeam_scheduler::Handle as SchedulerHandle;
use whitebeam_sync::{
    shim::{
        Mutex,
        atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering},
        program_wide,
    },
    slab::{Class, Slab, Slot},
};

use crate::{
    Lookup, Pid, Target,
    cell::{CellPtr, CellRef},
    crash::{self, Crashes},
    event::{self, Events},
    inspect::Inspection,
    local,
    names::Names,
    shutdown::Countdown,
    simulate::Observed,
    spawn,
    timeouts::Timeouts,
    unread,
    watermark::{Levels, Watermarks},
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
    countdown: Countdown,
    /// Numbers the monitors of who is no process.
    watches: AtomicU64,
    /// An address for spawns that were refused.
    nobody: Mutex<Nobody>,
    crashes: Crashes,
    events: Events,
    unread: unread::Counts,
    watermarks: Watermarks,
    /// Set before anything is spawned, in simulated runtimes only.
    observed: OnceLock<Observed>,
    inspection: Inspection,
    /// See the module's text.
    cells: AtomicIsize,
}

/// What a runtime's builder sets of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) crashes: crash::Settings,
    pub(crate) events: event::Settings,
    pub(crate) watermark: Levels,
}

/// What `Shared::cells` has on top until the runtime has stopped.
const RUNNING: isize = isize::MAX / 2;

/// Slots that threads outside free until a worker is woken for it: those of a region, of the smallest class.
const FREED_OUTSIDE: isize = 1 << 14;

/// A process that has ended before it began.
enum Nobody {
    /// None was asked for yet.
    Unknown,
    Known(CellRef),
    /// The runtime has stopped: who asks gets one of his own, since one kept here would keep this for ever.
    Stopped,
}

program_wide! {
    /// Tags of the runtimes that are alive in this program: what tells their pids apart.
    ///
    /// The one piece of state that runtimes share; it decides nothing but the numbers in pids.
    static TAGS: Mutex<Tags> = Mutex::new(Tags { used: [0; TAG_WORDS], next: 0 });
}
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
    pub(crate) fn new(settings: Settings) -> Option<Arc<Self>> {
        let tag = TAGS.lock().take()?;
        let shared = Arc::new(Shared {
            scheduler: OnceLock::new(),
            slab: Slab::new(),
            tag,
            closing: AtomicBool::new(false),
            names: Names::default(),
            timeouts: Timeouts::new(),
            countdown: Countdown::default(),
            watches: AtomicU64::new(0),
            nobody: Mutex::new(Nobody::Unknown),
            crashes: Crashes::new(settings.crashes),
            events: Events::new(settings.events),
            unread: unread::Counts::default(),
            watermarks: Watermarks::new(settings.watermark),
            observed: OnceLock::new(),
            inspection: Inspection::default(),
            cells: AtomicIsize::new(RUNNING),
        });
        shared.slab.set_user(Arc::as_ptr(&shared).cast());
        shared.timeouts.attach(Arc::downgrade(&shared));
        // The reference of the cells, released by `add_cells`.
        std::mem::forget(Arc::clone(&shared));
        Some(shared)
    }

    pub(crate) fn set_scheduler(&self, handle: SchedulerHandle) {
        let _ = self.scheduler.set(handle);
    }

    pub(crate) fn set_observed(&self, observed: Observed) {
        let _ = self.observed.set(observed);
        self.inspection.observe();
    }

    pub(crate) fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Who is told what happens here, if somebody is.
    #[inline]
    pub(crate) fn observed(&self) -> Option<&Observed> {
        self.observed.get()
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

    pub(crate) fn crashes(&self) -> &Crashes {
        &self.crashes
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    pub(crate) fn unread(&self) -> &unread::Counts {
        &self.unread
    }

    pub(crate) fn watermarks(&self) -> &Watermarks {
        &self.watermarks
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
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

    /// As if the runtime were not closing: for who has looked before.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn reopen(&self) {
        self.closing.store(false, Ordering::Release);
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

    /// The process whose cell begins at this address, alive or ended, if there is one.
    pub(crate) fn process_at(&self, address: usize) -> Option<CellRef> {
        let slot = self.slab.live_at(address)?;
        // SAFETY: as in `resolve`.
        Some(CellRef::adopt(unsafe { CellPtr::new(slot.cast()) }))
    }

    /// The pid that a target of this runtime's leads to now.
    #[inline]
    pub(crate) fn pid_of(&self, target: &impl Target) -> Option<Pid> {
        target.target_in(&Lookup::of(self))
    }

    /// As [`resolve`](Self::resolve).
    #[inline]
    pub(crate) fn find(&self, target: &impl Target) -> Option<CellRef> {
        self.resolve(self.pid_of(target)?)
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
            from = self.walk_part(at, &mut f);
        }
    }

    /// Meets those in the next places of the process table, and says where to go on.
    pub(crate) fn walk_part(&self, from: u32, mut f: impl FnMut(CellRef)) -> Option<u32> {
        self.slab.for_each_live(from, 4096, |slot| {
            // SAFETY: as in `resolve`.
            f(CellRef::adopt(unsafe { CellPtr::new(slot.cast()) }));
        })
    }

    /// An address that nobody is at any more.
    #[cold]
    pub(crate) fn nobody(&self) -> CellRef {
        if let Nobody::Known(cell) = &*self.nobody.lock() {
            return cell.clone();
        }
        // Made outside of the lock; of several at once the first is kept.
        let made = spawn::ended_process(self);
        let mut nobody = self.nobody.lock();
        if let Nobody::Unknown = &*nobody {
            *nobody = Nobody::Known(made.clone());
        }
        made
    }

    /// A slot for a cell: to be published, or given back by [`free_slot`](Self::free_slot).
    #[inline]
    pub(crate) fn alloc_slot(&self, class: Class) -> Option<Slot> {
        local::with_stock(self, |stock| match stock {
            Some(stock) => {
                let slot = self.slab.alloc(&mut stock.slots, class)?;
                local::made();
                Some(slot)
            }
            None => {
                let slot = self.slab.alloc_shared(class)?;
                self.inspection.made_outside(1);
                // SAFETY: the caller's reference keeps it.
                unsafe { Self::add_cells(self, 1) };
                Some(slot)
            }
        })
    }

    /// Frees a cell whose references are gone.
    #[inline]
    pub(crate) fn free_cell(cell: CellPtr) {
        let shared: *const Shared = cell.shared();
        // SAFETY: the last reference is gone, and the part of the cell with it. The cell, which is not freed
        // yet, keeps the rest.
        unsafe { Self::free_slot(shared, cell.cast()) };
    }

    /// Frees a slot. With it this may be gone.
    ///
    /// # Safety
    /// As for [`Slab::free`]; `shared` is kept until now, by the slot if by nobody else.
    #[inline]
    pub(crate) unsafe fn free_slot(shared: *const Shared, slot: NonNull<u8>) {
        // SAFETY: kept, by the caller's word.
        let here = unsafe { &*shared };
        let on_worker = local::with_stock(here, |stock| match stock {
            Some(stock) => {
                // SAFETY: the caller's word.
                unsafe { here.slab.free(Some(&mut stock.slots), slot) };
                local::freed();
                true
            }
            None => false,
        });
        if !on_worker {
            // SAFETY: the caller's word.
            unsafe { here.slab.free(None, slot) };
            here.freed_outside();
            // SAFETY: the slot is still counted.
            unsafe { Self::add_cells(shared, -1) };
        }
    }

    /// A thread outside has freed a slot: by an address of a process that ended long ago, perhaps. Workers that are at
    /// rest have looked what there is to give back; so when there have been many, one of them is woken, and looks when
    /// its next rest has lasted.
    fn freed_outside(&self) {
        let is_one_of_many = self.cells.load(Ordering::Relaxed) % FREED_OUTSIDE == 0;
        if is_one_of_many && !self.scheduler().is_simulated() && !self.is_closing() {
            self.scheduler().spawn(std::future::ready(())).detach();
        }
    }

    /// Adds to the number of cells. When it falls to zero, this may be gone.
    ///
    /// # Safety
    /// `shared` is kept until now: by a reference of the caller's, or by cells that it takes off the count.
    pub(crate) unsafe fn add_cells(shared: *const Shared, more: isize) {
        if more == 0 {
            return;
        }
        // SAFETY: kept, by the caller's word.
        // AcqRel: whoever frees this sees what the others did with it before they counted themselves off.
        let before = unsafe { &*shared }.cells.fetch_add(more, Ordering::AcqRel);
        if before == 0 {
            // SAFETY: the pointer is an Arc's, and alive by the caller's reference: no cell keeps it.
            unsafe { Arc::increment_strong_count(shared) };
        } else if before + more == 0 {
            // SAFETY: as above; the cells' reference was kept until now.
            unsafe { Arc::decrement_strong_count(shared) };
        }
    }

    /// The workers are gone: from now on this lives as long as handles and cells do. Called once.
    pub(crate) fn stopped(self: &Arc<Self>) {
        self.timeouts.clear();
        self.crashes.stopped();
        self.events.stopped();
        self.inspection.stopped();
        let nobody = std::mem::replace(&mut *self.nobody.lock(), Nobody::Stopped);
        drop(nobody);
        // SAFETY: kept by `self`.
        unsafe { Self::add_cells(Arc::as_ptr(self), -RUNNING) };
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

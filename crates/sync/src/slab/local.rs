//! A worker's own stock of free slots.

use std::ptr::NonNull;
use std::sync::Arc;

use super::chain::Chain;
use super::class::{CLASSES, Class};
use super::header::SPENT;
use super::pool::Batch;
use super::region::{Region, header};
use super::{Slab, Slot};

/// Most slots in one of the two chains of a worker and class, and so the size of the batches
/// in which slots travel between workers. 256 slots of 128 bytes are 32 KiB, what a core's first
/// cache holds; a lock for each 256 frees costs 0.1 ns a free. Much less makes a worker that frees
/// what another allocates (a spawner and a reaper) meet the lock often; much more strands memory:
/// a worker holds up to twice this many of each class.
pub(super) const BATCH: u32 = if cfg!(loom) { 2 } else { 256 };

/// Slots that follow one another in a region and were not used yet. It owns them.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) region: Region,
    pub(super) next: u32,
    pub(super) end: u32,
}

impl Fresh {
    /// The next of them, with its word prepared. None: all are used.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        while self.next < self.end {
            let number = self.next;
            self.next += 1;
            let generation = self.region.first_generation(number);
            if generation != SPENT {
                let slot = self.region.slot(number);
                // SAFETY: a slot of a region that is mapped.
                unsafe { header(slot) }.prepare(generation);
                return Some(slot);
            }
        }
        None
    }

    /// How many of them are not spent.
    pub(super) fn usable(&self) -> u32 {
        let usable = |number: &u32| self.region.first_generation(*number) != SPENT;
        (self.next..self.end).filter(usable).count() as u32
    }
}

/// What a worker has of one class.
#[derive(Debug)]
struct Stock {
    /// Freed here last, hence warm: the first to be used again.
    chain: Chain,
    /// A full chain or none, so that alloc and free in turn do not meet the lock at each step.
    spare: Chain,
    /// Slots that were never used.
    fresh: Option<Fresh>,
}

/// A worker's own stock of free slots: what makes alloc and free cost neither a lock nor an RMW.
///
/// It belongs to the first slab it is used with; used with another one, it is as if there were
/// none. Dropping it without [`Slab::flush`] leaves its slots unused until the slab is
/// dropped.
#[derive(Debug)]
pub struct Local {
    /// The slab's identity; kept alive, so that no later slab has the same.
    owner: Option<Arc<()>>,
    stocks: [Stock; CLASSES],
}

// SAFETY: the stock owns its slots, which are raw memory.
unsafe impl Send for Local {}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Local {
    /// An empty stock.
    pub fn new() -> Self {
        Self {
            owner: None,
            stocks: std::array::from_fn(|_| Stock {
                chain: Chain::new(),
                spare: Chain::new(),
                fresh: None,
            }),
        }
    }

    /// Gives everything back to the slab.
    pub(super) fn flush(&mut self, slab: &Slab) {
        if !self.belongs_to(&slab.identity) {
            return;
        }
        for (stock, pool) in self.stocks.iter_mut().zip(&slab.pools) {
            pool.put(Batch::Chain(stock.chain.take()));
            pool.put(Batch::Chain(stock.spare.take()));
            if let Some(fresh) = stock.fresh.take() {
                pool.put(Batch::Fresh(fresh));
            }
        }
    }

    #[inline]
    fn belongs_to(&self, slab: &Arc<()>) -> bool {
        self.owner.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, slab))
    }

    /// A slot that was freed here.
    #[inline]
    pub(super) fn pop(&mut self, slab: &Slab, class: Class) -> Option<NonNull<u8>> {
        if !self.belongs_to(&slab.identity) {
            return None;
        }
        self.stocks[class.index()].chain.pop()
    }

    /// A slot when the warm chain has none: of the spare chain, of the fresh ones, of what the
    /// slab gives. None: the slab gives no more.
    // Out of line, so that the warm path of `alloc` saves no registers.
    #[inline(never)]
    pub(super) fn refill(&mut self, slab: &Slab, class: Class) -> Option<Slot> {
        if self.owner.is_none() {
            self.owner = Some(Arc::clone(&slab.identity));
        }
        if !self.belongs_to(&slab.identity) {
            return slab.alloc_shared(class);
        }
        let stock = &mut self.stocks[class.index()];
        loop {
            if !stock.spare.is_empty() {
                stock.chain = stock.spare.take();
            }
            if let Some(slot) = stock.chain.pop() {
                return Some(Slot::of(slot));
            }
            if let Some(slot) = stock.fresh.as_mut().and_then(Fresh::pop) {
                return Some(Slot::of(slot));
            }
            match slab.get(class)? {
                Batch::Chain(chain) => stock.chain = chain,
                Batch::Fresh(fresh) => stock.fresh = Some(fresh),
            }
        }
    }

    /// Keeps a free slot. False: it belongs to another slab's.
    ///
    /// # Safety
    ///
    /// The slot is free, one of this slab and class, and the caller gives it away.
    #[inline]
    pub(super) unsafe fn push(&mut self, slab: &Slab, class: Class, slot: NonNull<u8>) -> bool {
        if !self.belongs_to(&slab.identity) {
            return false;
        }
        let stock = &mut self.stocks[class.index()];
        // SAFETY: the caller's promise.
        unsafe { stock.chain.push(slot) };
        if stock.chain.len() >= BATCH {
            stock.rotate(slab, class);
        }
        true
    }
}

impl Stock {
    /// The chain is full: it becomes the spare one, and a spare one goes to the slab.
    #[cold]
    fn rotate(&mut self, slab: &Slab, class: Class) {
        let full = std::mem::replace(&mut self.spare, self.chain.take());
        slab.pools[class.index()].put(Batch::Chain(full));
    }
}

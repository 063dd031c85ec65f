//! What is shared of a class: batches of free slots, and the region that slots are carved from.

use std::ptr::NonNull;

use super::chain::Chain;
use super::local::{BATCH, Fresh};
use super::memory::Pages;
use super::region::Region;
use crate::shim::Mutex;

/// Slots carved at once. The first touch of each is its user's, so that a large batch costs
/// nothing but the bytes a worker strands (8 KiB of the smallest class).
const CARVE: u32 = if cfg!(loom) { 1 } else { 64 };

/// Free slots on their way between workers.
#[derive(Debug)]
pub(super) enum Batch {
    /// Slots that were used before.
    Chain(Chain),
    /// Slots that were not.
    Fresh(Fresh),
}

/// The shared part of one class.
#[derive(Debug)]
pub(super) struct Pool(Mutex<Shelves>);

/// Behind the lock of a class.
#[derive(Debug)]
pub(super) struct Shelves {
    /// Free slots, none of them empty.
    pub(super) batches: Vec<Batch>,
    /// Slots freed by threads without a stock of their own; at most a batch.
    pub(super) loose: Chain,
    /// The region being carved.
    pub(super) current: Option<Region>,
    /// Regions that were trimmed: mapped, without memory, wholly free.
    pub(super) trimmed: Vec<Region>,
    /// Regions of this class, ever.
    regions: u32,
    /// Slots that came back since a trim of the class last found nothing to give.
    pub(super) returned: u32,
    /// Trims after the last burst that found nothing to give.
    pub(super) fruitless: u32,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Shelves {
            batches: Vec::new(),
            loose: Chain::new(),
            current: None,
            trimmed: Vec::new(),
            regions: 0,
            returned: 0,
            fruitless: 0,
        }))
    }

    /// Takes a batch in.
    pub(super) fn put(&self, batch: Batch) {
        let (is_empty, used) = match &batch {
            Batch::Chain(chain) => (chain.is_empty(), chain.len()),
            Batch::Fresh(fresh) => (fresh.next == fresh.end, 0),
        };
        if !is_empty {
            let mut shelves = self.0.lock();
            shelves.returned = shelves.returned.saturating_add(used);
            shelves.batches.push(batch);
        }
    }

    /// Takes one slot in.
    ///
    /// # Safety
    ///
    /// The slot is free, one of this class, and the caller gives it away.
    pub(super) unsafe fn put_one(&self, slot: NonNull<u8>) {
        let mut shelves = self.0.lock();
        // SAFETY: the caller's promise.
        unsafe { shelves.loose.push(slot) };
        if shelves.loose.len() >= BATCH {
            let full = shelves.loose.take();
            shelves.returned = shelves.returned.saturating_add(full.len());
            shelves.batches.push(Batch::Chain(full));
        }
    }

    /// Runs `f` under the lock.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Shelves) -> R) -> R {
        f(&mut self.0.lock())
    }
}

impl Shelves {
    /// How many slots have to come back before a trim is tried. `enough`: a burst of them.
    ///
    /// After one that found nothing a single slot will do, since that may hold a region; then it takes more and more of them.
    /// What a worker puts back is up to two batches: with 64 workers the last one's are still worth it.
    pub(super) fn worth_a_trim(&mut self, enough: u32) -> u32 {
        if self.returned >= enough {
            self.fruitless = 0;
        }
        match self.fruitless {
            0 => enough,
            tries => (tries.saturating_mul(tries) / 16 + 1).min(enough),
        }
    }

    /// Some free slots: used ones first. `map` makes a new region. None: it cannot.
    pub(super) fn get(&mut self, map: impl FnOnce(Pages) -> Option<Region>) -> Option<Batch> {
        if let Some(batch) = self.batches.pop() {
            return Some(batch);
        }
        if !self.loose.is_empty() {
            return Some(Batch::Chain(self.loose.take()));
        }
        self.carve(map).map(Batch::Fresh)
    }

    /// One free slot, for a thread without a stock. `map` as for [`get`](Self::get).
    pub(super) fn get_one(&mut self, map: impl Fn(Pages) -> Option<Region>) -> Option<NonNull<u8>> {
        loop {
            if let Some(slot) = self.loose.pop() {
                return Some(slot);
            }
            match self.get(&map)? {
                Batch::Chain(chain) => self.loose = chain,
                Batch::Fresh(mut fresh) => {
                    let slot = fresh.pop();
                    if fresh.next != fresh.end {
                        self.batches.push(Batch::Fresh(fresh));
                    }
                    if slot.is_some() {
                        return slot;
                    }
                }
            }
        }
    }

    fn carve(&mut self, map: impl FnOnce(Pages) -> Option<Region>) -> Option<Fresh> {
        let region = match self.current {
            Some(region) => region,
            None => {
                let region = self.trimmed.pop().or_else(|| self.map(map))?;
                self.current = Some(region);
                region
            }
        };
        let next = region.carved();
        let end = region.capacity().min(next + CARVE);
        region.set_carved(end);
        if end == region.capacity() {
            self.current = None;
        }
        Some(Fresh { region, next, end })
    }

    fn map(&mut self, map: impl FnOnce(Pages) -> Option<Region>) -> Option<Region> {
        let pages = if self.regions == 0 { Pages::Small } else { Pages::Huge };
        let region = map(pages)?;
        self.regions += 1;
        Some(region)
    }
}

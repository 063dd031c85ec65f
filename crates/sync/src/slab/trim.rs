//! Giving memory back: the regions all of whose slots are free.

use super::Slab;
use super::chain::Chain;
use super::class::Class;
use super::local::BATCH;
use super::pool::{Batch, Pool};
use super::region::{REGION_BYTES, Region};

impl Slab {
    /// Gives the memory of regions that are wholly free back to the system, and says how many
    /// bytes that was. The region of each class that slots are being carved from is kept.
    ///
    /// It takes time for each free slot of the slab: for idle times, not for each burst. While it
    /// runs, allocations of a class that find nothing free take new memory. Slots in a
    /// [`Local`](super::Local) count as used: flush those first.
    pub fn trim(&self) -> usize {
        Class::all().map(|class| trim(self, &self.pools[class.index()])).sum()
    }

    /// As [`trim`](Self::trim), of the classes of which slots of a region's size and more have come back since a
    /// trim last found nothing to give: so that it may be called again and again, and costs nothing where there was
    /// no burst. It is called again by each worker that has put its own slots back, since those of one may be all
    /// that holds the regions of a burst: so one that found nothing is soon tried again, then less and less often.
    pub fn trim_after_burst(&self) -> usize {
        Class::all().map(|class| self.trim_after_burst_of(class)).sum()
    }

    fn trim_after_burst_of(&self, class: Class) -> usize {
        let pool = &self.pools[class.index()];
        let enough = (REGION_BYTES / class.size()) as u32;
        let mut all = 0;
        // Once more after each that gave something: another worker may have put its own back meanwhile, and have left the
        // rest to this one.
        while pool.with(|shelves| shelves.returned >= shelves.worth_a_trim(enough)) {
            let bytes = trim(self, pool);
            all += bytes;
            pool.with(|shelves| {
                if bytes == 0 {
                    shelves.fruitless = shelves.fruitless.saturating_add(1);
                } else {
                    shelves.fruitless = 0;
                    shelves.returned = enough;
                }
            });
        }
        all
    }
}

fn trim(slab: &Slab, pool: &Pool) -> usize {
    let (batches, current) = pool.with(|shelves| {
        shelves.returned = 0;
        let loose = Batch::Chain(shelves.loose.take());
        let mut batches = std::mem::take(&mut shelves.batches);
        batches.push(loose);
        (batches, shelves.current)
    });

    // What is in `batches` is nobody else's now, so that a region that is wholly in it stays so.
    // A region that is current now may be carved from at any time; none becomes current that has
    // slots in `batches`.
    let mut free = vec![0; slab.regions()];
    for batch in &batches {
        tally(batch, &mut free);
    }
    let is_empty = |region: Region| {
        let free = free[region.number() as usize];
        free != 0 && free + region.spent() == region.capacity() && Some(region) != current
    };

    let mut kept = Kept::default();
    for batch in batches {
        match batch {
            Batch::Chain(chain) => kept.keep(chain, is_empty),
            Batch::Fresh(fresh) if is_empty(fresh.region) => {}
            fresh @ Batch::Fresh(_) => kept.batches.push(fresh),
        }
    }

    let mut bytes = 0;
    let mut trimmed = Vec::new();
    for number in 0..free.len() as u32 {
        if let Some(region) = slab.region(number).filter(|region| is_empty(*region)) {
            // SAFETY: all its slots were in `batches`, and are forgotten, or are spent.
            bytes += unsafe { region.retire() };
            trimmed.push(region);
        }
    }

    pool.with(|shelves| {
        kept.batches.extend(kept.chain.take().map(Batch::Chain));
        shelves.batches.append(&mut kept.batches);
        shelves.trimmed.append(&mut trimmed);
    });
    bytes
}

/// Counts the slots of a batch in their regions.
fn tally(batch: &Batch, free: &mut [u32]) {
    match batch {
        Batch::Chain(chain) => chain.for_each(|slot| {
            // SAFETY: a free slot of this slab.
            let region = unsafe { Region::of(slot) };
            free[region.number() as usize] += 1;
        }),
        Batch::Fresh(fresh) => free[fresh.region.number() as usize] += fresh.usable(),
    }
}

/// What is not given back, in batches again.
#[derive(Default)]
struct Kept {
    batches: Vec<Batch>,
    chain: Option<Chain>,
}

impl Kept {
    fn keep(&mut self, mut chain: Chain, is_empty: impl Fn(Region) -> bool) {
        while let Some(slot) = chain.pop() {
            // SAFETY: a free slot of this slab.
            if is_empty(unsafe { Region::of(slot) }) {
                continue;
            }
            let kept = self.chain.get_or_insert_with(Chain::new);
            // SAFETY: it was in a chain, and is nobody else's.
            unsafe { kept.push(slot) };
            if kept.len() >= BATCH {
                self.batches.extend(self.chain.take().map(Batch::Chain));
            }
        }
    }
}

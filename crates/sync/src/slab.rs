//! Type-stable memory: slots that are named by index and generation, so that the slab is also the
//! table that leads from a name to what lives in the slot, and the list of all that live.
//!
//! Slots come in size classes ([`Class`]), carved from regions of 2 MiB that are backed by huge
//! pages where the system has them. A region keeps its class and its address space until the slab
//! is dropped; [`Slab::trim`] gives back the memory of those that are wholly free.
//!
//! Offset 0 of a slot is its user's, 8 bytes; at [`HEADER_OFFSET`] lies the [`SlotHeader`],
//! the slab's; the rest is the user's. The user initialises the fields around the header and
//! never writes over it, not even in a new slot: a stale name may be looked up at any time.
//!
//! # States
//!
//! ```text
//!            alloc            publish              release: last            free
//!   free(g) -------> new(g) ----------> live(g, n) --------------> dead(g) -------> free(g+1)
//!      ^               |  free            | ^                                          |
//!      |               v                  +-+ acquire, release, resolve, walker        | g was
//!      +------------ free(g+1)                                                         | the last
//!                                                                                      v
//!                                                                                    spent
//! ```
//!
//! The word of a slot holds generation and references together: (g, 0) in all states but live,
//! (g, n > 0) there.
//!
//! # Who may write
//!
//! | what | writer | allowed when |
//! | --- | --- | --- |
//! | word, by RMW | anyone: with a reference, or when generation and references say live | live |
//! | word, by store | who allocated it, who freed it | not live |
//! | first 8 bytes | the user | new, live, dead |
//! | the same | the chain the slot is in | free |
//! | the rest | the user | new, live, dead |
//! | a region's `carved`, `saved` | who holds the lock of the class, or owns all its slots (trim) | |
//! | the region table | who holds its lock | once per entry |
//!
//! # Operations
//!
//! *alloc*: from the worker's [`Local`]: the slot freed last; else its spare chain; else a slot
//! never used before; else a batch from the class's pool, under its lock; else a new region.
//!
//! *free*: the generation goes up, the slot to the `Local`; every `local::BATCH` of them go to the
//! pool. A thread without a `Local` goes to the pool each time. A slot whose generation would not
//! fit in 24 bits is never used again: at ten million lives a second of one slot that is 128 bytes
//! each 1.7 seconds, and the price of names that are never ambiguous.
//!
//! *resolve (index, generation)*: region from the table, slot in it, word; while the word has that
//! generation and references, CAS one more. A word holds both, so there is no moment at which a
//! reference to the wrong life is held.
//!
//! *trim*, per class: takes all free slots of the pool; regions all of whose slots are among them
//! have their generations saved in a side array that stays, and their memory given back; they are
//! carved anew before a new region is made. The other slots go back to the pool. What workers have
//! in their `Local` stays there: [`Slab::flush`] them first.
//!
//! # Orderings
//!
//! | operation | ordering | pairs with | what breaks if weaker |
//! | --- | --- | --- | --- |
//! | publish: store | Release | CAS of resolve and walker | a slot is found before it is initialised |
//! | resolve, walker: CAS | Acquire | publish, through the RMWs since | as above |
//! | acquire: `fetch_add` | Relaxed | - | - |
//! | release: `fetch_sub` | Release; the last then loads with Acquire | each other | a slot is taken down while another reference's write to it is under way |
//! | free, alloc: store | Relaxed | lock of the pool, or the same worker | - (a lookup finds no references before and after) |
//! | table: store / load | Release / Acquire | each other | a header is read before it is written |
//!
//! # Why nothing is lost
//!
//! *A lookup against the last release, free and a new life.* The lookup's CAS compares generation
//! and references at once. It succeeds only on a word that says live in the wanted generation at
//! that moment, and then the count it made keeps the slot. A word without references is changed
//! by stores, which cannot race with a CAS that would succeed: none does on such a word, and the
//! one that makes it live again is the publish, with another generation.
//!
//! *A lookup against trim.* The word reads as it was or as zero; neither has references. When the
//! region is carved anew, each slot starts with the generation that was saved.
//!
//! *A slot in two hands.* A free slot is in one chain or batch, moved under a lock or by its owner.
//!
//! # Cost
//!
//! alloc, free with a `Local`: no RMW, no lock but each 256th time. publish: a store. acquire,
//! release, resolve: one RMW. Memory: the word, and 128 bytes per 2 MiB; 4 bytes per slot of a
//! region that was ever trimmed; 128 KiB of address space for the table, of which what is
//! used is touched. The first region of each class is kept off huge pages, so that a small
//! runtime does not pay 2 MiB for each class it uses.
//!
//! # Checked by
//!
//! loom: `tests/loom.rs`. Threads: `tests/stress.rs`. One thread, step by step:
//! `tests/steps.rs`.

mod chain;
mod class;
mod header;
mod local;
mod memory;
mod poison;
mod pool;
mod region;
mod trim;

#[cfg(test)]
mod tests;

pub use class::{Class, MAX_SIZE};
pub use header::{HEADER_OFFSET, SlotHeader};
pub use local::Local;

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::shim::Mutex;
use crate::shim::atomic::{AtomicPtr, Ordering};
use class::CLASSES;
use memory::Pages;
use pool::{Batch, Pool};
use region::{REGION_BITS, Region, SLOT_BITS, header};

/// Most regions of a slab: 32 GiB.
const REGIONS: usize = if cfg!(loom) { 4 } else { 1 << REGION_BITS };

/// Type-stable memory for what is named by index and generation. See the [module](self).
///
/// Dropping it unmaps all regions, whatever lives in them: the owner sees to it that nobody uses
/// a slot any more.
pub struct Slab {
    /// Regions by number; null from the first that was not made. Written under `made`.
    table: Box<[AtomicPtr<()>]>,
    /// Number of regions made, and the lock for making one.
    made: Mutex<u32>,
    pools: [Pool; CLASSES],
    /// What the headers of regions say: the user's pointer.
    user: AtomicPtr<()>,
    /// Distinguishes this slab from others in each [`Local`].
    identity: Arc<()>,
}

/// A slot that was allocated, and is not published yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a slot that is neither published nor freed is lost until the slab is dropped"]
pub struct Slot {
    /// Start of the slot, aligned to 16, valid for the size of its class.
    pub ptr: NonNull<u8>,
    /// The slot's name in the slab, 28 bits.
    pub index: u32,
    /// The generation of the life to come, 24 bits, never 0.
    pub generation: u32,
}

/// No such slot, or what had that name is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss;

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing lives under this name")
    }
}

impl std::error::Error for Miss {}

impl Slot {
    /// Names a slot whose word is prepared.
    #[inline]
    fn of(slot: NonNull<u8>) -> Self {
        // SAFETY: only slots of a slab that lives are passed here, straight from a chain or region.
        let (index, generation) = unsafe { identity_of(slot) };
        Self { ptr: slot, index, generation }
    }
}

impl Default for Slab {
    fn default() -> Self {
        Self::new()
    }
}

impl Slab {
    /// Bits of an index.
    pub const INDEX_BITS: u32 = REGION_BITS + SLOT_BITS;
    /// Bits of a generation.
    pub const GENERATION_BITS: u32 = header::GENERATION_BITS;

    /// An empty slab. Nothing is mapped before the first [`alloc`](Self::alloc).
    pub fn new() -> Self {
        Self {
            table: table(),
            made: Mutex::new(0),
            pools: std::array::from_fn(|_| Pool::new()),
            user: AtomicPtr::new(std::ptr::null_mut()),
            identity: Arc::new(()),
        }
    }

    /// Says what [`user_of`] answers for every slot: the owner of the slab.
    pub fn set_user(&self, user: *const ()) {
        // The lock: no region is made with the old pointer after this loop.
        let made = self.made.lock();
        self.user.store(user.cast_mut(), Ordering::Release);
        for number in 0..*made {
            if let Some(region) = self.region(number) {
                region.set_user(user.cast_mut());
            }
        }
    }

    /// A slot of this class. None: out of memory, or out of the 32 GiB that indices reach.
    #[inline]
    pub fn alloc(&self, local: &mut Local, class: Class) -> Option<Slot> {
        let slot = match local.pop(self, class) {
            Some(slot) => Slot::of(slot),
            None => local.refill(self, class)?,
        };
        poison::open(slot.ptr, class);
        Some(slot)
    }

    /// As [`alloc`](Self::alloc), for a thread that is no worker: takes a lock.
    pub fn alloc_shared(&self, class: Class) -> Option<Slot> {
        let pool = &self.pools[class.index()];
        let slot = pool.with(|shelves| shelves.get_one(|pages| self.map(class, pages)))?;
        poison::open(slot, class);
        Some(Slot::of(slot))
    }

    /// Begins a life with `refs` references: from here on the slot is found by its name.
    ///
    /// # Safety
    ///
    /// The slot was allocated from this slab and not published since, and its user's part is
    /// initialised. `refs` is above 0 and below 2^31.
    #[inline]
    pub unsafe fn publish(&self, slot: Slot, refs: u32) {
        // SAFETY: a slot of this slab.
        unsafe { header(slot.ptr) }.publish(slot.generation, refs);
    }

    /// Frees a slot, from any thread; a worker passes its own stock.
    ///
    /// # Safety
    ///
    /// The slot is of this slab; it was never published or its last reference was released; its
    /// user's part is dropped. It is not used again. The pointer has the provenance that
    /// [`alloc`](Self::alloc) gave.
    #[inline]
    pub unsafe fn free(&self, local: Option<&mut Local>, slot: NonNull<u8>) {
        // SAFETY: a slot of this slab.
        let region = unsafe { Region::of(slot) };
        let class = region.class();
        poison::close(slot, class);
        // SAFETY: as above.
        if !unsafe { header(slot) }.renew() {
            region.spend();
            return;
        }
        if let Some(local) = local {
            // SAFETY: the caller's promise, and the region's class.
            if unsafe { local.push(self, class, slot) } {
                return;
            }
        }
        // SAFETY: as above.
        unsafe { self.free_shared(class, slot) };
    }

    /// Frees a slot into what threads without a stock share.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free); the slot is of this class, and its word is renewed.
    #[inline(never)]
    unsafe fn free_shared(&self, class: Class, slot: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.pools[class.index()].put_one(slot) };
    }

    /// The slot that lives under this name, with one reference more, which the caller must
    /// [release](SlotHeader::release).
    ///
    /// # Errors
    ///
    /// [`Miss`] if nothing lives under this name, whatever the numbers are.
    #[inline]
    pub fn resolve(&self, index: u32, generation: u32) -> Result<NonNull<u8>, Miss> {
        let region = self.region(index >> SLOT_BITS).ok_or(Miss)?;
        let number = index & ((1 << SLOT_BITS) - 1);
        if number >= region.capacity() {
            return Err(Miss);
        }
        let slot = region.slot(number);
        // SAFETY: a slot of this slab.
        if unsafe { header(slot) }.acquire_if(generation) { Ok(slot) } else { Err(Miss) }
    }

    /// The slot of this index, alive or not, for who knows what is in it.
    #[inline]
    pub fn slot_at(&self, index: u32) -> Option<NonNull<u8>> {
        let region = self.region(index >> SLOT_BITS)?;
        let number = index & ((1 << SLOT_BITS) - 1);
        (number < region.capacity()).then(|| region.slot(number))
    }

    /// The slot that begins at this address, with one reference more, which the caller must
    /// [release](SlotHeader::release); none if there is no such slot, or nothing lives there. Looks through the regions.
    pub fn live_at(&self, address: usize) -> Option<NonNull<u8>> {
        let mut regions = (0..).map_while(|number| self.region(number));
        let slot = regions.find_map(|region| region.slot_from(address))?;
        // SAFETY: a slot of this slab.
        unsafe { header(slot) }.acquire_if_live().then_some(slot)
    }

    /// Looks at the slots from index `from` on, at most `max` of them, and hands over each that
    /// lives, with one reference more, which `f` must [release](SlotHeader::release). The answer
    /// is where to go on; none at the end.
    ///
    /// What lives throughout a walk is met once; what begins or ends meanwhile may be missed.
    pub fn for_each_live(
        &self,
        from: u32,
        max: usize,
        mut f: impl FnMut(NonNull<u8>),
    ) -> Option<u32> {
        let mut left = max;
        let mut at = from;
        while let Some(region) = self.region(at >> SLOT_BITS) {
            let first = at & ((1 << SLOT_BITS) - 1);
            for number in first..region.carved() {
                if left == 0 {
                    return Some((region.number() << SLOT_BITS) + number);
                }
                left -= 1;
                let slot = region.slot(number);
                // SAFETY: a slot of this slab.
                if unsafe { header(slot) }.acquire_if_live() {
                    f(slot);
                }
            }
            at = (region.number() + 1) << SLOT_BITS;
        }
        None
    }

    /// Takes everything out of a worker's stock: it goes to sleep for long, or ends.
    pub fn flush(&self, local: &mut Local) {
        local.flush(self);
    }

    /// Number of regions made, of 2 MiB of address space each.
    pub fn regions(&self) -> usize {
        *self.made.lock() as usize
    }

    /// A region out of the table.
    #[inline]
    fn region(&self, number: u32) -> Option<Region> {
        // Acquire: pairs with `map`.
        let region = self.table.get(number as usize)?.load(Ordering::Acquire);
        // SAFETY: the table holds regions of this slab, which are mapped, or null.
        unsafe { Region::from_ptr(region) }
    }

    /// Some free slots for a worker.
    fn get(&self, class: Class) -> Option<Batch> {
        self.pools[class.index()].with(|shelves| shelves.get(|pages| self.map(class, pages)))
    }

    /// Makes a region.
    #[cold]
    fn map(&self, class: Class, pages: Pages) -> Option<Region> {
        let mut made = self.made.lock();
        let entry = self.table.get(*made as usize)?;
        let user = self.user.load(Ordering::Acquire);
        let region = Region::map(*made, class, user, pages)?;
        // Release: who finds it in the table reads its header.
        entry.store(region.as_ptr(), Ordering::Release);
        *made += 1;
        Some(region)
    }
}

/// The name of what lives in a slot, or will: index and generation.
///
/// # Safety
///
/// `slot` is a slot of a slab that lives, and the pointer has the provenance that
/// [`Slab::alloc`] gave: not that of a reference to what is in the slot.
#[inline]
pub unsafe fn identity_of(slot: NonNull<u8>) -> (u32, u32) {
    // SAFETY: the caller's promise.
    let region = unsafe { Region::of(slot) };
    // SAFETY: as above.
    let generation = unsafe { header(slot) }.generation();
    (region.index_of(slot), generation)
}

/// What [`Slab::set_user`] said: the owner of the slab that a slot is of.
///
/// # Safety
///
/// As for [`identity_of`].
#[inline]
pub unsafe fn user_of(slot: NonNull<u8>) -> *const () {
    // SAFETY: the caller's promise.
    unsafe { Region::of(slot) }.user()
}

impl Drop for Slab {
    fn drop(&mut self) {
        for number in 0..REGIONS as u32 {
            let Some(region) = self.region(number) else {
                break;
            };
            (0..region.capacity())
                .for_each(|number| poison::open(region.slot(number), region.class()));
            // SAFETY: the slab is going, and its owner promised that no slot is in use.
            unsafe { region.unmap() };
        }
    }
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").field("regions", &self.regions()).finish_non_exhaustive()
    }
}

/// An empty region table, whose pages are not touched before they are used.
#[cfg(not(loom))]
fn table() -> Box<[AtomicPtr<()>]> {
    let table = Box::<[AtomicPtr<()>]>::new_zeroed_slice(REGIONS);
    // SAFETY: all bytes zero is a null pointer.
    unsafe { table.assume_init() }
}

#[cfg(loom)]
fn table() -> Box<[AtomicPtr<()>]> {
    (0..REGIONS).map(|_| AtomicPtr::default()).collect()
}

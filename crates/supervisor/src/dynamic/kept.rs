//! What a supervisor keeps of its children.
//!
//! In a table by [`ChildKey::index`], which is dense: the runtime uses a place again before it takes a new one. The table
//! is in blocks, so that it never has much more room than there are children. A child whose restart is not done is found
//! by the pid that it had, too.
//!
//! Of a child whose arguments are a `u64` it takes 32 bytes, these included.

use whitebeam_actor::{Actor, ChildKey, Context, Pid};

use crate::guard::Guarded;

/// A child of which something is kept.
pub(super) struct Kept<T> {
    /// What it is started with.
    pub(super) with: T,
    /// Its last incarnation that had started; its first one until then.
    pub(super) last: Pid,
    /// Its starts so far.
    pub(super) attempt: u32,
    /// The last sweep that has come across it.
    mark: u32,
}

impl<T> Kept<T> {
    /// A child in its first start, as `pid`.
    pub(super) fn new(with: T, pid: Pid) -> Self {
        Kept { with, last: pid, attempt: 1, mark: 0 }
    }
}

/// What a child is started with.
pub(super) trait With {
    /// Whether the child's last start is under way although its `init` may be over. Unless said, it is over with that.
    fn is_starting(&self) -> bool {
        false
    }
}

impl<T> With for Guarded<T> {}

/// The children of which something is kept.
pub(super) struct KeptTable<T> {
    /// Each has [`BLOCK`] places but for those of it that were not used yet.
    blocks: Vec<Vec<Option<Kept<T>>>>,
    /// Children whose restarts were begun and may not be done, some of them more than once.
    restarted: Vec<ChildKey>,
    /// So many of them are looked through for those that are done: it is paid by those that came since.
    sweep_at: usize,
    /// Sweeps so far, modulo 2^32.
    sweeps: u32,
}

/// Places in a block: many enough that blocks cost nothing, few enough that the room of a last one does not either.
const BLOCK: usize = 256;

/// Fewest children that are looked through for those whose restart is done.
const SWEEP: usize = 64;

impl<T: With> KeptTable<T> {
    pub(super) fn new() -> Self {
        KeptTable { blocks: Vec::new(), restarted: Vec::new(), sweep_at: SWEEP, sweeps: 0 }
    }

    #[inline]
    pub(super) fn put(&mut self, key: ChildKey, kept: Kept<T>) {
        let (block, place) = (key.index() / BLOCK, key.index() % BLOCK);
        if block >= self.blocks.len() {
            self.blocks.resize_with(block + 1, Vec::new);
        }
        let block = &mut self.blocks[block];
        if place >= block.len() {
            block.resize_with(place + 1, || None);
        }
        block[place] = Some(kept);
    }

    #[inline]
    pub(super) fn take(&mut self, key: ChildKey) -> Option<Kept<T>> {
        self.place(key)?.take()
    }

    pub(super) fn get(&self, key: ChildKey) -> Option<&Kept<T>> {
        self.blocks.get(key.index() / BLOCK)?.get(key.index() % BLOCK)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: ChildKey) -> Option<&mut Kept<T>> {
        self.place(key)?.as_mut()
    }

    fn place(&mut self, key: ChildKey) -> Option<&mut Option<Kept<T>>> {
        self.blocks.get_mut(key.index() / BLOCK)?.get_mut(key.index() % BLOCK)
    }

    /// Memory goes back after a burst.
    pub(super) fn clear(&mut self) {
        *self = KeptTable::new();
    }

    /// A restart of the child was begun.
    #[inline]
    pub(super) fn note_restart<A: Actor>(&mut self, key: ChildKey, cx: &Context<A>) {
        self.restarted.push(key);
        if self.restarted.len() >= self.sweep_at {
            self.sweep(cx);
        }
    }

    #[cold]
    fn sweep<A: Actor>(&mut self, cx: &Context<A>) {
        let mut restarted = std::mem::take(&mut self.restarted);
        self.sweeps = self.sweeps.wrapping_add(1);
        let sweep = self.sweeps;
        // Each is left once.
        restarted.retain(|key| {
            let is_restarting = self.is_restarting(*key, cx);
            let kept = self.get_mut(*key).filter(|kept| is_restarting && kept.mark != sweep);
            kept.map(|kept| kept.mark = sweep).is_some()
        });
        self.sweep_at = SWEEP.max(2 * restarted.len());
        self.restarted = restarted;
    }

    /// Whether the child has no incarnation that has started, but had one.
    pub(super) fn is_restarting<A: Actor>(&self, key: ChildKey, cx: &Context<A>) -> bool {
        let again = self.get(key).filter(|kept| kept.attempt > 1);
        again.is_some_and(|kept| kept.with.is_starting() || cx.is_child_starting(key))
    }

    /// The child of which `pid` was the last incarnation, and whose restart is not done.
    pub(super) fn restarting<A: Actor>(&mut self, pid: Pid, cx: &Context<A>) -> Option<ChildKey> {
        self.sweep(cx);
        let is_it = |key: &&ChildKey| self.get(**key).is_some_and(|kept| kept.last == pid);
        self.restarted.iter().find(is_it).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With 16 at most in the runtime's table of children, 40 bytes beside the arguments.
    #[test]
    fn a_child_takes_24_bytes_beside_its_arguments() {
        assert_eq!(size_of::<Option<Kept<Guarded<u64>>>>(), 24 + size_of::<u64>());
    }
}

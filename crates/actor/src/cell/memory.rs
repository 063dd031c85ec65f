//! How much memory a process has, as far as the runtime knows: what the cell's type says, and what its owner has said
//! of the tables in its rarely used part.

use std::mem::size_of;

use whitebeam_sync::shim::atomic::Ordering;

use super::{CellPtr, bit};
use crate::{
    bound::Bound,
    ext::{Ext, Part},
};

impl CellPtr {
    /// Bytes of the cell, of a boxed state, of a suspended frame, and of the cell's rarely used part with its tables. A
    /// hint: the owner may be changing any of it.
    pub(crate) fn memory(self) -> usize {
        let (header, vt) = (self.header(), self.vt());
        let boxed = if header.has(bit::STATE) { vt.shape.boxed } else { 0 };
        let frame = if header.frame.load(Ordering::Relaxed).is_null() {
            0
        } else if vt.is_process || header.has(bit::INIT) {
            vt.shape.init
        } else if header.has(bit::TERMINATING) {
            vt.shape.terminate
        } else {
            vt.shape.handle
        };
        vt.cell_size + boxed + frame + self.part_size()
    }

    fn part_size(self) -> usize {
        let ext = self.header().ext.load(Ordering::Acquire);
        if ext.is_null() {
            return 0;
        }
        // SAFETY: the part lives as long as the cell; the field is atomic.
        let table = unsafe { &(*ext).children_bytes }.load(Ordering::Relaxed);
        let tables = Ext::counts_of(self).map_or(0, |counts| {
            let attached = counts.attached_bytes.load(Ordering::Relaxed);
            counts.bytes.load(Ordering::Relaxed) + attached
        });
        let watch = Ext::watched_of(self).map_or(0, |watch| watch.bytes());
        let bound = if self.header().is_bounded() { size_of::<Bound>() } else { 0 };
        size_of::<Part>() + table + tables + watch + bound
    }
}

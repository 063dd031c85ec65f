//! What a drain takes: the new nodes, turned around into the order in which they came.

use std::ptr::{self, NonNull};

use super::Cursor;
use crate::node::Node;

/// New nodes in their order: linked from oldest to newest, ending in null.
pub(super) struct Batch {
    oldest: *mut Node,
    newest: *mut Node,
    nodes: u32,
    /// How many of them are signals.
    pub(super) urgent: u32,
}

impl Batch {
    pub(super) const EMPTY: Self =
        Self { oldest: ptr::null_mut(), newest: ptr::null_mut(), nodes: 0, urgent: 0 };

    /// Turns the list from `newest` down to `end`, exclusive, around. The caller owns the inbox
    /// these nodes were pushed on.
    #[inline]
    pub(super) fn reverse(newest: *mut Node, end: *mut Node) -> Self {
        let mut batch = Self { newest, ..Self::EMPTY };
        let mut at = newest;
        while at != end {
            // SAFETY: the list ends at `end`: each oldest node was linked to the newest of its
            // time, and that chain leads to the cursor's node or, where none was, to null.
            let node = unsafe { NonNull::new_unchecked(at) };
            // SAFETY: pushed and not yet handed over: the owner of the inbox owns it.
            let older = unsafe { Node::next(node) };
            // SAFETY: as above.
            unsafe { Node::set_next(node, batch.oldest) };
            // SAFETY: as above.
            batch.urgent += u32::from(unsafe { Node::vt(node) }.urgent);
            batch.nodes += 1;
            batch.oldest = at;
            at = older;
        }
        batch
    }

    /// Appends all of it to the private FIFO and says how many nodes that were.
    #[inline]
    pub(super) fn append_to(self, cursor: &mut Cursor) -> u32 {
        if self.nodes != 0 {
            cursor.append(self.oldest, self.newest);
        }
        self.nodes
    }
}

/// Hands the signals of a batch over and appends the rest to the private FIFO.
pub(super) fn distribute(
    batch: Batch,
    cursor: &mut Cursor,
    mut on_signal: impl FnMut(&mut Cursor, NonNull<Node>),
) -> u32 {
    /// What is left of the batch goes to the FIFO when `on_signal` unwinds.
    struct Rest<'a> {
        cursor: &'a mut Cursor,
        batch: Batch,
    }
    impl Drop for Rest<'_> {
        fn drop(&mut self) {
            if !self.batch.oldest.is_null() {
                self.cursor.append(self.batch.oldest, self.batch.newest);
            }
        }
    }

    let messages = batch.nodes - batch.urgent;
    let mut rest = Rest { cursor, batch };
    while let Some(node) = NonNull::new(rest.batch.oldest) {
        // SAFETY: the nodes of the batch are the owner's.
        rest.batch.oldest = unsafe { Node::next(node) };
        // SAFETY: as above.
        if unsafe { Node::vt(node) }.urgent {
            on_signal(rest.cursor, node);
        } else {
            // SAFETY: as above; its sender promised that its payload may change threads.
            unsafe { rest.cursor.push_back(node) };
        }
    }
    messages
}

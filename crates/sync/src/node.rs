//! The header of everything that can be pushed on an [`Inbox`](crate::inbox::Inbox).
//!
//! A message or signal is one allocation: this header of 16 bytes, then the payload. The inbox
//! sees headers only; what stands behind one is known to the functions of its [`NodeVt`].
//!
//! # Who may touch a node
//!
//! A node has one owner at a time, and only the owner reads or writes it:
//!
//! | owner | from | until |
//! | --- | --- | --- |
//! | who made it | its allocation | a push that did not answer `Closed` |
//! | the inbox | that push | the owner of the inbox drains it |
//! | the owner of the inbox | `pop` or `on_signal` handed it over | [`Cursor::retire`](crate::inbox::Cursor::retire), or whatever it does with a `detach` node |
//!
//! A pointer to a node carries provenance over its whole allocation, so that a payload can be
//! reached through it. Nothing here makes a reference to a node.

use std::fmt;
use std::ptr::NonNull;

use crate::shim::cell::UnsafeCell;

/// What an inbox and its owner know of a kind of node. A `static` or promoted constant, one for
/// each kind.
#[derive(Clone, Copy)]
pub struct NodeVt {
    /// Tells kinds apart; the meaning is the user crate's.
    pub tag: u8,
    /// It counts in the length of the inbox: messages do, signals don't.
    pub counted: bool,
    /// A signal: handed over when it is drained, before messages that came earlier.
    pub urgent: bool,
    /// Its memory may be reused or freed by others as soon as it was handed over, so the inbox
    /// must not keep its address. Costs one more RMW when such a node is the newest at a drain.
    pub detach: bool,
    /// Gives the memory back. The payload was moved out before.
    pub free: unsafe fn(NonNull<Node>),
    /// Drops the payload and gives the memory back: for nodes that nobody will handle.
    pub dispose: unsafe fn(NonNull<Node>),
}

impl fmt::Debug for NodeVt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeVt")
            .field("tag", &self.tag)
            .field("counted", &self.counted)
            .field("urgent", &self.urgent)
            .field("detach", &self.detach)
            .finish_non_exhaustive()
    }
}

/// Header of a message or signal; the payload follows in the same allocation (`repr(C)`, this
/// field first).
#[repr(C, align(16))]
pub struct Node {
    /// The next older node while it is in the inbox, the next newer one in a private FIFO.
    /// Written by the node's owner.
    next: UnsafeCell<*mut Node>,
    /// What the node is. Written by the node's owner, between two pushes.
    vt: &'static NodeVt,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Node>() == 16);

impl Node {
    /// A header, linked to nothing.
    #[inline]
    pub fn new(vt: &'static NodeVt) -> Self {
        Self { next: UnsafeCell::new(std::ptr::null_mut()), vt }
    }

    /// What the node is.
    ///
    /// # Safety
    ///
    /// The caller owns the node (see the module's table).
    #[inline]
    pub unsafe fn vt(node: NonNull<Self>) -> &'static NodeVt {
        // SAFETY: the node is allocated and nobody else writes it: the caller owns it.
        unsafe { (*node.as_ptr()).vt }
    }

    /// Makes the node another kind: a request that travels back as its own reply.
    ///
    /// # Safety
    ///
    /// The caller owns the node, and the payload is now one that `vt` knows how to drop.
    #[inline]
    pub unsafe fn set_vt(node: NonNull<Self>, vt: &'static NodeVt) {
        // SAFETY: the node is allocated and nobody else touches it: the caller owns it.
        unsafe { (*node.as_ptr()).vt = vt };
    }

    /// Links two nodes of a chain that is about to be pushed.
    ///
    /// # Safety
    ///
    /// The caller owns both nodes.
    #[inline]
    pub unsafe fn link(newer: NonNull<Self>, older: NonNull<Self>) {
        // SAFETY: the caller owns `newer`.
        unsafe { Self::set_next(newer, older.as_ptr()) };
    }

    /// The neighbour this node points to.
    ///
    /// # Safety
    ///
    /// The caller owns the node.
    #[inline]
    pub(crate) unsafe fn next(node: NonNull<Self>) -> *mut Self {
        // SAFETY: the node is allocated; the borrow spans its `next` field only.
        let next = unsafe { &(*node.as_ptr()).next };
        // SAFETY: only the owner writes the field, and that is the caller.
        next.with(|next| unsafe { *next })
    }

    /// # Safety
    ///
    /// The caller owns the node.
    #[inline]
    pub(crate) unsafe fn set_next(node: NonNull<Self>, to: *mut Self) {
        // SAFETY: the node is allocated; the borrow spans its `next` field only.
        let next = unsafe { &(*node.as_ptr()).next };
        // SAFETY: only the owner touches the field, and that is the caller.
        next.with_mut(|next| unsafe { *next = to });
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("vt", self.vt).finish_non_exhaustive()
    }
}

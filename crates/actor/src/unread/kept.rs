//! A message that was kept, in the node that it was sent in, and that in one of its own: what says how often.
//!
//! The node around it does not count itself, the one inside does: it was counted when it was sent, and is again when it
//! is handled. So whoever puts the one outside into a mailbox says that it counts for one.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::ptr::NonNull;

use whitebeam_sync::node::{Node, NodeVt};

use crate::{cell::CellPtr, message::tag};

/// See the module's text.
#[repr(C)]
struct KeptNode {
    node: Node,
    /// How often it was kept.
    times: u32,
    inner: NonNull<Node>,
}

static KEPT: NodeVt =
    NodeVt { tag: tag::KEPT, counted: false, urgent: false, detach: false, free, dispose };

/// A node around one that was unread, and is given up.
pub(super) fn wrap(inner: NonNull<Node>, times: u32) -> NonNull<Node> {
    let whole = Box::new(KeptNode { node: Node::new(&KEPT), times, inner });
    // SAFETY: a box is not null.
    unsafe { NonNull::new_unchecked(Box::into_raw(whole)) }.cast()
}

/// How often the message of a node was kept before.
///
/// # Safety
/// The node is the caller's and was taken from a mailbox.
pub(super) unsafe fn times_of(node: NonNull<Node>) -> u32 {
    // SAFETY: the caller's word.
    if unsafe { Node::vt(node) }.tag != tag::KEPT {
        return 0;
    }
    let whole = node.cast::<KeptNode>().as_ptr();
    // SAFETY: of this tag.
    unsafe { (&raw const (*whole).times).read() }
}

/// The node inside.
///
/// # Safety
/// The node is the caller's and has the tag.
pub(crate) unsafe fn inner(node: NonNull<Node>) -> NonNull<Node> {
    let whole = node.cast::<KeptNode>().as_ptr();
    // SAFETY: the caller's word.
    unsafe { (&raw const (*whole).inner).read() }
}

/// Another node takes the place of the one inside, which is the caller's.
///
/// # Safety
/// As for [`inner`]; the new one is given up.
pub(crate) unsafe fn set_inner(node: NonNull<Node>, inner: NonNull<Node>) {
    let whole = node.cast::<KeptNode>().as_ptr();
    // SAFETY: the caller's word.
    unsafe { (&raw mut (*whole).inner).write(inner) };
}

/// Takes the node inside out, which is the caller's, and gives the other one back.
///
/// # Safety
/// The caller owns `cell`, has taken the node out of its mailbox, with the tag, and has no reference to its cursor.
pub(crate) unsafe fn open(cell: CellPtr, node: NonNull<Node>) -> NonNull<Node> {
    // SAFETY: the caller's word.
    let inner = unsafe { inner(node) };
    // SAFETY: the caller's word.
    let cursor = unsafe { cell.cursor() };
    // SAFETY: what was in it is out.
    unsafe { cursor.retire(node) };
    inner
}

/// The function behind [`NodeVt::free`].
pub(super) unsafe fn free(node: NonNull<Node>) {
    // SAFETY: made by `wrap` as a box; the node inside is a pointer, and was taken out.
    drop(unsafe { Box::from_raw(node.cast::<KeptNode>().as_ptr()) });
}

/// The function behind [`NodeVt::dispose`].
unsafe fn dispose(node: NonNull<Node>) {
    // SAFETY: an unread node still has the other one inside.
    let inner = unsafe { inner(node) };
    // SAFETY: taken out just above.
    unsafe { free(node) };
    // SAFETY: it was unread when it was put in.
    let vt = unsafe { Node::vt(inner) };
    // SAFETY: as above.
    unsafe { (vt.dispose)(inner) };
}

//! Messages as inbox nodes: one allocation, header then the message inline.
//!
//! The node's table is a constant per message type; the handler is reached through the receiving
//! cell's own table, so that a node says only what it is and how its memory goes.
#![expect(unsafe_code, reason = "nodes are linked by pointer and carry their payload inline")]

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit, offset_of},
    ptr::NonNull,
};

use whitebeam_sync::{
    inbox::{Barred, Push},
    node::{Node, NodeVt},
};

use crate::cell::CellPtr;

/// What a node is, in [`NodeVt::tag`].
pub(crate) mod tag {
    /// A message of the actor's own type.
    pub(crate) const MESSAGE: u8 = 0;
    /// A request: a message inside a call's node.
    pub(crate) const CALL: u8 = 1;
    /// What a new process is started with.
    pub(crate) const INIT: u8 = 2;
    /// A signal with a boxed body, see [`crate::signal`].
    pub(crate) const SIGNAL: u8 = 3;
    /// The embedded DOWN of a supervised child.
    pub(crate) const CHILD_DOWN: u8 = 4;
    /// A message that a monitor's DOWN has become, see [`super::down`].
    pub(crate) const DOWN: u8 = 5;
    /// A message through a narrowed address, see [`crate::narrow`].
    pub(crate) const NARROWED: u8 = 6;
    /// A request through one.
    pub(crate) const NARROWED_CALL: u8 = 7;
    /// A message that an item of an attached stream has become, see [`super::item`].
    pub(crate) const ITEM: u8 = 8;
    /// One of these that an incarnation before this one has left unread, see [`crate::unread`].
    pub(crate) const KEPT: u8 = 9;
    /// No message, but where one of the ring's stands, see [`crate::bound`].
    pub(crate) const TOKEN: u8 = 10;
}

#[repr(C)]
struct MessageNode<M> {
    node: Node,
    msg: M,
}

impl<M> MessageNode<M> {
    const LAYOUT: Layout = Layout::new::<Self>();
    const COUNTED: NodeVt = NodeVt {
        tag: tag::MESSAGE,
        counted: true,
        urgent: false,
        detach: false,
        free: free::<M>,
        dispose: dispose::<M>,
    };
    /// For the priority lane, see [`crate::lane`].
    const URGENT: NodeVt = NodeVt { urgent: true, ..Self::COUNTED };
    /// Messages born of signals, timers and pipes: they do not count in a bound.
    const UNCOUNTED: NodeVt = NodeVt { counted: false, ..Self::COUNTED };
}

/// Allocates a node for `msg`.
#[inline(always)]
pub(crate) fn node<M: 'static>(msg: M) -> NonNull<Node> {
    make(msg, const { &MessageNode::<M>::COUNTED })
}

/// Allocates a node for `msg` that is handed over where the inbox is drained.
pub(crate) fn urgent<M: 'static>(msg: M) -> NonNull<Node> {
    make(msg, const { &MessageNode::<M>::URGENT })
}

/// Allocates a node for a message that the runtime makes in the user's name.
pub(crate) fn uncounted<M: 'static>(msg: M) -> NonNull<Node> {
    make(msg, const { &MessageNode::<M>::UNCOUNTED })
}

#[inline(always)]
fn make<M>(msg: M, vt: &'static NodeVt) -> NonNull<Node> {
    // SAFETY: the layout has at least a node's size.
    let memory = unsafe { alloc(MessageNode::<M>::LAYOUT) }.cast::<MessageNode<M>>();
    let Some(memory) = NonNull::new(memory) else { handle_alloc_error(MessageNode::<M>::LAYOUT) };
    let node = memory.cast::<Node>();
    // SAFETY: freshly allocated with this type's layout, which begins with the node.
    unsafe { node.write(Node::new(vt)) };
    // SAFETY: as above.
    unsafe { place(msg, place_of::<M>(node).cast_mut()) };
    node
}

/// Moves `msg` to `to`, word by word if it is small.
///
/// A message was made a moment ago, field by field. Read back by a load that is wider than a field, as moves are
/// compiled to, it can't be forwarded from the stores and waits until they have left the store buffer: 5 ns, a
/// tenth of a send.
///
/// # Safety
/// As for [`std::ptr::write`].
#[inline(always)]
unsafe fn place<M>(msg: M, to: *mut M) {
    const WORD: usize = size_of::<usize>();
    if align_of::<M>() < WORD || size_of::<M>() > 8 * WORD {
        // SAFETY: the caller's word.
        return unsafe { to.write(msg) };
    }
    let msg = ManuallyDrop::new(msg);
    // Words as pointers, uninitialised or not: padding and provenance are moved as they are.
    let from = (&raw const msg).cast::<MaybeUninit<*mut ()>>();
    let to = to.cast::<MaybeUninit<*mut ()>>();
    for at in 0..size_of::<M>() / WORD {
        // SAFETY: inside the value, whose size is a multiple of its alignment, a word's at least. Volatile keeps
        // the loads apart.
        let word = unsafe { from.wrapping_add(at).read_volatile() };
        // SAFETY: as above, and the caller's word.
        unsafe { to.wrapping_add(at).write(word) };
    }
}

/// A message with the number of what it came from: of a monitor, by which it can be found in the mailbox; of an
/// attached stream, which is told when it is taken.
#[repr(C)]
struct NumberedNode<M> {
    whole: MessageNode<M>,
    id: u64,
}

impl<M> NumberedNode<M> {
    const LAYOUT: Layout = Layout::new::<Self>();
    const DOWN: NodeVt = NodeVt { tag: tag::DOWN, ..Self::PLAIN };
    const ITEM: NodeVt = NodeVt { tag: tag::ITEM, ..Self::PLAIN };
    /// Once it is taken, it is a message like any other.
    const PLAIN: NodeVt = NodeVt {
        tag: tag::MESSAGE,
        counted: false,
        urgent: false,
        detach: false,
        free: free_numbered::<M>,
        dispose: dispose_numbered::<M>,
    };
}

/// Allocates a node for the message of the monitor `id`. As [`uncounted`], but for what it can be found by.
pub(crate) fn down<M: 'static>(msg: M, id: u64) -> NonNull<Node> {
    numbered(msg, id, const { &NumberedNode::<M>::DOWN })
}

/// A node for an item of the attached stream `id`. As [`uncounted`], but for what it says when it is taken.
pub(crate) fn item<M: Send + 'static>(msg: M, id: u64) -> Carried {
    Carried(numbered(msg, id, const { &NumberedNode::<M>::ITEM }))
}

fn numbered<M: 'static>(msg: M, id: u64, vt: &'static NodeVt) -> NonNull<Node> {
    let whole = Box::new(NumberedNode { whole: MessageNode { node: Node::new(vt), msg }, id });
    // SAFETY: a box is not null.
    unsafe { NonNull::new_unchecked(Box::into_raw(whole)) }.cast()
}

/// Whether `node` is the message of the monitor `id`.
///
/// # Safety
/// `node` waits in the mailbox of an actor whose messages are `M`s.
pub(crate) unsafe fn is_down<M>(node: NonNull<Node>, id: u64) -> bool {
    // SAFETY: the caller's word.
    if unsafe { Node::vt(node) }.tag != tag::DOWN {
        return false;
    }
    // SAFETY: nodes of this tag are made by `down`, here for an `M`.
    unsafe { number_of::<M>(node) == id }
}

/// The number in a node of the tag `DOWN` or `ITEM`.
///
/// # Safety
/// `node` is such a node, made for this very `M`, and allocated.
pub(crate) unsafe fn number_of<M>(node: NonNull<Node>) -> u64 {
    let at = node.as_ptr().wrapping_byte_add(offset_of!(NumberedNode<M>, id)).cast::<u64>();
    // SAFETY: the caller's word: the number lies inside.
    unsafe { at.read() }
}

/// Makes a message with a number, which was taken from the mailbox, a plain one.
///
/// # Safety
/// `node` is the caller's, was made by [`down`] or [`item`] for this very `M`, and its message is still there.
pub(crate) unsafe fn plain_from_numbered<M>(node: NonNull<Node>) {
    // SAFETY: the caller's word; the tables differ in the tag alone.
    unsafe { node.write(Node::new(const { &NumberedNode::<M>::PLAIN })) };
}

/// Pushes a fresh message node, unless the mailbox is bounded. Refused or turned away, it is the caller's again.
#[inline(always)]
pub(crate) fn push(to: CellPtr, node: NonNull<Node>) -> Result<Push, Barred> {
    // SAFETY: callers pass a node that they have just made and give it up; messages are Send.
    unsafe { to.header().inbox.push_plain(node, node, 1) }
}

/// Pushes a node that the bound of the mailbox has let in, or that is none of its business.
pub(crate) fn push_anyway(to: CellPtr, node: NonNull<Node>) -> Push {
    // SAFETY: callers pass a whole node of theirs and give it up; what is in it is Send.
    unsafe { to.header().inbox.push_one(node) }
}

/// As [`push`], of a node that [`uncounted`] made.
pub(crate) fn push_uncounted(to: CellPtr, node: NonNull<Node>) -> Push {
    // SAFETY: as for `push`.
    unsafe { to.header().inbox.push(node, node, 0) }
}

/// A refused node as an error's body.
#[cold]
pub(crate) fn refused<M: 'static>(node: NonNull<Node>) -> Refused<M> {
    Refused { node, _message: PhantomData }
}

/// Moves the message out; the node's memory is still to be freed.
///
/// # Safety
/// `node` was made by [`node`] or [`uncounted`] for this very `M`, and its message is still there.
#[inline]
pub(crate) unsafe fn take<M>(node: NonNull<Node>) -> M {
    // SAFETY: the caller's word; the message is inside the node's allocation.
    unsafe { place_of::<M>(node).read() }
}

/// Where the message of a node is.
#[inline]
pub(crate) fn place_of<M>(node: NonNull<Node>) -> *const M {
    node.as_ptr().wrapping_byte_add(offset_of!(MessageNode<M>, msg)).cast::<M>()
}

/// The function behind [`NodeVt::free`].
unsafe fn free<M>(node: NonNull<Node>) {
    // SAFETY: allocated by `make` with this layout; the message was moved out.
    unsafe { dealloc(node.as_ptr().cast(), MessageNode::<M>::LAYOUT) };
}

/// The function behind [`NodeVt::dispose`]: the memory goes first, so that a panic in the message's
/// drop leaks nothing.
unsafe fn dispose<M>(node: NonNull<Node>) {
    // SAFETY: an unread node still has its message.
    let msg = unsafe { take::<M>(node) };
    // SAFETY: moved out just above.
    unsafe { free::<M>(node) };
    drop(msg);
}

/// As [`free`].
unsafe fn free_numbered<M>(node: NonNull<Node>) {
    // SAFETY: allocated by `numbered` as a box; the message was moved out, so only the memory goes.
    unsafe { dealloc(node.as_ptr().cast(), NumberedNode::<M>::LAYOUT) };
}

/// As [`dispose`].
unsafe fn dispose_numbered<M>(node: NonNull<Node>) {
    // SAFETY: an unread node still has its message.
    let msg = unsafe { take::<M>(node) };
    // SAFETY: moved out just above.
    unsafe { free_numbered::<M>(node) };
    drop(msg);
}

/// A message of some type in its node, on its way inside something else.
pub(crate) struct Carried(NonNull<Node>);

// SAFETY: it owns a message that is `Send`: `carried` asks for it.
unsafe impl Send for Carried {}

/// Puts a message into a node that counts in the mailbox's length.
pub(crate) fn carried<M: Send + 'static>(msg: M) -> Carried {
    Carried(node(msg))
}

/// As [`carried`], of a message that the runtime sends in the user's name.
pub(crate) fn carried_uncounted<M: Send + 'static>(msg: M) -> Carried {
    Carried(uncounted(msg))
}

impl Carried {
    /// Takes over an unread node that was taken from its mailbox.
    pub(crate) fn adopt(node: NonNull<Node>) -> Self {
        Carried(node)
    }

    /// Where its node is.
    pub(crate) fn addr(&self) -> usize {
        self.0.addr().get()
    }

    /// Whether it counts in the mailbox's length.
    pub(crate) fn is_counted(&self) -> bool {
        // SAFETY: an unread node that nobody else has.
        unsafe { Node::vt(self.0) }.counted
    }

    /// The node. It is the caller's.
    pub(crate) fn into_node(self) -> NonNull<Node> {
        let node = self.0;
        std::mem::forget(self);
        node
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        // SAFETY: an unread node that nobody else has.
        let vt = unsafe { Node::vt(self.0) };
        // SAFETY: as above.
        unsafe { (vt.dispose)(self.0) };
    }
}

/// A message that was refused, still in its node.
pub(crate) struct Refused<M: 'static> {
    node: NonNull<Node>,
    _message: PhantomData<M>,
}

// SAFETY: it owns the message, like a Box.
unsafe impl<M: Send> Send for Refused<M> {}
// SAFETY: nothing gives out a `&M`: a shared `Refused` can only be looked at as an error.
unsafe impl<M> Sync for Refused<M> {}

impl<M> Refused<M> {
    pub(crate) fn into_message(self) -> M {
        let node = self.node;
        std::mem::forget(self);
        // SAFETY: an unread node of an `M`; `self` is forgotten, so this is the only taking.
        let msg = unsafe { take::<M>(node) };
        // SAFETY: moved out just above.
        unsafe { free::<M>(node) };
        msg
    }
}

impl<M> Drop for Refused<M> {
    fn drop(&mut self) {
        // SAFETY: an unread node of an `M` that nobody else has.
        unsafe { dispose::<M>(self.node) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_refused_message_comes_back_or_is_dropped_once() {
        let counted = Arc::new(());
        let back = refused::<Arc<()>>(node(counted.clone())).into_message();
        assert_eq!(Arc::strong_count(&counted), 2);
        drop(back);
        drop(refused::<Arc<()>>(node(counted.clone())));
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}

//! The owner's half of an inbox: how far it has read, and what it has read but not handled.

use std::ptr::{self, NonNull};

use crate::node::Node;

/// The node at `seen` was handled: only its memory is left.
const DONE: usize = 1;

/// The owner's half of an [`Inbox`](super::Inbox), 24 bytes: the cursor into the shared list and a
/// private FIFO of the nodes taken from it.
///
/// Whoever runs the inbox's owner writes it; nobody else reads it.
///
/// The node the cursor stands at stays allocated until the cursor moves on, even after it was
/// handled, so that its address cannot come back in the inbox word: this is what lets `drain` do
/// without a swap and `settle` with one CAS. [`retire`](Self::retire) knows this.
///
/// Dropping a cursor frees nothing: close the inbox with it and dispose of what `pop` gives.
#[derive(Debug)]
#[repr(C)]
pub struct Cursor {
    /// Newest node of the private FIFO; meaningless when that is empty. First of the three, since it is used
    /// once a batch only, and may then lie on the senders' line.
    last: *mut Node,
    /// The newest node already taken, with `DONE` in the low bit; null when there is none.
    seen: *mut Node,
    /// Oldest node of the private FIFO; null when that is empty. Linked by `next`, to null.
    first: *mut Node,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Cursor>() == 24);

// SAFETY: the nodes belong to the cursor, and a push onto an inbox demands payloads that may be
// sent to another thread (`Inbox::push`, `# Safety`).
unsafe impl Send for Cursor {}

impl Default for Cursor {
    fn default() -> Self {
        Self::new()
    }
}

impl Cursor {
    /// A cursor for an inbox from which nothing was taken yet.
    #[inline]
    pub const fn new() -> Self {
        Self { seen: ptr::null_mut(), first: ptr::null_mut(), last: ptr::null_mut() }
    }

    /// Whether no node waits in the private FIFO.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// The oldest node of the private FIFO. It is the caller's now: to be handled and
    /// [retired](Self::retire), or put back.
    #[inline]
    pub fn pop(&mut self) -> Option<NonNull<Node>> {
        let node = NonNull::new(self.first)?;
        // SAFETY: the nodes of the FIFO are the cursor's until they are popped.
        self.first = unsafe { Node::next(node) };
        Some(node)
    }

    /// The node `pop` would give. It stays the cursor's.
    #[inline]
    pub fn peek(&self) -> Option<NonNull<Node>> {
        NonNull::new(self.first)
    }

    /// Puts a node at the front of the private FIFO.
    ///
    /// # Safety
    ///
    /// The caller owns the node and gives it away. Its payload may be sent to another thread.
    #[inline]
    pub unsafe fn push_front(&mut self, node: NonNull<Node>) {
        // SAFETY: the caller owns the node.
        unsafe { Node::set_next(node, self.first) };
        if self.first.is_null() {
            self.last = node.as_ptr();
        }
        self.first = node.as_ptr();
    }

    /// Puts a node at the back of the private FIFO: a signal that turns out to be a message keeps
    /// its place in the stream that way.
    ///
    /// # Safety
    ///
    /// As for [`push_front`](Self::push_front).
    #[inline]
    pub unsafe fn push_back(&mut self, node: NonNull<Node>) {
        // SAFETY: the caller owns the node.
        unsafe { Node::set_next(node, ptr::null_mut()) };
        self.append(node.as_ptr(), node.as_ptr());
    }

    /// Puts all that waits in the private FIFO of `other` at the front of this one, in its order. Where `other` has
    /// read to is its own.
    pub fn prepend(&mut self, other: &mut Cursor) {
        let (oldest, newest) = (std::mem::replace(&mut other.first, ptr::null_mut()), other.last);
        if oldest.is_null() {
            return;
        }
        // SAFETY: the FIFO of `other` was not empty, so `last` is a node of it, not null.
        let last = unsafe { NonNull::new_unchecked(newest) };
        // SAFETY: the nodes of the FIFO were the other cursor's, and are this one's from here on.
        unsafe { Node::set_next(last, self.first) };
        if self.first.is_null() {
            self.last = newest;
        }
        self.first = oldest;
    }

    /// Takes the oldest node of the private FIFO that is looked for out of its place. It is the caller's, as one
    /// that [`pop`](Self::pop) gives. The cost is that of a walk up to there.
    pub fn extract(
        &mut self,
        mut is_it: impl FnMut(NonNull<Node>) -> bool,
    ) -> Option<NonNull<Node>> {
        let (mut before, mut at) = (None, self.first);
        while let Some(node) = NonNull::new(at) {
            // SAFETY: the nodes of the FIFO are the cursor's.
            let next = unsafe { Node::next(node) };
            if !is_it(node) {
                (before, at) = (Some(node), next);
                continue;
            }
            match before {
                None => self.first = next,
                Some(before) => {
                    // SAFETY: as above.
                    unsafe { Node::set_next(before, next) };
                    if next.is_null() {
                        self.last = before.as_ptr();
                    }
                }
            }
            return Some(node);
        }
        None
    }

    /// Takes the node behind `before` out of the private FIFO, or the oldest one. It is the caller's, as one that
    /// [`pop`](Self::pop) gives. With [`put_behind`](Self::put_behind) this walks the FIFO node by node, from
    /// wherever a former walk has stopped, and each node is out of it while it is looked at.
    ///
    /// # Safety
    ///
    /// `before` is in the private FIFO.
    #[inline]
    pub unsafe fn take_behind(&mut self, before: Option<NonNull<Node>>) -> Option<NonNull<Node>> {
        let Some(before) = before else { return self.pop() };
        // SAFETY: the nodes of the FIFO are the cursor's.
        let node = NonNull::new(unsafe { Node::next(before) })?;
        // SAFETY: as above.
        let next = unsafe { Node::next(node) };
        // SAFETY: as above.
        unsafe { Node::set_next(before, next) };
        if next.is_null() {
            self.last = before.as_ptr();
        }
        Some(node)
    }

    /// Puts a node into the private FIFO behind `before`, or at the front: the way back from
    /// [`take_behind`](Self::take_behind).
    ///
    /// # Safety
    ///
    /// `before` is in the private FIFO. The caller owns the node and gives it away. Its payload may be sent to
    /// another thread.
    #[inline]
    pub unsafe fn put_behind(&mut self, before: Option<NonNull<Node>>, node: NonNull<Node>) {
        let Some(before) = before else {
            // SAFETY: the caller's promise.
            return unsafe { self.push_front(node) };
        };
        // SAFETY: the nodes of the FIFO are the cursor's.
        let next = unsafe { Node::next(before) };
        // SAFETY: the caller owns the node.
        unsafe { Node::set_next(node, next) };
        // SAFETY: as for `next`.
        unsafe { Node::set_next(before, node.as_ptr()) };
        if next.is_null() {
            self.last = node.as_ptr();
        }
    }

    /// Whether a node stands behind `before` in the private FIFO, or any if there is no `before`.
    ///
    /// # Safety
    ///
    /// `before` is in the private FIFO.
    #[inline]
    pub unsafe fn has_behind(&self, before: Option<NonNull<Node>>) -> bool {
        match before {
            None => !self.is_empty(),
            // SAFETY: the nodes of the FIFO are the cursor's.
            Some(before) => !unsafe { Node::next(before) }.is_null(),
        }
    }

    /// Gives back the memory of a node that was handled: now, or when the cursor moves on if it
    /// stands at this node.
    ///
    /// # Safety
    ///
    /// The node came from `pop` or `on_signal` of this cursor and its payload was moved out (or
    /// it never had one to drop). It is not touched again. For a `detach` node this is right as
    /// well when its memory is indeed to be freed by its `free`.
    #[inline]
    pub unsafe fn retire(&mut self, node: NonNull<Node>) {
        if node.as_ptr() == self.seen {
            self.seen = self.seen.map_addr(|seen| seen | DONE);
        } else {
            // SAFETY: the caller gives the node away, and it is not the one the cursor needs.
            unsafe { free(node) };
        }
    }

    /// Appends a chain, linked from oldest to newest and ending in null.
    #[inline]
    pub(super) fn append(&mut self, oldest: *mut Node, newest: *mut Node) {
        match NonNull::new(self.first) {
            None => self.first = oldest,
            Some(_) => {
                debug_assert!(!self.last.is_null());
                // SAFETY: the FIFO is not empty, so `last` is a node of it, not null.
                let last = unsafe { NonNull::new_unchecked(self.last) };
                // SAFETY: the nodes of the FIFO are the cursor's.
                unsafe { Node::set_next(last, oldest) };
            }
        }
        self.last = newest;
    }

    /// Where the cursor stands.
    #[inline]
    pub(super) fn seen(&self) -> *mut Node {
        self.seen.map_addr(|seen| seen & !DONE)
    }

    /// Moves the cursor on and frees the node it stood at, if that was handled.
    #[inline]
    pub(super) fn advance(&mut self, to: *mut Node) {
        let old = Seen(std::mem::replace(&mut self.seen, to));
        old.leave();
    }

    /// Takes the position out, so that the cursor can be given to the next owner.
    #[inline]
    pub(super) fn detach(&mut self) -> Seen {
        Seen(std::mem::replace(&mut self.seen, ptr::null_mut()))
    }

    /// Puts back what [`detach`](Self::detach) took.
    #[inline]
    pub(super) fn attach(&mut self, seen: Seen) {
        self.seen = seen.0;
    }
}

/// The position of a cursor, taken out of it.
pub(super) struct Seen(*mut Node);

impl Seen {
    /// Gives the position up and frees the node, if it was handled. (If not, the node is in the
    /// private FIFO or in the hands of the user, and `retire` will free it.)
    #[inline]
    pub(super) fn leave(self) {
        if self.0.addr() & DONE != 0 {
            let node = self.0.map_addr(|seen| seen & !DONE);
            // SAFETY: `DONE` is only set on a pointer to a node.
            let node = unsafe { NonNull::new_unchecked(node) };
            // SAFETY: a node with `DONE` was retired, and the cursor no longer needs it.
            unsafe { free(node) };
        }
    }
}

/// # Safety
///
/// The caller owns the node, its payload was moved out, and it is not touched again.
#[inline]
unsafe fn free(node: NonNull<Node>) {
    // SAFETY: the caller owns the node.
    let vt = unsafe { Node::vt(node) };
    // SAFETY: the vtable is the node's own; the caller's promise is the function's condition.
    unsafe { (vt.free)(node) };
}

//! Asking an actor what it calls a message, before its handler has it.

use super::{Actor, CellPtr, Node, NonNull, call};

/// What `A` calls the message in `node`, which is at `msg`. An actor that names none pays nothing.
///
/// # Safety
/// The caller owns `cell`, an `A`'s, has no reference to its cursor, and has popped `node`: a plain one, or a request.
/// The message is there, and is read by nobody else before this returns, nor after a panic.
#[inline]
pub(super) unsafe fn of_unread<A: Actor>(
    cell: CellPtr,
    node: NonNull<Node>,
    msg: *const A::Msg,
    is_plain: bool,
) -> Option<&'static str> {
    let unread = Unread { cell, node, msg, is_plain };
    // SAFETY: the caller's word.
    let name = A::msg_name(unsafe { &*msg });
    std::mem::forget(unread);
    name
}

/// Dropped by a panic of the user's, the message is as if its handler had dropped it.
struct Unread<M> {
    cell: CellPtr,
    node: NonNull<Node>,
    msg: *const M,
    is_plain: bool,
}

impl<M> Drop for Unread<M> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: `of_unread`'s contract: it is there, and nobody else's.
        let _msg = unsafe { self.msg.read() };
        if self.is_plain {
            // SAFETY: as above: the owner, with the only reference; the payload is out.
            unsafe { self.cell.cursor().retire(self.node) };
        } else {
            // SAFETY: as above, of a request.
            unsafe { call::request_taken(self.node) };
        }
    }
}

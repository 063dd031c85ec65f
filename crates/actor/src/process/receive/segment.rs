//! The part of a receive's walk that goes through a segment of a [ring](crate::bound::ring).
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming the cursor of the cell and using it are one access"
)]

use whitebeam_sync::node::Node;

use super::{At, offer};
use crate::{
    bound::ring::{self, Found},
    cell::CellPtr,
    message::tag,
};

/// What a look at a segment came to.
pub(super) enum InSegment<T> {
    Taken(T),
    /// A message was refused.
    Refused,
    /// The receive has gone past it.
    Left,
    /// All that is there was refused.
    Nothing,
}

/// Looks at the next message of the segment that the receive stands in. The caller is the owner, with no reference to
/// its cursor alive, and the token is behind the node that the receive stands at.
#[cold]
pub(super) fn look_in_segment<M: Send + 'static, T>(
    cell: CellPtr,
    at: &mut At,
    take: &mut impl FnMut(M) -> Result<T, M>,
) -> InSegment<T> {
    let Some((token, next)) = at.segment else { return InSegment::Left };
    match ring::look(cell, token, next) {
        Found::Message(node, held) => {
            // Dropped also by a panic of who looks at it: it was taken.
            // SAFETY: out of the ring; in a process's ring are its messages, `M`s.
            match unsafe { offer::<M, T>(cell, node, take) } {
                Ok(taken) => {
                    drop(held);
                    InSegment::Taken(taken)
                }
                Err(node) => {
                    at.segment = Some((token, held.put_back(node)));
                    InSegment::Refused
                }
            }
        }
        Found::Nothing => {
            // SAFETY: the caller's word; the token is in the FIFO.
            let Some(behind) = (unsafe { cell.cursor().take_behind(Some(token)) }) else {
                return InSegment::Nothing;
            };
            // SAFETY: taken out just above.
            if unsafe { Node::vt(behind) }.tag == tag::TOKEN {
                ring::merge(cell, behind);
                // SAFETY: taken out just above; a token has no payload.
                unsafe { cell.cursor().retire(behind) };
                return InSegment::Left;
            }
            // SAFETY: nothing has come between the two.
            unsafe { cell.cursor().put_behind(Some(token), behind) };
            (at.node, at.segment) = (Some(token), None);
            InSegment::Left
        }
        Found::Over => {
            at.segment = None;
            // SAFETY: the caller's word; the node that the receive stands at is in the FIFO.
            if let Some(token) = unsafe { cell.cursor().take_behind(at.node) } {
                // SAFETY: taken out just above; a token has no payload.
                unsafe { cell.cursor().retire(token) };
            }
            InSegment::Left
        }
    }
}

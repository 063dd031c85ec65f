//! The senders' side: pushes, and what they are answered.

use std::ptr::NonNull;

use super::{
    Inbox,
    word::{GUARD, Word},
};
use crate::{node::Node, shim::atomic::Ordering};

/// What a sender owes after a push, a raise or a wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an owner that is not scheduled sleeps over its mail; a closed inbox leaves the node to the caller"]
pub enum Push {
    /// Nothing: the owner will see it.
    Queued,
    /// The owner was idle, and now belongs to the caller, who must schedule it.
    Schedule,
    /// The inbox is closed. Nodes still belong to the caller; what the owner wrote before it
    /// closed is visible.
    Closed,
}

/// Why a plain push was turned away. Nodes still belong to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// As [`Push::Closed`].
    Closed,
    /// The inbox is guarded: the caller asks whoever guards it, and pushes otherwise. What was written before it was
    /// guarded is visible.
    Guarded,
}

/// Where the newest end of an inbox is, for who has pushed a node there and keeps it allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The node is the newest.
    Here,
    /// All was drained, and the owner has gone idle. What it wrote before is visible.
    Idle,
    /// Something was pushed behind the node, or the owner has taken it and may have gone on since.
    Elsewhere,
    /// The inbox is closed.
    Closed,
}

impl Inbox {
    /// Pushes a chain of nodes, linked from `newest` to `oldest` by [`Node::link`], as one.
    /// `counted` is the number of its nodes with [`NodeVt::counted`](crate::node::NodeVt).
    ///
    /// # Safety
    ///
    /// The caller owns the nodes and gives them away unless the answer is [`Push::Closed`]. Each
    /// pointer is valid for its whole allocation. Payloads may be sent to another thread.
    #[inline]
    pub unsafe fn push(&self, newest: NonNull<Node>, oldest: NonNull<Node>, counted: u32) -> Push {
        // SAFETY: the caller's promise.
        let push = unsafe { self.publish::<false, ()>(newest, oldest, counted, || ()) };
        push.unwrap_or_else(|| self.refuse())
    }

    /// As [`push`](Self::push), unless the inbox is guarded.
    ///
    /// # Errors
    ///
    /// The inbox is closed or guarded: the nodes are still the caller's.
    ///
    /// # Safety
    ///
    /// The caller owns the nodes and gives them away, unless there is an error. Each pointer is valid for its whole
    /// allocation. Payloads may be sent to another thread.
    #[inline]
    pub unsafe fn push_plain(
        &self,
        newest: NonNull<Node>,
        oldest: NonNull<Node>,
        counted: u32,
    ) -> Result<Push, Barred> {
        // SAFETY: the caller's promise.
        let push = unsafe { self.publish::<true, ()>(newest, oldest, counted, || ()) };
        push.ok_or_else(|| self.turn_away())
    }

    /// Pushes one node, for a caller who may only rely on the inbox until it is pushed: who takes it may free
    /// the inbox at once. Rarely the push is not over then (the count has wrapped), and what `keep` makes
    /// keeps the inbox until it is.
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push).
    #[inline]
    pub unsafe fn push_last<K>(&self, node: NonNull<Node>, keep: impl Fn() -> K) -> Push {
        // SAFETY: the caller owns the node.
        let counted = u32::from(unsafe { Node::vt(node) }.counted);
        // SAFETY: the caller's promise; a single node is a chain.
        let push = unsafe { self.publish::<false, K>(node, node, counted, keep) };
        push.unwrap_or_else(|| self.refuse())
    }

    /// `None`: it was refused, or turned away if it is a plain push.
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push).
    #[inline]
    unsafe fn publish<const PLAIN: bool, K>(
        &self,
        newest: NonNull<Node>,
        oldest: NonNull<Node>,
        counted: u32,
        keep: impl Fn() -> K,
    ) -> Option<Push> {
        if !Word::can_hold(newest.as_ptr()) {
            address_out_of_range();
        }
        let mut word = Word(self.head.load(Ordering::Relaxed));
        loop {
            if if PLAIN { word.is_barred() } else { word.is_closed() } {
                return None;
            }
            // SAFETY: the chain is the caller's until the CAS below succeeds.
            unsafe { Node::set_next(oldest, word.newest()) };
            let (pushed, carry) = word.pushed(newest.as_ptr(), counted);
            let kept = (carry != 0).then(&keep);
            match self.exchange(word, pushed) {
                Ok(push) => {
                    if carry != 0 {
                        self.carry(carry);
                        drop(kept);
                    }
                    return Some(push);
                }
                Err(now) => word = now,
            }
        }
    }

    /// Pushes one node.
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push).
    #[inline]
    pub unsafe fn push_one(&self, node: NonNull<Node>) -> Push {
        // SAFETY: the caller owns the node.
        let counted = u32::from(unsafe { Node::vt(node) }.counted);
        // SAFETY: the caller's promise; a single node is a chain.
        unsafe { self.push(node, node, counted) }
    }

    /// Pushes one node, unless the inbox is guarded.
    ///
    /// # Errors
    ///
    /// As for [`push_plain`](Self::push_plain).
    ///
    /// # Safety
    ///
    /// As for [`push_plain`](Self::push_plain).
    #[inline]
    pub unsafe fn push_one_plain(&self, node: NonNull<Node>) -> Result<Push, Barred> {
        // SAFETY: the caller owns the node.
        let counted = u32::from(unsafe { Node::vt(node) }.counted);
        // SAFETY: the caller's promise; a single node is a chain.
        unsafe { self.push_plain(node, node, counted) }
    }

    /// Guards the inbox, for good: plain pushes are turned away from now on. For who has it to itself yet.
    pub fn guard(&self) {
        // Release: who is turned away finds what guards it.
        self.head.fetch_or(GUARD, Ordering::Release);
    }

    /// Where the newest end is, seen from `node`.
    #[inline]
    #[must_use]
    pub fn end(&self, node: NonNull<Node>) -> End {
        // Acquire: settle, and close.
        let word = Word(self.head.load(Ordering::Acquire));
        if word.is_closed() {
            End::Closed
        } else if word.is_idle() {
            End::Idle
        } else if word.newest().addr() == node.addr().get() {
            End::Here
        } else {
            End::Elsewhere
        }
    }

    #[cold]
    pub(super) fn refuse(&self) -> Push {
        // Acquire: pairs with the close that was seen relaxed.
        let word = Word(self.head.load(Ordering::Acquire));
        debug_assert!(word.is_closed());
        Push::Closed
    }

    #[cold]
    fn turn_away(&self) -> Barred {
        // Acquire: pairs with the close, or the guard, that was seen relaxed.
        let word = Word(self.head.load(Ordering::Acquire));
        debug_assert!(word.is_barred());
        if word.is_closed() { Barred::Closed } else { Barred::Guarded }
    }

    #[cold]
    fn carry(&self, wraps: u32) {
        // Release: `pushed` reads this first, and then no count older than the push before.
        self.wraps.fetch_add(wraps, Ordering::Release);
    }
}

/// The word cannot hold the address of a node, and a truncated one would be a wild pointer.
#[cold]
#[inline(never)]
fn address_out_of_range() -> ! {
    // No unwinding: a push must not fail half way in code that counts on its answer.
    std::process::abort()
}

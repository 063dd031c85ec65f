//! Where messages wait for the next incarnation of the process that has left them unread.
//!
//! Shared by all clones of the options that it belongs to; one of them is the process's own while that lives. Only its
//! end and its start look at it, so a lock is cheap enough.

use std::{
    collections::VecDeque,
    fmt,
    ptr::NonNull,
    sync::{Arc, Weak},
};

use whitebeam_sync::{
    inbox::{Cursor, Push},
    node::Node,
    shim::Mutex,
};

use super::{
    Type, dropped_later,
    kept::{self, times_of, wrap},
    reached_next,
};
use crate::{
    ExitReason, bound,
    cell::CellPtr,
    contain::contain,
    local,
    message::{Carried, tag},
    shared::Shared,
};

/// See the module's text.
pub(crate) struct Keeper {
    message: Type,
    /// Messages at a time.
    most: usize,
    /// How often each may be kept.
    times: u32,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Oldest first, each in a node of `kept`.
    messages: VecDeque<Carried>,
    /// Of the process that has left them: its runtime, which counts them, and its reason.
    left: Option<(Weak<Shared>, ExitReason)>,
}

impl Keeper {
    pub(super) fn new(message: Type, most: usize, times: u32) -> Self {
        Keeper { message, most, times, kept: Mutex::default() }
    }

    pub(super) fn message(&self) -> Type {
        self.message
    }

    /// Takes what is to be kept out of the mailbox of a process that has ended. Called by its owner.
    pub(super) fn take(&self, cell: CellPtr, cursor: &mut Cursor, reason: &ExitReason) {
        let mut left = None;
        let mut kept = self.kept.lock();
        let before = kept.messages.len();
        let mut behind = None;
        while kept.messages.len() < self.most {
            // SAFETY: `behind` was put there just before.
            let Some(node) = (unsafe { cursor.take_behind(behind) }) else { break };
            // SAFETY: taken out just above.
            match unsafe { self.next_time(node) } {
                Some(times) => {
                    cell.header().took(1);
                    // SAFETY: as above.
                    kept.messages.push_back(unsafe { again(node, times) });
                }
                None => {
                    // SAFETY: where it was.
                    unsafe { cursor.put_behind(behind, node) };
                    behind = Some(node);
                }
            }
        }
        if kept.messages.len() > before {
            left = kept.left.replace((Arc::downgrade(&cell.shared().arc()), reason.clone()));
        }
        // Behind the lock: a reason is the user's.
        drop(kept);
        drop(left);
    }

    /// How often the message of a node will have been kept, if it is to be.
    ///
    /// # Safety
    /// The node was taken from a mailbox and is the caller's.
    unsafe fn next_time(&self, node: NonNull<Node>) -> Option<u32> {
        // SAFETY: the caller's word.
        let vt = unsafe { Node::vt(node) };
        let is_message = match vt.tag {
            tag::KEPT => true,
            tag::MESSAGE | tag::NARROWED => vt.counted,
            _ => false,
        };
        // SAFETY: the caller's word.
        let times = unsafe { times_of(node) };
        (is_message && times < self.times).then_some(times + 1)
    }

    /// Puts what was kept into the mailbox of a process that is not published yet. Called by its spawner.
    pub(super) fn give(&self, cell: CellPtr) {
        let messages = std::mem::take(&mut self.kept.lock().messages);
        if messages.is_empty() {
            return;
        }
        reached_next(cell.shared(), messages.len() as u64);
        for message in messages {
            if cell.header().is_bounded() {
                bound::received(cell, true);
            }
            let node = message.into_node();
            // SAFETY: given up; messages are Send. It does not say itself that it counts, see `kept`.
            let push = unsafe { cell.header().inbox.push(node, node, 1) };
            debug_assert_eq!(push, Push::Queued, "its spawner owns it");
        }
    }
}

/// A node that is kept, once more or for the first time.
///
/// # Safety
/// The node was taken from a mailbox whose inbox is closed, and is the caller's.
unsafe fn again(node: NonNull<Node>, times: u32) -> Carried {
    // SAFETY: the caller's word.
    let inner = if unsafe { Node::vt(node) }.tag == tag::KEPT {
        // SAFETY: of this tag.
        let inner = unsafe { kept::inner(node) };
        // SAFETY: taken out just above; the inbox is closed, so that its cursor does not stand at it.
        unsafe { kept::free(node) };
        inner
    } else {
        node
    };
    Carried::adopt(wrap(inner, times))
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Kept { messages, left } = std::mem::take(self.kept.get_mut());
        let Some((shared, reason)) = left.filter(|_| !messages.is_empty()) else { return };
        let dropped = messages.len() as u64;
        for message in messages {
            // A panic was told to the hook, and is nobody's.
            let _ = contain(|| local::dying(&reason, || drop(message)));
        }
        if let Some(shared) = shared.upgrade() {
            dropped_later(&shared, dropped);
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unread::keep::<{}>({}, {})", self.message.name, self.most, self.times)
    }
}

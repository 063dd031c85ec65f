//! Nodes that know whether they were freed, and an owner that runs on the thread that is told to
//! schedule it, so that ownership wanders between threads.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::super::{Cursor, Drained, Flags, Inbox, Push};
use crate::node::{Node, NodeVt};
use crate::shim::Arc;
#[cfg(loom)]
use crate::shim::atomic::AtomicPtr;
use crate::shim::atomic::{AtomicU32, Ordering};
use crate::shim::cell::UnsafeCell;

/// A node with a number. The token is dropped with the node's memory.
#[repr(C)]
struct Numbered {
    node: Node,
    number: u32,
    token: ManuallyDrop<Token>,
}

/// Counts the nodes that exist.
pub(super) type Token = Arc<()>;

/// # Safety
/// As [`NodeVt::free`] says; the node is a `Numbered`.
unsafe fn free(node: NonNull<Node>) {
    // SAFETY: made by `node` below from a box, and freed once.
    let mut boxed = unsafe { Box::from_raw(node.cast::<Numbered>().as_ptr()) };
    // SAFETY: dropped once, here.
    unsafe { ManuallyDrop::drop(&mut boxed.token) };
}

pub(super) static MESSAGE: NodeVt =
    NodeVt { tag: 0, counted: true, urgent: false, detach: false, free, dispose: free };
pub(super) static SIGNAL: NodeVt = NodeVt { counted: false, urgent: true, ..MESSAGE };
/// Comes back to its sender, who uses it again.
pub(super) static REQUEST: NodeVt = NodeVt { tag: ANSWERED, detach: true, ..MESSAGE };
/// The tag of what is answered.
const ANSWERED: u8 = 1;

pub(super) fn node(vt: &'static NodeVt, number: u32, token: &Token) -> NonNull<Node> {
    let boxed =
        Box::new(Numbered { node: Node::new(vt), number, token: ManuallyDrop::new(token.clone()) });
    NonNull::from(Box::leak(boxed)).cast()
}

pub(super) fn number(node: NonNull<Node>) -> u32 {
    // SAFETY: the tests only push `Numbered`, and ask for nodes that they own.
    unsafe { (*node.cast::<Numbered>().as_ptr()).number }
}

pub(super) fn free_now(node: NonNull<Node>) {
    // SAFETY: the tests call it once, for nodes that they own.
    unsafe { free(node) };
}

/// What becomes of a node that was handled.
pub(super) fn retire(cursor: &mut Cursor, node: NonNull<Node>) {
    // SAFETY: the tests call it once, for nodes that this cursor gave them; a number is a copy.
    unsafe { cursor.retire(node) };
}

/// What becomes of a signal that turns out to be a message, or comes too late.
pub(super) fn keep(cursor: &mut Cursor, node: NonNull<Node>) {
    // SAFETY: as for `retire`.
    unsafe { cursor.push_back(node) };
}

/// An inbox and what its owner keeps.
pub(super) struct Owner {
    pub(super) inbox: Inbox,
    cursor: UnsafeCell<Cursor>,
    /// What was handled, in order.
    log: UnsafeCell<Vec<u32>>,
    /// Messages taken, as the owner publishes it.
    pub(super) taken: AtomicU32,
    /// Flags that were raised.
    pub(super) raised: Flags,
    /// Flags the owner has seen.
    pub(super) flags: AtomicU32,
    /// Wakes the owner has seen.
    pub(super) wakes: AtomicU32,
    /// A `REQUEST` on its way back to who sent it.
    #[cfg(loom)]
    pub(super) back: AtomicPtr<Node>,
    /// What to do with a `REQUEST`, and whatever else comes with the tag of one.
    answer: fn(&Owner, NonNull<Node>),
}

// SAFETY: the cells are the owner's, and there is one by the inbox's protocol: which is what the
// tests test (loom's cells complain).
unsafe impl Sync for Owner {}
// SAFETY: as above.
unsafe impl Send for Owner {}

impl Owner {
    pub(super) fn idle() -> Self {
        Self::with(Inbox::idle(), |_, node| free_now(node))
    }

    pub(super) fn with(inbox: Inbox, answer: fn(&Owner, NonNull<Node>)) -> Self {
        Self {
            inbox,
            cursor: UnsafeCell::new(Cursor::new()),
            log: UnsafeCell::new(Vec::new()),
            taken: AtomicU32::new(0),
            raised: Flags::new(),
            flags: AtomicU32::new(0),
            wakes: AtomicU32::new(0),
            #[cfg(loom)]
            back: AtomicPtr::default(),
            answer,
        }
    }

    /// Pushes and does what is owed. True: it was accepted.
    pub(super) fn push(&self, node: NonNull<Node>) -> bool {
        // SAFETY: the node is the test's own.
        let push = unsafe { self.inbox.push_one(node) };
        if push == Push::Closed {
            free_now(node);
        }
        self.follow(push)
    }

    pub(super) fn follow(&self, push: Push) -> bool {
        if push == Push::Schedule {
            self.run();
        }
        push != Push::Closed
    }

    /// Runs the owner until it is idle. The caller owns it.
    pub(super) fn run(&self) {
        loop {
            let drained = self.drain();
            self.note(drained);
            while let Some(node) = self.cursor(Cursor::pop) {
                self.handle(node);
            }
            if self.settle() {
                return;
            }
        }
    }

    pub(super) fn drain(&self) -> Drained {
        let on_signal = |cursor: &mut Cursor, signal| {
            self.log(number(signal));
            retire(cursor, signal);
        };
        // SAFETY: the caller is the owner.
        self.cursor(|cursor| unsafe { self.inbox.drain(cursor, on_signal) })
    }

    fn note(&self, drained: Drained) {
        if drained.tagged {
            let flags = self.raised.take(u32::MAX);
            self.flags.fetch_or(flags, Ordering::Relaxed);
        }
        if drained.woken {
            self.wakes.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn handle(&self, node: NonNull<Node>) {
        self.log(number(node));
        let taken = self.taken.load(Ordering::Relaxed);
        self.taken.store(taken + 1, Ordering::Relaxed);
        // SAFETY: popped, hence the owner's.
        if unsafe { Node::vt(node) }.tag == ANSWERED {
            (self.answer)(self, node);
        } else {
            self.cursor(|cursor| retire(cursor, node));
        }
    }

    pub(super) fn settle(&self) -> bool {
        // The pointer leaves `with_mut`: settle touches the cursor before its CAS only.
        let cursor = self.cursor.with_mut(|cursor| cursor);
        // SAFETY: the caller is the owner.
        unsafe { self.inbox.settle(cursor) }
    }

    /// Closes as the owner and disposes of the rest. Returns how many nodes that were.
    pub(super) fn close(&self) -> u32 {
        // SAFETY: the caller is the owner.
        self.cursor(|cursor| unsafe { self.inbox.close(cursor, keep) });
        self.dispose()
    }

    /// Disposes of what is left in a closed inbox.
    pub(super) fn dispose(&self) -> u32 {
        let mut nodes = 0;
        while let Some(node) = self.cursor(Cursor::pop) {
            // SAFETY: popped, hence the owner's.
            let vt = unsafe { Node::vt(node) };
            // SAFETY: the node's own table.
            unsafe { (vt.dispose)(node) };
            nodes += 1;
        }
        nodes
    }

    pub(super) fn cursor<R>(&self, f: impl FnOnce(&mut Cursor) -> R) -> R {
        // SAFETY: the caller is the owner.
        self.cursor.with_mut(|cursor| f(unsafe { &mut *cursor }))
    }

    fn log(&self, number: u32) {
        // SAFETY: the caller is the owner.
        self.log.with_mut(|log| unsafe { (*log).push(number) });
    }

    /// What was handled, in order. Nobody runs the owner now.
    pub(super) fn logged(&self) -> Vec<u32> {
        // SAFETY: the caller says so.
        self.log.with(|log| unsafe { (*log).clone() })
    }
}

//! A poll that finds out what a suspended handler waits for.
//!
//! The frame is polled with a waker that leads here. What suspends a handler is the futures at the bottom of it, its
//! *leaves*, and each of them has to see to it that it is polled again:
//!
//! - one that is not ours can only do so with a clone of this waker. One that kept a clone from an earlier poll finds
//!   that this is another ([`Waker::will_wake`]) and has to clone it: who polls last is who is woken, by the contract of
//!   [`std::future::Future::poll`]. Clones, and wakes at once, are counted.
//! - one of ours knows this waker, and says what it is: a call, a start, a stop of children, or something else.
//!
//! So a probe that has met one leaf, which said what it is, knows all that the handler waits for: it stays suspended
//! until that leaf is ready. Anything else is not known, and nothing is made of it.
//!
//! For the futures in the frame the poll is one that comes for nothing, which they have to expect; if the handler goes on
//! in it, it goes on. A clone of the waker is an ordinary waker of the cell.
//!
//! A probe may also bring a [verdict](Probe::deliver) to the call that the one before it has met.
#![expect(unsafe_code, reason = "a raw waker is a pointer and a table")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{
    cell::Cell,
    mem::ManuallyDrop,
    task::{RawWaker, RawWakerVTable, Waker},
};

use whitebeam_sync::shim::atomic::{AtomicU32, Ordering};

use super::CallPath;
use crate::{
    ChildKey,
    cell::{CellPtr, CellRef},
    local, waker,
};

/// See the module's text. It lives on the stack of who polls, longer than the poll.
pub(crate) struct Probe {
    cell: CellPtr,
    /// How many leaves were met.
    leaves: AtomicU32,
    /// One that said what it is.
    leaf: Cell<Option<Leaf>>,
    /// For the call with this node.
    verdict: Cell<Option<(usize, CallPath)>>,
}

/// What a handler waits for.
pub(crate) enum Leaf {
    /// The answer to a call that nothing but a long timeout ends otherwise.
    Call {
        to: CellRef,
        /// Where its node is: compared, never followed.
        node: usize,
        /// Whether its request had been taken out of the mailbox.
        is_taken: bool,
        /// Tells the call from any other of the process.
        number: u32,
    },
    /// The end of this process's `init`.
    Start(CellRef),
    /// The ends of all children; they were told to end.
    StopAll,
    /// The end of one child, which was told to end.
    StopOne(ChildKey),
}

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake_by_ref, wake_by_ref, |_| ());

impl Probe {
    pub(super) fn new(cell: CellPtr) -> Self {
        let (leaves, leaf, verdict) = (AtomicU32::new(0), Cell::new(None), Cell::new(None));
        Probe { cell, leaves, leaf, verdict }
    }

    /// One that ends the call with the node `call`.
    pub(super) fn deliver(cell: CellPtr, call: usize, path: CallPath) -> Self {
        let probe = Self::new(cell);
        probe.verdict.set(Some((call, path)));
        probe
    }

    /// The waker for polling the cell's frame: valid as long as `self` stays where it is.
    pub(super) fn waker(&self) -> ManuallyDrop<Waker> {
        let raw = RawWaker::new((&raw const *self).cast(), &TABLE);
        // SAFETY: the table's functions keep the contract of RawWaker: they touch an atomic and the cell, which
        // outlives the poll; clones are the cell's own wakers.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
    }

    /// The probe that polls with `waker`, if the frame that is being polled on this thread is polled by it.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<&Probe> {
        if std::ptr::eq(waker.vtable(), &TABLE) { Self::here(waker) } else { None }
    }

    #[cold]
    fn here(waker: &Waker) -> Option<&Probe> {
        // SAFETY: wakers with this table are made by `waker` only, and the probe outlives them: clones are others.
        let probe = unsafe { &*waker.data().cast::<Probe>() };
        if local::current() == Some(probe.cell) {
            return Some(probe);
        }
        // Lent to another thread, or to what stands in for one: not ours to say what it waits for.
        probe.other();
        None
    }

    /// The running cell, if its frame is polled with `waker`, by a probe or not.
    pub(crate) fn polled_in(waker: &Waker) -> Option<CellPtr> {
        local::polled_with(waker).or_else(|| Self::of(waker).map(Probe::cell))
    }

    pub(crate) fn cell(&self) -> CellPtr {
        self.cell
    }

    /// A leaf that can say what it is.
    pub(crate) fn leaf(&self, leaf: Leaf) {
        self.other();
        self.leaf.set(Some(leaf));
    }

    /// A leaf of another kind.
    pub(crate) fn other(&self) {
        self.leaves.fetch_add(1, Ordering::Relaxed);
    }

    /// The error for the call with this node, if that is what the probe brings.
    pub(crate) fn verdict(&self, call: usize) -> Option<CallPath> {
        let verdict = self.verdict.take();
        match verdict {
            Some((of, path)) if of == call => Some(path),
            other => {
                self.verdict.set(other);
                None
            }
        }
    }

    /// What the handler waits for, if that is one leaf that is known.
    pub(super) fn sole(self) -> Option<Leaf> {
        let is_sole = self.leaves.load(Ordering::Relaxed) == 1;
        self.leaf.into_inner().filter(|_| is_sole)
    }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: as in `here`; from any thread, so that only what is atomic or never written is touched.
    let cell = unsafe {
        (*data.cast::<Probe>()).leaves.fetch_add(1, Ordering::Relaxed);
        (*data.cast::<Probe>()).cell
    };
    let waker = ManuallyDrop::new(Waker::clone(&waker::borrowed(cell)));
    RawWaker::new(waker.data(), waker.vtable())
}

/// Also for a wake by value: the probe's waker is lent, so nothing is released.
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as in `clone`.
    let cell = unsafe {
        (*data.cast::<Probe>()).leaves.fetch_add(1, Ordering::Relaxed);
        (*data.cast::<Probe>()).cell
    };
    waker::wake_cell(cell);
}

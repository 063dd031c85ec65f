//! What a worker thread keeps for the actor it is running.
//!
//! One thread-local without a destructor, so that an access is one instruction. Workers fill it when
//! they start and empty it when they stop ([`attach`], [`detach`]); on other threads it stays at its
//! zero values and `in_actor` says no.
#![expect(unsafe_code, reason = "the worker's free lists are reached from anywhere on the thread")]

use std::{
    cell::{Cell, UnsafeCell},
    ptr::{NonNull, null, null_mut},
    task::Waker,
};

use whitebeam_sync::slab;

use crate::{
    ExitReason,
    call::CallNode,
    cell::CellPtr,
    frame::{FrameHdr, SCRATCH_CLASSES, Scratch},
    shared::Shared,
    waker,
};

/// See the module's text.
pub(crate) struct Local {
    /// The cell whose code runs on this thread now.
    current: Cell<Option<CellPtr>>,
    /// The frame that is being polled.
    frame: Cell<*mut FrameHdr>,
    /// The reason of the process whose leavings are being dropped.
    dying: Cell<*const ExitReason>,
    /// Replies dropped by the handler that is running: answered when its outcome is known.
    deferred: UnsafeCell<Vec<NonNull<CallNode>>>,
    /// Whether there are any: read after each handler.
    has_deferred: Cell<bool>,
    /// One buffer per class for the frame of the next handler.
    pub(crate) scratch: [Scratch; SCRATCH_CLASSES],
    /// The runtime that this worker belongs to.
    shared: Cell<*const Shared>,
    slab: UnsafeCell<Option<slab::Local>>,
}

thread_local! {
    static LOCAL: std::mem::ManuallyDrop<Local> = const {
        std::mem::ManuallyDrop::new(Local {
            current: Cell::new(None),
            frame: Cell::new(null_mut()),
            dying: Cell::new(null()),
            deferred: UnsafeCell::new(Vec::new()),
            has_deferred: Cell::new(false),
            scratch: [const { Scratch::new() }; SCRATCH_CLASSES],
            shared: Cell::new(null()),
            slab: UnsafeCell::new(None),
        })
    };
}

/// Makes this thread a worker of `shared`'s runtime.
pub(crate) fn attach(shared: *const Shared) {
    LOCAL.with(|local| {
        debug_assert!(local.shared.get().is_null(), "a thread belongs to one runtime at a time");
        local.shared.set(shared);
        // SAFETY: no other reference to the slot is alive: they are made in `with_slab` and do not
        // leave it, and `attach` is not called from within.
        unsafe { *local.slab.get() = Some(slab::Local::new()) };
    });
}

/// The thread stops being a worker: free lists and buffers go back.
pub(crate) fn detach(shared: &Shared) {
    LOCAL.with(|local| {
        // SAFETY: as in `attach`.
        if let Some(mut free) = unsafe { (*local.slab.get()).take() } {
            shared.slab().flush(&mut free);
        }
        local.scratch.iter().enumerate().for_each(|(class, scratch)| scratch.clear(class));
        // SAFETY: as in `attach`; the list is empty between handlers.
        unsafe { *local.deferred.get() = Vec::new() };
        local.shared.set(null());
    });
}

/// Runs `f` with this thread's free lists if it is a worker of `shared`'s runtime.
#[inline]
pub(crate) fn with_slab<R>(shared: &Shared, f: impl FnOnce(Option<&mut slab::Local>) -> R) -> R {
    LOCAL.with(|local| {
        if std::ptr::eq(local.shared.get(), shared) {
            // SAFETY: `f` is one of the slab's operations, which call no user code: no second
            // reference is made while this one lives.
            f(unsafe { (*local.slab.get()).as_mut() })
        } else {
            f(None)
        }
    })
}

/// Marks `cell` as the one that runs on this thread, until the guard is dropped.
pub(crate) struct Running {
    before: Option<CellPtr>,
}

impl Running {
    #[inline]
    pub(crate) fn enter(cell: CellPtr) -> Self {
        LOCAL.with(|local| Running { before: local.current.replace(Some(cell)) })
    }
}

impl Drop for Running {
    #[inline]
    fn drop(&mut self) {
        LOCAL.with(|local| local.current.set(self.before));
    }
}

/// The cell whose code runs on this thread.
#[inline]
pub(crate) fn current() -> Option<CellPtr> {
    LOCAL.with(|local| local.current.get())
}

/// Whether an actor's code runs on this thread.
pub(crate) fn in_actor() -> bool {
    // A panic may come while the thread's locals are being torn down.
    LOCAL.try_with(|local| local.current.get().is_some()).unwrap_or(false)
}

/// The running cell, if `waker` is the one its frame is polled with: then a flag in its inbox does
/// what waking would.
#[inline]
pub(crate) fn polled_with(waker: &Waker) -> Option<CellPtr> {
    let cell = current()?;
    waker::is_of(waker, cell).then_some(cell)
}

/// Sets the frame that is being polled and gives the one before.
#[inline]
pub(crate) fn set_frame(frame: *mut FrameHdr) -> *mut FrameHdr {
    LOCAL.with(|local| local.frame.replace(frame))
}

#[inline]
pub(crate) fn frame() -> *mut FrameHdr {
    LOCAL.with(|local| local.frame.get())
}

/// Runs `f` while replies that are dropped are answered with `reason`.
pub(crate) fn dying<R>(reason: &ExitReason, f: impl FnOnce() -> R) -> R {
    struct Reset(*const ExitReason);
    impl Drop for Reset {
        fn drop(&mut self) {
            LOCAL.with(|local| local.dying.set(self.0));
        }
    }
    let _reset = LOCAL.with(|local| Reset(local.dying.replace(reason)));
    f()
}

/// What a reply that is dropped on this thread now says to its caller.
pub(crate) enum Unanswered {
    /// No actor's code is running, or it goes on: nobody will answer.
    NoReply,
    /// The process that had it has ended.
    Exit(ExitReason),
    /// The handler is still running: kept until its outcome is known.
    Deferred,
}

/// Takes note of a reply that is dropped unanswered.
pub(crate) fn unanswered(node: NonNull<CallNode>) -> Unanswered {
    LOCAL
        .try_with(|local| {
            // SAFETY: set by `dying` to a reference that outlives it, reset before it returns.
            if let Some(reason) = unsafe { local.dying.get().as_ref() } {
                Unanswered::Exit(reason.clone())
            } else if local.current.get().is_some() {
                // SAFETY: a push runs no user code; no other reference is alive.
                unsafe { (*local.deferred.get()).push(node) };
                local.has_deferred.set(true);
                Unanswered::Deferred
            } else {
                Unanswered::NoReply
            }
        })
        .unwrap_or(Unanswered::NoReply)
}

/// Whether the last handler dropped replies.
#[inline]
pub(crate) fn has_deferred() -> bool {
    LOCAL.with(|local| local.has_deferred.get())
}

/// The replies that the last handler dropped.
#[cold]
pub(crate) fn take_deferred() -> Vec<NonNull<CallNode>> {
    LOCAL.with(|local| {
        local.has_deferred.set(false);
        // SAFETY: no other reference is alive, see `unanswered`.
        std::mem::take(unsafe { &mut *local.deferred.get() })
    })
}

/// Runs `f` with this thread's buffers.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Local) -> R) -> R {
    LOCAL.with(|local| f(local))
}

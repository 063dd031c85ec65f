//! What a worker thread keeps for the actor it is running.
//!
//! One thread-local without a destructor, so that an access is one instruction. Workers fill it when
//! they start and empty it when they stop ([`attach`], [`detach`]), and so does a thread that stands in for
//! one ([`StandIn`]); on other threads it stays at its zero values, but while an actor is ended there.
#![expect(unsafe_code, reason = "the worker's free lists are reached from anywhere on the thread")]

use std::{
    cell::{Cell, UnsafeCell},
    ptr::{NonNull, null, null_mut},
    task::Waker,
};

use whitebeam_sync::{shim::thread_local, slab};

use crate::{
    ExitReason,
    call::CallNode,
    cell::CellPtr,
    frame::{FrameHdr, SCRATCH_CLASSES, Scratch},
    inspect::{Handled, Seen},
    shared::Shared,
    waker,
};

/// See the module's text.
pub(crate) struct Local {
    /// What others may look at: the cell whose code runs on this thread now, and how many this thread has made.
    seen: Seen,
    /// Which worker this is, if it is one and does not stand in for one.
    index: Cell<Option<usize>>,
    /// The frame that is being polled.
    frame: Cell<*mut FrameHdr>,
    /// The reason of the process whose leavings are being dropped.
    dying: Cell<*const ExitReason>,
    /// What is being dropped has found a mailbox full.
    overflows: Cell<bool>,
    /// Replies dropped by the handler that is running: answered when its outcome is known.
    deferred: UnsafeCell<Vec<NonNull<CallNode>>>,
    /// Whether there are any: read after each handler.
    has_deferred: Cell<bool>,
    /// One buffer per class for the frame of the next handler.
    pub(crate) scratch: [Scratch; SCRATCH_CLASSES],
    /// The runtime that this worker belongs to.
    shared: Cell<*const Shared>,
    stock: UnsafeCell<Option<Stock>>,
}

/// A worker's share in its runtime's process table.
#[derive(Default)]
pub(crate) struct Stock {
    /// Slots that are free.
    pub(crate) slots: slab::Local,
}

thread_local! {
    static LOCAL: std::mem::ManuallyDrop<Local> = const { std::mem::ManuallyDrop::new(Local::new()) };
}

impl Local {
    const fn new() -> Self {
        Local {
            seen: Seen::new(),
            index: Cell::new(None),
            frame: Cell::new(null_mut()),
            dying: Cell::new(null()),
            overflows: Cell::new(false),
            deferred: UnsafeCell::new(Vec::new()),
            has_deferred: Cell::new(false),
            scratch: [const { Scratch::new() }; SCRATCH_CLASSES],
            shared: Cell::new(null()),
            stock: UnsafeCell::new(None),
        }
    }

    fn swap(&self, other: &Local) {
        self.set_current(other.replace_current(self.current()));
        self.index.swap(&other.index);
        self.frame.swap(&other.frame);
        self.dying.swap(&other.dying);
        self.overflows.swap(&other.overflows);
        // SAFETY: no reference into either is alive: they are made in functions of this file that call no
        // user code.
        unsafe { std::ptr::swap(self.deferred.get(), other.deferred.get()) };
        self.has_deferred.swap(&other.has_deferred);
        self.scratch.iter().zip(&other.scratch).for_each(|(one, two)| one.swap(two));
        self.shared.swap(&other.shared);
        // SAFETY: as above.
        unsafe { std::ptr::swap(self.stock.get(), other.stock.get()) };
    }

    #[inline]
    fn current(&self) -> Option<CellPtr> {
        // SAFETY: only cells are put there, which stay allocated while their code runs.
        NonNull::new(self.seen.current.get()).map(|cell| unsafe { CellPtr::new(cell) })
    }

    #[inline]
    fn set_current(&self, cell: Option<CellPtr>) {
        self.seen.current.set(cell.map_or(null_mut(), CellPtr::as_ptr));
    }

    /// Gives the one before.
    #[inline]
    fn replace_current(&self, cell: Option<CellPtr>) -> Option<CellPtr> {
        let before = self.current();
        self.set_current(cell);
        before
    }

    /// The runtime may look at what this thread lets others see.
    fn show(&self) {
        // SAFETY: it is set by `attach` for as long as the runtime is there.
        let Some(shared) = (unsafe { self.shared.get().as_ref() }) else { return };
        let mut workers = shared.inspection().workers().lock();
        // SAFETY: a thread-local, which stays where it is; `hide` comes before it goes.
        unsafe { workers.add(self.index.get(), &raw const self.seen) };
    }

    /// And not any more: what this thread has counted is added up.
    fn hide(&self) {
        let shared = self.shared.get();
        // SAFETY: as in `show`.
        let Some(here) = (unsafe { shared.as_ref() }) else { return };
        here.inspection().workers().lock().remove(&self.seen);
        let cells = self.seen.cells();
        self.seen.made.set(0);
        self.seen.freed.set(0);
        // SAFETY: kept, as above.
        unsafe { Shared::add_cells(shared, cells) };
    }
}

/// Makes this thread a worker of `shared`'s runtime: the one of that number, or a stand-in.
///
/// `shared` is kept until [`detach`].
pub(crate) fn attach(shared: *const Shared, index: Option<usize>) {
    LOCAL.with(|local| {
        debug_assert!(local.shared.get().is_null(), "a thread belongs to one runtime at a time");
        local.shared.set(shared);
        local.index.set(index);
        local.show();
        // SAFETY: no other reference to the stock is alive: they are made in `with_stock` and do not
        // leave it, and `attach` is not called from within.
        unsafe { *local.stock.get() = Some(Stock::default()) };
    });
}

/// The thread stops being a worker: free lists and buffers go back.
pub(crate) fn detach(shared: &Shared) {
    LOCAL.with(|local| {
        // SAFETY: as in `attach`.
        let stock = unsafe { (*local.stock.get()).take() };
        if let Some(mut stock) = stock {
            shared.slab().flush(&mut stock.slots);
        }
        // The caller's reference keeps the runtime beyond this.
        local.hide();
        local.scratch.iter().enumerate().for_each(|(class, scratch)| scratch.clear(class));
        // SAFETY: as in `attach`; the list is empty between handlers.
        unsafe { *local.deferred.get() = Vec::new() };
        local.shared.set(null());
    });
}

/// The worker has nothing to do: its free slots go back, and what is free of the process table to the system if that
/// has become much.
pub(crate) fn give_back(shared: &Shared) {
    with_stock(shared, |stock| {
        if let Some(stock) = stock {
            shared.slab().flush(&mut stock.slots);
        }
    });
    shared.slab().trim_after_burst();
}

/// This thread stands in for a worker of a runtime that is simulated, or whose workers have stopped, until
/// the guard is dropped.
///
/// It may be inside a handler of another runtime's, whose worker it is: that one's belongings are put away
/// meanwhile.
pub(crate) struct StandIn<'a> {
    shared: &'a Shared,
    away: Local,
}

impl<'a> StandIn<'a> {
    pub(crate) fn enter(shared: &'a Shared) -> Self {
        let away = Local::new();
        LOCAL.with(|local| {
            local.hide();
            local.swap(&away);
        });
        attach(shared, None);
        StandIn { shared, away }
    }
}

impl Drop for StandIn<'_> {
    fn drop(&mut self) {
        detach(self.shared);
        LOCAL.with(|local| {
            local.swap(&self.away);
            local.show();
        });
    }
}

/// Runs `f` with this thread's stock if it is a worker of `shared`'s runtime.
#[inline]
pub(crate) fn with_stock<R>(shared: &Shared, f: impl FnOnce(Option<&mut Stock>) -> R) -> R {
    LOCAL.with(|local| {
        if std::ptr::eq(local.shared.get(), shared) {
            // SAFETY: `f` does no more than the slab's operations, which call no user code: no second
            // reference is made while this one lives.
            f(unsafe { (*local.stock.get()).as_mut() })
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
        LOCAL.with(|local| Running { before: local.replace_current(Some(cell)) })
    }
}

impl Drop for Running {
    #[inline]
    fn drop(&mut self) {
        LOCAL.with(|local| local.set_current(self.before));
    }
}

/// The cell whose code runs on this thread has taken a message of this name.
#[inline]
pub(crate) fn takes(cell: CellPtr, name: Option<&'static str>) {
    LOCAL.with(|local| local.seen.in_hand.set(cell, Handled { name, since: None }));
}

/// And has none in hand any more, that is named.
#[inline]
pub(crate) fn handled() {
    LOCAL.with(|local| local.seen.in_hand.clear());
}

/// What `cell` has in hand on this thread.
pub(crate) fn in_hand(cell: CellPtr) -> Option<Handled> {
    LOCAL.with(|local| local.seen.in_hand.read(cell))
}

/// A cell was made by this thread, which is a worker.
#[inline]
pub(crate) fn made() {
    LOCAL.with(|local| local.seen.made.set(local.seen.made.get() + 1));
}

/// A cell was freed by this thread, which is a worker.
#[inline]
pub(crate) fn freed() {
    LOCAL.with(|local| local.seen.freed.set(local.seen.freed.get() + 1));
}

/// The cell whose code runs on this thread.
#[inline]
pub(crate) fn current() -> Option<CellPtr> {
    LOCAL.with(|local| local.current())
}

/// Whether this thread polls the frame of `cell`.
#[inline]
pub(crate) fn is_polling(cell: CellPtr) -> bool {
    // Wakers are called, and dropped, from anywhere: a thread's locals may be gone by then.
    let is_here = |local: &std::mem::ManuallyDrop<Local>| {
        local.current() == Some(cell) && !local.frame.get().is_null()
    };
    LOCAL.try_with(is_here).unwrap_or(false)
}

/// Whether an actor's code runs on this thread.
pub(crate) fn in_actor() -> bool {
    panicking().is_some()
}

/// The cell whose code runs on this thread, for a panic hook.
pub(crate) fn panicking() -> Option<CellPtr> {
    // A panic may come while the thread's locals are being torn down.
    LOCAL.try_with(|local| local.current()).ok().flatten()
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
    struct Reset(*const ExitReason, bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            LOCAL.with(|local| {
                local.dying.set(self.0);
                local.overflows.set(self.1);
            });
        }
    }
    // The inner one counts, of this and of `overflowing`.
    let _reset =
        LOCAL.with(|local| Reset(local.dying.replace(reason), local.overflows.replace(false)));
    f()
}

/// Runs `f`, which drops a message that has found a mailbox full: replies that are dropped in it say so.
pub(crate) fn overflowing<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            LOCAL.with(|local| local.overflows.set(self.0));
        }
    }
    let _reset = LOCAL.with(|local| Reset(local.overflows.replace(true)));
    f()
}

/// What a reply that is dropped on this thread now says to its caller.
pub(crate) enum Unanswered {
    /// No actor's code is running, or it goes on: nobody will answer.
    NoReply,
    /// The process that had it has ended.
    Exit(ExitReason),
    /// The message that it was in has found a mailbox full.
    Full,
    /// The handler is still running: kept until its outcome is known.
    Deferred,
}

/// Takes note of a reply that is dropped unanswered.
pub(crate) fn unanswered(node: NonNull<CallNode>) -> Unanswered {
    LOCAL
        .try_with(|local| {
            if local.overflows.get() {
                return Unanswered::Full;
            }
            // SAFETY: set by `dying` to a reference that outlives it, reset before it returns.
            if let Some(reason) = unsafe { local.dying.get().as_ref() } {
                Unanswered::Exit(reason.clone())
            } else if local.current().is_some() {
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

/// Runs `f`, in which others drop replies and answer them, while those that the running handler has dropped wait on.
pub(crate) fn aside<R>(f: impl FnOnce() -> R) -> R {
    let had = has_deferred();
    let waiting = if had { take_deferred() } else { Vec::new() };
    let result = f();
    if had {
        LOCAL.with(|local| {
            // SAFETY: no other reference is alive, see `unanswered`.
            unsafe { (*local.deferred.get()).extend(waiting) };
            local.has_deferred.set(true);
        });
    }
    result
}

/// Runs `f`, which ends another process, [`aside`], and so that the frame of the running handler is not found: both are
/// none of the other's.
pub(crate) fn apart<R>(f: impl FnOnce() -> R) -> R {
    aside(|| {
        let frame = set_frame(null_mut());
        let result = f();
        set_frame(frame);
        result
    })
}

/// Calls `f` with the replies that the last handler dropped. It runs no code of the user's.
#[cold]
pub(crate) fn for_each_deferred(f: impl FnMut(NonNull<CallNode>)) {
    LOCAL.with(|local| {
        // SAFETY: no other reference is alive, see `unanswered`; `f` makes none.
        unsafe { (*local.deferred.get()).iter().copied().for_each(f) };
    });
}

/// Has [`answer_deferred`](crate::call::flush_deferred) look after the running code, although no reply was
/// dropped. `false`: no actor's code is running here.
#[cold]
pub(crate) fn ask_for_flush() -> bool {
    LOCAL.try_with(|local| local.has_deferred.set(true)).is_ok()
}

/// Runs `f` as if no actor's code were running on this thread.
#[cold]
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    let _current = LOCAL.with(|local| Running { before: local.replace_current(None) });
    let frame = set_frame(null_mut());
    let result = f();
    set_frame(frame);
    result
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

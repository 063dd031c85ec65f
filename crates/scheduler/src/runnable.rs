//! What a worker runs: one pointer, either to a [`RunHeader`] or to a plain task.
//!
//! An actor runtime brings its own cells, a future brings a task of the `async-task` crate. Both go
//! through the same queues as one word, so that an entry costs eight bytes and no allocation. The
//! kind is the low bit of the pointer (both targets are aligned to at least two bytes):
//!
//! ```text
//! xxxx...xxx0   NonNull<RunHeader>: the first field of a cell owned by the crate above
//! xxxx...xxx1   async_task::Runnable, in its raw form
//! ```
//!
//! # Ownership
//!
//! A `Runnable` is the *right to run* its target: whoever makes one promises that no second one
//! exists for the same target until this one was run. Dropping one that holds a plain task cancels
//! the task; dropping one that holds a header [tells](RunVt::dropped) the target: the crate above decides
//! what it means to it that it will not be run (see also [`Scheduler::drain`](crate::Scheduler::drain)).

#![expect(unsafe_code, reason = "type-erased run queue entries: tagged raw pointers")]

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::turn::Turn;

/// First field of everything that is run through a [`RunVt`].
///
/// The target is `#[repr(C)]` and has this header at offset 0, so that a pointer to one is a pointer
/// to the other.
#[repr(C)]
#[derive(Debug)]
pub struct RunHeader {
    /// How the target is run. Never changes while the target can be scheduled.
    pub vt: &'static RunVt,
}

/// The operations of a kind of target, one static per kind.
#[derive(Debug)]
pub struct RunVt {
    /// Runs the target until its turn is over or nothing is left to do.
    ///
    /// # Safety
    ///
    /// The pointer must come from a [`Runnable`], which is used up by the call. It is called on one
    /// thread at a time. A panic that leaves it is caught and counted by the worker, and the target
    /// is not run again: whoever wants more must catch it inside.
    pub run: unsafe fn(NonNull<RunHeader>, &mut Turn<'_>) -> Ran,
    /// Lets the target go idle after a run that left it [`Ran::Quiet`]. False: something came in meanwhile,
    /// and it is to be run again.
    ///
    /// # Safety
    ///
    /// The pointer must come from a [`Runnable`], which is used up by the call if that answers true.
    pub settle: unsafe fn(NonNull<RunHeader>) -> bool,
    /// Tells the target that it will not be run: its runnable was dropped, as a rule since it was scheduled when
    /// the scheduler had ended already. The last that is heard of it.
    ///
    /// Called by whoever schedules, or drops the scheduler, on any thread, with no lock held.
    ///
    /// # Safety
    ///
    /// The pointer must come from a [`Runnable`], which is used up by the call.
    pub dropped: unsafe fn(NonNull<RunHeader>),
}

/// What a run leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The target went idle or ended. The worker must not touch it any more: it may already be
    /// scheduled elsewhere, or freed.
    Done,
    /// The turn is over and work is left: the target goes to the back of the worker's queue.
    Again,
    /// Nothing is left to do, but the target still counts as scheduled, so that whoever sends to it need not
    /// schedule it: the worker keeps it for a moment, and then [settles](RunVt::settle) it.
    Quiet,
}

/// The right to run one target once: a cell of an actor runtime, or a plain task.
///
/// Whoever makes one promises that no second one exists for the same target until this one was run. Dropping one
/// of a plain task cancels the task; dropping one of a header [tells](RunVt::dropped) the target.
#[must_use = "a runnable that is not scheduled is never run"]
#[repr(transparent)]
pub struct Runnable(NonNull<()>);

/// Low bit of the word: set for a plain task.
const TASK: usize = 1;

/// Whether a [word](Runnable::word) is a plain task's.
pub(crate) fn is_task_word(word: u64) -> bool {
    word & TASK as u64 != 0
}

// SAFETY: a header's target is handed between threads by contract of `from_header`; a plain task is
// made by `async_task::spawn`, which asks for a `Send` future and schedule function.
unsafe impl Send for Runnable {}

impl Runnable {
    /// The right to run the target that begins with `header`.
    ///
    /// # Safety
    ///
    /// - `header` points to a live [`RunHeader`] at offset 0 of a target that its `vt.run` or `vt.dropped` may
    ///   be called with, on any thread, and stays so until that call.
    /// - No other `Runnable` of the same target exists until then.
    #[inline]
    pub unsafe fn from_header(header: NonNull<RunHeader>) -> Self {
        Runnable(header.cast())
    }

    /// The header this runnable was made of; `None` for a plain task, which is given back.
    ///
    /// # Errors
    ///
    /// The runnable itself, when it is a plain task.
    #[inline]
    pub fn into_header(self) -> Result<NonNull<RunHeader>, Runnable> {
        if self.is_task() { Err(self) } else { Ok(self.into_raw().cast()) }
    }

    /// Whether this is a plain task made by [`Handle::spawn`](crate::Handle::spawn).
    #[inline]
    #[must_use]
    pub fn is_task(&self) -> bool {
        self.0.addr().get() & TASK != 0
    }

    /// The target's address, or 0 for a plain task, whose memory comes from the allocator: where that puts the
    /// next one is no function of the program.
    pub(crate) fn identity(&self) -> u64 {
        if self.is_task() { 0 } else { self.0.addr().get() as u64 }
    }

    /// The word itself, for who is to see what runs.
    #[inline]
    pub(crate) fn word(&self) -> u64 {
        self.0.addr().get() as u64
    }

    pub(crate) fn from_task(task: async_task::Runnable) -> Self {
        let raw = task.into_raw();
        debug_assert_eq!(raw.addr().get() & TASK, 0, "a task's header is aligned");
        Runnable(raw.map_addr(|addr| addr | TASK))
    }

    /// The word itself; the caller now owns the right to run.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<()> {
        ManuallyDrop::new(self).0
    }

    /// Back from [`into_raw`](Self::into_raw).
    ///
    /// # Safety
    ///
    /// `raw` came from `into_raw` and is used once.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Runnable(raw)
    }

    /// The plain task inside.
    ///
    /// # Safety
    ///
    /// [`is_task`](Self::is_task) holds.
    unsafe fn into_task(self) -> async_task::Runnable {
        let raw = self.into_raw().as_ptr().map_addr(|addr| addr & !TASK);
        // SAFETY: `from_task` set the bit on a non-null aligned pointer, which has other bits.
        let raw = unsafe { NonNull::new_unchecked(raw) };
        // SAFETY: the pointer is `async_task::Runnable::into_raw`'s, and `self` was its owner.
        unsafe { async_task::Runnable::from_raw(raw) }
    }

    /// Runs the target.
    ///
    /// A plain task reschedules itself through its own schedule function.
    #[inline]
    pub(crate) fn run(self, turn: &mut Turn<'_>) -> Left {
        if self.is_task() {
            // SAFETY: it was just checked.
            let task = unsafe { self.into_task() };
            run_task(task);
            return Left::Nothing;
        }
        let header: NonNull<RunHeader> = self.into_raw().cast();
        // SAFETY: `from_header` promised a live header; the right to run is ours and used up here.
        let vt = unsafe { header.as_ref() }.vt;
        // SAFETY: as above: `vt.run` belongs to this header's target.
        match unsafe { (vt.run)(header, turn) } {
            Ran::Done => Left::Nothing,
            // The target says that it is still scheduled: the right to run passes to a new word.
            Ran::Again => Left::Again(Runnable(header.cast())),
            Ran::Quiet => Left::Quiet(Runnable(header.cast())),
        }
    }

    /// Lets a target go idle that was [`Left::Quiet`]; gives it back if something has come in.
    #[inline]
    pub(crate) fn settle(self) -> Option<Runnable> {
        debug_assert!(!self.is_task(), "a task is never left quiet");
        let header: NonNull<RunHeader> = self.into_raw().cast();
        // SAFETY: as in `run`.
        let vt = unsafe { header.as_ref() }.vt;
        // SAFETY: as in `run`; after `true` the word is not used again.
        if unsafe { (vt.settle)(header) } { None } else { Some(Runnable(header.cast())) }
    }
}

/// What [`Runnable::run`] leaves to who called it.
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// To be run again, behind all others.
    Again(Runnable),
    /// To be [settled](Runnable::settle), at once or soon.
    Quiet(Runnable),
}

impl Left {
    /// Settles what is quiet. Some: it is to be run again.
    pub(crate) fn settled(self) -> Option<Runnable> {
        match self {
            Left::Nothing => None,
            Left::Again(runnable) => Some(runnable),
            Left::Quiet(runnable) => runnable.settle(),
        }
    }
}

/// Out of line, so that a worker's loop stays small for what runs most.
#[inline(never)]
fn run_task(task: async_task::Runnable) {
    task.run();
}

impl Drop for Runnable {
    /// Cancels a plain task; tells the target behind a header.
    #[inline]
    fn drop(&mut self) {
        // The copy stands for `self`, which is not used again.
        drop_runnable(Runnable(self.0));
    }
}

/// Out of line: workers run what they have, and drop it only at their end.
#[cold]
fn drop_runnable(runnable: Runnable) {
    if runnable.is_task() {
        // SAFETY: it was just checked.
        return drop(unsafe { runnable.into_task() });
    }
    let header: NonNull<RunHeader> = runnable.into_raw().cast();
    // SAFETY: `from_header` promised a live header, until it is run or told.
    let vt = unsafe { header.as_ref() }.vt;
    // SAFETY: the right to run is used up here; `vt.dropped` belongs to this header's target.
    unsafe { (vt.dropped)(header) };
}

impl fmt::Debug for Runnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_task() { "Task" } else { "Header" };
        f.debug_tuple(kind).field(&self.0).finish()
    }
}

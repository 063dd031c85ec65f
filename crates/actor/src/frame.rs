//! Where handlers run: worker-owned buffers, given to the cell when a handler suspends.
//!
//! A handler's future is made in a buffer of its size class that the worker keeps, and polled there.
//! If it is ready, as most are, it is dropped in place and the buffer stays: no allocation, no free,
//! and the cost of a plain call. If it is pending, the buffer with the future in it becomes the
//! cell's `frame`, and the worker takes a fresh one.
//!
//! # Why this is sound
//!
//! 1. A future is never moved after its first poll: the buffer's ownership moves, not its bytes.
//! 2. `&mut state` and `&mut Context` in the future point into the cell and into the frame; both
//!    stay where they are, and nobody else makes a reference to the state while a frame exists.
//! 3. At the end of an actor the frame goes first, then the state, then the cell.
//! 4. `Context` holds a pointer to the cell, never a `&mut Header`: other threads use its atomics.
//! 5. A guard drops the future if its first poll panics, and contains what comes of that.
//! 6. The waker of a poll is borrowed; clones are counted.
//! 7. The message has left its node before the handler starts.
#![expect(unsafe_code, reason = "futures are built in place and their buffers change owners")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::Cell,
    future::Future,
    mem::{MaybeUninit, align_of, size_of},
    pin::Pin,
    ptr::{NonNull, null_mut},
    task::{Context as TaskContext, Poll, Waker},
};

use crate::{
    Actor, Context, ExitReason, call::CallNode, cell::CellPtr, contain::contain, context::Place,
    local, timeouts::LazyTimeout, waker,
};

/// What a frame's future comes to.
pub(crate) type Outcome = Result<(), ExitReason>;

/// What a suspended frame begins with.
pub(crate) struct FrameHdr {
    poll: unsafe fn(NonNull<FrameHdr>, &Waker) -> Poll<Outcome>,
    drop: unsafe fn(NonNull<FrameHdr>),
    layout: Layout,
    /// The request that the handler was called for: compared, never followed. Null: it was none. See `deadlock`.
    pub(crate) in_hand: *const CallNode,
    /// The one call of this frame whose timeout is looked after by the cell, see [`crate::timeouts`].
    pub(crate) timeout: LazyTimeout,
}

#[repr(C)]
struct Frame<A: Actor, F> {
    /// Written when the frame is donated: its `in_hand` by who donates it, its `timeout` before the first poll.
    hdr: MaybeUninit<FrameHdr>,
    cx: Place<A>,
    fut: F,
}

/// Sizes of the workers' buffers. A frame larger than the last is allocated for itself.
const SIZES: [usize; SCRATCH_CLASSES] = [256, 512, 1024, 2048, 4096];
pub(crate) const SCRATCH_CLASSES: usize = 5;
/// The class of frames with an allocation of their own.
const OWN: usize = SCRATCH_CLASSES;
/// Buffers of a class that a worker keeps beside the one for the next handler.
const SPARES: usize = 8;

const fn class_of(layout: Layout) -> usize {
    let mut class = 0;
    while class < SCRATCH_CLASSES {
        if layout.size() <= SIZES[class] && layout.align() <= 16 {
            return class;
        }
        class += 1;
    }
    OWN
}

/// Bytes of the buffer that the frame of an `A` with such a future is in.
pub(crate) const fn buffer_size<A: Actor>(future: Layout) -> usize {
    let begin = Layout::new::<Frame<A, ()>>();
    let Ok((whole, _)) = begin.extend(future) else { panic!("a future that has a layout") };
    let whole = whole.pad_to_align();
    let class = class_of(whole);
    if class == OWN { whole.size() } else { SIZES[class] }
}

const fn class_layout(class: usize) -> Layout {
    match Layout::from_size_align(SIZES[class], 16) {
        Ok(layout) => layout,
        Err(_) => panic!("the sizes are small and the alignment a power of two"),
    }
}

/// A worker's buffers of one class. The one in use stays where it is unless a handler suspends: only one
/// handler runs on a thread at a time, and what runs inside of it (destructors, wakers) runs no other. But for
/// a simulation, which brings its own buffers ([`StandIn`](local::StandIn)).
pub(crate) struct Scratch {
    /// The buffer for the next handler. Null: to be fetched.
    ready: Cell<*mut u8>,
    spares: [Cell<*mut u8>; SPARES],
    len: Cell<usize>,
}

impl Scratch {
    pub(crate) const fn new() -> Self {
        Scratch {
            ready: Cell::new(null_mut()),
            spares: [const { Cell::new(null_mut()) }; SPARES],
            len: Cell::new(0),
        }
    }

    /// The buffer for the next handler. It stays the worker's until [`donate`](Self::donate).
    #[inline]
    fn borrow(&self, class: usize) -> NonNull<u8> {
        NonNull::new(self.ready.get()).unwrap_or_else(|| self.fetch(class))
    }

    #[cold]
    fn fetch(&self, class: usize) -> NonNull<u8> {
        let len = self.len.get();
        let buffer = match len.checked_sub(1) {
            Some(last) => {
                self.len.set(last);
                NonNull::new(self.spares[last].get())
            }
            None => None,
        };
        let buffer = buffer.unwrap_or_else(|| allocate(class_layout(class)));
        self.ready.set(buffer.as_ptr());
        buffer
    }

    /// The borrowed buffer is a cell's now.
    fn donate(&self) {
        self.ready.set(null_mut());
    }

    /// Takes back a buffer that was donated here or elsewhere.
    fn give(&self, class: usize, buffer: NonNull<u8>) {
        let len = self.len.get();
        if len < SPARES {
            self.spares[len].set(buffer.as_ptr());
            self.len.set(len + 1);
        } else {
            // SAFETY: allocated by `allocate` with this layout, and not kept anywhere.
            unsafe { dealloc(buffer.as_ptr(), class_layout(class)) };
        }
    }

    pub(crate) fn swap(&self, other: &Scratch) {
        self.ready.swap(&other.ready);
        self.spares.iter().zip(&other.spares).for_each(|(one, two)| one.swap(two));
        self.len.swap(&other.len);
    }

    /// Frees the buffers of class `class`: the worker stops.
    pub(crate) fn clear(&self, class: usize) {
        if let Some(ready) = NonNull::new(self.ready.replace(null_mut())) {
            // SAFETY: a kept buffer was allocated with its class's layout.
            unsafe { dealloc(ready.as_ptr(), class_layout(class)) };
        }
        for spare in &self.spares[..self.len.replace(0)] {
            // SAFETY: as above.
            unsafe { dealloc(spare.get(), class_layout(class)) };
        }
    }
}

#[cold]
fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: no frame is empty.
    let buffer = unsafe { alloc(layout) };
    NonNull::new(buffer).unwrap_or_else(|| handle_alloc_error(layout))
}

/// A buffer for a frame that is about to be started.
#[inline]
fn borrow_buffer(class: usize, layout: Layout) -> NonNull<u8> {
    if class == OWN {
        allocate(layout)
    } else {
        local::with(|local| local.scratch[class].borrow(class))
    }
}

/// The started frame has suspended: its buffer goes with it.
fn donate_buffer(class: usize) {
    if class != OWN {
        local::with(|local| local.scratch[class].donate());
    }
}

/// The started frame is done: its buffer is free for the next.
#[inline]
fn return_buffer(class: usize, layout: Layout, buffer: NonNull<u8>) {
    if class == OWN {
        // SAFETY: allocated by `borrow_buffer` with this layout.
        unsafe { dealloc(buffer.as_ptr(), layout) };
    }
}

/// A suspended frame is done.
fn give_buffer(class: usize, layout: Layout, buffer: NonNull<u8>) {
    if class == OWN {
        return_buffer(class, layout, buffer);
    } else {
        local::with(|local| local.scratch[class].give(class, buffer));
    }
}

/// What the first poll of a future came to.
pub(crate) enum First {
    /// It is done.
    Done(Outcome),
    /// It is suspended; the frame belongs to the cell now.
    Suspended(NonNull<FrameHdr>),
}

/// Makes a future with `make` in a buffer and polls it once.
///
/// # Safety
/// The caller is `cell`'s owner, the cell is an `A`'s, no frame exists, and what `make` borrows
/// beside the context stays valid until the frame is gone.
#[inline]
pub(crate) unsafe fn start<A, F>(
    cell: CellPtr,
    make: impl FnOnce(&'static mut Context<A>) -> F,
) -> First
where
    A: Actor,
    F: Future<Output = Outcome>,
{
    let layout = const { Layout::new::<Frame<A, F>>() };
    let class = const { class_of(Layout::new::<Frame<A, F>>()) };
    let buffer = borrow_buffer(class, layout);
    let frame = buffer.cast::<Frame<A, F>>().as_ptr();
    let guard = Abandon::<A, F> { frame, class, made: false };
    // SAFETY: the buffer has the frame's layout and is this function's alone.
    let cx = unsafe {
        (&raw mut (*frame).cx).write(Place::new(cell));
        (*frame).cx.lend()
    };
    let hdr = buffer.cast::<FrameHdr>().as_ptr();
    // SAFETY: as above; the rest of the header is written when the frame is donated.
    unsafe { LazyTimeout::clear(&raw mut (*hdr).timeout) };
    if const { A::FORM.is_process() } {
        // Its receives note what is in hand, in the first poll too.
        // SAFETY: as above.
        unsafe { (&raw mut (*hdr).in_hand).write(std::ptr::null()) };
    }
    let fut = make(cx);
    // SAFETY: inside the buffer.
    unsafe { (&raw mut (*frame).fut).write(fut) };
    let mut guard = guard;
    guard.made = true;
    // SAFETY: written just above; it is not moved again: pinned until dropped (rule 1).
    let polled = unsafe { poll_in_place::<A, F>(hdr, &waker::borrowed(cell)) };
    match polled {
        Poll::Ready(outcome) => {
            guard.done();
            First::Done(outcome)
        }
        Poll::Pending => {
            std::mem::forget(guard);
            donate_buffer(class);
            // SAFETY: inside the buffer; `timeout` keeps what the first poll wrote to it.
            unsafe {
                (&raw mut (*hdr).poll).write(poll_frame::<A, F>);
                (&raw mut (*hdr).drop).write(drop_frame::<A, F>);
                (&raw mut (*hdr).layout).write(layout);
            }
            First::Suspended(buffer.cast())
        }
    }
}

/// Drops what there is of a frame while a panic of its future's, or of who makes that, unwinds. A second panic
/// ends here: let out, it would end the program.
struct Abandon<A: Actor, F> {
    frame: *mut Frame<A, F>,
    class: usize,
    /// Whether the future is there.
    made: bool,
}

impl<A: Actor, F> Abandon<A, F> {
    /// The future is ready: drops it in place and gives the buffer back, also if its drop panics.
    #[inline]
    fn done(self) {
        let (frame, class) = (self.frame, self.class);
        std::mem::forget(self);
        let _return = Return(frame, class);
        // SAFETY: written by `start`, dropped once, never moved.
        unsafe { (&raw mut (*frame).fut).drop_in_place() };
    }
}

impl<A: Actor, F> Drop for Abandon<A, F> {
    #[cold]
    fn drop(&mut self) {
        let _return = Return(self.frame, self.class);
        if self.made {
            // SAFETY: as in `done`, which has not run.
            let _ = contain(|| unsafe { (&raw mut (*self.frame).fut).drop_in_place() });
        }
    }
}

/// Gives the buffer of a started frame back when it is dropped.
struct Return<A: Actor, F>(*mut Frame<A, F>, usize);

impl<A: Actor, F> Drop for Return<A, F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(buffer) = NonNull::new(self.0.cast::<u8>()) {
            return_buffer(self.1, const { Layout::new::<Frame<A, F>>() }, buffer);
        }
    }
}

/// A future of the user's inside one of the runtime's: dropped while a panic of its own unwinds, it ends the
/// program no more than one that has a frame for itself does.
pub(crate) struct Inner<F> {
    /// Pinned with this.
    future: Option<F>,
}

impl<F> Inner<F> {
    pub(crate) fn new(future: F) -> Self {
        Inner { future: Some(future) }
    }
}

impl<F: Future> Future for Inner<F> {
    /// `Err`: it was ready, and panicked when it was dropped.
    type Output = Result<F::Output, ExitReason>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        // SAFETY: the field is pinned with `self`: it is dropped where it is, and never moved.
        let mut future = unsafe { self.map_unchecked_mut(|inner| &mut inner.future) };
        let Some(pinned) = future.as_mut().as_pin_mut() else { return Poll::Pending };
        pinned.poll(cx).map(|output| match contain(|| future.set(None)) {
            Ok(()) => Ok(output),
            Err(panic) => {
                // What it gave is dropped here, and not where the panic would take it along.
                let _ = contain(|| drop(output));
                Err(panic)
            }
        })
    }
}

impl<F> Drop for Inner<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = contain(|| self.future = None);
        }
    }
}

/// # Safety
/// `hdr` begins a `Frame<A, F>` whose future is there, and the caller owns the cell, which `waker` wakes.
#[inline]
unsafe fn poll_in_place<A: Actor, F: Future<Output = Outcome>>(
    hdr: *mut FrameHdr,
    waker: &Waker,
) -> Poll<Outcome> {
    let frame = hdr.cast::<Frame<A, F>>();
    let mut task = TaskContext::from_waker(waker);
    let before = local::set_frame(hdr);
    struct Restore(*mut FrameHdr);
    impl Drop for Restore {
        #[inline]
        fn drop(&mut self) {
            local::set_frame(self.0);
        }
    }
    let _restore = Restore(before);
    // SAFETY: the future is in its buffer for good (rule 1).
    let fut = unsafe { Pin::new_unchecked(&mut (*frame).fut) };
    fut.poll(&mut task)
}

/// The function behind [`FrameHdr::poll`].
unsafe fn poll_frame<A: Actor, F: Future<Output = Outcome>>(
    hdr: NonNull<FrameHdr>,
    waker: &Waker,
) -> Poll<Outcome> {
    // SAFETY: donated by `start` as a `Frame<A, F>`; callers own the cell.
    unsafe { poll_in_place::<A, F>(hdr.as_ptr(), waker) }
}

/// The function behind [`FrameHdr::drop`].
unsafe fn drop_frame<A: Actor, F>(hdr: NonNull<FrameHdr>) {
    let frame = hdr.as_ptr().cast::<Frame<A, F>>();
    // SAFETY: donated by `start` as a `Frame<A, F>`, dropped once.
    unsafe { (&raw mut (*frame).fut).drop_in_place() };
}

/// Polls a suspended frame. The caller keeps it if it is still pending, else drops it.
///
/// # Safety
/// The frame is the own one of the cell that `waker` wakes, and the caller owns the cell.
pub(crate) unsafe fn poll(frame: NonNull<FrameHdr>, waker: &Waker) -> Poll<Outcome> {
    // SAFETY: a donated frame's header is whole.
    let poll = unsafe { frame.as_ref() }.poll;
    // SAFETY: the caller's word.
    unsafe { poll(frame, waker) }
}

/// Drops a suspended frame and gives its buffer to this worker.
///
/// The buffer goes back even if the future's drop panics.
///
/// # Safety
/// The frame was donated to a cell that the caller owns, and is not used afterwards.
pub(crate) unsafe fn drop_suspended(frame: NonNull<FrameHdr>) {
    // SAFETY: a donated frame's header is whole.
    let hdr = unsafe { frame.as_ref() };
    let (drop, class, layout) = (hdr.drop, class_of(hdr.layout), hdr.layout);
    struct Give(usize, Layout, NonNull<u8>);
    impl Drop for Give {
        fn drop(&mut self) {
            give_buffer(self.0, self.1, self.2);
        }
    }
    let _give = Give(class, layout, frame.cast());
    // SAFETY: the caller's word.
    unsafe { drop(frame) };
}

const _: () = assert!(size_of::<FrameHdr>().is_multiple_of(8) && align_of::<FrameHdr>() <= 16);

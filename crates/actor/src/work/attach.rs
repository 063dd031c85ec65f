//! Streams whose items become messages, as many at a time as the process takes.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use futures_core::Stream;
use parking_lot::Mutex;
use whitebeam_sync::{
    inbox::Push,
    node::Node,
    shim::atomic::{AtomicU32, Ordering},
};

use super::{Step, Work, add, remove};
use crate::{
    Pid,
    cell::{CellPtr, CellRef},
    message::{self, Carried},
};

/// Items of a stream that may wait in the mailbox, unless it was said otherwise. Enough that neither waits for the
/// other at each one; few enough that a stream that is faster than its process is held up soon, and that a request is
/// not behind many.
const CAPACITY: u32 = 16;

/// Names a stream that was attached to a process. Another process can do nothing with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttachRef {
    owner: Pid,
    id: u64,
}

/// A stream that was attached to a process by [`Context::attach`](crate::Context::attach), for more to be said of it.
/// Dropping this does not detach the stream.
pub struct Attached<M: Send + 'static> {
    owner: CellRef,
    id: u64,
    link: Arc<Link<M>>,
}

/// What a stream and its [`Attached`] have in common.
struct Link<M> {
    /// Items that may wait in the mailbox.
    capacity: AtomicU32,
    end: Mutex<End<M>>,
}

enum End<M> {
    /// It goes on. With the message for its end, if it is to have one.
    Open(Option<M>),
    Over,
    /// It was taken back, or its process has ended.
    Detached,
}

impl<M: Send + 'static> Attached<M> {
    /// Has `msg` sent when the stream has ended, behind its last item. At once if it has. The last one that was asked
    /// for counts.
    ///
    /// Not if the stream is [detached](crate::Context::detach).
    pub fn on_end(self, msg: M) -> Self {
        let mut end = self.link.end.lock();
        let left = match &mut *end {
            End::Open(place) => Left::Replaced(place.replace(msg)),
            End::Over => Left::Due(msg),
            End::Detached => Left::Replaced(Some(msg)),
        };
        drop(end);
        match left {
            // The user's, so it is dropped outside of the lock.
            Left::Replaced(before) => drop(before),
            Left::Due(msg) => send(self.owner.ptr(), message::carried_uncounted(msg)),
        }
        self
    }

    /// How many messages made of items may wait in the mailbox, at least one: with so many the stream is not polled,
    /// and again when half of them were taken. Default: 16.
    pub fn capacity(self, items: u32) -> Self {
        self.link.capacity.store(items.max(1), Ordering::Relaxed);
        self
    }

    /// Names the stream, for [`Context::detach`](crate::Context::detach).
    pub fn id(&self) -> AttachRef {
        AttachRef { owner: self.owner.ptr().pid(), id: self.id }
    }
}

enum Left<M> {
    Replaced(Option<M>),
    Due(M),
}

/// Sends a message that the runtime makes in the user's name. Dropped if the process has ended.
fn send(to: CellPtr, message: Carried) {
    let node: std::ptr::NonNull<Node> = message.into_node();
    match message::push_uncounted(to, node) {
        Push::Closed => drop(Carried::adopt(node)),
        push => to.follow(push),
    }
}

/// A stream as work.
struct Streaming<S, F, M> {
    stream: S,
    f: F,
    link: Arc<Link<M>>,
    /// Messages made of items that wait in the mailbox.
    waiting: u32,
    /// It was not polled since there were too many.
    is_held_up: bool,
}

impl<S, F, M> Streaming<S, F, M> {
    fn capacity(&self) -> u32 {
        self.link.capacity.load(Ordering::Relaxed)
    }
}

impl<S, F, M> Work for Streaming<S, F, M>
where
    S: Stream + Send,
    F: FnMut(S::Item) -> M + Send,
    M: Send + 'static,
{
    fn poll(self: Pin<&mut Self>, id: u64, cx: &mut TaskContext<'_>) -> Step {
        // SAFETY: of the fields `stream` is pinned with `self`: it is never moved, and dropped where it is.
        let this = unsafe { self.get_unchecked_mut() };
        if this.waiting >= this.capacity() {
            this.is_held_up = true;
            return Step::Pending;
        }
        // SAFETY: as above.
        let stream = unsafe { Pin::new_unchecked(&mut this.stream) };
        match stream.poll_next(cx) {
            Poll::Pending => Step::Pending,
            Poll::Ready(Some(item)) => {
                let message = message::item((this.f)(item), id);
                this.waiting += 1;
                Step::More(message)
            }
            Poll::Ready(None) => {
                let end = std::mem::replace(&mut *this.link.end.lock(), End::Over);
                let last = if let End::Open(last) = end { last } else { None };
                Step::Last(last.map(message::carried_uncounted))
            }
        }
    }

    fn taken(self: Pin<&mut Self>) -> bool {
        // SAFETY: the pinned field is not touched.
        let this = unsafe { self.get_unchecked_mut() };
        this.waiting = this.waiting.saturating_sub(1);
        let goes_on = this.is_held_up && this.waiting <= this.capacity() / 2;
        this.is_held_up &= !goes_on;
        goes_on
    }
}

/// What belongs to the stream, and is the stream's user's.
impl<S, F, M> Drop for Streaming<S, F, M> {
    fn drop(&mut self) {
        let mut end = self.link.end.lock();
        let before = match &*end {
            End::Open(_) => std::mem::replace(&mut *end, End::Detached),
            End::Over | End::Detached => End::Detached,
        };
        drop(end);
        drop(before);
    }
}

/// Has `f` make messages of the items of `stream`.
///
/// # Safety
/// The caller is the cell's owner and holds no reference to its part, and `M` is its message type.
pub(crate) unsafe fn attach<S, M>(
    cell: CellPtr,
    stream: S,
    f: impl FnMut(S::Item) -> M + Send + 'static,
) -> Attached<M>
where
    S: Stream + Send + 'static,
    M: Send + 'static,
{
    let capacity = AtomicU32::new(CAPACITY);
    let link = Arc::new(Link { capacity, end: Mutex::new(End::Open(None)) });
    let work = Streaming { stream, f, link: Arc::clone(&link), waiting: 0, is_held_up: false };
    // SAFETY: the caller's word.
    let id = unsafe { add(cell, Box::pin(work)) };
    Attached { owner: cell.to_ref(), id, link }
}

/// Takes a stream back, which is dropped here.
///
/// # Safety
/// The caller is the cell's owner and holds no reference to its part.
pub(crate) unsafe fn detach(cell: CellPtr, stream: AttachRef) -> bool {
    // SAFETY: the caller's word.
    stream.owner == cell.pid() && unsafe { remove(cell, stream.id) }
}

impl<M: Send + 'static> fmt::Debug for Attached<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attached(to {})", self.owner.ptr().pid())
    }
}

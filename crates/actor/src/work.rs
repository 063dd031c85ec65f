//! Work beside the mailbox: futures, streams and blocking closures that a process has given to its context, and whose
//! results become its messages.
//!
//! # Where it runs
//!
//! In the turns of its own process, by the owner of the cell: one more thing that a turn does between two messages, and
//! while a handler is suspended. So whatever is attached runs while nothing else of the process does, moves with it from
//! worker to worker, and needs no task, no lock and no message to come home. It stops nobody else: a poll counts in the
//! turn like a message. (A blocking closure runs elsewhere; what is here is the future of its result.)
//!
//! # The way of a wake-up
//!
//! ```text
//!   waker (any thread)    is the work in the queue already? nothing
//!                         else its number into the queue, then the flag WORK on the cell
//!   owner's turn          flag taken; up to ROUND times: number out of the queue, poll
//!                           pending     it stays
//!                           a message   appended to the mailbox, never counted in a bound
//!                           the last    and the work is dropped
//!                           a panic     the process is to end with it
//!                         numbers are left: the owner's own note of it, the bit WORK
//! ```
//!
//! Each work has a waker of its own, so that only those are polled that were woken. *In the queue* is a mark of the work's
//! ([`Wakes::is_queued`]): set by who wakes, cleared by the owner before it polls, so that a wake-up during a poll leads to
//! another poll. The flag is raised behind the queue, and taken ahead of it: a number that the owner does not find makes
//! it look again.
//!
//! Between two rounds at least one message is handled, if any waits, and the suspended handler is polled, if it was woken.
//!
//! # Streams
//!
//! A stream may have so many items in the mailbox that were not taken. It is not polled while it has that many, and again
//! when half of them are gone: a message that an item became says so when it is taken ([`tag::ITEM`](crate::message::tag)).
//!
//! # The end
//!
//! While a handler finishes that the end waits for, and during `terminate`, work goes on: what these wait for may depend on
//! it. Then it is dropped, oldest first, between frame and state ([`end`]), on the worker that ends the process: before
//! links, monitors and the parent hear of it. A waker that is left finds the mark set, and does nothing.
//!
//! # Why there are no references
//!
//! What is polled, and what makes messages, is the user's. It is taken out of the owner's part meanwhile, and no reference
//! into that part or to the cursor is alive while it runs. It has no context of its own, and no frame is polled, so the
//! mailbox of a process in the process form refuses it.
#![expect(unsafe_code, reason = "reaches the owner's part of a cell by pointer, and pins")]

mod attach;
mod blocking;
mod pipe;

pub use attach::{AttachRef, Attached};
pub use pipe::Pipe;

pub(crate) use attach::{attach, detach};
pub(crate) use blocking::{blocking, try_blocking};
pub(crate) use pipe::pipe;

use std::{
    collections::VecDeque,
    pin::Pin,
    ptr::NonNull,
    sync::Arc,
    task::{Context as TaskContext, Wake, Waker},
};

use whitebeam_scheduler::Turn;
use whitebeam_sync::{
    node::Node,
    shim::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    ExitReason,
    cell::{CellPtr, CellRef, bit, flag},
    contain::contain,
    end::{self, How},
    ext::{self, Ext, Map, table_bytes},
    message::{self, Carried, tag},
    signal,
};

/// Polls in a row before a message is handled, or a handler that was woken goes on.
const ROUND: u32 = 32;
/// Items in a row from one stream before the next work has its turn.
const STRIDE: u32 = 16;

/// Places of the queue of those to be polled that are kept when nothing is attached any more.
const QUEUE_KEPT: usize = 32;

/// One future or stream. Its panics are its process's.
pub(crate) trait Work: Send {
    fn poll(self: Pin<&mut Self>, id: u64, cx: &mut TaskContext<'_>) -> Step;

    /// One of the messages that it made was taken from the mailbox. `true`: it is to be polled again.
    fn taken(self: Pin<&mut Self>) -> bool {
        false
    }
}

/// What a poll came to.
pub(crate) enum Step {
    /// It waits, and has left its waker.
    Pending,
    /// There may be more.
    More(Carried),
    /// It is done.
    Last(Option<Carried>),
    /// The process is to end with this.
    Failed(ExitReason),
}

/// The work of one process. Owner-only.
pub(crate) struct Works {
    /// `None`: it is being polled.
    entries: Map<u64, Option<Entry>>,
    ready: Arc<Ready>,
    /// Bytes of what the entries have allocated.
    bytes: usize,
}

struct Entry {
    work: Pin<Box<dyn Work>>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl Entry {
    /// Bytes that it has allocated, without what the user's future owns.
    fn size(&self) -> usize {
        size_of_val(&*self.work) + arc_size::<Wakes>()
    }
}

/// Bytes that an `Arc` allocates.
const fn arc_size<T>() -> usize {
    2 * size_of::<usize>() + size_of::<T>()
}

/// The numbers of work that is to be polled, and whose it is.
struct Ready {
    cell: CellRef,
    queue: Mutex<VecDeque<u64>>,
}

/// What the wakers of one work have in common.
struct Wakes {
    ready: Arc<Ready>,
    id: u64,
    /// Its number is in the queue; or it is over, and never will be.
    is_queued: AtomicBool,
}

impl Wakes {
    /// Marks it as queued. `true`: it was not, and the caller is to queue it.
    fn mark(&self) -> bool {
        // AcqRel, also if it is marked: the poll that clears the mark sees what was done before this.
        !self.is_queued.swap(true, Ordering::AcqRel)
    }

    /// It is about to be polled: who wakes it from now on queues it again.
    fn unmark(&self) {
        self.is_queued.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.mark() {
            self.ready.queue.lock().push_back(self.id);
            self.ready.cell.ptr().raise(flag::WORK);
        }
    }
}

impl Works {
    fn new(cell: CellPtr) -> Self {
        let queue = Mutex::new(VecDeque::new());
        let ready = Arc::new(Ready { cell: cell.to_ref(), queue });
        Works { entries: Map::default(), ready, bytes: 0 }
    }

    /// Bytes that all of it has allocated.
    fn size(&self) -> usize {
        let queue = self.ready.queue.lock().capacity() * size_of::<u64>();
        let own = size_of::<Self>() + arc_size::<Ready>();
        own + queue + table_bytes(&self.entries) + self.bytes
    }

    /// The oldest number in the queue, and what it stands for. What is over is passed over.
    fn begin(&mut self) -> Option<(u64, Entry)> {
        loop {
            let id = self.ready.queue.lock().pop_front()?;
            if let Some(entry) = self.entries.get_mut(&id).and_then(Option::take) {
                return Some((id, entry));
            }
        }
    }

    /// It is over, or about to be dropped.
    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.bytes -= entry.as_ref().map_or(0, Entry::size);
        if self.entries.is_empty() {
            // What a burst took is given back. Numbers that are queued stand for nothing any more.
            self.entries = Map::default();
            let mut queue = self.ready.queue.lock();
            if queue.capacity() > QUEUE_KEPT {
                *queue = VecDeque::new();
            }
        }
        entry
    }

    fn queue(&self, id: u64) {
        self.ready.queue.lock().push_back(id);
    }

    fn has_ready(&self) -> bool {
        !self.ready.queue.lock().is_empty()
    }
}

/// What a round came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// The bit `WORK` says whether there is more to poll.
    Done,
    /// The turn is over, and there is more to poll.
    TurnOver,
    /// The process is to end.
    Broken,
}

/// Attaches work to a process.
///
/// # Safety
/// The caller is the cell's owner and holds no reference to its part.
unsafe fn add(cell: CellPtr, work: Pin<Box<dyn Work>>) -> u64 {
    // SAFETY: the caller's word.
    let ext = unsafe { Ext::of(cell) };
    let id = ext.next_id();
    let works = ext.work.get_or_insert_with(|| Box::new(Works::new(cell)));
    let ready = Arc::clone(&works.ready);
    let wakes = Arc::new(Wakes { ready, id, is_queued: AtomicBool::new(true) });
    let waker = Waker::from(Arc::clone(&wakes));
    let entry = Entry { work, wakes, waker };
    works.bytes += entry.size();
    works.entries.insert(id, Some(entry));
    works.queue(id);
    publish(cell);
    cell.header().set(bit::WORK);
    id
}

/// Takes work back, which is dropped here. `false`: it is over.
///
/// # Safety
/// As for [`add`].
unsafe fn remove(cell: CellPtr, id: u64) -> bool {
    // SAFETY: the caller's word; the reference ends before the user's drop runs.
    let works = unsafe { Ext::get(cell) }.and_then(|ext| ext.work.as_deref_mut());
    let entry = works.and_then(|works| works.remove(id));
    if let Some(entry) = &entry {
        let _ = entry.wakes.mark();
        publish(cell);
    }
    entry.is_some()
}

/// Says how much is attached, for who asks. Called by the owner, with no reference to its part alive.
fn publish(cell: CellPtr) {
    // SAFETY: the caller's word.
    let said = unsafe { works(cell) }.map(|works| (works.entries.len(), works.size()));
    if let (Some((number, bytes)), Some(counts)) = (said, Ext::counts_of(cell)) {
        counts.attached.store(u32::try_from(number).unwrap_or(u32::MAX), Ordering::Relaxed);
        counts.attached_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// Polls what was woken, if anything was. Called by the owner, in its run, with no reference to cursor or part alive.
#[inline]
pub(crate) fn attend(cell: CellPtr, turn: &mut Turn<'_>) -> Round {
    let header = cell.header();
    if header.has(bit::WORK) || header.flags.get() & flag::WORK != 0 {
        poll(cell, turn)
    } else {
        Round::Done
    }
}

#[cold]
fn poll(cell: CellPtr, turn: &mut Turn<'_>) -> Round {
    let header = cell.header();
    let _ = header.flags.take(flag::WORK);
    header.clear(bit::WORK);
    let (mut is_broken, mut is_over) = (false, false);
    for _ in 0..ROUND {
        // SAFETY: the caller's word; nothing of the part is borrowed beyond this.
        let next = unsafe { works(cell) }.and_then(Works::begin);
        let Some((id, entry)) = next else { break };
        is_broken = go_on(cell, id, entry, turn).is_err();
        is_over = turn.tick();
        if is_broken || is_over {
            break;
        }
    }
    signal::answer_dropped(cell);
    // SAFETY: as above.
    let has_more = unsafe { works(cell) }.is_some_and(|works| works.has_ready());
    if has_more {
        header.set(bit::WORK);
    }
    match (is_broken, is_over && has_more) {
        (true, _) => Round::Broken,
        (false, true) => Round::TurnOver,
        (false, false) => Round::Done,
    }
}

/// # Safety
/// As for [`Ext::get`].
unsafe fn works<'a>(cell: CellPtr) -> Option<&'a mut Works> {
    // SAFETY: the caller's word.
    unsafe { Ext::get(cell) }?.work.as_deref_mut()
}

/// The process is to end: by a panic, as a rule.
struct Broken;

/// Polls one work, a stream for some items.
fn go_on(cell: CellPtr, id: u64, mut entry: Entry, turn: &mut Turn<'_>) -> Result<(), Broken> {
    entry.wakes.unmark();
    for item in 1.. {
        let mut cx = TaskContext::from_waker(&entry.waker);
        match contain(|| entry.work.as_mut().poll(id, &mut cx)) {
            Ok(Step::Pending) => break,
            Ok(Step::More(message)) => {
                append(cell, message);
                if item == STRIDE || turn.tick() {
                    // Behind the others.
                    entry.waker.wake_by_ref();
                    break;
                }
            }
            Ok(Step::Last(message)) => {
                if let Some(message) = message {
                    append(cell, message);
                }
                return give_up(cell, id, entry).map_or(Ok(()), |panic| Err(broken(cell, panic)));
            }
            Ok(Step::Failed(reason)) | Err(reason) => {
                // One reason is enough: what comes of the drop was told by the panic's own message.
                let _ = give_up(cell, id, entry);
                return Err(broken(cell, reason));
            }
        }
    }
    // SAFETY: the caller is the owner, and nothing of the part is borrowed.
    if let Some(place) = unsafe { works(cell) }.and_then(|works| works.entries.get_mut(&id)) {
        *place = Some(entry);
    }
    Ok(())
}

/// Drops work that is over. A panic in that is handed back.
fn give_up(cell: CellPtr, id: u64, entry: Entry) -> Option<ExitReason> {
    // SAFETY: as in `go_on`.
    if let Some(works) = unsafe { works(cell) } {
        works.bytes -= entry.size();
        let _ = works.remove(id);
        publish(cell);
    }
    let _ = entry.wakes.mark();
    contain(|| drop(entry)).err()
}

fn append(cell: CellPtr, message: Carried) {
    // SAFETY: the caller is the owner, and this is the only reference to the cursor.
    let cursor = unsafe { cell.cursor() };
    signal::append(cell, cursor, message.into_node());
}

/// Attached work ends its process.
fn broken(cell: CellPtr, reason: ExitReason) -> Broken {
    let header = cell.header();
    if !header.has(bit::TERMINATING) {
        end::doom(cell, reason, How::BrokenWork);
    } else if ext::exit_reason(cell).is_orderly() {
        // `terminate` goes on.
        // SAFETY: the caller is the owner, and the end is not published.
        unsafe { ext::set_exit_reason(cell, &reason) };
        header.note_place(flag::IN_WORK);
        header.set(bit::CRASHED);
    }
    Broken
}

/// Drops all work of a process that ends, oldest first; the first panic in that is handed back.
#[inline]
pub(crate) fn drop_all(cell: CellPtr) -> Option<ExitReason> {
    // SAFETY: the caller owns the cell.
    let works = unsafe { Ext::get(cell) }?.work.take()?;
    drop_each(*works)
}

#[cold]
fn drop_each(works: Works) -> Option<ExitReason> {
    let mut entries: Vec<_> = works.entries.into_iter().collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    for (_, entry) in &entries {
        if let Some(entry) = entry {
            let _ = entry.wakes.mark();
        }
    }
    let panics = entries.into_iter().filter_map(|(_, entry)| contain(|| drop(entry)).err());
    // All of them are dropped.
    panics.fold(None, |first, panic| first.or(Some(panic)))
}

/// The message of a monitor, or of a stream's item, is handled next: makes it a plain one, and tells the stream.
///
/// # Safety
/// The caller owns `cell` with no reference to its part; `node` was taken from its mailbox, of the tag `DOWN` or `ITEM`,
/// and its message, an `M`, is still there.
pub(crate) unsafe fn take_numbered<M>(cell: CellPtr, node: NonNull<Node>) {
    // SAFETY: the caller's word.
    let is_item = unsafe { Node::vt(node) }.tag == tag::ITEM;
    // SAFETY: the caller's word.
    let id = unsafe { message::number_of::<M>(node) };
    // SAFETY: the caller's word.
    unsafe { message::plain_from_numbered::<M>(node) };
    if is_item {
        // SAFETY: the caller's word.
        unsafe { item_taken(cell, id) };
    }
}

/// The message of an item of the stream `id` was taken from the mailbox.
///
/// # Safety
/// The caller owns `cell` with no reference to its part.
pub(crate) unsafe fn item_taken(cell: CellPtr, id: u64) {
    // SAFETY: the caller's word. `taken` is none of the user's code.
    let Some(works) = (unsafe { works(cell) }) else { return };
    let Some(Some(entry)) = works.entries.get_mut(&id) else { return };
    if entry.work.as_mut().taken() && entry.wakes.mark() {
        works.queue(id);
        cell.header().set(bit::WORK);
    }
}

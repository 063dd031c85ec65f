//! An actor's cell: one slot of the process table, header first, then the state inline.
//!
//! # Who may write
//!
//! | field | writer | readers | when |
//! | --- | --- | --- | --- |
//! | `run` | spawn | all | before the cell is published |
//! | `slot` | the slab's protocol | all | any time |
//! | `inbox`, `flags` | its own protocol | all | any time |
//! | `cursor`, `state` | the owner | the owner | while it owns the cell |
//! | `frame`, `bits`, `ext`, `taken`, `high` | the owner | all, as a hint | any time |
//! | `parent` | spawn | all | before it is published |
//! | `child_index` | spawn, or who adopts it (`prepared.rs`) | the supervising parent | before it is scheduled |
//! | `down` | the owner, once | the parent | at the end |
//!
//! The **owner** is whoever took the inbox's word from idle to scheduled and has not settled it: the
//! worker that runs the cell, a supervisor's worker that claimed it to end it inline, or the spawner
//! before it is published. The inbox's acquire and release make one owner's writes visible to the
//! next.
//!
//! # Who keeps it allocated
//!
//! `slot.refs` counts [`CellRef`]s, one more while the process lives (the **alive reference**), and
//! nothing else: run queues, a supervisor's table and an idle actor hold none. The alive reference
//! goes with the embedded `down` node when the process has a parent that supervises it, and is
//! released by whoever takes that node. A cell outlives its process while a handle exists; its state
//! does not.
#![expect(unsafe_code, reason = "the cell is shared by pointer between workers and handles")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

mod bits;
mod memory;

pub(crate) use bits::{bit, flag};

use std::{
    cell,
    mem::{align_of, offset_of, size_of},
    ptr::NonNull,
    time::Duration,
};

use whitebeam_scheduler::{RunHeader, RunVt, Runnable, Time};
use whitebeam_sync::{
    inbox::{Cursor, Flags, Inbox, Push},
    node::Node,
    shim::{
        atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering},
        cell::UnsafeCell,
    },
    slab::{self, Class, SlotHeader},
};

use crate::{
    Actor, Pid, bound, ext::Part, frame::FrameHdr, named::MessageType, run::Shape, shared::Shared,
    watermark,
};

/// What the core knows of an actor's type.
#[repr(C)]
pub(crate) struct ActorVt {
    /// For the scheduler; first, so that a pointer to this is a pointer to that.
    pub(crate) run: RunVt,
    /// Drops the state in place. The bit `STATE` must be set, and is cleared by the caller.
    pub(crate) drop_state: unsafe fn(CellPtr),
    /// Dropping the state does something.
    pub(crate) needs_drop: bool,
    /// May be ended on the worker of who tells it to: it has no `terminate` of its own.
    pub(crate) ends_inline: bool,
    /// Is in the process form: signals treat it as a plain process, not as a server. See [`crate::process`].
    pub(crate) is_process: bool,
    /// Bytes of the cell.
    pub(crate) cell_size: usize,
    /// Bytes beside the cell.
    pub(crate) shape: Shape,
    /// The actor's type, for people.
    pub(crate) type_name: fn() -> &'static str,
    /// The type of its messages.
    pub(crate) message: MessageType,
    /// What the state says of itself in a crash report. Called by the owner while the bit `STATE` is set and no
    /// frame borrows it. The user's code.
    pub(crate) report_state: unsafe fn(CellPtr) -> Option<String>,
}

/// What every cell begins with. See the module's text for who may write what.
///
/// Cells are aligned to 16 bytes only, so nothing begins with a line. The senders' word is at 16; what the owner
/// touches for each message begins 64 bytes behind it, and so is on another line wherever the cell lies. On the
/// same one, an owner and a sender on two cores would take it from each other for each message.
#[repr(C)]
pub(crate) struct Header {
    /// The scheduler's table, an [`ActorVt`].
    run: RunHeader,
    /// Reference count and slot number.
    pub(crate) slot: SlotHeader,
    /// Mailbox, schedule state. Beside it the place in the supervising parent's child table.
    pub(crate) inbox: Inbox,
    /// This process's DOWN to its supervising parent. Used once.
    pub(crate) down: cell::UnsafeCell<Node>,
    /// The parent's pid, 0 for none. With `SUPERVISED` it names a cell that is still allocated.
    pub(crate) parent: AtomicU64,
    /// The part that few actors have.
    pub(crate) ext: AtomicPtr<Part>,
    /// The donated frame of a suspended `init`, `handle` or `terminate`.
    pub(crate) frame: AtomicPtr<FrameHdr>,
    cursor: UnsafeCell<Cursor>,
    /// Counted nodes taken from the mailbox, modulo 2^32. Length = pushed - taken.
    pub(crate) taken: AtomicU32,
    /// Node-free signals, see [`flag`].
    pub(crate) flags: Flags,
    /// Owner's notes, see [`bit`].
    pub(crate) bits: AtomicU32,
    /// Longest mailbox seen, see [`CellPtr::note_drained`].
    pub(crate) high: AtomicU32,
    /// When it had its first turn, in nanoseconds of the runtime's time, plus 1. 0: it had none yet.
    began: AtomicU64,
}

/// Bytes of a cell before its state.
pub(crate) const HEADER_SIZE: usize = size_of::<Header>();
// Loom's atomics are larger.
#[cfg(not(loom))]
const _: () = assert!(HEADER_SIZE == 128, "the header grew or shrank");
const _: () = assert!(offset_of!(Header, slot) == slab::HEADER_OFFSET);
/// All but the cursor's first word, see there.
const _: () = assert!(offset_of!(Header, cursor) + 8 >= offset_of!(Header, inbox) + 64);

/// A cell whose state lies inline. Larger or more strictly aligned states are boxed.
#[repr(C)]
struct Cell<S> {
    header: Header,
    state: S,
}

/// States of more bytes than this are boxed: the largest class of the process table less the header.
pub const INLINE_STATE_MAX: usize = slab::MAX_SIZE - HEADER_SIZE;

pub(crate) const fn is_boxed<A>() -> bool {
    size_of::<A>() > INLINE_STATE_MAX || align_of::<A>() > 16
}

pub(crate) const fn class_of<A>() -> Class {
    let size = if is_boxed::<A>() { size_of::<Cell<NonNull<A>>>() } else { size_of::<Cell<A>>() };
    match Class::for_size(size) {
        Some(class) => class,
        None => panic!("a state that is not boxed fits the largest class"),
    }
}

/// A pointer to a cell, without a reference of its own: valid as long as whoever gave it says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellPtr(NonNull<Header>);

/// A counted pointer to a cell: the cell stays allocated while it exists.
pub(crate) struct CellRef(CellPtr);

// SAFETY: the header's fields are atomics, or are touched by the owner only (module text); moving or
// sharing the pointer between threads gives access to nothing else.
unsafe impl Send for CellPtr {}
// SAFETY: as for Send.
unsafe impl Sync for CellPtr {}

impl CellPtr {
    /// # Safety
    /// `header` points to an initialised header in a slot of a runtime's slab, which stays allocated
    /// while the result is used.
    pub(crate) unsafe fn new(header: NonNull<Header>) -> Self {
        CellPtr(header)
    }

    pub(crate) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    pub(crate) fn cast<T>(self) -> NonNull<T> {
        self.0.cast()
    }

    /// The header, as long as the cell is allocated.
    ///
    /// Every `CellPtr` in the crate is used only where that holds: under a `CellRef`, by the owner
    /// (the alive reference), or by a parent for a child that it has not counted off.
    #[inline]
    pub(crate) fn header<'a>(self) -> &'a Header {
        // SAFETY: see above; the constructor's contract is that the cell stays allocated.
        unsafe { self.0.as_ref() }
    }

    /// The type's table.
    #[inline]
    pub(crate) fn vt(self) -> &'static ActorVt {
        let run: &'static RunVt = self.header().run.vt;
        // SAFETY: `Header::new` takes an `&'static ActorVt` and stores the reference to its first
        // field; the cast restores the pointer to the whole, whose provenance `Header::new` kept.
        unsafe { &*(run as *const RunVt).cast::<ActorVt>() }
    }

    /// The owner's half of the inbox.
    ///
    /// # Safety
    /// The caller is the cell's owner and makes no second reference while this one lives.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "the owner is unique, by the inbox's protocol")]
    pub(crate) unsafe fn cursor<'a>(self) -> &'a mut Cursor {
        // SAFETY: the caller is the only one who may touch the cursor.
        unsafe { &mut *self.cursor_ptr() }
    }

    /// For `settle`, after which the cursor may be someone else's.
    #[inline]
    pub(crate) fn cursor_ptr(self) -> *mut Cursor {
        self.header().cursor.with_mut(|cursor| cursor)
    }

    /// Where the state is, for an `A` that was spawned as an `A`.
    #[inline]
    pub(crate) fn state<A>(self) -> *mut A {
        if is_boxed::<A>() {
            let slot =
                self.0.as_ptr().wrapping_byte_add(offset_of!(Cell<*mut A>, state)).cast::<*mut A>();
            // SAFETY: the slot lies inside the cell (class_of counts it) and was written by
            // `write_state`; callers hold the bit STATE.
            unsafe { *slot }
        } else {
            self.0.as_ptr().wrapping_byte_add(offset_of!(Cell<A>, state)).cast::<A>()
        }
    }

    /// Puts the state in its place and sets the bit `STATE`.
    ///
    /// # Safety
    /// The caller is the owner, the cell was made for `A`, and there is no state yet.
    pub(crate) unsafe fn write_state<A>(self, state: A) {
        if is_boxed::<A>() {
            let slot =
                self.0.as_ptr().wrapping_byte_add(offset_of!(Cell<*mut A>, state)).cast::<*mut A>();
            // SAFETY: inside the cell, see `state`.
            unsafe { slot.write(Box::into_raw(Box::new(state))) };
        } else {
            // SAFETY: inside the cell; nothing to drop there, by the caller's word.
            unsafe { self.state::<A>().write(state) };
        }
        self.header().set(bit::STATE);
    }

    /// The function behind [`ActorVt::drop_state`].
    ///
    /// # Safety
    /// As there; no reference to the state is alive.
    pub(crate) unsafe fn drop_state<A>(self) {
        let state = self.state::<A>();
        if is_boxed::<A>() {
            // SAFETY: made by Box::into_raw in `write_state`, taken back once.
            drop(unsafe { Box::from_raw(state) });
        } else {
            // SAFETY: initialised by `write_state`, dropped once.
            unsafe { state.drop_in_place() };
        }
    }

    /// The runtime that the cell belongs to.
    #[inline]
    pub(crate) fn shared<'a>(self) -> &'a Shared {
        // SAFETY: every slot of a slab carries its runtime's `Shared` as the user pointer, which
        // outlives all of the slab's cells (`Shared` text).
        unsafe { &*slab::user_of(self.0.cast()).cast::<Shared>() }
    }

    /// As an entry of a run queue.
    #[inline]
    pub(crate) fn runnable(self) -> Runnable {
        // SAFETY: `run` is the cell's first field, and the cell stays allocated while it is
        // scheduled: the alive reference (or the one kept for the backlog) is only released by the
        // run that ends it.
        unsafe { Runnable::from_header(self.0.cast()) }
    }

    pub(crate) fn pid(self) -> Pid {
        // SAFETY: the pointer is that of a slot of a slab.
        let (index, generation) = unsafe { slab::identity_of(self.0.cast()) };
        Pid::new(self.shared().tag(), index, generation)
    }

    /// Takes another reference. The cell must be kept by someone else meanwhile.
    #[inline]
    pub(crate) fn to_ref(self) -> CellRef {
        self.header().slot.acquire();
        CellRef(self)
    }

    /// Releases one reference, and the cell with the last.
    #[inline]
    pub(crate) fn release(self) {
        if self.header().slot.release() {
            self.free();
        }
    }

    #[cold]
    #[inline(never)]
    fn free(self) {
        let ext = self.header().ext.load(Ordering::Acquire);
        if !ext.is_null() {
            // SAFETY: made by Box::into_raw in `Ext::part`; the last reference is gone.
            drop(unsafe { Box::from_raw(ext) });
        }
        Shared::free_cell(self);
    }

    /// What a push, wake or raise owes: puts the cell in a run queue if it was idle.
    #[inline]
    pub(crate) fn follow(self, push: Push) {
        if push == Push::Schedule {
            self.schedule();
        }
    }

    /// Puts the cell, which the caller has taken from idle to scheduled, in a run queue.
    #[inline]
    pub(crate) fn schedule(self) {
        self.shared().scheduler().schedule(self.runnable());
    }

    /// Raises a flag and schedules the cell if it was idle.
    pub(crate) fn raise(self, flags: u32) {
        self.follow(self.sign(flags));
    }

    /// Raises a flag; the caller does what is owed.
    pub(crate) fn sign(self, flags: u32) -> Push {
        let header = self.header();
        header.inbox.raise(&header.flags, flags)
    }

    /// The cell that `node` is the embedded DOWN of.
    ///
    /// # Safety
    /// `node` is such a node, and its cell is allocated.
    pub(crate) unsafe fn of_down(node: NonNull<Node>) -> Self {
        let header = node.as_ptr().wrapping_byte_sub(offset_of!(Header, down)).cast::<Header>();
        // SAFETY: a header is not at address zero.
        CellPtr(unsafe { NonNull::new_unchecked(header) })
    }

    /// The embedded DOWN, with the provenance of the whole cell.
    pub(crate) fn down_node(self) -> NonNull<Node> {
        let node = self.0.as_ptr().wrapping_byte_add(offset_of!(Header, down)).cast::<Node>();
        // SAFETY: inside the cell.
        unsafe { NonNull::new_unchecked(node) }
    }

    /// Has the cell's first line fetched for writing, ahead of a walk.
    #[inline]
    pub(crate) fn prefetch(self) {
        whitebeam_sync::prefetch(self.0.as_ptr());
    }

    /// Has the lines fetched that a run touches, ahead of a walk: the header, and the state if it is small.
    #[inline]
    pub(crate) fn prefetch_for_run(self) {
        let start = self.0.as_ptr();
        for offset in [0, 64, 128] {
            whitebeam_sync::prefetch(start.wrapping_byte_add(offset));
        }
    }

    /// Owner only: its first turn has begun. Reads no clock, see [`Handle::now_coarse`](whitebeam_scheduler::Handle::now_coarse).
    #[inline]
    pub(crate) fn note_beginning(self) {
        let now = self.shared().scheduler().now_coarse().as_nanos();
        self.header().began.store(now.saturating_add(1), Ordering::Relaxed);
    }

    /// Time since its first turn. Anyone may ask who keeps the cell.
    pub(crate) fn uptime(self) -> Option<Duration> {
        let began = self.header().began.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.shared().scheduler().now().saturating_since(Time::from_nanos(began)))
    }

    /// Whether an ended process has not told all of its end, or not disposed of all that it left unread.
    pub(crate) fn is_leaving(self) -> bool {
        self.is_ended() && self.header().has(bit::LEAVING)
    }

    /// Owner only: remembers the mailbox's length if it is the longest yet. Called after each drain, with
    /// the number of messages that it brought and whether others waited before; so the mark misses at most
    /// the messages handled since the last drain.
    #[inline]
    pub(crate) fn note_drained(self, messages: u32, others_waited: bool) {
        // A batch of some size is looked at also if there was a longer one: it may be above the watermark.
        let noted = self.header().high.load(Ordering::Relaxed).min(watermark::NOTED);
        if messages > noted || (others_waited && messages > 0) {
            self.note_length(messages, others_waited);
        }
    }

    #[cold]
    fn note_length(self, messages: u32, others_waited: bool) {
        let header = self.header();
        let high = header.high.load(Ordering::Relaxed);
        let watermark = watermark::level_of(self);
        // Then there is no need to look at the senders' word.
        if !others_waited && messages <= high && messages < watermark {
            return;
        }
        let len = header.mailbox_len();
        if len > high {
            header.high.store(len, Ordering::Relaxed);
        }
        if len >= watermark {
            watermark::reached(self, len);
        }
    }

    /// Of a mailbox into which nothing is drained that would be noted: so many wait. Called by the owner.
    pub(crate) fn note_waiting(self, len: u32) {
        if len >= watermark::level_of(self) {
            watermark::reached(self, len);
        }
    }

    pub(crate) fn is_ended(self) -> bool {
        self.header().inbox.is_closed()
    }
}

impl CellRef {
    /// Takes over one reference that is already counted.
    pub(crate) fn adopt(cell: CellPtr) -> Self {
        CellRef(cell)
    }

    #[inline]
    pub(crate) fn ptr(&self) -> CellPtr {
        self.0
    }

    /// Gives the reference up uncounted: whoever takes the pointer must release it.
    pub(crate) fn into_ptr(self) -> CellPtr {
        let ptr = self.0;
        std::mem::forget(self);
        ptr
    }
}

impl Clone for CellRef {
    #[inline]
    fn clone(&self) -> Self {
        self.0.to_ref()
    }
}

impl Drop for CellRef {
    #[inline]
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Header {
    /// Initialises a fresh slot as a cell that its spawner owns.
    ///
    /// `slot` is left alone: threads with stale pids may be reading it.
    ///
    /// # Safety
    /// `header` is a slot that the slab has just given to the caller, of at least a header's size.
    pub(crate) unsafe fn init(
        header: NonNull<Header>,
        vt: &'static ActorVt,
        bits: u32,
        down: Node,
        first: NonNull<Node>,
    ) {
        let vt: *const ActorVt = vt;
        let h = header.as_ptr();
        let mut cursor = Cursor::new();
        // SAFETY: a fresh node, given up; its payload is Send.
        unsafe { cursor.push_front(first) };
        // SAFETY: an ActorVt begins with its RunVt (repr(C)) and is 'static. Made from the pointer to
        // the whole, so that `CellPtr::vt` may go back.
        let run = RunHeader { vt: unsafe { &*vt.cast::<RunVt>() } };
        // SAFETY: all fields lie inside the slot, which is the caller's alone except for `slot`, which
        // is not written. Nothing of a former process is left to drop.
        #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one reason holds for each field")]
        unsafe {
            (&raw mut (*h).run).write(run);
            (&raw mut (*h).inbox).write(Inbox::scheduled());
            (&raw mut (*h).cursor).write(UnsafeCell::new(cursor));
            (&raw mut (*h).frame).write(AtomicPtr::new(std::ptr::null_mut()));
            (&raw mut (*h).down).write(cell::UnsafeCell::new(down));
            (&raw mut (*h).taken).write(AtomicU32::new(0));
            (&raw mut (*h).high).write(AtomicU32::new(0));
            (&raw mut (*h).began).write(AtomicU64::new(0));
            (&raw mut (*h).parent).write(AtomicU64::new(0));
            (&raw mut (*h).ext).write(AtomicPtr::new(std::ptr::null_mut()));
            (&raw mut (*h).flags).write(Flags::new());
            (&raw mut (*h).bits).write(AtomicU32::new(bits));
        }
    }

    /// Place in the supervising parent's child table.
    #[inline]
    pub(crate) fn child_index(&self) -> &AtomicU32 {
        self.inbox.beside()
    }

    #[inline]
    pub(crate) fn has(&self, bit: u32) -> bool {
        self.bits.load(Ordering::Relaxed) & bit != 0
    }

    /// Owner only: a load and a store, no read-modify-write.
    #[inline]
    pub(crate) fn set(&self, bit: u32) {
        self.bits.store(self.bits.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
    }

    /// Owner only.
    #[inline]
    pub(crate) fn clear(&self, bit: u32) {
        self.bits.store(self.bits.load(Ordering::Relaxed) & !bit, Ordering::Relaxed);
    }

    /// Whether the mailbox is bounded.
    #[inline]
    pub(crate) fn is_bounded(&self) -> bool {
        self.flags.get() & flag::BOUNDED != 0
    }

    /// Owner only: where it was when its end was decided, of [`flag::IN_ANY`].
    #[inline]
    pub(crate) fn note_place(&self, place: u32) {
        let _ = self.flags.take(flag::IN_ANY);
        if place != 0 {
            self.flags.put(place);
        }
    }

    /// Owner only: `n` counted nodes have left the mailbox.
    #[inline]
    pub(crate) fn took(&self, n: u32) {
        self.taken.store(self.taken.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Messages and children's DOWNs that wait, counted at the moment of the call. Exact when
    /// nothing is in flight; any thread may ask, also while the actor is stuck in a handler.
    pub(crate) fn mailbox_len(&self) -> u32 {
        if self.is_bounded() {
            return bound::length(self);
        }
        // Taken first: a message that is pushed and taken between the two loads must not make the
        // difference negative. One that is pushed between them makes it longer by one, which is true.
        self.inbox.length(self.taken.load(Ordering::Acquire))
    }

    /// The parent's pid, supervising or not. `None`: started by the runtime.
    pub(crate) fn parent_pid(&self) -> Option<Pid> {
        match self.parent.load(Ordering::Relaxed) {
            0 => None,
            bits => Some(Pid::from_bits(bits)),
        }
    }

    /// Owner only: fixes the reason. Reasons without a value need no memory.
    pub(crate) fn set_reason_code(&self, code: u32) {
        let bits = self.bits.load(Ordering::Relaxed) & ((1 << REASON_SHIFT) - 1);
        self.bits.store(bits | code << REASON_SHIFT, Ordering::Relaxed);
    }

    pub(crate) fn reason_code(&self) -> u32 {
        self.bits.load(Ordering::Relaxed) >> REASON_SHIFT
    }
}

/// Where in [`Header::bits`] the reason's code begins; 0 is "none yet".
const REASON_SHIFT: u32 = 29;

/// The function behind [`ActorVt::type_name`].
pub(crate) fn type_name<A: Actor>() -> &'static str {
    match const { A::FORM.name_of_body() } {
        Some(name) => name(),
        None => std::any::type_name::<A>(),
    }
}

impl std::fmt::Debug for CellRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.pid().fmt(f)
    }
}

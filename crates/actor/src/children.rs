//! The children that a process supervises: what a supervisor is made of, for any actor.
//!
//! A parent keeps a table of its children and gets each one's end by a node embedded in the child's
//! cell: no allocation at the end, O(1) to count off, whatever the number of children. How they are
//! stopped, in parallel batches, is in [`stop_children`](crate::Context::stop_children).
//!
//! # Who keeps what
//!
//! The table holds pointers without references: a child's alive reference travels in its DOWN and is
//! released when the parent has counted it off, so an entry is valid until then. A child follows its
//! parent's pid to the parent's cell to report its end: the parent's cell is not freed while a child has
//! not been counted off. With the push of its DOWN that ends, so the child touches the parent no more, or keeps
//! it ([`Inbox::push_last`](whitebeam_sync::inbox::Inbox::push_last)).
//!
//! # The orphan rule
//!
//! A parent that ends while it has children (it was killed, or it panicked) tells them all to shut
//! down, as it would have in order: they end with `Shutdown`, not with `Killed`. Nobody waits for
//! them any more; each that ends finds its parent's inbox closed and counts itself off
//! (`Part::orphans`); the last one releases the reference that the parent took for them.
//!
//! # Differences from OTP
//! A killed supervisor's children get `killed` there, by their links.
#![expect(unsafe_code, reason = "the table holds cells by pointer")]

use std::{fmt, ptr::NonNull, task::Waker};

use whitebeam_scheduler::{Runnable, Time};
use whitebeam_sync::{
    inbox::Push,
    node::{Node, NodeVt},
    shim::atomic::Ordering,
};

use crate::{
    Actor, Context, ExitReason, Pid,
    cell::{CellPtr, CellRef, bit, flag},
    contain::contain,
    context::Place,
    ext::{self, Ext},
    message::tag,
};

mod stop;
mod tally;

pub use stop::{EndChild, Outcome, Stop, StopChild, StopChildren};
use tally::{Names, Tally};
pub(crate) use tally::{Seen, exception, name, publish};

/// Names one child of one parent. Only meaningful for that parent, and until the child's end was told
/// ([`ChildDown`]) or the child was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildKey(u32);

impl ChildKey {
    /// Place in the parent's table: small, and not used again before the child's end was told.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A supervised child has ended by itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildDown {
    /// Which child. From now on its place may be taken by the next one that is spawned.
    pub key: ChildKey,
    /// Its pid.
    pub pid: Pid,
    /// Why it ended.
    pub reason: ExitReason,
    /// `false`: it ended before its `init` was done; who started it was told.
    pub started: bool,
    /// The report of its parent's end has it: by a stop that was given up.
    counted: bool,
}

/// A parent's `on_down`, without its type: copied out for each call, so that no reference into the set is
/// alive while it runs.
#[derive(Clone, Copy)]
struct OnDown {
    /// A `fn(&mut A, ChildDown, &mut Context<A>)` of the parent's `A`.
    on_down: *const (),
    /// Calls it, for that `A`.
    call: unsafe fn(*const (), CellPtr, ChildDown),
}

// SAFETY: pointers to functions.
unsafe impl Send for OnDown {}

impl OnDown {
    fn new<A: Actor>(on_down: fn(&mut A, ChildDown, &mut Context<A>)) -> Self {
        OnDown { on_down: on_down as *const (), call: Self::call::<A> }
    }

    /// # Safety
    /// `on_down` is a function for `A`, and `cell` an `A`'s; the caller is its owner, the state is there and
    /// no frame exists.
    unsafe fn call<A: Actor>(on_down: *const (), cell: CellPtr, down: ChildDown) {
        // SAFETY: made from a function of this very type by `new`.
        let on_down = unsafe {
            std::mem::transmute::<*const (), fn(&mut A, ChildDown, &mut Context<A>)>(on_down)
        };
        // SAFETY: the caller's word.
        let state = unsafe { &mut *cell.state::<A>() };
        on_down(state, down, Place::new(cell).lend());
    }
}

/// A parent's children. In its [`Ext`], so touched by the parent's owner only.
pub(crate) struct ChildSet {
    table: Vec<Option<CellPtr>>,
    /// Places of the table that are free.
    free: Vec<u32>,
    live: usize,
    on_down: OnDown,
    /// Children that ended by themselves while a handler was suspended.
    pending: Vec<ChildDown>,
    /// Ends that are not told yet: the pending ones, the rest of those that are being told, and that of a
    /// stop of one. Their places are kept, so that no other child has the key of one of them.
    untold: usize,
    /// A stop of all is under way: ends are counted, not reported. Or the parent ends, see [`tally`].
    stopping: Option<Box<Tally>>,
    /// What the parent has stopped since its own end was decided.
    stops: Option<Box<Tally>>,
    /// A stop of one is under way, or done and not yet taken.
    stopping_one: Option<StoppingOne>,
    /// What the parent calls its children, for people.
    names: Option<Names>,
    /// Who polls the stop, unless it is the parent's own frame: a combinator in there.
    waker: Option<Waker>,
}

/// A child that is being stopped on its own.
struct StoppingOne {
    key: ChildKey,
    how: Stop,
    /// When it was told. `None`: it was ended by that.
    begun: Option<Time>,
    /// Its time was over, and it was killed; what it was about then.
    seen: Option<Seen>,
    /// Its end, once it has come.
    down: Option<ChildDown>,
}

/// The node embedded in each cell.
pub(crate) static DOWN_VT: NodeVt = NodeVt {
    tag: tag::CHILD_DOWN,
    counted: true,
    urgent: true,
    detach: true,
    free: keep,
    dispose: keep,
};

/// An embedded node's memory is the cell's.
unsafe fn keep(_: NonNull<Node>) {}

/// Makes `cell` a parent.
///
/// # Panics
/// If its `init` is over: who ends it inline relies on that nothing becomes a parent later.
///
/// # Safety
/// The caller is the owner of `cell`, which is an `A`'s.
pub(crate) unsafe fn supervise<A: Actor>(
    cell: CellPtr,
    on_down: fn(&mut A, ChildDown, &mut Context<A>),
) {
    assert!(cell.header().has(bit::INIT), "`supervise` is called in `init`");
    cell.header().set(bit::PARENT);
    // SAFETY: the caller's word.
    let ext = unsafe { Ext::of(cell) };
    let on_down = OnDown::new(on_down);
    match &mut ext.children {
        Some(children) => children.on_down = on_down,
        none => {
            *none = Some(Box::new(ChildSet {
                table: Vec::new(),
                free: Vec::new(),
                live: 0,
                on_down,
                pending: Vec::new(),
                untold: 0,
                stopping: None,
                stops: None,
                stopping_one: None,
                names: None,
                waker: None,
            }));
        }
    }
}

/// The children of `cell`, if it is a parent.
///
/// # Safety
/// The caller is the owner and holds no other reference into its part.
pub(crate) unsafe fn of<'a>(cell: CellPtr) -> Option<&'a mut ChildSet> {
    // SAFETY: the caller's word.
    unsafe { Ext::get(cell) }?.children.as_deref_mut()
}

/// As [`of`], to be read.
///
/// # Safety
/// As for [`Ext::look`].
pub(crate) unsafe fn look<'a>(cell: CellPtr) -> Option<&'a ChildSet> {
    // SAFETY: the caller's word.
    unsafe { Ext::look(cell) }?.children.as_deref()
}

/// As [`of`], for the futures of `stop`, which borrow the parent's `Context`, and for the parent's end.
fn owned<'a>(parent: CellPtr) -> Option<&'a mut ChildSet> {
    // SAFETY: both are run by the parent's owner, or by somebody whom that waits for.
    unsafe { of(parent) }
}

impl ChildSet {
    /// Gives a child that is not scheduled yet its place.
    pub(crate) fn add(&mut self, parent: CellPtr, child: CellPtr) -> ChildKey {
        let place = match self.free.pop() {
            Some(place) => {
                self.table[place as usize] = Some(child);
                place
            }
            None => {
                self.table.push(Some(child));
                self.publish_size(parent);
                // A process table has 2^28 places.
                (self.table.len() - 1) as u32
            }
        };
        self.live += 1;
        let header = child.header();
        header.child_index().store(place, Ordering::Relaxed);
        header.parent.store(parent.pid().to_bits(), Ordering::Relaxed);
        header.set(bit::SUPERVISED);
        ChildKey(place)
    }

    /// Those whose end was not told yet.
    pub(crate) fn count(&self) -> usize {
        self.live + self.untold
    }

    /// Those that were not counted off.
    pub(crate) fn left(&self) -> impl Iterator<Item = CellPtr> + '_ {
        self.table.iter().copied().flatten()
    }

    /// Those, with their places.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ChildKey, CellPtr)> + '_ {
        let places = self.table.iter().zip(0..);
        places.filter_map(|(child, place)| child.map(|child| (ChildKey(place), child)))
    }

    pub(crate) fn get(&self, key: ChildKey) -> Option<CellPtr> {
        self.table.get(key.index()).copied().flatten()
    }

    /// Publishes the bytes of the table, when it has just grown.
    fn publish_size(&self, parent: CellPtr) {
        if self.table.len().is_power_of_two() {
            let bytes = size_of::<Self>() + self.table.capacity() * size_of::<Option<CellPtr>>();
            let ext = parent.header().ext.load(Ordering::Relaxed);
            // SAFETY: a parent has its part; the field is atomic, and apart from the set.
            unsafe { &(*ext).children_bytes }.store(bytes, Ordering::Relaxed);
        }
    }

    /// The child's place is empty, and still to be [`vacate`](Self::vacate)d.
    fn count_off(&mut self, child: CellPtr) -> ChildKey {
        let place = child.header().child_index().load(Ordering::Relaxed);
        debug_assert!(self.table[place as usize] == Some(child));
        self.table[place as usize] = None;
        self.live -= 1;
        ChildKey(place)
    }

    /// Another child may have this place.
    fn vacate(&mut self, key: ChildKey) {
        if self.live == 0 && self.untold == 0 {
            // Memory goes back after a burst; a set that stays in use keeps its table.
            self.table = Vec::new();
            self.free = Vec::new();
        } else {
            self.free.push(key.0);
        }
    }

    /// The end of this child was told, or never will be.
    fn told(&mut self, key: ChildKey) {
        self.untold -= 1;
        self.vacate(key);
    }

    /// No stop is under way any more: an end that it has not told is told as any other. `true`: there is one.
    fn end_stops(&mut self, parent: CellPtr) -> bool {
        if let Some(tally) = self.stopping.take()
            && parent.header().has(bit::TERMINATING)
        {
            self.stops(parent).merge(tally.into_summary());
        }
        match self.stopping_one.take() {
            Some(StoppingOne { down: Some(down), .. }) => {
                self.pending.push(down);
                true
            }
            _ => false,
        }
    }

    /// The ends that were to be told, for who tells them otherwise.
    fn take_pending(&mut self) -> Vec<ChildDown> {
        let pending = std::mem::take(&mut self.pending);
        pending.iter().for_each(|down| self.told(down.key));
        pending
    }
}

/// Whom `cell` reports its end to. Valid until the parent has counted it off.
pub(crate) fn supervisor_of(cell: CellPtr) -> Option<CellPtr> {
    let header = cell.header();
    if !header.has(bit::SUPERVISED) {
        return None;
    }
    header.parent_pid().map(|pid| cell.shared().cell_at(pid))
}

/// A supervised process's place in its parent's table.
fn place_of(child: CellPtr) -> ChildKey {
    ChildKey(child.header().child_index().load(Ordering::Relaxed))
}

/// The place of a child that is there.
///
/// # Safety
/// As for [`Ext::look`], of `parent`; `child` is allocated.
pub(crate) unsafe fn key_of(parent: CellPtr, child: CellPtr) -> Option<ChildKey> {
    let header = child.header();
    let is_child = header.has(bit::SUPERVISED) && header.parent_pid() == Some(parent.pid());
    // SAFETY: the caller's word.
    let set = unsafe { look(parent) }?;
    let key = ChildKey(header.child_index().load(Ordering::Relaxed));
    (is_child && set.get(key) == Some(child)).then_some(key)
}

/// A child's DOWN has come.
///
/// # Safety
/// The caller is `parent`'s owner, and `node` is the embedded node of one of its children.
pub(crate) unsafe fn receive_down(parent: CellPtr, node: NonNull<Node>) {
    // SAFETY: `down` is a field of the child's header.
    let child = unsafe { CellPtr::of_down(node) };
    // SAFETY: the caller's word.
    unsafe { ended::<false>(parent, child) };
    child.release();
}

/// Counts a child off and takes note of its end; `INLINE`: by which it was told.
///
/// # Safety
/// The caller is `parent`'s owner and holds no reference into its part; `child` is in its table.
unsafe fn ended<const INLINE: bool>(parent: CellPtr, child: CellPtr) {
    // SAFETY: the caller's word.
    let Some(set) = (unsafe { of(parent) }) else { return };
    let header = parent.header();
    let key = set.count_off(child);
    let mut is_over = false;
    if let Some(tally) = &mut set.stopping {
        tally.count::<INLINE>(child, key);
        set.vacate(key);
        is_over = set.live == 0;
    } else {
        let reason = ext::exit_reason(child);
        let started = !child.header().has(bit::INIT);
        let mut down = ChildDown { key, pid: child.pid(), reason, started, counted: false };
        set.untold += 1;
        match &mut set.stopping_one {
            Some(one) if one.key == key && one.down.is_none() => {
                if let Some(stops) = &mut set.stops {
                    stops.count_one(child, one);
                    down.counted = true;
                }
                one.down = Some(down);
                is_over = true;
            }
            _ => {
                set.pending.push(down);
                header.set(bit::CHILDREN_DOWN);
            }
        }
    }
    if is_over {
        header.set(bit::POLL);
        let waker = set.waker.take();
        // A waker is the user's code: its panic ends here, and no reference into the set is alive.
        let _ = contain(|| waker.map(Waker::wake));
    }
}

/// Gives up the stop that is under way, if there is one: its future was dropped, or forgotten by a handler that
/// is done or stops others now. What it has not told is told as any other end.
pub(crate) fn give_up_stop(parent: CellPtr) {
    let header = parent.header();
    header.clear(bit::STOPPING);
    if owned(parent).is_some_and(|set| set.end_stops(parent)) {
        header.set(bit::CHILDREN_DOWN);
    }
}

/// Tells the parent's code of the children that ended by themselves. Not while a handler is suspended.
///
/// # Safety
/// The caller is `cell`'s owner; its state is there and borrowed by no frame.
pub(crate) unsafe fn deliver(cell: CellPtr) {
    cell.header().clear(bit::CHILDREN_DOWN);
    loop {
        // SAFETY: the caller's word. The set is looked up again each time: the user's code may spawn.
        let Some(set) = (unsafe { of(cell) }) else { return };
        let mut downs = std::mem::take(&mut set.pending);
        if downs.is_empty() {
            return;
        }
        downs.reverse();
        while let Some(down) = downs.pop() {
            // SAFETY: as above.
            let Some(set) = (unsafe { of(cell) }) else { return };
            set.told(down.key);
            let OnDown { on_down, call } = set.on_down;
            let unwinding = NoteChildDown(cell);
            // SAFETY: the set is that of an `A`, and so is the function; the rest is the caller's word.
            unsafe { call(on_down, cell, down) };
            std::mem::forget(unwinding);
            if cell.header().has(bit::DOOMED) {
                drop(NoteChildDown(cell));
                // SAFETY: as above.
                let Some(set) = (unsafe { of(cell) }) else { return };
                // For a `terminate` that stops the others, and counts these.
                downs.reverse();
                set.pending.splice(0..0, downs);
                return;
            }
        }
    }
}

/// The ends of children that were not told yet, for who asks for them himself.
///
/// # Safety
/// The caller is `cell`'s owner, and holds no reference into its part.
pub(crate) unsafe fn take_downs(
    cell: CellPtr,
    was_killed: impl Fn(ChildKey) -> bool,
) -> Vec<ChildDown> {
    // SAFETY: the caller's word.
    let Some(set) = (unsafe { of(cell) }) else { return Vec::new() };
    let mut downs = set.take_pending();
    if cell.header().has(bit::TERMINATING) && !downs.is_empty() {
        // They have ended beside a stop: they are in its report.
        let ways: Vec<bool> = downs.iter().map(|down| was_killed(down.key)).collect();
        let stops = owned(cell).map(|set| set.stops(cell));
        if let Some(stops) = stops {
            for (down, was_killed) in downs.iter_mut().zip(ways) {
                let how = if was_killed { Stop::Kill } else { Stop::Infinity };
                stops.add_ended(down, how);
            }
        }
    }
    downs
}

/// Whether the process was supervised by one that has ended, or one above it was.
pub(crate) fn is_orphan(process: CellRef) -> bool {
    let mut process = process;
    loop {
        let header = process.ptr().header();
        let Some(parent) = header.has(bit::SUPERVISED).then(|| header.parent_pid()).flatten()
        else {
            return false;
        };
        match process.ptr().shared().resolve(parent) {
            Some(parent) if !parent.ptr().is_ended() => process = parent,
            _ => return true,
        }
    }
}

/// Notes for a report what the process was about when its end was decided. Dropped by a panic, or by hand.
struct NoteChildDown(CellPtr);

impl Drop for NoteChildDown {
    #[cold]
    fn drop(&mut self) {
        self.0.header().note_place(flag::IN_CHILD_DOWN);
    }
}

/// Tells one child to shut down.
///
/// A child may be ended inline when it is idle and nothing of it asks for a turn of its own. A parent is not:
/// its table must be read before its inbox is closed ([`gather`]). What the bits say may change until
/// the inbox is closed, but `PARENT` does not once `INIT` is off; a child that begins to trap exits at
/// this moment ends as if the signal had come before.
fn shut_down(child: CellPtr) -> Told {
    let header = child.header();
    if child.vt().ends_inline
        && !header.has(bit::TRAP | bit::INIT | bit::PARENT)
        && header.inbox.close_if_idle()
    {
        return Told::Ended;
    }
    told(child, flag::SHUTDOWN)
}

fn told(child: CellPtr, flags: u32) -> Told {
    match child.sign(flags) {
        Push::Schedule => Told::Schedule(child.runnable()),
        Push::Queued | Push::Closed => Told::Noted,
    }
}

/// What telling a child came to.
enum Told {
    /// It was idle, and belongs to the caller now, who ends it.
    Ended,
    /// It was idle: to be scheduled.
    Schedule(Runnable),
    /// It is running, or ending already.
    Noted,
}

/// The children of a process that is about to end, kept by references. Taken before its inbox is closed:
/// until then a child that ends waits in it with its alive reference, so that no entry is stale.
pub(crate) fn gather(cell: CellPtr) -> Vec<CellRef> {
    match owned(cell) {
        Some(set) if set.live > 0 => {
            set.table.iter().flatten().map(|child| child.to_ref()).collect()
        }
        _ => Vec::new(),
    }
}

/// The orphan rule: `cell` has ended and its inbox is closed. `children` are those that [`gather`] found;
/// some may have been counted off since.
pub(crate) fn orphan(cell: CellPtr, children: &[CellRef]) {
    let Some(set) = owned(cell) else { return };
    let left = set.live as isize;
    if left == 0 {
        return;
    }
    // For the children that are left; released by the last of them.
    cell.header().slot.acquire();
    let scheduler = cell.shared().scheduler();
    for batch in children.chunks(256) {
        let told = batch.iter().filter_map(|child| match told(child.ptr(), flag::SHUTDOWN) {
            Told::Schedule(runnable) => Some(runnable),
            _ => None,
        });
        scheduler.schedule_batch(told);
    }
    // Children that ended since the inbox was closed have counted below zero.
    let ext = cell.header().ext.load(Ordering::Relaxed);
    // SAFETY: a parent has its part; the field is atomic.
    if unsafe { (*ext).orphans.fetch_add(left, Ordering::AcqRel) } + left == 0 {
        cell.release();
    }
}

/// A child has ended whose parent had before: it counts itself off.
pub(crate) fn orphan_ended(parent: CellPtr, child: CellPtr) {
    if child.header().has(bit::PARENT) {
        child.shared().countdown().orphan_ended(parent.pid(), child);
    }
    child.release();
    let ext = parent.header().ext.load(Ordering::Acquire);
    // SAFETY: a parent with a child has its part, and the parent's reference for its orphans keeps both. Only
    // atomic fields are looked at: the parent's owner may be at the others.
    let last = unsafe { (*ext).orphans.fetch_sub(1, Ordering::AcqRel) } == 1;
    if last {
        parent.release();
    }
}

impl fmt::Debug for ChildSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSet").field("live", &self.live).finish_non_exhaustive()
    }
}

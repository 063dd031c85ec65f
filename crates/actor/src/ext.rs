//! The part of a cell that few actors have, made on first use.
//!
//! Owner-only ([`Ext`]), but for what lies beside it in [`Part`], so that no `&mut Ext` spans what others look at:
//! the counters, which are atomic, the label, which has a lock, and the exit reason: it is written before the end
//! is published by the closed inbox, the DOWNs and the EXITs, and read by who was told.
#![expect(unsafe_code, reason = "reached by pointer from the cell")]

use std::{
    collections::HashMap,
    ptr::NonNull,
    sync::{Arc, OnceLock},
    task::Waker,
};

use ahash::RandomState;
use parking_lot::Mutex;
use whitebeam_sync::{
    inbox::Cursor,
    shim::{
        atomic::{AtomicIsize, AtomicU32, AtomicUsize, Ordering},
        cell::UnsafeCell,
    },
};

use crate::{
    ExitReason, Name, Pid, StartInfo, StopReport, alias,
    bound::Bound,
    cell::{CellPtr, Header},
    children::ChildSet,
    deadlock::Chase,
    idle::Idle,
    inspect::Watch,
    link,
    monitor::{self, Watcher},
    signal::{Constructor, Exit},
    timer, unread, watermark,
    work::Works,
};

/// What the cell points to: the owner's part, and apart from it what others look at.
#[derive(Default)]
pub(crate) struct Part {
    /// Bytes of the table of children, for who asks.
    pub(crate) children_bytes: AtomicUsize,
    /// The mailbox's bound. Set before the cell is published, or never.
    bound: Option<Box<Bound>>,
    /// How much is in the owner's tables, for who asks.
    pub(crate) counts: Counts,
    /// What is kept of a process that is watched, or whose message in hand has a name.
    pub(crate) watched: OnceLock<Box<Watch>>,
    /// What the process calls itself, for people.
    label: Mutex<Option<Name>>,
    /// Children left when the process ended, minus those that ended since. See the orphan rule.
    pub(crate) orphans: AtomicIsize,
    /// How its children ended, if it has ended and had some: set before its end is told.
    stopped: OnceLock<Arc<StopReport>>,
    /// The reason that it is to end with, or ended with, if it needs memory.
    exit_reason: UnsafeCell<Option<ExitReason>>,
    own: UnsafeCell<Ext>,
}

/// What the owner says of its tables whenever it has changed one.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) links: AtomicU32,
    pub(crate) monitors: AtomicU32,
    pub(crate) watchers: AtomicU32,
    /// [`StartInfo::attempt`], 0 for a first start.
    pub(crate) attempt: AtomicU32,
    /// Bytes of the tables of links, monitors and aliases.
    pub(crate) bytes: AtomicUsize,
    /// Futures, streams and closures that were piped or attached and are not over.
    pub(crate) attached: AtomicU32,
    /// Bytes of those.
    pub(crate) attached_bytes: AtomicUsize,
}

/// The owner's part. See the module's text.
#[derive(Default)]
pub(crate) struct Ext {
    /// Monitors of this process on others: how their DOWN becomes a message.
    pub(crate) monitors: Map<u64, monitor::Watched>,
    /// Who monitors this process.
    pub(crate) watchers: Map<monitor::Key, Watcher>,
    /// Who is linked to this process, by pid.
    pub(crate) links: Map<u64, link::Half>,
    /// How an EXIT becomes a message, while exits are trapped.
    pub(crate) trap: Option<Constructor<Exit>>,
    /// Children that this process supervises.
    pub(crate) children: Option<Box<ChildSet>>,
    /// What the process was started as, if not for the first time.
    pub(crate) start_info: Option<StartInfo>,
    /// Pids from the parent upwards, once asked for.
    pub(crate) ancestors: Option<Box<[Pid]>>,
    /// Messages per turn at most, with the bit `PACED`.
    pub(crate) budget: u32,
    /// Counts monitors and timers of this process.
    pub(crate) next_id: u64,
    /// Timers that were set and have not fired.
    pub(crate) timers: Option<Box<timer::Set>>,
    /// The idle timeout, if there is one.
    pub(crate) idle: Option<Idle>,
    /// Aliases of this process that are on, by number; a monitor's has the monitor's number.
    pub(crate) aliases: Map<u64, alias::Use>,
    /// Who is to be woken beside the body when a message comes: a combinator in there that waits for one.
    pub(crate) receiver: Option<Waker>,
    /// What was piped or attached, and is not over.
    pub(crate) work: Option<Box<Works>>,
    /// Priority messages that wait, if the process has a lane for them. Nothing is ever drained into it.
    pub(crate) lane: Option<Cursor>,
    /// What becomes of what the process leaves unread. `None`: it is dropped.
    pub(crate) unread: Option<unread::Policy>,
    /// What is known of the mailbox's watermark.
    pub(crate) watermark: watermark::Watch,
    /// Chases that have come and were not looked at, see `deadlock`.
    #[expect(clippy::vec_box, reason = "they travel in their boxes")]
    pub(crate) chases: Vec<Box<Chase>>,
}

/// Hashed with fixed seeds: keys are pids and counters, not chosen by strangers, and the order of a
/// walk must be the same in a replayed run. (Hence pids without their runtime's tag: [`Pid::in_runtime`].)
pub(crate) type Map<K, V> = HashMap<K, V, Fixed>;

/// See [`Map`]. Without a size: the seeds are constants.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fixed;

impl std::hash::BuildHasher for Fixed {
    type Hasher = ahash::AHasher;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        const SEEDED: RandomState =
            RandomState::with_seeds(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344);
        SEEDED.build_hasher()
    }
}

impl Ext {
    /// The cell's part, made if it has none.
    ///
    /// # Safety
    /// The caller is the owner and holds no other reference to it.
    pub(crate) unsafe fn of<'a>(cell: CellPtr) -> &'a mut Ext {
        let part = Self::part(cell);
        // SAFETY: made by Box::into_raw, freed with the cell.
        let own = unsafe { &(*part).own };
        // SAFETY: unique by the caller's word.
        own.with_mut(|own| unsafe { &mut *own })
    }

    /// The cell's part, made if it has none. Called by the owner.
    fn part(cell: CellPtr) -> *mut Part {
        let part = cell.header().ext.load(Ordering::Relaxed);
        if !part.is_null() {
            return part;
        }
        let made = Box::into_raw(Box::<Part>::default());
        // Release: `CellPtr::free` and `exit_reason` follow it from other threads.
        cell.header().ext.store(made, Ordering::Release);
        made
    }

    /// The cell's part, if it has one.
    ///
    /// # Safety
    /// As for [`of`](Self::of).
    pub(crate) unsafe fn get<'a>(cell: CellPtr) -> Option<&'a mut Ext> {
        let part = NonNull::new(cell.header().ext.load(Ordering::Relaxed))?;
        // SAFETY: as for `of`.
        let own = unsafe { &(*part.as_ptr()).own };
        // SAFETY: as for `of`.
        Some(own.with_mut(|own| unsafe { &mut *own }))
    }

    /// The cell's part, if it has one, to be read.
    ///
    /// # Safety
    /// The caller is the owner, or somebody whom the owner waits for, and no `&mut` to it is in use meanwhile.
    pub(crate) unsafe fn look<'a>(cell: CellPtr) -> Option<&'a Ext> {
        let part = NonNull::new(cell.header().ext.load(Ordering::Relaxed))?;
        // SAFETY: made by Box::into_raw, freed with the cell.
        let own = unsafe { &(*part.as_ptr()).own };
        // SAFETY: not written meanwhile, by the caller's word.
        Some(own.with(|own| unsafe { &*own }))
    }

    /// Sets the cell's label. Called by the owner.
    pub(crate) fn set_label(cell: CellPtr, label: Option<Name>) {
        let part = Self::part(cell);
        // SAFETY: the part lives as long as the cell; the field is a lock.
        let label = std::mem::replace(&mut *unsafe { &(*part).label }.lock(), label);
        drop(label);
    }

    /// The cell's label. Anyone may ask who keeps the cell.
    pub(crate) fn label_of(cell: CellPtr) -> Option<Name> {
        let part = NonNull::new(cell.header().ext.load(Ordering::Acquire))?.as_ptr();
        // SAFETY: the part lives as long as the cell; the field is a lock.
        unsafe { &(*part).label }.lock().clone()
    }

    /// What the owner says of its tables. Anyone may ask who keeps the cell.
    pub(crate) fn counts_of<'a>(cell: CellPtr) -> Option<&'a Counts> {
        let part = NonNull::new(cell.header().ext.load(Ordering::Acquire))?.as_ptr();
        // SAFETY: the part lives as long as the cell; the fields are atomic.
        Some(unsafe { &(*part).counts })
    }

    /// What is kept of a process that is watched. Anyone may ask who keeps the cell.
    #[inline]
    pub(crate) fn watched_of<'a>(cell: CellPtr) -> Option<&'a Watch> {
        let part = NonNull::new(cell.header().ext.load(Ordering::Acquire))?.as_ptr();
        // SAFETY: the part lives as long as the cell; the field is set once, and shared.
        unsafe { &(*part).watched }.get().map(|watched| &**watched)
    }

    /// As [`watched_of`](Self::watched_of), made if there is none. Called by the owner.
    pub(crate) fn watch<'a>(cell: CellPtr) -> &'a Watch {
        let part = Self::part(cell);
        // SAFETY: as above.
        unsafe { &(*part).watched }.get_or_init(Box::default)
    }

    /// Says how much is in the tables. Called by the owner when it has changed one, with no `&mut` to its part in use.
    pub(crate) fn publish(cell: CellPtr) {
        // SAFETY: the caller's word.
        let Some(ext) = (unsafe { Ext::look(cell) }) else { return };
        let Some(counts) = Self::counts_of(cell) else { return };
        let set = |to: &AtomicU32, len: usize| {
            to.store(u32::try_from(len).unwrap_or(u32::MAX), Ordering::Relaxed);
        };
        set(&counts.links, ext.links.len());
        set(&counts.monitors, ext.monitors.len());
        set(&counts.watchers, ext.watchers.len());
        let bytes = table_bytes(&ext.links)
            + table_bytes(&ext.monitors)
            + table_bytes(&ext.watchers)
            + table_bytes(&ext.aliases);
        counts.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes what the process was started as. Called by the spawner, before the cell is published.
    pub(crate) fn set_start_info(cell: CellPtr, info: StartInfo) {
        let attempt = info.attempt;
        // SAFETY: nobody else knows the cell.
        unsafe { Ext::of(cell) }.start_info = Some(info);
        if let Some(counts) = Self::counts_of(cell) {
            counts.attempt.store(attempt, Ordering::Relaxed);
        }
    }

    /// The next number for a monitor or a timer of this process.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl Part {
    /// Gives the cell its bound. Called by who makes it, before it is published.
    pub(crate) fn set_bound(cell: CellPtr, bound: Box<Bound>) {
        let part = Ext::part(cell);
        // SAFETY: the part lives as long as the cell, which nobody else has yet.
        unsafe { (*part).bound = Some(bound) };
    }

    /// Says how the process's children ended. Called by its owner, which ends it.
    pub(crate) fn set_stopped(cell: CellPtr, report: Arc<StopReport>) {
        let part = Ext::part(cell);
        // SAFETY: the part lives as long as the cell; the field is set once, and shared.
        let _ = unsafe { &(*part).stopped }.set(report);
    }

    /// How the children of an ended process ended. Anyone may ask who keeps the cell.
    pub(crate) fn stopped<'a>(cell: CellPtr) -> Option<&'a Arc<StopReport>> {
        let part = NonNull::new(cell.header().ext.load(Ordering::Acquire))?.as_ptr();
        // SAFETY: as above.
        unsafe { &(*part).stopped }.get()
    }

    /// The bound of an allocated cell's mailbox, for who knows that it was published.
    pub(crate) fn bound<'a>(header: &Header) -> Option<&'a Bound> {
        let part = NonNull::new(header.ext.load(Ordering::Acquire))?.as_ptr();
        // SAFETY: the part lives as long as the cell; the field is not written once that is published.
        unsafe { &(*part).bound }.as_deref()
    }
}

/// Bytes that a map has allocated, from how much it can hold: one byte and an entry for each of its places, which are
/// a power of two, and a group of bytes at the end.
pub(crate) fn table_bytes<K, V>(map: &Map<K, V>) -> usize {
    const GROUP: usize = 16;
    let places = match map.capacity() {
        0 => return 0,
        few if few < 8 => few + 1,
        // Seven of eight places are used at most.
        more => more / 7 * 8,
    };
    (places * size_of::<(K, V)>()).next_multiple_of(GROUP) + places + GROUP
}

/// How a process ended, as far as its reason's code tells.
pub(crate) enum End {
    Clean,
    Killed,
    /// To be looked at.
    Other,
}

/// How `cell` ended. Only for who was told that it has.
#[inline]
pub(crate) fn end_of(cell: CellPtr) -> End {
    match cell.header().reason_code() {
        NORMAL | SHUTDOWN => End::Clean,
        KILLED => End::Killed,
        _ => End::Other,
    }
}

const NORMAL: u32 = 1;
const SHUTDOWN: u32 = 2;
const KILLED: u32 = 3;

/// Codes of the reasons that need no memory: their places here, from 1 on.
static CODES: [ExitReason; 6] = [
    ExitReason::Normal,
    ExitReason::Shutdown,
    ExitReason::Killed,
    ExitReason::NoProc,
    ExitReason::Kill,
    ExitReason::MailboxOverflow,
];
/// The reason is in the [`Ext`].
const IN_EXT: u32 = 7;

/// Sets the reason with which `cell` is to end; the last one before its end is published counts.
///
/// # Safety
/// The caller is the owner, and the end is not published yet.
pub(crate) unsafe fn set_exit_reason(cell: CellPtr, reason: &ExitReason) {
    let code = match reason {
        ExitReason::Normal => NORMAL,
        ExitReason::Shutdown => SHUTDOWN,
        ExitReason::Killed => KILLED,
        ExitReason::NoProc => 4,
        ExitReason::Kill => 5,
        ExitReason::MailboxOverflow => 6,
        _ => {
            let part = Ext::part(cell);
            // SAFETY: made by Box::into_raw, freed with the cell.
            let place = unsafe { &(*part).exit_reason };
            // SAFETY: the caller is the owner, and nobody reads it before the end is published.
            let old = place.with_mut(|place| unsafe { (*place).replace(reason.clone()) });
            drop(old);
            IN_EXT
        }
    };
    cell.header().set_reason_code(code);
}

/// The reason with which `cell` ended, or is to end. Only for who was told that it has, and the owner.
pub(crate) fn exit_reason(cell: CellPtr) -> ExitReason {
    match cell.header().reason_code() {
        0 => ExitReason::NoProc,
        IN_EXT => {
            let part = cell.header().ext.load(Ordering::Acquire);
            // SAFETY: the code says that the part is there.
            let place = unsafe { &(*part).exit_reason };
            // SAFETY: and its reason, which nobody writes any more: the asker was told of the end after that.
            let reason = place.with(|place| unsafe { (*place).clone() });
            reason.unwrap_or(ExitReason::NoProc)
        }
        code => CODES[code as usize - 1].clone(),
    }
}

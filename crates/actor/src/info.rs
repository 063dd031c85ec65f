//! What can be seen of a process from outside, at any time.
//!
//! All of it is read from what the process and its senders keep anyway, so reading costs them nothing but the transfer
//! of a line, and works while the process is stuck in a handler. Numbers are exact when nothing is in flight.

use std::time::Duration;

use whitebeam_scheduler::Time;
use whitebeam_sync::shim::atomic::Ordering;

use crate::{
    Name, Pid, bound,
    cell::{CellPtr, CellRef, bit},
    ext::Ext,
    inspect::{self, MessageAge, level},
};

/// A look at one process: [`Handle::info`](crate::Handle::info). Taken from counters that the process keeps for itself:
/// reading them costs it nothing, and works while it is stuck in a handler.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Info {
    /// Its pid.
    pub pid: Pid,
    /// The name that it is registered under.
    pub name: Option<Name>,
    /// What it is called for people, see [`SpawnOptions::label`](crate::SpawnOptions::label).
    pub label: Option<Name>,
    /// What it is about.
    pub status: Status,
    /// Its parent's, if a process started it.
    pub parent: Option<Pid>,
    /// Messages (and ends of children) that wait. Exact when nothing is in flight.
    pub mailbox_len: usize,
    /// The longest mailbox since the start, at least `mailbox_len`. Taken where the inbox is drained: it
    /// misses at most what was handled since the last drain.
    pub mailbox_high_water: usize,
    /// How many messages may wait, if that is [bounded](crate::SpawnOptions::bounded).
    pub mailbox_bound: Option<usize>,
    /// Messages that the bound's policy has dropped: [`Overflow::DropNewest`](crate::Overflow::DropNewest),
    /// [`Overflow::DropOldest`](crate::Overflow::DropOldest).
    pub dropped: u64,
    /// For how long the oldest message that waits has done so, by the marks of a [walker](crate::Handle::walker).
    /// `None`: none waits, or nobody has walked yet.
    pub oldest_message: Option<MessageAge>,
    /// Messages taken from the mailbox so far, modulo 2^32.
    pub handled: u32,
    /// Whether a handler is suspended at an await; of a process in the process form, whether its body is.
    pub is_suspended: bool,
    /// What the message in hand is called, if its actor [names its messages](crate::Actor::msg_name). At
    /// [`Level::Counts`](crate::Level::Counts) of an actor only; a process in the process form has no names.
    pub message: Option<&'static str>,
    /// For how long it has had that in hand, at [`Level::Full`](crate::Level::Full).
    pub in_hand_for: Option<Duration>,
    /// Names of its last messages, oldest first, if it was started with
    /// [`SpawnOptions::keep_last`](crate::SpawnOptions::keep_last).
    pub last_messages: Vec<&'static str>,
    /// Time since its first turn, to the millisecond or so. `None`: it had none yet.
    pub uptime: Option<Duration>,
    /// Time that it ran, in turns that are over, while the [level](crate::Handle::set_level) said that time is taken.
    pub busy: Option<Duration>,
    /// How often it was restarted: one less than [`StartInfo::attempt`](crate::StartInfo::attempt).
    pub restarts: u32,
    /// Whom it is linked to: how many.
    pub links: usize,
    /// Its monitors on others.
    pub monitors: usize,
    /// Monitors of others on it.
    pub monitored_by: usize,
    /// Work beside its mailbox that is not over: futures, streams and blocking closures, see
    /// [`Context::pipe`](crate::Context::pipe).
    pub attached: usize,
    /// Bytes that the runtime has for it: the cell with its state, also if that is boxed, the frame of a suspended
    /// handler, the part that few processes have, its tables of children, links and monitors, and what is attached.
    /// Without what state, messages and futures own, the nodes of unread messages, and timers. Of a suspended `init` or `terminate` about.
    pub memory: usize,
    /// The actor's type.
    pub actor: &'static str,
}

/// What a process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Status {
    /// Its `init` is not done.
    Starting,
    /// It has nothing to do: it waits for a message.
    Waiting,
    /// It has nothing to do before what its handler awaits has come: a handler is suspended. In the process form the
    /// body awaits something else than a message.
    Suspended,
    /// It runs, or will when its turn comes. A process that has just run out of work may still be here for a
    /// moment.
    Running,
    /// Its end is decided: a handler may still finish, `terminate` may run.
    Ending,
}

impl Status {
    pub(crate) fn of(cell: CellPtr) -> Self {
        let header = cell.header();
        let bits = header.bits.load(Ordering::Relaxed);
        let is_suspended = !header.frame.load(Ordering::Relaxed).is_null();
        if bits & (bit::DOOMED | bit::TERMINATING) != 0 {
            Status::Ending
        } else if bits & bit::INIT != 0 {
            Status::Starting
        } else if !header.inbox.is_idle() {
            Status::Running
        } else if is_suspended && bits & bit::RECEIVING == 0 {
            Status::Suspended
        } else {
            Status::Waiting
        }
    }

    /// In a word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::Starting => "starting",
            Status::Waiting => "waiting",
            Status::Suspended => "suspended",
            Status::Running => "running",
            Status::Ending => "ending",
        }
    }
}

/// What the message in hand of a process is called that is about this.
pub(crate) fn message_of(cell: CellPtr, status: Status) -> Option<&'static str> {
    if status == Status::Waiting { None } else { level::in_hand(cell)?.name }
}

/// `None`: it has ended.
pub(crate) fn of(cell: &CellRef) -> Option<Info> {
    let ptr = cell.ptr();
    if ptr.is_ended() {
        return None;
    }
    let (header, shared) = (ptr.header(), ptr.shared());
    let status = Status::of(ptr);
    let (gone, _, len) = inspect::counted(header);
    let bound = bound::look(ptr);
    let high = bound.as_ref().map_or(0, |bound| bound.high);
    let high = header.high.load(Ordering::Relaxed).max(high).max(len);
    let counts = Ext::counts_of(ptr);
    let count = |of: fn(&crate::ext::Counts) -> u32| counts.map_or(0, of);
    let in_hand = if status == Status::Waiting { None } else { level::in_hand(ptr) };
    let watch = Ext::watched_of(ptr);
    let since = |since: u64| shared.scheduler().now().saturating_since(Time::from_nanos(since));
    let pid = ptr.pid();
    Some(Info {
        pid,
        name: shared.names().name_of(ptr),
        label: Ext::label_of(ptr),
        status,
        parent: header.parent_pid(),
        mailbox_len: len as usize,
        mailbox_high_water: high as usize,
        mailbox_bound: bound.as_ref().map(|bound| bound.limit),
        dropped: bound.as_ref().map_or(0, |bound| bound.dropped),
        oldest_message: if len == 0 { None } else { inspect::age(ptr, gone) },
        handled: header.taken.load(Ordering::Relaxed),
        is_suspended: !header.frame.load(Ordering::Relaxed).is_null(),
        message: in_hand.and_then(|in_hand| in_hand.name),
        in_hand_for: in_hand.and_then(|in_hand| in_hand.since).map(since),
        last_messages: watch.map_or_else(Vec::new, |watch| watch.last()),
        uptime: ptr.uptime(),
        busy: watch.map(|watch| watch.busy()).filter(|busy| *busy > 0).map(Duration::from_nanos),
        restarts: count(|counts| counts.attempt.load(Ordering::Relaxed)).saturating_sub(1),
        links: count(|counts| counts.links.load(Ordering::Relaxed)) as usize,
        monitors: count(|counts| counts.monitors.load(Ordering::Relaxed)) as usize,
        monitored_by: count(|counts| counts.watchers.load(Ordering::Relaxed)) as usize,
        attached: count(|counts| counts.attached.load(Ordering::Relaxed)) as usize,
        memory: ptr.memory(),
        actor: (ptr.vt().type_name)(),
    })
}

//! The processes that have most of something.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::{Info, Pid, cell::CellRef, info, shared::Shared};

/// What [`Handle::top`](crate::Handle::top) orders by, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// Messages that wait.
    MailboxLen,
    /// The longest mailbox so far.
    HighWater,
    /// Messages taken so far.
    Handled,
    /// Bytes.
    Memory,
    /// For how long the oldest message has waited at least: needs a [walker](crate::Handle::walker).
    OldestMessage,
    /// Time that it ran: needs [`Level::Times`](crate::Level::Times).
    Busy,
    /// Restarts.
    Restarts,
    /// Links and monitors, both ways.
    Relations,
}

impl By {
    fn key(self, info: &Info) -> u64 {
        let nanos = |time: Option<Duration>| {
            time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        };
        match self {
            By::MailboxLen => info.mailbox_len as u64,
            By::HighWater => info.mailbox_high_water as u64,
            By::Handled => info.handled.into(),
            By::Memory => info.memory as u64,
            By::OldestMessage => nanos(info.oldest_message.map(|age| age.at_least)),
            By::Busy => nanos(info.busy),
            By::Restarts => info.restarts.into(),
            By::Relations => (info.links + info.monitors + info.monitored_by) as u64,
        }
    }

    /// The key without all the rest, where that is cheap.
    fn quick(self, cell: &CellRef) -> Option<u64> {
        let header = cell.ptr().header();
        match self {
            By::MailboxLen => Some(header.mailbox_len().into()),
            By::Memory => Some(cell.ptr().memory() as u64),
            // What nobody waits in has no age.
            By::OldestMessage if header.mailbox_len() == 0 => Some(0),
            _ => None,
        }
    }
}

/// One of the most. Ordered by what it has, and of those with the same by pid, the lower first.
struct Entry {
    key: (u64, Reverse<Pid>),
    info: Info,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// One walk, with a heap of the `most` found so far, the least of them on top.
pub(super) fn of(shared: &Shared, by: By, most: usize) -> Vec<Info> {
    let mut heap: BinaryHeap<Reverse<Entry>> = BinaryHeap::new();
    shared.walk(|cell| {
        let least = if heap.len() < most { None } else { heap.peek().map(|least| least.0.key.0) };
        // The walk goes upwards: of those with the same key the ones before have the lower pids.
        if most == 0 || least.is_some_and(|least| by.quick(&cell).is_some_and(|key| key <= least)) {
            return;
        }
        let Some(info) = info::of(&cell) else { return };
        let entry = Entry { key: (by.key(&info), Reverse(info.pid)), info };
        if heap.len() < most {
            heap.push(Reverse(entry));
        } else if let Some(mut top) = heap.peek_mut()
            && top.0 < entry
        {
            top.0 = entry;
        }
    });
    heap.into_sorted_vec().into_iter().map(|Reverse(entry)| entry.info).collect()
}

//! Looks at all processes from time to time, and what is remembered of them: how old unread messages are, which
//! mailboxes grow, who does not go on.
//!
//! # A mark
//!
//! No message carries a time. Instead each look writes down, for each process with unread messages, how many had been
//! sent to it at that moment. The oldest unread message is the one of number `taken`; it was sent before a look that
//! counted more than that, and after one that counted no more:
//!
//! ```text
//!   looks          t1        t2        t3        now
//!   sent           40        55        90
//!   taken                                        60: its number 60 was sent between t2 and t3
//! ```
//!
//! So its age lies between `now - t3` and `now - t2`. Marks that say nothing any more are forgotten, and of those that
//! are left at most [`MARKS`] are kept, evenly apart: the bounds of an age are as far apart as two looks, or as a
//! quarter of the time in which what is in the mailbox has come. A mailbox that was empty at the last look holds
//! messages that came after it, and needs no mark.
//!
//! # Who may write
//!
//! The [`Book`] has a lock, held for some microseconds at a time: what a look finds is gathered first, without it. One
//! look is under way at a time; who comes second leaves it to the first. The walk takes and gives back a reference to
//! each cell, one read-modify-write each on the line where its senders' word is: a transfer of that line per walk,
//! which a mere look at the word would cost as well.
//!
//! # Cost
//!
//! Nothing without a walker. Memory: an entry of some hundred bytes for each process that had unread messages, or a
//! handler under way, when it was last looked at. `whitebeam-bench run walk` has the time.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    sync::{Arc, Weak},
    time::Duration,
};

use whitebeam_scheduler::{Task, Time};
use whitebeam_sync::shim::{
    atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{self, Thread},
};

use super::level;
use crate::{
    Pid, bound,
    cell::{CellPtr, CellRef, Header, bit, flag},
    contain::contain,
    shared::Shared,
};

/// Marks of one process: more make the bounds of an age tighter, and an entry larger.
const MARKS: usize = 8;
/// Looks that are remembered of one process or worker.
const LOOKS: usize = 8;
/// For how long a look is remembered, if there are newer ones.
const REMEMBERED: Duration = Duration::from_secs(10);

/// For how long a message has waited: between two bounds, see [`Handle::walker`](crate::Handle::walker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MessageAge {
    /// It was there when a look was taken so long ago; zero if it has come since the last look.
    pub at_least: Duration,
    /// It was not there yet when a look was taken so long ago. `None`: it was there at the first look.
    pub at_most: Option<Duration>,
}

/// What a look found of a process that has something to do.
pub(super) struct Found {
    pub(super) pid: Pid,
    pub(super) sent: u32,
    /// That have gone from the front, taken or displaced.
    pub(super) gone: u32,
    pub(super) taken: u32,
    pub(super) len: u32,
    /// A handler is suspended, and messages wait behind it.
    pub(super) holds_up: bool,
    /// The worker that ran it.
    pub(super) worker: Option<usize>,
}

/// How many messages had been sent at a look.
#[derive(Clone, Copy)]
struct Mark {
    /// Before the process was looked at.
    before: Time,
    /// After.
    after: Time,
    sent: u32,
}

/// A mailbox at a look.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) at: Time,
    pub(super) len: u32,
    pub(super) taken: u32,
}

/// A worker at a look.
#[derive(Clone, Copy)]
pub(super) struct WorkerLook {
    pub(super) at: Time,
    pub(super) runs: u64,
    pub(super) busy: Duration,
    pub(super) queue_len: usize,
}

/// Something that did not end from one look to the next.
#[derive(Clone, Copy)]
pub(super) struct Held {
    /// Messages taken then: the last one is in hand.
    taken: u32,
    pub(super) since: Time,
    pub(super) last: Time,
    /// The worker that it holds, with the number of its runs. `None`: a handler is suspended, at some look at least.
    pub(super) worker: Option<(usize, u64)>,
    holds_up: bool,
}

/// What is remembered of a process.
pub(super) struct Entry {
    number: u64,
    marks: VecDeque<Mark>,
    /// A look at which no message that is still there had come.
    floor: Option<Time>,
    pub(super) looks: VecDeque<Look>,
    pub(super) held: Option<Held>,
}

/// What is remembered of all. See the module's text.
#[derive(Default)]
pub(crate) struct Book {
    /// The look under way, or the last one, by number.
    number: u64,
    is_under_way: bool,
    /// Before the last look that is over.
    last: Option<Time>,
    pub(super) first: Option<Time>,
    pub(super) entries: HashMap<Pid, Entry>,
    pub(super) workers: Vec<VecDeque<WorkerLook>>,
}

impl Book {
    /// For how long the oldest of the messages that wait has done so: the one behind `taken` others.
    pub(super) fn age(&self, now: Time, pid: Pid, taken: u32) -> Option<MessageAge> {
        let Some(entry) = self.entries.get(&pid) else {
            // It was not there, or had no message, at the last look.
            let at_most = Some(now.saturating_since(self.last?));
            return Some(MessageAge { at_least: Duration::ZERO, at_most });
        };
        let mut floor = entry.floor;
        for mark in &entry.marks {
            if is_before(taken, mark.sent) {
                let at_most = floor.map(|floor| now.saturating_since(floor));
                return Some(MessageAge { at_least: now.saturating_since(mark.after), at_most });
            }
            floor = Some(mark.before);
        }
        let at_most = floor.map(|floor| now.saturating_since(floor));
        Some(MessageAge { at_least: Duration::ZERO, at_most })
    }

    fn add(&mut self, before: Time, after: Time, found: &Found, runs: &[u64]) {
        let (number, floor) = (self.number, self.last);
        let entry = self.entries.entry(found.pid).or_insert_with(|| Entry {
            number,
            marks: VecDeque::new(),
            floor,
            looks: VecDeque::new(),
            held: None,
        });
        entry.number = number;
        while let Some(mark) = entry.marks.front().filter(|mark| !is_before(found.gone, mark.sent))
        {
            entry.floor = Some(mark.before);
            entry.marks.pop_front();
        }
        entry.marks.push_back(Mark { before, after, sent: found.sent });
        if entry.marks.len() > MARKS {
            thin(&mut entry.marks, |mark| mark.after);
        }
        remember(
            &mut entry.looks,
            Look { at: after, len: found.len, taken: found.taken },
            after,
            |look| look.at,
        );
        let worker = found.worker.and_then(|index| Some((index, *runs.get(index)?)));
        if worker.is_none() && !found.holds_up {
            entry.held = None;
            return;
        }
        match &mut entry.held {
            // Suspended at both looks, or in the same run.
            Some(held)
                if held.taken == found.taken
                    && (held.worker == worker || (held.holds_up && found.holds_up)) =>
            {
                held.last = after;
                if held.worker != worker {
                    held.worker = None;
                }
            }
            held => {
                let holds_up = found.holds_up;
                *held =
                    Some(Held { taken: found.taken, since: after, last: after, worker, holds_up });
            }
        }
    }

    fn add_workers(&mut self, looks: &[WorkerLook]) {
        self.workers.resize_with(looks.len(), VecDeque::new);
        for (kept, look) in self.workers.iter_mut().zip(looks) {
            remember(kept, *look, look.at, |look| look.at);
        }
    }
}

/// Whether the message of number `one` comes before that of `other`: numbers are modulo 2^32.
fn is_before(one: u32, other: u32) -> bool {
    let ahead = other.wrapping_sub(one);
    ahead != 0 && ahead <= u32::MAX / 2
}

/// Forgets the one that is missed least: not the first nor the last, and so that those that are left lie evenly.
fn thin<T>(all: &mut VecDeque<T>, at: impl Fn(&T) -> Time) {
    let gap = |place: &usize| at(&all[place + 1]).saturating_since(at(&all[place - 1]));
    if let Some(place) = (1..all.len().saturating_sub(1)).min_by_key(gap) {
        all.remove(place);
    }
}

fn remember<T>(all: &mut VecDeque<T>, new: T, now: Time, at: impl Fn(&T) -> Time) {
    all.push_back(new);
    while all.len() > 2 && now.saturating_since(at(&all[1])) >= REMEMBERED {
        all.pop_front();
    }
    if all.len() > LOOKS {
        thin(all, at);
    }
}

/// One look at all processes, part by part.
pub(super) struct Pass<'a> {
    shared: &'a Shared,
    begun: Time,
    /// Where to go on; `None`: it is over.
    next: Option<u32>,
    /// Of each worker, ahead of the look.
    runs: Vec<u64>,
}

impl<'a> Pass<'a> {
    /// `None`: another one is under way.
    pub(super) fn begin(shared: &'a Shared) -> Option<Self> {
        let begun = shared.scheduler().now();
        let metrics = shared.scheduler().metrics();
        let mut book = shared.inspection().book().lock();
        if book.is_under_way {
            return None;
        }
        book.is_under_way = true;
        book.number += 1;
        let looks: Vec<WorkerLook> = metrics
            .iter()
            .map(|worker| WorkerLook {
                at: begun,
                runs: worker.runs,
                busy: worker.busy,
                queue_len: worker.queue_len,
            })
            .collect();
        book.add_workers(&looks);
        drop(book);
        let runs = metrics.iter().map(|worker| worker.runs).collect();
        Some(Pass { shared, begun, next: Some(0), runs })
    }

    /// Goes on with the next part. `false`: that was the last one.
    pub(super) fn step(&mut self) -> bool {
        let Some(at) = self.next else { return false };
        let before = self.shared.scheduler().now();
        let level = self.shared.inspection().level();
        let mut found = Vec::new();
        self.next = self.shared.walk_part(at, |cell| {
            level::remind(cell.ptr(), level);
            found.extend(look_at(&cell));
        });
        let after = self.shared.scheduler().now();
        let mut book = self.shared.inspection().book().lock();
        found.iter().for_each(|found| book.add(before, after, found, &self.runs));
        self.next.is_some()
    }

    /// The whole look at once.
    pub(super) fn run(mut self) {
        while self.step() {}
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut book = self.shared.inspection().book().lock();
        book.is_under_way = false;
        if self.next.is_some() {
            // Given up: those that it has not come to are kept as they were.
            return;
        }
        book.last = Some(self.begun);
        book.first.get_or_insert(self.begun);
        let number = book.number;
        book.entries.retain(|_, entry| entry.number == number);
        if book.entries.capacity() > 4 * book.entries.len().max(64) {
            // Memory goes back after a burst.
            book.entries.shrink_to_fit();
        }
    }
}

/// How many messages have gone from the front of a mailbox, taken or displaced, how many were taken, and how many wait: all
/// of one moment, unless the process is so fast that none is found.
pub(crate) fn counted(header: &Header) -> (u32, u32, u32) {
    const TRIES: u32 = 4;
    let look = || {
        let taken = header.taken.load(Ordering::Acquire);
        (taken.wrapping_add(bound::displaced(header)), taken)
    };
    let mut before = look();
    for _ in 0..TRIES {
        let len = header.mailbox_len();
        let after = look();
        if after == before {
            return (before.0, before.1, len);
        }
        before = after;
    }
    // So many at least have come by now: the newest of them may be taken for older than they are by this look's time.
    let len = header.mailbox_len();
    let (gone, taken) = look();
    (gone, taken, len)
}

/// For how long the oldest of a process's messages has waited, of which so many have gone.
pub(crate) fn age(cell: CellPtr, gone: u32) -> Option<MessageAge> {
    let shared = cell.shared();
    let now = shared.scheduler().now();
    let age = shared.inspection().book().lock().age(now, cell.pid(), gone)?;
    let at_most = age.at_most.filter(|_| !overtakes(cell.header()));
    Some(MessageAge { at_most, ..age })
}

/// Whether some of a process's messages are taken ahead of others, whatever it does: those that its children's ends make,
/// and those in a lane.
fn overtakes(header: &Header) -> bool {
    header.has(bit::PARENT) || header.flags.get() & flag::LANE != 0
}

/// `None`: there is nothing to be remembered of it.
fn look_at(cell: &CellRef) -> Option<Found> {
    let ptr = cell.ptr();
    let header = ptr.header();
    let (gone, taken, len) = counted(header);
    if ptr.is_ended() || (len == 0 && header.inbox.is_idle()) {
        return None;
    }
    let is_suspended = !header.frame.load(Ordering::Relaxed).is_null();
    let holds_up = is_suspended && len > 0 && !header.has(bit::RECEIVING);
    let worker = if header.inbox.is_idle() {
        None
    } else {
        ptr.shared().inspection().workers().lock().runs(ptr)
    };
    let sent = gone.wrapping_add(len);
    Some(Found { pid: ptr.pid(), sent, gone, taken, len, holds_up, worker })
}

/// Looks at all processes from time to time, until it is dropped: [`Handle::walker`](crate::Handle::walker).
#[must_use = "dropping a walker ends it"]
pub struct Walker {
    every: Duration,
    walks: Arc<AtomicU64>,
    engine: Engine,
}

enum Engine {
    /// A thread of its own, which goes on when no worker does.
    Thread { stop: Arc<AtomicBool>, thread: Thread },
    /// In a simulation: a task. Dropped, it is cancelled.
    #[expect(dead_code, reason = "kept until it is dropped")]
    Task(Task<()>),
}

impl Walker {
    pub(super) fn start(shared: &Arc<Shared>, every: Duration) -> io::Result<Walker> {
        let weak = Arc::downgrade(shared);
        // A period of zero would never let time pass.
        let every = every.max(Duration::from_micros(1));
        let walks = Arc::new(AtomicU64::new(0));
        let counter = walks.clone();
        let look = move || {
            // The last reference to a process may be let go, and with it a reason or a label: code of the user's.
            let goes_on = contain(|| look(&weak)).unwrap_or(true);
            counter.fetch_add(u64::from(goes_on), Ordering::Relaxed);
            goes_on
        };
        let engine = if shared.scheduler().is_simulated() {
            let scheduler = shared.scheduler().clone();
            Engine::Task(shared.scheduler().spawn(async move {
                while look() {
                    scheduler.sleep(every).await;
                }
            }))
        } else {
            let stop = Arc::new(AtomicBool::new(false));
            let is_over = stop.clone();
            let walk = move || {
                while !is_over.load(Ordering::Acquire) && look() {
                    thread::park_timeout(every);
                }
            };
            let started = thread::Builder::new().name("whitebeam-walk".to_owned()).spawn(walk)?;
            Engine::Thread { stop, thread: started.thread().clone() }
        };
        Ok(Walker { every, walks, engine })
    }

    /// How often it looks.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// How often it has looked.
    pub fn walks(&self) -> u64 {
        self.walks.load(Ordering::Relaxed)
    }
}

/// `false`: the runtime has stopped.
fn look(shared: &Weak<Shared>) -> bool {
    let Some(shared) = shared.upgrade() else { return false };
    if shared.scheduler().is_stopping() {
        return false;
    }
    if let Some(pass) = Pass::begin(&shared) {
        pass.run();
    }
    true
}

impl Drop for Walker {
    fn drop(&mut self) {
        if let Engine::Thread { stop, thread } = &self.engine {
            stop.store(true, Ordering::Release);
            thread.unpark();
        }
    }
}

impl fmt::Debug for Walker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walker").field("every", &self.every).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Looks at one process, which has been sent and has taken so many.
    fn look(book: &mut Book, time: u64, sent: u32, taken: u32) {
        let found = Found {
            pid: Pid::from_bits(7),
            sent,
            gone: taken,
            taken,
            len: sent.wrapping_sub(taken),
            holds_up: false,
            worker: None,
        };
        book.number += 1;
        book.add(at(time), at(time), &found, &[]);
        book.last = Some(at(time));
    }

    fn age(book: &Book, time: u64, taken: u32) -> (Duration, Option<Duration>) {
        let age = book.age(at(time), Pid::from_bits(7), taken).expect("it was looked at");
        (age.at_least, age.at_most)
    }

    #[test]
    fn an_age_lies_between_the_looks_around_the_message() {
        for begin in [0_u32, u32::MAX - 50] {
            let mut book = Book::default();
            assert_eq!(book.age(at(5), Pid::from_bits(7), begin), None);
            let n = |n: u32| begin.wrapping_add(n);
            look(&mut book, 10, n(40), n(0));
            look(&mut book, 20, n(55), n(30));
            look(&mut book, 30, n(90), n(50));
            assert_eq!(age(&book, 40, n(0)), (ms(20), Some(ms(30))), "the mark of 10 is gone");
            assert_eq!(age(&book, 40, n(54)), (ms(20), Some(ms(30))));
            assert_eq!(age(&book, 40, n(55)), (ms(10), Some(ms(20))));
            assert_eq!(age(&book, 40, n(89)), (ms(10), Some(ms(20))));
            assert_eq!(age(&book, 40, n(90)), (ms(0), Some(ms(10))));
        }
    }

    #[test]
    fn what_was_there_at_the_first_look_has_no_upper_bound() {
        let mut book = Book::default();
        look(&mut book, 10, 5, 0);
        assert_eq!(age(&book, 30, 0), (ms(20), None));
        // Another process, which had nothing at that look.
        let other = book.age(at(30), Pid::from_bits(8), 0).expect("there was a look");
        assert_eq!((other.at_least, other.at_most), (ms(0), Some(ms(20))));
    }

    #[test]
    fn marks_stay_few_and_bounds_true() {
        let mut book = Book::default();
        // Stuck at 100 of a message each millisecond: message n was sent at n.
        for time in 0..1_000 {
            look(&mut book, time, time as u32 + 1, 100.min(time as u32));
        }
        let entry = &book.entries[&Pid::from_bits(7)];
        assert!(entry.marks.len() <= MARKS && entry.looks.len() <= LOOKS);
        let mut widest = Duration::ZERO;
        for taken in 100..1_000 {
            let (least, most) = age(&book, 1_000, taken);
            let (truth, most) = (ms(1_000 - u64::from(taken)), most.expect("not the first look"));
            assert!(least <= truth && truth <= most, "{taken}: {least:?} {truth:?} {most:?}");
            widest = widest.max(most - least);
        }
        assert!(widest <= ms(260), "{widest:?}");
    }
}

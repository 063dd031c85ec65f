//! Who is awake, and whom a send must wake.
//!
//! Waking a thread costs its waker 2 to 8 us, a hundred times what a message costs, and two threads
//! that look for the same work slow down the one that has it. So at most one worker, the *sentinel*,
//! looks for work; all others run or sleep. While there is a sentinel, a send wakes nobody.
//!
//! # States
//!
//! Each worker is in one of three states, which one word counts (`idle/word.rs`); the worker's own thread
//! knows which.
//!
//! ```text
//!             rest (no sentinel)               leave
//!   ACTIVE ----------------------> SENTINEL ----------> ACTIVE
//!     |                             ^     |
//!     | rest (a sentinel exists)    |     | leave, while others are active: to a sleeper
//!     v                             |     v
//!   SLEEPING ---notify, volunteer---+   (the sleeper is SENTINEL, the old one ACTIVE)
//! ```
//!
//! ACTIVE: runs, or looks through its own queue. SENTINEL: looks through everybody's; *searching*
//! (spins) or *napping* (asleep for a while, or for good when nobody is active). A sleeper wakes up as the
//! sentinel, unless it parts.
//!
//! A *spare* worker is ABSENT at first and counts for nothing. While it stands in for one that is stuck, and so
//! ACTIVE, it is one of the others:
//!
//! ```text
//!   ABSENT --join--> ACTIVE --part--> ABSENT          SLEEPING --rouse--> ACTIVE, to part
//! ```
//!
//! # Who may write
//!
//! | field | writer | allowed when |
//! | --- | --- | --- |
//! | word: sentinel, napping | the sentinel (`leave`, `nap`, `rise`); an active worker (`rest`); anyone (`notify`) | as the word's operations check |
//! | word: number of sleepers | `rest`, `leave`, `notify`, `volunteer`, `rouse` | under the lock of the list, whose length it equals |
//! | word: number of all present | a spare (`join`, `part`) | it is ABSENT; it is ACTIVE |
//! | list of sleepers | the same | under its lock |
//! | `asleep` of a worker | itself, to true; who takes it off the list, to false | under the lock of the list |
//!
//! # Why no work is lost
//!
//! *Work* is an entry in a queue, or in a slot beside it, that thieves can reach. Claim: when a worker sleeps and there is work,
//! then somebody who is awake looks for it, or will before he sleeps.
//!
//! A **worker** W pushes on its own queue, looks at the word without a fence ([`Idle::look`]), and
//! wakes somebody only if there is no sentinel although somebody sleeps. It runs the work itself in the
//! end, so all that can be lost is that somebody helps. W is active, so its own last write to the word
//! is the one with which it left the post. What W reads is that or newer.
//!
//! * It reads "a sentinel". While W is active a sentinel leaves the post only to a successor as long
//!   as anybody sleeps, and one sleeps only when there is a sentinel. So either nobody sleeps, or there is
//!   a sentinel; while others are active it naps for a bounded time only, and looks again.
//! * It reads "no sentinel, nobody sleeps": whoever sleeps later does so because there is a sentinel
//!   then; go on as above.
//! * It reads "no sentinel, somebody sleeps": it wakes one.
//!
//! A thread **outside** pushes on the shared queue, executes a `SeqCst` fence, and reads the word
//! ([`Idle::look_after_push`]).
//!
//! * "No sentinel": it wakes a sleeper; if nobody sleeps then all are active, and each looks at the shared
//!   queue before it sleeps (as the sentinel, or because there is one).
//! * "Napping": it calls the sentinel.
//! * "Searching": the sentinel's next write is `nap` or `leave`; after either it executes a `SeqCst` fence
//!   and looks at the shared queue once more. The two fences are ordered: either that look sees the
//!   push, or the thread outside read that write and is in one of the cases above.
//!
//! A **deadline** is published in the same way: written, then a fence, then the look.
//!
//! A **spare** that has joined pushes as any worker. So a sentinel that naps for good, since nobody was active, is
//! called by `join`; one that naps later sees it in the word. What a spare has when it parts goes to the shared queue
//! first; behind its last write there is a fence, and then it looks at the shared queue, and wakes as a thread outside
//! does if there is anything. So it is like one that sleeps, but that nobody counts on it.
//!
//! # Orderings
//!
//! All writes of the word are `SeqCst` read-modify-writes, on paths that cost a microsecond anyway.
//! `look` is relaxed; `look_after_push` is behind the fence that the case "outside" asks for. The
//! parkers carry what their waker wrote.
//!
//! # Cost
//!
//! A push by a worker: one relaxed load of a line that changes when somebody rests or wakes.
//!
//! # Checked by
//!
//! `tests/loom_idle.rs` runs this type through both cases, and a spare through its life; the stress tests of the
//! scheduler hunt for lost wake-ups.

mod word;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use self::word::{IdleWord, Leave};
use crate::parker::Parker;
use crate::shim::Mutex;
use crate::shim::atomic::{AtomicBool, Ordering, fence};

pub use self::word::{MAX_WORKERS, Wake};

/// The idle side of a set of workers. See the [module](self).
///
/// Padded: the word is read at each push, and all around it changes only when somebody rests or wakes.
#[repr(align(128))]
pub struct Idle {
    word: IdleWord,
    /// The sleepers; who slept last is woken first, its cache is the warmest.
    sleepers: Mutex<Vec<usize>>,
    seats: Box<[Seat]>,
}

/// Where one worker waits. Padded: it is written by its waker while its neighbours run.
#[repr(align(128))]
struct Seat {
    parker: Parker,
    /// On the list. Written under the list's lock; read by the worker itself to tell its own wake-up from
    /// a token that was left over.
    asleep: AtomicBool,
}

/// What a worker without work does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rest {
    /// It is the sentinel now, and searches.
    Sentinel,
    /// It is on the list of sleepers: it parks until it [is no longer](Idle::is_asleep).
    Asleep,
}

impl Idle {
    /// All of `workers` are active.
    ///
    /// # Panics
    ///
    /// When there are more than [`MAX_WORKERS`].
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::with_spares(workers, 0)
    }

    /// All of `workers` are active; so many more, whose numbers come after theirs, are absent.
    ///
    /// # Panics
    ///
    /// When there are more than [`MAX_WORKERS`] of both.
    #[must_use]
    pub fn with_spares(workers: usize, spares: usize) -> Self {
        let seats = workers + spares;
        assert!(seats <= MAX_WORKERS, "the word cannot name so many workers");
        let seat = |_| Seat { parker: Parker::new(), asleep: AtomicBool::new(false) };
        Idle {
            word: IdleWord::new(workers),
            sleepers: Mutex::new(Vec::with_capacity(seats)),
            seats: (0..seats).map(seat).collect(),
        }
    }

    /// What a worker of this scheduler owes after a push on its own queue. One relaxed load.
    #[inline]
    pub fn look(&self) -> Wake {
        self.word.look()
    }

    /// What anybody owes after a push on the shared queue, or after an earlier deadline. One `SeqCst`
    /// fence.
    pub fn look_after_push(&self) -> Wake {
        fence(Ordering::SeqCst);
        self.word.look_at_all()
    }

    /// Does what a look has said. `true` when a thread was woken.
    pub fn notify(&self, wake: Wake) -> bool {
        match wake {
            Wake::Nobody => false,
            Wake::Recruit => self.recruit(),
            Wake::Call => self.call(),
        }
    }

    /// An active worker, whose own queue is empty, has nothing to do.
    pub fn rest(&self, me: usize) -> Rest {
        if self.word.take_post(me) {
            return Rest::Sentinel;
        }
        let mut sleepers = self.sleepers.lock();
        loop {
            if self.word.sleep() {
                self.seats[me].asleep.store(true, Ordering::Relaxed);
                sleepers.push(me);
                return Rest::Asleep;
            }
            if self.word.take_post(me) {
                return Rest::Sentinel;
            }
        }
    }

    /// Whether `me`, who rested, is still on the list. When it is not, it is the sentinel.
    #[must_use]
    pub fn is_asleep(&self, me: usize) -> bool {
        self.seats[me].asleep.load(Ordering::Relaxed)
    }

    /// Parks a worker that sleeps or naps. `true` when it came back with a token, which may have been left
    /// over; else the timeout is over, or there was no reason.
    pub fn park(&self, me: usize, timeout: Option<Duration>) -> bool {
        match timeout {
            Some(limit) => self.seats[me].parker.park_timeout(limit),
            None => {
                self.seats[me].parker.park();
                true
            }
        }
    }

    /// A sleeper woke by itself: it takes the post if that is vacant. `true` when it is the sentinel now
    /// (also when somebody had made it so meanwhile).
    #[must_use]
    pub fn volunteer(&self, me: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        let Some(place) = sleepers.iter().position(|&id| id == me) else { return true };
        if !self.word.recruit(me) {
            return false;
        }
        sleepers.remove(place);
        self.seats[me].asleep.store(false, Ordering::Relaxed);
        true
    }

    /// The sentinel goes to nap: gives how many workers are active, which bounds the nap unless it is
    /// zero. It must now look at all queues and deadlines again (the fence is in here), then
    /// [`park`](Self::park) and, in any case, [`rise`](Self::rise).
    #[must_use]
    pub fn nap(&self) -> usize {
        let active = self.word.nap();
        fence(Ordering::SeqCst);
        active
    }

    /// The sentinel searches again.
    pub fn rise(&self) {
        self.word.rise();
    }

    /// The sentinel has found work and becomes active. While others are active and others sleep it wakes
    /// a successor. A `SeqCst` fence is in here, behind its last write of the word.
    ///
    /// `true`: there is no successor although somebody sleeps. The caller must look at the shared queue
    /// and at its own again (the fence is in here), and [`recruit`](Self::recruit) when there is more
    /// than it runs at once.
    #[must_use]
    pub fn leave(&self) -> bool {
        loop {
            match self.word.leave() {
                Leave::Left { sleepers } => {
                    fence(Ordering::SeqCst);
                    return sleepers != 0;
                }
                Leave::HandOver => {
                    let mut sleepers = self.sleepers.lock();
                    // Roused meanwhile (a spare that is relieved): look again.
                    let Some(to) = sleepers.pop() else { continue };
                    self.word.hand_over(to);
                    self.seats[to].asleep.store(false, Ordering::Relaxed);
                    drop(sleepers);
                    self.seats[to].parker.unpark();
                    fence(Ordering::SeqCst);
                    return false;
                }
            }
        }
    }

    /// Makes a sleeper the sentinel, if there is none. `true` when one was woken.
    #[cold]
    pub fn recruit(&self) -> bool {
        let mut sleepers = self.sleepers.lock();
        let Some(&to) = sleepers.last() else { return false };
        if !self.word.recruit(to) {
            return false;
        }
        sleepers.pop();
        self.seats[to].asleep.store(false, Ordering::Relaxed);
        drop(sleepers);
        self.seats[to].parker.unpark();
        true
    }

    /// Wakes the sentinel, if it naps. `true` when this call did it.
    #[cold]
    pub fn call(&self) -> bool {
        match self.word.call() {
            Some(sentinel) => {
                self.seats[sentinel].parker.unpark();
                true
            }
            None => false,
        }
    }

    /// A spare, which was absent, is active.
    pub fn join(&self) {
        self.word.join();
        // It may nap for good, since nobody was active.
        self.call();
    }

    /// A spare, which is active, is absent. It must now look at the shared queue again (the fence is in here), and
    /// wake somebody, as after a push, if there is anything.
    pub fn part(&self) {
        self.word.part();
        fence(Ordering::SeqCst);
    }

    /// A sleeper that is about to part is active. `false`: it is the sentinel meanwhile.
    #[must_use]
    pub fn rouse(&self, me: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        let Some(place) = sleepers.iter().position(|&id| id == me) else { return false };
        sleepers.remove(place);
        self.word.rouse();
        self.seats[me].asleep.store(false, Ordering::Relaxed);
        true
    }

    /// A token for one worker, whatever it does: for what it looks for after it was parked.
    pub fn unpark(&self, worker: usize) {
        self.seats[worker].parker.unpark();
    }

    /// A token for every worker, whatever it does: for the end of the scheduler, which each of them looks
    /// for after it was parked.
    pub fn unpark_all(&self) {
        for seat in &self.seats {
            seat.parker.unpark();
        }
    }

    /// How many workers are active; advisory, but behind a `SeqCst` fence not older than that.
    #[must_use]
    pub fn active_workers(&self) -> usize {
        self.word.active_workers()
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.word.fmt(f)
    }
}

//! Timers of a scheduler: one wheel per worker, and who looks when.
//!
//! [`timer`](crate::timer) knows what is due; this file knows who asks. A worker sets its timers on its
//! own *shard*, threads outside take turns through all of them; anybody may fire any shard.
//!
//! # Who looks
//!
//! * A **worker** looks at its own shard each 50 us of work (a slice), at all each millisecond.
//! * The **sentinel** looks at all while it searches, and naps until the next deadline at most; longer, by a
//!   [slack](slack), while timers are so dense that it would hardly sleep.
//! * A **sleeper** covers for it: while some worker is active and the post of the sentinel is vacant
//!   (see [`Idle`](whitebeam_sync::idle::Idle)), a handler that never returns would hold up every
//!   timer. So one sleeper parks only until the next deadline and [`COVER`] more, and takes the post
//!   if it is vacant then.
//!
//! # Who may write
//!
//! | field | writer | meaning |
//! | --- | --- | --- |
//! | `Shard::next` | who holds the shard's lock | a deadline no later than the earliest of the wheel |
//! | `nap_until` | the sentinel: MAX before it naps, then the truth | when it wakes by itself |
//! | `covered` | a sleeper about to park lowers it; raises it when it wakes, if it is still its own | the next time at which a sleeper wakes by itself |
//!
//! # Why no deadline is missed
//!
//! An inserter publishes `next`, executes a fence (or is a worker that is active, and so looks again
//! before it rests), and looks at the idle word. *Napping*: `nap_until` is what that nap chose or MAX,
//! and if the deadline is earlier, the sentinel is called. *Searching*: it computes its next nap after
//! a fence of its own. *Vacant, and somebody sleeps*: unless `covered` is early enough, a sleeper is
//! recruited. *Vacant, and nobody sleeps*: all workers are active and look before they rest.
//! How dense timers are is read by the inserter and the napper each for themselves: the number only rises. If the
//! inserter's is the older one, the sentinel is called without need. If it is the newer one, then that nap is over by
//! now, and what follows it is chosen behind a fence that comes after the inserter's: it counts the deadline in.
//! `covered` may be too late after a race (both of two sleepers believe the other one covers, or the
//! one who did has woken): then somebody is recruited without need, never the opposite.
//!
//! # Never early
//!
//! A shard is fired with a `now` that the scheduler's clock has shown.

mod slack;
mod sleep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use whitebeam_sync::shim::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::clock::Time;
use crate::timer::{Entry, Expire, Key, Wheel};

use self::slack::Slack;

pub(crate) use self::slack::SLACK;
pub use self::sleep::Sleep;

/// A deadline that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// How much later than the next deadline the covering sleeper wakes. Only when every worker that is awake
/// is stuck in a handler is a timer late by this; small values wake a sleeper for each timer although
/// the sentinel was there, large ones make that lateness longer.
const COVER: Duration = Duration::from_millis(2);

/// Names one timer of one scheduler, to cancel it with.
///
/// Once the timer has fired or was cancelled, its key finds nothing, for as long as the scheduler lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimerKey {
    shard: u32,
    key: Key,
}

impl fmt::Debug for TimerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerKey").field("shard", &self.shard).finish_non_exhaustive()
    }
}

/// All timers of a scheduler.
pub(crate) struct Timers {
    shards: Box<[Shard]>,
    /// Takes turns for threads outside.
    turn: AtomicUsize,
    nap_until: AtomicU64,
    covered: AtomicU64,
    slack: Slack,
}

/// Padded: a worker looks at its own `next` at each slice.
#[repr(align(128))]
struct Shard {
    next: AtomicU64,
    wheel: Mutex<Wheel>,
}

impl Timers {
    pub(crate) fn new(shards: usize, slack: Duration) -> Self {
        let shard = |_| Shard { next: AtomicU64::new(NEVER), wheel: Mutex::new(Wheel::new(0)) };
        Timers {
            shards: (0..shards).map(shard).collect(),
            turn: AtomicUsize::new(0),
            nap_until: AtomicU64::new(NEVER),
            covered: AtomicU64::new(NEVER),
            slack: Slack::new(slack),
        }
    }

    /// Sets a timer on `shard`, or on any when the caller is no worker. `true` when its deadline is the
    /// earliest of that shard now: somebody may have to wake earlier.
    pub(crate) fn insert(
        &self,
        shard: Option<usize>,
        deadline: Time,
        expire: Arc<dyn Expire>,
        token: u64,
    ) -> (TimerKey, bool) {
        let at =
            shard.unwrap_or_else(|| self.turn.fetch_add(1, Ordering::Relaxed)) % self.shards.len();
        let shard = &self.shards[at];
        let deadline = deadline.as_nanos();
        let mut wheel = shard.wheel.lock();
        let key = wheel.insert(deadline, Entry { expire, token });
        let is_first = deadline < shard.next.load(Ordering::Relaxed);
        if is_first {
            shard.next.store(deadline, Ordering::Release);
        }
        (TimerKey { shard: at as u32, key }, is_first)
    }

    /// Takes a timer out; gives its deadline. What it held is dropped outside the lock.
    pub(crate) fn cancel(&self, timer: TimerKey) -> Option<Time> {
        let shard = self.shards.get(timer.shard as usize)?;
        let mut wheel = shard.wheel.lock();
        let (deadline, entry) = wheel.remove(timer.key)?;
        if deadline <= shard.next.load(Ordering::Relaxed) {
            shard.publish(&wheel);
        }
        drop(wheel);
        drop(entry);
        Some(Time::from_nanos(deadline))
    }

    /// Nothing in `shard` is due before this.
    #[inline]
    pub(crate) fn next_of(&self, shard: usize) -> u64 {
        self.shards[shard].next.load(Ordering::Acquire)
    }

    /// Nothing at all is due before this.
    pub(crate) fn next(&self) -> u64 {
        self.shards.iter().map(|shard| shard.next.load(Ordering::Acquire)).min().unwrap_or(NEVER)
    }

    /// How many timers are set and have not fired.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.wheel.lock().len()).sum()
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Takes out what is due in `shard`. Leaves it to who is at it already.
    pub(crate) fn take_due(&self, shard: usize, now: Time, due: &mut Vec<(u64, Entry)>) {
        let shard = &self.shards[shard];
        if now.as_nanos() < shard.next.load(Ordering::Acquire) {
            return;
        }
        if let Some(mut wheel) = shard.wheel.try_lock() {
            wheel.expire(now.as_nanos(), due);
            shard.publish(&wheel);
        }
    }

    /// Takes out all that is not due, since it never will be.
    pub(crate) fn take_all(&self) -> Vec<(u64, Entry)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut wheel = shard.wheel.lock();
            wheel.expire(NEVER, &mut all);
            shard.publish(&wheel);
        }
        all
    }

    /// The sentinel is about to nap: until it has chosen, any deadline is too early.
    pub(crate) fn nap_begins(&self) {
        self.nap_until.store(NEVER, Ordering::Relaxed);
    }

    /// The sentinel has chosen.
    pub(crate) fn nap_ends_at(&self, time: u64) {
        self.nap_until.store(time, Ordering::Relaxed);
    }

    /// Whether the sentinel's nap, which the caller knows of by the idle word, ends too late for
    /// `deadline`.
    pub(crate) fn is_nap_too_long(&self, deadline: u64) -> bool {
        self.wake_at(deadline) < self.nap_until.load(Ordering::Relaxed)
    }

    /// When the sentinel wakes up for what is due at `deadline`: then, or later while timers are dense.
    pub(crate) fn wake_at(&self, deadline: u64) -> u64 {
        if deadline == NEVER { NEVER } else { self.slack.wake_at(deadline) }
    }

    /// Whether timers are so dense that nobody wakes up for one that is due now.
    pub(crate) fn is_gathering(&self, now: Time) -> bool {
        self.slack.wake_at(0) > now.as_nanos()
    }

    /// Whether the sentinel is to leave its post for timers that are due by `now`; it does so then.
    pub(crate) fn is_time(&self, now: Time) -> bool {
        let is_time = self.wake_at(self.next()) <= now.as_nanos();
        if is_time {
            self.slack.woke(now);
        }
        is_time
    }

    /// Whether no sleeper wakes in time for `deadline`.
    pub(crate) fn is_uncovered(&self, deadline: u64) -> bool {
        deadline != NEVER && late(deadline) < self.covered.load(Ordering::Relaxed)
    }

    /// A sleeper about to park: the time at which it has to wake to cover the deadlines, if nobody else
    /// does so. A deadline that is past by now is being seen to by who is awake: it is not a reason to stay
    /// awake as well.
    pub(crate) fn cover(&self, now: Time) -> Option<u64> {
        let next = self.next();
        if next == NEVER {
            return None;
        }
        let until = late(next.max(now.as_nanos()));
        (self.covered.fetch_min(until, Ordering::AcqRel) > until).then_some(until)
    }

    /// The sleeper that covered until `until` has woken.
    pub(crate) fn uncover(&self, until: u64) {
        // Who has lowered it since then covers for himself.
        let _ = self.covered.compare_exchange(until, NEVER, Ordering::AcqRel, Ordering::Relaxed);
    }
}

fn late(deadline: u64) -> u64 {
    deadline.saturating_add(COVER.as_nanos() as u64)
}

impl Shard {
    /// Under the lock.
    fn publish(&self, wheel: &Wheel) {
        self.next.store(wheel.next_deadline().unwrap_or(NEVER), Ordering::Release);
    }
}

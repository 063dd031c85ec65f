//! What a worker does when it has rested for some time: the user's hook, once a rest.
//!
//! A rest begins when the worker runs out of work and ends when it has found some. It may be broken by naps and by
//! calls for nothing; so its length is measured, and naps and sleeps are cut short by what is left of it. A worker that
//! has called its hook rests on for good.
//!
//! # Once more
//!
//! The hook is for giving memory back, and what is freed on one worker may be another one's to give back, with most
//! allocators: one that has rested while others read what it had sent. So a worker whose time has come asks those for
//! one more call that called the hook before, if there was work worth it since ([`WORTH`]) and none is now. Being asked
//! is a flag and a token; who was asked asks nobody, so that this ends. The flag is advisory: at worst there is a call
//! too many, or memory waits for the next rest.

use std::cell::Cell;
use std::time::Duration;

use whitebeam_sync::shim::atomic::Ordering;

use super::{Local, current};
use crate::builder::IdleHook;
use crate::clock::{TickRate, ticks};

/// Work of all workers together, for each of them, that is worth another call. What is freed in a millisecond is some
/// hundred KiB; a worker that does little now and then does not keep all others awake.
const WORTH: Duration = Duration::from_millis(1);

/// See the module's text. The worker's own.
pub(super) struct Leisure {
    hook: Option<IdleHook>,
    /// The time of the hook in ticks.
    after: u64,
    /// [`WORTH`] in ticks.
    worth: u64,
    /// The tick at which this rest began.
    begun: Cell<u64>,
    /// The hook is still to be called in this rest.
    is_due: Cell<bool>,
}

impl Leisure {
    pub(super) fn new(hook: Option<IdleHook>, rate: TickRate) -> Self {
        let after = hook.as_ref().map_or(0, |(after, _)| rate.ticks(*after));
        let worth = rate.ticks(WORTH);
        Leisure { is_due: Cell::new(false), begun: Cell::new(0), after, worth, hook }
    }

    /// A rest begins.
    pub(super) fn begin(&self, now: u64) {
        self.begun.set(now);
        self.is_due.set(self.hook.is_some());
    }

    /// It has found work.
    pub(super) fn end(&self) {
        self.is_due.set(false);
    }

    /// The longest that it may sleep now, at most `limit`.
    pub(super) fn limit(&self, limit: Option<Duration>) -> Option<Duration> {
        match &self.hook {
            Some((after, _)) if self.is_due.get() => {
                Some(limit.map_or(*after, |limit| limit.min(*after)))
            }
            _ => limit,
        }
    }

    fn is_time(&self) -> bool {
        self.is_due.get() && ticks().saturating_sub(self.begun.get()) >= self.after
    }
}

impl Local {
    /// Calls the hook if it is time, or if another worker has asked for it. The worker rests, and nothing is in its
    /// queue.
    pub(super) fn use_leisure(&self) {
        let Some((_, hook)) = &self.leisure.hook else { return };
        let is_time = self.leisure.is_time();
        let is_asked = self.queue.remote().is_asked.swap(false, Ordering::Relaxed);
        // Before its time, that will come.
        if !is_time && (!is_asked || self.leisure.is_due.get()) {
            return;
        }
        self.leisure.end();
        let worked = self.shared.worked(ticks());
        self.queue.remote().counters.eased_at.set(worked);
        // As a thread outside: what it schedules must wake somebody, and this one may count as asleep.
        self.guarded(|| current::without(self, || hook(self.index())));
        if is_time {
            self.ask_others(worked);
        }
    }

    /// Has those call the hook again that did so when there was work still to come.
    fn ask_others(&self, worked: u64) {
        let remotes = &self.shared.remotes;
        let worth = self.leisure.worth.saturating_mul(remotes.len() as u64);
        if self.shared.idle.active_workers() != 0 {
            return;
        }
        for (at, other) in remotes.iter().enumerate() {
            let is_worth_it = worked.saturating_sub(other.counters.eased_at.read()) >= worth;
            if at != self.index() && is_worth_it && other.runs.read() != 0 {
                other.is_asked.store(true, Ordering::Relaxed);
                self.shared.idle.unpark(at);
            }
        }
    }
}

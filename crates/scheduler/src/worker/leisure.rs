//! What a worker does when it has rested for some time: the user's hook, once a rest.
//!
//! A rest begins when the worker runs out of work and ends when it has found some. It may be broken by naps and by
//! calls for nothing; so its length is measured, and naps and sleeps are cut short by what is left of it. A worker that
//! has called its hook rests on for good.

use std::cell::Cell;
use std::time::Duration;

use super::{Local, current};
use crate::builder::IdleHook;
use crate::clock::{TickRate, ticks};

/// See the module's text. The worker's own.
pub(super) struct Leisure {
    hook: Option<IdleHook>,
    /// The time of the hook in ticks.
    after: u64,
    /// The tick at which this rest began.
    begun: Cell<u64>,
    /// The hook is still to be called in this rest.
    is_due: Cell<bool>,
}

impl Leisure {
    pub(super) fn new(hook: Option<IdleHook>, rate: TickRate) -> Self {
        let after = hook.as_ref().map_or(0, |(after, _)| rate.ticks(*after));
        Leisure { is_due: Cell::new(false), begun: Cell::new(0), after, hook }
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
    /// Calls the hook if it is time. The worker rests, and nothing is in its queue.
    pub(super) fn use_leisure(&self) {
        if !self.leisure.is_time() {
            return;
        }
        self.leisure.end();
        if let Some((_, hook)) = &self.leisure.hook {
            // As a thread outside: what it schedules must wake somebody, and this one may count as asleep.
            self.guarded(|| current::without(self, || hook(self.index())));
        }
    }
}

//! A spare worker: from the call of the watchdog until it is relieved. The protocol is in [`watch`](crate::watch).

use super::Local;
use crate::clock::ticks;
use crate::timers::NEVER;
use crate::watch::Spare;

impl Local {
    /// What it shares with the watchdog; `None`: it is no spare.
    pub(super) fn as_spare(&self) -> Option<&Spare> {
        let number = self.index().checked_sub(self.shared.workers())?;
        self.shared.watch.spares.get(number)
    }

    /// Whether its duty is over. No worker but a spare is ever relieved.
    pub(super) fn is_relieved(&self) -> bool {
        self.as_spare().is_some_and(Spare::is_relieved)
    }

    /// Whether it is to work no longer.
    pub(super) fn is_over(&self) -> bool {
        self.shared.is_stopping() || self.is_relieved()
    }

    /// The life of a spare: duty after duty, until the scheduler stops.
    pub(super) fn live_as(&self, spare: &Spare) {
        let counters = &self.queue.remote().counters;
        counters.rest(ticks());
        while !self.shared.is_stopping() {
            let Some(worker) = spare.duty() else {
                self.shared.idle.park(self.index(), self.leisure.limit(None));
                if spare.duty().is_none() && !self.shared.is_stopping() {
                    self.use_leisure();
                }
                continue;
            };
            let now = ticks();
            counters.resume(now);
            self.pace.resume(now);
            self.leisure.end();
            self.stand_in_for(worker);
            self.work_on();
            if self.shared.is_stopping() {
                return;
            }
            self.part();
            let now = ticks();
            counters.rest(now);
            // What it has of the memory of its duty goes back as that of others does.
            self.leisure.begin(now);
            spare.free();
        }
    }

    /// Joins the workers, and takes what `worker` has queued.
    fn stand_in_for(&self, worker: usize) {
        self.shared.idle.join();
        // Of a spare that is held itself: any wheel will do, since all are looked at now and then.
        self.shard.set(worker % self.shared.timers.shards());
        self.take_over(&self.shared.remotes[worker]);
    }

    /// Is no worker any more, and leaves nothing behind that others do not see.
    fn part(&self) {
        let shared = &self.shared;
        self.queue.drain(|runnable| shared.injector.push(runnable));
        shared.idle.part();
        if !shared.injector.is_empty() {
            shared.idle.notify(shared.idle.look_after_push());
        }
        // Deadlines that it would have looked after: whoever covers for them as a sleeper is late by design.
        let next = shared.timers.next();
        shared.wake_for(shared.idle.look_after_push(), next);
        if next != NEVER {
            shared.idle.recruit();
        }
    }
}

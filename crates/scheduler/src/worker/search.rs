//! A worker without work: the sentinel's search, and the others' sleep.
//!
//! The protocol of who searches and who sleeps is in [`Idle`](whitebeam_sync::idle::Idle), that of the
//! deadlines in [`timers`](crate::timers). Here is what a search looks at.
//!
//! # Stealing by age
//!
//! A thief does not take what would soon be run at home. Moving one runnable costs 3 to 5 transfers of
//! cache lines and makes its frees remote, up to a microsecond, against 20 to 70 ns to run it where it
//! is. So the sentinel looks at each queue and at how fast that moves, and takes half of it only when
//! what is in it would wait longer than the *age limit* (100 us):
//!
//! ```text
//! expected wait = length x time between two looks / runs from the queue between them
//! ```
//!
//! A queue that did not move at all for the age limit is behind a handler that takes long: half of it is
//! taken, and when it is empty, the slot and what is kept quiet (at the price of a system call, see
//! [`StealSlot`](whitebeam_sync::steal_slot::StealSlot)).
//!
//! Workers that are always busy do not search. What is queued behind a run that lasts (2 ms, or the age limit if that is
//! longer) they take all the same: each looks for that each millisecond.
//!
//! # Pace
//!
//! Spin for 20 us: the shared queue at each turn, the other workers each 8 us (a look takes two lines
//! away from its victim). Then nap: 50 us, doubling to 1 ms while some worker is active, for good (or until
//! the next deadline) when none is. While timers are gathered it does not spin, and its first nap is of 200 us.

use std::sync::Arc;
use std::time::Duration;

use whitebeam_sync::idle::Rest;

use super::{Found, Local};
use crate::clock::{Time, ticks};
use crate::shared::Remote;
use crate::timers::NEVER;

/// Time between two looks at the other workers while the sentinel spins. Each look costs its victim
/// two or three line transfers (0.2 us each in the worst mood of the machine).
const POLL: Duration = Duration::from_micros(8);

/// How many others a spinning sentinel looks at each time; it goes on with the next ones. A look at all of 64
/// would take longer than [`POLL`]. After a nap it looks at all.
const VICTIMS: usize = 8;

/// The first nap. A wake-up costs 3 to 5 us: shorter naps are spinning by other means.
const NAP_FIRST: Duration = Duration::from_micros(50);

/// The first nap while timers are [gathered](crate::timers): many at a time keep one worker for some 200 us, and would be
/// torn from its cache by a second one that comes earlier.
const NAP_GATHERING: Duration = Duration::from_micros(200);

/// The longest nap while another worker is active: bounds how late the sentinel finds a stuck one, at a
/// thousand wake-ups a second.
const NAP_MOST: Duration = Duration::from_millis(1);

/// The longest nap while some queue has work that is not old enough yet.
const NAP_WATCHFUL: Duration = Duration::from_micros(100);

/// How long a run must have held its worker before busy workers take what is queued behind it (or the age limit, if
/// that is longer). Those of a millisecond, which two workers may well be full of, would have them take from each
/// other all the time.
const RESCUE: Duration = Duration::from_millis(2);

/// What a thief remembers of the other workers.
pub(super) struct Sightings {
    of: Box<[Sighting]>,
    /// Whom to look at next.
    next: usize,
    /// The last look saw work that was not old enough.
    is_work_about: bool,
}

#[derive(Clone, Default)]
struct Sighting {
    pops: u64,
    /// The tick since when `pops` is what it is, or the queue was seen empty.
    moved: u64,
    runs: u64,
    /// The tick since when `runs` is what it is.
    ran: u64,
}

/// What there is to take from a victim.
enum Prey {
    Nothing,
    /// Something that will soon be run at home.
    Fresh,
    Queue,
    Slot,
}

impl Sightings {
    pub(super) fn new(workers: usize) -> Self {
        Sightings { of: vec![Sighting::default(); workers].into(), next: 0, is_work_about: false }
    }

    /// A search begins: what was seen before is too old to tell how fast anything moves.
    fn begin(&mut self, remotes: &[Arc<Remote>], now: u64) {
        for (sighting, remote) in self.of.iter_mut().zip(remotes) {
            *sighting = Sighting {
                pops: remote.pops.read(),
                moved: now,
                runs: remote.runs.read(),
                ran: now,
            };
        }
    }
}

impl Sighting {
    /// Whether the victim has been in the same run for so long.
    fn is_held(&mut self, victim: &Remote, now: u64, held: u64) -> bool {
        let runs = victim.runs.read();
        if runs != self.runs || victim.counters.is_resting() {
            (self.runs, self.ran) = (runs, now);
        }
        now.saturating_sub(self.ran) >= held
    }

    fn look(&mut self, victim: &Remote, now: u64, age: u64) -> Prey {
        let (pops, runs, len) =
            (victim.pops.read(), victim.runs.read(), victim.stealer.len() as u64);
        if runs != self.runs {
            (self.runs, self.ran) = (runs, now);
        }
        let moves = pops.wrapping_sub(self.pops);
        let passed = now.saturating_sub(self.moved);
        if len == 0 || moves != 0 {
            (self.pops, self.moved) = (pops, now);
        }
        if len == 0 {
            let is_stuck = now.saturating_sub(self.ran) >= age;
            let is_empty = victim.slot.is_empty() && victim.quiet.is_empty();
            return match (is_empty, is_stuck) {
                (true, _) => Prey::Nothing,
                (false, false) => Prey::Fresh,
                (false, true) => Prey::Slot,
            };
        }
        // A queue that did not move has waited so long already.
        let wait = len.saturating_mul(passed).checked_div(moves).unwrap_or(passed);
        if wait >= age { Prey::Queue } else { Prey::Fresh }
    }
}

impl Local {
    /// Until there is work for this worker, or the scheduler stops.
    pub(super) fn rest(&self) -> Found {
        match self.shared.idle.rest(self.index()) {
            Rest::Sentinel => self.search(),
            Rest::Asleep => self.sleep(),
        }
    }

    /// As a sleeper, until it is the sentinel; then as that.
    fn sleep(&self) -> Found {
        let (idle, timers, me) = (&self.shared.idle, &self.shared.timers, self.index());
        // Timers that this worker set while it was active: the sentinel may nap beyond them.
        let next = timers.next();
        if next != NEVER {
            self.shared.wake_for(idle.look_after_push(), next);
        }
        while idle.is_asleep(me) {
            if self.shared.is_stopping() {
                return Found::Stop;
            }
            if self.is_relieved() && idle.rouse(me) {
                return Found::Stop;
            }
            let covers = timers.cover(self.shared.clock.now());
            self.queue.remote().counters.parks.add(1);
            let limit = covers.map(|until| self.shared.until(until));
            idle.park(me, self.leisure.limit(limit));
            // Ahead of a hook, which may take its time.
            if let Some(until) = covers {
                timers.uncover(until);
            }
            if idle.is_asleep(me) {
                self.use_leisure();
            }
            if let Some(until) = covers
                && self.shared.clock.now().as_nanos() >= until
                && idle.volunteer(me)
            {
                break;
            }
        }
        self.search()
    }

    /// As the sentinel, until there is work, which it leaves the post for.
    fn search(&self) -> Found {
        let rate = self.shared.rate;
        let mut nap;
        self.sightings.borrow_mut().begin(&self.shared.remotes, ticks());
        loop {
            if self.shared.timers.is_gathering(self.shared.clock.now()) {
                // What comes are timers most likely, and not for a while.
                nap = NAP_GATHERING;
            } else if let Some(found) = self.spin(rate.ticks(POLL)) {
                return found;
            } else {
                nap = NAP_FIRST;
            }
            // One look after each nap, until a call (or the end of a long sleep) says that it is
            // worth spinning again.
            loop {
                let was_called = match self.nap(nap) {
                    Nap::Stop => return Found::Stop,
                    Nap::Called => true,
                    Nap::Slept => false,
                };
                if let Some(found) = self.look_round(ticks(), usize::MAX) {
                    return found;
                }
                self.use_leisure();
                if was_called {
                    break;
                }
                let most =
                    if self.sightings.borrow().is_work_about { NAP_WATCHFUL } else { NAP_MOST };
                nap = (nap * 2).min(most);
            }
        }
    }

    /// Searches for as long as it is worth it.
    fn spin(&self, poll: u64) -> Option<Found> {
        let begun = ticks();
        let mut polled = begun;
        loop {
            if let Some(runnable) = self.take_injected() {
                return Some(self.leave(Found::Runnable(runnable)));
            }
            let now = ticks();
            if now.saturating_sub(polled) >= poll {
                polled = now;
                if let Some(found) = self.look_round(now, VICTIMS) {
                    return Some(found);
                }
            }
            if now.saturating_sub(begun) >= self.shared.tuning.spin {
                return None;
            }
            for _ in 0..SPINS {
                std::hint::spin_loop();
            }
        }
    }

    /// One look at everything: the end, the shared queue, the timers, and so many of the others.
    fn look_round(&self, now: u64, victims: usize) -> Option<Found> {
        if self.shared.is_stopping() {
            return Some(Found::Stop);
        }
        if self.is_relieved() {
            return Some(self.leave(Found::Stop));
        }
        if let Some(runnable) = self.take_injected() {
            return Some(self.leave(Found::Runnable(runnable)));
        }
        if self.is_time_for_timers() || self.steal(now, victims) {
            return Some(self.leave(Found::Work));
        }
        None
    }

    fn is_time_for_timers(&self) -> bool {
        let timers = &self.shared.timers;
        timers.next() != NEVER && timers.is_time(self.shared.clock.now())
    }

    /// Takes what waits too long at one of the next `victims`.
    fn steal(&self, now: u64, victims: usize) -> bool {
        let remotes = &self.shared.remotes;
        let sightings = &mut *self.sightings.borrow_mut();
        sightings.is_work_about = false;
        for _ in 0..victims.min(remotes.len()) {
            let at = sightings.next;
            sightings.next = (at + 1) % remotes.len();
            if at == self.index() {
                continue;
            }
            let victim = &remotes[at];
            let is_taken = match sightings.of[at].look(victim, now, self.shared.tuning.age) {
                Prey::Nothing => false,
                Prey::Fresh => {
                    sightings.is_work_about = true;
                    false
                }
                Prey::Queue => self.queue.steal_from(victim),
                Prey::Slot => self.queue.steal_slot_of(victim),
            };
            if is_taken {
                let counters = &self.queue.remote().counters;
                counters.steals.add(1);
                counters.stolen.add(self.queue.len() as u64);
                return true;
            }
        }
        false
    }

    /// Takes what is queued behind a run that has held its worker for longer than [`RESCUE`]. Called now and then by a
    /// worker that has work of its own, and so never searches.
    pub(super) fn rescue(&self, now: u64) {
        let remotes = &self.shared.remotes;
        let held = self.shared.rate.ticks(RESCUE).max(self.shared.tuning.age);
        let sightings = &mut *self.sightings.borrow_mut();
        for _ in 0..VICTIMS.min(remotes.len()) {
            let at = sightings.next;
            sightings.next = (at + 1) % remotes.len();
            if at != self.index() && sightings.of[at].is_held(&remotes[at], now, held) {
                return self.take_over(&remotes[at]);
            }
        }
    }

    /// Takes half of a worker's queue, and what it would run next or keeps quiet.
    pub(super) fn take_over(&self, held: &Remote) {
        let before = self.queue.len();
        let _ = self.queue.steal_from(held);
        // One of the two, and then the other. Who makes others runnable all the while fills them again at once.
        let _ = self.queue.steal_slot_of(held) && self.queue.steal_slot_of(held);
        let taken = self.queue.len().saturating_sub(before);
        if taken != 0 {
            let counters = &self.queue.remote().counters;
            counters.steals.add(1);
            counters.stolen.add(taken as u64);
            self.pushed();
        }
    }

    /// Leaves the post, for what was found: `found` is in hand, or a timer is due, or something is in this
    /// worker's queue. A batch is more than it runs at once: it wakes somebody, and that one the next.
    fn leave(&self, found: Found) -> Found {
        let is_vacant = self.shared.idle.leave();
        // `leave` ends with a fence.
        self.shared.watch.lookout.begin();
        if is_vacant {
            let at_once = usize::from(matches!(found, Found::Work));
            let is_more = self.queue.len() > at_once || !self.shared.injector.is_empty();
            if is_more || self.shared.timers.is_uncovered(self.shared.timers.next()) {
                self.recruit();
            }
        }
        found
    }

    /// Sleeps for `most`, or for good when nobody is active, or until it is time for timers.
    fn nap(&self, most: Duration) -> Nap {
        let (idle, timers) = (&self.shared.idle, &self.shared.timers);
        timers.nap_begins();
        let active = idle.nap();
        let next = timers.next();
        let result = if self.shared.is_stopping() {
            Nap::Stop
        } else if !self.shared.injector.is_empty() || self.is_relieved() {
            Nap::Called
        } else {
            self.nap_until(next, (active != 0).then_some(most))
        };
        idle.rise();
        result
    }

    fn nap_until(&self, next: u64, most: Option<Duration>) -> Nap {
        let timers = &self.shared.timers;
        let now = self.shared.clock.now();
        let mut limit = most;
        if next != NEVER {
            let due = Time::from_nanos(timers.wake_at(next)) - now;
            if due.is_zero() {
                return Nap::Slept;
            }
            limit = Some(most.map_or(due, |most| most.min(due)));
        }
        let limit = self.leisure.limit(limit);
        timers.nap_ends_at(limit.map_or(NEVER, |limit| (now + limit).as_nanos()));
        self.queue.remote().counters.parks.add(1);
        if self.shared.idle.park(self.index(), limit) || limit.is_none() {
            Nap::Called
        } else {
            Nap::Slept
        }
    }
}

/// `spin_loop` hints between two looks at the shared queue: about 100 ns.
const SPINS: u32 = 4;

/// How a nap ended.
enum Nap {
    /// The scheduler stops.
    Stop,
    /// Somebody called, or there is something in the shared queue.
    Called,
    /// By itself, or not at all: a timer is due.
    Slept,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::queue::LocalQueue;

    #[test]
    fn who_rests_is_not_held() {
        let remote = LocalQueue::new(None).1;
        let mut sighting = Sighting::default();
        remote.runs.add(1);
        assert!(!sighting.is_held(&remote, 1_000, 100), "it was not seen in this run before");
        assert!(!sighting.is_held(&remote, 1_099, 100));
        assert!(sighting.is_held(&remote, 1_100, 100));
        remote.counters.rest(1_150);
        assert!(!sighting.is_held(&remote, 1_200, 100));
        assert!(!sighting.is_held(&remote, 9_000, 100));
        remote.counters.resume(9_010);
        assert!(!sighting.is_held(&remote, 9_050, 100), "it may look at timers");
        assert!(sighting.is_held(&remote, 9_100, 100), "for too long");
        remote.runs.add(1);
        assert!(!sighting.is_held(&remote, 9_200, 100));
    }
}

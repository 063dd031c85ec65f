//! The watchdog: a thread that sees which workers are held by one run, says so, and has spares stand in for them.
//!
//! A turn is over when its target looks whether it is: between two messages, or where a future gives way
//! ([`coop`](crate::coop)). A handler that computes, or blocks its thread, comes to neither, and holds its worker.
//! Nobody can take it away from there. What can be done: tell who it is, and let another thread do the worker's work.
//!
//! # What a held worker holds up
//!
//! | what | who goes on with it |
//! | --- | --- |
//! | its queue, slot, and what is kept quiet | the sentinel, when another worker rests ([`search`](crate::worker)); a busy one within [`RESCUE`](crate::worker) and a millisecond; the spare, when it begins |
//! | its timers | any worker that is awake, each millisecond; a spare as its own |
//! | the shared queue | the other workers |
//! | timers that it was firing when it was held, by a waker of the user's | nobody |
//! | the one thread that there was less to work with | the spare alone |
//!
//! So without a spare all goes on that the other workers come to; nothing does if all are held.
//!
//! # What is seen
//!
//! A worker counts its runs, says what it runs (two plain stores a run, of a line that it writes anyway), and notes
//! when it rests. The watchdog looks at all of them each half of the shorter of its two limits. A worker whose count
//! has not moved since a look that is a limit ago, and that did not rest at any look since then, is held. So a run is
//! found out after one to one and a half limits, and what is said of its time is short by half a limit at most.
//!
//! What a run's target is may be asked for as long as the run lasts: [`LongRun::is_on`] is to be asked afterwards. It is
//! the reader's end of a sequence lock:
//!
//! | operation | ordering | pairs with | breaks if weaker |
//! | --- | --- | --- | --- |
//! | worker: store `runs`, then store `running` | the second Release | the watchdog's load of `running`, Acquire | a new target passes for the old run's |
//! | watchdog: load `running`, look at the target, fence, load `runs` | fence Acquire | - | the count is read first, and what was looked at is another's |
//!
//! # Spares
//!
//! Threads that are made with the others and sleep. A spare is a worker: it has a queue and a slot that others may
//! steal from, rests and searches as they do, and is looked after. It takes no part until its duty begins:
//!
//! ```text
//!           call (watchdog)            relieve (watchdog)            part (spare)
//!   FREE -------------------> ON DUTY --------------------> RELIEVED --------------> FREE
//! ```
//!
//! 1. The watchdog finds worker *w* held for longer than `spare_after`, and a spare that is free: it writes down whom
//!    it is for, and hands its parker a token.
//! 2. The spare joins those that count as workers ([`Idle::join`](whitebeam_sync::idle::Idle::join)), takes what *w*
//!    has queued, and works. It looks after *w*'s timers as its own.
//! 3. The watchdog sees *w* run something else, or rest: it relieves the spare, and hands it a token.
//! 4. The spare sees it when it looks up from its queue, searches, or wakes. What it has queued goes to the shared
//!    queue; it parts, and is free. (Held by a run of its own meanwhile, it comes to that when it returns, and another
//!    spare may stand in for it.)
//!
//! The word of a spare is written by the watchdog when it is FREE or ON DUTY, by the spare when it is RELIEVED: no two
//! of them at once.
//!
//! # Cost
//!
//! While anybody works or is held, two wake-ups for each of the shorter limit; none when all rest
//! ([`Lookout`](whitebeam_sync::lookout)). No thread, where nobody is to be told and there are no spares.

mod spare;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use whitebeam_sync::lookout::Lookout;
use whitebeam_sync::shim::atomic::{Ordering, fence};

use crate::clock::Time;
use crate::metrics::Counter;
use crate::runnable;
use crate::shared::{Remote, Shared};
use crate::task::quietly;

pub(crate) use self::spare::Spare;

/// How long a worker may be held before a spare stands in for it. W10 with a hog that never gives way: those that wait
/// for it do so for 2 to 3 ms, once. Smaller values wake the watchdog more often than a thousand times a second, and
/// take a worker for held that the system has only kept from its processor.
const SPARE_AFTER: Duration = Duration::from_millis(2);

/// The shortest time between two looks.
const EVERY_LEAST: Duration = Duration::from_micros(250);

type Hook = Arc<dyn Fn(&LongRun<'_>) + Send + Sync>;

/// What a builder sets of it.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) spares: usize,
    pub(crate) spare_after: Duration,
    /// Who is told of runs that last longer than this.
    pub(crate) hook: Option<(Duration, Hook)>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { spares: 0, spare_after: SPARE_AFTER, hook: None }
    }
}

impl Settings {
    /// Whether there is anything to do for a watchdog.
    pub(crate) fn is_needed(&self) -> bool {
        self.spares != 0 || self.hook.is_some()
    }

    /// The shorter of its limits.
    fn limit(&self) -> Duration {
        let told = self.hook.as_ref().map_or(Duration::MAX, |(limit, _)| *limit);
        if self.spares == 0 { told } else { told.min(self.spare_after) }
    }

    fn every(&self) -> Duration {
        (self.limit() / 2).max(EVERY_LEAST)
    }
}

/// What workers and the watchdog share.
pub(crate) struct Watch {
    pub(crate) lookout: Lookout,
    /// By the order of their numbers, which come after the workers'.
    pub(crate) spares: Box<[Spare]>,
    /// Of each worker and then of each spare: since when it is held, in nanoseconds, and 0 if it is not. Written by the
    /// watchdog, when that changes.
    held: Box<[Counter]>,
}

impl Watch {
    /// For so many threads, of which the last are spares.
    pub(crate) fn new(threads: usize, spares: usize) -> Self {
        let spares = (0..spares).map(|_| Spare::default()).collect();
        let held = (0..threads).map(|_| Counter::default()).collect();
        Watch { lookout: Lookout::new(), spares, held }
    }

    /// Since when a thread is held by one run, as far as the watchdog has seen.
    pub(crate) fn held_since(&self, thread: usize) -> Option<Time> {
        let since = self.held[thread].read();
        (since != 0).then(|| Time::from_nanos(since))
    }

    /// Whether any thread was held when it was looked at last.
    fn is_any_held(&self) -> bool {
        self.held.iter().any(|since| since.read() != 0)
    }

    fn note_held(&self, thread: usize, since: Option<Time>) {
        let since = since.map_or(0, |since| since.as_nanos().max(1));
        if self.held[thread].read() != since {
            self.held[thread].set(since);
        }
    }
}

/// A run that lasts, or has lasted, longer than the limit: see
/// [`Builder::on_long_run`](crate::Builder::on_long_run).
pub struct LongRun<'a> {
    remote: &'a Remote,
    run: u64,
    target: u64,
    worker: usize,
    lasted: Duration,
    is_over: bool,
}

impl LongRun<'_> {
    /// Index of the worker; those of spares come after the others'.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// How long it has lasted by now, or did: short by half a limit at most, as long as the watchdog's thread gets a
    /// processor.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        self.lasted
    }

    /// Whether it has returned. Told once, after it was told of before.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether what is run is a plain task.
    #[must_use]
    pub fn is_task(&self) -> bool {
        runnable::is_task_word(self.target)
    }

    /// The address of the target's [`RunHeader`](crate::RunHeader); `None` for a plain task, and for what is called
    /// when a timer fires. What is there may be another one by now, or none, unless it [is still on](Self::is_on)
    /// after it was looked at.
    #[must_use]
    pub fn target(&self) -> Option<usize> {
        let is_target = self.target != 0 && !self.is_task();
        is_target.then_some(self.target as usize)
    }

    /// Whether the worker is still in this run. If so, whatever was found at its [target](Self::target) before was its.
    #[must_use]
    pub fn is_on(&self) -> bool {
        // What was found is read before the count is.
        fence(Ordering::Acquire);
        !self.is_over && self.remote.runs.read() == self.run
    }
}

impl fmt::Debug for LongRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongRun")
            .field("worker", &self.worker)
            .field("lasted", &self.lasted)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

/// The watchdog's own.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    settings: Settings,
    seen: Vec<Seen>,
}

/// What it remembers of a worker.
#[derive(Clone, Default)]
struct Seen {
    /// The number of the run that it was in.
    run: u64,
    /// The look at which it was first seen in it, or last at rest.
    since: Time,
    /// The hook was told; what ran.
    told: Option<u64>,
    /// Who stands in for it.
    spare: Option<usize>,
}

impl Watchdog {
    pub(crate) fn new(shared: Arc<Shared>, settings: Settings) -> Self {
        let seen = vec![Seen::default(); shared.remotes.len()];
        Watchdog { shared, settings, seen }
    }

    /// Its life, from its thread's start to its end.
    pub(crate) fn live(mut self) {
        let every = self.settings.every();
        let shared = Arc::clone(&self.shared);
        while !shared.is_stopping() {
            self.look(shared.clock.now());
            let is_work = || shared.idle.active_workers() != 0 || shared.is_stopping();
            // Who was held at the last look, and rests by now, is still to be told of, and to be relieved.
            if is_work() || shared.watch.is_any_held() {
                shared.watch.lookout.wait(every);
            } else {
                shared.watch.lookout.doze(is_work);
            }
        }
    }

    /// One look at each worker.
    fn look(&mut self, now: Time) {
        for worker in 0..self.seen.len() {
            let remote = &self.shared.remotes[worker];
            let run = remote.runs.read();
            let is_held = run == self.seen[worker].run && run != 0 && !remote.counters.is_resting();
            if is_held {
                self.held(worker, now);
            } else {
                self.moved(worker, run, now);
            }
        }
    }

    /// It is in the same run as at the last look.
    fn held(&mut self, worker: usize, now: Time) {
        let since = self.seen[worker].since;
        let lasted = now - since;
        if lasted >= self.settings.limit() {
            self.shared.watch.note_held(worker, Some(since));
        }
        if self.seen[worker].spare.is_none() && lasted >= self.settings.spare_after {
            self.seen[worker].spare = self.call_spare(worker);
        }
        let Some((limit, hook)) = &self.settings.hook else { return };
        if self.seen[worker].told.is_none() && lasted >= *limit {
            let remote = &*self.shared.remotes[worker];
            let target = remote.running.see();
            let run = self.seen[worker].run;
            self.seen[worker].told = Some(target);
            let told = LongRun { remote, run, target, worker, lasted, is_over: false };
            quietly(|| hook(&told));
        }
    }

    /// It runs something else than at the last look, or rests.
    fn moved(&mut self, worker: usize, run: u64, now: Time) {
        self.shared.watch.note_held(worker, None);
        let before =
            std::mem::replace(&mut self.seen[worker], Seen { run, since: now, ..Seen::default() });
        if let Some(spare) = before.spare {
            self.shared.watch.spares[spare].relieve();
            self.shared.idle.unpark(self.shared.workers() + spare);
        }
        if let (Some(target), Some((_, hook))) = (before.told, &self.settings.hook) {
            let remote = &*self.shared.remotes[worker];
            let lasted = now - before.since;
            let told = LongRun { remote, run: before.run, target, worker, lasted, is_over: true };
            quietly(|| hook(&told));
        }
    }

    /// Has a spare stand in for `worker`, if one is free.
    fn call_spare(&self, worker: usize) -> Option<usize> {
        let spare = self.shared.watch.spares.iter().position(|spare| spare.call(worker))?;
        self.shared.idle.unpark(self.shared.workers() + spare);
        Some(spare)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::blocking::Pool;
    use crate::clock::{Clock, TickRate};
    use crate::queue::LocalQueue;
    use crate::shared::Tuning;
    use parking_lot::Mutex;

    /// What a hook was told: how long, and whether it was over.
    type Told = Arc<Mutex<Vec<(u64, bool)>>>;

    /// A watchdog over one worker and one spare.
    fn watchdog(limit: u64) -> (Watchdog, Told) {
        let remotes = (0..2).map(|_| LocalQueue::new(None).1).collect();
        let tuning =
            Tuning { budget: 1, slice: 0, age: 0, spin: 0, timer_slack: Duration::ZERO, spares: 1 };
        let shared =
            Shared::new(Clock::real(), tuning, TickRate::NONE, remotes, 0, Pool::new(None), None);
        shared.remotes[1].counters.rest(1);
        let told = Told::default();
        let seen = Arc::clone(&told);
        let hook: Hook = Arc::new(move |run: &LongRun<'_>| {
            seen.lock().push((run.lasted().as_nanos() as u64, run.is_over()));
        });
        let hook = Some((Duration::from_nanos(limit), hook));
        let settings = Settings { spares: 1, spare_after: Duration::from_nanos(limit / 2), hook };
        (Watchdog::new(shared, settings), told)
    }

    fn look_at(watchdog: &mut Watchdog, time: u64) {
        watchdog.look(Time::from_nanos(time));
    }

    #[test]
    fn a_run_is_told_of_at_its_limit_and_at_its_end() {
        let (mut watchdog, told) = watchdog(100);
        let worker = Arc::clone(&watchdog.shared.remotes[0]);
        worker.runs.add(1);
        for time in [10, 50, 109] {
            look_at(&mut watchdog, time);
            assert_eq!(*told.lock(), [], "at {time}");
        }
        // The spare's limit is the shorter one.
        assert_eq!(watchdog.shared.watch.held_since(0), Some(Time::from_nanos(10)));
        assert!(watchdog.shared.watch.is_any_held());
        for time in [110, 200, 300] {
            look_at(&mut watchdog, time);
            assert_eq!(*told.lock(), [(100, false)], "at {time}");
        }
        worker.runs.add(1);
        look_at(&mut watchdog, 350);
        assert_eq!(*told.lock(), [(100, false), (340, true)]);
        assert_eq!(watchdog.shared.watch.held_since(0), None);
        assert!(!watchdog.shared.watch.is_any_held());
        look_at(&mut watchdog, 400);
        assert_eq!(told.lock().len(), 2);
    }

    #[test]
    fn who_rests_or_runs_one_after_another_holds_nobody() {
        let (mut watchdog, told) = watchdog(100);
        let worker = Arc::clone(&watchdog.shared.remotes[0]);
        for time in (0..1_000).step_by(50) {
            // Nothing has run yet.
            look_at(&mut watchdog, time);
        }
        for time in (1_000..2_000).step_by(50) {
            worker.runs.add(1);
            look_at(&mut watchdog, time);
        }
        worker.counters.rest(7);
        for time in (2_000..3_000).step_by(50) {
            look_at(&mut watchdog, time);
        }
        // It begins to run when it has found something.
        worker.counters.resume(8);
        look_at(&mut watchdog, 2_999);
        assert_eq!(*told.lock(), []);
        assert_eq!(watchdog.shared.watch.spares[0].duty(), None);
    }

    #[test]
    fn a_spare_is_called_for_each_that_is_held_if_one_is_free() {
        let (mut watchdog, _) = watchdog(100);
        let shared = Arc::clone(&watchdog.shared);
        let (worker, spare) = (&shared.remotes[0], &shared.watch.spares[0]);
        worker.runs.add(1);
        look_at(&mut watchdog, 0);
        look_at(&mut watchdog, 49);
        assert_eq!(spare.duty(), None);
        look_at(&mut watchdog, 50);
        assert_eq!((spare.duty(), spare.is_relieved()), (Some(0), false));
        // The next run holds it as well, before the spare is back.
        worker.runs.add(1);
        look_at(&mut watchdog, 60);
        assert!(spare.is_relieved());
        look_at(&mut watchdog, 110);
        assert!(spare.is_relieved(), "there is no other");
        spare.free();
        look_at(&mut watchdog, 120);
        assert_eq!((spare.duty(), spare.is_relieved()), (Some(0), false));
    }

    #[test]
    fn it_looks_twice_within_the_shorter_limit() {
        let limit =
            |millis| Some((Duration::from_millis(millis), Arc::new(|_: &LongRun<'_>| ()) as Hook));
        let every = |spares, hook| Settings { spares, hook, ..Settings::default() }.every();
        assert_eq!(every(0, limit(1_000)), Duration::from_millis(500));
        assert_eq!(every(1, limit(1_000)), SPARE_AFTER / 2);
        assert_eq!(every(1, limit(1)), Duration::from_micros(500));
        assert_eq!(every(0, limit(0)), EVERY_LEAST);
    }
}

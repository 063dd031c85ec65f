//! A run that holds its worker: who goes on with the rest, and who is told.

use std::time::Duration;

use whitebeam_scheduler::{Builder, Scheduler};
use whitebeam_sync::shim::atomic::{AtomicBool, AtomicU64, Ordering};
use whitebeam_sync::shim::{Arc, Mutex};

use crate::target::{PATIENCE, Target, burn, counter, hold_until, wait_for};

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3_600);

fn one_worker() -> Builder {
    Scheduler::builder().workers(1)
}

/// A target that holds its worker until it is told.
struct Hog {
    target: &'static Target,
    worker: Arc<AtomicU64>,
    release: Arc<AtomicBool>,
}

impl Hog {
    fn new(scheduler: &Scheduler) -> Hog {
        let (worker, release) =
            (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicBool::new(false)));
        let target = Target::new(scheduler.handle(), {
            let (worker, release) = (Arc::clone(&worker), Arc::clone(&release));
            move |_, turn| {
                worker.store(turn.worker() as u64, Ordering::Release);
                hold_until(|| release.load(Ordering::Acquire));
            }
        });
        Hog { target, worker, release }
    }

    /// Sends it its message, and waits until it holds a worker: this one.
    fn hold(&self) -> usize {
        self.target.send();
        wait_for("the hog to begin", || self.worker.load(Ordering::Acquire) != u64::MAX);
        self.worker.load(Ordering::Acquire) as usize
    }

    fn release(&self) {
        self.release.store(true, Ordering::Release);
        wait_for("the hog to return", || self.target.handled() == 1);
    }
}

#[test]
fn a_spare_goes_on_with_all_that_the_only_worker_had() {
    let scheduler = one_worker().spare_workers(1).build().expect("threads");
    let handle = scheduler.handle();
    let others: Vec<_> = (0..100).map(|_| Target::new(handle, |_, _| ())).collect();
    let sleeper = Target::new(handle, |_, _| ());
    let outcome = counter();
    let seen = Arc::clone(&outcome);
    let inside = others.clone();
    let hog = Target::new(handle, move |me, _| {
        let ran = |count: u64| hold_until(|| inside.iter().all(|other| other.handled() == count));
        // Queued, and one in the slot; a timer of this worker's.
        inside.iter().for_each(|other| other.send());
        let sleep = me.handle().sleep(Duration::from_millis(1));
        let timed = async move {
            sleep.await;
            sleeper.send();
        };
        me.handle().spawn(timed).detach();
        let is_all = ran(1) && hold_until(|| sleeper.handled() == 1);
        // What it makes runnable while the spare is busy with what came before.
        let is_again = (2..10).all(|count| {
            inside.iter().for_each(|other| other.send());
            ran(count)
        });
        seen.store(1 + u64::from(is_all) + 2 * u64::from(is_again), Ordering::Release);
    });
    hog.send();
    let outside = Target::new(handle, |_, _| ());
    wait_for("the hog to begin", || hog.handled() == 1);
    outside.send();
    wait_for("what was sent from outside", || outside.handled() == 1);
    wait_for("the hog to return", || outcome.load(Ordering::Acquire) != 0);
    assert_eq!(outcome.load(Ordering::Acquire), 4, "something waited behind the hog");
    assert_eq!(handle.workers(), 1, "a spare is none of them");
    assert!(handle.metrics()[1].runs > 0, "{:?}", handle.metrics());
}

/// Whether a hundred messages in a row were handled by the worker.
fn is_alone(scheduler: &Scheduler) -> bool {
    let elsewhere = counter();
    let seen = Arc::clone(&elsewhere);
    let target = Target::new(scheduler.handle(), move |_, turn| {
        seen.fetch_add(u64::from(turn.worker() != 0), Ordering::Relaxed);
    });
    for sent in 1..=100 {
        target.send();
        wait_for("a message", || target.handled() == sent);
    }
    elsewhere.load(Ordering::Relaxed) == 0
}

#[test]
fn a_spare_stands_in_again_and_again_and_leaves_when_it_is_relieved() {
    let scheduler = one_worker().spare_workers(1).build().expect("threads");
    for _ in 0..5 {
        let hog = Hog::new(&scheduler);
        assert_eq!(hog.hold(), 0);
        let other = Target::new(scheduler.handle(), |_, _| ());
        other.send();
        wait_for("what is left to the spare", || other.handled() == 1);
        hog.release();
        wait_for("the spare to leave", || is_alone(&scheduler));
        assert!(is_alone(&scheduler), "it has left");
    }
}

/// A spare that is off duty rests as others do.
#[test]
fn a_spare_calls_the_idle_hook_when_its_duty_is_over() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let scheduler = one_worker()
        .spare_workers(1)
        .on_worker_idle(Duration::from_millis(10), move |worker| seen.lock().push(worker))
        .build()
        .expect("threads");
    wait_for("the worker's first call", || *calls.lock() == [0]);
    let of_spare = || calls.lock().iter().filter(|&&worker| worker == 1).count();
    for _ in 0..3 {
        let hog = Hog::new(&scheduler);
        assert_eq!(hog.hold(), 0);
        let other = Target::new(scheduler.handle(), |_, _| ());
        other.send();
        wait_for("what is left to the spare", || other.handled() == 1);
        let before = of_spare();
        hog.release();
        wait_for("the spare to leave", || is_alone(&scheduler));
        wait_for("the spare's call", || of_spare() > before);
    }
}

#[test]
fn a_spare_that_has_work_leaves_it_to_the_others() {
    let scheduler = one_worker().spare_workers(1).build().expect("threads");
    let handle = scheduler.handle();
    let hog = Hog::new(&scheduler);
    hog.hold();
    let is_over = Arc::new(AtomicBool::new(false));
    // They always have work, until the test is over.
    let busy: Vec<&'static Target> = (0..4)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            Target::new(handle, move |me, _| {
                burn(Duration::from_micros(20));
                if !is_over.load(Ordering::Relaxed) {
                    // Still running: it counts one more.
                    me.again();
                }
            })
        })
        .collect();
    handle.schedule_batch(busy.iter().filter_map(|target| target.add(1)));
    wait_for("the spare to take them", || busy.iter().all(|target| target.handled() > 10));
    hog.release();
    let spare = || handle.metrics()[1].clone();
    wait_for("the spare to leave them to the worker", || {
        let (before, runs) = (spare().runs, busy[0].handled());
        hold_until(|| busy[0].handled() > runs + 100) && spare().runs == before
    });
    is_over.store(true, Ordering::Relaxed);
}

#[test]
fn no_spare_comes_before_its_time() {
    let scheduler = one_worker().spare_workers(1).spare_after(NEVER).build().expect("threads");
    let hog = Hog::new(&scheduler);
    hog.hold();
    let other = Target::new(scheduler.handle(), |_, _| ());
    other.send();
    // Fifty times as long as it takes by default.
    burn(Duration::from_millis(100));
    assert_eq!(other.handled(), 0);
    hog.release();
    wait_for("the worker itself", || other.handled() == 1);
    assert_eq!(scheduler.handle().metrics()[1].runs, 0);
}

#[test]
fn as_many_are_held_at_a_time_as_there_are_spares() {
    let mut scheduler = one_worker().spare_workers(2).build().expect("threads");
    let hogs: Vec<_> = (0..3).map(|_| Hog::new(&scheduler)).collect();
    let mut held: Vec<_> = hogs.iter().map(Hog::hold).collect();
    held.sort_unstable();
    assert_eq!(held, [0, 1, 2], "the worker, a spare, and the spare of the spare");
    // All of them are named, and what is queued is the owner's.
    let queued = Target::new(scheduler.handle(), |_, _| ());
    queued.send();
    let mut stuck = scheduler.shutdown(Some(Duration::from_millis(20)));
    stuck.sort_unstable();
    assert_eq!(stuck, [0, 1, 2]);
    hogs.iter().for_each(Hog::release);
    assert_eq!(scheduler.shutdown(None), []);
    let mut left = 0;
    scheduler.drain(|runnable| {
        left += 1;
        drop(runnable);
    });
    // A worker may come to it before it looks up.
    assert_eq!(left + queued.handled(), 1);
}

#[test]
fn spares_that_sleep_end_at_once() {
    for workers in [1, 3] {
        let builder = Scheduler::builder().workers(workers).spare_workers(2);
        let mut scheduler = builder.on_long_run(NEVER, |_| ()).build().expect("threads");
        assert_eq!(scheduler.handle().workers(), workers);
        assert_eq!(scheduler.shutdown(None), []);
    }
}

/// The other worker never rests, and so never searches.
#[test]
fn a_busy_worker_takes_what_is_behind_one_that_is_held() {
    let scheduler = Scheduler::builder().workers(2).build().expect("threads");
    let handle = scheduler.handle();
    let is_over = Arc::new(AtomicBool::new(false));
    let busy: Vec<&'static Target> = (0..4)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            Target::new(handle, move |me, _| {
                burn(Duration::from_micros(20));
                if !is_over.load(Ordering::Relaxed) {
                    me.again();
                }
            })
        })
        .collect();
    handle.schedule_batch(busy.iter().filter_map(|target| target.add(1)));
    let outcome = counter();
    let seen = Arc::clone(&outcome);
    let hog = Target::new(handle, move |me, _| {
        // By now some of them are with the other worker, or all.
        let runs = busy[0].handled();
        let mut is_rescued = hold_until(|| busy[0].handled() > runs + 100);
        for _ in 0..5 {
            let (queued, next) =
                (Target::new(me.handle(), |_, _| ()), Target::new(me.handle(), |_, _| ()));
            queued.send();
            next.send();
            is_rescued &= hold_until(|| queued.handled() == 1 && next.handled() == 1);
        }
        seen.store(1 + u64::from(is_rescued), Ordering::Release);
    });
    hog.send();
    wait_for("the hog to return", || outcome.load(Ordering::Acquire) != 0);
    assert_eq!(outcome.load(Ordering::Acquire), 2, "what was queued stayed behind the hog");
    is_over.store(true, Ordering::Relaxed);
}

/// What a hook was told of: worker, target, whether it was over, is on, is a task; and how long it had lasted.
type Told = (usize, Option<usize>, bool, bool, bool, Duration);

fn telling(limit: Duration) -> (Scheduler, Arc<Mutex<Vec<Told>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let hook = move |run: &whitebeam_scheduler::LongRun<'_>| {
        let (is_over, is_on, is_task) = (run.is_over(), run.is_on(), run.is_task());
        seen.lock().push((run.worker(), run.target(), is_over, is_on, is_task, run.lasted()));
    };
    (one_worker().on_long_run(limit, hook).build().expect("threads"), told)
}

#[test]
fn who_holds_a_worker_is_told_of_once_and_again_when_it_returns() {
    let limit = Duration::from_millis(5);
    let (scheduler, told) = telling(limit);
    let hog = Hog::new(&scheduler);
    hog.hold();
    wait_for("the hook", || told.lock().len() == 1);
    burn(limit * 10);
    let (worker, target, is_over, is_on, is_task, lasted) = told.lock()[0];
    assert_eq!((worker, is_over, is_on, is_task), (0, false, true, false));
    assert_eq!(target, Some(std::ptr::from_ref(hog.target).addr()));
    assert!((limit..PATIENCE).contains(&lasted), "{lasted:?}");
    assert_eq!(told.lock().len(), 1, "once");
    hog.release();
    wait_for("the hook", || told.lock().len() == 2);
    let (worker, target, is_over, is_on, is_task, lasted) = told.lock()[1];
    assert_eq!((worker, is_over, is_on, is_task), (0, true, false, false));
    assert_eq!(target, Some(std::ptr::from_ref(hog.target).addr()));
    assert!(lasted >= limit * 10, "{lasted:?}");
}

#[test]
fn a_task_and_a_timers_waker_that_hold_a_worker_are_told_apart() {
    struct Holds(Arc<AtomicBool>);
    impl std::task::Wake for Holds {
        fn wake(self: std::sync::Arc<Self>) {
            hold_until(|| self.0.load(Ordering::Acquire));
        }
    }
    let (scheduler, told) = telling(Duration::from_millis(5));
    let release = Arc::new(AtomicBool::new(false));
    let inside = Arc::clone(&release);
    let task = scheduler.handle().spawn(async move {
        hold_until(|| inside.load(Ordering::Acquire));
    });
    wait_for("the task", || told.lock().len() == 1);
    release.store(true, Ordering::Release);
    scheduler.handle().block_on(task);
    wait_for("its end", || told.lock().len() == 2);
    let seen = |at: usize| {
        let (_, target, is_over, _, is_task, _) = told.lock()[at];
        (target, is_over, is_task)
    };
    assert_eq!((seen(0), seen(1)), ((None, false, true), (None, true, true)));

    let release = Arc::new(AtomicBool::new(false));
    let waker = std::sync::Arc::new(Holds(Arc::clone(&release))).into();
    let mut sleep = scheduler.handle().sleep(Duration::from_millis(1));
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(std::future::Future::poll(std::pin::Pin::new(&mut sleep), &mut cx).is_pending());
    wait_for("the waker", || told.lock().len() == 3);
    assert_eq!(seen(2), (None, false, false));
    release.store(true, Ordering::Release);
    wait_for("its end", || told.lock().len() == 4);
}

#[test]
fn a_hook_that_panics_is_called_again() {
    let calls = counter();
    let seen = Arc::clone(&calls);
    let scheduler = one_worker()
        .on_long_run(Duration::from_millis(2), move |_| {
            seen.fetch_add(1, Ordering::Release);
            // No report on the terminal.
            std::panic::resume_unwind(Box::new("as the test asked"));
        })
        .build()
        .expect("threads");
    for hogs in 1..=2 {
        let hog = Hog::new(&scheduler);
        hog.hold();
        wait_for("the hook", || calls.load(Ordering::Acquire) == 2 * hogs - 1);
        hog.release();
        wait_for("the hook", || calls.load(Ordering::Acquire) == 2 * hogs);
    }
}

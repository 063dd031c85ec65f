//! Timers on real threads: never early, never lost, cancelled at any moment.

use std::time::Duration;

use whitebeam_scheduler::{Expire, Scheduler, Seeded, Time};
use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};
use whitebeam_sync::shim::{Arc, Mutex};

use crate::target::{Target, counter, hold_until, wait_for};

fn scheduler(workers: usize) -> Scheduler {
    Scheduler::builder().workers(workers).build().unwrap()
}

/// Notes when each of its timers fired.
struct Notes {
    handle: whitebeam_scheduler::Handle,
    fired: AtomicU64,
    early: AtomicU64,
    tokens: Mutex<Vec<u64>>,
}

impl Notes {
    fn new(scheduler: &Scheduler) -> Arc<Self> {
        Arc::new(Notes {
            handle: scheduler.handle().clone(),
            fired: AtomicU64::new(0),
            early: AtomicU64::new(0),
            tokens: Mutex::new(Vec::new()),
        })
    }
}

impl Expire for Notes {
    fn expire(&self, token: u64, deadline: u64) {
        if self.handle.now().as_nanos() < deadline {
            self.early.fetch_add(1, Ordering::Relaxed);
        }
        self.tokens.lock().push(token);
        self.fired.fetch_add(1, Ordering::Release);
    }
}

#[test]
fn none_is_early_and_none_is_lost() {
    for workers in [1, 2, 4] {
        let scheduler = scheduler(workers);
        let handle = scheduler.handle();
        let notes = Notes::new(&scheduler);
        let mut random = Seeded::new(workers as u64);
        for token in 0..10_000 {
            let after = Duration::from_nanos(random.next_u64() % 200_000_000);
            handle.timer_at(handle.now() + after, Arc::clone(&notes) as Arc<dyn Expire>, token);
        }
        wait_for("10,000 timers", || notes.fired.load(Ordering::Acquire) == 10_000);
        assert_eq!(notes.early.load(Ordering::Relaxed), 0);
        let mut tokens = notes.tokens.lock().clone();
        tokens.sort_unstable();
        assert!(tokens.into_iter().eq(0..10_000), "each fired once");
        let counted: u64 = handle.metrics().iter().map(|worker| worker.timers).sum();
        assert_eq!(counted, 10_000);
    }
}

#[test]
fn a_cancelled_timer_says_what_was_left_and_never_fires() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle();
    let notes = Notes::new(&scheduler);
    let hour = Duration::from_secs(3_600);
    let key = handle.timer_at(handle.now() + hour, Arc::clone(&notes) as Arc<dyn Expire>, 1);
    let left = handle.cancel(key).unwrap();
    assert!(left <= hour && left > hour - Duration::from_secs(60), "{left:?}");
    assert_eq!(handle.cancel(key), None);
    assert_eq!(Arc::strong_count(&notes), 1, "what the timer held is dropped");

    let key = handle.timer_at(Time::ZERO, Arc::clone(&notes) as Arc<dyn Expire>, 2);
    wait_for("a timer in the past", || notes.fired.load(Ordering::Acquire) == 1);
    assert_eq!(handle.cancel(key), None);
    assert_eq!(*notes.tokens.lock(), [2]);
}

/// Each timer either fires or is cancelled.
#[test]
fn cancelling_races_with_firing() {
    let scheduler = scheduler(2);
    let handle = scheduler.handle();
    let notes = Notes::new(&scheduler);
    let mut random = Seeded::new(1);
    let mut cancelled = 0;
    for round in 0..200 {
        let keys: Vec<_> = (0..50)
            .map(|token| {
                let after = Duration::from_nanos(random.next_u64() % 300_000);
                let expire = Arc::clone(&notes) as Arc<dyn Expire>;
                handle.timer_at(handle.now() + after, expire, round * 50 + token)
            })
            .collect();
        cancelled += keys.into_iter().filter(|&key| handle.cancel(key).is_some()).count() as u64;
    }
    wait_for("the rest", || notes.fired.load(Ordering::Acquire) + cancelled == 10_000);
    assert_eq!(notes.early.load(Ordering::Relaxed), 0);
}

/// An earlier deadline must reach a worker that sleeps until a later one.
#[test]
fn an_earlier_timer_wakes_who_sleeps_until_a_later_one() {
    for workers in [1, 2, 4] {
        let scheduler = scheduler(workers);
        let handle = scheduler.handle();
        let notes = Notes::new(&scheduler);
        let far = handle.timer_at(
            handle.now() + Duration::from_secs(3_600),
            Arc::clone(&notes) as Arc<dyn Expire>,
            0,
        );
        for round in 1..=20_u64 {
            wait_for("all workers to sleep", || {
                let parked = handle.metrics().iter().all(|worker| worker.parks > 0);
                parked && handle.injected_len() == 0
            });
            let soon = handle.now() + Duration::from_millis(2);
            handle.timer_at(soon, Arc::clone(&notes) as Arc<dyn Expire>, round);
            wait_for("the earlier timer", || notes.fired.load(Ordering::Acquire) == round);
        }
        assert!(handle.cancel(far).is_some());
    }
}

/// Waits until each worker has parked again since it had `before` parks.
fn wait_for_sleep(scheduler: &Scheduler, before: &[u64]) {
    wait_for("all workers to sleep", || {
        let metrics = scheduler.handle().metrics();
        metrics.iter().zip(before).all(|(worker, &before)| worker.parks > before)
    });
}

fn parks(scheduler: &Scheduler) -> Vec<u64> {
    scheduler.handle().metrics().iter().map(|worker| worker.parks).collect()
}

/// A target that sets timers of so many milliseconds and holds its worker until as many fired as `fires`;
/// gives 2 when they did, 1 when they did not.
fn stuck(
    scheduler: &Scheduler,
    notes: &Arc<Notes>,
    sets: &'static [u64],
    fires: u64,
) -> (&'static Target, Arc<AtomicU64>) {
    let result = counter();
    let (seen, notes) = (Arc::clone(&result), Arc::clone(notes));
    let target = Target::new(scheduler.handle(), move |me, _| {
        for &millis in sets {
            let at = me.handle().now() + Duration::from_millis(millis);
            me.handle().timer_at(at, Arc::clone(&notes) as Arc<dyn Expire>, millis);
        }
        let all = hold_until(|| notes.fired.load(Ordering::Acquire) == fires);
        seen.store(1 + u64::from(all), Ordering::Release);
    });
    (target, result)
}

/// The only worker that is awake is stuck, with timers that it has set: a sleeper fires them.
#[test]
fn a_stuck_worker_does_not_hold_up_its_timers() {
    for workers in [2, 4] {
        let scheduler = scheduler(workers);
        let notes = Notes::new(&scheduler);
        let (target, result) = stuck(&scheduler, &notes, &[5, 1, 30], 3);
        wait_for_sleep(&scheduler, &vec![0; workers]);
        target.send();
        wait_for("the stuck handler", || result.load(Ordering::Acquire) != 0);
        assert_eq!(result.load(Ordering::Acquire), 2, "timers waited for a stuck worker");
        assert_eq!(*notes.tokens.lock(), [1, 5, 30]);
    }
}

/// The same with a timer that was there before all of them went to sleep.
#[test]
fn a_stuck_worker_does_not_hold_up_the_timers_of_others() {
    for workers in [2, 4] {
        let scheduler = scheduler(workers);
        let handle = scheduler.handle();
        let notes = Notes::new(&scheduler);
        wait_for_sleep(&scheduler, &vec![0; workers]);
        let at = handle.now() + Duration::from_millis(300);
        handle.timer_at(at, Arc::clone(&notes) as Arc<dyn Expire>, 7);
        // All of them have to get up for these, and go to sleep again.
        let met = counter();
        let before = parks(&scheduler);
        let meeting: Vec<_> = (0..workers as u64)
            .map(|_| {
                let met = Arc::clone(&met);
                Target::new(handle, move |_, _| {
                    met.fetch_add(1, Ordering::AcqRel);
                    hold_until(|| met.load(Ordering::Acquire) == workers as u64);
                })
            })
            .collect();
        handle.schedule_batch(meeting.iter().filter_map(|target| target.add(1)));
        wait_for_sleep(&scheduler, &before);

        let (target, result) = stuck(&scheduler, &notes, &[], 1);
        target.send();
        wait_for("the stuck handler", || result.load(Ordering::Acquire) != 0);
        assert_eq!(result.load(Ordering::Acquire), 2, "a timer waited for a stuck worker");
    }
}

#[test]
fn sleeping_tasks_wake_in_order() {
    let scheduler = scheduler(2);
    let handle = scheduler.handle().clone();
    let order = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = [40_u64, 5, 20]
        .into_iter()
        .map(|millis| {
            let (inner, order) = (handle.clone(), Arc::clone(&order));
            handle.spawn(async move {
                inner.sleep(Duration::from_millis(millis)).await;
                order.lock().push(millis);
            })
        })
        .collect();
    for task in tasks {
        handle.block_on(task);
    }
    assert_eq!(*order.lock(), [5, 20, 40]);
}

#[test]
fn a_dropped_sleep_takes_its_timer_back() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle().clone();
    let inner = handle.clone();
    let task = handle.spawn(async move {
        let mut sleep = std::pin::pin!(inner.sleep(Duration::from_secs(3_600)));
        std::future::poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        sleep.deadline()
    });
    assert!(handle.block_on(task) > handle.now());
    let fired: u64 = handle.metrics().iter().map(|worker| worker.timers).sum();
    assert_eq!(fired, 0);
}

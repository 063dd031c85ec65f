//! Options of the builder that show in nothing else: each of these tests fails if its option is not read.

use std::time::{Duration, Instant};

use whitebeam_scheduler::{Expire, Scheduler};
use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};
use whitebeam_sync::shim::{Arc, Mutex};

use crate::target::{Target, burn, counter, hold_until, wait_for};

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3_600);

#[test]
fn there_are_as_many_workers_as_were_asked_for() {
    for workers in [1, 3] {
        let scheduler = Scheduler::builder().workers(workers).build().unwrap();
        assert_eq!(scheduler.handle().workers(), workers);
        assert_eq!(scheduler.handle().metrics().len(), workers);
    }
}

#[test]
fn random_numbers_begin_at_the_seed() {
    let draw = |seed| {
        let scheduler = Scheduler::builder().workers(1).seed(seed).build().unwrap();
        [scheduler.handle().random(), scheduler.handle().random()]
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

/// A thread's stack can't be measured in safe code: what the thread is started with is read instead.
#[test]
fn threads_are_started_with_the_stack_that_was_asked_for() {
    let started = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&started);
    let scheduler = Scheduler::builder()
        .workers(2)
        .stack_size(3_141_592)
        .start_threads_with(move |thread, body| {
            seen.lock().push(format!("{thread:?}"));
            thread.spawn(body)
        })
        .build()
        .unwrap();
    let started = started.lock().clone();
    assert_eq!(started.len(), 2);
    assert!(started.iter().all(|thread| thread.contains("Some(3141592)")), "{started:?}");
    let task = scheduler.handle().spawn(async { 7 });
    assert_eq!(scheduler.handle().block_on(task), 7);
}

/// A turn of slow messages would be over at its first or second look at the clock, after 12 at most.
#[test]
fn a_long_slice_leaves_slow_messages_their_budget() {
    let scheduler = Scheduler::builder().workers(1).budget(100).slice(NEVER).build().unwrap();
    let longest = counter();
    let seen = Arc::clone(&longest);
    let target = Target::new(scheduler.handle(), move |_, turn| {
        burn(Duration::from_micros(100));
        seen.fetch_max(u64::from(turn.messages()) + 1, Ordering::Relaxed);
    });
    scheduler.handle().schedule_batch(target.add(101));
    // The last one begins when the turn of the others is over.
    wait_for("all messages", || target.handled() == 101);
    assert_eq!(longest.load(Ordering::Relaxed), 100);
}

#[test]
fn what_is_younger_than_the_age_limit_is_not_stolen() {
    let scheduler = Scheduler::builder().workers(2).steal_after(NEVER).build().unwrap();
    let handle = scheduler.handle();
    let queued = Target::new(handle, |_, _| ());
    let seen = counter();
    let noted = Arc::clone(&seen);
    // A thousand times the age at which it would go to the other worker.
    Target::new(handle, move |_, _| {
        queued.send_back();
        let begun = Instant::now();
        hold_until(|| queued.handled() == 1 || begun.elapsed() > Duration::from_millis(100));
        noted.store(1 + queued.handled(), Ordering::Release);
    })
    .send();
    wait_for("the long handler's end", || seen.load(Ordering::Acquire) != 0);
    assert_eq!(seen.load(Ordering::Acquire), 1, "another worker took what was queued");
    wait_for("what was queued", || queued.handled() == 1);
}

#[test]
fn a_worker_that_is_to_spin_does_not_sleep() {
    let scheduler = Scheduler::builder().workers(1).spin(NEVER).build().unwrap();
    let handle = scheduler.handle();
    let target = Target::new(handle, |_, _| ());
    target.send();
    wait_for("a message", || target.handled() == 1);
    // A thousand times as long as it would look for work.
    let idle = || handle.metrics()[0].idle;
    let before = idle();
    wait_for("20 ms without work", || idle() > before + Duration::from_millis(20));
    assert_eq!(handle.metrics()[0].parks, 0);
}

/// Timers that are due each millisecond have a wake-up each, unless they may be late.
#[test]
fn dense_timers_are_gathered_for_as_long_as_their_slack() {
    struct Count(AtomicU64);
    impl Expire for Count {
        fn expire(&self, _token: u64, _deadline: u64) {
            self.0.fetch_add(1, Ordering::Release);
        }
    }
    let slack = Duration::from_millis(50);
    let scheduler = Scheduler::builder().workers(1).timer_slack(slack).build().unwrap();
    let handle = scheduler.handle();
    let fired = Arc::new(Count(AtomicU64::new(0)));
    let start = handle.now();
    for n in 1..=500 {
        let expire = Arc::clone(&fired) as Arc<dyn Expire>;
        handle.timer_at(start + Duration::from_millis(n), expire, n);
    }
    let parks = || handle.metrics()[0].parks;
    let before = parks();
    wait_for("all timers", || fired.0.load(Ordering::Acquire) == 500);
    // Eight at any time, one each slack, and few for the setting.
    assert!(parks() - before < 60, "{} wake-ups", parks() - before);
    assert!(handle.now() - start < Duration::from_millis(500) + 10 * slack);
}

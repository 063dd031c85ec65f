//! User code that panics, everywhere where user code runs. The workers go on each time.

use std::panic;
use std::sync::Once;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use whitebeam_scheduler::{Expire, Handle, Scheduler};
use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};
use whitebeam_sync::shim::{Arc, Mutex};

use crate::target::{Target, counter, wait_for};

/// What these tests panic with. Their panics are not printed; all others are.
const INTENDED: &str = "intended by the test";

fn scheduler(workers: usize) -> Scheduler {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(INTENDED) {
                before(info);
            }
        }));
    });
    Scheduler::builder().workers(workers).build().unwrap()
}

fn panics(handle: &Handle) -> u64 {
    handle.metrics().iter().map(|worker| worker.panics).sum()
}

/// Runs something on each kind of path, to see that the workers are alive.
fn still_runs(handle: &Handle) {
    let inner = handle.clone();
    let task = handle.spawn(async move {
        inner.sleep(Duration::from_micros(100)).await;
        inner.spawn(async { 1 }).await + 1
    });
    assert_eq!(handle.block_on(task), 2);
}

#[test]
fn of_a_target() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle();
    let after = Target::new(handle, |_, _| ());
    Target::new(handle, move |_, _| {
        after.send();
        panic!("{INTENDED}");
    })
    .send();
    wait_for("what the panicking one had scheduled", || after.handled() == 1);
    assert_eq!(panics(handle), 1);
    still_runs(handle);
}

#[test]
fn of_a_task_goes_to_who_awaits_it() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle();
    let task = handle.spawn(async { panic!("{INTENDED}") });
    let caught = panic::catch_unwind(panic::AssertUnwindSafe(|| handle.block_on(task)));
    let payload = caught.unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some(INTENDED));
    assert_eq!(panics(handle), 0);
    still_runs(handle);
}

#[test]
fn of_a_detached_task() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle();
    handle.spawn(async { panic!("{INTENDED}") }).detach();
    still_runs(handle);
}

struct PanicsOnDrop(Arc<AtomicU64>);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("{INTENDED}");
    }
}

#[test]
fn of_a_future_that_is_dropped() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle();
    let drops = counter();
    // At its end, when it is cancelled while suspended, and its output that nobody takes.
    let bomb = PanicsOnDrop(Arc::clone(&drops));
    handle
        .spawn(async move {
            let _bomb = bomb;
        })
        .detach();
    wait_for("the future's end", || drops.load(Ordering::Relaxed) == 1);

    let bomb = PanicsOnDrop(Arc::clone(&drops));
    drop(handle.spawn(async move {
        let _bomb = bomb;
        std::future::pending::<()>().await;
    }));
    wait_for("the cancelled future", || drops.load(Ordering::Relaxed) == 2);

    let bomb = PanicsOnDrop(Arc::clone(&drops));
    handle.spawn(async move { bomb }).detach();
    wait_for("the output", || drops.load(Ordering::Relaxed) == 3);
    still_runs(handle);
}

/// A waker that panics on everything it can.
struct BadWaker(AtomicU64);

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
        panic!("{INTENDED}");
    }
}

#[test]
fn of_the_waker_of_who_awaits_a_task() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle();
    let gate = Arc::new(Mutex::new(None::<Waker>));
    let keeps = Arc::clone(&gate);
    let mut is_open = false;
    let mut task = std::pin::pin!(handle.spawn(std::future::poll_fn(move |cx| {
        if std::mem::replace(&mut is_open, true) {
            return Poll::Ready(5);
        }
        *keeps.lock() = Some(cx.waker().clone());
        Poll::Pending
    })));
    wait_for("the task to suspend", || gate.lock().is_some());
    let bad = Arc::new(BadWaker(AtomicU64::new(0)));
    let waker = Waker::from(Arc::clone(&bad));
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let waker = gate.lock().take().unwrap();
    waker.wake();
    wait_for("the bad waker", || bad.0.load(Ordering::Acquire) == 1);
    still_runs(handle);
    assert_eq!(handle.block_on(task), 5, "the value is there all the same");
}

#[test]
fn of_a_timer() {
    struct Bad;
    impl Expire for Bad {
        fn expire(&self, _token: u64, _deadline: u64) {
            panic!("{INTENDED}");
        }
    }
    let scheduler = scheduler(2);
    let handle = scheduler.handle();
    let at = handle.now() + Duration::from_millis(1);
    for token in 0..10 {
        handle.timer_at(at, Arc::new(Bad), token);
    }
    wait_for("ten panics", || panics(handle) == 10);
    still_runs(handle);
}

#[test]
fn of_hooks() {
    drop(scheduler(1)); // quiet
    let mut scheduler = Scheduler::builder()
        .workers(2)
        .on_worker_start(|_| panic!("{INTENDED}"))
        .on_worker_stop(|_| panic!("{INTENDED}"))
        .around_worker(|_, life| {
            life();
            panic!("{INTENDED}");
        })
        .build()
        .unwrap();
    still_runs(scheduler.handle());
    assert_eq!(scheduler.shutdown(None), []);
    assert_eq!(panics(scheduler.handle()), 4);
}

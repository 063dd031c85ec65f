//! Plain futures: spawn, await, cancel, block.

use std::future::poll_fn;
use std::panic;
use std::task::Poll;
use std::time::Duration;

use whitebeam_scheduler::Scheduler;
use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};
use whitebeam_sync::shim::{Arc, thread};

use crate::target::{counter, wait_for};

fn scheduler(workers: usize) -> Scheduler {
    Scheduler::builder().workers(workers).build().unwrap()
}

/// Gives way once.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_task_gives_its_value() {
    let scheduler = scheduler(2);
    let handle = scheduler.handle().clone();
    let inner = handle.clone();
    let sum = handle.spawn(async move {
        let parts: Vec<_> = (1..=100_u64).map(|n| inner.spawn(async move { n })).collect();
        let mut sum = 0;
        for part in parts {
            sum += part.await;
        }
        sum
    });
    assert_eq!(handle.block_on(sum), 5_050);
}

#[test]
fn a_task_that_yields_goes_behind_the_others() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle().clone();
    let (first, second) = (counter(), counter());
    let run = |mine: &Arc<AtomicU64>, other: &Arc<AtomicU64>| {
        let (mine, other) = (Arc::clone(mine), Arc::clone(other));
        async move {
            let mut ahead = 0;
            for turn in 1..=1_000_u64 {
                mine.store(turn, Ordering::Relaxed);
                ahead = ahead.max(turn.saturating_sub(other.load(Ordering::Relaxed)));
                yield_now().await;
            }
            ahead
        }
    };
    let (a, b) = (run(&first, &second), run(&second, &first));
    let inner = handle.clone();
    let both = handle.spawn(async move {
        let (a, b) = (inner.spawn(a), inner.spawn(b));
        (a.await, b.await)
    });
    let (a, b) = handle.block_on(both);
    assert!(a.max(b) <= 2, "they take turns, and do not run ahead by {a} and {b}");
}

#[test]
fn a_dropped_task_is_cancelled_and_a_detached_one_is_not() {
    struct Counts(Arc<AtomicU64>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Release);
        }
    }
    let scheduler = scheduler(1);
    let handle = scheduler.handle();
    let (drops, ends) = (counter(), counter());
    let forever = |drops: &Arc<AtomicU64>| {
        let counts = Counts(Arc::clone(drops));
        async move {
            let _counts = counts;
            std::future::pending::<u32>().await
        }
    };
    drop(handle.spawn(forever(&drops)));
    wait_for("the dropped task", || drops.load(Ordering::Acquire) == 1);
    let task = handle.spawn(forever(&drops));
    assert_eq!(handle.block_on(task.cancel()), None);
    assert_eq!(drops.load(Ordering::Acquire), 2);

    let (end, inner) = (Arc::clone(&ends), handle.clone());
    handle
        .spawn(async move {
            inner.sleep(Duration::from_millis(1)).await;
            end.fetch_add(1, Ordering::Release);
        })
        .detach();
    wait_for("the detached task", || ends.load(Ordering::Acquire) == 1);
}

#[test]
fn block_on_a_worker_says_so() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle().clone();
    let inner = handle.clone();
    let task = handle.spawn(async move {
        panic::catch_unwind(panic::AssertUnwindSafe(|| inner.block_on(async {}))).is_err()
    });
    assert!(handle.block_on(task));
}

#[test]
fn block_on_wakes_from_a_long_sleep() {
    let scheduler = scheduler(1);
    let handle = scheduler.handle().clone();
    let from_timer = handle.clone();
    handle.block_on(async move { from_timer.sleep(Duration::from_millis(20)).await });
    // By another plain thread, polled without any worker.
    let (sender, mut receiver) =
        (Arc::new(whitebeam_sync::shim::Mutex::new((false, None::<std::task::Waker>))), 0);
    let waits = Arc::clone(&sender);
    let waker = thread::spawn(move || {
        wait_for("the waiter's waker", || sender.lock().1.is_some());
        let mut state = sender.lock();
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        waker.unwrap().wake();
    });
    handle.block_on(poll_fn(|cx| {
        receiver += 1;
        let mut state = waits.lock();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }));
    waker.join().unwrap();
    assert!(receiver >= 2);
}

//! Futures that are always ready leave others their turn.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use whitebeam_scheduler::{Handle, Scheduler, Simulation, consume_budget, yield_now};
use whitebeam_sync::shim::atomic::{AtomicBool, Ordering};
use whitebeam_sync::shim::{Arc, Mutex};

use crate::target::{Target, wait_for};

type Round = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each gives a future that is ready whenever it is asked, or as good as that.
fn always_ready(handle: &Handle) -> Vec<Box<dyn FnMut() -> Round + Send>> {
    let (sleeper, spawner) = (handle.clone(), handle.clone());
    let mut done: Vec<_> = (0..100_000).map(|_| handle.spawn(async {})).collect();
    vec![
        Box::new(move || Box::pin(sleeper.sleep(Duration::ZERO))),
        Box::new(move || match done.pop() {
            Some(task) => Box::pin(task),
            None => Box::pin(spawner.sleep(Duration::ZERO)),
        }),
        Box::new(|| Box::pin(consume_budget())),
        Box::new(|| Box::pin(yield_now())),
    ]
}

#[test]
fn a_loop_over_ready_futures_does_not_hold_its_worker() {
    let scheduler = Scheduler::builder().workers(1).build().expect("threads");
    let handle = scheduler.handle();
    for mut round in always_ready(handle) {
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, began) = (Arc::clone(&is_over), Arc::new(AtomicBool::new(false)));
        let begins = Arc::clone(&began);
        let task = handle.spawn(async move {
            while !seen.load(Ordering::Acquire) {
                begins.store(true, Ordering::Release);
                round().await;
            }
        });
        wait_for("the loop to begin", || began.load(Ordering::Acquire));
        let other = Target::new(handle, |_, _| ());
        other.send();
        wait_for("another's turn", || other.handled() == 1);
        is_over.store(true, Ordering::Release);
        handle.block_on(task);
    }
}

#[test]
fn a_loop_over_ready_futures_does_not_hold_a_simulation() {
    let mut simulation = Simulation::new(7);
    let handle = simulation.handle().clone();
    for mut round in always_ready(&handle) {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let task = handle.spawn(async move {
            while !seen.load(Ordering::Acquire) {
                round().await;
            }
        });
        let other = handle.spawn(async move { is_over.store(true, Ordering::Release) });
        simulation.block_on(other);
        simulation.block_on(task);
    }
}

#[test]
fn the_budget_is_that_of_messages() {
    for budget in [1, 10] {
        let builder = Scheduler::builder().workers(1).budget(budget).slice(Duration::from_secs(10));
        let scheduler = builder.build().expect("threads");
        let handle = scheduler.handle();
        let log = Arc::new(Mutex::new(Vec::new()));
        let task = |name: char| {
            let log = Arc::clone(&log);
            async move {
                for _ in 0..20 {
                    consume_budget().await;
                    log.lock().push(name);
                }
            }
        };
        let both = handle.spawn({
            let (inner, a, b) = (handle.clone(), task('a'), task('b'));
            async move { (inner.spawn(b), inner.spawn(a)) }
        });
        let (b, a) = handle.block_on(both);
        handle.block_on(a);
        handle.block_on(b);
        let log = log.lock().clone();
        let turns: Vec<_> = log.chunk_by(|one, other| one == other).map(<[char]>::len).collect();
        assert_eq!(turns, vec![budget as usize; 40 / budget as usize], "{log:?}");
    }
}

#[test]
fn who_wakes_itself_goes_behind_all_others_each_time() {
    let scheduler = Scheduler::builder().workers(1).build().expect("threads");
    let handle = scheduler.handle();
    let log = Arc::new(Mutex::new(Vec::new()));
    let task = |name: char| {
        let log = Arc::clone(&log);
        async move {
            for _ in 0..5 {
                log.lock().push(name);
                yield_now().await;
            }
        }
    };
    let three = handle.spawn({
        let (inner, tasks) = (handle.clone(), ['a', 'b', 'c'].map(task));
        async move { tasks.map(|task| inner.spawn(task)) }
    });
    for task in handle.block_on(three) {
        handle.block_on(task);
    }
    let log: String = log.lock().iter().collect();
    let first: String = log.chars().take(3).collect();
    assert_eq!(log, first.repeat(5));
}

/// A run that drives an executor of its own is polled again and again in there: it must come through.
#[test]
fn who_blocks_in_a_run_is_not_refused_for_ever() {
    async fn many() {
        for _ in 0..2_000 {
            consume_budget().await;
        }
    }
    let inner = Scheduler::builder().workers(1).build().expect("threads");
    let outer = Scheduler::builder().workers(1).build().expect("threads");
    let handle = inner.handle().clone();
    let task = outer.handle().spawn(async move { handle.block_on(many()) });
    outer.handle().block_on(task);

    let mut simulation = Simulation::new(3);
    let (handle, over) = (inner.handle().clone(), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&over);
    let task = simulation.handle().spawn(async move {
        handle.block_on(many());
        seen.store(true, Ordering::Release);
    });
    while simulation.step() {}
    assert!(over.load(Ordering::Acquire));
    drop(task);
}

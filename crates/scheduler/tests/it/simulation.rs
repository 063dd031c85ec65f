//! The simulation: same seed, same trace; virtual time; the same handle.

use std::panic;
use std::time::{Duration, Instant};

use whitebeam_scheduler::{Choices, Expire, Handle, Point, Simulation, Time};
use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};
use whitebeam_sync::shim::{Arc, Mutex};

use crate::target::{Target, counter};

type Log = Arc<Mutex<Vec<(u64, String)>>>;

/// A program with everything in it that may go one way or another; gives its log and the choices' digest.
fn program(seed: u64) -> (Vec<(u64, String)>, u64) {
    let mut simulation = Simulation::new(seed);
    let handle = simulation.handle().clone();
    let log = Log::default();
    let write = |log: &Log, handle: &Handle, what: String| {
        log.lock().push((handle.now().as_nanos(), what));
    };
    let targets: Vec<&'static Target> = (0..5)
        .map(|name| {
            let log = Arc::clone(&log);
            Target::new(&handle, move |me, turn| {
                write(&log, me.handle(), format!("target {name} message {}", turn.messages()));
            })
        })
        .collect();
    for target in &targets {
        handle.schedule_batch(target.add(200));
    }
    let sleepers: Vec<_> = (0..10_u64)
        .map(|name| {
            let (inner, log) = (handle.clone(), Arc::clone(&log));
            handle.spawn(async move {
                for round in 0..3 {
                    inner.sleep(Duration::from_millis(10 + name % 2)).await;
                    write(&log, &inner, format!("sleeper {name} round {round} {}", inner.random()));
                    if inner.choose(Point::Preempt, 2) == 1 {
                        inner.spawn(async {}).await;
                    }
                }
            })
        })
        .collect();
    simulation.block_on(async {
        for sleeper in sleepers {
            sleeper.await;
        }
    });
    simulation.run_until_idle();
    let log = log.lock().clone();
    (log, simulation.digest())
}

#[test]
fn same_seed_same_trace() {
    for seed in 0..20 {
        assert_eq!(program(seed), program(seed), "seed {seed}");
    }
}

#[test]
fn other_seed_other_trace() {
    let traces: Vec<_> = (0..20).map(program).collect();
    for (seed, (log, digest)) in traces.iter().enumerate() {
        let twins = traces.iter().filter(|(other, d)| other == log || d == digest).count();
        assert_eq!(twins, 1, "seed {seed} went the way of another one");
        assert_eq!(log.len(), 5 * 200 + 10 * 3, "each did all of its work");
    }
}

#[test]
fn time_stands_still_until_nothing_can_run() {
    let mut simulation = Simulation::new(1);
    let handle = simulation.handle().clone();
    let begun = Instant::now();
    let inner = handle.clone();
    let woke_at = simulation.block_on(handle.spawn(async move {
        inner.sleep(Duration::from_secs(86_400)).await;
        inner.now()
    }));
    assert_eq!(woke_at, Time::ZERO + Duration::from_secs(86_400), "exact to the nanosecond");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn advance_stops_where_it_was_told() {
    let mut simulation = Simulation::new(1);
    let handle = simulation.handle().clone();
    let ticks = counter();
    let (inner, count) = (handle.clone(), Arc::clone(&ticks));
    handle
        .spawn(async move {
            loop {
                inner.sleep(Duration::from_millis(10)).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
        .detach();
    simulation.advance(Duration::from_millis(9));
    assert_eq!(ticks.load(Ordering::Relaxed), 0);
    simulation.advance(Duration::from_millis(1));
    assert_eq!(ticks.load(Ordering::Relaxed), 1);
    simulation.advance(Duration::from_millis(95));
    assert_eq!(ticks.load(Ordering::Relaxed), 10);
    assert_eq!(handle.now().as_nanos(), 105_000_000);
    assert_eq!(simulation.next_timer().map(Time::as_nanos), Some(110_000_000));
}

#[test]
fn timers_of_one_moment_fire_in_every_order() {
    struct Order(Mutex<Vec<u64>>);
    impl Expire for Order {
        fn expire(&self, token: u64, _deadline: u64) {
            self.0.lock().push(token);
        }
    }
    let mut orders = std::collections::HashSet::new();
    for seed in 0..200 {
        let mut simulation = Simulation::new(seed);
        let order = Arc::new(Order(Mutex::new(Vec::new())));
        for token in 0..3 {
            let at = Time::from_nanos(1_000);
            simulation.handle().timer_at(at, Arc::clone(&order) as Arc<dyn Expire>, token);
        }
        simulation.advance(Duration::from_micros(1));
        orders.insert(order.0.lock().clone());
    }
    assert_eq!(orders.len(), 6);
}

#[test]
fn a_chooser_of_zeros_is_first_in_first_out() {
    struct Zeros;
    impl Choices for Zeros {
        fn choose(&mut self, _point: Point, _of: usize) -> usize {
            0
        }
    }
    let mut simulation = Simulation::with_choices(Box::new(Zeros));
    let order = Arc::new(Mutex::new(Vec::new()));
    for name in 0..10 {
        let order = Arc::clone(&order);
        simulation.handle().spawn(async move { order.lock().push(name) }).detach();
    }
    simulation.run_until_idle();
    assert!(order.lock().iter().copied().eq(0..10));
    assert_eq!(simulation.steps(), 10);
}

#[test]
fn a_program_that_stands_still_is_told() {
    let mut simulation = Simulation::new(1);
    let caught = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        simulation.block_on(std::future::pending::<()>());
    }));
    let payload = caught.unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("stands still"), "{text}");
}

#[test]
fn step_cost_lets_time_pass_for_those_who_never_rest() {
    let mut simulation = Simulation::new(3);
    simulation.step_cost(Duration::from_micros(1));
    let handle = simulation.handle().clone();
    let spinning = Target::new(&handle, |_, _| ());
    handle.schedule_batch(spinning.add(1_000_000));
    let inner = handle.clone();
    simulation.block_on(handle.spawn(async move { inner.sleep(Duration::from_micros(50)).await }));
    assert!(spinning.handled() < 1_000_000, "the sleeper did not wait for the other's end");
}

#[test]
fn inside_a_step_the_thread_is_the_worker() {
    let mut simulation = Simulation::new(1);
    let handle = simulation.handle().clone();
    assert!(handle.is_simulated() && !handle.is_worker());
    let inner = handle.clone();
    let (is_worker, blocked) = simulation.block_on(handle.spawn(async move {
        let blocks = || inner.block_on(async {});
        (inner.is_worker(), panic::catch_unwind(panic::AssertUnwindSafe(blocks)).is_err())
    }));
    assert!(is_worker && blocked);
    assert_eq!(handle.block_on(async { 3 }), 3, "outside of a step the handle drives it too");
}

#[test]
fn a_second_thread_is_refused_and_takes_nothing_away() {
    for seed in 0..16 {
        let mut simulation = Simulation::new(seed);
        let handle = simulation.handle().clone();
        let inner = handle.clone();
        let first = handle.spawn(async move {
            let drives = || {
                let waits = || inner.block_on(inner.sleep(Duration::from_secs(1)));
                panic::catch_unwind(panic::AssertUnwindSafe(waits)).is_err()
            };
            std::thread::scope(|scope| scope.spawn(drives).join().unwrap())
        });
        let others: Vec<_> = (0..3).map(|n| handle.spawn(async move { n })).collect();
        assert!(simulation.block_on(first), "it is inside of a step");
        for (n, other) in others.into_iter().enumerate() {
            assert_eq!(simulation.block_on(other), n, "nothing was lost");
        }
    }
}

#[test]
fn what_is_left_is_dropped_with_the_simulation() {
    struct Counts(Arc<AtomicU64>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = counter();
    let simulation = Simulation::new(1);
    let handle = simulation.handle().clone();
    for _ in 0..3 {
        let counts = Counts(Arc::clone(&drops));
        handle.spawn(async move { drop(counts) }).detach();
    }
    drop(simulation);
    assert_eq!(drops.load(Ordering::Relaxed), 3);
    let counts = Counts(Arc::clone(&drops));
    handle.spawn(async move { drop(counts) }).detach();
    assert_eq!(drops.load(Ordering::Relaxed), 4);
}

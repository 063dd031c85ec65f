//! The pool for blocking work: who runs what, how many threads there are, how things end.

use std::collections::BTreeSet;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use whitebeam_scheduler::{BlockingTask, Builder, Refusal, Scheduler, Simulation, Unfinished};
use whitebeam_sync::shim::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use whitebeam_sync::shim::{Arc, Condvar, Mutex, thread};

use crate::target::{PATIENCE, counter, wait_for};

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3_600);

fn pool(threads: usize) -> Builder {
    Scheduler::builder().workers(1).blocking_threads(threads).blocking_keep_alive(NEVER)
}

/// What closures wait behind until the test lets them go.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar, AtomicUsize)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    /// On a thread of the pool. Gives up in the end, so that a failed test comes back.
    fn pass(&self) {
        self.0.2.fetch_add(1, Ordering::Relaxed);
        let mut is_open = self.0.0.lock();
        while !*is_open {
            let (guard, is_late) = self.0.1.wait_timeout(is_open, 2 * PATIENCE);
            is_open = guard;
            if is_late {
                return;
            }
        }
    }

    /// How many have come to it.
    fn came(&self) -> usize {
        self.0.2.load(Ordering::Relaxed)
    }

    fn wait_for(&self, count: usize) {
        wait_for("closures that begin", || self.came() == count);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if thread::panicking() {
            self.open();
        }
    }
}

/// A closure that waits at the gate.
fn hold(scheduler: &Scheduler, gate: &Gate) -> BlockingTask<()> {
    let gate = gate.clone();
    scheduler.handle().spawn_blocking(move || gate.pass())
}

/// Counts its drops.
struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn closures_give_their_values_in_order_on_one_thread_with_the_pools_name() {
    let scheduler = pool(1).name("its").build().unwrap();
    let handle = scheduler.handle();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let seen = Arc::clone(&seen);
            handle.spawn_blocking(move || {
                seen.lock().push(n);
                (n, thread::current().name().unwrap_or_default().to_owned())
            })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(handle.block_on(task), (n, "its-blocking-0".to_owned()));
    }
    assert_eq!(*seen.lock(), (0..100).collect::<Vec<_>>());
    let metrics = handle.blocking_metrics();
    assert_eq!((metrics.done, metrics.started, metrics.panics), (100, 1, 0));
}

#[test]
fn the_pool_grows_to_its_limit_and_no_further() {
    let scheduler = pool(3).build().unwrap();
    let handle = scheduler.handle();
    let gate = Gate::default();
    let tasks: Vec<_> = (0..5).map(|_| hold(&scheduler, &gate)).collect();
    gate.wait_for(3);
    let metrics = handle.blocking_metrics();
    assert_eq!((metrics.threads, metrics.busy, metrics.queued), (3, 3, 2));
    gate.open();
    tasks.into_iter().for_each(|task| handle.block_on(task));
    let metrics = handle.blocking_metrics();
    assert_eq!((metrics.threads, metrics.busy, metrics.queued), (3, 0, 0));
    assert_eq!((metrics.done, metrics.started), (5, 3));
}

#[test]
fn threads_without_work_leave_and_their_names_are_used_again() {
    let scheduler = pool(4).blocking_keep_alive(Duration::from_millis(1)).build().unwrap();
    let handle = scheduler.handle();
    for round in 1..=2 {
        let gate = Gate::default();
        let names: Vec<_> = (0..4)
            .map(|_| {
                let gate = gate.clone();
                handle.spawn_blocking(move || {
                    gate.pass();
                    thread::current().name().unwrap_or_default().to_owned()
                })
            })
            .collect();
        gate.wait_for(4);
        gate.open();
        let names: BTreeSet<_> = names.into_iter().map(|name| handle.block_on(name)).collect();
        let expected = (0..4).map(|n| format!("whitebeam-blocking-{n}"));
        assert_eq!(names, expected.collect());
        let begun = Instant::now();
        wait_for("all threads to leave", || handle.blocking_metrics().threads == 0);
        assert!(begun.elapsed() < Duration::from_secs(5), "long after the keep-alive");
        assert_eq!(handle.blocking_metrics().started, 4 * round);
    }
}

#[test]
fn threads_that_are_too_many_leave_although_one_has_work() {
    let scheduler = pool(4).blocking_keep_alive(Duration::from_millis(200)).build().unwrap();
    let handle = scheduler.handle();
    let gate = Gate::default();
    let tasks: Vec<_> = (0..4).map(|_| hold(&scheduler, &gate)).collect();
    gate.wait_for(4);
    gate.open();
    tasks.into_iter().for_each(|task| handle.block_on(task));
    // Woken in turns, each of them would have work a hundred times within its keep-alive.
    wait_for("all but one to leave", || {
        handle.block_on(handle.spawn_blocking(|| ()));
        handle.blocking_metrics().threads == 1
    });
}

#[test]
fn a_bounded_queue_refuses_and_gives_back() {
    let scheduler = pool(1).blocking_queue(1).build().unwrap();
    let handle = scheduler.handle();
    let gate = Gate::default();
    let running = hold(&scheduler, &gate);
    gate.wait_for(1);
    let waiting = handle.try_spawn_blocking(|| 2).unwrap();
    let refused = handle.try_spawn_blocking(|| 3).unwrap_err();
    assert!(matches!(refused.why(), Refusal::Full));
    assert_eq!(
        refused.to_string(),
        "all threads for blocking work are busy, and its queue is full"
    );
    assert_eq!(refused.into_work()(), 3);
    let forced = handle.spawn_blocking(|| 4);
    let metrics = handle.blocking_metrics();
    assert_eq!((metrics.queued, metrics.refused, metrics.threads), (2, 1, 1));
    gate.open();
    handle.block_on(running);
    assert_eq!((handle.block_on(waiting), handle.block_on(forced)), (2, 4));
}

#[test]
fn without_a_queue_a_thread_that_is_free_is_enough() {
    let scheduler = pool(2).blocking_queue(0).build().unwrap();
    let handle = scheduler.handle();
    let gate = Gate::default();
    let pass = |gate: &Gate| {
        let gate = gate.clone();
        move || gate.pass()
    };
    // Neither has looked at the queue yet, as a rule: they don't count as waiting.
    let held = [(), ()].map(|()| handle.try_spawn_blocking(pass(&gate)).unwrap());
    assert!(handle.try_spawn_blocking(|| ()).is_err());
    gate.open();
    held.into_iter().for_each(|task| handle.block_on(task));
    wait_for("the two to sleep", || handle.try_spawn_blocking(|| ()).is_ok());
}

#[test]
fn closures_that_wait_for_each_other_get_threads() {
    let scheduler = pool(8).build().unwrap();
    let handle = scheduler.handle();
    // One thread sleeps, and is claimed by the first of the next two.
    handle.block_on(handle.spawn_blocking(|| ()));
    for _ in 0..100 {
        let (to, from) = std::sync::mpsc::channel();
        let first = handle.spawn_blocking(move || from.recv_timeout(PATIENCE));
        let second = handle.spawn_blocking(move || to.send(7));
        assert_eq!(handle.block_on(first), Ok(7));
        handle.block_on(second).unwrap();
    }
}

#[test]
fn what_has_not_begun_is_dropped_with_its_task() {
    let scheduler = pool(1).build().unwrap();
    let handle = scheduler.handle();
    let gate = Gate::default();
    let running = hold(&scheduler, &gate);
    gate.wait_for(1);
    let (dropped, ran) = (counter(), counter());
    for _ in 0..10 {
        let (counted, ran) = (Counted(Arc::clone(&dropped)), Arc::clone(&ran));
        let task = handle.spawn_blocking(move || {
            ran.fetch_add(1, Ordering::Relaxed);
            drop(counted);
        });
        drop(task);
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 10, "at once, and here");
    let detached = {
        let ran = Arc::clone(&ran);
        handle.spawn_blocking(move || ran.fetch_add(100, Ordering::Relaxed))
    };
    detached.detach();
    let metrics = handle.blocking_metrics();
    assert_eq!((metrics.queued, metrics.cancelled), (1, 10));
    gate.open();
    handle.block_on(running);
    wait_for("what was detached", || handle.blocking_metrics().done == 2);
    assert_eq!(ran.load(Ordering::Relaxed), 100);
}

#[test]
fn what_runs_goes_on_and_its_value_is_dropped_there() {
    let scheduler = pool(1).build().unwrap();
    let handle = scheduler.handle();
    let (gate, dropped) = (Gate::default(), counter());
    let counted = Counted(Arc::clone(&dropped));
    let task = {
        let gate = gate.clone();
        handle.spawn_blocking(move || {
            gate.pass();
            counted
        })
    };
    gate.wait_for(1);
    assert!(!task.is_finished());
    drop(task);
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    gate.open();
    wait_for("its end", || handle.blocking_metrics().done == 1);
    assert_eq!(dropped.load(Ordering::Relaxed), 1, "before it counts as done");
    assert_eq!(handle.blocking_metrics().cancelled, 0);
}

#[test]
fn a_panic_goes_to_who_awaits_it_and_is_counted() {
    let scheduler = pool(1).build().unwrap();
    let handle = scheduler.handle();
    // Without the hook, which would print.
    let fail = || -> u32 { panic::resume_unwind(Box::new("on purpose")) };
    let awaited = handle.spawn_blocking(fail);
    let panic = panic::catch_unwind(AssertUnwindSafe(|| handle.block_on(awaited))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    let outcome = handle.block_on(handle.spawn_blocking(fail).outcome());
    assert!(matches!(outcome, Err(Unfinished::Panicked(_))));
    handle.spawn_blocking(fail).detach();
    wait_for("the third", || handle.blocking_metrics().done == 3);
    assert_eq!(handle.blocking_metrics().panics, 3);
    assert_eq!(handle.block_on(handle.spawn_blocking(|| 5)), 5, "the thread lives");
    assert_eq!(handle.blocking_metrics().started, 1);
}

#[test]
fn panics_of_destructors_and_wakers_end_nothing() {
    struct Fails;
    impl Drop for Fails {
        fn drop(&mut self) {
            panic::resume_unwind(Box::new("on purpose"));
        }
    }
    let scheduler = pool(1).build().unwrap();
    let handle = scheduler.handle();
    let gate = Gate::default();
    let running = hold(&scheduler, &gate);
    gate.wait_for(1);
    let fails = Fails;
    drop(handle.spawn_blocking(move || drop(fails)));
    handle.spawn_blocking(|| Fails).detach();
    gate.open();
    handle.block_on(running);
    wait_for("its value's drop", || handle.blocking_metrics().done == 2);
    assert_eq!(handle.block_on(handle.spawn_blocking(|| 5)), 5);
}

/// Starts the first so many threads for blocking work, and no more.
fn with_threads(most: usize) -> Scheduler {
    let started = AtomicUsize::new(0);
    pool(4)
        .start_threads_with(move |thread, body| {
            let is_blocking = format!("{thread:?}").contains("-blocking-");
            if is_blocking && started.fetch_add(1, Ordering::Relaxed) >= most {
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            thread.spawn(body)
        })
        .build()
        .unwrap()
}

#[test]
fn without_any_thread_a_closure_is_refused_and_not_forgotten() {
    let scheduler = with_threads(0);
    let handle = scheduler.handle();
    let dropped = counter();
    let counted = Counted(Arc::clone(&dropped));
    let task = handle.spawn_blocking(move || drop(counted));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    let outcome = handle.block_on(task.outcome());
    assert!(matches!(outcome, Err(Unfinished::NoThread(_))), "{outcome:?}");
    let refused = handle.try_spawn_blocking(|| 3).unwrap_err();
    assert!(matches!(refused.why(), Refusal::NoThread(_)));
    assert_eq!(refused.into_work()(), 3);
    assert_eq!(handle.blocking_metrics().queued, 0);
    assert_eq!(handle.blocking_metrics().threads, 0);
}

#[test]
fn with_too_few_threads_closures_wait() {
    let scheduler = with_threads(1);
    let handle = scheduler.handle();
    let gate = Gate::default();
    let running = hold(&scheduler, &gate);
    let waiting: Vec<_> = (0..10).map(|n| handle.spawn_blocking(move || n)).collect();
    gate.open();
    handle.block_on(running);
    let values: Vec<_> = waiting.into_iter().map(|task| handle.block_on(task)).collect();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
    assert_eq!(handle.blocking_metrics().started, 1);
}

/// Once ahead of the thread that it should start, once behind.
#[test]
fn a_panic_of_who_starts_threads_costs_no_thread() {
    for is_started in [false, true] {
        let calls = AtomicUsize::new(0);
        let scheduler = pool(1)
            .blocking_queue(0)
            .start_threads_with(move |thread, body| {
                let is_blocking = format!("{thread:?}").contains("-blocking-");
                if !is_blocking || calls.fetch_add(1, Ordering::Relaxed) != 0 {
                    return thread.spawn(body);
                }
                if is_started {
                    let _ = thread.spawn(body)?;
                    // It is no thread of the pool's, or it is one: not both.
                    thread::sleep(Duration::from_millis(20));
                }
                panic::resume_unwind(Box::new("no thread"));
            })
            .build()
            .unwrap();
        let handle = scheduler.handle();
        let outcome = handle.block_on(handle.spawn_blocking(|| 1).outcome());
        match outcome {
            Ok(value) => assert!(is_started && value == 1),
            Err(why) => assert!(!is_started && matches!(why, Unfinished::NoThread(_)), "{why:?}"),
        }
        // The one thread that there may be is there, and what is refused tells that it is busy.
        for _ in 0..3 {
            wait_for("a free thread", || match handle.try_spawn_blocking(|| 2) {
                Ok(task) => handle.block_on(task) == 2,
                Err(_) => false,
            });
        }
        assert_eq!(handle.blocking_metrics().threads, 1);
    }
}

/// Neither takes a shutdown without time the wait away from one that has some.
#[test]
fn a_shutdown_that_can_not_wait_leaves_the_wait_to_another() {
    let mut scheduler = pool(1).build().unwrap();
    let handle = scheduler.handle().clone();
    let gate = Gate::default();
    let running = hold(&scheduler, &gate);
    gate.wait_for(1);
    let _ = scheduler.shutdown(Some(Duration::ZERO));
    assert_eq!(handle.blocking_metrics().busy, 1);
    thread::spawn({
        let gate = gate.clone();
        move || {
            thread::sleep(Duration::from_millis(20));
            gate.open();
        }
    });
    let _ = scheduler.shutdown(None);
    assert_eq!(handle.blocking_metrics().busy, 0, "it was not waited for");
    assert!(handle.block_on(running.outcome()).is_ok());
}

#[test]
fn the_end_drops_what_waits_and_waits_for_what_runs() {
    let mut scheduler = pool(1).build().unwrap();
    let handle = scheduler.handle().clone();
    let (gate, dropped) = (Gate::default(), counter());
    let running = hold(&scheduler, &gate);
    gate.wait_for(1);
    let counted = Counted(Arc::clone(&dropped));
    let waiting = handle.spawn_blocking(move || drop(counted));
    thread::spawn({
        let (gate, dropped) = (gate.clone(), Arc::clone(&dropped));
        move || {
            wait_for("the drop of what waits", || dropped.load(Ordering::Relaxed) == 1);
            gate.open();
        }
    });
    assert_eq!(scheduler.shutdown(None), []);
    let metrics = handle.blocking_metrics();
    assert_eq!((metrics.threads, metrics.busy, metrics.queued), (0, 0, 0));
    assert!(handle.block_on(running.outcome()).is_ok());
    assert!(matches!(handle.block_on(waiting.outcome()), Err(Unfinished::Stopped)));
    let late = handle.spawn_blocking(|| 1);
    assert!(matches!(handle.block_on(late.outcome()), Err(Unfinished::Stopped)));
    assert!(matches!(handle.try_spawn_blocking(|| 1).unwrap_err().why(), Refusal::Stopped));
}

#[test]
fn what_does_not_return_is_given_up() {
    let mut scheduler = pool(1).build().unwrap();
    let handle = scheduler.handle().clone();
    let gate = Gate::default();
    let running = hold(&scheduler, &gate);
    gate.wait_for(1);
    let begun = Instant::now();
    assert_eq!(scheduler.shutdown(Some(Duration::from_millis(20))), []);
    assert!(begun.elapsed() < Duration::from_secs(10), "it waits for its time only");
    assert_eq!(handle.blocking_metrics().busy, 1);
    // Not waited for again.
    assert_eq!(scheduler.shutdown(None), []);
    drop(scheduler);
    gate.open();
    assert!(handle.block_on(running.outcome()).is_ok(), "it is there for who waits");
    wait_for("its thread's end", || handle.blocking_metrics().threads == 0);
}

#[test]
fn a_closure_may_end_its_own_scheduler() {
    let scheduler = pool(2).build().unwrap();
    let handle = scheduler.handle().clone();
    let task = handle.spawn_blocking(move || {
        assert!(scheduler.handle().is_blocking_thread());
        drop(scheduler);
    });
    assert!(!handle.is_blocking_thread());
    assert!(handle.block_on(task.outcome()).is_ok());
    wait_for("the thread's end", || handle.blocking_metrics().threads == 0);
}

#[test]
fn many_closures_from_many_threads() {
    let scheduler = pool(4).blocking_keep_alive(Duration::from_micros(50)).build().unwrap();
    let handle = scheduler.handle().clone();
    let ran = counter();
    let threads: Vec<_> = (0..4_u64)
        .map(|seed| {
            let (handle, ran) = (handle.clone(), Arc::clone(&ran));
            thread::spawn(move || {
                let mut kept = 0;
                for n in 0..500 {
                    let ran = Arc::clone(&ran);
                    let task = handle.spawn_blocking(move || ran.fetch_add(1, Ordering::Relaxed));
                    match (n + seed) % 3 {
                        0 => {
                            handle.block_on(task);
                            kept += 1;
                        }
                        1 => {
                            task.detach();
                            kept += 1;
                        }
                        _ => drop(task),
                    }
                }
                kept
            })
        })
        .collect();
    let kept: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    wait_for("all of them", || {
        let metrics = handle.blocking_metrics();
        metrics.done + metrics.cancelled == 2_000 && metrics.busy == 0
    });
    let metrics = handle.blocking_metrics();
    assert_eq!(metrics.done, ran.load(Ordering::Relaxed));
    assert!(metrics.done >= kept, "{metrics:?}");
    wait_for("the threads to leave", || handle.blocking_metrics().threads == 0);
}

/// Three closures and a task that count themselves; their order, and the digest of the choices.
fn simulated(seed: u64) -> (Vec<u64>, u64) {
    let mut simulation = Simulation::new(seed);
    let handle = simulation.handle().clone();
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |n: u64| {
        let order = Arc::clone(&order);
        move || order.lock().push(n)
    };
    let blocking: Vec<_> = (0..3).map(|n| handle.spawn_blocking(note(n))).collect();
    let note = note(3);
    let task = handle.spawn(async move { note() });
    simulation.block_on(async {
        for one in blocking {
            one.await;
        }
        task.await;
    });
    assert_eq!(handle.now().as_nanos(), 0, "closures take no virtual time");
    let order = order.lock().clone();
    (order, simulation.digest())
}

#[test]
fn a_seed_decides_when_closures_run_in_a_simulation() {
    let orders: BTreeSet<_> = (0..1_000).map(|seed| simulated(seed).0).collect();
    assert_eq!(orders.len(), 24, "each order of the four");
    for seed in 0..20 {
        assert_eq!(simulated(seed), simulated(seed));
    }
}

#[test]
fn a_simulated_closure_may_wait_for_what_is_simulated() {
    let mut simulation = Simulation::new(3);
    let handle = simulation.handle().clone();
    let inner = handle.clone();
    let task = handle.spawn_blocking(move || {
        assert!(inner.is_blocking_thread() && !inner.is_worker());
        let sleeper = inner.clone();
        inner.block_on(inner.spawn(async move {
            sleeper.sleep(Duration::from_secs(60)).await;
            7
        }))
    });
    assert_eq!(simulation.block_on(task), 7);
    assert_eq!(handle.now().as_nanos(), 60_000_000_000);
    assert!(!handle.is_blocking_thread());
    let metrics = handle.blocking_metrics();
    assert_eq!((metrics.threads, metrics.started, metrics.done), (0, 0, 1));
}

#[test]
fn closures_that_a_simulation_has_not_run_are_dropped_with_it() {
    let simulation = Simulation::new(3);
    let handle = simulation.handle().clone();
    let has_run = Arc::new(AtomicBool::new(false));
    let dropped = counter();
    let (ran, counted) = (Arc::clone(&has_run), Counted(Arc::clone(&dropped)));
    let task = handle.spawn_blocking(move || {
        ran.store(true, Ordering::Relaxed);
        drop(counted);
    });
    drop(simulation);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    assert!(task.is_finished());
    assert!(!has_run.load(Ordering::Relaxed));
}

//! What can go wrong before the first run.

use std::io;

use whitebeam_scheduler::{BuildError, Scheduler};
use whitebeam_sync::shim::atomic::{AtomicUsize, Ordering};
use whitebeam_sync::shim::{Arc, thread};

use crate::target::wait_for;

#[test]
fn zero_workers_are_refused() {
    let error = Scheduler::builder().workers(0).build().unwrap_err();
    assert!(matches!(error, BuildError::NoWorkers));
    assert_eq!(error.to_string(), "a scheduler needs at least one worker");
}

#[test]
fn too_many_workers_are_refused() {
    let error = Scheduler::builder().workers(1_000_000).build().unwrap_err();
    assert!(matches!(error, BuildError::TooManyWorkers { asked: 1_000_000, .. }));
}

#[test]
fn out_of_threads_stops_the_workers_that_had_started() {
    let (started, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let attempts = AtomicUsize::new(0);
    let error = Scheduler::builder()
        .workers(4)
        .on_worker_start({
            let started = Arc::clone(&started);
            move |_| {
                started.fetch_add(1, Ordering::Relaxed);
            }
        })
        .on_worker_stop({
            let ended = Arc::clone(&ended);
            move |_| {
                ended.fetch_add(1, Ordering::Relaxed);
            }
        })
        .start_threads_with(move |thread, body| {
            if attempts.fetch_add(1, Ordering::Relaxed) == 2 {
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            thread.spawn(body)
        })
        .build()
        .unwrap_err();
    assert!(matches!(error, BuildError::Thread { started: 2, .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
    // `build` joins them before it returns.
    assert_eq!(started.load(Ordering::Relaxed), 2);
    assert_eq!(ended.load(Ordering::Relaxed), 2);
}

#[test]
fn hooks_run_on_named_worker_threads_inside_the_wrapper() {
    let seen = Arc::new(whitebeam_sync::shim::Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let seen = Arc::clone(&seen);
        move |worker: usize| {
            let name = thread::current().name().unwrap_or_default().to_owned();
            seen.lock().push(format!("{what} {worker} {name}"));
        }
    };
    let (before, after) = (note("before"), note("after"));
    let mut scheduler = Scheduler::builder()
        .workers(1)
        .name("hooked")
        .on_worker_start(note("start"))
        .on_worker_stop(note("stop"))
        .around_worker(move |worker, life| {
            before(worker);
            life();
            after(worker);
        })
        .build()
        .unwrap();
    assert_eq!(scheduler.shutdown(None), []);
    let expected = ["before", "start", "stop", "after"].map(|what| format!("{what} 0 hooked-0"));
    assert_eq!(*seen.lock(), expected);
}

#[test]
fn a_wrapper_that_forgets_the_worker_costs_nothing() {
    let scheduler = Scheduler::builder().workers(1).around_worker(|_, _| ()).build().unwrap();
    let task = scheduler.handle().spawn(async { 7 });
    assert_eq!(scheduler.handle().block_on(task), 7);
}

#[test]
fn several_schedulers_live_side_by_side() {
    let first = Scheduler::builder().workers(1).build().unwrap();
    let second = Scheduler::builder().workers(1).build().unwrap();
    let (one, two) = (first.handle().clone(), second.handle().clone());
    let task = one.spawn(async move {
        // A worker of the first is a plain thread to the second: it may even wait for it.
        (two.is_worker(), two.block_on(two.spawn(std::future::ready(5))))
    });
    assert_eq!(one.block_on(task), (false, 5));
    wait_for("both to rest", || one.injected_len() == 0);
}

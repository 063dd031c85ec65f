//! Memory goes back when a burst is over: that of processes by itself, the allocator's by a hook.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests use std's atomics and real time"
)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use support::{EXPECTED, expect_panics, puppet::plain};
use whitebeam_actor::{Handle, IDLE_AFTER, Runtime};

/// Met by a test that hangs only.
const LONGEST: Duration = Duration::from_secs(30);

#[track_caller]
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONGEST, "waited for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn idle_workers_call_the_hook_once_a_rest() {
    expect_panics();
    for workers in [1, 3] {
        let calls = Arc::new(AtomicUsize::new(0));
        let (seen, cycle) = (calls.clone(), Arc::new(parking_lot::Mutex::new(None::<Handle>)));
        let kept = cycle.clone();
        let rt = Runtime::builder().workers(workers).on_idle(move || {
            let _kept = &kept;
            assert!(thread::current().name().is_some_and(|name| name.starts_with("whitebeam-")));
            seen.fetch_add(1, Relaxed);
            panic!("{EXPECTED}")
        });
        let rt = rt.build().expect("a runtime");
        *cycle.lock() = Some(rt.handle());
        wait_for("a call by each worker", || calls.load(Relaxed) == workers);
        thread::sleep(3 * IDLE_AFTER);
        assert_eq!(calls.load(Relaxed), workers, "once each");
        rt.block_on(async { plain(&rt).await });
        wait_for("a call after more work", || calls.load(Relaxed) > workers);
        assert!(rt.metrics().iter().all(|worker| worker.panics == 0), "they go no further");
        drop(rt);
        // With the hook, which has held it.
        assert_eq!(Arc::strong_count(&cycle), 1);
    }
}

#[test]
fn a_simulated_runtime_has_no_idle_workers() {
    let rt = Runtime::builder().on_idle(|| unreachable!("there are no workers"));
    let rt = rt.build_simulated(1).expect("a runtime");
    rt.block_on(rt.sleep(10 * IDLE_AFTER));
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_ended_processes_goes_back() {
    use support::puppet::{Plain, Script};

    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        kib.unwrap_or(0) * 1024
    }

    let rt = Runtime::builder().workers(2).build().expect("a runtime");
    let count = support::scaled(200_000, 100_000);
    let all: Vec<_> = (0..count).map(|_| rt.spawn::<Plain>(Script::new())).collect();
    wait_for("the last start", || {
        all.iter().rev().take(100).all(|one| one.info().is_some_and(|info| !info.is_suspended))
    });
    let cell = all[0].info().expect("it lives").memory;
    for one in &all {
        rt.exit(one, whitebeam_actor::ExitReason::Kill);
    }
    wait_for("the last end", || all.iter().all(|one| !one.is_alive()));
    let peak = resident();
    drop(all);
    // All of the process table but for a few regions; what the allocator does is its own.
    let table = count * cell;
    wait_for("the memory", || resident() + table * 2 / 3 < peak);
}

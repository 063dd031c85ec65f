//! Workers without work cost nothing.

use std::fs;
use std::time::Duration;

use whitebeam_scheduler::{Handle, Scheduler};
use whitebeam_sync::shim::{Arc, Mutex, thread};

use crate::target::{Target, wait_for};

/// Processor time of this process's threads whose names begin with `name`, as the kernel counts it.
#[cfg(target_os = "linux")]
fn processor_time(name: &str) -> Duration {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let nanos = threads.filter_map(|thread| {
        let comm = fs::read_to_string(thread.path().join("comm")).ok()?;
        if !comm.starts_with(name) {
            return None;
        }
        // "time on the processor, time waiting for it, time slices"
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

#[test]
#[cfg(target_os = "linux")]
fn idle_workers_use_no_processor() {
    let scheduler = Scheduler::builder().workers(4).name("idle-test").build().unwrap();
    let handle = scheduler.handle();
    let target = Target::new(handle, |_, _| ());
    for sent in 1..=100 {
        target.send();
        wait_for("a message", || target.handled() == sent);
    }
    // A timer far away must not make anybody look at the clock.
    let far = handle.sleep(Duration::from_secs(3_600));
    let task = handle.spawn(far);
    thread::sleep(Duration::from_millis(100));

    let (before, parks) = (processor_time("idle-test"), parks(&scheduler));
    assert!(before > Duration::ZERO, "the threads were found");
    thread::sleep(Duration::from_secs(1));
    let (used, parked) = (processor_time("idle-test") - before, self::parks(&scheduler) - parks);
    assert!(used < Duration::from_millis(1), "four idle workers used {used:?} in a second");
    assert!(parked <= 4, "idle workers woke {parked} times");
    drop(task);
}

/// Neither do those who look after them.
#[test]
#[cfg(target_os = "linux")]
fn an_idle_watchdog_and_spares_use_no_processor() {
    let scheduler = Scheduler::builder()
        .workers(1)
        .spare_workers(2)
        .on_long_run(Duration::from_millis(10), |_| ())
        .name("idle-watch")
        .build()
        .unwrap();
    let target = Target::new(scheduler.handle(), |_, _| ());
    for sent in 1..=10 {
        target.send();
        wait_for("a message", || target.handled() == sent);
        // Longer than between two looks: each of them finds it asleep.
        thread::sleep(Duration::from_millis(5));
    }
    let before = processor_time("idle-watch");
    assert!(before > Duration::ZERO, "the threads were found");
    thread::sleep(Duration::from_secs(1));
    let used = processor_time("idle-watch") - before;
    assert!(
        used < Duration::from_millis(1),
        "threads with nothing to look after used {used:?} in a second"
    );
    // It wakes up again.
    target.send();
    wait_for("a message", || target.handled() == 11);
}

fn parks(scheduler: &Scheduler) -> u64 {
    scheduler.handle().metrics().iter().map(|worker| worker.parks).sum()
}

#[test]
fn idle_and_busy_time_are_told_apart() {
    let scheduler = Scheduler::builder().workers(1).build().unwrap();
    let handle = scheduler.handle();
    let target = Target::new(handle, |_, _| crate::target::burn(Duration::from_millis(30)));
    wait_for("the worker to park", || handle.metrics()[0].parks == 1);
    target.send();
    wait_for("the worker to park again", || handle.metrics()[0].parks >= 2);
    thread::sleep(Duration::from_millis(30));
    let metrics = handle.metrics().remove(0);
    assert!(metrics.busy >= Duration::from_millis(29), "{metrics:?}");
    assert!(metrics.idle >= Duration::from_millis(25), "{metrics:?}");
    assert_eq!(metrics.runs, 1);
    assert_eq!(metrics.queue_len, 0);
}

/// Once a rest, by each worker, and not while there is work.
#[test]
fn the_idle_hook_is_called_once_a_rest() {
    let after = Duration::from_millis(20);
    for workers in [1, 3] {
        let calls = Arc::new(Mutex::new(vec![0; workers]));
        let seen = Arc::clone(&calls);
        let scheduler = Scheduler::builder()
            .workers(workers)
            .on_worker_idle(after, move |worker| seen.lock()[worker] += 1)
            .build()
            .unwrap();
        let handle = scheduler.handle();
        wait_for("each worker's first call", || calls.lock().iter().all(|&calls| calls == 1));
        // It is asleep for good.
        thread::sleep(4 * after);
        assert!(calls.lock().iter().all(|&calls| calls == 1), "{:?}", calls.lock());
        let target = Target::new(handle, |_, _| ());
        target.send();
        wait_for("a message", || target.handled() == 1);
        wait_for("a second call", || calls.lock().iter().sum::<usize>() > workers);
    }
}

/// Who has rested while another worked is called again when that one rests, and then no more.
#[test]
fn the_idle_hook_is_called_again_when_others_have_worked() {
    let after = Duration::from_millis(20);
    let calls = Arc::new(Mutex::new(vec![0; 3]));
    let seen = Arc::clone(&calls);
    let scheduler = Scheduler::builder()
        .workers(3)
        .on_worker_idle(after, move |worker| seen.lock()[worker] += 1)
        .build()
        .unwrap();
    let handle = scheduler.handle();
    // Each of them has run something: a thread that never did has nothing to give back.
    let met = Arc::new(Mutex::new(0));
    let meeting: Vec<_> = (0..3)
        .map(|_| {
            let met = Arc::clone(&met);
            Target::new(handle, move |_, _| {
                *met.lock() += 1;
                crate::target::hold_until(|| *met.lock() == 3);
            })
        })
        .collect();
    handle.schedule_batch(meeting.iter().filter_map(|target| target.add(1)));
    let least = || calls.lock().iter().copied().min();
    wait_for("each worker's first call", || least() >= Some(1));
    let busy = Target::new(handle, move |_, _| crate::target::burn(3 * after));
    for round in 1..=3 {
        let before = calls.lock().clone();
        busy.send();
        wait_for("the work's end", || busy.handled() == round);
        wait_for("a call of each", || {
            calls.lock().iter().zip(&before).all(|(now, before)| now > before)
        });
    }
    // A machine that is slow may have calls of before to come; it has none for ever.
    wait_for("a time without a call, since nothing is done", || {
        let before = calls.lock().clone();
        thread::sleep(4 * after);
        *calls.lock() == before
    });
}

/// What a hook schedules is run, although its worker counts as asleep, and its panic is counted.
#[test]
fn an_idle_hook_may_schedule_and_panic() {
    let ran = Arc::new(Mutex::new(0));
    let handle = Arc::new(Mutex::new(None::<Handle>));
    let (counted, of) = (Arc::clone(&ran), Arc::clone(&handle));
    let scheduler = Scheduler::builder()
        .workers(2)
        .on_worker_idle(Duration::from_millis(5), move |worker| {
            let Some(handle) = of.lock().clone() else { return };
            let counted = Arc::clone(&counted);
            handle.spawn(async move { *counted.lock() += 1 }).detach();
            std::panic::resume_unwind(Box::new(worker));
        })
        .build()
        .unwrap();
    *handle.lock() = Some(scheduler.handle().clone());
    // Each task is a rest's end, and so a call more.
    let target = Target::new(scheduler.handle(), |_, _| ());
    target.send();
    wait_for("ten tasks", || *ran.lock() >= 10);
    let panics: u64 = scheduler.handle().metrics().iter().map(|worker| worker.panics).sum();
    assert!(panics >= 10);
    *handle.lock() = None;
}

//! The end of a scheduler: what runs, what stays, what is dropped.

use std::time::Duration;

use whitebeam_scheduler::{Scheduler, Simulation};
use whitebeam_sync::shim::atomic::{AtomicBool, AtomicU64, Ordering};
use whitebeam_sync::shim::{Arc, thread};

use crate::target::{Target, counter, hold_until, wait_for};

fn scheduler(workers: usize) -> Scheduler {
    Scheduler::builder().workers(workers).build().unwrap()
}

/// Counts itself when it is dropped.
struct CountsDrops(Arc<AtomicU64>);

impl Drop for CountsDrops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn idle_workers_end_at_once() {
    for workers in [1, 2, 4] {
        let mut scheduler = scheduler(workers);
        assert_eq!(scheduler.shutdown(None), []);
        assert_eq!(scheduler.shutdown(None), [], "a second time is as good");
    }
}

#[test]
fn what_is_queued_stays_for_the_owner() {
    let mut scheduler = scheduler(1);
    let queued: Vec<_> = (0..100).map(|_| Target::new(scheduler.handle(), |_, _| ())).collect();
    let is_scheduled = Arc::new(AtomicBool::new(false));
    let stop = Target::new(scheduler.handle(), {
        let (queued, scheduled) = (queued.clone(), Arc::clone(&is_scheduled));
        move |me, _| {
            me.handle().stop();
            // Some in this worker's queue, one in its slot.
            me.handle().schedule_batch(queued[1..].iter().filter_map(|target| target.add(1)));
            queued[0].send();
            scheduled.store(true, Ordering::Release);
        }
    });
    stop.send();
    wait_for("the one that schedules", || is_scheduled.load(Ordering::Acquire));
    assert_eq!(scheduler.shutdown(None), []);
    let mut left = 0;
    scheduler.drain(|runnable| {
        assert!(runnable.into_header().is_ok());
        left += 1;
    });
    let ran: u64 = queued.iter().map(|target| target.handled()).sum();
    assert_eq!(left + ran, 100);
    assert!(ran <= 65, "at most the runs between two looks were still made, and not {ran}");
}

#[test]
fn a_stuck_worker_is_named_and_given_up() {
    let mut scheduler = scheduler(2);
    let release = Arc::new(AtomicBool::new(false));
    let stuck_at = Arc::new(AtomicU64::new(u64::MAX));
    let stuck = Target::new(scheduler.handle(), {
        let (release, stuck_at) = (Arc::clone(&release), Arc::clone(&stuck_at));
        move |_, turn| {
            stuck_at.store(turn.worker() as u64, Ordering::Release);
            hold_until(|| release.load(Ordering::Acquire));
        }
    });
    stuck.send();
    wait_for("the handler", || stuck_at.load(Ordering::Acquire) != u64::MAX);
    let left = scheduler.shutdown(Some(Duration::from_millis(20)));
    assert_eq!(left, [stuck_at.load(Ordering::Acquire) as usize]);
    release.store(true, Ordering::Release);
    assert_eq!(scheduler.shutdown(None), [], "it ended when its handler returned");
}

#[test]
fn tasks_that_are_queued_are_cancelled() {
    let drops = counter();
    let mut scheduler = scheduler(1);
    let handle = scheduler.handle().clone();
    handle.stop();
    let dropped = CountsDrops(Arc::clone(&drops));
    assert_eq!(scheduler.shutdown(None), []);
    let task = handle.spawn(async move { drop(dropped) });
    assert_eq!(drops.load(Ordering::Relaxed), 0, "still queued");
    drop(scheduler);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert_eq!(handle.block_on(task.outcome()), None);
}

#[test]
fn what_is_scheduled_afterwards_is_dropped() {
    let drops = counter();
    let handle = scheduler(1).handle().clone(); // the scheduler is gone
    let dropped = CountsDrops(Arc::clone(&drops));
    let task = handle.spawn(async move { drop(dropped) });
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert!(task.is_finished());
    assert_eq!(handle.block_on(task.outcome()), None);
    let target = Target::new(&handle, |_, _| ());
    target.send();
    assert_eq!((target.handled(), target.dropped(), handle.injected_len()), (0, 1, 0));
}

/// Its owner learns that it will not be run, whenever it was scheduled and from wherever.
#[test]
fn a_target_that_will_not_be_run_is_told() {
    // Queued when the scheduler is dropped, in the shared queue and in a worker's.
    let mut queued = scheduler(1);
    let (outside, inside) =
        (Target::new(queued.handle(), |_, _| ()), Target::new(queued.handle(), |_, _| ()));
    let is_scheduled = Arc::new(AtomicBool::new(false));
    let stop = Target::new(queued.handle(), {
        let scheduled = Arc::clone(&is_scheduled);
        move |me, _| {
            me.handle().stop();
            inside.send_back();
            scheduled.store(true, Ordering::Release);
        }
    });
    stop.send();
    wait_for("the one that schedules", || is_scheduled.load(Ordering::Acquire));
    outside.send();
    assert_eq!(queued.shutdown(None), []);
    drop(queued);
    assert_eq!(outside.handled() + outside.dropped(), 1);
    assert_eq!(inside.handled() + inside.dropped(), 1);

    // Scheduled when all is over.
    let gone = scheduler(1).handle().clone();
    let late: Vec<_> = (0..3).map(|_| Target::new(&gone, |_, _| ())).collect();
    late[0].send();
    late[1].send_back();
    gone.schedule_batch(late[2].add(1));
    assert!(late.iter().all(|target| (target.handled(), target.dropped()) == (0, 1)));

    // A turn that is over when its simulation is.
    let slot = Arc::new(whitebeam_sync::shim::Mutex::new(None));
    let simulation = Simulation::new(1);
    let handle = simulation.handle().clone();
    let again = Target::new(&handle, {
        let slot = Arc::clone(&slot);
        move |_, _| drop(slot.lock().take())
    });
    // More messages than any turn has.
    handle.schedule_batch(again.add(1_000));
    *slot.lock() = Some(simulation);
    // Cancelled by the end of the simulation.
    let waits = handle.spawn(std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    }));
    assert_eq!(handle.block_on(waits.outcome()), None);
    assert_eq!((again.dropped(), handle.injected_len()), (1, 0));
}

#[test]
fn a_suspended_task_is_dropped_when_it_is_woken_afterwards() {
    let drops = counter();
    let scheduler = scheduler(1);
    let handle = scheduler.handle().clone();
    let waker = Arc::new(whitebeam_sync::shim::Mutex::new(None));
    let dropped = CountsDrops(Arc::clone(&drops));
    let keeps = Arc::clone(&waker);
    handle
        .spawn(async move {
            let _dropped = dropped;
            std::future::poll_fn(|cx| {
                *keeps.lock() = Some(cx.waker().clone());
                std::task::Poll::<()>::Pending
            })
            .await;
        })
        .detach();
    wait_for("the task to suspend", || waker.lock().is_some());
    drop(scheduler);
    assert_eq!(drops.load(Ordering::Relaxed), 0, "it was not queued");
    let waker: std::task::Waker = waker.lock().take().unwrap();
    waker.wake();
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

#[test]
fn a_scheduler_may_be_dropped_on_its_own_worker() {
    let scheduler = scheduler(2);
    let handle = scheduler.handle().clone();
    let is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&is_done);
    handle
        .spawn(async move {
            drop(scheduler);
            done.store(true, Ordering::Release);
        })
        .detach();
    wait_for("the drop on the worker", || is_done.load(Ordering::Acquire));
    assert!(handle.is_stopping());
}

/// Shutdown against sends from everywhere: everything sent is run, drained or dropped; nobody hangs.
#[test]
fn shutdown_races_with_sends() {
    for round in 0..50_u64 {
        let mut scheduler = scheduler(2);
        let handled = counter();
        let drops = counter();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (handle, handled, drops) =
                    (scheduler.handle().clone(), Arc::clone(&handled), Arc::clone(&drops));
                thread::spawn(move || {
                    for _ in 0..300 {
                        let (handled, dropped) =
                            (Arc::clone(&handled), CountsDrops(Arc::clone(&drops)));
                        let work = async move {
                            handled.fetch_add(1, Ordering::Relaxed);
                            drop(dropped);
                        };
                        handle.spawn(work).detach();
                    }
                })
            })
            .collect();
        for _ in 0..round * 100 {
            std::hint::spin_loop();
        }
        assert_eq!(scheduler.shutdown(None), []);
        drop(scheduler);
        for sender in senders {
            sender.join().unwrap();
        }
        assert_eq!(drops.load(Ordering::Relaxed), 600, "each future was dropped, run or not");
        assert!(handled.load(Ordering::Relaxed) <= 600);
    }
}

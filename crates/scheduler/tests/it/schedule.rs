//! Order and place: slot, queue, batch, turns.

use std::time::Duration;

use whitebeam_scheduler::Scheduler;
use whitebeam_sync::shim::atomic::{AtomicBool, Ordering};
use whitebeam_sync::shim::{Arc, Mutex};

use crate::target::{Target, burn, counter, hold_until, wait_for};

fn one_worker() -> Scheduler {
    Scheduler::builder().workers(1).build().unwrap()
}

/// A log, and a target that writes its name to it.
fn log(
    scheduler: &Scheduler,
    names: &[&'static str],
) -> (Arc<Mutex<Vec<&'static str>>>, Vec<&'static Target>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = |&name| {
        let log = Arc::clone(&log);
        Target::new(scheduler.handle(), move |_, _| log.lock().push(name))
    };
    let writers = names.iter().map(writer).collect();
    (log, writers)
}

#[test]
fn the_last_scheduled_runs_next_and_the_others_in_order() {
    let scheduler = one_worker();
    let (log, writers) = log(&scheduler, &["a", "b", "c", "back"]);
    let first = Target::new(scheduler.handle(), move |_, _| {
        for writer in &writers[..3] {
            writer.send();
        }
        writers[3].send_back();
    });
    first.send();
    wait_for("four writers", || log.lock().len() == 4);
    // c is in the slot; a and b were displaced from it, before `back` was queued.
    assert_eq!(*log.lock(), ["c", "a", "b", "back"]);
}

#[test]
fn a_batch_of_a_worker_keeps_its_order() {
    let scheduler = one_worker();
    let (log, writers) = log(&scheduler, &["a", "b", "c"]);
    let first = Target::new(scheduler.handle(), move |me, _| {
        me.handle().schedule_batch(writers.iter().filter_map(|writer| writer.add(1)));
    });
    first.send();
    wait_for("three writers", || log.lock().len() == 3);
    assert_eq!(*log.lock(), ["a", "b", "c"]);
}

#[test]
fn a_pair_that_never_stops_leaves_the_queue_its_share() {
    let scheduler = one_worker();
    let handle = scheduler.handle();
    let waiting = Target::new(handle, |_, _| ());
    let pair = Arc::new(Mutex::new(Vec::<&'static Target>::new()));
    let hops = counter();
    let hop = |peer: usize| {
        let (pair, hops) = (Arc::clone(&pair), Arc::clone(&hops));
        move |_: &Target, _: &mut whitebeam_scheduler::Turn<'_>| {
            hops.fetch_add(1, Ordering::Relaxed);
            if waiting.handled() == 0 {
                pair.lock()[peer].send();
            }
        }
    };
    pair.lock().extend([Target::new(handle, hop(1)), Target::new(handle, hop(0))]);
    let starter = Arc::clone(&pair);
    Target::new(handle, move |_, _| {
        waiting.send();
        starter.lock()[0].send();
    })
    .send();
    wait_for("the one in the queue", || waiting.handled() == 1);
    let hops = hops.load(Ordering::Relaxed);
    assert!(hops <= 33, "it waited for {hops} hops of the pair");
}

#[test]
fn a_turn_ends_by_messages() {
    let scheduler =
        Scheduler::builder().workers(1).budget(10).slice(Duration::from_secs(10)).build().unwrap();
    let longest = counter();
    let seen = Arc::clone(&longest);
    let target = Target::new(scheduler.handle(), move |_, turn| {
        seen.fetch_max(u64::from(turn.messages()) + 1, Ordering::Relaxed);
    });
    scheduler.handle().schedule_batch(target.add(1_000));
    wait_for("all messages", || target.handled() == 1_000);
    assert_eq!(longest.load(Ordering::Relaxed), 10);
}

#[test]
fn an_outside_send_waits_a_slice_behind_a_busy_worker() {
    let scheduler = one_worker();
    let handle = scheduler.handle();
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_over);
    // It always has work, until the test is over.
    let myself = Arc::new(Mutex::new(None::<&'static Target>));
    let me = Arc::clone(&myself);
    let hog = Target::new(handle, move |_, _| {
        burn(Duration::from_micros(20));
        if let (Some(me), false) = (*me.lock(), stop.load(Ordering::Relaxed)) {
            me.send();
        }
    });
    *myself.lock() = Some(hog);
    let ran_at = counter();
    let seen = Arc::clone(&ran_at);
    let probe = Target::new(handle, move |_, _| seen.store(hog.handled(), Ordering::Release));
    hog.send();
    wait_for("the hog to start", || hog.handled() > 100);
    // A turn of the hog is 3 messages once it is marked slow. This thread may be late between its look and its
    // send, so one such probe is enough; behind an untimed turn there would be none below 128.
    wait_for("a probe that runs within 16 messages of the hog", || {
        let (before, round) = (hog.handled(), probe.handled() + 1);
        probe.send();
        assert!(
            hold_until(|| probe.handled() == round && ran_at.load(Ordering::Acquire) >= before)
        );
        ran_at.load(Ordering::Acquire) - before <= 16
    });
    is_over.store(true, Ordering::Relaxed);
}

#[test]
fn a_stuck_worker_loses_its_queue_and_then_its_slot() {
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    let handle = scheduler.handle();
    let (queued, slot) = (Target::new(handle, |_, _| ()), Target::new(handle, |_, _| ()));
    let rescued = counter();
    let seen = Arc::clone(&rescued);
    // It does not return until both were run by somebody else.
    Target::new(handle, move |_, _| {
        queued.send();
        slot.send();
        let is_rescued = hold_until(|| queued.handled() == 1 && slot.handled() == 1);
        seen.store(1 + u64::from(is_rescued), Ordering::Release);
    })
    .send();
    wait_for("the stuck handler's end", || rescued.load(Ordering::Acquire) != 0);
    assert_eq!(rescued.load(Ordering::Acquire), 2, "queue or slot stayed behind a stuck handler");
    let stolen: u64 = handle.metrics().iter().map(|worker| worker.stolen).sum();
    assert!(stolen >= 2, "{:?}", handle.metrics());
}

/// The other worker may sleep for good when this one begins: what is made runnable there must wake it,
/// although it goes to the slot and nothing else is queued.
#[test]
fn a_single_runnable_does_not_wait_behind_a_long_run() {
    let scheduler = Scheduler::builder().workers(2).build().expect("threads to start");
    let handle = scheduler.handle();
    for _ in 0..20 {
        let ran = counter();
        let peer = Target::new(handle, {
            let ran = ran.clone();
            move |_, _| ran.store(1, Ordering::Release)
        });
        let helped = counter();
        let hog = Target::new(handle, {
            let helped = helped.clone();
            move |_, _| {
                peer.send();
                let is_so = hold_until(|| ran.load(Ordering::Acquire) == 1);
                helped.store(1 + u64::from(is_so), Ordering::Release);
            }
        });
        hog.send();
        wait_for("the hog to end", || helped.load(Ordering::Acquire) != 0);
        assert_eq!(helped.load(Ordering::Acquire), 2, "nobody ran what waited behind the hog");
    }
}

#[test]
fn a_batch_from_outside_spreads_over_the_workers() {
    let scheduler = Scheduler::builder().workers(2).build().unwrap();
    let workers = Arc::new(Mutex::new(vec![0_u64; 2]));
    let targets: Vec<_> = (0..2_000)
        .map(|_| {
            let workers = Arc::clone(&workers);
            Target::new(scheduler.handle(), move |_, turn| {
                workers.lock()[turn.worker()] += 1;
                burn(Duration::from_micros(50));
            })
        })
        .collect();
    scheduler.handle().schedule_batch(targets.iter().filter_map(|target| target.add(1)));
    wait_for("all of the batch", || targets.iter().all(|target| target.handled() == 1));
    let shares = workers.lock().clone();
    // 100 ms of work: the second one joins within a millisecond or two, unless the machine keeps it away.
    assert!(shares.iter().all(|&share| share > 0), "{shares:?}");
}

#[test]
fn handles_know_their_workers() {
    let scheduler = one_worker();
    let handle = scheduler.handle().clone();
    assert_eq!((handle.workers(), handle.is_worker(), handle.worker_index()), (1, false, None));
    let inner = handle.clone();
    let task = handle.spawn(async move {
        (inner.is_worker(), inner.worker_index(), inner.choose(whitebeam_scheduler::Point::Next, 9))
    });
    assert_eq!(handle.block_on(task), (true, Some(0), 0));
    assert_ne!(handle.random(), handle.random());
    assert!(!handle.is_simulated());
}

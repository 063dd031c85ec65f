//! The hunt for lost wake-ups: workers that go to sleep at every possible moment while work comes in.
//!
//! A lost wake-up leaves a message that nobody handles although a worker sleeps; each wait here would
//! then run into its deadline. The pauses are drawn so that sends meet searching, napping, sleeping
//! and resting workers, and the edges between.

use std::time::{Duration, Instant};

use whitebeam_scheduler::{Scheduler, Seeded};
use whitebeam_sync::shim::Arc;
use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};
use whitebeam_sync::shim::thread;

use crate::target::{PATIENCE, Target, burn, counter, hold_until, wait_for};

/// Time one test may take; it stops in the middle of its rounds then.
const LENGTH: Duration = Duration::from_secs(3);

/// More than there are processors as well: threads are then preempted at every step of the protocols.
const WORKERS: [usize; 4] = [1, 2, 4, 64];

fn scheduler(workers: usize) -> Scheduler {
    Scheduler::builder().workers(workers).build().unwrap()
}

/// Nothing, a spin, or a sleep: up to 300 us, around the moments when workers nap and park.
fn pause(random: &mut Seeded) {
    let drawn = random.next_u64();
    let length = Duration::from_nanos((drawn >> 8) % 150_000);
    match drawn % 8 {
        0..4 => {}
        4..7 => burn(length),
        _ => thread::sleep(length * 2),
    }
}

#[test]
fn one_message_at_a_time_from_outside() {
    for workers in WORKERS {
        let scheduler = scheduler(workers);
        let target = Target::new(scheduler.handle(), |_, _| ());
        let mut random = Seeded::new(workers as u64);
        let begun = Instant::now();
        let mut sent = 0;
        while begun.elapsed() < LENGTH / 3 {
            pause(&mut random);
            target.send();
            sent += 1;
            assert!(hold_until(|| target.handled() == sent), "lost {sent}: {:?}", scheduler);
        }
    }
}

#[test]
fn two_messages_need_two_workers() {
    for workers in [2, 4] {
        let scheduler = scheduler(workers);
        let meetings = counter();
        // Each of the two waits inside its handler until the other one runs.
        let meet = |meetings: &Arc<AtomicU64>| {
            let meetings = Arc::clone(meetings);
            move |_: &Target, _: &mut whitebeam_scheduler::Turn<'_>| {
                let mine = meetings.fetch_add(1, Ordering::AcqRel) / 2;
                let has_met = hold_until(|| meetings.load(Ordering::Acquire) >= 2 * (mine + 1));
                assert!(has_met, "nobody came to meeting {mine}");
            }
        };
        let pair = [0, 1].map(|_| Target::new(scheduler.handle(), meet(&meetings)));
        let mut random = Seeded::new(workers as u64);
        let begun = Instant::now();
        let mut rounds = 0;
        while begun.elapsed() < LENGTH / 3 {
            pause(&mut random);
            pair[0].send();
            pair[1].send();
            rounds += 1;
            let is_over = || pair.iter().all(|target| target.handled() == rounds);
            assert!(hold_until(is_over), "lost in round {rounds}: {:?}", scheduler);
            wait_for("both to leave the meeting", || {
                meetings.load(Ordering::Acquire) == 2 * rounds
            });
        }
    }
}

#[test]
fn a_busy_worker_is_helped_each_time() {
    for workers in [2, 3, 4] {
        let scheduler = scheduler(workers);
        let helped = Target::new(scheduler.handle(), |_, _| ());
        let filler = Target::new(scheduler.handle(), |_, _| ());
        let lost = counter();
        let count = Arc::clone(&lost);
        // It displaces `helped` into its queue, and waits for it without returning.
        let busy = Target::new(scheduler.handle(), move |_, _| {
            let before = helped.handled();
            helped.send();
            filler.send();
            if !hold_until(|| helped.handled() > before) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut random = Seeded::new(workers as u64);
        let begun = Instant::now();
        let mut rounds = 0;
        while begun.elapsed() < LENGTH / 3 {
            pause(&mut random);
            busy.send();
            rounds += 1;
            wait_for("the busy one", || busy.handled() == rounds && filler.handled() == rounds);
        }
        assert_eq!(lost.load(Ordering::Relaxed), 0, "no help in {PATIENCE:?}");
    }
}

#[test]
fn many_senders_outside_and_inside() {
    const TARGETS: u64 = 64;
    const SENDERS: u64 = 3;
    for workers in WORKERS {
        let scheduler = scheduler(workers);
        let (number, handled) = (counter(), counter());
        let sent = counter();
        // A message with hops left goes on to another target: sends from workers.
        let ring: Arc<whitebeam_sync::shim::Mutex<Vec<&'static Target>>> = Arc::default();
        for at in 0..TARGETS {
            let (numbers, handled) = (Arc::clone(&number), Arc::clone(&handled));
            let (sent, others) = (Arc::clone(&sent), Arc::clone(&ring));
            let target = Target::new(scheduler.handle(), move |_, _| {
                let number = numbers.fetch_add(1, Ordering::AcqRel);
                if number % 4 != 0 {
                    let to = (at + number) % TARGETS;
                    let to = others.lock()[to as usize];
                    sent.fetch_add(1, Ordering::AcqRel);
                    if number % 3 == 0 { to.send_back() } else { to.send() }
                }
                // Behind what it sent: as many handled as sent means that nothing is under way.
                handled.fetch_add(1, Ordering::AcqRel);
            });
            ring.lock().push(target);
        }
        let targets = ring.lock().clone();
        let threads: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (targets, sent) = (targets.clone(), Arc::clone(&sent));
                thread::spawn(move || {
                    let mut random = Seeded::new(sender);
                    let begun = Instant::now();
                    while begun.elapsed() < LENGTH / 3 {
                        pause(&mut random);
                        sent.fetch_add(1, Ordering::AcqRel);
                        targets[(random.next_u64() % TARGETS) as usize].send();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        wait_for("all that was sent", || {
            handled.load(Ordering::Acquire) == sent.load(Ordering::Acquire)
        });
        let total: u64 = targets.iter().map(|target| target.handled()).sum();
        assert_eq!(total, sent.load(Ordering::Acquire), "each message was handled once");
    }
}

#[test]
fn timers_and_sends_wake_each_other() {
    for workers in WORKERS {
        let scheduler = scheduler(workers);
        let handle = scheduler.handle().clone();
        let tasks: Vec<_> = (0..8_u64)
            .map(|seed| {
                let inner = handle.clone();
                handle.spawn(async move {
                    let mut random = Seeded::new(seed);
                    let begun = inner.now();
                    let mut slept = 0_u32;
                    while inner.now() - begun < LENGTH / 6 {
                        let length = Duration::from_micros(random.next_u64() % 2_000);
                        let until = inner.now() + length;
                        inner.sleep_until(until).await;
                        assert!(inner.now() >= until, "a timer was early");
                        slept += 1;
                        if slept.is_multiple_of(7) {
                            burn(Duration::from_micros(200));
                        }
                    }
                    slept
                })
            })
            .collect();
        for task in tasks {
            assert!(handle.block_on(task) > 10);
        }
    }
}

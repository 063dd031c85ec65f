//! Blocking closures of actors, and of who is none: results, ends, limits, and what a shutdown says of them.

use crate::support;

use std::{
    collections::BTreeSet,
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{
        Event, Events, OnDrop, Plain, Script, ask, assert_panic, assert_reason, hang, later, note,
        now, plain, settled,
    },
    threaded,
};
use whitebeam_actor::{
    BlockingTask, Builder, CallError, During, ExitReason, Handle, Mailbox, Refusal, Reply, Runtime,
    SpawnOptions, Unfinished, oneshot,
};

/// How long a closure waits before it gives up, so that a failed test comes back.
const PATIENCE: Duration = Duration::from_secs(60);

/// What closures wait behind until the test lets them go.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut is_open = self.0.0.lock();
        while !*is_open && !self.0.1.wait_for(&mut is_open, PATIENCE).timed_out() {}
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.open();
        }
    }
}

/// A runtime of one worker and so many threads for blocking work.
fn with_threads(threads: usize) -> Builder {
    Runtime::builder().workers(1).blocking_threads(threads)
}

/// Waits until it is so, in the runtime's time.
async fn until(rt: &Handle, is_so: impl Fn() -> bool) {
    while !is_so() {
        rt.sleep(Duration::from_micros(100)).await;
    }
}

/// Occupies a thread until the gate is open.
async fn occupy(rt: &Handle, gate: &Gate) -> BlockingTask<()> {
    let has_begun = Arc::new(AtomicBool::new(false));
    let (begun, gate) = (has_begun.clone(), gate.clone());
    let task = rt.spawn_blocking(move || {
        begun.store(true, Relaxed);
        gate.pass();
    });
    until(rt, || has_begun.load(Relaxed)).await;
    task
}

#[test]
fn a_result_is_a_message_and_the_actor_goes_on_meanwhile() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        for n in 0..20 {
            let tell = events.clone();
            ask(&puppet, move |cx| cx.blocking(move || n * 2, move |n| note(&tell, n))).await;
        }
        let mut all = BTreeSet::new();
        for _ in 0..20 {
            all.insert(events.note().await);
        }
        assert_eq!(all, (0..20).map(|n| n * 2).collect());
        // A handler that is suspended holds up the message only.
        let (reply, answer) = oneshot();
        let tell = events.clone();
        puppet
            .cast(later(move |_, cx| {
                cx.blocking(move || reply.send(7), move |()| note(&tell, 8));
                Box::pin(async move {
                    assert_eq!(answer.await.ok(), Some(7));
                    Ok(())
                })
            }))
            .unwrap();
        assert_eq!(events.note().await, 8);
    });
}

#[test]
fn a_body_receives_what_its_closures_give() {
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        rt.spawn_fn(move |mut mailbox: Mailbox<u64>| async move {
            mailbox.blocking(|| 40, |n| n);
            mailbox.blocking(|| 2, |n| n);
            reply.send(mailbox.recv().await + mailbox.recv().await);
            Ok(())
        });
        assert_eq!(answer.await.ok(), Some(42));
    });
}

#[test]
fn a_closure_may_call_actors_and_wait() {
    everywhere(|rt| async move {
        let (events, puppet, server) = (Events::new(), plain(&rt).await, plain(&rt).await);
        let tell = events.clone();
        ask(&puppet, move |cx| {
            let work = move || {
                let answer = server.call(|reply: Reply<u64>| {
                    now(move |_| {
                        reply.send(5);
                        Ok(())
                    })
                });
                answer.blocking()
            };
            cx.blocking(work, move |answer| note(&tell, answer.unwrap_or(0)));
        })
        .await;
        assert_eq!(events.note().await, 5);
    });
}

#[test]
fn a_panic_of_the_closure_or_of_its_function_ends_the_actor() {
    expect_panics();
    everywhere(|rt| async move {
        for in_function in [false, true] {
            let puppet = plain(&rt).await;
            let gone = rt.down(&puppet);
            puppet
                .cast(now(move |cx| {
                    cx.blocking(
                        move || assert!(in_function, "{EXPECTED}"),
                        |()| panic!("{EXPECTED}"),
                    );
                    Ok(())
                }))
                .unwrap();
            assert_panic(&gone.await.reason, EXPECTED);
            assert_eq!(rt.crashes().pop().map(|crash| crash.during), Some(During::Work));
        }
        assert_eq!(rt.blocking_metrics().panics, 1);
    });
}

#[test]
fn the_place_of_a_panic_is_known_although_it_was_on_another_thread() {
    for rt in [Runtime::simulated(1).unwrap(), with_threads(1).quiet_crashes().build().unwrap()] {
        let reason = rt.block_on(async {
            let puppet = plain(&rt).await;
            let gone = rt.down(&puppet);
            ask(&puppet, |cx| cx.blocking(|| panic!("a closure's"), |()| now(|_| Ok(())))).await;
            gone.await.reason
        });
        let ExitReason::Panic(info) = reason else { panic!("{reason:?} is not a panic") };
        assert_eq!(info.message(), "a closure's");
        let place = info.location().expect("its place");
        assert!(place.contains("blocking.rs"), "{place}");
    }
}

/// What has not begun when its actor ends: dropped with the actor's other work, by the actor's end.
#[test]
fn what_has_not_begun_is_dropped_before_anybody_hears() {
    for workers in [1, 4] {
        let rt = with_threads(1).workers(workers).build().unwrap();
        rt.block_on(async {
            let gate = Gate::default();
            let busy = occupy(&rt, &gate).await;
            for reason in [ExitReason::Kill, ExitReason::Shutdown] {
                let events = Events::new();
                let puppet = rt.start::<Plain>(Script::new().tell_drop(&events)).await.unwrap();
                let tell = events.clone();
                ask(&puppet, move |cx| {
                    for n in 0..3 {
                        let dropped = tell.clone();
                        let held = OnDrop::new(move || dropped.send(Event::Note(n)));
                        let ran = tell.clone();
                        let work = move || {
                            ran.send(Event::Note(99));
                            drop(held);
                        };
                        cx.blocking(work, |()| now(|_| Ok(())));
                    }
                })
                .await;
                assert_eq!(rt.blocking_metrics().queued, 3);
                let gone = rt.down(&puppet);
                rt.exit(&puppet, reason);
                gone.await;
                for n in 0..3 {
                    assert_eq!(events.note().await, n);
                }
                let rest = events.take();
                assert!(matches!(rest[..], [Event::Dropped]), "{rest:?}");
                assert_eq!(rt.blocking_metrics().queued, 0);
            }
            gate.open();
            busy.await;
            assert_eq!(rt.blocking_metrics().done, 1);
            assert_eq!(rt.blocking_metrics().cancelled, 6);
        });
    }
}

/// The form chosen: the blocking section is a closure on a thread of the pool. Its result, which is what it sends to
/// its process, comes to nothing.
#[test]
fn proc_058_a_blocked_process_is_killed() {
    threaded(|rt| async move {
        let (events, gate) = (Events::new(), Gate::default());
        let puppet = rt
            .with(SpawnOptions::new().name("blocked"))
            .start::<Plain>(Script::new().tell_drop(&events))
            .await
            .unwrap();
        let (watcher, to) = (plain(&rt).await, puppet.pid());
        let (tell, passed, dropped) = (events.clone(), gate.clone(), events.clone());
        ask(&puppet, move |cx| {
            let work = move || {
                passed.pass();
                OnDrop::new(move || dropped.send(Event::Note(2)))
            };
            cx.blocking(work, move |_| note(&tell, 1));
        })
        .await;
        until(&rt, || rt.blocking_metrics().busy == 1).await;
        let (linked, other) = (events.clone(), to);
        ask(&watcher, move |cx| {
            support::puppet::trap(cx, &linked);
            cx.link(other);
            cx.monitor(other, support::puppet::down(&linked, 3));
        })
        .await;
        settled(&puppet).await;
        rt.exit(&puppet, ExitReason::Kill);
        events.dropped().await;
        let (mut downs, mut exits) = (0, 0);
        for _ in 0..2 {
            let reason = match events.next().await {
                Event::Down(3, down) => {
                    downs += 1;
                    down.reason
                }
                Event::Exit(exit) => {
                    exits += 1;
                    exit.reason
                }
                other => panic!("{other:?}"),
            };
            assert_reason(&reason, &ExitReason::Killed);
        }
        assert_eq!((downs, exits), (1, 1));
        // All of it while the closure goes on.
        assert_eq!(rt.blocking_metrics().busy, 1);
        assert!(!rt.is_alive(to));
        assert_eq!(rt.whereis("blocked"), None);
        rt.register("blocked", &watcher).unwrap();
        gate.open();
        assert_eq!(events.note().await, 2, "what it returns is dropped, on its thread");
        until(&rt, || rt.blocking_metrics().busy == 0).await;
        events.quiet(&rt).await;
    });
}

#[test]
fn a_panic_after_the_end_of_the_actor_is_counted() {
    expect_panics();
    threaded(|rt| async move {
        let (gate, puppet) = (Gate::default(), plain(&rt).await);
        let passed = gate.clone();
        ask(&puppet, move |cx| {
            let work = move || {
                passed.pass();
                panic!("{EXPECTED}");
            };
            cx.blocking(work, |()| now(|_| Ok(())));
        })
        .await;
        until(&rt, || rt.blocking_metrics().busy == 1).await;
        let gone = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Shutdown);
        assert_reason(&gone.await.reason, &ExitReason::Shutdown);
        gate.open();
        until(&rt, || rt.blocking_metrics().done == 1).await;
        assert_eq!(rt.blocking_metrics().panics, 1);
        assert_eq!(rt.crash_counts().total, 0);
    });
}

#[test]
fn threads_come_as_they_are_needed_up_to_the_limit_and_leave() {
    let rt =
        with_threads(2).name("few").blocking_keep_alive(Duration::from_millis(1)).build().unwrap();
    rt.block_on(async {
        assert_eq!(rt.blocking_metrics().threads, 0);
        let (events, puppet, gate) = (Events::new(), plain(&rt).await, Gate::default());
        for _ in 0..5 {
            let (tell, gate) = (events.clone(), gate.clone());
            ask(&puppet, move |cx| {
                let work = move || {
                    gate.pass();
                    std::thread::current()
                        .name()
                        .is_some_and(|name| name.starts_with("few-blocking-"))
                };
                cx.blocking(work, move |is_named| note(&tell, u64::from(is_named)));
            })
            .await;
        }
        until(&rt, || rt.blocking_metrics().busy == 2).await;
        let metrics = rt.blocking_metrics();
        assert_eq!((metrics.threads, metrics.queued), (2, 3));
        gate.open();
        for _ in 0..5 {
            assert_eq!(events.note().await, 1);
        }
        let begun = rt.uptime();
        until(&rt, || rt.blocking_metrics().threads == 0).await;
        assert!(rt.uptime() - begun < Duration::from_secs(5), "long after the keep-alive");
    });
}

#[test]
fn a_full_queue_refuses_and_gives_back() {
    let rt = with_threads(1).blocking_queue(1).build().unwrap();
    rt.block_on(async {
        let (events, puppet, gate) = (Events::new(), plain(&rt).await, Gate::default());
        let busy = occupy(&rt, &gate).await;
        let tell = events.clone();
        let refused = ask(&puppet, move |cx| {
            let told = tell.clone();
            cx.try_blocking(|| 1, move |n| note(&told, n)).expect("a place in the queue");
            cx.try_blocking(|| 2, move |n| note(&tell, n)).expect_err("none any more")
        })
        .await;
        assert!(matches!(refused.why(), Refusal::Full));
        let (work, f) = refused.into_work();
        assert_eq!(work(), 2);
        // As an error it ends an actor, if that is what is wanted.
        let gone = rt.down(&puppet);
        puppet
            .cast(now(|cx| {
                cx.try_blocking(|| 3, |_| now(|_| Ok(())))?;
                Ok(())
            }))
            .unwrap();
        let reason = gone.await.reason;
        assert!(reason.to_string().contains("its queue is full"), "{reason}");
        let other = plain(&rt).await;
        ask(&other, move |cx| cx.blocking(work, f)).await;
        assert!(rt.try_spawn_blocking(|| ()).is_err());
        gate.open();
        busy.await;
        assert_eq!(events.note().await, 2, "the other one ended with its actor");
        assert_eq!(rt.blocking_metrics().refused, 3);
    });
}

#[test]
fn who_is_no_actor_awaits_a_closure() {
    everywhere(|rt| async move {
        let task = rt.spawn_blocking(|| 42);
        assert_eq!(task.await, 42);
        let task = rt.try_spawn_blocking(|| 43).expect("a place");
        assert_eq!(task.await, 43);
        let fails = || -> u32 { panic::resume_unwind(Box::new(7_u8)) };
        match rt.spawn_blocking(fails).outcome().await {
            Err(Unfinished::Panicked(payload)) => assert_eq!(payload.downcast_ref(), Some(&7_u8)),
            other => panic!("{other:?}"),
        }
        // In a handler as well, which holds up its mailbox.
        let puppet = plain(&rt).await;
        let inner = rt.clone();
        let answer = puppet.call(|reply: Reply<u64>| {
            later(move |_, _| {
                Box::pin(async move {
                    reply.send(inner.spawn_blocking(|| 8).await);
                    Ok(())
                })
            })
        });
        assert_eq!(answer.await.unwrap(), 8);
    });
}

#[test]
fn a_shutdown_waits_for_what_runs_and_says_what_it_leaves() {
    let gate = Gate::default();
    let rt = with_threads(2).build().unwrap();
    let report = rt.block_on(async {
        let puppet = plain(&rt).await;
        let passed = gate.clone();
        ask(&puppet, move |cx| cx.blocking(move || passed.pass(), |()| now(|_| Ok(())))).await;
        until(&rt, || rt.blocking_metrics().busy == 1).await;
        rt.shutdown(Duration::from_millis(30)).await
    });
    assert_eq!((report.clean, report.killed, report.blocking), (1, 0, 1));
    assert!(!report.is_clean());
    assert!(report.to_string().contains("1 blocking closures did not return"), "{report}");
    gate.open();
    let report = rt.block_on(async {
        // It waits for its end, and not for its time.
        let passes = Gate::default();
        let busy = occupy(&rt, &passes).await;
        let opener = std::thread::spawn(move || passes.open());
        let report = rt.shutdown(PATIENCE).await;
        opener.join().unwrap();
        busy.await;
        report
    });
    assert!(report.is_clean() && report.elapsed < PATIENCE, "{report}");
}

#[test]
fn a_closure_may_shut_its_runtime_down_and_drop_it() {
    let rt = with_threads(2).build().unwrap();
    let (to, from) = mpsc::channel();
    let handle = rt.handle();
    handle
        .spawn_blocking(move || {
            let report = rt.block_on(rt.shutdown(PATIENCE));
            drop(rt);
            let _ = to.send(report);
        })
        .detach();
    let report = from.recv_timeout(PATIENCE).expect("the end of the runtime");
    assert!(report.is_clean() && report.elapsed < PATIENCE, "{report}");
}

#[test]
fn a_runtime_that_is_dropped_drops_what_waits() {
    let gate = Gate::default();
    let rt = with_threads(1).build().unwrap();
    let busy = rt.block_on(occupy(&rt, &gate));
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = dropped.clone();
    let held = OnDrop::new(move || _ = counted.fetch_add(1, Relaxed));
    let waiting = rt.spawn_blocking(move || drop(held));
    let opener = {
        let (gate, dropped) = (gate.clone(), dropped.clone());
        std::thread::spawn(move || {
            while dropped.load(Relaxed) == 0 {
                std::thread::yield_now();
            }
            gate.open();
        })
    };
    drop(rt);
    opener.join().unwrap();
    assert!(busy.is_finished() && waiting.is_finished());
}

/// One actor, three closures, three notes to itself; the order in which they come.
fn order(seed: u64) -> Vec<u64> {
    let rt = Runtime::simulated(seed).expect("a tag");
    rt.block_on(async {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let tell = events.clone();
        ask(&puppet, move |cx| {
            for n in 0..3 {
                let tell = tell.clone();
                cx.blocking(move || n, move |n| note(&tell, n));
            }
        })
        .await;
        for n in 3..6 {
            puppet.cast(note(&events, n)).expect("it lives");
            settled(&puppet).await;
        }
        let mut order = Vec::new();
        while order.len() < 6 {
            order.push(events.note().await);
        }
        order
    })
}

#[test]
fn a_simulated_program_with_closures_is_repeated_from_its_seed() {
    let orders: BTreeSet<_> = (0..100).map(order).collect();
    assert!(orders.len() > 20, "{} orders", orders.len());
    for seed in 0..20 {
        assert_eq!(order(seed), order(seed));
    }
}

#[test]
fn a_call_that_a_closure_waits_in_ends_with_the_callee() {
    everywhere(|rt| async move {
        let (events, puppet, server) = (Events::new(), plain(&rt).await, plain(&rt).await);
        server.cast(hang(&events, ())).unwrap();
        events.hanging().await;
        let (tell, to) = (events.clone(), server.clone());
        ask(&puppet, move |cx| {
            let work = move || {
                to.call(|reply: Reply<()>| {
                    now(move |_| {
                        reply.send(());
                        Ok(())
                    })
                })
                .timeout(Duration::from_millis(2))
                .blocking()
            };
            cx.blocking(work, move |answer| {
                note(&tell, u64::from(matches!(answer, Err(CallError::Timeout { .. }))))
            });
        })
        .await;
        assert_eq!(events.note().await, 1);
        rt.exit(&server, ExitReason::Kill);
    });
}

//! The end of a runtime: in order, at the deadline, with a handler that never returns, by dropping it; and
//! what is left of it afterwards.
#![allow(clippy::disallowed_methods, reason = "measures how long a shutdown takes on threads")]

use crate::support;

use std::{
    future::{IntoFuture, pending},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::join};
use support::{
    EXPECTED, everywhere, expect_panics, now as time,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Script, Tidy, ask, assert_panic, assert_reason, hang,
        later, note, now, plain, settled, stuck, trap,
    },
    scaled, threaded,
};
use whitebeam_actor::{
    ActorRef, CallError, ExitReason, Handle, Reply, Runtime, SpawnOptions, StartError, Stop,
    StopKind, oneshot,
};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn all_end_in_order() {
    everywhere(|rt| async move {
        let events = Events::new();
        let held = Arc::new(());
        for n in 0..scaled(300, 30) {
            let inside = held.clone();
            if n % 3 == 0 {
                let script = Script::new().tell_terminate(&events).on_drop(move || drop(inside));
                rt.spawn::<Tidy>(script);
            } else {
                let puppet = rt.spawn::<Plain>(Script::new().on_drop(move || drop(inside)));
                if n % 3 == 1 {
                    puppet.cast(later(|_, _| pending().boxed())).expect("cast");
                }
                let unread = held.clone();
                puppet
                    .cast(now(move |_| {
                        drop(unread);
                        Ok(())
                    }))
                    .expect("cast");
            }
        }
        let begun = time(&rt);
        let report = rt.shutdown(LONG).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.clean, report.killed, report.stuck.len()), (scaled(300, 30), 0, 0));
        assert!(time(&rt) - begun < LONG.as_nanos() as u64, "it waited for the deadline");
        assert!(rt.processes().is_empty());
        // States, suspended handlers, unread messages and arguments: all dropped when it is ready.
        assert_eq!(Arc::strong_count(&held), 1);
        for event in events.take() {
            let Event::Terminate(reason) = event else { panic!("{event:?}") };
            assert_reason(&reason, &ExitReason::Shutdown);
        }
    });
}

#[test]
fn an_empty_runtime_ends_at_once() {
    everywhere(|rt| async move {
        let report = rt.shutdown(LONG).await;
        assert!(report.is_clean() && report.clean == 0, "{report}");
        // And again.
        let (first, second) = join(rt.shutdown(LONG), rt.shutdown(Duration::ZERO)).await;
        assert!(first.is_clean() && second.is_clean());
    });
}

#[test]
fn two_shutdowns_at_once_both_come_back() {
    everywhere(|rt| async move {
        for _ in 0..50 {
            rt.spawn::<Tidy>(Script::new());
        }
        let (first, second) = join(rt.shutdown(LONG), rt.shutdown(LONG)).await;
        assert!(first.is_clean() && second.is_clean(), "{first} / {second}");
        assert_eq!(first.clean + second.clean, 50);
        assert!(rt.processes().is_empty());
    });
}

#[test]
fn a_supervised_tree_ends_from_its_leaves() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (told, inner) = (events.clone(), events.clone());
        let script = Script::new()
            .supervise(|_, _| {})
            .init_now(move |cx| {
                for _ in 0..20 {
                    let child = Script::new().tell_terminate(&inner);
                    cx.spawn_child::<Tidy>(child, SpawnOptions::new(), None, None);
                }
                Ok(())
            })
            .terminate(move |_, cx| {
                async move {
                    cx.stop_children(Stop::Infinity).await;
                    told.send(Event::Note(1));
                }
                .boxed()
            });
        rt.start::<Tidy>(script).await.expect("start");
        let report = rt.shutdown(LONG).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.clean, 1, "the root; its children are its own");
        let told = events.take();
        assert!(matches!(told.last(), Some(Event::Note(1))), "{told:?}");
        // Those whose `init` had not run have nothing to terminate.
        assert!(told.len() <= 21);
    });
}

#[test]
fn who_ignores_it_is_killed_at_the_deadline() {
    everywhere(|rt| async move {
        let (events, dropped) = (Events::new(), Events::new());
        // Traps exits, and its handler does not end.
        let trapping = rt
            .start::<Plain>(Script::new().trap(&events).tell_drop(&dropped))
            .await
            .expect("start");
        trapping.cast(hang(&events, ())).expect("cast");
        events.hanging().await;
        // Its `terminate` does not end.
        let script = Script::new().tell_drop(&dropped).terminate(|_, _| pending().boxed());
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        let ends = [rt.down(&trapping), rt.down(&tidy)];
        for _ in 0..5 {
            rt.spawn::<Plain>(Script::new());
        }
        let begun = time(&rt);
        let report = rt.shutdown(Duration::from_millis(40)).await;
        assert!(time(&rt) - begun >= 40_000_000);
        assert!(report.elapsed >= Duration::from_millis(40));
        assert_eq!((report.clean, report.killed, report.stuck.len()), (5, 2, 0), "{report}");
        assert!(!report.is_clean());
        for end in ends {
            assert_reason(&end.await.reason, &ExitReason::Killed);
        }
        dropped.dropped().await;
        dropped.dropped().await;
    });
}

/// Processes that nobody supervises are named if they end in another way than they were told to.
#[test]
fn who_crashes_at_the_end_is_named() {
    expect_panics();
    everywhere(|rt| async move {
        for _ in 0..3 {
            plain(&rt).await;
        }
        let script = Script::new().terminate(|_, _| panic!("{EXPECTED}"));
        let bomb = rt.start::<Tidy>(script).await.expect("start");
        let report = rt.shutdown(LONG).await;
        assert_eq!((report.clean, report.crashed, report.killed), (3, 1, 0), "{report}");
        let [one] = &report.exceptions[..] else { panic!("{report}") };
        assert_eq!((one.pid, one.how), (bomb.pid(), StopKind::Crashed));
        assert_panic(&one.reason, EXPECTED);
        assert!(report.supervisors.is_empty() && report.is_clean(), "{report}");
    });
}

/// A whole tree that does not end: each of it is killed, the parent's children too.
#[test]
fn a_tree_that_ignores_it_is_killed_whole() {
    everywhere(|rt| async move {
        let events = Events::new();
        let told = events.clone();
        let script = Script::new()
            .supervise(|_, _| {})
            .init_now(move |cx| {
                for _ in 0..10 {
                    let told = told.clone();
                    let child =
                        Script::new().terminate(|_, _| pending().boxed()).init_now(move |_| {
                            told.send(Event::Note(1));
                            Ok(())
                        });
                    cx.spawn_child::<Tidy>(child, SpawnOptions::new(), None, None);
                }
                Ok(())
            })
            .terminate(|_, cx| {
                async move {
                    cx.stop_children(Stop::Infinity).await;
                }
                .boxed()
            });
        rt.start::<Tidy>(script).await.expect("start");
        for _ in 0..3 {
            plain(&rt).await;
        }
        // Those in their `init` would end at once.
        for _ in 0..10 {
            assert_eq!(events.note().await, 1);
        }
        let report = rt.shutdown(Duration::from_millis(30)).await;
        assert_eq!((report.clean, report.killed, report.stuck.len()), (3, 11, 0), "{report}");
        assert!(rt.processes().is_empty());
    });
}

/// It never returns: the report names it, and the call comes back, also when it has the only worker.
#[test]
fn a_handler_that_never_returns_is_named() {
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads");
        let events = Events::new();
        let (message, release) = stuck(&events);
        let puppet = rt.spawn::<Plain>(Script::new());
        puppet.cast(message).expect("cast");
        let other = rt.spawn::<Plain>(Script::new());
        rt.block_on(async { assert_eq!(events.note().await, 0) });
        let begun = Instant::now();
        let report = rt.block_on(rt.shutdown(Duration::from_millis(30)));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        let named: Vec<_> = report.stuck.iter().filter(|info| info.pid == puppet.pid()).collect();
        assert_eq!(named.len(), 1, "{report}");
        assert!(report.to_string().contains("Puppet"), "{report}");
        assert!(!report.is_clean() && puppet.is_alive());
        if workers > 1 {
            assert_eq!((report.clean, report.stuck.len()), (1, 1), "{report}");
            assert!(!other.is_alive());
        }
        // It takes nothing more in than what comes before it ends.
        release.send(()).expect("the handler waits");
        rt.block_on(async {
            assert!(matches!(
                rt.down(&puppet).await.reason,
                ExitReason::Killed | ExitReason::Shutdown | ExitReason::NoProc
            ))
        });
    }
}

/// Dropped while a handler does not return: bounded, and nothing is freed under the handler's feet.
#[test]
fn a_runtime_that_is_dropped_does_not_wait_for_ever() {
    let rt = Runtime::builder().workers(1).build().expect("threads");
    let (events, ended) = (Events::new(), Events::new());
    let (message, release) = stuck(&events);
    let puppet = rt.spawn::<Plain>(Script::new().tell_drop(&ended));
    puppet.cast(message).expect("cast");
    let (told, waiting) = (events.clone(), rt.handle());
    waiting.block_on_note(&told);
    let begun = Instant::now();
    drop(rt);
    let took = begun.elapsed();
    assert!(took < whitebeam_actor::DROP_WAIT + Duration::from_secs(2), "{took:?}");
    release.send(()).expect("the handler waits");
    drop(puppet);
}

/// Blocks a plain thread until an event has come.
trait BlockOn {
    fn block_on_note(&self, events: &Events);
}
impl BlockOn for Handle {
    fn block_on_note(&self, events: &Events) {
        while events.take().is_empty() {
            thread::yield_now();
        }
    }
}

#[test]
fn sends_and_calls_get_an_answer_at_any_time() {
    let rounds = scaled(30, 3);
    for workers in [1, 4] {
        for round in 0..rounds {
            let rt = Runtime::builder().workers(workers).build().expect("threads");
            let puppets: Vec<_> = (0..20).map(|_| rt.spawn::<Plain>(Script::new())).collect();
            let (begun, first) = mpsc::channel();
            let threads: Vec<_> = (0..3)
                .map(|n| {
                    let (puppets, handle, begun) = (puppets.clone(), rt.handle(), begun.clone());
                    thread::spawn(move || {
                        loop {
                            let mut refused = 0;
                            for puppet in &puppets {
                                if puppet.cast(now(|_| Ok(()))).is_err() {
                                    refused += 1;
                                }
                                let call = puppet.call(|reply: Reply<u32>| {
                                    now(move |_| {
                                        reply.send(1);
                                        Ok(())
                                    })
                                });
                                match call.timeout(LONG).blocking() {
                                    Ok(answer) => assert_eq!(answer, 1),
                                    Err(CallError::NoProc) => refused += 1,
                                    Err(CallError::Exit(reason)) => {
                                        assert!(
                                            matches!(
                                                reason,
                                                ExitReason::Shutdown | ExitReason::Killed
                                            ),
                                            "{reason:?}"
                                        );
                                    }
                                    Err(other) => panic!("{other:?}"),
                                }
                                // What cannot be started any more is an address of nobody.
                                if n == 0 {
                                    let _ =
                                        handle.spawn::<Plain>(Script::new()).cast(now(|_| Ok(())));
                                }
                            }
                            let _ = begun.send(());
                            if refused == 2 * puppets.len() {
                                return;
                            }
                        }
                    })
                })
                .collect();
            first.recv().expect("a thread that calls");
            if round % 2 == 0 {
                let report = rt.block_on(rt.shutdown(LONG));
                assert!(report.stuck.is_empty(), "{report}");
            }
            drop(rt);
            threads.into_iter().for_each(|thread| thread.join().expect("a thread that calls"));
        }
    }
}

/// Alive, busy, suspended, with backlogs, timers, links and children, and never run.
#[test]
fn a_runtime_may_be_dropped_with_actors_alive() {
    expect_panics();
    let held = Arc::new(());
    for round in 0..scaled(30, 4) {
        let rt = if round % 5 == 4 {
            Runtime::simulated(round as u64).expect("a tag for pids")
        } else {
            Runtime::builder().workers(1 + round % 4).build().expect("threads")
        };
        let mut kept = Vec::new();
        for n in 0..60_u32 {
            let inside = held.clone();
            let script =
                Script::new().supervise(|_, _| {}).on_drop(move || drop(inside)).init_now(|cx| {
                    cx.spawn_child::<Tidy>(Script::new(), SpawnOptions::new(), None, None);
                    Ok(())
                });
            let puppet = rt.spawn::<Plain>(script);
            let unread = held.clone();
            let job = match n % 6 {
                0 => later(|_, _| pending().boxed()),
                1 => later(|_, _| {
                    std::future::poll_fn(|cx| {
                        cx.waker().wake_by_ref();
                        std::task::Poll::Pending
                    })
                    .boxed()
                }),
                2 => now(move |cx| {
                    let in_timer = unread;
                    cx.send_after(
                        Duration::ZERO,
                        now(move |_| {
                            drop(in_timer);
                            Ok(())
                        }),
                    );
                    cx.interval(Duration::from_micros(50), || now(|_| Ok(())));
                    Ok(())
                }),
                3 => now(|cx| {
                    cx.spawn_link::<Plain>(Script::new());
                    Ok(())
                }),
                4 => now(|_| panic!("{EXPECTED}")),
                _ => now(|_| Ok(())),
            };
            puppet.cast(job).expect("cast");
            for _ in 0..50 {
                let unread = held.clone();
                let _ = puppet.cast(now(move |_| {
                    drop(unread);
                    Ok(())
                }));
            }
            if n % 7 == 0 {
                kept.push(puppet);
            }
        }
        if round % 2 == 0 && round % 5 != 4 {
            rt.block_on(async { drop(plain(&rt).await) });
        }
        drop(rt);
        // All states, frames and messages are gone with it.
        assert_eq!(Arc::strong_count(&held), 1, "round {round}");
        for puppet in &kept {
            assert!(!puppet.is_alive() && puppet.info().is_none());
            assert!(puppet.cast(now(|_| Ok(()))).is_err());
        }
    }
}

/// Addresses, handles, wakers and futures of a runtime that is gone. Run under AddressSanitizer this shows
/// that they keep what they need, and under a leak checker that it is freed with the last of them.
#[test]
fn addresses_outlive_their_runtime() {
    for simulated in [false, true] {
        let rt = if simulated {
            Runtime::simulated(7).expect("a tag for pids")
        } else {
            Runtime::builder().workers(2).build().expect("threads")
        };
        let handle = rt.handle();
        let puppets: Vec<_> = (0..100).map(|_| rt.spawn::<Plain>(Script::new())).collect();
        let down = rt.down(&puppets[0]);
        let sleep = rt.sleep(Duration::from_secs(1));
        let start = rt.start::<Plain>(Script::new().init(|_| pending().boxed()));
        let mut call = puppets[1]
            .call(|reply: Reply<()>| {
                now(move |_| {
                    reply.send(());
                    Ok(())
                })
            })
            .owned()
            .into_future();
        let _ = (&mut call).now_or_never();
        let other = puppets[2].clone();
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let puppets = puppets.clone();
                thread::spawn(move || {
                    for puppet in puppets.into_iter().skip(n) {
                        let _ = puppet.cast(now(|_| Ok(())));
                        let _ = puppet.pid();
                        drop(puppet);
                    }
                })
            })
            .collect();
        drop(rt);
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("a thread that drops addresses"));
        for puppet in puppets {
            assert!(!puppet.is_alive());
            assert!(puppet.cast(now(|_| Ok(()))).is_err());
            let call = puppet.call(|reply: Reply<()>| {
                now(move |_| {
                    reply.send(());
                    Ok(())
                })
            });
            assert!(matches!(call.into_future().now_or_never(), Some(Err(CallError::NoProc))));
        }
        let reason = down.now_or_never().expect("told when it ended").reason;
        assert!(matches!(reason, ExitReason::Killed), "{reason:?}");
        let start = start.now_or_never().expect("told when it ended");
        assert!(matches!(start, Err(StartError::Exit(ExitReason::Killed))), "{start:?}");
        match call.now_or_never() {
            Some(Ok(()) | Err(CallError::Exit(_) | CallError::NoReply)) => {}
            other => panic!("{other:?}"),
        }
        // The handle still answers, and what it gives outlives it.
        let nobody = handle.spawn::<Plain>(Script::new());
        assert!(!nobody.is_alive() && handle.processes().is_empty());
        assert!(matches!(
            handle.start::<Plain>(Script::new()).now_or_never(),
            Some(Err(StartError::ShuttingDown))
        ));
        assert_reason(
            &handle.down(&nobody).now_or_never().expect("at once").reason,
            &ExitReason::NoProc,
        );
        drop(sleep);
        drop(handle);
        assert!(nobody.cast(now(|_| Ok(()))).is_err());
        drop(nobody);
        drop(other);
    }
}

/// A pid of one runtime is nobody in another, also where that one has a process in the same place.
#[test]
fn a_foreign_pid_is_nobody() {
    let one = Runtime::builder().workers(1).build().expect("threads");
    let two = Runtime::builder().workers(2).build().expect("threads");
    let three = Runtime::simulated(1).expect("a tag for pids");
    let of_one: Vec<_> = (0..20).map(|_| one.spawn::<Plain>(Script::new())).collect();
    let of_two: Vec<_> = (0..20).map(|_| two.spawn::<Plain>(Script::new())).collect();
    let of_three: Vec<_> = (0..20).map(|_| three.spawn::<Plain>(Script::new())).collect();
    for (a, b) in of_one.iter().zip(&of_two).chain(of_two.iter().zip(&of_three)) {
        assert_ne!(a.pid(), b.pid());
    }
    for puppet in &of_one {
        assert!(!two.is_alive(puppet.pid()) && two.info(puppet.pid()).is_none());
        two.exit(puppet.pid(), ExitReason::Kill);
        three.exit(puppet.pid(), ExitReason::Kill);
        let reason = two.block_on(two.down(puppet.pid())).reason;
        assert_reason(&reason, &ExitReason::NoProc);
    }
    // From inside: a link, a monitor, an exit signal.
    let events = Events::new();
    let (told, foreign) = (events.clone(), of_one[0].pid());
    two.block_on(async {
        ask(&of_two[0], move |cx| {
            trap(cx, &told);
            cx.link(foreign);
            cx.monitor(foreign, support::puppet::down(&told, 1));
            cx.exit(foreign, ExitReason::Kill);
        })
        .await;
        let (mut exits, mut downs) = (0, 0);
        for _ in 0..2 {
            match events.next().await {
                Event::Exit(exit) => {
                    exits += 1;
                    assert_reason(&exit.reason, &ExitReason::NoProc);
                }
                Event::Down(_, down) => {
                    downs += 1;
                    assert_reason(&down.reason, &ExitReason::NoProc);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((exits, downs), (1, 1));
    });
    one.block_on(async {
        for puppet in &of_one {
            settled(puppet).await;
        }
    });
    // An address works across: its own runtime's workers run it.
    let reply = two.block_on(
        of_one[3]
            .call(|reply: Reply<u32>| {
                now(move |_| {
                    reply.send(4);
                    Ok(())
                })
            })
            .into_future(),
    );
    assert_eq!(reply.expect("answered"), 4);
    // One ends, the others go on.
    drop(one);
    two.block_on(async {
        for puppet in &of_two {
            settled(puppet).await;
        }
    });
    assert!(of_one.iter().all(|puppet| !puppet.is_alive()));
}

/// Actors of two runtimes that call each other, and one of the two is dropped.
#[test]
fn a_call_into_a_runtime_that_goes_is_answered() {
    for _ in 0..scaled(20, 3) {
        let one = Runtime::builder().workers(2).build().expect("threads");
        let two = Runtime::builder().workers(2).build().expect("threads");
        let server = one.spawn::<Plain>(Script::new());
        let events = Events::new();
        for _ in 0..10 {
            let (to, told) = (server.clone(), events.clone());
            let client = two.spawn::<Plain>(Script::new());
            let job = later(move |_, _| {
                async move {
                    loop {
                        let call = to.call(|reply: Reply<()>| {
                            now(move |_| {
                                reply.send(());
                                Ok(())
                            })
                        });
                        match call.timeout(LONG).await {
                            Ok(()) => {}
                            Err(CallError::NoProc | CallError::Exit(_)) => break,
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    told.send(Event::Note(1));
                    Ok(())
                }
                .boxed()
            });
            client.cast(job).expect("cast");
        }
        drop(one);
        two.block_on(async {
            for _ in 0..10 {
                assert_eq!(events.note().await, 1);
            }
        });
    }
}

/// A simulation inside another simulation's actor, and inside a real runtime's.
#[test]
fn a_simulation_may_run_inside_an_actor() {
    fn nested(seed: u64) -> u64 {
        let inner = Runtime::simulated(seed).expect("a tag for pids");
        inner.block_on(async {
            let puppet = plain(&inner).await;
            inner.sleep(Duration::from_secs(5)).await;
            ask(&puppet, |_| 3).await
        })
    }
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        for seed in 0..3 {
            // Before and after it, the outer actor's own things work.
            let (before, inner, after) = ask(&puppet, move |cx| {
                let first = cx.spawn::<Plain>(Script::new());
                let inner = nested(seed);
                let second = cx.spawn::<Plain>(Script::new());
                (first, inner, second)
            })
            .await;
            assert_eq!(inner, 3);
            settled(&before).await;
            settled(&after).await;
        }
        // While a handler of the outer one is suspended, and through its own first poll.
        let events = Events::new();
        let (told, clock) = (events.clone(), rt.clone());
        puppet
            .cast(later(move |_, cx| {
                async move {
                    let first = nested(9);
                    clock.sleep(Duration::from_millis(1)).await;
                    let child = cx.spawn::<Plain>(Script::new());
                    settled(&child).await;
                    told.send(Event::Note(first + nested(10)));
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        assert_eq!(events.note().await, 6);
    });
}

/// A runtime that was made on one thread, used on another and dropped on a third.
#[test]
fn a_simulation_may_change_threads() {
    let rt = Runtime::simulated(3).expect("a tag for pids");
    let puppet = rt.spawn::<Plain>(Script::new());
    let other = Runtime::simulated(4).expect("two on one thread");
    let rt = thread::spawn(move || {
        rt.block_on(settled(&puppet));
        (rt, puppet)
    })
    .join()
    .expect("the thread");
    let (rt, puppet) = rt;
    let stranger = other.spawn::<Plain>(Script::new());
    other.block_on(settled(&stranger));
    rt.block_on(settled(&puppet));
    thread::spawn(move || drop(rt)).join().expect("the thread");
    other.block_on(settled(&stranger));
    assert!(!puppet.is_alive() && stranger.is_alive());
}

/// Panics while everything ends.
#[test]
fn a_shutdown_with_bombs_everywhere_ends_all() {
    expect_panics();
    everywhere(|rt| async move {
        let mut ends = Vec::new();
        for n in 0..40 {
            let bomb = || OnDrop::new(|| panic!("{EXPECTED}"));
            if n % 2 == 0 {
                let script = Script::new()
                    .on_drop(|| panic!("{EXPECTED}"))
                    .terminate(|_, _| panic!("{EXPECTED}"));
                ends.push(rt.down(rt.start::<Tidy>(script).await.expect("start")));
            } else {
                let puppet: ActorRef<Do<false>> = rt.spawn::<Plain>(Script::new());
                let events = Events::new();
                puppet.cast(hang(&events, bomb())).expect("cast");
                events.hanging().await;
                let unread = bomb();
                puppet
                    .cast(now(move |_| {
                        drop(unread);
                        Ok(())
                    }))
                    .expect("cast");
                ends.push(rt.down(&puppet));
            }
        }
        let report = rt.shutdown(LONG).await;
        assert!(report.stuck.is_empty(), "{report}");
        assert!(rt.processes().is_empty());
        for end in ends {
            assert_panic(&end.await.reason, EXPECTED);
        }
    });
}

/// An actor may wait for the end of its own runtime only until it is told itself.
#[test]
fn a_shutdown_that_an_actor_asked_for() {
    threaded(|rt| async move {
        let puppet = plain(&rt).await;
        let end = rt.down(&puppet);
        let handle = rt.clone();
        puppet
            .cast(later(move |_, _| {
                async move {
                    handle.shutdown(LONG).await;
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        // Its handler is dropped where it waits.
        assert_reason(&end.await.reason, &ExitReason::Shutdown);
        // And a task may.
        let report = rt.spawn_task(rt.shutdown(LONG)).await;
        assert!(report.is_clean(), "{report}");
    });
}

/// What is sent to a process while it waits in its `terminate` is refused or dropped, and told so.
#[test]
fn a_call_to_a_process_that_terminates_is_answered_with_its_reason() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (go, gate) = oneshot::<()>();
        let told = events.clone();
        let script = Script::new().terminate(move |_, _| {
            async move {
                told.send(Event::Note(1));
                let _ = gate.await;
            }
            .boxed()
        });
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        let shutdown = rt.shutdown(LONG);
        let caller = async {
            assert_eq!(events.note().await, 1);
            let mut call = tidy
                .call(|reply: Reply<()>| {
                    now(move |_| {
                        reply.send(());
                        Ok(())
                    })
                })
                .into_future();
            assert!((&mut call).now_or_never().is_none());
            tidy.cast(note(&events, 2)).expect("it has not ended");
            go.send(());
            call.await
        };
        let (report, answer) = join(shutdown, caller).await;
        assert!(report.is_clean(), "{report}");
        match answer {
            Err(CallError::Exit(reason)) => assert_reason(&reason, &ExitReason::Shutdown),
            other => panic!("{other:?}"),
        }
        assert!(events.take().is_empty());
    });
}

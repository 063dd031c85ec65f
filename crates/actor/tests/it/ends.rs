//! The end of a process: what goes in which order, which reason counts, and that no panic of the user's
//! takes a worker down or leaves a process behind.

use crate::support;

use std::{
    future::{Future, IntoFuture, pending, poll_fn},
    sync::Arc,
    task::{Poll, Wake, Waker},
    time::Duration,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Script, Tidy, ask, assert_because, assert_panic,
        assert_reason, because, down, hang, later, note, now, plain, settled, trap,
    },
};
use whitebeam_actor::{
    ActorRef, CallError, ExitReason, Handle, Reply, SpawnOptions, StartError, oneshot,
};

/// The steps of an end, in the order in which they were taken.
async fn steps(events: &Events, n: usize) -> Vec<String> {
    let mut steps = Vec::new();
    for _ in 0..n {
        steps.push(match events.next().await {
            Event::Terminate(reason) => format!("terminate {reason}"),
            Event::Note(n) => format!("note {n}"),
            Event::Dropped => "state".to_owned(),
            Event::Down(n, down) => format!("down {n} {}", down.reason),
            Event::Exit(exit) => format!("exit {}", exit.reason),
            Event::Child(down) => format!("child {}", down.reason),
        });
    }
    steps
}

/// A value whose end is an event.
fn marked(events: &Events, number: u64) -> OnDrop {
    let events = events.clone();
    OnDrop::new(move || events.send(Event::Note(number)))
}

/// A value whose drop panics.
fn bomb() -> OnDrop {
    OnDrop::new(|| panic!("{EXPECTED}"))
}

/// A message that stops its receiver.
fn stop<const TIDY: bool>(reason: ExitReason) -> Do<TIDY>
where
    support::puppet::Puppet<TIDY>: whitebeam_actor::Actor<Msg = Do<TIDY>>,
{
    now(move |cx| {
        cx.stop(reason);
        Ok(())
    })
}

/// The runtime goes on: a process can be started, asked and ended.
async fn works(rt: &Handle) {
    let puppet = plain(rt).await;
    settled(&puppet).await;
    let end = rt.down(&puppet);
    puppet.cast(stop(ExitReason::Normal)).expect("cast");
    assert_reason(&end.await.reason, &ExitReason::Normal);
}

// Order.

#[test]
fn terminate_comes_first_then_the_state_then_the_down() {
    everywhere(|rt| async move {
        let events = Events::new();
        let watcher = plain(&rt).await;
        let script = Script::new().tell_terminate(&events).tell_drop(&events);
        let tidy =
            rt.with(SpawnOptions::new().name("tidy")).start::<Tidy>(script).await.expect("start");
        let (pid, told) = (tidy.pid(), events.clone());
        ask(&watcher, move |cx| cx.monitor(pid, down(&told, 1))).await;
        settled(&tidy).await;
        tidy.cast(stop(because("done"))).expect("cast");
        assert_eq!(steps(&events, 3).await, ["terminate \"done\"", "state", "down 1 \"done\""]);
        // Whoever has the DOWN finds the name free and the process gone.
        assert_eq!(rt.whereis("tidy"), None);
        assert!(!tidy.is_alive() && !rt.is_alive(pid) && rt.info(pid).is_none());
        assert!(tidy.cast(now(|_| Ok(()))).is_err());
    });
}

#[test]
fn a_suspended_handler_goes_before_the_state_and_unread_messages_after() {
    everywhere(|rt| async move {
        let events = Events::new();
        let puppet = rt.start::<Plain>(Script::new().tell_drop(&events)).await.expect("start");
        puppet.cast(hang(&events, marked(&events, 1))).expect("cast");
        let (first, second) = (marked(&events, 2), marked(&events, 3));
        puppet
            .cast(now(move |_| {
                drop(first);
                Ok(())
            }))
            .expect("cast");
        puppet
            .cast(now(move |_| {
                drop(second);
                Ok(())
            }))
            .expect("cast");
        events.hanging().await;
        let end = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        assert_reason(&end.await.reason, &ExitReason::Killed);
        assert_eq!(steps(&events, 4).await, ["note 1", "state", "note 2", "note 3"]);
    });
}

#[test]
fn an_orderly_end_drops_the_suspended_handler_then_terminates() {
    everywhere(|rt| async move {
        let events = Events::new();
        let script = Script::new().tell_terminate(&events).tell_drop(&events);
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        tidy.cast(hang(&events, marked(&events, 1))).expect("cast");
        events.hanging().await;
        // It was started from outside, so this comes from its parent.
        rt.exit(&tidy, ExitReason::Shutdown);
        assert_eq!(steps(&events, 3).await, ["note 1", "terminate shutdown", "state"]);
    });
}

#[test]
fn a_terminate_may_suspend_and_use_its_context() {
    everywhere(|rt| async move {
        let events = Events::new();
        let other = plain(&rt).await;
        let (told, asked, clock) = (events.clone(), other.clone(), rt.clone());
        let script = Script::new().tell_drop(&events).terminate(move |_, cx| {
            async move {
                clock.sleep(Duration::from_millis(3)).await;
                settled(&asked).await;
                let child = cx.spawn::<Plain>(Script::new());
                settled(&child).await;
                told.send(Event::Note(1));
                cx.exit(&child, ExitReason::Kill);
            }
            .boxed()
        });
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        let end = rt.down(&tidy);
        // What is behind the stop is not handled any more, also while `terminate` waits.
        tidy.cast(stop(ExitReason::Normal)).expect("cast");
        let _ = tidy.cast(note(&events, 9));
        assert_reason(&end.await.reason, &ExitReason::Normal);
        assert_eq!(steps(&events, 2).await, ["note 1", "state"]);
        assert!(events.take().is_empty());
    });
}

#[test]
fn a_call_behind_the_end_is_answered_with_the_reason() {
    everywhere(|rt| async move {
        let events = Events::new();
        let puppet = rt.start::<Plain>(Script::new()).await.expect("start");
        puppet.cast(hang(&events, ())).expect("cast");
        events.hanging().await;
        let mut calls = Vec::new();
        for _ in 0..100 {
            let mut call = puppet
                .call(|reply: Reply<()>| {
                    now(move |_| {
                        reply.send(());
                        Ok(())
                    })
                })
                .into_future();
            assert!((&mut call).now_or_never().is_none());
            calls.push(call);
        }
        rt.exit(&puppet, because("over"));
        for call in calls {
            match call.await {
                Err(CallError::Exit(reason)) => assert_because(&reason, "over"),
                other => panic!("{other:?}"),
            }
        }
    });
}

/// The starter traps; the reply given with the stop is there before the EXIT.
#[test]
fn srv_005_a_reply_given_with_the_stop_goes_out_first() {
    everywhere(|rt| async move {
        let events = Events::new();
        let starter = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let told = events.clone();
        starter
            .cast(later(move |_, cx| {
                async move {
                    let server = cx.start_link::<Tidy>(Script::new()).await?;
                    let answer = server
                        .call(|reply: Reply<u64>| {
                            now(move |cx| {
                                reply.send(7);
                                cx.stop(because("stopped"));
                                Ok(())
                            })
                        })
                        .await;
                    told.send(Event::Note(answer?));
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        assert_eq!(events.note().await, 7);
        assert_because(&events.exit().await.reason, "stopped");
    });
}

/// By `stop`, by `Err` and by the end of a call: the caller, a linked trapper and a monitor get the reason.
#[test]
fn srv_017_shutdown_reasons_reach_the_caller_and_the_linked() {
    everywhere(|rt| async move {
        for by_error in [false, true] {
            for reason in [ExitReason::Shutdown, ExitReason::shutdown_with("term")] {
                let events = Events::new();
                let trapper = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
                let server = ask(&trapper, |cx| cx.spawn_link::<Tidy>(Script::new())).await;
                let given = reason.clone();
                let called = server
                    .call(move |reply: Reply<()>| {
                        now(move |cx| {
                            let _kept = reply;
                            if by_error {
                                return Err(given);
                            }
                            cx.stop(given);
                            Ok(())
                        })
                    })
                    .await;
                match called {
                    Err(CallError::Exit(is)) => assert_reason(&is, &reason),
                    other => panic!("{other:?}"),
                }
                assert_reason(&events.exit().await.reason, &reason);
            }
        }
    });
}

#[test]
fn srv_041_a_continue_step_may_stop() {
    everywhere(|rt| async move {
        let events = Events::new();
        let tidy = rt.start::<Tidy>(Script::new().tell_terminate(&events)).await.expect("start");
        let (end, told) = (rt.down(&tidy), events.clone());
        tidy.cast(now(move |cx| {
            cx.continue_with(stop(ExitReason::Normal));
            told.send(Event::Note(1));
            Ok(())
        }))
        .expect("cast");
        let _ = tidy.cast(note(&events, 2));
        assert_reason(&end.await.reason, &ExitReason::Normal);
        assert_eq!(steps(&events, 2).await, ["note 1", "terminate normal"]);
        assert!(events.take().is_empty(), "the message behind was handled");
    });
}

// Which reason.

#[test]
fn of_several_reasons_of_its_own_the_first_counts() {
    everywhere(|rt| async move {
        type Ends = fn(&mut whitebeam_actor::Context<Plain>) -> Result<(), ExitReason>;
        let cases: [(&str, Ends); 3] = [
            ("two stops", |cx| {
                cx.stop(because("first"));
                cx.stop(because("second"));
                Ok(())
            }),
            ("a stop, then an error", |cx| {
                cx.stop(because("first"));
                Err(because("second"))
            }),
            ("a stop, then a kill as a reason", |cx| {
                cx.stop(because("first"));
                cx.stop(ExitReason::Killed);
                Ok(())
            }),
        ];
        for (case, job) in cases {
            let puppet = plain(&rt).await;
            let end = rt.down(&puppet);
            puppet.cast(now(job)).expect("cast");
            let reason = end.await.reason;
            assert_eq!(reason.downcast_ref(), Some(&"first"), "{case}: {reason:?}");
        }
    });
}

#[test]
fn an_exit_signal_ends_a_stopped_process_whose_handler_goes_on() {
    everywhere(|rt| async move {
        for (signal, killed) in [(because("signal"), false), (ExitReason::Kill, true)] {
            let events = Events::new();
            let tidy =
                rt.start::<Tidy>(Script::new().tell_terminate(&events)).await.expect("start");
            let told = events.clone();
            tidy.cast(later(move |_, cx| {
                async move {
                    cx.stop(because("own"));
                    told.send(Event::Note(1));
                    pending::<()>().await;
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
            assert_eq!(events.note().await, 1);
            let other = plain(&rt).await;
            let (end, pid, sent) = (rt.down(&tidy), tidy.pid(), signal.clone());
            ask(&other, move |cx| cx.exit(pid, sent)).await;
            let expected = if killed { ExitReason::Killed } else { signal };
            assert_reason(&end.await.reason, &expected);
            assert!(events.take().is_empty(), "`terminate` ran");
        }
    });
}

// Panics.

#[test]
fn a_panic_in_init_is_a_failed_start() {
    expect_panics();
    everywhere(|rt| async move {
        let script = Script::new().init_now(|_| panic!("{EXPECTED}"));
        match rt.with(SpawnOptions::new().name("n")).start::<Plain>(script).await {
            Err(StartError::Exit(reason)) => assert_panic(&reason, EXPECTED),
            other => panic!("{other:?}"),
        }
        assert_eq!(rt.whereis("n"), None);
        assert!(rt.processes().is_empty());
        let script = Script::new().init(|_| {
            async {
                support::yield_now().await;
                panic!("{EXPECTED}")
            }
            .boxed()
        });
        match rt.start::<Tidy>(script).await {
            Err(StartError::Exit(reason)) => assert_panic(&reason, EXPECTED),
            other => panic!("{other:?}"),
        }
        works(&rt).await;
    });
}

/// The panic's text reaches the linked; the runtime and the watcher go on.
#[test]
fn proc_008_a_panic_in_a_handler_is_a_reason_of_its_own_kind() {
    expect_panics();
    everywhere(|rt| async move {
        let events = Events::new();
        let watcher = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        for suspended in [false, true] {
            let script = Script::new().tell_terminate(&events).tell_drop(&events);
            let tidy = ask(&watcher, |cx| cx.spawn_link::<Tidy>(script)).await;
            tidy.cast(later(move |_, _| {
                async move {
                    if suspended {
                        support::yield_now().await;
                    }
                    panic!("{EXPECTED}")
                }
                .boxed()
            }))
            .expect("cast");
            // No `terminate`: the state may be broken.
            events.dropped().await;
            assert_panic(&events.exit().await.reason, EXPECTED);
        }
        works(&rt).await;
    });
}

/// Terminate runs before the reason is fixed.
#[test]
fn srv_054_a_panic_in_terminate_replaces_the_reason() {
    expect_panics();
    everywhere(|rt| async move {
        for suspended in [false, true] {
            let events = Events::new();
            let trapper = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
            let script = Script::new().tell_drop(&events).terminate(move |_, _| {
                async move {
                    if suspended {
                        support::yield_now().await;
                    }
                    panic!("{EXPECTED}")
                }
                .boxed()
            });
            let tidy = ask(&trapper, |cx| cx.spawn_link::<Tidy>(script)).await;
            let answer = tidy
                .call(|reply| {
                    now(move |cx| {
                        reply.send(3);
                        cx.stop(ExitReason::Normal);
                        Ok(())
                    })
                })
                .await;
            assert_eq!(answer.expect("a reply given with the stop"), 3);
            events.dropped().await;
            assert_panic(&events.exit().await.reason, EXPECTED);
        }
    });
}

#[test]
fn a_panic_while_the_state_or_the_frame_is_dropped_replaces_an_orderly_reason_only() {
    expect_panics();
    everywhere(|rt| async move {
        // The state's.
        for (given, replaced) in [(ExitReason::Normal, true), (because("kept"), false)] {
            let puppet = rt
                .start::<Plain>(Script::new().on_drop(|| panic!("{EXPECTED}")))
                .await
                .expect("start");
            let end = rt.down(&puppet);
            puppet.cast(stop(given)).expect("cast");
            let reason = end.await.reason;
            if replaced {
                assert_panic(&reason, EXPECTED);
            } else {
                assert_because(&reason, "kept");
            }
        }
        // The suspended handler's, at an orderly end and at a kill.
        for (signal, killed) in [(ExitReason::Shutdown, false), (ExitReason::Kill, true)] {
            let events = Events::new();
            let script = Script::new().tell_terminate(&events).tell_drop(&events);
            let tidy = rt.start::<Tidy>(script).await.expect("start");
            tidy.cast(hang(&events, bomb())).expect("cast");
            events.hanging().await;
            let end = rt.down(&tidy);
            rt.exit(&tidy, signal);
            let reason = end.await.reason;
            if killed {
                assert_reason(&reason, &ExitReason::Killed);
            } else {
                assert_panic(&reason, EXPECTED);
            }
            // What broke while it was dropped may have broken the state: no `terminate`.
            assert_eq!(steps(&events, 1).await, ["state"]);
        }
        works(&rt).await;
    });
}

#[test]
fn bombs_in_unread_messages_timers_and_monitors_go_off_without_harm() {
    expect_panics();
    everywhere(|rt| async move {
        let events = Events::new();
        let target = plain(&rt).await;
        let puppet = rt
            .with(SpawnOptions::new().name("n"))
            .start::<Plain>(Script::new().tell_drop(&events))
            .await
            .expect("start");
        let linked = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let (pid, to) = (target.pid(), linked.clone());
        ask(&puppet, move |cx| {
            cx.link(&to);
            for _ in 0..3 {
                let (in_timer, in_monitor, in_interval) = (bomb(), bomb(), bomb());
                cx.send_after(
                    Duration::from_secs(9),
                    now(move |_| {
                        drop(in_timer);
                        Ok(())
                    }),
                );
                cx.interval(Duration::from_secs(9), move || {
                    let _held = &in_interval;
                    now(|_| Ok(()))
                });
                cx.monitor(pid, move |_| {
                    drop(in_monitor);
                    now(|_| Ok(()))
                });
            }
            let in_trap = bomb();
            cx.trap_exit(move |_| {
                let _held = &in_trap;
                now(|_| Ok(()))
            });
        })
        .await;
        settled(&linked).await;
        puppet.cast(hang(&events, ())).expect("cast");
        events.hanging().await;
        for _ in 0..3 {
            let unread = bomb();
            puppet
                .cast(now(move |_| {
                    drop(unread);
                    Ok(())
                }))
                .expect("cast");
        }
        let end = rt.down(&puppet);
        let counted = rt.info(&puppet).expect("it lives").mailbox_len;
        assert_eq!(counted, 3);
        rt.exit(&puppet, ExitReason::Kill);
        assert_reason(&end.await.reason, &ExitReason::Killed);
        // No step was skipped: the state, the link, the name.
        let mut ends = steps(&events, 2).await;
        ends.sort();
        assert_eq!(ends, ["exit killed", "state"]);
        assert_eq!(rt.whereis("n"), None);
        works(&rt).await;
    });
}

#[test]
fn a_bomb_as_a_reason_harms_nobody() {
    expect_panics();
    /// A value that a reason carries.
    struct Value(#[expect(dead_code, reason = "only dropped")] Mutex<OnDrop>);
    impl std::fmt::Debug for Value {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a bomb")
        }
    }
    impl std::fmt::Display for Value {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a bomb")
        }
    }
    impl std::error::Error for Value {}
    everywhere(|rt| async move {
        for as_error in [false, true] {
            let value = Value(Mutex::new(bomb()));
            let reason = if as_error { ExitReason::from(value) } else { ExitReason::custom(value) };
            let events = Events::new();
            let trapper = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
            let puppet = ask(&trapper, |cx| cx.spawn_link::<Plain>(Script::new())).await;
            puppet.cast(stop(reason)).expect("cast");
            drop(events.exit().await);
            drop(puppet);
            settled(&trapper).await;
            works(&rt).await;
        }
    });
}

#[test]
fn a_panic_whose_payload_is_a_bomb_is_a_panic_like_others() {
    expect_panics();
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        let end = rt.down(&puppet);
        puppet.cast(now(|_| std::panic::panic_any(bomb()))).expect("cast");
        assert_panic(&end.await.reason, "a panic whose payload is not text");
        // Twice: what the payload's drop panics with is a bomb again.
        let puppet = plain(&rt).await;
        let end = rt.down(&puppet);
        let twice = OnDrop::new(|| std::panic::panic_any(bomb()));
        puppet.cast(now(|_| std::panic::panic_any(twice))).expect("cast");
        assert_panic(&end.await.reason, "a panic whose payload is not text");
        works(&rt).await;
    });
}

#[test]
fn a_panic_in_a_constructor_ends_the_process_it_is_for() {
    expect_panics();
    everywhere(|rt| async move {
        let target = plain(&rt).await;
        // A monitor's.
        let watcher = plain(&rt).await;
        let pid = target.pid();
        ask(&watcher, move |cx| cx.monitor(pid, |_| panic!("{EXPECTED}"))).await;
        let end = rt.down(&watcher);
        rt.exit(pid, ExitReason::Kill);
        assert_panic(&end.await.reason, EXPECTED);
        // That of trapped exits.
        let trapper = plain(&rt).await;
        ask(&trapper, |cx| cx.trap_exit(|_| panic!("{EXPECTED}"))).await;
        let end = rt.down(&trapper);
        let other = plain(&rt).await;
        let pid = trapper.pid();
        ask(&other, move |cx| cx.exit(pid, because("x"))).await;
        assert_panic(&end.await.reason, EXPECTED);
        // An interval's.
        let ticking = plain(&rt).await;
        let end = rt.down(&ticking);
        ask(&ticking, |cx| cx.interval(Duration::from_millis(1), || panic!("{EXPECTED}"))).await;
        assert_panic(&end.await.reason, EXPECTED);
        // Also while a handler is suspended.
        let events = Events::new();
        let ticking = rt.start::<Plain>(Script::new().tell_drop(&events)).await.expect("start");
        let end = rt.down(&ticking);
        ticking.cast(hang(&events, ())).expect("cast");
        events.hanging().await;
        drop(end);
        let watcher = rt.start::<Plain>(Script::new()).await.expect("start");
        let (pid, told) = (ticking.pid(), events.clone());
        ask(&watcher, move |cx| cx.monitor(pid, down(&told, 1))).await;
        rt.exit(&ticking, ExitReason::Kill);
        assert_eq!(steps(&events, 2).await, ["state", "down 1 killed"]);
        works(&rt).await;
    });
}

/// Wakes by panicking.
struct Grumpy;
impl Wake for Grumpy {
    fn wake(self: Arc<Self>) {
        panic!("{EXPECTED}");
    }
}

#[test]
fn a_waker_that_panics_does_not_take_the_waking_actor_down() {
    expect_panics();
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        let grumpy = Waker::from(Arc::new(Grumpy));
        let mut cx = std::task::Context::from_waker(&grumpy);
        // A call's waker.
        let (kept, answer) = keep(&puppet).await;
        let mut answer = std::pin::pin!(answer);
        assert!(answer.as_mut().poll(&mut cx).is_pending());
        // A monitor's.
        let other = plain(&rt).await;
        let mut end = std::pin::pin!(rt.down(&other));
        assert!(end.as_mut().poll(&mut cx).is_pending());
        // A sleep's.
        let mut sleep = std::pin::pin!(rt.sleep(Duration::from_millis(1)));
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        // A start's.
        let mut start = std::pin::pin!(rt.start::<Plain>(Script::new().init(|_| {
            async {
                support::yield_now().await;
                Ok(())
            }
            .boxed()
        })));
        // On another worker it may have started already.
        let early = start.as_mut().poll(&mut cx);
        puppet
            .cast(now(move |_| {
                kept.lock().take().expect("kept").send(5);
                Ok(())
            }))
            .expect("cast");
        settled(&puppet).await;
        rt.exit(&other, ExitReason::Kill);
        assert_eq!(answer.await.expect("answered"), 5);
        assert_reason(&end.await.reason, &ExitReason::Killed);
        sleep.await;
        let started = match early {
            Poll::Ready(started) => started,
            Poll::Pending => start.await,
        };
        rt.exit(started.expect("started"), ExitReason::Kill);
        works(&rt).await;
    });
}

type Kept = Arc<Mutex<Option<Reply<u32>>>>;

/// A reply that an actor has, and who waits for it.
async fn keep(_puppet: &ActorRef<Do<false>>) -> (Kept, whitebeam_actor::Answered<u32>) {
    let (reply, answer) = oneshot();
    (Arc::new(Mutex::new(Some(reply))), answer)
}

#[test]
fn wakers_may_outlive_the_actor() {
    everywhere(|rt| async move {
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let puppet = plain(&rt).await;
        let kept = wakers.clone();
        let end = rt.down(&puppet);
        puppet
            .cast(later(move |_, _| {
                poll_fn(move |cx| {
                    kept.lock().push(cx.waker().clone());
                    if kept.lock().len() == 3 {
                        Poll::Ready(Err(because("woken twice")))
                    } else {
                        Poll::Pending
                    }
                })
                .boxed()
            }))
            .expect("cast");
        for n in 1..=2 {
            while wakers.lock().len() < n {
                rt.sleep(Duration::from_millis(1)).await;
            }
            let waker = wakers.lock()[0].clone();
            waker.wake();
        }
        assert_because(&end.await.reason, "woken twice");
        drop(puppet);
        for waker in wakers.lock().iter() {
            waker.wake_by_ref();
        }
        wakers.lock().drain(..).for_each(Waker::wake);
        works(&rt).await;
    });
}

#[test]
fn many_ends_by_panic_leave_nothing_behind() {
    expect_panics();
    everywhere(|rt| async move {
        let before = rt.processes().len();
        let mut ends = Vec::new();
        for n in 0..support::scaled(500, 50) {
            let script = Script::new().on_drop(move || {
                if n % 3 == 0 {
                    panic!("{EXPECTED}");
                }
            });
            let puppet = rt.spawn::<Plain>(script);
            ends.push(rt.down(&puppet));
            let unread = bomb();
            puppet.cast(now(|_| panic!("{EXPECTED}"))).expect("cast");
            let _ = puppet
                .cast(now(move |_| {
                    drop(unread);
                    Ok(())
                }))
                .map_err(|refused| {
                    // Refused, it comes back, and goes off here.
                    let _ =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(refused)));
                });
        }
        for end in ends {
            let reason = end.await.reason;
            match reason {
                ExitReason::NoProc => {}
                reason => assert_panic(&reason, EXPECTED),
            }
        }
        assert_eq!(rt.processes().len(), before);
        works(&rt).await;
    });
}

#[test]
fn trapping_a_process_that_is_gone_is_no_trap() {
    everywhere(|rt| async move {
        let events = Events::new();
        let puppet = plain(&rt).await;
        let told = events.clone();
        ask(&puppet, move |cx| trap(cx, &told)).await;
        let end = rt.down(&puppet);
        puppet.cast(stop(ExitReason::Normal)).expect("cast");
        assert_reason(&end.await.reason, &ExitReason::Normal);
        rt.exit(&puppet, because("too late"));
        assert!(events.take().is_empty());
    });
}

//! What servers are asked for beside calls: stops, stops that kill, starts with a limit, replies that come later,
//! who calls, casts that wait.

use crate::support;

use std::{future::IntoFuture, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use support::{
    EXPECTED, everywhere, expect_panics, now as time,
    puppet::{
        Do, Event, Events, Plain, Script, Tidy, ask, assert_because, assert_panic, assert_reason,
        because, hang, later, note, now, plain, settled,
    },
    scaled, simulated, threaded,
};
use whitebeam_actor::{
    Actor, ActorRef, CallError, ChildSlot, Context, ExitReason, Pid, Reply, SendFailure,
    SpawnOptions, StartError, StopError, StopOutcome,
};

const MS: u64 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn srv_002_a_start_that_takes_too_long_is_killed_and_its_name_is_free() {
    everywhere(|rt| async move {
        let clock = rt.clone();
        let slow = Script::<false>::new().init(move |_| {
            async move {
                clock.sleep(ms(1000)).await;
                Ok(())
            }
            .boxed()
        });
        let begun = time(&rt);
        let options = SpawnOptions::new().name("slow");
        let started = rt.with(options).start::<Plain>(slow).timeout(ms(100)).await;
        assert!(matches!(started, Err(StartError::Timeout)), "{started:?}");
        assert!(time(&rt) - begun >= 100 * MS, "early");
        assert_eq!((rt.whereis("slow"), rt.processes().len()), (None, 0), "it is gone");
        let options = SpawnOptions::new().name("slow");
        rt.with(options).start::<Plain>(Script::new()).await.expect("the name is free");
    });
}

#[test]
fn srv_012_a_stop_returns_when_the_process_is_gone() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        rt.stop(&p, ExitReason::Normal).await.expect("as asked");
        assert!(!rt.is_alive(&p) && !p.is_alive());
        let again = rt.stop(&p, ExitReason::Normal).await;
        assert!(matches!(again, Err(StopError::NoProc)), "{again:?}");
    });
}

#[test]
fn srv_013_a_stop_with_another_reason_ends_it_with_that() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        let down = rt.down(&p);
        rt.stop(&p, because("other")).await.expect("as asked");
        assert_because(&down.await.reason, "other");
    });
}

#[test]
fn srv_019_a_kept_reply_is_answered_when_the_wait_is_over() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        let answer = p.call(|reply| {
            now(move |cx: &mut Context<Plain>| {
                let later = now(move |_| {
                    reply.send("delayed");
                    Ok(())
                });
                cx.idle_timeout(ms(1), later);
                Ok(())
            })
        });
        assert_eq!(answer.await.expect("it comes"), "delayed");
    });
}

#[test]
fn srv_042_casts_with_a_timeout_and_with_a_stop() {
    everywhere(|rt| async move {
        let events = Events::new();
        let script = Script::new().tell_terminate(&events);
        let p = rt.start::<Tidy>(script).await.expect("start");
        let down = rt.down(&p);
        p.cast(note(&events, 1)).expect("cast");
        assert_eq!(events.note().await, 1);
        let told = events.clone();
        p.cast(now(move |cx: &mut Context<Tidy>| {
            cx.idle_timeout(ms(1), note(&told, 2));
            Ok(())
        }))
        .expect("cast");
        assert_eq!(events.note().await, 2);
        p.cast(now(|cx: &mut Context<Tidy>| {
            cx.stop(because("told"));
            Ok(())
        }))
        .expect("cast");
        assert_because(&events.terminated().await, "told");
        assert_because(&down.await.reason, "told");
    });
}

#[test]
fn a_stop_that_is_obeyed_kills_nobody() {
    everywhere(|rt| async move {
        for reason in [ExitReason::Normal, ExitReason::Shutdown, because("asked")] {
            let events = Events::new();
            let script = Script::new().tell_terminate(&events);
            let p = rt.start::<Tidy>(script).await.expect("start");
            let (down, begun) = (rt.down(&p), time(&rt));
            let outcome = rt.stop_or_kill(&p, reason.clone(), HOUR).await;
            assert!(matches!(outcome, Ok(StopOutcome::Stopped)), "{outcome:?}");
            assert!(time(&rt) - begun < HOUR.as_nanos() as u64);
            assert!(!p.is_alive());
            assert_reason(&events.terminated().await, &reason);
            assert_reason(&down.await.reason, &reason);
        }
    });
}

#[test]
fn a_stop_that_takes_too_long_kills() {
    everywhere(|rt| async move {
        for within in [ms(20), Duration::ZERO] {
            let events = Events::new();
            let p = plain(&rt).await;
            p.cast(hang(&events, ())).expect("cast");
            events.hanging().await;
            let (down, begun) = (rt.down(&p), time(&rt));
            let outcome = rt.stop_or_kill(&p, ExitReason::Shutdown, within).await;
            assert!(matches!(outcome, Ok(StopOutcome::Killed)), "{outcome:?}");
            assert!(time(&rt) - begun >= within.as_nanos() as u64, "early");
            assert!(!p.is_alive());
            assert_reason(&down.await.reason, &ExitReason::Killed);
        }
        // A `terminate` that does not come to its end.
        let script = Script::<true>::new().terminate(|_, _| std::future::pending().boxed());
        let p = rt.start::<Tidy>(script).await.expect("start");
        let outcome = rt.stop_or_kill(&p, ExitReason::Normal, ms(20)).await;
        assert!(matches!(outcome, Ok(StopOutcome::Killed)), "{outcome:?}");
        // An `init` that does not.
        let events = Events::new();
        let begins = events.clone();
        let p = rt.spawn::<Plain>(Script::new().init(move |_| {
            begins.send(Event::Note(1));
            std::future::pending().boxed()
        }));
        assert_eq!(events.note().await, 1);
        let outcome = rt.stop_or_kill(&p, ExitReason::Normal, ms(20)).await;
        assert!(matches!(outcome, Ok(StopOutcome::Killed)), "{outcome:?}");
        assert_eq!(rt.processes().len(), 0);
    });
    simulated(|rt| async move {
        let (p, events) = (plain(&rt).await, Events::new());
        p.cast(hang(&events, ())).expect("cast");
        events.hanging().await;
        let begun = time(&rt);
        let outcome = rt.stop_or_kill(&p, ExitReason::Shutdown, ms(5000)).await;
        assert!(matches!(outcome, Ok(StopOutcome::Killed)), "{outcome:?}");
        assert_eq!(time(&rt) - begun, 5000 * MS, "virtual time is exact");
    });
}

#[test]
fn a_stop_or_kill_of_who_ends_otherwise() {
    expect_panics();
    everywhere(|rt| async move {
        let script = Script::new().terminate(|_, _| panic!("{EXPECTED}"));
        let p = rt.start::<Tidy>(script).await.expect("start");
        match rt.stop_or_kill(&p, ExitReason::Normal, HOUR).await {
            Ok(StopOutcome::Ended(reason)) => assert_panic(&reason, EXPECTED),
            other => panic!("{other:?}"),
        }
        // Killed, but by somebody else.
        let (p, events) = (plain(&rt).await, Events::new());
        p.cast(hang(&events, ())).expect("cast");
        events.hanging().await;
        let stop = rt.stop_or_kill(&p, ExitReason::Normal, HOUR);
        let (outcome, ()) = join(stop, async { rt.exit(&p, ExitReason::Kill) }).await;
        match outcome {
            Ok(StopOutcome::Ended(reason)) => assert_reason(&reason, &ExitReason::Killed),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_stop_or_kill_of_nobody_and_of_oneself() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        rt.stop(&p, ExitReason::Normal).await.expect("stopped");
        let gone = rt.stop_or_kill(&p, ExitReason::Normal, Duration::ZERO).await;
        assert!(matches!(gone, Err(StopError::NoProc)), "{gone:?}");
        let p = plain(&rt).await;
        let asked = p.call(|reply| {
            later(move |_, cx: &mut Context<Plain>| {
                let stop = cx.runtime().stop_or_kill(cx.pid(), ExitReason::Normal, Duration::ZERO);
                async move {
                    reply.send(stop.await);
                    Ok(())
                }
                .boxed()
            })
        });
        let itself = asked.await.expect("it lives");
        assert!(matches!(itself, Err(StopError::Itself)), "{itself:?}");
        settled(&p).await;
    });
}

#[test]
fn a_stop_or_kill_that_is_dropped_kills_nobody() {
    everywhere(|rt| async move {
        let (p, events) = (plain(&rt).await, Events::new());
        p.cast(hang(&events, ())).expect("cast");
        events.hanging().await;
        let stop = rt.stop_or_kill(&p, ExitReason::Normal, ms(5));
        assert!(stop.now_or_never().is_none());
        rt.sleep(ms(30)).await;
        assert!(p.is_alive());
        // The request stays in force, and another may follow it.
        let outcome = rt.stop_or_kill(&p, ExitReason::Shutdown, ms(5)).await;
        assert!(matches!(outcome, Ok(StopOutcome::Killed)), "{outcome:?}");
    });
}

/// The outcome is that of the one end that there was.
#[test]
fn a_stop_or_kill_that_races_with_the_end() {
    let rounds = scaled(400, 50) as u64;
    threaded(|rt| async move {
        let (mut stopped, mut killed, mut otherwise, mut late) = (0, 0, 0, 0);
        for round in 0..rounds {
            let p = plain(&rt).await;
            let (down, target) = (rt.down(&p), p.pid());
            let pause = rt.sleep(Duration::from_micros(round % 8 * 30));
            p.cast(later(move |_, _| {
                async move {
                    pause.await;
                    if round % 2 == 0 { Err(because("own")) } else { Ok(()) }
                }
                .boxed()
            }))
            .expect("cast");
            let within = Duration::from_micros(round % 11 * 25);
            let clock = rt.clone();
            let stop =
                rt.spawn_task(
                    async move { clock.stop_or_kill(target, because("asked"), within).await },
                );
            let (outcome, down) = join(stop, down).await;
            match outcome {
                Ok(StopOutcome::Stopped) => {
                    assert_because(&down.reason, "asked");
                    stopped += 1;
                }
                Ok(StopOutcome::Ended(reason)) => {
                    assert_because(&down.reason, "own");
                    assert_reason(&reason, &down.reason);
                    otherwise += 1;
                }
                Ok(StopOutcome::Killed) => {
                    assert_reason(&down.reason, &ExitReason::Killed);
                    killed += 1;
                }
                Err(StopError::NoProc) => {
                    assert_because(&down.reason, "own");
                    late += 1;
                }
                other => panic!("{other:?}"),
            }
            assert!(!p.is_alive());
        }
        assert_eq!(stopped + killed + otherwise + late, rounds);
        assert!(stopped > 0 && killed > 0, "no race at all");
    });
}

/// Says who calls, or passes the question on.
struct Asked;

enum Question {
    Who(Reply<Option<Pid>>),
    PassOn(ActorRef<Question>, Reply<Option<Pid>>),
    /// Asks another, in a combinator, and answers with what that said.
    Ask(ActorRef<Question>, Reply<Vec<Option<Pid>>>),
}

impl Actor for Asked {
    type Args = ();
    type Msg = Question;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Asked)
    }

    async fn handle(&mut self, msg: Question, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Question::Who(reply) => {
                let caller = reply.caller();
                reply.send(caller);
            }
            Question::PassOn(other, reply) => other.cast(Question::Who(reply))?,
            Question::Ask(other, reply) => {
                let calls = (0..3).map(|_| other.call(Question::Who).into_future());
                let answers = join_all(calls).await;
                reply.send(answers.into_iter().map(|answer| answer.ok().flatten()).collect());
            }
        }
        Ok(())
    }
}

#[test]
fn a_reply_knows_who_called() {
    everywhere(|rt| async move {
        let (a, b) = (rt.start::<Asked>(()).await.expect("start"), plain(&rt).await);
        let c = rt.start::<Asked>(()).await.expect("start");
        assert_eq!(a.call(Question::Who).await.expect("answered"), None, "from outside");
        let asked = a.clone();
        let task = rt.spawn_task(async move { asked.call(Question::Who).await });
        assert_eq!(task.await.expect("answered"), None, "a task is no process");
        let answers = c.call(|reply| Question::Ask(a.clone(), reply)).await.expect("answered");
        assert_eq!(answers, [Some(c.pid()); 3]);
        // Whoever it is passed on to.
        let answer = c.call(|reply| Question::PassOn(a.clone(), reply)).await;
        assert_eq!(answer.expect("answered"), None);
        // Made by one, awaited by another.
        let asked = a.clone();
        let call = ask(&b, move |_| asked.call(Question::Who).owned()).await;
        rt.stop(&b, ExitReason::Normal).await.expect("stopped");
        assert_eq!(call.await.expect("answered"), Some(b.pid()), "also of one that has ended");
        let (reply, _answer) = whitebeam_actor::oneshot::<()>();
        assert_eq!(reply.caller(), None);
    });
}

#[test]
fn a_cast_that_waits_is_sent_when_it_is_polled() {
    fn is_send<T: Send>(it: T) -> T {
        it
    }
    everywhere(|rt| async move {
        let (p, events) = (plain(&rt).await, Events::new());
        is_send(p.cast_wait(note(&events, 1))).await.expect("sent");
        // Not awaited, it is not sent.
        let held = Arc::new(());
        let keeps = held.clone();
        let unsent = p.cast_wait(now(move |_| {
            drop(keeps);
            Ok(())
        }));
        assert_eq!(Arc::strong_count(&held), 2);
        drop(unsent);
        assert_eq!(Arc::strong_count(&held), 1);
        // Ready once.
        let mut sent = p.cast_wait(note(&events, 2));
        assert!((&mut sent).now_or_never().expect("there is room").is_ok());
        assert!((&mut sent).now_or_never().is_none());
        settled(&p).await;
        assert_eq!((events.note().await, events.note().await), (1, 2));
        rt.stop(&p, ExitReason::Normal).await.expect("stopped");
        let refused = p.cast_wait(note(&events, 3)).await.expect_err("it has ended");
        assert_eq!(refused.why(), SendFailure::NoProc);
        assert!(matches!(refused.into_message(), Do::Tell(_, Event::Note(3))));
    });
}

#[test]
fn a_cast_to_a_child_does_not_wait_for_an_incarnation() {
    everywhere(|rt| async move {
        let (slot, events) = (ChildSlot::<Do<false>>::new(), Events::new());
        let child = slot.child();
        let refused = child.cast_wait(note(&events, 1)).await.expect_err("nobody yet");
        assert_eq!(refused.why(), SendFailure::Restarting);
        slot.set(plain(&rt).await);
        child.cast_wait(note(&events, 2)).await.expect("sent");
        assert_eq!(events.note().await, 2);
        slot.gone();
        let refused = child.cast_wait(note(&events, 3)).await.expect_err("gone for good");
        assert_eq!(refused.why(), SendFailure::NoProc);
    });
}

/// A limit on an answer that nobody has started a process for: it goes by the clock of the process that waits.
#[test]
fn a_start_that_is_answered_by_others_may_have_a_limit() {
    everywhere(|rt| async move {
        let p = plain(&rt).await;
        for answered in [false, true] {
            let child = p.clone();
            let outcome = p.call(|told| {
                later(move |_, _| {
                    let (reply, answer) = whitebeam_actor::oneshot();
                    let start = whitebeam_actor::Start::answered(answer).timeout(ms(10));
                    async move {
                        let kept = if answered {
                            reply.send(Ok(child));
                            None
                        } else {
                            Some(reply)
                        };
                        told.send(start.await);
                        drop(kept);
                        Ok(())
                    }
                    .boxed()
                })
            });
            match outcome.await.expect("it lives") {
                Ok(child) => assert!(answered && child == p),
                Err(error) => assert!(!answered && matches!(error, StartError::Timeout)),
            }
        }
    });
}

#[test]
fn what_may_be_tried_again() {
    let again = [CallError::Restarting, CallError::Timeout { accepted: false }];
    assert!(again.iter().all(CallError::is_retryable));
    let exit = CallError::Exit(ExitReason::Shutdown);
    let never =
        [CallError::NoProc, exit, CallError::NoReply, CallError::Timeout { accepted: true }];
    assert!(!never.iter().any(CallError::is_retryable));
}

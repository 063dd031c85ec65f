//! Processes in the process form: what their receives take, and what they leave where it is.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests use std's atomics and real time"
)]

use crate::support;

use std::{
    future::{Future, IntoFuture, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use futures_util::{
    future::{Either, join, join_all, select},
    stream::{FuturesUnordered, StreamExt},
};
use support::{
    EXPECTED, everywhere, expect_panics, now,
    puppet::{Done, assert_because, assert_reason, because},
    scaled, simulated, threaded,
};
use whitebeam_actor::{
    ActorRef, CallError, Down, Exit, ExitReason, Handle, Mailbox, Reply, SpawnOptions, oneshot,
};

#[derive(Debug)]
enum Msg {
    Number(u64),
    Get(Reply<u64>),
    Down(Down),
    Exit(Exit),
    Tick,
    Go,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn number(msg: Msg) -> Result<u64, Msg> {
    match msg {
        Msg::Number(number) => Ok(number),
        other => Err(other),
    }
}

fn go(msg: Msg) -> Result<(), Msg> {
    if let Msg::Go = msg { Ok(()) } else { Err(msg) }
}

/// Runs a body and gives what it came to.
async fn run<T, F, Fut>(rt: &Handle, body: F) -> T
where
    T: Send + 'static,
    F: FnOnce(Mailbox<Msg>) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let (reply, answer) = oneshot();
    let _ = rt.spawn_fn(|mailbox: Mailbox<Msg>| async move {
        reply.send(body(mailbox).await);
        Ok(())
    });
    answer.await.expect("the body comes to its end")
}

/// A process that does nothing but live.
fn idle(rt: &Handle) -> ActorRef<Msg> {
    rt.spawn_fn(|_mailbox: Mailbox<Msg>| std::future::pending::<Done>())
}

#[test]
fn messages_are_received_in_order() {
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let mut seen = Vec::new();
            while let Msg::Number(number) = mailbox.recv().await {
                seen.push(number);
            }
            reply.send(seen);
            Ok(())
        });
        let end = rt.down(&process);
        for number in 0..1_000 {
            process.cast(Msg::Number(number)).expect("it lives");
        }
        process.cast(Msg::Go).expect("it lives");
        assert_eq!(answer.await.expect("an answer"), (0..1_000).collect::<Vec<_>>());
        assert_reason(&end.await.reason, &ExitReason::Normal);
    });
}

#[test]
fn what_a_selective_receive_refuses_keeps_its_place() {
    everywhere(|rt| async move {
        let friend = idle(&rt);
        let watched = idle(&rt);
        let (process, ready) = {
            let (reply, ready) = oneshot();
            let (friend, watched) = (friend.pid(), watched.pid());
            let process = rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
                mailbox.trap_exit(Msg::Exit);
                mailbox.link(friend);
                mailbox.monitor(watched, Msg::Down);
                reply.send(());
                // Each is shown once, and in order.
                let mut shown = 0;
                let taken = mailbox
                    .recv_match(|msg| {
                        shown += 1;
                        match msg {
                            Msg::Number(99) => Ok(99),
                            other => Err(other),
                        }
                    })
                    .await;
                assert_eq!((taken, shown), (99, 9));
                // From the middle, from the front and from the back.
                mailbox
                    .recv_match(|msg| if let Msg::Down(down) = msg { Ok(down) } else { Err(msg) })
                    .await;
                assert_eq!(mailbox.recv_match(number).await, 1);
                mailbox.recv_match(go).await;
                // What is left, in its order.
                assert!(matches!(mailbox.recv().await, Msg::Number(2)));
                let Msg::Get(first) = mailbox.recv().await else { panic!("the first request") };
                assert!(matches!(mailbox.recv().await, Msg::Exit(_)));
                let Msg::Get(second) = mailbox.recv().await else { panic!("the second request") };
                assert!(matches!(mailbox.recv().await, Msg::Tick));
                assert!(mailbox.try_recv().is_none());
                second.send(2);
                first.send(1);
                Ok(())
            });
            (process, ready)
        };
        ready.await.expect("it has begun");
        let end = rt.down(&process);
        process.cast(Msg::Number(1)).expect("it lives");
        process.cast(Msg::Number(2)).expect("it lives");
        let mut first = pin!(process.call(Msg::Get).into_future());
        poll_once(first.as_mut()).await;
        rt.exit(&friend, because("over"));
        rt.down(&friend).await;
        let mut second = pin!(process.call(Msg::Get).into_future());
        poll_once(second.as_mut()).await;
        rt.exit(&watched, because("over"));
        rt.down(&watched).await;
        // Its signals are in the stream: a question behind them is answered when they are messages.
        rt.relations(&process).await.expect("it lives");
        process.cast(Msg::Tick).expect("it lives");
        process.cast(Msg::Go).expect("it lives");
        assert_eq!(length_of(&rt, &process, 6).await, 6, "uncounted ones beside");
        process.cast(Msg::Number(99)).expect("it lives");
        let (first, second) = join(first, second).await;
        assert_eq!((first.expect("answered"), second.expect("answered")), (1, 2));
        assert_reason(&end.await.reason, &ExitReason::Normal);
    });
}

/// The length of a mailbox once it is as long as that.
async fn length_of(rt: &Handle, process: &ActorRef<Msg>, least: usize) -> usize {
    loop {
        let info = process.info().expect("it lives");
        if info.mailbox_len >= least {
            return info.mailbox_len;
        }
        rt.sleep(ms(1)).await;
    }
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn own_timers_wait_among_the_messages() {
    simulated(|rt| async move {
        run(&rt, |mut mailbox| async move {
            mailbox.send_after(ms(1), Msg::Tick);
            mailbox.me().cast(Msg::Number(1)).expect("itself");
            mailbox.send_after(ms(2), Msg::Go);
            mailbox.recv_match(go).await;
            mailbox.continue_with(Msg::Number(0));
            assert!(matches!(mailbox.try_recv(), Some(Msg::Number(0))));
            assert!(matches!(mailbox.try_recv(), Some(Msg::Number(1))));
            assert!(matches!(mailbox.try_recv(), Some(Msg::Tick)));
            assert!(mailbox.try_recv().is_none());
            assert!(mailbox.recv_timeout(ms(100)).await.is_none(), "each comes once");
        })
        .await;
    });
}

/// Each message is looked at once, whether it was there or came while the receive waited.
#[test]
fn a_selective_receive_looks_at_each_message_once() {
    let many = scaled(100_000, 2_000) as u64;
    threaded(|rt| async move {
        let (reply, answer) = oneshot();
        let (begun, has_begun) = oneshot();
        let process = rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
            begun.send(());
            let mut looks = 0_u64;
            mailbox
                .recv_match(|msg| {
                    looks += 1;
                    go(msg)
                })
                .await;
            assert_eq!(looks, many + 1);
            assert_eq!(
                mailbox.runtime().info(mailbox.me()).expect("itself").mailbox_len as u64,
                many
            );
            let mut sum = 0;
            while let Some(Msg::Number(number)) = mailbox.try_recv() {
                assert_eq!(number, sum);
                sum += 1;
            }
            reply.send(sum);
            Ok(())
        });
        has_begun.await.expect("it has begun");
        for number in 0..many {
            process.cast(Msg::Number(number)).expect("it lives");
            if number % 64 == 0 {
                // So that it is polled again and again.
                rt.spawn_task(async {}).await;
            }
        }
        process.cast(Msg::Go).expect("it lives");
        assert_eq!(answer.await.expect("an answer"), many);
    });
}

#[test]
fn a_limit_is_kept_to_the_nanosecond_in_virtual_time() {
    simulated(|rt| async move {
        let handle = rt.clone();
        run(&rt, |mut mailbox| async move {
            let begun = now(&handle);
            assert!(mailbox.recv_timeout(ms(7)).await.is_none());
            assert_eq!(now(&handle) - begun, 7_000_000);
            mailbox.send_after(ms(3), Msg::Number(5));
            mailbox.send_after(ms(4), Msg::Go);
            let begun = now(&handle);
            assert!(matches!(mailbox.recv_timeout(ms(10)).await, Some(Msg::Number(5))));
            assert_eq!(now(&handle) - begun, 3_000_000);
            // Refused messages do not make it longer.
            let begun = now(&handle);
            assert!(mailbox.recv_match_timeout(ms(2), number).await.is_none());
            assert_eq!(now(&handle) - begun, 2_000_000);
            assert!(matches!(mailbox.recv().await, Msg::Go));
        })
        .await;
    });
}

/// Whichever of the two comes first, each message is received exactly once.
#[test]
fn a_message_that_races_with_the_limit_is_not_lost() {
    everywhere(|rt| async move {
        let rounds = scaled(500, 50) as u64;
        let (reply, answer) = oneshot();
        let process = rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
            let (mut next, mut late) = (0, 0_u64);
            while next < rounds {
                match mailbox.recv_timeout(Duration::from_micros(50)).await {
                    Some(Msg::Number(number)) => {
                        assert_eq!(number, next);
                        next += 1;
                    }
                    Some(other) => panic!("{other:?} was not sent"),
                    None => late += 1,
                }
            }
            reply.send(late);
            Ok(())
        });
        for number in 0..rounds {
            rt.sleep(Duration::from_micros(50)).await;
            process.cast(Msg::Number(number)).expect("it lives");
        }
        answer.await.expect("all of them");
    });
}

#[test]
fn a_receive_may_be_dropped_and_begun_anew() {
    everywhere(|rt| async move {
        let each = scaled(2_000, 200) as u64;
        let (reply, answer) = oneshot();
        let process = rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
            let handle = mailbox.runtime();
            let mut next = [0_u64; 4];
            let mut rounds = 0_u64;
            while next.iter().sum::<u64>() < 4 * each {
                rounds += 1;
                let other = handle.sleep(Duration::from_micros(rounds % 5));
                let received = if rounds.is_multiple_of(2) {
                    match select(mailbox.recv(), other).await {
                        Either::Left((msg, _)) => Some(number(msg).expect("a number")),
                        Either::Right(_) => None,
                    }
                } else {
                    // One sender's alone: those of the others stay.
                    let sender = rounds / 2 % 4;
                    let of = |msg| match msg {
                        Msg::Number(number) if number % 4 == sender => Ok(number),
                        other => Err(other),
                    };
                    let receive = pin!(mailbox.recv_match(of));
                    match select(receive, other).await {
                        Either::Left((number, _)) => Some(number),
                        Either::Right(_) => None,
                    }
                };
                if let Some(number) = received {
                    let (sender, number) = ((number % 4) as usize, number / 4);
                    assert_eq!(number, next[sender], "of sender {sender}");
                    next[sender] += 1;
                }
            }
            assert!(mailbox.try_recv().is_none());
            reply.send(());
            Ok(())
        });
        let senders = (0..4).map(|sender| {
            let (process, handle) = (process.clone(), rt.clone());
            rt.spawn_task(async move {
                for number in 0..each {
                    process.cast(Msg::Number(number * 4 + sender)).expect("it lives");
                    if number % 16 == 0 {
                        handle.sleep(Duration::from_micros(3)).await;
                    }
                }
            })
        });
        join_all(senders.collect::<Vec<_>>()).await;
        answer.await.expect("all of them");
    });
}

/// A combinator polls what its own waker was woken for only.
#[test]
fn a_receive_inside_of_a_combinator_is_woken() {
    enum Of {
        Message(Msg),
        Time,
    }
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let handle = mailbox.runtime();
            for round in 0..200 {
                let mut both = FuturesUnordered::new();
                let receive = mailbox.recv_match(number);
                both.push(Either::Left(async { Of::Message(Msg::Number(receive.await)) }));
                both.push(Either::Right(async {
                    handle.sleep(Duration::from_micros(20)).await;
                    Of::Time
                }));
                loop {
                    match both.next().await.expect("two of them") {
                        Of::Message(Msg::Number(number)) => {
                            assert_eq!(number, round);
                            break;
                        }
                        Of::Message(other) => panic!("{other:?} was refused"),
                        Of::Time => {}
                    }
                }
            }
            reply.send(());
            Ok(())
        });
        for round in 0..200 {
            if round % 3 == 0 {
                process.cast(Msg::Tick).expect("it lives");
            }
            process.cast(Msg::Number(round)).expect("it lives");
            if round % 4 == 0 {
                rt.sleep(Duration::from_micros(30)).await;
            }
        }
        answer.await.expect("all of them");
    });
}

#[test]
fn try_recv_sees_all_that_was_sent_before() {
    everywhere(|rt| async move {
        run(&rt, |mut mailbox| async move {
            let me = mailbox.me();
            assert!(mailbox.try_recv().is_none());
            for number in 0..300 {
                me.cast(Msg::Number(number)).expect("itself");
            }
            for number in 0..300 {
                let Some(Msg::Number(received)) = mailbox.try_recv() else { panic!("{number}") };
                assert_eq!(received, number);
            }
            assert!(mailbox.try_recv().is_none());
            // Signals that become messages as well.
            mailbox.trap_exit(Msg::Exit);
            mailbox.exit(me.clone(), because("mine"));
            assert!(
                matches!(mailbox.try_recv(), Some(Msg::Exit(exit)) if exit.from == Some(me.pid()))
            );
            let gone = mailbox.spawn_fn(|_: Mailbox<Msg>| async { Ok(()) });
            mailbox.runtime().down(&gone).await;
            mailbox.monitor(&gone, Msg::Down);
            assert!(matches!(mailbox.try_recv(), Some(Msg::Down(_))));
            // And so does a limit of zero, by choice too.
            me.cast(Msg::Tick).expect("itself");
            me.cast(Msg::Number(7)).expect("itself");
            assert_eq!(mailbox.recv_match_timeout(Duration::ZERO, number).await, Some(7));
            assert!(matches!(mailbox.recv_timeout(Duration::ZERO).await, Some(Msg::Tick)));
            assert!(mailbox.recv_timeout(Duration::ZERO).await.is_none());
        })
        .await;
    });
}

/// What drains the inbox inside of the body takes the sign of a wake that something else waits for.
#[test]
fn a_drain_in_the_body_takes_nobodys_wake() {
    everywhere(|rt| async move {
        run(&rt, |mut mailbox| async move {
            let handle = mailbox.runtime();
            for _ in 0..100 {
                let (reply, mut answer) = oneshot::<u64>();
                let task = handle.spawn_task(async move { reply.send(4) });
                let value = poll_fn(|cx| {
                    let polled = std::pin::Pin::new(&mut answer).poll(cx);
                    // Again and again, while the answer comes.
                    for _ in 0..20 {
                        assert!(mailbox.try_recv().is_none());
                    }
                    polled
                })
                .await;
                assert_eq!(value.expect("answered"), 4);
                task.await;
            }
        })
        .await;
    });
}

#[test]
fn a_body_calls_while_messages_come_and_answers_later() {
    everywhere(|rt| async move {
        let server = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let mut kept: Vec<Reply<u64>> = Vec::new();
            loop {
                match mailbox.recv().await {
                    Msg::Get(reply) => kept.push(reply),
                    // In the opposite order.
                    _ => {
                        let mut answers = 0..;
                        while let Some(reply) = kept.pop() {
                            reply.send(answers.next().expect("no end"));
                        }
                    }
                }
            }
        });
        let asked = server.clone();
        let client = rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
            let Msg::Get(reply) = mailbox.recv().await else { panic!("a request") };
            let answer = asked.call(Msg::Get).await?;
            // They came while the call waited.
            let mut sum = 0;
            for _ in 0..10 {
                sum += mailbox.recv_match(number).await;
            }
            reply.send(answer + sum);
            Ok(())
        });
        let mut own = pin!(server.call(Msg::Get).into_future());
        poll_once(own.as_mut()).await;
        let mut answer = pin!(client.call(Msg::Get).into_future());
        poll_once(answer.as_mut()).await;
        for number in 0..10 {
            client.cast(Msg::Number(number)).expect("it waits");
        }
        // Both requests are with the server.
        while server.info().expect("it lives").handled < 2 {
            rt.sleep(ms(1)).await;
        }
        server.cast(Msg::Go).expect("it lives");
        let (own, answer) = join(own, answer).await;
        assert_eq!((own.expect("answered"), answer.expect("answered")), (1, 45));
    });
}

#[test]
fn what_is_unread_at_the_end_is_answered_with_the_reason() {
    everywhere(|rt| async move {
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            // One of the requests goes with the body, the others are refused.
            let _kept = mailbox.recv().await;
            mailbox.recv_match(go).await;
            Err(because("enough"))
        });
        let calls: Vec<_> =
            (0..5).map(|_| process.call(Msg::Get).no_timeout().owned().into_future()).collect();
        let go = async {
            length_of(&rt, &process, 4).await;
            process.cast(Msg::Go).expect("it lives");
        };
        for outcome in join(join_all(calls), go).await.0 {
            match outcome {
                Err(CallError::Exit(reason)) => assert_because(&reason, "enough"),
                other => panic!("{other:?}"),
            }
        }
        assert!(process.cast(Msg::Go).is_err());
    });
}

/// On one worker: a body that always finds a message gives way to others.
#[test]
fn a_busy_body_starves_nobody() {
    threaded(|rt| async move {
        let stop = Arc::new(AtomicUsize::new(0));
        let stopped = stop.clone();
        let busy = rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
            let me = mailbox.me();
            while stopped.load(Relaxed) == 0 {
                me.cast(Msg::Tick)?;
                mailbox.recv().await;
            }
            Ok(())
        });
        let end = rt.down(&busy);
        let echo = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            loop {
                if let Msg::Get(reply) = mailbox.recv().await {
                    reply.send(1);
                }
            }
        });
        for _ in 0..100 {
            assert_eq!(echo.call(Msg::Get).no_timeout().await.expect("it lives"), 1);
        }
        stop.store(1, Relaxed);
        assert_reason(&end.await.reason, &ExitReason::Normal);
    });
}

/// Also while it refuses all that it finds, and while each takes its time.
#[test]
fn a_long_search_can_be_ended() {
    threaded(|rt| async move {
        let searches = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let me = mailbox.me();
            me.cast(Msg::Tick)?;
            mailbox
                .recv_match(|msg| {
                    std::thread::sleep(Duration::from_micros(20));
                    // It never comes to the end.
                    me.cast(Msg::Tick).map_err(|refused| refused.into_message())?;
                    go(msg)
                })
                .await;
            Ok(())
        });
        length_of(&rt, &searches, 50).await;
        let end = rt.down(&searches);
        rt.exit(&searches, because("enough"));
        assert_because(&end.await.reason, "enough");
    });
}

#[test]
fn a_message_that_the_search_panics_with_is_gone() {
    expect_panics();
    everywhere(|rt| async move {
        run(&rt, |mut mailbox| async move {
            let me = mailbox.me();
            let counted = Arc::new(());
            me.cast(Msg::Number(1)).expect("itself");
            let request = me.call(Msg::Get).owned();
            let mut request = pin!(request.into_future());
            poll_once(request.as_mut()).await;
            me.cast(Msg::Number(2)).expect("itself");
            for _ in 0..2 {
                let held = counted.clone();
                let mut receive = pin!(mailbox.recv_match(move |_| -> Result<(), Msg> {
                    let _held = &held;
                    panic!("{EXPECTED}")
                }));
                loop {
                    let polled = poll_fn(|cx| {
                        let poll = || receive.as_mut().poll(cx).is_ready();
                        let poll = std::panic::AssertUnwindSafe(poll);
                        Poll::Ready(std::panic::catch_unwind(poll))
                    });
                    match polled.await {
                        Err(_) => break,
                        Ok(is_ready) => assert!(!is_ready),
                    }
                    support::yield_now().await;
                }
            }
            assert!(matches!(mailbox.try_recv(), Some(Msg::Number(2))));
            assert_eq!(mailbox.runtime().info(&me).expect("itself").mailbox_len, 0);
            assert!(matches!(request.await, Err(CallError::NoReply)));
            assert_eq!(Arc::strong_count(&counted), 1);
        })
        .await;
    });
}

/// The closure may answer a request and give something else back in its place.
#[test]
fn a_request_may_be_answered_and_replaced_where_it_is() {
    everywhere(|rt| async move {
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let answered = |msg| match msg {
                Msg::Get(reply) => {
                    reply.send(3);
                    Err::<(), _>(Msg::Number(8))
                }
                Msg::Go => Ok(()),
                other => Err(other),
            };
            mailbox.recv_match(answered).await;
            assert!(matches!(mailbox.recv().await, Msg::Tick));
            assert!(matches!(mailbox.recv().await, Msg::Number(8)));
            Err(because("done"))
        });
        let end = rt.down(&process);
        process.cast(Msg::Tick).expect("it lives");
        assert_eq!(process.call(Msg::Get).await.expect("answered"), 3);
        process.cast(Msg::Go).expect("it lives");
        assert_because(&end.await.reason, "done");
    });
}

#[test]
fn many_processes_with_names_and_labels() {
    everywhere(|rt| async move {
        let many = scaled(if rt.workers() == 4 { 10_000 } else { 1_000 }, 200);
        let options = SpawnOptions::new().name("hub").label("counts");
        let (reply, answer) = oneshot();
        let hub = rt.with(options.clone()).spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
            let mut sum = 0;
            for _ in 0..many {
                sum += mailbox.recv_match(number).await;
            }
            reply.send(sum);
            mailbox.recv_match(go).await;
            Ok(())
        });
        assert_eq!(rt.whereis("hub"), Some(hub.pid()));
        let info = hub.info().expect("it lives");
        assert!(info.actor.contains("many_processes_with_names_and_labels"), "{}", info.actor);
        // The name is taken: the body is dropped unrun.
        let (dropped, was_dropped) = oneshot::<()>();
        let taken = rt.with(options).spawn_fn(move |_: Mailbox<Msg>| async move {
            dropped.send(());
            Ok(())
        });
        assert!(!taken.is_alive());
        assert!(was_dropped.await.is_err());
        let workers: Vec<ActorRef<Msg>> = (0..many)
            .map(|_| {
                let hub = hub.clone();
                rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
                    let number = mailbox.recv_match(number).await;
                    hub.cast(Msg::Number(number))?;
                    Ok(())
                })
            })
            .collect();
        for (number, worker) in workers.iter().enumerate() {
            worker.cast(Msg::Number(number as u64)).expect("it waits");
        }
        assert_eq!(answer.await.expect("all of them"), (0..many as u64).sum());
        let end = rt.down(&hub);
        hub.cast(Msg::Go).expect("it lives");
        assert_reason(&end.await.reason, &ExitReason::Normal);
        assert_eq!(rt.whereis("hub"), None);
    });
}

//! Calls: replies now and later, errors, timeouts, combinators, threads.

use crate::support;

use std::{sync::mpsc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{join, join_all, select},
    stream::FuturesUnordered,
};
use support::everywhere;
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, ExitReason, Reply, Runtime, StartError,
};

#[derive(Debug)]
struct Boom;
impl std::fmt::Display for Boom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("boom")
    }
}
impl std::error::Error for Boom {}

/// Answers, keeps, drops and forwards replies.
struct Server {
    kept: Vec<Reply<u32>>,
}

enum Msg {
    Echo(u32, Reply<u32>),
    Keep(Reply<u32>),
    AnswerKept(u32),
    Drop(Reply<u32>),
    Fail(Reply<u32>),
    Panic(Reply<u32>),
    Stop(Reply<u32>),
    StopKeeping(Reply<u32>),
    Ask(ActorRef<Msg>, Reply<Result<u32, CallError>>),
    AskBoth(ActorRef<Msg>, Reply<u32>),
    AskMany(ActorRef<Msg>, Reply<u32>),
    Forward(ActorRef<Msg>, Reply<u32>),
}

impl Actor for Server {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Server { kept: Vec::new() })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Echo(n, reply) => reply.send(n),
            Msg::Keep(reply) => self.kept.push(reply),
            Msg::AnswerKept(n) => self.kept.drain(..).for_each(|reply| reply.send(n)),
            Msg::Drop(reply) => drop(reply),
            Msg::Fail(_reply) => Err(Boom)?,
            Msg::Panic(_reply) => panic!("told to"),
            Msg::Stop(reply) => {
                reply.send(1);
                cx.stop(ExitReason::Normal);
            }
            Msg::StopKeeping(reply) => {
                self.kept.push(reply);
                cx.stop(ExitReason::custom("enough"));
            }
            Msg::Ask(other, reply) => reply.send(other.call(|r| Msg::Echo(7, r)).await),
            Msg::AskBoth(other, reply) => {
                let (a, b) = join(
                    other.call(|r| Msg::Echo(1, r)).into_future(),
                    other.call(|r| Msg::Echo(2, r)).into_future(),
                )
                .await;
                reply.send(a? * 10 + b?);
            }
            Msg::AskMany(other, reply) => {
                let mut calls: FuturesUnordered<_> = (0..100)
                    .map(|n| other.call(|r| Msg::Echo(n, r)).owned().into_future())
                    .collect();
                let mut sum = 0;
                while let Some(n) = calls.next().await {
                    sum += n?;
                }
                reply.send(sum);
            }
            Msg::Forward(other, reply) => other.cast(Msg::Echo(9, reply))?,
        }
        Ok(())
    }
}

use std::future::IntoFuture;

#[test]
fn a_reply_comes_now_later_or_from_another_actor() {
    everywhere(|rt| async move {
        let a = rt.start::<Server>(()).await.expect("start");
        let b = rt.start::<Server>(()).await.expect("start");
        assert_eq!(a.call(|r| Msg::Echo(3, r)).await.expect("echo"), 3);
        let mut kept = std::pin::pin!(a.call(Msg::Keep).into_future());
        assert!(kept.as_mut().now_or_never().is_none());
        // The call before was handled when this one is answered.
        a.call(|r| Msg::Echo(0, r)).await.expect("echo");
        a.cast(Msg::AnswerKept(5)).expect("cast");
        assert_eq!(kept.await.expect("kept reply"), 5);
        assert_eq!(a.call(|r| Msg::Forward(b.clone(), r)).await.expect("forwarded"), 9);
        let asked = a.call(|r| Msg::Ask(b.clone(), r)).await.expect("asked");
        assert_eq!(asked.expect("its own call"), 7);
    });
}

#[test]
fn concurrent_calls_of_one_handler_work_in_combinators() {
    everywhere(|rt| async move {
        let a = rt.start::<Server>(()).await.expect("start");
        let b = rt.start::<Server>(()).await.expect("start");
        assert_eq!(a.call(|r| Msg::AskBoth(b.clone(), r)).await.expect("join"), 12);
        assert_eq!(a.call(|r| Msg::AskMany(b.clone(), r)).await.expect("unordered"), 4950);
        let all = join_all((0..50).map(|n| b.call(move |r| Msg::Echo(n, r)).into_future())).await;
        assert_eq!(all.into_iter().map(|n| n.expect("echo")).sum::<u32>(), 1225);
    });
}

#[test]
fn who_waits_is_told_why_no_reply_will_come() {
    everywhere(|rt| async move {
        let a = rt.start::<Server>(()).await.expect("start");
        let dropped = a.call(Msg::Drop).await;
        assert!(matches!(dropped, Err(CallError::NoReply)), "{dropped:?}");
        assert!(a.is_alive());
        let failed = a.call(Msg::Fail).await;
        match failed {
            Err(CallError::Exit(reason)) => assert!(reason.is::<Boom>(), "{reason:?}"),
            other => panic!("{other:?}"),
        }
        let gone = a.call(|r| Msg::Echo(1, r)).await;
        assert!(matches!(gone, Err(CallError::NoProc)), "{gone:?}");
        let b = rt.start::<Server>(()).await.expect("start");
        let panicked = b.call(Msg::Panic).await;
        match panicked {
            Err(CallError::Exit(ExitReason::Panic(info))) => {
                assert_eq!(info.message(), "told to");
                assert!(info.location().is_some_and(|at| at.contains("calls.rs")), "{info:?}");
            }
            other => panic!("{other:?}"),
        }
        let c = rt.start::<Server>(()).await.expect("start");
        assert_eq!(c.call(Msg::Stop).await.expect("a reply given with the stop goes out"), 1);
        let d = rt.start::<Server>(()).await.expect("start");
        let kept = d.call(Msg::StopKeeping).await;
        match kept {
            Err(CallError::Exit(reason)) => assert_eq!(reason.downcast_ref(), Some(&"enough")),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn an_unread_request_is_answered_with_the_exit_reason() {
    everywhere(|rt| async move {
        let a = rt.start::<Server>(()).await.expect("start");
        let first = a.call(Msg::StopKeeping).into_future();
        let second = a.call(|r| Msg::Echo(2, r)).into_future();
        let (first, second) = join(first, second).await;
        assert!(matches!(first, Err(CallError::Exit(_))), "{first:?}");
        // Behind the stop in the mailbox, or after the end.
        assert!(matches!(second, Err(CallError::Exit(_) | CallError::NoProc)), "{second:?}");
    });
}

#[test]
fn a_timeout_is_never_early_and_nothing_of_the_call_comes_later() {
    everywhere(|rt| async move {
        let a = rt.start::<Server>(()).await.expect("start");
        for time in [Duration::from_millis(5), Duration::from_millis(300)] {
            let timer = rt.sleep(time);
            let late = a.call(Msg::Keep).timeout(time).await;
            assert!(matches!(late, Err(CallError::Timeout { accepted: true })), "{late:?}");
            // Both clocks started together: the earlier one is over at once.
            timer.await;
        }
        a.cast(Msg::AnswerKept(1)).expect("the server lives");
        assert_eq!(a.call(|r| Msg::Echo(4, r)).await.expect("echo"), 4);
    });
}

/// Calls with a timeout from inside a handler, whose cell looks after it.
struct Impatient;
impl Actor for Impatient {
    type Args = ();
    type Msg = (ActorRef<Msg>, Duration, Reply<Result<u32, CallError>>);
    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Impatient)
    }
    async fn handle(
        &mut self,
        (server, time, reply): Self::Msg,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        // Answered at once, then one that is not: the timeout of the first must not end the second.
        // (On a busy machine the first may be late.)
        let _ = server.call(|r| Msg::Echo(1, r)).timeout(time).await;
        reply.send(server.call(Msg::Keep).timeout(time).await);
        Ok(())
    }
}

#[test]
fn a_handlers_own_call_times_out() {
    everywhere(|rt| async move {
        let server = rt.start::<Server>(()).await.expect("start");
        let caller = rt.start::<Impatient>(()).await.expect("start");
        for time in [Duration::from_millis(3), Duration::from_millis(260)] {
            let timer = rt.sleep(time);
            let late = caller.call(|r| (server.clone(), time, r)).await.expect("the caller lives");
            assert!(matches!(late, Err(CallError::Timeout { accepted: true })), "{late:?}");
            timer.await;
        }
    });
}

#[test]
fn a_call_that_lost_a_race_is_forgotten() {
    everywhere(|rt| async move {
        let a = rt.start::<Server>(()).await.expect("start");
        for n in 0..100 {
            let slow = a.call(Msg::Keep).into_future();
            let fast = a.call(|r| Msg::Echo(n, r)).into_future();
            match select(slow, fast).await {
                futures_util::future::Either::Right((n_back, _slow)) => {
                    assert_eq!(n_back.expect("echo"), n);
                }
                other => panic!(
                    "a kept reply came first: {}",
                    matches!(other, futures_util::future::Either::Left(_))
                ),
            }
        }
        a.cast(Msg::AnswerKept(0)).expect("cast");
        assert_eq!(a.call(|r| Msg::Echo(1, r)).await.expect("echo"), 1);
    });
}

#[test]
fn the_reply_may_be_given_away_before_the_request_is_sent() {
    everywhere(|rt| async move {
        let a = rt.start::<Server>(()).await.expect("start");
        // Answered by the closure itself.
        let answered = a
            .call(|r: Reply<u32>| {
                r.send(11);
                Msg::AnswerKept(0)
            })
            .await;
        assert_eq!(answered.expect("answered"), 11);
        // Taken out of the closure, and answered from here while the request waits elsewhere.
        for _ in 0..100 {
            let mut stolen = None;
            let mut call = std::pin::pin!(
                a.call(|r: Reply<u32>| {
                    stolen = Some(r);
                    Msg::AnswerKept(0)
                })
                .into_future()
            );
            assert!(call.as_mut().now_or_never().is_none());
            stolen.take().expect("the closure ran").send(12);
            assert_eq!(call.await.expect("answered"), 12);
        }
        assert_eq!(a.call(|r| Msg::Echo(1, r)).await.expect("echo"), 1);
    });
}

#[test]
fn a_plain_thread_waits_for_its_reply() {
    let rt = Runtime::builder().workers(2).build().expect("threads");
    let a = rt.spawn::<Server>(());
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let a = a.clone();
            std::thread::spawn(move || {
                for n in 0..2000 {
                    assert_eq!(a.call(|r| Msg::Echo(n + t, r)).blocking().expect("echo"), n + t);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("a thread that called"));
    let late = a.call(Msg::Keep).timeout(Duration::from_millis(10)).blocking();
    assert!(matches!(late, Err(CallError::Timeout { accepted: true })), "{late:?}");
    rt.block_on(rt.shutdown(Duration::from_secs(5)));
    let gone = a.call(|r| Msg::Echo(1, r)).blocking();
    assert!(matches!(gone, Err(CallError::NoProc)), "{gone:?}");
}

/// Blocks its worker: a mistake that must be told.
struct Blocks;
impl Actor for Blocks {
    type Args = ActorRef<Msg>;
    type Msg = ();
    async fn init(other: ActorRef<Msg>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let _ = other.call(|r| Msg::Echo(1, r)).blocking();
        Ok(Blocks)
    }
    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

#[test]
fn blocking_on_a_worker_is_refused_with_a_clear_text() {
    everywhere(|rt| async move {
        let a = rt.start::<Server>(()).await.expect("start");
        match rt.start::<Blocks>(a).await {
            Err(StartError::Exit(ExitReason::Panic(info))) => {
                assert!(info.message().contains("await the call instead"), "{info:?}");
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_call_may_move_between_polls_and_outlive_its_reference() {
    let rt = Runtime::builder().workers(2).build().expect("threads");
    let a = rt.spawn::<Server>(());
    let (tx, rx) = mpsc::channel();
    let mut call = a.call(Msg::Keep).owned().into_future();
    let first = rt.block_on(async { (&mut call).now_or_never() });
    assert!(first.is_none());
    let handle = rt.handle();
    let thread = std::thread::spawn(move || {
        tx.send(()).expect("the test waits");
        futures_util::future::FutureExt::now_or_never(async {});
        handle.spawn_task(call)
    });
    rx.recv().expect("the thread runs");
    let task = thread.join().expect("the thread");
    a.cast(Msg::AnswerKept(3)).expect("cast");
    assert_eq!(rt.block_on(task).expect("kept"), 3);
}

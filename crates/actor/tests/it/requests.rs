//! Requests and their replies: timeouts, errors, collections of requests, replies from elsewhere, threads.

use crate::support;

use std::{
    future::{Future, IntoFuture},
    pin::pin,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use support::{
    everywhere, now,
    puppet::{Do, Event, Events, assert_because, because, note, plain, settled},
    threaded,
};
use whitebeam_actor::{
    Actor, ActorRef, CallError, CallFuture, Context, ExitReason, Handle, Pid, Reply,
};

/// Answers in several ways.
struct Desk {
    kept: Vec<Reply<u64>>,
}

enum Ask {
    /// Answers with the number.
    Echo(u64, Reply<u64>),
    /// Answers after a time, in which it handles nothing else.
    Slow(u64, u64, Reply<u64>),
    /// Keeps the reply.
    Keep(Reply<u64>),
    /// Answers those it has kept.
    AnswerKept(u64),
    /// Drops the reply.
    Forget(Reply<u64>),
    /// Ends with the reply in hand.
    End(ExitReason, Reply<u64>),
    /// Has another process answer.
    Pass(ActorRef<Do<false>>, u64, Reply<u64>),
}

impl Actor for Desk {
    type Args = ();
    type Msg = Ask;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Desk { kept: Vec::new() })
    }

    async fn handle(&mut self, ask: Ask, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match ask {
            Ask::Echo(n, reply) => reply.send(n),
            Ask::Slow(ms, n, reply) => {
                cx.runtime().sleep(Duration::from_millis(ms)).await;
                reply.send(n);
            }
            Ask::Keep(reply) => self.kept.push(reply),
            Ask::AnswerKept(n) => self.kept.drain(..).for_each(|reply| reply.send(n)),
            Ask::Forget(reply) => drop(reply),
            Ask::End(reason, _reply) => return Err(reason),
            Ask::Pass(other, n, reply) => other.cast(support::puppet::now(move |_| {
                reply.send(n);
                Ok(())
            }))?,
        }
        Ok(())
    }
}

async fn desk(rt: &Handle) -> ActorRef<Ask> {
    rt.start::<Desk>(()).await.expect("a desk")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A request that is sent, and not yet waited for.
fn sent(to: &ActorRef<Ask>, f: impl FnOnce(Reply<u64>) -> Ask) -> CallFuture<'static, Ask, u64> {
    let mut request = to.call(f).no_timeout().owned().into_future();
    assert!((&mut request).now_or_never().is_none(), "it was only just sent");
    request
}

#[test]
fn srv_021_a_timeout_is_the_callers_alone() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        let caller = plain(&rt).await;
        let asked = server.clone();
        let answer = caller.call(move |reply| {
            support::puppet::later(move |_, _| {
                Box::pin(async move {
                    reply.send(asked.call(|r| Ask::Slow(30, 1, r)).timeout(ms(1)).await);
                    Ok(())
                })
            })
        });
        let answer = answer.await.expect("the caller lives");
        assert!(matches!(answer, Err(CallError::Timeout { accepted: true })), "{answer:?}");
        settled(&caller).await;
        assert_eq!(server.call(|r| Ask::Echo(2, r)).await.expect("not affected"), 2);
    });
}

#[test]
fn srv_022_a_late_reply_reaches_nobody() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        let events = Events::new();
        let caller = plain(&rt).await;
        let (asked, told) = (server.clone(), events.clone());
        let call = support::puppet::later(move |_, _| {
            Box::pin(async move {
                let late = asked.call(Ask::Keep).timeout(ms(5)).await;
                assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
                told.send(Event::Note(1));
                Ok(())
            })
        });
        caller.cast(call).expect("cast");
        assert_eq!(events.note().await, 1);
        server.cast(Ask::AnswerKept(7)).expect("cast");
        rt.sleep(ms(500)).await;
        // Nothing but what is sent now has come to the caller.
        let before = rt.info(&caller).expect("alive").handled;
        caller.cast(note(&events, 2)).expect("cast");
        assert_eq!(events.note().await, 2);
        settled(&caller).await;
        assert_eq!(rt.info(&caller).expect("alive").handled, before + 2);
    });
}

#[test]
fn srv_024_the_servers_end_answers_at_once() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        let begun = now(&rt);
        let error = server.call(|r| Ask::End(because("boom"), r)).no_timeout().await;
        let Err(CallError::Exit(reason)) = error else { panic!("{error:?}") };
        assert_because(&reason, "boom");
        let gone = server.call(|r| Ask::Echo(1, r)).no_timeout().await;
        assert!(matches!(gone, Err(CallError::NoProc)), "{gone:?}");
        assert!(now(&rt) - begun < 1_000_000_000, "nobody waited for a timeout");
    });
}

/// A reply that is kept unanswered runs into the timeout; without one the caller waits until the server ends. A
/// reply that is dropped is told of early.
#[test]
fn srv_028_a_server_that_never_replies() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        let late = server.call(Ask::Keep).timeout(ms(1)).await;
        assert!(matches!(late, Err(CallError::Timeout { accepted: true })), "{late:?}");
        let dropped = server.call(Ask::Forget).no_timeout().await;
        assert!(matches!(dropped, Err(CallError::NoReply)), "{dropped:?}");
        let mut waiting = sent(&server, Ask::Keep);
        assert_eq!(server.call(|r| Ask::Echo(1, r)).await.expect("alive"), 1);
        assert!((&mut waiting).now_or_never().is_none(), "it has kept the reply");
        rt.exit(&server, because("over"));
        let Err(CallError::Exit(reason)) = waiting.await else { panic!("it ended") };
        assert_because(&reason, "over");
    });
}

#[test]
fn srv_029_a_request_waits_without_a_limit() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        assert_eq!(sent(&server, |r| Ask::Slow(6_000, 3, r)).await.expect("a reply"), 3);
    });
}

#[test]
fn srv_030_replies_are_collected_in_either_order() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        for backwards in [false, true] {
            let one = sent(&server, |r| Ask::Slow(2, 1, r));
            let two = sent(&server, |r| Ask::Echo(2, r));
            let (first, second) = if backwards { (two, one) } else { (one, two) };
            let (first, second) = (first.await.expect("reply"), second.await.expect("reply"));
            assert_eq!((first, second), if backwards { (2, 1) } else { (1, 2) });
        }
    });
}

#[test]
fn srv_031_a_request_is_looked_at_and_waited_for_later() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        let mut request = sent(&server, |r| Ask::Slow(50, 4, r));
        assert!((&mut request).now_or_never().is_none(), "pending");
        match select(&mut request, rt.sleep(ms(1))).await {
            Either::Left((answer, _)) => panic!("early: {answer:?}"),
            Either::Right(_) => {}
        }
        assert_eq!(request.await.expect("the same future"), 4);
    });
}

/// A name that nobody has, and a node that is not there, have no address that a request could be sent to.
#[test]
fn srv_032_a_request_to_who_ends_or_has_ended() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        let crash = sent(&server, |r| Ask::End(because("boom"), r));
        let Err(CallError::Exit(reason)) = crash.await else { panic!("it ended") };
        assert_because(&reason, "boom");
        // To send is no error; the answer is.
        let mut dead = server.call(|r| Ask::Echo(1, r)).no_timeout().owned().into_future();
        let answer = (&mut dead).now_or_never().expect("at once");
        assert!(matches!(answer, Err(CallError::NoProc)), "{answer:?}");
    });
}

/// Replies do not go through the mailbox: what is in there is left to the caller, in its order.
#[test]
fn srv_033_messages_are_no_replies() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        let caller = plain(&rt).await;
        let events = Events::new();
        let (asked, told) = (server.clone(), events.clone());
        let call = support::puppet::later(move |_, _| {
            Box::pin(async move {
                let answer = asked.call(|r| Ask::Slow(20, 100, r)).await?;
                told.send(Event::Note(answer));
                Ok(())
            })
        });
        caller.cast(call).expect("cast");
        for n in 1..=3 {
            caller.cast(note(&events, n)).expect("cast");
        }
        assert_eq!(events.note().await, 100, "the reply does not wait for the messages");
        for n in 1..=3 {
            assert_eq!(events.note().await, n);
        }
    });
}

/// A labelled request of a collection.
async fn labelled<L>(
    label: L,
    request: impl Future<Output = Result<u64, CallError>>,
) -> (L, Result<u64, CallError>) {
    (label, request.await)
}

/// A collection of requests is any collection of futures.
#[test]
fn srv_034_a_collection_answers_by_readiness() {
    everywhere(|rt| async move {
        let servers = [desk(&rt).await, desk(&rt).await, desk(&rt).await];
        let mut requests: FuturesUnordered<_> = [(400, "a"), (1, "b"), (200, "c")]
            .into_iter()
            .zip(&servers)
            .map(|((delay, label), to)| labelled(label, sent(to, |r| Ask::Slow(delay, delay, r))))
            .collect();
        for (label, delay, left) in [("b", 1, 2), ("c", 200, 1), ("a", 400, 0)] {
            let (who, answer) = requests.next().await.expect("one more");
            assert_eq!((who, answer.expect("a reply"), requests.len()), (label, delay, left));
        }
        assert!(requests.next().await.is_none(), "no request is left");
    });
}

#[test]
fn srv_035_a_collection_keeps_what_a_deadline_leaves() {
    everywhere(|rt| async move {
        let servers = [desk(&rt).await, desk(&rt).await, desk(&rt).await];
        let mut requests: FuturesUnordered<_> = [1_000, 1, 500]
            .into_iter()
            .zip(&servers)
            .map(|(delay, to)| sent(to, |r| Ask::Slow(delay, delay, r)))
            .collect();
        let mut deadline = pin!(rt.sleep(ms(100)));
        let mut in_time = Vec::new();
        while let Either::Left((answer, _)) = select(requests.next(), deadline.as_mut()).await {
            in_time.push(answer.expect("one").expect("a reply"));
        }
        assert_eq!((in_time, requests.len()), (vec![1], 2));
        let mut later = Vec::new();
        while let Some(answer) = requests.next().await {
            later.push(answer.expect("a reply"));
        }
        assert_eq!(later, [500, 1_000]);
    });
}

#[test]
fn srv_036_a_collection_tells_of_an_end_by_its_label() {
    everywhere(|rt| async move {
        let servers = [desk(&rt).await, desk(&rt).await, desk(&rt).await];
        let requests: FuturesUnordered<_> = servers
            .iter()
            .enumerate()
            .map(|(n, to)| {
                labelled(
                    n,
                    sent(to, |r| match n {
                        1 => Ask::End(ExitReason::Shutdown, r),
                        _ => Ask::Slow(10, 5, r),
                    }),
                )
            })
            .collect();
        let mut answers: Vec<_> = requests.collect().await;
        answers.sort_by_key(|(label, _)| *label);
        assert_eq!(answers.len(), 3);
        for (label, answer) in answers {
            match (label, answer) {
                (1, Err(CallError::Exit(ExitReason::Shutdown))) | (0 | 2, Ok(5)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

/// Whoever waits for several requests is woken by those alone: each message stays for the handler.
#[test]
fn srv_038_a_collection_leaves_messages_alone() {
    everywhere(|rt| async move {
        let servers = [desk(&rt).await, desk(&rt).await];
        let caller = plain(&rt).await;
        let events = Events::new();
        let told = events.clone();
        let collect = support::puppet::later(move |_, _| {
            Box::pin(async move {
                let mut requests: FuturesUnordered<_> = servers
                    .iter()
                    .zip([30_u64, 20])
                    .map(|(to, delay)| labelled(delay, sent(to, move |r| Ask::Slow(delay, 0, r))))
                    .collect();
                while let Some((label, answer)) = requests.next().await {
                    answer?;
                    told.send(Event::Note(label));
                }
                Ok(())
            })
        });
        caller.cast(collect).expect("cast");
        caller.cast(note(&events, 1)).expect("cast");
        let mut told = Vec::new();
        for _ in 0..3 {
            told.push(events.note().await);
        }
        assert_eq!(told, [20, 30, 1]);
    });
}

#[test]
fn srv_060_another_process_answers() {
    everywhere(|rt| async move {
        let (server, other) = (desk(&rt).await, plain(&rt).await);
        let answer = server.call(|r| Ask::Pass(other.clone(), 9, r)).await;
        assert_eq!(answer.expect("from the other"), 9);
        // Also when who was asked has ended meanwhile: the other is busy when it is handed the reply.
        let sleep = rt.sleep(ms(20));
        let busy = support::puppet::later(move |_, _| {
            Box::pin(async move {
                sleep.await;
                Ok(())
            })
        });
        other.cast(busy).expect("cast");
        let request = sent(&server, |r| Ask::Pass(other.clone(), 10, r));
        assert_eq!(server.call(|r| Ask::Echo(1, r)).await.expect("it was handed on"), 1);
        let gone = rt.down(&server);
        rt.exit(&server, ExitReason::Kill);
        gone.await;
        assert_eq!(request.await.expect("from the other"), 10);
    });
}

#[test]
fn srv_071_replies_to_a_dead_caller_go_nowhere() {
    everywhere(|rt| async move {
        let server = desk(&rt).await;
        let caller = plain(&rt).await;
        let asked = server.clone();
        let events = Events::new();
        let told = events.clone();
        let hundred = support::puppet::later(move |_, _| {
            Box::pin(async move {
                let mut requests: FuturesUnordered<_> =
                    (0..100).map(|_| sent(&asked, Ask::Keep)).collect();
                told.send(Event::Note(100));
                requests.next().await;
                Ok(())
            })
        });
        caller.cast(hundred).expect("cast");
        assert_eq!(events.note().await, 100);
        let gone = rt.down(&caller);
        rt.exit(&caller, ExitReason::Kill);
        gone.await;
        server.cast(Ask::AnswerKept(1)).expect("cast");
        let begun = now(&rt);
        assert_eq!(server.call(|r| Ask::Echo(1, r)).await.expect("it lives"), 1);
        assert!(now(&rt) - begun < 1_000_000_000, "not slowed");
    });
}

/// Calls from outside of the runtime's processes. On threads only: in a simulation the caller's thread is the worker.
#[test]
fn srv_072_a_thread_calls() {
    threaded(|rt| async move {
        let server = desk(&rt).await;
        let from_thread = {
            let (server, rt) = (server.clone(), rt.clone());
            std::thread::spawn(move || {
                assert_eq!(server.call(|r| Ask::Echo(1, r)).blocking().expect("a reply"), 1);
                let late = server.call(Ask::Keep).timeout(ms(1)).blocking();
                assert!(matches!(late, Err(CallError::Timeout { accepted: true })), "{late:?}");
                rt.exit(&server, ExitReason::Kill);
                // The kill is ahead of what this thread sends behind it.
                let dead = server.call(|r| Ask::Echo(1, r)).blocking();
                assert!(matches!(dead, Err(CallError::Exit(_) | CallError::NoProc)), "{dead:?}");
                let dead = server.call(|r| Ask::Echo(1, r)).blocking();
                assert!(matches!(dead, Err(CallError::NoProc)), "{dead:?}");
            })
        };
        rt.down(&server).await;
        // It does not wait for anything any more but its own few steps.
        from_thread.join().expect("the thread");
    });
}

/// A state holder: a puppet whose messages read and write what it holds.
struct Holder(u64);

type Step = Box<dyn FnOnce(&mut u64) -> u64 + Send>;

impl Actor for Holder {
    type Args = Box<dyn FnOnce() -> u64 + Send>;
    type Msg = (Step, Option<Reply<u64>>);

    async fn init(first: Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Holder(first()))
    }

    async fn handle(
        &mut self,
        (f, reply): Self::Msg,
        _: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let result = f(&mut self.0);
        if let Some(reply) = reply {
            reply.send(result);
        }
        Ok(())
    }
}

async fn with(holder: &ActorRef<(Step, Option<Reply<u64>>)>, f: fn(&mut u64) -> u64) -> u64 {
    holder.call(|reply| (Box::new(f) as Step, Some(reply))).await.expect("alive")
}

/// There is no agent type: an actor whose messages are closures is one, in ten lines.
#[test]
fn srv_067_an_actor_holds_state() {
    everywhere(|rt| async move {
        let holder = rt.start::<Holder>(Box::new(|| 1)).await.expect("start");
        assert_eq!(with(&holder, |n| *n).await, 1);
        holder.cast((Box::new(|n| std::mem::replace(n, 5)), None)).expect("update");
        assert_eq!(with(&holder, |n| std::mem::replace(n, *n + 1)).await, 5);
        assert_eq!(with(&holder, |n| *n).await, 6);
        rt.stop(&holder, ExitReason::Normal).await.expect("stop");
        assert!(!rt.is_alive(&holder));
    });
}

/// As above.
#[test]
fn a_state_holder_with_options() {
    everywhere(|rt| async move {
        let options = whitebeam_actor::SpawnOptions::new().name("holder").label("state");
        let holder = rt.with(options).start::<Holder>(Box::new(|| 2)).await.expect("start");
        let pid: Pid = rt.whereis("holder").expect("by its name");
        let info = rt.info(pid).expect("alive");
        assert_eq!((pid, info.label), (holder.pid(), Some("state".into())));
        assert_eq!(with(&holder, |n| *n).await, 2);
        rt.stop(pid, ExitReason::Normal).await.expect("stop");
        assert_eq!(rt.whereis("holder"), None);
    });
}

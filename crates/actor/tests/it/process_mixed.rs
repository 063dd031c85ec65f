//! The process form beside what else there is: narrowed addresses, idle timeouts, calls in a circle, names, crashes.

use crate::support;

use std::{future::IntoFuture, time::Duration};

use futures_util::future::{Either, join, select};
use support::{EXPECTED, everywhere, expect_panics, now, puppet::because};
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, ExitReason, Handle, Mailbox, Reply, SpawnOptions,
};

enum Msg {
    Text(&'static str),
    Get(Reply<u32>),
    Ask(ActorRef<Msg>, Reply<Result<u32, CallError>>),
    Go,
}

struct Text(&'static str);
struct Get(Reply<u32>);

impl From<Text> for Msg {
    fn from(text: Text) -> Self {
        Msg::Text(text.0)
    }
}

impl From<Get> for Msg {
    fn from(get: Get) -> Self {
        Msg::Get(get.0)
    }
}

fn text(msg: Msg) -> Result<&'static str, Msg> {
    match msg {
        Msg::Text(text) => Ok(text),
        other => Err(other),
    }
}

fn get(msg: Msg) -> Result<Reply<u32>, Msg> {
    match msg {
        Msg::Get(reply) => Ok(reply),
        other => Err(other),
    }
}

fn go(msg: Msg) -> Result<(), Msg> {
    match msg {
        Msg::Go => Ok(()),
        other => Err(other),
    }
}

#[test]
fn what_comes_through_narrowed_addresses_is_received_by_choice() {
    everywhere(|rt| async move {
        let (said, says) = std::sync::mpsc::channel();
        let process = rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
            mailbox.recv_match(go).await;
            // Refused twice before they are taken, in another order than they came in.
            mailbox.recv_match(get).await.send(1);
            let first = mailbox.recv_match(text).await;
            mailbox.recv_match(get).await.send(2);
            let second = mailbox.recv_match(text).await;
            said.send((first, second, mailbox.try_recv().is_none())).expect("the test waits");
            Ok(())
        });
        let (texts, gets) = (process.narrow::<Text>(), process.narrow::<Get>());
        texts.cast(Text("a")).expect("cast");
        texts.cast(Text("b")).expect("cast");
        let one = gets.call(Get).owned().into_future();
        let other = gets.call(Get).owned().into_future();
        let gone = rt.down(&process);
        process.cast(Msg::Go).expect("cast");
        let (one, other) = join(one, other).await;
        assert_eq!((one.expect("a reply"), other.expect("a reply")), (1, 2));
        assert!(gone.await.reason.is_normal());
        assert_eq!(says.try_recv().expect("said"), ("a", "b", true));
    });
}

#[test]
fn a_narrowed_request_that_is_not_received_is_answered_with_the_reason() {
    everywhere(|rt| async move {
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            // Looked at, refused, and so an ordinary message that waits.
            mailbox.recv_match(go).await;
            Err(because("over"))
        });
        let call = process.narrow::<Get>().call(Get).owned().into_future();
        let asked = async {
            process.cast(Msg::Go).expect("cast");
        };
        let (answer, ()) = join(call, asked).await;
        let Err(CallError::Exit(reason)) = answer else { panic!("{answer:?}") };
        assert_eq!(reason.downcast_ref::<&str>(), Some(&"over"));
    });
}

#[test]
fn an_idle_timeout_is_the_servers_alone() {
    expect_panics();
    everywhere(|rt| async move {
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            mailbox.recv_match(go).await;
            mailbox.idle_timeout(Duration::from_secs(1), Msg::Go);
            Ok(())
        });
        let gone = rt.down(&process);
        process.cast(Msg::Go).expect("cast");
        let reason = gone.await.reason;
        let ExitReason::Panic(panic) = reason else { panic!("{reason:?}") };
        assert!(panic.message().contains("recv_timeout"), "{}", panic.message());
    });
}

/// A process that answers `Ask` by asking the other, as a server of that kind would.
fn asks(rt: &Handle) -> ActorRef<Msg> {
    rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
        loop {
            match mailbox.recv().await {
                Msg::Ask(other, reply) => {
                    let me = mailbox.me();
                    let asked = other.call(|reply| Msg::Ask(me, reply)).await;
                    reply.send(asked.and_then(|answer| answer));
                }
                Msg::Get(reply) => reply.send(7),
                Msg::Text(_) | Msg::Go => {}
            }
        }
    })
}

#[test]
fn processes_that_ask_each_other_are_told() {
    everywhere(|rt| async move {
        let (one, other) = (asks(&rt), asks(&rt));
        let begun = now(&rt);
        let answer = one.call(|reply| Msg::Ask(other.clone(), reply)).no_timeout().await;
        assert!(matches!(answer, Ok(Err(CallError::Deadlock(_)))), "{answer:?}");
        assert!(now(&rt) - begun < 4_000_000_000, "by no timeout");
        assert_eq!(one.call(Msg::Get).await.expect("it goes on"), 7);
    });
}

/// It could not receive its own request while it waits for nothing else; raced against a receive it can.
#[test]
fn a_process_may_answer_itself() {
    everywhere(|rt| async move {
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            mailbox.recv_match(go).await;
            let me = mailbox.me();
            let alone = me.call(Msg::Get).await;
            assert!(matches!(&alone, Err(CallError::Deadlock(path)) if path.pids().len() == 1));
            // Its request has not been taken back.
            drop(mailbox.recv_match(get).await);
            let call = me.call(Msg::Get).into_future();
            let answered = async {
                mailbox.recv_match(get).await.send(3);
                std::future::pending::<()>().await
            };
            match select(call, std::pin::pin!(answered)).await {
                Either::Left((answer, _)) => assert_eq!(answer?, 3),
                Either::Right(_) => unreachable!("it is never ready"),
            }
            Ok(())
        });
        let gone = rt.down(&process);
        process.cast(Msg::Go).expect("cast");
        let reason = gone.await.reason;
        assert!(reason.is_normal(), "{reason:?}");
    });
}

#[test]
fn a_body_that_fails_is_a_crash_with_its_name() {
    expect_panics();
    everywhere(|rt| async move {
        let options = SpawnOptions::new().name("body");
        let process = rt.with(options).spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let _reply = mailbox.recv_match(get).await;
            panic!("{EXPECTED}")
        });
        let found = rt.find::<Msg>(whitebeam_actor::Name::from("body")).expect("by its name");
        let answer = found.call(Msg::Get).await;
        assert!(matches!(answer, Err(CallError::Exit(ExitReason::Panic(_)))), "{answer:?}");
        rt.down(&process).await;
        let report = rt.crashes().pop().expect("a crash");
        assert_eq!((report.pid, report.name.clone()), (process.pid(), Some("body".into())));
    });
}

/// Started by an actor, linked: an ordinary process in every relation.
struct Starter;

impl Actor for Starter {
    type Args = ();
    type Msg = Reply<ActorRef<Msg>>;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Starter)
    }

    async fn handle(&mut self, reply: Self::Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let child = cx.spawn_fn_link(|mut mailbox: Mailbox<Msg>| async move {
            mailbox.recv_match(go).await;
            Err(because("with its starter"))
        });
        reply.send(child);
        Ok(())
    }
}

#[test]
fn a_linked_body_takes_its_starter_along() {
    everywhere(|rt| async move {
        let starter = rt.start::<Starter>(()).await.expect("start");
        let body = starter.call(|reply| reply).await.expect("a body");
        let gone = rt.down(&starter);
        body.cast(Msg::Go).expect("cast");
        let reason = gone.await.reason;
        assert_eq!(reason.downcast_ref::<&str>(), Some(&"with its starter"), "{reason:?}");
    });
}

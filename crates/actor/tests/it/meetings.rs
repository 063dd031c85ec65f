//! Where parts meet: stops that begin in a look for cycles, crashes whose names fail, replies dropped ahead of a drain.

use crate::support;

use std::{fmt, time::Duration};

use support::{everywhere, expect_panics, puppet::because};
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, During, ExitReason, Mailbox, Name, Reply, Runtime,
    SpawnOptions, Stop,
};

/// Does not end by itself, nor when it is told.
struct Stubborn;

impl Actor for Stubborn {
    type Args = ();
    type Msg = ();

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.trap_exit(|_| ());
        cx.continue_with(());
        Ok(Stubborn)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        std::future::pending().await
    }
}

/// Asks somebody who asks back, and then stops its children.
struct Parent;

enum Task {
    AskAndStop(ActorRef<Question>, Reply<u64>),
    Answer(Reply<u64>),
}

struct Question(ActorRef<Task>, Reply<u64>);

impl Actor for Parent {
    type Args = ();
    type Msg = Task;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|_, _, _| ());
        cx.spawn_child::<Stubborn>((), SpawnOptions::new(), None, None);
        Ok(Parent)
    }

    async fn handle(&mut self, task: Task, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match task {
            Task::AskAndStop(other, reply) => {
                let me = cx.me();
                let told = other.call(|reply| Question(me, reply)).await;
                assert!(matches!(told, Ok(_) | Err(CallError::Deadlock(_))), "{told:?}");
                let summary = cx.stop_children(Stop::After(Duration::from_millis(100))).await;
                reply.send(summary.killed as u64);
            }
            Task::Answer(reply) => reply.send(1),
        }
        Ok(())
    }
}

/// Asks back.
struct Back;

impl Actor for Back {
    type Args = ();
    type Msg = Question;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Back)
    }

    async fn handle(
        &mut self,
        Question(asker, reply): Question,
        _: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let answer = asker.call(Task::Answer).no_timeout().await;
        reply.send(answer.unwrap_or(0));
        Ok(())
    }
}

#[test]
fn a_stop_that_begins_as_a_cycle_is_told_has_its_limit() {
    everywhere(|rt| async move {
        let back = rt.start::<Back>(()).await.expect("start");
        let parent = rt.start::<Parent>(()).await.expect("start");
        let killed = parent.call(|reply| Task::AskAndStop(back.clone(), reply)).await;
        assert_eq!(killed.expect("it does not wait for ever"), 1);
    });
}

/// Its text is a panic.
#[derive(PartialEq, Eq, Hash)]
struct Unprintable;

impl fmt::Debug for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("{}", support::EXPECTED)
    }
}

/// Ends by an error with the request in hand and another behind it.
struct Crasher;

impl Actor for Crasher {
    type Args = ();
    type Msg = Reply<u64>;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Crasher)
    }

    async fn handle(&mut self, _: Reply<u64>, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        cx.runtime().sleep(Duration::from_millis(5)).await;
        Err(because("over"))
    }
}

#[test]
fn a_crash_whose_name_has_no_text_is_told_and_answers_everybody() {
    expect_panics();
    let (said, says) = std::sync::mpsc::channel();
    let rt = Runtime::builder()
        .workers(1)
        .print_crashes(move |text| drop(said.send(text.to_owned())))
        .build()
        .expect("a runtime");
    rt.block_on(async {
        let options = SpawnOptions::new().label(Name::of(Unprintable));
        let crasher = rt.with(options).start::<Crasher>(()).await.expect("start");
        let (one, other) = (crasher.call(|reply| reply), crasher.call(|reply| reply));
        let answers = futures_util::future::join(
            std::future::IntoFuture::into_future(one),
            std::future::IntoFuture::into_future(other),
        );
        let (one, other) = answers.await;
        assert!(matches!(one, Err(CallError::Exit(_))), "{one:?}");
        assert!(matches!(other, Err(CallError::Exit(_))), "{other:?}");
    });
    let block = says.recv_timeout(Duration::from_secs(20)).expect("a block");
    assert!(block.contains("a name whose text panicked"), "{block}");
    assert_eq!(rt.crashes().len(), 1);
    // Kept without the value, so that nothing of the user's is kept.
    let label = rt.crashes()[0].label.clone().expect("a label");
    assert_eq!(label.as_str(), Some("a name whose text panicked"));
}

/// Ends at once, by itself.
struct Child;

impl Actor for Child {
    type Args = ();
    type Msg = ();

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.continue_with(());
        Ok(Child)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(ExitReason::Normal)
    }
}

/// Stops when its child ends, and breaks in `terminate`.
struct Breaks;

impl Actor for Breaks {
    type Args = ();
    type Msg = ();

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|_, _, cx| cx.stop(ExitReason::Shutdown));
        cx.spawn_child::<Child>((), SpawnOptions::new(), None, None);
        Ok(Breaks)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        panic!("{}", support::EXPECTED)
    }
}

#[test]
fn a_crash_in_terminate_says_so_whatever_decided_the_end() {
    expect_panics();
    everywhere(|rt| async move {
        let breaks = rt.spawn::<Breaks>(());
        rt.down(&breaks).await;
        let during: Vec<_> = rt.crashes().iter().map(|crash| crash.during).collect();
        assert_eq!(during, [During::Terminate]);
    });
}

#[test]
fn a_reply_dropped_by_a_body_that_has_stopped_is_told_the_reason() {
    everywhere(|rt| async move {
        for is_first_poll in [true, false] {
            let body = rt.spawn_fn(move |mut mailbox: Mailbox<Option<Reply<u64>>>| async move {
                if !is_first_poll {
                    // Gives way at least once.
                    mailbox.recv_match(|msg| if msg.is_none() { Ok(()) } else { Err(msg) }).await;
                }
                let reply = mailbox.recv_match(|msg| msg.ok_or(None)).await;
                mailbox.stop(because("why"));
                drop(reply);
                std::future::pending().await
            });
            let call = std::future::IntoFuture::into_future(body.call(Some));
            let told = async {
                // Whoever is answered in its first poll may be gone by now.
                if !is_first_poll {
                    body.cast(None).expect("cast");
                }
            };
            let (answer, ()) = futures_util::future::join(call, told).await;
            let Err(CallError::Exit(reason)) = answer else { panic!("{answer:?}") };
            assert_eq!(reason.downcast_ref::<&str>(), Some(&"why"));
        }
    });
}

#[test]
fn a_reply_that_a_body_dropped_waits_for_its_end_over_a_drain() {
    everywhere(|rt| async move {
        let body = rt.spawn_fn(|mut mailbox: Mailbox<Option<Reply<u64>>>| async move {
            let reply = mailbox.recv_match(|msg| msg.ok_or(None)).await;
            drop(reply);
            // Its DOWN is in the stream when that is drained.
            mailbox.monitor(Name::from("nobody"), |_| None);
            let _ = mailbox.try_recv();
            Err(because("why"))
        });
        let Err(CallError::Exit(reason)) = body.call(Some).await else { panic!("its end") };
        assert_eq!(reason.downcast_ref::<&str>(), Some(&"why"));
    });
}

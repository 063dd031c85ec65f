//! Processes in the process form: how they end, what signals do to them, and what becomes of a mailbox that is
//! taken out of its body.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests use std's locks and threads"
)]

mod support;

use std::{
    future::{Future, pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, Once},
    task::Poll,
    time::Duration,
};

use futures_util::future::FutureExt;
use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{
        Done, Event, Events, OnDrop, Plain, Script, ask, assert_because, assert_panic,
        assert_reason, because, now, plain,
    },
};
use whitebeam_actor::{
    ActorRef, CallError, Down, Exit, ExitReason, Handle, Mailbox, Reply, SpawnOptions, Stop,
    oneshot,
};

#[derive(Debug)]
enum Msg {
    Get(Reply<u64>),
    Down(Down),
    Exit(Exit),
    Go,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A process that waits for a message after it has said so; what it `held` is dropped with its body.
async fn waiting<T: Send + 'static>(rt: &Handle, held: T) -> ActorRef<Msg> {
    let (reply, answer) = oneshot();
    let process = rt.spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
        let _held = held;
        reply.send(());
        mailbox.recv().await;
        Ok(())
    });
    answer.await.expect("it has begun");
    process
}

/// How a process with this body ends. It is watched before the body begins.
async fn end_of<F, Fut>(rt: &Handle, body: F) -> ExitReason
where
    F: FnOnce(Mailbox<Msg>) -> Fut + Send + 'static,
    Fut: Future<Output = Done> + Send + 'static,
{
    let (go, may_go) = oneshot::<()>();
    let process = rt.spawn_fn(|mailbox: Mailbox<Msg>| async move {
        let _ = may_go.await;
        body(mailbox).await
    });
    let end = rt.down(&process);
    go.send(());
    end.await.reason
}

/// A process that traps exits and tells of them, and ends when its parent's shutdown comes.
fn trapping(rt: &Handle, events: &Events, ends: bool) -> ActorRef<Msg> {
    rt.spawn_fn(tells_exits(events, ends))
}

fn tells_exits(
    events: &Events,
    ends: bool,
) -> impl FnOnce(Mailbox<Msg>) -> Pin<Box<dyn Future<Output = Done> + Send>> + Send + use<> {
    let events = events.clone();
    move |mut mailbox| {
        Box::pin(async move {
            mailbox.trap_exit(Msg::Exit);
            events.send(Event::Note(1));
            loop {
                if let Msg::Exit(exit) = mailbox.recv().await {
                    events.send(Event::Exit(exit.clone()));
                    if ends && exit.reason.is_orderly() {
                        return Err(exit.reason);
                    }
                }
            }
        })
    }
}

#[test]
fn a_body_ends_with_what_it_comes_to() {
    expect_panics();
    everywhere(|rt| async move {
        let body = |outcome: fn() -> Done| end_of(&rt, move |_| async move { outcome() });
        assert_reason(&body(|| Ok(())).await, &ExitReason::Normal);
        assert_because(&body(|| Err(because("why"))).await, "why");
        assert_reason(&body(|| Err(ExitReason::Shutdown)).await, &ExitReason::Shutdown);
        assert_reason(&body(|| Err(ExitReason::Ignore)).await, &ExitReason::Ignore);
        assert_panic(&body(|| panic!("{EXPECTED}")).await, EXPECTED);
        // While it makes its future, and behind an await.
        let (dropped, was_dropped) = oneshot::<()>();
        let held = OnDrop::new(move || dropped.send(()));
        let process = rt.spawn_fn(|_: Mailbox<Msg>| -> std::future::Ready<Done> {
            let _held = held;
            panic!("{EXPECTED}")
        });
        was_dropped.await.expect("dropped");
        assert!(matches!(
            rt.down(&process).await.reason,
            ExitReason::Panic(_) | ExitReason::NoProc
        ));
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            mailbox.recv().await;
            panic!("{EXPECTED}")
        });
        let end = rt.down(&process);
        process.cast(Msg::Go).expect("it lives");
        assert_panic(&end.await.reason, EXPECTED);
    });
}

#[test]
fn the_closure_itself_may_use_the_mailbox() {
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let _ = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| {
            mailbox.trap_exit(Msg::Exit);
            let me = mailbox.me();
            mailbox.exit(me, because("own"));
            async move {
                reply.send(mailbox.recv().await);
                Ok(())
            }
        });
        match answer.await.expect("told") {
            Msg::Exit(exit) => assert_because(&exit.reason, "own"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn stop_ends_a_body_at_its_next_await() {
    everywhere(|rt| async move {
        let events = Events::new();
        let told = events.clone();
        let ended = end_of(&rt, move |mut mailbox| async move {
            mailbox.me().cast(Msg::Go)?;
            mailbox.stop(because("first"));
            mailbox.stop(because("second"));
            told.send(Event::Note(1));
            assert!(mailbox.try_recv().is_none(), "it takes nothing any more");
            mailbox.recv().await;
            told.send(Event::Note(2));
            Ok(())
        });
        assert_because(&ended.await, "first");
        // Or at its return, whatever that is.
        let ended = end_of(&rt, |mut mailbox| async move {
            mailbox.stop(because("first"));
            Err(because("last"))
        });
        assert_because(&ended.await, "first");
        assert_eq!(events.note().await, 1);
        events.quiet(&rt).await;
        // By another, whether it traps exits or not.
        for trap in [false, true] {
            let process = if trap { trapping(&rt, &events, false) } else { waiting(&rt, ()).await };
            if trap {
                events.note().await;
            }
            rt.stop(&process, ExitReason::Normal).await.expect("it ends so");
        }
        assert!(events.take().is_empty());
    });
}

#[test]
fn an_exit_signal_drops_the_body_at_its_await() {
    everywhere(|rt| async move {
        for (sent, ends_with) in [
            (because("why"), because("why")),
            (ExitReason::Shutdown, ExitReason::Shutdown),
            (ExitReason::Kill, ExitReason::Killed),
        ] {
            let (dropped, was_dropped) = oneshot::<()>();
            let process = waiting(&rt, OnDrop::new(move || dropped.send(()))).await;
            let end = rt.down(&process);
            // Not by anybody's `Normal`.
            rt.exit(&process, ExitReason::Normal);
            rt.exit(&process, sent);
            assert_reason(&end.await.reason, &ends_with);
            was_dropped.await.expect("dropped");
        }
    });
}

/// A message that its sender sent behind an exit signal is never received, also if both have come since the body was
/// last pending: from outside, from itself, and by a kill.
#[test]
fn nothing_is_received_behind_an_exit_signal() {
    everywhere(|rt| async move {
        for (sent, ends_with, by_itself) in [
            (because("why"), because("why"), false),
            (because("why"), because("why"), true),
            (ExitReason::Kill, ExitReason::Killed, false),
        ] {
            let events = Events::new();
            let told = events.clone();
            let ended = end_of(&rt, move |mut mailbox| async move {
                let me = mailbox.me();
                if by_itself {
                    mailbox.exit(&me, sent);
                    me.cast(Msg::Go)?;
                } else {
                    let handle = mailbox.runtime();
                    let sends = std::thread::spawn(move || {
                        handle.exit(&me, sent);
                        me.cast(Msg::Go)
                    });
                    sends.join().expect("no panic")?;
                }
                for _ in 0..3 {
                    told.send(Event::Note(u64::from(mailbox.try_recv().is_some())));
                }
                mailbox.recv_timeout(Duration::ZERO).await;
                told.send(Event::Note(100));
                Ok(())
            });
            assert_reason(&ended.await, &ends_with);
            for _ in 0..3 {
                assert_eq!(events.note().await, 0);
            }
            assert!(events.take().is_empty());
        }
    });
}

/// The parent rule is one of servers.
#[test]
fn a_trapping_process_gets_its_parents_signals_as_messages() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = plain(&rt).await;
        let body = tells_exits(&events, false);
        let process = ask(&parent, |cx| cx.spawn_fn_link(body)).await;
        assert_eq!(events.note().await, 1);
        assert_eq!(process.info().expect("it lives").parent, Some(parent.pid()));
        for sent in [ExitReason::Shutdown, ExitReason::Normal, because("why")] {
            let (to, reason) = (process.clone(), sent.clone());
            ask(&parent, move |cx| cx.exit(&to, reason)).await;
            let exit = events.exit().await;
            assert_eq!(exit.from, Some(parent.pid()));
            assert_reason(&exit.reason, &sent);
        }
        // And its end over the link.
        rt.exit(&parent, ExitReason::Kill);
        assert_reason(&events.exit().await.reason, &ExitReason::Killed);
        rt.exit(&process, ExitReason::Kill);
        // What comes from outside is nobody's.
        let process = trapping(&rt, &events, false);
        assert_eq!(events.note().await, 1);
        rt.exit(&process, ExitReason::Shutdown);
        let exit = events.exit().await;
        assert_eq!(exit.from, None);
        assert_reason(&exit.reason, &ExitReason::Shutdown);
        let end = rt.down(&process);
        rt.exit(&process, ExitReason::Kill);
        assert_reason(&end.await.reason, &ExitReason::Killed);
    });
}

#[test]
fn the_runtimes_shutdown_is_a_message_for_who_traps_exits() {
    everywhere(|rt| async move {
        let events = Events::new();
        let ends = trapping(&rt, &events, true);
        assert_eq!(events.note().await, 1);
        let stays = trapping(&rt, &events, false);
        assert_eq!(events.note().await, 1);
        let plain = waiting(&rt, ()).await;
        let downs = [&ends, &stays, &plain].map(|process| rt.down(process));
        let report = rt.shutdown(ms(50)).await;
        let [ends, stays, plain] = downs;
        assert_reason(&ends.await.reason, &ExitReason::Shutdown);
        assert_reason(&stays.await.reason, &ExitReason::Killed);
        assert_reason(&plain.await.reason, &ExitReason::Shutdown);
        for _ in 0..2 {
            let exit = events.exit().await;
            assert_eq!(exit.from, None);
            assert_reason(&exit.reason, &ExitReason::Shutdown);
        }
        assert!(report.killed >= 1, "{report}");
    });
}

/// Polled by `try_recv`, and not by the run.
#[test]
fn a_shutdown_is_seen_by_try_recv() {
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let ended = end_of(&rt, move |mut mailbox| async move {
            mailbox.trap_exit(Msg::Exit);
            let handle = mailbox.runtime();
            let (shutdown, mut polled) = oneshot::<()>();
            let all = handle.shutdown(ms(1_000));
            let task = handle.spawn_task(async move {
                let report = all.await;
                shutdown.send(());
                report
            });
            let exit = poll_fn(|cx| match mailbox.try_recv() {
                Some(msg) => Poll::Ready(msg),
                None => {
                    assert!(Pin::new(&mut polled).poll(cx).is_pending());
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
            reply.send(exit);
            drop(task);
            Ok(())
        });
        assert_reason(&ended.await, &ExitReason::Normal);
        assert!(matches!(answer.await.expect("told"), Msg::Exit(_)));
    });
}

#[test]
fn links_and_monitors_from_a_body() {
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let linked = mailbox.spawn_fn_link(|mut mailbox: Mailbox<Msg>| async move {
                mailbox.recv().await;
                Err(because("linked"))
            });
            let other = mailbox.with(SpawnOptions::new().name("other")).spawn_fn(
                |mut mailbox: Mailbox<Msg>| async move {
                    mailbox.recv().await;
                    Err(because("watched"))
                },
            );
            let monitor = mailbox.monitor(&other, Msg::Down);
            other.cast(Msg::Go)?;
            let Msg::Down(down) = mailbox.recv().await else { panic!("a DOWN") };
            assert_because(&down.reason, "watched");
            assert!(!mailbox.demonitor_flush(monitor));
            // A DOWN that a selective receive has refused can be flushed.
            let monitor = mailbox.monitor(&other, Msg::Down);
            assert!(
                mailbox
                    .recv_match_timeout(ms(1), |msg| match msg {
                        Msg::Go => Ok(()),
                        other => Err(other),
                    })
                    .await
                    .is_none()
            );
            assert!(!mailbox.demonitor_flush(monitor));
            assert!(mailbox.try_recv().is_none());
            let actor = mailbox.start_link::<Plain>(Script::new()).await.expect("it starts");
            assert_eq!(actor.info().expect("it lives").parent, Some(mailbox.pid()));
            reply.send((mailbox.relations().links.len(), actor));
            mailbox.recv().await;
            linked.cast(Msg::Go)?;
            pending().await
        });
        let end = rt.down(&process);
        let (links, actor) = answer.await.expect("told");
        assert_eq!(links, 2);
        let actors = rt.down(&actor);
        process.cast(Msg::Go).expect("it lives");
        assert_because(&end.await.reason, "linked");
        assert_because(&actors.await.reason, "linked");
    });
}

/// A body, what it holds, and its unread messages are dropped once, in this order, whatever panics.
#[test]
fn everything_is_dropped_in_order_whatever_panics() {
    expect_panics();
    everywhere(|rt| async move {
        for panics in [false, true] {
            let events = Events::new();
            let tell = |number, panics: bool| {
                let events = events.clone();
                OnDrop::new(move || {
                    events.send(Event::Note(number));
                    if panics {
                        panic!("{EXPECTED}");
                    }
                })
            };
            let (last, first) = (tell(2, false), tell(1, panics));
            let (reply, answer) = oneshot();
            let process = rt.spawn_fn(move |mut mailbox: Mailbox<Box<dyn Send>>| async move {
                let (_last, _first) = (last, first);
                reply.send(());
                let none = |msg| Err::<(), _>(msg);
                mailbox.recv_match(none).await;
                Ok(())
            });
            answer.await.expect("it has begun");
            process.cast(Box::new(tell(3, panics))).expect("it lives");
            let end = rt.down(&process);
            rt.exit(&process, ExitReason::Shutdown);
            let reason = end.await.reason;
            if panics {
                assert_panic(&reason, EXPECTED);
            } else {
                assert_reason(&reason, &ExitReason::Shutdown);
            }
            for number in 1..=3 {
                assert_eq!(events.note().await, number);
            }
        }
        // One that never ran.
        let parent = plain(&rt).await;
        let (dropped, was_dropped) = oneshot::<()>();
        let held = OnDrop::new(move || dropped.send(()));
        ask(&parent, move |cx| {
            let process = cx.spawn_fn(move |_: Mailbox<Msg>| async move {
                drop(held);
                Ok(())
            });
            cx.exit(&process, ExitReason::Kill);
        })
        .await;
        was_dropped.await.expect("dropped, run or not");
    });
}

#[test]
fn a_reply_that_goes_with_its_body_says_why() {
    everywhere(|rt| async move {
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let Msg::Get(reply) = mailbox.recv().await else { panic!("a request") };
            drop(reply);
            Err(because("why"))
        });
        match process.call(Msg::Get).await {
            Err(CallError::Exit(reason)) => assert_because(&reason, "why"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_process_supervises_no_children() {
    quiet();
    everywhere(|rt| async move {
        let ended = end_of(&rt, |mut mailbox| async move {
            assert_eq!(mailbox.child_count(), 0);
            let texts = [
                panics(|| mailbox.supervise(|_, _, _| {})),
                panics(|| {
                    let options = SpawnOptions::new();
                    mailbox.spawn_child::<Plain>(Script::new(), options, None, None)
                }),
                panics(|| drop(mailbox.stop_children(Stop::Kill))),
            ];
            for text in texts {
                assert!(text.contains("supervises no children"), "{text}");
            }
            Ok(())
        });
        assert_reason(&ended.await, &ExitReason::Normal);
    });
}

/// Keeps the reports of what these tests provoke off the terminal.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if !text.starts_with("the mailbox of") && !text.contains("supervises no children") {
                before(info);
            }
        }));
    });
}

/// The text that `f` panics with.
#[track_caller]
fn panics<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("nothing has panicked"),
        Err(payload) => text_of(payload),
    }
}

fn text_of(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().map_or(String::new(), |text| text.to_string()),
    }
}

/// What only the running body may do with its mailbox is refused, and what an address may do works.
#[track_caller]
fn assert_refused(mailbox: &mut Mailbox<Msg>) {
    let me = mailbox.me();
    assert_eq!((me.pid(), mailbox.pid()), (mailbox.pid(), me.pid()));
    assert!(format!("{mailbox:?} {:?}", &**mailbox).contains(&me.pid().to_string()));
    let _ = (mailbox.parent(), mailbox.runtime());
    let pid = mailbox.pid();
    refused(mailbox, |mailbox| mailbox.try_recv());
    refused(mailbox, |mailbox| mailbox.recv().now_or_never());
    refused(mailbox, |mailbox| mailbox.recv_timeout(Duration::ZERO).now_or_never());
    refused(mailbox, |mailbox| mailbox.trap_exit(Msg::Exit));
    refused(mailbox, |mailbox| mailbox.untrap_exit());
    refused(mailbox, |mailbox| mailbox.link(pid));
    refused(mailbox, |mailbox| mailbox.unlink(pid));
    refused(mailbox, |mailbox| mailbox.monitor(pid, Msg::Down));
    refused(mailbox, |mailbox| mailbox.send_after(ms(1), Msg::Go));
    refused(mailbox, |mailbox| mailbox.interval(ms(1), || Msg::Go));
    refused(mailbox, |mailbox| mailbox.continue_with(Msg::Go));
    refused(mailbox, |mailbox| mailbox.stop(ExitReason::Normal));
    refused(mailbox, |mailbox| mailbox.ancestors().to_vec());
    refused(mailbox, |mailbox| mailbox.start_info());
    refused(mailbox, |mailbox| mailbox.alias());
    refused(mailbox, |mailbox| mailbox.set_label("x"));
    refused(mailbox, |mailbox| mailbox.relations());
    refused(mailbox, |mailbox| mailbox.child_count());
    refused(mailbox, |mailbox| mailbox.spawn_fn_link(|_: Mailbox<Msg>| async { Ok(()) }));
}

#[track_caller]
fn refused<R>(mailbox: &mut Mailbox<Msg>, f: impl FnOnce(&mut Mailbox<Msg>) -> R) {
    let text = panics(|| f(mailbox));
    assert!(text.starts_with("the mailbox of <"), "{text}");
}

#[test]
fn a_mailbox_on_another_thread_is_refused_there() {
    quiet();
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let thread = std::thread::spawn(move || {
                assert_refused(&mut mailbox);
                mailbox
            });
            let mut mailbox = thread.join().expect("refused, and no more");
            // Nobody is harmed.
            reply.send(mailbox.recv().await);
            Ok(())
        });
        process.cast(Msg::Go).expect("it lives");
        assert!(matches!(answer.await.expect("received"), Msg::Go));
    });
}

/// A receive, begun in the body and polled in a task.
#[test]
fn a_receive_that_leaves_its_body_is_refused() {
    quiet();
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let (handle, me) = (mailbox.runtime(), mailbox.me());
            let mut receive = Box::pin(async move {
                let go = |msg| if let Msg::Go = msg { Ok(()) } else { Err(msg) };
                mailbox.recv_match(go).await;
            });
            // It stands at a message that it has refused.
            while me.info().expect("itself").mailbox_len == 0 {
                handle.sleep(ms(1)).await;
            }
            for _ in 0..3 {
                let polled = poll_fn(|cx| Poll::Ready(receive.as_mut().poll(cx).is_pending()));
                assert!(polled.await);
            }
            let task = handle.spawn_task(AssertUnwindSafe(receive).catch_unwind());
            reply.send(text_of(task.await.expect_err("a panic")));
            pending().await
        });
        let mut call = Box::pin(std::future::IntoFuture::into_future(process.call(Msg::Get)));
        poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
        let text = answer.await.expect("it goes on");
        assert!(text.starts_with("the mailbox of <"), "{text}");
        let end = rt.down(&process);
        rt.exit(&process, because("why"));
        assert_because(&end.await.reason, "why");
        assert!(matches!(call.await, Err(CallError::Exit(_))));
    });
}

#[test]
fn a_mailbox_in_a_destructor_of_a_killed_body_is_refused() {
    struct Uses(Option<Mailbox<Msg>>, Option<Reply<Mailbox<Msg>>>);
    impl Drop for Uses {
        fn drop(&mut self) {
            if let (Some(mut mailbox), Some(reply)) = (self.0.take(), self.1.take()) {
                assert_refused(&mut mailbox);
                reply.send(mailbox);
            }
        }
    }
    quiet();
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let (begun, has_begun) = oneshot();
        let process = rt.spawn_fn(|mailbox: Mailbox<Msg>| async move {
            let _uses = Uses(Some(mailbox), Some(reply));
            begun.send(());
            pending().await
        });
        has_begun.await.expect("it has begun");
        let end = rt.down(&process);
        rt.exit(&process, ExitReason::Kill);
        assert_reason(&end.await.reason, &ExitReason::Killed);
        // It outlives its process, whose place nobody else has.
        let mut mailbox = answer.await.expect("it was in the body");
        for _ in 0..100 {
            let other = waiting(&rt, ()).await;
            assert_ne!(other.pid(), mailbox.pid());
            rt.exit(&other, ExitReason::Kill);
        }
        assert_refused(&mut mailbox);
        assert!(mailbox.me().cast(Msg::Go).is_err());
    });
}

#[test]
fn mailboxes_that_were_swapped_are_refused_until_they_are_back() {
    quiet();
    everywhere(|rt| async move {
        let slot: Arc<Mutex<Option<Mailbox<Msg>>>> = Arc::default();
        let (reply, answer) = oneshot();
        let (back, is_back) = oneshot::<()>();
        let (there, is_there) = oneshot::<()>();
        let gives = slot.clone();
        let one = rt.spawn_fn(|mailbox: Mailbox<Msg>| async move {
            *gives.lock().expect("no panic") = Some(mailbox);
            there.send(());
            let _ = is_back.await;
            let mut mailbox = gives.lock().expect("no panic").take().expect("it is back");
            mailbox.recv().await;
            Err(because("one"))
        });
        let other = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let _ = is_there.await;
            let mut taken = slot.lock().expect("no panic").take().expect("it is there");
            std::mem::swap(&mut mailbox, &mut taken);
            assert_refused(&mut mailbox);
            assert!(taken.try_recv().is_none(), "its own");
            std::mem::swap(&mut mailbox, &mut taken);
            assert_refused(&mut taken);
            *slot.lock().expect("no panic") = Some(taken);
            back.send(());
            reply.send(());
            mailbox.recv().await;
            Err(because("other"))
        });
        answer.await.expect("refused, and no more");
        for (process, reason) in [(one, "one"), (other, "other")] {
            let end = rt.down(&process);
            process.cast(Msg::Go).expect("it lives");
            assert_because(&end.await.reason, reason);
        }
    });
}

/// Constructors of messages run while the runtime is at the process's own part.
#[test]
fn a_constructor_does_not_get_at_the_mailbox() {
    quiet();
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        let process = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
            let slot: Arc<Mutex<Option<Mailbox<Msg>>>> = Arc::default();
            let uses = slot.clone();
            mailbox.trap_exit(move |exit| {
                if let Some(mailbox) = &mut *uses.lock().unwrap_or_else(|lock| lock.into_inner()) {
                    mailbox.try_recv();
                }
                Msg::Exit(exit)
            });
            *slot.lock().expect("no panic") = Some(mailbox);
            reply.send(());
            pending().await
        });
        answer.await.expect("it has begun");
        let end = rt.down(&process);
        rt.exit(&process, because("why"));
        match end.await.reason {
            ExitReason::Panic(info) => assert!(info.message().starts_with("the mailbox of <")),
            other => panic!("{other:?}"),
        }
    });
}

/// A process lives without its mailbox, and one of another form gets at nothing of it.
#[test]
fn a_body_may_drop_its_mailbox_and_others_cannot_use_it() {
    quiet();
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        let uses = puppet.clone();
        let ended = end_of(&rt, |mut mailbox| async move {
            let (reply, answer) = oneshot();
            let job = now(move |_cx| {
                assert_refused(&mut mailbox);
                reply.send(());
                Ok(())
            });
            if uses.cast(job).is_err() {
                panic!("it lives");
            }
            answer.await.map_err(|_| because("not refused"))?;
            Err(because("done"))
        });
        assert_because(&ended.await, "done");
        assert!(puppet.is_alive());
    });
}

//! Addresses found by name or pid, with the type of messages looked at.

use crate::support;

use std::{
    future::{Future, IntoFuture, poll_fn},
    sync::Arc,
    task::Poll,
};

use futures_util::FutureExt;
use support::{
    everywhere,
    puppet::{Do, Event, Events, Plain, Script, Tidy, ask, later, note, now, plain},
    threaded,
};
use whitebeam_actor::{
    ActorRef, CallError, Directory, ExitReason, FindError, Handle, Name, NamedRef, Pid, Reply,
    Runtime, SendFailure, SpawnOptions,
};

fn who(reply: Reply<Pid>) -> Do<false> {
    now(move |cx| {
        reply.send(cx.pid());
        Ok(())
    })
}

async fn end(rt: &Handle, process: &ActorRef<Do<false>>) {
    rt.stop(process, ExitReason::Normal).await.expect("stop");
}

fn wrong() -> FindError {
    FindError::WrongMessage {
        expected: std::any::type_name::<Do<true>>(),
        found: std::any::type_name::<Do<false>>(),
    }
}

#[test]
fn a_process_is_found_with_its_type_of_messages() {
    everywhere(|rt| async move {
        let server = plain(&rt).await;
        rt.register("n", &server).expect("register");
        let directory = Arc::new(Directory::new());
        let via = Name::via(directory.clone(), "n");
        rt.register(&via, &server).expect("register");
        for name in [Name::from("n"), via] {
            assert_eq!(rt.find::<Do<false>>(&name).expect("found"), server);
            assert_eq!(rt.find::<Do<true>>(&name), Err(wrong()));
        }
        assert_eq!(rt.find::<Do<false>>(server.pid()).expect("found"), server);
        assert_eq!(rt.find::<Do<true>>(server.pid()), Err(wrong()));
        assert_eq!(rt.find::<Do<true>>(&server), Err(wrong()));
        assert_eq!(rt.find::<Do<false>>(Name::from("m")), Err(FindError::NoProc));
        let found = ask(&server, |cx| cx.runtime().find::<Do<false>>(Name::from("n"))).await;
        assert_eq!(found.expect("found"), server);
        let text = wrong().to_string();
        assert!(text.contains("Do<true>") && text.contains("Do<false>"), "{text}");
        // Of who has ended nothing is found, whatever was asked for.
        end(&rt, &server).await;
        assert_eq!(rt.find::<Do<false>>(&server), Err(FindError::NoProc));
        assert_eq!(rt.find::<Do<true>>(server.pid()), Err(FindError::NoProc));
    });
}

#[test]
fn a_name_leads_to_who_has_it_at_each_send() {
    everywhere(|rt| async move {
        let named: NamedRef<Do<false>> = rt.named("n");
        let (first, second) = (plain(&rt).await, plain(&rt).await);
        rt.register("n", &first).expect("register");
        assert_eq!(named.call(who).await.expect("call"), first.pid());
        assert_eq!(named.find().expect("found"), first);
        // Prepared, and sent when it is polled: by then another has the name.
        let call = named.call(who);
        rt.unregister("n");
        rt.register("n", &second).expect("register");
        assert_eq!(call.await.expect("call"), second.pid());
        // Of the old owner's end nothing is seen.
        end(&rt, &first).await;
        assert_eq!(named.clone().call(who).await.expect("call"), second.pid());
        end(&rt, &second).await;
        assert!(matches!(named.call(who).await, Err(CallError::NoProc)));
        assert_eq!(named.find(), Err(FindError::NoProc));
        let call = named.call(who);
        let third = rt.with(SpawnOptions::new().name("n")).start::<Plain>(Script::new()).await;
        assert_eq!(call.await.expect("call"), third.expect("start").pid());
    });
}

#[test]
fn who_takes_other_messages_is_an_error_of_its_own() {
    everywhere(|rt| async move {
        let events = Events::new();
        let server = plain(&rt).await;
        rt.register("n", &server).expect("register");
        let named: NamedRef<Do<true>> = rt.named("n");
        let refused = named.cast(note(&events, 3)).expect_err("another type");
        let SendFailure::WrongMessage { found } = refused.why() else { panic!("{refused:?}") };
        assert_eq!(found.as_str(), std::any::type_name::<Do<false>>());
        let text = refused.to_string();
        assert!(text.contains("Do<true>") && text.contains("Do<false>"), "{text}");
        assert!(matches!(refused.into_message(), Do::Tell(_, Event::Note(3))));
        let call = named.call(|reply| {
            now(move |_| {
                reply.send(());
                Ok(())
            })
        });
        match call.await {
            Err(error @ CallError::WrongMessage { expected, found }) => {
                assert_eq!(wrong(), FindError::WrongMessage { expected, found });
                assert!(!error.is_retryable());
                assert!(error.to_string().contains(expected));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(named.find(), Err(wrong()));
        // With another owner it is right.
        rt.unregister("n");
        let options = SpawnOptions::new().name("n");
        rt.with(options).start::<Tidy>(Script::new()).await.expect("start");
        named.cast(note(&events, 4)).expect("cast");
        assert_eq!(events.note().await, 4);
        assert_eq!(rt.info(&server).expect("alive").mailbox_len, 0, "it was sent nothing");
    });
}

/// A request that is answered when the test says so.
fn parked(rt: &Handle) -> impl FnOnce(Reply<u32>) -> Do<false> + use<> {
    let clock = rt.clone();
    move |reply| {
        later(move |_, _| {
            async move {
                clock.sleep(std::time::Duration::from_millis(20)).await;
                reply.send(6);
                Ok(())
            }
            .boxed()
        })
    }
}

#[test]
fn a_call_by_name_may_be_moved() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    everywhere(|rt| async move {
        let server = plain(&rt).await;
        rt.register("n", &server).expect("register");
        // Made by a process, which keeps neither address nor call, and polled by others: outside, then in a task,
        // then in a process.
        let maker = plain(&rt).await;
        let request = parked(&rt);
        let call = ask(&maker, move |cx| cx.runtime().named("n").call(request)).await;
        let mut call = is_send(call.into_future());
        end(&rt, &maker).await;
        let first = poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut call).poll(cx))).await;
        assert!(first.is_pending());
        // Where it was sent to is fixed by then.
        rt.unregister("n");
        let task = rt.spawn_task(async move {
            let again = poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut call).poll(cx))).await;
            assert!(again.is_pending());
            (call,)
        });
        let (call,) = task.await;
        let events = Events::new();
        let (other, told) = (plain(&rt).await, events.clone());
        other
            .cast(later(move |_, _| {
                async move {
                    told.send(Event::Note(call.await?.into()));
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        assert_eq!(events.note().await, 6);
    });
}

#[test]
fn a_call_by_name_blocks_a_plain_thread() {
    threaded(|rt| async move {
        let server = plain(&rt).await;
        let named: NamedRef<Do<false>> = rt.named(Name::of(7_u8));
        assert!(matches!(named.call(who).blocking(), Err(CallError::NoProc)));
        rt.register(Name::of(7_u8), &server).expect("register");
        assert_eq!(named.call(who).blocking().expect("call"), server.pid());
        assert_eq!(named.call(who).owned().blocking().expect("call"), server.pid());
        let wrong = rt.named::<u8>(Name::of(7_u8)).call(|_: Reply<()>| 1).blocking();
        assert!(matches!(wrong, Err(CallError::WrongMessage { .. })), "{wrong:?}");
    });
}

/// Elsewhere its name is still that of its own runtime.
#[test]
fn an_address_by_name_is_bound_to_its_runtime() {
    everywhere(|rt| async move {
        let elsewhere = Runtime::simulated(1).expect("another runtime");
        let theirs = elsewhere.with(SpawnOptions::new().name("n")).spawn::<Plain>(Script::new());
        let named: NamedRef<Do<false>> = rt.named("n");
        elsewhere.exit(&named, ExitReason::Kill);
        assert_eq!(elsewhere.pid_of(&named), None, "whoever has that name there");
        let ours = plain(&rt).await;
        rt.register("n", &ours).expect("register");
        assert_eq!(elsewhere.pid_of(&named), Some(ours.pid()));
        assert!(!elsewhere.is_alive(&named) && rt.is_alive(&named) && theirs.is_alive());
        assert_eq!(format!("{named:?}"), "NamedRef(\"n\")");
        // It keeps nothing running, and outlives its process and its runtime.
        end(&rt, &ours).await;
        let late: NamedRef<Do<false>> = elsewhere.named("n");
        drop(elsewhere);
        assert_eq!(late.cast(now(|_| Ok(()))).expect_err("gone").why(), SendFailure::NoProc);
        assert!(matches!(late.call(who).await, Err(CallError::NoProc)));
    });
}

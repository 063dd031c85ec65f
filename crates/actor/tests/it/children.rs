//! Children: their ends are told once, they are stopped one or all whatever they are doing, and they do not
//! outlive a parent that is killed.

use crate::support;

use std::{future::pending, time::Duration};

use futures_util::{FutureExt, future::join_all};
use support::{
    EXPECTED, everywhere, expect_panics, now as time,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Puppet, Script, Tidy, ask, assert_because, assert_panic,
        assert_reason, because, down, hang, later, note, now, plain, settled, trap,
    },
    scaled,
};
use whitebeam_actor::{
    Actor, ActorRef, CallError, ChildKey, Context, ExitReason, Handle, Outcome, Reply,
    SpawnOptions, StartError, StartInfo, Stop, StopSummary, oneshot,
};

type Parent = ActorRef<Do<false>>;

/// A parent whose children's ends are events.
async fn parent(rt: &Handle, events: &Events) -> Parent {
    rt.start::<Plain>(Script::new().tell_children(events)).await.expect("start")
}

/// A child that has started.
async fn child<const TIDY: bool>(
    parent: &Parent,
    script: Script<TIDY>,
) -> (ChildKey, ActorRef<Do<TIDY>>)
where
    Puppet<TIDY>: Actor<Msg = Do<TIDY>, Args = Script<TIDY>>,
{
    let (ack, started) = oneshot();
    let spawned = ask(parent, move |cx| {
        cx.spawn_child::<Puppet<TIDY>>(script, SpawnOptions::new(), None, Some(ack))
    });
    let (key, child) = spawned.await.expect("spawned");
    let acked = started.await.expect("answered").expect("started");
    assert_eq!(acked, child);
    (key, child)
}

async fn count(parent: &Parent) -> usize {
    ask(parent, |cx| cx.child_count()).await
}

/// Has the parent stop one child.
async fn stop_child(parent: &Parent, key: ChildKey, how: Stop) -> Outcome {
    let (reply, outcome) = oneshot();
    let job = later(move |_, cx| {
        async move {
            reply.send(cx.stop_child(key, how).await);
            Ok(())
        }
        .boxed()
    });
    parent.cast(job).expect("cast");
    outcome.await.expect("the parent lives")
}

/// Has the parent stop all of them.
async fn stop_children(parent: &Parent, how: Stop) -> StopSummary {
    let (reply, summary) = oneshot();
    let job = later(move |_, cx| {
        async move {
            reply.send(cx.stop_children(how).await);
            Ok(())
        }
        .boxed()
    });
    parent.cast(job).expect("cast");
    summary.await.expect("the parent lives")
}

/// What a child is doing when it is told to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Idle,
    Suspended,
    Yielding,
    Trapping,
    TrappingSuspended,
    InInit,
    Backlog,
}
use State::{Backlog, Idle, InInit, Suspended, Trapping, TrappingSuspended, Yielding};

const STATES: [State; 7] =
    [Idle, Suspended, Yielding, Trapping, TrappingSuspended, InInit, Backlog];

/// Brings a child into a state. One that traps exits and hangs goes on by itself after 20 ms.
async fn child_in<const TIDY: bool>(
    rt: &Handle,
    parent: &Parent,
    state: State,
    script: Script<TIDY>,
) -> (ChildKey, ActorRef<Do<TIDY>>)
where
    Puppet<TIDY>: Actor<Msg = Do<TIDY>, Args = Script<TIDY>>,
{
    let events = Events::new();
    if state == InInit {
        let told = events.clone();
        let script = script.init(move |_| {
            async move {
                told.send(Event::Note(0));
                pending().await
            }
            .boxed()
        });
        let spawned = ask(parent, move |cx| {
            cx.spawn_child::<Puppet<TIDY>>(script, SpawnOptions::new(), None, None)
        });
        let spawned = spawned.await.expect("spawned");
        assert_eq!(events.note().await, 0);
        return spawned;
    }
    let (key, child) = child(parent, script).await;
    if matches!(state, Trapping | TrappingSuspended) {
        let told = events.clone();
        ask(&child, move |cx| trap(cx, &told)).await;
    }
    match state {
        Idle | Trapping | InInit => {}
        Suspended | Backlog => {
            child.cast(hang(&events, ())).expect("cast");
            events.hanging().await;
            if state == Backlog {
                for n in 0..2000 {
                    child.cast(note(&events, n)).expect("cast");
                }
            }
        }
        Yielding => {
            child.cast(later(|_, _| busy().boxed())).expect("cast");
        }
        TrappingSuspended => {
            let (told, clock) = (events.clone(), rt.clone());
            let job = later(move |_, _| {
                async move {
                    told.send(Event::Note(0));
                    clock.sleep(Duration::from_millis(20)).await;
                    Ok(())
                }
                .boxed()
            });
            child.cast(job).expect("cast");
            assert_eq!(events.note().await, 0);
        }
    }
    (key, child)
}

async fn busy() -> Result<(), ExitReason> {
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await
}

// Ends by themselves.

#[test]
fn an_end_is_told_once_with_key_pid_and_reason() {
    expect_panics();
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        for n in 0..5 {
            let (key, child) = child::<false>(&parent, Script::new()).await;
            let pid = child.pid();
            assert_eq!(count(&parent).await, 1);
            assert_eq!(
                ask(&parent, move |cx| (cx.child_key(pid), cx.child_pid(key))).await,
                (Some(key), Some(pid))
            );
            let expected = match n {
                0 => ExitReason::Normal,
                1 => ExitReason::Shutdown,
                2 => because("own"),
                3 => ExitReason::Killed,
                _ => ExitReason::NoProc,
            };
            match n {
                3 => rt.exit(&child, ExitReason::Kill),
                4 => child.cast(now(|_| panic!("{EXPECTED}"))).expect("cast"),
                _ => {
                    let given = expected.clone();
                    child.cast(now(move |_| Err(given))).expect("cast");
                }
            }
            let told = events.child().await;
            assert_eq!((told.key, told.pid, told.started), (key, pid, true));
            if n == 4 {
                assert_panic(&told.reason, EXPECTED);
            } else {
                assert_reason(&told.reason, &expected);
            }
            assert_eq!(count(&parent).await, 0);
            assert_eq!(
                ask(&parent, move |cx| (cx.child_key(pid), cx.child_pid(key))).await,
                (None, None)
            );
            assert!(!child.is_alive());
        }
        events.quiet(&rt).await;
    });
}

#[test]
fn an_end_in_init_is_told_as_one_that_did_not_start() {
    expect_panics();
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        for n in 0..4 {
            let script = Script::<true>::new().init_now(move |_| match n {
                0 => Err(because("r")),
                1 => Err(ExitReason::Ignore),
                2 => panic!("{EXPECTED}"),
                _ => Ok(()),
            });
            let (ack, started) = oneshot();
            let spawned = ask(&parent, move |cx| {
                let spawned = cx.spawn_child::<Tidy>(script, SpawnOptions::new(), None, Some(ack));
                if let (3, Some((_, child))) = (n, &spawned) {
                    // Before it has run.
                    cx.exit(child, ExitReason::Kill);
                }
                spawned
            });
            let (key, child) = spawned.await.expect("spawned");
            let told = events.child().await;
            assert_eq!((told.key, told.pid, told.started), (key, child.pid(), false));
            match (n, started.await) {
                (0, Err(CallError::Exit(reason))) => assert_because(&reason, "r"),
                (1, Err(CallError::Exit(reason))) => assert_reason(&reason, &ExitReason::Ignore),
                (2, Err(CallError::Exit(reason))) => assert_panic(&reason, EXPECTED),
                (3, Err(CallError::Exit(reason))) => assert_reason(&reason, &ExitReason::Killed),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(count(&parent).await, 0);
        assert_eq!(rt.processes().len(), 1);
    });
}

#[test]
fn ends_wait_while_a_handler_is_suspended() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let mut children = Vec::new();
        for _ in 0..3 {
            children.push(child::<false>(&parent, Script::new()).await);
        }
        let (go, gate) = oneshot::<()>();
        let (told, clock) = (events.clone(), rt.clone());
        let job = later(move |_, cx| {
            async move {
                told.send(Event::Note(1));
                let _ = gate.await;
                // They are counted off in the midst of a handler, and not told.
                while !cx.children().is_empty() {
                    clock.sleep(Duration::from_millis(1)).await;
                }
                // And count until they are.
                assert_eq!(cx.child_count(), 3);
                told.send(Event::Note(0));
                Ok(())
            }
            .boxed()
        });
        parent.cast(job).expect("cast");
        parent.cast(note(&events, 9)).expect("cast");
        assert_eq!(events.note().await, 1);
        for (_, child) in &children {
            let end = rt.down(child);
            rt.exit(child, ExitReason::Kill);
            end.await;
        }
        assert!(events.take().is_empty());
        go.send(());
        assert_eq!(events.note().await, 0);
        let mut keys = Vec::new();
        for _ in 0..3 {
            keys.push(events.child().await.key);
        }
        // Then the message behind the handler.
        assert_eq!(events.note().await, 9);
        keys.sort();
        assert_eq!(keys, children.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    });
}

/// A restart, in the function that is told of the end.
#[test]
fn a_child_may_be_replaced_where_its_end_is_told() {
    everywhere(|rt| async move {
        let events = Events::new();
        let told = events.clone();
        let restart = move |down: whitebeam_actor::ChildDown, cx: &mut Context<Plain>| {
            let info = cx.start_info().after(down.reason.clone());
            told.send(Event::Child(down));
            let told = told.clone();
            let script = Script::new().init_now(move |cx| {
                let info = cx.start_info();
                assert!(info.last_exit.is_some_and(|reason| reason.is::<&str>()));
                told.send(Event::Note(info.attempt.into()));
                Ok(())
            });
            cx.spawn_child::<Plain>(script, SpawnOptions::new().name("child"), Some(info), None);
        };
        let parent = rt.start::<Plain>(Script::new().supervise(restart)).await.expect("start");
        let first = ask(&parent, |cx| {
            cx.spawn_child::<Plain>(Script::new(), SpawnOptions::new().name("child"), None, None)
        });
        let (_, mut current) = first.await.map(|(key, child)| (key, child.pid())).expect("spawned");
        for _ in 0..scaled(50, 10) {
            rt.exit(current, because("again"));
            assert_eq!(events.child().await.pid, current);
            assert_eq!(events.note().await, 2);
            let next = rt.whereis("child").expect("restarted");
            assert_ne!(next, current);
            current = next;
            assert_eq!(count(&parent).await, 1);
        }
    });
}

#[test]
fn a_panic_where_an_end_is_told_ends_the_parent_and_its_children() {
    expect_panics();
    everywhere(|rt| async move {
        let events = Events::new();
        let script = Script::new().supervise(|_, _| panic!("{EXPECTED}"));
        let parent = rt.start::<Plain>(script).await.expect("start");
        let end = rt.down(&parent);
        let (_, first) = child::<false>(&parent, Script::new()).await;
        let (_, second) = child::<true>(&parent, Script::new().tell_terminate(&events)).await;
        let orphan = rt.down(&second);
        rt.exit(&first, ExitReason::Kill);
        assert_panic(&end.await.reason, EXPECTED);
        assert_reason(&orphan.await.reason, &ExitReason::Shutdown);
        assert_reason(&events.terminated().await, &ExitReason::Shutdown);
    });
}

/// A reply that is dropped where an end is told is answered then, not when something else ends.
#[test]
fn a_reply_dropped_where_an_end_is_told_is_answered() {
    everywhere(|rt| async move {
        let kept = std::sync::Arc::new(parking_lot::Mutex::new(None::<Reply<()>>));
        let inside = kept.clone();
        let script = Script::new().supervise(move |_, _| drop(inside.lock().take()));
        let parent = rt.start::<Plain>(script).await.expect("start");
        let (_, child) = child::<false>(&parent, Script::new()).await;
        let (reply, answer) = oneshot();
        *kept.lock() = Some(reply);
        rt.exit(&child, ExitReason::Kill);
        let answer = answer.await;
        assert!(matches!(answer, Err(CallError::NoReply)), "{answer:?}");
    });
}

// Stopping one.

#[test]
fn one_child_is_stopped_whatever_it_does() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        for state in STATES {
            for how in [Stop::Infinity, Stop::After(Duration::from_secs(5)), Stop::Kill] {
                let told = Events::new();
                let (key, child) =
                    child_in(&rt, &parent, state, Script::<false>::new().tell_drop(&told)).await;
                let end = rt.down(&child);
                let outcome = stop_child(&parent, key, how).await;
                // Whoever stopped it finds it gone.
                assert!(!child.is_alive(), "{state:?} {how:?}");
                if state == InInit {
                    assert!(told.take().len() <= 1);
                } else {
                    told.dropped().await;
                }
                let reason = end.await.reason;
                if how == Stop::Kill {
                    assert!(matches!(outcome, Outcome::Killed), "{state:?} {outcome:?}");
                    assert_reason(&reason, &ExitReason::Killed);
                } else {
                    assert!(matches!(outcome, Outcome::Clean), "{state:?} {outcome:?}");
                    assert_reason(&reason, &ExitReason::Shutdown);
                }
                let again = stop_child(&parent, key, how).await;
                assert!(matches!(again, Outcome::NotFound), "{again:?}");
            }
        }
        assert_eq!(count(&parent).await, 0);
        // No end was reported.
        events.quiet(&rt).await;
        assert_eq!(rt.processes().len(), 1);
    });
}

#[test]
fn one_child_with_a_terminate_is_stopped_whatever_it_does() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        for state in STATES {
            for how in [Stop::Infinity, Stop::After(Duration::from_secs(5)), Stop::Kill] {
                let told = Events::new();
                let script = Script::<true>::new().tell_terminate(&told).tell_drop(&told);
                let (key, child) = child_in(&rt, &parent, state, script).await;
                let outcome = stop_child(&parent, key, how).await;
                assert!(!child.is_alive(), "{state:?} {how:?}");
                if how == Stop::Kill {
                    assert!(matches!(outcome, Outcome::Killed), "{state:?} {outcome:?}");
                } else {
                    assert!(matches!(outcome, Outcome::Clean), "{state:?} {outcome:?}");
                    // One that is in its `init` has no state to terminate.
                    if state != InInit {
                        assert_reason(&told.terminated().await, &ExitReason::Shutdown);
                    }
                }
                if state != InInit {
                    told.dropped().await;
                }
                assert!(told.take().len() <= usize::from(state == InInit));
            }
        }
        events.quiet(&rt).await;
    });
}

#[test]
fn a_child_that_takes_too_long_is_killed() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let (key, child) =
            child::<true>(&parent, Script::new().terminate(|_, _| pending().boxed())).await;
        let (begun, end) = (time(&rt), rt.down(&child));
        let outcome = stop_child(&parent, key, Stop::After(Duration::from_millis(30))).await;
        assert!(time(&rt) - begun >= 30_000_000);
        assert!(matches!(outcome, Outcome::Killed), "{outcome:?}");
        assert_reason(&end.await.reason, &ExitReason::Killed);
        events.quiet(&rt).await;
    });
}

#[test]
fn a_child_that_fails_while_it_is_stopped_has_crashed() {
    expect_panics();
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        // In its `terminate`, and in its destructor, on its own turn and on the parent's.
        let (key, _child) =
            child::<true>(&parent, Script::new().terminate(|_, _| panic!("{EXPECTED}"))).await;
        let Outcome::Crashed(reason) = stop_child(&parent, key, Stop::Infinity).await else {
            panic!("it did not crash")
        };
        assert_panic(&reason, EXPECTED);
        for state in [Idle, Trapping, Suspended] {
            let script = Script::<false>::new().on_drop(|| panic!("{EXPECTED}"));
            let (key, _child) = child_in(&rt, &parent, state, script).await;
            let Outcome::Crashed(reason) = stop_child(&parent, key, Stop::Infinity).await else {
                panic!("it did not crash")
            };
            assert_panic(&reason, EXPECTED);
        }
        // One that has ended by itself when it is stopped.
        let (key, child) = child::<false>(&parent, Script::new()).await;
        rt.exit(&child, ExitReason::Kill);
        match stop_child(&parent, key, Stop::Infinity).await {
            Outcome::NotFound => assert_eq!(events.child().await.key, key),
            Outcome::Crashed(reason) => assert_reason(&reason, &ExitReason::Killed),
            Outcome::Clean => {}
            other => panic!("{other:?}"),
        }
    });
}

// Stopping all.

/// Children in every state, more than one batch of them.
#[test]
fn all_children_are_stopped_whatever_they_do() {
    expect_panics();
    everywhere(|rt| async move {
        for how in [Stop::Infinity, Stop::After(Duration::from_secs(5)), Stop::Kill] {
            let (events, told) = (Events::new(), Events::new());
            let parent = parent(&rt, &events).await;
            let idle = scaled(600, 60);
            let watched = told.clone();
            ask(&parent, move |cx| {
                for _ in 0..idle {
                    cx.spawn_child::<Plain>(
                        Script::new().tell_drop(&watched),
                        SpawnOptions::new(),
                        None,
                        None,
                    );
                }
            })
            .await;
            let mut kept = Vec::new();
            for state in STATES {
                kept.push(
                    child_in(&rt, &parent, state, Script::<false>::new().tell_drop(&told))
                        .await
                        .1
                        .pid(),
                );
                kept.push(
                    child_in(&rt, &parent, state, Script::<true>::new().tell_drop(&told))
                        .await
                        .1
                        .pid(),
                );
            }
            let all = idle + kept.len();
            assert_eq!(count(&parent).await, all);
            let summary = stop_children(&parent, how).await;
            let as_told = if how == Stop::Kill { summary.brutal } else { summary.clean };
            assert_eq!((as_told, summary.ended()), (all, all), "{summary:?}");
            assert_eq!(count(&parent).await, 0);
            assert!(kept.iter().all(|pid| !rt.is_alive(*pid)));
            assert_eq!(rt.processes().len(), 1);
            // The states of all that had one are gone; what the others were to start with is dropped like
            // unread messages, which may come a moment later.
            for _ in 0..all {
                told.dropped().await;
            }
            events.quiet(&rt).await;
            rt.exit(&parent, ExitReason::Kill);
        }
    });
}

#[test]
fn those_that_take_too_long_are_killed_together() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let starts = ask(&parent, |cx| {
            let mut starts = Vec::new();
            for n in 0..300 {
                let script = Script::new();
                let script =
                    if n % 3 == 0 { script.terminate(|_, _| pending().boxed()) } else { script };
                let (ack, start) = oneshot();
                cx.spawn_child::<Tidy>(script, SpawnOptions::new(), None, Some(ack));
                starts.push(start);
            }
            starts
        });
        for start in starts.await {
            start.await.expect("answered").expect("started");
        }
        let begun = time(&rt);
        let summary = stop_children(&parent, Stop::After(Duration::from_millis(40))).await;
        let took = time(&rt) - begun;
        assert_eq!((summary.clean, summary.killed, summary.crashed), (200, 100, 0), "{summary:?}");
        // One time for all.
        assert!((40_000_000..3_000_000_000).contains(&took), "{took} ns");
        assert_eq!(rt.processes().len(), 1);
    });
}

#[test]
fn who_crashes_while_all_are_stopped_is_named() {
    expect_panics();
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let bombs = StopSummary::EXCEPTIONS + 10;
        let mut pids = Vec::new();
        for n in 0..bombs {
            let pid = if n % 2 == 0 {
                child::<false>(&parent, Script::new().on_drop(|| panic!("{EXPECTED}")))
                    .await
                    .1
                    .pid()
            } else {
                child::<true>(&parent, Script::new().terminate(|_, _| panic!("{EXPECTED}")))
                    .await
                    .1
                    .pid()
            };
            pids.push(pid);
        }
        let summary = stop_children(&parent, Stop::Infinity).await;
        assert_eq!((summary.clean, summary.killed, summary.crashed), (0, 0, bombs));
        assert_eq!(summary.exceptions.len(), StopSummary::EXCEPTIONS);
        for exception in &summary.exceptions {
            assert!(pids.contains(&exception.pid));
            assert_panic(&exception.reason, EXPECTED);
        }
    });
}

/// Each in its own way, all at once: the times of those that have one run side by side.
#[test]
fn some_are_stopped_in_other_ways_than_the_rest() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let never = || Script::new().terminate(|_, _| pending().boxed());
        let mut keys = Vec::new();
        for _ in 0..3 {
            keys.push(child::<true>(&parent, never()).await.0);
        }
        child::<true>(&parent, Script::new()).await;
        child::<true>(&parent, never()).await;
        let ms = |ms| Stop::After(Duration::from_millis(ms));
        let others = [(keys[0], Stop::Kill), (keys[1], ms(20)), (keys[2], ms(60))];
        let (reply, summary) = oneshot();
        let job = later(move |_, cx| {
            async move {
                reply.send(cx.stop_children(ms(90)).except(others).await);
                Ok(())
            }
            .boxed()
        });
        let begun = time(&rt);
        parent.cast(job).expect("cast");
        let summary = summary.await.expect("the parent lives");
        let took = time(&rt) - begun;
        assert!((90_000_000..3_000_000_000).contains(&took), "{took} ns");
        assert_eq!((summary.brutal, summary.clean, summary.killed), (1, 1, 3), "{summary:?}");
        let mut least = [20, 60, 90].map(Duration::from_millis).into_iter();
        assert!(summary.exceptions.iter().all(|one| Some(one.took) >= least.next()), "{summary:?}");
    });
}

/// Every child is reported or counted, and none is both.
#[test]
fn an_end_is_either_reported_or_counted() {
    everywhere(|rt| async move {
        for _ in 0..scaled(20, 3) {
            let events = Events::new();
            let parent = parent(&rt, &events).await;
            let children: Vec<_> = ask(&parent, |cx| {
                (0..40)
                    .filter_map(|_| {
                        cx.spawn_child::<Plain>(Script::new(), SpawnOptions::new(), None, None)
                    })
                    .map(|(_, child)| child)
                    .collect()
            })
            .await;
            for child in &children {
                child.cast(now(|_| Err(because("own")))).expect("cast");
            }
            let summary = stop_children(&parent, Stop::Infinity).await;
            settled(&parent).await;
            let reported = events.take().len();
            let counted = summary.ended();
            assert_eq!(reported + counted, 40, "{reported} reported, {summary:?}");
            rt.exit(&parent, ExitReason::Kill);
        }
    });
}

/// Given up half way, the rest is reported as ever; and all can be stopped again.
#[test]
fn a_stop_that_is_given_up_leaves_a_parent_that_works() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let (go, gate) = oneshot::<()>();
        let script = Script::new().terminate(move |_, _| {
            async move {
                let _ = gate.await;
            }
            .boxed()
        });
        let (key, _slow) = child::<true>(&parent, script).await;
        let (_, _idle) = child::<false>(&parent, Script::new()).await;
        let told = events.clone();
        let job = later(move |_, cx| {
            async move {
                assert!(cx.stop_children(Stop::Infinity).now_or_never().is_none());
                told.send(Event::Note(1));
                Ok(())
            }
            .boxed()
        });
        parent.cast(job).expect("cast");
        assert_eq!(events.note().await, 1);
        go.send(());
        // The other one has ended inline, and was counted, unless it was in a turn of its own.
        loop {
            let told = events.child().await;
            assert_reason(&told.reason, &ExitReason::Shutdown);
            if told.key == key {
                break;
            }
        }
        while count(&parent).await > 0 {
            rt.sleep(Duration::from_millis(1)).await;
        }
        let (_, _new) = child::<false>(&parent, Script::new()).await;
        let summary = stop_children(&parent, Stop::Infinity).await;
        assert_eq!(summary.clean, 1);
    });
}

/// Those who watch or are linked are told, the name is free, the callers are answered, also where a child is
/// ended on its parent's worker.
#[test]
fn an_idle_child_ends_as_completely_as_any_other() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let outside = Events::new();
        let watcher = rt.start::<Plain>(Script::new().trap(&outside)).await.expect("start");
        let (key, child) = ask(&parent, |cx| {
            cx.spawn_child::<Plain>(Script::new(), SpawnOptions::new().name("child"), None, None)
        })
        .await
        .expect("spawned");
        let (pid, told) = (child.pid(), outside.clone());
        ask(&watcher, move |cx| {
            cx.link(pid);
            cx.monitor(pid, down(&told, 1));
        })
        .await;
        let (reply, kept) = oneshot::<()>();
        let cell = parking_lot::Mutex::new(Some(reply));
        ask(&child, move |cx| {
            // Kept by a timer of the child's.
            let reply = cell.lock().take();
            cx.send_after(
                Duration::from_secs(9),
                now(move |_| {
                    drop(reply);
                    Ok(())
                }),
            );
        })
        .await;
        let outcome = stop_child(&parent, key, Stop::Infinity).await;
        assert!(matches!(outcome, Outcome::Clean), "{outcome:?}");
        assert_eq!(rt.whereis("child"), None);
        for _ in 0..2 {
            match outside.next().await {
                Event::Exit(exit) => assert_reason(&exit.reason, &ExitReason::Shutdown),
                Event::Down(1, down) => assert_reason(&down.reason, &ExitReason::Shutdown),
                other => panic!("{other:?}"),
            }
        }
        match kept.await {
            Err(CallError::Exit(reason)) => assert_reason(&reason, &ExitReason::Shutdown),
            other => panic!("{other:?}"),
        }
    });
}

/// What the parent's own handler dropped is not answered with a child's reason.
#[test]
fn a_parents_dropped_reply_is_not_its_childs() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        for _ in 0..3 {
            child::<false>(&parent, Script::new()).await;
        }
        let answer = parent
            .call(|reply: Reply<()>| {
                later(move |_, cx| {
                    async move {
                        drop(reply);
                        cx.stop_children(Stop::Infinity).await;
                        Ok(())
                    }
                    .boxed()
                })
            })
            .await;
        assert!(matches!(answer, Err(CallError::NoReply)), "{answer:?}");
    });
}

// The parent's end.

/// A parent that stops its children in its `terminate` ends after all of them.
#[test]
fn a_tree_ends_from_its_leaves() {
    everywhere(|rt| async move {
        let events = Events::new();
        /// A node that stops its children before it ends.
        fn node(events: &Events, depth: u64) -> Script<true> {
            let (told, spawns, started) = (events.clone(), events.clone(), events.clone());
            Script::new()
                .supervise(|_, _| {})
                .terminate(move |_, cx| {
                    async move {
                        let summary = cx.stop_children(Stop::Infinity).await;
                        assert_eq!(summary.killed + summary.crashed, 0);
                        told.send(Event::Note(depth));
                    }
                    .boxed()
                })
                .init_now(move |cx| {
                    if depth > 0 {
                        for _ in 0..3 {
                            cx.spawn_child::<Tidy>(
                                node(&spawns, depth - 1),
                                SpawnOptions::new(),
                                None,
                                None,
                            );
                        }
                    }
                    started.send(Event::Note(STARTED));
                    Ok(())
                })
        }
        const STARTED: u64 = 99;
        let root = rt.start::<Tidy>(node(&events, 3)).await.expect("start");
        for _ in 0..40 {
            assert_eq!(events.note().await, STARTED);
        }
        let end = rt.down(&root);
        rt.exit(&root, ExitReason::Shutdown);
        assert_reason(&end.await.reason, &ExitReason::Shutdown);
        assert!(rt.processes().is_empty());
        let mut left = [27_u64, 9, 3, 1];
        for event in events.take() {
            let Event::Note(depth) = event else { panic!("{event:?}") };
            left[depth as usize] -= 1;
            if depth > 0 {
                // Its own three have ended before.
                assert!(left[depth as usize - 1] <= left[depth as usize] * 3);
            }
        }
    });
}

#[test]
fn the_orphans_of_a_killed_parent_end_in_order() {
    everywhere(|rt| async move {
        for reason in [ExitReason::Kill, because("crash")] {
            let (events, told) = (Events::new(), Events::new());
            let parent = parent(&rt, &events).await;
            let mut ends = Vec::new();
            for state in STATES {
                let script = Script::<true>::new().tell_terminate(&told);
                ends.push((state, rt.down(&child_in(&rt, &parent, state, script).await.1)));
                ends.push((
                    state,
                    rt.down(&child_in(&rt, &parent, state, Script::<false>::new()).await.1),
                ));
            }
            let end = rt.down(&parent);
            rt.exit(&parent, reason);
            end.await;
            for (state, end) in ends {
                let reason = end.await.reason;
                assert!(matches!(reason, ExitReason::Shutdown), "{state:?} {reason:?}");
            }
            // All that had a state have terminated.
            assert_eq!(told.take().len(), STATES.len() - 1);
            assert!(events.take().is_empty());
        }
        assert!(rt.processes().is_empty());
    });
}

/// Children and parent end at the same time, by many hands.
#[test]
fn ends_that_cross_leave_nothing_behind() {
    everywhere(|rt| async move {
        for round in 0..scaled(60, 6) / if rt.workers() == 4 { 1 } else { 6 } {
            let events = Events::new();
            let parent = parent(&rt, &events).await;
            let children: Vec<_> = ask(&parent, |cx| {
                (0..30)
                    .filter_map(|_| {
                        cx.spawn_child::<Plain>(Script::new(), SpawnOptions::new(), None, None)
                    })
                    .map(|(_, child)| child)
                    .collect()
            })
            .await;
            let ends: Vec<_> = children.iter().map(|child| rt.down(child)).collect();
            for (n, child) in children.iter().enumerate() {
                if n == round % 30 {
                    rt.exit(&parent, ExitReason::Kill);
                }
                match n % 3 {
                    0 => rt.exit(child, ExitReason::Kill),
                    1 => drop(child.cast(now(|_| Err(because("own"))))),
                    _ => {}
                }
            }
            join_all(ends).await;
            // Their cells, and the parent's, are free when the last address goes.
            drop(children);
            while !rt.processes().is_empty() {
                rt.sleep(Duration::from_millis(1)).await;
            }
        }
    });
}

/// A child killed while it holds something; the parent asks for its start to be told when it is no more.
#[test]
fn a_spawn_that_is_refused_tells_its_starter() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let (_, _first) = child::<false>(&parent, Script::new()).await;
        let named = || SpawnOptions::new().name("n");
        ask(&parent, move |cx| cx.spawn_child::<Plain>(Script::new(), named(), None, None))
            .await
            .expect("spawned");
        let (ack, answer) = oneshot();
        let dropped = OnDrop::new({
            let events = events.clone();
            move || events.send(Event::Note(1))
        });
        let script = Script::new().on_drop(move || drop(dropped));
        let refused = ask(&parent, move |cx| {
            cx.spawn_child::<Plain>(script, named(), Some(StartInfo::first()), Some(ack)).is_none()
        });
        assert!(refused.await);
        let answer = answer.await.expect("answered");
        assert!(matches!(answer, Err(StartError::NameTaken(_))), "{answer:?}");
        assert_eq!(events.note().await, 1);
        assert_eq!(count(&parent).await, 2);
        let other = plain(&rt).await;
        let pid = other.pid();
        assert_eq!(ask(&parent, move |cx| cx.child_key(pid)).await, None);
    });
}

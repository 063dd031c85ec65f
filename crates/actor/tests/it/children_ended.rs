//! What supervisors are made of beside the two stops: `end_child`, `await_child`, `take_child_downs`.

use std::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use whitebeam_actor::{
    ActorRef, ChildDown, ChildKey, Context, ExitReason, Handle, SpawnOptions, Stop, oneshot,
};

use crate::support::{
    everywhere, now as time,
    puppet::{
        Do, Event, Events, Plain, Script, Tidy, ask, assert_because, assert_reason, because, hang,
        later, now, trap,
    },
};

type Parent = ActorRef<Do<false>>;

/// A parent whose children's ends are events.
async fn parent(rt: &Handle, events: &Events) -> Parent {
    rt.start::<Plain>(Script::new().tell_children(events)).await.expect("start")
}

async fn child(parent: &Parent, script: Script<true>) -> (ChildKey, ActorRef<Do<true>>) {
    let (ack, started) = oneshot();
    let spawned =
        ask(parent, move |cx| cx.spawn_child::<Tidy>(script, SpawnOptions::new(), None, Some(ack)));
    let (key, child) = spawned.await.expect("spawned");
    started.await.expect("answered").expect("started");
    (key, child)
}

/// Runs `f` in the parent's handler, which may suspend, and gives what it gave.
async fn within<R: Send + 'static>(
    parent: &Parent,
    f: impl for<'a> FnOnce(&'a mut Context<Plain>) -> BoxFuture<'a, R> + Send + 'static,
) -> R {
    let (reply, answer) = oneshot();
    let job = later(move |_: &mut Plain, cx| {
        async move {
            reply.send(f(cx).await);
            Ok(())
        }
        .boxed()
    });
    parent.cast(job).expect("cast");
    answer.await.expect("the parent lives")
}

async fn end_child(parent: &Parent, key: ChildKey, how: Stop) -> Option<ExitReason> {
    within(parent, move |cx| cx.end_child(key, how).boxed()).await
}

async fn await_child(parent: &Parent, key: ChildKey, how: Stop) -> Option<ExitReason> {
    within(parent, move |cx| cx.await_child(key, how).boxed()).await
}

/// Polls a future once, for what that begins.
async fn begun<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Suspends the handler until the process has ended, and its parent has heard of it if it is that.
async fn ended(rt: &Handle, child: &ActorRef<Do<true>>) {
    while child.is_alive() {
        rt.sleep(Duration::from_millis(1)).await;
    }
    rt.sleep(Duration::from_millis(1)).await;
}

const LONG: Duration = Duration::from_secs(5);

#[test]
fn a_child_that_is_ended_says_why_it_has() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        for (how, expected) in [
            (Stop::Kill, ExitReason::Killed),
            (Stop::After(LONG), ExitReason::Shutdown),
            (Stop::Infinity, ExitReason::Shutdown),
        ] {
            let (key, child) = child(&parent, Script::new()).await;
            let reason = end_child(&parent, key, how).await.expect("there is one");
            assert_reason(&reason, &expected);
            assert!(!child.is_alive());
            // It was told so once, and there is none any more.
            assert!(end_child(&parent, key, how).await.is_none());
            assert!(await_child(&parent, key, Stop::Infinity).await.is_none());
        }
        events.quiet(&rt).await;
    });
}

#[test]
fn a_child_that_was_told_before_gets_no_second_signal() {
    everywhere(|rt| async move {
        let (events, told) = (Events::new(), Events::new());
        let parent = parent(&rt, &events).await;
        let signals = told.clone();
        let script = Script::new().init_now(move |cx| {
            trap(cx, &signals);
            Ok(())
        });
        let (key, child) = child(&parent, script.tell_terminate(&told)).await;
        let pid = child.pid();
        // A stranger's signal, which it traps; it ends when it is asked to.
        rt.exit(pid, because("told"));
        told.exit().await;
        let asked = child.clone();
        let reason = within(&parent, move |cx| {
            async move {
                let mut end = cx.await_child(key, Stop::After(LONG));
                assert!(begun(&mut end).await.is_pending());
                asked.cast(now(|_| Err(because("done")))).expect("cast");
                end.await
            }
            .boxed()
        });
        assert_because(&reason.await.expect("there is one"), "done");
        assert_because(&told.terminated().await, "done");
        assert!(told.take().is_empty());
        events.quiet(&rt).await;
    });
}

#[test]
fn a_child_that_hangs_is_killed_when_its_time_is_over() {
    everywhere(|rt| async move {
        let (events, told) = (Events::new(), Events::new());
        let parent = parent(&rt, &events).await;
        let limit = Duration::from_millis(30);
        for is_told in [false, true] {
            let script = Script::new().terminate(|_, _| pending().boxed());
            let (key, child) = child(&parent, script).await;
            child.cast(hang(&told, ())).expect("cast");
            told.hanging().await;
            let begun = time(&rt);
            let reason = if is_told {
                let pid = child.pid();
                ask(&parent, move |cx| cx.exit(pid, ExitReason::Shutdown)).await;
                await_child(&parent, key, Stop::After(limit)).await
            } else {
                end_child(&parent, key, Stop::After(limit)).await
            };
            assert_reason(&reason.expect("there is one"), &ExitReason::Killed);
            assert!(time(&rt) - begun >= 30_000_000);
        }
        events.quiet(&rt).await;
    });
}

/// An end that came first is told as any other, and the child is not found; one that comes when the stop has begun is
/// the stop's.
#[test]
fn an_end_ahead_of_a_stop_is_told_once() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        for is_heard in [true, false] {
            let (key, child) = child(&parent, Script::new()).await;
            let clock = rt.clone();
            let found = within(&parent, move |cx| {
                async move {
                    child.cast(now(|_| Err(because("first")))).expect("cast");
                    if is_heard {
                        ended(&clock, &child).await;
                    }
                    cx.end_child(key, Stop::Infinity).await
                }
                .boxed()
            });
            match found.await {
                Some(reason) => {
                    assert!(!is_heard);
                    // Its own end, or the signal, was first.
                    if !matches!(reason, ExitReason::Shutdown) {
                        assert_because(&reason, "first");
                    }
                }
                None => {
                    let down = events.child().await;
                    assert_eq!(down.key, key);
                    assert_because(&down.reason, "first");
                }
            }
        }
        events.quiet(&rt).await;
    });
}

/// A stop that is dropped half way, before or behind the child's end, leaves that to be told as any other.
#[test]
fn an_end_of_a_stop_that_was_dropped_is_told() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        for is_over in [false, true] {
            let clock = rt.clone();
            let (key, child) = child(&parent, Script::new().tell_drop(&Events::new())).await;
            let watched = child.clone();
            within(&parent, move |cx| {
                async move {
                    let mut end = cx.end_child(key, Stop::Infinity);
                    assert!(begun(&mut end).await.is_pending());
                    if is_over {
                        ended(&clock, &watched).await;
                    }
                }
                .boxed()
            })
            .await;
            let down = events.child().await;
            assert_eq!((down.key, down.pid), (key, child.pid()));
            assert_reason(&down.reason, &ExitReason::Shutdown);
        }
        events.quiet(&rt).await;
    });
}

/// The end of the first of two stops, if that was forgotten, is told as any other, and the second is not disturbed.
#[test]
fn of_two_stops_each_child_has_its_own_end() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let (first, _) = child(&parent, Script::new()).await;
        let (second, other) = child(&parent, Script::new()).await;
        let reason = within(&parent, move |cx| {
            async move {
                let mut end = cx.end_child(first, Stop::Infinity);
                assert!(begun(&mut end).await.is_pending());
                std::mem::forget(end);
                cx.end_child(second, Stop::Kill).await
            }
            .boxed()
        });
        assert_reason(&reason.await.expect("there is one"), &ExitReason::Killed);
        assert!(!other.is_alive());
        let down = events.child().await;
        assert_eq!(down.key, first);
        assert_reason(&down.reason, &ExitReason::Shutdown);

        // Of one child: the second takes over what the first has begun.
        let (key, _) = child(&parent, Script::new().terminate(|_, _| pending().boxed())).await;
        let reason = within(&parent, move |cx| {
            async move {
                let mut end = cx.end_child(key, Stop::Infinity);
                assert!(begun(&mut end).await.is_pending());
                drop(end);
                cx.await_child(key, Stop::After(Duration::from_millis(10))).await
            }
            .boxed()
        });
        assert_reason(&reason.await.expect("there is one"), &ExitReason::Killed);
        events.quiet(&rt).await;
    });
}

/// Ends that came while the handler was suspended are taken, and then told by nobody else; those that come later are.
#[test]
fn ends_that_are_taken_are_not_told_again() {
    everywhere(|rt| async move {
        let events = Events::new();
        let parent = parent(&rt, &events).await;
        let mut children = Vec::new();
        for _ in 0..3 {
            children.push(child(&parent, Script::new()).await);
        }
        let (last, third) = children.pop().expect("three");
        let clock = rt.clone();
        let (expected, taken) = within(&parent, move |cx| {
            async move {
                assert!(cx.take_child_downs(|_| false).is_empty());
                let mut expected = Vec::new();
                for (key, child) in children {
                    child.cast(now(|_| Err(because("by itself")))).expect("cast");
                    ended(&clock, &child).await;
                    expected.push((key, child.pid()));
                }
                let taken = cx.take_child_downs(|_| false);
                assert!(cx.take_child_downs(|_| false).is_empty());
                (expected, taken)
            }
            .boxed()
        })
        .await;
        let told: Vec<_> = taken.iter().map(|down: &ChildDown| (down.key, down.pid)).collect();
        assert_eq!(told, expected);
        taken.iter().for_each(|down| assert_because(&down.reason, "by itself"));
        third.cast(now(|_| Err(because("later")))).expect("cast");
        assert_eq!(events.child().await.key, last);
        events.quiet(&rt).await;
    });
}

/// In `terminate`, where nobody else tells of them.
#[test]
fn ends_are_taken_in_terminate() {
    everywhere(|rt| async move {
        let (events, told) = (Events::new(), Events::new());
        let (notes, clock) = (told.clone(), rt.clone());
        let script = Script::<true>::new().tell_children(&events).terminate(move |_, cx| {
            async move {
                while !cx.children().is_empty() {
                    clock.sleep(Duration::from_millis(1)).await;
                }
                let untold = cx.child_count();
                let downs = cx.take_child_downs(|_| false);
                let taken = downs.len();
                downs.into_iter().for_each(|down| notes.send(Event::Child(down)));
                // Ends count until they are taken.
                assert_eq!((untold, cx.child_count()), (taken, 0));
            }
            .boxed()
        });
        let parent = rt.start::<Tidy>(script).await.expect("start");
        let (_, child) = ask(&parent, |cx| {
            cx.spawn_child::<Tidy>(Script::new(), SpawnOptions::new(), None, None)
        })
        .await
        .expect("spawned");
        let down = rt.down(&parent);
        parent.cast(now(|_| Err(ExitReason::Shutdown))).expect("cast");
        rt.exit(&child, because("meanwhile"));
        // Whichever was first: it is told of once.
        down.await;
        let all: Vec<Event> = told.take().into_iter().chain(events.take()).collect();
        assert!(matches!(&all[..], [Event::Child(down)] if down.pid == child.pid()), "{all:?}");
    });
}

/// A stop of one that is given up in `terminate`, its end there or not: the end is taken once, and is once in the report.
#[test]
fn an_end_of_a_stop_that_was_dropped_in_terminate_is_taken() {
    everywhere(|rt| async move {
        for is_over in [false, true] {
            let (events, clock) = (Events::new(), rt.clone());
            let (keys, taken) = (Arc::new(Mutex::new(None)), Events::new());
            let (known, notes) = (keys.clone(), taken.clone());
            let script = Script::<true>::new().tell_children(&events).terminate(move |_, cx| {
                async move {
                    let (key, child): (ChildKey, ActorRef<Do<true>>) = known.lock().take().unwrap();
                    let mut end = cx.end_child(key, Stop::Kill);
                    assert!(begun(&mut end).await.is_pending());
                    if is_over {
                        ended(&clock, &child).await;
                    }
                    drop(end);
                    let is_child = |cx: &Context<Tidy>| cx.child_pid(key).is_some();
                    while is_child(cx) {
                        clock.sleep(Duration::from_millis(1)).await;
                    }
                    for down in cx.take_child_downs(|other| other == key) {
                        notes.send(Event::Child(down));
                    }
                    assert!(cx.end_child(key, Stop::Kill).await.is_none());
                }
                .boxed()
            });
            let parent = rt.start::<Tidy>(script).await.expect("start");
            let child = ask(&parent, |cx| {
                let hangs = Script::new().terminate(|_, _| pending().boxed());
                cx.spawn_child::<Tidy>(hangs, SpawnOptions::new(), None, None)
            })
            .await
            .expect("spawned");
            *keys.lock() = Some(child.clone());
            let report = rt.stop_report(&parent);
            parent.cast(now(|_| Err(ExitReason::Shutdown))).expect("cast");
            let report = report.await.expect("it has stopped a child");
            let children = &report.children;
            assert_eq!((children.brutal, children.killed, children.clean), (1, 0, 0), "{report}");
            let all = taken.take();
            assert!(
                matches!(&all[..], [Event::Child(down)] if down.pid == child.1.pid()),
                "{all:?}"
            );
        }
    });
}

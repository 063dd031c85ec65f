//! What processes do over their lives: starts and stops with a limit, sleeps, busy neighbours, ends that take time.

use crate::support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{
        Do, Event, Events, Plain, Script, Tidy, ask, assert_because, assert_panic, assert_reason,
        because, down, later, note, now, plain, settled,
    },
    threaded,
};
use whitebeam_actor::{
    ActorRef, ExitReason, Handle, Runtime, SpawnOptions, StartError, Status, StopError, oneshot,
};

const MS: Duration = Duration::from_millis(1);

/// An `init` that takes a second.
fn slow() -> Script<false> {
    Script::new().init(|cx| {
        let sleep = cx.runtime().sleep(1000 * MS);
        Box::pin(async move {
            sleep.await;
            Ok(())
        })
    })
}

#[test]
fn proc_001_a_structured_reason_arrives_once_and_whole() {
    everywhere(|rt| async move {
        let events = Events::new();
        let t = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let payload: Vec<(u64, String)> = (0..4096).map(|n| (n, n.to_string())).collect();
        let given = ExitReason::custom(payload.clone());
        let script = Script::new().init_now(move |_| Err(given));
        let p = ask(&t, move |cx| cx.spawn_link::<Plain>(script)).await;
        let exit = events.exit().await;
        assert_eq!(exit.from, Some(p.pid()));
        assert_eq!(exit.reason.downcast_ref(), Some(&payload));
        events.quiet(&rt).await;
    });
}

#[test]
fn proc_013_who_runs_and_who_waits() {
    everywhere(|rt| async move {
        let (p, q) = (plain(&rt).await, plain(&rt).await);
        let running = ask(&q, |cx| cx.runtime().info(cx.pid()).expect("alive").status).await;
        assert_eq!(running, Status::Running);
        // It goes idle a moment after its last message. The deadline is that of the whole test.
        while rt.info(&p).expect("alive").status != Status::Waiting {
            rt.sleep(MS).await;
        }
    });
}

/// By messages of the busy one's, which take a millisecond each: how long that is depends on what else the machine does.
#[test]
fn proc_020_a_busy_process_gives_its_worker_back() {
    fn hog(rt: &Handle, me: &ActorRef<Do<false>>, count: Arc<AtomicU64>) -> Result<(), ExitReason> {
        let begun = rt.uptime();
        while rt.uptime() - begun < MS {
            std::hint::spin_loop();
        }
        count.fetch_add(1, Ordering::Relaxed);
        me.cast(now(|cx| hog(&cx.runtime(), &cx.me(), count)))?;
        Ok(())
    }
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    rt.block_on(async {
        let (p, q, asks) = (plain(&rt).await, plain(&rt).await, plain(&rt).await);
        let (count, events) = (Arc::new(AtomicU64::new(0)), Events::new());
        // It never has less than a hundred messages to handle.
        for _ in 0..100 {
            let count = count.clone();
            p.cast(now(|cx| hog(&cx.runtime(), &cx.me(), count))).expect("cast");
        }
        for _ in 0..100 {
            let (q, count, events) = (q.clone(), count.clone(), events.clone());
            // From a process of the same worker: nothing comes between its question and the busy one but turns.
            let asked = ask(&asks, move |_| {
                let before = count.load(Ordering::Relaxed);
                q.cast(now(move |_| {
                    events.send(Event::Note(count.load(Ordering::Relaxed) - before));
                    Ok(())
                }))
            });
            asked.await.expect("cast");
        }
        for _ in 0..100 {
            let meanwhile = events.note().await;
            assert!(meanwhile < 20, "{meanwhile} of a hundred messages came first");
        }
        rt.exit(&p, ExitReason::Kill);
    });
}

#[test]
fn proc_030_an_end_that_takes_time_is_not_seen_before_it_is_over() {
    threaded(|rt| async move {
        let (dropping, is_dropping) = oneshot::<()>();
        let (go, wait) = mpsc::channel::<()>();
        let script = Script::<false>::new().on_drop(move || {
            dropping.send(());
            let _ = wait.recv();
        });
        let options = SpawnOptions::new().name("slow");
        let p = rt.with(options).start::<Plain>(script).await.expect("start");
        let gone = rt.down(&p);
        rt.exit(&p, ExitReason::Kill);
        is_dropping.await.expect("its state is dropped");
        assert!(rt.is_alive(&p), "not before its resources are released");
        assert_eq!(rt.whereis("slow"), Some(p.pid()));
        go.send(()).expect("it waits");
        while rt.is_alive(&p) {
            rt.sleep(MS).await;
        }
        assert_eq!(rt.whereis("slow"), None, "released by then");
        assert_reason(&gone.await.reason, &ExitReason::Killed);
    });
}

#[test]
fn proc_045_no_sleep_and_a_very_long_one() {
    everywhere(|rt| async move {
        let events = Events::new();
        let sleeper = |time: Duration| {
            let told = events.clone();
            later(move |_, cx: &mut whitebeam_actor::Context<Plain>| {
                let sleep = cx.runtime().sleep(time);
                Box::pin(async move {
                    sleep.await;
                    told.send(Event::Note(time.as_millis() as u64));
                    Ok(())
                })
            })
        };
        let (p, q) = (plain(&rt).await, plain(&rt).await);
        q.cast(sleeper(Duration::from_millis(1 << 32))).expect("cast");
        p.cast(sleeper(Duration::ZERO)).expect("cast");
        assert_eq!(events.note().await, 0);
        events.quiet(&rt).await;
        let gone = rt.down(&q);
        rt.exit(&q, ExitReason::Kill);
        assert_reason(&gone.await.reason, &ExitReason::Killed);
    });
}

#[test]
fn proc_051_a_start_that_takes_too_long_leaves_nothing() {
    everywhere(|rt| async move {
        let events = Events::new();
        let t = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        for linked in [false, true] {
            let told = events.clone();
            t.cast(later(move |_, cx| {
                let cx = cx.with(SpawnOptions::new().name("slow"));
                let start =
                    if linked { cx.start_link::<Plain>(slow()) } else { cx.start::<Plain>(slow()) };
                Box::pin(async move {
                    let timed_out =
                        matches!(start.timeout(100 * MS).await, Err(StartError::Timeout));
                    told.send(Event::Note(u64::from(timed_out)));
                    Ok(())
                })
            }))
            .expect("cast");
            assert_eq!(events.note().await, 1);
            assert_eq!((rt.whereis("slow"), rt.processes().len()), (None, 1), "it is gone");
            events.quiet(&rt).await;
            assert_eq!(rt.relations(&t).await.expect("alive").links, []);
        }
        // From outside; and one that is in time.
        let start = rt.start::<Plain>(slow()).timeout(100 * MS).await;
        assert!(matches!(start, Err(StartError::Timeout)), "{start:?}");
        rt.start::<Plain>(Script::new()).timeout(3600 * 1000 * MS).await.expect("in time");
    });
}

/// A starter that does not trap exits lives on.
#[test]
fn a_start_that_takes_too_long_does_not_end_its_starter() {
    everywhere(|rt| async move {
        let (t, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        t.cast(later(move |_, cx| {
            let start = cx.start_link::<Plain>(slow());
            Box::pin(async move {
                let timed_out = matches!(start.timeout(100 * MS).await, Err(StartError::Timeout));
                told.send(Event::Note(u64::from(timed_out)));
                Ok(())
            })
        }))
        .expect("cast");
        assert_eq!(events.note().await, 1);
        events.quiet(&rt).await;
        settled(&t).await;
    });
}

#[test]
fn proc_055_a_stop_tells_of_another_reason() {
    expect_panics();
    everywhere(|rt| async move {
        let script = Script::new().terminate(|_, _| panic!("{EXPECTED}"));
        let p = rt.start::<Tidy>(script).await.expect("start");
        match rt.stop(&p, ExitReason::Normal).await {
            Err(StopError::Exit(reason)) => assert_panic(&reason, EXPECTED),
            other => panic!("{other:?}"),
        }
        assert!(!rt.is_alive(&p));
        // As asked: with its `terminate`, and by the very reason that was given.
        let events = Events::new();
        for reason in [ExitReason::Normal, ExitReason::Shutdown, because("asked")] {
            let p = rt.start::<Tidy>(Script::new().tell_terminate(&events)).await.expect("start");
            rt.stop(&p, reason.clone()).timeout(3600 * 1000 * MS).await.expect("as asked");
            assert_reason(&events.terminated().await, &reason);
        }
    });
}

#[test]
fn proc_056_a_stop_that_is_not_obeyed_in_time_stays_in_force() {
    everywhere(|rt| async move {
        for limit in [100 * MS, Duration::ZERO] {
            let (events, (go, wait)) = (Events::new(), oneshot::<()>());
            let p = plain(&rt).await;
            let told = events.clone();
            p.cast(later(move |_, _| {
                Box::pin(async move {
                    told.send(Event::Note(1));
                    let _ = wait.await;
                    told.send(Event::Note(2));
                    Ok(())
                })
            }))
            .expect("cast");
            p.cast(note(&events, 3)).expect("cast");
            assert_eq!(events.note().await, 1);
            let gone = rt.down(&p);
            let stop = rt.stop(&p, because("asked")).timeout(limit).await;
            assert!(matches!(stop, Err(StopError::Timeout)), "{stop:?}");
            assert!(rt.is_alive(&p));
            go.send(());
            assert_because(&gone.await.reason, "asked");
            assert_eq!(events.note().await, 2, "its handler was let finish");
            assert!(events.take().is_empty(), "and its backlog is not handled");
        }
    });
}

#[test]
fn proc_057_a_stop_of_nobody() {
    everywhere(|rt| async move {
        assert_eq!(rt.whereis("nobody"), None);
        let p = plain(&rt).await;
        rt.stop(&p, ExitReason::Normal).await.expect("stopped");
        let again = rt.stop(&p, ExitReason::Normal).await;
        assert!(matches!(again, Err(StopError::NoProc)), "{again:?}");
        // Itself: told at once, not hung.
        let (q, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        q.cast(later(move |_, cx| {
            let stop = cx.runtime().stop(cx.pid(), ExitReason::Normal);
            Box::pin(async move {
                told.send(Event::Note(u64::from(matches!(stop.await, Err(StopError::Itself)))));
                Ok(())
            })
        }))
        .expect("cast");
        assert_eq!(events.note().await, 1);
        settled(&q).await;
    });
}

/// The choice: a handler that does not wait goes on to its end, and until then the process is alive. What it
/// does is seen by others as done before its end, never after.
#[test]
fn sig_014_a_kill_waits_for_a_handler_that_does_not() {
    threaded(|rt| async move {
        let (p, t, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (to, told) = (p.clone(), events.clone());
        ask(&t, move |cx| cx.monitor(&to, down(&told, 1))).await;
        let (entered, is_in) = oneshot::<()>();
        let (go, wait) = mpsc::channel::<()>();
        let (to, told) = (t.clone(), events.clone());
        p.cast(now(move |cx| {
            entered.send(());
            let _ = wait.recv();
            to.cast(note(&told, 1))?;
            cx.runtime().register("late", cx.pid()).map_err(ExitReason::from)
        }))
        .expect("cast");
        p.cast(note(&events, 2)).expect("cast");
        is_in.await.expect("in its handler");
        rt.exit(&p, ExitReason::Kill);
        assert!(rt.is_alive(&p), "its code runs");
        go.send(()).expect("it waits");
        assert_eq!(events.note().await, 1);
        assert_reason(&events.down().await.1.reason, &ExitReason::Killed);
        assert_eq!((rt.is_alive(&p), rt.whereis("late")), (false, None));
        events.quiet(&rt).await;
    });
}

#[test]
fn sig_016_messages_come_before_the_end() {
    everywhere(|rt| async move {
        let events = Events::new();
        let t = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        for _ in 0..support::scaled(100, 10) {
            let p = plain(&rt).await;
            let (to, told) = (p.clone(), events.clone());
            ask(&t, move |cx| {
                cx.link(&to);
                cx.monitor(&to, down(&told, 1));
            })
            .await;
            end_with_a_message(&rt, &p, &t, &events).await;
            assert_eq!(events.note().await, 1);
            // Of EXIT and DOWN either may be first.
            match (events.next().await, events.next().await) {
                (Event::Exit(_), Event::Down(..)) | (Event::Down(..), Event::Exit(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

async fn end_with_a_message(
    rt: &Handle,
    p: &ActorRef<Do<false>>,
    to: &ActorRef<Do<false>>,
    events: &Events,
) {
    let (gone, to, told) = (rt.down(p), to.clone(), events.clone());
    p.cast(now(move |_| {
        to.cast(note(&told, 1))?;
        Err(because("x"))
    }))
    .expect("cast");
    gone.await;
}

//! Starting: a start returns when `init` is done, says why not, and leaves nothing of what failed; names.

use crate::support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use support::{
    EXPECTED, everywhere, expect_panics, now as time,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Script, Tidy, ask, assert_because, assert_panic,
        assert_reason, because, down, note, now, plain, settled,
    },
    scaled, threaded,
};
use whitebeam_actor::{
    Actor, ActorRef, BuildError, Context, ExitReason, Handle, Runtime, SpawnOptions, StartError,
};

fn named(name: &str) -> SpawnOptions {
    SpawnOptions::new().name(name)
}

/// An `init` that suspends for some time.
fn slow<const TIDY: bool>(rt: &Handle, time: Duration) -> Script<TIDY> {
    let rt = rt.clone();
    Script::new().init(move |_| {
        async move {
            rt.sleep(time).await;
            Ok(())
        }
        .boxed()
    })
}

#[test]
fn proc_050_a_start_returns_after_init() {
    everywhere(|rt| async move {
        let begun = time(&rt);
        let puppet = rt.start::<Plain>(slow(&rt, Duration::from_millis(30))).await.expect("start");
        assert!(time(&rt) - begun >= 30_000_000);
        settled(&puppet).await;
        // A spawn returns at once; what is sent meanwhile waits for `init`.
        let events = Events::new();
        let (told, clock) = (events.clone(), rt.clone());
        let puppet = rt.spawn::<Plain>(Script::new().init(move |_| {
            async move {
                clock.sleep(Duration::from_millis(5)).await;
                told.send(Event::Note(1));
                Ok(())
            }
            .boxed()
        }));
        puppet.cast(note(&events, 2)).expect("cast");
        assert_eq!((events.note().await, events.note().await), (1, 2));
    });
}

#[test]
fn proc_052_a_panic_in_init_is_the_starters_error() {
    expect_panics();
    everywhere(|rt| async move {
        let (starter, events) = (plain(&rt).await, Events::new());
        for suspended in [false, true] {
            let clock = rt.clone();
            let script = move || {
                let clock = clock.clone();
                Script::new().init(move |_| {
                    async move {
                        if suspended {
                            clock.sleep(Duration::from_millis(1)).await;
                        }
                        panic!("{EXPECTED}")
                    }
                    .boxed()
                })
            };
            match rt.start::<Plain>(script()).await {
                Err(StartError::Exit(reason)) => assert_panic(&reason, EXPECTED),
                other => panic!("{other:?}"),
            }
            // By a process, linked or not; linked, it goes down with it unless it traps.
            let told = events.clone();
            let linked = script();
            starter
                .cast(support::puppet::later(move |_, cx| {
                    async move {
                        support::puppet::trap(cx, &told);
                        let Err(StartError::Exit(reason)) = cx.start_link::<Plain>(linked).await
                        else {
                            panic!("it started")
                        };
                        assert_panic(&reason, EXPECTED);
                        told.send(Event::Note(1));
                        Ok(())
                    }
                    .boxed()
                }))
                .expect("cast");
            assert_eq!(events.note().await, 1);
            assert_panic(&events.exit().await.reason, EXPECTED);
        }
        assert_eq!(rt.processes().len(), 1);
    });
}

#[test]
fn srv_003_ignore_is_quiet_and_leaves_nothing() {
    everywhere(|rt| async move {
        let (starter, events) = (plain(&rt).await, Events::new());
        let ignore = || Script::new().init_now(|_| Err(ExitReason::Ignore));
        let answer = rt.with(named("n")).start::<Plain>(ignore()).await;
        assert!(matches!(answer, Err(StartError::Ignore)), "{answer:?}");
        assert_eq!(rt.whereis("n"), None);
        // For who watches, it ended quietly.
        let told = events.clone();
        ask(&starter, move |cx| cx.spawn_monitor::<Plain>(ignore(), down(&told, 1))).await;
        assert_reason(&events.down().await.1.reason, &ExitReason::Normal);
        // Linked to one that does not trap: nothing happens to it.
        ask(&starter, move |cx| {
            cx.spawn_link::<Plain>(Script::new().init_now(|_| Err(ExitReason::Ignore)))
        })
        .await;
        while rt.processes().len() > 1 {
            rt.sleep(Duration::from_millis(1)).await;
        }
        settled(&starter).await;
    });
}

#[test]
fn srv_004_a_failed_init_is_the_starters_error() {
    everywhere(|rt| async move {
        let script = Script::new().init_now(|_| Err(because("r")));
        match rt.with(named("n")).start::<Plain>(script).await {
            Err(StartError::Exit(reason)) => assert_because(&reason, "r"),
            other => panic!("{other:?}"),
        }
        assert_eq!(rt.whereis("n"), None);
        assert!(rt.processes().is_empty());
    });
}

#[test]
fn srv_006_a_start_and_a_monitor_in_one_act() {
    everywhere(|rt| async move {
        let (starter, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        let (server, _) =
            ask(&starter, move |cx| cx.spawn_monitor::<Tidy>(Script::new(), down(&told, 7))).await;
        settled(&server).await;
        server
            .cast(now(|cx| {
                cx.stop(because("over"));
                Ok(())
            }))
            .expect("cast");
        let (number, told) = events.down().await;
        assert_eq!((number, told.pid), (7, server.pid()));
        assert_because(&told.reason, "over");
    });
}

/// Linked or not or monitored: the loser's init never runs, and who started it gets no EXIT.
#[test]
fn srv_007_a_taken_name_is_refused() {
    everywhere(|rt| async move {
        let events = Events::new();
        let starter = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let first = rt.with(named("n")).start::<Plain>(Script::new()).await.expect("start");
        let pid = first.pid();
        let loser = |events: &Events| {
            let (ran, dropped) = (events.clone(), events.clone());
            Script::new().on_drop(move || dropped.send(Event::Note(2))).init_now(move |_| {
                ran.send(Event::Note(1));
                Ok(())
            })
        };
        match rt.with(named("n")).start::<Plain>(loser(&events)).await {
            Err(StartError::NameTaken(owner)) => assert_eq!(owner, pid),
            other => panic!("{other:?}"),
        }
        // Its arguments were dropped.
        assert_eq!(events.note().await, 2);
        let told = events.clone();
        let script = loser(&events);
        let nobody = ask(&starter, move |cx| {
            let (nobody, _) = cx.with(named("n")).spawn_monitor::<Plain>(script, down(&told, 3));
            nobody
        })
        .await;
        assert_eq!(events.note().await, 2);
        assert_reason(&events.down().await.1.reason, &ExitReason::NoProc);
        assert!(!nobody.is_alive() && nobody.cast(now(|_| Ok(()))).is_err());
        let script = loser(&events);
        ask(&starter, move |cx| cx.with(named("n")).spawn_link::<Plain>(script)).await;
        assert_eq!(events.note().await, 2);
        events.quiet(&rt).await;
        assert_eq!(rt.whereis("n"), Some(pid));
        settled(&first).await;
        assert_eq!(rt.processes().len(), 2);
    });
}

#[test]
fn proc_024_a_name_has_one_owner() {
    everywhere(|rt| async move {
        let first = rt.with(named("n")).start::<Plain>(Script::new()).await.expect("start");
        for _ in 0..20 {
            let again = rt.with(named("n")).start::<Plain>(Script::new()).await;
            assert!(matches!(again, Err(StartError::NameTaken(_))), "{again:?}");
            assert_eq!(rt.whereis("n"), Some(first.pid()));
        }
    });
}

#[test]
fn proc_026_a_name_that_nobody_has_is_none() {
    everywhere(|rt| async move {
        assert_eq!(rt.whereis("n"), None);
        let puppet = rt.with(named("n")).start::<Plain>(Script::new()).await.expect("start");
        assert_eq!(rt.whereis("n"), Some(puppet.pid()));
        assert_eq!(rt.whereis("m"), None);
    });
}

/// A message to a process that has ended comes back with the error.
#[test]
fn proc_027_a_message_to_nobody_comes_back() {
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        let end = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        end.await;
        let held = Arc::new(());
        let inside = held.clone();
        let refused = puppet
            .cast(now(move |_| {
                drop(inside);
                Ok(())
            }))
            .expect_err("it has ended");
        assert_eq!(refused.why(), whitebeam_actor::SendFailure::NoProc);
        assert_eq!(Arc::strong_count(&held), 2);
        drop(refused.into_message());
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

/// Register, kill, register anew: a name always leads to who got it last.
#[test]
fn proc_028_a_name_goes_from_owner_to_owner() {
    everywhere(|rt| async move {
        for _ in 0..scaled(10_000, 100) / if rt.workers() == 4 { 10 } else { 100 } {
            let puppet =
                rt.with(named("n")).start::<Plain>(Script::new()).await.expect("the name is free");
            assert_eq!(rt.whereis("n"), Some(puppet.pid()));
            let end = rt.down(&puppet);
            rt.exit(&puppet, ExitReason::Kill);
            assert_reason(&end.await.reason, &ExitReason::Killed);
        }
        assert_eq!(rt.whereis("n"), None);
    });
}

#[test]
fn proc_029_the_name_is_free_when_the_down_is_there() {
    everywhere(|rt| async move {
        for _ in 0..scaled(200, 20) / 10 {
            let (watcher, events) = (plain(&rt).await, Events::new());
            let (puppet, told) = (
                rt.with(named("n")).start::<Plain>(Script::new()).await.expect("the name is free"),
                events.clone(),
            );
            let clock = rt.clone();
            // The watcher takes the name as soon as it has the DOWN, while the other still goes.
            ask(&watcher, move |cx| {
                cx.monitor(&puppet, move |gone| {
                    let free = clock.whereis("n").is_none();
                    now(move |cx| {
                        let taken = cx.with(named("n")).spawn::<Plain>(Script::new());
                        told.send(Event::Note(u64::from(free && taken.is_alive())));
                        cx.exit(&taken, ExitReason::Kill);
                        let runtime = cx.runtime();
                        drop(gone);
                        let end = runtime.down(&taken);
                        runtime
                            .spawn_task(async move {
                                end.await;
                                told.send(Event::Note(2));
                            })
                            .detach();
                        Ok(())
                    })
                });
                cx.exit(&puppet, ExitReason::Kill);
            })
            .await;
            assert_eq!(events.note().await, 1);
            assert_eq!(events.note().await, 2);
        }
    });
}

/// The parent stays what it was, also when it has ended.
#[test]
fn proc_018_the_parent_is_who_started_it() {
    everywhere(|rt| async move {
        let t = plain(&rt).await;
        assert_eq!(ask(&t, |cx| cx.parent()).await, None);
        let p = ask(&t, |cx| cx.spawn::<Plain>(Script::new())).await;
        assert_eq!(ask(&p, |cx| cx.parent()).await, Some(t.pid()));
        assert_eq!(rt.info(&p).expect("it lives").parent, Some(t.pid()));
        let q = ask(&p, |cx| cx.spawn_link::<Plain>(Script::new())).await;
        assert_eq!(ask(&q, |cx| cx.ancestors().to_vec()).await, [p.pid(), t.pid()]);
        let end = rt.down(&t);
        rt.exit(&t, ExitReason::Kill);
        end.await;
        assert_eq!(ask(&p, |cx| cx.parent()).await, Some(t.pid()));
        assert_eq!(ask(&q, |cx| cx.ancestors().to_vec()).await, [p.pid(), t.pid()]);
    });
}

#[test]
fn proc_017_nothing_is_known_of_who_has_ended() {
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        let end = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        end.await;
        assert!(
            rt.info(&puppet).is_none()
                && puppet.info().is_none()
                && rt.info(puppet.pid()).is_none()
        );
        assert!(!rt.is_alive(&puppet));
        assert!(rt.processes().is_empty());
    });
}

/// A pid that is seen in a list takes messages, also before its process has run.
#[test]
fn proc_031_listing_while_others_spawn() {
    let rt = Runtime::builder().workers(4).build().expect("threads");
    let events = Events::new();
    let spawner = {
        let (rt, events) = (rt.handle(), events.clone());
        std::thread::spawn(move || {
            for _ in 0..scaled(5_000, 200) {
                let puppet = rt.spawn::<Plain>(Script::new());
                puppet.cast(note(&events, 1)).expect("a process that was just spawned");
            }
        })
    };
    while !spawner.is_finished() {
        for info in rt.processes() {
            assert!(rt.is_alive(info.pid));
            rt.exit(info.pid, ExitReason::Normal);
        }
    }
    spawner.join().expect("the spawner");
    assert_eq!(rt.processes().len(), scaled(5_000, 200));
    rt.block_on(async {
        for _ in 0..scaled(5_000, 200) {
            events.note().await;
        }
    });
}

#[test]
fn proc_034_a_large_state_is_moved_not_copied() {
    everywhere(|rt| async move {
        let data = vec![7_u8; 1 << 20];
        let at = data.as_ptr() as usize;
        let puppet = rt.start::<Large>(data).await.expect("start");
        assert_eq!(puppet.call(|reply| reply).await.expect("it lives"), (at, 1 << 20));
    });
}

struct Large(Vec<u8>);
impl Actor for Large {
    type Args = Vec<u8>;
    type Msg = whitebeam_actor::Reply<(usize, usize)>;
    async fn init(data: Vec<u8>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Large(data))
    }
    async fn handle(
        &mut self,
        reply: Self::Msg,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send((self.0.as_ptr() as usize, self.0.len()));
        Ok(())
    }
}

/// A name is free when the failed start returns.
#[test]
fn srv_052_a_failed_start_leaves_no_name() {
    expect_panics();
    everywhere(|rt| async move {
        for round in 0..scaled(100, 10) {
            let script = Script::new().init_now(move |_| match round % 3 {
                0 => Err(ExitReason::Ignore),
                1 => Err(because("r")),
                _ => panic!("{EXPECTED}"),
            });
            assert!(rt.with(named("n")).start::<Plain>(script).await.is_err());
            assert_eq!(rt.whereis("n"), None);
        }
    });
}

#[test]
fn srv_001_started_called_stopped_called_again() {
    everywhere(|rt| async move {
        let server = rt.start::<Tidy>(Script::new()).await.expect("start");
        assert_eq!(ask(&server, |_| 5).await, 5);
        let end = rt.down(&server);
        server
            .cast(now(|cx| {
                cx.stop(ExitReason::Normal);
                Ok(())
            }))
            .expect("cast");
        end.await;
        let late = server
            .call(|reply: whitebeam_actor::Reply<()>| {
                now(move |_| {
                    reply.send(());
                    Ok(())
                })
            })
            .await;
        assert!(matches!(late, Err(whitebeam_actor::CallError::NoProc)), "{late:?}");
    });
}

// Beyond the rows.

#[test]
fn a_start_that_is_not_awaited_starts() {
    everywhere(|rt| async move {
        let events = Events::new();
        let told = events.clone();
        let script = Script::new().init_now(move |_| {
            told.send(Event::Note(1));
            Ok(())
        });
        drop(rt.start::<Plain>(script));
        assert_eq!(events.note().await, 1);
    });
}

#[test]
fn a_process_that_ends_in_its_init_answers_its_starter() {
    everywhere(|rt| async move {
        // Killed before its init, or while that is suspended: by its name, nobody has its address yet.
        let dropped = Events::new();
        let gone = dropped.clone();
        let held = OnDrop::new(move || gone.send(Event::Dropped));
        let start = rt.with(named("n")).start::<Plain>(Script::new().init(move |_| {
            async move {
                let _held = held;
                std::future::pending().await
            }
            .boxed()
        }));
        let pid = rt.whereis("n").expect("named before its init");
        rt.exit(pid, ExitReason::Kill);
        match start.await {
            Err(StartError::Exit(reason)) => assert_reason(&reason, &ExitReason::Killed),
            other => panic!("{other:?}"),
        }
        dropped.dropped().await;
        assert_eq!(rt.whereis("n"), None);
        // Told to shut down before it ran.
        let start = rt
            .with(named("n"))
            .start::<Tidy>(Script::new().init(|_| std::future::pending().boxed()));
        rt.exit(rt.whereis("n").expect("named"), ExitReason::Shutdown);
        match start.await {
            Err(StartError::Exit(reason)) => assert_reason(&reason, &ExitReason::Shutdown),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_stop_in_init_starts_and_ends() {
    everywhere(|rt| async move {
        let events = Events::new();
        let script = Script::new().tell_terminate(&events).tell_drop(&events).init_now(|cx| {
            cx.stop(because("at once"));
            Ok(())
        });
        assert!(rt.start::<Tidy>(script).await.is_ok());
        assert_because(&events.terminated().await, "at once");
        events.dropped().await;
    });
}

#[test]
fn many_starts_at_once() {
    everywhere(|rt| async move {
        let starts: Vec<_> = (0..scaled(2000, 100))
            .map(|n| {
                let script = Script::new()
                    .init_now(move |_| if n % 10 == 0 { Err(because("tenth")) } else { Ok(()) });
                rt.start::<Plain>(script)
            })
            .collect();
        let (started, failed): (Vec<_>, Vec<_>) =
            join_all(starts).await.into_iter().partition(Result::is_ok);
        assert_eq!(
            (started.len(), failed.len()),
            (scaled(2000, 100) / 10 * 9, scaled(2000, 100) / 10)
        );
        assert_eq!(rt.processes().len(), started.len());
        for puppet in &started {
            settled(puppet.as_ref().expect("started")).await;
        }
    });
}

#[test]
fn after_a_shutdown_nothing_is_started() {
    everywhere(|rt| async move {
        let starter = plain(&rt).await;
        let events = Events::new();
        // Alive while the runtime shuts down: it waits in its `terminate`.
        let (told, clock) = (events.clone(), rt.clone());
        let script = Script::new().terminate(move |_, cx| {
            async move {
                let started = cx.start::<Plain>(Script::new()).await;
                assert!(matches!(started, Err(StartError::ShuttingDown)), "{started:?}");
                assert!(!cx.spawn::<Plain>(Script::new()).is_alive());
                let monitored = told.clone();
                cx.spawn_monitor::<Plain>(Script::new(), down(&monitored, 1));
                clock.sleep(Duration::from_millis(1)).await;
                told.send(Event::Note(1));
            }
            .boxed()
        });
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        let report = rt.shutdown(Duration::from_secs(5)).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(events.note().await, 1);
        assert!(!tidy.is_alive() && !starter.is_alive());
        for _ in 0..3 {
            let late = rt.with(named("n")).start::<Plain>(Script::new()).await;
            assert!(matches!(late, Err(StartError::ShuttingDown)), "{late:?}");
            let nobody: ActorRef<Do<false>> = rt.spawn::<Plain>(Script::new());
            assert!(!nobody.is_alive());
            assert_reason(&rt.down(&nobody).await.reason, &ExitReason::NoProc);
        }
        assert_eq!(rt.whereis("n"), None);
    });
}

#[test]
fn zero_workers_are_refused() {
    let refused = Runtime::builder().workers(0).build();
    match refused {
        Err(BuildError::Scheduler(error)) => assert!(!error.to_string().is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_runtime_has_the_workers_and_the_thread_name_it_was_given() {
    for workers in [1, 3] {
        let rt = Runtime::builder().workers(workers).name("crew").build().expect("a runtime");
        assert_eq!(rt.workers(), workers);
        let name = rt.block_on(async {
            let p = plain(&rt).await;
            ask(&p, |_| std::thread::current().name().map(str::to_owned)).await
        });
        let number = name.as_deref().and_then(|name| name.strip_prefix("crew-"));
        let number = number.and_then(|number| number.parse::<usize>().ok());
        assert!(number.is_some_and(|number| number < workers), "{name:?}");
    }
}

/// It has work for itself until the others were served: if it kept its worker, that would be never.
#[test]
fn a_hog_gives_its_worker_back() {
    threaded(|rt| async move {
        let (hog, other) = (plain(&rt).await, plain(&rt).await);
        fn work(over: Arc<AtomicBool>) -> Do<false> {
            now(move |cx| {
                for _ in 0..scaled(20_000, 200) {
                    std::hint::spin_loop();
                }
                if !over.load(Relaxed) {
                    cx.me().cast(work(over))?;
                }
                Ok(())
            })
        }
        let over = Arc::new(AtomicBool::new(false));
        hog.cast(work(over.clone())).expect("cast");
        for _ in 0..20 {
            settled(&other).await;
        }
        assert!(hog.is_alive());
        over.store(true, Relaxed);
    });
}

/// Whoever finds a name finds its process: at no moment is that nobody, and comes to life later.
#[test]
fn a_name_leads_to_a_process_at_once() {
    let rt = Runtime::builder().workers(2).build().expect("threads");
    let (over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let looker = {
        let (rt, over, seen) = (rt.handle(), over.clone(), seen.clone());
        std::thread::spawn(move || {
            while !over.load(Relaxed) {
                if let Some(pid) = rt.whereis("n") {
                    seen.fetch_add(1, Relaxed);
                    let is_dead = !rt.is_alive(pid);
                    let rises = is_dead && (0..1000).any(|_| rt.is_alive(pid));
                    assert!(!rises, "it came to life after it was found");
                }
            }
        })
    };
    for _ in 0..scaled(20_000, 500) {
        let puppet = rt.with(named("n")).spawn::<Plain>(Script::new());
        assert!(puppet.is_alive(), "the name is free");
        let end = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        rt.block_on(end);
    }
    over.store(true, Relaxed);
    looker.join().expect("what it found was there");
    assert!(seen.load(Relaxed) > 0);
}

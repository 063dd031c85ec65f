//! Crash reports: which ends have one, what is in it, where it goes.

#[path = "crashes/printed.rs"]
mod printed;
mod support;

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use support::{
    EXPECTED, built, expect_panics, now as time,
    puppet::{
        Events, Plain, Script, Tidy, ask, assert_because, assert_panic, because, down, hang, later,
        now, plain, settled, trap,
    },
    scaled,
};
use whitebeam_actor::{
    Actor, ActorRef, Builder, CRASH_HISTORY, CRASHES_PRINTED_PER_SECOND, CallError, Caller,
    Context, CrashReport, During, ExitReason, Handle, Reply, Runtime, SpawnOptions, StartError,
};

/// A server with something to hide.
struct Vault {
    owner: String,
    code: u32,
    /// What its report does.
    shows: Shows,
}

#[derive(Clone, Copy)]
enum Shows {
    Redacted,
    Panics,
    Fails,
    /// So many letters.
    Much(usize),
}

enum Open {
    /// Fails, or panics, with the request in hand.
    Fail(Reply<u32>),
    Panic(Reply<u32>),
    /// Answers first.
    AnswerAndFail(Reply<u32>),
    Stop(ExitReason),
}

impl Actor for Vault {
    type Args = Shows;
    type Msg = Open;

    async fn init(shows: Shows, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Vault { owner: "ada".to_owned(), code: 1815, shows })
    }

    async fn handle(&mut self, msg: Open, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Open::Fail(_reply) => Err(because("crashed")),
            Open::Panic(_reply) => panic!("{EXPECTED}"),
            Open::AnswerAndFail(reply) => {
                reply.send(self.code);
                Err(because("crashed"))
            }
            Open::Stop(reason) => {
                cx.stop(reason);
                Ok(())
            }
        }
    }

    fn report_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shows {
            Shows::Redacted => write!(f, "owner {}", self.owner),
            Shows::Panics => {
                write!(f, "the code is {}", self.code)?;
                panic!("{EXPECTED}");
            }
            Shows::Fails => Err(fmt::Error),
            Shows::Much(letters) => (0..letters).try_for_each(|_| f.write_str("x")),
        }
    }
}

async fn vault(rt: &Handle, shows: Shows) -> ActorRef<Open> {
    rt.with(SpawnOptions::new().name("vault")).start::<Vault>(shows).await.expect("a vault")
}

/// The one report since `before`.
#[track_caller]
fn the_report(rt: &Handle, before: u64) -> Arc<CrashReport> {
    assert_eq!(rt.crash_counts().total, before + 1, "one report");
    let report = rt.crashes().pop().expect("it is kept");
    assert_eq!(report.number, before + 1);
    report
}

#[track_caller]
fn assert_no_report(rt: &Handle) {
    assert_eq!(rt.crash_counts().total, 0, "{:?}", rt.crashes());
}

/// As the common one. The hook that keeps expected panics off the terminal comes first: the runtime's is chained
/// in front of it, and knows the places.
#[track_caller]
fn everywhere<F: Future<Output = ()>>(test: impl Fn(Handle) -> F) {
    expect_panics();
    support::everywhere(test);
}

/// Prose of reports, as they come.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<String>>>);

impl Written {
    fn to(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let all = self.0.clone();
        move |text: &str| all.lock().push(text.to_owned())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

#[test]
fn proc_053_a_panic_is_reported_once_and_an_orderly_end_is_not() {
    everywhere(async |rt| {
        let events = Events::new();
        let grandparent = plain(&rt).await;
        let parent = ask(&grandparent, |cx| cx.spawn::<Plain>(Script::new())).await;
        let options = SpawnOptions::new().name("worker").label("the seventh");
        let child =
            ask(&parent, move |cx| cx.with(options).spawn_link::<Plain>(Script::new())).await;
        ask(&parent, {
            let events = events.clone();
            move |cx| trap(cx, &events)
        })
        .await;
        let friend = plain(&rt).await;
        let other = friend.clone();
        ask(&child, move |cx| {
            cx.link(&other);
            cx.monitor(&other, down(&Events::new(), 0));
        })
        .await;
        settled(&friend).await;
        child.cast(now(|_| panic!("{EXPECTED}"))).expect("it lives");
        let exit = events.exit().await;

        let report = the_report(&rt, 0);
        assert_eq!(report.pid, child.pid());
        assert_eq!(report.name.as_ref().and_then(|name| name.as_str()), Some("worker"));
        assert_eq!(report.label.as_ref().and_then(|name| name.as_str()), Some("the seventh"));
        assert!(report.actor.contains("Puppet"), "{}", report.actor);
        assert_eq!(report.parent, Some(parent.pid()));
        assert_eq!(report.ancestors, [parent.pid(), grandparent.pid()]);
        let mut linked = [parent.pid(), friend.pid()];
        linked.sort();
        assert_eq!((&*report.links, report.link_count), (&linked[..], 2));
        assert_eq!((report.monitor_count, report.watcher_count), (1, 0));
        assert_panic(&report.reason, EXPECTED);
        assert_panic(&exit.reason, EXPECTED);
        assert_eq!(report.during, During::Message);
        assert_eq!((report.attempt, report.unread), (1, 0));
        assert!(report.at <= Duration::from_nanos(time(&rt)));
        assert!(rt.whereis("worker").is_none());

        let orderly: [fn() -> ExitReason; 3] =
            [|| ExitReason::Normal, || ExitReason::Shutdown, || ExitReason::shutdown_with("done")];
        for reason in orderly {
            for returns in [true, false] {
                let process = plain(&rt).await;
                let ended = rt.down(&process);
                process
                    .cast(now(move |cx| {
                        if returns {
                            return Err(reason());
                        }
                        cx.stop(reason());
                        Ok(())
                    }))
                    .expect("it lives");
                assert!(ended.await.reason.is_orderly());
            }
        }
        assert_eq!(rt.crash_counts().total, 1);
    });
}

#[test]
fn the_place_of_a_panic_is_in_its_report() {
    everywhere(async |rt| {
        // Not one whose hook keeps it from the runtime's.
        let process = plain(&rt).await;
        let ended = rt.down(&process);
        let line = line!() + 1;
        process.cast(now(|_| panic!("a panic of the test's that may be seen"))).expect("it lives");
        ended.await;
        let report = the_report(&rt, 0);
        let ExitReason::Panic(info) = &report.reason else { panic!("{report}") };
        let place = info.location().expect("a place");
        assert!(place.starts_with(&format!("{}:{line}:", file!())), "{place}");
        assert!(report.to_string().contains(place), "{report}");
    });
}

#[test]
fn a_shutdown_reason_of_a_handler_with_a_caller_is_no_crash() {
    everywhere(async |rt| {
        let orderly: [fn() -> ExitReason; 2] =
            [|| ExitReason::Shutdown, || ExitReason::shutdown_with("a term")];
        for reason in orderly {
            for returns in [true, false] {
                let server = plain(&rt).await;
                let answer = server.call(|reply: Reply<()>| {
                    now(move |cx| {
                        let _unanswered = reply;
                        if returns {
                            return Err(reason());
                        }
                        cx.stop(reason());
                        Ok(())
                    })
                });
                let error = answer.await.expect_err("nobody answers");
                assert!(matches!(error, CallError::Exit(reason) if reason.is_orderly()));
            }
        }
        assert_no_report(&rt);
    });
}

/// Adapted: the client's error has the reason; of the last message its type is named, and the state says of itself
/// what it wants to be seen.
#[test]
fn srv_018_a_crash_is_the_callers_error_and_one_report_names_all() {
    everywhere(async |rt| {
        let client = plain(&rt).await;
        for (number, panics) in [false, true].into_iter().enumerate() {
            let server = vault(&rt, Shows::Redacted).await;
            let to = server.clone();
            let error = client
                .call(move |reply| {
                    later(move |_, _| {
                        Box::pin(async move {
                            let request = if panics { Open::Panic } else { Open::Fail };
                            reply.send(to.call(request).await.expect_err("it crashes"));
                            Ok(())
                        })
                    })
                })
                .await
                .expect("the client lives");
            let CallError::Exit(told) = error else { panic!("{error:?}") };
            let report = the_report(&rt, number as u64);
            for reason in [&told, &report.reason] {
                match panics {
                    true => assert_panic(reason, EXPECTED),
                    false => assert_eq!(reason.to_string(), because("crashed").to_string()),
                }
            }
            assert_eq!(report.pid, server.pid());
            assert_eq!(report.name.as_ref().and_then(|name| name.as_str()), Some("vault"));
            assert_eq!((report.during, report.message_type), (During::Message, "crashes::Open"));
            assert_eq!(report.state.as_deref(), Some("owner ada"));
            assert_eq!(report.callers, [Caller::Process(client.pid())]);
            let text = report.to_string();
            for part in ["\"vault\"", "crashes::Open", "owner ada", &client.pid().to_string()] {
                assert!(text.contains(part), "{text}");
            }
        }
    });
}

#[test]
fn a_caller_outside_of_processes_is_told_apart_and_one_that_was_answered_is_none() {
    everywhere(async |rt| {
        let server = vault(&rt, Shows::Redacted).await;
        server.call(Open::Fail).await.expect_err("it crashes");
        assert_eq!(the_report(&rt, 0).callers, [Caller::Other]);
        let server = vault(&rt, Shows::Redacted).await;
        let ended = rt.down(&server);
        assert_eq!(server.call(Open::AnswerAndFail).await.expect("it answers"), 1815);
        ended.await;
        assert!(the_report(&rt, 1).callers.is_empty());
        // Neither is one that has given up.
        let server = plain(&rt).await;
        let ended = rt.down(&server);
        let call = server.call(|reply: Reply<()>| {
            later(move |_, cx| {
                let rt = cx.runtime();
                Box::pin(async move {
                    while reply.is_awaited() {
                        rt.sleep(Duration::from_millis(1)).await;
                    }
                    Err(because("left alone"))
                })
            })
        });
        call.timeout(Duration::from_millis(5)).await.expect_err("it takes too long");
        ended.await;
        assert!(the_report(&rt, 2).callers.is_empty());
    });
}

/// Adapted: a state is seen in reports only, by the one hook that writes it; `Info` has nothing of it. A status
/// has no state to hide.
#[test]
fn srv_053_the_servers_own_hook_decides_what_is_shown() {
    everywhere(async |rt| {
        let cases = [
            (Shows::Redacted, "owner ada".to_owned()),
            (Shows::Panics, format!("not shown: report_state panicked: {EXPECTED}")),
            (Shows::Fails, " [its formatting failed]".to_owned()),
        ];
        for (number, (shows, expected)) in cases.into_iter().enumerate() {
            let server = vault(&rt, shows).await;
            assert!(!format!("{:?}", rt.info(&server)).contains("ada"));
            let error = server.call(Open::Fail).await.expect_err("it crashes");
            // The reason is the crash's, whatever the hook does.
            let CallError::Exit(reason) = error else { panic!("{error:?}") };
            assert_because(&reason, "crashed");
            let report = the_report(&rt, number as u64);
            assert_eq!(report.state, Some(expected));
            assert!(!report.to_string().contains("1815"), "{report}");
        }
        // Who has no hook shows nothing.
        let silent = plain(&rt).await;
        let ended = rt.down(&silent);
        silent.cast(now(|_| Err(because("crashed")))).expect("it lives");
        ended.await;
        assert_eq!(the_report(&rt, 3).state, None);
    });
}

/// Adapted: fields are bounded, the block is made of them.
#[test]
fn srv_059_a_report_of_a_large_state_is_limited_and_names_the_rest() {
    everywhere(async |rt| {
        let server = vault(&rt, Shows::Much(1_000_000)).await;
        server.call(Open::Fail).await.expect_err("it crashes");
        let report = the_report(&rt, 0);
        let state = report.state.as_deref().expect("a state");
        assert_eq!(state, format!("{} [cut]", "x".repeat(CrashReport::STATE_MAX)));
        let text = report.to_string();
        assert!(text.len() < CrashReport::STATE_MAX + 1_000, "{}", text.len());
        for part in ["\"vault\"", "reason: \"crashed\"", "crashes::Open"] {
            assert!(text.contains(part), "{text}");
        }

        // Everything at its longest.
        let long = "n".repeat(10_000);
        let options = SpawnOptions::new().name(&*long).label(&*long);
        let server =
            rt.with(options).start::<Vault>(Shows::Much(1_000_000)).await.expect("a vault");
        let ended = rt.down(&server);
        let reason = ExitReason::custom("line\n".repeat(100_000));
        server.cast(Open::Stop(reason)).expect("it lives");
        ended.await;
        let report = the_report(&rt, 1);
        assert!(report.to_string().len() < 9_000, "{}", report.to_string().len());
    });
}

#[test]
fn an_end_from_outside_is_no_crash() {
    everywhere(async |rt| {
        type End = fn(&Handle, &ActorRef<support::puppet::Do<false>>);
        let ends: [End; 4] = [
            |rt, it| rt.exit(it, ExitReason::Kill),
            |rt, it| rt.exit(it, because("sent")),
            |rt, it| rt.exit(it, ExitReason::Shutdown),
            |rt, it| drop(rt.stop(it, because("asked"))),
        ];
        for end in ends {
            for traps in [false, true] {
                let script = if traps { Script::new().trap(&Events::new()) } else { Script::new() };
                let process = rt.start::<Plain>(script).await.expect("a process");
                let ended = rt.down(&process);
                end(&rt, &process);
                ended.await;
            }
        }
        // Its own exit signal, too.
        let process = plain(&rt).await;
        let ended = rt.down(&process);
        process
            .cast(now(|cx| {
                cx.exit(cx.me(), because("sent by itself"));
                Ok(())
            }))
            .expect("it lives");
        assert_because(&ended.await.reason, "sent by itself");
        assert_no_report(&rt);

        // Of a chain of links only the first has crashed.
        let first = plain(&rt).await;
        let mut last = first.clone();
        let mut downs = Vec::new();
        for _ in 0..3 {
            last = ask(&last, |cx| cx.spawn_link::<Plain>(Script::new())).await;
            downs.push(rt.down(&last));
        }
        first.cast(now(|_| Err(because("first")))).expect("it lives");
        for down in downs {
            assert_because(&down.await.reason, "first");
        }
        assert_eq!(the_report(&rt, 0).pid, first.pid());
    });
}

/// A kill that comes while a failed handler's `terminate` runs is what ends the process.
#[test]
fn a_kill_overtakes_a_crash() {
    everywhere(async |rt| {
        let events = Events::new();
        let said = events.clone();
        let script = Script::new().terminate(move |_, _| {
            said.send(support::puppet::Event::Note(1));
            Box::pin(std::future::pending())
        });
        let process = rt.start::<Tidy>(script).await.expect("a process");
        let ended = rt.down(&process);
        process.cast(now(|_| Err(because("failed")))).expect("it lives");
        assert_eq!(events.note().await, 1);
        rt.exit(&process, ExitReason::Kill);
        assert!(matches!(ended.await.reason, ExitReason::Killed));
        assert_no_report(&rt);
    });
}

#[test]
fn a_failed_init_is_reported_if_it_panicked_or_if_nobody_waits_for_it() {
    everywhere(async |rt| {
        let fails = || Script::<false>::new().init_now(|_| Err(because("no luck")));
        let error = rt.start::<Plain>(fails()).await.expect_err("it fails");
        assert!(matches!(error, StartError::Exit(_)), "{error:?}");
        // Not at once.
        let later = Script::<false>::new().init(|cx| {
            let sleep = cx.runtime().sleep(Duration::from_millis(1));
            Box::pin(async move {
                sleep.await;
                Err(because("no luck"))
            })
        });
        rt.start::<Plain>(later).await.expect_err("it fails");
        let ignores = || Script::<false>::new().init_now(|_| Err(ExitReason::Ignore));
        rt.start::<Plain>(ignores()).await.expect_err("it is not wanted");
        rt.down(rt.spawn::<Plain>(ignores())).await;
        assert_no_report(&rt);

        let starter = plain(&rt).await;
        let process = ask(&starter, move |cx| cx.spawn::<Plain>(fails())).await;
        rt.down(&process).await;
        let report = the_report(&rt, 0);
        assert_eq!((report.pid, report.during), (process.pid(), During::Init));
        assert!(report.callers.is_empty() && report.state.is_none());
        assert_eq!(report.parent, Some(starter.pid()));

        let panics = Script::<false>::new().init_now(|_| panic!("{EXPECTED}"));
        rt.start::<Plain>(panics).await.expect_err("it fails");
        let report = the_report(&rt, 1);
        assert_eq!((report.during, &*report.callers), (During::Init, &[Caller::Other][..]));
        assert_panic(&report.reason, EXPECTED);
    });
}

#[test]
fn the_moment_of_a_crash_is_told() {
    everywhere(async |rt| {
        let mut reports = 0;
        let mut crashed = async |during: During, ended: whitebeam_actor::DownFuture| {
            ended.await;
            let report = the_report(&rt, reports);
            assert_eq!(report.during, during, "{report}");
            reports += 1;
        };
        // `terminate`, in its first part and in a later one, of an end that was orderly and of one that was not.
        for waits in [false, true] {
            for reason in [|| ExitReason::Normal, || because("failed")] {
                let script = Script::new().terminate(move |_, cx| {
                    let sleep = cx.runtime().sleep(Duration::from_millis(1));
                    Box::pin(async move {
                        if waits {
                            sleep.await;
                        }
                        panic!("{EXPECTED}");
                    })
                });
                let process = rt.start::<Tidy>(script).await.expect("a process");
                let ended = rt.down(&process);
                process.cast(now(move |_| Err(reason()))).expect("it lives");
                crashed(During::Terminate, ended).await;
            }
        }
        // An end that was decided by a handler stays its own when `terminate` has run.
        let script = Script::new().terminate(|_, _| Box::pin(async {}));
        let process = rt.start::<Tidy>(script).await.expect("a process");
        let ended = rt.down(&process);
        process.cast(now(|_| Err(because("failed")))).expect("it lives");
        crashed(During::Message, ended).await;
        // The drop of the state, also when the parent shuts it down; not after a kill.
        for how in [ExitReason::Shutdown, ExitReason::Kill] {
            let script = Script::<false>::new().on_drop(|| panic!("{EXPECTED}"));
            let process = rt.start::<Plain>(script).await.expect("a process");
            let ended = rt.down(&process);
            let is_kill = matches!(how, ExitReason::Kill);
            rt.exit(&process, how);
            match is_kill {
                true => assert!(matches!(ended.await.reason, ExitReason::Killed)),
                false => crashed(During::Drop, ended).await,
            }
        }
        // The end of a child.
        for panics in [false, true] {
            let script = Script::<false>::new().supervise(move |_, cx| {
                assert!(!panics, "{EXPECTED}");
                cx.stop(because("gave up"));
            });
            let parent = rt.start::<Plain>(script).await.expect("a process");
            let ended = rt.down(&parent);
            ask(&parent, |cx| {
                let child = cx.spawn_child::<Plain>(Script::new(), SpawnOptions::new(), None, None);
                child.expect("a child").1.cast(now(|_| Err(ExitReason::Normal))).expect("it lives");
            })
            .await;
            crashed(During::ChildDown, ended).await;
        }
        // A constructor.
        let process = plain(&rt).await;
        let ended = rt.down(&process);
        let dead = plain(&rt).await;
        let target = dead.clone();
        ask(&process, move |cx| {
            cx.monitor(&target, |_| panic!("{EXPECTED}"));
        })
        .await;
        rt.exit(&dead, ExitReason::Kill);
        crashed(During::Signal, ended).await;
        // A suspended handler's later part.
        let process = plain(&rt).await;
        let ended = rt.down(&process);
        process
            .cast(later(|_, cx| {
                let sleep = cx.runtime().sleep(Duration::from_millis(1));
                Box::pin(async move {
                    sleep.await;
                    panic!("{EXPECTED}");
                })
            }))
            .expect("it lives");
        crashed(During::Message, ended).await;
    });
}

/// A child that its parent ends where it runs, and whose state panics then: reported outside of the parent.
#[test]
fn a_child_that_is_ended_inline_is_reported() {
    everywhere(async |rt| {
        let parent = rt.start::<Plain>(Script::new().supervise(|_, _| {})).await.expect("a parent");
        let child = ask(&parent, |cx| {
            let script = Script::<false>::new().on_drop(|| panic!("{EXPECTED}"));
            cx.spawn_child::<Plain>(script, SpawnOptions::new(), None, None).expect("a child").1
        })
        .await;
        settled(&child).await;
        let stopped = parent.call(|reply| {
            later(move |_, cx| {
                Box::pin(async move {
                    let how = whitebeam_actor::Stop::After(Duration::from_secs(5));
                    reply.send(cx.stop_children(how).await);
                    Ok(())
                })
            })
        });
        assert_eq!(stopped.await.expect("it lives").crashed, 1);
        let report = the_report(&rt, 0);
        assert_eq!((report.pid, report.during), (child.pid(), During::Drop));
        assert_eq!(report.parent, Some(parent.pid()));
    });
}

#[test]
fn what_is_left_unread_is_counted() {
    everywhere(async |rt| {
        let events = Events::new();
        let process = plain(&rt).await;
        let ended = rt.down(&process);
        let (open, gate) = whitebeam_actor::oneshot::<()>();
        process.cast(now(|_| Ok(()))).expect("it lives");
        process
            .cast(later(move |_, _| {
                Box::pin(async move {
                    let _ = gate.await;
                    Err(because("failed"))
                })
            }))
            .expect("it lives");
        for _ in 0..5 {
            process.cast(hang(&events, ())).expect("it lives");
        }
        open.send(());
        ended.await;
        let report = the_report(&rt, 0);
        assert_eq!((report.unread, report.handled), (5, 2));
    });
}

#[test]
fn the_history_keeps_the_last_in_order() {
    for (most, expected) in [(None, CRASH_HISTORY), (Some(3), 3), (Some(0), 0)] {
        let set = |builder: Builder| match most {
            Some(most) => builder.crash_history(most).quiet_crashes(),
            None => builder.quiet_crashes(),
        };
        built(set, async |rt| {
            let crashes = CRASH_HISTORY as u64 + 8;
            let mut pids = Vec::new();
            for _ in 0..crashes {
                let process = plain(&rt).await;
                pids.push(process.pid());
                let ended = rt.down(&process);
                process.cast(now(|_| Err(because("failed")))).expect("it lives");
                ended.await;
            }
            assert_eq!(rt.crash_counts().total, crashes);
            let kept = rt.crashes();
            let first = crashes as usize - expected;
            assert_eq!(kept.iter().map(|it| it.pid).collect::<Vec<_>>(), pids[first..]);
            let numbers: Vec<_> = kept.iter().map(|it| it.number).collect();
            assert_eq!(numbers, (first as u64 + 1..=crashes).collect::<Vec<_>>());
        });
    }
}

#[test]
fn the_history_keeps_no_value_alive() {
    #[derive(Debug)]
    struct Grip(#[expect(dead_code, reason = "it is held")] Arc<()>);
    for as_error in [false, true] {
        let held = Arc::new(());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let set = |builder: Builder| {
            let seen = seen.clone();
            // The hook gets the value itself.
            builder.on_crash(move |report| seen.lock().push(report.reason.is::<Grip>()))
        };
        impl fmt::Display for Grip {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a grip")
            }
        }
        impl std::error::Error for Grip {}
        built(set, async |rt| {
            let process = plain(&rt).await;
            let ended = rt.down(&process);
            let grip = Grip(held.clone());
            let reason = if as_error { ExitReason::from(grip) } else { ExitReason::custom(grip) };
            process.cast(now(move |_| Err(reason))).expect("it lives");
            assert!(ended.await.reason.is::<Grip>());
            drop(process);
            // Behind the DOWN: not at once.
            while Arc::strong_count(&held) > 1 {
                rt.sleep(Duration::from_millis(1)).await;
            }
            let report = the_report(&rt, 0);
            assert!(!report.reason.is::<Grip>());
            let expected = if as_error { "a grip" } else { "Grip(())" };
            assert_eq!(report.reason.to_string(), expected);
        });
        assert_eq!(*seen.lock(), [true; 10]);
    }
}

#[test]
fn a_hook_that_panics_harms_nobody_and_is_counted() {
    built(
        |builder| builder.on_crash(|_| panic!("{EXPECTED}")),
        async |rt| {
            let watcher = plain(&rt).await;
            let events = Events::new();
            for number in 0..3 {
                let process = plain(&rt).await;
                let (to, monitor) = (process.clone(), down(&events, number));
                ask(&watcher, move |cx| cx.monitor(&to, monitor)).await;
                process.cast(now(|_| Err(because("failed")))).expect("it lives");
                let (told, down) = events.down().await;
                assert_eq!(told, number);
                assert_because(&down.reason, "failed");
            }
            // The hook comes behind the DOWN.
            while rt.crash_counts().panics < 3 {
                rt.sleep(Duration::from_millis(1)).await;
            }
            assert_eq!((rt.crash_counts().total, rt.crashes().len()), (3, 3));
        },
    );
}

#[test]
fn a_hook_may_cast_and_start_others() {
    let events = Events::new();
    let place = Arc::new(Mutex::new(None::<(Handle, ActorRef<support::puppet::Do<false>>)>));
    let set = |builder: Builder| {
        let (place, events) = (place.clone(), events.clone());
        builder.on_crash(move |report| {
            let Some((rt, logger)) = place.lock().clone() else { return };
            logger.cast(support::puppet::note(&events, report.number)).expect("it lives");
            let events = events.clone();
            rt.spawn::<Plain>(Script::new().init_now(move |cx| {
                assert_eq!(cx.parent(), None, "a hook is no process");
                events.send(support::puppet::Event::Note(7));
                Err(ExitReason::Shutdown)
            }));
            // Nobody's request: it is dropped, and given up.
            drop(logger.call(|reply: Reply<()>| {
                now(move |_| {
                    reply.send(());
                    Ok(())
                })
            }));
        })
    };
    built(set, async |rt| {
        let logger = plain(&rt).await;
        *place.lock() = Some((rt.clone(), logger.clone()));
        let process = plain(&rt).await;
        process.cast(now(|_| Err(because("failed")))).expect("it lives");
        let mut notes = [events.note().await, events.note().await];
        notes.sort();
        assert_eq!(notes, [1, 7]);
        *place.lock() = None;
        assert_eq!(rt.crash_counts().total, 1);
    });
}

/// The only worker is in the hook while all others are told.
#[test]
fn a_hook_delays_nobody_who_waits_for_the_end() {
    expect_panics();
    let (told, all_told) = std::sync::mpsc::channel::<()>();
    let all_told = Mutex::new(all_told);
    let in_time = Arc::new(Mutex::new(None));
    let seen = in_time.clone();
    let builder = Runtime::builder().workers(1).on_crash(move |_| {
        let told = all_told.lock().recv_timeout(Duration::from_secs(20));
        *seen.lock() = Some(told.is_ok());
    });
    let rt = builder.build().expect("a runtime");
    rt.block_on(async {
        let server = vault(&rt, Shows::Redacted).await;
        let ended = rt.down(&server);
        server.call(Open::Fail).await.expect_err("it crashes");
        assert_because(&ended.await.reason, "crashed");
        assert_eq!(rt.crashes().len(), 1);
        told.send(()).expect("the hook waits");
    });
    drop(rt);
    assert_eq!(*in_time.lock(), Some(true));
}

/// A hook that holds a handle keeps the runtime no longer than it runs.
#[test]
fn a_hook_is_dropped_with_its_runtime() {
    expect_panics();
    let held = Arc::new(());
    for simulated in [true, false] {
        let token = held.clone();
        let cycle = Arc::new(Mutex::new(None::<Handle>));
        let kept = cycle.clone();
        let builder = Runtime::builder().on_crash(move |_| _ = (&token, &kept)).print_crashes({
            let token = held.clone();
            move |_| _ = &token
        });
        let rt = if simulated { builder.build_simulated(1) } else { builder.workers(1).build() };
        let rt = rt.expect("a runtime");
        *cycle.lock() = Some(rt.handle());
        assert_eq!(Arc::strong_count(&held), 3);
        drop(rt);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

/// Who asks for the end while the process is at it is told as soon as the inbox is closed, by whoever closes it.
#[test]
fn who_hears_of_the_end_at_once_finds_the_report() {
    struct Looks(Handle, Mutex<Option<usize>>);
    impl std::task::Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.1.lock().get_or_insert(self.0.crashes().len());
        }
    }
    expect_panics();
    let rt = Runtime::builder().workers(1).quiet_crashes().build().expect("a runtime");
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let script = Script::new().on_drop(move || {
        begun.send(()).expect("the test waits");
        may_go.recv_timeout(Duration::from_secs(20)).expect("the test lets it go");
    });
    let process = rt.spawn::<Plain>(script);
    process.cast(now(|_| Err(because("failed")))).expect("it lives");
    has_begun.recv_timeout(Duration::from_secs(20)).expect("its state is dropped");
    let looks = Arc::new(Looks(rt.handle(), Mutex::new(None)));
    let mut down = Box::pin(rt.down(&process));
    let waker = looks.clone().into();
    // It stands in the inbox of a process that will not look there again before it closes it.
    assert!(down.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    go.send(()).expect("it waits");
    rt.block_on(rt.down(&process));
    assert_eq!(*looks.1.lock(), Some(1), "reports in the history when the DOWN came");
}

/// Nobody but the hook of events wants to know.
#[test]
fn events_tell_of_crashes_without_history_and_output() {
    let (told, tells) = std::sync::mpsc::channel();
    expect_panics();
    let builder = Runtime::builder().workers(1).quiet_crashes().crash_history(0);
    let rt = builder.on_event(move |event| _ = told.send(format!("{event:?}"))).build();
    let rt = rt.expect("a runtime");
    rt.spawn::<Plain>(Script::new().init_now(|_| Err(because("failed"))));
    let event = tells.recv_timeout(Duration::from_secs(20)).expect("an event");
    assert!(event.starts_with("Crashed("), "{event}");
}

//! Names of every kind: text, values, and keys in registries.

use crate::support;

use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use support::{
    EXPECTED, everywhere, expect_panics, now as time,
    puppet::{
        Do, Event, Events, Plain, Script, Tidy, ask, assert_because, assert_panic, assert_reason,
        because, down, note, now, plain, settled,
    },
    scaled,
};
use whitebeam_actor::{
    CallError, Directory, ExitReason, Name, NameError, Pid, Reply, Runtime, SendFailure,
    SpawnOptions, StartError, StopError,
};
use whitebeam_testkit::Everywhere;

/// A name that is a value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shard(u32);

fn with(name: &Name) -> SpawnOptions {
    SpawnOptions::new().name(name)
}

/// Names of every kind, and the directory that keeps the last two.
fn kinds() -> (Vec<Name>, Arc<Directory>) {
    let directory = Arc::new(Directory::new());
    let names = vec![
        Name::from("n"),
        Name::of(Shard(1)),
        Name::via(directory.clone(), "n"),
        Name::via(directory.clone(), Name::of(Shard(1))),
    ];
    (names, directory)
}

/// A request that answers with the pid of who handled it.
fn who(reply: Reply<Pid>) -> Do<false> {
    now(move |cx| {
        reply.send(cx.pid());
        Ok(())
    })
}

fn is_ill_formed(error: &StartError) -> bool {
    let StartError::Invalid(why) = error else { return false };
    why.downcast_ref() == Some(&NameError::IllFormed)
}

/// The process is killed, and its name, of whichever kind, is free.
#[test]
fn a_start_that_takes_too_long_leaves_no_name_of_any_kind() {
    everywhere(|rt| async move {
        for name in kinds().0 {
            let clock = rt.clone();
            let slow = Script::new().init(move |_| {
                async move {
                    clock.sleep(Duration::from_secs(1)).await;
                    Ok(())
                }
                .boxed()
            });
            let start = rt.with(with(&name)).start::<Plain>(slow);
            let answer = start.timeout(Duration::from_millis(100)).await;
            assert!(matches!(answer, Err(StartError::Timeout)), "{answer:?}");
            assert_eq!((rt.whereis(&name), rt.processes().len()), (None, 0));
        }
    });
}

/// `global` is a directory that several runtimes share: the other owner may be of another runtime.
#[test]
fn srv_008_a_taken_via_name_is_refused() {
    everywhere(|rt| async move {
        let (via, global) = (Arc::new(Directory::new()), Arc::new(Directory::new()));
        let elsewhere = Runtime::simulated(1).expect("another runtime");
        let events = Events::new();
        let starter = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let here = Name::via(via.clone(), "n");
        let there = Name::via(global.clone(), Name::of(Shard(7)));
        let first = rt.with(with(&here)).start::<Plain>(Script::new()).await.expect("start");
        let foreign = elsewhere.with(with(&there)).spawn::<Plain>(Script::new());
        for (name, owner) in [(here, first.pid()), (there, foreign.pid())] {
            match rt.with(with(&name)).start::<Plain>(support::puppet::telling(&events)).await {
                Err(StartError::NameTaken(by)) => assert_eq!(by, owner),
                other => panic!("{other:?}"),
            }
            assert_eq!(events.note().await, 2, "its arguments were dropped, its init has not run");
            let (told, script, options) =
                (events.clone(), support::puppet::telling(&events), with(&name));
            let (nobody, _) = ask(&starter, move |cx| {
                cx.with(options).spawn_monitor::<Plain>(script, down(&told, 3))
            })
            .await;
            assert_eq!(events.note().await, 2);
            let (number, gone) = events.down().await;
            assert_eq!((number, gone.pid), (3, nobody.pid()));
            assert_reason(&gone.reason, &ExitReason::NoProc);
            let (script, options) = (support::puppet::telling(&events), with(&name));
            let linked =
                ask(&starter, move |cx| cx.with(options).start_link::<Plain>(script)).await;
            match linked.await {
                Err(StartError::NameTaken(by)) => assert_eq!(by, owner),
                other => panic!("{other:?}"),
            }
            assert_eq!(events.note().await, 2);
            events.quiet(&rt).await;
            assert_eq!(rt.whereis(&name), Some(owner));
            assert_eq!(rt.processes().len(), 2, "no process is left over");
            assert_eq!(rt.relations(&starter).await.expect("alive"), Default::default());
        }
        settled(&first).await;
        assert!(foreign.is_alive());
        drop(elsewhere);
        assert!(global.is_empty() && via.len() == 1);
    });
}

#[test]
fn srv_009_calls_and_casts_go_to_the_name() {
    everywhere(|rt| async move {
        let events = Events::new();
        for name in kinds().0 {
            let server = rt.with(with(&name)).start::<Plain>(Script::new()).await.expect("start");
            let named = rt.named::<Do<false>>(&name);
            assert_eq!(named.call(who).await.expect("call"), server.pid());
            named.cast(note(&events, 1)).expect("cast");
            assert_eq!(events.note().await, 1);
            rt.stop(&server, ExitReason::Normal).await.expect("stop");
            let answer = named.call(who).await;
            assert!(matches!(answer, Err(CallError::NoProc)), "{answer:?}");
            let refused = named.cast(note(&events, 2)).expect_err("nobody has the name");
            assert_eq!(refused.why(), SendFailure::NoProc);
        }
        events.quiet(&rt).await;
    });
}

/// By types, but for text, and a key, that is empty.
#[test]
fn srv_010_an_ill_formed_name_is_refused_before_anything_is_spawned() {
    everywhere(|rt| async move {
        let events = Events::new();
        let server = plain(&rt).await;
        let directory = Arc::new(Directory::new());
        for name in [Name::from(""), Name::of(String::new()), Name::via(directory.clone(), "")] {
            let answer =
                rt.with(with(&name)).start::<Plain>(support::puppet::telling(&events)).await;
            assert!(answer.as_ref().is_err_and(is_ill_formed), "{answer:?}");
            assert_eq!(events.note().await, 2, "its arguments were dropped, its init has not run");
            assert_eq!(rt.register(&name, &server), Err(NameError::IllFormed));
            assert_eq!((rt.whereis(&name), rt.unregister(&name)), (None, false));
            let answer = rt.named::<Do<false>>(&name).call(who).await;
            assert!(matches!(answer, Err(CallError::NoProc)), "{answer:?}");
        }
        assert_eq!(rt.processes().len(), 1);
        assert!(directory.is_empty());
    });
}

#[test]
fn srv_011_without_a_name_there_is_none() {
    everywhere(|rt| async move {
        let server = rt.with(SpawnOptions::new()).start::<Plain>(Script::new()).await;
        let server = server.expect("start");
        assert_eq!(rt.info(&server).expect("alive").name, None);
        assert_eq!(rt.whereis("undefined"), None);
    });
}

#[test]
fn srv_015_stopped_by_name_and_the_name_is_free() {
    everywhere(|rt| async move {
        for name in kinds().0 {
            let events = Events::new();
            let script = Script::new().tell_terminate(&events);
            let server = rt.with(with(&name)).start::<Tidy>(script).await.expect("start");
            rt.stop(&name, ExitReason::Shutdown).await.expect("stop");
            assert_reason(&events.terminated().await, &ExitReason::Shutdown);
            assert!(!server.is_alive());
            assert_eq!(rt.whereis(&name), None);
            let again = rt.stop(&name, ExitReason::Shutdown).await;
            assert!(matches!(again, Err(StopError::NoProc)), "{again:?}");
            let next = rt.with(with(&name)).start::<Plain>(Script::new()).await.expect("free");
            assert_eq!(rt.whereis(&name), Some(next.pid()));
        }
    });
}

#[test]
fn srv_027_a_call_to_an_unknown_name_fails_at_once() {
    everywhere(|rt| async move {
        for name in kinds().0 {
            let named = rt.named::<Do<false>>(&name);
            let begun = time(&rt);
            let answer = named.call(who).timeout(Duration::from_secs(5)).await;
            assert!(matches!(answer, Err(CallError::NoProc)), "{answer:?}");
            assert!(time(&rt) - begun < 2_500_000_000);
        }
    });
}

/// The cast says so, and gives the message back.
#[test]
fn srv_043_a_cast_to_nobody_does_nothing() {
    everywhere(|rt| async move {
        let events = Events::new();
        let check = |refused: whitebeam_actor::SendError<Do<false>>| {
            assert_eq!(refused.why(), SendFailure::NoProc);
            let Do::Tell(_, Event::Note(number)) = refused.into_message() else {
                panic!("another")
            };
            assert_eq!(number, 5);
        };
        for name in kinds().0 {
            check(rt.named(&name).cast(note(&events, 5)).expect_err("nobody has it"));
        }
        let dead = plain(&rt).await;
        support::puppet::kill(&rt, dead.pid()).await;
        check(dead.cast(note(&events, 5)).expect_err("it has ended"));
        events.quiet(&rt).await;
    });
}

/// As far as there is one node: `{n, here}` is the address by name; a process of another runtime is found through
/// a directory that both use.
#[test]
fn srv_065_whereis_of_whatever_names_a_process() {
    everywhere(|rt| async move {
        let elsewhere = Runtime::simulated(1).expect("another runtime");
        let (names, directory) = kinds();
        for name in &names {
            let server = rt.with(with(name)).start::<Plain>(Script::new()).await.expect("start");
            let pid = Some(server.pid());
            assert_eq!((rt.whereis(name), rt.pid_of(name)), (pid, pid));
            assert_eq!(rt.pid_of(rt.named::<Do<false>>(name)), pid);
            assert_eq!((rt.pid_of(server.pid()), rt.pid_of(&server)), (pid, pid));
            let inside = name.clone();
            assert_eq!(ask(&server, move |cx| cx.runtime().whereis(&inside)).await, pid);
        }
        let others = [
            Name::from("m"),
            Name::of(Shard(2)),
            Name::of(1_u32),
            Name::via(directory.clone(), "m"),
            Name::via(Arc::new(Directory::new()), "n"),
        ];
        for other in others {
            assert_eq!((rt.whereis(&other), rt.pid_of(&other)), (None, None));
        }
        // The other runtime has names of its own, and finds the directory's.
        assert_eq!((elsewhere.whereis(&names[0]), elsewhere.whereis(&names[1])), (None, None));
        assert_eq!(elsewhere.whereis(&names[2]), rt.whereis(&names[2]));
        assert_eq!(
            elsewhere.pid_of(rt.named::<()>("n")),
            rt.whereis("n"),
            "it is bound to its own"
        );
    });
}

#[test]
fn srv_068_a_named_server_with_options() {
    everywhere(|rt| async move {
        for name in kinds().0 {
            let options = with(&name).label("agent");
            rt.with(options).start::<Plain>(Script::new()).await.expect("start");
            let named = rt.named::<Do<false>>(&name);
            let asked = named.call(|reply: Reply<Option<Name>>| {
                now(move |cx| {
                    reply.send(cx.runtime().info(cx.pid()).expect("alive").label);
                    Ok(())
                })
            });
            assert_eq!(asked.await.expect("call"), Some("agent".into()));
            assert_eq!(rt.info(&name).expect("alive").name, Some(name.clone()));
            rt.stop(&named, ExitReason::Normal).await.expect("stop");
            assert_eq!((rt.whereis(&name), rt.is_alive(&name)), (None, false));
        }
    });
}

#[test]
fn srv_070_a_panic_in_init_leaves_no_name() {
    expect_panics();
    everywhere(|rt| async move {
        let (names, directory) = kinds();
        for name in names {
            let script = Script::new().init_now(|_| panic!("{EXPECTED}"));
            match rt.with(with(&name)).start::<Plain>(script).await {
                Err(StartError::Exit(reason)) => assert_panic(&reason, EXPECTED),
                other => panic!("{other:?}"),
            }
            assert_eq!((rt.whereis(&name), rt.processes().len()), (None, 0));
        }
        assert!(directory.is_empty());
    });
}

/// Of a via name too the failed start has let go when it returns.
#[test]
fn a_failed_start_leaves_no_via_name() {
    everywhere(|rt| async move {
        let directory = Arc::new(Directory::new());
        let name = Name::via(directory.clone(), "n");
        for round in 0..scaled(100, 10) {
            let script = Script::new().init_now(move |_| match round % 2 {
                0 => Err(ExitReason::Ignore),
                _ => Err(because("r")),
            });
            assert!(rt.with(with(&name)).start::<Plain>(script).await.is_err());
            assert!(directory.is_empty());
        }
    });
}

#[test]
fn whatever_takes_a_process_takes_a_name() {
    everywhere(|rt| async move {
        let (names, directory) = kinds();
        for name in names {
            let events = Events::new();
            let watcher = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
            let server = rt.with(with(&name)).start::<Plain>(Script::new()).await.expect("start");
            let (on, told) = (name.clone(), events.clone());
            ask(&watcher, move |cx| {
                cx.link(&on);
                cx.monitor(&on, down(&told, 1));
                cx.monitor_name(&on, down(&told, 2));
                cx.monitor(cx.runtime().named::<()>(&on), down(&told, 3));
            })
            .await;
            let relations = rt.relations(&name).await.expect("alive");
            assert_eq!(relations.links, [watcher.pid()]);
            assert_eq!(relations.monitored_by, [watcher.pid(); 3]);
            assert!(rt.is_alive(&name) && rt.info(&name).expect("alive").pid == server.pid());
            let gone = rt.down(&name);
            rt.exit(&name, because("r"));
            let gone = gone.await;
            assert_eq!((gone.pid, gone.name), (server.pid(), Some(name.clone())));
            let (mut downs, mut exits) = (0, 0);
            for _ in 0..4 {
                match events.next().await {
                    Event::Down(_, down) => {
                        assert_eq!((down.pid, down.name), (server.pid(), Some(name.clone())));
                        assert_because(&down.reason, "r");
                        downs += 1;
                    }
                    Event::Exit(exit) => {
                        assert_because(&exit.reason, "r");
                        exits += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((downs, exits), (3, 1));
            // Nobody has it: as of a process that has ended.
            let (on, told) = (name.clone(), events.clone());
            ask(&watcher, move |cx| {
                cx.link(&on);
                cx.unlink(&on);
                cx.exit(&on, ExitReason::Kill);
                cx.monitor(&on, down(&told, 4));
            })
            .await;
            assert_reason(&events.exit().await.reason, &ExitReason::NoProc);
            let (_, gone) = events.down().await;
            assert_eq!(gone.name, Some(name.clone()));
            assert_reason(&gone.reason, &ExitReason::NoProc);
            assert!(rt.relations(&name).await.is_none() && rt.info(&name).is_none());
            assert_reason(&rt.down(&name).await.reason, &ExitReason::NoProc);
        }
        assert!(directory.is_empty());
    });
}

#[test]
fn a_via_name_is_given_and_taken_while_its_process_runs() {
    everywhere(|rt| async move {
        let directory = Arc::new(Directory::new());
        let (a, b) = (Name::via(directory.clone(), "a"), Name::via(directory.clone(), "b"));
        let (p, q) = (plain(&rt).await, plain(&rt).await);
        rt.register("own", &p).expect("register");
        rt.register(&a, &p).expect("register");
        // Any number of them, beside the one of the runtime's own.
        rt.register(&b, Name::from("own")).expect("register");
        assert_eq!(rt.register(&a, &q), Err(NameError::Taken(p.pid())));
        assert_eq!(rt.register(&a, &p), Err(NameError::Taken(p.pid())));
        assert_eq!((rt.whereis(&a), rt.whereis(&b)), (Some(p.pid()), Some(p.pid())));
        assert_eq!(rt.info(&p).expect("alive").name, Some("own".into()));
        assert!(rt.unregister("own"));
        assert_eq!(rt.info(&p).expect("alive").name, Some(a.clone()), "the oldest that is left");
        // By another name that is equal.
        assert!(rt.unregister(Name::via(directory.clone(), "a")) && !rt.unregister(&a));
        rt.register(&a, &q).expect("it is free");
        support::puppet::kill(&rt, p.pid()).await;
        assert_eq!((rt.whereis(&a), rt.whereis(&b)), (Some(q.pid()), None));
        assert_eq!(rt.register(&b, &p), Err(NameError::NoProc));
        // Given and taken many times: nothing is left of it.
        for _ in 0..100 {
            rt.register(&b, &q).expect("register");
            assert!(rt.unregister(&b));
        }
        support::puppet::kill(&rt, q.pid()).await;
        assert!(directory.is_empty());
    });
}

/// Whoever gives a via name to a process that ends at this very moment: none is left.
#[test]
fn a_via_name_given_at_the_end_is_not_left() {
    everywhere(|rt| async move {
        let directory = Arc::new(Directory::new());
        let name = Name::via(directory.clone(), "n");
        for _ in 0..scaled(200, 20) {
            let p = plain(&rt).await;
            let gone = rt.down(&p);
            p.cast(now(|_| Err(because("x")))).expect("cast");
            let given = rt.register(&name, &p);
            assert!(matches!(given, Ok(()) | Err(NameError::NoProc)), "{given:?}");
            gone.await;
            assert_eq!((rt.whereis(&name), directory.len()), (None, 0));
        }
    });
}

/// Many start under one name at once, round after round: one wins, the others learn who, and when its end is told
/// the name is free.
#[test]
fn of_many_starters_one_wins() {
    Everywhere::new().only_threaded().workers(&[4]).run(|rt| async move {
        let directory = Arc::new(Directory::new());
        let names = [
            Name::via(directory.clone(), "n"),
            Name::via(directory.clone(), Name::of(Shard(1))),
            Name::of(Shard(1)),
        ];
        let inits = Arc::new(AtomicU32::new(0));
        let rounds = scaled(3_000, 60);
        for round in 0..rounds {
            let name = &names[round % names.len()];
            let starters = (0..8).map(|_| {
                let (clock, inits, options) = (rt.clone(), inits.clone(), with(name));
                rt.spawn_task(async move {
                    let script = Script::new().init_now(move |_| {
                        inits.fetch_add(1, Relaxed);
                        Ok(())
                    });
                    clock.with(options).start::<Plain>(script).await
                })
            });
            let (mut winner, mut seen) = (None, Vec::new());
            for started in join_all(starters).await {
                match started {
                    Ok(won) => assert!(winner.replace(won).is_none(), "two have won"),
                    Err(StartError::NameTaken(owner)) => seen.push(owner),
                    Err(other) => panic!("{other}"),
                }
            }
            let winner = winner.expect("one has won");
            assert_eq!(seen, [winner.pid(); 7]);
            assert_eq!(rt.whereis(name), Some(winner.pid()));
            support::puppet::kill(&rt, winner.pid()).await;
            assert_eq!(rt.whereis(name), None);
        }
        assert_eq!(inits.load(Relaxed), rounds as u32, "a loser's init never runs");
        assert!(directory.is_empty() && rt.processes().is_empty());
    });
}

/// Names go from hand to hand while their owners end, are registered and unregistered by others.
#[test]
fn names_that_change_hands_all_the_time_are_not_lost() {
    Everywhere::new().only_threaded().workers(&[4]).run(|rt| async move {
        let directory = Arc::new(Directory::new());
        let name = Name::via(directory.clone(), "n");
        let tasks = (0..4).map(|number| {
            let (rt, name) = (rt.clone(), name.clone());
            rt.clone().spawn_task(async move {
                for round in 0..scaled(500, 20) {
                    let p = plain(&rt).await;
                    let gone = rt.down(&p);
                    if round % 2 == 0 {
                        rt.exit(&p, ExitReason::Kill);
                    }
                    let given = rt.register(&name, &p);
                    if number == 0 {
                        rt.unregister(&name);
                    }
                    rt.exit(&p, ExitReason::Kill);
                    gone.await;
                    assert_ne!(rt.whereis(&name), Some(p.pid()), "{given:?}");
                }
            })
        });
        join_all(tasks).await;
        assert!(directory.is_empty(), "{directory:?}");
    });
}

#[test]
fn a_directory_holds_no_entry_of_who_is_gone() {
    expect_panics();
    everywhere(|rt| async move {
        let directory = Arc::new(Directory::new());
        let elsewhere = Runtime::builder().workers(2).build().expect("another runtime");
        let mut servers = Vec::new();
        for number in 0..100_u32 {
            let name = Name::via(directory.clone(), Name::of(Shard(number)));
            servers.push(rt.with(with(&name)).start::<Plain>(Script::new()).await.expect("start"));
            let name = Name::via(directory.clone(), number.to_string());
            elsewhere.with(with(&name)).spawn::<Plain>(Script::new());
        }
        assert_eq!(directory.len(), 200);
        for (number, server) in servers.iter().enumerate() {
            let gone = rt.down(server);
            match number % 4 {
                0 => rt.exit(server, ExitReason::Kill),
                1 => rt.exit(server, because("x")),
                2 => server.cast(now(|_| panic!("{EXPECTED}"))).expect("cast"),
                _ => server.cast(now(|_| Err(ExitReason::Normal))).expect("cast"),
            }
            gone.await;
        }
        assert_eq!(directory.len(), 100);
        // With the runtime, and while addresses of the processes are still held.
        drop(elsewhere);
        assert!(directory.is_empty());
    });
}

/// Linked, monitored or supervised from the first step, and its cell is freed: the label in it is dropped.
#[test]
fn a_process_with_a_via_name_is_related_as_any_other() {
    everywhere(|rt| async move {
        let (directory, probe) = (Arc::new(Directory::new()), Arc::new(()));
        let via = Name::via(directory.clone(), "n");
        let options = || with(&via).label(Name::of(Probe(probe.clone())));
        let events = Events::new();
        let script = Script::new().trap(&events).tell_children(&events);
        let starter = rt.start::<Plain>(script).await.expect("start");
        for how in 0..3 {
            for round in 0..scaled(20, 5) {
                let (told, options) = (events.clone(), options());
                let server = ask(&starter, move |cx| match how {
                    0 => cx.with(options).spawn_link::<Plain>(Script::new()),
                    1 => cx.with(options).spawn_monitor::<Plain>(Script::new(), down(&told, 1)).0,
                    _ => {
                        cx.spawn_child::<Plain>(Script::new(), options, None, None)
                            .expect("child")
                            .1
                    }
                });
                let pid = server.await.pid();
                assert_eq!(
                    (rt.whereis(&via), rt.info(pid).expect("alive").parent),
                    (Some(pid), Some(starter.pid()))
                );
                let refused =
                    rt.with(SpawnOptions::new().name(&via).label(Name::of(Probe(probe.clone()))));
                assert!(refused.start::<Plain>(Script::new()).await.is_err());
                rt.exit(pid, because("r"));
                let (by, reason) = match events.next().await {
                    Event::Exit(exit) if how == 0 => (exit.from.expect("a process"), exit.reason),
                    Event::Down(_, down) if how == 1 => (down.pid, down.reason),
                    Event::Child(down) if how == 2 => (down.pid, down.reason),
                    other => panic!("{other:?} in round {round}"),
                };
                assert_eq!((by, directory.len()), (pid, 0));
                assert_because(&reason, "r");
            }
        }
        // Idle, it ends where its parent stops it.
        let last = options();
        ask(&starter, move |cx| cx.spawn_child::<Plain>(Script::new(), last, None, None).is_some())
            .await;
        rt.stop(&starter, ExitReason::Normal).await.expect("stop");
        while rt.is_alive(&via) {
            rt.sleep(Duration::from_millis(1)).await;
        }
        assert!(directory.is_empty());
        drop(starter);
        // The deadline is that of the whole test.
        while Arc::strong_count(&probe) > 1 {
            rt.sleep(Duration::from_millis(1)).await;
        }
    });
}

/// A value that is counted while it is held.
#[derive(Debug)]
struct Probe(Arc<()>);

impl PartialEq for Probe {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Probe {}

impl Hash for Probe {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// What the runtimes of one program see of each other: the pid, and nobody behind it.
#[test]
fn a_process_of_another_runtime_is_nobody_here() {
    everywhere(|rt| async move {
        let directory = Arc::new(Directory::new());
        let name = Name::via(directory.clone(), "n");
        let elsewhere = Runtime::simulated(1).expect("another runtime");
        let foreign = elsewhere.with(with(&name)).spawn::<Plain>(Script::new());
        assert_eq!(rt.whereis(&name), Some(foreign.pid()));
        assert!(!rt.is_alive(&name) && elsewhere.is_alive(&name));
        rt.exit(&name, ExitReason::Kill);
        assert!(matches!(rt.stop(&name, ExitReason::Normal).await, Err(StopError::NoProc)));
        let gone = rt.down(&name).await;
        assert_eq!((gone.pid, gone.name), (foreign.pid(), Some(name.clone())));
        assert_reason(&gone.reason, &ExitReason::NoProc);
        let answer = rt.named::<Do<false>>(&name).call(who).await;
        assert!(matches!(answer, Err(CallError::NoProc)), "{answer:?}");
        assert_eq!(rt.register("m", &name), Err(NameError::NoProc));
        // The name can be taken from it here: it is the directory's.
        assert!(rt.unregister(&name));
        let here = rt.with(with(&name)).start::<Plain>(Script::new()).await.expect("free");
        drop(elsewhere);
        assert_eq!(rt.whereis(&name), Some(here.pid()), "the end of the other took nothing");
    });
}

#[test]
fn names_are_equal_by_type_and_value() {
    let directory = Arc::new(Directory::new());
    let hash = |name: &Name| {
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish()
    };
    let equal = [
        (Name::from("a"), Name::from("a".to_owned())),
        (Name::of("a"), Name::of("a".to_owned())),
        (Name::of(Name::from("a")), Name::from("a")),
        (Name::of(Shard(1)), Name::of(Shard(1))),
        (Name::of((1_u8, 'x')), Name::of((1_u8, 'x'))),
        (Name::via(directory.clone(), "a"), Name::via(directory.clone(), "a".to_owned())),
        (Name::via(directory.clone(), Name::of(1)), Name::via(directory.clone(), Name::of(1))),
    ];
    for (one, other) in &equal {
        assert_eq!(one, other);
        assert_eq!(hash(one), hash(other));
    }
    let unlike = [
        Name::from("1"),
        Name::of(1_u32),
        Name::of(1_i32),
        Name::of(Shard(1)),
        Name::of(Box::<str>::from("1")),
        Name::via(directory.clone(), "1"),
        Name::via(directory.clone(), Name::of(1_u32)),
        Name::via(Arc::new(Directory::new()), "1"),
        Name::via(directory.clone(), Name::via(directory.clone(), "1")),
    ];
    for (at, one) in unlike.iter().enumerate() {
        assert!(unlike.iter().enumerate().all(|(place, other)| (place == at) == (one == other)));
    }
    assert_eq!(unlike[0].as_str(), Some("1"));
    assert_eq!(
        (unlike[1].downcast_ref::<u32>(), unlike[1].downcast_ref::<i32>()),
        (Some(&1), None)
    );
    let text = |name: &Name| (format!("{name}"), format!("{name:?}"));
    assert_eq!(text(&unlike[0]), ("1".into(), "\"1\"".into()));
    assert_eq!(text(&unlike[3]), ("Shard(1)".into(), "Shard(1)".into()));
    assert_eq!(text(&unlike[5]), ("via 1".into(), "via \"1\"".into()));
}

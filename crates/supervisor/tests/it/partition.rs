//! Partition supervisors: starts, restarts, stops, nesting.

use std::time::Duration;

use futures_util::future::join_all;
use whitebeam_actor::{CallError, ChildRef, ExitReason, Handle, SpawnOptions, StartError, Target};
use whitebeam_supervisor::{
    Child, ChildFailed, DynamicSupervisor, Intensity, PartitionRef, PartitionSupervisor,
    Partitions, Restart, Shutdown, StartTree,
};

use crate::support::{
    EXPECTED, Event, Gate, Log, Msg, Plain, Setup, Tidy, end, everywhere, expect_panics, kind,
    simulated, stop, until,
};

/// `n` workers with their index as id.
fn workers(
    rt: &Handle,
    n: usize,
    make: impl Fn(Setup) -> Setup + Send + 'static,
    log: &Log,
) -> StartTree<PartitionRef<ChildRef<Msg>>> {
    let log = log.clone();
    PartitionSupervisor::new(Partitions::exactly(n), move |index| {
        Child::new::<Tidy>("worker", make(Setup::new(index as u64, &log)))
    })
    .start(rt)
}

#[test]
fn partitions_start_side_by_side() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let opened = gate.clone();
        let start = rt.spawn_task(workers(&rt, 5, move |setup| setup.init_at(&opened), &log));
        log.wait(5, |event| matches!(event, Event::Init(..))).await;
        gate.open();
        let sup = start.await.unwrap();
        assert_eq!(sup.len(), 5);
        let ids = join_all(sup.iter().map(|child| child.call(Msg::Who).into_future())).await;
        let ids: Vec<u64> = ids.into_iter().map(|who| who.unwrap().0).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_partition_that_does_not_start_takes_the_others_back() {
    expect_panics();
    let failures: [fn() -> ExitReason; 2] =
        [|| ExitReason::custom("no disk"), || panic!("{EXPECTED}")];
    for failure in failures {
        everywhere(|rt| async move {
            let log = Log::new();
            let error = workers(
                &rt,
                10,
                move |setup| {
                    if setup.id == 7 {
                        setup.init(move |_| async move { Err(failure()) })
                    } else {
                        setup
                    }
                },
                &log,
            )
            .await
            .unwrap_err();
            // It is told when the supervisor is gone with all children.
            assert_eq!(rt.processes().len(), 0);
            let started = log.count(|event| matches!(event, Event::Started(_)));
            assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), started);
            assert_eq!(log.count(|event| matches!(event, Event::Terminate(_))), started);
            assert!(!log.has(Event::Init(7, 2)), "it was not restarted");
            let StartError::Exit(reason) = &error else { panic!("{error:?}") };
            let failed = reason.downcast_ref::<ChildFailed>().unwrap();
            assert_eq!(failed.partition, 7);
            assert!(error.to_string().contains("partition 7 (`worker`)"), "{error}");
        });
    }
}

#[test]
fn a_failing_partition_does_not_wait_for_a_slow_one() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let make = move |setup: Setup| match setup.id {
            0 => setup.init_at(&never),
            _ => setup.init(|_| async { Err(ExitReason::custom("no")) }),
        };
        assert!(workers(&rt, 2, make, &log).await.is_err());
        assert_eq!(rt.processes().len(), 0);
    });
}

#[test]
fn a_stop_acts_while_partitions_are_starting() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let noted = log.clone();
        let sup = PartitionSupervisor::new(Partitions::exactly(3), move |index| {
            let setup = Setup::new(index as u64, &noted);
            let setup = if index == 2 { setup.init_at(&never) } else { setup };
            Child::new::<Tidy>("worker", setup)
        });
        let start = rt.spawn_task(sup.options(SpawnOptions::new().name("pool")).start(&rt));
        log.wait_for(Event::Started(0)).await;
        log.wait_for(Event::Started(1)).await;
        log.wait_for(Event::Init(2, 1)).await;
        let root = rt.whereis("pool").unwrap();
        rt.exit(root, ExitReason::Shutdown);
        assert!(matches!(start.await, Err(StartError::Exit(ExitReason::Shutdown))));
        assert_eq!(rt.processes().len(), 0);
        assert!(log.has(Event::Terminate(0)) && log.has(Event::Terminate(1)));
    });
}

#[test]
fn a_panic_in_what_makes_the_arguments_is_a_failed_start() {
    expect_panics();
    everywhere(|rt| async move {
        let log = Log::new();
        let noted = log.clone();
        let sup = PartitionSupervisor::new(Partitions::exactly(3), move |index| {
            let log = noted.clone();
            Child::from_fn::<Plain>("worker", move || {
                assert!(index != 1, "{EXPECTED}");
                Setup::new(index as u64, &log)
            })
        });
        let error = sup.start(&rt).await.unwrap_err();
        assert!(error.to_string().contains("partition 1 (`worker`)"), "{error}");
        assert_eq!(rt.processes().len(), 0);
    });
}

#[test]
fn only_the_partition_that_crashed_is_restarted() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = workers(&rt, 4, |setup| setup, &log).await.unwrap();
        let before: Vec<_> = sup.iter().map(|child| child.target().unwrap()).collect();
        rt.exit(sup.of(&2), ExitReason::Kill);
        log.wait_for(Event::Init(2, 2)).await;
        let (id, info) = sup.of(&2).call(Msg::Who).await.unwrap();
        assert_eq!((id, info.attempt), (2, 2));
        assert!(matches!(info.last_exit, Some(ExitReason::Killed)));
        let after: Vec<_> = sup.iter().map(|child| child.target().unwrap()).collect();
        for (index, (before, after)) in before.iter().zip(&after).enumerate() {
            assert_eq!(before == after, index != 2);
        }
    });
}

#[test]
fn restart_types_of_partitions() {
    everywhere(|rt| async move {
        let log = Log::new();
        let noted = log.clone();
        let sup = PartitionSupervisor::new(Partitions::exactly(3), move |index| {
            let setup = Setup::new(index as u64, &noted);
            match index {
                0 => Child::temporary::<Plain>("temporary", setup),
                1 => Child::new::<Plain>("transient", setup).restart(Restart::Transient),
                _ => Child::new::<Plain>("permanent", setup),
            }
        });
        let sup = sup.start(&rt).await.unwrap();
        for child in sup.iter() {
            child.cast(Msg::End(ExitReason::Shutdown)).unwrap();
        }
        log.wait_for(Event::Init(2, 2)).await;
        for index in 0..2 {
            let child = sup.of(&index);
            while !matches!(child.call(Msg::Who).await, Err(CallError::NoProc)) {
                rt.sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), 4);
    });
}

#[test]
fn too_many_crashes_end_the_supervisor_and_its_handles() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = workers(&rt, 2, |setup| setup, &log).await.unwrap();
        let down = rt.down(&sup);
        for attempt in 2..=4 {
            rt.exit(sup.of(&0), ExitReason::Kill);
            log.wait_for(Event::Init(0, attempt)).await;
        }
        rt.exit(sup.of(&0), ExitReason::Kill);
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert!(log.has(Event::Terminate(1)));
        for child in sup.iter() {
            assert!(matches!(child.call(Msg::Who).await, Err(CallError::NoProc)));
        }
    });
}

/// Kills the partition again and again, until it is not started again, but not for ever: how often it was.
async fn restarts_taken(rt: &Handle, root: impl Target, partition: impl Target) -> u32 {
    let root = root.target().unwrap();
    let down = rt.down(root);
    for restarts in 0..6 {
        let current = partition.target().unwrap();
        end(rt, current, ExitReason::Kill).await;
        let is_new = || partition.target().is_some_and(|new| new != current);
        until(rt, || is_new() || !rt.is_alive(root)).await;
        if !is_new() {
            assert_eq!(kind(&down.await.reason), "shutdown");
            return restarts;
        }
    }
    6
}

#[test]
fn as_many_restarts_are_taken_as_the_spec_says() {
    let one = Intensity::Limited { restarts: 1, period: Duration::from_secs(1000) };
    everywhere(|rt| async move {
        let log = Log::new();
        let workers = || {
            let noted = log.clone();
            PartitionSupervisor::new(Partitions::exactly(1), move |_| {
                Child::new::<Plain>("worker", Setup::new(1, &noted))
            })
        };
        let spec = workers().intensity(1, Duration::from_secs(1000));
        let sup = spec.start(&rt).await.unwrap();
        assert_eq!(restarts_taken(&rt, &sup, sup.of(&0)).await, 1);
        for (intensity, expected) in [(one, 1), (Intensity::Unlimited, 6)] {
            let sup = workers().with_intensity(intensity).start(&rt).await.unwrap();
            assert_eq!(restarts_taken(&rt, &sup, sup.of(&0)).await, expected);
            let tiers = DynamicSupervisor::<Plain>::new().partitions(Partitions::exactly(1));
            let tiers = tiers.with_intensity(intensity).start(&rt).await.unwrap();
            let below = tiers.partition(&0_u8);
            assert_eq!(restarts_taken(&rt, &tiers, &below).await, expected);
        }
    });
}

#[test]
fn a_crashed_supervisor_below_comes_back_empty_under_the_same_handle() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sups = DynamicSupervisor::<Plain>::new()
            .partitions(Partitions::exactly(2))
            .start(&rt)
            .await
            .unwrap();
        for id in 0..6 {
            sups.start_child(&id, Setup::new(id, &log)).await.unwrap();
        }
        let crashed = sups.partition(&0_u8);
        let first = crashed.target().unwrap();
        end(&rt, first, ExitReason::Kill).await;
        let child = loop {
            match crashed.start_child(Setup::new(8, &log)).await {
                Ok(child) => break child,
                Err(StartError::Restarting | StartError::Exit(_)) => {
                    rt.sleep(Duration::from_millis(1)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(child.call(Msg::Who).await.unwrap().0, 8);
        assert_eq!(crashed.count(), 1);
        assert_eq!(sups.partition(&1_u8).count(), 3, "the other partition was left alone");
        // The children of the old incarnation were told to shut down.
        for id in [0, 2, 4] {
            log.wait_for(Event::Dropped(id)).await;
        }
    });
}

#[test]
fn supervisors_nest_to_any_depth_and_handles_go_on_over_restarts_above() {
    everywhere(|rt| async move {
        let log = Log::new();
        let noted = log.clone();
        let tree = PartitionSupervisor::new(Partitions::exactly(2), move |_| {
            let log = noted.clone();
            Child::nested(
                "middle",
                PartitionSupervisor::new(Partitions::exactly(3), move |index| {
                    Child::new::<Tidy>("leaf", Setup::new(index as u64, &log))
                }),
            )
        });
        let tree = tree.start(&rt).await.unwrap();
        assert_eq!(rt.processes().len(), 1 + 2 + 6);
        let middle = tree.of(&1).clone();
        let leaf = middle.of(&2).clone();
        assert_eq!(leaf.call(Msg::Who).await.unwrap().0, 2);
        let first = leaf.target().unwrap();
        let down = rt.down(first);
        rt.exit(&middle, ExitReason::Kill);
        down.await;
        let (id, info) = loop {
            match leaf.call(Msg::Who).await {
                Ok(who) => break who,
                Err(CallError::Restarting | CallError::Exit(_)) => {
                    rt.sleep(Duration::from_millis(1)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!((id, info.attempt), (2, 1), "a first start under a new supervisor");
        stop(&rt, &tree).await;
        // Nobody waits for the children of the one that was killed.
        until(&rt, || rt.processes().is_empty()).await;
        assert!(matches!(leaf.call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

#[test]
fn handles_of_a_tree_that_is_not_started_say_so() {
    everywhere(|rt| async move {
        let log = Log::new();
        let tiers = DynamicSupervisor::<Plain>::temporary().partitions(Partitions::exactly(2));
        let child = Child::nested("tiers", tiers);
        let sups = child.handle().clone();
        assert_eq!((sups.len(), sups.count()), (0, 0));
        assert!(sups.target().is_none());
        let start = sups.start_child("key", Setup::new(1, &log)).await;
        assert!(matches!(start, Err(StartError::Restarting)));
        let start = sups.partition("key").start_child(Setup::new(1, &log)).await;
        assert!(matches!(start, Err(StartError::NoSupervisor)));

        let single = Child::nested("single", DynamicSupervisor::<Plain>::temporary());
        let start = single.handle().start_child(Setup::new(1, &log)).await;
        assert!(matches!(start, Err(StartError::Restarting)));
        let sup = single.handle().clone();
        drop(single);
        let start = sup.start_child(Setup::new(1, &log)).await;
        assert!(matches!(start, Err(StartError::NoSupervisor)), "it will never be started");

        let child = parking_lot::Mutex::new(Some(child));
        let tree = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            child.lock().take().expect("one partition")
        });
        tree.start(&rt).await.unwrap();
        assert_eq!(sups.len(), 2);
        sups.start_child("key", Setup::new(1, &log)).await.unwrap();
        assert_eq!(sups.partition("key").count(), 1);
    });
}

#[test]
#[should_panic(expected = "start the tree first")]
fn a_partition_of_a_tree_that_is_not_started_is_a_panic() {
    let tiers = PartitionSupervisor::new(Partitions::exactly(2), |_| {
        Child::nested("sup", DynamicSupervisor::<Plain>::temporary())
    });
    let _ = Child::nested("tiers", tiers).handle().of(&1);
}

#[test]
fn each_shutdown_kind_holds_where_they_are_mixed() {
    simulated(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let noted = log.clone();
        let sleeps = rt.clone();
        let sup = PartitionSupervisor::new(Partitions::exactly(6), move |index| {
            let (rt, never) = (sleeps.clone(), never.clone());
            let setup = Setup::new(index as u64, &noted).traps();
            let (setup, shutdown) = match index {
                0 => (setup, Shutdown::BrutalKill),
                1 => (setup.terminate(move |_| never.clone().passed()), Shutdown::After(ms(100))),
                2 => (setup.terminate(move |_| never.clone().passed()), Shutdown::After(ms(100))),
                3 => (setup.terminate(move |_| rt.sleep(ms(150))), Shutdown::After(ms(200))),
                4 => (setup.terminate(move |_| rt.sleep(ms(300))), Shutdown::Infinity),
                _ => (setup, Shutdown::Infinity),
            };
            Child::new::<Tidy>("worker", setup).shutdown(shutdown)
        });
        let sup = sup.start(&rt).await.unwrap();
        let ends: Vec<_> = sup.iter().map(|child| rt.down(child)).collect();
        let before = rt.uptime();
        stop(&rt, &sup).await;
        let took = rt.uptime() - before;
        assert!(took >= ms(300) && took < ms(330), "{took:?}");
        let reasons: Vec<_> =
            join_all(ends).await.into_iter().map(|down| kind(&down.reason)).collect();
        assert_eq!(reasons, ["killed", "killed", "killed", "shutdown", "shutdown", "shutdown"]);
        assert!(!log.has(Event::Terminate(0)), "a brutal kill leaves no time");
    });
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn partitions_stop_side_by_side() {
    simulated(|rt| async move {
        let log = Log::new();
        let handle = rt.clone();
        let make = move |setup: Setup| {
            let rt = handle.clone();
            setup.terminate(move |_| rt.sleep(ms(1000)))
        };
        let sup = workers(&rt, 20, make, &log).await.unwrap();
        let before = rt.uptime();
        stop(&rt, &sup).await;
        let took = rt.uptime() - before;
        assert!(took >= ms(1000) && took < ms(1050), "{took:?}");
    });
}

#[test]
fn a_lookup_asks_nobody() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = workers(&rt, 3, |setup| setup, &log).await.unwrap();
        let before = sup.info().unwrap().handled;
        for key in 0..1000 {
            assert_eq!(sup.of(&key).call(Msg::Who).await.unwrap().0, key % 3);
        }
        assert_eq!(sup.info().unwrap().handled, before);
    });
}

#[test]
fn names_of_partitions_are_theirs_and_a_taken_one_fails_the_start() {
    everywhere(|rt| async move {
        let log = Log::new();
        let named = |name: fn(usize) -> String| {
            let log = log.clone();
            PartitionSupervisor::new(Partitions::exactly(2), move |index| {
                Child::new::<Plain>("worker", Setup::new(index as u64, &log))
                    .options(SpawnOptions::new().name(name(index)))
            })
        };
        let error = named(|_| "same".to_owned()).start(&rt).await.unwrap_err();
        assert!(error.to_string().contains("the name belongs to"), "{error}");
        assert_eq!(rt.whereis("same"), None);
        let sup = named(|index| format!("db{index}")).start(&rt).await.unwrap();
        assert_eq!(rt.whereis("db1"), sup.of(&1).target());
        // A restarted partition has its name again.
        rt.exit(sup.of(&1), ExitReason::Kill);
        log.wait_for(Event::Init(1, 2)).await;
        assert_eq!(rt.whereis("db1"), sup.of(&1).target());
    });
}

/// Of the supervisors that are started by themselves, and of those below: these have their own options unless the
/// child's spec says otherwise.
#[test]
fn options_of_supervisors_are_in_force_at_each_depth() {
    everywhere(|rt| async move {
        let named = |name: &'static str| SpawnOptions::new().name(name);
        let dynamic = || DynamicSupervisor::<Plain>::new();
        let tiers = dynamic().partitions(Partitions::exactly(1)).options(named("tiers"));
        let tiers = tiers.start(&rt).await.unwrap();
        assert_eq!(rt.whereis("tiers"), tiers.target());

        let sups = PartitionSupervisor::new(Partitions::exactly(2), move |index| {
            let child = Child::nested("below", dynamic().options(named("own")));
            if index == 0 { child } else { child.options(named("replaced")) }
        });
        let sups = sups.options(named("root")).start(&rt).await.unwrap();
        assert_eq!(rt.whereis("root"), sups.target());
        assert_eq!(rt.whereis("own"), sups.of(&0).target());
        assert_eq!(rt.whereis("replaced"), sups.of(&1).target());
    });
}

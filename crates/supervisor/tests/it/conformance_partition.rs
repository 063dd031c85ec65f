//! The rules of Elixir's PartitionSupervisor, by the ids of `docs/conformance.md`.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use whitebeam_actor::{
    Actor, CallError, ChildRef, Context, ExitReason, Handle, Reply, SpawnOptions, StartError,
    Target,
};
use whitebeam_supervisor::{
    Child, ChildId, ChildKind, ChildState, DynamicRef, DynamicSupervisor, PartitionRef,
    PartitionSupervisor, Partitions, SpecError,
};

use crate::support::{
    Event, Log, Msg, Plain, Setup, Tidy, end, everywhere, kind, simulated, stop, threaded,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Dynamic supervisors in partitions.
async fn dynamic(rt: &Handle, partitions: Partitions) -> PartitionRef<DynamicRef<Plain>> {
    PartitionSupervisor::new(partitions, |_| {
        Child::nested("dynamic", DynamicSupervisor::<Plain>::temporary())
    })
    .start(rt)
    .await
    .unwrap()
}

/// Workers whose ids are their indexes.
async fn workers(rt: &Handle, n: usize, log: &Log) -> PartitionRef<ChildRef<Msg>> {
    let log = log.clone();
    PartitionSupervisor::new(Partitions::exactly(n), move |index| {
        Child::new::<Tidy>("worker", Setup::new(index as u64, &log))
    })
    .start(rt)
    .await
    .unwrap()
}

/// One partition for each worker thread; children by keys are each under one of them.
#[test]
fn part_002_one_per_worker_thread() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sups = dynamic(&rt, Partitions::per_worker()).await;
        assert_eq!(sups.len(), rt.workers());
        let mut children = HashSet::new();
        for key in 0..100 {
            let child = sups.of(&key).start_child(Setup::new(key, &log)).await.unwrap();
            assert_eq!(child.info().unwrap().parent, sups.of(&key).target());
            assert!(children.insert(child.pid()));
        }
        assert_eq!(sups.iter().map(DynamicRef::count).sum::<usize>(), 100);
        let parents: Vec<_> = sups.iter().map(Target::target).collect();
        let under = rt.processes().into_iter().filter(|info| parents.contains(&info.parent));
        assert_eq!(under.map(|info| info.pid).collect::<HashSet<_>>(), children);
    });
}

/// An integer key `k` goes to `|k| mod n`; children are made from their indexes.
#[test]
fn part_004_integer_keys() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = workers(&rt, 3, &log).await;
        let mut places = Vec::new();
        for key in [0, 1, 2, 3, -1] {
            places.push(sup.of(&key).call(Msg::Who).await.unwrap().0);
        }
        assert_eq!(places, [0, 1, 2, 0, 1]);
        assert_eq!(sup.of(&i64::MIN).call(Msg::Who).await.unwrap().0, 2, "2^63 mod 3");
    });
}

/// Zero partitions are an error before anything starts.
#[test]
fn part_005_bad_settings() {
    everywhere(|rt| async move {
        let log = Log::new();
        let noted = log.clone();
        let spec = PartitionSupervisor::new(Partitions::exactly(0), move |_| {
            Child::new::<Plain>("worker", Setup::new(0, &noted))
        });
        match spec.start(&rt).await {
            Err(StartError::Invalid(error)) => {
                assert_eq!(error.downcast_ref(), Some(&SpecError::ZeroPartitions));
            }
            other => panic!("{other:?}"),
        }
        assert!(log.all().is_empty());
        assert_eq!(rt.processes().len(), 0);
    });
}

/// When the stop is over all children are down, and the name is free.
#[test]
fn part_006_a_stop_is_synchronous() {
    everywhere(|rt| async move {
        let log = Log::new();
        let noted = log.clone();
        let spec = PartitionSupervisor::new(Partitions::exactly(4), move |index| {
            Child::new::<Tidy>("worker", Setup::new(index as u64, &noted))
        });
        let sup = spec.options(SpawnOptions::new().name("pool")).start(&rt).await.unwrap();
        assert_eq!(rt.whereis("pool"), sup.target());
        let children: Vec<_> = sup.iter().filter_map(ChildRef::current).collect();
        assert_eq!(children.len(), 4);
        stop(&rt, rt.whereis("pool").unwrap()).await;
        assert!(children.iter().all(|child| !child.is_alive()));
        assert_eq!(rt.whereis("pool"), None);
        assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), 4);
    });
}

/// The supervisor's list has an entry for each partition: its index, whom the index leads to, what it is, and its type. So
/// has the handle's.
#[test]
fn part_013_all_partitions() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = workers(&rt, 5, &log).await;
        let listed: Vec<_> = sup.iter().map(|child| child.target().unwrap()).collect();
        let children = sup.which_children().await.unwrap();
        assert_eq!((listed.len(), sup.len(), children.len()), (5, 5, 5));
        for (index, (pid, entry)) in listed.iter().zip(&children).enumerate() {
            assert_eq!(sup.of(&index).target(), Some(*pid));
            assert_eq!(rt.info(*pid).unwrap().parent, sup.target());
            assert_eq!(entry.id, ChildId::from(index));
            assert_eq!(entry.state, ChildState::Running(*pid));
            assert_eq!(entry.kind, ChildKind::Worker);
            assert_eq!(Some(entry.actor), rt.info(*pid).map(|info| info.actor));
        }
        assert_eq!(listed.iter().collect::<HashSet<_>>().len(), 5);

        let tiers = PartitionSupervisor::new(Partitions::exactly(2), |index| {
            Child::nested(index, DynamicSupervisor::<Plain>::temporary())
        });
        for (index, entry) in
            tiers.start(&rt).await.unwrap().which_children().await.unwrap().iter().enumerate()
        {
            assert_eq!((&entry.id, entry.kind), (&index.into(), ChildKind::Supervisor));
        }
    });
}

/// After a restart the key leads to the new process; meanwhile callers are told, and never hang.
#[test]
fn part_015_a_partition_crashes() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = workers(&rt, 2, &log).await;
        let child = sup.of(&1).clone();
        let first = child.target();
        let callers = (0..4).map(|_| {
            let child = child.clone();
            let rt = rt.clone();
            rt.clone().spawn_task(async move {
                loop {
                    match child.call(Msg::Who).await {
                        Ok((id, info)) if info.attempt == 2 => break id,
                        Ok(_) | Err(CallError::Restarting | CallError::Exit(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    rt.sleep(ms(1)).await;
                }
            })
        });
        let callers = join_all(callers.collect::<Vec<_>>());
        assert_eq!(kind(&end(&rt, &child, ExitReason::Kill).await), "killed");
        assert!(callers.await.iter().all(|id| *id == 1));
        assert_ne!(child.target(), first);
        assert_eq!(sup.of(&3).target(), child.target());
    });
}

/// Casts and calls to a key's partition reach it.
#[test]
fn part_017_cast_and_call_by_key() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = workers(&rt, 3, &log).await;
        for key in 0..9 {
            assert_eq!(sup.of(&key).call(Msg::Who).await.unwrap().0, key % 3);
        }
        sup.of(&4).cast(Msg::End(ExitReason::Normal)).unwrap();
        log.wait_for(Event::Init(1, 2)).await;
        assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), 1);
    });
}

/// Five starts with an `init` of 200 ms, by five keys or by one.
async fn five_starts(rt: Handle, serial: bool, key: fn(u64) -> u64) -> Duration {
    let log = Log::new();
    let sups = PartitionSupervisor::new(Partitions::exactly(5), move |_| {
        let spec = DynamicSupervisor::<Plain>::temporary();
        Child::nested("dynamic", if serial { spec.serial_starts() } else { spec })
    });
    let sups = sups.start(&rt).await.unwrap();
    let before = rt.uptime();
    let starts = (0..5).map(|id| {
        let rt = rt.clone();
        let setup = Setup::new(id, &log).init(move |_| {
            let sleep = rt.sleep(ms(200));
            async {
                sleep.await;
                Ok(())
            }
        });
        sups.of(&key(id)).start_child(setup)
    });
    assert!(join_all(starts).await.iter().all(Result::is_ok));
    rt.uptime() - before
}

/// Slow starts in different partitions do not wait for each other, serial or not.
#[test]
fn part_018_slow_starts_in_different_partitions() {
    everywhere(|rt| async move {
        for serial in [false, true] {
            let took = five_starts(rt.clone(), serial, |id| id).await;
            assert!(took >= ms(200) && took < ms(800), "{took:?} with serial starts {serial}");
        }
    });
}

/// Slow starts in one partition wait for each other where serial starts are asked for.
#[test]
fn part_019_slow_starts_in_one_partition() {
    everywhere(|rt| async move {
        let took = five_starts(rt.clone(), true, |_| 3).await;
        assert!(took >= ms(1000) && took < ms(4000), "{took:?} with serial starts");
        let took = five_starts(rt, false, |_| 3).await;
        assert!(took >= ms(200) && took < ms(800), "{took:?}");
    });
}

/// Asks the partition of its own pid.
struct Caller(PartitionRef<ChildRef<Msg>>);

impl Actor for Caller {
    type Args = PartitionRef<ChildRef<Msg>>;
    type Msg = Reply<Result<u64, CallError>>;

    async fn init(sup: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Caller(sup))
    }

    async fn handle(&mut self, reply: Self::Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let who = self.0.of(&cx.pid()).call(Msg::Who).await;
        reply.send(who.map(|(id, _)| id));
        Ok(())
    }
}

/// A caller's own pid as key leads it to the same partition each time, and callers spread over them.
#[test]
fn part_020_pids_as_keys() {
    threaded(|rt| async move {
        let log = Log::new();
        let sup = workers(&rt, 8, &log).await;
        let mut used = HashSet::new();
        for _ in 0..100 {
            let caller = rt.spawn::<Caller>(sup.clone());
            let first = caller.call(|reply| reply).await.unwrap().unwrap();
            for _ in 0..5 {
                assert_eq!(caller.call(|reply| reply).await.unwrap().unwrap(), first);
            }
            used.insert(first);
        }
        assert_eq!(used.len(), 8, "{used:?}");
    });
}

/// Partitions and their children stop side by side: in the time of one.
#[test]
fn part_021_parallel_stop() {
    simulated(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::<Tidy>::temporary().partitions(Partitions::exactly(16));
        let sups = spec.start(&rt).await.unwrap();
        for key in 0..64 {
            let handle = rt.clone();
            let setup = Setup::new(key, &log).terminate(move |_| handle.sleep(ms(1000)));
            sups.start_child(&key, setup).await.unwrap();
        }
        let before = rt.uptime();
        stop(&rt, &sups).await;
        let took = rt.uptime() - before;
        assert!(took >= ms(1000) && took < ms(1100), "{took:?}");
        assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), 64);
    });
}

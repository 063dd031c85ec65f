//! Resizes that meet starts, ends, stops and failures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use whitebeam_actor::{ChildRef, ExitReason, Handle, SendFailure, Target};
use whitebeam_supervisor::{
    Child, ChildError, PartitionRef, PartitionSupervisor, Partitions, ResizeError, Shutdown,
    StartTree, Supervisor,
};

use crate::support::{
    Event, Gate, Log, Msg, Setup, Tidy, end, everywhere, kind, simulated, stop, until,
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
            .shutdown(Shutdown::After(Duration::from_millis(100)))
    })
    .start(rt)
}

/// Those that are too many are told all at once, killed when their time is over, and lead to nobody then; a child that
/// is started again is in its first start.
#[test]
fn those_that_are_too_many_are_stopped_in_the_time_of_one() {
    simulated(|rt| async move {
        let log = Log::new();
        let hangs = |setup: Setup| setup.terminate(|_| std::future::pending());
        let pool = workers(&rt, 6, hangs, &log).await.unwrap();
        let last = pool.of(&5).clone();
        let downs: Vec<_> = (1..6).map(|key| rt.down(pool.of(&key))).collect();
        let begun = rt.uptime();
        pool.resize(1).await.unwrap();
        let took = rt.uptime() - begun;
        assert!(
            took >= Duration::from_millis(100) && took < Duration::from_millis(130),
            "{took:?}"
        );
        for down in downs {
            assert_eq!(kind(&down.await.reason), "killed");
        }
        assert!(matches!(last.cast(Msg::Exit).unwrap_err().why(), SendFailure::NoProc));
        pool.resize(6).await.unwrap();
        let (id, info) = last.call(Msg::Who).await.unwrap();
        assert_eq!((id, info.attempt), (5, 1), "it is a first start");
        assert!(info.last_exit.is_none());
    });
}

/// A partition that does not start leaves all as it was, and the next try may do better.
#[test]
fn a_partition_that_does_not_start_takes_those_with_it_back() {
    everywhere(|rt| async move {
        let (log, fails) = (Log::new(), Arc::new(AtomicBool::new(false)));
        let looked = fails.clone();
        let make = move |setup: Setup| match setup.id {
            2 => {
                let fails = looked.clone();
                setup.init(move |_| {
                    let fails = fails.load(Ordering::SeqCst);
                    async move { if fails { Err(ExitReason::custom("no disk")) } else { Ok(()) } }
                })
            }
            _ => setup,
        };
        let pool = workers(&rt, 4, make, &log).await.unwrap();
        pool.resize(1).await.unwrap();
        fails.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            match pool.resize(4).await {
                Err(ResizeError::Start(failed)) => assert_eq!(failed.partition, 2),
                other => panic!("{other:?}"),
            }
            assert_eq!((pool.len(), pool.count_children().await.unwrap().active), (1, 1));
        }
        fails.store(false, Ordering::SeqCst);
        assert_eq!(pool.resize(4).await.unwrap(), 1);
        assert_eq!(pool.count_children().await.unwrap().active, 4);
        assert!(pool.iter().all(ChildRef::is_alive));
    });
}

/// A partition that was stopped is not restarted; one that stays still is, also after a resize.
#[test]
fn restarts_go_on_for_those_that_stay() {
    everywhere(|rt| async move {
        let log = Log::new();
        let pool = workers(&rt, 3, |setup| setup, &log).await.unwrap();
        pool.resize(2).await.unwrap();
        end(&rt, pool.of(&1), ExitReason::Kill).await;
        log.wait_for(Event::Init(1, 2)).await;
        until(&rt, || pool.of(&1).is_alive()).await;
        assert!(!log.has(Event::Init(2, 2)));
        // Right behind a crash: it is told whether it runs again by then or not.
        let crashing = pool.of(&1).clone();
        rt.exit(&crashing, ExitReason::Kill);
        pool.resize(1).await.unwrap();
        assert!(!crashing.is_alive());
        assert_eq!(pool.count_children().await.unwrap().active, 1);
        pool.resize(3).await.unwrap();
        assert_eq!(crashing.call(Msg::Who).await.unwrap().1.attempt, 1);
    });
}

/// What is asked for while the supervisor starts waits for that.
#[test]
fn a_resize_waits_for_the_start() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let (noted, opened) = (log.clone(), gate.clone());
        let spec = PartitionSupervisor::new(Partitions::exactly(3), move |index| {
            let setup = Setup::new(index as u64, &noted).init_at(&opened);
            Child::new::<Tidy>("worker", setup)
        });
        let mut tree = Supervisor::one_for_one();
        let pool = tree.nest("pool", spec);
        let before = pool.resize(1).await;
        assert!(matches!(before, Err(ResizeError::Supervisor(ChildError::Restarting))));
        let start = rt.spawn_task(tree.start(&rt));
        log.wait(3, |event| matches!(event, Event::Init(..))).await;
        let resize = rt.spawn_task({
            let pool = pool.clone();
            async move { pool.resize(1).await }
        });
        assert_eq!(pool.count_children().await.unwrap().specs, 3);
        gate.open();
        let _root = start.await.unwrap();
        assert_eq!(resize.await.unwrap(), 3);
        assert_eq!(pool.len(), 1);
        // A restart of the supervisor brings all of them back.
        let old = pool.target().unwrap();
        end(&rt, &pool, ExitReason::Kill).await;
        until(&rt, || pool.target().is_some_and(|pid| pid != old)).await;
        until(&rt, || pool.len() == 3).await;
        assert_eq!(pool.resize(3).await.unwrap(), 3);
        assert_eq!(pool.count_children().await.unwrap().active, 3);
    });
}

/// A stop acts while a resize waits; who has asked is told.
#[test]
fn a_stop_acts_during_a_resize() {
    everywhere(|rt| async move {
        let log = Log::new();
        let never = Gate::new();
        let make = move |setup: Setup| match setup.id {
            1 => {
                let never = never.clone();
                let again = Arc::new(AtomicBool::new(false));
                setup.init(move |_| {
                    let waits = again.swap(true, Ordering::SeqCst);
                    let never = never.clone();
                    async move {
                        if waits {
                            never.passed().await;
                        }
                        Ok(())
                    }
                })
            }
            _ => setup,
        };
        let pool = workers(&rt, 2, make, &log).await.unwrap();
        pool.resize(1).await.unwrap();
        let resize = rt.spawn_task({
            let pool = pool.clone();
            async move { pool.resize(2).await }
        });
        log.wait(2, |event| event == Event::Init(1, 1)).await;
        assert_eq!(pool.len(), 1, "keys do not lead to what has not started");
        stop(&rt, &pool).await;
        match resize.await {
            Err(ResizeError::Supervisor(ChildError::Exit(reason))) => {
                assert_eq!(kind(&reason), "shutdown");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(rt.processes().len(), 0);
    });
}

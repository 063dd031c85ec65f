//! Starts under a dynamic supervisor: who is answered, when, and what counts.

use std::time::Duration;

use futures_util::future::{join_all, poll_immediate};
use whitebeam_actor::{ExitReason, Overflow, Runtime, SendFailure, SpawnOptions, StartError};
use whitebeam_supervisor::{Child, ChildError, DynamicSupervisor, PartitionSupervisor, Partitions};

use crate::support::{Event, Gate, Log, Msg, Plain, Setup, everywhere, stop, threaded, told};

#[test]
fn a_child_is_started_counted_and_counted_off() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        assert_eq!(sup.count(), 0);
        let child = sup.start_child(Setup::new(7, &log)).await.unwrap();
        assert_eq!(child.call(Msg::Who).await.unwrap().0, 7);
        assert_eq!(sup.count(), 1);
        assert_eq!(child.info().unwrap().parent, whitebeam_actor::Target::target(&sup));

        assert!(told(&rt, &child, Msg::End(ExitReason::Normal)).await.is_normal());
        // It answers when it has seen the end of the child: just now, or before it was asked.
        let ended = sup.terminate_child(&child).await;
        assert!(matches!(ended, Ok(()) | Err(ChildError::NotFound)));
        assert_eq!(sup.count(), 0);
    });
}

#[test]
fn a_slow_init_holds_up_nobody_else() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let slow = sup.start_child(Setup::new(1, &log).init_at(&gate));
        log.wait_for(Event::Init(1, 1)).await;
        let quick = sup.start_child(Setup::new(2, &log)).await.unwrap();
        assert_eq!(quick.call(Msg::Who).await.unwrap().0, 2);
        assert!(!log.has(Event::Started(1)));
        assert_eq!(sup.count(), 2, "a child that is starting counts");
        gate.open();
        assert_eq!(slow.await.unwrap().call(Msg::Who).await.unwrap().0, 1);
    });
}

#[test]
fn starts_that_are_under_way_count_in_max_children() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary().max_children(2).start(&rt).await.unwrap();
        let _first = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let second = sup.start_child(Setup::new(2, &log).init_at(&gate));
        log.wait_for(Event::Init(2, 1)).await;
        let third = sup.start_child(Setup::new(3, &log)).await;
        assert!(matches!(third, Err(StartError::MaxChildren)));
        gate.open();
        let second = second.await.unwrap();
        sup.terminate_child(&second).await.unwrap();
        sup.start_child(Setup::new(4, &log)).await.unwrap();
        assert_eq!(log.count(|event| matches!(event, Event::Init(3, _))), 0);
    });
}

#[test]
fn a_start_that_fails_frees_its_place() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().max_children(1).start(&rt).await.unwrap();
        for _ in 0..10 {
            let failing = Setup::new(1, &log).init(|_| async { Err(ExitReason::custom("no")) });
            let error = sup.start_child(failing).await.unwrap_err();
            assert!(matches!(error, StartError::Exit(ExitReason::Custom(_))));
        }
        let ignored = Setup::new(2, &log).init(|_| async { Err(ExitReason::Ignore) });
        assert!(matches!(sup.start_child(ignored).await, Err(StartError::Ignore)));
        sup.start_child(Setup::new(3, &log)).await.unwrap();
        assert_eq!(log.count(|event| matches!(event, Event::Init(1, _))), 10, "none was restarted");
    });
}

#[test]
fn many_starts_in_one_go_are_answered_in_order() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup =
            DynamicSupervisor::<Plain>::temporary().max_children(600).start(&rt).await.unwrap();
        let started = sup.start_children((0..700).map(|id| Setup::new(id, &log))).await;
        assert_eq!(started.len(), 700);
        for (id, child) in (0..).zip(&started[..600]) {
            assert_eq!(child.as_ref().unwrap().call(Msg::Who).await.unwrap().0, id);
        }
        let refused = |child: &Result<_, _>| matches!(child, Err(StartError::MaxChildren));
        assert!(started[600..].iter().all(refused));
        assert_eq!(sup.count(), 600);
    });
}

#[test]
fn children_of_a_dropped_start_run() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        drop(sup.start_children([Setup::new(1, &log)]));
        log.wait_for(Event::Started(1)).await;
        let second = sup.start_child(Setup::new(2, &log).init_at(&gate));
        log.wait_for(Event::Init(2, 1)).await;
        drop(second);
        gate.open();
        log.wait_for(Event::Started(2)).await;
        assert_eq!(sup.count(), 2);
    });
}

#[test]
fn who_asks_a_supervisor_that_has_ended_is_told() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        stop(&rt, &sup).await;
        assert!(!child.is_alive());
        assert!(matches!(
            sup.start_child(Setup::new(2, &log)).await,
            Err(StartError::NoSupervisor)
        ));
        let many = sup.start_children((3..5).map(|id| Setup::new(id, &log))).await;
        assert!(many.iter().all(|start| matches!(start, Err(StartError::NoSupervisor))));
        assert!(matches!(sup.terminate_child(&child).await, Err(ChildError::NoSupervisor)));
        assert_eq!(sup.count(), 0);
        assert!(sup.info().is_none());
    });
}

#[test]
fn nothing_starts_while_the_runtime_shuts_down() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let report = rt.shutdown(Duration::from_secs(5)).await;
        assert!(report.is_clean(), "{report}");
        assert!(sup.start_child(Setup::new(1, &log)).await.is_err());
        let another = DynamicSupervisor::<Plain>::temporary().start(&rt).await;
        assert!(matches!(another, Err(StartError::ShuttingDown)));
    });
}

#[test]
fn a_name_has_one_supervisor() {
    everywhere(|rt| async move {
        let named =
            || DynamicSupervisor::<Plain>::temporary().options(SpawnOptions::new().name("shapes"));
        let sup = named().start(&rt).await.unwrap();
        let pid = whitebeam_actor::Target::target(&sup).unwrap();
        let error = named().start(&rt).await.unwrap_err();
        assert!(matches!(error, StartError::NameTaken(owner) if owner == pid), "{error}");
        assert_eq!(rt.whereis("shapes"), Some(pid));
        stop(&rt, &sup).await;
        named().start(&rt).await.unwrap();
    });
}

#[test]
fn callers_on_all_workers_get_a_child_each() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let callers = (0..8_u64).map(|caller| {
            let (sup, log) = (sup.clone(), log.clone());
            rt.spawn_task(async move {
                for n in 0..50 {
                    let id = caller * 50 + n;
                    let child = sup.start_child(Setup::new(id, &log)).await.unwrap();
                    assert_eq!(child.call(Msg::Who).await.unwrap().0, id);
                }
            })
        });
        join_all(callers.collect::<Vec<_>>()).await;
        assert_eq!(sup.count(), 400);
    });
}

/// Whoever is told that a child has started, or that it was stopped, finds it counted, or counted off.
#[test]
fn the_count_is_never_behind_what_was_answered() {
    threaded(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        for _ in 0..20 {
            let mut children = Vec::new();
            for id in 0..100 {
                children.push(sup.start_child(Setup::new(id, &log)).await.unwrap());
                assert_eq!(sup.count(), children.len(), "started");
            }
            while let Some(child) = children.pop() {
                sup.terminate_child(&child).await.unwrap();
                assert_eq!(sup.count(), children.len(), "stopped");
            }
        }
    });
}

/// A supervisor whose own mailbox is bounded: who asks too much at once is told so.
#[test]
fn a_supervisor_with_a_full_mailbox_says_so() {
    let rt = Runtime::simulated(1).unwrap();
    rt.block_on(async {
        for overflow in [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest] {
            let log = Log::new();
            let one = SpawnOptions::new().bounded(1, overflow);
            let sup = DynamicSupervisor::<Plain>::temporary().options(one);
            let sup = sup.start(&rt).await.unwrap();
            // It has not run since: the first one fills the mailbox.
            let starts = [1, 2, 3].map(|id| sup.start_child(Setup::new(id, &log)));
            let many = sup.start_children([Setup::new(4, &log)]);
            let started = join_all(starts).await;
            let many = many.await;
            let is_oldest = overflow == Overflow::DropOldest;
            for (id, started) in started.iter().chain(&many).enumerate() {
                let has_room = id == if is_oldest { 3 } else { 0 };
                assert_eq!(started.is_ok(), has_room, "{id} with {overflow:?}");
                assert!(has_room || matches!(started, Err(StartError::Full)), "{started:?}");
            }
            assert_eq!(sup.count(), 1);
        }
    });
}

#[test]
fn children_are_bounded_by_their_specs() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let setup = Setup::new(1, &log);
        let partitions = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            let one = SpawnOptions::new().bounded(1, Overflow::Reject);
            Child::new::<Plain>("only", setup.clone()).options(one)
        });
        let sup = partitions.start(&rt).await.unwrap();
        let child = sup.of(&0_u32).clone();
        child.call(Msg::Who).await.unwrap();
        child.cast(Msg::Wait(gate.clone())).unwrap();
        while child.info().unwrap().mailbox_len > 0 {
            rt.sleep(Duration::from_millis(1)).await;
        }
        child.cast(Msg::Exit).unwrap();
        assert_eq!(child.cast(Msg::Exit).unwrap_err().why(), SendFailure::Full);
        let mut waits = child.cast_wait(Msg::Exit);
        assert!(poll_immediate(&mut waits).await.is_none());
        // An incarnation that ends gives it back: between two there is nobody.
        rt.exit(&child, ExitReason::Kill);
        assert_eq!(waits.await.unwrap_err().why(), SendFailure::Restarting);
        while child.current().is_none() {
            rt.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(child.info().unwrap().mailbox_bound, Some(1), "the next one as well");
    });
}

//! Trees of supervisors, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{CallError, ChildRef, ExitReason, Handle, Pid, SpawnOptions, StartError};
use whitebeam_supervisor::{
    Child, ChildError, ChildState, DynamicRef, DynamicSupervisor, FailedToStart,
    PartitionSupervisor, Partitions, Restart, Supervisor, SupervisorRef,
};

use crate::{
    support::{Log, Msg, Plain, Setup, end, kind, stop, told},
    tree::{
        Come, Starts, child, child_of, counts, current, everywhere, inits_and_ends, pid, renewed,
        starts, until_state, with_children,
    },
};

fn crash() -> Msg {
    Msg::End(ExitReason::custom("crash"))
}

/// The tree of OTP's tests: one_for_all over three supervisors.
struct Tree {
    root: SupervisorRef,
    /// With two workers in its spec, 1 and 2.
    fixed: SupervisorRef,
    workers: Vec<ChildRef<Msg>>,
    /// With workers that were added.
    added: SupervisorRef,
    /// Transient, and terminated.
    idle: SupervisorRef,
}

async fn tree(rt: &Handle, log: &Log) -> Tree {
    let mut tree = Supervisor::one_for_all();
    let limit = |tree: Supervisor| tree.intensity(1, Duration::from_secs(5));
    let (inner, workers) = with_children(limit(Supervisor::one_for_one()), 2, log);
    let fixed = tree.nest("fixed", inner);
    let added = tree.nest("added", limit(Supervisor::one_for_one()));
    let mut inner = limit(Supervisor::one_for_one());
    inner.child_with(child(9, log));
    let idle = tree.child_with(Child::nested("idle", inner).restart(Restart::Transient));
    let root = tree.start(rt).await.unwrap();
    root.terminate_child(&idle).await.unwrap();
    Tree { root, fixed, workers, added, idle }
}

/// A supervisor counts its own children, not theirs.
#[test]
fn sup_067_counts_of_a_tree() {
    everywhere(|rt| async move {
        let log = Log::new();
        let tree = tree(&rt, &log).await;
        tree.added.start_child(child(3, &log)).await.unwrap();
        assert_eq!(counts(&tree.root).await, (3, 2, 3, 0));
        assert_eq!(counts(&tree.fixed).await, (2, 2, 0, 2));
        assert_eq!(counts(&tree.added).await, (1, 1, 0, 1));
        assert!(matches!(tree.idle.count_children().await, Err(ChildError::NoSupervisor)));
    });
}

/// A worker that was added is restarted alone.
#[test]
fn sup_068_a_crash_in_a_tree() {
    everywhere(|rt| async move {
        let log = Log::new();
        let tree = tree(&rt, &log).await;
        let third = tree.added.start_child(child(3, &log)).await.unwrap();
        let fourth = tree.added.start_child(child(4, &log)).await.unwrap();
        let others = [pid(&tree.fixed), pid(&tree.added), pid(&fourth), pid(&tree.workers[0])];
        let before = pid(&third);
        told(&rt, &current(&third), crash()).await;
        renewed(&rt, &tree.added, 3, before).await;
        let now = [pid(&tree.fixed), pid(&tree.added), pid(&fourth), pid(&tree.workers[0])];
        assert_eq!(now, others);
    });
}

/// One that exceeds its limit has the whole tree started anew, as its specs say: what was added is gone, what was
/// terminated runs.
#[test]
fn sup_069_a_tree_is_started_anew() {
    everywhere(|rt| async move {
        let log = Log::new();
        let tree = tree(&rt, &log).await;
        let added = tree.added.start_child(child(3, &log)).await.unwrap();
        let old = [pid(&tree.fixed), pid(&tree.added)];
        for _ in 0..2 {
            let before = tree.workers[0].current().unwrap();
            told(&rt, &before, crash()).await;
            crate::support::until(&rt, || {
                tree.workers[0].current().is_some_and(|now| now != before)
            })
            .await;
        }
        crate::support::until(&rt, || starts(&log, 9) == 2).await;
        until_running(&rt, &tree.root, &["fixed", "added", "idle"]).await;
        assert_eq!(counts(&tree.root).await, (3, 3, 3, 0));
        assert!(pid(&tree.fixed) != old[0] && pid(&tree.added) != old[1]);
        assert_eq!(counts(&tree.fixed).await, (2, 2, 0, 2));
        assert_eq!(counts(&tree.added).await, (0, 0, 0, 0));
        assert_eq!(counts(&tree.idle).await, (1, 1, 0, 1));
        // Addresses of what is in a spec go on; the others are gone.
        assert!(tree.workers.iter().all(ChildRef::is_alive));
        assert!(matches!(added.call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

async fn until_running(rt: &Handle, root: &SupervisorRef, ids: &[&str]) {
    crate::tree::until(rt, root, |children| {
        ids.iter().all(|id| {
            children.iter().any(|entry| {
                entry.id == (*id).into() && entry.state.pid().is_some_and(|pid| rt.is_alive(pid))
            })
        })
    })
    .await;
}

/// Names in the middle of a tree and at its leaves are held by the new processes after a restart, and free after the end.
/// (Names of one runtime: there are no nodes.)
#[test]
fn sup_078_names_in_a_tree() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut inner = Supervisor::one_for_one().options(SpawnOptions::new().name("middle"));
        inner.child_with(child(1, &log).options(SpawnOptions::new().name("worker")));
        let mut tree = Supervisor::one_for_all().intensity(100, Duration::from_secs(5));
        tree.nest("middle", inner);
        let root = tree.start(&rt).await.unwrap();
        let both = || (rt.whereis("middle"), rt.whereis("worker"));
        let are_new = |old: (Option<Pid>, Option<Pid>)| {
            let (middle, worker) = both();
            middle.is_some() && middle != old.0 && worker.is_some() && worker != old.1
        };

        let old = both();
        end(&rt, old.0.unwrap(), ExitReason::Kill).await;
        crate::support::until(&rt, || are_new(old)).await;

        let old = both();
        end(&rt, old.1.unwrap(), ExitReason::Kill).await;
        crate::support::until(&rt, || rt.whereis("worker").is_some_and(|new| Some(new) != old.1))
            .await;
        assert_eq!(rt.whereis("middle"), old.0);

        let old = both();
        rt.stop(old.0.unwrap(), ExitReason::Normal).await.unwrap();
        crate::support::until(&rt, || are_new(old)).await;

        until_running(&rt, &root, &["middle"]).await;
        let old = both();
        root.terminate_child("middle").await.unwrap();
        assert_eq!(both(), (None, None));
        root.restart_child("middle").await.unwrap();
        assert!(are_new(old));

        end(&rt, &root, ExitReason::Kill).await;
        crate::support::until(&rt, || both() == (None, None)).await;
    });
}

/// Each kind of supervisor under each, some levels deep: started in order, found by their handles, stopped in reverse.
#[test]
fn supervisors_of_all_kinds_nest() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut leaf = Supervisor::one_for_one();
        let deep = leaf.child_with(child(3, &log));
        let mut middle = Supervisor::rest_for_one();
        middle.child_with(child(2, &log));
        let leaf = middle.nest("leaf", leaf);
        let mut tree = Supervisor::one_for_all();
        tree.child_with(child(1, &log));
        tree.nest("middle", middle);
        let dynamic: DynamicRef<Plain> = tree.nest("dynamic", DynamicSupervisor::temporary());
        let tiers = DynamicSupervisor::<Plain>::temporary().partitions(Partitions::exactly(2));
        let tiers = tree.nest("tiers", tiers);
        let noted = log.clone();
        let each = move |index: usize| {
            let mut tree = Supervisor::one_for_one();
            tree.child_with(child(10 + index as u64, &noted));
            Child::nested("each", tree)
        };
        let parts = tree.nest("parts", PartitionSupervisor::new(Partitions::exactly(2), each));
        let before = leaf.start_child(child(7, &log)).await;
        assert!(matches!(before, Err(StartError::Restarting)), "{before:?}");
        let root = tree.start(&rt).await.unwrap();
        dynamic.start_child(Setup::new(20, &log)).await.unwrap();
        tiers.start_child(&7, Setup::new(21, &log)).await.unwrap();
        assert_eq!(deep.call(Msg::Who).await.unwrap().0, 3);
        assert_eq!(counts(parts.of(&1)).await, (1, 1, 0, 1));
        leaf.start_child(child(4, &log)).await.unwrap();
        assert_eq!(counts(&leaf).await, (2, 2, 0, 2));
        assert_eq!(counts(&root).await, (5, 5, 4, 1));
        stop(&rt, &root).await;
        let ends = inits_and_ends(&log);
        let order: Vec<u64> = ends.iter().filter(|(what, _)| *what == '-').map(|e| e.1).collect();
        let place = |id: u64| order.iter().position(|other| *other == id).unwrap();
        assert!(place(10) < place(21) && place(21) < place(20) && place(20) < place(4));
        assert_eq!(order[order.len() - 4..], [4, 3, 2, 1]);
        assert_eq!(rt.processes().len(), 0);
    });
}

/// A nested supervisor whose children do not start again has not started: its supervisor tries again, and knows why.
#[test]
fn a_nested_supervisor_has_started_when_its_children_have() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good, Come::Failed, Come::Failed, Come::Good]);
        let mut inner = Supervisor::one_for_one().intensity(0, Duration::from_secs(1));
        let worker = inner.child_with(child_of(Setup::new(1, &log).init(come.come())));
        let mut tree = Supervisor::one_for_one();
        let inner = tree.nest("inner", inner);
        let root = tree.start(&rt).await.unwrap();
        let first = pid(&inner);
        told(&rt, &current(&worker), crash()).await;
        crate::support::until(&rt, || starts(&log, 1) == 4).await;
        until_running(&rt, &root, &["inner"]).await;
        assert_ne!(pid(&inner), first);
        assert!(worker.is_alive());
        // Three of three restarts were taken: one crash and two tries.
        let down = rt.down(&root);
        told(&rt, &current(&worker), crash()).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// A supervisor that does not start as an added child leaves nothing, and says what was wrong below it.
#[test]
fn an_added_supervisor_that_fails_leaves_nothing() {
    everywhere(|rt| async move {
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let mut inner = Supervisor::one_for_one();
        inner.child_with(child(1, &log));
        inner.child_with(child_of(Setup::new(2, &log).init(Starts::new([Come::Failed]).come())));
        let error = root.start_child(Child::nested("inner", inner)).await.unwrap_err();
        let StartError::Exit(reason) = error else { panic!("{error:?}") };
        let failed: &FailedToStart = reason.downcast_ref().unwrap();
        assert_eq!(
            (failed.id.to_string(), failed.cause().unwrap().id.to_string()),
            ("inner".into(), "2".into())
        );
        assert_eq!(counts(&root).await, (0, 0, 0, 0));
        assert_eq!(rt.processes().len(), 1);
    });
}

/// A child's address goes on over restarts of the child and of supervisors above it, and ends with its spec.
#[test]
fn an_address_waits_for_the_supervisor_above_one_that_has_given_up() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut inner = Supervisor::one_for_one().intensity(1, Duration::from_secs(5));
        let worker = inner.child_with(child(1, &log));
        let mut tree = Supervisor::one_for_one();
        let _inner = tree.nest("inner", inner);
        let root = tree.start(&rt).await.unwrap();
        for _ in 0..4 {
            let before = pid(&worker);
            rt.exit(before, ExitReason::Kill);
            while worker.current().is_none_or(|now| now.pid() == before) {
                match worker.call(Msg::Who).await {
                    Ok(_) | Err(CallError::Exit(_)) => {}
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
                rt.sleep(Duration::from_micros(10)).await;
            }
        }
        stop(&rt, &root).await;
    });
}

#[test]
fn addresses_go_on_over_restarts_above() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut inner = Supervisor::one_for_one().intensity(1, Duration::from_secs(5));
        let worker = inner.child_with(child(1, &log));
        let mut middle = Supervisor::one_for_one();
        let inner = middle.nest("inner", inner);
        let mut tree = Supervisor::one_for_one();
        let middle = tree.nest("middle", middle);
        assert!(matches!(worker.call(Msg::Who).await, Err(CallError::Restarting)));
        let root = tree.start(&rt).await.unwrap();
        for above in 0..3 {
            let above = [pid(&inner), pid(&middle), pid(&worker)][above];
            let before = current(&worker);
            end(&rt, above, ExitReason::Kill).await;
            crate::support::until(&rt, || worker.current().is_some_and(|now| now != before)).await;
            assert_eq!(worker.call(Msg::Who).await.unwrap().0, 1);
        }
        until_running(&rt, &root, &["middle"]).await;
        root.terminate_child(&middle).await.unwrap();
        // The whole branch waits for nobody.
        assert!(matches!(worker.call(Msg::Who).await, Err(CallError::NoProc)));
        assert!(matches!(inner.count_children().await, Err(ChildError::NoSupervisor)));
        root.restart_child(&middle).await.unwrap();
        assert_eq!(worker.call(Msg::Who).await.unwrap().0, 1);
        until_state(&rt, &inner, 1, ChildState::Running(pid(&worker))).await;
        stop(&rt, &root).await;
        assert!(matches!(worker.call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

//! Starts of static supervisors, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{
    Actor, CallError, Context, ExitReason, Reply, SpawnOptions, StartError, Target,
};
use whitebeam_supervisor::{
    Child, ChildError, ChildState, FailedToStart, Restart, Supervisor, SupervisorRef,
};

use crate::{
    support::{Event, Log, Msg, Plain, Setup, end, expect_panics, kind, stop, told},
    tree::{
        Come, Starts, child, child_of, counts, everywhere, ids, inits_and_ends, pid_in, starts,
        state_in, until_dropped, with_children,
    },
};

/// Starts a tree linked to itself, and tells of it.
struct Starter(SupervisorRef);

impl Actor for Starter {
    type Args = Log;
    type Msg = Reply<SupervisorRef>;

    async fn init(log: Log, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let (tree, _) = with_children(Supervisor::one_for_one(), 1, &log);
        Ok(Starter(tree.start_link(cx).await?))
    }

    async fn handle(
        &mut self,
        reply: Self::Msg,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send(self.0.clone());
        Ok(())
    }
}

/// A supervisor without children starts, and ends with the shutdown of its parent.
#[test]
fn sup_001_empty_supervisor() {
    everywhere(|rt| async move {
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        assert_eq!(counts(&root).await, (0, 0, 0, 0));
        stop(&rt, &root).await;

        let starter = rt.start::<Starter>(Log::new()).await.unwrap();
        let root = starter.call(|reply| reply).await.unwrap();
        let down = rt.down(&root);
        end(&rt, &starter, ExitReason::Shutdown).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// A permanent child that answers `Ignore` is kept without a process; the list is newest first.
#[test]
fn sup_003_ignored_child_is_kept() {
    everywhere(|rt| async move {
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let ignored = Setup::new(1, &log).init(Starts::new([Come::Ignored]).come());
        let start = root.start_child(child_of(ignored)).await;
        assert!(matches!(start, Err(StartError::Ignore)), "{start:?}");
        let running = root.start_child(child(2, &log)).await.unwrap();
        let children = root.which_children().await.unwrap();
        assert_eq!(ids(&children), ["2", "1"]);
        assert_eq!(pid_in(&children, 2), running.target());
        assert_eq!(state_in(&children, 1), Some(ChildState::Stopped));
        assert_eq!(counts(&root).await, (2, 1, 0, 2));
    });
}

/// A temporary child of the spec that answers `Ignore` is dropped.
#[test]
fn sup_004_ignored_temporary_child_of_the_spec() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let ignored = Setup::new(1, &log).init(Starts::new([Come::Ignored]).come());
        let gone = tree.child_with(child_of(ignored).restart(Restart::Temporary));
        tree.child_with(child(2, &log).restart(Restart::Temporary));
        let root = tree.start(&rt).await.unwrap();
        assert_eq!(ids(&root.which_children().await.unwrap()), ["2"]);
        assert_eq!(counts(&root).await, (1, 1, 0, 1));
        assert!(matches!(gone.call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

/// The same by `start_child`.
#[test]
fn sup_005_ignored_temporary_child_that_was_added() {
    everywhere(|rt| async move {
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let ignored = Setup::new(1, &log).init(Starts::new([Come::Ignored]).come());
        let start = root.start_child(child_of(ignored).restart(Restart::Temporary)).await;
        assert!(matches!(start, Err(StartError::Ignore)), "{start:?}");
        root.start_child(child(2, &log).restart(Restart::Temporary)).await.unwrap();
        assert_eq!(ids(&root.which_children().await.unwrap()), ["2"]);
        assert_eq!(counts(&root).await, (1, 1, 0, 1));
    });
}

/// A child that was terminated and does not start again stays in the list without a process.
#[test]
fn sup_009_restart_child_that_fails() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good, Come::Failed]);
        let mut tree = Supervisor::one_for_one();
        tree.child_with(child_of(Setup::new(1, &log).init(come.come())));
        let root = tree.start(&rt).await.unwrap();
        root.terminate_child(1).await.unwrap();
        match root.restart_child(1).await {
            Err(ChildError::Start(StartError::Exit(ExitReason::Custom(_)))) => {}
            other => panic!("{other:?}"),
        }
        let children = root.which_children().await.unwrap();
        assert_eq!(state_in(&children, 1), Some(ChildState::Stopped));
        assert_eq!(counts(&root).await, (1, 0, 0, 1));
        assert_eq!(starts(&log, 1), 2);
    });
}

/// A start that fails gives the reason with the child's id, and leaves nothing.
#[test]
fn sup_010_start_child_that_fails() {
    everywhere(|rt| async move {
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let failing = Setup::new(1, &log).init(Starts::new([Come::Failed]).come());
        match root.start_child(child_of(failing)).await {
            Err(StartError::Exit(reason)) => {
                let failed: &FailedToStart = reason.downcast_ref().unwrap();
                assert_eq!(failed.id, 1.into());
                match &failed.error {
                    StartError::Exit(reason) => {
                        assert_eq!(reason.downcast_ref(), Some(&"as planned"));
                    }
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
        assert!(root.which_children().await.unwrap().is_empty());
        assert_eq!(counts(&root).await, (0, 0, 0, 0));
        // Its id is free.
        root.start_child(child(1, &log)).await.unwrap();
    });
}

/// Adapted: there are no applications. The error of a tree's start has the chain of reasons down to the panic and its
/// place.
#[test]
fn sup_047_the_cause_of_a_failing_tree() {
    everywhere(|rt| async move {
        let log = Log::new();
        // Not kept off the terminal: that would keep its place from the runtime as well.
        let panics = Setup::new(1, &log).init(|_| async { panic!("planned") });
        let mut inner = Supervisor::one_for_one();
        inner.child_with(child_of(panics));
        let mut tree = Supervisor::one_for_one();
        tree.child_with(child(2, &log));
        tree.nest("inner", inner);
        let error = tree.start(&rt).await.unwrap_err();
        let StartError::Exit(reason) = &error else { panic!("{error:?}") };
        assert!(matches!(reason, ExitReason::ShutdownWith(_)));
        let outer: &FailedToStart = reason.downcast_ref().unwrap();
        assert_eq!(outer.id, "inner".into());
        let inner = outer.cause().unwrap();
        assert_eq!(inner.id, 1.into());
        let StartError::Exit(ExitReason::Panic(panic)) = &inner.error else { panic!("{inner}") };
        assert!(panic.location().unwrap().contains("sup_start.rs"));
        let text = error.to_string();
        assert!(text.contains("`inner`") && text.contains("`1`") && text.contains("sup_start.rs"));
        assert_eq!(rt.processes().len(), 0);
        assert_eq!(starts(&log, 1), 1, "a start that fails is not tried again");
    });
}

/// If a child does not start, those before it are stopped in reverse order and those behind it never start.
#[test]
fn sup_096_start_rolls_back() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one().options(SpawnOptions::new().name("tree"));
        let first = tree.child_with(child(1, &log));
        tree.child_with(child(2, &log).options(SpawnOptions::new().name("second")));
        tree.child_with(child_of(Setup::new(3, &log).init(Starts::new([Come::Failed]).come())));
        tree.child_with(child(4, &log));
        let StartError::Exit(reason) = tree.start(&rt).await.unwrap_err() else { panic!() };
        assert!(matches!(reason, ExitReason::ShutdownWith(_)));
        let failed: &FailedToStart = reason.downcast_ref().unwrap();
        assert_eq!(failed.id, 3.into());
        let happened = inits_and_ends(&log);
        assert_eq!(happened, [('+', 1), ('+', 2), ('+', 3), ('-', 2), ('-', 1)]);
        assert_eq!(rt.processes().len(), 0);
        assert_eq!((rt.whereis("tree"), rt.whereis("second")), (None, None));
        assert!(matches!(first.call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

/// Told to end while a child starts, a tree does not wait for that `init`.
#[test]
fn a_shutdown_while_a_child_starts_stops_what_has_started() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one().options(SpawnOptions::new().name("tree"));
        tree.child_with(child(1, &log));
        let never = crate::support::Gate::new();
        tree.child_with(child_of(Setup::new(2, &log).init_at(&never)));
        tree.child_with(child(3, &log));
        let start = rt.spawn_task(tree.start(&rt));
        log.wait_for(Event::Init(2, 1)).await;
        rt.stop(rt.whereis("tree").unwrap(), ExitReason::Shutdown).await.unwrap();
        let error = start.await.unwrap_err();
        assert!(matches!(error, StartError::Exit(ExitReason::Shutdown)), "{error:?}");
        assert_eq!(rt.processes().len(), 0);
        assert_eq!(starts(&log, 3), 0);
    });
}

/// A child that ends while others start is seen to when they have.
#[test]
fn a_child_that_ends_while_others_start_is_restarted_then() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let first = tree.child_with(child(1, &log));
        let temporary = tree.child_with(child(2, &log).restart(Restart::Temporary));
        let gate = crate::support::Gate::new();
        tree.child_with(child_of(Setup::new(3, &log).init_at(&gate)));
        let start = rt.spawn_task(tree.start(&rt));
        log.wait_for(Event::Init(3, 1)).await;
        for child in [&first, &temporary] {
            let child = child.current().unwrap();
            told(&rt, &child, Msg::End(ExitReason::custom("crash"))).await;
        }
        rt.sleep(Duration::from_millis(5)).await;
        assert_eq!(starts(&log, 1), 1);
        gate.open();
        let root = start.await.unwrap();
        log.wait_for(Event::Init(1, 2)).await;
        until_dropped(&rt, &root, 2).await;
        let info = first.call(Msg::Who).await.unwrap().1;
        assert_eq!(info.attempt, 2);
        assert_eq!(info.last_exit.unwrap().downcast_ref(), Some(&"crash"));
    });
}

/// A panic in what makes the arguments is a failed start, and harms nobody else.
#[test]
fn a_panic_that_makes_the_arguments_is_a_failed_start() {
    everywhere(|rt| async move {
        expect_panics();
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let panics = || -> Setup { panic!("{}", crate::support::EXPECTED) };
        let error = root.start_child(Child::from_fn::<Plain>(2, panics)).await.unwrap_err();
        let StartError::Exit(reason) = error else { panic!("{error:?}") };
        let failed: &FailedToStart = reason.downcast_ref().unwrap();
        assert!(matches!(failed.error, StartError::Exit(ExitReason::Panic(_))));
        assert!(children[0].is_alive());
        assert_eq!(counts(&root).await, (1, 1, 0, 1));
    });
}

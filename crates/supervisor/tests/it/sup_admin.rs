//! What a static supervisor is asked about its children, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{CallError, ChildRef, ExitReason, FindError, Name, StartError, Target};
use whitebeam_supervisor::{
    Child, ChildError, ChildKind, ChildState, Restart, Shutdown, Supervisor, SupervisorRef,
};

use crate::{
    support::{Log, Msg, Plain, Setup, end, kind, stop, told},
    tree::{
        child, counts, current, everywhere, ids, pid, pid_in, quiet, renewed, starts, state_in,
        until_state, with_children,
    },
};

fn crash() -> Msg {
    Msg::End(ExitReason::custom("crash"))
}

/// Settings that are not said are OTP's; an unknown id is `NotFound`.
#[test]
fn sup_012_childspec_with_its_defaults() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        tree.child::<Plain>("plain", Setup::new(1, &log));
        tree.child_with(child(2, &log).shutdown(Shutdown::BrutalKill));
        let inner = tree.nest("inner", Supervisor::one_for_one());
        let root = tree.start(&rt).await.unwrap();

        let spec = root.get_childspec("plain").await.unwrap();
        assert_eq!(spec.id, "plain".into());
        assert_eq!((spec.restart, spec.significant), (Restart::Permanent, false));
        assert_eq!(spec.shutdown, Shutdown::After(Duration::from_secs(5)));
        assert_eq!(spec.kind, ChildKind::Worker);
        assert_eq!(spec.actor, std::any::type_name::<Plain>());

        let spec = root.get_childspec(2).await.unwrap();
        assert_eq!((spec.restart, spec.shutdown), (Restart::Permanent, Shutdown::BrutalKill));

        let spec = root.get_childspec(&inner).await.unwrap();
        assert_eq!(spec.id, "inner".into());
        assert_eq!((spec.kind, spec.shutdown), (ChildKind::Supervisor, Shutdown::Infinity));

        assert!(matches!(root.get_childspec("other").await, Err(ChildError::NotFound)));
    });
}

/// A start gives no information beside the child: the rest holds, whoever starts it.
#[test]
fn sup_021_a_start_gives_the_child_and_nothing_else() {
    everywhere(|rt| async move {
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let handle = root.start_child(child(1, &log)).await.unwrap();
        let children = root.which_children().await.unwrap();
        let first = pid_in(&children, 1).unwrap();
        assert_eq!(handle.target(), Some(first));
        root.terminate_child(1).await.unwrap();
        let second = root.restart_child(1).await.unwrap().unwrap();
        assert_eq!(handle.target(), Some(second));
        assert_ne!(first, second);
        assert!(matches!(
            root.start_child(child(1, &log)).await,
            Err(StartError::AlreadyStarted(pid)) if pid == second
        ));
        told(&rt, &current(&handle), crash()).await;
        let third = renewed(&rt, &root, 1, second).await;
        assert_eq!(handle.target(), Some(third));
    });
}

/// Whatever is asked for an unknown id is refused.
#[test]
fn sup_022_unknown_id() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        assert!(matches!(root.terminate_child("x").await, Err(ChildError::NotFound)));
        assert!(matches!(root.delete_child("x").await, Err(ChildError::NotFound)));
        assert!(matches!(root.restart_child("x").await, Err(ChildError::NotFound)));
        assert!(matches!(root.which_child("x").await, Err(ChildError::NotFound)));
        // The address of another supervisor's child, and one that is no child's.
        let stranger = Child::new::<Plain>(1, Setup::new(2, &log));
        assert!(matches!(root.terminate_child(stranger.handle()).await, Err(ChildError::NotFound)));
        let pinned: ChildRef<Msg> = current(&children[0]).into();
        assert!(matches!(root.terminate_child(&pinned).await, Err(ChildError::NotFound)));
        assert!(children[0].is_alive());
    });
}

/// A child that runs is neither deleted nor started again.
#[test]
fn sup_023_running_child() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let before = pid(&children[0]);
        assert!(matches!(root.delete_child(1).await, Err(ChildError::Running)));
        assert!(matches!(root.restart_child(1).await, Err(ChildError::Running)));
        assert_eq!(children[0].target(), Some(before));
        assert_eq!((counts(&root).await, starts(&log, 1)), ((1, 1, 0, 1), 1));
    });
}

/// The id of a child that runs is taken.
#[test]
fn sup_024_already_started() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        match root.start_child(child(1, &log)).await {
            Err(StartError::AlreadyStarted(found)) => assert_eq!(found, pid(&children[0])),
            other => panic!("{other:?}"),
        }
        assert_eq!((counts(&root).await, starts(&log, 1)), ((1, 1, 0, 1), 1));
    });
}

/// So is that of one that was terminated.
#[test]
fn sup_025_already_present() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, _) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        root.terminate_child(1).await.unwrap();
        let start = root.start_child(child(1, &log)).await;
        assert!(matches!(start, Err(StartError::AlreadyPresent)), "{start:?}");
        assert_eq!((counts(&root).await, starts(&log, 1)), ((1, 0, 0, 1), 1));
    });
}

/// What does not run is terminated already.
#[test]
fn sup_026_terminate_twice() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, _) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        root.terminate_child(1).await.unwrap();
        root.terminate_child(1).await.unwrap();
        assert_eq!(counts(&root).await, (1, 0, 0, 1));
    });
}

/// A permanent child that is terminated ends with `Shutdown` and is not restarted; its spec is kept.
#[test]
fn sup_027_terminate_permanent() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&children[0]);
        root.terminate_child(&children[0]).await.unwrap();
        assert_eq!(kind(&down.await.reason), "shutdown");
        quiet(&rt).await;
        assert_eq!(starts(&log, 1), 1);
        assert_eq!(root.which_child(1).await.unwrap().state, ChildState::Stopped);
        assert!(matches!(children[0].call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

/// A child that was terminated is started again on demand, once.
#[test]
fn sup_028_restart_terminated() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let before = pid(&children[0]);
        root.terminate_child(1).await.unwrap();
        let after = root.restart_child(1).await.unwrap().unwrap();
        assert_ne!(before, after);
        assert_eq!(children[0].target(), Some(after));
        assert!(matches!(root.restart_child(1).await, Err(ChildError::Running)));
        // It knows of its history.
        let info = children[0].call(Msg::Who).await.unwrap().1;
        assert_eq!((info.attempt, kind(&info.last_exit.unwrap())), (2, "shutdown"));
    });
}

/// A child that was deleted is forgotten.
#[test]
fn sup_029_delete() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        root.terminate_child(1).await.unwrap();
        root.delete_child(1).await.unwrap();
        assert!(matches!(root.restart_child(1).await, Err(ChildError::NotFound)));
        assert!(root.which_children().await.unwrap().is_empty());
        assert_eq!(counts(&root).await, (0, 0, 0, 0));
        assert!(matches!(children[0].call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

/// A name that nobody has leads to no handle; one of a supervisor that has ended is refused whatever is asked.
#[test]
fn sup_030_unknown_supervisor() {
    everywhere(|rt| async move {
        let log = Log::new();
        let unknown = SupervisorRef::find(&rt, Name::from("nobody"));
        assert!(matches!(unknown, Err(FindError::NoProc)));
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        stop(&rt, &root).await;
        assert!(matches!(root.terminate_child(1).await, Err(ChildError::NoSupervisor)));
        assert!(matches!(root.restart_child(1).await, Err(ChildError::NoSupervisor)));
        assert!(matches!(root.delete_child(1).await, Err(ChildError::NoSupervisor)));
        assert!(matches!(root.which_children().await, Err(ChildError::NoSupervisor)));
        assert!(matches!(root.which_child(1).await, Err(ChildError::NoSupervisor)));
        assert!(matches!(root.count_children().await, Err(ChildError::NoSupervisor)));
        assert!(matches!(root.get_childspec(1).await, Err(ChildError::NoSupervisor)));
        let start = root.start_child(child(1, &log)).await;
        assert!(matches!(start, Err(StartError::NoSupervisor)), "{start:?}");
    });
}

/// Adapted: a pid is no id, and `terminate_child(pid)` does not compile. An id that looks like one is another id.
#[test]
fn sup_031_a_pid_is_no_id() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let pid = pid(&children[0]);
        assert!(matches!(root.terminate_child(pid.to_string()).await, Err(ChildError::NotFound)));
        assert!(rt.is_alive(pid));
    });
}

/// One child is told of as in the list of all.
#[test]
fn sup_074_which_child() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 2, &log);
        let root = tree.start(&rt).await.unwrap();
        let all = root.which_children().await.unwrap();
        assert_eq!(root.which_child(1).await.unwrap(), all[1]);
        assert_eq!(root.which_child(&children[0]).await.unwrap(), all[1]);
        assert_eq!(all[1].state, ChildState::Running(pid(&children[0])));
        assert_eq!(
            (all[1].kind, all[1].actor),
            (ChildKind::Worker, std::any::type_name::<Plain>())
        );
        assert!(matches!(root.which_child(3).await, Err(ChildError::NotFound)));
    });
}

/// A child's life from its start to its end.
#[test]
fn sup_111_life_cycle_of_a_child() {
    everywhere(|rt| async move {
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        assert!(root.which_children().await.unwrap().is_empty());
        assert_eq!(counts(&root).await, (0, 0, 0, 0));
        let handle = root.start_child(child(1, &log)).await.unwrap();
        let children = root.which_children().await.unwrap();
        assert_eq!(state_in(&children, 1), Some(ChildState::Running(pid(&handle))));
        assert_eq!(counts(&root).await, (1, 1, 0, 1));
        assert!(matches!(root.delete_child(1).await, Err(ChildError::Running)));
        root.terminate_child(1).await.unwrap();
        assert_eq!(counts(&root).await, (1, 0, 0, 1));
        assert!(root.restart_child(1).await.unwrap().is_some());
        root.terminate_child(1).await.unwrap();
        root.delete_child(1).await.unwrap();
        assert_eq!(counts(&root).await, (0, 0, 0, 0));
    });
}

/// A request whose future is dropped is not taken back, and asked by a plain name or by an address it is the same.
#[test]
fn a_start_goes_on_when_its_future_is_dropped() {
    everywhere(|rt| async move {
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let asked = child(1, &log);
        let handle = asked.handle().clone();
        drop(root.start_child(asked));
        assert_eq!(ids(&crate::tree::until(&rt, &root, |all| all.len() == 1).await), ["1"]);
        root.terminate_child(&handle).await.unwrap();
    });
}

/// The same spec is refused while its id is in use, and taken when the temporary child of it is gone. `(restart, how it
/// ends, whether it is there again)`.
#[test]
fn sup_076_specs_of_temporary_children_are_not_kept() {
    for strategy in [Supervisor::one_for_one, Supervisor::one_for_all, Supervisor::rest_for_one] {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            everywhere(move |rt| async move {
                let log = Log::new();
                let root = strategy().intensity(10, Duration::from_secs(5));
                let root = root.start(&rt).await.unwrap();
                let spec = || child(1, &log).restart(restart);
                for how in ["kill", "normal", "crash", "api"] {
                    let handle = root.start_child(spec()).await.unwrap();
                    let before = pid(&handle);
                    match how {
                        "kill" => drop(end(&rt, before, ExitReason::Kill).await),
                        "normal" => {
                            let normal = Msg::End(ExitReason::Normal);
                            drop(told(&rt, &current(&handle), normal).await);
                        }
                        "crash" => drop(told(&rt, &current(&handle), crash()).await),
                        _ => root.terminate_child(1).await.unwrap(),
                    }
                    let is_left =
                        how == "api" || (how == "normal" && restart != Restart::Permanent);
                    if restart == Restart::Temporary {
                        crate::tree::until_dropped(&rt, &root, 1).await;
                    } else if is_left {
                        until_state(&rt, &root, 1, ChildState::Stopped).await;
                        let again = root.start_child(spec()).await;
                        assert!(matches!(again, Err(StartError::AlreadyPresent)), "{again:?}");
                        root.delete_child(1).await.unwrap();
                    } else {
                        let new = renewed(&rt, &root, 1, before).await;
                        let again = root.start_child(spec()).await;
                        assert!(
                            matches!(again, Err(StartError::AlreadyStarted(pid)) if pid == new),
                            "{again:?}"
                        );
                        root.terminate_child(1).await.unwrap();
                        root.delete_child(1).await.unwrap();
                    }
                }
            });
        }
    }
}

//! When a static supervisor restarts its children, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{CallError, ChildRef, ExitReason, Handle, StartError};
use whitebeam_supervisor::{ChildState, Intensity, Restart, Supervisor, SupervisorRef};

use crate::{
    support::{Log, Msg, Setup, end, kind, told},
    tree::{
        Come, Starts, child, child_of, counts, current, everywhere, pid, quiet, renewed, starts,
        until_dropped, until_state, with_children,
    },
};

/// How a child ends by itself.
#[derive(Clone, Copy, Debug)]
enum How {
    Normal,
    Shutdown,
    ShutdownWith,
    Crash,
    Kill,
}

impl How {
    async fn happens(self, rt: &Handle, child: &ChildRef<Msg>) {
        let reason = match self {
            How::Normal => ExitReason::Normal,
            How::Shutdown => ExitReason::Shutdown,
            How::ShutdownWith => ExitReason::shutdown_with(7),
            How::Crash => ExitReason::custom("crash"),
            How::Kill => {
                end(rt, child, ExitReason::Kill).await;
                return;
            }
        };
        told(rt, &current(child), Msg::End(reason)).await;
    }
}

async fn one(rt: &Handle, restart: Restart, log: &Log) -> (SupervisorRef, ChildRef<Msg>) {
    let mut tree = Supervisor::one_for_one();
    let handle = tree.child_with(child(1, log).restart(restart));
    (tree.start(rt).await.unwrap(), handle)
}

/// A child that ends in one of these ways is restarted as a new process.
fn restarted(restart: Restart, ways: &'static [How]) {
    everywhere(move |rt| async move {
        let log = Log::new();
        let (root, handle) = one(&rt, restart, &log).await;
        for how in ways {
            let before = pid(&handle);
            how.happens(&rt, &handle).await;
            renewed(&rt, &root, 1, before).await;
            assert_eq!(counts(&root).await, (1, 1, 0, 1), "{how:?}");
        }
        let info = handle.call(Msg::Who).await.unwrap().1;
        assert_eq!(info.attempt as usize, 1 + ways.len());
    });
}

/// A permanent child that ends with `Normal` is restarted.
#[test]
fn sup_041_permanent_normal() {
    restarted(Restart::Permanent, &[How::Normal]);
}

/// A transient one is not; its spec is kept.
#[test]
fn sup_042_transient_normal() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (root, handle) = one(&rt, Restart::Transient, &log).await;
        How::Normal.happens(&rt, &handle).await;
        until_state(&rt, &root, 1, ChildState::Stopped).await;
        assert_eq!(counts(&root).await, (1, 0, 0, 1));
        quiet(&rt).await;
        assert_eq!(starts(&log, 1), 1);
        assert!(matches!(handle.call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

/// A temporary one goes with its spec.
#[test]
fn sup_043_temporary_normal() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (root, handle) = one(&rt, Restart::Temporary, &log).await;
        How::Normal.happens(&rt, &handle).await;
        until_dropped(&rt, &root, 1).await;
        assert_eq!(counts(&root).await, (0, 0, 0, 0));
        quiet(&rt).await;
        assert_eq!(starts(&log, 1), 1);
    });
}

/// A permanent child is restarted after both kinds of `Shutdown`.
#[test]
fn sup_044_permanent_shutdown() {
    restarted(Restart::Permanent, &[How::Shutdown, How::ShutdownWith]);
}

/// A transient one after none of them; on demand it is.
#[test]
fn sup_045_transient_shutdown() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (root, handle) = one(&rt, Restart::Transient, &log).await;
        How::Shutdown.happens(&rt, &handle).await;
        until_state(&rt, &root, 1, ChildState::Stopped).await;
        assert!(root.restart_child(1).await.unwrap().is_some());
        assert_eq!(counts(&root).await, (1, 1, 0, 1));
        How::ShutdownWith.happens(&rt, &handle).await;
        until_state(&rt, &root, 1, ChildState::Stopped).await;
        quiet(&rt).await;
        assert_eq!(starts(&log, 1), 2);
    });
}

/// A temporary one is gone after both, and its id is free.
#[test]
fn sup_046_temporary_shutdown() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (root, handle) = one(&rt, Restart::Temporary, &log).await;
        How::Shutdown.happens(&rt, &handle).await;
        until_dropped(&rt, &root, 1).await;
        let again = child(1, &log).restart(Restart::Temporary);
        let handle = root.start_child(again).await.unwrap();
        How::ShutdownWith.happens(&rt, &handle).await;
        until_dropped(&rt, &root, 1).await;
        root.start_child(child(1, &log)).await.unwrap();
    });
}

/// A permanent child that ends abnormally is restarted.
#[test]
fn sup_048_permanent_abnormal() {
    restarted(Restart::Permanent, &[How::Crash, How::Kill]);
}

/// So is a transient one.
#[test]
fn sup_049_transient_abnormal() {
    restarted(Restart::Transient, &[How::Crash, How::Kill]);
}

/// A temporary one is gone.
#[test]
fn sup_050_temporary_abnormal() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (root, mut handle) = one(&rt, Restart::Temporary, &log).await;
        for how in [How::Crash, How::Kill] {
            how.happens(&rt, &handle).await;
            until_dropped(&rt, &root, 1).await;
            assert_eq!(counts(&root).await, (0, 0, 0, 0));
            let again = child(1, &log).restart(Restart::Temporary);
            handle = root.start_child(again).await.unwrap();
        }
    });
}

/// Restarts that are further apart than the period never add up.
#[test]
fn sup_051_restarts_far_apart() {
    everywhere(|rt| async move {
        let log = Log::new();
        let period = Duration::from_millis(200);
        let (tree, children) =
            with_children(Supervisor::one_for_one().intensity(1, period), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        for _ in 0..4 {
            let before = pid(&children[0]);
            How::Crash.happens(&rt, &children[0]).await;
            renewed(&rt, &root, 1, before).await;
            rt.sleep(period * 21 / 10).await;
        }
        assert!(rt.is_alive(&root));
        assert_eq!(starts(&log, 1), 5);
    });
}

/// Only the child that has ended is restarted.
#[test]
fn sup_052_one_for_one() {
    everywhere(|rt| async move {
        let log = Log::new();
        let tree = Supervisor::one_for_one().intensity(2, Duration::from_secs(3600));
        let (tree, children) = with_children(tree, 2, &log);
        let root = tree.start(&rt).await.unwrap();
        let before = [pid(&children[0]), pid(&children[1])];
        How::Crash.happens(&rt, &children[0]).await;
        renewed(&rt, &root, 1, before[0]).await;
        assert_eq!(pid(&children[1]), before[1]);
        assert_eq!(counts(&root).await, (2, 2, 0, 2));
        assert_eq!((starts(&log, 1), starts(&log, 2)), (2, 1));
    });
}

/// One restart too many, of whichever children, ends the supervisor with `Shutdown`.
#[test]
fn sup_053_one_restart_too_many() {
    everywhere(|rt| async move {
        let log = Log::new();
        let tree = Supervisor::one_for_one().intensity(2, Duration::from_secs(5));
        let (tree, children) = with_children(tree, 2, &log);
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&root);
        for id in [1, 2] {
            let handle = &children[id as usize - 1];
            let before = pid(handle);
            How::Crash.happens(&rt, handle).await;
            renewed(&rt, &root, id, before).await;
        }
        let other = rt.down(&children[1]);
        How::Crash.happens(&rt, &children[0]).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert_eq!(kind(&other.await.reason), "shutdown");
        assert_eq!((starts(&log, 1), starts(&log, 2)), (2, 2));
        assert!(matches!(children[0].call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

/// Tries that fail count as restarts do.
#[test]
fn sup_054_one_for_one_escalates() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good].into_iter().chain([Come::Failed; 20]));
        let mut tree = Supervisor::one_for_one().intensity(4, Duration::from_secs(5));
        let first = tree.child_with(child_of(Setup::new(1, &log).init(come.come())));
        let second = tree.child_with(child(2, &log));
        let root = tree.start(&rt).await.unwrap();
        let (down, other) = (rt.down(&root), rt.down(&second));
        How::Crash.happens(&rt, &first).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert_eq!(kind(&other.await.reason), "shutdown");
        assert_eq!((starts(&log, 1), starts(&log, 2)), (1 + 4, 1));
    });
}

/// The default is 3 restarts in 5 s.
#[test]
fn sup_097_default_intensity() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::default(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&root);
        for _ in 0..3 {
            let before = pid(&children[0]);
            How::Kill.happens(&rt, &children[0]).await;
            renewed(&rt, &root, 1, before).await;
        }
        How::Kill.happens(&rt, &children[0]).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert_eq!(starts(&log, 1), 4);
    });
    // Virtual time: exactly.
    crate::support::simulated(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        for wait in [0, 0, 5_010, 0, 0] {
            rt.sleep(Duration::from_millis(wait)).await;
            let before = pid(&children[0]);
            How::Kill.happens(&rt, &children[0]).await;
            renewed(&rt, &root, 1, before).await;
        }
        assert!(rt.is_alive(&root));
    });
}

/// An intensity of zero takes no restart at all.
#[test]
fn sup_098_no_restart_at_all() {
    everywhere(|rt| async move {
        for how in [How::Normal, How::Crash] {
            let log = Log::new();
            let tree = Supervisor::one_for_one().intensity(0, Duration::from_secs(1));
            let (tree, children) = with_children(tree, 2, &log);
            let root = tree.start(&rt).await.unwrap();
            let down = rt.down(&root);
            how.happens(&rt, &children[0]).await;
            assert_eq!(kind(&down.await.reason), "shutdown");
            assert_eq!((starts(&log, 1), starts(&log, 2)), (1, 1));
        }
    });
}

/// Without a limit any number of restarts is taken, failing tries included.
#[test]
fn an_unlimited_intensity_takes_any_number() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good].into_iter().chain([Come::Failed; 50]));
        let mut tree = Supervisor::one_for_one().with_intensity(Intensity::Unlimited);
        let handle = tree.child_with(child_of(Setup::new(1, &log).init(come.come())));
        let root = tree.start(&rt).await.unwrap();
        let before = pid(&handle);
        How::Crash.happens(&rt, &handle).await;
        renewed(&rt, &root, 1, before).await;
        assert_eq!(starts(&log, 1), 52);
        let info = handle.call(Msg::Who).await.unwrap().1;
        assert_eq!(info.attempt, 52);
        assert_eq!(info.last_exit.unwrap().downcast_ref(), Some(&"as planned"));
    });
}

/// A permanent child that answers `Ignore` when it is restarted is kept without a process.
#[test]
fn a_restart_that_is_ignored_leaves_the_child() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good, Come::Ignored]);
        let mut tree = Supervisor::one_for_one();
        let handle = tree.child_with(child_of(Setup::new(1, &log).init(come.come())));
        let root = tree.start(&rt).await.unwrap();
        How::Crash.happens(&rt, &handle).await;
        until_state(&rt, &root, 1, ChildState::Stopped).await;
        assert_eq!(starts(&log, 1), 2);
        come.then([Come::Ignored, Come::Good]);
        assert_eq!(root.restart_child(1).await.unwrap(), None);
        assert!(root.restart_child(1).await.unwrap().is_some());
        let start = root.start_child(child(1, &log)).await;
        assert!(matches!(start, Err(StartError::AlreadyStarted(_))), "{start:?}");
    });
}

//! Restarts that fail and are tried again, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{CallError, ChildRef, ExitReason, Handle, StartError};
use whitebeam_supervisor::{
    Child, ChildError, ChildState, Intensity, Restart, Supervisor, SupervisorRef,
};

use crate::{
    support::{Log, Msg, Plain, Setup, kind, stop, told},
    tree::{child, counts, current, everywhere, pid, starts, state_in, until, until_state},
};

/// A child that starts once, and from then on takes `time` for each start, which fails.
fn looping(id: u64, log: &Log, rt: &Handle, time: Duration) -> Setup {
    let rt = rt.clone();
    Setup::new(id, log).init(move |info| {
        let rt = rt.clone();
        async move {
            if info.attempt > 1 {
                rt.sleep(time).await;
                return Err(ExitReason::custom("no"));
            }
            Ok(())
        }
    })
}

fn looping_child(id: u64, log: &Log, rt: &Handle) -> Child<ChildRef<Msg>> {
    let time = Duration::from_millis(20);
    Child::new::<Plain>(id as usize, looping(id, log, rt, time))
}

async fn crash(rt: &Handle, child: &ChildRef<Msg>) {
    told(rt, &current(child), Msg::End(ExitReason::custom("crash"))).await;
}

async fn in_its_loop(rt: &Handle, root: &SupervisorRef, log: &Log, id: u64) {
    until_state(rt, root, id, ChildState::Restarting).await;
    crate::support::until(rt, || starts(log, id) >= 3).await;
}

/// While a child is tried again and again its supervisor answers.
#[test]
fn sup_079_answers_in_a_restart_loop() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one().with_intensity(Intensity::Unlimited);
        let handle = tree.child_with(looping_child(1, &log, &rt));
        let root = tree.start(&rt).await.unwrap();
        crash(&rt, &handle).await;
        in_its_loop(&rt, &root, &log, 1).await;
        let start = root.start_child(child(1, &log)).await;
        assert!(matches!(start, Err(StartError::AlreadyPresent)), "{start:?}");
        assert!(matches!(root.restart_child(1).await, Err(ChildError::ChildRestarting)));
        assert!(matches!(root.delete_child(1).await, Err(ChildError::ChildRestarting)));
        let children = root.which_children().await.unwrap();
        assert_eq!(state_in(&children, 1), Some(ChildState::Restarting));
        assert_eq!(counts(&root).await, (1, 0, 0, 1));
        // So does the child's address: there is none now, or one that fails to start. And others can be added.
        let called = handle.call(Msg::Who).await;
        assert!(matches!(called, Err(CallError::Restarting | CallError::Exit(_))), "{called:?}");
        root.start_child(child(2, &log)).await.unwrap();
        // It can be ended, whatever the limit.
        stop(&rt, &root).await;
        assert_eq!(rt.processes().len(), 0);
    });
}

/// A loop ends when its child is terminated; those behind it are without a process meanwhile.
#[test]
fn sup_080_a_restart_loop_of_rest_for_one() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::rest_for_one().with_intensity(Intensity::Unlimited);
        let first = tree.child_with(child(1, &log));
        let second = tree.child_with(looping_child(2, &log, &rt));
        tree.child_with(child(3, &log));
        let root = tree.start(&rt).await.unwrap();
        let before = pid(&first);
        crash(&rt, &second).await;
        in_its_loop(&rt, &root, &log, 2).await;
        let children = root.which_children().await.unwrap();
        assert_eq!(state_in(&children, 3), Some(ChildState::Stopped));
        assert_eq!(state_in(&children, 2), Some(ChildState::Restarting));
        assert_eq!(state_in(&children, 1), Some(ChildState::Running(before)));
        assert_eq!(counts(&root).await, (3, 1, 0, 3));

        root.terminate_child(2).await.unwrap();
        let children = root.which_children().await.unwrap();
        assert_eq!(state_in(&children, 2), Some(ChildState::Stopped));
        let tries = starts(&log, 2);
        rt.sleep(Duration::from_millis(200)).await;
        assert_eq!(starts(&log, 2), tries, "the loop has ended");
        assert!(matches!(second.call(Msg::Who).await, Err(CallError::NoProc)));
        // Its start is bad as before, and known to who asks for it.
        assert!(matches!(root.restart_child(2).await, Err(ChildError::Start(_))));
        assert!(root.restart_child(3).await.unwrap().is_some());
    });
}

/// A child whose loop was ended is started on demand when it can be.
#[test]
fn a_child_out_of_its_loop_is_started_on_demand() {
    everywhere(|rt| async move {
        let log = Log::new();
        let is_good = std::sync::Arc::new(parking_lot::Mutex::new(true));
        let (good, time) = (is_good.clone(), rt.clone());
        let setup = Setup::new(1, &log).init(move |_| {
            let (is_good, rt) = (*good.lock(), time.clone());
            async move {
                if is_good {
                    return Ok(());
                }
                // Virtual time goes on.
                rt.sleep(Duration::from_millis(1)).await;
                Err(ExitReason::custom("no"))
            }
        });
        let mut tree = Supervisor::one_for_all().with_intensity(Intensity::Unlimited);
        let handle = tree.child::<Plain>(1, setup);
        let root = tree.start(&rt).await.unwrap();
        *is_good.lock() = false;
        crash(&rt, &handle).await;
        crate::support::until(&rt, || starts(&log, 1) >= 3).await;
        root.terminate_child(1).await.unwrap();
        assert!(!handle.is_alive());
        *is_good.lock() = true;
        let new = root.restart_child(1).await.unwrap();
        assert_eq!(new, Some(pid(&handle)));
        // What was to be tried again is not.
        rt.sleep(Duration::from_millis(20)).await;
        assert_eq!(Some(pid(&handle)), new);
    });
}

/// A slow restart holds up neither questions nor the supervisor's end.
#[test]
fn a_slow_restart_holds_up_no_question_and_no_end() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let forever = Duration::from_secs(1_000_000);
        let handle = tree.child::<Plain>(1, looping(1, &log, &rt, forever));
        let other = tree.child_with(child(2, &log).restart(Restart::Temporary));
        let root = tree.start(&rt).await.unwrap();
        crash(&rt, &handle).await;
        until_state(&rt, &root, 1, ChildState::Restarting).await;
        assert_eq!(counts(&root).await, (2, 1, 0, 2));
        // The end of another is seen to behind it: until then it is told of as it will be.
        crash(&rt, &other).await;
        until(&rt, &root, |all| state_in(all, 2) == Some(ChildState::Stopped)).await;
        let down = rt.down(&root);
        rt.exit(&root, ExitReason::Shutdown);
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert_eq!(rt.processes().len(), 0);
    });
}

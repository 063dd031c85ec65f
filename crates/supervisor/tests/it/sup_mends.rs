//! Restarts of groups and stops that meet something else on their way: what is told of children meanwhile, what their
//! addresses say, and how long they have.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{CallError, ChildRef, Exit, ExitReason, Handle, Mailbox, Status};
use whitebeam_supervisor::{
    Child, ChildState, Intensity, Restart, Shutdown, Supervisor, SupervisorRef,
};
use whitebeam_testkit::Sim;

use crate::{
    support::{Event, Gate, Log, Msg, Setup, Tidy, kind, stop, told, until},
    tree::{
        child, child_of, current, everywhere, inits_and_ends, pid, starts, state_in, until_state,
    },
};

async fn crash(rt: &Handle, child: &ChildRef<Msg>) {
    told(rt, &current(child), Msg::End(ExitReason::custom("crash"))).await;
}

async fn states(root: &SupervisorRef, ids: impl IntoIterator<Item = u64>) -> Vec<&'static str> {
    let children = root.which_children().await.unwrap();
    let name = |id| match state_in(&children, id) {
        Some(ChildState::Running(_)) => "running",
        Some(ChildState::Restarting) => "restarting",
        Some(ChildState::Stopped) => "stopped",
        _ => "none",
    };
    ids.into_iter().map(name).collect()
}

/// A child whose `terminate` waits for the gate, as long as it takes.
fn slow_to_end(id: u64, log: &Log, gate: &Gate) -> Child<ChildRef<Msg>> {
    let waits = gate.clone();
    let setup = Setup::new(id, log).terminate(move |_| waits.clone().passed());
    Child::new::<Tidy>(id as usize, setup).shutdown(Shutdown::Infinity)
}

/// A child whose second start waits for the gate.
fn slow_to_restart(id: u64, log: &Log, gate: &Gate) -> Child<ChildRef<Msg>> {
    let waits = gate.clone();
    child_of(Setup::new(id, log).init(move |info| {
        let gate = waits.clone();
        async move {
            if info.attempt == 2 {
                gate.passed().await;
            }
            Ok(())
        }
    }))
}

/// While a group is restarted, who is stopped to be started again is told of as restarting; one that had no process
/// before, as stopped.
#[test]
fn children_of_a_group_that_is_restarted_are_restarting() {
    for strategy in [Supervisor::one_for_all, Supervisor::rest_for_one] {
        everywhere(move |rt| async move {
            let (log, ends, starts) = (Log::new(), Gate::new(), Gate::new());
            let mut tree = strategy();
            let first = tree.child_with(child(1, &log));
            tree.child_with(slow_to_end(2, &log, &ends));
            tree.child_with(slow_to_restart(3, &log, &starts));
            tree.child_with(child(4, &log));
            tree.child_with(child(5, &log));
            tree.child_with(child(6, &log).restart(Restart::Temporary));
            let root = tree.start(&rt).await.unwrap();
            root.terminate_child(5).await.unwrap();
            crash(&rt, &first).await;
            log.wait_for(Event::Terminate(2)).await;
            let expected = ["restarting", "running", "restarting", "restarting", "stopped", "none"];
            assert_eq!(states(&root, 1..=6).await, expected);
            ends.open();
            log.wait_for(Event::Init(3, 2)).await;
            let expected = ["running", "running", "restarting", "restarting", "stopped", "none"];
            assert_eq!(states(&root, 1..=6).await, expected);
            starts.open();
            until_running(&rt, &root, 5).await;
            stop(&rt, &root).await;
        });
    }
}

async fn until_running(rt: &Handle, root: &SupervisorRef, id: u64) {
    let is_running = |state| matches!(state, Some(ChildState::Running(_)));
    crate::tree::until(rt, root, |children| is_running(state_in(children, id))).await;
}

/// A child whose starts fail from the second on, each after a while.
fn looping(id: u64, log: &Log, rt: &Handle) -> Child<ChildRef<Msg>> {
    let rt = rt.clone();
    child_of(Setup::new(id, log).init(move |info| {
        let rt = rt.clone();
        async move {
            if info.attempt > 1 {
                rt.sleep(Duration::from_millis(20)).await;
                return Err(ExitReason::custom("no"));
            }
            Ok(())
        }
    }))
}

/// When a group's restarts that fail are ended by hand, the addresses of those that have waited for the next try say
/// that nobody comes; one that was started by hand meanwhile lives on.
#[test]
fn addresses_of_a_group_whose_restart_was_given_up_say_so() {
    for strategy in [Supervisor::one_for_all, Supervisor::rest_for_one] {
        everywhere(move |rt| async move {
            let log = Log::new();
            let mut tree = strategy().with_intensity(Intensity::Unlimited);
            let first = tree.child_with(child(1, &log));
            let second = tree.child_with(looping(2, &log, &rt));
            let others = [3, 4].map(|id| tree.child_with(child(id, &log)));
            let root = tree.start(&rt).await.unwrap();
            crash(&rt, &second).await;
            until(&rt, || starts(&log, 2) >= 3).await;
            // The next try may bring them back.
            for other in &others {
                let called = other.call(Msg::Who).await;
                assert!(matches!(called, Err(CallError::Restarting)), "{called:?}");
            }
            assert_eq!(states(&root, [2, 3, 4]).await, ["restarting", "stopped", "stopped"]);

            root.terminate_child(&second).await.unwrap();
            assert_eq!(states(&root, 1..=4).await, ["running", "stopped", "stopped", "stopped"]);
            for gone in [&second, &others[0], &others[1]] {
                let called = gone.call(Msg::Who).await;
                assert!(matches!(called, Err(CallError::NoProc)), "{called:?}");
            }
            assert_eq!(first.call(Msg::Who).await.unwrap().0, 1);
            // They can be started, and have their addresses again.
            root.restart_child(3).await.unwrap();
            assert_eq!(others[0].call(Msg::Who).await.unwrap().0, 3);
            stop(&rt, &root).await;
        });
    }
}

/// How a process in the process form took its end: the exit signals that have come until it was let go.
fn stubborn(id: usize, signals: &Arc<Mutex<u32>>, go: &Gate) -> Child<ChildRef<Exit>> {
    let (signals, go) = (signals.clone(), go.clone());
    Child::process(id, move |mut mailbox: Mailbox<Exit>| {
        let (signals, go) = (signals.clone(), go.clone());
        async move {
            mailbox.trap_exit(|exit| exit);
            mailbox.recv().await;
            *signals.lock() += 1;
            go.passed().await;
            while mailbox.try_recv().is_some() {
                *signals.lock() += 1;
            }
            Ok(())
        }
    })
}

/// A child that is being stopped when the supervisor's own end comes gets no second signal.
#[test]
fn a_child_is_told_to_end_once() {
    everywhere(|rt| async move {
        let (log, signals, go, gate) = (Log::new(), Arc::default(), Gate::new(), Gate::new());
        let mut tree = Supervisor::one_for_one();
        let forever = stubborn(1, &signals, &go).shutdown(Shutdown::Infinity);
        tree.child_with(slow_to_end(2, &log, &gate));
        tree.child_with(forever.restart(Restart::Transient));
        let root = tree.start(&rt).await.unwrap();
        let mut stopped = Box::pin(root.terminate_child(1));
        assert!(futures_util::poll!(&mut stopped).is_pending());
        until(&rt, || *signals.lock() == 1).await;
        let down = rt.down(&root);
        rt.exit(&root, ExitReason::Shutdown);
        until(&rt, || rt.info(&root).is_some_and(|info| info.status == Status::Ending)).await;
        // It is waited for before others are told: nobody is, for a good while.
        rt.sleep(Duration::from_millis(50)).await;
        assert!(!log.has(Event::Terminate(2)));
        go.open();
        log.wait_for(Event::Terminate(2)).await;
        gate.open();
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert_eq!(*signals.lock(), 1);
        assert!(stopped.await.is_err());
    });
}

/// And it is killed when its own time is over, not when the others have ended.
#[test]
fn a_child_that_is_being_stopped_keeps_its_deadline_over_its_supervisors_end() {
    let test = |rt: Handle| async move {
        let (log, never) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_one();
        let time = Duration::from_millis(100);
        let first = tree.child_with(slow_to_end(1, &log, &never).shutdown(Shutdown::After(time)));
        let clock = rt.clone();
        let slow = Setup::new(2, &log).terminate(move |_| {
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_millis(300)).await }
        });
        tree.child::<Tidy>(2, slow);
        let root = tree.start(&rt).await.unwrap();
        let (down, first_down) = (rt.down(&root), rt.down(&first));
        let begun = rt.uptime();
        let mut stopped = Box::pin(root.terminate_child(1));
        assert!(futures_util::poll!(&mut stopped).is_pending());
        log.wait_for(Event::Terminate(1)).await;
        rt.sleep(Duration::from_millis(60)).await;
        rt.exit(&root, ExitReason::Shutdown);
        assert_eq!(kind(&first_down.await.reason), "killed");
        let taken = rt.uptime() - begun;
        down.await;
        let ends: Vec<_> = inits_and_ends(&log).into_iter().filter(|it| it.0 == '-').collect();
        assert_eq!(ends, [('-', 1), ('-', 2)]);
        taken
    };
    everywhere(move |rt| async move {
        test(rt).await;
    });
    Sim::new().seeds(16).run(move |rt| async move {
        let taken = test(rt.handle()).await;
        let off = taken.abs_diff(Duration::from_millis(100));
        assert!(off < Duration::from_millis(5), "{taken:?}");
    });
}

/// The same in the middle of a group's restart.
#[test]
fn a_group_that_is_being_stopped_is_told_once_and_in_order() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_all();
        let first = tree.child_with(child(1, &log));
        tree.child_with(Child::new::<Tidy>(2, Setup::new(2, &log)));
        tree.child_with(slow_to_end(3, &log, &gate));
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&root);
        crash(&rt, &first).await;
        log.wait_for(Event::Terminate(3)).await;
        rt.exit(&root, ExitReason::Shutdown);
        until(&rt, || rt.info(&root).is_some_and(|info| info.status == Status::Ending)).await;
        gate.open();
        assert_eq!(kind(&down.await.reason), "shutdown");
        let ends: Vec<_> = inits_and_ends(&log).into_iter().filter(|it| it.0 == '-').collect();
        assert_eq!(ends, [('-', 1), ('-', 3), ('-', 2)]);
        assert_eq!([1, 2, 3].map(|id| starts(&log, id)), [1, 1, 1]);
        let terminated = |id| log.count(|event| event == Event::Terminate(id));
        assert_eq!([2, 3].map(terminated), [1, 1]);
    });
}

/// A child in a loop of restarts that was given up is one that can be deleted.
#[test]
fn a_child_whose_restarts_were_given_up_is_deleted() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_all().with_intensity(Intensity::Unlimited);
        let handle = tree.child_with(looping(1, &log, &rt));
        let root = tree.start(&rt).await.unwrap();
        let before = pid(&handle);
        crash(&rt, &handle).await;
        until_state(&rt, &root, 1, ChildState::Restarting).await;
        root.terminate_child(1).await.unwrap();
        root.delete_child(1).await.unwrap();
        assert!(!rt.is_alive(before));
        assert!(matches!(handle.call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

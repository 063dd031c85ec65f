//! Whom a static supervisor restarts with a child, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{ExitReason, Handle, Pid};
use whitebeam_supervisor::{ChildState, Restart, Supervisor, SupervisorRef};

use crate::{
    support::{Log, Msg, Setup, end, kind, stop, told},
    tree::{
        Come, Starts, child, child_of, counts, current, everywhere, inits_and_ends, pid, pid_in,
        renewed, starts, until, with_children,
    },
};

fn crash() -> Msg {
    Msg::End(ExitReason::custom("crash"))
}

/// Waits until the children 1 to `n` all run, and gives their pids.
async fn all_running(rt: &Handle, root: &SupervisorRef, n: u64) -> Vec<Pid> {
    let children = until(rt, root, |children| {
        (1..=n).all(|id| pid_in(children, id).is_some_and(|pid| rt.is_alive(pid)))
    })
    .await;
    (1..=n).map(|id| pid_in(&children, id).unwrap()).collect()
}

/// The intensity of tests that are about something else.
fn roomy(tree: Supervisor) -> Supervisor {
    tree.intensity(100, Duration::from_secs(5))
}

/// With one all others are stopped and started again.
#[test]
fn sup_055_one_for_all() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_all(), 2, &log);
        let root = tree.start(&rt).await.unwrap();
        let old: Vec<Pid> = children.iter().map(pid).collect();
        let other = rt.down(&children[1]);
        told(&rt, &current(&children[0]), crash()).await;
        assert_eq!(kind(&other.await.reason), "shutdown");
        renewed(&rt, &root, 2, old[1]).await;
        let new = all_running(&rt, &root, 2).await;
        assert!(old.iter().all(|pid| !new.contains(pid) && !rt.is_alive(*pid)));
        assert_eq!(counts(&root).await, (2, 2, 0, 2));
        // Each knows why it was started again.
        let last = |child: usize| children[child].call(Msg::Who);
        assert_eq!(kind(&last(0).await.unwrap().1.last_exit.unwrap()), "custom");
        assert_eq!(kind(&last(1).await.unwrap().1.last_exit.unwrap()), "shutdown");
    });
}

/// One event counts as one restart, and the third of two ends the supervisor.
async fn ends_on_the_third(rt: Handle, tree: Supervisor, victims: [u64; 3]) {
    let log = Log::new();
    let (tree, children) = with_children(tree.intensity(2, Duration::from_secs(5)), 3, &log);
    let root = tree.start(&rt).await.unwrap();
    let down = rt.down(&root);
    for (round, id) in victims.into_iter().enumerate() {
        let victim = &children[id as usize - 1];
        let before = pid(victim);
        told(&rt, &current(victim), crash()).await;
        if round < 2 {
            renewed(&rt, &root, id, before).await;
            all_running(&rt, &root, 3).await;
        }
    }
    assert_eq!(kind(&down.await.reason), "shutdown");
    assert_eq!(rt.processes().len(), 0);
}

/// The third crash ends it.
#[test]
fn sup_056_one_for_all_intensity() {
    everywhere(|rt| ends_on_the_third(rt, Supervisor::one_for_all(), [1, 3, 2]));
}

/// A sibling that does not start again counts at each try.
#[test]
fn sup_057_one_for_all_escalates() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good].into_iter().chain([Come::Failed; 20]));
        let mut tree = Supervisor::one_for_all().intensity(4, Duration::from_secs(5));
        let first = tree.child_with(child(1, &log));
        tree.child_with(child_of(Setup::new(2, &log).init(come.come())));
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&root);
        told(&rt, &current(&first), crash()).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
        // What a try has started is stopped before the next one.
        let mut happened = vec![('+', 1), ('+', 2), ('-', 1), ('-', 2)];
        for _ in 0..4 {
            happened.extend([('+', 1), ('+', 2), ('-', 1)]);
        }
        assert_eq!(inits_and_ends(&log), happened);
        assert_eq!(rt.processes().len(), 0);
    });
}

/// Those behind are restarted with one, those before are not.
#[test]
fn sup_063_rest_for_one() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::rest_for_one(), 3, &log);
        let root = tree.start(&rt).await.unwrap();
        let old: Vec<Pid> = children.iter().map(pid).collect();
        let third = rt.down(&children[2]);
        told(&rt, &current(&children[1]), crash()).await;
        assert_eq!(kind(&third.await.reason), "shutdown");
        renewed(&rt, &root, 3, old[2]).await;
        let new = all_running(&rt, &root, 3).await;
        assert_eq!(new[0], old[0]);
        assert!(new[1] != old[1] && new[2] != old[2]);
        assert_eq!(counts(&root).await, (3, 3, 0, 3));
        assert_eq!(starts(&log, 1), 1);
    });
}

/// The third crash ends it.
#[test]
fn sup_064_rest_for_one_intensity() {
    everywhere(|rt| ends_on_the_third(rt, Supervisor::rest_for_one(), [2, 3, 2]));
}

/// A younger sibling that does not start again counts at each try; what is before it goes on.
#[test]
fn sup_065_rest_for_one_escalates() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good].into_iter().chain([Come::Failed; 20]));
        let mut tree = Supervisor::rest_for_one().intensity(4, Duration::from_secs(5));
        let first = tree.child_with(child(1, &log));
        tree.child_with(child_of(Setup::new(2, &log).init(come.come())));
        tree.child_with(child(3, &log));
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&root);
        told(&rt, &current(&first), crash()).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
        // A try begins with the child that has failed.
        let mut happened = vec![('+', 1), ('+', 2), ('+', 3), ('-', 1), ('-', 3), ('-', 2)];
        happened.push(('+', 1));
        happened.extend([('+', 2); 4]);
        happened.push(('-', 1));
        assert_eq!(inits_and_ends(&log), happened);
    });
}

/// Starts go in order, stops in reverse order, at a restart and at the end.
#[test]
fn sup_084_order_of_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::rest_for_one();
        let order = [7, 2, 9, 1, 5];
        let children: Vec<_> = order.map(|id| tree.child_with(child(id, &log))).into();
        let root = tree.start(&rt).await.unwrap();
        assert_eq!(inits_and_ends(&log), order.map(|id| ('+', id)));
        let last = pid(&children[4]);
        told(&rt, &current(&children[2]), crash()).await;
        renewed(&rt, &root, 5, last).await;
        let mut happened: Vec<_> = order.map(|id| ('+', id)).into();
        happened.extend([('-', 9), ('-', 5), ('-', 1), ('+', 9), ('+', 1), ('+', 5)]);
        assert_eq!(inits_and_ends(&log), happened);
        stop(&rt, &root).await;
        happened.extend([('-', 5), ('-', 1), ('-', 9), ('-', 2), ('-', 7)]);
        assert_eq!(inits_and_ends(&log), happened);
    });
}

/// A group that is restarted drops its temporary children, and starts those as well that had been stopped by hand or
/// had ended in order.
#[test]
fn a_restarted_group_is_what_its_specs_say() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = roomy(Supervisor::one_for_all());
        let first = tree.child_with(child(1, &log));
        tree.child_with(child(2, &log).restart(Restart::Temporary));
        let third = tree.child_with(child(3, &log).restart(Restart::Transient));
        tree.child_with(child(4, &log));
        let root = tree.start(&rt).await.unwrap();
        root.terminate_child(4).await.unwrap();
        told(&rt, &current(&third), Msg::End(ExitReason::Normal)).await;
        crate::tree::until_state(&rt, &root, 3, ChildState::Stopped).await;
        let before = pid(&first);
        told(&rt, &current(&first), crash()).await;
        renewed(&rt, &root, 4, before).await;
        assert_eq!(counts(&root).await, (3, 3, 0, 3));
        assert_eq!([1, 2, 3, 4].map(|id| starts(&log, id)), [2, 1, 2, 2]);
    });
}

/// Children that end together are one restart of a group when the second is found ended by the stop of the first; never
/// more than one start each.
#[test]
fn siblings_that_end_together_are_started_once_each_time() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(roomy(Supervisor::one_for_all()), 3, &log);
        let root = tree.start(&rt).await.unwrap();
        for _ in 0..5 {
            let before: Vec<Pid> = children.iter().map(pid).collect();
            for pid in &before {
                rt.exit(*pid, ExitReason::Kill);
            }
            until(&rt, &root, |all| {
                (1..=3).all(|id| {
                    pid_in(all, id).is_some_and(|pid| !before.contains(&pid) && rt.is_alive(pid))
                })
            })
            .await;
            // No two of one child at a time.
            let alive =
                rt.processes().iter().filter(|info| info.parent == Some(pid(&root))).count();
            assert_eq!(alive, 3);
        }
        end(&rt, &root, ExitReason::Shutdown).await;
        let mut running = 0_i32;
        for (what, _) in inits_and_ends(&log) {
            running += if what == '+' { 1 } else { -1 };
            assert!((0..=3).contains(&running));
        }
        assert_eq!(running, 0);
    });
}

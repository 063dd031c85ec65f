//! How a static supervisor stops, and what it lets pass, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{ExitReason, Handle, Mailbox};
use whitebeam_supervisor::{Child, ChildState, DynamicSupervisor, Shutdown, Supervisor};

use crate::{
    support::{Event, Gate, Log, Msg, Setup, Tidy, end, kind, stop},
    tree::{
        child, child_of, counts, current, everywhere, pid, starts, state_in, tidy, until,
        with_children,
    },
};

fn now(rt: &Handle) -> Duration {
    rt.uptime()
}

/// A child that does not end when it is told to.
fn stubborn(id: u64, log: &Log) -> Setup {
    Setup::new(id, log).terminate(|_| std::future::pending())
}

fn stubborn_child(id: u64, log: &Log) -> Child<whitebeam_actor::ChildRef<Msg>> {
    Child::new::<Tidy>(id as usize, stubborn(id, log))
}

/// `Infinity` is for workers, too.
#[test]
fn sup_015_infinity() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let rt2 = rt.clone();
        let slow = Setup::new(1, &log).terminate(move |_| {
            let rt = rt2.clone();
            async move { rt.sleep(Duration::from_millis(100)).await }
        });
        let worker = Child::new::<Tidy>(1, slow).shutdown(Shutdown::Infinity);
        let worker = tree.child_with(worker);
        let inner = Child::nested("inner", Supervisor::one_for_one()).shutdown(Shutdown::Infinity);
        let inner = tree.child_with(inner);
        let root = tree.start(&rt).await.unwrap();
        let downs = (rt.down(&worker), rt.down(&inner));
        stop(&rt, &root).await;
        assert_eq!(kind(&downs.0.await.reason), "shutdown");
        assert_eq!(kind(&downs.1.await.reason), "shutdown");
    });
}

/// Who does not end in its time is killed; the others end as they are told.
#[test]
fn sup_016_timeout() {
    everywhere(|rt| async move {
        let log = Log::new();
        let time = Duration::from_millis(200);
        let mut tree = Supervisor::one_for_one();
        let first = tree.child_with(tidy(1, &log).shutdown(Shutdown::After(time)));
        let second = tree.child_with(stubborn_child(2, &log).shutdown(Shutdown::After(time)));
        let root = tree.start(&rt).await.unwrap();
        let downs = (rt.down(&first), rt.down(&second));
        let begun = now(&rt);
        stop(&rt, &root).await;
        let took = now(&rt) - begun;
        assert!(took >= time && took < time + Duration::from_secs(2), "{took:?}");
        assert_eq!(kind(&downs.0.await.reason), "shutdown");
        assert_eq!(kind(&downs.1.await.reason), "killed");
    });
}

/// `BrutalKill` kills at once.
#[test]
fn sup_018_brutal_kill() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let first =
            tree.child_with(tidy(1, &log).shutdown(Shutdown::After(Duration::from_secs(1))));
        let second = tree.child_with(stubborn_child(2, &log).shutdown(Shutdown::BrutalKill));
        let root = tree.start(&rt).await.unwrap();
        let downs = (rt.down(&first), rt.down(&second));
        stop(&rt, &root).await;
        assert_eq!(kind(&downs.0.await.reason), "shutdown");
        assert_eq!(kind(&downs.1.await.reason), "killed");
        assert!(!log.has(Event::Terminate(2)));
    });
}

/// Children are stopped one at a time: none is told before the one behind it has ended.
#[test]
fn stops_go_one_after_the_other() {
    everywhere(|rt| async move {
        let log = Log::new();
        let gate = Gate::new();
        let mut tree = Supervisor::one_for_one();
        tree.child_with(tidy(1, &log));
        let waiting = gate.clone();
        let slow = Setup::new(2, &log).terminate(move |_| waiting.clone().passed());
        tree.child_with(Child::new::<Tidy>(2, slow));
        tree.child_with(tidy(3, &log));
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&root);
        rt.exit(&root, ExitReason::Shutdown);
        log.wait_for(Event::Terminate(2)).await;
        assert!(log.has(Event::Dropped(3)) && !log.has(Event::Terminate(1)));
        assert!(rt.is_alive(&root));
        gate.open();
        down.await;
        let ends: Vec<_> = log
            .all()
            .into_iter()
            .filter(|event| matches!(event, Event::Terminate(_) | Event::Dropped(_)))
            .collect();
        let expected = [3, 2, 1].map(|id| [Event::Terminate(id), Event::Dropped(id)]);
        assert_eq!(ends, expected.concat());
    });
}

/// A child that has cut its link and ignores the shutdown is killed in its time. (Nothing of ours needs the link.)
#[test]
fn sup_066_unlinked_child() {
    everywhere(|rt| async move {
        let log = Log::new();
        let time = Duration::from_millis(100);
        let mut tree = Supervisor::one_for_one();
        let body = |mut mailbox: Mailbox<u32>| async move {
            if let Some(parent) = mailbox.parent() {
                mailbox.unlink(parent);
            }
            // As a message, so that nothing happens.
            mailbox.trap_exit(|_| 0);
            loop {
                mailbox.recv().await;
            }
        };
        let child = tree.child_with(Child::process("deaf", body).shutdown(Shutdown::After(time)));
        tree.child_with(tidy(1, &log));
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&child);
        let begun = now(&rt);
        root.terminate_child("deaf").await.unwrap();
        assert!(now(&rt) - begun >= time);
        assert_eq!(kind(&down.await.reason), "killed");
        assert_eq!(counts(&root).await, (2, 1, 0, 2));
        assert_eq!(root.info().unwrap().mailbox_len, 0);
    });
}

/// A supervisor traps exits: those of strangers, linked or not, are dropped.
#[test]
fn sup_099_strangers_exits() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let target = pid(&root);
        let stranger = rt.spawn_fn(move |mut mailbox: Mailbox<bool>| async move {
            mailbox.link(target);
            mailbox.exit(target, ExitReason::Shutdown);
            mailbox.recv().await;
            Err(ExitReason::custom("stranger"))
        });
        let down = rt.down(&stranger);
        stranger.cast(true).unwrap();
        assert_eq!(kind(&down.await.reason), "custom");
        assert_eq!(counts(&root).await, (1, 1, 0, 1));
        assert!(rt.is_alive(target) && children[0].is_alive());
        assert_eq!(root.info().unwrap().mailbox_len, 0);
    });
}

/// Adapted: unknown messages do not compile, exit signals of strangers are all that it can be sent. It drops any number
/// of them.
#[test]
fn sup_100_unknown_messages() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, _) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let target = pid(&root);
        let sender = rt.spawn_fn(move |mut mailbox: Mailbox<u32>| async move {
            for n in 0..1000 {
                mailbox.exit(target, ExitReason::custom(n));
            }
            Ok(())
        });
        rt.down(&sender).await;
        assert_eq!(counts(&root).await, (1, 1, 0, 1));
        assert_eq!(starts(&log, 1), 1);
    });
}

/// A killed supervisor's children end, those that trap exits as well, and those of supervisors below it.
#[test]
fn sup_101_killed_supervisor() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let plain = tree.child_with(child(1, &log));
        let traps = tree.child_with(child_of(Setup::new(2, &log).traps()));
        let mut inner = Supervisor::one_for_one();
        let grandchild = inner.child_with(tidy(3, &log));
        tree.nest("inner", inner);
        let root = tree.start(&rt).await.unwrap();
        let downs = [&plain, &traps, &grandchild].map(|child| rt.down(child));
        assert_eq!(kind(&end(&rt, &root, ExitReason::Kill).await), "killed");
        for down in downs {
            // OTP: killed. Here they are told to shut down as they would have been.
            assert_eq!(kind(&down.await.reason), "shutdown");
        }
        crate::support::until(&rt, || rt.processes().is_empty()).await;
    });
}

/// Adapted: what only looks is answered while a child is being stopped. The child is told of as running until it has
/// ended.
#[test]
fn sup_102_questions_while_a_child_stops() {
    everywhere(|rt| async move {
        let log = Log::new();
        let gate = Gate::new();
        let waiting = gate.clone();
        let mut tree = Supervisor::one_for_one();
        let slow = Setup::new(1, &log).terminate(move |_| waiting.clone().passed());
        let slow = Child::new::<Tidy>(1, slow).shutdown(Shutdown::Infinity);
        let handle = tree.child_with(slow);
        let root = tree.start(&rt).await.unwrap();
        let before = pid(&handle);
        let stopped = rt.spawn_task({
            let root = root.clone();
            async move { root.terminate_child(1).await }
        });
        log.wait_for(Event::Terminate(1)).await;
        let children = root.which_children().await.unwrap();
        assert_eq!(state_in(&children, 1), Some(ChildState::Running(before)));
        // What changes something waits in line.
        let added = root.start_child(child(2, &log));
        assert_eq!(counts(&root).await, (1, 1, 0, 1));
        gate.open();
        stopped.await.unwrap();
        added.await.unwrap();
        let children = until(&rt, &root, |all| all.len() == 2).await;
        assert_eq!(state_in(&children, 1), Some(ChildState::Stopped));
    });
}

/// Short times are legal, and a child that ends by itself in them is no error.
#[test]
fn sup_109_short_shutdown_times() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        for (id, ms) in [(1, 0), (2, 1)] {
            let time = Shutdown::After(Duration::from_millis(ms));
            tree.child_with(child(id, &log).shutdown(time));
        }
        let root = tree.start(&rt).await.unwrap();
        stop(&rt, &root).await;
        assert!(log.has(Event::Dropped(1)) && log.has(Event::Dropped(2)));
    });
}

/// With no time at all a child is told, and killed.
#[test]
fn sup_110_no_time_at_all() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let child = tree.child_with(
            Child::new::<Tidy>(1, stubborn(1, &log).traps())
                .shutdown(Shutdown::After(Duration::ZERO)),
        );
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&child);
        root.terminate_child(1).await.unwrap();
        assert_eq!(kind(&down.await.reason), "killed");
        root.restart_child(1).await.unwrap();
        let down = rt.down(&child);
        stop(&rt, &root).await;
        assert_eq!(kind(&down.await.reason), "killed");
    });
}

/// A stop that is asked for is over when all children have ended.
#[test]
fn sup_112_stop() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, _) = with_children(Supervisor::one_for_one(), 3, &log);
        let root = tree.start(&rt).await.unwrap();
        let target = pid(&root);
        let time = Duration::from_secs(5);
        rt.stop(&root, ExitReason::Normal).timeout(time).await.unwrap();
        assert!(!rt.is_alive(target));
        assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), 3);
        assert_eq!(rt.processes().len(), 0);
    });
}

/// A child that is being stopped by itself when the supervisor is told to end gets no second term.
#[test]
fn a_stop_that_is_under_way_keeps_its_deadline() {
    // Exactly: in virtual time.
    crate::support::simulated(|rt| async move {
        let log = Log::new();
        let time = Duration::from_millis(300);
        let mut tree = Supervisor::one_for_one();
        tree.child_with(stubborn_child(1, &log).shutdown(Shutdown::After(time)));
        let root = tree.start(&rt).await.unwrap();
        let begun = now(&rt);
        let asked = rt.spawn_task({
            let root = root.clone();
            async move { root.terminate_child(1).await }
        });
        log.wait_for(Event::Terminate(1)).await;
        rt.sleep(time * 2 / 3).await;
        stop(&rt, &root).await;
        let took = now(&rt) - begun;
        assert!(took >= time && took < time + Duration::from_millis(20), "{took:?}");
        assert!(asked.await.is_err());
    });
}

/// A child in its `init` is told as well.
#[test]
fn an_added_child_that_is_starting_is_stopped_with_the_others() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (tree, children) = with_children(Supervisor::one_for_one(), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let never = Gate::new();
        let added = root.start_child(child_of(Setup::new(2, &log).init_at(&never)));
        log.wait_for(Event::Init(2, 1)).await;
        assert_eq!(counts(&root).await, (1, 1, 0, 1), "not before it has started");
        assert!(current(&children[0]).is_alive());
        stop(&rt, &root).await;
        assert!(added.await.is_err());
        assert_eq!(rt.processes().len(), 0);
    });
}

/// A time that no clock reaches is a very long one.
#[test]
fn the_longest_shutdown_time() {
    everywhere(|rt| async move {
        let log = Log::new();
        let longest = Shutdown::After(Duration::MAX);
        let mut tree = Supervisor::one_for_one();
        for id in [1, 2] {
            tree.child_with(tidy(id, &log).shutdown(longest));
        }
        let spec = DynamicSupervisor::<Tidy>::temporary().shutdown(longest);
        let dynamic = tree.nest("dynamic", spec);
        let root = tree.start(&rt).await.unwrap();
        let child = dynamic.start_child(Setup::new(3, &log)).await.unwrap();
        dynamic.start_child(Setup::new(4, &log)).await.unwrap();
        dynamic.terminate_child(&child).await.unwrap();
        root.terminate_child(1).await.unwrap();
        stop(&rt, &root).await;
        assert_eq!(log.count(|event| matches!(event, Event::Terminate(_))), 4);
    });
}

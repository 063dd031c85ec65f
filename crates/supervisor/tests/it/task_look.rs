//! What a task supervisor shows of its tasks in a picture of the tree.

use std::future::pending;

use whitebeam_actor::{ExitReason, Mailbox, SpawnOptions, Target};
use whitebeam_supervisor::{
    Intensity, NodeKind, NodeState, Restart, Shutdown, StopTime, Supervisor, TaskSupervisor,
    ThisTask,
};

use crate::support::{
    Gate, everywhere, kind,
    owner::{ms, oops},
    stop,
};

#[test]
fn a_task_supervisor_tells_of_its_tasks() {
    everywhere(|rt| async move {
        let mut tree = Supervisor::one_for_one();
        let tasks = tree.nest("tasks", TaskSupervisor::new());
        let root = tree.start(&rt).await.unwrap();
        let labelled = tasks.with(SpawnOptions::new().label("indexer"));
        let one = labelled
            .with_shutdown(Shutdown::After(ms(700)))
            .start(async { pending().await })
            .unwrap();
        let runs = std::sync::atomic::AtomicUsize::new(0);
        let again = move || {
            let is_first = runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            async move {
                if is_first {
                    ThisTask::current().unwrap().exit(oops(1)).await;
                }
                pending().await
            }
        };
        let first = tasks.start_restarted(Restart::Transient, again).unwrap();
        while tasks.children().await.unwrap().contains(&first) {
            rt.sleep(ms(1)).await;
        }
        let rest: Vec<_> = (0..5).map(|_| tasks.spawn(pending::<()>())).collect();

        let picture = root.tree().await;
        let node = &picture.root.children[0];
        assert_eq!((node.kind, node.answered, node.pid), (NodeKind::Tasks, true, tasks.target()));
        assert_eq!((node.children.len(), node.more, node.below.workers), (7, 0, 7));
        let shown = node.children.iter().find(|child| child.pid == Some(one)).unwrap();
        assert_eq!(shown.label.as_ref().unwrap().to_string(), "indexer");
        assert_eq!(shown.restart, Some(Restart::Temporary));
        assert_eq!(shown.shutdown, Some(Shutdown::After(ms(700))));
        assert_eq!((shown.kind, shown.state), (NodeKind::Worker, NodeState::Running));
        assert_eq!(shown.actor, "Task");
        let restarted = |child: &&whitebeam_supervisor::SupervisionNode| child.restarts == 1;
        let shown: Vec<_> = node.children.iter().filter(restarted).collect();
        assert_eq!((shown.len(), shown[0].restart), (1, Some(Restart::Transient)));
        assert_eq!(picture.stop_budget(), StopTime::Within(ms(5_000)));
        let text = crate::support::with_letters(&picture.to_string());
        for line in [
            "> (indexer) Task: temporary, 700ms",
            "> Task: transient, 5s, restarted 1x",
            "  tasks <b> tasks: permanent, infinity",
        ] {
            assert!(text.contains(line), "{text}");
        }

        // Those behind the first are counted.
        let node = &root.tree().children(2).await.root.children[0];
        assert_eq!((node.children.len(), node.more, node.below.active), (2, 5, 7));
        assert_eq!(node.children_stop_within, StopTime::Within(ms(5_000)));
        drop(rest);
        stop(&rt, &root).await;
    });
}

/// One whose restart is tried again is shown as such, without a process.
#[test]
fn a_task_that_waits_for_its_restart_is_shown() {
    everywhere(|rt| async move {
        let mut tree = Supervisor::one_for_one();
        let spec = TaskSupervisor::new().with_intensity(Intensity::Unlimited);
        let tasks = tree.nest("tasks", spec);
        let root = tree.start(&rt).await.unwrap();
        let gate = Gate::new();
        let first_run = gate.clone();
        let named = tasks.with(SpawnOptions::new().name("the one"));
        let work = move || first_run.clone().passed();
        let task = named.start_restarted(Restart::Permanent, work).unwrap();
        let other = rt.spawn_fn(|_: Mailbox<()>| async { pending().await });
        assert!(rt.unregister("the one"));
        rt.register("the one", &other).unwrap();
        gate.open();
        while !tasks.children().await.unwrap().is_empty() {}
        // Alone, and behind one that runs.
        for before in 0..2 {
            let runs = (before > 0).then(|| tasks.spawn(pending::<()>()));
            let node = &root.tree().children(1).await.root.children[0];
            assert_eq!((node.below.workers, node.below.active), (1 + before, before));
            assert_eq!((node.children.len(), node.more), (1, before));
            let child = &node.children[0];
            let expected = match runs {
                None => (NodeState::Restarting, None, Some(Restart::Permanent)),
                Some(runs) => (NodeState::Running, Some(runs.pid()), Some(Restart::Temporary)),
            };
            assert_eq!((child.state, child.pid, child.restart), expected);
        }
        tasks.terminate_child(task).await.unwrap();
        let down = rt.down(&other);
        rt.exit(&other, ExitReason::Kill);
        assert_eq!(kind(&down.await.reason), "killed");
        assert_eq!(tasks.count(), 1);
        stop(&rt, &root).await;
    });
}

//! Trees: paths, kills by path, and who was started again.

use whitebeam::prelude::*;
use whitebeam_testkit::{Sim, Tree, sim};

struct Worker;

impl Actor for Worker {
    type Args = ();
    type Msg = ();

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Worker)
    }

    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

#[test]
fn restarts_are_told_in_their_order_by_path() {
    sim(|rt| async move {
        let workers = DynamicSupervisor::<Worker>::new().start(&rt).await.expect("workers");
        for _ in 0..3 {
            workers.start_child(()).await.expect("a worker");
        }
        let tree = Tree::of(&rt, &workers);
        let before = tree.pid("Worker#2");
        tree.kill("Worker#2");
        tree.settle().await;
        tree.kill("Worker");
        tree.settle().await;
        assert_eq!(tree.restarted_paths(), ["Worker#2", "Worker"]);
        let restarted = &tree.restarted()[0];
        assert_eq!(restarted.before, before);
        assert_eq!(restarted.now, tree.pid("Worker#2"));
        let later = Tree::of(&rt, &workers);
        assert!(later.restarted().is_empty(), "those were before");
        let paths: Vec<_> = later.paths().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["Worker", "Worker#1", "Worker#2"]);
    });
}

#[test]
fn a_path_goes_through_supervisors() {
    sim(|rt| async move {
        let pool = PartitionSupervisor::new(Partitions::exactly(2), |_| {
            Child::nested("dynamic", DynamicSupervisor::<Worker>::new())
        });
        let pool = pool.start(&rt).await.expect("a pool");
        for key in [0, 1, 1] {
            pool.of(&key).start_child(()).await.expect("a worker");
        }
        let tree = Tree::of(&rt, &pool);
        let paths: Vec<_> = tree.paths().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths.iter().filter(|path| path.ends_with("Worker")).count(), 2, "{paths:?}");
        assert!(paths.contains(&"Dynamic<Worker>#1/Worker#1".to_owned()), "{paths:?}");
        tree.kill("Dynamic<Worker>#1/Worker#1");
        tree.settle().await;
        assert_eq!(tree.restarted_paths(), ["Dynamic<Worker>#1/Worker#1"]);
        tree.kill("Dynamic<Worker>#1");
        tree.settle().await;
        assert_eq!(tree.restarted_paths(), ["Dynamic<Worker>#1/Worker#1", "Dynamic<Worker>#1"]);
    });
}

#[test]
fn a_temporary_child_is_gone_and_a_wrong_path_names_those_there_are() {
    let failure = Sim::new()
        .try_run(|rt| async move {
            let workers =
                DynamicSupervisor::<Worker>::temporary().start(&rt).await.expect("workers");
            workers.start_child(()).await.expect("a worker");
            workers.start_child(()).await.expect("a worker");
            let tree = Tree::of(&rt, &workers);
            tree.kill("Worker");
            tree.settle().await;
            assert!(tree.restarted().is_empty());
            tree.kill("Worker");
        })
        .expect_err("it is gone");
    let text = failure.to_string();
    assert!(
        text.contains("there is no \"Worker\" in the tree") && text.contains("Worker#1"),
        "{text}"
    );
}

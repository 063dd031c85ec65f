//! What static supervisors and their children are called, by the ids of `docs/conformance.md`.

use whitebeam_actor::{ExitReason, FindError, Mailbox, Name, SpawnOptions, StartError, Target};
use whitebeam_supervisor::{DynamicSupervisor, Supervisor, SupervisorRef};

use crate::{
    support::{Log, Msg, Plain, told},
    tree::{child, counts, current, everywhere, ids, pid, renewed, with_children},
};

fn crash() -> Msg {
    Msg::End(ExitReason::custom("crash"))
}

/// Adapted: a supervisor is no module. What it is called is its label, and its process's type is known.
#[test]
fn sup_073_what_a_supervisor_is_called() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().label("the root");
        let mut tree = Supervisor::one_for_one().options(options);
        tree.nest("dynamic", DynamicSupervisor::<Plain>::temporary());
        let root = tree.start(&rt).await.unwrap();
        let info = root.info().unwrap();
        assert_eq!(info.label, Some("the root".into()));
        assert!(info.actor.contains("Supervising"), "{}", info.actor);
        let nested = root.which_child("dynamic").await.unwrap();
        let pid = nested.state.pid().unwrap();
        assert_eq!(nested.actor, rt.info(pid).unwrap().actor);
    });
}

/// A supervisor is found by its name, of whatever kind, and answers.
#[test]
fn sup_103_supervisors_by_name() {
    everywhere(|rt| async move {
        let log = Log::new();
        let options = SpawnOptions::new().name("tree");
        let (tree, _) = with_children(Supervisor::one_for_one().options(options), 1, &log);
        let root = tree.start(&rt).await.unwrap();
        let found = SupervisorRef::find(&rt, Name::from("tree")).unwrap();
        assert_eq!(found.target(), root.target());
        assert_eq!(ids(&found.which_children().await.unwrap()), ["1"]);
        // By pid, and not what is none.
        assert!(SupervisorRef::find(&rt, pid(&root)).is_ok());
        let other = rt.spawn_fn(|mut mailbox: Mailbox<u32>| async move {
            mailbox.recv().await;
            Ok(())
        });
        assert!(matches!(SupervisorRef::find(&rt, &other), Err(FindError::WrongMessage { .. })));
        other.cast(1).unwrap();
        // A second one of that name is refused.
        let options = SpawnOptions::new().name("tree");
        let second = Supervisor::one_for_one().options(options).start(&rt).await;
        assert!(matches!(second, Err(StartError::NameTaken(owner)) if owner == pid(&root)));
    });
}

/// The name of a child is its own again when it was restarted.
#[test]
fn sup_107_names_of_restarted_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let handle = tree.child_with(child(1, &log).options(SpawnOptions::new().name("worker")));
        let root = tree.start(&rt).await.unwrap();
        let by_name = rt.named::<Msg>("worker");
        assert_eq!(by_name.call(Msg::Who).await.unwrap().1.attempt, 1);
        let first = pid(&handle);
        told(&rt, &current(&handle), crash()).await;
        let second = renewed(&rt, &root, 1, first).await;
        assert_eq!(rt.whereis("worker"), Some(second));
        assert_eq!(by_name.call(Msg::Who).await.unwrap().1.attempt, 2);
        root.terminate_child(1).await.unwrap();
        assert_eq!(rt.whereis("worker"), None);
        root.restart_child(1).await.unwrap();
        assert_eq!(by_name.call(Msg::Who).await.unwrap().1.attempt, 3);
    });
}

/// Adapted: names are typed. One that is no name is an error at the start.
#[test]
fn sup_108_bad_names() {
    everywhere(|rt| async move {
        let tree = Supervisor::one_for_one().options(SpawnOptions::new().name(""));
        let start = tree.start(&rt).await;
        assert!(matches!(start, Err(StartError::Invalid(_))), "{start:?}");
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let nameless = child(1, &log).options(SpawnOptions::new().name(""));
        let start = root.start_child(nameless).await;
        assert!(matches!(start, Err(StartError::Invalid(_))), "{start:?}");
        assert_eq!(counts(&root).await, (0, 0, 0, 0));
    });
}

//! Tasks where something else gets in between: other runtimes, names, other times to shut down, a runtime that ends.

use std::{future::pending, time::Duration};

use whitebeam_actor::{
    ExitReason, Mailbox, Pid, Reply, Runtime, SpawnOptions, StartError, oneshot,
};
use whitebeam_supervisor::{
    Child, ChildState, NotOwner, OnTimeout, Restart, Shutdown, Supervisor, TaskSupervisor,
    ThisTask, YieldMany, yield_many,
};

use crate::support::{
    EXPECTED, everywhere, expect_panics, kind,
    owner::{Note, exit_of, ms, nothing_comes, owner, run_owner, tasks},
    stop, until,
};

/// Adapted: the child is a body in the process form, which is what a task is; its id is given, as for any child.
#[test]
fn task_001_a_task_is_a_child_of_a_supervisor() {
    everywhere(|rt| async move {
        let (begun, has_begun) = oneshot();
        let begun = parking_lot::Mutex::new(Some(begun));
        let body = move |mailbox: Mailbox<()>| {
            let begun = begun.lock().take();
            async move {
                begun.expect("once").send(mailbox.pid());
                pending().await
            }
        };
        let mut tree = Supervisor::one_for_one();
        let task = Child::process(std::any::type_name_of_val(&body), body);
        let child = tree.child_with(task.restart(Restart::Temporary));
        let root = tree.start(&rt).await.unwrap();
        let pid = has_begun.await.unwrap();
        let [entry] = &root.which_children().await.unwrap()[..] else { panic!("one child") };
        assert!(matches!(entry.state, ChildState::Running(running) if running == pid));
        assert!(entry.id.to_string().contains("task_001"), "{}", entry.id);
        let spec = root.get_childspec(&child).await.unwrap();
        assert_eq!(spec.restart, Restart::Temporary);
        // Its work is done once, however it ends.
        rt.exit(pid, ExitReason::Kill);
        crate::tree::until(&rt, &root, <[_]>::is_empty).await;
        stop(&rt, &root).await;
    });
}

#[test]
fn a_linked_task_is_one_of_its_owners_runtime() {
    everywhere(|rt| async move {
        let foreign = Runtime::simulated(3).unwrap();
        let theirs = foreign.block_on(TaskSupervisor::new().start(&foreign)).unwrap();
        let ours = theirs.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let task = ours.spawn_link(&mut mailbox, async { 1 });
            assert_eq!(task.pid(), Pid::NOBODY);
            let error = task.await.unwrap_err();
            let why = error.reason().downcast_ref::<StartError>();
            assert!(matches!(why, Some(StartError::NoSupervisor)), "{why:?}");
            assert_eq!(mailbox.relations().links, []);
        })
        .await;
        assert_eq!(theirs.count(), 0);
        foreign.block_on(async {
            assert_eq!(theirs.spawn(async { 2 }).await.unwrap(), 2, "it serves its own");
            assert!(foreign.shutdown(ms(1_000)).await.is_clean());
        });
    });
}

#[test]
fn who_is_not_the_owner_cannot_give_a_task_up() {
    everywhere(|rt| async move {
        expect_panics();
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        let reason = run_owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let (go, goes) = oneshot();
            let task = tasks.spawn_link(&mut mailbox, async {
                if goes.await.is_ok() {
                    panic!("{EXPECTED}");
                }
            });
            let other = handle.spawn_fn(move |_: Mailbox<()>| async move {
                let error = task.ignore().unwrap().unwrap_err();
                assert!(error.reason().is::<NotOwner>());
                Ok(())
            });
            while handle.is_alive(&other) {
                handle.sleep(ms(1)).await;
            }
            go.send(8);
            pending().await
        })
        .await;
        assert_eq!(kind(&reason), "panic", "the link is there");
    });
}

#[test]
fn a_task_may_have_a_name() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let named = tasks.with(SpawnOptions::new().name("the one"));
        let (end, ends) = oneshot::<()>();
        let first = named.spawn(async { ends.await.is_ok() });
        assert_eq!(rt.info(first.pid()).unwrap().name.unwrap().to_string(), "the one");
        let second = named.spawn(async {}).await.unwrap_err();
        let taken = second.reason().downcast_ref::<StartError>();
        assert!(matches!(taken, Some(StartError::NameTaken(by)) if *by == first.pid()));
        assert!(matches!(named.start(async {}), Err(StartError::NameTaken(_))));
        assert_eq!(tasks.count(), 1);
        end.send(());
        assert!(first.await.unwrap());
        until(&rt, || named.spawn(async {}).pid() != Pid::NOBODY).await;
    });
}

/// Tells that it has begun, and does not heed what it is told, or ends then.
async fn traps(
    mut mailbox: Mailbox<Note>,
    begun: Reply<()>,
    is_orderly: bool,
) -> Result<(), ExitReason> {
    mailbox.trap_exit(Note::Exit);
    begun.send(());
    mailbox.recv().await;
    if is_orderly { Ok(()) } else { pending().await }
}

#[test]
fn each_has_its_own_time_also_when_the_runtime_ends() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let hour = Shutdown::After(Duration::from_secs(3_600));
        let mut all = Vec::new();
        for (how, is_orderly) in
            [(Shutdown::After(ms(30)), false), (Shutdown::BrutalKill, false), (hour, true)]
        {
            let (begun, has_begun) = oneshot();
            all.push(
                tasks.with_shutdown(how).spawn_fn(move |mailbox| traps(mailbox, begun, is_orderly)),
            );
            has_begun.await.unwrap();
        }
        let report = rt.shutdown(Duration::from_secs(3_600)).await;
        assert!(report.elapsed < Duration::from_secs(60), "{report}");
        let mut ends = Vec::new();
        for task in all {
            ends.push(task.await.map_err(|error| kind(error.reason())));
        }
        assert_eq!(ends, [Err("killed"), Err("killed"), Ok(())]);
    });
}

#[test]
fn a_time_without_an_end_is_none() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await.with_shutdown(Shutdown::After(Duration::MAX));
        let task = tasks.spawn(pending::<()>()).timeout(Duration::MAX);
        tasks.terminate_child(task.pid()).await.unwrap();
        assert_eq!(kind(task.await.unwrap_err().reason()), "shutdown");
        let all = tasks.map_iter(0..3, |n| async move { n }).timeout(Duration::MAX);
        assert_eq!(all.collect().await.unwrap(), [0, 1, 2]);
        let mut last = tasks.spawn(async { 1 });
        assert!(matches!(last.wait(Duration::MAX).await, Some(Ok(1))));
        let forever = tasks.spawn(pending::<()>());
        let ended = forever.shutdown(Shutdown::After(Duration::MAX)).await;
        assert_eq!(kind(ended.unwrap_err().reason()), "shutdown");
        let kept = tasks.spawn(pending::<()>());
        until(&rt, || tasks.count() == 1).await;
        stop(&rt, &tasks).await;
        assert_eq!(kind(kept.await.unwrap_err().reason()), "shutdown");
    });
}

/// A linked task that has given its result is unlinked by its shutdown, unless its EXIT was there before.
#[test]
fn a_shutdown_after_the_result_leaves_no_link() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            for _ in 0..20 {
                let task = tasks.spawn_link(&mut mailbox, async { 5 });
                let pid = task.pid();
                let given = task.shutdown(Shutdown::Infinity).await;
                assert!(given.is_ok_and(|five| five == 5) || mailbox.try_recv().is_none());
                while let Some(note) = mailbox.try_recv() {
                    assert!(matches!(note, Note::Exit(exit) if exit.reason.is_normal() && exit.from == Some(pid)));
                }
                assert_eq!(mailbox.relations().links, []);
            }
            let failed = tasks.spawn_link(&mut mailbox, async {
                ThisTask::current().unwrap().exit(ExitReason::custom(1)).await;
            });
            let pid = failed.pid();
            assert!(failed.await.is_err());
            assert_eq!(kind(&exit_of(&mut mailbox, pid).await), "custom");
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

/// It is out of its owner's sight, and ends all the same.
#[test]
fn one_that_was_given_up_can_be_shut_down() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let (begun, has_begun) = oneshot();
        let mut all = vec![tasks.spawn_fn(move |mailbox| traps(mailbox, begun, false))];
        has_begun.await.unwrap();
        let ignored = YieldMany::within(Duration::ZERO).on_timeout(OnTimeout::Ignore);
        assert!(matches!(yield_many(&mut all, ignored).await[..], [None]));
        let task = all.remove(0);
        let pid = task.pid();
        assert!(rt.is_alive(pid));
        let ended = task.shutdown(Shutdown::After(ms(10))).await;
        assert_eq!(kind(ended.unwrap_err().reason()), "noproc");
        assert!(!rt.is_alive(pid));
    });
}

//! Elixir's rules of tasks: how they are asked for, who their callers are, and what is given up. By the ids of
//! `docs/conformance.md`.

use std::future::pending;

use whitebeam_actor::{ExitReason, Mailbox, oneshot};
use whitebeam_supervisor::{Task, ThisTask};

use crate::support::{
    EXPECTED, Gate, everywhere, expect_panics, kind,
    owner::{Note, down_of, exit_of, is_oops, nothing_comes, oops, owner, run_owner, tasks},
};

/// Adapted: the handle is the future; there is no monitor, and the one result comes by it.
#[test]
fn task_002_async_is_linked_and_gives_one_result() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            let gate = Gate::new();
            let passed = gate.clone().passed();
            let task = tasks.spawn_link(&mut mailbox, async {
                passed.await;
                7
            });
            let pid = task.pid();
            assert_eq!(mailbox.relations().links, [pid]);
            assert_eq!(handle.relations(pid).await.unwrap().links, [mailbox.pid()]);
            gate.open();
            assert_eq!(task.await.unwrap(), 7);
            assert!(exit_of(&mut mailbox, pid).await.is_normal());
            nothing_comes(&mut mailbox).await;
            assert_eq!(mailbox.relations().links, []);
        })
        .await;
    });
}

/// Adapted: asked for in the task, by [`ThisTask::callers`].
#[test]
fn task_003_callers_are_known() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let callers = || ThisTask::current().map(ThisTask::callers);
            assert_eq!(callers(), None);
            let me = mailbox.pid();
            for is_linked in [false, true] {
                let inner = tasks.clone();
                let work = async move {
                    let mine = ThisTask::current().unwrap();
                    let nested = inner.spawn(async move { callers() }).await.unwrap();
                    let again = inner.spawn(async move { callers() }).await.unwrap();
                    assert_eq!(nested, again);
                    (mine.pid(), mine.owner(), mine.callers(), nested.unwrap())
                };
                let (pid, asker, first, second) = if is_linked {
                    tasks.spawn_link(&mut mailbox, work).await.unwrap()
                } else {
                    tasks.spawn(work).await.unwrap()
                };
                assert_eq!(asker, Some(me));
                assert_eq!(first, [me]);
                assert_eq!(second, [pid, me]);
            }
        })
        .await;
        assert_eq!(tasks_of_nobody(&rt).await, []);
    });
}

/// Asked for from outside: nobody is the caller.
async fn tasks_of_nobody(rt: &whitebeam_actor::Handle) -> Vec<whitebeam_actor::Pid> {
    let tasks = tasks(rt).await;
    tasks.spawn(async { ThisTask::current().unwrap().callers() }).await.unwrap()
}

/// Without a supervisor it is a plain process.
#[test]
fn task_004_start_is_not_linked() {
    expect_panics();
    everywhere(|rt| async move {
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let task = mailbox.spawn_fn(|_: Mailbox<()>| async { panic!("{EXPECTED}") });
            let ended = down_of(&handle, task.pid()).await;
            assert!(matches!(ended, ExitReason::Panic(_) | ExitReason::NoProc));
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

/// Without a supervisor it is a plain process.
#[test]
fn task_005_start_link_is_linked() {
    everywhere(|rt| async move {
        let reason = run_owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.spawn_fn_link(|_: Mailbox<()>| async { Err(oops(1)) });
            pending().await
        })
        .await;
        assert!(is_oops(&reason, 1), "{reason}");
    });
}

#[test]
fn task_006_completed_needs_no_process() {
    everywhere(|rt| async move {
        assert_eq!(Task::completed(1).await.unwrap(), 1);
        assert!(matches!(Task::completed(2).ignore(), Some(Ok(2))));
        assert_eq!(rt.processes().len(), 0);
        owner(&rt, |_: Mailbox<Note>| async move {
            assert_eq!(Task::completed(1).await.unwrap(), 1);
            assert!(matches!(Task::completed(2).ignore(), Some(Ok(2))));
        })
        .await;
    });
}

/// Adapted: awaiting it after that does not compile, see the documentation of [`Task::ignore`].
#[test]
fn task_007_ignore_gives_what_has_come() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let task = tasks.spawn(async { 3 });
            down_of(&handle, task.pid()).await;
            assert!(matches!(task.ignore(), Some(Ok(3))));
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_008_ignore_of_a_running_task() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            for fails in [false, true] {
                let gate = Gate::new();
                let passed = gate.clone().passed();
                let task = tasks.spawn_link(&mut mailbox, async move {
                    passed.await;
                    if fails {
                        ThisTask::current().unwrap().exit(oops(1)).await;
                    }
                });
                let pid = task.pid();
                let end = handle.down(pid);
                assert!(task.ignore().is_none());
                gate.open();
                assert_eq!(end.await.reason.is_normal(), !fails);
                // It does not trap exits, and lives.
                nothing_comes(&mut mailbox).await;
            }
        })
        .await;
    });
}

#[test]
fn task_009_ignore_of_a_failed_task() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            let task = tasks.spawn_link(&mut mailbox, async {
                ThisTask::current().unwrap().exit(oops(1)).await;
            });
            assert!(is_oops(&exit_of(&mut mailbox, task.pid()).await, 1));
            down_of(&handle, task.pid()).await;
            crate::support::until(&handle, || !handle.is_alive(task.pid())).await;
            // The answer is the last that a process tells.
            nothing_comes(&mut mailbox).await;
            let ended = task.ignore().unwrap().unwrap_err();
            assert!(is_oops(ended.reason(), 1));
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
#[ignore = "needs node links"]
fn task_010_a_lost_node_is_told() {
    panic!(
        "there are no node links: ignore, await, await_many, yield, yield_many and shutdown tell of the lost node"
    );
}

/// Beside the rows: only the owner may wait; code that is part of no process may.
#[test]
fn others_may_not_wait() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mailbox: Mailbox<Note>| async move {
            let me = mailbox.pid();
            let mut task = tasks.spawn(async { 5 });
            let (give, given) = oneshot();
            let other = handle.spawn_fn(move |mailbox: Mailbox<()>| async move {
                let error = (&mut task).await.unwrap_err();
                let not_owner: &whitebeam_supervisor::NotOwner =
                    error.reason().downcast_ref().unwrap();
                assert_eq!((not_owner.owner, not_owner.waiter), (me, mailbox.pid()));
                give.send(task);
                Ok(())
            });
            let end = handle.down(&other);
            let task = given.await.unwrap();
            assert_eq!(kind(&end.await.reason), "normal");
            assert_eq!(handle.spawn_task(task).await.unwrap(), 5);
        })
        .await;
        // Asked for from outside it has no owner.
        let tasks = self::tasks(&rt).await;
        let task = tasks.spawn(async { 6 });
        owner(&rt, |_: Mailbox<Note>| async move { assert_eq!(task.await.unwrap(), 6) }).await;
    });
}

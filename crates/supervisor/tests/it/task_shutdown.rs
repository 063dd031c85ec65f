//! Elixir's rules of shutting a task down, by the ids of `docs/conformance.md`.
//!
//! Where Elixir has `nil`, the exit reason is that with which the task was told to end: `Shutdown`, or `Killed`.

use std::future::pending;

use whitebeam_actor::{ExitReason, Mailbox, StartError, oneshot};
use whitebeam_supervisor::{Shutdown, Task, TaskSupervisor, ThisTask};

use crate::support::{
    everywhere, kind,
    owner::{Note, down_of, ms, nothing_comes, oops, owner, tasks},
    until,
};

/// How a task's shutdown went.
async fn outcome<T: Send + 'static>(task: Task<T>, how: Shutdown) -> &'static str {
    match task.shutdown(how).await {
        Ok(_) => "ok",
        Err(error) => kind(error.reason()),
    }
}

#[test]
fn task_028_a_task_is_shut_down() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            for how in [Shutdown::WORKER, Shutdown::Infinity] {
                let task = tasks.spawn_link(&mut mailbox, pending::<()>());
                let pid = task.pid();
                let end = handle.down(pid);
                assert_eq!(outcome(task, how).await, "shutdown");
                assert!(!handle.is_alive(pid));
                assert_eq!(kind(&end.await.reason), "shutdown");
                // Unlinked: it lives.
                nothing_comes(&mut mailbox).await;
            }
        })
        .await;
    });
}

#[test]
fn task_029_an_end_before_is_told() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let mailbox = &mut mailbox;
            for (reason, told) in [
                (oops(1), "custom"),
                (ExitReason::Normal, "normal"),
                (ExitReason::Shutdown, "shutdown"),
            ] {
                let task = tasks.spawn(async {
                    ThisTask::current().unwrap().exit(reason).await;
                });
                down_of(&handle, task.pid()).await;
                nothing_comes(mailbox).await;
                assert_eq!(outcome(task, Shutdown::WORKER).await, told);
            }
            let task = tasks.spawn(pending::<()>());
            handle.exit(task.pid(), ExitReason::Kill);
            until(&handle, || !handle.is_alive(task.pid())).await;
            nothing_comes(mailbox).await;
            assert_eq!(outcome(task, Shutdown::WORKER).await, "killed");
        })
        .await;
    });
}

/// Adapted: a handle without a process is a completed task, or one that was not started.
#[test]
fn task_030_a_handle_without_a_process() {
    everywhere(|rt| async move {
        let none = TaskSupervisor::new().max_children(0).start(&rt).await.unwrap();
        owner(&rt, |_: Mailbox<Note>| async move {
            assert_eq!(Task::completed(1).shutdown(Shutdown::WORKER).await.unwrap(), 1);
            let error = none.spawn(async {}).shutdown(Shutdown::WORKER).await.unwrap_err();
            assert!(matches!(error.reason().downcast_ref(), Some(StartError::MaxChildren)));
        })
        .await;
    });
}

#[test]
fn task_031_brutal_kill() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let traps = || {
                let (ready, is_ready) = oneshot();
                let task = tasks.spawn_fn(|mut mailbox: Mailbox<()>| async move {
                    mailbox.trap_exit(|_| ());
                    ready.send(());
                    pending::<Result<(), ExitReason>>().await
                });
                (task, is_ready)
            };
            let (task, is_ready) = traps();
            is_ready.await.unwrap();
            let pid = task.pid();
            mailbox.monitor(pid, Note::Down);
            assert_eq!(outcome(task, Shutdown::BrutalKill).await, "killed");
            assert!(!handle.is_alive(pid));
            // The one that was asked for, and no other.
            assert!(matches!(mailbox.recv().await, Note::Down(down) if down.pid == pid));
            nothing_comes(&mut mailbox).await;

            // It is killed as well when its time is over.
            let (task, is_ready) = traps();
            is_ready.await.unwrap();
            assert_eq!(outcome(task, Shutdown::After(ms(30))).await, "killed");
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

/// Adapted: the result was taken by reference.
#[test]
fn task_032_after_the_result_there_is_nobody() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |_: Mailbox<Note>| async move {
            let mut task = tasks.spawn(async { 1 });
            assert_eq!((&mut task).await.unwrap(), 1);
            assert_eq!(outcome(task, Shutdown::WORKER).await, "noproc");
        })
        .await;
    });
}

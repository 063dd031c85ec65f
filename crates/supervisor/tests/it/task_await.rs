//! Elixir's rules of awaiting tasks, one and many, by the ids of `docs/conformance.md`.

use std::{future::pending, time::Duration};

use whitebeam_actor::{ExitError, ExitReason, Mailbox};
use whitebeam_supervisor::{Task, TaskTimeout, ThisTask, await_many};

use crate::support::{
    EXPECTED, Gate, everywhere, expect_panics, kind,
    owner::{Note, exit_of, is_oops, ms, nothing_comes, oops, owner, run_owner, tasks},
};

fn is_timeout<T>(result: &Result<T, ExitError>) -> bool {
    result.as_ref().is_err_and(|error| error.reason().is::<TaskTimeout>())
}

#[test]
fn task_011_nothing_comes_after_a_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            for is_linked in [true, false] {
                let gate = Gate::new();
                let work = gate.clone().passed();
                let task = if is_linked {
                    tasks.spawn_link(&mut mailbox, work)
                } else {
                    tasks.spawn(work)
                };
                let end = handle.down(task.pid());
                assert!(is_timeout(&task.timeout(Duration::ZERO).await));
                gate.open();
                assert!(end.await.reason.is_normal());
                nothing_comes(&mut mailbox).await;
            }
        })
        .await;
    });
}

#[test]
fn task_012_a_normal_end_without_a_result_is_a_failure() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let task = tasks.spawn_link(&mut mailbox, async {
                ThisTask::current().unwrap().exit(ExitReason::Normal).await
            });
            assert!(task.await.unwrap_err().reason().is_normal());
            let task = tasks.spawn_fn(|_: Mailbox<()>| async { Err::<(), _>(ExitReason::Normal) });
            assert!(task.await.unwrap_err().reason().is_normal());
        })
        .await;
    });
}

/// Adapted: a panic, with its place; an exit with a reason that nobody knows; an error.
#[test]
fn task_013_a_failure_is_told_twice_to_who_traps() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            // Not one that is kept off the terminal: that has no place.
            let panics = tasks.spawn_link(&mut mailbox, async { panic!("this place is told") });
            let pid = panics.pid();
            let error = panics.await.unwrap_err();
            let ExitReason::Panic(info) = error.reason() else { panic!("{error}") };
            assert_eq!(info.message(), "this place is told");
            assert!(info.location().is_some_and(|place| place.contains("task_await.rs")));
            assert_eq!(kind(&exit_of(&mut mailbox, pid).await), "panic");

            let exits = tasks.spawn_link(&mut mailbox, async {
                ThisTask::current().unwrap().exit(oops(1)).await
            });
            let pid = exits.pid();
            assert!(is_oops(exits.await.map(|_| ()).unwrap_err().reason(), 1));
            assert!(is_oops(&exit_of(&mut mailbox, pid).await, 1));

            let fails = tasks.spawn_link(&mut mailbox, async {
                let error = "x".parse::<u8>().unwrap_err();
                ThisTask::current().unwrap().exit(error.into()).await
            });
            let pid = fails.pid();
            let error = fails.await.map(|_| ()).unwrap_err();
            assert!(error.reason().is::<std::num::ParseIntError>());
            assert_eq!(kind(&exit_of(&mut mailbox, pid).await), "error");
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_014_the_owner_dies_with_its_task() {
    expect_panics();
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        for waits in [false, true] {
            let tasks = tasks.clone();
            let reason = run_owner(&rt, move |mut mailbox: Mailbox<Note>| async move {
                let task = tasks.spawn_link(&mut mailbox, async { panic!("{EXPECTED}") });
                if waits {
                    let _: Result<(), _> = task.await;
                }
                pending().await
            })
            .await;
            let ExitReason::Panic(info) = &reason else { panic!("{reason}") };
            assert_eq!(info.message(), EXPECTED);
        }
        // And the task with its owner.
        let (tell, told) = whitebeam_actor::oneshot();
        let process = rt.spawn_fn(move |mut mailbox: Mailbox<Note>| async move {
            let task = tasks.spawn_link(&mut mailbox, pending::<()>());
            tell.send(task.pid());
            task.await.map_err(ExitReason::from)
        });
        let task = told.await.unwrap();
        let end = rt.down(task);
        rt.exit(&process, oops(2));
        assert!(is_oops(&end.await.reason, 2));
    });
}

#[test]
fn task_015_results_are_in_the_tasks_order() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let late = [30, 1, 15].map(|delay| {
                let rt = handle.clone();
                tasks.spawn_link(&mut mailbox, async move {
                    rt.sleep(ms(delay)).await;
                    delay
                })
            });
            assert_eq!(await_many(late, ms(5_000)).await.unwrap(), [30, 1, 15]);
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_016_no_tasks_give_nothing_at_once() {
    everywhere(|rt| async move {
        owner(&rt, |_: Mailbox<Note>| async move {
            let none: [Task<u8>; 0] = [];
            assert_eq!(await_many(none, None).await.unwrap(), []);
        })
        .await;
    });
}

#[test]
fn task_017_foreign_messages_stay() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let other = handle.spawn_fn(|_: Mailbox<()>| async { Ok(()) });
            mailbox.monitor(&other, Note::Down);
            mailbox.me().cast(Note::Number(1)).unwrap();
            let all = [1, 2].map(|n| tasks.spawn_link(&mut mailbox, async move { n }));
            assert_eq!(await_many(all, ms(5_000)).await.unwrap(), [1, 2]);
            mailbox.me().cast(Note::Number(2)).unwrap();
            let (mut numbers, mut downs) = (Vec::new(), 0);
            while numbers.len() + downs < 3 {
                match mailbox.recv().await {
                    Note::Number(number) => numbers.push(number),
                    Note::Down(down) if down.pid == other.pid() => downs += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((numbers, downs), (vec![1, 2], 1));
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_018_one_that_never_ends_is_a_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let all = [tasks.spawn(async {}), tasks.spawn(pending())];
            assert!(is_timeout(&await_many(all, Duration::ZERO).await));
            // It fails at the first failure, whichever it is.
            let exits = async {
                ThisTask::current().unwrap().exit(oops(1)).await;
            };
            let all = [
                tasks.spawn(pending()),
                tasks.spawn_fn(|_: Mailbox<()>| async {
                    exits.await;
                    Ok(())
                }),
            ];
            assert!(is_oops(await_many(all, None).await.unwrap_err().reason(), 1));
            // One that has given all can give nothing.
            let mut taken = tasks.spawn(async {});
            assert!(taken.wait(ms(5_000)).await.is_some());
            let error = await_many([tasks.spawn(pending()), taken], None).await.unwrap_err();
            assert_eq!(kind(error.reason()), "noproc");
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

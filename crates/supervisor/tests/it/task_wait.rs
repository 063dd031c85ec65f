//! Elixir's rules of `yield`, here `wait`, and `yield_many`, by the ids of `docs/conformance.md`.

use std::{future::pending, time::Duration};

use whitebeam_actor::{ExitReason, Handle, Mailbox};
use whitebeam_supervisor::{OnTimeout, Shutdown, Task, TaskRef, ThisTask, YieldMany, yield_many};

use crate::support::{
    Gate, everywhere, kind,
    owner::{Note, down_of, is_oops, ms, nothing_comes, oops, owner, tasks},
    until,
};

/// A task whose result has come and whose process has gone.
async fn done(rt: &Handle, tasks: &TaskRef, value: u32) -> Task<u32> {
    let task = tasks.spawn(async move { value });
    down_of(rt, task.pid()).await;
    until(rt, || !rt.is_alive(task.pid())).await;
    task
}

/// A task whose result has come, and whose process has ended with this reason all the same.
async fn done_and_ended(
    rt: &Handle,
    tasks: &TaskRef,
    value: u32,
    reason: &ExitReason,
) -> Task<u32> {
    let gate = Gate::new();
    let (passed, own) = (gate.clone().passed(), reason.clone());
    let task = tasks.spawn_fn(move |mut mailbox: Mailbox<()>| async move {
        passed.await;
        // It goes on to its next await, and has none.
        mailbox.stop(own);
        Ok(value)
    });
    let down = rt.down(task.pid());
    gate.open();
    assert_eq!(kind(&down.await.reason), kind(reason));
    task
}

/// Here an exit reason takes the result's way, so that there is no message to be consumed.
#[test]
fn task_019_a_result_wins_over_the_exit() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let rt = handle;
            let zero = YieldMany::within(Duration::ZERO);
            for reason in [ExitReason::Normal, ExitReason::Shutdown, oops(1)] {
                let done = |value| done_and_ended(&rt, &tasks, value, &reason);
                assert!(matches!(done(1).await.wait(Duration::ZERO).await, Some(Ok(1))));
                let mut task = [done(2).await];
                assert!(matches!(yield_many(&mut task, zero).await[..], [Some(Ok(2))]));
                for how in [Shutdown::WORKER, Shutdown::BrutalKill, Shutdown::Infinity] {
                    assert_eq!(done(3).await.shutdown(how).await.unwrap(), 3);
                }
            }
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_020_a_running_task_can_be_asked_again() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let gate = Gate::new();
            let passed = gate.clone().passed();
            let mut task = tasks.spawn_link(&mut mailbox, passed);
            for _ in 0..3 {
                assert!(task.wait(Duration::ZERO).await.is_none());
            }
            gate.open();
            assert!(matches!(task.wait(ms(5_000)).await, Some(Ok(()))));
            // All was given.
            assert!(task.wait(ms(5_000)).await.is_none());
        })
        .await;
    });
}

#[test]
fn task_021_a_normal_exit_is_told() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |_: Mailbox<Note>| async move {
            let exits = || {
                tasks.spawn(async {
                    ThisTask::current().unwrap().exit(ExitReason::Normal).await;
                })
            };
            let error = exits().wait(ms(5_000)).await.unwrap().unwrap_err();
            assert!(error.reason().is_normal());
            let mut all = [exits()];
            let given = yield_many(&mut all, YieldMany::within(ms(5_000))).await;
            assert!(matches!(&given[..], [Some(Err(error))] if error.reason().is_normal()));
        })
        .await;
    });
}

#[test]
fn task_022_outcomes_are_in_the_tasks_order() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let exits = tasks.spawn(async {
                ThisTask::current().unwrap().exit(ExitReason::Normal).await;
                0
            });
            down_of(&handle, exits.pid()).await;
            let mut all = [done(&handle, &tasks, 1).await, tasks.spawn(pending()), exits];
            nothing_comes(&mut mailbox).await;
            let given = yield_many(&mut all, YieldMany::within(Duration::ZERO)).await;
            assert!(matches!(&given[..], [Some(Ok(1)), None, Some(Err(error))]
                if error.reason().is_normal()));
        })
        .await;
    });
}

#[test]
fn task_023_kill_on_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let mut all = [tasks.spawn_link(&mut mailbox, pending::<()>())];
            let how = YieldMany::within(ms(20)).on_timeout(OnTimeout::Kill);
            assert!(matches!(yield_many(&mut all, how).await[..], [None]));
            assert!(!handle.is_alive(all[0].pid()));
            // Unlinked before: it lives.
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_024_ignore_on_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let gate = Gate::new();
            let mut all = [tasks.spawn_link(&mut mailbox, gate.clone().passed())];
            let pid = all[0].pid();
            let end = handle.down(pid);
            let how = YieldMany::within(Duration::ZERO).on_timeout(OnTimeout::Ignore);
            assert!(matches!(yield_many(&mut all, how).await[..], [None]));
            assert!(handle.is_alive(pid));
            gate.open();
            assert!(end.await.reason.is_normal());
            nothing_comes(&mut mailbox).await;
            assert!(all[0].wait(ms(1)).await.is_none(), "its result was dropped");
        })
        .await;
    });
}

#[test]
fn task_025_a_limit_of_results() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |_: Mailbox<Note>| async move {
            let gates = [Gate::new(), Gate::new(), Gate::new()];
            let mut all = [0, 1, 2].map(|n| {
                let gate = gates[n].clone();
                tasks.spawn(async move {
                    gate.passed().await;
                    n
                })
            });
            let one = YieldMany::within(ms(60_000)).limit(1);
            gates[1].open();
            assert!(matches!(yield_many(&mut all, one).await[..], [None, Some(Ok(1)), None]));
            gates[0].open();
            assert!(matches!(yield_many(&mut all, one).await[..], [Some(Ok(0)), None, None]));
            gates[2].open();
            assert!(matches!(yield_many(&mut all, one).await[..], [None, None, Some(Ok(2))]));
        })
        .await;
    });
}

#[test]
fn task_026_a_limit_that_is_met_is_no_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |_: Mailbox<Note>| async move {
            let mut both = [tasks.spawn(async { 1 }), tasks.spawn(pending())];
            let never = both[1].pid();
            let how = YieldMany::no_timeout().limit(1).on_timeout(OnTimeout::Kill);
            assert!(matches!(yield_many(&mut both, how).await[..], [Some(Ok(1)), None]));
            assert!(handle.is_alive(never));
            let how = YieldMany::within(Duration::ZERO).limit(1).on_timeout(OnTimeout::Kill);
            assert!(matches!(yield_many(&mut both, how).await[..], [None, None]));
            assert!(!handle.is_alive(never));
        })
        .await;
    });
}

#[test]
fn task_027_results_and_exits_without_a_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let mut all: Vec<Task<u32>> = Vec::new();
            for n in 0..4 {
                let rt = handle.clone();
                all.push(tasks.spawn(async move {
                    rt.sleep(ms(u64::from(20 - 5 * n))).await;
                    if n % 2 == 1 {
                        ThisTask::current().unwrap().exit(oops(n)).await;
                    }
                    n
                }));
            }
            let given = yield_many(&mut all, YieldMany::no_timeout()).await;
            assert_eq!(given.len(), 4);
            for (n, outcome) in (0..).zip(given) {
                match outcome.unwrap() {
                    Ok(value) => assert!(n % 2 == 0 && value == n),
                    Err(error) => assert!(n % 2 == 1 && is_oops(error.reason(), n)),
                }
            }
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

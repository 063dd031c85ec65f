//! Elixir's rules of task supervisors, by the ids of `docs/conformance.md`.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use whitebeam_actor::{
    Context, ExitReason, Handle, Mailbox, Pid, SpawnOptions, StartError, Target,
};
use whitebeam_supervisor::{
    Child, ChildError, Intensity, PartitionSupervisor, Partitions, Restart, Shutdown, SpecError,
    TaskRef, TaskSupervisor, ThisTask,
};

use crate::support::{
    EXPECTED, Gate, end, everywhere, expect_panics, kind,
    owner::{Note, down_of, exit_of, is_oops, ms, nothing_comes, oops, owner, run_owner, tasks},
    stop, until,
};

/// Waits until the supervisor has so many children.
async fn children(rt: &Handle, tasks: &TaskRef, number: usize) -> Vec<Pid> {
    loop {
        let children = tasks.children().await.unwrap();
        if children.len() == number {
            return children;
        }
        rt.sleep(ms(1)).await;
    }
}

/// Adapted: the crash report, in the runtime's history. Who has started it is its parent, the supervisor.
#[test]
fn task_051_a_crash_is_reported_once() {
    expect_panics();
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let labelled = tasks.with(SpawnOptions::new().label("indexer"));
        for (number, (tasks, label)) in
            [(&tasks, None), (&labelled, Some("indexer"))].iter().enumerate()
        {
            let task = tasks.spawn(async { panic!("{EXPECTED}") });
            let pid = task.pid();
            let ended: Result<(), _> = task.await;
            assert_eq!(kind(ended.unwrap_err().reason()), "panic");
            until(&rt, || rt.crashes().len() == number + 1).await;
            let crash = rt.crashes().into_iter().find(|crash| crash.pid == pid).unwrap();
            assert_eq!(crash.parent, tasks.target());
            assert_eq!(crash.label.as_ref().map(ToString::to_string).as_deref(), *label);
            assert!(crash.actor.contains("task_051"), "{}", crash.actor);
            assert_eq!(kind(&crash.reason), "panic");
        }
        for reason in [ExitReason::Normal, ExitReason::Shutdown] {
            let task = tasks.spawn(async { ThisTask::current().unwrap().exit(reason).await });
            assert!(task.await.is_err());
        }
        children(&rt, &tasks, 0).await;
        assert_eq!(rt.crashes().len(), 2);
    });
}

#[test]
fn task_052_under_a_supervisor() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().name("mine");
        let spec = TaskSupervisor::new().options(options.label("tasks"));
        let one = spec.clone().start(&rt).await.unwrap();
        assert_eq!(rt.whereis("mine"), one.target());
        assert_eq!(one.info().unwrap().label.unwrap().to_string(), "tasks");
        stop(&rt, &one).await;

        // Several of one spec, with different names.
        let tree = PartitionSupervisor::new(Partitions::exactly(2), move |index| {
            let options = SpawnOptions::new().name(format!("tasks {index}"));
            Child::nested("tasks", spec.clone()).options(options)
        });
        let tree = tree.start(&rt).await.unwrap();
        for (index, tasks) in tree.iter().enumerate() {
            assert_eq!(rt.whereis(format!("tasks {index}")), tasks.target());
            assert_eq!(tasks.spawn(async { 1 }).await.unwrap(), 1);
        }
        // The handle goes on over a restart, which ends the tasks.
        let tasks = tree.of(&0_usize).clone();
        let task = tasks.spawn(pending::<()>());
        children(&rt, &tasks, 1).await;
        let before = tasks.target();
        end(&rt, &tasks, ExitReason::Kill).await;
        assert_eq!(kind(task.await.unwrap_err().reason()), "shutdown");
        until(&rt, || tasks.target().is_some_and(|now| Some(now) != before)).await;
        assert_eq!(tasks.spawn(async { 2 }).await.unwrap(), 2);
        stop(&rt, &tree).await;
        let gone = tasks.spawn(async { 3 }).await.unwrap_err();
        assert!(matches!(gone.reason().downcast_ref(), Some(StartError::NoSupervisor)));
        let refused = tasks.start(async {}).unwrap_err();
        assert!(matches!(refused, StartError::NoSupervisor), "{refused}");

        // A bad setting is found before anything is started.
        let bad = TaskSupervisor::new().intensity(1, std::time::Duration::ZERO).start(&rt).await;
        match bad {
            Err(StartError::Invalid(error)) => {
                assert_eq!(error.downcast_ref(), Some(&SpecError::ZeroPeriod));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn task_053_an_empty_supervisor() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        assert_eq!(tasks.children().await.unwrap(), []);
        assert_eq!(tasks.count(), 0);
        let task = tasks.spawn(pending::<()>());
        assert_eq!(tasks.children().await.unwrap(), [task.pid()]);
        assert_eq!(tasks.count(), 1);
    });
}

/// A link to the supervisor is the relation of a child to its parent here: they are told of each other's end.
#[test]
fn task_054_async_is_a_linked_child() {
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
            assert_eq!(tasks.children().await.unwrap(), [pid]);
            assert_eq!(handle.info(pid).unwrap().parent, tasks.target());
            assert_eq!(handle.relations(pid).await.unwrap().links, [mailbox.pid()]);
            gate.open();
            assert_eq!(task.await.unwrap(), 7);
            assert!(exit_of(&mut mailbox, pid).await.is_normal());
            children(&handle, &tasks, 0).await;

            let task = tasks.spawn_link(&mut mailbox, pending::<()>());
            let pid = task.pid();
            children(&handle, &tasks, 1).await;
            end(&handle, &tasks, ExitReason::Shutdown).await;
            assert_eq!(kind(task.await.unwrap_err().reason()), "shutdown");
            assert_eq!(kind(&exit_of(&mut mailbox, pid).await), "shutdown");
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_055_a_shutdown_of_its_own() {
    everywhere(|rt| async move {
        for how in 0..3 {
            let tasks = tasks(&rt).await;
            let brutal = tasks.with_shutdown(Shutdown::BrutalKill);
            let (tell, told) = whitebeam_actor::oneshot();
            let inner = brutal.clone();
            let watched = Gate::new();
            let passed = watched.clone().passed();
            let owner = rt.spawn_fn(move |mut mailbox: Mailbox<Note>| async move {
                passed.await;
                mailbox.trap_exit(Note::Exit);
                let pid = match how {
                    0 => {
                        let task = inner.spawn_link(&mut mailbox, pending::<()>());
                        let pid = task.pid();
                        tell.send(pid);
                        assert_eq!(kind(task.await.unwrap_err().reason()), "killed");
                        return Ok(());
                    }
                    1 => {
                        let task = inner.spawn(pending::<()>());
                        let pid = task.pid();
                        tell.send(pid);
                        assert_eq!(kind(task.await.unwrap_err().reason()), "killed");
                        return Ok(());
                    }
                    _ => inner.start(pending()).unwrap(),
                };
                tell.send(pid);
                Ok(())
            });
            let owned = rt.down(&owner);
            watched.open();
            let pid = told.await.unwrap();
            // Another one has its own way beside it.
            let (ready, is_ready) = whitebeam_actor::oneshot();
            let traps = tasks.with_shutdown(Shutdown::After(ms(40))).spawn_fn(
                |mut mailbox: Mailbox<()>| async move {
                    mailbox.trap_exit(|_| ());
                    ready.send(());
                    pending::<Result<(), ExitReason>>().await
                },
            );
            is_ready.await.unwrap();
            let told = tasks.spawn(pending::<()>());
            children(&rt, &tasks, 3).await;
            let down = rt.down(pid);
            stop(&rt, &tasks).await;
            assert_eq!(kind(&down.await.reason), "killed");
            assert_eq!(kind(traps.await.unwrap_err().reason()), "killed");
            assert_eq!(kind(told.await.unwrap_err().reason()), "shutdown");
            assert!(owned.await.reason.is_normal());
        }
    });
}

#[test]
fn task_056_too_many_children() {
    everywhere(|rt| async move {
        let tasks = TaskSupervisor::new().max_children(1).start(&rt).await.unwrap();
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let gate = Gate::new();
            let first = tasks.spawn(gate.clone().passed());
            let refused = [
                tasks.spawn_link(&mut mailbox, async {}),
                tasks.spawn(async {}),
                tasks.spawn_fn(|_: Mailbox<()>| async { Ok(()) }),
                tasks.spawn_blocking(|| ()),
            ];
            for task in refused {
                assert_eq!(task.pid(), Pid::NOBODY);
                let error = task.await.unwrap_err();
                assert!(matches!(error.reason().downcast_ref(), Some(StartError::MaxChildren)));
                assert!(error.to_string().contains("children"), "{error}");
            }
            let refused = tasks.start(async {}).unwrap_err();
            assert!(matches!(refused, StartError::MaxChildren), "{refused}");
            let refused = tasks.start_restarted(Restart::Permanent, || async {}).unwrap_err();
            assert!(matches!(refused, StartError::MaxChildren), "{refused}");
            assert_eq!(mailbox.relations().links, []);
            assert_eq!(tasks.count(), 1);
            gate.open();
            first.await.unwrap();
            // There is room as soon as the result is there.
            for _ in 0..20 {
                tasks.spawn_link(&mut mailbox, async {}).await.unwrap();
            }
            children(&handle, &tasks, 0).await;
        })
        .await;
    });
}

#[test]
fn task_057_async_nolink_is_a_child_without_a_link() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            let gate = Gate::new();
            let passed = gate.clone().passed();
            let task = tasks.spawn(async {
                passed.await;
                7
            });
            let pid = task.pid();
            mailbox.monitor(pid, Note::Down);
            assert_eq!(tasks.children().await.unwrap(), [pid]);
            assert_eq!(handle.info(pid).unwrap().parent, tasks.target());
            assert_eq!(mailbox.relations().links, []);
            assert_eq!(handle.relations(pid).await.unwrap().links, []);
            gate.open();
            assert_eq!(task.await.unwrap(), 7);
            assert!(matches!(mailbox.recv().await, Note::Down(down)
                if down.pid == pid && down.reason.is_normal()));
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_058_async_nolink_leaves_its_caller_alone() {
    expect_panics();
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let task = tasks.spawn(async { panic!("{EXPECTED}") });
            let pid = task.pid();
            mailbox.monitor(pid, Note::Down);
            let ended: Result<(), _> = task.await;
            assert_eq!(kind(ended.unwrap_err().reason()), "panic");
            let Note::Down(down) = mailbox.recv().await else { panic!("not a DOWN") };
            assert!(matches!(down.reason, ExitReason::Panic(_) | ExitReason::NoProc));
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_059_start_child_is_fire_and_forget() {
    expect_panics();
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            let gate = Gate::new();
            let pid = tasks.start(gate.clone().passed()).unwrap();
            assert_eq!(tasks.children().await.unwrap(), [pid]);
            assert_eq!(handle.relations(pid).await.unwrap().links, []);
            let end = handle.down(pid);
            gate.open();
            assert!(end.await.reason.is_normal());
            let pid = tasks.start(async { panic!("{EXPECTED}") }).unwrap();
            down_of(&handle, pid).await;
            nothing_comes(&mut mailbox).await;
            children(&handle, &tasks, 0).await;
        })
        .await;
    });
}

#[test]
fn task_060_start_child_that_is_restarted() {
    everywhere(|rt| async move {
        let tasks = TaskSupervisor::new().intensity(2, ms(60_000)).start(&rt).await.unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&runs);
        let work = move |last: usize, how: ExitReason| {
            let runs = Arc::clone(&seen);
            move || {
                let (number, how) = (runs.fetch_add(1, Ordering::SeqCst) + 1, how.clone());
                async move {
                    if number <= last {
                        ThisTask::current().unwrap().exit(how).await;
                    }
                    pending().await
                }
            }
        };
        // A permanent one: twice, and the third time it waits.
        let first =
            tasks.start_restarted(Restart::Permanent, work(2, ExitReason::Shutdown)).unwrap();
        until(&rt, || runs.load(Ordering::SeqCst) == 3).await;
        let now = children(&rt, &tasks, 1).await;
        assert_ne!(now, [first]);
        assert_eq!(tasks.count(), 1);
        // One that is terminated is not restarted.
        tasks.terminate_child(now[0]).await.unwrap();
        assert_eq!(tasks.count(), 0);
        // A transient one that shuts down has done its work.
        runs.store(0, Ordering::SeqCst);
        tasks.start_restarted(Restart::Transient, work(1, ExitReason::Shutdown)).unwrap();
        until(&rt, || runs.load(Ordering::SeqCst) == 1).await;
        children(&rt, &tasks, 0).await;
        // A third restart in a minute is one too many.
        let down = rt.down(&tasks);
        tasks.start_restarted(Restart::Transient, work(9, oops(1))).unwrap();
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert_eq!(tasks.count(), 0);
    });
}

/// Beside the rows: an intensity without a limit.
#[test]
fn restarts_without_a_limit() {
    everywhere(|rt| async move {
        let spec = TaskSupervisor::new().with_intensity(Intensity::Unlimited);
        let tasks = spec.start(&rt).await.unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&runs);
        let work = move || {
            let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                if number < 100 {
                    ThisTask::current().unwrap().exit(oops(1)).await;
                }
            }
        };
        tasks.start_restarted(Restart::Transient, work).unwrap();
        until(&rt, || runs.load(Ordering::SeqCst) == 100).await;
        children(&rt, &tasks, 0).await;
        assert_eq!(tasks.count(), 0);
    });
}

/// Adapted: asked for in the task, by [`ThisTask::callers`] and `Context::ancestors`.
#[test]
fn task_061_callers_and_ancestors() {
    everywhere(|rt| async move {
        let tree = PartitionSupervisor::new(Partitions::exactly(1), |_| {
            Child::nested("tasks", TaskSupervisor::new())
        });
        let tree = tree.start(&rt).await.unwrap();
        let tasks = tree.of(&0_usize).clone();
        let supervisors = [tasks.target().unwrap(), tree.target().unwrap()];
        owner(&rt, move |mut mailbox: Mailbox<Note>| async move {
            let me = mailbox.pid();
            let look = |mut mailbox: Mailbox<()>| async move {
                let callers = ThisTask::current().unwrap().callers();
                let cx: &mut Context<_> = &mut mailbox;
                Ok((cx.ancestors().to_vec(), callers))
            };
            let inner = tasks.clone();
            let outer = tasks.spawn_fn(move |mailbox: Mailbox<()>| async move {
                let pid = mailbox.pid();
                let nested = inner.spawn_fn(look).await?;
                let (own, callers) = look(mailbox).await?;
                Ok((pid, own, callers, nested))
            });
            let (pid, ancestors, callers, nested) = outer.await.unwrap();
            assert_eq!((ancestors, callers), (supervisors.to_vec(), vec![me]));
            assert_eq!(nested, (supervisors.to_vec(), vec![pid, me]));

            // By whichever way it was asked for.
            let (tell, told) = whitebeam_actor::oneshot();
            tasks.start(async { tell.send(ThisTask::current().unwrap().callers()) }).unwrap();
            assert_eq!(told.await.unwrap(), [me]);
            let linked = async { ThisTask::current().unwrap().callers() };
            assert_eq!(tasks.spawn_link(&mut mailbox, linked).await.unwrap(), [me]);
        })
        .await;
    });
}

#[test]
fn task_062_terminate_child() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let pid = tasks.start(pending()).unwrap();
        let down = rt.down(pid);
        tasks.terminate_child(pid).await.unwrap();
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert!(matches!(tasks.terminate_child(pid).await, Err(ChildError::NotFound)));
        assert_eq!(tasks.children().await.unwrap(), []);
        // As its own shutdown says.
        let brutal = tasks.with_shutdown(Shutdown::BrutalKill);
        let task = brutal.spawn(pending::<()>());
        brutal.terminate_child(task.pid()).await.unwrap();
        assert_eq!(kind(task.await.unwrap_err().reason()), "killed");
        // One that traps has its time, and two who want its end wait for it.
        let (ready, is_ready) = whitebeam_actor::oneshot();
        let task = tasks.with_shutdown(Shutdown::After(ms(30))).spawn_fn(
            |mut mailbox: Mailbox<()>| async move {
                mailbox.trap_exit(|_| ());
                ready.send(());
                pending::<Result<(), ExitReason>>().await
            },
        );
        is_ready.await.unwrap();
        let (one, other) = futures_util::future::join(
            tasks.terminate_child(task.pid()),
            tasks.terminate_child(task.pid()),
        )
        .await;
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(kind(task.await.unwrap_err().reason()), "killed");
    });
}

/// Without a link; with one see `task_013`.
#[test]
fn task_063_failures_of_supervised_tasks() {
    expect_panics();
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let panics: Result<(), _> = tasks.spawn(async { panic!("{EXPECTED}") }).await;
            let error = panics.unwrap_err();
            let ExitReason::Panic(info) = error.reason() else { panic!("{error}") };
            assert_eq!(info.message(), EXPECTED);
            let fails = tasks.spawn_fn(|_: Mailbox<()>| async { Ok("x".parse::<u8>()?) }).await;
            assert!(fails.unwrap_err().reason().is::<std::num::ParseIntError>());
            let exits = tasks.spawn(async { ThisTask::current().unwrap().exit(oops(1)).await });
            assert!(is_oops(exits.await.map(|_| ()).unwrap_err().reason(), 1));
            let blocks = tasks.spawn_blocking(|| panic!("{EXPECTED}"));
            let blocks: Result<(), _> = blocks.await;
            assert_eq!(kind(blocks.unwrap_err().reason()), "panic");
            assert_eq!(tasks.spawn_blocking(|| 3).await.unwrap(), 3);
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

/// A task that was asked for of a supervisor that ends meanwhile never begins, and is told.
#[test]
fn a_supervisor_that_ends_meanwhile() {
    everywhere(|rt| async move {
        for is_linked in [false, true] {
            let tasks = tasks(&rt).await;
            let ran = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&ran);
            let handle = rt.clone();
            let reason = run_owner(&rt, move |mut mailbox: Mailbox<Note>| async move {
                mailbox.trap_exit(Note::Exit);
                let down = handle.down(&tasks);
                handle.exit(&tasks, ExitReason::Kill);
                let work = async move {
                    ran.fetch_add(1, Ordering::SeqCst);
                    pending::<()>().await
                };
                let task = if is_linked {
                    tasks.spawn_link(&mut mailbox, work)
                } else {
                    tasks.spawn(work)
                };
                down.await;
                let error = task.await.unwrap_err();
                let told = error.reason();
                let is_refused = told.is::<StartError>();
                assert!(
                    is_refused || matches!(kind(told), "killed" | "shutdown" | "noproc"),
                    "{error}"
                );
                assert_eq!(tasks.count(), 0);
                while let Some(Note::Exit(_)) = mailbox.recv_timeout(ms(50)).await {}
                assert_eq!(mailbox.relations().links, []);
            })
            .await;
            assert!(reason.is_normal(), "{reason}");
            assert_eq!(seen.load(Ordering::SeqCst), 0, "it never begins");
        }
    });
}

/// A supervisor that is started linked ends with its starter, in order.
#[test]
fn started_linked_it_ends_with_its_starter() {
    struct Starter;
    impl whitebeam_actor::Actor for Starter {
        type Args = whitebeam_actor::Reply<TaskRef>;
        type Msg = ();
        async fn init(tell: Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            tell.send(TaskSupervisor::new().start_link(cx).await?);
            Ok(Starter)
        }
        async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    everywhere(|rt| async move {
        let (tell, told) = whitebeam_actor::oneshot();
        let starter = rt.start::<Starter>(tell).await.unwrap();
        let tasks = told.await.unwrap();
        let task = tasks.spawn(pending::<()>());
        let down = rt.down(&tasks);
        end(&rt, &starter, ExitReason::Shutdown).await;
        assert_eq!(kind(task.await.unwrap_err().reason()), "shutdown");
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

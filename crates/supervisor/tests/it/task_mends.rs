//! Tasks and their supervisors at the edges of time: what is late, what is in the way, what panics as it is dropped.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use whitebeam_actor::{ExitReason, Mailbox, SpawnOptions, StartError, Target, oneshot};
use whitebeam_supervisor::{
    Child, ChildError, Intensity, Restart, Shutdown, Supervisor, TaskSupervisor, TaskTimeout,
    ThisTask, await_many,
};

use crate::support::{
    Do, EXPECTED, Gate, Job, Manner, everywhere, expect_panics, kind,
    owner::{Note, is_oops, ms, oops, owner, tasks},
    stop, until,
};

/// Counts those that are there.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One that is killed for its time runs on until it has ended: there is no room for another one before.
#[test]
fn a_late_item_keeps_its_place_until_its_task_has_ended() {
    everywhere(|rt| async move {
        let tasks = TaskSupervisor::new().max_children(2).start(&rt).await.unwrap();
        owner(&rt, |_: Mailbox<Note>| async move {
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let seen = Arc::clone(&most);
            let map = tasks.map_iter(0..8, move |_| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let _running = Running(running);
                    pending::<()>().await;
                }
            });
            let mut map = map.at_once(2).timeout(ms(10)).kill_on_timeout().unordered();
            for _ in 0..8 {
                let error = map.next().await.unwrap().unwrap_err();
                assert!(error.reason().is::<TaskTimeout>(), "{error}");
            }
            assert!(map.next().await.is_none());
            assert_eq!((seen.load(Ordering::SeqCst), tasks.count()), (2, 0));
        })
        .await;
    });
}

/// A timeout that an item's own work has met is its failure, and not the map's.
#[test]
fn an_item_that_fails_with_a_timeout_is_not_late() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let mut map = tasks.map_iter(0..3, |n| async move {
            if n == 1 {
                ThisTask::current().unwrap().exit(ExitReason::from(TaskTimeout)).await;
            }
            n
        });
        assert_eq!(map.next().await.unwrap().unwrap(), 0);
        assert!(map.next().await.unwrap().unwrap_err().reason().is::<TaskTimeout>());
        assert_eq!(map.next().await.unwrap().unwrap(), 2);
        assert!(map.next().await.is_none());
    });
}

/// While a task waits for its restart since its name is taken, its supervisor serves, and the task keeps its place.
#[test]
fn a_restart_that_finds_its_name_taken_is_tried_again() {
    everywhere(|rt| async move {
        for ends in ["when the name is free", "terminated"] {
            let spec = TaskSupervisor::new().with_intensity(Intensity::Unlimited);
            let tasks = spec.start(&rt).await.unwrap();
            let named = tasks.with(SpawnOptions::new().name("the one"));
            let (gate, (tell, told)) = (Gate::new(), oneshot());
            let (first_run, tell) = (gate.clone(), parking_lot::Mutex::new(Some(tell)));
            let runs = AtomicUsize::new(0);
            let work = move || {
                let is_first = runs.fetch_add(1, Ordering::SeqCst) == 0;
                let tell = tell.lock().take_if(|_| !is_first);
                let first_run = first_run.clone();
                async move {
                    match tell {
                        None => first_run.passed().await,
                        Some(tell) => {
                            tell.send(ThisTask::current().unwrap().pid());
                            pending().await
                        }
                    }
                }
            };
            let first = named.start_restarted(Restart::Permanent, work).unwrap();
            let other = rt.spawn_fn(|_: Mailbox<()>| async { pending().await });
            assert!(rt.unregister("the one"));
            rt.register("the one", &other).unwrap();
            gate.open();
            // Without a timer: it is tried again all the time.
            while !tasks.children().await.unwrap().is_empty() {}
            assert_eq!(tasks.count(), 1);
            assert_eq!(tasks.spawn(async { 7 }).await.unwrap(), 7);
            if ends == "terminated" {
                tasks.terminate_child(first).await.unwrap();
                assert!(matches!(tasks.terminate_child(first).await, Err(ChildError::NotFound)));
                assert_eq!(tasks.count(), 0);
                crate::support::end(&rt, &other, ExitReason::Kill).await;
            } else {
                crate::support::end(&rt, &other, ExitReason::Kill).await;
                let second = told.await.unwrap();
                assert_eq!(rt.whereis("the one"), Some(second));
                assert_eq!(tasks.children().await.unwrap(), [second]);
                assert_eq!(tasks.count(), 1);
            }
            stop(&rt, &tasks).await;
        }
    });
}

/// Each try counts, so that one that never succeeds ends.
#[test]
fn tries_of_a_restart_count() {
    everywhere(|rt| async move {
        let tasks = TaskSupervisor::new().intensity(100, ms(60_000)).start(&rt).await.unwrap();
        let gate = Gate::new();
        let first_run = gate.clone();
        let named = tasks.with(SpawnOptions::new().name("the one"));
        let work = move || first_run.clone().passed();
        named.start_restarted(Restart::Permanent, work).unwrap();
        let other = rt.spawn_fn(|_: Mailbox<()>| async { pending().await });
        assert!(rt.unregister("the one"));
        rt.register("the one", &other).unwrap();
        let down = rt.down(&tasks);
        gate.open();
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert_eq!(tasks.count(), 0);
        assert_eq!(rt.whereis("the one"), Some(other.pid()));
    });
}

/// The closure's own code is the task's as much as the future that it gives.
#[test]
fn the_synchronous_part_of_a_task_is_in_it() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let task = tasks.spawn_fn(|mailbox: Mailbox<()>| {
            let me = ThisTask::current().map(ThisTask::pid);
            async move { Ok((me, mailbox.pid())) }
        });
        let (me, pid) = task.await.unwrap();
        assert_eq!(me, Some(pid));
        let (tell, told) = oneshot();
        let tell = parking_lot::Mutex::new(Some(tell));
        let work = move || {
            let me = ThisTask::current().map(ThisTask::pid);
            let tell = tell.lock().take();
            async move { tell.expect("once").send(me) }
        };
        let pid = tasks.start_restarted(Restart::Temporary, work).unwrap();
        assert_eq!(told.await.unwrap(), Some(pid));
    });
}

/// Panics when it is dropped.
#[derive(Clone)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{EXPECTED}");
    }
}

/// Each is dropped on its own: two panics at once would abort.
#[test]
fn works_that_panic_as_they_are_dropped_end_no_supervisor() {
    expect_panics();
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let start = |how| {
            let bomb = Bomb;
            let work = move || {
                let _kept = &bomb;
                pending::<()>()
            };
            tasks.start_restarted(how, work).unwrap()
        };
        let one = start(Restart::Permanent);
        start(Restart::Permanent);
        start(Restart::Transient);
        assert_eq!(tasks.children().await.unwrap().len(), 3);
        tasks.terminate_child(one).await.unwrap();
        assert_eq!(tasks.children().await.unwrap().len(), 2);
        assert_eq!(tasks.count(), 2);
        stop(&rt, &tasks).await;
        assert_eq!(tasks.count(), 0);
    });
}

/// All are killed before anything of the user's is dropped.
#[test]
fn items_that_panic_as_they_are_dropped_leave_no_task() {
    expect_panics();
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        for fails in [false, true] {
            let items = futures_util::stream::iter([Bomb, Bomb, Bomb, Bomb]);
            let map = tasks.map_zip_input(items, |item| {
                std::mem::forget(item);
                pending::<()>()
            });
            let mut map = map.at_once(3).timeout(ms(if fails { 10 } else { 10_000 }));
            let sleep = rt.sleep(ms(20));
            {
                use futures_util::future::{Either, select};
                let first = std::pin::pin!(map.next());
                match select(first, std::pin::pin!(sleep)).await {
                    Either::Left((first, _)) => {
                        assert!(fails);
                        let (item, error) = first.unwrap().unwrap_err();
                        std::mem::forget(item);
                        assert!(error.reason().is::<TaskTimeout>());
                    }
                    Either::Right(_) => assert!(!fails && tasks.count() == 3),
                }
            }
            assert!(catch_unwind(AssertUnwindSafe(|| drop(map))).is_ok());
            until(&rt, || tasks.count() == 0).await;
        }
    });
}

/// A result that came in the last moment counts.
#[test]
fn what_is_there_when_the_time_is_over_is_given() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |_: Mailbox<Note>| async move {
            for number in 0..200 {
                let all: Vec<_> = (0..3).map(|n| tasks.spawn(async move { n + number })).collect();
                for task in &all {
                    while handle.is_alive(task.pid()) {
                        whitebeam_actor::yield_now().await;
                    }
                }
                let given = await_many(all, Duration::ZERO).await.unwrap();
                assert_eq!(given, [number, number + 1, number + 2]);
            }
            // A failure as well.
            let fails = tasks.spawn_fn(|_: Mailbox<()>| async { Err::<(), _>(oops(1)) });
            while handle.is_alive(fails.pid()) {
                whitebeam_actor::yield_now().await;
            }
            let error = await_many([tasks.spawn(async { pending().await }), fails], Duration::ZERO);
            assert!(is_oops(error.await.unwrap_err().reason(), 1));
        })
        .await;
    });
}

/// A limit that was met is none any more.
#[test]
fn a_limit_is_for_once() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let gate = Gate::new();
        let mut task = tasks.spawn(gate.clone().passed()).timeout(ms(10));
        let begun = rt.uptime();
        assert!((&mut task).await.unwrap_err().reason().is::<TaskTimeout>());
        assert!(rt.uptime() - begun >= ms(10));
        let opens = rt.sleep(ms(30));
        let opened = rt.spawn_task(async move {
            opens.await;
            gate.open();
        });
        (&mut task).await.unwrap();
        assert!(rt.uptime() - begun >= ms(40));
        let _ = opened.await;
        // The next one that it is given is in force.
        let mut task = tasks.spawn(pending::<()>()).timeout(ms(5));
        assert!((&mut task).await.is_err());
        let mut task = task.timeout(ms(5));
        assert!((&mut task).await.unwrap_err().reason().is::<TaskTimeout>());
        drop(task.ignore());
    });
}

/// Who asks a supervisor that waits for its tasks would wait with it, and it for him.
#[test]
fn a_supervisor_that_stops_its_tasks_is_not_waited_for() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let (ready, is_ready) = oneshot();
        let inner = tasks.clone();
        let patient = tasks.with_shutdown(Shutdown::Infinity);
        let last = patient.spawn_fn(move |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            ready.send(());
            assert!(matches!(mailbox.recv().await, Note::Exit(_)));
            let me = mailbox.pid();
            let children = inner.children().await;
            assert!(matches!(children, Err(ChildError::NoSupervisor)), "{children:?}");
            let ended = inner.terminate_child(me).await;
            assert!(matches!(ended, Err(ChildError::NoSupervisor)), "{ended:?}");
            let started = inner.start(async {});
            assert!(matches!(started, Err(StartError::NoSupervisor)), "{started:?}");
            let task = inner.spawn(async {}).await.unwrap_err();
            assert!(matches!(task.reason().downcast_ref(), Some(StartError::NoSupervisor)));
            assert_eq!(inner.count(), 1);
            Ok(())
        });
        is_ready.await.unwrap();
        stop(&rt, &tasks).await;
        last.await.unwrap();
        assert_eq!(tasks.count(), 0);
        assert!(tasks.children().await.is_err());
    });
}

/// The next incarnation of one that has stopped its tasks takes others.
#[test]
fn one_that_was_restarted_in_order_takes_tasks_again() {
    everywhere(|rt| async move {
        let mut tree = Supervisor::one_for_all();
        let job = tree.child_with(Child::new::<Job>("job", Manner::default()));
        let tasks = tree.nest("tasks", TaskSupervisor::new().max_children(2));
        let root = tree.start(&rt).await.unwrap();
        for _ in 0..3 {
            let kept = tasks.spawn(pending::<()>());
            let before = tasks.target();
            job.cast(Do::Fail).unwrap();
            assert_eq!(kind(kept.await.unwrap_err().reason()), "shutdown");
            until(&rt, || tasks.target().is_some_and(|now| Some(now) != before)).await;
            until(&rt, || job.is_alive()).await;
            assert_eq!(tasks.spawn(async { 1 }).await.unwrap(), 1);
            assert_eq!(tasks.children().await.unwrap(), []);
            assert_eq!(tasks.count(), 0);
        }
        stop(&rt, &root).await;
    });
}

//! Elixir's rules of the parallel map (`async_stream`) on streams that are not consumed to their ends, by the ids of
//! `docs/conformance.md`.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use whitebeam_actor::{ExitReason, Handle, Mailbox, Pid, StartError};
use whitebeam_supervisor::{TaskMap, TaskRef, TaskSupervisor, ThisTask};

use crate::support::{
    EXPECTED, everywhere, expect_panics, kind,
    owner::{Note, is_oops, ms, nothing_comes, oops, owner, run_owner, tasks},
    until,
};

#[test]
fn task_045_the_unused_are_killed() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            let pids: Arc<Mutex<Vec<Pid>>> = Arc::default();
            let seen = Arc::clone(&pids);
            let mut map = tasks
                .map_iter(0..4, move |n| {
                    let pids = Arc::clone(&pids);
                    async move {
                        pids.lock().push(ThisTask::current().unwrap().pid());
                        if n > 0 {
                            pending::<()>().await;
                        }
                        n
                    }
                })
                .at_once(4);
            assert_eq!(map.next().await.unwrap().unwrap(), 0);
            until(&handle, || seen.lock().len() == 4).await;
            let ends: Vec<_> = seen.lock().iter().map(|pid| handle.down(*pid)).collect();
            drop(map);
            // Whatever is sent to them now comes behind the kill.
            for pid in seen.lock().iter() {
                handle.exit(*pid, ExitReason::Shutdown);
            }
            for end in ends {
                assert!(matches!(kind(&end.await.reason), "killed" | "normal" | "noproc"));
            }
            assert_eq!((tasks.count(), mailbox.relations().links.len()), (0, 0));
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

/// What becomes of each item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Success,
    Failure,
    SlowestFirst,
}

const CASES: [Case; 3] = [Case::Success, Case::Failure, Case::SlowestFirst];

/// The items as they are, or exits with their numbers.
fn map(
    rt: &Handle,
    tasks: &TaskRef,
    items: impl Iterator<Item = u32> + Send + 'static,
    case: Case,
) -> TaskMap<u32> {
    let rt = rt.clone();
    let work = move |n: u32| {
        let time = if case == Case::SlowestFirst { 5 * (9 - u64::from(n)) } else { 0 };
        let sleep = rt.sleep(ms(time));
        async move {
            sleep.await;
            if case == Case::Failure {
                ThisTask::current().unwrap().exit(oops(n)).await;
            }
            n
        }
    };
    tasks.map_iter(items, work).at_once(4)
}

fn is_it(case: Case, result: &Result<u32, whitebeam_actor::ExitError>, number: u32) -> bool {
    match result {
        Ok(value) => case != Case::Failure && *value == number,
        Err(error) => case == Case::Failure && is_oops(error.reason(), number),
    }
}

#[test]
fn task_046_zipped_with_its_like() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            for case in CASES {
                let map = || map(&handle, &tasks, 1..=4, case);
                let pairs: Vec<_> = map().zip(map()).collect().await;
                assert_eq!(pairs.len(), 4);
                for (number, (one, other)) in (1..).zip(&pairs) {
                    assert!(is_it(case, one, number) && is_it(case, other, number));
                }
            }
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_047_cut_before_and_behind() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            for case in CASES {
                let before: Vec<_> =
                    StreamExt::collect(map(&handle, &tasks, (1..=8).take(4), case)).await;
                let behind: Vec<_> = map(&handle, &tasks, 1..=8, case).take(4).collect().await;
                for all in [before, behind] {
                    assert_eq!(all.len(), 4);
                    assert!((1..).zip(&all).all(|(number, one)| is_it(case, one, number)));
                }
            }
            until(&handle, || tasks.count() == 0).await;
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

/// Counts its end.
struct Finalizer(Arc<AtomicUsize>);

impl Drop for Finalizer {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Adapted: finalizers are destructors.
#[test]
fn task_048_finalizers_run() {
    expect_panics();
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        for how in ["collect", "stop", "panic"] {
            let ended = Arc::new(AtomicUsize::new(0));
            let (inner, outer) = (Finalizer(Arc::clone(&ended)), Finalizer(Arc::clone(&ended)));
            let tasks = tasks.clone();
            let consumer = run_owner(&rt, move |_: Mailbox<Note>| async move {
                let source = stream::iter(0..4).map(move |n| {
                    let _kept = &inner;
                    n
                });
                let mut map = tasks.map(source, |n| async move { n }).at_once(2);
                let _outer = outer;
                while let Some(result) = map.next().await {
                    match (how, result.unwrap()) {
                        ("stop", 1) => break,
                        ("panic", 1) => panic!("{EXPECTED}"),
                        _ => {}
                    }
                }
            });
            assert_eq!(kind(&consumer.await), if how == "panic" { "panic" } else { "normal" });
            assert_eq!(ended.load(Ordering::SeqCst), 2);
        }
        until(&rt, || tasks.count() == 0).await;
    });
}

/// Fails as a whole at the limit of children.
#[test]
fn task_064_too_many_children() {
    everywhere(|rt| async move {
        let tasks = TaskSupervisor::new().max_children(1).start(&rt).await.unwrap();
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            let mut map = tasks.map_iter(0..4, |_| pending::<u8>()).at_once(2);
            let error = map.next().await.unwrap().unwrap_err();
            assert!(matches!(error.reason().downcast_ref(), Some(StartError::MaxChildren)));
            assert!(error.to_string().contains("children"), "{error}");
            assert!(map.next().await.is_none());
            until(&handle, || tasks.count() == 0).await;
            assert_eq!(mailbox.relations().links, []);
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_066_a_killed_consumer_leaves_nothing() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let inner = tasks.clone();
        let consumer = rt.spawn_fn(move |mut mailbox: Mailbox<Note>| async move {
            let _linked = inner.spawn_link(&mut mailbox, pending::<()>());
            let mut map = inner.map_iter(0..8, |_| pending::<()>()).at_once(4).no_timeout();
            let _ = map.next().await;
            Ok(())
        });
        until(&rt, || tasks.count() == 5).await;
        let end = rt.down(&consumer);
        rt.exit(&consumer, ExitReason::Kill);
        assert_eq!(kind(&end.await.reason), "killed");
        let begun = rt.uptime();
        until(&rt, || tasks.count() == 0).await;
        while !tasks.children().await.unwrap().is_empty() {
            rt.sleep(ms(1)).await;
        }
        assert!(rt.uptime() - begun < ms(1_000));
    });
}

/// A map is pulled as it is consumed, and no further than there is room.
#[test]
fn the_source_is_pulled_when_there_is_room() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let taken = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&taken);
        let source = (0..100).inspect(move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
        });
        let mut map = tasks.map_iter(source, |n| async move { n }).at_once(3);
        assert_eq!(taken.load(Ordering::SeqCst), 0);
        for n in 0..20 {
            assert_eq!(map.next().await.unwrap().unwrap(), n);
            assert!(taken.load(Ordering::SeqCst) <= n + 3);
        }
    });
}

/// It is a stream and a future's work like any other: `Send`, to be used in handlers.
#[test]
fn streams_and_tasks_are_send() {
    fn is_send<T: Send>(_: &T) {}
    fn is_stream<S: Stream + Send + Unpin>(_: &S) {}
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let map = tasks.map_iter([1], |n| async move { n });
        is_stream(&map);
        let collected = map.collect();
        is_send(&collected);
        assert_eq!(collected.await.unwrap(), [1]);
    });
}

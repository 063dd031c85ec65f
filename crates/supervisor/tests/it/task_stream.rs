//! Elixir's rules of the parallel map (`async_stream`) on results, order and time, by the ids of
//! `docs/conformance.md`. There is one form of it, without links.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use whitebeam_actor::{ExitError, ExitReason, Handle, Mailbox, oneshot};
use whitebeam_supervisor::{TaskMap, TaskRef, TaskTimeout, ThisTask};

use crate::support::{
    Gate, everywhere,
    owner::{Note, is_oops, ms, nothing_comes, oops, owner, tasks},
    until,
};

/// What a stream gives, in words.
async fn outcomes<T: Send + 'static + ToString>(mut map: TaskMap<T>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(result) = map.next().await {
        all.push(match result {
            Ok(value) => value.to_string(),
            Err(error) if error.reason().is::<TaskTimeout>() => "timeout".to_owned(),
            Err(error) => error.reason().to_string(),
        });
    }
    all
}

/// Sleeps so many milliseconds, and gives their number.
fn sleeper(
    rt: &Handle,
) -> impl Fn(u64) -> std::pin::Pin<Box<dyn Future<Output = u64> + Send>> + Clone + use<> {
    let rt = rt.clone();
    move |delay| {
        let sleep = rt.sleep(ms(delay));
        Box::pin(async move {
            sleep.await;
            delay
        })
    }
}

fn is_timeout<T>(result: &Result<T, ExitError>) -> bool {
    result.as_ref().is_err_and(|error| error.reason().is::<TaskTimeout>())
}

#[test]
fn task_033_a_timeout_fails_the_stream() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let map = tasks.map_iter(0..4, |_| pending::<u8>()).timeout(Duration::ZERO);
            assert!(is_timeout(&map.at_once(2).collect().await));
            // Nothing comes after it, and the others are gone.
            let mut map = tasks.map_iter(0..4, |_| pending::<u8>()).timeout(ms(10)).at_once(4);
            assert!(is_timeout(&map.next().await.unwrap()));
            assert!(map.next().await.is_none());
            until(&handle, || tasks.count() == 0).await;
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_034_unordered_as_they_come() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let sleep = sleeper(&rt);
        owner(&rt, |_: Mailbox<Note>| async move {
            let map = || tasks.map_iter([400, 300, 200, 100], sleep.clone()).unordered();
            assert_eq!(map().at_once(1).collect().await.unwrap(), [400, 300, 200, 100]);
            assert_eq!(map().at_once(4).collect().await.unwrap(), [100, 200, 300, 400]);
        })
        .await;
    });
}

#[test]
fn task_035_unordered_with_kills_on_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let sleep = sleeper(&rt);
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let map = tasks.map_iter([20_000, 1, 20_000, 1], sleep).at_once(4).unordered();
            let given = outcomes(map.timeout(ms(500)).kill_on_timeout()).await;
            assert_eq!(given, ["1", "1", "timeout", "timeout"]);
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_036_no_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let sleep = sleeper(&rt);
        owner(&rt, |_: Mailbox<Note>| async move {
            let map = tasks.map_iter([1, 2], sleep).no_timeout();
            assert_eq!(map.collect().await.unwrap(), [1, 2]);
        })
        .await;
    });
}

/// The default limit is 5 s.
#[test]
fn the_default_timeout_of_an_item() {
    crate::support::simulated(|rt| async move {
        let tasks = tasks(&rt).await;
        let sleep = sleeper(&rt);
        let begun = rt.uptime();
        assert_eq!(tasks.map_iter([4_900], sleep.clone()).collect().await.unwrap(), [4_900]);
        assert!(is_timeout(&tasks.map_iter([6_000], sleep.clone()).collect().await));
        assert!((9_900..9_910).contains(&(rt.uptime() - begun).as_millis()));
        let long = tasks.map_iter([6_000], sleep).no_timeout();
        assert_eq!(long.collect().await.unwrap(), [6_000]);
    });
}

/// Adapted: by types, but for the number of tasks at once, which panics before anything is done.
#[test]
fn task_037_no_task_at_once_is_an_error() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let taken = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&taken);
        let items = std::iter::repeat_with(move || seen.fetch_add(1, Ordering::Relaxed));
        let map = tasks.map_iter(items, |n| async move { n });
        let failed = catch_unwind(AssertUnwindSafe(|| map.at_once(0)));
        assert!(failed.is_err());
        assert_eq!((taken.load(Ordering::Relaxed), tasks.count()), (0, 0));
    });
}

/// Adapted: asked for in the task, by [`ThisTask::callers`].
#[test]
fn task_038_callers_in_nested_streams() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mailbox: Mailbox<Note>| async move {
            let me = mailbox.pid();
            let callers = || ThisTask::current().unwrap();
            let inner = tasks.clone();
            let outer = tasks.map_iter([()], move |()| {
                let inner = inner.clone();
                async move {
                    let nested = inner.map_iter([()], move |()| async move { callers().callers() });
                    (callers().pid(), callers().callers(), nested.collect().await.unwrap())
                }
            });
            let all = outer.collect().await.unwrap();
            let (pid, first, second) = &all[0];
            assert_eq!(*first, [me]);
            assert_eq!(*second, [vec![*pid, me]]);
        })
        .await;
    });
}

#[test]
fn task_039_consumed_where_it_was_not_built() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let (give, given) = oneshot();
        owner(&rt, |_: Mailbox<Note>| async move {
            let whose = |_| async { ThisTask::current().unwrap().owner() };
            give.send(tasks.map_iter(0..3, whose));
        })
        .await;
        let map = given.await.unwrap();
        owner(&rt, |mailbox: Mailbox<Note>| async move {
            assert_eq!(map.collect().await.unwrap(), [Some(mailbox.pid()); 3]);
        })
        .await;
    });
}

/// Adapted: adapters of streams and iterators.
#[test]
fn task_040_a_source_of_several() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |_: Mailbox<Note>| async move {
            let chained = (1..3).chain((3..10).take_while(|n| *n < 5));
            let map = tasks.map_iter(chained, |n| async move { n }).at_once(1);
            assert_eq!(map.collect().await.unwrap(), [1, 2, 3, 4]);
            let flat = stream::iter([1..3, 3..9]).flat_map(stream::iter).take(5);
            let map = tasks.map(flat, |n| async move { n }).at_once(3);
            assert_eq!(map.collect().await.unwrap(), [1, 2, 3, 4, 5]);
        })
        .await;
    });
}

/// Maps 1 to 4, and gives what came and how many ran at once.
async fn bounded(rt: &Handle, tasks: &TaskRef, at_once: usize) -> (Vec<usize>, usize) {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (rt, seen) = (rt.clone(), Arc::clone(&most));
    let map = tasks.map_iter(1..=4, move |n| {
        let (sleep, running, most) = (rt.sleep(ms(5)), Arc::clone(&running), Arc::clone(&most));
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep.await;
            running.fetch_sub(1, Ordering::SeqCst);
            n
        }
    });
    let all = map.at_once(at_once).collect().await.unwrap();
    (all, seen.load(Ordering::SeqCst))
}

#[test]
fn task_041_never_more_than_so_many_at_once() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |_: Mailbox<Note>| async move {
            for at_once in [4, 2, 8, 1] {
                let (all, most) = bounded(&handle, &tasks, at_once).await;
                assert_eq!(all, [1, 2, 3, 4]);
                assert!(most <= at_once, "{most} ran, and {at_once} may");
            }
        })
        .await;
    });
}

/// Unless it is said, as many as there are workers run at once.
#[test]
fn the_default_number_at_once() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let workers = rt.workers().max(1);
        let begun = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&begun);
        let map = tasks.map_iter(0..100, move |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            pending::<()>()
        });
        let mut map = map.timeout(ms(20));
        assert!(map.next().await.unwrap().is_err());
        assert_eq!(seen.load(Ordering::SeqCst), workers);
    });
}

#[test]
fn task_042_nothing_is_left() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            for at_once in [4, 2, 8] {
                bounded(&handle, &tasks, at_once).await;
                assert_eq!(tasks.count(), 0);
                assert_eq!(mailbox.relations().links, []);
                nothing_comes(&mut mailbox).await;
            }
        })
        .await;
    });
}

#[test]
fn task_043_slowest_first() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let sleep = sleeper(&rt);
        owner(&rt, |_: Mailbox<Note>| async move {
            for at_once in [4, 2, 8] {
                let map = tasks.map_iter([40, 30, 20, 10], sleep.clone()).at_once(at_once);
                assert_eq!(map.collect().await.unwrap(), [40, 30, 20, 10]);
            }
        })
        .await;
    });
}

/// A map in which each item exits with its number.
fn exits(tasks: &TaskRef, numbers: std::ops::RangeInclusive<u32>) -> TaskMap<u32> {
    tasks.map_iter(numbers, |n| async move {
        ThisTask::current().unwrap().exit(oops(n)).await;
        n
    })
}

fn is_exit<T>(result: Option<Result<T, ExitError>>, number: u32) -> bool {
    result.and_then(Result::err).is_some_and(|error| is_oops(error.reason(), number))
}

#[test]
fn task_044_exits_are_items() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            mailbox.trap_exit(Note::Exit);
            for at_once in [4, 2, 8] {
                let mut map = exits(&tasks, 1..=4).at_once(at_once);
                for number in 1..=4 {
                    assert!(is_exit(map.next().await, number));
                }
                assert!(map.next().await.is_none());
                nothing_comes(&mut mailbox).await;
            }
        })
        .await;
    });
}

#[test]
fn task_049_ordered_with_kills_on_timeout() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let sleep = sleeper(&rt);
        let handle = rt.clone();
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let map = tasks.map_iter([20_000, 1, 20_000, 1], sleep).at_once(4);
            let given = outcomes(map.timeout(ms(500)).kill_on_timeout()).await;
            assert_eq!(given, ["timeout", "1", "timeout", "1"]);
            // They were killed: nobody sleeps on.
            until(&handle, || tasks.count() == 0).await;
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_050_a_failure_comes_with_its_item() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let items = || stream::iter(1..=8_u32);
            let never = tasks.map_zip_input(items(), |_| pending::<()>());
            let mut never = never.timeout(ms(10)).kill_on_timeout().at_once(1);
            let Some(Err((item, error))) = never.next().await else { panic!("it has no end") };
            assert!(item == 1 && error.reason().is::<TaskTimeout>());
            drop(never);

            let exit = |n| async move {
                ThisTask::current().unwrap().exit(oops(n)).await;
            };
            let cut: Vec<_> = tasks.map_zip_input(items(), exit).take(4).collect().await;
            assert_eq!(cut.len(), 4);
            for (number, failed) in (1..).zip(cut) {
                let (item, error) = failed.unwrap_err();
                assert!(item == number && is_oops(error.reason(), number));
            }
            nothing_comes(&mut mailbox).await;
        })
        .await;
    });
}

#[test]
fn task_065_exits_do_not_end_the_consumer() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        owner(&rt, |mut mailbox: Mailbox<Note>| async move {
            let mut map = exits(&tasks, 1..=4);
            for number in 1..=4 {
                assert!(is_exit(map.next().await, number));
            }
            nothing_comes(&mut mailbox).await;
        })
        .await;
        // Unless it wants to: an item's reason is its own then.
        let tasks = self::tasks(&rt).await;
        let watched = Gate::new();
        let passed = watched.clone().passed();
        let consumer = rt.spawn_fn(move |_: Mailbox<()>| async move {
            passed.await;
            exits(&tasks, 7..=7).collect().await?;
            Ok(())
        });
        // Who has ended has no reason any more.
        let down = rt.down(&consumer);
        watched.open();
        let reason: ExitReason = down.await.reason;
        assert!(is_oops(&reason, 7), "{reason}");
    });
}

#[test]
fn task_067_a_task_killed_from_outside() {
    everywhere(|rt| async move {
        let tasks = tasks(&rt).await;
        let handle = rt.clone();
        owner(&rt, |_: Mailbox<Note>| async move {
            let rt = handle.clone();
            let map = tasks.map_iter(0..4, move |n| {
                let rt = rt.clone();
                async move {
                    if n == 2 {
                        rt.exit(ThisTask::current().unwrap().pid(), ExitReason::Kill);
                        pending::<()>().await;
                    }
                    n
                }
            });
            let killed = ExitReason::Killed.to_string();
            assert_eq!(outcomes(map.at_once(2)).await, ["0", "1", &*killed, "3"]);
        })
        .await;
    });
}

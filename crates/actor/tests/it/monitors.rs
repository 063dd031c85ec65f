//! Monitors: exactly one DOWN each, taken back for good, atomic with a spawn.

use crate::support;

use std::time::Duration;

use futures_util::FutureExt;
use support::{
    everywhere,
    puppet::{
        Do, Event, Events, Plain, Script, ask, assert_because, assert_reason, because, down, note,
        now, plain, settled,
    },
    scaled,
};
use whitebeam_actor::{ActorRef, ExitReason, Handle, MonitorRef, Pid};

/// Ends a puppet and waits until it has ended.
async fn end(rt: &Handle, puppet: &ActorRef<Do<false>>, reason: ExitReason) {
    let gone = rt.down(puppet);
    let given = reason.clone();
    puppet.cast(now(move |_| Err(given))).expect("cast");
    assert_reason(&gone.await.reason, &reason);
}

async fn monitor(a: &ActorRef<Do<false>>, b: Pid, events: &Events, number: u32) -> MonitorRef {
    let events = events.clone();
    ask(a, move |cx| cx.monitor(b, down(&events, number))).await
}

async fn demonitor(a: &ActorRef<Do<false>>, monitor: MonitorRef) -> bool {
    ask(a, move |cx| cx.demonitor(monitor)).await
}

#[test]
fn mon_001_an_exit_and_an_end_that_cross() {
    everywhere(|rt| async move {
        for _ in 0..scaled(100, 10) / 10 {
            let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
            monitor(&a, b.pid(), &events, 1).await;
            let (gone, to) = (rt.down(&a), a.clone());
            b.cast(now(move |cx| {
                cx.exit(&to, because("x"));
                Err(because("y"))
            }))
            .expect("cast");
            assert_because(&gone.await.reason, "x");
        }
    });
}

/// A reference is only its owner's, also where both have numbered theirs alike.
#[test]
fn mon_002_a_reference_of_another_is_nobodys() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let of_a = monitor(&a, b.pid(), &events, 1).await;
        assert!(!demonitor(&b, of_a).await);
        end(&rt, &b, because("x")).await;
        assert_because(&events.down().await.1.reason, "x");
    });
}

#[test]
fn mon_004_a_reference_of_another_leaves_ones_own_monitors_alone() {
    everywhere(|rt| async move {
        let (a, b, c, events) =
            (plain(&rt).await, plain(&rt).await, plain(&rt).await, Events::new());
        let of_a = monitor(&a, c.pid(), &events, 1).await;
        let of_b = monitor(&b, c.pid(), &events, 2).await;
        assert!(!demonitor(&a, of_b).await, "it is b's");
        assert!(!demonitor(&b, of_a).await, "it is a's");
        end(&rt, &c, because("x")).await;
        let (one, two) = (events.down().await, events.down().await);
        let mut numbers = [one.0, two.0];
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
    });
}

#[test]
fn mon_006_taken_back_twice() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let of_a = monitor(&a, b.pid(), &events, 1).await;
        assert!(demonitor(&a, of_a).await);
        assert!(!demonitor(&a, of_a).await);
        end(&rt, &b, because("x")).await;
        events.quiet(&rt).await;
    });
}

#[test]
fn mon_007_a_monitor_that_was_taken_back_is_silent() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let of_a = monitor(&a, b.pid(), &events, 1).await;
        assert!(demonitor(&a, of_a).await);
        rt.exit(&b, ExitReason::Kill);
        events.quiet(&rt).await;
    });
}

#[test]
fn mon_013_an_end_is_told_with_pid_and_reason() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (pid, told) = (b.pid(), events.clone());
        a.cast(now(move |cx| {
            cx.monitor(pid, down(&told, 1));
            Ok(())
        }))
        .expect("cast");
        b.cast(now(|cx| {
            cx.stop(ExitReason::Normal);
            Ok(())
        }))
        .expect("cast");
        let (_, told) = events.down().await;
        assert_eq!(told.pid, pid);
        match told.reason {
            ExitReason::Normal | ExitReason::NoProc => {}
            other => panic!("{other:?}"),
        }
        events.quiet(&rt).await;
    });
}

#[test]
fn mon_014_the_reason_of_a_signal_is_told() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        monitor(&a, b.pid(), &events, 1).await;
        let to = b.clone();
        ask(&a, move |cx| cx.exit(&to, because("frop"))).await;
        assert_because(&events.down().await.1.reason, "frop");
    });
}

#[test]
fn mon_015_nobody_is_noproc() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        end(&rt, &b, ExitReason::Normal).await;
        let pid = b.pid();
        // Its cell is kept by the address, then it is not.
        monitor(&a, pid, &events, 1).await;
        let (_, told) = events.down().await;
        assert_eq!(told.pid, pid);
        assert_reason(&told.reason, &ExitReason::NoProc);
        drop(b);
        let of_a = monitor(&a, pid, &events, 2).await;
        let (number, told) = events.down().await;
        assert_eq!((number, told.pid), (2, pid));
        assert_reason(&told.reason, &ExitReason::NoProc);
        assert!(!demonitor(&a, of_a).await, "it has fired");
        // The same from outside.
        assert_reason(&rt.down(pid).await.reason, &ExitReason::NoProc);
    });
}

#[test]
fn mon_020_a_large_reason_is_told_whole() {
    everywhere(|rt| async move {
        let a = plain(&rt).await;
        for _ in 0..10 {
            let (b, events) = (plain(&rt).await, Events::new());
            monitor(&a, b.pid(), &events, 1).await;
            let payload: Vec<u64> = (0..8192).collect();
            let given = ExitReason::custom(payload.clone());
            b.cast(now(move |_| Err(given))).expect("cast");
            assert_eq!(events.down().await.1.reason.downcast_ref(), Some(&payload));
        }
    });
}

/// A pid whose slot has another process now.
#[test]
fn mon_024_a_stale_pid_is_nobody() {
    everywhere(|rt| async move {
        let (a, events) = (plain(&rt).await, Events::new());
        let mut stale = Vec::new();
        for _ in 0..50 {
            let b = plain(&rt).await;
            stale.push(b.pid());
            end(&rt, &b, ExitReason::Normal).await;
        }
        let living: Vec<_> = join(&rt, 50).await;
        for pid in stale {
            assert!(living.iter().all(|b| b.pid() != pid), "a name was used twice");
            assert!(!rt.is_alive(pid) && rt.info(pid).is_none());
            monitor(&a, pid, &events, 1).await;
            let (_, told) = events.down().await;
            assert_eq!(told.pid, pid);
            assert_reason(&told.reason, &ExitReason::NoProc);
        }
        for b in &living {
            settled(b).await;
        }
    });
}

async fn join(rt: &Handle, n: usize) -> Vec<ActorRef<Do<false>>> {
    let mut all = Vec::new();
    for _ in 0..n {
        all.push(plain(rt).await);
    }
    all
}

#[test]
fn mon_026_each_monitor_has_a_message_of_its_own() {
    everywhere(|rt| async move {
        let (a, events) = (plain(&rt).await, Events::new());
        let targets: Vec<_> =
            (0..scaled(1000, 50) as u32).map(|_| rt.spawn::<Plain>(Script::new())).collect();
        let (pids, told) = (targets.iter().map(ActorRef::pid).collect::<Vec<_>>(), events.clone());
        let watched = pids.clone();
        ask(&a, move |cx| {
            for (n, pid) in watched.into_iter().enumerate() {
                cx.monitor(pid, down(&told, n as u32));
            }
        })
        .await;
        let sender = plain(&rt).await;
        let signalled = pids.clone();
        ask(&sender, move |cx| signalled.into_iter().for_each(|pid| cx.exit(pid, because("bang"))))
            .await;
        let mut told = vec![0; pids.len()];
        for _ in 0..pids.len() {
            let (number, down) = events.down().await;
            assert_eq!(down.pid, pids[number as usize]);
            assert_because(&down.reason, "bang");
            told[number as usize] += 1;
        }
        assert!(told.iter().all(|&times| times == 1));
    });
}

#[test]
fn mon_033_a_monitor_of_oneself_never_fires() {
    everywhere(|rt| async move {
        let (a, events) = (plain(&rt).await, Events::new());
        let of_a = monitor(&a, a.pid(), &events, 1).await;
        settled(&a).await;
        assert!(demonitor(&a, of_a).await);
        monitor(&a, a.pid(), &events, 2).await;
        end(&rt, &a, ExitReason::Normal).await;
        events.quiet(&rt).await;
    });
}

/// What is not in the mailbox when the monitor was taken back never comes.
#[test]
fn mon_034_after_a_demonitor_no_down_comes() {
    everywhere(|rt| async move {
        let (a, sender, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        for round in 0..scaled(1000, 20) as u32 / 10 {
            let b = plain(&rt).await;
            let of_a = monitor(&a, b.pid(), &events, round).await;
            let (to, told, gone) = (b.clone(), events.clone(), rt.down(&b));
            ask(&sender, move |cx| cx.exit(&to, because("x"))).await;
            let active = ask(&a, move |cx| {
                let active = cx.demonitor(of_a);
                // Behind whatever DOWN is in the mailbox already.
                cx.me().cast(note(&told, u64::from(active))).expect("itself");
                active
            })
            .await;
            // True if and only if no DOWN is in the mailbox.
            if !active {
                assert_eq!(events.down().await.0, round);
            }
            assert_eq!(events.note().await, u64::from(active));
            let _ = gone.await;
            settled(&a).await;
            assert!(events.take().is_empty());
        }
    });
}

#[test]
fn mon_035_two_monitors_have_two_downs() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let first = monitor(&a, b.pid(), &events, 1).await;
        let second = monitor(&a, b.pid(), &events, 2).await;
        assert_ne!(first, second);
        end(&rt, &b, because("x")).await;
        let mut numbers = [events.down().await.0, events.down().await.0];
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
        events.quiet(&rt).await;
    });
}

#[test]
fn mon_036_messages_come_before_the_down() {
    everywhere(|rt| async move {
        let a = plain(&rt).await;
        for _ in 0..scaled(1000, 20) / 10 {
            let (b, events) = (plain(&rt).await, Events::new());
            monitor(&a, b.pid(), &events, 1).await;
            let (to, told) = (a.clone(), events.clone());
            b.cast(now(move |cx| {
                to.cast(note(&told, 1))?;
                to.cast(note(&told, 2))?;
                cx.stop(ExitReason::Normal);
                Ok(())
            }))
            .expect("cast");
            assert_eq!(events.note().await, 1);
            assert_eq!(events.note().await, 2);
            assert_reason(&events.down().await.1.reason, &ExitReason::Normal);
        }
    });
}

#[test]
fn mon_038_a_hundred_thousand_monitors_on_one_process() {
    let monitors = scaled(100_000, 1_000);
    support::threaded(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (pid, told) = (b.pid(), events.clone());
        ask(&a, move |cx| {
            for n in 0..monitors as u32 {
                cx.monitor(pid, down(&told, n));
            }
        })
        .await;
        let begun = support::now(&rt);
        end(&rt, &b, because("x")).await;
        let mut told = vec![false; monitors];
        for _ in 0..monitors {
            let (number, _) = events.down().await;
            assert!(!std::mem::replace(&mut told[number as usize], true));
        }
        let took = Duration::from_nanos(support::now(&rt) - begun);
        assert!(took < Duration::from_secs(10), "{took:?}");
    });
}

// Beyond the rows.

#[test]
fn a_spawn_and_its_monitor_are_one() {
    everywhere(|rt| async move {
        let (a, events) = (plain(&rt).await, Events::new());
        for n in 0..scaled(200, 10) as u32 / 5 {
            let told = events.clone();
            // It ends before it does anything: in its `init`.
            let script = Script::new().init_now(|_| Err(because("at once")));
            let (b, _) = ask(&a, move |cx| cx.spawn_monitor::<Plain>(script, down(&told, n))).await;
            let (number, told) = events.down().await;
            assert_eq!((number, told.pid), (n, b.pid()));
            assert_because(&told.reason, "at once");
        }
        assert_eq!(rt.processes().len(), 1);
        // And it can be taken back.
        let told = events.clone();
        let (b, of_a) =
            ask(&a, move |cx| cx.spawn_monitor::<Plain>(Script::new(), down(&told, 0))).await;
        assert!(demonitor(&a, of_a).await);
        end(&rt, &b, because("x")).await;
        events.quiet(&rt).await;
    });
}

/// The process is spawned, then its DOWN comes.
#[test]
fn proc_037_a_spawn_succeeds_before_its_failure_is_told() {
    everywhere(|rt| async move {
        let (a, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        let script = Script::new().init_now(|_| Err(because("entry")));
        a.cast(now(move |cx| {
            let (b, _) = cx.spawn_monitor::<Plain>(script, down(&told, 1));
            told.send(Event::Note(u64::from(b.pid() == cx.pid())));
            Ok(())
        }))
        .expect("cast");
        assert_eq!(events.note().await, 0, "a pid of its own");
        assert_because(&events.down().await.1.reason, "entry");
    });
}

#[test]
fn many_watch_from_outside() {
    everywhere(|rt| async move {
        let b = plain(&rt).await;
        let watchers: Vec<_> = (0..20).map(|_| rt.down(&b)).collect();
        // Some lose interest.
        for _ in 0..20 {
            let mut gone = rt.down(&b);
            assert!((&mut gone).now_or_never().is_none());
        }
        end(&rt, &b, because("x")).await;
        for watcher in watchers {
            let told = watcher.await;
            assert_eq!(told.pid, b.pid());
            assert_because(&told.reason, "x");
        }
    });
}

/// A process that watches others and ends: they forget it.
#[test]
fn the_monitors_of_a_process_end_with_it() {
    everywhere(|rt| async move {
        let b = plain(&rt).await;
        for _ in 0..scaled(50, 10) {
            let (a, events) = (plain(&rt).await, Events::new());
            monitor(&a, b.pid(), &events, 1).await;
            monitor(&a, b.pid(), &events, 2).await;
            end(&rt, &a, ExitReason::Normal).await;
            settled(&b).await;
        }
        // Their cells are free again: the watched one keeps none of them.
        assert_eq!(rt.processes().len(), 1);
        settled(&b).await;
    });
}

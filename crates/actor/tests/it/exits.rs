//! What an exit signal does to its receiver, with the parent rule and the kill.

use crate::support;

use std::{
    future::{Future, pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt;
use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Script, Tidy, ask, assert_because, assert_panic,
        assert_reason, because, hang, later, note, now, plain, settled, trap,
    },
    scaled, simulated, threaded,
};
use whitebeam_actor::{Actor, ActorRef, Context, ExitReason, Handle, Pid, Reply, Runtime};

/// Has `sender` send an exit signal, which is in its receiver's stream when this returns.
async fn send(sender: &ActorRef<Do<false>>, to: Pid, reason: ExitReason) {
    ask(sender, move |cx| cx.exit(to, reason)).await;
}

/// A puppet that another process has started, so that the test is not its parent.
async fn started_by(parent: &ActorRef<Do<false>>, script: Script<false>) -> ActorRef<Do<false>> {
    let puppet = ask(parent, |cx| cx.spawn::<Plain>(script)).await;
    // Its `init` is done.
    settled(&puppet).await;
    puppet
}

/// What became of a receiver.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// It lives, and got no message.
    Ignores,
    /// It lives, and got the EXIT as a message.
    IsTold,
    /// It died with the reason that was sent.
    Dies,
    /// It died with `Killed`.
    IsKilled,
}
use Fate::{Dies, Ignores, IsKilled, IsTold};

/// Checks the fate of `receiver`, which was sent a signal with `reason` before.
async fn check(
    rt: &Handle,
    case: &str,
    receiver: &ActorRef<Do<false>>,
    end: impl Future<Output = whitebeam_actor::Down>,
    events: &Events,
    (from, reason): (Option<Pid>, &ExitReason),
    fate: Fate,
) {
    match fate {
        Ignores => {
            settled(receiver).await;
            assert!(rt.is_alive(receiver), "{case}");
            assert!(events.take().is_empty(), "{case}");
        }
        IsTold => {
            let exit = events.exit().await;
            assert_eq!(exit.from, from, "{case}");
            assert_reason(&exit.reason, reason);
            settled(receiver).await;
            assert!(events.take().is_empty(), "{case}: told twice");
        }
        Dies => assert_reason(&end.await.reason, reason),
        IsKilled => assert_reason(&end.await.reason, &ExitReason::Killed),
    }
}

fn reasons() -> Vec<ExitReason> {
    vec![
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::shutdown_with("term"),
        ExitReason::Kill,
        ExitReason::Killed,
        ExitReason::NoProc,
        because("other"),
    ]
}

/// The table of the semantics: who traps, how it was sent, which reason.
#[test]
fn the_table_of_exit_signals() {
    everywhere(|rt| async move {
        for trapping in [false, true] {
            for reason in reasons() {
                let kind = |normal, kill, other| match reason {
                    ExitReason::Normal => normal,
                    ExitReason::Kill => kill,
                    _ => other,
                };
                let sent = if trapping {
                    kind(IsTold, IsKilled, IsTold)
                } else {
                    kind(Ignores, IsKilled, Dies)
                };
                let to_self = if trapping {
                    kind(IsTold, IsKilled, IsTold)
                } else {
                    kind(Dies, IsKilled, Dies)
                };
                let link = if trapping { IsTold } else { kind(Ignores, Dies, Dies) };

                // Sent by another process.
                let case = format!("sent {reason}, trapping {trapping}");
                let (sender, events) = (plain(&rt).await, Events::new());
                let script = if trapping { Script::new().trap(&events) } else { Script::new() };
                let starter = plain(&rt).await;
                let receiver = started_by(&starter, script).await;
                let end = rt.down(&receiver);
                send(&sender, receiver.pid(), reason.clone()).await;
                check(&rt, &case, &receiver, end, &events, (Some(sender.pid()), &reason), sent)
                    .await;

                // Sent by itself.
                let case = format!("sent {reason} by itself, trapping {trapping}");
                let events = Events::new();
                let script = if trapping { Script::new().trap(&events) } else { Script::new() };
                let receiver = started_by(&starter, script).await;
                let end = rt.down(&receiver);
                send(&receiver, receiver.pid(), reason.clone()).await;
                check(
                    &rt,
                    &case,
                    &receiver,
                    end,
                    &events,
                    (Some(receiver.pid()), &reason),
                    to_self,
                )
                .await;

                // Over a link.
                let case = format!("linked, {reason}, trapping {trapping}");
                let events = Events::new();
                let script = if trapping { Script::new().trap(&events) } else { Script::new() };
                let (receiver, linked) = (started_by(&starter, script).await, plain(&rt).await);
                let pid = linked.pid();
                ask(&receiver, move |cx| cx.link(pid)).await;
                // The link is there: it was sent before this is asked for.
                settled(&linked).await;
                let end = rt.down(&receiver);
                let (given, ended) = (reason.clone(), rt.down(&linked));
                linked.cast(now(move |_| Err(given))).expect("cast");
                assert_reason(&ended.await.reason, &reason);
                check(&rt, &case, &receiver, end, &events, (Some(pid), &reason), link).await;

                // Over a link that is not there any more.
                let case = format!("unlinked, {reason}, trapping {trapping}");
                let events = Events::new();
                let script = if trapping { Script::new().trap(&events) } else { Script::new() };
                let (receiver, linked) = (started_by(&starter, script).await, plain(&rt).await);
                let pid = linked.pid();
                ask(&receiver, move |cx| {
                    cx.link(pid);
                    cx.unlink(pid);
                })
                .await;
                let end = rt.down(&receiver);
                let (given, ended) = (reason.clone(), rt.down(&linked));
                linked.cast(now(move |_| Err(given))).expect("cast");
                assert_reason(&ended.await.reason, &reason);
                check(&rt, &case, &receiver, end, &events, (Some(pid), &reason), Ignores).await;
            }
        }
    });
}

// Processes.

#[test]
fn proc_002_a_large_reason_arrives_whole() {
    everywhere(|rt| async move {
        let events = Events::new();
        let payload: Vec<u8> = (0..128 * 1024).map(|n| (n % 251) as u8).collect();
        let trapper = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let (sent, pid) = (payload.clone(), trapper.pid());
        let puppet = ask(&trapper, |cx| cx.spawn_link::<Plain>(Script::new())).await;
        // Not the parent's: of a process in between.
        let sender = plain(&rt).await;
        send(&sender, puppet.pid(), ExitReason::custom(sent)).await;
        let exit = events.exit().await;
        assert_eq!(exit.from, Some(puppet.pid()));
        assert_eq!(exit.reason.downcast_ref::<Vec<u8>>(), Some(&payload));
        assert!(rt.is_alive(pid));
    });
}

#[test]
fn proc_003_normal_from_another_is_ignored() {
    everywhere(|rt| async move {
        let (sender, puppet, watcher) = (plain(&rt).await, plain(&rt).await, plain(&rt).await);
        let (events, pid) = (Events::new(), puppet.pid());
        let told = events.clone();
        ask(&watcher, move |cx| {
            trap(cx, &told);
            cx.link(pid);
            cx.monitor(pid, support::puppet::down(&told, 1));
        })
        .await;
        send(&sender, pid, ExitReason::Normal).await;
        assert_eq!(ask(&puppet, |_| 5).await, 5);
        events.quiet(&rt).await;
    });
}

#[test]
fn proc_004_a_trapping_process_that_signals_itself_gets_messages() {
    everywhere(|rt| async move {
        let events = Events::new();
        let puppet = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let pid = puppet.pid();
        ask(&puppet, |cx| {
            for n in 0..200_u32 {
                cx.exit(cx.pid(), ExitReason::custom(n));
            }
        })
        .await;
        for n in 0..200_u32 {
            let exit = events.exit().await;
            assert_eq!((exit.from, exit.reason.downcast_ref()), (Some(pid), Some(&n)));
        }
        assert!(rt.is_alive(pid));
    });
}

#[test]
fn proc_005_normal_to_oneself_ends() {
    everywhere(|rt| async move {
        self_exit(&rt, ExitReason::Normal).await;
    });
}

#[test]
fn proc_006_an_exit_signal_to_oneself_ends_with_its_reason() {
    everywhere(|rt| async move {
        self_exit(&rt, because("own")).await;
        self_exit(&rt, ExitReason::Shutdown).await;
    });
}

async fn self_exit(rt: &Handle, reason: ExitReason) {
    let events = Events::new();
    let trapper = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
    let puppet = ask(&trapper, |cx| cx.spawn_link::<Plain>(Script::new())).await;
    let sent = reason.clone();
    puppet
        .cast(now(move |cx| {
            cx.exit(cx.pid(), sent);
            Ok(())
        }))
        .expect("cast");
    let _ = puppet.cast(note(&events, 1));
    let exit = events.exit().await;
    assert_eq!(exit.from, Some(puppet.pid()));
    assert_reason(&exit.reason, &reason);
    assert!(events.take().is_empty(), "the message behind the exit was handled");
}

/// Inside `catch_unwind`: the signal is no panic.
#[test]
fn proc_007_a_signal_to_oneself_is_not_caught_as_a_panic() {
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        let end = rt.down(&puppet);
        let caught = Arc::new(AtomicBool::new(true));
        let result = caught.clone();
        puppet
            .cast(now(move |cx| {
                let pid = cx.pid();
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    cx.exit(pid, because("die"))
                }));
                result.store(outcome.is_err(), Ordering::Relaxed);
                Ok(())
            }))
            .expect("cast");
        assert_because(&end.await.reason, "die");
        assert!(!caught.load(Ordering::Relaxed));
    });
}

#[test]
fn proc_009_a_signal_ahead_of_a_timer_wins() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, sender) = (plain(&rt).await, plain(&rt).await);
        let told = events.clone();
        ask(&puppet, move |cx| cx.send_after(Duration::from_millis(2), note(&told, 1))).await;
        let end = rt.down(&puppet);
        send(&sender, puppet.pid(), because("r")).await;
        assert_because(&end.await.reason, "r");
        // On threads it may have fired before the signal came; afterwards nothing runs.
        events.take();
        events.quiet(&rt).await;
    });
}

#[test]
fn proc_010_of_two_signals_the_first_counts() {
    everywhere(|rt| async move {
        for _ in 0..scaled(50, 5) {
            let (puppet, sender) = (plain(&rt).await, plain(&rt).await);
            puppet.cast(later(|_, _| busy().boxed())).expect("cast");
            let (pid, end) = (puppet.pid(), rt.down(&puppet));
            ask(&sender, move |cx| {
                cx.exit(pid, because("first"));
                cx.exit(pid, because("second"));
            })
            .await;
            assert_because(&end.await.reason, "first");
        }
    });
}

/// Yields for ever.
async fn busy() -> Result<(), ExitReason> {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[test]
fn proc_011_a_kill_behind_another_signal_changes_nothing() {
    everywhere(|rt| async move {
        for _ in 0..scaled(50, 5) {
            for idle in [false, true] {
                let (puppet, sender) = (plain(&rt).await, plain(&rt).await);
                if !idle {
                    puppet.cast(later(|_, _| busy().boxed())).expect("cast");
                }
                let (pid, end) = (puppet.pid(), rt.down(&puppet));
                ask(&sender, move |cx| {
                    cx.exit(pid, because("first"));
                    cx.exit(pid, ExitReason::Kill);
                })
                .await;
                assert_because(&end.await.reason, "first");
            }
        }
    });
}

// Signals.

#[test]
fn sig_001_messages_behind_a_signal_are_not_handled() {
    everywhere(|rt| async move {
        for _ in 0..scaled(1000, 10) / if rt.workers() == 1 { 10 } else { 1 } {
            let (puppet, sender, events) = (plain(&rt).await, plain(&rt).await, Events::new());
            let (to, told, end) = (puppet.clone(), events.clone(), rt.down(&puppet));
            ask(&sender, move |cx| {
                for n in 0..3 {
                    let _ = to.cast(note(&told, n));
                }
                cx.exit(&to, because("good"));
                for n in 3..6 {
                    let _ = to.cast(note(&told, n));
                }
            })
            .await;
            assert_because(&end.await.reason, "good");
            let handled: Vec<u64> = events
                .take()
                .iter()
                .map(|event| match event {
                    Event::Note(n) => *n,
                    other => panic!("{other:?}"),
                })
                .collect();
            // The signal runs ahead of what waits, so fewer than three is right as well.
            assert!(
                handled.len() <= 3 && handled.iter().copied().eq(0..handled.len() as u64),
                "{handled:?}"
            );
        }
    });
}

#[test]
fn sig_003_a_trapped_exit_keeps_its_place_among_messages() {
    everywhere(|rt| async move {
        for _ in 0..scaled(100, 5) {
            let (events, sender) = (Events::new(), plain(&rt).await);
            let puppet = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
            let (to, told) = (puppet.clone(), events.clone());
            ask(&sender, move |cx| {
                to.cast(note(&told, 1)).expect("cast");
                cx.exit(&to, because("x"));
                to.cast(note(&told, 2)).expect("cast");
            })
            .await;
            assert_eq!(events.note().await, 1);
            assert_because(&events.exit().await.reason, "x");
            assert_eq!(events.note().await, 2);
            rt.exit(&puppet, ExitReason::Kill);
        }
    });
}

/// Chains of linked processes; the near end is linked to a trapping one.
#[test]
fn sig_005_a_kill_is_seen_as_killed_down_a_chain() {
    everywhere(|rt| async move {
        for length in [1, 2, 9, 10] {
            for how in ["by another", "by itself", "as a reason"] {
                let events = Events::new();
                let trapper = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
                let near = ask(&trapper, |cx| cx.spawn_link::<Plain>(Script::new())).await;
                let mut far = near.clone();
                for _ in 1..length {
                    far = ask(&far, |cx| cx.spawn_link::<Plain>(Script::new())).await;
                }
                match how {
                    "by another" => send(&plain(&rt).await, far.pid(), ExitReason::Kill).await,
                    "by itself" => send(&far, far.pid(), ExitReason::Kill).await,
                    _ => far.cast(now(|_| Err(ExitReason::Kill))).expect("cast"),
                }
                let expected =
                    if how == "as a reason" { ExitReason::Kill } else { ExitReason::Killed };
                let exit = events.exit().await;
                assert_eq!(exit.from, Some(near.pid()), "{length} {how}");
                assert_reason(&exit.reason, &expected);
            }
        }
    });
}

#[test]
fn sig_006_a_kill_is_not_trapped_and_runs_no_hook() {
    everywhere(|rt| async move {
        let (events, sender) = (Events::new(), plain(&rt).await);
        let told = events.clone();
        let script = Script::new().tell_terminate(&events).tell_drop(&events);
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        ask(&tidy, move |cx| trap(cx, &told)).await;
        let end = rt.down(&tidy);
        send(&sender, tidy.pid(), ExitReason::Kill).await;
        assert_reason(&end.await.reason, &ExitReason::Killed);
        events.dropped().await;
        assert!(events.take().is_empty());
    });
}

#[test]
fn sig_007_shutdown_is_trapped_unless_it_is_the_parents() {
    everywhere(|rt| async move {
        let (events, sender) = (Events::new(), plain(&rt).await);
        let puppet = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        send(&sender, puppet.pid(), ExitReason::Shutdown).await;
        let exit = events.exit().await;
        assert_eq!(exit.from, Some(sender.pid()));
        assert_reason(&exit.reason, &ExitReason::Shutdown);
        settled(&puppet).await;
    });
}

#[test]
fn sig_008_normal_is_trapped() {
    everywhere(|rt| async move {
        let (events, sender) = (Events::new(), plain(&rt).await);
        let puppet = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        send(&sender, puppet.pid(), ExitReason::Normal).await;
        assert_reason(&events.exit().await.reason, &ExitReason::Normal);
        settled(&puppet).await;
    });
}

#[test]
fn sig_009_other_reasons_end_with_exactly_themselves() {
    everywhere(|rt| async move {
        let sender = plain(&rt).await;
        for reason in reasons() {
            if matches!(reason, ExitReason::Normal | ExitReason::Kill) {
                continue;
            }
            let puppet = started_by(&sender, Script::new()).await;
            let (end, third) = (rt.down(&puppet), plain(&rt).await);
            send(&third, puppet.pid(), reason.clone()).await;
            assert_reason(&end.await.reason, &reason);
        }
    });
}

#[test]
fn sig_010_links_and_monitors_see_killed() {
    everywhere(|rt| async move {
        let (events, sender) = (Events::new(), plain(&rt).await);
        let watcher = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let told = events.clone();
        let puppet = ask(&watcher, move |cx| {
            let puppet = cx.spawn_link::<Plain>(Script::new());
            cx.monitor(&puppet, support::puppet::down(&told, 1));
            puppet
        })
        .await;
        send(&sender, puppet.pid(), ExitReason::Kill).await;
        for _ in 0..2 {
            // No order between the two.
            match events.next().await {
                Event::Exit(exit) => assert_reason(&exit.reason, &ExitReason::Killed),
                Event::Down(1, down) => assert_reason(&down.reason, &ExitReason::Killed),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn sig_011_the_flag_counts_when_the_signal_is_received() {
    everywhere(|rt| async move {
        let (events, sender) = (Events::new(), plain(&rt).await);
        let puppet = rt.start::<Plain>(Script::new().trap(&events)).await.expect("start");
        let (pid, end) = (puppet.pid(), rt.down(&puppet));
        // The EXITs wait as messages behind the handler that turns trapping off.
        let (go, gate) = whitebeam_actor::oneshot::<()>();
        puppet
            .cast(later(move |_, cx| {
                async move {
                    let _ = gate.await;
                    cx.untrap_exit();
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        ask(&sender, move |cx| {
            for n in 0..5_u32 {
                cx.exit(pid, ExitReason::custom(n));
            }
        })
        .await;
        // The five are in its stream, so they are received before it is woken.
        go.send(());
        for n in 0..5_u32 {
            assert_eq!(events.exit().await.reason.downcast_ref(), Some(&n));
        }
        send(&sender, pid, because("r")).await;
        assert_because(&end.await.reason, "r");
    });
}

/// Counts what it handles.
struct Slow(Arc<AtomicU32>);
impl Actor for Slow {
    type Args = Arc<AtomicU32>;
    type Msg = u64;
    async fn init(handled: Arc<AtomicU32>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Slow(handled))
    }
    async fn handle(&mut self, spins: u64, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0.fetch_add(1, Ordering::Relaxed);
        for _ in 0..spins {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

/// The kill does not wait behind the backlog, whether the receiver is scheduled or busy with it.
#[test]
fn sig_012_a_kill_goes_past_a_backlog() {
    let backlog = scaled(1_000_000, 10_000) as u64;
    threaded(|rt| async move {
        let handled = Arc::new(AtomicU32::new(0));
        let slow = rt.start::<Slow>(handled.clone()).await.expect("start");
        let end = rt.down(&slow);
        for _ in 0..backlog {
            slow.cast(2_000).expect("cast");
        }
        let sent = support::now(&rt);
        rt.exit(&slow, ExitReason::Kill);
        assert_reason(&end.await.reason, &ExitReason::Killed);
        let took = Duration::from_nanos(support::now(&rt) - sent);
        assert!(
            u64::from(handled.load(Ordering::Relaxed)) < backlog,
            "the backlog was handled first"
        );
        // 10 us for each of a million would be ten seconds.
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
    simulated(|rt| async move {
        let handled = Arc::new(AtomicU32::new(0));
        let slow = rt.start::<Slow>(handled.clone()).await.expect("start");
        let end = rt.down(&slow);
        for _ in 0..10_000 {
            slow.cast(0).expect("cast");
        }
        rt.exit(&slow, ExitReason::Kill);
        assert_reason(&end.await.reason, &ExitReason::Killed);
        // The signal is in the stream before it first runs.
        assert_eq!(handled.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn sig_013_an_exit_signal_ends_a_handler_at_its_await() {
    everywhere(|rt| async move {
        for reason in [because("r"), ExitReason::Kill] {
            let (events, sender) = (Events::new(), plain(&rt).await);
            let puppet = started_by(&sender, Script::new().tell_drop(&events)).await;
            let told = events.clone();
            let after = events.clone();
            let clock = rt.clone();
            puppet
                .cast(later(move |_, _| {
                    async move {
                        let _destructor = OnDrop::new(move || told.send(Event::Note(1)));
                        after.send(Event::Note(0));
                        clock.sleep(Duration::from_secs(3600)).await;
                        after.send(Event::Note(2));
                        Ok(())
                    }
                    .boxed()
                }))
                .expect("cast");
            assert_eq!(events.note().await, 0);
            let (end, third) = (rt.down(&puppet), plain(&rt).await);
            send(&third, puppet.pid(), reason.clone()).await;
            let expected =
                if matches!(reason, ExitReason::Kill) { ExitReason::Killed } else { reason };
            assert_reason(&end.await.reason, &expected);
            assert_eq!(events.note().await, 1);
            events.dropped().await;
            assert!(events.take().is_empty());
        }
    });
}

/// The sender gets its message back; nothing runs.
#[test]
fn sig_015_what_is_sent_to_an_exiting_process_is_refused_or_dropped() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (told, sender) = (events.clone(), plain(&rt).await);
        let (go, gate) = whitebeam_actor::oneshot::<()>();
        let script = Script::new().terminate(move |_, _| {
            async move {
                told.send(Event::Note(0));
                let _ = gate.await;
            }
            .boxed()
        });
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        let end = rt.down(&tidy);
        tidy.cast(now(|cx| {
            cx.stop(because("own"));
            Ok(())
        }))
        .expect("cast");
        assert_eq!(events.note().await, 0);
        let dropped = Arc::new(());
        let in_message = dropped.clone();
        let told = events.clone();
        tidy.cast(now(move |_| {
            let _held = in_message;
            told.send(Event::Note(9));
            Ok(())
        }))
        .expect("it has not ended yet");
        let pid = tidy.pid();
        ask(&sender, move |cx| {
            cx.exit(pid, because("late"));
            cx.exit(pid, ExitReason::Normal);
        })
        .await;
        go.send(());
        assert_because(&end.await.reason, "own");
        assert!(tidy.cast(now(|_| Ok(()))).is_err());
        while Arc::strong_count(&dropped) > 1 {
            rt.sleep(Duration::from_millis(1)).await;
        }
        assert!(events.take().is_empty());
    });
}

#[test]
fn a_kill_ends_a_terminate_that_takes_its_time() {
    everywhere(|rt| async move {
        let events = Events::new();
        let told = events.clone();
        let script = Script::new().tell_drop(&events).terminate(move |_, _| {
            async move {
                let in_frame = told.clone();
                let _destructor = OnDrop::new(move || in_frame.send(Event::Note(1)));
                told.send(Event::Note(0));
                pending().await
            }
            .boxed()
        });
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        let (end, sender) = (rt.down(&tidy), plain(&rt).await);
        tidy.cast(now(|cx| {
            cx.stop(ExitReason::Normal);
            Ok(())
        }))
        .expect("cast");
        assert_eq!(events.note().await, 0);
        send(&sender, tidy.pid(), ExitReason::Kill).await;
        assert_reason(&end.await.reason, &ExitReason::Killed);
        assert_eq!(events.note().await, 1);
        events.dropped().await;
    });
}

/// While a handler that never gives way runs, nothing can end it; when it returns, the kill acts before
/// the next message.
#[test]
fn a_kill_acts_when_a_handler_that_does_not_await_returns() {
    threaded(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let (release, gate) = mpsc::channel::<()>();
        let told = events.clone();
        puppet
            .cast(now(move |_| {
                told.send(Event::Note(0));
                let _ = gate.recv_timeout(Duration::from_secs(30));
                told.send(Event::Note(1));
                Ok(())
            }))
            .expect("cast");
        puppet.cast(note(&events, 2)).expect("cast");
        assert_eq!(events.note().await, 0);
        let end = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        assert!(puppet.is_alive(), "it has not ended: its handler runs");
        release.send(()).expect("the handler waits");
        assert_reason(&end.await.reason, &ExitReason::Killed);
        assert_eq!(events.note().await, 1);
        assert!(events.take().is_empty());
    });
}

// The parent rule.

#[test]
fn srv_061_the_parents_end_ends_a_trapping_server_after_terminate() {
    everywhere(|rt| async move {
        for linked in [true, false] {
            let events = Events::new();
            let parent = plain(&rt).await;
            let told = events.clone();
            let script = Script::new().tell_terminate(&events);
            let server = ask(&parent, move |cx| {
                if linked { cx.spawn_link::<Tidy>(script) } else { cx.spawn::<Tidy>(script) }
            })
            .await;
            ask(&server, move |cx| trap(cx, &told)).await;
            let end = rt.down(&server);
            if linked {
                parent.cast(now(|_| Err(because("r")))).expect("cast");
            } else {
                // The rule holds for what the parent sends, linked or not.
                send(&parent, server.pid(), because("r")).await;
            }
            assert_because(&events.terminated().await, "r");
            assert_because(&end.await.reason, "r");
            assert!(events.take().is_empty());
        }
    });
}

#[test]
fn srv_062_shutdown_from_a_stranger_is_a_message_to_a_trapping_server() {
    everywhere(|rt| async move {
        let (events, stranger) = (Events::new(), plain(&rt).await);
        let told = events.clone();
        let server = rt.start::<Tidy>(Script::new().tell_terminate(&events)).await.expect("start");
        ask(&server, move |cx| trap(cx, &told)).await;
        send(&stranger, server.pid(), ExitReason::Shutdown).await;
        assert_eq!(events.exit().await.from, Some(stranger.pid()));
        settled(&server).await;
        assert!(events.take().is_empty());
    });
}

/// The parent's orderly end runs `terminate` without trapping: a listed difference. Anybody else's signal,
/// and the parent's abnormal one, do not.
#[test]
fn srv_063_a_server_that_does_not_trap_terminates_on_its_parents_shutdown_only() {
    everywhere(|rt| async move {
        let cases = [
            ("parent", ExitReason::Shutdown, true),
            ("parent", because("crash"), false),
            ("linked parent", ExitReason::Shutdown, true),
            ("linked parent", because("crash"), false),
            ("stranger", ExitReason::Shutdown, false),
            ("linked stranger", ExitReason::Shutdown, false),
        ];
        for (who, reason, hook) in cases {
            let events = Events::new();
            let (parent, stranger) = (plain(&rt).await, plain(&rt).await);
            let script = Script::new().tell_terminate(&events).tell_drop(&events);
            let linked = who == "linked parent";
            let server = ask(&parent, move |cx| {
                if linked { cx.spawn_link::<Tidy>(script) } else { cx.spawn::<Tidy>(script) }
            })
            .await;
            let (pid, end) = (server.pid(), rt.down(&server));
            settled(&server).await;
            let given = reason.clone();
            match who {
                "parent" => send(&parent, pid, given).await,
                "stranger" => send(&stranger, pid, given).await,
                "linked parent" => parent.cast(now(move |_| Err(given))).expect("cast"),
                _ => {
                    ask(&stranger, move |cx| cx.link(pid)).await;
                    settled(&server).await;
                    stranger.cast(now(move |_| Err(given))).expect("cast");
                }
            }
            assert_reason(&end.await.reason, &reason);
            if hook {
                assert_reason(&events.terminated().await, &reason);
            }
            events.dropped().await;
            assert!(events.take().is_empty(), "{who} {reason}");
        }
    });
}

#[test]
fn srv_064_a_killed_server_runs_destructors_but_no_hook() {
    everywhere(|rt| async move {
        let (events, parent) = (Events::new(), plain(&rt).await);
        let (told, script) =
            (events.clone(), Script::new().tell_terminate(&events).tell_drop(&events));
        let server = ask(&parent, |cx| cx.spawn::<Tidy>(script)).await;
        ask(&server, move |cx| trap(cx, &told)).await;
        let end = rt.down(&server);
        send(&parent, server.pid(), ExitReason::Kill).await;
        assert_reason(&end.await.reason, &ExitReason::Killed);
        events.dropped().await;
        assert!(events.take().is_empty());
    });
}

/// A process started from outside has what comes from outside as its parent's.
#[test]
fn the_outside_is_the_parent_of_what_it_started() {
    everywhere(|rt| async move {
        for trapping in [false, true] {
            let events = Events::new();
            let script = Script::new().tell_terminate(&events);
            let server = rt.start::<Tidy>(script).await.expect("start");
            if trapping {
                let told = events.clone();
                ask(&server, move |cx| trap(cx, &told)).await;
            }
            let end = rt.down(&server);
            rt.exit(&server, ExitReason::shutdown_with("over"));
            assert_eq!(events.terminated().await.downcast_ref(), Some(&"over"));
            assert_eq!(end.await.reason.downcast_ref(), Some(&"over"));
        }
    });
}

#[test]
fn the_shutdown_of_a_trapping_process_waits_for_its_handler() {
    everywhere(|rt| async move {
        let events = Events::new();
        let script = Script::new().tell_terminate(&events).init_now({
            let told = events.clone();
            move |cx| {
                trap(cx, &told);
                Ok(())
            }
        });
        let server = rt.start::<Tidy>(script).await.expect("start");
        let (go, gate) = whitebeam_actor::oneshot::<()>();
        let told = events.clone();
        server
            .cast(later(move |_, _| {
                async move {
                    told.send(Event::Note(0));
                    let _ = gate.await;
                    told.send(Event::Note(1));
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        assert_eq!(events.note().await, 0);
        let _ = server.cast(note(&events, 9));
        let end = rt.down(&server);
        rt.exit(&server, ExitReason::Shutdown);
        rt.sleep(Duration::from_millis(5)).await;
        assert!(server.is_alive());
        go.send(());
        assert_eq!(events.note().await, 1);
        assert_reason(&events.terminated().await, &ExitReason::Shutdown);
        assert_reason(&end.await.reason, &ExitReason::Shutdown);
        assert!(events.take().is_empty(), "a message was handled after the shutdown");
    });
}

/// From a plain thread, from a task, to many that are in every state.
#[test]
fn kills_from_many_threads_end_each_process_once() {
    expect_panics();
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads");
        let puppets: Vec<_> =
            (0..scaled(400, 40)).map(|_| rt.spawn::<Plain>(Script::new())).collect();
        let ends: Vec<_> = puppets.iter().map(|puppet| rt.down(puppet)).collect();
        for (n, puppet) in puppets.iter().enumerate() {
            let _ = match n % 4 {
                0 => puppet.cast(later(|_, _| busy().boxed())),
                1 => puppet.cast(later(|_, _| pending().boxed())),
                2 => puppet.cast(now(|_| panic!("{EXPECTED}"))),
                _ => Ok(()),
            };
        }
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (rt, pids) =
                    (rt.handle(), puppets.iter().map(ActorRef::pid).collect::<Vec<_>>());
                std::thread::spawn(move || {
                    pids.into_iter().for_each(|pid| rt.exit(pid, ExitReason::Kill))
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a thread that kills"));
        rt.block_on(async {
            for end in ends {
                match end.await.reason {
                    ExitReason::Killed => {}
                    reason => assert_panic(&reason, EXPECTED),
                }
            }
        });
        assert!(rt.processes().is_empty());
    }
}

/// A reply that a doomed handler held is answered with the reason.
#[test]
fn a_killed_handlers_caller_is_told() {
    everywhere(|rt| async move {
        let events = Events::new();
        let puppet = plain(&rt).await;
        let told = events.clone();
        let mut call = std::pin::pin!(std::future::IntoFuture::into_future(
            puppet.call(move |reply: Reply<()>| hang(&told, reply))
        ));
        assert!(call.as_mut().now_or_never().is_none());
        events.hanging().await;
        rt.exit(&puppet, ExitReason::Kill);
        match call.await {
            Err(whitebeam_actor::CallError::Exit(reason)) => {
                assert_reason(&reason, &ExitReason::Killed)
            }
            other => panic!("{other:?}"),
        }
    });
}

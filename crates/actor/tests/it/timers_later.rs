//! What is to happen later, asked for by whoever: messages to others and to names, exits, closures; cancelled and
//! read from anywhere. And the edges of a process's own timers.

use crate::support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use support::{
    everywhere, expect_panics, now as time,
    puppet::{Do, Event, Events, assert_because, because, kill, later, note, now, plain, settled},
    puppet::{Plain, ask},
    scaled, simulated, threaded,
};
use whitebeam_actor::{
    Actor, ActorRef, Context, ExitReason, Handle, Later, Mailbox, Name, Runtime, SendFailure,
    SpawnOptions, Time,
};

const MS: u64 = 1_000_000;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Longer than OTP's longest.
const ABSURD: Duration = Duration::from_secs(1 << 54);

/// A process has ended by asking for a timer of an absurd delay.
async fn assert_refused<R: Send + 'static>(
    rt: &Handle,
    set: impl FnOnce(&mut Context<Plain>) -> R + Send + 'static,
) {
    let puppet = plain(rt).await;
    let end = rt.down(&puppet);
    puppet
        .cast(now(move |cx| {
            let _ = set(cx);
            Ok(())
        }))
        .expect("it lives");
    let reason = end.await.reason;
    let ExitReason::Panic(panic) = &reason else { panic!("{reason:?}") };
    assert!(panic.message().contains("2^63 ms"), "{panic:?}");
}

/// A negative delay is no `Duration`; an absurd one is refused as OTP's `badarg`: by a panic of who asks for it.
#[test]
fn tim_009_absurd_delays_are_refused() {
    expect_panics();
    everywhere(|rt| async move {
        assert_refused(&rt, |cx| cx.send_after(ABSURD, now(|_| Ok(())))).await;
        assert_refused(&rt, |cx| cx.interval(ABSURD, || now(|_| Ok(())))).await;
        let other = plain(&rt).await;
        let to = other.clone();
        assert_refused(&rt, move |_| to.cast_after(ABSURD, now(|_| Ok(())))).await;
        let (handle, to) = (rt.clone(), other.pid());
        assert_refused(&rt, move |_| handle.exit_after(ABSURD, to, ExitReason::Kill)).await;
        let handle = rt.clone();
        assert_refused(&rt, move |_| handle.run_after(ABSURD, || ())).await;
        assert!(other.is_alive());
    });
}

/// The far end of what is legal: it is due when the runtime's clock ends.
#[test]
fn a_delay_of_millions_of_years_is_legal() {
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        let far = Duration::from_millis(1 << 63);
        let timer = ask(&puppet, move |cx| cx.send_after(far, now(|_| Ok(())))).await;
        let left = ask(&puppet, move |cx| cx.time_left(timer)).await.expect("it waits");
        assert!(left > Duration::from_secs(500 * 365 * 24 * 3600), "{left:?}");
        assert!(ask(&puppet, move |cx| cx.cancel(timer)).await.is_some());
    });
}

#[test]
fn tim_011_reading_a_timer_leaves_it_alone() {
    simulated(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let message = note(&events, 1);
        let timer = ask(&puppet, move |cx| cx.send_after(ms(100), message)).await;
        rt.sleep(ms(30)).await;
        let read = ask(&puppet, move |cx| cx.time_left(timer)).await;
        assert_eq!(read, Some(ms(70)));
        let both = ask(&puppet, move |cx| (cx.time_left(timer), cx.cancel(timer))).await;
        assert_eq!(both, (Some(ms(70)), Some(ms(70))));
        assert_eq!(ask(&puppet, move |cx| cx.time_left(timer)).await, None);
    });
    threaded(|rt| async move {
        let puppet = plain(&rt).await;
        let timer = ask(&puppet, |cx| cx.send_after(ms(60_000), now(|_| Ok(())))).await;
        // In one handler, with nothing between but a look at the clock: a thread may lose its processor there, so
        // the best of many.
        let apart = ask(&puppet, move |cx| {
            let apart = |cx: &mut Context<Plain>| {
                let (one, other) = (cx.time_left(timer), cx.time_left(timer));
                one.expect("it waits") - other.expect("it waits")
            };
            (0..100).map(|_| apart(cx)).min().expect("some")
        });
        assert!(apart.await <= ms(1));
        assert!(ask(&puppet, move |cx| cx.cancel(timer)).await.is_some());
    });
}

/// The asynchronous form: any thread may read and cancel what it did not set, and is answered at once, without the
/// process whose timer it is.
#[test]
fn tim_012_a_timer_elsewhere_is_read_and_cancelled() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        // Its process does not come to it.
        puppet.cast(support::puppet::hang(&events, ())).expect("it lives");
        events.hanging().await;
        let timer = puppet.cast_after(ms(60_000), note(&events, 1)).expect("it lives");
        let (first, left, then) = (timer.time_left(), timer.cancel(), timer.time_left());
        let (first, left) = (first.expect("it waits"), left.expect("it waits"));
        assert!(left <= first && first <= ms(60_000));
        assert_eq!(then, None);
        assert_eq!(timer.cancel(), None);
        kill(&rt, puppet.pid()).await;
    });
}

#[test]
fn tim_013_a_timer_to_the_dead_is_none() {
    everywhere(|rt| async move {
        let (puppet, other) = (plain(&rt).await, plain(&rt).await);
        let held = Arc::new(());
        let with = |held: &Arc<()>| {
            let held = held.clone();
            now(move |_| {
                drop(held);
                Ok(())
            })
        };
        let before = puppet.cast_after(ms(60_000), with(&held)).expect("it lives");
        kill(&rt, puppet.pid()).await;
        assert_eq!(before.time_left(), None);
        let refused = puppet.cast_after(ms(60_000), with(&held)).expect_err("it has ended");
        assert_eq!(refused.why(), SendFailure::NoProc);
        assert_eq!(Arc::strong_count(&held), 2, "it came back");
        drop(refused);
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(before.cancel(), None);
        settled(&other).await;
    });
}

/// Names of processes that take other messages count as nobody's.
#[test]
fn tim_016_a_timer_to_nobodys_name_goes_nowhere() {
    everywhere(|rt| async move {
        let held = Arc::new(());
        let named = rt.named::<Do<false>>("nobody");
        let message = |held: &Arc<()>| {
            let held = held.clone();
            now(move |_| {
                drop(held);
                Ok(())
            })
        };
        let timer = named.cast_after(ms(2), message(&held));
        while timer.time_left().is_some() {
            rt.sleep(ms(1)).await;
        }
        while Arc::strong_count(&held) > 1 {
            rt.sleep(ms(1)).await;
        }
        // Somebody who takes other messages.
        let options = SpawnOptions::new().name("nobody");
        let process = rt.with(options).spawn_fn(|mut mailbox: Mailbox<u8>| async move {
            assert_eq!(mailbox.recv().await, 7);
            Ok(())
        });
        let timer = named.cast_after(ms(2), message(&held));
        while timer.time_left().is_some() || Arc::strong_count(&held) > 1 {
            rt.sleep(ms(1)).await;
        }
        let down = rt.down(&process);
        process.cast(7).expect("it lives");
        assert!(down.await.reason.is_normal());
    });
}

/// Who has the name when the time has come gets it.
#[test]
fn a_timer_to_a_name_finds_its_holder_of_then() {
    simulated(|rt| async move {
        let (one, events) = (plain(&rt).await, Events::new());
        let other = plain(&rt).await;
        rt.register("holder", &one).expect("free");
        let (expected, told) = (other.pid(), events.clone());
        let message = now(move |cx| {
            told.send(Event::Note(u64::from(cx.pid() == expected)));
            Ok(())
        });
        let timer = rt.named::<Do<false>>("holder").cast_after(ms(20), message);
        kill(&rt, one.pid()).await;
        rt.register("holder", &other).expect("free again");
        assert_eq!(events.note().await, 1);
        assert_eq!(timer.cancel(), None);
    });
}

#[test]
fn tim_021_a_message_at_a_time_of_the_clock() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let at = rt.now() + ms(10);
        let told = events.clone();
        ask(&puppet, move |cx| {
            let clock = cx.runtime().clone();
            cx.send_at(
                at,
                now(move |_| {
                    told.send(Event::Note(time(&clock)));
                    Ok(())
                }),
            )
        })
        .await;
        let came = events.note().await;
        assert!(Time::from_nanos(came) >= at, "early");
        // One that is past comes soon.
        let told = events.clone();
        ask(&puppet, move |cx| cx.send_at(Time::ZERO, note(&told, 2))).await;
        assert_eq!(events.note().await, 2);
    });
}

/// The context of its own is a process.
#[test]
fn tim_022_a_closure_runs_once_in_a_process_of_its_own() {
    expect_panics();
    everywhere(|rt| async move {
        let events = Events::new();
        for delay in [0, 30] {
            let (begun, told, clock) = (time(&rt), events.clone(), rt.clone());
            let timer = rt.run_after(ms(delay), move || told.send(Event::Note(time(&clock))));
            let came = events.note().await;
            assert!(came >= begun + delay * MS, "early");
            assert_eq!(timer.cancel(), None);
        }
        rt.run_after(ms(1), || panic!("{}", support::EXPECTED));
        while rt.crash_counts().total < 1 {
            rt.sleep(ms(1)).await;
        }
        let told = events.clone();
        rt.run_after(ms(1), move || told.send(Event::Note(9)));
        assert_eq!(events.note().await, 9);
        // Taken back, it is dropped and does not run.
        let held = Arc::new(());
        let inside = held.clone();
        let timer = rt.run_after(ms(60_000), move || drop(inside));
        assert!(timer.cancel().is_some());
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

#[test]
fn tim_024_an_exit_at_a_time() {
    everywhere(|rt| async move {
        let (by_pid, by_name) = (plain(&rt).await, plain(&rt).await);
        rt.register("to end", &by_name).expect("free");
        let (one, other) = (rt.down(&by_pid), rt.down(&by_name));
        let begun = time(&rt);
        rt.exit_after(ms(20), &by_pid, because("by pid"));
        rt.exit_after(ms(20), Name::from("to end"), because("by name"));
        rt.exit_after(ms(1), Name::from("nobody"), because("nothing"));
        assert_because(&one.await.reason, "by pid");
        assert_because(&other.await.reason, "by name");
        assert!(time(&rt) >= begun + 20 * MS, "early");
        let itself = plain(&rt).await;
        let end = rt.down(&itself);
        ask(&itself, |cx| cx.runtime().exit_after(ms(1), cx.pid(), because("by itself"))).await;
        assert_because(&end.await.reason, "by itself");
        // Taken back.
        let spared = plain(&rt).await;
        assert!(rt.exit_after(ms(60_000), &spared, ExitReason::Kill).cancel().is_some());
        settled(&spared).await;
    });
}

#[test]
fn tim_028_cancelling_timers_of_every_kind() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (told, other) = (events.clone(), plain(&rt).await);
        let foreign = ask(&other, |cx| cx.send_after(ms(60_000), now(|_| Ok(())))).await;
        ask(&puppet, move |cx| {
            let once = cx.send_after(ms(30), note(&told, 1));
            let tick = told.clone();
            let beat = cx.interval(ms(30), move || note(&tick, 2));
            let at = cx.send_at(cx.runtime().now() + ms(30), note(&told, 3));
            for timer in [once, beat, at] {
                assert!(cx.cancel(timer).is_some());
                assert_eq!((cx.cancel(timer), cx.time_left(timer)), (None, None));
            }
            // Another's is unknown here, and left alone.
            assert_eq!((cx.cancel(foreign), cx.time_left(foreign)), (None, None));
        })
        .await;
        for later in [
            puppet.cast_after(ms(30), note(&events, 4)).expect("it lives"),
            rt.run_after(ms(30), || ()),
            rt.exit_after(ms(30), &puppet, ExitReason::Kill),
        ] {
            assert!(later.cancel().is_some());
            assert_eq!(later.cancel(), None);
        }
        rt.sleep(ms(40)).await;
        events.quiet(&rt).await;
        assert!(ask(&other, move |cx| cx.cancel(foreign)).await.is_some());
    });
}

/// Timers of others keep the order of due times with the process's own.
#[test]
fn timers_of_others_keep_the_order_of_due_times() {
    simulated(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        puppet.cast_after(ms(3), note(&events, 3)).expect("it lives");
        ask(&puppet, move |cx| {
            cx.send_after(ms(2), note(&told, 2));
            cx.send_after(ms(4), note(&told, 4));
        })
        .await;
        puppet.cast_after(ms(1), note(&events, 1)).expect("it lives");
        for n in 1..=4 {
            assert_eq!(events.note().await, n);
        }
    });
}

/// Through a narrowed address, and with a destructor that breaks when the receiver ends.
#[test]
fn narrowed_messages_and_broken_destructors_may_come_later() {
    struct Broken;
    impl Drop for Broken {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("{}", support::EXPECTED)
            }
        }
    }
    enum Msg {
        Sub(u64),
        Broken(Broken),
    }
    impl From<u64> for Msg {
        fn from(n: u64) -> Self {
            Msg::Sub(n)
        }
    }
    struct Sums(u64);
    impl Actor for Sums {
        type Args = ();
        type Msg = Msg;
        async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Sums(0))
        }
        async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
            match msg {
                Msg::Sub(n) => self.0 += n,
                Msg::Broken(broken) => std::mem::forget(broken),
            }
            if self.0 == 42 {
                cx.stop(ExitReason::shutdown_with(self.0));
            }
            Ok(())
        }
    }
    expect_panics();
    everywhere(|rt| async move {
        let sums = rt.start::<Sums>(()).await.expect("start");
        let down = rt.down(&sums);
        let narrowed: ActorRef<u64> = sums.narrow();
        narrowed.cast_after(ms(1), 40).expect("it lives");
        narrowed.cast_after(ms(2), 2).expect("it lives");
        let kept = sums.cast_after(ms(60_000), Msg::Broken(Broken)).expect("it lives");
        assert_eq!(down.await.reason.downcast_ref::<u64>(), Some(&42));
        assert_eq!(kept.time_left(), None);
        assert_eq!(narrowed.cast_after(ms(1), 7).expect_err("over").into_message(), 7);
    });
}

/// What was asked for and did not come is dropped with the runtime.
#[test]
fn what_has_not_happened_goes_with_its_runtime() {
    let held = Arc::new(());
    for simulated in [true, false] {
        let builder = Runtime::builder().workers(1);
        let rt = if simulated { Runtime::simulated(1) } else { builder.build() };
        let rt = rt.expect("a runtime");
        let handle = rt.handle();
        let (inside, also) = (held.clone(), held.clone());
        let run = rt.run_after(ms(60_000), move || drop((inside, handle)));
        let process = rt.block_on(async { plain(&rt).await });
        let message = now(move |_| {
            drop(also);
            Ok(())
        });
        let cast = process.cast_after(ms(60_000), message).expect("it lives");
        assert_eq!(Arc::strong_count(&held), 3);
        drop(rt);
        assert_eq!(Arc::strong_count(&held), 1);
        let over = |later: &Later| (later.time_left(), later.cancel()) == (None, None);
        assert!(over(&run) && over(&cast));
        assert_eq!(format!("{run:?}"), "Later(over)");
    }
}

/// How late they are on threads is the machine's as well: the harness has that bound, with a million timers (W11).
#[test]
fn tim_030_many_timers_are_never_early_and_all_come() {
    everywhere(|rt| async move {
        let (actors, each) = (100, scaled(50, 5) as u64);
        let events = Events::new();
        let handled = Arc::new(AtomicU64::new(0));
        let begun = rt.now();
        for actor in 0..actors {
            let puppet = plain(&rt).await;
            let (handled, told, rt) = (handled.clone(), events.clone(), rt.clone());
            ask(&puppet, move |cx| {
                for n in 0..each {
                    let due = begun + Duration::from_micros((n * 100 + actor) * 100);
                    let (handled, told, rt) = (handled.clone(), told.clone(), rt.clone());
                    cx.send_at(
                        due,
                        now(move |_| {
                            let came = rt.now();
                            assert!(came >= due, "early by {:?}", due - came);
                            if handled.fetch_add(1, Ordering::Relaxed) + 1 == actors * each {
                                told.send(Event::Note(1));
                            }
                            Ok(())
                        }),
                    );
                }
            })
            .await;
        }
        assert_eq!(events.note().await, 1);
        assert_eq!(handled.load(Ordering::Relaxed), actors * each);
    });
}

/// A handler that is asleep does not hold up what is to come later to others.
#[test]
fn a_suspended_receiver_takes_it_when_it_is_through() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let clock = rt.clone();
        puppet
            .cast(later(move |_, _| {
                Box::pin(async move {
                    clock.sleep(ms(20)).await;
                    Ok(())
                })
            }))
            .expect("it lives");
        puppet.cast_after(ms(1), note(&events, 1)).expect("it lives");
        assert_eq!(events.note().await, 1);
        assert!(rt.uptime() >= ms(20));
    });
}

/// A timer's message through a narrowed address does not count, received or refused.
#[test]
fn narrowed_timers_of_a_body_do_not_count() {
    struct Wide(u64);
    impl From<u64> for Wide {
        fn from(n: u64) -> Self {
            Wide(n)
        }
    }
    everywhere(|rt| async move {
        let body = rt.spawn_fn(|mut mailbox: Mailbox<Wide>| async move {
            let choose = |wanted| move |msg: Wide| if msg.0 == wanted { Ok(()) } else { Err(msg) };
            mailbox.recv_match(choose(2)).await;
            mailbox.recv_match(choose(1)).await;
            mailbox.recv_match(choose(3)).await;
            Ok(())
        });
        let narrowed: ActorRef<u64> = body.narrow();
        narrowed.cast_after(ms(1), 1).expect("it lives");
        narrowed.cast_after(ms(2), 2).expect("it lives");
        rt.sleep(ms(20)).await;
        let info = body.info().expect("it lives");
        assert_eq!((info.mailbox_len, info.handled), (0, 0));
        narrowed.cast(4).expect("it lives");
        // It refuses this one, which counts.
        while body.info().expect("it lives").mailbox_len != 1 {
            rt.sleep(ms(1)).await;
        }
        let down = rt.down(&body);
        narrowed.cast(3).expect("it lives");
        assert!(down.await.reason.is_normal());
    });
}

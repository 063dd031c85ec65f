//! Timers: never early, in order of their due times, once or cancelled but never both, gone with their
//! process. In virtual time the times are exact.

use crate::support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use support::{
    everywhere, now as time,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Script, ask, assert_reason, later, note, now, plain,
        settled,
    },
    scaled, simulated, threaded,
};
use whitebeam_actor::{ActorRef, ExitReason, Handle, TimerRef};

const MS: u64 = 1_000_000;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Sets a timer whose message becomes an event.
async fn after(
    puppet: &ActorRef<Do<false>>,
    events: &Events,
    delay: Duration,
    number: u64,
) -> TimerRef {
    let events = events.clone();
    ask(puppet, move |cx| cx.send_after(delay, note(&events, number))).await
}

/// A message that tells at what time it was handled.
fn clocked(rt: &Handle, events: &Events) -> Do<false> {
    let (rt, events) = (rt.clone(), events.clone());
    now(move |_| {
        events.send(Event::Note(time(&rt)));
        Ok(())
    })
}

#[test]
fn tim_001_a_timer_fires_once_and_is_not_there_any_more() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let begun = time(&rt);
        let message = clocked(&rt, &events);
        let timer = ask(&puppet, move |cx| cx.send_after(ms(50), message)).await;
        let took = events.note().await - begun;
        assert!(took >= 50 * MS, "early by {} ns", 50 * MS - took);
        assert_eq!(ask(&puppet, move |cx| cx.cancel(timer)).await, None);
        events.quiet(&rt).await;
    });
}

#[test]
fn tim_002_a_cancelled_timer_gives_the_time_left_and_never_fires() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let timer = after(&puppet, &events, ms(90), 1).await;
        let left = ask(&puppet, move |cx| cx.cancel(timer)).await.expect("it has not fired");
        assert!(left <= ms(90), "{left:?}");
        assert_eq!(ask(&puppet, move |cx| cx.cancel(timer)).await, None);
        events.quiet(&rt).await;
    });
    simulated(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let timer = after(&puppet, &events, ms(1000), 1).await;
        rt.sleep(ms(400)).await;
        assert_eq!(ask(&puppet, move |cx| cx.cancel(timer)).await, Some(ms(600)));
    });
}

#[test]
fn tim_003_a_timer_is_never_early() {
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        for n in 0..40 {
            let events = Events::new();
            let message = clocked(&rt, &events);
            let delay = Duration::from_micros(37 * n);
            let begun = time(&rt);
            ask(&puppet, move |cx| cx.send_after(delay, message)).await;
            let due = begun + delay.as_nanos() as u64;
            let fired = events.note().await;
            assert!(fired >= due, "early by {} ns", due - fired);
        }
    });
}

#[test]
fn tim_004_the_message_comes_as_it_is() {
    simulated(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let begun = time(&rt);
        let message = clocked(&rt, &events);
        ask(&puppet, move |cx| cx.send_after(ms(1000), message)).await;
        assert_eq!(events.note().await, begun + 1000 * MS, "virtual time is exact");
    });
}

#[test]
fn tim_005_long_timers_are_legal() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        for long in [ms(1 << 31), ms(1 << 32), ms(1 << 63)] {
            let timer = after(&puppet, &events, long, 1).await;
            rt.sleep(ms(20)).await;
            let left = ask(&puppet, move |cx| cx.cancel(timer)).await.expect("far away");
            assert!(left <= long.saturating_sub(ms(20)) && left > ms(1 << 30), "{left:?}");
        }
        events.quiet(&rt).await;
    });
}

#[test]
fn tim_006_messages_come_by_due_time() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        ask(&puppet, move |cx| {
            for delay in [500, 0, 20, 10, 50, 30, 40] {
                cx.send_after(ms(delay), note(&told, delay));
            }
        })
        .await;
        let mut came = Vec::new();
        for _ in 0..7 {
            came.push(events.note().await);
        }
        assert_eq!(came, [0, 10, 20, 30, 40, 50, 500]);
    });
}

#[test]
fn tim_007_close_due_times_keep_their_order() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        for step in [Duration::from_millis(1), Duration::from_micros(1), Duration::from_nanos(1)] {
            let told = events.clone();
            ask(&puppet, move |cx| {
                for n in 0..50 {
                    cx.send_after(ms(5) + step * n, note(&told, n.into()));
                }
            })
            .await;
            for n in 0..50 {
                assert_eq!(events.note().await, n, "{step:?}");
            }
        }
    });
}

/// A timer of another process is an unknown one, also where both have numbered theirs alike.
#[test]
fn tim_008_unknown_timers_are_none() {
    everywhere(|rt| async move {
        let (a, b, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let of_a = after(&a, &events, ms(10), 1).await;
        let of_b = after(&b, &events, ms(10), 2).await;
        assert_eq!(ask(&a, move |cx| cx.cancel(of_b)).await, None, "it is b's");
        assert_eq!(ask(&b, move |cx| cx.cancel(of_a)).await, None, "it is a's");
        let mut both = [events.note().await, events.note().await];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
    });
}

/// What they hold is dropped with the process.
#[test]
fn tim_014_timers_end_with_their_process() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let timers = scaled(10_000, 100);
        let held = Arc::new(());
        let (inside, told) = (held.clone(), events.clone());
        ask(&puppet, move |cx| {
            for n in 0..timers as u64 {
                let (held, told) = (inside.clone(), told.clone());
                cx.send_after(
                    ms(9_000 + n % 50),
                    now(move |_| {
                        let _held = held;
                        told.send(Event::Note(n));
                        Ok(())
                    }),
                );
            }
        })
        .await;
        assert_eq!(Arc::strong_count(&held), timers + 1);
        let end = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        assert_reason(&end.await.reason, &ExitReason::Killed);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(events.take().is_empty());
    });
}

#[test]
fn tim_015_two_hundred_timers_fire_once_each() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (idle, busy) = (plain(&rt).await, plain(&rt).await);
        for (puppet, base) in [(&idle, 0), (&busy, 1000)] {
            let told = events.clone();
            ask(puppet, move |cx| {
                for n in 0..200 {
                    let payload = vec![n; if n % 2 == 0 { 4 } else { 4096 }];
                    let told = told.clone();
                    cx.send_after(
                        ms(n),
                        now(move |_| {
                            assert!(payload.iter().all(|&part| part == n));
                            told.send(Event::Note(base + n));
                            Ok(())
                        }),
                    );
                }
            })
            .await;
        }
        let mut came = Vec::new();
        for _ in 0..400 {
            came.push(events.note().await);
        }
        came.sort_unstable();
        assert!(came.into_iter().eq((0..200).chain(1000..1200)));
    });
}

#[test]
fn tim_017_thousands_of_timers_for_one_time() {
    everywhere(|rt| async move {
        let events = Events::new();
        let timers = scaled(5000, 100) as u64;
        let begun = time(&rt);
        for _ in 0..5 {
            let (puppet, told) = (plain(&rt).await, events.clone());
            ask(&puppet, move |cx| {
                for n in 0..timers / 5 {
                    cx.send_after(ms(30), note(&told, n));
                }
            })
            .await;
        }
        for _ in 0..timers {
            events.note().await;
        }
        assert!(time(&rt) >= begun + 30 * MS);
        assert!(events.take().is_empty());
    });
}

#[test]
fn tim_018_a_timer_fires_or_is_cancelled_and_never_both() {
    everywhere(|rt| async move {
        for round in 0..scaled(10, 3) as u64 {
            let (puppet, events) = (plain(&rt).await, Events::new());
            let timers: Vec<TimerRef> = {
                let told = events.clone();
                ask(&puppet, move |cx| {
                    (0..100)
                        .map(|n| cx.send_after(Duration::from_micros(900 + n % 7), note(&told, n)))
                        .collect()
                })
                .await
            };
            // At that very time.
            rt.sleep(Duration::from_micros(800 + round * 20)).await;
            let cancelled = ask(&puppet, move |cx| {
                timers.into_iter().map(|timer| cx.cancel(timer).is_some()).collect::<Vec<_>>()
            })
            .await;
            rt.sleep(ms(3)).await;
            settled(&puppet).await;
            let mut fired = vec![0; 100];
            for event in events.take() {
                let Event::Note(n) = event else { panic!("{event:?}") };
                fired[n as usize] += 1;
            }
            for (cancelled, fired) in cancelled.into_iter().zip(fired) {
                assert_eq!(u32::from(cancelled) + fired, 1);
            }
        }
    });
}

/// Every worker sleeps until then.
#[test]
fn tim_019_timers_fire_on_workers_that_sleep() {
    threaded(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        for delay in [1, 5, 25, 60] {
            let begun = time(&rt);
            after(&puppet, &events, ms(delay), delay).await;
            assert_eq!(events.note().await, delay);
            let took = time(&rt) - begun;
            assert!(took >= delay * MS && took < (delay + 2000) * MS, "{took} ns for {delay} ms");
        }
    });
}

#[test]
fn tim_020_zero_timers_that_set_zero_timers_starve_nobody() {
    everywhere(|rt| async move {
        let (puppet, other, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        fn again(left: u32) -> Do<false> {
            now(move |cx| {
                if left > 0 {
                    cx.send_after(Duration::ZERO, again(left - 1));
                }
                Ok(())
            })
        }
        puppet.cast(again(scaled(2_000, 200) as u32)).expect("cast");
        after(&other, &events, ms(1), 1).await;
        assert_eq!(events.note().await, 1);
        settled(&puppet).await;
    });
}

#[test]
fn tim_025_an_interval_ticks_until_it_is_cancelled() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (told, ticks) = (events.clone(), Arc::new(AtomicU32::new(0)));
        let begun = time(&rt);
        let timer = ask(&puppet, move |cx| {
            cx.interval(ms(10), move || note(&told, ticks.fetch_add(1, Ordering::Relaxed).into()))
        })
        .await;
        for n in 0..5 {
            assert_eq!(events.note().await, n);
            assert!(time(&rt) >= begun + (n + 1) * 10 * MS, "tick {n} was early");
        }
        assert!(ask(&puppet, move |cx| cx.cancel(timer)).await.is_some());
        // One may have been on its way.
        assert!(events.take().len() <= 1);
        events.quiet(&rt).await;
        assert_eq!(ask(&puppet, move |cx| cx.cancel(timer)).await, None);
    });
}

#[test]
fn tim_026_an_interval_ends_with_its_process() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (told, dropped) = (events.clone(), Events::new());
        let gone = dropped.clone();
        ask(&puppet, move |cx| {
            let in_closure = OnDrop::new(move || gone.send(Event::Dropped));
            cx.interval(ms(1), move || {
                let _held = &in_closure;
                note(&told, 1)
            })
        })
        .await;
        assert_eq!(events.note().await, 1);
        let end = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        end.await;
        dropped.dropped().await;
        events.take();
        events.quiet(&rt).await;
    });
}

#[test]
fn tim_027_a_zero_timer_may_be_cancelled_at_once() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        for n in 0..100 {
            let told = events.clone();
            let cancelled = ask(&puppet, move |cx| {
                let timer = cx.send_after(Duration::ZERO, note(&told, n));
                cx.cancel(timer).is_some()
            })
            .await;
            assert!(cancelled, "its own signals are received after its handler");
        }
        events.quiet(&rt).await;
    });
}

#[test]
fn tim_029_a_sleep_takes_its_time() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (told, clock) = (events.clone(), rt.clone());
        puppet
            .cast(later(move |_, _| {
                async move {
                    let begun = time(&clock);
                    clock.sleep(ms(30)).await;
                    told.send(Event::Note(time(&clock) - begun));
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        let took = events.note().await;
        assert!(took >= 30 * MS, "early by {} ns", 30 * MS - took);
    });
}

// Beyond the rows.

/// In virtual time a beat has no jitter; ticks missed by a handler that takes long are skipped, and the
/// next one is on the beat again.
#[test]
fn an_interval_keeps_its_beat() {
    simulated(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (clock, told) = (rt.clone(), events.clone());
        let begun = time(&rt);
        ask(&puppet, move |cx| cx.interval(ms(10), move || clocked(&clock, &told))).await;
        for n in 1..=20 {
            assert_eq!(events.note().await - begun, n * 10 * MS);
        }
    });
}

#[test]
fn an_interval_that_waits_behind_a_handler_goes_on_after_it() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (clock, told) = (rt.clone(), events.clone());
        let timer =
            ask(&puppet, move |cx| cx.interval(ms(5), move || clocked(&clock, &told))).await;
        let clock = rt.clone();
        puppet
            .cast(later(move |_, _| {
                async move {
                    clock.sleep(ms(52)).await;
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        settled(&puppet).await;
        // The ticks wait as messages of their own time; none is lost, none doubled.
        rt.sleep(ms(20)).await;
        assert!(ask(&puppet, move |cx| cx.cancel(timer)).await.is_some());
        let ticks = events.take().len();
        assert!((2..=20).contains(&ticks), "{ticks} ticks");
    });
}

/// A timer's message waits its turn behind what came before it.
#[test]
fn a_timer_joins_the_mailbox_at_its_end() {
    simulated(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (told, clock) = (events.clone(), rt.clone());
        puppet
            .cast(later(move |_, cx| {
                async move {
                    cx.send_after(ms(1), note(&told, 2));
                    cx.me().cast(note(&told, 1))?;
                    clock.sleep(ms(3)).await;
                    cx.me().cast(note(&told, 3))?;
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        for n in 1..=3 {
            assert_eq!(events.note().await, n);
        }
    });
}

#[test]
fn a_message_that_continues_runs_before_all_others() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        puppet
            .cast(now(move |cx| {
                cx.me().cast(note(&told, 4))?;
                let chained = told.clone();
                cx.continue_with(now(move |cx| {
                    chained.send(Event::Note(1));
                    cx.continue_with(note(&chained, 2));
                    Ok(())
                }));
                Ok(())
            }))
            .expect("cast");
        for n in [1, 2, 4] {
            assert_eq!(events.note().await, n);
        }
    });
}

/// Continued from `init`, before a message that `init` sent itself before.
#[test]
fn srv_039_a_continue_step_of_init_comes_first() {
    everywhere(|rt| async move {
        let events = Events::new();
        let told = events.clone();
        let script = Script::new().init_now(move |cx| {
            cx.me().cast(note(&told, 2))?;
            cx.continue_with(note(&told, 1));
            Ok(())
        });
        rt.start::<Plain>(script).await.expect("start");
        assert_eq!(events.note().await, 1);
        assert_eq!(events.note().await, 2);
    });
}

/// From a handler, with the reply going out first.
#[test]
fn srv_040_a_continue_step_comes_before_what_waits() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        for _ in 0..10 {
            let (told, me) = (events.clone(), puppet.clone());
            let answer = puppet
                .call(move |reply: whitebeam_actor::Reply<u64>| {
                    now(move |cx| {
                        me.cast(note(&told, 3))?;
                        told.send(Event::Note(1));
                        reply.send(7);
                        cx.continue_with(note(&told, 2));
                        Ok(())
                    })
                })
                .await;
            assert_eq!(answer.expect("answered"), 7);
            for n in 1..=3 {
                assert_eq!(events.note().await, n);
            }
        }
    });
}

/// A process that runs now on this worker, now on that one: its timers are kept in several places, and still
/// come in the order of their due times.
#[test]
fn timers_set_on_several_workers_keep_their_order() {
    threaded(|rt| async move {
        // They hold workers for a while, again and again.
        let hogs: Vec<_> = (0..6).map(|_| rt.spawn::<Plain>(Script::new())).collect();
        fn spin(rt: Handle, until: u64) -> Do<false> {
            now(move |cx| {
                let end = time(&rt) + MS;
                while time(&rt) < end {
                    std::hint::spin_loop();
                }
                if time(&rt) < until {
                    cx.me().cast(spin(rt, until))?;
                }
                Ok(())
            })
        }
        let until = time(&rt) + 120 * MS;
        for hog in &hogs {
            hog.cast(spin(rt.clone(), until)).expect("cast");
        }
        let (puppet, events) = (plain(&rt).await, Events::new());
        let first = time(&rt) + 40 * MS;
        let timers = 400;
        // Between which times each is due: the clock is read before and after it is set.
        let dues = Arc::new(Mutex::new(Vec::new()));
        for n in 0..timers {
            let (clock, told, dues) = (rt.clone(), events.clone(), dues.clone());
            // From outside, so that any worker may take it.
            let message = now(move |cx: &mut whitebeam_actor::Context<Plain>| {
                let before = time(&clock);
                let delay = (first + n * MS / 10).saturating_sub(before);
                cx.send_after(Duration::from_nanos(delay), note(&told, n));
                dues.lock().push((before + delay, time(&clock) + delay));
                Ok(())
            });
            puppet.cast(message).expect("cast");
            settled(&puppet).await;
        }
        let mut latest = 0;
        for _ in 0..timers {
            let n = events.note().await;
            let (earliest, at_the_latest) = dues.lock()[n as usize];
            assert!(
                at_the_latest >= latest,
                "one due {} ns later came before it",
                latest - at_the_latest
            );
            latest = latest.max(earliest);
        }
    });
}

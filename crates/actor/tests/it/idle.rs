//! Idle timeouts: for the next wait only, from the end of the handler on, exact in virtual time.

use crate::support;

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::FutureExt;
use support::{
    EXPECTED, everywhere, expect_panics, now as time,
    puppet::{
        Do, Event, Events, OnDrop, Plain, Script, Tidy, ask, assert_reason, because, down, hang,
        later, note, now, plain, settled, trap,
    },
    scaled, simulated, threaded,
};
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, ExitReason, Handle, Reply, SpawnOptions, Stop,
};

const MS: u64 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Asks for an idle timeout whose message becomes the event `number`.
fn idle(events: &Events, after: Duration, number: u64) -> Do<false> {
    let msg = note(events, number);
    now(move |cx| {
        cx.idle_timeout(after, msg);
        Ok(())
    })
}

/// A message that tells at what time it was handled.
fn clocked(rt: &Handle, events: &Events) -> Do<false> {
    let (rt, events) = (rt.clone(), events.clone());
    now(move |_| {
        events.send(Event::Note(time(&rt)));
        Ok(())
    })
}

/// A message that is never handled, and says when it is dropped.
fn unhandled<const TIDY: bool>(dropped: &Events) -> Do<TIDY> {
    let dropped = dropped.clone();
    let held = OnDrop::new(move || dropped.send(Event::Dropped));
    now(move |_| {
        let _held = held;
        panic!("it was handled")
    })
}

/// Its times in virtual time; on threads a tenth of them.
#[test]
fn srv_020_any_message_before_its_time_cancels_it() {
    async fn asked(puppet: &ActorRef<Do<false>>, events: &Events, after: Duration) {
        let told = events.clone();
        let answer = puppet.call(|reply| {
            now(move |cx| {
                reply.send(1);
                cx.idle_timeout(after, note(&told, 1));
                Ok(())
            })
        });
        assert_eq!(answer.await.expect("replied"), 1);
    }
    simulated(|rt| async move {
        for (pause, fires) in [(500, 0), (1500, 1)] {
            let (puppet, events) = (plain(&rt).await, Events::new());
            asked(&puppet, &events, ms(1000)).await;
            rt.sleep(ms(pause)).await;
            settled(&puppet).await;
            assert_eq!(events.take().len(), fires);
            rt.sleep(ms(5000)).await;
            assert!(events.take().is_empty());
        }
    });
    threaded(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let begun = time(&rt);
        asked(&puppet, &events, ms(100)).await;
        rt.sleep(ms(50)).await;
        settled(&puppet).await;
        // On a busy machine the pause may have been longer.
        if time(&rt) - begun < 100 * MS {
            events.quiet(&rt).await;
        }
        events.take();
        asked(&puppet, &events, ms(100)).await;
        assert_eq!(events.note().await, 1);
        settled(&puppet).await;
        events.quiet(&rt).await;
    });
}

#[test]
fn it_comes_in_its_time_and_never_early() {
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        for n in [0, 1, 7, 30] {
            let events = Events::new();
            let message = clocked(&rt, &events);
            let asked = time(&rt);
            ask(&puppet, move |cx| cx.idle_timeout(ms(n), message)).await;
            let fired = events.note().await;
            assert!(fired >= asked + n * MS, "early by {} ns", asked + n * MS - fired);
        }
    });
    simulated(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let message = clocked(&rt, &events);
        let begun = time(&rt);
        ask(&puppet, move |cx| cx.idle_timeout(ms(1000), message)).await;
        assert_eq!(events.note().await, begun + 1000 * MS, "virtual time is exact");
        // Once.
        rt.sleep(ms(5000)).await;
        assert!(events.take().is_empty());
    });
}

#[test]
fn the_time_counts_from_the_end_of_the_handler() {
    simulated(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (message, clock) = (clocked(&rt, &events), rt.clone());
        let begun = time(&rt);
        puppet
            .cast(later(move |_, cx| {
                cx.idle_timeout(ms(100), message);
                async move {
                    clock.sleep(ms(70)).await;
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        assert_eq!(events.note().await, begun + 170 * MS);
    });
}

#[test]
fn init_may_ask_for_it() {
    simulated(|rt| async move {
        for suspends in [false, true] {
            let events = Events::new();
            let (message, clock) = (clocked(&rt, &events), rt.clone());
            let begun = time(&rt);
            let script = Script::new().init(move |cx| {
                cx.idle_timeout(ms(100), message);
                async move {
                    if suspends {
                        clock.sleep(ms(10)).await;
                    }
                    Ok(())
                }
                .boxed()
            });
            let _puppet = rt.start::<Plain>(script).await.expect("start");
            let expected = begun + if suspends { 110 } else { 100 } * MS;
            assert_eq!(events.note().await, expected);
        }
        // Nothing is left of it if `init` fails.
        let dropped = Events::new();
        let message = unhandled(&dropped);
        let failing = Script::new().init_now(move |cx| {
            cx.idle_timeout(ms(1), message);
            Err(because("no"))
        });
        rt.start::<Plain>(failing).await.expect_err("it fails");
        dropped.dropped().await;
    });
}

#[test]
fn the_last_that_was_asked_for_counts() {
    simulated(|rt| async move {
        let (puppet, events, dropped) = (plain(&rt).await, Events::new(), Events::new());
        let (first, second) = (unhandled(&dropped), clocked(&rt, &events));
        let begun = time(&rt);
        puppet
            .cast(now(move |cx| {
                cx.idle_timeout(ms(10), first);
                cx.idle_timeout(ms(50), second);
                Ok(())
            }))
            .expect("cast");
        assert_eq!(events.note().await, begun + 50 * MS);
        assert!(matches!(dropped.take()[..], [Event::Dropped]));
        // Its own message asks again.
        let told = events.clone();
        let again = now(move |cx: &mut Context<Plain>| {
            cx.idle_timeout(ms(20), note(&told, 2));
            Ok(())
        });
        ask(&puppet, move |cx| cx.idle_timeout(ms(10), again)).await;
        assert_eq!(events.note().await, 2);
        assert_eq!(time(&rt), begun + 80 * MS);
    });
}

#[test]
fn every_kind_of_message_ends_the_wait() {
    everywhere(|rt| async move {
        let kinds: [fn(&Handle, &ActorRef<Do<false>>, &Events); 3] = [
            |_, puppet, events| puppet.cast(note(events, 1)).expect("cast"),
            |rt, puppet, _| rt.exit(puppet, because("trapped")),
            |rt, puppet, _| {
                let puppet = puppet.clone();
                rt.spawn_task(async move { settled(&puppet).await }).detach();
            },
        ];
        for (number, send) in kinds.into_iter().enumerate() {
            let (events, dropped) = (Events::new(), Events::new());
            // Started by another, so that what comes from outside is no parent's.
            let parent = plain(&rt).await;
            let puppet = ask(&parent, |cx| cx.spawn::<Plain>(Script::new())).await;
            let (told, message) = (events.clone(), unhandled(&dropped));
            ask(&puppet, move |cx| {
                trap(cx, &told);
                cx.idle_timeout(HOUR, message);
            })
            .await;
            assert!(dropped.take().is_empty());
            send(&rt, &puppet, &events);
            dropped.dropped().await;
            if number < 2 {
                events.next().await;
            }
        }
    });
}

/// A DOWN, an alias, a timer and a continue step.
#[test]
fn messages_of_the_runtimes_making_end_the_wait_as_well() {
    everywhere(|rt| async move {
        let (events, dropped) = (Events::new(), Events::new());
        let (puppet, other) = (plain(&rt).await, plain(&rt).await);
        let (told, message) = (events.clone(), unhandled(&dropped));
        let watched = other.clone();
        ask(&puppet, move |cx| {
            cx.monitor(&watched, down(&told, 1));
            cx.idle_timeout(HOUR, message);
        })
        .await;
        rt.exit(&other, ExitReason::Kill);
        events.down().await;
        dropped.dropped().await;

        let message = unhandled(&dropped);
        let alias = ask(&puppet, move |cx| {
            cx.idle_timeout(HOUR, message);
            cx.alias()
        })
        .await;
        alias.send(note(&events, 2));
        assert_eq!(events.note().await, 2);
        dropped.dropped().await;

        let (message, told) = (unhandled(&dropped), events.clone());
        ask(&puppet, move |cx| {
            cx.idle_timeout(HOUR, message);
            cx.send_after(ms(5), note(&told, 3));
        })
        .await;
        assert_eq!(events.note().await, 3);
        dropped.dropped().await;

        let (message, told) = (unhandled(&dropped), events.clone());
        ask(&puppet, move |cx| {
            cx.idle_timeout(Duration::ZERO, message);
            cx.continue_with(note(&told, 4));
        })
        .await;
        assert_eq!(events.note().await, 4);
        dropped.dropped().await;
        events.quiet(&rt).await;
    });
}

#[test]
fn the_end_of_a_supervised_child_ends_the_wait() {
    everywhere(|rt| async move {
        let (events, dropped) = (Events::new(), Events::new());
        let script = Script::new().tell_children(&events);
        let parent = rt.start::<Plain>(script).await.expect("start");
        let message = unhandled(&dropped);
        let child = ask(&parent, move |cx| {
            let spawned = cx.spawn_child::<Plain>(Script::new(), SpawnOptions::new(), None, None);
            cx.idle_timeout(HOUR, message);
            spawned.expect("spawned").1
        })
        .await;
        rt.exit(&child, ExitReason::Kill);
        events.child().await;
        dropped.dropped().await;
        settled(&parent).await;
    });
}

#[test]
fn signals_that_are_no_messages_leave_it_alone() {
    simulated(|rt| async move {
        let (events, dropped) = (Events::new(), Events::new());
        let (puppet, other) = (plain(&rt).await, plain(&rt).await);
        let alias = ask(&puppet, |cx| cx.alias()).await;
        let off = alias.clone();
        let message = clocked(&rt, &events);
        let begun = time(&rt);
        puppet
            .cast(now(move |cx| {
                cx.unalias(&off);
                cx.idle_timeout(ms(100), message);
                Ok(())
            }))
            .expect("cast");
        rt.sleep(ms(50)).await;
        let watch = rt.down(&puppet);
        let pid = puppet.pid();
        ask(&other, move |cx| {
            cx.link(pid);
            cx.unlink(pid);
            cx.exit(pid, ExitReason::Normal);
        })
        .await;
        alias.send(unhandled(&dropped));
        assert!(rt.relations(&puppet).await.is_some());
        drop(watch);
        dropped.dropped().await;
        assert_eq!(events.note().await, begun + 100 * MS);
    });
}

/// OTP's `after 0`: at once if nothing is there, and if something is, that is handled and nothing comes.
#[test]
fn no_time_at_all_is_over_at_once_if_nothing_waits() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        puppet.cast(idle(&events, Duration::ZERO, 1)).expect("cast");
        assert_eq!(events.note().await, 1);
        for waits_since_before in [false, true] {
            let (told, dropped) = (events.clone(), Events::new());
            let message = unhandled(&dropped);
            let (go, wait) = whitebeam_actor::oneshot::<()>();
            puppet
                .cast(later(move |_, cx| {
                    cx.idle_timeout(Duration::ZERO, message);
                    if !waits_since_before {
                        cx.me().cast(note(&told, 2)).expect("to itself");
                    }
                    async move {
                        if waits_since_before {
                            let _ = wait.await;
                        }
                        Ok(())
                    }
                    .boxed()
                }))
                .expect("cast");
            if waits_since_before {
                puppet.cast(note(&events, 2)).expect("cast");
                go.send(());
            }
            assert_eq!(events.note().await, 2);
            dropped.dropped().await;
            events.quiet(&rt).await;
        }
    });
}

#[test]
fn it_ends_with_its_process_and_who_waits_for_its_reply_is_told() {
    everywhere(|rt| async move {
        // Armed; asked for by a handler that goes on; asked for by the one that ends it; in `terminate`.
        for way in 0..3 {
            let (puppet, events) = (plain(&rt).await, Events::new());
            let told = events.clone();
            let call = puppet.call(|reply: Reply<()>| {
                later(move |_, cx: &mut Context<Plain>| {
                    let message = now(move |_| {
                        reply.send(());
                        Ok(())
                    });
                    cx.idle_timeout(HOUR, message);
                    told.send(Event::Note(1));
                    async move {
                        match way {
                            0 => Ok(()),
                            1 => std::future::pending().await,
                            _ => Err(ExitReason::Killed),
                        }
                    }
                    .boxed()
                })
            });
            let killed = async {
                assert_eq!(events.note().await, 1);
                if way < 2 {
                    settled_if(way == 0, &rt).await;
                    rt.exit(&puppet, ExitReason::Kill);
                }
            };
            let (answer, ()) =
                futures_util::future::join(call.no_timeout().into_future(), killed).await;
            match answer {
                Err(CallError::Exit(reason)) => assert_reason(&reason, &ExitReason::Killed),
                other => panic!("{other:?}"),
            }
        }
        // Asked for where nothing comes any more.
        let dropped = Events::new();
        let message = unhandled(&dropped);
        let script = Script::<true>::new().terminate(move |_, cx| {
            cx.idle_timeout(Duration::ZERO, message);
            async {}.boxed()
        });
        let tidy = rt.start::<Tidy>(script).await.expect("start");
        rt.stop(&tidy, ExitReason::Normal).await.expect("stopped");
        dropped.dropped().await;
    });
}

/// Lets an actor come to rest.
async fn settled_if(wanted: bool, rt: &Handle) {
    if wanted {
        rt.sleep(ms(2)).await;
    }
}

#[test]
fn a_parent_that_ends_an_idle_child_drops_its_timeout() {
    everywhere(|rt| async move {
        let (events, dropped) = (Events::new(), Events::new());
        let script = Script::new().tell_children(&events);
        let parent = rt.start::<Plain>(script).await.expect("start");
        let child = ask(&parent, |cx| {
            let spawned = cx.spawn_child::<Plain>(Script::new(), SpawnOptions::new(), None, None);
            spawned.expect("spawned").1
        })
        .await;
        let message = unhandled(&dropped);
        ask(&child, move |cx| cx.idle_timeout(HOUR, message)).await;
        rt.sleep(ms(2)).await;
        parent
            .cast(later(|_, cx| {
                async move {
                    cx.stop_children(Stop::Infinity).await;
                    Ok(())
                }
                .boxed()
            }))
            .expect("cast");
        dropped.dropped().await;
        settled(&parent).await;
        assert!(!child.is_alive());
    });
}

/// The reply in a message that will not be handled is answered before the next handler begins.
#[test]
fn a_reply_in_a_dropped_timeout_is_answered_at_once() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        let call = puppet.call(|reply: Reply<()>| {
            now(move |cx: &mut Context<Plain>| {
                let message = now(move |_| {
                    reply.send(());
                    Ok(())
                });
                cx.idle_timeout(HOUR, message);
                cx.me().cast(hang(&told, ()))?;
                Ok(())
            })
        });
        let answer = call.no_timeout().await;
        assert!(matches!(answer, Err(CallError::NoReply)), "{answer:?}");
        events.hanging().await;
        rt.exit(&puppet, ExitReason::Kill);
    });
}

#[test]
fn a_bomb_in_a_timeout_that_is_dropped_harms_nobody() {
    expect_panics();
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        for _ in 0..3 {
            let bomb = OnDrop::new(|| panic!("{EXPECTED}"));
            let message = now(move |_| {
                drop(bomb);
                Ok(())
            });
            ask(&puppet, move |cx| cx.idle_timeout(HOUR, message)).await;
            settled(&puppet).await;
        }
    });
}

/// Keeps account of its idle timeouts.
struct Accountant {
    asked: u64,
    /// It is in the wait that was asked for.
    waits: bool,
    fired: u64,
    every_other: bool,
    live: Arc<AtomicUsize>,
}

enum Book {
    Work(Duration),
    Idle(u64, Live),
    Close(Reply<(u64, u64)>),
}

struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Actor for Accountant {
    type Args = Arc<AtomicUsize>;
    type Msg = Book;

    async fn init(live: Arc<AtomicUsize>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Accountant { asked: 0, waits: false, fired: 0, every_other: false, live })
    }

    async fn handle(&mut self, msg: Book, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let waits = std::mem::replace(&mut self.waits, false);
        match msg {
            Book::Work(after) => {
                self.every_other = !self.every_other;
                if self.every_other {
                    self.asked += 1;
                    self.waits = true;
                    self.live.fetch_add(1, Relaxed);
                    cx.idle_timeout(after, Book::Idle(self.asked, Live(self.live.clone())));
                }
            }
            Book::Idle(number, _live) => {
                assert!(waits, "something else was handled before");
                assert_eq!(number, self.asked, "that of an earlier wait");
                self.fired += 1;
            }
            Book::Close(reply) => reply.send((self.asked, self.fired)),
        }
        Ok(())
    }
}

/// Messages race with the timeouts: each timeout comes in its own wait, at most once, or is dropped.
#[test]
fn timeouts_that_race_with_messages() {
    let rounds = scaled(20_000, 2_000) as u64;
    threaded(|rt| async move {
        let live = Arc::new(AtomicUsize::new(0));
        let accountant = rt.start::<Accountant>(live.clone()).await.expect("start");
        for round in 0..rounds {
            // Around the time that the wheel needs, and nothing at all.
            let after = Duration::from_micros(round % 7 * 20);
            accountant.cast(Book::Work(after)).expect("cast");
            if round % 50 == 0 {
                rt.sleep(Duration::from_micros(round % 700)).await;
            } else {
                for _ in 0..round % 50 * 20 {
                    std::hint::spin_loop();
                }
            }
        }
        // None may be pending now but for the last.
        let (asked, fired) = accountant.call(Book::Close).await.expect("it lives");
        assert_eq!(asked, rounds / 2);
        assert!(fired > 0 && fired < asked, "no race at all: {fired} of {asked}");
        assert_eq!(live.load(Relaxed), 0, "what was not handled was dropped");
    });
}

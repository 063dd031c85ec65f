//! What is piped: where it runs, in which order its results come, and how it ends with its actor.

use crate::support;

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{
        Done, Event, Events, OnDrop, Plain, Script, Tidy, ask, assert_panic, assert_reason,
        because, down, hang, later, note, now, plain, settled, trap,
    },
    scaled, simulated, threaded, yield_now,
};
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, During, ExitReason, Handle, Mailbox, Reply, Runtime,
    SpawnOptions, Stop, oneshot,
};

/// What a future waits for until the test opens it.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Door {
    fn open(&self) {
        let mut door = self.0.lock();
        door.0 = true;
        let wakers = std::mem::take(&mut door.1);
        drop(door);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn pass(&self) -> impl Future<Output = ()> + Send + 'static {
        let door = self.clone();
        poll_fn(move |cx| {
            let mut door = door.0.lock();
            if door.0 {
                return Poll::Ready(());
            }
            door.1.push(cx.waker().clone());
            Poll::Pending
        })
    }
}

/// Becomes an event when it is dropped.
fn told(events: &Events, number: u64) -> OnDrop {
    let events = events.clone();
    OnDrop::new(move || events.send(Event::Note(number)))
}

/// Never ready. Its drop is an event.
fn pending(events: &Events, number: u64) -> impl Future<Output = u64> + Send + 'static {
    let held = told(events, number);
    async move {
        let _held = held;
        std::future::pending().await
    }
}

#[test]
fn results_are_messages_in_the_order_in_which_they_are_there() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let doors: Vec<Door> = (0..3).map(|_| Door::default()).collect();
        let (inner, tell) = (doors.clone(), events.clone());
        ask(&puppet, move |cx| {
            for (n, door) in (0..).zip(inner) {
                let tell = tell.clone();
                let pass = door.pass();
                cx.pipe(
                    async move {
                        pass.await;
                        n
                    },
                    move |n| note(&tell, n),
                );
            }
            let tell = tell.clone();
            cx.pipe(std::future::ready(9), move |n| note(&tell, n));
        })
        .await;
        assert_eq!(events.note().await, 9);
        for n in [2, 0, 1] {
            doors[n as usize].open();
            assert_eq!(events.note().await, n);
        }
        events.quiet(&rt).await;
    });
}

#[test]
fn what_is_piped_begins_when_the_handler_is_done() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let tell = events.clone();
        let rest = events.clone();
        puppet
            .cast(now(move |cx| {
                let begins = tell.clone();
                cx.pipe(async move { begins.send(Event::Note(2)) }, move |()| note(&tell, 3));
                rest.send(Event::Note(1));
                Ok(())
            }))
            .unwrap();
        for n in 1..=3 {
            assert_eq!(events.note().await, n);
        }
    });
}

#[test]
fn a_suspended_handler_holds_up_the_messages_and_not_the_work() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let (work, handler) = (Door::default(), Door::default());
        let (tell, passed) = (events.clone(), work.pass());
        let (suspended, goes_on) = (events.clone(), handler.pass());
        puppet
            .cast(later(move |_, cx| {
                let ran = tell.clone();
                cx.pipe(
                    async move {
                        passed.await;
                        ran.send(Event::Note(2));
                    },
                    move |()| note(&tell, 4),
                );
                Box::pin(async move {
                    suspended.send(Event::Note(1));
                    goes_on.await;
                    suspended.send(Event::Note(3));
                    Ok(())
                })
            }))
            .unwrap();
        assert_eq!(events.note().await, 1);
        work.open();
        assert_eq!(events.note().await, 2);
        events.quiet(&rt).await;
        handler.open();
        assert_eq!(events.note().await, 3);
        assert_eq!(events.note().await, 4);
    });
}

#[test]
fn a_handler_may_wait_for_what_it_has_piped() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let tell = events.clone();
        puppet
            .cast(later(move |_, cx| {
                let (reply, answer) = oneshot();
                let rt = cx.runtime();
                let done = tell.clone();
                cx.pipe(
                    async move {
                        rt.sleep(Duration::from_millis(1)).await;
                        reply.send(5);
                    },
                    move |()| note(&done, 6),
                );
                Box::pin(async move {
                    tell.send(Event::Note(answer.await.unwrap_or(0)));
                    Ok(())
                })
            }))
            .unwrap();
        assert_eq!(events.note().await, 5);
        assert_eq!(events.note().await, 6);
    });
}

#[test]
fn init_pipes_and_results_come_when_it_is_done() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (tell, door) = (events.clone(), Door::default());
        let passed = door.pass();
        let script = Script::new().init(move |cx| {
            let ran = tell.clone();
            let done = tell.clone();
            cx.pipe(async move { ran.send(Event::Note(1)) }, move |()| note(&done, 3));
            Box::pin(async move {
                passed.await;
                tell.send(Event::Note(2));
                Ok(())
            })
        });
        let _puppet = rt.spawn::<Plain>(script);
        assert_eq!(events.note().await, 1);
        events.quiet(&rt).await;
        door.open();
        assert_eq!(events.note().await, 2);
        assert_eq!(events.note().await, 3);
    });
}

#[test]
fn a_process_in_the_process_form_receives_what_it_has_piped() {
    everywhere(|rt| async move {
        let (reply, answer) = oneshot();
        rt.spawn_fn(move |mut mailbox: Mailbox<u64>| async move {
            let rt = mailbox.runtime();
            for n in 1..=10 {
                let time = rt.sleep(Duration::from_millis(n));
                mailbox.pipe(
                    async move {
                        time.await;
                        n
                    },
                    |n| n,
                );
            }
            // By choice, in the order in which it wants them.
            let mut sum = mailbox.recv_match(|n| if n == 7 { Ok(n) } else { Err(n) }).await;
            for _ in 0..9 {
                sum += mailbox.recv().await;
            }
            assert_eq!(mailbox.try_recv(), None);
            mailbox.pipe(std::future::ready(100), |n| n);
            sum += mailbox.recv_timeout(Duration::from_secs(60)).await.unwrap_or(0);
            reply.send(sum);
            Ok(())
        });
        assert_eq!(answer.await.ok(), Some(155));
    });
}

/// So many are piped at once; they end in all kinds of order, and messages come between.
async fn many(rt: Handle, count: usize) {
    let (done, puppet) = (Arc::new(AtomicUsize::new(0)), plain(&rt).await);
    let door = Door::default();
    let (counted, passed) = (done.clone(), door.clone());
    ask(&puppet, move |cx| {
        for n in 0..count {
            let (counted, pass) = (counted.clone(), passed.pass());
            let rt = cx.runtime();
            let work = async move {
                pass.await;
                for _ in 0..n % 3 {
                    yield_now().await;
                }
                if n % 5 == 0 {
                    rt.sleep(Duration::from_micros(n as u64)).await;
                }
            };
            cx.pipe(work, move |()| {
                now(move |_| {
                    counted.fetch_add(1, Relaxed);
                    Ok(())
                })
            });
        }
    })
    .await;
    door.open();
    while done.load(Relaxed) < count {
        settled(&puppet).await;
        rt.sleep(Duration::from_micros(50)).await;
    }
    assert_eq!(done.load(Relaxed), count);
    // All of it is given back.
    let info = rt.info(&puppet).expect("it lives");
    assert!(info.memory < 2_000, "{info:?}");
}

#[test]
fn ten_thousand_are_piped_and_messages_come_between() {
    threaded(|rt| many(rt, scaled(10_000, 500)));
    simulated(|rt| many(rt, scaled(500, 50)));
}

/// Asks to be polled again for ever.
async fn restless(polls: Arc<AtomicUsize>) {
    loop {
        polls.fetch_add(1, Relaxed);
        yield_now().await;
    }
}

#[test]
fn what_is_always_ready_to_go_on_holds_up_nobody() {
    everywhere(|rt| async move {
        let (busy, other) = (plain(&rt).await, plain(&rt).await);
        let polls = Arc::new(AtomicUsize::new(0));
        let inner = polls.clone();
        ask(&busy, move |cx| {
            for _ in 0..100 {
                cx.pipe(restless(inner.clone()), |()| now(|_| Ok(())));
            }
        })
        .await;
        let before = polls.load(Relaxed);
        for _ in 0..100 {
            settled(&busy).await;
            settled(&other).await;
        }
        assert!(polls.load(Relaxed) > before, "nor is it held up");
        // Nor a handler that was suspended, nor its end.
        let (events, door) = (Events::new(), Door::default());
        let (tell, passed) = (events.clone(), door.pass());
        busy.cast(later(move |_, _| {
            Box::pin(async move {
                tell.send(Event::Note(1));
                passed.await;
                tell.send(Event::Note(2));
                Ok(())
            })
        }))
        .unwrap();
        assert_eq!(events.note().await, 1);
        door.open();
        assert_eq!(events.note().await, 2);
        let gone = rt.down(&busy);
        rt.exit(&busy, ExitReason::Kill);
        assert_reason(&gone.await.reason, &ExitReason::Killed);
    });
}

#[test]
fn idle_timeouts_end_by_results() {
    simulated(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let (tell, idle) = (events.clone(), events.clone());
        ask(&puppet, move |cx| {
            let time = cx.runtime().sleep(Duration::from_secs(1));
            cx.pipe(time, move |()| note(&tell, 1));
            cx.idle_timeout(Duration::from_secs(2), note(&idle, 2));
        })
        .await;
        assert_eq!(events.note().await, 1);
        rt.sleep(Duration::from_secs(5)).await;
        events.quiet(&rt).await;
    });
}

/// The ways to end, and the reasons that others hear.
#[derive(Clone, Copy, Debug)]
enum Way {
    Kill,
    Signal,
    Stop,
    Shutdown,
    Error,
    Panic,
}

impl Way {
    const ALL: [Way; 6] =
        [Way::Kill, Way::Signal, Way::Stop, Way::Shutdown, Way::Error, Way::Panic];

    fn end(self, rt: &Handle, puppet: &ActorRef<support::puppet::Do<true>>) {
        match self {
            Way::Kill => rt.exit(puppet, ExitReason::Kill),
            Way::Signal => rt.exit(puppet, because("signal")),
            Way::Shutdown => rt.exit(puppet, ExitReason::Shutdown),
            Way::Stop => {
                let stop = |cx: &mut Context<Tidy>| -> Done {
                    cx.stop(ExitReason::Normal);
                    Ok(())
                };
                puppet.cast(now(stop)).expect("it lives");
            }
            Way::Error => puppet.cast(now(|_| Err(because("error")))).expect("it lives"),
            Way::Panic => puppet.cast(now(|_| panic!("{EXPECTED}"))).expect("it lives"),
        }
    }

    fn is_orderly(self) -> bool {
        matches!(self, Way::Stop | Way::Shutdown | Way::Error)
    }
}

#[test]
fn however_an_actor_ends_its_work_is_dropped_before_anybody_hears() {
    expect_panics();
    everywhere(|rt| async move {
        for way in Way::ALL {
            let (events, watcher) = (Events::new(), plain(&rt).await);
            let script = Script::new().tell_terminate(&events).tell_drop(&events);
            let puppet = rt.start::<Tidy>(script).await.unwrap();
            let (work, tell) = (events.clone(), events.clone());
            ask(&puppet, move |cx| {
                for n in 0..3 {
                    let tell = tell.clone();
                    cx.pipe(pending(&work, n), move |_| note(&tell, 99));
                }
            })
            .await;
            // It has been polled, so that it waits.
            settled(&puppet).await;
            let (heard, to) = (down(&events, 7), puppet.pid());
            ask(&watcher, move |cx| {
                cx.monitor(to, heard);
            })
            .await;
            settled(&puppet).await;
            way.end(&rt, &puppet);
            if way.is_orderly() {
                events.terminated().await;
            }
            for n in 0..3 {
                assert_eq!(events.note().await, n, "{way:?}");
            }
            events.dropped().await;
            assert_eq!(events.down().await.0, 7);
            events.quiet(&rt).await;
        }
    });
}

#[test]
fn the_frame_is_dropped_first_then_work_then_the_state() {
    everywhere(|rt| async move {
        let events = Events::new();
        let puppet = rt.start::<Plain>(Script::new().tell_drop(&events)).await.unwrap();
        let work = events.clone();
        ask(&puppet, move |cx| cx.pipe(pending(&work, 2), |_| now(|_| Ok(())))).await;
        puppet.cast(hang(&events, told(&events, 1))).unwrap();
        events.hanging().await;
        rt.exit(&puppet, ExitReason::Kill);
        assert_eq!(events.note().await, 1);
        assert_eq!(events.note().await, 2);
        events.dropped().await;
    });
}

#[test]
fn a_child_that_is_ended_by_its_parent_takes_its_work_along() {
    everywhere(|rt| async move {
        for how in [Stop::Kill, Stop::Infinity] {
            let events = Events::new();
            let parent =
                rt.start::<Plain>(Script::new().supervise(|_, _| ())).await.expect("a parent");
            let (tell, told) = (events.clone(), events.clone());
            parent
                .cast(later(move |_, cx| {
                    let (ack, started) = oneshot();
                    let script = Script::new().init_now(move |cx| {
                        cx.pipe(pending(&tell, 1), |_| now(|_| Ok(())));
                        Ok(())
                    });
                    let child =
                        cx.spawn_child::<Plain>(script, SpawnOptions::new(), None, Some(ack));
                    Box::pin(async move {
                        let _ = started.await;
                        let (_, child) = child.expect("a child");
                        settled(&child).await;
                        // Idle, as a rule: it is ended where its parent runs.
                        cx.runtime().sleep(Duration::from_millis(1)).await;
                        let ended = cx.stop_children(how).await;
                        told.send(Event::Note(10 + (ended.clean + ended.brutal) as u64));
                        Ok(())
                    })
                }))
                .unwrap();
            assert_eq!(events.note().await, 1, "{how:?}");
            assert_eq!(events.note().await, 11);
        }
    });
}

#[test]
fn work_goes_on_until_terminate_is_over() {
    everywhere(|rt| async move {
        let (events, door) = (Events::new(), Door::default());
        let (tell, passed) = (events.clone(), door.pass());
        let script = Script::new().terminate(move |_, cx| {
            let (reply, answer) = oneshot();
            let tell = tell.clone();
            // What it waits for is piped, and so is what waits for ever.
            cx.pipe(
                async move {
                    passed.await;
                    reply.send(4)
                },
                |()| now(|_| Ok(())),
            );
            cx.pipe(pending(&tell, 5), |_| now(|_| Ok(())));
            Box::pin(async move {
                tell.send(Event::Note(3));
                tell.send(Event::Note(answer.await.unwrap_or(0)));
            })
        });
        let puppet = rt.start::<Tidy>(script).await.unwrap();
        let gone = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Shutdown);
        assert_eq!(events.note().await, 3);
        door.open();
        assert_eq!(events.note().await, 4);
        assert_eq!(events.note().await, 5);
        assert_reason(&gone.await.reason, &ExitReason::Shutdown);
    });
}

#[test]
fn a_panic_in_the_future_or_in_its_function_ends_the_actor() {
    expect_panics();
    everywhere(|rt| async move {
        for case in 0..4 {
            let events = Events::new();
            let script = Script::new().tell_terminate(&events);
            let puppet = rt.start::<Tidy>(script).await.unwrap();
            let gone = rt.down(&puppet);
            let other = events.clone();
            // A suspended handler is dropped, as by an exit signal.
            puppet.cast(hang(&events, told(&events, 1))).unwrap();
            events.hanging().await;
            let puppet = rt.start::<Tidy>(Script::new().tell_terminate(&events)).await.unwrap();
            let gone_too = rt.down(&puppet);
            puppet
                .cast(now(move |cx| {
                    cx.pipe(pending(&other, 2), |_| now(|_| Ok(())));
                    let quiet = || now(|_| Ok(()));
                    match case {
                        0 => cx.pipe(async { panic!("{EXPECTED}") }, move |()| quiet()),
                        1 => cx.pipe(
                            async {
                                yield_now().await;
                                panic!("{EXPECTED}")
                            },
                            move |()| quiet(),
                        ),
                        2 => cx.pipe(async {}, |()| panic!("{EXPECTED}")),
                        _ => {
                            let fails = OnDrop::new(|| panic!("{EXPECTED}"));
                            // Held beside the frame of the future, so that it lives until that is dropped.
                            let mut held = Some(fails);
                            cx.pipe(
                                poll_fn(move |_| {
                                    let _ = held.as_mut();
                                    Poll::Ready(())
                                }),
                                move |()| quiet(),
                            );
                        }
                    }
                    Ok(())
                }))
                .unwrap();
            assert_eq!(events.note().await, 2, "case {case}");
            assert_panic(&gone_too.await.reason, EXPECTED);
            let crash = rt.crashes().pop().expect("a report");
            assert_eq!((crash.pid, crash.during), (puppet.pid(), During::Work));
            events.quiet(&rt).await;
            drop(gone);
        }
    });
}

#[test]
fn a_panic_of_work_ends_a_handler_that_is_suspended() {
    expect_panics();
    everywhere(|rt| async move {
        let (events, door) = (Events::new(), Door::default());
        let puppet = rt.start::<Tidy>(Script::new().tell_terminate(&events)).await.unwrap();
        let gone = rt.down(&puppet);
        let passed = door.pass();
        ask(&puppet, move |cx| {
            cx.pipe(
                async move {
                    passed.await;
                    panic!("{EXPECTED}")
                },
                |()| now(|_| Ok(())),
            );
        })
        .await;
        puppet.cast(hang(&events, told(&events, 1))).unwrap();
        events.hanging().await;
        door.open();
        assert_eq!(events.note().await, 1);
        assert_panic(&gone.await.reason, EXPECTED);
        events.quiet(&rt).await;
    });
}

#[test]
fn a_panic_of_work_during_terminate_changes_the_reason_and_nothing_else() {
    expect_panics();
    everywhere(|rt| async move {
        let (events, work, rest) = (Events::new(), Door::default(), Door::default());
        let (tell, passed, goes_on) = (events.clone(), work.pass(), rest.pass());
        let script = Script::new()
            .init_now(move |cx| {
                cx.pipe(
                    async move {
                        passed.await;
                        panic!("{EXPECTED}")
                    },
                    |()| now(|_| Ok(())),
                );
                Ok(())
            })
            .terminate(move |_, _| {
                Box::pin(async move {
                    tell.send(Event::Note(1));
                    goes_on.await;
                    tell.send(Event::Note(2));
                })
            });
        let puppet = rt.start::<Tidy>(script).await.unwrap();
        let gone = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Shutdown);
        assert_eq!(events.note().await, 1);
        work.open();
        events.quiet(&rt).await;
        rest.open();
        assert_eq!(events.note().await, 2);
        assert_panic(&gone.await.reason, EXPECTED);
        assert_eq!(rt.crashes().pop().map(|crash| crash.during), Some(During::Work));
    });
}

#[test]
fn a_panic_in_the_drop_of_work_is_the_reason_of_an_orderly_end() {
    expect_panics();
    everywhere(|rt| async move {
        for (reason, is_panic) in [(ExitReason::Shutdown, true), (ExitReason::Kill, false)] {
            let (events, puppet) = (Events::new(), plain(&rt).await);
            let tell = events.clone();
            ask(&puppet, move |cx| {
                let fails = OnDrop::new(|| panic!("{EXPECTED}"));
                let work = async move {
                    let _fails = fails;
                    std::future::pending().await
                };
                cx.pipe(work, |()| now(|_| Ok(())));
                cx.pipe(pending(&tell, 1), |_| now(|_| Ok(())));
            })
            .await;
            let gone = rt.down(&puppet);
            rt.exit(&puppet, reason);
            assert_eq!(events.note().await, 1, "all of it is dropped");
            match gone.await.reason {
                reason if is_panic => assert_panic(&reason, EXPECTED),
                reason => assert_reason(&reason, &ExitReason::Killed),
            }
        }
    });
}

#[test]
fn a_reply_that_work_has_is_told_the_reason() {
    everywhere(|rt| async move {
        let puppet = plain(&rt).await;
        let call = puppet.call(|reply: Reply<()>| {
            now(move |cx| {
                let kept = async move {
                    let _reply = reply;
                    std::future::pending().await
                };
                cx.pipe(kept, |()| now(|_| Ok(())));
                Ok(())
            })
        });
        let pid = puppet.pid();
        let inner = rt.clone();
        let kill = async move {
            inner.sleep(Duration::from_millis(1)).await;
            inner.exit(pid, because("over"));
        };
        let (answer, ()) = futures_util::future::join(call.into_future(), kill).await;
        match answer {
            Err(CallError::Exit(reason)) => assert_reason(&reason, &because("over")),
            other => panic!("{other:?}"),
        }
        // Dropped while the process goes on, nobody will answer it.
        let puppet = plain(&rt).await;
        let answer = puppet.call(|reply: Reply<()>| {
            now(move |cx| {
                cx.pipe(async move { drop(reply) }, |()| now(|_| Ok(())));
                Ok(())
            })
        });
        assert!(matches!(answer.await, Err(CallError::NoReply)));
    });
    use std::future::IntoFuture as _;
}

#[test]
fn wakers_that_outlive_the_actor_do_nothing() {
    everywhere(|rt| async move {
        let (kept, puppet) = (Arc::new(Mutex::new(Vec::new())), plain(&rt).await);
        let inner = kept.clone();
        ask(&puppet, move |cx| {
            for ready in [true, false] {
                let inner = inner.clone();
                let work = poll_fn(move |task| {
                    inner.lock().push(task.waker().clone());
                    if ready { Poll::Ready(()) } else { Poll::Pending }
                });
                cx.pipe(work, |()| now(|_| Ok(())));
            }
        })
        .await;
        // One message is enough for one poll.
        settled(&puppet).await;
        settled(&puppet).await;
        let wakers = kept.lock().clone();
        assert_eq!(wakers.len(), 2);
        wakers.iter().for_each(Waker::wake_by_ref);
        settled(&puppet).await;
        settled(&puppet).await;
        assert_eq!(kept.lock().len(), 3, "one is over, and the other was polled again");
        let gone = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        gone.await;
        wakers.into_iter().for_each(Waker::wake);
        assert_eq!(kept.lock().len(), 3);
    });
}

/// Wakes come from threads while the actor runs, settles and ends.
#[test]
fn no_wake_up_is_lost() {
    threaded(|rt| async move {
        for round in 0..scaled(300, 20) {
            let (events, puppet, door) = (Events::new(), plain(&rt).await, Door::default());
            let (tell, passed) = (events.clone(), door.pass());
            ask(&puppet, move |cx| cx.pipe(passed, move |()| note(&tell, 1))).await;
            let opener = std::thread::spawn(move || door.open());
            if round % 3 == 0 {
                settled(&puppet).await;
            }
            assert_eq!(events.note().await, 1);
            opener.join().unwrap();
            rt.exit(&puppet, ExitReason::Kill);
        }
    });
}

/// A server that asks another, piped or awaited.
struct Asker {
    other: Option<ActorRef<Ask>>,
}

enum Ask {
    Other(ActorRef<Ask>),
    /// Answers at once.
    Plain(Reply<u32>),
    /// Asks the other one while it goes on.
    Piped(Reply<u32>),
    /// Asks the other one, and waits.
    Awaited(Reply<u32>),
    /// Asks itself while it goes on.
    Itself(Reply<u32>),
    Answer(Result<u32, CallError>, Reply<u32>),
}

impl Actor for Asker {
    type Args = ();
    type Msg = Ask;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Asker { other: None })
    }

    async fn handle(&mut self, msg: Ask, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Ask::Other(other) => self.other = Some(other),
            Ask::Plain(reply) => reply.send(1),
            Ask::Piped(reply) => {
                let other = self.other.as_ref().expect("another one");
                cx.pipe(other.call(Ask::Awaited), |answer| Ask::Answer(answer, reply));
            }
            Ask::Awaited(reply) => {
                let other = self.other.as_ref().expect("another one");
                reply.send(other.call(Ask::Plain).no_timeout().await? + 1);
            }
            Ask::Itself(reply) => {
                cx.pipe(cx.me().call(Ask::Plain), |answer| Ask::Answer(answer, reply));
            }
            Ask::Answer(answer, reply) => reply.send(answer? + 10),
        }
        Ok(())
    }
}

#[test]
fn a_piped_call_is_in_no_circle_of_calls() {
    everywhere(|rt| async move {
        let (one, other) =
            (rt.start::<Asker>(()).await.unwrap(), rt.start::<Asker>(()).await.unwrap());
        one.cast(Ask::Other(other.clone())).unwrap();
        other.cast(Ask::Other(one.clone())).unwrap();
        for _ in 0..50 {
            // One asks the other, which asks the one meanwhile, in a handler.
            assert_eq!(one.call(Ask::Piped).await.unwrap(), 12);
            assert_eq!(one.call(Ask::Itself).await.unwrap(), 11);
        }
    });
}

/// It waits for longer than a call does before its circle is looked for.
#[test]
fn a_slow_piped_call_is_in_no_circle_either() {
    simulated(|rt| async move {
        let (puppet, door) = (plain(&rt).await, Door::default());
        let (tell, events) = (Events::new(), Events::new());
        let me = puppet.clone();
        let (told, passed) = (tell.clone(), door.pass());
        // The handler below holds up the answer of the call that is piped to the very same actor.
        ask(&puppet, move |cx| {
            let call = me.call(|reply: Reply<u64>| {
                now(move |_| {
                    reply.send(3);
                    Ok(())
                })
            });
            cx.pipe(call.no_timeout(), move |answer| note(&told, answer.unwrap_or(0)));
        })
        .await;
        let busy = events.clone();
        puppet
            .cast(later(move |_, _| {
                Box::pin(async move {
                    busy.send(Event::Note(1));
                    passed.await;
                    Ok(())
                })
            }))
            .unwrap();
        assert_eq!(events.note().await, 1);
        rt.sleep(Duration::from_secs(3)).await;
        door.open();
        assert_eq!(tell.note().await, 3);
    });
}

#[test]
fn a_piped_call_has_its_timeout() {
    everywhere(|rt| async move {
        let (events, puppet, busy) = (Events::new(), plain(&rt).await, plain(&rt).await);
        busy.cast(hang(&events, ())).unwrap();
        events.hanging().await;
        let (tell, to) = (events.clone(), busy.clone());
        ask(&puppet, move |cx| {
            let call = to.call(|reply: Reply<()>| {
                now(move |_| {
                    reply.send(());
                    Ok(())
                })
            });
            cx.pipe(call.timeout(Duration::from_millis(5)), move |answer| {
                note(&tell, u64::from(matches!(answer, Err(CallError::Timeout { accepted: true }))))
            });
        })
        .await;
        assert_eq!(events.note().await, 1);
        rt.exit(&busy, ExitReason::Kill);
    });
}

#[test]
fn traps_monitors_and_timers_work_beside_it() {
    everywhere(|rt| async move {
        let (events, puppet) = (Events::new(), plain(&rt).await);
        let other = plain(&rt).await;
        let (tell, target) = (events.clone(), other.pid());
        ask(&puppet, move |cx| {
            trap(cx, &tell);
            cx.monitor(target, down(&tell, 1));
            cx.link(target);
            let rt = cx.runtime();
            let ticks = async move {
                loop {
                    rt.sleep(Duration::from_micros(20)).await;
                }
            };
            cx.pipe(ticks, |()| now(|_| Ok(())));
            cx.send_after(Duration::from_millis(1), note(&tell, 2));
        })
        .await;
        assert_eq!(events.note().await, 2);
        rt.exit(&other, ExitReason::Kill);
        let (mut exits, mut downs) = (0, 0);
        for _ in 0..2 {
            match events.next().await {
                Event::Exit(_) => exits += 1,
                Event::Down(..) => downs += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((exits, downs), (1, 1));
        let gone = rt.down(&puppet);
        rt.exit(&puppet, ExitReason::Kill);
        gone.await;
    });
}

/// The runtime goes, with work in all states.
#[test]
fn a_runtime_that_is_dropped_drops_all_work() {
    for workers in [0, 1, 4] {
        let live = Arc::new(AtomicUsize::new(0));
        let has_begun = Arc::new(AtomicBool::new(false));
        struct Lives(Arc<AtomicUsize>);
        impl Drop for Lives {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        let rt = if workers == 0 {
            Runtime::simulated(5).unwrap()
        } else {
            Runtime::builder().workers(workers).build().unwrap()
        };
        let (count, begun) = (live.clone(), has_begun.clone());
        rt.block_on(async {
            for _ in 0..20 {
                let puppet = plain(&rt).await;
                let (count, begun) = (count.clone(), begun.clone());
                ask(&puppet, move |cx| {
                    for n in 0..20 {
                        count.fetch_add(1, Relaxed);
                        let (lives, begun) = (Lives(count.clone()), begun.clone());
                        let work = async move {
                            begun.store(true, Relaxed);
                            let _lives = lives;
                            if n % 2 == 0 {
                                loop {
                                    yield_now().await;
                                }
                            }
                            std::future::pending().await
                        };
                        cx.pipe(work, |()| now(|_| Ok(())));
                    }
                })
                .await;
                settled(&puppet).await;
            }
        });
        assert!(has_begun.load(Relaxed));
        assert_eq!(live.load(Relaxed), 400);
        drop(rt);
        assert_eq!(live.load(Relaxed), 0, "{workers} workers");
    }
}

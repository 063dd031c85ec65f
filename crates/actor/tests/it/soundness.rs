//! Programs that go where no program should: replies, calls, contexts and runtimes that are used in places
//! they were not made for. None may break the runtime's promises, let alone its memory.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests use threads and real time"
)]

use crate::support;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context as TaskContext, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_util::{
    future::{Either, join_all, select},
    stream::{FuturesUnordered, StreamExt},
};
use support::{
    everywhere,
    puppet::{Do, Event, Events, OnDrop, Plain, Script, ask, because, later, now, plain, settled},
    simulated, threaded,
};
use whitebeam_actor::{
    Actor, ActorRef, Answered, CallError, CallFuture, Context, ExitReason, Outcome, Reply, Runtime,
    SpawnOptions, StartError, Stop, oneshot,
};

/// A waker that drops what it holds, in the midst of whoever wakes it.
struct Drops(Mutex<Option<Reply<()>>>);

impl Wake for Drops {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().expect("no panic").take());
    }
}

#[test]
fn a_reply_that_is_dropped_by_a_waker_is_answered() {
    threaded(async |rt| {
        let puppet = plain(&rt).await;
        let (first, mut first_answer) = oneshot::<()>();
        let (second, second_answer) = oneshot::<()>();
        let waker = Waker::from(Arc::new(Drops(Mutex::new(Some(second)))));
        let mut cx = TaskContext::from_waker(&waker);
        assert!(Pin::new(&mut first_answer).poll(&mut cx).is_pending());
        puppet
            .cast(now(move |_| {
                drop(first);
                Ok(())
            }))
            .expect("it lives");
        assert!(matches!(second_answer.await, Err(CallError::NoReply)));
        assert!(matches!(first_answer.await, Err(CallError::NoReply)));
    });
}

#[test]
fn a_request_that_was_answered_before_it_was_sent_is_dropped() {
    everywhere(async |rt| {
        let puppet = plain(&rt).await;
        let token = Arc::new(());
        let held = token.clone();
        let answer = puppet
            .call(|reply: Reply<u32>| {
                reply.send(7);
                now(move |_| {
                    drop(held);
                    Ok(())
                })
            })
            .await;
        assert_eq!(answer.expect("it was answered"), 7);
        assert_eq!(Arc::strong_count(&token), 1, "the request is dropped with its call");
    });
}

#[test]
fn a_blocking_call_that_was_answered_before_it_was_sent_drops_its_request() {
    let rt = Runtime::builder().workers(1).build().expect("threads");
    let puppet = rt.block_on(plain(&rt));
    let token = Arc::new(());
    let held = token.clone();
    let answer = puppet
        .call(|reply: Reply<u32>| {
            reply.send(7);
            now(move |_| {
                drop(held);
                Ok(())
            })
        })
        .blocking();
    assert_eq!(answer.expect("it was answered"), 7);
    assert_eq!(Arc::strong_count(&token), 1);
}

/// Fails in its `init` with a reason of its own.
struct Fails;

impl Actor for Fails {
    type Args = &'static str;
    type Msg = ();

    async fn init(why: &'static str, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Err(because(why))
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

#[test]
fn a_reply_is_answered_with_the_end_of_its_own_process() {
    // A turn may be over between the handler and the end that it decided: others run meanwhile.
    simulated(async |rt| {
        let starts = (0..64).map(async |n| {
            let why: &'static str = if n % 2 == 0 { "even" } else { "odd" };
            (why, rt.start::<Fails>(why).await)
        });
        for (why, started) in join_all(starts).await {
            match started {
                Err(StartError::Exit(reason)) => {
                    assert_eq!(reason.downcast_ref::<&'static str>(), Some(&why));
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

fn on_down(_: &mut Plain, _: whitebeam_actor::ChildDown, _: &mut Context<Plain>) {}

fn parent() -> Script<false> {
    Script::new().init_now(|cx| {
        cx.supervise(on_down);
        Ok(())
    })
}

#[test]
fn children_are_stopped_by_a_future_in_a_combinator() {
    // Such a combinator polls a future again only when that future's own waker was woken.
    everywhere(async |rt| {
        let parent = rt.start::<Plain>(parent()).await.expect("a parent");
        let stopped = parent.call(|reply| {
            later(move |_, cx| {
                Box::pin(async move {
                    // More than one batch, and of each some that need a turn of their own.
                    for n in 0..600 {
                        let script = if n % 3 == 0 {
                            Script::<true>::new().init_now(|_| Ok(()))
                        } else {
                            Script::<true>::new()
                        };
                        cx.spawn_child::<support::puppet::Tidy>(
                            script,
                            SpawnOptions::new(),
                            None,
                            None,
                        );
                    }
                    let mut all: FuturesUnordered<_> =
                        std::iter::once(cx.stop_children(Stop::Infinity)).collect();
                    let summary = all.next().await.expect("one future");
                    reply.send(summary.clean);
                    Ok(())
                })
            })
        });
        assert_eq!(stopped.await.expect("a summary"), 600);

        let outcome = parent.call(|reply| {
            later(move |_, cx| {
                Box::pin(async move {
                    let script =
                        Script::<true>::new().terminate(|_, _| Box::pin(std::future::ready(())));
                    let child = cx.spawn_child::<support::puppet::Tidy>(
                        script,
                        SpawnOptions::new(),
                        None,
                        None,
                    );
                    let (key, _) = child.expect("a child");
                    let mut one: FuturesUnordered<_> =
                        std::iter::once(cx.stop_child(key, Stop::Infinity)).collect();
                    reply.send(one.next().await.expect("one future"));
                    Ok(())
                })
            })
        });
        assert!(matches!(outcome.await.expect("an outcome"), Outcome::Clean));
    });
}

/// Does all its work before it gives its future, which is as small as a future can be.
struct Eager(Events);

impl Actor for Eager {
    type Args = Events;
    type Msg = ();

    async fn init(events: Events, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Eager(events))
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(ExitReason::Normal)
    }

    fn terminate(
        &mut self,
        reason: &ExitReason,
        _: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        self.0.send(Event::Terminate(reason.clone()));
        std::future::ready(())
    }
}

#[test]
fn a_terminate_that_gives_a_small_future_runs() {
    everywhere(async |rt| {
        let events = Events::new();
        let eager = rt.start::<Eager>(events.clone()).await.expect("a process");
        let down = rt.down(&eager);
        eager.cast(()).expect("it lives");
        assert!(down.await.reason.is_normal());
        assert_eq!(events.take().len(), 1);
    });
}

/// Children's ends, told to whoever listens.
struct Told {
    downs: Events,
}

impl Actor for Told {
    type Args = Events;
    type Msg = Box<
        dyn for<'a> FnOnce(&'a mut Context<Told>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>
            + Send,
    >;

    async fn init(downs: Events, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|told, down, _| told.downs.send(Event::Child(down)));
        Ok(Told { downs })
    }

    async fn handle(&mut self, job: Self::Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        job(cx).await;
        Ok(())
    }
}

/// A child that ends when its gate is opened.
fn slow_to_end(gate: Answered<()>) -> Script<true> {
    Script::new().terminate(move |_, _| {
        Box::pin(async move {
            let _ = gate.await;
        })
    })
}

#[test]
fn a_stop_that_is_dropped_half_way_leaves_the_ends_to_be_reported() {
    everywhere(async |rt| {
        for one in [true, false] {
            let events = Events::new();
            let parent = rt.start::<Told>(events.clone()).await.expect("a parent");
            let (open, gate) = oneshot::<()>();
            let dropped = parent.call(|reply: Reply<()>| {
                Box::new(move |cx| {
                    Box::pin(async move {
                        let script = slow_to_end(gate);
                        let child = cx.spawn_child::<support::puppet::Tidy>(
                            script,
                            SpawnOptions::new(),
                            None,
                            None,
                        );
                        let (key, child) = child.expect("a child");
                        settled(&child).await;
                        if one {
                            let mut stop = cx.stop_child(key, Stop::Infinity);
                            poll_fn(|cx| Poll::Ready(Pin::new(&mut stop).poll(cx).is_pending()))
                                .await;
                        } else {
                            let mut stop = cx.stop_children(Stop::Infinity);
                            poll_fn(|cx| Poll::Ready(Pin::new(&mut stop).poll(cx).is_pending()))
                                .await;
                        }
                        reply.send(());
                    })
                })
            });
            dropped.await.expect("it lives");
            open.send(());
            let down = events.child().await;
            assert!(matches!(down.reason, ExitReason::Shutdown), "{down:?}");
        }
    });
}

#[test]
fn a_stop_that_is_dropped_unread_leaves_the_end_to_be_reported() {
    everywhere(async |rt| {
        let events = Events::new();
        let parent = rt.start::<Told>(events.clone()).await.expect("a parent");
        let (open, gate) = oneshot::<()>();
        let dropped = parent.call(|reply: Reply<()>| {
            Box::new(move |cx| {
                Box::pin(async move {
                    let rt = cx.runtime();
                    let script = slow_to_end(gate);
                    let child = cx.spawn_child::<support::puppet::Tidy>(
                        script,
                        SpawnOptions::new(),
                        None,
                        None,
                    );
                    let (key, child) = child.expect("a child");
                    settled(&child).await;
                    let mut stop = cx.stop_child(key, Stop::Infinity);
                    poll_fn(|cx| Poll::Ready(Pin::new(&mut stop).poll(cx).is_pending())).await;
                    open.send(());
                    // The child's end comes to the parent, and nobody asks the future for it.
                    while rt.is_alive(&child) {
                        rt.sleep(Duration::from_millis(1)).await;
                    }
                    rt.sleep(Duration::from_millis(5)).await;
                    drop(stop);
                    reply.send(());
                })
            })
        });
        dropped.await.expect("it lives");
        let down = events.child().await;
        assert!(matches!(down.reason, ExitReason::Shutdown), "{down:?}");
    });
}

/// What a handler does after it has forgotten the future of a stop.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Nothing: the end comes when it is done.
    Ends,
    /// Waits until the end has come, unread.
    Waits,
    /// Stops another one, or all that are left, in the same way and not forgotten.
    Stops,
}

#[test]
fn a_stop_that_is_forgotten_leaves_the_ends_to_be_reported() {
    everywhere(async |rt| {
        for (one, then) in [true, false]
            .into_iter()
            .flat_map(|one| [Then::Ends, Then::Waits, Then::Stops].map(|then| (one, then)))
        {
            let events = Events::new();
            let parent = rt.start::<Told>(events.clone()).await.expect("a parent");
            let (open, gate) = oneshot::<()>();
            let (open_other, other_gate) = oneshot::<()>();
            let forgotten = parent.call(|reply: Reply<_>| {
                Box::new(move |cx| {
                    Box::pin(async move {
                        let mut spawn = |gate| {
                            let options = SpawnOptions::new();
                            let script = slow_to_end(gate);
                            cx.spawn_child::<support::puppet::Tidy>(script, options, None, None)
                                .expect("a child")
                        };
                        let ((key, child), (other, second)) = (spawn(gate), spawn(other_gate));
                        settled(&child).await;
                        settled(&second).await;
                        if one {
                            let mut stop = cx.stop_child(key, Stop::Infinity);
                            poll_fn(|cx| Poll::Ready(Pin::new(&mut stop).poll(cx).is_pending()))
                                .await;
                            std::mem::forget(stop);
                        } else {
                            let mut stop = cx.stop_children(Stop::Infinity);
                            poll_fn(|cx| Poll::Ready(Pin::new(&mut stop).poll(cx).is_pending()))
                                .await;
                            std::mem::forget(stop);
                        }
                        match then {
                            Then::Ends => {}
                            Then::Waits => {
                                open.send(());
                                let rt = cx.runtime();
                                while rt.is_alive(&child) {
                                    rt.sleep(Duration::from_millis(1)).await;
                                }
                                reply.send((child, None, Some(open_other)));
                                return;
                            }
                            Then::Stops => {
                                open_other.send(());
                                let stopped = cx.stop_child(other, Stop::Infinity).await;
                                assert!(matches!(stopped, Outcome::Clean), "{stopped:?}");
                                reply.send((child, Some(open), None));
                                return;
                            }
                        }
                        reply.send((child, Some(open), Some(open_other)));
                    })
                })
            });
            let (child, open, open_other) = forgotten.await.expect("it lives");
            if one || !matches!(then, Then::Waits) {
                // An end that came while all were being stopped is one of those counted.
                if let Some(open) = open {
                    open.send(());
                }
                let down = events.child().await;
                assert_eq!(down.pid, child.pid(), "{one} {then:?}");
                assert!(matches!(down.reason, ExitReason::Shutdown), "{one} {then:?}: {down:?}");
            }
            if !one && let Some(open_other) = open_other {
                open_other.send(());
                let down = events.child().await;
                assert!(matches!(down.reason, ExitReason::Shutdown), "{then:?}: {down:?}");
            }
        }
    });
}

#[test]
fn a_handler_may_lend_its_context_to_threads_that_it_waits_for() {
    threaded(async |rt| {
        let events = Events::new();
        let parent = rt.start::<Plain>(parent()).await.expect("a parent");
        let told = events.clone();
        let counts = ask(&parent, move |cx| {
            let (_, child) = cx
                .spawn_child::<Plain>(Script::new(), SpawnOptions::new(), None, None)
                .expect("a child");
            let counts = std::thread::scope(|scope| {
                let look = || {
                    (cx.child_count(), cx.child_key(child.pid()).is_some(), cx.start_info().attempt)
                };
                let looks = [scope.spawn(look), scope.spawn(look)];
                looks.map(|look| look.join().expect("no panic"))
            });
            let lent = std::thread::scope(|scope| {
                let ask = || {
                    cx.send_after(Duration::from_millis(1), support::puppet::note(&told, 1));
                    cx.continue_with(support::puppet::note(&told, 2));
                    // Not ready: its child is told, and ends when the parent's handler is over.
                    let mut stop = cx.stop_children(Stop::Kill);
                    let mut task = TaskContext::from_waker(Waker::noop());
                    Pin::new(&mut stop).poll(&mut task).is_pending()
                };
                scope.spawn(ask).join()
            });
            assert!(lent.expect("no panic"));
            counts
        });
        assert_eq!(counts.await, [(1, true, 1); 2]);
        assert_eq!((events.note().await, events.note().await), (2, 1));
    });
}

/// Keeps a call from one message to the next.
struct Keeps {
    silent: ActorRef<Ask>,
    call: Option<CallFuture<'static, Ask, ()>>,
}

enum Ask {
    Never(#[allow(dead_code, reason = "kept unanswered")] Reply<()>),
}

/// Never answers.
struct Silent(Vec<Ask>);

impl Actor for Silent {
    type Args = ();
    type Msg = Ask;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Silent(Vec::new()))
    }

    async fn handle(&mut self, ask: Ask, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0.push(ask);
        Ok(())
    }
}

enum Keep {
    Begin(Reply<()>),
    End(Reply<Result<(), CallError>>),
    /// A call that is given up after the first time, then one that times out after the second.
    Twice(Duration, Duration, Reply<Duration>),
}

impl Actor for Keeps {
    type Args = ActorRef<Ask>;
    type Msg = Keep;

    async fn init(silent: ActorRef<Ask>, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Keeps { silent, call: None })
    }

    async fn handle(&mut self, msg: Keep, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Keep::Begin(reply) => {
                let call = self.silent.call(Ask::Never).timeout(Duration::from_millis(300)).owned();
                let mut call = call.into_future();
                poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx).is_pending())).await;
                self.call = Some(call);
                reply.send(());
            }
            Keep::End(reply) => match self.call.take() {
                Some(call) => reply.send(call.await),
                None => panic!("begun before"),
            },
            Keep::Twice(first, second, reply) => {
                let given_up = self.silent.call(Ask::Never);
                let sleep = cx.runtime().sleep(first);
                match select(given_up.into_future(), sleep).await {
                    Either::Left(_) => panic!("nobody answers"),
                    Either::Right(_) => {}
                }
                let begun = Instant::now();
                let late = self.silent.call(Ask::Never).timeout(second).await;
                assert!(matches!(late, Err(CallError::Timeout { accepted: true })));
                reply.send(begun.elapsed());
            }
        }
        Ok(())
    }
}

#[test]
fn a_call_that_goes_from_handler_to_handler_keeps_its_timeout() {
    everywhere(async |rt| {
        let silent = rt.start::<Silent>(()).await.expect("silent");
        let keeps = rt.start::<Keeps>(silent).await.expect("keeps");
        keeps.call(Keep::Begin).await.expect("begun");
        let answer = keeps.call(Keep::End).no_timeout().await.expect("it lives");
        assert!(matches!(answer, Err(CallError::Timeout { accepted: true })), "{answer:?}");
    });
}

#[test]
fn a_timeout_does_not_wait_for_that_of_an_earlier_call() {
    threaded(async |rt| {
        let silent = rt.start::<Silent>(()).await.expect("silent");
        let keeps = rt.start::<Keeps>(silent).await.expect("keeps");
        let (first, second) = (Duration::from_millis(100), Duration::from_millis(250));
        let took = keeps.call(|reply| Keep::Twice(first, second, reply)).await.expect("it lives");
        assert!(took >= second && took < Duration::from_secs(2), "{took:?}");
    });
}

/// Uses as much of a frame as a handler of the outer runtime does, and checks that nobody writes to it.
async fn checked(rt: &whitebeam_actor::Handle, seed: u64) {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let bytes = [seed as u8 | 1; 160];
    let before = sum(&bytes);
    rt.sleep(Duration::from_millis(1)).await;
    assert_eq!(sum(&bytes), before);
}

fn nested(seed: u64) {
    let inner = Runtime::simulated(seed).expect("a tag");
    inner.block_on(async {
        let puppet = plain(&inner).await;
        for n in 0..4 {
            let done = puppet.call(|reply: Reply<()>| {
                let rt = inner.handle();
                later(move |_, _| {
                    Box::pin(async move {
                        checked(&rt, n).await;
                        reply.send(());
                        Ok(())
                    })
                })
            });
            done.await.expect("it lives");
        }
        settled(&puppet).await;
    });
    drop(inner);
}

/// Runs a simulation in the middle of its handler.
struct Nests;

impl Actor for Nests {
    type Args = ();
    type Msg = Reply<u64>;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Nests)
    }

    async fn handle(
        &mut self,
        reply: Reply<u64>,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let before = [7_u64; 16];
        nested(1);
        assert_eq!(before, [7_u64; 16]);
        cx.runtime().sleep(Duration::from_millis(1)).await;
        nested(2);
        assert_eq!(before, [7_u64; 16]);
        reply.send(before.iter().sum());
        Ok(())
    }
}

#[test]
fn a_simulation_runs_and_ends_inside_of_a_handler() {
    everywhere(async |rt| {
        let nests = rt.start::<Nests>(()).await.expect("a process");
        assert_eq!(nests.call(|reply| reply).await.expect("it lives"), 112);
    });
}

/// A puppet that says when its state is dropped.
fn says_when_dropped() -> (Script<false>, mpsc::Receiver<()>) {
    let (said, dropped) = mpsc::channel();
    let script = Script::new().on_drop(move || said.send(()).expect("the test listens"));
    (script, dropped)
}

#[test]
fn a_runtime_may_be_dropped_by_its_own_process() {
    let mut runtimes: Vec<_> =
        (0..4).map(|seed| Runtime::simulated(seed).expect("a tag")).collect();
    runtimes.push(Runtime::builder().workers(1).build().expect("threads"));
    runtimes.push(Runtime::builder().workers(2).build().expect("threads"));
    for rt in runtimes {
        let (script, self_dropped) = says_when_dropped();
        let puppet = rt.block_on(rt.start::<Plain>(script)).expect("a puppet");
        let (script, other_dropped) = says_when_dropped();
        let other = rt.block_on(rt.start::<Plain>(script)).expect("another");
        let answer = puppet.call(|reply: Reply<u32>| {
            now(move |_| {
                drop(rt);
                reply.send(7);
                Ok(())
            })
        });
        assert_eq!(answer.blocking().expect("it goes on to its end"), 7);
        for dropped in [self_dropped, other_dropped] {
            dropped.recv_timeout(Duration::from_secs(60)).expect("it ends");
        }
        drop((puppet, other));
    }
}

#[test]
fn two_simulations_take_turns_on_one_thread_and_one_moves() {
    let one = Runtime::simulated(1).expect("a tag");
    let two = Runtime::simulated(2).expect("a tag");
    let in_one = one.block_on(plain(&one));
    let in_two = two.block_on(plain(&two));
    one.block_on(settled(&in_one));
    two.block_on(settled(&in_two));
    let in_one = std::thread::spawn(move || {
        one.block_on(settled(&in_one));
        drop(one);
        in_one
    });
    two.block_on(settled(&in_two));
    let in_one = in_one.join().expect("no panic");
    assert!(!in_one.is_alive());
    drop(two);
    assert!(!in_two.is_alive());
}

#[test]
fn the_last_address_may_go_while_its_runtime_stops() {
    // The reason's destructor keeps the cell half freed, on another thread, until the runtime is gone.
    let (entered, is_in) = mpsc::channel::<()>();
    let (leave, may_leave) = mpsc::channel::<()>();
    let gate = Mutex::new((entered, may_leave));
    let on_drop = OnDrop::new(move || {
        let gate = gate.into_inner().expect("no panic");
        gate.0.send(()).expect("the test waits");
        gate.1.recv().expect("the test goes on");
    });
    let rt = Runtime::simulated(5).expect("a tag");
    let held = Arc::new(Mutex::new(Some(on_drop)));
    let puppet = rt.block_on(plain(&rt));
    let reason = ExitReason::custom(Held(held));
    rt.block_on(async {
        let down = rt.down(&puppet);
        puppet.cast(now(move |_| Err(reason))).expect("it lives");
        drop(down.await);
    });
    let dropper = std::thread::spawn(move || drop(puppet));
    is_in.recv().expect("the reason is dropped with the cell");
    drop(rt);
    leave.send(()).expect("it waits");
    dropper.join().expect("no panic");
}

/// A reason that holds something.
struct Held(#[allow(dead_code, reason = "held")] Arc<Mutex<Option<OnDrop>>>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

#[test]
fn addresses_go_and_processes_come_on_other_threads_while_their_runtime_stops() {
    for round in 0..50 {
        let rt = Runtime::builder().workers(2).build().expect("threads");
        let puppets: Vec<_> = (0..64).map(|_| rt.spawn::<Plain>(Script::new())).collect();
        let handle = rt.handle();
        let dropper = std::thread::spawn(move || {
            for puppet in puppets {
                drop(puppet);
                if round % 2 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let spawner = std::thread::spawn(move || {
            let mut last = None;
            for _ in 0..256 {
                let next: ActorRef<Do<false>> = handle.spawn::<Plain>(Script::new());
                last = Some(next);
            }
            drop(handle);
            last.map(|last| last.pid())
        });
        drop(rt);
        dropper.join().expect("no panic");
        assert!(spawner.join().expect("no panic").is_some());
    }
}

#[test]
fn a_process_of_another_runtime_is_nobody_to_unlink() {
    let one = Runtime::simulated(1).expect("a tag");
    let two = Runtime::simulated(1).expect("a tag");
    let [a, b] = [(); 2].map(|()| one.block_on(plain(&one)));
    // The same places in another process table.
    let [_, twin] = [(); 2].map(|()| two.block_on(plain(&two)));
    assert_eq!((b.pid().to_string(), b.pid() == twin.pid()), (twin.pid().to_string(), false));
    one.block_on(async {
        let to = b.pid();
        ask(&a, move |cx| cx.link(to)).await;
        let twin = twin.pid();
        ask(&a, move |cx| cx.unlink(twin)).await;
        let down = one.down(&a);
        b.cast(now(|_| Err(because("it ends")))).expect("it lives");
        assert_eq!(down.await.reason.downcast_ref::<&'static str>(), Some(&"it ends"));
    });
}

#[test]
fn a_task_that_sleeps_when_its_runtime_ends_is_dropped_with_it() {
    for workers in [0, 1] {
        let rt = match workers {
            0 => Runtime::simulated(1).expect("a tag"),
            _ => Runtime::builder().workers(1).build().expect("threads"),
        };
        let token = Arc::new(());
        let (held, handle) = (token.clone(), rt.handle());
        rt.spawn_task(async move {
            handle.sleep(Duration::from_secs(3_600)).await;
            drop(held);
        })
        .detach();
        let yielded = rt.spawn_task(async {});
        rt.block_on(yielded);
        drop(rt);
        assert_eq!(Arc::strong_count(&token), 1, "{workers} workers");
    }
}

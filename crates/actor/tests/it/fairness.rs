//! Who stays with a worker for how long: budgets, futures that are always ready, handlers that wake themselves.

use crate::support;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::join, stream::FuturesUnordered};
use parking_lot::Mutex;
use support::puppet::{Script, later, now, plain, settled};
use whitebeam_actor::{
    Actor, ActorRef, Builder, CallError, Context, ExitReason, Handle, Mailbox, Runtime,
    SpawnOptions, StartError, consume_budget, oneshot, yield_now,
};
use whitebeam_testkit::{Everywhere, Sim, Strategy};

type Plain = support::puppet::Puppet<false>;

/// Longer than any turn of these tests.
const NEVER: Duration = Duration::from_secs(10);

/// Burns the processor.
#[expect(clippy::disallowed_methods, reason = "a handler that takes real time")]
fn burn(time: Duration) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Counts its messages, and takes its time for each.
struct Busy {
    handled: Arc<AtomicU32>,
    each: Duration,
}

impl Actor for Busy {
    type Args = (Arc<AtomicU32>, Duration);
    type Msg = ();

    async fn init((handled, each): Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Busy { handled, each })
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        burn(self.each);
        self.handled.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// How many messages a process has handled when the one that is queued behind it has its turn. It has `messages` then,
/// and takes `each` for one of them.
fn handled_in_a_turn(
    builder: Builder,
    options: SpawnOptions,
    messages: u32,
    each: Duration,
) -> u32 {
    let rt = builder.workers(1).build().expect("a runtime");
    let handled = Arc::new(AtomicU32::new(0));
    let busy = rt.block_on(rt.with(options).start::<Busy>((handled.clone(), each)));
    let busy = busy.expect("it starts");
    let (tell, told) = oneshot();
    let next = rt.spawn_fn(move |mut mailbox: Mailbox<()>| async move {
        mailbox.recv().await;
        tell.send(handled.load(Ordering::Relaxed));
        Ok(())
    });
    // It waits by now.
    rt.block_on(rt.relations(&next));
    let starter = busy.clone();
    rt.spawn_fn(move |_: Mailbox<()>| async move {
        // The last one that is made runnable runs first.
        next.cast(())?;
        for _ in 0..messages {
            starter.cast(())?;
        }
        Ok(())
    });
    let seen = rt.block_on(told).expect("the one behind it");
    rt.exit(&busy, ExitReason::Kill);
    seen
}

fn unlimited() -> Builder {
    Runtime::builder().slice(NEVER)
}

#[test]
fn a_process_handles_as_many_messages_in_a_turn_as_the_runtime_says() {
    for budget in [1, 8, 40] {
        let seen =
            handled_in_a_turn(unlimited().budget(budget), SpawnOptions::new(), 100, Duration::ZERO);
        assert_eq!(seen, budget);
    }
    let seen = handled_in_a_turn(unlimited(), SpawnOptions::new(), 200, Duration::ZERO);
    assert_eq!(seen, 128);
}

#[test]
fn a_process_may_have_a_smaller_budget_than_others() {
    for (own, seen) in [(1, 1), (8, 8), (100, 40)] {
        let options = SpawnOptions::new().budget(own);
        assert_eq!(handled_in_a_turn(unlimited().budget(40), options, 100, Duration::ZERO), seen);
    }
}

#[test]
fn a_process_takes_as_long_for_a_turn_as_the_slice_says() {
    let each = Duration::from_millis(1);
    let seen = handled_in_a_turn(unlimited().budget(30), SpawnOptions::new(), 60, each);
    assert_eq!(seen, 30, "its budget");
    // Looked at after the fourth and the twelfth.
    let slice = Duration::from_micros(50);
    let short = Runtime::builder().budget(30).slice(slice);
    let seen = handled_in_a_turn(short, SpawnOptions::new(), 60, each);
    assert!(seen <= 16, "{seen} messages of 20 slices each in a turn");
}

type Round = Pin<Box<dyn Future<Output = ()> + Send>>;
type Rounds = Box<dyn FnMut() -> Round + Send>;

/// Each gives futures that are ready whenever they are asked, and of which none fails.
async fn always_ready(rt: &Handle) -> Vec<(&'static str, Rounds)> {
    let live = plain(rt).await;
    let name = SpawnOptions::new().name("taken");
    let _ = rt.with(name.clone()).start::<Plain>(Script::new()).await;
    let dead = plain(rt).await;
    rt.stop(&dead, ExitReason::Normal).await.expect("it ends");
    let call = dead.clone();
    let (stop, relations, down) = (dead.pid(), dead.pid(), dead.pid());
    let [sleeper, stops, asks, downs, starts, finds, tasks] = [(); 7].map(|()| rt.clone());
    let round = |name, round: Rounds| (name, round);
    vec![
        round(
            "call",
            Box::new(move || {
                let call = call.clone();
                Box::pin(async move {
                    let asks = |reply: whitebeam_actor::Reply<()>| {
                        now(move |_| {
                            reply.send(());
                            Ok(())
                        })
                    };
                    let answer = call.call(asks).await;
                    assert!(matches!(answer, Err(CallError::NoProc)));
                })
            }),
        ),
        round(
            "call by name",
            Box::new(move || {
                let nobody = finds.named::<()>("nobody");
                Box::pin(async move {
                    let answer = nobody.call(drop::<whitebeam_actor::Reply<()>>).await;
                    assert!(matches!(answer, Err(CallError::NoProc)));
                })
            }),
        ),
        round(
            "oneshot",
            Box::new(|| {
                let (reply, answered) = oneshot();
                reply.send(7);
                Box::pin(answered.map(|answer| assert_eq!(answer.ok(), Some(7))))
            }),
        ),
        round("sleep", Box::new(move || Box::pin(sleeper.sleep(Duration::ZERO)))),
        round(
            "cast_wait",
            Box::new(move || {
                let live = live.clone();
                Box::pin(async move {
                    let nothing = now(|_| Ok(()));
                    assert!(live.cast_wait(nothing).await.is_ok());
                })
            }),
        ),
        round(
            "stop",
            Box::new(move || {
                Box::pin(
                    stops.stop(stop, ExitReason::Normal).map(|stopped| assert!(stopped.is_err())),
                )
            }),
        ),
        round(
            "relations",
            Box::new(move || {
                Box::pin(asks.relations(relations).map(|none| assert!(none.is_none())))
            }),
        ),
        round("down", Box::new(move || Box::pin(downs.down(down).map(drop)))),
        round(
            "start",
            Box::new(move || {
                let start = starts.with(name.clone()).start::<Plain>(Script::new());
                Box::pin(
                    start.map(|started| {
                        assert!(matches!(started, Err(StartError::NameTaken { .. })))
                    }),
                )
            }),
        ),
        round(
            "task",
            Box::new(move || {
                // It is over, or is not: whichever, this goes on when others had their turn.
                Box::pin(tasks.spawn_task(async {}))
            }),
        ),
        round("consume_budget", Box::new(|| Box::pin(consume_budget()))),
        round("yield_now", Box::new(|| Box::pin(yield_now()))),
    ]
}

/// Loops over `round` until somebody else has had a turn.
async fn hog(mut round: Rounds, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Acquire) {
        round().await;
    }
}

/// Somebody else.
fn other(rt: &Handle, is_over: &Arc<AtomicBool>) {
    let is_over = is_over.clone();
    rt.spawn_fn(move |_: Mailbox<()>| async move {
        is_over.store(true, Ordering::Release);
        Ok(())
    });
}

/// Runs `hog` where `run` says, with all that is always ready, and somebody else beside it.
fn holds_nobody_up<F: Future<Output = ()>>(
    run: impl Fn(Handle, Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
) {
    // Where the strategy is fair: another may let who is always ready go first for ever.
    let sim = Sim::new().seeds(16).strategy(Strategy::random());
    Everywhere::new().simulated(sim).run(async |rt| {
        let rounds = always_ready(&rt).await;
        for (_, round) in rounds {
            let is_over = Arc::new(AtomicBool::new(false));
            let loops = Box::pin(hog(round, is_over.clone()));
            let (begin, began) = oneshot();
            let begins = async move {
                begin.send(());
                loops.await;
            };
            let running = run(rt.clone(), Box::pin(begins));
            let others = async {
                began.await.expect("it begins");
                other(&rt, &is_over);
            };
            join(running, others).await;
        }
    });
}

#[test]
fn a_handler_that_loops_over_what_is_ready_does_not_hold_its_worker() {
    holds_nobody_up(async |rt, loops| {
        let puppet = plain(&rt).await;
        puppet.cast(later(|_, _| loops.map(Ok).boxed())).expect("it lives");
        settled(&puppet).await;
        rt.stop(&puppet, ExitReason::Normal).await.expect("its end");
    });
}

#[test]
fn a_body_that_loops_over_what_is_ready_does_not_hold_its_worker() {
    holds_nobody_up(async |rt, loops| {
        let body = rt.spawn_fn(move |_: Mailbox<()>| async move {
            loops.await;
            Ok(())
        });
        rt.down(&body).await;
    });
}

#[test]
fn a_task_that_loops_over_what_is_ready_does_not_hold_its_worker() {
    holds_nobody_up(async |rt, loops| rt.spawn_task(loops).await);
}

/// Each of its futures has a waker of its own.
#[test]
fn a_combinator_that_loops_over_what_is_ready_does_not_hold_its_worker() {
    holds_nobody_up(async |rt, loops| {
        let body = rt.spawn_fn(move |_: Mailbox<()>| async move {
            let all: FuturesUnordered<_> = [loops, Box::pin(async {}) as _].into_iter().collect();
            all.collect::<Vec<()>>().await;
            Ok(())
        });
        rt.down(&body).await;
    });
}

/// Pending once, woken at once; by a waker of its own.
async fn yield_by_a_clone() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        let clone = cx.waker().clone();
        clone.wake();
        Poll::Pending
    })
    .await;
}

async fn yield_in_a_combinator() {
    let mut all: FuturesUnordered<_> = [yield_now()].into_iter().collect();
    all.next().await;
}

/// Two processes that do the same, and the order in which they came to it.
fn in_turns(body: impl Fn(char, Arc<Mutex<String>>) -> Round + Clone + Send + 'static) -> String {
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    let log = Arc::new(Mutex::new(String::new()));
    let logs = log.clone();
    let spawner = rt.handle();
    let both = rt.spawn_task(async move {
        ['b', 'a'].map(|name| {
            let round = body(name, logs.clone());
            spawner.spawn_fn(move |_: Mailbox<()>| async move {
                round.await;
                Ok(())
            })
        })
    });
    let both: [ActorRef<()>; 2] = rt.block_on(both);
    for one in &both {
        rt.block_on(rt.down(one));
    }
    drop(rt);
    log.lock().clone()
}

#[test]
fn who_wakes_itself_goes_behind_all_others_each_time() {
    let rounds: [fn() -> Round; 4] = [
        || Box::pin(yield_now()),
        || Box::pin(support::yield_now()),
        || Box::pin(yield_by_a_clone()),
        || Box::pin(yield_in_a_combinator()),
    ];
    for round in rounds {
        let log = in_turns(move |name, log| {
            Box::pin(async move {
                for _ in 0..5 {
                    log.lock().push(name);
                    round().await;
                }
            })
        });
        assert!(log == "ab".repeat(5) || log == "ba".repeat(5), "{log}");
    }
}

/// What it awaits comes out of the same budget as messages do, and it goes on in its next turn.
#[test]
fn a_turn_is_over_when_as_much_was_awaited_that_was_ready() {
    let rt = unlimited().budget(10).workers(1).build().expect("a runtime");
    let log = Arc::new(Mutex::new(Vec::new()));
    let logs = log.clone();
    let spawner = rt.handle();
    let both = rt.spawn_task(async move {
        ['b', 'a'].map(|name| {
            let log = logs.clone();
            spawner.spawn_fn(move |mut mailbox: Mailbox<()>| async move {
                for _ in 0..30 {
                    mailbox.runtime().sleep(Duration::ZERO).await;
                    log.lock().push(name);
                }
                _ = mailbox.try_recv();
                Ok(())
            })
        })
    });
    for one in rt.block_on(both) {
        rt.block_on(rt.down(&one));
    }
    let log = log.lock().clone();
    let turns: Vec<_> = log.chunk_by(|one, next| one == next).map(<[char]>::len).collect();
    assert_eq!(turns, [10; 6], "{log:?}");
}

/// Timers that are due each millisecond have a wake-up each, unless they may be late.
#[test]
fn dense_timers_are_gathered_for_as_long_as_their_slack() {
    let slack = Duration::from_millis(50);
    let rt = Runtime::builder().workers(1).timer_slack(slack).build().expect("a runtime");
    let parks = || rt.metrics()[0].parks;
    rt.block_on(async {
        let puppet = plain(&rt).await;
        let (told, count) = (Arc::new(AtomicU32::new(0)), 500);
        let start = rt.now();
        let seen = Arc::clone(&told);
        support::puppet::ask(&puppet, move |cx| {
            for n in 1..=count {
                let seen = Arc::clone(&seen);
                let message = now(move |_| {
                    seen.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                });
                cx.send_at(start + Duration::from_millis(n), message);
            }
        })
        .await;
        let before = parks();
        rt.sleep(Duration::from_millis(count) + 2 * slack).await;
        assert_eq!(u64::from(told.load(Ordering::Relaxed)), count);
        // Eight at any time, one each slack, and few for the setting.
        assert!(parks() - before < 60, "{} wake-ups", parks() - before);
    });
}

//! The priority lane: what is sent through an address that the receiver made is handled before what waits.

#![allow(clippy::disallowed_types, reason = "tests use std's atomics")]

use crate::support;

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join};
use support::{
    everywhere,
    puppet::{Do, Event, Events, Plain, Script, ask, down, later, note, now, plain, trap},
    scaled, threaded, yield_now,
};
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, ExitReason, Handle, Mailbox, PriorityRef, Reply,
    SendFailure, SpawnOptions, oneshot,
};

type Puppet = ActorRef<Do<false>>;

const HELD: u64 = u64::MAX - 1;

fn with_lane() -> SpawnOptions {
    SpawnOptions::new().priority_lane()
}

/// A puppet with a lane, and the address of that.
async fn opted_in(rt: &Handle) -> (Puppet, PriorityRef<Do<false>>) {
    let puppet = rt.with(with_lane()).start::<Plain>(Script::new()).await.expect("a puppet");
    let lane = ask(&puppet, |cx| cx.priority_ref()).await;
    (puppet, lane)
}

/// A request that is answered with this.
fn answer<T: Send + 'static>(reply: Reply<T>, value: T) -> Do<false> {
    now(move |_| {
        reply.send(value);
        Ok(())
    })
}

/// Has it wait in a handler until the reply is answered.
async fn hold(puppet: &Puppet, events: &Events) -> Reply<()> {
    let (go, gate) = oneshot::<()>();
    let told = events.clone();
    let job = later(move |_, _| {
        Box::pin(async move {
            told.send(Event::Note(HELD));
            let _ = gate.await;
            Ok(())
        })
    });
    puppet.cast(job).expect("it lives");
    assert_eq!(events.note().await, HELD);
    go
}

async fn notes(events: &Events, count: usize) -> Vec<u64> {
    let mut seen = Vec::with_capacity(count);
    for _ in 0..count {
        seen.push(events.note().await);
    }
    seen
}

#[test]
fn sig_022_priority_mail_comes_first() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let go = hold(&puppet, &events).await;
        puppet.cast(note(&events, 1)).expect("it lives");
        puppet.cast(note(&events, 2)).expect("it lives");
        lane.cast(note(&events, 3)).expect("it lives");
        go.send(());
        assert_eq!(notes(&events, 3).await, [3, 1, 2]);
    });
}

#[test]
fn sig_023_priority_mail_keeps_its_order() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let go = hold(&puppet, &events).await;
        puppet.cast(note(&events, 1)).expect("it lives");
        lane.cast(note(&events, 2)).expect("it lives");
        lane.clone().cast(note(&events, 3)).expect("it lives");
        go.send(());
        assert_eq!(notes(&events, 3).await, [2, 3, 1]);
    });
}

/// Adapted: the mark is that of the address, which any process can make of itself. Without a lane its messages keep
/// their place, and those of its monitors and links.
#[test]
fn sig_024_priority_is_opted_in_to() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, watched) = (plain(&rt).await, plain(&rt).await);
        let (told, pid) = (events.clone(), watched.pid());
        let lane = ask(&puppet, move |cx| {
            cx.monitor_priority(pid, down(&told, 7));
            cx.priority_ref()
        })
        .await;
        let go = hold(&puppet, &events).await;
        puppet.cast(note(&events, 1)).expect("it lives");
        lane.cast(note(&events, 2)).expect("it lives");
        puppet.cast(note(&events, 3)).expect("it lives");
        support::puppet::kill(&rt, watched.pid()).await;
        heard_of_all(&rt, &puppet).await;
        go.send(());
        assert_eq!(notes(&events, 3).await, [1, 2, 3]);
        assert_eq!(events.down().await.0, 7);
    });
}

/// Whom it monitors and is linked to has ended, and it knows.
async fn heard_of_all(rt: &Handle, puppet: &Puppet) {
    loop {
        let relations = rt.relations(puppet).await.expect("it lives");
        if relations.monitors.is_empty() && relations.links.is_empty() {
            return;
        }
        yield_now().await;
    }
}

#[test]
fn sig_025_down_and_exit_by_priority() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, _) = opted_in(&rt).await;
        let (watched, linked) = (plain(&rt).await, plain(&rt).await);
        let (told, pids) = (events.clone(), (watched.pid(), linked.pid()));
        ask(&puppet, move |cx| {
            trap(cx, &told);
            cx.monitor_priority(pids.0, down(&told, 1));
            cx.link_priority(pids.1);
        })
        .await;
        let go = hold(&puppet, &events).await;
        // A simulated step costs fifty times as much.
        let is_simulated = rt.metrics().is_empty();
        let backlog = if is_simulated { 2_000 } else { scaled(100_000, 10_000) as u64 };
        for number in 0..backlog {
            puppet.cast(note(&events, number)).expect("it lives");
        }
        support::puppet::kill(&rt, watched.pid()).await;
        support::puppet::kill(&rt, linked.pid()).await;
        heard_of_all(&rt, &puppet).await;
        go.send(());
        let first = [events.next().await, events.next().await];
        let is_down =
            |event: &Event| matches!(event, Event::Down(1, down) if down.pid == watched.pid());
        let is_exit =
            |event: &Event| matches!(event, Event::Exit(exit) if exit.from == Some(linked.pid()));
        assert!(first.iter().any(is_down) && first.iter().any(is_exit), "{first:?}");
        assert_eq!(notes(&events, backlog as usize).await, (0..backlog).collect::<Vec<_>>());
    });
}

#[test]
fn a_link_that_is_there_becomes_one_of_priority_and_another_end_does_not() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, _) = opted_in(&rt).await;
        let (first, second) = (plain(&rt).await, plain(&rt).await);
        let (told, pids) = (events.clone(), (first.pid(), second.pid()));
        ask(&puppet, move |cx| {
            trap(cx, &told);
            cx.link(pids.0);
            cx.link(pids.1);
            cx.link_priority(pids.1);
        })
        .await;
        let go = hold(&puppet, &events).await;
        puppet.cast(note(&events, 1)).expect("it lives");
        support::puppet::kill(&rt, first.pid()).await;
        support::puppet::kill(&rt, second.pid()).await;
        heard_of_all(&rt, &puppet).await;
        go.send(());
        assert_eq!(events.exit().await.from, Some(second.pid()));
        assert_eq!(events.note().await, 1);
        assert_eq!(events.exit().await.from, Some(first.pid()));
    });
}

/// The drain comes before the next message, however many were taken out of the inbox already.
#[test]
fn it_overtakes_what_the_receiver_has_drained() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let go = hold(&puppet, &events).await;
        let told = events.clone();
        let sends = now(move |_| {
            lane.cast(note(&told, 100)).expect("it lives");
            lane.cast(note(&told, 101)).expect("it lives");
            told.send(Event::Note(0));
            Ok(())
        });
        puppet.cast(sends).expect("it lives");
        for number in 1..50 {
            puppet.cast(note(&events, number)).expect("it lives");
        }
        go.send(());
        let expected: Vec<u64> = [0, 100, 101].into_iter().chain(1..50).collect();
        assert_eq!(notes(&events, 52).await, expected);
    });
}

#[test]
fn calls_go_by_priority_too() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let go = hold(&puppet, &events).await;
        puppet.cast(note(&events, 1)).expect("it lives");
        let told = events.clone();
        let call = lane.call(|reply| {
            now(move |_| {
                told.send(Event::Note(2));
                reply.send(7_u32);
                Ok(())
            })
        });
        let mut call = call.into_future();
        assert!((&mut call).now_or_never().is_none(), "it is held");
        go.send(());
        assert_eq!(call.await.expect("an answer"), 7);
        assert_eq!(notes(&events, 2).await, [2, 1]);

        support::puppet::kill(&rt, puppet.pid()).await;
        let refused = lane.call(|reply| answer(reply, ())).await;
        assert!(matches!(refused, Err(CallError::NoProc)));
        assert!(!lane.is_alive());
    });
}

#[test]
fn a_plain_thread_calls_by_priority() {
    threaded(|rt| async move {
        let (_puppet, lane) = opted_in(&rt).await;
        // The body of a test runs on a plain thread.
        let three = lane.call(|reply| answer(reply, 3_u8)).blocking();
        assert_eq!(three.expect("an answer"), 3);
        support::puppet::kill(&rt, lane.pid()).await;
        let refused = lane.call(|reply| answer(reply, ())).blocking();
        assert!(matches!(refused, Err(CallError::NoProc)));
    });
}

#[test]
fn continue_with_comes_before_it() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let go = hold(&puppet, &events).await;
        let told = events.clone();
        let goes_on = now(move |cx| {
            cx.continue_with(note(&told, 1));
            lane.cast(note(&told, 2)).expect("it lives");
            Ok(())
        });
        puppet.cast(goes_on).expect("it lives");
        puppet.cast(note(&events, 3)).expect("it lives");
        go.send(());
        assert_eq!(notes(&events, 3).await, [1, 2, 3]);
    });
}

#[test]
fn it_ends_an_idle_wait() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let told = events.clone();
        ask(&puppet, move |cx| cx.idle_timeout(Duration::from_secs(1), note(&told, 1))).await;
        lane.cast(note(&events, 2)).expect("it lives");
        assert_eq!(events.note().await, 2);
        if rt.metrics().is_empty() {
            rt.sleep(Duration::from_secs(5)).await;
        }
        assert!(events.take().is_empty());
    });
}

#[test]
fn a_monitor_is_taken_back_out_of_the_lane() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let watched = plain(&rt).await;
        let (told, pid) = (events.clone(), watched.pid());
        let monitor = ask(&puppet, move |cx| cx.monitor_priority(pid, down(&told, 1))).await;
        let (go, gate) = oneshot::<()>();
        let told = events.clone();
        let job = later(move |_, cx: &mut Context<Plain>| {
            Box::pin(async move {
                told.send(Event::Note(HELD));
                let _ = gate.await;
                assert!(!cx.demonitor_flush(monitor), "it has fired");
                Ok(())
            })
        });
        puppet.cast(job).expect("it lives");
        assert_eq!(events.note().await, HELD);
        lane.cast(note(&events, 1)).expect("it lives");
        support::puppet::kill(&rt, watched.pid()).await;
        heard_of_all(&rt, &puppet).await;
        lane.cast(note(&events, 2)).expect("it lives");
        go.send(());
        assert_eq!(notes(&events, 2).await, [1, 2]);
        assert!(events.take().is_empty());
    });
}

/// Nothing is lost of what several send to both, and each keeps its order.
#[test]
fn each_sender_s_order_holds_in_each_lane() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let each = if rt.metrics().is_empty() { 200 } else { scaled(5_000, 500) as u64 };
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (puppet, lane, events) = (puppet.clone(), lane.clone(), events.clone());
                rt.spawn_task(async move {
                    for number in 0..each {
                        let number = sender << 40 | number;
                        puppet.cast(note(&events, number)).expect("it lives");
                        lane.cast(note(&events, 1 << 50 | number)).expect("it lives");
                        if number % 64 == 0 {
                            yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await;
        }
        let mut next = std::collections::HashMap::new();
        for _ in 0..each * 8 {
            let note = events.note().await;
            let next = next.entry(note >> 40).or_insert(0);
            assert_eq!(note & 0xff_ffff_ffff, *next, "of {:x}", note >> 40);
            *next += 1;
        }
        let info = rt.info(&puppet).expect("it lives");
        assert_eq!(info.mailbox_len, 0);
    });
}

#[derive(Debug)]
struct Store;

enum Msg {
    Sub(Sub),
    Other(u32),
}

#[derive(Debug, PartialEq)]
struct Sub(u32);

impl From<Sub> for Msg {
    fn from(sub: Sub) -> Self {
        Msg::Sub(sub)
    }
}

impl Actor for Store {
    type Args = Reply<PriorityRef<Msg>>;
    type Msg = Msg;

    async fn init(reply: Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        reply.send(cx.priority_ref());
        Ok(Store)
    }

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Sub(Sub(number)) => Err(ExitReason::custom(number)),
            Msg::Other(_) => Ok(()),
        }
    }
}

#[test]
fn a_refused_message_comes_back_and_a_part_of_them_can_be_sent() {
    everywhere(|rt| async move {
        let (reply, lane) = oneshot();
        let store = rt.with(with_lane()).start::<Store>(reply).await.expect("a store");
        let lane = lane.await.expect("the lane");
        assert_eq!(lane.ordinary(), store);
        let end = rt.down(&lane);
        let part = lane.narrow::<Sub>();
        part.cast(Sub(5)).expect("it lives");
        assert_eq!(end.await.reason.downcast_ref::<u32>(), Some(&5));

        let refused = part.cast(Sub(6)).expect_err("it has ended");
        assert_eq!((refused.why(), refused.into_message()), (SendFailure::NoProc, Sub(6)));
        let refused = lane.cast(Msg::Other(7)).expect_err("it has ended");
        assert!(matches!(refused.into_message(), Msg::Other(7)));
    });
}

/// Messages in the lane are unread ones as others are, and requests there are answered.
#[test]
fn what_is_in_the_lane_at_the_end_is_disposed_of() {
    everywhere(|rt| async move {
        let events = Events::new();
        let (puppet, lane) = opted_in(&rt).await;
        let _go = hold(&puppet, &events).await;
        for number in 0..10 {
            lane.cast(note(&events, number)).expect("it lives");
            puppet.cast(note(&events, number)).expect("it lives");
        }
        let call = lane.call(|reply| answer(reply, ()));
        let call = async { call.await };
        let kill = async {
            while rt.info(&puppet).is_some_and(|info| info.mailbox_len < 21) {
                yield_now().await;
            }
            support::puppet::kill(&rt, puppet.pid()).await;
        };
        let (answer, ()) = join(call, kill).await;
        assert!(matches!(answer, Err(CallError::Exit(ExitReason::Killed))), "{answer:?}");
        while rt.unread_counts().dropped < 20 {
            yield_now().await;
        }
        let counts = rt.unread_counts();
        assert_eq!((counts.dropped, counts.answered), (20, 1));
        assert!(events.take().is_empty());
    });
}

#[derive(Debug, PartialEq)]
enum Mail {
    Plain(u32),
    Urgent(u32),
    Go,
}

#[test]
fn a_body_receives_by_priority() {
    everywhere(|rt| async move {
        let (reply, lane) = oneshot();
        let (told, seen) = oneshot();
        let body = rt.with(with_lane()).spawn_fn(|mut mailbox: Mailbox<Mail>| async move {
            reply.send(mailbox.priority_ref());
            mailbox.recv_match(|mail| if mail == Mail::Go { Ok(()) } else { Err(mail) }).await;
            let mut seen = Vec::new();
            // By choice: the lane is looked at first; what is refused there stays there.
            let chosen = mailbox.recv_match(|mail| match mail {
                Mail::Plain(2) | Mail::Urgent(12) => Ok(mail),
                other => Err(other),
            });
            seen.push(chosen.await);
            let chosen = mailbox.recv_match(|mail| match mail {
                Mail::Plain(_) => Ok(mail),
                other => Err(other),
            });
            seen.push(chosen.await);
            seen.extend(mailbox.try_recv());
            for _ in 0..3 {
                seen.push(mailbox.recv().await);
            }
            assert_eq!(mailbox.try_recv(), None);
            told.send(seen);
            Ok(())
        });
        let lane = lane.await.expect("the lane");
        for number in 1..=3 {
            body.cast(Mail::Plain(number)).expect("it lives");
            lane.cast(Mail::Urgent(10 + number)).expect("it lives");
        }
        body.cast(Mail::Go).expect("it lives");
        let expected = [
            Mail::Urgent(12),
            Mail::Plain(1),
            Mail::Urgent(11),
            Mail::Urgent(13),
            Mail::Plain(2),
            Mail::Plain(3),
        ];
        assert_eq!(seen.await.expect("all of them"), expected);
    });
}

/// A receive that has refused what is there is polled again for the lane as well.
#[test]
fn a_waiting_body_is_woken_by_the_lane() {
    everywhere(|rt| async move {
        let (reply, lane) = oneshot();
        let (told, left) = oneshot();
        let shown = Arc::new(AtomicUsize::new(0));
        let seen = shown.clone();
        let body = rt.with(with_lane()).spawn_fn(|mut mailbox: Mailbox<Mail>| async move {
            reply.send(mailbox.priority_ref());
            let urgent = mailbox.recv_match(|mail| match mail {
                Mail::Urgent(5) => Ok(()),
                other => {
                    seen.fetch_add(1, Relaxed);
                    Err(other)
                }
            });
            urgent.await;
            told.send((mailbox.recv().await, mailbox.recv().await));
            Ok(())
        });
        let lane = lane.await.expect("the lane");
        body.cast(Mail::Plain(1)).expect("it lives");
        lane.cast(Mail::Urgent(4)).expect("it lives");
        while shown.load(Relaxed) < 2 {
            yield_now().await;
        }
        lane.cast(Mail::Urgent(5)).expect("it lives");
        assert_eq!(left.await.expect("both"), (Mail::Urgent(4), Mail::Plain(1)));
        assert_eq!(shown.load(Relaxed), 2, "each is shown once");
    });
}

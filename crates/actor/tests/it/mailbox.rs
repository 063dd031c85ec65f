//! The mailbox: order per sender, and a length and high-water mark that a stuck actor cannot hide.

use crate::support;

use std::{
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use support::{
    everywhere,
    puppet::{
        Do, Event, Events, Plain, Script, ask, assert_reason, note, now, plain, settled, stuck,
    },
    scaled, threaded,
};
use whitebeam_actor::{Actor, ActorRef, Context, ExitReason, Handle, Info, Reply, Runtime};

fn info(rt: &Handle, puppet: &ActorRef<Do<false>>) -> Info {
    rt.info(puppet).expect("it lives")
}

/// Checks the order of what each of some senders sends.
struct Order {
    next: Vec<u64>,
}

enum ToOrder {
    Numbered(usize, u64),
    Asked(usize, u64, Reply<u64>),
    Done(Reply<Vec<u64>>),
}

impl Actor for Order {
    type Args = usize;
    type Msg = ToOrder;

    async fn init(senders: usize, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Order { next: vec![0; senders] })
    }

    async fn handle(&mut self, msg: ToOrder, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            ToOrder::Numbered(sender, n) => self.check(sender, n),
            ToOrder::Asked(sender, n, reply) => {
                self.check(sender, n);
                reply.send(n);
            }
            ToOrder::Done(reply) => reply.send(self.next.clone()),
        }
        Ok(())
    }
}

impl Order {
    fn check(&mut self, sender: usize, n: u64) {
        assert_eq!(self.next[sender], n, "of sender {sender}");
        self.next[sender] += 1;
    }
}

/// Eight senders on threads of their own: no loss, no double, each one's order kept.
#[test]
fn sig_026_many_senders_keep_their_order() {
    let each = scaled(500_000, 5_000) as u64;
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads");
        let order = rt.spawn::<Order>(8);
        let begin = Arc::new(Barrier::new(8));
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let (order, begin) = (order.clone(), begin.clone());
                thread::spawn(move || {
                    begin.wait();
                    for n in 0..each {
                        order.cast(ToOrder::Numbered(sender, n)).expect("it lives");
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
        let got =
            rt.block_on(async { order.call(ToOrder::Done).no_timeout().await.expect("it lives") });
        assert_eq!(got, vec![each; 8]);
        let info = rt.info(&order).expect("it lives");
        assert_eq!(info.mailbox_len, 0);
        assert_eq!(u64::from(info.handled), 8 * each + 1);
    }
}

/// Sends its numbers in bursts, to itself again and again, so that others run in between.
struct Sender;
impl Actor for Sender {
    type Args = ();
    type Msg = (ActorRef<ToOrder>, usize, u64, u64);
    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Sender)
    }
    async fn handle(
        &mut self,
        (to, me, from, until): Self::Msg,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let burst = (from + 7).min(until);
        for n in from..burst {
            // A call among the casts keeps its place as well.
            if n % 16 == 5 {
                assert_eq!(to.call(|reply| ToOrder::Asked(me, n, reply)).await?, n);
            } else {
                to.cast(ToOrder::Numbered(me, n))?;
            }
        }
        if burst < until {
            cx.me().cast((to, me, burst, until))?;
        }
        Ok(())
    }
}

#[test]
fn sig_004_actors_that_send_keep_their_order() {
    let each = scaled(2_000, 200) as u64;
    everywhere(|rt| async move {
        let order = rt.start::<Order>(16).await.expect("start");
        for me in 0..16 {
            rt.spawn::<Sender>(()).cast((order.clone(), me, 0, each)).expect("cast");
        }
        loop {
            let got = order.call(ToOrder::Done).await.expect("it lives");
            if got == vec![each; 16] {
                break;
            }
            rt.sleep(Duration::from_micros(100)).await;
        }
    });
}

#[test]
fn proc_014_the_length_follows_each_message() {
    threaded(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (message, release) = stuck(&events);
        puppet.cast(message).expect("cast");
        assert_eq!(events.note().await, 0);
        for n in 1..=6 {
            puppet.cast(note(&events, n)).expect("cast");
            let info = info(&rt, &puppet);
            assert_eq!((info.mailbox_len, info.mailbox_high_water), (n as usize, n as usize));
        }
        release.send(()).expect("the handler waits");
        for n in 1..=6 {
            assert_eq!(events.note().await, n);
        }
        settled(&puppet).await;
        assert_eq!((info(&rt, &puppet).mailbox_len, info(&rt, &puppet).mailbox_high_water), (0, 6));
    });
}

#[test]
fn proc_015_a_question_does_not_overtake_a_message() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        // Suspended, it handles nothing.
        puppet.cast(support::puppet::hang(&events, ())).expect("cast");
        events.hanging().await;
        for n in 1..100 {
            puppet.cast(note(&events, 1)).expect("cast");
            assert_eq!(info(&rt, &puppet).mailbox_len, n);
        }
        rt.exit(&puppet, ExitReason::Kill);
    });
}

#[test]
fn proc_016_a_process_sees_its_own_length() {
    everywhere(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let told = events.clone();
        puppet
            .cast(now(move |cx| {
                for n in 0..1000 {
                    cx.me().cast(note(&told, n))?;
                }
                let len = cx.me().info().expect("it runs").mailbox_len;
                told.send(Event::Note(len as u64));
                Ok(())
            }))
            .expect("cast");
        assert_eq!(events.note().await, 1000);
        for n in 0..1000 {
            assert_eq!(events.note().await, n);
        }
        settled(&puppet).await;
        let info = info(&rt, &puppet);
        assert_eq!((info.mailbox_len, info.mailbox_high_water), (0, 1000));
    });
}

/// Far beyond the 65,536 at which the count in the inbox's word wraps, and at each step around it.
#[test]
fn the_length_of_a_stuck_actor_is_exact_beyond_the_wrap() {
    let full = scaled(1_000_000, 140_000);
    threaded(|rt| async move {
        let (puppet, events) = (plain(&rt).await, Events::new());
        let (message, release) = stuck(&events);
        puppet.cast(message).expect("cast");
        assert_eq!(events.note().await, 0);
        for n in 1..=full {
            puppet.cast(now(|_| Ok(()))).expect("cast");
            let near_a_wrap = (n + 2) % 65_536 < 5;
            if near_a_wrap || n % 9_973 == 0 || n == full {
                let info = info(&rt, &puppet);
                assert_eq!((info.mailbox_len, info.mailbox_high_water), (n, n));
                assert!(rt.processes().iter().any(|other| other.mailbox_len == n));
            }
        }
        release.send(()).expect("the handler waits");
        settled(&puppet).await;
        let info = info(&rt, &puppet);
        // The mark stays; the last question may have come on top.
        assert_eq!(info.mailbox_len, 0);
        assert!(
            (full..=full + 1).contains(&info.mailbox_high_water),
            "{}",
            info.mailbox_high_water
        );
        // The message that was stuck, those behind it, and the last question.
        assert_eq!(info.handled as usize, full + 2);
    });
}

/// Pushed by several threads at once, while others read: never more than was sent, and exact in the end.
#[test]
fn the_length_of_a_stuck_actor_while_many_push() {
    let each = scaled(200_000, 20_000);
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads");
        let (puppet, events) = (rt.spawn::<Plain>(Script::new()), Events::new());
        let (message, release) = stuck(&events);
        puppet.cast(message).expect("cast");
        rt.block_on(async { assert_eq!(events.note().await, 0) });
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let puppet = puppet.clone();
                thread::spawn(move || {
                    for _ in 0..each {
                        puppet.cast(now(|_| Ok(()))).expect("it lives");
                    }
                })
            })
            .collect();
        let mut last = 0;
        while threads.iter().any(|thread| !thread.is_finished()) {
            let len = puppet.info().expect("it lives").mailbox_len;
            assert!(len <= 3 * each, "{len}");
            // A push that wraps the packed count is missed for the moment until it has carried.
            assert!(len + 65_536 >= last, "{last}, then {len}");
            last = last.max(len);
        }
        threads.into_iter().for_each(|thread| thread.join().expect("a sender"));
        let info = puppet.info().expect("it lives");
        assert_eq!((info.mailbox_len, info.mailbox_high_water), (3 * each, 3 * each));
        // Killed, it counts the same: the disposal is seen in the end of the process only.
        rt.exit(&puppet, ExitReason::Kill);
        let end = rt.down(&puppet);
        release.send(()).expect("the handler waits");
        let reason = rt.block_on(end).reason;
        assert_reason(&reason, &ExitReason::Killed);
    }
}

/// An actor that was never scheduled: all workers are held by others.
#[test]
fn the_length_of_an_actor_that_does_not_get_a_worker() {
    let full = scaled(100_000, 70_000);
    let rt = Runtime::builder().workers(2).build().expect("threads");
    let events = Events::new();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let (message, release) = stuck(&events);
            rt.spawn::<Plain>(Script::new()).cast(message).expect("cast");
            release
        })
        .collect();
    rt.block_on(async {
        assert_eq!(events.note().await, 0);
        assert_eq!(events.note().await, 0);
    });
    let puppet = rt.spawn::<Plain>(Script::new());
    for _ in 0..full {
        puppet.cast(now(|_| Ok(()))).expect("cast");
    }
    assert_eq!(puppet.info().expect("it is there").mailbox_len, full);
    assert!(puppet.is_alive());
    drop(held);
    rt.block_on(settled(&puppet));
    let info = puppet.info().expect("it lives");
    assert_eq!(info.mailbox_len, 0);
    assert!((full..=full + 1).contains(&info.mailbox_high_water), "{}", info.mailbox_high_water);
}

/// Only messages count: signals, timers' messages and the runtime's own do not.
#[test]
fn what_the_runtime_makes_does_not_count() {
    everywhere(|rt| async move {
        let (puppet, other, events) = (plain(&rt).await, plain(&rt).await, Events::new());
        let (pid, told) = (other.pid(), events.clone());
        ask(&puppet, move |cx| {
            support::puppet::trap(cx, &told);
            cx.monitor(pid, support::puppet::down(&told, 1));
            cx.link(pid);
            cx.send_after(Duration::ZERO, note(&told, 1));
        })
        .await;
        assert_eq!(events.note().await, 1);
        puppet.cast(support::puppet::hang(&events, ())).expect("cast");
        events.hanging().await;
        let end = rt.down(&other);
        rt.exit(&other, ExitReason::Kill);
        end.await;
        assert_eq!(info(&rt, &puppet).mailbox_len, 0);
        puppet.cast(note(&events, 2)).expect("cast");
        assert_eq!(info(&rt, &puppet).mailbox_len, 1);
        rt.exit(&puppet, ExitReason::Kill);
    });
}

/// Waiting for a reply does not look through the backlog.
#[test]
fn sig_021_a_call_does_not_pay_for_the_backlog() {
    let (calls, backlog) = (scaled(10_000, 200), scaled(500_000, 5_000));
    threaded(|rt| async move {
        let echo = plain(&rt).await;
        let mut times = Vec::new();
        for backlog in [0, backlog] {
            let (puppet, events) = (plain(&rt).await, Events::new());
            let (echo, told, clock) = (echo.clone(), events.clone(), rt.clone());
            puppet
                .cast(support::puppet::later(move |_, cx| {
                    let me = cx.me();
                    Box::pin(async move {
                        for _ in 0..backlog {
                            me.cast(now(|_| Ok(())))?;
                        }
                        // The backlog is taken over once.
                        settled(&echo).await;
                        let begun = support::now(&clock);
                        for _ in 0..calls {
                            settled(&echo).await;
                        }
                        told.send(Event::Note(support::now(&clock) - begun));
                        Ok(())
                    })
                }))
                .expect("cast");
            times.push(events.note().await);
            rt.exit(&puppet, ExitReason::Kill);
        }
        // Ten times, and what a busy machine may add; a look through the backlog for each call would take
        // many seconds.
        assert!(times[1] < times[0] * 10 + 1_000_000_000, "{times:?} ns");
    });
}

/// A process that parks and is woken by each message: none is missed.
#[test]
fn proc_033_no_wake_up_is_lost() {
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads");
        let order = rt.spawn::<Order>(2);
        let threads: Vec<_> = (0..2)
            .map(|me| {
                let order = order.clone();
                thread::spawn(move || {
                    for n in 0..scaled(20_000, 500) as u64 {
                        let answer = order.call(|reply| ToOrder::Asked(me, n, reply)).blocking();
                        assert_eq!(answer.expect("answered within 5 s"), n);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a caller"));
    }
}

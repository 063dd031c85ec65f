//! Mailboxes that drop their oldest messages: order with signals, receives by choice, ends.

use crate::support;

use std::{future::IntoFuture as _, sync::Arc, time::Duration};

use futures_util::future::poll_immediate;
use support::{everywhere, simulated};
use whitebeam_actor::{
    Actor, ActorRef, Alias, Answered, CallError, Context, Exit, ExitReason, Handle, Mailbox,
    Overflow, Reply, SpawnOptions, oneshot,
};

fn oldest(limit: usize) -> SpawnOptions {
    SpawnOptions::new().bounded(limit, Overflow::DropOldest)
}

/// Writes down numbers, and what becomes of exit signals that carry one.
struct Log(Vec<u32>);

enum Msg {
    Hold(Reply<()>, Answered<()>),
    Number(u32),
    Exit(Exit),
    Alias(Reply<Alias<Msg>>),
    Get(Reply<Vec<u32>>),
}

impl Actor for Log {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.trap_exit(Msg::Exit);
        Ok(Log(Vec::new()))
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Hold(entered, until) => {
                entered.send(());
                let _ = until.await;
            }
            Msg::Number(n) => self.0.push(n),
            Msg::Exit(exit) => self.0.extend(exit.reason.downcast_ref::<u32>()),
            Msg::Alias(reply) => reply.send(cx.alias()),
            Msg::Get(reply) => reply.send(self.0.clone()),
        }
        Ok(())
    }
}

/// One sender: casts, exit signals, messages through an alias and signals that become none, as the letters say, each with
/// its number.
async fn send(rt: &Handle, log: &ActorRef<Msg>, alias: Alias<Msg>, letters: &str) {
    let (letters, log) = (letters.to_owned(), log.clone());
    let (done, is_done) = oneshot();
    rt.spawn_fn({
        move |mut mailbox: Mailbox<()>| async move {
            for (number, letter) in (0_u32..).zip(letters.chars()) {
                match letter {
                    'c' => log.cast(Msg::Number(number))?,
                    'x' => mailbox.exit(&log, ExitReason::custom(number)),
                    'a' => alias.send(Msg::Number(number)),
                    'm' => drop(mailbox.runtime().down(&log)),
                    // Others run: the receiver drains what there is, and waits on.
                    _ => mailbox.runtime().sleep(Duration::from_micros(100)).await,
                }
            }
            done.send(());
            Ok(())
        }
    });
    is_done.await.expect("no error");
}

/// What is handled of that, in order, if the mailbox holds so many: all but the casts that were displaced.
fn expected(letters: &str, limit: usize) -> (Vec<u32>, u64) {
    let casts: Vec<u32> = at(letters, 'c');
    let dropped = casts.len().saturating_sub(limit);
    let kept = (0_u32..)
        .zip(letters.chars())
        .filter(|(n, letter)| "cxa".contains(*letter) && !casts[..dropped].contains(n))
        .map(|(n, _)| n)
        .collect();
    (kept, dropped as u64)
}

/// So many letters, most of them casts, by chance; a cast at the end.
fn by_chance(mut seed: u64, of: usize) -> String {
    let mut letters: String = (1..of)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b"ccccccmmmmxa "[(seed >> 33) as usize % 13])
        })
        .collect();
    letters.push('c');
    letters
}

#[test]
fn a_senders_messages_keep_their_order_with_its_signals() {
    const TRIES: [(&str, usize); 7] = [
        ("cxcxc", 3),
        ("cxcaxc", 2),
        ("c x c a x c", 2),
        ("ccc x ccc", 4),
        ("xccxcc a cc", 1),
        ("c c c x c x a c c", 3),
        ("x c x c a c x c a c c x", 2),
    ];
    everywhere(|rt| async move {
        for (letters, limit) in TRIES {
            assert_order(&rt, letters, limit).await;
        }
        for seed in 0..4 {
            assert_order(&rt, &by_chance(seed, 500), 1 + seed as usize).await;
        }
    });
}

/// One sender, and a receiver whose handler is suspended meanwhile.
async fn assert_order(rt: &Handle, letters: &str, limit: usize) {
    let log = rt.with(oldest(limit)).start::<Log>(()).await.expect("starts");
    let alias = log.call(Msg::Alias).await.expect("answered");
    let (entered, is_in) = oneshot();
    let (release, until) = oneshot();
    log.cast(Msg::Hold(entered, until)).expect("never refused");
    is_in.await.expect("it is held");
    send(rt, &log, alias, letters).await;
    release.send(());
    let (kept, dropped) = expected(letters, limit);
    let seen = log.call(Msg::Get).wait_for_room().await.expect("answered");
    assert_eq!(seen, kept, "{letters} in a mailbox of {limit}");
    let info = log.info().expect("it lives");
    assert_eq!((info.mailbox_len, info.dropped), (0, dropped));
}

#[test]
fn a_body_that_waits_for_the_last_one_finds_the_others_in_their_order() {
    everywhere(|rt| async move {
        for seed in 0..4 {
            let letters = by_chance(100 + seed, 500);
            let limit = 1 + seed as usize;
            let last = letters.len() as u32 - 1;
            let (reply, got) = oneshot();
            let body =
                rt.with(oldest(limit)).spawn_fn(move |mut mailbox: Mailbox<Msg>| async move {
                    mailbox.trap_exit(Msg::Exit);
                    let Msg::Alias(ask) = mailbox.recv().await else { panic!("asked first") };
                    ask.send(mailbox.alias());
                    let number = |msg: &Msg| match msg {
                        Msg::Number(n) => Some(*n),
                        Msg::Exit(exit) => exit.reason.downcast_ref::<u32>().copied(),
                        _ => None,
                    };
                    let is_last = |msg| if number(&msg) == Some(last) { Ok(()) } else { Err(msg) };
                    mailbox.recv_match(is_last).await;
                    let mut seen = Vec::new();
                    while let Some(msg) = mailbox.try_recv() {
                        seen.extend(number(&msg));
                    }
                    reply.send(seen);
                    Ok(())
                });
            let alias = body.call(Msg::Alias).await.expect("answered");
            send(&rt, &body, alias, &letters).await;
            let (mut kept, _) = expected(&letters, limit);
            assert_eq!(kept.pop(), Some(last));
            assert_eq!(got.await.expect("it has come"), kept, "{letters} in a mailbox of {limit}");
        }
    });
}

fn at(letters: &str, letter: char) -> Vec<u32> {
    (0..).zip(letters.chars()).filter(|(_, it)| *it == letter).map(|(n, _)| n).collect()
}

#[test]
fn what_is_left_at_the_end_is_disposed_of() {
    everywhere(|rt| async move {
        let alive = Arc::new(());
        struct Held;
        impl Actor for Held {
            type Args = ();
            type Msg = Option<Result<Arc<()>, Reply<()>>>;
            async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
                Ok(Held)
            }
            async fn handle(
                &mut self,
                msg: Self::Msg,
                _: &mut Context<Self>,
            ) -> Result<(), ExitReason> {
                drop(msg);
                std::future::pending().await
            }
        }
        let held = rt.with(oldest(4)).start::<Held>(()).await.expect("starts");
        held.cast(None).expect("never refused");
        while held.info().is_some_and(|info| info.mailbox_len > 0) {
            rt.sleep(Duration::from_millis(1)).await;
        }
        let mut call = held.call(|reply| Some(Err(reply))).into_future();
        assert!(poll_immediate(&mut call).await.is_none());
        for _ in 0..3 {
            held.cast(Some(Ok(alive.clone()))).expect("never refused");
        }
        let mut waits = held.cast_wait(Some(Ok(alive.clone())));
        assert!(poll_immediate(&mut waits).await.is_none());
        rt.exit(&held, ExitReason::Kill);
        let answer = call.await;
        assert!(matches!(answer, Err(CallError::Exit(ExitReason::Killed))), "{answer:?}");
        drop(waits.await.unwrap_err());
        while Arc::strong_count(&alive) > 1 {
            rt.sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_body_receives_by_choice() {
    everywhere(|rt| async move {
        let (ready, is_ready) = oneshot();
        let (go, is_told) = oneshot::<()>();
        let (reply, got) = oneshot();
        let body = rt.with(oldest(3)).spawn_fn(|mut mailbox: Mailbox<u32>| async move {
            // Refuses 1 and 2; they are the oldest, and go first.
            assert_eq!(mailbox.recv_match(|n| if n == 3 { Ok(n) } else { Err(n) }).await, 3);
            ready.send(());
            let _ = is_told.await;
            // 1 was displaced, and so was 2.
            let picked = mailbox.recv_match(|n| if n % 2 == 1 { Ok(n) } else { Err(n) }).await;
            let (first, second) = (mailbox.recv().await, mailbox.recv().await);
            let none = mailbox.try_recv();
            let late = mailbox.recv_timeout(Duration::from_millis(1)).await;
            reply.send((picked, first, second, none, late));
            Ok(())
        });
        for n in [1, 2, 3] {
            body.cast(n).expect("never refused");
        }
        is_ready.await.expect("it has come");
        assert_eq!(body.info().expect("it lives").mailbox_len, 2);
        for n in [4, 5, 6] {
            body.cast(n).expect("never refused");
        }
        assert_eq!(body.info().expect("it lives").mailbox_len, 3);
        assert_eq!(body.info().expect("it lives").dropped, 2);
        go.send(());
        assert_eq!(got.await.expect("it has come"), (5, 4, 6, None, None));
    });
}

#[test]
fn one_that_waits_for_a_certain_message_gets_it_through_any_storm() {
    everywhere(|rt| async move {
        for limit in [1, 2, 7] {
            let body =
                rt.with(oldest(limit)).spawn_fn(move |mut mailbox: Mailbox<u32>| async move {
                    let wanted =
                        mailbox.recv_match(|n| if n == 500 { Ok(n) } else { Err(n) }).await;
                    assert_eq!(wanted, 500);
                    // In their order, the newest.
                    let mut last = 0;
                    while let Some(n) = mailbox.recv_timeout(Duration::from_millis(1)).await {
                        assert!(n > last, "{n} behind {last}");
                        last = n;
                    }
                    assert!(last == 499 || limit == 1, "{last}");
                    Ok(())
                });
            let end = rt.down(&body);
            for n in 1..=500 {
                body.cast(n).expect("it waits");
                if n % 7 == 0 {
                    support::yield_now().await;
                }
            }
            assert!(end.await.reason.is_normal());
        }
    });
}

#[test]
fn a_message_that_is_looked_at_may_be_displaced() {
    simulated(|rt| async move {
        let (reply, seen) = oneshot();
        let alive = Arc::new(());
        let body = rt.with(oldest(2)).spawn_fn(|mut mailbox: Mailbox<(u32, Arc<()>)>| async move {
            let me = mailbox.me();
            let mut looked = Vec::new();
            let picked = mailbox
                .recv_match(|(n, alive)| {
                    looked.push(n);
                    if n == 1 {
                        // Both places are taken by others: this one's as well, while it is looked at.
                        me.cast((3, alive.clone())).expect("never refused");
                        me.cast((4, alive.clone())).expect("never refused");
                    }
                    if n == 4 { Ok(n) } else { Err((n, alive)) }
                })
                .await;
            let rest = mailbox.try_recv().map(|(n, _)| n);
            reply.send((picked, rest, looked, mailbox.try_recv().is_none()));
            let dropped = mailbox.me().info().expect("it lives").dropped;
            assert_eq!(dropped, 2);
            Ok(())
        });
        body.cast((1, alive.clone())).expect("never refused");
        body.cast((2, alive.clone())).expect("never refused");
        assert_eq!(seen.await.expect("it has come"), (4, Some(3), vec![1, 3, 4], true));
        rt.down(&body).await;
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

#[test]
fn a_body_makes_room_by_what_it_takes() {
    everywhere(|rt| async move {
        for overflow in [Overflow::Reject, Overflow::DropOldest] {
            let options = SpawnOptions::new().bounded(2, overflow);
            let (reply, got) = oneshot();
            let body = rt.with(options).spawn_fn(|mut mailbox: Mailbox<u32>| async move {
                let mut got = Vec::new();
                // By choice from the end, as far as is known, then in order.
                got.push(mailbox.recv_match(|n| if n == 1 { Ok(n) } else { Err(n) }).await);
                for _ in 0..9 {
                    got.push(mailbox.recv().await);
                }
                reply.send(got);
                Ok(())
            });
            let end = rt.down(&body);
            for n in 0..10 {
                body.cast_wait(n).await.expect("sent");
            }
            assert_eq!(got.await.expect("it has come"), [1, 0, 2, 3, 4, 5, 6, 7, 8, 9]);
            assert!(end.await.reason.is_normal());
        }
    });
}

#[test]
fn refused_messages_count_in_a_bodys_bound() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().bounded(2, Overflow::Reject);
        let (ready, is_ready) = oneshot();
        let body = rt.with(options).spawn_fn(|mut mailbox: Mailbox<u32>| async move {
            let none =
                mailbox
                    .recv_match_timeout(Duration::from_millis(50), |n| {
                        if n == 9 { Ok(n) } else { Err(n) }
                    })
                    .await;
            ready.send(none);
            assert_eq!([mailbox.recv().await, mailbox.recv().await], [0, 1]);
            assert_eq!(mailbox.recv().await, 10);
            Ok(())
        });
        body.cast(0).expect("there is room");
        body.cast(1).expect("there is room");
        rt.sleep(Duration::from_millis(10)).await;
        assert!(body.cast(9).is_err(), "both places are kept");
        assert_eq!(is_ready.await.expect("told"), None);
        let end = rt.down(&body);
        body.cast_wait(10).await.expect("sent");
        assert!(end.await.reason.is_normal());
    });
}

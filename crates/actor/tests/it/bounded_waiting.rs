//! Senders that wait for room: first come first served, nobody past them, and each is told what has become of its
//! message.

use crate::support;

use std::{
    future::{Future, IntoFuture as _, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_util::future::{join_all, poll_immediate};
use support::{everywhere, threaded};
use whitebeam_actor::{
    Actor, ActorRef, Answered, CallError, ChildRef, ChildSlot, Context, ExitReason, Handle,
    Mailbox, Overflow, PriorityRef, Reply, SendFailure, SpawnOptions, Status, oneshot,
};

/// Every policy: who waits, waits with each.
const ALL: [Overflow; 4] =
    [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest, Overflow::Exit];

struct Log(Vec<u32>);

#[derive(Debug)]
enum Msg {
    Hold(Reply<()>, Answered<()>),
    Number(u32),
    Carry(u32, #[allow(dead_code, reason = "counted")] Arc<()>),
    Ask(u32, Reply<u32>),
    Get(Reply<Vec<u32>>),
}

impl Actor for Log {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Log(Vec::new()))
    }

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Hold(entered, until) => {
                entered.send(());
                let _ = until.await;
            }
            Msg::Number(n) | Msg::Carry(n, _) => self.0.push(n),
            Msg::Ask(n, reply) => {
                self.0.push(n);
                reply.send(n);
            }
            Msg::Get(reply) => reply.send(self.0.clone()),
        }
        Ok(())
    }
}

/// A log with a bound, whose handler is suspended until the reply is used or dropped, and which is full.
async fn full(rt: &Handle, limit: u32, overflow: Overflow) -> (ActorRef<Msg>, Reply<()>) {
    let options = SpawnOptions::new().bounded(limit as usize, overflow);
    let log = rt.with(options).start::<Log>(()).await.expect("starts");
    let (entered, is_in) = oneshot();
    let (release, until) = oneshot();
    log.cast(Msg::Hold(entered, until)).expect("there is room");
    is_in.await.expect("it is held");
    (0..limit).for_each(|n| log.cast(Msg::Number(n)).expect("there is room"));
    (log, release)
}

async fn numbers(log: &ActorRef<Msg>) -> Vec<u32> {
    log.call(Msg::Get).wait_for_room().await.expect("it lives")
}

#[test]
fn those_who_wait_come_in_in_their_order() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let (log, release) = full(&rt, 2, overflow).await;
            let mut casts: Vec<_> = (2..6).map(|n| log.cast_wait(Msg::Number(n))).collect();
            for cast in &mut casts {
                assert!(poll_immediate(cast).await.is_none());
            }
            let call = log.call(|reply| Msg::Ask(6, reply)).wait_for_room();
            let mut call = call.into_future();
            assert!(poll_immediate(&mut call).await.is_none());
            let mut last = log.cast_wait(Msg::Number(7));
            assert!(poll_immediate(&mut last).await.is_none());
            assert_eq!(log.info().expect("it lives").mailbox_len, 2);
            // Polled again they keep their places.
            assert!(poll_immediate(&mut casts[0]).await.is_none());
            release.send(());
            // The last one first: it is in when all before it are.
            last.await.expect("sent");
            for cast in casts {
                cast.await.expect("sent");
            }
            assert_eq!(call.await.expect("answered"), 6);
            assert_eq!(numbers(&log).await, (0..8).collect::<Vec<_>>(), "{overflow:?}");
            assert_eq!(log.info().expect("it lives").dropped, 0);
        }
    });
}

#[test]
fn nobody_comes_in_before_those_who_wait() {
    everywhere(|rt| async move {
        let (log, release) = full(&rt, 1, Overflow::Reject).await;
        let mut waiting: Vec<_> = (1..20).map(|n| log.cast_wait(Msg::Number(n))).collect();
        for one in &mut waiting {
            assert!(poll_immediate(one).await.is_none());
        }
        release.send(());
        // Others try all the time.
        let (mut in_between, mut refused) = (Vec::new(), 0);
        let mut all = pin!(join_all(waiting));
        poll_fn(|cx| {
            for _ in 0..3 {
                match log.cast(Msg::Number(1000 + refused)) {
                    Ok(()) => in_between.push(1000 + refused),
                    Err(error) => assert_eq!(error.why(), SendFailure::Full),
                }
                refused += 1;
            }
            match all.as_mut().poll(cx) {
                Poll::Ready(sent) => {
                    sent.into_iter().for_each(|sent| sent.expect("sent"));
                    Poll::Ready(())
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let seen = numbers(&log).await;
        let expected: Vec<u32> = (0..20).chain(in_between).collect();
        assert_eq!(seen, expected, "somebody came in before");
    });
}

#[test]
fn who_gives_up_leaves_the_queue_with_its_message() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let (log, release) = full(&rt, 1, overflow).await;
            let alive = Arc::new(());
            let mut casts: Vec<_> =
                (1..6).map(|n| Some(log.cast_wait(Msg::Carry(n, alive.clone())))).collect();
            for cast in casts.iter_mut().flatten() {
                assert!(poll_immediate(cast).await.is_none());
            }
            let call = log.call(|reply| Msg::Ask(100, reply)).wait_for_room();
            let mut call = call.into_future();
            assert!(poll_immediate(&mut call).await.is_none());
            drop(call);
            assert_eq!(Arc::strong_count(&alive), 6);
            casts[0] = None;
            casts[2] = None;
            casts[4] = None;
            assert_eq!(Arc::strong_count(&alive), 3);
            release.send(());
            for cast in casts.into_iter().flatten() {
                cast.await.expect("sent");
            }
            assert_eq!(numbers(&log).await, [0, 2, 4]);
            // Nobody waits any more: plain senders find room.
            eventually_room(&rt, &log).await;
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    });
}

async fn eventually_room(rt: &Handle, log: &ActorRef<Msg>) {
    while log.info().expect("it lives").mailbox_len > 0 {
        rt.sleep(Duration::from_millis(1)).await;
    }
    log.cast(Msg::Number(99)).expect("there is room");
}

#[test]
fn all_who_wait_may_give_up() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let (log, release) = full(&rt, 1, overflow).await;
            for _ in 0..3 {
                let mut cast = log.cast_wait(Msg::Number(1));
                assert!(poll_immediate(&mut cast).await.is_none());
            }
            release.send(());
            assert_eq!(numbers(&log).await, [0]);
            eventually_room(&rt, &log).await;
        }
    });
}

#[test]
fn one_that_came_in_and_was_given_up_is_handled() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let (log, release) = full(&rt, 1, overflow).await;
            let mut cast = log.cast_wait(Msg::Number(1));
            let call = log.call(|reply| Msg::Ask(2, reply)).wait_for_room();
            let mut call = call.into_future();
            assert!(poll_immediate(&mut cast).await.is_none());
            assert!(poll_immediate(&mut call).await.is_none());
            release.send(());
            // It is behind both.
            assert_eq!(numbers(&log).await, [0, 1, 2]);
            drop(cast);
            drop(call);
            assert_eq!(numbers(&log).await, [0, 1, 2]);
        }
    });
}

#[test]
fn the_end_of_the_receiver_is_told_at_once() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let (log, _release) = full(&rt, 1, overflow).await;
            let child = ChildRef::from(log.clone());
            let alive = Arc::new(());
            let mut casts = [
                log.cast_wait(Msg::Carry(1, alive.clone())),
                child.cast_wait(Msg::Carry(2, alive.clone())),
            ];
            for cast in &mut casts {
                assert!(poll_immediate(cast).await.is_none());
            }
            let call = log.call(|reply| Msg::Ask(3, reply)).wait_for_room().no_timeout();
            let mut call = call.into_future();
            assert!(poll_immediate(&mut call).await.is_none());
            let mut given_up = log.cast_wait(Msg::Carry(4, alive.clone()));
            assert!(poll_immediate(&mut given_up).await.is_none());
            rt.exit(&log, ExitReason::custom("over"));
            for (cast, number) in casts.into_iter().zip(1..) {
                let error = cast.await.unwrap_err();
                assert_eq!(error.why(), SendFailure::NoProc);
                assert!(matches!(error.into_message(), Msg::Carry(n, _) if n == number));
            }
            match call.await {
                Err(CallError::Exit(reason)) => assert!(reason.is::<&str>(), "{reason:?}"),
                other => panic!("{other:?}"),
            }
            // Told, or about to be, and never asked.
            drop(given_up);
            while Arc::strong_count(&alive) > 1 {
                rt.sleep(Duration::from_millis(1)).await;
            }
            let late = log.cast_wait(Msg::Number(5)).await.unwrap_err();
            assert_eq!(late.why(), SendFailure::NoProc);
        }
    });
}

#[test]
fn an_incarnation_that_ends_gives_back_what_waits_for_it() {
    everywhere(|rt| async move {
        let (log, _release) = full(&rt, 1, Overflow::Reject).await;
        let slot = ChildSlot::new();
        let child = slot.child();
        assert_eq!(
            child.cast_wait(Msg::Number(1)).await.unwrap_err().why(),
            SendFailure::Restarting
        );
        slot.set(log.clone());
        let mut cast = child.cast_wait(Msg::Number(1));
        assert!(poll_immediate(&mut cast).await.is_none());
        rt.exit(&log, ExitReason::Kill);
        assert_eq!(cast.await.unwrap_err().why(), SendFailure::Restarting);
        slot.gone();
        assert_eq!(child.cast_wait(Msg::Number(1)).await.unwrap_err().why(), SendFailure::NoProc);
    });
}

#[test]
fn a_call_waits_for_room_within_its_timeout() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let (log, release) = full(&rt, 1, overflow).await;
            for time in [1, 300] {
                let alive = Arc::new(());
                let kept = alive.clone();
                let call = log.call(move |reply| {
                    drop(kept);
                    Msg::Ask(1, reply)
                });
                let answer = call.wait_for_room().timeout(Duration::from_millis(time)).await;
                assert!(
                    matches!(answer, Err(CallError::Timeout { accepted: false })),
                    "{answer:?}"
                );
                assert!(answer.unwrap_err().is_retryable());
            }
            // In a handler as well, whose timeouts go another way.
            let caller = rt.spawn_fn({
                let log = log.clone();
                |_: Mailbox<()>| async move {
                    let call = log.call(|reply| Msg::Ask(2, reply)).wait_for_room();
                    let answer = call.timeout(Duration::from_millis(300)).await;
                    assert!(matches!(answer, Err(CallError::Timeout { accepted: false })));
                    Ok(())
                }
            });
            assert!(rt.down(&caller).await.reason.is_normal());
            let waits = log.call(|reply| Msg::Ask(3, reply)).wait_for_room().owned();
            let mut waits = waits.timeout(Duration::from_secs(60)).into_future();
            assert!(poll_immediate(&mut waits).await.is_none());
            release.send(());
            assert_eq!(waits.await.expect("answered"), 3);
            assert_eq!(numbers(&log).await, [0, 3], "what was late is not handled");
        }
    });
}

#[test]
fn a_caller_that_is_killed_takes_its_request_along() {
    everywhere(|rt| async move {
        let (log, release) = full(&rt, 1, Overflow::Reject).await;
        let caller = rt.spawn_fn({
            let log = log.clone();
            |_: Mailbox<()>| async move {
                log.cast_wait(Msg::Number(7)).await?;
                Ok(())
            }
        });
        let calls = rt.spawn_fn({
            let log = log.clone();
            |_: Mailbox<()>| async move {
                let _ = log.call(|reply| Msg::Ask(8, reply)).wait_for_room().await;
                Ok(())
            }
        });
        // They wait: nothing else suspends them.
        for one in [&caller, &calls] {
            while !one.info().is_some_and(|info| info.is_suspended) {
                rt.sleep(Duration::from_millis(1)).await;
            }
            let end = rt.down(one);
            rt.exit(one, ExitReason::Kill);
            end.await;
        }
        release.send(());
        assert_eq!(numbers(&log).await, [0]);
    });
}

#[test]
fn handlers_wait_for_each_others_room() {
    /// Passes each number on to the next, waiting for room there.
    struct Stage(Option<ActorRef<u32>>, Vec<u32>, Option<Reply<Vec<u32>>>);
    impl Actor for Stage {
        type Args = (Option<ActorRef<u32>>, Option<Reply<Vec<u32>>>);
        type Msg = u32;
        async fn init((next, done): Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Stage(next, Vec::new(), done))
        }
        async fn handle(&mut self, n: u32, _: &mut Context<Self>) -> Result<(), ExitReason> {
            match &self.0 {
                Some(next) => next.cast_wait(n).await?,
                None => self.1.push(n),
            }
            if n == 299
                && let Some(done) = self.2.take()
            {
                done.send(std::mem::take(&mut self.1));
            }
            Ok(())
        }
    }
    everywhere(|rt| async move {
        for overflow in ALL {
            let bound = || SpawnOptions::new().bounded(2, overflow);
            let (done, all) = oneshot();
            let last = rt.with(bound()).start::<Stage>((None, Some(done))).await.expect("starts");
            let mut first = last;
            for _ in 0..3 {
                first = rt.with(bound()).start::<Stage>((Some(first), None)).await.expect("starts");
            }
            for n in 0..300 {
                first.cast_wait(n).await.expect("sent");
            }
            assert_eq!(all.await.expect("all came"), (0..300).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_handler_that_waits_for_room_in_its_own_mailbox_is_refused() {
    struct Own(Option<Reply<SendFailure>>);
    impl Actor for Own {
        type Args = Reply<SendFailure>;
        type Msg = u32;
        async fn init(reply: Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            cx.me().cast(1)?;
            Ok(Own(Some(reply)))
        }
        async fn handle(&mut self, n: u32, cx: &mut Context<Self>) -> Result<(), ExitReason> {
            let me = cx.me();
            if n == 1 {
                me.cast_wait(2).await?;
                let error = me.cast_wait(3).await.unwrap_err();
                if let Some(reply) = self.0.take() {
                    reply.send(error.why());
                }
            }
            Ok(())
        }
    }
    everywhere(|rt| async move {
        for overflow in ALL {
            let (reply, why) = oneshot();
            let bound = SpawnOptions::new().bounded(1, overflow);
            let own = rt.with(bound).start::<Own>(reply).await.expect("starts");
            assert_eq!(why.await.expect("told"), SendFailure::Full, "{overflow:?}");
            let info = own.info().expect("no policy was applied");
            assert_eq!(info.dropped, 0, "{overflow:?}");
        }
    });
}

#[test]
fn threads_wait_for_room_as_well() {
    threaded(|rt| async move {
        for overflow in ALL {
            let (log, release) = full(&rt, 1, overflow).await;
            let named = rt.named::<Msg>("nobody");
            let threads: Vec<_> = (1..=8)
                .map(|n| {
                    let (log, named) = (log.clone(), named.clone());
                    std::thread::spawn(move || {
                        if n % 2 == 0 {
                            log.cast_wait(Msg::Number(n)).blocking().expect("sent");
                        } else {
                            let call = log.call(|reply| Msg::Ask(n, reply)).wait_for_room();
                            assert_eq!(call.blocking().expect("answered"), n);
                        }
                        let refused = named.cast_wait(Msg::Number(n)).blocking().unwrap_err();
                        assert_eq!(refused.why(), SendFailure::NoProc);
                    })
                })
                .collect();
            let late = {
                let log = log.clone();
                std::thread::spawn(move || {
                    let call = log.call(|reply| Msg::Ask(100, reply)).wait_for_room();
                    call.timeout(Duration::from_millis(20)).blocking()
                })
            };
            let late = late.join().expect("no panic");
            assert!(matches!(late, Err(CallError::Timeout { accepted: false })), "{late:?}");
            release.send(());
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
            let mut seen = numbers(&log).await;
            seen.sort_unstable();
            assert_eq!(seen, (0..=8).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_thread_is_told_of_the_end() {
    threaded(|rt| async move {
        for overflow in ALL {
            let (log, _release) = full(&rt, 1, overflow).await;
            let waits = {
                let log = log.clone();
                std::thread::spawn(move || log.cast_wait(Msg::Number(1)).blocking())
            };
            let calls = {
                let log = log.clone();
                std::thread::spawn(move || {
                    let call = log.call(|reply| Msg::Ask(1, reply)).wait_for_room();
                    call.no_timeout().blocking()
                })
            };
            rt.sleep(Duration::from_millis(2)).await;
            rt.exit(&log, ExitReason::Kill);
            let waited = waits.join().expect("no panic").unwrap_err();
            assert_eq!(waited.why(), SendFailure::NoProc);
            // Too late to wait at all, perhaps.
            let called = calls.join().expect("no panic");
            assert!(
                matches!(called, Err(CallError::Exit(ExitReason::Killed) | CallError::NoProc)),
                "{called:?}"
            );
        }
    });
}

#[test]
fn two_who_call_each_other_and_wait_for_room_are_told_of_the_deadlock() {
    struct Peer(Option<ActorRef<Go>>);
    enum Go {
        Meet(ActorRef<Go>),
        Call(Reply<Result<(), CallError>>),
        Fill,
        Ping(Reply<()>),
    }
    impl Actor for Peer {
        type Args = ();
        type Msg = Go;
        async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Peer(None))
        }
        async fn handle(&mut self, go: Go, cx: &mut Context<Self>) -> Result<(), ExitReason> {
            match go {
                Go::Meet(other) => self.0 = Some(other),
                Go::Call(reply) => {
                    // Nobody else finds room here meanwhile.
                    cx.me().cast(Go::Fill)?;
                    let other = self.0.clone().expect("they have met");
                    cx.runtime().sleep(Duration::from_millis(20)).await;
                    let call = other.call(Go::Ping).wait_for_room().no_timeout();
                    reply.send(call.await);
                }
                Go::Fill => {}
                Go::Ping(reply) => reply.send(()),
            }
            Ok(())
        }
    }
    everywhere(|rt| async move {
        let peer = || async {
            let bound = SpawnOptions::new().bounded(1, Overflow::Reject);
            rt.with(bound).start::<Peer>(()).await.expect("starts")
        };
        let (one, other) = (peer().await, peer().await);
        one.cast(Go::Meet(other.clone())).expect("there is room");
        other.cast(Go::Meet(one.clone())).expect("there is room");
        let calls = [&one, &other]
            .map(|peer| peer.call(Go::Call).wait_for_room().no_timeout().into_future());
        let answers = join_all(calls).await;
        let found = answers
            .iter()
            .filter(|answer| matches!(answer, Ok(Err(CallError::Deadlock(_)))))
            .count();
        assert!(found >= 1, "{answers:?}");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    });
}

/// Waits for what it is sent.
struct Waits(u32);

enum Wait {
    For(Answered<()>),
    Told(Reply<u32>),
    Lane(Reply<PriorityRef<Wait>>),
}

impl Actor for Waits {
    type Args = ();
    type Msg = Wait;
    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Waits(0))
    }
    async fn handle(&mut self, msg: Wait, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Wait::For(until) => {
                let _ = until.await;
                self.0 += 1;
            }
            Wait::Told(reply) => reply.send(self.0),
            Wait::Lane(reply) => reply.send(cx.priority_ref()),
        }
        Ok(())
    }
}

/// One whose handler waits for the first reply, and has a message in its only place that will wait for the second.
async fn waits_twice(rt: &Handle, overflow: Overflow) -> (ActorRef<Wait>, Reply<()>, Reply<()>) {
    let options = SpawnOptions::new().bounded(1, overflow);
    let waits = rt.with(options).start::<Waits>(()).await.expect("starts");
    let [(first, until_first), (second, until_second)] = [oneshot(), oneshot()];
    waits.cast_wait(Wait::For(until_first)).await.expect("there is room");
    waits.cast_wait(Wait::For(until_second)).await.expect("there will be");
    (waits, first, second)
}

#[test]
fn room_made_by_a_message_whose_handler_suspends_is_room() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let (waits, first, second) = waits_twice(&rt, overflow).await;
            let mut told = waits.call(Wait::Told).wait_for_room().into_future();
            assert!(poll_immediate(&mut told).await.is_none(), "it is held");
            let mut third = waits.cast_wait(Wait::For(oneshot().1));
            assert!(poll_immediate(&mut third).await.is_none(), "it is full");
            first.send(());
            // The second one suspends, and has left its place to the call: nothing else is needed for that.
            let look = || waits.info().expect("it lives");
            while (look().handled, look().mailbox_len) != (2, 1) {
                support::yield_now().await;
            }
            second.send(());
            assert_eq!(told.await.expect("it lives"), 2, "{overflow:?}");
            third.await.expect("there is room in the end");
        }
    });
}

#[test]
fn a_handler_may_wait_for_who_waits_for_room() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let (waits, first, second) = waits_twice(&rt, overflow).await;
            let (sender, other) = oneshot();
            rt.spawn_fn({
                let waits = waits.clone();
                move |_: Mailbox<()>| async move {
                    waits.cast_wait(Wait::For(oneshot().1)).await?;
                    // Only now may the second handler end.
                    second.send(());
                    sender.send(());
                    Ok(())
                }
            });
            first.send(());
            other.await.expect("it came in behind the second, which waits for that");
        }
    });
}

#[test]
fn who_waits_behind_a_priority_message_is_let_in() {
    everywhere(|rt| async move {
        for overflow in ALL {
            let options = SpawnOptions::new().bounded(1, overflow).priority_lane();
            let waits = rt.with(options).start::<Waits>(()).await.expect("starts");
            let lane = waits.call(Wait::Lane).await.expect("it lives");
            let (first, until) = oneshot();
            waits.cast_wait(Wait::For(until)).await.expect("there is room");
            while !waits.info().expect("it lives").is_suspended {
                support::yield_now().await;
            }
            lane.cast(Wait::For(oneshot().1)).expect("never refused");
            lane.cast(Wait::For(oneshot().1)).expect("never refused");
            while waits.info().expect("it lives").status == Status::Running {
                support::yield_now().await;
            }
            let mut last = waits.cast_wait(Wait::For(oneshot().1));
            let _ = poll_immediate(&mut last).await;
            first.send(());
            // Nobody else sends anything.
            while waits.info().expect("it lives").handled < 5 {
                support::yield_now().await;
            }
        }
    });
}

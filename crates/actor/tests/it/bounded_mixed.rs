//! Bounded mailboxes together with the priority lane and with messages that an incarnation before has left.

use crate::support;

use std::future::IntoFuture as _;

use futures_util::future::poll_immediate;
use support::everywhere;
use whitebeam_actor::{
    Actor, ActorRef, Answered, CallError, Context, ExitReason, Mailbox, Overflow, PriorityRef,
    Reply, SendFailure, SpawnOptions, Unread, oneshot,
};

/// Writes down numbers.
struct Log(Vec<u32>);

enum Msg {
    Hold(Reply<()>, Answered<()>),
    Number(u32),
    Lane(Reply<PriorityRef<Msg>>),
    Get(Reply<Vec<u32>>),
    Crash,
}

struct Narrow(u32);

impl From<Narrow> for Msg {
    fn from(Narrow(n): Narrow) -> Self {
        Msg::Number(n)
    }
}

impl Actor for Log {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Log(Vec::new()))
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Hold(entered, until) => {
                entered.send(());
                let _ = until.await;
            }
            Msg::Number(n) => self.0.push(n),
            Msg::Lane(reply) => reply.send(cx.priority_ref()),
            Msg::Get(reply) => reply.send(self.0.clone()),
            Msg::Crash => return Err(ExitReason::custom("told to")),
        }
        Ok(())
    }
}

async fn hold(log: &ActorRef<Msg>) -> Reply<()> {
    let (entered, is_in) = oneshot();
    let (go, gate) = oneshot();
    log.cast_wait(Msg::Hold(entered, gate)).await.expect("it lives");
    is_in.await.expect("it is held");
    go
}

fn len(log: &ActorRef<Msg>) -> usize {
    log.info().expect("it lives").mailbox_len
}

/// What waits when nothing else is on its way there.
async fn settled(log: &ActorRef<Msg>, waiting: usize) {
    while len(log) != waiting {
        support::yield_now().await;
    }
}

const POLICIES: [Overflow; 4] =
    [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest, Overflow::Exit];

#[test]
fn priority_messages_and_requests_need_no_room_and_come_first() {
    everywhere(|rt| async move {
        for overflow in POLICIES {
            for has_lane in [true, false] {
                let options = SpawnOptions::new().bounded(2, overflow);
                let options = if has_lane { options.priority_lane() } else { options };
                let log = rt.with(options).start::<Log>(()).await.expect("a log");
                let lane = log.call(Msg::Lane).wait_for_room().await.expect("it lives");
                let go = hold(&log).await;
                log.cast(Msg::Number(1)).expect("there is room");
                log.cast(Msg::Number(2)).expect("there is room");
                lane.cast(Msg::Number(3)).expect("never refused");
                lane.narrow::<Narrow>().cast(Narrow(4)).expect("never refused");
                let mut asked = lane.call(Msg::Get).into_future();
                assert!(poll_immediate(&mut asked).await.is_none(), "it is held");
                settled(&log, 5).await;
                go.send(());
                let seen = asked.await.expect("it lives");
                let expected: &[u32] = if has_lane { &[3, 4] } else { &[1, 2, 3, 4] };
                assert_eq!(seen, expected, "{overflow:?}");
                let all = log.call(Msg::Get).wait_for_room().await.expect("it lives");
                let expected = if has_lane { [3, 4, 1, 2] } else { [1, 2, 3, 4] };
                assert_eq!(all, expected, "{overflow:?}");
                settled(&log, 0).await;
                assert_eq!(log.info().expect("it lives").dropped, 0);
            }
        }
    });
}

#[test]
fn who_waits_for_room_is_let_in_behind_priority_messages() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().bounded(1, Overflow::Reject).priority_lane();
        let log = rt.with(options).start::<Log>(()).await.expect("a log");
        let lane = log.call(Msg::Lane).await.expect("it lives");
        let go = hold(&log).await;
        log.cast(Msg::Number(1)).expect("there is room");
        let mut waits = log.cast_wait(Msg::Number(2));
        assert!(poll_immediate(&mut waits).await.is_none(), "there is none");
        for n in 10..20 {
            lane.cast(Msg::Number(n)).expect("never refused");
        }
        assert_eq!(log.cast(Msg::Number(3)).unwrap_err().why(), SendFailure::Full);
        go.send(());
        waits.await.expect("there is room in the end");
        let seen = log.call(Msg::Get).wait_for_room().await.expect("it lives");
        let expected: Vec<u32> = (10..20).chain([1, 2]).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn the_lane_of_one_that_is_not_there_answers_at_once() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().bounded(1, Overflow::Reject).priority_lane();
        let log = rt.with(options).start::<Log>(()).await.expect("a log");
        let lane = log.call(Msg::Lane).await.expect("it lives");
        log.cast(Msg::Crash).expect("there is room");
        rt.down(&log).await;
        let refused = lane.cast(Msg::Number(1)).unwrap_err();
        assert!(matches!(refused.into_message(), Msg::Number(1)));
        let refused = lane.narrow::<Narrow>().cast(Narrow(2)).unwrap_err();
        assert_eq!(refused.into_message().0, 2);
        assert!(matches!(lane.call(Msg::Get).await, Err(CallError::NoProc)));
    });
}

#[test]
fn kept_messages_come_in_beyond_the_bound() {
    everywhere(|rt| async move {
        for overflow in [Overflow::Reject, Overflow::DropOldest] {
            let options =
                SpawnOptions::new().bounded(3, overflow).unread(Unread::keep::<Msg>(8, 2));
            let log = rt.with(options.clone()).start::<Log>(()).await.expect("a log");
            let go = hold(&log).await;
            log.cast(Msg::Crash).expect("there is room");
            log.cast(Msg::Number(1)).expect("there is room");
            log.cast(Msg::Number(2)).expect("there is room");
            // Before it ends: of one that has ended already a DOWN comes at once.
            let down = rt.down(&log);
            go.send(());
            down.await;

            let next = rt.with(options).start::<Log>(());
            let next = next.await.expect("a log");
            let go = hold(&next).await;
            assert_eq!(len(&next), 0, "what was kept comes before what was sent");
            next.cast(Msg::Number(3)).expect("there is room");
            settled(&next, 1).await;
            go.send(());
            let seen = next.call(Msg::Get).wait_for_room().await.expect("it lives");
            assert_eq!(seen, [1, 2, 3], "{overflow:?}");
            settled(&next, 0).await;
        }
    });
}

#[test]
fn a_body_is_shown_priority_messages_first_and_what_it_refuses_keeps_its_room() {
    everywhere(|rt| async move {
        for overflow in [Overflow::Reject, Overflow::DropOldest] {
            let (go, gate) = oneshot::<()>();
            let (told, lane) = oneshot();
            let (done, seen) = oneshot();
            let options = SpawnOptions::new().bounded(4, overflow).priority_lane();
            let body = rt.with(options).spawn_fn(move |mut mailbox: Mailbox<u32>| async move {
                told.send(mailbox.priority_ref());
                let _ = gate.await;
                let mut seen = Vec::new();
                // By choice: the even ones first, and each kind in its order.
                for parity in [0, 1] {
                    for _ in 0..3 {
                        let wanted = |n: u32| if n % 2 == parity { Ok(n) } else { Err(n) };
                        seen.push(mailbox.recv_match(wanted).await);
                    }
                }
                done.send(seen);
                Ok(())
            });
            let lane = lane.await.expect("it lives");
            for n in 1..=4 {
                body.cast(n).expect("there is room");
            }
            lane.cast(11).expect("never refused");
            lane.cast(12).expect("never refused");
            while body.info().expect("it lives").mailbox_len != 6 {
                support::yield_now().await;
            }
            go.send(());
            assert_eq!(seen.await.expect("it lives"), [12, 2, 4, 11, 1, 3], "{overflow:?}");
        }
    });
}

//! Narrowed addresses: a part of an actor's messages, sent as what they are and converted by who takes them.

use crate::support;

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use support::{
    EXPECTED, everywhere, expect_panics,
    puppet::{assert_because, assert_panic, assert_reason, because},
    scaled, threaded,
};
use whitebeam_actor::{
    Actor, ActorRef, CallError, ChildRef, ChildSlot, Context, ExitReason, Handle, Reply, Runtime,
    SendFailure,
};

const MS: Duration = Duration::from_millis(1);

/// Counted while it lives: what is lost, or dropped twice, shows.
struct Token {
    live: Arc<AtomicUsize>,
    number: u64,
}

impl Token {
    fn new(live: &Arc<AtomicUsize>, number: u64) -> Self {
        live.fetch_add(1, Relaxed);
        Token { live: live.clone(), number }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let before = self.live.fetch_sub(1, Relaxed);
        assert!(before > 0, "dropped twice");
    }
}

/// Keeps the numbers of what it was sent.
#[derive(Default)]
struct Store {
    seen: Vec<u64>,
    kept: Vec<Reply<u64>>,
}

/// Larger than its parts, and with other things before them.
enum Msg {
    Raw(u64),
    Note(u64, Note),
    Seen(Reply<Vec<u64>>),
    End(ExitReason),
}

enum Note {
    Put(Token),
    Count(Reply<u64>),
    /// The reply is kept.
    Keep(Reply<u64>),
    Forget(Reply<u64>),
    /// Suspends, then answers.
    Slow(Token, Reply<u64>),
    /// Waits for ever.
    Hang,
    /// Its conversion panics.
    Poison(Token, Reply<u64>),
    /// Its conversion answers.
    Early(Reply<u64>),
}

/// A part of a part.
enum Count {
    Now(Reply<u64>),
    Poison(Token, Reply<u64>),
    Put(Token),
}

impl From<Note> for Msg {
    fn from(note: Note) -> Self {
        match note {
            Note::Poison(_token, _reply) => panic!("{EXPECTED}"),
            Note::Early(reply) => {
                reply.send(77);
                Msg::Raw(77)
            }
            note => Msg::Note(u64::MAX, note),
        }
    }
}

impl From<Count> for Note {
    fn from(count: Count) -> Self {
        match count {
            Count::Now(reply) => Note::Count(reply),
            Count::Poison(_token, _reply) => panic!("{EXPECTED}"),
            Count::Put(token) => Note::Put(token),
        }
    }
}

/// A part of a part of a part.
struct HowMany(Reply<u64>);

impl From<HowMany> for Count {
    fn from(HowMany(reply): HowMany) -> Self {
        Count::Now(reply)
    }
}

impl Actor for Store {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Store::default())
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Raw(number) => self.seen.push(number),
            Msg::Seen(reply) => reply.send(self.seen.clone()),
            Msg::End(reason) => return Err(reason),
            Msg::Note(mark, note) => {
                assert_eq!(mark, u64::MAX);
                match note {
                    Note::Put(token) => self.seen.push(token.number),
                    Note::Count(reply) => reply.send(self.seen.len() as u64),
                    Note::Keep(reply) => self.kept.push(reply),
                    Note::Forget(reply) => drop(reply),
                    Note::Slow(token, reply) => {
                        cx.runtime().sleep(MS).await;
                        reply.send(token.number);
                    }
                    Note::Hang => std::future::pending().await,
                    Note::Poison(..) | Note::Early(_) => unreachable!("its conversion sees to it"),
                }
            }
        }
        Ok(())
    }
}

async fn store(rt: &Handle) -> ActorRef<Msg> {
    rt.start::<Store>(()).await.expect("start")
}

/// Waits until all tokens are gone: the last of a backlog may be disposed of a moment after the end is seen.
async fn none_left(rt: &Handle, live: &AtomicUsize) {
    while live.load(Relaxed) > 0 {
        rt.sleep(MS).await;
    }
}

fn live() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

#[test]
fn messages_of_one_sender_keep_their_order_whatever_the_address() {
    everywhere(|rt| async move {
        let (store, live) = (store(&rt).await, live());
        let notes: ActorRef<Note> = store.narrow();
        let counts: ActorRef<Count> = notes.narrow();
        for n in 0..20 {
            store.cast(Msg::Raw(n * 3)).expect("cast");
            notes.cast(Note::Put(Token::new(&live, n * 3 + 1))).expect("cast");
            counts.cast(Count::Put(Token::new(&live, n * 3 + 2))).expect("cast");
        }
        let seen = store.call(Msg::Seen).await.expect("answered");
        assert_eq!(seen, (0..60).collect::<Vec<_>>());
        none_left(&rt, &live).await;
    });
}

#[test]
fn calls_work_as_through_the_whole_address() {
    everywhere(|rt| async move {
        let (store, live) = (store(&rt).await, live());
        let notes = store.narrow::<Note>();
        assert_eq!(notes.call(Note::Count).await.expect("answered"), 0);
        let token = Token::new(&live, 5);
        assert_eq!(notes.call(|reply| Note::Slow(token, reply)).await.expect("answered"), 5);
        // Owned, by who has no address any more.
        let call = store.narrow::<Note>().call(Note::Count).owned();
        assert_eq!(call.await.expect("answered"), 0);
        // Several at once.
        let all = (0..20).map(|n| {
            let token = Token::new(&live, n);
            notes.call(|reply| Note::Slow(token, reply)).into_future()
        });
        let all = join_all(all).await.into_iter().map(|answer| answer.expect("answered"));
        assert_eq!(all.sum::<u64>(), 190);
        // Its errors.
        let forgotten = notes.call(Note::Forget).await;
        assert!(matches!(forgotten, Err(CallError::NoReply)), "{forgotten:?}");
        let late = notes.call(Note::Keep).timeout(MS).await;
        assert!(matches!(late, Err(CallError::Timeout { accepted: true })), "{late:?}");
        let (kept, ended) = join(notes.call(Note::Keep).into_future(), async {
            store.cast(Msg::End(because("told")))
        })
        .await;
        ended.expect("cast");
        match kept {
            Err(CallError::Exit(reason)) => assert_because(&reason, "told"),
            other => panic!("{other:?}"),
        }
        let gone = notes.call(Note::Count).await;
        assert!(matches!(gone, Err(CallError::NoProc)), "{gone:?}");
        // Made and never sent.
        drop(notes.call(|reply| Note::Slow(Token::new(&live, 1), reply)));
        none_left(&rt, &live).await;
    });
}

#[test]
fn a_call_may_block_a_plain_thread() {
    let rt = Runtime::builder().workers(2).build().expect("a runtime");
    let store = rt.block_on(store(&rt));
    let notes = store.narrow::<Note>();
    store.cast(Msg::Raw(1)).expect("cast");
    assert_eq!(notes.call(Note::Count).blocking().expect("answered"), 1);
    assert_eq!(notes.narrow::<Count>().call(Count::Now).blocking().expect("answered"), 1);
    let late = notes.call(Note::Keep).timeout(MS).blocking();
    assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
}

#[test]
fn a_refused_message_comes_back_as_what_it_was() {
    everywhere(|rt| async move {
        let (store, live) = (store(&rt).await, live());
        let (notes, counts) = (store.narrow::<Note>(), store.narrow::<Note>().narrow::<Count>());
        rt.stop(&store, ExitReason::Normal).await.expect("stopped");
        let refused = notes.cast(Note::Put(Token::new(&live, 8))).expect_err("it has ended");
        assert_eq!(refused.why(), SendFailure::NoProc);
        assert_eq!(live.load(Relaxed), 1);
        match refused.into_message() {
            Note::Put(token) => assert_eq!(token.number, 8),
            _ => panic!("another came back"),
        }
        assert_eq!(live.load(Relaxed), 0);
        // What would panic is not converted.
        let (reply, answer) = whitebeam_actor::oneshot();
        let refused = counts.cast(Count::Poison(Token::new(&live, 9), reply));
        drop(refused.expect_err("it has ended"));
        assert!(matches!(answer.await, Err(CallError::NoReply)));
        assert_eq!(live.load(Relaxed), 0, "an error drops its message");
    });
}

#[test]
fn an_address_narrowed_again_and_again() {
    everywhere(|rt| async move {
        let (store, live) = (store(&rt).await, live());
        store.cast(Msg::Raw(1)).expect("cast");
        let how_many = store.narrow::<Note>().narrow::<Count>().narrow::<HowMany>();
        let other = how_many.clone();
        assert_eq!(how_many.call(HowMany).await.expect("answered"), 1);
        drop(how_many);
        assert_eq!(other.call(HowMany).await.expect("answered"), 1);
        // To the same type: a conversion that does nothing.
        let same = store.narrow::<Msg>().narrow::<Note>();
        same.cast(Note::Put(Token::new(&live, 2))).expect("cast");
        assert_eq!(same.call(Note::Count).await.expect("answered"), 2);
        assert_eq!(store.call(Msg::Seen).await.expect("answered"), [1, 2]);
        // The same process, by whatever way.
        assert_eq!(same, store.narrow());
        assert_eq!((same.pid(), same.is_alive()), (store.pid(), true));
        assert_eq!(format!("{same:?}"), format!("{store:?}"));
        let another = self::store(&rt).await;
        assert!(another.narrow::<Note>() != same);
        none_left(&rt, &live).await;
    });
}

#[test]
fn the_unread_are_counted_dropped_once_and_answered_with_the_reason() {
    everywhere(|rt| async move {
        let (store, live) = (store(&rt).await, live());
        let (notes, counts) = (store.narrow::<Note>(), store.narrow::<Note>().narrow::<Count>());
        notes.cast(Note::Hang).expect("cast");
        while store.info().expect("it lives").mailbox_len > 0 {
            rt.sleep(MS).await;
        }
        for n in 0..10 {
            notes.cast(Note::Put(Token::new(&live, n))).expect("cast");
            counts.cast(Count::Put(Token::new(&live, n))).expect("cast");
        }
        let asked = notes.call(|reply| Note::Slow(Token::new(&live, 1), reply)).no_timeout();
        let counted = counts.call(Count::Now).no_timeout();
        // Would end the process, if it were converted.
        let poison = counts.call(|reply| Count::Poison(Token::new(&live, 1), reply)).no_timeout();
        let calls = [
            asked.into_future().boxed(),
            counted.into_future().boxed(),
            poison.into_future().boxed(),
        ];
        let killed = async {
            while store.info().is_some_and(|info| info.mailbox_len < 23) {
                rt.sleep(MS).await;
            }
            assert_eq!(store.info().expect("it lives").mailbox_len, 23);
            rt.exit(&store, ExitReason::Kill);
        };
        let (answers, ()) = join(join_all(calls), killed).await;
        for answer in answers {
            match answer {
                Err(CallError::Exit(reason)) => assert_reason(&reason, &ExitReason::Killed),
                other => panic!("{other:?}"),
            }
        }
        none_left(&rt, &live).await;
    });
}

#[test]
fn a_conversion_that_panics_is_the_receivers_panic() {
    expect_panics();
    everywhere(|rt| async move {
        for way in 0..4 {
            let (store, live) = (store(&rt).await, live());
            let notes = store.narrow::<Note>();
            let counts = notes.narrow::<Count>();
            let end = rt.down(&store);
            let token = Token::new(&live, 1);
            let (reply, answer) = whitebeam_actor::oneshot::<u64>();
            let answer = match way {
                0 => {
                    notes.cast(Note::Poison(token, reply)).expect("cast");
                    answer.await
                }
                1 => {
                    counts.cast(Count::Poison(token, reply)).expect("cast");
                    answer.await
                }
                2 => notes.call(|reply| Note::Poison(token, reply)).await,
                _ => counts.call(|reply| Count::Poison(token, reply)).await,
            };
            match answer {
                Err(CallError::Exit(reason)) => assert_panic(&reason, EXPECTED),
                other => panic!("{other:?}"),
            }
            assert_panic(&end.await.reason, EXPECTED);
            none_left(&rt, &live).await;
        }
    });
}

#[test]
fn a_conversion_may_answer() {
    everywhere(|rt| async move {
        let store = store(&rt).await;
        for _ in 0..10 {
            let early = store.narrow::<Note>().call(Note::Early).await;
            assert_eq!(early.expect("answered"), 77);
        }
        assert_eq!(store.call(Msg::Seen).await.expect("answered"), [77; 10]);
    });
}

/// What has its place in the node by its alignment.
mod shapes {
    use super::*;

    #[repr(align(16))]
    pub(super) struct A16(pub u64, pub Option<Reply<u64>>);
    #[repr(align(128))]
    pub(super) struct A128(pub u64, pub Option<Reply<u64>>);
    pub(super) struct Big(pub [u64; 500], pub Option<Reply<u64>>);
    pub(super) struct Nothing;

    /// Of a smaller alignment than what it is made of.
    pub(super) struct Sum(pub u64, pub Option<Reply<u64>>);

    impl From<A16> for Sum {
        fn from(it: A16) -> Self {
            assert!((&raw const it).is_aligned());
            Sum(it.0, it.1)
        }
    }
    impl From<A128> for A16 {
        fn from(it: A128) -> Self {
            assert!((&raw const it).is_aligned());
            A16(it.0, it.1)
        }
    }
    impl From<Big> for Sum {
        fn from(it: Big) -> Self {
            Sum(it.0.iter().sum(), it.1)
        }
    }
    impl From<Nothing> for Big {
        fn from(Nothing: Nothing) -> Self {
            Big([2; 500], None)
        }
    }

    /// Adds up, and answers with the sum.
    pub(super) struct Adder(u64);

    impl Actor for Adder {
        type Args = ();
        type Msg = Sum;

        async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Adder(0))
        }

        async fn handle(&mut self, sum: Sum, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
            self.0 += sum.0;
            if let Some(reply) = sum.1 {
                reply.send(self.0);
            }
            Ok(())
        }
    }
}

#[test]
fn parts_of_any_size_and_alignment() {
    use shapes::{A16, A128, Adder, Big, Nothing};
    everywhere(|rt| async move {
        let adder = rt.start::<Adder>(()).await.expect("start");
        let (a16, big) = (adder.narrow::<A16>(), adder.narrow::<Big>());
        let (a128, nothing) = (a16.narrow::<A128>(), big.narrow::<Nothing>());
        a16.cast(A16(1, None)).expect("cast");
        a128.cast(A128(10, None)).expect("cast");
        big.cast(Big([1; 500], None)).expect("cast");
        nothing.cast(Nothing).expect("cast");
        let sum = 11 + 500 + 1000;
        assert_eq!(a16.call(|reply| A16(0, Some(reply))).await.expect("answered"), sum);
        assert_eq!(a128.call(|reply| A128(1, Some(reply))).await.expect("answered"), sum + 1);
        let answer = big.call(|reply| Big([0; 500], Some(reply))).await;
        assert_eq!(answer.expect("answered"), sum + 1);
        rt.stop(&adder, ExitReason::Normal).await.expect("stopped");
        assert_eq!(a128.cast(A128(7, None)).expect_err("it has ended").into_message().0, 7);
    });
}

#[test]
fn a_narrowed_childs_address_goes_on_over_restarts() {
    everywhere(|rt| async move {
        let live = live();
        let slot = ChildSlot::<Msg>::new();
        let notes: ChildRef<Note> = slot.child().narrow();
        let counts = notes.narrow::<Count>();
        let refused = notes.cast(Note::Put(Token::new(&live, 3))).expect_err("nobody yet");
        assert_eq!(refused.why(), SendFailure::Restarting);
        assert!(matches!(refused.into_message(), Note::Put(token) if token.number == 3));
        assert!(matches!(counts.call(Count::Now).await, Err(CallError::Restarting)));
        for n in 1..3 {
            let incarnation = store(&rt).await;
            slot.set(incarnation.clone());
            notes.cast(Note::Put(Token::new(&live, n))).expect("cast");
            counts.cast(Count::Put(Token::new(&live, n + 10))).expect("cast");
            assert_eq!(notes.call(Note::Count).await.expect("answered"), 2);
            assert_eq!(counts.call(Count::Now).await.expect("answered"), 2);
            let asked = counts.ask(Count::Now).expect("an incarnation");
            assert_eq!(asked.await.expect("answered"), 2);
            let current = counts.current().expect("an incarnation");
            assert_eq!(current.call(Count::Now).await.expect("answered"), 2);
            assert_eq!(incarnation.call(Msg::Seen).await.expect("answered"), [n, n + 10]);
            rt.stop(&incarnation, ExitReason::Normal).await.expect("stopped");
            let refused = counts.cast(Count::Put(Token::new(&live, 4))).expect_err("between");
            assert_eq!(refused.why(), SendFailure::Restarting);
            assert!(counts.ask(Count::Now).is_err());
        }
        slot.gone();
        let refused = notes.cast(Note::Put(Token::new(&live, 3))).expect_err("gone for good");
        assert_eq!(refused.why(), SendFailure::NoProc);
        drop(refused);
        none_left(&rt, &live).await;
    });
}

/// An address of notes stands for an incarnation whose messages are notes.
#[test]
fn an_incarnation_may_be_a_narrowed_address() {
    everywhere(|rt| async move {
        let (whole, live) = (store(&rt).await, live());
        let slot = ChildSlot::<Note>::new();
        let notes = slot.child();
        let counts = notes.narrow::<Count>();
        slot.set(whole.narrow());
        notes.cast(Note::Put(Token::new(&live, 1))).expect("cast");
        counts.cast(Count::Put(Token::new(&live, 2))).expect("cast");
        assert_eq!(notes.call(Note::Count).await.expect("answered"), 2);
        assert_eq!(counts.call(Count::Now).await.expect("answered"), 2);
        assert_eq!(notes.ask(Note::Count).expect("asked").await.expect("answered"), 2);
        assert_eq!(counts.ask(Count::Now).expect("asked").await.expect("answered"), 2);
        let current = counts.current().expect("an incarnation");
        assert_eq!(current.call(Count::Now).await.expect("answered"), 2);
        // Pinned to one process.
        let pinned: ChildRef<Note> = whole.narrow::<Note>().into();
        pinned.cast(Note::Put(Token::new(&live, 3))).expect("cast");
        assert_eq!(pinned.narrow::<Count>().call(Count::Now).await.expect("answered"), 3);
        assert_eq!(
            pinned.narrow::<Count>().ask(Count::Now).expect("sent").await.expect("answered"),
            3
        );
        assert_eq!(whole.call(Msg::Seen).await.expect("answered"), [1, 2, 3]);
        none_left(&rt, &live).await;
    });
}

/// Senders race with the end: each message is handled, dropped with the backlog or refused, and only one of them.
#[test]
fn a_message_that_races_with_the_end_comes_back_at_most_once() {
    let (rounds, each) = (scaled(200, 50) as u64, 50);
    threaded(|rt| async move {
        let mut all_refused = 0;
        for round in 0..rounds {
            let (store, live) = (store(&rt).await, live());
            let notes = store.narrow::<Note>();
            let counts = notes.narrow::<Count>();
            let senders = (0..2).map(|sender| {
                let (notes, counts, live) = (notes.clone(), counts.clone(), live.clone());
                let killer = (sender == 0).then(|| (rt.clone(), store.clone()));
                rt.spawn_task(async move {
                    let (mut refused, mut answered) = (0, 0);
                    for n in 0..each {
                        if let Some((rt, store)) = killer.as_ref().filter(|_| n == round % each) {
                            rt.exit(store, ExitReason::Kill);
                        }
                        let token = Token::new(&live, n);
                        if (n + sender) % 2 == 0 {
                            match notes.cast(Note::Put(token)) {
                                Ok(()) => {}
                                Err(back) => match back.into_message() {
                                    Note::Put(token) if token.number == n => refused += 1,
                                    _ => panic!("another came back"),
                                },
                            }
                        } else {
                            match counts.cast(Count::Put(token)) {
                                Ok(()) => {}
                                Err(back) => match back.into_message() {
                                    Count::Put(token) if token.number == n => refused += 1,
                                    _ => panic!("another came back"),
                                },
                            }
                        }
                        if n % 10 == 0 {
                            let answer = counts.call(Count::Now).no_timeout().await;
                            assert!(!matches!(answer, Err(CallError::NoReply)), "{answer:?}");
                            answered += u64::from(answer.is_ok());
                        }
                    }
                    (refused, answered)
                })
            });
            let end = rt.down(&store);
            let senders: Vec<_> = senders.collect();
            assert_reason(&end.await.reason, &ExitReason::Killed);
            for (refused, answered) in join_all(senders).await {
                assert!(refused <= each && answered <= each / 10);
                all_refused += refused;
            }
            none_left(&rt, &live).await;
        }
        assert!(0 < all_refused && all_refused < 2 * rounds * each, "no race at all");
    });
}

#[test]
fn addresses_may_go_anywhere_and_have_known_sizes() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<ActorRef<std::cell::Cell<u8>>>();
    is_send_and_sync::<ChildRef<std::cell::Cell<u8>>>();
    assert_eq!(size_of::<ActorRef<Msg>>(), 16);
    assert_eq!(size_of::<Option<ActorRef<Msg>>>(), 16);
    assert_eq!(size_of::<ChildRef<Msg>>(), 24);
}

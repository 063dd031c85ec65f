//! Bounded mailboxes: what each policy does with a message that finds no room, what is bounded and what is not, and
//! what those are told who are refused.

use crate::support;

use std::{future::IntoFuture as _, sync::Arc, time::Duration};

use futures_util::future::poll_immediate;
use support::{everywhere, threaded};
use whitebeam_actor::{
    Actor, ActorRef, Alias, Answered, CallError, ChildRef, Context, Exit, ExitReason, Handle,
    Mailbox, Overflow, Reply, SendFailure, SpawnOptions, StartError, ZeroBound, oneshot,
};

/// Writes down what it is sent, in order.
struct Log {
    seen: Vec<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Number(u32),
    Asked(u32),
    Exit(String),
    Tick,
    Continued,
    Aliased(u32),
}

enum Msg {
    /// Answers the first when the handler is at it, which waits for the second.
    Hold(Reply<()>, Answered<()>),
    Number(u32),
    /// A number with something that tells when it is dropped.
    Carry(u32, #[allow(dead_code, reason = "counted")] Arc<()>),
    Ask(u32, Reply<u32>),
    Get(Reply<Vec<Seen>>),
    Exit(Exit),
    Tick,
    Continue,
    Continued,
    Trap(Reply<()>),
    Alias(Reply<Alias<Msg>>),
    Aliased(u32),
}

impl Actor for Log {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Log { seen: Vec::new() })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let seen = match msg {
            Msg::Hold(entered, until) => {
                cx.send_after(Duration::from_millis(1), Msg::Tick);
                cx.continue_with(Msg::Continue);
                entered.send(());
                let _ = until.await;
                return Ok(());
            }
            Msg::Get(reply) => {
                reply.send(self.seen.clone());
                return Ok(());
            }
            Msg::Trap(reply) => {
                cx.trap_exit(Msg::Exit);
                reply.send(());
                return Ok(());
            }
            Msg::Alias(reply) => {
                reply.send(cx.alias());
                return Ok(());
            }
            Msg::Continue => {
                cx.continue_with(Msg::Continued);
                return Ok(());
            }
            Msg::Number(n) | Msg::Carry(n, _) => Seen::Number(n),
            Msg::Ask(n, reply) => {
                reply.send(n);
                Seen::Asked(n)
            }
            Msg::Exit(exit) => Seen::Exit(exit.reason.to_string()),
            Msg::Tick => Seen::Tick,
            Msg::Continued => Seen::Continued,
            Msg::Aliased(n) => Seen::Aliased(n),
        };
        self.seen.push(seen);
        Ok(())
    }
}

/// Waits until something is so.
#[track_caller]
fn eventually(rt: &Handle, is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        for _ in 0..5000 {
            if is_so() {
                return;
            }
            rt.sleep(Duration::from_millis(1)).await;
        }
        panic!("not so after 5 s: {place}");
    }
}

fn bounded(limit: usize, overflow: Overflow) -> SpawnOptions {
    SpawnOptions::new().bounded(limit, overflow)
}

/// A log whose handler is suspended, with nothing in its mailbox, until the reply is used or dropped.
async fn held(rt: &Handle, limit: usize, overflow: Overflow) -> (ActorRef<Msg>, Reply<()>) {
    let log = rt.with(bounded(limit, overflow)).start::<Log>(()).await.expect("starts");
    let release = hold(&log).await;
    (log, release)
}

async fn hold(log: &ActorRef<Msg>) -> Reply<()> {
    let (entered, is_in) = oneshot();
    let (release, until) = oneshot();
    log.cast(Msg::Hold(entered, until)).expect("there is room");
    is_in.await.expect("it is held");
    release
}

/// What was sent by others, in order. Waits for room to ask.
async fn numbers(log: &ActorRef<Msg>) -> Vec<Seen> {
    let mut seen = log.call(Msg::Get).wait_for_room().await.expect("it lives");
    seen.retain(|seen| !matches!(seen, Seen::Tick | Seen::Continued));
    seen
}

fn of(numbers: impl IntoIterator<Item = u32>) -> Vec<Seen> {
    numbers.into_iter().map(Seen::Number).collect()
}

#[track_caller]
fn assert_full(sent: Result<(), whitebeam_actor::SendError<Msg>>, number: u32) {
    let error = sent.expect_err("it is full");
    assert_eq!(error.why(), SendFailure::Full);
    assert!(error.is_retryable());
    assert!(matches!(error.into_message(), Msg::Number(n) if n == number), "another message");
}

#[test]
fn a_full_mailbox_that_rejects_gives_messages_back() {
    everywhere(|rt| async move {
        let (log, release) = held(&rt, 2, Overflow::Reject).await;
        log.cast(Msg::Number(1)).expect("there is room");
        log.cast(Msg::Number(2)).expect("there is room");
        assert_full(log.cast(Msg::Number(3)), 3);
        let asked = log.call(|reply| Msg::Ask(3, reply)).await.unwrap_err();
        assert!(matches!(asked, CallError::Full) && asked.is_retryable(), "{asked:?}");
        let info = log.info().expect("it lives");
        assert_eq!((info.mailbox_len, info.mailbox_bound, info.dropped), (2, Some(2), 0));
        assert_eq!(info.mailbox_high_water, 2);
        release.send(());
        assert_eq!(numbers(&log).await, of([1, 2]));
        // There is room again, for as many.
        let release = hold(&log).await;
        log.cast(Msg::Number(4)).expect("there is room");
        log.cast(Msg::Number(5)).expect("there is room");
        assert_full(log.cast(Msg::Number(6)), 6);
        drop(release);
        assert_eq!(numbers(&log).await, of([1, 2, 4, 5]));
    });
}

#[test]
fn an_unbounded_mailbox_says_so() {
    everywhere(|rt| async move {
        let log = rt.start::<Log>(()).await.expect("starts");
        let release = hold(&log).await;
        (0..1000).for_each(|n| log.cast(Msg::Number(n)).expect("no bound"));
        let info = log.info().expect("it lives");
        assert_eq!((info.mailbox_len, info.mailbox_bound, info.dropped), (1000, None, 0));
        drop(release);
        assert_eq!(numbers(&log).await.len(), 1000);
    });
}

#[test]
fn one_that_drops_the_newest_counts_what_it_drops() {
    everywhere(|rt| async move {
        let (log, release) = held(&rt, 2, Overflow::DropNewest).await;
        let alive = Arc::new(());
        for n in 1..=5 {
            log.cast(Msg::Carry(n, alive.clone())).expect("dropped quietly");
        }
        assert_eq!(Arc::strong_count(&alive), 3, "dropped at once");
        let asked = log.call(|reply| Msg::Ask(6, reply)).await;
        assert!(matches!(asked, Err(CallError::Full)), "{asked:?}");
        let info = log.info().expect("it lives");
        assert_eq!((info.mailbox_len, info.dropped), (2, 4));
        release.send(());
        assert_eq!(numbers(&log).await, of([1, 2]));
    });
}

#[test]
fn one_that_drops_the_oldest_counts_what_it_drops_and_tells_callers() {
    everywhere(|rt| async move {
        let (log, release) = held(&rt, 2, Overflow::DropOldest).await;
        let alive = Arc::new(());
        let mut asks = log.call(|reply| Msg::Ask(0, reply)).into_future();
        assert!(poll_immediate(&mut asks).await.is_none());
        for n in 1..=5 {
            log.cast(Msg::Carry(n, alive.clone())).expect("takes the place of another");
        }
        // Its request was the first to go; the handler is suspended still.
        let asked = asks.await;
        assert!(matches!(asked, Err(CallError::Full)), "{asked:?}");
        assert_eq!(Arc::strong_count(&alive), 3, "dropped at once");
        let info = log.info().expect("it lives");
        assert_eq!((info.mailbox_len, info.dropped, info.mailbox_high_water), (2, 4, 2));
        release.send(());
        assert_eq!(numbers(&log).await, of([4, 5]));
        assert_eq!(log.call(|reply| Msg::Ask(6, reply)).await.expect("answered"), 6);
        assert_eq!(log.info().expect("it lives").mailbox_len, 0);
    });
}

#[test]
fn one_that_ends_ends_with_its_reason_and_gives_the_message_back() {
    everywhere(|rt| async move {
        let (log, release) = held(&rt, 1, Overflow::Exit).await;
        let end = rt.down(&log);
        let mut asks = log.call(|reply| Msg::Ask(0, reply)).into_future();
        assert!(poll_immediate(&mut asks).await.is_none());
        assert_full(log.cast(Msg::Number(1)), 1);
        assert!(matches!(end.await.reason, ExitReason::MailboxOverflow));
        // At once: its handler is not waited for. Who was in the mailbox is told.
        let asked = asks.await;
        assert!(matches!(asked, Err(CallError::Exit(ExitReason::MailboxOverflow))), "{asked:?}");
        assert_eq!(log.cast(Msg::Number(2)).unwrap_err().why(), SendFailure::NoProc);
        drop(release);
    });
}

#[test]
fn an_end_by_overflow_cannot_be_trapped() {
    everywhere(|rt| async move {
        let log = rt.with(bounded(1, Overflow::Exit)).start::<Log>(()).await.expect("starts");
        log.call(Msg::Trap).await.expect("answered");
        let release = hold(&log).await;
        let end = rt.down(&log);
        log.cast(Msg::Number(1)).expect("there is room");
        let asked = log.call(|reply| Msg::Ask(2, reply)).await;
        assert!(
            matches!(asked, Err(CallError::Full | CallError::Exit(ExitReason::MailboxOverflow))),
            "{asked:?}"
        );
        assert!(matches!(end.await.reason, ExitReason::MailboxOverflow));
        drop(release);
    });
}

#[test]
fn a_bound_of_nothing_is_an_error_at_the_start() {
    everywhere(|rt| async move {
        for overflow in
            [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest, Overflow::Exit]
        {
            let none = rt.with(bounded(0, overflow)).start::<Log>(()).await;
            let Err(StartError::Invalid(error)) = none else { panic!("{none:?}") };
            assert_eq!(
                error.downcast_ref::<ZeroBound>().map(ZeroBound::to_string),
                Some(
                    "a mailbox bounded to 0 messages would take none: the least bound is 1"
                        .to_owned()
                )
            );
            let nobody = rt.with(bounded(0, overflow)).spawn::<Log>(());
            assert!(!nobody.is_alive());
        }
        let huge = rt.with(bounded(usize::MAX, Overflow::Reject)).spawn::<Log>(());
        let limit = huge.info().expect("it lives").mailbox_bound;
        assert_eq!(limit, Some((1 << 31) - 1));
    });
}

#[test]
fn what_others_did_not_send_is_neither_refused_nor_counted() {
    everywhere(|rt| async move {
        for overflow in [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest] {
            let log = rt.with(bounded(1, overflow)).start::<Log>(()).await.expect("starts");
            log.call(Msg::Trap).await.expect("answered");
            let alias = log.call(Msg::Alias).await.expect("answered");
            let release = hold(&log).await;
            log.cast(Msg::Number(1)).expect("there is room");
            let stranger = rt.spawn_fn({
                let log = log.clone();
                |mut mailbox: Mailbox<()>| async move {
                    mailbox.exit(&log, ExitReason::custom("sent"));
                    Ok(())
                }
            });
            rt.down(&stranger).await;
            for n in 0..3 {
                alias.send(Msg::Aliased(n));
            }
            rt.sleep(Duration::from_millis(5)).await;
            eventually(&rt, || log.info().expect("it lives").mailbox_len == 1).await;
            release.send(());
            let mut seen = numbers(&log).await;
            assert_eq!(seen.remove(0), Seen::Number(1));
            assert!(seen.contains(&Seen::Exit("\"sent\"".to_owned())), "{seen:?}");
            assert_eq!(seen.len(), 4, "{seen:?}");
            let all = log.call(Msg::Get).await.expect("answered");
            assert!(all.contains(&Seen::Tick) && all.contains(&Seen::Continued), "{all:?}");
            let info = log.info().expect("it lives");
            assert_eq!((info.mailbox_len, info.dropped), (0, 0));
            // Nothing of that has taken a place.
            let release = hold(&log).await;
            log.cast(Msg::Number(2)).expect("there is room");
            assert_eq!(log.info().expect("it lives").mailbox_len, 1);
            release.send(());
        }
    });
}

/// Supervises: ends of children are signals, though they count in the length.
struct Parent;

enum ToParent {
    Spawn(u32, Reply<()>),
    Hold(Reply<()>, Answered<()>),
    Number,
}

impl Actor for Parent {
    type Args = ();
    type Msg = ToParent;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|_, _, _| ());
        Ok(Parent)
    }

    async fn handle(&mut self, msg: ToParent, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            ToParent::Spawn(children, reply) => {
                for _ in 0..children {
                    let _ = cx.spawn_child::<Ends>((), SpawnOptions::new(), None, None);
                }
                reply.send(());
            }
            ToParent::Hold(entered, until) => {
                entered.send(());
                let _ = until.await;
            }
            ToParent::Number => {}
        }
        Ok(())
    }
}

struct Ends;

impl Actor for Ends {
    type Args = ();
    type Msg = ();

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.stop(ExitReason::Normal);
        Ok(Ends)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

#[test]
fn ends_of_children_take_no_room() {
    everywhere(|rt| async move {
        let parent =
            rt.with(bounded(2, Overflow::Reject)).start::<Parent>(()).await.expect("starts");
        for _ in 0..3 {
            let spawned = parent.call(|reply| ToParent::Spawn(5, reply)).wait_for_room();
            spawned.await.expect("answered");
            eventually(&rt, || rt.processes().len() == 1).await;
            let (entered, is_in) = oneshot();
            let (release, until) = oneshot();
            parent.cast(ToParent::Hold(entered, until)).expect("there is room");
            is_in.await.expect("it is held");
            let sent = (0..4).filter(|_| parent.cast(ToParent::Number).is_ok()).count();
            assert_eq!(sent, 2, "the bound is exact whatever else was taken");
            release.send(());
        }
    });
}

#[test]
fn an_address_of_any_kind_meets_the_bound() {
    #[derive(Debug)]
    struct N(u32);
    impl From<N> for Msg {
        fn from(n: N) -> Self {
            Msg::Number(n.0)
        }
    }
    everywhere(|rt| async move {
        for overflow in [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest] {
            let options = bounded(1, overflow).name("log");
            let log = rt.with(options).start::<Log>(()).await.expect("starts");
            let release = hold(&log).await;
            let narrow: ActorRef<N> = log.narrow();
            let child = ChildRef::from(log.clone());
            let named = rt.named::<Msg>("log");
            narrow.cast(N(1)).expect("there is room");
            let sent = [
                narrow.cast(N(2)).map_err(|error| {
                    assert_eq!(error.why(), SendFailure::Full);
                    assert_eq!(error.into_message().0, 2);
                }),
                child.cast(Msg::Number(3)).map_err(|error| {
                    assert_eq!(error.why(), SendFailure::Full);
                }),
                named.cast(Msg::Number(4)).map_err(|error| {
                    assert_eq!(error.why(), SendFailure::Full);
                }),
            ];
            let is_quiet = overflow != Overflow::Reject;
            assert_eq!(sent.map(|sent| sent.is_ok()), [is_quiet; 3]);
            if overflow != Overflow::DropOldest {
                let asked = [
                    child.call(|reply| Msg::Ask(5, reply)).await,
                    named.call(|reply| Msg::Ask(5, reply)).await,
                ];
                assert!(asked.iter().all(|it| matches!(it, Err(CallError::Full))), "{asked:?}");
            }
            release.send(());
            let expected = if overflow == Overflow::DropOldest { 4 } else { 1 };
            assert_eq!(numbers(&log).await, of([expected]));
            rt.stop(&log, ExitReason::Normal).await.expect("stops");
        }
    });
}

/// A message whose destructor panics, or casts to the mailbox that has dropped it.
struct Bad(Option<ActorRef<Msg>>);

impl Drop for Bad {
    fn drop(&mut self) {
        match &self.0 {
            None => panic!("{}", support::EXPECTED),
            Some(to) => drop(to.cast(Msg::Number(7))),
        }
    }
}

#[test]
fn destructors_of_dropped_messages_harm_nobody() {
    support::expect_panics();
    struct Sink;
    impl Actor for Sink {
        type Args = ();
        type Msg = (Bad, Option<(Reply<()>, Answered<()>)>);
        async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Sink)
        }
        async fn handle(
            &mut self,
            (mut bad, hold): Self::Msg,
            _: &mut Context<Self>,
        ) -> Result<(), ExitReason> {
            // Not its destructor, but the address in it.
            drop(bad.0.take());
            std::mem::forget(bad);
            if let Some((entered, until)) = hold {
                entered.send(());
                let _ = until.await;
            }
            Ok(())
        }
    }
    everywhere(|rt| async move {
        for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
            let (log, log_release) = held(&rt, 1, overflow).await;
            let sink = rt.with(bounded(1, overflow)).start::<Sink>(()).await.expect("starts");
            let (entered, is_in) = oneshot();
            let (release, until) = oneshot();
            let good = || Bad(Some(log.clone()));
            sink.cast((good(), Some((entered, until)))).expect("there is room");
            is_in.await.expect("it is held");
            sink.cast((Bad(None), None)).expect("there is room");
            // By whichever address: the lock of a child's slot is not held over the destructors either.
            let child = ChildRef::from(sink.clone());
            sink.cast((Bad(None), None)).expect("one of the two is dropped");
            child.cast((Bad(None), None)).expect("one of the two is dropped");
            child.cast((good(), None)).expect("one of the two is dropped");
            child.cast((good(), None)).expect("one of the two is dropped");
            assert_eq!(sink.info().expect("it lives").dropped, 4);
            release.send(());
            log_release.send(());
            assert!(numbers(&log).await.contains(&Seen::Number(7)));
            eventually(&rt, || sink.info().expect("it lives").mailbox_len == 0).await;
        }
    });
}

#[test]
fn a_reply_handed_on_in_a_message_that_is_dropped_says_full() {
    everywhere(|rt| async move {
        let (log, release) = held(&rt, 1, Overflow::DropNewest).await;
        log.cast(Msg::Number(1)).expect("there is room");
        let front = rt.spawn_fn({
            let log = log.clone();
            |mut mailbox: Mailbox<Reply<u32>>| async move {
                let reply = mailbox.recv().await;
                log.cast(Msg::Ask(2, reply))?;
                // Told at once, not when this ends.
                std::future::pending::<()>().await;
                Ok(())
            }
        });
        let asked = front.call(|reply| reply).await;
        assert!(matches!(asked, Err(CallError::Full)), "{asked:?}");
        drop(release);
    });
}

#[test]
fn a_process_that_spawns_another_may_bound_it() {
    everywhere(|rt| async move {
        let (reply, spawned) = oneshot();
        let parent = rt.spawn_fn(|mut mailbox: Mailbox<()>| async move {
            let log = mailbox.with(bounded(1, Overflow::DropNewest)).start::<Log>(()).await?;
            reply.send(log);
            mailbox.recv().await;
            Ok(())
        });
        let log = spawned.await.expect("spawned");
        assert_eq!(log.info().expect("it lives").mailbox_bound, Some(1));
        parent.cast(()).expect("it lives");
    });
}

/// The bound holds for bursts from outside of the runtime as well.
#[test]
fn threads_outside_meet_the_bound() {
    threaded(|rt| async move {
        let (log, release) = held(&rt, 100, Overflow::Reject).await;
        let accepted: usize = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..4)
                .map(|_| {
                    let log = &log;
                    scope.spawn(move || {
                        (0..100).filter(|n| log.cast(Msg::Number(*n)).is_ok()).count()
                    })
                })
                .collect();
            senders.into_iter().map(|sender| sender.join().expect("a sender")).sum()
        });
        assert_eq!(accepted, 100);
        release.send(());
        assert_eq!(numbers(&log).await.len(), 100);
    });
}

#[test]
fn a_bound_takes_about_half_a_kilobyte() {
    everywhere(|rt| async move {
        let plain = rt.start::<Log>(()).await.expect("starts");
        let memory = |log: &ActorRef<Msg>| log.info().expect("it lives").memory;
        for overflow in [Overflow::Reject, Overflow::DropOldest] {
            let log = rt.with(bounded(1, overflow)).start::<Log>(()).await.expect("starts");
            let more = memory(&log) - memory(&plain);
            assert!((200..800).contains(&more), "{more} bytes");
        }
    });
}

//! What becomes of messages that their process has not read when it ends.

#![allow(clippy::disallowed_types, reason = "tests use std's atomics")]

use crate::support;

use std::{
    future::{Future, IntoFuture},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use support::{EXPECTED, everywhere, expect_panics, puppet::assert_because, yield_now};
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, Down, ExitReason, Handle, Mailbox, OptionsError, Pid,
    Reply, SpawnOptions, Start, StartError, Unread, UnreadCounts, oneshot,
};

/// Counted while it lives: what is lost, or dropped twice, shows.
struct Token {
    number: u32,
    live: Option<Arc<AtomicUsize>>,
    panics: bool,
}

impl Token {
    fn new(number: u32, live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Relaxed);
        Token { number, live: Some(live.clone()), panics: false }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.fetch_sub(1, Relaxed);
        }
        if self.panics {
            panic!("{EXPECTED}")
        }
    }
}

enum Msg {
    Note(Token),
    Part(Part),
    /// Answered from where it is handled, or read.
    Ask(Reply<u32>),
    Hold(Reply<()>, whitebeam_actor::Answered<()>),
    Own,
    Crash,
}

struct Part(u32);

impl From<Part> for Msg {
    fn from(part: Part) -> Self {
        Msg::Part(part)
    }
}

type Seen = Arc<Mutex<Vec<u32>>>;

/// Notes what it handles. Fails to start as often as it is told.
struct Reader {
    seen: Seen,
}

#[derive(Clone, Default)]
struct Setup {
    seen: Seen,
    fails: bool,
}

impl Actor for Reader {
    type Args = Setup;
    type Msg = Msg;

    async fn init(setup: Setup, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        if setup.fails {
            return Err(ExitReason::custom("no start"));
        }
        Ok(Reader { seen: setup.seen })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Note(token) => self.seen.lock().push(token.number),
            Msg::Part(Part(number)) => self.seen.lock().push(number),
            Msg::Ask(reply) => reply.send(7),
            Msg::Hold(held, gate) => {
                held.send(());
                let _ = gate.await;
            }
            Msg::Own => {
                // Its own, and none of others'.
                cx.send_after(Duration::ZERO, Msg::Crash);
                cx.continue_with(Msg::Part(Part(1_000)));
            }
            Msg::Crash => return Err(ExitReason::custom("as asked")),
        }
        Ok(())
    }
}

/// Has it wait in a handler until the reply is answered.
async fn hold(reader: &ActorRef<Msg>) -> Reply<()> {
    let ((held, is_held), (go, gate)) = (oneshot(), oneshot());
    assert!(reader.cast(Msg::Hold(held, gate)).is_ok());
    is_held.await.expect("it holds");
    go
}

fn start(rt: &Handle, options: SpawnOptions, setup: &Setup) -> Start<Msg> {
    rt.with(options).start::<Reader>(setup.clone())
}

fn cast(reader: &ActorRef<Msg>, msg: Msg) {
    assert!(reader.cast(msg).is_ok(), "it lives");
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        yield_now().await;
    }
}

/// Sends a request, and gives the future of its answer.
fn ask(reader: &ActorRef<Msg>) -> impl Future<Output = Result<u32, CallError>> {
    let mut call = reader.call(Msg::Ask).owned().into_future();
    assert!((&mut call).now_or_never().is_none());
    call
}

async fn killed(rt: &Handle, reader: &ActorRef<Msg>) {
    let down = rt.down(reader);
    rt.exit(reader, ExitReason::Kill);
    down.await;
}

fn counts(dropped: u64, answered: u64, hooked: u64, kept: u64) -> impl Fn(UnreadCounts) -> bool {
    move |is| (is.dropped, is.answered, is.hooked, is.kept) == (dropped, answered, hooked, kept)
}

#[test]
fn unread_messages_are_dropped_and_counted() {
    expect_panics();
    everywhere(|rt| async move {
        let live = Arc::new(AtomicUsize::new(0));
        let reader = start(&rt, SpawnOptions::new(), &Setup::default()).await.expect("a reader");
        let _go = hold(&reader).await;
        for number in 0..2_500 {
            let mut token = Token::new(number, &live);
            // A destructor that panics takes nothing else with it.
            token.panics = number % 100 == 0;
            cast(&reader, Msg::Note(token));
        }
        let request = ask(&reader);
        assert!(reader.narrow::<Part>().cast(Part(1)).is_ok());
        assert_eq!(rt.info(&reader).expect("it lives").mailbox_len, 2_502);
        let down = rt.down(&reader);
        rt.exit(&reader, ExitReason::Kill);
        assert!(matches!(down.await.reason, ExitReason::Killed));
        let answer = request.await;
        assert!(matches!(answer, Err(CallError::Exit(ExitReason::Killed))), "{answer:?}");
        until(|| rt.unread_counts().dropped == 2_501).await;
        assert!(counts(2_501, 1, 0, 0)(rt.unread_counts()));
        assert_eq!((live.load(Relaxed), rt.unread_counts().hook_panics), (0, 0));
    });
}

#[test]
fn a_hook_gets_what_others_have_sent_and_nothing_else() {
    everywhere(|rt| async move {
        let given = Arc::new(Mutex::new(Vec::<(u32, Pid)>::new()));
        let told = given.clone();
        let hook = Unread::hook(move |msg: Msg, down: &Down| {
            assert_because(&down.reason, "as asked");
            let number = match msg {
                Msg::Note(token) => token.number,
                Msg::Part(Part(number)) => number,
                // Dropped here: answered with the reason.
                Msg::Ask(_) => 77,
                _ => panic!("none of these was sent"),
            };
            told.lock().push((number, down.pid));
        });
        let (live, setup) = (Arc::new(AtomicUsize::new(0)), Setup::default());
        let options = SpawnOptions::new().unread(hook);
        let reader = start(&rt, options, &setup).await.expect("a reader");
        let go = hold(&reader).await;
        // Handles its own message next, and then the one that ends it. What it has from itself stays its own.
        cast(&reader, Msg::Own);
        cast(&reader, Msg::Crash);
        for number in 0..1_500 {
            cast(&reader, Msg::Note(Token::new(number, &live)));
        }
        assert!(reader.narrow::<Part>().cast(Part(1_500)).is_ok());
        let request = ask(&reader);
        // A request by hand: a message like any other.
        let (reply, by_hand) = oneshot();
        cast(&reader, Msg::Ask(reply));
        let down = rt.down(&reader);
        go.send(());
        assert_because(&down.await.reason, "as asked");
        let Err(CallError::Exit(reason)) = request.await else { panic!("it has ended") };
        assert_because(&reason, "as asked");
        let Err(CallError::Exit(reason)) = by_hand.await else { panic!("it has ended") };
        assert_because(&reason, "as asked");
        until(|| rt.unread_counts().hooked == 1_502).await;
        assert!(counts(0, 1, 1_502, 0)(rt.unread_counts()));
        let expected: Vec<_> =
            (0..=1_500).chain([77]).map(|number| (number, reader.pid())).collect();
        assert_eq!(*given.lock(), expected);
        assert_eq!((live.load(Relaxed), setup.seen.lock().clone()), (0, vec![1_000]));
    });
}

#[test]
fn a_hook_is_given_the_lane_first_and_its_panics_are_counted() {
    expect_panics();
    everywhere(|rt| async move {
        let given = Seen::default();
        let told = given.clone();
        let hook = Unread::hook(move |msg: Msg, _: &Down| {
            let Msg::Part(Part(number)) = msg else { panic!("only parts were sent") };
            told.lock().push(number);
            if number % 2 == 0 {
                panic!("{EXPECTED}")
            }
        });
        let (reply, lane) = oneshot();
        let options = SpawnOptions::new().priority_lane().unread(hook);
        let body = rt.with(options).spawn_fn(|mailbox: Mailbox<Msg>| async move {
            reply.send(mailbox.priority_ref());
            std::future::pending().await
        });
        let lane = lane.await.expect("its lane");
        for number in 0..2 {
            assert!(body.narrow::<Part>().cast(Part(2 + number)).is_ok());
            assert!(lane.narrow::<Part>().cast(Part(number)).is_ok());
        }
        killed(&rt, &body).await;
        until(|| rt.unread_counts().hooked == 4).await;
        until(|| rt.unread_counts().hook_panics == 2).await;
        assert_eq!(*given.lock(), [0, 1, 2, 3]);
    });
}

#[test]
fn a_hook_is_dropped_when_the_last_who_has_it_is() {
    everywhere(|rt| async move {
        let held = Arc::new(());
        let token = held.clone();
        let hook = Unread::hook(move |_: Msg, _: &Down| _ = &token);
        let options = SpawnOptions::new().unread(hook);
        let reader = start(&rt, options, &Setup::default()).await.expect("a reader");
        assert_eq!(Arc::strong_count(&held), 2);
        killed(&rt, &reader).await;
        // The address of the process is still there.
        until(|| Arc::strong_count(&held) == 1).await;
        assert!(!reader.is_alive());
    });
}

#[test]
fn a_policy_for_other_messages_is_refused() {
    everywhere(|rt| async move {
        for policy in [Unread::hook(|_: u32, _: &Down| ()), Unread::keep::<u32>(1, 1)] {
            let options = SpawnOptions::new().name("reader").unread(policy);
            let refused = start(&rt, options, &Setup::default()).await;
            let Err(StartError::Invalid(error)) = refused else { panic!("{refused:?}") };
            let Some(OptionsError::UnreadMessage { policy, process }) = error.downcast_ref() else {
                panic!("{error}")
            };
            assert_eq!((*policy, process.contains("Msg")), ("u32", true));
            assert_eq!(rt.whereis("reader"), None);
        }
        let options = SpawnOptions::new().unread(Unread::dropped());
        assert!(start(&rt, options, &Setup::default()).await.is_ok());
    });
}

#[test]
fn kept_messages_come_before_new_ones_and_not_the_one_in_hand() {
    everywhere(|rt| async move {
        let (live, setup) = (Arc::new(AtomicUsize::new(0)), Setup::default());
        let options = SpawnOptions::new().unread(Unread::keep::<Msg>(100, 3));
        let first = start(&rt, options.clone(), &setup).await.expect("a reader");
        let go = hold(&first).await;
        cast(&first, Msg::Note(Token::new(1, &live)));
        cast(&first, Msg::Crash);
        cast(&first, Msg::Note(Token::new(2, &live)));
        let request = ask(&first);
        assert!(first.narrow::<Part>().cast(Part(3)).is_ok());
        let (reply, by_hand) = oneshot();
        cast(&first, Msg::Ask(reply));
        let down = rt.down(&first);
        go.send(());
        down.await;
        assert!(matches!(request.await, Err(CallError::Exit(_))));
        assert_eq!(rt.unread_counts().kept, 0);

        let second = rt.with(options).spawn::<Reader>(setup.clone());
        cast(&second, Msg::Note(Token::new(4, &live)));
        assert_eq!(second.call(Msg::Ask).await.expect("an answer"), 7);
        assert_eq!(*setup.seen.lock(), [1, 2, 3, 4]);
        // A reply in a message that was kept is still good.
        assert_eq!(by_hand.await.expect("an answer"), 7);
        // The answer is counted behind it.
        until(|| counts(0, 1, 0, 3)(rt.unread_counts())).await;
        let info = rt.info(&second).expect("it lives");
        assert_eq!((info.mailbox_len, info.handled), (0, 5));
        assert_eq!(live.load(Relaxed), 0);
    });
}

#[test]
fn the_mailbox_of_the_next_says_what_waits() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().unread(Unread::keep::<Msg>(100, 3));
        let first = start(&rt, options.clone(), &Setup::default()).await.expect("a reader");
        let _go = hold(&first).await;
        for number in 0..5 {
            assert!(first.narrow::<Part>().cast(Part(number)).is_ok());
        }
        killed(&rt, &first).await;
        let body = rt.with(options).spawn_fn(|mailbox: Mailbox<Msg>| async move {
            let _mailbox = mailbox;
            std::future::pending().await
        });
        assert_eq!(rt.info(&body).expect("it lives").mailbox_len, 5);
    });
}

/// A message that none of its processes comes to is dropped in the end.
#[test]
fn a_message_is_kept_so_often_and_so_many_at_a_time() {
    everywhere(|rt| async move {
        let (live, setup) = (Arc::new(AtomicUsize::new(0)), Setup::default());
        let fails = Setup { fails: true, ..setup.clone() };
        let options = SpawnOptions::new().unread(Unread::keep::<Msg>(3, 2));
        let reader = start(&rt, options.clone(), &setup).await.expect("a reader");
        let _go = hold(&reader).await;
        for number in 0..5 {
            cast(&reader, Msg::Note(Token::new(number, &live)));
        }
        killed(&rt, &reader).await;
        // The oldest three are kept.
        until(|| counts(2, 0, 0, 0)(rt.unread_counts())).await;
        assert_eq!(live.load(Relaxed), 3);
        // Twice: here for the second time.
        assert!(start(&rt, options.clone(), &fails).await.is_err());
        assert!(counts(2, 0, 0, 3)(rt.unread_counts()));
        assert!(start(&rt, options.clone(), &fails).await.is_err());
        until(|| counts(5, 0, 0, 6)(rt.unread_counts())).await;
        let next = start(&rt, options, &setup).await.expect("a reader");
        assert_eq!(next.call(Msg::Ask).await.expect("an answer"), 7);
        assert!(setup.seen.lock().is_empty());
        assert_eq!(live.load(Relaxed), 0);
    });
}

#[test]
fn what_is_kept_for_nobody_is_dropped_with_the_options() {
    expect_panics();
    everywhere(|rt| async move {
        let live = Arc::new(AtomicUsize::new(0));
        let options = SpawnOptions::new().unread(Unread::keep::<Msg>(100, 3));
        let reader = start(&rt, options.clone(), &Setup::default()).await.expect("a reader");
        let _go = hold(&reader).await;
        for number in 0..10 {
            let mut token = Token::new(number, &live);
            token.panics = number == 3;
            cast(&reader, Msg::Note(token));
        }
        let (reply, by_hand) = oneshot();
        cast(&reader, Msg::Ask(reply));
        killed(&rt, &reader).await;
        assert!(counts(0, 0, 0, 0)(rt.unread_counts()));
        assert_eq!(live.load(Relaxed), 10);
        drop(options);
        assert!(counts(11, 0, 0, 0)(rt.unread_counts()));
        assert_eq!(live.load(Relaxed), 0);
        let answer = by_hand.await;
        assert!(matches!(answer, Err(CallError::Exit(ExitReason::Killed))), "{answer:?}");
    });
}

/// The last clone is the process's own: nothing is left behind by its address.
#[test]
fn a_process_that_is_never_started_again_drops_what_it_would_keep() {
    everywhere(|rt| async move {
        let live = Arc::new(AtomicUsize::new(0));
        let options = SpawnOptions::new().unread(Unread::keep::<Msg>(100, 3));
        let reader = start(&rt, options, &Setup::default()).await.expect("a reader");
        let _go = hold(&reader).await;
        cast(&reader, Msg::Note(Token::new(1, &live)));
        killed(&rt, &reader).await;
        assert!(counts(1, 0, 0, 0)(rt.unread_counts()));
        assert_eq!(live.load(Relaxed), 0);
    });
}

/// What a body has refused is unread, and the next one may choose among it again.
#[test]
fn a_body_leaves_what_it_has_refused() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().unread(Unread::keep::<u32>(100, 3));
        // What a body took, before it ends; it begins when it may.
        let run = async |first: u32, numbers: std::ops::RangeInclusive<u32>| {
            let (go, may_go) = whitebeam_actor::oneshot::<()>();
            let (tell, told) = whitebeam_actor::oneshot();
            let body = rt.with(options.clone()).spawn_fn(move |mut mailbox| async move {
                let _ = may_go.await;
                let chosen = mailbox.recv_match(choose(first)).await;
                tell.send((chosen, mailbox.recv().await));
                Err(ExitReason::custom("over"))
            });
            let down = rt.down(&body);
            for number in numbers {
                assert!(body.cast(number).is_ok());
            }
            go.send(());
            down.await;
            told.await.expect("it took two")
        };
        #[expect(clippy::reversed_empty_ranges, reason = "none")]
        let none = 1..=0;
        assert_eq!(run(3, 1..=6).await, (3, 1));
        assert_eq!(run(5, none.clone()).await, (5, 2));
        assert_eq!(run(6, none).await, (6, 4));
        assert!(counts(0, 0, 0, 6)(rt.unread_counts()), "{:?}", rt.unread_counts());
    });
}

fn choose(wanted: u32) -> impl FnMut(u32) -> Result<u32, u32> {
    move |number| if number == wanted { Ok(number) } else { Err(number) }
}

#[test]
fn nothing_is_kept_at_shutdown() {
    for simulated in [true, false] {
        let builder = whitebeam_actor::Runtime::builder().workers(2);
        let rt = if simulated { builder.build_simulated(3) } else { builder.build() };
        let rt = rt.expect("a runtime");
        let handle = rt.handle();
        let options = SpawnOptions::new().unread(Unread::keep::<Msg>(100, 3));
        rt.block_on(async {
            let reader =
                start(&handle, options.clone(), &Setup::default()).await.expect("a reader");
            let _go = hold(&reader).await;
            for number in 0..7 {
                assert!(reader.narrow::<Part>().cast(Part(number)).is_ok());
            }
            assert!(handle.shutdown(Duration::from_millis(1)).await.is_clean() || !simulated);
        });
        assert!(counts(7, 0, 0, 0)(rt.unread_counts()), "{:?}", rt.unread_counts());
        drop(options);
        assert!(counts(7, 0, 0, 0)(rt.unread_counts()));
    }
}

#[test]
fn a_name_that_is_taken_costs_no_message() {
    everywhere(|rt| async move {
        let setup = Setup::default();
        let options = SpawnOptions::new().unread(Unread::keep::<Msg>(100, 1));
        let first = start(&rt, options.clone(), &setup).await.expect("a reader");
        let _go = hold(&first).await;
        assert!(first.narrow::<Part>().cast(Part(1)).is_ok());
        killed(&rt, &first).await;
        let other = start(&rt, SpawnOptions::new().name("taken"), &setup).await.expect("a reader");
        let refused = start(&rt, options.clone().name("taken"), &setup).await;
        assert!(matches!(refused, Err(StartError::NameTaken(pid)) if pid == other.pid()));
        let next = start(&rt, options, &setup).await.expect("a reader");
        assert_eq!(next.call(Msg::Ask).await.expect("an answer"), 7);
        assert_eq!(*setup.seen.lock(), [1]);
    });
}

//! Bounded mailboxes under storms, where everything is counted, and step by step against a simple model.

use crate::support;

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use futures_util::future::poll_immediate;
use proptest::prelude::*;
use support::scaled;
use whitebeam_actor::{
    Actor, ActorRef, CallError, Context, ExitReason, Mailbox, Overflow, Reply, Runtime,
    SendFailure, SpawnOptions,
};

/// Counts what it handles, and checks each sender's order.
struct Counter {
    handled: Arc<AtomicU64>,
    next: Vec<u64>,
}

enum Msg {
    Number(usize, u64),
    Ask(usize, u64, Reply<u64>),
}

impl Actor for Counter {
    type Args = Arc<AtomicU64>;
    type Msg = Msg;

    async fn init(handled: Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counter { handled, next: vec![0; SENDERS] })
    }

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let (sender, n) = match msg {
            Msg::Number(sender, n) => (sender, n),
            Msg::Ask(sender, n, reply) => {
                reply.send(n);
                (sender, n)
            }
        };
        assert!(n >= self.next[sender], "{n} of sender {sender} comes late");
        self.next[sender] = n + 1;
        self.handled.fetch_add(1, Relaxed);
        Ok(())
    }
}

const SENDERS: usize = 8;
const ALL: [Overflow; 3] = [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest];

/// What a sender has come to.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    /// Accepted, as far as the sender was told; and refused.
    accepted: AtomicU64,
    refused: AtomicU64,
    /// Requests that were answered with `Full`: by a policy that drops they count as dropped.
    full: AtomicU64,
}

impl Counts {
    fn note(&self, is_accepted: bool) {
        let count = if is_accepted { &self.accepted } else { &self.refused };
        count.fetch_add(1, Relaxed);
    }
}

fn storm(address: &ActorRef<Msg>, sender: usize, counts: &Counts, each: u64) {
    for n in 0..each {
        counts.sent.fetch_add(1, Relaxed);
        match n % 16 {
            5 => match address.call(|reply| Msg::Ask(sender, n, reply)).blocking() {
                Ok(answer) => {
                    assert_eq!(answer, n);
                    counts.note(true);
                }
                Err(CallError::Full) => {
                    counts.full.fetch_add(1, Relaxed);
                }
                Err(error) => panic!("{error:?}"),
            },
            9 => {
                address.cast_wait(Msg::Number(sender, n)).blocking().expect("it lives");
                counts.note(true);
            }
            13 => {
                let call = address.call(|reply| Msg::Ask(sender, n, reply)).wait_for_room();
                match call.blocking() {
                    Ok(answer) => {
                        assert_eq!(answer, n);
                        counts.note(true);
                    }
                    // Displaced.
                    Err(CallError::Full) => {
                        counts.full.fetch_add(1, Relaxed);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            _ => match address.cast(Msg::Number(sender, n)) {
                Ok(()) => counts.note(true),
                Err(error) => {
                    assert_eq!(error.why(), SendFailure::Full);
                    counts.note(false);
                }
            },
        }
    }
}

/// Eight threads, one receiver: what was accepted was handled or dropped, once, and there were never more in the mailbox
/// than may be.
#[test]
fn everything_is_counted_in_a_storm() {
    let each = scaled(4_000, 200) as u64;
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads");
        for (overflow, limit) in ALL.iter().flat_map(|it| [1, 2, 64].map(|limit| (*it, limit))) {
            let handled = Arc::new(AtomicU64::new(0));
            let options = SpawnOptions::new().bounded(limit, overflow);
            let address = rt.with(options).spawn::<Counter>(handled.clone());
            let (counts, is_over) = (Counts::default(), AtomicBool::new(false));
            thread::scope(|scope| {
                let looks = scope.spawn(|| {
                    let mut longest = 0;
                    while !is_over.load(Relaxed) {
                        let info = address.info().expect("it lives");
                        longest = longest.max(info.mailbox_len);
                        assert!(info.mailbox_high_water <= limit, "{}", info.mailbox_high_water);
                    }
                    longest
                });
                let senders: Vec<_> = (0..SENDERS)
                    .map(|sender| {
                        let (address, counts) = (&address, &counts);
                        scope.spawn(move || storm(address, sender, counts, each))
                    })
                    .collect();
                senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
                is_over.store(true, Relaxed);
                let longest = looks.join().expect("no panic");
                assert!(longest <= limit, "{longest} in a mailbox of {limit}");
            });
            while address.info().is_some_and(|info| info.mailbox_len > 0) {
                thread::yield_now();
            }
            let info = address.info().expect("it lives");
            let get = |count: &AtomicU64| count.load(Relaxed);
            let (sent, accepted) = (get(&counts.sent), get(&counts.accepted));
            let (refused, full) = (get(&counts.refused), get(&counts.full));
            let what = format!("{overflow:?}, {limit}, {workers} workers");
            assert_eq!(sent, SENDERS as u64 * each);
            assert_eq!(accepted + refused + full, sent, "{what}");
            // A handler is in its last message at most when the mailbox is empty.
            let dropped_casts =
                if overflow == Overflow::Reject { info.dropped } else { info.dropped - full };
            let expected = accepted - dropped_casts;
            while get(&handled) < expected {
                thread::yield_now();
            }
            assert_eq!(get(&handled), expected, "{what}");
            assert!(overflow != Overflow::Reject || info.dropped == 0, "{what}");
        }
    }
}

/// A process that ends by overflow, over and over, under fire: each message comes back or was let in.
#[test]
fn those_that_end_by_overflow_lose_nothing_that_comes_back() {
    let rounds = scaled(200, 20);
    let rt = Runtime::builder().workers(4).build().expect("threads");
    for _ in 0..rounds {
        let handled = Arc::new(AtomicU64::new(0));
        let options = SpawnOptions::new().bounded(2, Overflow::Exit);
        let address = rt.with(options).spawn::<Counter>(handled.clone());
        let end = rt.down(&address);
        let let_in = AtomicUsize::new(0);
        let full = AtomicUsize::new(0);
        thread::scope(|scope| {
            let senders = [0, 1, 2, 3].map(|sender| {
                let (address, let_in, full) = (&address, &let_in, &full);
                scope.spawn(move || {
                    for n in 0.. {
                        match address.cast(Msg::Number(sender, n)) {
                            Ok(()) => let_in.fetch_add(1, Relaxed),
                            Err(error) if error.why() == SendFailure::Full => {
                                full.fetch_add(1, Relaxed)
                            }
                            Err(error) => {
                                assert_eq!(error.why(), SendFailure::NoProc);
                                break;
                            }
                        };
                    }
                })
            });
            // Joined one by one: ThreadSanitizer does not see the scope's own wait.
            senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
        });
        assert!(full.load(Relaxed) >= 1);
        let down = rt.block_on(end);
        assert!(matches!(down.reason, ExitReason::MailboxOverflow), "{:?}", down.reason);
        let (handled, let_in) = (handled.load(Relaxed), let_in.load(Relaxed) as u64);
        assert!(handled <= let_in && let_in - handled <= 2, "{handled} of {let_in}");
    }
}

/// What is done in one step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Cast,
    CastWait,
    Call,
    CallWait,
    /// One of those who wait gives up.
    GiveUp(usize),
    /// The handler is done with its message, and takes the next one.
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Cast),
        2 => Just(Step::CastWait),
        1 => Just(Step::Call),
        2 => Just(Step::CallWait),
        1 => any::<usize>().prop_map(Step::GiveUp),
        4 => Just(Step::Take),
    ]
}

fn policy() -> impl Strategy<Value = Overflow> {
    prop_oneof![Just(Overflow::Reject), Just(Overflow::DropNewest), Just(Overflow::DropOldest)]
}

enum ToStepwise {
    Cast(u32),
    Call(u32, Reply<u32>),
}

type Told = Arc<parking_lot::Mutex<VecDeque<Reply<()>>>>;

/// The numbers it has taken; and who lets it go on.
struct Seen {
    taken: parking_lot::Mutex<Vec<u32>>,
    held: Told,
}

/// What a send that takes its time has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    Sent,
    Answered,
    Full,
    Over,
}

type Sending = Pin<Box<dyn Future<Output = Became>>>;

/// A mailbox as the documentation describes it.
struct Model {
    limit: usize,
    overflow: Overflow,
    mailbox: VecDeque<u32>,
    waiting: VecDeque<u32>,
    in_hand: Option<u32>,
    taken: Vec<u32>,
    dropped: u64,
}

impl Model {
    /// A message comes. What its sender is told, if that is known at once.
    fn come(&mut self, n: u32, waits: bool) -> Option<Became> {
        let is_full = self.mailbox.len() >= self.limit || !self.waiting.is_empty();
        if !is_full {
            self.mailbox.push_back(n);
        } else if waits {
            self.waiting.push_back(n);
            return None;
        } else {
            match self.overflow {
                Overflow::DropNewest => self.dropped += 1,
                Overflow::DropOldest => {
                    self.mailbox.pop_front();
                    self.mailbox.push_back(n);
                    self.dropped += 1;
                    return Some(Became::Sent);
                }
                _ => {}
            }
            return Some(Became::Full);
        }
        Some(Became::Sent)
    }

    fn take(&mut self) {
        self.in_hand = self.mailbox.pop_front();
        self.taken.extend(self.in_hand);
        if self.mailbox.len() < self.limit
            && let Some(next) = self.waiting.pop_front()
        {
            self.mailbox.push_back(next);
        }
    }

    fn settle(&mut self) {
        while self.in_hand.is_none() && !(self.mailbox.is_empty() && self.waiting.is_empty()) {
            self.take();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: scaled(256, 16) as u32, ..ProptestConfig::default() })]

    /// A body that takes a message when it is told to, in virtual time: all else has been done by then.
    #[test]
    fn a_mailbox_does_what_the_model_does(
        limit in 1_usize..5,
        overflow in policy(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let rt = Runtime::simulated(seed).expect("a runtime");
        let seen = Arc::new(Seen {
            taken: parking_lot::Mutex::default(),
            held: Told::default(),
        });
        let options = SpawnOptions::new().bounded(limit, overflow);
        let body = rt.with(options).spawn_fn({
            let seen = seen.clone();
            move |mut mailbox: Mailbox<ToStepwise>| async move {
                loop {
                    let message = mailbox.recv().await;
                    let (go_on, told) = whitebeam_actor::oneshot();
                    let n = match &message {
                        ToStepwise::Cast(n) | ToStepwise::Call(n, _) => *n,
                    };
                    seen.taken.lock().push(n);
                    seen.held.lock().push_back(go_on);
                    if let ToStepwise::Call(n, reply) = message {
                        reply.send(n);
                    }
                    let _ = told.await;
                }
            }
        });
        let mut model = Model {
            limit, overflow,
            mailbox: VecDeque::new(), waiting: VecDeque::new(),
            in_hand: None, taken: Vec::new(), dropped: 0,
        };
        let handle = rt.handle();
        rt.block_on(async {
            let mut sending: Vec<(u32, bool, Sending)> = Vec::new();
            let settle = || handle.sleep(Duration::from_millis(1));
            settle().await;
            for (n, step) in (0_u32..).zip(&steps) {
                match *step {
                    Step::Cast => {
                        let told = match body.cast(ToStepwise::Cast(n)) {
                            Ok(()) => Became::Sent,
                            Err(error) => {
                                assert_eq!(error.why(), SendFailure::Full);
                                Became::Full
                            }
                        };
                        let expected = model.come(n, false).expect("told at once");
                        let is_quiet = overflow == Overflow::DropNewest;
                        assert_eq!(told, if is_quiet { Became::Sent } else { expected });
                    }
                    Step::CastWait => {
                        let to = body.clone();
                        let mut cast: Sending = Box::pin(async move {
                            match to.cast_wait(ToStepwise::Cast(n)).await {
                                Ok(()) => Became::Sent,
                                Err(error) => {
                                    assert_eq!(error.why(), SendFailure::NoProc);
                                    Became::Over
                                }
                            }
                        });
                        let told = poll_immediate(&mut cast).await;
                        assert_eq!(told, model.come(n, true));
                        if told.is_none() {
                            sending.push((n, false, cast));
                        }
                    }
                    Step::Call | Step::CallWait => {
                        let waits = matches!(step, Step::CallWait);
                        let to = body.clone();
                        let mut call: Sending = Box::pin(async move {
                            let call = to.call(|reply| ToStepwise::Call(n, reply)).no_timeout();
                            let call = if waits { call.wait_for_room() } else { call };
                            match call.await {
                                Ok(answer) => {
                                    assert_eq!(answer, n);
                                    Became::Answered
                                }
                                Err(CallError::Full) => Became::Full,
                                Err(CallError::Exit(_)) => Became::Over,
                                Err(error) => panic!("{error:?}"),
                            }
                        });
                        let told = poll_immediate(&mut call).await;
                        let expected = model.come(n, waits);
                        assert_eq!(told, expected.filter(|it| *it == Became::Full));
                        if told.is_none() {
                            sending.push((n, true, call));
                        }
                    }
                    Step::GiveUp(which) => {
                        let waiting: Vec<usize> = (0..sending.len())
                            .filter(|at| model.waiting.contains(&sending[*at].0))
                            .collect();
                        if !waiting.is_empty() {
                            let (n, ..) = sending.remove(waiting[which % waiting.len()]);
                            model.waiting.retain(|it| *it != n);
                        }
                    }
                    Step::Take => {
                        if let Some(go_on) = { seen.held.lock().pop_front() } {
                            go_on.send(());
                            model.in_hand = None;
                        }
                    }
                }
                settle().await;
                model.settle();
                assert_eq!(*seen.taken.lock(), model.taken, "after {step:?}, number {n}");
                let info = body.info().expect("it lives");
                assert_eq!(info.mailbox_len, model.mailbox.len(), "after {step:?}, number {n}");
                assert_eq!(info.dropped, model.dropped);
                let mut still = Vec::new();
                for (n, is_call, mut one) in sending {
                    let expected = if model.waiting.contains(&n) {
                        None
                    } else if !is_call {
                        Some(Became::Sent)
                    } else if model.taken.contains(&n) {
                        Some(Became::Answered)
                    } else if model.mailbox.contains(&n) {
                        None
                    } else {
                        Some(Became::Full)
                    };
                    let told = poll_immediate(&mut one).await;
                    assert_eq!(told, expected, "number {n}");
                    if told.is_none() {
                        still.push((n, is_call, one));
                    }
                }
                sending = still;
            }
            handle.exit(&body, ExitReason::Kill);
            for (_, _, one) in sending {
                assert_eq!(one.await, Became::Over);
            }
        });
    }
}

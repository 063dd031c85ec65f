//! What happened how often, and what should not have happened.
//!
//! Every token (`tokens.rs`) reports here what becomes of it. A fault is noted when it is seen, with a text; the
//! first few are kept. Counts are compared when the round is over: [`Book::compare`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use whitebeam::{Exit, ExitReason, Pid};

/// What is counted. Up to [`LAST_OPERATION`](Ev::LAST_OPERATION) what the program does; then what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ev {
    Spawns,
    SpawnLinks,
    SpawnMonitors,
    SpawnChildren,
    Starts,
    Sends,
    AliasSends,
    Calls,
    Links,
    Unlinks,
    Monitors,
    Demonitors,
    Exits,
    Kills,
    Stops,
    OwnEnds,
    Traps,
    Timers,
    Cancels,
    Names,
    Aliases,
    ChildStops,
    Looks,
    Runtimes,

    /// Messages: each that was made is one of three.
    Made,
    Handled,
    Refused,
    Unread,
    /// Monitors: each that was set is one of four.
    Watches,
    Downs,
    Demonitored,
    ByAlias,
    WatcherEnded,
    /// DOWNs: each that came is one of two.
    DownsHandled,
    DownsUnread,
    /// Calls: each that was made is one of these.
    Asked,
    Answered,
    NoProc,
    CalleeEnded,
    NoReply,
    TimedOut,
    /// It was in a circle of calls.
    Deadlocked,
    CallerEnded,
    /// Answers: each that was given is one of two.
    Replied,
    AnswersTaken,
    AnswersLost,
    /// Timers: each that was set is one of three.
    Alarms,
    Rang,
    Cancelled,
    AlarmEnded,
    /// Ticks of intervals: each that was made is one of two.
    Ticks,
    TicksHandled,
    TicksUnread,
    /// EXITs that traps got: by a link, or sent.
    LinkExits,
    SentExits,
    /// States of actors: each that was made was dropped.
    States,
    StatesDropped,
    /// Ends: each that was waited for came.
    EndsAwaited,
    EndsCame,
}

impl Ev {
    const LAST_OPERATION: Ev = Ev::Runtimes;
    const LAST: Ev = Ev::EndsCame;
}

const EVENTS: usize = Ev::LAST as usize + 1;

/// What a call comes to.
const CALLS_OVER: &[Ev] = &[
    Ev::Answered,
    Ev::NoProc,
    Ev::CalleeEnded,
    Ev::NoReply,
    Ev::TimedOut,
    Ev::Deadlocked,
    Ev::CallerEnded,
];

/// Of what was counted in the first, each has become one of the rest.
const SUMS: &[(&str, Ev, &[Ev])] = &[
    ("messages", Ev::Made, &[Ev::Handled, Ev::Refused, Ev::Unread]),
    ("monitors", Ev::Watches, &[Ev::Downs, Ev::Demonitored, Ev::ByAlias, Ev::WatcherEnded]),
    ("DOWNs", Ev::Downs, &[Ev::DownsHandled, Ev::DownsUnread]),
    ("calls", Ev::Asked, CALLS_OVER),
    ("answers", Ev::Replied, &[Ev::AnswersTaken, Ev::AnswersLost]),
    ("answers taken", Ev::Answered, &[Ev::AnswersTaken]),
    ("timers", Ev::Alarms, &[Ev::Rang, Ev::Cancelled, Ev::AlarmEnded]),
    ("ticks", Ev::Ticks, &[Ev::TicksHandled, Ev::TicksUnread]),
    ("states", Ev::States, &[Ev::StatesDropped]),
    ("ends", Ev::EndsAwaited, &[Ev::EndsCame]),
];

/// A copy of the counts.
#[derive(Clone, Debug)]
pub(crate) struct Counts([u64; EVENTS]);

impl Counts {
    /// None yet.
    pub(crate) fn none() -> Self {
        Counts([0; EVENTS])
    }

    /// How often it happened.
    pub(crate) fn of(&self, event: Ev) -> u64 {
        self.0[event as usize]
    }

    /// With those of another round.
    pub(crate) fn add(&mut self, more: &Counts) {
        self.0.iter_mut().zip(more.0).for_each(|(count, more)| *count += more);
    }

    /// All that the program did.
    pub(crate) fn operations(&self) -> u64 {
        self.0[..=Ev::LAST_OPERATION as usize].iter().sum()
    }
}

/// Faults that are kept with their text; of the others the number.
const KEPT: usize = 16;
/// Parts of the tables of pairs and reasons, so that a lock is rarely waited for.
const PARTS: usize = 64;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Book {
    counts: [AtomicU64; EVENTS],
    faults: Mutex<Vec<String>>,
    more_faults: AtomicU64,
    pairs: [Mutex<HashMap<(Pid, Pid), Pair>>; PARTS],
    reasons: [Mutex<HashMap<Pid, Why>>; PARTS],
}

/// Two processes that one of them has linked at least once.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    /// How often, by either.
    links: u32,
    /// EXITs by a link at the lower and at the higher pid: of the other's end, and with `NoProc`.
    ends: [u32; 2],
    no_procs: [u32; 2],
}

/// A reason as far as two of one end can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Normal,
    Shutdown,
    Kill,
    Killed,
    NoProc,
    Panic,
    Own(u64),
    Sent(Pid),
    Other,
}

/// The reason of an actor that ends itself, with its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own(pub(crate) u64);

/// The reason of an exit signal that is sent to this process. Who dies of it hands it on over its links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent(pub(crate) Pid);

impl Why {
    fn of(reason: &ExitReason) -> Self {
        match reason {
            ExitReason::Normal => Why::Normal,
            ExitReason::Shutdown => Why::Shutdown,
            ExitReason::Kill => Why::Kill,
            ExitReason::Killed => Why::Killed,
            ExitReason::NoProc => Why::NoProc,
            ExitReason::Panic(_) => Why::Panic,
            other => match (other.downcast_ref::<Own>(), other.downcast_ref::<Sent>()) {
                (Some(own), _) => Why::Own(own.0),
                (_, Some(sent)) => Why::Sent(sent.0),
                _ => Why::Other,
            },
        }
    }
}

fn part<K: std::hash::Hash>(key: &K) -> usize {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() as usize % PARTS
}

/// The pair in order, and whether the first one given is the higher.
fn pair(one: Pid, other: Pid) -> ((Pid, Pid), usize) {
    if one < other { ((one, other), 0) } else { ((other, one), 1) }
}

impl Book {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Book {
            counts: [const { AtomicU64::new(0) }; EVENTS],
            faults: Mutex::new(Vec::new()),
            more_faults: AtomicU64::new(0),
            pairs: std::array::from_fn(|_| Mutex::default()),
            reasons: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Counts one.
    pub(crate) fn count(&self, event: Ev) {
        self.counts[event as usize].fetch_add(1, Relaxed);
    }

    /// How often it has happened so far.
    pub(crate) fn of(&self, event: Ev) -> u64 {
        self.counts[event as usize].load(Relaxed)
    }

    /// All of it now.
    pub(crate) fn counts(&self) -> Counts {
        Counts(std::array::from_fn(|event| self.counts[event].load(Relaxed)))
    }

    /// Messages that were made and are neither handled nor dropped, about.
    pub(crate) fn in_flight(&self) -> u64 {
        let done = self.of(Ev::Handled) + self.of(Ev::Refused) + self.of(Ev::Unread);
        self.of(Ev::Made).saturating_sub(done)
    }

    /// Calls that wait, about.
    pub(crate) fn open_calls(&self) -> u64 {
        let over: u64 = CALLS_OVER.iter().map(|event| self.of(*event)).sum();
        self.of(Ev::Asked).saturating_sub(over)
    }

    /// Something that must not be.
    #[cold]
    pub(crate) fn fault(&self, text: impl Into<String>) {
        let mut faults = self.faults.lock();
        if faults.len() < KEPT {
            faults.push(text.into());
        } else {
            self.more_faults.fetch_add(1, Relaxed);
        }
    }

    /// The faults seen so far.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.lock().clone();
        let more = self.more_faults.load(Relaxed);
        if more > 0 {
            faults.push(format!("and {more} more"));
        }
        faults
    }

    /// Two processes are about to be linked by one of them.
    pub(crate) fn linked(&self, one: Pid, other: Pid) {
        let (key, _) = pair(one, other);
        let mut pairs = self.pairs[part(&key)].lock();
        pairs.entry(key).or_default().links += 1;
    }

    /// An EXIT has become a message of `me`.
    pub(crate) fn exit_came(&self, me: Pid, exit: &Exit) {
        let from = exit.from.filter(|from| *from != me);
        let is_sent = matches!(Why::of(&exit.reason), Why::Sent(to) if to == me);
        let Some(from) = from.filter(|_| !is_sent) else { return self.count(Ev::SentExits) };
        self.count(Ev::LinkExits);
        let (key, at) = pair(me, from);
        let mut pairs = self.pairs[part(&key)].lock();
        let Some(pair) = pairs.get_mut(&key) else {
            drop(pairs);
            return self.fault(format!("{me} got an EXIT of {from}, to which it never was linked"));
        };
        let is_no_proc = matches!(exit.reason, ExitReason::NoProc);
        if is_no_proc {
            pair.no_procs[at] += 1;
        } else {
            pair.ends[at] += 1;
        }
        let pair = *pair;
        drop(pairs);
        if pair.ends[at] > 1 || pair.ends[at] + pair.no_procs[at] > pair.links {
            self.fault(format!("{me} got an EXIT of {from} too many: {pair:?}"));
        }
        self.ended(from, &exit.reason);
    }

    /// Somebody was told that `pid` has ended. All must be told the same, but for those who came later.
    pub(crate) fn ended(&self, pid: Pid, reason: &ExitReason) {
        let why = Why::of(reason);
        if why == Why::NoProc {
            return;
        }
        let mut reasons = self.reasons[part(&pid)].lock();
        let first = *reasons.entry(pid).or_insert(why);
        drop(reasons);
        if first != why {
            self.fault(format!("{pid} has ended with {first:?} for one and {why:?} for another"));
        }
    }

    /// When all is over: whether the sums hold.
    pub(crate) fn compare(&self) {
        for (what, whole, parts) in SUMS {
            let (made, found) =
                (self.of(*whole), parts.iter().map(|part| self.of(*part)).sum::<u64>());
            if made != found {
                let parts: Vec<_> =
                    parts.iter().map(|part| format!("{part:?} {}", self.of(*part))).collect();
                let parts = parts.join(" + ");
                self.fault(format!("{what}: {whole:?} {made} is not {parts} = {found}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whitebeam::Runtime;

    /// Two pids, and an EXIT that comes to the first from the second.
    fn two() -> (Pid, Pid, impl Fn(ExitReason) -> Exit) {
        struct Idle;
        impl whitebeam::Actor for Idle {
            type Args = ();
            type Msg = Exit;
            async fn init(
                (): (),
                _: &mut whitebeam::Context<Self>,
            ) -> Result<Self, whitebeam::ExitReason> {
                Ok(Idle)
            }
            async fn handle(
                &mut self,
                _: Exit,
                _: &mut whitebeam::Context<Self>,
            ) -> Result<(), whitebeam::ExitReason> {
                Ok(())
            }
        }
        let rt = Runtime::simulated(1).expect("a tag");
        let (me, from) = (rt.spawn::<Idle>(()).pid(), rt.spawn::<Idle>(()).pid());
        // An `Exit` can't be made outside of the library: one is taken from a trap, and changed.
        let exit = trapped();
        (me, from, move |reason| {
            let mut exit = exit.clone();
            (exit.from, exit.reason) = (Some(from), reason);
            exit
        })
    }

    fn trapped() -> Exit {
        use std::sync::mpsc::{Sender, channel};
        struct Traps;
        impl whitebeam::Actor for Traps {
            type Args = Sender<Exit>;
            type Msg = Exit;
            async fn init(
                to: Sender<Exit>,
                cx: &mut whitebeam::Context<Self>,
            ) -> Result<Self, ExitReason> {
                cx.trap_exit(move |exit| {
                    let _ = to.send(exit.clone());
                    exit
                });
                cx.exit(cx.pid(), ExitReason::Normal);
                Ok(Traps)
            }
            async fn handle(
                &mut self,
                _: Exit,
                cx: &mut whitebeam::Context<Self>,
            ) -> Result<(), ExitReason> {
                cx.stop(ExitReason::Normal);
                Ok(())
            }
        }
        let rt = Runtime::simulated(1).expect("a tag");
        let (to, exit) = channel();
        rt.block_on(async {
            let traps = rt.spawn::<Traps>(to);
            rt.down(&traps).await;
        });
        exit.recv().expect("an EXIT")
    }

    fn faults(book: &Book) -> String {
        book.faults().join("; ")
    }

    #[test]
    fn an_exit_needs_a_link_and_comes_once() {
        let (me, from, exit) = two();
        let book = Book::new();
        book.exit_came(me, &exit(ExitReason::Normal));
        assert!(faults(&book).contains("never was linked"), "{}", faults(&book));

        let book = Book::new();
        book.linked(me, from);
        book.linked(from, me);
        book.exit_came(me, &exit(ExitReason::Normal));
        book.exit_came(me, &exit(ExitReason::NoProc));
        book.exit_came(me, &exit(ExitReason::custom(Sent(me))));
        assert_eq!(faults(&book), "");
        book.exit_came(me, &exit(ExitReason::NoProc));
        assert!(faults(&book).contains("too many"), "{}", faults(&book));

        let book = Book::new();
        (0..5).for_each(|_| book.linked(me, from));
        book.exit_came(me, &exit(ExitReason::Killed));
        book.exit_came(me, &exit(ExitReason::Killed));
        assert!(faults(&book).contains("too many"), "{}", faults(&book));
    }

    #[test]
    fn an_end_has_one_reason_for_all() {
        let (pid, _, _) = two();
        let book = Book::new();
        book.ended(pid, &ExitReason::custom(Own(7)));
        book.ended(pid, &ExitReason::NoProc);
        book.ended(pid, &ExitReason::custom(Own(7)));
        assert_eq!(faults(&book), "");
        book.ended(pid, &ExitReason::Killed);
        assert!(faults(&book).contains("has ended with Own(7)"), "{}", faults(&book));
    }

    #[test]
    fn every_sum_is_compared() {
        for (what, whole, parts) in SUMS {
            for event in std::iter::once(whole).chain(*parts) {
                let book = Book::new();
                // What belongs to two sums is in balance in the other.
                book.count(*event);
                book.compare();
                assert!(faults(&book).contains(&format!("{what}: {whole:?}")), "{event:?}");
            }
        }
        let book = Book::new();
        book.compare();
        assert_eq!(faults(&book), "");
    }

    #[test]
    fn faults_beyond_the_first_are_counted() {
        let book = Book::new();
        (0..20).for_each(|n| book.fault(format!("fault {n}")));
        let faults = book.faults();
        assert_eq!((faults.len(), faults[KEPT].as_str()), (KEPT + 1, "and 4 more"));
    }
}

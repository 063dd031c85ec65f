//! overload: one actor is flooded, the others' calls are measured.
//!
//! - Measured: an actor burns 10 us for each message. A thread sends it 200,000 a second, twice what it can take, for
//!   10 s. Eight others call a peer of theirs each 1 ms, before that for 5 s with nothing else to do, and meanwhile.
//!   Figures `unloaded_p99_us` and `others_p99_us`: from the moment when such a call was due by its timer to its answer,
//!   before and meanwhile; `p99_ratio`: one by the other; `unloaded_call_p99_us` and `others_call_p99_us`: the calls alone;
//!   `sent`; `refused`: came back to the sender, who was told; `lost`: neither came back nor were handled; `max_queue_len`;
//!   `rss_growth_mib`: resident memory at the end of the flood over that at its beginning.
//! - `--mailbox`: `bounded:N` (1,000 unless said otherwise), where a full mailbox refuses; `newest:N` and `oldest:N`, where
//!   it drops; or `unbounded`.
//! - Warm-up 1, repetitions 3 unless said otherwise.
//! - Checked: each message came back, or was handled, or is in the mailbox's count of what it has dropped; no mailbox was
//!   longer than its bound; each call was answered.
//! - Cannot show: a flood from within the runtime, which would take turns with the others.

use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::{AdditionError, CreationError, Histogram};
use whitebeam::{
    Actor, ActorRef, Context, ExitReason, Overflow, Reply, Runtime, SendFailure, SpawnOptions,
};

use crate::burn::burn;
use crate::failure::{Failure, expect_count};
use crate::process;
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const WORK: Duration = Duration::from_micros(10);
/// Messages a millisecond: twice as many as fit.
const FLOOD: u64 = 200;
const CALM: f64 = 5.0;
const STORM: f64 = 10.0;
const PAIRS: usize = 8;
const PAUSE: Duration = Duration::from_millis(1);
const MILLISECOND: Duration = Duration::from_millis(1);
/// Longest time that the histograms tell apart, in ns: a minute.
const LONGEST: u64 = 60_000_000_000;

/// The flooded actor's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mailbox {
    /// So many messages at most.
    Bounded(usize, Overflow),
    /// Takes all.
    Unbounded,
}

const POLICIES: [(&str, Overflow); 3] = [
    ("bounded", Overflow::Reject),
    ("newest", Overflow::DropNewest),
    ("oldest", Overflow::DropOldest),
];

impl FromStr for Mailbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unbounded" {
            return Ok(Mailbox::Unbounded);
        }
        let parsed = text.split_once(':').and_then(|(policy, bound)| {
            let (_, overflow) = POLICIES.into_iter().find(|(name, _)| *name == policy)?;
            Some(Mailbox::Bounded(bound.parse().ok().filter(|bound| *bound > 0)?, overflow))
        });
        parsed.ok_or_else(|| {
            "bounded:N, newest:N or oldest:N with N of 1 or more, or unbounded".to_owned()
        })
    }
}

impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mailbox::Bounded(bound, overflow) => {
                let policy = POLICIES.iter().find(|(_, policy)| policy == overflow);
                write!(f, "{}:{bound}", policy.map_or("bounded", |(name, _)| name))
            }
            Mailbox::Unbounded => f.write_str("unbounded"),
        }
    }
}

/// What one run gave.
struct Outcome {
    unloaded: Calls,
    loaded: Calls,
    sent: u64,
    refused: u64,
    lost: u64,
    max_queue: u64,
    growth: Option<f64>,
}

/// The calls of a span, in ns.
struct Calls {
    /// From when they were due.
    due: Histogram<u64>,
    /// From when they began.
    call: Histogram<u64>,
}

impl Calls {
    fn new() -> Result<Self, CreationError> {
        let none = Histogram::new_with_bounds(1, LONGEST, 3)?;
        Ok(Calls { due: none.clone(), call: none })
    }

    fn record(&mut self, due: Instant, begun: Instant) {
        let ns = |since: Instant| u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.due.saturating_record(ns(due).max(1));
        self.call.saturating_record(ns(begun).max(1));
    }

    fn add(&mut self, other: &Calls) -> Result<(), AdditionError> {
        self.due.add(&other.due)?;
        self.call.add(&other.call)
    }
}

fn p99_us(times: &Histogram<u64>) -> f64 {
    times.value_at_quantile(0.99) as f64 / 1e3
}

/// Runs the overload workload.
///
/// # Errors
///
/// When a run fails or one of its counts is off.
pub(crate) fn run(plan: &Plan, mailbox: Mailbox) -> Result<Vec<Figure>, Failure> {
    let spans = (Duration::from_secs_f64(CALM * plan.scale), STORM * plan.scale);
    let storm = Duration::from_secs_f64(spans.1);
    let series = plan.repeat(|| once(plan.workers, spans.0, storm, mailbox))?;
    let params = plan.params().with("mailbox", mailbox.to_string());
    let figure = |name, unit, pick: fn(&Outcome) -> Option<f64>| {
        series.figure("overload", &params, (name, unit), pick)
    };
    Ok(vec![
        figure("unloaded_p99_us", "us", |run| Some(p99_us(&run.unloaded.due))),
        figure("others_p99_us", "us", |run| Some(p99_us(&run.loaded.due))),
        figure("p99_ratio", "x", |run| Some(p99_us(&run.loaded.due) / p99_us(&run.unloaded.due))),
        figure("unloaded_call_p99_us", "us", |run| Some(p99_us(&run.unloaded.call))),
        figure("others_call_p99_us", "us", |run| Some(p99_us(&run.loaded.call))),
        figure("sent", "messages", |run| Some(run.sent as f64)),
        figure("refused", "messages", |run| Some(run.refused as f64)),
        figure("lost", "messages", |run| Some(run.lost as f64)),
        figure("max_queue_len", "messages", |run| Some(run.max_queue as f64)),
        figure("rss_growth_mib", "MiB", |run| run.growth),
    ])
}

fn once(
    workers: usize,
    calm: Duration,
    storm: Duration,
    mailbox: Mailbox,
) -> Result<Outcome, Failure> {
    let rt = under_test::runtime(workers)?;
    let options = match mailbox {
        Mailbox::Bounded(bound, overflow) => SpawnOptions::new().bounded(bound, overflow),
        Mailbox::Unbounded => SpawnOptions::new(),
    };
    let victim = rt.with(options).spawn::<Victim>(());
    let probes: Vec<_> = (0..PAIRS).map(|_| rt.spawn::<Probe>(rt.spawn::<Peer>(()))).collect();
    for probe in &probes {
        probe.cast(Look::Tick).map_err(Failure::library("starting a probe"))?;
    }

    thread::sleep(calm);
    let unloaded = calls(&rt, &probes)?;
    let before = process::resident_bytes();
    let flood = flood(&victim, storm)?;
    let after = process::resident_bytes();
    let loaded = calls(&rt, &probes)?;

    let max_queue = under_test::mailbox(&rt, &victim).map_or(0, |reading| reading.high_water);
    if let Mailbox::Bounded(bound, _) = mailbox
        && max_queue > bound as u64
    {
        return Err(Failure::Count { what: "longest mailbox", want: bound as u64, got: max_queue });
    }
    // Behind all that were accepted. Refused while the mailbox is full: then it waits.
    let handled = rt.block_on(async {
        victim.call(Load::Report).wait_for_room().timeout(under_test::LONGEST_WAIT).await
    });
    let handled = handled.map_err(Failure::library("asking the flooded actor"))?;
    let dropped = rt.info(&victim).map_or(0, |info| info.dropped);
    expect_count("messages handled", flood.accepted - dropped, handled)?;
    under_test::end(rt)?;

    let growth = after.zip(before).map(|(after, before)| after as f64 - before as f64);
    Ok(Outcome {
        unloaded,
        loaded,
        sent: flood.accepted + flood.refused,
        refused: flood.refused,
        lost: flood.accepted - handled,
        max_queue,
        growth: growth.map(|bytes| bytes / f64::from(1 << 20)),
    })
}

/// What became of a flood.
struct Flood {
    accepted: u64,
    refused: u64,
}

fn flood(victim: &ActorRef<Load>, storm: Duration) -> Result<Flood, Failure> {
    process::sleep_precisely();
    let begun = Instant::now();
    let mut flood = Flood { accepted: 0, refused: 0 };
    while begun.elapsed() < storm {
        let due = (begun.elapsed().as_nanos() / MILLISECOND.as_nanos() + 1) as u64 * FLOOD;
        while flood.accepted + flood.refused < due {
            match victim.cast(Load::Work) {
                Ok(()) => flood.accepted += 1,
                Err(refused) if refused.why() == SendFailure::Full => flood.refused += 1,
                Err(failed) => return Err(Failure::library("flooding")(failed)),
            }
        }
        thread::sleep(MILLISECOND);
    }
    Ok(flood)
}

/// The probes' calls since they were asked last, in one.
fn calls(rt: &Runtime, probes: &[ActorRef<Look>]) -> Result<Calls, Failure> {
    let mut all = Calls::new().map_err(Failure::system("making a histogram"))?;
    for probe in probes {
        let told =
            rt.block_on(async { probe.call(Look::Report).timeout(under_test::LONGEST_WAIT).await });
        let some = told.map_err(Failure::library("asking a probe"))?;
        if some.due.is_empty() {
            return Err(Failure::Count { what: "calls of a probe (at least)", want: 1, got: 0 });
        }
        all.add(&some).map_err(Failure::system("adding histograms"))?;
    }
    Ok(all)
}

/// Is flooded.
struct Victim {
    handled: u64,
}

#[derive(Debug)]
enum Load {
    Work,
    /// How many there were.
    Report(Reply<u64>),
}

impl Actor for Victim {
    type Args = ();
    type Msg = Load;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { handled: 0 })
    }

    async fn handle(&mut self, msg: Load, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Load::Work => {
                burn(WORK);
                self.handled += 1;
            }
            Load::Report(reply) => reply.send(self.handled),
        }
        Ok(())
    }
}

/// Answers.
struct Peer;

#[derive(Debug)]
struct Ping(Reply<()>);

impl Actor for Peer {
    type Args = ();
    type Msg = Ping;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    async fn handle(
        &mut self,
        Ping(reply): Ping,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send(());
        Ok(())
    }
}

/// Calls its peer each millisecond.
struct Probe {
    peer: ActorRef<Ping>,
    due: Instant,
    calls: Calls,
}

#[derive(Debug)]
enum Look {
    /// Call.
    Tick,
    /// The calls since the last time.
    Report(Reply<Calls>),
}

impl Actor for Probe {
    type Args = ActorRef<Ping>;
    type Msg = Look;

    async fn init(peer: ActorRef<Ping>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { peer, due: Instant::now(), calls: Calls::new()? })
    }

    async fn handle(&mut self, msg: Look, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Look::Tick => {
                let begun = Instant::now();
                self.peer.call(Ping).await?;
                self.calls.record(self.due, begun);
                self.due = Instant::now() + PAUSE;
                cx.send_after(PAUSE, Look::Tick);
            }
            Look::Report(reply) => {
                let new = Calls::new()?;
                reply.send(std::mem::replace(&mut self.calls, new));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Mailbox, Overflow};

    #[test]
    fn mailboxes_are_read_as_they_are_written() {
        assert_eq!("bounded:1".parse(), Ok(Mailbox::Bounded(1, Overflow::Reject)));
        for text in ["bounded:1", "newest:70000", "oldest:2", "unbounded"] {
            assert_eq!(
                text.parse::<Mailbox>().map(|mailbox| mailbox.to_string()).as_deref(),
                Ok(text)
            );
        }
        for wrong in
            ["", "bounded", "bounded:0", "bounded:-1", "bounded:many", "unbound", "first:2"]
        {
            let error = wrong.parse::<Mailbox>().expect_err(wrong);
            assert!(error.contains("bounded:N"), "{error}");
        }
    }
}

//! W10: what a probe sees of the machine's time while others always have work.
//!
//! - Measured: four actors (the hogs) burn 20 us for each message and send themselves the next, for 5 s. Meanwhile a
//!   probe sends its peer a message and gets one back, pauses for 1 ms, and so on. Figures `round_trip_p50_us`, `_p99_`,
//!   `_p99_9_`: from the probe's message to the answer. `lateness_p50_ms`, `_p99_`, `_p99_9_`: how much longer than
//!   1 ms it was from the answer to the answer after: the pause's lateness and the round trip. `probes`: how many.
//! - `--hog never-yields`: one actor more, whose one handler burns for the 5 s without giving way. `--spare on`: the
//!   runtime has a spare worker, which stands in for one that is held.
//! - Warm-up 1, repetitions 5. Percentiles are each repetition's own.
//! - Checked: the peer answered as often as the probe counts; each hog came to work, and none lost its message; the
//!   one that never yields ended once; the spare worked, if there is one and it was needed.
//! - Cannot show: a pause that comes from outside (an I/O driver's). The spare is one thread more than there are
//!   workers: with as many workers as cores, the system shares them out.

use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use whitebeam::{Actor, ActorRef, Context, ExitReason, Reply, Runtime};

use crate::burn::burn;
use crate::failure::{Failure, expect_count};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::sampler::ENOUGH_SAMPLES;
use crate::under_test;

const HOGS: usize = 4;
const WORK: Duration = Duration::from_micros(20);
const PAUSE: Duration = Duration::from_millis(1);
const SPAN: f64 = 5.0;

/// Longest time that the histograms tell apart, in ns: a minute.
const LONGEST: u64 = 60_000_000_000;

/// A run in which a spare must have had its chance.
const NEEDS_SPARE: Duration = Duration::from_millis(100);

/// Who always has work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HogKind {
    /// Four that give way after each 20 us
    Yields,
    /// One more, which gives way never
    NeverYields,
}

/// Whether the runtime has a spare worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spare {
    /// One
    On,
    /// None
    Off,
}

/// What one run gave.
struct Outcome {
    /// In ns.
    round_trip: Histogram<u64>,
    /// In ns.
    lateness: Histogram<u64>,
}

impl Outcome {
    fn new() -> Result<Self, Failure> {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST, 3).map_err(Failure::system("making a histogram"))
        };
        Ok(Outcome { round_trip: histogram()?, lateness: histogram()? })
    }
}

/// Runs W10.
///
/// # Errors
///
/// When a run fails or one of its counts is off.
pub(crate) fn run(plan: &Plan, hog: HogKind, spare: Spare) -> Result<Vec<Figure>, Failure> {
    let span = Duration::from_secs_f64(SPAN * plan.scale);
    let series = plan.repeat(|| once(plan.workers, span, hog, spare))?;
    let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let params = plan
        .params()
        .with("hog", name(&|| hog.to_possible_value()))
        .with("spare", name(&|| spare.to_possible_value()));
    let mut figures = Vec::new();
    for (name, quantile) in
        [("round_trip_p50_us", 0.5), ("round_trip_p99_us", 0.99), ("round_trip_p99_9_us", 0.999)]
    {
        figures.push(series.figure("W10", &params, (name, "us"), |run| {
            percentile(&run.round_trip, quantile).map(|ns| ns / 1e3)
        }));
    }
    for (name, quantile) in
        [("lateness_p50_ms", 0.5), ("lateness_p99_ms", 0.99), ("lateness_p99_9_ms", 0.999)]
    {
        figures.push(series.figure("W10", &params, (name, "ms"), |run| {
            percentile(&run.lateness, quantile).map(|ns| ns / 1e6)
        }));
    }
    let probes = |run: &Outcome| Some(run.round_trip.len() as f64);
    figures.push(series.figure("W10", &params, ("probes", "probes"), probes));
    Ok(figures)
}

fn percentile(histogram: &Histogram<u64>, quantile: f64) -> Option<f64> {
    let is_enough = histogram.len() >= ENOUGH_SAMPLES;
    is_enough.then(|| histogram.value_at_quantile(quantile) as f64)
}

fn once(workers: usize, span: Duration, hog: HogKind, spare: Spare) -> Result<Outcome, Failure> {
    let spares = usize::from(spare == Spare::On);
    let builder = Runtime::builder().workers(workers).spare_workers(spares);
    let rt = builder.build().map_err(Failure::library("starting a runtime"))?;
    let hogs: Vec<_> = (0..HOGS).map(|_| rt.spawn::<Hog>(())).collect();
    let peer = rt.spawn::<Peer>(());
    let probe = rt.spawn::<Probe>((peer.clone(), Outcome::new()?));
    for hog in &hogs {
        hog.cast(Work::Go).map_err(Failure::library("setting the hogs to work"))?;
    }
    let longest = match hog {
        HogKind::Yields => None,
        HogKind::NeverYields => {
            let longest = rt.spawn::<Longest>(());
            longest.cast(Long::Burn(span)).map_err(Failure::library("setting the hog to work"))?;
            Some(longest)
        }
    };
    probe.cast(Look::Begin).map_err(Failure::library("starting the probe"))?;
    thread::sleep(span);

    let outcome = ask(&rt, probe.call(Look::Report), "asking the probe")?;
    let answered = ask(&rt, peer.call(Ping::Report), "asking the peer")?;
    expect_count("pings answered", outcome.round_trip.len(), answered)?;
    for hog in &hogs {
        let worked = ask(&rt, hog.call(Work::Stop), "stopping the hogs")?;
        if worked == 0 {
            return Err(Failure::Count { what: "messages of a hog (at least)", want: 1, got: 0 });
        }
    }
    if let Some(longest) = longest {
        let burned = ask(&rt, longest.call(Long::Report), "waiting for the hog")?;
        expect_count("times that the hog has burned", 1, burned)?;
        let stood_in = rt.metrics().get(workers).is_some_and(|spare| spare.runs > 0);
        if spare == Spare::On && span >= NEEDS_SPARE && !stood_in {
            return Err(Failure::Count { what: "runs of the spare (at least)", want: 1, got: 0 });
        }
    }
    under_test::end(rt)?;
    Ok(outcome)
}

fn ask<M: Send + 'static, T: Send + 'static>(
    rt: &Runtime,
    call: whitebeam::Call<'_, M, T>,
    doing: &'static str,
) -> Result<T, Failure> {
    let answer = rt.block_on(async { call.timeout(under_test::LONGEST_WAIT).await });
    answer.map_err(Failure::library(doing))
}

/// Always has work.
struct Hog {
    worked: u64,
    stopped: Option<Reply<u64>>,
}

#[derive(Debug)]
enum Work {
    /// Burn, and send yourself the next.
    Go,
    /// Stop at the next, and say how many there were.
    Stop(Reply<u64>),
}

impl Actor for Hog {
    type Args = ();
    type Msg = Work;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { worked: 0, stopped: None })
    }

    async fn handle(&mut self, msg: Work, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Work::Stop(reply) => self.stopped = Some(reply),
            Work::Go => {
                burn(WORK);
                self.worked += 1;
                match self.stopped.take() {
                    None => cx.me().cast(Work::Go)?,
                    Some(reply) => reply.send(self.worked),
                }
            }
        }
        Ok(())
    }
}

/// Never gives way.
struct Longest {
    burned: u64,
}

#[derive(Debug)]
enum Long {
    /// Burn for so long.
    Burn(Duration),
    /// Say how often you did.
    Report(Reply<u64>),
}

impl Actor for Longest {
    type Args = ();
    type Msg = Long;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { burned: 0 })
    }

    async fn handle(&mut self, msg: Long, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Long::Burn(time) => {
                burn(time);
                self.burned += 1;
            }
            Long::Report(reply) => reply.send(self.burned),
        }
        Ok(())
    }
}

/// Answers.
struct Peer {
    answered: u64,
}

#[derive(Debug)]
enum Ping {
    Ping(ActorRef<Look>),
    /// Say how many there were.
    Report(Reply<u64>),
}

impl Actor for Peer {
    type Args = ();
    type Msg = Ping;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { answered: 0 })
    }

    async fn handle(&mut self, msg: Ping, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Ping::Ping(from) => {
                self.answered += 1;
                from.cast(Look::Pong)?;
            }
            Ping::Report(reply) => reply.send(self.answered),
        }
        Ok(())
    }
}

/// Measures.
struct Probe {
    peer: ActorRef<Ping>,
    /// Taken when it is asked for.
    outcome: Option<Outcome>,
    /// When the pause began.
    cycle: Instant,
    /// When the last ping was sent.
    sent: Instant,
    /// Who wants the outcome after the round trip that is under way.
    report: Option<Reply<Outcome>>,
}

enum Look {
    Begin,
    /// The pause is over.
    Tick,
    Pong,
    /// Stop after this round trip, and say what it came to.
    Report(Reply<Outcome>),
}

impl Actor for Probe {
    type Args = (ActorRef<Ping>, Outcome);
    type Msg = Look;

    async fn init(
        (peer, outcome): Self::Args,
        _cx: &mut Context<Self>,
    ) -> Result<Self, ExitReason> {
        let now = Instant::now();
        Ok(Self { peer, outcome: Some(outcome), cycle: now, sent: now, report: None })
    }

    async fn handle(&mut self, msg: Look, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Look::Begin => self.pause(Instant::now(), cx),
            Look::Tick => {
                self.sent = Instant::now();
                self.peer.cast(Ping::Ping(cx.me()))?;
            }
            Look::Pong => {
                let now = Instant::now();
                if let Some(outcome) = &mut self.outcome {
                    outcome.round_trip.saturating_record(nanos(now - self.sent));
                    let cycle = now - self.cycle;
                    outcome.lateness.saturating_record(nanos(cycle.saturating_sub(PAUSE)));
                }
                match (self.report.take(), self.outcome.take()) {
                    (Some(reply), Some(outcome)) => reply.send(outcome),
                    (_, outcome) => {
                        self.outcome = outcome;
                        self.pause(now, cx);
                    }
                }
            }
            Look::Report(reply) => self.report = Some(reply),
        }
        Ok(())
    }
}

impl Probe {
    fn pause(&mut self, now: Instant, cx: &mut Context<Self>) {
        self.cycle = now;
        cx.send_after(PAUSE, Look::Tick);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}

//! W11: 1,000,000 one-shot timers.
//!
//! - Measured: 10,000 actors set 100 timers each, at times that are spread over 2 to 4 s from the start, in no
//!   order; until the last has fired. How late each came, handled on its actor: figures `lateness_p50_ms` and
//!   `lateness_p99_ms`. CPU time of the whole process from the first timer set to the last fired: `cpu_s`.
//! - Warm-up 1, repetitions 5. A smaller scale has fewer timers over a shorter span.
//! - Checked: each timer fired once, none early.
//! - Cannot show: how long setting a timer takes its actor; it is in the CPU time only.

use std::sync::Arc;
use std::time::Duration;

use whitebeam::{Actor, ActorRef, Context, ExitReason, Reply, Time};

use crate::failure::{Failure, expect_count};
use crate::finish_line::{self, Line};
use crate::process;
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const TIMERS: u64 = 1_000_000;
const EACH: u64 = 100;
/// When the first may be due, and over how long they are spread.
const FIRST: Duration = Duration::from_secs(2);
const SPREAD: Duration = Duration::from_secs(2);

/// Runs W11.
///
/// # Errors
///
/// When a run fails or its counts are off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let actors = plan.scaled(TIMERS / EACH);
    let span = (FIRST.mul_f64(plan.scale), SPREAD.mul_f64(plan.scale));
    let series = plan.repeat(|| once(plan.workers, actors, span))?;
    let params = plan.params();
    Ok(vec![
        series.figure("W11", &params, ("lateness_p50_ms", "ms"), |run| Some(run.late_ms(50))),
        series.figure("W11", &params, ("lateness_p99_ms", "ms"), |run| Some(run.late_ms(99))),
        series.figure("W11", &params, ("cpu_s", "s"), |run| run.cpu_s),
    ])
}

/// What one run gave.
#[derive(Debug)]
struct Run {
    /// Nanoseconds, in order.
    late: Vec<u32>,
    cpu_s: Option<f64>,
}

impl Run {
    fn late_ms(&self, percent: usize) -> f64 {
        let last = self.late.len().saturating_sub(1);
        self.late.get(last * percent / 100).map_or(0.0, |ns| f64::from(*ns) / 1e6)
    }
}

fn once(workers: usize, actors: u64, span: (Duration, Duration)) -> Result<Run, Failure> {
    let rt = under_test::runtime(workers)?;
    let line = finish_line::start(&rt);
    let all: Vec<ActorRef<Msg>> =
        (0..actors).map(|number| rt.spawn::<Sleeper>((number, line.clone()))).collect();

    let before = process::cpu_time();
    let begin = Arc::new(Begin { at: rt.now(), span });
    for actor in &all {
        let set = Msg::Set(begin.clone());
        actor.cast(set).map_err(Failure::library("having timers set"))?;
    }
    rt.block_on(finish_line::wait(&line, actors, "actors through", actors))?;
    let after = process::cpu_time();

    let mut late = Vec::new();
    let mut early = 0;
    for actor in &all {
        let told = rt.block_on(async { actor.call(Msg::Tell).await });
        let (some, too_early) = told.map_err(Failure::library("asking how late they were"))?;
        late.extend(some);
        early += too_early;
    }
    under_test::end(rt)?;
    expect_count("timers that fired early", 0, early)?;
    expect_count("timers that fired", actors * EACH, late.len() as u64)?;
    late.sort_unstable();
    let cpu_s = after.zip(before).map(|(after, before)| (after - before).as_secs_f64());
    Ok(Run { late, cpu_s })
}

/// From when on, and over what time.
#[derive(Debug)]
struct Begin {
    at: Time,
    span: (Duration, Duration),
}

/// Sets timers and notes how late they come.
struct Sleeper {
    number: u64,
    line: ActorRef<Line>,
    late: Vec<u32>,
    early: u64,
}

#[derive(Debug)]
enum Msg {
    Set(Arc<Begin>),
    Due(Time),
    Tell(Reply<(Vec<u32>, u64)>),
}

impl Actor for Sleeper {
    type Args = (u64, ActorRef<Line>);
    type Msg = Msg;

    async fn init((number, line): Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { number, line, late: Vec::with_capacity(EACH as usize), early: 0 })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Set(begin) => {
                let (first, spread) = begin.span;
                for n in 0..EACH {
                    // Each number of the span once, in no order: a multiplier that shares no factor with 2^32.
                    let at = ((self.number * EACH + n) as u32).wrapping_mul(2_654_435_761);
                    let due = begin.at + first + spread.mul_f64(f64::from(at) / 4_294_967_296.0);
                    cx.send_at(due, Msg::Due(due));
                }
            }
            Msg::Due(due) => {
                let now = cx.runtime().now();
                self.early += u64::from(now < due);
                self.late.push(u32::try_from((now - due).as_nanos()).unwrap_or(u32::MAX));
                if self.late.len() as u64 == EACH {
                    self.line.cast(Line::Arrive(1))?;
                }
            }
            Msg::Tell(reply) => reply.send((std::mem::take(&mut self.late), self.early)),
        }
        Ok(())
    }
}

//! W3: a token runs round a ring of 10,000 actors.
//!
//! - Measured: 2,000,000 hops of one token, each to an actor that has not run for 10,000 hops.
//!   Figure `ns_per_hop`.
//! - Warm-up 1, repetitions 5.
//! - Checked: the hops counted by all actors add up.
//! - Cannot show: cold memory. 10,000 small actors fit the second-level cache of most machines.

use std::time::Instant;

use whitebeam::{Actor, ActorRef, Context, ExitReason};

use crate::failure::Failure;
use crate::finish_line::{self, Line};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const ACTORS: u64 = 10_000;
const HOPS: u64 = 2_000_000;

/// Runs W3.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let (actors, hops) = (plan.scaled(ACTORS), plan.scaled(HOPS));
    let series = plan.repeat(|| once(plan.workers, actors, hops))?;
    Ok(vec![series.figure("W3", &plan.params(), ("ns_per_hop", "ns"), |ns| Some(*ns))])
}

fn once(workers: usize, actors: u64, hops: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let line = finish_line::start(&rt);
    let mut ring = vec![rt.spawn::<Link>((line.clone(), None))];
    for _ in 1..actors {
        let next = ring.last().cloned();
        ring.push(rt.spawn::<Link>((line.clone(), next)));
    }
    let (first, last) = (&ring[0], &ring[ring.len() - 1]);
    first.cast(Msg::Next(last.clone())).map_err(Failure::library("closing the ring"))?;

    let start = Instant::now();
    first.cast(Msg::Token(hops - 1)).map_err(Failure::library("starting the token"))?;
    rt.block_on(finish_line::wait(&line, 1, "arrivals of the token", 1))?;
    let figure = super::ns_each(start, hops);

    for link in &ring {
        link.cast(Msg::Report).map_err(Failure::library("asking the actors for their hops"))?;
    }
    rt.block_on(finish_line::wait(
        &line,
        1 + actors,
        "hops of all actors, and the arrival",
        1 + hops,
    ))?;
    under_test::end(rt)?;
    Ok(figure)
}

struct Link {
    line: ActorRef<Line>,
    next: Option<ActorRef<Msg>>,
    /// Times the token was here.
    hops: u64,
}

#[derive(Debug)]
enum Msg {
    /// The token goes on to this one: closes the ring.
    Next(ActorRef<Msg>),
    /// The token, with the hops left after this one.
    Token(u64),
    /// Tell the finish line how often the token was here.
    Report,
}

impl Actor for Link {
    type Args = (ActorRef<Line>, Option<ActorRef<Msg>>);
    type Msg = Msg;

    async fn init((line, next): Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { line, next, hops: 0 })
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Next(next) => self.next = Some(next),
            Msg::Token(left) => {
                self.hops += 1;
                match &self.next {
                    None => return Err(ExitReason::custom("the ring is open")),
                    Some(_) if left == 0 => self.line.cast(Line::Arrive(1))?,
                    Some(next) => next.cast(Msg::Token(left - 1))?,
                }
            }
            Msg::Report => self.line.cast(Line::Arrive(self.hops))?,
        }
        Ok(())
    }
}

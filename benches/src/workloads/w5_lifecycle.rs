//! W5: the whole life of 1,000,000 short-lived actors.
//!
//! - Measured: one actor spawns 1,000,000 others and sends each a message; each sends one on to a
//!   sink and stops; until the sink has counted all. Figure `us_per_lifecycle`.
//! - Warm-up 1, repetitions 5.
//! - Checked: the sum at the sink; each actor's state was dropped.
//! - Cannot show: the last ends themselves. The clock stops when the sink has the last message,
//!   which its sender sends just before it stops.

use std::time::Instant;

use whitebeam::{Actor, ActorRef, Context, ExitReason};

use crate::failure::{Failure, expect_count};
use crate::finish_line::{self, Line};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::tally::{self, Event, Tally};
use crate::under_test;

const ACTORS: u64 = 1_000_000;

/// Runs W5.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let actors = plan.scaled(ACTORS);
    let series = plan.repeat(|| once(plan.workers, actors))?;
    Ok(vec![series.figure("W5", &plan.params(), ("us_per_lifecycle", "us"), |us| Some(*us))])
}

fn once(workers: usize, actors: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let tally = Tally::start();
    let sink = finish_line::start(&rt);
    let breeder = rt.spawn::<Breeder>(sink.clone());

    let start = Instant::now();
    breeder.cast(Breed(actors)).map_err(Failure::library("starting the spawner"))?;
    rt.block_on(finish_line::wait(&sink, actors, "sum at the sink", actors * (actors - 1) / 2))?;
    let figure = super::ns_each(start, actors) / 1e3;

    under_test::end(rt)?;
    expect_count("actors ended", actors, tally.of(Event::Ended))?;
    Ok(figure)
}

/// Spawns the others.
struct Breeder {
    sink: ActorRef<Line>,
}

/// Spawn so many.
#[derive(Debug)]
struct Breed(u64);

impl Actor for Breeder {
    type Args = ActorRef<Line>;
    type Msg = Breed;

    async fn init(sink: ActorRef<Line>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { sink })
    }

    async fn handle(
        &mut self,
        Breed(actors): Breed,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        for n in 0..actors {
            cx.spawn::<Mayfly>(self.sink.clone()).cast(Live(n))?;
        }
        Ok(())
    }
}

/// Lives for one message.
struct Mayfly {
    sink: ActorRef<Line>,
}

/// Send this number on, and stop.
#[derive(Debug)]
struct Live(u64);

impl Actor for Mayfly {
    type Args = ActorRef<Line>;
    type Msg = Live;

    async fn init(sink: ActorRef<Line>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { sink })
    }

    async fn handle(
        &mut self,
        Live(number): Live,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        self.sink.cast(Line::Arrive(number))?;
        cx.stop(ExitReason::Normal);
        Ok(())
    }
}

impl Drop for Mayfly {
    fn drop(&mut self) {
        tally::count(Event::Ended);
    }
}

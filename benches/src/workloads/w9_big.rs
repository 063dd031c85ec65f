//! W9: big, from the Savina suite (S. Imam, V. Sarkar, "Savina, an actor benchmark suite", AGERE!
//! 2014).
//!
//! - Measured: 1,000 actors, each sends 1,000 pings, one at a time, to others chosen at random, and
//!   waits for the pong before the next; until all are through. Figure `m_msg_per_s`: pings and
//!   pongs, 2,000,000, over the time.
//! - Warm-up 1, repetitions 5. The choices are the same in each.
//! - Checked: pings answered and pongs received, each by its own count.
//! - Cannot show: how evenly the workers share. Each message has its own sender and receiver, and
//!   how many of them cross the cores is the scheduler's choice.

use std::sync::Arc;
use std::time::Instant;

use whitebeam::{Actor, ActorRef, Context, ExitReason, Reply};

use crate::failure::Failure;
use crate::finish_line::{self, Line};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const ACTORS: usize = 1_000;
const PINGS: u64 = 1_000;

/// Runs W9.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let pings = plan.scaled(PINGS);
    let series = plan.repeat(|| once(plan.workers, pings))?;
    Ok(vec![series.figure("W9", &plan.params(), ("m_msg_per_s", "M/s"), |rate| Some(*rate))])
}

fn once(workers: usize, pings: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let line = finish_line::start(&rt);
    let all: Arc<[ActorRef<Msg>]> =
        (0..ACTORS).map(|index| rt.spawn::<Friend>((index, line.clone()))).collect();
    rt.block_on(async {
        for friend in all.iter() {
            friend.call(|reply| Msg::Meet(Arc::clone(&all), reply)).await?;
        }
        Ok(())
    })
    .map_err(|error: whitebeam::CallError| Failure::library("introducing the actors")(error))?;
    let total = ACTORS as u64 * pings;

    let start = Instant::now();
    for friend in all.iter() {
        friend.cast(Msg::Begin(pings)).map_err(Failure::library("starting the pings"))?;
    }
    rt.block_on(finish_line::wait(&line, ACTORS as u64, "pongs received", total))?;
    let figure = super::m_per_s(start, 2 * total);

    for friend in all.iter() {
        friend.cast(Msg::Report).map_err(Failure::library("asking the actors for their pings"))?;
    }
    let sum = 2 * total;
    rt.block_on(finish_line::wait(
        &line,
        2 * ACTORS as u64,
        "pongs received and pings answered",
        sum,
    ))?;
    under_test::end(rt)?;
    Ok(figure)
}

struct Friend {
    index: usize,
    line: ActorRef<Line>,
    /// All actors, this one among them.
    all: Arc<[ActorRef<Msg>]>,
    random: Random,
    /// Pings still to send.
    left: u64,
    /// Pongs received.
    pongs: u64,
    /// Pings answered.
    answered: u64,
}

#[derive(Debug)]
enum Msg {
    /// These are all.
    Meet(Arc<[ActorRef<Msg>]>, Reply<()>),
    /// Send so many pings.
    Begin(u64),
    /// A ping of the actor with this index.
    Ping(usize),
    /// The answer to one.
    Pong,
    /// Tell the finish line how many pings were answered.
    Report,
}

impl Friend {
    /// Sends the next ping, or reports when none is left.
    fn go_on(&mut self) -> Result<(), ExitReason> {
        if self.left == 0 {
            self.line.cast(Line::Arrive(self.pongs))?;
            return Ok(());
        }
        self.left -= 1;
        // One of the others: those from this one's own index on move up by one.
        let choice = self.random.below(self.all.len() - 1);
        let other = if choice < self.index { choice } else { choice + 1 };
        self.all[other].cast(Msg::Ping(self.index))?;
        Ok(())
    }
}

impl Actor for Friend {
    type Args = (usize, ActorRef<Line>);
    type Msg = Msg;

    async fn init((index, line): Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let random = Random(index as u64 + 1);
        Ok(Self { index, line, all: Arc::new([]), random, left: 0, pongs: 0, answered: 0 })
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Meet(all, reply) => {
                self.all = all;
                reply.send(());
            }
            Msg::Begin(pings) => {
                self.left = pings;
                self.go_on()?;
            }
            Msg::Ping(from) => {
                self.answered += 1;
                self.all[from].cast(Msg::Pong)?;
            }
            Msg::Pong => {
                self.pongs += 1;
                self.go_on()?;
            }
            Msg::Report => self.line.cast(Line::Arrive(self.answered))?,
        }
        Ok(())
    }
}

/// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014).
struct Random(u64);

impl Random {
    /// A number below `bound`, which is far below 2^64: the bias is of no matter here.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_values() {
        // The first outputs of SplitMix64 seeded with 1234567, as in Rosetta Code's test.
        let mut random = Random(1_234_567);
        assert_eq!(random.below(usize::MAX) as u64, 6_457_827_717_110_365_317);
        assert_eq!(random.below(usize::MAX) as u64, 3_203_168_211_198_807_973);
    }
}

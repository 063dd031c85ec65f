//! W1: ping-pong, the cost of a message when there is nothing else to do.
//!
//! - Measured: two actors and one message in flight, 1,000,000 round trips, from the first serve
//!   until both players have reported their hops. Figure `ns_per_hop`: time over 2,000,000 hops.
//! - Warm-up 1, repetitions 5.
//! - Checked: the hops counted by the players add up.
//! - Cannot show: what a message costs between two cores. A good scheduler keeps the pair on one.

use std::time::Instant;

use whitebeam::{Actor, ActorRef, Context, ExitReason, Handle};

use crate::failure::Failure;
use crate::finish_line::{self, Line};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const ROUND_TRIPS: u64 = 1_000_000;

/// Runs W1.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let round_trips = plan.scaled(ROUND_TRIPS);
    let series = plan.repeat(|| once(plan.workers, round_trips))?;
    Ok(vec![series.figure("W1", &plan.params(), ("ns_per_hop", "ns"), |ns| Some(*ns))])
}

fn once(workers: usize, round_trips: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let line = finish_line::start(&rt);
    let server = pair(&rt, &line)?;

    let start = Instant::now();
    serve(&server, round_trips)?;
    rt.block_on(finish_line::wait(&line, 2, "hops of both players", 2 * round_trips))?;
    let figure = super::ns_each(start, 2 * round_trips);

    under_test::end(rt)?;
    Ok(figure)
}

/// Two players who know each other; the one that serves.
///
/// # Errors
///
/// When a player has ended before the game.
pub(super) fn pair(rt: &Handle, line: &ActorRef<Line>) -> Result<ActorRef<Msg>, Failure> {
    let (one, other) = (rt.spawn::<Player>(line.clone()), rt.spawn::<Player>(line.clone()));
    let meet = |player: &ActorRef<Msg>, peer: &ActorRef<Msg>| {
        player.cast(Msg::Peer(peer.clone())).map_err(Failure::library("introducing two players"))
    };
    meet(&one, &other)?;
    meet(&other, &one)?;
    Ok(one)
}

/// Starts a game of so many round trips. Both players report their hops at its end.
///
/// # Errors
///
/// When the player has ended.
pub(super) fn serve(server: &ActorRef<Msg>, round_trips: u64) -> Result<(), Failure> {
    server.cast(Msg::Serve(2 * round_trips)).map_err(Failure::library("serving"))
}

struct Player {
    line: ActorRef<Line>,
    peer: Option<ActorRef<Msg>>,
    /// Balls received.
    hops: u64,
}

#[derive(Debug)]
pub(super) enum Msg {
    /// Play with this one.
    Peer(ActorRef<Msg>),
    /// Begin a game of so many hops.
    Serve(u64),
    /// The ball, with the hops left after this one.
    Ball(u64),
}

impl Player {
    /// Sends the ball on its next hop, when one is left.
    fn strike(&self, left: u64) -> Result<(), ExitReason> {
        let Some(peer) = &self.peer else {
            return Err(ExitReason::custom("a player without a peer"));
        };
        if left > 0 {
            peer.cast(Msg::Ball(left - 1))?;
        }
        Ok(())
    }
}

impl Actor for Player {
    type Args = ActorRef<Line>;
    type Msg = Msg;

    async fn init(line: ActorRef<Line>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { line, peer: None, hops: 0 })
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Peer(peer) => self.peer = Some(peer),
            Msg::Serve(hops) => self.strike(hops)?,
            Msg::Ball(left) => {
                self.hops += 1;
                self.strike(left)?;
                // The last ball of this player: one of the two gets 1, the other 0.
                if left < 2 {
                    self.line.cast(Line::Arrive(self.hops))?;
                }
            }
        }
        Ok(())
    }
}

//! W1b: 1,000 ping-pong pairs at once.
//!
//! - Measured: 1,000 pairs of W1's players, each with one message in flight, 1,000 round trips;
//!   from the first serve until all have reported. Figure `m_hops_per_s`: 2,000,000 hops over the
//!   time, in millions a second.
//! - Warm-up 1, repetitions 5.
//! - Checked: the hops counted by all players add up.
//! - Cannot show: a steady state. A run takes some 20 ms, and a part of it is the second worker
//!   joining in.

use std::time::Instant;

use super::w1_ping_pong::{pair, serve};
use crate::failure::Failure;
use crate::finish_line;
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const PAIRS: u64 = 1_000;
const ROUND_TRIPS: u64 = 1_000;

/// Runs W1b.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let pairs = plan.scaled(PAIRS);
    let series = plan.repeat(|| once(plan.workers, pairs))?;
    Ok(vec![series.figure("W1b", &plan.params(), ("m_hops_per_s", "M/s"), |rate| Some(*rate))])
}

fn once(workers: usize, pairs: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let line = finish_line::start(&rt);
    let servers = (0..pairs).map(|_| pair(&rt, &line)).collect::<Result<Vec<_>, _>>()?;
    let hops = 2 * ROUND_TRIPS * pairs;

    let start = Instant::now();
    for server in &servers {
        serve(server, ROUND_TRIPS)?;
    }
    rt.block_on(finish_line::wait(&line, 2 * pairs, "hops of all players", hops))?;
    let figure = super::m_per_s(start, hops);

    under_test::end(rt)?;
    Ok(figure)
}

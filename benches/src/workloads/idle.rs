//! idle: what actors with nothing to do cost.
//!
//! - Measured: CPU time of the whole process over 5 s in which 100,000 actors have nothing to do,
//!   from the moment the last has run its `init`. Figure `cpu_ms`.
//! - Warm-up 1, repetitions 5.
//! - Checked: all actors are there before and after.
//! - Cannot show: the cost of timers that are set, for there are none.

use std::thread;
use std::time::Duration;

use super::w4_spawn::{Spawner, spawn};
use crate::failure::{Failure, expect_count};
use crate::process;
use crate::repetition::Plan;
use crate::report::Figure;
use crate::tally::{Event, Tally};
use crate::under_test;

const ACTORS: u64 = 100_000;
const SECONDS: f64 = 5.0;

/// Runs the idle workload.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let (actors, span) = (plan.scaled(ACTORS), Duration::from_secs_f64(SECONDS * plan.scale));
    let series = plan.repeat(|| once(plan.workers, actors, span))?;
    Ok(vec![series.figure("idle", &plan.params(), ("cpu_ms", "ms"), |ms| *ms)])
}

fn once(workers: usize, actors: u64, span: Duration) -> Result<Option<f64>, Failure> {
    let rt = under_test::runtime(workers)?;
    let tally = Tally::start();
    let spawner = rt.spawn::<Spawner>(());
    rt.block_on(spawn(&spawner, actors))?;

    let before = process::cpu_time();
    thread::sleep(span);
    let after = process::cpu_time();

    expect_count("actors started", actors, tally.of(Event::Started))?;
    expect_count("actors that ended by themselves", 0, tally.of(Event::Ended))?;
    under_test::end(rt)?;
    expect_count("actors ended with their runtime", actors, tally.of(Event::Ended))?;
    Ok(after.zip(before).map(|(after, before)| (after - before).as_secs_f64() * 1e3))
}

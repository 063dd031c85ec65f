//! W4: spawn 1,000,000 actors that then do nothing.
//!
//! - Measured: one actor spawns 1,000,000 actors with a u64 of state, until the last has run its
//!   `init`; they stay alive. Figures `ns_per_spawn` and `bytes_per_actor`: the growth of the
//!   process's resident memory over the number of actors.
//! - Warm-up 1, repetitions 5, each in a fresh process: memory that an earlier run left in the
//!   allocator would make the next one look free.
//! - Checked: each has run its `init`, none has ended.
//! - Cannot show: what the actors' memory costs once it is used and freed again. The first touch of
//!   each page by the kernel is part of the time, and the host's share of that varies.

use std::env;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use whitebeam::{Actor, Context, ExitReason, Reply};

use crate::failure::{Failure, expect_count};
use crate::process;
use crate::repetition::Plan;
use crate::report::Figure;
use crate::tally::{self, Event, Tally};
use crate::under_test;

const ACTORS: u64 = 1_000_000;

/// What one process found.
struct Spawned {
    ns_per_spawn: f64,
    bytes_per_actor: Option<f64>,
}

/// Runs W4.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let (actors, params) = (plan.scaled(ACTORS), plan.params());
    let series = plan.repeat(|| once_in_a_fresh_process(plan.workers, actors))?;
    Ok(vec![
        series.figure("W4", &params, ("ns_per_spawn", "ns"), |run| Some(run.ns_per_spawn)),
        series.figure("W4", &params, ("bytes_per_actor", "B"), |run| run.bytes_per_actor),
    ])
}

fn once_in_a_fresh_process(workers: usize, actors: u64) -> Result<Spawned, Failure> {
    let doing = "running W4 in a fresh process";
    let this = env::current_exe().map_err(Failure::system("finding the harness's own program"))?;
    let out = Command::new(this)
        .args(["spawn-once", "--workers", &workers.to_string(), "--count", &actors.to_string()])
        .output()
        .map_err(Failure::system(doing))?;
    if !out.status.success() {
        let why =
            format!("{}; it said: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
        return Err(Failure::System { doing, why });
    }
    let answer: Value = serde_json::from_slice(&out.stdout).map_err(Failure::system(doing))?;
    let ns_per_spawn = answer["ns_per_spawn"]
        .as_f64()
        .ok_or_else(|| Failure::System { doing, why: format!("it answered {answer}") })?;
    Ok(Spawned { ns_per_spawn, bytes_per_actor: answer["bytes_per_actor"].as_f64() })
}

/// One measurement in this process, printed as JSON for the process that started it.
///
/// # Errors
///
/// When the run fails or its count is off.
pub(crate) fn once_here(workers: usize, actors: u64) -> Result<(), Failure> {
    let rt = under_test::runtime(workers)?;
    let tally = Tally::start();
    let spawner = rt.spawn::<Spawner>(());
    // The runtime's and the spawner's own memory is there before the count starts.
    rt.block_on(spawn(&spawner, 1))?;
    let before = process::resident_bytes();

    let start = Instant::now();
    rt.block_on(spawn(&spawner, actors))?;
    let ns_per_spawn = super::ns_each(start, actors);

    let grown =
        process::resident_bytes().zip(before).map(|(after, before)| after.saturating_sub(before));
    expect_count("actors started", actors + 1, tally.of(Event::Started))?;
    expect_count("actors that ended by themselves", 0, tally.of(Event::Ended))?;
    let bytes_per_actor = grown.map(|bytes| bytes as f64 / actors as f64);
    println!(
        "{}",
        serde_json::json!({ "ns_per_spawn": ns_per_spawn, "bytes_per_actor": bytes_per_actor })
    );
    under_test::end(rt)?;
    expect_count("actors ended with their runtime", actors + 1, tally.of(Event::Ended))
}

/// Has `spawner` spawn so many idle actors and waits until each has run its `init`.
///
/// # Errors
///
/// When the spawner has ended.
pub(super) async fn spawn(
    spawner: &whitebeam::ActorRef<Spawn>,
    actors: u64,
) -> Result<(), Failure> {
    let spawned = spawner.call(|reply| Spawn::Some(actors, reply)).no_timeout().await;
    spawned.map_err(Failure::library("spawning actors"))
}

/// Spawns idle actors.
pub(super) struct Spawner {
    /// Counts those that have run their `init`.
    tally: Tally,
    /// How many were spawned.
    spawned: u64,
}

/// The spawner's messages.
#[derive(Debug)]
pub(super) enum Spawn {
    /// Spawn so many.
    Some(u64, Reply<()>),
    /// Answer if all have run their `init`, else look again later.
    Look(Reply<()>),
}

impl Actor for Spawner {
    type Args = ();
    type Msg = Spawn;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { tally: Tally::start(), spawned: 0 })
    }

    async fn handle(&mut self, msg: Spawn, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let reply = match msg {
            Spawn::Some(actors, reply) => {
                for n in 0..actors {
                    cx.spawn::<Idler>(n);
                }
                self.spawned += actors;
                reply
            }
            Spawn::Look(reply) => reply,
        };
        if self.tally.of(Event::Started) == self.spawned {
            reply.send(());
        } else {
            cx.me().cast(Spawn::Look(reply))?;
        }
        Ok(())
    }
}

/// An actor with a u64 of state and nothing to do.
pub(super) struct Idler {
    number: u64,
}

impl Actor for Idler {
    type Args = u64;
    type Msg = Reply<u64>;

    async fn init(number: u64, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        tally::count(Event::Started);
        Ok(Self { number })
    }

    async fn handle(
        &mut self,
        reply: Reply<u64>,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send(self.number);
        Ok(())
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        tally::count(Event::Ended);
    }
}

//! walk: what it costs to look at all actors, and how much is known by it.
//!
//! - Measured: one look of a walker (`diagnose`), one `top`, and one `snapshot` of 1,000,000 actors with a u64 of state
//!   and nothing to do, on the calling thread while the workers are idle. Figures `ms_per_walk`, `ns_per_actor` and
//!   `ns_per_actor_top` of the first two, `ns_per_actor_snapshot` of the last, with the memory for its list.
//!   Among the same actors [those that work](load) while nobody looks, and while a walker does each 100 ms: figures
//!   `load_m_msg_per_s`, `load_walked_m_msg_per_s`, `slow_down_percent`, and `walks` for how often it looked.
//!   And [what is said of the age](ages) of mailboxes' oldest messages against the time in each message, with a walker
//!   each 10 ms: figures `age_apart_p50_ms`, `age_apart_max_ms` for how far apart the two bounds are, `age_off_p50_ms`
//!   for how far their middle is from the truth.
//! - Warm-up 1, repetitions 5.
//! - Checked: the snapshot has each actor, the diagnosis finds nothing, no age lies outside of its bounds.
//! - Cannot show: the slow-down where there is a core to spare. The walker is a thread: with as many workers as cores it
//!   takes its time from them, and `slow_down_percent` is that before all.

mod ages;
mod load;

use std::hint::black_box;
use std::time::Instant;

use whitebeam::By;

use self::ages::Ages;
use self::load::Load;
use super::w4_spawn::{Spawner, spawn};
use crate::failure::{Failure, expect_count};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const ACTORS: u64 = 1_000_000;

/// What one repetition found.
struct Walked {
    ms: f64,
    ns: f64,
    ns_top: f64,
    ns_snapshot: f64,
    load: Load,
    ages: Ages,
}

/// Runs the walk workload.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let (actors, params) = (plan.scaled(ACTORS), plan.params());
    let series = plan.repeat(|| once(plan, actors))?;
    let figure = |name, unit, of: fn(&Walked) -> f64| {
        series.figure("walk", &params, (name, unit), move |run| Some(of(run)))
    };
    Ok(vec![
        figure("ms_per_walk", "ms", |run| run.ms),
        figure("ns_per_actor", "ns", |run| run.ns),
        figure("ns_per_actor_top", "ns", |run| run.ns_top),
        figure("ns_per_actor_snapshot", "ns", |run| run.ns_snapshot),
        figure("load_m_msg_per_s", "M/s", |run| run.load.alone),
        figure("load_walked_m_msg_per_s", "M/s", |run| run.load.walked),
        figure("slow_down_percent", "%", |run| 100.0 * (1.0 - run.load.walked / run.load.alone)),
        figure("walks", "walks", |run| run.load.walks),
        figure("age_apart_p50_ms", "ms", |run| run.ages.apart_p50),
        figure("age_apart_max_ms", "ms", |run| run.ages.apart_max),
        figure("age_off_p50_ms", "ms", |run| run.ages.off_p50),
    ])
}

fn once(plan: &Plan, actors: u64) -> Result<Walked, Failure> {
    let rt = under_test::runtime(plan.workers)?;
    let spawner = rt.spawn::<Spawner>(());
    rt.block_on(spawn(&spawner, actors))?;
    // What a walk needs itself is there.
    let _ = rt.diagnose();

    let start = Instant::now();
    let diagnosis = rt.diagnose();
    let (ms, ns) = (start.elapsed().as_secs_f64() * 1e3, super::ns_each(start, actors));
    expect_count("findings", 0, diagnosis.findings.len() as u64)?;

    let start = Instant::now();
    black_box(rt.top(By::MailboxLen, 10));
    let ns_top = super::ns_each(start, actors);

    let start = Instant::now();
    let snapshot = rt.snapshot();
    let ns_snapshot = super::ns_each(start, actors);
    expect_count("actors seen", actors + 1, snapshot.processes.len() as u64)?;
    drop(snapshot);

    let load = load::measure(&rt, plan.scale)?;
    under_test::end(rt)?;
    let ages = ages::measure(plan.workers, plan.scale)?;
    Ok(Walked { ms, ns, ns_top, ns_snapshot, load, ages })
}

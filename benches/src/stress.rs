//! The stress program: everything that actors can do to each other, at random and at once, counted.
//!
//! For some seconds, round after round (`stress/round.rs`), a runtime is built, thousands of actors (`stress/actor.rs`,
//! `stress/acts.rs`) spawn, link, monitor, call, exit, set timers, take names and so on, threads outside do the same
//! to them (`stress/outside.rs`), and it ends. Then nothing may be missing and nothing left:
//!
//! - each message was handled, refused or dropped; those of one sender were handled in order;
//! - each monitor had one DOWN, or was taken back, or its owner had ended; each call came to one answer or error,
//!   the right one; each timer rang once and not early, or was cancelled; a link gave one EXIT at most; all who
//!   were told of one end were told one reason (`stress/tokens.rs`, `stress/book.rs`);
//! - at rest, two processes agree on their links and monitors, and nobody waits for anything;
//! - no process and no name is left, and every block of memory came back (`stress/memory.rs`).
//!
//! A violation is named and ends the program with exit code 1, and so does a hang (`stress/watchdog.rs`). The seed is
//! printed first. It fixes what is chosen, but not how threads interleave: to see something again takes several
//! runs.

pub(crate) mod allocator;

mod actor;
mod acts;
mod book;
mod dice;
mod memory;
mod outside;
mod round;
mod tokens;
mod watchdog;
mod world;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::stress::book::{Counts, Ev};
use crate::stress::dice::Dice;
use crate::stress::round::{End, Outcome};
use crate::stress::watchdog::Watchdog;

/// How it is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) workers: usize,
    /// Actors that there are at a time, about.
    pub(crate) actors: u64,
    pub(crate) seed: u64,
}

/// A round's storm.
const STORM: Duration = Duration::from_millis(750);
/// That of a round whose memory is not looked at.
const WARM: Duration = Duration::from_millis(100);
/// Rounds of which one is of each kind.
const KINDS: u64 = 4;

/// Runs it.
///
/// # Errors
/// Something was violated, or the system refused what the program needs.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Options { seconds, workers, actors, seed } = *options;
    let told = format!("seed {seed}, {seconds} s, {workers} workers, {actors} actors");
    print(&format!("stress: {told}\n"))?;
    allocator::count_from_now_on();
    outside::silence_asked_panics();
    let watchdog = Watchdog::start(told).map_err(Failure::system("starting a thread"))?;
    let mut dice = Dice::new(seed);
    memory::warm_up(workers);
    for round in 0..KINDS {
        let outcome = run_round(options, dice.seed(), WARM, End::of(round), &watchdog)?;
        judge("warming up", outcome.faults)?;
    }
    watchdog.step("memory's coming to rest", Duration::from_secs(60));
    let before = memory::at_rest();

    let (mut total, mut rounds) = (Counts::none(), 0);
    let (start, mut storms) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < Duration::from_secs(seconds) || rounds == 0 {
        let end = End::of(rounds);
        let since = Instant::now();
        let outcome = run_round(options, dice.seed(), STORM, end, &watchdog)?;
        storms += since.elapsed();
        total.add(&outcome.counts);
        judge(&format!("round {rounds}, {end:?}"), outcome.faults)?;
        watchdog.step("the return of all memory", Duration::from_secs(60));
        if let Err(left) = memory::all_back(before, memory::MOST) {
            judge(&format!("round {rounds}, {end:?}"), vec![left])?;
        }
        rounds += 1;
    }
    print(&summary(&total, rounds, storms))
}

/// Runs one round on a thread of its own, which takes with it what threads keep.
fn run_round(
    options: &Options,
    seed: u64,
    storm: Duration,
    end: End,
    watchdog: &Watchdog,
) -> Result<Outcome, Failure> {
    let (options, watchdog) = (*options, watchdog.clone());
    let round = move || round::run(&options, seed, storm, end, &watchdog);
    let thread = thread::Builder::new().name("stress-round".into()).spawn(round);
    let thread = thread.map_err(Failure::system("starting a thread"))?;
    thread
        .join()
        .unwrap_or_else(|_| Err(Failure::Unexpected { what: "a round", got: "a panic".to_owned() }))
}

/// None is as it should be.
fn judge(round: &str, faults: Vec<String>) -> Result<(), Failure> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::Violated { round: round.to_owned(), faults })
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::system("printing"))
}

fn summary(total: &Counts, rounds: u64, took: Duration) -> String {
    let of = |event| total.of(event);
    let spawned = [Ev::Spawns, Ev::SpawnLinks, Ev::SpawnMonitors, Ev::SpawnChildren, Ev::Starts];
    let spawned: u64 = spawned.into_iter().map(of).sum();
    let operations = total.operations();
    format!(
        "ok: {rounds} rounds, {operations} operations, {:.0} in a second; \
         spawns {spawned} (actors {}); messages {} (handled {}, refused {}, unread {}); \
         calls {} (answered {}, noproc {}, callee ended {}, no reply {}, timed out {}, in a circle {}, caller ended {}); \
         monitors {} (DOWN {}, taken back {}, by alias {}, owner ended {}); \
         links {}, unlinks {}, EXITs {} by link and {} sent; exits {}, kills {}, stops {}, own ends {}; \
         timers {} (rang {}, cancelled {}, owner ended {}), ticks {}; \
         aliases {}, names {}, traps {}, stops of children {}, looks {}, ends awaited {}, other runtimes {}\n",
        operations as f64 / took.as_secs_f64(),
        of(Ev::States),
        of(Ev::Made),
        of(Ev::Handled),
        of(Ev::Refused),
        of(Ev::Unread),
        of(Ev::Asked),
        of(Ev::Answered),
        of(Ev::NoProc),
        of(Ev::CalleeEnded),
        of(Ev::NoReply),
        of(Ev::TimedOut),
        of(Ev::Deadlocked),
        of(Ev::CallerEnded),
        of(Ev::Watches),
        of(Ev::Downs),
        of(Ev::Demonitored),
        of(Ev::ByAlias),
        of(Ev::WatcherEnded),
        of(Ev::Links),
        of(Ev::Unlinks),
        of(Ev::LinkExits),
        of(Ev::SentExits),
        of(Ev::Exits),
        of(Ev::Kills),
        of(Ev::Stops),
        of(Ev::OwnEnds),
        of(Ev::Alarms),
        of(Ev::Rang),
        of(Ev::Cancelled),
        of(Ev::AlarmEnded),
        of(Ev::Ticks),
        of(Ev::Aliases),
        of(Ev::Names),
        of(Ev::Traps),
        of(Ev::ChildStops),
        of(Ev::Looks),
        of(Ev::EndsAwaited),
        of(Ev::Runtimes),
    )
}

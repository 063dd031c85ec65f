//! The command line: what can be run, with what, and what is refused.
//!
//! Everything that can be wrong with an argument is found here, before anything runs: clap prints
//! what was wrong and what to write instead, and ends the process with exit code 2.

use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};

use crate::repetition::Plan;
use crate::shutdown::children::ChildKind;
use crate::shutdown::layout::Layout;
use crate::stress;
use crate::workloads::burst::Of;
use crate::workloads::overload::Mailbox;
use crate::workloads::w10_fairness::{HogKind, Spare};

/// Most workers accepted; more than any machine of today has cores.
const MOST_WORKERS: usize = 1_024;

/// Most repetitions accepted.
const MOST_REPS: usize = 1_000;

/// Most children accepted: as many as there are process ids.
const MOST_CHILDREN: u64 = 1 << 28;

/// Longest run of the stress program: a week.
const MOST_SECONDS: u64 = 7 * 24 * 3_600;

/// Most actors of the stress program: it keeps a book of all of them.
const MOST_ACTORS: u64 = 1_000_000;

/// Benchmark harness of Whitebeam. Without a command: a tour of under a minute.
#[derive(Debug, Parser)]
#[command(name = "whitebeam-bench", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do; the tour if not given.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the harness can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one workload and print its figures
    #[command(subcommand_value_name = "WORKLOAD", subcommand_help_heading = "Workloads")]
    Run {
        /// Which one.
        #[command(subcommand)]
        work: Work,
    },
    /// List the workloads
    List,
    /// Look for what is lost or left when actors do everything at random
    Stress(StressArgs),
    /// One measurement of W4 in this process, which W4 starts afresh for each repetition
    #[command(name = "spawn-once", hide = true)]
    SpawnOnce {
        /// Worker threads.
        #[arg(long, value_parser = workers, allow_negative_numbers = true)]
        workers: usize,
        /// Actors to spawn.
        #[arg(long)]
        count: u64,
    },
    /// One measurement of `burst` in this process, which it starts afresh for each repetition
    #[command(name = "burst-once", hide = true)]
    BurstOnce {
        /// Worker threads.
        #[arg(long, value_parser = workers, allow_negative_numbers = true)]
        workers: usize,
        /// What there is a burst of.
        #[arg(long)]
        of: Of,
        /// How many of them.
        #[arg(long)]
        count: u64,
    },
}

/// The workloads. Their definitions are in the headers of `src/workloads`.
#[derive(Debug, Subcommand)]
pub(crate) enum Work {
    /// Supervised children: start them, watch the supervisors' mailboxes, stop the tree
    #[command(name = "shutdown")]
    Shutdown(ShutdownArgs),
    /// Ping-pong: 2 actors, 1 message in flight, 1,000,000 round trips (ns per hop)
    #[command(name = "W1", alias = "w1")]
    W1(Common),
    /// 1,000 ping-pong pairs at once, 1,000 round trips each (M hops/s)
    #[command(name = "W1b", alias = "w1b")]
    W1b(Common),
    /// Fan-in: 8 senders of 500,000 messages each to 1 receiver that sums (M msg/s)
    #[command(name = "W2", alias = "w2")]
    W2(Common),
    /// 1 producer to 1 consumer, 4,000,000 messages (M msg/s)
    #[command(name = "W2s", alias = "w2s")]
    W2s(Common),
    /// Ring: 10,000 actors, 1 token, 2,000,000 hops (ns per hop)
    #[command(name = "W3", alias = "w3")]
    W3(Common),
    /// Spawn 1,000,000 idle actors, kept alive, in a fresh process (ns per spawn; bytes per actor)
    #[command(name = "W4", alias = "w4")]
    W4(Common),
    /// 1,000,000 actors that each get a message, send one and stop (us per lifecycle)
    #[command(name = "W5", alias = "w5")]
    W5(Common),
    /// Call: 1,000,000 sequential request-replies between 2 actors (ns per call)
    #[command(name = "W6", alias = "w6")]
    W6(Common),
    /// Call from a plain OS thread, blocking, 100,000 sequential (us per call)
    #[command(name = "W6x", alias = "w6x")]
    W6x(Common),
    /// Supervised start of 200,000 children, by 1 caller and by 8 (us per child)
    #[command(name = "W7", alias = "w7")]
    W7(WithChild),
    /// Supervised shutdown: 200,000 flat, 16 and 50 partitions; 500,000 / 125; 1,000,000 / 250 (ms)
    #[command(name = "W8", alias = "w8")]
    W8(WithChild),
    /// As W8, every child traps exits and has a terminate of its own (ms)
    #[command(name = "W8t", alias = "w8t")]
    W8t(Common),
    /// Shutdown of 200,000, 10 % of them in a handler that burns 1 ms (ms; ratio to the pure work)
    #[command(name = "W8b", alias = "w8b")]
    W8b(Common),
    /// Big: 1,000 actors, each sends 1,000 pings to random others and waits for each pong (M msg/s)
    #[command(name = "W9", alias = "w9")]
    W9(Common),
    /// 1,000,000 one-shot timers, due over 2 to 4 s (lateness in ms; CPU s)
    #[command(name = "W11", alias = "w11")]
    W11(Common),
    /// Fairness: a probe's pauses of 1 ms and round trips beside 4 actors that always have work, for 5 s (us, ms)
    #[command(name = "W10", alias = "w10")]
    W10(WithHog),
    /// 10,000 supervised children that crash 10 times each, flat and in 16 partitions (restarts/s)
    #[command(name = "W12", alias = "w12")]
    W12(Common),
    /// Kill of an actor with 1,000,000 unread messages, 10 us of work each (ms)
    #[command(name = "W13", alias = "w13")]
    W13(Common),
    /// CPU used by 100,000 actors with nothing to do, over 5 s (ms)
    #[command(name = "idle")]
    Idle(Common),
    /// An actor that gets twice what it can handle, for 10 s, and what others feel of it (us; counts; MiB)
    #[command(name = "overload")]
    Overload(WithMailbox),
    /// Memory when 1,000,000 messages were handled, and when 200,000 actors have ended (MiB, s)
    #[command(name = "burst")]
    Burst(Common),
    /// Look at 1,000,000 actors: a diagnosis, and a snapshot (ns per actor; ms per walk)
    #[command(name = "walk")]
    Walk(Common),
}

/// Options of every workload.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Common {
    /// Repetitions after one warm-up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = reps, allow_negative_numbers = true)]
    pub(crate) reps: usize,
    /// Worker threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = workers, allow_negative_numbers = true)]
    pub(crate) workers: usize,
    /// Share of the workload's size to run, for a smoke test: such figures compare with nothing
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = scale, allow_negative_numbers = true)]
    pub(crate) scale: f64,
    /// Print one JSON object a line and figure instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

impl Common {
    /// The plan these options make.
    pub(crate) fn plan(&self) -> Plan {
        Plan { workers: self.workers, reps: self.reps, scale: self.scale }
    }
}

/// Options of `overload`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WithMailbox {
    /// The flooded mailbox: bounded:N (refuses), newest:N, oldest:N (drop), or unbounded
    #[arg(long, value_name = "KIND", default_value = "bounded:1000")]
    pub(crate) mailbox: Mailbox,
    /// The options every workload has.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of a workload whose children can be chosen.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WithChild {
    /// What the children do: idle, trapping, busy:US or backlog:N
    #[arg(long, value_name = "KIND", default_value = "idle")]
    pub(crate) child: ChildKind,
    /// The options every workload has.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of the workload in which somebody always has work.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WithHog {
    /// Who always has work
    #[arg(long, value_name = "KIND", value_enum, default_value_t = HogKind::Yields)]
    pub(crate) hog: HogKind,
    /// Whether the runtime has a spare worker
    #[arg(long, value_name = "WHETHER", value_enum, default_value_t = Spare::Off)]
    pub(crate) spare: Spare,
    /// The options every workload has.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of the shutdown job.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ShutdownArgs {
    /// Children to start and stop
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = children, allow_negative_numbers = true)]
    pub(crate) children: u64,
    #[arg(
        long,
        value_name = "LAYOUT",
        default_value = "two-tier",
        help = "Tree to put them in: flat, partitioned:P or two-tier[:P]"
    )]
    pub(crate) layout: Layout,
    /// What the children do: idle, trapping, busy:US (every tenth burns so long) or backlog:N
    #[arg(long, value_name = "KIND", default_value = "idle")]
    pub(crate) child: ChildKind,
    /// Repetitions after one warm-up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = reps, allow_negative_numbers = true)]
    pub(crate) reps: usize,
    /// Worker threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = workers, allow_negative_numbers = true)]
    pub(crate) workers: usize,
    /// Print one JSON object a line and figure instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of the stress program.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct StressArgs {
    /// Seconds to go on, whole rounds of about one each
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) seconds: u64,
    /// Worker threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = workers, allow_negative_numbers = true)]
    pub(crate) workers: usize,
    /// Actors at a time, about
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = actors, allow_negative_numbers = true)]
    pub(crate) actors: u64,
    /// What the choices are drawn from; by the clock if not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

impl StressArgs {
    /// What these arguments say.
    pub(crate) fn options(&self) -> stress::Options {
        let StressArgs { seconds, workers, actors, .. } = *self;
        let by_clock = || {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            since.map_or(0, |since| u64::from(since.subsec_nanos()))
        };
        stress::Options { seconds, workers, actors, seed: self.seed.unwrap_or_else(by_clock) }
    }
}

fn workers(text: &str) -> Result<usize, String> {
    within(text, 1, MOST_WORKERS as u64, "a runtime needs a thread to run on").map(|n| n as usize)
}

fn seconds(text: &str) -> Result<u64, String> {
    within(text, 1, MOST_SECONDS, "nothing is found in no time")
}

fn actors(text: &str) -> Result<u64, String> {
    within(text, 1, MOST_ACTORS, "without an actor nothing happens")
}

fn reps(text: &str) -> Result<usize, String> {
    within(text, 1, MOST_REPS as u64, "without a repetition there is no figure").map(|n| n as usize)
}

fn children(text: &str) -> Result<u64, String> {
    within(text, 1, MOST_CHILDREN, "there would be nothing to shut down")
}

fn within(text: &str, least: u64, most: u64, why_not_zero: &str) -> Result<u64, String> {
    let hint = format!("use a whole number from {least} to {most}");
    match text.parse::<u64>() {
        Ok(0) => Err(format!("{why_not_zero}; {hint}")),
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(hint),
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("use a share above 0 and up to 1, for example 0.01".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_workloads() {
        let cli = Cli::try_parse_from(["whitebeam-bench", "run", "shutdown"])
            .expect("no argument is needed");
        let Some(Command::Run { work: Work::Shutdown(args) }) = cli.command else {
            panic!("not a shutdown")
        };
        assert_eq!(
            (args.children, args.layout, args.child),
            (200_000, Layout::TwoTier(None), ChildKind::Idle)
        );
        assert_eq!((args.workers, args.reps, args.json), (2, 5, false));
    }

    #[test]
    fn ids_are_known_in_lower_case_too() {
        for id in ["W1", "w1", "W6x", "w6x", "W13", "w13", "idle"] {
            assert!(Cli::try_parse_from(["whitebeam-bench", "run", id]).is_ok(), "{id}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        for (option, value, hint) in [
            ("--workers", "0", "needs a thread"),
            ("--workers", "2000", "1 to 1024"),
            ("--reps", "0", "no figure"),
            ("--reps", "few", "1 to 1000"),
            ("--children", "0", "nothing to shut down"),
            ("--layout", "partitioned:0", "cannot hold children"),
            ("--child", "asleep", "idle"),
        ] {
            let refused =
                Cli::try_parse_from(["whitebeam-bench", "run", "shutdown", option, value]);
            let error = refused.expect_err(value);
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(hint), "{option} {value}: {error}");
        }
        for share in ["0", "1.5", "NaN", "half"] {
            assert!(
                Cli::try_parse_from(["whitebeam-bench", "run", "W1", "--scale", share]).is_err(),
                "{share}"
            );
        }
    }
}

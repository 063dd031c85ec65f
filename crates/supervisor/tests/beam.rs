//! Supervisors, by comparison: random scenarios of supervision are played on Whitebeam in simulated orders, and on
//! Erlang/OTP itself, and what is seen is the same. `docs/beam.md` says what is compared, and what is not.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `WHITEBEAM_SCENARIOS` | how many scenarios, 500 unless it says |
//! | `WHITEBEAM_SEED` | the first scenario's seed, 0 unless it says; the next ones follow |
//! | `WHITEBEAM_SHOW` | if it is set, the traces are shown also where they do not differ |
//! | `WHITEBEAM_BEAM` | `required`: it is a failure that there is no Erlang/OTP |
//!
//! A scenario that differs is made smaller before it is shown.

#[path = "beam/erlang.rs"]
mod erlang;
#[path = "beam/random.rs"]
mod random;
#[path = "beam/scenario.rs"]
mod scenario;
#[path = "beam/trace.rs"]
mod trace;
#[path = "beam/whitebeam.rs"]
mod whitebeam;

use std::{
    env,
    fmt::Write as _,
    panic,
    sync::{Arc, Once},
    thread,
};

use scenario::{Node, Scenario, Stops, Strategy, What};
use whitebeam_supervisor::{Restart, Shutdown};

/// A panic that a scenario asks for: its report is kept off the terminal.
const EXPECTED: &str = "as the scenario asks";
/// Scenarios that one start of Erlang is given.
const BATCH: u64 = 1_000;
/// Scenarios that are shown, made smaller.
const SHOWN: usize = 3;

#[test]
fn whitebeam_does_what_otp_does() {
    let Some(release) = release() else { return };
    let seeds = seeds();
    let (first, end) = (seeds.start, seeds.end);
    let (mut events, mut differing) = (0, Vec::new());
    let mut at = first;
    while at < end {
        let batch: Vec<u64> = (at..end.min(at + BATCH)).collect();
        at += BATCH;
        let scenarios: Vec<_> =
            batch.iter().map(|seed| Arc::new(Scenario::random(*seed))).collect();
        for ((seed, scenario), played) in batch.iter().zip(&scenarios).zip(both(&scenarios, &batch))
        {
            events += trace::events(&played.otp);
            if played.differs(scenario) {
                differing.push(*seed);
                notice(&format!("scenario {seed} differs, {}", played.first_lines(scenario)));
            }
            if env::var_os("WHITEBEAM_SHOW").is_some() {
                notice(&format!("{scenario}\n{}", played.shown(scenario)));
            }
        }
    }
    notice(&format!(
        "beam: {} scenarios (seeds {first}..{end}), {events} events, {} differences, OTP {release}",
        end - first,
        differing.len()
    ));
    if !differing.is_empty() {
        panic!("{}", explained(&differing));
    }
}

/// OTP is given other scenarios than Whitebeam: each kind of change is seen.
#[test]
fn another_scenario_is_seen() {
    if release().is_none() {
        return;
    }
    let seeds: Vec<u64> = (0..60).collect();
    let scenarios: Vec<_> = seeds.iter().map(|seed| Scenario::random(*seed)).collect();
    for (what, change) in CHANGES {
        let changed = scenarios.iter().cloned().map(|mut scenario| {
            scenario.nodes.iter_mut().for_each(change);
            Arc::new(scenario)
        });
        let changed: Vec<_> = changed.collect();
        let otp = erlang::play(changed.iter().map(|it| &**it));
        let ours = seeds.iter().zip(&scenarios).map(|(seed, scenario)| {
            expect_panics();
            whitebeam::play(&Arc::new(scenario.clone()), *seed)
        });
        let played = ours.zip(otp).map(|(whitebeam, otp)| Played { whitebeam, otp });
        let differing = played.zip(&scenarios).filter(|(played, it)| played.differs(it)).count();
        assert!(differing > 0, "{what}: no scenario differs");
    }
}

type Change = (&'static str, fn(&mut Node));

const CHANGES: [Change; 5] = [
    ("restarts all instead of one", |node| {
        if let What::Supervisor { strategy: strategy @ Strategy::OneForOne, .. } = &mut node.what {
            *strategy = Strategy::OneForAll;
        }
    }),
    ("restarts the rest instead of all", |node| {
        if let What::Supervisor { strategy: strategy @ Strategy::OneForAll, .. } = &mut node.what {
            *strategy = Strategy::RestForOne;
        }
    }),
    ("takes one restart more", |node| {
        if let What::Supervisor { intensity, .. } = &mut node.what {
            *intensity += 1;
        }
    }),
    ("is permanent instead of transient", |node| {
        if node.restart == Restart::Transient && !node.significant {
            node.restart = Restart::Permanent;
        }
    }),
    ("is killed instead of told to shut down", |node| {
        if node.stops() == Some(Stops::Plainly) {
            node.shutdown = Shutdown::BrutalKill;
        }
    }),
];

/// Each event that is missing, comes twice, or is in another's place, is seen, but for those that are listed to have no
/// order.
#[test]
fn another_trace_is_seen() {
    expect_panics();
    let mut compared = 0;
    for seed in 0..20 {
        let scenario = Arc::new(Scenario::random(seed));
        let trace = whitebeam::play(&scenario, seed).unwrap();
        assert_eq!(trace::difference(&scenario, &trace, &trace), None);
        let has_orphans = trace::canonical(&scenario, &trace)
            .iter()
            .flatten()
            .any(|line| line.starts_with("orphan "));
        let lines: Vec<&str> = trace.lines().collect();
        for at in 0..lines.len() - 1 {
            let mut missing = lines.clone();
            missing.remove(at);
            let mut twice = lines.clone();
            twice.insert(at, lines[at]);
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            let changed =
                if has_orphans { vec![missing, twice] } else { vec![missing, twice, swapped] };
            for changed in changed {
                let differs = trace::difference(&scenario, &trace, &changed.join("\n"));
                assert!(differs.is_some(), "scenario {seed}, line {at}: {}", lines[at]);
                compared += 1;
            }
        }
    }
    assert!(compared > 1_000, "{compared}");
}

/// What was seen of a scenario on both systems.
struct Played {
    /// `Err`: the run failed for itself.
    whitebeam: Result<String, String>,
    otp: String,
}

impl Played {
    fn differs(&self, scenario: &Scenario) -> bool {
        match &self.whitebeam {
            Ok(whitebeam) => trace::difference(scenario, whitebeam, &self.otp).is_some(),
            Err(_) => true,
        }
    }

    fn first_lines(&self, scenario: &Scenario) -> String {
        match &self.whitebeam {
            Ok(whitebeam) => trace::first_lines(scenario, whitebeam, &self.otp),
            Err(failure) => failure.lines().next().unwrap_or_default().to_owned(),
        }
    }

    fn shown(&self, scenario: &Scenario) -> String {
        match &self.whitebeam {
            Ok(whitebeam) => trace::side_by_side(scenario, whitebeam, &self.otp),
            Err(failure) => format!("{failure}\n\nOTP:\n{}", self.otp),
        }
    }
}

/// Plays scenarios on both systems, at the same time. `seeds` are of the orders on Whitebeam.
fn both(scenarios: &[Arc<Scenario>], seeds: &[u64]) -> Vec<Played> {
    expect_panics();
    thread::scope(|scope| {
        let otp = scope.spawn(|| erlang::play(scenarios.iter().map(|it| &**it)));
        let ours: Vec<_> = scenarios
            .iter()
            .zip(seeds)
            .map(|(scenario, seed)| whitebeam::play(scenario, *seed))
            .collect();
        let otp = otp.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        ours.into_iter().zip(otp).map(|(whitebeam, otp)| Played { whitebeam, otp }).collect()
    })
}

/// The first of the scenarios that differ, made smaller, with what was seen of them.
fn explained(seeds: &[u64]) -> String {
    let mut text = format!("{} scenarios differ, of which the first:\n", seeds.len());
    for &seed in seeds.iter().take(SHOWN) {
        let mut smallest = Arc::new(Scenario::random(seed));
        let mut played = both(&[Arc::clone(&smallest)], &[seed]).remove(0);
        loop {
            let smaller: Vec<_> = smallest.smaller().into_iter().map(Arc::new).collect();
            let all = both(&smaller, &vec![seed; smaller.len()]);
            let mut found = smaller.into_iter().zip(all);
            let Some((scenario, differs)) =
                found.rfind(|(scenario, played)| played.differs(scenario))
            else {
                break;
            };
            (smallest, played) = (scenario, differs);
        }
        let _ = writeln!(
            text,
            "\nscenario {seed}, made smaller (ci/beam.sh --seed {seed} shows all of it):\n{smallest}\n{}",
            played.shown(&smallest)
        );
    }
    text
}

/// The release of Erlang/OTP; `None` is said to be no comparison.
fn release() -> Option<String> {
    let release = erlang::release();
    if release.is_none() {
        let text = "NOT compared with Erlang/OTP: there is no `erl` and `escript` on this machine";
        assert!(env::var("WHITEBEAM_BEAM").as_deref() != Ok("required"), "{text}");
        notice(text);
    }
    release
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| {
        let text = env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
    };
    let first = number("WHITEBEAM_SEED").unwrap_or(0);
    first..first + number("WHITEBEAM_SCENARIOS").unwrap_or(500)
}

fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(EXPECTED) {
                before(info);
            }
        }));
    });
}

#[expect(clippy::print_stdout, reason = "what was compared is read in the log of the checks")]
fn notice(text: &str) {
    println!("{text}");
}

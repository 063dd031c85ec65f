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

#[path = "beam/actors.rs"]
mod actors;
#[path = "beam/compare.rs"]
mod compare;
#[path = "beam/erlang.rs"]
mod erlang;
#[path = "../../actor/tests/support/escript.rs"]
mod escript;
#[path = "beam/faults.rs"]
mod faults;
#[path = "beam/random.rs"]
mod random;
#[path = "beam/scenario.rs"]
mod scenario;
#[path = "beam/smaller.rs"]
mod smaller;
#[path = "beam/specs.rs"]
mod specs;
#[path = "beam/trace.rs"]
mod trace;
#[path = "beam/whitebeam.rs"]
mod whitebeam;
#[path = "beam/words.rs"]
mod words;

use std::{
    env, panic,
    sync::{Arc, Once},
};

use compare::{Compared, both};
use scenario::Scenario;

/// A panic that a scenario asks for: its report is kept off the terminal.
const EXPECTED: &str = "as the scenario asks";
/// Scenarios that one start of Erlang is given.
const BATCH: usize = 1_000;

#[test]
fn whitebeam_does_what_otp_does() {
    let Some(release) = escript::release() else { return };
    let seeds = seeds();
    let (first, end) = (seeds.start, seeds.end);
    let seeds: Vec<u64> = seeds.collect();
    let mut compared = Compared::default();
    for batch in seeds.chunks(BATCH) {
        let scenarios: Vec<_> =
            batch.iter().map(|seed| Arc::new(Scenario::random(*seed))).collect();
        for ((seed, scenario), played) in batch.iter().zip(&scenarios).zip(both(&scenarios, batch))
        {
            compared.add(*seed, scenario, &played);
            if compared.differing.last() == Some(seed) {
                notice(&format!("scenario {seed} differs, {}", played.first_lines(scenario)));
            }
            if env::var_os("WHITEBEAM_SHOW").is_some() {
                notice(&format!("{scenario}\n{}", played.shown(scenario)));
            }
        }
    }
    notice(&format!(
        "beam: {} scenarios (seeds {first}..{end}), {} events, {} differences, OTP {release}",
        compared.scenarios,
        compared.events,
        compared.differing.len()
    ));
    if let Err(failure) = compared.verdict(seeds.len(), both) {
        panic!("{failure}");
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| {
        let text = env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
    };
    let first = number("WHITEBEAM_SEED").unwrap_or(0);
    let count = number("WHITEBEAM_SCENARIOS").unwrap_or(500);
    let end = first.checked_add(count);
    first..end.unwrap_or_else(|| panic!("there are not {count} seeds from {first} on"))
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

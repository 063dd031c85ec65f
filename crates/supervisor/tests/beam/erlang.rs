//! Plays scenarios on Erlang/OTP: one `escript` for many scenarios, which reads them as Erlang's terms from a file
//! and writes their traces. See `scenarios.escript`.

use std::time::Duration;

use crate::{
    escript::Script,
    scenario::Scenario,
    trace::{System, Trace},
};

/// How long the script may take before it gives something up, and how long it may say nothing before it is given up.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) step: Duration,
    pub(crate) scenario: Duration,
    pub(crate) silence: Duration,
}

/// No machine is so slow.
pub(crate) const LIMITS: Limits = Limits {
    step: Duration::from_secs(20),
    scenario: Duration::from_secs(60),
    silence: Duration::from_secs(120),
};

/// The traces of scenarios, in their order.
///
/// # Panics
/// If the script fails.
pub(crate) fn play<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) -> Vec<Trace> {
    let terms: Vec<String> = scenarios.into_iter().map(|it| format!("{it}\n")).collect();
    let traces = play_terms(&terms, LIMITS).unwrap_or_else(|failure| panic!("{failure}"));
    traces.into_iter().map(|text| Trace { system: System::Otp, text }).collect()
}

/// The same of scenarios that are Erlang's terms.
///
/// # Errors
/// The script fails, or had to be killed.
pub(crate) fn play_terms(terms: &[String], limits: Limits) -> Result<Vec<String>, String> {
    let script = Script {
        path: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/beam/scenarios.escript"),
        arguments: &[limits.step, limits.scenario].map(|limit| limit.as_millis().to_string()),
        silence: limits.silence,
    };
    script.play(terms)
}

//! Plays scenarios on both systems, compares what was seen, and makes those smaller that differ.

use std::{fmt::Write as _, panic, sync::Arc, thread};

use crate::{
    erlang, expect_panics,
    scenario::Scenario,
    trace::{self, Trace},
    whitebeam,
};

/// Scenarios that are shown, made smaller.
const SHOWN: usize = 3;

/// What was seen of a scenario on both systems.
pub(crate) struct Played {
    /// `Err`: the run failed for itself.
    pub(crate) whitebeam: Result<Trace, String>,
    pub(crate) otp: Trace,
}

impl Played {
    pub(crate) fn differs(&self, scenario: &Scenario) -> bool {
        match &self.whitebeam {
            Ok(whitebeam) => trace::difference(scenario, whitebeam, &self.otp).is_some(),
            Err(_) => true,
        }
    }

    pub(crate) fn first_lines(&self, scenario: &Scenario) -> String {
        match &self.whitebeam {
            Ok(whitebeam) => trace::first_lines(scenario, whitebeam, &self.otp),
            Err(failure) => failure.lines().next().unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn shown(&self, scenario: &Scenario) -> String {
        match &self.whitebeam {
            Ok(whitebeam) => trace::side_by_side(scenario, whitebeam, &self.otp),
            Err(failure) => format!("{failure}\n\nOTP:\n{}", self.otp.text),
        }
    }
}

/// Plays scenarios on both systems, at the same time. `seeds` are of the orders on Whitebeam.
pub(crate) fn both(scenarios: &[Arc<Scenario>], seeds: &[u64]) -> Vec<Played> {
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

/// What a comparison has come to.
#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) scenarios: usize,
    pub(crate) events: usize,
    /// The seeds of scenarios that differ.
    pub(crate) differing: Vec<u64>,
}

impl Compared {
    pub(crate) fn add(&mut self, seed: u64, scenario: &Scenario, played: &Played) {
        self.scenarios += 1;
        self.events += played.otp.events();
        if played.differs(scenario) {
            self.differing.push(seed);
        }
    }

    /// # Errors
    /// Fewer scenarios than were wanted were compared, or none, or some differ: with the first of them, made smaller.
    pub(crate) fn verdict(
        &self,
        wanted: usize,
        play: impl Fn(&[Arc<Scenario>], &[u64]) -> Vec<Played>,
    ) -> Result<(), String> {
        if self.scenarios == 0 || self.scenarios != wanted {
            return Err(format!("{} scenarios were compared of {wanted}", self.scenarios));
        }
        if self.differing.is_empty() {
            return Ok(());
        }
        let mut text = format!("{} scenarios differ, of which the first:\n", self.differing.len());
        for &seed in self.differing.iter().take(SHOWN) {
            let (scenario, played) = smallest(Arc::new(Scenario::random(seed)), seed, &play);
            let _ = writeln!(
                text,
                "\nscenario {seed}, made smaller (ci/beam.sh --seed {seed} shows all of it):\n{scenario}\n{}",
                played.shown(&scenario)
            );
        }
        Err(text)
    }
}

/// A scenario that differs, without what can be left out of it.
pub(crate) fn smallest(
    scenario: Arc<Scenario>,
    seed: u64,
    play: impl Fn(&[Arc<Scenario>], &[u64]) -> Vec<Played>,
) -> (Arc<Scenario>, Played) {
    let mut played = play(&[Arc::clone(&scenario)], &[seed]).remove(0);
    let mut smallest = scenario;
    loop {
        let smaller: Vec<_> = smallest.smaller().into_iter().map(Arc::new).collect();
        let all = play(&smaller, &vec![seed; smaller.len()]);
        let mut found = smaller.into_iter().zip(all);
        match found.rfind(|(scenario, played)| played.differs(scenario)) {
            Some(found) => (smallest, played) = found,
            None => return (smallest, played),
        }
    }
}

//! The semantics, by comparison: random programs of links, monitors, exits, names and ends are run by a small
//! model of them (`otp_model/model.rs`), by Whitebeam in simulated orders, and by Erlang/OTP itself, and what
//! their processes see is the same.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `WHITEBEAM_PROGRAMS` | how many programs: 2,000 on Whitebeam and 500 on Erlang, unless it says |
//! | `WHITEBEAM_SEED` | the first program's seed, 0 unless it says; the next ones follow |
//!
//! A program that fails is made smaller before it is shown.

#[path = "otp_model/erlang.rs"]
mod erlang;
#[path = "support/escript.rs"]
mod escript;
#[path = "otp_model/model.rs"]
mod model;
#[path = "otp_model/program.rs"]
mod program;
mod support;
#[path = "otp_model/trace.rs"]
mod trace;
#[path = "otp_model/whitebeam.rs"]
mod whitebeam;

use model::{Model, System};
use program::Program;
use support::{
    expect_panics,
    puppet::{ask, plain, settled},
    scaled, simulated,
};
use trace::{Trace, difference};
use whitebeam_actor::ExitReason;

/// Orders in which each program is run on Whitebeam.
const ORDERS: u64 = 3;
/// Programs that one start of Erlang is given.
const BATCH: usize = 500;

#[test]
fn whitebeam_does_what_the_model_says() {
    expect_panics();
    let mut ops = 0;
    let seeds = seeds(scaled(2_000, 100));
    for seed in seeds.clone() {
        let program = Program::random(seed);
        ops += program.steps.len();
        let failures = |programs: &[Program]| {
            programs.iter().map(|program| departs_on_whitebeam(program, seed)).collect()
        };
        assert_same("Whitebeam", seed, program, failures);
    }
    summarize(seeds.count(), ops, "Whitebeam");
}

#[test]
fn erlang_does_what_the_model_says() {
    let Some(release) = escript::release() else { return };
    let mut ops = 0;
    let seeds: Vec<u64> = seeds(scaled(500, 50)).collect();
    for seeds in seeds.chunks(BATCH) {
        let programs: Vec<Program> = seeds.iter().copied().map(Program::random).collect();
        ops += programs.iter().map(|program| program.steps.len()).sum::<usize>();
        let found = departs_on_erlang(&programs);
        for ((seed, program), found) in seeds.iter().zip(programs).zip(found) {
            if found.is_some() {
                assert_same("Erlang/OTP", *seed, program, departs_on_erlang);
            }
        }
    }
    summarize(seeds.len(), ops, &format!("Erlang/OTP {release}"));
}

fn departs_on_whitebeam(program: &Program, seed: u64) -> Option<String> {
    let expected = expected(System::Whitebeam, program);
    (0..ORDERS).find_map(|order| match whitebeam::run(program, seed.wrapping_mul(ORDERS) + order) {
        Ok(seen) => difference(&expected, &seen),
        Err(failure) => Some(failure),
    })
}

fn departs_on_erlang(programs: &[Program]) -> Vec<Option<String>> {
    let expected = programs.iter().map(|program| expected(System::Otp, program));
    let seen = erlang::run(programs);
    expected.zip(seen).map(|(expected, seen)| difference(&expected, &seen)).collect()
}

fn expected(system: System, program: &Program) -> Trace {
    let mut model = Model::new(system, program.roots);
    program.steps.iter().for_each(|step| model.step(*step));
    model.trace()
}

/// Fails with the smallest program that can be made of this one, if it fails.
fn assert_same(
    system: &str,
    seed: u64,
    program: Program,
    failures: impl Fn(&[Program]) -> Vec<Option<String>>,
) {
    if failures(std::slice::from_ref(&program))[0].is_some() {
        let (program, difference) = program.shrunk(failures);
        panic!(
            "{system} departs from the model; program {seed}, made smaller: {program}{difference}"
        );
    }
}

fn seeds(programs: usize) -> impl Iterator<Item = u64> + Clone {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
    };
    let first = number("WHITEBEAM_SEED").unwrap_or(0);
    let programs = number("WHITEBEAM_PROGRAMS").unwrap_or(programs as u64);
    first..first + programs
}

fn summarize(programs: usize, ops: usize, with: &str) {
    notice(&format!("compared {programs} programs ({ops} ops) with {with}: 0 differences"));
}

#[expect(clippy::print_stdout, reason = "what was compared is read in the log of the checks")]
fn notice(text: &str) {
    println!("{text}");
}

/// Found beside the programs, whose steps have nothing in flight behind them: link and unlink in one go.
#[test]
fn a_link_to_the_dead_that_was_taken_back_has_no_effect_whoever_still_holds_their_address() {
    simulated(|rt| async move {
        for is_held in [true, false] {
            let (dead, linker) = (plain(&rt).await, plain(&rt).await);
            let pid = dead.pid();
            rt.exit(pid, ExitReason::Kill);
            rt.down(pid).await;
            let held = is_held.then_some(dead);
            ask(&linker, move |cx| {
                cx.link(pid);
                cx.unlink(pid);
            })
            .await;
            settled(&linker).await;
            assert!(rt.is_alive(&linker), "held: {is_held}");
            drop(held);
        }
    });
}

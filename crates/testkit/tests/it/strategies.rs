//! How many seeds each strategy needs for the planted bugs. The table in the documentation of `Strategy` is this
//! one; `cargo test -p whitebeam-testkit strategies -- --nocapture` prints the rows anew.

use std::future::Future;

use whitebeam_testkit::{Sim, Strategy, TestRuntime};

use crate::planted::{Found, check_then_act, lost_wake_up, restart_race};

/// Seeds that are tried.
const SEEDS: u64 = 500;

/// Tries a planted bug and prints a row of the table. Of [`SEEDS`], at least `often` must find it, the first within `soon`.
#[expect(clippy::print_stdout, reason = "the rows of the documented table")]
fn finds<F, Fut>(bug: &str, strategy: &Strategy, soon: u64, often: usize, test: F)
where
    F: Fn(TestRuntime) -> Fut,
    Fut: Future<Output = Found>,
{
    let fails = |seed: &u64| {
        let sim = Sim::new().ignore_environment().seed(*seed).strategy(strategy.clone()).trace(0);
        sim.try_run(&test).is_err()
    };
    let found: Vec<u64> = (0..SEEDS).filter(fails).collect();
    let runs = found.first().map(|first| first + 1);
    println!(
        "{bug}, {}: {} of {SEEDS}, the first after {runs:?} runs",
        strategy.name(),
        found.len()
    );
    assert!(found.len() >= often, "{bug}: {strategy:?} finds it {} times", found.len());
    assert!(runs.is_some_and(|runs| runs <= soon), "{bug}: {strategy:?} needs {runs:?} runs");
}

#[test]
fn a_random_walk_finds_what_many_orders_show() {
    let random = Strategy::random();
    finds("check, then act", &random, 20, 100, check_then_act);
    finds("restart race", &random, 30, 60, restart_race);
}

#[test]
fn priorities_find_these_too() {
    let priorities = Strategy::priorities(3);
    finds("check, then act", &priorities, 20, 60, check_then_act);
    finds("restart race", &priorities, 30, 60, restart_race);
}

#[test]
fn priorities_find_what_holds_one_up_for_long_and_a_random_walk_does_not() {
    finds("lost wake-up", &Strategy::priorities(3), 20, 90, lost_wake_up);
    let sim = Sim::new().ignore_environment().seeds(SEEDS).strategy(Strategy::random()).trace(0);
    assert!(sim.try_run(lost_wake_up).is_ok(), "in one of some ten thousand orders");
}

#[test]
fn the_default_finds_all_of_them_in_the_seeds_that_a_test_has() {
    let mixed = Strategy::default();
    finds("lost wake-up", &mixed, 64, 40, lost_wake_up);
    finds("check, then act", &mixed, 64, 80, check_then_act);
    finds("restart race", &mixed, 64, 60, restart_race);
}

#[test]
fn any_number_of_changes_will_do() {
    for changes in [0, 1, u32::MAX] {
        let sim = Sim::new().ignore_environment().seeds(4).strategy(Strategy::priorities(changes));
        sim.run(|rt| async move { rt.run_until_idle().await });
    }
}

//! The same seed makes the same run, byte for byte.

use std::time::Duration;

use whitebeam::prelude::*;
use whitebeam_testkit::{
    Faults, Report, SEED_VARIABLE, SEEDS_VARIABLE, Sim, Strategy, TestRuntime, Who,
};

use crate::planted::check_then_act;

/// Throws the ball to somebody by chance, naps by chance, and links and monitors whom it knows.
struct Player {
    others: Vec<ActorRef<Msg>>,
}

#[derive(Clone)]
enum Msg {
    Others(Vec<ActorRef<Msg>>),
    Ball(u32),
    Down,
}

impl Actor for Player {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.trap_exit(|_| Msg::Down);
        Ok(Player { others: Vec::new() })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Others(others) => {
                others.iter().for_each(|other| {
                    cx.link(other);
                    cx.monitor(other, |_| Msg::Down);
                });
                self.others = others;
            }
            Msg::Ball(0) => return Err(ExitReason::custom("dropped the ball")),
            Msg::Ball(left) => {
                let mut rng = cx.rng();
                let to = rng.pick(&self.others).cloned();
                if rng.chance(0.3) {
                    cx.runtime().sleep(Duration::from_micros(rng.below(50))).await;
                }
                if let Some(to) = to {
                    let _ = to.cast(Msg::Ball(left - 1));
                }
            }
            Msg::Down => {}
        }
        Ok(())
    }
}

async fn play(rt: TestRuntime) {
    let mut players = Vec::new();
    for _ in 0..8 {
        players.push(rt.start::<Player>(()).await.expect("a player"));
    }
    for player in &players {
        player.cast(Msg::Others(players.clone())).expect("sent");
    }
    for (n, player) in players.iter().enumerate() {
        let _ = player.cast(Msg::Ball(10 + n as u32));
    }
    rt.advance(Duration::from_secs(1)).await;
}

fn report(strategy: Strategy) -> Report {
    let faults = Faults::new()
        .crash(Who::actor::<Player>(), 2)
        .delay(Who::actor::<Player>(), Who::actor::<Player>(), Duration::from_micros(20))
        .slow_init(Who::actor::<Player>(), Duration::from_micros(3));
    let sim = Sim::new().seeds(8).ignore_environment().strategy(strategy).faults(faults);
    sim.trace(100_000).run(play)
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    for strategy in [Strategy::random(), Strategy::priorities(3)] {
        let (one, two) = (report(strategy.clone()), report(strategy));
        for (one, two) in one.runs.iter().zip(&two.runs) {
            let (first, second) = (one.trace.to_string(), two.trace.to_string());
            assert!(one.trace.len() > 150, "{} events", one.trace.len());
            for (first, second) in first.lines().zip(second.lines()) {
                assert_eq!(first, second, "seed {}", one.seed);
            }
            assert_eq!(first, second);
            assert_eq!((one.digest, one.steps, one.elapsed), (two.digest, two.steps, two.elapsed));
        }
        let mut digests: Vec<u64> = one.runs.iter().map(|run| run.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 8, "each seed goes its own way");
    }
}

#[test]
fn a_failure_is_the_same_again() {
    let sim = || Sim::new().seeds(200).ignore_environment().trace(100_000);
    let first = sim().try_run(check_then_act).expect_err("a planted bug");
    let again = sim().seed(first.seed).try_run(check_then_act).expect_err("the same");
    assert_eq!(first.trace.to_string(), again.trace.to_string());
    assert_eq!(first.digest, again.digest);
    assert_eq!(again.runs, 1);
}

/// A run as it was when this was written: on this machine and on others, now and later. What changes it (the
/// runtime's own order of doing things, as a rule) is not wrong, but old seeds find nothing any more: it belongs
/// in the change log.
#[test]
fn a_run_is_what_it_was() {
    struct Echo;
    impl Actor for Echo {
        type Args = ();
        type Msg = Reply<u8>;
        async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Echo)
        }
        async fn handle(
            &mut self,
            reply: Reply<u8>,
            cx: &mut Context<Self>,
        ) -> Result<(), ExitReason> {
            cx.runtime().sleep(Duration::from_millis(2)).await;
            reply.send(7);
            Ok(())
        }
    }
    let sim = Sim::new().seed(3).ignore_environment().strategy(Strategy::random());
    let report = sim.run(|rt| async move {
        let echo = rt.start::<Echo>(()).await.expect("an echo");
        assert_eq!(echo.call(|reply| reply).await.expect("an answer"), 7);
        rt.exit(&echo, ExitReason::Kill);
    });
    let lines = [
        "      0.000000000 <0.0.1> Echo is spawned",
        "      0.000000000 <0.0.1> Echo has started",
        "      0.000000000 <0.0.1> Echo handles Reply<u8>#0 (a call)",
        "      0.000000000 <0.0.1> Echo suspends",
        "      0.002000000 <0.0.1> Echo goes on",
        "      0.002000000 <0.0.1> Echo gets an exit signal from outside: kill",
        "      0.002000000 <0.0.1> Echo ends: killed",
    ];
    let trace = report.runs[0].trace.to_string();
    assert_eq!(trace.lines().collect::<Vec<_>>(), lines);
}

/// Prints the seeds it runs with, for the tests below.
#[test]
fn prints_its_seeds() {
    for (sim, whose) in [(Sim::new(), "the"), (Sim::new().ignore_environment(), "its own")] {
        let report = sim.seeds(2).run(|_rt| async {});
        let seeds: Vec<u64> = report.runs.iter().map(|run| run.seed).collect();
        println!("{whose} seeds {seeds:?}");
    }
}

/// What [`prints_its_seeds`] prints behind `label` with these variables set, if it gets so far.
fn printed_seeds(label: &str, variables: &[(&str, &str)]) -> Option<String> {
    let program = std::env::current_exe().expect("this program");
    let output = std::process::Command::new(program)
        .args(["--exact", "replay::prints_its_seeds", "--nocapture"])
        .env_remove(SEED_VARIABLE)
        .env_remove(SEEDS_VARIABLE)
        .envs(variables.iter().copied())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| Some(line.split_once(label)?.1.to_owned()))
}

#[test]
fn the_environment_pins_a_seed_and_raises_their_number() {
    let seeds = |variables| printed_seeds("the seeds ", variables);
    let told = |text: &str| Some(text.to_owned());
    assert_eq!(seeds(&[]), told("[0, 1]"));
    assert_eq!(seeds(&[(SEEDS_VARIABLE, "4")]), told("[0, 1, 2, 3]"));
    assert_eq!(seeds(&[(SEEDS_VARIABLE, "1")]), told("[0, 1]"), "raised, not lowered");
    assert_eq!(seeds(&[(SEED_VARIABLE, "77"), (SEEDS_VARIABLE, "4")]), told("[77]"));
    assert_eq!(seeds(&[(SEED_VARIABLE, "many")]), None, "no number: the test fails");
}

#[test]
fn a_test_may_ignore_the_environment() {
    let seeds = |variables| printed_seeds("its own seeds ", variables);
    for variables in [&[][..], &[(SEEDS_VARIABLE, "4")], &[(SEED_VARIABLE, "77")]] {
        assert_eq!(seeds(variables).as_deref(), Some("[0, 1]"), "{variables:?}");
    }
}

/// Prints what the runs came to, for the test below.
#[test]
fn prints_its_digests() {
    for strategy in [Strategy::random(), Strategy::priorities(3)] {
        let report = report(strategy);
        let digests: Vec<_> = report.runs.iter().map(|run| (run.digest, run.steps)).collect();
        println!("digests {digests:?}");
    }
}

/// Another process has its memory elsewhere, and other seeds in std's hashers.
#[test]
fn the_same_seed_makes_the_same_run_in_another_process() {
    let digests = || {
        let program = std::env::current_exe().expect("this program");
        let output = std::process::Command::new(program)
            .args(["--exact", "replay::prints_its_digests", "--nocapture"])
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines =
            text.split('\n').filter_map(|line| Some(line[line.find("digests [")?..].to_owned()));
        lines.collect::<Vec<_>>()
    };
    let first = digests();
    assert_eq!(first.len(), 2, "one of each strategy");
    assert_eq!(first, digests());
}

#[test]
fn the_last_seed_is_run_and_no_seeds_are_one() {
    let seeds = |sim: Sim| -> Vec<u64> {
        let report = sim.ignore_environment().run(|_rt| async {});
        report.runs.iter().map(|run| run.seed).collect()
    };
    assert_eq!(seeds(Sim::new().seed(u64::MAX)), [u64::MAX]);
    assert_eq!(seeds(Sim::new().seeds(0)), [0], "a test that runs nothing shows nothing");
}

#[test]
fn random_numbers_are_part_of_the_run() {
    let draw = |seed| {
        let numbers = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        let kept = numbers.clone();
        Sim::new().seed(seed).ignore_environment().run(move |rt| {
            let numbers = numbers.clone();
            async move {
                let (mut one, mut two) = (rt.rng(), rt.rng());
                numbers.lock().extend([one.next_u64(), two.next_u64()]);
            }
        });
        std::mem::take(&mut *kept.lock())
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert_ne!(draw(1)[0], draw(1)[1], "each generator has its own");
}

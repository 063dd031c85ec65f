//! The comparison is able to fail: faults are made on purpose, and each is found, and shown in a small scenario.

use std::{sync::Arc, time::Duration};

use whitebeam_supervisor::{Restart, Shutdown};

use crate::{
    compare::{Compared, Played, smallest},
    erlang::{self, LIMITS, Limits},
    escript, expect_panics,
    scenario::{Node, Scenario, Stops, Strategy, What},
    trace::{self, Trace},
    whitebeam,
};

/// OTP is given other scenarios than Whitebeam: each kind of change is seen, and no other one.
#[test]
fn another_scenario_is_seen() {
    if escript::release().is_none() {
        return;
    }
    let scenarios: Vec<_> = (0..60).map(Scenario::random).collect();
    expect_panics();
    let ours: Vec<_> = (0..60)
        .zip(&scenarios)
        .map(|(seed, scenario)| whitebeam::play(&Arc::new(scenario.clone()), seed).unwrap())
        .collect();
    for (what, change) in CHANGES {
        let changed = scenarios.iter().cloned().map(|mut scenario| {
            scenario.nodes.iter_mut().for_each(change);
            scenario
        });
        let changed: Vec<_> = changed.collect();
        let otp = erlang::play(&changed);
        let mut differing = 0;
        for (at, scenario) in scenarios.iter().enumerate() {
            let differs = trace::difference(scenario, &ours[at], &otp[at]).is_some();
            assert!(!differs || changed[at] != *scenario, "{what}: {at} differs as it is");
            differing += usize::from(differs);
        }
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

/// A fault of a system: what would be seen of it. Gives the line that is wrong.
struct Fault {
    what: &'static str,
    make: fn(&Scenario, &mut Vec<String>) -> Option<String>,
}

/// No fault needs more steps than these, or more nodes.
const STEPS: usize = 4;
const NODES: usize = 3;

const FAULTS: [Fault; 9] = [
    Fault {
        what: "children are stopped in another order",
        make: |scenario, lines| {
            let at = find_pair(lines, |one, other| {
                let (one, other) = (words(one), words(other));
                let parent = |words: &[&str]| scenario.node(words[1].parse().ok()?).parent;
                let is_stop = |words: &[&str]| words[0] == "end" && words[3] == "shutdown";
                is_stop(&one) && is_stop(&other) && parent(&one) == parent(&other)
            })?;
            lines.swap(at, at + 1);
            Some(lines[at].clone())
        },
    },
    Fault {
        what: "a restart is missed",
        make: |_, lines| remove(lines, |line| words(line)[0] == "start" && words(line)[2] == "2"),
    },
    Fault {
        what: "a child is started too many",
        make: |_, lines| {
            let at = lines.iter().position(|line| line == "start 2 1")?;
            lines.insert(at + 1, "start 2 2".to_owned());
            Some("start 2 2".to_owned())
        },
    },
    Fault {
        what: "another exit reason",
        make: |_, lines| replace(lines, |line| line.starts_with("end "), " boom", " normal"),
    },
    Fault {
        what: "an answer is missing",
        make: |_, lines| {
            remove(lines, |line| words(line)[0] == "answer" && words(line)[2] == "running")
        },
    },
    Fault {
        what: "answers of a supervisor come in another order",
        make: |scenario, lines| {
            let asked = |line: &str| {
                let number: usize = words(line).get(1)?.parse().ok()?;
                scenario.asked(*scenario.steps.get(number.checked_sub(1)?)?)
            };
            let at = find_pair(lines, |one, other| {
                let is_answer = |line: &str| words(line)[0] == "answer" && words(line)[2] == "ok";
                is_answer(one)
                    && is_answer(other)
                    && asked(one).is_some()
                    && asked(one) == asked(other)
            })?;
            lines.swap(at, at + 1);
            Some(lines[at].clone())
        },
    },
    Fault {
        what: "a child is said to be another one's process",
        make: |_, lines| replace(lines, |line| line.starts_with("children "), "=2/", "=1/"),
    },
    Fault {
        what: "who is below a killed supervisor ends with another reason",
        make: |scenario, lines| {
            let at = lines.iter().position(|line| is_killed_supervisor(scenario, line))?;
            let child = lines[at..].iter().position(|line| {
                let is_below = |id: &str| {
                    let killed = words(&lines[at])[1].parse().ok();
                    killed.is_some()
                        && id.parse().is_ok_and(|id| scenario.node(id).parent == killed)
                };
                words(line)[0] == "end" && is_below(words(line)[1])
            });
            let line = &mut lines[at + child?];
            let (of, _) = line.rsplit_once(' ')?;
            *line = format!("{of} boom");
            Some(line.clone())
        },
    },
    Fault {
        what: "a process is left",
        make: |_, lines| {
            lines.push("left 1".to_owned());
            lines.last().cloned()
        },
    },
];

fn words(line: &str) -> Vec<&str> {
    line.splitn(4, ' ').collect()
}

fn find_pair(lines: &[String], is_it: impl Fn(&str, &str) -> bool) -> Option<usize> {
    lines.windows(2).position(|pair| is_it(&pair[0], &pair[1]))
}

fn remove(lines: &mut Vec<String>, is_it: impl Fn(&str) -> bool) -> Option<String> {
    let at = lines.iter().position(|line| is_it(line))?;
    Some(lines.remove(at))
}

fn replace(
    lines: &mut [String],
    is_it: impl Fn(&str) -> bool,
    from: &str,
    to: &str,
) -> Option<String> {
    let line = lines.iter_mut().find(|line| is_it(line) && line.contains(from))?;
    *line = line.replacen(from, to, 1);
    Some(line.clone())
}

fn is_killed_supervisor(scenario: &Scenario, line: &str) -> bool {
    let words = words(line);
    let id = words.get(1).and_then(|id| id.parse().ok());
    line.starts_with("end ")
        && line.ends_with(" killed")
        && id.is_some_and(|id| scenario.node(id).is_supervisor())
}

/// Against itself with a fault, since that needs no Erlang and is done hundreds of times.
fn with_fault(fault: &Fault, scenarios: &[Arc<Scenario>], seeds: &[u64]) -> Vec<Played> {
    let played = scenarios.iter().zip(seeds).map(|(scenario, seed)| {
        let whitebeam = whitebeam::play(scenario, *seed).expect("it runs");
        let mut lines: Vec<String> = whitebeam.text.lines().map(str::to_owned).collect();
        (fault.make)(scenario, &mut lines);
        let otp = Trace { text: lines.join("\n"), ..whitebeam.clone() };
        Played { whitebeam: Ok(whitebeam), otp }
    });
    played.collect()
}

/// Each fault is found, and what is left of its scenario is no more than the fault needs.
#[test]
fn each_fault_is_found_and_shown_in_a_small_scenario() {
    expect_panics();
    for fault in &FAULTS {
        let play = |scenarios: &[_], seeds: &[_]| with_fault(fault, scenarios, seeds);
        let seed = (0..500).find(|seed| {
            let scenario = Arc::new(Scenario::random(*seed));
            play(&[Arc::clone(&scenario)], &[*seed])[0].differs(&scenario)
        });
        let seed = seed.unwrap_or_else(|| panic!("{}: is not found", fault.what));
        let (scenario, played) = smallest(Arc::new(Scenario::random(seed)), seed, play);
        let shown = played.shown(&scenario);
        let what = format!("{}, seed {seed}:\n{scenario}\n{shown}", fault.what);
        assert!(scenario.steps.len() <= STEPS, "{what}");
        assert!(scenario.nodes.len() <= NODES, "{what}");
        assert!(shown.lines().any(|line| line.starts_with(" ! ")), "{what}");
        // It is this fault that is shown.
        let Ok(whitebeam) = &played.whitebeam else { panic!("{what}") };
        let mut lines: Vec<String> = whitebeam.text.lines().map(str::to_owned).collect();
        let wrong = (fault.make)(&scenario, &mut lines).unwrap_or_else(|| panic!("{what}"));
        let is_marked = |line: &str| line.starts_with(" ! ") && line.contains(&wrong);
        assert!(shown.lines().any(is_marked), "{wrong} is not marked: {what}");
    }
}

/// Each line that is missing, comes twice, or is in another's place, is seen, but for those that are listed to have no
/// order.
#[test]
fn another_trace_is_seen() {
    expect_panics();
    let (mut compared, mut without_order) = (0, 0);
    for seed in 0..40 {
        let scenario = Arc::new(Scenario::random(seed));
        let trace = whitebeam::play(&scenario, seed).unwrap();
        assert_eq!(trace::difference(&scenario, &trace, &trace), None);
        let lines: Vec<&str> = trace.text.lines().collect();
        for at in 0..lines.len() - 1 {
            let mut missing = lines.clone();
            missing.remove(at);
            let mut twice = lines.clone();
            twice.insert(at, lines[at]);
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            let mut changed = vec![missing, twice];
            if may_be_swapped(&scenario, &lines, at) {
                without_order += 1;
            } else {
                changed.push(swapped);
            }
            for changed in changed {
                let changed = Trace { text: changed.join("\n"), ..trace.clone() };
                let differs = trace::difference(&scenario, &trace, &changed);
                assert!(differs.is_some(), "scenario {seed}, line {at}: {}", lines[at]);
                compared += 1;
            }
        }
    }
    assert!(compared > 2_000 && without_order < compared / 20, "{without_order} of {compared}");
}

/// Whether a line and the next one have no order: answers of different processes, and ends of which one is below a
/// supervisor that was killed in this step.
fn may_be_swapped(scenario: &Scenario, lines: &[&str], at: usize) -> bool {
    let (one, other) = (words(lines[at]), words(lines[at + 1]));
    let id = |words: &[&str]| words.get(1).and_then(|word| word.parse::<usize>().ok());
    let (Some(one_id), Some(other_id)) = (id(&one), id(&other)) else { return false };
    if one[0] == "answer" && other[0] == "answer" {
        let asked = |number: usize| {
            let step = number.checked_sub(1).and_then(|at| scenario.steps.get(at));
            step.and_then(|step| scenario.asked(*step)).ok_or(number)
        };
        let is_of_end = |text: &str| matches!(text, "noproc" | "shutdown" | "killed" | "boom");
        return asked(one_id) != asked(other_id) || is_of_end(one[2]) && is_of_end(other[2]);
    }
    let begin = lines[..=at].iter().rposition(|line| line.starts_with("step ")).unwrap_or(0);
    let step = lines[begin + 1..].iter().take_while(|line| !line.starts_with("step "));
    let killed: Vec<usize> = step
        .filter(|line| is_killed_supervisor(scenario, line))
        .filter_map(|line| id(&words(line)))
        .collect();
    let is_orphan = |words: &[&str], id: usize| {
        let is_below = |top: &usize| id != *top && scenario.is_below(id, *top);
        words[0] == "end" && killed.iter().any(is_below)
    };
    let is_lived = |words: &[&str]| matches!(words[0], "start" | "end" | "answer" | "children");
    is_lived(&one) && is_lived(&other) && (is_orphan(&one, one_id) || is_orphan(&other, other_id))
}

/// Where nothing was compared, or less than was wanted, there is no success.
#[test]
fn nothing_compared_is_a_failure() {
    let play = |_: &[_], _: &[_]| Vec::new();
    let nothing = Compared::default();
    assert!(nothing.verdict(0, play).is_err());
    assert!(nothing.verdict(1, play).is_err());
    let one = Compared { scenarios: 1, ..Compared::default() };
    assert!(one.verdict(1, play).is_ok());
    assert!(one.verdict(2, play).is_err());
    // Traces that are the same, but tell of nothing.
    expect_panics();
    let scenario = Arc::new(Scenario::random(0));
    let whole = whitebeam::play(&scenario, 0).unwrap();
    let differs = |text: &str| {
        let trace = Trace { text: text.to_owned(), ..whole.clone() };
        trace::difference(&scenario, &trace, &trace).is_some()
    };
    assert!(!differs(&whole.text));
    assert!(differs("") && differs("step 0\n") && differs(&format!("{}left 1\n", whole.text)));
}

/// A root, and a worker that traps exits, has all the time, and does this in its `terminate`; it is told to.
fn stops(how: &str) -> String {
    format!(
        "{{[{{node,0,none,false,permanent,infinity,false,[],{{supervisor,one_for_one,1,never}}}},\
         {{node,1,0,false,permanent,infinity,false,[],{{worker,true,{how}}}}}],\
         [{{{{terminate_child,0,1}},true}},{{{{count_children,0}},true}}]}}.\n"
    )
}

/// What never ends on OTP says so, and what comes behind it is played.
#[test]
fn what_does_not_end_is_given_up() {
    if escript::release().is_none() {
        return;
    }
    // A step of the first takes for ever, the others need no time.
    let limits = Limits { step: Duration::from_secs(1), ..LIMITS };
    let terms = [stops("hangs"), stops("plainly")];
    let traces = erlang::play_terms(&terms, limits).unwrap();
    assert!(traces[0].ends_with("step 1\ndoes not end\n"), "{}", traces[0]);
    assert!(traces[1].ends_with("step 3\nend 0 1 shutdown\nanswer 3 ok\n"), "{}", traces[1]);

    // The first never waits, so that the script's player of it never acts; more than are played at once come behind it.
    let limits = Limits { scenario: Duration::from_secs(2), ..LIMITS };
    let mut terms = vec![stops("spins")];
    terms.resize(100, stops("plainly"));
    let traces = erlang::play_terms(&terms, limits).unwrap();
    assert_eq!(traces[0], "the scenario does not end\n");
    assert!(traces[99].ends_with("step 3\nend 0 1 shutdown\nanswer 3 ok\n"), "{}", traces[99]);

    // A script that gives nothing up is killed.
    let limits = Limits { silence: Duration::from_secs(2), ..LIMITS };
    let failure = erlang::play_terms(&[stops("plainly"), stops("spins")], limits).unwrap_err();
    assert!(failure.starts_with("the script said nothing for 2s"), "{failure}");
}

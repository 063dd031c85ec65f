//! What is seen of a scenario, and how two traces of one are compared.
//!
//! A trace is text, the same lines from both systems:
//!
//! | line | meaning |
//! | --- | --- |
//! | `step N` | what has come of the step with this number; 0 is the start of the root |
//! | `start ID N` | the node's start number N has begun, in its new process |
//! | `end ID N REASON` | the process of that start has ended |
//! | `answer N TEXT` | the answer to the request of step N has come |
//! | `children ID CHILD=STATE ..` | what a supervisor says of its children, the newest first, when all is over |
//! | `holds` | a worker holds: nobody is asked for children |
//! | `left N` | processes that are there at the end |
//!
//! # What is compared
//!
//! All of it, in this order: the processes of a scenario act one after the other, as each step comes to its end before the
//! next one, and a supervisor does one thing at a time. There is one exception, and it is the listed departure of
//! `docs/beam.md`: when a supervisor was *killed*, those below it end by themselves, each when it can, on OTP with `killed`
//! or as their own supervisor says, on Whitebeam with `shutdown`. Who of them ends in which step is compared, but
//! neither order nor reason.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use crate::scenario::{Id, Scenario};

/// A process: which start of which node.
type Life = (Id, usize);

/// The lines of each step, in a form in which traces that mean the same are the same.
pub(crate) fn canonical(scenario: &Scenario, trace: &str) -> Vec<Vec<String>> {
    let mut families = Families::default();
    steps(trace).into_iter().map(|step| families.step(scenario, &step)).collect()
}

fn steps(trace: &str) -> Vec<Vec<&str>> {
    let mut steps: Vec<Vec<&str>> = Vec::new();
    for line in trace.lines() {
        match steps.last_mut() {
            Some(step) if !line.starts_with("step ") => step.push(line),
            _ => steps.push(vec![line]),
        }
    }
    steps
}

/// How many events a trace tells of: starts, ends, answers.
pub(crate) fn events(trace: &str) -> usize {
    let tells =
        |line: &&str| ["start ", "end ", "answer "].iter().any(|word| line.starts_with(word));
    trace.lines().filter(tells).count()
}

/// Who was started below whom.
#[derive(Default)]
struct Families {
    last: HashMap<Id, Life>,
    parents: HashMap<Life, Life>,
    killed: HashSet<Life>,
}

impl Families {
    fn step(&mut self, scenario: &Scenario, step: &[&str]) -> Vec<String> {
        for line in step {
            let words: Vec<&str> = line.split(' ').collect();
            match (words.as_slice(), life(&words)) {
                (["start", ..], Some(life)) => {
                    let parent = scenario.node(life.0).parent;
                    if let Some(parent) = parent.and_then(|parent| self.last.get(&parent)) {
                        self.parents.insert(life, *parent);
                    }
                    self.last.insert(life.0, life);
                }
                (["end", _, _, "killed"], Some(life)) if scenario.node(life.0).is_supervisor() => {
                    self.killed.insert(life);
                }
                _ => {}
            }
        }
        let (mut lines, mut orphans) = (Vec::new(), Vec::new());
        for line in step {
            let words: Vec<&str> = line.split(' ').collect();
            match life(&words) {
                Some((id, number)) if words[0] == "end" && self.is_orphan((id, number)) => {
                    orphans.push(format!("orphan {id} {number}"));
                }
                _ => lines.push((*line).to_owned()),
            }
        }
        orphans.sort();
        lines.extend(orphans);
        lines
    }

    /// Whether a supervisor above it was killed.
    fn is_orphan(&self, life: Life) -> bool {
        let parent = self.parents.get(&life);
        parent.is_some_and(|parent| self.killed.contains(parent) || self.is_orphan(*parent))
    }
}

fn life(words: &[&str]) -> Option<Life> {
    match words {
        ["start" | "end", id, number, ..] => Some((id.parse().ok()?, number.parse().ok()?)),
        _ => None,
    }
}

/// The first step in which two traces differ, if there is one.
pub(crate) fn difference(scenario: &Scenario, whitebeam: &str, otp: &str) -> Option<usize> {
    let (one, other) = (canonical(scenario, whitebeam), canonical(scenario, otp));
    let steps = one.len().max(other.len());
    (0..steps).find(|step| one.get(*step) != other.get(*step))
}

/// The first line in which two traces differ, of both.
pub(crate) fn first_lines(scenario: &Scenario, whitebeam: &str, otp: &str) -> String {
    let Some(step) = difference(scenario, whitebeam, otp) else { return String::new() };
    let lines = |trace| canonical(scenario, trace).into_iter().nth(step).unwrap_or_default();
    let (one, other) = (lines(whitebeam), lines(otp));
    let line =
        |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_else(|| "-".to_owned());
    let differ = (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at));
    let at = differ.unwrap_or_default();
    format!("step {step}: {} | {}", line(&one, at), line(&other, at))
}

/// Both traces up to the first difference, or to their end, beside each other.
pub(crate) fn side_by_side(scenario: &Scenario, whitebeam: &str, otp: &str) -> String {
    let last = difference(scenario, whitebeam, otp).unwrap_or(usize::MAX);
    let (one, other) = (canonical(scenario, whitebeam), canonical(scenario, otp));
    let mut text = format!("   {:<56} OTP\n", "Whitebeam");
    for step in 0..one.len().max(other.len()).min(last.saturating_add(1)) {
        let empty = Vec::new();
        let (left, right) = (one.get(step).unwrap_or(&empty), other.get(step).unwrap_or(&empty));
        if let Some(step) = step.checked_sub(1).and_then(|step| scenario.steps.get(step)) {
            let _ = writeln!(text, "-- {step}");
        }
        for line in 0..left.len().max(right.len()) {
            let (left, right) = (left.get(line), right.get(line));
            let mark = if left == right { "  " } else { "! " };
            let (left, right) = (left.map_or("", String::as_str), right.map_or("", String::as_str));
            let _ = writeln!(text, " {mark}{left:<56} {right}");
        }
    }
    text
}

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
//! | `children ID CHILD=STATE/TYPE ..` | what a supervisor says of its children, the newest first, when all is over: \
//!   the number of the start as which one runs, `restarting` or `stopped`. Of who is not there, no line |
//! | `holds` | a worker holds: nobody is asked for children |
//! | `left N` | processes that are there at the end |
//! | `does not end` | the step was given up, and the scenario with it |
//!
//! # What is compared
//!
//! All of it, in this order: the processes of a scenario act one after the other, as each step comes to its end before the
//! next one, and a supervisor does one thing at a time. There are two exceptions.
//!
//! * Answers stand behind what was done in their step. Those of one supervisor are compared in the order in which they
//!   came; but for those that its end has given, which are behind the others and have none: that they are asked in vain,
//!   all hear at once. Those of two supervisors come from two processes, and have none either.
//! * The listed departure of `docs/beam.md`. When a supervisor was *killed*, its children end by themselves, each when it
//!   can: on OTP with `killed`, on Whitebeam with `shutdown`, or as its `terminate` crashes. That is the same. A child
//!   and those below it are a *family*, of which this is the end: families have no order among them, nor with what
//!   the others do in the step. What ends in a family, and in which order, and with which reason, is compared.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use crate::scenario::{Id, Scenario, Stops};

/// A process: which start of which node.
type Life = (Id, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Whitebeam,
    Otp,
}

#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) system: System,
    pub(crate) text: String,
}

impl Trace {
    /// How many events it tells of: starts, ends, answers.
    pub(crate) fn events(&self) -> usize {
        let tells =
            |line: &&str| ["start ", "end ", "answer "].iter().any(|word| line.starts_with(word));
        self.text.lines().filter(tells).count()
    }

    /// Whether it tells of each step, and all has ended.
    fn is_whole(&self, scenario: &Scenario) -> bool {
        let is_odd = |line: &str| line.starts_with("left ") || line.ends_with("does not end");
        // The start, each step, and the shutdown of the root, with a release before and behind it where one holds.
        steps(&self.text).len() >= scenario.steps.len() + 2 && !self.text.lines().any(is_odd)
    }

    /// The lines of each step, in a form in which traces that mean the same are the same.
    pub(crate) fn canonical(&self, scenario: &Scenario) -> Vec<Vec<String>> {
        let mut families = Families::new(self.system);
        let steps = steps(&self.text);
        let in_order = |step: &Vec<&str>| in_order(scenario, step, families.step(scenario, step));
        steps.iter().map(in_order).collect()
    }
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

/// A step's lines, with the answers of each supervisor together, those behind the others that its end has given.
fn in_order(scenario: &Scenario, step: &[&str], mut lines: Vec<String>) -> Vec<String> {
    let ended = |id: Id, text: &str| {
        step.iter().any(
            |line| matches!(lived(line), Some((Word::End, of, reason)) if of.0 == id && reason == text),
        )
    };
    let key = |line: &String| {
        let (number, text) = line.strip_prefix("answer ")?.split_once(' ')?;
        let number: usize = number.parse().ok()?;
        let step = number.checked_sub(1).and_then(|at| scenario.steps.get(at));
        let Some(asked) = step.and_then(|step| scenario.asked(*step)) else {
            return Some((Id::MAX, None, number));
        };
        let is_by_end = text == "noproc" || ended(asked, text);
        Some((asked, is_by_end.then_some(number), 0))
    };
    // They stand together.
    if let Some(first) = lines.iter().position(|line| key(line).is_some()) {
        let answers = lines[first..].iter().take_while(|line| key(line).is_some()).count();
        lines[first..first + answers].sort_by_key(key);
    }
    lines
}

/// Who was started below whom.
struct Families {
    system: System,
    last: HashMap<Id, Life>,
    parents: HashMap<Life, Life>,
    killed: HashSet<Life>,
}

impl Families {
    fn new(system: System) -> Self {
        let (last, parents, killed) = Default::default();
        Families { system, last, parents, killed }
    }

    fn step(&mut self, scenario: &Scenario, step: &[&str]) -> Vec<String> {
        for line in step {
            if let Some((Word::Start, life, _)) = lived(line) {
                let parent = scenario.node(life.0).parent;
                if let Some(parent) = parent.and_then(|parent| self.last.get(&parent)) {
                    self.parents.insert(life, *parent);
                }
                self.last.insert(life.0, life);
            }
        }
        self.find_killed(scenario, step);
        let (mut lines, mut families) = (Vec::new(), Vec::<(Life, Vec<String>)>::new());
        for line in step {
            let of = match lived(line) {
                Some((Word::End, life, reason)) => self.head(life).map(|head| (head, life, reason)),
                _ => None,
            };
            let Some((head, life, reason)) = of else {
                lines.push((*line).to_owned());
                continue;
            };
            let (id, number) = life;
            let line = if head == life && self.is_orphans_reason(scenario, id, reason) {
                format!("orphan {id} {number}")
            } else {
                format!("below {} {}: {line}", head.0, head.1)
            };
            match families.iter_mut().find(|(other, _)| *other == head) {
                Some((_, lines)) => lines.push(line),
                None => families.push((head, vec![line])),
            }
        }
        families.sort();
        lines.extend(families.into_iter().flat_map(|(_, lines)| lines));
        lines
    }

    /// Supervisors that were killed. Not those that OTP's end of a killed one has only told to end, by this reason.
    fn find_killed(&mut self, scenario: &Scenario, step: &[&str]) {
        let mut killed: Vec<Life> = step
            .iter()
            .filter_map(|line| match lived(line)? {
                (Word::End, life, "killed") if scenario.node(life.0).is_supervisor() => Some(life),
                _ => None,
            })
            .collect();
        // A node's number is above its parent's.
        killed.sort_unstable();
        for life in killed {
            if !self.parents.get(&life).is_some_and(|parent| self.killed.contains(parent)) {
                self.killed.insert(life);
            }
        }
    }

    /// The child of a killed supervisor that it is, or is below of.
    fn head(&self, life: Life) -> Option<Life> {
        let parent = self.parents.get(&life)?;
        if self.killed.contains(parent) { Some(life) } else { self.head(*parent) }
    }

    /// Whether it is the one that the departure says.
    fn is_orphans_reason(&self, scenario: &Scenario, id: Id, reason: &str) -> bool {
        let crashes = scenario.node(id).stops() == Some(Stops::Crashes);
        match self.system {
            System::Otp => reason == "killed",
            System::Whitebeam => reason == if crashes { "panic" } else { "shutdown" },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Start,
    End,
}

/// A line that tells of a process; an end with its reason.
fn lived(line: &str) -> Option<(Word, Life, &str)> {
    let mut words = line.splitn(4, ' ');
    let word = match words.next()? {
        "start" => Word::Start,
        "end" => Word::End,
        _ => return None,
    };
    let life = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((word, life, words.next().unwrap_or_default()))
}

/// The first step in which two traces differ, if there is one. Those that are the same, but tell of no whole scenario, differ
/// in their last one.
pub(crate) fn difference(scenario: &Scenario, one: &Trace, other: &Trace) -> Option<usize> {
    let is_whole = one.is_whole(scenario) && other.is_whole(scenario);
    let (one, other) = (one.canonical(scenario), other.canonical(scenario));
    let steps = one.len().max(other.len());
    let differs = (0..steps).find(|step| one.get(*step) != other.get(*step));
    differs.or_else(|| (!is_whole).then(|| steps.saturating_sub(1)))
}

/// The first line in which two traces differ, of both.
pub(crate) fn first_lines(scenario: &Scenario, whitebeam: &Trace, otp: &Trace) -> String {
    let Some(step) = difference(scenario, whitebeam, otp) else { return String::new() };
    let lines = |trace: &Trace| trace.canonical(scenario).into_iter().nth(step).unwrap_or_default();
    let (one, other) = (lines(whitebeam), lines(otp));
    let line =
        |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_else(|| "-".to_owned());
    let differ = (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at));
    let at = differ.unwrap_or_default();
    format!("step {step}: {} | {}", line(&one, at), line(&other, at))
}

/// Both traces up to the first difference, or to their end, beside each other.
pub(crate) fn side_by_side(scenario: &Scenario, whitebeam: &Trace, otp: &Trace) -> String {
    let last = difference(scenario, whitebeam, otp).unwrap_or(usize::MAX);
    let (one, other) = (whitebeam.canonical(scenario), otp.canonical(scenario));
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

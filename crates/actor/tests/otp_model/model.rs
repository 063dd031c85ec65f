//! Signals, links, monitors, names and ends as the semantics of OTP say, as a program that can be run.
//!
//! Between two steps nothing is in flight: a signal's effect is a function call. What the semantics leave open
//! within a step is said, and undone, in `trace.rs`.
//!
//! # Where Whitebeam departs from OTP, as far as it is seen here
//!
//! Each is a line below that asks for the [`System`]; everything else is one for both.
//!
//! 1. A link to a dead process by one who does not trap: OTP raises the error `noproc`, Whitebeam sends the exit
//!    signal `NoProc`. (The Erlang half makes the signal of the error: no line here.)
//! 2. A server that traps and is in a handler when its parent's exit signal comes: in OTP the EXIT waits in the
//!    mailbox, and an end of its own comes first. In Whitebeam the first reason counts.
//! 3. A monitor of a name is listed as one of the process that had it; in OTP as one of the name.
//! 4. A monitor of oneself, which never fires, was active when it is taken back; in OTP there never was one.

mod view;

use std::collections::BTreeMap;

pub(crate) use view::relations;

use super::{
    program::{How, Id, Mon, Name, OUTSIDE, Op, Reason, Step},
    trace::{Entry, Life},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Whitebeam,
    Otp,
}

pub(crate) struct Model {
    system: System,
    step: usize,
    processes: Vec<Process>,
    names: BTreeMap<Name, Id>,
    /// Who made each monitor, active or not.
    monitors: BTreeMap<Mon, Id>,
}

#[derive(Default)]
struct Process {
    parent: Id,
    traps: bool,
    holds: bool,
    /// Its parent has told a trapping process to end, which is in a handler.
    told: Option<Reason>,
    links: Vec<Id>,
    /// Active monitors: whom, and by what name if by one.
    watches: BTreeMap<Mon, (Id, Option<Name>)>,
    mailbox: Vec<(usize, String)>,
    life: Life,
}

impl Model {
    pub(crate) fn new(system: System, roots: usize) -> Self {
        let processes = (0..=roots).map(|_| Process::default()).collect();
        Model { system, step: 0, processes, names: BTreeMap::new(), monitors: BTreeMap::new() }
    }

    pub(crate) fn step(&mut self, Step { by, op }: Step) {
        match op {
            Op::Link(to) if to == by || self.processes[by].links.contains(&to) => {}
            Op::Link(to) if !self.is_alive(to) => self.exit(to, by, Reason::NoProc),
            Op::Link(to) => self.link(by, to),
            Op::Unlink(to) => self.unlink(by, to),
            Op::Monitor(to, monitor) => self.monitor(by, monitor, Some(to), None),
            Op::MonitorName(name, monitor) => {
                self.monitor(by, monitor, self.names.get(name).copied(), Some(name));
            }
            Op::Demonitor { monitor, flush, info } => {
                let was_active = self.processes[by].watches.remove(&monitor).is_some();
                if flush && self.monitors[&monitor] == by {
                    let down = format!("down {monitor} ");
                    self.processes[by].mailbox.retain(|(_, text)| !text.starts_with(&down));
                }
                if info {
                    self.result(by, was_active);
                }
            }
            Op::Trap(traps) => self.processes[by].traps = traps,
            Op::Exit(to, reason) => self.exit(by, to, reason),
            Op::Stop(reason) | Op::Return(reason) => match self.processes[by].told {
                Some(first) if self.system == System::Whitebeam => self.end(by, first),
                _ => self.end(by, reason),
            },
            Op::Panic => self.end(by, Reason::Panic),
            Op::Spawn(how, child, monitor) => {
                assert_eq!(child, self.processes.len(), "children are numbered in order");
                self.processes.push(Process { parent: by, ..Process::default() });
                match how {
                    How::Plain => {}
                    How::Link => self.link(by, child),
                    How::Monitor => self.monitor(by, monitor, Some(child), None),
                }
            }
            Op::Register(name, to) => {
                let is_free = !self.names.contains_key(name);
                let is_nameless = self.names.values().all(|&named| named != to);
                let is_given = is_free && is_nameless && self.is_alive(to);
                if is_given {
                    self.names.insert(name, to);
                }
                self.result(by, is_given);
            }
            Op::Unregister(name) => {
                let was_there = self.names.remove(name).is_some();
                self.result(by, was_there);
            }
            Op::Whereis(name) => self.result(by, self.names.get(name).copied().unwrap_or(OUTSIDE)),
            Op::Send(to, number) => self.deliver(to, format!("send {by} {number}")),
            Op::SendName(name, number) => match self.names.get(name) {
                Some(&to) => self.deliver(to, format!("send {by} {number}")),
                None => self.result(by, "noname"),
            },
            Op::Hold => self.processes[by].holds = true,
            Op::GoOn => self.go_on(by),
        }
        self.step += 1;
    }

    /// An exit signal that was sent. `kill` cannot be trapped; `normal` harms only who sends it to itself.
    fn exit(&mut self, from: Id, to: Id, reason: Reason) {
        match reason {
            Reason::Kill => self.end(to, Reason::Killed),
            Reason::Normal if from == to && !self.processes[to].traps => self.end(to, reason),
            _ => self.receive_exit(from, to, reason),
        }
    }

    /// A linked process has ended: `kill` is a reason like any other here.
    fn link_breaks(&mut self, from: Id, to: Id, reason: Reason) {
        if self.unlink_half(to, from) {
            self.receive_exit(from, to, reason);
        }
    }

    fn receive_exit(&mut self, from: Id, to: Id, reason: Reason) {
        let process = &mut self.processes[to];
        match process.traps {
            // The parent rule of servers, from whom the rest of this may come in the middle of a handler.
            true if from == process.parent && process.holds => {
                process.told.get_or_insert(reason);
            }
            true if from == process.parent => self.end(to, reason),
            true => self.deliver(to, format!("exit {from} {reason}")),
            false if reason != Reason::Normal => self.end(to, reason),
            false => {}
        }
    }

    /// The first reason counts; the name is free; links break; each monitor tells once.
    fn end(&mut self, id: Id, reason: Reason) {
        if !self.is_alive(id) {
            return;
        }
        let process = &mut self.processes[id];
        process.life.end = Some((self.step, reason.to_string()));
        process.watches.clear();
        let links = std::mem::take(&mut process.links);
        self.names.retain(|_, named| *named != id);
        for other in links {
            self.link_breaks(id, other, reason);
        }
        for watcher in 1..self.processes.len() {
            let fired = self.processes[watcher].watches.extract_if(.., |_, (whom, _)| *whom == id);
            for (monitor, (_, name)) in fired.collect::<Vec<_>>() {
                self.down(watcher, monitor, id, name, reason);
            }
        }
    }

    fn link(&mut self, one: Id, other: Id) {
        self.processes[one].links.push(other);
        self.processes[other].links.push(one);
    }

    fn unlink(&mut self, one: Id, other: Id) {
        self.unlink_half(one, other);
        self.unlink_half(other, one);
    }

    fn unlink_half(&mut self, of: Id, other: Id) -> bool {
        let links = &mut self.processes[of].links;
        let before = links.len();
        links.retain(|&linked| linked != other);
        links.len() < before
    }

    /// Any number per pair. That of oneself never fires.
    fn monitor(&mut self, by: Id, monitor: Mon, whom: Option<Id>, name: Option<Name>) {
        self.monitors.insert(monitor, by);
        match whom {
            Some(whom) if whom == by && self.system == System::Otp => {}
            Some(whom) if self.is_alive(whom) => {
                self.processes[by].watches.insert(monitor, (whom, name));
            }
            _ => self.down(by, monitor, whom.unwrap_or(OUTSIDE), name, Reason::NoProc),
        }
    }

    fn down(&mut self, to: Id, monitor: Mon, of: Id, name: Option<Name>, reason: Reason) {
        let of = name.map_or_else(|| of.to_string(), str::to_owned);
        self.deliver(to, format!("down {monitor} {of} {reason}"));
    }

    /// A message: handled at once, but by who is in a handler.
    fn deliver(&mut self, to: Id, text: String) {
        if self.is_alive(to) {
            self.processes[to].mailbox.push((self.step, text));
            self.handle(to);
        }
    }

    fn handle(&mut self, id: Id) {
        let process = &mut self.processes[id];
        if !process.holds {
            let handled = self.step;
            let entries = process.mailbox.drain(..);
            process.life.entries.extend(entries.map(|(came, text)| Entry { handled, came, text }));
        }
    }

    fn go_on(&mut self, id: Id) {
        self.processes[id].holds = false;
        self.handle(id);
        if let Some(reason) = self.processes[id].told {
            self.end(id, reason);
        }
    }

    fn result(&mut self, by: Id, result: impl ToString) {
        if by != OUTSIDE {
            let text = format!("result {}", result.to_string());
            let entry = Entry { handled: self.step, came: self.step, text };
            self.processes[by].life.entries.push(entry);
        }
    }
}

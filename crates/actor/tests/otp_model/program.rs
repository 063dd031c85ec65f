//! Programs: what a handful of processes do to each other, one step after the other.
//!
//! Processes, monitors and names are numbered by the program, so that three systems speak of the same ones.
//! Process 0 is who is outside of all processes; 1 to `roots` are started by it. A step is carried out by one
//! process, in its handler, and everything that comes of it has happened before the next step begins.
//!
//! A process that *holds* stays in its handler: it still carries out its steps, but what comes to it waits in
//! its mailbox until it is told to go on.

use std::fmt;

use super::model::{Model, System};

/// A process's number.
pub(crate) type Id = usize;
/// A monitor's number.
pub(crate) type Mon = usize;
/// A name, as text and as Erlang's atom.
pub(crate) type Name = &'static str;

pub(crate) const OUTSIDE: Id = 0;
pub(crate) const NAMES: [Name; 3] = ["a", "b", "c"];

/// Why a process ends. The same words in Erlang; `Panic` stands for any error with its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Normal,
    Shutdown,
    Kill,
    Killed,
    NoProc,
    Boom,
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Plain,
    Link,
    Monitor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Link(Id),
    Unlink(Id),
    Monitor(Id, Mon),
    MonitorName(Name, Mon),
    Demonitor {
        monitor: Mon,
        flush: bool,
        info: bool,
    },
    Trap(bool),
    Exit(Id, Reason),
    /// It ends itself: by a stop, by an error that its handler returns.
    Stop(Reason),
    Return(Reason),
    Panic,
    Spawn(How, Id, Mon),
    Register(Name, Id),
    Unregister(Name),
    Whereis(Name),
    Send(Id, usize),
    SendName(Name, usize),
    Hold,
    GoOn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) by: Id,
    pub(crate) op: Op,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) roots: usize,
    pub(crate) steps: Vec<Step>,
}

impl Op {
    fn makes_monitor(self) -> bool {
        matches!(self, Op::Monitor(..) | Op::MonitorName(..) | Op::Spawn(How::Monitor, ..))
    }
}

/// Processes of a program at most.
const PROCESSES: usize = 9;

impl Program {
    /// The program of a seed. What the model says of it so far guides the choice of its next step, so that
    /// little is done by the dead, and something to them.
    pub(crate) fn random(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut program = Program { roots: 3 + dice.below(3), steps: Vec::new() };
        let mut model = Model::new(System::Whitebeam, program.roots);
        let mut monitors = 0;
        for number in 0..12 + dice.below(36) {
            let alive: Vec<Id> = (1..model.processes()).filter(|&id| model.is_alive(id)).collect();
            if alive.is_empty() {
                break;
            }
            let holding: Vec<Id> =
                alive.iter().copied().filter(|&id| model.is_holding(id)).collect();
            let by = match dice.below(12) {
                0 => OUTSIDE,
                1..=3 if !holding.is_empty() => dice.of(&holding),
                _ => dice.of(&alive),
            };
            // What comes to who holds waits, and meets what that does meanwhile.
            let likely = if dice.below(3) == 0 && !holding.is_empty() { &holding } else { &alive };
            let op = random_op(&mut dice, &model, by, likely, monitors, number);
            monitors += usize::from(op.makes_monitor());
            model.step(Step { by, op });
            program.steps.push(Step { by, op });
        }
        let holding = (1..model.processes()).filter(|&id| model.is_holding(id));
        program.steps.extend(holding.map(|by| Step { by, op: Op::GoOn }));
        // One that goes on may be the end of another.
        program.only_possible()
    }

    /// The programs with one step less. Those that need what it did go with it.
    pub(crate) fn smaller(&self) -> Vec<Program> {
        (0..self.steps.len())
            .map(|without| {
                let mut steps = self.steps.clone();
                steps.remove(without);
                Program { roots: self.roots, steps }.only_possible()
            })
            .collect()
    }

    /// Without the steps of dead processes, and those that name what is not there yet: on either system.
    fn only_possible(mut self) -> Self {
        let mut models = [System::Whitebeam, System::Otp].map(|it| Model::new(it, self.roots));
        self.steps.retain(|&step| {
            let possible = models.iter().all(|model| model.is_possible(step));
            if possible {
                models.iter_mut().for_each(|model| model.step(step));
            }
            possible
        });
        self
    }

    /// The smallest program that can be reached by removals and still fails. `failures` tells of each of some
    /// programs how it fails, if it does.
    pub(crate) fn shrunk(
        self,
        failures: impl Fn(&[Program]) -> Vec<Option<String>>,
    ) -> (Self, String) {
        let mut smallest = self;
        let mut failure = failures(std::slice::from_ref(&smallest)).remove(0);
        loop {
            let smaller = smallest.smaller();
            let mut found = failures(&smaller).into_iter().enumerate();
            let Some((which, found)) = found.rfind(|(_, found)| found.is_some()) else {
                return (smallest, failure.unwrap_or_default());
            };
            failure = found;
            smallest = smaller[which].clone();
        }
    }
}

fn random_op(
    dice: &mut Dice,
    model: &Model,
    by: Id,
    likely: &[Id],
    monitor: Mon,
    number: usize,
) -> Op {
    let target = match dice.below(10) {
        0 if by != OUTSIDE => by,
        1..=2 => 1 + dice.below(model.processes() - 1),
        _ => dice.of(likely),
    };
    let name = dice.of(&NAMES);
    if by == OUTSIDE {
        return match dice.below(4) {
            0 | 1 => Op::Exit(target, random_reason(dice)),
            2 => Op::Send(target, number),
            _ => Op::SendName(name, number),
        };
    }
    if model.is_holding(by) {
        match dice.below(16) {
            0..=2 => return Op::GoOn,
            3 => return Op::Trap(true),
            4 => return Op::Trap(false),
            // What waits as a message stays one.
            6..=8 if model.has_waiting(by) => return Op::Trap(false),
            9..=12 => {
                if let Some(monitor) = model.waiting_down(by) {
                    let flush = dice.below(3) > 0;
                    return Op::Demonitor { monitor, flush, info: true };
                }
            }
            13 => return Op::MonitorName(name, monitor),
            5 => return Op::Stop(random_reason(dice)),
            _ => {}
        }
    }
    match dice.below(100) {
        0..=13 => Op::Link(target),
        14..=18 => Op::Unlink(target),
        19..=28 => Op::Monitor(target, monitor),
        29..=32 => Op::MonitorName(name, monitor),
        33..=41 if monitor > 0 => Op::Demonitor {
            monitor: dice.below(monitor),
            flush: dice.below(2) == 0,
            info: dice.below(3) > 0,
        },
        42..=51 => Op::Trap(dice.below(3) > 0),
        52..=62 => Op::Exit(target, random_reason(dice)),
        63..=64 => Op::Stop(random_reason(dice)),
        65..=66 => Op::Return(random_reason(dice)),
        67 => Op::Panic,
        68..=75 if model.processes() <= PROCESSES => {
            let how = dice.of(&[How::Plain, How::Link, How::Link, How::Monitor]);
            Op::Spawn(how, model.processes(), monitor)
        }
        76..=80 => Op::Register(name, target),
        81 => Op::Unregister(name),
        82..=83 => Op::Whereis(name),
        84..=86 => Op::SendName(name, number),
        87..=93 => Op::Hold,
        _ => Op::Send(target, number),
    }
}

fn random_reason(dice: &mut Dice) -> Reason {
    use Reason::{Boom, Kill, Killed, NoProc, Normal, Shutdown};
    dice.of(&[Normal, Normal, Normal, Normal, Shutdown, Kill, Killed, NoProc, Boom, Boom])
}

/// Random numbers of a seed (Steele, Lea and Flood's SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as usize % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Normal => "normal",
            Reason::Shutdown => "shutdown",
            Reason::Kill => "kill",
            Reason::Killed => "killed",
            Reason::NoProc => "noproc",
            Reason::Boom => "boom",
            Reason::Panic => "panic",
        })
    }
}

/// One step a line, for who reads a failure.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "roots 1..={}", self.roots)?;
        for (number, Step { by, op }) in self.steps.iter().enumerate() {
            writeln!(f, "  {number}: {by} {op:?}")?;
        }
        Ok(())
    }
}

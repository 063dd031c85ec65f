//! The scenario of a seed.
//!
//! Rules, so that each scenario comes to an end, and what it asks for is defined on both systems:
//! * Who hangs has a short time, and the supervisors above it all the time: one that is killed would leave it
//!   for ever. It is not told to end itself with `shutdown`, which nobody would end.
//! * One worker at most may hold, has all the time, and no supervisor above it has less. Nobody hangs in such a scenario.
//! * A supervisor that has a child that hangs, or anybody below it that may hold, is never killed.
//! * Only a child of the root holds in its `init`: other supervisors would be told to end meanwhile, or behind that, and
//!   an ordered end gives up what is under way, on Whitebeam alone.
//! * Other times are so long that no machine is too slow for them.

use std::time::Duration;

use whitebeam_actor::Rng;
use whitebeam_supervisor::{AutoShutdown, Restart, Shutdown};

use crate::scenario::{Begin, Id, Node, ROOT, Reason, Scenario, Step, Stops, Strategy, What};

/// Supervisors above each other, at most.
const DEPTH: usize = 3;
/// Nodes of the tree, at most, before the spare ones.
const NODES: usize = 20;
/// Never reached.
const LONG: Shutdown = Shutdown::After(Duration::from_secs(60));

/// Whether anybody may be slow to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slow {
    Nobody,
    Hangs,
    Holds,
}

struct Dice {
    rng: Rng,
    slow: Slow,
    nodes: Vec<Node>,
}

impl Scenario {
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let slow = match rng.below(8) {
            0 => Slow::Hangs,
            1..=3 => Slow::Holds,
            _ => Slow::Nobody,
        };
        let mut dice = Dice { rng, slow, nodes: Vec::new() };
        dice.supervisor(None, AutoShutdown::Never, false, 1);
        for _ in 0..dice.rng.below(4) {
            dice.spare();
        }
        dice.spare_who_is_slow();
        let mut scenario = Scenario { nodes: dice.nodes, steps: Vec::new() };
        let mut rng = dice.rng;
        for _ in 0..4 + rng.below(12) {
            let step = any_step(&mut rng, &scenario);
            scenario.steps.push(step);
            // What comes while it holds is what it is there for.
            if let Some((above, id)) =
                scenario.holder().and_then(|node| Some((node.parent?, node.id)))
                && rng.chance(0.3)
            {
                scenario.steps.push(Step::TerminateChild(above, id));
                for _ in 0..2 + rng.below(4) {
                    let step = any_step(&mut rng, &scenario);
                    if scenario.is_for_held(step) {
                        scenario.steps.push(step);
                    }
                }
                scenario.steps.push(Step::Release);
            }
        }
        scenario
    }
}

impl Dice {
    fn supervisor(
        &mut self,
        parent: Option<Id>,
        above: AutoShutdown,
        is_spare: bool,
        depth: usize,
    ) -> Id {
        let auto_shutdown = pick(
            &mut self.rng,
            &[
                (6, AutoShutdown::Never),
                (2, AutoShutdown::AnySignificant),
                (2, AutoShutdown::AllSignificant),
            ],
        );
        let is_made = self.rng.chance(0.4);
        let starts = if is_made { self.starts() } else { Vec::new() };
        let strategy = pick(
            &mut self.rng,
            &[(1, Strategy::OneForOne), (1, Strategy::OneForAll), (1, Strategy::RestForOne)],
        );
        let intensity = self.rng.below(6) as u32;
        let what = What::Supervisor { strategy, intensity, auto_shutdown, is_made };
        let restart = pick(
            &mut self.rng,
            &[(6, Restart::Permanent), (3, Restart::Transient), (2, Restart::Temporary)],
        );
        let shutdown =
            pick(&mut self.rng, &[(6, Shutdown::Infinity), (2, LONG), (2, Shutdown::BrutalKill)]);
        let id = self.add(parent, above, is_spare, restart, shutdown, starts, what);
        for _ in 0..1 + self.rng.below(if is_spare { 2 } else { 4 }) {
            let has_room = depth < DEPTH && self.nodes.len() < NODES && !is_spare;
            if has_room && self.rng.chance(0.35) {
                self.supervisor(Some(id), auto_shutdown, false, depth + 1);
            } else {
                self.worker(id, auto_shutdown, false);
            }
        }
        id
    }

    fn worker(&mut self, parent: Id, above: AutoShutdown, is_spare: bool) {
        let is_slow = match self.slow {
            Slow::Nobody => false,
            Slow::Hangs => self.rng.chance(0.15),
            // One of them, and likely one.
            Slow::Holds => {
                let is_first = !self.nodes.iter().any(|node| node.stops() == Some(Stops::Holds));
                is_first && self.rng.chance(0.4)
            }
        };
        let (stops, shutdown) = match self.slow {
            Slow::Hangs if is_slow => {
                let time = Duration::from_millis(5 + self.rng.below(15));
                (Stops::Hangs, Shutdown::After(time))
            }
            Slow::Holds if is_slow => (Stops::Holds, Shutdown::Infinity),
            _ => {
                let crashes = self.rng.chance(0.12);
                let shutdown = pick(
                    &mut self.rng,
                    &[(3, Shutdown::Infinity), (4, LONG), (2, Shutdown::BrutalKill)],
                );
                (if crashes { Stops::Crashes } else { Stops::Plainly }, shutdown)
            }
        };
        let traps = stops != Stops::Plainly || self.rng.chance(0.5);
        let restart = pick(
            &mut self.rng,
            &[(4, Restart::Permanent), (3, Restart::Transient), (3, Restart::Temporary)],
        );
        let mut starts = self.starts();
        if stops == Stops::Holds && parent == ROOT && self.rng.chance(0.7) {
            starts.push(Begin::Well);
            let at = self.rng.below(starts.len() as u64 + 1) as usize;
            starts.insert(at, Begin::Holds);
        }
        let what = What::Worker { traps, stops };
        self.add(Some(parent), above, is_spare, restart, shutdown, starts, what);
    }

    fn spare(&mut self) {
        let supervisors: Vec<Id> =
            self.nodes.iter().filter(|node| node.is_supervisor()).map(|node| node.id).collect();
        let Some(&parent) = self.rng.pick(&supervisors) else { return };
        let What::Supervisor { auto_shutdown, .. } = self.nodes[parent].what else { return };
        if self.rng.chance(0.2) {
            self.supervisor(Some(parent), auto_shutdown, true, DEPTH);
        } else {
            self.worker(parent, auto_shutdown, true);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of a node")]
    fn add(
        &mut self,
        parent: Option<Id>,
        above: AutoShutdown,
        is_spare: bool,
        restart: Restart,
        shutdown: Shutdown,
        starts: Vec<Begin>,
        what: What,
    ) -> Id {
        let id = self.nodes.len();
        let may_be = restart != Restart::Permanent && above != AutoShutdown::Never;
        let significant = may_be && self.rng.chance(0.6);
        self.nodes.push(Node {
            id,
            parent,
            is_spare,
            restart,
            shutdown,
            significant,
            starts,
            what,
        });
        id
    }

    fn starts(&mut self) -> Vec<Begin> {
        if !self.rng.chance(0.25) {
            return Vec::new();
        }
        let first = if self.rng.chance(0.85) { Begin::Well } else { self.start() };
        let more = 1 + self.rng.below(4);
        std::iter::once(first).chain((0..more).map(|_| self.start())).collect()
    }

    fn start(&mut self) -> Begin {
        pick(
            &mut self.rng,
            &[
                (5, Begin::Well),
                (2, Begin::Ignore),
                (3, Begin::Fails(Reason::Boom)),
                (1, Begin::Fails(Reason::Shutdown)),
                (1, Begin::Fails(Reason::ShutdownWith)),
                (1, Begin::Fails(Reason::Panic)),
            ],
        )
    }

    /// Nobody who is above one that is slow is in a hurry.
    fn spare_who_is_slow(&mut self) {
        let slow = |node: &Node| matches!(node.stops(), Some(Stops::Hangs | Stops::Holds));
        for at in 0..self.nodes.len() {
            let mut above = self.nodes[at].parent.filter(|_| slow(&self.nodes[at]));
            while let Some(id) = above {
                self.nodes[id].shutdown = Shutdown::Infinity;
                above = self.nodes[id].parent;
            }
        }
    }
}

fn any_step(rng: &mut Rng, scenario: &Scenario) -> Step {
    let any = |rng: &mut Rng, fits: &dyn Fn(&Node) -> bool| -> Option<Id> {
        let ids: Vec<Id> =
            scenario.nodes.iter().filter(|node| fits(node)).map(|node| node.id).collect();
        rng.pick(&ids).copied()
    };
    let worker = any(rng, &|node| !node.is_supervisor()).unwrap_or(ROOT);
    let supervisor = any(rng, &Node::is_supervisor).unwrap_or(ROOT);
    let child = any(rng, &|node| node.parent == Some(supervisor));
    let child = child.filter(|_| rng.chance(0.95)).unwrap_or(worker);
    match rng.below(20) {
        0..=6 => Step::Ends(worker, own_reason(rng, scenario.node(worker))),
        7..=9 => {
            let id = if rng.chance(0.6) { worker } else { supervisor };
            Step::Exit(id, sent_reason(rng, scenario, id))
        }
        10 => {
            let id = if rng.chance(0.6) { worker } else { supervisor };
            Step::Stop(id, own_reason(rng, scenario.node(id)).to_stop())
        }
        11..=12 => match any(rng, &|node| node.is_spare) {
            Some(spare) => Step::StartChild(spare),
            None => Step::CountChildren(supervisor),
        },
        13..=14 => Step::TerminateChild(supervisor, child),
        15..=16 => Step::RestartChild(supervisor, child),
        17 => Step::DeleteChild(supervisor, child),
        18 => Step::GetChildspec(supervisor, child),
        _ => Step::CountChildren(supervisor),
    }
}

fn own_reason(rng: &mut Rng, node: &Node) -> Reason {
    let reason = pick(
        rng,
        &[
            (5, Reason::Boom),
            (3, Reason::Normal),
            (2, Reason::Shutdown),
            (2, Reason::ShutdownWith),
            (1, Reason::Kill),
            (2, Reason::Panic),
        ],
    );
    match node.stops() {
        Some(Stops::Hangs) if reason == Reason::Shutdown => Reason::Normal,
        _ => reason,
    }
}

fn sent_reason(rng: &mut Rng, scenario: &Scenario, id: Id) -> Reason {
    let reason = pick(
        rng,
        &[(4, Reason::Kill), (2, Reason::Boom), (2, Reason::Shutdown), (1, Reason::Normal)],
    );
    let keeps_slow = |node: &Node| match node.stops() {
        Some(Stops::Hangs) => node.parent == Some(id),
        Some(Stops::Holds) => node.id != id && scenario.is_below(node.id, id),
        _ => false,
    };
    match reason {
        Reason::Kill if scenario.nodes.iter().any(keeps_slow) => Reason::Shutdown,
        _ => reason,
    }
}

/// One of some values, each with its weight.
fn pick<T: Copy>(rng: &mut Rng, of: &[(u64, T)]) -> T {
    let mut left = rng.below(of.iter().map(|(weight, _)| weight).sum());
    for (weight, value) in of {
        if left < *weight {
            return *value;
        }
        left -= weight;
    }
    of[0].1
}

impl Reason {
    /// A stop from outside cannot be a panic, and `kill` is another thing.
    fn to_stop(self) -> Self {
        match self {
            Reason::Panic | Reason::Kill => Reason::Boom,
            other => other,
        }
    }
}

//! Histories of a static supervisor, all short ones and random ones, against a model of it.
//!
//! The model is OTP's `supervisor.erl` in a few lines: what it would do with the children at each event, one event at a
//! time. After each event the supervisor's answers and the order of all starts and ends must be the model's. Events do
//! not overlap here; what happens when they do is for the tests with names.

mod model;
mod orders;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{ChildRef, ExitReason, Handle, Rng, StartError};
use whitebeam_supervisor::{
    AutoShutdown, Child, ChildError, ChildState, Intensity, Restart, Supervisor, SupervisorRef,
};
use whitebeam_testkit::Sim;

use self::model::{Kid, Model, State, Strategy};
use crate::{
    support::{Log, Msg, Plain, Setup, kind, told},
    tree::{everywhere, inits_and_ends, pid, state_in, until},
};

/// What a supervisor is started with.
#[derive(Clone, Debug)]
struct Shape {
    strategy: Strategy,
    auto_shutdown: AutoShutdown,
    /// Restarts that it takes, in a time that no test comes near.
    restarts: u32,
    kids: Vec<Kid>,
}

/// An event.
#[derive(Clone, Copy, Debug)]
enum Op {
    Ends(u64, &'static str),
    /// The next starts of a child fail, so many.
    Fail(u64, u32),
    Terminate(u64),
    Restart(u64),
    Delete(u64),
    Start(Kid),
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len() as u64) as usize]
}

/// The supervisor and its model.
struct Pair {
    model: Model,
    root: SupervisorRef,
    handles: Vec<(u64, ChildRef<Msg>)>,
    log: Log,
    /// Starts that are to fail, by child.
    failing: Failing,
}

type Failing = Arc<Mutex<Vec<(u64, u32)>>>;

impl Pair {
    async fn new(rt: &Handle, shape: &Shape) -> Pair {
        let Shape { strategy, auto_shutdown, restarts, .. } = *shape;
        let tree = match strategy {
            Strategy::OneForOne => Supervisor::one_for_one(),
            Strategy::OneForAll => Supervisor::one_for_all(),
            Strategy::RestForOne => Supervisor::rest_for_one(),
        };
        let period = Duration::from_secs(3_600);
        let mut tree = tree
            .with_intensity(Intensity::Limited { restarts, period })
            .auto_shutdown(auto_shutdown);
        let (log, failing) = (Log::new(), Failing::default());
        let mut handles = Vec::new();
        for kid in &shape.kids {
            handles.push((kid.id, tree.child_with(spec_of(kid, &log, &failing))));
        }
        let root = tree.start(rt).await.unwrap();
        let mut model = Model {
            strategy,
            auto_shutdown,
            left: restarts,
            kids: Vec::new(),
            failing: Vec::new(),
            trace: Vec::new(),
            tries: VecDeque::new(),
            ended: false,
        };
        for kid in &shape.kids {
            model.kids.push(*kid);
            model.begin(model.kids.len() - 1);
        }
        Pair { model, root, handles, log, failing }
    }

    fn handle(&self, id: u64) -> Option<&ChildRef<Msg>> {
        self.handles.iter().rev().find(|(other, _)| *other == id).map(|(_, handle)| handle)
    }

    fn state(&self, id: u64) -> Option<State> {
        self.model.place(id).map(|place| self.model.kids[place].state)
    }

    /// Whether this can happen now.
    fn can(&self, op: Op) -> bool {
        match op {
            Op::Ends(id, _) => self.state(id) == Some(State::Running),
            _ => true,
        }
    }

    /// Has it happen to both, and compares the answers.
    async fn apply(&mut self, rt: &Handle, op: Op) {
        let place = |id| self.model.place(id);
        match op {
            Op::Ends(id, how) => {
                let child = self.handle(id).unwrap().current().unwrap();
                match how {
                    "normal" => drop(told(rt, &child, Msg::End(ExitReason::Normal)).await),
                    "shutdown" => drop(told(rt, &child, Msg::End(ExitReason::Shutdown)).await),
                    "crash" => drop(told(rt, &child, Msg::End(ExitReason::custom(1))).await),
                    _ => drop(crate::support::end(rt, &child, ExitReason::Kill).await),
                }
                self.model.crashed(id, matches!(how, "normal" | "shutdown"));
                self.model.settle();
            }
            Op::Fail(id, times) => {
                self.failing.lock().push((id, times));
                self.model.failing.push((id, times));
            }
            Op::Terminate(id) => {
                let answer = self.root.terminate_child(id as usize).await;
                match place(id) {
                    None => assert!(matches!(answer, Err(ChildError::NotFound)), "{answer:?}"),
                    Some(place) => {
                        answer.unwrap();
                        self.model.stop(place);
                        if self.model.kids[place].restart == Restart::Temporary {
                            self.model.kids.remove(place);
                        }
                    }
                }
            }
            Op::Restart(id) => {
                let answer = self.root.restart_child(id as usize).await;
                match place(id) {
                    None => assert!(matches!(answer, Err(ChildError::NotFound)), "{answer:?}"),
                    Some(place) if self.model.kids[place].state == State::Running => {
                        assert!(matches!(answer, Err(ChildError::Running)), "{answer:?}");
                    }
                    Some(place) => assert_eq!(answer.is_ok(), self.model.begin(place)),
                }
            }
            Op::Delete(id) => {
                let answer = self.root.delete_child(id as usize).await;
                match place(id) {
                    None => assert!(matches!(answer, Err(ChildError::NotFound)), "{answer:?}"),
                    Some(place) if self.model.kids[place].state == State::Running => {
                        assert!(matches!(answer, Err(ChildError::Running)), "{answer:?}");
                    }
                    Some(place) => {
                        answer.unwrap();
                        self.model.kids.remove(place);
                    }
                }
            }
            Op::Start(kid) => self.start(kid).await,
        }
    }

    async fn start(&mut self, kid: Kid) {
        let child = spec_of(&kid, &self.log, &self.failing);
        let answer = self.root.start_child(child).await;
        match self.state(kid.id) {
            Some(State::Running) => {
                assert!(matches!(answer, Err(StartError::AlreadyStarted(_))), "{answer:?}");
            }
            Some(State::Stopped | State::Restarting) => {
                assert!(matches!(answer, Err(StartError::AlreadyPresent)), "{answer:?}");
            }
            None => {
                self.model.kids.push(kid);
                if self.model.begin(self.model.kids.len() - 1) {
                    self.handles.push((kid.id, answer.unwrap()));
                } else {
                    assert!(matches!(answer, Err(StartError::Exit(_))), "{answer:?}");
                    self.model.kids.pop();
                }
            }
        }
    }

    /// Waits until the supervisor has done what the model has, and compares.
    async fn agree(&self, rt: &Handle) {
        let model = &self.model;
        if model.ended {
            crate::support::until(rt, || !rt.is_alive(&self.root)).await;
            assert_eq!(inits_and_ends(&self.log), model.trace);
            return;
        }
        let is_done = || inits_and_ends(&self.log).len() >= model.trace.len();
        crate::support::until(rt, is_done).await;
        let children = until(rt, &self.root, |children| {
            children.len() == model.kids.len()
                && model.kids.iter().all(|kid| {
                    let is_running = match state_in(children, kid.id) {
                        Some(ChildState::Running(pid)) => rt.is_alive(pid),
                        Some(ChildState::Stopped) => false,
                        _ => return false,
                    };
                    is_running == (kid.state == State::Running)
                })
        })
        .await;
        let ids: Vec<String> = children.iter().map(|entry| entry.id.to_string()).collect();
        let expected: Vec<String> = model.kids.iter().rev().map(|kid| kid.id.to_string()).collect();
        assert_eq!(ids, expected, "newest first");
        assert_eq!(inits_and_ends(&self.log), model.trace);
        for (id, handle) in &self.handles {
            if let Some(State::Running) = self.state(*id)
                && self.handle(*id).is_some_and(|newest| newest.tag() == handle.tag())
            {
                assert_eq!(Some(pid(handle)), state_in(&children, *id).and_then(ChildState::pid));
            }
        }
    }
}

fn spec_of(kid: &Kid, log: &Log, failing: &Failing) -> Child<ChildRef<Msg>> {
    let (id, failing) = (kid.id, failing.clone());
    // A start that fails never gets as far as a state, and is no end of one.
    let setup = Setup::new(id, log).init(move |_| {
        let mut failing = failing.lock();
        let fails = failing.iter_mut().find(|(other, times)| *other == id && *times > 0);
        let fails = fails.map(|(_, times)| *times -= 1).is_some();
        async move { if fails { Err(ExitReason::custom("as planned")) } else { Ok(()) } }
    });
    let child = Child::new::<Plain>(id as usize, setup).restart(kid.restart);
    if kid.significant { child.significant() } else { child }
}

const STRATEGIES: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
const MODES: [AutoShutdown; 3] =
    [AutoShutdown::Never, AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];
const RESTARTS: [Restart; 3] = [Restart::Permanent, Restart::Transient, Restart::Temporary];

fn any_kid(rng: &mut Rng, id: u64, auto_shutdown: AutoShutdown) -> Kid {
    let restart = pick(rng, &RESTARTS);
    Kid::new(id, restart, auto_shutdown, rng.below(2) == 0)
}

fn any_shape(rng: &mut Rng) -> Shape {
    let (strategy, auto_shutdown) = (pick(rng, &STRATEGIES), pick(rng, &MODES));
    let kids = (1..=rng.below(4)).map(|id| any_kid(rng, id, auto_shutdown)).collect();
    Shape { strategy, auto_shutdown, restarts: rng.below(6) as u32, kids }
}

fn any_op(rng: &mut Rng, ids: u64, auto_shutdown: AutoShutdown) -> Op {
    let id = 1 + rng.below(ids + 1);
    match rng.below(8) {
        0..=2 => Op::Ends(id, pick(rng, &["normal", "shutdown", "crash", "kill"])),
        3 => Op::Fail(id, 1 + rng.below(2) as u32),
        4 => Op::Terminate(id),
        5 => Op::Restart(id),
        6 => Op::Delete(id),
        _ => Op::Start(any_kid(rng, id, auto_shutdown)),
    }
}

/// One event after the other, as far as they can happen, and an ordered end.
async fn history(rt: &Handle, shape: &Shape, mut next: impl FnMut(&Pair) -> Option<Op>) {
    let mut pair = Pair::new(rt, shape).await;
    pair.agree(rt).await;
    let down = rt.down(&pair.root);
    while !pair.model.ended
        && let Some(op) = next(&pair)
    {
        if pair.can(op) {
            pair.apply(rt, op).await;
            pair.agree(rt).await;
        }
    }
    if !pair.model.ended {
        rt.exit(&pair.root, ExitReason::Shutdown);
        pair.model.end();
        pair.agree(rt).await;
    }
    assert_eq!(kind(&down.await.reason), "shutdown");
}

async fn random_history(rt: Handle, events: usize) {
    let mut rng = rt.rng();
    let shape = any_shape(&mut rng);
    let mut left = events;
    history(&rt, &shape, |pair| {
        left = left.checked_sub(1)?;
        Some(any_op(&mut rng, pair.handles.len() as u64, shape.auto_shutdown))
    })
    .await;
}

/// Many histories in virtual time, each from its seed.
#[test]
fn random_histories_are_those_of_otps_model() {
    Sim::new().seeds(400).run(|rt| random_history(rt.handle(), 25));
}

/// Some on threads.
#[test]
fn random_histories_on_threads() {
    everywhere(|rt| async move {
        for _ in 0..5 {
            random_history(rt.clone(), 15).await;
        }
    });
}

/// Every supervisor of two children, with each strategy, mode and pair of restart types, and every history of two events.
#[test]
fn all_short_histories_are_those_of_otps_model() {
    all_histories(2);
}

/// As above, of three events: by hand, since it takes minutes without optimisation.
#[test]
#[ignore = "minutes long: run by hand with `--release`"]
fn all_longer_histories_are_those_of_otps_model() {
    all_histories(3);
}

fn all_histories(events: u32) {
    for strategy in STRATEGIES {
        for auto_shutdown in MODES {
            for first in RESTARTS {
                for second in RESTARTS {
                    let kid = |id, restart| Kid::new(id, restart, auto_shutdown, true);
                    let kids = vec![kid(1, first), kid(2, second)];
                    let shape = Shape { strategy, auto_shutdown, restarts: 2, kids };
                    Sim::new().seeds(1).run(|rt| all_of(rt.handle(), shape.clone(), events));
                }
            }
        }
    }
}

async fn all_of(rt: Handle, shape: Shape, events: u32) {
    let ops = |id| {
        let kid = Kid::new(id, Restart::Transient, shape.auto_shutdown, false);
        [
            Op::Ends(id, "normal"),
            Op::Ends(id, "crash"),
            Op::Fail(id, 1),
            Op::Terminate(id),
            Op::Restart(id),
            Op::Delete(id),
            Op::Start(kid),
        ]
    };
    let ops: Vec<Op> = [1, 2].into_iter().flat_map(ops).collect();
    for mut number in 0..ops.len().pow(events) {
        let mut left = events;
        history(&rt, &shape, |_| {
            left = left.checked_sub(1)?;
            let op = ops[number % ops.len()];
            number /= ops.len();
            Some(op)
        })
        .await;
    }
}

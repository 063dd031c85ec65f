//! Plays a scenario on Whitebeam, in a simulation: each seed takes the turns of a step in another order, and time
//! passes at once.

use std::{collections::HashMap, fmt::Write as _, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt, TryFutureExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use parking_lot::Mutex;
use whitebeam_actor::{Pid, StartError, StopError};
use whitebeam_supervisor::{ChildState, SupervisorRef};
use whitebeam_testkit::{Life, Sim, TestRuntime};

use crate::{
    actors::{Addresses, Msg, World},
    scenario::{Id, ROOT, Reason, Scenario, Step, What, restart_word, shutdown_word},
    specs::{Made, child, made, spec},
    trace::{System, Trace},
    words::{child_started, child_words, done, kind_word, reason_of, start_words, words},
};

/// Longer than whoever hangs has; what takes longer does not come to an end.
const STEP: Duration = Duration::from_secs(1);

/// The trace of a scenario, as the script writes it, in the order of a seed.
///
/// # Errors
/// The run fails for itself: it does not come to rest, or does not end.
pub(crate) fn play(scenario: &Arc<Scenario>, seed: u64) -> Result<Trace, String> {
    let trace = Arc::new(Mutex::new(String::new()));
    let run = Sim::new().ignore_environment().seed(seed).trace(0).try_run(|rt| {
        let (scenario, trace) = (Arc::clone(scenario), trace.clone());
        async move {
            let mut stage = Stage::new(rt, scenario);
            stage.play().await;
            *trace.lock() = stage.trace;
        }
    });
    run.map_err(|failure| failure.to_string())?;
    let mut trace = trace.lock();
    Ok(Trace { system: System::Whitebeam, text: std::mem::take(&mut *trace) })
}

/// Who plays a scenario.
struct Stage {
    rt: TestRuntime,
    world: Arc<World>,
    /// How much of the runtime's account is in the trace.
    seen: usize,
    /// The number of the step.
    step: usize,
    /// Starts in the trace.
    starts: HashMap<Id, usize>,
    /// Processes in the trace: which start of which node.
    lives: HashMap<Pid, (Id, usize)>,
    /// Requests that have no answer yet, with the numbers of their steps. One process waits for all, so that answers of one
    /// supervisor come in the order in which they were given.
    asked: FuturesUnordered<BoxFuture<'static, (usize, String)>>,
    answers: Vec<(usize, String)>,
    trace: String,
}

impl Stage {
    fn new(rt: TestRuntime, scenario: Arc<Scenario>) -> Self {
        let world = World { scenario, rt: rt.clone(), state: Mutex::default() };
        Stage {
            rt,
            world: Arc::new(world),
            seen: 0,
            step: 0,
            starts: HashMap::new(),
            lives: HashMap::new(),
            asked: FuturesUnordered::new(),
            answers: Vec::new(),
            trace: String::new(),
        }
    }

    async fn play(&mut self) {
        self.start();
        self.settle().await;
        let scenario = Arc::clone(&self.world.scenario);
        for step in &scenario.steps {
            self.step += 1;
            if self.holds() && !scenario.is_for_held(*step) {
                self.answer("left out");
            } else {
                self.take(*step);
            }
            self.settle().await;
        }
        self.release().await;
        self.step += 1;
        self.take(Step::Exit(ROOT, Reason::Shutdown));
        self.settle().await;
        self.release().await;
        let left = self.rt.processes().len();
        if left > 0 {
            self.line(format_args!("left {left}"));
        }
    }

    async fn release(&mut self) {
        while self.holds() {
            self.step += 1;
            self.take(Step::Release);
            self.settle().await;
        }
    }

    fn holds(&self) -> bool {
        !self.world.state.lock().holding.is_empty()
    }

    fn start(&mut self) {
        let is_made =
            matches!(self.world.scenario.node(ROOT).what, What::Supervisor { is_made: true, .. });
        let start = if is_made {
            made(&self.world, ROOT).start(&self.rt)
        } else {
            let mut addresses = Addresses::default();
            let tree = spec(&self.world, ROOT, &mut addresses);
            self.world.has_taken(addresses);
            tree.start(&self.rt)
        };
        let world = Arc::clone(&self.world);
        self.later(async move {
            match start.await {
                Ok(root) => {
                    world.state.lock().addresses.supervisors.insert(ROOT, root);
                    "ok".to_owned()
                }
                Err(error) => start_words(&error),
            }
        });
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Ends(id, reason) => {
                let worker = self.world.state.lock().addresses.workers.get(&id).cloned();
                let told = worker.is_some_and(|worker| worker.cast(Msg::End(reason)).is_ok());
                self.answer(if told { "ok" } else { "noproc" });
            }
            Step::Exit(id, reason) => {
                let to = self.process(id);
                self.answer(if to.is_some() { "ok" } else { "noproc" });
                if let Some(pid) = to {
                    self.rt.exit(pid, reason_of(reason));
                }
            }
            Step::Stop(id, reason) => match self.process(id) {
                Some(pid) => {
                    let asked = reason_of(reason);
                    let stopping = self.rt.stop(pid, asked.clone());
                    self.later(async move {
                        // With which reason it has ended.
                        match stopping.await {
                            Ok(()) => words(&asked),
                            Err(StopError::Exit(reason)) => words(&reason),
                            Err(error) => error.to_string(),
                        }
                    });
                }
                None => self.answer("noproc"),
            },
            Step::StartChild(id) => {
                let node = self.world.scenario.node(id);
                let Some(at) = node.parent.and_then(|parent| self.supervisor(parent)) else {
                    return self.answer("noproc");
                };
                let mut addresses = Addresses::default();
                let start: BoxFuture<'static, _> = match child(&self.world, node, &mut addresses) {
                    Made::Worker(child) => Box::pin(at.start_child(child).map_ok(drop)),
                    Made::Supervisor(child) => Box::pin(at.start_child(child).map_ok(drop)),
                };
                let world = Arc::clone(&self.world);
                self.later(async move {
                    let started = start.await;
                    if matches!(started, Ok(()) | Err(StartError::Ignore)) {
                        world.has_taken(addresses);
                    }
                    child_started(id, started)
                });
            }
            Step::TerminateChild(of, id) => {
                self.ask(of, async move |at| done(at.terminate_child(id).await))
            }
            Step::RestartChild(of, id) => {
                self.ask(of, async move |at| match at.restart_child(id).await {
                    Ok(None) => "ignore".to_owned(),
                    other => done(other.map(drop)),
                })
            }
            Step::DeleteChild(of, id) => {
                self.ask(of, async move |at| done(at.delete_child(id).await))
            }
            Step::GetChildspec(of, id) => {
                self.ask(of, async move |at| match at.get_childspec(id).await {
                    Ok(spec) => format!(
                        "{} {} {} {}",
                        restart_word(spec.restart),
                        shutdown_word(spec.shutdown),
                        spec.significant,
                        kind_word(spec.kind)
                    ),
                    Err(error) => child_words(&error),
                })
            }
            Step::CountChildren(of) => {
                self.ask(of, async move |at| match at.count_children().await {
                    Ok(counts) => format!(
                        "{} {} {} {}",
                        counts.specs, counts.active, counts.supervisors, counts.workers
                    ),
                    Err(error) => child_words(&error),
                })
            }
            Step::Release => {
                let holding = std::mem::take(&mut self.world.state.lock().holding);
                holding.into_iter().for_each(|reply| reply.send(()));
            }
        }
    }

    fn ask<F>(&mut self, of: Id, f: impl FnOnce(SupervisorRef) -> F)
    where
        F: Future<Output = String> + Send + 'static,
    {
        match self.supervisor(of) {
            Some(at) => self.later(f(at)),
            None => self.answer("noproc"),
        }
    }

    fn supervisor(&self, id: Id) -> Option<SupervisorRef> {
        self.world.state.lock().addresses.supervisors.get(&id).cloned()
    }

    /// The process of a node that lives.
    fn process(&self, id: Id) -> Option<Pid> {
        let state = self.world.state.lock();
        let pid = match state.addresses.workers.get(&id) {
            Some(worker) => self.rt.pid_of(worker),
            None => self.rt.pid_of(state.addresses.supervisors.get(&id)?),
        };
        pid.filter(|pid| self.rt.is_alive(*pid))
    }

    fn answer(&mut self, text: &str) {
        self.answers.push((self.step, text.to_owned()));
    }

    /// The answer to this step comes when it comes.
    fn later(&mut self, answer: impl Future<Output = String> + Send + 'static) {
        let step = self.step;
        self.asked.push(answer.map(move |answer| (step, answer)).boxed());
    }

    /// Waits until nothing goes on.
    async fn rest(&mut self) {
        let mut rest = pin!(self.rt.advance(STEP));
        while !self.asked.is_empty() {
            match select(self.asked.next(), &mut rest).await {
                Either::Left((answer, _)) => self.answers.extend(answer),
                Either::Right(_) => return,
            }
        }
        rest.await;
    }

    /// Waits until nothing goes on, and writes down what has come of the step.
    async fn settle(&mut self) {
        self.rest().await;
        let step = self.step;
        self.line(format_args!("step {step}"));
        let lifecycle = self.rt.lifecycle();
        for lived in &lifecycle[self.seen..] {
            match &lived.what {
                Life::Spawned { .. } => {
                    let id = self.world.state.lock().numbers.get(&lived.pid).copied();
                    let Some(id) = id else {
                        self.line(format_args!("start of a process that ran no code"));
                        continue;
                    };
                    let starts = self.starts.entry(id).or_default();
                    *starts += 1;
                    let life = (id, *starts);
                    self.lives.insert(lived.pid, life);
                    self.line(format_args!("start {} {}", life.0, life.1));
                }
                Life::Exited(reason) => {
                    let Some((id, number)) = self.lives.remove(&lived.pid) else {
                        self.line(format_args!("end of a process that ran no code"));
                        continue;
                    };
                    self.line(format_args!("end {id} {number} {}", words(reason)));
                }
                _ => {}
            }
        }
        self.seen = lifecycle.len();
        for (step, answer) in std::mem::take(&mut self.answers) {
            self.line(format_args!("answer {step} {answer}"));
        }
        if self.holds() {
            self.line(format_args!("holds"));
        } else {
            self.states().await;
        }
    }

    async fn states(&mut self) {
        let supervisors = self.world.state.lock().addresses.supervisors.clone();
        for (id, supervisor) in supervisors {
            let said = match supervisor.which_children().await {
                Ok(children) => children
                    .iter()
                    .map(|entry| {
                        let state = self.state_words(&entry.id.to_string(), &entry.state);
                        format!(" {}={state}/{}", entry.id, kind_word(entry.kind))
                    })
                    .collect(),
                Err(error) => match child_words(&error).as_str() {
                    // It is not there, as OTP's is none.
                    "noproc" => continue,
                    other => format!(" error {other}"),
                },
            };
            self.line(format_args!("children {id}{said}"));
        }
    }

    /// As which of its starts it runs.
    fn state_words(&self, child: &str, state: &ChildState) -> String {
        match state {
            ChildState::Running(pid) => match self.lives.get(pid) {
                Some((id, number)) if id.to_string() == child => number.to_string(),
                Some(other) => format!("runs as {other:?}"),
                None => "runs as nobody".to_owned(),
            },
            ChildState::Restarting => "restarting".to_owned(),
            ChildState::Stopped => "stopped".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.trace, "{line}");
    }
}

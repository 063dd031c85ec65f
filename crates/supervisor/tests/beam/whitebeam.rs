//! Plays a scenario on Whitebeam, in a simulation: each seed takes the turns of a step in another order, and time
//! passes at once.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use futures_util::{TryFutureExt, future::BoxFuture};
use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ChildRef, Context, ExitReason, Pid, Reply, SpawnOptions, StartError, StartInfo,
    StopError, oneshot,
};
use whitebeam_supervisor::{
    Child, ChildError, ChildId, ChildKind, ChildState, FailedToStart, Intensity, Supervisor,
    SupervisorFn, SupervisorRef,
};
use whitebeam_testkit::{Life, Sim, TestRuntime};

use crate::{
    EXPECTED,
    scenario::{
        Begin, Id, Node, ROOT, Reason, Scenario, Step, Stops, Strategy, What, restart_word,
        shutdown_word,
    },
};

/// Longer than any time that passes in a scenario, as in the script.
const PERIOD: Duration = Duration::from_secs(3_600);
/// Longer than whoever hangs has; what takes longer does not come to an end.
const STEP: Duration = Duration::from_secs(1);

/// The trace of a scenario, as the script writes it, in the order of a seed.
///
/// # Errors
/// The run fails for itself: it does not come to rest, or does not end.
pub(crate) fn play(scenario: &Arc<Scenario>, seed: u64) -> Result<String, String> {
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
    Ok(std::mem::take(&mut *trace))
}

/// What the processes of a run share.
struct World {
    scenario: Arc<Scenario>,
    rt: TestRuntime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Starts so far.
    starts: HashMap<Id, usize>,
    addresses: Addresses,
    numbers: HashMap<Pid, Id>,
    holding: Vec<Reply<()>>,
    answers: BTreeMap<usize, String>,
}

/// Where the nodes are that a supervisor was given.
#[derive(Default)]
struct Addresses {
    workers: HashMap<Id, ChildRef<Msg>>,
    supervisors: BTreeMap<Id, SupervisorRef>,
}

impl World {
    /// A supervisor has taken children: these are the addresses that steps use from now on.
    fn has_taken(&self, addresses: Addresses) {
        let mut state = self.state.lock();
        state.addresses.workers.extend(addresses.workers);
        state.addresses.supervisors.extend(addresses.supervisors);
    }

    /// A process begins to start: how is it to come out?
    fn begins(&self, id: Id) -> Begin {
        // Each process runs its own code, or that of a child, before it can end.
        let processes = self.rt.processes();
        let mut state = self.state.lock();
        for info in processes {
            let number = info.label.as_ref().and_then(|label| label.as_str()?.parse().ok());
            if let Some(number) = number {
                state.numbers.insert(info.pid, number);
            }
        }
        let starts = state.starts.entry(id).or_default();
        *starts += 1;
        self.scenario.node(id).starts.get(*starts - 1).copied().unwrap_or(Begin::Well)
    }

    async fn hold(&self) {
        let (reply, released) = oneshot();
        self.state.lock().holding.push(reply);
        // Who is killed meanwhile is released to no end.
        let _ = released.await;
    }
}

/// What a worker is told.
enum Msg {
    End(Reason),
    /// An exit signal that it trapped.
    Exit,
}

/// Does nothing by itself. With `TIDY` it has a `terminate`: the runtime knows the difference.
struct Worker<const TIDY: bool> {
    world: Arc<World>,
    stops: Stops,
}

type Args = (Arc<World>, Id);

impl<const TIDY: bool> Worker<TIDY> {
    async fn begin((world, id): Args, cx: &mut Context<Self>) -> Result<Self, ExitReason>
    where
        Self: Actor<Msg = Msg>,
    {
        let What::Worker { traps, stops } = world.scenario.node(id).what else {
            panic!("{id} is a worker")
        };
        if traps {
            cx.trap_exit(|_| Msg::Exit);
        }
        let how = world.begins(id);
        if how == Begin::Holds {
            world.hold().await;
        }
        begin(how)?;
        Ok(Worker { world, stops })
    }

    fn one(msg: Msg) -> Result<(), ExitReason> {
        match msg {
            Msg::End(reason) => Err(reason_of(reason)),
            Msg::Exit => Ok(()),
        }
    }
}

fn begin(how: Begin) -> Result<(), ExitReason> {
    match how {
        Begin::Well | Begin::Holds => Ok(()),
        Begin::Ignore => Err(ExitReason::Ignore),
        Begin::Fails(reason) => Err(reason_of(reason)),
    }
}

impl Actor for Worker<false> {
    type Args = Args;
    type Msg = Msg;

    async fn init(args: Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Self::begin(args, cx).await
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Self::one(msg)
    }
}

impl Actor for Worker<true> {
    type Args = Args;
    type Msg = Msg;

    async fn init(args: Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Self::begin(args, cx).await
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Self::one(msg)
    }

    async fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<Self>) {
        match self.stops {
            _ if !matches!(reason, ExitReason::Shutdown) => {}
            Stops::Plainly => {}
            Stops::Crashes => panic!("{EXPECTED}"),
            Stops::Hangs => std::future::pending().await,
            Stops::Holds => self.world.hold().await,
        }
    }
}

/// A reason in a process's hand. A panic is one.
fn reason_of(reason: Reason) -> ExitReason {
    match reason {
        Reason::Normal => ExitReason::Normal,
        Reason::Shutdown => ExitReason::Shutdown,
        Reason::ShutdownWith => ExitReason::shutdown_with(Reason::ShutdownWith),
        Reason::Kill => ExitReason::Kill,
        Reason::Boom => ExitReason::custom(Reason::Boom),
        Reason::Panic => panic!("{EXPECTED}"),
    }
}

fn words(reason: &ExitReason) -> String {
    if let Some(failed) = reason.downcast_ref::<FailedToStart>() {
        return format!("failed({},{})", failed.id, start_words(&failed.error));
    }
    match reason {
        ExitReason::Normal => "normal".to_owned(),
        ExitReason::Shutdown => "shutdown".to_owned(),
        ExitReason::Kill => "kill".to_owned(),
        ExitReason::Killed => "killed".to_owned(),
        ExitReason::Panic(info) if info.message() == EXPECTED => "panic".to_owned(),
        other => match other.downcast_ref::<Reason>() {
            Some(reason) => reason.word().to_owned(),
            None => format!("{other:?}"),
        },
    }
}

fn start_words(error: &StartError) -> String {
    match error {
        StartError::Exit(reason) => words(reason),
        StartError::Ignore => "ignore".to_owned(),
        StartError::AlreadyStarted(_) => "already_started".to_owned(),
        StartError::AlreadyPresent => "already_present".to_owned(),
        StartError::NoSupervisor | StartError::Restarting => "noproc".to_owned(),
        other => format!("{other:?}"),
    }
}

fn child_words(error: &ChildError) -> String {
    match error {
        ChildError::NotFound => "not_found".to_owned(),
        ChildError::Running => "running".to_owned(),
        ChildError::ChildRestarting => "restarting".to_owned(),
        ChildError::Start(error) => start_words(error),
        ChildError::NoSupervisor | ChildError::Restarting => "noproc".to_owned(),
        ChildError::Exit(reason) => words(reason),
        other => format!("{other:?}"),
    }
}

/// A child's spec, whichever it is of.
enum Made {
    Worker(Child<ChildRef<Msg>>),
    Supervisor(Child<SupervisorRef>),
}

/// The spec of a child.
fn child(world: &Arc<World>, node: &Node, addresses: &mut Addresses) -> Made {
    let id = node.id;
    match node.what {
        What::Worker { stops, .. } => {
            let args = (Arc::clone(world), id);
            let child = match stops {
                Stops::Plainly => Child::new::<Worker<false>>(id, args),
                Stops::Crashes | Stops::Hangs | Stops::Holds => {
                    Child::new::<Worker<true>>(id, args)
                }
            };
            addresses.workers.insert(id, child.handle().clone());
            Made::Worker(with_settings(child, node))
        }
        What::Supervisor { is_made, .. } => {
            let child = if is_made {
                Child::nested(id, made(world, id))
            } else {
                Child::nested(id, spec(world, id, addresses))
            };
            addresses.supervisors.insert(id, child.handle().clone());
            Made::Supervisor(with_settings(child, node))
        }
    }
}

fn with_settings<H>(child: Child<H>, node: &Node) -> Child<H> {
    let child = child.restart(node.restart).shutdown(node.shutdown).options(label(node.id));
    if node.significant { child.significant() } else { child }
}

fn label(id: Id) -> SpawnOptions {
    SpawnOptions::new().label(id.to_string())
}

/// The spec of a supervisor, with all below it.
fn spec(world: &Arc<World>, id: Id, addresses: &mut Addresses) -> Supervisor {
    let What::Supervisor { strategy, intensity, auto_shutdown, .. } = world.scenario.node(id).what
    else {
        panic!("{id} is a supervisor")
    };
    let tree = match strategy {
        Strategy::OneForOne => Supervisor::one_for_one(),
        Strategy::OneForAll => Supervisor::one_for_all(),
        Strategy::RestForOne => Supervisor::rest_for_one(),
    };
    let mut tree = tree
        .with_intensity(Intensity::Limited { restarts: intensity, period: PERIOD })
        .auto_shutdown(auto_shutdown)
        .options(label(id));
    for node in world.scenario.children(id) {
        match child(world, node, addresses) {
            Made::Worker(child) => drop(tree.child_with(child)),
            Made::Supervisor(child) => drop(tree.child_with(child)),
        }
    }
    tree
}

fn made(world: &Arc<World>, id: Id) -> SupervisorFn {
    let world = Arc::clone(world);
    let make = move |_: &StartInfo| {
        begin(world.begins(id))?;
        let mut addresses = Addresses::default();
        let tree = spec(&world, id, &mut addresses);
        world.has_taken(addresses);
        Ok(tree)
    };
    SupervisorFn::new(make).options(label(id))
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

    fn start(&self) {
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

    fn take(&self, step: Step) {
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
                        match spec.kind {
                            ChildKind::Supervisor => "supervisor",
                            _ => "worker",
                        }
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

    fn ask<F>(&self, of: Id, f: impl FnOnce(SupervisorRef) -> F)
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

    fn answer(&self, text: &str) {
        self.world.state.lock().answers.insert(self.step, text.to_owned());
    }

    /// The answer to this step comes when it comes.
    fn later(&self, answer: impl Future<Output = String> + Send + 'static) {
        let (world, step) = (Arc::clone(&self.world), self.step);
        let asked = self.rt.spawn_task(async move {
            let answer = answer.await;
            world.state.lock().answers.insert(step, answer);
        });
        asked.detach();
    }

    /// Waits until nothing goes on, and writes down what has come of the step.
    async fn settle(&mut self) {
        self.rt.advance(STEP).await;
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
                    let (id, number) = self.lives.get(&lived.pid).copied().unwrap_or_default();
                    self.line(format_args!("end {id} {number} {}", words(reason)));
                }
                _ => {}
            }
        }
        self.seen = lifecycle.len();
        let answers = std::mem::take(&mut self.world.state.lock().answers);
        for (step, answer) in answers {
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
            let Ok(children) = supervisor.which_children().await else { continue };
            let children = children.iter().map(|entry| {
                let state = match entry.state {
                    ChildState::Running(_) => "runs",
                    ChildState::Restarting => "restarting",
                    _ => "stopped",
                };
                format!(" {}={state}", entry.id)
            });
            let children: String = children.collect();
            self.line(format_args!("children {id}{children}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.trace, "{line}");
    }
}

/// What `start_child` answers. There the failure of the child itself is said to be its own.
fn child_started(id: Id, started: Result<(), StartError>) -> String {
    let Err(error) = started else { return "ok".to_owned() };
    if let StartError::Exit(reason) = &error
        && let Some(failed) = reason.downcast_ref::<FailedToStart>()
        && failed.id == ChildId::from(id)
    {
        return start_words(&failed.error);
    }
    start_words(&error)
}

fn done(answer: Result<(), ChildError>) -> String {
    match answer {
        Ok(()) => "ok".to_owned(),
        Err(error) => child_words(&error),
    }
}

//! The process behind a dynamic supervisor of children of any kinds.
//!
//! # The two reports of a start
//! A child's start, the first one or that of a restart, has an outcome, a message that always comes
//! ([`Launched::ready`]), and its process has an end, a DOWN; in any order, for a nested supervisor has started when its
//! children have. A start has succeeded when its outcome says so. It has failed when its outcome says so and the process
//! is gone, or was never made: then who asked is told, and nothing is kept; or it was a restart, and is tried again.
//!
//! ```text
//!             DOWN, or no process
//!   Starting ──────▶ (early) ──Ok──▶ ended: restart, or drop
//!      │ Ok             └─────Err──▶ failed: drop, or restart
//!      ├─────▶ Started ──DOWN──▶ ended
//!      │ Err
//!      └─────▶ Failed ──DOWN──▶ failed
//! ```
//!
//! # What is kept per child
//! Its spec, at the place that the runtime gave it ([`ChildKey::index`]). That of a child whose end came before its
//! outcome is kept aside, by the number of the start: its place may be another's.
//!
//! Beside this the rules are those of `process.rs`.
#![expect(
    unnameable_types,
    missing_debug_implementations,
    reason = "named by the hidden items of a sealed trait"
)]

mod ends;
mod requests;

use std::collections::BTreeMap;

use whitebeam_actor::{
    Actor, CallError, ChildDown, ChildKey, Context, ExitReason, Pid, Reply, StartError, StartInfo,
    oneshot,
};

use super::{
    handle::{Count, CountGuard},
    kept::{Kept, KeptTable, With},
    serial::Serial,
    sort::{Admin, Settings},
    stops::{Stop, Stops},
};
use crate::{
    ChildKind, Shutdown,
    child::{Launched, Parent, Spec},
    guard::{self, Guarded},
    intensity::History,
    stop_all::stop_all,
};

type Outcome = Result<(), StartError>;

/// A child that somebody wants.
pub struct Wanted(pub(super) Box<Spec>, pub(super) Reply<Outcome>);

/// What a supervisor is asked.
pub enum AnyRequest {
    Start(Wanted),
    /// How the start of this number came out, and where its process was.
    Started(u64, Option<ChildKey>, Outcome),
    Admin(Admin),
    /// A serial start is over.
    Next,
    /// A child that is being stopped has had its time.
    TimeOver(ChildKey, Pid),
    /// A stranger's exit signal.
    Exit,
}

impl From<Admin> for AnyRequest {
    fn from(admin: Admin) -> Self {
        AnyRequest::Admin(admin)
    }
}

/// What an answer that has come, or cannot come any more, says of a start.
pub(super) fn outcome_of(answer: Result<Outcome, CallError>) -> Outcome {
    match answer {
        Ok(outcome) => outcome,
        Err(CallError::Exit(reason)) => Err(StartError::Exit(reason)),
        Err(CallError::Full) => Err(StartError::Full),
        Err(_) => Err(StartError::ShuttingDown),
    }
}

/// A child.
type Entry = Kept<Held>;

/// What is kept of it beside.
struct Held {
    /// With its arguments, which are the user's.
    spec: Guarded<Box<Spec>>,
    /// The number of its last start; no two have the same.
    run: u64,
    phase: Phase,
}

/// A supervisor has started when its children have, after its own `init`.
impl With for Held {
    fn is_starting(&self) -> bool {
        let is_supervisor =
            || self.spec.get().is_some_and(|spec| spec.kind == ChildKind::Supervisor);
        match self.phase {
            Phase::Starting(_) => is_supervisor(),
            Phase::Failed(..) => true,
            Phase::Started => false,
        }
    }
}

/// What is known of a child's last start. Who asked for it is there if it was its first.
enum Phase {
    Starting(Option<Reply<Outcome>>),
    Failed(Option<Reply<Outcome>>, StartError),
    Started,
}

/// A child without a process, before the outcome of its start.
struct Early {
    entry: Entry,
    /// Its end; `None`: no process was made.
    down: Option<ChildDown>,
    /// It was, or is, to be stopped.
    stop: Option<Stop>,
}

/// The supervisor's state.
pub struct Mixed {
    settings: Settings,
    children: KeptTable<Held>,
    /// By the numbers of their starts.
    early: BTreeMap<u64, Early>,
    stops: Stops,
    restarts: History,
    /// Starts so far, of all children.
    runs: u64,
    serial: Serial<Wanted>,
    count: CountGuard,
}

impl Actor for Mixed {
    type Args = ((), Settings, Count);
    type Msg = AnyRequest;

    async fn init(
        ((), settings, count): Self::Args,
        cx: &mut Context<Self>,
    ) -> Result<Self, ExitReason> {
        cx.supervise(Self::child_down);
        cx.trap_exit(|_| AnyRequest::Exit);
        Ok(Mixed {
            restarts: History::new(settings.intensity),
            settings,
            children: KeptTable::new(),
            early: BTreeMap::new(),
            stops: Stops::default(),
            runs: 0,
            serial: Serial::new(),
            count: CountGuard(count),
        })
    }

    async fn handle(
        &mut self,
        request: AnyRequest,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        match request {
            AnyRequest::Start(wanted) if !self.settings.serial => self.begin(wanted, cx),
            AnyRequest::Start(wanted) => {
                self.serial.push(wanted);
                self.next_serial(cx);
            }
            AnyRequest::Next => {
                self.serial.done();
                self.next_serial(cx);
            }
            AnyRequest::Started(run, key, outcome) => self.started(run, key, outcome, cx),
            AnyRequest::Admin(admin) => self.answer(admin, cx),
            AnyRequest::TimeOver(key, pid) => Stops::time_over(key, pid, cx),
            AnyRequest::Exit => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        self.count.0.close();
        let children = cx.children().into_iter();
        let ways = children.filter_map(|(key, _)| Some((key, self.spec(key)?.shutdown)));
        let ways: Vec<(ChildKey, Shutdown)> = ways.collect();
        stop_all(ways, cx).await;
        self.count.0.set(0);
        self.stops.end_all();
        self.early.values_mut().filter_map(|early| early.stop.take()).for_each(Stop::done);
    }
}

impl Mixed {
    /// The first start of a child.
    fn begin(&mut self, Wanted(mut spec, reply): Wanted, cx: &mut Context<Self>) {
        if self.len(cx) >= self.settings.max_children {
            drop(Guarded::new(spec));
            return reply.send(Err(StartError::MaxChildren));
        }
        self.count.0.set(self.len(cx) + 1);
        let launched = self.launch(&mut spec, None, cx);
        let running = launched.key.and_then(|key| Some((key, cx.child_pid(key)?)));
        let Some((key, last)) = running else {
            self.recount(cx);
            drop(Guarded::new(spec));
            let told = async move { reply.send(launched.ready.await) };
            return cx.runtime().spawn_task(told).detach();
        };
        let run = self.runs;
        let with = Held { spec: Guarded::new(spec), run, phase: Phase::Starting(Some(reply)) };
        self.children.put(key, Kept::new(with, last));
        cx.pipe(launched.ready, move |outcome| AnyRequest::Started(run, Some(key), outcome));
    }

    fn launch(
        &mut self,
        spec: &mut Spec,
        info: Option<StartInfo>,
        cx: &mut Context<Self>,
    ) -> Launched {
        self.runs += 1;
        let options = spec.options.clone();
        // Arguments are made by the user's code: its panic is a failed start.
        guard::call(|| spec.launch.launch(Parent::Any(cx), options, info))
            .unwrap_or_else(|panic| Launched::refused(StartError::Exit(panic)))
    }

    fn next_serial(&mut self, cx: &mut Context<Self>) {
        let Some(Wanted(spec, reply)) = self.serial.next() else { return };
        let (started, answer) = oneshot();
        self.begin(Wanted(spec, started), cx);
        // Behind what has come meanwhile; and it is refused by no bound.
        let told = async move { reply.send(outcome_of(answer.await)) };
        cx.pipe(told, |()| AnyRequest::Next);
    }

    pub(super) fn is_restarting(&self, key: ChildKey, cx: &Context<Self>) -> bool {
        self.children.is_restarting(key, cx)
    }

    pub(super) fn spec(&self, key: ChildKey) -> Option<&Spec> {
        self.children.get(key)?.with.spec.get().map(|spec| &**spec)
    }

    /// Children, with those that have ended and of whose start the outcome is to come.
    fn len(&self, cx: &Context<Self>) -> usize {
        cx.child_count() + self.early.len()
    }

    fn recount(&self, cx: &Context<Self>) {
        self.count.0.set(self.len(cx));
    }
}

//! The process behind a dynamic supervisor of children of any kinds.
//!
//! # The two reports of a start
//! A child's start has an outcome, a message that always comes ([`Launched::ready`]), and its process has an end, a
//! DOWN; in any order, for a nested supervisor has started when its children have. A start has succeeded when its
//! outcome says so. It has failed when its outcome says so and the process is gone: then who asked is told, and nothing
//! is kept.
//!
//! ```text
//!             DOWN
//!   Starting ──────▶ (early) ──Ok──▶ ended: restart, or drop
//!      │ Ok             └─────Err──▶ dropped
//!      ├─────▶ Started ──DOWN──▶ restart, or drop
//!      │ Err
//!      └─────▶ Failed ──DOWN──▶ dropped
//! ```
//!
//! # What is kept per child
//! Its spec, at the place that the runtime gave it ([`ChildKey::index`]). That of a child whose end came before its
//! outcome is kept aside: its place may be another's.
//!
//! Beside this the rules are those of `process.rs`.
#![expect(
    unnameable_types,
    missing_debug_implementations,
    reason = "named by the hidden items of a sealed trait"
)]

use std::{collections::BTreeMap, mem};

use whitebeam_actor::{
    Actor, CallError, ChildDown, ChildKey, Context, ExitReason, Pid, Reply, StartError, StartInfo,
    oneshot,
};

use super::{
    handle::{Count, CountGuard},
    kept::{Kept, KeptTable},
    serial::Serial,
    sort::{Admin, Settings},
    stops::Stops,
};
use crate::{
    ChildCounts, ChildEntry, ChildError, ChildId, ChildKind, ChildSpec, ChildState, Shutdown,
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
    /// How the start of this number came out.
    Started(u64, ChildKey, Outcome),
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

/// What is known of a child's first start.
enum Phase {
    Starting(Reply<Outcome>),
    Failed(Reply<Outcome>, StartError),
    Started,
}

/// A child whose end came before the outcome of its first start.
struct Early {
    entry: Entry,
    down: ChildDown,
    /// It was being stopped.
    was_told: bool,
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
            AnyRequest::TimeOver(key, pid) => {
                if cx.child_pid(key) == Some(pid) {
                    cx.exit(pid, ExitReason::Kill);
                }
            }
            AnyRequest::Exit => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        let ways = cx.children().filter_map(|(key, _)| Some((key, self.spec(key)?.shutdown)));
        let ways: Vec<(ChildKey, Shutdown)> = ways.collect();
        stop_all(ways, cx).await;
        self.count.0.set(0);
        self.stops.end_all();
    }
}

impl Mixed {
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
        let with = Held { spec: Guarded::new(spec), run, phase: Phase::Starting(reply) };
        self.children.put(key, Kept::new(with, last));
        cx.pipe(launched.ready, move |outcome| AnyRequest::Started(run, key, outcome));
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
        let me = cx.me();
        cx.runtime()
            .spawn_task(async move {
                reply.send(outcome_of(answer.await));
                // Refused only by a supervisor that has ended, which takes no next one.
                let _ = me.cast(AnyRequest::Next);
            })
            .detach();
    }

    /// The outcome of a first start.
    fn started(&mut self, run: u64, key: ChildKey, outcome: Outcome, cx: &mut Context<Self>) {
        if let Some(Early { mut entry, down, was_told }) = self.early.remove(&run) {
            let phase = mem::replace(&mut entry.with.phase, Phase::Started);
            if outcome.is_ok() && !was_told {
                self.ended(entry, down, cx);
            }
            self.recount(cx);
            if let Phase::Starting(reply) = phase {
                reply.send(outcome);
            }
            return;
        }
        let Some(Kept { with: held, .. }) = self.children.get_mut(key) else { return };
        if held.run != run {
            return;
        }
        match (mem::replace(&mut held.phase, Phase::Started), outcome) {
            (Phase::Starting(reply), Ok(())) => reply.send(Ok(())),
            (Phase::Starting(reply), Err(error)) => held.phase = Phase::Failed(reply, error),
            (other, _) => held.phase = other,
        }
    }

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let stop = self.stops.end(down.key, cx);
        let mut failed = None;
        if let Some(mut entry) = self.children.take(down.key) {
            match mem::replace(&mut entry.with.phase, Phase::Started) {
                phase @ Phase::Starting(_) => {
                    entry.with.phase = phase;
                    let early = Early { down, was_told: stop.is_some(), entry };
                    self.early.insert(early.entry.with.run, early);
                }
                Phase::Failed(reply, error) => failed = Some((reply, error)),
                Phase::Started if stop.is_none() => self.ended(entry, down, cx),
                // With its address, which leads to nobody then.
                Phase::Started => drop(entry),
            }
        }
        if cx.child_count() == 0 {
            self.children.clear();
        }
        // When it is counted off: who waits may look at the count.
        self.recount(cx);
        if let Some((reply, error)) = failed {
            reply.send(Err(error));
        }
        if let Some(stop) = stop {
            stop.done();
        }
    }

    /// A child that had started has ended by itself.
    fn ended(&mut self, mut entry: Entry, down: ChildDown, cx: &mut Context<Self>) {
        let Some(spec) = entry.with.spec.get_mut() else { return };
        if !spec.restart.applies(entry.attempt, &down) {
            return;
        }
        if !self.restarts.allows_at(|| cx.runtime().uptime()) {
            return cx.stop(ExitReason::Shutdown);
        }
        if down.started {
            entry.last = down.pid;
        }
        entry.attempt = entry.attempt.saturating_add(1);
        let mut info = StartInfo::first();
        info.attempt = entry.attempt;
        info.last_exit = Some(down.reason);
        match self.launch(spec, Some(info), cx).key {
            Some(key) => {
                entry.with.run = self.runs;
                self.children.put(key, entry);
                self.children.note_restart(key, cx);
            }
            // The runtime is shutting down, its process table is full, the name was taken, or the arguments could
            // not be made: for the supervisor above to see to.
            None => cx.stop(ExitReason::Shutdown),
        }
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

impl Mixed {
    fn answer(&mut self, admin: Admin, cx: &mut Context<Self>) {
        match admin {
            Admin::Terminate(pid, reply) => match self.find(pid, cx) {
                Some((key, pid, shutdown)) => {
                    let over = AnyRequest::TimeOver(key, pid);
                    self.stops.begin((key, pid), shutdown, reply, over, cx);
                }
                None => reply.send(Err(ChildError::NotFound)),
            },
            Admin::WhichChildren(reply) => reply.send(self.which_children(cx)),
            Admin::CountChildren(reply) => reply.send(self.count_children(cx)),
            Admin::GetChildspec(pid, reply) => {
                let found = self.find(pid, cx).and_then(|(key, ..)| self.spec(key));
                let spec = found.map(|spec| ChildSpec {
                    id: ChildId::UNDEFINED,
                    restart: spec.restart,
                    shutdown: spec.shutdown,
                    significant: false,
                    kind: spec.kind,
                    actor: spec.launch.actor(),
                });
                reply.send(spec.ok_or(ChildError::NotFound));
            }
            Admin::SetMaxChildren(most, reply) => {
                self.settings.max_children = most;
                reply.send(());
            }
            Admin::Count(reply) => reply.send(self.count.0.clone()),
            Admin::Look(most, reply) => reply.send(self.look(most, cx)),
        }
    }

    /// The child of this pid; also the one that had it, and whose restart is not done.
    fn find(&mut self, pid: Pid, cx: &Context<Self>) -> Option<(ChildKey, Pid, Shutdown)> {
        let key = cx.child_key(pid).or_else(|| self.children.restarting(pid, cx))?;
        Some((key, cx.child_pid(key)?, self.spec(key)?.shutdown))
    }

    fn which_children(&self, cx: &Context<Self>) -> Vec<ChildEntry> {
        let describe = |(key, pid)| {
            let spec = self.spec(key)?;
            Some(ChildEntry {
                id: ChildId::UNDEFINED,
                state: match self.is_restarting(key, cx) {
                    true => ChildState::Restarting,
                    false => ChildState::Running(pid),
                },
                kind: spec.kind,
                actor: spec.launch.actor(),
            })
        };
        cx.children().filter_map(describe).collect()
    }

    fn count_children(&self, cx: &Context<Self>) -> ChildCounts {
        let rt = cx.runtime();
        let mut counts = ChildCounts::default();
        for (key, pid) in cx.children() {
            let Some(spec) = self.spec(key) else { continue };
            counts.specs += 1;
            counts.active += usize::from(rt.is_alive(pid) && !self.is_restarting(key, cx));
            match spec.kind {
                ChildKind::Worker => counts.workers += 1,
                ChildKind::Supervisor => counts.supervisors += 1,
            }
        }
        counts
    }
}

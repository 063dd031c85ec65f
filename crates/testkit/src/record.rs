//! The account of a run: what the runtime's observer writes down.
//!
//! The runtime calls it in the middle of its work, on the one thread that it has. Nothing of the user's runs
//! here: reasons are cloned, and neither formatted nor dropped before the run is over.

mod entry;
mod trace;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{
    ExitReason, Handle, Name, Pid,
    simulate::{Event, Intervention, Moment, Observer},
};

pub(crate) use self::entry::short as entry_short;
use self::entry::{Entry, What};
pub use self::trace::Trace;
use crate::fault::Plan;

/// A change in the life of a process: [`TestRuntime::lifecycle`](crate::TestRuntime::lifecycle).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lived {
    /// Virtual time since the run's beginning.
    pub at: Duration,
    /// The process.
    pub pid: Pid,
    /// The type of its actor, without the paths of modules.
    pub actor: Arc<str>,
    /// What happened to it.
    pub what: Life,
}

/// What happened to a process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Life {
    /// It was made.
    Spawned {
        /// By whom; `None`: from outside.
        parent: Option<Pid>,
        /// 1 for a first start, 2 for the first restart.
        attempt: u32,
    },
    /// Its `init` is done.
    Started,
    /// It has ended.
    Exited(ExitReason),
}

/// A process of the run, alive or not.
pub(crate) struct Process {
    /// For people: the registered name, if there is one, and the actor's type.
    pub(crate) label: Arc<str>,
    pub(crate) actor: Arc<str>,
    /// With its path.
    pub(crate) type_name: &'static str,
    pub(crate) name: Option<Arc<str>>,
    is_alive: bool,
    is_suspended: bool,
    /// What it handled last, in words; empty in its `init`.
    handling: String,
}

/// Processes by pid.
pub(crate) type Processes = BTreeMap<Pid, Process>;

/// See the module's text.
pub(crate) struct Recorder {
    state: Mutex<State>,
}

struct State {
    processes: Processes,
    /// The last events.
    entries: std::collections::VecDeque<Entry>,
    /// How many of them are kept.
    keep: usize,
    events: u64,
    digest: u64,
    lifecycle: Vec<Lived>,
    /// All reasons that were seen: what entries refer to, and what is dropped when the run is over.
    reasons: Vec<ExitReason>,
    waits: BTreeMap<u64, Waiting>,
    /// The test's own code is running.
    in_the_test: bool,
    plan: Plan,
    /// Taken out when the run is over.
    handle: Option<Handle>,
}

/// A wait that is not over.
struct Waiting {
    by: By,
    on: Pid,
    /// What is waited for, in words.
    what: &'static str,
}

/// Who waits.
enum By {
    Process(Pid),
    Test,
    /// A task that the program has spawned.
    Task,
}

impl Recorder {
    pub(crate) fn new(keep: usize, plan: Plan) -> Self {
        let state = State {
            processes: BTreeMap::new(),
            entries: std::collections::VecDeque::new(),
            keep,
            events: 0,
            digest: trace::EMPTY,
            lifecycle: Vec::new(),
            reasons: Vec::new(),
            waits: BTreeMap::new(),
            in_the_test: false,
            plan,
            handle: None,
        };
        Recorder { state: Mutex::new(state) }
    }

    /// The runtime that is observed, to look at mailboxes.
    pub(crate) fn attach(&self, handle: Handle) {
        self.state.lock().handle = Some(handle);
    }

    /// The run is over: the runtime is let go.
    pub(crate) fn detach(&self) {
        let handle = self.state.lock().handle.take();
        drop(handle);
    }

    /// The test's own code is about to run.
    pub(crate) fn in_the_test(&self) -> InTheTest<'_> {
        self.state.lock().in_the_test = true;
        InTheTest(self)
    }

    pub(crate) fn lifecycle(&self) -> Vec<Lived> {
        self.state.lock().lifecycle.clone()
    }

    /// Changes so far, as a place in the [`lifecycle`](Self::lifecycle).
    pub(crate) fn lived(&self) -> usize {
        self.state.lock().lifecycle.len()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.state.lock().digest
    }

    pub(crate) fn trace(&self) -> Trace {
        let state = self.state.lock();
        let labels = |(pid, process): (&Pid, &Process)| (*pid, process.label.clone());
        let labels = state.processes.iter().map(labels).collect();
        let entries: Vec<Entry> = state.entries.iter().cloned().collect();
        let skipped = state.events - entries.len() as u64;
        Trace::new(entries, skipped, labels, state.reasons.clone())
    }

    /// The name and the type of a process's actor.
    pub(crate) fn names_of(&self, pid: Pid) -> Option<(Option<Arc<str>>, Arc<str>)> {
        let state = self.state.lock();
        state.processes.get(&pid).map(|process| (process.name.clone(), process.actor.clone()))
    }

    /// Who waits for whom, a line each: what is known of waits, then who is suspended for reasons of its own, then
    /// a circle of waits if there is one.
    pub(crate) fn waits(&self) -> Vec<String> {
        let state = self.state.lock();
        let who = |pid: Pid| state.label(pid);
        let mut lines = Vec::new();
        let mut waiting = BTreeMap::new();
        for Waiting { by, on, what } in state.waits.values() {
            let by_label = match by {
                By::Process(pid) => who(*pid),
                By::Test => "the test".to_owned(),
                By::Task => "a task".to_owned(),
            };
            lines.push(format!("{by_label} waits for {what} of {}", who(*on)));
            if let By::Process(by) = by {
                waiting.insert(*by, *on);
            }
        }
        for (pid, process) in &state.processes {
            if process.is_alive && process.is_suspended && !waiting.contains_key(pid) {
                let place = if process.handling.is_empty() { "init" } else { &process.handling };
                lines.push(format!("{} is suspended in {place}", who(*pid)));
            }
        }
        if let Some(circle) = circle(&waiting) {
            let names: Vec<_> = circle.into_iter().map(who).collect();
            lines.push(format!("in a circle: {}", names.join(" -> ")));
        }
        lines
    }
}

/// The test's own code runs as long as this lives.
pub(crate) struct InTheTest<'a>(&'a Recorder);

impl Drop for InTheTest<'_> {
    fn drop(&mut self) {
        self.0.state.lock().in_the_test = false;
    }
}

/// A circle in who waits for whom, its first member at both ends.
fn circle(waiting: &BTreeMap<Pid, Pid>) -> Option<Vec<Pid>> {
    waiting.keys().find_map(|start| {
        let mut path = vec![*start];
        while let Some(next) = waiting.get(path.last()?) {
            if next == start {
                path.push(*next);
                return Some(path);
            }
            if path.contains(next) {
                return None;
            }
            path.push(*next);
        }
        None
    })
}

impl State {
    fn label(&self, pid: Pid) -> String {
        match self.processes.get(&pid) {
            Some(process) => format!("{pid} {}", process.label),
            None => pid.to_string(),
        }
    }

    fn note(&mut self, at: Duration, pid: Pid, what: What) {
        let entry = Entry { at, pid, what };
        self.digest = entry.add_to(self.digest);
        self.events += 1;
        if self.entries.len() == self.keep {
            self.entries.pop_front();
        }
        if self.keep > 0 {
            self.entries.push_back(entry);
        }
    }

    fn keep_reason(&mut self, reason: &ExitReason) -> usize {
        self.reasons.push(reason.clone());
        self.reasons.len() - 1
    }

    fn live(&mut self, at: Duration, pid: Pid, what: Life) {
        let unknown = || Arc::from("?");
        let actor = self.processes.get(&pid).map_or_else(unknown, |it| it.actor.clone());
        self.lifecycle.push(Lived { at, pid, actor, what });
    }

    fn observe(&mut self, at: Duration, event: Event<'_>) {
        match event {
            Event::Spawned { pid, parent, actor, name, attempt } => {
                let short: Arc<str> = entry::short(actor).into();
                let name: Option<Arc<str>> = name.and_then(|name| name.as_str()).map(Into::into);
                let label =
                    name.as_ref().map_or(short.clone(), |name| format!("{name} {short}").into());
                let process = Process {
                    label,
                    actor: short,
                    type_name: actor,
                    name,
                    is_alive: true,
                    is_suspended: false,
                    handling: String::new(),
                };
                self.processes.insert(pid, process);
                self.live(at, pid, Life::Spawned { parent, attempt });
                self.note(at, pid, What::Spawned { parent, attempt });
            }
            Event::Started { pid } => {
                self.live(at, pid, Life::Started);
                self.note(at, pid, What::Started);
            }
            Event::Delivered { pid, message, variant, how, .. } => {
                let what = What::Delivered { message, variant, how };
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.handling = entry::message(message, variant);
                }
                self.note(at, pid, what);
            }
            Event::Enters { pid } => {
                self.plan.enters(pid, &self.processes, self.handle.as_ref());
                if let Some(process) = self.processes.get_mut(&pid)
                    && std::mem::replace(&mut process.is_suspended, false)
                {
                    self.note(at, pid, What::Resumes);
                }
            }
            Event::Leaves { pid, is_suspended } => {
                self.plan.leaves(pid, self.handle.as_ref());
                if is_suspended && let Some(process) = self.processes.get_mut(&pid) {
                    process.is_suspended = true;
                    self.note(at, pid, What::Suspends);
                }
            }
            Event::Signalled { pid, signal } => {
                let what = What::signal(signal, |reason| self.keep_reason(reason));
                self.note(at, pid, what);
            }
            Event::TimerFired { pid } => self.note(at, pid, What::TimerFires),
            Event::Waits { id, who, on, what } => {
                let by = match who {
                    Some(pid) => By::Process(pid),
                    None if self.in_the_test => By::Test,
                    None => By::Task,
                };
                self.waits.insert(id, Waiting { by, on, what: entry::wait(what) });
                if let Some(who) = who {
                    self.note(at, who, What::Waits { on, what });
                }
            }
            Event::WaitsNoMore { id, who, on, over } => {
                self.waits.remove(&id);
                if let Some(who) = who {
                    self.note(at, who, What::WaitsNoMore { on, over });
                }
            }
            Event::Exited { pid, reason } => {
                let kept = self.keep_reason(reason);
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.is_alive = false;
                    process.is_suspended = false;
                }
                self.live(at, pid, Life::Exited(reason.clone()));
                self.note(at, pid, What::Exited { reason: kept, kind: entry::kind(reason) });
            }
            // Events that this crate does not know yet.
            _ => {}
        }
    }
}

impl Observer for Recorder {
    fn observe(&self, now: Duration, event: Event<'_>) {
        self.state.lock().observe(now, event);
    }

    fn mailbox_bound(&self, actor: &'static str, name: Option<&Name>, limit: usize) -> usize {
        self.state.lock().plan.bound(actor, name.and_then(Name::as_str), limit)
    }

    fn intervene(&self, pid: Pid, moment: Moment) -> Intervention {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let intervention = state.plan.intervene(pid, moment, &state.processes);
        if let Some(what) = What::fault(&intervention)
            && let Some(handle) = &state.handle
        {
            let now = handle.uptime();
            state.note(now, pid, what);
        }
        intervention
    }
}

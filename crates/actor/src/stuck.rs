//! Handlers that hold their worker: who they are, for the events.
//!
//! The scheduler's watchdog finds a run that lasts too long, and where its target is. That address is looked up in the
//! process table, which keeps the cell while it is looked at, and then the watchdog is asked whether the worker is still
//! in the same run: if so, the cell was that run's all the while, since who runs keeps it. (A worker that the system has
//! stopped between two runs is in the former one as far as can be seen. Its target may have ended: then nothing is
//! said of a process, or, if another was born in its place meanwhile, of that one.)

use std::{collections::HashMap, fmt, sync::Weak, time::Duration};

use whitebeam_scheduler::LongRun;
use whitebeam_sync::shim::Mutex;

use crate::{Name, Pid, RuntimeEvent, cell::CellRef, ext::Ext, inspect::level, shared::Shared};

/// Code that holds, or has held, its worker for longer than
/// [`Builder::stuck_after`](crate::Builder::stuck_after) allows: it computes, blocks its thread, or awaits something
/// that is always ready and none of the runtime's own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StuckHandler {
    /// The process. `None`: a plain [task](crate::Handle::spawn_task) holds the worker, or the waker of one of the
    /// user's timers, or it was not to be found out.
    pub pid: Option<Pid>,
    /// The process's type.
    pub actor: Option<&'static str>,
    /// The type of the messages that it handles.
    pub message: Option<&'static str>,
    /// What the message in hand is called, if the process's type [names its messages](crate::Actor::msg_name).
    pub message_name: Option<&'static str>,
    /// The name that it is registered under.
    pub name: Option<Name>,
    /// What it is called for people, see [`SpawnOptions::label`](crate::SpawnOptions::label).
    pub label: Option<Name>,
    /// Whether it is a plain task.
    pub is_task: bool,
    /// Which worker it holds: the index of its thread. Those of spares come after the others'.
    pub worker: usize,
    /// When that turn began, by [`Handle::uptime`](crate::Handle::uptime).
    pub since: Duration,
    /// How long it has lasted by now, or did: short by half the limit at most.
    pub held_for: Duration,
}

impl StuckHandler {
    fn of(shared: &Shared, run: &LongRun<'_>) -> Self {
        let uptime = shared.scheduler().now().as_nanos();
        let held_for = run.lasted();
        let mut stuck = StuckHandler {
            pid: None,
            actor: None,
            message: None,
            message_name: None,
            name: None,
            label: None,
            is_task: run.is_task(),
            worker: run.worker(),
            since: Duration::from_nanos(uptime).saturating_sub(held_for),
            held_for,
        };
        let process = run.target().and_then(|address| shared.process_at(address));
        if let Some(process) = process.filter(|_| run.is_on()) {
            stuck.name_process(&process);
        }
        stuck
    }

    fn name_process(&mut self, process: &CellRef) {
        let cell = process.ptr();
        self.pid = Some(cell.pid());
        self.actor = Some((cell.vt().type_name)());
        self.message = Some(cell.vt().message.name());
        self.message_name = level::in_hand(cell).and_then(|in_hand| in_hand.name);
        self.name = cell.shared().names().name_of(cell);
        self.label = Ext::label_of(cell);
    }
}

impl fmt::Display for StuckHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.actor) {
            (Some(pid), Some(actor)) => write!(f, "{pid} {actor}")?,
            _ if self.is_task => f.write_str("a task")?,
            _ => f.write_str("something")?,
        }
        for (what, name) in [("name", &self.name), ("label", &self.label)] {
            if let Some(name) = name {
                write!(f, " {what} {name}")?;
            }
        }
        write!(f, " holds worker {} for {:?}", self.worker, self.held_for)?;
        self.message_name.map_or(Ok(()), |name| write!(f, " with {name}"))
    }
}

/// Makes the scheduler's hook that tells of them.
pub(crate) fn hook(shared: Weak<Shared>) -> impl Fn(&LongRun<'_>) + Send + Sync + 'static {
    // Who was told of, by worker: when the run is over, its target may be gone.
    let told = Mutex::new(HashMap::<usize, StuckHandler>::new());
    move |run| {
        let Some(shared) = shared.upgrade() else { return };
        let before = told.lock().remove(&run.worker());
        if let Some(stuck) = before.filter(|_| run.is_over()) {
            let returned = StuckHandler { held_for: run.lasted(), ..stuck };
            shared.events().tell(|| RuntimeEvent::HandlerReturned(returned));
        } else if !run.is_over() {
            let stuck = StuckHandler::of(&shared, run);
            told.lock().insert(run.worker(), stuck.clone());
            shared.events().tell(|| RuntimeEvent::HandlerStuck(stuck));
        }
    }
}

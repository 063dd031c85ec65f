//! The handle of a task supervisor.

mod ask;
mod map;
mod spawn;
mod start;

use std::fmt;

use whitebeam_actor::{ChildRef, Handle, Info, Pid, SpawnOptions, Target};

use super::{places::Places, process::Request};
use crate::{ChildError, Shutdown};

/// Talks to a task supervisor. Cheap to clone; one of a supervisor that is itself a child goes on over its restarts,
/// which end the tasks.
///
/// To ask for a task waits for nobody. One that cannot be started (the supervisor stops its tasks, has ended or is
/// between two incarnations; there are too many; the runtime is shutting down) is one that gives that error when it is
/// awaited; its work is dropped.
///
/// A supervisor that stops its tasks hears nothing more: who asks it something then is told `NoSupervisor` at once.
///
/// # Cost
/// A task costs a process, a message to the supervisor, and a word for its result to come by.
#[derive(Clone)]
pub struct TaskRef {
    at: ChildRef<Request>,
    places: Places,
    shutdown: Shutdown,
    options: SpawnOptions,
}

impl TaskRef {
    pub(super) fn new(at: ChildRef<Request>, places: Places) -> Self {
        TaskRef { at, places, shutdown: Shutdown::WORKER, options: SpawnOptions::new() }
    }

    /// The same supervisor, for tasks that it stops in this way. Default: 5 s.
    #[must_use]
    pub fn with_shutdown(&self, how: Shutdown) -> TaskRef {
        TaskRef { shutdown: how, ..self.clone() }
    }

    /// The same supervisor, for tasks whose processes are started with these options: a
    /// [label](SpawnOptions::label) for logs, say. A [name](SpawnOptions::name) is one task's at a time: another one that
    /// is asked for meanwhile is refused, with [`NameTaken`](whitebeam_actor::StartError::NameTaken).
    #[must_use]
    pub fn with(&self, options: SpawnOptions) -> TaskRef {
        TaskRef { options, ..self.clone() }
    }

    /// Stops a task as its own [shutdown](Self::with_shutdown) says, and waits until it has ended. It is not restarted. One
    /// whose restart has failed, and is tried again, has the pid that it had.
    /// The supervisor goes on serving meanwhile.
    ///
    /// # Errors
    /// `NotFound` if it is not a task of this supervisor, or has ended; the others if the supervisor cannot be asked.
    pub async fn terminate_child(&self, task: Pid) -> Result<(), ChildError> {
        self.is_serving()?;
        self.at.call(|reply| Request::Terminate(task, reply)).no_timeout().await?
    }

    /// The tasks that run, in no promised order.
    ///
    /// # Errors
    /// If the supervisor cannot be asked.
    pub async fn children(&self) -> Result<Vec<Pid>, ChildError> {
        self.is_serving()?;
        Ok(self.at.call(Request::Children).no_timeout().await?)
    }

    /// Tasks now, those that are starting included; one that is done counts no more when its result can be seen. Read
    /// without asking the supervisor.
    pub fn count(&self) -> usize {
        self.places.taken()
    }

    /// What can be seen of the supervisor now. `None`: it has ended.
    pub fn info(&self) -> Option<Info> {
        self.at.info()
    }

    /// # Errors
    /// The supervisor stops its tasks, and hears nothing: who asks would wait for the end, which may wait for him.
    fn is_serving(&self) -> Result<(), ChildError> {
        let stops = self.places.is_closed() && self.at.current().is_some();
        if stops { Err(ChildError::NoSupervisor) } else { Ok(()) }
    }

    /// The runtime of the supervisor, if it runs.
    pub(super) fn runtime(&self) -> Option<Handle> {
        self.at.current().map(|supervisor| supervisor.runtime())
    }
}

impl Target for TaskRef {
    fn target(&self) -> Option<Pid> {
        self.at.target()
    }

    fn child_tag(&self) -> Option<whitebeam_actor::ChildTag> {
        self.at.tag()
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            Some(pid) => write!(f, "TaskRef({pid})"),
            None => f.write_str("TaskRef(none now)"),
        }
    }
}

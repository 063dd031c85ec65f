//! What supervisors report of their children: OTP's supervisor reports, as events of the runtime.
//!
//! Who writes a supervisor tells of them by [`Context::report_child`]. Nothing is made if nobody wants to know.

use std::fmt;

use crate::{Actor, Context, ExitReason, Name, Pid, RuntimeEvent, ext::Ext};

/// What has happened to a child, as its supervisor saw it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SupervisorReport {
    /// What has happened.
    pub context: SupervisorContext,
    /// The supervisor.
    pub supervisor: Pid,
    /// The name that it is registered under.
    pub name: Option<Name>,
    /// What it is called for people.
    pub label: Option<Name>,
    /// The child's id in its spec.
    pub child: String,
    /// The child's process, if there was one.
    pub pid: Option<Pid>,
    /// Why, where something has gone wrong: the child's own reason.
    pub reason: Option<ExitReason>,
}

/// What a [`SupervisorReport`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SupervisorContext {
    /// A child has started.
    Progress,
    /// A child did not start, or not again.
    StartError,
    /// A child has ended by itself: a permanent one in any way, another abnormally.
    ChildTerminated,
    /// A child that was being stopped has ended in another way than it was told to: it was killed since its time was
    /// over, for one.
    ShutdownError,
    /// The supervisor gives up: this child's restart was one too many.
    Shutdown,
}

impl SupervisorContext {
    /// OTP's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            SupervisorContext::Progress => "progress",
            SupervisorContext::StartError => "start_error",
            SupervisorContext::ChildTerminated => "child_terminated",
            SupervisorContext::ShutdownError => "shutdown_error",
            SupervisorContext::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for SupervisorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SupervisorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: child `{}`", self.supervisor, self.context, self.child)?;
        if let Some(pid) = self.pid {
            write!(f, " {pid}")?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl<A: Actor> Context<A> {
    /// Tells the runtime's [events](crate::Builder::on_event) of a child of this process: for who writes supervisors.
    /// `child` gives the child's id, its process and the reason; it is called only if somebody wants to know.
    pub fn report_child(
        &mut self,
        context: SupervisorContext,
        child: impl FnOnce() -> (String, Option<Pid>, Option<ExitReason>),
    ) {
        let cell = self.cell();
        let events = cell.shared().events();
        if !events.wants_supervision(context) {
            return;
        }
        let (child, pid, reason) = child();
        events.tell(|| {
            RuntimeEvent::Supervisor(SupervisorReport {
                context,
                supervisor: cell.pid(),
                name: cell.shared().names().name_of(cell),
                label: Ext::label_of(cell),
                child,
                pid,
                reason,
            })
        });
    }
}

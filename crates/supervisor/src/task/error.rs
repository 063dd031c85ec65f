//! What is told of a task beside how it ended: as the reason of an [`ExitError`], to be found there by
//! [`ExitReason::downcast_ref`].

use std::{error::Error, fmt};

use whitebeam_actor::{CallError, ExitError, ExitReason, Pid};

/// A task has given no result in the time that it had for it. It is found in the error's reason:
/// `error.reason().is::<TaskTimeout>()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskTimeout;

impl fmt::Display for TaskTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task gave no result in time")
    }
}

impl Error for TaskTimeout {}

/// A process has waited for a task that another one has asked for. Only its owner may: it is the owner that a linked
/// task ends with. The task goes on, and its owner may still be given its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotOwner {
    /// Who has asked for the task.
    pub owner: Pid,
    /// Who has waited for it.
    pub waiter: Pid,
}

impl fmt::Display for NotOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has waited for a task that is {}'s", self.waiter, self.owner)
    }
}

impl Error for NotOwner {}

/// The reason of a task whose process has sent no result.
pub(super) fn exit_of(error: CallError) -> ExitError {
    match error {
        CallError::Exit(reason) => reason.into(),
        // Nobody has it any more.
        _ => ExitReason::NoProc.into(),
    }
}

/// An error of our own as a reason.
pub(super) fn exit_with(error: impl Error + Send + Sync + 'static) -> ExitError {
    ExitReason::from(error).into()
}

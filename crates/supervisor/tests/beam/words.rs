//! The words of a trace for what Whitebeam says: reasons and answers, as `scenarios.escript` writes OTP's.

use whitebeam_actor::{ExitReason, StartError};
use whitebeam_supervisor::{ChildError, ChildId, ChildKind, FailedToStart};

use crate::{
    EXPECTED,
    scenario::{Id, Reason},
};

/// A reason in a process's hand. A panic is one.
pub(crate) fn reason_of(reason: Reason) -> ExitReason {
    match reason {
        Reason::Normal => ExitReason::Normal,
        Reason::Shutdown => ExitReason::Shutdown,
        Reason::ShutdownWith => ExitReason::shutdown_with(Reason::ShutdownWith),
        Reason::Kill => ExitReason::Kill,
        Reason::Boom => ExitReason::custom(Reason::Boom),
        Reason::Panic => panic!("{EXPECTED}"),
    }
}

pub(crate) fn words(reason: &ExitReason) -> String {
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

pub(crate) fn start_words(error: &StartError) -> String {
    match error {
        StartError::Exit(reason) => words(reason),
        StartError::Ignore => "ignore".to_owned(),
        StartError::AlreadyStarted(_) => "already_started".to_owned(),
        StartError::AlreadyPresent => "already_present".to_owned(),
        StartError::NoSupervisor | StartError::Restarting => "noproc".to_owned(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn child_words(error: &ChildError) -> String {
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

/// What `start_child` answers. There the failure of the child itself is said to be its own.
pub(crate) fn child_started(id: Id, started: Result<(), StartError>) -> String {
    let Err(error) = started else { return "ok".to_owned() };
    if let StartError::Exit(reason) = &error
        && let Some(failed) = reason.downcast_ref::<FailedToStart>()
        && failed.id == ChildId::from(id)
    {
        return start_words(&failed.error);
    }
    start_words(&error)
}

pub(crate) fn done(answer: Result<(), ChildError>) -> String {
    match answer {
        Ok(()) => "ok".to_owned(),
        Err(error) => child_words(&error),
    }
}

pub(crate) fn kind_word(kind: ChildKind) -> &'static str {
    match kind {
        ChildKind::Worker => "worker",
        ChildKind::Supervisor => "supervisor",
        _ => "unknown",
    }
}

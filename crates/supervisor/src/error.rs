//! What can be wrong with a spec, and with a request to a supervisor.

use std::{error::Error, fmt, sync::Arc};

use whitebeam_actor::{CallError, ExitReason, StartError};

use crate::{ChildId, partitions};

/// What is wrong with the description of a supervisor or a child. Found before anything is started,
/// and given as [`StartError::Invalid`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// Zero partitions were asked for.
    ZeroPartitions,
    /// More partitions than the process table could hold in order.
    TooManyPartitions {
        /// How many were asked for.
        asked: usize,
    },
    /// The environment variable does not hold a number of partitions.
    Environment {
        /// What it holds.
        value: String,
    },
    /// An intensity's period is zero.
    ZeroPeriod,
    /// A child that is to be restarted keeps no arguments.
    NoArgs(ChildId),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::ZeroPartitions => {
                f.write_str("zero partitions cannot hold children; ask for 1 or more")
            }
            SpecError::TooManyPartitions { asked } => {
                write!(f, "{asked} partitions are too many; ask for {} at most", partitions::MOST)
            }
            SpecError::Environment { value } => write!(
                f,
                "the environment variable {} is `{value}`; set it to a number from 1 to {}, or unset it",
                partitions::PARTITIONS_VARIABLE,
                partitions::MOST
            ),
            SpecError::ZeroPeriod => f.write_str(
                "a period of zero counts no restarts; give a longer one, or `Intensity::Unlimited`",
            ),
            SpecError::NoArgs(id) => write!(
                f,
                "child `{id}` was made with `Child::temporary`, which keeps no arguments for a restart; \
                 make it with `Child::new` or `Child::from_fn`"
            ),
        }
    }
}

impl Error for SpecError {}

impl From<SpecError> for StartError {
    fn from(error: SpecError) -> Self {
        StartError::Invalid(Arc::new(error))
    }
}

/// A child did not start, so its supervisor did not either; the other children were stopped. The
/// reason with which such a supervisor ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildFailed {
    /// Which partition.
    pub partition: usize,
    /// The child's id in its spec.
    pub id: ChildId,
    /// Why.
    pub error: StartError,
}

impl fmt::Display for ChildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} (`{}`): {}", self.partition, self.id, self.error)
    }
}

impl Error for ChildFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The error's own text is part of this one's.
        self.error.source()
    }
}

/// Why a supervisor did not do what it was asked to do with a child.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildError {
    /// It has no such child, or has it no more.
    NotFound,
    /// The supervisor has ended.
    NoSupervisor,
    /// The supervisor is being restarted, or not started yet.
    Restarting,
    /// The supervisor's mailbox is bounded, and was full: it was not asked.
    Full,
    /// The supervisor ended with this reason while it was at it.
    Exit(ExitReason),
}

impl From<CallError> for ChildError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Exit(reason) => ChildError::Exit(reason),
            CallError::Restarting => ChildError::Restarting,
            CallError::Full => ChildError::Full,
            _ => ChildError::NoSupervisor,
        }
    }
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildError::NotFound => f.write_str("the supervisor has no such child"),
            ChildError::NoSupervisor => f.write_str("the supervisor has ended"),
            ChildError::Restarting => f.write_str("the supervisor is being restarted; try again"),
            ChildError::Full => f.write_str("the supervisor's mailbox is full; try again"),
            ChildError::Exit(reason) => {
                write!(f, "the supervisor ended meanwhile ({reason})")
            }
        }
    }
}

impl Error for ChildError {}

//! What can be wrong with a spec, and with a request to a supervisor.

use std::{error::Error, fmt, sync::Arc};

use whitebeam_actor::{CallError, CallPath, ExitReason, FindError, StartError};

use crate::{AutoShutdown, ChildId, Restart, partitions};

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
    /// Two children of one supervisor have this id.
    DuplicateId(ChildId),
    /// A child's id is the address of a child: that names an existing one where it is asked about.
    AddressAsId,
    /// A child cannot be significant with these settings.
    Significant {
        /// Which child.
        id: ChildId,
        /// When it is restarted: not `Permanent` if it is significant.
        restart: Restart,
        /// What its supervisor does: not `Never` if it has a significant child.
        auto_shutdown: AutoShutdown,
    },
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
            SpecError::DuplicateId(id) => {
                write!(f, "two children have the id `{id}`; give each its own")
            }
            SpecError::AddressAsId => {
                f.write_str("a child's id is the address of a child; give it a text or a number")
            }
            SpecError::Significant { id, restart, auto_shutdown } => write!(
                f,
                "child `{id}` is significant, its restart is {restart:?} and its supervisor's auto shutdown \
                 {auto_shutdown:?}; that needs `Transient` or `Temporary`, and `AnySignificant` or \
                 `AllSignificant`"
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

/// A partition did not start. With it, as an [`ExitReason::Error`], a
/// [`PartitionSupervisor`](crate::PartitionSupervisor) ends whose partitions could not all be started; the others were
/// stopped. And [`resize`](crate::PartitionRef::resize) fails with it. Of a [`Supervisor`](crate::Supervisor)'s child it is
/// [`FailedToStart`].
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

/// A child did not start. With it, as [`ExitReason::ShutdownWith`], a [`Supervisor`](crate::Supervisor) ends whose
/// children could not all be started; the others were stopped. And [`start_child`](crate::SupervisorRef::start_child)
/// fails with it, as an [`ExitReason::Error`].
///
/// `error` is the child's own: if that is a supervisor, there is another one in it, down to who has caused it.
///
/// ```
/// use whitebeam_actor::{Actor, Context, ExitReason, Runtime, StartError};
/// use whitebeam_supervisor::{FailedToStart, Supervisor};
///
/// struct Db;
///
/// impl Actor for Db {
///     type Args = ();
///     type Msg = ();
///     async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
///         Err(ExitReason::custom("no database"))
///     }
/// #   async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> { Ok(()) }
/// }
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let mut storage = Supervisor::one_for_one();
///     storage.child::<Db>("db", ());
///     let mut tree = Supervisor::one_for_one();
///     tree.nest("storage", storage);
///     let error = tree.start(&rt).await.unwrap_err();
///     let StartError::Exit(reason) = error else { panic!("{error}") };
///     let failed = reason.downcast_ref::<FailedToStart>().expect("a child's failure");
///     assert_eq!(failed.id, "storage".into());
///     assert_eq!(failed.cause().map(|cause| cause.id.clone()), Some("db".into()));
///     assert!(failed.to_string().contains("no database"));
/// });
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct FailedToStart {
    /// The child's id in its spec.
    pub id: ChildId,
    /// Why.
    pub error: StartError,
}

impl FailedToStart {
    pub(crate) fn new(id: ChildId, error: StartError) -> Self {
        FailedToStart { id, error }
    }

    /// The failure of a nested supervisor's child that has caused this one, if there is one.
    pub fn cause(&self) -> Option<&FailedToStart> {
        match &self.error {
            StartError::Exit(reason) => reason.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for FailedToStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause() {
            Some(cause) => write!(f, "child `{}` failed to start: {cause}", self.id),
            None => write!(f, "child `{}` failed to start: {}", self.id, self.error),
        }
    }
}

/// As [`Display`](fmt::Display): values in reasons are printed by their `Debug`.
impl fmt::Debug for FailedToStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for FailedToStart {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.cause() {
            Some(cause) => Some(cause),
            // The error's own text is part of this one's.
            None => self.error.source(),
        }
    }
}

/// Why a supervisor did not do what it was asked to do with a child.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildError {
    /// It has no such child, or has it no more.
    NotFound,
    /// The child runs: end it first.
    Running,
    /// The child is being restarted: end it first.
    ChildRestarting,
    /// The child did not start. Its spec is kept.
    Start(StartError),
    /// The supervisor has ended.
    NoSupervisor,
    /// The supervisor is being restarted, or not started yet.
    Restarting,
    /// The supervisor's mailbox is bounded, and was full, or its line of requests was: nothing was done.
    Full,
    /// The supervisor ended with this reason while it was at it.
    Exit(ExitReason),
    /// The supervisor waits for the end of who asks, and could not answer before: it is stopping the child whose
    /// `terminate` asks it, or one above that.
    Deadlock(CallPath),
    /// The request was dropped without an answer.
    NoReply,
    /// No answer came in time. A supervisor's own requests have no limit; what is asked in another way may have one.
    Timeout,
}

/// Why a partition supervisor has not as many partitions in use as it was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResizeError {
    /// It was started with fewer.
    TooMany {
        /// How many were asked for.
        asked: usize,
        /// How many it was started with.
        most: usize,
    },
    /// A partition did not start. Those that did were stopped again.
    Start(ChildFailed),
    /// The supervisor could not be asked, or has ended meanwhile.
    Supervisor(ChildError),
}

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResizeError::TooMany { asked, most } => write!(
                f,
                "{asked} partitions are more than the supervisor was started with; ask for 0 to {most}"
            ),
            ResizeError::Start(failed) => write!(f, "a partition did not start: {failed}"),
            ResizeError::Supervisor(error) => error.fmt(f),
        }
    }
}

impl Error for ResizeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // The error's own text is part of this one's.
            ResizeError::Start(failed) => failed.source(),
            ResizeError::Supervisor(error) => error.source(),
            ResizeError::TooMany { .. } => None,
        }
    }
}

/// Why a supervisor that was found did not say what its handle needs.
pub(crate) fn not_found(error: CallError) -> FindError {
    match error {
        CallError::Full => FindError::Full,
        // It has ended meanwhile.
        _ => FindError::NoProc,
    }
}

impl From<CallError> for ChildError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Exit(reason) => ChildError::Exit(reason),
            CallError::Restarting => ChildError::Restarting,
            CallError::Full => ChildError::Full,
            CallError::Deadlock(path) => ChildError::Deadlock(path),
            CallError::NoReply => ChildError::NoReply,
            CallError::Timeout { .. } => ChildError::Timeout,
            // There is none, or another process.
            _ => ChildError::NoSupervisor,
        }
    }
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildError::NotFound => f.write_str("the supervisor has no such child"),
            ChildError::Running => f.write_str("the child runs; terminate it first"),
            ChildError::ChildRestarting => {
                f.write_str("the child is being restarted; terminate it first")
            }
            ChildError::Start(error) => write!(f, "the child did not start: {error}"),
            ChildError::NoSupervisor => f.write_str("the supervisor has ended"),
            ChildError::Restarting => f.write_str("the supervisor is being restarted; try again"),
            ChildError::Full => f.write_str("the supervisor's mailbox is full; try again"),
            ChildError::Exit(reason) => {
                write!(f, "the supervisor ended meanwhile ({reason})")
            }
            ChildError::Deadlock(path) => {
                write!(f, "the supervisor waits for who asked it ({path})")
            }
            ChildError::NoReply => f.write_str("the supervisor dropped the request unanswered"),
            ChildError::Timeout => f.write_str("the supervisor did not answer in time"),
        }
    }
}

impl Error for ChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // The error's own text is part of this one's.
            ChildError::Start(error) => error.source(),
            _ => None,
        }
    }
}

//! What can go wrong for who sends, calls, starts or builds.

use std::{error::Error, fmt, io, sync::Arc};

use crate::{CallPath, ExitReason, Name, PanicInfo, Pid, message::Refused};

/// A message that was not delivered, with the message.
///
/// Two words, whatever the message's size: the error owns the refused node. It is `Sync` for every
/// `M`, so that `?` works in handlers; nothing gives out a `&M`.
pub struct SendError<M: 'static>(pub(crate) Refused<M>, pub(crate) &'static SendFailure);

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendFailure {
    /// The process has ended.
    NoProc,
    /// The child is between two incarnations.
    Restarting,
    /// The mailbox has as many messages as its [bound](crate::SpawnOptions::bounded) allows, or others wait for room in
    /// it.
    Full,
    /// The process of this name takes messages of another type: [`NamedRef`](crate::NamedRef).
    WrongMessage {
        /// Of which type.
        found: TypeName,
    },
}

/// What a type is called, for people.
#[derive(Clone, Copy)]
pub struct TypeName(pub(crate) fn() -> &'static str);

/// Why a process was not found as one that takes messages of some type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindError {
    /// There is no such process.
    NoProc,
    /// It takes messages of another type.
    WrongMessage {
        /// Of which type they were to be.
        expected: &'static str,
        /// Of which type they are.
        found: &'static str,
    },
    /// It had to be asked for the rest of its handle, and its mailbox is bounded and full.
    Full,
}

/// Why a call gave no reply.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The process had ended before the request was delivered.
    NoProc,
    /// The child is between two incarnations.
    Restarting,
    /// The process ended with this reason before it answered.
    Exit(ExitReason),
    /// No answer came in time. `accepted` says whether the request had been delivered: it may then
    /// be handled, now or later. Its reply goes nowhere.
    Timeout {
        /// Whether the request had been delivered.
        accepted: bool,
    },
    /// The mailbox had as many messages as its [bound](crate::SpawnOptions::bounded) allows: the request was refused,
    /// or dropped unread. It was not handled.
    Full,
    /// The reply was dropped unanswered.
    NoReply,
    /// The process of this name takes messages of another type: [`NamedRef`](crate::NamedRef). The request was
    /// not delivered.
    WrongMessage {
        /// Of which type the request is.
        expected: &'static str,
        /// Of which type they are.
        found: &'static str,
    },
    /// The callee waits for an answer of the caller's, or waits for others who do, and none of them could have gone on.
    /// The request of a process that calls itself was not sent. See [`Call`](crate::Call).
    Deadlock(CallPath),
}

/// Why a start gave no process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// `init` said that no process is wanted.
    Ignore,
    /// `init` failed, or the process was ended while it ran, with this reason.
    Exit(ExitReason),
    /// The name belongs to another process.
    NameTaken(Pid),
    /// `init` had not finished in time. The process was killed, and has ended; that of a supervisor that was
    /// asked for it lives on: see [`Start::timeout`](crate::Start::timeout).
    Timeout,
    /// The runtime or the supervisor is shutting down.
    ShuttingDown,
    /// The supervisor has as many children as it may.
    MaxChildren,
    /// The supervisor has a child of this id, which runs as this process.
    AlreadyStarted(Pid),
    /// The supervisor has a child of this id, which does not run now.
    AlreadyPresent,
    /// The supervisor that was asked does not exist (any more).
    NoSupervisor,
    /// The supervisor that was asked is being restarted, or not started yet.
    Restarting,
    /// The mailbox of the supervisor that was asked is bounded, and was full.
    Full,
    /// The supervisor that was asked waits for the end of who asks, itself or over others, and nothing was started.
    Deadlock(CallPath),
    /// What was to be started is described wrongly, as the error says. Nothing was started.
    Invalid(Arc<dyn Error + Send + Sync>),
    /// The process table has no free slot of this size.
    TableFull,
}

/// Why a process was not given a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name is this process's.
    Taken(Pid),
    /// The process has this name already: it can have one.
    HasName(Name),
    /// There is no such process.
    NoProc,
    /// It is no name: its text is empty, or its key's.
    IllFormed,
    /// The name's [`Registry`](crate::Registry) has panicked, or the `Eq` of its value. The process has not got
    /// the name.
    Panicked(Arc<PanicInfo>),
}

/// What is wrong with the [options](crate::SpawnOptions) that a process was to be started with. In a
/// [`StartError::Invalid`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// The policy for unread messages is for messages of another type.
    UnreadMessage {
        /// For messages of which type it is.
        policy: &'static str,
        /// Which the process takes.
        process: &'static str,
    },
}

/// Why a process was not stopped as asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StopError {
    /// There was no such process.
    NoProc,
    /// It has ended, with another reason than it was asked to.
    Exit(ExitReason),
    /// It had not ended in time. It was asked, and will when its handler is done.
    Timeout,
    /// The process would have waited for its own end: it has [`Context::stop`](crate::Context::stop).
    Itself,
}

/// Why a runtime was not built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The scheduler refused its settings or could not start its threads.
    Scheduler(whitebeam_scheduler::BuildError),
    /// 4,095 runtimes of this program are alive; no tag is left that would tell pids apart.
    TooManyRuntimes,
    /// The system gave no thread for the [walker](crate::Builder::walk_every). The workers were stopped.
    Walker(io::Error),
}

impl<M> SendError<M> {
    /// The message, back.
    pub fn into_message(self) -> M {
        self.0.into_message()
    }

    /// Why it was not delivered.
    pub fn why(&self) -> SendFailure {
        *self.1
    }

    /// Whether the same message may be delivered later at the same address: `Restarting` and `Full`.
    pub fn is_retryable(&self) -> bool {
        matches!(self.1, SendFailure::Restarting | SendFailure::Full)
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SendError").field(&self.1).finish()
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            SendFailure::WrongMessage { found } => {
                let expected = std::any::type_name::<M>();
                write!(f, "message not delivered: the process takes `{found}`, not `{expected}`")
            }
            why => write!(f, "message not delivered: {why}"),
        }
    }
}

impl<M> Error for SendError<M> {}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendFailure::NoProc => f.write_str("the process has ended"),
            SendFailure::Restarting => f.write_str("the child is being restarted"),
            SendFailure::Full => f.write_str("the mailbox is full"),
            SendFailure::WrongMessage { found } => write!(f, "the process takes `{found}`"),
        }
    }
}

impl TypeName {
    /// As text. Not a promise: of one type it may be another tomorrow.
    pub fn as_str(&self) -> &'static str {
        (self.0)()
    }
}

impl PartialEq for TypeName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TypeName {}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FindError::NoProc => f.write_str("not found: no such process"),
            FindError::WrongMessage { expected, found } => {
                write!(f, "the process takes `{found}`, not `{expected}`")
            }
            FindError::Full => f.write_str("found, and not asked: the mailbox is full"),
        }
    }
}

impl Error for FindError {}

impl CallError {
    /// Whether the same call may succeed later at the same address: `Restarting`, `Full`, and a `Timeout` whose
    /// request was not accepted. Never true when the request may have been handled.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            CallError::Restarting | CallError::Full | CallError::Timeout { accepted: false }
        )
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NoProc => f.write_str("call failed: the process has ended"),
            CallError::Restarting => f.write_str("call failed: the child is being restarted"),
            CallError::Exit(reason) => {
                write!(f, "call failed: the process ended before it answered ({reason})")
            }
            CallError::Timeout { accepted: true } => f.write_str("call timed out"),
            CallError::Timeout { accepted: false } => {
                f.write_str("call timed out before its request was delivered")
            }
            CallError::Full => f.write_str("call failed: the mailbox is full"),
            CallError::NoReply => f.write_str("call failed: the reply was dropped unanswered"),
            CallError::WrongMessage { expected, found } => {
                write!(f, "call failed: the process takes `{found}`, not `{expected}`")
            }
            CallError::Deadlock(path) => {
                write!(f, "call failed: the processes wait for each other ({path})")
            }
        }
    }
}

impl Error for CallError {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Ignore => f.write_str("start ignored by init"),
            StartError::Exit(reason) => write!(f, "start failed: {reason}"),
            StartError::NameTaken(pid) => write!(f, "start failed: the name belongs to {pid}"),
            StartError::Timeout => f.write_str("start timed out"),
            StartError::ShuttingDown => f.write_str("start refused: shutting down"),
            StartError::MaxChildren => f.write_str(
                "start refused: the supervisor has as many children as its max_children allows; \
                 end some or raise it",
            ),
            StartError::AlreadyStarted(pid) => {
                write!(f, "start refused: the supervisor has a child of this id, {pid}")
            }
            StartError::AlreadyPresent => f.write_str(
                "start refused: the supervisor has a child of this id, which does not run; restart \
                 it or delete it",
            ),
            StartError::NoSupervisor => f.write_str("start failed: no such supervisor"),
            StartError::Restarting => {
                f.write_str("start failed: the supervisor is being restarted; try again")
            }
            StartError::Full => {
                f.write_str("start refused: the supervisor's mailbox is full; try again")
            }
            StartError::Deadlock(path) => {
                write!(f, "start refused: the supervisor waits for who asks it ({path})")
            }
            StartError::Invalid(error) => write!(f, "start refused: {error}"),
            StartError::TableFull => f.write_str("start failed: the process table is full"),
        }
    }
}

impl From<NameError> for StartError {
    /// A name that another has is [`StartError::NameTaken`]; what else is wrong with one is
    /// [`StartError::Invalid`].
    fn from(error: NameError) -> Self {
        match error {
            NameError::Taken(owner) => StartError::NameTaken(owner),
            error => StartError::Invalid(Arc::new(error)),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::Invalid(error) => Some(&**error),
            _ => None,
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Taken(pid) => write!(f, "not registered: the name belongs to {pid}"),
            NameError::HasName(name) => {
                write!(
                    f,
                    "not registered: the process has the name {name:?}; unregister that first"
                )
            }
            NameError::NoProc => f.write_str("not registered: no such process"),
            NameError::IllFormed => f.write_str("not a name: it is empty"),
            NameError::Panicked(info) => {
                write!(f, "not registered: the name's registry has panicked: {}", info.message())
            }
        }
    }
}

impl Error for NameError {}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionsError::UnreadMessage { policy, process } => write!(
                f,
                "the policy for unread messages takes `{policy}`, the process's are `{process}`"
            ),
        }
    }
}

impl Error for OptionsError {}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopError::NoProc => f.write_str("not stopped: no such process"),
            StopError::Exit(reason) => write!(f, "ended otherwise than asked: {reason}"),
            StopError::Timeout => f.write_str("stop timed out; the request stays in force"),
            StopError::Itself => f.write_str("not stopped: a process cannot wait for its own end"),
        }
    }
}

impl Error for StopError {}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Scheduler(error) => write!(f, "runtime not built: {error}"),
            BuildError::Walker(error) => {
                write!(f, "runtime not built: no thread for the walker: {error}")
            }
            BuildError::TooManyRuntimes => write!(
                f,
                "runtime not built: {} runtimes are alive in this program; drop some first",
                Pid::MAX_TAG
            ),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BuildError::Scheduler(error) => Some(error),
            BuildError::Walker(error) => Some(error),
            BuildError::TooManyRuntimes => None,
        }
    }
}

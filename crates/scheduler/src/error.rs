//! Why a scheduler could not be built.

use std::error::Error;
use std::fmt;
use std::io;

/// Why [`Builder::build`](crate::Builder::build) failed. Nothing is left running when it did.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Zero workers were asked for: nothing could ever run.
    NoWorkers,
    /// More workers were asked for than the scheduler's words can count.
    TooManyWorkers {
        /// What was asked for.
        asked: usize,
        /// The most there can be.
        most: usize,
    },
    /// The system refused a thread. The workers that had been started were stopped and joined.
    Thread {
        /// Workers that had been started before.
        started: usize,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::NoWorkers => write!(f, "a scheduler needs at least one worker"),
            BuildError::TooManyWorkers { asked, most } => {
                write!(f, "{asked} workers were asked for, at most {most} are possible")
            }
            BuildError::Thread { started, .. } => {
                write!(f, "worker thread {started} could not be started")
            }
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BuildError::Thread { source, .. } => Some(source),
            _ => None,
        }
    }
}

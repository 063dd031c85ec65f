//! What a supervisor does with a child: when it restarts it, and how it stops it.

use std::time::Duration;

use whitebeam_actor::{ChildDown, ExitReason, Stop};

/// Whether a child that ended by itself is started again.
///
/// | | normal | shutdown, shutdown with a value | anything else |
/// | --- | --- | --- | --- |
/// | permanent | restart | restart | restart |
/// | transient | drop | drop | restart |
/// | temporary | drop | drop | drop |
///
/// A child whose first start fails is not kept: who started it is told. A restart that fails counts
/// as another end and is tried again, as often as the supervisor's [`Intensity`](crate::Intensity)
/// allows; one whose `init` answers `Ignore` (or ends with `Normal`) drops the child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Unless it ended in order.
    Transient,
    /// Never. Nothing is kept for it.
    Temporary,
}

impl Restart {
    /// Whether a child that has `down`ed in its start number `attempt` is started again.
    pub(crate) fn applies(self, attempt: u32, down: &ChildDown) -> bool {
        if !down.started {
            // A first start that failed was its starter's to hear of; `Normal` is what `Ignore` becomes.
            return attempt > 1 && !down.reason.is_normal() && self != Restart::Temporary;
        }
        match self {
            Restart::Permanent => true,
            Restart::Transient => !down.reason.is_orderly(),
            Restart::Temporary => false,
        }
    }
}

/// How a supervisor stops a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Killed.
    BrutalKill,
    /// Told to shut down, and killed if it has not ended after this time.
    After(Duration),
    /// Told to shut down, and waited for. Right for supervisors: a killed one cannot wait for its
    /// children.
    Infinity,
}

impl Shutdown {
    /// OTP's for workers: 5 s.
    pub const WORKER: Shutdown = Shutdown::After(Duration::from_secs(5));

    /// The exit signal that begins it.
    pub(crate) fn signal(self) -> ExitReason {
        match self {
            Shutdown::BrutalKill => ExitReason::Kill,
            Shutdown::After(_) | Shutdown::Infinity => ExitReason::Shutdown,
        }
    }
}

impl From<Shutdown> for Stop {
    fn from(shutdown: Shutdown) -> Stop {
        match shutdown {
            Shutdown::BrutalKill => Stop::Kill,
            Shutdown::After(time) => Stop::After(time),
            Shutdown::Infinity => Stop::Infinity,
        }
    }
}

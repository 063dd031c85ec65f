//! What a supervisor does with a child: when it restarts it, and how it stops it.

use std::time::Duration;

use whitebeam_actor::{ChildDown, ExitReason, Stop};

/// Whether a child that ended by itself is started again.
///
/// | | normal | shutdown, shutdown with a value | anything else |
/// | --- | --- | --- | --- |
/// | permanent | restart | restart | restart |
/// | transient | leave | leave | restart |
/// | temporary | drop | drop | drop |
///
/// To leave a child is to keep its spec without a process under a [`Supervisor`](crate::Supervisor), which can be told
/// to start it again, and to drop it anywhere else.
///
/// A child whose first start fails is not kept: who started it is told. A restart that fails counts
/// as another end and is tried again, as often as the supervisor's [`Intensity`](crate::Intensity)
/// allows. A restart whose `init` answers `Ignore` is none that fails: the child is left. An `init` that ends with
/// `Normal` has failed under a [`Supervisor`](crate::Supervisor); under any other it is as one that answers `Ignore`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Unless it ended in order.
    Transient,
    /// Never. What it was made from is not kept behind its start, unless it is in the spec of a supervisor that may be
    /// restarted itself, and then starts the child again.
    Temporary,
}

impl Restart {
    /// Whether a child that has `down`ed in its start number `attempt` is started again.
    pub(crate) fn applies(self, attempt: u32, down: &ChildDown) -> bool {
        if !down.started {
            // A first start that failed was its starter's to hear of; `Normal` is what `Ignore` becomes.
            return attempt > 1 && !down.reason.is_normal() && self != Restart::Temporary;
        }
        self.wants(&down.reason)
    }

    /// Whether a child that has ended with `reason` is started again.
    pub(crate) fn wants(self, reason: &ExitReason) -> bool {
        match self {
            Restart::Permanent => true,
            Restart::Transient => !reason.is_orderly(),
            Restart::Temporary => false,
        }
    }
}

/// Whether a supervisor ends when a [significant](crate::Child::significant) child has ended by itself and is not
/// restarted: a transient one in order, a temporary one in any way. Ends that the supervisor has caused, asked by its
/// handle or by its strategy, never count. It ends as when it is told to: its other children are stopped, and its
/// reason is `Shutdown`.
///
/// ```
/// use whitebeam_actor::{ExitReason, Mailbox, Runtime};
/// use whitebeam_supervisor::{AutoShutdown, Child, Restart, Supervisor};
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let mut tree = Supervisor::one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
///     let job = Child::process("job", |mut mailbox: Mailbox<()>| async move {
///         mailbox.recv().await;
///         Ok(())
///     });
///     let job = tree.child_with(job.restart(Restart::Transient).significant());
///     let root = tree.start(&rt).await?;
///     let down = rt.down(&root);
///     job.cast(())?;
///     assert!(matches!(down.await.reason, ExitReason::Shutdown));
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoShutdown {
    /// No.
    #[default]
    Never,
    /// With the first such end.
    AnySignificant,
    /// With the end of the last significant child that has a process, or is to have one again.
    AllSignificant,
}

/// How a supervisor stops a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Shutdown {
    /// Killed.
    BrutalKill,
    /// Told to shut down, and killed if it has not ended after this time; at most a hundred years.
    After(Duration),
    /// Told to shut down, and waited for. Right for supervisors: a killed one cannot wait for its
    /// children.
    Infinity,
}

impl Shutdown {
    /// OTP's for workers: 5 s.
    pub const WORKER: Shutdown = Shutdown::After(Duration::from_secs(5));

    /// Longer than this means this: timers do not reach further than their clock.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

    /// The time that a child has.
    pub(crate) fn limit(self) -> Option<Duration> {
        match self {
            Shutdown::After(time) => Some(time.min(Self::LONGEST)),
            Shutdown::BrutalKill | Shutdown::Infinity => None,
        }
    }

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
            Shutdown::After(time) => Stop::After(time.min(Shutdown::LONGEST)),
            Shutdown::Infinity => Stop::Infinity,
        }
    }
}

//! Children of any kinds under one dynamic supervisor.

use super::{
    DynamicSupervisor,
    mixed::{AnyRequest, Mixed},
    sort::Sort,
};
use crate::{SpecError, child::Sealed};

/// Children of any kinds: [`DynamicSupervisor::any`].
#[derive(Debug)]
pub enum Any {}

impl Sort for Any {
    type Template = ();
    type Request = AnyRequest;
    type Process = Mixed;

    fn check((): &(), _: Sealed) -> Result<(), SpecError> {
        Ok(())
    }
}

impl DynamicSupervisor<Any> {
    /// Children of any kinds, actors, processes and other supervisors, each with a [`Child`](crate::Child) of its own
    /// that says when it is restarted and how it is stopped. They are started by
    /// [`start_child`](crate::DynamicRef::<Any>::start_child).
    ///
    /// A child has an address that goes on over its restarts, as under a [`Supervisor`](crate::Supervisor), but no id:
    /// that of its spec is not looked at. When the supervisor stops all children are told at once, each in its own way.
    ///
    /// Each child costs some hundreds of bytes more than one of a supervisor of children of one kind.
    ///
    /// ```
    /// use whitebeam_actor::{ExitReason, Mailbox, Runtime};
    /// use whitebeam_supervisor::{Child, DynamicSupervisor, Restart, Supervisor};
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let sink = || Child::process("sink", |mut mailbox: Mailbox<u32>| async move {
    ///         loop {
    ///             mailbox.recv().await;
    ///         }
    ///     });
    ///     let sessions = DynamicSupervisor::any().start(&rt).await?;
    ///     let first = sessions.start_child(sink().restart(Restart::Transient)).await?;
    ///     let mut pool = Supervisor::one_for_all();
    ///     pool.child_with(sink());
    ///     let pool = sessions.start_child(Child::from(pool)).await?;
    ///     first.cast(1)?;
    ///     assert_eq!(pool.count_children().await?.active, 1);
    ///
    ///     let counts = sessions.count_children().await?;
    ///     assert_eq!((counts.specs, counts.supervisors, counts.workers), (2, 1, 1));
    ///     sessions.terminate_child(&pool).await?;
    ///     assert_eq!(sessions.count(), 1);
    ///     rt.stop(&sessions, ExitReason::Shutdown).await?;
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn any() -> Self {
        DynamicSupervisor::of(())
    }
}

//! A supervisor whose spec is made by a function, for each incarnation anew: OTP's callback module.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ChildSlot, ChildTag, Context, ExitReason, Handle, SpawnOptions, StartError, StartInfo,
};

use super::{
    Supervising, Supervisor, SupervisorRef,
    process::{Make, Request, Source},
    start, start_link,
};
use crate::{
    Child, ChildId, Nested, Restart, SpecError, StartTree,
    child::{Launch, Launched, Parent, Sealed, launch_supervisor},
    guard,
    tree::Asked,
};

/// A supervisor that asks a function for its spec whenever it starts, in its own process: what a configuration says, say,
/// which may be another one after a restart. It is OTP's `init/1` of a supervisor.
///
/// The function may refuse: with [`ExitReason::Ignore`] no supervisor is wanted, quietly; any other reason, or a panic,
/// is that of a failed start. So is a spec that is wrong: a [`SpecError`].
///
/// Addresses of children live as long as the spec that they are in: they do not go on over a restart of this supervisor.
/// Where that is wanted the children are in a [`Supervisor`] of their own spec. Of the spec that is made the options of
/// the process are not looked at: it runs already, with [those of this](Self::options).
///
/// ```
/// use whitebeam_actor::{ExitReason, Mailbox, Runtime, StartError};
/// use whitebeam_supervisor::{Child, Supervisor, SupervisorFn};
///
/// let pool = |size: usize| SupervisorFn::new(move |_| {
///     if size == 0 {
///         return Err(ExitReason::Ignore);
///     }
///     let mut tree = Supervisor::one_for_one();
///     for id in 0..size {
///         tree.child_with(Child::process(id, |mut mailbox: Mailbox<u32>| async move {
///             loop {
///                 mailbox.recv().await;
///             }
///         }));
///     }
///     Ok(tree)
/// });
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     assert_eq!(pool(3).start(&rt).await?.count_children().await?.active, 3);
///     assert!(matches!(pool(0).start(&rt).await, Err(StartError::Ignore)));
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a supervisor spec does nothing until it is started"]
pub struct SupervisorFn {
    make: Arc<Mutex<Make>>,
    options: SpawnOptions,
}

impl SupervisorFn {
    /// A supervisor of what `make` gives. It is told which start this is, and how the incarnation before has ended.
    pub fn new(
        make: impl FnMut(&StartInfo) -> Result<Supervisor, ExitReason> + Send + 'static,
    ) -> Self {
        SupervisorFn { make: Arc::new(Mutex::new(make)), options: SpawnOptions::new() }
    }

    /// How the supervisor's own process is started.
    pub fn options(mut self, options: SpawnOptions) -> Self {
        self.options = options;
        self
    }

    /// Starts it, as [`Supervisor::start`].
    pub fn start(self, rt: &Handle) -> StartTree<SupervisorRef> {
        start(Source::Make(self.make), self.options, rt)
    }

    /// Starts it linked to the running actor, as [`Supervisor::start_link`].
    pub fn start_link<C: Actor>(self, cx: &mut Context<C>) -> StartTree<SupervisorRef> {
        start_link(Source::Make(self.make), self.options, cx)
    }
}

struct NestedFn {
    /// `None`: forgotten.
    make: Option<Arc<Mutex<Make>>>,
    slot: ChildSlot<Request>,
}

impl Launch for NestedFn {
    fn prepare(&mut self, _: &ChildId, _: Restart, _: usize) -> Result<(), SpecError> {
        Ok(())
    }

    fn launch(
        &mut self,
        parent: Parent<'_>,
        options: SpawnOptions,
        info: Option<StartInfo>,
    ) -> Launched {
        let Some(make) = self.make.clone() else {
            return Launched::refused(StartError::Ignore);
        };
        let source = Source::Make(make);
        launch_supervisor::<Supervising, _>(parent, &self.slot, source, options, info)
    }

    fn gone(&self) {
        self.slot.gone();
    }

    fn forget(&mut self) {
        guard::discard(self.make.take());
    }

    fn tag(&self) -> ChildTag {
        self.slot.tag()
    }

    fn actor(&self) -> &'static str {
        std::any::type_name::<Supervising>()
    }

    fn address(&self) -> Option<Box<dyn Asked>> {
        Some(Box::new(self.slot.child()))
    }
}

impl Nested for SupervisorFn {
    type Handle = SupervisorRef;

    fn into_child(self, id: ChildId, _: Sealed) -> Child<SupervisorRef> {
        let launch = NestedFn { make: Some(self.make), slot: ChildSlot::new() };
        let handle = SupervisorRef::new(launch.slot.child());
        Child::supervisor(id, handle, self.options, launch)
    }
}

impl fmt::Debug for SupervisorFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorFn").field("options", &self.options).finish_non_exhaustive()
    }
}

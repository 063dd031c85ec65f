//! The spec of a child: what it is, under which id, and what its supervisor does with it.

mod launch;

use std::{fmt, future::Future, sync::Arc};

use whitebeam_actor::{Actor, ChildRef, ChildTag, ExitReason, Mailbox, SpawnOptions};

pub(crate) use self::launch::{
    ActorChild, Launch, Launched, Parent, ProcessChild, launch_supervisor,
};
use crate::{Restart, Shutdown, SpecError, guard::Contained};

/// Names a child: text or a number, as its spec says; or its address, where an existing child is meant. A spec with an
/// address as its id is refused: [`SpecError::AddressAsId`](crate::SpecError::AddressAsId).
///
/// ```
/// use whitebeam_supervisor::ChildId;
///
/// assert_eq!(ChildId::from("db"), ChildId::from(String::from("db")));
/// assert_eq!(ChildId::from(7).to_string(), "7");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ChildId(Id);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Id {
    Text(Arc<str>),
    Number(usize),
    /// `None`: an address that is no child's.
    Address(Option<ChildTag>),
    Undefined,
}

impl ChildId {
    /// What a dynamic supervisor's children have for an id: they have none.
    pub const UNDEFINED: ChildId = ChildId(Id::Undefined);

    pub(crate) fn of_address(tag: Option<ChildTag>) -> Self {
        ChildId(Id::Address(tag))
    }
}

/// What a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildKind {
    /// An actor, or a process in the process form.
    Worker,
    /// A supervisor.
    Supervisor,
}

/// The spec of one child. `H` is the handle it gives, known before anything runs: a
/// [`ChildRef`] of an actor, a [`DynamicRef`](crate::DynamicRef) of a nested dynamic supervisor, and
/// so on.
///
/// | made with | restart | arguments | shutdown |
/// | --- | --- | --- | --- |
/// | [`new`](Child::new) | permanent | cloned for each start | 5 s |
/// | [`from_fn`](Child::from_fn) | permanent | made for each start | 5 s |
/// | [`temporary`](Child::temporary) | temporary | given away with the one start | 5 s |
/// | [`process`](Child::process) | permanent | the body is called for each start | 5 s |
/// | [`nested`](Child::nested) | permanent | the spec is kept | infinity |
#[must_use = "a child spec does nothing until it is added to a supervisor"]
pub struct Child<H = ()> {
    handle: H,
    pub(crate) spec: Spec,
}

/// A child without the type of its handle.
pub(crate) struct Spec {
    pub(crate) id: ChildId,
    pub(crate) kind: ChildKind,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) significant: bool,
    pub(crate) options: Contained<SpawnOptions>,
    pub(crate) launch: Contained<Box<dyn Launch>>,
}

impl Child {
    /// An actor that is started with a clone of `args` each time. Without `Clone`, use
    /// [`from_fn`](Child::from_fn) or [`temporary`](Child::temporary).
    pub fn new<A: Actor>(id: impl Into<ChildId>, args: A::Args) -> Child<ChildRef<A::Msg>>
    where
        A::Args: Clone,
    {
        Child::from_fn::<A>(id, move || args.clone())
    }

    /// An actor that is started with what `args` gives. A panic in it is a failed start.
    pub fn from_fn<A: Actor>(
        id: impl Into<ChildId>,
        args: impl Fn() -> A::Args + Send + 'static,
    ) -> Child<ChildRef<A::Msg>> {
        Child::actor(id, ActorChild::<A>::new(move || Some(args())), Restart::Permanent)
    }

    /// An actor that is never restarted: its arguments are given away with the one start, whatever that comes to. Nor does
    /// it come back with a supervisor that is restarted, which finds it as if its `init` had said that no process is
    /// wanted; one that is to, is made with [`from_fn`](Child::from_fn) and [`Restart::Temporary`].
    pub fn temporary<A: Actor>(id: impl Into<ChildId>, args: A::Args) -> Child<ChildRef<A::Msg>> {
        let mut args = Some(args);
        let launch = ActorChild::<A>::new(move || args.take()).once();
        Child::actor(id, launch, Restart::Temporary)
    }

    /// A process in the process form, whose body is what `f` makes of its mailbox at each start. It has started when
    /// it begins. A panic in `f` is the process's.
    ///
    /// ```
    /// use whitebeam_actor::{Mailbox, Runtime};
    /// use whitebeam_supervisor::{Child, Supervisor};
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let mut tree = Supervisor::one_for_one();
    ///     let sink = tree.child_with(Child::process("sink", |mut mailbox: Mailbox<u32>| async move {
    ///         loop {
    ///             mailbox.recv().await;
    ///         }
    ///     }));
    ///     let _root = tree.start(&rt).await?;
    ///     sink.cast(7)?;
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn process<M, F, Fut>(id: impl Into<ChildId>, f: F) -> Child<ChildRef<M>>
    where
        M: Send + 'static,
        F: Fn(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        let launch = ProcessChild::new(f);
        let handle = launch.handle();
        let spec = Spec::worker(id.into(), Restart::Permanent, launch);
        Child { handle, spec }
    }

    /// A supervisor under this one.
    pub fn nested<S: Nested>(id: impl Into<ChildId>, supervisor: S) -> Child<S::Handle> {
        supervisor.into_child(id.into(), Sealed(()))
    }

    fn actor<A: Actor>(
        id: impl Into<ChildId>,
        launch: ActorChild<A>,
        restart: Restart,
    ) -> Child<ChildRef<A::Msg>> {
        let handle = launch.handle();
        let spec = Spec::worker(id.into(), restart, launch);
        Child { handle, spec }
    }
}

impl Spec {
    fn worker(id: ChildId, restart: Restart, launch: impl Launch + 'static) -> Self {
        Spec {
            id,
            kind: ChildKind::Worker,
            restart,
            shutdown: Shutdown::WORKER,
            significant: false,
            options: Contained::default(),
            launch: Contained::new(Box::new(launch)),
        }
    }

    /// Checks the spec and all below it, before anything is started, for a runtime with so many workers.
    pub(crate) fn prepare(&mut self, workers: usize) -> Result<(), SpecError> {
        if let Id::Address(_) = self.id.0 {
            return Err(SpecError::AddressAsId);
        }
        self.launch.prepare(&self.id, self.restart, workers)
    }
}

impl<H> Child<H> {
    pub(crate) fn into_parts(self) -> (Spec, H) {
        (self.spec, self.handle)
    }

    pub(crate) fn supervisor(
        id: ChildId,
        handle: H,
        options: SpawnOptions,
        launch: impl Launch + 'static,
    ) -> Self {
        let spec = Spec {
            id,
            kind: ChildKind::Supervisor,
            restart: Restart::Permanent,
            shutdown: Shutdown::Infinity,
            significant: false,
            options: Contained::new(options),
            launch: Contained::new(Box::new(launch)),
        };
        Child { handle, spec }
    }

    pub(crate) fn map<G>(self, f: impl FnOnce(H) -> G) -> Child<G> {
        Child { handle: f(self.handle), spec: self.spec }
    }

    /// Another id than it was made with.
    pub fn id(mut self, id: impl Into<ChildId>) -> Self {
        self.spec.id = id.into();
        self
    }

    /// When it is restarted. With [`Restart::Temporary`] the arguments are forgotten once the child has started, if nobody
    /// can start it again: it was added by `start_child`, or its supervisor is not restarted itself. Otherwise they are
    /// kept as long as the supervisor's spec.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.spec.restart = restart;
        self
    }

    /// How it is stopped.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.spec.shutdown = shutdown;
        self
    }

    /// Its end may end its supervisor, see [`AutoShutdown`](crate::AutoShutdown). Not for permanent children, nor under
    /// a supervisor without auto shutdown: [`SpecError::Significant`](crate::SpecError::Significant).
    pub fn significant(mut self) -> Self {
        self.spec.significant = true;
        self
    }

    /// How its process is started. For a nested supervisor they replace those of its own spec.
    pub fn options(mut self, options: SpawnOptions) -> Self {
        self.spec.options = Contained::new(options);
        self
    }

    /// The handle it will have.
    pub fn handle(&self) -> &H {
        &self.handle
    }
}

/// The specs of supervisors, which can be children of others: [`Child::nested`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a supervisor spec",
    note = "an actor is added with `Child::new::<A>(id, args)`"
)]
pub trait Nested: Send + 'static {
    /// What the supervisor is talked to with.
    type Handle: Clone + Send + Sync + 'static;

    #[doc(hidden)]
    fn into_child(self, id: ChildId, _: Sealed) -> Child<Self::Handle>;
}

/// Only this crate has one, so that only its specs are [`Nested`].
#[doc(hidden)]
#[derive(Debug)]
#[expect(unnameable_types, reason = "seals `Nested`")]
pub struct Sealed(());

impl Sealed {
    pub(crate) fn new() -> Self {
        Sealed(())
    }
}

impl<S: Nested> From<S> for Child<S::Handle> {
    /// A supervisor under another one, with an id of its own: the [name](SpawnOptions::name) that its process is given
    /// (its key, if a registry keeps it), else its type. As [`Child::nested`] otherwise.
    ///
    /// ```
    /// use whitebeam_actor::SpawnOptions;
    /// use whitebeam_supervisor::{Child, Supervisor, SupervisorRef};
    ///
    /// let named = Supervisor::one_for_one().options(SpawnOptions::new().name("storage"));
    /// let storage: Child<SupervisorRef> = named.into();
    /// assert!(format!("{storage:?}").contains(r#"id: "storage""#));
    /// ```
    fn from(supervisor: S) -> Self {
        let child = Child::nested(std::any::type_name::<S>(), supervisor);
        match child.spec.options.given_name() {
            Some(name) => {
                let id = ChildId::from(name.key().to_string());
                child.id(id)
            }
            None => child,
        }
    }
}

impl From<&str> for ChildId {
    fn from(text: &str) -> Self {
        ChildId(Id::Text(text.into()))
    }
}

impl From<String> for ChildId {
    fn from(text: String) -> Self {
        ChildId(Id::Text(text.into()))
    }
}

impl From<usize> for ChildId {
    fn from(number: usize) -> Self {
        ChildId(Id::Number(number))
    }
}

impl<M> From<&ChildRef<M>> for ChildId {
    /// The child that has this address; none if the address is of one process that is no child.
    fn from(child: &ChildRef<M>) -> Self {
        ChildId::of_address(child.tag())
    }
}

impl From<&ChildId> for ChildId {
    fn from(id: &ChildId) -> Self {
        id.clone()
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Text(text) => f.write_str(text),
            Id::Number(number) => write!(f, "{number}"),
            Id::Address(_) => f.write_str("(by address)"),
            Id::Undefined => f.write_str("undefined"),
        }
    }
}

impl fmt::Debug for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Text(text) => write!(f, "{text:?}"),
            Id::Number(number) => write!(f, "{number}"),
            Id::Address(_) => f.write_str("(by address)"),
            Id::Undefined => f.write_str("undefined"),
        }
    }
}

impl<H: fmt::Debug> fmt::Debug for Child<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.spec.id)
            .field("restart", &self.spec.restart)
            .field("shutdown", &self.spec.shutdown)
            .field("options", &*self.spec.options)
            .field("handle", &self.handle)
            .finish()
    }
}

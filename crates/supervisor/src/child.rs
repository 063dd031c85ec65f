//! The spec of a child: what it is, under which id, and what its supervisor does with it.

mod launch;

use std::fmt;

use whitebeam_actor::{Actor, ChildRef, SpawnOptions};

pub(crate) use self::launch::{ActorChild, Launch, Launched, launch_child};
use crate::{Restart, Shutdown};

/// Names a child in its spec: text or a number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ChildId(Id);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Id {
    Text(Box<str>),
    Number(usize),
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
/// | [`nested`](Child::nested) | permanent | the spec is kept | infinity |
#[must_use = "a child spec does nothing until it is added to a supervisor"]
pub struct Child<H = ()> {
    handle: H,
    pub(crate) spec: Spec,
}

/// A child without the type of its handle.
pub(crate) struct Spec {
    pub(crate) id: ChildId,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) options: SpawnOptions,
    pub(crate) launch: Box<dyn Launch>,
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

    /// An actor that is never restarted: its arguments are given away with the first start.
    pub fn temporary<A: Actor>(id: impl Into<ChildId>, args: A::Args) -> Child<ChildRef<A::Msg>> {
        let mut args = Some(args);
        let launch = ActorChild::<A>::new(move || args.take()).once();
        Child::actor(id, launch, Restart::Temporary)
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
        let spec = Spec {
            id: id.into(),
            restart,
            shutdown: Shutdown::WORKER,
            options: SpawnOptions::new(),
            launch: Box::new(launch),
        };
        Child { handle, spec }
    }
}

impl<H> Child<H> {
    pub(crate) fn supervisor(
        id: ChildId,
        handle: H,
        options: SpawnOptions,
        launch: impl Launch + 'static,
    ) -> Self {
        let spec = Spec {
            id,
            restart: Restart::Permanent,
            shutdown: Shutdown::Infinity,
            options,
            launch: Box::new(launch),
        };
        Child { handle, spec }
    }

    pub(crate) fn map<G>(self, f: impl FnOnce(H) -> G) -> Child<G> {
        Child { handle: f(self.handle), spec: self.spec }
    }

    /// When it is restarted.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.spec.restart = restart;
        self
    }

    /// How it is stopped.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.spec.shutdown = shutdown;
        self
    }

    /// How its process is started. For a nested supervisor they replace those of its own spec.
    pub fn options(mut self, options: SpawnOptions) -> Self {
        self.spec.options = options;
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

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Text(text) => f.write_str(text),
            Id::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Debug for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Text(text) => write!(f, "{text:?}"),
            Id::Number(number) => write!(f, "{number}"),
        }
    }
}

impl<H: fmt::Debug> fmt::Debug for Child<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.spec.id)
            .field("restart", &self.spec.restart)
            .field("shutdown", &self.spec.shutdown)
            .field("options", &self.spec.options)
            .field("handle", &self.handle)
            .finish()
    }
}

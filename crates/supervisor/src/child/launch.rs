//! How a child is started, whatever it is: by a [`Supervisor`](crate::Supervisor), a
//! [`PartitionSupervisor`](crate::PartitionSupervisor), or a dynamic supervisor of children of
//! [any](crate::DynamicSupervisor::any) kinds.
//!
//! A [`Launch`] is the part of a child's spec that knows its type. It is kept by the supervisor, starts one incarnation
//! after the other as a child of that, and has the address that leads to them.

use std::{future::Future, pin::Pin, sync::Arc};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ActorRef, ChildKey, ChildRef, ChildSlot, ChildTag, Context, ExitReason, Mailbox, Reply,
    SpawnOptions, Start, StartError, StartInfo, StartReply, oneshot,
};

use super::Spec;
use crate::{
    ChildId, Restart, SpecError,
    dynamic::Mixed,
    guard,
    partition::{Partitioned, children_started},
    supervisor::Supervising,
    tree::Asked,
};

/// The supervisor that a child is started by.
pub(crate) enum Parent<'a> {
    Partitions(&'a mut Context<Partitioned>),
    Tree(&'a mut Context<Supervising>),
    Any(&'a mut Context<Mixed>),
}

impl Parent<'_> {
    fn spawn<A: Actor>(
        &mut self,
        args: A::Args,
        options: SpawnOptions,
        info: Option<StartInfo>,
        ack: StartReply<A::Msg>,
    ) -> Option<(ChildKey, ActorRef<A::Msg>)> {
        match self {
            Parent::Partitions(cx) => cx.spawn_child::<A>(args, options, info, Some(ack)),
            Parent::Tree(cx) => cx.spawn_child::<A>(args, options, info, Some(ack)),
            Parent::Any(cx) => cx.spawn_child::<A>(args, options, info, Some(ack)),
        }
    }

    fn spawn_fn<M, F, Fut>(
        &mut self,
        f: F,
        options: SpawnOptions,
        info: Option<StartInfo>,
        ack: StartReply<M>,
    ) -> Option<(ChildKey, ActorRef<M>)>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        match self {
            Parent::Partitions(cx) => cx.spawn_child_fn(f, options, info, Some(ack)),
            Parent::Tree(cx) => cx.spawn_child_fn(f, options, info, Some(ack)),
            Parent::Any(cx) => cx.spawn_child_fn(f, options, info, Some(ack)),
        }
    }
}

/// Ready when a child has started, with all that it starts itself; or the reason why it has not.
pub(crate) type Ready = Pin<Box<dyn Future<Output = Result<(), StartError>> + Send>>;

/// A child on its way.
pub(crate) struct Launched {
    /// `None`: no process was made; `ready` says why.
    pub(crate) key: Option<ChildKey>,
    pub(crate) ready: Ready,
}

impl Launched {
    pub(crate) fn refused(error: StartError) -> Self {
        Launched { key: None, ready: Box::pin(std::future::ready(Err(error))) }
    }
}

/// Starts the incarnations of one child.
pub(crate) trait Launch: Send {
    /// Checks the spec and all below it, before anything is started, for a runtime with so many workers.
    fn prepare(&mut self, id: &ChildId, restart: Restart, workers: usize) -> Result<(), SpecError>;

    /// Starts the next incarnation as a child of `parent`; from now on the handle leads to it.
    fn launch(
        &mut self,
        parent: Parent<'_>,
        options: SpawnOptions,
        info: Option<StartInfo>,
    ) -> Launched;

    /// There will be no incarnation any more, unless somebody asks for one.
    fn gone(&self);

    /// Lets go of what incarnations are made from: none will be asked for any more. The address stays as it is.
    fn forget(&mut self);

    /// Of a child that is not started any more: the specs of those below it that nobody else has, to be freed one by one.
    fn take_below(&mut self) -> Vec<Arc<Mutex<Spec>>> {
        Vec::new()
    }

    /// Which child this is.
    fn tag(&self) -> ChildTag;

    /// Of what type its process is.
    fn actor(&self) -> &'static str;

    /// Of a supervisor that tells of its children: its address.
    fn address(&self) -> Option<Box<dyn Asked>> {
        None
    }
}

/// In the place of one that was taken away to be dropped.
impl Default for Box<dyn Launch> {
    fn default() -> Self {
        Box::new(Nobody)
    }
}

struct Nobody;

impl Launch for Nobody {
    fn prepare(&mut self, _: &ChildId, _: Restart, _: usize) -> Result<(), SpecError> {
        Ok(())
    }

    fn launch(&mut self, _: Parent<'_>, _: SpawnOptions, _: Option<StartInfo>) -> Launched {
        Launched::refused(StartError::ShuttingDown)
    }

    fn gone(&self) {}

    fn forget(&mut self) {}

    fn tag(&self) -> ChildTag {
        ChildSlot::<()>::new().tag()
    }

    fn actor(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// Makes a supervisor's address one that is asked for what it knows of its children.
type AsAsked<M> = fn(ChildRef<M>) -> Box<dyn Asked>;

/// A child that has started when its `init` is done.
pub(crate) struct ActorChild<A: Actor> {
    /// `None`: given away.
    args: Box<dyn FnMut() -> Option<A::Args> + Send>,
    /// `args` gives them once only.
    once: bool,
    fault: Option<SpecError>,
    /// It is a supervisor's, which tells of its children.
    asked: Option<AsAsked<A::Msg>>,
    slot: ChildSlot<A::Msg>,
}

impl<A: Actor> ActorChild<A> {
    pub(crate) fn new(args: impl FnMut() -> Option<A::Args> + Send + 'static) -> Self {
        ActorChild {
            args: Box::new(args),
            once: false,
            fault: None,
            asked: None,
            slot: ChildSlot::new(),
        }
    }

    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// A fault that is known already; reported when the spec is checked.
    pub(crate) fn fault(mut self, fault: Option<SpecError>) -> Self {
        self.fault = fault;
        self
    }

    /// It is a supervisor, and tells of its children.
    pub(crate) fn asked(mut self, asked: AsAsked<A::Msg>) -> Self {
        self.asked = Some(asked);
        self
    }

    pub(crate) fn handle(&self) -> ChildRef<A::Msg> {
        self.slot.child()
    }
}

impl<A: Actor> Launch for ActorChild<A> {
    fn prepare(&mut self, id: &ChildId, restart: Restart, _: usize) -> Result<(), SpecError> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None if self.once && restart != Restart::Temporary => {
                Err(SpecError::NoArgs(id.clone()))
            }
            None => Ok(()),
        }
    }

    fn launch(
        &mut self,
        parent: Parent<'_>,
        options: SpawnOptions,
        info: Option<StartInfo>,
    ) -> Launched {
        match (self.args)() {
            Some(args) => launch_child::<A>(parent, &self.slot, args, options, info),
            // A temporary child of a supervisor that was restarted: it had its one start. Or it was forgotten.
            None => Launched::refused(StartError::Ignore),
        }
    }

    fn gone(&self) {
        self.slot.gone();
    }

    fn forget(&mut self) {
        guard::discard(std::mem::replace(&mut self.args, Box::new(|| None)));
    }

    fn tag(&self) -> ChildTag {
        self.slot.tag()
    }

    fn actor(&self) -> &'static str {
        std::any::type_name::<A>()
    }

    fn address(&self) -> Option<Box<dyn Asked>> {
        self.asked.map(|asked| asked(self.slot.child()))
    }
}

/// A process in the process form: it has started when it begins.
pub(crate) struct ProcessChild<M, F> {
    /// Called in the new process, by one incarnation at a time. `None`: forgotten.
    body: Option<Arc<Mutex<F>>>,
    slot: ChildSlot<M>,
}

impl<M, F> ProcessChild<M, F> {
    pub(crate) fn new(body: F) -> Self {
        ProcessChild { body: Some(Arc::new(Mutex::new(body))), slot: ChildSlot::new() }
    }

    pub(crate) fn handle(&self) -> ChildRef<M> {
        self.slot.child()
    }
}

impl<M, F, Fut> Launch for ProcessChild<M, F>
where
    M: Send + 'static,
    F: Fn(Mailbox<M>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
{
    fn prepare(&mut self, _: &ChildId, _: Restart, _: usize) -> Result<(), SpecError> {
        Ok(())
    }

    fn launch(
        &mut self,
        mut parent: Parent<'_>,
        options: SpawnOptions,
        info: Option<StartInfo>,
    ) -> Launched {
        let Some(body) = self.body.clone() else {
            return Launched::refused(StartError::Ignore);
        };
        let (ack, answer) = oneshot();
        let f = move |mailbox| (*body.lock())(mailbox);
        let key = parent.spawn_fn(f, options, info, ack).map(|(key, child)| {
            self.slot.set(child);
            key
        });
        Launched { key, ready: Box::pin(async { Start::answered(answer).await.map(drop) }) }
    }

    fn gone(&self) {
        self.slot.gone();
    }

    fn forget(&mut self) {
        guard::discard(self.body.take());
    }

    fn tag(&self) -> ChildTag {
        self.slot.tag()
    }

    fn actor(&self) -> &'static str {
        std::any::type_name::<F>()
    }
}

/// Starts a supervisor as a child: it has started when its children have.
pub(crate) fn launch_supervisor<A, S>(
    parent: Parent<'_>,
    slot: &ChildSlot<A::Msg>,
    source: S,
    options: SpawnOptions,
    info: Option<StartInfo>,
) -> Launched
where
    A: Actor<Args = (S, Option<Reply<()>>)>,
{
    let (ack, started) = oneshot();
    let Launched { key, ready } =
        launch_child::<A>(parent, slot, (source, Some(ack)), options, info);
    let ready = Box::pin(async {
        ready.await?;
        children_started(started).await
    });
    Launched { key, ready }
}

/// Starts a child and puts it into its slot.
fn launch_child<A: Actor>(
    mut parent: Parent<'_>,
    slot: &ChildSlot<A::Msg>,
    args: A::Args,
    options: SpawnOptions,
    info: Option<StartInfo>,
) -> Launched {
    let (ack, answer) = oneshot::<Result<ActorRef<A::Msg>, StartError>>();
    let spawned = parent.spawn::<A>(args, options, info, ack);
    let key = spawned.map(|(key, child)| {
        slot.set(child);
        key
    });
    Launched { key, ready: Box::pin(async { Start::answered(answer).await.map(drop) }) }
}

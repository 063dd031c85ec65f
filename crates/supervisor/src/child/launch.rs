//! How a child is started: whatever it is, by the supervisor of a fixed set of children.

use std::{future::Future, pin::Pin};

use whitebeam_actor::{
    Actor, ActorRef, ChildKey, ChildRef, ChildSlot, Context, Handle, SpawnOptions, Start,
    StartError, StartInfo, oneshot,
};

use crate::{ChildId, Restart, SpecError, partition::Partitioned};

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
    /// Checks the spec and all below it, before anything is started.
    fn prepare(&mut self, id: &ChildId, restart: Restart, rt: &Handle) -> Result<(), SpecError>;

    /// Starts the next incarnation as a child of `cx`; from now on the handle leads to it.
    fn launch(
        &mut self,
        cx: &mut Context<Partitioned>,
        options: SpawnOptions,
        info: Option<StartInfo>,
    ) -> Launched;

    /// There will be no incarnation any more.
    fn gone(&self);
}

/// A child that has started when its `init` is done.
pub(crate) struct ActorChild<A: Actor> {
    /// `None`: given away.
    args: Box<dyn FnMut() -> Option<A::Args> + Send>,
    /// `args` gives them once only.
    once: bool,
    fault: Option<SpecError>,
    slot: ChildSlot<A::Msg>,
}

impl<A: Actor> ActorChild<A> {
    pub(crate) fn new(args: impl FnMut() -> Option<A::Args> + Send + 'static) -> Self {
        ActorChild { args: Box::new(args), once: false, fault: None, slot: ChildSlot::new() }
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

    pub(crate) fn handle(&self) -> ChildRef<A::Msg> {
        self.slot.child()
    }
}

impl<A: Actor> Launch for ActorChild<A> {
    fn prepare(&mut self, id: &ChildId, restart: Restart, _: &Handle) -> Result<(), SpecError> {
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
        cx: &mut Context<Partitioned>,
        options: SpawnOptions,
        info: Option<StartInfo>,
    ) -> Launched {
        match (self.args)() {
            Some(args) => launch_child::<A>(cx, &self.slot, args, options, info),
            // A temporary child of a supervisor that was restarted: it had its one start.
            None => Launched::refused(StartError::Ignore),
        }
    }

    fn gone(&self) {
        self.slot.gone();
    }
}

/// Starts a child and puts it into its slot.
pub(crate) fn launch_child<A: Actor>(
    cx: &mut Context<Partitioned>,
    slot: &ChildSlot<A::Msg>,
    args: A::Args,
    options: SpawnOptions,
    info: Option<StartInfo>,
) -> Launched {
    let (ack, answer) = oneshot::<Result<ActorRef<A::Msg>, StartError>>();
    let spawned = cx.spawn_child::<A>(args, options, info, Some(ack));
    let key = spawned.map(|(key, child)| {
        slot.set(child);
        key
    });
    Launched { key, ready: Box::pin(async { Start::answered(answer).await.map(drop) }) }
}

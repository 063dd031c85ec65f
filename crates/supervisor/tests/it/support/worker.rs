//! A child that does what its [`Setup`] says. [`Plain`] has no `terminate` of its own, [`Tidy`] has one:
//! the runtime knows the difference.

use std::{future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use whitebeam_actor::{Actor, Context, ExitReason, Reply, StartInfo};

use super::log::{Event, Gate, Log};

type Done = Result<(), ExitReason>;
type OnInit = Arc<dyn Fn(StartInfo) -> BoxFuture<'static, Done> + Send + Sync>;
type OnTerminate = Arc<dyn Fn(ExitReason) -> BoxFuture<'static, ()> + Send + Sync>;
type OnDrop = Arc<dyn Fn() + Send + Sync>;

/// What a child is started with.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) id: u64,
    log: Log,
    init: Option<OnInit>,
    terminate: Option<OnTerminate>,
    on_drop: Option<OnDrop>,
    traps: bool,
}

impl Setup {
    /// A child that does nothing by itself but note its life in `log`.
    pub(crate) fn new(id: u64, log: &Log) -> Self {
        Setup { id, log: log.clone(), ..Self::default() }
    }

    /// What `init` does beside.
    pub(crate) fn init<F: Future<Output = Done> + Send + 'static>(
        mut self,
        f: impl Fn(StartInfo) -> F + Send + Sync + 'static,
    ) -> Self {
        self.init = Some(Arc::new(move |info| Box::pin(f(info))));
        self
    }

    /// `init` waits until the gate is open.
    pub(crate) fn init_at(self, gate: &Gate) -> Self {
        let gate = gate.clone();
        self.init(move |_| {
            let gate = gate.clone();
            async {
                gate.passed().await;
                Ok(())
            }
        })
    }

    /// What `terminate` does beside. For [`Tidy`] ones.
    pub(crate) fn terminate<F: Future<Output = ()> + Send + 'static>(
        mut self,
        f: impl Fn(ExitReason) -> F + Send + Sync + 'static,
    ) -> Self {
        self.terminate = Some(Arc::new(move |reason| Box::pin(f(reason))));
        self
    }

    pub(crate) fn on_drop(mut self, f: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_drop = Some(Arc::new(f));
        self
    }

    pub(crate) fn traps(mut self) -> Self {
        self.traps = true;
        self
    }
}

/// What a child is sent.
pub(crate) enum Msg {
    /// Tells its id and how it was started.
    Who(Reply<(u64, StartInfo)>),
    /// Ends with this reason.
    End(ExitReason),
    /// Panics.
    Panic,
    /// Waits in the handler.
    Wait(Gate),
    /// Waits in the handler, then ends with this reason.
    WaitAndEnd(Gate, ExitReason),
    /// An exit signal that was trapped.
    Exit,
}

/// The child's state.
pub(crate) struct Worker<const TIDY: bool> {
    setup: Setup,
    info: StartInfo,
}

pub(crate) type Plain = Worker<false>;
pub(crate) type Tidy = Worker<true>;

impl<const TIDY: bool> Worker<TIDY> {
    async fn begin(setup: Setup, cx: &mut Context<Self>) -> Result<Self, ExitReason>
    where
        Self: Actor<Msg = Msg>,
    {
        let info = cx.start_info();
        setup.log.note(Event::Init(setup.id, info.attempt));
        if setup.traps {
            cx.trap_exit(|_| Msg::Exit);
        }
        if let Some(init) = &setup.init {
            init(info.clone()).await?;
        }
        setup.log.note(Event::Started(setup.id));
        Ok(Worker { setup, info })
    }

    async fn one(&mut self, msg: Msg) -> Done {
        match msg {
            Msg::Who(reply) => reply.send((self.setup.id, self.info.clone())),
            Msg::End(reason) => return Err(reason),
            Msg::Panic => panic!("{}", super::EXPECTED),
            Msg::Wait(gate) => gate.passed().await,
            Msg::WaitAndEnd(gate, reason) => {
                self.setup.log.note(Event::Waiting(self.setup.id));
                gate.passed().await;
                return Err(reason);
            }
            Msg::Exit => {}
        }
        Ok(())
    }
}

impl<const TIDY: bool> Drop for Worker<TIDY> {
    fn drop(&mut self) {
        self.setup.log.note(Event::Dropped(self.setup.id));
        if let Some(on_drop) = &self.setup.on_drop {
            on_drop();
        }
    }
}

impl Actor for Plain {
    type Args = Setup;
    type Msg = Msg;

    async fn init(setup: Setup, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Self::begin(setup, cx).await
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Done {
        self.one(msg).await
    }
}

impl Actor for Tidy {
    type Args = Setup;
    type Msg = Msg;

    async fn init(setup: Setup, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Self::begin(setup, cx).await
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Done {
        self.one(msg).await
    }

    async fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<Self>) {
        self.setup.log.note(Event::Terminate(self.setup.id));
        if let Some(terminate) = &self.setup.terminate {
            terminate(reason.clone()).await;
        }
    }
}

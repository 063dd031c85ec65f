//! The processes of a scenario on Whitebeam: workers, and what they share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use whitebeam_actor::{Actor, ChildRef, Context, ExitReason, Pid, Reply, oneshot};
use whitebeam_supervisor::SupervisorRef;
use whitebeam_testkit::TestRuntime;

use crate::{
    EXPECTED,
    scenario::{Begin, Id, Reason, Scenario, Stops, What},
    words::reason_of,
};

/// What the processes of a run share.
pub(crate) struct World {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) rt: TestRuntime,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Starts so far.
    starts: HashMap<Id, usize>,
    pub(crate) addresses: Addresses,
    pub(crate) numbers: HashMap<Pid, Id>,
    pub(crate) holding: Vec<Reply<()>>,
}

/// Where the nodes are that a supervisor was given.
#[derive(Default)]
pub(crate) struct Addresses {
    pub(crate) workers: HashMap<Id, ChildRef<Msg>>,
    pub(crate) supervisors: BTreeMap<Id, SupervisorRef>,
}

impl World {
    /// A supervisor has taken children: these are the addresses that steps use from now on.
    pub(crate) fn has_taken(&self, addresses: Addresses) {
        let mut state = self.state.lock();
        state.addresses.workers.extend(addresses.workers);
        state.addresses.supervisors.extend(addresses.supervisors);
    }

    /// A process begins to start: how is it to come out?
    pub(crate) fn begins(&self, id: Id) -> Begin {
        // Each process runs its own code, or that of a child, before it can end.
        let processes = self.rt.processes();
        let mut state = self.state.lock();
        for info in processes {
            let number = info.label.as_ref().and_then(|label| label.as_str()?.parse().ok());
            if let Some(number) = number {
                state.numbers.insert(info.pid, number);
            }
        }
        let starts = state.starts.entry(id).or_default();
        *starts += 1;
        self.scenario.node(id).starts.get(*starts - 1).copied().unwrap_or(Begin::Well)
    }

    pub(crate) async fn hold(&self) {
        let (reply, released) = oneshot();
        self.state.lock().holding.push(reply);
        // Who is killed meanwhile is released to no end.
        let _ = released.await;
    }
}

/// What a worker is told.
pub(crate) enum Msg {
    End(Reason),
    /// An exit signal that it trapped.
    Exit,
}

/// Does nothing by itself. With `TIDY` it has a `terminate`: the runtime knows the difference.
pub(crate) struct Worker<const TIDY: bool> {
    world: Arc<World>,
    stops: Stops,
}

type Args = (Arc<World>, Id);

impl<const TIDY: bool> Worker<TIDY> {
    async fn begin((world, id): Args, cx: &mut Context<Self>) -> Result<Self, ExitReason>
    where
        Self: Actor<Msg = Msg>,
    {
        let What::Worker { traps, stops } = world.scenario.node(id).what else {
            panic!("{id} is a worker")
        };
        if traps {
            cx.trap_exit(|_| Msg::Exit);
        }
        let how = world.begins(id);
        if how == Begin::Holds {
            world.hold().await;
        }
        begin(how)?;
        Ok(Worker { world, stops })
    }

    fn one(msg: Msg) -> Result<(), ExitReason> {
        match msg {
            Msg::End(reason) => Err(reason_of(reason)),
            Msg::Exit => Ok(()),
        }
    }
}

pub(crate) fn begin(how: Begin) -> Result<(), ExitReason> {
    match how {
        Begin::Well | Begin::Holds => Ok(()),
        Begin::Ignore => Err(ExitReason::Ignore),
        Begin::Fails(reason) => Err(reason_of(reason)),
    }
}

impl Actor for Worker<false> {
    type Args = Args;
    type Msg = Msg;

    async fn init(args: Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Self::begin(args, cx).await
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Self::one(msg)
    }
}

impl Actor for Worker<true> {
    type Args = Args;
    type Msg = Msg;

    async fn init(args: Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Self::begin(args, cx).await
    }

    async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Self::one(msg)
    }

    async fn terminate(&mut self, reason: &ExitReason, _cx: &mut Context<Self>) {
        match self.stops {
            _ if !matches!(reason, ExitReason::Shutdown) => {}
            Stops::Plainly => {}
            Stops::Crashes => panic!("{EXPECTED}"),
            Stops::Hangs => std::future::pending().await,
            Stops::Holds => self.world.hold().await,
        }
    }
}

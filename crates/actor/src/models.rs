//! Loom models of what processes do to each other: every interleaving, and every value a load may return, up to
//! a bound of preemptions that each model states.
//!
//! # What is real and what is played
//!
//! Real: cells and the table they lie in, inboxes, turns (`run`), handlers and their frames, signals, links,
//! monitors, calls, children, the end. Played: the scheduler. The threads of a model are its workers: each
//! runs what it has scheduled itself, and what the model gives it to begin with ([`World::race`]). So a process
//! comes to another thread by its inbox alone, as if there were no queue whose orderings could help.
//!
//! What only one thread at a time may touch is in cells that loom watches: cursor and rarely used part of a
//! process, the answer of a call, and something in each actor's state. A panic ends the model (`contain` contains
//! none here), whether it is loom's or an assertion's.
//!
//! # What each one asserts
//!
//! Its own properties, and at the end ([`World::over`]) that nothing is left: no process, no cell, no message
//! (they carry [`Token`]s), and nothing that would keep the runtime.
//!
//! Setting up, up to the race, is done by one thread, and so costs the model one run of it, no branching.

mod bound;
mod call;
mod exit;
mod inline;
mod link;
mod monitor;
mod prepared;
mod work;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use whitebeam_scheduler::{Model, Runnable};
use whitebeam_sync::shim::{
    self,
    cell::UnsafeCell,
    explore,
    thread::{self, JoinHandle},
};

use crate::{
    Actor, ActorRef, CallError, Context, Down, Exit, ExitReason, Handle, Reply, SpawnOptions,
    local::StandIn,
    shared::Shared,
    spawn::{self, Relation},
};

/// Counts what exists of something.
pub(crate) type Token = shim::Arc<()>;

/// Explores `f`, which leaves no process and no reference to one, with so many preemptions.
pub(crate) fn model(preemptions: usize, f: impl Fn(&Arc<World>) + Send + Sync + 'static) {
    explore(preemptions, move || {
        let world = World::new();
        let worker = world.worker();
        f(&world);
        world.model.run_all();
        drop(worker);
        world.over();
    });
}

/// A runtime whose workers are the model's threads.
pub(crate) struct World {
    shared: Arc<Shared>,
    pub(crate) model: Model,
}

impl World {
    fn new() -> Arc<Self> {
        let model = Model::new();
        let shared = Shared::new(crate::shared::Settings::default()).expect("a tag");
        shared.set_scheduler(model.handle().clone());
        Arc::new(World { shared, model })
    }

    /// Makes this thread a worker, until the guard is dropped.
    fn worker(&self) -> StandIn<'_> {
        StandIn::enter(&self.shared)
    }

    fn handle(&self) -> Handle {
        Handle::of(self.shared.nobody().ptr())
    }

    /// A process whose `init` was run.
    pub(crate) fn spawn(&self, saw: &Saw) -> ActorRef<Msg> {
        self.spawn_as::<Puppet>(saw.clone())
    }

    /// The same, with options.
    fn spawn_with(&self, saw: &Saw, options: SpawnOptions) -> ActorRef<Msg> {
        self.spawn_as_with::<Puppet>(saw.clone(), options)
    }

    fn spawn_as<A: Actor>(&self, args: A::Args) -> ActorRef<A::Msg> {
        self.spawn_as_with::<A>(args, SpawnOptions::new())
    }

    fn spawn_as_with<A: Actor>(&self, args: A::Args, options: SpawnOptions) -> ActorRef<A::Msg> {
        let how = Relation::Plain(None);
        match spawn::spawn::<A>(&self.shared, args, options, None, None, how) {
            Ok(spawned) => {
                self.model.run_all();
                ActorRef::from_cell(spawned.cell)
            }
            Err(_) => panic!("the table has room"),
        }
    }

    /// Sends a message to a process that is idle, and takes the right to run it.
    pub(crate) fn cast<M: Send + 'static>(&self, to: &ActorRef<M>, msg: M) -> Runnable {
        to.cast(msg).unwrap();
        self.model.take().expect("the process was idle")
    }

    /// Has it handled at once.
    pub(crate) fn tell<M: Send + 'static>(&self, to: &ActorRef<M>, msg: M) {
        to.cast(msg).unwrap();
        self.model.run_all();
    }

    /// Begins a thread of the model: a worker that runs what it has scheduled to its end.
    fn fork(self: &Arc<Self>, there: impl FnOnce(&World) + Send + 'static) -> JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || {
            let worker = world.worker();
            there(&world);
            world.model.run_all();
            drop(worker);
        })
    }

    /// Runs `here` on this thread and `there` on another, and on each what it schedules.
    pub(crate) fn race(
        self: &Arc<Self>,
        here: impl FnOnce(&World),
        there: impl FnOnce(&World) + Send + 'static,
    ) {
        let other = self.fork(there);
        here(self);
        self.model.run_all();
        other.join().unwrap();
        self.model.run_all();
    }

    /// Lets one process handle `here` on this thread, and another `there` on a second one.
    fn race_messages(self: &Arc<Self>, here: (&ActorRef<Msg>, Msg), there: (&ActorRef<Msg>, Msg)) {
        let [here, there] = [here, there].map(|(to, msg)| self.cast(to, msg));
        self.race(|world| world.model.run(here), move |world| world.model.run(there));
    }

    /// Ends these, if they have not, with what they are linked to.
    pub(crate) fn end(&self, all: &[&ActorRef<Msg>]) {
        for one in all {
            let _ = one.cast(Msg::Stop(broken()));
            self.model.run_all();
            assert!(!one.is_alive());
        }
    }

    /// All processes have ended, and all references are gone: nothing is left.
    fn over(self: Arc<Self>) {
        self.shared.stopped();
        let World { shared, model } = Arc::into_inner(self).expect("the threads have joined");
        let shared: Weak<Shared> = Arc::downgrade(&{ shared });
        assert!(shared.upgrade().is_none(), "a cell is left");
        drop(model);
    }
}

/// Something that came to a process.
#[derive(Debug)]
pub(crate) enum Seen {
    Down(Down),
    Exit(Exit),
    Note(Token),
    Answer(Result<Token, CallError>),
}

/// What a process saw, in order. Not a lock of loom's: a look at it is no step of the model.
pub(crate) type Saw = Arc<Mutex<Vec<Seen>>>;

pub(crate) fn saw() -> Saw {
    Saw::default()
}

type Done<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
type ActNow = Box<dyn FnOnce(&mut Context<Puppet>) + Send>;
type Act = Box<dyn for<'a> FnOnce(&'a Saw, &'a mut Context<Puppet>) -> Done<'a> + Send>;

/// What a puppet is sent.
pub(crate) enum Msg {
    /// To be done at once.
    Now(ActNow),
    /// To be done by a handler that may suspend.
    Later(Act),
    /// To be written down.
    See(Seen),
    /// To be answered.
    Ask(Token, Reply<Token>),
    /// To be ended with.
    Stop(ExitReason),
}

/// Does what it is told, and writes down what comes to it.
pub(crate) struct Puppet {
    saw: Saw,
    /// Touched in each handler and in the end, so that loom sees two owners at once.
    own: UnsafeCell<()>,
}

impl Actor for Puppet {
    type Args = Saw;
    type Msg = Msg;

    async fn init(saw: Saw, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Puppet { saw, own: UnsafeCell::new(()) })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.touch();
        match msg {
            Msg::Now(act) => act(cx),
            Msg::Later(act) => act(&self.saw, cx).await,
            Msg::See(seen) => self.saw.lock().push(seen),
            Msg::Ask(token, reply) => reply.send(token),
            Msg::Stop(reason) => return Err(reason),
        }
        self.touch();
        Ok(())
    }
}

impl Puppet {
    fn touch(&self) {
        self.own.with_mut(|_| ());
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.touch();
    }
}

/// A message that does something.
fn now(act: impl FnOnce(&mut Context<Puppet>) + Send + 'static) -> Msg {
    Msg::Now(Box::new(act))
}

/// A reason that needs memory, and so a part of the cell that others read.
fn broken() -> ExitReason {
    ExitReason::custom("broken")
}

fn is_broken(reason: &ExitReason) -> bool {
    reason.is::<&str>()
}

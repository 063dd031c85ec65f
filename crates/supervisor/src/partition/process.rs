//! The process behind a partition supervisor: one_for_one over a fixed set of children.
//!
//! # Start
//! 1. `init` starts all children and is done: each child's own `init` runs in it.
//! 2. Each child's outcome comes as a message. The first failure ends the supervisor, which stops the
//!    others; who started it is told the reason when it is gone, since the reply goes with its state. A child's end
//!    may come before its outcome, and waits for it: a nested supervisor's process has started before its
//!    children have, and only the outcome knows the cause of their failure.
//! 3. When the last has started, who started the supervisor is told.
//!
//! No handler is suspended, so that a shutdown acts also while children are starting.
//!
//! # Resize
//! See `resize.rs`.
//!
//! # Stop
//! All children are told at once, each in its own way. Those with equal shutdown times have one timer.

use std::{any::Any, sync::Arc};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ChildDown, ChildKey, Context, ExitReason, Reply, StartError, StartInfo, TimerRef,
};
use whitebeam_sync::shim::atomic::{AtomicUsize, Ordering};

use super::resize::Resizes;
use crate::{
    ChildCounts, ChildEntry, ChildFailed, ChildKind, ChildState, Intensity, ResizeError,
    child::{Launched, Parent, Spec},
    guard,
    intensity::History,
    stop_all::stop_all,
    tree::Looked,
};

/// What a partition supervisor supervises. Shared by its incarnations: the children's slots are in it.
pub(crate) struct Tree {
    /// By index. Locked while a child is launched, by the one incarnation that lives.
    pub(super) children: Mutex<Vec<Spec>>,
    pub(super) intensity: Intensity,
    pub(super) in_use: Arc<InUse>,
    /// The [`Table`](super::handle::Table) that callers look up, for those who find the supervisor by name.
    pub(super) table: Arc<dyn Any + Send + Sync>,
}

/// How many of the partitions, from the first on, keys are led to. Written by the supervisor only.
#[derive(Default)]
pub(crate) struct InUse(AtomicUsize);

impl InUse {
    pub(super) fn set(&self, partitions: usize) {
        // Who must see it hears of it by a message, which orders it.
        self.0.store(partitions, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the supervisor is asked and told.
pub(crate) enum Event {
    /// How the first start of the child of this index came out.
    Started(usize, Result<(), StartError>),
    Resize(usize, Reply<Result<usize, ResizeError>>),
    /// The child of this index was told to end and has had its time.
    TimeOver(usize, ChildKey),
    WhichChildren(Reply<Vec<ChildEntry>>),
    CountChildren(Reply<ChildCounts>),
    /// For a handle that was found.
    Table(Reply<Arc<dyn Any + Send + Sync>>),
    /// Somebody makes a picture of the tree: the first so many workers, and all supervisors.
    Look(usize, Reply<Looked>),
    /// A stranger's exit signal.
    Exit,
}

/// The supervisor's state.
pub(crate) struct Partitioned {
    pub(super) tree: Arc<Tree>,
    /// The index of the child at each [`ChildKey::index`].
    pub(super) index_of: Vec<usize>,
    /// By index.
    pub(super) children: Vec<Partition>,
    restarts: History,
    /// Children whose first start is under way, when the supervisor starts.
    pub(super) starting: usize,
    /// Who waits for them.
    ack: Option<Reply<()>>,
    pub(super) resizes: Resizes,
}

/// A child, as this incarnation of the supervisor knows it.
#[derive(Default)]
pub(super) struct Partition {
    pub(super) key: Option<ChildKey>,
    /// Its starts so far.
    pub(super) attempt: u32,
    pub(super) phase: Phase,
    /// Its end, which has come before the outcome of its first start.
    ended: Option<ChildDown>,
    /// Kills it, when it is being stopped.
    pub(super) timer: Option<TimerRef>,
}

/// What is known of a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is not to run.
    #[default]
    Out,
    /// Its first start is under way.
    Starting,
    /// It has started, and is restarted as its spec says.
    Up,
    /// Its first start has failed; its end is to come.
    Failed,
    /// It was told to end, by a resize.
    Stopping,
}

impl Actor for Partitioned {
    type Args = (Arc<Tree>, Option<Reply<()>>);
    type Msg = Event;

    async fn init((tree, ack): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(Self::child_down);
        cx.name_children(Self::name_of);
        cx.trap_exit(|_| Event::Exit);
        let count = tree.children.lock().len();
        tree.in_use.set(count);
        let mut this = Partitioned {
            index_of: Vec::with_capacity(count),
            children: std::iter::repeat_with(Partition::default).take(count).collect(),
            restarts: History::new(tree.intensity),
            starting: count,
            ack,
            resizes: Resizes::default(),
            tree,
        };
        for index in 0..count {
            this.begin(index, cx);
        }
        Ok(this)
    }

    async fn handle(&mut self, event: Event, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match event {
            Event::Look(workers, reply) => reply.send(self.look(workers, cx)),
            Event::Started(index, outcome) => self.started(index, outcome, cx)?,
            Event::Resize(to, reply) => {
                self.resizes.push(to, reply);
                self.next_resize(cx);
            }
            Event::TimeOver(index, key) => {
                let partition = &self.children[index];
                if partition.key == Some(key)
                    && partition.phase == Phase::Stopping
                    && let Some(pid) = cx.child_pid(key)
                {
                    cx.exit(pid, ExitReason::Kill);
                }
            }
            Event::WhichChildren(reply) => reply.send(self.which_children(cx)),
            Event::CountChildren(reply) => reply.send(self.count_children(cx)),
            Event::Table(reply) => reply.send(self.tree.table.clone()),
            Event::Exit => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        let mut ways = Vec::with_capacity(self.children.len());
        for (child, spec) in self.children.iter().zip(self.tree.children.lock().iter()) {
            ways.extend(child.key.map(|key| (key, spec.shutdown)));
        }
        stop_all(ways, cx).await;
    }
}

impl Partitioned {
    /// Begins the first start of a child, whose outcome comes as a message.
    pub(super) fn begin(&mut self, index: usize, cx: &mut Context<Self>) {
        self.children[index] = Partition { phase: Phase::Starting, ..Partition::default() };
        let launched = self.launch(index, None, cx);
        let me = cx.me();
        cx.runtime()
            .spawn_task(async move {
                let outcome = match launched {
                    Ok(launched) => launched.ready.await,
                    Err(panic) => Err(StartError::Exit(panic)),
                };
                // Refused by a supervisor that has ended meanwhile, and told its starter so.
                let _ = me.cast(Event::Started(index, outcome));
            })
            .detach();
    }

    /// Starts the next incarnation of a child. The error is a panic in the user's code that makes its
    /// arguments.
    fn launch(
        &mut self,
        index: usize,
        last_exit: Option<ExitReason>,
        cx: &mut Context<Self>,
    ) -> Result<Launched, ExitReason> {
        let attempt = self.children[index].attempt.saturating_add(1);
        let info = last_exit.map(|last_exit| {
            let mut info = StartInfo::first();
            info.attempt = attempt;
            info.last_exit = Some(last_exit);
            info
        });
        let mut children = self.tree.children.lock();
        let spec = &mut children[index];
        let options = spec.options.clone();
        let launched = guard::call(|| spec.launch.launch(Parent::Partitions(cx), options, info))?;
        drop(children);
        let child = &mut self.children[index];
        (child.key, child.attempt) = (launched.key, attempt);
        if let Some(key) = launched.key {
            if key.index() >= self.index_of.len() {
                self.index_of.resize(key.index() + 1, index);
            }
            self.index_of[key.index()] = index;
        }
        Ok(launched)
    }

    /// The outcome of a first start has come.
    fn started(
        &mut self,
        index: usize,
        outcome: Result<(), StartError>,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let ended = self.children[index].ended.take();
        self.children[index].phase = Phase::Up;
        let failed = match outcome {
            Ok(()) => None,
            // Kept without a process.
            Err(StartError::Ignore) => {
                self.gone(index);
                None
            }
            Err(error) => {
                let id = self.tree.children.lock()[index].id.clone();
                Some(ChildFailed { partition: index, id, error })
            }
        };
        if self.starting > 0 {
            if let Some(failed) = failed {
                return Err(failed.into());
            }
            self.starting -= 1;
            if self.starting == 0
                && let Some(ack) = self.ack.take()
            {
                ack.send(());
            }
        } else {
            if failed.is_some() {
                let has_process = self.children[index].key.is_some();
                self.children[index].phase = if has_process { Phase::Failed } else { Phase::Out };
                self.gone(index);
            }
            self.resized(failed, cx);
        }
        if let Some(down) = ended
            && self.children[index].phase == Phase::Up
        {
            self.ended(index, down, cx);
        }
        self.next_resize(cx);
        Ok(())
    }

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let Some(&index) = self.index_of.get(down.key.index()) else { return };
        let child = &mut self.children[index];
        if child.key != Some(down.key) {
            return;
        }
        child.key = None;
        match child.phase {
            Phase::Starting => child.ended = Some(down),
            Phase::Up => self.ended(index, down, cx),
            Phase::Failed => child.phase = Phase::Out,
            Phase::Stopping => {
                if let Some(timer) = child.timer.take() {
                    cx.cancel(timer);
                }
                self.out(index);
                self.resized(None, cx);
                self.next_resize(cx);
            }
            Phase::Out => {}
        }
    }

    /// A child has ended whose first start is over.
    fn ended(&mut self, index: usize, down: ChildDown, cx: &mut Context<Self>) {
        let attempt = self.children[index].attempt;
        let restart = self.tree.children.lock()[index].restart;
        if !restart.applies(attempt, &down) {
            return self.gone(index);
        }
        if !self.restarts.allows(cx.runtime().uptime()) {
            return cx.stop(ExitReason::Shutdown);
        }
        match self.launch(index, Some(down.reason), cx) {
            Ok(Launched { key: Some(_), .. }) => {}
            // The runtime is shutting down, its process table is full, or the name was taken.
            Ok(_) => cx.stop(ExitReason::Shutdown),
            // A child that cannot be restarted is for the supervisor above to see to.
            Err(panic) => cx.stop(panic),
        }
    }

    /// A child is not to run any more.
    pub(super) fn out(&mut self, index: usize) {
        self.children[index].phase = Phase::Out;
        self.gone(index);
    }

    /// A child's address leads to nobody.
    fn gone(&self, index: usize) {
        self.tree.children.lock()[index].launch.gone();
    }

    fn which_children(&self, cx: &Context<Self>) -> Vec<ChildEntry> {
        let specs = self.tree.children.lock();
        let describe = |(index, (spec, child)): (usize, (&Spec, &Partition))| ChildEntry {
            id: index.into(),
            state: child.state(cx),
            kind: spec.kind,
            actor: spec.launch.actor(),
        };
        specs.iter().zip(&self.children).enumerate().map(describe).collect()
    }

    fn count_children(&self, cx: &Context<Self>) -> ChildCounts {
        let rt = cx.runtime();
        let mut counts = ChildCounts::default();
        for (spec, child) in self.tree.children.lock().iter().zip(&self.children) {
            counts.specs += 1;
            counts.active += usize::from(child.state(cx).pid().is_some_and(|pid| rt.is_alive(pid)));
            match spec.kind {
                ChildKind::Worker => counts.workers += 1,
                ChildKind::Supervisor => counts.supervisors += 1,
            }
        }
        counts
    }
}

impl Partition {
    fn state(&self, cx: &Context<Partitioned>) -> ChildState {
        match self.key.and_then(|key| Some((key, cx.child_pid(key)?))) {
            Some((key, _)) if self.attempt > 1 && cx.is_child_starting(key) => {
                ChildState::Restarting
            }
            Some((_, pid)) => ChildState::Running(pid),
            None => ChildState::Stopped,
        }
    }
}

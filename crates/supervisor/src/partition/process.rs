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
//! # Restart
//! Has an outcome as well. One that has failed counts, and is tried again, when its process is gone, if it had one.
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
    ChildCounts, ChildEntry, ChildFailed, Intensity, ResizeError,
    child::{Launched, Parent, Spec},
    guard,
    intensity::History,
    stop_all::stop_all,
    tree::{self, Looked},
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
    /// How the start of this number, of the child of this index, came out.
    Started(usize, u64, Result<(), StartError>),
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
    /// Starts so far, of all children.
    runs: u64,
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
    /// The number of its last start; no two have the same.
    run: u64,
    pub(super) phase: Phase,
    /// Its end, which has come before the outcome of its start.
    ended: Option<ExitReason>,
    /// Why its restart has failed, when its end is to come: then it is tried again.
    pub(super) again: Option<ExitReason>,
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
    /// It is being started again.
    Restarting,
    /// Its start has failed; its end is to come.
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
            runs: 0,
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
            Event::Look(workers, reply) => tree::tell(reply, || self.look(workers, cx)),
            Event::Started(index, run, outcome) => self.started(index, run, outcome, cx)?,
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
    /// Begins the first start of a child.
    pub(super) fn begin(&mut self, index: usize, cx: &mut Context<Self>) {
        self.children[index] = Partition { phase: Phase::Starting, ..Partition::default() };
        self.launch(index, None, cx);
    }

    /// Starts the next incarnation of a child. The outcome comes as a message.
    fn launch(&mut self, index: usize, last_exit: Option<ExitReason>, cx: &mut Context<Self>) {
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
        // Arguments are made by the user's code: its panic is a failed start.
        let launched = guard::call(|| spec.launch.launch(Parent::Partitions(cx), options, info))
            .unwrap_or_else(|panic| Launched::refused(StartError::Exit(panic)));
        drop(children);
        self.runs += 1;
        let (run, child) = (self.runs, &mut self.children[index]);
        (child.key, child.attempt, child.run) = (launched.key, attempt, run);
        if let Some(key) = launched.key {
            if key.index() >= self.index_of.len() {
                self.index_of.resize(key.index() + 1, index);
            }
            self.index_of[key.index()] = index;
        }
        cx.pipe(launched.ready, move |outcome| Event::Started(index, run, outcome));
    }

    /// The outcome of a start has come.
    fn started(
        &mut self,
        index: usize,
        run: u64,
        outcome: Result<(), StartError>,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let child = &mut self.children[index];
        if child.run == run {
            match child.phase {
                Phase::Starting => self.first_started(index, outcome, cx)?,
                Phase::Restarting => self.restarted(index, outcome, cx),
                Phase::Out | Phase::Up | Phase::Failed | Phase::Stopping => {}
            }
        }
        Ok(())
    }

    fn first_started(
        &mut self,
        index: usize,
        outcome: Result<(), StartError>,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let failed = match outcome {
            Ok(()) => {
                self.up(index, cx);
                None
            }
            // Kept without a process.
            Err(StartError::Ignore) => {
                self.out(index);
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
                self.out(index);
                if self.children[index].key.is_some() {
                    self.children[index].phase = Phase::Failed;
                }
            }
            self.resized(failed, cx);
        }
        self.next_resize(cx);
        Ok(())
    }

    /// The outcome of a restart.
    fn restarted(&mut self, index: usize, outcome: Result<(), StartError>, cx: &mut Context<Self>) {
        let reason = match outcome {
            Ok(()) => return self.up(index, cx),
            Err(StartError::Ignore) => return self.out(index),
            Err(StartError::Exit(reason)) if reason.is_normal() => return self.out(index),
            Err(StartError::Exit(reason)) => reason,
            // The runtime is shutting down, its process table is full, or the name was taken.
            Err(error) => error.into(),
        };
        let child = &mut self.children[index];
        if child.key.is_some() {
            (child.phase, child.again) = (Phase::Failed, Some(reason));
        } else {
            self.restart(index, reason, cx);
        }
    }

    /// A child has started. It may have ended already.
    fn up(&mut self, index: usize, cx: &mut Context<Self>) {
        self.children[index].phase = Phase::Up;
        if let Some(reason) = self.children[index].ended.take() {
            self.ended(index, reason, cx);
        }
    }

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let Some(&index) = self.index_of.get(down.key.index()) else { return };
        let child = &mut self.children[index];
        if child.key != Some(down.key) {
            return;
        }
        child.key = None;
        match child.phase {
            Phase::Starting | Phase::Restarting => child.ended = Some(down.reason),
            Phase::Up => self.ended(index, down.reason, cx),
            Phase::Failed => match child.again.take() {
                Some(reason) => self.restart(index, reason, cx),
                None => child.phase = Phase::Out,
            },
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

    /// A child has ended that had started.
    fn ended(&mut self, index: usize, reason: ExitReason, cx: &mut Context<Self>) {
        let restart = self.tree.children.lock()[index].restart;
        if restart.wants(&reason) { self.restart(index, reason, cx) } else { self.out(index) }
    }

    fn restart(&mut self, index: usize, last_exit: ExitReason, cx: &mut Context<Self>) {
        // A runtime that shuts down makes no process any more.
        if cx.is_shutting_down() || !self.restarts.allows(cx.runtime().uptime()) {
            return cx.stop(ExitReason::Shutdown);
        }
        (self.children[index].phase, self.children[index].ended) = (Phase::Restarting, None);
        self.launch(index, Some(last_exit), cx);
    }

    /// A child is not to run any more.
    pub(super) fn out(&mut self, index: usize) {
        self.children[index].phase = Phase::Out;
        // Its address leads to nobody.
        self.tree.children.lock()[index].launch.gone();
    }
}

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
//! # Stop
//! All children are told at once. Those with equal shutdown times have one timer; if all have the same,
//! as a rule, the runtime's own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ChildDown, ChildKey, Context, ExitReason, Pid, Reply, StartError, StartInfo, Stop, Task,
};

use crate::{
    ChildFailed, Intensity, Shutdown,
    child::{Launched, Parent, Spec},
    guard,
    intensity::History,
};

/// What a partition supervisor supervises. Shared by its incarnations: the children's slots are in it.
pub(crate) struct Tree {
    /// By index. Locked while a child is launched, by the one incarnation that lives.
    pub(super) children: Mutex<Vec<Spec>>,
    pub(super) intensity: Intensity,
}

/// What the supervisor is told.
pub(crate) enum Event {
    /// The child of this index has started, or not.
    Started(usize, Result<(), StartError>),
    /// A stranger's exit signal.
    Exit,
}

/// The supervisor's state.
pub(crate) struct Partitioned {
    tree: Arc<Tree>,
    /// The index of the child at each [`ChildKey::index`].
    index_of: Vec<usize>,
    /// By index.
    children: Vec<Running>,
    restarts: History,
    /// Children whose first start is under way.
    starting: usize,
    /// Who waits for them.
    ack: Option<Reply<()>>,
}

#[derive(Clone, Default)]
struct Running {
    key: Option<ChildKey>,
    /// Its starts so far.
    attempt: u32,
    /// The outcome of its first start has come.
    has_started: bool,
    /// Its end, which has come before that.
    ended: Option<ChildDown>,
}

impl Actor for Partitioned {
    type Args = (Arc<Tree>, Option<Reply<()>>);
    type Msg = Event;

    async fn init((tree, ack): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(Self::child_down);
        cx.trap_exit(|_| Event::Exit);
        let count = tree.children.lock().len();
        let mut this = Partitioned {
            index_of: Vec::with_capacity(count),
            children: vec![Running::default(); count],
            restarts: History::new(tree.intensity),
            starting: count,
            ack,
            tree,
        };
        for index in 0..count {
            let launched = this.launch(index, None, cx);
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
        Ok(this)
    }

    async fn handle(&mut self, event: Event, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let Event::Started(index, outcome) = event else { return Ok(()) };
        self.children[index].has_started = true;
        let ended = self.children[index].ended.take();
        match outcome {
            Ok(()) => {}
            // Kept without a process.
            Err(StartError::Ignore) => self.tree.children.lock()[index].launch.gone(),
            Err(error) => {
                let id = self.tree.children.lock()[index].id.clone();
                return Err(ChildFailed { partition: index, id, error }.into());
            }
        }
        self.starting -= 1;
        if self.starting == 0
            && let Some(ack) = self.ack.take()
        {
            ack.send(());
        }
        if let Some(down) = ended {
            self.ended(index, down, cx);
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        let shutdowns: Vec<Shutdown> =
            self.tree.children.lock().iter().map(|child| child.shutdown).collect();
        match shutdowns.split_first() {
            Some((first, rest)) if rest.iter().any(|shutdown| shutdown != first) => {
                let _timers = self.tell_mixed(&shutdowns, cx);
                let _ = cx.stop_children(Stop::Infinity).await;
            }
            Some((shutdown, _)) => {
                let _ = cx.stop_children((*shutdown).into()).await;
            }
            None => {}
        }
    }
}

impl Partitioned {
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

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let Some(&index) = self.index_of.get(down.key.index()) else { return };
        let child = &mut self.children[index];
        child.key = None;
        if child.has_started {
            self.ended(index, down, cx);
        } else {
            child.ended = Some(down);
        }
    }

    /// A child has ended whose first start is over.
    fn ended(&mut self, index: usize, down: ChildDown, cx: &mut Context<Self>) {
        let attempt = self.children[index].attempt;
        let restart = self.tree.children.lock()[index].restart;
        if !restart.applies(attempt, &down) {
            return self.tree.children.lock()[index].launch.gone();
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

    /// Tells each child to end in its own way. The timers kill, until they are dropped.
    fn tell_mixed(&self, shutdowns: &[Shutdown], cx: &mut Context<Self>) -> Vec<Task<()>> {
        let mut groups: BTreeMap<Duration, Vec<Pid>> = BTreeMap::new();
        for (child, shutdown) in self.children.iter().zip(shutdowns) {
            let Some(pid) = child.key.and_then(|key| cx.child_pid(key)) else { continue };
            cx.exit(pid, shutdown.signal());
            if let Shutdown::After(time) = shutdown {
                groups.entry(*time).or_default().push(pid);
            }
        }
        let rt = cx.runtime();
        let kill = |(time, group): (Duration, Vec<Pid>)| {
            let handle = rt.clone();
            rt.spawn_task(async move {
                handle.sleep(time).await;
                for pid in group {
                    handle.exit(pid, ExitReason::Kill);
                }
            })
        };
        groups.into_iter().map(kill).collect()
    }
}

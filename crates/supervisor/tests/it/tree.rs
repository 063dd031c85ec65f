//! What the tests of static supervisors are made of: children that are numbered from 1 in the order of their starts.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use whitebeam_actor::{ActorRef, ChildRef, ExitReason, Handle, Pid, StartInfo, Target};
use whitebeam_supervisor::{Child, ChildCounts, ChildEntry, ChildState, Supervisor, SupervisorRef};
pub(crate) use whitebeam_testkit::everywhere;

use crate::support::{Event, Log, Msg, Plain, Setup, Tidy};

/// A permanent child with the id `id`.
pub(crate) fn child(id: u64, log: &Log) -> Child<ChildRef<Msg>> {
    child_of(Setup::new(id, log))
}

pub(crate) fn child_of(setup: Setup) -> Child<ChildRef<Msg>> {
    Child::new::<Plain>(setup.id as usize, setup)
}

/// A child that says in the log when its `terminate` runs.
pub(crate) fn tidy(id: u64, log: &Log) -> Child<ChildRef<Msg>> {
    Child::new::<Tidy>(id as usize, Setup::new(id, log))
}

/// Adds the children 1 to `n`, permanent ones.
pub(crate) fn with_children(
    mut tree: Supervisor,
    n: u64,
    log: &Log,
) -> (Supervisor, Vec<ChildRef<Msg>>) {
    let children = (1..=n).map(|id| tree.child_with(child(id, log))).collect();
    (tree, children)
}

/// What the starts of a child are to come to, one after the other; those after the last are good.
#[derive(Clone, Default)]
pub(crate) struct Starts(Arc<Mutex<Vec<Come>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Come {
    Good,
    Ignored,
    Failed,
}

impl Starts {
    pub(crate) fn new(starts: impl IntoIterator<Item = Come>) -> Self {
        let mut starts: Vec<Come> = starts.into_iter().collect();
        starts.reverse();
        Starts(Arc::new(Mutex::new(starts)))
    }

    /// The next starts.
    pub(crate) fn then(&self, starts: impl IntoIterator<Item = Come>) {
        *self.0.lock() = Starts::new(starts).0.lock().clone();
    }

    /// For [`Setup::init`].
    pub(crate) fn come(
        &self,
    ) -> impl Fn(StartInfo) -> BoxFuture<'static, Result<(), ExitReason>> + Send + Sync + 'static
    {
        let this = self.clone();
        move |_| {
            let come = this.0.lock().pop().unwrap_or(Come::Good);
            Box::pin(async move {
                match come {
                    Come::Good => Ok(()),
                    Come::Ignored => Err(ExitReason::Ignore),
                    Come::Failed => Err(ExitReason::custom("as planned")),
                }
            })
        }
    }
}

/// Looks at the children again and again until they are so.
pub(crate) async fn until(
    rt: &Handle,
    root: &SupervisorRef,
    is_so: impl Fn(&[ChildEntry]) -> bool,
) -> Vec<ChildEntry> {
    loop {
        let children = root.which_children().await.unwrap();
        if is_so(&children) {
            return children;
        }
        rt.sleep(Duration::from_millis(1)).await;
    }
}

/// The pid of the child of this id, if it runs.
pub(crate) fn pid_in(children: &[ChildEntry], id: u64) -> Option<Pid> {
    state_in(children, id)?.pid()
}

pub(crate) fn state_in(children: &[ChildEntry], id: u64) -> Option<ChildState> {
    children.iter().find(|entry| entry.id == (id as usize).into()).map(|entry| entry.state)
}

/// The ids in the order of the list.
pub(crate) fn ids(children: &[ChildEntry]) -> Vec<String> {
    children.iter().map(|entry| entry.id.to_string()).collect()
}

/// Waits until a child runs as another process than `old`, and gives that.
pub(crate) async fn renewed(rt: &Handle, root: &SupervisorRef, id: u64, old: Pid) -> Pid {
    let is_new = |pid: Pid| pid != old && rt.is_alive(pid);
    let children = until(rt, root, |children| pid_in(children, id).is_some_and(is_new)).await;
    pid_in(&children, id).unwrap()
}

/// Waits until a child is in this state.
pub(crate) async fn until_state(rt: &Handle, root: &SupervisorRef, id: u64, state: ChildState) {
    until(rt, root, |children| state_in(children, id) == Some(state)).await;
}

/// Waits until there is no child of this id any more.
pub(crate) async fn until_dropped(rt: &Handle, root: &SupervisorRef, id: u64) {
    until(rt, root, |children| state_in(children, id).is_none()).await;
}

/// Specs, active, supervisors, workers.
pub(crate) async fn counts(root: &SupervisorRef) -> (usize, usize, usize, usize) {
    let ChildCounts { specs, active, supervisors, workers, .. } =
        root.count_children().await.unwrap();
    (specs, active, supervisors, workers)
}

pub(crate) fn current(child: &ChildRef<Msg>) -> ActorRef<Msg> {
    child.current().expect("it runs")
}

pub(crate) fn pid(target: impl Target) -> Pid {
    target.target().expect("it runs")
}

/// How often a child was started.
pub(crate) fn starts(log: &Log, id: u64) -> usize {
    log.count(|event| matches!(event, Event::Init(other, _) if other == id))
}

/// What happened of these kinds, in order.
pub(crate) fn inits_and_ends(log: &Log) -> Vec<(char, u64)> {
    let note = |event: &Event| match *event {
        Event::Init(id, _) => Some(('+', id)),
        Event::Dropped(id) => Some(('-', id)),
        _ => None,
    };
    log.all().iter().filter_map(note).collect()
}

/// Long enough for anything that is not to come.
pub(crate) async fn quiet(rt: &Handle) {
    rt.sleep(Duration::from_millis(150)).await;
}

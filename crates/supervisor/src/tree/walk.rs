//! How the supervisors of a tree are asked: each as soon as the one above it has named it, within one time for all.
//!
//! Answers are taken as they come, so one that does not answer holds no other up. What is below it is not known.

use std::{
    fmt,
    future::{Future, IntoFuture, poll_fn},
    pin::{Pin, pin},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use whitebeam_actor::{Answered, Handle, Info, Pid, SendFailure, Status};

use super::{
    Asked, Looked, LookedChild, NodeCounts, NodeKind, NodeState, StopTime, SupervisionNode,
    SupervisionTree,
};
use crate::{Shutdown, task::wakes::Wakes};

/// A look at a tree of supervisors that is to be awaited: [`SupervisorRef::tree`](crate::SupervisorRef::tree).
///
/// Ready at the latest when its time is over, whatever becomes of the supervisors.
#[must_use = "nobody is asked until it is awaited"]
pub struct TreeWalk {
    root: Box<dyn Asked>,
    /// `None`: the root does not run.
    handle: Option<Handle>,
    actor: &'static str,
    children: usize,
    within: Duration,
}

impl TreeWalk {
    /// Children of one supervisor that are listed unless said.
    pub const CHILDREN: usize = 20;
    /// Time for the answers unless said.
    pub const WITHIN: Duration = Duration::from_secs(1);

    pub(crate) fn new(
        root: impl Asked + 'static,
        handle: Option<Handle>,
        actor: &'static str,
    ) -> Self {
        let (children, within) = (Self::CHILDREN, Self::WITHIN);
        TreeWalk { root: Box::new(root), handle, actor, children, within }
    }

    /// Lists the first `most` children of each supervisor; those behind them are counted.
    /// [`CHILDREN`](Self::CHILDREN) unless said.
    pub fn children(mut self, most: usize) -> Self {
        self.children = most;
        self
    }

    /// Waits for answers for so long, in all; [`WITHIN`](Self::WITHIN) unless said.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }
}

impl IntoFuture for TreeWalk {
    type Output = SupervisionTree;
    type IntoFuture = Pin<Box<dyn Future<Output = SupervisionTree> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(walk(self))
    }
}

impl fmt::Debug for TreeWalk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeWalk")
            .field("children", &self.children)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

/// A node whose children are known to be others of the list.
struct Found {
    node: SupervisionNode,
    /// Where its supervisor is in the list.
    parent: Option<usize>,
}

async fn walk(walk: TreeWalk) -> SupervisionTree {
    let TreeWalk { root, handle, actor, children, within } = walk;
    let pid = root.pid();
    let info = pid.zip(handle.as_ref()).and_then(|(pid, handle)| handle.info(pid));
    let mut node = SupervisionNode::empty(actor);
    node.state = if pid.is_some() { NodeState::Running } else { NodeState::Stopped };
    node.look_at(pid, info.as_ref());
    node.restarts = info.as_ref().map_or(0, |info| info.restarts);
    let mut found = vec![Found { node, parent: None }];
    match handle {
        Some(handle) => ask_all(root, &handle, children, within, &mut found).await,
        None => {
            if let Err(SendFailure::Restarting) = root.look(0) {
                found[0].node.state = NodeState::Restarting;
            }
        }
    }
    SupervisionTree { root: grow(found, children) }
}

/// Questions that are out.
struct Questions {
    /// What each is about, a place in the list of those found; `None`: it is answered.
    answers: Vec<Option<(usize, Answered<Looked>)>>,
    /// How many are not answered.
    open: usize,
    /// Those from here on were not polled yet.
    fresh: usize,
    wakes: Wakes,
}

async fn ask_all(
    root: Box<dyn Asked>,
    handle: &Handle,
    children: usize,
    within: Duration,
    found: &mut Vec<Found>,
) {
    let mut over = pin!(handle.sleep(within));
    let mut out = Questions { answers: Vec::new(), open: 0, fresh: 0, wakes: Wakes::new() };
    let mut named = vec![(0, root)];
    poll_fn(|cx| {
        let mut due = out.wakes.take(cx);
        loop {
            out.ask(&mut named, children, found);
            due.extend(out.fresh..out.answers.len());
            out.fresh = out.answers.len();
            if due.is_empty() {
                break;
            }
            for number in due.drain(..) {
                if let Some((place, looked)) = out.poll(number) {
                    take_in(looked, place, handle, found, &mut named);
                }
            }
        }
        match out.open {
            0 => Poll::Ready(()),
            _ => over.as_mut().poll(cx),
        }
    })
    .await;
    // Those that came as the time was over. Whom they name is not asked: that would be for nobody.
    for (place, answer) in out.answers.into_iter().flatten() {
        if let Ok(Ok(looked)) = answer.take_ready() {
            take_in(looked, place, handle, found, &mut named);
        }
    }
}

impl Questions {
    fn ask(&mut self, named: &mut Vec<(usize, Box<dyn Asked>)>, children: usize, found: &[Found]) {
        for (place, address) in named.drain(..) {
            // One that is ending answers nothing any more.
            if found[place].node.state != NodeState::Stopping
                && let Ok(answer) = address.look(children)
            {
                self.answers.push(Some((place, answer)));
                self.open += 1;
            }
        }
    }

    /// The answer of this number, if it has come.
    fn poll(&mut self, number: usize) -> Option<(usize, Looked)> {
        let (place, answer) = self.answers[number].as_mut()?;
        let mut cx = TaskContext::from_waker(self.wakes.waker(number));
        let Poll::Ready(looked) = Pin::new(answer).poll(&mut cx) else { return None };
        let place = *place;
        self.answers[number] = None;
        self.open -= 1;
        Some((place, looked.ok()?))
    }
}

/// What a supervisor has answered.
fn take_in(
    looked: Looked,
    place: usize,
    handle: &Handle,
    found: &mut Vec<Found>,
    next: &mut Vec<(usize, Box<dyn Asked>)>,
) {
    let node = &mut found[place].node;
    node.answered = true;
    node.kind = looked.kind;
    if looked.is_starting && node.state == NodeState::Running {
        node.state = NodeState::Starting;
    }
    node.more = looked.more;
    node.more_stop_within = looked.more_stop_within;
    node.below.workers += looked.more;
    node.below.active += looked.more_active;
    for child in looked.children {
        let LookedChild { id, pid, restarts, address, .. } = child;
        let info = pid.and_then(|pid| handle.info(pid));
        let mut node = SupervisionNode::empty(child.actor);
        node.id = id;
        node.kind = if child.is_supervisor { NodeKind::Supervisor } else { NodeKind::Worker };
        (node.restart, node.shutdown) = (Some(child.restart), Some(child.shutdown));
        node.significant = child.significant;
        node.state = child.state;
        node.look_at(pid, info.as_ref());
        let seen = info.as_ref().map_or(0, |info| info.restarts);
        node.restarts = restarts.unwrap_or(seen);
        next.extend(address.filter(|_| pid.is_some()).map(|address| (found.len(), address)));
        found.push(Found { node, parent: Some(place) });
    }
}

impl SupervisionNode {
    fn empty(actor: &'static str) -> Self {
        SupervisionNode {
            id: None,
            pid: None,
            name: None,
            label: None,
            actor,
            kind: NodeKind::Supervisor,
            restart: None,
            shutdown: None,
            significant: false,
            state: NodeState::Stopped,
            restarts: 0,
            mailbox_len: 0,
            message: None,
            in_hand_for: None,
            answered: false,
            children: Vec::new(),
            more: 0,
            below: NodeCounts::default(),
            stops_within: StopTime::ZERO,
            children_stop_within: StopTime::ZERO,
            more_stop_within: StopTime::ZERO,
            more_warnings: Vec::new(),
        }
    }

    /// Takes over what can be seen of its process from outside. `None`: it has ended, or there is none.
    fn look_at(&mut self, pid: Option<Pid>, info: Option<&Info>) {
        self.pid = pid;
        let Some(info) = info else { return };
        self.name.clone_from(&info.name);
        self.label.clone_from(&info.label);
        self.mailbox_len = info.mailbox_len;
        self.message = info.message;
        self.in_hand_for = info.in_hand_for;
        match info.status {
            Status::Ending => self.state = NodeState::Stopping,
            Status::Starting if self.state == NodeState::Running => {
                self.state = NodeState::Starting;
            }
            _ => {}
        }
    }

    fn add_up(&mut self, child: &SupervisionNode) {
        match child.kind.is_supervisor() {
            true => self.below.supervisors += 1,
            false => self.below.workers += 1,
        }
        self.below.active += usize::from(child.pid.is_some());
        self.below.supervisors += child.below.supervisors;
        self.below.workers += child.below.workers;
        self.below.active += child.below.active;
    }

    /// Fixes the times, when those of its children are known.
    fn fix_times(&mut self) {
        self.children_stop_within = match self.kind.is_supervisor() && !self.answered {
            true if self.pid.is_some() => StopTime::Unknown,
            _ => self.children_stop_within.with(self.more_stop_within, self.kind),
        };
        let below = self.children_stop_within;
        self.stops_within = match (self.pid, self.shutdown, self.kind) {
            (None, ..) => StopTime::ZERO,
            (_, Some(Shutdown::Infinity) | None, kind) if kind.is_supervisor() => below,
            (_, Some(shutdown), kind) if kind.is_supervisor() => below.at_most(shutdown),
            (_, Some(shutdown), _) => StopTime::of(shutdown),
            (_, None, _) => StopTime::Infinite,
        };
    }
}

/// Puts each node under its supervisor. Children come behind their supervisors in the list, in order.
fn grow(mut found: Vec<Found>, most: usize) -> SupervisionNode {
    loop {
        let Some(Found { mut node, parent }) = found.pop() else {
            // Not reached: the root is in the list.
            return SupervisionNode::empty("");
        };
        node.fix_times();
        // Its children have come from the end of the list.
        node.children.reverse();
        // The newest first, as they are stopped.
        for child in node.children.drain(most.min(node.children.len())..).rev() {
            node.more += 1;
            child.warn(&mut Vec::new(), &mut node.more_warnings);
            node.more_stop_within = node.more_stop_within.with(child.stops_within, node.kind);
        }
        let Some(parent) = parent else { return node };
        let above = &mut found[parent].node;
        above.add_up(&node);
        above.children_stop_within = above.children_stop_within.with(node.stops_within, above.kind);
        above.children.push(node);
    }
}

//! How the supervisors of a tree are asked: level by level, all of a level at once, within one time for all.
//!
//! A supervisor that does not answer holds nobody up for longer than that: the others of its level have answered
//! meanwhile, and are read. What is below one that has not answered is not known.

use std::{
    fmt,
    future::{Future, IntoFuture, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use whitebeam_actor::{Answered, Handle, Info, Pid, SendFailure, Status};

use super::{
    Asked, Looked, LookedChild, NodeCounts, NodeKind, NodeState, StopTime, SupervisionNode,
    SupervisionTree,
};
use crate::Shutdown;

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

async fn ask_all(
    root: Box<dyn Asked>,
    handle: &Handle,
    children: usize,
    within: Duration,
    found: &mut Vec<Found>,
) {
    let mut over = pin!(handle.sleep(within));
    let mut is_over = false;
    let mut level = vec![(0, root)];
    while !level.is_empty() {
        let mut asked = Vec::with_capacity(level.len());
        for (place, address) in level.drain(..) {
            // One that is ending answers nothing any more.
            if found[place].node.state != NodeState::Stopping
                && let Ok(answer) = address.look(children)
            {
                asked.push((place, answer));
            }
        }
        for (place, answer) in asked {
            let answer = answer_within(answer, over.as_mut(), &mut is_over).await;
            if let Some(looked) = answer {
                take_in(looked, place, handle, found, &mut level);
            }
        }
    }
}

/// The answer, if it comes in time. When that is over, only one that is there.
async fn answer_within<S: Future>(
    answer: Answered<Looked>,
    mut over: Pin<&mut S>,
    is_over: &mut bool,
) -> Option<Looked> {
    let mut answer = pin!(answer);
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(answer.ok());
        }
        *is_over = *is_over || over.as_mut().poll(cx).is_ready();
        if *is_over { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
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
        for child in node.children.drain(most.min(node.children.len())..) {
            node.more += 1;
            node.more_stop_within = node.more_stop_within.with(child.stops_within, node.kind);
        }
        let Some(parent) = parent else { return node };
        let above = &mut found[parent].node;
        above.add_up(&node);
        above.children_stop_within = above.children_stop_within.with(node.stops_within, above.kind);
        above.children.push(node);
    }
}

//! The supervision tree as a picture: who supervises whom, with which settings, and what each is about.
//!
//! | file | what it has |
//! | --- | --- |
//! | [`look`] | what a supervisor says of its children when it is asked |
//! | [`walk`] | how all are asked, within a time |
//! | [`print`], [`dot`] | the picture as text, and for Graphviz |
//! | [`plan`] | in which order it would stop, and how long that may take |

mod dot;
mod look;
mod plan;
mod print;
mod walk;

use std::time::Duration;

use whitebeam_actor::{Name, Pid};

pub(crate) use self::look::{Asked, Brief, Looked, LookedChild, Looks, tell};
pub use self::plan::{StopPlan, StopStep, StopTime, StopWarning};
pub use self::walk::TreeWalk;
use crate::{Restart, Shutdown};

/// A supervisor with all below it, as it was at some moment: [`SupervisorRef::tree`](crate::SupervisorRef::tree).
///
/// Printed with `{}` it is a line for each process, set in by its depth; [`to_dot`](Self::to_dot) is the same for
/// Graphviz. How it would stop is told by [`stop_plan`](Self::stop_plan).
///
/// Each supervisor is seen at its own moment, while everything goes on.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SupervisionTree {
    /// The supervisor that was asked.
    pub root: SupervisionNode,
}

/// A process of a [`SupervisionTree`], or a child that has none now.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SupervisionNode {
    /// Its id under its supervisor. `None`: it is the root, or a child of a dynamic supervisor.
    pub id: Option<String>,
    /// Its process, if it has one.
    pub pid: Option<Pid>,
    /// The name that it is registered under.
    pub name: Option<Name>,
    /// What it is called for people, see [`SpawnOptions::label`](whitebeam_actor::SpawnOptions::label).
    pub label: Option<Name>,
    /// The type of its process.
    pub actor: &'static str,
    /// What it is.
    pub kind: NodeKind,
    /// When it is restarted. `None`: it is the root.
    pub restart: Option<Restart>,
    /// How it is stopped. `None`: it is the root, which is stopped as somebody likes.
    pub shutdown: Option<Shutdown>,
    /// Whether its end may end its supervisor.
    pub significant: bool,
    /// What it is about.
    pub state: NodeState,
    /// How often it was started again so far.
    pub restarts: u32,
    /// Messages (and ends of children) that wait.
    pub mailbox_len: usize,
    /// What its message in hand is called, as [`Info::message`](whitebeam_actor::Info::message).
    pub message: Option<&'static str>,
    /// For how long it has had that in hand, as [`Info::in_hand_for`](whitebeam_actor::Info::in_hand_for).
    pub in_hand_for: Option<Duration>,
    /// Of a supervisor: whether it has told of its children. One that has not is ending, was not to be asked, or did
    /// not answer in time; what is known of it is what can be seen from outside, and nothing of what is below.
    pub answered: bool,
    /// Its children in the order of their starts, at most as many as [were asked for](TreeWalk::children).
    pub children: Vec<SupervisionNode>,
    /// Children that are not listed.
    pub more: usize,
    /// Counts of all that is below it, listed or not.
    pub below: NodeCounts,
    /// How long it takes at worst until it has ended when its supervisor stops it, or, of the root, somebody who gives
    /// it all the time that it needs. Times of handlers that do not return after a kill are not in it: nothing bounds
    /// them.
    pub stops_within: StopTime,
    /// How long all below it take at worst.
    pub children_stop_within: StopTime,
    /// How long those children take that are not listed.
    #[cfg_attr(feature = "serde", serde(skip))]
    more_stop_within: StopTime,
    /// The supervisors among them, and below those, that have too little time; each path begins with the child.
    #[cfg_attr(feature = "serde", serde(skip))]
    more_warnings: Vec<StopWarning>,
}

/// What a node of a [`SupervisionTree`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum NodeKind {
    /// No supervisor.
    Worker,
    /// A [`Supervisor`](crate::Supervisor) that restarts a child alone.
    OneForOne,
    /// One that restarts all with a child.
    OneForAll,
    /// One that restarts a child and those that were started after it.
    RestForOne,
    /// A [`DynamicSupervisor`](crate::DynamicSupervisor).
    Dynamic,
    /// A [`PartitionSupervisor`](crate::PartitionSupervisor).
    Partitions,
    /// A [`TaskSupervisor`](crate::TaskSupervisor).
    Tasks,
    /// A supervisor that has not said of which kind it is.
    Supervisor,
}

impl NodeKind {
    /// Whether it supervises others.
    pub fn is_supervisor(self) -> bool {
        self != NodeKind::Worker
    }

    /// Whether its children are stopped one after the other, the newest first; else all at once.
    pub fn stops_in_order(self) -> bool {
        matches!(self, NodeKind::OneForOne | NodeKind::OneForAll | NodeKind::RestForOne)
    }

    /// In a word, as in [`Supervisor::one_for_one`](crate::Supervisor::one_for_one).
    pub fn as_str(self) -> &'static str {
        match self {
            NodeKind::Worker => "worker",
            NodeKind::OneForOne => "one_for_one",
            NodeKind::OneForAll => "one_for_all",
            NodeKind::RestForOne => "rest_for_one",
            NodeKind::Dynamic => "dynamic",
            NodeKind::Partitions => "partitions",
            NodeKind::Tasks => "tasks",
            NodeKind::Supervisor => "supervisor",
        }
    }
}

/// What a node of a [`SupervisionTree`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum NodeState {
    /// It is being started for the first time, or again as somebody asked; of a supervisor: its children are.
    Starting,
    /// It runs.
    Running,
    /// It has ended, and is to be started again.
    Restarting,
    /// It does not run, and will not by itself. Or, before its supervisor has started: not yet.
    Stopped,
    /// Its end is decided: its `terminate` may run, and its children are being stopped.
    Stopping,
}

impl NodeState {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeState::Starting => "starting",
            NodeState::Running => "running",
            NodeState::Restarting => "restarting",
            NodeState::Stopped => "stopped",
            NodeState::Stopping => "stopping",
        }
    }
}

/// How many there are below a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeCounts {
    /// Supervisors, with or without a process.
    pub supervisors: usize,
    /// Workers, with or without a process.
    pub workers: usize,
    /// Those of both that have a process.
    pub active: usize,
}

impl SupervisionTree {
    /// All nodes that are listed, each ahead of its children, with their depths.
    pub fn walk(&self) -> impl Iterator<Item = (usize, &SupervisionNode)> {
        let mut open = vec![(0, &self.root)];
        std::iter::from_fn(move || {
            let (depth, node) = open.pop()?;
            open.extend(node.children.iter().rev().map(|child| (depth + 1, child)));
            Some((depth, node))
        })
    }
}

//! In which order a tree would stop, and how long that may take.

use std::{fmt, time::Duration};

use whitebeam_actor::Pid;

use super::{NodeKind, SupervisionNode, SupervisionTree, print};
use crate::Shutdown;

/// How long something takes at worst until it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum StopTime {
    /// So long.
    Within(Duration),
    /// It is not known: a supervisor has not told of its children.
    Unknown,
    /// As long as it likes.
    Infinite,
}

impl StopTime {
    pub(crate) const ZERO: StopTime = StopTime::Within(Duration::ZERO);

    /// Of a child that has no children of its own.
    pub(crate) fn of(shutdown: Shutdown) -> Self {
        match (shutdown, shutdown.limit()) {
            (Shutdown::BrutalKill, _) => Self::ZERO,
            (_, Some(time)) => StopTime::Within(time),
            (_, None) => StopTime::Infinite,
        }
    }

    /// This, but no longer than a child has.
    pub(super) fn at_most(self, shutdown: Shutdown) -> Self {
        self.min(Self::of(shutdown))
    }

    /// And another child of a supervisor of this kind.
    pub(crate) fn with(self, other: StopTime, kind: NodeKind) -> Self {
        match (self, other) {
            (StopTime::Within(one), StopTime::Within(other)) if kind.stops_in_order() => {
                StopTime::Within(one.saturating_add(other))
            }
            _ => self.max(other),
        }
    }
}

impl fmt::Display for StopTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopTime::Within(time) => write!(f, "{time:?}"),
            StopTime::Unknown => f.write_str("unknown"),
            StopTime::Infinite => f.write_str("infinity"),
        }
    }
}

/// How a tree would stop: [`SupervisionTree::stop_plan`]. Printed with `{}` it is a line for each step, in order.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StopPlan {
    /// How long the whole takes at worst, if the root is given all the time that it needs.
    pub within: StopTime,
    /// Who is stopped, in order: each supervisor ahead of its children, which end before it does.
    pub steps: Vec<StopStep>,
    /// Supervisors that would be killed before their children have had their time, in the order of their stops. Also
    /// those that the tree does not [list](super::TreeWalk::children), with two exceptions, of which nothing is known:
    /// supervisors below one that has not [answered](SupervisionNode::answered), and, if the children of a
    /// [`DynamicSupervisor`](crate::DynamicSupervisor) of one type are supervisors, those of them that are not listed.
    pub warnings: Vec<StopWarning>,
}

/// A step of a [`StopPlan`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StopStep {
    /// How many are above it.
    pub depth: usize,
    /// The how many-th of its supervisor's children it is, from 1 on. `None`: it is told at once with the others, or is
    /// the root.
    pub order: Option<usize>,
    /// Its id under its supervisor.
    pub id: Option<String>,
    /// Its process. `None`: these are those that the tree does not list.
    pub pid: Option<Pid>,
    /// What it is.
    pub kind: NodeKind,
    /// How many children these are.
    pub count: usize,
    /// How long it takes at worst, with all below it.
    pub within: StopTime,
}

/// A supervisor whose time is shorter than what its children may take: it is killed then, and nobody waits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StopWarning {
    /// Its id, behind those of the supervisors above it.
    pub path: Vec<String>,
    /// Its process.
    pub pid: Option<Pid>,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// How long its children may take.
    pub needs: StopTime,
}

impl SupervisionTree {
    /// How it would stop now: the order, how long each step takes at worst, and which supervisors would be killed before
    /// their children have had their time.
    ///
    /// It is reckoned from what was seen when the tree was made, and asks nobody.
    pub fn stop_plan(&self) -> StopPlan {
        let mut plan =
            StopPlan { within: self.root.stops_within, steps: Vec::new(), warnings: Vec::new() };
        plan.add(&self.root, 0, None);
        self.root.warn(&mut Vec::new(), &mut plan.warnings);
        plan
    }

    /// How long its stop takes at worst, if the root is given all the time that it needs: for
    /// [`Handle::shutdown`](whitebeam_actor::Handle::shutdown), say.
    ///
    /// All below it are in it, listed or not. [`StopTime::Unknown`] if a supervisor that is to be given all the time that
    /// it needs has not [answered](SupervisionNode::answered).
    pub fn stop_budget(&self) -> StopTime {
        self.root.stops_within
    }
}

impl StopPlan {
    fn add(&mut self, node: &SupervisionNode, depth: usize, order: Option<usize>) {
        if node.pid.is_none() {
            return;
        }
        self.steps.push(StopStep {
            depth,
            order,
            id: node.id.clone(),
            pid: node.pid,
            kind: node.kind,
            count: 1,
            within: node.stops_within,
        });
        let mut order = 0;
        let mut next = || {
            order += 1;
            node.kind.stops_in_order().then_some(order)
        };
        // The newest first, also where they are told at once. Those that are not listed are the newest.
        if node.more > 0 {
            self.steps.push(StopStep {
                depth: depth + 1,
                order: next(),
                id: None,
                pid: None,
                kind: NodeKind::Worker,
                count: node.more,
                within: node.more_stop_within,
            });
        }
        for child in node.children.iter().rev().filter(|child| child.pid.is_some()) {
            self.add(child, depth + 1, next());
        }
    }
}

impl SupervisionNode {
    /// Supervisors that have too little time, this one ahead of those below it. `path`: to its supervisor.
    pub(super) fn warn(&self, path: &mut Vec<String>, warnings: &mut Vec<StopWarning>) {
        if self.pid.is_none() || !self.kind.is_supervisor() {
            return;
        }
        path.push(print::path_of(self));
        if let Some(shutdown) = self.shutdown
            && shutdown != Shutdown::Infinity
            && self.children_stop_within > StopTime::of(shutdown)
        {
            let (pid, needs) = (self.pid, self.children_stop_within);
            warnings.push(StopWarning { path: path.clone(), pid, shutdown, needs });
        }
        for below in &self.more_warnings {
            let mut warning = below.clone();
            warning.path.splice(..0, path.iter().cloned());
            warnings.push(warning);
        }
        for child in self.children.iter().rev() {
            child.warn(path, warnings);
        }
        path.pop();
    }
}

impl fmt::Display for StopPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stops within {}", self.within)?;
        for step in &self.steps {
            write!(f, "{:indent$}", "", indent = 2 * step.depth)?;
            if let Some(order) = step.order {
                write!(f, "{order}. ")?;
            } else if step.depth > 0 {
                f.write_str("- ")?;
            }
            if let Some(id) = &step.id {
                write!(f, "{id} ")?;
            }
            match step.pid {
                Some(pid) => write!(f, "{pid} {}", step.kind.as_str())?,
                None => write!(f, "{} more", print::Thousands(step.count))?,
            }
            writeln!(f, ": {}", step.within)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for StopWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, shutdown) = (self.path.join("/"), print::Shut(self.shutdown));
        write!(
            f,
            "{path} is killed after {shutdown}, and its children may take {}: give it infinity",
            self.needs
        )
    }
}

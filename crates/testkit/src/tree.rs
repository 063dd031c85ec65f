//! A tree of supervisors and their children, as the test sees it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use whitebeam_actor::{ExitReason, Pid, Target};

use crate::{
    record::{Life, Lived},
    runtime::TestRuntime,
};

/// A process of a tree that was started again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restarted {
    /// Its path, which is that of the one before it.
    pub path: String,
    /// The one before it.
    pub before: Pid,
    /// The new one.
    pub now: Pid,
}

/// The processes below one, by path.
///
/// A path is made of names from the root's children downwards: the registered name of a process or the type of its
/// actor, with a number behind for all but the first of those who would have the same: `Worker`, `Worker#1`,
/// `Worker#2` in the order of their first start, and `Dynamic<Worker>#1/Worker` below the second supervisor. A
/// process that is started again has the path of the one before: of several of one type that ended under one
/// supervisor, the one that ended first.
///
/// ```
/// use whitebeam::prelude::*;
/// use whitebeam_testkit::{Tree, sim};
///
/// struct Worker;
/// impl Actor for Worker {
///     type Args = ();
///     type Msg = ();
///     async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
///         Ok(Worker)
///     }
///     async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
///         Ok(())
///     }
/// }
///
/// sim(|rt| async move {
///     let workers = DynamicSupervisor::<Worker>::new().start(&rt).await?;
///     workers.start_child(()).await?;
///     workers.start_child(()).await?;
///     let tree = Tree::of(&rt, &workers);
///     tree.kill("Worker#1");
///     tree.settle().await;
///     assert_eq!(tree.restarted_paths(), ["Worker#1"]);
///     Ok::<_, Box<dyn std::error::Error>>(())
/// });
/// ```
pub struct Tree {
    rt: TestRuntime,
    root: Pid,
    /// Changes in the runtime before this one was made.
    since: usize,
}

impl Tree {
    /// The tree below `root`.
    ///
    /// # Panics
    ///
    /// If `root` is a child's address without an incarnation.
    #[must_use]
    pub fn of(rt: &TestRuntime, root: impl Target) -> Self {
        let Some(root) = root.target() else { panic!("the root of a tree has to be there") };
        Tree { rt: rt.clone(), root, since: rt.lifecycle_len() }
    }

    /// The process at `path`, which lives. An empty path is the root's.
    ///
    /// # Panics
    ///
    /// If there is none, with all paths that there are.
    #[must_use]
    pub fn pid(&self, path: &str) -> Pid {
        if path.is_empty() {
            return self.root;
        }
        match self.paths().into_iter().find(|(other, _)| other == path) {
            Some((_, pid)) => pid,
            None => panic!("there is no {path:?} in the tree:\n{self}"),
        }
    }

    /// Kills the process at `path`.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn kill(&self, path: &str) {
        self.exit(path, ExitReason::Kill);
    }

    /// Sends the process at `path` an exit signal.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn exit(&self, path: &str, reason: ExitReason) {
        self.rt.exit(self.pid(path), reason);
    }

    /// Ready when nothing can run: restarts that take no time are over. As
    /// [`TestRuntime::run_until_idle`].
    pub async fn settle(&self) {
        self.rt.run_until_idle().await;
    }

    /// Who of this tree was started again since this was made, in order.
    #[must_use]
    pub fn restarted(&self) -> Vec<Restarted> {
        let mut walk = Walk::new(self.root);
        let mut restarted = Vec::new();
        for (at, lived) in self.rt.lifecycle().into_iter().enumerate() {
            let found = walk.step(&lived, &self.rt);
            restarted.extend(found.filter(|_| at >= self.since));
        }
        restarted
    }

    /// The paths of [`restarted`](Self::restarted).
    #[must_use]
    pub fn restarted_paths(&self) -> Vec<String> {
        self.restarted().into_iter().map(|restarted| restarted.path).collect()
    }

    /// The processes of this tree that live, with their paths, in the order of the paths' first starts.
    #[must_use]
    pub fn paths(&self) -> Vec<(String, Pid)> {
        let mut walk = Walk::new(self.root);
        for lived in self.rt.lifecycle() {
            walk.step(&lived, &self.rt);
        }
        let nodes = walk.nodes.into_iter();
        nodes.filter_map(|node| node.now.ok().map(|pid| (node.path, pid))).collect()
    }
}

/// A place of the tree, through its incarnations.
struct Node {
    path: String,
    /// The place above.
    parent: Option<usize>,
    /// Name or type, without a number.
    label: Arc<str>,
    /// Who is there; `Err`: nobody, since that one ended as the how many-th of all.
    now: Result<Pid, (Pid, usize)>,
}

/// The tree as it was after some changes.
struct Walk {
    root: Pid,
    nodes: Vec<Node>,
    /// The place of each process that lives.
    places: BTreeMap<Pid, usize>,
    ends: usize,
}

impl Walk {
    fn new(root: Pid) -> Self {
        Walk { root, nodes: Vec::new(), places: BTreeMap::new(), ends: 0 }
    }

    /// One more change; gives the restart, if it is one.
    fn step(&mut self, lived: &Lived, rt: &TestRuntime) -> Option<Restarted> {
        let pid = lived.pid;
        match &lived.what {
            Life::Spawned { parent: Some(parent), attempt } => {
                let above = self.places.get(parent).copied();
                if above.is_none() && *parent != self.root {
                    return None;
                }
                let label = rt.label_of(pid).unwrap_or_else(|| lived.actor.clone());
                if *attempt > 1
                    && let Some(place) = self.vacant(above, &label)
                    && let Err((before, _)) = self.nodes[place].now
                {
                    self.places.insert(pid, place);
                    self.nodes[place].now = Ok(pid);
                    let path = self.nodes[place].path.clone();
                    return Some(Restarted { path, before, now: pid });
                }
                self.add(pid, above, label);
            }
            Life::Exited(_) => {
                if let Some(place) = self.places.remove(&pid) {
                    self.ends += 1;
                    self.nodes[place].now = Err((pid, self.ends));
                }
            }
            _ => {}
        }
        None
    }

    /// The place that has been empty longest, of those for such a process.
    fn vacant(&self, above: Option<usize>, label: &str) -> Option<usize> {
        let nodes = self.nodes.iter().enumerate();
        let fitting = nodes.filter(|(_, node)| node.parent == above && *node.label == *label);
        let vacant = fitting.filter_map(|(place, node)| Some((node.now.err()?.1, place)));
        vacant.min().map(|(_, place)| place)
    }

    fn add(&mut self, pid: Pid, above: Option<usize>, label: Arc<str>) {
        let alike = |node: &&Node| node.parent == above && node.label == label;
        let number = self.nodes.iter().filter(alike).count();
        let name = if number == 0 { label.to_string() } else { format!("{label}#{number}") };
        let path = match above {
            Some(above) => format!("{}/{name}", self.nodes[above].path),
            None => name,
        };
        self.places.insert(pid, self.nodes.len());
        self.nodes.push(Node { path, parent: above, label, now: Ok(pid) });
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)?;
        self.paths().iter().try_for_each(|(path, pid)| write!(f, "\n  {path} {pid}"))
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree(of {})", self.root)
    }
}

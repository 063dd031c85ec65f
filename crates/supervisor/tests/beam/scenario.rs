//! A scenario: a tree of supervisors, and what is done to it, one step after the other.
//!
//! Nodes are numbered, so that both systems speak of the same ones; 0 is the root. A *spare* node is not in the tree
//! at first: it is what a `start_child` adds. A step is over when nothing can go on any more. A worker that *holds*
//! stays in its `init` or its `terminate` until it is released, and its supervisor with it, so that what comes meanwhile
//! waits.

use std::fmt;

use whitebeam_supervisor::{AutoShutdown, Restart, Shutdown};

/// A node's number.
pub(crate) type Id = usize;

pub(crate) const ROOT: Id = 0;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) nodes: Vec<Node>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: Id,
    /// `None`: the root.
    pub(crate) parent: Option<Id>,
    pub(crate) is_spare: bool,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) significant: bool,
    /// How its first starts come out; the later ones well.
    pub(crate) starts: Vec<Begin>,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Worker {
        traps: bool,
        stops: Stops,
    },
    Supervisor {
        strategy: Strategy,
        intensity: u32,
        auto_shutdown: AutoShutdown,
        /// On Whitebeam its spec is made by a function, so that its starts can fail.
        is_made: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    OneForOne,
    OneForAll,
    RestForOne,
}

/// How a start comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Well,
    Ignore,
    Fails(Reason),
    /// Well, when it is released.
    Holds,
}

/// What a worker that traps exits does in its `terminate` when it is told to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stops {
    Plainly,
    Crashes,
    /// Never comes back: it is killed when its time is over.
    Hangs,
    /// Waits until it is released.
    Holds,
}

/// Why something ends. The same words on both systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Normal,
    Shutdown,
    ShutdownWith,
    Kill,
    Boom,
    /// Any error of the code, with its stack.
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A worker ends itself, in a handler.
    Ends(Id, Reason),
    /// An exit signal: to the root from its parent, to others from a stranger.
    Exit(Id, Reason),
    /// Is asked to end in order, by `gen_server:stop` and `Handle::stop`.
    Stop(Id, Reason),
    /// The supervisor of a spare node is to start it.
    StartChild(Id),
    /// These are about a child of the supervisor that is named first. It may be none of its children.
    TerminateChild(Id, Id),
    RestartChild(Id, Id),
    DeleteChild(Id, Id),
    GetChildspec(Id, Id),
    CountChildren(Id),
    /// Whoever holds goes on.
    Release,
}

impl Scenario {
    pub(crate) fn node(&self, id: Id) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("a node of the scenario")
    }

    /// Those that are in the spec of a supervisor, in order.
    pub(crate) fn children(&self, of: Id) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.parent == Some(of) && !node.is_spare)
    }

    /// Whether `id` is `top` or below it.
    pub(crate) fn is_below(&self, id: Id, top: Id) -> bool {
        id == top || self.node(id).parent.is_some_and(|parent| self.is_below(parent, top))
    }

    /// Whether it is spare, or below one that is.
    fn is_added(&self, id: Id) -> bool {
        let node = self.node(id);
        node.is_spare || node.parent.is_some_and(|parent| self.is_added(parent))
    }

    /// The worker that may hold.
    pub(crate) fn holder(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.stops() == Some(Stops::Holds))
    }

    /// Whether a step is done also while a worker holds. Otherwise it is left out then, by both systems: what is
    /// meant by it is a listed departure, or has no order that is defined.
    pub(crate) fn is_for_held(&self, step: Step) -> bool {
        let Some(holder) = self.holder() else { return true };
        let Some(above) = holder.parent else { return true };
        match step {
            Step::Release => true,
            // It would end right behind its start, while its supervisor starts others.
            Step::Ends(id, _) if id == holder.id && holder.starts.contains(&Begin::Holds) => false,
            // Nobody has the address of one that is only being added.
            Step::StartChild(id) => {
                let to = self.node(id).parent;
                self.is_below(id, above) && to.is_some_and(|to| !self.is_added(to))
            }
            Step::Ends(id, _) | Step::Exit(id, _) => {
                self.is_below(id, above) && !self.node(id).is_supervisor() && !self.is_added(id)
            }
            Step::TerminateChild(of, _) | Step::RestartChild(of, _) | Step::DeleteChild(of, _) => {
                self.is_below(of, above) && !self.is_added(of)
            }
            Step::Stop(..) | Step::GetChildspec(..) | Step::CountChildren(_) => false,
        }
    }

    /// The supervisor that answers a step's request.
    pub(crate) fn asked(&self, step: Step) -> Option<Id> {
        match step {
            Step::StartChild(id) => self.node(id).parent,
            Step::TerminateChild(of, _)
            | Step::RestartChild(of, _)
            | Step::DeleteChild(of, _)
            | Step::GetChildspec(of, _)
            | Step::CountChildren(of) => Some(of),
            Step::Ends(..) | Step::Exit(..) | Step::Stop(..) | Step::Release => None,
        }
    }
}

impl Node {
    pub(crate) fn is_supervisor(&self) -> bool {
        matches!(self.what, What::Supervisor { .. })
    }

    pub(crate) fn stops(&self) -> Option<Stops> {
        match self.what {
            What::Worker { stops, .. } => Some(stops),
            What::Supervisor { .. } => None,
        }
    }
}

/// As an Erlang term, which the script reads.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.nodes.iter().map(Node::to_string).collect();
        let steps: Vec<String> = self
            .steps
            .iter()
            .map(|step| format!("{{{step},{}}}", self.is_for_held(*step)))
            .collect();
        write!(f, "{{[{}],\n [{}]}}.", nodes.join(",\n  "), steps.join(",\n  "))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Node { id, is_spare, significant, .. } = self;
        let parent = self.parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string());
        let starts: Vec<String> = self.starts.iter().map(Begin::to_string).collect();
        let (restart, shutdown) = (restart_word(self.restart), shutdown_word(self.shutdown));
        write!(f, "{{node,{id},{parent},{is_spare},{restart},{shutdown},{significant},")?;
        write!(f, "[{}],", starts.join(","))?;
        match &self.what {
            What::Worker { traps, stops } => write!(f, "{{worker,{traps},{}}}}}", stops.word()),
            What::Supervisor { strategy, intensity, auto_shutdown, .. } => {
                let auto_shutdown = match auto_shutdown {
                    AutoShutdown::Never => "never",
                    AutoShutdown::AnySignificant => "any_significant",
                    AutoShutdown::AllSignificant => "all_significant",
                };
                write!(f, "{{supervisor,{},{intensity},{auto_shutdown}}}}}", strategy.word())
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Ends(id, reason) => write!(f, "{{ends,{id},{}}}", reason.word()),
            Step::Exit(id, reason) => write!(f, "{{exit,{id},{}}}", reason.word()),
            Step::Stop(id, reason) => write!(f, "{{stop,{id},{}}}", reason.word()),
            Step::StartChild(id) => write!(f, "{{start_child,{id}}}"),
            Step::TerminateChild(of, id) => write!(f, "{{terminate_child,{of},{id}}}"),
            Step::RestartChild(of, id) => write!(f, "{{restart_child,{of},{id}}}"),
            Step::DeleteChild(of, id) => write!(f, "{{delete_child,{of},{id}}}"),
            Step::GetChildspec(of, id) => write!(f, "{{get_childspec,{of},{id}}}"),
            Step::CountChildren(of) => write!(f, "{{count_children,{of}}}"),
            Step::Release => f.write_str("release"),
        }
    }
}

impl fmt::Display for Begin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Begin::Well => f.write_str("well"),
            Begin::Ignore => f.write_str("ignore"),
            Begin::Holds => f.write_str("holds"),
            Begin::Fails(reason) => write!(f, "{{fails,{}}}", reason.word()),
        }
    }
}

impl Reason {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Reason::Normal => "normal",
            Reason::Shutdown => "shutdown",
            Reason::ShutdownWith => "{shutdown,x}",
            Reason::Kill => "kill",
            Reason::Boom => "boom",
            Reason::Panic => "panic",
        }
    }
}

impl Stops {
    fn word(self) -> &'static str {
        match self {
            Stops::Plainly => "plainly",
            Stops::Crashes => "crashes",
            Stops::Hangs => "hangs",
            Stops::Holds => "holds",
        }
    }
}

impl Strategy {
    fn word(self) -> &'static str {
        match self {
            Strategy::OneForOne => "one_for_one",
            Strategy::OneForAll => "one_for_all",
            Strategy::RestForOne => "rest_for_one",
        }
    }
}

pub(crate) fn restart_word(restart: Restart) -> &'static str {
    match restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    }
}

pub(crate) fn shutdown_word(shutdown: Shutdown) -> String {
    match shutdown {
        Shutdown::BrutalKill => "brutal_kill".to_owned(),
        Shutdown::After(time) => time.as_millis().to_string(),
        Shutdown::Infinity => "infinity".to_owned(),
    }
}

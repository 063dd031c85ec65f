//! The handle of a supervisor, and what it tells of children.

use std::fmt;

use whitebeam_actor::{
    CallError, ChildRef, FindError, Handle, Info, Pid, Reply, StartError, Target,
};

use super::process::{Ask, Request, Supervising};
use crate::{Child, ChildError, ChildId, ChildKind, Restart, Shutdown, StartTree, TreeWalk};

/// Talks to a [`Supervisor`](crate::Supervisor). Cheap to clone; one of a supervisor that is itself a child goes on over
/// its restarts, which bring the children of its spec back, but not those that were added by
/// [`start_child`](Self::start_child).
///
/// A child is named by its id, or by its address. Requests wait as long as it takes: there is no timeout, as in OTP; who
/// drops the future of one that was sent does not take it back.
///
/// What is answered, by what becomes of the child:
///
/// | | runs | is being restarted | stopped, spec kept | unknown |
/// | --- | --- | --- | --- | --- |
/// | `start_child` of this id | `AlreadyStarted` | `AlreadyPresent` | `AlreadyPresent` | starts it |
/// | `terminate_child` | it has ended | it is not tried again | nothing is to be done | `NotFound` |
/// | `restart_child` | `Running` | `ChildRestarting` | starts it | `NotFound` |
/// | `delete_child` | `Running` | `ChildRestarting` | deletes the spec | `NotFound` |
/// | `get_childspec`, `which_child` | tells | tells | tells | `NotFound` |
///
/// A request is answered by what the child is when its turn comes. One that has ended by itself is seen to in its place
/// in line: who asked before that is told that it runs, as in OTP.
///
/// Each may also fail with `NoSupervisor`, `Restarting`, `Full`, `Exit` or `Deadlock`, see [`ChildError`].
///
/// ```
/// use whitebeam_actor::{Mailbox, Runtime};
/// use whitebeam_supervisor::{Child, ChildError, ChildState, Restart, Supervisor};
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let sink = |id: &str| Child::process(id, |mut mailbox: Mailbox<u32>| async move {
///         loop {
///             mailbox.recv().await;
///         }
///     });
///     let mut tree = Supervisor::one_for_one();
///     tree.child_with(sink("first"));
///     let root = tree.start(&rt).await?;
///     let second = root.start_child(sink("second")).await?;
///     second.cast(1)?;
///
///     assert!(matches!(root.delete_child("second").await, Err(ChildError::Running)));
///     root.terminate_child(&second).await?;
///     assert_eq!(root.which_child("second").await?.state, ChildState::Stopped);
///     assert!(root.restart_child("second").await?.is_some());
///     second.cast(2)?;
///     root.terminate_child("second").await?;
///     root.delete_child("second").await?;
///
///     let children = root.which_children().await?;
///     assert_eq!((children.len(), &children[0].id), (1, &"first".into()));
///     let counts = root.count_children().await?;
///     assert_eq!((counts.specs, counts.active, counts.workers), (1, 1, 1));
///     assert_eq!(root.get_childspec("first").await?.restart, Restart::Permanent);
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SupervisorRef {
    at: ChildRef<Request>,
}

/// What a child does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildState {
    /// It runs as this process, which may have ended just now.
    Running(Pid),
    /// It has ended and is to be started again: its own restart is under way or has failed, or the restart of a group
    /// that is under way has stopped it.
    Restarting,
    /// It does not run: it was terminated, has ended in order, or its `init` said that no process is wanted. The spec is
    /// kept. Also one behind the child whose start has failed in the restart of a group, as in OTP: the next try may start
    /// it (its address is `Restarting`), and so may who asks for it.
    Stopped,
}

/// One child in the answer of [`SupervisorRef::which_children`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildEntry {
    /// Its id.
    pub id: ChildId,
    /// What it does.
    pub state: ChildState,
    /// What it is.
    pub kind: ChildKind,
    /// The type of its process, for people: OTP's modules.
    pub actor: &'static str,
}

/// How many children a supervisor has: the answer of `count_children`, of [`SupervisorRef`] and of the handles of the other
/// supervisors. Each child is counted as one of `specs`, as a supervisor or a worker, and perhaps as active. Where specs are
/// not kept, a child is there as long as it runs or is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildCounts {
    /// Children, with or without a process.
    pub specs: usize,
    /// Those whose process is alive.
    pub active: usize,
    /// Those that are supervisors.
    pub supervisors: usize,
    /// Those that are not.
    pub workers: usize,
}

/// The answer of [`SupervisorRef::get_childspec`]: the settings in force, with those that were not said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildSpec {
    /// Its id.
    pub id: ChildId,
    /// When it is restarted.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// Whether its end may end the supervisor.
    pub significant: bool,
    /// What it is.
    pub kind: ChildKind,
    /// The type of its process, for people.
    pub actor: &'static str,
}

impl ChildCounts {
    /// One child more; `is_active`: its process is alive.
    pub(crate) fn add(&mut self, kind: ChildKind, is_active: bool) {
        self.active += usize::from(is_active);
        match kind {
            ChildKind::Worker => self.workers += 1,
            ChildKind::Supervisor => self.supervisors += 1,
        }
    }
}

impl ChildState {
    /// The process, if it runs.
    pub fn pid(self) -> Option<Pid> {
        match self {
            ChildState::Running(pid) => Some(pid),
            ChildState::Restarting | ChildState::Stopped => None,
        }
    }
}

impl SupervisorRef {
    pub(super) fn new(at: ChildRef<Request>) -> Self {
        SupervisorRef { at }
    }

    /// The supervisor of this name, or pid. It is found once: the handle is of that process.
    ///
    /// # Errors
    /// `NoProc` if there is no such process, `WrongMessage` if it is no [`Supervisor`](crate::Supervisor).
    ///
    /// ```
    /// use whitebeam_actor::{Runtime, SpawnOptions};
    /// use whitebeam_supervisor::{Supervisor, SupervisorRef};
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let tree = Supervisor::one_for_one().options(SpawnOptions::new().name("root"));
    ///     tree.start(&rt).await?;
    ///     let root = SupervisorRef::find(&rt, whitebeam_actor::Name::from("root"))?;
    ///     assert_eq!(root.count_children().await?.specs, 0);
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn find(rt: &Handle, supervisor: impl Target) -> Result<Self, FindError> {
        Ok(SupervisorRef::new(rt.find::<Request>(supervisor)?.into()))
    }

    /// Adds a child, the newest, and starts it; ready when it has started, with its handle. The request goes out at
    /// once; the child starts also if the future is dropped.
    ///
    /// | error | when |
    /// | --- | --- |
    /// | `AlreadyStarted(pid)` | a child of this id runs |
    /// | `AlreadyPresent` | there is one that does not run now |
    /// | `Ignore` | `init` said that no process is wanted: the spec is kept, unless the child is temporary |
    /// | `Exit(reason)` | it did not start, as `reason.downcast_ref::<FailedToStart>()` says, or the supervisor ended meanwhile |
    /// | `NameTaken(pid)` | the child's name is another's |
    /// | `Invalid` | the spec is wrong: a [`SpecError`](crate::SpecError) |
    /// | `NoSupervisor`, `Restarting` | the supervisor was not asked |
    /// | `Full` | its mailbox is bounded, and there is no room there, or in line |
    /// | `Deadlock(path)` | the supervisor waits for the end of who asks: no child is started |
    ///
    /// After any other error than `Ignore` nothing of the child is kept.
    pub fn start_child<H: Send + 'static>(&self, child: Child<H>) -> StartTree<H> {
        let (spec, handle) = child.into_parts();
        // A call, for one: who asks the supervisor that waits for its end is told so.
        let call = self.at.call(|reply| Request::Ask(Ask::StartChild(Box::new(spec), reply)));
        match call.no_timeout().owned().sent() {
            Ok(answer) => StartTree::new(async move {
                let started = answer.await.unwrap_or_else(|error| Err(not_answered(error)));
                started.map(|()| handle)
            }),
            Err(error) => StartTree::failed(not_asked(error)),
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Reply<Result<T, ChildError>>) -> Ask + Send,
    ) -> Result<T, ChildError> {
        self.at.call(|reply| Request::Ask(ask(reply))).no_timeout().await?
    }

    /// Stops a child as its spec says, and waits until it has ended. It is not started again by itself; its spec is
    /// kept, unless it is temporary. One that does not run is left as it is; one that is being restarted is not tried
    /// again, nor are those of its group that have waited for that: their addresses are `NoProc` then.
    ///
    /// # Errors
    /// `NotFound`; or the supervisor could not be asked.
    pub async fn terminate_child(&self, id: impl Into<ChildId>) -> Result<(), ChildError> {
        let id = id.into();
        self.ask(|reply| Ask::TerminateChild(id, reply)).await
    }

    /// Starts a child again that does not run. `None`: its `init` said that no process is wanted.
    ///
    /// # Errors
    /// `Running`, `ChildRestarting`, `NotFound`; `Start` if it did not start, and its spec is kept; or the supervisor
    /// could not be asked.
    pub async fn restart_child(&self, id: impl Into<ChildId>) -> Result<Option<Pid>, ChildError> {
        let id = id.into();
        self.ask(|reply| Ask::RestartChild(id, reply)).await
    }

    /// Forgets a child that does not run: its address is `NoProc` for good.
    ///
    /// # Errors
    /// `Running`, `ChildRestarting`, `NotFound`; or the supervisor could not be asked.
    pub async fn delete_child(&self, id: impl Into<ChildId>) -> Result<(), ChildError> {
        let id = id.into();
        self.ask(|reply| Ask::DeleteChild(id, reply)).await
    }

    /// All children, the newest first. Takes time by their number.
    ///
    /// # Errors
    /// The supervisor could not be asked.
    pub async fn which_children(&self) -> Result<Vec<ChildEntry>, ChildError> {
        self.ask(Ask::WhichChildren).await
    }

    /// One child of those that [`which_children`](Self::which_children) would tell of.
    ///
    /// # Errors
    /// `NotFound`; or the supervisor could not be asked.
    pub async fn which_child(&self, id: impl Into<ChildId>) -> Result<ChildEntry, ChildError> {
        let id = id.into();
        self.ask(|reply| Ask::WhichChild(id, reply)).await
    }

    /// How many children there are. Takes time by their number.
    ///
    /// # Errors
    /// The supervisor could not be asked.
    pub async fn count_children(&self) -> Result<ChildCounts, ChildError> {
        self.ask(Ask::CountChildren).await
    }

    /// The settings of a child.
    ///
    /// # Errors
    /// `NotFound`; or the supervisor could not be asked.
    pub async fn get_childspec(&self, id: impl Into<ChildId>) -> Result<ChildSpec, ChildError> {
        let id = id.into();
        self.ask(|reply| Ask::GetChildspec(id, reply)).await
    }

    /// A picture of this supervisor with all below it, once it is awaited: who supervises whom, with which settings,
    /// and what each is about. Also a tree of which a supervisor does not answer has one: see [`TreeWalk`].
    ///
    /// ```
    /// use whitebeam_actor::{Mailbox, Runtime};
    /// use whitebeam_supervisor::{Child, NodeKind, Supervisor};
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let mut tree = Supervisor::one_for_one();
    ///     tree.child_with(Child::process("sink", |mut mailbox: Mailbox<u32>| async move {
    ///         loop {
    ///             mailbox.recv().await;
    ///         }
    ///     }));
    ///     let root = tree.start(&rt).await?;
    ///     let tree = root.tree().await;
    ///     assert_eq!((tree.root.kind, tree.root.children.len()), (NodeKind::OneForOne, 1));
    ///     assert_eq!(tree.stop_plan().to_string().lines().next(), Some("stops within 5s"));
    ///     println!("{tree}");
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn tree(&self) -> TreeWalk {
        let handle = self.at.current().map(|current| current.runtime());
        TreeWalk::new(self.at.clone(), handle, std::any::type_name::<Supervising>())
    }

    /// What can be seen of the supervisor's own process now. `None`: it does not run.
    pub fn info(&self) -> Option<Info> {
        self.at.info()
    }
}

fn not_asked(error: CallError) -> StartError {
    match error {
        CallError::Restarting => StartError::Restarting,
        CallError::Full => StartError::Full,
        _ => StartError::NoSupervisor,
    }
}

fn not_answered(error: CallError) -> StartError {
    match error {
        CallError::Exit(reason) => StartError::Exit(reason),
        CallError::Deadlock(path) => StartError::Deadlock(path),
        // A bound has dropped it.
        CallError::Full => StartError::Full,
        _ => StartError::ShuttingDown,
    }
}

impl Target for SupervisorRef {
    fn target(&self) -> Option<Pid> {
        self.at.target()
    }

    fn child_tag(&self) -> Option<whitebeam_actor::ChildTag> {
        self.at.tag()
    }
}

impl From<&SupervisorRef> for ChildId {
    /// The child that is this supervisor; none if it is nobody's child.
    fn from(supervisor: &SupervisorRef) -> Self {
        ChildId::of_address(supervisor.at.tag())
    }
}

impl fmt::Debug for SupervisorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            Some(pid) => write!(f, "SupervisorRef({pid})"),
            None => f.write_str("SupervisorRef(none now)"),
        }
    }
}

//! The handle of a dynamic supervisor.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use whitebeam_actor::{
    Actor, ActorRef, Call, ChildRef, ChildTag, FindError, Handle, Info, Pid, Reply, SendFailure,
    Start, StartError, Target, oneshot,
};
use whitebeam_sync::shim::atomic::{AtomicUsize, Ordering};

use super::{
    any::Any,
    mixed::{AnyRequest, Wanted, outcome_of},
    process::{Request, Wanted as WantedOf},
    sort::{Admin, Sort, Whom},
};
use crate::{
    AutoShutdown, Child, ChildCounts, ChildEntry, ChildError, ChildSpec, SpecError, StartTree,
    TreeWalk, child::Spec, error::not_found, guard::Guarded,
};

/// Talks to a dynamic supervisor. Cheap to clone; one of a supervisor that is itself a child goes on
/// over its restarts, whose children are new ones.
///
/// Children have no ids: they are named by their pids, or by what has one; those of any kinds by their addresses, which
/// mean the child whichever its process is. What is answered, by what becomes of the child:
///
/// | | starts, runs | is being restarted | has ended, unknown |
/// | --- | --- | --- | --- |
/// | `terminate_child` | it has ended | the same; also by the pid that it had | `NotFound` |
/// | `get_childspec` | tells | tells; also by the pid that it had | `NotFound` |
/// | `which_children` | `Running` | `Restarting` | leaves it out |
///
/// It is being restarted while the `init` of a restart is under way, and while a restart is tried again for which no
/// process could be made: its name was taken, its arguments could not be made, or there is no room for another process.
pub struct DynamicRef<A: Sort = Any> {
    at: ChildRef<A::Request>,
    count: Count,
}

/// The future of [`DynamicRef::start_children`].
#[must_use = "starts that are not awaited say nothing of their failures"]
pub struct StartMany<M> {
    /// Those whose results are to come, in order.
    starts: VecDeque<Start<M>>,
    results: Vec<Result<ActorRef<M>, StartError>>,
}

/// The future of [`DynamicRef::terminate_child`]. The request goes out when it is first polled.
#[must_use = "nothing is asked for until it is awaited"]
pub struct TerminateChild(Pin<Box<dyn Future<Output = Result<(), ChildError>> + Send>>);

/// The number of a supervisor's children, for who looks from outside, and whether it takes any. Written by the supervisor
/// only.
#[derive(Clone, Debug, Default)]
#[expect(unnameable_types, reason = "named by a hidden item of a sealed trait")]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn set(&self, children: usize) {
        // Advisory: it orders nothing.
        self.0.store(children, Ordering::Relaxed);
    }

    /// The supervisor stops its children, until the next [`set`](Self::set): who asks it for another one would wait for its
    /// end, and it perhaps for that of who asks.
    pub(super) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CLOSED != 0
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed) & !CLOSED
    }
}

/// Beside the number of children: no more are taken.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// However the supervisor ends: it has no children then.
pub(super) struct CountGuard(pub(super) Count);

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

/// Starts that are asked for in one message: enough that messages cost nothing, few enough that other
/// requests are not held up.
const BATCH: usize = 256;

impl<A: Actor> DynamicRef<A> {
    /// Starts a child; ready when its `init` is done. The request goes out at once; children start also
    /// if the future is dropped. There is no timeout, as in OTP, unless one is [given](Start::timeout): it is for
    /// who waits, and the child lives on.
    ///
    /// | error | when |
    /// | --- | --- |
    /// | `MaxChildren` | the supervisor has as many as it may |
    /// | `Ignore` | `init` said that no process is wanted |
    /// | `Exit(reason)` | `init` failed, or the supervisor stopped meanwhile |
    /// | `NoSupervisor` | the supervisor has ended, or stops its children |
    /// | `Restarting` | it is being restarted, or not started yet |
    /// | `Full` | its mailbox is bounded and full |
    /// | `NameTaken(pid)` | the name that is given to each child is another's |
    /// | `TableFull`, `ShuttingDown` | the runtime takes no more processes |
    /// | `Timeout` | no answer came in the time that was given: the child may start yet |
    ///
    /// After any other error there is no such child, and nothing of it is kept.
    pub fn start_child(&self, args: A::Args) -> Start<A::Msg> {
        if self.count.is_closed() {
            drop(Guarded::new(args));
            return Start::failed(StartError::NoSupervisor);
        }
        Start::asked(self.at.ask(|ack| Request::Start(args, ack)))
    }

    /// Starts many children. The requests go out at once, a few messages for all of them; the results
    /// come in the order of `args`. Children start also if the future is dropped.
    pub fn start_children(&self, args: impl IntoIterator<Item = A::Args>) -> StartMany<A::Msg> {
        let mut starts = VecDeque::new();
        let mut batch = Vec::new();
        for args in args {
            let (ack, answer) = oneshot();
            starts.push_back(Start::answered(answer));
            batch.push(Guarded::new((args, ack)));
            if batch.len() == BATCH {
                self.ask_for(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            self.ask_for(batch);
        }
        StartMany { results: Vec::with_capacity(starts.len()), starts }
    }

    fn ask_for(&self, batch: Vec<Guarded<WantedOf<A>>>) {
        let (batch, why) = if self.count.is_closed() {
            (batch, SendFailure::NoProc)
        } else {
            let Err(refused) = self.at.cast(Request::StartMany(batch)) else { return };
            let why = refused.why();
            let Request::StartMany(batch) = refused.into_message() else { return };
            (batch, why)
        };
        for (args, ack) in batch.into_iter().filter_map(Guarded::take) {
            drop(Guarded::new(args));
            ack.send(Err(match why {
                SendFailure::Restarting => StartError::Restarting,
                SendFailure::Full => StartError::Full,
                _ => StartError::NoSupervisor,
            }));
        }
    }
}

impl DynamicRef<Any> {
    /// Starts a child; ready when it has started, with its handle. The request goes out at once; the child starts also
    /// if the future is dropped. The child's id is not looked at.
    ///
    /// | error | when |
    /// | --- | --- |
    /// | `Invalid` | the spec is wrong: a [`SpecError`]; a significant child is. Nobody was asked |
    /// | `Exit(reason)` | the child did not start, and nothing is kept of it; or the supervisor ended meanwhile |
    /// | `NameTaken(pid)` | the child's name is another's |
    /// | any other | as for children of one kind |
    pub fn start_child<H: Send + 'static>(&self, child: Child<H>) -> StartTree<H> {
        let (mut spec, handle) = child.into_parts();
        if let Err(error) = self.check(&mut spec) {
            return StartTree::failed(error);
        }
        if self.count.is_closed() {
            drop(Guarded::new(spec));
            return StartTree::failed(StartError::NoSupervisor);
        }
        let spec = Box::new(spec);
        let answer = match self.at.ask(|reply| AnyRequest::Start(Wanted(spec, reply))) {
            Ok(answer) => answer,
            Err(SendFailure::Restarting) => return StartTree::failed(StartError::Restarting),
            Err(SendFailure::Full) => return StartTree::failed(StartError::Full),
            Err(_) => return StartTree::failed(StartError::NoSupervisor),
        };
        StartTree::new(async move { outcome_of(answer.await).map(|()| handle) })
    }

    /// Checks a spec and all below it, in the caller.
    fn check(&self, spec: &mut Spec) -> Result<(), SpecError> {
        let (id, restart) = (&spec.id, spec.restart);
        if spec.significant {
            let auto_shutdown = AutoShutdown::Never;
            return Err(SpecError::Significant { id: id.clone(), restart, auto_shutdown });
        }
        // Without a supervisor nobody will be asked, and how many partitions there would be does not matter.
        let workers = self.at.current().map_or(1, |supervisor| supervisor.runtime().workers());
        spec.launch.prepare(id, restart, workers)
    }
}

impl<A: Sort> DynamicRef<A> {
    pub(crate) fn new(at: ChildRef<A::Request>, count: Count) -> Self {
        DynamicRef { at, count }
    }

    /// Leads to nobody.
    pub(crate) fn nobody() -> Self {
        DynamicRef::new(whitebeam_actor::ChildSlot::new().child(), Count::default())
    }

    /// The supervisor of this name, or pid. It is found once: the handle is of that process.
    ///
    /// # Errors
    /// `NoProc` if there is no such process, or it ends meanwhile; `WrongMessage` if it is no dynamic supervisor of such
    /// children; `Full` if its mailbox is bounded and full.
    pub async fn find(rt: &Handle, supervisor: impl Target) -> Result<Self, FindError> {
        let at: ChildRef<A::Request> = rt.find::<A::Request>(supervisor)?.into();
        let count = at.call(|reply| Admin::Count(reply).into()).no_timeout().await;
        Ok(DynamicRef::new(at, count.map_err(not_found)?))
    }

    /// Stops a child as its supervisor, or its spec, says, and waits until it has ended. It is not
    /// restarted. The supervisor goes on serving meanwhile.
    ///
    /// # Errors
    /// `NotFound` if it is not a child of this supervisor, or has ended; the others if the supervisor
    /// cannot be asked.
    pub fn terminate_child(&self, child: impl Target) -> TerminateChild {
        let call =
            self.whom(child).map(|whom| self.ask(|reply| Admin::Terminate(whom, reply)).owned());
        TerminateChild(Box::pin(async move {
            match call {
                Some(call) => call.await?,
                None => Err(ChildError::NotFound),
            }
        }))
    }

    /// All children, in no promised order; they have no ids. Takes time by their number.
    ///
    /// # Errors
    /// The supervisor could not be asked.
    pub async fn which_children(&self) -> Result<Vec<ChildEntry>, ChildError> {
        Ok(self.ask(Admin::WhichChildren).await?)
    }

    /// How many children there are, and how many of them are active: have a process that has not ended, and are not being
    /// restarted. Of children of one kind there is one spec, as in OTP's `simple_one_for_one`; of children of any kinds as
    /// many as children. Takes time by their number; [`count`](Self::count) takes none.
    ///
    /// # Errors
    /// The supervisor could not be asked.
    pub async fn count_children(&self) -> Result<ChildCounts, ChildError> {
        Ok(self.ask(Admin::CountChildren).await?)
    }

    /// The settings of a child.
    ///
    /// # Errors
    /// `NotFound`; or the supervisor could not be asked.
    pub async fn get_childspec(&self, child: impl Target) -> Result<ChildSpec, ChildError> {
        let whom = self.whom(child).ok_or(ChildError::NotFound)?;
        self.ask(|reply| Admin::GetChildspec(whom, reply)).await?
    }

    /// From now on the supervisor has at most so many children: see
    /// [`DynamicSupervisor::max_children`](crate::DynamicSupervisor::max_children), which holds again after a restart of
    /// the supervisor. If there are more now, they stay.
    ///
    /// # Errors
    /// The supervisor could not be asked.
    pub async fn set_max_children(&self, most: usize) -> Result<(), ChildError> {
        Ok(self.ask(|reply| Admin::SetMaxChildren(most, reply)).await?)
    }

    fn ask<T: Send + 'static>(&self, f: impl FnOnce(Reply<T>) -> Admin) -> Call<'_, A::Request, T> {
        self.at.call(|reply| f(reply).into()).no_timeout()
    }

    /// A name is one of the supervisor's runtime. `None`: it is nobody's, and the child has no address.
    fn whom(&self, child: impl Target) -> Option<Whom> {
        let tag = child.child_tag();
        let pid = match self.at.current() {
            Some(supervisor) => supervisor.runtime().pid_of(child),
            None => child.target(),
        };
        (pid.is_some() || tag.is_some()).then_some(Whom { pid, tag })
    }

    /// Children now, those that are starting included, as the supervisor last counted. Read without
    /// asking it.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// A picture of this supervisor with its children, as [`SupervisorRef::tree`](crate::SupervisorRef::tree).
    pub fn tree(&self) -> TreeWalk {
        let handle = self.at.current().map(|current| current.runtime());
        TreeWalk::new(self.at.clone(), handle, std::any::type_name::<A::Process>())
    }

    /// What can be seen of the supervisor now: its mailbox's length, for one. `None`: it has ended.
    pub fn info(&self) -> Option<Info> {
        self.at.info()
    }
}

impl<M> Future for StartMany<M> {
    type Output = Vec<Result<ActorRef<M>, StartError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while let Some(start) = this.starts.front_mut() {
            match Pin::new(start).poll(cx) {
                Poll::Ready(result) => this.results.push(result),
                Poll::Pending => return Poll::Pending,
            }
            this.starts.pop_front();
        }
        Poll::Ready(std::mem::take(&mut this.results))
    }
}

impl<M> Unpin for StartMany<M> {}

impl Future for TerminateChild {
    type Output = Result<(), ChildError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<M> fmt::Debug for StartMany<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartMany({} to come)", self.starts.len())
    }
}

impl fmt::Debug for TerminateChild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TerminateChild(..)")
    }
}

impl<A: Sort> Target for DynamicRef<A> {
    fn target(&self) -> Option<Pid> {
        self.at.target()
    }

    fn child_tag(&self) -> Option<ChildTag> {
        self.at.tag()
    }
}

impl<A: Sort> Clone for DynamicRef<A> {
    fn clone(&self) -> Self {
        DynamicRef { at: self.at.clone(), count: self.count.clone() }
    }
}

impl<A: Sort> fmt::Debug for DynamicRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            Some(pid) => write!(f, "DynamicRef({pid})"),
            None => f.write_str("DynamicRef(none now)"),
        }
    }
}

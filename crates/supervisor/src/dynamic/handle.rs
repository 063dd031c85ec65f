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
    Actor, ActorRef, ChildRef, Info, Pid, SendFailure, Start, StartError, Target, oneshot,
};
use whitebeam_sync::shim::atomic::{AtomicUsize, Ordering};

use super::process::Request;
use crate::{ChildError, guard::Guarded};

/// Talks to a dynamic supervisor. Cheap to clone; one of a supervisor that is itself a child goes on
/// over its restarts, whose children are new ones.
pub struct DynamicRef<A: Actor> {
    at: ChildRef<Request<A>>,
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

/// The number of a supervisor's children, for who looks from outside. Written by the supervisor only.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn set(&self, children: usize) {
        // Advisory: it orders nothing.
        self.0.store(children, Ordering::Relaxed);
    }
}

/// Starts that are asked for in one message: enough that messages cost nothing, few enough that other
/// requests are not held up.
const BATCH: usize = 256;

impl<A: Actor> DynamicRef<A> {
    pub(crate) fn new(at: ChildRef<Request<A>>, count: Count) -> Self {
        DynamicRef { at, count }
    }

    /// Starts a child; ready when its `init` is done. The request goes out at once; children start also
    /// if the future is dropped. There is no timeout, as in OTP, unless one is [given](Start::timeout): it is for
    /// who waits, and the child lives on.
    ///
    /// | error | when |
    /// | --- | --- |
    /// | `MaxChildren` | the supervisor has as many as it may |
    /// | `Ignore` | `init` said that no process is wanted |
    /// | `Exit(reason)` | `init` failed, or the supervisor stopped meanwhile |
    /// | `NoSupervisor` | the supervisor has ended |
    /// | `Restarting` | it is being restarted, or not started yet |
    /// | `Timeout` | no answer came in the time that was given: the child may start yet |
    ///
    /// After any other error there is no such child, and nothing of it is kept.
    pub fn start_child(&self, args: A::Args) -> Start<A::Msg> {
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

    fn ask_for(&self, batch: Vec<super::process::Wanted<A>>) {
        let Err(refused) = self.at.cast(Request::StartMany(batch)) else { return };
        let why = refused.why();
        let Request::StartMany(batch) = refused.into_message() else { return };
        for (args, ack) in batch.into_iter().filter_map(Guarded::take) {
            drop(Guarded::new(args));
            ack.send(Err(match why {
                SendFailure::Restarting => StartError::Restarting,
                SendFailure::Full => StartError::Full,
                _ => StartError::NoSupervisor,
            }));
        }
    }

    /// Stops a child as the supervisor's `shutdown` says, and waits until it has ended. It is not
    /// restarted. The supervisor goes on serving meanwhile.
    ///
    /// # Errors
    /// `NotFound` if it is not a child of this supervisor, or has ended; the others if the supervisor
    /// cannot be asked.
    pub fn terminate_child(&self, child: impl Target) -> TerminateChild {
        // A name is one of the supervisor's runtime.
        let pid = match self.at.current() {
            Some(supervisor) => supervisor.runtime().pid_of(&child),
            None => child.target(),
        };
        let call = pid
            .map(|pid| self.at.call(|reply| Request::Terminate(pid, reply)).no_timeout().owned());
        TerminateChild(Box::pin(async move {
            match call {
                Some(call) => call.await?,
                None => Err(ChildError::NotFound),
            }
        }))
    }

    /// Children now, those that are starting included, as the supervisor last counted. Read without
    /// asking it.
    pub fn count(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
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

impl<A: Actor> Target for DynamicRef<A> {
    fn target(&self) -> Option<Pid> {
        self.at.target()
    }
}

impl<A: Actor> Clone for DynamicRef<A> {
    fn clone(&self) -> Self {
        DynamicRef { at: self.at.clone(), count: self.count.clone() }
    }
}

impl<A: Actor> fmt::Debug for DynamicRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            Some(pid) => write!(f, "DynamicRef({pid})"),
            None => f.write_str("DynamicRef(none now)"),
        }
    }
}

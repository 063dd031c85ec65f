//! The handle of a dynamic supervisor.

use std::{fmt, future::Future, sync::Arc};

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

    /// Starts a child; ready when its `init` is done. The request goes out when the future is first
    /// polled. There is no timeout, as in OTP.
    ///
    /// | error | when |
    /// | --- | --- |
    /// | `MaxChildren` | the supervisor has as many as it may |
    /// | `Ignore` | `init` said that no process is wanted |
    /// | `Exit(reason)` | `init` failed, or the supervisor stopped meanwhile |
    /// | `NoSupervisor` | the supervisor has ended |
    /// | `Restarting` | it is being restarted, or not started yet |
    ///
    /// After an error there is no such child, and nothing of it is kept.
    pub fn start_child(&self, args: A::Args) -> Start<A::Msg> {
        let call = self.at.call(|ack| Request::Start(args, ack)).no_timeout().owned();
        Start::asked(call.into_future())
    }

    /// Starts many children. The requests go out at once, a few messages for all of them; the results
    /// come in the order of `args`. Children start also if the future is dropped.
    pub fn start_children<I>(
        &self,
        args: I,
    ) -> impl Future<Output = Vec<Result<ActorRef<A::Msg>, StartError>>> + Send + use<A, I>
    where
        I: IntoIterator<Item = A::Args>,
    {
        let mut starts = Vec::new();
        let mut batch = Vec::new();
        for args in args {
            let (ack, answer) = oneshot();
            starts.push(Start::answered(answer));
            batch.push(Guarded::new((args, ack)));
            if batch.len() == BATCH {
                self.ask_for(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            self.ask_for(batch);
        }
        async move {
            let mut results = Vec::with_capacity(starts.len());
            for start in starts {
                results.push(start.await);
            }
            results
        }
    }

    fn ask_for(&self, batch: Vec<super::process::Wanted<A>>) {
        let Err(refused) = self.at.cast(Request::StartMany(batch)) else { return };
        let why = refused.why();
        let Request::StartMany(batch) = refused.into_message() else { return };
        for (_args, ack) in batch.into_iter().filter_map(Guarded::take) {
            ack.send(Err(match why {
                SendFailure::Restarting => StartError::Restarting,
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
    pub fn terminate_child<T: Target>(
        &self,
        child: T,
    ) -> impl Future<Output = Result<(), ChildError>> + Send + use<A, T> {
        let call = child.target().map(|pid| {
            self.at.call(|reply| Request::Terminate(pid, reply)).no_timeout().owned()
        });
        async move {
            match call {
                Some(call) => call.await?,
                None => Err(ChildError::NotFound),
            }
        }
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

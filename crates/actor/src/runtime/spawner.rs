//! Starts with options, from outside of any process.

use std::{fmt, future::Future};

use super::Handle;
use crate::{
    Actor, ActorRef, ExitReason, Mailbox, SpawnOptions, Start,
    oneshot::oneshot,
    process::Body,
    spawn::{self, Relation},
};

/// Starts processes with options: [`Handle::with`].
#[must_use = "options do nothing until something is started with them"]
pub struct RuntimeSpawner<'a> {
    pub(super) handle: &'a Handle,
    pub(super) options: SpawnOptions,
}

impl RuntimeSpawner<'_> {
    fn go<A: Actor>(
        self,
        args: A::Args,
        ack: Option<crate::StartReply<A::Msg>>,
    ) -> ActorRef<A::Msg> {
        let shared = &self.handle.shared;
        match spawn::spawn::<A>(shared, args, self.options, None, ack, Relation::Plain(None)) {
            Ok(spawned) => ActorRef::from_cell(spawned.cell),
            Err(refused) => refused.answer(shared),
        }
    }

    /// As [`Handle::spawn`].
    pub fn spawn<A: Actor>(self, args: A::Args) -> ActorRef<A::Msg> {
        self.go::<A>(args, None)
    }

    /// As [`Handle::spawn_fn`].
    pub fn spawn_fn<M, F, Fut>(self, f: F) -> ActorRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.spawn::<Body<M, F, Fut>>(f)
    }

    /// As [`Handle::start`].
    pub fn start<A: Actor>(self, args: A::Args) -> Start<A::Msg> {
        let (reply, answer) = oneshot();
        let process = self.go::<A>(args, Some(reply)).into_cell();
        Start::of(process, None, answer)
    }
}

impl fmt::Debug for RuntimeSpawner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuntimeSpawner({:?})", self.options)
    }
}

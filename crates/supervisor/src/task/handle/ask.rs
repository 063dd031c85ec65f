//! How a task is asked for: its process is made here, and sent to the supervisor.

use std::future::Future;

use whitebeam_actor::{
    ExitReason, Handle, Mailbox, Pid, Prepared, Reply, SendFailure, SpawnOptions, StartError,
    oneshot,
};

use super::TaskRef;
use crate::task::{
    Task,
    places::Place,
    process::{Again, Request},
    this::Origin,
};

/// A task was not started. With what there is of it already, if its supervisor could not be told.
pub(super) type Refused = (StartError, Option<Box<Request>>);

impl TaskRef {
    /// A task that is not linked.
    pub(super) fn begin<M, T, F, Fut>(
        &self,
        body: impl FnOnce(Reply<T>, Origin, Place) -> F,
    ) -> Task<T>
    where
        M: Send + 'static,
        T: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        let (reply, answer) = oneshot();
        let origin = Origin::here();
        let owner = origin.owner;
        let started = self.ask(|rt, parent, options, place| {
            Ok((rt.prepare_fn(parent, options, body(reply, origin, place))?, None))
        });
        match started {
            Ok(process) => Task::started(answer, process, owner, false),
            Err((error, _made)) => Task::refused(error),
        }
    }

    /// Makes a process, and has the supervisor take it.
    pub(super) fn ask(
        &self,
        make: impl FnOnce(
            &Handle,
            Pid,
            SpawnOptions,
            Place,
        ) -> Result<(Prepared, Option<Again>), StartError>,
    ) -> Result<(Handle, Pid), Refused> {
        let Some(supervisor) = self.at.current() else {
            let why = self.at.cast(Request::Nothing).err().map(|refused| refused.why());
            return Err((refusal(why.unwrap_or(SendFailure::Restarting)), None));
        };
        let place = self.places.take().map_err(|error| (error, None))?;
        let rt = supervisor.runtime();
        let (process, again) = make(&rt, supervisor.pid(), self.options.clone(), place)
            .map_err(|error| (error, None))?;
        let pid = process.pid();
        match supervisor.cast(Request::Start(process, self.shutdown, again)) {
            Ok(()) => Ok((rt, pid)),
            Err(refused) => {
                let why = refusal(refused.why());
                Err((why, Some(Box::new(refused.into_message()))))
            }
        }
    }
}

fn refusal(why: SendFailure) -> StartError {
    match why {
        SendFailure::Restarting => StartError::Restarting,
        SendFailure::Full => StartError::Full,
        _ => StartError::NoSupervisor,
    }
}

//! How an owner parts with a task: by ending it, or by giving it up.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use whitebeam_actor::{ExitError, ExitReason, Handle, Pid};

use super::{State, Task};
use crate::Shutdown;

/// The process of a task.
pub(super) struct Process {
    pub(super) rt: Handle,
    pub(super) pid: Pid,
    pub(super) owner: Option<Pid>,
    pub(super) is_linked: bool,
}

impl<T> Task<T> {
    /// Takes the link back: the owner hears of its end by no other way than this.
    fn unlink(&self) {
        if let Some(process) = &self.process
            && let Some(owner) = process.owner.filter(|_| process.is_linked)
        {
            process.rt.unlink(owner, process.pid);
        }
    }

    /// As [`ignore`](Self::ignore).
    pub(in crate::task) fn give_up(&mut self) -> Option<Result<T, ExitError>> {
        if let Some(error) = self.not_mine() {
            return Some(Err(error));
        }
        let result = self.take_ready();
        self.unlink();
        self.state = State::Taken;
        result
    }

    /// Takes the link back, and sends an exit signal.
    pub(in crate::task) fn end(&self, reason: ExitReason) {
        self.unlink();
        if let Some(process) = &self.process {
            process.rt.exit(process.pid, reason);
        }
    }
}

impl<T: Send + 'static> Task<T> {
    /// Ends a process of which nothing is to be had any more. It may live: if it was given up.
    async fn end_unheard(&self, how: Shutdown) {
        let Some(process) = &self.process else { return };
        let mut down = pin!(process.rt.down(process.pid));
        self.end(how.signal());
        if let Some(time) = how.limit() {
            let mut time = pin!(process.rt.sleep(time));
            let in_time = poll_fn(|cx| match down.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => time.as_mut().poll(cx).map(|()| false),
            });
            if in_time.await {
                return;
            }
            self.end(ExitReason::Kill);
        }
        down.await;
    }

    /// Ends the task and waits until it has: its link to the owner is taken back, it is told to shut down, and killed
    /// if it has not ended after its time. A task whose result is there already is not waited for: its work is done, and
    /// its process is about to end by itself. What it gives tells how it went:
    ///
    /// | it gives | when |
    /// | --- | --- |
    /// | `Ok` | the result had come, or came meanwhile |
    /// | `Err(Shutdown)` | it has shut down as it was told |
    /// | `Err(Killed)` | it was killed: as it was told with [`BrutalKill`](Shutdown::BrutalKill), else since its time was over |
    /// | `Err(NoProc)` | all was given already, or it was given up ([`OnTimeout::Ignore`](crate::OnTimeout::Ignore)) |
    /// | `Err` of another reason | it had ended with that, or has ended otherwise than it was told |
    ///
    /// (In Elixir the second, and the third if asked for, are `nil`.)
    ///
    /// ```
    /// use std::future::pending;
    /// use whitebeam_actor::ExitReason;
    /// use whitebeam_supervisor::{Shutdown, TaskSupervisor};
    ///
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let ended = tasks.spawn(pending::<()>()).shutdown(Shutdown::WORKER).await;
    /// assert!(matches!(ended.unwrap_err().reason(), ExitReason::Shutdown));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See above.
    ///
    /// # Cancel safety
    /// Dropped, it has told the task to shut down, and will not kill it.
    pub async fn shutdown(mut self, how: Shutdown) -> Result<T, ExitError> {
        if let Some(error) = self.not_mine() {
            return Err(error);
        }
        if self.is_taken() {
            self.end_unheard(how).await;
            return Err(ExitReason::NoProc.into());
        }
        if let Some(result) = self.take_ready() {
            self.unlink();
            return result;
        }
        self.end(how.signal());
        if let (Some(time), Some(rt)) = (how.limit(), self.runtime()) {
            let time = rt.sleep(time);
            let mut time = pin!(time);
            let in_time = poll_fn(|cx| match self.poll_result(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => time.as_mut().poll(cx).map(|()| None),
            });
            if let Some(result) = in_time.await {
                return result;
            }
            self.end(ExitReason::Kill);
        }
        poll_fn(|cx| self.poll_result(cx)).await
    }

    /// Gives the task up: its link is taken back, it runs on, and its result is dropped. What has come of it already is
    /// given.
    ///
    /// What is ignored cannot be awaited:
    /// ```compile_fail,E0382
    /// # async fn f() {
    /// let task = whitebeam_supervisor::Task::completed(1);
    /// task.ignore();
    /// task.await;
    /// # }
    /// ```
    pub fn ignore(mut self) -> Option<Result<T, ExitError>> {
        self.give_up()
    }
}

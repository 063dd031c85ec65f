//! Tasks that give a result to who has asked for them.

use std::{
    future::{Future, pending},
    pin::pin,
};

use whitebeam_actor::{Actor, Context, ExitReason, Mailbox, Unfinished, oneshot};

use super::TaskRef;
use crate::{
    guard,
    task::{
        Task,
        process::Request,
        this::{Origin, run},
    },
};

impl TaskRef {
    /// Starts a task that is not linked to who asks for it: how it ends is told by its result alone. (OTP:
    /// `async_nolink`.)
    ///
    /// ```
    /// # use whitebeam_supervisor::TaskSupervisor;
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let number = tasks.spawn(async { "7".parse::<u64>() });
    /// assert_eq!(number.await??, 7);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn<F>(&self, work: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.begin(|reply, origin, place| {
            move |mailbox: Mailbox<()>| {
                let pid = mailbox.pid();
                async move {
                    let value = run(pid, origin, pin!(work)).await?;
                    drop(place);
                    reply.send(value);
                    Ok(())
                }
            }
        })
    }

    /// Starts a task that is linked to the process that asks for it: if one ends abnormally so does the other, unless
    /// it traps exits. (OTP: `async`.) The link is there before the task runs.
    ///
    /// A task that is not started is linked to nobody.
    ///
    /// ```
    /// # use whitebeam_actor::Mailbox;
    /// # use whitebeam_supervisor::TaskSupervisor;
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let owner = rt.spawn_fn(move |mut mailbox: Mailbox<()>| async move {
    ///     let _task = tasks.spawn_link(&mut mailbox, async { None::<()>.expect("nothing") });
    ///     std::future::pending().await
    /// });
    /// let ended = rt.down(&owner).await;
    /// assert!(matches!(ended.reason, whitebeam_actor::ExitReason::Panic(_)));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_link<A, F>(&self, cx: &mut Context<A>, work: F) -> Task<F::Output>
    where
        A: Actor,
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (reply, answer) = oneshot();
        let origin = Origin::of(cx.pid());
        let owner = origin.owner;
        let started = self.ask(|_, parent, options, place| {
            let body = move |mailbox: Mailbox<()>| {
                let pid = mailbox.pid();
                async move {
                    let value = run(pid, origin, pin!(work)).await?;
                    drop(place);
                    reply.send(value);
                    Ok(())
                }
            };
            Ok((cx.prepare_fn_link(parent, options, body)?, None))
        });
        match started {
            Ok(process) => Task::started(answer, process, owner, true),
            Err((error, made)) => {
                // Ahead of the end of what was made.
                if let Some(Request::Start(process, ..)) = made.as_deref() {
                    cx.unlink(process.pid());
                }
                Task::refused(error)
            }
        }
    }

    /// As [`spawn`](Self::spawn), of a task with a mailbox: it can trap exits, monitor others, and be sent messages by
    /// an address that it gives away. It ends without a result with `Err`, which is its exit reason.
    ///
    /// ```
    /// # use whitebeam_actor::{ExitReason, Mailbox};
    /// # use whitebeam_supervisor::TaskSupervisor;
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let double = tasks.spawn_fn(|mut mailbox: Mailbox<u32>| async move {
    ///     mailbox.me().cast(21)?;
    ///     Ok(mailbox.recv().await * 2)
    /// });
    /// assert_eq!(double.await?, 42);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_fn<M, T, F, Fut>(&self, f: F) -> Task<T>
    where
        M: Send + 'static,
        T: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, ExitReason>> + Send + 'static,
    {
        self.begin(|reply, origin, place| {
            move |mailbox: Mailbox<M>| {
                let pid = mailbox.pid();
                async move {
                    // In the task already when it is called, and once in the frame.
                    let body = async move { f(mailbox).await };
                    let value = run(pid, origin, pin!(body)).await??;
                    drop(place);
                    reply.send(value);
                    Ok(())
                }
            }
        })
    }

    /// As [`spawn`](Self::spawn), of a closure that holds up its thread: it runs on one for blocking work. The task is
    /// the process that waits for it. If the task ends before, a closure that has not begun never will, and one that
    /// runs goes on: nothing can stop a thread that runs somebody's code.
    ///
    /// ```
    /// # use whitebeam_supervisor::TaskSupervisor;
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let sum = tasks.spawn_blocking(|| (1..=1_000_u64).sum::<u64>());
    /// assert_eq!(sum.await?, 500_500);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        self.spawn_fn(|mailbox: Mailbox<()>| async move {
            let work = move || guard::call(work);
            match mailbox.runtime().spawn_blocking(work).outcome().await {
                Ok(result) => result,
                Err(Unfinished::NoThread(error)) => Err(error.into()),
                // The runtime ends, and this process with it.
                Err(_) => pending().await,
            }
        })
    }
}

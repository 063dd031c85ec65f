//! Tasks that nobody waits for.

use std::{future::Future, pin::pin, sync::Arc};

use whitebeam_actor::{Handle, Mailbox, Pid, StartError};

use super::TaskRef;
use crate::{
    Restart,
    task::{
        process::Again,
        this::{Origin, run},
    },
};

impl TaskRef {
    /// Starts a task that nobody waits for, and gives its pid. (OTP: `start_child`.)
    ///
    /// ```
    /// # use whitebeam_supervisor::TaskSupervisor;
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let (done, is_done) = whitebeam_actor::oneshot();
    /// tasks.start(async move { done.send("done") })?;
    /// assert_eq!(is_done.await?, "done");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Why it could not be started; the work was dropped. One that its supervisor does not come to take, since it ends
    /// before, is not told of: it never begins.
    pub fn start<F>(&self, work: F) -> Result<Pid, StartError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let origin = Origin::here();
        let started = self.ask(|rt, parent, options, place| {
            let body = move |mailbox: Mailbox<()>| {
                let pid = mailbox.pid();
                async move {
                    run(pid, origin, pin!(work)).await?;
                    drop(place);
                    Ok(())
                }
            };
            Ok((rt.prepare_fn(parent, options, body)?, None))
        });
        started.map(|(_, pid)| pid).map_err(|(why, _made)| why)
    }

    /// As [`start`](Self::start), of work that is done again when it has ended: as `restart` says, and as the
    /// supervisor's intensity allows. `work` makes the future, in the task. Between two runs it keeps its place among the
    /// [`max_children`](crate::TaskSupervisor::max_children), but not its name if it has one: a restart that finds it taken
    /// is tried again at once, and each try is a restart that counts: without a pause for as long as another keeps the name.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    /// # use whitebeam_supervisor::{Restart, TaskSupervisor};
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let (done, is_done) = whitebeam_actor::oneshot();
    /// let (tries, done) = (AtomicU32::new(0), std::sync::Mutex::new(Some(done)));
    /// tasks.start_restarted(Restart::Transient, move || {
    ///     let tries = tries.fetch_add(1, Ordering::Relaxed) + 1;
    ///     let done = done.lock().unwrap().take_if(|_| tries == 3);
    ///     async move { done.expect("the third time").send(tries) }
    /// })?;
    /// assert_eq!(is_done.await?, 3);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_restarted<F, Fut>(&self, restart: Restart, work: F) -> Result<Pid, StartError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let work = Arc::new(work);
        let origin = Origin::here();
        let started = self.ask(|rt, parent, options, place| {
            let make = move |rt: &Handle, parent: Pid| {
                let (work, origin) = (Arc::clone(&work), origin.clone());
                let body = move |mailbox: Mailbox<()>| {
                    let pid = mailbox.pid();
                    async move { run(pid, origin, pin!(async move { work().await })).await }
                };
                rt.prepare_fn(parent, options.clone(), body)
            };
            let first = make(rt, parent)?;
            Ok((first, Some(Again { restart, make: Box::new(make), _place: place })))
        });
        started.map(|(_, pid)| pid).map_err(|(why, _made)| why)
    }
}

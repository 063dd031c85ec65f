//! Closures that hold up their thread, for who is no actor.

use whitebeam_scheduler::{BlockingMetrics, BlockingTask, Refused};

use super::Handle;

impl Handle {
    /// Runs a closure that may take its time on a thread for blocking work, and gives the future of what it returns,
    /// which may be awaited anywhere. An actor has [`Context::blocking`](crate::Context::blocking), which holds up its
    /// mailbox no more than its worker.
    ///
    /// It is no part of any process: see [`BlockingTask`] for how it is cancelled and where its panic goes.
    /// There are at most [`Builder::blocking_threads`](crate::Builder::blocking_threads) such threads; with all of them
    /// busy it waits for its turn.
    ///
    /// ```
    /// let rt = whitebeam_actor::Runtime::builder().workers(1).build()?;
    /// let sum = rt.spawn_blocking(|| (1..=1_000_u64).sum::<u64>());
    /// assert_eq!(rt.block_on(sum), 500_500);
    /// # Ok::<_, whitebeam_actor::BuildError>(())
    /// ```
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> BlockingTask<T> {
        self.shared.scheduler().spawn_blocking(work)
    }

    /// As [`spawn_blocking`](Self::spawn_blocking), unless all threads are busy and as many closures wait as
    /// [`Builder::blocking_queue`](crate::Builder::blocking_queue) allows.
    ///
    /// # Errors
    /// The closure, and why it was not taken.
    pub fn try_spawn_blocking<T, W>(&self, work: W) -> Result<BlockingTask<T>, Refused<W>>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.shared.scheduler().try_spawn_blocking(work)
    }

    /// What the threads for blocking work do and have done.
    pub fn blocking_metrics(&self) -> BlockingMetrics {
        self.shared.scheduler().blocking_metrics()
    }
}

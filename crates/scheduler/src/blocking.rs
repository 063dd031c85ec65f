//! Blocking work: closures that hold up their thread, on threads of their own.
//!
//! A worker that waits for a file, a lock or a computation holds up everything that is queued behind it. Such work is
//! given to a pool instead ([`pool`]), beside the workers: it grows up to a limit, and shrinks when there is nothing to
//! do. Each closure is a *job* ([`job`]); who gave it has a [`BlockingTask`], a future of what it gives.
//!
//! # The life of a job
//!
//! ```text
//!             taken by a thread            returned
//!   Waiting ---------------------> Running ---------> Over(what it gave)
//!      |                              |
//!      | the task is dropped          | the task is dropped
//!      v                              v
//!   the closure is dropped there   goes on; what it gives is dropped by its thread
//! ```
//!
//! Whether a job is still waiting is decided under the lock of its state, which both sides take: the closure is moved
//! out of it once, to be called or to be dropped. So when the drop of a task returns, its closure is dropped, or is
//! running: nothing can stop a thread that runs somebody's code.
//!
//! # In the simulation
//!
//! There are no threads. A job is run by the simulation itself, between two steps, at a moment that is chosen
//! ([`Point::Completion`](crate::Point::Completion)), and so is which one of several. It is not inside a step: like a
//! thread of the pool it may wait for what the simulation does, by [`Handle::block_on`]. Jobs that wait in this way lie
//! on one stack: one that waits for another which has waited for longer stands still.

mod job;
mod pool;

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use self::job::{Job, Outcome, Run};
use crate::handle::Handle;
use crate::metrics::BlockingMetrics;

pub(crate) use self::pool::{Pool, Settings};

/// A closure that runs on a thread of the pool for blocking work: [`Handle::spawn_blocking`]. Awaiting it gives what
/// the closure returned, on any executor.
///
/// Dropping it cancels a closure that has not begun, which is dropped at once, there. One that runs is not stopped:
/// what it returns is dropped. [`detach`](Self::detach) lets it run in either case.
///
/// # Panics
///
/// Awaiting it goes on with the panic that ended the closure. It also panics when the closure was never run, since
/// the scheduler ended or the system had no thread for it; [`outcome`](Self::outcome) tells instead.
#[must_use = "dropping a blocking task cancels it unless it has begun; `detach` lets it run"]
pub struct BlockingTask<T> {
    /// `None`: it was detached.
    job: Option<Arc<dyn Outcome<T>>>,
    /// Its place in the queue.
    number: u64,
    pool: Arc<Pool>,
}

/// Why a closure gave no value: [`BlockingTask::outcome`].
#[non_exhaustive]
pub enum Unfinished {
    /// It panicked, with this.
    Panicked(Box<dyn Any + Send>),
    /// It was dropped before it began: the scheduler ended.
    Stopped,
    /// It was dropped before it began: the pool had no thread, and the system refused one.
    NoThread(io::Error),
}

/// A closure that was not taken: [`Handle::try_spawn_blocking`]. It owns what was refused.
pub struct Refused<W> {
    /// In a lock, so that this is `Sync` for every `W`, and an error that `?` takes.
    work: Mutex<W>,
    why: Refusal,
}

/// Why a closure was not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// All threads that there may be are busy, and as many closures wait as may.
    Full,
    /// The scheduler ends.
    Stopped,
    /// The pool has no thread, and the system refused one.
    NoThread(io::Error),
}

impl Handle {
    /// Runs a closure that may take its time on a thread of the pool for blocking work, and gives the future of what
    /// it returns.
    ///
    /// It begins at once if a thread has nothing to do, or there are fewer than there may be
    /// ([`Builder::blocking_threads`](crate::Builder::blocking_threads)); else it waits for its turn, first come,
    /// first served. That queue has no limit here; with one: [`try_spawn_blocking`](Self::try_spawn_blocking).
    ///
    /// Costs two hand-overs between threads, some microseconds: not for what takes less.
    ///
    /// ```
    /// use whitebeam_scheduler::Scheduler;
    ///
    /// let scheduler = Scheduler::builder().workers(1).build()?;
    /// let handle = scheduler.handle();
    /// let sum = handle.spawn_blocking(|| (1..=1_000_u64).sum::<u64>());
    /// assert_eq!(handle.block_on(sum), 500_500);
    /// # Ok::<(), whitebeam_scheduler::BuildError>(())
    /// ```
    pub fn spawn_blocking<T, W>(&self, work: W) -> BlockingTask<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let pool = &self.shared().blocking;
        let job = Arc::new(Job::new(work));
        let number = match pool.submit(job.clone(), None) {
            Ok(number) => number,
            Err(why) => {
                job.lose(why.into());
                0
            }
        };
        BlockingTask { job: Some(job), number, pool: Arc::clone(pool) }
    }

    /// As [`spawn_blocking`](Self::spawn_blocking), unless all threads are busy and as many closures wait as
    /// [`Builder::blocking_queue`](crate::Builder::blocking_queue) allows.
    ///
    /// # Errors
    ///
    /// The closure, and why it was not taken.
    pub fn try_spawn_blocking<T, W>(&self, work: W) -> Result<BlockingTask<T>, Refused<W>>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let pool = &self.shared().blocking;
        let job = Arc::new(Job::new(work));
        match pool.submit(job.clone(), Some(pool.most_queued())) {
            Ok(number) => Ok(BlockingTask { job: Some(job), number, pool: Arc::clone(pool) }),
            Err(why) => match job.take_back() {
                Some(work) => Err(Refused::new(work, why)),
                None => unreachable!("what was refused is run by nobody"),
            },
        }
    }

    /// Whether the calling thread runs a closure of [`spawn_blocking`](Self::spawn_blocking) of this scheduler.
    #[must_use]
    pub fn is_blocking_thread(&self) -> bool {
        self.shared().blocking.is_here()
    }

    /// What the pool for blocking work does and has done.
    #[must_use]
    pub fn blocking_metrics(&self) -> BlockingMetrics {
        self.shared().blocking.metrics()
    }
}

impl<T> BlockingTask<T> {
    /// Lets the closure run without anybody waiting. What it returns is dropped, a panic is
    /// [counted](BlockingMetrics::panics).
    pub fn detach(mut self) {
        if let Some(job) = self.job.take() {
            job.detach();
        }
    }

    /// Waits for the closure.
    ///
    /// # Errors
    ///
    /// It panicked, or was never run.
    pub async fn outcome(mut self) -> Result<T, Unfinished> {
        poll_fn(|cx| self.poll_outcome(cx)).await
    }

    /// As the poll of [`outcome`](Self::outcome), which it makes: ready once.
    pub fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Unfinished>> {
        match &self.job {
            Some(job) => job.poll(cx),
            None => Poll::Pending,
        }
    }

    /// Whether the closure is over, or was dropped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.job.as_ref().is_none_or(|job| job.is_over())
    }
}

impl<T> Future for BlockingTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.poll_outcome(cx).map(|outcome| match outcome {
            Ok(value) => value,
            Err(Unfinished::Panicked(payload)) => panic::resume_unwind(payload),
            Err(why) => panic!("a blocking task was awaited, and {why}"),
        })
    }
}

impl<T> Unpin for BlockingTask<T> {}

impl<T> Drop for BlockingTask<T> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take()
            && job.give_up()
        {
            // Whoever takes it from the queue meanwhile finds nothing to run.
            self.pool.cancel(self.number);
        }
    }
}

impl<W> Refused<W> {
    /// A refusal of `work`, for who passes one on with something else in it.
    pub fn new(work: W, why: Refusal) -> Self {
        Refused { work: Mutex::new(work), why }
    }

    /// What was refused.
    pub fn into_work(self) -> W {
        self.work.into_inner()
    }

    /// Why.
    pub fn why(&self) -> &Refusal {
        &self.why
    }

    /// What was refused, and why.
    pub fn into_parts(self) -> (W, Refusal) {
        (self.work.into_inner(), self.why)
    }
}

impl From<Refusal> for Unfinished {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::NoThread(source) => Unfinished::NoThread(source),
            Refusal::Full | Refusal::Stopped => Unfinished::Stopped,
        }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfinished::Panicked(_) => f.write_str("its closure panicked"),
            Unfinished::Stopped => f.write_str("its scheduler ended before the closure began"),
            Unfinished::NoThread(_) => f.write_str("no thread could be started for its closure"),
        }
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfinished::Panicked(_) => f.write_str("Panicked(..)"),
            Unfinished::Stopped => f.write_str("Stopped"),
            Unfinished::NoThread(source) => f.debug_tuple("NoThread").field(source).finish(),
        }
    }
}

impl Error for Unfinished {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Unfinished::NoThread(source) => Some(source),
            Unfinished::Panicked(_) | Unfinished::Stopped => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Full => "all threads for blocking work are busy, and its queue is full",
            Refusal::Stopped => "the scheduler ends",
            Refusal::NoThread(_) => "no thread could be started for blocking work",
        })
    }
}

impl<W> fmt::Display for Refused<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<W> fmt::Debug for Refused<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<W> Error for Refused<W> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            Refusal::NoThread(source) => Some(source),
            Refusal::Full | Refusal::Stopped => None,
        }
    }
}

impl<T> fmt::Debug for BlockingTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingTask")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

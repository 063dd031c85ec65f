//! The owner of a scheduler, and the protocol of its end.
//!
//! # States
//!
//! ```text
//!   RUNNING --stop--> STOPPING --the owner is dropped--> CLOSED
//! ```
//!
//! # Shutdown
//!
//! 1. `stop`: the state becomes STOPPING, and each worker gets a token for its parker. From here on what
//!    workers schedule stays in their queues, what others schedule stays in the shared queue.
//!    The watchdog ends; nobody stands in for a worker any more.
//! 2. Each worker, and each spare, ends the run it is in, sees the state at its next look (at once after its turn, or when
//!    it wakes; in a busy queue after at most 64 more runs), calls its stop hook, moves what is left in its
//!    queue to the shared queue, and ends. Its last word is its index on a channel.
//! 3. [`Scheduler::shutdown`] collects the last words until the deadline, and joins those threads. A worker
//!    that is in a run which does not return is given up: its thread is detached, with what it borrows
//!    (the shared part is counted).
//! 4. The pool for [blocking work](Handle::spawn_blocking) takes no more, drops what waits there, and has what is left
//!    of the time for what runs. A closure that does not return is given up, with its thread.
//! 5. [`Scheduler::drain`] hands over what is queued: to run nowhere, but to be disposed of.
//! 6. Drop: the state becomes CLOSED, what is queued is dropped, and so is whatever is scheduled later (by
//!    wakers that outlive the scheduler). A push and the drain of `CLOSED` can't both miss a runnable:
//!    the push comes before its look at the state, the drain after the state's change.

use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::builder::Builder;
use crate::clock::Time;
use crate::handle::Handle;
use crate::runnable::Runnable;

/// How long dropping a scheduler waits for workers that are inside a run.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// Owns the worker threads.
///
/// Its end goes in steps: [`shutdown`](Self::shutdown) lets each worker finish the run it is in, and waits;
/// what was scheduled and not run stays queued, for [`drain`](Self::drain); what is scheduled after the drop is
/// dropped.
///
/// Dropping it stops the workers, waits up to five seconds for those inside a run, and drops what is
/// queued. On one of its own workers, and after a [`shutdown`](Self::shutdown), it does not wait.
pub struct Scheduler {
    handle: Handle,
    /// By index, spares behind the workers, and the watchdog last; taken when joined.
    threads: Vec<Option<JoinHandle<()>>>,
    /// The last words of the workers.
    ended: Receiver<usize>,
    /// Somebody has waited for the workers, as long as he would.
    waited: bool,
}

impl Scheduler {
    /// Settings first.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The owner of workers yet to be started; they send their index when they end.
    pub(crate) fn new(handle: Handle) -> (Self, Sender<usize>) {
        let (sender, ended) = unbounded();
        (Scheduler { handle, threads: Vec::new(), ended, waited: false }, sender)
    }

    /// The next worker was started.
    pub(crate) fn started(&mut self, thread: JoinHandle<()>) {
        self.threads.push(Some(thread));
    }

    /// What everybody else uses.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Stops the workers and waits for them, for at most `within` (`None`: for as long as it takes). Gives the
    /// indexes of those that are still inside a run, spares behind the workers, and the one behind all of them for the
    /// watchdog, if that is inside its hook; they end by themselves when it returns, and may be waited for by another
    /// call.
    ///
    /// Then it ends the pool for [blocking work](Handle::spawn_blocking) in what is left of `within`: what waits there
    /// is dropped, what runs is waited for, by the first call that may wait. What is still running is in
    /// [`Handle::blocking_metrics`], and not in the answer.
    ///
    /// On a worker of this scheduler it does not wait.
    pub fn shutdown(&mut self, within: Option<Duration>) -> Vec<usize> {
        self.handle.stop();
        self.waited = true;
        let is_worker = self.handle.is_worker();
        let deadline = within.map(|within| self.handle.now() + within);
        if !is_worker {
            while self.threads.iter().any(Option::is_some) {
                let ended = match deadline {
                    None => self.ended.recv().ok(),
                    Some(deadline) => self.ended.recv_timeout(deadline - self.handle.now()).ok(),
                };
                let Some(index) = ended else { break };
                if let Some(thread) = self.threads.get_mut(index).and_then(Option::take) {
                    // A panic of a wrapper of the user's: the thread is over either way.
                    let _ = thread.join();
                }
            }
        }
        let shared = self.handle.shared();
        shared.blocking.close(&shared.clock, if is_worker { Some(Time::ZERO) } else { deadline });
        let is_left = |(index, thread): (usize, &Option<_>)| thread.is_some().then_some(index);
        self.threads.iter().enumerate().filter_map(is_left).collect()
    }

    /// Hands over what is queued and will not be run, in order; after [`shutdown`](Self::shutdown).
    ///
    /// While workers run it takes what is in the shared queue only.
    pub fn drain(&mut self, f: impl FnMut(Runnable)) {
        self.handle.shared().drain(f);
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if !self.waited {
            self.shutdown(Some(DROP_WAIT));
        }
        self.handle.shared().close();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("handle", &self.handle).finish_non_exhaustive()
    }
}

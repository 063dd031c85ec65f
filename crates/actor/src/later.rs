//! What is to happen later, by whoever asked for it: messages, exits and closures at a time, without a process that
//! waits for it.
//!
//! ```text
//!   Waiting ──the time has come──▶ Over: sent, or run
//!      │ ├────── cancel ─────────▶ Over
//!      │ └────── the runtime stops ▶ Over
//!      └──────── its receiver ends ▶ Over
//! ```
//!
//! Who takes the work out of `work`, under its lock, has decided which of these it is: so it happens once or was
//! cancelled, never both.
//!
//! A message for a process is one of that process's own timers (`timer`): a signal brings it there, so that it dies
//! with its receiver, keeps the order of due times with the receiver's others, and counts in no length. All else is
//! in the wheel itself, and what it is for (a name, a target of an exit) is looked up when the time has come.
//!
//! Never early: the deadline is counted from the moment of the request.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use whitebeam_scheduler::{Expire, Time, TimerKey};
use whitebeam_sync::shim::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    ActorRef, ExitReason, Handle, Mailbox, NamedRef, SendError, SendFailure, Target,
    cell::CellRef,
    contain::contain,
    local,
    message::{self, Carried},
    narrow, reference,
    shared::Shared,
    signal::{self, Signal},
};

/// Something that is to happen later: [`ActorRef::cast_after`], [`NamedRef::cast_after`], [`Handle::exit_after`] and
/// [`Handle::run_after`] give one.
///
/// Dropping it takes nothing back. Clones are of the same.
#[derive(Clone)]
pub struct Later(Arc<Inner>);

pub(crate) struct Inner {
    shared: Weak<Shared>,
    deadline: Time,
    /// `None`: over.
    work: Mutex<Option<Work>>,
    place: Place,
}

/// What is to happen.
enum Work {
    Message(Carried),
    Run(Box<dyn FnOnce() + Send>),
}

/// Which timer it is.
enum Place {
    /// In the wheel, once it is there.
    Wheel(OnceLock<TimerKey>),
    /// One of this process's own, with this number; 0 until it knows of it.
    Process { cell: CellRef, id: AtomicU64 },
}

impl Later {
    /// Takes it back: the time that was left. `None`: it has happened, or its receiver has ended, or it was
    /// cancelled before. It happens once or was cancelled, never both.
    pub fn cancel(&self) -> Option<Duration> {
        let work = self.0.take()?;
        let shared = self.0.shared.upgrade();
        match &self.0.place {
            Place::Wheel(key) => {
                if let (Some(shared), Some(key)) = (&shared, key.get()) {
                    let _ = shared.scheduler().cancel(*key);
                }
            }
            Place::Process { cell, .. } => {
                // So that nothing is kept of it until the time has come.
                let _ = signal::send(cell.ptr(), Signal::NotLater(self.0.clone()));
            }
        }
        // The user's, outside of the lock.
        let _ = contain(|| drop(work));
        Some(self.0.deadline.saturating_since(shared?.scheduler().now()))
    }

    /// The time that is left. `None`: as for [`cancel`](Self::cancel). Zero: it is about to happen.
    pub fn time_left(&self) -> Option<Duration> {
        let shared = self.0.shared.upgrade()?;
        let is_waiting = self.0.work.lock().is_some();
        is_waiting.then(|| self.0.deadline.saturating_since(shared.scheduler().now()))
    }
}

impl Inner {
    fn take(&self) -> Option<Work> {
        self.work.lock().take()
    }

    pub(crate) fn deadline(&self) -> Time {
        self.deadline
    }

    /// Its receiver has made it one of its own timers.
    pub(crate) fn armed(&self, timer: u64) {
        if let Place::Process { id, .. } = &self.place {
            id.store(timer, Ordering::Relaxed);
        }
    }

    /// Which of its receiver's own timers it is.
    pub(crate) fn timer(&self) -> u64 {
        match &self.place {
            Place::Wheel(_) => 0,
            // Both in the receiver's runs.
            Place::Process { id, .. } => id.load(Ordering::Relaxed),
        }
    }

    /// Whether it was not cancelled.
    pub(crate) fn is_waiting(&self) -> bool {
        self.work.lock().is_some()
    }

    /// The message, when the time has come or the receiver ends, unless it was cancelled.
    pub(crate) fn take_message(&self) -> Option<Carried> {
        match self.take()? {
            Work::Message(message) => Some(message),
            Work::Run(_) => None,
        }
    }
}

impl Expire for Inner {
    fn expire(&self, _token: u64, _deadline: u64) {
        if let Some(Work::Run(run)) = self.take() {
            // On a worker, outside of any process.
            let _ = local::outside(|| contain(run));
        }
    }

    fn closed(&self) {
        let work = self.take();
        let _ = contain(|| drop(work));
    }
}

/// When something is due that is asked for now.
///
/// # Panics
/// The delay is of more than 2^63 ms.
#[track_caller]
pub(crate) fn deadline(shared: &Shared, after: Duration) -> Time {
    assert!(
        after.as_millis() <= 1 << 63,
        "a delay of more than 2^63 ms (292 million years) is a mistake: leave the timer out instead"
    );
    shared.scheduler().now().saturating_add(after)
}

/// Puts a closure into the wheel. It must not block.
#[track_caller]
fn run(handle: &Handle, after: Duration, run: impl FnOnce() + Send + 'static) -> Later {
    let shared = handle.shared();
    let deadline = deadline(shared, after);
    let inner = Arc::new(Inner {
        shared: handle.weak(),
        deadline,
        work: Mutex::new(Some(Work::Run(Box::new(run)))),
        place: Place::Wheel(OnceLock::new()),
    });
    let key = shared.scheduler().timer_at(deadline, inner.clone(), 0);
    if let Place::Wheel(place) = &inner.place {
        let _ = place.set(key);
    }
    Later(inner)
}

impl<M: Send + 'static> ActorRef<M> {
    /// Sends a message after a time: never early, and not at all if the process ends before, which frees it too. It
    /// does not count in the mailbox's length.
    ///
    /// It may be taken back by whoever has what this gives. A process's timers to itself are cheaper:
    /// [`Context::send_after`](crate::Context::send_after).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use whitebeam_actor::{Mailbox, Runtime};
    /// let rt = Runtime::simulated(1)?;
    /// let process = rt.spawn_fn(|mut mailbox: Mailbox<u8>| async move {
    ///     assert_eq!(mailbox.recv().await, 1);
    ///     Ok(())
    /// });
    /// let one = process.cast_after(Duration::from_secs(10), 1)?;
    /// let other = process.cast_after(Duration::from_secs(5), 2)?;
    /// assert_eq!(other.cancel(), Some(Duration::from_secs(5)));
    /// rt.block_on(rt.down(&process));
    /// assert_eq!(rt.uptime(), Duration::from_secs(10));
    /// assert_eq!(one.time_left(), None);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The process has ended; the message comes back with the error.
    ///
    /// # Panics
    /// The time is of more than 2^63 ms.
    #[track_caller]
    pub fn cast_after(&self, after: Duration, msg: M) -> Result<Later, SendError<M>> {
        let runtime = self.runtime();
        let (cell, via) = self.parts();
        let inner = Arc::new(Inner {
            shared: runtime.weak(),
            deadline: deadline(runtime.shared(), after),
            work: Mutex::new(None),
            place: Place::Process { cell: cell.clone(), id: AtomicU64::new(0) },
        });
        // The receiver waits for the lock: it finds the message, or was never told of it. What the push owes comes
        // behind the lock: once the workers have stopped, who schedules a process ends it.
        let mut work = inner.work.lock();
        let Ok(push) = signal::push(cell.ptr(), Signal::Later(inner.clone())) else {
            return Err(SendError(message::refused(message::node(msg)), &SendFailure::NoProc));
        };
        *work = Some(Work::Message(match via {
            None => message::carried_uncounted(msg),
            Some(via) => narrow::carried_uncounted(via, msg),
        }));
        drop(work);
        cell.ptr().follow(push);
        Ok(Later(inner))
    }
}

impl<M: Send + 'static> NamedRef<M> {
    /// Sends a message after a time to whoever has the name then: never early. If nobody has it, or a process that
    /// takes messages of another type, the message is dropped. It does not count in the mailbox's
    /// length.
    ///
    /// # Panics
    /// The time is of more than 2^63 ms.
    #[track_caller]
    pub fn cast_after(&self, after: Duration, msg: M) -> Later {
        let named = self.clone();
        run(self.runtime(), after, move || {
            if let Ok(cell) = named.cell() {
                let _ = reference::cast_uncounted(cell.ptr(), msg);
            }
        })
    }
}

impl Handle {
    /// Sends an exit signal after a time, as [`exit`](Self::exit) does: never early. A name is looked up then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use whitebeam_actor::{ExitReason, Mailbox, Runtime};
    /// let rt = Runtime::simulated(1)?;
    /// let process = rt.spawn_fn(|mut mailbox: Mailbox<()>| async move { Ok(mailbox.recv().await) });
    /// rt.exit_after(Duration::from_secs(1), &process, ExitReason::custom("too late"));
    /// let down = rt.block_on(rt.down(&process));
    /// assert_eq!(down.reason.downcast_ref::<&str>(), Some(&"too late"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// The time is of more than 2^63 ms.
    #[track_caller]
    pub fn exit_after(&self, after: Duration, to: impl Target, reason: ExitReason) -> Later {
        let (name, pid) = (to.name().cloned(), to.target());
        let handle = self.clone();
        run(self, after, move || match (name, pid) {
            (Some(name), _) => handle.exit(name, reason),
            (None, Some(pid)) => handle.exit(pid, reason),
            (None, None) => {}
        })
    }

    /// Runs a closure after a time, in a process of its own: never early. A panic in it is that process's crash.
    ///
    /// It holds its worker as a handler does, so it should not take long.
    ///
    /// # Panics
    /// The time is of more than 2^63 ms.
    #[track_caller]
    pub fn run_after(&self, after: Duration, f: impl FnOnce() + Send + 'static) -> Later {
        let handle = self.clone();
        run(self, after, move || {
            handle.spawn_fn(move |_: Mailbox<()>| async move {
                f();
                Ok(())
            });
        })
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time_left() {
            Some(left) => write!(f, "Later(in {left:?})"),
            None => f.write_str("Later(over)"),
        }
    }
}

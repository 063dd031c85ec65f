//! What an observer is told, and what it may do.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use whitebeam_scheduler::Time;
use whitebeam_sync::shim::atomic::{AtomicU64, Ordering};

use crate::{ExitReason, Name, Pid};

/// Is told of everything that processes of one simulated runtime do, as it happens, on the simulation's thread.
///
/// It is called in the middle of the runtime's work, and while locks of the user's may be held: it must not run
/// code of the user's (which formatting an [`ExitReason`] may do, dropping the last clone of one as well), nor
/// send, spawn or end anything. Reading by [`Handle::info`](crate::Handle::info) is allowed.
pub trait Observer: Send + Sync {
    /// Something has happened. `now` is the virtual time since the runtime's start.
    fn observe(&self, now: Duration, event: Event<'_>);

    /// How many messages may wait for a process that is about to be made, and is to be bounded to `limit`: so many,
    /// unless overridden. At least one in any case.
    fn mailbox_bound(&self, actor: &'static str, name: Option<&Name>, limit: usize) -> usize {
        let _ = (actor, name);
        limit
    }

    /// What is to happen to a process before its `init`, before it handles a message, or before it gets one in a
    /// bounded mailbox. Nothing unless overridden.
    fn intervene(&self, pid: Pid, moment: Moment) -> Intervention {
        let _ = (pid, moment);
        Intervention::Nothing
    }
}

/// What has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A process was made. Its `init` comes later.
    Spawned {
        /// The new process.
        pid: Pid,
        /// Who made it. `None`: it was started from outside.
        parent: Option<Pid>,
        /// The actor's type.
        actor: &'static str,
        /// The name it is registered under.
        name: Option<&'a Name>,
        /// 1 for a first start, 2 for the first restart.
        attempt: u32,
    },
    /// Its `init` is done.
    Started {
        /// The process.
        pid: Pid,
    },
    /// A message was taken from the mailbox and goes to the handler.
    Delivered {
        /// The receiver.
        pid: Pid,
        /// The type of its messages.
        message: &'static str,
        /// Which variant of it, if it is an enum: its discriminant.
        variant: Option<i128>,
        /// How it was sent.
        how: Delivery,
        /// The how many-th of those that count in the mailbox's length, from 0, modulo 2^32. `None`: the
        /// runtime made it of a signal or a timer.
        number: Option<u32>,
    },
    /// Code of the process is about to run: its `init` or a handler, from the beginning or from an await.
    Enters {
        /// The process.
        pid: Pid,
    },
    /// It has run, to its end or to an await. Not told if it panicked.
    Leaves {
        /// The process.
        pid: Pid,
        /// It is suspended at an await.
        is_suspended: bool,
    },
    /// A signal has taken effect on a process.
    Signalled {
        /// The receiver.
        pid: Pid,
        /// Which signal.
        signal: SignalKind<'a>,
    },
    /// A timer of a process has fired: its message is in the mailbox.
    TimerFired {
        /// The process.
        pid: Pid,
    },
    /// Something is waited for.
    Waits {
        /// Names the wait.
        id: u64,
        /// Who waits. `None`: code outside of processes.
        who: Option<Pid>,
        /// On whom.
        on: Pid,
        /// For what.
        what: WaitsFor,
    },
    /// It is not waited for any more.
    WaitsNoMore {
        /// The wait's name.
        id: u64,
        /// Who waited.
        who: Option<Pid>,
        /// On whom.
        on: Pid,
        /// How it came out.
        over: WaitOver,
    },
    /// A process has ended. Told when frame and state are dropped, before anybody else is told.
    Exited {
        /// The process.
        pid: Pid,
        /// Why.
        reason: &'a ExitReason,
    },
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// By a cast.
    Cast,
    /// As the request of a call.
    Request,
    /// The runtime made it: of a timer, a DOWN, an EXIT, or for `continue_with`.
    Own,
}

/// A signal, as far as it is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum SignalKind<'a> {
    /// An exit signal.
    ExitSignal {
        /// From whom; `None`: from outside.
        from: Option<Pid>,
        /// Why.
        reason: &'a ExitReason,
        /// Over a link that broke.
        link: bool,
    },
    /// Told to shut down by the parent or the runtime.
    Shutdown,
    /// Killed by the parent or the runtime.
    Kill,
    /// Somebody monitors the process from now on.
    Monitored,
    /// Somebody does not any more.
    Demonitored,
    /// A process that it monitors has ended.
    DownSignal {
        /// Which.
        of: Pid,
        /// Why.
        reason: &'a ExitReason,
    },
    /// Another process is linked to it from now on.
    Linked {
        /// Which.
        to: Pid,
    },
    /// Another process is not linked to it any more.
    Unlinked {
        /// Which.
        from: Pid,
    },
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitsFor {
    /// The answer of a call.
    Answer,
    /// The end of a process.
    Ending,
}

/// How a wait came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitOver {
    /// What was waited for has come, if only the news that it will not.
    Served,
    /// The call's time is over.
    TimedOut,
    /// Who waited was dropped.
    GivenUp,
}

/// When an [`Intervention`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Moment {
    /// Before `init`.
    Init,
    /// Before a message is handled.
    Message {
        /// As in [`Event::Delivered`].
        number: Option<u32>,
    },
    /// Before somebody's message is put into its mailbox, which is bounded. Called by its sender.
    Room,
}

/// What is done to a process at a [`Moment`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Intervention {
    /// Nothing is done.
    Nothing,
    /// It waits for so long first, as if its code began with a sleep: signals act meanwhile.
    Delay(Duration),
    /// It panics with this text instead. The panic hook is not called.
    Crash(&'static str),
    /// It ends with this reason instead, as if its code had returned it.
    Fail(ExitReason),
    /// At [`Moment::Room`], where nothing else has an effect: the message finds the mailbox full, whether it is or not.
    /// (One that drops its oldest must have one, and lets those in who would wait for room.) Elsewhere those wait until
    /// the receiver has looked.
    Full,
}

/// A runtime's observer.
pub(crate) struct Observed {
    /// Weak: the observer may hold a handle to the runtime.
    observer: Weak<dyn Observer>,
    /// Names waits.
    waits: AtomicU64,
}

impl Observed {
    pub(crate) fn new(observer: &Arc<dyn Observer>) -> Self {
        Observed { observer: Arc::downgrade(observer), waits: AtomicU64::new(0) }
    }

    pub(crate) fn tell(&self, now: Time, event: Event<'_>) {
        if let Some(observer) = self.observer.upgrade() {
            observer.observe(now.saturating_since(Time::ZERO), event);
        }
    }

    pub(crate) fn intervention(&self, pid: Pid, moment: Moment) -> Intervention {
        self.observer
            .upgrade()
            .map_or(Intervention::Nothing, |observer| observer.intervene(pid, moment))
    }

    pub(crate) fn mailbox_bound(
        &self,
        actor: &'static str,
        name: Option<&Name>,
        limit: u32,
    ) -> u32 {
        let Some(observer) = self.observer.upgrade() else { return limit };
        let bound = observer.mailbox_bound(actor, name, limit as usize);
        u32::try_from(bound).map_or(limit, |bound| bound.clamp(1, limit))
    }

    pub(crate) fn next_wait(&self) -> u64 {
        self.waits.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").finish_non_exhaustive()
    }
}

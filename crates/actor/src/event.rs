//! What a runtime tells of itself while it runs: to a hook, and from there to logs and metrics.
//!
//! An event is told by whoever found it: a worker, at the end of what it was doing, or the thread that watches the
//! workers. It is made only if somebody wants it, and never on the way of a message. A panic of the hook's goes no
//! further and is counted. The hook may hold a handle: it is taken out when the runtime has stopped.

#[cfg(feature = "tracing")]
mod trace;

use std::{fmt, sync::Arc};

use whitebeam_sync::shim::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    CrashReport, MailboxLevel, StuckHandler, SupervisorContext, SupervisorReport, contain::contain,
    local,
};

/// Something that a runtime tells of itself: [`Builder::on_event`](crate::Builder::on_event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RuntimeEvent {
    /// A process ended abnormally by its own code. Told with its block, if that is printed: after links, monitors,
    /// the parent and the caller of the request in hand were told.
    Crashed(Arc<CrashReport>),
    /// A handler holds its worker for longer than [`Builder::stuck_after`](crate::Builder::stuck_after) allows. Told
    /// once for each time that it does, by the thread that watches the workers.
    HandlerStuck(StuckHandler),
    /// It has returned: the same, with the time that it took.
    HandlerReturned(StuckHandler),
    /// A mailbox has become long: [`Builder::mailbox_watermark`](crate::Builder::mailbox_watermark). Found when its
    /// process drains its inbox, and so not while a handler does not come back. Of each second the first
    /// [`MAILBOX_EVENTS_PER_SECOND`](crate::MAILBOX_EVENTS_PER_SECOND) are told; how many were not is told with the
    /// next.
    MailboxHigh(MailboxLevel),
    /// A mailbox that was told of is short again. Not told if its process ends before.
    MailboxLow(MailboxLevel),
    /// Something has happened to a child of a supervisor, as that saw it.
    Supervisor(SupervisorReport),
}

/// How many events there were: [`Handle::event_counts`](crate::Handle::event_counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EventCounts {
    /// Events given to the hook since the runtime was built.
    pub told: u64,
    /// Calls of the hook that panicked.
    pub panics: u64,
}

/// Called with each event.
pub(crate) type Hook = dyn Fn(&RuntimeEvent) + Send + Sync;

/// What a runtime is to do with events: the part of its builder.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) hook: Option<Arc<Hook>>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("hook", &self.hook.is_some()).finish()
    }
}

/// Whether a subscriber of the program's takes crashes, and says what is to be said of them.
pub(crate) fn subscriber_tells_crashes() -> bool {
    #[cfg(feature = "tracing")]
    return contain(trace::wants_crashes).unwrap_or(false);
    #[cfg(not(feature = "tracing"))]
    return false;
}

fn subscriber_wants_stuck() -> bool {
    #[cfg(feature = "tracing")]
    return contain(trace::wants_stuck).unwrap_or(false);
    #[cfg(not(feature = "tracing"))]
    return false;
}

fn subscriber_wants_supervision(context: SupervisorContext) -> bool {
    #[cfg(feature = "tracing")]
    return contain(|| trace::wants_supervision(context)).unwrap_or(false);
    #[cfg(not(feature = "tracing"))]
    {
        let _ = context;
        false
    }
}

/// Whether the program may have a subscriber.
fn has_subscriber() -> bool {
    cfg!(feature = "tracing")
}

/// Who is told of a runtime's events.
pub(crate) struct Events {
    /// Taken out when the runtime has stopped.
    hook: Mutex<Option<Arc<Hook>>>,
    told: AtomicU64,
    panics: AtomicU64,
}

impl Events {
    pub(crate) fn new(settings: Settings) -> Self {
        Events {
            hook: Mutex::new(settings.hook),
            told: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// Whether anybody wants to know of crashes.
    pub(crate) fn wants_crashes(&self) -> bool {
        self.hook.lock().is_some() || subscriber_tells_crashes()
    }

    /// Whether anybody wants to know of handlers that hold their worker, as far as is known now.
    pub(crate) fn wants_stuck(&self) -> bool {
        self.hook.lock().is_some() || subscriber_wants_stuck()
    }

    /// Whether anybody wants to know what supervisors report.
    pub(crate) fn wants_supervision(&self, context: SupervisorContext) -> bool {
        subscriber_wants_supervision(context) || self.hook.lock().is_some()
    }

    pub(crate) fn counts(&self) -> EventCounts {
        EventCounts {
            told: self.told.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
        }
    }

    /// Tells whoever wants to know. `event` is made only then; it runs no code of the user's and takes no lock.
    #[cold]
    pub(crate) fn tell(&self, event: impl FnOnce() -> RuntimeEvent) {
        let hook = self.hook.lock().clone();
        if hook.is_none() && !has_subscriber() {
            return;
        }
        let event = event();
        // A subscriber is the user's code as well.
        #[cfg(feature = "tracing")]
        self.contained(|| trace::emit(&event));
        if let Some(hook) = hook {
            self.told.fetch_add(1, Ordering::Relaxed);
            // The clone goes inside: the hook may be dropped here, and is the user's.
            self.contained(move || hook(&event));
        }
    }

    /// The workers are gone: what may hold a handle goes.
    pub(crate) fn stopped(&self) {
        let hook = self.hook.lock().take();
        self.contained(|| drop(hook));
    }

    fn contained(&self, f: impl FnOnce()) {
        if local::outside(|| contain(f)).is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

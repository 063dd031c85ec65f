//! The last events of one process.
//!
//! A [`Trace`] and its process share a ring. The process appends, under the ring's lock, whatever it does from the
//! moment it has noticed; the reader copies. The runtime keeps the rings by pid, so that a process that is told to look
//! finds its own ([`level`](super::level)). Others pay nothing: they have no ring.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use whitebeam_scheduler::Time;
use whitebeam_sync::shim::Mutex;

use crate::{
    ExitReason, Handle, Pid, Target,
    cell::flag,
    simulate::{Event, SignalKind},
};

/// The last events of a process since the trace began: [`Handle::trace`].
///
/// The process goes on recording until this is dropped, also while nobody reads. Printed with `{}` it is a line for
/// each event.
///
/// ```
/// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime, Traced};
/// # struct Counter { total: i64 }
/// enum Msg { Add(i64), Get(Reply<i64>) }
/// # impl Actor for Counter {
/// #     type Args = ();
/// #     type Msg = Msg;
/// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Counter { total: 0 }) }
/// #     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         match msg {
/// #             Msg::Add(n) => self.total += n,
/// #             Msg::Get(reply) => reply.send(self.total),
/// #         }
/// #         Ok(())
/// #     }
/// #     fn msg_name(msg: &Msg) -> Option<&'static str> {
/// #         Some(match msg { Msg::Add(_) => "Add", Msg::Get(_) => "Get" })
/// #     }
/// # }
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let counter = rt.start::<Counter>(()).await?;
///     let trace = rt.trace(&counter, 100).expect("it lives");
///     counter.cast(Msg::Add(2))?;
///     counter.call(Msg::Get).await?;
///     let names = trace.entries().into_iter().filter_map(|entry| match entry.what {
///         Traced::Message { name, .. } => Some(name),
///         _ => None,
///     });
///     assert!(names.eq(["Add", "Get"]));
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a trace ends it"]
pub struct Trace {
    handle: Handle,
    pid: Pid,
    ring: Arc<Ring>,
}

/// One event of a [`Trace`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TraceEntry {
    /// The how many-th event since the trace began, from 1 on: what is missing was pushed out.
    pub number: u64,
    /// When, since the runtime's start, by its clock.
    pub at: Duration,
    /// What has happened.
    pub what: Traced,
}

/// What a [`Trace`] tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Traced {
    /// `init` is done.
    Started,
    /// A message was taken from the mailbox.
    Message {
        /// Its [name](crate::Actor::msg_name), or the type of the messages.
        name: &'static str,
        /// It came by a call.
        is_request: bool,
    },
    /// The code that was running has suspended at an await.
    Suspended,
    /// It has finished.
    Finished,
    /// A signal was received, in words: of a reason only what kind it is.
    Signal(String),
    /// A timer's message has joined the mailbox.
    TimerFired,
    /// The process has ended; in words, of a reason that carries a value only its kind.
    Exited(String),
}

/// What a trace and its process share.
pub(crate) struct Ring {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<TraceEntry>,
    number: u64,
}

impl Ring {
    pub(super) fn push(&self, now: u64, what: Traced) {
        let mut kept = self.kept.lock();
        kept.number += 1;
        if kept.entries.len() == self.most {
            kept.entries.pop_front();
        }
        let at = Time::from_nanos(now).saturating_since(Time::ZERO);
        let number = kept.number;
        kept.entries.push_back(TraceEntry { number, at, what });
    }
}

impl Trace {
    /// `None`: there is no such process.
    pub(super) fn begin(handle: &Handle, of: &impl Target, most: usize) -> Option<Trace> {
        let cell = handle.shared().find(of).filter(|cell| !cell.ptr().is_ended())?;
        let pid = cell.ptr().pid();
        let ring = Arc::new(Ring { most: most.max(1), kept: Mutex::default() });
        handle.shared().inspection().traces().lock().push((pid, ring.clone()));
        cell.ptr().raise(flag::LEVEL);
        Some(Trace { handle: handle.clone(), pid, ring })
    }

    /// Whose it is.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The last events, oldest first. Also while the process is stuck, and when it has ended.
    pub fn entries(&self) -> Vec<TraceEntry> {
        self.ring.kept.lock().entries.iter().cloned().collect()
    }

    /// How many events there were, those included that were pushed out.
    pub fn total(&self) -> u64 {
        self.ring.kept.lock().number
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let shared = self.handle.shared();
        shared.inspection().traces().lock().retain(|(_, ring)| !Arc::ptr_eq(ring, &self.ring));
        if let Some(cell) = shared.resolve(self.pid) {
            cell.ptr().header().flags.put(flag::LEVEL);
        }
    }
}

impl Traced {
    /// `None`: it is told otherwise, or not worth telling.
    pub(super) fn of(event: &Event<'_>) -> Option<Traced> {
        Some(match event {
            Event::Started { .. } => Traced::Started,
            Event::Leaves { is_suspended: true, .. } => Traced::Suspended,
            Event::Leaves { is_suspended: false, .. } => Traced::Finished,
            Event::TimerFired { .. } => Traced::TimerFired,
            Event::Exited { reason, .. } => Traced::Exited(in_words(reason)),
            Event::Signalled { signal, .. } => Traced::Signal(signal_in_words(signal)),
            _ => return None,
        })
    }
}

fn signal_in_words(signal: &SignalKind<'_>) -> String {
    match signal {
        SignalKind::ExitSignal { from, reason, link } => {
            let from = from.map_or_else(|| "outside".to_owned(), |from| from.to_string());
            let over = if *link { ", by a link" } else { "" };
            format!("exit signal from {from}{over}: {}", in_words(reason))
        }
        SignalKind::Shutdown => "told to shut down".to_owned(),
        SignalKind::Kill => "killed by its parent or the runtime".to_owned(),
        SignalKind::Monitored => "monitored".to_owned(),
        SignalKind::Demonitored => "monitored no more".to_owned(),
        SignalKind::DownSignal { of, reason } => format!("{of} is down: {}", in_words(reason)),
        SignalKind::Linked { to } => format!("linked to {to}"),
        SignalKind::Unlinked { from } => format!("linked to {from} no more"),
    }
}

/// A reason without the text of what it carries: that would be the user's code, which does not run here.
fn in_words(reason: &ExitReason) -> String {
    match reason {
        ExitReason::Panic(info) => format!("panic: {}", info.message()),
        ExitReason::Error(_) => "an error".to_owned(),
        ExitReason::Custom(_) => "a value".to_owned(),
        ExitReason::ShutdownWith(_) => "shutdown with a value".to_owned(),
        reason => reason.to_string(),
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries().iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4} {:>12.6} s  {}", self.number, self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Traced::Started => f.write_str("started"),
            Traced::Message { name, is_request: true } => write!(f, "request {name}"),
            Traced::Message { name, is_request: false } => write!(f, "message {name}"),
            Traced::Suspended => f.write_str("suspended"),
            Traced::Finished => f.write_str("finished"),
            Traced::Signal(what) => write!(f, "signal: {what}"),
            Traced::TimerFired => f.write_str("timer fired"),
            Traced::Exited(why) => write!(f, "exited: {why}"),
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("pid", &self.pid).field("total", &self.total()).finish()
    }
}

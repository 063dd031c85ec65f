//! Actors with the semantics of Erlang/OTP, on Whitebeam's scheduler.
//!
//! An actor is a type with state, one message enum and three async functions ([`Actor`]). It runs as a
//! process of a [`Runtime`]: it has a [`Pid`], a mailbox and a typed address ([`ActorRef`]); it is sent
//! messages ([`ActorRef::cast`]), asked ([`ActorRef::call`]), linked, monitored, told to exit. For protocols there is
//! the process form: a future that receives its messages itself ([`Mailbox`]). This crate
//! knows nothing of supervisors; it has what they are made of (`Context::spawn_child` and
//! `Context::stop_children`).
//!
//! ```
//! use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime};
//!
//! struct Counter { total: i64 }
//! enum Msg { Add(i64), Get(Reply<i64>) }
//!
//! impl Actor for Counter {
//!     type Args = i64;
//!     type Msg = Msg;
//!     async fn init(start: i64, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
//!         Ok(Counter { total: start })
//!     }
//!     async fn handle(&mut self, msg: Msg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
//!         match msg {
//!             Msg::Add(n) => self.total += n,
//!             Msg::Get(reply) => reply.send(self.total),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let rt = Runtime::builder().workers(2).build()?;
//! rt.block_on(async {
//!     let counter = rt.start::<Counter>(40).await?;
//!     counter.cast(Msg::Add(2))?;
//!     assert_eq!(counter.call(Msg::Get).await?, 42);
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

// What users see.
mod actor;
mod alias;
mod bound;
mod cast_wait;
mod child_ref;
mod context;
mod error;
mod event;
mod info;
mod lane;
mod later;
mod named;
mod names;
mod options;
mod pid;
mod prepared;
mod process;
mod reason;
mod reference;
mod relations;
mod reply;
mod request;
mod rng;
mod runtime;
mod shutdown;
mod start;
mod stop;
mod stuck;
mod supervision;
mod unread;
mod watermark;

// What processes do to each other.
mod children;
mod end;
mod idle;
mod link;
mod monitor;
mod oneshot;
mod signal;
mod timer;

// What people see of it all.
mod inspect;

// The engine.
mod blocking;
mod call;
mod cell;
mod contain;
mod crash;
mod deadlock;
mod ext;
mod frame;
mod local;
mod message;
mod narrow;
mod panic_place;
mod run;
mod shared;
mod spawn;
mod timeouts;
mod waker;
mod work;

pub mod simulate;

#[cfg(test)]
#[cfg(loom)]
mod models;

pub use actor::Actor;
pub use alias::{Alias, MonitorAlias};
pub use bound::{Overflow, ZeroBound};
pub use cast_wait::CastWait;
pub use cell::INLINE_STATE_MAX;
pub use child_ref::{ChildRef, ChildSlot, ChildTag};
pub use children::{ChildDown, ChildKey, EndChild, Outcome, Stop, StopChild, StopChildren};
pub use context::{Context, Spawner};
pub use crash::{
    CRASH_HISTORY, CRASHES_PRINTED_PER_SECOND, Caller, CrashCounts, CrashReport, During,
};
pub use deadlock::CallPath;
pub use error::{
    BuildError, CallError, FindError, NameError, OptionsError, SendError, SendFailure, StartError,
    StopError, TypeName,
};
pub use event::{EventCounts, RuntimeEvent};
pub use futures_core::Stream;
pub use info::{Info, Status};
pub use inspect::{
    BusyWorker, By, Diagnosis, Finding, GrowingMailbox, Level, Limits, MessageAge, RestartStorm,
    RuntimeInfo, Snapshot, StuckProcess, Trace, TraceEntry, Traced, Tree, TreeNode, Walker,
};
pub use lane::PriorityRef;
pub use later::Later;
pub use monitor::{Down, DownFuture, MonitorRef};
pub use named::NamedRef;
pub use names::{Directory, Name, Registrant, Registry};
pub use oneshot::{Answered, oneshot};
pub use options::{SpawnOptions, StartInfo};
pub use pid::Pid;
pub use prepared::Prepared;
pub use process::{Mailbox, Process};
pub use reason::{ExitError, ExitReason, PanicInfo, Value};
pub use reference::{ActorRef, Lookup, Target};
pub use relations::{Relations, RelationsFuture};
pub use reply::Reply;
pub use request::{CALL_TIMEOUT, Call, CallFuture};
pub use rng::Rng;
pub use runtime::{Builder, DROP_WAIT, Handle, IDLE_AFTER, Runtime, RuntimeSpawner};
pub use shutdown::{
    ShutdownReport, SlowChild, StopCounts, StopException, StopKind, StopReport, StopReportFuture,
    StopSummary,
};
pub use signal::Exit;
pub use start::{Start, StartReply};
pub use stop::{StopOrKill, StopOutcome, Stopping};
pub use stuck::StuckHandler;
pub use supervision::{SupervisorContext, SupervisorReport};
pub use timer::TimerRef;
pub use unread::{Unread, UnreadCounts};
pub use watermark::{MAILBOX_EVENTS_PER_SECOND, MAILBOX_HIGH, MAILBOX_LOW, MailboxLevel};
pub use whitebeam_scheduler::{
    BlockingMetrics, BlockingTask, Refusal, Refused, Sleep, Task as PlainTask, Time, Unfinished,
    WorkerMetrics, YieldNow, consume_budget, poll_budget, yield_now,
};
pub use work::{AttachRef, Attached, Pipe};

/// A panic in an actor cannot be caught when it aborts the program: said once, at the start.
#[expect(clippy::print_stderr, reason = "there is no other channel before any subscriber is set")]
fn warn_about_abort() {
    eprintln!(
        "whitebeam: this program is built with panic = \"abort\": a panic in any actor ends it, and no \
         supervisor will see it"
    );
}

//! What can be seen of a runtime while it runs: its processes, its workers, and what is wrong with them.
//!
//! Everything is read from counters that processes and workers keep for themselves; who looks pays. Nothing stops the
//! world: a walk meets each process at its own moment.
//!
//! | file | what it has |
//! | --- | --- |
//! | [`seen`] | what a worker lets others see |
//! | [`level`] | how closely processes are watched, and what is kept of them then |
//! | [`trace`] | the last events of one process |
//! | [`walker`] | looks from time to time, and what is remembered of them |
//! | [`snapshot`], [`top`], [`tree`] | one walk, and what is made of it |
//! | [`diagnose`] | what is wrong, by what the looks have found |

mod diagnose;
#[cfg(feature = "serde")]
pub(crate) mod json;
pub(crate) mod level;
mod seen;
mod snapshot;
mod top;
mod trace;
mod tree;
mod walker;

use std::{io, sync::Arc, time::Duration};

use whitebeam_sync::shim::{
    Mutex,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

pub use diagnose::{
    BusyWorker, Diagnosis, Finding, GrowingMailbox, Limits, RestartStorm, StuckProcess,
};
pub use level::Level;
pub(crate) use level::Watch;
pub(crate) use seen::{Handled, Seen, Workers};
pub use snapshot::{RuntimeInfo, Snapshot};
pub use top::By;
pub use trace::{Trace, TraceEntry, Traced};
pub use tree::{Tree, TreeNode};
pub use walker::{MessageAge, Walker};

use crate::{
    Handle, Info, Pid, Target,
    cell::{bit, flag},
    shared::Shared,
};
use trace::Ring;
use walker::{Book, Pass};
pub(crate) use walker::{age, counted};

/// What a runtime has for inspection.
#[derive(Default)]
pub(crate) struct Inspection {
    /// How a new process is looked at: the bit `OBSERVED` if the runtime has an observer, the flag `LEVEL` if there is a
    /// level. Read at each spawn.
    of_new: AtomicU32,
    level: AtomicU32,
    workers: Mutex<Workers>,
    /// Cells made by threads that are no workers, modulo 2^64.
    made_outside: AtomicU64,
    traces: Mutex<Vec<(Pid, Arc<Ring>)>>,
    book: Mutex<Book>,
    /// The runtime's own.
    walker: Mutex<Option<Walker>>,
}

impl Inspection {
    pub(crate) fn of_new(&self) -> u32 {
        self.of_new.load(Ordering::Relaxed)
    }

    /// The runtime has an observer.
    pub(crate) fn observe(&self) {
        self.of_new.fetch_or(bit::OBSERVED, Ordering::Relaxed);
    }

    pub(crate) fn level(&self) -> Level {
        Level::from_bits(self.level.load(Ordering::Relaxed))
    }

    fn set_level(&self, level: Level) {
        // Two words that say one thing: one who sets them at a time.
        let _alone = self.traces.lock();
        self.level.store(level.to_bits(), Ordering::Relaxed);
        if level == Level::Counts {
            self.of_new.fetch_and(!flag::LEVEL, Ordering::Relaxed);
        } else {
            self.of_new.fetch_or(flag::LEVEL, Ordering::Relaxed);
        }
    }

    pub(crate) fn workers(&self) -> &Mutex<Workers> {
        &self.workers
    }

    /// A cell was made by a thread that is no worker; -1: one that is no process.
    pub(crate) fn made_outside(&self, more: i64) {
        self.made_outside.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// Processes made so far.
    fn spawned(&self) -> u64 {
        self.workers.lock().made().wrapping_add(self.made_outside.load(Ordering::Relaxed))
    }

    fn traces(&self) -> &Mutex<Vec<(Pid, Arc<Ring>)>> {
        &self.traces
    }

    fn traces_of(&self, pid: Pid) -> Vec<Arc<Ring>> {
        let traces = self.traces.lock();
        traces.iter().filter(|(of, _)| *of == pid).map(|(_, ring)| ring.clone()).collect()
    }

    fn book(&self) -> &Mutex<Book> {
        &self.book
    }

    /// The runtime walks by itself.
    pub(crate) fn walk_every(&self, shared: &Arc<Shared>, every: Duration) -> io::Result<()> {
        *self.walker.lock() = Some(Walker::start(shared, every)?);
        Ok(())
    }

    /// The workers are gone.
    pub(crate) fn stopped(&self) {
        let walker = self.walker.lock().take();
        drop(walker);
    }
}

impl Handle {
    /// A look at all processes, and at what the runtime counts.
    ///
    /// One walk through the process table on the calling thread, some ten nanoseconds per place and a few hundred per
    /// process, during which everything goes on.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime, Status};
    /// # struct Idle;
    /// # impl Actor for Idle {
    /// #     type Args = ();
    /// #     type Msg = ();
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Idle) }
    /// #     async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> { Ok(()) }
    /// # }
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let (one, _other) = (rt.start::<Idle>(()).await?, rt.start::<Idle>(()).await?);
    ///     rt.stop(&one, ExitReason::Normal).await?;
    ///     let snapshot = rt.snapshot();
    ///     assert_eq!((snapshot.processes.len(), snapshot.runtime.spawned), (1, 2));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.shared())
    }

    /// What the runtime counts, without a walk.
    pub fn runtime_info(&self) -> RuntimeInfo {
        RuntimeInfo::of(self.shared())
    }

    /// The `most` processes that have most of something, the first in front; of those with the same, the lower pid.
    /// One walk, and memory for so many.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, By, Context, ExitReason, Runtime};
    /// # struct Slow;
    /// # impl Actor for Slow {
    /// #     type Args = ();
    /// #     type Msg = ();
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Slow) }
    /// #     async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         std::future::pending().await
    /// #     }
    /// # }
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let (one, other) = (rt.start::<Slow>(()).await?, rt.start::<Slow>(()).await?);
    ///     one.cast(())?;
    ///     (0..3).try_for_each(|_| other.cast(()))?;
    ///     let most = rt.top(By::MailboxLen, 1);
    ///     assert_eq!(most[0].pid, other.pid());
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn top(&self, by: By, most: usize) -> Vec<Info> {
        top::of(self.shared(), by, most)
    }

    /// All processes by who started whom. One walk.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime};
    /// struct Parent;
    /// struct Child;
    ///
    /// impl Actor for Parent {
    ///     type Args = ();
    ///     type Msg = ();
    ///     async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
    ///         cx.start::<Child>(()).await?;
    ///         Ok(Parent)
    ///     }
    /// #   async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> { Ok(()) }
    /// }
    /// # impl Actor for Child {
    /// #     type Args = ();
    /// #     type Msg = ();
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Child) }
    /// #     async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> { Ok(()) }
    /// # }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let parent = rt.start::<Parent>(()).await?;
    ///     let tree = rt.tree();
    ///     let text = tree.to_string();
    ///     let lines: Vec<_> = text.lines().collect();
    ///     assert!(lines[0].ends_with(" Parent"));
    ///     assert!(lines[1].starts_with("  <0.") && lines[1].ends_with(" Child"));
    ///     assert_eq!(tree.children(parent.pid()).count(), 1);
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn tree(&self) -> Tree {
        Tree::of(self.shared())
    }

    /// What seems to be wrong, with what speaks for it and what to do: [`Finding`]. As
    /// [`diagnose_with`](Self::diagnose_with) the default limits.
    pub fn diagnose(&self) -> Diagnosis {
        self.diagnose_with(&Limits::default())
    }

    /// What seems to be wrong.
    ///
    /// It takes a look at all processes, and compares it with those before: a handler that does not go on and a mailbox
    /// that grows are found by two looks some time apart at least. So either there is a [`walker`](Self::walker), or
    /// this is called twice. It may be called from any thread, also when no worker goes on.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Finding, Runtime};
    /// struct Waits;
    ///
    /// impl Actor for Waits {
    /// #   type Args = ();
    /// #   type Msg = ();
    /// #   async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Waits) }
    ///     async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         std::future::pending().await
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let waits = rt.start::<Waits>(()).await?;
    ///     (0..3).try_for_each(|_| waits.cast(()))?;
    ///     rt.sleep(Duration::from_millis(1)).await;
    ///     assert!(rt.diagnose().findings.is_empty(), "nothing to compare with");
    ///     rt.sleep(Duration::from_secs(2)).await;
    ///     let diagnosis = rt.diagnose();
    ///     let [Finding::StuckProcess(stuck)] = &diagnosis.findings[..] else { panic!("{diagnosis}") };
    ///     assert_eq!((stuck.info.pid, stuck.info.mailbox_len), (waits.pid(), 2));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn diagnose_with(&self, limits: &Limits) -> Diagnosis {
        if let Some(pass) = Pass::begin(self.shared()) {
            pass.run();
        }
        diagnose::of(self.shared(), limits)
    }

    /// Has all processes looked at every so often, until the walker is dropped: for [`diagnose`](Self::diagnose) and
    /// [`Info::oldest_message`]. For a runtime's whole life: [`Builder::walk_every`](crate::Builder::walk_every).
    ///
    /// On a thread of its own, which goes on when no worker does; in a simulation as a task, by virtual time, so that
    /// a simulation with a walker is never idle.
    ///
    /// How old the oldest message of a process is, is known as two [bounds](MessageAge), as far apart as two looks are,
    /// or as a quarter of the time in which what is in the mailbox has come. The age is that of the message which is
    /// next in turn: a process in the process form that has put others off may have older ones. Of one that supervises
    /// children, whose ends go ahead, or has a [priority lane](crate::SpawnOptions::priority_lane), only the lower bound is
    /// known. What was [kept](crate::Unread::keep) of an incarnation before
    /// counts from this one's start.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn walker(&self, every: Duration) -> io::Result<Walker> {
        Walker::start(&self.shared().arc(), every)
    }

    /// Sets how much is kept about each process, those that live and those to come; at any time. Each process follows
    /// before its next message; one that is started at this very moment may be later, when a
    /// [walk](Self::walker) has met it.
    ///
    /// ```
    /// # use whitebeam_actor::{Level, Runtime};
    /// let rt = Runtime::simulated(1)?;
    /// assert_eq!(rt.level(), Level::Counts);
    /// rt.set_level(Level::Full);
    /// assert_eq!(rt.level(), Level::Full);
    /// # Ok::<_, whitebeam_actor::BuildError>(())
    /// ```
    pub fn set_level(&self, level: Level) {
        self.shared().inspection().set_level(level);
        self.shared().walk(|cell| cell.ptr().header().flags.put(flag::LEVEL));
    }

    /// How much is kept about each process.
    pub fn level(&self) -> Level {
        self.shared().inspection().level()
    }

    /// Has a process record its events from now on, the last `most` of them, until the trace is dropped. `None`: it has
    /// ended.
    ///
    /// The process is woken to notice it, and does so before its next message; signals that come together with this may
    /// be missed. Other processes pay nothing.
    pub fn trace(&self, of: impl Target, most: usize) -> Option<Trace> {
        Trace::begin(self, &of, most)
    }
}

/// A type's name without the paths of its modules.
pub(crate) fn short(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut word = 0;
    let mut chars = name.chars().peekable();
    while let Some(char) = chars.next() {
        if char == ':' && chars.peek() == Some(&':') {
            chars.next();
            // What stands behind a closing bracket is no module of anything, and a closure is said with whose it is.
            if word < text.len() && chars.peek() != Some(&'{') {
                text.truncate(word);
            } else {
                text.push_str("::");
            }
            continue;
        }
        text.push(char);
        if !char.is_alphanumeric() && char != '_' {
            word = text.len();
        }
    }
    text
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_without_their_modules() {
        for (long, brief) in [
            ("u8", "u8"),
            ("my_app::db::Pool", "Pool"),
            ("a::Dynamic<b::c::Worker>", "Dynamic<Worker>"),
            ("a::Two<b::One, c::Other<d::X>>", "Two<One, Other<X>>"),
            ("a::b::{{closure}}", "b::{{closure}}"),
            ("<a::B as c::D>::E", "<B as D>::E"),
        ] {
            assert_eq!(short(long), brief);
        }
    }
}

//! Crash reports: what is known of a process that ended abnormally by its own code.
//!
//! # What is a crash
//!
//! | the process ended by | report |
//! | --- | --- |
//! | a panic in `init`, a handler, `terminate`, `on_down`, a constructor given to the context, a destructor | yes |
//! | a panic in what was piped or attached, or in a blocking closure of its own | yes |
//! | `Err(reason)` of a handler, `cx.stop(reason)`, with an abnormal reason | yes |
//! | `Err(reason)` of `init`, with an abnormal reason | if nobody waits for the start |
//! | `Normal`, `Shutdown`, `ShutdownWith`, from whomever; `Ignore` from `init` | no |
//! | a kill, an exit signal (its own too), a link, the parent's shutdown, `Handle::stop` | no |
//!
//! A destructor's panic changes the reason of an orderly end only, so it is not a crash of a process that was
//! killed. A failing `init` is the starter's to judge (OTP 26's quiet errors): `StartError` has the reason.
//!
//! # Steps
//!
//! The owner's notes say [`bit::CRASHED`](crate::cell::bit::CRASHED) from the moment such a reason is fixed
//! until another overtakes it; ends without it pay for a look at a word that they read anyway.
//!
//! ```text
//! look      the frame is gone, the state is there: who waits for an answer, what the state says of itself
//! begin     before name and links are released: the report
//! publish   nobody can be told yet, since the inbox is open: into the history
//! count     the inbox is closed: unread messages
//! deliver   DOWNs are sent, the caller answered: the hook, the block, text in place of values in the history
//! ```
//!
//! So whoever was told of the end finds the report in the history, and no code of the user's runs before that
//! but `report_state` (where the state's destructor would run next). What is delivered comes from the worker
//! that ended the process, outside of any process; panics in it are contained.
//!
//! A value that a reason carries is in the history only until the report was delivered: nothing of the user's
//! is kept alive by it.

mod history;
mod print;
mod report;

use std::{fmt, sync::Arc};

use whitebeam_sync::shim::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

pub use history::CRASH_HISTORY;
pub use print::CRASHES_PRINTED_PER_SECOND;
pub use report::{Caller, CrashReport, During};
pub(crate) use report::{StateText, name_of, text_of};

use crate::{
    ExitReason, RuntimeEvent,
    cell::{CellPtr, bit, flag},
    contain::contain,
    event, local, panic_place,
    shared::Shared,
};
use history::History;
use print::Limit;

/// Called with each report.
pub(crate) type Hook = dyn Fn(&CrashReport) + Send + Sync;
/// Is given each block.
pub(crate) type Writer = dyn Fn(&str) + Send + Sync;

/// What a runtime is to do with crashes: the part of its builder.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) hook: Option<Arc<Hook>>,
    pub(crate) history: Option<usize>,
    pub(crate) output: Output,
    pub(crate) is_simulated: bool,
}

/// Where blocks go.
#[derive(Clone, Default)]
pub(crate) enum Output {
    /// To stderr, unless there is a hook or the runtime is simulated.
    #[default]
    Default,
    Quiet,
    To(Arc<Writer>),
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = match self.output {
            Output::Default => "default",
            Output::Quiet => "quiet",
            Output::To(_) => "a writer",
        };
        f.debug_struct("Settings")
            .field("hook", &self.hook.is_some())
            .field("history", &self.history)
            .field("output", &output)
            .finish_non_exhaustive()
    }
}

/// How many crashes there were: [`Handle::crash_counts`](crate::Handle::crash_counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrashCounts {
    /// All since the runtime was built.
    pub total: u64,
    /// Those that were not printed since there were too many in a second.
    pub not_printed: u64,
    /// Calls of the hook, or of the writer that blocks are given to, that panicked.
    pub panics: u64,
}

/// A runtime's crashes.
pub(crate) struct Crashes {
    /// Taken out when the runtime has stopped: it may hold a handle.
    hook: Mutex<Option<Arc<Hook>>>,
    writer: Mutex<Option<Arc<Writer>>>,
    /// Blocks go to stderr.
    is_on_stderr: bool,
    limit: Limit,
    history: History,
    total: AtomicU64,
    not_printed: AtomicU64,
    panics: AtomicU64,
}

impl Crashes {
    pub(crate) fn new(settings: Settings) -> Self {
        let (writer, is_on_stderr) = match settings.output {
            Output::Default => (None, settings.hook.is_none() && !settings.is_simulated),
            Output::Quiet => (None, false),
            Output::To(writer) => (Some(writer), false),
        };
        Crashes {
            hook: Mutex::new(settings.hook),
            writer: Mutex::new(writer),
            is_on_stderr,
            limit: Limit::default(),
            history: History::new(settings.history.unwrap_or(CRASH_HISTORY)),
            total: AtomicU64::new(0),
            not_printed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    pub(crate) fn history(&self) -> Vec<Arc<CrashReport>> {
        self.history.all()
    }

    pub(crate) fn counts(&self) -> CrashCounts {
        CrashCounts {
            total: self.total.load(Ordering::Relaxed),
            not_printed: self.not_printed.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
        }
    }

    /// Whether a panic that ends a process is told on stderr by its block, or by a subscriber.
    pub(crate) fn tells_on_stderr(&self) -> bool {
        self.is_on_stderr
    }

    fn is_printing(&self) -> bool {
        (self.is_on_stderr && !event::subscriber_tells_crashes()) || self.writer.lock().is_some()
    }

    /// The workers are gone: what is left to say is said, and what may hold a handle goes.
    pub(crate) fn stopped(&self) {
        if let Some(notice) = self.limit.rest() {
            self.write(&notice);
        }
        // Dropped outside of the locks: they are the user's.
        let hook = self.hook.lock().take();
        let writer = self.writer.lock().take();
        self.contained(|| drop((hook, writer)));
    }

    fn deliver(&self, shared: &Shared, report: &Arc<CrashReport>) {
        let hook = self.hook.lock().clone();
        if let Some(hook) = hook {
            self.contained(move || hook(report));
        }
        if self.is_printing() {
            match self.limit.admit(shared.scheduler().now()) {
                print::Admitted::Whole { notice } => {
                    self.write(&format!("{}{report}", notice.unwrap_or_default()));
                }
                print::Admitted::LeftOut { notice } => {
                    self.not_printed.fetch_add(1, Ordering::Relaxed);
                    if let Some(notice) = notice {
                        self.write(&notice);
                    }
                }
            }
        }
        shared.events().tell(|| RuntimeEvent::Crashed(report.clone()));
        self.history.settle(report);
    }

    /// One write, so that the blocks of several workers do not mix.
    fn write(&self, text: &str) {
        let writer = self.writer.lock().clone();
        match writer {
            Some(writer) => self.contained(move || writer(text)),
            // Stderr may be closed, of which this panics.
            None => self.contained(|| print::to_stderr(text)),
        }
    }

    fn contained(&self, f: impl FnOnce()) {
        if local::outside(|| contain(f)).is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the owner saw of a crashed process before its state was dropped.
pub(crate) struct Looked {
    callers: Vec<Caller>,
    state: Option<String>,
}

/// A crash that is on its way to who hears of it.
pub(crate) struct Crash {
    report: Arc<CrashReport>,
    shared: Arc<Shared>,
}

/// The process panicked. Called by the owner, who ends it next.
#[cold]
pub(crate) fn panicked(cell: CellPtr) {
    let header = cell.header();
    if header.has(bit::TERMINATING) {
        // Whatever was noted when its end was decided: that was no crash.
        header.note_place(flag::IN_TERMINATE);
    }
    header.set(bit::CRASHED);
}

/// Step `look`. Called by the owner of a cell that crashed, between the drops of frame and state.
#[cold]
pub(crate) fn look(cell: CellPtr) -> Option<Box<Looked>> {
    let callers = report::callers();
    let is_there = cell.header().has(bit::STATE);
    let state = if is_there { report::state_of(cell) } else { None };
    Some(Box::new(Looked { callers, state }))
}

/// Step `begin`. `None`: it is not for reports, or nobody wants any.
///
/// `looked` is `None` if it became a crash when the state was dropped.
#[cold]
pub(crate) fn begin(
    cell: CellPtr,
    looked: Option<Box<Looked>>,
    reason: &ExitReason,
) -> Option<Box<Crash>> {
    let is_told = cell.header().has(bit::INIT)
        && looked.as_ref().is_some_and(|looked| !looked.callers.is_empty())
        && !matches!(reason, ExitReason::Panic(_));
    let is_ignored = cell.header().has(bit::INIT) && matches!(reason, ExitReason::Ignore);
    if is_told || is_ignored {
        return None;
    }
    let shared = cell.shared().arc();
    let crashes = shared.crashes();
    let number = crashes.total.fetch_add(1, Ordering::Relaxed) + 1;
    if let ExitReason::Panic(info) = reason {
        panic_place::reported(info);
    }
    let is_wanted = crashes.history.is_on()
        || crashes.is_printing()
        || crashes.hook.lock().is_some()
        || shared.events().wants_crashes();
    if !is_wanted {
        return None;
    }
    let report = Arc::new(report::of(cell, number, looked, reason));
    Some(Box::new(Crash { report, shared }))
}

impl Crash {
    /// Step `publish`. Whoever asks once the inbox is closed is told of the end at once.
    #[cold]
    pub(crate) fn publish(&self) {
        self.shared.crashes().history.push(&self.report);
    }

    /// Step `count`: more may have come since the report was made.
    #[cold]
    pub(crate) fn count_unread(&mut self, cell: CellPtr) {
        let unread = cell.header().mailbox_len() as usize;
        if unread != self.report.unread {
            self.report = Arc::new(CrashReport { unread, ..(*self.report).clone() });
            self.shared.crashes().history.replace(self.report.clone());
        }
    }

    /// Step `deliver`. The cell may be gone.
    #[cold]
    pub(crate) fn deliver(&self) {
        self.shared.crashes().deliver(&self.shared, &self.report);
    }
}

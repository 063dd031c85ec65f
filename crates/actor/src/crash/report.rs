//! What is known of a crash, and how it is gathered.
#![expect(unsafe_code, reason = "the state of an ending process is reached by pointer")]

use std::{
    error::Error,
    fmt::{self, Write},
    sync::Arc,
    time::Duration,
};

use whitebeam_scheduler::Time;
use whitebeam_sync::shim::atomic::Ordering;

use super::Looked;
use crate::{
    Actor, ExitReason, Name, Pid, call,
    cell::{CellPtr, bit, flag},
    contain::contain,
    ext::Ext,
    inspect::level,
    local,
};

/// A process that ended abnormally by its own code: by a panic, an `Err(reason)` or `cx.stop(reason)`. Not one
/// that was ended from outside, by an exit signal, a link or a kill, and not one that ended with an orderly
/// reason.
///
/// It is made by the process's worker when the process ends, given to [`Builder::on_crash`](crate::Builder::on_crash)
/// and kept in [`Handle::crashes`](crate::Handle::crashes). Printed with `{}` it is a block of lines, at most
/// about 7 KiB.
///
/// What its supervisor makes of it (a restart, giving up) is not known here: supervisors have reports of their own.
///
/// # Differences from OTP
/// A report of `proc_lib` and the server's own error report are one. The message in hand is named and
/// not shown, since the handler owns it; links are shown, neighbours' own reports are not; there is no process
/// dictionary; the process's own time is known only where [times are taken](crate::Level::Times).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CrashReport {
    /// The how many-th crash of the runtime, from 1 on.
    pub number: u64,
    /// The process.
    pub pid: Pid,
    /// The name that it was registered under.
    pub name: Option<Name>,
    /// What it called itself, see [`SpawnOptions::label`](crate::SpawnOptions::label).
    pub label: Option<Name>,
    /// The actor's type.
    pub actor: &'static str,
    /// Who started it, if a process did.
    pub parent: Option<Pid>,
    /// The parent, its parent and so on, as far as they can still be found, at most
    /// [`LISTED_MAX`](Self::LISTED_MAX).
    pub ancestors: Vec<Pid>,
    /// Why it ended: what its links, monitors and callers were told. Of a panic with its place. A report that is
    /// kept in the history has the text of a carried value instead of the value: it does not downcast.
    pub reason: ExitReason,
    /// What it was about.
    pub during: During,
    /// The type of its messages; the one in hand was of this type if `during` says [`During::Message`].
    pub message_type: &'static str,
    /// What the message in hand is called, if `during` says [`During::Message`] and the actor
    /// [names it](crate::Actor::msg_name).
    pub message: Option<&'static str>,
    /// Who waits for an answer that its last code has dropped: as a rule the one caller of the request in hand,
    /// or who waits for the start. Nobody if the request was answered before. At most
    /// [`LISTED_MAX`](Self::LISTED_MAX).
    pub callers: Vec<Caller>,
    /// Messages (and ends of children) that it left unread.
    pub unread: usize,
    /// Messages taken from the mailbox, the one in hand included, modulo 2^32.
    pub handled: u32,
    /// 1 if it was started for the first time, 2 if it was restarted once: see
    /// [`StartInfo`](crate::StartInfo).
    pub attempt: u32,
    /// When it ended, since the runtime's start, by its clock.
    pub at: Duration,
    /// Time since its first turn, as [`Info::uptime`](crate::Info::uptime).
    pub uptime: Option<Duration>,
    /// Whom it was linked to: the first [`LISTED_MAX`](Self::LISTED_MAX) by pid.
    pub links: Vec<Pid>,
    /// How many it was linked to.
    pub link_count: usize,
    /// Its monitors on others.
    pub monitor_count: usize,
    /// Monitors of others on it.
    pub watcher_count: usize,
    /// What [`Actor::report_state`] said, at most [`STATE_MAX`](Self::STATE_MAX) bytes and a mark that it was cut.
    /// `None`: nothing, or the state was gone. A panic in there is said here.
    pub state: Option<String>,
}

/// What a process was about when it crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum During {
    /// Its `init`.
    Init,
    /// Its body, of a process in the process form.
    Body,
    /// A message, in its handler; or that handler was dropped at an await.
    Message,
    /// The end of a child that it supervises.
    ChildDown,
    /// A function given to `trap_exit` or `monitor`, which makes a message of a signal.
    Signal,
    /// Work beside its mailbox: what was given to [`Context::pipe`](crate::Context::pipe),
    /// [`attach`](crate::Context::attach) or [`blocking`](crate::Context::blocking), or the function that makes a
    /// message of what that gives.
    Work,
    /// Its `terminate`.
    Terminate,
    /// Its state was being dropped, or with it a handler that was suspended.
    Drop,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Caller {
    /// A process awaits its call.
    Process(Pid),
    /// A thread or a task; or a process that began to await its call elsewhere at this very moment.
    Other,
}

impl CrashReport {
    /// Bytes of a state that are kept.
    pub const STATE_MAX: usize = 4096;
    /// Bytes of a reason's text that are kept and printed.
    pub const REASON_MAX: usize = 1024;
    /// Pids that a list of a report has at most.
    pub const LISTED_MAX: usize = 16;

    /// This report with text in the places of the values that its reason and its names carry.
    pub(super) fn without_values(&self) -> Self {
        let reason = match &self.reason {
            ExitReason::Error(_) => ExitReason::Error(Arc::new(Text(text_of(&self.reason)))),
            reason if carries_value(reason) => ExitReason::custom(Text(text_of(reason))),
            reason => reason.clone(),
        };
        let plain = |name: &Option<Name>| match name {
            Some(name) if name.as_str().is_none() => Some(Name::from(name_of(name))),
            name => name.clone(),
        };
        let (name, label) = (plain(&self.name), plain(&self.label));
        CrashReport { reason, name, label, ..self.clone() }
    }

    /// Whether it carries a value of the user's.
    pub(super) fn has_values(&self) -> bool {
        let is_value =
            |name: &Option<Name>| name.as_ref().is_some_and(|name| name.as_str().is_none());
        carries_value(&self.reason) || is_value(&self.name) || is_value(&self.label)
    }
}

fn carries_value(reason: &ExitReason) -> bool {
    matches!(reason, ExitReason::Error(_) | ExitReason::Custom(_) | ExitReason::ShutdownWith(_))
}

/// What is left of a carried value.
struct Text(String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Text {}

/// What is unread may grow until the inbox is closed. Called by the owner.
pub(super) fn of(
    cell: CellPtr,
    number: u64,
    looked: Option<Box<Looked>>,
    reason: &ExitReason,
) -> CrashReport {
    let header = cell.header();
    let shared = cell.shared();
    let during = if looked.is_none() { During::Drop } else { during(cell) };
    let looked = looked.map_or((Vec::new(), None), |looked| (looked.callers, looked.state));
    let mut report = CrashReport {
        number,
        pid: cell.pid(),
        name: shared.names().name_of(cell),
        label: Ext::label_of(cell),
        actor: (cell.vt().type_name)(),
        parent: header.parent_pid(),
        ancestors: ancestors(cell),
        reason: reason.clone(),
        during,
        message_type: cell.vt().message.name(),
        message: level::in_hand_here(cell).filter(|_| during == During::Message),
        callers: looked.0,
        unread: cell.header().mailbox_len() as usize,
        handled: header.taken.load(Ordering::Relaxed),
        attempt: 1,
        at: shared.scheduler().now().saturating_since(Time::ZERO),
        uptime: cell.uptime(),
        links: Vec::new(),
        link_count: 0,
        monitor_count: 0,
        watcher_count: 0,
        state: looked.1,
    };
    // SAFETY: the caller is the owner; it is read, and no code of the user's runs.
    if let Some(ext) = unsafe { Ext::look(cell) } {
        report.attempt = ext.start_info.as_ref().map_or(1, |info| info.attempt);
        let (links, count) = first(ext.links.values().filter_map(|half| half.other_pid()));
        (report.links, report.link_count) = (links, count);
        report.monitor_count = ext.monitors.len();
        report.watcher_count = ext.watchers.len();
    }
    report
}

fn during(cell: CellPtr) -> During {
    let header = cell.header();
    match header.flags.get() & flag::IN_ANY {
        flag::IN_WORK => During::Work,
        flag::IN_TERMINATE => During::Terminate,
        flag::IN_CHILD_DOWN => During::ChildDown,
        flag::IN_OTHER => During::Signal,
        _ if cell.vt().is_process => During::Body,
        _ if header.has(bit::INIT) => During::Init,
        _ => During::Message,
    }
}

fn ancestors(cell: CellPtr) -> Vec<Pid> {
    let mut pids: Vec<Pid> = Vec::new();
    let mut next = cell.header().parent_pid();
    while let Some(pid) = next.filter(|pid| !pids.contains(pid)) {
        pids.push(pid);
        if pids.len() == CrashReport::LISTED_MAX {
            break;
        }
        next = cell.shared().resolve(pid).and_then(|cell| cell.ptr().header().parent_pid());
    }
    pids
}

/// The first pids in their order, and how many there are.
fn first(all: impl Iterator<Item = Pid>) -> (Vec<Pid>, usize) {
    let (mut pids, mut count) = (Vec::new(), 0);
    for pid in all {
        count += 1;
        pids.push(pid);
        // Of a process with a million links no million is sorted.
        if pids.len() == 8 * CrashReport::LISTED_MAX {
            pids.sort_unstable();
            pids.truncate(CrashReport::LISTED_MAX);
        }
    }
    pids.sort_unstable();
    pids.truncate(CrashReport::LISTED_MAX);
    (pids, count)
}

/// Who waits for the replies that the last code has dropped.
pub(super) fn callers() -> Vec<Caller> {
    let mut callers = Vec::new();
    local::for_each_deferred(|node| {
        // SAFETY: a deferred reply is not answered yet, and keeps its node.
        let awaited = unsafe { call::awaited_by(node) };
        if let Some(caller) = awaited.filter(|_| callers.len() < CrashReport::LISTED_MAX) {
            callers.push(caller.map_or(Caller::Other, Caller::Process));
        }
    });
    callers
}

/// What the state says of itself. Called by the owner while the state is there and no frame borrows it.
pub(super) fn state_of(cell: CellPtr) -> Option<String> {
    // SAFETY: the caller's word.
    let said = contain(|| unsafe { (cell.vt().report_state)(cell) });
    match said {
        Ok(said) => said,
        // What it had written is left out: it may not be what was to be shown.
        Err(ExitReason::Panic(info)) => {
            let text = format!("not shown: report_state panicked: {}", info.message());
            Some(bounded(CrashReport::REASON_MAX, &text))
        }
        Err(_) => None,
    }
}

/// A state as its actor shows it.
pub(crate) struct StateText<'a, A>(&'a A);

impl<'a, A: Actor> StateText<'a, A> {
    /// `None`: it says nothing.
    pub(crate) fn of(state: &'a A) -> Option<String> {
        let text = bounded(CrashReport::STATE_MAX, &StateText(state));
        (!text.is_empty()).then_some(text)
    }
}

impl<A: Actor> fmt::Display for StateText<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.report_state(f)
    }
}

/// The text of a reason, cut. What it carries is the user's: a panic in its formatting is said.
pub(crate) fn text_of(reason: &ExitReason) -> String {
    match contain(|| bounded(CrashReport::REASON_MAX, reason)) {
        Ok(text) => text,
        Err(panic) => format!("a value whose text panicked: {}", bounded(256, &panic)),
    }
}

/// Bytes of a name, a label or a type's name in a block: what is longer is cut.
pub(super) const NAME_MAX: usize = 160;

/// The text of a name, cut. A value's is the user's, as above.
pub(crate) fn name_of(name: &Name) -> String {
    match contain(|| bounded(NAME_MAX, &format_args!("{name:?}"))) {
        Ok(text) => text,
        Err(_) => "a name whose text panicked".to_owned(),
    }
}

/// At most so many bytes of a value's text. The rest is not even made: formatting is told to stop.
pub(super) fn bounded(most: usize, value: &dyn fmt::Display) -> String {
    let mut cut = Cut { text: String::new(), most, is_cut: false };
    let written = write!(cut, "{value}");
    let Cut { mut text, is_cut, .. } = cut;
    if is_cut {
        text.push_str(" [cut]");
    } else if written.is_err() {
        text.push_str(" [its formatting failed]");
    }
    text
}

struct Cut {
    text: String,
    most: usize,
    is_cut: bool,
}

impl Write for Cut {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let left = self.most - self.text.len();
        if self.is_cut || more.len() > left {
            if !self.is_cut {
                self.text.push_str(&more[..more.floor_char_boundary(left)]);
            }
            self.is_cut = true;
            return Err(fmt::Error);
        }
        self.text.push_str(more);
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_what_is_left_is_not_made() {
        assert_eq!(bounded(5, &"grün!"), "grün [cut]");
        assert_eq!(bounded(3, &"grün!"), "gr [cut]");
        assert_eq!(bounded(6, &"grün!"), "grün!");
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("abc")?;
                }
            }
        }
        assert_eq!(bounded(7, &Endless), "abcabca [cut]");
    }
}

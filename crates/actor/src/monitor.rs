//! Monitors: one-way, any number per pair, each with exactly one DOWN.
//!
//! The monitoring process keeps, under a number of its own, how the DOWN becomes a message; the
//! monitored one keeps whom to tell. Taking a monitor back removes the first at once, so that no DOWN
//! can be added to the mailbox from then on, and the second by a signal.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

use std::{
    future::Future,
    pin::Pin,
    ptr::NonNull,
    task::{Context as TaskContext, Poll},
};

use whitebeam_sync::{inbox::Cursor, node::Node};

use crate::{
    ExitReason, MonitorAlias, Name, Pid, Reply,
    cell::{CellPtr, CellRef},
    contain::contain,
    ext::Ext,
    lane, message,
    oneshot::{Answered, oneshot},
    shared::Shared,
    signal::{self, Signal},
    simulate::{Wait, WaitOver, WaitsFor},
};

/// A monitor's message: a process has ended, or was not there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Down {
    /// The process that was monitored. Of a name that nobody had: a pid that is no process's.
    pub pid: Pid,
    /// The name that was monitored, if it was not a pid or an address.
    pub name: Option<Name>,
    /// Why it ended; `NoProc` if it had when the monitor was set.
    pub reason: ExitReason,
}

/// Names one monitor of one process. Another process can do nothing with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MonitorRef {
    pub(crate) owner: Pid,
    pub(crate) id: u64,
}

/// The monitoring process ([`Pid::in_runtime`]; 0 for who is none) and its number for the monitor.
pub(crate) type Key = (u64, u64);

/// Whom to tell.
pub(crate) enum Watcher {
    /// A process, with its own number for the monitor. Urgent: it is told before its next message.
    Process { cell: CellRef, id: u64, is_urgent: bool },
    /// A future outside.
    Future(Reply<Down>),
}

/// How a DOWN becomes a message.
pub(crate) struct Watched {
    make: Box<dyn FnOnce(Down) -> NonNull<Node> + Send>,
    /// To take the monitor back when its owner ends. `None`: there was nobody.
    target: Option<CellRef>,
    name: Option<Name>,
    /// An alias of the same number goes when the monitor does.
    takes_alias: bool,
    /// Its message is for the priority lane.
    is_urgent: bool,
}

impl Watched {
    /// Who is watched, for who asks. `None`: nobody, or the owner itself.
    pub(crate) fn of(&self, owner: CellPtr) -> Option<Pid> {
        let target = self.target.as_ref().map(|target| target.ptr());
        target.filter(|&target| target != owner).map(CellPtr::pid)
    }

    /// The owner, `key`'s process, has ended: the target forgets it.
    pub(crate) fn forget(self, key: Key) {
        if let Some(target) = self.target {
            let _ = signal::send(target.ptr(), Signal::Demonitor { key });
        }
    }
}

/// What is watched.
pub(crate) struct Whom {
    pub(crate) pid: Pid,
    /// `None`: nobody by that pid.
    pub(crate) cell: Option<CellRef>,
    /// It was named by this.
    pub(crate) name: Option<Name>,
    /// Its end is a message for the priority lane.
    pub(crate) is_urgent: bool,
}

/// Sets a monitor of `owner`, and an alias with its number if one is wanted.
///
/// # Safety
/// The caller is `owner`'s owner.
pub(crate) unsafe fn monitor<M: Send + 'static>(
    owner: CellPtr,
    whom: Whom,
    alias: Option<MonitorAlias>,
    f: impl FnOnce(Down) -> M + Send + 'static,
) -> MonitorRef {
    let Whom { pid, cell: target, name, is_urgent } = whom;
    // SAFETY: the caller's word.
    let ext = unsafe { Ext::of(owner) };
    let id = ext.next_id();
    let make = Box::new(move |down| message::down(f(down), id));
    let takes_alias = alias.is_some_and(|alias| alias != MonitorAlias::Explicit);
    if let Some(alias) = alias {
        ext.aliases.insert(id, alias.into());
    }
    let watched = Watched { make, target: target.clone(), name, takes_alias, is_urgent };
    ext.monitors.insert(id, watched);
    Ext::publish(owner);
    // Monitoring oneself is legal and never fires.
    if pid != owner.pid() {
        let watcher = Watcher::Process { cell: owner.to_ref(), id, is_urgent };
        let key = (owner.pid().in_runtime(), id);
        let refused = match &target {
            Some(target) => signal::send(target.ptr(), Signal::Monitor { key, watcher }).is_err(),
            None => true,
        };
        if refused {
            let down = Down::of(pid, ExitReason::NoProc);
            // To oneself, through the inbox: it keeps its place among what has been sent.
            let _ = signal::send(owner, Signal::Down { id, down });
            if is_urgent {
                lane::announce(owner);
            }
        }
    }
    MonitorRef { owner: owner.pid(), id }
}

/// The spawner's half of a monitor on a process that is about to be spawned.
///
/// # Safety
/// The caller is `owner`'s owner.
pub(crate) unsafe fn prepare<M: Send + 'static>(
    owner: CellPtr,
    f: impl FnOnce(Down) -> M + Send + 'static,
) -> u64 {
    // SAFETY: the caller's word.
    let ext = unsafe { Ext::of(owner) };
    let id = ext.next_id();
    let make = Box::new(move |down| message::down(f(down), id));
    let watched = Watched { make, target: None, name: None, takes_alias: false, is_urgent: false };
    ext.monitors.insert(id, watched);
    Ext::publish(owner);
    id
}

/// The other half, before the process runs.
///
/// # Safety
/// The caller owns both cells. `child` is not scheduled yet: the caller counts one reference for the
/// spawner's side before it is.
pub(crate) unsafe fn monitor_at_spawn(owner: CellPtr, child: CellPtr, id: u64) {
    let target = CellRef::adopt(child);
    // SAFETY: the caller's word.
    match unsafe { Ext::of(owner) }.monitors.get_mut(&id) {
        Some(watched) => watched.target = Some(target),
        None => unreachable!("prepared just before"),
    }
    let watcher = Watcher::Process { cell: owner.to_ref(), id, is_urgent: false };
    // SAFETY: the caller's word.
    unsafe { Ext::of(child) }.watchers.insert((owner.pid().in_runtime(), id), watcher);
    Ext::publish(child);
}

/// A prepared monitor's process could not be made.
pub(crate) fn nobody_there(owner: CellPtr, id: u64, pid: Pid) {
    let down = Down::of(pid, ExitReason::NoProc);
    let _ = signal::send(owner, Signal::Down { id, down });
}

/// Takes a monitor back. `true`: it was active, and no DOWN will come.
///
/// # Safety
/// The caller is `owner`'s owner.
pub(crate) unsafe fn demonitor(owner: CellPtr, monitor: MonitorRef) -> bool {
    if monitor.owner != owner.pid() {
        return false;
    }
    // SAFETY: the caller's word.
    let Some(ext) = (unsafe { Ext::get(owner) }) else { return false };
    let Some(watched) = ext.monitors.remove(&monitor.id) else { return false };
    if watched.takes_alias {
        ext.aliases.remove(&monitor.id);
    }
    Ext::publish(owner);
    watched.forget((owner.pid().in_runtime(), monitor.id));
    true
}

/// As [`demonitor`]; the message is removed if it is in the mailbox already.
///
/// # Safety
/// The caller is `owner`'s owner, whose messages are `M`s, and holds no reference to its cursor.
pub(crate) unsafe fn demonitor_flush<M>(owner: CellPtr, monitor: MonitorRef) -> bool {
    // SAFETY: the caller's word.
    if unsafe { demonitor(owner, monitor) } {
        // What becomes a message leaves the table first: there is none.
        return true;
    }
    if monitor.owner == owner.pid() {
        // SAFETY: the caller's word.
        let cursor = unsafe { owner.cursor() };
        // SAFETY: what waits in the mailbox is the owner's.
        let is_it = |node| unsafe { message::is_down::<M>(node, monitor.id) };
        // SAFETY: the caller's word.
        let message = cursor.extract(is_it).or_else(|| unsafe { lane::extract(owner, is_it) });
        drop(message.map(message::Carried::adopt));
    }
    false
}

/// A DOWN has come to its owner: it becomes a message if the monitor is still active.
pub(crate) fn receive_down(cell: CellPtr, cursor: &mut Cursor, id: u64, down: Down) {
    // SAFETY: called in the drain of the owner's run.
    let Some(ext) = (unsafe { Ext::get(cell) }) else { return };
    let Some(watched) = ext.monitors.remove(&id) else { return };
    if watched.takes_alias {
        ext.aliases.remove(&id);
    }
    let Watched { make, name, is_urgent, .. } = watched;
    let down = Down { name, ..down };
    let made = contain(|| make(down));
    signal::delivered(cell, cursor, is_urgent, made);
}

impl Down {
    pub(crate) fn of(pid: Pid, reason: ExitReason) -> Self {
        Down { pid, name: None, reason }
    }
}

impl Watcher {
    /// The process that watches, if it is one.
    pub(crate) fn pid(&self) -> Option<Pid> {
        match self {
            Watcher::Process { cell, .. } => Some(cell.ptr().pid()),
            Watcher::Future(_) => None,
        }
    }

    /// Tells of the end.
    pub(crate) fn fire(self, down: Down) {
        match self {
            Watcher::Process { cell, id, is_urgent } => {
                let sent = signal::send(cell.ptr(), Signal::Down { id, down });
                if is_urgent && sent.is_ok() {
                    lane::announce(cell.ptr());
                }
            }
            Watcher::Future(reply) => reply.send(down),
        }
    }
}

/// The end of a process, for who is not one: resolves once, also if it had already ended.
#[must_use = "the process is watched until this is dropped"]
#[derive(Debug)]
pub struct DownFuture {
    pid: Pid,
    /// It was named by this.
    name: Option<Name>,
    answer: Answered<Down>,
    /// To take the watch back. `None`: it has fired, or there was nobody.
    watch: Option<(CellRef, Key)>,
    /// For the observer.
    wait: Option<Box<Wait>>,
}

impl DownFuture {
    /// Watches the process from now on.
    pub(crate) fn new(shared: &Shared, pid: Pid) -> Self {
        let (reply, answer) = oneshot();
        let watcher = Watcher::Future(reply);
        let key = (0, shared.next_watch());
        let mut watch = None;
        let refused = match shared.resolve(pid) {
            Some(cell) => {
                let refused = signal::send(cell.ptr(), Signal::Monitor { key, watcher }).err();
                watch = refused.is_none().then_some((cell, key));
                refused
            }
            None => Some(Signal::Monitor { key, watcher }),
        };
        if let Some(Signal::Monitor { watcher, .. }) = refused {
            watcher.fire(Down::of(pid, ExitReason::NoProc));
        }
        DownFuture { pid, name: None, answer, watch, wait: None }
    }

    /// Its DOWN says that the process was named by this.
    pub(crate) fn named(mut self, name: Option<Name>) -> Self {
        self.name = name;
        self
    }
}

impl Future for DownFuture {
    type Output = Down;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Down> {
        let pid = self.pid;
        let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) else {
            if let (None, Some((cell, _))) = (&self.wait, &self.watch) {
                self.wait = Wait::begin(cell.ptr(), WaitsFor::Ending).map(Box::new);
            }
            return Poll::Pending;
        };
        self.watch = None;
        if let Some(wait) = self.wait.take() {
            wait.over(WaitOver::Served);
        }
        // The watcher answers always; it is dropped unanswered with its runtime only.
        let down = answer.unwrap_or(Down::of(pid, ExitReason::NoProc));
        Poll::Ready(Down { name: self.name.take(), ..down })
    }
}

impl Drop for DownFuture {
    fn drop(&mut self) {
        if let Some((target, key)) = self.watch.take() {
            let _ = signal::send(target.ptr(), Signal::Demonitor { key });
        }
    }
}

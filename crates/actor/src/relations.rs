//! Whom a process is linked to, monitors, and is monitored by.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use whitebeam_scheduler::poll_budget;

use crate::{
    Pid,
    cell::{CellPtr, CellRef},
    ext::Ext,
    oneshot::{Answered, oneshot},
    signal::{self, Signal},
};

/// A process's links and monitors at a moment. Each list is in order of pids; a process that is there by two
/// monitors is there twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relations {
    /// Whom it is linked to.
    pub links: Vec<Pid>,
    /// Whom it monitors, by pid or by name. A process that monitors itself is left out: that never fires.
    pub monitors: Vec<Pid>,
    /// Which processes monitor it.
    pub monitored_by: Vec<Pid>,
}

impl Relations {
    /// # Safety
    /// The caller is the cell's owner.
    pub(crate) unsafe fn of(cell: CellPtr) -> Self {
        // SAFETY: the caller's word.
        let Some(ext) = (unsafe { Ext::look(cell) }) else { return Relations::default() };
        let sorted = |mut pids: Vec<Pid>| {
            pids.sort_unstable();
            pids
        };
        Relations {
            links: sorted(ext.links.values().filter_map(|half| half.other_pid()).collect()),
            monitors: sorted(ext.monitors.values().filter_map(|it| it.of(cell)).collect()),
            monitored_by: sorted(ext.watchers.values().filter_map(|it| it.pid()).collect()),
        }
    }
}

/// Asks a process: `None` if it has ended. The question travels as a signal and does not overtake what the
/// asker has sent before.
pub(crate) fn ask(of: Option<CellRef>) -> RelationsFuture {
    RelationsFuture(of.and_then(|cell| {
        let (reply, answer) = oneshot();
        signal::send(cell.ptr(), Signal::Relations { reply }).is_ok().then_some(answer)
    }))
}

/// The answer of a process that was asked for its [`Relations`]: [`Handle::relations`](crate::Handle::relations).
#[must_use = "a question that is not awaited is not heard"]
#[derive(Debug)]
pub struct RelationsFuture(Option<Answered<Option<Relations>>>);

impl Future for RelationsFuture {
    type Output = Option<Relations>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(answer) => Pin::new(answer).poll(cx).map(|answer| answer.ok().flatten()),
            None => poll_budget(cx).map(|()| None),
        }
    }
}

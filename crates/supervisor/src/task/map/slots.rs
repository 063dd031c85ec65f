//! The tasks of a map that run: each has a slot, and is polled when that was woken.
//!
//! One whose time is over and that is killed for it keeps its slot until it has ended: what it does till then counts as
//! running, and it has its place among the supervisor's children.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use whitebeam_actor::{ExitError, ExitReason};

use crate::{
    guard,
    task::{Task, TaskRef, error::TaskTimeout, wakes::Wakes},
};

/// Starts the task of the next item.
pub(super) type Source<T, E> = Box<
    dyn FnMut(&mut TaskContext<'_>, &TaskRef) -> Poll<Option<(Task<T>, Fail<E>)>> + Send + 'static,
>;

/// Makes the stream's error of a task's.
pub(in crate::task) enum Fail<E> {
    Plain(fn(ExitError) -> E),
    Zipped(Box<dyn FnOnce(ExitError) -> E + Send>),
}

impl<E> Fail<E> {
    pub(super) fn error(self, error: ExitError) -> E {
        match self {
            Fail::Plain(f) => f(error),
            Fail::Zipped(f) => f(error),
        }
    }
}

struct Running<T, E> {
    task: Task<T>,
    fail: Fail<E>,
    number: u64,
    /// It was killed since its time was over, and this is what it gives when it has ended.
    late: Option<ExitError>,
}

impl<T, E> Running<T, E> {
    /// `None`: it has given nothing yet.
    fn poll(&mut self, cx: &mut TaskContext<'_>, kills: bool) -> Option<Result<T, ExitError>> {
        if self.late.is_none() {
            let Poll::Ready(result) = Pin::new(&mut self.task).poll(cx) else { return None };
            match result {
                Err(error)
                    if kills && !self.task.is_taken() && error.reason().is::<TaskTimeout>() =>
                {
                    self.late = Some(error);
                    self.task.end(ExitReason::Kill);
                }
                result => return Some(result),
            }
        }
        let Poll::Ready(ended) = self.task.poll_result(cx) else { return None };
        // Unless it is another process that awaits now: the task has given it nothing.
        if self.task.is_taken() { self.late.take().map(Err) } else { Some(ended) }
    }
}

/// What has become of a task.
pub(super) struct Ended<T, E> {
    /// Its item's number.
    pub(super) number: u64,
    pub(super) fail: Fail<E>,
    pub(super) result: Result<T, ExitError>,
    /// It was never started.
    pub(super) was_refused: bool,
    /// It was not done, and was killed.
    pub(super) runs_on: bool,
}

/// See the module's text.
pub(super) struct Slots<T, E> {
    slots: Vec<Option<Running<T, E>>>,
    free: Vec<usize>,
    wakes: Wakes,
    /// Items so far.
    items: u64,
}

impl<T, E> Slots<T, E> {
    pub(super) fn new() -> Self {
        Slots { slots: Vec::new(), free: Vec::new(), wakes: Wakes::new(), items: 0 }
    }

    pub(super) fn running(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Those that were woken. Who polls with `cx` is woken for those that come later.
    pub(super) fn woken(&self, cx: &TaskContext<'_>) -> Vec<usize> {
        self.wakes.take(cx)
    }

    /// Gives the task of the next item a slot, to be polled.
    pub(super) fn add(&mut self, task: Task<T>, fail: Fail<E>) -> usize {
        let running = Running { task, fail, number: self.items, late: None };
        self.items += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(running);
        slot
    }

    /// `None`: the task has given nothing yet, or there is none. One that is late is killed if `kills`, and has given
    /// nothing until it has ended.
    pub(super) fn poll(&mut self, slot: usize, kills: bool) -> Option<Ended<T, E>> {
        let running = self.slots.get_mut(slot)?.as_mut()?;
        let was_refused = running.task.is_refused();
        let mut cx = TaskContext::from_waker(self.wakes.waker(slot));
        let result = running.poll(&mut cx, kills)?;
        let Running { task, fail, number, .. } = self.slots[slot].take()?;
        self.free.push(slot);
        let runs_on = !task.is_taken();
        if runs_on {
            task.end(ExitReason::Kill);
        }
        Some(Ended { number, fail, result, was_refused, runs_on })
    }

    /// Kills what runs. Nothing of it is given any more.
    pub(super) fn kill_all(&mut self) {
        // Before anything is dropped: that is the user's.
        for running in self.slots.iter().flatten() {
            running.task.end(ExitReason::Kill);
        }
        self.free.clear();
        for Running { task, fail, .. } in self.slots.drain(..).flatten() {
            guard::discard(task);
            guard::discard(fail);
        }
    }
}

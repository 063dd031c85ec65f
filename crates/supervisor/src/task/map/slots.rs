//! The tasks of a map that run: each has a slot, and is polled when that was woken.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use whitebeam_actor::{ExitError, ExitReason};

use crate::task::{Task, TaskRef, wakes::Wakes};

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
        let running = Running { task, fail, number: self.items };
        self.items += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(running);
        slot
    }

    /// `None`: the task has given nothing yet, or there is none.
    pub(super) fn poll(&mut self, slot: usize) -> Option<Ended<T, E>> {
        let running = self.slots.get_mut(slot)?.as_mut()?;
        let was_refused = running.task.is_refused();
        let mut cx = TaskContext::from_waker(self.wakes.waker(slot));
        let Poll::Ready(result) = Pin::new(&mut running.task).poll(&mut cx) else { return None };
        let Running { task, fail, number } = self.slots[slot].take()?;
        self.free.push(slot);
        let runs_on = !task.is_taken();
        if runs_on {
            task.end(ExitReason::Kill);
        }
        Some(Ended { number, fail, result, was_refused, runs_on })
    }

    /// Kills what runs. Nothing of it is given any more.
    pub(super) fn kill_all(&mut self) {
        self.free.clear();
        for running in self.slots.drain(..).flatten() {
            running.task.end(ExitReason::Kill);
        }
    }
}

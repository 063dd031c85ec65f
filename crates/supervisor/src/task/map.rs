//! The bounded parallel map over a stream: a task for each item, so many at a time.
//!
//! Everything happens while the results are awaited, in who awaits them: there is no process beside the tasks. What is
//! left of them when the stream is dropped, or fails, is killed.

mod done;
mod slots;

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use whitebeam_actor::{ExitError, Stream};

pub(super) use self::slots::Fail;
use self::{
    done::Done,
    slots::{Ended, Slots, Source},
};
use super::{Task, TaskRef};
use crate::guard;

/// The time for each item, unless it was said otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The results of a function that is done to each item of a stream: [`TaskRef::map`] and the like. A
/// [`Stream`], with [`next`](Self::next) and [`collect`](Self::collect) for who has no adapters for that.
///
/// | setting | unless said |
/// | --- | --- |
/// | [`at_once`](Self::at_once) | as many as the runtime has workers |
/// | [`unordered`](Self::unordered) | in the items' order |
/// | [`timeout`](Self::timeout) | 5 s for each item |
/// | [`kill_on_timeout`](Self::kill_on_timeout) | an item whose time is over fails the stream |
///
/// Nothing is begun before the first result is awaited. The source is polled when there is room for another task, and
/// never ahead of that; the tasks belong to who awaits.
///
/// | what | the stream gives |
/// | --- | --- |
/// | an item's task is done | `Ok` |
/// | it ends otherwise: panics, is killed | `Err` with its reason, and goes on |
/// | its time is over | `Err` with a [`TaskTimeout`](super::TaskTimeout), and ends: its other tasks are killed. With `kill_on_timeout` it kills that one, gives the error when it has ended, and goes on |
/// | a task cannot be started | `Err` with a [`StartError`](whitebeam_actor::StartError), and ends |
///
/// # Dropped
/// Its tasks are killed, also when who awaits it ends or panics. No link and no message is left of them.
///
/// # Differences from Elixir
/// Tasks are not linked to who awaits. A handler that is to end as an item did says `?`.
#[must_use = "nothing is begun before the results are awaited"]
pub struct TaskMap<T, E = ExitError> {
    tasks: TaskRef,
    /// `None`: it has ended.
    source: Option<Source<T, E>>,
    /// `None`: as many as there are workers.
    at_once: Option<usize>,
    is_ordered: bool,
    timeout: Option<Duration>,
    kills: bool,
    slots: Slots<T, E>,
    done: Done<T, E>,
}

/// An iterator as a stream that never waits.
pub(super) struct Items<I>(pub(super) I);

impl<I> Unpin for Items<I> {}

impl<I: Iterator> Stream for Items<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

impl<T: Send + 'static, E: Send + 'static> TaskMap<T, E> {
    pub(super) fn new<S: Stream + Send + 'static>(
        tasks: &TaskRef,
        items: S,
        mut start: impl FnMut(&TaskRef, S::Item) -> (Task<T>, Fail<E>) + Send + 'static,
    ) -> Self {
        let mut items = Box::pin(items);
        let source: Source<T, E> = Box::new(move |cx, tasks| {
            items.as_mut().poll_next(cx).map(|item| item.map(|item| start(tasks, item)))
        });
        TaskMap {
            tasks: tasks.clone(),
            source: Some(source),
            at_once: None,
            is_ordered: true,
            timeout: Some(TIMEOUT),
            kills: false,
            slots: Slots::new(),
            done: Done::new(),
        }
    }

    /// So many tasks at once. Results that were not given yet count as well: in order, those that wait for their turn.
    ///
    /// # Panics
    /// With 0: nothing would ever be done.
    #[track_caller]
    pub fn at_once(mut self, tasks: usize) -> Self {
        assert!(tasks > 0, "no task at once does nothing: ask for 1 or more");
        self.at_once = Some(tasks);
        self
    }

    /// Gives results as they come.
    pub fn unordered(mut self) -> Self {
        self.is_ordered = false;
        self
    }

    /// So long for each item, from the start of its task.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// As long as it takes.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// An item whose time is over is killed, and the stream goes on. Until its task has ended it counts among those that
    /// run [at once](Self::at_once): one that computes without an await ends when it comes to one.
    pub fn kill_on_timeout(mut self) -> Self {
        self.kills = true;
        self
    }

    /// The next result. `None`: there are no more.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has taken nothing.
    pub async fn next(&mut self) -> Option<Result<T, E>> {
        poll_fn(|cx| self.poll_one(cx)).await
    }

    /// All results.
    ///
    /// # Errors
    /// The first that comes: the rest is killed.
    pub async fn collect(mut self) -> Result<Vec<T>, E> {
        let mut all = Vec::new();
        while let Some(result) = self.next().await {
            all.push(result?);
        }
        Ok(all)
    }

    fn poll_one(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<T, E>>> {
        for slot in self.slots.woken(cx) {
            self.poll_slot(slot);
        }
        self.fill(cx);
        if let Some(result) = self.done.take() {
            return Poll::Ready(Some(result));
        }
        let is_over = self.source.is_none() && self.slots.running() == 0;
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Starts as many tasks as there is room for.
    fn fill(&mut self, cx: &mut TaskContext<'_>) {
        let most = match self.at_once {
            Some(most) => most,
            None => {
                let workers = self.tasks.runtime().map_or(1, |rt| rt.workers());
                *self.at_once.insert(workers.max(1))
            }
        };
        while let Some(source) = &mut self.source {
            if self.slots.running() + self.done.len() >= most {
                return;
            }
            match source(cx, &self.tasks) {
                Poll::Pending => return,
                Poll::Ready(None) => self.source = None,
                Poll::Ready(Some((task, fail))) => {
                    let task = match self.timeout {
                        Some(limit) => task.timeout(limit),
                        None => task,
                    };
                    let slot = self.slots.add(task, fail);
                    self.poll_slot(slot);
                }
            }
        }
    }

    /// Sees to a task that may have given something.
    fn poll_slot(&mut self, slot: usize) {
        let Some(ended) = self.slots.poll(slot, self.kills) else { return };
        let Ended { number, fail, result, was_refused, runs_on } = ended;
        // Its time is over, or the stream has gone to another process than the one that has begun it.
        let is_last = was_refused || runs_on;
        let result = result.map_err(|error| fail.error(error));
        if is_last {
            self.stop();
            self.done.clear();
            self.done.add_next(result);
        } else if self.is_ordered {
            self.done.add_in_order(number, result);
        } else {
            self.done.add_next(result);
        }
    }
}

impl<T, E> TaskMap<T, E> {
    /// Kills what runs, and begins nothing more.
    fn stop(&mut self) {
        self.slots.kill_all();
        guard::discard(self.source.take());
    }
}

impl<T, E> Drop for TaskMap<T, E> {
    fn drop(&mut self) {
        self.stop();
        self.done.clear();
    }
}

impl<T: Send + 'static, E: Send + 'static> Stream for TaskMap<T, E> {
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.poll_one(cx)
    }
}

// What is polled in place is boxed.
impl<T, E> Unpin for TaskMap<T, E> {}

impl<T, E> fmt::Debug for TaskMap<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskMap")
            .field("at_once", &self.at_once)
            .field("is_ordered", &self.is_ordered)
            .field("running", &self.slots.running())
            .finish_non_exhaustive()
    }
}

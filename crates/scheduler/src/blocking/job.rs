//! One closure on its way through the pool: see [`super`] for its states.
//!
//! Code of the user's (the closure, its drop, the drop of what it gave, wakers) never runs under the lock of the state,
//! and its panics end in here.

use std::panic::{self, AssertUnwindSafe};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::{Pool, Unfinished};
use crate::task::quietly;

/// A closure and what became of it.
pub(super) struct Job<T, W> {
    state: Mutex<State<T, W>>,
}

struct State<T, W> {
    step: Step<T, W>,
    /// Who awaits it.
    waker: Option<Waker>,
    /// Somebody may come for what it gives.
    is_wanted: bool,
}

enum Step<T, W> {
    Waiting(W),
    /// Taken by a thread.
    Running,
    /// `None`: what it gave was taken, or is not wanted; or it was never run.
    Over(Option<Result<T, Unfinished>>),
}

/// A job as its pool sees it.
pub(super) trait Run: Send + Sync {
    /// Calls the closure on this thread, and tells the pool before it tells who waits. Nothing if it was given up.
    fn run(&self, pool: &Pool);
    /// It will not be run.
    fn lose(&self, why: Unfinished);
}

/// A job as its task sees it.
pub(super) trait Outcome<T>: Send + Sync {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Unfinished>>;
    fn is_over(&self) -> bool;
    /// Nobody comes for what it gives. If it has not begun it never will: its closure is dropped here, and the answer
    /// is `true`.
    fn give_up(&self) -> bool;
    /// Nobody comes for what it gives.
    fn detach(&self);
}

impl<T, W> Job<T, W> {
    pub(super) fn new(work: W) -> Self {
        let step = Step::Waiting(work);
        Job { state: Mutex::new(State { step, waker: None, is_wanted: true }) }
    }

    /// The closure, if it has not begun: it never will.
    pub(super) fn take_back(&self) -> Option<W> {
        self.take(Step::Over(None))
    }

    /// Moves the closure out of a job that waits, which goes on to `next`.
    fn take(&self, next: Step<T, W>) -> Option<W> {
        let mut state = self.state.lock();
        if !matches!(state.step, Step::Waiting(_)) {
            return None;
        }
        match std::mem::replace(&mut state.step, next) {
            Step::Waiting(work) => Some(work),
            Step::Running | Step::Over(_) => None,
        }
    }

    /// Leaves what the closure gave, or why it gave nothing, for who awaits it. What is not wanted comes back.
    fn publish(&self, result: Result<T, Unfinished>) -> Option<Result<T, Unfinished>> {
        let mut state = self.state.lock();
        if !state.is_wanted {
            state.step = Step::Over(None);
            return Some(result);
        }
        state.step = Step::Over(Some(result));
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            quietly(|| waker.wake());
        }
        None
    }
}

impl<T, W> Run for Job<T, W>
where
    T: Send,
    W: FnOnce() -> T + Send,
{
    fn run(&self, pool: &Pool) {
        let Some(work) = self.take(Step::Running) else { return pool.skipped() };
        let returned = panic::catch_unwind(AssertUnwindSafe(work));
        let has_panicked = returned.is_err();
        let mut result = Some(returned.map_err(Unfinished::Panicked));
        // What nobody wants is dropped before the job counts as done.
        let is_wanted = self.state.lock().is_wanted;
        if !is_wanted {
            let unwanted = result.take();
            quietly(|| drop(unwanted));
        }
        pool.done(has_panicked);
        let unwanted = match result {
            Some(result) => self.publish(result),
            None => {
                self.state.lock().step = Step::Over(None);
                None
            }
        };
        quietly(|| drop(unwanted));
    }

    fn lose(&self, why: Unfinished) {
        let Some(work) = self.take(Step::Running) else { return };
        quietly(|| drop(work));
        let _ = self.publish(Err(why));
    }
}

impl<T, W> Outcome<T> for Job<T, W>
where
    T: Send,
    W: Send,
{
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Unfinished>> {
        let mut state = self.state.lock();
        if let Step::Over(result) = &mut state.step {
            return result.take().map_or(Poll::Pending, Poll::Ready);
        }
        let is_known = state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_known {
            drop(state);
            // Cloned and dropped outside of the lock: it is the user's.
            let waker = cx.waker().clone();
            let mut state = self.state.lock();
            if let Step::Over(result) = &mut state.step {
                return result.take().map_or(Poll::Pending, Poll::Ready);
            }
            let before = state.waker.replace(waker);
            drop(state);
            drop(before);
        }
        Poll::Pending
    }

    fn is_over(&self) -> bool {
        matches!(self.state.lock().step, Step::Over(_))
    }

    fn give_up(&self) -> bool {
        let work = self.take_back();
        let was_waiting = work.is_some();
        quietly(|| drop(work));
        self.detach();
        was_waiting
    }

    fn detach(&self) {
        let mut state = self.state.lock();
        state.is_wanted = false;
        let waker = state.waker.take();
        let result = match &mut state.step {
            Step::Over(result) => result.take(),
            Step::Waiting(_) | Step::Running => None,
        };
        drop(state);
        quietly(|| drop((waker, result)));
    }
}

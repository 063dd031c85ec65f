//! Waiting for many tasks at once.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use whitebeam_actor::{ExitError, ExitReason, Handle};

use super::{
    Task,
    error::{TaskTimeout, exit_with},
    wakes::Wakes,
};

/// Tasks that are waited for, by number.
struct Pending {
    wakes: Wakes,
    /// Those that were not polled yet.
    fresh: std::ops::Range<usize>,
}

impl Pending {
    fn new(number: usize) -> Self {
        Pending { wakes: Wakes::new(), fresh: 0..number }
    }

    /// Polls what was woken. `f` gets each result, and says whether it wants more.
    fn poll<T>(
        &mut self,
        tasks: &mut [Task<T>],
        cx: &TaskContext<'_>,
        mut f: impl FnMut(usize, Result<T, ExitError>) -> bool,
    ) {
        let woken = self.wakes.take(cx);
        let fresh = std::mem::take(&mut self.fresh);
        for number in fresh.chain(woken) {
            let Some(task) = tasks.get_mut(number).filter(|task| !task.is_taken()) else {
                continue;
            };
            let mut cx = TaskContext::from_waker(self.wakes.waker(number));
            if let Poll::Ready(result) = task.poll_result(&mut cx)
                && !f(number, result)
            {
                return;
            }
        }
    }
}

/// The runtime that the tasks' time goes by. `None`: none of them has a process.
fn runtime<T>(tasks: &[Task<T>]) -> Option<Handle> {
    tasks.iter().find_map(Task::runtime).cloned()
}

/// Ready after `limit`: never without one, at once without a clock, since nothing is there to be waited for.
async fn after(limit: Option<Duration>, rt: Option<Handle>) {
    match (limit, rt) {
        (Some(limit), Some(rt)) => rt.sleep(limit).await,
        (None, Some(_)) => std::future::pending().await,
        (_, None) => {}
    }
}

/// What a task has given by now, that its time is over.
async fn last_look<T: Send + 'static>(task: &mut Task<T>) -> Option<Result<T, ExitError>> {
    match task.take_ready() {
        None if task.is_gone() => Some(poll_fn(|cx| task.poll_result(cx)).await),
        given => given,
    }
}

/// Awaits tasks: their results in the tasks' order, however they come. No tasks give none, at once.
///
/// At the first failure, and when `limit` is over, the other tasks are given up: they run on, as tasks that are
/// dropped. Results that have come by then count, also with a limit of zero.
///
/// ```
/// use std::time::Duration;
/// use whitebeam_supervisor::{TaskSupervisor, await_many};
///
/// # let rt = whitebeam_actor::Runtime::simulated(1)?;
/// # rt.block_on(async {
/// let tasks = TaskSupervisor::new().start(&rt).await?;
/// let squares = (1..=3_u64).map(|n| tasks.spawn(async move { n * n }));
/// assert_eq!(await_many(squares, Duration::from_secs(5)).await?, [1, 4, 9]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// That of the first task that was seen to fail; `NoProc` if one has given all already; one with a [`TaskTimeout`] in
/// it.
pub async fn await_many<T: Send + 'static>(
    tasks: impl IntoIterator<Item = Task<T>>,
    limit: impl Into<Option<Duration>>,
) -> Result<Vec<T>, ExitError> {
    let limit = limit.into();
    let mut tasks: Vec<Task<T>> = tasks.into_iter().collect();
    if tasks.iter().any(Task::is_taken) {
        return Err(ExitReason::NoProc.into());
    }
    let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let mut left = tasks.len();
    let mut pending = Pending::new(tasks.len());
    let mut limit = pin!(after(limit, runtime(&tasks)));
    let is_in_time = poll_fn(|cx| {
        let mut failed = None;
        pending.poll(&mut tasks, cx, |number, result| match result {
            Ok(value) => {
                results[number] = Some(value);
                left -= 1;
                true
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(error) => return Poll::Ready(Err(error)),
            None if left == 0 => return Poll::Ready(Ok(true)),
            None => {}
        }
        limit.as_mut().poll(cx).map(|()| Ok(false))
    })
    .await?;
    if !is_in_time {
        // At all of them first: a failure that is there is told rather than the timeout.
        for (task, result) in tasks.iter_mut().zip(&mut results) {
            if result.is_none() {
                *result = last_look(task).await.transpose()?;
            }
        }
        if results.iter().any(Option::is_none) {
            return Err(exit_with(TaskTimeout));
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// What becomes of tasks that have given no result when the time of [`yield_many`] is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnTimeout {
    /// They go on, and can be waited for again.
    #[default]
    Nothing,
    /// They go on, unlinked, and their results are dropped: [`Task::ignore`].
    Ignore,
    /// They are unlinked and killed, and have ended when it is ready.
    Kill,
}

/// How [`yield_many`] waits.
///
/// ```
/// use std::{future::pending, time::Duration};
/// use whitebeam_supervisor::{OnTimeout, TaskSupervisor, YieldMany, yield_many};
///
/// # let rt = whitebeam_actor::Runtime::simulated(1)?;
/// # rt.block_on(async {
/// let tasks = TaskSupervisor::new().start(&rt).await?;
/// let mut both = [tasks.spawn(async { 1 }), tasks.spawn(pending())];
/// let how = YieldMany::within(Duration::from_secs(1)).on_timeout(OnTimeout::Kill);
/// let given = yield_many(&mut both, how).await;
/// assert!(matches!(given[..], [Some(Ok(1)), None]));
/// assert!(!rt.is_alive(both[1].pid()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it says how `yield_many` is to wait"]
pub struct YieldMany {
    within: Option<Duration>,
    limit: usize,
    on_timeout: OnTimeout,
}

impl YieldMany {
    /// So long at most. (Elixir's default: 5 s.)
    pub fn within(limit: Duration) -> Self {
        YieldMany { within: Some(limit), limit: usize::MAX, on_timeout: OnTimeout::Nothing }
    }

    /// For as long as it takes.
    pub fn no_timeout() -> Self {
        YieldMany { within: None, ..Self::within(Duration::ZERO) }
    }

    /// Until so many have given something. Unless said, until all have.
    pub fn limit(mut self, tasks: usize) -> Self {
        self.limit = tasks;
        self
    }

    /// What becomes of those that have not when the time is over. Not if it ended by a [`limit`](Self::limit).
    pub fn on_timeout(mut self, what: OnTimeout) -> Self {
        self.on_timeout = what;
        self
    }
}

/// Waits for many tasks for a while: what each has given, in the tasks' order. `None`: nothing yet; as with
/// [`Task::wait`] it can be waited for again, unless `how` says what becomes of it. Also `None` for a task that has given
/// all already, which is not waited for.
///
/// A task that has given its result by then gives it, also without any time to wait.
pub async fn yield_many<T: Send + 'static>(
    tasks: &mut [Task<T>],
    how: YieldMany,
) -> Vec<Option<Result<T, ExitError>>> {
    let mut results: Vec<Option<Result<T, ExitError>>> = tasks.iter().map(|_| None).collect();
    let mut left = tasks.iter().filter(|task| !task.is_taken()).count().min(how.limit);
    let mut pending = Pending::new(tasks.len());
    let mut limit = pin!(after(how.within, runtime(tasks)));
    let is_in_time = poll_fn(|cx| {
        if left > 0 {
            pending.poll(tasks, cx, |number, result| {
                results[number] = Some(result);
                left -= 1;
                left > 0
            });
        }
        if left == 0 {
            return Poll::Ready(true);
        }
        limit.as_mut().poll(cx).map(|()| false)
    })
    .await;
    if is_in_time {
        return results;
    }
    for (task, result) in tasks.iter_mut().zip(&mut results) {
        if left > 0 && result.is_none() {
            *result = last_look(task).await;
            left -= usize::from(result.is_some());
        }
    }
    if left > 0 {
        time_over(tasks, &mut results, how.on_timeout).await;
    }
    results
}

/// Some have given nothing in time.
async fn time_over<T: Send + 'static>(
    tasks: &mut [Task<T>],
    results: &mut [Option<Result<T, ExitError>>],
    on_timeout: OnTimeout,
) {
    let late = |task: &Task<T>, result: &Option<_>| result.is_none() && !task.is_taken();
    match on_timeout {
        OnTimeout::Nothing => {}
        OnTimeout::Ignore => {
            for (task, result) in tasks.iter_mut().zip(results) {
                if late(task, result) {
                    *result = task.give_up();
                }
            }
        }
        OnTimeout::Kill => {
            // All first: they end at once, not one after another.
            for (task, result) in tasks.iter().zip(&*results) {
                if late(task, result) {
                    task.end(ExitReason::Kill);
                }
            }
            for (task, result) in tasks.iter_mut().zip(results) {
                if late(task, result) {
                    let ended = poll_fn(|cx| task.poll_result(cx)).await;
                    *result = Some(ended).filter(|ended| !is_killed(ended));
                }
            }
        }
    }
}

fn is_killed<T>(ended: &Result<T, ExitError>) -> bool {
    ended.as_ref().is_err_and(|error| matches!(error.reason(), ExitReason::Killed))
}

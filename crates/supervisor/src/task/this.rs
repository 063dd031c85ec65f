//! What a task's own code can ask: which task it is part of, and who has asked for that.
//!
//! While the body of a task is polled, what it is lies in a thread-local; it is moved there and back, not copied. The
//! chain of callers is made when a task asks for another one, and is shared from there on.

use std::{
    cell::RefCell,
    fmt,
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use whitebeam_actor::{ExitReason, Pid};

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Who has asked for a task: the asker, who asked for that one, and so on.
struct Caller {
    pid: Pid,
    above: Option<Arc<Caller>>,
}

/// What a task is made with.
#[derive(Clone)]
pub(super) struct Origin {
    /// Who has asked for it, if it was a process.
    pub(super) owner: Option<Pid>,
    /// Who has asked for that one.
    above: Option<Arc<Caller>>,
}

/// The task that is polled on this thread.
struct Current {
    pid: Pid,
    origin: Origin,
    /// What the tasks have above them that this one asks for.
    for_others: Option<Arc<Caller>>,
    /// It is to end with this.
    exit: Option<ExitReason>,
}

impl Origin {
    /// That of a task that is asked for here and now.
    pub(super) fn here() -> Self {
        let owner = Pid::current();
        let above = CURRENT.with_borrow_mut(|current| {
            let current = current.as_mut().filter(|current| Some(current.pid) == owner)?;
            let pid = current.origin.owner?;
            let above = &current.origin.above;
            let made = current
                .for_others
                .get_or_insert_with(|| Arc::new(Caller { pid, above: above.clone() }));
            Some(Arc::clone(made))
        });
        Origin { owner, above }
    }

    /// That of a task that this process asks for.
    pub(super) fn of(owner: Pid) -> Self {
        let here = Self::here();
        let is_it = here.owner == Some(owner);
        Origin { owner: Some(owner), above: here.above.filter(|_| is_it) }
    }

    fn callers(&self) -> Vec<Pid> {
        let above = std::iter::successors(self.above.as_ref(), |caller| caller.above.as_ref());
        self.owner.into_iter().chain(above.map(|caller| caller.pid)).collect()
    }
}

/// Runs the body of a task: until it is done, or has [exited](ThisTask::exit).
///
/// By reference: what an `async fn` is given by value lies in its frame twice.
pub(super) async fn run<W: Future>(
    pid: Pid,
    origin: Origin,
    mut work: Pin<&mut W>,
) -> Result<W::Output, ExitReason> {
    let mut mine = Some(Current { pid, origin, for_others: None, exit: None });
    poll_fn(|cx| {
        let polled = {
            let _inside = Inside::enter(&mut mine);
            work.as_mut().poll(cx)
        };
        match mine.as_mut().and_then(|mine| mine.exit.take()) {
            Some(reason) => Poll::Ready(Err(reason)),
            None => polled.map(Ok),
        }
    })
    .await
}

/// The task is the current one until this is dropped.
struct Inside<'a>(&'a mut Option<Current>);

impl<'a> Inside<'a> {
    fn enter(mine: &'a mut Option<Current>) -> Self {
        swap(mine);
        Inside(mine)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        swap(self.0);
    }
}

fn swap(mine: &mut Option<Current>) {
    // Not there when the thread ends: nothing is polled then.
    let _ = CURRENT.try_with(|current| std::mem::swap(&mut *current.borrow_mut(), mine));
}

/// The task whose code runs now: what its own code can know of it and do with it.
///
/// ```
/// use whitebeam_actor::{ExitReason, Runtime};
/// use whitebeam_supervisor::{TaskSupervisor, ThisTask};
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let tasks = TaskSupervisor::new().start(&rt).await?;
///     let failed = tasks.spawn(async {
///         let me = ThisTask::current().ok_or("not in a task")?;
///         if me.callers().is_empty() {
///             me.exit(ExitReason::custom(7)).await;
///         }
///         Ok::<_, &str>(())
///     });
///     let error = failed.await.unwrap_err();
///     assert_eq!(error.reason().downcast_ref(), Some(&7));
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ThisTask {
    pid: Pid,
    owner: Option<Pid>,
}

impl ThisTask {
    /// `None`: the code is not that of a task.
    pub fn current() -> Option<ThisTask> {
        CURRENT.with_borrow(|current| {
            let current = current.as_ref()?;
            Some(ThisTask { pid: current.pid, owner: current.origin.owner })
        })
    }

    /// The task's pid.
    pub fn pid(self) -> Pid {
        self.pid
    }

    /// The process that has asked for the task. `None`: it was asked for from outside.
    pub fn owner(self) -> Option<Pid> {
        self.owner
    }

    /// Its owner, whose owner if that is a task, and so on. (Elixir: `$callers`.) Empty where this is not the running
    /// task any more.
    pub fn callers(self) -> Vec<Pid> {
        CURRENT.with_borrow(|current| match current {
            Some(current) if current.pid == self.pid => current.origin.callers(),
            _ => Vec::new(),
        })
    }

    /// Ends the task with a reason, and without a result: with `Normal` too. Never ready; what awaits it is dropped.
    /// It does nothing where this is not the running task any more, and waits for ever.
    pub async fn exit(self, reason: ExitReason) -> std::convert::Infallible {
        CURRENT.with_borrow_mut(|current| {
            if let Some(current) = current.as_mut().filter(|current| current.pid == self.pid) {
                current.exit = Some(reason);
            }
        });
        pending().await
    }
}

impl fmt::Debug for ThisTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThisTask({})", self.pid)
    }
}

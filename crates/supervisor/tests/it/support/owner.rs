//! A process that asks for tasks: the test's own code in the process form.

use std::{fmt, future::Future, time::Duration};

use whitebeam_actor::{Down, Exit, ExitReason, Handle, Mailbox, Pid};
use whitebeam_supervisor::{TaskRef, TaskSupervisor};

use super::Gate;

/// What an owner of tasks may be sent.
#[derive(Debug)]
pub(crate) enum Note {
    /// A trapped exit.
    Exit(Exit),
    /// A process that it monitors has ended.
    Down(Down),
    /// Something foreign.
    Number(u32),
}

/// Longer than anything takes that is under way already. Virtual in the simulation.
pub(crate) const SETTLED: Duration = Duration::from_millis(100);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Starts a supervisor of tasks.
pub(crate) async fn tasks(rt: &Handle) -> TaskRef {
    TaskSupervisor::new().start(rt).await.unwrap()
}

/// Runs `f` as the body of a process.
pub(crate) async fn run_owner<F, Fut>(rt: &Handle, f: F) -> ExitReason
where
    F: FnOnce(Mailbox<Note>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let watched = Gate::new();
    let passed = watched.clone().passed();
    let process = rt.spawn_fn(|mailbox| async move {
        passed.await;
        f(mailbox).await;
        Ok(())
    });
    // Who has ended has no reason any more.
    let down = rt.down(&process);
    watched.open();
    down.await.reason
}

/// Runs `f` as the body of a process, which must end by itself.
pub(crate) async fn owner<F, Fut>(rt: &Handle, f: F)
where
    F: FnOnce(Mailbox<Note>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let reason = run_owner(rt, f).await;
    assert!(reason.is_normal(), "the owner has ended with {reason}");
}

/// Nothing is in the mailbox, and nothing comes.
pub(crate) async fn nothing_comes(mailbox: &mut Mailbox<Note>) {
    let came = mailbox.recv_timeout(SETTLED).await;
    assert!(came.is_none(), "{came:?} has come");
}

/// The next message is the trapped exit of this process.
pub(crate) async fn exit_of(mailbox: &mut Mailbox<Note>, pid: Pid) -> ExitReason {
    match mailbox.recv_timeout(ms(5_000)).await {
        Some(Note::Exit(exit)) if exit.from == Some(pid) => exit.reason,
        other => panic!("{other:?} instead of an exit of {pid}"),
    }
}

/// Waits for the end of a process. `NoProc` if it has ended.
pub(crate) async fn down_of(rt: &Handle, pid: Pid) -> ExitReason {
    rt.down(pid).await.reason
}

/// A reason of its own for a test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Oops(pub(crate) u32);

pub(crate) fn oops(number: u32) -> ExitReason {
    ExitReason::custom(Oops(number))
}

/// Whether it is that reason.
pub(crate) fn is_oops(reason: &ExitReason, number: u32) -> bool {
    reason.downcast_ref() == Some(&Oops(number))
}

impl fmt::Display for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oops {}", self.0)
    }
}

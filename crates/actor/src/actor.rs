//! The one trait a user writes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use crate::{Context, ExitReason, process::Form};

/// A process with state that handles one message at a time.
///
/// Write the three functions as `async fn`. A handler that never suspends costs what a plain
/// function costs; while one is suspended at an `.await`, the actor handles no other message.
///
/// | function | called | a panic or an error |
/// | --- | --- | --- |
/// | `init` | once, in the new process, before any message | start fails with `StartError` |
/// | `handle` | for each message, in order of arrival | ends the process |
/// | `terminate` | on an orderly end: own stop, `Err`, the parent's shutdown | replaces the reason |
///
/// State, unread messages and a suspended handler are dropped on a worker thread, in this order:
/// handler, state, messages.
///
/// # Differences from OTP
///
/// `terminate` runs on the parent's shutdown whether the actor traps exits or not. It does not run
/// after a panic (the state may be broken), after a kill, or when another process's exit signal ends
/// an actor that does not trap. A suspended handler of an actor that does not trap exits is dropped
/// at its await when the shutdown comes; that of a trapping one is let finish first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    label = "no `impl Actor for {Self}`",
    note = "an actor is `impl Actor for {Self}` with `type Args`, `type Msg`, `async fn init` and `async fn handle`"
)]
pub trait Actor: Sized + Send + 'static {
    /// What it is started with; a supervisor keeps it for restarts.
    type Args: Send + 'static;
    /// What it is sent: one enum, as a rule.
    type Msg: Send + 'static;

    /// Whether it is a server or a process in the process form. The runtime's: its type has no name outside.
    #[doc(hidden)]
    const FORM: Form = Form::SERVER;

    /// Makes the state, in the new process.
    ///
    /// # Errors
    /// The start fails with the reason; `ExitReason::Ignore` says quietly that no process is wanted.
    fn init(
        args: Self::Args,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<Self, ExitReason>> + Send;

    /// Handles one message.
    ///
    /// # Errors
    /// The process ends with the reason, after `terminate`.
    fn handle(
        &mut self,
        msg: Self::Msg,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), ExitReason>> + Send;

    /// Runs before an orderly end. The default does nothing and costs nothing.
    fn terminate(
        &mut self,
        reason: &ExitReason,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (reason, cx);
        Nothing
    }
}

/// What the default `terminate` does. By its layout, which nobody else's future has, the runtime knows that an
/// actor has no `terminate` of its own.
#[repr(align(256))]
pub(crate) struct Nothing;

impl Future for Nothing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

//! The one trait a user writes.

use std::{
    fmt,
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
/// | `msg_name` | before each message, for people | ends the process |
/// | `report_state` | when it crashed, for the [report](crate::CrashReport) | is in the report |
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

    /// What a message is called where people read of it: in [`Info`](crate::Info), crash reports, findings and traces.
    /// An enum's type says nothing of its variant, and the handler takes the message with it; so who wants to see
    /// which one is in hand says here what each is called. No names, unless written.
    ///
    /// Called before each message is handled: it should be a `match` and no more. That and a few stores are all it
    /// costs, about a nanosecond; without it there is no cost. A process that suspends in a named message keeps some
    /// hundred bytes more from then on. A panic in it ends the process.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime};
    /// # struct Account;
    /// enum Msg { Deposit(u64), Close }
    ///
    /// impl Actor for Account {
    /// #   type Args = ();
    ///     type Msg = Msg;
    /// #   async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Account) }
    /// #   async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #       match msg { Msg::Deposit(_) => Ok(()), Msg::Close => Err(ExitReason::custom("overdrawn")) }
    /// #   }
    ///     // ..
    ///     fn msg_name(msg: &Msg) -> Option<&'static str> {
    ///         Some(match msg {
    ///             Msg::Deposit(_) => "Deposit",
    ///             Msg::Close => "Close",
    ///         })
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let account = rt.start::<Account>(()).await?;
    ///     account.cast(Msg::Close)?; // its handler fails
    ///     rt.down(&account).await;
    ///     assert_eq!(rt.crashes()[0].message, Some("Close"));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    fn msg_name(msg: &Self::Msg) -> Option<&'static str> {
        let _ = msg;
        None
    }

    /// Runs before an orderly end. The default does nothing and costs nothing.
    fn terminate(
        &mut self,
        reason: &ExitReason,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (reason, cx);
        Nothing
    }

    /// Writes what of the state is to be seen in a [`CrashReport`](crate::CrashReport): nothing, unless written.
    /// Here secrets are left out; who has none writes `write!(f, "{self:?}")`.
    ///
    /// Called when the process ends abnormally by its own code, behind `terminate` and before the state is
    /// dropped, and so before others are told of the end: it should be short. After a panic as well: the state may
    /// be half changed, and that is what one wants to see. What is beyond
    /// [`STATE_MAX`](crate::CrashReport::STATE_MAX) bytes is cut, by an error that the writes give: pass it on. A
    /// panic in here goes no further, and is said in the report instead of the state.
    ///
    /// # Errors
    /// Those of writing; any other is said in the report.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime};
    /// use std::fmt;
    ///
    /// struct Login { user: String, password: String }
    ///
    /// impl Actor for Login {
    /// #   type Args = ();
    /// #   type Msg = ();
    /// #   async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
    /// #       Ok(Login { user: "ada".into(), password: "1815".into() })
    /// #   }
    /// #   async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #       assert!(self.password.len() < 4, "too long");
    /// #       Ok(())
    /// #   }
    ///     // ..
    ///     fn report_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    ///         write!(f, "user {}, password of {} letters", self.user, self.password.len())
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let login = rt.start::<Login>(()).await?;
    ///     login.cast(())?; // it panics
    ///     rt.down(&login).await;
    ///     let report = &rt.crashes()[0];
    ///     assert_eq!(report.state.as_deref(), Some("user ada, password of 4 letters"));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    fn report_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        Ok(())
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

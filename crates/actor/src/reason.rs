//! Why a process ended: a value that is cheap to clone and downcasts to the user's type.
//!
//! Reasons are data, never text to compare. Three of them are *orderly* (`Normal`, `Shutdown`,
//! `ShutdownWith`): they are what a transient child may end with without being restarted, and they
//! are not reported as crashes. For links only `Normal` is harmless.
//!
//! # Differences from OTP
//!
//! OTP's reasons are arbitrary terms; here the arbitrary ones are `Error`, `Custom` and
//! `ShutdownWith`, which carry a Rust value behind an `Arc`. `Ignore` exists so that an actor's
//! `init` can say `{ok, ignore}` through the same return type; anywhere else it counts as abnormal.
//! `MailboxOverflow` has no like in OTP, whose mailboxes have no bound.

use std::{any::Any, error::Error, fmt, panic::Location, sync::Arc};

use crate::contain::{self, Contained};

/// The reason with which a process ended, or is told to end.
#[derive(Clone)]
#[non_exhaustive]
pub enum ExitReason {
    /// The code ran to its end.
    Normal,
    /// An ordered end, by a supervisor or by the parent.
    Shutdown,
    /// An ordered end that carries a value.
    ShutdownWith(Value),
    /// The untrappable exit signal when it is sent; as the reason of a process that ended by itself
    /// or over a link it is an ordinary, abnormal term.
    Kill,
    /// The process was ended by [`ExitReason::Kill`].
    Killed,
    /// The target of a link, monitor or call did not exist.
    NoProc,
    /// The link between two nodes was lost or not possible.
    NoConnection,
    /// From `init` only: no process is wanted, quietly.
    Ignore,
    /// A message found the mailbox full, whose bound says that the process ends then:
    /// [`Overflow::Exit`](crate::Overflow::Exit).
    MailboxOverflow,
    /// A panic in the process's code.
    Panic(Arc<PanicInfo>),
    /// An error that the process's code returned, by `?` for instance.
    Error(Arc<dyn Error + Send + Sync>),
    /// Any other value.
    Custom(Value),
}

/// A value inside an [`ExitReason`]: any `Debug` type, shared and downcast by its type.
#[derive(Clone)]
pub struct Value(Arc<dyn AnyDebug>);

trait AnyDebug: fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
}

impl<T: Any + fmt::Debug + Send + Sync> AnyDebug for Contained<T> {
    fn as_any(&self) -> &dyn Any {
        &**self
    }
}

/// What is known of a panic that ended a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicInfo {
    message: String,
    location: Option<String>,
}

/// An [`ExitReason`] as an [`Error`], for results that are seen outside actors.
///
/// `ExitReason` itself cannot be an `Error`, since any error converts into it (that is what makes
/// `?` in a handler mean "let it crash").
#[derive(Clone)]
pub struct ExitError(ExitReason);

impl ExitReason {
    /// An abnormal reason that carries `value`.
    pub fn custom<T: fmt::Debug + Send + Sync + 'static>(value: T) -> Self {
        ExitReason::Custom(Value::new(value))
    }

    /// An ordered end that carries `value`.
    pub fn shutdown_with<T: fmt::Debug + Send + Sync + 'static>(value: T) -> Self {
        ExitReason::ShutdownWith(Value::new(value))
    }

    /// The carried value if it is a `T`; looks into `Error`, `Custom` and `ShutdownWith`.
    pub fn downcast_ref<T: Send + Sync + 'static>(&self) -> Option<&T> {
        match self {
            ExitReason::Custom(value) | ExitReason::ShutdownWith(value) => value.downcast_ref(),
            ExitReason::Error(error) => {
                // `dyn Error` has no `Any`: its own downcast needs `T: Error`, which is not asked
                // for here. Errors are wrapped when they are made, see `From<E>` below.
                let wrapped: &(dyn Error + 'static) = &**error;
                wrapped.downcast_ref::<Wrapped>().and_then(|w| w.value.downcast_ref())
            }
            _ => None,
        }
    }

    /// Whether `other` is this reason or a clone of it. Values are compared by where they are.
    pub(crate) fn is_same(&self, other: &ExitReason) -> bool {
        match (self, other) {
            (ExitReason::ShutdownWith(one), ExitReason::ShutdownWith(other))
            | (ExitReason::Custom(one), ExitReason::Custom(other)) => Arc::ptr_eq(&one.0, &other.0),
            (ExitReason::Error(one), ExitReason::Error(other)) => Arc::ptr_eq(one, other),
            (ExitReason::Panic(one), ExitReason::Panic(other)) => Arc::ptr_eq(one, other),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// Whether the carried value is a `T`.
    pub fn is<T: Send + Sync + 'static>(&self) -> bool {
        self.downcast_ref::<T>().is_some()
    }

    /// Whether this is [`ExitReason::Normal`].
    pub fn is_normal(&self) -> bool {
        matches!(self, ExitReason::Normal)
    }

    /// Whether this is an ordered end: `Normal`, `Shutdown` or `ShutdownWith`.
    pub fn is_orderly(&self) -> bool {
        matches!(self, ExitReason::Normal | ExitReason::Shutdown | ExitReason::ShutdownWith(_))
    }

    /// What the payload of a caught panic says, with the place where it happened if the runtime's hook
    /// saw it. For who calls the code of others, as supervisors do.
    pub fn from_panic(payload: Box<dyn Any + Send>) -> Self {
        let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
            (*text).to_owned()
        } else if let Some(text) = payload.downcast_ref::<String>() {
            text.clone()
        } else {
            "a panic whose payload is not text".to_owned()
        };
        let location = crate::panic_place::take();
        contain::discard(payload);
        ExitReason::Panic(Arc::new(PanicInfo { message, location }))
    }
}

impl Value {
    fn new<T: fmt::Debug + Send + Sync + 'static>(value: T) -> Self {
        Value(Arc::new(Contained::new(value)))
    }

    /// The value if it is a `T`.
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        self.0.as_any().downcast_ref()
    }
}

impl PanicInfo {
    /// The panic's text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// `file:line:column` of the panic. `None` if another panic hook was set over the runtime's.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    pub(crate) fn place(location: &Location<'_>) -> String {
        location.to_string()
    }
}

impl ExitError {
    /// The reason inside.
    pub fn reason(&self) -> &ExitReason {
        &self.0
    }
}

/// Keeps the user's error downcastable without asking for `T: Error` in `downcast_ref`.
struct Wrapped {
    value: Contained<Box<dyn Any + Send + Sync>>,
    as_error: fn(&(dyn Any + Send + Sync)) -> &(dyn Error + 'static),
}

impl Wrapped {
    fn error(&self) -> &(dyn Error + 'static) {
        (self.as_error)(&**self.value)
    }
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.error(), f)
    }
}

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.error(), f)
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error().source()
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ExitReason {
    /// `?` in a handler: the actor ends with the error. An [`ExitError`] gives its reason back, so
    /// that a reason does not grow a layer at each hop.
    fn from(error: E) -> Self {
        let any: Box<dyn Any + Send + Sync> = Box::new(error);
        match any.downcast::<ExitError>() {
            Ok(exit) => exit.0,
            Err(value) => ExitReason::Error(Arc::new(Wrapped {
                value: Contained::new(value),
                as_error: |value| match value.downcast_ref::<E>() {
                    Some(error) => error,
                    // Made three lines above from an `E`.
                    None => unreachable!("a wrapped error keeps its type"),
                },
            })),
        }
    }
}

impl From<ExitReason> for ExitError {
    fn from(reason: ExitReason) -> Self {
        ExitError(reason)
    }
}

impl From<ExitReason> for Box<dyn Error> {
    fn from(reason: ExitReason) -> Self {
        Box::new(ExitError(reason))
    }
}

impl From<ExitReason> for Box<dyn Error + Send + Sync> {
    fn from(reason: ExitReason) -> Self {
        Box::new(ExitError(reason))
    }
}

impl fmt::Debug for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Normal => f.write_str("Normal"),
            ExitReason::Shutdown => f.write_str("Shutdown"),
            ExitReason::ShutdownWith(value) => write!(f, "ShutdownWith({value:?})"),
            ExitReason::Kill => f.write_str("Kill"),
            ExitReason::Killed => f.write_str("Killed"),
            ExitReason::NoProc => f.write_str("NoProc"),
            ExitReason::NoConnection => f.write_str("NoConnection"),
            ExitReason::Ignore => f.write_str("Ignore"),
            ExitReason::MailboxOverflow => f.write_str("MailboxOverflow"),
            ExitReason::Panic(info) => write!(f, "Panic({info:?})"),
            ExitReason::Error(error) => write!(f, "Error({error:?})"),
            ExitReason::Custom(value) => write!(f, "Custom({value:?})"),
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Normal => f.write_str("normal"),
            ExitReason::Shutdown => f.write_str("shutdown"),
            ExitReason::ShutdownWith(value) => write!(f, "shutdown with {value:?}"),
            ExitReason::Kill => f.write_str("kill"),
            ExitReason::Killed => f.write_str("killed"),
            ExitReason::NoProc => f.write_str("no such process"),
            ExitReason::NoConnection => f.write_str("no connection"),
            ExitReason::Ignore => f.write_str("ignore"),
            ExitReason::MailboxOverflow => f.write_str("mailbox overflow"),
            ExitReason::Panic(info) => match info.location() {
                Some(place) => write!(f, "panic at {place}: {}", info.message()),
                None => write!(f, "panic: {}", info.message()),
            },
            ExitReason::Error(error) => write!(f, "{error}"),
            ExitReason::Custom(value) => write!(f, "{value:?}"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExitError({:?})", self.0)
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for ExitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            ExitReason::Error(error) => {
                let error: &(dyn Error + 'static) = &**error;
                error.source()
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct BadPage(u32);
    impl fmt::Display for BadPage {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "bad page {}", self.0)
        }
    }
    impl Error for BadPage {}

    #[test]
    fn an_error_downcasts_to_its_own_type_and_to_no_other() {
        let reason = ExitReason::from(BadPage(3));
        assert_eq!(reason.downcast_ref::<BadPage>(), Some(&BadPage(3)));
        assert!(!reason.is::<fmt::Error>());
        assert_eq!(reason.to_string(), "bad page 3");
        assert!(!reason.is_orderly());
    }

    #[test]
    fn custom_and_shutdown_values_downcast() {
        assert!(ExitReason::custom("x").is::<&str>());
        let ended = ExitReason::shutdown_with(7_u8);
        assert_eq!(ended.downcast_ref::<u8>(), Some(&7));
        assert!(ended.is_orderly() && !ended.is_normal());
    }

    #[test]
    fn an_exit_error_converts_back_to_the_same_reason() {
        let reason = ExitReason::from(ExitError::from(ExitReason::Shutdown));
        assert!(matches!(reason, ExitReason::Shutdown));
    }
}

//! What is asked for: a limit, and what becomes of messages beyond it.

use std::{error::Error, fmt};

/// What becomes of a message that finds its receiver's mailbox full: [`SpawnOptions::bounded`].
///
/// | | the sender | the message |
/// | --- | --- | --- |
/// | `Reject` | is refused: [`SendFailure::Full`], [`CallError::Full`] | comes back |
/// | `DropNewest` | is not told; a caller: [`CallError::Full`] | is dropped and counted |
/// | `DropOldest` | is not told | takes the place of the oldest, which is dropped and counted; its caller: [`CallError::Full`] |
/// | `Exit` | is refused, as by `Reject` | comes back, and the receiver ends with [`MailboxOverflow`] |
///
/// Who is ready to wait, by [`cast_wait`](crate::ActorRef::cast_wait) or
/// [`Call::wait_for_room`](crate::Call::wait_for_room), waits for room whatever the policy is. While somebody waits,
/// others find the mailbox full.
///
/// [`MailboxOverflow`]: crate::ExitReason::MailboxOverflow
/// [`SpawnOptions::bounded`]: crate::SpawnOptions::bounded
/// [`SendFailure::Full`]: crate::SendFailure::Full
/// [`CallError::Full`]: crate::CallError::Full
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The sender is refused.
    Reject,
    /// The message that comes is dropped.
    DropNewest,
    /// The message that has waited longest is dropped. Each message costs a lock, at both ends. It is dropped by the
    /// sender: a destructor that casts to the same mailbox drops the next one there, and so on.
    DropOldest,
    /// The sender is refused, and the receiver ends as by an exit signal that cannot be trapped: at once, without
    /// `terminate`, with [`MailboxOverflow`](crate::ExitReason::MailboxOverflow).
    Exit,
}

/// A mailbox was to be bounded to no message at all: [`SpawnOptions::bounded`](crate::SpawnOptions::bounded). Found in
/// [`StartError::Invalid`](crate::StartError::Invalid).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZeroBound;

impl fmt::Display for ZeroBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mailbox bounded to 0 messages would take none: the least bound is 1")
    }
}

impl Error for ZeroBound {}

/// A bound as it is asked for. Eight bytes, as an option as well: it is in every [`SpawnOptions`].
///
/// [`SpawnOptions`]: crate::SpawnOptions
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    limit: u32,
    overflow: Overflow,
}

/// Lengths are compared mod 2^32.
const LIMIT_MAX: usize = (1 << 31) - 1;

impl Wanted {
    pub(crate) fn new(limit: usize, overflow: Overflow) -> Self {
        Wanted { limit: limit.min(LIMIT_MAX) as u32, overflow }
    }

    pub(crate) fn into_parts(self) -> (u32, Overflow) {
        (self.limit, self.overflow)
    }

    /// The same policy with another limit.
    pub(crate) fn with_limit(self, limit: impl FnOnce(u32) -> u32) -> Self {
        Wanted { limit: limit(self.limit), ..self }
    }

    pub(crate) fn check(self) -> Result<(), ZeroBound> {
        if self.limit == 0 { Err(ZeroBound) } else { Ok(()) }
    }
}

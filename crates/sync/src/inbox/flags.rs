//! Flags that go with an inbox: what [`Inbox::raise`](super::Inbox::raise) sets.

use std::fmt;

use crate::shim::atomic::{AtomicU32, Ordering};

/// 32 flags of the user's: set by anyone with [`Inbox::raise`](super::Inbox::raise), cleared by the owner.
///
/// Apart from the inbox, since an owner looks at them before each message, and the line that the inbox is in
/// belongs to whoever sends: on it each look would be a transfer between cores.
#[derive(Default)]
pub struct Flags(AtomicU32);

impl Flags {
    /// None is set.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Those that are set. Anyone may look at any time; the owner sees every flag whose `raise` made a drain
    /// answer [`Drained::tagged`](super::Drained::tagged).
    #[inline]
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Clears those of `mask` and returns which of them were set. The owner's.
    #[inline]
    pub fn take(&self, mask: u32) -> u32 {
        if self.get() & mask == 0 {
            return 0;
        }
        self.0.fetch_and(!mask, Ordering::Acquire) & mask
    }

    /// Sets flags that the owner is to find when it looks the next time, of its own accord: nothing is raised. For
    /// the owner, and for who makes it look otherwise.
    pub fn put(&self, flags: u32) {
        self.set(flags);
    }

    pub(super) fn set(&self, flags: u32) {
        // Release: an owner that sees the flag without the tag sees what came before it as well.
        self.0.fetch_or(flags, Ordering::Release);
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flags").field(&self.get()).finish()
    }
}

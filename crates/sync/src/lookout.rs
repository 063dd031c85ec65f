//! One thread looks after others while they work, and sleeps when they do not.
//!
//! Who looks for those that are stuck has to wake up now and then, and would keep an idle machine from its rest. So it
//! goes to sleep for good when nobody works, and is woken by the first who does again: that one pays for it, once for
//! each time that it slept.
//!
//! # States
//!
//! ```text
//!   LOOKING --doze--> DOZING --begin (and wakes), or there is work--> LOOKING
//! ```
//!
//! # Who may write
//!
//! | field | writer | allowed when |
//! | --- | --- | --- |
//! | `dozing`, to true | the one that looks | always |
//! | `dozing`, to false | the one that looks; who begins to work, if it was true | always |
//!
//! # Why nobody works unseen
//!
//! Who begins to work has said so in a word of his own, executes a `SeqCst` fence, and then looks at `dozing`. The one
//! that looks sets `dozing`, executes a `SeqCst` fence, and then asks whether anybody works. The two fences are ordered:
//! either the worker's look sees `dozing`, and he hands over a token, which the parker keeps; or the question sees his
//! word, and is answered with yes.
//!
//! # Orderings
//!
//! | operation | ordering | pairs with | breaks if weaker |
//! | --- | --- | --- | --- |
//! | `begin`: load `dozing` | Relaxed, behind a `SeqCst` fence of the caller's | `doze`: the store, then its fence | both miss each other: work that nobody looks after |
//!
//! # Cost
//!
//! `begin`: a load, of a word that changes when everybody rests or the first begins; once for each sleep, a wake-up.
//!
//! # Checked by
//!
//! `tests/loom_lookout.rs`.

use std::fmt;
use std::time::Duration;

use crate::parker::Parker;
use crate::shim::atomic::{AtomicBool, Ordering, fence};

#[cfg(test)]
mod tests;

/// Where one thread waits for others to work. See the [module](self).
pub struct Lookout {
    dozing: AtomicBool,
    parker: Parker,
}

impl Lookout {
    /// Somebody looks.
    #[must_use]
    pub fn new() -> Self {
        Lookout { dozing: AtomicBool::new(false), parker: Parker::new() }
    }

    /// Somebody begins to work, has said so, and has executed a `SeqCst` fence since.
    #[inline]
    pub fn begin(&self) {
        if self.dozing.load(Ordering::Relaxed) {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        if self.dozing.swap(false, Ordering::Relaxed) {
            self.parker.unpark();
        }
    }

    /// Sleeps for good, unless somebody works: then it returns at once. By the one thread that looks.
    pub fn doze(&self, is_work: impl FnOnce() -> bool) {
        self.dozing.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !is_work() {
            self.parker.park();
        }
        self.dozing.store(false, Ordering::Relaxed);
    }

    /// Waits for `time`, or until somebody [calls](Self::call). By the one thread that looks.
    pub fn wait(&self, time: Duration) {
        let _ = self.parker.park_timeout(time);
    }

    /// Wakes the one that looks, whatever it does: for what it looks for after it has slept.
    pub fn call(&self) {
        self.parker.unpark();
    }
}

impl Default for Lookout {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dozing = self.dozing.load(Ordering::Relaxed);
        f.debug_struct("Lookout").field("dozing", &dozing).finish_non_exhaustive()
    }
}

//! Starts one at a time.

use std::collections::VecDeque;

use crate::guard::Guarded;

/// The starts that wait for the one that is under way.
pub(super) struct Serial<W> {
    is_busy: bool,
    waiting: VecDeque<Guarded<W>>,
}

impl<W> Serial<W> {
    pub(super) fn new() -> Self {
        Serial { is_busy: false, waiting: VecDeque::new() }
    }

    pub(super) fn push(&mut self, wanted: W) {
        self.waiting.push_back(Guarded::new(wanted));
    }

    pub(super) fn extend(&mut self, wanted: impl IntoIterator<Item = Guarded<W>>) {
        self.waiting.extend(wanted);
    }

    /// The one that was under way is over.
    pub(super) fn done(&mut self) {
        self.is_busy = false;
    }

    /// The next one, which is under way then. `None`: one is, or none waits.
    pub(super) fn next(&mut self) -> Option<W> {
        if self.is_busy {
            return None;
        }
        let wanted = self.waiting.pop_front().and_then(Guarded::take)?;
        self.is_busy = true;
        Some(wanted)
    }
}

//! A look at the children that a process supervises.

use super::Context;
use crate::{Actor, ChildKey, Pid, cell::bit, children};

// For the `unsafe` blocks see above `impl Context` in the parent.
impl<A: Actor> Context<A> {
    /// All children that have not ended, as far as this process has heard, by their places: of those that have ended at
    /// the same moment none, though all but the first are [counted](Self::child_count) when it is told of that one. Takes
    /// time by the most children there were at once.
    pub fn children(&self) -> Vec<(ChildKey, Pid)> {
        self.first_children(usize::MAX)
    }

    /// The first `most` of all [`children`](Self::children).
    pub fn first_children(&self, most: usize) -> Vec<(ChildKey, Pid)> {
        // SAFETY: see above the impl: it is read.
        let set = unsafe { children::look(self.own()) };
        let all = set.into_iter().flat_map(|set| set.all());
        all.take(most).map(|(key, child)| (key, child.pid())).collect()
    }

    /// Whether the runtime is shutting down, which is told before any process is: it starts none any more.
    pub fn is_shutting_down(&self) -> bool {
        self.cell.shared().is_closing()
    }

    /// Whether a child's `init` is not done. It may still say so for a moment when who waits for the start has been
    /// answered.
    pub fn is_child_starting(&self, key: ChildKey) -> bool {
        // SAFETY: see above the impl: it is read.
        let child = unsafe { children::look(self.own()) }.and_then(|set| set.get(key));
        child.is_some_and(|child| child.header().has(bit::INIT))
    }
}

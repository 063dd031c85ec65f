//! A look at the children that a process supervises.

use super::Context;
use crate::{Actor, ChildKey, Pid, cell::bit, children};

// For the `unsafe` blocks see above `impl Context` in the parent.
impl<A: Actor> Context<A> {
    /// All children that were not counted off, by their places. Takes time by the most children there were at once.
    pub fn children(&self) -> impl Iterator<Item = (ChildKey, Pid)> + '_ {
        // SAFETY: see above the impl: it is read, and the context is borrowed meanwhile.
        let set = unsafe { children::look(self.own()) };
        set.into_iter().flat_map(|set| set.all()).map(|(key, child)| (key, child.pid()))
    }

    /// Whether a child's `init` is not done. It may still say so for a moment when who waits for the start has been
    /// answered.
    pub fn is_child_starting(&self, key: ChildKey) -> bool {
        // SAFETY: see above the impl: it is read.
        let child = unsafe { children::look(self.own()) }.and_then(|set| set.get(key));
        child.is_some_and(|child| child.header().has(bit::INIT))
    }
}

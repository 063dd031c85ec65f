//! What a supervisor needs beside [`spawn_child`](Context::spawn_child) and the two stops: for who writes one.

use super::Context;
use crate::{Actor, ChildDown, ChildKey, EndChild, Overflow, Stop, bound, children};

// For the `unsafe` blocks see above `impl Context` in the parent.
impl<A: Actor> Context<A> {
    /// As [`stop_child`](Self::stop_child), with the reason that the child ended with. `None`: there is no such child
    /// (any more).
    ///
    /// # Panics
    /// In a process in the process form, which supervises no children.
    pub fn end_child(&mut self, key: ChildKey, how: Stop) -> EndChild<'_> {
        EndChild::new(self.own_as_parent(), key, how)
    }

    /// Waits for the end of a child that was told to end before, by [`exit`](Self::exit), in the way of `how`: one that
    /// has a time is killed when that is over, counted from now on. It gets no other signal. For the rest,
    /// [`end_child`](Self::end_child).
    ///
    /// # Panics
    /// As for [`end_child`](Self::end_child).
    pub fn await_child(&mut self, key: ChildKey, how: Stop) -> EndChild<'_> {
        EndChild::told(self.own_as_parent(), key, how)
    }

    /// The ends of children that have come and were not told yet: now, instead of by the function that was given to
    /// [`supervise`](Self::supervise). For a `terminate`, during which that is not called any more. Costs nothing if
    /// there are none, and takes time by their number else.
    ///
    /// `was_killed`: which children this process has killed by [`exit`](Self::exit) since they are stopped so, for the
    /// report of its end, which names those that somebody else has killed.
    ///
    /// # Panics
    /// As for [`end_child`](Self::end_child).
    pub fn take_child_downs(&mut self, was_killed: impl Fn(ChildKey) -> bool) -> Vec<ChildDown> {
        // SAFETY: see above the parent's impl.
        unsafe { children::take_downs(self.own_as_parent(), was_killed) }
    }

    /// The [bound](crate::SpawnOptions::bounded) of this process's mailbox, and what becomes of messages beyond it. For who
    /// takes requests out of it that are to wait elsewhere.
    pub fn mailbox_bound(&self) -> Option<(usize, Overflow)> {
        bound::rule(self.cell)
    }
}

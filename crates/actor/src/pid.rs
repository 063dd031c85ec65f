//! The name of a process: eight bytes that never name another one.
//!
//! ```text
//! bits 63..52  tag of the runtime (1 to 4095)
//! bits 51..24  index of the slot in the process table
//! bits 23..0   generation of the slot
//! ```
//!
//! A slot's generation changes with each process that lives in it, and a slot whose generations are
//! spent is retired for good, so a stale pid finds nobody. The tag tells the runtimes of one program
//! apart: a pid of another runtime is nobody here.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::{cell::CellPtr, local};

/// Names a process, alive or dead. `Copy`, 8 bytes, comparable and hashable.
///
/// Printed as `<node.index.generation>`; the node is 0 for processes of this program.
///
/// A pid does not keep anything alive and can only be used where a runtime is at hand: on a
/// [`Context`](crate::Context) or on a [`Handle`](crate::Handle). An
/// [`ActorRef`](crate::ActorRef) is the typed address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pid(u64);

const GENERATION_BITS: u32 = 24;
const INDEX_BITS: u32 = 28;

impl Pid {
    /// A pid that is no process's, in any runtime.
    pub const NOBODY: Pid = Pid(0);

    /// The process whose code runs on this thread now: in its handler or body, in what it has piped, in what it
    /// constructs or drops. `None`: no process's does.
    ///
    /// ```
    /// use whitebeam_actor::{Mailbox, Pid, Runtime};
    ///
    /// let rt = Runtime::simulated(1)?;
    /// assert_eq!(Pid::current(), None);
    /// let process = rt.spawn_fn(|mailbox: Mailbox<()>| async move {
    ///     assert_eq!(Pid::current(), Some(mailbox.pid()));
    ///     Ok(())
    /// });
    /// assert!(rt.block_on(rt.down(&process)).reason.is_normal());
    /// # Ok::<_, whitebeam_actor::BuildError>(())
    /// ```
    pub fn current() -> Option<Pid> {
        local::current().map(CellPtr::pid)
    }

    pub(crate) const MAX_TAG: u16 = 0xFFF;

    pub(crate) fn new(tag: u16, index: u32, generation: u32) -> Self {
        debug_assert!(tag <= Self::MAX_TAG && index < 1 << INDEX_BITS);
        debug_assert!(generation < 1 << GENERATION_BITS);
        Pid(u64::from(tag) << (GENERATION_BITS + INDEX_BITS)
            | u64::from(index) << GENERATION_BITS
            | u64::from(generation))
    }

    pub(crate) fn tag(self) -> u16 {
        (self.0 >> (GENERATION_BITS + INDEX_BITS)) as u16
    }

    pub(crate) fn index(self) -> u32 {
        (self.0 >> GENERATION_BITS) as u32 & ((1 << INDEX_BITS) - 1)
    }

    pub(crate) fn generation(self) -> u32 {
        self.0 as u32 & ((1 << GENERATION_BITS) - 1)
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Pid(bits)
    }

    /// The pid among those of one runtime: without the tag, so that it is the same in each replayed run.
    pub(crate) fn in_runtime(self) -> u64 {
        self.0 & ((1 << (GENERATION_BITS + INDEX_BITS)) - 1)
    }
}

impl Hash for Pid {
    /// Two writes, not one: who routes a key that is a lone integer by its value would send all pids of
    /// one generation to the same place.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.0 as u32);
        state.write_u32((self.0 >> 32) as u32);
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<0.{}.{}>", self.index(), self.generation())
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_come_back() {
        let pid = Pid::new(0xFFF, (1 << 28) - 1, 5);
        assert_eq!((pid.tag(), pid.index(), pid.generation()), (0xFFF, (1 << 28) - 1, 5));
        assert_eq!(Pid::from_bits(pid.to_bits()), pid);
        assert_eq!(Pid::new(1, 7, 2).to_string(), "<0.7.2>");
    }
}

//! The inbox word: newest node, count of messages and state in 64 bits.
//!
//! ```text
//!   63 ......... 49  48     47 .......................... 4   3      2      1     0
//!  | count mod 2^15 | CLOSED | address of the newest node   | WOKEN BARRED IDLE   TAG |
//! ```
//!
//! `BARRED` is what a plain push looks at, alone, for two reasons to go another way: the inbox is guarded (set when
//! it was made, and kept by everyone), or it is closed (set with `CLOSED`). So a guard costs those nothing who send
//! to an inbox without one; which of the two it is they ask on the other way.
//!
//! Nodes are 16-byte aligned, and user addresses are below 2^48 on the targets that are built for
//! (x86-64 with four levels of pages, AArch64 without tags; with five levels Linux hands out
//! higher addresses only to who asks for them). A push checks it and aborts otherwise.
//!
//! The word is kept as a pointer, so that the newest node's provenance travels in it. All shifts
//! and masks of it are in this file.

use std::fmt;

use crate::node::Node;

/// "Look at your flags": set by `raise`, cleared by `drain`. Never together with `IDLE`.
const TAG: usize = 1;
/// Nothing is queued and nobody runs: set by `settle`, cleared by who must then schedule. The
/// address is null.
const IDLE: usize = 2;
/// Plain pushes are turned away. See the module's text.
const BARRED: usize = 4;
/// "Poll again": set by `wake`, cleared by `drain`. Never together with `IDLE`.
const WOKEN: usize = 8;

/// For good, and with `BARRED`. The address is that of a node that was drained long ago, and means nothing.
const CLOSED: usize = 1 << 48;

pub(super) const COUNT_BITS: u32 = 15;
const COUNT_SHIFT: u32 = usize::BITS - COUNT_BITS;

const COUNT: usize = usize::MAX << COUNT_SHIFT;
/// Bit that `fetch_or` sets to guard.
pub(super) const GUARD: usize = BARRED;
/// What is left when the nodes are taken by `fetch_and`.
pub(super) const KEPT: usize = COUNT | BARRED;
/// Mask that clears `TAG` and `WOKEN`.
pub(super) const CLEAR_SIGNS: usize = !(TAG | WOKEN);
/// Bits that `fetch_or` sets to close.
pub(super) const CLOSE: usize = CLOSED | BARRED;

/// Mask of the address.
const ADDRESS: usize = !(COUNT | CLOSED | TAG | IDLE | BARRED | WOKEN);

/// What the owner is told beside nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Signs(usize);

impl Signs {
    pub(super) const NONE: Self = Self(0);
    pub(super) const TAGGED: Self = Self(TAG);
    pub(super) const WOKEN: Self = Self(WOKEN);

    #[inline]
    pub(super) fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    #[inline]
    pub(super) fn is_tagged(self) -> bool {
        self.0 & TAG != 0
    }

    #[inline]
    pub(super) fn is_woken(self) -> bool {
        self.0 & WOKEN != 0
    }
}

/// One value of the inbox word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) *mut Node);

impl Word {
    /// Owned by who made it, nothing queued.
    pub(super) fn scheduled() -> Self {
        Self(std::ptr::null_mut())
    }

    /// Owned by nobody, nothing queued.
    pub(super) fn idle() -> Self {
        Self(std::ptr::without_provenance_mut(IDLE))
    }

    /// Whether the word has room for this node's address.
    #[inline]
    pub(super) fn can_hold(node: *mut Node) -> bool {
        node.addr() & !ADDRESS == 0
    }

    /// The newest node; null when there is none.
    #[inline]
    pub(super) fn newest(self) -> *mut Node {
        self.0.map_addr(|word| word & ADDRESS)
    }

    #[inline]
    pub(super) fn count(self) -> u32 {
        (self.0.addr() >> COUNT_SHIFT) as u32
    }

    #[inline]
    pub(super) fn is_idle(self) -> bool {
        self.0.addr() & IDLE != 0
    }

    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.0.addr() & CLOSED != 0
    }

    /// Whether it is guarded or closed.
    #[inline]
    pub(super) fn is_barred(self) -> bool {
        self.0.addr() & BARRED != 0
    }

    #[inline]
    pub(super) fn signs(self) -> Signs {
        Signs(self.0.addr() & (TAG | WOKEN))
    }

    /// Whether there is nothing in it for an owner whose cursor stands at `seen`.
    #[inline]
    pub(super) fn is_quiet(self, seen: *mut Node) -> bool {
        self.0.addr() & (ADDRESS | TAG | WOKEN) == seen.addr()
    }

    /// After a push of a chain with `counted` messages in it, and how often the count wrapped.
    #[inline]
    pub(super) fn pushed(self, newest: *mut Node, counted: u32) -> (Self, u32) {
        let count = self.count() as usize + counted as usize;
        let kept = self.0.addr() & (TAG | WOKEN | BARRED);
        let word = newest.map_addr(|node| node | kept | (count << COUNT_SHIFT));
        (Self(word), (count >> COUNT_BITS) as u32)
    }

    /// After a `raise` or `wake`. An idle word becomes a scheduled one.
    #[inline]
    pub(super) fn signed(self, signs: Signs) -> Self {
        Self(self.0.map_addr(|word| (word & !IDLE) | signs.0))
    }

    /// After a `settle`.
    #[inline]
    pub(super) fn settled(self) -> Self {
        Self(std::ptr::without_provenance_mut((self.0.addr() & KEPT) | IDLE))
    }

    /// After a `close_if_idle`.
    #[inline]
    pub(super) fn closed(self) -> Self {
        Self(std::ptr::without_provenance_mut((self.0.addr() & KEPT) | CLOSE))
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word")
            .field("newest", &self.newest())
            .field("count", &self.count())
            .field("idle", &self.is_idle())
            .field("closed", &self.is_closed())
            .field("barred", &self.is_barred())
            .field("tagged", &self.signs().is_tagged())
            .field("woken", &self.signs().is_woken())
            .finish()
    }
}

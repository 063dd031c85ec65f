//! Nodes whose parties are done while their request still waits in an inbox.
//!
//! It takes a closure that keeps the `Reply` apart from the request, so there are few. Whoever moves the request
//! out frees the node then. But the two may meet, and the ordinary request, of which there are millions a second,
//! is not to pay for that with a locked operation:
//!
//! # States
//!
//! ```text
//!   IN_INBOX --leave--> STRAY --taken--> TAKEN
//!       \________________taken____________^
//! ```
//!
//! # Operations
//!
//! *leave*, by the last of the parties: CAS to `STRAY` and into the list, under its lock (`TAKEN` already: it is
//! the leaver's); count it in `LEFT`; a [`Heavy`] barrier; look.
//! *taken*, by who moves the request out: read `LEFT`; read the state; store `TAKEN`, after which the node may be
//! gone; a [`light`] barrier; look, if the state was `STRAY` or `LEFT` has changed.
//! *look*, by address: if that is in the list, and the node there is `TAKEN`, takes it out and frees it.
//!
//! # Why nothing is lost
//!
//! If the taker reads `LEFT` after it was counted, it sees the state `STRAY`. If it reads it the second time before
//! that, its store of `TAKEN` comes before the leaver's look, by the barrier. Else it sees `LEFT` change. So one
//! of the two looks when both are done, and the list's lock lets one of them free it. An address that was used
//! anew meanwhile is in the list only if it is a stray again, and is freed only if that one is taken as well.
//!
//! Where the system has no such barrier, what is missed so is freed with the next stray.
//!
//! # Cost
//!
//! To a request: two loads of a line that is hardly ever written, and one of its own.
//!
//! # Checked by
//!
//! `tests`: step by step, and a race of threads. loom: `loom_strays`, the form without the barrier, which no model
//! has.

use std::{collections::BTreeSet, sync::OnceLock};

use whitebeam_sync::{
    barrier::{Heavy, light},
    node::Node,
    shim::{
        Mutex,
        atomic::{AtomicU32, Ordering},
        program_wide,
    },
};

use super::{CallNode, NonNull};

#[cfg(test)]
#[cfg(loom)]
mod loom_strays;
#[cfg(all(test, not(loom)))]
mod tests;

/// The request is in an inbox, or not sent yet.
pub(super) const IN_INBOX: u8 = 0;
/// And the parties are done.
const STRAY: u8 = 1;
/// The request was moved out.
pub(super) const TAKEN: u8 = 2;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Stray(NonNull<CallNode>);
// SAFETY: the list owns the node; only its `place` and its free are touched.
unsafe impl Send for Stray {}

program_wide! {
    /// Not per runtime: the node's only link to one was the inbox that still has it.
    static STRAYS: Mutex<BTreeSet<Stray>> = Mutex::new(BTreeSet::new());
}

program_wide! {
    /// How many were ever left, modulo 2^32: it changes when one is.
    static LEFT: AtomicU32 = AtomicU32::new(0);
}

static BARRIER: OnceLock<Option<Heavy>> = OnceLock::new();

/// The parties of `node` are done, and its request was not taken when they looked.
///
/// # Safety
/// The caller is the last owner of the two.
#[cold]
pub(super) unsafe fn leave(node: NonNull<CallNode>) {
    {
        let mut strays = STRAYS.lock();
        // SAFETY: the caller's word.
        let place = unsafe { &node.as_ref().place };
        // Acquire: what is taken already is freed next.
        let left =
            place.compare_exchange(IN_INBOX, STRAY, Ordering::Release, Ordering::Acquire).is_ok();
        if left {
            strays.insert(Stray(node));
        } else {
            drop(strays);
            // SAFETY: taken, and not in the list: the caller is the last owner.
            return unsafe { free(node) };
        }
    }
    // Release: who sees it counted sees its state.
    LEFT.fetch_add(1, Ordering::Release);
    if BARRIER.get_or_init(Heavy::register).is_some_and(Heavy::heavy) {
        look(node);
    } else {
        sweep();
    }
}

/// The request of `node` was moved out.
///
/// # Safety
/// It was, from a node that was still there. It may be gone when this returns.
#[inline]
pub(super) unsafe fn taken(node: NonNull<CallNode>) {
    let before = LEFT.load(Ordering::Acquire);
    // SAFETY: until `TAKEN` is stored the node is kept.
    let place = unsafe { &node.as_ref().place };
    let is_stray = place.load(Ordering::Relaxed) == STRAY;
    // Release: who frees the node comes after the request was read.
    place.store(TAKEN, Ordering::Release);
    light();
    if is_stray || LEFT.load(Ordering::Relaxed) != before {
        look(node);
    }
}

/// Frees the stray at this address if it is taken. The address is compared, and followed only if it is in the list.
#[cold]
fn look(node: NonNull<CallNode>) {
    let is_found = {
        let mut strays = STRAYS.lock();
        let stray = Stray(node);
        // SAFETY: in the list: that keeps it.
        let is_taken = || unsafe { node.as_ref() }.place.load(Ordering::Acquire) == TAKEN;
        strays.contains(&stray) && is_taken() && strays.remove(&stray)
    };
    if is_found {
        // SAFETY: taken, and out of the list: this is the last owner.
        unsafe { free(node) };
    }
}

/// Frees all that are taken.
#[cold]
fn sweep() {
    let is_taken = |stray: &Stray| {
        // SAFETY: in the list: that keeps it.
        unsafe { stray.0.as_ref() }.place.load(Ordering::Acquire) == TAKEN
    };
    let freed: Vec<Stray> = STRAYS.lock().extract_if(.., is_taken).collect();
    for Stray(node) in freed {
        // SAFETY: taken, and out of the list: this is the last owner.
        unsafe { free(node) };
    }
}

/// Frees a node whose request and reply are out.
///
/// # Safety
/// Nobody else has the node.
pub(super) unsafe fn free(node: NonNull<CallNode>) {
    // SAFETY: the caller's word.
    let vt = unsafe { Node::vt(node.cast()) };
    // SAFETY: as above.
    unsafe { (vt.free)(node.cast()) };
}

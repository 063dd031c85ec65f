//! Links: bidirectional, at most one per pair.
//!
//! Each side keeps its half in its own part, and the two agree when nothing is in flight, whoever links and
//! unlinks at the same time. A half that was taken back is kept, without effect, until the other side has
//! said that it knows:
//!
//! ```text
//!            link: send Link                    unlink: send Unlink(n)
//!   (none) ------------------> active <---------------------------------> unlinking(n)
//!     ^  |   receive Link        |  link: send Link                           |
//!     |  +---------------------> |                                            |
//!     +--------------------------+--------------------------------------------+
//!        receive Unlink(m): answer Known(m)               receive Known(n)
//! ```
//!
//! | received | none | active | unlinking(n) |
//! | --- | --- | --- | --- |
//! | Link | active | - | -: it was sent before the other side had our Unlink |
//! | Unlink(m) | answer | none, answer | answer |
//! | Known(m) | - | - | none if m = n |
//! | the other's end | - | its exit signal acts, none | none |
//!
//! Signals of one sender arrive in order, so a Link that is received while unlinking is older than the
//! answer, and the side that sent it will have our Unlink behind it. A link made anew while unlinking is
//! behind the Unlink at the other side, and the late answer names a number that is not waited for any more.
//! (The protocol is that of OTP 23's links between nodes.)
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

use crate::{
    ExitReason, Handle, Pid, Target,
    cell::{CellPtr, CellRef},
    ext::Ext,
    signal::{self, Signal},
};

/// One side of a link.
pub(crate) struct Half {
    /// `None`: there was nobody, and the exit signal that says so is on its way to this side.
    other: Option<CellRef>,
    /// Taken back, and the other side has not answered the Unlink of this number.
    unlinking: Option<u64>,
    /// The other's end is a message for the priority lane, if exits are trapped.
    is_urgent: bool,
}

/// The other side of an active link has ended.
pub(crate) struct EndOfLink {
    pub(crate) is_urgent: bool,
}

impl Half {
    fn active(other: CellRef) -> Self {
        Half { other: Some(other), unlinking: None, is_urgent: false }
    }

    /// As [`into_other`](Self::into_other), for who asks.
    pub(crate) fn other_pid(&self) -> Option<Pid> {
        self.other.as_ref().filter(|_| self.unlinking.is_none()).map(|other| other.ptr().pid())
    }

    /// The other side, unless the link was taken back.
    pub(crate) fn into_other(self) -> Option<CellRef> {
        self.other.filter(|_| self.unlinking.is_none())
    }
}

/// Links `owner` and `target` (`None`: nobody by that pid). Urgent: so is the message of its end, to `owner`, and an
/// active link becomes one of which this holds.
///
/// # Safety
/// The caller is `owner`'s owner.
pub(crate) unsafe fn link(owner: CellPtr, pid: Pid, target: Option<CellRef>, is_urgent: bool) {
    if pid == owner.pid() {
        return;
    }
    // Links are kept by pid without the runtime's tag.
    if pid.tag() != owner.pid().tag() {
        return nobody_here(owner, pid);
    }
    // SAFETY: the caller's word.
    let ext = unsafe { Ext::of(owner) };
    if let Some(half) = ext.links.get_mut(&pid.in_runtime()).filter(|half| half.unlinking.is_none())
    {
        half.is_urgent |= is_urgent;
        return;
    }
    let half = Half { other: target.clone(), unlinking: None, is_urgent };
    ext.links.insert(pid.in_runtime(), half);
    Ext::publish(owner);
    let linked = target
        .is_some_and(|to| signal::send(to.ptr(), Signal::Link { from: owner.to_ref() }).is_ok());
    if !linked {
        // The link stays on this side: it is what lets the signal below through.
        signal::send_exit(owner, Some(pid), ExitReason::NoProc, true);
    }
}

/// `pid` is another runtime's: the exit signal `NoProc`, without a link that could be taken back.
#[cold]
fn nobody_here(owner: CellPtr, pid: Pid) {
    signal::send_exit(owner, Some(pid), ExitReason::NoProc, false);
}

/// Removes the link between `owner` and `pid`. From now on it has no effect on `owner`.
///
/// # Safety
/// The caller is `owner`'s owner.
pub(crate) unsafe fn unlink(owner: CellPtr, pid: Pid) {
    // Links are kept by pid without the runtime's tag.
    if pid.tag() != owner.pid().tag() {
        return;
    }
    // SAFETY: the caller's word.
    let Some(ext) = (unsafe { Ext::get(owner) }) else { return };
    let id = ext.next_id();
    let Some(half) = ext.links.get_mut(&pid.in_runtime()) else { return };
    if half.unlinking.is_some() {
        return;
    }
    half.unlinking = Some(id);
    let known = half.other.clone().is_some_and(|other| {
        signal::send(other.ptr(), Signal::Unlink { from: owner.to_ref(), id }).is_ok()
    });
    if !known {
        // It has ended and will not answer. Its exit signal, if one is on its way, is without effect.
        ext.links.remove(&pid.in_runtime());
        Ext::publish(owner);
    }
}

/// The other side has made a link.
pub(crate) fn receive_link(cell: CellPtr, from: CellRef) {
    // SAFETY: called in the drain of the owner's run.
    let ext = unsafe { Ext::of(cell) };
    ext.links.entry(from.ptr().pid().in_runtime()).or_insert_with(|| Half::active(from));
}

/// The other side has taken the link back, and is told that this one knows.
pub(crate) fn receive_unlink(cell: CellPtr, from: &CellRef, id: u64) {
    let key = from.ptr().pid().in_runtime();
    // SAFETY: called in the drain of the owner's run, or in its end.
    if let Some(ext) = unsafe { Ext::get(cell) }
        && ext.links.get(&key).is_some_and(|half| half.unlinking.is_none())
    {
        ext.links.remove(&key);
    }
    let _ = signal::send(from.ptr(), Signal::UnlinkKnown { from: cell.pid(), id });
}

/// The other side knows that the link was taken back.
pub(crate) fn receive_known(cell: CellPtr, from: Pid, id: u64) {
    // SAFETY: called in the drain of the owner's run.
    if let Some(ext) = unsafe { Ext::get(cell) }
        && ext.links.get(&from.in_runtime()).is_some_and(|half| half.unlinking == Some(id))
    {
        ext.links.remove(&from.in_runtime());
    }
}

/// The other side has ended: the link is no more. `None`: its exit signal does not act.
pub(crate) fn receive_end(cell: CellPtr, from: Pid) -> Option<EndOfLink> {
    // SAFETY: called in the drain of the owner's run.
    let half = unsafe { Ext::get(cell) }.and_then(|ext| ext.links.remove(&from.in_runtime()));
    let half = half.filter(|half| half.unlinking.is_none())?;
    Some(EndOfLink { is_urgent: half.is_urgent })
}

/// Both sides are made before the child runs: `spawn_link`.
///
/// # Safety
/// The caller owns both cells. `child` is not scheduled yet: the caller counts one reference for the
/// spawner's side before it is.
pub(crate) unsafe fn link_at_spawn(owner: CellPtr, child: CellPtr, pid: Pid) {
    // SAFETY: the caller's word.
    unsafe { Ext::of(owner) }.links.insert(pid.in_runtime(), Half::active(CellRef::adopt(child)));
    // SAFETY: the caller's word.
    unsafe { Ext::of(child) }.links.insert(owner.pid().in_runtime(), Half::active(owner.to_ref()));
    Ext::publish(owner);
    Ext::publish(child);
}

impl Handle {
    /// Has `one` take back its link to `other`, from outside of both: the end of one has no effect on the other, if it
    /// comes later than this. No effect if they are not linked.
    ///
    /// For who ends a process in the name of one that is linked to it. A process's own links are taken back by
    /// [`Context::unlink`](crate::Context::unlink), in its own time.
    ///
    /// ```
    /// # use whitebeam_actor::{ExitReason, Mailbox, Runtime};
    /// # let rt = Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let one = rt.spawn_fn(|mut mailbox: Mailbox<()>| async move { Ok(mailbox.recv().await) });
    /// let pid = one.pid();
    /// let other = rt.spawn_fn(move |mut mailbox: Mailbox<()>| async move {
    ///     mailbox.link(pid);
    ///     Ok(mailbox.recv().await)
    /// });
    /// rt.relations(&other).await; // It has begun.
    /// rt.unlink(&one, &other);
    /// let end = rt.down(&one);
    /// rt.exit(&one, ExitReason::Shutdown);
    /// end.await;
    /// other.cast(())?;
    /// assert!(rt.down(&other).await.reason.is_normal());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn unlink(&self, one: impl Target, other: impl Target) {
        let (Some(one), Some(other)) = (self.shared().find(&one), other.target()) else { return };
        // By one side's own protocol: what the two say to each other meanwhile stays in order.
        let _ = signal::send(one.ptr(), Signal::TakeBack { link_to: other });
    }
}

//! What the bits in a cell's two words mean.

/// Node-free signals, in [`Header::flags`](super::Header::flags).
pub(crate) mod flag {
    /// Untrappable end.
    pub(crate) const KILL: u32 = 1;
    /// Ordered end by the parent or by the runtime.
    pub(crate) const SHUTDOWN: u32 = 1 << 1;
    /// An exit signal is in the stream: drain before the next message.
    pub(crate) const SIGNAL: u32 = 1 << 2;
    /// A call's timeout may be due.
    pub(crate) const TIMEOUT: u32 = 1 << 3;
    /// The runtime's shutdown counts this process. Set with `SHUTDOWN` and never looked at by the run, so
    /// that whoever clears it, the end of the process or who told it too late, takes it off the count.
    pub(crate) const COUNTED: u32 = 1 << 4;
    /// The process has, or had, a name. Never cleared, and never looked at by the run; see `names`.
    pub(crate) const NAMED: u32 = 1 << 5;
    /// Attached work was woken, see `work`.
    pub(crate) const WORK: u32 = 1 << 6;
    /// Senders wait for room, or a ring is to be tidied, see `bound`.
    pub(crate) const WAITERS: u32 = 1 << 7;
    /// A message has found the mailbox full that is to end with that.
    pub(crate) const OVERFLOW: u32 = 1 << 8;
    /// Its mailbox is bounded: the part has the bound, and the inbox is guarded. Set before it is published, never cleared.
    pub(crate) const BOUNDED: u32 = 1 << 9;
    /// The owner's note, with [`bit::TURNS`](super::bit::TURNS): it has a budget of messages of its own, see
    /// [`Ext::budget`](crate::ext::Ext::budget).
    pub(crate) const PACED: u32 = 1 << 10;
    /// As above: each turn is to look how long the mailbox is, which has been longer than its watermark, see
    /// `watermark`.
    pub(crate) const ABOVE: u32 = 1 << 11;
    /// As above: the time of each turn is taken, see `inspect::level`.
    pub(crate) const TIMED: u32 = 1 << 12;
    /// The process is to see how closely it is watched, see `inspect::level`.
    pub(crate) const LEVEL: u32 = 1 << 16;
    /// It has a priority lane. Set before it is published, never cleared.
    pub(crate) const LANE: u32 = 1 << 13;
    /// The owner's note, for a report: the reason was fixed while a child's end was told.
    pub(crate) const IN_CHILD_DOWN: u32 = 1 << 29;
    /// It was fixed in `terminate`.
    pub(crate) const IN_TERMINATE: u32 = 1 << 30;
    /// Both of these: it was fixed while a message was made of a signal. None: in `init` or a handler.
    pub(crate) const IN_OTHER: u32 = IN_CHILD_DOWN | IN_TERMINATE;
    /// It was fixed by attached work.
    pub(crate) const IN_WORK: u32 = 1 << 31;
    /// All that say where it was fixed.
    pub(crate) const IN_ANY: u32 = IN_OTHER | IN_WORK;
    /// Those that the run looks after.
    pub(crate) const RUN: u32 =
        KILL | SHUTDOWN | SIGNAL | TIMEOUT | WORK | WAITERS | OVERFLOW | LEVEL;
    /// Those of them that a body gives way to: senders it lets in itself.
    pub(crate) const BODY: u32 = RUN & !(WAITERS | LEVEL);
}

/// Owner's notes, in [`Header::bits`](super::Header::bits).
pub(crate) mod bit {
    /// The state is there and must be dropped.
    pub(crate) const STATE: u32 = 1;
    /// Exit signals become messages.
    pub(crate) const TRAP: u32 = 1 << 1;
    /// A handler held its worker for more than a slice: time each message.
    pub(crate) const SLOW: u32 = 1 << 2;
    /// The parent supervises: it keeps this child in its table, stays allocated until it has counted
    /// it off, and gets its embedded DOWN.
    pub(crate) const SUPERVISED: u32 = 1 << 3;
    /// The end is decided, and its reason is set.
    pub(crate) const DOOMED: u32 = 1 << 4;
    /// The suspended handler asked to be polled again after others had their turn.
    pub(crate) const YIELDED: u32 = 1 << 5;
    /// The cell waits in the list of calls whose timeouts are not armed yet.
    pub(crate) const YOUNG: u32 = 1 << 6;
    /// Messages go the long way round: the runtime has an observer, or the process is watched, see `inspect::level`.
    pub(crate) const OBSERVED: u32 = 1 << 7;
    /// `init` has not finished.
    pub(crate) const INIT: u32 = 1 << 8;
    /// The suspended frame is that of `terminate`.
    pub(crate) const TERMINATING: u32 = 1 << 9;
    /// The process has ended; what is left is its backlog.
    pub(crate) const ENDED: u32 = 1 << 10;
    /// Children ended while a handler was suspended.
    pub(crate) const CHILDREN_DOWN: u32 = 1 << 11;
    /// A future of the runtime's in the suspended frame is to be polled.
    pub(crate) const POLL: u32 = 1 << 12;
    /// The end that is decided comes with `terminate`.
    pub(crate) const DOOM_ORDERLY: u32 = 1 << 13;
    /// The end that is decided waits for the handler, even if that is suspended.
    pub(crate) const DOOM_WAITS: u32 = 1 << 14;
    /// The process has ended, and has not yet told all who are to know, or disposed of all that it left
    /// unread. Set before its inbox is closed.
    pub(crate) const LEAVING: u32 = 1 << 16;
    /// Supervises children. Set before `INIT` is cleared, or never.
    pub(crate) const PARENT: u32 = 1 << 15;
    /// A handler stops children, or has forgotten the future by which it did.
    pub(crate) const STOPPING: u32 = 1 << 17;
    /// The wheel is to look at a call of this process's, see `timeouts`.
    pub(crate) const LOOK: u32 = 1 << 18;
    /// The suspended body of a process in the process form waits for a message that is not in its mailbox yet.
    pub(crate) const RECEIVING: u32 = 1 << 19;
    /// There is an idle timeout, see `idle`.
    pub(crate) const IDLE: u32 = 1 << 20;
    /// The reason that is set, an abnormal one, is the process's own doing, see `crash`.
    pub(crate) const CRASHED: u32 = 1 << 21;
    /// The suspended handler's call has waited since the last sweep, or was polled again: at the next one the cell
    /// looks for a cycle. See `timeouts`.
    pub(crate) const AGED: u32 = 1 << 24;
    /// The cell is to look whether it waits in a cycle of calls, see `deadlock`.
    pub(crate) const LOOKS: u32 = 1 << 25;
    /// Chases have come, see `deadlock`.
    pub(crate) const CHASED: u32 = 1 << 26;
    /// Attached work is to be polled, see `work`.
    pub(crate) const WORK: u32 = 1 << 27;
    /// Something waits in the priority lane, see `lane`.
    pub(crate) const URGENT: u32 = 1 << 22;
    /// Its turns begin or end with something: the flags `PACED`, `ABOVE` and `TIMED` say with what.
    pub(crate) const TURNS: u32 = 1 << 23;
    /// Senders waited for room when the owner looked last, and there is a message in its FIFO, see `bound`.
    pub(crate) const WAITED: u32 = 1 << 28;
}

//! Long mailboxes are told of: above a high level, and when they are below a low one again.
//!
//! ```text
//!              a drain finds `high` messages or more
//!     below ───────────────────────────────────────────▶ above     MailboxHigh, unless too many were told
//!       ▲                                                  │
//!       └──────────────────────────────────────────────────┘       MailboxLow, if that was told
//!              a turn ends with `low` messages or less
//! ```
//!
//! The owner looks: where it compares the length with the longest one so far anyway, at each drain that has brought
//! more than [`NOTED`] messages or others on top of what waited. So it is not found while a handler does not come
//! back; who walks all processes finds that. While the mailbox is above, the flag `ABOVE` and
//! the bit `TURNS` have the run call [`run`], which looks once a turn. An ordinary turn pays nothing: the bit is one of those that it looks at first.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]
//!
//! At most [`MAILBOX_EVENTS_PER_SECOND`] are told in a second; how many were not is told with the next.

use std::time::Duration;

use whitebeam_scheduler::{Ran, Time, Turn};
use whitebeam_sync::shim::Mutex;

use crate::{
    Name, Pid, RuntimeEvent,
    cell::{CellPtr, bit, flag},
    ext::Ext,
};

/// Long mailboxes that a runtime tells of in a second of its time. A burst that floods ten processes says what is
/// wrong; one that floods ten thousand must not become a flood of events.
pub const MAILBOX_EVENTS_PER_SECOND: u32 = 10;

/// Messages in a mailbox from which on it is told of as long, unless said otherwise. A process handles some millions
/// of messages a second: this is some milliseconds of work for a fast one, and ten seconds for one that needs 1 ms each.
pub const MAILBOX_HIGH: usize = 10_000;

/// Messages in a mailbox from which on a long one is told of as short again, unless said otherwise: a tenth, so that
/// one that stays about the high level is not told of again and again.
pub const MAILBOX_LOW: usize = 1_000;

/// A drain of not more messages than this, into an empty mailbox that was longer before, is not looked at: it would cost
/// each small batch a look at the senders' line. So a mailbox that is above a lower watermark than this for the second
/// time may be found later.
pub(crate) const NOTED: u32 = 64;

const SECOND: Duration = Duration::from_secs(1);

/// A mailbox has become long, or short again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MailboxLevel {
    /// Whose.
    pub pid: Pid,
    /// The name that it is registered under.
    pub name: Option<Name>,
    /// What it is called for people.
    pub label: Option<Name>,
    /// The actor's type.
    pub actor: &'static str,
    /// Messages that wait.
    pub len: usize,
    /// The level that was passed.
    pub watermark: usize,
    /// Mailboxes that became long since the last one was told of, and were not told of: there were more than
    /// [`MAILBOX_EVENTS_PER_SECOND`]. 0 where one has become short.
    pub suppressed: u64,
}

/// When a mailbox is long, and when short again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    high: u32,
    low: u32,
}

impl Levels {
    /// From 1 on, and `low` below `high`. A `high` of zero is never reached.
    pub(crate) fn new(high: usize, low: usize) -> Self {
        let high = u32::try_from(high).unwrap_or(u32::MAX);
        match high.checked_sub(1) {
            Some(below) => Levels { high, low: u32::try_from(low).unwrap_or(u32::MAX).min(below) },
            None => Levels { high: u32::MAX, low: 0 },
        }
    }
}

impl Default for Levels {
    fn default() -> Self {
        Levels::new(MAILBOX_HIGH, MAILBOX_LOW)
    }
}

/// What a process knows of its watermark. In its [`Ext`].
#[derive(Default)]
pub(crate) struct Watch {
    /// If they are not the runtime's.
    pub(crate) levels: Option<Levels>,
    is_above: bool,
    /// That it is above was told.
    is_told: bool,
}

/// A runtime's watermarks.
pub(crate) struct Watermarks {
    levels: Levels,
    window: Mutex<Window>,
}

/// The second that runs.
#[derive(Default)]
struct Window {
    begun: Option<Time>,
    told: u32,
    /// Not told since one was.
    suppressed: u64,
}

impl Watermarks {
    pub(crate) fn new(levels: Levels) -> Self {
        Watermarks { levels, window: Mutex::default() }
    }

    /// Whether one more is told of, and then how many were not.
    fn admit(&self, now: Time) -> Option<u64> {
        let mut window = self.window.lock();
        if window.begun.is_none_or(|begun| now.saturating_since(begun) >= SECOND) {
            (window.begun, window.told) = (Some(now), 0);
        }
        if window.told == MAILBOX_EVENTS_PER_SECOND {
            window.suppressed += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

fn levels_of(cell: CellPtr) -> Levels {
    // SAFETY: called by the owner, with no reference into its part alive.
    let own = unsafe { Ext::look(cell) }.and_then(|ext| ext.watermark.levels);
    own.unwrap_or(cell.shared().watermarks().levels)
}

/// From how many messages on the mailbox of `cell` is long. Called by its owner, with no reference into its part alive.
pub(crate) fn level_of(cell: CellPtr) -> u32 {
    levels_of(cell).high
}

/// The mailbox is long. Called by the owner, with no reference into its part alive.
pub(crate) fn reached(cell: CellPtr, len: u32) {
    // SAFETY: the caller's word.
    let watch = unsafe { &mut Ext::of(cell).watermark };
    if watch.is_above || cell.header().has(bit::ENDED) {
        return;
    }
    let shared = cell.shared();
    let admitted = shared.watermarks().admit(shared.scheduler().now());
    (watch.is_above, watch.is_told) = (true, admitted.is_some());
    note_above(cell);
    if let Some(suppressed) = admitted {
        let watermark = levels_of(cell).high;
        shared.events().tell(|| {
            RuntimeEvent::MailboxHigh(MailboxLevel { suppressed, ..level(cell, len, watermark) })
        });
    }
}

fn level(cell: CellPtr, len: u32, watermark: u32) -> MailboxLevel {
    MailboxLevel {
        pid: cell.pid(),
        name: cell.shared().names().name_of(cell),
        label: Ext::label_of(cell),
        actor: (cell.vt().type_name)(),
        len: len as usize,
        watermark: watermark as usize,
        suppressed: 0,
    }
}

/// A turn of a process whose mailbox is long: looks behind it whether that is short again.
#[cold]
#[inline(never)]
pub(crate) fn run(cell: CellPtr, turn: &mut Turn<'_>) -> Ran {
    // So that the turn is an ordinary one.
    let _ = cell.header().flags.take(flag::ABOVE);
    // SAFETY: the right to run it is the caller's, and used up by this.
    let ran = unsafe { (cell.vt().run.run)(cell.cast(), turn) };
    // Else it may be gone.
    if ran != Ran::Done && !cell.header().has(bit::ENDED) {
        look(cell);
    }
    ran
}

/// The end of the next turn looks how long the mailbox is. Called by the owner.
fn note_above(cell: CellPtr) {
    cell.header().flags.put(flag::ABOVE);
    cell.header().set(bit::TURNS);
}

fn look(cell: CellPtr) {
    let len = cell.header().mailbox_len();
    let Levels { low, .. } = levels_of(cell);
    if len > low {
        return note_above(cell);
    }
    // SAFETY: the turn owns the cell, and no reference into its part is alive.
    let watch = unsafe { &mut Ext::of(cell).watermark };
    watch.is_above = false;
    if cell.header().flags.get() & (flag::PACED | flag::TIMED) == 0 {
        cell.header().clear(bit::TURNS);
    }
    if std::mem::take(&mut watch.is_told) {
        cell.shared().events().tell(|| RuntimeEvent::MailboxLow(level(cell, len, low)));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn levels_are_put_in_order() {
        assert_eq!(Levels::new(10, 3), Levels { high: 10, low: 3 });
        assert_eq!(Levels::new(10, 10), Levels { high: 10, low: 9 });
        assert_eq!(Levels::new(1, 5), Levels { high: 1, low: 0 });
        assert_eq!(Levels::new(0, 5).high, u32::MAX);
    }

    #[test]
    fn so_many_are_told_a_second_and_the_next_says_how_many_were_not() {
        let watermarks = Watermarks::new(Levels::default());
        let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        for _ in 0..MAILBOX_EVENTS_PER_SECOND {
            assert_eq!(watermarks.admit(at(500)), Some(0));
        }
        assert_eq!(watermarks.admit(at(600)), None);
        assert_eq!(watermarks.admit(at(1_499)), None);
        assert_eq!(watermarks.admit(at(1_500)), Some(2));
        assert_eq!(watermarks.admit(at(1_501)), Some(0));
    }
}

//! What a stop of children comes to: counts for those that end in order, names for the others.
//!
//! # Where it is kept
//!
//! A stop of all has a tally of its own, which its future gives. What a process stops while it ends is added up in
//! another one, [`ChildSet::stops`](super::ChildSet), and becomes its [`StopReport`]:
//!
//! 1. Behind the drop of its frame, and ahead of that of its state, [`name`] asks the state for the ids of those that
//!    are named, and takes note of the children that are left.
//! 2. Until the inbox is closed ends may still come, and are counted.
//! 3. [`publish`] puts the report in the process's [`Part`](crate::ext::Part), ahead of its DOWN. Who is told of the
//!    end finds it there: the parent that supervises it, who asked for it, the runtime's shutdown.
//!
//! # Cost
//!
//! A child that is ended inline, or has ended in order before a stop has lasted
//! [`SLOW_AFTER`](StopSummary::SLOW_AFTER), costs the increment of a count. Later ends cost a look at the clock.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use whitebeam_scheduler::Time;

use super::{ChildDown, ChildKey, ChildSet, Stop, StoppingOne, owned};
use crate::{
    Actor, Context, ExitReason, Name, Status, StopReport, StopSummary,
    cell::{CellPtr, bit},
    contain::contain,
    ext::{self, End, Ext, Part},
    info,
    shutdown::report::{Orphan, SlowChild, StopException, StopKind},
};

/// See the module's text.
pub(super) struct Tally {
    summary: StopSummary,
    /// When the first child was told.
    begun: Time,
    how: Stop,
    /// Those that are told otherwise.
    others: BTreeMap<ChildKey, Stop>,
    /// When the last child was told.
    told: Option<Time>,
    /// Each end is to be looked at: the stop has lasted long, a time is over, or not all are told the same.
    closely: bool,
    /// Those that have no more time than this were killed.
    over: Option<Duration>,
    /// What the first of those were about then.
    seen: Vec<(ChildKey, Seen)>,
    /// Of the parent, which ends.
    name: Option<Name>,
    orphans: Vec<Orphan>,
}

/// A process as it was when its time was over.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    status: Status,
    message: Option<&'static str>,
    mailbox_len: usize,
}

impl Seen {
    pub(crate) fn of(cell: CellPtr) -> Self {
        let status = Status::of(cell);
        let message = info::message_of(cell, status);
        Seen { status, message, mailbox_len: cell.header().mailbox_len() as usize }
    }

    /// Adds it to what is known of a process that was killed then.
    pub(crate) fn tell(self, exception: &mut StopException) {
        exception.status = Some(self.status);
        exception.message = self.message;
        exception.mailbox_len = self.mailbox_len;
    }
}

/// What is to be said of a process that has ended, or is to end, in another way than it was told to.
pub(crate) fn exception(
    cell: CellPtr,
    how: StopKind,
    reason: ExitReason,
    took: Duration,
) -> StopException {
    StopException {
        id: None,
        pid: cell.pid(),
        label: Ext::label_of(cell),
        actor: Some((cell.vt().type_name)()),
        how,
        reason,
        took,
        status: None,
        message: None,
        mailbox_len: 0,
        key: None,
    }
}

impl Tally {
    pub(super) fn new(begun: Time, how: Stop) -> Box<Self> {
        Box::new(Tally {
            summary: StopSummary::default(),
            begun,
            how,
            others: BTreeMap::new(),
            told: None,
            closely: false,
            over: None,
            seen: Vec::new(),
            name: None,
            orphans: Vec::new(),
        })
    }

    pub(super) fn except(mut self: Box<Self>, others: BTreeMap<ChildKey, Stop>) -> Box<Self> {
        self.closely = !others.is_empty();
        self.others = others;
        self
    }

    pub(super) fn how_of(&self, key: ChildKey) -> Stop {
        self.others.get(&key).copied().unwrap_or(self.how)
    }

    /// The last child was told just now. When there is something to be done next.
    pub(super) fn told(&mut self, now: Time) -> Option<Time> {
        self.told = Some(now);
        self.next()
    }

    /// The next time that is over, or when children are slow.
    fn next(&self) -> Option<Time> {
        let slow = (!self.closely).then_some(StopSummary::SLOW_AFTER);
        self.next_limit()
            .into_iter()
            .chain(slow)
            .min()
            .zip(self.told)
            .map(|(next, told)| told.saturating_add(next))
    }

    /// The shortest time that children have and that was not over when it was looked at.
    fn next_limit(&self) -> Option<Duration> {
        let all = self.others.values().copied().chain([self.how]);
        let limits = all.filter_map(|how| match how {
            Stop::After(time) => Some(time),
            Stop::Kill | Stop::Infinity => None,
        });
        limits.filter(|limit| self.over.is_none_or(|over| *limit > over)).min()
    }

    fn since_told(&self, now: Time) -> Duration {
        self.told.map_or(Duration::ZERO, |told| now.saturating_since(told))
    }

    /// Whether children may be left whose time is over.
    pub(super) fn is_any_over(&self, now: Time) -> bool {
        self.next_limit().is_some_and(|limit| limit <= self.since_told(now))
    }

    /// Whether the time of a child is over that has not ended. It is about to be killed then.
    pub(super) fn note_if_over(&mut self, now: Time, key: ChildKey, child: CellPtr) -> bool {
        let Stop::After(time) = self.how_of(key) else { return false };
        let is_over = time <= self.since_told(now) && self.over.is_none_or(|over| time > over);
        if is_over && self.seen.len() < StopSummary::EXCEPTIONS {
            self.seen.push((key, Seen::of(child)));
        }
        is_over
    }

    /// What was over was seen to. When there is something to be done next.
    pub(super) fn next_after(&mut self, now: Time) -> Option<Time> {
        self.closely = true;
        self.over = Some(self.since_told(now));
        self.next()
    }

    /// Counts a child that has ended; `INLINE`: by which it was told.
    #[inline]
    pub(super) fn count<const INLINE: bool>(&mut self, child: CellPtr, key: ChildKey) {
        let is_plain = INLINE || (!self.closely && !child.header().has(bit::PARENT));
        match ext::end_of(child) {
            End::Clean if is_plain => self.summary.clean += 1,
            _ => self.look(child, key),
        }
    }

    #[cold]
    fn look(&mut self, child: CellPtr, key: ChildKey) {
        let took = child.shared().scheduler().now().saturating_since(self.begun);
        let seen = self.seen.iter().find(|(other, _)| *other == key).map(|(_, seen)| *seen);
        let how = self.how_of(key);
        let killed = matches!(how, Stop::After(time) if self.over.is_some_and(|over| time <= over));
        self.add(child, key, Told { how, killed, seen, took });
    }

    fn add(&mut self, child: CellPtr, key: ChildKey, told: Told) {
        let Told { how, killed, seen, took } = told;
        let is_orderly = match ext::end_of(child) {
            End::Clean => true,
            End::Killed => false,
            End::Other => ext::exit_reason(child).is_orderly(),
        };
        let wrong = match ext::end_of(child) {
            End::Killed if how == Stop::Kill => None,
            End::Killed => Some(StopKind::Killed),
            _ if !is_orderly => Some(StopKind::Crashed),
            _ => killed.then_some(StopKind::Late),
        };
        if let Some(wrong) = wrong {
            let mut exception = exception(child, wrong, ext::exit_reason(child), took);
            if let Some(seen) = seen {
                seen.tell(&mut exception);
            }
            exception.key = Some(key);
            self.summary.except(exception);
        } else if is_orderly {
            self.summary.clean += 1;
        } else {
            self.summary.brutal += 1;
        }
        if took > StopSummary::SLOW_AFTER {
            let (pid, actor) = (child.pid(), (child.vt().type_name)());
            let label = Ext::label_of(child);
            self.summary.slow(SlowChild { id: None, pid, label, actor, took, key });
        }
        if child.header().has(bit::PARENT)
            && let Some(report) = Part::stopped(child)
        {
            self.summary.nest(Arc::clone(report));
        }
    }

    /// Counts a child that had ended before it was told, and whose cell may be gone. `how`: as it was told, or is to be.
    pub(super) fn add_ended(&mut self, down: &mut ChildDown, how: Stop) {
        if std::mem::replace(&mut down.counted, true) {
            return;
        }
        if down.reason.is_orderly() {
            self.summary.clean += 1;
            return;
        }
        let is_killed = matches!(down.reason, ExitReason::Killed);
        if is_killed && how == Stop::Kill {
            self.summary.brutal += 1;
            return;
        }
        let how = if is_killed { StopKind::Killed } else { StopKind::Crashed };
        self.summary.except(StopException {
            id: None,
            pid: down.pid,
            label: None,
            actor: None,
            how,
            reason: down.reason.clone(),
            took: Duration::ZERO,
            status: None,
            message: None,
            mailbox_len: 0,
            key: Some(down.key),
        });
    }

    /// Counts a child that was stopped on its own.
    pub(super) fn count_one(&mut self, child: CellPtr, one: &StoppingOne) {
        let now = || child.shared().scheduler().now();
        let took = one.begun.map_or(Duration::ZERO, |begun| now().saturating_since(begun));
        let told = Told { how: one.how, killed: one.seen.is_some(), seen: one.seen, took };
        self.add(child, one.key, told);
    }

    /// Takes in another stop of the same parent.
    pub(super) fn merge(&mut self, summary: StopSummary) {
        self.summary.merge(summary);
    }

    /// What the stop came to.
    pub(super) fn into_summary(self: Box<Self>) -> StopSummary {
        let mut summary = self.summary;
        summary.sort();
        summary
    }
}

/// How a child was told.
struct Told {
    how: Stop,
    killed: bool,
    seen: Option<Seen>,
    took: Duration,
}

/// A parent's names for its children, without its type, as [`OnDown`](super::OnDown).
#[derive(Clone, Copy)]
pub(super) struct Names {
    name: *const (),
    call: unsafe fn(*const (), CellPtr, ChildKey) -> Option<String>,
}

// SAFETY: pointers to functions.
unsafe impl Send for Names {}

impl Names {
    fn new<A: Actor>(name: fn(&A, ChildKey) -> Option<String>) -> Self {
        Names { name: name as *const (), call: Self::call::<A> }
    }

    /// # Safety
    /// `name` is a function for `A`, and `cell` an `A`'s; the caller is its owner, the state is there and no frame
    /// exists.
    unsafe fn call<A: Actor>(name: *const (), cell: CellPtr, key: ChildKey) -> Option<String> {
        // SAFETY: made from a function of this very type by `new`.
        let name =
            unsafe { std::mem::transmute::<*const (), fn(&A, ChildKey) -> Option<String>>(name) };
        // SAFETY: the caller's word.
        let state = unsafe { &*cell.state::<A>() };
        name(state, key)
    }
}

impl<A: Actor> Context<A> {
    /// Has reports of this process's stops name its children: `name` is called for those of a report, a few dozen at
    /// most, behind `terminate` and ahead of the drop of the state. For who writes supervisors; called in `init`, behind
    /// [`supervise`](Self::supervise).
    ///
    /// # Panics
    /// In a process in the process form, which supervises no children.
    pub fn name_children(&mut self, name: fn(&A, ChildKey) -> Option<String>) {
        if let Some(set) = owned(self.own_as_parent()) {
            set.names = Some(Names::new(name));
        }
    }

    /// Names the children that this process's `terminate` has stopped so far, as [`name_children`](Self::name_children) does
    /// at its end: for one that has forgotten its children by then. For who writes supervisors.
    ///
    /// # Panics
    /// As for [`name_children`](Self::name_children).
    pub fn name_stopped(&mut self, name: &dyn Fn(ChildKey) -> Option<String>) {
        let set = owned(self.own_as_parent());
        if let Some(stops) = set.and_then(|set| set.stops.as_mut()) {
            stops.summary.give_names(name);
        }
    }
}

/// Step 1. Called by the owner of a process that ends, with its state still there.
#[cold]
pub(crate) fn name(cell: CellPtr) {
    let Some(set) = owned(cell) else { return };
    if set.stops.is_none() && set.stopping.is_none() && set.live == 0 {
        return;
    }
    let now = cell.shared().scheduler().now();
    let mut tally = set.stops.take().unwrap_or_else(|| Tally::new(now, Stop::Infinity));
    if let Some(unfinished) = set.stopping.take() {
        tally.merge(unfinished.summary);
    }
    // They have ended in between, and nobody is told any more.
    set.pending.iter_mut().for_each(|down| tally.add_ended(down, Stop::Infinity));
    let left = set.all().take(StopSummary::EXCEPTIONS);
    tally.orphans = left
        .map(|(key, child)| Orphan {
            id: None,
            pid: child.pid(),
            label: Ext::label_of(child),
            actor: (child.vt().type_name)(),
            key,
        })
        .collect();
    tally.name = cell.shared().names().name_of(cell);
    tally.closely = true;
    let names = set.names.filter(|_| cell.header().has(bit::STATE));
    if let Some(Names { name, call }) = names {
        // SAFETY: the state is there by the bit, the frame that borrowed it is gone, and the names are those of its
        // type. No reference into the set is alive: the name is the user's code.
        let name_of = |key| contain(|| unsafe { call(name, cell, key) }).ok().flatten();
        tally.summary.give_names(&name_of);
        tally.orphans.iter_mut().for_each(|orphan| orphan.id = name_of(orphan.key));
    }
    if let Some(set) = owned(cell) {
        set.stopping = Some(tally);
    }
}

impl StopSummary {
    fn give_names(&mut self, name_of: &dyn Fn(ChildKey) -> Option<String>) {
        for exception in self.exceptions.iter_mut().filter(|exception| exception.id.is_none()) {
            exception.id = exception.key.and_then(name_of);
        }
        for child in self.slowest.iter_mut().filter(|child| child.id.is_none()) {
            child.id = name_of(child.key);
        }
        for report in &mut self.nested {
            if let Some(id) = report.key.and_then(name_of) {
                Arc::make_mut(report).id = Some(id);
            }
        }
    }
}

/// Step 3. Called by the owner of a process that ends, whose inbox is closed.
#[cold]
pub(crate) fn publish(cell: CellPtr) {
    let Some(set) = owned(cell) else { return };
    let Some(tally) = set.stopping.take() else { return };
    let left = set.live;
    let Tally { begun, name, mut orphans, summary, .. } = *tally;
    orphans.retain(|orphan| set.get(orphan.key).is_some());
    let mut children = summary;
    if children.ended() + left == 0 {
        // It has stopped nobody.
        return;
    }
    children.sort();
    let header = cell.header();
    let report = StopReport {
        id: None,
        pid: cell.pid(),
        name,
        label: Ext::label_of(cell),
        actor: (cell.vt().type_name)(),
        reason: ext::exit_reason(cell),
        took: cell.shared().scheduler().now().saturating_since(begun),
        height: children.nested.iter().map(|report| report.height + 1).max().unwrap_or(0),
        children,
        left,
        orphans,
        key: header.has(bit::SUPERVISED).then(|| super::place_of(cell)),
    };
    Part::set_stopped(cell, Arc::new(report));
}

impl ChildSet {
    /// A process that ends is about to stop children: what they come to goes in its report.
    pub(super) fn stops(&mut self, parent: CellPtr) -> &mut Tally {
        self.stops
            .get_or_insert_with(|| Tally::new(parent.shared().scheduler().now(), Stop::Infinity))
    }
}

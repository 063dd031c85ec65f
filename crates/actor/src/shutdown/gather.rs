//! How the tree of a runtime's shutdown comes together.
//!
//! Each supervisor has a report in its cell when it has ended. One that is itself supervised gives it to its supervisor,
//! and so on, up to those that the runtime has told, whose reports are kept here. At the deadline all are killed at
//! once: a process may then end behind its supervisor, which has left it. Reports of such are kept here as well, with
//! whom they belong under, and so is what workers were about when they were killed.
//!
//! All of it is off the usual path: nothing is kept of a process without children that ends in order.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use whitebeam_sync::shim::Mutex;

use super::report::{StopCounts, StopException, StopKind, StopReport, StopSummary, list};
use crate::{
    DownFuture, ExitReason, Info, Pid,
    cell::{CellPtr, CellRef, bit},
    children::{self, Seen},
    contain::contain,
    ext::{self, End, Part},
    shared::Shared,
};

/// What is kept of ends until a report is made.
#[derive(Default)]
pub(super) struct Ends {
    /// Shutdowns that are under way: nothing is kept for nobody.
    asked: usize,
    /// Of those that were told by the runtime.
    roots: Vec<Arc<StopReport>>,
    /// Of those that have ended behind their parents, by these.
    orphans: BTreeMap<Pid, Vec<Arc<StopReport>>>,
    /// Of those that were told by the runtime and ended with another reason.
    crashed: StopSummary,
}

impl Ends {
    /// Whether there is something to be told of an ended process that the runtime has told to.
    pub(super) fn are_told_of(cell: CellPtr) -> bool {
        !matches!(ext::end_of(cell), End::Clean) || cell.header().has(bit::PARENT)
    }

    pub(super) fn add(&mut self, cell: CellPtr) {
        if self.asked == 0 {
            return;
        }
        self.roots.extend(Part::stopped(cell).cloned());
        let is_crash = match ext::end_of(cell) {
            End::Clean | End::Killed => false,
            End::Other => !ext::exit_reason(cell).is_orderly(),
        };
        if is_crash {
            let reason = ext::exit_reason(cell);
            // When it was told is not kept of each.
            let exception = children::exception(cell, StopKind::Crashed, reason, Duration::ZERO);
            self.crashed.except(exception);
        }
    }

    pub(super) fn add_orphan(&mut self, parent: Pid, child: CellPtr) {
        if let Some(report) = Part::stopped(child).filter(|_| self.asked > 0) {
            self.orphans.entry(parent).or_default().push(Arc::clone(report));
        }
    }
}

/// A shutdown that is under way, for as long as it is: ends are kept for its report.
pub(super) struct Gathering<'a>(&'a Mutex<Ends>);

impl<'a> Gathering<'a> {
    pub(super) fn begin(ends: &'a Mutex<Ends>) -> Self {
        ends.lock().asked += 1;
        Gathering(ends)
    }

    /// What was kept. Of two shutdowns at once the one has it that asks first.
    pub(super) fn take(&self) -> Ends {
        let mut ends = self.0.lock();
        let rest = Ends { asked: ends.asked, ..Ends::default() };
        std::mem::replace(&mut *ends, rest)
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        let mut ends = self.0.lock();
        ends.asked -= 1;
        if ends.asked == 0 {
            let rest = std::mem::take(&mut *ends);
            // Reasons carry values of the user's: not under the lock.
            drop(ends);
            let _ = contain(|| drop(rest));
        }
    }
}

/// A process that was alive at the deadline.
pub(super) struct Late {
    pid: Pid,
    seen: Seen,
    /// If it is in nobody's report.
    exception: StopException,
}

impl Late {
    pub(super) fn of(cell: &CellRef) -> Self {
        let (cell, seen) = (cell.ptr(), Seen::of(cell.ptr()));
        let mut exception =
            children::exception(cell, StopKind::Killed, ExitReason::Killed, Duration::ZERO);
        seen.tell(&mut exception);
        Late { pid: cell.pid(), seen, exception }
    }
}

/// What is told of a shutdown beside its counts.
pub(super) struct ToldOf {
    pub(super) crashed: usize,
    pub(super) exceptions: Vec<StopException>,
    pub(super) supervisors: Vec<Arc<StopReport>>,
    pub(super) unlisted: StopCounts,
}

/// `killed_after`: when all that were left were killed, from the begin; `elapsed`: how long it took in all.
pub(super) fn gather(
    ends: Ends,
    late: Vec<Late>,
    stuck: &[Info],
    killed_after: Duration,
    elapsed: Duration,
) -> ToldOf {
    let mut places = Places {
        orphans: ends.orphans,
        late: late.into_iter().map(|late| (late.pid, late)).collect(),
        stuck: stuck.iter().map(|info| info.pid).collect(),
        killed_after,
        elapsed,
    };
    let mut roots = ends.roots;
    roots.sort_by_key(|report| report.pid);
    let (mut supervisors, mut unlisted) = (Vec::new(), StopCounts::default());
    for root in roots {
        list(&mut supervisors, &mut unlisted, places.complete(root, 0));
    }
    // Those under a process that has no report, and is not under another of these.
    while let Some(next) = places.topmost() {
        for report in next {
            list(&mut supervisors, &mut unlisted, places.complete(report, 0));
        }
    }
    supervisors.sort_by_key(|report| report.pid);
    let crashed = ends.crashed.crashed;
    let mut exceptions = ends.crashed.exceptions;
    exceptions.extend(places.unplaced());
    exceptions.sort_by_key(|exception| exception.pid);
    exceptions.truncate(StopSummary::EXCEPTIONS);
    ToldOf { crashed, exceptions, supervisors, unlisted }
}

/// What is to be put in its place in the tree.
struct Places {
    orphans: BTreeMap<Pid, Vec<Arc<StopReport>>>,
    late: HashMap<Pid, Late>,
    stuck: HashSet<Pid>,
    killed_after: Duration,
    elapsed: Duration,
}

impl Places {
    /// The report with what belongs in it, and below it.
    fn complete(&mut self, report: Arc<StopReport>, level: usize) -> Arc<StopReport> {
        if self.orphans.is_empty() && self.late.is_empty() && self.stuck.is_empty() {
            return report;
        }
        let mut report = Arc::unwrap_or_clone(report);
        // It is told of here.
        self.late.remove(&report.pid);
        for exception in &mut report.children.exceptions {
            if let Some(late) = self.late.remove(&exception.pid) {
                late.seen.tell(exception);
            }
        }
        let mut orphans = self.orphans.remove(&report.pid).unwrap_or_default();
        self.place_left(&mut report, &mut orphans);
        let children = &mut report.children;
        let nested = std::mem::take(&mut children.nested);
        for below in nested.into_iter().chain(orphans) {
            if level + 1 < StopSummary::LEVELS {
                let below = self.complete(below, level + 1);
                children.nest(below);
            } else {
                children.unlisted += self.sum(below);
            }
        }
        children.sort();
        let heights = children.nested.iter().map(|below| below.height + 1);
        report.height = heights.max().unwrap_or(0);
        Arc::new(report)
    }

    /// Those that a supervisor has left: what is known of their ends. Some have reports of their own.
    fn place_left(&mut self, report: &mut StopReport, reports: &mut [Arc<StopReport>]) {
        for orphan in std::mem::take(&mut report.orphans) {
            let late = self.late.remove(&orphan.pid);
            let own = reports.iter_mut().find(|own| own.pid == orphan.pid);
            let is_killed =
                own.as_ref().is_some_and(|own| matches!(own.reason, ExitReason::Killed));
            if let Some(own) = own {
                let own = Arc::make_mut(own);
                (own.id, own.key) = (orphan.id.clone(), Some(orphan.key));
            }
            let (how, took) = if self.stuck.contains(&orphan.pid) {
                (StopKind::Stuck, self.elapsed)
            } else if late.is_some() || is_killed {
                (StopKind::Killed, self.killed_after)
            } else {
                continue;
            };
            let mut exception = StopException {
                id: orphan.id,
                pid: orphan.pid,
                label: orphan.label,
                actor: Some(orphan.actor),
                how,
                reason: ExitReason::Killed,
                took,
                status: None,
                message: None,
                mailbox_len: 0,
                key: Some(orphan.key),
            };
            if let Some(late) = late {
                late.seen.tell(&mut exception);
            }
            report.left = report.left.saturating_sub(1);
            report.children.except(exception);
        }
    }

    /// The counts of a report that is too deep to be listed, with all that belongs below it.
    fn sum(&mut self, report: Arc<StopReport>) -> StopCounts {
        let mut counts = StopCounts::default();
        let mut open = vec![report];
        while let Some(report) = open.pop() {
            counts += report.totals();
            for one in report.walk() {
                self.late.remove(&one.pid);
                open.extend(self.orphans.remove(&one.pid).unwrap_or_default());
            }
        }
        counts
    }

    /// Reports of which none is under another one that is left.
    fn topmost(&mut self) -> Option<Vec<Arc<StopReport>>> {
        let reports = self.orphans.values().flatten();
        let below: HashSet<Pid> =
            reports.flat_map(|report| report.walk()).map(|report| report.pid).collect();
        let top = self.orphans.keys().copied().find(|parent| !below.contains(parent))?;
        self.orphans.remove(&top)
    }

    /// Those that no supervisor has told of.
    fn unplaced(self) -> impl Iterator<Item = StopException> {
        let Places { late, stuck, killed_after, elapsed, .. } = self;
        late.into_values().map(move |late| {
            let (how, took) = match stuck.contains(&late.pid) {
                true => (StopKind::Stuck, elapsed),
                false => (StopKind::Killed, killed_after),
            };
            StopException { how, took, ..late.exception }
        })
    }
}

/// How the children of a process ended: [`Handle::stop_report`](crate::Handle::stop_report).
#[must_use = "a report that is not awaited is not read"]
#[derive(Debug)]
pub struct StopReportFuture {
    down: DownFuture,
    /// `None`: there is no such process.
    cell: Option<CellRef>,
}

impl StopReportFuture {
    pub(crate) fn new(shared: &Shared, pid: Pid) -> Self {
        StopReportFuture { down: DownFuture::new(shared, pid), cell: shared.resolve(pid) }
    }
}

impl Future for StopReportFuture {
    type Output = Option<Arc<StopReport>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let down = Pin::new(&mut self.down).poll(cx);
        down.map(|_| self.cell.as_ref().and_then(|cell| Part::stopped(cell.ptr()).cloned()))
    }
}

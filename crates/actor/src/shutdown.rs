//! The end of a runtime.
//!
//! 1. Nothing is spawned any more.
//! 2. Every process that no supervisor has (they end their own) is counted and told, by two flags in its
//!    inbox, in batches: no allocation, two read-modify-writes each.
//! 3. When the last of them has ended, or at the deadline, whatever is left is killed: by step 1 nothing
//!    new can come.
//! 4. Backlogs are waited for, and closures on threads for blocking work; then handlers that do not return are named in
//!    the report.
//!
//! # The count
//!
//! `left` starts at one for who tells, and each process that is told adds one, before its flags are
//! raised. The flag `COUNTED` stays up until somebody clears it: the process, after it has closed its inbox,
//! or who told it, if the inbox was closed already. The clear is one read-modify-write, so one of the two
//! takes the process off the count, and no other does. Tellers take turns: a flag that is up was counted by
//! one of them.
//!
//! # The report
//!
//! | file | what it has |
//! | --- | --- |
//! | [`report`] | what is told, as values |
//! | [`gather`] | how the reports of supervisors, and what was seen of who was killed, become one tree |
//! | [`print`] | how that is printed |

mod gather;
mod print;
pub(crate) mod report;

use std::{sync::Arc, time::Duration};

use whitebeam_scheduler::Time;
use whitebeam_sync::{
    inbox::Push,
    shim::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        thread::{self, Thread},
    },
};

use crate::{
    Pid, Reply,
    cell::{CellPtr, CellRef, bit, flag},
    info,
    oneshot::oneshot,
    shared::Shared,
};
pub use gather::StopReportFuture;
use gather::{Ends, Gathering, Late};
pub use report::{
    ShutdownReport, SlowChild, StopCounts, StopException, StopKind, StopReport, StopSummary,
};

/// Counts the processes that a shutdown has told and that have not ended. See the module's text.
#[derive(Default)]
pub(crate) struct Countdown {
    left: AtomicUsize,
    /// Who waits for zero. Its lock is the tellers' turn.
    waiting: Mutex<Vec<Reply<()>>>,
    /// What is told of those that did not just end in order.
    ends: Mutex<Ends>,
}

impl Countdown {
    /// The end of a process, after it has closed its inbox.
    #[inline]
    pub(crate) fn ended(&self, cell: CellPtr) {
        if cell.header().flags.get() & flag::COUNTED != 0 {
            self.uncount(cell);
        }
    }

    #[cold]
    fn uncount(&self, cell: CellPtr) {
        if cell.header().flags.take(flag::COUNTED) != 0 {
            if Ends::are_told_of(cell) {
                self.ends.lock().add(cell);
            }
            self.count_off();
        }
    }

    /// A process that has children of its own has ended behind its parent.
    #[cold]
    pub(crate) fn orphan_ended(&self, parent: Pid, child: CellPtr) {
        // Nobody asks for it otherwise.
        if child.shared().is_closing() {
            self.ends.lock().add_orphan(parent, child);
        }
    }

    fn count_off(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            waiting.into_iter().for_each(|reply| reply.send(()));
        }
    }
}

/// How long processes get to end after they were killed: what they have in hand, and their destructors.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// How often what cannot be waited for is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// How often a thread looks before it gives up its core for that time.
const LOOKS: u32 = 64;

pub(crate) async fn shutdown(shared: Arc<Shared>, within: Duration) -> ShutdownReport {
    shared.close();
    let scheduler = shared.scheduler().clone();
    let start = scheduler.now();
    let deadline = start.saturating_add(within);
    let _watch = Watch::start(&scheduler, within);
    let gathering = Gathering::begin(&shared.countdown().ends);
    let (done, ended) = oneshot();
    let told = tell_roots(&shared, Some(done));
    let in_time = within_time(&scheduler, deadline, ended).await;
    let mut killed = Killed::default();
    let mut killed_after = Duration::ZERO;
    if !in_time || left(&shared, Left::Alive) > 0 {
        // What is alive although every process without a supervisor has ended was spawned while they
        // were told, or belongs to one that was killed: no one is left who would end it in order.
        while in_time && scheduler.now() < deadline && left(&shared, Left::Alive) > 0 {
            tell_roots(&shared, None);
            scheduler.sleep(LOOK).await;
        }
        killed = kill_all(&shared);
        killed_after = scheduler.now().saturating_since(start);
    }
    let grace = scheduler.now().saturating_add(KILL_GRACE).max(deadline);
    while scheduler.now() < grace && !all_left(&shared) {
        // What was spawned at the very moment when all were killed.
        kill_all(&shared);
        scheduler.sleep(LOOK).await;
    }
    // Closures that ended processes have left, or that no process began.
    let own = usize::from(scheduler.is_blocking_thread());
    let blocking = || scheduler.blocking_metrics().busy.saturating_sub(own);
    while scheduler.now() < deadline && blocking() > 0 {
        scheduler.sleep(LOOK).await;
    }
    let mut stuck = Vec::new();
    shared.walk(|cell| {
        if !cell.ptr().header().has(bit::ENDED) {
            stuck.extend(info::of(&cell));
        }
    });
    let elapsed = scheduler.now().saturating_since(start);
    let told_of = gather::gather(gathering.take(), killed.late, &stuck, killed_after, elapsed);
    ShutdownReport {
        clean: told.saturating_sub(killed.roots).saturating_sub(told_of.crashed),
        crashed: told_of.crashed,
        killed: killed.all.saturating_sub(stuck.len()),
        stuck,
        blocking: blocking(),
        elapsed,
        exceptions: told_of.exceptions,
        supervisors: told_of.supervisors,
        unlisted: told_of.unlisted,
    }
}

/// A thread that sees to it that a shutdown comes back although every worker is held up by a handler that
/// does not return: from the deadline on it fires the timers that no worker fires.
struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<Thread>,
}

impl Watch {
    fn start(scheduler: &whitebeam_scheduler::Handle, within: Duration) -> Watch {
        let over = Arc::new(AtomicBool::new(false));
        let mut thread = None;
        if !scheduler.is_simulated() {
            let (is_over, scheduler) = (over.clone(), scheduler.clone());
            let watch = move || {
                let deadline = scheduler.now().saturating_add(within);
                while !is_over.load(Ordering::Acquire) {
                    let left = deadline.saturating_since(scheduler.now());
                    if left.is_zero() {
                        scheduler.fire_timers();
                    }
                    thread::park_timeout(left.max(LOOK));
                }
            };
            // Out of threads: workers that are not held up fire the timers.
            let started = thread::Builder::new().name("whitebeam-watch".to_owned()).spawn(watch);
            thread = started.ok().map(|join| join.thread().clone());
        }
        Watch { over, thread }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

/// `true`: it came in time.
async fn within_time<T>(
    scheduler: &whitebeam_scheduler::Handle,
    deadline: Time,
    ended: crate::oneshot::Answered<T>,
) -> bool {
    use std::{
        future::{Future, poll_fn},
        pin::pin,
        task::Poll,
    };
    let mut ended = pin!(ended);
    let mut timer = pin!(scheduler.sleep_until(deadline));
    poll_fn(|cx| {
        if ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        timer.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// Step 2. How many were told. `done` is answered when all that were ever told have ended.
fn tell_roots(shared: &Shared, done: Option<Reply<()>>) -> usize {
    let countdown = shared.countdown();
    let mut told = 0;
    let mut batch: Vec<CellRef> = Vec::new();
    {
        let mut turn = countdown.waiting.lock();
        turn.extend(done);
        countdown.left.fetch_add(1, Ordering::Relaxed);
        shared.walk(|cell| {
            let ptr = cell.ptr();
            let is_counted = ptr.header().flags.get() & flag::COUNTED != 0;
            if ptr.header().has(bit::SUPERVISED) || ptr.is_ended() || is_counted {
                return;
            }
            told += 1;
            countdown.left.fetch_add(1, Ordering::Relaxed);
            batch.push(cell);
            if batch.len() == 256 {
                raise(shared, &batch, flag::SHUTDOWN | flag::COUNTED);
                batch.clear();
            }
        });
        raise(shared, &batch, flag::SHUTDOWN | flag::COUNTED);
    }
    countdown.count_off();
    told
}

fn raise(shared: &Shared, cells: &[CellRef], flags: u32) {
    let scheduled = cells.iter().filter_map(|cell| match cell.ptr().sign(flags) {
        Push::Schedule => Some(cell.ptr().runnable()),
        Push::Queued => None,
        Push::Closed => {
            shared.countdown().ended(cell.ptr());
            None
        }
    });
    shared.scheduler().schedule_batch(scheduled);
}

/// What [`kill_all`] killed.
#[derive(Default)]
pub(crate) struct Killed {
    all: usize,
    /// Those without a supervisor.
    roots: usize,
    /// What the first were about.
    late: Vec<Late>,
}

impl Killed {
    pub(crate) fn is_nobody(&self) -> bool {
        self.all == 0
    }
}

/// Kills whatever lives and was not killed before.
pub(crate) fn kill_all(shared: &Shared) -> Killed {
    shared.close();
    let mut killed = Killed::default();
    let mut batch: Vec<CellRef> = Vec::new();
    shared.walk(|cell| {
        let header = cell.ptr().header();
        let is_doomed = header.has(bit::DOOMED) && !header.has(bit::DOOM_ORDERLY);
        if cell.ptr().is_ended() || is_doomed || header.flags.get() & flag::KILL != 0 {
            return;
        }
        killed.all += 1;
        killed.roots += usize::from(!header.has(bit::SUPERVISED));
        if killed.late.len() < StopSummary::EXCEPTIONS {
            killed.late.push(Late::of(&cell));
        }
        batch.push(cell);
        if batch.len() == 256 {
            raise(shared, &batch, flag::KILL);
            batch.clear();
        }
    });
    raise(shared, &batch, flag::KILL);
    killed
}

/// Which processes are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Those that have not ended.
    Alive,
    /// Those, and the ended ones whose backlog is not disposed of.
    Leaving,
}

fn left(shared: &Shared, which: Left) -> usize {
    let mut count = 0;
    shared.walk(|cell| {
        let ended = cell.ptr().is_ended();
        // An ended process that leaves no more is a cell that some handle keeps.
        let leaving = which == Left::Leaving && cell.ptr().is_leaving();
        count += usize::from(!ended || leaving);
    });
    count
}

/// Whether no process is left, nor anything of one that is to be disposed of.
pub(crate) fn all_left(shared: &Shared) -> bool {
    left(shared, Left::Leaving) == 0
}

/// Waits on this thread until no process is left, but not for ever.
pub(crate) fn wait_for_ends(shared: &Shared, most: Duration) {
    let scheduler = shared.scheduler();
    let deadline = scheduler.now().saturating_add(most);
    let mut looks = 0;
    while !all_left(shared) && scheduler.now() < deadline {
        // What was spawned at the very moment when all were killed.
        kill_all(shared);
        if looks < LOOKS {
            looks += 1;
            thread::yield_now();
        } else {
            thread::park_timeout(LOOK);
        }
    }
}

//! The process behind a supervisor.
//!
//! # One thing at a time, and never suspended
//!
//! What changes children, be it asked for or a consequence of an end, is a [`Job`]: stops, newest first, and then
//! starts, oldest first. One is under way at most; what comes meanwhile waits in line, in the order of arrival. So
//! every change sees the children as the one before has left them, as in OTP, where the process itself waits for each
//! start and stop. Here it does not: no handler is suspended but `terminate`. A step of a job is begun (a child is
//! spawned, or told to end), and the job goes on when the message comes that says how it came out. Between two steps
//! questions are answered, and an exit signal of the parent acts.
//!
//! ```text
//!              ask, an end, a try again                   the line is empty
//!   line of waiting ──────────▶ job ─▶ stop ─▶ stop .. ─▶ start ─▶ start .. ─▶ done ──▶ next in line
//!                                       │                   │
//!                    ends by itself ◀───┘ DOWN, or          └ its outcome: Started(Ok), or Started(Err) and DOWN
//!                                         TimeOver: killed, DOWN
//! ```
//!
//! # The states of a child
//!
//! ```text
//!   Stopped ──start──▶ Running ──DOWN, not asked for──▶ Ended ──seen to──▶ restart: a job
//!      ▲                  │                               │
//!      └──────stopped─────┘                               └──▶ Stopped, or dropped; perhaps auto shutdown
//!      ▲
//!      └─terminate_child─ Restarting ◀── a start of a restart has failed: TryAgain, at the mailbox's end
//! ```
//!
//! # The two reports of a start
//!
//! A child's start has an *outcome*, a message that always comes ([`Launched::ready`](crate::child::Launched)), and its
//! process has an end, a DOWN. They may come in any order. A start has succeeded when its outcome says so, whatever the
//! DOWN says: a child that ends right behind its start is one that has started and ended. It has failed when its
//! outcome says so *and* the process is gone, so that its name is free for the next try. What a nested supervisor's
//! outcome says is whether all of its children have started.
//!
//! # What is kept per child
//!
//! An [`Entry`](super::roster::Entry), a number by [`ChildKey::index`], and two index entries; each action on a child is
//! O(1). The number of significant children that are active is counted, so that no end looks at the others.
//!
//! # The end
//!
//! `terminate` stops the children, newest first, one at a time. A stop that is under way keeps its deadline. The
//! replies of who still waits go with the state, and are answered with the exit reason.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ChildDown, Context, ExitReason, Outcome, Pid, Reply, StartError, StartInfo, Stop,
    SupervisorContext,
};

use super::{
    Supervisor,
    handle::{ChildCounts, ChildEntry, ChildSpec},
    job::{Job, Step},
    roster::{Entry, Place, Roster, State},
};
use crate::{
    AutoShutdown, ChildError, ChildId, Intensity, Restart, Shutdown, child::Spec, guard,
    intensity::History,
};

/// Which children are restarted with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    OneForOne,
    OneForAll,
    RestForOne,
}

/// What a supervisor was built to supervise. Shared by its incarnations: the children's addresses are in it.
pub(crate) struct Tree {
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) auto_shutdown: AutoShutdown,
    /// In order. Each is locked while it is launched, by the one incarnation that lives.
    pub(super) children: Vec<Arc<Mutex<Spec>>>,
}

/// Where a supervisor has its tree from.
pub(crate) enum Source {
    /// It was checked before.
    Tree(Arc<Tree>),
    /// It is made for each incarnation.
    Make(Arc<Mutex<Make>>),
}

/// Makes the spec of an incarnation.
pub(super) type Make = dyn FnMut(&StartInfo) -> Result<Supervisor, ExitReason> + Send;

impl Source {
    fn tree(self, cx: &Context<Supervising>) -> Result<Arc<Tree>, ExitReason> {
        match self {
            Source::Tree(tree) => Ok(tree),
            Source::Make(make) => {
                // The user's: its panic is that of `init`.
                let spec = (*make.lock())(&cx.start_info())?;
                Ok(spec.into_tree(&cx.runtime())?)
            }
        }
    }
}

/// What a supervisor is asked, and tells itself.
pub(crate) enum Request {
    StartChild(Box<Spec>, Reply<Result<(), StartError>>),
    TerminateChild(ChildId, Reply<Result<(), ChildError>>),
    RestartChild(ChildId, Reply<Result<Option<Pid>, ChildError>>),
    DeleteChild(ChildId, Reply<Result<(), ChildError>>),
    WhichChildren(Reply<Vec<ChildEntry>>),
    WhichChild(ChildId, Reply<Result<ChildEntry, ChildError>>),
    CountChildren(Reply<ChildCounts>),
    GetChildspec(ChildId, Reply<Result<ChildSpec, ChildError>>),
    /// How the start of this number came out.
    Started(Place, u64, Result<(), StartError>),
    /// The child of this start was told to end and has had its time.
    TimeOver(Place, u64),
    /// The start of this number has failed, and is to be tried again.
    TryAgain(Place, u64),
    /// A stranger's exit signal.
    Exit,
}

/// What waits for the job that is under way.
pub(super) enum Waiting {
    Asked(Request),
    /// The child of this start has ended by itself.
    Ended(Place, u64),
    TryAgain(Place, u64),
}

/// The supervisor's state.
pub(crate) struct Supervising {
    pub(super) tree: Arc<Tree>,
    pub(super) children: Roster,
    /// The place of the child at each [`ChildKey::index`](whitebeam_actor::ChildKey::index).
    pub(super) places: Vec<Place>,
    pub(super) restarts: History,
    /// Starts so far, of all children.
    pub(super) runs: u64,
    /// Significant children that are active.
    pub(super) significant: usize,
    pub(super) job: Option<Job>,
    pub(super) waiting: VecDeque<Waiting>,
    /// The children of the spec have started.
    pub(super) has_begun: bool,
    /// Its end was decided: nothing is begun any more.
    pub(super) is_ending: bool,
}

impl Actor for Supervising {
    type Args = (Source, Option<Reply<()>>);
    type Msg = Request;

    async fn init((source, ack): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let tree = source.tree(cx)?;
        cx.supervise(Self::child_down);
        cx.trap_exit(|_| Request::Exit);
        let mut children = Roster::with_capacity(tree.children.len());
        for spec in &tree.children {
            children.push(Entry::new(Arc::clone(spec), true));
        }
        let job = Job::begin(children.oldest(), ack);
        let mut this = Supervising {
            children,
            places: Vec::with_capacity(tree.children.len()),
            restarts: History::new(tree.intensity),
            runs: 0,
            significant: 0,
            job: Some(job),
            waiting: VecDeque::new(),
            has_begun: false,
            is_ending: false,
            tree,
        };
        this.go_on(cx);
        Ok(this)
    }

    async fn handle(&mut self, request: Request, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match request {
            Request::Started(place, run, outcome) => self.started(place, run, outcome, cx),
            Request::TimeOver(place, run) => self.time_over(place, run, cx),
            Request::TryAgain(place, run) => self.waiting.push_back(Waiting::TryAgain(place, run)),
            Request::Exit => {}
            // Before there are children to tell of it waits as for any actor's `init`.
            question if self.has_begun && question.only_looks() => self.answer(question, cx),
            request => self.waiting.push_back(Waiting::Asked(request)),
        }
        self.go_on(cx);
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        let mut next = self.children.newest();
        while let Some(place) = next {
            next = self.children.before(place);
            let Some(entry) = self.children.get(place) else { continue };
            let Some(key) = entry.key() else { continue };
            let how = match self.deadline(place) {
                // It was told before.
                Some(deadline) => Stop::After(deadline.saturating_sub(cx.runtime().uptime())),
                None => entry.shutdown.into(),
            };
            let is_error = match cx.stop_child(key, how).await {
                Outcome::Crashed(reason) => Some(reason),
                Outcome::Killed if how != Stop::Kill => Some(ExitReason::Killed),
                _ => None,
            };
            if let Some(reason) = is_error
                && let Some(entry) = self.children.get_mut(place)
            {
                entry.last_exit = Some(reason);
                self.report(SupervisorContext::ShutdownError, place, cx);
            }
        }
    }
}

impl Supervising {
    /// Decides the supervisor's end.
    pub(super) fn end(&mut self, reason: ExitReason, cx: &mut Context<Self>) {
        self.is_ending = true;
        cx.stop(reason);
    }

    /// Tells the runtime's events of a child's last end.
    pub(super) fn report(&self, context: SupervisorContext, place: Place, cx: &mut Context<Self>) {
        let Some(entry) = self.children.get(place) else { return };
        cx.report_child(context, || {
            let pid = match entry.state {
                State::Running(_, pid) | State::Ended(pid) => Some(pid),
                State::Stopped | State::Restarting => None,
            };
            (entry.id.to_string(), pid, entry.last_exit.clone())
        });
    }

    /// Whether a child that was being stopped has ended as it was told to.
    fn ended_as_told(&self, place: Place) -> bool {
        let Some(entry) = self.children.get(place) else { return true };
        match &entry.last_exit {
            Some(ExitReason::Killed) => entry.shutdown == Shutdown::BrutalKill,
            Some(reason) => reason.is_orderly(),
            None => true,
        }
    }

    /// When the child that is being stopped is to be killed.
    fn deadline(&self, place: Place) -> Option<Duration> {
        match &self.job.as_ref()?.step {
            Step::Stopping(stopping) if stopping.place == place => stopping.deadline,
            _ => None,
        }
    }

    /// Changes what is known of a child's process.
    pub(super) fn set(&mut self, place: Place, state: State) {
        let Some(entry) = self.children.get_mut(place) else { return };
        let was_active = entry.is_active();
        entry.state = state;
        if entry.significant {
            self.significant += usize::from(entry.is_active());
            self.significant -= usize::from(was_active);
        }
    }

    /// Forgets a child that has no process.
    pub(super) fn drop_child(&mut self, place: Place) {
        self.set(place, State::Stopped);
        if let Some(entry) = self.children.remove(place) {
            entry.gone();
            // With the arguments, which are the user's.
            let _ = guard::call(|| drop(entry));
        }
    }

    /// A child has no process, and none will come by itself: its spec is kept, unless it is temporary.
    pub(super) fn leave(&mut self, place: Place) {
        match self.children.get(place) {
            Some(entry) if entry.restart == Restart::Temporary => self.drop_child(place),
            Some(entry) => {
                entry.gone();
                self.set(place, State::Stopped);
            }
            None => {}
        }
    }

    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        let Some(&place) = self.places.get(down.key.index()) else { return };
        let Some(entry) = self.children.get_mut(place) else { return };
        if entry.key() != Some(down.key) {
            return;
        }
        let run = entry.run;
        entry.last_exit = Some(down.reason);
        self.set(place, State::Ended(down.pid));
        match self.job.as_mut().map(|job| &mut job.step) {
            Some(Step::Stopping(stopping)) if stopping.place == place => {
                if let Some(timer) = stopping.timer.take() {
                    cx.cancel(timer);
                }
                if !self.ended_as_told(place) {
                    self.report(SupervisorContext::ShutdownError, place, cx);
                }
                self.stopped(place);
            }
            Some(Step::Starting(starting)) if starting.place == place => self.settle(cx),
            _ => self.waiting.push_back(Waiting::Ended(place, run)),
        }
        self.go_on(cx);
    }

    fn time_over(&mut self, place: Place, run: u64, cx: &mut Context<Self>) {
        if let Some(entry) = self.children.get(place)
            && let State::Running(_, pid) = entry.state
            && entry.run == run
        {
            cx.exit(pid, ExitReason::Kill);
        }
    }

    /// Begins to stop a child.
    pub(super) fn tell(&mut self, place: Place, cx: &mut Context<Self>) -> Option<Step> {
        let entry = self.children.get(place)?;
        let State::Running(_, pid) = entry.state else { return None };
        cx.exit(pid, entry.shutdown.signal());
        let (mut timer, mut deadline) = (None, None);
        if let Some(time) = entry.shutdown.limit() {
            timer = Some(cx.send_after(time, Request::TimeOver(place, entry.run)));
            deadline = Some(cx.runtime().uptime().saturating_add(time));
        }
        Some(Step::stopping(place, timer, deadline))
    }
}

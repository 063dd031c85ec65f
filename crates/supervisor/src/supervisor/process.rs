//! The process behind a supervisor.
//!
//! # One thing at a time, and never suspended
//!
//! What changes children, be it asked for or a consequence of an end, is a [`Job`]: stops, newest first, and then
//! starts, oldest first. One is under way at most; what comes meanwhile waits in line, in the order of arrival. So
//! every change sees the children as the one before has left them, as in OTP, where the process itself waits for each
//! start and stop. Here it does not: no handler waits for a child but `terminate`. A step of a job is begun (a child is
//! spawned, or told to end), and the job goes on when the message comes that says how it came out. Between two steps
//! questions are answered, and an exit signal of the parent acts. After a batch of steps ([`BATCH`]), and of specs that
//! are freed ([`Litter`]), a handler is suspended until others have had a turn.
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
//! A child that is `Ended` is seen to behind those who asked before: these find it running. One whose restart is a job is
//! `Restarting` until it is started. Those whom the restart of a group has stopped are `Stopped`, and told of as
//! restarting as long as that job lasts ([`Job::number`]); if a start of it fails, they wait for the next try. When that
//! is given up by `terminate_child`, their addresses are told ([`Job::releases`]).
//!
//! # The two reports of a start
//!
//! A child's start has an *outcome*, a message that always comes ([`Launched::ready`](crate::child::Launched)), and its
//! process has an end, a DOWN. They may come in any order. A start has succeeded when its outcome says so, whatever the
//! DOWN says: a child that ends right behind its start is one that has started and ended. It has failed when its
//! outcome says so *and* the process is gone, so that its name is free for the next try. What a nested supervisor's
//! outcome says is whether all of its children have started.
//!
//! # Names of orphans
//!
//! A child whose [given name](whitebeam_actor::SpawnOptions::name) an orphan has, a process below a supervisor that was killed, is not
//! started before that has ended; it is killed when it has had the time that the child itself would have. So a start is
//! made once, with the one set of arguments that there may be, and fails if the name is anybody else's.
//!
//! # What is kept per child
//!
//! An [`Entry`](super::roster::Entry), a number by [`ChildKey::index`], and two index entries; each action on a child is
//! O(1). The number of significant children that are active is counted, so that no end looks at the others.
//!
//! # The end
//!
//! `terminate` waits for the child that is being stopped, which has its signal and keeps its deadline, and then stops the
//! others, newest first, one at a time. What is kept of them is freed in batches. The replies of who still waits go with
//! the state, and are answered with the exit reason.
//!
//! # Reports
//!
//! As OTP's: an end by itself when it is seen to, of a permanent child or an abnormal one; an end of a child that was to be
//! stopped, if it has not obeyed ([`Entry::has_obeyed`]), also if it has ended ahead of its signal; a start that fails; and
//! the restart that is one too many.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, ChildDown, ChildKey, Context, ExitReason, Overflow, Pid, Reply, StartError, StartInfo,
    Stop, SupervisorContext, yield_now,
};

use super::{
    Supervisor,
    handle::{ChildCounts, ChildEntry, ChildSpec},
    job::{Job, Step},
    litter::Litter,
    roster::{Entry, Place, Roster, State},
};
use crate::{
    AutoShutdown, ChildError, ChildId, Intensity, Restart,
    child::Spec,
    intensity::History,
    tree::{self, Looked},
};

/// Steps of a change, or children that are gone through, between which others get their turn. As many as are told at
/// once to end by the runtime itself: some ten microseconds of work, which is well under a turn's time.
pub(super) const BATCH: usize = 256;

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
                Ok(spec.into_tree(cx.runtime().workers())?)
            }
        }
    }
}

/// What a supervisor is asked by its handle.
pub(crate) enum Ask {
    StartChild(Box<Spec>, Reply<Result<(), StartError>>),
    TerminateChild(ChildId, Reply<Result<(), ChildError>>),
    RestartChild(ChildId, Reply<Result<Option<Pid>, ChildError>>),
    DeleteChild(ChildId, Reply<Result<(), ChildError>>),
    WhichChildren(Reply<Result<Vec<ChildEntry>, ChildError>>),
    WhichChild(ChildId, Reply<Result<ChildEntry, ChildError>>),
    CountChildren(Reply<Result<ChildCounts, ChildError>>),
    GetChildspec(ChildId, Reply<Result<ChildSpec, ChildError>>),
}

/// What comes to a supervisor. All but the first is seen to at once.
pub(crate) enum Request {
    Ask(Ask),
    /// Somebody makes a picture of the tree: the first so many workers, and all supervisors.
    Look(usize, Reply<Looked>),
    /// How the start of this number came out.
    Started(Place, u64, Result<(), StartError>),
    /// The orphan that had the name of the child that is to be started has ended.
    NameFree(Place),
    /// The child of this start was told to end and has had its time.
    TimeOver(Place, u64),
    /// A start in a restart of this child has failed, and is to be tried again.
    TryAgain(Place),
    /// Others are to have a turn, and then it goes on.
    GoOn,
    /// A stranger's exit signal.
    Exit,
}

/// What waits for the job that is under way.
pub(super) enum Waiting {
    Asked(Ask),
    /// The child of this start has ended by itself.
    Ended(Place, u64),
    TryAgain(Place),
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
    /// Restarts of groups so far.
    pub(super) groups: u64,
    pub(super) job: Option<Job>,
    pub(super) waiting: VecDeque<Waiting>,
    /// How many of these were asked by others, and the bound of the mailbox that they were taken from.
    pub(super) asked: usize,
    pub(super) bound: Option<(usize, Overflow)>,
    /// Steps since others were let run. After a batch that is waited for.
    pub(super) steps: usize,
    /// A [`Request::GoOn`] is on its way.
    pub(super) comes_back: bool,
    /// The children of the spec have started.
    pub(super) has_begun: bool,
    /// Its end was decided: nothing is begun any more.
    pub(super) is_ending: bool,
    /// Of children that were dropped. Cleared behind each message.
    pub(super) litter: Litter,
}

impl Actor for Supervising {
    type Args = (Source, Option<Reply<()>>);
    type Msg = Request;

    async fn init((source, ack): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let tree = source.tree(cx)?;
        cx.supervise(Self::child_down);
        cx.name_children(Self::name_of);
        cx.trap_exit(|_| Request::Exit);
        let mut children = Roster::with_capacity(tree.children.len());
        for batch in tree.children.chunks(BATCH) {
            for spec in batch {
                children.push(Entry::new(Arc::clone(spec)));
            }
            if batch.len() == BATCH {
                yield_now().await;
            }
        }
        let job = Job::begin(children.oldest(), ack);
        let mut this = Supervising {
            children,
            places: Vec::with_capacity(tree.children.len()),
            restarts: History::new(tree.intensity),
            runs: 0,
            significant: 0,
            groups: 0,
            job: Some(job),
            waiting: VecDeque::new(),
            asked: 0,
            bound: cx.mailbox_bound(),
            steps: 0,
            comes_back: false,
            has_begun: false,
            is_ending: false,
            litter: Litter::default(),
            tree,
        };
        this.go_on(cx);
        Ok(this)
    }

    async fn handle(&mut self, request: Request, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match request {
            Request::Started(place, run, outcome) => self.started(place, run, outcome, cx),
            Request::NameFree(place) => self.name_is_free(place, cx),
            Request::TimeOver(place, run) => self.time_over(place, run, cx),
            Request::TryAgain(place) => self.waiting.push_back(Waiting::TryAgain(place)),
            Request::GoOn => {
                yield_now().await;
                (self.steps, self.comes_back) = (0, false);
            }
            Request::Exit => {}
            Request::Look(workers, reply) => tree::tell(reply, || self.look(workers)),
            // Before there are children to tell of it waits as for any actor's `init`.
            Request::Ask(ask) if self.has_begun && ask.only_looks() => self.answer(ask, cx),
            Request::Ask(ask) => self.put_in_line(ask, cx),
        }
        self.go_on(cx);
        self.litter.clear().await;
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        self.take_downs(cx);
        if let Some((place, key, how)) = self.told(cx) {
            let reason = cx.await_child(key, how).await;
            self.has_ended(place, reason, cx);
        }
        let (mut next, mut steps) = (self.children.newest(), 0);
        while let Some(place) = next {
            next = self.children.before(place);
            self.take_downs(cx);
            let Some(entry) = self.children.get(place) else { continue };
            match entry.state {
                State::Running(key, _) => {
                    let reason = cx.end_child(key, entry.shutdown.into()).await;
                    self.has_ended(place, reason, cx);
                }
                State::Ended(_) => self.has_ended(place, None, cx),
                State::Stopped | State::Restarting => {}
            }
            steps += 1;
            if steps % BATCH == 0 {
                yield_now().await;
            }
        }
        cx.name_stopped(&|key| self.name_of(key));
        self.take_apart().await;
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

    /// Tells the runtime's events of a child that has not ended as it was told to.
    pub(super) fn report_stop(&self, place: Place, cx: &mut Context<Self>) {
        if self.children.get(place).is_some_and(|entry| !entry.has_obeyed()) {
            self.report(SupervisorContext::ShutdownError, place, cx);
        }
    }

    /// The child that was told to end when the supervisor's own end came, and how, with what is left of its time.
    fn told(&self, cx: &Context<Self>) -> Option<(Place, ChildKey, Stop)> {
        let Step::Stopping(stopping) = &self.job.as_ref()?.step else { return None };
        let entry = self.children.get(stopping.place)?;
        let left = |deadline: Duration| deadline.saturating_sub(cx.runtime().uptime());
        let how =
            stopping.deadline.map_or(entry.shutdown.into(), |deadline| Stop::After(left(deadline)));
        Some((stopping.place, entry.key()?, how))
    }

    /// Takes note of the children that have ended by themselves while the supervisor stops them all.
    fn take_downs(&mut self, cx: &mut Context<Self>) {
        let killed = self.told(cx).filter(|(.., how)| *how == Stop::Kill).map(|(_, key, _)| key);
        for down in cx.take_child_downs(|key| Some(key) == killed) {
            if let Some(&place) = self.places.get(down.key.index())
                && let Some(entry) = self.children.get_mut(place)
                && entry.key() == Some(down.key)
            {
                entry.last_exit = Some(down.reason);
                self.set(place, State::Ended(down.pid));
            }
        }
    }

    /// A child that the supervisor has waited for in its own end, or was to stop there, has ended.
    fn has_ended(&mut self, place: Place, reason: Option<ExitReason>, cx: &mut Context<Self>) {
        if let (Some(reason), Some(entry)) = (reason, self.children.get_mut(place)) {
            entry.last_exit = Some(reason);
        }
        self.report_stop(place, cx);
        self.set(place, State::Stopped);
    }

    /// Frees what is kept of children, batch by batch. The addresses of those that nobody can bring back say so.
    async fn take_apart(&mut self) {
        let mut steps = 0;
        while let Some(place) = self.children.newest() {
            if let Some(entry) = self.children.remove(place) {
                self.litter.free(entry.into_spec());
            }
            steps += 1;
            if steps % BATCH == 0 {
                yield_now().await;
            }
        }
        // No other incarnation can come.
        if let Some(tree) = Arc::get_mut(&mut self.tree) {
            self.litter.add(std::mem::take(&mut tree.children));
        }
        self.litter.clear().await;
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
            self.litter.free(entry.into_spec());
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
                self.stopped(place, cx);
            }
            Some(Step::Starting(starting)) if starting.place == place => {
                // Seen to in its place in line, if its start turns out well.
                self.waiting.push_back(Waiting::Ended(place, run));
                self.settle(cx);
            }
            _ => self.waiting.push_back(Waiting::Ended(place, run)),
        }
        self.go_on(cx);
        if !self.litter.is_empty() {
            self.come_back(cx);
        }
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

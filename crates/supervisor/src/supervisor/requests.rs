//! What a supervisor is asked by its handle.

use whitebeam_actor::{Context, ExitReason, Overflow, Pid, Reply, StartError};

use super::{
    check,
    handle::{ChildCounts, ChildEntry, ChildSpec, ChildState},
    job::{Job, Release},
    process::{Ask, Strategy, Supervising, Waiting},
    roster::{Entry, Place, State},
};
use crate::{ChildError, ChildId, ChildKind, child::Spec, guard};

impl Ask {
    /// Whether it changes nothing.
    pub(super) fn only_looks(&self) -> bool {
        matches!(
            self,
            Ask::WhichChildren(_)
                | Ask::WhichChild(..)
                | Ask::CountChildren(_)
                | Ask::GetChildspec(..)
        )
    }

    /// Answers that there is no room for it.
    fn refuse(self) {
        match self {
            Ask::StartChild(spec, reply) => {
                drop(spec);
                reply.send(Err(StartError::Full));
            }
            Ask::TerminateChild(_, reply) | Ask::DeleteChild(_, reply) => {
                reply.send(Err(ChildError::Full));
            }
            Ask::RestartChild(_, reply) => reply.send(Err(ChildError::Full)),
            Ask::WhichChildren(reply) => reply.send(Err(ChildError::Full)),
            Ask::WhichChild(_, reply) => reply.send(Err(ChildError::Full)),
            Ask::CountChildren(reply) => reply.send(Err(ChildError::Full)),
            Ask::GetChildspec(_, reply) => reply.send(Err(ChildError::Full)),
        }
    }
}

impl Supervising {
    /// Puts a request in line, if the bound of the mailbox leaves room for it there: what was taken out of the mailbox
    /// to wait is not to be without one.
    pub(super) fn put_in_line(&mut self, ask: Ask, cx: &mut Context<Self>) {
        if let Some((limit, overflow)) = self.bound
            && self.asked >= limit
        {
            match overflow {
                Overflow::DropOldest => self.refuse_oldest(),
                Overflow::Exit => {
                    ask.refuse();
                    return self.end(ExitReason::MailboxOverflow, cx);
                }
                _ => return ask.refuse(),
            }
        }
        self.asked += 1;
        self.waiting.push_back(Waiting::Asked(ask));
    }

    fn refuse_oldest(&mut self) {
        let is_asked = |waiting: &Waiting| matches!(waiting, Waiting::Asked(_));
        let oldest = self.waiting.iter().position(is_asked);
        if let Some(Waiting::Asked(ask)) = oldest.and_then(|at| self.waiting.remove(at)) {
            self.asked -= 1;
            ask.refuse();
        }
    }

    /// Answers a question; or does what is asked, or begins to, when nothing else is under way.
    pub(super) fn answer(&mut self, ask: Ask, cx: &mut Context<Self>) {
        match ask {
            Ask::StartChild(spec, reply) => self.start_child(*spec, reply, cx),
            Ask::TerminateChild(id, reply) => match self.listed(&id) {
                Some((place, entry)) => {
                    // Alone, it is waited for by no others.
                    let is_group_tried_again = matches!(entry.state, State::Restarting)
                        && self.tree.strategy != Strategy::OneForOne;
                    let newest = self.children.newest().filter(|_| is_group_tried_again);
                    let releases = newest.map(|newest| Release { newest, below: place });
                    self.job = Some(Job::terminate(place, reply, releases));
                }
                None => reply.send(Err(ChildError::NotFound)),
            },
            Ask::RestartChild(id, reply) => self.restart_child(&id, reply),
            Ask::DeleteChild(id, reply) => reply.send(self.delete_child(&id)),
            Ask::WhichChildren(reply) => reply.send(Ok(self.which_children())),
            Ask::WhichChild(id, reply) => {
                let found = self.listed(&id).map(|(place, entry)| self.describe(place, entry));
                reply.send(found.ok_or(ChildError::NotFound));
            }
            Ask::CountChildren(reply) => reply.send(Ok(self.count_children(cx))),
            Ask::GetChildspec(id, reply) => {
                let found = self.listed(&id).map(|(_, entry)| entry.settings());
                reply.send(found.ok_or(ChildError::NotFound));
            }
        }
    }

    fn start_child(
        &mut self,
        mut spec: Spec,
        reply: Reply<Result<(), StartError>>,
        cx: &mut Context<Self>,
    ) {
        let auto_shutdown = self.tree.auto_shutdown;
        let checked = guard::call(|| check(&mut spec, auto_shutdown, cx.runtime().workers()));
        let refused = match checked {
            Err(panic) => Some(StartError::Exit(panic)),
            Ok(Err(error)) => Some(error.into()),
            Ok(Ok(())) => self.present(&spec.id),
        };
        if let Some(error) = refused {
            self.litter.free_own(spec);
            return reply.send(Err(error));
        }
        let place = self.children.push(Entry::added(spec));
        self.job = Some(Job::add(place, reply));
    }

    /// Why no other child may have this id.
    fn present(&self, id: &ChildId) -> Option<StartError> {
        let entry = self.children.get(self.children.find(id)?)?;
        Some(match entry.state {
            // One that has ended is not seen to yet: it was asked for before that, and so it runs, as in OTP.
            State::Running(_, pid) | State::Ended(pid) => StartError::AlreadyStarted(pid),
            State::Stopped | State::Restarting => StartError::AlreadyPresent,
        })
    }

    fn restart_child(&mut self, id: &ChildId, reply: Reply<Result<Option<Pid>, ChildError>>) {
        let Some((place, entry)) = self.listed(id) else {
            return reply.send(Err(ChildError::NotFound));
        };
        match entry.state {
            State::Stopped => self.job = Some(Job::resume(place, reply)),
            // As in `present`.
            State::Running(..) | State::Ended(_) => reply.send(Err(ChildError::Running)),
            State::Restarting => reply.send(Err(ChildError::ChildRestarting)),
        }
    }

    fn delete_child(&mut self, id: &ChildId) -> Result<(), ChildError> {
        let (place, entry) = self.listed(id).ok_or(ChildError::NotFound)?;
        match entry.state {
            State::Stopped => {
                self.drop_child(place);
                Ok(())
            }
            // As in `present`.
            State::Running(..) | State::Ended(_) => Err(ChildError::Running),
            State::Restarting => Err(ChildError::ChildRestarting),
        }
    }

    fn listed(&self, id: &ChildId) -> Option<(Place, &Entry)> {
        let place = self.children.find(id)?;
        let entry = self.children.get(place).filter(|entry| entry.is_listed)?;
        Some((place, entry))
    }

    fn which_children(&self) -> Vec<ChildEntry> {
        let listed = self.children.newest_first().filter(|(_, entry)| entry.is_listed);
        listed.map(|(place, entry)| self.describe(place, entry)).collect()
    }

    fn count_children(&self, cx: &Context<Self>) -> ChildCounts {
        let rt = cx.runtime();
        let mut counts = ChildCounts::default();
        for (place, entry) in self.children.newest_first().filter(|(_, entry)| entry.is_listed) {
            let pid = self.state_of(place, entry).pid();
            counts.specs += 1;
            counts.active += usize::from(pid.is_some_and(|pid| rt.is_alive(pid)));
            match entry.kind {
                ChildKind::Supervisor => counts.supervisors += 1,
                ChildKind::Worker => counts.workers += 1,
            }
        }
        counts
    }

    fn describe(&self, place: Place, entry: &Entry) -> ChildEntry {
        ChildEntry {
            id: entry.id.clone(),
            state: self.state_of(place, entry),
            kind: entry.kind,
            actor: entry.actor(),
        }
    }

    /// What others are told of a child's state. One whose start is under way has none of its own yet.
    pub(super) fn state_of(&self, place: Place, entry: &Entry) -> ChildState {
        match &self.job {
            Some(job) if job.restarts(place) => return ChildState::Restarting,
            Some(job) if job.starts(place) => return ChildState::Stopped,
            _ => {}
        }
        match entry.state {
            State::Running(_, pid) => ChildState::Running(pid),
            State::Restarting => ChildState::Restarting,
            State::Ended(_) if entry.will_restart() => ChildState::Restarting,
            State::Stopped if self.job.as_ref().is_some_and(|job| job.has_stopped(entry)) => {
                ChildState::Restarting
            }
            State::Ended(_) | State::Stopped => ChildState::Stopped,
        }
    }
}

impl Entry {
    /// A child that has ended by itself: whether it is to be started again.
    pub(super) fn will_restart(&self) -> bool {
        self.restart.wants(self.last_exit.as_ref().unwrap_or(&ExitReason::NoProc))
    }

    fn settings(&self) -> ChildSpec {
        ChildSpec {
            id: self.id.clone(),
            restart: self.restart,
            shutdown: self.shutdown,
            significant: self.significant,
            kind: self.kind,
            actor: self.actor(),
        }
    }
}

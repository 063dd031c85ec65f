//! What a supervisor is asked by its handle.

use std::sync::Arc;

use parking_lot::Mutex;
use whitebeam_actor::{Context, ExitReason, Pid, Reply, StartError};

use super::{
    check,
    handle::{ChildCounts, ChildEntry, ChildSpec, ChildState},
    job::Job,
    process::{Request, Supervising},
    roster::{Entry, Place, State},
};
use crate::{ChildError, ChildId, ChildKind, child::Spec, guard};

impl Request {
    /// Whether it changes nothing.
    pub(super) fn only_looks(&self) -> bool {
        matches!(
            self,
            Request::WhichChildren(_)
                | Request::WhichChild(..)
                | Request::CountChildren(_)
                | Request::GetChildspec(..)
        )
    }
}

impl Supervising {
    /// Answers a question; or does what is asked, or begins to, when nothing else is under way.
    pub(super) fn answer(&mut self, request: Request, cx: &mut Context<Self>) {
        match request {
            Request::StartChild(spec, reply) => self.start_child(*spec, reply, cx),
            Request::TerminateChild(id, reply) => match self.children.find(&id) {
                Some(place) => self.job = Some(Job::terminate(place, reply)),
                None => reply.send(Err(ChildError::NotFound)),
            },
            Request::RestartChild(id, reply) => self.restart_child(&id, reply),
            Request::DeleteChild(id, reply) => reply.send(self.delete_child(&id)),
            Request::WhichChildren(reply) => reply.send(self.which_children()),
            Request::WhichChild(id, reply) => {
                let found = self.listed(&id).map(|(place, entry)| self.describe(place, entry));
                reply.send(found.ok_or(ChildError::NotFound));
            }
            Request::CountChildren(reply) => reply.send(self.count_children(cx)),
            Request::GetChildspec(id, reply) => {
                let found = self.listed(&id).map(|(_, entry)| entry.settings());
                reply.send(found.ok_or(ChildError::NotFound));
            }
            // These are for the supervisor alone, and are not passed on.
            Request::Started(..)
            | Request::TimeOver(..)
            | Request::TryAgain(..)
            | Request::Exit => {}
        }
    }

    fn start_child(
        &mut self,
        mut spec: Spec,
        reply: Reply<Result<(), StartError>>,
        cx: &mut Context<Self>,
    ) {
        let auto_shutdown = self.tree.auto_shutdown;
        let checked = guard::call(|| check(&mut spec, auto_shutdown, &cx.runtime()));
        let refused = match checked {
            Err(panic) => Some(StartError::Exit(panic)),
            Ok(Err(error)) => Some(error.into()),
            Ok(Ok(())) => self.present(&spec.id),
        };
        if let Some(error) = refused {
            // With the arguments, which are the user's.
            let _ = guard::call(|| drop(spec));
            return reply.send(Err(error));
        }
        let place = self.children.push(Entry::new(Arc::new(Mutex::new(spec)), false));
        self.job = Some(Job::add(place, reply));
    }

    /// Why no other child may have this id.
    fn present(&self, id: &ChildId) -> Option<StartError> {
        let entry = self.children.get(self.children.find(id)?)?;
        Some(match entry.state {
            State::Running(_, pid) => StartError::AlreadyStarted(pid),
            State::Stopped | State::Ended(_) | State::Restarting => StartError::AlreadyPresent,
        })
    }

    fn restart_child(&mut self, id: &ChildId, reply: Reply<Result<Option<Pid>, ChildError>>) {
        let Some((place, entry)) = self.listed(id) else {
            return reply.send(Err(ChildError::NotFound));
        };
        match entry.state {
            State::Stopped => self.job = Some(Job::resume(place, reply)),
            State::Running(..) => reply.send(Err(ChildError::Running)),
            State::Ended(_) | State::Restarting => reply.send(Err(ChildError::ChildRestarting)),
        }
    }

    fn delete_child(&mut self, id: &ChildId) -> Result<(), ChildError> {
        let (place, entry) = self.listed(id).ok_or(ChildError::NotFound)?;
        match entry.state {
            State::Stopped => {
                self.drop_child(place);
                Ok(())
            }
            State::Running(..) => Err(ChildError::Running),
            State::Ended(_) | State::Restarting => Err(ChildError::ChildRestarting),
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
    fn state_of(&self, place: Place, entry: &Entry) -> ChildState {
        match &self.job {
            Some(job) if job.restarts(place) => return ChildState::Restarting,
            Some(job) if job.starts(place) => return ChildState::Stopped,
            _ => {}
        }
        match entry.state {
            State::Running(_, pid) => ChildState::Running(pid),
            State::Restarting => ChildState::Restarting,
            State::Ended(_) if entry.will_restart() => ChildState::Restarting,
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

//! What is asked of a supervisor about its children.

use whitebeam_actor::{Actor, ChildKey, Context, Pid};

use super::{Dynamic, Request};
use crate::{
    ChildCounts, ChildEntry, ChildError, ChildId, ChildState,
    dynamic::sort::{Admin, Whom},
    tree,
};

/// Where a child is.
enum Found {
    /// It has a process.
    At(ChildKey, Pid),
    /// It has none, and is that one of those to be tried again.
    Waiting(usize),
}

impl<A: Actor> Dynamic<A> {
    pub(super) fn answer(&mut self, admin: Admin, cx: &mut Context<Self>) {
        match admin {
            Admin::Terminate(whom, reply) => match self.find(&whom, cx) {
                Some(Found::At(key, pid)) => {
                    let over = Request::TimeOver(key, pid);
                    self.stops.begin((key, pid), self.template.shutdown, reply, over, cx);
                }
                Some(Found::Waiting(place)) => {
                    self.waiting.remove(place);
                    self.has_left = false;
                    self.count.0.set(self.len(cx));
                    reply.send(Ok(()));
                }
                None => reply.send(Err(ChildError::NotFound)),
            },
            Admin::WhichChildren(reply) => reply.send(self.which_children(cx)),
            Admin::CountChildren(reply) => reply.send(self.count_children(cx)),
            Admin::GetChildspec(whom, reply) => {
                let found = self.find(&whom, cx).map(|_| self.template.settings());
                reply.send(found.ok_or(ChildError::NotFound));
            }
            Admin::SetMaxChildren(most, reply) => {
                self.settings.max_children = most;
                reply.send(());
            }
            Admin::Count(reply) => reply.send(self.count.0.clone()),
            Admin::Look(most, reply) => tree::tell(reply, || self.look(most, cx)),
        }
    }

    /// The child of this pid; also the one that had it, and whose restart is not done. These have no addresses.
    fn find(&mut self, whom: &Whom, cx: &Context<Self>) -> Option<Found> {
        let pid = whom.pid?;
        let key = cx.child_key(pid).or_else(|| self.kept.restarting(pid, cx));
        if let Some((key, pid)) = key.and_then(|key| Some((key, cx.child_pid(key)?))) {
            return Some(Found::At(key, pid));
        }
        self.waiting.iter().position(|(kept, _)| kept.last == pid).map(Found::Waiting)
    }

    fn which_children(&self, cx: &Context<Self>) -> Vec<ChildEntry> {
        let entry = |state| ChildEntry {
            id: ChildId::UNDEFINED,
            state,
            kind: self.template.kind,
            actor: std::any::type_name::<A>(),
        };
        let state = |(key, pid)| match self.kept.is_restarting(key, cx) {
            true => ChildState::Restarting,
            false => ChildState::Running(pid),
        };
        let waiting = self.waiting.iter().map(|_| ChildState::Restarting);
        cx.children().into_iter().map(state).chain(waiting).map(entry).collect()
    }

    fn count_children(&self, cx: &Context<Self>) -> ChildCounts {
        let rt = cx.runtime();
        // The template.
        let mut counts = ChildCounts { specs: 1, ..ChildCounts::default() };
        for (key, pid) in cx.children() {
            let is_active = rt.is_alive(pid) && !self.kept.is_restarting(key, cx);
            counts.add(self.template.kind, is_active);
        }
        for _ in &self.waiting {
            counts.add(self.template.kind, false);
        }
        counts
    }
}

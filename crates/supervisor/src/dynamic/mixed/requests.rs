//! What is asked of a supervisor about its children.

use whitebeam_actor::{ChildKey, Context, Pid};

use super::{AnyRequest, Early, Entry, Mixed};
use crate::{
    ChildCounts, ChildEntry, ChildError, ChildId, ChildSpec, ChildState,
    child::Spec,
    dynamic::{
        sort::{Admin, Whom},
        stops::Stop,
    },
    tree,
};

/// Where a child is.
enum Found {
    /// It has a process.
    At(ChildKey, Pid),
    /// It has none, and the outcome of its start of this number is to come.
    Early(u64),
}

fn spec_of(entry: &Entry) -> Option<&Spec> {
    entry.with.spec.get().map(|spec| &**spec)
}

fn settings(spec: &Spec) -> ChildSpec {
    ChildSpec {
        id: ChildId::UNDEFINED,
        restart: spec.restart,
        shutdown: spec.shutdown,
        significant: false,
        kind: spec.kind,
        actor: spec.launch.actor(),
    }
}

impl Mixed {
    pub(super) fn answer(&mut self, admin: Admin, cx: &mut Context<Self>) {
        match admin {
            Admin::Terminate(whom, reply) => match self.find(&whom, cx) {
                Some(Found::At(key, pid)) => {
                    let Some(shutdown) = self.spec(key).map(|spec| spec.shutdown) else { return };
                    let over = AnyRequest::TimeOver(key, pid);
                    self.stops.begin((key, pid), shutdown, reply, over, cx);
                }
                Some(Found::Early(run)) => {
                    // Its outcome is on its way.
                    let Some(early) = self.early.get_mut(&run) else { return };
                    match &mut early.stop {
                        Some(stop) => stop.join(reply),
                        none => *none = Some(Stop::of_none(reply)),
                    }
                }
                None => reply.send(Err(ChildError::NotFound)),
            },
            Admin::WhichChildren(reply) => reply.send(self.which_children(cx)),
            Admin::CountChildren(reply) => reply.send(self.count_children(cx)),
            Admin::GetChildspec(whom, reply) => {
                let spec = match self.find(&whom, cx) {
                    Some(Found::At(key, _)) => self.spec(key),
                    Some(Found::Early(run)) => self.early.get(&run).and_then(|e| spec_of(&e.entry)),
                    None => None,
                };
                reply.send(spec.map(settings).ok_or(ChildError::NotFound));
            }
            Admin::SetMaxChildren(most, reply) => {
                self.settings.max_children = most;
                reply.send(());
            }
            Admin::Count(reply) => reply.send(self.count.0.clone()),
            Admin::Look(most, reply) => tree::tell(reply, || self.look(most, cx)),
        }
    }

    /// The child of this pid, or the one that had it and is being restarted; or the one of this address, which may be
    /// another process by now, or none. By an address that has no process it takes time by the number of children.
    fn find(&mut self, whom: &Whom, cx: &Context<Self>) -> Option<Found> {
        let at = |key| Some(Found::At(key, cx.child_pid(key)?));
        if let Some(pid) = whom.pid {
            let key = cx.child_key(pid).or_else(|| self.children.restarting(pid, cx));
            if let Some(found) = key.and_then(at) {
                return Some(found);
            }
        }
        let is_it = |entry: &Entry| {
            whom.tag.is_some() && spec_of(entry).map(|spec| spec.launch.tag()) == whom.tag
        };
        let is_early = |Early { entry, down, .. }: &Early| {
            let ended = down.as_ref().map(|down| down.pid);
            is_it(entry) || (whom.pid.is_some() && [Some(entry.last), ended].contains(&whom.pid))
        };
        if let Some((run, _)) = self.early.iter().find(|(_, early)| is_early(early)) {
            return Some(Found::Early(*run));
        }
        whom.tag.as_ref()?;
        let mut keys = cx.children().into_iter().map(|(key, _)| key);
        keys.find(|key| self.children.get(*key).is_some_and(is_it)).and_then(at)
    }

    fn which_children(&self, cx: &Context<Self>) -> Vec<ChildEntry> {
        let running = cx.children().into_iter().filter_map(|(key, pid)| {
            let state = match self.is_restarting(key, cx) {
                true => ChildState::Restarting,
                false => ChildState::Running(pid),
            };
            Some((self.spec(key)?, state))
        });
        let early = self.early_specs().map(|spec| (spec, ChildState::Restarting));
        let entry = |(spec, state): (&Spec, ChildState)| ChildEntry {
            id: ChildId::UNDEFINED,
            state,
            kind: spec.kind,
            actor: spec.launch.actor(),
        };
        running.chain(early).map(entry).collect()
    }

    fn count_children(&self, cx: &Context<Self>) -> ChildCounts {
        let rt = cx.runtime();
        let mut counts = ChildCounts::default();
        for (key, pid) in cx.children() {
            let Some(spec) = self.spec(key) else { continue };
            counts.specs += 1;
            counts.add(spec.kind, rt.is_alive(pid) && !self.is_restarting(key, cx));
        }
        for spec in self.early_specs() {
            counts.specs += 1;
            counts.add(spec.kind, false);
        }
        counts
    }

    /// Those that have no process. What becomes of one in its first start is not known yet.
    pub(in crate::dynamic) fn early_specs(&self) -> impl Iterator<Item = &Spec> {
        self.early.values().filter_map(|early| spec_of(&early.entry))
    }
}

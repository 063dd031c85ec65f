//! What a partition supervisor says of its children: to who asks, for a picture of the tree, and in reports.

use whitebeam_actor::{ChildKey, Context, Reply};

use super::process::{Event, Partition, Partitioned, Phase};
use crate::{
    ChildCounts, ChildEntry, ChildId, ChildKind, ChildState, NodeKind, NodeState,
    child::Spec,
    tree::{Brief, Looked, LookedChild, Looks},
};

impl Looks for Event {
    fn look(workers: usize, reply: Reply<Looked>) -> Self {
        Event::Look(workers, reply)
    }
}

/// A partition in a text: its index, and its id if that says more.
fn name(index: usize, id: &ChildId) -> String {
    if *id == ChildId::from(index) { index.to_string() } else { format!("{id}[{index}]") }
}

impl Partitioned {
    pub(super) fn name_of(&self, key: ChildKey) -> Option<String> {
        let index = *self.index_of.get(key.index())?;
        Some(name(index, &self.tree.children.lock().get(index)?.id))
    }

    pub(super) fn look(&self, workers: usize, cx: &Context<Self>) -> Looked {
        let mut looked = Looked::new(NodeKind::Partitions);
        looked.is_starting = self.starting > 0;
        let specs = self.tree.children.lock();
        for (index, (spec, child)) in specs.iter().zip(&self.children).enumerate() {
            let state = child.state(spec, cx);
            let pid = child.key.and_then(|key| cx.child_pid(key));
            let brief = Brief {
                is_supervisor: spec.kind == ChildKind::Supervisor,
                is_active: pid.is_some(),
                shutdown: spec.shutdown,
            };
            looked.add(workers, brief, || LookedChild {
                id: Some(name(index, &spec.id)),
                is_supervisor: spec.kind == ChildKind::Supervisor,
                actor: spec.launch.actor(),
                restart: spec.restart,
                shutdown: spec.shutdown,
                significant: false,
                state: match state {
                    ChildState::Running(_) => NodeState::Running,
                    ChildState::Restarting => NodeState::Restarting,
                    ChildState::Stopped => NodeState::Stopped,
                },
                pid,
                restarts: Some(child.attempt.saturating_sub(1)),
                address: spec.launch.address(),
            });
        }
        looked
    }

    pub(super) fn which_children(&self, cx: &Context<Self>) -> Vec<ChildEntry> {
        let specs = self.tree.children.lock();
        let children = specs.iter().zip(&self.children).enumerate();
        let describe = |(index, (spec, child)): (usize, (&Spec, &Partition))| ChildEntry {
            id: index.into(),
            state: child.state(spec, cx),
            kind: spec.kind,
            actor: spec.launch.actor(),
        };
        children.map(describe).collect()
    }

    pub(super) fn count_children(&self, cx: &Context<Self>) -> ChildCounts {
        let rt = cx.runtime();
        let mut counts = ChildCounts::default();
        for (spec, child) in self.tree.children.lock().iter().zip(&self.children) {
            counts.specs += 1;
            let pid = child.state(spec, cx).pid();
            counts.add(spec.kind, pid.is_some_and(|pid| rt.is_alive(pid)));
        }
        counts
    }
}

impl Partition {
    fn state(&self, spec: &Spec, cx: &Context<Partitioned>) -> ChildState {
        let is_starting = |key| match self.phase {
            // A supervisor has started when its children have, after its own `init`.
            Phase::Restarting if spec.kind == ChildKind::Supervisor => true,
            Phase::Failed if self.again.is_some() => true,
            _ => self.attempt > 1 && cx.is_child_starting(key),
        };
        match self.key.and_then(|key| Some((key, cx.child_pid(key)?))) {
            Some((key, _)) if is_starting(key) => ChildState::Restarting,
            Some((_, pid)) => ChildState::Running(pid),
            None if self.phase == Phase::Restarting => ChildState::Restarting,
            None => ChildState::Stopped,
        }
    }
}

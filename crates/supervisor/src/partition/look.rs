//! What a partition supervisor says of its children for a picture of the tree, and what it calls them in reports.

use whitebeam_actor::{ChildKey, Context, Reply};

use super::process::{Event, Partitioned};
use crate::{
    ChildId, ChildKind, NodeKind, NodeState,
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
                state: if pid.is_some() { NodeState::Running } else { NodeState::Stopped },
                pid,
                restarts: Some(child.attempt.saturating_sub(1)),
                address: spec.launch.address(),
            });
        }
        looked
    }
}

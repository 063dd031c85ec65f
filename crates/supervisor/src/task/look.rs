//! What a task supervisor says of its tasks for a picture of the tree.

use whitebeam_actor::Reply;

use super::process::{Record, Request, Tasks};
use crate::{
    NodeKind, NodeState, Restart,
    guard::Guarded,
    tree::{Brief, Looked, LookedChild, Looks},
};

impl Looks for Request {
    fn look(workers: usize, reply: Reply<Looked>) -> Self {
        Request::Look(workers, reply)
    }
}

impl Tasks {
    /// Takes time by the most tasks there were at once.
    pub(super) fn look(&self, most: usize) -> Looked {
        let mut looked = Looked::new(NodeKind::Tasks);
        for record in self.records.iter().flatten() {
            let brief = Brief { is_supervisor: false, is_active: true, shutdown: record.shutdown };
            looked.add(most, brief, || LookedChild {
                state: NodeState::Running,
                pid: Some(record.pid),
                ..record.describe()
            });
        }
        for record in self.failed.values() {
            let brief = Brief { is_supervisor: false, is_active: false, shutdown: record.shutdown };
            looked.add(most, brief, || record.describe());
        }
        looked
    }
}

impl Record {
    /// As one that has no process now, and is tried again.
    fn describe(&self) -> LookedChild {
        let again = self.again.as_deref().and_then(Guarded::get);
        LookedChild {
            id: None,
            is_supervisor: false,
            // The type of its body says where in this crate it is made.
            actor: "Task",
            restart: again.map_or(Restart::Temporary, |again| again.restart),
            shutdown: self.shutdown,
            significant: false,
            state: NodeState::Restarting,
            pid: None,
            restarts: Some(self.attempt.saturating_sub(1)),
            address: None,
        }
    }
}

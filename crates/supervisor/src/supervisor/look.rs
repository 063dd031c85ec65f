//! What a supervisor says of its children for a picture of the tree, and what it calls them in reports.

use whitebeam_actor::{ChildKey, Reply};

use super::{
    handle::ChildState,
    process::{Request, Strategy, Supervising},
    roster::{Entry, Place},
};
use crate::{
    ChildKind, NodeKind, NodeState,
    tree::{Brief, Looked, LookedChild, Looks},
};

impl Looks for Request {
    fn look(workers: usize, reply: Reply<Looked>) -> Self {
        Request::Look(workers, reply)
    }
}

impl Supervising {
    /// The id of a child that runs.
    pub(super) fn name_of(&self, key: ChildKey) -> Option<String> {
        let entry = self.children.get(*self.places.get(key.index())?)?;
        Some(entry.id.to_string())
    }

    /// Takes time by the number of the children.
    pub(super) fn look(&self, workers: usize) -> Looked {
        let mut looked = Looked::new(match self.tree.strategy {
            Strategy::OneForOne => NodeKind::OneForOne,
            Strategy::OneForAll => NodeKind::OneForAll,
            Strategy::RestForOne => NodeKind::RestForOne,
        });
        looked.is_starting = !self.has_begun;
        let mut next = self.children.oldest();
        while let Some(place) = next {
            next = self.children.after(place);
            let Some(entry) = self.children.get(place) else { continue };
            let brief = Brief {
                is_supervisor: entry.kind == ChildKind::Supervisor,
                is_active: entry.key().is_some(),
                shutdown: entry.shutdown,
            };
            looked.add(workers, brief, || self.looked(place, entry));
        }
        looked
    }

    fn looked(&self, place: Place, entry: &Entry) -> LookedChild {
        let is_starting = self.job.as_ref().is_some_and(|job| job.starts(place));
        let state = match self.state_of(place, entry) {
            _ if is_starting => NodeState::Starting,
            ChildState::Running(_) => NodeState::Running,
            ChildState::Restarting => NodeState::Restarting,
            ChildState::Stopped => NodeState::Stopped,
        };
        LookedChild {
            id: Some(entry.id.to_string()),
            is_supervisor: entry.kind == ChildKind::Supervisor,
            actor: entry.actor(),
            restart: entry.restart,
            shutdown: entry.shutdown,
            significant: entry.significant,
            state,
            pid: entry.pid(),
            restarts: Some(entry.attempt.saturating_sub(1)),
            address: entry.address(),
        }
    }
}

//! What a scenario that differs can be made smaller to.

use crate::scenario::{Id, Node, Scenario, Step};

impl Scenario {
    /// The scenarios with one step less, one node with all below it and the steps that name them, one supervisor whose
    /// children go to the one above it, or one start less that is not as others.
    pub(crate) fn smaller(&self) -> Vec<Scenario> {
        let without_step = (0..self.steps.len()).map(|without| {
            let mut smaller = self.clone();
            smaller.steps.remove(without);
            smaller
        });
        let can_go = |node: &&Node| {
            node.parent.is_some_and(|parent| node.is_spare || self.children(parent).count() > 1)
        };
        let without_node = self.nodes.iter().filter(can_go).map(|node| {
            let mut smaller = self.clone();
            smaller.nodes.retain(|other| !self.is_below(other.id, node.id));
            smaller.steps.retain(|step| step.nodes().iter().all(|id| !self.is_below(*id, node.id)));
            smaller
        });
        let without_level =
            self.nodes.iter().filter(|node| node.is_supervisor()).filter_map(|node| {
                let mut smaller = self.clone();
                smaller.nodes.retain(|other| other.id != node.id);
                for child in smaller.nodes.iter_mut().filter(|child| child.parent == Some(node.id))
                {
                    child.parent = Some(node.parent?);
                    child.is_spare |= node.is_spare;
                    // Its supervisor may be one that allows none.
                    child.significant = false;
                }
                smaller.steps.retain(|step| !step.nodes().contains(&node.id));
                Some(smaller)
            });
        let starts = self.nodes.iter().enumerate();
        let simpler = starts.flat_map(|(at, node)| (0..node.starts.len()).map(move |n| (at, n)));
        let simpler = simpler.map(|(at, without)| {
            let mut smaller = self.clone();
            smaller.nodes[at].starts.remove(without);
            smaller
        });
        without_level.chain(simpler).chain(without_step).chain(without_node).collect()
    }
}

impl Step {
    /// Whom it names.
    fn nodes(self) -> Vec<Id> {
        match self {
            Step::Ends(id, _) | Step::Exit(id, _) | Step::Stop(id, _) | Step::StartChild(id) => {
                vec![id]
            }
            Step::TerminateChild(of, id)
            | Step::RestartChild(of, id)
            | Step::DeleteChild(of, id)
            | Step::GetChildspec(of, id) => vec![of, id],
            Step::CountChildren(of) => vec![of],
            Step::Release => Vec::new(),
        }
    }
}

//! What a dynamic supervisor says of its children for a picture of the tree.

use whitebeam_actor::{Actor, Context, Reply};

use super::{
    mixed::{AnyRequest, Mixed},
    process::{Dynamic, Request},
    sort::Admin,
};
use crate::{
    AutoShutdown, ChildKind, NodeKind, NodeState,
    tree::{Brief, Looked, LookedChild, Looks, StopTime},
};

impl<A: Actor> Looks for Request<A> {
    fn look(workers: usize, reply: Reply<Looked>) -> Self {
        Admin::Look(workers, reply).into()
    }
}

impl Looks for AnyRequest {
    fn look(workers: usize, reply: Reply<Looked>) -> Self {
        Admin::Look(workers, reply).into()
    }
}

fn state(is_restarting: bool) -> NodeState {
    if is_restarting { NodeState::Restarting } else { NodeState::Running }
}

impl<A: Actor> Dynamic<A> {
    /// Takes time by the places of its children that it looks at, and no more for those that are only counted.
    pub(super) fn look(&self, most: usize, cx: &Context<Self>) -> Looked {
        let template = &self.template;
        let mut looked = Looked::new(NodeKind::Dynamic);
        let describe = |(state, pid)| LookedChild {
            id: None,
            is_supervisor: template.kind == ChildKind::Supervisor,
            actor: std::any::type_name::<A>(),
            restart: template.restart,
            shutdown: template.shutdown,
            significant: template.auto_shutdown != AutoShutdown::Never,
            state,
            pid,
            restarts: None,
            address: None,
        };
        let running = cx.first_children(most);
        looked.more_active = cx.child_count() - running.len();
        let running = running.into_iter();
        let running =
            running.map(|(key, pid)| (state(self.kept.is_restarting(key, cx)), Some(pid)));
        let waiting = self.waiting.iter().map(|_| (NodeState::Restarting, None));
        looked.children = running.chain(waiting).take(most).map(describe).collect();
        looked.more = self.len(cx) - looked.children.len();
        if looked.more_active > 0 {
            looked.more_stop_within = StopTime::of(template.shutdown);
        }
        looked
    }
}

impl Mixed {
    /// Takes time by the number of the children.
    pub(super) fn look(&self, most: usize, cx: &Context<Self>) -> Looked {
        let mut looked = Looked::new(NodeKind::Dynamic);
        let running = cx.children().into_iter().filter_map(|(key, pid)| {
            Some((self.spec(key)?, Some(pid), state(self.is_restarting(key, cx))))
        });
        let early = self.early_specs().map(|spec| (spec, None, NodeState::Restarting));
        for (spec, pid, state) in running.chain(early) {
            let is_supervisor = spec.kind == ChildKind::Supervisor;
            let brief = Brief { is_supervisor, is_active: pid.is_some(), shutdown: spec.shutdown };
            looked.add(most, brief, || LookedChild {
                id: None,
                is_supervisor,
                actor: spec.launch.actor(),
                restart: spec.restart,
                shutdown: spec.shutdown,
                significant: false,
                state,
                pid,
                restarts: None,
                address: spec.launch.address(),
            });
        }
        looked
    }
}

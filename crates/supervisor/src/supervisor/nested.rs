//! A supervisor as a child of another one.

use std::sync::Arc;

use parking_lot::Mutex;
use whitebeam_actor::{ChildSlot, ChildTag, SpawnOptions, StartError, StartInfo};

use super::{
    Supervising, Supervisor, SupervisorRef,
    process::{Request, Source, Tree},
};
use crate::{
    Child, ChildId, Nested, Restart, SpecError,
    child::{Launch, Launched, Parent, Sealed, Spec, launch_supervisor},
    tree::Asked,
};

struct NestedTree {
    /// Until it is checked, when the tree above is started.
    spec: Option<Supervisor>,
    tree: Option<Arc<Tree>>,
    slot: ChildSlot<Request>,
}

impl Launch for NestedTree {
    fn prepare(&mut self, _: &ChildId, _: Restart, workers: usize) -> Result<(), SpecError> {
        if let Some(spec) = self.spec.take() {
            self.tree = Some(spec.into_tree(workers)?);
        }
        Ok(())
    }

    fn launch(
        &mut self,
        parent: Parent<'_>,
        options: SpawnOptions,
        info: Option<StartInfo>,
    ) -> Launched {
        let Some(tree) = self.tree.clone() else {
            // It was prepared, so it was forgotten: a temporary one has one start.
            return Launched::refused(StartError::Ignore);
        };
        let source = Source::Tree(tree);
        launch_supervisor::<Supervising, _>(parent, &self.slot, source, options, info)
    }

    fn gone(&self) {
        self.slot.gone();
        if let Some(tree) = &self.tree {
            tree.children.iter().for_each(|child| child.lock().launch.gone());
        }
    }

    /// The tree is its incarnation's alone from now on: its children are gone with that.
    fn forget(&mut self) {
        self.tree = None;
    }

    fn take_below(&mut self) -> Vec<Arc<Mutex<Spec>>> {
        let tree = self.tree.take().and_then(Arc::into_inner);
        tree.map(|tree| tree.children).unwrap_or_default()
    }

    fn tag(&self) -> ChildTag {
        self.slot.tag()
    }

    fn actor(&self) -> &'static str {
        std::any::type_name::<Supervising>()
    }

    fn address(&self) -> Option<Box<dyn Asked>> {
        Some(Box::new(self.slot.child()))
    }
}

impl Nested for Supervisor {
    type Handle = SupervisorRef;

    fn into_child(mut self, id: ChildId, _: Sealed) -> Child<SupervisorRef> {
        let options = std::mem::take(&mut self.options);
        let launch = NestedTree { spec: Some(self), tree: None, slot: ChildSlot::new() };
        let handle = SupervisorRef::new(launch.slot.child());
        Child::supervisor(id, handle, options, launch)
    }
}

//! Specs that no start needs any more: freed one by one, with those below them.
//!
//! The spec of a nested supervisor holds the specs of its children. As one value a large tree would be freed in one turn;
//! here others get theirs after each [`BATCH`].

use std::sync::Arc;

use parking_lot::Mutex;
use whitebeam_actor::yield_now;

use super::process::BATCH;
use crate::child::Spec;

/// What is left to be freed. What it holds when it is dropped itself goes at once.
#[derive(Default)]
pub(super) struct Litter(Vec<Vec<Arc<Mutex<Spec>>>>);

impl Litter {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Frees a spec now, unless others have it; those below it later.
    pub(super) fn free(&mut self, spec: Arc<Mutex<Spec>>) {
        if let Some(spec) = Arc::into_inner(spec) {
            self.free_own(spec.into_inner());
        }
    }

    /// As [`free`](Self::free).
    pub(super) fn free_own(&mut self, mut spec: Spec) {
        self.add(spec.launch.take_below());
    }

    pub(super) fn add(&mut self, specs: Vec<Arc<Mutex<Spec>>>) {
        if !specs.is_empty() {
            self.0.push(specs);
        }
    }

    /// Frees all of it. May be dropped half way: the rest is here then.
    pub(super) async fn clear(&mut self) {
        let mut steps = 0;
        while let Some(specs) = self.0.last_mut() {
            match specs.pop() {
                Some(spec) => self.free(spec),
                None => drop(self.0.pop()),
            }
            steps += 1;
            if steps % BATCH == 0 {
                yield_now().await;
            }
        }
    }
}

//! The room for tasks, counted without their supervisor.

use std::sync::Arc;

use whitebeam_sync::shim::atomic::{AtomicUsize, Ordering};

/// The room for tasks: shared by all handles of one supervisor, over its restarts.
#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// Room for one task.
pub(super) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Places { taken: Arc::new(AtomicUsize::new(0)), most }
    }

    /// `None`: there is none left.
    pub(super) fn take(&self) -> Option<Place> {
        // Relaxed: who was told that a task has ended is told behind the release of its place, by the answer. One that is
        // refused does not count for a moment: it would have others refused.
        let one_more = |taken: usize| (taken < self.most).then(|| taken + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Place(Arc::clone(&self.taken)))
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use whitebeam_sync::shim::{atomic::AtomicBool, thread};

    use super::*;

    /// One that is refused is not seen: it would have others refused that have room.
    #[test]
    fn there_are_never_more_than_there_may_be() {
        let places = Places::new(1);
        let kept = places.take();
        let is_over = Arc::new(AtomicBool::new(false));
        let (theirs, over) = (places.clone(), Arc::clone(&is_over));
        let others = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                assert!(theirs.take().is_none());
            }
        });
        for _ in 0..100_000 {
            assert_eq!(places.taken(), 1);
        }
        is_over.store(true, Ordering::Relaxed);
        others.join().unwrap();
        drop(kept);
        assert!(places.take().is_some());
        assert_eq!(places.taken(), 0);
    }
}

//! The room for tasks, counted without their supervisor. There is none while that stops its children.

use std::sync::Arc;

use whitebeam_actor::StartError;
use whitebeam_sync::shim::atomic::{AtomicUsize, Ordering};

/// Beside the number of those that are taken: none is given.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// The room for tasks: shared by all handles of one supervisor, over its restarts.
#[derive(Clone)]
pub(crate) struct Places {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// Room for one task.
pub(super) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(super) fn new(most: usize) -> Self {
        // What is more than this is closed.
        Places { taken: Arc::new(AtomicUsize::new(0)), most: most.min(CLOSED) }
    }

    /// # Errors
    /// There is none left, or none is given any more.
    pub(super) fn take(&self) -> Result<Place, StartError> {
        // Relaxed: who was told that a task has ended is told behind the release of its place, by the answer. One that is
        // refused does not count for a moment: it would have others refused.
        let one_more = |taken: usize| (taken < self.most).then(|| taken + 1);
        match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Place(Arc::clone(&self.taken))),
            Err(taken) if taken & CLOSED != 0 => Err(StartError::NoSupervisor),
            Err(_) => Err(StartError::MaxChildren),
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed) & !CLOSED
    }

    /// Gives none any more.
    pub(super) fn close(&self) {
        self.taken.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// Whether none is given: the supervisor stops its tasks, or has ended so and is to be restarted.
    pub(super) fn is_closed(&self) -> bool {
        self.taken.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// There is another supervisor.
    pub(super) fn open(&self) {
        self.taken.fetch_and(!CLOSED, Ordering::Relaxed);
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
                assert!(matches!(theirs.take(), Err(StartError::MaxChildren)));
            }
        });
        for _ in 0..100_000 {
            assert_eq!(places.taken(), 1);
        }
        is_over.store(true, Ordering::Relaxed);
        others.join().unwrap();
        drop(kept);
        assert!(places.take().is_ok());
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn the_closed_give_none_and_count_on() {
        let places = Places::new(usize::MAX);
        let (first, second) = (places.take(), places.take());
        places.close();
        assert!(matches!(places.take(), Err(StartError::NoSupervisor)));
        assert_eq!(places.taken(), 2);
        drop(first);
        places.open();
        let third = places.take();
        assert_eq!(places.taken(), 2);
        drop((second, third));
        assert_eq!(places.taken(), 0);
    }
}

//! Wakers for many futures that one future polls: only those that were woken are polled again.
//!
//! ```text
//! waker of place n    marked already? nothing. Else n into the queue, then wakes who polls
//! who polls           leaves its waker, then takes the queue; clears the mark of each before it is polled
//! ```
//!
//! A wake-up during a poll marks and queues again. Who polls leaves its waker ahead of taking the queue, so that what is
//! queued later wakes it.

use std::{
    sync::Arc,
    task::{Context as TaskContext, Wake, Waker},
};

use whitebeam_sync::shim::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

struct Shared {
    queue: Mutex<Queue>,
}

struct Queue {
    places: Vec<usize>,
    /// Of who polls.
    waker: Option<Waker>,
}

struct Place {
    shared: Arc<Shared>,
    number: usize,
    is_queued: AtomicBool,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: the poll that clears the mark sees what was done before this.
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let waker = {
            let mut queue = self.shared.queue.lock();
            queue.places.push(self.number);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The places of one poller, numbered from 0.
pub(crate) struct Wakes {
    shared: Arc<Shared>,
    places: Vec<(Arc<Place>, Waker)>,
}

impl Wakes {
    pub(crate) fn new() -> Self {
        let queue = Queue { places: Vec::new(), waker: None };
        Wakes { shared: Arc::new(Shared { queue: Mutex::new(queue) }), places: Vec::new() }
    }

    /// The places that were woken, and new ones. Who polls with `cx` is woken for those that come later.
    pub(crate) fn take(&self, cx: &TaskContext<'_>) -> Vec<usize> {
        let waker = cx.waker().clone();
        let (places, _before) = {
            let mut queue = self.shared.queue.lock();
            (std::mem::take(&mut queue.places), queue.waker.replace(waker))
        };
        places
    }

    /// The waker of a place, which is about to be polled: who wakes it from now on queues it again.
    pub(crate) fn waker(&mut self, number: usize) -> &Waker {
        while self.places.len() <= number {
            let number = self.places.len();
            let shared = Arc::clone(&self.shared);
            let place = Arc::new(Place { shared, number, is_queued: AtomicBool::new(false) });
            let waker = Waker::from(Arc::clone(&place));
            self.places.push((place, waker));
        }
        let (place, waker) = &self.places[number];
        place.is_queued.swap(false, Ordering::AcqRel);
        waker
    }
}

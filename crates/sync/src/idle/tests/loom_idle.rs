//! The model of both cases of "no work is lost".
//!
//! A worker that has taken an entry stays in its handler until everything was taken: the worst
//! handler there is. So when an entry's wake-up is lost, nobody is left to take it, and loom reports
//! the deadlock.

use super::super::{Idle, Rest, Wake};
use crate::shim::atomic::{AtomicUsize, Ordering};
use crate::shim::{Arc, Condvar, Mutex, thread};

struct World {
    idle: Idle,
    /// Entries of the shared queue.
    shared: AtomicUsize,
    /// Entries of the queue of worker 0, which thieves can reach.
    local: AtomicUsize,
    /// Entries that nobody took yet.
    left: Mutex<usize>,
    changed: Condvar,
}

impl World {
    fn new(workers: usize, entries: usize) -> Arc<Self> {
        Self::with_spares(workers, 0, entries)
    }

    fn with_spares(workers: usize, spares: usize, entries: usize) -> Arc<Self> {
        Arc::new(World {
            idle: Idle::with_spares(workers, spares),
            shared: AtomicUsize::new(0),
            local: AtomicUsize::new(0),
            left: Mutex::new(entries),
            changed: Condvar::new(),
        })
    }

    fn push_outside(&self) {
        self.shared.fetch_add(1, Ordering::Release);
        let wake = self.idle.look_after_push();
        self.idle.notify(wake);
    }

    /// Of a worker, on its own queue.
    fn push(&self) {
        self.local.fetch_add(1, Ordering::Release);
        if self.idle.look() == Wake::Recruit {
            self.idle.recruit();
        }
    }

    fn take(&self) -> bool {
        [&self.shared, &self.local].into_iter().any(|queue| {
            queue
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |entries| entries.checked_sub(1))
                .is_ok()
        })
    }

    fn is_work(&self) -> bool {
        self.shared.load(Ordering::Relaxed) + self.local.load(Ordering::Relaxed) != 0
    }

    /// The handler that waits for all the others.
    fn run(&self) {
        let mut left = self.left.lock();
        *left -= 1;
        self.changed.notify_all();
        while *left != 0 {
            left = self.changed.wait(left);
        }
        drop(left);
        // The end of the scheduler: nobody sleeps for ever.
        self.idle.unpark_all();
    }

    fn is_over(&self) -> bool {
        *self.left.lock() == 0
    }

    /// A worker's life from the moment when it has no work, until it has run one entry or all is over.
    fn work(&self, me: usize) {
        if self.idle.rest(me) == Rest::Asleep {
            while self.idle.is_asleep(me) {
                self.idle.park(me, None);
                if self.is_over() {
                    return;
                }
            }
        }
        while !self.take() {
            if self.is_over() {
                return;
            }
            let active = self.idle.nap();
            if !self.is_work() && !self.is_over() {
                if active == 0 {
                    self.idle.park(me, None);
                } else {
                    // A bounded nap: time passes.
                    thread::yield_now();
                }
            }
            self.idle.rise();
        }
        if self.idle.leave() && self.is_work() {
            self.idle.recruit();
        }
        self.run();
    }
}

fn model(bound: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(body);
}

#[test]
fn push_from_outside_wakes_the_sentinel() {
    model(4, || {
        let world = World::new(1, 1);
        let worker = thread::spawn({
            let world = Arc::clone(&world);
            move || world.work(0)
        });
        world.push_outside();
        worker.join().unwrap();
    });
}

#[test]
fn second_push_from_outside_wakes_a_sleeper() {
    model(3, || {
        let world = World::new(2, 2);
        let workers = [0, 1].map(|me| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.work(me))
        });
        world.push_outside();
        world.push_outside();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn push_of_a_busy_worker_finds_help() {
    model(2, || {
        // Worker 0 is this thread: active, it pushes two entries and stays in its handler.
        let world = World::new(3, 3);
        let workers = [1, 2].map(|me| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.work(me))
        });
        world.push();
        world.push();
        world.run();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn push_of_a_spare_finds_help() {
    model(4, || {
        // The spare is this thread: it pushes an entry, and stays in its handler.
        let world = World::with_spares(1, 1, 2);
        let worker = thread::spawn({
            let world = Arc::clone(&world);
            move || world.work(0)
        });
        world.idle.join();
        world.push();
        world.run();
        worker.join().unwrap();
    });
}

#[test]
fn what_a_spare_leaves_behind_is_found() {
    model(4, || {
        let world = World::with_spares(1, 1, 1);
        world.idle.join();
        let worker = thread::spawn({
            let world = Arc::clone(&world);
            move || world.work(0)
        });
        world.shared.fetch_add(1, Ordering::Release);
        world.idle.part();
        if world.is_work() {
            let wake = world.idle.look_after_push();
            world.idle.notify(wake);
        }
        worker.join().unwrap();
    });
}

#[test]
fn a_spare_that_rested_is_roused_or_leaves_the_post() {
    model(3, || {
        let world = World::with_spares(1, 1, 1);
        world.idle.join();
        let worker = thread::spawn({
            let world = Arc::clone(&world);
            move || world.work(0)
        });
        let outside = thread::spawn({
            let world = Arc::clone(&world);
            move || world.push_outside()
        });
        // It rests, and is relieved at once.
        if world.idle.rest(1) == Rest::Sentinel || !world.idle.rouse(1) {
            let is_vacant = world.idle.leave();
            if is_vacant && world.is_work() {
                world.idle.recruit();
            }
        }
        world.idle.part();
        if world.is_work() {
            let wake = world.idle.look_after_push();
            world.idle.notify(wake);
        }
        outside.join().unwrap();
        worker.join().unwrap();
    });
}

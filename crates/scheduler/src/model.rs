//! The scheduler of a loom model, which has no workers: the model's threads play them.
//!
//! What a thread schedules waits in a queue of that thread's, and runs there when the model says so. Nobody
//! steals: a target comes to another thread by what its own protocol says, or because the model
//! [takes](Model::take) it there. So no queue's locks and fences order what the protocol has to order itself.
//!
//! Time stands still, unless the model moves it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use whitebeam_sync::shim::thread_local;

use crate::blocking::Pool;
use crate::clock::{Clock, TickRate};
use crate::handle::Handle;
use crate::runnable::Runnable;
use crate::shared::{Shared, Tuning};
use crate::turn::{Desk, Turn};

thread_local! {
    /// What this thread of the model has scheduled.
    static QUEUE: RefCell<VecDeque<Runnable>> = const { RefCell::new(VecDeque::new()) };
}

/// Messages per turn: more than a model sends.
const BUDGET: u32 = 128;

/// A scheduler without workers, for models under `cfg(loom)`.
#[derive(Debug)]
pub struct Model {
    handle: Handle,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// Nothing is scheduled, and it is the start of time.
    #[must_use]
    pub fn new() -> Self {
        let tuning = Tuning {
            budget: BUDGET,
            slice: 0,
            age: 0,
            spin: 0,
            timer_slack: Duration::ZERO,
            spares: 0,
        };
        let clock = Clock::simulated();
        let blocking = Pool::new(None);
        let shared = Shared::new(clock, tuning, TickRate::NONE, Box::new([]), 0, blocking, None);
        Model { handle: Handle::new(shared) }
    }

    /// The handle, as a real scheduler's.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Takes the oldest of what this thread has scheduled, to be run by another.
    #[must_use]
    pub fn take(&self) -> Option<Runnable> {
        QUEUE.with(|queue| queue.borrow_mut().pop_front())
    }

    /// Runs `runnable` for one turn. What is left of it is scheduled on this thread.
    pub fn run(&self, runnable: Runnable) {
        let coarse = Cell::new(self.handle.now().as_nanos());
        let desk = Desk { worker: 0, budget: BUDGET, slice: 0, coarse };
        if let Some(again) = runnable.run(&mut Turn::new(&desk)).settled() {
            push(again);
        }
    }

    /// Runs what this thread has scheduled, oldest first, until nothing is left.
    pub fn run_all(&self) {
        while let Some(runnable) = self.take() {
            self.run(runnable);
        }
    }

    /// Lets time pass. Timers that are due then are [fired](Handle::fire_timers) by who asks for it.
    pub fn advance(&self, by: Duration) {
        self.handle.shared().clock.move_to(self.handle.now() + by);
    }
}

fn push(runnable: Runnable) {
    QUEUE.with(|queue| queue.borrow_mut().push_back(runnable));
}

impl Shared {
    pub(crate) fn schedule_outside(&self, runnable: Runnable) {
        push(runnable);
    }

    pub(crate) fn schedule_batch_outside(&self, batch: impl Iterator<Item = Runnable>) {
        batch.for_each(push);
    }
}

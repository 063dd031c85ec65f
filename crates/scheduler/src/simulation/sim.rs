//! The state of a simulation and what a step does.
//!
//! The lock is never held while user code runs or anything of the user's is dropped: both may schedule.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use whitebeam_sync::shim::atomic::{AtomicBool, Ordering};

use crate::choice::{Choices, Point, Waiting, mix};
use crate::clock::Time;
use crate::coop::InStep;
use crate::runnable::Runnable;
use crate::shared::Shared;
use crate::timer::Entry;
use crate::timers::NEVER;
use crate::turn::{Desk, Turn};

/// Messages per turn at most, as on a real scheduler.
const BUDGET: usize = 128;

/// What stands in for the workers.
pub(crate) struct Sim {
    state: Mutex<State>,
    /// Told when a step or a take-over ends, if somebody took over.
    free: Condvar,
}

struct State {
    queue: VecDeque<Runnable>,
    choices: Box<dyn Choices>,
    /// Hash of all choices so far.
    digest: u64,
    steps: u64,
    step_cost: Duration,
    /// The thread that is inside a step.
    stepping: Option<ThreadId>,
    /// The thread that ends the simulation: others wait until it has.
    taken_over: Option<ThreadId>,
}

impl Sim {
    pub(super) fn new(choices: Box<dyn Choices>) -> Self {
        let state = State {
            queue: VecDeque::new(),
            choices,
            digest: 0,
            steps: 0,
            step_cost: Duration::ZERO,
            stepping: None,
            taken_over: None,
        };
        Sim { state: Mutex::new(state), free: Condvar::new() }
    }

    pub(crate) fn push(&self, runnable: Runnable) {
        self.state.lock().queue.push_back(runnable);
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    pub(crate) fn choose(&self, point: Point, of: usize) -> usize {
        self.state.lock().choose(point, of)
    }

    pub(crate) fn is_stepping_here(&self) -> bool {
        self.state.lock().stepping == Some(thread::current().id())
    }

    pub(crate) fn drain(&self, mut f: impl FnMut(Runnable)) {
        loop {
            let next = self.state.lock().queue.pop_front();
            match next {
                Some(runnable) => f(runnable),
                None => return,
            }
        }
    }

    pub(super) fn set_step_cost(&self, cost: Duration) {
        self.state.lock().step_cost = cost;
    }

    pub(super) fn digest(&self) -> u64 {
        self.state.lock().digest
    }

    pub(super) fn steps(&self) -> u64 {
        self.state.lock().steps
    }

    /// Marks this thread as being inside a step, until the guard is dropped.
    fn enter(&self) -> Stepping<'_> {
        let here = thread::current().id();
        let mut state = self.state.lock();
        while state.taken_over.is_some_and(|thread| thread != here) {
            self.free.wait(&mut state);
        }
        assert!(
            state.stepping.is_none(),
            "a simulation is run by one thread at a time, and not from inside itself"
        );
        state.stepping = Some(here);
        Stepping { sim: self }
    }

    /// See [`Simulation::take_over`](super::Simulation::take_over).
    pub(super) fn take_over(&self, within: Duration) -> bool {
        let here = thread::current().id();
        let mut state = self.state.lock();
        if state.stepping == Some(here) {
            return false;
        }
        state.taken_over = Some(here);
        let is_inside = |state: &mut State| state.stepping.is_some();
        self.free.wait_while_for(&mut state, is_inside, within);
        let is_free = state.stepping.is_none();
        if !is_free {
            state.taken_over = None;
            self.free.notify_all();
        }
        is_free
    }

    /// Ends what [`take_over`](Self::take_over) began.
    pub(super) fn hand_back(&self) {
        self.state.lock().taken_over = None;
        self.free.notify_all();
    }
}

impl State {
    fn choose(&mut self, point: Point, of: usize) -> usize {
        let chosen = self.choices.choose(point, of).min(of - 1);
        self.note(point, of, chosen)
    }

    /// Adds a choice to the digest.
    fn note(&mut self, point: Point, of: usize, chosen: usize) -> usize {
        for part in [point as u64, of as u64, chosen as u64] {
            self.digest = mix(self.digest ^ part).wrapping_add(1);
        }
        chosen
    }

    fn take_next(&mut self) -> Option<(Runnable, u32)> {
        let waiting = self.queue.len();
        if waiting == 0 {
            return None;
        }
        let at = if waiting == 1 {
            0
        } else {
            let chosen = self.choices.next(Waiting(&self.queue)).min(waiting - 1);
            self.note(Point::Next, waiting, chosen)
        };
        // The place is filled by the front, so that always choosing 0 is first in, first out.
        let runnable = self.queue.swap_remove_front(at)?;
        self.steps += 1;
        Some((runnable, 1 + self.choose(Point::Budget, BUDGET) as u32))
    }
}

impl Sim {
    /// Which of so many blocking jobs is to end now, if one is: that is chosen, if anything else can run.
    fn job_first(&self, jobs: usize) -> Option<usize> {
        if jobs == 0 {
            return None;
        }
        let mut state = self.state.lock();
        if !state.queue.is_empty() && state.choose(Point::Completion, 2) == 0 {
            return None;
        }
        state.steps += 1;
        Some(if jobs == 1 { 0 } else { state.choose(Point::Completion, jobs) })
    }
}

struct Stepping<'a> {
    sim: &'a Sim,
}

impl Drop for Stepping<'_> {
    fn drop(&mut self) {
        let mut state = self.sim.state.lock();
        state.stepping = None;
        if state.taken_over.is_some() {
            self.sim.free.notify_all();
        }
    }
}

/// The simulation behind `shared`.
pub(super) fn of(shared: &Shared) -> &Sim {
    shared.sim.as_ref().expect("only a simulation comes here")
}

/// One turn of one runnable, or one blocking job.
pub(super) fn step(shared: &Shared) -> bool {
    let sim = of(shared);
    // First of all: who may not step takes nothing out of the queue either.
    let stepping = sim.enter();
    if let Some(job) = sim.job_first(shared.blocking.waiting()) {
        // Not inside a step: it may wait for what is simulated, as on a thread of its own.
        drop(stepping);
        shared.blocking.run_here(job);
        return true;
    }
    let (next, cost) = {
        let mut state = sim.state.lock();
        (state.take_next(), state.step_cost)
    };
    let Some((runnable, budget)) = next else { return false };
    let now = shared.clock.now() + cost;
    shared.clock.move_to(now);
    let desk = Desk { worker: 0, budget, slice: 0, coarse: Cell::new(now.as_nanos()) };
    let in_step = InStep::enter();
    let again = runnable.run(&mut Turn::new(&desk)).settled();
    drop((in_step, stepping));
    if let Some(again) = again {
        sim.push(again);
        // The run may have dropped the simulation.
        shared.drop_if_closed();
    }
    if !cost.is_zero() {
        fire_due(shared);
    }
    true
}

pub(super) fn next_timer(shared: &Shared) -> Option<Time> {
    let next = shared.timers.next();
    (next != NEVER).then_some(Time::from_nanos(next))
}

/// Moves the clock to the next deadline and fires what is due then; `false` when there is none.
pub(super) fn fire_next(shared: &Shared) -> bool {
    let Some(next) = next_timer(shared) else { return false };
    shared.clock.move_to(next);
    fire_due(shared);
    true
}

/// Fires what is due now; those of one deadline in an order that is chosen.
fn fire_due(shared: &Shared) {
    let sim = of(shared);
    let _stepping = sim.enter();
    let mut due = Vec::new();
    shared.timers.take_due(0, shared.clock.now(), &mut due);
    let mut due: VecDeque<(u64, Entry)> = due.into();
    while let Some(&(deadline, _)) = due.front() {
        let ties = due.iter().take_while(|(other, _)| *other == deadline).count();
        let at = if ties == 1 { 0 } else { sim.choose(Point::Timer, ties) };
        if let Some((deadline, entry)) = due.remove(at) {
            entry.expire.expire(entry.token, deadline);
        }
    }
}

/// Set when the driven future was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs the simulation until `future` is ready.
pub(crate) fn drive<F: Future>(shared: &Shared, future: F) -> F::Output {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    loop {
        if woken.0.swap(false, Ordering::Acquire) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
            continue;
        }
        // Woken meanwhile: another thread has run something, or has ended it all.
        if !step(shared) && !fire_next(shared) && !woken.0.load(Ordering::Acquire) {
            panic!(
                "the simulation stands still at {:?} after {} steps: nothing is runnable, no timer is set, \
                 and the future still waits",
                shared.clock.now(),
                of(shared).steps(),
            );
        }
    }
}

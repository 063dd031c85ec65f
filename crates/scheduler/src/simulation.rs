//! The scheduler without threads: one seed, one thread, virtual time.
//!
//! A [`Simulation`] gives the same [`Handle`] as a real scheduler. Whatever is scheduled goes into one
//! queue; [`step`](Simulation::step) runs one of it, and everything that could go one way or another is
//! chosen by a [`Choices`] value, by default a generator with a seed: which runnable is next, after how many
//! messages its turn ends, which of two timers due at one moment fires first, and what crates above ask
//! for. So a run is a function of the program and the seed.
//!
//! # Time
//!
//! The clock stands still while anything can run, and moves to the next deadline when nothing can, and when
//! the caller [advances](Simulation::advance) it. A program that never rests therefore never sees time
//! pass; [`step_cost`](Simulation::step_cost) makes each step take some.
//!
//! # What it can't see
//!
//! Interleavings inside one run: a handler is atomic here. The lock-free parts have loom for that.

mod sim;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::blocking::Pool;
use crate::choice::{Choices, Seeded};
use crate::clock::{Clock, TickRate, Time};
use crate::handle::Handle;
use crate::runnable::Runnable;
use crate::shared::{Shared, Tuning};

pub(crate) use self::sim::{Sim, drive};

/// A scheduler that runs on the calling thread, seeded, with virtual time.
///
/// Everything that could go one way or another is chosen by a [`Choices`] value, so that a run is a function
/// of the program and the seed. The clock stands still while anything can run, and moves to the next deadline when
/// nothing can. A run of a target is atomic: what threads do to each other inside one is not simulated.
///
/// ```
/// use std::time::Duration;
/// use whitebeam_scheduler::Simulation;
///
/// let mut simulation = Simulation::new(42);
/// let handle = simulation.handle().clone();
/// let sleeper = handle.spawn({
///     let handle = handle.clone();
///     async move { handle.sleep(Duration::from_secs(3_600)).await }
/// });
/// simulation.block_on(sleeper); // an hour, at once
/// assert_eq!(handle.now().as_nanos(), 3_600_000_000_000);
/// ```
pub struct Simulation {
    handle: Handle,
}

impl Simulation {
    /// A simulation whose choices are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_choices(Box::new(Seeded::new(seed)))
    }

    /// A simulation with a chooser of the user's: one that replays a list, or tries all.
    ///
    /// The chooser is called with the simulation's state locked: it must not use the handle.
    #[must_use]
    pub fn with_choices(choices: Box<dyn Choices>) -> Self {
        let tuning =
            Tuning { budget: 0, slice: 0, age: 0, spin: 0, timer_slack: Duration::ZERO, spares: 0 };
        let sim = Sim::new(choices);
        let (clock, blocking) = (Clock::simulated(), Pool::new(None));
        let none = Box::new([]);
        let shared = Shared::new(clock, tuning, TickRate::NONE, none, 0, blocking, Some(sim));
        Simulation { handle: Handle::new(shared) }
    }

    /// The handle, as a real scheduler's.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Lets each step take `cost` of virtual time from now on (none at the beginning).
    pub fn step_cost(&mut self, cost: Duration) {
        self.sim().set_step_cost(cost);
    }

    /// Runs one runnable for one turn, or one closure of [`Handle::spawn_blocking`]; `false` when there is neither.
    ///
    /// # Panics
    ///
    /// With whatever panic leaves the runnable. (A real worker counts it and goes on.)
    pub fn step(&mut self) -> bool {
        sim::step(self.shared())
    }

    /// Runs until nothing is runnable, without moving the clock.
    pub fn run_until_idle(&mut self) {
        while self.step() {}
    }

    /// Moves the clock to the next deadline, unless that is past already, and fires what is due then; `false`
    /// when no timer is set.
    pub fn fire_next(&mut self) -> bool {
        sim::fire_next(self.shared())
    }

    /// How many timers are set and have not fired.
    #[must_use]
    pub fn pending_timers(&self) -> usize {
        self.shared().timers.len()
    }

    /// Moves the clock by `by`, deadline by deadline; runs what can run before the first one, after each,
    /// and at the end.
    pub fn advance(&mut self, by: Duration) {
        let target = self.handle.now() + by;
        self.run_until_idle();
        while self.next_timer().is_some_and(|next| next <= target) {
            sim::fire_next(self.shared());
            self.run_until_idle();
        }
        self.shared().clock.move_to(target);
    }

    /// Keeps other threads, which may drive this through a handle, out of it until it is dropped: they wait for
    /// that. Waits for at most `within` of real time for one that is inside a step.
    ///
    /// `false`: it is still there, and nobody is kept out. At once if that is the calling thread.
    pub fn take_over(&mut self, within: Duration) -> bool {
        self.sim().take_over(within)
    }

    /// Hands over what is queued, in order, to run nowhere.
    pub fn drain(&mut self, f: impl FnMut(Runnable)) {
        self.shared().drain(f);
    }

    /// When the next timer is due, at the latest; `None` when there is none.
    #[must_use]
    pub fn next_timer(&self) -> Option<Time> {
        sim::next_timer(self.shared())
    }

    /// Runs until `future` is ready; moves the clock to the next deadline when nothing else is left.
    ///
    /// # Panics
    ///
    /// When neither a runnable nor a timer is left and the future still waits.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        drive(self.shared(), future)
    }

    /// A number that stands for all choices made so far: two runs that agree in it went the same way.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.sim().digest()
    }

    /// How many runs there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.sim().steps()
    }

    fn shared(&self) -> &Shared {
        self.handle.shared()
    }

    fn sim(&self) -> &Sim {
        sim::of(self.shared())
    }
}

impl Drop for Simulation {
    /// Drops what is queued: plain tasks are cancelled.
    fn drop(&mut self) {
        self.shared().close();
        self.sim().hand_back();
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("now", &self.handle.now())
            .field("steps", &self.steps())
            .finish_non_exhaustive()
    }
}

//! A simulated runtime, step by step.

use std::{fmt, sync::Arc, time::Duration};

use whitebeam_scheduler::{Choices, Simulation, Time};

use super::Observer;
use crate::{BuildError, Runtime, local::StandIn, shared::Settings};

/// The engine of a simulated runtime, in the hands of who drives it: [`Runtime::steps`].
pub struct Steps<'a> {
    simulation: &'a mut Simulation,
}

impl Steps<'_> {
    /// Runs one process or task for one turn; `false` when none is runnable.
    pub fn step(&mut self) -> bool {
        self.simulation.step()
    }

    /// Moves the clock to the next deadline and fires what is due then; `false` when no timer is set.
    pub fn fire_next(&mut self) -> bool {
        self.simulation.fire_next()
    }

    /// When the next timer is due, since the runtime's start; `None` when none is set.
    pub fn next_timer(&self) -> Option<Duration> {
        self.simulation.next_timer().map(|at| at.saturating_since(Time::ZERO))
    }

    /// Timers that are set and have not fired.
    pub fn pending_timers(&self) -> usize {
        self.simulation.pending_timers()
    }

    /// Moves the clock by `by`; fires what is due meanwhile and runs what can run.
    pub fn advance(&mut self, by: Duration) {
        self.simulation.advance(by);
    }

    /// Turns so far.
    pub fn count(&self) -> u64 {
        self.simulation.steps()
    }

    /// A number that stands for all choices made so far.
    pub fn digest(&self) -> u64 {
        self.simulation.digest()
    }
}

impl Runtime {
    /// A simulated runtime with a chooser of one's own and an observer, which is held weakly.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use whitebeam_actor::{Runtime, simulate::{Event, Observer, Seeded}};
    ///
    /// struct Silent;
    /// impl Observer for Silent {
    ///     fn observe(&self, _now: Duration, _event: Event<'_>) {}
    /// }
    ///
    /// let observer: Arc<dyn Observer> = Arc::new(Silent);
    /// let rt = Runtime::observed(Box::new(Seeded::new(3)), &observer)?;
    /// rt.steps(|steps| assert!(!steps.step(), "nothing is runnable yet"));
    /// # Ok::<_, whitebeam_actor::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// No tag for pids is left.
    pub fn observed(
        choices: Box<dyn Choices>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Runtime, BuildError> {
        Self::simulation(Simulation::with_choices(choices), Some(observer), Settings::default())
    }

    /// Gives `f` the engine of a simulated runtime, to be driven on this thread.
    ///
    /// # Panics
    /// If the runtime is not simulated. Inside `f`, if a run of a step panics.
    pub fn steps<R>(&self, f: impl FnOnce(&mut Steps<'_>) -> R) -> R {
        let Some(simulation) = self.engine() else {
            panic!("a runtime on threads takes its steps by itself");
        };
        let _worker = StandIn::enter(self.shared());
        f(&mut Steps { simulation: &mut simulation.lock() })
    }
}

impl fmt::Debug for Steps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("count", &self.count()).finish_non_exhaustive()
    }
}

//! A test, run many times in simulated runtimes.

mod drive;
mod orders;
mod replay;

use std::{future::Future, ops::RangeInclusive, panic::Location, time::Duration};

use crate::{
    failure::{Failure, Leaks, Outcome, Report},
    fault::Faults,
    runtime::TestRuntime,
    strategy::Strategy,
};

/// Runs at least as many seeds as this environment variable says.
pub const SEEDS_VARIABLE: &str = "WHITEBEAM_SEEDS";
/// Runs only the seed that this environment variable says.
pub const SEED_VARIABLE: &str = "WHITEBEAM_SEED";
/// Runs only the order that this environment variable says: of a test with [`Sim::all_orders`].
pub const ORDER_VARIABLE: &str = "WHITEBEAM_ORDER";

/// Runs a test in simulated runtimes, once for each of 64 seeds: [`Sim`] with its defaults.
///
/// ```
/// use std::time::Duration;
/// use whitebeam_testkit::{Probe, sim};
///
/// # /*
/// #[test]
/// # */
/// fn a_probe_sees_what_it_is_sent() {
///     sim(|rt| async move {
///         let mut probe = Probe::<&str>::start(&rt).await;
///         probe.actor().cast("ping").unwrap();
///         assert_eq!(probe.next(Duration::from_secs(1)).await, "ping");
///     });
/// }
/// # a_probe_sees_what_it_is_sent();
/// ```
///
/// # Panics
///
/// If a run fails, with the text of the [`Failure`].
#[track_caller]
pub fn sim<F, Fut>(test: F)
where
    F: Fn(TestRuntime) -> Fut,
    Fut: Future<Output: Outcome>,
{
    Sim::new().run(test);
}

/// Settings of a simulated test.
///
/// ```
/// use std::time::Duration;
/// use whitebeam_testkit::{Faults, Leaks, Sim, Strategy};
///
/// let report = Sim::new()
///     .seeds(16)
///     .strategy(Strategy::priorities(2))
///     .leaks(Leaks::Forbid)
///     .run(|rt| async move { rt.sleep(Duration::from_secs(1)).await });
/// assert!(report.runs.len() >= 16);
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is run before `run` or `try_run`"]
pub struct Sim {
    seeds: u64,
    only: Option<u64>,
    environment: bool,
    strategy: Strategy,
    /// All orders with so many delays, in place of seeds and a strategy.
    delays: Option<u32>,
    faults: Faults,
    leaks: Leaks,
    max_steps: u64,
    /// How long the test may wait, in virtual time; `None`: as long as there is something to wait for.
    deadline: Option<Duration>,
    trace: usize,
}

impl Sim {
    /// 64 seeds, [`Strategy::mixed`], no faults, [`Leaks::MustStop`], a million turns, the last 64 events.
    pub fn new() -> Self {
        Sim {
            seeds: 64,
            only: None,
            environment: true,
            strategy: Strategy::default(),
            delays: None,
            faults: Faults::new(),
            leaks: Leaks::default(),
            max_steps: 1_000_000,
            deadline: None,
            trace: 64,
        }
    }

    /// How many runs there are, with the seeds from 0 on, one at least. Default: 64. The environment variable
    /// `WHITEBEAM_SEEDS` can raise it.
    pub fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = seeds.max(1);
        self
    }

    /// One run, with this seed. Default: those that [`seeds`](Self::seeds) says. The environment variable
    /// `WHITEBEAM_SEED` has precedence over both.
    pub fn seed(mut self, seed: u64) -> Self {
        self.only = Some(seed);
        self
    }

    /// Takes no notice of the environment variables: for tests that count runs. Default: they are heeded.
    pub fn ignore_environment(mut self) -> Self {
        self.environment = false;
        self
    }

    /// How choices are made of a seed. Default: [`Strategy::mixed`].
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Runs the test in every order that there is with at most so many delays, in place of a number of seeds. Default:
    /// seeds.
    ///
    /// Without a delay, who is first in line is next, a turn is one message, timers due at the same moment fire in
    /// the order in which they were set, and nobody gives way that need not. A *delay* is one moment at which another
    /// goes first, and who was first takes the place of that one in line; another timer is first; or a handler gives
    /// way. So 0 is one order; a test of `k` choices with `n` to choose from has about `k * n` orders with one delay,
    /// and half the square of that with two. Who is held up for ten turns of others takes ten delays: that is what
    /// [`Strategy::priorities`] is for. This is for small tests, of which nothing is to be left out.
    ///
    /// This is delay bounding (M. Emmi, S. Qadeer, Z. Rakamarić, "Delay-Bounded Scheduling", POPL 2011), with one
    /// difference: to take the third instead of the first is one delay, not two. Random numbers are those of seed 0,
    /// and so are [`faults`](Self::faults). [`Report::runs`] keeps no traces. A failure is repeated by the environment
    /// variable `WHITEBEAM_ORDER`, which names the delays.
    ///
    /// A test that does not make the same choices after the same answers, and a `WHITEBEAM_ORDER` that is none of the
    /// test's, panic: orders would be left out unseen.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering::Relaxed}};
    /// use whitebeam_testkit::Sim;
    ///
    /// // What is read in one turn and written in another: one task that comes between is enough.
    /// let failure = Sim::new().all_orders(1).try_run(|rt| async move {
    ///     let counter = Arc::new(AtomicU32::new(0));
    ///     let add = || {
    ///         let (rt, counter) = (rt.handle(), counter.clone());
    ///         rt.clone().spawn_task(async move {
    ///             let read = counter.load(Relaxed);
    ///             rt.sleep(std::time::Duration::ZERO).await;
    ///             counter.store(read + 1, Relaxed);
    ///         })
    ///     };
    ///     let (one, two) = (add(), add());
    ///     one.await;
    ///     two.await;
    ///     assert_eq!(counter.load(Relaxed), 2);
    /// });
    /// println!("{}", failure.expect_err("a lost update"));
    /// ```
    pub fn all_orders(mut self, delays: u32) -> Self {
        self.delays = Some(delays);
        self
    }

    /// What goes wrong on purpose. Default: nothing.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// What left-overs at the end of the test mean. Default: [`Leaks::MustStop`].
    pub fn leaks(mut self, leaks: Leaks) -> Self {
        self.leaks = leaks;
        self
    }

    /// Turns of processes and tasks after which a run fails: it does not come to an end. Those that take what the
    /// test has left to its end count as well. Default: a million, which take seconds.
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = steps;
        self
    }

    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How many events are kept for the report of a failure, the last ones. Default: 64. An event takes about
    /// 100 bytes.
    pub fn trace(mut self, events: usize) -> Self {
        self.trace = events;
        self
    }

    /// Runs the test, seed by seed.
    ///
    /// The test is a task among the processes: when it is its turn is chosen like theirs. It need not be `Send`.
    ///
    /// # Panics
    ///
    /// If a run fails, with the text of the [`Failure`].
    #[track_caller]
    pub fn run<F, Fut>(self, test: F) -> Report
    where
        F: Fn(TestRuntime) -> Fut,
        Fut: Future<Output: Outcome>,
    {
        match self.try_run(test) {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// As [`run`](Self::run), but gives the failure as a value. No seed is run after it.
    ///
    /// ```
    /// use whitebeam_testkit::{FailureKind, Sim};
    ///
    /// let failure = Sim::new()
    ///     .try_run(|_rt| async move { std::future::pending::<()>().await })
    ///     .expect_err("it waits for ever");
    /// assert!(matches!(failure.kind, FailureKind::Deadlock(_)));
    /// ```
    ///
    /// # Errors
    ///
    /// The first run that failed.
    ///
    /// # Panics
    ///
    /// If an environment variable is no number, 4,095 runtimes are alive in this program, or an order of
    /// [`all_orders`](Self::all_orders) cannot be followed.
    #[track_caller]
    pub fn try_run<F, Fut>(self, test: F) -> Result<Report, Box<Failure>>
    where
        F: Fn(TestRuntime) -> Fut,
        Fut: Future<Output: Outcome>,
    {
        let caller = Location::caller();
        if let Some(delays) = self.delays {
            return self.run_orders(delays, caller, &test);
        }
        let mut runs = Vec::new();
        for seed in self.seeds_to_run() {
            match drive::run(&self, seed, self.strategy.choices(seed), &test) {
                Ok(run) => runs.push(run),
                Err(mut failure) => {
                    failure.runs = runs.len() + 1;
                    failure.strategy = self.strategy.name().to_owned();
                    failure.replay = replay::command(SEED_VARIABLE, seed, caller);
                    return Err(failure);
                }
            }
        }
        Ok(Report { runs })
    }

    fn seeds_to_run(&self) -> RangeInclusive<u64> {
        let variable = |name| if self.environment { replay::number(name) } else { None };
        match variable(SEED_VARIABLE).or(self.only) {
            Some(seed) => seed..=seed,
            None => 0..=variable(SEEDS_VARIABLE).unwrap_or(0).max(self.seeds) - 1,
        }
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self::new()
    }
}

/// How long what a test has left has to stop, in virtual time.
const STOP: Duration = Duration::from_secs(10);

/// The text of a panic.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "its payload is no text".to_owned(),
    }
}

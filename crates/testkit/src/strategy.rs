//! How a seed becomes choices.

mod priorities;
mod uniform;

use std::{fmt, sync::Arc};

use whitebeam_scheduler::Choices;

use self::{priorities::Priorities, uniform::Uniform};

/// What decides, in a simulated run, who goes next, how far, and which of several events comes first.
///
/// | strategy | how | finds soon |
/// | --- | --- | --- |
/// | [`random`](Self::random) | each choice for itself, all answers alike | what many orders show |
/// | [`priorities`](Self::priorities) | who is ahead stays ahead, but for a few moments | what takes one process held up for long |
/// | [`mixed`](Self::mixed), the default | the two in turns | either |
///
/// Of 500 seeds, those that find the three bugs planted in this crate's tests, and the runs until the first:
///
/// | bug | random | priorities(3) | mixed |
/// | --- | --- | --- | --- |
/// | check, then act, over two calls; another actor has twenty messages to handle first | 156, 4 | 100, 7 | 129, 9 |
/// | a restart in the midst of three casts to an old address | 83, 6 | 80, 11 | 83, 9 |
/// | a lost wake-up: one actor held up for thirteen turns of others | none | 148, 2 | 74, 2 |
#[derive(Clone)]
pub struct Strategy {
    name: String,
    make: Arc<dyn Fn(u64) -> Box<dyn Choices> + Send + Sync>,
}

impl Strategy {
    /// Every choice is drawn for itself: a random walk.
    ///
    /// An order in which one process is held up while others go many steps comes rarely: each step halves its
    /// chance.
    ///
    /// ```
    /// use whitebeam_testkit::{Sim, Strategy};
    ///
    /// Sim::new().seeds(8).strategy(Strategy::random()).run(|rt| async move {
    ///     rt.run_until_idle().await;
    /// });
    /// ```
    #[must_use]
    pub fn random() -> Self {
        Self::new("random", |seed| Box::new(Uniform::new(seed)))
    }

    /// Each process has a random priority, the highest one that can run does, and at `changes` moments, drawn
    /// beforehand, whoever would run falls behind all others.
    ///
    /// This is PCT (S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, "A Randomized Scheduler with
    /// Probabilistic Guarantees of Finding Bugs", ASPLOS 2010): a bug that takes an order among `changes + 1`
    /// steps is found by a run of `k` steps with `n` processes with a probability of at least
    /// `1 / (n * k^changes)`, whatever else the processes do. Two to four changes find most of what there is.
    /// Differences: processes get their priority when they first want to run; the length of a run is not known
    /// before, so `k` is drawn too, as a power of two from 8 to 2,048; plain tasks (the test among them) have
    /// one priority for all; who runs 256 times in a row while others wait falls behind them, so that a
    /// process which polls cannot hold up the rest for ever.
    ///
    /// ```
    /// use whitebeam_testkit::{Sim, Strategy};
    ///
    /// Sim::new().seeds(8).strategy(Strategy::priorities(3)).run(|rt| async move {
    ///     rt.run_until_idle().await;
    /// });
    /// ```
    #[must_use]
    pub fn priorities(changes: u32) -> Self {
        let name = format!("priorities({changes})");
        Self::new(name, move |seed| Box::new(Priorities::new(seed, changes)))
    }

    /// Even seeds are [`random`](Self::random), odd ones [`priorities(3)`](Self::priorities).
    #[must_use]
    pub fn mixed() -> Self {
        Self::new("mixed", |seed| {
            if seed.is_multiple_of(2) {
                Box::new(Uniform::new(seed))
            } else {
                Box::new(Priorities::new(seed, 3))
            }
        })
    }

    /// One of your own: `make` gets the seed. It must be a function of that alone, or runs do not repeat.
    ///
    /// ```
    /// use whitebeam_actor::simulate::{Choices, Point};
    /// use whitebeam_testkit::{Sim, Strategy};
    ///
    /// struct First;
    /// impl Choices for First {
    ///     fn choose(&mut self, _point: Point, _of: usize) -> usize {
    ///         0
    ///     }
    /// }
    ///
    /// let in_turn = Strategy::new("in turn", |_seed| Box::new(First));
    /// Sim::new().seeds(1).strategy(in_turn).run(|rt| async move { rt.run_until_idle().await });
    /// ```
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        make: impl Fn(u64) -> Box<dyn Choices> + Send + Sync + 'static,
    ) -> Self {
        Strategy { name: name.into(), make: Arc::new(make) }
    }

    /// What it is called in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn choices(&self, seed: u64) -> Box<dyn Choices> {
        (self.make)(seed)
    }
}

impl Default for Strategy {
    fn default() -> Self {
        Self::mixed()
    }
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Strategy({})", self.name)
    }
}

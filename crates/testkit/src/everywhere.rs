//! One test on simulated runtimes and on real threads.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

use whitebeam_actor::{Handle, Runtime};

use crate::{
    failure::Outcome,
    sim::{Sim, panic_text},
};

/// Runs a test on simulated runtimes with 16 seeds, then on threads, with one worker and with four:
/// [`Everywhere`] with its defaults.
///
/// ```
/// use whitebeam_testkit::everywhere;
///
/// everywhere(|rt| async move {
///     assert_eq!(rt.spawn_task(async { 6 * 7 }).await, 42);
/// });
/// ```
///
/// # Panics
///
/// If the test fails somewhere; the text says where.
#[track_caller]
pub fn everywhere<F, Fut>(test: F)
where
    F: Fn(Handle) -> Fut,
    Fut: Future<Output: Outcome>,
{
    Everywhere::new().run(test);
}

/// Where a test runs.
///
/// The runs are held to the same: the test is over within a deadline, what it leaves ends within ten seconds when
/// it is told to shut down, and no panic has left a run of the scheduler.
///
/// ```
/// use std::time::Duration;
/// use whitebeam_testkit::{Everywhere, Sim};
///
/// Everywhere::new()
///     .simulated(Sim::new().seeds(4))
///     .workers(&[2])
///     .deadline(Duration::from_secs(5))
///     .run(|rt| async move { rt.sleep(Duration::from_millis(1)).await });
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is run before `run`"]
pub struct Everywhere {
    sim: Option<Sim>,
    workers: Vec<usize>,
    deadline: Duration,
}

/// Seeds of a test that runs everywhere: fewer than a simulated one has, since it shows something else.
const SEEDS: u64 = 16;
/// How long what a test has left has to end.
const STOP: Duration = Duration::from_secs(10);

impl Everywhere {
    /// 16 seeds, one and four workers, 60 seconds.
    pub fn new() -> Self {
        let sim = Some(Sim::new().seeds(SEEDS));
        Everywhere { sim, workers: vec![1, 4], deadline: Duration::from_secs(60) }
    }

    /// The settings of the simulated runs. Default: those of [`Sim::new`] with 16 seeds.
    pub fn simulated(mut self, sim: Sim) -> Self {
        self.sim = Some(sim);
        self
    }

    /// No simulated runs.
    pub fn only_threaded(mut self) -> Self {
        self.sim = None;
        self
    }

    /// The numbers of workers of the runs on threads, one after the other. Default: 1 and 4.
    pub fn workers(mut self, workers: &[usize]) -> Self {
        self.workers = workers.to_vec();
        self
    }

    /// How long the test may wait, in the time of its runtime, real or virtual. Default: 60 seconds. A simulated
    /// run in which nothing can happen any more fails as a deadlock before.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the test.
    ///
    /// # Panics
    ///
    /// If it fails somewhere; the text says where. Also if the threads of a runtime cannot be started.
    #[track_caller]
    pub fn run<F, Fut>(self, test: F)
    where
        F: Fn(Handle) -> Fut,
        Fut: Future<Output: Outcome>,
    {
        let deadline = self.deadline;
        if let Some(sim) = self.sim {
            sim.deadline(deadline).run(|rt| test(rt.handle()));
        }
        for workers in self.workers {
            let place = format!("{workers} workers");
            let rt = match Runtime::builder().workers(workers).build() {
                Ok(rt) => rt,
                Err(error) => panic!("no runtime of {place}: {error}"),
            };
            let run = || rt.block_on(within(&rt, deadline, test(rt.handle())));
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(())) => {}
                Ok(Err(text)) => panic!("on {place}: {text}"),
                Err(payload) => panic!("on {place}: the test panicked: {}", panic_text(&*payload)),
            }
            stop(&rt, &place);
        }
    }
}

impl Default for Everywhere {
    fn default() -> Self {
        Self::new()
    }
}

/// No process may be left that does not end when it is told, and no panic may have left a run.
#[track_caller]
fn stop(rt: &Runtime, place: &str) {
    let report = rt.block_on(rt.shutdown(STOP));
    assert!(report.is_clean(), "on {place}, what the test left does not stop: {report}");
    assert_eq!(rt.processes().len(), 0, "processes that live after the end on {place}");
    let panics: u64 = rt.metrics().iter().map(|worker| worker.panics).sum();
    assert_eq!(panics, 0, "panics that left a run on {place}");
}

/// The test's outcome, or that it waits for too long.
async fn within<F>(rt: &Handle, deadline: Duration, test: F) -> Result<(), String>
where
    F: Future<Output: Outcome>,
{
    let (mut test, mut time) = (pin!(test), pin!(rt.sleep(deadline)));
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = test.as_mut().poll(cx) {
            let returned = |text| Err(format!("the test returned an error: {text}"));
            return Poll::Ready(outcome.failure().map_or(Ok(()), returned));
        }
        let late = || Err(format!("the test has waited for {deadline:?}"));
        time.as_mut().poll(cx).map(|()| late())
    })
    .await
}

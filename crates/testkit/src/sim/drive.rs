//! One run: the simulation is stepped, and the test is polled when its turn has come.
//!
//! The test's future need not be `Send`, so it is no task of the runtime. A small task stands for it in the
//! queue: whoever wakes the test wakes that task, and when the scheduler has chosen it, the test is polled. So the
//! test goes on in every order with the processes that a scheduler could make.
//!
//! When nothing can run, time passes: to the next deadline, unless the test has asked for a rest.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use whitebeam_actor::{
    Handle, Runtime,
    simulate::{Choices, Observer, Steps},
};

use super::{STOP, Sim, panic_text};
use crate::{
    failure::{Failure, FailureKind, Leaks, Left, Outcome, Run},
    record::{Recorder, entry_short},
    runtime::{AtRest, Control, TestRuntime},
};

/// Runs `test` once. A failure has no strategy's name and no command yet.
pub(super) fn run<F, Fut>(
    sim: &Sim,
    seed: u64,
    choices: Box<dyn Choices>,
    test: &F,
) -> Result<Run, Box<Failure>>
where
    F: Fn(TestRuntime) -> Fut,
    Fut: Future<Output: Outcome>,
{
    let recorder = Arc::new(Recorder::new(sim.trace, sim.faults.plan(seed)));
    let observer: Arc<dyn Observer> = recorder.clone();
    let rt = match Runtime::observed(choices, &observer) {
        Ok(rt) => rt,
        Err(error) => panic!("no simulated runtime: {error}"),
    };
    recorder.attach(rt.handle());
    let control = Arc::new(Control::default());
    let given = TestRuntime::new(rt.handle(), control.clone(), recorder.clone(), seed);
    let mut elapsed = Duration::ZERO;
    let outcome = rt.steps(|steps| {
        let mut driver = Driver { steps, rt: &rt, control: &control, recorder: &recorder, sim };
        let outcome = driver.test(|| test(given));
        elapsed = rt.uptime();
        let left = outcome.and_then(|()| caught(|| driver.left()))?;
        caught(|| driver.stop())?;
        Ok(left)
    });
    let steps = rt.steps(|steps| steps.count());
    let (digest, trace) = (recorder.digest(), recorder.trace());
    recorder.detach();
    let fail = |kind| {
        let (strategy, replay) = (String::new(), String::new());
        let trace = trace.clone();
        Box::new(Failure { seed, runs: 1, steps, elapsed, digest, kind, trace, strategy, replay })
    };
    let left = outcome.map_err(fail)?;
    Ok(Run { seed, steps, elapsed, digest, trace, left })
}

/// A panic is a failure of the run.
fn caught<T>(run: impl FnOnce() -> Result<T, FailureKind>) -> Result<T, FailureKind> {
    let panicked = |payload: Box<dyn Any + Send>| FailureKind::Panicked(panic_text(&*payload));
    catch_unwind(AssertUnwindSafe(run)).map_err(panicked).flatten()
}

struct Driver<'a, 'b> {
    steps: &'a mut Steps<'b>,
    rt: &'a Handle,
    control: &'a Control,
    recorder: &'a Recorder,
    sim: &'a Sim,
}

impl Driver<'_, '_> {
    /// Runs the test to its end.
    fn test<Fut>(&mut self, make: impl FnOnce() -> Fut) -> Result<(), FailureKind>
    where
        Fut: Future<Output: Outcome>,
    {
        let output = caught(|| self.drive(make, self.sim.deadline))?;
        match caught(|| Ok(output.failure()))? {
            None => Ok(()),
            Some(text) => Err(FailureKind::Returned(text)),
        }
    }

    /// Tells what is left to stop. Step by step as the test was: what never rests is not waited for without end.
    fn stop(&mut self) -> Result<(), FailureKind> {
        if self.sim.leaks == Leaks::Allow {
            return Ok(());
        }
        let rt = self.rt;
        let report = self.drive(|| rt.shutdown(STOP), None)?;
        if report.is_clean() { Ok(()) } else { Err(FailureKind::DoesNotStop(Box::new(report))) }
    }

    /// Steps the runtime until a future is ready that goes on when its turn has come.
    fn drive<Fut: Future>(
        &mut self,
        make: impl FnOnce() -> Fut,
        deadline: Option<Duration>,
    ) -> Result<Fut::Output, FailureKind> {
        let turn = Arc::new(Turn::default());
        // Cancelled when it is dropped.
        let _task = self.rt.spawn_task(turn.clone().stand_for());
        let mut future = Box::pin(make());
        loop {
            if let Some(waker) = turn.take() {
                let mut cx = Context::from_waker(&waker);
                let _inside = self.recorder.in_the_test();
                if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                    return Ok(output);
                }
            }
            if self.steps.count() >= self.sim.max_steps {
                return Err(FailureKind::TooLong(self.recorder.waits()));
            }
            if self.steps.step() {
                continue;
            }
            if !self.let_time_pass() {
                return Err(FailureKind::Deadlock(self.recorder.waits()));
            }
            if let Some(deadline) = deadline.filter(|deadline| self.rt.uptime() > *deadline) {
                return Err(FailureKind::TooLate(deadline, self.recorder.waits()));
            }
        }
    }

    /// Nothing can run. `false`: nothing ever will.
    fn let_time_pass(&mut self) -> bool {
        let now = self.rt.uptime();
        match self.control.at_rest(now) {
            AtRest::GoOn => true,
            AtRest::Free => self.steps.fire_next(),
            AtRest::Until(at) if self.steps.next_timer().is_some_and(|next| next <= at) => {
                self.steps.fire_next()
            }
            AtRest::Until(at) => {
                self.steps.advance(at.saturating_sub(now));
                true
            }
        }
    }

    /// The test is over: what is there when nothing can run any more?
    fn left(&mut self) -> Result<Left, FailureKind> {
        while self.steps.step() {
            if self.steps.count() >= self.sim.max_steps {
                return Err(FailureKind::TooLong(self.recorder.waits()));
            }
        }
        let processes = self.rt.processes();
        let line =
            |info: &whitebeam_actor::Info| (info.pid, entry_short(info.actor), info.mailbox_len);
        let processes = processes.iter().map(line).collect();
        let left = Left { processes, timers: self.steps.pending_timers() };
        if self.sim.leaks == Leaks::Forbid && !left.is_empty() {
            return Err(FailureKind::Leaked(left));
        }
        Ok(left)
    }
}

/// The test's turn to go on.
#[derive(Default)]
struct Turn {
    /// Set while it is the test's turn: the waker of the task that stands for it.
    come: Mutex<Option<Waker>>,
}

impl Turn {
    /// The task that stands for the test in the queue.
    async fn stand_for(self: Arc<Self>) {
        poll_fn(|cx| {
            let old = self.come.lock().replace(cx.waker().clone());
            drop(old);
            Poll::Pending
        })
        .await
    }

    fn take(&self) -> Option<Waker> {
        self.come.lock().take()
    }
}

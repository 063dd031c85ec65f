//! The budget of a turn, as far as futures use it up that are ready whenever they are asked.
//!
//! Between two messages the run looks whether the turn is over ([`Turn`](crate::Turn)). A future that awaits one thing
//! after the other, each of which is ready at once, never comes to that: its one poll would go on for ever. So what is
//! awaited counts as well. Each of the runtime's own futures that is ready at its first poll takes one from the budget
//! of what runs now, and when that is used up gives way: it is pending once, and woken at once, so that the target or
//! task is polled again after the others had their turn. A future that was pending before needs not do so: each poll
//! counts as a message.
//!
//! The budget is as large as that of messages, and looks at the clock as often. It begins anew with each run: it
//! remembers the number of the run it belongs to, so that a run which never asks pays nothing.
//!
//! Who blocks its thread with an executor of its own is polled again in the same run, however often it is pending. It
//! would spin for ever: so after [`MOST_REFUSED`] refusals in one run the budget begins anew.
//!
//! Outside of workers and of steps of a simulation nobody waits for a thread's turn: there the budget is endless.
//! What a foreign future does in its poll is beyond all of this: see [`watch`](crate::watch).
//!
//! After tokio's cooperative budgets (`tokio::task::coop`), which go by operations alone.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use whitebeam_sync::shim::thread_local;

use crate::clock::ticks;
use crate::turn::{FREE, STRIDE};
use crate::worker;

/// What the run on this worker has used up.
#[derive(Default)]
pub(crate) struct Coop {
    /// The number of the run that `used` and `started` belong to.
    run: Cell<u64>,
    used: Cell<u32>,
    /// How often it was refused since the budget began.
    refused: Cell<u32>,
    /// The clock at the first look, 0 before it.
    started: Cell<u64>,
}

impl Coop {
    /// Takes one from the budget of the run with this number. `false`: none is left.
    pub(crate) fn take(&self, run: u64, budget: u32, slice: u64) -> bool {
        if self.run.replace(run) != run {
            self.begin();
        }
        let used = self.used.get();
        if used >= budget {
            return self.refuse();
        }
        let looks = slice != 0 && used >= FREE && (used - FREE).is_multiple_of(STRIDE);
        if looks && self.is_out_of_time(slice) {
            self.used.set(budget);
            return self.refuse();
        }
        self.used.set(used + 1);
        true
    }

    fn begin(&self) {
        self.used.set(0);
        self.refused.set(0);
        self.started.set(0);
    }

    /// Whoever asks so often has not left its run: something polls it again in there.
    fn refuse(&self) -> bool {
        self.refused.set(self.refused.get() + 1);
        if self.refused.get() >= MOST_REFUSED {
            self.begin();
        }
        false
    }

    fn is_out_of_time(&self, slice: u64) -> bool {
        let now = ticks();
        if self.started.get() == 0 {
            self.started.set(now);
        }
        now.saturating_sub(self.started.get()) >= slice
    }
}

thread_local! {
    /// What is left to the step of a simulation that this thread is in, and behind that how often it may be refused.
    /// [`ENDLESS`]: it is in none.
    static STEP: Cell<u32> = const { Cell::new(ENDLESS) };
}

const ENDLESS: u32 = u32::MAX;

/// More futures than anybody joins are refused in one poll.
const MOST_REFUSED: u32 = 4096;

/// Ready things that a step of a simulation may await, always: what it draws for messages would change what all
/// programs do that await anything.
const STEP_BUDGET: u32 = 128;

/// While it lives this thread is in a step of a simulation.
pub(crate) struct InStep {
    before: u32,
}

impl InStep {
    pub(crate) fn enter() -> Self {
        InStep { before: STEP.with(|left| left.replace(STEP_BUDGET + MOST_REFUSED)) }
    }
}

impl Drop for InStep {
    fn drop(&mut self) {
        STEP.with(|left| left.set(self.before));
    }
}

fn take() -> bool {
    let left = STEP.with(Cell::get);
    if left == ENDLESS {
        return worker::take_budget();
    }
    if left > REFUSED_ALL {
        STEP.with(|step| step.set(left - 1));
    } else {
        // As in [`Coop::refuse`].
        STEP.with(|step| step.set(STEP_BUDGET + MOST_REFUSED));
    }
    left > MOST_REFUSED
}

/// What is left of a step's count when it was refused as often as can be.
const REFUSED_ALL: u32 = 1;

/// For futures that are ready at their first poll: takes one from the budget of what runs on this thread.
///
/// Pending: it is used up. The task is woken, and the future has to be pending as well; when it is polled again, others
/// have had their turn. Ready where the thread is no worker's.
///
/// ```
/// use std::future::poll_fn;
/// use std::task::{Poll, ready};
/// use whitebeam_scheduler::{Scheduler, poll_budget};
///
/// let scheduler = Scheduler::builder().workers(1).build()?;
/// // It never waits, and lets others run now and then all the same.
/// let counts = scheduler.handle().spawn(async {
///     for _ in 0..10_000 {
///         poll_fn(|cx| {
///             ready!(poll_budget(cx));
///             Poll::Ready(())
///         })
///         .await;
///     }
/// });
/// scheduler.handle().block_on(counts);
/// # Ok::<(), whitebeam_scheduler::BuildError>(())
/// ```
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    if take() {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Lets others run if this turn's budget is used up, and else goes on at once: for a loop that computes for long, or
/// awaits what is always ready. The runtime's own futures do so by themselves.
///
/// A turn may do so 128 times, or as often as the [budget](crate::Builder::budget) says, within a
/// [slice](crate::Builder::slice).
pub async fn consume_budget() {
    poll_fn(poll_budget).await;
}

/// Lets others run: whoever is queued on this worker now comes first.
///
/// ```
/// use whitebeam_scheduler::{Scheduler, yield_now};
///
/// let scheduler = Scheduler::builder().workers(1).build()?;
/// let task = scheduler.handle().spawn(async {
///     yield_now().await;
///     42
/// });
/// assert_eq!(scheduler.handle().block_on(task), 42);
/// # Ok::<(), whitebeam_scheduler::BuildError>(())
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

/// The future of [`yield_now`]: pending once.
#[derive(Debug)]
#[must_use = "nobody is let run until this is awaited"]
pub struct YieldNow {
    has_yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::TickRate;
    use std::time::Duration;

    fn used_up_after(
        coop: &Coop,
        run: u64,
        budget: u32,
        slice: u64,
        mut work: impl FnMut(),
    ) -> u32 {
        let mut taken = 0;
        while coop.take(run, budget, slice) {
            taken += 1;
            work();
        }
        taken
    }

    #[test]
    fn each_run_has_a_budget_of_its_own() {
        let coop = Coop::default();
        for run in 1..4 {
            assert_eq!(used_up_after(&coop, run, 10, 0, || ()), 10);
            assert!(!coop.take(run, 10, 0), "it stays used up");
        }
    }

    #[test]
    fn what_takes_long_is_over_after_a_slice() {
        let slice = TickRate::measure().ticks(Duration::from_micros(50));
        let burn = || {
            let begun = ticks();
            while ticks().saturating_sub(begun) < slice / 4 {
                std::hint::spin_loop();
            }
        };
        let taken = used_up_after(&Coop::default(), 1, 1_000, slice, burn);
        assert_eq!(taken, FREE + STRIDE, "found at the second look");
    }

    #[test]
    fn a_step_has_its_own_and_gives_back_what_was_before() {
        assert!((0..1_000).all(|_| take()), "this thread is no worker's");
        let outer = InStep::enter();
        assert!(take());
        {
            let _inner = InStep::enter();
            assert_eq!((0..1_000).filter(|_| take()).count(), STEP_BUDGET as usize);
        }
        assert_eq!((0..1_000).filter(|_| take()).count(), STEP_BUDGET as usize - 1);
        drop(outer);
        assert!(take());
    }
}

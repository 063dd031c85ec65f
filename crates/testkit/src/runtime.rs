//! What a simulated test holds: the runtime's handle, time in its hand, and the account of what happened.

use std::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use whitebeam_actor::{ExitReason, Handle, Pid};

use crate::record::{Life, Lived, Recorder};

/// The last moment of a runtime's clock, which counts nanoseconds in 64 bits.
const CLOCK_END: Duration = Duration::from_nanos(u64::MAX);

/// The runtime of one simulated run: a [`Handle`], and what only a simulation can do.
#[derive(Clone)]
pub struct TestRuntime {
    handle: Handle,
    control: Arc<Control>,
    recorder: Arc<Recorder>,
    seed: u64,
}

impl TestRuntime {
    pub(crate) fn new(
        handle: Handle,
        control: Arc<Control>,
        recorder: Arc<Recorder>,
        seed: u64,
    ) -> Self {
        TestRuntime { handle, control, recorder, seed }
    }

    /// The seed of this run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A handle of its own, for what is given away.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ready when nothing can run: every process has done what it can, and what is left waits for time to pass
    /// or for this test. Time does not move meanwhile. Exact, and takes no sleeping.
    ///
    /// Never ready if processes keep each other busy without end: the run fails after
    /// [`Sim::max_steps`](crate::Sim::max_steps) turns.
    ///
    /// ```
    /// use whitebeam_testkit::{Probe, sim};
    ///
    /// sim(|rt| async move {
    ///     let probe = Probe::<u32>::start(&rt).await;
    ///     probe.actor().cast(7).unwrap();
    ///     rt.run_until_idle().await;
    ///     assert_eq!(probe.take(), [7]);
    /// });
    /// ```
    pub fn run_until_idle(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let control = self.control.clone();
        Rest { control, target: Target::Idle, asked: None }
    }

    /// Moves the clock by `time`, from one deadline to the next; what is due runs meanwhile. Ready when the clock
    /// is there and nothing can run any more.
    ///
    /// The clock ends after 584 years, and goes no further.
    ///
    /// [`Handle::sleep`] is ready at that time too, but races with what else is due then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use whitebeam_testkit::sim;
    ///
    /// sim(|rt| async move {
    ///     rt.advance(Duration::from_secs(60)).await;
    ///     assert_eq!(rt.uptime(), Duration::from_secs(60));
    /// });
    /// ```
    pub fn advance(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        let at = self.handle.uptime().saturating_add(time).min(CLOCK_END);
        Rest { control: self.control.clone(), target: Target::Time(at), asked: None }
    }

    /// What happened to processes so far, in order: starts and ends.
    ///
    /// ```
    /// use whitebeam_actor::ExitReason;
    /// use whitebeam_testkit::{Life, Probe, sim};
    ///
    /// sim(|rt| async move {
    ///     let probe = Probe::<u32>::start(&rt).await;
    ///     rt.exit(probe.actor(), ExitReason::Kill);
    ///     rt.run_until_idle().await;
    ///     let lifecycle = rt.lifecycle();
    ///     assert!(matches!(lifecycle[0].what, Life::Spawned { attempt: 1, .. }));
    ///     assert!(matches!(lifecycle[1].what, Life::Started));
    ///     assert!(matches!(lifecycle[2].what, Life::Exited(ExitReason::Killed)));
    /// });
    /// ```
    #[must_use]
    pub fn lifecycle(&self) -> Vec<Lived> {
        self.recorder.lifecycle()
    }

    pub(crate) fn lifecycle_len(&self) -> usize {
        self.recorder.lived()
    }

    /// The name of a process of this run, alive or not, or else the type of its actor.
    pub(crate) fn label_of(&self, pid: Pid) -> Option<Arc<str>> {
        self.recorder.names_of(pid).map(|(name, actor)| name.unwrap_or(actor))
    }

    /// Ends so far that were not orderly, in order, with their reasons; of a panic the reason has the place.
    #[must_use]
    pub fn crashes(&self) -> Vec<(Pid, ExitReason)> {
        let lifecycle = self.lifecycle().into_iter();
        let crash = |lived: Lived| match lived.what {
            Life::Exited(reason) if !reason.is_orderly() => Some((lived.pid, reason)),
            _ => None,
        };
        lifecycle.filter_map(crash).collect()
    }
}

impl Deref for TestRuntime {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl fmt::Debug for TestRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestRuntime(seed {}, at {:?})", self.seed, self.handle.uptime())
    }
}

/// What the driver of a run is asked for by the code that it runs.
#[derive(Default)]
pub(crate) struct Control {
    asked: Mutex<Vec<Arc<Asked>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Idle,
    /// Since the runtime's start.
    Time(Duration),
}

struct Asked {
    target: Target,
    state: Mutex<(bool, Option<Waker>)>,
}

impl Asked {
    fn done(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What the driver is to do when nothing can run.
pub(crate) enum AtRest {
    /// Go on: somebody who waited for this was woken.
    GoOn,
    /// Let time pass, but not beyond.
    Until(Duration),
    /// Let time pass.
    Free,
}

impl Control {
    /// Nothing can run.
    pub(crate) fn at_rest(&self, now: Duration) -> AtRest {
        let mut asked = self.asked.lock();
        // Whose future was dropped does not wait any more.
        asked.retain(|asked| Arc::strong_count(asked) > 1);
        let (ready, rest): (Vec<_>, Vec<_>) =
            asked.drain(..).partition(|asked| match asked.target {
                Target::Idle => true,
                Target::Time(at) => at <= now,
            });
        *asked = rest;
        let next = asked.iter().filter_map(|asked| match asked.target {
            Target::Idle => None,
            Target::Time(at) => Some(at),
        });
        let next = next.min();
        drop(asked);
        if ready.is_empty() {
            return next.map_or(AtRest::Free, AtRest::Until);
        }
        ready.iter().for_each(|asked| asked.done());
        AtRest::GoOn
    }
}

/// The future of a rest.
struct Rest {
    control: Arc<Control>,
    target: Target,
    asked: Option<Arc<Asked>>,
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let asked = this.asked.get_or_insert_with(|| {
            let state = Mutex::new((false, None));
            let asked = Arc::new(Asked { target: this.target, state });
            this.control.asked.lock().push(asked.clone());
            asked
        });
        let mut state = asked.state.lock();
        if state.0 {
            return Poll::Ready(());
        }
        let old = state.1.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

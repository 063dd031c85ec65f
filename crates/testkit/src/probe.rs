//! An actor that keeps what it is sent, for the test to look at.

use std::{
    any::type_name,
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    panic::Location,
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use whitebeam_actor::{Actor, ActorRef, Context, ExitReason, Handle, SpawnOptions};

use crate::record::entry_short;

/// Stands in for an actor that takes messages of type `M`, and keeps them in the order of their arrival.
///
/// Works on every runtime. Waits are in the runtime's time: virtual in the simulation, where a wait for what
/// does not come costs nothing. The process lives on when the probe is dropped.
///
/// ```
/// use std::time::Duration;
/// use whitebeam_testkit::{Probe, sim};
///
/// sim(|rt| async move {
///     let mut probe = Probe::<u32>::start(&rt).await;
///     for n in [1, 2, 3] {
///         probe.actor().cast(n).unwrap();
///     }
///     let second = Duration::from_secs(1);
///     assert_eq!(probe.next(second).await, 1);
///     assert_eq!(probe.expect_among(|n| *n > 2, second).await, 3); // 2 is kept
///     assert_eq!(probe.expect(|n| n % 2 == 0, second).await, 2);
///     probe.expect_none(second).await;
/// });
/// ```
pub struct Probe<M> {
    actor: ActorRef<M>,
    got: Arc<Got<M>>,
    handle: Handle,
}

/// What was sent and not taken.
struct Got<M>(Mutex<(VecDeque<M>, Option<Waker>)>);

struct Catcher<M>(Arc<Got<M>>);

impl<M: Send + 'static> Actor for Catcher<M> {
    type Args = Arc<Got<M>>;
    type Msg = M;

    async fn init(got: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Catcher(got))
    }

    async fn handle(&mut self, msg: M, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let waker = {
            let mut got = self.0.0.lock();
            got.0.push_back(msg);
            got.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<M: Send + 'static> Probe<M> {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// If the runtime starts nothing any more.
    pub async fn start(rt: &Handle) -> Self {
        Self::start_with(rt, SpawnOptions::new()).await
    }

    /// Starts one with options, a name for example.
    ///
    /// # Panics
    ///
    /// If it cannot be started: the name is taken, or the runtime starts nothing any more.
    pub async fn start_with(rt: &Handle, options: SpawnOptions) -> Self {
        let got = Arc::new(Got(Mutex::new((VecDeque::new(), None))));
        match rt.with(options).start::<Catcher<M>>(got.clone()).await {
            Ok(actor) => Probe { actor, got, handle: rt.clone() },
            Err(error) => panic!("a probe could not be started: {error}"),
        }
    }

    /// Its address, to be given to what is tested.
    #[must_use]
    pub fn actor(&self) -> &ActorRef<M> {
        &self.actor
    }

    /// All that has come and was not taken, in order.
    #[must_use]
    pub fn take(&self) -> Vec<M> {
        self.got.0.lock().0.drain(..).collect()
    }

    /// The next message.
    ///
    /// # Panics
    ///
    /// If none comes within `within`.
    #[track_caller]
    pub fn next(&mut self, within: Duration) -> impl Future<Output = M> + Send + '_ {
        self.expected(within, Which::Next, |_| true)
    }

    /// The next message, which must be as `is` says.
    ///
    /// # Panics
    ///
    /// If it is not, or none comes within `within`.
    #[track_caller]
    pub fn expect<F>(&mut self, is: F, within: Duration) -> impl Future<Output = M> + Send + '_
    where
        F: FnMut(&M) -> bool + Send + 'static,
    {
        self.expected(within, Which::Next, is)
    }

    /// The first message that is as `is` says, whatever comes before: that is kept, in its order.
    ///
    /// # Panics
    ///
    /// If none comes within `within`.
    #[track_caller]
    pub fn expect_among<F>(
        &mut self,
        is: F,
        within: Duration,
    ) -> impl Future<Output = M> + Send + '_
    where
        F: FnMut(&M) -> bool + Send + 'static,
    {
        self.expected(within, Which::First, is)
    }

    /// Waits until `within` has passed.
    ///
    /// # Panics
    ///
    /// If a message is there or comes meanwhile.
    #[track_caller]
    pub fn expect_none(&mut self, within: Duration) -> impl Future<Output = ()> + Send + '_ {
        let at = Location::caller();
        async move {
            let got = self.wait(within, Which::Next, |_| true).await;
            if got.is_some() {
                panic!(
                    "{at}: {} was to get nothing for {within:?}, and has got a message",
                    self.name()
                );
            }
        }
    }

    #[track_caller]
    fn expected<F>(
        &mut self,
        within: Duration,
        which: Which,
        is: F,
    ) -> impl Future<Output = M> + Send + '_
    where
        F: FnMut(&M) -> bool + Send + 'static,
    {
        let at = Location::caller();
        async move {
            match self.wait(within, which, is).await {
                Some(Ok(msg)) => msg,
                Some(Err(_)) => {
                    panic!("{at}: the next message of {} is not the one expected", self.name())
                }
                None => {
                    let others = self.got.0.lock().0.len();
                    panic!(
                        "{at}: {} has not got what was expected within {within:?}, but {others} other messages",
                        self.name()
                    )
                }
            }
        }
    }

    /// The message; `Err`: the next one is another; `None`: the time is over.
    async fn wait<F>(&self, within: Duration, which: Which, mut is: F) -> Option<Result<M, M>>
    where
        F: FnMut(&M) -> bool + Send,
    {
        let mut time = pin!(self.handle.sleep(within));
        // How many were looked at: none twice.
        let mut seen = 0;
        poll_fn(|cx| {
            loop {
                // Taken out to be looked at: the closure is the test's and may use the probe's actor.
                let Some(msg) = self.got.remove(seen) else { break };
                if is(&msg) {
                    return Poll::Ready(Some(Ok(msg)));
                }
                if which == Which::Next {
                    return Poll::Ready(Some(Err(msg)));
                }
                self.got.insert(seen, msg);
                seen += 1;
            }
            let is_late = time.as_mut().poll(cx).is_ready();
            let (old, more) = {
                let mut got = self.got.0.lock();
                (got.1.replace(cx.waker().clone()), got.0.len() > seen)
            };
            drop(old);
            if more {
                // It came since the look.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if is_late { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    fn name(&self) -> String {
        format!("the probe {} of {}", self.actor.pid(), entry_short(type_name::<M>()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// The next message is wanted.
    Next,
    /// The first that fits.
    First,
}

impl<M> Got<M> {
    fn remove(&self, index: usize) -> Option<M> {
        self.0.lock().0.remove(index)
    }

    fn insert(&self, index: usize, msg: M) {
        self.0.lock().0.insert(index, msg);
    }
}

impl<M> fmt::Debug for Probe<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe({})", self.actor.pid())
    }
}

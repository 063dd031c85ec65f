//! How a scheduler is made.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::Sender;
use whitebeam_sync::barrier::Heavy;

use crate::blocking::{self, Pool};
use crate::clock::{Clock, TickRate};
use crate::error::BuildError;
use crate::handle::Handle;
use crate::queue::LocalQueue;
use crate::scheduler::Scheduler;
use crate::shared::{Shared, Tuning};
use crate::timers;
use crate::watch::{LongRun, Settings, Watchdog};
use crate::worker::Local;

/// The most workers a scheduler can have. Every search looks at all of them.
const MOST_WORKERS: usize = 1_024;

/// Messages per turn. 16 and 1,024 were slower in W2 by a tenth and no better elsewhere.
const BUDGET: u32 = 128;

/// A time slice. W10's lateness of an outside send is one slice at p99: 95, 55 and 36 us at 100, 50, 25.
const SLICE: Duration = Duration::from_micros(50);

/// The age limit of stealing. Lower: W9 and W5 fall to a third when the two cores are far apart, since
/// small work is torn from the cache it is in; higher: a second worker joins a burst (W1b) later.
const STEAL_AFTER: Duration = Duration::from_micros(100);

/// How long a sentinel spins. 0 costs W6x 1.7 us a call; 100 gains nothing more and burns a core.
const SPIN: Duration = Duration::from_micros(20);

/// Threads for blocking work at most. They cost address space more than memory; what they wait for (disks, locks,
/// other systems) has its own limits, which should be met first.
const BLOCKING_THREADS: usize = 512;

/// How long a thread for blocking work sleeps before it leaves. To start one takes some 20 us, so that no burst that
/// comes again within seconds should pay for it; a stack that is kept for ten is no loss.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(10);

type Hook = Arc<dyn Fn(usize) + Send + Sync>;
/// A hook, and after what time.
pub(crate) type IdleHook = (Duration, Hook);
type Wrap = Arc<dyn Fn(usize, &mut dyn FnMut()) + Send + Sync>;
pub(crate) type Start =
    Arc<dyn Fn(thread::Builder, ThreadBody) -> io::Result<JoinHandle<()>> + Send + Sync>;

/// What a worker's thread executes. See [`Builder::start_threads_with`].
pub type ThreadBody = Box<dyn FnOnce() + Send>;

/// Settings of a [`Scheduler`]; made by [`Scheduler::builder`].
///
/// ```
/// use whitebeam_scheduler::Scheduler;
///
/// let scheduler = Scheduler::builder().workers(2).name("engine").build()?;
/// let task = scheduler.handle().spawn(async { 40 + 2 });
/// assert_eq!(scheduler.handle().block_on(task), 42);
/// # Ok::<(), whitebeam_scheduler::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    workers: Option<usize>,
    name: String,
    seed: Option<u64>,
    stack_size: Option<usize>,
    budget: u32,
    slice: Duration,
    steal_after: Duration,
    spin: Duration,
    timer_slack: Duration,
    watch: Settings,
    hooks: Hooks,
    start: Start,
    blocking_threads: usize,
    blocking_queue: usize,
    blocking_keep_alive: Duration,
}

/// What the user wants done on each worker.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    start: Option<Hook>,
    stop: Option<Hook>,
    idle: Option<IdleHook>,
    around: Option<Wrap>,
}

impl Hooks {
    pub(crate) fn start(&self, worker: usize) {
        if let Some(hook) = &self.start {
            hook(worker);
        }
    }

    pub(crate) fn stop(&self, worker: usize) {
        if let Some(hook) = &self.stop {
            hook(worker);
        }
    }

    pub(crate) fn idle(&self) -> Option<&IdleHook> {
        self.idle.as_ref()
    }

    /// Calls `life` once, inside the user's wrapper if there is one.
    fn around(&self, worker: usize, life: impl FnOnce(&Hooks)) {
        let mut life = Some(life);
        let mut once = || {
            if let Some(life) = life.take() {
                life(self);
            }
        };
        if let Some(wrap) = &self.around {
            wrap(worker, &mut once);
        }
        // A wrapper that forgot its job must not cost us the worker.
        once();
    }
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder {
            workers: None,
            name: String::from("whitebeam"),
            seed: None,
            stack_size: None,
            budget: BUDGET,
            slice: SLICE,
            steal_after: STEAL_AFTER,
            spin: SPIN,
            timer_slack: timers::SLACK,
            watch: Settings::default(),
            hooks: Hooks::default(),
            start: Arc::new(|thread, body| thread.spawn(body)),
            blocking_threads: BLOCKING_THREADS,
            blocking_queue: usize::MAX,
            blocking_keep_alive: BLOCKING_KEEP_ALIVE,
        }
    }

    /// How many worker threads; at least one. Default: as many as the process may use processors.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Name of the threads: `name-0`, `name-1` and so on, and those for blocking work `name-blocking-0` and so on.
    /// Default: `whitebeam`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Where [`Handle::random`] begins. Default: a number of the system's.
    ///
    /// It makes no run repeatable: threads don't ask in the same order twice. That is what
    /// [`Simulation`](crate::Simulation) is for.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Stack of each thread in bytes, those for blocking work included. Default: std's.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Messages a target may handle before it goes behind the others; at least one. Default: 128. As many things that
    /// are ready at once may it [await](crate::poll_budget).
    pub fn budget(mut self, messages: u32) -> Self {
        self.budget = messages.max(1);
        self
    }

    /// Time a target may take before it goes behind the others, looked at between two messages. It bounds how
    /// late an outside send or a timer is on a busy worker. Default: 50 us.
    pub fn slice(mut self, slice: Duration) -> Self {
        self.slice = slice;
        self
    }

    /// How long a queued runnable may be expected to wait before another worker takes it. Default: 100 us.
    pub fn steal_after(mut self, age: Duration) -> Self {
        self.steal_after = age;
        self
    }

    /// How long a worker without work looks for some before it sleeps. Default: 20 us.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// How late dense timers may be, so that workers without other work sleep between them: on average they wake up for
    /// timers no more often than once in this time. Zero: for each of them. Default: 500 us.
    ///
    /// Timers that are sparse are on time: a few wake-ups in short succession are not put off. While workers have other
    /// work they fire what is due each [slice](Self::slice).
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.timer_slack = slack;
        self
    }

    /// Has `hook` called when a run has held its worker for longer than `limit`, and again when that has returned.
    ///
    /// On a thread of its own, between one and one and a half limits after the run began; no earlier than after 500
    /// us. While the hook is in there nobody looks: a spare that is needed meanwhile comes when it has returned. Its
    /// panic ends there.
    pub fn on_long_run(
        mut self,
        limit: Duration,
        hook: impl Fn(&LongRun<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.watch.hook = Some((limit, Arc::new(hook)));
        self
    }

    /// Makes so many threads more, which sleep until a worker is held by one run (of a handler that computes or blocks
    /// for long), and then do its work until that returns: first of all what it has queued. Default: none.
    ///
    /// While a spare works there is a thread more than there are workers, if the held one computes. As many as may be
    /// held at a time are of use. They are threads of workers as far as hooks are concerned, with indexes behind those.
    pub fn spare_workers(mut self, spares: usize) -> Self {
        self.watch.spares = spares;
        self
    }

    /// How long a worker is held before a spare stands in for it. Default: 2 ms.
    ///
    /// It comes between one and one and a half times as late; no earlier than after 500 us. There is a thread that
    /// wakes up twice in this time while anything works.
    pub fn spare_after(mut self, held: Duration) -> Self {
        self.watch.spare_after = held;
        self
    }

    /// Called on each worker's thread, with its index, before it runs anything.
    pub fn on_worker_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.hooks.start = Some(Arc::new(hook));
        self
    }

    /// Called on each worker's thread, with its index, after it ran the last thing.
    pub fn on_worker_stop(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.hooks.stop = Some(Arc::new(hook));
        self
    }

    /// Called on each worker's thread, with its index, when it has had nothing to run for so long: once, until it
    /// has run something again. For what can be put off until there is time, such as giving memory back. And once more
    /// in the same rest, if others have worked meanwhile and rest now: what they have freed may be this one's to give.
    ///
    /// It costs a worker one wake-up for each such rest. What is called holds up what comes in meanwhile and finds no
    /// other worker awake. It counts as a thread outside: what it schedules goes through the shared queue.
    pub fn on_worker_idle(
        mut self,
        after: Duration,
        hook: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.idle = Some((after, Arc::new(hook)));
        self
    }

    /// Wraps the life of each worker: `wrap(index, life)` calls `life` once, between whatever has to stand
    /// on the thread's stack meanwhile, such as the guard of another runtime's context.
    pub fn around_worker(
        mut self,
        wrap: impl Fn(usize, &mut dyn FnMut()) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.around = Some(Arc::new(wrap));
        self
    }

    /// The most threads for [blocking work](Handle::spawn_blocking); at least one. They are started when they are
    /// needed. Default: 512.
    pub fn blocking_threads(mut self, most: usize) -> Self {
        self.blocking_threads = most.max(1);
        self
    }

    /// How many closures may wait for a thread before [`Handle::try_spawn_blocking`] refuses more; none may with 0.
    /// [`Handle::spawn_blocking`] takes no notice of it. Default: no limit.
    pub fn blocking_queue(mut self, most: usize) -> Self {
        self.blocking_queue = most;
        self
    }

    /// How long a thread for blocking work waits for more of it before it ends. Default: 10 s.
    pub fn blocking_keep_alive(mut self, time: Duration) -> Self {
        self.blocking_keep_alive = time;
        self
    }

    /// Starts the threads, those for blocking work included, in another way than `thread::Builder::spawn`: to pin
    /// them, to set their priority, or to see what happens when the system has none left.
    ///
    /// A panic in it leaves [`build`](Self::build); later, for blocking work, it is as if there were no thread to be had.
    pub fn start_threads_with(
        mut self,
        start: impl Fn(thread::Builder, ThreadBody) -> io::Result<JoinHandle<()>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.start = Arc::new(start);
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: no or too many workers were asked for, or the system has no more threads. Those
    /// that had been started are stopped and joined.
    pub fn build(self) -> Result<Scheduler, BuildError> {
        let workers = self.workers.unwrap_or_else(|| {
            thread::available_parallelism().map_or(1, NonZero::get).min(MOST_WORKERS)
        });
        if workers == 0 {
            return Err(BuildError::NoWorkers);
        }
        let spares = self.watch.spares;
        let threads = workers.saturating_add(spares);
        if threads > MOST_WORKERS {
            return Err(BuildError::TooManyWorkers { asked: threads, most: MOST_WORKERS });
        }

        let rate = TickRate::measure();
        let tuning = Tuning {
            budget: self.budget,
            slice: rate.ticks(self.slice),
            age: rate.ticks(self.steal_after),
            spin: rate.ticks(self.spin),
            timer_slack: self.timer_slack,
            spares,
        };
        let barrier = Heavy::register();
        let (queues, remotes): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| LocalQueue::new(barrier)).unzip();
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(workers));
        let blocking = Pool::new(Some(blocking::Settings {
            name: self.name.clone(),
            stack_size: self.stack_size,
            most_threads: self.blocking_threads,
            most_queued: self.blocking_queue,
            keep_alive: self.blocking_keep_alive,
            start: Arc::clone(&self.start),
        }));
        let shared = Shared::new(Clock::real(), tuning, rate, remotes.into(), seed, blocking, None);

        // Dropped on failure, which stops and joins what has been started.
        let (mut scheduler, ended) = Scheduler::new(Handle::new(Arc::clone(&shared)));
        for (index, queue) in queues.into_iter().enumerate() {
            let body = self.body(Arc::clone(&shared), index, queue, ended.clone());
            let name = match index.checked_sub(workers) {
                None => format!("{}-{index}", self.name),
                Some(spare) => format!("{}-spare-{spare}", self.name),
            };
            self.launch(&mut scheduler, index, name, body)?;
        }
        if self.watch.is_needed() {
            let watchdog = Watchdog::new(shared, self.watch.clone());
            let body = Box::new(move || {
                let _last_word = LastWord { ended, index: threads };
                watchdog.live();
            });
            self.launch(&mut scheduler, threads, format!("{}-watch", self.name), body)?;
        }
        Ok(scheduler)
    }

    fn launch(
        &self,
        scheduler: &mut Scheduler,
        index: usize,
        name: String,
        body: ThreadBody,
    ) -> Result<(), BuildError> {
        match (self.start)(self.thread(name), body) {
            Ok(thread) => scheduler.started(thread),
            Err(source) => return Err(BuildError::Thread { started: index, source }),
        }
        Ok(())
    }

    fn thread(&self, name: String) -> thread::Builder {
        let thread = thread::Builder::new().name(name);
        match self.stack_size {
            Some(bytes) => thread.stack_size(bytes),
            None => thread,
        }
    }

    fn body(
        &self,
        shared: Arc<Shared>,
        index: usize,
        queue: LocalQueue,
        ended: Sender<usize>,
    ) -> ThreadBody {
        let hooks = self.hooks.clone();
        Box::new(move || {
            let _last_word = LastWord { ended, index };
            hooks.around(index, |hooks| Local::new(shared, index, queue, hooks).live(hooks));
        })
    }
}

/// Tells the owner that a worker's thread is about to end, however it ends.
struct LastWord {
    ended: Sender<usize>,
    index: usize,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        // Nobody listens any more when the owner gave up waiting.
        let _ = self.ended.send(self.index);
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("name", &self.name)
            .field("budget", &self.budget)
            .field("slice", &self.slice)
            .field("steal_after", &self.steal_after)
            .field("spin", &self.spin)
            .field("timer_slack", &self.timer_slack)
            .field("blocking_threads", &self.blocking_threads)
            .field("blocking_queue", &self.blocking_queue)
            .field("blocking_keep_alive", &self.blocking_keep_alive)
            .field("spares", &self.watch.spares)
            .finish_non_exhaustive()
    }
}

//! The runtime as a value, and the handle to it.
#![expect(unsafe_code, reason = "disposes of what a run queue held when its workers stopped")]

mod blocking;
mod builder;
mod spawner;
#[cfg(all(test, not(loom)))]
mod tests;

pub use builder::{Builder, IDLE_AFTER};
pub use spawner::RuntimeSpawner;

use std::{
    fmt,
    future::Future,
    ops::Deref,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use whitebeam_scheduler::{Runnable, Scheduler, Simulation, Task, Time, WorkerMetrics};
use whitebeam_sync::shim::thread;

use crate::{
    Actor, ActorRef, BuildError, CrashCounts, CrashReport, EventCounts, ExitReason, FindError,
    Info, Mailbox, Name, NameError, NamedRef, Pid, RelationsFuture, Rng, ShutdownReport,
    SpawnOptions, Start, StopOrKill, StopReportFuture, Stopping, Target, UnreadCounts,
    cell::CellPtr,
    children,
    contain::contain,
    end, info,
    local::StandIn,
    monitor::DownFuture,
    named, panic_place, relations,
    shared::{Settings, Shared},
    shutdown, signal,
    simulate::{Observed, Observer},
};

/// A scheduler with its processes. Several may live in one program; nothing is shared between them.
///
/// Dropped without [`shutdown`](Handle::shutdown), it kills what is left and waits for at most
/// [`DROP_WAIT`]. Dropped by one of its own processes, it does not wait.
pub struct Runtime {
    handle: Handle,
    engine: Engine,
}

enum Engine {
    /// Until it is dropped.
    Threads(Option<Scheduler>),
    Simulated(Mutex<Simulation>),
}

/// How long dropping a [`Runtime`] waits for handlers that do not return.
pub const DROP_WAIT: Duration = Duration::from_secs(5);

/// How long a worker gets at least to see that it is to stop.
const STOP_WAIT: Duration = Duration::from_millis(20);

/// A handle to a runtime: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Runtime {
    /// A runtime with one worker per core.
    ///
    /// # Errors
    /// The threads could not be started.
    pub fn new() -> Result<Runtime, BuildError> {
        Self::builder().build()
    }

    /// Settings first.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A runtime on the calling thread, with virtual time, whose every choice is drawn from `seed`.
    ///
    /// Nothing runs but inside [`block_on`](Self::block_on). The same program with the same seed runs
    /// the same way, step by step.
    ///
    /// # Errors
    /// No tag for pids is left.
    pub fn simulated(seed: u64) -> Result<Runtime, BuildError> {
        Self::builder().build_simulated(seed)
    }

    pub(crate) fn simulation(
        simulation: Simulation,
        observer: Option<&Arc<dyn Observer>>,
        mut settings: Settings,
    ) -> Result<Runtime, BuildError> {
        panic_place::install();
        settings.crashes.is_simulated = true;
        let shared = Shared::new(settings).ok_or(BuildError::TooManyRuntimes)?;
        shared.set_scheduler(simulation.handle().clone());
        if let Some(observer) = observer {
            shared.set_observed(Observed::new(observer));
        }
        let engine = Engine::Simulated(Mutex::new(simulation));
        Ok(Runtime { handle: Handle { shared }, engine })
    }

    /// What a simulated runtime runs on.
    pub(crate) fn engine(&self) -> Option<&Mutex<Simulation>> {
        match &self.engine {
            Engine::Threads(_) => None,
            Engine::Simulated(simulation) => Some(simulation),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// A handle of its own.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs a future on this thread while the workers run the processes.
    ///
    /// # Panics
    /// On a worker thread of this runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let shared = &self.handle.shared;
        let _worker = matches!(self.engine, Engine::Simulated(_)).then(|| StandIn::enter(shared));
        shared.scheduler().block_on(future)
    }
}

impl Deref for Runtime {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        shutdown::kill_all(shared);
        match &mut self.engine {
            Engine::Threads(scheduler) => {
                if let Some(scheduler) = scheduler.take() {
                    stop_threads(shared, scheduler);
                }
            }
            Engine::Simulated(simulation) => {
                let simulation = simulation.get_mut();
                let worker = StandIn::enter(shared);
                // Dropped by one of its own processes, or with another thread in a handler that does not return, it
                // cannot go on.
                let goes_on = simulation.take_over(DROP_WAIT);
                // Plain tasks may go on for ever: they are cancelled when the last process has ended.
                while goes_on && !shutdown::all_left(shared) {
                    // Again: what another thread spawned at the very moment when all were killed.
                    let was_over = shutdown::kill_all(shared).is_nobody();
                    if !(0..256).all(|_| simulation.step()) && was_over {
                        break;
                    }
                }
                simulation.drain(dispose_of);
                drop(worker);
                shared.stopped();
            }
        }
    }
}

/// Stops the workers, which have until [`DROP_WAIT`] is over for what they have in hand.
fn stop_threads(shared: &Arc<Shared>, mut scheduler: Scheduler) {
    // On one of its own workers there is nobody to wait for: that one is in the midst of a handler.
    let most = if shared.scheduler().is_worker() { Duration::ZERO } else { DROP_WAIT };
    let begun = shared.scheduler().now();
    shutdown::wait_for_ends(shared, most);
    let spent = shared.scheduler().now().saturating_since(begun);
    let stuck = scheduler.shutdown(Some(most.saturating_sub(spent).max(STOP_WAIT)));
    if stuck.is_empty() {
        return stopped(shared, scheduler);
    }
    // Who comes back from its handler late still uses all of this. The rest is left to a thread; if there is none
    // to be had, it stays as it is.
    let shared = shared.clone();
    let wait = move || {
        scheduler.shutdown(None);
        stopped(&shared, scheduler);
    };
    let _ = thread::Builder::new().name("whitebeam-stop".to_owned()).spawn(wait);
}

/// The workers are gone: disposes of what they have left.
fn stopped(shared: &Arc<Shared>, mut scheduler: Scheduler) {
    let worker = StandIn::enter(shared);
    scheduler.drain(dispose_of);
    drop(worker);
    shared.stopped();
}

/// Nobody will run it: what there is to dispose of goes here.
fn dispose_of(runnable: Runnable) {
    let _ = contain(|| match runnable.into_header() {
        // SAFETY: run queues hold cells that stay allocated while they are scheduled.
        Ok(header) => end::finish_scheduled(unsafe { CellPtr::new(header.cast()) }),
        Err(task) => drop(task),
    });
}

impl Handle {
    pub(crate) fn of(cell: CellPtr) -> Self {
        Handle { shared: cell.shared().arc() }
    }

    pub(crate) fn weak(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Starts with options: the same methods, on the options' spawner.
    pub fn with(&self, options: SpawnOptions) -> RuntimeSpawner<'_> {
        RuntimeSpawner { handle: self, options }
    }

    /// Starts a process. Its `init` runs in it, later.
    ///
    /// If none can be started (shutdown, a full process table) the address is nobody's.
    pub fn spawn<A: Actor>(&self, args: A::Args) -> ActorRef<A::Msg> {
        self.with(SpawnOptions::new()).spawn::<A>(args)
    }

    /// Starts a process in the process form: `f` is called in it with its [`Mailbox`], and the future that this
    /// gives, the body, is all of its code. What that ends with, the process ends with: `Ok` is `Normal`, a panic
    /// is a panic. Returns at once; see [`Mailbox`] for what there is to know.
    ///
    /// If none can be started (shutdown, a full process table) the address is nobody's, and `f` is dropped.
    ///
    /// ```
    /// use whitebeam_actor::{Mailbox, Reply, Runtime};
    ///
    /// enum Msg { Add(i64), Get(Reply<i64>) }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let counter = rt.spawn_fn(|mut mailbox: Mailbox<Msg>| async move {
    ///         let mut total = 0;
    ///         loop {
    ///             match mailbox.recv().await {
    ///                 Msg::Add(n) => total += n,
    ///                 Msg::Get(reply) => reply.send(total),
    ///             }
    ///         }
    ///     });
    ///     counter.cast(Msg::Add(42))?;
    ///     assert_eq!(counter.call(Msg::Get).await?, 42);
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_fn<M, F, Fut>(&self, f: F) -> ActorRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Mailbox<M>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.with(SpawnOptions::new()).spawn_fn(f)
    }

    /// Starts a process; the future is ready when its `init` is done.
    pub fn start<A: Actor>(&self, args: A::Args) -> Start<A::Msg> {
        self.with(SpawnOptions::new()).start::<A>(args)
    }

    /// Runs a future on the workers: a plain task, no process. Dropping the task cancels it.
    pub fn spawn_task<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.shared.scheduler().spawn(future)
    }

    /// The moment on the runtime's clock; virtual if the runtime is simulated.
    pub fn now(&self) -> Time {
        self.shared.scheduler().now()
    }

    /// Time since the runtime was built, by its clock; virtual if the runtime is simulated.
    pub fn uptime(&self) -> Duration {
        self.shared.scheduler().now().saturating_since(Time::ZERO)
    }

    /// Ready after `time`; in virtual time if the runtime is simulated.
    pub fn sleep(&self, time: Duration) -> whitebeam_scheduler::Sleep {
        self.shared.scheduler().sleep(time)
    }

    /// A generator of random numbers of its own; see [`Rng`] for what it is seeded with. Keep it where many
    /// numbers are wanted: to make one costs a read-modify-write of a word that all share.
    ///
    /// ```
    /// let rt = whitebeam_actor::Runtime::simulated(7)?;
    /// let (mut one, mut other) = (rt.rng(), rt.rng());
    /// assert_ne!(one.next_u64(), other.next_u64());
    /// assert!(one.below(6) < 6);
    /// # Ok::<_, whitebeam_actor::BuildError>(())
    /// ```
    pub fn rng(&self) -> Rng {
        Rng::of(self.shared.scheduler())
    }

    /// Sends an exit signal from outside. For a process that was started from outside it counts as its
    /// parent's: an orderly reason ends it in order.
    pub fn exit(&self, to: impl Target, reason: ExitReason) {
        if let Some(cell) = self.shared.find(&to) {
            signal::send_exit(cell.ptr(), None, reason, false);
        }
    }

    /// Whether the process has not ended.
    pub fn is_alive(&self, to: impl Target) -> bool {
        self.shared.find(&to).is_some_and(|cell| !cell.ptr().is_ended())
    }

    /// Whether the process is a supervised one that lives on although its supervisor has ended, or one above that has.
    /// It was told to shut down, and nobody waits for it.
    pub fn is_orphan(&self, to: impl Target) -> bool {
        self.shared
            .find(&to)
            .is_some_and(|cell| !cell.ptr().is_ended() && children::is_orphan(cell))
    }

    /// The process that is registered under a name. It may have ended when this returns. For a
    /// [via name](Name::via) it is what the registry says, unless it is known to have ended; it may be a process
    /// of another runtime.
    ///
    /// Cost of a text: a lock that all names of the runtime share, a hash and a comparison; and an allocation if
    /// it is passed as text, none as a `&Name` that is kept. See [`Name::of`] for values.
    pub fn whereis(&self, name: impl Into<Name>) -> Option<Pid> {
        self.shared.names().whereis(&self.shared, &name.into())
    }

    /// The pid that `target` leads to now: of a pid that pid, alive or not, of an address its process's, of a name
    /// [who has it](Self::whereis).
    pub fn pid_of(&self, target: impl Target) -> Option<Pid> {
        self.shared.pid_of(&target)
    }

    /// The address of a process that lives and takes messages of type `M`.
    ///
    /// # Errors
    /// There is no such process, or its messages are of another type.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, FindError, Name, Reply, Runtime, SpawnOptions};
    /// # struct Answers;
    /// # impl Actor for Answers {
    /// #     type Args = ();
    /// #     type Msg = Reply<u32>;
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Answers) }
    /// #     async fn handle(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         reply.send(42);
    /// #         Ok(())
    /// #     }
    /// # }
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     rt.with(SpawnOptions::new().name("answers")).start::<Answers>(()).await?;
    ///     let answers = rt.find::<Reply<u32>>(Name::from("answers"))?;
    ///     assert_eq!(answers.call(|reply| reply).await?, 42);
    ///     assert!(matches!(rt.find::<String>(&answers), Err(FindError::WrongMessage { .. })));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn find<M: Send + 'static>(&self, target: impl Target) -> Result<ActorRef<M>, FindError> {
        let cell = self.shared.find(&target).ok_or(FindError::NoProc)?;
        named::check::<M>(cell).map(ActorRef::from_cell)
    }

    /// An address by name: each message goes to whoever has it then, if that one takes messages of type `M`.
    pub fn named<M: Send + 'static>(&self, name: impl Into<Name>) -> NamedRef<M> {
        NamedRef::new(self.clone(), name.into())
    }

    /// Registers a process of this runtime under a name, which is free again when its end can be seen. A process
    /// has at most one name of the runtime's own, and any number of [via names](Name::via); a name has one
    /// process.
    ///
    /// # Errors
    /// The name is taken or is none, the process has one, there is no such process, or the name's registry has
    /// panicked.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, NameError, Runtime};
    /// # struct Idle;
    /// # impl Actor for Idle {
    /// #     type Args = ();
    /// #     type Msg = ();
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Idle) }
    /// #     async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> { Ok(()) }
    /// # }
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let (one, other) = (rt.start::<Idle>(()).await?, rt.start::<Idle>(()).await?);
    ///     rt.register("leader", &one)?;
    ///     assert_eq!(rt.whereis("leader"), Some(one.pid()));
    ///     assert_eq!(rt.register("leader", &other), Err(NameError::Taken(one.pid())));
    ///     assert!(rt.unregister("leader"));
    ///     rt.register("leader", &other)?;
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn register(&self, name: impl Into<Name>, to: impl Target) -> Result<(), NameError> {
        let cell = self.shared.find(&to);
        self.shared.names().register(&name.into(), cell.as_ref())
    }

    /// Frees a name, whoever has it. `false`: nobody had it.
    pub fn unregister(&self, name: impl Into<Name>) -> bool {
        self.shared.names().unregister(&self.shared, &name.into())
    }

    /// Asks a process to end with `reason` in order: after the handler that runs or is suspended, ahead of the
    /// messages that wait, with its `terminate`, whether it traps exits or not. The request is sent now; the
    /// future is ready with `Ok` if the process has ended with that very reason.
    ///
    /// # Errors
    /// There is no such process; it ended with another reason; the
    /// [time limit](Stopping::timeout) was over first.
    ///
    /// ```text
    /// rt.stop(&server, ExitReason::Normal).timeout(Duration::from_secs(5)).await?;
    /// ```
    pub fn stop(&self, to: impl Target, reason: ExitReason) -> Stopping {
        Stopping::new(self.clone(), self.shared.find(&to), reason)
    }

    /// Asks a process to end, as [`stop`](Self::stop), and kills it if it has not ended `within` a time from now on.
    /// The future is ready when it has really ended, and says how: a handler that does not come back from its own
    /// code ends by no kill, and is waited for.
    ///
    /// # Errors
    /// `NoProc` and `Itself`, as [`stop`](Self::stop).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime, StopOutcome};
    /// struct Server { is_stubborn: bool }
    /// impl Actor for Server {
    ///     type Args = bool;
    ///     type Msg = ();
    /// #   async fn init(is_stubborn: bool, _: &mut Context<Self>) -> Result<Self, ExitReason> {
    /// #       Ok(Server { is_stubborn })
    /// #   }
    /// #   async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> { Ok(()) }
    ///     async fn terminate(&mut self, _: &ExitReason, _cx: &mut Context<Self>) {
    ///         if self.is_stubborn {
    ///             std::future::pending().await
    ///         }
    ///     }
    /// }
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let (one, other) = (rt.start::<Server>(true).await?, rt.start::<Server>(false).await?);
    ///     let within = Duration::from_secs(5);
    ///     let outcome = rt.stop_or_kill(&one, ExitReason::Shutdown, within).await?;
    ///     assert!(matches!(outcome, StopOutcome::Killed));
    ///     let outcome = rt.stop_or_kill(&other, ExitReason::Shutdown, within).await?;
    ///     assert!(matches!(outcome, StopOutcome::Stopped));
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop_or_kill(
        &self,
        to: impl Target,
        reason: ExitReason,
        within: Duration,
    ) -> StopOrKill {
        StopOrKill::new(self.clone(), self.shared.find(&to), reason, within)
    }

    /// Whom a process is linked to, monitors and is monitored by. The question is sent now, and answered by the
    /// process as soon as it runs, ahead of the messages that wait. `None`: it has ended.
    pub fn relations(&self, of: impl Target) -> RelationsFuture {
        relations::ask(self.shared.find(&of))
    }

    /// What can be seen of a process now. `None`: it has ended.
    pub fn info(&self, of: impl Target) -> Option<Info> {
        info::of(&self.shared.find(&of)?)
    }

    /// The end of a process. Ready at once with `NoProc` if it has ended. The process is watched from
    /// now on, until the future is ready or dropped. By a name: whoever has it now, and `down.name` is the name.
    pub fn down(&self, to: impl Target) -> DownFuture {
        let pid = self.shared.pid_of(&to).unwrap_or(Pid::from_bits(0));
        DownFuture::new(&self.shared, pid).named(to.name().cloned())
    }

    /// How a process that supervises others has stopped them, once it has ended, whoever ends it: its own tree of what
    /// [`shutdown`](Self::shutdown) tells of all. Asked for ahead of the end, as [`down`](Self::down). `None`: it
    /// had no children then, or there is no such process.
    pub fn stop_report(&self, of: impl Target) -> StopReportFuture {
        StopReportFuture::new(&self.shared, self.shared.pid_of(&of).unwrap_or(Pid::from_bits(0)))
    }

    /// The last crashes, oldest first; how many are kept says [`Builder::crash_history`]. Who was told of the end of
    /// a process finds its report here.
    pub fn crashes(&self) -> Vec<Arc<CrashReport>> {
        self.shared.crashes().history()
    }

    /// How many crashes there were.
    pub fn crash_counts(&self) -> CrashCounts {
        self.shared.crashes().counts()
    }

    /// How many events [`Builder::on_event`]'s hook was told of.
    pub fn event_counts(&self) -> EventCounts {
        self.shared.events().counts()
    }

    /// How many messages ended processes have left unread. What is being disposed of, some time after an end was told, is
    /// still to be counted; all is when [`shutdown`](Self::shutdown) is ready.
    pub fn unread_counts(&self) -> UnreadCounts {
        self.shared.unread().read()
    }

    /// Number of worker threads.
    pub fn workers(&self) -> usize {
        self.shared.scheduler().workers()
    }

    /// Counters of the workers.
    pub fn metrics(&self) -> Vec<WorkerMetrics> {
        self.shared.scheduler().metrics()
    }

    /// All processes that live now. A walk of the process table, for people and tools.
    pub fn processes(&self) -> Vec<Info> {
        let mut all = Vec::new();
        self.shared.walk(|cell| all.extend(info::of(&cell)));
        all
    }

    /// Ends all processes in order: those started from outside are told to shut down, and end their
    /// own. What is left after `within` is killed. Nothing can be started from now on.
    ///
    /// Ready when all have ended and their backlogs are disposed of, or when handlers that do not
    /// return are given up: the report names them.
    pub fn shutdown(
        &self,
        within: Duration,
    ) -> impl Future<Output = ShutdownReport> + Send + 'static + use<> {
        shutdown::shutdown(self.shared.clone(), within)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runtime({} workers)", self.handle.workers())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({} workers)", self.workers())
    }
}

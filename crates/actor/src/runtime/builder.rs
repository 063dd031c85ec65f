//! How a runtime is made.

use std::{fmt, sync::Arc, time::Duration};

use whitebeam_scheduler::{Scheduler, Simulation};

use super::{Engine, Handle, Runtime};
use crate::{
    BuildError, CrashReport, RuntimeEvent,
    contain::contain,
    crash::Output,
    local, panic_place,
    shared::{Settings, Shared},
    stuck,
    watermark::Levels,
};

/// Settings of a [`Runtime`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    workers: Option<usize>,
    name: Option<String>,
    blocking_threads: Option<usize>,
    blocking_queue: Option<usize>,
    blocking_keep_alive: Option<Duration>,
    fairness: Fairness,
    walk_every: Option<Duration>,
    settings: Settings,
    on_idle: Option<OnIdle>,
}

/// How long a worker has had nothing to do when it gives memory back: a burst is over, and the next one is not meant
/// to pay for that.
pub const IDLE_AFTER: Duration = Duration::from_millis(100);

/// See [`Builder::on_idle`].
struct OnIdle(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for OnIdle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnIdle(..)")
    }
}

/// How long a worker stays with one process, and what happens if that does not let it go.
#[derive(Debug)]
struct Fairness {
    budget: Option<u32>,
    slice: Option<Duration>,
    timer_slack: Option<Duration>,
    stuck_after: Duration,
    spares: usize,
    spare_after: Option<Duration>,
}

impl Default for Fairness {
    fn default() -> Self {
        Fairness {
            budget: None,
            slice: None,
            timer_slack: None,
            stuck_after: STUCK_AFTER,
            spares: 0,
            spare_after: None,
        }
    }
}

/// How long a handler may hold its worker before it is [told of](Builder::stuck_after), unless said otherwise. Nobody
/// computes for so long on purpose; a machine that is overloaded does not keep a thread waiting for it.
const STUCK_AFTER: Duration = Duration::from_secs(1);

impl Fairness {
    fn set(&self, builder: whitebeam_scheduler::Builder) -> whitebeam_scheduler::Builder {
        let mut builder = builder.spare_workers(self.spares);
        if let Some(budget) = self.budget {
            builder = builder.budget(budget);
        }
        if let Some(slice) = self.slice {
            builder = builder.slice(slice);
        }
        if let Some(slack) = self.timer_slack {
            builder = builder.timer_slack(slack);
        }
        if let Some(held) = self.spare_after {
            builder = builder.spare_after(held);
        }
        builder
    }
}

impl Builder {
    /// Number of worker threads, 1 or more. One per core unless said otherwise.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// What the worker threads are called, with a number behind; those for blocking work have `-blocking-` and a number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Messages that a process may handle before it goes behind all others that its worker has, at least one. Default:
    /// 128. See [`SpawnOptions::budget`](crate::SpawnOptions::budget) for one process alone.
    ///
    /// What a handler awaits counts as well, if it is ready at once and is one of the runtime's own futures: the next
    /// of them is pending first when the budget is used up. So a loop over what is always ready does not hold its worker.
    pub fn budget(mut self, messages: u32) -> Self {
        self.fairness.budget = Some(messages);
        self
    }

    /// Time that a process may take before it goes behind all others that its worker has, looked at between two
    /// messages. Default: 50 us. So late is a message from outside, or a timer, while all workers are busy.
    pub fn slice(mut self, slice: Duration) -> Self {
        self.fairness.slice = Some(slice);
        self
    }

    /// How late dense timers may be, so that workers without other work sleep between them: on average they wake up for
    /// timers no more often than once in this time. Zero: for each of them. Default: 500 us.
    ///
    /// Timers that are sparse are on time: a few wake-ups in short succession are not put off. While workers have other
    /// work they fire what is due each [slice](Self::slice).
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.fairness.timer_slack = Some(slack);
        self
    }

    /// A handler that holds its worker for longer than this is told of, by
    /// [`HandlerStuck`](RuntimeEvent::HandlerStuck), and when it returns, by
    /// [`HandlerReturned`](RuntimeEvent::HandlerReturned). Default: 1 s; zero switches it off. Between one and one and
    /// a half times as late; not below 500 us.
    ///
    /// It takes a [hook](Self::on_event). With one, there is a thread that wakes up twice within this time while
    /// anything works, and sleeps when nothing does.
    pub fn stuck_after(mut self, limit: Duration) -> Self {
        self.fairness.stuck_after = limit;
        self
    }

    /// Makes so many threads more, which sleep until a worker is held by one handler, and do its work until that
    /// returns: what it had queued, its timers, and its part of all that comes. Default: none.
    ///
    /// Without spares the other workers do so as well, as far as they come to it; if all are held, nothing goes on. As
    /// many spares are of use as handlers may hold workers at a time. One that computes, and is not merely blocked,
    /// leaves the processors one thread more to run than there are workers.
    ///
    /// ```
    /// use std::{sync::mpsc, time::Duration};
    /// use whitebeam_actor::{Mailbox, Runtime};
    ///
    /// let rt = Runtime::builder().workers(1).spare_workers(1).build()?;
    /// let (release, released) = mpsc::channel::<()>();
    /// let stuck = rt.spawn_fn(|_: Mailbox<()>| async move {
    ///     // Blocks the one worker there is.
    ///     _ = released.recv();
    ///     Ok(())
    /// });
    /// // Everything else goes on.
    /// rt.block_on(rt.spawn_task(async {}));
    /// assert!(rt.is_alive(&stuck));
    /// release.send(())?;
    /// rt.block_on(rt.down(&stuck));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn spare_workers(mut self, spares: usize) -> Self {
        self.fairness.spares = spares;
        self
    }

    /// How long a worker is held before a spare stands in for it. Default: 2 ms. Between one and one and a half times
    /// as late; not below 500 us. A thread wakes up twice within this time while anything works.
    pub fn spare_after(mut self, held: Duration) -> Self {
        self.fairness.spare_after = Some(held);
        self
    }

    /// Has `hook` called with a [report](CrashReport) of each process that ends abnormally by its own code.
    /// Crashes are not printed to stderr any more; the report prints itself with `{}`.
    ///
    /// It is called by the worker that ended the process, after links, monitors, the parent and the caller of the
    /// request in hand were told: it delays none of these. It does hold up its worker, and callers whose requests
    /// were still unread. Send the report on if it is to be
    /// worked with. Other workers may call it at the same time. A panic in it goes no further, and is
    /// [counted](Handle::crash_counts). It is dropped when the runtime has stopped, so it may hold a handle.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime};
    /// # struct Fragile;
    /// # impl Actor for Fragile {
    /// #     type Args = ();
    /// #     type Msg = ();
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Fragile) }
    /// #     async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Err(ExitReason::custom("no luck"))
    /// #     }
    /// # }
    /// use std::sync::mpsc;
    ///
    /// let (reports, crashed) = mpsc::channel();
    /// let rt = Runtime::builder()
    ///     .workers(1)
    ///     .on_crash(move |report| _ = reports.send(report.to_string()))
    ///     .build()?;
    /// let fragile = rt.spawn::<Fragile>(());
    /// fragile.cast(())?;
    /// assert!(crashed.recv()?.contains("reason: \"no luck\""));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_crash(mut self, hook: impl Fn(&CrashReport) + Send + Sync + 'static) -> Self {
        self.settings.crashes.hook = Some(Arc::new(hook));
        self
    }

    /// How many reports are kept, the last ones, for [`Handle::crashes`]. Default: [`CRASH_HISTORY`]; 0 keeps none.
    ///
    /// [`CRASH_HISTORY`]: crate::CRASH_HISTORY
    pub fn crash_history(mut self, reports: usize) -> Self {
        self.settings.crashes.history = Some(reports);
        self
    }

    /// Crashes are not printed. Unless said otherwise each is, to stderr, as one block of lines, at most
    /// [`CRASHES_PRINTED_PER_SECOND`](crate::CRASHES_PRINTED_PER_SECOND); but not if there is a
    /// [hook](Self::on_crash), a `tracing` subscriber that takes them (docs/events.md), or the runtime is simulated.
    ///
    /// Where a block tells of a panic, Rust's own message of it is left out; not if `RUST_BACKTRACE` asks for
    /// more, and never that of a hook of the program's own.
    pub fn quiet_crashes(mut self) -> Self {
        self.settings.crashes.output = Output::Quiet;
        self
    }

    /// Blocks go to `writer` instead of stderr, whether there is a hook or not, also if the runtime is simulated.
    /// Called by workers, perhaps by several at the same time, each time with one or more whole lines.
    pub fn print_crashes(mut self, writer: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.settings.crashes.output = Output::To(Arc::new(writer));
        self
    }

    /// Has `hook` called with each [event](RuntimeEvent) of the runtime.
    ///
    /// Whoever found the event calls it: a worker, outside of any process, or the thread that watches the workers;
    /// several may at the same time. Send the event on if it is to be worked with. A panic in it goes no further,
    /// and is [counted](Handle::event_counts). It is dropped when the runtime has stopped, so it may hold a handle.
    pub fn on_event(mut self, hook: impl Fn(&RuntimeEvent) + Send + Sync + 'static) -> Self {
        self.settings.events.hook = Some(Arc::new(hook));
        self
    }

    /// The most threads for [blocking work](Handle::spawn_blocking), 1 or more. They are started when they are needed.
    /// Default: 512.
    pub fn blocking_threads(mut self, most: usize) -> Self {
        self.blocking_threads = Some(most);
        self
    }

    /// How many blocking closures may wait for a thread before [`Context::try_blocking`](crate::Context::try_blocking)
    /// and [`Handle::try_spawn_blocking`] refuse more; none may with 0. The others take no notice of it. Default: no
    /// limit.
    pub fn blocking_queue(mut self, most: usize) -> Self {
        self.blocking_queue = Some(most);
        self
    }

    /// How long a thread for blocking work waits for more of it before it ends. Default: 10 s.
    pub fn blocking_keep_alive(mut self, time: Duration) -> Self {
        self.blocking_keep_alive = Some(time);
        self
    }

    /// Has `hook` called by each worker, on its thread, when it has had nothing to do for [`IDLE_AFTER`]: once, until it
    /// has had something to do again; and once more if others have worked meanwhile and now rest as well, since what
    /// they have freed may be of this thread's.
    ///
    /// It is for the program's allocator. Messages, frames and large states come from that, and what one thread has
    /// freed of another's memory stays with some allocators until the other one allocates again, or is told to look: with
    /// mimalloc by `mi_collect`. (What the runtime holds itself, the memory of processes, its workers give back at
    /// that time without being told.)
    ///
    /// It holds up whatever comes in while it runs, and counts as a thread outside. A panic in it goes no further.
    /// It is dropped when the runtime has stopped. Without effect on a simulated runtime, which has no workers.
    ///
    /// ```
    /// # use std::sync::mpsc;
    /// # use whitebeam_actor::Runtime;
    /// let (idle, is_idle) = mpsc::channel();
    /// let rt = Runtime::builder().workers(1).on_idle(move || _ = idle.send(())).build()?;
    /// is_idle.recv()?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_idle(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_idle = Some(OnIdle(Box::new(hook)));
        self
    }

    /// From how many messages on a mailbox is told of as long, and down to how many as short again: the
    /// [events](Self::on_event) [`MailboxHigh`](RuntimeEvent::MailboxHigh) and
    /// [`MailboxLow`](RuntimeEvent::MailboxLow). Default: [`MAILBOX_HIGH`](crate::MAILBOX_HIGH) and
    /// [`MAILBOX_LOW`](crate::MAILBOX_LOW). A `low` that is not below `high` is the one just below; `high` 0 turns it off.
    /// One process may have [others](crate::SpawnOptions::watermark).
    ///
    /// It costs a process that handles its messages as they come nothing, and no sender anything.
    pub fn mailbox_watermark(mut self, high: usize, low: usize) -> Self {
        self.settings.watermark = Levels::new(high, low);
        self
    }

    /// Has all processes looked at every so often, for as long as the runtime lives: see
    /// [`Handle::walker`]. Unless said otherwise nobody looks.
    pub fn walk_every(mut self, every: Duration) -> Self {
        self.walk_every = Some(every);
        self
    }

    /// As [`Runtime::simulated`], with what was set of crashes, events, watermarks and walks; what concerns threads and
    /// fairness has no effect: turns are cut short as the seed says, and nothing is held up.
    ///
    /// # Errors
    /// No tag for pids is left.
    pub fn build_simulated(self, seed: u64) -> Result<Runtime, BuildError> {
        let rt = Runtime::simulation(Simulation::new(seed), None, self.settings)?;
        if let Some(every) = self.walk_every {
            let walks = rt.shared().inspection().walk_every(rt.shared(), every);
            walks.map_err(BuildError::Walker)?;
        }
        Ok(rt)
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// Zero workers; the system gives no more threads (those that were started are stopped); too many
    /// runtimes are alive in this program.
    pub fn build(self) -> Result<Runtime, BuildError> {
        panic_place::install();
        let shared = Shared::new(self.settings).ok_or(BuildError::TooManyRuntimes)?;
        let weak = || Arc::downgrade(&shared);
        let (start, stop, idle, on_idle) = (weak(), weak(), weak(), self.on_idle);
        let mut builder = Scheduler::builder()
            .name(self.name.unwrap_or_else(|| "whitebeam".to_owned()))
            .on_worker_start(move |index| {
                if let Some(shared) = start.upgrade() {
                    local::attach(Arc::as_ptr(&shared), Some(index));
                }
            })
            .on_worker_stop(move |_| {
                if let Some(shared) = stop.upgrade() {
                    local::detach(&shared);
                }
            })
            .on_worker_idle(IDLE_AFTER, move |_| {
                if let Some(shared) = idle.upgrade() {
                    local::give_back(&shared);
                }
                if let Some(OnIdle(hook)) = &on_idle {
                    // A panic was told to the panic hook.
                    let _ = contain(hook);
                }
            });
        if let Some(workers) = self.workers {
            builder = builder.workers(workers);
        }
        if let Some(most) = self.blocking_threads {
            builder = builder.blocking_threads(most);
        }
        if let Some(most) = self.blocking_queue {
            builder = builder.blocking_queue(most);
        }
        if let Some(time) = self.blocking_keep_alive {
            builder = builder.blocking_keep_alive(time);
        }
        builder = self.fairness.set(builder);
        if !self.fairness.stuck_after.is_zero() && shared.events().wants_stuck() {
            let hook = stuck::hook(Arc::downgrade(&shared));
            builder = builder.on_long_run(self.fairness.stuck_after, hook);
        }
        let scheduler = match builder.build() {
            Ok(scheduler) => scheduler,
            Err(error) => {
                shared.stopped();
                return Err(BuildError::Scheduler(error));
            }
        };
        shared.set_scheduler(scheduler.handle().clone());
        if cfg!(panic = "abort") {
            crate::warn_about_abort();
        }
        let rt = Runtime { handle: Handle { shared }, engine: Engine::Threads(Some(scheduler)) };
        if let Some(every) = self.walk_every {
            let walks = rt.shared().inspection().walk_every(rt.shared(), every);
            walks.map_err(BuildError::Walker)?;
        }
        Ok(rt)
    }
}

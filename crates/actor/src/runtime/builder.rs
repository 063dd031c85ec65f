//! How a runtime is made.

use std::{sync::Arc, time::Duration};

use whitebeam_scheduler::{Scheduler, Simulation};

use super::{Engine, Handle, Runtime};
use crate::{
    BuildError, CrashReport, RuntimeEvent,
    crash::Output,
    local, panic_place,
    shared::{Settings, Shared},
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
    settings: Settings,
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

    /// As [`Runtime::simulated`], with what was set of crashes and events; what concerns threads has no effect.
    ///
    /// # Errors
    /// No tag for pids is left.
    pub fn build_simulated(self, seed: u64) -> Result<Runtime, BuildError> {
        Runtime::simulation(Simulation::new(seed), None, self.settings)
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// Zero workers; the system gives no more threads (those that were started are stopped); too many
    /// runtimes are alive in this program.
    pub fn build(self) -> Result<Runtime, BuildError> {
        panic_place::install();
        let shared = Shared::new(self.settings).ok_or(BuildError::TooManyRuntimes)?;
        let (start, stop) = (Arc::downgrade(&shared), Arc::downgrade(&shared));
        let mut builder = Scheduler::builder()
            .name(self.name.unwrap_or_else(|| "whitebeam".to_owned()))
            .on_worker_start(move |_| {
                if let Some(shared) = start.upgrade() {
                    local::attach(Arc::as_ptr(&shared));
                }
            })
            .on_worker_stop(move |_| {
                if let Some(shared) = stop.upgrade() {
                    local::detach(&shared);
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
        Ok(Runtime { handle: Handle { shared }, engine: Engine::Threads(Some(scheduler)) })
    }
}

//! Work-stealing scheduler of the Whitebeam actor runtime: workers, timers, tasks, and a simulation.
//!
//! It runs [`Runnable`]s: cells of an actor runtime through a [`RunHeader`], and plain futures. It knows
//! nothing of actors. A [`Scheduler`] is a value: no statics, several per process.
//!
//! | part | where |
//! | --- | --- |
//! | what is run, and for how long | [`Runnable`], [`Turn`]; futures that are always ready: `coop` |
//! | who holds a worker for long | `watch`, [`LongRun`] |
//! | the loop, the queue, stealing, sleeping | `worker`, `queue`; the protocol of who sleeps is [`whitebeam_sync::idle`] |
//! | time and timers | [`Time`], `timers`, `timer` |
//! | plain futures | [`Task`], [`Handle::spawn`], [`Handle::block_on`] |
//! | closures that hold up their thread | [`Handle::spawn_blocking`], `blocking` |
//! | everything that could go either way | [`Choices`], [`Simulation`] |
//! | the end | [`Scheduler::shutdown`] |
//! | none of it, for loom | `model` |
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use whitebeam_scheduler::Scheduler;
//!
//! let scheduler = Scheduler::builder().workers(2).build()?;
//! let handle = scheduler.handle().clone();
//! let answer = handle.spawn({
//!     let handle = handle.clone();
//!     async move {
//!         handle.sleep(Duration::from_millis(1)).await;
//!         42
//!     }
//! });
//! assert_eq!(handle.block_on(answer), 42);
//! # Ok::<(), whitebeam_scheduler::BuildError>(())
//! ```

#![deny(unsafe_code)]

mod block_on;
mod blocking;
mod builder;
mod choice;
mod clock;
mod coop;
mod error;
mod handle;
mod metrics;
#[cfg(loom)]
mod model;
mod queue;
mod runnable;
mod scheduler;
mod shared;
mod simulation;
mod task;
mod timer;
mod timers;
mod turn;
mod watch;
mod worker;

pub use blocking::{BlockingTask, Refusal, Refused, Unfinished};
pub use builder::{Builder, ThreadBody};
pub use choice::{Choices, Point, Seeded, Waiting};
pub use clock::Time;
pub use coop::{YieldNow, consume_budget, poll_budget, yield_now};
pub use error::BuildError;
pub use handle::Handle;
pub use metrics::{BlockingMetrics, WorkerMetrics};
#[cfg(loom)]
pub use model::Model;
pub use runnable::{Ran, RunHeader, RunVt, Runnable};
pub use scheduler::Scheduler;
pub use simulation::Simulation;
pub use task::Task;
pub use timer::Expire;
pub use timers::{Sleep, TimerKey};
pub use turn::Turn;
pub use watch::LongRun;

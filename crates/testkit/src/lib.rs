//! Tests of actors: a program is run many times, each time another way, and a failure is repeated from one
//! number.
//!
//! [`sim`] runs a test in simulated runtimes: one thread, virtual time, and every choice of the scheduler drawn
//! from a seed. A run is a function of the program and the seed, so a failure comes with the command that
//! repeats it. [`everywhere`] runs the same test on real threads too.
//!
//! ```
//! use std::time::Duration;
//! use whitebeam::prelude::*;
//! use whitebeam_testkit::sim;
//!
//! struct Greeter;
//! struct Greet(String, Reply<String>);
//!
//! impl Actor for Greeter {
//!     type Args = ();
//!     type Msg = Greet;
//!     async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
//!         Ok(Greeter)
//!     }
//!     async fn handle(&mut self, Greet(name, reply): Greet, cx: &mut Context<Self>) -> Result<(), ExitReason> {
//!         cx.runtime().sleep(Duration::from_secs(3_600)).await; // takes no time in the simulation
//!         reply.send(format!("hello {name}"));
//!         Ok(())
//!     }
//! }
//!
//! sim(|rt| async move {
//!     let greeter = rt.start::<Greeter>(()).await?;
//!     let answer = greeter.call(|reply| Greet("you".into(), reply)).no_timeout().await?;
//!     assert_eq!(answer, "hello you");
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! });
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | find interleavings that break a test | [`sim`], [`Sim`], [`Strategy`] |
//! | see that no interleaving breaks a small one | [`Sim::all_orders`] |
//! | let things go wrong on the way | [`Faults`] |
//! | stand in for an actor, and see what it is sent | [`Probe`] |
//! | see who ended, and who was started again | [`TestRuntime::lifecycle`], [`Tree`] |
//! | run a test on threads as well | [`everywhere`], [`Everywhere`] |
//!
//! # What makes a run repeatable
//!
//! Whatever the program gets from the runtime is: the order of everything, time, [`Rng`](whitebeam_actor::Rng).
//! What it gets past it is not: the system's clock, threads of its own, addresses, a `HashMap` with std's
//! hasher that it walks.
//!
//! # What it cannot see
//!
//! A handler is atomic between two awaits. Races inside of one, on memory that actors share behind the runtime's
//! back, are for loom or a sanitizer.
#![forbid(unsafe_code)]

mod everywhere;
mod failure;
mod fault;
mod probe;
mod record;
mod runtime;
mod sim;
mod strategy;
mod tree;

pub use everywhere::{Everywhere, everywhere};
pub use failure::{Failure, FailureKind, Leaks, Left, Outcome, Report, Run};
pub use fault::{Faults, Who};
pub use probe::Probe;
pub use record::{Life, Lived, Trace};
pub use runtime::TestRuntime;
pub use sim::{ORDER_VARIABLE, SEED_VARIABLE, SEEDS_VARIABLE, Sim, sim};
pub use strategy::Strategy;
pub use tree::{Restarted, Tree};

// The chapter on testing: its code is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct Manual;

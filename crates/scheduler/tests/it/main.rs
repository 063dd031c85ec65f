//! Tests of the scheduler through its public interface. One program, so that it is linked once.
//!
//! [`target`] has what is run: a small stand-in for an actor. Each wait in these tests has a deadline and says
//! what it waited for.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up has failed")]
#![expect(clippy::disallowed_methods, reason = "tests of real threads measure real time")]

mod blocking;
mod build;
mod coop;
mod idle;
mod options;
mod panics;
mod schedule;
mod shutdown;
mod simulation;
mod spares;
mod stress;
mod target;
mod tasks;
mod timers;

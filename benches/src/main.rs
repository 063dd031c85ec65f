//! Benchmark harness of Whitebeam.
//!
//! Without arguments it takes the visitor on a tour of the job the project was made for; `run`
//! measures one workload (`list` names them), as a table or, with `--json`, as lines for programs.
//! Every run counts what it did and has no figure when a count is off. Exit codes: 0 done; 1 a run
//! failed or its counts were off; 2 bad arguments.
//!
//! `stress` measures nothing: it looks for what is lost or left (`stress.rs`).
//!
//! The allocator is mimalloc, as for every Rust system the figures are compared with.

#![deny(unsafe_code)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness measures by the real clock, on threads of its own, and prints"
)]

mod burn;
mod cli;
mod environment;
mod failure;
mod finish_line;
mod line_transfer;
mod list;
mod process;
mod repetition;
mod report;
mod rmw;
mod sampler;
mod shutdown;
mod stats;
mod stress;
mod tally;
mod tour;
mod under_test;
mod workloads;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::stress::allocator::Counting;
use clap::Parser;

#[cfg(not(feature = "system-allocator"))]
#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

#[cfg(feature = "system-allocator")]
#[global_allocator]
static ALLOCATOR: Counting<std::alloc::System> = Counting(std::alloc::System);

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cfg!(debug_assertions) {
        eprintln!(
            "note: a debug build's figures say nothing; use `cargo run --release -p whitebeam-bench`"
        );
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        None => tour::run(),
        Some(Command::List) => list::print().map_err(Failure::system("printing")),
        Some(Command::SpawnOnce { workers, count }) => {
            workloads::w4_spawn::once_here(workers, count)
        }
        Some(Command::BurstOnce { workers, of, count }) => {
            workloads::burst::once_here(workers, of, count)
        }
        Some(Command::Stress(args)) => stress::run(&args.options()),
        Some(Command::Run { work }) => {
            let (figures, json) = workloads::run(&work)?;
            let printed =
                if json { report::print_json(&figures) } else { report::print_tables(&figures) };
            printed.map_err(Failure::system("printing"))
        }
    }
}

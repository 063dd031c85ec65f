//! `list`: the workloads by id, with what they do. The texts are those of the command line's help.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::cli::Cli;

/// Prints a line for each workload.
///
/// # Errors
///
/// When standard output is gone.
pub(crate) fn print() -> io::Result<()> {
    let command = Cli::command();
    let run = command.find_subcommand("run");
    let workloads: Vec<_> = run.into_iter().flat_map(|run| run.get_subcommands()).collect();
    let width = workloads.iter().map(|workload| workload.get_name().len()).max().unwrap_or(0);
    let mut out = io::stdout().lock();
    for workload in workloads {
        let about = workload.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "{:<width$}  {about}", workload.get_name())?;
    }
    writeln!(out, "\nRun one with `run ID`; `run ID --help` shows its options.")
}

//! The runtime under test: made alike for every workload, looked at, and ended in order.

use std::time::Duration;

use whitebeam::{Handle, Runtime, Target};

use crate::failure::Failure;
use crate::sampler::Reading;

/// Longest wait for anything in a run. No workload takes near as long; it is met when something
/// hangs, and makes a failure of that.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A runtime with default settings and `workers` threads.
///
/// # Errors
///
/// When the library cannot make one.
pub(crate) fn runtime(workers: usize) -> Result<Runtime, Failure> {
    Runtime::builder().workers(workers).build().map_err(Failure::library("starting a runtime"))
}

/// Stops everything in `rt` and waits until it is gone, backlogs included.
///
/// # Errors
///
/// When something had to be killed, or could not even be.
pub(crate) fn end(rt: Runtime) -> Result<(), Failure> {
    let stopping = rt.shutdown(LONGEST_WAIT);
    let report = rt.block_on(stopping);
    if report.is_clean() {
        return Ok(());
    }
    Err(Failure::Unexpected { what: "the runtime's end", got: report.to_string() })
}

/// A process's mailbox now; none once it has ended.
pub(crate) fn mailbox(rt: &Handle, process: impl Target) -> Option<Reading> {
    let info = rt.info(process)?;
    Some(Reading { len: info.mailbox_len as u64, high_water: info.mailbox_high_water as u64 })
}

/// Bytes that a process owns; none once it has ended.
pub(crate) fn memory(rt: &Handle, process: impl Target) -> Option<u64> {
    rt.info(process).map(|info| info.memory as u64)
}

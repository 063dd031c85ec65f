//! How what is seen is serialised: pids, names, and the counters of the workers and of the pool for blocking work.
//!
//! A pid, a name and a reason are text, as they are printed. The text of a name or a reason may be the user's code: its
//! panic is contained.

use std::sync::Arc;

use serde::{
    Serialize, Serializer,
    ser::{SerializeSeq, SerializeStruct},
};
use whitebeam_scheduler::{BlockingMetrics, WorkerMetrics};

use crate::{ExitReason, Name, Pid, StopReport, crash};

impl Serialize for Pid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&crash::name_of(self)),
        }
    }
}

pub(crate) fn reason<S: Serializer>(reason: &ExitReason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crash::text_of(reason))
}

pub(crate) fn reports<S: Serializer>(
    reports: &[Arc<StopReport>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(reports.iter().map(|report| &**report))
}

pub(super) fn workers<S: Serializer>(
    all: &[WorkerMetrics],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut seq = serializer.serialize_seq(Some(all.len()))?;
    for worker in all {
        seq.serialize_element(&Worker(worker))?;
    }
    seq.end()
}

struct Worker<'a>(&'a WorkerMetrics);

impl Serialize for Worker<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let worker = self.0;
        let mut fields = serializer.serialize_struct("WorkerMetrics", 15)?;
        fields.serialize_field("runs", &worker.runs)?;
        fields.serialize_field("queue_runs", &worker.queue_runs)?;
        fields.serialize_field("injected", &worker.injected)?;
        fields.serialize_field("steals", &worker.steals)?;
        fields.serialize_field("stolen", &worker.stolen)?;
        fields.serialize_field("parks", &worker.parks)?;
        fields.serialize_field("wakes", &worker.wakes)?;
        fields.serialize_field("timers", &worker.timers)?;
        fields.serialize_field("panics", &worker.panics)?;
        fields.serialize_field("queue_len", &worker.queue_len)?;
        fields.serialize_field("busy", &worker.busy)?;
        fields.serialize_field("idle", &worker.idle)?;
        fields.serialize_field("held_for", &worker.held_for)?;
        fields.serialize_field("is_spare", &worker.is_spare)?;
        fields.serialize_field("stands_in_for", &worker.stands_in_for)?;
        fields.end()
    }
}

pub(super) fn blocking<S: Serializer>(
    pool: &BlockingMetrics,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("BlockingMetrics", 8)?;
    fields.serialize_field("threads", &pool.threads)?;
    fields.serialize_field("busy", &pool.busy)?;
    fields.serialize_field("queued", &pool.queued)?;
    fields.serialize_field("started", &pool.started)?;
    fields.serialize_field("done", &pool.done)?;
    fields.serialize_field("cancelled", &pool.cancelled)?;
    fields.serialize_field("refused", &pool.refused)?;
    fields.serialize_field("panics", &pool.panics)?;
    fields.end()
}

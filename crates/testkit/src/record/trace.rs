//! The last events of a run, to be printed when it is over.

use std::{collections::BTreeMap, fmt, sync::Arc};

use whitebeam_actor::{ExitReason, Pid};

use super::entry::Entry;

/// Hash of no event: FNV's offset basis.
pub(super) const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// The last events of a run: messages, signals, timers, waits, starts and ends.
///
/// Printed one event a line: virtual time, process, what happened. The text is the same for the same seed, on
/// every machine, as far as the texts of the program's own reasons are.
#[derive(Clone, Default)]
pub struct Trace(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    skipped: u64,
    labels: BTreeMap<Pid, Arc<str>>,
    reasons: Vec<ExitReason>,
}

impl Trace {
    pub(super) fn new(
        entries: Vec<Entry>,
        skipped: u64,
        labels: BTreeMap<Pid, Arc<str>>,
        reasons: Vec<ExitReason>,
    ) -> Self {
        Trace(Arc::new(Inner { entries, skipped, labels, reasons }))
    }

    /// How many events it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether nothing happened, or nothing was kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { entries, skipped, labels, reasons } = &*self.0;
        if *skipped > 0 {
            writeln!(f, "  ({skipped} events before)")?;
        }
        let who = |pid: Pid| match labels.get(&pid) {
            Some(label) => format!("{pid} {label}"),
            None => pid.to_string(),
        };
        let why = |place: usize, kind: &'static str| match reasons.get(place) {
            Some(reason) => reason.to_string(),
            None => kind.to_owned(),
        };
        for entry in entries {
            let at = entry.at;
            write!(f, "  {:>5}.{:09} {} ", at.as_secs(), at.subsec_nanos(), who(entry.pid))?;
            entry.what.tell(f, who, why)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} events)", self.len())
    }
}

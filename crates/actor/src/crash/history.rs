//! The last reports of a runtime, oldest first.

use std::{collections::VecDeque, sync::Arc};

use whitebeam_sync::shim::Mutex;

use super::CrashReport;

/// Reports that are kept unless [`Builder::crash_history`](crate::Builder::crash_history) says otherwise: enough
/// to see how a storm began after it has been noticed, at about 1 KiB each, 6 KiB at most.
pub const CRASH_HISTORY: usize = 32;

/// See the module's text.
pub(super) struct History {
    most: usize,
    kept: Mutex<VecDeque<Arc<CrashReport>>>,
}

impl History {
    pub(super) fn new(most: usize) -> Self {
        History { most, kept: Mutex::new(VecDeque::new()) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.most > 0
    }

    /// Adds a report, in the order of numbers. What is pushed out is dropped by the caller, outside of the lock:
    /// one that is not settled has values of the user's.
    pub(super) fn push(&self, report: &Arc<CrashReport>) {
        if self.most == 0 {
            return;
        }
        let out = {
            let mut kept = self.kept.lock();
            // Numbers are given out before: another worker may have come first.
            let at = kept.partition_point(|other| other.number < report.number);
            kept.insert(at, report.clone());
            if kept.len() > self.most { kept.pop_front() } else { None }
        };
        drop(out);
    }

    /// Puts text in the place of the values that a report's reason carries.
    pub(super) fn settle(&self, report: &Arc<CrashReport>) {
        if self.most == 0 || !report.has_values() {
            return;
        }
        // Formatting is the user's code: no lock is held.
        self.replace(Arc::new(report.without_values()));
    }

    /// Puts a report in the place of that with its number, if that is still there.
    pub(super) fn replace(&self, report: Arc<CrashReport>) {
        let out = {
            let mut kept = self.kept.lock();
            let at = kept.iter().position(|other| other.number == report.number);
            at.and_then(|at| kept.get_mut(at)).map(|place| std::mem::replace(place, report))
        };
        // Outside of the lock: it may have values of the user's.
        drop(out);
    }

    pub(super) fn all(&self) -> Vec<Arc<CrashReport>> {
        self.kept.lock().iter().cloned().collect()
    }
}

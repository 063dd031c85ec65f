//! What is seen of a run, and how two runs are compared.
//!
//! # What the semantics leave open, and nothing else is
//!
//! 1. Of what came to a process in one step, only what has one sender and one kind has an order: there is none
//!    between senders, none between EXIT and DOWN of one death, none between the DOWNs of several monitors
//!    ([`channel`]). What came in different steps has the order of the steps.
//! 2. In the step in which a process ends it may handle what waits in its mailbox, or not: the signal that ends
//!    it takes effect when it is received, and the messages of others come before or behind it.

use std::{collections::BTreeMap, fmt::Write as _};

use super::program::Id;

/// Something that a process was told: an EXIT, a DOWN, a number, or what an operation of its own gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The step in which it handled it.
    pub(crate) handled: usize,
    /// The step in which it came. Known to the model alone: elsewhere as `handled`.
    pub(crate) came: usize,
    pub(crate) text: String,
}

/// A process's story.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) entries: Vec<Entry>,
    /// The step in which it ended, and the reason.
    pub(crate) end: Option<(usize, String)>,
    /// Whom it is linked to, monitors and is monitored by, and its name, when all is over.
    pub(crate) relations: String,
}

pub(crate) type Trace = BTreeMap<Id, Life>;

/// How `seen` differs from what the model expects.
pub(crate) fn difference(expected: &Trace, seen: &Trace) -> Option<String> {
    let ids = expected.keys().chain(seen.keys());
    ids.into_iter().find_map(|id| {
        let (Some(expected), Some(seen)) = (expected.get(id), seen.get(id)) else {
            return Some(format!("process {id} is in one of the traces only"));
        };
        expected.difference(seen).map(|what| format!("process {id}: {what}"))
    })
}

impl Life {
    fn difference(&self, seen: &Life) -> Option<String> {
        if self.end != seen.end {
            return Some(format!("ends with {:?}, seen is {:?}", self.end, seen.end));
        }
        let (expected, was) = (self.compared(), seen.compared());
        if self.in_order(&expected) != self.in_order(&was) {
            let mut text = "it was told, in steps:\n".to_owned();
            for (whose, entries) in [("expected", expected), ("seen", was)] {
                for entry in entries {
                    let _ = writeln!(text, "    {whose} {}: {}", entry.handled, entry.text);
                }
            }
            return Some(text);
        }
        let differ = self.relations != seen.relations;
        differ.then(|| format!("expected {}\n    seen {}", self.relations, seen.relations))
    }

    /// Without what rule 2 leaves open.
    fn compared(&self) -> Vec<&Entry> {
        let last = self.end.as_ref().map(|(step, _)| *step);
        self.entries.iter().filter(|entry| Some(entry.handled) != last).collect()
    }

    /// `entries` with those that rule 1 leaves without an order in one and the same. `self` knows when they came.
    fn in_order<'a>(&self, entries: &[&'a Entry]) -> Vec<(usize, &'a str)> {
        let mut ordered: Vec<_> =
            entries.iter().map(|entry| (entry.handled, entry.text.as_str())).collect();
        let came: Vec<_> = self.compared().iter().map(|it| (it.handled, it.came)).collect();
        let mut start = 0;
        for together in came.chunk_by(|one, other| one == other) {
            let end = ordered.len().min(start + together.len());
            ordered[start.min(end)..end].sort_by_key(|(_, text)| channel(text));
            start = end;
        }
        ordered
    }
}

/// What keeps its order within a step: the first two words, as `send 2` or `exit 3` or `down 7`, whose second is
/// the sender or the monitor.
fn channel(text: &str) -> &str {
    text.match_indices(' ').nth(1).map_or(text, |(at, _)| &text[..at])
}

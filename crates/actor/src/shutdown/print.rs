//! How reports of stops are printed: a line for what was in order, and lines for what was not.

use std::{fmt, time::Duration};

use super::report::{
    ShutdownReport, SlowChild, StopCounts, StopException, StopKind, StopReport, StopSummary,
};
use crate::{Name, Pid, Status, crash, inspect};

/// Deeper lines are set in no further.
const INDENT_MAX: usize = 32;

/// A child or a supervisor: its id or its label, pid, type. What a label carries is the user's, and may panic.
struct Who<'a> {
    id: Option<&'a str>,
    pid: Pid,
    name: Option<&'a Name>,
    label: Option<&'a Name>,
    actor: Option<&'a str>,
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.id {
            write!(f, "{id} ")?;
        }
        write!(f, "{}", self.pid)?;
        if let Some(name) = self.name {
            write!(f, " {}", crash::name_of(name))?;
        }
        if let Some(label) = self.label {
            write!(f, " ({})", crash::name_of(label))?;
        }
        match self.actor {
            Some(actor) => write!(f, " {}", inspect::short(actor)),
            None => Ok(()),
        }
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

/// Words for counts, those that are zero left out.
struct Counts<'a>(&'a [(usize, &'a str)]);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        for (count, what) in self.0.iter().filter(|(count, _)| *count > 0) {
            write!(f, "{sep}{count} {what}")?;
            sep = ", ";
        }
        if sep.is_empty() { f.write_str("no children") } else { Ok(()) }
    }
}

impl StopSummary {
    fn counts(&self, left: usize) -> [(usize, &'static str); 7] {
        [
            (self.clean, "ended in order"),
            (self.brutal, "killed as they were to be"),
            (self.late, "late"),
            (self.killed, "killed"),
            (self.crashed, "crashed"),
            (self.stuck, "stuck"),
            (left, "left"),
        ]
    }
}

impl StopException {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = Who {
            id: self.id.as_deref(),
            pid: self.pid,
            name: None,
            label: self.label.as_ref(),
            actor: self.actor,
        };
        let took = Seconds(self.took);
        match self.how {
            StopKind::Late => write!(f, "{who}: late, ended in order after {took}")?,
            StopKind::Killed => write!(f, "{who}: killed after {took}")?,
            StopKind::Stuck => write!(f, "{who}: did not return from its handler in {took}")?,
            StopKind::Crashed => {
                write!(f, "{who}: {} after {took}", crash::text_of(&self.reason))?;
            }
        }
        match (self.message, self.status) {
            (Some(message), _) => write!(f, ", in {message}")?,
            (None, Some(Status::Ending)) => f.write_str(", while it was ending")?,
            (None, Some(status)) => write!(f, ", {}", status.as_str())?,
            (None, None) => {}
        }
        match self.mailbox_len {
            0 => Ok(()),
            unread => write!(f, ", {unread} unread"),
        }
    }
}

impl SlowChild {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = Who {
            id: self.id.as_deref(),
            pid: self.pid,
            name: None,
            label: self.label.as_ref(),
            actor: Some(self.actor),
        };
        write!(f, "{who}: slow, {}", Seconds(self.took))
    }
}

/// A line of its own, set in.
fn line(f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
    let indent = 2 * depth.min(INDENT_MAX);
    write!(f, "\n{:indent$}", "")
}

/// Those that are not printed by themselves.
fn folded(f: &mut fmt::Formatter<'_>, depth: usize, rest: &StopCounts) -> fmt::Result {
    if rest.supervisors == 0 {
        return Ok(());
    }
    line(f, depth)?;
    let plural = if rest.supervisors == 1 { "" } else { "s" };
    let counts = [
        (rest.clean, "ended in order"),
        (rest.brutal, "killed as they were to be"),
        (rest.late, "late"),
        (rest.killed, "killed"),
        (rest.crashed, "crashed"),
        (rest.stuck, "stuck"),
        (rest.left, "left"),
    ];
    let supervisors = rest.supervisors;
    write!(f, "{supervisors} more supervisor{plural}, with all below: {}", Counts(&counts))
}

/// Whether a supervisor below another one is printed by itself.
fn has_a_line(f: &fmt::Formatter<'_>, report: &StopReport) -> bool {
    f.alternate() || !report.is_quiet() || report.children.slow > 0
}

fn nested<'a>(
    f: &mut fmt::Formatter<'_>,
    depth: usize,
    reports: impl Iterator<Item = &'a StopReport>,
    unlisted: &StopCounts,
) -> fmt::Result {
    let mut rest = *unlisted;
    for report in reports {
        if has_a_line(f, report) {
            line(f, depth)?;
            report.write(f, depth)?;
        } else {
            rest += report.totals();
        }
    }
    folded(f, depth, &rest)
}

impl StopReport {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let who = Who {
            id: self.id.as_deref(),
            pid: self.pid,
            name: self.name.as_ref(),
            label: self.label.as_ref(),
            actor: Some(self.actor),
        };
        let children = &self.children;
        write!(f, "{who}: {}, in {}", Counts(&children.counts(self.left)), Seconds(self.took))?;
        if !self.reason.is_orderly() {
            write!(f, "; it ended with: {}", crash::text_of(&self.reason))?;
        }
        for exception in &children.exceptions {
            line(f, depth + 1)?;
            exception.write(f)?;
        }
        let named = children.exceptions.len();
        let exceptions = children.late + children.killed + children.crashed + children.stuck;
        if exceptions > named {
            line(f, depth + 1)?;
            write!(f, "and {} like these", exceptions - named)?;
        }
        for child in &children.slowest {
            let mut below = children.nested.iter().filter(|report| has_a_line(f, report));
            let is_told_of = children.exceptions.iter().any(|one| one.pid == child.pid)
                || below.any(|report| report.pid == child.pid);
            if !is_told_of {
                line(f, depth + 1)?;
                child.write(f)?;
            }
        }
        if children.slow > children.slowest.len() {
            line(f, depth + 1)?;
            write!(f, "and {} as slow or faster", children.slow - children.slowest.len())?;
        }
        let below = children.nested.iter().map(|report| &**report);
        nested(f, depth + 1, below, &children.unlisted)
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl fmt::Display for StopException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended in order", self.clean)?;
        if self.crashed > 0 {
            write!(f, ", {} crashed", self.crashed)?;
        }
        let (killed, stuck) = (self.killed, self.stuck.len());
        write!(f, ", {killed} killed, {stuck} stuck, in {}", Seconds(self.elapsed))?;
        for exception in &self.exceptions {
            line(f, 1)?;
            exception.write(f)?;
        }
        let supervisors = self.supervisors.iter().map(|report| &**report);
        nested(f, 1, supervisors, &self.unlisted)?;
        for info in &self.stuck {
            write!(f, "\n  {} {} did not return from its handler", info.pid, info.actor)?;
            if let Some(message) = info.message {
                write!(f, " of {message}")?;
            }
        }
        if self.blocking > 0 {
            write!(f, "\n  {} blocking closures did not return", self.blocking)?;
        }
        Ok(())
    }
}

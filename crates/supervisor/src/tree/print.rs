//! A tree as text: a line for each process, set in by its depth.

use std::fmt::{self, Write};

use whitebeam_actor::Name;

use super::{NodeCounts, NodeKind, NodeState, SupervisionNode, SupervisionTree};
use crate::{Restart, Shutdown, guard};

/// A number with its thousands set apart.
pub(super) struct Thousands(pub(super) usize);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.char_indices() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// How a child is stopped, in words.
pub(super) struct Shut(pub(super) Shutdown);

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.0.limit()) {
            (Shutdown::BrutalKill, _) => f.write_str("brutal kill"),
            (_, Some(time)) => write!(f, "{time:?}"),
            (_, None) => f.write_str("infinity"),
        }
    }
}

fn restart(restart: Restart) -> &'static str {
    match restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    }
}

/// A type's name without its parameters and the paths of its modules.
fn short(name: &str) -> &str {
    let plain = name.split('<').next().unwrap_or(name);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// The text of a name, which may be the user's code.
fn text_of(name: &Name) -> String {
    guard::call(|| name.to_string()).unwrap_or_else(|_| "a name whose text panicked".to_owned())
}

/// What a node is called in a path.
pub(super) fn path_of(node: &SupervisionNode) -> String {
    match (&node.id, &node.name, node.pid) {
        (Some(id), ..) => id.clone(),
        (_, Some(name), _) => text_of(name),
        (_, _, Some(pid)) => pid.to_string(),
        _ => short(node.actor).to_owned(),
    }
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", Thousands(count), if count == 1 { one } else { many })
}

/// Who it is: id, pid, name, label, and what.
pub(super) fn who(node: &SupervisionNode) -> String {
    let mut text = String::new();
    let mut word = |word: fmt::Arguments<'_>| {
        let sep = if text.is_empty() { "" } else { " " };
        // A `String` takes all.
        let _ = write!(text, "{sep}{word}");
    };
    if let Some(id) = &node.id {
        word(format_args!("{id}"));
    }
    if let Some(pid) = node.pid {
        word(format_args!("{pid}"));
    }
    if let Some(name) = &node.name {
        word(format_args!("{}", text_of(name)));
    }
    if let Some(label) = &node.label {
        word(format_args!("({})", text_of(label)));
    }
    match node.kind {
        NodeKind::Worker | NodeKind::Supervisor => word(format_args!("{}", short(node.actor))),
        kind => word(format_args!("{}", kind.as_str())),
    }
    text
}

/// With which settings it runs, and what it is about, each a phrase.
pub(super) fn facts(node: &SupervisionNode) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(node.restart.map(|it| restart(it).to_owned()));
    facts.extend(node.shutdown.map(|shutdown| Shut(shutdown).to_string()));
    if node.significant {
        facts.push("significant".to_owned());
    }
    let mut state = node.state.as_str().to_owned();
    if node.state == NodeState::Running {
        state.clear();
    }
    if let Some(message) = node.message {
        let sep = if state.is_empty() { "" } else { " " };
        let _ = write!(state, "{sep}in {message}");
        if let Some(time) = node.in_hand_for {
            let _ = write!(state, " for {time:?}");
        }
    }
    if !state.is_empty() {
        facts.push(state);
    }
    if node.kind.is_supervisor() && node.pid.is_some() && !node.answered {
        facts.push("does not answer".to_owned());
    }
    if node.restarts > 0 {
        facts.push(format!("restarted {}x", node.restarts));
    }
    if node.mailbox_len > 0 {
        facts.push(format!("{} unread", Thousands(node.mailbox_len)));
    }
    if node.kind.is_supervisor() && node.answered {
        facts.push(below(&node.below));
    }
    facts
}

fn below(counts: &NodeCounts) -> String {
    let mut text = String::new();
    if counts.supervisors > 0 {
        text = plural(counts.supervisors, "supervisor", "supervisors") + ", ";
    }
    text += &plural(counts.workers, "worker", "workers");
    let idle = counts.supervisors + counts.workers - counts.active;
    if idle > 0 {
        let _ = write!(text, " ({} not running)", Thousands(idle));
    }
    text
}

impl fmt::Display for SupervisionTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.root, 0)
    }
}

fn write(f: &mut fmt::Formatter<'_>, node: &SupervisionNode, depth: usize) -> fmt::Result {
    let facts = facts(node).join(", ");
    let sep = if facts.is_empty() { "" } else { ": " };
    writeln!(f, "{:indent$}{}{sep}{facts}", "", who(node), indent = 2 * depth)?;
    for child in &node.children {
        write(f, child, depth + 1)?;
    }
    if node.more > 0 {
        let indent = 2 * (depth + 1);
        writeln!(f, "{:indent$}\u{2026} {} more", "", Thousands(node.more))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in
            [(0, "0"), (7, "7"), (999, "999"), (1_000, "1,000"), (199_980, "199,980")]
        {
            assert_eq!(Thousands(number).to_string(), text);
        }
        assert_eq!(Thousands(1_234_567).to_string(), "1,234,567");
    }

    #[test]
    fn types_are_named_without_parameters_and_modules() {
        assert_eq!(short("a::b::Worker"), "Worker");
        assert_eq!(short("a::Dynamic<b::Worker>"), "Dynamic");
    }
}

//! A tree for Graphviz: supervisors as boxes, workers as ellipses, in the order of their starts.

use std::fmt::Write;

use super::{NodeState, SupervisionNode, SupervisionTree, print};

impl SupervisionTree {
    /// The tree in Graphviz's language: `dot -Tsvg` makes a picture of it. What does not run is dashed.
    pub fn to_dot(&self) -> String {
        let mut text = String::from("digraph supervision {\n");
        text += "  node [fontname=\"sans-serif\"];\n  ordering=out;\n";
        let mut next = 0;
        write(&mut text, &self.root, &mut next);
        text += "}\n";
        text
    }
}

/// Writes a node with those below it; gives its number.
fn write(text: &mut String, node: &SupervisionNode, next: &mut usize) -> usize {
    let number = take(next);
    let mut label = print::who(node);
    for fact in print::facts(node) {
        label.push('\n');
        label += &fact;
    }
    let shape = if node.kind.is_supervisor() { "box" } else { "ellipse" };
    let is_there = matches!(node.state, NodeState::Running | NodeState::Starting);
    let style = if is_there { "solid" } else { "dashed" };
    // A `String` takes all.
    let _ = writeln!(
        text,
        "  n{number} [shape={shape}, style={style}, label=\"{}\"];",
        escaped(&label)
    );
    for child in &node.children {
        let child = write(text, child, next);
        let _ = writeln!(text, "  n{number} -> n{child};");
    }
    if node.more > 0 {
        let (more, count) = (take(next), print::Thousands(node.more));
        let _ = writeln!(text, "  n{more} [shape=plaintext, label=\"\u{2026} {count} more\"];");
        let _ = writeln!(text, "  n{number} -> n{more};");
    }
    number
}

fn take(next: &mut usize) -> usize {
    let number = *next;
    *next += 1;
    number
}

/// As the inside of a quoted string: a backslash would begin an escape of Graphviz's own.
fn escaped(label: &str) -> String {
    let mut text = String::with_capacity(label.len());
    for char in label.chars() {
        match char {
            '"' => text += "\\\"",
            '\\' => text += "\\\\",
            '\n' => text += "\\n",
            '\r' => {}
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_end_their_strings() {
        assert_eq!(escaped("a \"b\" \\n\nc\\"), "a \\\"b\\\" \\\\n\\nc\\\\");
    }
}

//! All processes by who started whom.
//!
//! The tree is flat: a list in the order in which it is printed, each entry with its depth. So a chain of a million
//! processes of which each has started the next needs no stack.

use std::{collections::HashMap, fmt};

use super::short;
use crate::{Info, Pid, Status, info, shared::Shared};

/// The processes of a runtime by parent: [`Handle::tree`](crate::Handle::tree).
///
/// Each process that lived throughout the walk is in it exactly once, whether its parent supervises it or only started
/// it. Below no other are those that were started from outside, and orphans: those whose parent had ended or was not
/// met. Children of one parent are in the order of their pids.
///
/// Printed with `{}` it is a line for each process, set in by its depth.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Tree {
    /// The processes, each behind its parent and ahead of its parent's next child.
    pub nodes: Vec<TreeNode>,
}

/// A process in a [`Tree`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TreeNode {
    /// How many are above it.
    pub depth: usize,
    /// It has a parent that is not there.
    pub is_orphan: bool,
    /// The process.
    pub info: Info,
}

impl Tree {
    pub(super) fn of(shared: &Shared) -> Self {
        let mut all = Vec::new();
        shared.walk(|cell| all.extend(info::of(&cell)));
        Self::grow(all)
    }

    fn grow(mut all: Vec<Info>) -> Self {
        // The last first: what is taken off the end of a list of children comes in order.
        all.sort_unstable_by_key(|info| std::cmp::Reverse(info.pid));
        let places: HashMap<Pid, usize> =
            all.iter().enumerate().map(|(place, info)| (info.pid, place)).collect();
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut roots = Vec::new();
        for (place, info) in all.iter().enumerate() {
            match info.parent.and_then(|parent| places.get(&parent)) {
                Some(&parent) if parent != place => children.entry(parent).or_default().push(place),
                _ => roots.push(place),
            }
        }
        let mut open: Vec<(usize, usize)> = roots.into_iter().map(|root| (root, 0)).collect();
        let mut infos: Vec<Option<Info>> = all.into_iter().map(Some).collect();
        let mut nodes = Vec::with_capacity(infos.len());
        while let Some((place, depth)) = open.pop() {
            let below = children.remove(&place).unwrap_or_default();
            open.extend(below.into_iter().map(|child| (child, depth + 1)));
            nodes.extend(infos[place].take().map(|info| {
                let is_orphan = depth == 0 && info.parent.is_some();
                TreeNode { depth, is_orphan, info }
            }));
        }
        Tree { nodes }
    }

    /// A process, if it is there.
    pub fn get(&self, pid: Pid) -> Option<&TreeNode> {
        self.nodes.iter().find(|node| node.info.pid == pid)
    }

    /// The children of a process, in order.
    pub fn children(&self, of: Pid) -> impl Iterator<Item = &TreeNode> {
        let at = self.nodes.iter().position(|node| node.info.pid == of);
        let (below, depth) =
            at.map_or((&[][..], 0), |at| (&self.nodes[at + 1..], self.nodes[at].depth));
        below
            .iter()
            .take_while(move |node| node.depth > depth)
            .filter(move |node| node.depth == depth + 1)
    }
}

/// Deeper ones are set in no further: a chain of a million is a million lines, not a million times a million blanks.
const INDENT_MAX: usize = 32;

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let indent = 2 * node.depth.min(INDENT_MAX);
            write!(f, "{:indent$}{}", "", Line(&node.info))?;
            if node.depth > INDENT_MAX {
                write!(f, ", {} deep", node.depth)?;
            }
            if let Some(parent) = node.info.parent.filter(|_| node.is_orphan) {
                write!(f, ", orphan of {parent}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A process in a line.
struct Line<'a>(&'a Info);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.0;
        write!(f, "{}", Who(info))?;
        if info.status != Status::Waiting {
            write!(f, ", {}", info.status.as_str())?;
        }
        if let Some(message) = info.message {
            write!(f, " in {message}")?;
        }
        if info.mailbox_len > 0 {
            write!(f, ", {} unread", info.mailbox_len)?;
        }
        if info.restarts > 0 {
            write!(f, ", restarted {}x", info.restarts)?;
        }
        Ok(())
    }
}

/// Pid, name, label and type of a process. What a name or a label carries is the user's, and may panic.
pub(super) struct Who<'a>(pub(super) &'a Info);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.0;
        write!(f, "{}", info.pid)?;
        if let Some(name) = &info.name {
            write!(f, " {}", crate::crash::name_of(name))?;
        }
        if let Some(label) = &info.label {
            write!(f, " ({})", crate::crash::name_of(label))?;
        }
        write!(f, " {}", short(info.actor))
    }
}

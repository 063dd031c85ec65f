//! The processes of a cycle, for who gets the error.

use std::{fmt, sync::Arc};

use crate::{Name, Pid, cell::CellPtr, ext::Ext};

/// Processes that wait for each other in a circle: each one for the next, the last one for the first.
///
/// The first is the one whose call failed with [`CallError::Deadlock`](crate::CallError::Deadlock). Printed with
/// names or labels where there are some, and with the first once more at the end:
///
/// ```text
/// <0.7.1> (cache) -> <0.3.1> (db) -> <0.7.1> (cache)
/// ```
///
/// A clone costs one counter.
#[derive(Clone, PartialEq, Eq)]
pub struct CallPath(Arc<Vec<Member>>);

#[derive(PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: Pid,
    pub(super) name: Option<Name>,
}

impl CallPath {
    pub(super) fn new(members: Vec<Member>) -> Self {
        CallPath(Arc::new(members))
    }

    /// Of a process that calls itself.
    pub(super) fn of_itself(cell: CellPtr) -> Self {
        Self::new(vec![Member { pid: cell.pid(), name: name_of(cell) }])
    }

    /// The processes, in order; a process that called itself is alone.
    pub fn pids(&self) -> impl ExactSizeIterator<Item = Pid> + '_ {
        self.0.iter().map(|member| member.pid)
    }

    /// The processes, in order, each with its name, or else its label, if it has one.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (Pid, Option<&Name>)> + '_ {
        self.0.iter().map(|member| (member.pid, member.name.as_ref()))
    }
}

/// What people know a process by.
pub(super) fn name_of(cell: CellPtr) -> Option<Name> {
    cell.shared().names().name_of(cell).or_else(|| Ext::label_of(cell))
}

impl fmt::Display for CallPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, member) in self.0.iter().chain(self.0.first()).enumerate() {
            if at > 0 {
                f.write_str(" -> ")?;
            }
            write!(f, "{}", member.pid)?;
            if let Some(name) = &member.name {
                write!(f, " ({name})")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for CallPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallPath({self})")
    }
}

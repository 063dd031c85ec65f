//! Names of processes, local to a runtime.

use std::fmt;

use whitebeam_sync::{
    inbox::Push,
    shim::{Arc, Mutex, MutexGuard},
};

use crate::{
    NameError, Pid,
    cell::{CellPtr, CellRef, flag},
    ext::Map,
};

/// The name of a process within its runtime. Cheap to clone, compared by its text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name(text.into())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Name(text.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Who has which name. A process has at most one.
///
/// A process that has one carries the flag `NAMED`: the end of the others takes no lock. It is raised behind
/// the entry and looked at behind the closing of the inbox, so that one of the two sees the other.
#[derive(Default)]
pub(crate) struct Names(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_name: Map<Name, Pid>,
    by_pid: Map<u64, Name>,
}

impl Table {
    fn insert(&mut self, name: Name, pid: Pid) {
        self.by_pid.insert(pid.in_runtime(), name.clone());
        self.by_name.insert(name, pid);
    }

    fn remove(&mut self, name: &Name) -> bool {
        let Some(pid) = self.by_name.remove(name) else { return false };
        self.by_pid.remove(&pid.in_runtime());
        true
    }
}

/// A free name, and the lock that keeps it so: whoever looks it up meanwhile waits.
pub(crate) struct Reserved<'a> {
    names: MutexGuard<'a, Table>,
    name: Name,
}

impl Reserved<'_> {
    /// Gives the name to `cell`, which must be findable by now: who finds the name finds the process. The caller
    /// owns it.
    pub(crate) fn give(mut self, cell: CellPtr) {
        self.names.insert(self.name, cell.pid());
        // The owner will look at its inbox anyway.
        let _ = cell.sign(flag::NAMED);
    }
}

impl Names {
    /// Reserves a name, or says who has it. No user code may run until it is given or dropped.
    pub(crate) fn reserve(&self, name: Name) -> Result<Reserved<'_>, Pid> {
        let names = self.0.lock();
        match names.by_name.get(&name) {
            Some(owner) => Err(*owner),
            None => Ok(Reserved { names, name }),
        }
    }

    /// Gives a name to a process that runs.
    pub(crate) fn register(&self, name: Name, to: Option<&CellRef>) -> Result<(), NameError> {
        let to = to.ok_or(NameError::NoProc)?.ptr();
        let pid = to.pid();
        let mut names = self.0.lock();
        if let Some(owner) = names.by_name.get(&name) {
            return Err(NameError::Taken(*owner));
        }
        if let Some(name) = names.by_pid.get(&pid.in_runtime()) {
            return Err(NameError::HasName(name.clone()));
        }
        names.insert(name.clone(), pid);
        let push = to.sign(flag::NAMED);
        if push == Push::Closed {
            names.remove(&name);
            return Err(NameError::NoProc);
        }
        drop(names);
        to.follow(push);
        Ok(())
    }

    /// Frees a name. `false`: nobody had it.
    pub(crate) fn unregister(&self, name: &Name) -> bool {
        self.0.lock().remove(name)
    }

    /// The end of a process: its name is free. Called before its inbox is closed, and again after.
    #[inline]
    pub(crate) fn ended(&self, cell: CellPtr) {
        if cell.header().flags.get() & flag::NAMED != 0 {
            self.forget(cell.pid());
        }
    }

    #[cold]
    fn forget(&self, pid: Pid) {
        let mut names = self.0.lock();
        if let Some(name) = names.by_pid.remove(&pid.in_runtime()) {
            names.by_name.remove(&name);
        }
    }

    pub(crate) fn whereis(&self, name: &Name) -> Option<Pid> {
        self.0.lock().by_name.get(name).copied()
    }

    pub(crate) fn name_of(&self, cell: CellPtr) -> Option<Name> {
        if cell.header().flags.get() & flag::NAMED == 0 {
            return None;
        }
        self.0.lock().by_pid.get(&cell.pid().in_runtime()).cloned()
    }
}

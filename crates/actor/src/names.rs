//! Names of processes, local to a runtime.

use std::fmt;

use whitebeam_sync::shim::{Arc, Mutex, MutexGuard};

use crate::{Pid, ext::Map};

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

/// Who has which name.
#[derive(Default)]
pub(crate) struct Names(Mutex<Map<Name, Pid>>);

/// A free name, and the lock that keeps it so: whoever looks it up meanwhile waits.
pub(crate) struct Reserved<'a> {
    names: MutexGuard<'a, Map<Name, Pid>>,
    name: Name,
}

impl Reserved<'_> {
    /// Gives the name to `pid`, which must be findable by now: who finds the name finds the process.
    pub(crate) fn give(mut self, pid: Pid) {
        self.names.insert(self.name, pid);
    }
}

impl Names {
    /// Reserves a name, or says who has it. No user code may run until it is given or dropped.
    pub(crate) fn reserve(&self, name: Name) -> Result<Reserved<'_>, Pid> {
        let names = self.0.lock();
        match names.get(&name) {
            Some(owner) => Err(*owner),
            None => Ok(Reserved { names, name }),
        }
    }

    /// Frees the name if it is `pid`'s.
    pub(crate) fn remove(&self, name: &Name, pid: Pid) {
        let mut names = self.0.lock();
        if names.get(name) == Some(&pid) {
            names.remove(name);
        }
    }

    pub(crate) fn whereis(&self, name: &Name) -> Option<Pid> {
        self.0.lock().get(name).copied()
    }
}

//! A registry in memory.

use std::fmt;

use super::{
    registry::{Registrant, Registry},
    table::Table,
};
use crate::{Name, Pid};

/// A [`Registry`] in memory, for any number of runtimes of one program: where they share one, a name is the same
/// for all of them (OTP's `global`, within a program).
///
/// A pid of another runtime is found here, and nobody where it is used: see [`Pid`].
///
/// It knows of an end by being told, and looks whether an owner lives before it gives it out: a process that has
/// ended is never found, and holds no name against another.
///
/// Cost: a lock for all names, held for a look into a hash map; see [`Name::of`] for names that are values.
#[derive(Default)]
pub struct Directory(Table<Registrant>);

impl Directory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names that are held.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether no name is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Registry for Directory {
    fn register(&self, key: &Name, process: &Registrant) -> Result<(), Pid> {
        let mut at = self.0.at(key);
        match at.value() {
            Some(owner) if owner.is_alive() => return Err(owner.pid()),
            _ => {}
        }
        let ended = at.remove();
        at.insert(process.clone());
        drop(at);
        // Behind the lock: its cell may go with it.
        drop(ended);
        Ok(())
    }

    fn unregister(&self, key: &Name, owner: Pid) -> bool {
        let mut at = self.0.at(key);
        if at.value().is_none_or(|it| it.pid() != owner) {
            return false;
        }
        let owner = at.remove();
        drop(at);
        // As above.
        drop(owner);
        true
    }

    fn whereis(&self, key: &Name) -> Option<Pid> {
        let at = self.0.at(key);
        at.value().filter(|owner| owner.is_alive()).map(Registrant::pid)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({} names)", self.len())
    }
}

//! Names of processes, within a runtime and in registries.
//!
//! # Who knows what
//!
//! A name of the runtime's own (text, a value) is an entry of its table, both ways; a process has at most one. A
//! via name is an entry of its registry; the runtime notes beside its table which process has which (`names/via.rs`).
//!
//! A process that has a name carries the flag `NAMED`: the end of the others takes no lock. It is raised behind
//! the entry or note and looked at behind the closing of the inbox, so that one of the two sees the other.
//!
//! # Whose code runs where
//!
//! A registry's functions and the comparison of values are the user's. They run without a lock of ours, and a
//! panic in them ends here.

mod directory;
mod name;
mod registry;
mod table;
mod via;

pub use directory::Directory;
pub use name::Name;
pub use registry::{Registrant, Registry};
pub(crate) use via::ViaClaim;

use whitebeam_sync::inbox::Push;

use self::{
    table::{At, Table},
    via::Note,
};
use crate::{
    ExitReason, NameError, Pid,
    cell::{CellPtr, CellRef, flag},
    contain::contain,
    ext::Map,
    shared::Shared,
};

/// See the module's text.
#[derive(Default)]
pub(crate) struct Names(Table<Pid, Holders>);

/// By process ([`Pid::in_runtime`]).
#[derive(Default)]
struct Holders {
    /// The name in the table.
    own: Map<u64, Name>,
    vias: Map<u64, Vec<Note>>,
    /// Numbers notes.
    notes: u64,
}

/// What a process is to be given when it can be found.
pub(crate) enum Claim<'a> {
    Own(Reserved<'a>),
    Via(ViaClaim<'a>),
}

/// A free name, and the lock that keeps it so: whoever looks it up meanwhile waits. No code of the user's may run
/// until it is given or dropped.
pub(crate) struct Reserved<'a>(At<'a, Pid, Holders>);

impl Reserved<'_> {
    /// Gives the name to `cell`, which must be findable by now: who finds the name finds the process. The caller
    /// owns it.
    pub(crate) fn give(mut self, cell: CellPtr) {
        self.insert(cell.pid());
        // The owner will look at its inbox anyway.
        let _ = cell.sign(flag::NAMED);
    }

    fn insert(&mut self, pid: Pid) {
        self.0.insert(pid);
        let name = self.0.name().clone();
        self.0.side().own.insert(pid.in_runtime(), name);
    }
}

impl Names {
    /// What a process has to be given to have the name. For one of the runtime's own it is reserved by now.
    pub(crate) fn claim<'a>(&'a self, name: &'a Name) -> Result<Claim<'a>, NameError> {
        if name.is_ill_formed() {
            return Err(NameError::IllFormed);
        }
        if let Some(via) = name.as_via() {
            return Ok(Claim::Via(ViaClaim { names: self, name, via }));
        }
        let at = contain(|| self.0.at(name)).map_err(panicked)?;
        match at.value() {
            Some(owner) => Err(NameError::Taken(*owner)),
            None => Ok(Claim::Own(Reserved(at))),
        }
    }

    /// Gives a name to a process that runs.
    pub(crate) fn register(&self, name: &Name, to: Option<&CellRef>) -> Result<(), NameError> {
        let to = to.ok_or(NameError::NoProc)?;
        let mut reserved = match self.claim(name)? {
            Claim::Own(reserved) => reserved,
            Claim::Via(claim) => return claim.give(to),
        };
        let (cell, pid) = (to.ptr(), to.ptr().pid());
        if let Some(name) = reserved.0.side().own.get(&pid.in_runtime()) {
            return Err(NameError::HasName(name.clone()));
        }
        reserved.insert(pid);
        let push = cell.sign(flag::NAMED);
        if push == Push::Closed {
            reserved.0.remove();
            // A clone of the caller's name.
            reserved.0.side().own.remove(&pid.in_runtime());
            return Err(NameError::NoProc);
        }
        drop(reserved);
        cell.follow(push);
        Ok(())
    }

    /// Frees a name. `false`: nobody had it.
    pub(crate) fn unregister(&self, shared: &Shared, name: &Name) -> bool {
        if let Some(via) = name.as_via() {
            return self.unregister_via(shared, name, via);
        }
        let Ok(mut at) = contain(|| self.0.at(name)) else { return false };
        let Some(pid) = at.remove() else { return false };
        let name = at.side().own.remove(&pid.in_runtime());
        drop(at);
        drop(name);
        true
    }

    /// The end of a process: its names are free. Called before its inbox is closed, and again after.
    #[inline]
    pub(crate) fn ended(&self, cell: CellPtr) {
        if cell.header().flags.get() & flag::NAMED != 0 {
            self.forget(cell.pid());
        }
    }

    #[cold]
    fn forget(&self, pid: Pid) {
        let mut entries = self.0.lock();
        let own = entries.side.own.remove(&pid.in_runtime());
        let removed = own.as_ref().and_then(|name| entries.remove_clone_of(name));
        let vias = entries.side.vias.remove(&pid.in_runtime());
        drop(entries);
        drop((own, removed));
        for note in vias.into_iter().flatten() {
            if let Some(via) = note.name.as_via() {
                via.take_back(pid);
            }
        }
    }

    /// Who has a name: for a via name, who its registry says. It may be of another runtime then.
    pub(crate) fn whereis(&self, shared: &Shared, name: &Name) -> Option<Pid> {
        match name.as_via() {
            Some(via) => via.owner(shared),
            None => contain(|| self.0.at(name).value().copied()).ok()?,
        }
    }

    /// The name of a process for who asks: the runtime's own, else the oldest of the others.
    pub(crate) fn name_of(&self, cell: CellPtr) -> Option<Name> {
        if cell.header().flags.get() & flag::NAMED == 0 {
            return None;
        }
        let pid = cell.pid().in_runtime();
        let side = &self.0.lock().side;
        let via = || side.vias.get(&pid)?.iter().find(|note| note.is_held).map(|note| &note.name);
        side.own.get(&pid).or_else(via).cloned()
    }
}

fn panicked(reason: ExitReason) -> NameError {
    match reason {
        ExitReason::Panic(info) => NameError::Panicked(info),
        _ => unreachable!("what `contain` gives is a panic"),
    }
}

//! Via names: which process has which, so that its end takes them back.
//!
//! The notes are beside the table of the runtime's own names, under its lock, and not in the process's own part:
//! others register it too, and are not its owner.
//!
//! # Operations
//!
//! 1. a note, not held yet; 2. the flag: the process may have ended; 3. `register`, the user's; 4. the note is
//!    held, if it is still there.
//!
//! The end takes all notes away, held or not, and calls `unregister` for each: in its step 2, and again for those
//! made until the inbox was closed. Who finds its note gone in 4 may have registered behind that, and takes it
//! back itself. A note too many is harmless: `unregister` of a name that another has changes nothing. So
//! `Handle::unregister` takes away only the notes that were held before it asked the registry.

use whitebeam_sync::inbox::Push;

use super::{
    Holders, Names, Registrant,
    name::{Name, Via},
    panicked,
};
use crate::{
    NameError, Pid,
    cell::{CellRef, flag},
    contain::contain,
    shared::Shared,
};

/// A process has a via name, or is about to.
pub(super) struct Note {
    number: u64,
    pub(super) name: Name,
    pub(super) is_held: bool,
}

/// A name that only its registry knows to be free or not.
#[derive(Clone, Copy)]
pub(crate) struct ViaClaim<'a> {
    pub(super) names: &'a Names,
    pub(super) name: &'a Name,
    pub(super) via: &'a Via,
}

impl ViaClaim<'_> {
    /// As [`Reserved::give`], if the registry gives it.
    pub(crate) fn give(self, to: &CellRef) -> Result<(), NameError> {
        let cell = to.ptr();
        let pid = cell.pid();
        let note = self.note(pid);
        let push = cell.sign(flag::NAMED);
        if push == Push::Closed {
            self.withdraw(pid, note);
            return Err(NameError::NoProc);
        }
        cell.follow(push);
        let process = Registrant::new(to);
        match contain(|| self.via.registry.register(&self.via.key, &process)) {
            Ok(Ok(())) if self.hold(pid, note) => Ok(()),
            Ok(Ok(())) => {
                self.via.take_back(pid);
                Err(NameError::NoProc)
            }
            Ok(Err(owner)) => {
                self.withdraw(pid, note);
                Err(NameError::Taken(owner))
            }
            Err(panic) => {
                // Whether it was registered is unknown.
                self.via.take_back(pid);
                self.withdraw(pid, note);
                Err(panicked(panic))
            }
        }
    }

    fn note(&self, pid: Pid) -> u64 {
        let side = &mut self.names.0.lock().side;
        side.notes += 1;
        let note = Note { number: side.notes, name: self.name.clone(), is_held: false };
        side.vias.entry(pid.in_runtime()).or_default().push(note);
        side.notes
    }

    /// `false`: the end of the process has taken the note away.
    fn hold(&self, pid: Pid, number: u64) -> bool {
        let side = &mut self.names.0.lock().side;
        let notes = side.vias.get_mut(&pid.in_runtime());
        let note = notes.and_then(|notes| notes.iter_mut().find(|note| note.number == number));
        note.map(|note| note.is_held = true).is_some()
    }

    fn withdraw(&self, pid: Pid, number: u64) {
        // A clone of the caller's name: no destructor of the user's runs under the lock.
        self.names.0.lock().side.forget(pid, &[number]);
    }
}

impl Via {
    /// The registry lets go of the name, if `pid` has it.
    pub(super) fn take_back(&self, pid: Pid) -> bool {
        contain(|| self.registry.unregister(&self.key, pid)).unwrap_or(false)
    }

    /// Who has it, as its registry says, unless it is known to have ended.
    pub(super) fn owner(&self, shared: &Shared) -> Option<Pid> {
        let pid = contain(|| self.registry.whereis(&self.key)).ok()??;
        let is_here = pid.tag() == shared.tag();
        (!is_here || shared.resolve(pid).is_some_and(|cell| !cell.ptr().is_ended())).then_some(pid)
    }
}

impl Holders {
    pub(super) fn forget(&mut self, pid: Pid, numbers: &[u64]) -> Vec<Note> {
        let Some(notes) = self.vias.get_mut(&pid.in_runtime()) else { return Vec::new() };
        let gone = notes.extract_if(.., |note| numbers.contains(&note.number)).collect();
        if notes.is_empty() {
            self.vias.remove(&pid.in_runtime());
        }
        gone
    }
}

impl Names {
    pub(super) fn unregister_via(&self, shared: &Shared, name: &Name, via: &Via) -> bool {
        let Some(pid) = via.owner(shared) else { return false };
        let held: Vec<(u64, Name)> = match self.0.lock().side.vias.get(&pid.in_runtime()) {
            Some(notes) if pid.tag() == shared.tag() => {
                let held = notes.iter().filter(|note| note.is_held);
                held.map(|note| (note.number, note.name.clone())).collect()
            }
            _ => Vec::new(),
        };
        let was_held = via.take_back(pid);
        let is_it =
            |(number, it): &(u64, Name)| contain(|| it == name).unwrap_or(false).then_some(*number);
        let numbers: Vec<u64> = held.iter().filter_map(is_it).collect();
        if was_held && !numbers.is_empty() {
            // Dropped behind the lock, with `held`.
            let gone = self.0.lock().side.forget(pid, &numbers);
            drop(gone);
        }
        was_held
    }
}

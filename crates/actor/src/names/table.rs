//! Entries by name, under one lock.
//!
//! # No code of the user's runs under the lock
//!
//! A name that is a value is compared by code of the user's, which may panic, block, or come back to this table.
//! So an entry is found in two steps: under the lock, by the hash and by whether it is a clone of what is looked
//! for; then, without the lock, by comparing with those of the same hash. What was compared is kept, and the lock
//! taken again: if there are entries by now that were not compared, once more. The answer is then true while the
//! lock is held ([`At`]). Names that go out of the table are dropped behind the lock.
//!
//! # Cost
//!
//! Text: one lock, one hash, one comparison. A value that nobody has, or looked up by a clone of the name that
//! is in the table: one lock, and one look among those of its hash. Else two locks, and a comparison.

use std::sync::Arc;

use whitebeam_sync::shim::{Mutex, MutexGuard};

use super::name::{Name, Place};
use crate::ext::Map;

/// See the module's text. `S` is what is kept beside the entries under the same lock.
pub(super) struct Table<V, S = ()>(Mutex<Entries<V, S>>);

pub(super) struct Entries<V, S> {
    texts: Map<Arc<str>, V>,
    others: Map<u64, Vec<(Name, V)>>,
    pub(super) side: S,
}

/// The lock, held, and what the table has of one name.
pub(super) struct At<'a, V, S = ()> {
    entries: MutexGuard<'a, Entries<V, S>>,
    name: &'a Name,
    /// Where it is among those of its hash.
    place: Option<usize>,
    /// Names that may be the last clones: dropped behind the lock, which is the first field.
    leavings: Vec<Name>,
}

impl<V, S: Default> Default for Table<V, S> {
    fn default() -> Self {
        let (texts, others) = (Map::default(), Map::default());
        Table(Mutex::new(Entries { texts, others, side: S::default() }))
    }
}

impl<V, S> Table<V, S> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Entries<V, S>> {
        self.0.lock()
    }

    /// Finds a name. Runs code of the user's, whose panic goes through: nothing is changed then.
    pub(super) fn at<'a>(&'a self, name: &'a Name) -> At<'a, V, S> {
        let mut compared = Vec::new();
        let mut equal: Option<Name> = None;
        loop {
            let entries = self.lock();
            let is_it = |other: &Name| {
                other.is_clone_of(name) || equal.as_ref().is_some_and(|it| other.is_clone_of(it))
            };
            let place = entries.bucket(name).iter().position(|(other, _)| is_it(other));
            let strangers: Vec<Name> = match place {
                Some(_) => Vec::new(),
                None => entries.strangers(name, &compared),
            };
            if strangers.is_empty() {
                compared.extend(equal);
                return At { entries, name, place, leavings: compared };
            }
            drop(entries);
            for stranger in strangers {
                if stranger == *name {
                    // One that was found before is in the table no more.
                    compared.extend(equal.replace(stranger));
                } else {
                    compared.push(stranger);
                }
            }
        }
    }
}

impl<V, S> Entries<V, S> {
    fn bucket(&self, name: &Name) -> &[(Name, V)] {
        match name.place() {
            Place::Text(_) => &[],
            Place::Hash(hash) => self.others.get(&hash).map_or(&[], Vec::as_slice),
        }
    }

    /// Those of the same hash that were not compared yet.
    fn strangers(&self, name: &Name, compared: &[Name]) -> Vec<Name> {
        let others = self.bucket(name).iter().map(|(other, _)| other);
        let is_new = |other: &&Name| !compared.iter().any(|it| it.is_clone_of(other));
        others.filter(is_new).cloned().collect()
    }

    /// Removes the entry of which `name` is a clone. What comes back is dropped behind the lock.
    pub(super) fn remove_clone_of(&mut self, name: &Name) -> Option<(Option<Name>, V)> {
        match name.place() {
            Place::Text(text) => self.texts.remove(text).map(|value| (None, value)),
            Place::Hash(hash) => {
                let bucket = self.others.get(&hash)?;
                let place = bucket.iter().position(|(other, _)| other.is_clone_of(name))?;
                let (name, value) = self.remove_at(hash, place)?;
                Some((Some(name), value))
            }
        }
    }

    fn remove_at(&mut self, hash: u64, place: usize) -> Option<(Name, V)> {
        let bucket = self.others.get_mut(&hash)?;
        let removed = bucket.swap_remove(place);
        if bucket.is_empty() {
            self.others.remove(&hash);
        }
        Some(removed)
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.others.values().map(Vec::len).sum::<usize>()
    }
}

impl<V, S> At<'_, V, S> {
    pub(super) fn value(&self) -> Option<&V> {
        match self.name.place() {
            Place::Text(text) => self.entries.texts.get(text),
            Place::Hash(_) => {
                self.entries.bucket(self.name).get(self.place?).map(|(_, value)| value)
            }
        }
    }

    pub(super) fn name(&self) -> &Name {
        self.name
    }

    /// What is beside the entries.
    pub(super) fn side(&mut self) -> &mut S {
        &mut self.entries.side
    }

    /// Adds the name, which is not there.
    pub(super) fn insert(&mut self, value: V) {
        debug_assert!(self.value().is_none(), "looked for, and not found, under this lock");
        match self.name.place() {
            Place::Text(text) => {
                self.entries.texts.insert(text.clone(), value);
            }
            Place::Hash(hash) => {
                let bucket = self.entries.others.entry(hash).or_default();
                self.place = Some(bucket.len());
                bucket.push((self.name.clone(), value));
            }
        }
    }

    /// Removes the name. The value is to be dropped behind the lock if its destructor does anything.
    pub(super) fn remove(&mut self) -> Option<V> {
        match self.name.place() {
            Place::Text(text) => self.entries.texts.remove(text),
            Place::Hash(hash) => {
                let (name, value) = self.entries.remove_at(hash, self.place.take()?)?;
                self.leavings.push(name);
                Some(value)
            }
        }
    }
}

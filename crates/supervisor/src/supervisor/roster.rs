//! The children of a supervisor in the order of their starts.
//!
//! A list whose links are places in a table, so that a child is added, found, removed and stepped from in O(1),
//! whatever their number; and an index of ids and addresses. A place is used again when its child was removed: who
//! keeps one over a message checks the entry's [`run`](Entry::run).

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use whitebeam_actor::{ChildKey, ExitReason, Name, Pid, StartInfo};

use crate::{
    ChildId, ChildKind, Restart, Shutdown,
    child::{Parent, Spec},
    tree::Asked,
};

/// A child's place in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// No place: the end of the list.
const END: u32 = u32::MAX;

/// A child, as one incarnation of its supervisor knows it.
pub(super) struct Entry {
    pub(super) id: ChildId,
    pub(super) kind: ChildKind,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) significant: bool,
    /// It is part of what the supervisor answers. Not while the first start of an added child is under way.
    pub(super) is_listed: bool,
    /// It was added to a supervisor that runs: it is in nobody's spec.
    pub(super) is_added: bool,
    /// The restart of a group that has stopped it last: see [`Job::number`](super::job::Job::number).
    pub(super) stopped_by: u64,
    pub(super) state: State,
    /// Tells the child's starts apart, and all of the supervisor's: no two have the same.
    pub(super) run: u64,
    /// Its starts so far.
    pub(super) attempt: u32,
    /// How the last incarnation ended. The next one is told.
    pub(super) last_exit: Option<ExitReason>,
    /// Shared with other incarnations of the supervisor, if it is in its spec.
    spec: Arc<Mutex<Spec>>,
}

/// What became of a child's process.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// There is none, and none will come by itself.
    Stopped,
    /// It runs, or its `init` does.
    Running(ChildKey, Pid),
    /// It has ended by itself, and the supervisor has not seen to it yet.
    Ended(Pid),
    /// Its restart has failed and will be tried again.
    Restarting,
}

/// The children, oldest first.
pub(super) struct Roster {
    table: Vec<Node>,
    /// The first of the free places.
    free: u32,
    head: u32,
    tail: u32,
    len: usize,
    index: HashMap<ChildId, Place>,
}

struct Node {
    prev: u32,
    /// Of a free place: the next free one.
    next: u32,
    entry: Option<Entry>,
}

impl Entry {
    /// A child of the supervisor's spec.
    pub(super) fn new(spec: Arc<Mutex<Spec>>) -> Self {
        let (id, kind, restart, shutdown, significant) = {
            let spec = spec.lock();
            (spec.id.clone(), spec.kind, spec.restart, spec.shutdown, spec.significant)
        };
        Entry {
            id,
            kind,
            restart,
            shutdown,
            significant,
            is_listed: true,
            is_added: false,
            stopped_by: 0,
            state: State::Stopped,
            run: 0,
            attempt: 0,
            last_exit: None,
            spec,
        }
    }

    /// One that is added, and has not started yet.
    pub(super) fn added(spec: Spec) -> Self {
        Entry { is_listed: false, is_added: true, ..Self::new(Arc::new(Mutex::new(spec))) }
    }

    pub(super) fn key(&self) -> Option<ChildKey> {
        match self.state {
            State::Running(key, _) => Some(key),
            _ => None,
        }
    }

    /// Whether it has a process, or is to have one again.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.state, State::Stopped)
    }

    /// Takes note of one more start: what the new incarnation is told of it.
    pub(super) fn next_start(&mut self, run: u64) -> Option<StartInfo> {
        self.run = run;
        self.attempt = self.attempt.saturating_add(1);
        if self.attempt == 1 {
            return None;
        }
        let mut info = StartInfo::first();
        info.attempt = self.attempt;
        info.last_exit = self.last_exit.take();
        Some(info)
    }

    pub(super) fn launcher(&self) -> Arc<Mutex<Spec>> {
        Arc::clone(&self.spec)
    }

    pub(super) fn into_spec(self) -> Arc<Mutex<Spec>> {
        self.spec
    }

    /// The name that its process is given.
    pub(super) fn name(&self) -> Option<Name> {
        self.spec.lock().options.given_name().cloned()
    }

    /// Of what type its process is.
    pub(super) fn actor(&self) -> &'static str {
        self.spec.lock().launch.actor()
    }

    /// Of a supervisor that tells of its children: its address.
    pub(super) fn address(&self) -> Option<Box<dyn Asked>> {
        self.spec.lock().launch.address()
    }

    /// Its process, if it has one that has not ended.
    pub(super) fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Running(_, pid) => Some(pid),
            State::Stopped | State::Ended(_) | State::Restarting => None,
        }
    }

    /// No incarnation will come by itself: its address says so.
    pub(super) fn gone(&self) {
        self.spec.lock().launch.gone();
    }

    /// No incarnation will come any more: what it would be made from can go.
    pub(super) fn forget(&self) {
        self.spec.lock().launch.forget();
    }

    /// Whether a child that was told to end has ended as it was told to, by OTP's rule: a permanent one is to end with
    /// the very reason of its signal.
    pub(super) fn has_obeyed(&self) -> bool {
        let is_permanent = self.restart == Restart::Permanent;
        match &self.last_exit {
            Some(ExitReason::Killed) => self.shutdown == Shutdown::BrutalKill,
            Some(ExitReason::Shutdown) => !is_permanent || self.shutdown != Shutdown::BrutalKill,
            Some(reason) => !is_permanent && reason.is_orderly(),
            None => true,
        }
    }
}

impl Spec {
    pub(super) fn address(&self) -> ChildId {
        ChildId::of_address(Some(self.launch.tag()))
    }

    /// Starts the next incarnation.
    pub(super) fn start(
        &mut self,
        parent: Parent<'_>,
        info: Option<StartInfo>,
    ) -> crate::child::Launched {
        self.launch.launch(parent, self.options.clone(), info)
    }
}

impl Roster {
    pub(super) fn with_capacity(children: usize) -> Self {
        Roster {
            table: Vec::with_capacity(children),
            free: END,
            head: END,
            tail: END,
            len: 0,
            index: HashMap::with_capacity(2 * children),
        }
    }

    /// Adds the newest child. Its id is not in use.
    pub(super) fn push(&mut self, entry: Entry) -> Place {
        let id = entry.id.clone();
        let address = entry.spec.lock().address();
        let node = Node { prev: self.tail, next: END, entry: Some(entry) };
        let place = match self.table.get_mut(self.free as usize) {
            Some(free) => {
                let place = std::mem::replace(&mut self.free, free.next);
                *free = node;
                place
            }
            None => {
                self.table.push(node);
                // A process table has 2^28 places, and each child has a handle in memory.
                (self.table.len() - 1) as u32
            }
        };
        match self.table.get_mut(self.tail as usize) {
            Some(before) => before.next = place,
            None => self.head = place,
        }
        self.tail = place;
        self.len += 1;
        self.index.insert(address, Place(place));
        self.index.insert(id, Place(place));
        Place(place)
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Entry> {
        let node = self.table.get_mut(place.0 as usize)?;
        let entry = node.entry.take()?;
        let (prev, next) = (node.prev, std::mem::replace(&mut node.next, self.free));
        self.free = place.0;
        match self.table.get_mut(prev as usize) {
            Some(node) => node.next = next,
            None => self.head = next,
        }
        match self.table.get_mut(next as usize) {
            Some(node) => node.prev = prev,
            None => self.tail = prev,
        }
        self.len -= 1;
        let address = entry.spec.lock().address();
        self.index.remove(&address);
        self.index.remove(&entry.id);
        if self.len == 0 {
            // Memory goes back after a burst.
            *self = Roster::with_capacity(0);
        }
        Some(entry)
    }

    pub(super) fn find(&self, id: &ChildId) -> Option<Place> {
        self.index.get(id).copied()
    }

    pub(super) fn get(&self, place: Place) -> Option<&Entry> {
        self.table.get(place.0 as usize)?.entry.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Entry> {
        self.table.get_mut(place.0 as usize)?.entry.as_mut()
    }

    pub(super) fn oldest(&self) -> Option<Place> {
        real(self.head)
    }

    pub(super) fn newest(&self) -> Option<Place> {
        real(self.tail)
    }

    /// The next newer one.
    pub(super) fn after(&self, place: Place) -> Option<Place> {
        real(self.table.get(place.0 as usize)?.next)
    }

    /// The next older one.
    pub(super) fn before(&self, place: Place) -> Option<Place> {
        real(self.table.get(place.0 as usize)?.prev)
    }

    /// All of them, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (Place, &Entry)> {
        std::iter::successors(self.newest(), |place| self.before(*place))
            .filter_map(|place| Some((place, self.get(place)?)))
    }
}

fn real(place: u32) -> Option<Place> {
    (place != END).then_some(Place(place))
}

#[cfg(test)]
mod tests {
    use whitebeam_actor::{Mailbox, SpawnOptions};

    use super::*;
    use crate::{child::ProcessChild, guard::Contained};

    fn add(roster: &mut Roster, id: usize) -> Place {
        let launch = ProcessChild::new(|_: Mailbox<()>| async { Ok(()) });
        let spec = Spec {
            id: id.into(),
            kind: ChildKind::Worker,
            restart: Restart::Permanent,
            shutdown: Shutdown::Infinity,
            significant: false,
            options: Contained::new(SpawnOptions::new()),
            launch: Contained::new(Box::new(launch)),
        };
        roster.push(Entry::new(Arc::new(Mutex::new(spec))))
    }

    fn ids(roster: &Roster) -> Vec<String> {
        roster.newest_first().map(|(_, entry)| entry.id.to_string()).collect()
    }

    #[test]
    fn children_are_kept_in_the_order_of_their_starts_and_found_by_id_and_address() {
        let mut roster = Roster::with_capacity(0);
        let places: Vec<Place> = (0..5).map(|id| add(&mut roster, id)).collect();
        assert_eq!(ids(&roster), ["4", "3", "2", "1", "0"]);
        assert_eq!(roster.find(&3.into()), Some(places[3]));
        let address = roster.get(places[3]).unwrap().spec.lock().address();
        assert_eq!(roster.find(&address), Some(places[3]));
        assert_eq!((roster.before(places[0]), roster.after(places[4])), (None, None));

        for gone in [2, 0, 4] {
            assert!(roster.remove(places[gone]).is_some());
            assert!(roster.remove(places[gone]).is_none());
            assert_eq!(roster.find(&gone.into()), None);
        }
        assert_eq!(ids(&roster), ["3", "1"]);
        assert_eq!((roster.oldest(), roster.newest()), (Some(places[1]), Some(places[3])));
        assert_eq!(roster.find(&address), Some(places[3]));

        for id in 5..8 {
            add(&mut roster, id);
        }
        assert_eq!(ids(&roster), ["7", "6", "5", "3", "1"]);
        assert_eq!(roster.table.len(), 5, "places are used again");
        assert_eq!(roster.after(places[1]), Some(places[3]));
    }

    #[test]
    fn the_last_that_goes_takes_the_memory_with_it() {
        let mut roster = Roster::with_capacity(0);
        let places: Vec<Place> = (0..100).map(|id| add(&mut roster, id)).collect();
        for place in places {
            roster.remove(place);
        }
        assert_eq!((roster.table.capacity(), roster.index.capacity()), (0, 0));
        add(&mut roster, 1);
        assert_eq!(ids(&roster), ["1"]);
    }
}

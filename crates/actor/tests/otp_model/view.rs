//! What is seen of the model from outside: who is there, and the trace of a run.

use super::{Model, System};
use crate::{
    program::{Id, Mon, OUTSIDE, Op, Step},
    trace::Trace,
};

impl Model {
    pub(crate) fn processes(&self) -> usize {
        self.processes.len()
    }

    pub(crate) fn is_alive(&self, id: Id) -> bool {
        id != OUTSIDE && self.processes[id].life.end.is_none()
    }

    pub(crate) fn is_holding(&self, id: Id) -> bool {
        self.is_alive(id) && self.processes[id].holds
    }

    /// Whether messages wait in its mailbox.
    pub(crate) fn has_waiting(&self, id: Id) -> bool {
        !self.processes[id].mailbox.is_empty()
    }

    /// A monitor whose DOWN waits in its mailbox.
    pub(crate) fn waiting_down(&self, id: Id) -> Option<Mon> {
        self.processes[id].mailbox.iter().find_map(|(_, text)| {
            let (monitor, _) = text.strip_prefix("down ")?.split_once(' ')?;
            monitor.parse().ok()
        })
    }

    /// Whether everything that a step names is there.
    pub(crate) fn is_possible(&self, Step { by, op }: Step) -> bool {
        let does = by == OUTSIDE || by < self.processes() && self.is_alive(by);
        does && match op {
            Op::Link(to) | Op::Unlink(to) | Op::Monitor(to, _) => to < self.processes(),
            Op::Exit(to, _) | Op::Register(_, to) | Op::Send(to, _) => to < self.processes(),
            Op::Demonitor { monitor, .. } => self.monitors.contains_key(&monitor),
            Op::Spawn(_, child, _) => child == self.processes(),
            _ => true,
        }
    }

    pub(crate) fn trace(mut self) -> Trace {
        for id in 1..self.processes() {
            if self.is_alive(id) {
                self.processes[id].life.relations = self.relations(id);
            }
        }
        let lives = self.processes.into_iter().map(|process| process.life);
        lives.enumerate().skip(1).collect()
    }

    fn relations(&self, id: Id) -> String {
        let mut links = self.processes[id].links.clone();
        links.sort_unstable();
        let watched = self.processes[id].watches.values();
        let mut monitors: Vec<_> = watched
            .filter(|(whom, _)| *whom != id)
            .map(|(whom, name)| match name.filter(|_| self.system == System::Otp) {
                Some(name) => name.to_owned(),
                None => whom.to_string(),
            })
            .collect();
        monitors.sort_unstable();
        let watchers = self.processes.iter().enumerate();
        let monitored_by: Vec<Id> = watchers
            .flat_map(|(watcher, it)| it.watches.values().map(move |(whom, _)| (watcher, *whom)))
            .filter_map(|(watcher, whom)| (whom == id && watcher != id).then_some(watcher))
            .collect();
        let named = self.names.iter().find(|(_, named)| **named == id);
        let name = named.map_or("-", |(name, _)| name);
        relations(&links, &monitors, &monitored_by, name)
    }
}

/// How relations are written down.
pub(crate) fn relations(
    links: &[Id],
    monitors: &[String],
    monitored_by: &[Id],
    name: &str,
) -> String {
    let list = |ids: &[Id]| ids.iter().map(Id::to_string).collect::<Vec<_>>().join(",");
    let (links, monitors, by) = (list(links), monitors.join(","), list(monitored_by));
    format!("links={links} monitors={monitors} monitored_by={by} name={name}")
}

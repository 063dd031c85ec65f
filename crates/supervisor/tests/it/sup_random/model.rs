//! OTP's `supervisor.erl` in a few lines.

use std::collections::VecDeque;

use whitebeam_supervisor::{AutoShutdown, Restart};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    OneForOne,
    OneForAll,
    RestForOne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Stopped,
    /// Its restart has failed, and is to be tried again.
    Restarting,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Kid {
    pub(super) id: u64,
    pub(super) restart: Restart,
    pub(super) significant: bool,
    pub(super) state: State,
}

/// What OTP would do.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) strategy: Strategy,
    pub(super) auto_shutdown: AutoShutdown,
    /// Restarts that are left; none come back in the time of a test.
    pub(super) left: u32,
    pub(super) kids: Vec<Kid>,
    /// Starts that are to fail, by child.
    pub(super) failing: Vec<(u64, u32)>,
    /// Starts and ends.
    pub(super) trace: Vec<(char, u64)>,
    /// Restarts that have failed, in the order in which they are to be tried again.
    pub(super) tries: VecDeque<u64>,
    pub(super) ended: bool,
}

impl Kid {
    /// Significant if it may be, and is to be.
    pub(super) fn new(
        id: u64,
        restart: Restart,
        auto_shutdown: AutoShutdown,
        significant: bool,
    ) -> Self {
        let may_be = restart != Restart::Permanent && auto_shutdown != AutoShutdown::Never;
        Kid { id, restart, significant: significant && may_be, state: State::Stopped }
    }
}

impl Model {
    pub(super) fn place(&self, id: u64) -> Option<usize> {
        self.kids.iter().position(|kid| kid.id == id)
    }

    pub(super) fn begin(&mut self, place: usize) -> bool {
        let id = self.kids[place].id;
        self.trace.push(('+', id));
        if let Some((_, times)) =
            self.failing.iter_mut().find(|(other, times)| *other == id && *times > 0)
        {
            *times -= 1;
            return false;
        }
        self.kids[place].state = State::Running;
        true
    }

    pub(super) fn stop(&mut self, place: usize) {
        if self.kids[place].state == State::Running {
            self.trace.push(('-', self.kids[place].id));
        }
        self.kids[place].state = State::Stopped;
    }

    pub(super) fn end(&mut self) {
        for place in (0..self.kids.len()).rev() {
            self.stop(place);
        }
        self.ended = true;
    }

    /// A child has ended by itself.
    pub(super) fn crashed(&mut self, id: u64, is_orderly: bool) {
        let Some(place) = self.place(id) else { return };
        self.trace.push(('-', id));
        let kid = &mut self.kids[place];
        kid.state = State::Stopped;
        let kid = *kid;
        let again = match kid.restart {
            Restart::Permanent => true,
            Restart::Transient => !is_orderly,
            Restart::Temporary => false,
        };
        if again {
            return self.restart(id);
        }
        if kid.restart == Restart::Temporary {
            self.kids.remove(place);
        }
        let others = self.kids.iter().any(|kid| kid.significant && kid.state == State::Running);
        if kid.significant
            && (self.auto_shutdown == AutoShutdown::AnySignificant
                || (self.auto_shutdown == AutoShutdown::AllSignificant && !others))
        {
            self.end();
        }
    }

    /// One try. If it fails, the next one is behind what has come meanwhile.
    pub(super) fn restart(&mut self, id: u64) {
        if self.left == 0 {
            return self.end();
        }
        self.left -= 1;
        let Some(place) = self.place(id) else { return };
        let first = match self.strategy {
            Strategy::OneForOne => {
                if !self.begin(place) {
                    self.failed(place);
                }
                return;
            }
            Strategy::OneForAll => 0,
            Strategy::RestForOne => place,
        };
        for place in (first..self.kids.len()).rev() {
            self.stop(place);
            if self.kids[place].restart == Restart::Temporary {
                self.kids.remove(place);
            }
        }
        if let Some(failed) = (first..self.kids.len()).find(|place| !self.begin(*place)) {
            self.failed(failed);
        }
    }

    fn failed(&mut self, place: usize) {
        self.kids[place].state = State::Restarting;
        self.tries.push_back(self.kids[place].id);
    }

    /// The first one of those that are to be tried again.
    pub(super) fn try_again(&mut self) {
        let Some(id) = self.tries.pop_front() else { return };
        let state = self.place(id).map(|place| self.kids[place].state);
        if !self.ended && state == Some(State::Restarting) {
            self.restart(id);
        }
    }

    /// Until none is to be tried again.
    pub(super) fn settle(&mut self) {
        while !self.tries.is_empty() {
            self.try_again();
        }
    }
}

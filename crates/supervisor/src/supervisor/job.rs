//! A change to children: who is stopped, who is started, and who waits for it. See the text of
//! [`process`](super::process).

use std::time::Duration;

use whitebeam_actor::{Pid, Reply, StartError, TimerRef};

use super::{
    process::Strategy,
    roster::{Entry, Place},
};
use crate::ChildError;

/// A change that is under way.
pub(super) struct Job {
    /// Tells restarts of groups apart; 0 for any other job.
    pub(super) number: u64,
    pub(super) purpose: Purpose,
    pub(super) group: Group,
    /// The next child to be stopped; then older ones.
    pub(super) stops: Option<Place>,
    /// Whether those that were stopped are started, or it is over then.
    pub(super) starts_follow: bool,
    /// The next child to be started; then newer ones.
    pub(super) starts: Option<Place>,
    /// Those whose addresses are to be told that they are not started any more.
    pub(super) releases: Option<Release>,
    pub(super) step: Step,
}

/// The newest of some children, and the one below the oldest of them.
#[derive(Clone, Copy)]
pub(super) struct Release {
    pub(super) newest: Place,
    pub(super) below: Place,
}

/// What it is for.
pub(super) enum Purpose {
    /// The children of the spec are started. Who waits for them.
    Begin(Option<Reply<()>>),
    /// A new child is started.
    Add(Reply<Result<(), StartError>>),
    /// One that does not run is started, as somebody asked.
    Resume(Reply<Result<Option<Pid>, ChildError>>),
    /// One is stopped, as somebody asked.
    Terminate(Reply<Result<(), ChildError>>),
    /// Children are restarted after an end.
    Restart,
}

/// Whom it is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    One,
    /// This one and all newer ones.
    From(Place),
    All,
}

/// What it waits for.
pub(super) enum Step {
    /// Nothing: the next step can be begun.
    None,
    Stopping(Stopping),
    /// The end of an orphan that has the name of this child, which is started then.
    AwaitingName(Place),
    Starting(Starting),
}

pub(super) struct Stopping {
    pub(super) place: Place,
    pub(super) timer: Option<TimerRef>,
    /// When the timer is due, by the runtime's uptime.
    pub(super) deadline: Option<Duration>,
}

pub(super) struct Starting {
    pub(super) place: Place,
    pub(super) run: u64,
    /// Once it has come. A failure waits for the end of the process.
    pub(super) outcome: Option<Result<(), StartError>>,
}

impl Step {
    pub(super) fn stopping(
        place: Place,
        timer: Option<TimerRef>,
        deadline: Option<Duration>,
    ) -> Self {
        Step::Stopping(Stopping { place, timer, deadline })
    }

    fn is_start_of(&self, place: Place) -> bool {
        match self {
            Step::AwaitingName(it) => *it == place,
            Step::Starting(starting) => starting.place == place,
            Step::None | Step::Stopping(_) => false,
        }
    }
}

impl Job {
    fn new(purpose: Purpose, group: Group) -> Self {
        Job {
            number: 0,
            purpose,
            group,
            stops: None,
            starts_follow: false,
            starts: None,
            releases: None,
            step: Step::None,
        }
    }

    /// The children of the spec are started.
    pub(super) fn begin(oldest: Option<Place>, ack: Option<Reply<()>>) -> Self {
        Job { starts: oldest, ..Job::new(Purpose::Begin(ack), Group::All) }
    }

    pub(super) fn add(place: Place, reply: Reply<Result<(), StartError>>) -> Self {
        Job { starts: Some(place), ..Job::new(Purpose::Add(reply), Group::One) }
    }

    pub(super) fn resume(place: Place, reply: Reply<Result<Option<Pid>, ChildError>>) -> Self {
        Job { starts: Some(place), ..Job::new(Purpose::Resume(reply), Group::One) }
    }

    /// `releases`: those that wait for it, if it was to be tried again.
    pub(super) fn terminate(
        place: Place,
        reply: Reply<Result<(), ChildError>>,
        releases: Option<Release>,
    ) -> Self {
        Job { stops: Some(place), releases, ..Job::new(Purpose::Terminate(reply), Group::One) }
    }

    /// `place` is to be restarted, and with it whom the strategy says.
    pub(super) fn restart(
        number: u64,
        strategy: Strategy,
        place: Place,
        newest: Option<Place>,
    ) -> Self {
        let job = match strategy {
            Strategy::OneForOne => {
                Job { starts: Some(place), ..Job::new(Purpose::Restart, Group::One) }
            }
            Strategy::OneForAll => {
                Job { stops: newest, starts_follow: true, ..Job::new(Purpose::Restart, Group::All) }
            }
            Strategy::RestForOne => Job {
                stops: newest,
                starts_follow: true,
                ..Job::new(Purpose::Restart, Group::From(place))
            },
        };
        Job { number, ..job }
    }

    /// The child whose restart is under way.
    pub(super) fn restarts(&self, place: Place) -> bool {
        matches!(self.purpose, Purpose::Restart) && self.step.is_start_of(place)
    }

    /// Whether it has stopped this child and is to start it again.
    pub(super) fn has_stopped(&self, entry: &Entry) -> bool {
        self.number != 0 && self.number == entry.stopped_by
    }

    /// Whether a start is under way that is no restart.
    pub(super) fn starts(&self, place: Place) -> bool {
        !matches!(self.purpose, Purpose::Restart) && self.step.is_start_of(place)
    }
}

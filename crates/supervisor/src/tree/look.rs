//! What a supervisor says of its children when it is asked.
#![expect(
    unnameable_types,
    missing_debug_implementations,
    reason = "named by the hidden items of a sealed trait"
)]

use whitebeam_actor::{Answered, ChildRef, Pid, Reply, SendFailure};

use super::{NodeKind, NodeState, StopTime};
use crate::{Restart, Shutdown};

/// A supervisor's answer.
pub struct Looked {
    pub(crate) kind: NodeKind,
    /// Its children are being started.
    pub(crate) is_starting: bool,
    /// In the order of their starts: the first workers, and all supervisors.
    pub(crate) children: Vec<LookedChild>,
    /// Workers that are not in there.
    pub(crate) more: usize,
    /// Those of them that have a process.
    pub(crate) more_active: usize,
    /// How long they take to stop.
    pub(crate) more_stop_within: StopTime,
}

/// A child, as its supervisor knows it.
pub(crate) struct LookedChild {
    pub(crate) id: Option<String>,
    pub(crate) is_supervisor: bool,
    pub(crate) actor: &'static str,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) significant: bool,
    pub(crate) state: NodeState,
    pub(crate) pid: Option<Pid>,
    /// How often it was started again; `None`: the process knows.
    pub(crate) restarts: Option<u32>,
    /// Of a supervisor: its address.
    pub(crate) address: Option<Box<dyn Asked>>,
}

/// The address of a supervisor of whatever kind, to be asked for what it knows.
pub(crate) trait Asked: Send + Sync {
    /// Asks for the first `workers`, and all supervisors among the children.
    fn look(&self, workers: usize) -> Result<Answered<Looked>, SendFailure>;

    /// Its process.
    fn pid(&self) -> Option<Pid>;
}

/// The messages of a supervisor.
pub trait Looks: Send + 'static {
    fn look(workers: usize, reply: Reply<Looked>) -> Self;
}

impl<M: Looks> Asked for ChildRef<M> {
    fn look(&self, workers: usize) -> Result<Answered<Looked>, SendFailure> {
        self.ask(|reply| M::look(workers, reply))
    }

    fn pid(&self) -> Option<Pid> {
        self.current().map(|current| current.pid())
    }
}

/// Answers who asked, unless nobody waits for it any more: a picture that gave up leaves its questions in mailboxes, and
/// a look may take time by the number of the children.
pub(crate) fn tell(reply: Reply<Looked>, look: impl FnOnce() -> Looked) {
    if reply.is_awaited() {
        reply.send(look());
    }
}

impl Looked {
    pub(crate) fn new(kind: NodeKind) -> Self {
        Looked {
            kind,
            is_starting: false,
            children: Vec::new(),
            more: 0,
            more_active: 0,
            more_stop_within: StopTime::ZERO,
        }
    }

    /// The next child. `child` is called if it is among those to be listed.
    pub(crate) fn add(
        &mut self,
        workers: usize,
        brief: Brief,
        child: impl FnOnce() -> LookedChild,
    ) {
        if brief.is_supervisor || self.children.len() < workers {
            self.children.push(child());
            return;
        }
        self.more += 1;
        if brief.is_active {
            self.more_active += 1;
            let time = StopTime::of(brief.shutdown);
            self.more_stop_within = self.more_stop_within.with(time, self.kind);
        }
    }
}

/// What there is to be known of a child that is not listed.
pub(crate) struct Brief {
    pub(crate) is_supervisor: bool,
    pub(crate) is_active: bool,
    pub(crate) shutdown: Shutdown,
}

#[cfg(test)]
mod tests {
    use whitebeam_actor::oneshot;

    use super::*;

    #[test]
    fn nobody_looks_for_one_that_has_gone() {
        let (reply, answer) = oneshot();
        drop(answer);
        tell(reply, || panic!("nobody waits"));
        let (reply, answer) = oneshot();
        tell(reply, || Looked::new(NodeKind::Tasks));
        let Ok(Ok(looked)) = answer.take_ready() else { panic!("it was awaited") };
        assert_eq!(looked.kind, NodeKind::Tasks);
    }
}

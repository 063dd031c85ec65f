//! Children that are being stopped on their own, while the supervisor goes on serving.

use std::collections::{BTreeMap, btree_map::Entry};

use whitebeam_actor::{Actor, ChildKey, Context, ExitReason, Pid, Reply, TimerRef};

use crate::{ChildError, Shutdown};

/// The stops that are under way, by child.
#[derive(Default)]
pub(super) struct Stops(BTreeMap<ChildKey, Stop>);

/// The stop of one child.
pub(super) struct Stop {
    waiting: Vec<Reply<Result<(), ChildError>>>,
    timer: Option<TimerRef>,
}

impl Stops {
    /// Tells a child to end, if it was not told before. `over` is the message that comes when its time is.
    pub(super) fn begin<A: Actor>(
        &mut self,
        (key, pid): (ChildKey, Pid),
        shutdown: Shutdown,
        reply: Reply<Result<(), ChildError>>,
        over: A::Msg,
        cx: &mut Context<A>,
    ) {
        match self.0.entry(key) {
            Entry::Occupied(under_way) => under_way.into_mut().join(reply),
            Entry::Vacant(none) => {
                cx.exit(pid, shutdown.signal());
                let timer = shutdown.limit().map(|time| cx.send_after(time, over));
                none.insert(Stop { waiting: vec![reply], timer });
            }
        }
    }

    /// A child has ended: the stop that was under way of it.
    #[inline]
    pub(super) fn end<A: Actor>(&mut self, key: ChildKey, cx: &mut Context<A>) -> Option<Stop> {
        if self.0.is_empty() {
            return None;
        }
        let mut stop = self.0.remove(&key)?;
        if let Some(timer) = stop.timer.take() {
            cx.cancel(timer);
        }
        Some(stop)
    }

    /// A child that is being stopped has had its time.
    pub(super) fn time_over<A: Actor>(key: ChildKey, pid: Pid, cx: &mut Context<A>) {
        if cx.child_pid(key) == Some(pid) {
            cx.exit(pid, ExitReason::Kill);
        }
    }

    /// All children have ended.
    pub(super) fn end_all(&mut self) {
        for (_, stop) in std::mem::take(&mut self.0) {
            stop.done();
        }
    }
}

impl Stop {
    /// One more waits.
    pub(super) fn join(&mut self, reply: Reply<Result<(), ChildError>>) {
        self.waiting.push(reply);
    }

    /// That of a child without a process, which takes no time.
    pub(super) fn of_none(reply: Reply<Result<(), ChildError>>) -> Self {
        Stop { waiting: vec![reply], timer: None }
    }

    /// Tells those who wait.
    pub(super) fn done(self) {
        for reply in self.waiting {
            reply.send(Ok(()));
        }
    }
}

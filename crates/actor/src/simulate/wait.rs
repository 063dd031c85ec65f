//! Who waits for whom, and whether an await that could go on gives way first.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use whitebeam_scheduler::{Point, Sleep};

use super::{Event, WaitOver, WaitsFor, tell};
use crate::{
    Pid,
    cell::{CellPtr, bit},
    deadlock::Probe,
    local,
    shared::Shared,
    timeouts::LOOK_AFTER,
};

/// Whether an await of the process that runs on this thread is to let others run before it goes on. Only in a
/// simulation; then it is woken.
#[inline]
pub(crate) fn gives_way(cx: &TaskContext<'_>) -> bool {
    local::current().is_some_and(|cell| chosen_to_give_way(cell.shared(), cx))
}

fn chosen_to_give_way(shared: &Shared, cx: &TaskContext<'_>) -> bool {
    let gives_way = shared.scheduler().choose(Point::Preempt, 2) == 1;
    if gives_way {
        cx.waker().wake_by_ref();
    }
    gives_way
}

/// Somebody waits for somebody. The observer is told of its beginning and of its end.
pub(crate) struct Wait {
    shared: Arc<Shared>,
    id: u64,
    who: Option<Pid>,
    on: Pid,
    over: WaitOver,
}

impl Wait {
    /// `None`: nobody observes.
    pub(crate) fn begin(on: CellPtr, what: WaitsFor) -> Option<Wait> {
        let observed = on.shared().observed()?;
        let (id, on_pid) = (observed.next_wait(), on.pid());
        let who = local::current().map(CellPtr::pid);
        tell(on.shared(), Event::Waits { id, who, on: on_pid, what });
        let shared = on.shared().arc();
        Some(Wait { shared, id, who, on: on_pid, over: WaitOver::GivenUp })
    }

    pub(crate) fn over(mut self, over: WaitOver) {
        self.over = over;
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wait(on {})", self.on)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let (id, who, on, over) = (self.id, self.who, self.on, self.over);
        tell(&self.shared, Event::WaitsNoMore { id, who, on, over });
    }
}

/// The wait for a reply in a simulation, which is watched and may give way.
pub(crate) struct ReplyWait {
    timeout: Option<Sleep>,
    /// When its caller looks whether it waits in a cycle.
    look: Option<Sleep>,
    wait: Option<Wait>,
    gave_way: bool,
}

impl ReplyWait {
    pub(crate) fn of(callee: CellPtr, timeout: Option<Sleep>) -> Box<Self> {
        let wait = Wait::begin(callee, WaitsFor::Answer);
        Box::new(ReplyWait { timeout, look: None, wait, gave_way: false })
    }

    /// Has the handler that waits look whether it does so in a cycle, unless it is about to.
    pub(crate) fn watch(&mut self, cx: &mut TaskContext<'_>) {
        let Some(cell) = Probe::polled_in(cx.waker()) else { return };
        let scheduler = cell.shared().scheduler();
        let look = self.look.get_or_insert_with(|| scheduler.sleep(LOOK_AFTER));
        if Pin::new(look).poll(cx).is_ready() {
            self.look = None;
            cell.header().set(bit::LOOKS);
        }
    }

    /// The reply is there. `true`: others are to run before it is taken.
    pub(crate) fn gives_way(&mut self, cx: &TaskContext<'_>) -> bool {
        if self.gave_way {
            return false;
        }
        self.gave_way = gives_way(cx);
        self.gave_way
    }

    /// Whether the call's time is over.
    pub(crate) fn is_late(&mut self, cx: &mut TaskContext<'_>) -> bool {
        match &mut self.timeout {
            Some(timeout) => matches!(Pin::new(timeout).poll(cx), Poll::Ready(())),
            None => false,
        }
    }

    pub(crate) fn over(mut self, over: WaitOver) {
        if let Some(wait) = self.wait.take() {
            wait.over(over);
        }
    }
}

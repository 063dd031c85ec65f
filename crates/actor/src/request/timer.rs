//! What a call waits with: its timeout, or what stands for it in the simulation, and its place in a line for room.

use std::{future::Future as _, pin::Pin, task::Context as TaskContext, time::Duration};

use whitebeam_scheduler::Sleep;

use super::{CALL_TIMEOUT, CallFuture, NEVER};
use crate::{
    bound::Queued,
    cell::CellPtr,
    deadlock::Probe,
    local,
    simulate::{self, WaitOver},
    timeouts,
};

pub(super) enum Timer {
    /// Not sent yet, or no timeout.
    None,
    /// The running cell looks after it, see [`timeouts`].
    Lazy(CellPtr),
    /// Behind a pointer, so that a future of a call does not pay for what few have.
    Rare(Box<Rare>),
}

pub(super) enum Rare {
    /// In the simulation, with a timeout or without.
    Simulated(Box<simulate::ReplyWait>),
    /// Nobody else looks after it: the call is awaited by no handler.
    Own(Sleep),
    /// Not sent yet; waits for room if there is none.
    Patient,
    /// Sent ahead of its first poll, from which on its time counts.
    Unpolled,
    /// The request waits for room, or has come in since; and the timer.
    InLine(Queued, Timer),
}

impl Timer {
    pub(super) fn rare(rare: Rare) -> Self {
        Timer::Rare(Box::new(rare))
    }

    /// Whether the call was sent, and never polled.
    pub(super) fn is_unpolled(&self) -> bool {
        match self {
            Timer::Rare(rare) => match &**rare {
                Rare::Unpolled => true,
                Rare::InLine(_, timer) => timer.is_unpolled(),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the request is to wait for room.
    pub(super) fn is_patient(&self) -> bool {
        matches!(self, Timer::Rare(rare) if matches!(**rare, Rare::Patient))
    }
}

impl Rare {
    /// The reply is there. `true`: others are to run before it is taken.
    #[cold]
    pub(super) fn gives_way(&mut self, cx: &TaskContext<'_>) -> bool {
        match self {
            Rare::Simulated(reply) => reply.gives_way(cx),
            Rare::InLine(_, Timer::Rare(rare)) => rare.gives_way(cx),
            Rare::InLine(..) | Rare::Patient | Rare::Unpolled | Rare::Own(_) => false,
        }
    }
}

impl<M, T> CallFuture<'_, M, T> {
    /// The call is late: its request is taken back if it waits for room. `true`: it does not.
    #[cold]
    pub(super) fn is_accepted(&mut self) -> bool {
        match std::mem::replace(&mut self.timer, Timer::None) {
            Timer::Rare(rare) => match *rare {
                Rare::InLine(queued, timer) => {
                    self.timer = timer;
                    !queued.leave()
                }
                rare => {
                    self.timer = Timer::rare(rare);
                    true
                }
            },
            timer => {
                self.timer = timer;
                true
            }
        }
    }

    // Used twice, of which once on the way of every call.
    #[inline(always)]
    pub(super) fn set_timer(&mut self, cx: &mut TaskContext<'_>) {
        let lazy = local::polled_with(cx.waker())
            .filter(|cell| timeouts::note(*cell, self.waiting.node(), self.timeout_ns));
        self.timer = match lazy {
            Some(cell) => Timer::Lazy(cell),
            None => self.own_timer(cx),
        };
    }

    #[cold]
    pub(super) fn own_timer(&self, cx: &mut TaskContext<'_>) -> Timer {
        if let Some(probe) = Probe::of(cx.waker())
            && timeouts::note(probe.cell(), self.waiting.node(), self.timeout_ns)
        {
            return Timer::Lazy(probe.cell());
        }
        // A call that was sent has a cell.
        let Some(cell) = self.to.cell() else { return Timer::None };
        let sleep = (self.timeout_ns != NEVER).then(|| {
            let timeout = Duration::from_nanos(self.timeout_ns);
            let mut sleep = cell.shared().scheduler().sleep(timeout);
            let _ = Pin::new(&mut sleep).poll(cx);
            sleep
        });
        if cell.shared().scheduler().is_simulated() {
            let mut wait = simulate::ReplyWait::of(cell, sleep);
            if self.is_long() {
                wait.watch(cx);
            }
            return Timer::rare(Rare::Simulated(wait));
        }
        self.watch(cx);
        sleep.map_or(Timer::None, |sleep| Timer::rare(Rare::Own(sleep)))
    }

    /// Whether it waits for so long that it may be called a deadlock.
    pub(super) fn is_long(&self) -> bool {
        self.timeout_ns >= const { CALL_TIMEOUT.as_nanos() as u64 }
    }

    /// Has the handler's cell look whether it waits in a cycle, if this call may be all that it waits for now.
    #[cold]
    pub(super) fn watch(&self, cx: &TaskContext<'_>) {
        if self.is_long()
            && let Some(cell) = Probe::polled_in(cx.waker())
        {
            timeouts::watch(cell);
        }
    }

    pub(super) fn is_late(&mut self, cx: &mut TaskContext<'_>) -> bool {
        match &mut self.timer {
            Timer::None => false,
            Timer::Lazy(cell) => {
                let is_here = local::polled_with(cx.waker()) == Some(*cell);
                if let Some(late) = timeouts::is_expired(self.waiting.node()).filter(|_| is_here) {
                    return late;
                }
                // Moved away from the frame that looked after it: from here on by its own timer.
                self.timer = self.own_timer(cx);
                false
            }
            Timer::Rare(rare) => match &mut **rare {
                Rare::Simulated(reply) => reply.is_late(cx),
                Rare::Own(sleep) => Pin::new(sleep).poll(cx).is_ready(),
                Rare::Patient | Rare::Unpolled => false,
                Rare::InLine(..) => self.outside_of_line(|this| this.is_late(cx)),
            },
        }
    }

    /// The call was polled again, and still waits.
    pub(super) fn wait_on(&mut self, cx: &mut TaskContext<'_>) {
        let is_long = self.is_long();
        match &mut self.timer {
            Timer::Rare(rare) => match &mut **rare {
                Rare::Simulated(reply) if is_long => reply.watch(cx),
                Rare::Simulated(_) | Rare::Patient => {}
                Rare::Own(_) => self.watch(cx),
                Rare::Unpolled => self.set_timer(cx),
                Rare::InLine(..) => self.outside_of_line(|this| this.wait_on(cx)),
            },
            _ => self.watch(cx),
        }
    }

    /// Calls `f` as if the request did not wait for room, with the timer alone.
    #[cold]
    pub(super) fn outside_of_line<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        match std::mem::replace(&mut self.timer, Timer::None) {
            Timer::Rare(rare) => match *rare {
                Rare::InLine(queued, timer) => {
                    self.timer = timer;
                    let result = f(self);
                    let timer = std::mem::replace(&mut self.timer, Timer::None);
                    self.timer = Timer::rare(Rare::InLine(queued, timer));
                    result
                }
                rare => {
                    self.timer = Timer::rare(rare);
                    f(self)
                }
            },
            timer => {
                self.timer = timer;
                f(self)
            }
        }
    }

    #[inline]
    pub(super) fn settle_timer(&mut self, over: WaitOver) {
        match std::mem::replace(&mut self.timer, Timer::None) {
            Timer::None => {}
            Timer::Lazy(_) => timeouts::forget(self.waiting.node()),
            Timer::Rare(rare) => self.settle_rare(*rare, over),
        }
    }

    #[cold]
    pub(super) fn settle_rare(&mut self, rare: Rare, over: WaitOver) {
        match rare {
            Rare::Simulated(reply) => reply.over(over),
            Rare::Own(_) | Rare::Patient | Rare::Unpolled => {}
            Rare::InLine(queued, timer) => {
                drop(queued);
                self.timer = timer;
                self.settle_timer(over);
            }
        }
    }

    /// The reply is there. `true`: others are to run before it is taken, in the simulation.
    #[inline]
    pub(super) fn gives_way(&mut self, cx: &TaskContext<'_>) -> bool {
        match &mut self.timer {
            Timer::Rare(rare) => rare.gives_way(cx),
            _ => false,
        }
    }
}

//! A future that waits for a moment of the scheduler's clock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;

use super::TimerKey;
use crate::choice::Point;
use crate::clock::Time;
use crate::coop::poll_budget;
use crate::handle::Handle;
use crate::task::quietly;
use crate::timer::Expire;

/// Ready at its deadline or a little later, never before. Made by
/// [`Handle::sleep`](crate::Handle::sleep) and [`Handle::sleep_until`](crate::Handle::sleep_until).
///
/// The timer is set at the first poll and taken back when this is dropped. It may be polled on any
/// executor. If the scheduler is shut down first, it is never ready.
#[must_use = "a sleep does nothing until it is awaited"]
pub struct Sleep {
    handle: Handle,
    deadline: Time,
    timer: Option<(TimerKey, Arc<Alarm>)>,
    /// It was ready once, and others were let run first as the simulation chose.
    gave_way: bool,
}

/// Whom to wake; shared with the timer.
#[derive(Default)]
struct Alarm {
    waker: Mutex<Option<Waker>>,
}

impl Expire for Alarm {
    fn expire(&self, _token: u64, _deadline: u64) {
        self.wake();
    }

    /// A plain task that sleeps is cancelled when it is woken now.
    fn closed(&self) {
        self.wake();
    }
}

impl Alarm {
    fn wake(&self) {
        // Waked outside the lock: a waker may do anything.
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            // Its panic is not that of who fires timers.
            quietly(|| waker.wake());
        }
    }
}

impl Sleep {
    pub(crate) fn new(handle: Handle, deadline: Time) -> Self {
        Sleep { handle, deadline, timer: None, gave_way: false }
    }

    /// When it will be ready.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Its time has come. In a simulation, whether others are to run first is chosen once.
    fn due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_none() && !self.gave_way {
            // It was never pending.
            ready!(poll_budget(cx));
        }
        self.stop();
        if !self.gave_way && self.handle.choose(Point::Preempt, 2) == 1 {
            self.gave_way = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn stop(&mut self) {
        if let Some((key, _)) = self.timer.take() {
            self.handle.cancel(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.handle.now() >= self.deadline {
            return self.due(cx);
        }
        match &self.timer {
            None => {
                let alarm = Arc::new(Alarm { waker: Mutex::new(Some(cx.waker().clone())) });
                let key =
                    self.handle.timer_at(self.deadline, Arc::clone(&alarm) as Arc<dyn Expire>, 0);
                self.timer = Some((key, alarm));
            }
            Some((_, alarm)) => {
                let mut waker = alarm.waker.lock();
                let is_same = waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                let old = if is_same { None } else { waker.replace(cx.waker().clone()) };
                drop(waker);
                drop(old);
                // It may have fired between the look at the clock and here, and found the old waker or
                // none; the clock tells.
                if self.handle.now() >= self.deadline {
                    return self.due(cx);
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

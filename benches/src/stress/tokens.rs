//! What is told apart: each message, monitor, call and timer has a token of its own, which reports what becomes
//! of it, once, and finds faults by what it was before.
//!
//! Tokens travel with what they stand for: inside a message, in the closure that makes a DOWN a message, beside a
//! [`Reply`]. Whatever the runtime does with that, it drops the token, and a token that is dropped knows whether it
//! may be. What the library's types rule out (a second DOWN of one closure, a second answer of one reply) is not
//! looked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use whitebeam::{CallError, Down, Pid, Reply};

use crate::stress::book::Ev;
use crate::stress::world::World;

/// One actor, as its tokens know it.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Its state was dropped: what it had may go.
    pub(crate) is_over: AtomicBool,
}

impl Life {
    fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }
}

/// One message: handled, refused, or dropped unread.
#[derive(Debug)]
pub(crate) struct Load {
    world: Arc<World>,
    /// Who sent it and its number there; 0: no order is looked at.
    from: u64,
    number: u64,
    is_counted: bool,
}

impl Load {
    pub(crate) fn new(world: &Arc<World>, from: u64, number: u64) -> Self {
        world.book.count(Ev::Made);
        Load { world: world.clone(), from, number, is_counted: false }
    }

    /// It takes another way than the stream of its sender's messages.
    pub(crate) fn unordered(mut self) -> Self {
        self.from = 0;
        self
    }

    /// A handler has it. `seen` are the numbers of the last messages by sender.
    pub(crate) fn handle(&mut self, seen: &mut HashMap<u64, u64>) {
        self.settle(Ev::Handled);
        if self.from == 0 {
            return;
        }
        let before = seen.insert(self.from, self.number).unwrap_or(0);
        if before >= self.number {
            let (from, number) = (self.from, self.number);
            self.world.book.fault(format!(
                "message {number} of sender {from} was handled after its message {before}"
            ));
        }
    }

    /// It came back with an error.
    pub(crate) fn refused(mut self) {
        self.settle(Ev::Refused);
    }

    fn settle(&mut self, event: Ev) {
        if std::mem::replace(&mut self.is_counted, true) {
            self.world.book.fault("a message was handled twice");
        }
        self.world.book.count(event);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if !self.is_counted {
            self.world.book.count(Ev::Unread);
        }
    }
}

/// What has become of a monitor.
mod watch {
    pub(super) const OPEN: u8 = 0;
    pub(super) const FIRED: u8 = 1;
    pub(super) const TAKEN: u8 = 2;
    pub(super) const BY_ALIAS: u8 = 3;
    pub(super) const OWNER_ENDED: u8 = 4;
}

/// One monitor.
#[derive(Debug)]
pub(crate) struct Watch {
    world: Arc<World>,
    owner: Arc<Life>,
    state: AtomicU8,
    /// A message through its alias takes it back.
    pub(crate) ends_by_alias: bool,
    /// It was taken back with its message, which must not be handled any more.
    is_flushed: AtomicBool,
}

/// In the closure that makes the DOWN a message.
#[derive(Debug)]
pub(crate) struct Fuse(Arc<Watch>);

/// In the message.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) watch: Arc<Watch>,
    is_handled: bool,
}

impl Watch {
    pub(crate) fn new(
        world: &Arc<World>,
        owner: &Arc<Life>,
        ends_by_alias: bool,
    ) -> (Arc<Watch>, Fuse) {
        world.book.count(Ev::Watches);
        let watch = Arc::new(Watch {
            world: world.clone(),
            owner: owner.clone(),
            state: AtomicU8::new(watch::OPEN),
            ends_by_alias,
            is_flushed: AtomicBool::new(false),
        });
        (watch.clone(), Fuse(watch))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.load(SeqCst) == watch::OPEN
    }

    /// Whether a message through its alias has ended it.
    pub(crate) fn is_ended_by_alias(&self) -> bool {
        self.state.load(SeqCst) == watch::BY_ALIAS
    }

    /// Its owner takes it back by `demonitor`, which says whether it was active.
    pub(crate) fn take_back(&self, flush: bool, demonitor: impl FnOnce() -> bool) {
        let was_open = self
            .state
            .compare_exchange(watch::OPEN, watch::TAKEN, SeqCst, SeqCst)
            .inspect(|_| self.world.book.count(Ev::Demonitored))
            .is_ok();
        let was_active = demonitor();
        if was_active != was_open {
            let state = self.state.load(SeqCst);
            self.world.book.fault(format!("demonitor said {was_active} (state {state})"));
        }
        if flush {
            self.is_flushed.store(true, SeqCst);
        }
    }
}

impl Fuse {
    /// The DOWN has come.
    pub(crate) fn fire(self, down: &Down) -> Fired {
        let watch = &self.0;
        watch.world.book.count(Ev::Downs);
        let before = watch.state.swap(watch::FIRED, SeqCst);
        if before != watch::OPEN {
            watch.world.book.fault(format!("a DOWN of {} after state {before}", down.pid));
        }
        watch.world.book.ended(down.pid, &down.reason);
        Fired { watch: watch.clone(), is_handled: false }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let watch = &self.0;
        if !watch.is_open() {
            return;
        }
        if watch.owner.is_over() {
            watch.state.store(watch::OWNER_ENDED, SeqCst);
            watch.world.book.count(Ev::WatcherEnded);
        } else if watch.ends_by_alias {
            watch.state.store(watch::BY_ALIAS, SeqCst);
            watch.world.book.count(Ev::ByAlias);
        } else {
            watch.world.book.fault("a monitor of a living process vanished without its DOWN");
        }
    }
}

impl Fired {
    /// The message is handled.
    pub(crate) fn handle(mut self) -> Arc<Watch> {
        self.is_handled = true;
        self.watch.world.book.count(Ev::DownsHandled);
        if self.watch.is_flushed.load(SeqCst) {
            self.watch.world.book.fault("a DOWN was handled after it was flushed");
        }
        self.watch.clone()
    }
}

impl Drop for Fired {
    fn drop(&mut self) {
        if !self.is_handled {
            self.watch.world.book.count(Ev::DownsUnread);
        }
    }
}

/// What has become of a request.
mod asked {
    pub(super) const OPEN: u8 = 0;
    pub(super) const REPLIED: u8 = 1;
    pub(super) const DROPPED: u8 = 2;
}

/// One call, on the caller's side. Dropped unanswered, its caller has ended or given up.
#[derive(Debug)]
pub(crate) struct Open {
    world: Arc<World>,
    request: Arc<AtomicU8>,
    limit: Option<Duration>,
    since: Duration,
    is_over: bool,
}

/// One request, with its reply.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) load: Load,
    request: Arc<AtomicU8>,
    reply: Option<Reply<Answer>>,
}

/// What a request is answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    world: Arc<World>,
    request: Arc<AtomicU8>,
    is_taken: bool,
}

impl Open {
    /// A call that must be answered within `limit`, by a timeout if by nothing else. `now` is the runtime's time.
    pub(crate) fn new(world: &Arc<World>, limit: Option<Duration>, now: Duration) -> Self {
        world.book.count(Ev::Asked);
        let request = Arc::new(AtomicU8::new(asked::OPEN));
        Open { world: world.clone(), request, limit, since: now, is_over: false }
    }

    /// The request.
    pub(crate) fn ask(&self, load: Load, reply: Reply<Answer>) -> Ask {
        Ask { load, request: self.request.clone(), reply: Some(reply) }
    }

    /// The call came to this.
    pub(crate) fn over(mut self, came: Result<Answer, CallError>, now: Duration) {
        self.is_over = true;
        let state = self.request.load(SeqCst);
        let (event, is_right) = match came {
            Ok(mut answer) => {
                answer.take();
                let is_mine = Arc::ptr_eq(&answer.request, &self.request);
                (Ev::Answered, is_mine && state == asked::REPLIED)
            }
            Err(CallError::NoProc) => (Ev::NoProc, state == asked::DROPPED),
            Err(CallError::Exit(_)) => (Ev::CalleeEnded, state == asked::DROPPED),
            Err(CallError::NoReply) => (Ev::NoReply, state == asked::DROPPED),
            Err(CallError::Timeout { .. }) => {
                let in_time = self.limit.is_some_and(|limit| now >= self.since + limit);
                (Ev::TimedOut, in_time)
            }
            // Of itself, at once: the request is gone. Of others: it is still there, or in hand.
            Err(CallError::Deadlock(path)) => {
                let is_itself = path.pids().len() == 1;
                (Ev::Deadlocked, !is_itself || state == asked::DROPPED)
            }
            Err(_) => (Ev::NoProc, false),
        };
        self.world.book.count(event);
        if !is_right {
            let (waited, limit) = (now.saturating_sub(self.since), self.limit);
            self.world.book.fault(format!(
                "a call of limit {limit:?} came to {event:?} after {waited:?}, its request in state {state}"
            ));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_over {
            self.world.book.count(Ev::CallerEnded);
        }
    }
}

impl Ask {
    /// Answers.
    pub(crate) fn answer(mut self) {
        let Some(reply) = self.reply.take() else { return };
        let world = self.load.world.clone();
        if self.request.swap(asked::REPLIED, SeqCst) != asked::OPEN {
            world.book.fault("a request was answered twice");
        }
        world.book.count(Ev::Replied);
        reply.send(Answer { world, request: self.request.clone(), is_taken: false });
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        // Before the reply goes, so that who is told finds it so.
        if self.reply.is_some() && self.request.swap(asked::DROPPED, SeqCst) != asked::OPEN {
            self.load.world.book.fault("an answered request was dropped with its reply");
        }
    }
}

impl Answer {
    fn take(&mut self) {
        self.is_taken = true;
        self.world.book.count(Ev::AnswersTaken);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_taken {
            self.world.book.count(Ev::AnswersLost);
        }
    }
}

/// What has become of a timer.
mod alarm {
    pub(super) const OPEN: u8 = 0;
    pub(super) const RANG: u8 = 1;
    pub(super) const CANCELLED: u8 = 2;
    pub(super) const OWNER_ENDED: u8 = 3;
}

/// One timer.
#[derive(Debug)]
pub(crate) struct Alarm {
    world: Arc<World>,
    owner: Arc<Life>,
    state: AtomicU8,
    due: Duration,
}

/// In its message.
#[derive(Debug)]
pub(crate) struct Ring(Arc<Alarm>);

impl Alarm {
    /// A timer that is due then.
    pub(crate) fn new(world: &Arc<World>, owner: &Arc<Life>, due: Duration) -> (Arc<Alarm>, Ring) {
        world.book.count(Ev::Alarms);
        let state = AtomicU8::new(alarm::OPEN);
        let alarm = Arc::new(Alarm { world: world.clone(), owner: owner.clone(), state, due });
        (alarm.clone(), Ring(alarm))
    }

    /// Its owner cancels it.
    pub(crate) fn cancel(&self, cancel: impl FnOnce() -> Option<Duration>) {
        // Its message is dropped in the midst of it.
        let was_open =
            self.state.compare_exchange(alarm::OPEN, alarm::CANCELLED, SeqCst, SeqCst).is_ok();
        let was_set = cancel().is_some();
        match (was_open, was_set) {
            (true, true) => self.world.book.count(Ev::Cancelled),
            // Its message is in the mailbox.
            (true, false) => self.state.store(alarm::OPEN, SeqCst),
            (false, false) => {}
            (false, true) => {
                self.world.book.fault("a timer that was over could be cancelled");
            }
        }
    }

    /// Whether its message should have come long ago.
    pub(crate) fn is_overdue(&self, now: Duration, by: Duration) -> bool {
        self.state.load(SeqCst) == alarm::OPEN && now > self.due + by
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.load(SeqCst) == alarm::OPEN
    }
}

impl Ring {
    /// The message is handled.
    pub(crate) fn handle(self, now: Duration) {
        let alarm = &self.0;
        alarm.world.book.count(Ev::Rang);
        let before = alarm.state.swap(alarm::RANG, SeqCst);
        if before != alarm::OPEN {
            alarm.world.book.fault(format!("a timer rang in state {before}"));
        }
        if now < alarm.due {
            alarm.world.book.fault(format!("a timer rang {:?} early", alarm.due - now));
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let alarm = &self.0;
        let over =
            alarm.state.compare_exchange(alarm::OPEN, alarm::OWNER_ENDED, SeqCst, SeqCst).is_ok();
        if over {
            alarm.world.book.count(Ev::AlarmEnded);
            if !alarm.owner.is_over() {
                alarm.world.book.fault("a timer of a living process vanished");
            }
        }
    }
}

/// One interval.
#[derive(Debug)]
pub(crate) struct Beat {
    world: Arc<World>,
    is_cancelled: AtomicBool,
}

/// In a tick's message.
#[derive(Debug)]
pub(crate) struct Tick {
    world: Arc<World>,
    is_handled: bool,
}

impl Beat {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Beat> {
        Arc::new(Beat { world: world.clone(), is_cancelled: AtomicBool::new(false) })
    }

    /// A tick is made.
    pub(crate) fn tick(&self) -> Tick {
        self.world.book.count(Ev::Ticks);
        if self.is_cancelled.load(SeqCst) {
            self.world.book.fault("an interval went on after it was cancelled");
        }
        Tick { world: self.world.clone(), is_handled: false }
    }

    /// Its owner cancels it.
    pub(crate) fn cancel(&self, cancel: impl FnOnce() -> Option<Duration>) {
        let was_set = cancel().is_some();
        if self.is_cancelled.swap(true, SeqCst) == was_set {
            self.world.book.fault(format!("cancel of an interval found one: {was_set}"));
        }
    }
}

impl Tick {
    pub(crate) fn handle(mut self) {
        self.is_handled = true;
        self.world.book.count(Ev::TicksHandled);
    }
}

impl Drop for Tick {
    fn drop(&mut self) {
        if !self.is_handled {
            self.world.book.count(Ev::TicksUnread);
        }
    }
}

/// One alias.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) owner: Pid,
    /// For one message only.
    pub(crate) is_once: bool,
    /// The monitor that it belongs to, and ends.
    pub(crate) watch: Option<Arc<Watch>>,
    handled: AtomicU32,
}

impl Door {
    pub(crate) fn new(owner: Pid, is_once: bool, watch: Option<Arc<Watch>>) -> Arc<Door> {
        Arc::new(Door { owner, is_once, watch, handled: AtomicU32::new(0) })
    }

    /// A message through it is handled by `me`.
    pub(crate) fn handle(&self, world: &World, me: Pid) {
        if self.owner != me {
            world.book.fault(format!("an alias of {} led to {me}", self.owner));
        }
        if self.handled.fetch_add(1, SeqCst) > 0 && self.is_once {
            world.book.fault("two messages came through an alias for one");
        }
        if self.watch.as_ref().is_some_and(|watch| !watch.is_ended_by_alias()) {
            world.book.fault("a message came through an alias whose monitor had ended otherwise");
        }
    }
}

#[cfg(test)]
mod tests;

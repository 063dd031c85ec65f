//! The kinds of children that the shutdown job knows, and the actors that play them.
//!
//! | kind | when the signal comes | and then |
//! | --- | --- | --- |
//! | `idle` | waits for a message | ends at once |
//! | `trapping` | waits; traps exits, has a `terminate` of its own | its `terminate` runs |
//! | `busy:US` | every tenth is in a handler and traps exits | the handler burns US us of CPU first |
//! | `backlog:N` | is in a handler, with N unread messages | handler and messages are dropped |
//!
//! "In a handler" is exact: the handlers wait at a gate (`gate`) that opens when the signal is
//! sent, and the signal is not sent before all have got there. A busy child traps exits because
//! without it a suspended handler is dropped.
//!
//! Each child counts its end by the drop of its state, with its number, so that each is counted
//! exactly once.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use whitebeam::{Actor, ActorRef, Context, Exit, ExitReason, Shutdown};

use super::gate::Gate;
use crate::burn::burn;
use crate::failure::{Failure, expect_count};
use crate::tally::{self, Event, Tally, Token};

/// One in so many `busy` children burns.
const BUSY_SHARE: u64 = 10;

/// What the children do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildKind {
    /// Nothing.
    Idle,
    /// Nothing, but they trap exits and have a terminate of their own.
    Trapping,
    /// Every tenth is in a handler that burns so long.
    Busy(Duration),
    /// Each is in a handler and has so many unread messages.
    Backlog(NonZeroU32),
}

impl FromStr for ChildKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "idle" => Ok(Self::Idle),
            None if text == "trapping" => Ok(Self::Trapping),
            None if text == "busy" => {
                Err("for how long? Write `busy:US`, for example `busy:1000` for 1 ms".into())
            }
            None if text == "backlog" => {
                Err("how many messages? Write `backlog:N`, for example `backlog:10`".into())
            }
            Some(("busy", us)) => match us.parse::<u32>() {
                Ok(us) if us > 0 => Ok(Self::Busy(Duration::from_micros(us.into()))),
                _ => Err(format!(
                    "`{us}` is no time to burn; use microseconds from 1 to {}",
                    u32::MAX
                )),
            },
            Some(("backlog", count)) => match count.parse() {
                Ok(count) => Ok(Self::Backlog(count)),
                Err(_) => Err(format!("`{count}` is no number of messages; use 1 to {}", u32::MAX)),
            },
            _ => Err("unknown kind; use `idle`, `trapping`, `busy:US` or `backlog:N`".into()),
        }
    }
}

impl fmt::Display for ChildKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Trapping => f.write_str("trapping"),
            Self::Busy(time) => write!(f, "busy:{}", time.as_micros()),
            Self::Backlog(count) => write!(f, "backlog:{count}"),
        }
    }
}

impl ChildKind {
    /// How many of `children` are in a handler when the signal comes.
    pub(crate) fn in_handlers(&self, children: u64) -> u64 {
        match self {
            Self::Idle | Self::Trapping => 0,
            Self::Busy(_) => children.div_ceil(BUSY_SHARE),
            Self::Backlog(_) => children,
        }
    }

    /// The time that `cores` need at least for what the handlers still burn after the signal; none
    /// if they do not.
    pub(crate) fn pure_work(&self, children: u64, cores: usize) -> Option<Duration> {
        match self {
            Self::Busy(time) => {
                Some(time.mul_f64(self.in_handlers(children) as f64 / cores as f64))
            }
            _ => None,
        }
    }

    /// Checks that all children ended as their kind does.
    ///
    /// # Errors
    ///
    /// When a count is off.
    pub(crate) fn check_ends(&self, children: u64, tally: &Tally) -> Result<(), Failure> {
        expect_count("children whose state was dropped", children, tally.of(Event::Ended))?;
        let numbers = children * (children - 1) / 2;
        expect_count("sum of their numbers", numbers, tally.of(Event::EndedNumbers))?;
        let terminated = if *self == Self::Trapping { children } else { 0 };
        expect_count("children whose terminate ran", terminated, tally.of(Event::Terminated))?;
        let burnt = if let Self::Busy(_) = self { self.in_handlers(children) } else { 0 };
        expect_count("handlers that went on to their end", burnt, tally.of(Event::Handled))
    }

    /// Checks, after the runtime's end, that no unread message vanished.
    ///
    /// # Errors
    ///
    /// When the count is off.
    pub(crate) fn check_messages(&self, children: u64, tally: &Tally) -> Result<(), Failure> {
        let unread =
            if let Self::Backlog(count) = self { children * u64::from(count.get()) } else { 0 };
        expect_count("unread messages dropped", unread, tally.of(Event::Dropped))
    }
}

/// What a child is given to work with.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Where handlers wait for the signal.
    pub(crate) gate: ActorRef<Gate>,
    /// What the handlers do.
    pub(crate) kind: ChildKind,
}

/// An actor that can be a child of the job.
pub(crate) trait JobChild: Actor {
    /// What its supervisor does with one that does not end: OTP's five seconds unless said.
    fn shutdown() -> Shutdown {
        Shutdown::After(Duration::from_secs(5))
    }

    /// What child `number` is started with.
    fn args(number: u64, work: &Work) -> Self::Args;

    /// Sends a child that has just started its work, if it has any.
    ///
    /// # Errors
    ///
    /// When the child has ended already.
    fn send_work(
        _child: &ActorRef<Self::Msg>,
        _number: u64,
        _work: &Work,
    ) -> Result<(), ExitReason> {
        Ok(())
    }
}

/// A child's state: its number, and the count of its end.
struct State {
    number: u64,
}

impl State {
    fn start(number: u64) -> Self {
        tally::count(Event::Started);
        Self { number }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        tally::count(Event::Ended);
        tally::add(Event::EndedNumbers, self.number);
    }
}

/// A message that is never sent.
#[derive(Debug)]
pub(crate) enum Never {}

/// `idle`
pub(crate) struct Idle {
    _state: State,
}

impl Actor for Idle {
    type Args = u64;
    type Msg = Never;

    async fn init(number: u64, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { _state: State::start(number) })
    }

    async fn handle(&mut self, msg: Never, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {}
    }
}

impl JobChild for Idle {
    fn args(number: u64, _work: &Work) -> u64 {
        number
    }
}

/// `trapping`
pub(crate) struct Trapping {
    _state: State,
}

impl Actor for Trapping {
    type Args = u64;
    type Msg = Exit;

    async fn init(number: u64, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.trap_exit(|exit| exit);
        Ok(Self { _state: State::start(number) })
    }

    async fn handle(&mut self, exit: Exit, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(exit.reason)
    }

    async fn terminate(&mut self, _reason: &ExitReason, _cx: &mut Context<Self>) {
        tally::count(Event::Terminated);
    }
}

impl JobChild for Trapping {
    fn args(number: u64, _work: &Work) -> u64 {
        number
    }
}

/// `busy:US`
pub(crate) struct Busy {
    _state: State,
    work: Work,
}

/// Messages of a busy child.
#[derive(Debug)]
pub(crate) enum BusyMsg {
    /// Go to the gate, then burn.
    Work,
    /// An exit signal of another than its supervisor.
    Exit(Exit),
}

impl Actor for Busy {
    type Args = (u64, Work);
    type Msg = BusyMsg;

    async fn init((number, work): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        if number.is_multiple_of(BUSY_SHARE) {
            cx.trap_exit(BusyMsg::Exit);
        }
        Ok(Self { _state: State::start(number), work })
    }

    async fn handle(&mut self, msg: BusyMsg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match (msg, self.work.kind) {
            (BusyMsg::Work, ChildKind::Busy(time)) => {
                self.work.gate.call(Gate::Wait).no_timeout().await?;
                burn(time);
                tally::count(Event::Handled);
                Ok(())
            }
            (BusyMsg::Work, other) => {
                Err(ExitReason::custom(format!("a busy child of kind {other}")))
            }
            (BusyMsg::Exit(exit), _) => Err(exit.reason),
        }
    }
}

impl JobChild for Busy {
    /// All the burning may take longer than five seconds, and none of it may be cut short.
    fn shutdown() -> Shutdown {
        Shutdown::Infinity
    }

    fn args(number: u64, work: &Work) -> Self::Args {
        (number, work.clone())
    }

    fn send_work(child: &ActorRef<BusyMsg>, number: u64, _work: &Work) -> Result<(), ExitReason> {
        if number.is_multiple_of(BUSY_SHARE) {
            child.cast(BusyMsg::Work)?;
        }
        Ok(())
    }
}

/// `backlog:N`
pub(crate) struct Backlog {
    _state: State,
    gate: ActorRef<Gate>,
}

/// Messages of a child with a backlog.
#[derive(Debug)]
pub(crate) enum BacklogMsg {
    /// Go to the gate.
    Wait,
    /// One of the messages that stay unread.
    Unread(Token),
}

impl Actor for Backlog {
    type Args = (u64, ActorRef<Gate>);
    type Msg = BacklogMsg;

    async fn init((number, gate): Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { _state: State::start(number), gate })
    }

    async fn handle(&mut self, msg: BacklogMsg, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            BacklogMsg::Wait => self.gate.call(Gate::Wait).no_timeout().await?,
            BacklogMsg::Unread(_token) => {}
        }
        // Neither may come so far: the wait is dropped at the gate, the others are never read.
        tally::count(Event::Handled);
        Ok(())
    }
}

impl JobChild for Backlog {
    fn args(number: u64, work: &Work) -> Self::Args {
        (number, work.gate.clone())
    }

    fn send_work(
        child: &ActorRef<BacklogMsg>,
        _number: u64,
        work: &Work,
    ) -> Result<(), ExitReason> {
        child.cast(BacklogMsg::Wait)?;
        if let ChildKind::Backlog(count) = work.kind {
            for _ in 0..count.get() {
                child.cast(BacklogMsg::Unread(Token))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for text in ["idle", "trapping", "busy:1000", "backlog:3"] {
            assert_eq!(text.parse::<ChildKind>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_kind_is_refused_with_what_to_write() {
        for (text, hint) in [
            ("asleep", "use `idle`"),
            ("idle:3", "use `idle`"),
            ("busy", "busy:1000"),
            ("busy:0", "microseconds from 1"),
            ("backlog", "backlog:10"),
            ("backlog:0", "use 1 to"),
            ("backlog:-1", "use 1 to"),
        ] {
            let error = text.parse::<ChildKind>().expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn pure_work_is_the_burning_of_every_tenth_over_the_cores() {
        let busy = ChildKind::Busy(Duration::from_millis(1));
        assert_eq!(busy.in_handlers(200_000), 20_000);
        assert_eq!(busy.in_handlers(11), 2);
        assert_eq!(busy.pure_work(200_000, 2), Some(Duration::from_secs(10)));
        assert_eq!(ChildKind::Idle.pure_work(200_000, 2), None);
    }

    #[test]
    fn a_child_that_did_not_end_is_a_failure() {
        let nobody_ended = Tally::start();
        let failure = ChildKind::Idle.check_ends(1, &nobody_ended).expect_err("no child has ended");
        let text = failure.to_string();
        assert!(text.contains("state was dropped: expected 1, counted 0"), "{text}");
        assert!(ChildKind::Backlog(NonZeroU32::MIN).check_messages(1, &nobody_ended).is_err());
    }
}

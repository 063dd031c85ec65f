//! What goes wrong on purpose, drawn from the seed.

mod plan;

use std::{fmt, sync::Arc, time::Duration};

use crate::record::Process;

pub(crate) use self::plan::Plan;

/// Messages among which a crash is drawn, unless [`Faults::crash_within`] says otherwise.
const CRASH_WITHIN: u32 = 32;

/// Names processes by what they are.
///
/// ```
/// use whitebeam_testkit::{Probe, Who};
///
/// assert_eq!(Who::actor::<u32>().to_string(), "u32");
/// assert_eq!(Who::named("db").to_string(), "db");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Type(&'static str),
    Name(Arc<str>),
}

impl Who {
    /// All processes; as a sender, also what is outside of them.
    #[must_use]
    pub fn any() -> Self {
        Who(Kind::Any)
    }

    /// Those whose actor is an `A`.
    #[must_use]
    pub fn actor<A>() -> Self {
        Who(Kind::Type(std::any::type_name::<A>()))
    }

    /// The one that is registered under this name.
    #[must_use]
    pub fn named(name: impl AsRef<str>) -> Self {
        Who(Kind::Name(name.as_ref().into()))
    }

    fn is_any(&self) -> bool {
        self.0 == Kind::Any
    }

    fn is(&self, process: &Process) -> bool {
        self.means(process.type_name, process.name.as_deref())
    }

    fn means(&self, actor: &str, name: Option<&str>) -> bool {
        match &self.0 {
            Kind::Any => true,
            Kind::Type(type_name) => *type_name == actor,
            Kind::Name(wanted) => name == Some(&**wanted),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Any => f.write_str("any"),
            Kind::Type(type_name) => f.write_str(&crate::record::entry_short(type_name)),
            Kind::Name(name) => f.write_str(name),
        }
    }
}

/// Faults of a simulated test: [`Sim::faults`](crate::Sim::faults).
///
/// When they strike is drawn from the seed, by a generator of their own: a fault that is added does not change
/// the choices of the scheduler before it strikes. What they did is in the trace.
///
/// Several may be meant for one message or one start, in whichever order they were added: a crash or a failed start
/// comes at once, instead of a delay, one of several; of several delays the longest counts.
///
/// ```
/// use whitebeam::prelude::*;
/// use whitebeam_testkit::{Faults, Probe, Sim, Who};
///
/// struct Echo;
/// impl Actor for Echo {
///     type Args = ();
///     type Msg = Reply<()>;
///     async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
///         Ok(Echo)
///     }
///     async fn handle(&mut self, reply: Reply<()>, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
///         reply.send(());
///         Ok(())
///     }
/// }
///
/// Sim::new().faults(Faults::new().crash_within(Who::actor::<Echo>(), 1, 3)).run(|rt| async move {
///     let echo = rt.start::<Echo>(()).await.unwrap();
///     let mut failed = 0;
///     for _ in 0..3 {
///         failed += u32::from(echo.call(|reply| reply).await.is_err());
///     }
///     assert!(failed > 0, "one of the three crashed it");
/// });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "faults do nothing until they are given to a `Sim`"]
pub struct Faults {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    Crash { who: Who, times: u32, within: u32 },
    Delay { from: Who, to: Who, most: Duration },
    SlowInit { who: Who, most: Duration },
    FailStart { who: Who, times: u32 },
    Full { who: Who, times: u32 },
    Capacity { who: Who, limit: usize },
}

impl Faults {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Crashes a process when it is about to handle a message, `times` times: each time one of the next 32
    /// messages of all that `who` names. A crash is a panic in the handler; the panic hook is not called.
    pub fn crash(self, who: Who, times: u32) -> Self {
        self.crash_within(who, times, CRASH_WITHIN)
    }

    /// As [`crash`](Self::crash), at one of the next `messages` messages, one at least.
    pub fn crash_within(mut self, who: Who, times: u32, messages: u32) -> Self {
        self.rules.push(Rule::Crash { who, times, within: messages.max(1) });
        self
    }

    /// Holds up messages of `from` to `to`: every second one, by chance, for a time of up to `most` from when the
    /// receiver comes to it.
    ///
    /// What the receiver has behind such a message waits with it, as behind a slow handler: no order comes about
    /// that could not in a real run. Signals act meanwhile. Messages that a handler of `from` sends are known to
    /// be its own, those of a task it started are not; nor are those to a mailbox that drops its oldest messages, or
    /// that have waited for room.
    pub fn delay(mut self, from: Who, to: Who, most: Duration) -> Self {
        self.rules.push(Rule::Delay { from, to, most });
        self
    }

    /// Holds up the `init` of each process that `who` names, by a time of up to `most`.
    pub fn slow_init(mut self, who: Who, most: Duration) -> Self {
        self.rules.push(Rule::SlowInit { who, most });
        self
    }

    /// Lets the first `times` starts of what `who` names fail, restarts included: as if `init` had returned an
    /// error, with the reason `Custom("a start that was to fail")`.
    pub fn fail_start(mut self, who: Who, times: u32) -> Self {
        self.rules.push(Rule::FailStart { who, times });
        self
    }

    /// Lets a bounded mailbox of those that `who` names be full for a message that comes, `times` times: each time one of
    /// the next 32 messages that are sent to them. What then becomes of it its
    /// [policy](whitebeam_actor::Overflow) says. Mailboxes without a bound are left alone, and so is one that drops its
    /// oldest message and has none.
    pub fn fill(mut self, who: Who, times: u32) -> Self {
        self.rules.push(Rule::Full { who, times });
        self
    }

    /// Bounds the mailboxes of processes that `who` names and that are bounded to more, to `limit` messages: with
    /// `Who::any()` and 1 nobody's code may count on room for two. One at least. Mailboxes without a bound are left
    /// alone: their senders were promised room.
    pub fn capacity(mut self, who: Who, limit: usize) -> Self {
        self.rules.push(Rule::Capacity { who, limit: limit.max(1) });
        self
    }

    pub(crate) fn plan(&self, seed: u64) -> Plan {
        Plan::new(self.rules.clone(), seed)
    }
}

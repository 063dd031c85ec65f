//! One event of a run, small and without anything of the user's in it.

use std::{fmt, time::Duration};

use whitebeam_actor::{
    ExitReason, Pid,
    simulate::{Delivery, Intervention, SignalKind, WaitOver, WaitsFor},
};

/// What happened to whom, and when.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) at: Duration,
    pub(super) pid: Pid,
    pub(super) what: What,
}

/// An event as it is kept. A reason is its place among those of the run, and its kind.
#[derive(Clone, Debug)]
pub(super) enum What {
    Spawned { parent: Option<Pid>, attempt: u32 },
    Started,
    Delivered { message: &'static str, variant: Option<i128>, how: Delivery },
    Suspends,
    Resumes,
    Exit { from: Option<Pid>, link: bool, reason: usize, kind: &'static str },
    Down { of: Pid, reason: usize, kind: &'static str },
    Signal { kind: &'static str, of: Option<Pid> },
    TimerFires,
    Waits { on: Pid, what: WaitsFor },
    WaitsNoMore { on: Pid, over: WaitOver },
    Fault(&'static str, Duration),
    Exited { reason: usize, kind: &'static str },
}

impl What {
    pub(super) fn signal(
        signal: SignalKind<'_>,
        mut keep: impl FnMut(&ExitReason) -> usize,
    ) -> Self {
        let plain = |kind, of| What::Signal { kind, of };
        match signal {
            SignalKind::ExitSignal { from, reason, link } => {
                What::Exit { from, link, reason: keep(reason), kind: kind(reason) }
            }
            SignalKind::DownSignal { of, reason } => {
                What::Down { of, reason: keep(reason), kind: kind(reason) }
            }
            SignalKind::Shutdown => plain("is told to shut down", None),
            SignalKind::Kill => plain("is killed", None),
            SignalKind::Monitored => plain("is monitored", None),
            SignalKind::Demonitored => plain("is monitored no more", None),
            SignalKind::Linked { to } => plain("is linked to", Some(to)),
            SignalKind::Unlinked { from } => plain("is unlinked from", Some(from)),
            _ => plain("gets a signal", None),
        }
    }

    /// `None`: nothing was done.
    pub(super) fn fault(intervention: &Intervention) -> Option<Self> {
        match intervention {
            Intervention::Delay(time) => Some(What::Fault("is held up", *time)),
            Intervention::Crash(_) => Some(What::Fault("is crashed", Duration::ZERO)),
            Intervention::Full => Some(What::Fault("is said to have no room", Duration::ZERO)),
            Intervention::Fail(_) => Some(What::Fault("is failed", Duration::ZERO)),
            _ => None,
        }
    }

    /// The event in words. `who` names processes, `why` reasons.
    pub(super) fn tell(
        &self,
        f: &mut fmt::Formatter<'_>,
        who: impl Fn(Pid) -> String,
        why: impl Fn(usize, &'static str) -> String,
    ) -> fmt::Result {
        match self {
            What::Spawned { parent, attempt } => {
                f.write_str("is spawned")?;
                if let Some(parent) = parent {
                    write!(f, " by {}", who(*parent))?;
                }
                if *attempt > 1 { write!(f, ", start {attempt}") } else { Ok(()) }
            }
            What::Started => f.write_str("has started"),
            What::Delivered { message: type_name, variant, how } => {
                let how = match how {
                    Delivery::Cast => "",
                    Delivery::Request => " (a call)",
                    _ => " (of the runtime)",
                };
                write!(f, "handles {}{how}", message(type_name, *variant))
            }
            What::Suspends => f.write_str("suspends"),
            What::Resumes => f.write_str("goes on"),
            What::Exit { from, link, reason, kind } => {
                let how = if *link { "over a link from" } else { "from" };
                let from = from.map_or_else(|| "outside".to_owned(), who);
                write!(f, "gets an exit signal {how} {from}: {}", why(*reason, kind))
            }
            What::Down { of, reason, kind } => {
                write!(f, "gets the DOWN of {}: {}", who(*of), why(*reason, kind))
            }
            What::Signal { kind, of: None } => f.write_str(kind),
            What::Signal { kind, of: Some(of) } => write!(f, "{kind} {}", who(*of)),
            What::TimerFires => f.write_str("has a timer due"),
            What::Waits { on, what } => write!(f, "waits for {} of {}", wait(*what), who(*on)),
            What::WaitsNoMore { on, over } => match over {
                WaitOver::Served => write!(f, "has an answer of {}", who(*on)),
                WaitOver::TimedOut => write!(f, "has waited too long for {}", who(*on)),
                _ => write!(f, "waits for {} no more", who(*on)),
            },
            What::Fault(what, time) if time.is_zero() => write!(f, "{what} by a fault"),
            What::Fault(what, time) => write!(f, "{what} for {time:?} by a fault"),
            What::Exited { reason, kind } => write!(f, "ends: {}", why(*reason, kind)),
        }
    }
}

impl Entry {
    /// The hash of all events so far and this one: FNV-1a over its text, without the reasons' own.
    pub(super) fn add_to(&self, hash: u64) -> u64 {
        use fmt::Write;
        let mut hash = Fnv(hash);
        // Writing to a hash cannot fail.
        let _ = write!(hash, "{}", Words(self));
        hash.0
    }
}

struct Words<'a>(&'a Entry);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { at, pid, what } = self.0;
        write!(f, "{} {pid} ", at.as_nanos())?;
        what.tell(f, |pid| pid.to_string(), |_, kind| kind.to_owned())
    }
}

/// G. Fowler, L. C. Noll, K.-P. Vo: a byte at a time, the same on every machine.
struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

/// A message in words: its type, and which variant of it.
pub(super) fn message(type_name: &str, variant: Option<i128>) -> String {
    let name = short(type_name);
    match variant {
        Some(variant) => format!("{name}#{variant}"),
        None => name,
    }
}

pub(super) fn wait(what: WaitsFor) -> &'static str {
    match what {
        WaitsFor::Answer => "the answer",
        WaitsFor::Ending => "the end",
        _ => "something",
    }
}

/// The kind of a reason: its text may be the user's.
pub(super) fn kind(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Normal => "normal",
        ExitReason::Shutdown => "shutdown",
        ExitReason::ShutdownWith(_) => "shutdown with a value",
        ExitReason::Kill => "kill",
        ExitReason::Killed => "killed",
        ExitReason::NoProc => "no such process",
        ExitReason::NoConnection => "no connection",
        ExitReason::Ignore => "ignore",
        ExitReason::Panic(_) => "panic",
        ExitReason::Error(_) => "error",
        ExitReason::Custom(_) => "custom",
        _ => "another",
    }
}

/// A type's name without the paths of modules, those of its parameters included.
pub(crate) fn short(type_name: &str) -> String {
    let mut name = String::new();
    let mut start = 0;
    let mut chars = type_name.char_indices().peekable();
    while let Some((_, char)) = chars.next() {
        if char == ':' && chars.peek().is_some_and(|(_, next)| *next == ':') {
            chars.next();
            name.truncate(start);
            continue;
        }
        name.push(char);
        if !(char.is_alphanumeric() || matches!(char, '_' | '{' | '}' | '#')) {
            start = name.len();
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lose_their_paths_and_nothing_else() {
        assert_eq!(short("bank::Teller"), "Teller");
        assert_eq!(short("a::Pair<b::c::One, (d::Two, u8)>"), "Pair<One, (Two, u8)>");
        assert_eq!(short("&[core::option::Option<u8>; 3]"), "&[Option<u8>; 3]");
        assert_eq!(message("m::Msg", Some(2)), "Msg#2");
    }

    #[test]
    fn the_hash_is_the_published_one() {
        use fmt::Write;
        let mut hash = Fnv(super::super::trace::EMPTY);
        hash.write_str("foobar").expect("a hash");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }
}

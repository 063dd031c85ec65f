//! A report as a block of text, and how many of them a second.

use std::fmt;

use whitebeam_scheduler::Time;
use whitebeam_sync::shim::Mutex;

use super::{Caller, CrashReport, During, report};
use crate::Pid;

/// Blocks that a runtime prints in a second of its time. More are counted, and a line says how many: a restart
/// storm must not fill a disk, and ten blocks say what is wrong.
pub const CRASHES_PRINTED_PER_SECOND: u32 = 10;

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// How many blocks were printed in the second that runs.
#[derive(Default)]
pub(super) struct Limit(Mutex<Window>);

#[derive(Default)]
struct Window {
    begun: Option<Time>,
    printed: u32,
    left_out: u64,
}

/// What becomes of a block.
pub(super) enum Admitted {
    /// It is printed, behind a line on what was not.
    Whole { notice: Option<String> },
    /// It is not; the first that is not is told of.
    LeftOut { notice: Option<String> },
}

impl Limit {
    pub(super) fn admit(&self, now: Time) -> Admitted {
        let mut window = self.0.lock();
        let is_over = window.begun.is_none_or(|begun| now.saturating_since(begun) >= SECOND);
        let mut notice = None;
        if is_over {
            notice = window.notice();
            *window = Window { begun: Some(now), ..Window::default() };
        }
        if window.printed < CRASHES_PRINTED_PER_SECOND {
            window.printed += 1;
            return Admitted::Whole { notice };
        }
        window.left_out += 1;
        let first = window.left_out == 1;
        let notice = first.then(|| {
            format!(
                "whitebeam: {CRASHES_PRINTED_PER_SECOND} crashes within a second; more are counted, not printed\n"
            )
        });
        Admitted::LeftOut { notice }
    }

    /// What is still to be said of blocks that were left out.
    pub(super) fn rest(&self) -> Option<String> {
        std::mem::take(&mut *self.0.lock()).notice()
    }
}

impl Window {
    fn notice(&self) -> Option<String> {
        match self.left_out {
            0 => None,
            1 => Some("whitebeam: 1 crash was not printed\n".to_owned()),
            more => Some(format!("whitebeam: {more} crashes were not printed\n")),
        }
    }
}

/// One write. Panics if stderr is closed.
#[expect(
    clippy::print_stderr,
    reason = "the channel of last resort, and the one that tests capture"
)]
pub(super) fn to_stderr(text: &str) {
    eprint!("{text}");
}

/// The block: lines that begin with `whitebeam: ` or four blanks. At most about 7 KiB: long parts are cut. It
/// runs the `Debug` or `Display` of what the reason carries, and contains a panic in it.
impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whitebeam: {}", self.pid)?;
        if let Some(name) = &self.name {
            write!(f, " {}", report::name_of(name))?;
        }
        if let Some(label) = &self.label {
            write!(f, " ({})", report::name_of(label))?;
        }
        writeln!(f, " crashed: {}", short(self.actor))?;
        writeln!(f, "    reason: {}", indented(&report::text_of(&self.reason)))?;
        match self.message {
            Some(name) => write!(f, "    in: message {}", short(name))?,
            None => write!(f, "    in: {}", self.during)?,
        }
        if self.during == During::Message && self.message.is_none() {
            write!(f, " of type {}", short(self.message_type))?;
        }
        for (at, caller) in self.callers.iter().enumerate() {
            write!(f, "{} {caller}", if at == 0 { ", asked by" } else { "," })?;
        }
        writeln!(f)?;
        match self.parent {
            Some(parent) => write!(f, "    parent: {parent}")?,
            None => write!(f, "    parent: none")?,
        }
        if self.ancestors.len() > 1 {
            write!(f, ", ancestors:{}", Pids(&self.ancestors))?;
        }
        writeln!(f)?;
        if self.link_count + self.monitor_count + self.watcher_count > 0 {
            write!(f, "    links:{}", Pids(&self.links))?;
            match self.link_count {
                0 => write!(f, " none")?,
                all if all > self.links.len() => write!(f, " and {} more", all - self.links.len())?,
                _ => {}
            }
            writeln!(f, "; monitors {}, monitored by {}", self.monitor_count, self.watcher_count)?;
        }
        write!(
            f,
            "    start {}, messages taken {}, unread {}, {:.3} s after the runtime's start",
            self.attempt,
            self.handled,
            self.unread,
            self.at.as_secs_f64()
        )?;
        match self.uptime {
            Some(uptime) => writeln!(f, ", up for {:.3} s", uptime.as_secs_f64())?,
            None => writeln!(f)?,
        }
        match &self.state {
            Some(state) => writeln!(f, "    state: {}", indented(state)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            During::Init => "init",
            During::Body => "its body",
            During::Message => "a message",
            During::ChildDown => "the end of a child",
            During::Signal => "a signal that becomes a message",
            During::Work => "work beside its mailbox",
            During::Terminate => "terminate",
            During::Drop => "the drop of its state or of a suspended handler",
        })
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Process(pid) => pid.fmt(f),
            Caller::Other => f.write_str("no process"),
        }
    }
}

struct Pids<'a>(&'a [Pid]);

impl fmt::Display for Pids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|pid| write!(f, " {pid}"))
    }
}

fn short(text: &str) -> String {
    report::bounded(report::NAME_MAX, &text)
}

/// Lines behind the first are set in: a block is told from the next by its margin.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n        ")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_are_printed_and_a_line_says_what_was_not() {
        let limit = Limit::default();
        let at = |ms: u64| Time::from_nanos(ms * 1_000_000);
        let whole = |admitted| match admitted {
            Admitted::Whole { notice } => Ok(notice),
            Admitted::LeftOut { notice } => Err(notice),
        };
        for ms in 5..15 {
            assert_eq!(whole(limit.admit(at(ms))), Ok(None));
        }
        let first = whole(limit.admit(at(15))).expect_err("the eleventh").expect("it is told");
        assert_eq!(first, "whitebeam: 10 crashes within a second; more are counted, not printed\n");
        assert_eq!(whole(limit.admit(at(1_004))), Err(None));
        let notice = "whitebeam: 2 crashes were not printed\n".to_owned();
        assert_eq!(whole(limit.admit(at(1_005))), Ok(Some(notice)));
        assert_eq!(limit.rest(), None);
    }
}

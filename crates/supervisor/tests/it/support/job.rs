//! A child that names its messages, and whose text in a report or a picture can be foreseen.

use std::{collections::HashMap, fmt::Write, future::pending, time::Duration};

use whitebeam_actor::{Actor, Context, ExitReason, Reply};

/// What a job is like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// How long its `terminate` takes; none: it is over at once.
    pub(crate) terminates_in: Option<Duration>,
    /// It ends with a reason of its own in `terminate`.
    pub(crate) breaks: bool,
    /// Its handlers finish before it ends.
    pub(crate) traps: bool,
}

/// See the module's text.
pub(crate) struct Job(Manner);

pub(crate) enum Do {
    /// Never returns.
    Query,
    /// Does nothing.
    Note,
    /// Ends abnormally.
    Fail,
    Ready(Reply<()>),
    Exit,
}

impl Actor for Job {
    type Args = Manner;
    type Msg = Do;

    async fn init(manner: Manner, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        if manner.traps {
            cx.trap_exit(|_| Do::Exit);
        }
        Ok(Job(manner))
    }

    async fn handle(&mut self, msg: Do, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Do::Query => pending().await,
            Do::Fail => return Err(ExitReason::custom("failed")),
            Do::Ready(reply) => reply.send(()),
            Do::Note | Do::Exit => {}
        }
        Ok(())
    }

    async fn terminate(&mut self, _: &ExitReason, cx: &mut Context<Self>) {
        if let Some(time) = self.0.terminates_in {
            cx.runtime().sleep(time).await;
        }
        assert!(!self.0.breaks, "{}", super::EXPECTED);
    }

    fn msg_name(msg: &Do) -> Option<&'static str> {
        Some(match msg {
            Do::Query => "Query",
            Do::Note => "Note",
            Do::Fail => "Fail",
            Do::Ready(_) => "Ready",
            Do::Exit => "Exit",
        })
    }
}

/// A child without anything to say.
pub(crate) struct Idle;

impl Actor for Idle {
    type Args = ();
    type Msg = ();

    async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Idle)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

/// The text with each pid replaced by a letter, in the order in which they are met.
pub(crate) fn with_letters(text: &str) -> String {
    let mut letters = HashMap::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, pid) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = pid.find('>') else { break };
        let next = letters.len();
        let letter = *letters.entry(pid[..=end].to_owned()).or_insert(next);
        let _ = write!(out, "<{}>", char::from(b'a' + u8::try_from(letter).unwrap()));
        rest = &pid[end + 1..];
    }
    out + rest
}

//! W13: kill an actor that has a million messages to read.
//!
//! - Measured: an actor needs 10 us for each message and has 1,000,000 unread; it gets an
//!   untrappable kill; until the DOWN of a monitor reaches a plain thread. Figure `kill_ms`.
//! - Warm-up 1, repetitions 5.
//! - Checked: the reason is `Killed`; at least 1,000,000 messages were never handled; each message
//!   was dropped once.
//! - Cannot show: the disposal of the backlog, which goes on after the DOWN. The message in hand
//!   (up to 10 us) and the wake-up of the waiting thread are part of the figure.

use std::time::{Duration, Instant};

use whitebeam::{Actor, Context, ExitReason};

use crate::burn::burn;
use crate::failure::{Failure, expect_count};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::tally::{self, Event, Tally, Token};
use crate::under_test;

const MESSAGES: u64 = 1_000_000;
const WORK: Duration = Duration::from_micros(10);

/// Messages sent between two looks at the mailbox while it is filled.
const BATCH: u64 = 1_000;

/// Sent on top of them: it goes on reading until the kill, which a busy machine may hold up for 100 ms.
const MARGIN: u64 = 10_000;

/// Runs W13.
///
/// # Errors
///
/// When a run fails or its count is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let messages = plan.scaled(MESSAGES);
    let series = plan.repeat(|| once(plan.workers, messages))?;
    Ok(vec![series.figure("W13", &plan.params(), ("kill_ms", "ms"), |ms| Some(*ms))])
}

fn once(workers: usize, messages: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let tally = Tally::start();
    let victim = rt.spawn::<Victim>(());
    let down = rt.down(&victim);
    // It reads while we send, so there is more to send than shall be left.
    let enough = messages + MARGIN;
    let mut sent = 0;
    while under_test::mailbox(&rt, &victim).is_some_and(|mailbox| mailbox.len < enough) {
        for _ in 0..BATCH {
            victim.cast(Token).map_err(Failure::library("filling the mailbox"))?;
        }
        sent += BATCH;
    }

    let start = Instant::now();
    rt.exit(&victim, ExitReason::Kill);
    let down = rt.block_on(down);
    let figure = start.elapsed().as_secs_f64() * 1e3;

    if !matches!(down.reason, ExitReason::Killed) {
        return Err(Failure::Unexpected {
            what: "the reason in the DOWN",
            got: format!("{:?}", down.reason),
        });
    }
    let unread = sent - tally.of(Event::Handled);
    if unread < messages {
        return Err(Failure::Count {
            what: "messages never handled (at least)",
            want: messages,
            got: unread,
        });
    }
    drop(victim);
    under_test::end(rt)?;
    expect_count("messages dropped", sent, tally.of(Event::Dropped))?;
    Ok(figure)
}

/// Takes its time over each message.
struct Victim;

impl Actor for Victim {
    type Args = ();
    type Msg = Token;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    async fn handle(&mut self, _token: Token, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        burn(WORK);
        tally::count(Event::Handled);
        Ok(())
    }
}

//! W2: fan-in, many senders to one mailbox.
//!
//! - Measured: 8 sender actors, each sends 500,000 one-way messages (a u64) from one handler to one
//!   receiver, which adds them up; until the last is added. Figure `m_msg_per_s`: 4,000,000
//!   messages over the time.
//! - Warm-up 1, repetitions 5.
//! - Checked: the sum.
//! - Cannot show: a full mailbox pushing back; it is unbounded and grows as the senders outrun the
//!   receiver.

use std::time::Instant;

use whitebeam::{Actor, ActorRef, Context, ExitReason};

use crate::failure::Failure;
use crate::finish_line::{self, Line};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const SENDERS: u64 = 8;
const MESSAGES: u64 = 500_000;

/// Runs W2.
///
/// # Errors
///
/// When a run fails or its sum is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let messages = plan.scaled(MESSAGES);
    let series = plan.repeat(|| once(plan.workers, SENDERS, messages))?;
    Ok(vec![series.figure("W2", &plan.params(), ("m_msg_per_s", "M/s"), |rate| Some(*rate))])
}

/// One run of `senders` actors that send `messages` each, in millions of messages a second.
///
/// # Errors
///
/// When the run fails or its sum is off.
pub(super) fn once(workers: usize, senders: u64, messages: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let receiver = finish_line::start(&rt);
    let all: Vec<_> = (0..senders).map(|_| rt.spawn::<Sender>(receiver.clone())).collect();
    let sum_of_one = messages * (messages - 1) / 2;

    let start = Instant::now();
    for sender in &all {
        sender.cast(Send(messages)).map_err(Failure::library("starting the senders"))?;
    }
    rt.block_on(finish_line::wait(
        &receiver,
        senders * messages,
        "sum of the messages",
        senders * sum_of_one,
    ))?;
    let figure = super::m_per_s(start, senders * messages);

    under_test::end(rt)?;
    Ok(figure)
}

struct Sender {
    to: ActorRef<Line>,
}

/// Send the numbers below this one.
#[derive(Debug)]
struct Send(u64);

impl Actor for Sender {
    type Args = ActorRef<Line>;
    type Msg = Send;

    async fn init(to: ActorRef<Line>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { to })
    }

    async fn handle(
        &mut self,
        Send(messages): Send,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        for n in 0..messages {
            self.to.cast(Line::Arrive(n))?;
        }
        Ok(())
    }
}

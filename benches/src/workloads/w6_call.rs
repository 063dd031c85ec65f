//! W6: calls from actor to actor, one after another.
//!
//! - Measured: one actor makes 1,000,000 calls (a u64 there, a u64 back) to another, each awaited
//!   before the next, with the default timeout. Figure `ns_per_call`.
//! - Warm-up 1, repetitions 5.
//! - Checked: the sum of the replies.
//! - Cannot show: a server that is busy with others.

use std::time::Instant;

use whitebeam::{Actor, ActorRef, Context, ExitReason, Reply};

use crate::failure::{Failure, expect_count};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const CALLS: u64 = 1_000_000;

/// Runs W6.
///
/// # Errors
///
/// When a run fails or its sum is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let calls = plan.scaled(CALLS);
    let series = plan.repeat(|| once(plan.workers, calls))?;
    Ok(vec![series.figure("W6", &plan.params(), ("ns_per_call", "ns"), |ns| Some(*ns))])
}

fn once(workers: usize, calls: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let server = rt.spawn::<Server>(());
    let client = rt.spawn::<Client>(server);

    let start = Instant::now();
    let sum = rt.block_on(async { client.call(|reply| Ask { calls, reply }).no_timeout().await });
    let figure = super::ns_each(start, calls);

    expect_count(
        "sum of the replies",
        sum_of_replies(calls),
        sum.map_err(Failure::library("calling"))?,
    )?;
    under_test::end(rt)?;
    Ok(figure)
}

/// What `calls` calls with 0, 1, 2 .. get back together.
pub(super) fn sum_of_replies(calls: u64) -> u64 {
    calls * (calls + 1) / 2
}

/// Answers each number with the next.
pub(super) struct Server;

/// The number and who wants the next.
#[derive(Debug)]
pub(super) struct Next(pub(super) u64, pub(super) Reply<u64>);

impl Actor for Server {
    type Args = ();
    type Msg = Next;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    async fn handle(
        &mut self,
        Next(number, reply): Next,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send(number + 1);
        Ok(())
    }
}

struct Client {
    server: ActorRef<Next>,
}

/// Make so many calls and answer with the sum of the replies.
#[derive(Debug)]
struct Ask {
    calls: u64,
    reply: Reply<u64>,
}

impl Actor for Client {
    type Args = ActorRef<Next>;
    type Msg = Ask;

    async fn init(server: ActorRef<Next>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self { server })
    }

    async fn handle(
        &mut self,
        Ask { calls, reply }: Ask,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        let mut sum = 0;
        for number in 0..calls {
            sum += self.server.call(|reply| Next(number, reply)).await?;
        }
        reply.send(sum);
        Ok(())
    }
}

//! An actor that counts arrivals, adds up their values, and tells when all have come.
//!
//! The receiver of the one-way workloads, and what tells the harness that many actors at once are
//! through.

use whitebeam::{Actor, ActorRef, Context, ExitReason, Handle, Reply};

use crate::failure::{Failure, expect_count};
use crate::under_test::LONGEST_WAIT;

/// The counting actor.
#[derive(Debug, Default)]
pub(crate) struct FinishLine {
    /// Arrivals so far.
    arrived: u64,
    /// Sum of their values.
    sum: u64,
    /// How many are waited for, and who waits.
    waiting: Option<(u64, Reply<u64>)>,
}

/// Its messages.
#[derive(Debug)]
pub(crate) enum Line {
    /// One more has come, with this value.
    Arrive(u64),
    /// Answer with the sum once so many have come.
    Await(u64, Reply<u64>),
}

impl Actor for FinishLine {
    type Args = ();
    type Msg = Line;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Self::default())
    }

    async fn handle(&mut self, msg: Line, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Line::Arrive(value) => {
                self.arrived += 1;
                self.sum = self.sum.wrapping_add(value);
            }
            Line::Await(arrivals, reply) => self.waiting = Some((arrivals, reply)),
        }
        if self.waiting.as_ref().is_some_and(|(arrivals, _)| self.arrived >= *arrivals)
            && let Some((_, reply)) = self.waiting.take()
        {
            reply.send(self.sum);
        }
        Ok(())
    }
}

/// Starts a finish line.
pub(crate) fn start(rt: &Handle) -> ActorRef<Line> {
    rt.spawn::<FinishLine>(())
}

/// Waits until `arrivals` have come and checks the sum of their values.
///
/// # Errors
///
/// When the sum is not `sum`, or the finish line has ended.
pub(crate) async fn wait(
    line: &ActorRef<Line>,
    arrivals: u64,
    what: &'static str,
    sum: u64,
) -> Result<(), Failure> {
    let awaited = line.call(|reply| Line::Await(arrivals, reply)).timeout(LONGEST_WAIT).await;
    expect_count(what, sum, awaited.map_err(Failure::library("waiting for the finish line"))?)
}

//! W6x: calls from a plain thread into the runtime, one after another.
//!
//! - Measured: a thread that is no worker makes 100,000 blocking calls to W6's server, each awaited
//!   before the next, with the default timeout. Figure `us_per_call`.
//! - Warm-up 1, repetitions 5.
//! - Checked: the sum of the replies.
//! - Cannot show: a busy runtime, where no worker has to be woken; nor more threads than cores.

use std::time::Instant;

use super::w6_call::{Next, Server, sum_of_replies};
use crate::failure::{Failure, expect_count};
use crate::repetition::Plan;
use crate::report::Figure;
use crate::under_test;

const CALLS: u64 = 100_000;

/// Runs W6x.
///
/// # Errors
///
/// When a run fails or its sum is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let calls = plan.scaled(CALLS);
    let series = plan.repeat(|| once(plan.workers, calls))?;
    Ok(vec![series.figure("W6x", &plan.params(), ("us_per_call", "us"), |us| Some(*us))])
}

fn once(workers: usize, calls: u64) -> Result<f64, Failure> {
    let rt = under_test::runtime(workers)?;
    let server = rt.spawn::<Server>(());

    let start = Instant::now();
    let mut sum = 0;
    for number in 0..calls {
        sum += server
            .call(|reply| Next(number, reply))
            .blocking()
            .map_err(Failure::library("calling"))?;
    }
    let figure = super::ns_each(start, calls) / 1e3;

    expect_count("sum of the replies", sum_of_replies(calls), sum)?;
    under_test::end(rt)?;
    Ok(figure)
}

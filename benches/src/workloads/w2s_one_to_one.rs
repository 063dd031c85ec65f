//! W2s: one producer to one consumer, the mailbox as a pipe.
//!
//! - Measured: one actor sends 4,000,000 one-way messages (a u64) from one handler to another,
//!   which adds them up; until the last is added. Figure `m_msg_per_s`.
//! - Warm-up 1, repetitions 5.
//! - Checked: the sum.
//! - Cannot show: what the two cost on one core. Whether the consumer runs beside the producer or
//!   after it is the scheduler's choice, and the line transfer decides what that is worth.

use super::w2_fan_in::once;
use crate::failure::Failure;
use crate::repetition::Plan;
use crate::report::Figure;

const MESSAGES: u64 = 4_000_000;

/// Runs W2s.
///
/// # Errors
///
/// When a run fails or its sum is off.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Figure>, Failure> {
    let messages = plan.scaled(MESSAGES);
    let series = plan.repeat(|| once(plan.workers, 1, messages))?;
    Ok(vec![series.figure("W2s", &plan.params(), ("m_msg_per_s", "M/s"), |rate| Some(*rate))])
}

//! W8, W8t, W8b: stop a tree of very many children.
//!
//! - Measured: from the exit signal to the root until its DOWN, when every child has really ended.
//!   Figures `shutdown_ms` and `max_queue_len`, the highest high-water mark of a supervisor's
//!   mailbox. The trees: 200,000 children flat, in 16 and in 50 partitions (a partition supervisor,
//!   and two tiers of dynamic supervisors for 50); 500,000 in 125 and 1,000,000 in 250, two-tier.
//!   W8: idle children. W8t: each traps exits and has a terminate. W8b: every tenth is in a handler
//!   that burns 1 ms when the signal comes; figure `ratio_to_pure_work` too, the time over that of
//!   the burning alone, spread over the workers; 200,000 children only, since that alone is 10 s of
//!   burning.
//! - Warm-up 1, repetitions 5, and the same again for the mailboxes: they take a sampler, which the
//!   time is measured without. (Not with W8b, whose burning dwarfs it and takes some five minutes.)
//! - Checked: as in `run shutdown`.
//! - Cannot show: a tree that has been in use for long.

use std::num::NonZeroUsize;

use crate::failure::Failure;
use crate::repetition::Plan;
use crate::report::Figure;
use crate::shutdown::children::ChildKind;
use crate::shutdown::layout::Layout;
use crate::shutdown::{self, Job, Outcome};

/// Children and layout of each tree.
const TREES: [(u64, Layout); 6] = [
    (200_000, Layout::Flat),
    (200_000, Layout::Partitioned(partitions(16))),
    (200_000, Layout::Partitioned(partitions(50))),
    (200_000, Layout::TwoTier(Some(partitions(50)))),
    (500_000, Layout::TwoTier(Some(partitions(125)))),
    (1_000_000, Layout::TwoTier(Some(partitions(250)))),
];

const fn partitions(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("a tree of the table has partitions")
}

/// Most children of the trees whose children burn.
const MOST_BURNING: u64 = 200_000;

/// Figures with their units.
const SHUTDOWN_MS: (&str, &str) = ("shutdown_ms", "ms");
const MAX_QUEUE_LEN: (&str, &str) = ("max_queue_len", "messages");

/// Runs W8 or one of its kin.
///
/// # Errors
///
/// When a run fails or one of its counts is off.
pub(crate) fn run(id: &'static str, plan: &Plan, child: ChildKind) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for (children, layout) in TREES {
        let burns = matches!(child, ChildKind::Busy(_));
        if burns && children > MOST_BURNING {
            continue;
        }
        let children = plan.scaled(children);
        let job = Job { children, layout, child, workers: plan.workers, sampled: true };
        let sampled = plan.repeat(|| shutdown::once(&job))?;
        let params = job.params(plan, &sampled);
        if burns {
            let ratio = ("ratio_to_pure_work", "x");
            figures.push(sampled.figure(id, &params, SHUTDOWN_MS, Outcome::shutdown_ms));
            figures.push(sampled.figure(id, &params, MAX_QUEUE_LEN, Outcome::max_queue_len));
            figures.push(sampled.figure(id, &params, ratio, Outcome::ratio_to_pure_work));
        } else {
            let alone = Job { sampled: false, ..job };
            let timed = plan.repeat(|| shutdown::once(&alone))?;
            figures.push(timed.figure(id, &params, SHUTDOWN_MS, Outcome::shutdown_ms));
            figures.push(sampled.figure(id, &params, MAX_QUEUE_LEN, Outcome::max_queue_len));
        }
    }
    Ok(figures)
}

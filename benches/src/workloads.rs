//! The workloads, one file for each id.
//!
//! A file's header says what is measured, in which unit, with which warm-up and how many
//! repetitions, and what the figure cannot show. Unless it says otherwise: one warm-up run, then
//! five repetitions, each in a runtime of its own that is made before and ended after the clock
//! runs; median, minimum and maximum.

pub(crate) mod w10_fairness;
pub(crate) mod w11_timers;
pub(crate) mod w12_restart;
pub(crate) mod w13_kill_backlog;
pub(crate) mod w1_ping_pong;
pub(crate) mod w1b_pairs;
pub(crate) mod w2_fan_in;
pub(crate) mod w2s_one_to_one;
pub(crate) mod w3_ring;
pub(crate) mod w4_spawn;
pub(crate) mod w5_lifecycle;
pub(crate) mod w6_call;
pub(crate) mod w6x_outside_call;
pub(crate) mod w7_supervised_start;
pub(crate) mod w8_shutdown;
pub(crate) mod w9_big;

pub(crate) mod burst;
pub(crate) mod idle;
pub(crate) mod overload;
pub(crate) mod walk;

use std::time::{Duration, Instant};

use crate::cli::{Common, Work};
use crate::failure::Failure;
use crate::report::Figure;
use crate::shutdown;
use crate::shutdown::children::ChildKind;

/// Runs what the command line asks for; true when it wants JSON.
///
/// # Errors
///
/// When a run fails or one of its counts is off.
pub(crate) fn run(work: &Work) -> Result<(Vec<Figure>, bool), Failure> {
    let plain =
        |common: &Common, run: fn(&crate::repetition::Plan) -> Result<Vec<Figure>, Failure>| {
            Ok((run(&common.plan())?, common.json))
        };
    match work {
        Work::Shutdown(args) => Ok((shutdown::run(args)?, args.json)),
        Work::W1(common) => plain(common, w1_ping_pong::run),
        Work::W1b(common) => plain(common, w1b_pairs::run),
        Work::W2(common) => plain(common, w2_fan_in::run),
        Work::W2s(common) => plain(common, w2s_one_to_one::run),
        Work::W3(common) => plain(common, w3_ring::run),
        Work::W4(common) => plain(common, w4_spawn::run),
        Work::W5(common) => plain(common, w5_lifecycle::run),
        Work::W6(common) => plain(common, w6_call::run),
        Work::W6x(common) => plain(common, w6x_outside_call::run),
        Work::W7(args) => {
            Ok((w7_supervised_start::run(&args.common.plan(), args.child)?, args.common.json))
        }
        Work::W8(args) => {
            Ok((w8_shutdown::run("W8", &args.common.plan(), args.child)?, args.common.json))
        }
        Work::W8t(common) => {
            Ok((w8_shutdown::run("W8t", &common.plan(), ChildKind::Trapping)?, common.json))
        }
        Work::W8b(common) => {
            let burning = ChildKind::Busy(Duration::from_millis(1));
            Ok((w8_shutdown::run("W8b", &common.plan(), burning)?, common.json))
        }
        Work::W9(common) => plain(common, w9_big::run),
        Work::W11(common) => plain(common, w11_timers::run),
        Work::W10(args) => {
            Ok((w10_fairness::run(&args.common.plan(), args.hog, args.spare)?, args.common.json))
        }
        Work::W12(common) => plain(common, w12_restart::run),
        Work::W13(common) => plain(common, w13_kill_backlog::run),
        Work::Idle(common) => plain(common, idle::run),
        Work::Overload(args) => {
            Ok((overload::run(&args.common.plan(), args.mailbox)?, args.common.json))
        }
        Work::Burst(common) => plain(common, burst::run),
        Work::Walk(common) => plain(common, walk::run),
    }
}

/// Nanoseconds since `start` for each of `count` things.
fn ns_each(start: Instant, count: u64) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / count as f64
}

/// Millions of things a second since `start`.
fn m_per_s(start: Instant, count: u64) -> f64 {
    count as f64 / start.elapsed().as_secs_f64() / 1e6
}

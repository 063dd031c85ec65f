//! Runtimes to run each test on: one worker, four workers, and a few simulated ones.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test file uses its part"
)]

pub mod puppet;

use std::{
    future::{Future, poll_fn},
    sync::Once,
    task::Poll,
    time::Duration,
};

use whitebeam_actor::{Builder, Handle, Runtime};
use whitebeam_testkit::{Everywhere, Sim};

/// Seeds of the simulated runs.
const SEEDS: u64 = 16;

/// Runs a test on every kind of runtime. After it, whatever is left must be able to end, and no worker may
/// have been left by a panic.
#[track_caller]
pub fn everywhere<F>(test: impl Fn(Handle) -> F)
where
    F: Future<Output = ()>,
{
    whitebeam_testkit::everywhere(test);
}

/// Runs a test on one worker and on four.
#[track_caller]
pub fn threaded<F>(test: impl Fn(Handle) -> F)
where
    F: Future<Output = ()>,
{
    Everywhere::new().only_threaded().run(test);
}

/// Runs a test in virtual time, for each of some seeds.
#[track_caller]
pub fn simulated<F>(test: impl Fn(Handle) -> F)
where
    F: Future<Output = ()>,
{
    Sim::new().seeds(SEEDS).run(|rt| test(rt.handle()));
}

/// The runtime's time, real or virtual, in nanoseconds.
pub fn now(rt: &Handle) -> u64 {
    rt.sleep(Duration::ZERO).deadline().as_nanos()
}

/// A panic that a test asks for: its report is kept off the terminal.
pub const EXPECTED: &str = "as the test asked";

/// Runs a test with settings of its own, in simulations and on threads. What was written and hooked is complete
/// when this returns.
#[track_caller]
pub fn built<F: Future<Output = ()>>(set: impl Fn(Builder) -> Builder, test: impl Fn(Handle) -> F) {
    expect_panics();
    let simulated = (0..8).map(|seed| set(Runtime::builder()).build_simulated(seed));
    let threaded =
        [1, 4].into_iter().map(|workers| set(Runtime::builder()).workers(workers).build());
    for rt in simulated.chain(threaded) {
        let rt = rt.expect("a runtime");
        rt.block_on(test(rt.handle()));
        let report = rt.block_on(rt.shutdown(Duration::from_secs(10)));
        assert!(report.is_clean(), "{report:?}");
        let panics: u64 = rt.metrics().iter().map(|worker| worker.panics).sum();
        assert_eq!(panics, 0, "panics that left a run");
    }
}

/// Keeps the reports of panics with the text [`EXPECTED`] off the terminal: some tests make thousands.
pub fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(EXPECTED) {
                before(info);
            }
        }));
    });
}

/// Pending once, woken at once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A size of a test: smaller where each step costs fifty times as much.
pub fn scaled(full: usize, small: usize) -> usize {
    if std::env::var_os("WHITEBEAM_SMALL").is_some() { small } else { full }
}

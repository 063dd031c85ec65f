//! Runtimes to run each test on: one worker, four workers, and a few simulated ones.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test file uses its part"
)]

pub mod puppet;

use std::{future::Future, sync::Once, time::Duration};

use whitebeam_actor::{Handle, Runtime};

/// Seeds of the simulated runs.
const SEEDS: std::ops::Range<u64> = 0..16;

/// Runs a test on every kind of runtime. After it, whatever is left must be able to end, and no worker may
/// have been left by a panic.
pub fn everywhere<F>(test: impl Fn(Handle) -> F)
where
    F: Future<Output = ()>,
{
    threaded(&test);
    simulated(&test);
}

/// Runs a test on one worker and on four.
pub fn threaded<F>(test: impl Fn(Handle) -> F)
where
    F: Future<Output = ()>,
{
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads to start");
        rt.block_on(within(&rt, test(rt.handle()), &format!("{workers} workers")));
        end(rt, &format!("{workers} workers"));
    }
}

/// Runs a test in virtual time, for each of some seeds.
pub fn simulated<F>(test: impl Fn(Handle) -> F)
where
    F: Future<Output = ()>,
{
    for seed in SEEDS {
        let rt = Runtime::simulated(seed).expect("a tag for pids");
        rt.block_on(within(&rt, test(rt.handle()), &format!("seed {seed}")));
        end(rt, &format!("seed {seed}"));
    }
}

/// No process may be left that does not end when it is told, and no panic may have left a run.
fn end(rt: Runtime, place: &str) {
    let report = rt.block_on(rt.shutdown(Duration::from_secs(10)));
    assert!(report.stuck.is_empty(), "left behind on {place}: {report}");
    assert_eq!(rt.processes().len(), 0, "on {place}");
    let panics: u64 = rt.metrics().iter().map(|worker| worker.panics).sum();
    assert_eq!(panics, 0, "panics that left a run on {place}");
}

/// Fails a test that waits for ever, and says where it ran.
async fn within<F: Future<Output = ()>>(rt: &Runtime, test: F, place: &str) {
    use futures_util::future::{Either, select};
    let timer = rt.sleep(Duration::from_secs(60));
    let test = std::pin::pin!(test);
    match select(test, timer).await {
        Either::Left(_) => {}
        Either::Right(_) => panic!("the test waited for 60 s on {place}"),
    }
}

/// The runtime's time, real or virtual, in nanoseconds.
pub fn now(rt: &Handle) -> u64 {
    rt.sleep(Duration::ZERO).deadline().as_nanos()
}

/// A panic that a test asks for: its report is kept off the terminal.
pub const EXPECTED: &str = "as the test asked";

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

/// A size of a test: smaller where each step costs fifty times as much.
pub fn scaled(full: usize, small: usize) -> usize {
    if std::env::var_os("WHITEBEAM_SMALL").is_some() { small } else { full }
}

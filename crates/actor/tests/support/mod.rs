//! Runtimes to run each test on: one worker, four workers, and a few simulated ones.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{future::Future, time::Duration};

use whitebeam_actor::Runtime;

/// Seeds of the simulated runs.
const SEEDS: std::ops::Range<u64> = 0..16;

/// Runs a test on every kind of runtime.
pub fn everywhere<F>(test: impl Fn(whitebeam_actor::Handle) -> F)
where
    F: Future<Output = ()>,
{
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads to start");
        rt.block_on(within(&rt, test(rt.handle()), &format!("{workers} workers")));
    }
    for seed in SEEDS {
        let rt = Runtime::simulated(seed).expect("a tag for pids");
        rt.block_on(within(&rt, test(rt.handle()), &format!("seed {seed}")));
    }
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

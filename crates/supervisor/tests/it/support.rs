//! Runtimes to run each test on, and what tests watch children with.

mod log;
mod worker;

use std::{future::Future, pin::pin, sync::Once, time::Duration};

use futures_util::future::{Either, select};
use whitebeam_actor::{ActorRef, ExitReason, Handle, Runtime, Target};

pub(crate) use self::log::{Event, Gate, Log};
pub(crate) use self::worker::{Msg, Plain, Setup, Tidy};

/// Seeds of the simulated runs.
const SEEDS: std::ops::Range<u64> = 0..8;

/// Runs a test on one worker, on four, and in virtual time for each of some seeds. What a test leaves must
/// end when it is told, and no panic may have left an actor.
pub(crate) fn everywhere<F: Future<Output = ()>>(test: impl Fn(Handle) -> F) {
    threaded(&test);
    simulated(&test);
}

/// Runs a test on one worker and on four.
pub(crate) fn threaded<F: Future<Output = ()>>(test: impl Fn(Handle) -> F) {
    let longest = Duration::from_secs(60);
    for workers in [1, 4] {
        let rt = Runtime::builder().workers(workers).build().expect("threads to start");
        run(&rt, &test, longest, &format!("{workers} workers"));
    }
}

/// Runs a test in virtual time.
pub(crate) fn simulated<F: Future<Output = ()>>(test: impl Fn(Handle) -> F) {
    // Virtual: it costs nothing to be generous, but for loops that look again and again.
    let longest = Duration::from_secs(600);
    for seed in SEEDS {
        let rt = Runtime::simulated(seed).expect("a tag for pids");
        run(&rt, &test, longest, &format!("seed {seed}"));
    }
}

fn run<F: Future<Output = ()>>(
    rt: &Runtime,
    test: impl Fn(Handle) -> F,
    longest: Duration,
    place: &str,
) {
    rt.block_on(async {
        // No test comes near: it is met when something hangs, and names the place.
        let late = rt.sleep(longest);
        if let Either::Right(_) = select(pin!(test(rt.handle())), late).await {
            let left = rt.processes();
            panic!(
                "the test waited for {longest:?} on {place}; {} processes: {:?}",
                left.len(),
                left.first()
            );
        }
        let report = rt.shutdown(Duration::from_secs(20)).await;
        assert!(report.is_clean(), "left on {place}: {report}");
        assert_eq!(rt.processes().len(), 0, "processes left on {place}");
    });
    let panics: u64 = rt.metrics().iter().map(|worker| worker.panics).sum();
    assert_eq!(panics, 0, "panics that left a run on {place}");
}

/// Sends an exit signal from outside, and waits for the end that follows from it.
pub(crate) async fn end(rt: &Handle, process: impl Target, reason: ExitReason) -> ExitReason {
    // Before the signal: a process that has ended has no reason any more.
    let down = rt.down(&process);
    rt.exit(process, reason);
    down.await.reason
}

/// Sends a child a message that ends it, and waits for that.
pub(crate) async fn told(rt: &Handle, child: &ActorRef<Msg>, msg: Msg) -> ExitReason {
    let down = rt.down(child);
    child.cast(msg).unwrap();
    down.await.reason
}

/// Tells a supervisor to shut down, and waits until it has.
pub(crate) async fn stop(rt: &Handle, supervisor: impl Target) {
    assert_eq!(kind(&end(rt, supervisor, ExitReason::Shutdown).await), "shutdown");
}

/// Waits until something is so that no event tells of.
pub(crate) async fn until(rt: &Handle, is_so: impl Fn() -> bool) {
    while !is_so() {
        rt.sleep(Duration::from_millis(1)).await;
    }
}

/// The name of a reason, to compare: reasons carry values that cannot be.
pub(crate) fn kind(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Normal => "normal",
        ExitReason::Shutdown => "shutdown",
        ExitReason::ShutdownWith(_) => "shutdown with",
        ExitReason::Killed => "killed",
        ExitReason::NoProc => "noproc",
        ExitReason::Panic(_) => "panic",
        ExitReason::Error(_) => "error",
        ExitReason::Custom(_) => "custom",
        _ => "another",
    }
}

/// A panic that a test asks for: its report is kept off the terminal.
pub(crate) const EXPECTED: &str = "as the test asked";

/// Keeps the reports of panics with the text [`EXPECTED`] off the terminal.
pub(crate) fn expect_panics() {
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

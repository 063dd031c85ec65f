//! Runtimes to run each test on, and what tests watch children with.

mod job;
mod log;
pub(crate) mod owner;
mod worker;

use std::{future::Future, sync::Once, time::Duration};

use whitebeam_actor::{ActorRef, ExitReason, Handle, Target};
use whitebeam_testkit::{Everywhere, Sim};

pub(crate) use self::job::{Do, Idle, Job, Manner, with_letters};
pub(crate) use self::log::{Event, Gate, Log};
pub(crate) use self::worker::{Msg, Plain, Setup, Tidy};

/// Runs a test in virtual time in many orders, on one worker and on four.
#[track_caller]
pub(crate) fn everywhere<F: Future<Output = ()>>(test: impl Fn(Handle) -> F) {
    whitebeam_testkit::everywhere(test);
}

/// Runs a test on one worker and on four.
#[track_caller]
pub(crate) fn threaded<F: Future<Output = ()>>(test: impl Fn(Handle) -> F) {
    Everywhere::new().only_threaded().run(test);
}

/// Runs a test in virtual time.
#[track_caller]
pub(crate) fn simulated<F: Future<Output = ()>>(test: impl Fn(Handle) -> F) {
    Sim::new().seeds(16).run(|rt| test(rt.handle()));
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

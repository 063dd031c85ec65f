//! Probes: what they got, what they expect, and how they say that it did not come.

use std::time::Duration;

use whitebeam_testkit::{FailureKind, Probe, Sim, everywhere, sim};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn messages_come_in_their_order_and_are_taken_once() {
    everywhere(|rt| async move {
        let mut probe = Probe::<u32>::start(&rt).await;
        for number in 0..5 {
            probe.actor().cast(number).expect("sent");
        }
        assert_eq!(probe.next(SECOND).await, 0);
        assert_eq!(probe.expect(|number| *number == 1, SECOND).await, 1);
        assert_eq!(probe.expect_among(|number| *number > 2, SECOND).await, 3);
        assert_eq!(probe.next(SECOND).await, 2, "passed over, and kept");
        assert_eq!(probe.expect_among(|_| true, SECOND).await, 4);
    });
}

#[test]
fn a_message_that_comes_later_is_waited_for() {
    sim(|rt| async move {
        let mut probe = Probe::<u32>::start(&rt).await;
        let (to, time) = (probe.actor().clone(), rt.sleep(SECOND / 2));
        rt.spawn_task(async move {
            time.await;
            for number in [1, 2] {
                to.cast(number).expect("sent");
            }
        })
        .detach();
        probe.expect_none(SECOND / 4).await;
        assert_eq!(probe.expect_among(|number| *number == 2, SECOND).await, 2);
        assert_eq!(rt.uptime(), SECOND / 2);
        assert_eq!(probe.take(), [1]);
    });
}

/// The text that a run's test panics with.
fn panic_of<F, Fut>(test: F) -> String
where
    F: Fn(whitebeam_testkit::TestRuntime) -> Fut,
    Fut: std::future::Future<Output = ()>,
{
    let failure = Sim::new().seeds(1).try_run(test).expect_err("a panic");
    match failure.kind {
        FailureKind::Panicked(text) => text,
        _ => panic!("{failure}"),
    }
}

#[test]
fn what_does_not_come_is_told() {
    let text = panic_of(|rt| async move {
        let mut probe = Probe::<u32>::start(&rt).await;
        probe.actor().cast(1).expect("sent");
        probe.expect_among(|number| *number == 2, SECOND).await;
    });
    assert!(text.contains("probes.rs:"), "the place of the expectation: {text}");
    assert!(text.contains("within 1s, but 1 other messages"), "{text}");
    let text = panic_of(|rt| async move {
        let mut probe = Probe::<u32>::start(&rt).await;
        probe.actor().cast(1).expect("sent");
        probe.expect(|number| *number == 2, SECOND).await;
    });
    assert!(text.contains("is not the one expected"), "{text}");
    let text = panic_of(|rt| async move {
        let mut probe = Probe::<u32>::start(&rt).await;
        probe.actor().cast(1).expect("sent");
        probe.expect_none(SECOND).await;
    });
    assert!(text.contains("was to get nothing for 1s"), "{text}");
}

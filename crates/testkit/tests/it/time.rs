//! Virtual time in the test's hand.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam::prelude::*;
use whitebeam_testkit::{FailureKind, Probe, Sim, sim};

const SECOND: Duration = Duration::from_secs(1);

/// Sends on what it gets, after a second, as long as something is left.
struct Relay(ActorRef<u32>);

impl Actor for Relay {
    type Args = ActorRef<u32>;
    type Msg = u32;

    async fn init(to: Self::Args, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Relay(to))
    }

    async fn handle(&mut self, left: u32, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0.cast(left)?;
        if left > 0 {
            cx.send_after(SECOND, left - 1);
        }
        Ok(())
    }
}

#[test]
fn idle_is_exact_and_takes_no_time() {
    sim(|rt| async move {
        let probe = Probe::<u32>::start(&rt).await;
        let relay = rt.start::<Relay>(probe.actor().clone()).await.expect("a relay");
        relay.cast(3).expect("sent");
        rt.run_until_idle().await;
        assert_eq!(probe.take(), [3]);
        assert_eq!(rt.uptime(), Duration::ZERO);
        rt.run_until_idle().await;
        assert_eq!(probe.take(), [0_u32; 0], "idle again at once");
    });
}

#[test]
fn advancing_fires_what_is_due_and_nothing_else() {
    sim(|rt| async move {
        let probe = Probe::<u32>::start(&rt).await;
        let relay = rt.start::<Relay>(probe.actor().clone()).await.expect("a relay");
        relay.cast(5).expect("sent");
        rt.advance(SECOND - Duration::from_nanos(1)).await;
        assert_eq!(probe.take(), [5]);
        rt.advance(Duration::from_nanos(1)).await;
        assert_eq!(probe.take(), [4]);
        rt.advance(3 * SECOND).await;
        assert_eq!(probe.take(), [3, 2, 1], "what is due at the very end has run");
        assert_eq!(rt.uptime(), 4 * SECOND);
    });
}

#[test]
fn two_rests_at_once_end_in_their_order() {
    sim(|rt| async move {
        let order = Arc::new(Mutex::new(Vec::new()));
        let rest = |name, time| {
            let (rest, order) = (rt.advance(time), order.clone());
            rt.spawn_task(async move {
                rest.await;
                order.lock().push(name);
            })
        };
        let (late, soon) = (rest("late", 2 * SECOND), rest("soon", SECOND));
        late.await;
        soon.await;
        assert_eq!(*order.lock(), ["soon", "late"]);
    });
}

#[test]
fn a_rest_that_was_given_up_holds_nobody_up() {
    sim(|rt| async move {
        let mut idle = Box::pin(rt.advance(SECOND));
        let polled = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::future::Future::poll(idle.as_mut(), cx).is_ready())
        });
        assert!(!polled.await);
        drop(idle);
        rt.sleep(3 * SECOND).await;
        assert_eq!(rt.uptime(), 3 * SECOND);
    });
}

#[test]
fn the_clock_has_an_end() {
    Sim::new().seeds(2).run(|rt| async move {
        rt.advance(Duration::MAX).await;
        assert_eq!(rt.uptime(), Duration::from_nanos(u64::MAX));
        rt.advance(Duration::MAX).await;
    });
}

#[test]
fn a_run_without_end_is_told() {
    struct Spinner;
    impl Actor for Spinner {
        type Args = ();
        type Msg = ();
        async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            cx.me().cast(())?;
            Ok(Spinner)
        }
        async fn handle(&mut self, (): (), cx: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(cx.me().cast(())?)
        }
    }
    let failure = Sim::new()
        .max_steps(1_000)
        .try_run(|rt| async move {
            rt.spawn::<Spinner>(());
            rt.run_until_idle().await;
        })
        .expect_err("it is never idle");
    assert!(matches!(failure.kind, FailureKind::TooLong(_)), "{failure}");
    assert_eq!(failure.runs, 1);
}

#[test]
fn a_run_is_over_after_as_many_turns_as_it_may_take() {
    let sleeps = |sim: Sim| {
        sim.seeds(4).try_run(|rt| async move {
            for _ in 0..200 {
                rt.sleep(SECOND).await;
            }
        })
    };
    assert!(sleeps(Sim::new()).is_ok());
    let failure = sleeps(Sim::new().max_steps(100)).expect_err("each sleep takes a turn");
    assert!(matches!(failure.kind, FailureKind::TooLong(_)), "{failure}");
}

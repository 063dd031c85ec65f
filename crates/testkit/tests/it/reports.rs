//! What a failed run says of itself.

use std::time::Duration;

use whitebeam::prelude::*;
use whitebeam_testkit::{FailureKind, Leaks, Probe, Sim, sim};

/// Asks its friend when it was asked, in a handler of its own: who has kept the question's reply may have given it to
/// others, so that two who ask each other are not told of a deadlock.
struct Asker {
    friend: Option<ActorRef<Ask>>,
    asked: Vec<Reply<()>>,
}

enum Ask {
    Friend(ActorRef<Ask>),
    Question(Reply<()>),
    Go,
    Hang,
}

impl Actor for Asker {
    type Args = ();
    type Msg = Ask;

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Asker { friend: None, asked: Vec::new() })
    }

    async fn handle(&mut self, msg: Ask, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Ask::Friend(friend) => self.friend = Some(friend),
            Ask::Question(reply) => {
                self.asked.push(reply);
                cx.me().cast(Ask::Go)?;
            }
            Ask::Go => {
                if let Some(friend) = &self.friend {
                    friend.call(Ask::Question).no_timeout().await?;
                }
                self.asked.drain(..).for_each(|reply| reply.send(()));
            }
            Ask::Hang => std::future::pending().await,
        }
        Ok(())
    }
}

#[test]
fn a_deadlock_names_who_waits_for_whom() {
    let failure = Sim::new()
        .try_run(|rt| async move {
            let named = |name: &str| SpawnOptions::new().name(name);
            let one = rt.with(named("one")).start::<Asker>(()).await.expect("one");
            let two = rt.with(named("two")).start::<Asker>(()).await.expect("two");
            one.cast(Ask::Friend(two.clone())).expect("sent");
            two.cast(Ask::Friend(one.clone())).expect("sent");
            one.call(Ask::Question).no_timeout().await.expect("never");
        })
        .expect_err("they wait for each other");
    let FailureKind::Deadlock(waits) = &failure.kind else { panic!("{failure}") };
    assert_eq!(
        *waits,
        [
            "the test waits for the answer of <0.0.1> one Asker",
            "<0.0.1> one Asker waits for the answer of <0.1.1> two Asker",
            "<0.1.1> two Asker waits for the answer of <0.0.1> one Asker",
            "in a circle: <0.0.1> one Asker -> <0.1.1> two Asker -> <0.0.1> one Asker",
        ]
    );
    let text = failure.to_string();
    assert!(text.contains("two Asker handles Ask#1 (a call)"), "{text}");
}

#[test]
fn a_deadlock_names_who_is_suspended_without_a_call_and_whose_end_is_waited_for() {
    struct Stuck;
    impl Actor for Stuck {
        type Args = bool;
        type Msg = ();
        async fn init(at_once: bool, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            cx.me().cast(())?;
            if at_once {
                std::future::pending::<()>().await;
            }
            Ok(Stuck)
        }
        async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
            std::future::pending().await
        }
    }
    let failure = Sim::new()
        .try_run(|rt| async move {
            let (one, _two) = (rt.spawn::<Stuck>(false), rt.spawn::<Stuck>(true));
            rt.down(&one).await;
        })
        .expect_err("it never ends");
    let FailureKind::Deadlock(waits) = &failure.kind else { panic!("{failure}") };
    assert_eq!(
        *waits,
        [
            "the test waits for the end of <0.0.1> Stuck",
            "<0.0.1> Stuck is suspended in ()#0",
            "<0.1.1> Stuck is suspended in init",
        ]
    );
}

#[test]
fn a_panic_and_an_error_of_the_test_fail_the_run() {
    let failure = Sim::new()
        .try_run(|_rt| async move { Err::<(), _>("not what was hoped for") })
        .expect_err("an error");
    assert!(matches!(&failure.kind, FailureKind::Returned(text) if text.contains("hoped for")));
    let failure = Sim::new()
        .try_run(|rt| async move {
            if rt.seed() < 8 {
                // No word of the panic hook: it is not called for this.
                std::panic::resume_unwind(Box::new(format!("seed {}", rt.seed())));
            }
        })
        .expect_err("a panic");
    assert!(
        matches!(&failure.kind, FailureKind::Panicked(text) if *text == format!("seed {}", failure.seed))
    );
}

#[test]
fn a_failure_says_how_to_repeat_it() {
    let failure = Sim::new()
        .ignore_environment()
        .try_run(|rt| async move { if rt.seed() == 5 { Err("found") } else { Ok(()) } })
        .expect_err("seed 5");
    assert_eq!((failure.seed, failure.runs), (5, 6));
    assert_eq!(
        failure.replay,
        "WHITEBEAM_SEED=5 cargo test -p whitebeam-testkit -- --exact reports::a_failure_says_how_to_repeat_it"
    );
    assert!(failure.to_string().ends_with(&failure.replay));
}

#[test]
fn what_is_left_is_counted_and_can_be_forbidden() {
    let leaves = |leaks| {
        Sim::new().leaks(leaks).try_run(|rt| async move {
            let probe = Probe::<u32>::start(&rt).await;
            rt.exit(probe.actor(), ExitReason::Kill);
            let hung = rt.start::<Asker>(()).await.expect("an asker");
            hung.cast(Ask::Hang).expect("sent");
            let question = hung.call(Ask::Question).timeout(Duration::from_secs(60)).owned();
            rt.spawn_task(async move { question.await.is_ok() }).detach();
            rt.run_until_idle().await;
        })
    };
    for leaks in [Leaks::Allow, Leaks::MustStop] {
        let report = leaves(leaks).expect("left, and able to stop");
        let left = &report.runs[0].left;
        assert_eq!((left.processes.len(), left.unread(), left.timers), (1, 1, 1), "{left}");
        assert_eq!(left.processes[0].1, "Asker");
    }
    let failure = leaves(Leaks::Forbid).expect_err("left");
    assert!(matches!(failure.kind, FailureKind::Leaked(_)), "{failure}");
    let text = failure.to_string();
    assert!(text.contains("1 processes, 1 timers, 1 unread messages"), "{text}");
}

#[test]
fn what_does_not_stop_fails_the_run() {
    struct Stubborn;
    impl Actor for Stubborn {
        type Args = ();
        type Msg = ();
        async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Stubborn)
        }
        async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
        async fn terminate(&mut self, _reason: &ExitReason, _cx: &mut Context<Self>) {
            std::future::pending().await
        }
    }
    let test = |rt: whitebeam_testkit::TestRuntime| async move {
        rt.start::<Stubborn>(()).await.map(|_| ())
    };
    let failure = Sim::new().try_run(test).expect_err("it waits in its terminate");
    assert!(matches!(failure.kind, FailureKind::DoesNotStop(_)), "{failure}");
    assert!(Sim::new().leaks(Leaks::Allow).try_run(test).is_ok());
}

#[test]
fn what_never_rests_when_it_is_to_stop_fails_the_run() {
    struct Restless;
    impl Actor for Restless {
        type Args = ();
        type Msg = ();
        async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Restless)
        }
        async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
        async fn terminate(&mut self, _reason: &ExitReason, _cx: &mut Context<Self>) {
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                std::task::Poll::<()>::Pending
            })
            .await
        }
    }
    let failure = Sim::new()
        .max_steps(2_000)
        .try_run(|rt| async move { rt.start::<Restless>(()).await.map(|_| ()) })
        .expect_err("its clock stands still, so that no time to stop is ever over");
    assert!(matches!(failure.kind, FailureKind::TooLong(_)), "{failure}");
}

#[test]
fn a_task_that_waits_is_not_the_test() {
    let failure = Sim::new()
        .try_run(|rt| async move {
            let probe = Probe::<u32>::start(&rt).await;
            let end = rt.down(probe.actor());
            rt.spawn_task(async move { drop(end.await) }).await;
        })
        .expect_err("it never ends");
    let FailureKind::Deadlock(waits) = &failure.kind else { panic!("{failure}") };
    assert_eq!(*waits, ["a task waits for the end of <0.0.1> Catcher<u32>"]);
}

#[test]
fn ends_are_captured_with_their_reasons() {
    struct Fragile;
    impl Actor for Fragile {
        type Args = ();
        type Msg = &'static str;
        async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Fragile)
        }
        async fn handle(
            &mut self,
            text: &'static str,
            _cx: &mut Context<Self>,
        ) -> Result<(), ExitReason> {
            Err(ExitReason::custom(text))
        }
    }
    sim(|rt| async move {
        let fragile = rt.start::<Fragile>(()).await.expect("a fragile one");
        let robust = rt.start::<Fragile>(()).await.expect("another");
        fragile.cast("broken").expect("sent");
        rt.exit(&robust, ExitReason::Shutdown);
        rt.run_until_idle().await;
        let crashes = rt.crashes();
        assert_eq!(crashes.len(), 1, "{crashes:?}");
        assert_eq!(crashes[0].0, fragile.pid());
        assert_eq!(crashes[0].1.downcast_ref(), Some(&"broken"));
    });
}

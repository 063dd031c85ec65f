//! OTP's simple_one_for_one, which is a dynamic supervisor here, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{ActorRef, ExitReason, Handle, StartError, Target};
use whitebeam_supervisor::{ChildError, DynamicRef, DynamicSupervisor, Restart, Shutdown};
use whitebeam_testkit::Everywhere;

use crate::{
    support::{Event, Log, Msg, Plain, Setup, Tidy, end, kind, stop, told, until},
    tree::{Come, Starts, everywhere, starts},
};

async fn start(sup: &DynamicRef<Plain>, setup: Setup) -> Result<ActorRef<Msg>, StartError> {
    sup.start_child(setup).await
}

/// A temporary child that answers `Ignore` is not kept.
#[test]
fn sup_006_ignored_temporary_child() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Ignored, Come::Good]);
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let setup = Setup::new(1, &log).init(come.come());
        assert!(matches!(start(&sup, setup.clone()).await, Err(StartError::Ignore)));
        start(&sup, setup).await.unwrap();
        assert_eq!(sup.count(), 1);
    });
}

/// A start that fails gives the reason as it is, and keeps nothing.
#[test]
fn sup_011_start_that_fails() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let setup = Setup::new(1, &log).init(Starts::new([Come::Failed]).come());
        match start(&sup, setup).await {
            Err(StartError::Exit(reason)) => {
                assert_eq!(reason.downcast_ref(), Some(&"as planned"));
            }
            other => panic!("{other:?}"),
        }
        // Its end is counted off when the supervisor comes to it.
        until(&rt, || sup.count() == 0).await;
        assert_eq!(starts(&log, 1), 1);
    });
}

/// Who does not end in its time is killed; the supervisor ends with `Shutdown`.
#[test]
fn sup_017_timeout() {
    everywhere(|rt| async move {
        let log = Log::new();
        let time = Duration::from_millis(200);
        let spec = DynamicSupervisor::<Tidy>::temporary().shutdown(Shutdown::After(time));
        let sup = spec.start(&rt).await.unwrap();
        let good = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let bad = Setup::new(2, &log).terminate(|_| std::future::pending());
        let bad = sup.start_child(bad).await.unwrap();
        let downs = (rt.down(&good), rt.down(&bad));
        let begun = rt.uptime();
        stop(&rt, &sup).await;
        let took = rt.uptime() - begun;
        assert!(took >= time && took < time + Duration::from_secs(2), "{took:?}");
        assert_eq!(kind(&downs.0.await.reason), "shutdown");
        assert_eq!(kind(&downs.1.await.reason), "killed");
    });
}

/// Children to be killed are, and the supervisor ends with `Shutdown`.
#[test]
fn sup_019_brutal_kill() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::<Tidy>::temporary().shutdown(Shutdown::BrutalKill);
        let sup = spec.start(&rt).await.unwrap();
        let mut downs = Vec::new();
        for id in 0..10 {
            downs.push(rt.down(sup.start_child(Setup::new(id, &log)).await.unwrap()));
        }
        stop(&rt, &sup).await;
        for down in downs {
            assert_eq!(kind(&down.await.reason), "killed");
        }
    });
}

/// With each restart type the children end with reasons of their own when they are told to shut down, and the
/// supervisor with `Shutdown`. (A panic in `terminate` is what there is for another reason.)
#[test]
fn sup_020_other_reasons_at_the_stop() {
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        everywhere(move |rt| async move {
            crate::support::expect_panics();
            let log = Log::new();
            let spec = DynamicSupervisor::<Tidy>::new().restart(restart);
            let sup = spec.start(&rt).await.unwrap();
            let tidy = sup.start_child(Setup::new(1, &log)).await.unwrap();
            let panics =
                Setup::new(2, &log).terminate(|_| async { panic!("{}", crate::support::EXPECTED) });
            let panics = sup.start_child(panics).await.unwrap();
            let downs = (rt.down(&tidy), rt.down(&panics));
            stop(&rt, &sup).await;
            assert_eq!(kind(&downs.0.await.reason), "shutdown");
            assert_eq!(kind(&downs.1.await.reason), "panic");
            assert_eq!((starts(&log, 1), starts(&log, 2)), (1, 1));
        });
    }
}

/// A child is terminated by its pid; one that has ended, and a stranger, are not found. (OTP: `ok` for one that has
/// ended, as Elixir's `NotFound`.)
#[test]
fn sup_034_terminate_by_pid() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let first = start(&sup, Setup::new(1, &log)).await.unwrap();
        start(&sup, Setup::new(2, &log)).await.unwrap();
        sup.terminate_child(&first).await.unwrap();
        assert!(!first.is_alive());
        assert!(matches!(sup.terminate_child(&first).await, Err(ChildError::NotFound)));
        let stranger = rt.start::<Plain>(Setup::new(3, &log)).await.unwrap();
        assert!(matches!(sup.terminate_child(&stranger).await, Err(ChildError::NotFound)));
        assert!(stranger.is_alive());
        assert_eq!(sup.count(), 1);
    });
}

/// Only the child that crashes is restarted; one restart too many ends the supervisor.
#[test]
fn sup_058_restarts() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::<Plain>::new().intensity(2, Duration::from_secs(5));
        let sup = spec.start(&rt).await.unwrap();
        let first = start(&sup, Setup::new(1, &log)).await.unwrap();
        let second = start(&sup, Setup::new(2, &log)).await.unwrap();
        told(&rt, &first, Msg::End(ExitReason::custom("crash"))).await;
        log.wait_for(Event::Started(1)).await;
        until(&rt, || starts(&log, 1) == 2).await;
        assert!(second.is_alive() && starts(&log, 2) == 1);
        assert_eq!(sup.count(), 2);
        let down = rt.down(&sup);
        told(&rt, &second, Msg::End(ExitReason::custom("crash"))).await;
        until(&rt, || starts(&log, 2) == 2).await;
        let again = newest(&rt, &sup);
        end(&rt, again, ExitReason::Kill).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// Whichever child of the supervisor has the highest pid.
fn newest(rt: &Handle, sup: &DynamicRef<Plain>) -> whitebeam_actor::Pid {
    let parent = sup.target();
    let children = rt.processes().into_iter().filter(|info| info.parent == parent);
    children.map(|info| info.pid).max().unwrap()
}

/// All children are stopped at once: the time is that of one.
#[test]
fn sup_059_parallel_shutdown() {
    everywhere(|rt| async move {
        let log = Log::new();
        let time = Duration::from_millis(400);
        let spec = DynamicSupervisor::<Tidy>::temporary().shutdown(Shutdown::After(time));
        let sup = spec.start(&rt).await.unwrap();
        let mut downs = Vec::new();
        for (id, ms) in [(1, 200), (2, 200), (3, 5_000)] {
            let handle = rt.clone();
            let setup = Setup::new(id, &log).terminate(move |_| {
                let rt = handle.clone();
                async move { rt.sleep(Duration::from_millis(ms)).await }
            });
            downs.push(rt.down(sup.start_child(setup).await.unwrap()));
        }
        let begun = rt.uptime();
        stop(&rt, &sup).await;
        let took = rt.uptime() - begun;
        assert!(took >= time && took < Duration::from_millis(2_000), "{took:?}");
        let mut reasons = Vec::new();
        for down in downs {
            reasons.push(kind(&down.await.reason));
        }
        assert_eq!(reasons, ["shutdown", "shutdown", "killed"]);
    });
}

/// A start gives no information beside the child; a restart needs none.
#[test]
fn sup_060_a_start_gives_the_child_and_nothing_else() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let child = start(&sup, Setup::new(1, &log)).await.unwrap();
        told(&rt, &child, Msg::End(ExitReason::custom("crash"))).await;
        log.wait_for(Event::Init(1, 2)).await;
        assert_eq!(sup.count(), 1);
    });
}

/// The arguments of temporary children are not kept.
#[test]
fn sup_061_arguments_are_not_kept() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let first = start(&sup, Setup::new(1, &log)).await.unwrap();
        end(&rt, &first, ExitReason::Kill).await;
        let large = std::sync::Arc::new([0_u8; 50_000]);
        let held = large.clone();
        let setup = Setup::new(2, &log).on_drop(move || assert_eq!(held.len(), 50_000));
        let child = start(&sup, setup).await.unwrap();
        // The child alone has it.
        assert_eq!(std::sync::Arc::strong_count(&large), 2);
        end(&rt, &child, ExitReason::Kill).await;
        assert_eq!(std::sync::Arc::strong_count(&large), 1);
    });
}

/// Restarts that fail end the supervisor, and with it the other child.
#[test]
fn sup_062_escalation() {
    everywhere(|rt| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good].into_iter().chain([Come::Failed; 20]));
        let spec = DynamicSupervisor::<Plain>::new().intensity(4, Duration::from_secs(5));
        let sup = spec.start(&rt).await.unwrap();
        let first = start(&sup, Setup::new(1, &log).init(come.come())).await.unwrap();
        let second = start(&sup, Setup::new(2, &log)).await.unwrap();
        let downs = (rt.down(&sup), rt.down(&second));
        told(&rt, &first, Msg::End(ExitReason::custom("crash"))).await;
        assert_eq!(kind(&downs.0.await.reason), "shutdown");
        assert_eq!(kind(&downs.1.await.reason), "shutdown");
        assert_eq!(starts(&log, 1), 5);
    });
}

/// Terminating one by one takes time by their number.
#[test]
fn sup_077_many_are_terminated_one_by_one() {
    Everywhere::new().only_threaded().run(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let mut times = Vec::new();
        for children in [1_000, 1_000, 10_000_u64] {
            let setups = (0..children).map(|id| Setup::new(id, &log));
            let started = sup.start_children(setups).await;
            let begun = rt.uptime();
            for child in started {
                sup.terminate_child(child.unwrap()).await.unwrap();
            }
            times.push(rt.uptime() - begun);
            assert_eq!(sup.count(), 0);
        }
        assert!(times[2] < times[1] * 50, "{times:?}");
    });
}

/// Adapted: there are no ids, so that a request for one does not compile, nor do `restart_child` and `delete_child`. What
/// names no child, a name for one, is not found.
#[test]
fn sup_033_no_ids() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let first = start(&sup, Setup::new(1, &log)).await.unwrap();
        start(&sup, Setup::new(2, &log)).await.unwrap();
        let answer = sup.terminate_child(whitebeam_actor::Name::from("1")).await;
        assert!(matches!(answer, Err(ChildError::NotFound)), "{answer:?}");
        assert!(first.is_alive() && sup.count() == 2);
    });
}

/// Adapted: the template is the supervisor's type, so that there is exactly one.
#[test]
fn sup_038_one_template() {
    everywhere(|rt| async move {
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let actor = sup.info().unwrap().actor;
        assert_eq!(actor.matches(std::any::type_name::<Plain>()).count(), 1, "{actor}");
        let log = Log::new();
        let child = start(&sup, Setup::new(1, &log)).await.unwrap();
        assert_eq!(child.info().unwrap().actor, std::any::type_name::<Plain>());
    });
}

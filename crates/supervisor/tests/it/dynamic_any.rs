//! Dynamic supervisors of children of any kinds: starts that fail, restarts, stops, partitions; and the settings of
//! children of one kind.

use std::time::Duration;

use futures_util::future::join_all;
use whitebeam_actor::{ChildRef, ExitReason, Name, SendFailure, SpawnOptions, StartError, Target};
use whitebeam_supervisor::{
    Child, ChildError, DynamicRef, DynamicSupervisor, Intensity, Partitions, Restart, Shutdown,
    Supervisor,
};

use crate::support::{
    EXPECTED, Event, Gate, Log, Msg, Plain, Setup, Tidy, end, everywhere, expect_panics, kind,
    simulated, stop, told, until,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn child(setup: Setup) -> Child<ChildRef<Msg>> {
    Child::new::<Plain>("child", setup)
}

#[test]
fn a_child_that_does_not_start_leaves_nothing() {
    expect_panics();
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let failing = Setup::new(1, &log).init(|_| async { Err(ExitReason::custom("no")) });
        match sup.start_child(child(failing.clone())).await {
            Err(StartError::Exit(reason)) => assert_eq!(reason.downcast_ref(), Some(&"no")),
            other => panic!("{other:?}"),
        }
        let ignoring = Setup::new(2, &log).init(|_| async { Err(ExitReason::Ignore) });
        let ignored = sup.start_child(child(ignoring)).await;
        assert!(matches!(ignored, Err(StartError::Ignore)), "{ignored:?}");
        let panicking = Child::from_fn::<Plain>("child", || panic!("{EXPECTED}"));
        let error = sup.start_child(panicking).await.unwrap_err();
        assert!(matches!(error, StartError::Exit(ExitReason::Panic(_))), "{error}");
        // A supervisor that has started itself, and whose child does not.
        let mut tree = Supervisor::one_for_one();
        tree.child_with(child(Setup::new(3, &log)));
        tree.child_with(Child::new::<Plain>("bad", failing));
        let error = sup.start_child(Child::nested("tree", tree)).await.unwrap_err();
        assert!(error.to_string().contains("child `bad` failed to start"), "{error}");

        assert_eq!((sup.count(), sup.which_children().await.unwrap().len()), (0, 0));
        assert_eq!(rt.processes().len(), 1);
        assert!(!log.has(Event::Init(1, 2)) && !log.has(Event::Init(3, 2)));
    });
}

#[test]
fn a_name_that_is_taken_is_the_answer() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let named = |id| child(Setup::new(id, &log)).options(SpawnOptions::new().name("one"));
        let first = sup.start_child(named(1)).await.unwrap();
        let second = sup.start_child(named(2)).await;
        assert!(matches!(second, Err(StartError::NameTaken(pid)) if Some(pid) == first.target()));
        assert_eq!(sup.count(), 1);
        // The name is the next incarnation's.
        let before = first.target();
        told(&rt, &first.current().unwrap(), Msg::End(ExitReason::custom("crash"))).await;
        log.wait_for(Event::Started(1)).await;
        until(&rt, || rt.whereis("one").is_some_and(|pid| Some(pid) != before)).await;
        assert_eq!(rt.whereis("one"), first.target());
    });
}

/// Restart types are each child's own, and an address goes on.
#[test]
fn each_child_is_restarted_as_its_spec_says() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::any().with_intensity(Intensity::Unlimited);
        let sup = spec.start(&rt).await.unwrap();
        let of = |id, restart| child(Setup::new(id, &log)).restart(restart);
        let permanent = sup.start_child(of(1, Restart::Permanent)).await.unwrap();
        let transient = sup.start_child(of(2, Restart::Transient)).await.unwrap();
        let temporary = sup.start_child(of(3, Restart::Temporary)).await.unwrap();
        let crash = || ExitReason::custom("crash");
        for (child, id, reason) in [
            (&permanent, 1, ExitReason::Normal),
            (&transient, 2, crash()),
            (&temporary, 3, crash()),
        ] {
            told(&rt, &child.current().unwrap(), Msg::End(reason)).await;
            if id < 3 {
                log.wait_for(Event::Init(id, 2)).await;
            }
        }
        until(&rt, || sup.count() == 2 && permanent.is_alive() && transient.is_alive()).await;
        assert_eq!(permanent.call(Msg::Who).await.unwrap().1.attempt, 2);
        assert!(matches!(temporary.cast(Msg::Exit).unwrap_err().why(), SendFailure::NoProc));
        told(&rt, &transient.current().unwrap(), Msg::End(ExitReason::Normal)).await;
        until(&rt, || sup.count() == 1).await;
        assert!(matches!(transient.cast(Msg::Exit).unwrap_err().why(), SendFailure::NoProc));
    });
}

#[test]
fn one_restart_too_many_ends_it_with_all_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::any().intensity(1, Duration::from_secs(1_000));
        let sup = spec.start(&rt).await.unwrap();
        let first = sup.start_child(child(Setup::new(1, &log))).await.unwrap();
        let other = sup.start_child(child(Setup::new(2, &log))).await.unwrap();
        let downs = (rt.down(&sup), rt.down(&other));
        end(&rt, &first, ExitReason::Kill).await;
        log.wait_for(Event::Init(1, 2)).await;
        until(&rt, || first.is_alive()).await;
        end(&rt, &first, ExitReason::Kill).await;
        assert_eq!(kind(&downs.0.await.reason), "shutdown");
        assert_eq!(kind(&downs.1.await.reason), "shutdown");
        let refused = sup.start_child(child(Setup::new(3, &log))).await;
        assert!(matches!(refused, Err(StartError::NoSupervisor)), "{refused:?}");
    });
}

/// A nested supervisor comes back with its children, and is terminated with them.
#[test]
fn supervisors_as_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let mut tree = Supervisor::one_for_one();
        let worker = tree.child_with(child(Setup::new(1, &log)));
        let nested = sup.start_child(Child::nested("tree", tree)).await.unwrap();
        assert!(worker.is_alive());
        end(&rt, &nested, ExitReason::Kill).await;
        log.wait_for(Event::Init(1, 1)).await;
        until(&rt, || nested.target().is_some() && worker.is_alive()).await;
        assert_eq!(nested.count_children().await.unwrap().active, 1);
        sup.terminate_child(&nested).await.unwrap();
        assert!(!worker.is_alive());
        assert!(matches!(worker.cast(Msg::Exit).unwrap_err().why(), SendFailure::NoProc));
        assert_eq!(sup.count(), 0);
    });
}

/// A child can be ended while it starts; who has asked for it is told.
#[test]
fn a_child_that_is_starting_is_terminated() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let start = rt.spawn_task(sup.start_child(child(Setup::new(1, &log).init_at(&never))));
        log.wait_for(Event::Init(1, 1)).await;
        let pid = sup.which_children().await.unwrap()[0].state.pid().unwrap();
        sup.terminate_child(pid).await.unwrap();
        let error = start.await.unwrap_err();
        assert!(matches!(error, StartError::Exit(ExitReason::Shutdown)), "{error}");
        until(&rt, || sup.count() == 0).await;
        assert!(!log.has(Event::Init(1, 2)));
    });
}

/// What is under way when the supervisor stops is answered.
#[test]
fn a_stop_answers_the_starts() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let spec = DynamicSupervisor::any().serial_starts();
        let sup = spec.start(&rt).await.unwrap();
        let starts: Vec<_> =
            (0..3).map(|id| sup.start_child(child(Setup::new(id, &log).init_at(&never)))).collect();
        log.wait_for(Event::Init(0, 1)).await;
        stop(&rt, &sup).await;
        for start in join_all(starts).await {
            let error = start.unwrap_err();
            assert!(matches!(error, StartError::Exit(ExitReason::Shutdown)), "{error}");
        }
        assert!(!log.has(Event::Init(1, 1)), "one at a time");
    });
}

#[test]
fn serial_starts_go_one_after_the_other() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().serial_starts().start(&rt).await.unwrap();
        let starts = (0..4).map(|id| {
            let setup = Setup::new(id, &log);
            sup.start_child(child(if id == 1 {
                setup.init(|_| async { Err(ExitReason::custom("no")) })
            } else {
                setup
            }))
        });
        let started = join_all(starts.collect::<Vec<_>>()).await;
        assert_eq!(
            started.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true, true]
        );
        let inits = log.all().into_iter().filter(|event| !matches!(event, Event::Dropped(_)));
        let expected = [
            Event::Init(0, 1),
            Event::Started(0),
            Event::Init(1, 1),
            Event::Init(2, 1),
            Event::Started(2),
            Event::Init(3, 1),
            Event::Started(3),
        ];
        assert_eq!(inits.collect::<Vec<_>>(), expected);
    });
}

/// In a stop each child has its own time, and none waits for another.
#[test]
fn each_child_is_stopped_in_its_own_time() {
    simulated(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let hangs = |id| Setup::new(id, &log).terminate(|_| std::future::pending());
        let mut downs = Vec::new();
        for (id, time) in [(1, 100), (2, 300), (3, 300), (4, 200)] {
            let child = Child::new::<Tidy>("child", hangs(id)).shutdown(Shutdown::After(ms(time)));
            downs.push((rt.down(sup.start_child(child).await.unwrap()), time));
        }
        let begun = rt.uptime();
        let stopping = rt.spawn_task({
            let (rt, sup) = (rt.clone(), sup.clone());
            async move { stop(&rt, &sup).await }
        });
        downs.sort_by_key(|(_, time)| *time);
        for (down, time) in downs {
            assert_eq!(kind(&down.await.reason), "killed");
            let took = rt.uptime() - begun;
            assert!(took >= ms(time) && took < ms(time + 20), "{took:?} of {time} ms");
        }
        stopping.await;
    });
}

/// By key under dynamic supervisors in partitions.
#[test]
fn children_of_any_kinds_in_partitions() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::any().partitions(Partitions::exactly(3));
        let sups = spec.start(&rt).await.unwrap();
        assert!(!sups.is_empty());
        for id in 0..6 {
            let child = sups.start_child(&id, child(Setup::new(id, &log))).await.unwrap();
            let parent = child.info().unwrap().parent;
            assert_eq!(parent, sups.partition(&id).target());
        }
        assert_eq!(sups.iter().map(DynamicRef::count).collect::<Vec<_>>(), [2, 2, 2]);
        stop(&rt, &sups).await;
        assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), 6);
    });
}

/// The options of children of one kind are in force, at restarts too.
#[test]
fn child_options_are_in_force() {
    everywhere(|rt| async move {
        let log = Log::new();
        let options = SpawnOptions::new().label("shape").name("only");
        let spec = DynamicSupervisor::<Plain>::new().child_options(options);
        let sup = spec.start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        assert_eq!(child.info().unwrap().label, Some(Name::from("shape")));
        let second = sup.start_child(Setup::new(2, &log)).await;
        assert!(matches!(second, Err(StartError::NameTaken(pid)) if pid == child.pid()));
        told(&rt, &child, Msg::End(ExitReason::custom("crash"))).await;
        until(&rt, || rt.whereis("only").is_some_and(|pid| pid != child.pid())).await;
        let again = rt.info(rt.whereis("only").unwrap()).unwrap();
        assert_eq!((again.label, again.restarts), (Some(Name::from("shape")), 1));
    });
}

/// A function that makes arguments and panics: a failed start, and in restarts as many failed tries as are taken.
#[test]
fn arguments_that_cannot_be_made() {
    expect_panics();
    everywhere(|rt| async move {
        let log = Log::new();
        let made = std::sync::atomic::AtomicUsize::new(0);
        let spec = DynamicSupervisor::<Plain>::new().arguments(move |own| {
            let made = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(made == 1, "{EXPECTED}");
            own
        });
        let sup = spec.start(&rt).await.unwrap();
        let failed = sup.start_child(Setup::new(1, &log)).await;
        assert!(matches!(failed, Err(StartError::Exit(ExitReason::Panic(_)))), "{failed:?}");
        assert_eq!(sup.count(), 0);
        let child = sup.start_child(Setup::new(2, &log)).await.unwrap();
        let down = rt.down(&sup);
        told(&rt, &child, Msg::End(ExitReason::custom("crash"))).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// Who is no child is not found, and a supervisor that has ended says so.
#[test]
fn requests_that_cannot_be_met() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let child = sup.start_child(child(Setup::new(1, &log))).await.unwrap();
        let stranger = rt.start::<Plain>(Setup::new(2, &log)).await.unwrap();
        for _ in 0..2 {
            let answer = sup.terminate_child(&stranger).await;
            assert!(matches!(answer, Err(ChildError::NotFound)), "{answer:?}");
        }
        assert!(matches!(sup.get_childspec(&stranger).await, Err(ChildError::NotFound)));
        let pid = child.target().unwrap();
        sup.terminate_child(pid).await.unwrap();
        assert!(matches!(sup.terminate_child(pid).await, Err(ChildError::NotFound)));
        stop(&rt, &sup).await;
        assert!(matches!(sup.count_children().await, Err(ChildError::NoSupervisor)));
        assert!(matches!(sup.set_max_children(1).await, Err(ChildError::NoSupervisor)));
    });
}

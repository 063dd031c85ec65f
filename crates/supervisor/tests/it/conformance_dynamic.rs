//! The rules of OTP's and Elixir's dynamic supervisors on starts and restarts, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{
    Actor, Context, ExitReason, Handle, Pid, Reply, SpawnOptions, StartError, Target,
};
use whitebeam_supervisor::{
    ChildId, ChildKind, ChildState, DynamicRef, DynamicSupervisor, Partitions, Restart, SpecError,
};

use crate::support::{
    EXPECTED, Event, Gate, Log, Msg, Plain, Setup, end, everywhere, expect_panics, kind, simulated,
    stop, told, until,
};

/// The one child of a supervisor, whichever incarnation it is.
fn only_child<A: Actor>(rt: &Handle, sup: &DynamicRef<A>) -> Option<Pid> {
    let parent = sup.target();
    rt.processes().into_iter().find(|info| info.parent == parent).map(|info| info.pid)
}

/// Unless said, 3 restarts in 5 s and no limit to the number of children.
#[test]
fn dyn_004_defaults() {
    simulated(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let many = sup.start_children((2..102).map(|id| Setup::new(id, &log))).await;
        assert!(many.iter().all(Result::is_ok));
        let down = rt.down(&sup);
        let mut child = sup.start_child(Setup::new(1, &log)).await.unwrap().pid();
        for attempt in 2..=4 {
            let others: Vec<Pid> = rt.processes().iter().map(|info| info.pid).collect();
            end(&rt, child, ExitReason::Kill).await;
            log.wait_for(Event::Init(1, attempt)).await;
            let new = rt.processes().into_iter().find(|info| !others.contains(&info.pid));
            child = new.unwrap().pid;
        }
        assert!(rt.is_alive(&sup));
        end(&rt, child, ExitReason::Kill).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// A bad setting is an error that names it, before anything is started.
#[test]
fn dyn_005_bad_settings() {
    everywhere(|rt| async move {
        let spec = DynamicSupervisor::<Plain>::new().intensity(1, Duration::ZERO);
        match spec.start(&rt).await {
            Err(StartError::Invalid(error)) => {
                assert_eq!(error.downcast_ref(), Some(&SpecError::ZeroPeriod));
                assert!(error.to_string().contains("period"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(rt.processes().len(), 0);
    });
}

/// Starts a named supervisor linked to itself.
struct Starter {
    sup: DynamicRef<Plain>,
}

impl Actor for Starter {
    type Args = ();
    type Msg = Reply<DynamicRef<Plain>>;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let options = SpawnOptions::new().name("linked");
        let sup = DynamicSupervisor::<Plain>::new().options(options).start_link(cx).await?;
        Ok(Starter { sup })
    }

    async fn handle(
        &mut self,
        reply: Self::Msg,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        reply.send(self.sup.clone());
        Ok(())
    }
}

/// A supervisor that is started linked and with a name is linked to its starter, found by the name, and can be
/// stopped.
#[test]
fn dyn_006_linked_with_a_name() {
    everywhere(|rt| async move {
        let starter = rt.start::<Starter>(()).await.unwrap();
        let sup = starter.call(|reply| reply).await.unwrap();
        assert_eq!(rt.whereis("linked"), sup.target());
        assert_eq!(sup.info().unwrap().parent, Some(starter.pid()));
        let pid = sup.target().unwrap();
        // The link works both ways: the supervisor's end, and with it the starter's.
        let down = rt.down(&starter);
        assert_eq!(kind(&end(&rt, pid, ExitReason::Kill).await), "killed");
        assert_eq!(kind(&down.await.reason), "killed");
        assert_eq!(rt.whereis("linked"), None);

        let starter = rt.start::<Starter>(()).await.unwrap();
        let down = rt.down(rt.whereis("linked").unwrap());
        end(&rt, &starter, ExitReason::Shutdown).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// Spawn options of the supervisor are in force.
#[test]
fn dyn_007_spawn_options() {
    everywhere(|rt| async move {
        let options = SpawnOptions::new().name("options");
        let spec = DynamicSupervisor::<Plain>::new().options(options.clone());
        let sup = spec.start(&rt).await.unwrap();
        assert_eq!(rt.whereis("options"), sup.target());
        let spec = DynamicSupervisor::<Plain>::new().options(options.name("tiers"));
        let tiers = spec.partitions(Partitions::exactly(2)).start(&rt).await.unwrap();
        assert_eq!(rt.whereis("tiers"), tiers.target());
    });
}

/// A start answers with the child, or with `Ignore` or the error of its `init`, and then keeps nothing.
#[test]
fn dyn_014_answers_of_a_start() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        assert_eq!(child.call(Msg::Who).await.unwrap().0, 1);
        let ignored = Setup::new(2, &log).init(|_| async { Err(ExitReason::Ignore) });
        assert!(matches!(sup.start_child(ignored).await, Err(StartError::Ignore)));
        let found = Setup::new(3, &log).init(|_| async { Err(ExitReason::custom("found")) });
        match sup.start_child(found).await {
            Err(StartError::Exit(reason)) => assert_eq!(reason.downcast_ref(), Some(&"found")),
            other => panic!("{other:?}"),
        }
        sup.terminate_child(&child).await.unwrap();
        assert_eq!(sup.count(), 0);
        assert!(only_child(&rt, &sup).is_none());
    });
}

/// With a limit of zero no child can be started.
#[test]
fn dyn_015_max_children_zero() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().max_children(0).start(&rt).await.unwrap();
        let error = sup.start_child(Setup::new(1, &log)).await.unwrap_err();
        assert!(matches!(error, StartError::MaxChildren));
        assert!(error.to_string().contains("max_children"));
        assert!(log.all().is_empty());
    });
}

/// Ends a child with a reason. It comes back as a new process, or is dropped.
async fn ends(rt: &Handle, restart: Restart, reason: ExitReason, comes_back: bool) {
    let log = Log::new();
    let sup = DynamicSupervisor::<Plain>::new().restart(restart).start(rt).await.unwrap();
    let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
    told(rt, &child, Msg::End(reason)).await;
    if comes_back {
        log.wait_for(Event::Init(1, 2)).await;
        assert_ne!(only_child(rt, &sup), Some(child.pid()));
        assert_eq!(sup.count(), 1);
    } else {
        until(rt, || sup.count() == 0).await;
        assert_eq!(only_child(rt, &sup), None);
        let counts = sup.count_children().await.unwrap();
        assert_eq!((counts.workers, counts.active), (0, 0));
        assert_eq!(sup.which_children().await.unwrap(), []);
    }
    stop(rt, &sup).await;
    assert_eq!(log.has(Event::Init(1, 2)), comes_back);
}

/// A temporary child is never restarted.
#[test]
fn dyn_016_temporary() {
    everywhere(|rt| async move {
        for reason in [ExitReason::Shutdown, ExitReason::custom("whatever")] {
            ends(&rt, Restart::Temporary, reason, false).await;
        }
    });
}

/// A transient child is restarted unless it ended in order.
#[test]
fn dyn_017_transient() {
    everywhere(|rt| async move {
        ends(&rt, Restart::Transient, ExitReason::Shutdown, false).await;
        ends(&rt, Restart::Transient, ExitReason::shutdown_with("term"), false).await;
        ends(&rt, Restart::Transient, ExitReason::Normal, false).await;
        ends(&rt, Restart::Transient, ExitReason::custom("whatever"), true).await;
    });
}

/// A permanent child is restarted whatever it ended with.
#[test]
fn dyn_018_permanent() {
    everywhere(|rt| async move {
        ends(&rt, Restart::Permanent, ExitReason::Shutdown, true).await;
        ends(&rt, Restart::Permanent, ExitReason::shutdown_with("term"), true).await;
        ends(&rt, Restart::Permanent, ExitReason::Normal, true).await;
        ends(&rt, Restart::Permanent, ExitReason::custom("whatever"), true).await;
    });
}

/// A restarted child is a new process of the same kind, and listed as such.
#[test]
fn dyn_019_restarted_as_a_new_process() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let before = child.info().unwrap();
        end(&rt, &child, ExitReason::Kill).await;
        log.wait_for(Event::Init(1, 2)).await;
        let after = rt.info(only_child(&rt, &sup).unwrap()).unwrap();
        assert_ne!(after.pid, before.pid);
        assert_eq!((after.actor, after.parent), (before.actor, before.parent));
        log.wait(2, |event| event == Event::Started(1)).await;
        // It may still be said to start for a moment.
        loop {
            let list = sup.which_children().await.unwrap();
            if list[0].state != ChildState::Restarting {
                assert_eq!((list.len(), list[0].state), (1, ChildState::Running(after.pid)));
                assert_eq!((&list[0].id, list[0].kind), (&ChildId::UNDEFINED, ChildKind::Worker));
                break assert_eq!(list[0].actor, after.actor);
            }
        }
    });
}

/// A child whose restart fails, with an error or a panic, is kept while it is tried again: it is listed as restarting, and
/// counted as a worker that is not active.
#[test]
fn dyn_020_a_failing_restart_keeps_the_child() {
    expect_panics();
    everywhere(|rt| async move {
        for panics in [false, true] {
            failing_restart(&rt, panics).await;
        }
    });
}

async fn failing_restart(rt: &Handle, panics: bool) {
    let (log, gate) = (Log::new(), Gate::new());
    let sup = DynamicSupervisor::<Plain>::new().start(rt).await.unwrap();
    let opened = gate.clone();
    let setup = Setup::new(1, &log).init(move |info| {
        let gate = opened.clone();
        async move {
            match info.attempt {
                2 if panics => panic!("{EXPECTED}"),
                2 => return Err(ExitReason::custom("no")),
                3 => gate.passed().await,
                _ => {}
            }
            Ok(())
        }
    });
    let child = sup.start_child(setup).await.unwrap();
    end(rt, &child, ExitReason::Kill).await;
    log.wait_for(Event::Init(1, 3)).await;
    let list = sup.which_children().await.unwrap();
    assert_eq!((list.len(), list[0].state), (1, ChildState::Restarting));
    let counts = sup.count_children().await.unwrap();
    assert_eq!((counts.specs, counts.workers, counts.active), (1, 1, 0));
    assert_eq!(sup.count(), 1);
    gate.open();
    log.wait(2, |event| event == Event::Started(1)).await;
    while sup.count_children().await.unwrap().active == 0 {}
    assert_eq!(sup.count(), 1);
}

/// A restarted child counts in `max_children`.
#[test]
fn dyn_021_a_restarted_child_counts() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().max_children(1).start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        end(&rt, &child, ExitReason::Kill).await;
        log.wait_for(Event::Init(1, 2)).await;
        let error = sup.start_child(Setup::new(2, &log)).await.unwrap_err();
        assert!(matches!(error, StartError::MaxChildren));
    });
}

/// A restart that fails is tried again.
#[test]
fn dyn_023_a_second_try_works() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::<Plain>::new().intensity(2, Duration::from_secs(5));
        let sup = spec.start(&rt).await.unwrap();
        let setup = Setup::new(1, &log).init(|info| async move {
            if info.attempt == 2 { Err(ExitReason::custom("once")) } else { Ok(()) }
        });
        let child = sup.start_child(setup).await.unwrap();
        end(&rt, &child, ExitReason::Kill).await;
        log.wait(2, |event| event == Event::Started(1)).await;
        assert_eq!(log.count(|event| matches!(event, Event::Init(1, 2 | 3))), 2);
        assert_eq!(sup.count(), 1);
    });
}

/// Restarts that go on failing end the supervisor after as many as it takes.
async fn fails_for_ever(rt: Handle, restarts: u32) {
    let log = Log::new();
    let spec = DynamicSupervisor::<Plain>::new().intensity(restarts, Duration::from_secs(1000));
    let sup = spec.start(&rt).await.unwrap();
    let setup = Setup::new(1, &log).init(|info| async move {
        if info.attempt == 1 { Ok(()) } else { Err(ExitReason::custom("no")) }
    });
    let child = sup.start_child(setup).await.unwrap();
    let down = rt.down(&sup);
    end(&rt, &child, ExitReason::Kill).await;
    assert_eq!(kind(&down.await.reason), "shutdown");
    let tries = log.count(|event| matches!(event, Event::Init(1, 2..)));
    assert_eq!(tries, restarts as usize);
}

/// One restart that fails is one too many where one is taken.
#[test]
fn dyn_024_maximum_restarts() {
    everywhere(|rt| fails_for_ever(rt, 1));
}

/// Ten restarts that fail, and the supervisor ends.
#[test]
fn dyn_025_maximum_intensity_when_trying_again() {
    everywhere(|rt| fails_for_ever(rt, 10));
}

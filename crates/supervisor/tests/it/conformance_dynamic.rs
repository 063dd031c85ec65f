//! The rules of OTP's and Elixir's dynamic supervisors, by the ids of `docs/conformance.md`.

use std::time::Duration;

use futures_util::future::join_all;
use whitebeam_actor::{
    Actor, Context, ExitReason, Handle, Pid, Reply, SpawnOptions, StartError, Target,
};
use whitebeam_supervisor::{
    ChildError, DynamicRef, DynamicSupervisor, Partitions, Restart, Shutdown, SpecError,
};

use crate::support::{
    Event, Gate, Log, Msg, Plain, Setup, Tidy, end, everywhere, kind, simulated, stop, threaded,
    told, until,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

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

/// A restarted child is a new process of the same kind.
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
    });
}

/// A child whose restart fails is kept, and counted, while it is tried again.
#[test]
fn dyn_020_a_failing_restart_keeps_the_child() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let opened = gate.clone();
        let setup = Setup::new(1, &log).init(move |info| {
            let gate = opened.clone();
            async move {
                match info.attempt {
                    2 => Err(ExitReason::custom("no")),
                    3 => {
                        gate.passed().await;
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
        });
        let child = sup.start_child(setup).await.unwrap();
        end(&rt, &child, ExitReason::Kill).await;
        log.wait_for(Event::Init(1, 3)).await;
        assert_eq!(sup.count(), 1);
        gate.open();
        log.wait(2, |event| event == Event::Started(1)).await;
        assert_eq!(sup.count(), 1);
    });
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

/// Shutdown times of zero and of a millisecond are fine.
#[test]
fn dyn_026_short_shutdown_times() {
    everywhere(|rt| async move {
        for time in [Duration::ZERO, ms(1)] {
            let log = Log::new();
            let spec = DynamicSupervisor::<Plain>::temporary().shutdown(Shutdown::After(time));
            let sup = spec.start(&rt).await.unwrap();
            let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
            assert_eq!(kind(&end(&rt, &child, ExitReason::custom("outside")).await), "custom");
            stop(&rt, &sup).await;
        }
    });
}

/// Starts three children, stops the supervisor, and says with what each child ended.
async fn ends_of_three(
    rt: &Handle,
    spec: DynamicSupervisor<Tidy>,
    setup: impl Fn(Setup) -> Setup,
) -> Vec<&'static str> {
    let log = Log::new();
    let sup = spec.start(rt).await.unwrap();
    let mut ends = Vec::new();
    for id in 0..3 {
        let child = sup.start_child(setup(Setup::new(id, &log))).await.unwrap();
        ends.push(rt.down(&child));
    }
    stop(rt, &sup).await;
    assert_eq!(
        log.count(|event| matches!(event, Event::Init(..))),
        3,
        "none is restarted meanwhile"
    );
    join_all(ends).await.into_iter().map(|down| kind(&down.reason)).collect()
}

/// Brutally killed children end with `Killed`.
#[test]
fn dyn_027_brutal_kill() {
    everywhere(|rt| async move {
        let spec = DynamicSupervisor::new().shutdown(Shutdown::BrutalKill);
        assert_eq!(ends_of_three(&rt, spec, |setup| setup).await, ["killed"; 3]);
    });
}

/// Children with all the time there is end with `Shutdown`.
#[test]
fn dyn_028_infinity() {
    everywhere(|rt| async move {
        let spec = DynamicSupervisor::new().shutdown(Shutdown::Infinity);
        assert_eq!(ends_of_three(&rt, spec, |setup| setup).await, ["shutdown"; 3]);
    });
}

/// Children with a second end with `Shutdown`.
#[test]
fn dyn_029_time() {
    everywhere(|rt| async move {
        let spec = DynamicSupervisor::new().shutdown(Shutdown::After(ms(1000)));
        assert_eq!(ends_of_three(&rt, spec, |setup| setup).await, ["shutdown"; 3]);
    });
}

/// Children that end on their own while they are told to are not restarted, whatever their reason.
#[test]
fn dyn_030_time_and_another_reason() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::<Tidy>::new().shutdown(Shutdown::After(ms(1000)));
        let sup = spec.start(&rt).await.unwrap();
        let mut ends = Vec::new();
        let gate = Gate::new();
        for id in 0..3 {
            let child = sup.start_child(Setup::new(id, &log).traps()).await.unwrap();
            ends.push(rt.down(&child));
            // In a handler, which a trapping process finishes before it shuts down: its own reason wins.
            let opened = gate.clone();
            child.cast(Msg::WaitAndEnd(opened, ExitReason::custom("own"))).unwrap();
            log.wait_for(Event::Waiting(id)).await;
        }
        let down = rt.down(&sup);
        rt.exit(&sup, ExitReason::Shutdown);
        gate.open();
        assert_eq!(kind(&down.await.reason), "shutdown");
        for end in join_all(ends).await {
            // Its handler may have failed before the signal was read, or after.
            assert!(matches!(kind(&end.reason), "custom" | "shutdown"));
        }
        assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), 3);
    });
}

/// Only the child that overstays its time is killed.
#[test]
fn dyn_031_expired_time() {
    everywhere(|rt| async move {
        let never = Gate::new();
        let spec = DynamicSupervisor::new().shutdown(Shutdown::After(ms(100)));
        let ends = ends_of_three(&rt, spec, |setup| {
            let never = never.clone();
            if setup.id == 1 {
                setup.traps().terminate(move |_| never.clone().passed())
            } else {
                setup
            }
        });
        assert_eq!(ends.await, ["shutdown", "killed", "shutdown"]);
    });
}

/// Permanent children that end with `Normal` meanwhile are not restarted.
#[test]
fn dyn_032_no_restart_during_the_stop() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Tidy>::new().shutdown(Shutdown::Infinity);
        let sup = sup.start(&rt).await.unwrap();
        for id in 0..3 {
            let child = sup.start_child(Setup::new(id, &log).traps()).await.unwrap();
            child.cast(Msg::WaitAndEnd(gate.clone(), ExitReason::Normal)).unwrap();
            log.wait_for(Event::Waiting(id)).await;
        }
        let down = rt.down(&sup);
        rt.exit(&sup, ExitReason::Shutdown);
        gate.open();
        assert!(matches!(kind(&down.await.reason), "shutdown"));
        let inits = log.count(|event| matches!(event, Event::Init(..)));
        let dropped = log.count(|event| matches!(event, Event::Dropped(_)));
        // A child may have ended before the supervisor read the signal, and was then restarted.
        assert_eq!(inits, dropped);
    });
}

/// A terminated child has ended, and is unknown then. It is killed if that is its way.
#[test]
fn dyn_034_terminate_by_a_brutal_kill() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().shutdown(Shutdown::BrutalKill);
        let sup = sup.start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let down = rt.down(&child);
        sup.terminate_child(&child).await.unwrap();
        assert!(!child.is_alive());
        assert_eq!(kind(&down.await.reason), "killed");
        assert!(matches!(sup.terminate_child(&child).await, Err(ChildError::NotFound)));
        assert_eq!(sup.count(), 0);
    });
}

/// As before, with a time.
#[test]
fn dyn_035_terminate_with_a_time() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().shutdown(Shutdown::After(ms(1000)));
        let sup = sup.start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let down = rt.down(&child);
        sup.terminate_child(&child).await.unwrap();
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert!(matches!(sup.terminate_child(&child).await, Err(ChildError::NotFound)));
        assert_eq!(sup.count(), 0);
    });
}

/// Five starts with an `init` of 100 ms each take about 100 ms, and 500 ms where starts are serial.
#[test]
fn dyn_036_slow_starts() {
    everywhere(|rt| async move {
        for (serial, least, most) in [(false, ms(100), ms(400)), (true, ms(500), ms(2000))] {
            let log = Log::new();
            let spec = DynamicSupervisor::<Plain>::temporary();
            let spec = if serial { spec.serial_starts() } else { spec };
            let sup = spec.start(&rt).await.unwrap();
            let before = rt.uptime();
            let starts = (0..5).map(|id| {
                let rt = rt.clone();
                sup.start_child(Setup::new(id, &log).init(move |_| {
                    let sleep = rt.sleep(ms(100));
                    async {
                        sleep.await;
                        Ok(())
                    }
                }))
            });
            assert!(join_all(starts).await.iter().all(Result::is_ok));
            let took = rt.uptime() - before;
            assert!(took >= least && took < most, "{took:?} with serial starts {serial}");
        }
    });
}

/// The stop of very many idle children takes a time that grows as their number does.
#[test]
fn dyn_037_very_many_children() {
    threaded(|rt| async move {
        let mut per_child = Vec::new();
        for children in [5_000_u32, 50_000] {
            let sup = DynamicSupervisor::<Nothing>::temporary().start(&rt).await.unwrap();
            let started = sup.start_children((0..children).map(|_| ())).await;
            assert!(started.iter().all(Result::is_ok));
            let before = rt.uptime();
            stop(&rt, &sup).await;
            let took = rt.uptime() - before;
            assert!(started.iter().flatten().all(|child| !child.is_alive()));
            assert!(took < Duration::from_secs(2), "{children} children took {took:?}");
            per_child.push(took.as_secs_f64() / f64::from(children));
        }
        // What is quadratic takes ten times as long for each. Short times vary by more than this a lot.
        assert!(per_child[1] < per_child[0] * 8.0 + 2e-6, "{per_child:?} s per child");
    });
}

/// The least a child can be.
struct Nothing;

impl Actor for Nothing {
    type Args = ();
    type Msg = ();
    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Nothing)
    }
    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

/// A child that ends at the moment its supervisor stops hangs nothing: 1,000 rounds.
#[test]
fn dyn_038_an_end_races_the_stop() {
    let round = |rt: Handle, rounds: usize| async move {
        for round in 0..rounds {
            let log = Log::new();
            let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
            let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
            let down = rt.down(&sup);
            if round % 2 == 0 {
                child.cast(Msg::End(ExitReason::Normal)).unwrap();
                rt.exit(&sup, ExitReason::Shutdown);
            } else {
                rt.exit(&sup, ExitReason::Shutdown);
                let _ = child.cast(Msg::End(ExitReason::Normal));
            }
            assert_eq!(kind(&down.await.reason), "shutdown");
            let started = log.count(|event| matches!(event, Event::Started(_)));
            assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), started);
        }
    };
    threaded(|rt| round(rt, 1000));
    simulated(|rt| round(rt, 125));
}

/// Fifty supervisors under one stop side by side.
#[test]
fn dyn_039_supervisors_stop_in_parallel() {
    simulated(|rt| async move {
        let time_to_stop = async |partitions: usize| {
            let log = Log::new();
            let spec = DynamicSupervisor::<Tidy>::temporary();
            let sups = spec.partitions(Partitions::exactly(partitions)).start(&rt).await.unwrap();
            for key in 0..partitions as u64 * 4 {
                let handle = rt.clone();
                let setup = Setup::new(key, &log).terminate(move |_| handle.sleep(ms(500)));
                sups.start_child(&key, setup).await.unwrap();
            }
            let before = rt.uptime();
            stop(&rt, &sups).await;
            rt.uptime() - before
        };
        let (one, fifty) = (time_to_stop(1).await, time_to_stop(50).await);
        assert!(one >= ms(500) && fifty < one + ms(100), "{one:?} and {fifty:?}");
    });
}

/// The number of partitions: as given, else by the formula.
#[test]
fn dyn_040_number_of_partitions() {
    threaded(|rt| async move {
        let spec = DynamicSupervisor::<Plain>::temporary();
        let workers = rt.workers();
        for (partitions, expected) in [
            (Partitions::exactly(3), 3),
            (Partitions::per_worker(), workers),
            (Partitions::for_children(0), workers),
            (Partitions::for_children(200_000), 50),
            (Partitions::for_children(500_000), 125),
        ] {
            let sups = spec.clone().partitions(partitions).start(&rt).await.unwrap();
            assert_eq!(sups.len(), expected);
            stop(&rt, &sups).await;
        }
    });
}

/// If one partition of the lower tier does not start, the others are stopped and nothing is left.
#[test]
fn dyn_041_a_partition_fails_to_start() {
    everywhere(|rt| async move {
        let log = Log::new();
        let noted = log.clone();
        let tree =
            whitebeam_supervisor::PartitionSupervisor::new(Partitions::exactly(10), move |index| {
                let log = noted.clone();
                let inner = whitebeam_supervisor::PartitionSupervisor::new(
                    Partitions::exactly(2),
                    move |part| {
                        let setup = Setup::new((index * 2 + part) as u64, &log);
                        let setup = if (index, part) == (7, 1) {
                            setup.init(|_| async { Err(ExitReason::custom("no")) })
                        } else {
                            setup
                        };
                        whitebeam_supervisor::Child::new::<Tidy>("leaf", setup)
                    },
                );
                whitebeam_supervisor::Child::nested("tier", inner)
            });
        let error = tree.start(&rt).await.unwrap_err().to_string();
        assert!(
            error.contains("partition 7 (`tier`)") && error.contains("partition 1 (`leaf`)"),
            "{error}"
        );
        assert_eq!(rt.processes().len(), 0);
        let started = log.count(|event| matches!(event, Event::Started(_)));
        assert_eq!(log.count(|event| matches!(event, Event::Terminate(_))), started);
    });
}

/// A key leads to the same partition from everywhere.
#[test]
fn dyn_042_placement_by_key() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::<Plain>::temporary().partitions(Partitions::exactly(11));
        let sups = spec.start(&rt).await.unwrap();
        let keys: Vec<String> = (0..30).map(|n| format!("handle-{n}")).collect();
        let here: Vec<_> = keys.iter().map(|key| sups.partition(key).target()).collect();
        for _ in 0..4 {
            let (sups, keys) = (sups.clone(), keys.clone());
            let there = rt.spawn_task(async move {
                keys.iter().map(|key| sups.partition(key).target()).collect::<Vec<_>>()
            });
            assert_eq!(there.await, here);
        }
        for (key, partition) in keys.iter().zip(&here) {
            let child = sups.start_child(key, Setup::new(1, &log)).await.unwrap();
            assert_eq!(child.info().unwrap().parent, *partition);
        }
        // As in every other run: `route` has the values that are fixed.
        assert_eq!(
            sups.partition("handle-0").target(),
            sups.iter().nth(PLACE_OF_HANDLE_0).unwrap().target()
        );
    });
}

/// `SipHash-1-3("handle-0" and the byte 255 that ends a string) mod 11`.
const PLACE_OF_HANDLE_0: usize = 7;

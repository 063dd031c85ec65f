//! The rules of OTP's and Elixir's dynamic supervisors on stops, slow starts and partitions, by the ids of
//! `docs/conformance.md`.

use std::time::Duration;

use futures_util::future::join_all;
use whitebeam_actor::{Actor, Context, ExitReason, Handle, Target};
use whitebeam_supervisor::{
    Child, ChildError, DynamicSupervisor, PartitionSupervisor, Partitions, Shutdown,
};

use crate::support::{
    EXPECTED, Event, Gate, Log, Msg, Plain, Setup, Tidy, end, everywhere, expect_panics, kind,
    simulated, stop, threaded,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
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

/// Children that end with a reason of their own when they are told to are not restarted.
#[test]
fn dyn_030_time_and_another_reason() {
    expect_panics();
    everywhere(|rt| async move {
        let spec = DynamicSupervisor::new().shutdown(Shutdown::After(ms(1000)));
        let ends = ends_of_three(&rt, spec, |setup| {
            setup.traps().terminate(|_| async { panic!("{EXPECTED}") })
        });
        assert_eq!(ends.await, ["panic"; 3]);
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

/// Permanent children whose handlers end with `Normal` when they were told to end are not restarted.
#[test]
fn dyn_032_no_restart_during_the_stop() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let spec = DynamicSupervisor::<Tidy>::new().shutdown(Shutdown::Infinity);
        let sup = spec.start(&rt).await.unwrap();
        let mut ends = Vec::new();
        for id in 0..3 {
            let child = sup.start_child(Setup::new(id, &log).traps()).await.unwrap();
            child.cast(Msg::WaitAndEnd(gate.clone(), ExitReason::Normal)).unwrap();
            log.wait_for(Event::Waiting(id)).await;
            ends.push(rt.down(child));
        }
        // Told last of all, it lets the others go on.
        let last = Setup::new(3, &log).terminate(move |_| {
            gate.open();
            async {}
        });
        sup.start_child(last).await.unwrap();
        stop(&rt, &sup).await;
        for end in join_all(ends).await {
            assert_eq!(kind(&end.reason), "shutdown", "the first reason counts");
        }
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), 4);
        assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), 4);
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
        let counts = sup.count_children().await.unwrap();
        assert_eq!((counts.workers, counts.supervisors, counts.active), (0, 0, 0));
        assert_eq!(sup.which_children().await.unwrap(), []);
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
        let tree = PartitionSupervisor::new(Partitions::exactly(10), move |index| {
            let log = noted.clone();
            let inner = PartitionSupervisor::new(Partitions::exactly(2), move |part| {
                let setup = Setup::new((index * 2 + part) as u64, &log);
                let setup = if (index, part) == (7, 1) {
                    setup.init(|_| async { Err(ExitReason::custom("no")) })
                } else {
                    setup
                };
                Child::new::<Tidy>("leaf", setup)
            });
            Child::nested("tier", inner)
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

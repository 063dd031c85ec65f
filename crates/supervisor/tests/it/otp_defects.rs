//! What OTP and Elixir are known to do badly when much is stopped or restarted, and what is done here.
//!
//! | there | here |
//! | --- | --- |
//! | a supervisor that is killed leaves what is below it: it traps exits, and links from above say `killed` to its children only | all below end, each told to shut down in order |
//! | partitions are stopped one after the other | side by side |
//! | a supervisor that stops n children looks through its mailbox for each end: n times n | n |
//! | each restart goes through all restarts that are remembered | each is put in and taken out once |

use std::{future::Future, time::Duration};

use whitebeam_actor::{ExitReason, Pid, Runtime, Target};
use whitebeam_supervisor::{
    Child, DynamicSupervisor, PartitionSupervisor, Partitions, Shutdown, Supervisor,
};

use crate::{
    support::{
        Do, Event, Idle, Job, Log, Manner, Setup, Tidy, everywhere, kind, simulated, stop, until,
    },
    tree,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Three levels below the one that is killed: all end, and have terminated in order.
#[test]
fn a_killed_supervisor_leaves_no_process_below_it() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut low = Supervisor::one_for_one();
        let deep = low.child_with(tree::tidy(1, &log));
        let pool = DynamicSupervisor::<Tidy>::temporary().partitions(Partitions::exactly(2));
        let mut middle = Supervisor::one_for_one();
        middle.nest("low", low);
        let pool = middle.nest("pool", pool);
        let side = middle.child_with(tree::tidy(2, &log));
        let mut root = Supervisor::one_for_one();
        let middle = root.nest("middle", middle);
        let other = root.child_with(tree::tidy(3, &log));
        let root = root.intensity(0, ms(1)).start(&rt).await.unwrap();
        let mut below = vec![rt.down(&deep), rt.down(&side)];
        for id in 10..30 {
            let child = pool.start_child(&id, Setup::new(id, &log)).await.unwrap();
            below.push(rt.down(&child));
        }
        // The supervisor above gives up, so that nothing of it is started again.
        let (down, above) = (rt.down(&middle), rt.down(&root));
        let last = rt.down(&other);
        rt.exit(&middle, ExitReason::Kill);
        assert_eq!(kind(&down.await.reason), "killed");
        assert_eq!(kind(&above.await.reason), "shutdown");
        assert_eq!(kind(&last.await.reason), "shutdown");
        for down in below {
            assert_eq!(kind(&down.await.reason), "shutdown");
        }
        until(&rt, || rt.processes().is_empty()).await;
        assert_eq!(log.count(|event| matches!(event, Event::Terminate(_))), 23);
    });
}

/// As above, by the supervisor's own supervisor, whose patience is too short; and brutally.
#[test]
fn a_supervisor_that_has_too_little_time_leaves_no_process_below_it() {
    everywhere(|rt| async move {
        for shutdown in [Shutdown::After(ms(20)), Shutdown::BrutalKill] {
            let log = Log::new();
            let mut low = Supervisor::one_for_one();
            let quick = low.child_with(tree::tidy(1, &log));
            let sleeper = rt.clone();
            let slow = Setup::new(2, &log).terminate(move |_| {
                let rt = sleeper.clone();
                async move { rt.sleep(ms(100)).await }
            });
            let slow = low.child_with(Child::new::<Tidy>(2, slow));
            let mut root = Supervisor::one_for_one();
            let low = root.child_with(Child::nested("low", low).shutdown(shutdown));
            let root = root.start(&rt).await.unwrap();
            let (low, downs) = (rt.down(&low), [rt.down(&quick), rt.down(&slow)]);
            stop(&rt, &root).await;
            assert_eq!(kind(&low.await.reason), "killed");
            for down in downs {
                assert_eq!(kind(&down.await.reason), "shutdown");
            }
            until(&rt, || rt.processes().is_empty()).await;
        }
    });
}

/// Each of eight partitions, and each of the supervisors in as many, needs a second: so does the whole.
#[test]
fn partitions_are_stopped_side_by_side() {
    simulated(|rt| async move {
        let second = Duration::from_secs(1);
        let manner = Manner { terminates_in: Some(second), ..Manner::default() };
        let flat = PartitionSupervisor::new(Partitions::exactly(8), move |index| {
            Child::new::<Job>(index, manner)
        });
        let flat = flat.start(&rt).await.unwrap();
        let tiers = DynamicSupervisor::<Job>::temporary().partitions(Partitions::exactly(8));
        let tiers = tiers.start(&rt).await.unwrap();
        for key in 0..32 {
            tiers.start_child(&key, manner).await.unwrap();
        }
        let took = async |supervisor: Pid| {
            let begun = rt.uptime();
            stop(&rt, supervisor).await;
            rt.uptime() - begun
        };
        assert_eq!(took(flat.target().unwrap()).await, second);
        assert_eq!(took(tiers.target().unwrap()).await, second);
    });
}

/// Turns that a runtime runs while `work` goes on.
fn turns<T>(rt: &Runtime, work: impl Future<Output = T>) -> (T, u64) {
    let count = || rt.steps(|steps| steps.count());
    let before = count();
    let done = rt.block_on(work);
    (done, count() - before)
}

/// Turns that the stop of a supervisor with so many children comes to.
fn stop_of(rt: &Runtime, supervisor: Pid, children: usize) -> u64 {
    let (report, turns) = turns(rt, async {
        let report = rt.stop_report(supervisor);
        stop(rt, supervisor).await;
        report.await.unwrap()
    });
    assert_eq!(report.children.clean, children);
    turns
}

/// Four times the children take four times the turns, whether they end inline or by themselves.
#[test]
fn a_flat_stop_is_linear() {
    for seed in 0..4 {
        let (mut inline, mut own) = (Vec::new(), Vec::new());
        for children in [250, 1_000] {
            let rt = Runtime::simulated(seed).unwrap();
            let idle = rt.block_on(async {
                let idle = DynamicSupervisor::<Idle>::temporary().start(&rt).await.unwrap();
                for started in idle.start_children((0..children).map(|_| ())).await {
                    started.unwrap();
                }
                idle
            });
            inline.push(stop_of(&rt, idle.target().unwrap(), children));
            let jobs = rt.block_on(async {
                let jobs = DynamicSupervisor::<Job>::temporary().start(&rt).await.unwrap();
                let manners = (0..children).map(|_| Manner::default());
                for started in jobs.start_children(manners).await {
                    started.unwrap();
                }
                jobs
            });
            own.push(stop_of(&rt, jobs.target().unwrap(), children));
        }
        // One for each that runs its `terminate`, and one of the supervisor's, at most, for its end.
        assert!(own[0] >= 250 && own[1] >= 1_000 && own[1] <= 2 * 1_000 + 50, "{own:?}");
        assert!(own[1] <= 5 * own[0], "{own:?}");
        // An idle child ends where it is told: a turn of the supervisor's for each 256 of them.
        assert!((1..=20).contains(&inline[1]), "{inline:?}");
    }
}

/// A restart is the same work when thousands are remembered as when there was none before. What of that is not seen
/// in turns is held by the unit tests of the history of restarts.
#[test]
fn a_restart_costs_the_same_whatever_is_remembered() {
    for seed in 0..4 {
        let rt = Runtime::simulated(seed).unwrap();
        let hour = Duration::from_secs(3_600);
        let mut tree = Supervisor::one_for_one().intensity(1_000_000, hour);
        let child = tree.child_with(Child::new::<Job>("job", Manner::default()));
        let root = rt.block_on(tree.start(&rt)).unwrap();
        let restarts = async || {
            for _ in 0..200 {
                let down = rt.down(&child);
                child.cast(Do::Fail).unwrap();
                down.await;
                while !child.is_alive() {
                    rt.sleep(ms(1)).await;
                }
            }
        };
        let taken: Vec<u64> = (0..10).map(|_| turns(&rt, restarts()).1).collect();
        assert_eq!(rt.block_on(async { root.tree().await }).root.children[0].restarts, 2_000);
        let (first, last) = (taken[0], taken[taken.len() - 1]);
        assert!(first >= 200 && last <= first + first / 5, "{taken:?}");
    }
}

//! Many things at once under a static supervisor: ends, requests and restarts that overlap. What they come to is open;
//! what must hold is not.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use whitebeam_actor::{CallError, ExitReason, Handle, Overflow, SpawnOptions, StartError, Target};
use whitebeam_supervisor::{ChildError, ChildState, Intensity, Restart, Supervisor, SupervisorRef};
use whitebeam_testkit::Sim;

use crate::{
    support::{Event, Gate, Log, Msg, Setup, end, stop},
    tree::{
        child, child_of, counts, current, everywhere, inits_and_ends, pid, pid_in, renewed, until,
        with_children,
    },
};

const CHILDREN: u64 = 4;

/// One client, which asks for this and that.
async fn client(rt: Handle, root: SupervisorRef, log: Log, requests: usize) {
    let mut rng = rt.rng();
    for _ in 0..requests {
        let id = 1 + rng.below(CHILDREN + 1);
        let place = id as usize;
        match rng.below(6) {
            0 => {
                let children = root.which_children().await.unwrap();
                if let Some(pid) = pid_in(&children, id) {
                    rt.exit(pid, ExitReason::Kill);
                }
            }
            1 => match root.terminate_child(place).await {
                Ok(()) | Err(ChildError::NotFound) => {}
                other => panic!("{other:?}"),
            },
            2 => match root.restart_child(place).await {
                Ok(Some(_))
                | Err(ChildError::NotFound | ChildError::Running | ChildError::ChildRestarting) => {
                }
                // It was killed in its `init`.
                Err(ChildError::Start(_)) => {}
                other => panic!("{other:?}"),
            },
            3 => match root.delete_child(place).await {
                Ok(())
                | Err(ChildError::NotFound | ChildError::Running | ChildError::ChildRestarting) => {
                }
                other => panic!("{other:?}"),
            },
            4 => {
                let restart =
                    if rng.below(3) == 0 { Restart::Temporary } else { Restart::Permanent };
                match root.start_child(child(id, &log).restart(restart)).await {
                    Ok(_) | Err(StartError::AlreadyStarted(_) | StartError::AlreadyPresent) => {}
                    Err(StartError::Exit(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            _ => {
                let (specs, active, _, workers) = counts(&root).await;
                assert!(active <= specs && workers == specs);
            }
        }
        if rng.below(3) == 0 {
            rt.sleep(Duration::from_millis(rng.below(3))).await;
        }
    }
}

async fn storm(rt: Handle, strategy: fn() -> Supervisor, requests: usize) {
    let log = Log::new();
    let tree = strategy().with_intensity(Intensity::Unlimited);
    let (tree, _) = with_children(tree, CHILDREN, &log);
    let root = tree.start(&rt).await.unwrap();
    let clients =
        (0..4).map(|_| rt.spawn_task(client(rt.clone(), root.clone(), log.clone(), requests)));
    join_all(clients.collect::<Vec<_>>()).await;
    // It comes to rest, and its processes are those that it tells of. A client's kill may still be on its way.
    until(&rt, &root, |children| {
        let is_at_rest = |state| match state {
            ChildState::Running(pid) => rt.is_alive(pid),
            state => state == ChildState::Stopped,
        };
        let parent = root.target();
        let alive = rt.processes().into_iter().filter(|info| info.parent == parent);
        let mut alive: Vec<_> = alive.map(|info| info.pid).collect();
        let mut running: Vec<_> = children.iter().filter_map(|entry| entry.state.pid()).collect();
        alive.sort();
        running.sort();
        children.iter().all(|entry| is_at_rest(entry.state)) && alive == running
    })
    .await;
    stop(&rt, &root).await;
    // Of one child there was one process at a time, and none is left.
    let mut now: BTreeMap<u64, i32> = BTreeMap::new();
    for event in log.all() {
        match event {
            Event::Started(id) => *now.entry(id).or_default() += 1,
            Event::Dropped(id) => *now.entry(id).or_default() -= 1,
            _ => {}
        }
        assert!(now.values().all(|count| (0..=1).contains(count)), "{:?}", inits_and_ends(&log));
    }
    assert!(now.values().all(|count| *count == 0));
    assert_eq!(rt.processes().len(), 0);
}

/// Each strategy, in many orders.
#[test]
fn a_storm_leaves_what_is_told_of() {
    for strategy in [Supervisor::one_for_one, Supervisor::one_for_all, Supervisor::rest_for_one] {
        Sim::new().seeds(60).run(|rt| storm(rt.handle(), strategy, 12));
        everywhere(|rt| storm(rt, strategy, 40));
    }
}

/// Told to end in the middle of it, a supervisor has ended when its children have, and everybody is answered.
#[test]
fn a_storm_that_is_ended() {
    for strategy in [Supervisor::one_for_one, Supervisor::one_for_all, Supervisor::rest_for_one] {
        Sim::new().seeds(60).run(|rt| ended(rt.handle(), strategy));
        everywhere(|rt| ended(rt, strategy));
    }
}

async fn ended(rt: Handle, strategy: fn() -> Supervisor) {
    let log = Log::new();
    let tree = strategy().with_intensity(Intensity::Unlimited);
    let (tree, children) = with_children(tree, CHILDREN, &log);
    let root = tree.start(&rt).await.unwrap();
    let asked: Vec<_> = (1..=CHILDREN as usize)
        .map(|id| {
            let root = root.clone();
            let victim = pid(&children[id - 1]);
            let handle = rt.clone();
            rt.spawn_task(async move {
                handle.exit(victim, ExitReason::Kill);
                let _ = root.terminate_child(id).await;
                let _ = root.restart_child(id).await;
                let _ = root.start_child(child(id as u64, &Log::new())).await;
            })
        })
        .collect();
    let down = rt.down(&root);
    rt.exit(&root, ExitReason::Shutdown);
    down.await;
    // At this moment, and not later.
    assert_eq!(rt.processes().len(), 0);
    join_all(asked).await;
    assert!(children.iter().all(|child| !child.is_alive()));
}

/// A full mailbox refuses what is asked, and nothing of the supervisor's own.
#[test]
fn a_bounded_supervisor_restarts_its_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let options = SpawnOptions::new().bounded(1, Overflow::Reject);
        let tree =
            Supervisor::one_for_all().intensity(100, Duration::from_secs(5)).options(options);
        let (mut tree, children) = with_children(tree, 3, &log);
        let gate = Gate::new();
        let waits = gate.clone();
        let slow = Setup::new(4, &log).init(move |info| {
            let gate = waits.clone();
            async move {
                if info.attempt == 2 {
                    gate.passed().await;
                }
                Ok(())
            }
        });
        let slow = tree.child_with(child_of(slow));
        let root = tree.start(&rt).await.unwrap();
        let before = pid(&slow);
        end(&rt, &children[0], ExitReason::Kill).await;
        log.wait_for(Event::Init(4, 2)).await;
        // In line behind the restart: the mailbox itself is empty.
        let asked: Vec<_> = (5..25).map(|id| root.start_child(child(id, &log))).collect();
        gate.open();
        let answers = join_all(asked).await;
        assert!(answers.iter().all(|it| matches!(it, Ok(_) | Err(StartError::Full))));
        renewed(&rt, &root, 4, before).await;
        assert!(current(&slow).is_alive());
        let more = children[1].call(Msg::Who).await;
        assert!(matches!(more, Ok(_) | Err(CallError::Restarting)), "{more:?}");
    });
}

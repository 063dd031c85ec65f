//! Starts, crashes, restarts, terminations and stops, all at once. Run under the sanitizers too.

use futures_util::future::join_all;
use whitebeam_actor::{ExitReason, Handle, StartError};
use whitebeam_supervisor::{
    ChildError, DynamicSupervisor, Intensity, PartitionedRef, Partitions, Restart,
};

use crate::support::{Event, Log, Msg, Setup, Tidy, everywhere, expect_panics, stop};

const CALLERS: u64 = 4;
const CHILDREN: u64 = 60;

/// One of several that start children and end them in every way.
async fn storm(rt: Handle, sups: PartitionedRef<Tidy>, log: Log, caller: u64) {
    for n in 0..CHILDREN {
        let id = caller * CHILDREN + n;
        log.note(Event::Asked(id));
        let child = match sups.start_child(&id, Setup::new(id, &log)).await {
            Ok(child) => child,
            // It is being stopped, or was killed and is not back yet.
            Err(StartError::Exit(_) | StartError::NoSupervisor | StartError::Restarting) => {
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        match id % 6 {
            0 => rt.exit(&child, ExitReason::Kill),
            1 => drop(child.cast(Msg::Panic)),
            2 => drop(child.cast(Msg::End(ExitReason::Normal))),
            3 => match sups.partition(&id).terminate_child(&child).await {
                Ok(()) => assert!(!child.is_alive()),
                Err(ChildError::NotFound | ChildError::NoSupervisor) => {}
                Err(ChildError::Restarting | ChildError::Exit(_)) => {}
                Err(error) => panic!("{error}"),
            },
            4 => drop(child.call(Msg::Who).await),
            _ => {}
        }
    }
}

async fn round(rt: Handle, kill_partitions: bool, stop_early: bool) {
    let log = Log::new();
    let sups = DynamicSupervisor::<Tidy>::new()
        .restart(Restart::Transient)
        .with_intensity(Intensity::Unlimited)
        .partitions(Partitions::exactly(3))
        .with_intensity(Intensity::Unlimited)
        .start(&rt)
        .await
        .unwrap();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| rt.spawn_task(storm(rt.clone(), sups.clone(), log.clone(), caller)))
        .collect();
    if kill_partitions {
        for n in 0..6_u8 {
            log.wait(usize::from(n) * 10, |event| matches!(event, Event::Asked(_))).await;
            rt.exit(sups.partition(&n), ExitReason::Kill);
        }
    }
    if stop_early {
        log.wait(40, |event| matches!(event, Event::Asked(_))).await;
        stop(&rt, &sups).await;
        join_all(callers).await;
    } else {
        join_all(callers).await;
        stop(&rt, &sups).await;
    }
    // Children of partitions that were killed end on their own.
    let started = || log.count(|event| matches!(event, Event::Started(_)));
    let dropped = || log.count(|event| matches!(event, Event::Dropped(_)));
    if kill_partitions {
        log.wait(started(), |event| matches!(event, Event::Dropped(_))).await;
    }
    assert_eq!(started(), dropped());
    assert_eq!(sups.count(), 0);
}

#[test]
fn stress_children_end_in_every_way() {
    expect_panics();
    everywhere(|rt| round(rt, false, false));
}

#[test]
fn stress_the_stop_comes_in_the_middle() {
    expect_panics();
    everywhere(|rt| round(rt, false, true));
}

#[test]
fn stress_partitions_are_killed_meanwhile() {
    expect_panics();
    everywhere(|rt| round(rt, true, false));
    everywhere(|rt| round(rt, true, true));
}

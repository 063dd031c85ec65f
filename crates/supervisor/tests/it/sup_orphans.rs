//! Names that are held by who should be gone: orphans of a supervisor that was killed.

use std::time::Duration;

use whitebeam_actor::{ExitReason, SpawnOptions, StartError};
use whitebeam_supervisor::{Child, Supervisor};
use whitebeam_testkit::Sim;

use crate::{
    support::{Event, Gate, Log, Msg, Setup, Tidy, end, stop, until},
    tree::{child, counts, everywhere, pid, starts},
};

/// A child with the name "db" whose first incarnation takes until the gate is open to end.
fn slow_db(log: &Log, gate: &Gate) -> Child<whitebeam_actor::ChildRef<Msg>> {
    let gate = gate.clone();
    let setup = Setup::new(1, log).terminate(move |_| gate.clone().passed());
    Child::new::<Tidy>(1, setup).options(SpawnOptions::new().name("db"))
}

/// A supervisor that is restarted waits for the orphans of its last incarnation, where they have its children's names:
/// that uses up no restarts.
#[test]
fn a_start_waits_for_the_orphan_that_has_its_name() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut inner = Supervisor::one_for_one();
        let db = inner.child_with(slow_db(&log, &gate));
        let mut tree = Supervisor::one_for_one().intensity(1, Duration::from_secs(3_600));
        let inner = tree.nest("inner", inner);
        let root = tree.start(&rt).await.unwrap();
        let (orphan, first) = (pid(&db), pid(&inner));
        end(&rt, &inner, ExitReason::Kill).await;
        log.wait_for(Event::Terminate(1)).await;
        until(&rt, || whitebeam_actor::Target::target(&inner).is_some_and(|now| now != first))
            .await;
        assert!(rt.is_alive(orphan) && rt.is_orphan(orphan));
        rt.sleep(Duration::from_millis(50)).await;
        assert_eq!(starts(&log, 1), 1);
        gate.open();
        until(&rt, || rt.whereis("db").is_some_and(|now| now != orphan)).await;
        assert_eq!(db.call(Msg::Who).await.unwrap().1.attempt, 1);
        assert!(!rt.is_orphan(pid(&db)));
        assert_eq!(counts(&root).await, (1, 1, 1, 0));
        stop(&rt, &root).await;
    });
}

/// Not for longer than five seconds: it is a start that fails then, and tried again.
#[test]
fn a_start_does_not_wait_for_an_orphan_for_ever() {
    Sim::new().seeds(16).run(|rt| async move {
        let rt = rt.handle();
        let (log, gate) = (Log::new(), Gate::new());
        let mut inner = Supervisor::one_for_one();
        let db = inner.child_with(slow_db(&log, &gate));
        let mut tree = Supervisor::one_for_one().intensity(2, Duration::from_secs(3_600));
        let inner = tree.nest("inner", inner);
        let root = tree.start(&rt).await.unwrap();
        let (down, begun) = (rt.down(&root), rt.uptime());
        end(&rt, &inner, ExitReason::Kill).await;
        // Two restarts, each of which waits.
        down.await;
        let taken = rt.uptime() - begun;
        assert!(taken.abs_diff(Duration::from_secs(10)) < Duration::from_millis(100), "{taken:?}");
        gate.open();
        until(&rt, || rt.processes().is_empty()).await;
        assert!(!db.is_alive());
    });
}

/// A name that is another's is an error at once.
#[test]
fn a_start_does_not_wait_for_who_is_no_orphan() {
    everywhere(|rt| async move {
        let log = Log::new();
        let named = |id| child(id, &log).options(SpawnOptions::new().name("db"));
        let mut first = Supervisor::one_for_one();
        first.child_with(named(1));
        let first = first.start(&rt).await.unwrap();
        let second = Supervisor::one_for_one().start(&rt).await.unwrap();
        let started = second.start_child(named(2)).await;
        let owner = rt.whereis("db");
        assert!(matches!(started, Err(StartError::NameTaken(pid)) if Some(pid) == owner));
        assert!(!rt.is_orphan(owner.unwrap()));
        stop(&rt, &first).await;
        second.start_child(named(2)).await.unwrap();
    });
}

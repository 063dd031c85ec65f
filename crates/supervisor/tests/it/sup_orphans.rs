//! Names that are held by who should be gone: orphans of a supervisor that was killed.

use std::time::Duration;

use whitebeam_actor::{ExitReason, SpawnOptions, StartError};
use whitebeam_supervisor::{Child, Shutdown, Supervisor};
use whitebeam_testkit::Sim;

use crate::{
    support::{Event, Gate, Log, Msg, Setup, Tidy, end, kind, stop, until},
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

/// One that does not end gets the time of the child that is to have its name, and is killed then: that is no start that
/// fails, nor one that is tried for ever.
#[test]
fn a_start_does_not_wait_for_an_orphan_for_ever() {
    let second = Duration::from_secs(1);
    let cases = [
        (Shutdown::BrutalKill, Duration::ZERO),
        (Shutdown::After(second), second),
        (Shutdown::WORKER, 5 * second),
    ];
    Sim::new().seeds(16).run(move |rt| async move {
        let rt = rt.handle();
        for (shutdown, time) in cases {
            let (log, never) = (Log::new(), Gate::new());
            let mut inner = Supervisor::one_for_one();
            let db = inner.child_with(slow_db(&log, &never).shutdown(shutdown));
            let mut tree = Supervisor::one_for_one();
            let inner = tree.nest("inner", inner);
            let root = tree.start(&rt).await.unwrap();
            let (orphan, begun) = (rt.down(&db), rt.uptime());
            end(&rt, &inner, ExitReason::Kill).await;
            assert_eq!(kind(&orphan.await.reason), "killed");
            let taken = rt.uptime() - begun;
            assert!(taken.abs_diff(time) < Duration::from_millis(100), "{shutdown:?}: {taken:?}");
            until(&rt, || starts(&log, 1) == 2).await;
            until(&rt, || db.is_alive()).await;
            assert_eq!(rt.whereis("db"), Some(pid(&db)));
            never.open();
            stop(&rt, &root).await;
            assert_eq!(starts(&log, 1), 2);
        }
    });
}

/// It is waited for as long as it takes, if the child would be.
#[test]
fn a_start_waits_for_an_orphan_as_long_as_for_the_child() {
    Sim::new().seeds(16).run(|rt| async move {
        let rt = rt.handle();
        let (log, gate) = (Log::new(), Gate::new());
        let mut inner = Supervisor::one_for_one();
        let db = inner.child_with(slow_db(&log, &gate).shutdown(Shutdown::Infinity));
        let mut tree = Supervisor::one_for_one();
        let inner = tree.nest("inner", inner);
        let root = tree.start(&rt).await.unwrap();
        let orphan = rt.down(&db);
        end(&rt, &inner, ExitReason::Kill).await;
        rt.sleep(Duration::from_secs(3_600)).await;
        assert_eq!(starts(&log, 1), 1);
        gate.open();
        assert_eq!(kind(&orphan.await.reason), "shutdown");
        until(&rt, || starts(&log, 1) == 2).await;
        stop(&rt, &root).await;
    });
}

/// A child whose arguments are there for one start only has them still when the orphan is gone.
#[test]
fn a_temporary_child_that_waits_for_an_orphan_is_started_with_its_arguments() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut first = Supervisor::one_for_one();
        let db = first.child_with(slow_db(&log, &gate));
        let first = first.start(&rt).await.unwrap();
        let orphan = pid(&db);
        end(&rt, &first, ExitReason::Kill).await;
        log.wait_for(Event::Terminate(1)).await;

        let second = Supervisor::one_for_one().start(&rt).await.unwrap();
        let named = SpawnOptions::new().name("db");
        let once = Child::temporary::<Tidy>(2, Setup::new(2, &log)).options(named);
        let mut asked = Box::pin(second.start_child(once));
        assert!(futures_util::poll!(&mut asked).is_pending());
        // Seen to: its own start is under way, and it is in nobody's list before that is over.
        assert_eq!(counts(&second).await, (0, 0, 0, 0));
        gate.open();
        let started = asked.await.unwrap();
        assert_eq!(started.call(Msg::Who).await.unwrap().0, 2);
        assert_eq!((rt.whereis("db"), rt.is_alive(orphan)), (Some(pid(&started)), false));
        stop(&rt, &second).await;
    });
}

/// The end of the supervisor itself is not held up by an orphan that it waits for.
#[test]
fn a_supervisor_that_waits_for_an_orphan_can_be_ended() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut first = Supervisor::one_for_one();
        first.child_with(slow_db(&log, &gate));
        let first = first.start(&rt).await.unwrap();
        end(&rt, &first, ExitReason::Kill).await;
        log.wait_for(Event::Terminate(1)).await;
        let second = Supervisor::one_for_one().start(&rt).await.unwrap();
        let asked = second.start_child(slow_db(&log, &gate).shutdown(Shutdown::Infinity));
        assert_eq!(counts(&second).await, (0, 0, 0, 0));
        stop(&rt, &second).await;
        assert!(asked.await.is_err());
        assert_eq!(starts(&log, 1), 1);
        gate.open();
        until(&rt, || rt.processes().is_empty()).await;
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

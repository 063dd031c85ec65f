//! Starts under a supervisor that are waited for only so long: who asked is told, and the child lives on.

use std::time::Duration;

use whitebeam_actor::StartError;
use whitebeam_supervisor::{DynamicSupervisor, Partitions};

use crate::support::{Event, Gate, Log, Msg, Plain, Setup, everywhere, simulated, until};

const SHORT: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// As in OTP, where the caller's call times out.
#[test]
fn who_asked_is_told_in_time_and_the_child_lives_on() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let start = sup.start_child(Setup::new(1, &log).init_at(&gate)).timeout(SHORT).await;
        assert!(matches!(start, Err(StartError::Timeout)), "{start:?}");
        log.wait_for(Event::Init(1, 1)).await;
        assert_eq!(sup.count(), 1, "it is a child, and starts");
        gate.open();
        log.wait_for(Event::Started(1)).await;
        // The next one is served as ever, and both are children.
        let other = sup.start_child(Setup::new(2, &log)).timeout(HOUR).await.unwrap();
        assert_eq!(other.call(Msg::Who).await.unwrap().0, 2);
        assert_eq!(sup.count(), 2);
    });
}

#[test]
fn a_start_in_time_is_as_one_without_a_limit() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().max_children(1).start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).timeout(HOUR).await.unwrap();
        let full = sup.start_child(Setup::new(2, &log)).timeout(HOUR).await;
        assert!(matches!(full, Err(StartError::MaxChildren)), "{full:?}");
        sup.terminate_child(&child).await.unwrap();
        let failing =
            Setup::new(3, &log).init(|_| async { Err(whitebeam_actor::ExitReason::custom("no")) });
        let failed = sup.start_child(failing).timeout(HOUR).await;
        assert!(matches!(failed, Err(StartError::Exit(_))), "{failed:?}");
        until(&rt, || sup.count() == 0).await;
    });
}

/// By the virtual clock of the runtime, and through both tiers.
#[test]
fn the_limit_is_exact_in_virtual_time() {
    simulated(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary()
            .partitions(Partitions::exactly(2))
            .start(&rt)
            .await
            .unwrap();
        let begun = rt.uptime();
        let start = sup.start_child(&7, Setup::new(7, &log).init_at(&gate)).timeout(MINUTE).await;
        assert!(matches!(start, Err(StartError::Timeout)), "{start:?}");
        assert_eq!(rt.uptime() - begun, MINUTE);
        gate.open();
        log.wait_for(Event::Started(7)).await;
    });
}

/// Asked by a process, which no counter is spent on: its own clock counts.
#[test]
fn a_process_may_set_a_limit_too() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let asking = sup.clone();
        let (late, answered) = (Log::new(), Log::new());
        let (noted, told) = (log.clone(), late.clone());
        // A child that asks for another child, in its `init`.
        let slow = Setup::new(2, &log).init_at(&gate);
        let asker = Setup::new(1, &answered).init(move |_| {
            let start = asking.start_child(slow.clone()).timeout(SHORT);
            let (noted, told) = (noted.clone(), told.clone());
            async move {
                noted.wait_for(Event::Init(2, 1)).await;
                if matches!(start.await, Err(StartError::Timeout)) {
                    told.note(Event::Asked(2));
                }
                Ok(())
            }
        });
        let asker = rt.start::<Plain>(asker).await.unwrap();
        assert!(late.has(Event::Asked(2)));
        assert_eq!(asker.call(Msg::Who).await.unwrap().0, 1);
        gate.open();
        log.wait_for(Event::Started(2)).await;
        assert_eq!(sup.count(), 1);
    });
}

//! Supervisors with bounded mailboxes: what they tell themselves is refused by no bound, and who asks too much is told.

use futures_util::future::join_all;
use whitebeam_actor::{ChildRef, FindError, Name, Overflow, Runtime, SpawnOptions, StartError};
use whitebeam_supervisor::{
    Child, DynamicRef, DynamicSupervisor, PartitionRef, PartitionSupervisor, Partitions,
};

use crate::support::{Event, Log, Msg, Plain, Setup, everywhere};

const FULL: [Overflow; 3] = [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest];

/// Outcomes of many starts at once.
#[test]
fn partitions_start_and_come_back_under_a_bound_of_one() {
    everywhere(|rt| async move {
        for overflow in FULL {
            let log = Log::new();
            let noted = log.clone();
            let spec = PartitionSupervisor::new(Partitions::exactly(9), move |index| {
                Child::new::<Plain>("worker", Setup::new(index as u64, &noted))
            });
            let spec = spec.options(SpawnOptions::new().bounded(1, overflow));
            let sup = spec.with_intensity(whitebeam_supervisor::Intensity::Unlimited);
            let sup = sup.start(&rt).await.unwrap();
            assert_eq!(sup.len(), 9);
            for child in sup.iter() {
                rt.exit(child, whitebeam_actor::ExitReason::Kill);
            }
            log.wait(9, |event| matches!(event, Event::Init(_, 2))).await;
            assert_eq!(sup.resize(3).await.unwrap(), 9);
            assert_eq!(sup.resize(8).await.unwrap(), 3);
        }
    });
}

/// With requests in the way of the message that takes the next start.
#[test]
fn serial_starts_go_on_under_a_bound_of_one() {
    everywhere(|rt| async move {
        for overflow in FULL {
            let log = Log::new();
            let one = || SpawnOptions::new().bounded(1, overflow);
            let spec = DynamicSupervisor::<Plain>::temporary().serial_starts();
            let sup = spec.options(one()).start(&rt).await.unwrap();
            let spec = DynamicSupervisor::any().serial_starts();
            let any = spec.options(one()).start(&rt).await.unwrap();
            for id in 0..20 {
                let of = |id| Child::new::<Plain>("child", Setup::new(id, &log));
                let started = join_all([
                    sup.start_child(Setup::new(id, &log)),
                    sup.start_child(Setup::new(id, &log)),
                ]);
                let others = join_all([any.start_child(of(id)), any.start_child(of(id))]);
                for started in started.await {
                    assert!(matches!(started, Ok(_) | Err(StartError::Full)), "{started:?}");
                }
                for started in others.await {
                    assert!(matches!(started, Ok(_) | Err(StartError::Full)), "{started:?}");
                }
            }
            let inits = log.count(|event| matches!(event, Event::Started(_)));
            assert_eq!(sup.count() + any.count(), inits);
        }
    });
}

#[test]
fn a_full_supervisor_is_found_and_says_so() {
    let rt = Runtime::simulated(1).unwrap();
    rt.block_on(async {
        let log = Log::new();
        let options = |name: &str| SpawnOptions::new().bounded(1, Overflow::Reject).name(name);
        let spec = DynamicSupervisor::<Plain>::temporary().options(options("dynamic"));
        let sup = spec.start(&rt).await.unwrap();
        let noted = log.clone();
        let spec = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            Child::new::<Plain>("worker", Setup::new(1, &noted))
        });
        let pool = spec.options(options("pool")).start(&rt).await.unwrap();
        // They have not run since: these fill their mailboxes.
        let started = sup.start_child(Setup::new(2, &log));
        let resized = futures_util::poll!(Box::pin(pool.resize(1)));
        assert!(resized.is_pending());
        let found = DynamicRef::<Plain>::find(&rt, Name::from("dynamic")).await;
        assert_eq!(found.map(drop), Err(FindError::Full));
        let found = PartitionRef::<ChildRef<Msg>>::find(&rt, Name::from("pool")).await;
        assert_eq!(found.map(drop), Err(FindError::Full));
        assert!(FindError::Full.to_string().contains("full"));
        started.await.unwrap();
        let found = DynamicRef::<Plain>::find(&rt, Name::from("dynamic")).await.unwrap();
        assert_eq!(found.count(), 1);
        PartitionRef::<ChildRef<Msg>>::find(&rt, Name::from("pool")).await.unwrap();
    });
}

//! What is wrong with a spec is said before anything is started, and says what to do.

use std::time::Duration;

use whitebeam_actor::{ExitReason, Runtime, SpawnOptions, StartError};
use whitebeam_supervisor::{
    Child, DynamicSupervisor, PartitionSupervisor, Partitions, Restart, Shutdown, SpecError,
};

use crate::support::{Log, Plain, Setup, end, everywhere, until};

#[track_caller]
fn is<T: std::fmt::Debug>(start: Result<T, StartError>, expected: &SpecError, hint: &str) {
    match start {
        Err(StartError::Invalid(error)) => {
            assert_eq!(error.downcast_ref::<SpecError>(), Some(expected));
            let text = StartError::Invalid(error).to_string();
            assert!(text.starts_with("start refused: ") && text.contains(hint), "{text}");
        }
        other => panic!("{other:?} is not {expected:?}"),
    }
}

#[test]
fn zero_partitions_and_far_too_many() {
    everywhere(|rt| async move {
        let sup = || DynamicSupervisor::<Plain>::temporary();
        let zero = sup().partitions(Partitions::exactly(0)).start(&rt).await;
        is(zero, &SpecError::ZeroPartitions, "ask for 1 or more");
        let many = sup().partitions(Partitions::exactly(usize::MAX)).start(&rt).await;
        is(many, &SpecError::TooManyPartitions { asked: usize::MAX }, "at most");
        let zero =
            PartitionSupervisor::new(Partitions::exactly(0), move |_| Child::nested("sup", sup()));
        is(zero.start(&rt).await, &SpecError::ZeroPartitions, "ask for 1 or more");
        assert_eq!(rt.processes().len(), 0);
    });
}

#[test]
fn a_period_of_zero() {
    everywhere(|rt| async move {
        let sup = || DynamicSupervisor::<Plain>::temporary();
        let period = SpecError::ZeroPeriod;
        let hint = "Intensity::Unlimited";
        is(sup().intensity(1, Duration::ZERO).start(&rt).await, &period, hint);
        let tiers = sup().partitions(Partitions::exactly(2));
        let tiers = tiers.with_intensity(whitebeam_supervisor::Intensity::Limited {
            restarts: 1,
            period: Duration::ZERO,
        });
        is(tiers.start(&rt).await, &period, hint);
        // Of a nested supervisor, however deep.
        let bad = move |_| Child::nested("bad", sup().intensity(1, Duration::ZERO));
        let inner =
            move |_| Child::nested("inner", PartitionSupervisor::new(Partitions::exactly(2), bad));
        let outer = PartitionSupervisor::new(Partitions::exactly(2), inner);
        is(outer.start(&rt).await, &period, hint);
        assert_eq!(rt.processes().len(), 0);
    });
}

#[test]
fn a_temporary_child_that_is_to_be_restarted() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            Child::temporary::<Plain>("once", Setup::new(1, &log)).restart(Restart::Transient)
        });
        is(sup.start(&rt).await, &SpecError::NoArgs("once".into()), "Child::new");
    });
}

#[test]
fn start_link_checks_as_well() {
    struct Starter;
    impl whitebeam_actor::Actor for Starter {
        type Args = ();
        type Msg = ();
        async fn init((): (), cx: &mut whitebeam_actor::Context<Self>) -> Result<Self, ExitReason> {
            let bad = DynamicSupervisor::<Plain>::temporary().intensity(1, Duration::ZERO);
            is(bad.start_link(cx).await, &SpecError::ZeroPeriod, "longer");
            let bad = DynamicSupervisor::<Plain>::temporary().partitions(Partitions::exactly(0));
            is(bad.start_link(cx).await, &SpecError::ZeroPartitions, "1 or more");
            Ok(Starter)
        }
        async fn handle(
            &mut self,
            (): (),
            _: &mut whitebeam_actor::Context<Self>,
        ) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    everywhere(|rt| async move {
        rt.start::<Starter>(()).await.unwrap();
    });
}

#[test]
fn specs_and_handles_can_be_printed() {
    let rt = Runtime::simulated(1).unwrap();
    let spec = DynamicSupervisor::<Plain>::new().max_children(7);
    let text = format!("{spec:?}");
    assert!(text.contains("max_children: 7") && text.contains("Permanent"), "{text}");
    let child = Child::nested("shapes", spec);
    assert!(format!("{child:?}").contains("\"shapes\""));
    assert_eq!(format!("{:?}", child.handle()), "DynamicRef(none now)");
    let tiers = rt.block_on(
        DynamicSupervisor::<Plain>::temporary().partitions(Partitions::exactly(2)).start(&rt),
    );
    assert!(format!("{:?}", tiers.unwrap()).contains("partitions: 2"));
}

#[test]
fn futures_and_handles_cross_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Send + Sync>(_: &T) {}
    everywhere(|rt| async move {
        let log = Log::new();
        let start =
            DynamicSupervisor::<Plain>::temporary().partitions(Partitions::exactly(2)).start(&rt);
        is_send(&start);
        let sups = start.await.unwrap();
        is_sync(&sups);
        let sup = sups.partition("key");
        is_sync(&sup);
        let start = sups.start_child("key", Setup::new(1, &log));
        is_send(&start);
        let child = start.await.unwrap();
        let many = sup.start_children([Setup::new(2, &log)]);
        is_send(&many);
        many.await;
        let ended = sup.terminate_child(&child);
        is_send(&ended);
        ended.await.unwrap();
    });
}

/// The id is the caller's always: there is no module whose name it could be.
#[test]
fn srv_066_what_a_child_is_unless_said_otherwise() {
    let spec = |child: &Child<_>| format!("{child:?}");
    let worker = Child::new::<Plain>("plain", Setup::default());
    let text = spec(&worker);
    assert!(
        text.starts_with(r#"Child { id: "plain", restart: Permanent, shutdown: After(5s), "#),
        "{text}"
    );
    let other = worker.restart(Restart::Transient).shutdown(Shutdown::BrutalKill);
    let text = spec(&other.options(SpawnOptions::new().name("n")));
    assert!(text.contains("restart: Transient, shutdown: BrutalKill"), "{text}");
    assert!(text.contains(r#""n""#), "{text}");
}

#[test]
fn srv_069_a_server_is_put_in_a_supervisor_as_it_is() {
    everywhere(|rt| async move {
        let child = |n: usize| Child::new::<Plain>(n, Setup::default());
        let pool = PartitionSupervisor::new(Partitions::exactly(1), child);
        let pool = pool.start(&rt).await.expect("start");
        let first = pool.of(&0).current().expect("it runs");
        // Permanent, as every child is by default.
        end(&rt, &first, ExitReason::custom("gone")).await;
        until(&rt, || pool.of(&0).current().is_some_and(|next| next != first)).await;
    });
}

//! Specs of static supervisors, by the ids of `docs/conformance.md`.

use std::time::Duration;

use whitebeam_actor::{Handle, Mailbox, SpawnOptions, StartError};
use whitebeam_supervisor::{
    AutoShutdown, Child, ChildId, ChildKind, DynamicSupervisor, Intensity, PartitionSupervisor,
    Partitions, Restart, Shutdown, SpecError, Supervisor,
};

use crate::{
    support::{Log, Plain, Setup},
    tree::{child, counts, everywhere, ids, starts},
};

fn fault<T: std::fmt::Debug>(start: Result<T, StartError>) -> SpecError {
    match start {
        Err(StartError::Invalid(error)) => error.downcast_ref::<SpecError>().unwrap().clone(),
        other => panic!("{other:?}"),
    }
}

/// Adapted: a spec without an id or a start, or with unknown fields, does not compile. What remains is found at the
/// start: a child without arguments for a restart.
#[test]
fn sup_014_incomplete_specs() {
    everywhere(|rt| async move {
        let log = Log::new();
        let once = || Child::temporary::<Plain>(2, Setup::new(2, &log)).restart(Restart::Transient);
        let mut tree = Supervisor::one_for_one();
        tree.child_with(child(1, &log));
        tree.child_with(once());
        assert_eq!(fault(tree.start(&rt).await), SpecError::NoArgs(2.into()));
        assert_eq!(starts(&log, 1), 0);
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        assert_eq!(fault(root.start_child(once()).await), SpecError::NoArgs(2.into()));
    });
}

/// Adapted: most bad specs do not compile; each of the others has an error of its own that says what to do, wherever
/// it is found, and nothing is started.
#[test]
fn sup_035_bad_specs() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut inner = Supervisor::one_for_one();
        inner.child_with(child(2, &log));
        inner.child_with(
            Child::temporary::<Plain>(3, Setup::new(3, &log)).restart(Restart::Permanent),
        );
        let mut tree = Supervisor::one_for_one();
        tree.child_with(child(1, &log));
        tree.nest("inner", inner);
        let error = fault(tree.start(&rt).await);
        assert_eq!(error, SpecError::NoArgs(3.into()));
        assert!(error.to_string().contains("`3`") && error.to_string().contains("Child::new"));

        let mut tree = Supervisor::one_for_one();
        tree.child_with(child(1, &log));
        tree.nest("dynamic", DynamicSupervisor::<Plain>::new().intensity(1, Duration::ZERO));
        assert_eq!(fault(tree.start(&rt).await), SpecError::ZeroPeriod);

        let mut tree = Supervisor::one_for_one();
        let partitions = |_| child(1, &Log::new());
        tree.nest("none", PartitionSupervisor::new(Partitions::exactly(0), partitions));
        assert_eq!(fault(tree.start(&rt).await), SpecError::ZeroPartitions);
        assert!(log.all().is_empty());
        assert_eq!(rt.processes().len(), 0);
    });
}

/// Every mix of restart, shutdown and kind is right.
#[test]
fn sup_036_valid_specs() {
    crate::support::simulated(|rt| async move {
        let log = Log::new();
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let mut id = 0;
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            for shutdown in [
                Shutdown::After(Duration::ZERO),
                Shutdown::After(Duration::from_secs(1)),
                Shutdown::Infinity,
                Shutdown::BrutalKill,
            ] {
                id += 2;
                let worker = child(id, &log).restart(restart).shutdown(shutdown);
                root.start_child(worker).await.unwrap();
                let nested = Child::nested(id as usize + 1, Supervisor::one_for_one());
                root.start_child(nested.restart(restart).shutdown(shutdown)).await.unwrap();
                let spec = root.get_childspec(id as usize).await.unwrap();
                assert_eq!((spec.restart, spec.shutdown), (restart, shutdown));
            }
        }
        assert_eq!(counts(&root).await, (24, 24, 12, 12));
    });
}

/// Two children of one id are an error, and nothing starts.
#[test]
fn sup_037_duplicate_ids() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        tree.child_with(child(1, &log));
        tree.child_with(child(2, &log));
        tree.child_with(child(1, &log));
        let error = fault(tree.start(&rt).await);
        assert_eq!(error, SpecError::DuplicateId(1.into()));
        assert!(error.to_string().contains("`1`"));
        assert!(log.all().is_empty());
        assert_eq!(rt.processes().len(), 0);
    });
}

async fn is_refused(rt: &Handle, restart: Restart, auto_shutdown: AutoShutdown) {
    let log = Log::new();
    let significant = || child(1, &log).restart(restart).significant();
    let expected = SpecError::Significant { id: 1.into(), restart, auto_shutdown };
    let mut tree = Supervisor::one_for_one().auto_shutdown(auto_shutdown);
    tree.child_with(significant());
    let error = fault(tree.start(rt).await);
    assert_eq!(error, expected);
    let text = error.to_string();
    assert!(text.contains(&format!("{restart:?}")) && text.contains(&format!("{auto_shutdown:?}")));
    let root = Supervisor::one_for_one().auto_shutdown(auto_shutdown).start(rt).await.unwrap();
    assert_eq!(fault(root.start_child(significant()).await), expected);
    assert_eq!((counts(&root).await, starts(&log, 1)), ((0, 0, 0, 0), 0));
}

/// A significant child needs a supervisor with auto shutdown, and not to be permanent.
#[test]
fn sup_039_bad_significant_children() {
    everywhere(|rt| async move {
        for auto_shutdown in
            [AutoShutdown::Never, AutoShutdown::AnySignificant, AutoShutdown::AllSignificant]
        {
            is_refused(&rt, Restart::Permanent, auto_shutdown).await;
        }
        for restart in [Restart::Transient, Restart::Temporary] {
            is_refused(&rt, restart, AutoShutdown::Never).await;
        }
        // Nor under one that has none.
        let partitions = PartitionSupervisor::new(Partitions::exactly(1), |_| {
            child(1, &Log::new()).restart(Restart::Transient).significant()
        });
        let error = fault(partitions.start(&rt).await);
        assert!(matches!(error, SpecError::Significant { auto_shutdown: AutoShutdown::Never, .. }));
    });
}

/// Adapted: bad flags do not compile, but for a period of zero.
#[test]
fn sup_040_bad_flags() {
    everywhere(|rt| async move {
        let tree = Supervisor::one_for_all().intensity(1, Duration::ZERO);
        let error = fault(tree.start(&rt).await);
        assert_eq!(error, SpecError::ZeroPeriod);
        assert!(error.to_string().contains("period"));
        // Nested, and without a limit there is no period.
        let mut tree = Supervisor::one_for_one().with_intensity(Intensity::Unlimited);
        tree.nest("inner", Supervisor::rest_for_one().intensity(1, Duration::ZERO));
        assert_eq!(fault(tree.start(&rt).await), SpecError::ZeroPeriod);
        Supervisor::one_for_one().with_intensity(Intensity::Unlimited).start(&rt).await.unwrap();
    });
}

/// A supervisor as a child: its id is always said; it is a supervisor, permanent and with all the time it needs, unless
/// said.
#[test]
fn sup_104_default_spec_of_a_supervisor() {
    everywhere(|rt| async move {
        let mut tree = Supervisor::one_for_one();
        tree.nest("static", Supervisor::one_for_all());
        tree.nest("dynamic", DynamicSupervisor::<Plain>::temporary());
        let partitions =
            PartitionSupervisor::new(Partitions::exactly(1), |_| child(1, &Log::new()));
        tree.nest("partitions", partitions);
        let time = Duration::from_secs(9);
        let other = Child::nested("other", Supervisor::rest_for_one())
            .restart(Restart::Transient)
            .shutdown(Shutdown::After(time));
        tree.child_with(other);
        let root = tree.start(&rt).await.unwrap();
        for id in ["static", "dynamic", "partitions"] {
            let spec = root.get_childspec(id).await.unwrap();
            assert_eq!(spec.kind, ChildKind::Supervisor);
            assert_eq!((spec.restart, spec.shutdown), (Restart::Permanent, Shutdown::Infinity));
        }
        let spec = root.get_childspec("other").await.unwrap();
        assert_eq!((spec.restart, spec.shutdown), (Restart::Transient, Shutdown::After(time)));
        assert_eq!(counts(&root).await, (4, 4, 4, 0));
    });
}

/// Adapted: a spec is made of a type and its arguments, of a function, of the process form, of a supervisor's spec; with
/// overrides. What is unfit does not compile.
#[test]
fn sup_105_specs_of_types() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        tree.child::<Plain>("type", Setup::new(1, &log));
        let kept = log.clone();
        tree.child_with(Child::from_fn::<Plain>("function", move || Setup::new(2, &kept)));
        tree.child_with(Child::temporary::<Plain>("temporary", Setup::new(3, &log)));
        let body = |mut mailbox: Mailbox<u32>| async move {
            loop {
                mailbox.recv().await;
            }
        };
        let process = tree.child_with(Child::process("process", body).restart(Restart::Transient));
        let spec = Child::new::<Plain>(String::from("all"), Setup::new(4, &log))
            .restart(Restart::Transient)
            .shutdown(Shutdown::BrutalKill)
            .options(SpawnOptions::new().name("all"));
        assert_eq!(format!("{spec:?}").matches("Transient").count(), 1);
        tree.child_with(spec);
        let root = tree.start(&rt).await.unwrap();
        let children = root.which_children().await.unwrap();
        assert_eq!(ids(&children), ["all", "process", "temporary", "function", "type"]);
        process.cast(1).unwrap();
        let restart = |id: &'static str| {
            let root = root.clone();
            async move { root.get_childspec(id).await.unwrap().restart }
        };
        assert_eq!(restart("type").await, Restart::Permanent);
        assert_eq!(restart("function").await, Restart::Permanent);
        assert_eq!(restart("temporary").await, Restart::Temporary);
        assert_eq!(restart("process").await, Restart::Transient);
        assert_eq!(rt.whereis("all"), children[0].state.pid());
        assert_ne!(ChildId::from("1"), ChildId::from(1));
    });
}

/// Adapted: a strategy is always said, or `Default` is: one for one.
#[test]
fn sup_106_default_strategy() {
    assert_eq!(format!("{:?}", Supervisor::default()), format!("{:?}", Supervisor::one_for_one()));
    assert!(format!("{:?}", Supervisor::default()).contains("OneForOne"));
    assert!(!format!("{:?}", Supervisor::one_for_all()).contains("OneForOne"));
}

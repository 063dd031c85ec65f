//! The rules of Elixir's DynamicSupervisor on specs, names and limits, by the ids of `docs/conformance.md`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use whitebeam_actor::{
    Directory, ExitReason, Mailbox, Name, Registry, SpawnOptions, StartError, Target,
};
use whitebeam_supervisor::{
    AutoShutdown, Child, ChildError, ChildKind, ChildState, DynamicRef, DynamicSupervisor, Restart,
    Shutdown, SpecError, Supervisor,
};

use crate::support::{
    Event, Log, Msg, Plain, Setup, Tidy, end, everywhere, kind, simulated, stop, told,
};

fn named(name: impl Into<Name>) -> SpawnOptions {
    SpawnOptions::new().name(name)
}

/// A dynamic supervisor with a name goes under another one as it is, and is found by its name.
#[test]
fn dyn_001_under_a_supervisor_by_its_default_spec() {
    everywhere(|rt| async move {
        let mut tree = Supervisor::one_for_one();
        let spec = DynamicSupervisor::any().options(named("sessions"));
        let sessions = tree.child_with(spec.into());
        let root = tree.start(&rt).await.unwrap();
        let found: DynamicRef = DynamicRef::find(&rt, Name::from("sessions")).await.unwrap();
        assert_eq!(found.target(), sessions.target());
        assert_eq!(found.which_children().await.unwrap(), []);
        assert_eq!(root.which_child("sessions").await.unwrap().kind, ChildKind::Supervisor);
    });
}

/// Each is found by its name, of whichever kind, and that is its id; that of one without a name is its type, so that
/// there is one of them. (OTP's global names are those of a registry here: there is one runtime.)
#[test]
fn dyn_002_several_by_their_names() {
    everywhere(|rt| async move {
        let (log, registry) = (Log::new(), Arc::new(Directory::new()));
        let via = |key: &str| Name::via(registry.clone() as Arc<dyn Registry>, key);
        let names = [Name::from("local"), via("global"), via("via")];
        let mut tree = Supervisor::one_for_one();
        let spec = DynamicSupervisor::<Plain>::temporary;
        for name in &names {
            tree.child_with(spec().options(named(name)).into());
        }
        let first = tree.child_with(spec().into());
        let root = tree.start(&rt).await.unwrap();
        for (name, id) in names.iter().zip(["local", "global", "via"]) {
            let sup = DynamicRef::<Plain>::find(&rt, name.clone()).await.unwrap();
            let entry = root.which_child(id).await.unwrap();
            assert_eq!(entry.state, ChildState::Running(sup.target().unwrap()));
            sup.start_child(Setup::new(1, &log)).await.unwrap();
            assert_eq!((sup.count(), sup.count_children().await.unwrap().active), (1, 1));
        }
        match root.start_child(Child::from(spec())).await {
            Err(StartError::AlreadyStarted(pid)) => assert_eq!(Some(pid), first.target()),
            other => panic!("{other:?}"),
        }
        // Another type is another id.
        root.start_child(Child::from(DynamicSupervisor::any())).await.unwrap();
        assert_eq!(root.count_children().await.unwrap().supervisors, 5);
    });
}

/// Unless said, a dynamic supervisor's spec has its type for an id and is one of a supervisor; what is said wins.
#[test]
fn dyn_003_default_spec() {
    everywhere(|rt| async move {
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        root.start_child(Child::from(DynamicSupervisor::<Plain>::new())).await.unwrap();
        let id = std::any::type_name::<DynamicSupervisor<Plain>>();
        let spec = root.get_childspec(id).await.unwrap();
        assert_eq!((spec.kind, spec.restart), (ChildKind::Supervisor, Restart::Permanent));
        assert_eq!(spec.shutdown, Shutdown::Infinity);

        let child = Child::from(DynamicSupervisor::<Plain>::new().options(named("name")));
        let child = child.id("id").restart(Restart::Transient).shutdown(Shutdown::BrutalKill);
        root.start_child(child).await.unwrap();
        let spec = root.get_childspec("id").await.unwrap();
        assert_eq!((spec.kind, spec.restart), (ChildKind::Supervisor, Restart::Transient));
        assert_eq!(spec.shutdown, Shutdown::BrutalKill);
        assert!(matches!(root.get_childspec("name").await, Err(ChildError::NotFound)));
    });
}

/// Adapted: the limit is changed by the handle. Who is there stays; a restart of the supervisor brings the limit of its
/// spec back.
#[test]
fn dyn_010_a_limit_that_is_lowered() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let sup = tree.nest("sup", DynamicSupervisor::<Plain>::new().max_children(2));
        let any = tree.nest("any", DynamicSupervisor::any());
        let _root = tree.start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        sup.set_max_children(1).await.unwrap();
        let refused = sup.start_child(Setup::new(2, &log)).await;
        assert!(matches!(refused, Err(StartError::MaxChildren)), "{refused:?}");
        assert!(child.is_alive() && !log.has(Event::Init(2, 1)));
        sup.set_max_children(3).await.unwrap();
        for id in 3..=4 {
            sup.start_child(Setup::new(id, &log)).await.unwrap();
        }
        let refused = sup.start_child(Setup::new(5, &log)).await;
        assert!(matches!(refused, Err(StartError::MaxChildren)), "{refused:?}");

        let of = |id| Child::new::<Plain>("child", Setup::new(id, &log));
        any.start_child(of(6)).await.unwrap();
        any.set_max_children(1).await.unwrap();
        let refused = any.start_child(of(7)).await;
        assert!(matches!(refused, Err(StartError::MaxChildren)), "{refused:?}");
        assert_eq!((any.count(), log.has(Event::Init(7, 1))), (1, false));

        let before = sup.target().unwrap();
        end(&rt, before, ExitReason::Kill).await;
        while sup.target().is_none_or(|pid| pid == before) {
            rt.sleep(std::time::Duration::from_millis(1)).await;
        }
        let started = sup.start_children((10..13).map(|id| Setup::new(id, &log))).await;
        assert_eq!(started.iter().filter(|started| started.is_ok()).count(), 2);
    });
}

/// Adapted: a child's spec is made of a type with its arguments, of a function, of a body, of a supervisor's spec, or is
/// arguments alone where there is one type.
#[test]
fn dyn_011_forms_of_specs() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let setup = |id| Setup::new(id, &log);
        let of_type = sup.start_child(Child::new::<Plain>("id", setup(1))).await.unwrap();
        let once = sup.start_child(Child::temporary::<Tidy>("id", setup(2))).await.unwrap();
        let made = setup(3);
        let full = Child::from_fn::<Plain>("id", move || made.clone()).restart(Restart::Transient);
        let made = sup.start_child(full.shutdown(Shutdown::Infinity)).await.unwrap();
        for (child, id) in [(&of_type, 1), (&once, 2), (&made, 3)] {
            assert_eq!(child.call(Msg::Who).await.unwrap().0, id);
        }
        let body =
            Child::process("id", |mut mailbox: Mailbox<whitebeam_actor::Reply<u64>>| async move {
                loop {
                    mailbox.recv().await.send(4);
                }
            });
        let body = sup.start_child(body).await.unwrap();
        assert_eq!(body.call(|reply| reply).await.unwrap(), 4);
        let nested = Child::from(DynamicSupervisor::<Plain>::temporary());
        let nested = sup.start_child(nested).await.unwrap();
        nested.start_child(setup(5)).await.unwrap();
        let counts = sup.count_children().await.unwrap();
        assert_eq!((counts.specs, counts.active), (5, 5));
        assert_eq!((counts.supervisors, counts.workers), (1, 4));
    });
}

/// The sum of what children were started with.
fn summing(log: &Log, sum: &Arc<AtomicUsize>) -> DynamicSupervisor<Plain> {
    let (log, sum) = (log.clone(), sum.clone());
    DynamicSupervisor::<Plain>::new().arguments(move |own| {
        let sum = sum.clone();
        Setup::new(own.id + 100, &log).init(move |info| {
            sum.fetch_add(own.id as usize * info.attempt as usize, Ordering::Relaxed);
            async { Ok(()) }
        })
    })
}

/// Adapted: a function of the supervisor's makes what a child is started with, of what was asked for.
#[test]
fn dyn_012_extra_arguments() {
    everywhere(|rt| async move {
        let (log, sum) = (Log::new(), Arc::new(AtomicUsize::new(0)));
        let sup = summing(&log, &sum).start(&rt).await.unwrap();
        for id in [3, 4] {
            let child = sup.start_child(Setup::new(id, &Log::new())).await.unwrap();
            assert_eq!(child.call(Msg::Who).await.unwrap().0, id + 100);
        }
        assert_eq!(sum.load(Ordering::Relaxed), 7);
    });
}

/// A restarted child gets the same again.
#[test]
fn dyn_022_extra_arguments_in_a_restart() {
    everywhere(|rt| async move {
        let (log, sum) = (Log::new(), Arc::new(AtomicUsize::new(0)));
        let spec = summing(&log, &sum).restart(Restart::Transient);
        let sup = spec.start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(3, &Log::new())).await.unwrap();
        told(&rt, &child, Msg::End(ExitReason::custom("oops"))).await;
        log.wait(2, |event| event == Event::Started(103)).await;
        // Made anew of what was asked for, and not of what was made of it: 3 and then twice 3.
        assert_eq!(sum.load(Ordering::Relaxed), 9);
    });
}

/// Adapted: what is left of bad specs by types is refused in the caller, before the supervisor is asked: also if there is
/// none.
#[test]
fn dyn_013_bad_specs() {
    everywhere(|rt| async move {
        let log = Log::new();
        let invalid = |started: Result<_, StartError>| match started {
            Err(StartError::Invalid(error)) => error.downcast_ref::<SpecError>().unwrap().clone(),
            Err(other) => panic!("{other}"),
            Ok::<whitebeam_actor::ChildRef<Msg>, _>(child) => panic!("{child:?}"),
        };
        let good = || Child::new::<Plain>("child", Setup::new(1, &log));
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let significant = good().restart(Restart::Transient).significant();
        match invalid(sup.start_child(significant).await) {
            SpecError::Significant { id, restart, auto_shutdown } => {
                assert_eq!((id, restart), ("child".into(), Restart::Transient));
                assert_eq!(auto_shutdown, AutoShutdown::Never);
            }
            other => panic!("{other}"),
        }
        let once = Child::temporary::<Plain>("once", Setup::new(2, &log));
        let error = invalid(sup.start_child(once.restart(Restart::Permanent)).await);
        assert_eq!(error, SpecError::NoArgs("once".into()));
        stop(&rt, &sup).await;
        let significant = good().restart(Restart::Transient).significant();
        assert!(matches!(
            invalid(sup.start_child(significant).await),
            SpecError::Significant { .. }
        ));
        let once = Child::temporary::<Plain>("once", Setup::new(2, &log));
        let error = invalid(sup.start_child(once.restart(Restart::Permanent)).await);
        assert_eq!(error, SpecError::NoArgs("once".into()));
        let answer = sup.start_child(good()).await;
        assert!(matches!(answer, Err(StartError::NoSupervisor)), "{answer:?}");
        assert!(log.all().is_empty());
    });
}

/// In a stop each child ends in its own way.
#[test]
fn dyn_033_mixed_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let of =
            |id, shutdown| Child::new::<Tidy>("child", Setup::new(id, &log)).shutdown(shutdown);
        let infinity = sup.start_child(of(1, Shutdown::Infinity)).await.unwrap();
        let killed = sup.start_child(of(2, Shutdown::BrutalKill)).await.unwrap();
        let downs = (rt.down(&infinity), rt.down(&killed));
        stop(&rt, &sup).await;
        assert_eq!(kind(&downs.0.await.reason), "shutdown");
        assert_eq!(kind(&downs.1.await.reason), "killed");
        assert!(log.has(Event::Terminate(1)) && !log.has(Event::Terminate(2)));
        assert!(matches!(
            infinity.cast(Msg::Exit).unwrap_err().why(),
            whitebeam_actor::SendFailure::NoProc
        ));
    });
}

/// Handles are found by who has the right type only.
#[test]
fn a_handle_of_other_children_is_not_found() {
    simulated(|rt| async move {
        let spec = DynamicSupervisor::<Plain>::new().options(named("plain"));
        let _sup = spec.start(&rt).await.unwrap();
        let wrong: Result<DynamicRef, _> = DynamicRef::find(&rt, Name::from("plain")).await;
        assert!(matches!(wrong, Err(whitebeam_actor::FindError::WrongMessage { .. })));
        let none = DynamicRef::<Plain>::find(&rt, Name::from("none")).await;
        assert!(matches!(none, Err(whitebeam_actor::FindError::NoProc)));
    });
}

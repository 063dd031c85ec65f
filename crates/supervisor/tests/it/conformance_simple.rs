//! What OTP's simple_one_for_one tells of its children, which a dynamic supervisor tells here, by the ids of
//! `docs/conformance.md`.

use std::time::Duration;

use futures_util::future::join_all;
use whitebeam_actor::{Actor, Context, ExitReason, Handle, Pid};
use whitebeam_supervisor::{
    AutoShutdown, ChildCounts, ChildError, ChildId, ChildKind, ChildState, DynamicRef,
    DynamicSupervisor, Intensity, Restart, Shutdown, SpecError,
};

use crate::support::{Event, Gate, Log, Msg, Plain, Setup, end, everywhere, kind, told, until};

/// Specs, active, supervisors, workers.
async fn counts<A: Actor>(sup: &DynamicRef<A>) -> (usize, usize, usize, usize) {
    let ChildCounts { specs, active, supervisors, workers, .. } =
        sup.count_children().await.unwrap();
    (specs, active, supervisors, workers)
}

/// Waits until the counts are these.
async fn until_counts<A: Actor>(
    rt: &Handle,
    sup: &DynamicRef<A>,
    expected: (usize, usize, usize, usize),
) {
    while counts(sup).await != expected {
        rt.sleep(Duration::from_millis(1)).await;
    }
}

/// The settings of every child are those of the supervisor's template, with its defaults; a stranger has none.
#[test]
fn sup_013_the_template_by_each_pid() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let children = sup.start_children((1..=3).map(|id| Setup::new(id, &log))).await;
        for child in children {
            let spec = sup.get_childspec(child.unwrap()).await.unwrap();
            assert_eq!(spec.id, ChildId::UNDEFINED);
            assert_eq!((spec.restart, spec.kind), (Restart::Permanent, ChildKind::Worker));
            assert_eq!(spec.shutdown, Shutdown::After(Duration::from_secs(5)));
            assert!(!spec.significant);
            assert_eq!(spec.actor, std::any::type_name::<Plain>());
        }
        let stranger = rt.start::<Plain>(Setup::new(4, &log)).await.unwrap();
        assert!(matches!(sup.get_childspec(&stranger).await, Err(ChildError::NotFound)));
    });
}

/// Without children there is the template alone.
#[test]
fn sup_032_no_child() {
    everywhere(|rt| async move {
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        assert_eq!(sup.which_children().await.unwrap(), []);
        assert_eq!(counts(&sup).await, (1, 0, 0, 0));
    });
}

/// Children are counted and listed, by the thousand; two lists are the same, and nothing is left of those that were
/// killed.
#[test]
fn sup_070_thousands_are_counted() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let mut children = Vec::new();
        for thousand in 1..=2 {
            let setups = (0..1_000).map(|id| Setup::new(id, &log));
            children.extend(sup.start_children(setups).await.into_iter().map(Result::unwrap));
            assert_eq!(counts(&sup).await, (1, 1_000 * thousand, 0, 1_000 * thousand));
        }
        let list = sup.which_children().await.unwrap();
        assert_eq!(list, sup.which_children().await.unwrap());
        let mut pids: Vec<Pid> = list.iter().filter_map(|entry| entry.state.pid()).collect();
        let mut started: Vec<Pid> = children.iter().map(|child| child.pid()).collect();
        pids.sort_unstable();
        started.sort_unstable();
        assert_eq!(pids, started);
        assert!(list.iter().all(|entry| entry.id == ChildId::UNDEFINED));
        join_all(children.iter().map(|child| end(&rt, child, ExitReason::Kill))).await;
        until(&rt, || sup.count() == 0).await;
        assert_eq!(counts(&sup).await, (1, 0, 0, 0));
    });
}

/// Supervises by itself.
struct Own;

impl Actor for Own {
    type Args = ();
    type Msg = ();

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|_, _, _| {});
        Ok(Own)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

/// Children that are supervisors are counted as such.
#[test]
fn sup_071_supervisors_are_counted() {
    everywhere(|rt| async move {
        let spec = DynamicSupervisor::<Own>::temporary().kind(ChildKind::Supervisor);
        let sup = spec.start(&rt).await.unwrap();
        for n in 1..=5 {
            let child = sup.start_child(()).await.unwrap();
            assert_eq!(counts(&sup).await, (1, n, n, 0));
            assert_eq!(sup.get_childspec(&child).await.unwrap().kind, ChildKind::Supervisor);
        }
        let list = sup.which_children().await.unwrap();
        assert!(list.iter().all(|entry| entry.kind == ChildKind::Supervisor));
    });
}

/// Starts that take a while and fail as long as a gate is closed, but for the first.
fn fails_until(rt: &Handle, id: u64, log: &Log, gate: &Gate) -> Setup {
    let (rt, gate) = (rt.clone(), gate.clone());
    Setup::new(id, log).init(move |info| {
        let (rt, gate) = (rt.clone(), gate.clone());
        async move {
            if info.attempt > 1 {
                rt.sleep(Duration::from_millis(1)).await;
            }
            match info.attempt == 1 || gate.is_open() {
                true => Ok(()),
                false => Err(ExitReason::custom("not yet")),
            }
        }
    })
}

/// A supervisor with three children, of which the first two crash and are tried again and again.
async fn in_a_loop(rt: &Handle, log: &Log, gate: &Gate) -> (DynamicRef<Plain>, [Pid; 3]) {
    let spec = DynamicSupervisor::<Plain>::new().with_intensity(Intensity::Unlimited);
    let sup = spec.start(rt).await.unwrap();
    let mut children = Vec::new();
    for id in 1..=3 {
        children.push(sup.start_child(fails_until(rt, id, log, gate)).await.unwrap());
    }
    for (child, id) in children.iter().zip(1..=2) {
        told(rt, child, Msg::End(ExitReason::custom("crash"))).await;
        // It was tried, and tried again.
        log.wait_for(Event::Init(id, 3)).await;
    }
    let pids: Vec<Pid> = children.iter().map(|child| child.pid()).collect();
    (sup, pids.try_into().unwrap())
}

/// Children whose restarts fail are no active ones until one has not failed; terminated ones count no more.
#[test]
fn sup_072_restarting_children_are_counted() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let (sup, _) = in_a_loop(&rt, &log, &gate).await;
        for _ in 0..5 {
            assert_eq!(counts(&sup).await, (1, 1, 0, 3));
        }
        gate.open();
        until_counts(&rt, &sup, (1, 3, 0, 3)).await;
        for left in (0..3).rev() {
            let list = sup.which_children().await.unwrap();
            sup.terminate_child(list[0].state.pid().unwrap()).await.unwrap();
            assert_eq!(counts(&sup).await, (1, left, 0, left));
        }
    });
}

/// In a restart loop a child is listed as restarting, and terminated by the pid that it had; then it is gone.
#[test]
fn sup_081_a_child_in_a_restart_loop() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let (sup, [first, second, third]) = in_a_loop(&rt, &log, &gate).await;
        let states = |list: Vec<whitebeam_supervisor::ChildEntry>| {
            list.iter().filter(|entry| entry.state == ChildState::Restarting).count()
        };
        assert_eq!(states(sup.which_children().await.unwrap()), 2);
        assert_eq!(sup.get_childspec(first).await.unwrap().restart, Restart::Permanent);
        sup.terminate_child(first).await.unwrap();
        assert!(matches!(sup.terminate_child(first).await, Err(ChildError::NotFound)));
        assert_eq!(states(sup.which_children().await.unwrap()), 1);
        sup.terminate_child(second).await.unwrap();
        let list = sup.which_children().await.unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].state, ChildState::Running(third));
        // Nothing of it is tried any more.
        let tried = log.count(|event| matches!(event, Event::Init(..)));
        rt.sleep(Duration::from_millis(20)).await;
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), tried);
    });
}

/// Significant children end their supervisor: with the first of them or with the last, and never by being terminated.
#[test]
fn sup_092_significant_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = |mode| DynamicSupervisor::<Plain>::temporary().auto_shutdown(mode);
        for (mode, ends) in [(AutoShutdown::AnySignificant, 1), (AutoShutdown::AllSignificant, 3)] {
            let sup = spec(mode).start(&rt).await.unwrap();
            let started = sup.start_children((0..4).map(|id| Setup::new(id, &log))).await;
            let mut children: Vec<_> = started.into_iter().map(Result::unwrap).collect();
            assert!(sup.get_childspec(&children[0]).await.unwrap().significant);
            sup.terminate_child(children.pop().unwrap()).await.unwrap();
            let down = rt.down(&sup);
            let others: Vec<_> = children.iter().map(|child| rt.down(child)).collect();
            for (child, left) in children[..ends].iter().zip((1..=ends).rev()) {
                assert!(rt.is_alive(&sup), "{left} are left to end");
                told(&rt, child, Msg::End(ExitReason::Normal)).await;
            }
            assert_eq!(kind(&down.await.reason), "shutdown");
            for (place, down) in others.into_iter().enumerate() {
                let expected = if place < ends { "normal" } else { "shutdown" };
                assert_eq!(kind(&down.await.reason), expected);
            }
        }
        // A transient one counts when it is not restarted.
        let transient = spec(AutoShutdown::AnySignificant).restart(Restart::Transient);
        let sup = transient.start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(9, &log)).await.unwrap();
        told(&rt, &child, Msg::End(ExitReason::custom("crash"))).await;
        log.wait_for(Event::Init(9, 2)).await;
        assert!(rt.is_alive(&sup));

        let bad = spec(AutoShutdown::AnySignificant).restart(Restart::Permanent);
        let error = bad.start(&rt).await.unwrap_err();
        let whitebeam_actor::StartError::Invalid(error) = error else { panic!("{error:?}") };
        assert!(matches!(error.downcast_ref(), Some(SpecError::Significant { .. })));
    });
}

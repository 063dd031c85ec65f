//! Restarts that cannot succeed or are not done: while the runtime shuts down, of supervisors below, and what ends none.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{
    ChildRef, Directory, ExitReason, Handle, Name, Pid, Registrant, Registry, SpawnOptions,
    StartError, Target,
};
use whitebeam_supervisor::{
    AutoShutdown, Child, ChildState, DynamicSupervisor, Intensity, NodeState, PartitionSupervisor,
    Partitions, Restart, Supervisor, SupervisorRef,
};

use crate::support::{
    Event, Gate, Log, Msg, Plain, Setup, Tidy, end, everywhere, kind, told, until,
};

/// A supervisor and its child, once both are there.
type Both = Arc<Mutex<Option<(Pid, Pid)>>>;

/// Ends the child while the runtime shuts down and its supervisor was told nothing yet, and waits for the supervisor.
fn slow(rt: &Handle, log: &Log, both: &Both) -> Child<ChildRef<Msg>> {
    let (rt, both) = (rt.clone(), both.clone());
    let setup = Setup::new(2, log).terminate(move |_| {
        let (rt, both) = (rt.clone(), both.lock().take());
        async move {
            let (sup, child) = both.unwrap();
            let down = rt.down(sup);
            rt.exit(child, ExitReason::Kill);
            assert_eq!(kind(&down.await.reason), "shutdown");
        }
    });
    Child::new::<Tidy>("slow", setup)
}

async fn ends_with_the_runtime(rt: &Handle, which: u32) {
    let (log, both, mut root) = (Log::new(), Both::default(), Supervisor::one_for_one());
    let setup = Setup::new(1, &log);
    let found = match which {
        0 => {
            let spec = DynamicSupervisor::<Plain>::new().with_intensity(Intensity::Unlimited);
            let sup = root.child_with(Child::nested("sup", spec));
            root.child_with(slow(rt, &log, &both));
            root.start(rt).await.unwrap();
            let child = sup.start_child(setup).await.unwrap();
            (sup.target(), child.target())
        }
        1 => {
            let spec = DynamicSupervisor::any().with_intensity(Intensity::Unlimited);
            let sup = root.child_with(Child::nested("sup", spec));
            root.child_with(slow(rt, &log, &both));
            root.start(rt).await.unwrap();
            let child = sup.start_child(Child::new::<Plain>("child", setup)).await.unwrap();
            (sup.target(), child.target())
        }
        2 => {
            let spec = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
                Child::new::<Plain>("child", setup.clone())
            });
            let spec = spec.with_intensity(Intensity::Unlimited);
            let sup = root.child_with(Child::nested("sup", spec));
            root.child_with(slow(rt, &log, &both));
            root.start(rt).await.unwrap();
            (sup.target(), sup.of(&0).target())
        }
        _ => {
            let mut spec = Supervisor::one_for_one().with_intensity(Intensity::Unlimited);
            let child = spec.child::<Plain>("child", setup);
            let sup = root.child_with(Child::nested("sup", spec));
            root.child_with(slow(rt, &log, &both));
            root.start(rt).await.unwrap();
            (sup.target(), child.target())
        }
    };
    *both.lock() = found.0.zip(found.1);
    let report = rt.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.count(|event| matches!(event, Event::Init(1, _))), 1);
}

#[test]
fn a_restart_is_not_tried_while_the_runtime_shuts_down() {
    for which in 0..4 {
        everywhere(move |rt| async move { ends_with_the_runtime(&rt, which).await });
    }
}

/// A supervisor whose child waits at the gate in each start but the first.
fn comes_back_at(log: &Log, gate: &Gate) -> Child<SupervisorRef> {
    let (seen, gate) = (log.clone(), gate.clone());
    let setup = Setup::new(1, log).init(move |_| {
        let is_first = seen.count(|event| matches!(event, Event::Init(1, _))) == 1;
        let gate = gate.clone();
        async move {
            if !is_first {
                gate.passed().await;
            }
            Ok(())
        }
    });
    let mut tree = Supervisor::one_for_one();
    tree.child_with(Child::new::<Plain>("worker", setup));
    Child::nested("tree", tree)
}

/// Its own `init` is over long before.
#[test]
fn a_supervisor_below_is_restarting_until_its_children_have_started() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        let first = sup.start_child(comes_back_at(&log, &gate)).await.unwrap().target().unwrap();
        end(&rt, first, ExitReason::Kill).await;
        log.wait(2, |event| matches!(event, Event::Init(1, _))).await;
        assert_eq!(sup.which_children().await.unwrap()[0].state, ChildState::Restarting);
        let counts = sup.count_children().await.unwrap();
        assert_eq!((counts.specs, counts.active, counts.supervisors), (1, 0, 1));
        assert_eq!(sup.get_childspec(&first).await.unwrap().restart, Restart::Permanent);
        gate.open();
        while sup.which_children().await.unwrap()[0].state.pid().is_none() {
            rt.sleep(Duration::from_millis(1)).await;
        }
        assert!(sup.get_childspec(&first).await.is_err(), "it has another pid");
        assert_eq!(sup.count_children().await.unwrap().active, 1);
    });
}

#[test]
fn a_partition_that_is_a_supervisor_is_restarting_until_its_children_have_started() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let (noted, opened) = (log.clone(), gate.clone());
        let spec = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            comes_back_at(&noted, &opened)
        });
        let sup = spec.start(&rt).await.unwrap();
        end(&rt, sup.of(&0).target().unwrap(), ExitReason::Kill).await;
        log.wait(2, |event| matches!(event, Event::Init(1, _))).await;
        assert_eq!(sup.which_children().await.unwrap()[0].state, ChildState::Restarting);
        assert_eq!(sup.count_children().await.unwrap().active, 0);
        gate.open();
        while sup.which_children().await.unwrap()[0].state.pid().is_none() {
            rt.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(sup.count_children().await.unwrap().active, 1);
    });
}

fn all_significant() -> DynamicSupervisor<Plain> {
    let spec = DynamicSupervisor::<Plain>::new().restart(Restart::Transient);
    spec.auto_shutdown(AutoShutdown::AllSignificant)
}

/// One has left by itself; the last one is terminated before its first start is done.
#[test]
fn who_is_terminated_in_its_first_start_has_not_left() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = all_significant().start(&rt).await.unwrap();
        let down = rt.down(&sup);
        let leaves = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let start = rt.spawn_task(sup.start_child(Setup::new(2, &log).init_at(&gate)));
        log.wait_for(Event::Init(2, 1)).await;
        let list = sup.which_children().await.unwrap();
        let pids = list.iter().filter_map(|entry| entry.state.pid());
        let starting = pids.into_iter().find(|pid| *pid != leaves.pid()).unwrap();
        told(&rt, &leaves, Msg::End(ExitReason::Normal)).await;
        until(&rt, || sup.count() == 1).await;
        sup.terminate_child(starting).await.unwrap();
        assert!(start.await.is_err());
        let last = sup.start_child(Setup::new(3, &log)).await.unwrap();
        told(&rt, &last, Msg::End(ExitReason::Normal)).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// As in OTP: whether or not another has left before.
#[test]
fn an_ignored_restart_does_not_end_a_supervisor() {
    everywhere(|rt| async move {
        for another_leaves in [false, true] {
            let (log, gate) = (Log::new(), Gate::new());
            let sup = all_significant().start(&rt).await.unwrap();
            let down = rt.down(&sup);
            let opened = gate.clone();
            let ignores = Setup::new(1, &log).init(move |info| {
                let gate = opened.clone();
                async move {
                    if info.attempt == 1 {
                        return Ok(());
                    }
                    gate.passed().await;
                    Err(ExitReason::Ignore)
                }
            });
            let ignores = sup.start_child(ignores).await.unwrap();
            let other = sup.start_child(Setup::new(2, &log)).await.unwrap();
            told(&rt, &ignores, Msg::End(ExitReason::custom("crash"))).await;
            log.wait_for(Event::Init(1, 2)).await;
            if another_leaves {
                told(&rt, &other, Msg::End(ExitReason::Normal)).await;
            } else {
                sup.terminate_child(&other).await.unwrap();
            }
            until(&rt, || sup.count() == 1).await;
            gate.open();
            until(&rt, || sup.count() == 0).await;
            let last = sup.start_child(Setup::new(3, &log)).await.unwrap();
            told(&rt, &last, Msg::End(ExitReason::Normal)).await;
            assert_eq!(kind(&down.await.reason), "shutdown");
        }
    });
}

/// Gives a name to nobody while somebody is in it.
#[derive(Default)]
struct Held(Mutex<Option<Pid>>, Directory);

impl Registry for Held {
    fn register(&self, key: &Name, process: &Registrant) -> Result<(), Pid> {
        let holder = *self.0.lock();
        holder.map_or_else(|| self.1.register(key, process), Err)
    }

    fn unregister(&self, key: &Name, owner: Pid) -> bool {
        self.1.unregister(key, owner)
    }

    fn whereis(&self, key: &Name) -> Option<Pid> {
        self.1.whereis(key)
    }
}

#[test]
fn the_picture_lists_a_child_that_waits_for_a_try() {
    everywhere(|rt| async move {
        let (log, held) = (Log::new(), Arc::new(Held::default()));
        let name = Name::via(held.clone() as Arc<dyn Registry>, "child");
        let spec = DynamicSupervisor::<Plain>::new().with_intensity(Intensity::Unlimited);
        let sup = spec.child_options(SpawnOptions::new().name(name)).start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        *held.0.lock() = Some(child.pid());
        end(&rt, &child, ExitReason::Kill).await;
        // Not before its end was seen to, from when on it is tried again and again.
        let waits = async || {
            let list = sup.which_children().await.unwrap();
            list.iter().any(|entry| entry.state == ChildState::Restarting)
        };
        while !waits().await {}
        let node = sup.tree().await.root;
        assert_eq!(node.children.len(), 1);
        assert_eq!((node.children[0].state, node.children[0].pid), (NodeState::Restarting, None));
        assert_eq!((node.below.workers, node.below.active), (1, 0));
        let refused = sup.start_child(Setup::new(2, &log)).await;
        assert!(matches!(refused, Err(StartError::NameTaken(_))), "{refused:?}");
        *held.0.lock() = None;
        log.wait(2, |event| event == Event::Started(1)).await;
    });
}

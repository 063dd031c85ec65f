//! Restarts that fail below dynamic and partition supervisors: of a supervisor whose children do not start, and those for
//! which no process can be made. They count, and are tried again. Meanwhile the child is there for who asks.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use whitebeam_actor::{
    ChildRef, Directory, ExitReason, Handle, Name, Pid, Registrant, Registry, SendFailure,
    SpawnOptions, StartError, Target,
};
use whitebeam_supervisor::{
    Child, ChildError, ChildState, DynamicRef, DynamicSupervisor, Intensity, PartitionRef,
    PartitionSupervisor, Partitions, Restart, Supervisor, SupervisorRef,
};

use crate::support::{
    EXPECTED, Event, Gate, Log, Msg, Plain, Setup, end, everywhere, expect_panics, kind, told,
    until,
};

const LONG: Duration = Duration::from_secs(1_000);

/// A supervisor of one child whose starts of these numbers, over all of its incarnations, fail.
fn fails_at(log: &Log, starts: std::ops::Range<usize>) -> Child<SupervisorRef> {
    let seen = log.clone();
    let setup = Setup::new(1, log).init(move |_| {
        let number = seen.count(|event| matches!(event, Event::Init(1, _)));
        let fails = starts.contains(&number);
        async move { if fails { Err(ExitReason::custom("not yet")) } else { Ok(()) } }
    });
    let mut tree = Supervisor::one_for_one();
    tree.child_with(Child::new::<Plain>("worker", setup));
    Child::nested("tree", tree).restart(Restart::Transient)
}

/// A supervisor over that one child, of either kind.
enum Over {
    Any(DynamicRef),
    Partitions(PartitionRef<SupervisorRef>),
}

impl Over {
    async fn start(rt: &Handle, log: &Log, is_any: bool, restarts: u32, fails: usize) -> Self {
        if is_any {
            let sup = DynamicSupervisor::any().intensity(restarts, LONG).start(rt).await.unwrap();
            sup.start_child(fails_at(log, 2..2 + fails)).await.unwrap();
            return Over::Any(sup);
        }
        let noted = log.clone();
        let spec = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            fails_at(&noted, 2..2 + fails)
        });
        Over::Partitions(spec.intensity(restarts, LONG).start(rt).await.unwrap())
    }

    fn pid(&self) -> Option<Pid> {
        match self {
            Over::Any(sup) => sup.target(),
            Over::Partitions(sup) => sup.target(),
        }
    }

    async fn state(&self) -> ChildState {
        match self {
            Over::Any(sup) => sup.which_children().await.unwrap()[0].state,
            Over::Partitions(sup) => sup.which_children().await.unwrap()[0].state,
        }
    }

    async fn child(&self) -> Pid {
        self.state().await.pid().unwrap()
    }
}

/// It is tried as often as it takes, though it ends in order each time, which is no end for a transient one.
#[test]
fn a_supervisor_below_whose_restart_fails_is_tried_again() {
    everywhere(|rt| async move {
        for is_any in [true, false] {
            let log = Log::new();
            let over = Over::start(&rt, &log, is_any, 3, 2).await;
            end(&rt, over.child().await, ExitReason::Kill).await;
            log.wait(2, |event| event == Event::Started(1)).await;
            assert_eq!(log.count(|event| matches!(event, Event::Init(1, _))), 4);
            while over.state().await.pid().is_none() {
                rt.sleep(Duration::from_millis(1)).await;
            }
            assert!(rt.is_alive(over.pid().unwrap()));
        }
    });
}

#[test]
fn restarts_of_a_supervisor_below_that_fail_count() {
    everywhere(|rt| async move {
        for is_any in [true, false] {
            let log = Log::new();
            let over = Over::start(&rt, &log, is_any, 3, 100).await;
            let down = rt.down(over.pid().unwrap());
            end(&rt, over.child().await, ExitReason::Kill).await;
            assert_eq!(kind(&down.await.reason), "shutdown");
            assert_eq!(log.count(|event| matches!(event, Event::Init(1, _))), 4);
        }
    });
}

/// Arguments that cannot be made at the calls from the second to this one.
fn arguments(log: &Log, last: usize) -> impl Fn() -> Setup + Send + Sync + 'static {
    let (log, calls) = (log.clone(), AtomicUsize::new(0));
    move || {
        let call = 1 + calls.fetch_add(1, Ordering::Relaxed);
        assert!(call == 1 || call > last, "{EXPECTED}");
        Setup::new(1, &log)
    }
}

/// The same under all three kinds of supervisors; gives the supervisor, and its child.
async fn with_arguments(rt: &Handle, log: &Log, kind: u32, last: usize) -> (Pid, Pid) {
    let make = arguments(log, last);
    match kind {
        0 => {
            let spec = DynamicSupervisor::<Plain>::new().arguments(move |_| make());
            let sup = spec.intensity(3, LONG).start(rt).await.unwrap();
            let child = sup.start_child(Setup::new(1, log)).await.unwrap();
            (sup.target().unwrap(), child.pid())
        }
        1 => {
            let sup = DynamicSupervisor::any().intensity(3, LONG).start(rt).await.unwrap();
            let child = sup.start_child(Child::from_fn::<Plain>("child", make)).await.unwrap();
            (sup.target().unwrap(), child.target().unwrap())
        }
        _ => {
            let make = Arc::new(make);
            let spec = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
                let make = make.clone();
                Child::from_fn::<Plain>("child", move || make())
            });
            let sup = spec.intensity(3, LONG).start(rt).await.unwrap();
            (sup.target().unwrap(), sup.of(&0).target().unwrap())
        }
    }
}

/// What is made for a restart by the user's code may fail as an `init` may.
#[test]
fn a_panic_in_making_the_arguments_of_a_restart_is_a_failed_try() {
    expect_panics();
    everywhere(|rt| async move {
        for kind in 0..3 {
            let log = Log::new();
            let (sup, child) = with_arguments(&rt, &log, kind, 3).await;
            end(&rt, child, ExitReason::Kill).await;
            // The tries that failed were starts, too.
            log.wait_for(Event::Init(1, 4)).await;
            assert!(rt.is_alive(sup));
        }
    });
}

#[test]
fn tries_without_a_process_count() {
    expect_panics();
    everywhere(|rt| async move {
        for of in 0..3 {
            let log = Log::new();
            let (sup, child) = with_arguments(&rt, &log, of, 100).await;
            let down = rt.down(sup);
            end(&rt, child, ExitReason::Kill).await;
            assert_eq!(kind(&down.await.reason), "shutdown");
            assert_eq!(log.count(|event| matches!(event, Event::Init(..))), 1);
        }
    });
}

/// Gives others their turn.
async fn turn() {
    let mut is_over = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Gives names to nobody while it is locked.
#[derive(Default)]
struct Lockable {
    names: Directory,
    owner: parking_lot::Mutex<Option<Pid>>,
    refused: AtomicUsize,
}

impl Registry for Lockable {
    fn register(&self, key: &Name, process: &Registrant) -> Result<(), Pid> {
        match *self.owner.lock() {
            Some(owner) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(owner)
            }
            None => self.names.register(key, process),
        }
    }

    fn unregister(&self, key: &Name, owner: Pid) -> bool {
        self.names.unregister(key, owner)
    }

    fn whereis(&self, key: &Name) -> Option<Pid> {
        self.names.whereis(key)
    }
}

impl Lockable {
    /// Ends the child, and waits until its restart has found the name taken, more than once.
    async fn taken(&self, rt: &Handle, child: Pid) {
        let before = self.refused.load(Ordering::Relaxed);
        *self.owner.lock() = Some(child);
        end(rt, child, ExitReason::Kill).await;
        // No time passes in a simulation while it is tried again and again.
        while self.refused.load(Ordering::Relaxed) <= before + 2 {
            turn().await;
        }
    }

    fn free(&self) {
        *self.owner.lock() = None;
    }
}

fn named(registry: &Arc<Lockable>) -> SpawnOptions {
    SpawnOptions::new().name(Name::via(registry.clone() as Arc<dyn Registry>, "child"))
}

/// The name is another's for a while. Meanwhile the child is listed, counted and found, by the pid that it had; when the
/// name is free it comes back, and who is terminated before does not.
#[test]
fn a_child_without_a_process_is_there_and_comes_back() {
    everywhere(|rt| async move {
        let (log, registry) = (Log::new(), Arc::new(Lockable::default()));
        let spec = DynamicSupervisor::<Plain>::new().with_intensity(Intensity::Unlimited);
        let spec = spec.child_options(named(&registry)).max_children(1);
        let sup = spec.start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        registry.taken(&rt, child.pid()).await;
        let list = sup.which_children().await.unwrap();
        assert_eq!((list.len(), list[0].state), (1, ChildState::Restarting));
        let counts = sup.count_children().await.unwrap();
        assert_eq!((counts.specs, counts.active, counts.workers), (1, 0, 1));
        assert_eq!(sup.count(), 1);
        let more = sup.start_child(Setup::new(2, &log)).await;
        assert!(matches!(more, Err(StartError::MaxChildren)), "{more:?}");
        let node = sup.tree().await.root;
        assert_eq!((node.below.workers, node.below.active), (1, 0));
        assert_eq!(sup.get_childspec(&child).await.unwrap().restart, Restart::Permanent);
        registry.free();
        log.wait(2, |event| event == Event::Started(1)).await;

        let second = rt.whereis(Name::via(registry.clone() as Arc<dyn Registry>, "child"));
        let second = second.unwrap();
        registry.taken(&rt, second).await;
        sup.terminate_child(second).await.unwrap();
        assert_eq!((sup.count(), sup.which_children().await.unwrap().len()), (0, 0));
        assert!(matches!(sup.terminate_child(second).await, Err(ChildError::NotFound)));
        registry.free();
        sup.start_child(Setup::new(3, &log)).await.unwrap();
        assert_eq!(log.count(|event| event == Event::Started(1)), 2);
    });
}

/// As before, of any kinds: by its address.
#[test]
fn a_child_of_any_kind_without_a_process_is_there_and_comes_back() {
    everywhere(|rt| async move {
        let (log, registry) = (Log::new(), Arc::new(Lockable::default()));
        let spec = DynamicSupervisor::any().with_intensity(Intensity::Unlimited).max_children(1);
        let sup = spec.start(&rt).await.unwrap();
        let of = |id| Child::new::<Plain>("child", Setup::new(id, &log)).options(named(&registry));
        let child = sup.start_child(of(1)).await.unwrap();
        registry.taken(&rt, child.target().unwrap()).await;
        let list = sup.which_children().await.unwrap();
        assert_eq!((list.len(), list[0].state), (1, ChildState::Restarting));
        let counts = sup.count_children().await.unwrap();
        assert_eq!((counts.specs, counts.active, counts.workers), (1, 0, 1));
        assert!(matches!(sup.start_child(of(2)).await, Err(StartError::MaxChildren)));
        assert_eq!(sup.get_childspec(&child).await.unwrap().restart, Restart::Permanent);
        registry.free();
        until(&rt, || child.is_alive()).await;
        assert!(child.call(Msg::Who).await.unwrap().1.attempt > 2);

        registry.taken(&rt, child.target().unwrap()).await;
        sup.terminate_child(&child).await.unwrap();
        assert_eq!((sup.count(), sup.which_children().await.unwrap().len()), (0, 0));
        assert!(matches!(child.cast(Msg::Exit).unwrap_err().why(), SendFailure::NoProc));
        assert!(matches!(sup.terminate_child(&child).await, Err(ChildError::NotFound)));
    });
}

/// Its address means it, whichever incarnation there is, or none.
#[test]
fn a_child_that_crashes_again_and_again_is_found_by_its_address() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::any().with_intensity(Intensity::Unlimited);
        let sup = spec.start(&rt).await.unwrap();
        let setup = Setup::new(1, &log).init(|info| async move {
            if info.attempt % 3 == 0 { Err(ExitReason::custom("no")) } else { Ok(()) }
        });
        let child: ChildRef<Msg> =
            sup.start_child(Child::new::<Plain>("child", setup)).await.unwrap();
        for _ in 0..20 {
            // Asked at once, when it may have ended, may be between two incarnations or have come back.
            if let Some(current) = child.current() {
                told(&rt, &current, Msg::End(ExitReason::custom("crash"))).await;
            }
            let spec = sup.get_childspec(&child).await;
            assert_eq!(spec.unwrap().restart, Restart::Permanent);
        }
        until(&rt, || child.is_alive()).await;
        rt.exit(&child, ExitReason::Kill);
        sup.terminate_child(&child).await.unwrap();
        assert!(matches!(sup.terminate_child(&child).await, Err(ChildError::NotFound)));
        assert_eq!(sup.count(), 0);
        let inits = log.count(|event| matches!(event, Event::Init(..)));
        rt.sleep(Duration::from_millis(5)).await;
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), inits);
    });
}

/// A partition that is tried again and again is stopped by a resize, and starts anew with the next one.
#[test]
fn a_resize_takes_a_partition_that_is_being_restarted() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let (noted, opened) = (log.clone(), gate.clone());
        let spec = PartitionSupervisor::new(Partitions::exactly(2), move |index| {
            let gate = opened.clone();
            let setup = Setup::new(index as u64, &noted).init(move |info| {
                let fails = info.attempt > 1 && !gate.is_open();
                async move { if fails { Err(ExitReason::custom("not yet")) } else { Ok(()) } }
            });
            Child::new::<Plain>("worker", setup)
        });
        let sup = spec.with_intensity(Intensity::Unlimited).start(&rt).await.unwrap();
        let last = sup.of(&1).clone();
        end(&rt, &last, ExitReason::Kill).await;
        log.wait_for(Event::Init(1, 4)).await;
        assert_eq!(sup.resize(1).await.unwrap(), 2);
        assert!(matches!(last.cast(Msg::Exit).unwrap_err().why(), SendFailure::NoProc));
        let inits = log.count(|event| matches!(event, Event::Init(..)));
        rt.sleep(Duration::from_millis(5)).await;
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), inits);
        assert_eq!(sup.resize(2).await.unwrap(), 1);
        assert_eq!(last.call(Msg::Who).await.unwrap().1.attempt, 1);
    });
}

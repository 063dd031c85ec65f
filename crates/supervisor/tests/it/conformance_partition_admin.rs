//! The rules of Elixir's PartitionSupervisor on names, lists and resizes, by the ids of `docs/conformance.md`.

use std::{
    collections::HashSet,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join;
use whitebeam_actor::{
    CallError, ChildRef, Directory, ExitReason, FindError, Handle, Name, Registry, SendFailure,
    SpawnOptions, StartError, Target,
};
use whitebeam_supervisor::{
    Child, ChildError, ChildState, DynamicSupervisor, PartitionRef, PartitionSupervisor,
    Partitions, ResizeError, Supervisor,
};

use crate::support::{Event, Log, Msg, Plain, Setup, Tidy, everywhere, kind, stop};

type Pool = PartitionRef<ChildRef<Msg>>;

/// Workers whose ids are their indexes.
fn workers(n: usize, log: &Log) -> PartitionSupervisor<ChildRef<Msg>> {
    let log = log.clone();
    PartitionSupervisor::new(Partitions::exactly(n), move |index| {
        Child::new::<Tidy>("worker", Setup::new(index as u64, &log))
    })
}

async fn start(rt: &Handle, n: usize, log: &Log) -> Pool {
    workers(n, log).start(rt).await.unwrap()
}

/// A via name, of a registry of its own.
fn via(key: &str) -> Name {
    Name::via(Arc::new(Directory::new()) as Arc<dyn Registry>, key)
}

fn named(name: &Name) -> SpawnOptions {
    SpawnOptions::new().name(name.clone())
}

/// Adapted: the name is the id where none is given; of a name in a registry its key there.
#[test]
fn part_001_the_name_is_the_id() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let one = tree.child_with(workers(1, &log).options(named(&"Foo".into())).into());
        let two = tree.child_with(workers(2, &log).options(named(&via("Bar"))).into());
        let root = tree.start(&rt).await.unwrap();
        for (id, pool) in [("Foo", one), ("Bar", two)] {
            let entry = root.which_child(id).await.unwrap();
            assert_eq!(entry.state, ChildState::Running(pool.target().unwrap()));
        }
    });
}

/// One with a via name is found by it; its keys lead to its partitions.
#[test]
fn part_003_found_by_a_via_name() {
    everywhere(|rt| async move {
        let (log, name) = (Log::new(), via("pool"));
        let started = workers(3, &log).options(named(&name)).start(&rt).await.unwrap();
        let pool: Pool = PartitionRef::find(&rt, name).await.unwrap();
        assert_eq!(pool.len(), 3);
        for key in 0..6 {
            assert_eq!(pool.of(&key).target(), started.of(&key).target());
        }
        assert_eq!(pool.of(&0).call(Msg::Who).await.unwrap().0, 0);
        // It sees what becomes of the other handle's resize.
        started.resize(1).await.unwrap();
        assert_eq!(pool.len(), 1);
        // Of other partitions there is none of this name.
        let wrong = PartitionRef::<ChildRef<u8>>::find(&rt, &pool).await;
        assert!(matches!(wrong, Err(FindError::WrongMessage { .. })), "{wrong:?}");
    });
}

/// A stop by a via name is over when all is down, and the name is free.
#[test]
fn part_007_a_stop_by_a_via_name() {
    everywhere(|rt| async move {
        let (log, name) = (Log::new(), via("pool"));
        let pool = workers(3, &log).options(named(&name)).start(&rt).await.unwrap();
        let children: Vec<_> = pool.iter().filter_map(ChildRef::current).collect();
        rt.stop(name.clone(), ExitReason::Shutdown).await.unwrap();
        assert!(!rt.is_alive(&pool) && children.iter().all(|child| !child.is_alive()));
        assert_eq!((children.len(), rt.whereis(name)), (3, None));
    });
}

/// There is no handle of one that is not there; one whose supervisor has ended says so.
#[test]
fn part_008_unknown_supervisors() {
    everywhere(|rt| async move {
        for name in [Name::from("nobody"), via("nobody")] {
            let found: Result<Pool, _> = PartitionRef::find(&rt, name).await;
            assert!(matches!(found, Err(FindError::NoProc)), "{found:?}");
        }
        let log = Log::new();
        let name = via("pool");
        let pool = workers(2, &log).options(named(&name)).start(&rt).await.unwrap();
        let (child, pid) = (pool.of(&1).clone(), pool.target().unwrap());
        let found: Result<Pool, _> = PartitionRef::find(&rt, pid).await;
        assert_eq!(found.unwrap().target(), Some(pid));
        stop(&rt, &pool).await;
        for found in [PartitionRef::find(&rt, pid).await, PartitionRef::find(&rt, name).await] {
            let found: Result<Pool, _> = found;
            assert!(matches!(found, Err(FindError::NoProc)), "{found:?}");
        }
        assert!(matches!(pool.count_children().await, Err(ChildError::NoSupervisor)));
        assert!(matches!(pool.which_children().await, Err(ChildError::NoSupervisor)));
        let resized = pool.resize(1).await;
        assert!(matches!(resized, Err(ResizeError::Supervisor(ChildError::NoSupervisor))));
        assert!(matches!(pool.of(&1).call(Msg::Who).await, Err(CallError::NoProc)));
        assert!(matches!(child.cast(Msg::Exit).unwrap_err().why(), SendFailure::NoProc));
    });
}

/// Whom the keys 0 to 7 lead to.
async fn served(pool: &Pool) -> HashSet<u64> {
    let mut served = HashSet::new();
    for key in 0..8 {
        served.insert(pool.of(&key).call(Msg::Who).await.unwrap().0);
    }
    served
}

/// After a resize there are so many partitions, active children and those that serve keys, down, up and back and forth;
/// with none, keys lead to nobody.
#[test]
fn part_009_resize() {
    everywhere(|rt| async move {
        let log = Log::new();
        let pool = start(&rt, 8, &log).await;
        let mut before = 8;
        let shuffled = [5, 2, 7, 0, 1, 8, 3, 6, 4];
        for to in (0..=8).rev().chain(0..=8).chain(shuffled) {
            assert_eq!(pool.resize(to).await.unwrap(), before);
            assert_eq!((pool.len(), pool.iter().count()), (to, to));
            let counts = pool.count_children().await.unwrap();
            assert_eq!((counts.specs, counts.active, counts.workers), (8, to, 8));
            let list = pool.which_children().await.unwrap();
            let runs = list.iter().map(|entry| entry.state != ChildState::Stopped);
            assert!(runs.eq((0..8).map(|index| index < to)), "{list:?}");
            match to {
                0 => {
                    assert!(pool.get(&0).is_none() && pool.is_empty());
                    for key in 0..8 {
                        let called = pool.of(&key).call(Msg::Who).await;
                        assert!(matches!(called, Err(CallError::NoProc)), "{called:?}");
                    }
                }
                to => assert_eq!(served(&pool).await, (0..to as u64).collect()),
            }
            before = to;
        }
    });
}

/// More than there were at the start are refused, with the range that there is. (Fewer than none do not compile.)
#[test]
fn part_010_too_many() {
    everywhere(|rt| async move {
        let log = Log::new();
        let pool = start(&rt, 8, &log).await;
        for _ in 0..2 {
            let error = pool.resize(9).await.unwrap_err();
            assert!(matches!(error, ResizeError::TooMany { asked: 9, most: 8 }));
            assert!(error.to_string().contains("0 to 8"), "{error}");
            assert!(pool.len() <= 8);
            pool.resize(2).await.unwrap();
        }
    });
}

/// Two at once go one after the other: what is left is that of one of them.
#[test]
fn part_011_resizes_at_once() {
    everywhere(|rt| async move {
        let log = Log::new();
        let pool = start(&rt, 4, &log).await;
        for (one, other) in [(1, 3), (4, 2), (0, 4), (2, 2)] {
            let before = pool.len();
            let (first, second) = join(pool.resize(one), pool.resize(other)).await;
            let mut seen = [first.unwrap(), second.unwrap(), pool.len()];
            // Each has found what the one before has left.
            assert!(seen[..2].contains(&before), "{seen:?}");
            assert!(seen[2] == one || seen[2] == other, "{seen:?}");
            let mut expected = [before, one, other];
            seen.sort_unstable();
            expected.sort_unstable();
            assert_eq!(seen, expected);
            let counts = pool.count_children().await.unwrap();
            assert_eq!(counts.active, pool.len());
            assert_eq!(pool.iter().filter(|child| child.is_alive()).count(), pool.len());
        }
    });
}

/// While keys are being looked up: behind a resize none leads to a partition that was stopped.
#[test]
fn part_012_routing_while_it_shrinks() {
    everywhere(|rt| async move {
        let log = Log::new();
        let pool = start(&rt, 4, &log).await;
        let resized = Arc::new(AtomicBool::new(false));
        let routing = rt.spawn_task({
            let (pool, resized, rt) = (pool.clone(), resized.clone(), rt.clone());
            async move {
                let mut after = 0;
                let mut reached = [0_u32; 4];
                while after < 8 {
                    for key in 0..4 {
                        let is_over = resized.load(Ordering::SeqCst);
                        match pool.of(&key).call(Msg::Who).await {
                            Ok((id, _)) => {
                                assert!(!is_over || id < 2, "{id}");
                                reached[id as usize] += 1;
                            }
                            Err(error) => assert!(!is_over, "{error}"),
                        }
                        after += u32::from(is_over);
                    }
                    rt.sleep(std::time::Duration::from_micros(100)).await;
                }
                reached
            }
        });
        assert_eq!(pool.of(&3).call(Msg::Who).await.unwrap().0, 3);
        assert_eq!(pool.resize(2).await.unwrap(), 4);
        resized.store(true, Ordering::SeqCst);
        let reached = routing.await;
        assert!(reached[0] > 0 && reached[1] > 0, "{reached:?}");
    });
}

/// Workers are counted as such, and so are supervisors, by whichever handle.
#[test]
fn part_014_counts() {
    everywhere(|rt| async move {
        let (log, name) = (Log::new(), via("pool"));
        let counts = |counts: whitebeam_supervisor::ChildCounts| {
            (counts.specs, counts.active, counts.supervisors, counts.workers)
        };
        workers(5, &log).options(named(&name)).start(&rt).await.unwrap();
        let pool: Pool = PartitionRef::find(&rt, name).await.unwrap();
        assert_eq!(counts(pool.count_children().await.unwrap()), (5, 5, 0, 5));
        let sups = PartitionSupervisor::new(Partitions::exactly(4), |_| {
            Child::nested("dynamic", DynamicSupervisor::<Plain>::temporary())
        });
        let sups = sups.start(&rt).await.unwrap();
        assert_eq!(counts(sups.count_children().await.unwrap()), (4, 4, 4, 0));
        let list = sups.which_children().await.unwrap();
        for (index, (entry, sup)) in list.iter().zip(sups.iter()).enumerate() {
            assert_eq!(entry.id, index.into());
            assert_eq!(entry.state, ChildState::Running(sup.target().unwrap()));
        }
    });
}

/// A type of which it is asked whether a process can be named with it.
struct Of<T>(PhantomData<T>);

trait IsName: Sized {
    fn names_processes(self) -> bool {
        true
    }
}

impl<T: Into<Name>> IsName for Of<T> {}

/// Found where the other one is not.
trait IsNoName {
    fn names_processes(&self) -> bool {
        false
    }
}

impl<T> IsNoName for Of<T> {}

/// By types: neither a partition supervisor nor what its keys lead to is a name. What its partitions are called elsewhere is another matter: a process of such a name takes nothing from it.
#[test]
fn part_016_routes_are_no_names() {
    everywhere(|rt| async move {
        let log = Log::new();
        let pool = workers(2, &log).options(named(&"pool".into())).start(&rt).await.unwrap();
        assert!(Of(PhantomData::<&str>).names_processes());
        assert!(
            !Of(PhantomData::<Pool>).names_processes()
                && !Of(PhantomData::<&Pool>).names_processes()
        );
        assert!(!Of(PhantomData::<ChildRef<Msg>>).names_processes());
        assert!(!Of(PhantomData::<&ChildRef<Msg>>).names_processes());
        for name in ["0", "worker"] {
            let options = named(&name.into());
            rt.with(options).start::<Plain>(Setup::new(9, &log)).await.unwrap();
        }
        let taken = rt.with(named(&"pool".into())).start::<Plain>(Setup::new(9, &log)).await;
        assert!(matches!(taken, Err(StartError::NameTaken(pid)) if Some(pid) == pool.target()));
        assert_eq!(pool.of(&0).call(Msg::Who).await.unwrap().0, 0);
    });
}

/// What a key leads to is cast to, called, monitored and told to exit as any process.
#[test]
fn a_key_leads_to_what_any_request_takes() {
    everywhere(|rt| async move {
        let log = Log::new();
        let pool = start(&rt, 3, &log).await;
        let down = rt.down(pool.of("key"));
        assert!(rt.is_alive(pool.of("key")));
        rt.exit(pool.of("key"), ExitReason::Kill);
        assert_eq!(kind(&down.await.reason), "killed");
        log.wait(1, |event| matches!(event, Event::Init(_, 2))).await;
    });
}

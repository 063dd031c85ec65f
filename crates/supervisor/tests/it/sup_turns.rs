//! A supervisor with many children leaves its worker to others while it changes them.

use std::{
    collections::HashSet,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use whitebeam_actor::{Actor, ActorRef, ChildRef, Context, ExitReason, Handle, Mailbox, yield_now};
use whitebeam_supervisor::{Child, Intensity, Supervisor, SupervisorRef};
use whitebeam_testkit::{Everywhere, Sim};

use crate::{
    support::{Event, Gate, Log, Msg, Setup, end, stop, told},
    tree::{child_of, current},
};

/// A child that ends at once when it is told to. The first says in the log that it has started.
struct Idle;

impl Actor for Idle {
    type Args = (u64, Log);
    type Msg = ();

    async fn init((id, log): Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        if id == 1 {
            log.note(Event::Started(id));
        }
        Ok(Idle)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(ExitReason::custom("as asked"))
    }
}

const LAST: u64 = 5_120;

/// What is to be counted at least: as many turns as there are batches of 256, less what chance may take.
const TURNS: usize = LAST as usize / 256 / 2;

async fn started(
    rt: &Handle,
    mut tree: Supervisor,
    log: &Log,
) -> (SupervisorRef, Vec<ChildRef<()>>) {
    let child = |id| Child::new::<Idle>(id as usize, (id, log.clone()));
    let children = (1..=LAST).map(|id| tree.child_with(child(id))).collect();
    (tree.start(rt).await.unwrap(), children)
}

/// A process that counts its turns. It never rests: while it lives, virtual time stands.
struct Counter {
    turns: Arc<AtomicUsize>,
    process: ActorRef<()>,
}

impl Counter {
    fn new(rt: &Handle) -> Self {
        Self::of(rt, Arc::default())
    }

    fn of(rt: &Handle, turns: Arc<AtomicUsize>) -> Self {
        let counted = turns.clone();
        let process = rt.spawn_fn(move |_: Mailbox<()>| async move {
            loop {
                counted.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
            }
        });
        Counter { turns, process }
    }

    async fn stop(self, rt: &Handle) -> usize {
        end(rt, &self.process, ExitReason::Kill).await;
        self.turns.load(Ordering::SeqCst)
    }
}

/// In virtual time, and on one worker.
fn on_one_worker<F: Future<Output = ()>>(test: impl Fn(Handle) -> F) {
    Everywhere::new().simulated(Sim::new().seeds(4)).workers(&[1]).run(test);
}

/// Children that are idle end in the supervisor's own turn.
#[test]
fn the_end_of_a_supervisor_of_many_leaves_turns_to_others() {
    on_one_worker(|rt| async move {
        let (root, children) = started(&rt, Supervisor::one_for_one(), &Log::new()).await;
        let down = rt.down(&root);
        let counter = Counter::new(&rt);
        rt.exit(&root, ExitReason::Shutdown);
        down.await;
        let turns = counter.stop(&rt).await;
        assert!(turns >= TURNS, "{turns} turns");
        assert!(!children.iter().any(ChildRef::is_alive));
    });
}

/// Nothing is waited for where children have no process to be stopped.
#[test]
fn the_restart_of_a_group_of_many_leaves_turns_to_others() {
    on_one_worker(|rt| async move {
        let log = Log::new();
        let (root, children) = started(&rt, Supervisor::one_for_all(), &log).await;
        for child in &children[1..] {
            root.terminate_child(child).await.unwrap();
        }
        let counter = Counter::new(&rt);
        children[0].cast(()).unwrap();
        // Behind the walk over the others.
        log.wait(2, |event| event == Event::Started(1)).await;
        let turns = counter.stop(&rt).await;
        assert!(turns >= TURNS, "{turns} turns");
        stop(&rt, &root).await;
    });
}

/// What a spec holds: notes in which turn of the counter it was freed. A copy, which a start has, does not.
struct Held(Option<(Arc<AtomicUsize>, Freed)>);

/// How many were freed, and in which turns.
type Freed = Arc<Mutex<(u64, HashSet<usize>)>>;

impl Clone for Held {
    fn clone(&self) -> Self {
        Held(None)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((turns, freed)) = &self.0 {
            let mut freed = freed.lock();
            freed.0 += 1;
            freed.1.insert(turns.load(Ordering::SeqCst));
        }
    }
}

struct Holder;

impl Actor for Holder {
    type Args = Held;
    type Msg = ();

    async fn init(_: Held, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Holder)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

/// The specs below a nested supervisor are kept for its next incarnation, and freed by the one above: when that is told
/// to forget it, and when it ends itself.
#[test]
fn specs_below_a_nested_supervisor_are_freed_in_turns() {
    for is_deleted in [true, false] {
        // In the order of the queue: in a simulation chance may leave the counter out.
        Everywhere::new().only_threaded().workers(&[1]).run(move |rt| async move {
            let (freed, turns) = (Freed::default(), Arc::default());
            let mut inner = Supervisor::one_for_one();
            for id in 0..LAST as usize {
                let held = Held(Some((Arc::clone(&turns), freed.clone())));
                inner.child_with(Child::new::<Holder>(id, held));
            }
            let mut middle = Supervisor::one_for_one();
            middle.nest("inner", inner);
            let root = Supervisor::one_for_one().start(&rt).await.unwrap();
            root.start_child(Child::nested("middle", middle)).await.unwrap();
            root.terminate_child("middle").await.unwrap();
            assert_eq!(freed.lock().0, 0);
            let counter = Counter::of(&rt, turns);
            if is_deleted {
                root.delete_child("middle").await.unwrap();
                // Behind that.
                assert_eq!(root.count_children().await.unwrap().specs, 0);
            } else {
                stop(&rt, &root).await;
            }
            let (count, turns) = std::mem::take(&mut *freed.lock());
            assert_eq!(count, LAST);
            assert!(turns.len() >= TURNS, "{turns:?}");
            counter.stop(&rt).await;
            if is_deleted {
                stop(&rt, &root).await;
            }
        });
    }
}

/// Who gives up the restarts of one child goes through no others, unless they are restarted with it.
#[test]
fn a_child_that_restarts_alone_is_terminated_whatever_the_number_of_others() {
    on_one_worker(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_one().with_intensity(Intensity::Unlimited);
        let waits = gate.clone();
        let failing = tree.child_with(child_of(Setup::new(LAST + 1, &log).init(move |info| {
            let gate = waits.clone();
            async move {
                if info.attempt == 1 {
                    return Ok(());
                }
                gate.passed().await;
                Err(ExitReason::custom("no"))
            }
        })));
        let (root, _) = started(&rt, tree, &log).await;
        let crash = Msg::End(ExitReason::custom("crash"));
        told(&rt, &current(&failing), crash).await;
        log.wait_for(Event::Init(LAST + 1, 2)).await;
        let counter = Counter::new(&rt);
        let (asked, turns) = (root.clone(), counter.turns.clone());
        // Counted where no other thread is waited for.
        let turns = rt.spawn_task(async move {
            let mut terminated = Box::pin(asked.terminate_child(LAST as usize + 1));
            assert!(futures_util::poll!(&mut terminated).is_pending());
            // It is in line, ahead of the next try.
            asked.count_children().await.unwrap();
            let before = turns.load(Ordering::SeqCst);
            gate.open();
            terminated.await.unwrap();
            turns.load(Ordering::SeqCst) - before
        });
        let turns = turns.await;
        assert!(turns < TURNS, "{turns} turns");
        counter.stop(&rt).await;
        stop(&rt, &root).await;
    });
}

//! A supervisor with many children leaves its worker to others while it changes them.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use whitebeam_actor::{Actor, ActorRef, ChildRef, Context, ExitReason, Handle, Mailbox, yield_now};
use whitebeam_supervisor::{Child, Supervisor, SupervisorRef};
use whitebeam_testkit::{Everywhere, Sim};

use crate::support::{Event, Log, end, stop};

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
        let turns: Arc<AtomicUsize> = Arc::default();
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

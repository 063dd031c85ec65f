//! What the specs of children hold: it is dropped child by child, and no longer kept than a start can need it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use whitebeam_actor::{Actor, ChildRef, Context, ExitReason, Mailbox, StartError};
use whitebeam_supervisor::{
    Child, PartitionSupervisor, Partitions, Restart, Supervisor, SupervisorFn,
};

use crate::{
    support::{EXPECTED, Event, Gate, Log, Setup, end, expect_panics, stop, until},
    tree::{child_of, counts, everywhere, pid, renewed},
};

/// An argument whose destructor panics; that of a copy does not.
struct Bomb(Option<Arc<AtomicUsize>>);

impl Bomb {
    fn new(gone_off: &Arc<AtomicUsize>) -> Self {
        Bomb(Some(gone_off.clone()))
    }
}

impl Clone for Bomb {
    fn clone(&self) -> Self {
        Bomb(None)
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(gone_off) = &self.0 {
            gone_off.fetch_add(1, Ordering::SeqCst);
            panic!("{EXPECTED}");
        }
    }
}

/// Does nothing with its arguments.
struct Holder;

impl Actor for Holder {
    type Args = Bomb;
    type Msg = ();

    async fn init(_: Bomb, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Holder)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn holder(id: usize, gone_off: &Arc<AtomicUsize>) -> Child<ChildRef<()>> {
    Child::new::<Holder>(id, Bomb::new(gone_off))
}

/// A process whose body holds a bomb.
fn process(id: usize, gone_off: &Arc<AtomicUsize>) -> Child<ChildRef<()>> {
    let bomb = Bomb::new(gone_off);
    Child::process(id, move |mut mailbox: Mailbox<()>| {
        let _copy = bomb.clone();
        async move {
            loop {
                mailbox.recv().await;
            }
        }
    })
}

/// A supervisor that is made by a function which holds a bomb.
fn made(gone_off: &Arc<AtomicUsize>) -> SupervisorFn {
    let bomb = Bomb::new(gone_off);
    SupervisorFn::new(move |_| {
        let _copy = bomb.clone();
        Ok(Supervisor::one_for_one())
    })
}

/// Four children that hold bombs, of all kinds.
fn tree(gone_off: &Arc<AtomicUsize>) -> Supervisor {
    let mut tree = Supervisor::one_for_one();
    tree.child_with(holder(1, gone_off));
    tree.child_with(process(2, gone_off));
    tree.nest(3, made(gone_off));
    tree.child_with(holder(4, gone_off));
    tree
}

#[test]
fn destructors_of_arguments_that_panic_go_off_one_by_one_when_a_supervisor_ends() {
    expect_panics();
    for reason in [ExitReason::Shutdown, ExitReason::Kill] {
        everywhere(move |rt| {
            let reason = reason.clone();
            async move {
                let gone_off = Arc::default();
                let root = tree(&gone_off).start(&rt).await.unwrap();
                root.start_child(holder(5, &gone_off)).await.unwrap();
                end(&rt, &root, reason).await;
                until(&rt, || gone_off.load(Ordering::SeqCst) == 5).await;
                until(&rt, || rt.processes().is_empty()).await;
            }
        });
    }
}

#[test]
fn destructors_of_arguments_that_panic_go_off_one_by_one_below_a_supervisor() {
    expect_panics();
    everywhere(|rt| async move {
        let gone_off: Arc<AtomicUsize> = Arc::default();
        let of_partitions = gone_off.clone();
        let mut top = Supervisor::one_for_one();
        let two = Partitions::exactly(2);
        top.nest("two", PartitionSupervisor::new(two, move |i| holder(i, &of_partitions)));
        let root = top.start(&rt).await.unwrap();
        root.start_child(Child::nested("tree", tree(&gone_off))).await.unwrap();
        // A child that is deleted takes what its spec holds with it, and nobody else.
        root.terminate_child("tree").await.unwrap();
        root.delete_child("tree").await.unwrap();
        assert_eq!(counts(&root).await, (1, 1, 1, 0));
        assert_eq!(gone_off.load(Ordering::SeqCst), 4);
        stop(&rt, &root).await;
        until(&rt, || gone_off.load(Ordering::SeqCst) == 6).await;
    });
}

#[test]
fn destructors_of_arguments_that_panic_go_off_one_by_one_when_nothing_is_started() {
    expect_panics();
    everywhere(|rt| async move {
        let gone_off = Arc::default();
        drop(tree(&gone_off));
        assert_eq!(gone_off.load(Ordering::SeqCst), 4);
        let mut twice = tree(&gone_off);
        twice.child_with(holder(1, &gone_off));
        twice.child_with(holder(6, &gone_off));
        assert!(matches!(twice.start(&rt).await, Err(StartError::Invalid(_))));
        assert_eq!(gone_off.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn destructors_of_arguments_that_panic_go_off_one_by_one_in_line() {
    expect_panics();
    everywhere(|rt| async move {
        let (log, gate, gone_off) = (Log::new(), Gate::new(), Arc::default());
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        let slow = root.start_child(child_of(Setup::new(1, &log).init_at(&gate)));
        log.wait_for(Event::Init(1, 1)).await;
        let asked: Vec<_> = (2..7).map(|id| root.start_child(holder(id, &gone_off))).collect();
        // Behind these.
        root.which_children().await.unwrap();
        stop(&rt, &root).await;
        assert!(slow.await.is_err());
        for asked in asked {
            assert!(matches!(asked.await, Err(StartError::Exit(_))));
        }
        until(&rt, || gone_off.load(Ordering::SeqCst) == 5).await;
    });
}

type Kept = Arc<()>;

struct Large;

impl Actor for Large {
    type Args = Kept;
    type Msg = ();

    async fn init(_: Kept, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Large)
    }

    async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

/// A temporary child whose arguments could be made again, and the count of those that are there.
fn temporary(id: &str, kept: &Kept) -> Child<ChildRef<()>> {
    Child::new::<Large>(id, kept.clone()).restart(Restart::Temporary)
}

fn is_kept(kept: &Kept) -> bool {
    Arc::strong_count(kept) > 1
}

/// A temporary child has one start: what it was made from is not kept behind that, however it was given.
#[test]
fn arguments_of_temporary_children_are_forgotten_with_their_start() {
    everywhere(|rt| async move {
        let kept: [Kept; 6] = Default::default();
        let mut tree = Supervisor::one_for_one();
        tree.child_with(temporary("in the spec", &kept[0]));
        tree.child_with(Child::new::<Large>("permanent", kept[1].clone()));
        let root = tree.start(&rt).await.unwrap();
        assert_eq!([&kept[0], &kept[1]].map(is_kept), [false, true]);

        let handle = root.start_child(temporary("added", &kept[2])).await.unwrap();
        let args = kept[3].clone();
        let by_fn = Child::from_fn::<Large>("function", move || args.clone());
        root.start_child(by_fn.restart(Restart::Temporary)).await.unwrap();
        let made_from = kept[4].clone();
        let made = SupervisorFn::new(move |_| {
            let _kept = &made_from;
            Ok(Supervisor::one_for_one())
        });
        root.start_child(Child::nested("made", made).restart(Restart::Temporary)).await.unwrap();
        let mut nested = Supervisor::one_for_one();
        nested.child_with(Child::new::<Large>("below", kept[5].clone()));
        let nested = Child::nested("nested", nested).restart(Restart::Temporary);
        let nested = root.start_child(nested).await.unwrap();
        assert_eq!(kept.each_ref().map(is_kept), [false, true, false, false, false, true]);

        // They are children as before, and their addresses end with them.
        assert_eq!(counts(&root).await, (6, 6, 2, 4));
        assert!(handle.is_alive());
        end(&rt, &handle, ExitReason::Kill).await;
        end(&rt, &nested, ExitReason::Kill).await;
        crate::tree::until(&rt, &root, |children| children.len() == 4).await;
        // With the only incarnation that its supervisor can have.
        assert!(!is_kept(&kept[5]));
        stop(&rt, &root).await;
        assert!(!kept.iter().any(is_kept));
        assert!(handle.cast(()).is_err_and(|error| !error.is_retryable()));
    });
}

/// One in the spec of a supervisor that may be restarted comes back with that.
#[test]
fn arguments_of_temporary_children_are_kept_for_a_restart_above() {
    everywhere(|rt| async move {
        let kept = Kept::default();
        let mut inner = Supervisor::one_for_one();
        let handle = inner.child_with(temporary("worker", &kept));
        let mut tree = Supervisor::one_for_one();
        let inner = tree.nest(1, inner);
        let root = tree.start(&rt).await.unwrap();
        assert!(is_kept(&kept));
        let (first, before) = (pid(&handle), pid(&inner));
        end(&rt, &inner, ExitReason::Kill).await;
        renewed(&rt, &root, 1, before).await;
        until(&rt, || handle.current().is_some_and(|now| now.pid() != first)).await;
        stop(&rt, &root).await;
        assert!(!is_kept(&kept));
    });
}

//! Ten thousand children, flat and in two tiers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use whitebeam_actor::{Actor, Context, ExitReason};
use whitebeam_supervisor::{DynamicSupervisor, PartitionedRef, Partitions};

use crate::support::{stop, threaded};

const CHILDREN: usize = 10_000;

/// Counts its end. With and without a `terminate` of its own.
struct Counted<const TIDY: bool>(Arc<Counts>);

#[derive(Default)]
struct Counts {
    alive: AtomicUsize,
    terminated: AtomicUsize,
    dropped: AtomicUsize,
}

impl<const TIDY: bool> Drop for Counted<TIDY> {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl<const TIDY: bool> Counted<TIDY> {
    fn new(counts: Arc<Counts>) -> Self {
        counts.alive.fetch_add(1, Ordering::Relaxed);
        Counted(counts)
    }
}

impl Actor for Counted<false> {
    type Args = Arc<Counts>;
    type Msg = ();
    async fn init(counts: Arc<Counts>, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Counted::new(counts))
    }
    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

impl Actor for Counted<true> {
    type Args = Arc<Counts>;
    type Msg = ();
    async fn init(counts: Arc<Counts>, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.trap_exit(|_| ());
        Ok(Counted::new(counts))
    }
    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
    async fn terminate(&mut self, _reason: &ExitReason, _cx: &mut Context<Self>) {
        self.0.terminated.fetch_add(1, Ordering::Relaxed);
    }
}

fn check<const TIDY: bool>(counts: &Counts) {
    assert_eq!(counts.alive.load(Ordering::Relaxed), 0);
    assert_eq!(counts.dropped.load(Ordering::Relaxed), CHILDREN);
    assert_eq!(counts.terminated.load(Ordering::Relaxed), if TIDY { CHILDREN } else { 0 });
}

async fn flat<const TIDY: bool>(rt: whitebeam_actor::Handle, spec: DynamicSupervisor<Counted<TIDY>>)
where
    Counted<TIDY>: Actor<Args = Arc<Counts>>,
{
    let counts = Arc::new(Counts::default());
    let sup = spec.start(&rt).await.unwrap();
    let started = sup.start_children((0..CHILDREN).map(|_| counts.clone())).await;
    assert!(started.iter().all(Result::is_ok));
    assert_eq!(counts.alive.load(Ordering::Relaxed), CHILDREN);
    assert_eq!(sup.count(), CHILDREN);
    stop(&rt, &sup).await;
    check::<TIDY>(&counts);
    assert!(started.iter().flatten().all(|child| !child.is_alive()));
    assert_eq!(rt.processes().len(), 0);
}

async fn two_tier<const TIDY: bool>(
    rt: whitebeam_actor::Handle,
    spec: DynamicSupervisor<Counted<TIDY>>,
) where
    Counted<TIDY>: Actor<Args = Arc<Counts>>,
{
    let counts = Arc::new(Counts::default());
    let sups: PartitionedRef<_> = spec.partitions(Partitions::exactly(7)).start(&rt).await.unwrap();
    for key in 0..CHILDREN {
        sups.start_child(&key, counts.clone()).await.unwrap();
    }
    assert_eq!(sups.count(), CHILDREN);
    assert_eq!(rt.processes().len(), CHILDREN + 8);
    for (index, sup) in sups.iter().enumerate() {
        assert_eq!(sup.count(), CHILDREN / 7 + usize::from(index < CHILDREN % 7));
    }
    stop(&rt, &sups).await;
    check::<TIDY>(&counts);
    assert_eq!(rt.processes().len(), 0);
}

#[test]
fn a_flat_supervisor_ends_after_ten_thousand_children() {
    threaded(|rt| flat::<false>(rt, DynamicSupervisor::temporary()));
    threaded(|rt| flat::<true>(rt, DynamicSupervisor::new()));
}

#[test]
fn two_tiers_end_after_ten_thousand_children() {
    threaded(|rt| two_tier::<false>(rt, DynamicSupervisor::new()));
    threaded(|rt| two_tier::<true>(rt, DynamicSupervisor::temporary()));
}

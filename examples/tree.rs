//! A tree of supervisors as a picture, how it would stop, and how it did.
//!
//! A small shop on the net: a database, a pool of workers of which each needs the one before, a partition for each
//! kind of article, and carts that come and go. It is printed as text, and the first lines of what Graphviz makes a
//! picture of. Its plan says in which order it would stop, how long that may take, and that one supervisor has too little time.
//! Then it is stopped: one worker is busy with a message and is killed when its time is over, another takes long,
//! and the report names both. All else is in order, and counted.
//!
//! Run it with `cargo run --release --example tree`.

#![allow(clippy::print_stdout, reason = "a program for people to watch")]

use std::error::Error;
use std::time::Duration;

use mimalloc::MiMalloc;
use whitebeam::prelude::*;
use whitebeam::{StopKind, StopTime};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const MS: Duration = Duration::from_millis(1);

/// Does what it is told; needs some time to put its things away.
struct Worker {
    tidies_for: Duration,
}

enum Work {
    /// Takes an hour, and is not to be interrupted.
    Index,
    Exit,
}

impl Actor for Worker {
    type Args = Duration;
    type Msg = Work;

    async fn init(tidies_for: Duration, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        // Handlers are let finish when it is told to shut down.
        cx.trap_exit(|_| Work::Exit);
        Ok(Worker { tidies_for })
    }

    async fn handle(&mut self, work: Work, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        if let Work::Index = work {
            cx.runtime().sleep(3_600_000 * MS).await;
        }
        Ok(())
    }

    async fn terminate(&mut self, _reason: &ExitReason, cx: &mut Context<Self>) {
        if !self.tidies_for.is_zero() {
            cx.runtime().sleep(self.tidies_for).await;
        }
    }

    fn msg_name(work: &Work) -> Option<&'static str> {
        Some(match work {
            Work::Index => "Index",
            Work::Exit => "Exit",
        })
    }
}

/// What somebody wants to buy.
struct Cart;

impl Actor for Cart {
    type Args = ();
    type Msg = ();

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Cart)
    }

    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn worker(id: &str, tidies_for: Duration) -> Child<ChildRef<Work>> {
    Child::new::<Worker>(id, tidies_for)
}

fn main() -> Result<(), Box<dyn Error>> {
    let rt = Runtime::builder().workers(2).build()?;
    rt.block_on(async {
        let mut pool = Supervisor::rest_for_one();
        pool.child_with(worker("reader", Duration::ZERO));
        let indexer = worker("indexer", Duration::ZERO).shutdown(Shutdown::After(300 * MS));
        let indexer = pool.child_with(indexer);

        let mut shop = Supervisor::one_for_one().options(SpawnOptions::new().name("shop"));
        shop.child_with(worker("db", 150 * MS));
        // Shorter than its children may take: the plan says so.
        shop.child_with(Child::nested("pool", pool).shutdown(Shutdown::After(1_000 * MS)));
        shop.nest(
            "articles",
            PartitionSupervisor::new(Partitions::exactly(3), |_| worker("shelf", Duration::ZERO)),
        );
        let carts = DynamicSupervisor::<Cart>::temporary().partitions(Partitions::exactly(2));
        let carts = shop.nest("carts", carts);
        let shop = shop.start(&rt).await?;
        for customer in 0..10_000_u32 {
            carts.start_child(&customer, ()).await?;
        }
        indexer.cast(Work::Index)?;
        while indexer.info().is_some_and(|info| info.message.is_none()) {
            rt.sleep(MS).await;
        }

        let tree = shop.tree().children(4).await;
        println!("{tree}");
        assert_eq!((tree.root.below.supervisors, tree.root.below.workers), (5, 10_006));
        let text = tree.to_string();
        for line in ["\u{2026} 4,996 more", "indexer", "in Index", "rest_for_one"] {
            assert!(text.contains(line), "no `{line}` in the text");
        }
        println!("{} ..\n", tree.to_dot().lines().take(5).collect::<Vec<_>>().join("\n"));

        let plan = tree.stop_plan();
        println!("{plan}");
        // Carts and articles all at once, 5 s each; then the pool and the database.
        assert_eq!(plan.within, StopTime::Within(16_000 * MS));
        assert_eq!(plan.warnings.len(), 1);
        assert_eq!(plan.warnings[0].path, ["shop", "pool"]);

        let report = rt.shutdown(Duration::from_secs(30)).await;
        println!("{report}");
        assert!(report.is_clean(), "all have ended within the time of the whole");
        let totals = report.totals();
        assert_eq!((totals.supervisors, totals.clean, totals.killed), (6, 10_010, 1));
        let pool = report.walk().find(|node| node.id.as_deref() == Some("pool"));
        let killed = &pool.ok_or("no pool in the report")?.children.exceptions[0];
        assert_eq!((killed.id.as_deref(), killed.how), (Some("indexer"), StopKind::Killed));
        assert_eq!(killed.message, Some("Index"));
        let slowest = &report.supervisors[0].children.slowest;
        assert!(slowest.iter().any(|child| child.id.as_deref() == Some("db")));
        Ok(())
    })
}

//! What a child's options say of its mailbox, over restarts.

use std::sync::Arc;

use whitebeam_actor::{Actor, Answered, Context, ExitReason, Reply, SpawnOptions, Unread, oneshot};
use whitebeam_supervisor::{Child, PartitionSupervisor, Partitions};
use whitebeam_sync::shim::Mutex;

use crate::support::{everywhere, until};

enum Order {
    Note(u32),
    Hold(Reply<()>, Answered<()>),
    Crash,
    Seen(Reply<Vec<u32>>),
}

/// Notes what all of its incarnations handle.
struct Clerk(Arc<Mutex<Vec<u32>>>);

impl Actor for Clerk {
    type Args = Arc<Mutex<Vec<u32>>>;
    type Msg = Order;

    async fn init(seen: Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Clerk(seen))
    }

    async fn handle(&mut self, order: Order, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match order {
            Order::Note(number) => self.0.lock().push(number),
            Order::Hold(held, gate) => {
                held.send(());
                let _ = gate.await;
            }
            Order::Crash => return Err(ExitReason::custom("as asked")),
            Order::Seen(reply) => reply.send(self.0.lock().clone()),
        }
        Ok(())
    }
}

#[test]
fn a_child_that_is_restarted_goes_on_with_what_was_unread() {
    everywhere(|rt| async move {
        let seen = Arc::default();
        let of_children = Arc::clone(&seen);
        let sup = PartitionSupervisor::new(Partitions::exactly(2), move |_| {
            let kept = SpawnOptions::new().unread(Unread::keep::<Order>(1_000, 3));
            Child::new::<Clerk>("clerk", Arc::clone(&of_children)).options(kept)
        });
        let sup = sup.start(&rt).await.unwrap();
        let (clerk, other) = (sup.of(&0).clone(), sup.of(&1).clone());
        let first = clerk.current().unwrap();
        let ((held, is_held), (go, gate)) = (oneshot(), oneshot());
        clerk.cast(Order::Hold(held, gate)).unwrap();
        is_held.await.unwrap();
        clerk.cast(Order::Crash).unwrap();
        for number in 0..100 {
            clerk.cast(Order::Note(number)).unwrap();
        }
        let down = rt.down(&first);
        go.send(());
        down.await;
        until(&rt, || clerk.current().is_some_and(|now| now != first && now.is_alive())).await;
        clerk.cast(Order::Note(100)).unwrap();
        assert_eq!(clerk.call(Order::Seen).await.unwrap(), (0..=100).collect::<Vec<_>>());
        // The other child's options are its own.
        assert_eq!(rt.unread_counts().kept, 100);
        assert_eq!(rt.info(&other).unwrap().handled, 0);
    });
}

/// A child that is not restarted takes its spec with it, and so what was kept.
#[test]
fn what_is_kept_for_a_child_ends_with_its_supervisor() {
    everywhere(|rt| async move {
        let seen = Arc::default();
        let of_children = Arc::clone(&seen);
        let sup = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            let kept = SpawnOptions::new().unread(Unread::keep::<Order>(1_000, 3));
            Child::new::<Clerk>("clerk", Arc::clone(&of_children)).options(kept)
        });
        let sup = sup.start(&rt).await.unwrap();
        let clerk = sup.of(&0).clone();
        let ((held, is_held), (_go, gate)) = (oneshot(), oneshot());
        clerk.cast(Order::Hold(held, gate)).unwrap();
        is_held.await.unwrap();
        for number in 0..10 {
            clerk.cast(Order::Note(number)).unwrap();
        }
        crate::support::stop(&rt, &sup).await;
        until(&rt, || rt.unread_counts().dropped == 10).await;
        assert!(seen.lock().is_empty());
        assert_eq!(rt.unread_counts().kept, 0);
    });
}

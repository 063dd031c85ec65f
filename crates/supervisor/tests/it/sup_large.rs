//! Many children of a static supervisor, by the ids of `docs/conformance.md`. Bounds are of a kind that load on the
//! machine does not break: ratios, and bytes.

use std::{sync::Arc, time::Duration};

use whitebeam_actor::{Actor, Context, ExitReason, Handle};
use whitebeam_supervisor::{Child, Restart, Supervisor, SupervisorRef};
use whitebeam_testkit::Everywhere;

use crate::{
    support::{Log, Msg, Plain, Setup},
    tree::{child, counts, everywhere},
};

/// A child with large arguments, which says whether they are still there.
struct Large;

type Kept = Arc<[u8; 50_000]>;

impl Actor for Large {
    type Args = Kept;
    type Msg = ();

    async fn init(kept: Kept, _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        drop(kept);
        Ok(Large)
    }

    async fn handle(&mut self, (): (), _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

/// The arguments of temporary children are given away with their start; those of others are kept.
#[test]
fn sup_075_arguments_of_temporary_children_are_not_kept() {
    for strategy in [Supervisor::one_for_one, Supervisor::one_for_all, Supervisor::rest_for_one] {
        everywhere(move |rt| async move {
            for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
                let args: Vec<Kept> = (0..100).map(|_| Arc::new([0; 50_000])).collect();
                let root = strategy().start(&rt).await.unwrap();
                for (id, args) in args.iter().enumerate() {
                    let spec = match restart {
                        Restart::Temporary => Child::temporary::<Large>(id, args.clone()),
                        _ => Child::new::<Large>(id, args.clone()).restart(restart),
                    };
                    root.start_child(spec).await.unwrap();
                }
                assert_eq!(counts(&root).await, (100, 100, 0, 100));
                let kept = args.iter().filter(|args| Arc::strong_count(args) > 1).count();
                assert_eq!(kept, if restart == Restart::Temporary { 0 } else { 100 });
                rt.stop(&root, ExitReason::Shutdown).await.unwrap();
                let kept = args.iter().filter(|args| Arc::strong_count(args) > 1).count();
                assert_eq!(kept, 0);
            }
        });
    }
}

/// Starts so many children and terminates them one by one, and says how long each took.
async fn rounds(rt: &Handle, root: &SupervisorRef, children: usize) -> [Duration; 2] {
    let log = Log::new();
    let begun = rt.uptime();
    for id in 0..children {
        root.start_child(Child::new::<Plain>(id, Setup::new(id as u64, &log))).await.unwrap();
    }
    let between = rt.uptime();
    assert_eq!(counts(root).await, (children, children, 0, children));
    // From the middle outwards: no end of the list is better than another.
    for id in (0..children).map(|n| (n + children / 2) % children) {
        root.terminate_child(id).await.unwrap();
        root.delete_child(id).await.unwrap();
    }
    assert_eq!(counts(root).await, (0, 0, 0, 0));
    [between - begun, rt.uptime() - between]
}

/// Starting and terminating children one by one takes time by their number.
#[test]
fn sup_085_many_children_one_by_one() {
    // Time is only real on threads.
    Everywhere::new().only_threaded().deadline(Duration::from_secs(300)).run(|rt| async move {
        let root = Supervisor::one_for_one().start(&rt).await.unwrap();
        rounds(&rt, &root, 1_000).await;
        let few = rounds(&rt, &root, 1_000).await;
        let factor = if cfg!(debug_assertions) { 20 } else { 100 };
        let many = rounds(&rt, &root, 1_000 * factor).await;
        for (few, many) in few.into_iter().zip(many) {
            let limit = few * factor as u32 * 10;
            assert!(many < limit, "{many:?} for {factor} times what took {few:?}");
        }
    });
}

/// A large group is stopped and started in time by its number, and its order is kept.
#[test]
fn a_large_group_is_restarted() {
    Everywhere::new().only_threaded().run(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::rest_for_one();
        let children: Vec<_> = (1..=2_000).map(|id| tree.child_with(child(id, &log))).collect();
        let root = tree.start(&rt).await.unwrap();
        let last = children[1_999].current().unwrap();
        children[1].cast(Msg::End(ExitReason::custom("crash"))).unwrap();
        crate::support::until(&rt, || children[1_999].current().is_some_and(|now| now != last))
            .await;
        let info = children[1_999].call(Msg::Who).await.unwrap().1;
        assert_eq!(info.attempt, 2);
        assert_eq!(children[0].call(Msg::Who).await.unwrap().1.attempt, 1);
        rt.stop(&root, ExitReason::Shutdown).await.unwrap();
    });
}

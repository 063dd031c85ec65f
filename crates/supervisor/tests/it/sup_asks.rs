//! Children that ask their own supervisor, by the table of [`Supervisor`]: whom it answers, and who waits for himself.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{ExitReason, Handle};
use whitebeam_supervisor::{Child, ChildError, ChildState, Shutdown, Supervisor, SupervisorRef};
use whitebeam_testkit::Sim;

use crate::{
    support::{Event, Gate, Log, Msg, Plain, Setup, Tidy, end, kind, stop, until},
    tree::{child_of, counts, everywhere, until_state},
};

/// The root of a tree, for the tree's own children.
#[derive(Clone, Default)]
struct Root(Arc<Mutex<Option<SupervisorRef>>>);

impl Root {
    fn get(&self) -> SupervisorRef {
        self.0.lock().clone().expect("it has started")
    }

    async fn start(&self, rt: &Handle, tree: Supervisor) -> SupervisorRef {
        let root = tree.start(rt).await.unwrap();
        *self.0.lock() = Some(root.clone());
        root
    }
}

/// Waits for the answer, and no longer than a second: whether it came.
async fn is_answered<T>(rt: &Handle, asked: impl Future<Output = Result<T, ChildError>>) -> bool {
    use futures_util::future::{Either, select};
    let (asked, limit) = (std::pin::pin!(asked), std::pin::pin!(rt.sleep(Duration::from_secs(1))));
    matches!(select(asked, limit).await, Either::Left((Ok(_), _)))
}

/// A child that asks in its `init`: a question, and a change.
fn curious(id: u64, rt: &Handle, root: &Root, log: &Log, heard: &Heard) -> Setup {
    let (rt, root, heard) = (rt.clone(), root.clone(), heard.clone());
    Setup::new(id, log).init(move |_| {
        let (rt, root, heard) = (rt.clone(), root.get(), heard.clone());
        async move {
            let question = is_answered(&rt, root.which_children()).await;
            let change = is_answered(&rt, root.terminate_child(9)).await;
            heard.lock().push((question, change));
            Ok(())
        }
    })
}

type Heard = Arc<Mutex<Vec<(bool, bool)>>>;

/// In an `init` of a supervisor that has started.
#[test]
fn a_question_in_init_is_answered_and_a_change_waits_for_itself() {
    Sim::new().seeds(16).run(|rt| async move {
        let rt = rt.handle();
        let (log, root, heard) = (Log::new(), Root::default(), Heard::default());
        let mut tree = Supervisor::one_for_one();
        tree.child::<Plain>(9, Setup::new(9, &log));
        let sup = root.start(&rt, tree).await;
        sup.start_child(child_of(curious(1, &rt, &root, &log, &heard))).await.unwrap();
        assert_eq!(*heard.lock(), [(true, false)]);
        // It was asked all the same: who gives up does not take it back.
        until_state(&rt, &sup, 9, ChildState::Stopped).await;
    });
}

/// In an `init` of a supervisor that starts: it lasts until the supervisor is told to end.
#[test]
fn who_asks_in_init_while_the_supervisor_starts_waits_for_itself() {
    everywhere(|rt| async move {
        let log = Log::new();
        let finder = rt.clone();
        let setup = Setup::new(1, &log).init(move |_| {
            let root = SupervisorRef::find(&finder, whitebeam_actor::Name::from("root")).unwrap();
            async move {
                root.which_children().await.map_err(ExitReason::from)?;
                Ok(())
            }
        });
        let options = whitebeam_actor::SpawnOptions::new().name("root");
        let mut tree = Supervisor::one_for_one().options(options);
        tree.child::<Plain>(1, setup);
        let start = tree.start(&rt);
        log.wait_for(Event::Init(1, 1)).await;
        rt.sleep(Duration::from_millis(100)).await;
        assert!(!log.has(Event::Started(1)));
        let root = rt.whereis("root").unwrap();
        assert_eq!(kind(&end(&rt, root, ExitReason::Shutdown).await), "shutdown");
        assert!(start.await.is_err());
    });
}

/// In a handler: a child may have its supervisor end it, and sees no answer.
#[test]
fn a_child_has_itself_terminated_in_a_handler() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_one();
        let asks = tree.child_with(Child::process(1, {
            let finder = rt.clone();
            move |mut mailbox: whitebeam_actor::Mailbox<Gate>| {
                let finder = finder.clone();
                async move {
                    let gate = mailbox.recv().await;
                    let name = whitebeam_actor::Name::from("root");
                    let root = SupervisorRef::find(&finder, name).unwrap();
                    assert_eq!(root.which_children().await?.len(), 2);
                    root.terminate_child(1).await?;
                    gate.open();
                    Ok(())
                }
            }
        }));
        tree.child::<Plain>(2, Setup::new(2, &log));
        let options = whitebeam_actor::SpawnOptions::new().name("root");
        let root = tree.options(options).start(&rt).await.unwrap();
        let down = rt.down(&asks);
        asks.cast(gate.clone()).unwrap();
        assert_eq!(kind(&down.await.reason), "shutdown");
        until_state(&rt, &root, 1, ChildState::Stopped).await;
        assert_eq!(counts(&root).await, (2, 1, 0, 2));
        // It never came that far.
        assert!(futures_util::poll!(std::pin::pin!(gate.passed())).is_pending());
    });
}

/// In `terminate`, stopped by hand: a change lasts until the child is killed.
#[test]
fn a_question_in_terminate_is_answered_and_a_change_waits_for_itself() {
    Sim::new().seeds(16).run(|rt| async move {
        let rt = rt.handle();
        let (log, root, heard) = (Log::new(), Root::default(), Heard::default());
        let (asked, noted) = (root.clone(), heard.clone());
        let setup = Setup::new(1, &log).terminate(move |_| {
            let (root, heard) = (asked.get(), noted.clone());
            async move {
                let question = root.which_children().await.is_ok();
                heard.lock().push((question, false));
                let change = root.delete_child(2).await.is_ok();
                heard.lock().push((question, change));
            }
        });
        let mut tree = Supervisor::one_for_one();
        let time = Shutdown::After(Duration::from_secs(2));
        let child = tree.child_with(Child::new::<Tidy>(1, setup).shutdown(time));
        let sup = root.start(&rt, tree).await;
        let (down, begun) = (rt.down(&child), rt.uptime());
        sup.terminate_child(1).await.unwrap();
        assert_eq!(kind(&down.await.reason), "killed");
        assert!((rt.uptime() - begun).abs_diff(Duration::from_secs(2)) < Duration::from_millis(5));
        assert_eq!(*heard.lock(), [(true, false)]);
        until(&rt, || !child.is_alive()).await;
        assert!(matches!(child.call(Msg::Who).await, Err(whitebeam_actor::CallError::NoProc)));
        stop(&rt, &sup).await;
    });
}

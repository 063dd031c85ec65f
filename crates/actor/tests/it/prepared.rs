//! Processes that are made in one place and begin in another.

#![allow(clippy::unwrap_used, reason = "tests")]

use crate::support;

use std::future::Future;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use support::everywhere;
use whitebeam_actor::{
    Actor, Context, Down, Exit, ExitReason, Mailbox, Pid, Prepared, Reply, Runtime, SpawnOptions,
    StartError,
};

/// Takes processes as its children, and tells of their ends.
struct Parent {
    ended: Vec<(Pid, bool)>,
}

enum Msg {
    Adopt(Prepared),
    Ended(Reply<Vec<(Pid, bool)>>),
}

impl Actor for Parent {
    type Args = ();
    type Msg = Msg;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|this: &mut Self, down, _| {
            this.ended.push((down.pid, down.reason.is_normal()));
        });
        Ok(Parent { ended: Vec::new() })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Adopt(child) => {
                let pid = child.pid();
                let Ok(key) = cx.adopt(child) else { return Ok(()) };
                assert_eq!(cx.child_pid(key), Some(pid));
            }
            Msg::Ended(reply) => reply.send(self.ended.clone()),
        }
        Ok(())
    }

    async fn terminate(&mut self, _: &ExitReason, cx: &mut Context<Self>) {
        let _ = cx.stop_children(whitebeam_actor::Stop::Infinity).await;
    }
}

/// Counts how often it runs, and ends.
fn counts(
    runs: &Arc<AtomicUsize>,
) -> impl FnOnce(Mailbox<()>) -> std::future::Ready<Result<(), ExitReason>> + Send + 'static + use<>
{
    let runs = Arc::clone(runs);
    move |_| {
        runs.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(()))
    }
}

#[test]
fn it_begins_when_it_is_adopted_and_is_a_child() {
    everywhere(|rt| async move {
        let parent = rt.start::<Parent>(()).await.unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let options = SpawnOptions::new().name("early").label("seen");
        let child = rt.prepare_fn(parent.pid(), options, counts(&runs)).unwrap();
        let pid = child.pid();
        assert!(rt.is_alive(pid));
        let info = rt.info(pid).unwrap();
        assert_eq!(info.parent, Some(parent.pid()));
        assert_eq!(
            (info.name.unwrap().to_string(), info.label.unwrap().to_string()),
            ("early".to_owned(), "seen".to_owned())
        );
        let again = SpawnOptions::new().name("early");
        let refused = rt.prepare_fn(parent.pid(), again, counts(&runs)).unwrap_err();
        assert!(matches!(refused, StartError::NameTaken(by) if by == pid));
        let down = rt.down(pid);
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        parent.cast(Msg::Adopt(child)).unwrap();
        assert!(down.await.reason.is_normal());
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        while parent.call(Msg::Ended).await.unwrap() != [(pid, true)] {
            rt.sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn dropped_it_ends_and_never_runs() {
    everywhere(|rt| async move {
        let runs = Arc::new(AtomicUsize::new(0));
        let child = rt.prepare_fn(Pid::NOBODY, SpawnOptions::new(), counts(&runs)).unwrap();
        let pid = child.pid();
        let down = rt.down(pid);
        drop(child);
        assert!(!rt.is_alive(pid));
        assert!(matches!(down.await.reason, ExitReason::NoProc));
        // In a mailbox that is never read.
        let parent = rt.start::<Parent>(()).await.unwrap();
        let child = rt.prepare_fn(parent.pid(), SpawnOptions::new(), counts(&runs)).unwrap();
        let down = rt.down(child.pid());
        rt.exit(&parent, ExitReason::Kill);
        let _ = parent.cast(Msg::Adopt(child));
        down.await;
        assert_eq!(Arc::strong_count(&runs), 1, "what it was to begin with is dropped");
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn signals_wait_for_its_beginning() {
    everywhere(|rt| async move {
        let parent = rt.start::<Parent>(()).await.unwrap();
        let forever = |_: Mailbox<()>| std::future::pending();
        let child = rt.prepare_fn(parent.pid(), SpawnOptions::new(), forever).unwrap();
        let pid = child.pid();
        let down = rt.down(pid);
        rt.exit(pid, ExitReason::Kill);
        assert!(rt.is_alive(pid));
        parent.cast(Msg::Adopt(child)).unwrap();
        assert!(matches!(down.await.reason, ExitReason::Killed));
    });
}

enum Note {
    Exit(Exit),
    Down(Down),
}

#[test]
fn its_link_is_there_before_it_begins() {
    everywhere(|rt| async move {
        let parent = rt.start::<Parent>(()).await.unwrap();
        let handle = rt.clone();
        let (watched, is_watched) = whitebeam_actor::oneshot();
        let owner = rt.spawn_fn(move |mut mailbox: Mailbox<Note>| async move {
            is_watched.await?;
            mailbox.trap_exit(Note::Exit);
            for is_adopted in [true, false] {
                let options = SpawnOptions::new();
                let body = |_: Mailbox<()>| async { Err(ExitReason::custom(7)) };
                let child = mailbox.prepare_fn_link(parent.pid(), options, body)?;
                let pid = child.pid();
                assert_eq!(mailbox.relations().links, [pid]);
                if is_adopted {
                    parent.cast(Msg::Adopt(child))?;
                } else {
                    drop(child);
                }
                let Note::Exit(exit) = mailbox.recv().await else { panic!("no exit") };
                assert_eq!(exit.from, Some(pid));
                assert_eq!(exit.reason.is::<i32>(), is_adopted);
                assert_eq!(mailbox.relations().links, []);
            }
            // Taken back before its end, which is not told.
            let body = |_: Mailbox<()>| std::future::ready(Ok(()));
            let child = mailbox.prepare_fn_link(parent.pid(), SpawnOptions::new(), body)?;
            mailbox.unlink(child.pid());
            drop(child);
            // By another, from outside.
            let body = |_: Mailbox<()>| std::future::pending();
            let child = mailbox.prepare_fn_link(parent.pid(), SpawnOptions::new(), body)?;
            let pid = child.pid();
            parent.cast(Msg::Adopt(child))?;
            handle.unlink(mailbox.pid(), pid);
            handle.exit(pid, ExitReason::Kill);
            mailbox.monitor(pid, Note::Down);
            assert!(matches!(mailbox.recv().await, Note::Down(down) if down.pid == pid));
            assert_eq!(mailbox.relations().links, []);
            Ok(())
        });
        // Who has ended has no reason any more.
        let down = rt.down(&owner);
        watched.send(());
        let reason = down.await.reason;
        assert!(reason.is_normal(), "{reason}");
    });
}

#[test]
fn it_is_adopted_by_its_parent_only() {
    everywhere(|rt| async move {
        let runs = Arc::new(AtomicUsize::new(0));
        let [parent, other] = [rt.start::<Parent>(()), rt.start::<Parent>(())];
        let (parent, other) = (parent.await.unwrap(), other.await.unwrap());
        for meant in [parent.pid(), Pid::NOBODY] {
            let child = rt.prepare_fn(meant, SpawnOptions::new(), counts(&runs)).unwrap();
            let pid = child.pid();
            let down = rt.down(pid);
            other.cast(Msg::Adopt(child)).unwrap();
            assert!(matches!(down.await.reason, ExitReason::NoProc));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        assert_eq!(other.call(Msg::Ended).await.unwrap(), []);
    });
}

/// A child's cell is looked for in its parent's process table: it must be there.
#[test]
fn nor_by_one_of_another_runtime() {
    everywhere(|rt| async move {
        let foreign = Runtime::simulated(7).unwrap();
        let parent = foreign.spawn::<Parent>(());
        let runs = Arc::new(AtomicUsize::new(0));
        let refused = rt.prepare_fn(parent.pid(), SpawnOptions::new(), counts(&runs)).unwrap_err();
        assert!(matches!(refused, StartError::NoSupervisor));
        assert_eq!(Arc::strong_count(&runs), 1);
        let here = rt.start::<Parent>(()).await.unwrap();
        let child = rt.prepare_fn(here.pid(), SpawnOptions::new(), counts(&runs)).unwrap();
        let down = rt.down(child.pid());
        parent.cast(Msg::Adopt(child)).unwrap();
        foreign.block_on(async { assert_eq!(parent.call(Msg::Ended).await.unwrap(), []) });
        assert!(matches!(down.await.reason, ExitReason::NoProc));
        foreign.block_on(foreign.shutdown(std::time::Duration::from_secs(1)));
    });
}

/// Panics when it is dropped, and says that it was.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("{}", support::EXPECTED);
    }
}

#[test]
fn a_panic_in_what_it_was_to_begin_with_is_contained() {
    everywhere(|rt| async move {
        let dropped = Arc::new(AtomicUsize::new(0));
        let bomb = Bomb(Arc::clone(&dropped));
        let body = move |_: Mailbox<()>| {
            let _bomb = &bomb;
            std::future::ready(Ok(()))
        };
        let parent = rt.start::<Parent>(()).await.unwrap();
        let child = rt.prepare_fn(parent.pid(), SpawnOptions::new(), body).unwrap();
        let down = rt.down(child.pid());
        drop(child);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        assert!(matches!(down.await.reason, ExitReason::NoProc));
    });
}

/// Dropped while a panic unwinds.
#[test]
fn a_maker_that_panics_leaves_none() {
    everywhere(|rt| async move {
        let handle = rt.clone();
        let (tell, told) = whitebeam_actor::oneshot();
        let maker = rt.spawn_fn(move |_: Mailbox<()>| async move {
            let body = |_: Mailbox<()>| std::future::ready(Ok(()));
            let kept = handle.prepare_fn(Pid::NOBODY, SpawnOptions::new(), body)?;
            tell.send(handle.down(kept.pid()));
            panic!("{}", support::EXPECTED)
        });
        let end = told.await.unwrap();
        assert!(matches!(end.await.reason, ExitReason::NoProc));
        while rt.is_alive(&maker) {
            rt.sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_runtime_that_ends_does_not_wait_for_one_that_is_on_its_way() {
    everywhere(|rt| async move {
        let runs = Arc::new(AtomicUsize::new(0));
        let parent = rt.start::<Parent>(()).await.unwrap();
        // The one that is told counts as one without a supervisor, and is adopted behind that or not at all.
        let child = rt.prepare_fn(parent.pid(), SpawnOptions::new(), counts(&runs)).unwrap();
        let pid = child.pid();
        let ended = rt.shutdown(std::time::Duration::from_secs(20));
        let mut ended = Box::pin(ended);
        let mut child = Some(child);
        let report = std::future::poll_fn(|cx| {
            let polled = ended.as_mut().poll(cx);
            if let Some(child) = child.take() {
                let _ = parent.cast(Msg::Adopt(child));
            }
            polled
        })
        .await;
        assert!(report.is_clean(), "{report}");
        assert!(!rt.is_alive(pid));
        assert_eq!(Arc::strong_count(&runs), 1);
        let late = rt.prepare_fn(parent.pid(), SpawnOptions::new(), counts(&runs)).unwrap_err();
        assert!(matches!(late, StartError::ShuttingDown));
    });
}

/// Nobody can end what code outside of all processes keeps.
#[test]
fn one_that_is_kept_holds_up_the_end_of_its_runtime_and_outlives_it() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let kept = rt.prepare_fn(Pid::NOBODY, SpawnOptions::new(), counts(&runs)).unwrap();
    let report = rt.block_on(rt.shutdown(std::time::Duration::from_millis(20)));
    assert_eq!(report.stuck.len(), 1, "{report}");
    assert_eq!(report.stuck[0].pid, kept.pid());
    drop(rt);
    assert_eq!(Arc::strong_count(&runs), 2);
    drop(kept);
    assert_eq!(Arc::strong_count(&runs), 1);
}

/// Links that are taken back from outside, against what the two do to them.
#[test]
fn both_ends_agree_on_a_link_that_a_third_one_takes_back() {
    everywhere(|rt| async move {
        for _ in 0..20 {
            let link_to = |pid: Pid| {
                move |mut mailbox: Mailbox<Pid>| async move {
                    if pid != Pid::NOBODY {
                        mailbox.link(pid);
                    }
                    loop {
                        let other = mailbox.recv().await;
                        mailbox.unlink(other);
                        mailbox.link(other);
                    }
                }
            };
            let one = rt.spawn_fn(link_to(Pid::NOBODY));
            let other = rt.spawn_fn(link_to(one.pid()));
            one.cast(other.pid()).unwrap();
            rt.unlink(&one, &other);
            other.cast(one.pid()).unwrap();
            rt.unlink(&other, &one);
            // Until nothing is in flight.
            let (mut here, mut there) = (Vec::new(), Vec::new());
            for _ in 0..4 {
                here = rt.relations(&one).await.unwrap().links;
                there = rt.relations(&other).await.unwrap().links;
            }
            assert_eq!(here == [other.pid()], there == [one.pid()], "{here:?} {there:?}");
            rt.exit(&one, ExitReason::Kill);
            rt.down(&one).await;
            if there.is_empty() {
                rt.relations(&other).await.expect("it was not linked");
                rt.exit(&other, ExitReason::Kill);
            }
            rt.down(&other).await;
        }
    });
}

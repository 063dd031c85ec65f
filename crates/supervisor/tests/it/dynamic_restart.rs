//! Restarts under a dynamic supervisor: when, with what, how often.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use whitebeam_actor::{Actor, Context, ExitReason, Handle, Pid, Reply, Target};
use whitebeam_supervisor::{DynamicRef, DynamicSupervisor, Intensity, Restart};

use crate::support::{
    Event, Log, Msg, Plain, Setup, end, everywhere, expect_panics, kind, simulated, stop, told,
    until,
};

/// The children of a supervisor, by pid.
fn children(rt: &Handle, sup: &DynamicRef<Plain>) -> Vec<Pid> {
    let parent = sup.target();
    rt.processes().into_iter().filter(|info| info.parent == parent).map(|info| info.pid).collect()
}

#[test]
fn a_restarted_child_is_told_which_start_it_is_and_how_the_last_one_ended() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Telling>::new().start(&rt).await.unwrap();
        let (reply, answer) = whitebeam_actor::oneshot();
        let reply = Arc::new(parking_lot::Mutex::new(Some(reply)));
        let child = sup.start_child((log.clone(), reply)).await.unwrap();
        child.cast(ExitReason::custom(7_u32)).unwrap();
        let (attempt, last) = answer.await.unwrap();
        assert_eq!(attempt, 2);
        assert_eq!(last.and_then(|reason| reason.downcast_ref::<u32>().copied()), Some(7));
        assert_eq!(sup.count(), 1);
    });
}

type Told = (u32, Option<ExitReason>);

/// In its second start, tells how it was started.
struct Telling;

impl Actor for Telling {
    type Args = (Log, Arc<parking_lot::Mutex<Option<Reply<Told>>>>);
    type Msg = ExitReason;

    async fn init((log, reply): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let info = cx.start_info();
        log.note(Event::Init(0, info.attempt));
        if info.attempt > 1
            && let Some(reply) = reply.lock().take()
        {
            reply.send((info.attempt, info.last_exit));
        }
        Ok(Telling)
    }

    async fn handle(
        &mut self,
        reason: ExitReason,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        Err(reason)
    }
}

/// Ends a child with a reason: it is started again, or dropped.
async fn ends(rt: &Handle, restart: Restart, reason: ExitReason, again: bool) {
    let log = Log::new();
    let sup = DynamicSupervisor::<Plain>::new().restart(restart).start(rt).await.unwrap();
    let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
    if matches!(reason, ExitReason::Killed) {
        end(rt, &child, ExitReason::Kill).await;
    } else {
        told(rt, &child, Msg::End(reason)).await;
    }
    if again {
        log.wait_for(Event::Init(1, 2)).await;
    } else {
        until(rt, || sup.count() == 0).await;
    }
    stop(rt, &sup).await;
    assert_eq!(log.has(Event::Init(1, 2)), again);
}

#[test]
fn restart_types_by_reason() {
    expect_panics();
    everywhere(|rt| async move {
        let reasons = [
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::shutdown_with("term"),
            ExitReason::custom("crash"),
            ExitReason::Kill,
            ExitReason::Killed,
        ];
        for reason in reasons {
            let orderly = reason.is_orderly();
            let expected = [
                (Restart::Permanent, true),
                (Restart::Transient, !orderly),
                (Restart::Temporary, false),
            ];
            for (restart, expected) in expected {
                ends(&rt, restart, reason.clone(), expected).await;
            }
        }
    });
}

#[test]
fn one_restart_too_many_ends_the_supervisor_and_all_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new()
            .intensity(2, Duration::from_secs(1000))
            .start(&rt)
            .await
            .unwrap();
        let bystander = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let child = sup.start_child(Setup::new(2, &log)).await.unwrap();
        let down = rt.down(&sup);
        rt.exit(&child, ExitReason::Kill);
        log.wait_for(Event::Started(2)).await;
        for attempt in 2..=3 {
            log.wait_for(Event::Init(2, attempt)).await;
            let pid = children(&rt, &sup).into_iter().find(|pid| *pid != bystander.pid()).unwrap();
            rt.exit(pid, ExitReason::Kill);
        }
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert!(!bystander.is_alive());
        assert_eq!(log.count(|event| matches!(event, Event::Init(2, _))), 3);
        assert_eq!(log.count(|event| event == Event::Dropped(1)), 1);
    });
}

#[test]
fn restarts_that_are_a_period_apart_are_taken_for_ever() {
    simulated(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new()
            .intensity(1, Duration::from_secs(5))
            .start(&rt)
            .await
            .unwrap();
        sup.start_child(Setup::new(1, &log)).await.unwrap();
        for attempt in 2..30 {
            rt.exit(children(&rt, &sup)[0], ExitReason::Kill);
            log.wait_for(Event::Init(1, attempt)).await;
            rt.sleep(Duration::from_millis(5001)).await;
        }
        let down = rt.down(&sup);
        rt.exit(children(&rt, &sup)[0], ExitReason::Kill);
        log.wait_for(Event::Init(1, 30)).await;
        rt.exit(children(&rt, &sup)[0], ExitReason::Kill);
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

#[test]
fn a_restart_that_fails_is_tried_again_and_counts() {
    expect_panics();
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new()
            .restart(Restart::Transient)
            .intensity(4, Duration::from_secs(1000))
            .start(&rt)
            .await
            .unwrap();
        let down = rt.down(&sup);
        // However it fails: an orderly reason does not save a transient child here.
        let setup = Setup::new(1, &log).init(|info| async move {
            match info.attempt {
                2 => Err(ExitReason::custom("no")),
                3 => panic!("{}", crate::support::EXPECTED),
                4 => Err(ExitReason::Shutdown),
                _ => Ok(()),
            }
        });
        let child = sup.start_child(setup).await.unwrap();
        rt.exit(&child, ExitReason::Kill);
        log.wait(2, |event| event == Event::Started(1)).await;
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), 5);
        assert_eq!(sup.count(), 1);
        rt.exit(children(&rt, &sup)[0], ExitReason::Kill);
        assert_eq!(kind(&down.await.reason), "shutdown", "all four are used up");
    });
}

#[test]
fn a_restart_that_is_ignored_drops_the_child() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let setup = Setup::new(1, &log).init(|info| async move {
            if info.attempt == 1 { Ok(()) } else { Err(ExitReason::Ignore) }
        });
        let child = sup.start_child(setup).await.unwrap();
        rt.exit(&child, ExitReason::Kill);
        log.wait_for(Event::Init(1, 2)).await;
        until(&rt, || sup.count() == 0).await;
        sup.start_child(Setup::new(2, &log)).await.unwrap();
        assert_eq!(log.count(|event| matches!(event, Event::Init(1, _))), 2);
    });
}

#[test]
fn without_a_limit_a_storm_of_restarts_holds_up_nobody() {
    everywhere(|rt| async move {
        let log = Log::new();
        let failures = Arc::new(AtomicU32::new(0));
        let sup = DynamicSupervisor::<Plain>::new()
            .with_intensity(Intensity::Unlimited)
            .start(&rt)
            .await
            .unwrap();
        let counted = failures.clone();
        let setup = Setup::new(1, &log).init(move |info| {
            let counted = counted.clone();
            async move {
                if info.attempt > 1 && counted.fetch_add(1, Ordering::Relaxed) < 2000 {
                    return Err(ExitReason::custom("no"));
                }
                Ok(())
            }
        });
        let child = sup.start_child(setup).await.unwrap();
        rt.exit(&child, ExitReason::Kill);
        let other = sup.start_child(Setup::new(2, &log)).await.unwrap();
        assert_eq!(other.call(Msg::Who).await.unwrap().0, 2);
        log.wait(2, |event| event == Event::Started(1)).await;
        assert_eq!(failures.load(Ordering::Relaxed), 2001);
        assert_eq!(sup.count(), 2);
    });
}

#[test]
fn many_children_keep_their_arguments_apart() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new()
            .with_intensity(Intensity::Unlimited)
            .start(&rt)
            .await
            .unwrap();
        let children = sup.start_children((0..100).map(|id| Setup::new(id, &log))).await;
        let children: Vec<_> = children.into_iter().map(Result::unwrap).collect();
        // Places of children that are gone are used again: by new ones and by restarted ones.
        for child in children.iter().step_by(3) {
            sup.terminate_child(child).await.unwrap();
        }
        for child in children.iter().skip(1).step_by(3) {
            rt.exit(child, ExitReason::Kill);
        }
        sup.start_children((100..120).map(|id| Setup::new(id, &log))).await;
        for id in (1..100).step_by(3) {
            log.wait_for(Event::Init(id, 2)).await;
        }
        let restarted = |event| matches!(event, Event::Init(_, 2..));
        assert_eq!(log.count(restarted), 33);
        assert_eq!(sup.count(), 100 - 34 + 20);
    });
}

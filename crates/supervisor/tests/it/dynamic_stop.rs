//! The ends of children and of their supervisor.

use std::time::Duration;

use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use whitebeam_actor::{Actor, Context, ExitReason, Pid, Reply, StartError, Target};
use whitebeam_supervisor::{ChildError, DynamicSupervisor, Partitions, Shutdown};

use crate::support::{
    Event, Gate, Log, Msg, Plain, Setup, Tidy, end, everywhere, kind, simulated, stop,
};

#[test]
fn an_exit_from_outside_ends_a_root_supervisor_after_all_its_children() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Tidy>::new().start(&rt).await.unwrap();
        for id in 0..3 {
            let gate = gate.clone();
            let setup = Setup::new(id, &log).terminate(move |_| gate.clone().passed());
            sup.start_child(setup).await.unwrap();
        }
        let mut down = rt.down(&sup);
        rt.exit(&sup, ExitReason::Shutdown);
        log.wait(3, |event| matches!(event, Event::Terminate(_))).await;
        assert!((&mut down).now_or_never().is_none(), "its children have not ended");
        assert!(rt.is_alive(&sup));
        gate.open();
        assert_eq!(kind(&down.await.reason), "shutdown");
        assert_eq!(log.count(|event| matches!(event, Event::Dropped(_))), 3);
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), 3, "none was restarted");
    });
}

#[test]
fn starts_under_way_are_answered_when_the_supervisor_stops() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let starts: Vec<_> =
            (0..20).map(|id| sup.start_child(Setup::new(id, &log).init_at(&never))).collect();
        log.wait(20, |event| matches!(event, Event::Init(..))).await;
        stop(&rt, &sup).await;
        for start in join_all(starts).await {
            assert!(matches!(start, Err(StartError::Exit(ExitReason::Shutdown))), "{start:?}");
        }
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), 20);
        assert_eq!(log.count(|event| matches!(event, Event::Started(_))), 0);
    });
}

#[test]
fn requests_that_find_the_supervisor_stopping_are_answered() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Tidy>::temporary().start(&rt).await.unwrap();
        let opened = gate.clone();
        let setup = Setup::new(0, &log).terminate(move |_| opened.clone().passed());
        let child = sup.start_child(setup).await.unwrap();
        rt.exit(&sup, ExitReason::Shutdown);
        log.wait_for(Event::Terminate(0)).await;
        let late = sup.start_child(Setup::new(1, &log));
        let ended = rt.spawn_task(sup.terminate_child(&child));
        gate.open();
        assert!(late.await.is_err());
        assert!(matches!(ended.await, Err(ChildError::Exit(_) | ChildError::NoSupervisor)));
        assert!(!log.has(Event::Init(1, 1)));
    });
}

#[test]
fn terminating_a_child_holds_up_nobody() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Tidy>::new().start(&rt).await.unwrap();
        let opened = gate.clone();
        let setup = Setup::new(1, &log).terminate(move |_| opened.clone().passed());
        let child = sup.start_child(setup).await.unwrap();
        let (first, second) = (sup.terminate_child(&child), sup.terminate_child(&child));
        let both = rt.spawn_task(join(first, second));
        log.wait_for(Event::Terminate(1)).await;
        let other = sup.start_child(Setup::new(2, &log)).await.unwrap();
        assert!(other.is_alive() && child.is_alive());
        gate.open();
        let (first, second) = both.await;
        first.unwrap();
        // Asked before the end or after it: the runtime does not say which.
        assert!(matches!(second, Ok(()) | Err(ChildError::NotFound)));
        assert!(!child.is_alive());
        assert!(matches!(sup.terminate_child(&child).await, Err(ChildError::NotFound)));
        assert_eq!(sup.count(), 1, "it was not restarted");
    });
}

#[test]
fn a_child_that_overstays_its_time_is_killed() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let time = Duration::from_millis(50);
        let sup = DynamicSupervisor::<Tidy>::temporary()
            .shutdown(Shutdown::After(time))
            .start(&rt)
            .await
            .unwrap();
        let setup = |id| {
            let never = never.clone();
            Setup::new(id, &log).terminate(move |_| never.clone().passed())
        };
        let (one, two) =
            (sup.start_child(setup(1)).await.unwrap(), sup.start_child(setup(2)).await.unwrap());
        let (down_one, down_two) = (rt.down(&one), rt.down(&two));
        let before = rt.uptime();
        sup.terminate_child(&one).await.unwrap();
        assert!(rt.uptime() - before >= time);
        assert_eq!(kind(&down_one.await.reason), "killed");
        stop(&rt, &sup).await;
        assert_eq!(kind(&down_two.await.reason), "killed");
        assert!(rt.uptime() - before >= 2 * time);
    });
}

#[test]
fn a_stop_in_the_middle_of_a_termination_answers_who_waits_for_it() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Tidy>::new().start(&rt).await.unwrap();
        let opened = gate.clone();
        let setup = Setup::new(1, &log).terminate(move |_| opened.clone().passed());
        let child = sup.start_child(setup).await.unwrap();
        let ended = rt.spawn_task(sup.terminate_child(&child));
        log.wait_for(Event::Terminate(1)).await;
        let down = rt.down(&sup);
        rt.exit(&sup, ExitReason::Shutdown);
        gate.open();
        ended.await.unwrap();
        assert_eq!(sup.count(), 0);
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

#[test]
fn a_child_in_its_init_can_be_terminated() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let start = sup.start_child(Setup::new(1, &log).init_at(&never));
        log.wait_for(Event::Init(1, 1)).await;
        let parent = sup.target();
        let child = rt.processes().into_iter().find(|info| info.parent == parent).unwrap();
        sup.terminate_child(child.pid).await.unwrap();
        assert!(matches!(start.await, Err(StartError::Exit(ExitReason::Shutdown))));
        assert_eq!(sup.count(), 0);
    });
}

#[test]
fn a_child_is_terminated_by_name() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        rt.register("child", &child).unwrap();
        let name = whitebeam_actor::Name::from("child");
        sup.terminate_child(&name).await.unwrap();
        assert!(!child.is_alive());
        assert!(matches!(sup.terminate_child(&name).await, Err(ChildError::NotFound)));
    });
}

#[test]
fn strangers_are_no_children() {
    everywhere(|rt| async move {
        let log = Log::new();
        let (one, two) = (
            DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap(),
            DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap(),
        );
        let child = one.start_child(Setup::new(1, &log)).await.unwrap();
        assert!(matches!(two.terminate_child(&child).await, Err(ChildError::NotFound)));
        assert!(matches!(one.terminate_child(&one).await, Err(ChildError::NotFound)));
        assert!(child.is_alive());
    });
}

#[test]
fn a_killed_supervisor_leaves_no_orphan_running() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Tidy>::new().start(&rt).await.unwrap();
        let mut ends = Vec::new();
        for id in 0..20 {
            let setup = Setup::new(id, &log);
            let setup = if id % 2 == 0 { setup.traps() } else { setup };
            ends.push(rt.down(sup.start_child(setup).await.unwrap()));
        }
        assert_eq!(kind(&end(&rt, &sup, ExitReason::Kill).await), "killed");
        for end in join_all(ends).await {
            assert_eq!(kind(&end.reason), "shutdown");
        }
        assert_eq!(log.count(|event| matches!(event, Event::Terminate(_))), 20);
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), 20, "nobody restarts them");
        assert_eq!(sup.count(), 0);
    });
}

#[test]
fn two_tiers_end_when_their_root_is_killed() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Tidy>::new()
            .partitions(Partitions::exactly(3))
            .start(&rt)
            .await
            .unwrap();
        let mut ends = Vec::new();
        for id in 0..9 {
            ends.push(rt.down(sup.start_child(&id, Setup::new(id, &log)).await.unwrap()));
        }
        ends.extend(sup.iter().map(|partition| rt.down(partition)));
        rt.exit(&sup, ExitReason::Kill);
        for end in join_all(ends).await {
            assert_eq!(kind(&end.reason), "shutdown");
        }
        assert_eq!(log.count(|event| matches!(event, Event::Terminate(_))), 9);
    });
}

/// Starts a supervisor under itself, and ends as it is told.
struct Owner;

impl Actor for Owner {
    type Args = (Log, Reply<Pid>);
    type Msg = ExitReason;

    async fn init((log, reply): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let sup = DynamicSupervisor::<Tidy>::new().start_link(cx).await?;
        sup.start_child(Setup::new(1, &log)).await?;
        if let Some(pid) = sup.target() {
            reply.send(pid);
        }
        Ok(Owner)
    }

    async fn handle(
        &mut self,
        reason: ExitReason,
        _cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        Err(reason)
    }
}

#[test]
fn a_linked_supervisor_ends_in_order_with_its_parent_whatever_the_reason() {
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::custom("crash")] {
        everywhere(|rt| {
            let reason = reason.clone();
            async move {
                let log = Log::new();
                let (reply, sup) = whitebeam_actor::oneshot();
                let owner = rt.start::<Owner>((log.clone(), reply)).await.unwrap();
                let sup = sup.await.unwrap();
                let down = rt.down(sup);
                owner.cast(reason.clone()).unwrap();
                assert_eq!(kind(&down.await.reason), kind(&reason));
                assert!(log.has(Event::Terminate(1)) && log.has(Event::Dropped(1)));
            }
        });
    }
}

#[test]
fn exit_signals_of_strangers_are_dropped() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::new().start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let pid = sup.target().unwrap();
        let stranger = rt.spawn::<Stranger>(());
        for reason in [ExitReason::Shutdown, ExitReason::custom("crash"), ExitReason::Normal] {
            stranger.call(|reply| (pid, reason.clone(), reply)).await.unwrap();
            // An answer of the supervisor: it has read the signal before.
            sup.start_child(Setup::new(2, &log)).await.unwrap();
        }
        assert!(child.is_alive());
        assert_eq!(sup.count(), 4);
    });
}

struct Stranger;

impl Actor for Stranger {
    type Args = ();
    type Msg = (Pid, ExitReason, Reply<()>);

    async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Stranger)
    }

    async fn handle(
        &mut self,
        (pid, reason, reply): Self::Msg,
        cx: &mut Context<Self>,
    ) -> Result<(), ExitReason> {
        cx.exit(pid, reason);
        reply.send(());
        Ok(())
    }
}

#[test]
fn a_child_with_a_backlog_and_a_stuck_handler_is_stopped() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary().start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        child.cast(Msg::Wait(never.clone())).unwrap();
        let unread = rt.spawn_task(child.call(Msg::Who).no_timeout().owned().into_future());
        for _ in 0..1000 {
            child.cast(Msg::Wait(never.clone())).unwrap();
        }
        stop(&rt, &sup).await;
        assert!(unread.await.is_err(), "its caller is told");
        assert!(log.has(Event::Dropped(1)));
    });
}

#[test]
fn all_children_share_one_shutdown_time() {
    simulated(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Tidy>::temporary().start(&rt).await.unwrap();
        for id in 0..50 {
            let handle = rt.clone();
            let setup = Setup::new(id, &log)
                .terminate(move |_| handle.sleep(Duration::from_millis(100 + id)));
            sup.start_child(setup).await.unwrap();
        }
        let before = rt.uptime();
        stop(&rt, &sup).await;
        let took = rt.uptime() - before;
        let longest = Duration::from_millis(149);
        assert!(took >= longest && took < longest + Duration::from_millis(20), "{took:?}");
    });
}

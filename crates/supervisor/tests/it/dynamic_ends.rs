//! Children that end at the same moment, and the moment at which the last one has left.

use std::time::Duration;

use futures_util::future::join;
use parking_lot::Mutex;
use whitebeam_actor::{ChildRef, ExitReason, Handle, StartError, oneshot};
use whitebeam_supervisor::{
    AutoShutdown, Child, ChildEntry, ChildState, DynamicRef, DynamicSupervisor, Intensity, Restart,
};

use crate::support::{
    Event, Gate, Log, Msg, Plain, Setup, Tidy, everywhere, kind, stop, told, until,
};

fn crash() -> ExitReason {
    ExitReason::custom("crash")
}

fn transient(setup: Setup) -> Child<ChildRef<Msg>> {
    Child::new::<Plain>("child", setup).restart(Restart::Transient)
}

/// They are told to end without a pause, so that the supervisor often hears of all at once: first of the one that leaves.
#[test]
fn who_ends_with_one_that_leaves_is_restarted() {
    everywhere(|rt| async move {
        let log = Log::new();
        let spec = DynamicSupervisor::<Plain>::new().restart(Restart::Transient);
        let sup = spec.with_intensity(Intensity::Unlimited).start(&rt).await.unwrap();
        let any = DynamicSupervisor::any().with_intensity(Intensity::Unlimited);
        let any = any.start(&rt).await.unwrap();
        for round in 0..8 {
            let (left, back) = (2 * round, 2 * round + 1);
            let (first, second) = join(
                sup.start_child(Setup::new(left, &log)),
                sup.start_child(Setup::new(back, &log)),
            )
            .await;
            let ended = first.unwrap().cast(Msg::End(ExitReason::Normal));
            second.unwrap().cast(Msg::End(crash())).and(ended).unwrap();
            log.wait_for(Event::Init(back, 2)).await;

            let (left, back) = (100 + left, 100 + back);
            let first = any.start_child(transient(Setup::new(left, &log))).await.unwrap();
            let second = any.start_child(transient(Setup::new(back, &log))).await.unwrap();
            first.cast(Msg::End(ExitReason::Normal)).unwrap();
            second.cast(Msg::End(crash())).unwrap();
            log.wait_for(Event::Init(back, 2)).await;
            any.terminate_child(&second).await.unwrap();
        }
        until(&rt, || (sup.count(), any.count()) == (8, 0)).await;
    });
}

/// Each of those whose starts fail at the same moment is told why.
#[test]
fn starts_that_fail_together_are_all_answered() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::any().start(&rt).await.unwrap();
        for round in 0..8 {
            let gate = Gate::new();
            let fails = |id| {
                let gate = gate.clone();
                transient(Setup::new(id, &log).init(move |_| {
                    let gate = gate.clone();
                    async move {
                        gate.passed().await;
                        Err(ExitReason::custom(id))
                    }
                }))
            };
            let (one, other) = (2 * round, 2 * round + 1);
            let starts = join(sup.start_child(fails(one)), sup.start_child(fails(other)));
            let starts = rt.spawn_task(starts);
            log.wait_for(Event::Init(one, 1)).await;
            log.wait_for(Event::Init(other, 1)).await;
            gate.open();
            let (first, second) = starts.await;
            for (started, id) in [(first, one), (second, other)] {
                match started {
                    Err(StartError::Exit(reason)) => assert_eq!(reason.downcast_ref(), Some(&id)),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(sup.count(), 0);
        }
    });
}

/// A supervisor that ends when the last of its children has left.
async fn all_significant(rt: &Handle, restart: Restart) -> DynamicRef<Plain> {
    let spec = DynamicSupervisor::<Plain>::new().restart(restart);
    let spec = spec.auto_shutdown(AutoShutdown::AllSignificant);
    spec.with_intensity(Intensity::Unlimited).start(rt).await.unwrap()
}

/// A child that is to be restarted has not left, whoever leaves at the same moment.
#[test]
fn the_last_one_has_not_left_while_it_is_restarted() {
    everywhere(|rt| async move {
        for round in 0..8 {
            let log = Log::new();
            let sup = all_significant(&rt, Restart::Transient).await;
            let down = rt.down(&sup);
            let leaves = sup.start_child(Setup::new(1, &log)).await.unwrap();
            let crashes = sup.start_child(Setup::new(2, &log)).await.unwrap();
            if round % 2 == 0 {
                leaves.cast(Msg::End(ExitReason::Normal)).unwrap();
                crashes.cast(Msg::End(crash())).unwrap();
            } else {
                crashes.cast(Msg::End(crash())).unwrap();
                leaves.cast(Msg::End(ExitReason::Normal)).unwrap();
            }
            log.wait_for(Event::Init(2, 2)).await;
            until(&rt, || sup.count() == 1).await;
            assert!(rt.is_alive(&sup));
            let entry = only(&sup, |state| state.pid().is_some()).await;
            rt.exit(entry.state.pid().unwrap(), ExitReason::Shutdown);
            assert_eq!(kind(&down.await.reason), "shutdown");
        }
    });
}

/// The only child, once it is so.
async fn only(sup: &DynamicRef<Plain>, is_so: impl Fn(ChildState) -> bool) -> ChildEntry {
    loop {
        let list = sup.which_children().await.unwrap();
        if let [entry] = &list[..]
            && is_so(entry.state)
        {
            return entry.clone();
        }
    }
}

/// One in its first start is none yet: when that fails, the last one has left before.
#[test]
fn the_last_one_may_leave_while_others_start_that_will_not() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = all_significant(&rt, Restart::Temporary).await;
        let down = rt.down(&sup);
        // No child has left yet.
        let no = |_| async { Err(ExitReason::custom("no")) };
        sup.start_child(Setup::new(1, &log).init(no)).await.unwrap_err();
        let child = sup.start_child(Setup::new(2, &log)).await.unwrap();
        let opened = gate.clone();
        let late = Setup::new(3, &log).init(move |_| {
            let gate = opened.clone();
            async move {
                gate.passed().await;
                Err(ExitReason::custom("no"))
            }
        });
        let start = rt.spawn_task(sup.start_child(late));
        log.wait_for(Event::Init(3, 1)).await;
        told(&rt, &child, Msg::End(ExitReason::Normal)).await;
        until(&rt, || sup.count() == 1).await;
        assert!(rt.is_alive(&sup), "a child is starting");
        gate.open();
        assert!(matches!(start.await, Err(StartError::Exit(_))));
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// Who is terminated as the last one leaves nobody behind that ends the supervisor: nor does a start that fails then.
#[test]
fn a_last_one_that_is_terminated_has_not_left() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = all_significant(&rt, Restart::Temporary).await;
        let first = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let second = sup.start_child(Setup::new(2, &log)).await.unwrap();
        told(&rt, &first, Msg::End(ExitReason::Normal)).await;
        sup.terminate_child(&second).await.unwrap();
        let no = |_| async { Err(ExitReason::custom("no")) };
        sup.start_child(Setup::new(3, &log).init(no)).await.unwrap_err();
        let third = sup.start_child(Setup::new(4, &log)).await.unwrap();
        let down = rt.down(&sup);
        told(&rt, &third, Msg::End(ExitReason::Normal)).await;
        assert_eq!(kind(&down.await.reason), "shutdown");
    });
}

/// A child whose `terminate` asks the supervisor that waits for it: it is refused at once, and its time is not used up.
#[test]
fn who_asks_a_supervisor_that_stops_its_children_is_refused() {
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Tidy>::new().start(&rt).await.unwrap();
        let any = DynamicSupervisor::any().start(&rt).await.unwrap();
        let (tell, told) = oneshot();
        let tell = Mutex::new(Some(tell));
        let (of_kind, of_any, others) = (sup.clone(), any.clone(), log.clone());
        let asks = Setup::new(1, &log).terminate(move |_| {
            let (of_kind, of_any, others) = (of_kind.clone(), of_any.clone(), others.clone());
            let tell = tell.lock().take();
            async move {
                let one = of_kind.start_child(Setup::new(2, &others)).await.err();
                let many = of_kind.start_children([Setup::new(2, &others)]).await;
                let any = of_any.start_child(transient(Setup::new(2, &others))).await.is_ok();
                tell.unwrap().send((one, many.into_iter().next().and_then(Result::err), any));
            }
        });
        sup.start_child(asks).await.unwrap();
        let begun = rt.uptime();
        stop(&rt, &sup).await;
        let (one, many, any_takes) = told.await.unwrap();
        assert!(matches!(one, Some(StartError::NoSupervisor)), "{one:?}");
        assert!(matches!(many, Some(StartError::NoSupervisor)), "{many:?}");
        assert!(any_takes, "another supervisor, which goes on");
        assert!(rt.uptime() - begun < Duration::from_secs(5));
        assert_eq!((sup.count(), log.count(|event| event == Event::Init(2, 1))), (0, 1));

        let (tell, told) = oneshot();
        let tell = Mutex::new(Some(tell));
        let (itself, others) = (any.clone(), log.clone());
        let asks = Setup::new(3, &log).terminate(move |_| {
            let (itself, others) = (itself.clone(), others.clone());
            let tell = tell.lock().take();
            async move {
                let refused = itself.start_child(transient(Setup::new(4, &others))).await.err();
                tell.unwrap().send(refused);
            }
        });
        let begun = rt.uptime();
        any.start_child(Child::new::<Tidy>("asks", asks)).await.unwrap();
        stop(&rt, &any).await;
        let refused = told.await.unwrap();
        assert!(matches!(refused, Some(StartError::NoSupervisor)), "{refused:?}");
        assert!(rt.uptime() - begun < Duration::from_secs(5));
    });
}

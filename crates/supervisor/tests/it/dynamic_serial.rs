//! OTP's order of starts: one at a time, when it is asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use whitebeam_actor::{ExitReason, StartError};
use whitebeam_supervisor::DynamicSupervisor;

use crate::support::{
    EXPECTED, Event, Gate, Log, Msg, Plain, Setup, everywhere, expect_panics, stop,
};

#[test]
fn one_init_runs_at_a_time_in_the_order_of_the_requests() {
    everywhere(|rt| async move {
        let log = Log::new();
        let running = Arc::new(AtomicUsize::new(0));
        let sup = DynamicSupervisor::<Plain>::temporary().serial_starts().start(&rt).await.unwrap();
        let setup = |id| {
            let (rt, running) = (rt.clone(), running.clone());
            Setup::new(id, &log).init(move |_| {
                let (rt, running) = (rt.clone(), running.clone());
                async move {
                    assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "another init runs");
                    rt.sleep(Duration::from_millis(1)).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }
            })
        };
        let some = join_all((0..5).map(|id| sup.start_child(setup(id)))).await;
        assert!(some.iter().all(Result::is_ok));
        let more = sup.start_children((5..10).map(setup)).await;
        assert!(more.iter().all(Result::is_ok));
        let expected: Vec<Event> =
            (0..10).flat_map(|id| [Event::Init(id, 1), Event::Started(id)]).collect();
        assert_eq!(log.all(), expected);
    });
}

#[test]
fn a_start_that_fails_lets_the_next_one_go() {
    expect_panics();
    everywhere(|rt| async move {
        let log = Log::new();
        let sup = DynamicSupervisor::<Plain>::temporary()
            .serial_starts()
            .max_children(2)
            .start(&rt)
            .await
            .unwrap();
        let starts = sup.start_children([
            Setup::new(0, &log).init(|_| async { Err(ExitReason::custom("no")) }),
            Setup::new(1, &log).init(|_| async { panic!("{EXPECTED}") }),
            Setup::new(2, &log).init(|_| async { Err(ExitReason::Ignore) }),
            Setup::new(3, &log),
            Setup::new(4, &log),
            Setup::new(5, &log),
            Setup::new(6, &log),
        ]);
        let starts = starts.await;
        assert!(matches!(starts[0], Err(StartError::Exit(ExitReason::Custom(_)))));
        assert!(matches!(starts[1], Err(StartError::Exit(ExitReason::Panic(_)))));
        assert!(matches!(starts[2], Err(StartError::Ignore)));
        assert!(starts[3].is_ok() && starts[4].is_ok());
        assert!(matches!(starts[5], Err(StartError::MaxChildren)));
        assert!(matches!(starts[6], Err(StartError::MaxChildren)));
    });
}

#[test]
fn a_stop_does_not_wait_for_the_start_under_way_nor_for_those_behind_it() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary().serial_starts().start(&rt).await.unwrap();
        let running = sup.start_child(Setup::new(9, &log)).await.unwrap();
        let starts = sup.start_children((0..300).map(|id| Setup::new(id, &log).init_at(&never)));
        log.wait_for(Event::Init(0, 1)).await;
        assert_eq!(running.call(Msg::Who).await.unwrap().0, 9);
        stop(&rt, &sup).await;
        for start in starts.await {
            assert!(matches!(start, Err(StartError::Exit(ExitReason::Shutdown))), "{start:?}");
        }
        assert_eq!(log.count(|event| matches!(event, Event::Init(..))), 2, "no other was begun");
        assert!(!running.is_alive());
    });
}

#[test]
fn a_child_can_be_ended_while_another_one_starts() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let sup = DynamicSupervisor::<Plain>::temporary().serial_starts().start(&rt).await.unwrap();
        let child = sup.start_child(Setup::new(1, &log)).await.unwrap();
        let slow = sup.start_child(Setup::new(2, &log).init_at(&gate));
        log.wait_for(Event::Init(2, 1)).await;
        sup.terminate_child(&child).await.unwrap();
        gate.open();
        slow.await.unwrap();
        assert_eq!(sup.count(), 1);
    });
}

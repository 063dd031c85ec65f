//! The address that goes on over restarts.

use whitebeam_actor::{CallError, ChildRef, ChildSlot, ExitReason, SendFailure, Target};
use whitebeam_supervisor::{Child, PartitionSupervisor, Partitions};

use crate::support::{Event, Gate, Log, Msg, Plain, Setup, end, everywhere, kind, threaded, told};

/// The failure, with the message given back.
#[track_caller]
fn refused(child: &ChildRef<Msg>) -> SendFailure {
    let error = child.cast(Msg::Panic).unwrap_err();
    let why = error.why();
    assert!(matches!(error.into_message(), Msg::Panic));
    why
}

#[test]
fn before_between_and_after_incarnations() {
    everywhere(|rt| async move {
        let log = Log::new();
        let slot = ChildSlot::<Msg>::new();
        let child = slot.child();
        assert_eq!(refused(&child), SendFailure::Restarting);
        assert!(matches!(child.call(Msg::Who).await, Err(CallError::Restarting)));
        assert!(child.current().is_none() && child.target().is_none() && child.info().is_none());

        let first = rt.start::<Plain>(Setup::new(1, &log)).await.unwrap();
        slot.set(first.clone());
        assert_eq!(child.target(), Some(first.pid()));
        assert_eq!(child.call(Msg::Who).await.unwrap().0, 1);

        // It has ended, and the supervisor has not replaced it yet.
        told(&rt, &first, Msg::End(ExitReason::Normal)).await;
        assert_eq!(refused(&child), SendFailure::Restarting);
        let error = child.call(Msg::Who).await.unwrap_err();
        assert!(matches!(error, CallError::Restarting) && error.is_retryable());
        assert!(!child.is_alive());

        let second = rt.start::<Plain>(Setup::new(2, &log)).await.unwrap();
        slot.set(second.clone());
        assert_eq!(child.call(Msg::Who).await.unwrap().0, 2);
        assert_eq!(child.current(), Some(second.clone()));

        slot.gone();
        assert_eq!(refused(&child), SendFailure::NoProc);
        assert!(matches!(child.call(Msg::Who).await, Err(CallError::NoProc)));
        slot.set(second);
        assert!(child.is_alive(), "its supervisor was restarted");
        drop(slot);
        assert_eq!(refused(&child), SendFailure::NoProc);
    });
}

#[test]
fn a_call_waits_with_its_incarnation_and_is_never_repeated() {
    everywhere(|rt| async move {
        let (log, never) = (Log::new(), Gate::new());
        let noted = log.clone();
        let sup = PartitionSupervisor::new(Partitions::exactly(1), move |_| {
            Child::new::<Plain>("worker", Setup::new(1, &noted))
        });
        let sup = sup.start(&rt).await.unwrap();
        let child = sup.of(&0).clone();
        let first = child.current().unwrap();
        child.cast(Msg::Wait(never.clone())).unwrap();
        let call = rt.spawn_task(child.call(Msg::Who).no_timeout().owned().into_future());
        while first.info().is_some_and(|info| !info.is_suspended || info.mailbox_len == 0) {
            rt.sleep(std::time::Duration::from_millis(1)).await;
        }
        rt.exit(&first, ExitReason::custom("crash"));
        let error = call.await.unwrap_err();
        assert!(matches!(&error, CallError::Exit(ExitReason::Custom(_))), "{error}");
        log.wait_for(Event::Init(1, 2)).await;
        let (id, info) = child.call(Msg::Who).await.unwrap();
        assert_eq!((id, info.attempt), (1, 2));
        assert_ne!(child.current(), Some(first));
    });
}

#[test]
fn an_owned_call_outlives_its_address_and_the_child() {
    everywhere(|rt| async move {
        let log = Log::new();
        let slot = ChildSlot::<Msg>::new();
        slot.set(rt.start::<Plain>(Setup::new(1, &log)).await.unwrap());
        let kept = slot.child().call(Msg::Who).owned();
        assert_eq!(kept.await.unwrap().0, 1);

        let late = slot.child().call(Msg::Who).owned();
        let unstarted = ChildSlot::<Msg>::new();
        let nobody = unstarted.child().call(Msg::Who).owned();
        end(&rt, slot.child(), ExitReason::Kill).await;
        drop(slot);
        assert!(matches!(late.await, Err(CallError::NoProc)));
        assert!(matches!(nobody.await, Err(CallError::Restarting)));
    });
}

#[test]
fn pinned_to_one_process_it_is_that_process_s_address() {
    everywhere(|rt| async move {
        let log = Log::new();
        let actor = rt.start::<Plain>(Setup::new(1, &log)).await.unwrap();
        let child: ChildRef<Msg> = actor.clone().into();
        assert_eq!(child.clone().call(Msg::Who).await.unwrap().0, 1);
        assert_eq!(child.target(), Some(actor.pid()));
        assert_eq!(format!("{child:?}"), format!("ChildRef({})", actor.pid()));
        assert_eq!(kind(&end(&rt, &child, ExitReason::Kill).await), "killed");
        assert_eq!(refused(&child), SendFailure::NoProc);
        assert!(matches!(child.call(Msg::Who).await, Err(CallError::NoProc)));
    });
}

#[test]
fn plain_threads_call_children_too() {
    threaded(|rt| async move {
        let log = Log::new();
        let slot = ChildSlot::<Msg>::new();
        assert!(matches!(slot.child().call(Msg::Who).blocking(), Err(CallError::Restarting)));
        slot.set(rt.start::<Plain>(Setup::new(1, &log)).await.unwrap());
        // The body of a test runs on a plain thread.
        assert_eq!(slot.child().call(Msg::Who).blocking().unwrap().0, 1);
        end(&rt, slot.child(), ExitReason::Kill).await;
        assert!(matches!(slot.child().call(Msg::Who).blocking(), Err(CallError::Restarting)));
        slot.gone();
        assert!(matches!(slot.child().call(Msg::Who).blocking(), Err(CallError::NoProc)));
    });
}

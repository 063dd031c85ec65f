//! Tries of a restart that failed, among other changes. Found by comparison with Erlang/OTP (`tests/beam.rs`).

use std::time::Duration;

use whitebeam_actor::ExitReason;
use whitebeam_supervisor::{Child, ChildState, Supervisor};

use crate::support::{Event, Gate, Log, Msg, Setup, Tidy, simulated, told};

fn inits(log: &Log, id: u64) -> usize {
    log.count(|event| matches!(event, Event::Init(other, _) if other == id))
}

fn stops(log: &Log, id: u64) -> usize {
    log.count(|event| event == Event::Terminate(id))
}

/// A try waits in line, and behind it a request; ahead of it another restart of the group fails at the same child. The
/// try is the next one of that failure, too: the request still sees what comes of it.
#[test]
fn a_try_that_waits_is_the_next_one_of_a_later_failure() {
    simulated(|rt| async move {
        let (log, begin, stop) = (Log::new(), Gate::new(), Gate::new());
        let (seen, at_begin) = (log.clone(), begin.clone());
        let slow = Setup::new(2, &log).init(move |_| {
            let gate = (inits(&seen, 2) == 2).then(|| at_begin.clone());
            async {
                if let Some(gate) = gate {
                    gate.passed().await;
                }
                Ok(())
            }
        });
        let (seen, at_stop) = (log.clone(), stop.clone());
        let slow = slow.terminate(move |_| {
            let gate = (stops(&seen, 2) == 2).then(|| at_stop.clone());
            async {
                if let Some(gate) = gate {
                    gate.passed().await;
                }
            }
        });
        let seen = log.clone();
        let failing = Setup::new(3, &log).init(move |_| {
            let fails = matches!(inits(&seen, 3), 2 | 3);
            async move { if fails { Err(ExitReason::custom("as planned")) } else { Ok(()) } }
        });

        let mut tree = Supervisor::one_for_all().intensity(9, Duration::from_secs(3_600));
        let first = tree.child_with(Child::new::<Tidy>(1, Setup::new(1, &log)));
        let slow = tree.child_with(Child::new::<Tidy>(2, slow));
        tree.child_with(Child::new::<Tidy>(3, failing));
        let root = tree.start(&rt).await.unwrap();

        told(&rt, &first.current().unwrap(), Msg::End(ExitReason::custom(1))).await;
        log.wait(2, |event| matches!(event, Event::Started(1))).await;
        // The supervisor waits for the second; behind that the third fails, and then this end is seen to.
        told(&rt, &first.current().unwrap(), Msg::End(ExitReason::Normal)).await;
        begin.open();
        log.wait(2, |event| event == Event::Terminate(2)).await;
        // The try is in line before the request is.
        rt.sleep(Duration::from_millis(1)).await;
        let asked = rt.spawn_task({
            let (root, slow) = (root.clone(), slow.clone());
            async move { root.terminate_child(&slow).await }
        });
        rt.sleep(Duration::from_millis(1)).await;
        stop.open();
        asked.await.unwrap();

        rt.sleep(Duration::from_millis(1)).await;
        assert_eq!((inits(&log, 2), inits(&log, 3)), (4, 4), "the third fails twice");
        assert_eq!(root.which_child(2).await.unwrap().state, ChildState::Stopped);
        assert_eq!(root.count_children().await.unwrap().active, 2);
    });
}

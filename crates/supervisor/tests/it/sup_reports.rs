//! Which ends of children are reported, by OTP's `supervisor.erl`: what it calls `child_terminated`, `shutdown_error`,
//! `start_error` and `shutdown`.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{ChildRef, Exit, ExitReason, Handle, Mailbox, SupervisorReport};
use whitebeam_supervisor::{Child, ChildState, Restart, Shutdown, Supervisor, SupervisorRef};

use crate::{
    sup_made::reported,
    support::{Event, Gate, Log, Msg, Plain, Setup, Tidy, kind, stop, told},
    tree::{Come, Starts, child, child_of, current, quiet, until, until_state},
};

type Seen = Arc<Mutex<Vec<SupervisorReport>>>;

/// What was reported but for starts: what about, which child, and how that has ended.
fn take(seen: &Seen) -> Vec<String> {
    let text = |report: SupervisorReport| {
        let reason = report.reason.as_ref().map_or("", kind);
        format!("{} {} {reason}", report.context, report.child)
    };
    let reports = std::mem::take(&mut *seen.lock());
    reports.into_iter().map(text).filter(|text| !text.starts_with("progress")).collect()
}

async fn crash(rt: &Handle, child: &ChildRef<Msg>) {
    told(rt, &current(child), Msg::End(ExitReason::custom("crash"))).await;
}

/// A process that is told to end, and ends with another reason.
fn wilful(id: usize, reason: ExitReason) -> Child<ChildRef<Exit>> {
    Child::process(id, move |mut mailbox: Mailbox<Exit>| {
        let reason = reason.clone();
        async move {
            mailbox.trap_exit(|exit| exit);
            mailbox.recv().await;
            Err(reason)
        }
    })
}

const RESTARTS: [Restart; 3] = [Restart::Permanent, Restart::Transient, Restart::Temporary];

/// Ends by themselves: of a permanent child any, of others those that are not in order.
#[test]
fn ends_by_themselves() {
    reported(|rt, seen| async move {
        for restart in RESTARTS {
            for (reason, is_orderly) in [
                (ExitReason::Normal, true),
                (ExitReason::Shutdown, true),
                (ExitReason::shutdown_with("value"), true),
                (ExitReason::custom("crash"), false),
            ] {
                let log = Log::new();
                let mut tree = Supervisor::one_for_one();
                let handle = tree.child_with(child(1, &log).restart(restart));
                let root = tree.start(&rt).await.unwrap();
                told(&rt, &current(&handle), Msg::End(reason.clone())).await;
                quiet(&rt).await;
                stop(&rt, &root).await;
                let expected = format!("child_terminated 1 {}", kind(&reason));
                let is_told = restart == Restart::Permanent || !is_orderly;
                assert_eq!(take(&seen), if is_told { vec![expected] } else { vec![] });
            }
        }
    });
}

/// Ends of those that were told to end: a permanent child is to end with the reason of its signal, others in order.
#[test]
fn ends_of_those_that_are_stopped() {
    reported(|rt, seen| async move {
        for restart in RESTARTS {
            for (reason, permanent, others) in [
                (ExitReason::Shutdown, false, false),
                (ExitReason::Normal, true, false),
                (ExitReason::shutdown_with("value"), true, false),
                (ExitReason::custom("no"), true, true),
            ] {
                for by_hand in [true, false] {
                    let mut tree = Supervisor::one_for_one();
                    tree.child_with(wilful(1, reason.clone()).restart(restart));
                    let killed = wilful(2, reason.clone()).shutdown(Shutdown::BrutalKill);
                    tree.child_with(killed.restart(restart));
                    let root = tree.start(&rt).await.unwrap();
                    if by_hand {
                        root.terminate_child(2).await.unwrap();
                        root.terminate_child(1).await.unwrap();
                    }
                    stop(&rt, &root).await;
                    let is_told = if restart == Restart::Permanent { permanent } else { others };
                    let expected = format!("shutdown_error 1 {}", kind(&reason));
                    assert_eq!(take(&seen), if is_told { vec![expected] } else { vec![] });
                }
            }
        }
    });
}

/// Has a child start that waits for the gate: what is asked and what ends meanwhile waits in line.
async fn held(root: &SupervisorRef, log: &Log, gate: &Gate) -> impl Future + use<> {
    let slow = root.start_child(child_of(Setup::new(9, log).init_at(gate)));
    log.wait_for(Event::Init(9, 1)).await;
    slow
}

/// A child that ends by itself before it can be told to is reported by who was to stop it: as the end that it was.
#[test]
fn ends_ahead_of_their_stop() {
    reported(|rt, seen| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_one();
        let handles = [1, 2].map(|id| tree.child_with(child(id, &log)));
        let root = tree.start(&rt).await.unwrap();
        let slow = held(&root, &log, &gate).await;
        let mut stopped = std::pin::pin!(root.terminate_child(1));
        assert!(futures_util::poll!(&mut stopped).is_pending());
        // Behind that.
        root.which_children().await.unwrap();
        crash(&rt, &handles[0]).await;
        until_state(&rt, &root, 1, ChildState::Restarting).await;
        gate.open();
        slow.await;
        stopped.await.unwrap();
        assert_eq!(take(&seen), ["shutdown_error 1 custom"]);
        until_state(&rt, &root, 1, ChildState::Stopped).await;

        // The same by the supervisor's own end: of one whose end waits in line ..
        root.terminate_child(9).await.unwrap();
        root.delete_child(9).await.unwrap();
        let slow = {
            let log = Log::new();
            held(&root, &log, &Gate::new()).await
        };
        crash(&rt, &handles[1]).await;
        until_state(&rt, &root, 2, ChildState::Restarting).await;
        stop(&rt, &root).await;
        slow.await;
        assert_eq!(take(&seen), ["shutdown_error 2 custom"]);
    });
    reported(|rt, seen| async move {
        // .. and of one that ends while another is stopped.
        let (log, gate) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_one();
        let first = tree.child_with(child(1, &log));
        let waits = gate.clone();
        let slow = Setup::new(2, &log).terminate(move |_| waits.clone().passed());
        tree.child::<Tidy>(2, slow);
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&root);
        rt.exit(&root, ExitReason::Shutdown);
        log.wait_for(Event::Terminate(2)).await;
        crash(&rt, &first).await;
        gate.open();
        down.await;
        assert_eq!(take(&seen), ["shutdown_error 1 custom"]);
    });
}

/// In the restart of a group the end that has caused it is reported once, and another's of the group by its stop.
#[test]
fn ends_in_the_restart_of_a_group() {
    reported(|rt, seen| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_all();
        let handles = [1, 2].map(|id| tree.child_with(child(id, &log)));
        let waits = gate.clone();
        let slow = Setup::new(3, &log).terminate(move |_| waits.clone().passed());
        tree.child::<Tidy>(3, slow);
        let root = tree.start(&rt).await.unwrap();
        crash(&rt, &handles[0]).await;
        log.wait_for(Event::Terminate(3)).await;
        crash(&rt, &handles[1]).await;
        gate.open();
        log.wait(2, |event| event == Event::Started(3)).await;
        until(&rt, &root, |all| all.iter().all(|entry| entry.state.pid().is_some())).await;
        stop(&rt, &root).await;
        assert_eq!(take(&seen), ["child_terminated 1 custom", "shutdown_error 2 custom"]);
    });
}

/// A restart that fails, and one that is one too many.
#[test]
fn restarts_that_fail() {
    reported(|rt, seen| async move {
        let log = Log::new();
        let come = Starts::new([Come::Good, Come::Failed, Come::Failed]);
        let mut tree = Supervisor::one_for_one().intensity(2, Duration::from_secs(5));
        let handle = tree.child_with(Child::new::<Plain>(1, Setup::new(1, &log).init(come.come())));
        tree.child_with(child(2, &log));
        let root = tree.start(&rt).await.unwrap();
        let down = rt.down(&root);
        crash(&rt, &handle).await;
        down.await;
        let failed = "start_error 1 custom";
        let expected = ["child_terminated 1 custom", failed, failed, "shutdown 1 custom"];
        assert_eq!(take(&seen), expected);
    });
}

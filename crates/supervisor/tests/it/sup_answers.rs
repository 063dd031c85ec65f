//! What a supervisor answers, for each request and each state of the child that it is about, by OTP's `supervisor.erl`;
//! and what it answers when it cannot.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use whitebeam_actor::{
    CallError, ChildRef, ExitReason, Handle, Mailbox, Overflow, SpawnOptions, StartError,
};
use whitebeam_supervisor::{
    Child, ChildError, ChildId, ChildState, Intensity, PartitionSupervisor, Partitions, Restart,
    SpecError, StartTree, Supervisor, SupervisorRef,
};

use crate::{
    support::{Event, Gate, Log, Msg, Plain, Setup, Tidy, kind, stop, told, until},
    tree::{
        Come, Starts, child, child_of, counts, current, everywhere, starts, state_in,
        until_dropped, until_state,
    },
};

async fn crash(rt: &Handle, child: &ChildRef<Msg>) {
    told(rt, &current(child), Msg::End(ExitReason::custom("crash"))).await;
}

/// A request, and what is answered in short.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Start,
    Terminate,
    Restart,
    Delete,
    GetSpec,
    Which,
}

const ALL: [Ask; 6] =
    [Ask::Start, Ask::Terminate, Ask::Restart, Ask::Delete, Ask::GetSpec, Ask::Which];

type Answer = Pin<Box<dyn Future<Output = String> + Send>>;

fn short<T>(answer: Result<T, ChildError>) -> String {
    match answer {
        Ok(_) => "ok".into(),
        Err(ChildError::NotFound) => "not found".into(),
        Err(ChildError::Running) => "running".into(),
        Err(ChildError::ChildRestarting) => "restarting".into(),
        Err(other) => format!("{other:?}"),
    }
}

impl Ask {
    /// Asks about the child 1, at once.
    async fn about_1(self, root: &SupervisorRef, log: &Log) -> Answer {
        let (root, log) = (root.clone(), log.clone());
        let mut answer: Answer = Box::pin(async move {
            match self {
                Ask::Start => match root.start_child(child(1, &log)).await {
                    Ok(_) => "ok".into(),
                    Err(StartError::AlreadyStarted(_)) => "already started".into(),
                    Err(StartError::AlreadyPresent) => "already present".into(),
                    Err(other) => format!("{other:?}"),
                },
                Ask::Terminate => short(root.terminate_child(1).await),
                Ask::Restart => short(root.restart_child(1).await),
                Ask::Delete => short(root.delete_child(1).await),
                Ask::GetSpec => short(root.get_childspec(1).await),
                Ask::Which => short(root.which_child(1).await.map(|entry| entry.state)),
            }
        });
        // Sent with the first poll.
        let answered = std::future::poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        });
        match answered.await {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => answer,
        }
    }
}

/// What the child 1 is when the supervisor sees to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    /// Its first start is under way, and the request waits for that.
    Starting,
    Running,
    /// It has ended behind the request, and nobody has seen to it.
    Ended,
    /// Its restart has failed, and is tried again behind the request.
    Restarting,
    /// It is being terminated, and the request waits for that.
    Stopping,
    Stopped,
    /// Its `init` said that no process is wanted.
    Ignored,
    /// It has ended by itself, in order, and is transient.
    Left,
    /// It has ended by itself, and is temporary.
    Dropped,
    Unknown,
}

/// Starts that fail from the second on, each when the gate of its number is open.
fn failing(log: &Log, gates: &[Gate; 2]) -> Child<ChildRef<Msg>> {
    let gates = gates.clone();
    child_of(Setup::new(1, log).init(move |info| {
        let number = (info.attempt as usize).checked_sub(2);
        let gate = number.and_then(|number| gates.get(number).cloned());
        async move {
            if info.attempt == 1 {
                return Ok(());
            }
            if let Some(gate) = gate {
                gate.passed().await;
            }
            Err(ExitReason::custom("no"))
        }
    }))
}

async fn answer(rt: &Handle, is: Is, ask: Ask) -> String {
    let (log, gates) = (Log::new(), [Gate::new(), Gate::new()]);
    let mut tree = Supervisor::one_for_one().with_intensity(Intensity::Unlimited);
    let first = match is {
        Is::Restarting => Some(tree.child_with(failing(&log, &gates))),
        Is::Stopping => {
            let gate = gates[0].clone();
            let setup = Setup::new(1, &log).terminate(move |_| gate.clone().passed());
            Some(tree.child_with(Child::new::<Tidy>(1, setup)))
        }
        Is::Ignored => {
            let come = Starts::new([Come::Ignored]).come();
            Some(tree.child_with(child_of(Setup::new(1, &log).init(come))))
        }
        Is::Left => Some(tree.child_with(child(1, &log).restart(Restart::Transient))),
        Is::Dropped => Some(tree.child_with(child(1, &log).restart(Restart::Temporary))),
        Is::Starting | Is::Unknown => None,
        _ => Some(tree.child_with(child(1, &log))),
    };
    let root = tree.start(rt).await.unwrap();
    let answer = match is {
        Is::Running | Is::Ignored | Is::Unknown => ask.about_1(&root, &log).await,
        Is::Starting => {
            let setup = Setup::new(1, &log).init_at(&gates[0]);
            let started = root.start_child(child_of(setup));
            log.wait_for(Event::Init(1, 1)).await;
            let answer = ask.about_1(&root, &log).await;
            root.count_children().await.unwrap();
            gates[0].open();
            started.await.unwrap();
            answer
        }
        Is::Stopping => {
            let mut terminated = Box::pin(root.terminate_child(1));
            assert!(futures_util::poll!(&mut terminated).is_pending());
            log.wait_for(Event::Terminate(1)).await;
            let answer = ask.about_1(&root, &log).await;
            root.count_children().await.unwrap();
            gates[0].open();
            terminated.await.unwrap();
            answer
        }
        Is::Left => {
            told(rt, &current(first.as_ref().unwrap()), Msg::End(ExitReason::Normal)).await;
            until_state(rt, &root, 1, ChildState::Stopped).await;
            ask.about_1(&root, &log).await
        }
        Is::Dropped => {
            crash(rt, first.as_ref().unwrap()).await;
            until_dropped(rt, &root, 1).await;
            ask.about_1(&root, &log).await
        }
        Is::Stopped => {
            root.terminate_child(1).await.unwrap();
            ask.about_1(&root, &log).await
        }
        Is::Ended => {
            let gate = Gate::new();
            let slow = root.start_child(child_of(Setup::new(2, &log).init_at(&gate)));
            log.wait_for(Event::Init(2, 1)).await;
            let answer = ask.about_1(&root, &log).await;
            // Behind the request: it is in line.
            root.count_children().await.unwrap();
            crash(rt, first.as_ref().unwrap()).await;
            until_state(rt, &root, 1, ChildState::Restarting).await;
            gate.open();
            slow.await.unwrap();
            answer
        }
        Is::Restarting => {
            crash(rt, first.as_ref().unwrap()).await;
            log.wait_for(Event::Init(1, 2)).await;
            let answer = ask.about_1(&root, &log).await;
            root.count_children().await.unwrap();
            gates[0].open();
            answer
        }
    };
    let answer = answer.await;
    stop(rt, &root).await;
    answer
}

/// The table of answers.
#[test]
fn every_request_in_every_state() {
    let stopped = ["already present", "ok", "ok", "ok", "ok", "ok"];
    let unknown = ["ok", "not found", "not found", "not found", "not found", "not found"];
    let rows = [
        // It is told of when it has started.
        (Is::Starting, ["already started", "ok", "running", "running", "not found", "not found"]),
        (Is::Running, ["already started", "ok", "running", "running", "ok", "ok"]),
        (Is::Ended, ["already started", "ok", "running", "running", "ok", "ok"]),
        (Is::Restarting, ["already present", "ok", "restarting", "restarting", "ok", "ok"]),
        (Is::Stopping, stopped),
        (Is::Stopped, stopped),
        (Is::Ignored, stopped),
        (Is::Left, stopped),
        (Is::Dropped, unknown),
        (Is::Unknown, unknown),
    ];
    everywhere(move |rt| async move {
        for (is, answers) in rows {
            for (ask, expected) in ALL.into_iter().zip(answers) {
                assert_eq!(answer(&rt, is, ask).await, expected, "{is:?} {ask:?}");
            }
        }
    });
}

/// A child that ends ahead of a request is seen to first; one that is terminated when it has ended is not started again.
#[test]
fn an_end_and_a_request_are_seen_to_in_their_order() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let mut tree = Supervisor::one_for_one();
        let handles = [1, 2].map(|id| tree.child_with(child(id, &log)));
        let root = tree.start(&rt).await.unwrap();
        let slow = root.start_child(child_of(Setup::new(3, &log).init_at(&gate)));
        log.wait_for(Event::Init(3, 1)).await;
        let mut terminated = Box::pin(root.terminate_child(1));
        assert!(futures_util::poll!(&mut terminated).is_pending());
        root.which_children().await.unwrap();
        for handle in &handles {
            crash(&rt, handle).await;
        }
        until_state(&rt, &root, 1, ChildState::Restarting).await;
        until_state(&rt, &root, 2, ChildState::Restarting).await;
        let restarted = Ask::Restart.about_1(&root, &log).await;
        let mut other = Box::pin(root.restart_child(2));
        assert!(futures_util::poll!(&mut other).is_pending());
        gate.open();
        slow.await.unwrap();
        terminated.await.unwrap();
        assert_eq!(restarted.await, "ok");
        assert!(matches!(other.await, Err(ChildError::Running)));
        assert_eq!([1, 2].map(|id| starts(&log, id)), [2, 2]);
    });
}

/// A process that ends as soon as it has begun, the first time; and the count of its starts.
fn brief() -> (Child<ChildRef<()>>, Arc<AtomicUsize>) {
    let starts: Arc<AtomicUsize> = Arc::default();
    let counted = starts.clone();
    let child = Child::process(1, move |mut mailbox: Mailbox<()>| {
        let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                return Err(ExitReason::custom("brief"));
            }
            loop {
                mailbox.recv().await;
            }
        }
    });
    (child, starts)
}

/// A child that ends right behind its start has started, in whatever order the two are heard of; its end is seen to
/// behind what was asked before.
#[test]
fn an_end_right_behind_a_start_keeps_its_place_in_line() {
    everywhere(|rt| async move {
        for is_terminated in [false, true] {
            let (log, gate, (child, starts)) = (Log::new(), Gate::new(), brief());
            let root = Supervisor::one_for_one().start(&rt).await.unwrap();
            let slow = root.start_child(child_of(Setup::new(2, &log).init_at(&gate)));
            log.wait_for(Event::Init(2, 1)).await;
            let started = root.start_child(child);
            let mut terminated = Box::pin(root.terminate_child(1));
            if is_terminated {
                assert!(futures_util::poll!(&mut terminated).is_pending());
            }
            // All are in line.
            assert_eq!(counts(&root).await, (0, 0, 0, 0));
            gate.open();
            slow.await.unwrap();
            let brief = started.await.unwrap();
            if is_terminated {
                // It has ended by itself, and is not started again.
                terminated.await.unwrap();
                assert_eq!(root.which_child(1).await.unwrap().state, ChildState::Stopped);
                assert_eq!(starts.load(Ordering::SeqCst), 1);
            } else {
                until(&rt, || starts.load(Ordering::SeqCst) == 2).await;
                let is_second = |state: ChildState| state.pid().is_some_and(|pid| rt.is_alive(pid));
                crate::tree::until(&rt, &root, |all| state_in(all, 1).is_some_and(is_second)).await;
                assert!(brief.is_alive());
                assert!(matches!(root.restart_child(1).await, Err(ChildError::Running)));
            }
            stop(&rt, &root).await;
        }
    });
}

fn fault<T: std::fmt::Debug>(start: Result<T, StartError>) -> SpecError {
    match start {
        Err(StartError::Invalid(error)) => error.downcast_ref::<SpecError>().unwrap().clone(),
        other => panic!("{other:?}"),
    }
}

/// An address names a child that there is. As the id of another it would lead to that one.
#[test]
fn an_address_is_no_id_of_a_spec() {
    everywhere(|rt| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one();
        let first = tree.child_with(child(1, &log));
        tree.child_with(Child::new::<Plain>(&first, Setup::new(2, &log)));
        let error = fault(tree.start(&rt).await);
        assert_eq!(error, SpecError::AddressAsId);
        assert!(error.to_string().contains("address"));
        assert_eq!(starts(&log, 1), 0);

        let mut tree = Supervisor::one_for_one();
        let first = tree.child_with(child(1, &log));
        let root = tree.start(&rt).await.unwrap();
        let shadow = Child::new::<Plain>(ChildId::from(&first), Setup::new(2, &log));
        assert_eq!(fault(root.start_child(shadow).await), SpecError::AddressAsId);
        assert_eq!(root.which_child(&first).await.unwrap().id, 1.into());

        let of_partitions = log.clone();
        let partitions = PartitionSupervisor::new(Partitions::exactly(2), move |_| {
            Child::new::<Plain>(&first, Setup::new(2, &of_partitions))
        });
        assert_eq!(fault(partitions.start(&rt).await), SpecError::AddressAsId);
    });
}

/// A child whose `terminate` asks the supervisor that waits for it is told so.
#[test]
fn who_asks_a_supervisor_that_waits_for_it_is_told_of_the_circle() {
    everywhere(|rt| async move {
        let log = Log::new();
        let answers: Arc<Mutex<Vec<String>>> = Arc::default();
        let root: Arc<Mutex<Option<SupervisorRef>>> = Arc::default();
        let (asked, noted, of_2) = (root.clone(), answers.clone(), log.clone());
        let setup = Setup::new(1, &log).terminate(move |_| {
            let (root, noted) = (asked.lock().clone().unwrap(), noted.clone());
            let second = child(2, &of_2);
            let text = |error: ChildError| match error {
                ChildError::Deadlock(path) => format!("deadlock {}", path.pids().len()),
                other => format!("{other:?}"),
            };
            async move {
                let which = root.which_children().await.map_err(text).unwrap_err();
                let terminated = root.terminate_child(1).await.map_err(text).unwrap_err();
                let started = match root.start_child(second).await {
                    Err(StartError::Deadlock(path)) => format!("deadlock {}", path.pids().len()),
                    other => format!("{other:?}"),
                };
                noted.lock().extend([which, terminated, started]);
            }
        });
        let mut tree = Supervisor::one_for_one();
        tree.child::<Tidy>(1, setup);
        let started = tree.start(&rt).await.unwrap();
        *root.lock() = Some(started.clone());
        stop(&rt, &started).await;
        assert_eq!(*answers.lock(), ["deadlock 2"; 3]);
        assert_eq!(starts(&log, 2), 0);
    });
}

/// What a call came to is told as what it is.
#[test]
fn errors_of_calls_are_not_said_to_be_the_end_of_the_supervisor() {
    let of = |error: CallError| ChildError::from(error);
    assert!(matches!(of(CallError::NoReply), ChildError::NoReply));
    assert!(matches!(of(CallError::Timeout { accepted: true }), ChildError::Timeout));
    assert!(matches!(of(CallError::NoProc), ChildError::NoSupervisor));
    assert!(matches!(of(CallError::Full), ChildError::Full));
    assert!(matches!(of(CallError::Restarting), ChildError::Restarting));
    assert!(matches!(of(CallError::Exit(ExitReason::Killed)), ChildError::Exit(_)));
    let texts = [ChildError::NoReply, ChildError::Timeout, ChildError::NoSupervisor];
    let texts = texts.map(|error| error.to_string());
    assert_ne!(texts[0], texts[2]);
    assert_ne!(texts[1], texts[2]);
}

/// Asks for the start of twenty children, one after the other, while another start holds them up.
async fn flooded(
    rt: &Handle,
    overflow: Overflow,
    log: &Log,
    gate: &Gate,
) -> (SupervisorRef, Vec<StartTree<ChildRef<Msg>>>) {
    let options = SpawnOptions::new().bounded(5, overflow);
    let root = Supervisor::one_for_one().options(options).start(rt).await.unwrap();
    let slow = root.start_child(child_of(Setup::new(100, log).init_at(gate)));
    log.wait_for(Event::Init(100, 1)).await;
    drop(slow);
    let mut asked = Vec::new();
    for id in 0..20 {
        asked.push(root.start_child(child(id, log)));
        // The mailbox is empty again, or it has ended.
        if root.which_children().await.is_err() {
            break;
        }
    }
    (root, asked)
}

/// The bound of a supervisor's mailbox holds for what was taken out of it to wait.
#[test]
fn the_bound_of_a_mailbox_holds_for_the_line_of_requests() {
    for (overflow, served) in [
        (Overflow::Reject, [0, 1, 2, 3, 4]),
        (Overflow::DropNewest, [0, 1, 2, 3, 4]),
        (Overflow::DropOldest, [15, 16, 17, 18, 19]),
    ] {
        everywhere(move |rt| async move {
            let (log, gate) = (Log::new(), Gate::new());
            let (root, asked) = flooded(&rt, overflow, &log, &gate).await;
            gate.open();
            let answers = join_all(asked).await;
            let is_full = |it: &Result<_, _>| matches!(it, Err(StartError::Full));
            assert_eq!(answers.iter().filter(|it| is_full(it)).count(), 15);
            let is_served = |id: &usize| answers[*id].is_ok();
            assert_eq!((0..20).filter(is_served).collect::<Vec<_>>(), served);
            // There is room again.
            root.start_child(child(50, &log)).await.unwrap();
            assert_eq!(counts(&root).await, (7, 7, 0, 7));
        });
    }
}

#[test]
fn a_supervisor_whose_line_is_too_long_ends_if_its_bound_says_so() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let (root, asked) = flooded(&rt, Overflow::Exit, &log, &gate).await;
        until(&rt, || !rt.is_alive(&root)).await;
        let answers = join_all(asked).await;
        assert!(answers.iter().all(Result::is_err));
        assert!(matches!(answers[5], Err(StartError::Full)), "{:?}", answers[5]);
        let reason = match &answers[0] {
            Err(StartError::Exit(reason)) => reason.clone(),
            other => panic!("{other:?}"),
        };
        assert!(matches!(reason, ExitReason::MailboxOverflow), "{}", kind(&reason));
        until(&rt, || rt.processes().is_empty()).await;
    });
}

/// Who only looks is answered whatever waits in line.
#[test]
fn questions_to_a_supervisor_with_a_full_line_are_answered() {
    everywhere(|rt| async move {
        let (log, gate) = (Log::new(), Gate::new());
        let (root, _asked) = flooded(&rt, Overflow::Reject, &log, &gate).await;
        assert!(root.which_children().await.unwrap().is_empty(), "none has started");
        assert!(matches!(root.delete_child(1).await, Err(ChildError::Full)));
        stop(&rt, &root).await;
    });
}

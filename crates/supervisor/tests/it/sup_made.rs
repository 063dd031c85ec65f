//! Supervisors whose spec is made by a function, and what supervisors report, by the ids of `docs/conformance.md`.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use whitebeam_actor::{
    Actor, Builder, Context, Exit, ExitReason, Handle, Runtime, RuntimeEvent, SpawnOptions,
    StartError, SupervisorContext, SupervisorReport,
};
use whitebeam_supervisor::{Child, Restart, Shutdown, SpecError, Supervisor, SupervisorFn};

use crate::{
    support::{EXPECTED, Log, Msg, Setup, Tidy, end, expect_panics, kind, stop, told, until},
    tree::{Come, Starts, child, child_of, counts, current, everywhere, pid, renewed, starts},
};

/// Starts a supervisor linked to itself, and traps what comes of it.
struct Starter {
    seen: Arc<Mutex<Vec<String>>>,
}

type Make = fn() -> SupervisorFn;

impl Actor for Starter {
    type Args = (Make, Arc<Mutex<Vec<String>>>);
    type Msg = Exit;

    async fn init((make, seen): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.trap_exit(|exit| exit);
        let error = make().start_link(cx).await.unwrap_err();
        let text = match error {
            StartError::Ignore => "ignore".to_owned(),
            StartError::Exit(reason) => kind(&reason).to_owned(),
            other => other.to_string(),
        };
        seen.lock().push(text);
        Ok(Starter { seen })
    }

    async fn handle(&mut self, exit: Exit, _cx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.seen.lock().push(kind(&exit.reason).to_owned());
        Ok(())
    }
}

/// The answer to a linked start, and the exit signal that comes of it.
fn both_are(make: Make, expected: [&'static str; 2]) {
    everywhere(move |rt| async move {
        expect_panics();
        let seen = Arc::new(Mutex::new(Vec::new()));
        rt.start::<Starter>((make, seen.clone())).await.unwrap();
        until(&rt, || seen.lock().len() == 2).await;
        assert_eq!(*seen.lock(), expected);
        assert_eq!(rt.processes().len(), 1);
    });
}

/// A function that wants no supervisor: the start says so, and the process has ended with `Normal`.
#[test]
fn sup_002_no_supervisor_is_wanted() {
    both_are(|| SupervisorFn::new(|_| Err(ExitReason::Ignore)), ["ignore", "normal"]);
}

/// Adapted: what is given is a spec by its type; a reason is in the place of what is none. The starter gets it as an
/// exit signal, too.
#[test]
fn sup_007_no_spec_is_given() {
    both_are(|| SupervisorFn::new(|_| Err(ExitReason::custom("no spec"))), ["custom", "custom"]);
    let invalid = || {
        SupervisorFn::new(|_| {
            let mut tree = Supervisor::one_for_one();
            let log = Log::new();
            tree.child_with(child(1, &log));
            tree.child_with(child(1, &log));
            Ok(tree)
        })
    };
    both_are(invalid, ["error", "error"]);
    everywhere(move |rt| async move {
        let StartError::Exit(reason) = invalid().start(&rt).await.unwrap_err() else { panic!() };
        assert_eq!(reason.downcast_ref(), Some(&SpecError::DuplicateId(1.into())));
    });
}

/// A panic of the function's is the reason of both.
#[test]
fn sup_008_the_function_panics() {
    both_are(|| SupervisorFn::new(|_| panic!("{EXPECTED}")), ["panic", "panic"]);
}

/// The spec of each incarnation is its own; as a child it is one like others.
#[test]
fn a_spec_is_made_for_each_incarnation() {
    everywhere(|rt| async move {
        let log = Log::new();
        let noted = log.clone();
        let made = SupervisorFn::new(move |info| {
            let mut tree = Supervisor::one_for_one();
            for id in 1..=u64::from(info.attempt) {
                tree.child_with(child(id, &noted));
            }
            if info.attempt == 3 { Err(ExitReason::Ignore) } else { Ok(tree) }
        });
        let mut tree = Supervisor::one_for_one();
        let options = SpawnOptions::new().name("made");
        let made = tree.nest("made", made.options(options));
        let root = tree.start(&rt).await.unwrap();
        assert_eq!(rt.whereis("made"), Some(pid(&made)));
        assert_eq!(counts(&made).await, (1, 1, 0, 1));
        let first = pid(&made);
        end(&rt, first, ExitReason::Kill).await;
        until(&rt, || rt.whereis("made").is_some_and(|now| now != first)).await;
        until(&rt, || starts(&log, 2) == 1).await;
        assert_eq!(counts(&made).await, (2, 2, 0, 2));
        end(&rt, &made, ExitReason::Kill).await;
        // `Ignore` leaves it without a process.
        until(&rt, || rt.processes().len() == 1).await;
        assert_eq!(counts(&root).await, (1, 0, 1, 0));
        assert!(root.restart_child("made").await.unwrap().is_some());
        assert_eq!(counts(&made).await, (4, 4, 0, 4));
    });
}

/// Runs a test with a hook that keeps what supervisors report.
pub(crate) fn reported<F: Future<Output = ()>>(
    test: impl Fn(Handle, Arc<Mutex<Vec<SupervisorReport>>>) -> F,
) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let set = |builder: Builder| {
        let seen = seen.clone();
        builder.quiet_crashes().on_event(move |event| {
            if let RuntimeEvent::Supervisor(report) = event {
                seen.lock().push(report.clone());
            }
        })
    };
    let simulated = (0..8).map(|seed| set(Runtime::builder()).build_simulated(seed));
    let threaded = [1, 4].map(|workers| set(Runtime::builder()).workers(workers).build());
    for rt in simulated.chain(threaded) {
        let rt = rt.unwrap();
        seen.lock().clear();
        rt.block_on(test(rt.handle(), seen.clone()));
        assert!(rt.block_on(rt.shutdown(Duration::from_secs(10))).is_clean());
    }
}

/// Adapted: reports are events with typed fields. Each says which supervisor, what about, which child, and why.
#[test]
fn sup_086_reports_of_supervisors() {
    reported(|rt, seen| async move {
        let log = Log::new();
        let take = || std::mem::take(&mut *seen.lock());
        let come = Starts::new([Come::Good, Come::Failed, Come::Good]);
        let options = SpawnOptions::new().name("root").label("the root");
        let mut tree = Supervisor::one_for_one().options(options);
        let handle = tree.child_with(child_of(Setup::new(1, &log).init(come.come())));
        let slow = Setup::new(2, &log).terminate(|_| std::future::pending());
        let time = Shutdown::After(Duration::from_millis(20));
        tree.child_with(Child::new::<Tidy>(2, slow).shutdown(time));
        let root = tree.start(&rt).await.unwrap();
        let reports = take();
        let contexts = |reports: &[SupervisorReport]| -> Vec<(SupervisorContext, String)> {
            reports.iter().map(|report| (report.context, report.child.clone())).collect()
        };
        let of = |context: SupervisorContext, child: &str| (context, child.to_owned());
        use SupervisorContext::{ChildTerminated, Progress, ShutdownError, StartError};
        assert_eq!(contexts(&reports), [of(Progress, "1"), of(Progress, "2")]);
        assert_eq!(reports[0].supervisor, pid(&root));
        assert_eq!((reports[0].pid, reports[0].reason.is_none()), (Some(pid(&handle)), true));
        assert_eq!(reports[0].name, Some("root".into()));
        assert_eq!(reports[0].label, Some("the root".into()));

        let before = pid(&handle);
        told(&rt, &current(&handle), Msg::End(ExitReason::custom("crash"))).await;
        renewed(&rt, &root, 1, before).await;
        let reports = take();
        let expected = [of(ChildTerminated, "1"), of(StartError, "1"), of(Progress, "1")];
        assert_eq!(contexts(&reports), expected);
        assert_eq!(reports[0].pid, Some(before));
        assert_eq!(reports[0].reason.as_ref().unwrap().downcast_ref(), Some(&"crash"));
        assert!(reports[1].pid.is_some_and(|pid| pid != before));
        assert_eq!(reports[1].reason.as_ref().unwrap().downcast_ref(), Some(&"as planned"));
        assert!(reports[0].to_string().contains("child_terminated: child `1`"));

        // Not stopped in time: by hand, and with the supervisor.
        root.terminate_child(2).await.unwrap();
        assert_eq!(contexts(&take()), [of(ShutdownError, "2")]);
        root.restart_child(2).await.unwrap();
        stop(&rt, &root).await;
        let reports = take();
        assert_eq!(contexts(&reports), [of(Progress, "2"), of(ShutdownError, "2")]);
        assert_eq!(kind(reports[1].reason.as_ref().unwrap()), "killed");
    });
    reported(|rt, seen| async move {
        let log = Log::new();
        let mut tree = Supervisor::one_for_one().intensity(0, Duration::from_secs(1));
        let transient = tree.child_with(child(1, &log).restart(Restart::Transient));
        let permanent = tree.child_with(child(2, &log));
        let root = tree.start(&rt).await.unwrap();
        seen.lock().clear();
        // An end in order of who need not be there is no report.
        told(&rt, &current(&transient), Msg::End(ExitReason::Normal)).await;
        let down = rt.down(&root);
        told(&rt, &current(&permanent), Msg::End(ExitReason::Normal)).await;
        down.await;
        let reports: Vec<_> =
            seen.lock().iter().map(|report| (report.context, report.child.clone())).collect();
        let last = "2".to_owned();
        assert_eq!(
            reports,
            [
                (SupervisorContext::ChildTerminated, last.clone()),
                (SupervisorContext::Shutdown, last)
            ]
        );
    });
}

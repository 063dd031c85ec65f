//! What is told of a stop: counts for those that end in order, names for the others, supervisor by supervisor.

use std::{pin::pin, time::Duration};

use futures_util::poll;
use whitebeam_actor::{
    ActorRef, ChildRef, ExitReason, Handle, Runtime, ShutdownReport, SpawnOptions, StopKind,
    StopReport, StopSummary, yield_now,
};
use whitebeam_supervisor::{
    Child, DynamicSupervisor, PartitionSupervisor, Partitions, Shutdown, Supervisor,
};

use crate::support::{
    Do, Idle, Job, Manner, everywhere, expect_panics, kind, simulated, with_letters,
};

const LONG: Duration = Duration::from_secs(60);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn job(id: &str, manner: Manner) -> Child<ChildRef<Do>> {
    Child::new::<Job>(id, manner)
}

fn plain(id: &str) -> Child<ChildRef<Do>> {
    job(id, Manner::default())
}

fn slow(id: &str, time: Duration) -> Child<ChildRef<Do>> {
    job(id, Manner { terminates_in: Some(time), ..Manner::default() })
}

/// A child with a handler that does not return and messages behind it.
async fn hang(child: &ActorRef<Do>, unread: usize) {
    child.call(Do::Ready).await.unwrap();
    child.cast(Do::Query).unwrap();
    (0..unread).for_each(|_| child.cast(Do::Note).unwrap());
    let is_in_hand = || child.info().unwrap().message == Some("Query");
    while !is_in_hand() {
        child.runtime().sleep(ms(1)).await;
    }
}

fn hung(id: &str, time: Duration) -> Child<ChildRef<Do>> {
    job(id, Manner { traps: true, ..Manner::default() }).shutdown(Shutdown::After(time))
}

fn named(text: &str) -> SpawnOptions {
    SpawnOptions::new().name(text.to_owned())
}

fn node<'a>(report: &'a ShutdownReport, id: &str) -> &'a StopReport {
    report.walk().find(|node| node.id.as_deref() == Some(id)).expect(id)
}

/// What is printed, without the time of the whole: that of the last destructor is found by looks.
fn lines(report: &ShutdownReport) -> String {
    report.to_string().replacen(&format!(", in {:.3} s", report.elapsed.as_secs_f64()), "", 1)
}

/// A tree with one of each.
async fn mixed(rt: &Handle) {
    let mut pool = Supervisor::rest_for_one();
    pool.child_with(plain("first"));
    pool.child_with(plain("brutal").shutdown(Shutdown::BrutalKill));
    let deaf = pool.child_with(hung("deaf", ms(250)));
    let mut tree = Supervisor::one_for_one().options(named("app"));
    tree.child_with(plain("db"));
    tree.nest("pool", pool);
    tree.child_with(slow("slow", ms(300)));
    tree.child_with(job("bomb", Manner { breaks: true, ..Manner::default() }));
    let shapes = DynamicSupervisor::<Idle>::temporary().partitions(Partitions::exactly(4));
    let shapes = tree.nest("shapes", shapes);
    tree.start(rt).await.unwrap();
    for key in 0..100 {
        shapes.start_child(&key, ()).await.unwrap();
    }
    hang(&deaf.current().unwrap(), 3).await;
}

#[test]
fn a_shutdown_is_told_as_a_tree() {
    expect_panics();
    simulated(|rt| async move {
        mixed(&rt).await;
        let report = rt.shutdown(LONG).await;
        let text = "\
1 ended in order, 0 killed, 0 stuck
  <a> \"app\" Supervising: 4 ended in order, 1 crashed, in 0.550 s
    bomb <b> Job: panicked: as the test asked after 0.000 s
    slow <c> Job: slow, 0.300 s
    pool <d> Supervising: 1 ended in order, 1 killed as they were to be, 1 killed, in 0.250 s
      deaf <e> Job: killed after 0.250 s, in Query, 3 unread
    5 more supervisors, with all below: 104 ended in order";
        let panic = report.supervisors[0].children.exceptions[0].reason.to_string();
        let printed = lines(&report).replace(&panic, "panicked: as the test asked");
        assert_eq!(with_letters(&printed), text);
        let totals = report.totals();
        assert_eq!((totals.supervisors, totals.clean, totals.brutal), (7, 109, 1));
        assert_eq!((totals.killed, totals.crashed, totals.late, totals.left), (1, 1, 0, 0));
        assert!(report.is_clean() && !totals.is_quiet(), "within the runtime's time");
    });
}

#[test]
fn the_same_is_told_on_threads() {
    expect_panics();
    everywhere(|rt| async move {
        mixed(&rt).await;
        let report = rt.shutdown(LONG).await;
        let totals = report.totals();
        assert_eq!((totals.supervisors, totals.clean, totals.brutal), (7, 109, 1), "{report}");
        assert_eq!((totals.killed, totals.crashed, totals.stuck), (1, 1, 0), "{report}");
        let pool = node(&report, "pool");
        let [deaf] = &pool.children.exceptions[..] else { panic!("{report}") };
        assert_eq!((deaf.id.as_deref(), deaf.how), (Some("deaf"), StopKind::Killed));
        assert_eq!((deaf.message, deaf.mailbox_len), (Some("Query"), 3));
        assert!(deaf.took >= ms(250) && pool.took >= deaf.took, "{report}");
        let app = &report.supervisors[0];
        assert_eq!(kind(&app.children.exceptions[0].reason), "panic");
        assert_eq!(app.children.slowest[0].id.as_deref(), Some("slow"));
        // The order is that of the tree, whoever was faster.
        let partitions = &node(&report, "shapes").children.nested;
        let ids: Vec<_> = partitions.iter().map(|node| node.id.as_deref()).collect();
        assert_eq!(ids, [Some("0"), Some("1"), Some("2"), Some("3")]);
        assert!(partitions.iter().all(|node| node.children.clean == 25 && node.is_quiet()));
    });
}

#[test]
fn a_stop_in_order_is_a_line_or_two() {
    simulated(|rt| async move {
        let mut tree = Supervisor::one_for_one();
        (0..100).for_each(|n| {
            tree.nest(n, small());
        });
        tree.start(&rt).await.unwrap();
        let report = rt.shutdown(LONG).await;
        let text = "\
1 ended in order, 0 killed, 0 stuck
  101 more supervisors, with all below: 300 ended in order";
        assert_eq!(lines(&report), text);
        let root = &report.supervisors[0];
        assert_eq!(root.children.nested.len(), StopSummary::NESTED);
        assert_eq!((root.children.unlisted.supervisors, root.children.clean), (36, 100));
        assert_eq!(format!("{root:#}").lines().count(), StopSummary::NESTED + 2);
        assert_eq!(rt.event_counts(), whitebeam_actor::EventCounts::default());
    });
}

fn small() -> Supervisor {
    let mut small = Supervisor::one_for_one();
    small.child_with(plain("a"));
    small.child_with(plain("b"));
    small
}

#[test]
fn exceptions_and_slow_children_are_named_up_to_a_limit() {
    simulated(|rt| async move {
        let most = StopSummary::EXCEPTIONS;
        let stop = Shutdown::After(ms(200));
        let jobs = DynamicSupervisor::<Job>::temporary().shutdown(stop).start(&rt).await.unwrap();
        for n in 0..most as u64 + 50 {
            let is_late = n % 2 == 0;
            let time = if is_late { LONG } else { ms(101 + n % 40) };
            let manner = Manner { terminates_in: Some(time), ..Manner::default() };
            jobs.start_child(manner).await.unwrap();
        }
        for _ in 0..most + 10 {
            let manner = Manner { terminates_in: Some(LONG), ..Manner::default() };
            jobs.start_child(manner).await.unwrap();
        }
        let told = rt.stop_report(&jobs);
        rt.exit(&jobs, ExitReason::Shutdown);
        let report = told.await.unwrap();
        let children = &report.children;
        let killed = most / 2 + 25 + most + 10;
        assert_eq!((children.clean, children.killed), (most / 2 + 25, killed));
        assert_eq!((children.exceptions.len(), children.slowest.len()), (most, 8));
        assert_eq!(children.slow, children.clean + children.killed);
        assert!(children.slowest.iter().all(|child| child.took == ms(200)));
        assert!(children.exceptions.iter().all(|one| one.took == ms(200)));
        let text = report.to_string();
        assert!(text.contains(&format!("and {} like these", killed - most)), "{text}");
        assert_eq!(report.took, ms(200));
    });
}

/// A part of a tree has a report of its own, whoever stops it, and by whatever way.
#[test]
fn a_subtree_has_its_own_report() {
    everywhere(|rt| async move {
        let mut inner = Supervisor::one_for_one();
        let deaf = inner.child_with(hung("deaf", ms(50)));
        inner.child_with(plain("quick"));
        let mut tree = Supervisor::one_for_one();
        let inner = tree.nest("inner", inner);
        let root = tree.start(&rt).await.unwrap();
        for round in 0..2 {
            hang(&deaf.current().unwrap(), 0).await;
            let told = rt.stop_report(&inner);
            if round == 0 {
                root.terminate_child("inner").await.unwrap();
                root.restart_child("inner").await.unwrap();
            } else {
                rt.stop(&inner, ExitReason::Shutdown).await.unwrap();
            }
            let report = told.await.unwrap();
            assert_eq!((report.children.clean, report.children.killed), (1, 1), "{report}");
            assert_eq!(report.children.exceptions[0].id.as_deref(), Some("deaf"), "{report}");
        }
        let nobody = rt.stop_report(whitebeam_actor::Name::from("nobody")).await;
        assert!(nobody.is_none());
    });
}

/// Children that crash by themselves while others are being stopped, and those that are killed by somebody else.
#[test]
fn ends_beside_a_stop_are_in_the_report() {
    simulated(|rt| async move {
        let mut tree = Supervisor::one_for_one();
        let first = tree.child_with(plain("first"));
        let second = tree.child_with(plain("second"));
        tree.child_with(slow("last", ms(50)));
        let root = tree.start(&rt).await.unwrap();
        let told = rt.stop_report(&root);
        rt.exit(&root, ExitReason::Shutdown);
        rt.sleep(ms(10)).await;
        first.cast(Do::Fail).unwrap();
        rt.exit(&second, ExitReason::Kill);
        let report = told.await.unwrap();
        let exceptions: Vec<_> = report
            .children
            .exceptions
            .iter()
            .map(|one| (one.id.as_deref().unwrap(), one.how, kind(&one.reason)))
            .collect();
        let expected =
            [("first", StopKind::Crashed, "custom"), ("second", StopKind::Killed, "killed")];
        assert_eq!(exceptions, expected);
        assert_eq!((report.children.clean, report.left), (1, 0));
    });
}

/// At the runtime's deadline all are killed at once: supervisors that waited, and whom they waited for.
#[test]
fn who_holds_a_shutdown_up_is_named_within_the_tree() {
    everywhere(|rt| async move {
        let mut inner = Supervisor::one_for_one();
        let worker = job("deaf", Manner { traps: true, ..Manner::default() });
        let deaf = inner.child_with(worker.shutdown(Shutdown::Infinity));
        inner.child_with(plain("quick"));
        let mut tree = Supervisor::one_for_one();
        tree.child_with(plain("waiting"));
        tree.nest("inner", inner);
        tree.start(&rt).await.unwrap();
        let alone = rt.start::<Job>(Manner { traps: true, ..Manner::default() }).await.unwrap();
        hang(&deaf.current().unwrap(), 2).await;
        hang(&alone, 0).await;
        let report = rt.shutdown(ms(80)).await;
        assert_eq!((report.clean, report.killed, report.stuck.len()), (0, 5, 0), "{report}");
        let inner = node(&report, "inner");
        let [one] = &inner.children.exceptions[..] else { panic!("{report}") };
        assert_eq!((one.id.as_deref(), one.how), (Some("deaf"), StopKind::Killed), "{report}");
        assert_eq!((one.message, one.mailbox_len), (Some("Query"), 2), "{report}");
        assert_eq!((inner.children.clean, kind(&inner.reason)), (1, "killed"), "{report}");
        let [other] = &report.exceptions[..] else { panic!("{report}") };
        assert_eq!((other.pid, other.message), (alone.pid(), Some("Query")), "{report}");
        let root = &report.supervisors[0];
        let totals = root.totals();
        assert_eq!((totals.clean, totals.killed, totals.left), (1, 3, 0), "{report}");
        assert_eq!(root.children.exceptions.len(), 2, "{report}");
    });
}

/// A handler that never gives its worker back: the report names it, with its message, under its supervisor.
#[test]
fn a_handler_that_does_not_return_is_named_within_the_tree() {
    use std::sync::mpsc;
    use whitebeam_actor::{Actor, Context};

    struct Hog;
    struct Hold(mpsc::Receiver<()>);
    impl Actor for Hog {
        type Args = ();
        type Msg = Hold;
        async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> {
            Ok(Hog)
        }
        async fn handle(&mut self, hold: Hold, _: &mut Context<Self>) -> Result<(), ExitReason> {
            let _ = hold.0.recv_timeout(LONG);
            Ok(())
        }
        fn msg_name(_: &Hold) -> Option<&'static str> {
            Some("Hold")
        }
    }

    let rt = Runtime::builder().workers(2).build().unwrap();
    let (release, gate) = mpsc::channel();
    let report = rt.block_on(async {
        let mut tree = Supervisor::one_for_one();
        tree.child_with(plain("quick"));
        let hog = tree.child_with(Child::new::<Hog>("hog", ()));
        tree.start(&rt).await.unwrap();
        hog.cast(Hold(gate)).unwrap();
        while hog.info().unwrap().message != Some("Hold") {
            rt.sleep(ms(1)).await;
        }
        rt.shutdown(ms(50)).await
    });
    assert_eq!((report.stuck.len(), report.stuck[0].message), (1, Some("Hold")), "{report}");
    let [quick, hog] = &report.supervisors[0].children.exceptions[..] else { panic!("{report}") };
    assert_eq!((quick.id.as_deref(), quick.how), (Some("quick"), StopKind::Killed), "{report}");
    assert_eq!((hog.id.as_deref(), hog.how), (Some("hog"), StopKind::Stuck), "{report}");
    assert_eq!(hog.message, Some("Hold"), "{report}");
    assert_eq!(report.totals().stuck, 1);
    assert!(report.to_string().contains("did not return from its handler of Hold"), "{report}");
    release.send(()).unwrap();
}

/// Partitions with different times stop side by side, and those that were to be killed are no exceptions.
#[test]
fn partitions_of_all_kinds_are_told_apart() {
    simulated(|rt| async move {
        let partitions = PartitionSupervisor::new(Partitions::exactly(4), |index| {
            let child = slow("p", LONG);
            match index {
                0 => plain("p").shutdown(Shutdown::BrutalKill),
                1 => child.shutdown(Shutdown::After(ms(20))),
                2 => child.shutdown(Shutdown::After(ms(200))),
                _ => slow("p", ms(30)).shutdown(Shutdown::Infinity),
            }
        });
        let partitions = partitions.start(&rt).await.unwrap();
        let told = rt.stop_report(&partitions);
        rt.exit(&partitions, ExitReason::Shutdown);
        let report = told.await.unwrap();
        let children = &report.children;
        assert_eq!((children.clean, children.brutal, children.killed), (1, 1, 2), "{report}");
        let named: Vec<_> =
            children.exceptions.iter().map(|one| (one.id.as_deref(), one.took)).collect();
        assert_eq!(named, [(Some("p[1]"), ms(20)), (Some("p[2]"), ms(200))]);
        assert_eq!(report.took, ms(200));
    });
}

/// A child that is killed since its spec says so, when the supervisor's own end comes between: it has ended as it was to.
#[test]
fn a_brutal_kill_that_was_under_way_is_no_exception() {
    everywhere(|rt| async move {
        // The supervisor has begun the stop of the child, or not yet, or has heard of its end.
        for turns in 0..6 {
            let mut tree = Supervisor::one_for_one();
            tree.child_with(plain("a"));
            tree.child_with(plain("b").shutdown(Shutdown::BrutalKill));
            let root = tree.start(&rt).await.unwrap();
            let report = rt.stop_report(&root);
            let mut asked = pin!(root.terminate_child("b"));
            assert!(poll!(&mut asked).is_pending());
            for _ in 0..turns {
                yield_now().await;
            }
            rt.exit(&root, ExitReason::Shutdown);
            let report = report.await.expect("it has stopped children");
            let counts = (report.children.brutal, report.children.killed, report.children.crashed);
            assert!(matches!(counts, (0 | 1, 0, 0)), "{report}");
            assert!(report.is_quiet(), "{report}");
        }
    });
}

//! Handlers that hold their worker: who is told of them, and who goes on with the rest.

mod support;

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use support::puppet::{Script, ask, later, now, plain};
use whitebeam_actor::{
    ActorRef, Builder, ExitReason, Handle, Mailbox, Runtime, RuntimeEvent, SpawnOptions,
    StuckHandler,
};

type Plain = support::puppet::Puppet<false>;

/// How long these tests wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than any of them takes.
const NEVER: Duration = Duration::from_secs(3_600);

/// Holds the worker that it runs on until the sender is used or dropped. A second one says when it does.
fn holds() -> (impl FnOnce() + Send + 'static, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let (began, begins) = mpsc::channel();
    let hold = move || {
        _ = began.send(());
        _ = released.recv_timeout(PATIENCE);
    };
    (hold, begins, release)
}

/// A runtime of one worker with a process that holds it.
struct Held {
    rt: Runtime,
    process: ActorRef<support::puppet::Do<false>>,
    release: mpsc::Sender<()>,
}

impl Held {
    fn new(builder: Builder) -> Held {
        let rt = builder.workers(1).build().expect("a runtime");
        let options = SpawnOptions::new().name("hog").label("of the test");
        let process = rt.block_on(rt.with(options).start::<Plain>(Script::new()));
        let process = process.expect("it starts");
        let (hold, begins, release) = holds();
        let holds = now(move |_| {
            hold();
            Ok(())
        });
        process.cast(holds).expect("it lives");
        begins.recv_timeout(PATIENCE).expect("it begins");
        Held { rt, process, release }
    }
}

/// A builder whose events of stuck handlers come out of the receiver: `true` for one that has returned.
fn telling(limit: Duration) -> (Builder, mpsc::Receiver<(StuckHandler, bool)>) {
    let (tell, told) = mpsc::channel();
    let builder = Runtime::builder().quiet_crashes().stuck_after(limit).on_event(move |event| {
        let event = match event {
            RuntimeEvent::HandlerStuck(stuck) => (stuck.clone(), false),
            RuntimeEvent::HandlerReturned(stuck) => (stuck.clone(), true),
            _ => return,
        };
        _ = tell.send(event);
    });
    (builder, told)
}

fn next(told: &mpsc::Receiver<(StuckHandler, bool)>) -> (StuckHandler, bool) {
    told.recv_timeout(PATIENCE).expect("an event")
}

#[test]
fn a_handler_that_holds_its_worker_is_named_once_and_when_it_returns() {
    let limit = Duration::from_millis(10);
    let (builder, told) = telling(limit);
    let held = Held::new(builder);
    let (stuck, is_over) = next(&told);
    assert!(!is_over);
    assert_eq!(stuck.pid, Some(held.process.pid()));
    assert_eq!(stuck.actor, Some(std::any::type_name::<Plain>()));
    assert_eq!(stuck.message, Some(std::any::type_name::<support::puppet::Do<false>>()));
    assert_eq!(stuck.name, Some("hog".into()));
    assert_eq!(stuck.label, Some("of the test".into()));
    assert_eq!((stuck.is_task, stuck.worker), (false, 0));
    assert!(stuck.held_for >= limit && stuck.since <= held.rt.uptime(), "{stuck:?}");
    let text = stuck.to_string();
    assert!(
        text.contains("hog") && text.contains("of the test") && text.contains("holds worker 0"),
        "{text}"
    );
    // Ten looks later.
    assert!(told.recv_timeout(limit * 5).is_err(), "told once");

    held.release.send(()).expect("it waits");
    let (returned, is_over) = next(&told);
    assert!(is_over);
    assert_eq!((returned.pid, returned.since), (stuck.pid, stuck.since));
    assert!(returned.held_for >= stuck.held_for + limit * 4, "{returned:?}");
    let counts = held.rt.event_counts();
    assert_eq!((counts.told, counts.panics), (2, 0));
}

#[test]
fn whoever_holds_a_worker_is_told_apart() {
    let (builder, told) = telling(Duration::from_millis(10));
    let rt = builder.workers(1).build().expect("a runtime");

    let (hold, _, release) = holds();
    let body = rt.spawn_fn(move |_: Mailbox<u8>| async move {
        hold();
        Ok(())
    });
    let (stuck, _) = next(&told);
    assert_eq!((stuck.pid, stuck.message), (Some(body.pid()), Some("u8")));
    release.send(()).expect("it waits");
    assert!(next(&told).1);

    // One that ends by it is named all the same when it is over.
    let (hold, _, release) = holds();
    let ends = rt.spawn_fn(move |_: Mailbox<()>| async move {
        hold();
        panic!("{}", support::EXPECTED)
    });
    let pid = ends.pid();
    drop(ends);
    assert_eq!(next(&told).0.pid, Some(pid));
    support::expect_panics();
    release.send(()).expect("it waits");
    let (returned, is_over) = next(&told);
    assert_eq!((returned.pid, is_over), (Some(pid), true));

    let (hold, _, release) = holds();
    let task = rt.spawn_task(async move { hold() });
    let (stuck, _) = next(&told);
    assert_eq!((stuck.pid, stuck.actor, stuck.is_task), (None, None, true));
    assert!(stuck.to_string().starts_with("a task holds worker 0"), "{stuck}");
    release.send(()).expect("it waits");
    assert!(next(&told).1);
    rt.block_on(task);
}

/// Names of this process's threads that begin with `name`.
#[cfg(target_os = "linux")]
fn threads(name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a list of threads").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.map(|comm| comm.trim().to_owned()).filter(|comm| comm.starts_with(name)).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn nobody_watches_where_nobody_is_to_be_told() {
    let ears = || Runtime::builder().workers(1).on_event(|_| ());
    for (name, builder, watches) in [
        ("one", Runtime::builder().workers(1), false),
        ("two", ears(), true),
        ("three", ears().stuck_after(Duration::ZERO), false),
        ("four", ears().stuck_after(Duration::ZERO).spare_workers(1), true),
    ] {
        let rt = builder.name(name).build().expect("a runtime");
        // A thread has its name when it runs: the worker, and so those that were started before... or after.
        rt.block_on(rt.spawn_task(async {}));
        let watch = format!("{name}-watch");
        let begun = rt.uptime();
        while watches && !threads(name).contains(&watch) {
            assert!(rt.uptime() - begun < PATIENCE, "{name}: {:?}", threads(name));
            std::thread::yield_now();
        }
        assert_eq!(threads(name).contains(&watch), watches, "{name}");
    }
}

/// All that a process can do, while the only worker is held.
async fn live_on(rt: &Handle) {
    let puppet = plain(rt).await;
    rt.sleep(Duration::from_millis(1)).await;
    let other = puppet.clone();
    let asked = later(|_, cx| {
        let sleep = cx.runtime().sleep(Duration::from_millis(1));
        sleep.map(Ok).boxed()
    });
    other.cast(asked).expect("it lives");
    assert_eq!(ask(&puppet, |_| 7).await, 7);
    rt.stop(&puppet, ExitReason::Normal).await.expect("it ends");
    rt.spawn_task(async {}).await;
}

#[test]
fn a_spare_goes_on_while_the_only_worker_is_held() {
    let held = Held::new(Runtime::builder().spare_workers(1));
    let handle = held.rt.handle();
    for _ in 0..20 {
        held.rt.block_on(live_on(&handle));
    }
    assert_eq!(held.rt.workers(), 1);
    held.release.send(()).expect("it waits");
    held.rt.block_on(live_on(&handle));
    let report = held.rt.block_on(held.rt.shutdown(PATIENCE));
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_spare_comes_in_its_time() {
    let held = Held::new(Runtime::builder().spare_workers(1).spare_after(NEVER));
    let is_run = Arc::new(AtomicBool::new(false));
    let runs = is_run.clone();
    let task = held.rt.spawn_task(async move { runs.store(true, Ordering::Release) });
    // Fifty times as long as it takes by default.
    let (_never, wait) = mpsc::channel::<()>();
    assert!(wait.recv_timeout(Duration::from_millis(100)).is_err());
    assert!(!is_run.load(Ordering::Acquire));
    held.release.send(()).expect("it waits");
    held.rt.block_on(task);
}

/// What is left ends in order, on the spare; who holds the worker is left behind with it.
#[test]
fn a_runtime_whose_only_worker_is_held_ends_by_a_spare() {
    let held = Held::new(Runtime::builder().spare_workers(1));
    let ended = Arc::new(Mutex::new(Vec::new()));
    let ends: Vec<_> = (0..10)
        .map(|number| {
            let ended = ended.clone();
            let script = Script::new().terminate(move |_, _| {
                ended.lock().push(number);
                ready(()).boxed()
            });
            let start = held.rt.start::<support::puppet::Tidy>(script);
            held.rt.block_on(start).expect("it starts").pid()
        })
        .collect();
    assert_eq!(ends.len(), 10);
    let report = held.rt.block_on(held.rt.shutdown(Duration::from_millis(200)));
    assert_eq!(report.clean, 10, "{report:?}");
    let stuck: Vec<_> = report.stuck.iter().map(|info| info.pid).collect();
    assert_eq!(stuck, [held.process.pid()]);
    let mut ended = ended.lock().clone();
    ended.sort_unstable();
    assert_eq!(ended, (0..10).collect::<Vec<_>>());
    held.release.send(()).expect("it waits");
}

//! One process with as many links or monitors as there may be processes.
//!
//! Adding one, taking one back and telling of an end cost the same for each, however many there are; and all
//! who are to be told are, once. Times are of a tenth of the size and of the whole: a walk of a list for each
//! would make them grow by ten. The best of several tries is taken, so that a busy machine fails nothing.
//!
//! A million in an optimised build, as `just deep` makes; a tenth of that in others.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it is the real time that must not grow, on threads, and people want to read it"
)]

use crate::support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use support::scaled;
use whitebeam_actor::{
    Actor, ActorRef, Answered, Context, ExitReason, Handle, MonitorRef, Reply, Runtime, oneshot,
};

/// How much more one step may cost with ten times as many. Caches are missed more often, which makes it up to four
/// times; a list that is walked for each step makes it ten times.
const GROWTH: f64 = 7.0;
/// Tries before a growth counts.
const TRIES: usize = 6;

fn full() -> usize {
    let full = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    scaled(full, 2_000)
}

/// Who was told how often.
struct Told {
    each: Vec<AtomicU8>,
    all: AtomicUsize,
    waiting: Mutex<Option<(usize, Reply<()>)>>,
}

impl Told {
    fn new(of: usize) -> Arc<Told> {
        let each = (0..of).map(|_| AtomicU8::new(0)).collect();
        Arc::new(Told { each, all: AtomicUsize::new(0), waiting: Mutex::new(None) })
    }

    fn tell(&self, number: usize) {
        self.each[number].fetch_add(1, Relaxed);
        let all = self.all.fetch_add(1, Relaxed) + 1;
        let mut waiting = self.waiting.lock();
        if waiting.as_ref().is_some_and(|(want, _)| all >= *want)
            && let Some((_, reply)) = waiting.take()
        {
            reply.send(());
        }
    }

    /// Ready when so many were told: asked for before the first is.
    fn when(&self, want: usize) -> Answered<()> {
        let (reply, answer) = oneshot();
        *self.waiting.lock() = Some((want, reply));
        answer
    }

    /// Each for which `is_told` was told once, the others never.
    #[track_caller]
    fn exactly(&self, is_told: impl Fn(usize) -> bool) {
        for (number, times) in self.each.iter().enumerate() {
            let want = u8::from(is_told(number));
            assert_eq!(times.load(Relaxed), want, "number {number}");
        }
    }
}

type Job = Box<dyn FnOnce(&mut Context<Node>) + Send>;

enum Msg {
    Do(Job),
    Down(usize),
    Exit,
}

/// Does what it is sent, and tells of DOWNs by their number and of EXITs by its own.
struct Node {
    told: Arc<Told>,
    number: usize,
}

impl Actor for Node {
    type Args = (Arc<Told>, usize);
    type Msg = Msg;

    async fn init((told, number): Self::Args, _: &mut Context<Self>) -> Result<Self, ExitReason> {
        Ok(Node { told, number })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Do(job) => job(cx),
            Msg::Down(number) => self.told.tell(number),
            Msg::Exit => self.told.tell(self.number),
        }
        Ok(())
    }
}

/// Runs `f` in a process and gives what it gave.
async fn within<R: Send + 'static>(
    process: &ActorRef<Msg>,
    f: impl FnOnce(&mut Context<Node>) -> R + Send + 'static,
) -> R {
    let call = process.call(|reply| Msg::Do(Box::new(move |cx| reply.send(f(cx)))));
    call.no_timeout().await.expect("it lives")
}

async fn start(rt: &Handle, told: &Arc<Told>) -> ActorRef<Msg> {
    rt.start::<Node>((told.clone(), 0)).await.expect("a process")
}

/// Processes, numbered, once all are there.
async fn many(rt: &Handle, told: &Arc<Told>, of: usize) -> Vec<ActorRef<Msg>> {
    let all: Vec<_> = (0..of).map(|number| rt.spawn::<Node>((told.clone(), number))).collect();
    settled(&all).await;
    all
}

/// All have taken in what was sent before.
async fn settled(all: &[ActorRef<Msg>]) {
    for process in all {
        within(process, |_| ()).await;
    }
}

/// Runs a test on threads.
fn on_threads<R>(test: impl AsyncFn(Handle) -> R) -> R {
    let rt = Runtime::builder().workers(2).build().expect("threads");
    let result = rt.block_on(test(rt.handle()));
    let report = rt.block_on(rt.shutdown(Duration::from_secs(120)));
    assert!(report.stuck.is_empty(), "{report}");
    result
}

/// The time of one step of several kinds, in nanoseconds, by name.
type Times = Vec<(&'static str, f64)>;

/// Nanoseconds for each of `steps`, since `start`.
fn each(start: Instant, steps: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / steps.max(1) as f64
}

/// What `measure` does must not cost more for each when there are ten times as many.
fn does_not_grow(measure: impl AsyncFn(Handle, usize) -> Times) {
    let (few, many) = (full() / 10, full());
    let least = |best: &mut Times, now: Times| {
        if best.is_empty() {
            *best = now;
        } else {
            best.iter_mut().zip(now).for_each(|(best, now)| best.1 = best.1.min(now.1));
        }
    };
    let (mut of_few, mut of_many) = (Times::new(), Times::new());
    for _ in 0..TRIES {
        least(&mut of_few, on_threads(async |rt| measure(rt, few).await));
        least(&mut of_many, on_threads(async |rt| measure(rt, many).await));
        if of_few.iter().zip(&of_many).all(|(few, many)| many.1 < few.1 * GROWTH) {
            println!("ns for each of {few}: {of_few:?}, of {many}: {of_many:?}");
            return;
        }
    }
    panic!("ns for each of {few}: {of_few:?}, of {many}: {of_many:?}");
}

/// A permutation of `0..of`, if `of` is no multiple of the factor: what comes first has no order in common with
/// what was added first.
fn scattered(of: usize) -> impl Iterator<Item = usize> {
    const FACTOR: usize = 7_919;
    (0..of).map(move |n| n * FACTOR % of)
}

/// Of those that are taken back.
fn every_other(number: usize) -> bool {
    number % 2 == 1
}

/// One process monitors one other a million times, takes half of them back, and hears the others' DOWNs.
#[test]
fn monitors_of_a_pair() {
    does_not_grow(async |rt, of| {
        let told = Told::new(of);
        let (owner, target) = (start(&rt, &told).await, start(&rt, &told).await);
        let (pid, number) = (target.pid(), of);
        let (add, monitors) = within(&owner, move |cx| {
            let start = Instant::now();
            let monitors: Vec<MonitorRef> =
                (0..number).map(|n| cx.monitor(pid, move |_| Msg::Down(n))).collect();
            (each(start, number), monitors)
        })
        .await;
        settled(std::slice::from_ref(&target)).await;
        assert_eq!(relations(&rt, &owner).await.monitors.len(), of);
        assert_eq!(relations(&rt, &target).await.monitored_by.len(), of);

        let take = within(&owner, move |cx| {
            let start = Instant::now();
            let mut taken = 0;
            for number in scattered(number).filter(|number| every_other(*number)) {
                taken += usize::from(cx.demonitor(monitors[number]));
            }
            assert_eq!(taken, number / 2);
            each(start, taken)
        })
        .await;
        settled(std::slice::from_ref(&target)).await;
        assert_eq!(relations(&rt, &target).await.monitored_by.len(), of - of / 2);

        let all = told.when(of - of / 2);
        let start = Instant::now();
        rt.exit(&target, ExitReason::Kill);
        all.await.expect("all are told");
        let fire = each(start, of - of / 2);
        within(&owner, |_| ()).await;
        told.exactly(|number| !every_other(number));
        assert!(relations(&rt, &owner).await.monitors.is_empty());
        vec![("add", add), ("take back", take), ("fire", fire)]
    });
}

async fn relations(rt: &Handle, of: &ActorRef<Msg>) -> whitebeam_actor::Relations {
    rt.relations(of).await.expect("it lives")
}

/// Until so many are left that monitor `target`. Who is told of a process's end may be ahead of those that it
/// monitored, so that these are asked until they know.
async fn forgotten(rt: &Handle, target: &ActorRef<Msg>, left: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = relations(rt, target).await.monitored_by.len();
        if found == left {
            return;
        }
        assert!(found > left && Instant::now() < deadline, "{found} are left, not {left}");
        rt.sleep(Duration::from_millis(1)).await;
    }
}

/// A million processes monitor one. The end of one of them concerns nobody else; that of the one is told to
/// each of the others once.
#[test]
fn a_process_that_a_million_watch() {
    does_not_grow(async |rt, of| {
        let told = Told::new(of);
        let target = start(&rt, &told).await;
        let watchers = many(&rt, &told, of).await;
        for (number, watcher) in watchers.iter().enumerate() {
            let target = target.pid();
            let monitor: Job = Box::new(move |cx| {
                cx.monitor(target, move |_| Msg::Down(number));
            });
            watcher.cast(Msg::Do(monitor)).expect("it lives");
        }
        settled(&watchers).await;
        within(&target, |_| ()).await;
        assert_eq!(relations(&rt, &target).await.monitored_by.len(), of);

        // Some end, at the beginning, in the middle and at the end.
        let ended = [0, of / 2, of - 1];
        for number in ended {
            let down = rt.down(&watchers[number]);
            rt.exit(&watchers[number], ExitReason::Kill);
            down.await;
        }
        forgotten(&rt, &target, of - ended.len()).await;

        let all = told.when(of - ended.len());
        let start = Instant::now();
        rt.exit(&target, ExitReason::Kill);
        all.await.expect("all are told");
        let fire = each(start, of - ended.len());
        let rest = watchers.iter().enumerate().filter(|(number, _)| !ended.contains(number));
        let rest: Vec<_> = rest.map(|(_, watcher)| watcher.clone()).collect();
        settled(&rest).await;
        told.exactly(|number| !ended.contains(&number));
        vec![("fire", fire)]
    });
}

/// A process that monitors a million ends: each of them forgets it.
#[test]
fn the_end_of_a_process_that_watches_a_million() {
    does_not_grow(async |rt, of| {
        let told = Told::new(of);
        let owner = start(&rt, &told).await;
        let targets = many(&rt, &told, of).await;
        let pids: Vec<_> = targets.iter().map(|target| target.pid()).collect();
        let add = within(&owner, move |cx| {
            let start = Instant::now();
            for (number, pid) in pids.iter().enumerate() {
                cx.monitor(*pid, move |_| Msg::Down(number));
            }
            each(start, pids.len())
        })
        .await;
        settled(&targets).await;
        // The end of one of the million: told once, and nothing else.
        let one = told.when(1);
        rt.exit(&targets[of / 2], ExitReason::Kill);
        one.await.expect("it is told");
        assert_eq!(relations(&rt, &owner).await.monitors.len(), of - 1);

        let start = Instant::now();
        rt.exit(&owner, ExitReason::Kill);
        for (_, target) in targets.iter().enumerate().filter(|(number, _)| *number != of / 2) {
            forgotten(&rt, target, 0).await;
        }
        let end = each(start, of);
        told.exactly(|number| number == of / 2);
        vec![("add", add), ("end", end)]
    });
}

/// A process links to a million, unlinks some, loses one, and ends: each that is linked then hears of it once.
#[test]
fn a_process_with_a_million_links() {
    does_not_grow(async |rt, of| {
        let told = Told::new(of);
        let hub_told = Told::new(1);
        let hub = start(&rt, &hub_told).await;
        let leaves = many(&rt, &told, of).await;
        for leaf in leaves.iter().chain([&hub]) {
            let trap: Job = Box::new(|cx| cx.trap_exit(|_| Msg::Exit));
            leaf.cast(Msg::Do(trap)).expect("it lives");
        }
        let pids: Arc<[_]> = leaves.iter().map(|leaf| leaf.pid()).collect();
        let to = pids.clone();
        let link = within(&hub, move |cx| {
            let start = Instant::now();
            to.iter().for_each(|pid| cx.link(*pid));
            each(start, to.len())
        })
        .await;
        settled(&leaves).await;
        assert_eq!(relations(&rt, &hub).await.links.len(), of);

        // One of a million, and then half of the rest.
        let (one, to) = (of / 2, pids.clone());
        within(&hub, move |cx| cx.unlink(to[one])).await;
        settled(&leaves[one..=one]).await;
        assert!(relations(&rt, &leaves[one]).await.links.is_empty());
        assert_eq!(relations(&rt, &hub).await.links.len(), of - 1);
        let is_linked = move |number: usize| number != one && !every_other(number);
        let unlink = within(&hub, move |cx| {
            let start = Instant::now();
            let mut unlinked = 0;
            for number in scattered(pids.len()).filter(|number| every_other(*number)) {
                cx.unlink(pids[number]);
                unlinked += 1;
            }
            each(start, unlinked)
        })
        .await;
        settled(&leaves).await;
        within(&hub, |_| ()).await;
        let linked = (0..of).filter(|number| is_linked(*number)).count();
        assert_eq!(relations(&rt, &hub).await.links.len(), linked);

        // One of them ends: the hub hears of it, the others don't.
        let lost = (0..of).find(|number| is_linked(*number)).expect("one that is linked");
        let heard = hub_told.when(1);
        rt.exit(&leaves[lost], ExitReason::Kill);
        heard.await.expect("the hub is told");
        hub_told.exactly(|_| true);

        let all = told.when(linked - 1);
        let start = Instant::now();
        rt.exit(&hub, ExitReason::Kill);
        all.await.expect("all are told");
        let end = each(start, linked - 1);
        let rest = leaves.iter().enumerate().filter(|(number, _)| *number != lost);
        let rest: Vec<_> = rest.map(|(_, leaf)| leaf.clone()).collect();
        settled(&rest).await;
        told.exactly(|number| is_linked(number) && number != lost);
        vec![("link", link), ("unlink", unlink), ("end", end)]
    });
}

//! Everything at once, counted: 64 places with actors that send, call, yield, sleep, panic, link, monitor,
//! spawn and stop at random, while threads outside do the same to them and kill them.
//!
//! In the end nothing may be missing: each message was handled or dropped, each call was answered, each
//! process that was started has had its one DOWN, and no process is left.
//!
//! `WHITEBEAM_STRESS` sets the number of steps of each thread: small unless said otherwise.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use support::{EXPECTED, expect_panics};
use whitebeam_actor::{
    Actor, ActorRef, ChildDown, Context, Down, DownFuture, Exit, ExitReason, Handle, MonitorRef,
    Reply, Runtime, SpawnOptions, Stop, TimerRef,
};

const PLACES: usize = 64;
const THREADS: u64 = 3;

fn steps() -> u64 {
    match std::env::var("WHITEBEAM_STRESS") {
        Ok(steps) => steps.parse().expect("WHITEBEAM_STRESS is a number of steps"),
        Err(_) => support::scaled(400, 60) as u64,
    }
}

/// What happened how often.
#[derive(Debug, Default)]
struct Counts {
    made: AtomicU64,
    handled: AtomicU64,
    dropped: AtomicU64,
    called: AtomicU64,
    answered: AtomicU64,
    states: AtomicU64,
    states_dropped: AtomicU64,
    monitors: AtomicU64,
    downs: AtomicU64,
    demonitored: AtomicU64,
}

/// What all of one run share.
struct World {
    counts: Counts,
    places: Vec<Mutex<Option<ActorRef<Msg>>>>,
    /// The ends of all processes that were started.
    ends: Mutex<Vec<DownFuture>>,
}

/// A message's content: handled or dropped, never both.
struct Load {
    world: Arc<World>,
    handled: bool,
}

impl Load {
    fn handle(mut self) {
        self.handled = true;
        self.world.counts.handled.fetch_add(1, Relaxed);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if !self.handled {
            self.world.counts.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// A small generator: SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, of: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % of
    }
}

enum Msg {
    /// Do something, and have others do something so many times.
    Work(Load, u64),
    Ask(Load, Reply<u64>),
    /// Comes back as a message of its own.
    Timer(Load),
    Down(#[expect(dead_code, reason = "what counts is that it comes")] Down),
    Exit(Exit),
}

struct Chaos {
    world: Arc<World>,
    dice: Dice,
    kept: Vec<Reply<u64>>,
    monitors: Vec<MonitorRef>,
    timers: Vec<TimerRef>,
    children: u64,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            counts: Counts::default(),
            places: (0..PLACES).map(|_| Mutex::new(None)).collect(),
            ends: Mutex::new(Vec::new()),
        })
    }

    fn load(self: &Arc<Self>) -> Load {
        self.counts.made.fetch_add(1, Relaxed);
        Load { world: self.clone(), handled: false }
    }

    fn peer(&self, dice: &mut Dice) -> Option<ActorRef<Msg>> {
        self.places[dice.roll(PLACES as u64) as usize].lock().clone()
    }

    /// Watches a process that was just started, and gives it a place.
    fn started(&self, rt: &Handle, actor: ActorRef<Msg>, dice: &mut Dice) {
        self.ends.lock().push(rt.down(&actor));
        let before = self.places[dice.roll(PLACES as u64) as usize].lock().replace(actor);
        drop(before);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.world.counts.states_dropped.fetch_add(1, Relaxed);
    }
}

impl Actor for Chaos {
    type Args = (Arc<World>, u64);
    type Msg = Msg;

    async fn init((world, seed): Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        let mut dice = Dice(seed);
        match dice.roll(40) {
            0 => return Err(ExitReason::Ignore),
            1 => panic!("{EXPECTED}"),
            2 => support::yield_now().await,
            3..10 => cx.trap_exit(Msg::Exit),
            _ => {}
        }
        cx.supervise(Self::child_down);
        world.counts.states.fetch_add(1, Relaxed);
        Ok(Chaos {
            world,
            dice,
            kept: Vec::new(),
            monitors: Vec::new(),
            timers: Vec::new(),
            children: 0,
        })
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match msg {
            Msg::Work(load, depth) => {
                load.handle();
                self.act(depth, cx).await
            }
            Msg::Ask(load, reply) => {
                load.handle();
                match self.dice.roll(8) {
                    0 => self.kept.push(reply),
                    1 => drop(reply),
                    2 => {
                        support::yield_now().await;
                        reply.send(2);
                    }
                    3 => self.kept.drain(..).for_each(|kept| kept.send(3)),
                    n => reply.send(n),
                }
                Ok(())
            }
            Msg::Timer(load) => {
                load.handle();
                Ok(())
            }
            Msg::Down(_) => {
                self.world.counts.downs.fetch_add(1, Relaxed);
                // Which one it was is not told: one less.
                self.monitors.pop();
                Ok(())
            }
            Msg::Exit(exit) => match self.dice.roll(4) {
                0 => Err(exit.reason),
                _ => Ok(()),
            },
        }
    }

    async fn terminate(&mut self, _: &ExitReason, cx: &mut Context<Self>) {
        match self.dice.roll(10) {
            0 => support::yield_now().await,
            1 => panic!("{EXPECTED}"),
            _ => {}
        }
        let summary = cx.stop_children(Stop::After(Duration::from_millis(500))).await;
        let _ = summary.clean;
    }
}

impl Chaos {
    fn child_down(&mut self, down: ChildDown, cx: &mut Context<Self>) {
        self.children -= 1;
        if self.dice.roll(20) == 0 {
            cx.stop(down.reason);
        }
    }

    async fn act(&mut self, depth: u64, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        let world = self.world.clone();
        let rt = cx.runtime();
        for _ in 0..depth.min(2) {
            if let Some(peer) = world.peer(&mut self.dice) {
                let _ = peer.cast(Msg::Work(world.load(), depth - 1));
            }
        }
        let Some(peer) = world.peer(&mut self.dice) else { return Ok(()) };
        match self.dice.roll(34) {
            0..4 => ask(&world, &peer).await,
            4..6 => {
                futures_util::future::join(ask(&world, &peer), ask(&world, &peer)).await;
            }
            6..8 => support::yield_now().await,
            8 => rt.sleep(Duration::from_micros(self.dice.roll(300))).await,
            9 => panic!("{EXPECTED}"),
            10 => return Err(ExitReason::custom("own")),
            11 => cx.stop(ExitReason::Normal),
            12..14 => cx.link(&peer),
            14 => cx.unlink(&peer),
            15..18 => {
                world.counts.monitors.fetch_add(1, Relaxed);
                self.monitors.push(cx.monitor(&peer, Msg::Down));
            }
            18 => {
                if let Some(monitor) = self.monitors.first().copied()
                    && cx.demonitor(monitor)
                {
                    self.monitors.remove(0);
                    world.counts.demonitored.fetch_add(1, Relaxed);
                }
            }
            19..21 => {
                let after = Duration::from_micros(self.dice.roll(500));
                self.timers.push(cx.send_after(after, Msg::Timer(world.load())));
            }
            21 => {
                if let Some(timer) = self.timers.pop() {
                    cx.cancel(timer);
                }
            }
            22 => {
                let of = world.clone();
                let mut left = self.dice.roll(5);
                let timer = cx.interval(Duration::from_micros(100), move || {
                    left = left.saturating_sub(1);
                    Msg::Timer(of.load())
                });
                self.timers.insert(0, timer);
            }
            23 => cx.exit(&peer, ExitReason::custom("sent")),
            24 => cx.exit(&peer, ExitReason::Kill),
            25 => cx.exit(cx.pid(), ExitReason::Normal),
            26 => {
                let child = cx.spawn::<Chaos>((world.clone(), self.dice.roll(u64::MAX)));
                world.started(&rt, child, &mut self.dice);
            }
            27 => {
                let child = cx.spawn_link::<Chaos>((world.clone(), self.dice.roll(u64::MAX)));
                world.started(&rt, child, &mut self.dice);
            }
            28 => {
                let args = (world.clone(), self.dice.roll(u64::MAX));
                let (child, monitor) = cx.spawn_monitor::<Chaos>(args, Msg::Down);
                world.counts.monitors.fetch_add(1, Relaxed);
                self.monitors.push(monitor);
                world.started(&rt, child, &mut self.dice);
            }
            29..31 => {
                let args = (world.clone(), self.dice.roll(u64::MAX));
                let spawned = cx.spawn_child::<Chaos>(args, SpawnOptions::new(), None, None);
                if let Some((_, child)) = spawned {
                    self.children += 1;
                    world.started(&rt, child, &mut self.dice);
                }
            }
            31 => {
                if let Some(key) = cx.child_key(peer.pid()) {
                    let how = [Stop::Kill, Stop::Infinity, Stop::After(Duration::from_millis(1))];
                    let how = how[self.dice.roll(3) as usize];
                    if !matches!(cx.stop_child(key, how).await, whitebeam_actor::Outcome::NotFound)
                    {
                        self.children -= 1;
                    }
                }
            }
            32 => {
                let summary = cx.stop_children(Stop::After(Duration::from_millis(2))).await;
                self.children -= summary.ended() as u64;
                assert_eq!(cx.child_count(), 0);
            }
            _ => cx.continue_with(Msg::Work(world.load(), 0)),
        }
        Ok(())
    }
}

/// Calls, and counts the answer, whatever it is. A call that its handler did not live to see answered is
/// counted by its drop.
async fn ask(world: &Arc<World>, peer: &ActorRef<Msg>) {
    struct Open<'a>(&'a World);
    impl Drop for Open<'_> {
        fn drop(&mut self) {
            self.0.counts.answered.fetch_add(1, Relaxed);
        }
    }
    world.counts.called.fetch_add(1, Relaxed);
    let _open = Open(world);
    let load = world.load();
    // Long enough for the cell to look after it; two that wait for each other get it.
    let _ = peer.call(|reply| Msg::Ask(load, reply)).timeout(Duration::from_millis(300)).await;
}

/// What a thread outside does.
async fn drive(rt: Handle, world: Arc<World>, seed: u64, steps: u64) {
    let mut dice = Dice(seed);
    for _ in 0..steps {
        let peer = match world.peer(&mut dice) {
            Some(peer) if peer.is_alive() || dice.roll(3) == 0 => peer,
            _ => {
                let actor = rt.spawn::<Chaos>((world.clone(), dice.roll(u64::MAX)));
                world.started(&rt, actor, &mut dice);
                continue;
            }
        };
        match dice.roll(16) {
            0..8 => drop(peer.cast(Msg::Work(world.load(), dice.roll(4)))),
            8 => {
                let load = world.load();
                world.counts.called.fetch_add(1, Relaxed);
                let call =
                    peer.call(|reply| Msg::Ask(load, reply)).timeout(Duration::from_millis(3));
                let _ = call.await;
                world.counts.answered.fetch_add(1, Relaxed);
            }
            9 => {
                // Given up before it is answered, or before it is sent.
                let load = world.load();
                let mut call =
                    std::future::IntoFuture::into_future(peer.call(|reply| Msg::Ask(load, reply)));
                if dice.roll(2) == 0 {
                    let _ = futures_util::FutureExt::now_or_never(&mut call);
                }
            }
            10 => rt.exit(&peer, ExitReason::Kill),
            11 => rt.exit(&peer, ExitReason::Shutdown),
            12 => rt.exit(&peer, ExitReason::custom("outside")),
            13 => {
                let start = rt.start::<Chaos>((world.clone(), dice.roll(u64::MAX)));
                if let Ok(actor) = start.await {
                    world.started(&rt, actor, &mut dice);
                }
            }
            14 => {
                let watch = rt.down(&peer);
                if dice.roll(2) == 0 {
                    drop(watch);
                } else {
                    world.ends.lock().push(watch);
                }
            }
            _ => support::yield_now().await,
        }
    }
}

/// Ends what is left, waits for all ends, and compares.
async fn settle(rt: &Handle, world: &Arc<World>) {
    let report = rt.shutdown(Duration::from_secs(60)).await;
    assert!(report.stuck.is_empty(), "{report}");
    let ends = std::mem::take(&mut *world.ends.lock());
    for end in ends {
        // One DOWN each; it has come already.
        let down = futures_util::FutureExt::now_or_never(end);
        assert!(down.is_some(), "an end that was not told");
    }
    assert!(rt.processes().is_empty());
}

fn compare(world: &Arc<World>) {
    for place in &world.places {
        let last = place.lock().take();
        drop(last);
    }
    let counts = &world.counts;
    let get = |count: &AtomicU64| count.load(Relaxed);
    assert_eq!(get(&counts.handled) + get(&counts.dropped), get(&counts.made), "{counts:?}");
    assert_eq!(get(&counts.answered), get(&counts.called), "{counts:?}");
    assert_eq!(get(&counts.states), get(&counts.states_dropped), "{counts:?}");
    assert!(get(&counts.downs) + get(&counts.demonitored) <= get(&counts.monitors), "{counts:?}");
    assert!(get(&counts.made) > 0 || steps() < 100, "{counts:?}");
    // The test's own reference is the last: no state, message, closure or frame is left anywhere.
    assert_eq!(Arc::strong_count(world), 1, "{counts:?}");
}

fn run(workers: usize, seed: u64) {
    let rt = Runtime::builder().workers(workers).build().expect("threads");
    let world = World::new();
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let (rt, world) = (rt.handle(), world.clone());
            let steps = steps();
            thread::spawn(move || {
                // A future that a plain thread waits for, as a program outside does.
                let driver = drive(rt.clone(), world, seed * 1000 + n, steps);
                let (done, wait) = std::sync::mpsc::channel();
                let task = rt.spawn_task(async move {
                    driver.await;
                    let _ = done.send(());
                });
                wait.recv_timeout(Duration::from_secs(300))
                    .expect("a driver that comes to its end");
                drop(task);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a driver"));
    rt.block_on(settle(&rt, &world));
    let panics: u64 = rt.metrics().iter().map(|worker| worker.panics).sum();
    assert_eq!(panics, 0, "panics that left a run");
    drop(rt);
    compare(&world);
}

#[test]
fn stress_on_threads() {
    expect_panics();
    for seed in 0..3 {
        for workers in [1, 2, 4] {
            run(workers, seed * 10 + workers as u64);
        }
    }
}

/// The runtime is dropped in the midst of it.
#[test]
fn stress_and_drop() {
    expect_panics();
    for seed in 100..106 {
        let rt = Runtime::builder().workers(1 + seed as usize % 4).build().expect("threads");
        let world = World::new();
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let (rt, world) = (rt.handle(), world.clone());
                thread::spawn(move || {
                    let mut dice = Dice(seed * 1000 + n);
                    for _ in 0..steps() {
                        match world.peer(&mut dice).filter(|_| dice.roll(8) > 0) {
                            Some(peer) => {
                                let _ = peer.cast(Msg::Work(world.load(), dice.roll(5)));
                                if dice.roll(4) == 0 {
                                    let load = world.load();
                                    let call = peer.call(|reply| Msg::Ask(load, reply));
                                    let _ = call.timeout(Duration::from_millis(2)).blocking();
                                }
                            }
                            None => {
                                let actor = rt.spawn::<Chaos>((world.clone(), dice.roll(u64::MAX)));
                                world.started(&rt, actor, &mut dice);
                            }
                        }
                    }
                })
            })
            .collect();
        while world.counts.handled.load(Relaxed) < 200 && threads.iter().any(|it| !it.is_finished())
        {
            thread::yield_now();
        }
        drop(rt);
        threads.into_iter().for_each(|thread| thread.join().expect("a driver"));
        world.ends.lock().clear();
        compare(&world);
    }
}

#[test]
fn stress_in_simulation() {
    expect_panics();
    for seed in 0..(steps() / 20).max(20) {
        let rt = Runtime::simulated(seed).expect("a tag for pids");
        let world = World::new();
        rt.block_on(async {
            let drivers = (0..THREADS)
                .map(|n| drive(rt.handle(), world.clone(), seed * 1000 + n, steps() / 4));
            futures_util::future::join_all(drivers).await;
            settle(&rt, &world).await;
        });
        drop(rt);
        compare(&world);
    }
}

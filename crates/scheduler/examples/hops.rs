//! What the scheduler itself costs, without actors: a measuring aid, not a benchmark of the project.
//!
//! `cargo run --release -p whitebeam-scheduler --example hops [workers] [line]`
//!
//! | line | what it does |
//! | --- | --- |
//! | ping-pong | two targets make each other runnable: one slot put, one slot take, one run per hop |
//! | requeue | one target says `Again`: one deque push and pop per run |
//! | ring 10k | a token goes round 10,000 targets: the same with cold targets |
//! | pairs | 1,000 ping-pongs at once: slot and deque, and how soon the other workers help |
//! | outside | a thread schedules a target and spins until it ran: wake-up of a searching worker |
//! | late | a task sleeps 1 ms at a time: how much longer it took |
//! | outside, rested | the same after 5 ms of rest: wake-up of a sleeping worker |

#![expect(clippy::print_stdout, reason = "a program that prints")]
#![expect(clippy::disallowed_methods, reason = "measures real time")]
#![expect(unsafe_code, reason = "makes runnables of its own")]

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use whitebeam_scheduler::{Handle, Ran, RunHeader, RunVt, Runnable, Scheduler, Turn};
use whitebeam_sync::shim::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use whitebeam_sync::shim::{hint, thread};

/// Passes the turn to its peer so many times.
#[repr(C)]
struct Player {
    header: RunHeader,
    peer: AtomicPtr<Player>,
    left: AtomicU64,
    handle: Handle,
    done: &'static AtomicUsize,
}

/// Never called: none is left quiet.
unsafe fn settle(_header: NonNull<RunHeader>) -> bool {
    true
}

/// None is scheduled when the scheduler ends.
unsafe fn dropped(_header: NonNull<RunHeader>) {}

static PASS: RunVt = RunVt { run: pass, settle, dropped };
static STAY: RunVt = RunVt { run: stay, settle, dropped };

unsafe fn pass(header: NonNull<RunHeader>, _turn: &mut Turn<'_>) -> Ran {
    // SAFETY: the header is the first field of a leaked player.
    let player = unsafe { header.cast::<Player>().as_ref() };
    let left = player.left.load(Ordering::Relaxed);
    if left == 0 {
        player.done.fetch_add(1, Ordering::Release);
        return Ran::Done;
    }
    player.left.store(left - 1, Ordering::Relaxed);
    // SAFETY: players are leaked, and one runnable goes round at a time.
    let next = unsafe { runnable(player.peer.load(Ordering::Relaxed)) };
    player.handle.schedule(next);
    Ran::Done
}

unsafe fn stay(header: NonNull<RunHeader>, _turn: &mut Turn<'_>) -> Ran {
    // SAFETY: the header is the first field of a leaked player.
    let player = unsafe { header.cast::<Player>().as_ref() };
    let left = player.left.load(Ordering::Relaxed);
    if left == 0 {
        player.done.fetch_add(1, Ordering::Release);
        return Ran::Done;
    }
    player.left.store(left - 1, Ordering::Relaxed);
    Ran::Again
}

/// # Safety
///
/// As [`Runnable::from_header`].
unsafe fn runnable(player: *mut Player) -> Runnable {
    // SAFETY: players come from boxes.
    let player = unsafe { NonNull::new_unchecked(player) };
    // SAFETY: handed on to the caller.
    unsafe { Runnable::from_header(player.cast()) }
}

static DONE: AtomicUsize = AtomicUsize::new(0);

/// A ring of leaked players.
fn ring(handle: &Handle, vt: &'static RunVt, players: usize, hops: u64) -> Vec<*mut Player> {
    let ring: Vec<*mut Player> = (0..players)
        .map(|_| {
            Box::into_raw(Box::new(Player {
                header: RunHeader { vt },
                peer: AtomicPtr::default(),
                left: AtomicU64::new(hops),
                handle: handle.clone(),
                done: &DONE,
            }))
        })
        .collect();
    for (at, player) in ring.iter().enumerate() {
        // SAFETY: just made, never freed.
        let player = unsafe { &**player };
        player.peer.store(ring[(at + 1) % players], Ordering::Relaxed);
    }
    ring
}

fn await_done(count: usize) {
    while DONE.load(Ordering::Acquire) < count {
        thread::sleep(Duration::from_micros(200));
    }
    DONE.store(0, Ordering::Relaxed);
}

fn report(name: &str, mut figures: Vec<f64>, unit: &str) {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures[0], figures[figures.len() - 1]);
    println!("{name:<16} {:>8.1} {unit} ({low:.1}-{high:.1})", figures[figures.len() / 2]);
}

fn rounds(
    handle: &Handle,
    vt: &'static RunVt,
    starts: usize,
    players: usize,
    hops: u64,
) -> Vec<f64> {
    let run = || {
        let rings: Vec<_> = (0..starts).map(|_| ring(handle, vt, players, hops)).collect();
        let begun = Instant::now();
        // SAFETY: fresh players, one runnable for each ring.
        handle.schedule_batch(rings.iter().map(|ring| unsafe { runnable(ring[0]) }));
        await_done(starts);
        let total = hops * (players * starts) as u64;
        begun.elapsed().as_nanos() as f64 / total as f64
    };
    run();
    (0..7).map(|_| run()).collect()
}

#[repr(C)]
struct Flag {
    header: RunHeader,
    raised: AtomicBool,
}

static RAISE: RunVt = RunVt { run: raise, settle, dropped };

unsafe fn raise(header: NonNull<RunHeader>, _turn: &mut Turn<'_>) -> Ran {
    // SAFETY: the header is the first field of a leaked flag.
    unsafe { header.cast::<Flag>().as_ref() }.raised.store(true, Ordering::Release);
    Ran::Done
}

fn outside(handle: &Handle, rest: Duration, times: usize) -> Vec<f64> {
    let flag: &'static Flag = Box::leak(Box::new(Flag {
        header: RunHeader { vt: &RAISE },
        raised: AtomicBool::new(false),
    }));
    (0..times)
        .map(|_| {
            if !rest.is_zero() {
                thread::sleep(rest);
            }
            flag.raised.store(false, Ordering::Relaxed);
            let begun = Instant::now();
            // SAFETY: leaked, and run before the next round.
            handle.schedule(unsafe { Runnable::from_header(NonNull::from(flag).cast()) });
            while !flag.raised.load(Ordering::Acquire) {
                hint::spin_loop();
            }
            begun.elapsed().as_nanos() as f64
        })
        .collect()
}

fn lateness(handle: &Handle) -> Vec<f64> {
    let inner = handle.clone();
    handle.block_on(handle.spawn(async move {
        let mut late = Vec::new();
        for _ in 0..1_000 {
            let deadline = inner.now() + Duration::from_millis(1);
            inner.sleep_until(deadline).await;
            late.push((inner.now() - deadline).as_nanos() as f64);
        }
        late
    }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let workers = arguments.next().map_or(Ok(2), |argument| argument.parse())?;
    let only = arguments.next();
    let wanted = |line: &str| only.as_deref().is_none_or(|only| line.starts_with(only));
    let scheduler = Scheduler::builder().workers(workers).build()?;
    let handle = scheduler.handle();
    println!("{workers} workers");
    if wanted("ping-pong") {
        report("ping-pong", rounds(handle, &PASS, 1, 2, 5_000_000), "ns/hop");
    }
    if wanted("requeue") {
        report("requeue", rounds(handle, &STAY, 1, 1, 10_000_000), "ns/run");
    }
    if wanted("ring") {
        report("ring 10k", rounds(handle, &PASS, 1, 10_000, 300), "ns/hop");
    }
    if wanted("pairs") {
        report("pairs", rounds(handle, &PASS, 1_000, 2, 2_000), "ns/hop");
    }
    if wanted("outside") {
        report("outside", outside(handle, Duration::ZERO, 10_000), "ns");
        report("outside, rested", outside(handle, Duration::from_millis(5), 200), "ns");
    }
    if wanted("late") {
        report("late", lateness(handle), "ns");
    }
    for (worker, metrics) in handle.metrics().iter().enumerate() {
        println!("{worker}: {metrics:?}");
    }
    Ok(())
}

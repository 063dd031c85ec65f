//! One round: a runtime is built, its actors do what they do for a while, it ends, and nothing may be left.
//!
//! Rounds end in three ways by turns: calmed down, looked at, shut down; shut down in the midst of it; dropped
//! in the midst of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use whitebeam::{ExitReason, Handle, Pid, Relations, Runtime};

use crate::failure::Failure;
use crate::stress::Options;
use crate::stress::actor::{Audit, Msg};
use crate::stress::book::{Counts, Ev, Own};
use crate::stress::dice::Dice;
use crate::stress::outside::{drive, make_runtimes, wait};
use crate::stress::watchdog::Watchdog;
use crate::stress::world::World;

/// Threads outside that drive the actors of a round.
const DRIVERS: usize = 2;
/// The longest that anything may take which is waited for.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// How often what must come to rest is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// How a runtime ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// When all is calm.
    Calm,
    /// In the midst of it.
    ShutDown,
    /// Without a shutdown, in the midst of it.
    Dropped,
}

impl End {
    /// Of the round with this number.
    pub(crate) fn of(round: u64) -> End {
        [End::Calm, End::ShutDown, End::Calm, End::Dropped][round as usize % 4]
    }
}

/// What a round came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) faults: Vec<String>,
}

/// Runs one.
///
/// # Errors
/// The system or the library refused what it needs.
pub(crate) fn run(
    options: &Options,
    seed: u64,
    storm: Duration,
    end: End,
    watchdog: &Watchdog,
) -> Result<Outcome, Failure> {
    let mut dice = Dice::new(seed);
    let rt = Runtime::builder()
        .workers(options.workers)
        // Made as always, and not shown: the program asks for thousands.
        .print_crashes(|_| ())
        .build()
        .map_err(Failure::library("starting a runtime"))?;
    watchdog.look_at(Some(rt.handle()));
    watchdog.step("the storm", storm + LONG * 2);
    let world = World::new(options.actors);
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for n in 0..=DRIVERS {
        let (rt, world, seed, stop) = (rt.handle(), world.clone(), dice.seed(), stop.clone());
        let body = move || match n {
            0 => make_runtimes(&rt, &world, seed, &stop),
            _ => drive(&rt, &world, seed, &stop),
        };
        let thread = thread::Builder::new().name(format!("stress-{n}")).spawn(body);
        threads.push(thread.map_err(Failure::system("starting a thread"))?);
    }
    thread::sleep(storm);
    if end == End::Calm {
        stop.store(true, Relaxed);
        join(std::mem::take(&mut threads), &world);
        watchdog.step("coming to rest", LONG * 3);
        calm_down(&rt, &world, &mut dice);
    }
    watchdog.step("the runtime's end", LONG * 3);
    finish(rt, &world, end, &stop);
    watchdog.step("the end of the threads outside", LONG * 2);
    join(threads, &world);
    watchdog.look_at(None);
    close_the_book(&world, end, LONG);
    Ok(Outcome { counts: world.book.counts(), faults: world.book.faults() })
}

fn join(threads: Vec<JoinHandle<()>>, world: &World) {
    for thread in threads {
        if thread.join().is_err() {
            world.book.fault("a thread outside panicked");
        }
    }
}

/// Lets all actors come to rest, and looks at what they have open then.
fn calm_down(rt: &Handle, world: &Arc<World>, dice: &mut Dice) {
    world.calm_down();
    // Ends that others are to be told of.
    for address in world.living() {
        match dice.roll(16) {
            0..2 => rt.exit(&address, ExitReason::Kill),
            2 => rt.exit(&address, ExitReason::Shutdown),
            3 => rt.exit(&address, ExitReason::custom(Own(0))),
            _ => {}
        }
    }
    let deadline = Instant::now() + LONG;
    loop {
        let open = what_is_open(rt, world);
        if open.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            open.into_iter().for_each(|text| world.book.fault(format!("at rest: {text}")));
            return;
        }
        thread::sleep(LOOK);
    }
}

/// What would not be if all that was sent had taken effect: empty, sooner or later.
fn what_is_open(rt: &Handle, world: &World) -> Vec<String> {
    let mut open = Vec::new();
    let mut watched = HashMap::new();
    let living = world.living();
    // All are asked before the first answer is waited for.
    let asked: Vec<_> = living
        .iter()
        .map(|address| {
            let call = address.call::<Audit, _>(Msg::Audit).timeout(LONG);
            (address.pid(), rt.relations(address), call)
        })
        .collect();
    let mut relations = HashMap::new();
    for (pid, related, call) in asked {
        // A living one answers; who has ended is looked at no more.
        match wait(async move { call.await }, LONG) {
            Some(Ok(audit)) => {
                if audit.overdue > 0 {
                    open.push(format!("{} timers of {pid} are overdue", audit.overdue));
                }
                watched.insert(pid, audit.watching);
            }
            Some(Err(whitebeam::CallError::Timeout { .. })) | None => {
                world.book.fault(format!("{pid} does not answer: {:?}", rt.info(pid)));
            }
            Some(Err(_)) => {}
        }
        if let Some(related) = wait(related, LONG).flatten() {
            relations.insert(pid, related);
        }
    }
    for (owner, of) in &watched {
        let dead = of.iter().filter(|of| !rt.is_alive(**of)).count();
        if dead > 0 {
            open.push(format!("{owner} waits for the DOWNs of {dead} that have ended"));
        }
    }
    open.extend(one_sided(&relations));
    let (messages, calls) = (world.book.in_flight(), world.book.open_calls());
    if messages > 0 {
        open.push(format!("{messages} messages are neither handled nor dropped"));
    }
    if calls > 0 {
        open.push(format!("{calls} calls wait"));
    }
    open
}

/// Links and monitors on which two processes do not agree.
fn one_sided(relations: &HashMap<Pid, Relations>) -> Vec<String> {
    let mut open = Vec::new();
    let count = |pids: &[Pid], of: Pid| pids.iter().filter(|pid| **pid == of).count();
    for (one, its) in relations {
        for other in &its.links {
            match relations.get(other) {
                Some(others) if others.links.contains(one) => {}
                found => open.push(format!(
                    "{one} is linked to {other}, which is {}",
                    if found.is_some() { "not linked to it" } else { "not there" }
                )),
            }
        }
        for other in &its.monitors {
            let here = count(&its.monitors, *other);
            let there = relations.get(other).map(|others| count(&others.monitored_by, *one));
            if there != Some(here) {
                open.push(format!("{one} monitors {other} {here} times, there it is {there:?}"));
            }
        }
        for other in &its.monitored_by {
            if !relations.get(other).is_some_and(|others| others.monitors.contains(one)) {
                open.push(format!("{one} is monitored by {other}, which does not know"));
            }
        }
    }
    open
}

/// Ends a runtime and looks that nothing lives in it. Then `stop` is raised: those outside are to stop too.
pub(crate) fn finish(rt: Runtime, world: &Arc<World>, end: End, stop: &AtomicBool) {
    world.close();
    if end != End::Dropped {
        let within = if end == End::Calm { LONG } else { Duration::from_millis(20) };
        let Some(report) = wait(rt.shutdown(within), LONG * 2) else {
            stop.store(true, Relaxed);
            return world.book.fault("a shutdown did not come back");
        };
        if !report.stuck.is_empty() || (end == End::Calm && !report.is_clean()) {
            world.book.fault(format!("shutdown: {report}"));
        }
        let left = rt.processes();
        if !left.is_empty() {
            world.book.fault(format!("{} processes are left, as {:?}", left.len(), left[0]));
        }
    }
    let panics: u64 = rt.metrics().iter().map(|worker| worker.panics).sum();
    if panics > 0 {
        world.book.fault(format!("{panics} panics left a run of the scheduler"));
    }
    let handle = rt.handle();
    drop(rt);
    stop.store(true, Relaxed);
    // What a thread outside was about to spawn when the runtime was dropped ends on that thread.
    let deadline = Instant::now() + LONG;
    while !handle.processes().is_empty() && Instant::now() < deadline {
        thread::sleep(LOOK);
    }
    let left = handle.processes();
    if !left.is_empty() {
        world.book.fault(format!("{} processes outlived their runtime: {left:?}", left.len()));
    }
    for name in &world.names {
        if let Some(pid) = handle.whereis(name.clone()) {
            world.book.fault(format!("the name {name} is {pid}'s after the end"));
        }
    }
}

/// Nobody does anything any more: all that was made has become what it was to become, or does within `most`.
pub(crate) fn close_the_book(world: &Arc<World>, end: End, most: Duration) {
    for down in world.take_ends() {
        // After a shutdown each has come already. A drop leaves those that were asked for at the last moment.
        match wait(down, if end == End::Dropped { most } else { Duration::ZERO }) {
            Some(down) => {
                world.book.ended(down.pid, &down.reason);
                world.book.count(Ev::EndsCame);
            }
            None => world.book.fault("an end was not told"),
        }
    }
    world.clear();
    // Who was told that all has ended may still be about to let go.
    let deadline = Instant::now() + most;
    while Arc::strong_count(world) > 1 && Instant::now() < deadline {
        thread::sleep(LOOK);
    }
    let more = Arc::strong_count(world) - 1;
    if more > 0 {
        world.book.fault(format!("{more} states, messages or closures are left"));
    }
    world.book.compare();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::actor::{Chaos, Start};

    /// Two pids, and what each says of itself and the other.
    fn two() -> (Pid, Pid, HashMap<Pid, Relations>) {
        let rt = Runtime::simulated(1).expect("a tag");
        let world = World::new(1);
        let pid = |id| rt.spawn::<Chaos>(Start { world: world.clone(), id, seed: 0 }).pid();
        let (one, other) = (pid(1), pid(2));
        (one, other, HashMap::from([(one, Relations::default()), (other, Relations::default())]))
    }

    fn assert_found(relations: &HashMap<Pid, Relations>, text: &str) {
        let found = one_sided(relations);
        assert!(found.iter().any(|found| found.contains(text)), "{text}: {found:?}");
    }

    #[test]
    fn a_link_of_one_side_is_found() {
        let (one, other, mut relations) = two();
        relations.entry(one).or_default().links.push(other);
        assert_found(&relations, "which is not linked to it");
        relations.entry(other).or_default().links.push(one);
        assert!(one_sided(&relations).is_empty());
        relations.remove(&other);
        assert_found(&relations, "which is not there");
    }

    #[test]
    fn a_monitor_of_one_side_is_found() {
        let (one, other, mut relations) = two();
        relations.entry(one).or_default().monitors.extend([other; 2]);
        relations.entry(other).or_default().monitored_by.push(one);
        assert_found(&relations, "monitors");
        relations.entry(other).or_default().monitored_by.push(one);
        assert!(one_sided(&relations).is_empty());
        relations.entry(one).or_default().monitors.clear();
        assert_found(&relations, "which does not know");
    }
}

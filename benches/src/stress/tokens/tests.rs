//! Each kind of fault is planted once, and found.

use std::cell::Cell;

use super::*;
use crate::stress::actor::{Chaos, Start};
use crate::stress::round::{End, close_the_book};

/// What the book says after `plant` has done something that must not be.
fn found(plant: impl FnOnce(&Arc<World>, &Arc<Life>)) -> String {
    let world = World::new(1);
    let life = Arc::new(Life::default());
    plant(&world, &life);
    world.book.faults().join("; ")
}

fn assert_found(text: &str, plant: impl FnOnce(&Arc<World>, &Arc<Life>)) {
    let found = found(plant);
    assert!(found.contains(text), "looked for: {text}; found: {found}");
}

fn end(life: &Life) {
    life.is_over.store(true, SeqCst);
}

#[test]
fn messages_are_handled_once_and_in_order() {
    assert_found("handled after its message 2", |world, _| {
        let mut seen = HashMap::new();
        Load::new(world, 7, 2).handle(&mut seen);
        Load::new(world, 7, 1).handle(&mut seen);
    });
    assert_found("handled twice", |world, _| {
        let mut load = Load::new(world, 0, 0);
        load.handle(&mut HashMap::new());
        load.handle(&mut HashMap::new());
    });
    assert_found("messages: Made 1 is not", |world, _| {
        std::mem::forget(Load::new(world, 0, 0));
        world.book.compare();
    });
    let nothing = found(|world, _| {
        let mut seen = HashMap::new();
        Load::new(world, 7, 1).handle(&mut seen);
        Load::new(world, 8, 1).handle(&mut seen);
        Load::new(world, 7, 2).refused();
        drop(Load::new(world, 7, 3));
        world.book.compare();
    });
    assert_eq!(nothing, "");
}

#[test]
fn a_monitor_ends_in_one_way() {
    assert_found("vanished without its DOWN", |world, life| {
        let (_watch, fuse) = Watch::new(world, life, false);
        drop(fuse);
    });
    assert_found("demonitor said false", |world, life| {
        let (watch, fuse) = Watch::new(world, life, false);
        watch.take_back(false, || false);
        drop(fuse);
    });
    assert_found("demonitor said true", |world, life| {
        let (watch, _fuse) = Watch::new(world, life, false);
        watch.take_back(false, || true);
        watch.take_back(false, || true);
    });
    assert_found("monitors: Watches 1 is not", |world, life| {
        std::mem::forget(Watch::new(world, life, false).1);
        world.book.compare();
    });
    let nothing = found(|world, life| {
        let (watch, fuse) = Watch::new(world, life, false);
        watch.take_back(true, || true);
        watch.take_back(true, || false);
        drop(fuse);
        drop(Watch::new(world, life, true).1);
        let (_, fuse) = Watch::new(world, life, false);
        end(life);
        drop(fuse);
        world.book.compare();
    });
    assert_eq!(nothing, "");
}

#[test]
fn a_down_comes_after_nothing_else() {
    let fired = |watch: &Arc<Watch>| {
        watch.state.store(watch::FIRED, SeqCst);
        Fired { watch: watch.clone(), is_handled: false }
    };
    assert_found("handled after it was flushed", |world, life| {
        let (watch, _fuse) = Watch::new(world, life, false);
        let down = fired(&watch);
        watch.take_back(true, || false);
        down.handle();
    });
    let nothing = found(|world, life| {
        let (watch, _fuse) = Watch::new(world, life, false);
        let down = fired(&watch);
        watch.take_back(false, || false);
        down.handle();
    });
    assert_eq!(nothing, "");
}

#[test]
fn a_call_comes_to_what_became_of_its_request() {
    let (zero, long) = (Duration::ZERO, Some(Duration::from_secs(5)));
    let answer = |world: &Arc<World>, request: &Arc<AtomicU8>| Answer {
        world: world.clone(),
        request: request.clone(),
        is_taken: false,
    };
    for error in [CallError::NoProc, CallError::NoReply] {
        assert_found("its request in state 0", |world, _| {
            Open::new(world, long, zero).over(Err(error), zero);
        });
    }
    assert_found("came to TimedOut", |world, _| {
        let early = Err(CallError::Timeout { accepted: true });
        Open::new(world, long, zero).over(early, Duration::from_secs(4));
    });
    assert_found("came to TimedOut", |world, _| {
        let never = Err(CallError::Timeout { accepted: true });
        Open::new(world, None, zero).over(never, Duration::from_secs(9));
    });
    assert_found("came to Answered", |world, _| {
        let (one, other) = (Open::new(world, long, zero), Open::new(world, long, zero));
        one.request.store(asked::REPLIED, SeqCst);
        let wrong = answer(world, &other.request);
        one.over(Ok(wrong), zero);
    });
    assert_found("calls: Asked 1 is not", |world, _| {
        std::mem::forget(Open::new(world, long, zero));
        world.book.compare();
    });
    assert_found("answers: Replied 1 is not", |world, _| {
        world.book.count(Ev::Replied);
        std::mem::forget(answer(world, &Arc::default()));
        world.book.compare();
    });
    let nothing = found(|world, _| {
        let open = Open::new(world, long, zero);
        open.request.store(asked::REPLIED, SeqCst);
        world.book.count(Ev::Replied);
        let right = answer(world, &open.request);
        open.over(Ok(right), zero);
        drop(Open::new(world, None, zero));
        world.book.compare();
    });
    assert_eq!(nothing, "");
}

#[test]
fn a_timer_ends_in_one_way_and_is_not_early() {
    let (soon, late) = (Duration::from_secs(1), Duration::from_secs(2));
    assert_found("1s early", |world, life| {
        Alarm::new(world, life, late).1.handle(soon);
    });
    assert_found("rang in state 2", |world, life| {
        let (alarm, ring) = Alarm::new(world, life, soon);
        alarm.cancel(|| Some(Duration::ZERO));
        ring.handle(late);
    });
    assert_found("could be cancelled", |world, life| {
        let (alarm, ring) = Alarm::new(world, life, soon);
        ring.handle(late);
        alarm.cancel(|| Some(Duration::ZERO));
    });
    assert_found("timer of a living process vanished", |world, life| {
        drop(Alarm::new(world, life, soon));
    });
    assert_found("timers: Alarms 1 is not", |world, life| {
        std::mem::forget(Alarm::new(world, life, soon).1);
        world.book.compare();
    });
    let overdue = Cell::new(false);
    let nothing = found(|world, life| {
        let (alarm, ring) = Alarm::new(world, life, soon);
        alarm.cancel(|| None);
        overdue.set(alarm.is_overdue(late, Duration::ZERO));
        ring.handle(late);
        let (alarm, ring) = Alarm::new(world, life, soon);
        alarm.cancel(|| Some(Duration::ZERO));
        drop(ring);
        let (_, ring) = Alarm::new(world, life, soon);
        end(life);
        drop(ring);
        world.book.compare();
    });
    assert_eq!((nothing.as_str(), overdue.get()), ("", true));
}

#[test]
fn an_interval_ends_when_it_is_cancelled() {
    assert_found("went on after it was cancelled", |world, _| {
        let beat = Beat::new(world);
        beat.cancel(|| Some(Duration::ZERO));
        drop(beat.tick());
    });
    assert_found("found one: false", |world, _| Beat::new(world).cancel(|| None));
    assert_found("ticks: Ticks 1 is not", |world, _| {
        std::mem::forget(Beat::new(world).tick());
        world.book.compare();
    });
}

#[test]
fn what_is_never_dropped_is_found() {
    assert_found("1 states, messages or closures are left", |world, _| {
        let kept = Load::new(world, 0, 0);
        close_the_book(world, End::ShutDown, Duration::ZERO);
        drop(kept);
    });
}

#[test]
fn an_alias_leads_to_its_owner_and_for_one_message_if_so_made() {
    let rt = whitebeam::Runtime::simulated(1).expect("a tag");
    let world = World::new(1);
    let process = |id| rt.spawn::<Chaos>(Start { world: world.clone(), id, seed: 0 });
    let (me, other) = (process(1).pid(), process(2).pid());
    assert_found("led to", |world, _| Door::new(me, false, None).handle(world, other));
    assert_found("alias for one", |world, _| {
        let door = Door::new(me, true, None);
        door.handle(world, me);
        door.handle(world, me);
    });
    assert_found("whose monitor had ended otherwise", |world, life| {
        let (watch, _fuse) = Watch::new(world, life, true);
        watch.take_back(false, || true);
        Door::new(me, true, Some(watch)).handle(world, me);
    });
}

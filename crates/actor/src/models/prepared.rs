//! A process that is prepared, on its way from who has made it to who adopts or drops it, against what others do to it
//! meanwhile: it runs once or never, ends once, and all that was said to it is answered.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use parking_lot::Mutex;

use super::{Msg, Puppet, Saw, Seen, Token, World, broken, is_broken, model, now, saw};
use crate::{
    Actor, ActorRef, ChildDown, Context, ExitReason, Pid, Prepared, SpawnOptions, relations,
};

/// Adopts, and writes down how its children ended.
struct Parent(Arc<Mutex<Vec<ChildDown>>>);

enum Order {
    Adopt(Prepared),
    End,
}

impl Actor for Parent {
    type Args = Arc<Mutex<Vec<ChildDown>>>;
    type Msg = Order;

    async fn init(ended: Self::Args, cx: &mut Context<Self>) -> Result<Self, ExitReason> {
        cx.supervise(|parent, down, _| parent.0.lock().push(down));
        Ok(Parent(ended))
    }

    async fn handle(&mut self, order: Order, cx: &mut Context<Self>) -> Result<(), ExitReason> {
        match order {
            Order::Adopt(child) => assert!(cx.adopt(child).is_ok()),
            Order::End => return Err(broken()),
        }
        Ok(())
    }
}

struct Family {
    parent: ActorRef<Order>,
    ended: Arc<Mutex<Vec<ChildDown>>>,
}

impl Family {
    fn new(world: &World) -> Self {
        let ended = Arc::default();
        let parent = world.spawn_as::<Parent>(Arc::clone(&ended));
        Family { parent, ended }
    }

    /// A child for it, which nobody is linked to.
    fn prepare(&self, world: &World, saw: &Saw) -> Prepared {
        let options = SpawnOptions::new();
        let made = world.handle().prepare::<Puppet>(self.parent.pid(), options, saw.clone());
        made.expect("the table has room")
    }

    /// Panics unless one child has ended, with such a reason. Ends the parent.
    fn over(self, world: &World, is_legal: impl Fn(&ExitReason) -> bool) {
        match &self.ended.lock()[..] {
            [down] => assert!(is_legal(&down.reason), "{down:?}"),
            ended => panic!("not exactly one end: {ended:?}"),
        }
        world.tell(&self.parent, Order::End);
        assert!(!self.parent.is_alive());
    }
}

/// Monitors it, and sends it an exit signal.
fn kills(pid: Pid) -> Msg {
    now(move |cx| {
        cx.monitor(pid, |down| Msg::See(Seen::Down(down)));
        cx.exit(pid, ExitReason::Kill);
    })
}

/// The one DOWN that was seen has a reason of these.
fn assert_told(saw: &Saw, is_legal: impl Fn(&ExitReason) -> bool) {
    match &saw.lock()[..] {
        [Seen::Down(down)] => assert!(is_legal(&down.reason), "{down:?}"),
        seen => panic!("not exactly one DOWN: {seen:?}"),
    }
    saw.lock().clear();
}

#[test]
fn one_that_is_dropped_against_a_monitor_and_a_kill() {
    model(2, |world| {
        let (saw, theirs) = (saw(), Saw::default());
        let token = Token::new(());
        theirs.lock().push(Seen::Note(token.clone()));
        let family = Family::new(world);
        let child = family.prepare(world, &theirs);
        drop(theirs);
        let one = world.spawn(&saw);
        let kills = world.cast(&one, kills(child.pid()));
        world.race(move |_| drop(child), move |world| world.model.run(kills));
        assert_told(&saw, |reason| matches!(reason, ExitReason::NoProc));
        assert_eq!(Token::strong_count(&token), 1, "what it was to begin with is dropped");
        world.end(&[&one]);
        world.tell(&family.parent, Order::End);
        assert!(family.ended.lock().is_empty());
    });
}

#[test]
fn one_that_is_adopted_against_a_monitor_and_a_kill() {
    model(2, |world| {
        let saw = saw();
        let family = Family::new(world);
        let child = family.prepare(world, &Saw::default());
        let one = world.spawn(&saw);
        let kills = world.cast(&one, kills(child.pid()));
        let adopts = world.cast(&family.parent, Order::Adopt(child));
        world.race(|world| world.model.run(adopts), move |world| world.model.run(kills));
        let is_killed = |reason: &ExitReason| matches!(reason, ExitReason::Killed);
        assert_told(&saw, |reason| is_killed(reason) || matches!(reason, ExitReason::NoProc));
        world.end(&[&one]);
        family.over(world, is_killed);
    });
}

#[test]
fn one_that_is_adopted_against_the_end_of_its_owner() {
    model(2, |world| {
        let family = Family::new(world);
        let owner = world.spawn(&Saw::default());
        let made: Arc<Mutex<Option<Prepared>>> = Arc::default();
        let (parent, tell) = (family.parent.pid(), Arc::clone(&made));
        world.tell(&owner, now(move |cx| *tell.lock() = Some(linked(parent, cx))));
        let child = made.lock().take().expect("made");
        let ends = world.cast(&owner, Msg::Stop(broken()));
        let adopts = world.cast(&family.parent, Order::Adopt(child));
        world.race(|world| world.model.run(adopts), move |world| world.model.run(ends));
        assert!(!owner.is_alive());
        family.over(world, is_broken);
    });
}

#[test]
fn one_that_is_dropped_against_the_end_of_its_owner() {
    model(2, |world| {
        let family = Family::new(world);
        let owner = world.spawn(&Saw::default());
        let made: Arc<Mutex<Option<Prepared>>> = Arc::default();
        let (parent, tell) = (family.parent.pid(), Arc::clone(&made));
        world.tell(&owner, now(move |cx| *tell.lock() = Some(linked(parent, cx))));
        let child = made.lock().take().expect("made");
        let ends = world.cast(&owner, Msg::Stop(broken()));
        world.race(move |_| drop(child), move |world| world.model.run(ends));
        assert!(!owner.is_alive());
        world.tell(&family.parent, Order::End);
    });
}

#[test]
fn one_that_is_on_its_way_against_the_end_of_its_parent() {
    model(2, |world| {
        let family = Family::new(world);
        let child = family.prepare(world, &Saw::default());
        let pid = child.pid();
        let ends = world.cast(&family.parent, Order::End);
        let parent = family.parent.clone();
        // Refused, it comes back and is dropped there.
        let sends = move |_: &World| drop(parent.cast(Order::Adopt(child)));
        world.race(|world| world.model.run(ends), sends);
        assert!(!family.parent.is_alive());
        assert!(world.shared.resolve(pid).is_none_or(|cell| cell.ptr().is_ended()));
    });
}

/// A process that is linked to the running one.
fn linked(parent: Pid, cx: &mut Context<Puppet>) -> Prepared {
    let made = cx.prepare_link::<Puppet>(parent, SpawnOptions::new(), Saw::default());
    made.expect("the table has room")
}

#[test]
fn a_link_that_is_taken_back_from_outside_against_a_link_made_anew() {
    model(1, |world| {
        let (one, other) = (world.spawn(&Saw::default()), world.spawn(&Saw::default()));
        let (here, there) = (one.pid(), other.pid());
        world.tell(&one, now(move |cx| cx.link(there)));
        let anew = now(move |cx| {
            cx.unlink(here);
            cx.link(here);
        });
        let anew = world.cast(&other, anew);
        let asked = one.clone();
        world
            .race(|world| world.model.run(anew), move |world| world.handle().unlink(&asked, there));
        world.model.run_all();
        world.end(&[&one]);
        // The two agree: it has ended with the other, or both know of no link.
        if other.is_alive() {
            let mut asked = pin!(relations::ask(world.shared.resolve(there)));
            world.model.run_all();
            match asked.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
                Poll::Ready(Some(relations)) => assert_eq!(relations.links, []),
                _ => panic!("it lives"),
            }
            world.end(&[&other]);
        }
    });
}

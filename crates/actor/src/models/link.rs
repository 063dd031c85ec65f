//! A link against ends, and against itself from both ends: it breaks once, an unlinked process is not touched,
//! and the two sides agree when nothing is in flight.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use parking_lot::Mutex;

use super::{Msg, Saw, Seen, World, broken, is_broken, model, now, saw};
use crate::{ActorRef, ExitReason, Pid, relations};

/// Two processes that are linked.
fn linked(world: &World) -> [ActorRef<Msg>; 2] {
    let (one, other) = (world.spawn(&Saw::default()), world.spawn(&Saw::default()));
    world.tell(&one, links(&other));
    assert_eq!(links_of(world, &one), [other.pid()]);
    [one, other]
}

fn links(to: &ActorRef<Msg>) -> Msg {
    let to = to.pid();
    now(move |cx| cx.link(to))
}

fn unlinks(to: &ActorRef<Msg>) -> Msg {
    let to = to.pid();
    now(move |cx| cx.unlink(to))
}

/// The links of a process that lives.
fn links_of(world: &World, of: &ActorRef<Msg>) -> Vec<Pid> {
    let mut asked = pin!(relations::ask(world.shared.resolve(of.pid())));
    world.model.run_all();
    match asked.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(Some(relations)) => relations.links,
        _ => panic!("it lives"),
    }
}

/// Whether they are linked, on which both must agree.
fn are_linked(world: &World, one: &ActorRef<Msg>, other: &ActorRef<Msg>) -> bool {
    let here = links_of(world, one) == [other.pid()];
    let there = links_of(world, other) == [one.pid()];
    assert_eq!(here, there, "one side has a link that the other has not");
    here
}

#[test]
fn two_linked_ends_at_once_leave_nothing() {
    model(2, |world| {
        let [one, other] = linked(world);
        world.race_messages((&one, Msg::Stop(broken())), (&other, Msg::Stop(broken())));
        assert!(!one.is_alive() && !other.is_alive());
    });
}

#[test]
fn a_link_against_the_end_of_the_other_breaks_once() {
    model(2, |world| {
        let saw = saw();
        let (one, other) = (world.spawn(&saw), world.spawn(&Saw::default()));
        world.tell(&one, now(|cx| cx.trap_exit(|exit| Msg::See(Seen::Exit(exit)))));
        world.race_messages((&one, links(&other)), (&other, Msg::Stop(broken())));
        match &saw.lock()[..] {
            [Seen::Exit(exit)] => {
                assert_eq!(exit.from, Some(other.pid()));
                assert!(is_broken(&exit.reason) || matches!(exit.reason, ExitReason::NoProc));
            }
            seen => panic!("not exactly one EXIT: {seen:?}"),
        }
        assert!(links_of(world, &one).is_empty(), "a link to nobody");
        world.end(&[&one]);
    });
}

#[test]
fn the_end_of_the_other_does_not_reach_who_has_unlinked() {
    model(2, |world| {
        let [one, other] = linked(world);
        let unlinked: Arc<Mutex<bool>> = Arc::default();
        let (tell, target) = (unlinked.clone(), other.pid());
        let unlinks = now(move |cx| {
            cx.unlink(target);
            *tell.lock() = true;
        });
        world.race_messages((&one, unlinks), (&other, Msg::Stop(broken())));
        let unlinked = *unlinked.lock();
        assert_eq!(
            one.is_alive(),
            unlinked,
            "it ended before it came to the unlink, or not at all"
        );
        if unlinked {
            assert!(links_of(world, &one).is_empty());
            world.end(&[&one]);
        }
    });
}

#[test]
fn links_from_both_ends_are_one() {
    model(2, |world| {
        let (one, other) = (world.spawn(&Saw::default()), world.spawn(&Saw::default()));
        world.race_messages((&one, links(&other)), (&other, links(&one)));
        assert!(are_linked(world, &one, &other));
        world.end(&[&one]);
        assert!(!other.is_alive(), "the link broke");
    });
}

#[test]
fn unlinks_from_both_ends_are_one() {
    model(2, |world| {
        let [one, other] = linked(world);
        world.race_messages((&one, unlinks(&other)), (&other, unlinks(&one)));
        assert!(!are_linked(world, &one, &other));
        world.end(&[&one]);
        assert!(other.is_alive());
        world.end(&[&other]);
    });
}

#[test]
fn a_link_made_anew_against_an_unlink_is_agreed_on() {
    model(1, |world| {
        let [one, other] = linked(world);
        let target = other.pid();
        let anew = now(move |cx| {
            cx.unlink(target);
            cx.link(target);
        });
        world.race_messages((&one, anew), (&other, unlinks(&one)));
        let linked = are_linked(world, &one, &other);
        world.end(&[&one]);
        assert_eq!(other.is_alive(), !linked);
        if !linked {
            world.end(&[&other]);
        }
    });
}

#[test]
fn the_answer_to_an_older_unlink_is_not_taken_for_that_to_the_last() {
    model(1, |world| {
        let [one, other] = linked(world);
        let target = other.pid();
        let twice = now(move |cx| {
            cx.unlink(target);
            cx.link(target);
            cx.unlink(target);
        });
        world.race_messages((&one, twice), (&other, links(&one)));
        let linked = are_linked(world, &one, &other);
        world.end(&[&one]);
        assert_eq!(other.is_alive(), !linked);
        if !linked {
            world.end(&[&other]);
        }
    });
}

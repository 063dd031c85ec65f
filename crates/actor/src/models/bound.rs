//! Bounded mailboxes: who waits for room against who makes it, gives up, or ends; and a ring against who takes from it.
//! Nobody waits while there is room, no message is asleep or lost, and each comes back, is handled or is dropped once.

use std::{
    future::Future,
    pin::pin,
    task::{Context as TaskContext, Poll, Waker},
};

use super::{Msg, Saw, Seen, Token, World, broken, model, saw};
use crate::{ActorRef, CastWait, Overflow, SendError, SendFailure, SpawnOptions};

fn bounded(world: &World, saw: &Saw, overflow: Overflow) -> ActorRef<Msg> {
    world.spawn_with(saw, SpawnOptions::new().bounded(1, overflow))
}

fn note(token: &Token) -> Msg {
    Msg::See(Seen::Note(token.clone()))
}

fn poll(cast: &mut CastWait<'_, Msg>) -> Poll<Result<(), SendError<Msg>>> {
    pin!(cast).poll(&mut TaskContext::from_waker(Waker::noop()))
}

/// Takes out how many were handled.
fn handled(saw: &Saw) -> usize {
    std::mem::take(&mut *saw.lock()).len()
}

#[test]
fn one_who_waits_against_the_message_being_taken() {
    model(2, |world| {
        let (saw, token) = (saw(), Token::new(()));
        let one = bounded(world, &saw, Overflow::Reject);
        let run = world.cast(&one, note(&token));
        let mut waits = one.cast_wait(note(&token));
        let mut told = Poll::Pending;
        world.race(|_| told = poll(&mut waits), move |world| world.model.run(run));
        if told.is_pending() {
            told = poll(&mut waits);
        }
        assert!(matches!(told, Poll::Ready(Ok(()))), "it waits for ever");
        drop(told);
        assert_eq!(handled(&saw), 2, "it waits for ever");
        assert!(one.cast(note(&token)).is_ok(), "somebody counts as waiting");
        world.model.run_all();
        assert_eq!(handled(&saw), 1);
        world.end(&[&one]);
    });
}

#[test]
fn a_plain_sender_against_one_who_waits() {
    model(2, |world| {
        let (saw, token) = (saw(), Token::new(()));
        let one = bounded(world, &saw, Overflow::Reject);
        let run = world.cast(&one, note(&token));
        let mut waits = one.cast_wait(note(&token));
        assert!(poll(&mut waits).is_pending());
        let (other, carried) = (one.clone(), token.clone());
        world.race(
            |world| world.model.run(run),
            move |_| {
                // Let in only if who waits was before it.
                drop(other.cast(Msg::See(Seen::Answer(Ok(carried)))));
            },
        );
        assert!(matches!(poll(&mut waits), Poll::Ready(Ok(()))), "it waits for ever");
        let seen = std::mem::take(&mut *saw.lock());
        assert!(matches!(&seen[..2], [Seen::Note(_), Seen::Note(_)]), "{seen:?}");
        assert!(seen.len() <= 3);
        drop(seen);
        world.end(&[&one]);
    });
}

#[test]
fn one_who_gives_up_against_being_let_in() {
    model(1, |world| {
        let (saw, token) = (saw(), Token::new(()));
        let one = bounded(world, &saw, Overflow::Reject);
        let run = world.cast(&one, note(&token));
        let (other, carried) = (one.clone(), token.clone());
        let mut first = one.cast_wait(note(&token));
        assert!(poll(&mut first).is_pending());
        world.race(
            |world| world.model.run(run),
            move |_| {
                let mut cast = other.cast_wait(note(&carried));
                let _ = poll(&mut cast);
                drop(cast);
            },
        );
        assert!(matches!(poll(&mut first), Poll::Ready(Ok(()))), "it waits for ever");
        let handled = handled(&saw);
        assert!((2..=3).contains(&handled));
        assert!(one.cast(note(&token)).is_ok(), "somebody counts as waiting");
        world.model.run_all();
        saw.lock().clear();
        world.end(&[&one]);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn one_who_waits_against_the_end() {
    for overflow in [Overflow::Reject, Overflow::DropOldest] {
        model(1, move |world| {
            let (saw, token) = (saw(), Token::new(()));
            let one = bounded(world, &saw, overflow);
            let ends = world.cast(&one, Msg::Stop(broken()));
            let (other, carried) = (one.clone(), token.clone());
            world.race(
                |world| world.model.run(ends),
                move |world| {
                    let mut cast = other.cast_wait(note(&carried));
                    let mut told = poll(&mut cast);
                    world.model.run_all();
                    if told.is_pending() {
                        told = poll(&mut cast);
                    }
                    if let Poll::Ready(Err(error)) = told {
                        assert_eq!(error.why(), SendFailure::NoProc);
                    }
                },
            );
            assert!(!one.is_alive());
            assert_eq!(handled(&saw), 0);
            drop(one);
            world.model.run_all();
            assert_eq!(Token::strong_count(&token), 1);
        });
    }
}

#[test]
fn a_message_that_comes_to_a_ring_against_one_being_taken() {
    model(2, |world| {
        let (saw, token) = (saw(), Token::new(()));
        let one = bounded(world, &saw, Overflow::DropOldest);
        let run = world.cast(&one, note(&token));
        let (other, carried) = (one.clone(), token.clone());
        world.race(
            |world| world.model.run(run),
            move |_| {
                other.cast(note(&carried)).unwrap();
                other.cast(note(&carried)).unwrap();
            },
        );
        let info = one.info().unwrap();
        let handled = handled(&saw);
        assert_eq!(handled as u64 + info.dropped, 3, "one is asleep or lost");
        assert!(handled >= 1);
        assert_eq!(info.mailbox_len, 0);
        world.end(&[&one]);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

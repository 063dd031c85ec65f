//! A call against everything that ends it: the reply, the timeout, the end of the caller, the end of who was
//! called. A caller is answered once or not at all, and value and node are dropped once, by whoever comes last.

use std::time::Duration;

use whitebeam_scheduler::Runnable;

use super::{Msg, Saw, Seen, Token, World, broken, is_broken, model, saw};
use crate::{ActorRef, CallError, ExitReason, signal};

/// Longer than what is looked after by the cell at least, see `timeouts`.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Has `one` ask `other`, with a timeout, and write the answer down.
fn asks(other: &ActorRef<Msg>, token: &Token) -> Msg {
    let (other, token) = (other.clone(), token.clone());
    Msg::Later(Box::new(move |saw, _| {
        Box::pin(async move {
            let call = other.call(move |reply| Msg::Ask(token, reply)).timeout(TIMEOUT);
            let answer = call.await;
            saw.lock().push(Seen::Answer(answer));
        })
    }))
}

/// A caller that waits, who is to answer, and the right to run the latter.
fn waiting(world: &World, saw: &Saw, token: &Token) -> (ActorRef<Msg>, ActorRef<Msg>, Runnable) {
    let (one, other) = (world.spawn(saw), world.spawn(&Saw::default()));
    let calls = world.cast(&one, asks(&other, token));
    world.model.run(calls);
    let answers = world.model.take().expect("the request was sent");
    (one, other, answers)
}

/// The call's deadline is counted out, and passes: the next look at the timers finds it.
fn pass_time(world: &World) {
    for time in [Duration::from_millis(8), 2 * TIMEOUT] {
        world.model.handle().fire_timers();
        world.model.run_all();
        world.model.advance(time);
        if time < TIMEOUT {
            world.model.handle().fire_timers();
            world.model.run_all();
        }
    }
}

/// Panics unless the caller wrote one answer down, that it allows.
fn assert_one_answer(saw: &Saw, is_legal: impl Fn(&Result<Token, CallError>) -> bool) {
    match &saw.lock()[..] {
        [Seen::Answer(answer)] => assert!(is_legal(answer), "{answer:?}"),
        seen => panic!("not exactly one answer: {seen:?}"),
    }
    saw.lock().clear();
}

#[test]
fn a_reply_against_the_timeout() {
    model(2, |world| {
        let (saw, token) = (saw(), Token::new(()));
        let (one, other, answers) = waiting(world, &saw, &token);
        pass_time(world);
        world.race(|world| world.model.run(answers), |world| world.model.handle().fire_timers());
        assert_one_answer(&saw, |answer| {
            matches!(answer, Ok(_) | Err(CallError::Timeout { accepted: true }))
        });
        world.end(&[&one, &other]);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn a_reply_against_the_end_of_the_caller() {
    model(2, |world| {
        let (saw, token) = (saw(), Token::new(()));
        let (one, other, answers) = waiting(world, &saw, &token);
        let caller = one.clone().into_cell();
        world.race(
            |world| world.model.run(answers),
            move |_| signal::send_exit(caller.ptr(), None, ExitReason::Kill, false),
        );
        assert!(!one.is_alive());
        assert!(saw.lock().len() <= 1);
        saw.lock().clear();
        world.end(&[&other]);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn a_reply_against_the_timeout_and_the_end_of_the_caller() {
    model(1, |world| {
        let (saw, token) = (saw(), Token::new(()));
        let (one, other, answers) = waiting(world, &saw, &token);
        pass_time(world);
        let caller = one.clone().into_cell();
        let kills =
            world.fork(move |_| signal::send_exit(caller.ptr(), None, ExitReason::Kill, false));
        world.race(|world| world.model.run(answers), |world| world.model.handle().fire_timers());
        kills.join().unwrap();
        assert!(!one.is_alive());
        assert!(saw.lock().len() <= 1);
        saw.lock().clear();
        world.end(&[&other]);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn a_call_against_the_end_of_who_is_called() {
    model(2, |world| {
        let (saw, token) = (saw(), Token::new(()));
        let (one, other) = (world.spawn(&saw), world.spawn(&Saw::default()));
        let question = asks(&other, &token);
        world.race_messages((&one, question), (&other, Msg::Stop(broken())));
        assert_one_answer(&saw, |answer| match answer {
            Err(CallError::NoProc) => true,
            Err(CallError::Exit(reason)) => is_broken(reason),
            _ => false,
        });
        world.end(&[&one]);
        drop(other);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

//! A call that is over while its request is being read: whoever comes second frees the node, or the next stray.
//!
//! A model has no barrier on all threads, so this is the form that does without, see `leave`.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
};

use parking_lot::Mutex;
use whitebeam_scheduler::Runnable;

use super::STRAYS;
use crate::{
    ActorRef, Reply,
    models::{Msg, Saw, Seen, Token, World, model, saw},
    request::CallFuture,
};

type Ask = CallFuture<'static, Msg, Token>;

/// A call whose `Reply` is kept apart from its request, which was sent; and the right to read that.
fn ask(world: &World, whom: &ActorRef<Msg>, token: &Token) -> (Ask, Reply<Token>, Runnable) {
    let mut kept = None;
    let call = whom.call(|reply| {
        kept = Some(reply);
        Msg::See(Seen::Note(token.clone()))
    });
    let mut call = call.no_timeout().owned().into_future();
    assert!(poll(&mut call).is_none());
    (call, kept.unwrap(), world.model.take().expect("it was idle"))
}

fn poll(call: &mut Ask) -> Option<Token> {
    match Pin::new(call).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer.unwrap()),
        Poll::Pending => None,
    }
}

#[test]
fn a_request_that_is_read_while_its_call_ends_is_freed_by_the_second_or_the_next() {
    model(3, |world| {
        let (saw, token): (Saw, _) = (saw(), Token::new(()));
        let whom = world.spawn(&saw);
        let (mut call, reply, reads) = ask(world, &whom, &token);
        let value = token.clone();
        let answer: Arc<Mutex<Option<Token>>> = Arc::default();
        let got = answer.clone();
        world.race(
            |world| world.model.run(reads),
            move |_| {
                reply.send(value);
                *got.lock() = poll(&mut call);
            },
        );
        drop(answer.lock().take().expect("it was answered"));
        assert_eq!(saw.lock().len(), 1);

        let (mut call, reply, reads) = ask(world, &whom, &token);
        reply.send(token.clone());
        assert!(poll(&mut call).is_some());
        assert_eq!(STRAYS.lock().len(), 1, "only this one");
        world.model.run(reads);
        assert_eq!(STRAYS.lock().len(), 0);
        saw.lock().clear();
        world.end(&[&whom]);
        drop(call);
        assert_eq!(Token::strong_count(&token), 1);
    });
}

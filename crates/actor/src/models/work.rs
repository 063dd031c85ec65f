//! Work beside the mailbox against who wakes it: no wake-up is lost to a turn that goes idle, none comes to anything
//! behind the end, and what is piped goes with its process.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Poll, Waker},
};

use parking_lot::Mutex;
use whitebeam_sync::shim::atomic::{AtomicBool, Ordering};

use super::{Msg, Seen, Token, broken, model, now, saw};

/// What a future waits for. Its waker is not in a lock of loom's: the model is about what waking does.
#[derive(Clone, Default)]
struct Door {
    is_open: Arc<AtomicBool>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Door {
    /// Opens it, and wakes who was there last.
    fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        let waker = self.waker.lock().take();
        waker.expect("it was polled").wake();
    }

    fn pass(&self) -> impl Future<Output = ()> + Send + 'static {
        let door = self.clone();
        poll_fn(move |cx| {
            *door.waker.lock() = Some(cx.waker().clone());
            // The waker is there, whoever opens it after this look.
            if door.is_open.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

#[test]
fn a_wake_up_against_a_turn_that_goes_idle_is_not_lost() {
    model(3, |world| {
        let (token, saw, door) = (Token::new(()), saw(), Door::default());
        let one = world.spawn(&saw);
        let (passed, made) = (door.pass(), token.clone());
        world.tell(&one, now(move |cx| cx.pipe(passed, |()| Msg::See(Seen::Note(made)))));
        let handles = world.cast(&one, Msg::See(Seen::Note(token.clone())));
        world.race(|world| world.model.run(handles), move |_| door.open());
        assert_eq!(saw.lock().len(), 2, "the wake-up was lost");
        saw.lock().clear();
        assert_eq!(Token::strong_count(&token), 1);
        world.end(&[&one]);
    });
}

#[test]
fn a_wake_up_against_a_poll_leads_to_another_poll() {
    model(3, |world| {
        let (token, saw, door) = (Token::new(()), saw(), Door::default());
        let one = world.spawn(&saw);
        let (passed, made) = (door.pass(), token.clone());
        world.tell(&one, now(move |cx| cx.pipe(passed, |()| Msg::See(Seen::Note(made)))));
        // Woken for nothing, it is polled while it is opened.
        let waker = door.waker.lock().clone().expect("it was polled");
        waker.wake();
        let polls = world.model.take().expect("the process was idle");
        world.race(|world| world.model.run(polls), move |_| door.open());
        assert_eq!(saw.lock().len(), 1, "the wake-up was lost");
        saw.lock().clear();
        assert_eq!(Token::strong_count(&token), 1);
        world.end(&[&one]);
    });
}

#[test]
fn a_wake_up_against_the_end_comes_to_nothing() {
    model(3, |world| {
        let (token, saw, door) = (Token::new(()), saw(), Door::default());
        let one = world.spawn(&saw);
        let (passed, held) = (door.pass(), token.clone());
        world.tell(&one, now(move |cx| cx.pipe(passed, |()| Msg::See(Seen::Note(held)))));
        let ends = world.cast(&one, Msg::Stop(broken()));
        world.race(|world| world.model.run(ends), move |_| door.open());
        assert!(!one.is_alive());
        assert!(saw.lock().is_empty(), "handled behind the end");
        assert_eq!(Token::strong_count(&token), 1);
    });
}

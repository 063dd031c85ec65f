//! The end of a process against what comes to it: a message is handled, dropped with the process or given back;
//! a kill finds a process that goes idle; of two ends one counts.

use super::{Msg, Saw, Seen, Token, broken, is_broken, model, now, saw};
use crate::{ExitReason, signal};

/// Panics unless the message with this token came back, or was dropped with its process.
fn back_or_dropped(sent: Result<(), crate::SendError<Msg>>, token: &Token) {
    if let Err(error) = sent {
        assert!(
            matches!(error.into_message(), Msg::See(Seen::Note(back)) if Token::ptr_eq(&back, token))
        );
    }
}

#[test]
fn a_message_against_the_end_is_given_back_or_dropped_with_it() {
    model(3, |world| {
        let token = Token::new(());
        let saw = saw();
        let one = world.spawn(&saw);
        let ends = world.cast(&one, Msg::Stop(broken()));
        let note = Msg::See(Seen::Note(token.clone()));
        let sends = one.clone();
        let stays = token.clone();
        world.race(
            |world| world.model.run(ends),
            move |_| back_or_dropped(sends.cast(note), &stays),
        );
        assert!(!one.is_alive());
        assert!(saw.lock().is_empty(), "handled behind the end");
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn a_kill_against_a_turn_that_goes_idle_is_not_lost() {
    model(3, |world| {
        let token = Token::new(());
        let saw = saw();
        let one = world.spawn(&saw);
        let handles = world.cast(&one, Msg::See(Seen::Note(token.clone())));
        let target = one.clone().into_cell();
        world.race(
            |world| world.model.run(handles),
            move |_| signal::send_exit(target.ptr(), None, ExitReason::Kill, false),
        );
        assert!(!one.is_alive(), "the kill was lost");
        assert!(saw.lock().len() <= 1);
        saw.lock().clear();
        assert_eq!(Token::strong_count(&token), 1);
    });
}

#[test]
fn of_two_ends_one_is_told() {
    model(2, |world| {
        let saw = saw();
        let (one, other) = (world.spawn(&saw), world.spawn(&Saw::default()));
        let target = other.pid();
        let watches = now(move |cx| {
            cx.monitor(target, |down| Msg::See(Seen::Down(down)));
        });
        world.tell(&one, watches);
        let ends = world.cast(&other, Msg::Stop(broken()));
        let killed = other.clone().into_cell();
        world.race(
            |world| world.model.run(ends),
            move |_| signal::send_exit(killed.ptr(), None, ExitReason::Kill, false),
        );
        match &saw.lock()[..] {
            [Seen::Down(down)] => {
                assert!(is_broken(&down.reason) || matches!(down.reason, ExitReason::Killed));
            }
            seen => panic!("not exactly one DOWN: {seen:?}"),
        }
        world.end(&[&one]);
    });
}

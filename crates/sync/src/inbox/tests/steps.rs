//! Each transition on one thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::{Barred, Cursor, Drained, End, Inbox, Push};
use super::support::{
    MESSAGE, Owner, REQUEST, SIGNAL, Token, free_now, keep, node, number, retire,
};
use crate::node::Node;

#[test]
fn the_first_push_schedules_and_the_next_does_not() {
    let token = Token::new(());
    let owner = Owner::idle();
    // SAFETY: fresh nodes, given away.
    let first = unsafe { owner.inbox.push_one(node(&MESSAGE, 1, &token)) };
    // SAFETY: as above.
    let second = unsafe { owner.inbox.push_one(node(&MESSAGE, 2, &token)) };
    assert_eq!((first, second), (Push::Schedule, Push::Queued));
    owner.run();
    assert!(owner.inbox.is_idle());
    assert_eq!(owner.logged(), [1, 2]);
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_chain_arrives_in_its_order_by_one_push() {
    let token = Token::new(());
    let owner = Owner::idle();
    let [oldest, middle, newest] = [1, 2, 3].map(|number| node(&MESSAGE, number, &token));
    // SAFETY: fresh nodes.
    unsafe { Node::link(newest, middle) };
    // SAFETY: as above.
    unsafe { Node::link(middle, oldest) };
    // SAFETY: as above, given away.
    let push = unsafe { owner.inbox.push(newest, oldest, 3) };
    assert_eq!(owner.inbox.length(0), 3);
    assert!(owner.follow(push));
    assert_eq!(owner.logged(), [1, 2, 3]);
}

#[test]
fn signals_run_at_the_drain_and_ahead_of_messages() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, _| unreachable!());
    for (vt, number) in [(&MESSAGE, 1), (&SIGNAL, 2), (&MESSAGE, 3), (&SIGNAL, 4)] {
        owner.push(node(vt, number, &token));
    }
    assert_eq!(owner.inbox.length(0), 2, "signals are not counted");
    let drained = owner.drain();
    assert_eq!(drained, Drained { woken: false, tagged: false, messages: 2 });
    assert_eq!(owner.logged(), [2, 4]);
    owner.run();
    assert_eq!(owner.logged(), [2, 4, 1, 3]);
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_signal_finds_all_earlier_messages_in_the_fifo_and_may_join_them() {
    let token = Token::new(());
    let inbox = Inbox::scheduled();
    let mut cursor = Cursor::new();
    for (vt, number) in [(&MESSAGE, 1), (&SIGNAL, 2), (&MESSAGE, 3)] {
        // SAFETY: fresh nodes, given away.
        assert_eq!(unsafe { inbox.push_one(node(vt, number, &token)) }, Push::Queued);
    }
    let on_signal = |cursor: &mut Cursor, signal| {
        assert_eq!(cursor.peek().map(number), Some(1));
        keep(cursor, signal);
    };
    // SAFETY: the test is the owner.
    unsafe { inbox.drain(&mut cursor, on_signal) };
    let mut numbers = Vec::new();
    while let Some(node) = cursor.pop() {
        numbers.push(number(node));
        retire(&mut cursor, node);
    }
    assert_eq!(numbers, [1, 2, 3]);
    // SAFETY: the test is the owner.
    assert!(unsafe { inbox.settle(&raw mut cursor) });
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_node_is_taken_out_of_its_place() {
    let token = Token::new(());
    for wanted in 0..5 {
        let mut cursor = Cursor::new();
        for n in 1..=3 {
            // SAFETY: fresh nodes, given away.
            unsafe { cursor.push_back(node(&MESSAGE, n, &token)) };
        }
        let taken = cursor.extract(|node| number(node) == wanted);
        assert_eq!(taken.map(number), (1..=3).contains(&wanted).then_some(wanted));
        if let Some(taken) = taken {
            retire(&mut cursor, taken);
        }
        // The end is where it is now.
        // SAFETY: as above.
        unsafe { cursor.push_back(node(&MESSAGE, 4, &token)) };
        let mut left = Vec::new();
        while let Some(node) = cursor.pop() {
            left.push(number(node));
            retire(&mut cursor, node);
        }
        let expected: Vec<_> = (1..=4).filter(|&n| n == 4 || n != wanted).collect();
        assert_eq!(left, expected);
    }
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn the_newest_node_is_kept_until_the_cursor_moves_on() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, _| unreachable!());
    owner.push(node(&MESSAGE, 1, &token));
    owner.drain();
    let first = owner.cursor(Cursor::pop).unwrap();
    owner.handle(first);
    assert_eq!(Token::strong_count(&token), 2, "handled, and still the cursor's");
    owner.push(node(&MESSAGE, 2, &token));
    assert!(!owner.settle(), "a message came");
    owner.drain();
    assert_eq!(Token::strong_count(&token), 2, "the cursor has moved on to the second");
    owner.run();
    assert_eq!(owner.logged(), [1, 2]);
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn settling_keeps_the_private_fifo_for_the_next_owner() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, _| unreachable!());
    owner.push(node(&MESSAGE, 1, &token));
    owner.drain();
    assert!(owner.settle(), "as a suspended handler does");
    assert_eq!(owner.inbox.length(0), 1);
    assert!(owner.push(node(&MESSAGE, 2, &token)));
    assert_eq!(owner.logged(), [1, 2]);
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_reused_node_is_never_the_cursors() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |owner, node| {
        // Back into the same inbox, at the same address, as another kind.
        // SAFETY: the owner's.
        unsafe { Node::set_vt(node, &MESSAGE) };
        owner.push(node);
    });
    owner.push(node(&REQUEST, 7, &token));
    owner.run();
    assert_eq!(owner.logged(), [7, 7]);
    assert_eq!(owner.inbox.length(owner.taken.load(crate::shim::atomic::Ordering::Relaxed)), 0);
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_reused_node_below_the_newest_needs_no_care() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, node| free_now(node));
    owner.push(node(&REQUEST, 1, &token));
    owner.push(node(&MESSAGE, 2, &token));
    owner.run();
    owner.push(node(&MESSAGE, 3, &token));
    assert_eq!(owner.logged(), [1, 2, 3]);
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn raise_and_wake_schedule_an_idle_owner_and_prevent_settling() {
    let owner = Owner::idle();
    assert_eq!(owner.inbox.raise(&owner.raised, 4), Push::Schedule);
    assert_eq!(owner.inbox.wake(), Push::Queued);
    assert_eq!(owner.inbox.wake(), Push::Queued);
    assert!(!owner.settle());
    assert_eq!(owner.drain(), Drained { woken: true, tagged: true, messages: 0 });
    assert_eq!(owner.drain(), Drained::default());
    assert_eq!(owner.raised.get(), 4);
    assert_eq!(owner.raised.take(5), 4);
    assert_eq!(owner.raised.take(5), 0);
    assert!(owner.settle());
    assert_eq!(owner.inbox.wake(), Push::Schedule);
}

#[test]
fn signs_beside_a_reused_node_are_seen() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, node| free_now(node));
    owner.push(node(&REQUEST, 1, &token));
    assert_eq!(owner.inbox.wake(), Push::Queued);
    assert_eq!(owner.inbox.raise(&owner.raised, 1), Push::Queued);
    assert_eq!(owner.drain(), Drained { woken: true, tagged: true, messages: 1 });
    owner.run();
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_closed_inbox_refuses_everything_and_keeps_its_count() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, _| unreachable!());
    for (vt, number) in [(&MESSAGE, 1), (&SIGNAL, 2), (&MESSAGE, 3)] {
        owner.push(node(vt, number, &token));
    }
    owner.drain();
    owner.push(node(&SIGNAL, 4, &token));
    assert_eq!(owner.close(), 3, "two messages, and the signal that nobody drained");
    assert_eq!(owner.logged(), [2]);
    assert!(!owner.push(node(&MESSAGE, 5, &token)));
    assert_eq!(owner.inbox.raise(&owner.raised, 1), Push::Closed);
    assert_eq!(owner.inbox.wake(), Push::Closed);
    assert!(!owner.inbox.close_if_idle());
    assert!(owner.inbox.is_closed() && !owner.inbox.is_idle());
    assert_eq!(owner.inbox.length(0), 2);
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn only_an_idle_inbox_is_closed_from_outside() {
    let inbox = Inbox::scheduled();
    assert!(!inbox.close_if_idle());
    let mut cursor = Cursor::new();
    // SAFETY: the test is the owner.
    assert!(unsafe { inbox.settle(&raw mut cursor) });
    assert!(inbox.close_if_idle());
    assert!(!inbox.close_if_idle());
}

#[test]
fn the_length_is_exact_beyond_the_bits_of_the_word() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, _| unreachable!());
    for number in 0..200_000 {
        owner.push(node(&MESSAGE, number, &token));
        if number % 3 == 0 {
            owner.push(node(&SIGNAL, number, &token));
        }
    }
    assert_eq!(owner.inbox.pushed(), 200_000);
    assert_eq!(owner.inbox.length(0), 200_000);
    owner.drain();
    for _ in 0..150_000 {
        let node = owner.cursor(Cursor::pop).unwrap();
        owner.handle(node);
    }
    assert_eq!(owner.inbox.length(150_000), 50_000);
    owner.run();
    assert_eq!(owner.inbox.length(200_000), 0);
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_length_asked_between_a_push_and_its_carry_is_not_negative() {
    let inbox = Inbox::scheduled();
    // As if 65,536 messages (the count came round twice) had been pushed and handled, and the last push had not yet carried.
    assert_eq!(inbox.pushed(), 0);
    assert_eq!(inbox.length(65_536), 0);
    assert_eq!(inbox.length(65_530), 6);
}

#[test]
fn a_push_that_wraps_the_count_keeps_the_inbox_until_it_is_over() {
    /// Sees, when it is dropped, that the push has nothing left to do.
    struct Kept<'a>(&'a Inbox, &'a std::cell::Cell<u32>);
    impl Drop for Kept<'_> {
        fn drop(&mut self) {
            self.1.set(self.0.pushed());
        }
    }
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, _| unreachable!());
    let seen = std::cell::Cell::new(0);
    for number in 1..=65_537 {
        let node = node(&MESSAGE, number, &token);
        // SAFETY: a fresh node, given away.
        let push = unsafe { owner.inbox.push_last(node, || Kept(&owner.inbox, &seen)) };
        assert_eq!(push, Push::Queued);
        assert_eq!(seen.get(), number / 32_768 * 32_768);
    }
    owner.run();
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_handler_of_signals_that_unwinds_loses_no_node() {
    let token = Token::new(());
    let inbox = Inbox::scheduled();
    let mut cursor = Cursor::new();
    for (vt, number) in [(&MESSAGE, 1), (&SIGNAL, 2), (&SIGNAL, 3), (&MESSAGE, 4)] {
        // SAFETY: fresh nodes, given away.
        assert_eq!(unsafe { inbox.push_one(node(vt, number, &token)) }, Push::Queued);
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        let on_signal = |cursor: &mut Cursor, signal| {
            retire(cursor, signal);
            panic!("in a signal");
        };
        // SAFETY: the test is the owner.
        unsafe { inbox.drain(&mut cursor, on_signal) }
    }));
    assert!(result.is_err());
    let mut numbers = Vec::new();
    while let Some(node) = cursor.pop() {
        numbers.push(number(node));
        retire(&mut cursor, node);
    }
    assert_eq!(numbers, [1, 3, 4]);
    // SAFETY: the test is the owner.
    unsafe { inbox.close(&mut cursor, keep) };
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn nodes_can_be_put_back_at_the_front() {
    let token = Token::new(());
    let mut cursor = Cursor::new();
    for number in [3, 2, 1] {
        // SAFETY: a fresh node, given away.
        unsafe { cursor.push_front(node(&MESSAGE, number, &token)) };
    }
    // SAFETY: as above.
    unsafe { cursor.push_back(node(&MESSAGE, 4, &token)) };
    for expected in 1..=4 {
        let node = cursor.pop().unwrap();
        assert_eq!(number(node), expected);
        retire(&mut cursor, node);
    }
    assert!(cursor.is_empty() && cursor.pop().is_none());
    assert_eq!(Token::strong_count(&token), 1);
}

/// Against a `Vec`: each place of FIFOs of up to four nodes, with one taken or put there.
#[test]
fn nodes_leave_and_enter_the_fifo_behind_any_other() {
    let token = Token::new(());
    for len in 0..=4_u32 {
        for place in 0..=len {
            let mut cursor = Cursor::new();
            let nodes: Vec<_> = (0..len).map(|number| node(&MESSAGE, number, &token)).collect();
            nodes.iter().for_each(|node| keep(&mut cursor, *node));
            let before = place.checked_sub(1).map(|before| nodes[before as usize]);
            // SAFETY: null or in the FIFO.
            let has = unsafe { cursor.has_behind(before) };
            assert_eq!(has, place < len);
            // SAFETY: as above.
            let taken = unsafe { cursor.take_behind(before) };
            assert_eq!(taken.map(number), (place < len).then_some(place));
            if let Some(taken) = taken {
                // Both ends are whole without it, and with it again.
                keep(&mut cursor, node(&MESSAGE, 10, &token));
                // SAFETY: `before` is in the FIFO still, and the node is ours.
                unsafe { cursor.put_behind(before, taken) };
            } else {
                // SAFETY: as above; a fresh node.
                unsafe { cursor.put_behind(before, node(&MESSAGE, 10, &token)) };
            }
            keep(&mut cursor, node(&MESSAGE, 11, &token));
            let mut seen = Vec::new();
            while let Some(node) = cursor.pop() {
                seen.push(number(node));
                retire(&mut cursor, node);
            }
            assert_eq!(seen, (0..len).chain([10, 11]).collect::<Vec<_>>());
        }
    }
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn a_guard_turns_plain_pushes_away_over_everything_that_happens_to_the_word() {
    let token = Token::new(());
    let owner = Owner::idle();
    let turned_away = || {
        let fresh = node(&MESSAGE, 0, &token);
        // SAFETY: a fresh node, given away.
        let push = unsafe { owner.inbox.push_one_plain(fresh) };
        if push.is_err() {
            free_now(fresh);
        }
        push
    };
    assert_eq!(turned_away(), Ok(Push::Schedule));
    owner.run();
    owner.inbox.guard();
    assert_eq!(turned_away(), Err(Barred::Guarded));
    for vt in [&MESSAGE, &SIGNAL, &REQUEST] {
        // Let in, or none of the guard's business. Drained, by whichever way, and settled.
        assert!(owner.push(node(vt, 1, &token)));
        assert!(owner.inbox.is_idle());
        assert_eq!(turned_away(), Err(Barred::Guarded));
    }
    assert_eq!(owner.inbox.raise(&owner.raised, 1), Push::Schedule);
    assert_eq!(turned_away(), Err(Barred::Guarded));
    assert!(owner.push(node(&REQUEST, 2, &token)) && owner.push(node(&SIGNAL, 3, &token)));
    owner.run();
    assert_eq!(turned_away(), Err(Barred::Guarded));
    assert_eq!(owner.inbox.pushed(), 4, "the plain one, and those let in that count");
    assert_eq!(owner.inbox.wake(), Push::Schedule);
    owner.close();
    assert_eq!(turned_away(), Err(Barred::Closed));
    assert_eq!(Token::strong_count(&token), 1);
}

#[test]
fn an_idle_guarded_inbox_closes() {
    let inbox = Inbox::idle();
    inbox.guard();
    assert!(inbox.is_idle() && !inbox.is_closed());
    assert!(inbox.close_if_idle());
    assert!(inbox.is_closed() && !inbox.is_idle());
}

#[test]
fn where_the_end_is_as_a_node_sees_it() {
    let token = Token::new(());
    let owner = Owner::with(Inbox::scheduled(), |_, node| free_now(node));
    let first = node(&MESSAGE, 1, &token);
    assert!(owner.push(first));
    assert_eq!(owner.inbox.end(first), End::Here);
    // Drained and not handled: it is still the newest.
    owner.drain();
    assert_eq!(owner.inbox.end(first), End::Here);
    let second = node(&REQUEST, 2, &token);
    assert!(owner.push(second));
    assert_eq!(owner.inbox.end(first), End::Elsewhere);
    assert_eq!(owner.inbox.end(second), End::Here);
    owner.drain();
    assert_eq!(owner.inbox.end(second), End::Elsewhere, "reused: nobody stands at it");
    assert!(owner.settle());
    assert_eq!(owner.inbox.end(first), End::Idle);
    assert!(owner.inbox.close_if_idle());
    assert_eq!(owner.inbox.end(first), End::Closed);
    owner.dispose();
    assert_eq!(Token::strong_count(&token), 1);
}

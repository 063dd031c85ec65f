//! Tokens on real threads.

use std::time::{Duration, Instant};

use super::super::Parker;
use crate::shim::atomic::{AtomicUsize, Ordering};
use crate::shim::{Arc, thread};

#[test]
fn token_before_park_is_taken_at_once() {
    let parker = Parker::new();
    assert!(!parker.unpark(), "nobody sleeps: no system call");
    parker.park();
    assert!(!parker.park_timeout(Duration::from_millis(1)), "the token was used up");
}

#[test]
fn tokens_do_not_add_up() {
    let parker = Parker::new();
    parker.unpark();
    parker.unpark();
    assert!(parker.park_timeout(Duration::from_secs(60)));
    assert!(!parker.park_timeout(Duration::from_millis(1)));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures real time")]
fn timeout_ends_without_a_token() {
    let parker = Parker::new();
    let started = Instant::now();
    let limit = Duration::from_millis(20);
    // Spurious returns are allowed, so sleep until the time is really up.
    while started.elapsed() < limit {
        assert!(!parker.park_timeout(limit - started.elapsed().min(limit)));
    }
    assert!(!parker.unpark(), "a timeout leaves nobody asleep");
}

#[test]
fn a_timeout_beyond_the_kernels_range_is_for_ever() {
    let parker = Arc::new(Parker::new());
    let waker = Arc::clone(&parker);
    let thread = thread::spawn(move || waker.unpark());
    while !parker.park_timeout(Duration::MAX) {}
    thread.join().unwrap();
}

/// Two threads hand a turn to each other; each lost token would stop the game.
#[test]
fn ping_pong_loses_no_token() {
    const TURNS: usize = 20_000;
    let turn = Arc::new(AtomicUsize::new(0));
    let parkers = Arc::new([Parker::new(), Parker::new()]);
    let play = |me: usize| {
        let (turn, parkers) = (Arc::clone(&turn), Arc::clone(&parkers));
        move || {
            loop {
                let now = turn.load(Ordering::Relaxed);
                if now >= TURNS {
                    parkers[1 - me].unpark();
                    return;
                }
                if now % 2 == me {
                    turn.store(now + 1, Ordering::Relaxed);
                    parkers[1 - me].unpark();
                } else if now % 3 == 0 {
                    parkers[me].park_timeout(Duration::from_secs(60));
                } else {
                    parkers[me].park();
                }
            }
        }
    };
    let threads = [thread::spawn(play(0)), thread::spawn(play(1))];
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(turn.load(Ordering::Relaxed), TURNS);
}

//! Counts of what happened in actors, cheap enough to take part in what is measured.
//!
//! A run checks itself by such counts: how many children were started, terminated and really
//! dropped. One shared atomic would cost each event a transfer of its line between the cores,
//! several times the work under test. So each thread counts in a line of its own, which only it
//! writes, and the reader adds them up.
//!
//! # Protocol
//!
//! A thread registers its counters at its first event; they are never freed (a few hundred bytes
//! for each worker that ever was). The owner stores, relaxed; any thread loads, relaxed. A total is
//! exact once whoever reads it has learnt, by a message or a monitor, that the last event is over:
//! that message carries the ordering.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// An actor's `init` is through.
    Started,
    /// An actor's `terminate` ran.
    Terminated,
    /// An actor's state was dropped: it has really ended.
    Ended,
    /// The numbers of the actors whose state was dropped, added up: each is a different one.
    EndedNumbers,
    /// A handler of a message that takes part in the count is through.
    Handled,
    /// A message that takes part in the count was dropped.
    Dropped,
}

/// Kinds of events.
const KINDS: usize = 6;

/// The counters of one thread, on lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counters([AtomicU64; KINDS]);

/// The counters of every thread that ever counted. Locked at a thread's first event and to add up.
static ALL: Mutex<Vec<&'static Counters>> = Mutex::new(Vec::new());

thread_local! {
    /// This thread's own entry of [`ALL`]. Without a destructor, so that a drop late in a thread's
    /// life may count.
    static MINE: Cell<Option<&'static Counters>> = const { Cell::new(None) };
}

/// Counts one event.
pub(crate) fn count(event: Event) {
    add(event, 1);
}

/// Adds to a count that is a sum.
pub(crate) fn add(event: Event, amount: u64) {
    let mine = MINE.get().unwrap_or_else(register);
    let counter = &mine.0[event as usize];
    // Load and store instead of an atomic add: this thread is the only writer.
    counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}

#[cold]
fn register() -> &'static Counters {
    let counters: &'static Counters = Box::leak(Box::default());
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(counters);
    MINE.set(Some(counters));
    counters
}

fn totals() -> [u64; KINDS] {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let mut totals = [0; KINDS];
    for counters in all.iter() {
        for (total, counter) in totals.iter_mut().zip(&counters.0) {
            *total += counter.load(Ordering::Relaxed);
        }
    }
    totals
}

/// Counts since a moment: one run's share of the process's totals. Runs follow one another, never
/// overlap.
#[derive(Debug)]
pub(crate) struct Tally {
    base: [u64; KINDS],
}

impl Tally {
    /// Starts from nought.
    pub(crate) fn start() -> Self {
        Self { base: totals() }
    }

    /// How many of these events there were since the start.
    pub(crate) fn of(&self, event: Event) -> u64 {
        totals()[event as usize] - self.base[event as usize]
    }
}

/// A value that counts its own drop: a message that must not vanish unseen.
#[derive(Debug)]
pub(crate) struct Token;

impl Drop for Token {
    fn drop(&mut self) {
        count(Event::Dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the totals are the process's, and tests run side by side.
    #[test]
    fn events_of_all_threads_add_up_from_the_start_of_a_tally() {
        count(Event::Handled);
        let tally = Tally::start();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..1_000 {
                        count(Event::Handled);
                        drop(Token);
                        add(Event::EndedNumbers, 3);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("the thread ends");
        }
        assert_eq!(tally.of(Event::Handled), 4_000);
        assert_eq!(tally.of(Event::Dropped), 4_000);
        assert_eq!(tally.of(Event::EndedNumbers), 12_000);
        assert_eq!(tally.of(Event::Ended), 0);
    }
}

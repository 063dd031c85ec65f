//! The word between a caller and who answers: who is to be woken, whether the answer is there, and
//! who frees what the two share.
//!
//! The memory around the word (a request that becomes its reply) and the value in it are not this
//! file's: it only says whose they are. Two parties use a word, the *caller* (one at a time, but it
//! may move: a call can be polled in one place and then in another) and the *replier* (who answers
//! once, or gives the obligation up, which is an answer as well).
//!
//! # States
//!
//! ```text
//!             arm                 complete              complete
//!   UNARMED -------> ARMED ----------------> TAKING ----------------> REPLIED
//!      |  ^            |  ^                  (target moved out)          ^
//!      |  +- rearm, ---+  |                                              |
//!      |     abandon   |  |                                              |
//!      +--------+      v  | (rearm ends)         complete                |
//!               +--> LOCKED ---------------------------------------------+
//!                      |                       (also from UNARMED)
//!                      +--abandon--> GONE
//! ```
//!
//! Beside these, `look` goes from `ARMED` to `TAKING` and back.
//!
//! # Who may write
//!
//! | field | writer | allowed when |
//! | --- | --- | --- |
//! | target | caller | before the request is sent, and in `LOCKED` |
//! | target | replier | in `TAKING` (`look` only reads it) |
//! | the value | replier | until `complete`, caller from `REPLIED` on |
//! | the memory | caller frees it | after it saw `REPLIED` |
//! | the memory | replier frees it | after `complete` answered `Abandoned` |
//!
//! # Operations
//!
//! *complete*: from `ARMED`, CAS to `TAKING`, move the target out, store `REPLIED`, and wake the
//! target. The move comes first because the caller may free everything as soon as `REPLIED` is
//! there. From `UNARMED` or `LOCKED`, CAS to `REPLIED`: nobody to wake; a caller in `LOCKED` finds
//! out when it unlocks. From `GONE`: the memory is the replier's.
//!
//! *rearm*: CAS `ARMED` or `UNARMED` to `LOCKED`, compare and swap the target, CAS `LOCKED` to
//! `ARMED`. If either CAS finds `REPLIED`, the answer is there.
//!
//! *abandon*: CAS to `LOCKED`, move the target out, CAS to `GONE`. If either finds `REPLIED`, all is
//! the caller's.
//!
//! *look*: CAS `ARMED` to `TAKING`, read the target, store `ARMED`. From any other state it sees none.
//!
//! *The one wait*: rearm and abandon that meet `TAKING` spin until it is over: the replier is between
//! its CAS and its store, with a move or a look at one value and no user code between them.
//!
//! # Orderings
//!
//! | operation | ordering | pairs with | what breaks if weaker |
//! | --- | --- | --- | --- |
//! | CAS to `TAKING` | Acquire | arm (through the send of the request), unlock of rearm | the target is read before it is written |
//! | store or CAS to `REPLIED` | Release | Acquire load or CAS of the caller | the value is read before it is written; memory is freed while the replier moves the target out |
//! | store of `ARMED` by look | Release | CAS to `LOCKED` | the target is changed while it is looked at |
//! | CAS to `LOCKED` | Acquire | store of `ARMED` by look | as above (the polls of one call are ordered, wherever they are) |
//! | CAS from `LOCKED` | Release, Acquire on failure | CAS to `TAKING`; store of `REPLIED` | as above |
//! | CAS to `GONE` | Release | Acquire load of complete | memory is freed while the caller still moves the target out |
//!
//! # Why nothing is lost
//!
//! A caller that goes to sleep has left `ARMED` with its own target in it, by a CAS (or before the
//! request was sent). Complete either came before that CAS, which then fails and says so, or
//! after, and takes that target. Exactly one of the two frees the memory: `GONE` and `REPLIED` are
//! final, and each party's last step is the CAS or store that reaches one of them, or its
//! acquire of the other.
//!
//! # Cost
//!
//! complete: one RMW. arm, `is_replied`: none. rearm, abandon: two each, on a call that moves or is
//! given up. look: one, for who writes reports.
//!
//! # Checked by
//!
//! loom: `tests/loom.rs` (poll in A, drop in B, reply in C). Threads: `tests/stress.rs`.
//! One thread, step by step: `tests/steps.rs`.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::shim::atomic::{AtomicUsize, Ordering};
use crate::shim::cell::UnsafeCell;
use crate::shim::{hint, thread};

/// No target. As made, or unlocked without one.
const UNARMED: usize = 0;
/// The caller waits; the target is there.
const ARMED: usize = 1;
/// The caller has the target in its hands.
const LOCKED: usize = 2;
/// The replier has the target in its hands.
const TAKING: usize = 3;
/// Final: value and memory are the caller's.
const REPLIED: usize = 4;
/// Final: value and memory are the replier's.
const GONE: usize = 5;

/// Rounds of [`hint::spin_loop`] before the thread gives its core up: the replier needs some ten
/// instructions, so that more rounds mean it was preempted.
const SPINS: u32 = if cfg!(loom) { 1 } else { 64 };

/// The word between a caller and who answers. `T` is whom to wake.
pub struct ReplyWord<T> {
    /// As wide as a pointer, so that there is no padding behind it: the other party may free the
    /// word while a `&self` is still in scope, and only bytes in cells may vanish under one.
    state: AtomicUsize,
    /// Whom to wake. See the table of writers above.
    target: UnsafeCell<Option<T>>,
}

// SAFETY: the target is handed from thread to thread, never shared: `LOCKED` and `TAKING` are
// locks, each held by one party.
unsafe impl<T: Send> Send for ReplyWord<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for ReplyWord<T> {}

/// What [`ReplyWord::rearm`] found.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a caller that was answered must not go to sleep"]
pub enum Rearm<T> {
    /// The target that was there will be woken.
    Kept,
    /// The new target will be woken. The old one, if there was one, is the caller's to drop.
    Replaced(Option<T>),
    /// The answer is there: value and memory are the caller's.
    Replied,
}

/// What the replier owes after [`ReplyWord::complete`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the caller sleeps until it is woken, and abandoned memory is the replier's to free"]
pub enum Complete<T> {
    /// Wake it. Neither the word nor the memory around it may be touched.
    Wake(T),
    /// The caller is gone: value and memory are the replier's.
    Abandoned,
    /// Nobody to wake: the caller will look by itself. Neither the word nor the memory around it
    /// may be touched.
    Unarmed,
}

/// What the caller owes after [`ReplyWord::abandon`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "memory with an answer in it is the caller's to free"]
pub enum Abandon<T> {
    /// The replier will free the memory; it must not be touched. The target is the caller's to
    /// drop.
    Pending(Option<T>),
    /// The answer came first: value and memory are the caller's.
    Replied,
}

impl<T> Default for ReplyWord<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> ReplyWord<T> {
    /// A word without a target, of a request that was not sent.
    pub fn new() -> Self {
        Self { state: AtomicUsize::new(UNARMED), target: UnsafeCell::new(None) }
    }

    /// Says whom to wake.
    ///
    /// # Safety
    ///
    /// The request was not sent yet: nobody else knows the word.
    #[inline]
    pub unsafe fn arm(&self, target: T) {
        // SAFETY: nobody else knows the word.
        let old = self.target.with_mut(|cell| unsafe { (*cell).replace(target) });
        // Relaxed: sending the request publishes it.
        self.state.store(ARMED, Ordering::Relaxed);
        drop(old);
    }

    /// Whether the answer is there. Once true, value and memory are the caller's.
    #[inline]
    pub fn is_replied(&self) -> bool {
        self.state.load(Ordering::Acquire) == REPLIED
    }

    /// Whether the caller has given up. Once true, nobody waits for the answer.
    #[inline]
    pub fn is_abandoned(&self) -> bool {
        self.state.load(Ordering::Acquire) == GONE
    }

    /// The caller polls again, perhaps from elsewhere: keeps the target if it is the `same`, else
    /// puts a `new` one in its place.
    ///
    /// If `same` or `new` unwinds, the target stays what it was.
    ///
    /// # Safety
    ///
    /// The caller has not abandoned the word, and nobody else acts for it now.
    pub unsafe fn rearm(&self, same: impl FnOnce(&T) -> bool, new: impl FnOnce() -> T) -> Rearm<T> {
        let Some(lock) = self.lock() else {
            return Rearm::Replied;
        };
        // SAFETY: the lock is held, so the target is the caller's.
        let is_same = self.target.with(|target| unsafe { &*target }.as_ref().is_some_and(same));
        if is_same {
            return match lock.unlock(ARMED) {
                Ok(()) => Rearm::Kept,
                Err(Replied) => Rearm::Replied,
            };
        }
        let new = new();
        // SAFETY: the lock is held, so the target is the caller's.
        let old = self.target.with_mut(|cell| unsafe { (*cell).replace(new) });
        match lock.unlock(ARMED) {
            Ok(()) => Rearm::Replaced(old),
            Err(Replied) => Rearm::Replied,
        }
    }

    /// The replier has written the value (or given up, where the value says so).
    ///
    /// # Safety
    ///
    /// The caller of this is the replier, and this is its one call.
    #[inline]
    pub unsafe fn complete(&self) -> Complete<T> {
        // Acquire: an abandoned word's memory is freed next.
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let (next, is_armed) = match state {
                GONE => return Complete::Abandoned,
                ARMED => (TAKING, true),
                _ => (REPLIED, false),
            };
            debug_assert!(state < TAKING, "answered twice");
            // Release is for `REPLIED`: the value. Acquire is for `TAKING`: the target.
            match self.state.compare_exchange(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if is_armed => break,
                Ok(_) => return Complete::Unarmed,
                Err(now) => state = now,
            }
        }
        // SAFETY: `TAKING` is the replier's lock on the target.
        let target = self.target.with_mut(|cell| unsafe { (*cell).take() });
        // The last access: the caller may free the memory from here on.
        self.state.store(REPLIED, Ordering::Release);
        match target {
            Some(target) => Complete::Wake(target),
            None => Complete::Unarmed,
        }
    }

    /// Looks at whom the answer would wake, before it is given. `None`: nobody now, or the target is in its
    /// owner's hands. `f` must not unwind, nor call anybody's code: the caller may wait for it.
    ///
    /// # Safety
    ///
    /// The caller of this is the replier, and has not called [`complete`](Self::complete).
    pub unsafe fn look<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        // Acquire: the target that is looked at.
        self.state.compare_exchange(ARMED, TAKING, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // SAFETY: `TAKING` is the replier's lock on the target.
        let seen = self.target.with(|target| unsafe { &*target }.as_ref().map(f));
        // Release: it was looked at before the caller changes it.
        self.state.store(ARMED, Ordering::Release);
        seen
    }

    /// The caller no longer wants the answer.
    ///
    /// # Safety
    ///
    /// As for [`rearm`](Self::rearm), and this is the caller's last call.
    pub unsafe fn abandon(&self) -> Abandon<T> {
        let Some(lock) = self.lock() else {
            return Abandon::Replied;
        };
        // SAFETY: the lock is held, so the target is the caller's.
        let target = self.target.with_mut(|cell| unsafe { (*cell).take() });
        // The last access: the replier may free the memory from here on.
        match lock.unlock(GONE) {
            Ok(()) => Abandon::Pending(target),
            Err(Replied) => Abandon::Replied,
        }
    }

    /// The caller takes the target into its hands. None: the answer is there.
    fn lock(&self) -> Option<Lock<'_, T>> {
        let mut spins = 0;
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            match state {
                REPLIED => return None,
                TAKING => {
                    wait(&mut spins);
                    state = self.state.load(Ordering::Acquire);
                }
                _ => {
                    debug_assert!(state == UNARMED || state == ARMED, "used after abandon");
                    // Acquire: the replier has looked at the target before it is changed. Else what is locked
                    // is the caller's own, from one poll to the next, and whoever moves a call between
                    // threads orders its polls.
                    match self.state.compare_exchange(
                        state,
                        LOCKED,
                        Ordering::Acquire,
                        Ordering::Acquire,
                    ) {
                        Ok(_) => return Some(Lock { word: self, back: state }),
                        Err(now) => state = now,
                    }
                }
            }
        }
    }
}

impl<T> fmt::Debug for ReplyWord<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state.load(Ordering::Relaxed) {
            UNARMED => "unarmed",
            ARMED => "armed",
            LOCKED => "locked",
            TAKING => "taking",
            REPLIED => "replied",
            _ => "gone",
        };
        f.debug_struct("ReplyWord").field("state", &state).finish_non_exhaustive()
    }
}

/// The answer came while the caller held the lock.
struct Replied;

/// `LOCKED`: the target is in the caller's hands. Dropped by an unwinding closure, it puts the
/// state back.
struct Lock<'a, T> {
    word: &'a ReplyWord<T>,
    back: usize,
}

impl<T> Lock<'_, T> {
    fn unlock(self, to: usize) -> Result<(), Replied> {
        let word = self.word;
        std::mem::forget(self);
        word.unlock(to)
    }
}

impl<T> Drop for Lock<'_, T> {
    fn drop(&mut self) {
        // An answer that came meanwhile is found by the next `rearm` or `abandon`.
        let _ = self.word.unlock(self.back);
    }
}

impl<T> ReplyWord<T> {
    fn unlock(&self, to: usize) -> Result<(), Replied> {
        // The state can only be `LOCKED` or, by the replier, `REPLIED`.
        self.state
            .compare_exchange(LOCKED, to, Ordering::Release, Ordering::Acquire)
            .map(drop)
            .map_err(|_| Replied)
    }
}

#[cold]
fn wait(spins: &mut u32) {
    if *spins < SPINS {
        *spins += 1;
        hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

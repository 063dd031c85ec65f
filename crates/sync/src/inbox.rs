//! The inbox: many senders, one owner at a time, one word that says what is queued and whether
//! the owner must be scheduled.
//!
//! It is R. K. Treiber's stack ("Systems programming: coping with parallelism", IBM RJ 5118,
//! 1986) with two changes. The owner reads it with a *cursor* instead of emptying it: what is newer
//! than the node it saw last is new, and that node stays allocated until the cursor moves on. And
//! the schedule state, a wake bit and the number of messages pushed live in the same word
//! (`word`), so that one CAS of a sender publishes a node, counts it and tells whether to
//! schedule, and one CAS of the owner proves that nothing came in and goes idle.
//!
//! # States
//!
//! ```text
//!                 push, raise, wake: Schedule
//!         IDLE ---------------------------------> owned (scheduled or running)
//!          | <----------------------------------   |   push, raise, wake: Queued (stays owned)
//!          |              settle                   |   drain (stays owned)
//!          | close_if_idle                         | close
//!          +--------------> CLOSED <---------------+   push, raise, wake: Closed (stays closed)
//! ```
//!
//! "Owned" is the absence of `IDLE` and `CLOSED`. There is exactly one owner: the one that made
//! the inbox by [`Inbox::scheduled`], or was told `Schedule`, or whoever those handed it to.
//!
//! # Who may write
//!
//! | field | writer | readers | allowed when |
//! | --- | --- | --- | --- |
//! | `head` | anyone, by RMW only | anyone | always |
//! | `wraps` | who wrapped the count | anyone | right after that push |
//! | [`Flags`], apart | anyone sets, the owner clears | anyone | always |
//! | [`Cursor`] | the owner | the owner | owned, or closed |
//! | a node's `next`, `vt`, payload | see [`node`](crate::node) | the same | |
//!
//! # Operations
//!
//! *push (newest, oldest, counted)*
//!
//! 1. read the word; if closed, give up: the chain is still the caller's;
//! 2. link `oldest` to the newest node (null when idle);
//! 3. CAS the word to `newest`, count + `counted`, `TAG` and `WOKEN` as they were, not idle; on
//!    failure from 1;
//! 4. if the count wrapped, add to `wraps` (a sender whom nothing else keeps the inbox for uses
//!    [`Inbox::push_last`]); if the word was idle, schedule the owner.
//!
//! *push_plain*: as push, but an inbox that is *guarded* is not pushed on either: the caller asks whoever guards it
//! ([`gate`](crate::gate) for instance), and pushes if it is let in.
//!
//! *raise (flags)*: set the flags; CAS the word to the same with `TAG` and not idle; if it was idle,
//! schedule. *wake*: the same with `WOKEN` and no flags. A CAS is made even when the bit is already
//! set: only a CAS shows that the bit was *still* set, and joins the release sequence.
//!
//! *drain* (owner)
//!
//! 1. read the word; if newest node and cursor agree and neither sign is set: done, no RMW;
//! 2. if a sign is set, clear both by `fetch_and` and go on with the word it returned;
//! 3. if the newest node is new and of a kind that is reused (`detach`), take everything by
//!    `fetch_and(kept)`: the word keeps its count and its guard, and the cursor stands nowhere;
//! 4. the nodes from the newest down to the cursor, exclusive, by address, are the new ones:
//!    reverse them; move the cursor to the newest, freeing the node it stood at if that was
//!    handled; hand the signals over in order, the rest goes to the private FIFO.
//!
//! One message alone, the most frequent case, takes a shorter way to the same end (`take_one`).
//!
//! *settle* (owner): take the cursor's position out; CAS the word from "that node is the newest,
//! no sign" to idle. On success neither inbox nor cursor may be touched: another thread may
//! own, run, close and free them already. What is left, freeing the handled node, uses the local
//! copy. On failure put the position back and drain again.
//!
//! *close* (owner): set `CLOSED` by `fetch_or`; the nodes from the word it returned down to the
//! cursor are handed out as by a last drain. *close_if_idle*: CAS from idle to closed; who
//! succeeds is the owner.
//!
//! # Orderings
//!
//! | operation | ordering | pairs with | what breaks if weaker |
//! | --- | --- | --- | --- |
//! | CAS of push | AcqRel | release: load of drain. acquire: settle | the owner reads a node before it is written; the new owner runs on state it does not see |
//! | load of drain | Acquire | every push up to the newest: each is an RMW, so it continues the release sequences of the earlier ones | as above |
//! | `fetch_or` on flags | Release, then CAS AcqRel | `fetch_and` of drain, then load of flags | the sign arrives before the flag: lost |
//! | CAS of wake | AcqRel | `fetch_and` of drain | what the waker wrote is not seen by the poll that follows |
//! | `fetch_and` of drain | Acquire | CAS of push, raise, wake | as for these three. No release: nobody takes anything over from an owner that goes on; and an RMW of any kind continues release sequences |
//! | CAS of settle | Release | the push, raise, wake or close_if_idle that finds idle | state written by this owner is not seen by the next. No acquire: the word has been read by drain, with acquire, in this very value |
//! | close, close_if_idle | AcqRel | pushes before; the load of who is told `Closed` | nodes to dispose of are not seen; the reason of the end is not seen |
//! | first load of push, raise, wake, settle | Relaxed | - | the CAS decides |
//!
//! No SeqCst: everything hangs on one word.
//!
//! # Why nothing is lost
//!
//! *A node between the last drain and settle.* Settle's CAS expects the cursor's node as newest. If a
//! push came, the newest node is another one: its address differs, since the cursor's node is still
//! allocated. If the list was empty (cursor nowhere), a push makes the address non-null, and only
//! the owner takes nodes away. So the CAS fails.
//!
//! *A flag or wake between the last look and settle.* It sets a bit of the same word; the CAS
//! expects none.
//!
//! *A reused node (the ABA that `detach` is for).* A request travels back as its own reply and is
//! freed by the caller while the callee's cursor still stands at it; a new message lands at its
//! address; settle's CAS would succeed over it, or drain would find nothing new. So the cursor never
//! stands at such a node: when it is the newest at a drain, the word is emptied. When it is not the
//! newest, its address is below the cursor and no walk reaches it.
//!
//! *ABA in push.* Between 1 and 3 the newest node may be drained, freed and pushed again at the
//! same address. The CAS then succeeds and links to what is the newest node: right. The count makes
//! it rarer still. (In terms of provenance the link was made from the older pointer; that is the one
//! place where this file relies on addresses alone, as every such stack does.)
//!
//! *A second owner.* `IDLE` is only removed by a CAS that expects it, so one of several senders is
//! told `Schedule`, or one `close_if_idle` succeeds.
//!
//! *Order.* Pushes are totally ordered by the word; reversal restores that order; signals and
//! messages keep it each. A signal is handed over when all earlier messages are in the FIFO.
//!
//! # Length
//!
//! The word counts the messages pushed, mod 2^15; `wraps` counts the times it wrapped. Nothing is
//! written after settle, so idle and closed words keep the count. Number queued = pushed − taken,
//! where the owner publishes what it took. Exact when no push is between its CAS and its add to
//! `wraps` (once in 32,768 messages); in between [`Inbox::length`] corrects itself when the result
//! would be negative, and else is low by 2^15 for that moment.
//!
//! # Cost
//!
//! push, raise, wake: one RMW and its load (raise two RMW). That some inboxes are guarded costs a push on another
//! nothing: it looks at one bit for both, guarded and closed. drain: a load; one RMW when a sign was
//! set, one when the newest node is a reused one. settle: one RMW. 16 bytes shared, 28 of the owner.
//!
//! The 16 bytes are the senders': while others send, each access of the owner to their line is a transfer
//! between cores, and so is the senders' next one. So the owner touches them once a batch, and what it uses for
//! each message (cursor, flags) should be kept on another line.
//!
//! # Checked by
//!
//! loom: `tests/loom_order.rs`, `tests/loom_signs.rs`, `tests/loom_close.rs`, `tests/loom_reuse.rs`.
//! A guarded one: [`gate`](crate::gate).
//! Threads: `tests/stress.rs`. One thread, step by step: `tests/steps.rs`.

mod batch;
mod cursor;
mod flags;
mod push;
mod word;

#[cfg(test)]
mod tests;

pub use cursor::Cursor;
pub use flags::Flags;
pub use push::{Barred, End, Push};

use std::fmt;
use std::ptr::{self, NonNull};

use crate::node::Node;
use crate::shim::atomic::{AtomicPtr, AtomicU32, Ordering};
use batch::{Batch, distribute};
use word::{CLEAR_SIGNS, CLOSE, COUNT_BITS, KEPT, Signs, Word};

/// The senders' half of an inbox, 16 bytes. The owner's half is a [`Cursor`].
#[repr(C)]
pub struct Inbox {
    /// Newest node, count and state: see [`word`]. Written by anyone, by RMW.
    head: AtomicPtr<Node>,
    /// How often the count in the word wrapped. Written by who wrapped it.
    wraps: AtomicU32,
    /// The user's, see [`Inbox::beside`].
    beside: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Inbox>() == 16);

/// What a drain found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Somebody called `wake` since the last drain.
    pub woken: bool,
    /// Somebody called `raise` since the last drain: look at the flags.
    pub tagged: bool,
    /// Number of nodes appended to the private FIFO by this drain.
    pub messages: u32,
}

impl Inbox {
    /// An inbox whose owner is the caller, who runs or schedules it.
    pub fn scheduled() -> Self {
        Self::with(Word::scheduled())
    }

    /// An inbox whose owner will be who is first told [`Push::Schedule`].
    pub fn idle() -> Self {
        Self::with(Word::idle())
    }

    fn with(word: Word) -> Self {
        Self { head: AtomicPtr::new(word.0), wraps: AtomicU32::new(0), beside: AtomicU32::new(0) }
    }

    /// Sets flags and has the owner look at them: [`Drained::tagged`].
    #[inline]
    pub fn raise(&self, which: &Flags, flags: u32) -> Push {
        which.set(flags);
        self.sign(Signs::TAGGED)
    }

    /// Four bytes that alignment leaves free, for whatever the user wants to be on the senders' line. Not touched
    /// by the inbox; zero at first.
    #[inline]
    #[must_use]
    pub fn beside(&self) -> &AtomicU32 {
        &self.beside
    }

    /// Has the owner poll again: [`Drained::woken`].
    #[inline]
    pub fn wake(&self) -> Push {
        self.sign(Signs::WOKEN)
    }

    /// Takes what came in since the last drain. Signals (nodes with
    /// [`NodeVt::urgent`](crate::node::NodeVt)) go to `on_signal`, in their order, at once; all
    /// other nodes to the private FIFO, in theirs. When a signal is handed over, the FIFO holds
    /// every node that came before it.
    ///
    /// A node that `on_signal` gets is its own, as one that `pop` gives: it ends with
    /// [`Cursor::retire`] after its payload was moved out, with [`Cursor::push_back`] if it turns
    /// out to be a message, or, a `detach` node, wherever it is reused.
    ///
    /// If `on_signal` unwinds, the nodes behind the one it has go to the FIFO, signals as well:
    /// nothing is lost, and closing disposes of them.
    ///
    /// # Safety
    ///
    /// The caller owns the inbox, and `cursor` is its cursor.
    #[inline]
    pub unsafe fn drain(
        &self,
        cursor: &mut Cursor,
        on_signal: impl FnMut(&mut Cursor, NonNull<Node>),
    ) -> Drained {
        let word = Word(self.head.load(Ordering::Acquire));
        debug_assert!(!word.is_idle() && !word.is_closed());
        if word.is_quiet(cursor.seen()) {
            return Drained::default();
        }
        if self.take_one(word, cursor) {
            return Drained { messages: 1, ..Drained::default() };
        }
        let (batch, signs) = self.take(word, cursor);
        let messages = if batch.urgent == 0 {
            batch.append_to(cursor)
        } else {
            distribute(batch, cursor, on_signal)
        };
        Drained { woken: signs.is_woken(), tagged: signs.is_tagged(), messages }
    }

    /// Whether nothing came in since the last drain: a hint to the owner, who may go on to
    /// [`settle`](Self::settle).
    #[inline]
    #[must_use]
    pub fn is_quiet(&self, cursor: &Cursor) -> bool {
        Word(self.head.load(Ordering::Relaxed)).is_quiet(cursor.seen())
    }

    /// Goes idle if nothing came in since the last drain. True: it is idle, the caller is no
    /// longer the owner, and neither the inbox nor the cursor may be touched by it again, since
    /// another thread may already have freed both. False: drain again.
    ///
    /// The private FIFO need not be empty: it stays in the cursor for the next owner.
    ///
    /// # Safety
    ///
    /// The caller owns the inbox, and `cursor` is its cursor. No reference to the cursor or to
    /// anything else that the next owner may write or free is used after the call, which is why
    /// this takes a raw pointer: a `&mut` argument would have to be valid until the return.
    #[inline]
    pub unsafe fn settle(&self, cursor: *mut Cursor) -> bool {
        let word = Word(self.head.load(Ordering::Relaxed));
        // SAFETY: the caller owns the cursor, at least until the CAS below succeeds.
        let position = unsafe { &mut *cursor };
        if !word.is_quiet(position.seen()) {
            return false;
        }
        let seen = position.detach();
        // Release: the next owner sees what this one wrote, the cursor included.
        let settled = self.head.compare_exchange(
            word.0,
            word.settled().0,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if settled.is_ok() {
            seen.leave();
            return true;
        }
        // SAFETY: the CAS failed, so the caller still owns the cursor.
        let position = unsafe { &mut *cursor };
        position.attach(seen);
        false
    }

    /// Closes an idle inbox. True: the caller alone owns it and its cursor now, and nothing was
    /// queued in it (the private FIFO may hold nodes). False: it is owned or closed already.
    #[inline]
    pub fn close_if_idle(&self) -> bool {
        let word = Word(self.head.load(Ordering::Relaxed));
        // Acquire: settle of the last owner. Release: who is told `Closed`. A failure means that
        // it is not idle any more: there is no second try.
        word.is_idle()
            && self
                .head
                .compare_exchange(word.0, word.closed().0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Closes the inbox. What was queued is taken as by a last [`drain`](Self::drain): signals go to
    /// `on_signal`, in their order, all other nodes to the private FIFO, for the caller to dispose
    /// of. Nothing is taken from an inbox that is closed already.
    ///
    /// # Safety
    ///
    /// The caller owns the inbox, and `cursor` is its cursor.
    pub unsafe fn close(
        &self,
        cursor: &mut Cursor,
        on_signal: impl FnMut(&mut Cursor, NonNull<Node>),
    ) {
        let word = Word(self.head.fetch_or(CLOSE, Ordering::AcqRel));
        debug_assert!(!word.is_idle());
        if word.is_closed() {
            return;
        }
        let batch = Batch::reverse(word.newest(), cursor.seen());
        cursor.advance(ptr::null_mut());
        if batch.urgent == 0 {
            batch.append_to(cursor);
        } else {
            distribute(batch, cursor, on_signal);
        }
    }

    /// Whether it is closed. Once true it stays true, and what the owner wrote before it closed
    /// is visible.
    #[inline]
    pub fn is_closed(&self) -> bool {
        Word(self.head.load(Ordering::Acquire)).is_closed()
    }

    /// Whether it was idle at that moment.
    #[inline]
    pub fn is_idle(&self) -> bool {
        Word(self.head.load(Ordering::Acquire)).is_idle()
    }

    /// Number of messages ever pushed, mod 2^32. Low by 2^15 while a push that wraps the count in
    /// the word is under way; exact when none is.
    #[inline]
    pub fn pushed(&self) -> u32 {
        loop {
            let wraps = self.wraps.load(Ordering::Acquire);
            let count = Word(self.head.load(Ordering::Acquire)).count();
            // The same wraps on both sides of the count: it is not a new `wraps` with an old count.
            if self.wraps.load(Ordering::Relaxed) == wraps {
                return (wraps << COUNT_BITS) | count;
            }
        }
    }

    /// Number of messages pushed and not taken, when the owner says it took `taken` so far (mod
    /// 2^32, read before this call). Anyone may ask at any time; exact when nothing is in flight.
    #[inline]
    pub fn length(&self, taken: u32) -> u32 {
        let mut length = self.pushed().wrapping_sub(taken);
        // Taken, hence pushed, but not yet added to `wraps`.
        while length.cast_signed() < 0 {
            length = length.wrapping_add(1 << COUNT_BITS);
        }
        length
    }

    /// Sets a bit of the word, by a CAS in any case: see the module's text.
    #[inline]
    fn sign(&self, signs: Signs) -> Push {
        let mut word = Word(self.head.load(Ordering::Relaxed));
        loop {
            if word.is_closed() {
                return self.refuse();
            }
            match self.exchange(word, word.signed(signs)) {
                Ok(push) => return push,
                Err(now) => word = now,
            }
        }
    }

    #[inline]
    fn exchange(&self, word: Word, new: Word) -> Result<Push, Word> {
        match self.head.compare_exchange_weak(word.0, new.0, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) if word.is_idle() => Ok(Push::Schedule),
            Ok(_) => Ok(Push::Queued),
            Err(now) => Err(Word(now)),
        }
    }

    /// The most frequent drain by far: one message came in, and nothing else. False: it is another
    /// one, and nothing was changed.
    #[inline]
    fn take_one(&self, word: Word, cursor: &mut Cursor) -> bool {
        let (newest, seen) = (word.newest(), cursor.seen());
        if word.signs() != Signs::NONE || newest == seen {
            return false;
        }
        // SAFETY: a newest node other than the cursor's was pushed, so it is not null.
        let node = unsafe { NonNull::new_unchecked(newest) };
        // SAFETY: it was pushed, and the owner of the inbox owns what was pushed.
        let vt = unsafe { Node::vt(node) };
        // SAFETY: as above.
        if vt.urgent || unsafe { Node::next(node) } != seen {
            return false;
        }
        let position = if vt.detach {
            // Nothing more came in, so this empties the word as `take` would.
            let emptied = Word(word.0.map_addr(|bits| bits & KEPT));
            if self.exchange(word, emptied).is_err() {
                return false;
            }
            ptr::null_mut()
        } else {
            newest
        };
        cursor.advance(position);
        // SAFETY: as above; its sender promised that its payload may change threads.
        unsafe { cursor.push_back(node) };
        true
    }

    /// Steps 2 to 4 of drain, up to the hand-over. `word` is not quiet.
    #[inline]
    fn take(&self, mut word: Word, cursor: &mut Cursor) -> (Batch, Signs) {
        let mut signs = Signs::NONE;
        if word.signs() != Signs::NONE {
            word = Word(self.head.fetch_and(CLEAR_SIGNS, Ordering::Acquire));
            signs = word.signs();
        }
        let seen = cursor.seen();
        let mut position = word.newest();
        if position == seen {
            return (Batch::EMPTY, signs);
        }
        // SAFETY: a word with a newest node other than the cursor's was made by a push, which took
        // a pointer that is not null; the cursor's own is the only one that can be left over.
        let newest = unsafe { NonNull::new_unchecked(position) };
        // SAFETY: it was pushed, and the owner of the inbox owns what was pushed.
        if unsafe { Node::vt(newest) }.detach {
            word = Word(self.head.fetch_and(KEPT, Ordering::Acquire));
            signs = signs.with(word.signs());
            position = ptr::null_mut();
        }
        let batch = Batch::reverse(word.newest(), seen);
        cursor.advance(position);
        (batch, signs)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("word", &Word(self.head.load(Ordering::Relaxed)))
            .field("pushed", &self.pushed())
            .finish()
    }
}

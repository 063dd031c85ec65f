//! What a worker lets others see of what it is about: which process it runs, and what the message in hand is called.
//!
//! It lies among the worker's thread-locals, so that the worker writes it as it would write any of them, without a
//! pointer to follow; who looks finds it by a pointer that the worker registers while it is one ([`Workers`]).
//!
//! # Who may write
//!
//! | what | writer | readers | when |
//! | --- | --- | --- | --- |
//! | [`Seen`] of a thread | that thread | who holds the lock of [`Workers`] | while the thread is registered |
//! | [`InHand`] of a process | its owner | who keeps its cell | any time |
//! | [`Workers`] | a worker that comes or goes | who holds its lock | any time |
//!
//! # Orderings
//!
//! [`InHand`] has a version, odd while it is written. Each field is stored with Release behind the odd version and
//! loaded with Acquire ahead of the second look at it: a reader that gets a new field sees the new version as well,
//! and looks again. `current` and the counters stand alone: Relaxed. All of it is advisory, and nothing hangs on it;
//! so a model has plain cells here ([`Number`], [`Pointer`]), and no readers.
//!
//! # Cost
//!
//! A turn: none, it writes which cell it runs anyway. A message of an actor that names its messages: seven plain
//! stores. A spawn and the end of a process: none, they count cells anyway.
#![expect(unsafe_code, reason = "thread-locals of workers are reached by pointer")]

use std::ptr::null_mut;

#[cfg(not(loom))]
use whitebeam_sync::shim::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::cell::{CellPtr, Header};

/// A number that one thread writes and others look at.
#[cfg(not(loom))]
#[derive(Default)]
pub(crate) struct Number(AtomicU64);

/// A pointer that one thread writes and others look at.
#[cfg(not(loom))]
pub(crate) struct Pointer<T>(AtomicPtr<T>);

#[cfg(not(loom))]
impl Number {
    pub(crate) const fn new(value: u64) -> Self {
        Number(AtomicU64::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

#[cfg(not(loom))]
impl<T> Pointer<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        Pointer(AtomicPtr::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> *mut T {
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set(&self, value: *mut T) {
        self.0.store(value, Ordering::Release);
    }
}

/// As on threads, without readers.
#[cfg(loom)]
#[derive(Default)]
pub(crate) struct Number(std::cell::Cell<u64>);

/// As on threads, without readers.
#[cfg(loom)]
pub(crate) struct Pointer<T>(std::cell::Cell<*mut T>);

#[cfg(loom)]
impl Number {
    pub(crate) const fn new(value: u64) -> Self {
        Number(std::cell::Cell::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.set(value);
    }
}

#[cfg(loom)]
impl<T> Pointer<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        Pointer(std::cell::Cell::new(value))
    }

    pub(crate) fn get(&self) -> *mut T {
        self.0.get()
    }

    pub(crate) fn set(&self, value: *mut T) {
        self.0.set(value);
    }
}

/// What a message that is being handled is called.
pub(crate) struct InHand {
    version: Number,
    /// Whose it is. Null: nobody's.
    of: Pointer<Header>,
    name: Pointer<u8>,
    len: Number,
    /// When it was taken, in nanoseconds of the runtime's time, and [`UNTIMED`] if nobody looked at the clock.
    since: Number,
}

/// See [`InHand::since`].
const UNTIMED: u64 = u64::MAX;

/// What is known of the message in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handled {
    /// Its name, if its actor gives it one.
    pub(crate) name: Option<&'static str>,
    /// When it was taken, if that was looked at.
    pub(crate) since: Option<u64>,
}

impl InHand {
    pub(crate) const fn new() -> Self {
        InHand {
            version: Number::new(0),
            of: Pointer::new(null_mut()),
            name: Pointer::new(null_mut()),
            len: Number::new(0),
            since: Number::new(UNTIMED),
        }
    }

    /// Called by the one writer.
    #[inline]
    pub(crate) fn set(&self, of: CellPtr, what: Handled) {
        let version = self.version.get();
        self.version.set(version.wrapping_add(1));
        let name = what.name.unwrap_or("");
        self.of.set(of.as_ptr());
        self.name.set(if what.name.is_some() { name.as_ptr().cast_mut() } else { null_mut() });
        self.len.set(name.len() as u64);
        self.since.set(what.since.unwrap_or(UNTIMED));
        self.version.set(version.wrapping_add(2));
    }

    /// Nothing is in hand any more. Called by the one writer.
    #[inline]
    pub(crate) fn clear(&self) {
        self.of.set(null_mut());
    }

    /// What `of` has in hand, if that is here. `None` as well if the writer has changed it again and again meanwhile.
    pub(crate) fn read(&self, of: CellPtr) -> Option<Handled> {
        // One that handles a message each few nanoseconds has no message in hand to speak of.
        const TRIES: u32 = 8;
        for _ in 0..TRIES {
            let version = self.version.get();
            if self.of.get() != of.as_ptr() {
                return None;
            }
            let (name, len, since) = (self.name.get(), self.len.get(), self.since.get());
            if version.is_multiple_of(2) && self.version.get() == version {
                let name = (!name.is_null()).then(|| {
                    // SAFETY: pointer and length of one `&'static str`: both were written between two versions.
                    let bytes = unsafe { std::slice::from_raw_parts(name, len as usize) };
                    // SAFETY: as above: it was a str.
                    unsafe { std::str::from_utf8_unchecked(bytes) }
                });
                return Some(Handled { name, since: (since != UNTIMED).then_some(since) });
            }
            std::hint::spin_loop();
        }
        None
    }
}

impl Default for InHand {
    fn default() -> Self {
        Self::new()
    }
}

/// What a thread lets others see. In its thread-locals.
pub(crate) struct Seen {
    /// The cell whose code runs, null for none.
    pub(crate) current: Pointer<Header>,
    /// What that has in hand, if its actor names its messages.
    pub(crate) in_hand: InHand,
    /// Cells made by this thread since it became a worker.
    pub(crate) made: Number,
    /// Cells freed by it.
    pub(crate) freed: Number,
}

impl Seen {
    pub(crate) const fn new() -> Self {
        Seen {
            current: Pointer::new(null_mut()),
            in_hand: InHand::new(),
            made: Number::new(0),
            freed: Number::new(0),
        }
    }

    /// Cells made less those freed.
    pub(crate) fn cells(&self) -> isize {
        self.made.get().wrapping_sub(self.freed.get()) as isize
    }
}

/// The threads that are workers of a runtime now, or stand in for one.
#[derive(Default)]
pub(crate) struct Workers {
    here: Vec<Worker>,
    /// Cells made by those that have gone.
    made: u64,
}

struct Worker {
    /// Its number, if it has one.
    index: Option<usize>,
    seen: *const Seen,
}

// SAFETY: a `Seen` is shared: all of it are atomics. It is there as long as the thread is registered.
unsafe impl Send for Worker {}

impl Workers {
    /// A thread becomes a worker.
    ///
    /// # Safety
    /// `seen` stays where it is until [`remove`](Self::remove).
    pub(crate) unsafe fn add(&mut self, index: Option<usize>, seen: *const Seen) {
        self.here.push(Worker { index, seen });
    }

    /// The thread is none any more.
    pub(crate) fn remove(&mut self, seen: &Seen) {
        self.here.retain(|worker| !std::ptr::eq(worker.seen, seen));
        self.made += seen.made.get();
    }

    fn each(&self) -> impl Iterator<Item = (Option<usize>, &Seen)> {
        // SAFETY: registered, by the contract of `add`; the lock, which the caller holds, keeps it so.
        self.here.iter().map(|worker| (worker.index, unsafe { &*worker.seen }))
    }

    /// Cells that workers made.
    pub(crate) fn made(&self) -> u64 {
        self.made + self.each().map(|(_, seen)| seen.made.get()).sum::<u64>()
    }

    /// What `cell` has in hand on a worker. The caller keeps the cell.
    pub(crate) fn in_hand(&self, cell: CellPtr) -> Option<Handled> {
        self.each().find_map(|(_, seen)| seen.in_hand.read(cell))
    }

    /// Which worker runs `cell` now.
    pub(crate) fn runs(&self, cell: CellPtr) -> Option<usize> {
        self.each().find_map(|(index, seen)| index.filter(|_| seen.current.get() == cell.as_ptr()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::ptr::NonNull;

    #[test]
    fn a_name_is_read_whole_or_not_at_all() {
        const NAMES: [&str; 3] = ["A", "a much longer name", ""];
        let in_hand = InHand::new();
        // SAFETY: compared, never followed.
        let whose = unsafe { CellPtr::new(NonNull::dangling()) };
        assert_eq!(in_hand.read(whose), None);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut read = 0;
                while read < 10_000 {
                    if let Some(found) = in_hand.read(whose) {
                        let name = found.name.expect("each has one");
                        assert!(NAMES.contains(&name), "{name:?}");
                        assert_eq!(found.since, Some(name.len() as u64));
                        read += 1;
                    }
                }
            });
            let mut n = 0;
            while !reader.is_finished() {
                let name = NAMES[n % NAMES.len()];
                in_hand.set(whose, Handled { name: Some(name), since: Some(name.len() as u64) });
                n += 1;
            }
            // ThreadSanitizer does not see the scope's own wait.
            reader.join().expect("no panic");
        });
        in_hand.set(whose, Handled { name: None, since: None });
        assert_eq!(in_hand.read(whose), Some(Handled { name: None, since: None }));
        in_hand.clear();
        assert_eq!(in_hand.read(whose), None);
    }
}

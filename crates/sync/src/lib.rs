//! Lock-free parts of the Whitebeam runtime. Nothing here knows what an actor is.
//!
//! | module | what it is | its protocol |
//! | --- | --- | --- |
//! | [`shim`] | atomics, cells, threads and locks: std's own, or loom's under `cfg(loom)` | - |
//! | [`node`] | the header of everything that can be pushed on an inbox | at the head of the file |
//! | [`inbox`] | many senders, one owner; one word says what is queued and whether to schedule | at the head of the file |
//! | [`gate`] | how many may come in, exactly, and nobody past those who wait | at the head of the file |
//! | [`reply`] | the word between a caller and who answers | at the head of the file |
//! | [`slab`] | type-stable memory whose slots are named by index and generation | at the head of the file |
//! | [`parker`] | one thread sleeps until another wakes it | at the head of the file |
//! | [`idle`] | who is awake, and whom a send must wake | at the head of the file |
//! | [`idle`] | which workers sleep or search, and whom a push must wake | at the head of the file |
//! | [`lookout`] | one thread looks after others while they work, and sleeps when they do not | at the head of the file |
//! | [`steal_slot`] | a slot that costs its owner nothing and that others can empty | at the head of the file |
//! | [`prefetch`](prefetch()) | memory that is asked for ahead of time | none: it is a hint |
//! | [`barrier`] | a barrier on all threads of the process, paid by who asks | at the head of the file |
//!
//! Each protocol is written down beside its code and checked by a loom model, by a stress test
//! and under ThreadSanitizer. The other crates take atomics and locks from [`shim`] only, so that
//! nothing escapes a model.

#![deny(unsafe_code)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("whitebeam packs a count into the upper bits of pointers: 64-bit targets only");

pub mod shim;

#[expect(unsafe_code, reason = "the header of intrusive lists")]
pub mod node;

#[expect(unsafe_code, reason = "an intrusive lock-free list")]
pub mod inbox;

pub mod gate;

#[expect(unsafe_code, reason = "a cell whose ownership follows a state word")]
pub mod reply;

#[expect(unsafe_code, reason = "raw memory and free lists through it")]
pub mod slab;

// Not `expect`, as for `barrier`: under loom there is no kernel to talk to.
#[allow(unsafe_code, reason = "system calls")]
pub mod parker;

pub mod idle;

pub mod lookout;

// Not `expect`: an instruction that not every processor has.
#[allow(unsafe_code, reason = "an instruction without a safe name")]
mod prefetch;

pub use self::prefetch::prefetch;

#[expect(unsafe_code, reason = "a slot shared by an owner and thieves")]
pub mod steal_slot;

#[allow(unsafe_code, reason = "a system call")]
pub mod barrier;

//! Tests of the slot: one thread, an owner against thieves, and `loom_steal_slot`, the model.

#[cfg(loom)]
mod loom_steal_slot;
#[cfg(not(loom))]
mod stress;

use std::ptr::{self, NonNull};

/// A content that is only a number.
fn content(number: usize) -> NonNull<()> {
    NonNull::new(ptr::without_provenance_mut(number)).expect("tests use numbers above zero")
}

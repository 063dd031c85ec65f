//! A cell as a waker.
//!
//! Waking sets a bit in the inbox's word and schedules the cell if it was idle: one read-modify-write,
//! no allocation. The waker that a frame is polled with counts no reference; a clone does, and may
//! outlive the actor: its word is closed by then, and waking does nothing.
//!
//! A frame that wakes itself while it is polled asks for another poll, as a yield does: it gets that in its next turn,
//! behind all others (`YIELDED`). Polled again at once, it would use up the turn by asking.
#![expect(unsafe_code, reason = "a raw waker is a pointer and a table")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{
    mem::ManuallyDrop,
    ptr::NonNull,
    task::{RawWaker, RawWakerVTable, Waker},
};

use crate::{
    cell::{CellPtr, Header, bit},
    local,
};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// The waker for polling `cell`'s frame: valid while the cell is allocated, so it is not dropped.
#[inline]
pub(crate) fn borrowed(cell: CellPtr) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(cell.as_ptr().cast_const().cast(), &VTABLE);
    // SAFETY: the table's functions keep the contract of RawWaker: thread-safe, clones are counted.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// Whether waking `waker` wakes `cell`, by the cell's own waker.
#[inline]
pub(crate) fn is_of(waker: &Waker, cell: CellPtr) -> bool {
    std::ptr::eq(waker.data().cast::<Header>(), cell.as_ptr())
        && std::ptr::eq(waker.vtable(), &VTABLE)
}

fn cell(data: *const ()) -> CellPtr {
    let header = data.cast_mut().cast::<Header>();
    // SAFETY: wakers are made from cells only, and the cell is allocated: the poll or the clone's
    // counted reference keeps it.
    unsafe { CellPtr::new(NonNull::new_unchecked(header)) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    let _ = cell(data).to_ref().into_ptr();
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    let cell = cell(data);
    note_yield(cell);
    wake_cell(cell);
    cell.release();
}

unsafe fn wake_by_ref(data: *const ()) {
    let cell = cell(data);
    note_yield(cell);
    wake_cell(cell);
}

/// Its frame is woken: by itself, if this thread is polling it.
#[inline]
fn note_yield(cell: CellPtr) {
    if local::is_polling(cell) {
        // By the owner, since its code runs here.
        cell.header().set(bit::YIELDED);
    }
}

unsafe fn drop(data: *const ()) {
    cell(data).release();
}

/// Has the suspended frame of `cell` polled again.
pub(crate) fn wake_cell(cell: CellPtr) {
    let push = cell.header().inbox.wake();
    cell.follow(push);
}

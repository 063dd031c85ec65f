//! Addresses of a part of an actor's messages.
//!
//! A narrowed address takes `Sub`s for an actor whose messages are `M: From<Sub>`. What is sent through it
//! travels as the `Sub` that it is, with the way from there to an `M`, and becomes one when its receiver takes
//! it out of the mailbox: a refused message is the `Sub` that it was, and the sender runs none of the
//! receiver's code.
//!
//! ```text
//!   ActorRef<Sub> { cell, via }      NarrowNode<Sub> { node, via, sub }          a message
//!                                    CallNode { .., Narrowed<Sub> { via, sub } } a request
//! ```
//!
//! A [`Via`] is one word: it points to the table of one conversion, a constant, or to a [`Chain`] of several,
//! which is counted. An ordinary address has none: null, which is looked at by each send.
//!
//! # Who may touch what
//!
//! Tables and chains are never written once they are made. A way is erased twice: in a node, whose receiver
//! knows `M` alone, and in a child's slot. That it ends at the receiver's `M` is kept by how ways are made:
//! [`Via::to`] makes a step to `M` only beside an address of `M`s, and goes on with that address's own way.
//!
//! # Panics
//!
//! The conversion is the receiver's code: if it panics, the receiver ends with that panic, as if its handler had.
//! The node is given back, and a reply that was in the `Sub` is answered with the reason.
#![expect(unsafe_code, reason = "ways forget their types, and nodes carry them by pointer")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "naming a place through a pointer and using it are one access"
)]

use std::{
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit, offset_of},
    ptr::NonNull,
    sync::Arc,
};

use whitebeam_sync::node::{Node, NodeVt};

use crate::{
    SendError, call,
    cell::CellPtr,
    message::{self, Carried, Refused, tag},
    reference,
};

/// The way from a `Sub` to the messages of some actor.
pub(crate) struct Via<Sub> {
    way: Way,
    _from: PhantomData<fn(Sub)>,
}

/// A [`Via`] that has forgotten where it begins.
pub(crate) struct Way(NonNull<Table>);

// SAFETY: what it points to is never written, and counted atomically; there is no value of any message in it.
unsafe impl Send for Way {}
// SAFETY: as above.
unsafe impl Sync for Way {}

/// What a way does, whatever its types: of a way that begins with a `Sub`.
#[repr(C)]
struct Table {
    /// Moves the `Sub` at the first place out, before anything else, and writes what it becomes to the second.
    convert: unsafe fn(NonNull<Table>, *const (), *mut ()),
    /// The way that goes on where this one ends.
    then: unsafe fn(NonNull<Table>, Way) -> Way,
    /// Bytes from a [`NarrowNode`] to its `Sub`.
    in_message: usize,
    /// Bytes from a [`Narrowed`] to its `Sub`.
    in_request: usize,
    /// It begins a [`Chain`].
    is_chain: bool,
}

/// One conversion, and the way on from there. In an [`Arc`].
#[repr(C)]
struct Chain {
    table: Table,
    rest: Way,
}

/// The conversion of a `Sub` into an `M`.
struct Step<Sub, M>(PhantomData<fn(Sub) -> M>);

impl<Sub, M: From<Sub>> Step<Sub, M> {
    const TABLE: Table = Table {
        convert: Self::convert,
        then: Self::then,
        in_message: offset_of!(NarrowNode<Sub>, sub),
        in_request: offset_of!(Narrowed<Sub>, sub),
        is_chain: false,
    };

    /// The function behind [`Table::convert`].
    unsafe fn convert(_: NonNull<Table>, from: *const (), to: *mut ()) {
        // SAFETY: the caller has a `Sub` there that it gives up.
        let sub = unsafe { from.cast::<Sub>().read() };
        // SAFETY: the caller has room for an `M` there.
        unsafe { to.cast::<M>().write(M::from(sub)) };
    }

    /// The function behind [`Table::then`].
    unsafe fn then(_: NonNull<Table>, rest: Way) -> Way {
        Self::chain(rest)
    }

    fn chain(rest: Way) -> Way {
        let (convert, then) = (Self::convert_on as _, Self::then_on as _);
        let table = Table { convert, then, is_chain: true, ..Self::TABLE };
        let chain = Arc::into_raw(Arc::new(Chain { table, rest })).cast_mut();
        // SAFETY: an `Arc` is not at address zero.
        Way(unsafe { NonNull::new_unchecked(chain) }.cast())
    }

    /// As [`convert`](Self::convert), of a chain.
    unsafe fn convert_on(chain: NonNull<Table>, from: *const (), to: *mut ()) {
        // SAFETY: the caller has a `Sub` there that it gives up.
        let sub = unsafe { from.cast::<Sub>().read() };
        let middle = ManuallyDrop::new(M::from(sub));
        // SAFETY: in the table of a chain, which the caller keeps.
        let rest = unsafe { &chain.cast::<Chain>().as_ref().rest };
        // SAFETY: the rest begins with an `M`, which is given up here; where it ends the caller knows.
        unsafe { rest.convert((&raw const middle).cast(), to) };
    }

    /// As [`then`](Self::then), of a chain.
    unsafe fn then_on(chain: NonNull<Table>, next: Way) -> Way {
        // SAFETY: in the table of a chain, which the caller keeps.
        let rest = unsafe { &chain.cast::<Chain>().as_ref().rest };
        Self::chain(rest.then(next))
    }
}

impl Way {
    #[inline]
    fn table(&self) -> &Table {
        // SAFETY: a constant, or a chain that this counts in.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// At `from` is what the way begins with, which is given up, and at `to` there is room for what it ends with.
    unsafe fn convert(&self, from: *const (), to: *mut ()) {
        // SAFETY: the caller's word; the table is this way's own.
        unsafe { (self.table().convert)(self.0, from, to) };
    }

    /// This way, and then `next`, which begins where this one ends.
    fn then(&self, next: Way) -> Way {
        // SAFETY: the table is this way's own.
        unsafe { (self.table().then)(self.0, next) }
    }
}

impl Clone for Way {
    #[inline]
    fn clone(&self) -> Self {
        if self.table().is_chain {
            // SAFETY: made by `Arc::into_raw` in `Step::chain`, and counted by `self`.
            unsafe { Arc::increment_strong_count(self.0.cast::<Chain>().as_ptr()) };
        }
        Way(self.0)
    }
}

impl Drop for Way {
    #[inline]
    fn drop(&mut self) {
        if self.table().is_chain {
            // SAFETY: as in `clone`; this one's count goes.
            unsafe { Arc::decrement_strong_count(self.0.cast::<Chain>().as_ptr()) };
        }
    }
}

impl<Sub> Via<Sub> {
    /// The way of an address that is narrowed from `M`s to `Sub`s, and that had `on` itself.
    pub(crate) fn to<M: From<Sub>>(on: Option<&Via<M>>) -> Self {
        let step = Way(NonNull::from(const { &Step::<Sub, M>::TABLE }));
        let way = on.map(|on| step.then(on.way.clone()));
        Via { way: way.unwrap_or(step), _from: PhantomData }
    }

    /// Forgets where it begins.
    pub(crate) fn erased(self) -> Way {
        self.way
    }

    /// The way of an address with the way `via` to what has the way `on`, which begins with what `via` ends with,
    /// or with a `Sub` if there is none.
    #[inline]
    pub(crate) fn joined(via: Option<&Via<Sub>>, on: Option<&Way>) -> Option<Via<Sub>> {
        let way = match (via, on) {
            (None, None) => return None,
            (Some(via), None) => via.way.clone(),
            (None, Some(on)) => on.clone(),
            (Some(via), Some(on)) => via.way.then(on.clone()),
        };
        Some(Via { way, _from: PhantomData })
    }
}

impl<Sub> Clone for Via<Sub> {
    #[inline]
    fn clone(&self) -> Self {
        Via { way: self.way.clone(), _from: PhantomData }
    }
}

/// A narrowed message in its node. The way's place does not depend on `Sub`.
#[repr(C)]
struct NarrowNode<Sub> {
    node: Node,
    way: Way,
    sub: Sub,
}

/// A narrowed request. The way's place does not depend on `Sub`.
#[repr(C)]
pub(crate) struct Narrowed<Sub> {
    way: Way,
    sub: Sub,
}

impl<Sub> Narrowed<Sub> {
    pub(crate) fn new(via: Via<Sub>, sub: Sub) -> Self {
        Narrowed { way: via.way, sub }
    }
}

impl<Sub> NarrowNode<Sub> {
    const VT: NodeVt = NodeVt {
        tag: tag::NARROWED,
        counted: true,
        urgent: false,
        detach: false,
        free: free::<Sub>,
        dispose: dispose::<Sub>,
    };
    /// Of a timer.
    const UNCOUNTED: NodeVt = NodeVt { counted: false, ..Self::VT };
    /// For the priority lane.
    const URGENT: NodeVt = NodeVt { urgent: true, ..Self::VT };
}

/// A message for an actor at the end of the way that the runtime sends in the user's name.
pub(crate) fn carried_uncounted<Sub: Send + 'static>(via: &Via<Sub>, msg: Sub) -> Carried {
    let node = Node::new(const { &NarrowNode::<Sub>::UNCOUNTED });
    let whole = Box::into_raw(Box::new(NarrowNode { node, way: via.way.clone(), sub: msg }));
    // SAFETY: a box is not null.
    Carried::adopt(unsafe { NonNull::new_unchecked(whole) }.cast())
}

/// Allocates a node for `msg` that is handed over where the inbox is drained, to an actor at the end of the way.
pub(crate) fn urgent<Sub: 'static>(via: &Via<Sub>, msg: Sub) -> NonNull<Node> {
    let node = Node::new(const { &NarrowNode::<Sub>::URGENT });
    let whole = Box::new(NarrowNode { node, way: via.way.clone(), sub: msg });
    // SAFETY: a box is not null.
    unsafe { NonNull::new_unchecked(Box::into_raw(whole)) }.cast()
}

/// As [`reference::cast`](crate::reference::cast), to an actor at the end of the way.
#[cold]
#[inline(never)]
pub(crate) fn cast<Sub: Send + 'static>(
    cell: CellPtr,
    via: &Via<Sub>,
    msg: Sub,
) -> Result<(), SendError<Sub>> {
    let node = node(via, msg);
    match message::push(cell, node) {
        Ok(push) => {
            cell.follow(push);
            Ok(())
        }
        Err(barred) => reference::not_pushed(cell, node, barred, true),
    }
}

/// Allocates a node for `msg`, which is to go that way.
pub(crate) fn node<Sub: 'static>(via: &Via<Sub>, msg: Sub) -> NonNull<Node> {
    let node = Node::new(const { &NarrowNode::<Sub>::VT });
    let whole = Box::into_raw(Box::new(NarrowNode { node, way: via.way.clone(), sub: msg }));
    // SAFETY: a box is not null.
    unsafe { NonNull::new_unchecked(whole) }.cast::<Node>()
}

/// A refused node, made by [`node`] for this very `Sub`, as an error's body: that owns a plain node.
#[cold]
pub(crate) fn refused<Sub: 'static>(node: NonNull<Node>) -> Refused<Sub> {
    // SAFETY: refused: the caller's, and whole.
    let whole = unsafe { Box::from_raw(node.cast::<NarrowNode<Sub>>().as_ptr()) };
    message::refused(message::node(whole.sub))
}

/// Moves a narrowed message or request out of its node, and makes it what its receiver takes.
///
/// # Safety
/// The caller owns `cell`, whose messages are `M`s, holds no reference to its cursor, and has popped `node` from
/// it, with [`tag::NARROWED`] or [`tag::NARROWED_CALL`].
pub(crate) unsafe fn take<M>(cell: CellPtr, node: NonNull<Node>) -> M {
    // SAFETY: popped: the caller's own.
    let is_request = unsafe { Node::vt(node) }.tag == tag::NARROWED_CALL;
    let way: *const Way = if is_request {
        // SAFETY: of this tag, with a request that is still there, and which begins with its way.
        unsafe { call::request_place(node) }
    } else {
        node.as_ptr().wrapping_byte_add(offset_of!(NarrowNode<()>, way)).cast()
    };
    // Given back also if the conversion panics: by then the `Sub` is out.
    let _emptied = Emptied { cell, node, is_request };
    // SAFETY: there, and read once.
    let held = unsafe { way.read() };
    let table = held.table();
    let sub: *const () = if is_request {
        way.wrapping_byte_add(table.in_request).cast()
    } else {
        node.as_ptr().wrapping_byte_add(table.in_message).cast_const().cast()
    };
    let mut msg = MaybeUninit::<M>::uninit();
    // SAFETY: the `Sub` is where the table says, and the way ends with the receiver's messages (module's text).
    unsafe { held.convert(sub, msg.as_mut_ptr().cast()) };
    // SAFETY: written just above.
    unsafe { msg.assume_init() }
}

/// A node whose content is out, when this is dropped.
struct Emptied {
    cell: CellPtr,
    node: NonNull<Node>,
    is_request: bool,
}

impl Drop for Emptied {
    fn drop(&mut self) {
        if self.is_request {
            // SAFETY: made by `take`, which has moved the request out, once.
            unsafe { call::request_taken(self.node) };
        } else {
            // SAFETY: as above; `take`'s caller owns the cell and has no reference to its cursor.
            unsafe { self.cell.cursor().retire(self.node) };
        }
    }
}

/// The function behind [`NodeVt::free`].
unsafe fn free<Sub>(node: NonNull<Node>) {
    let whole = node.cast::<ManuallyDrop<NarrowNode<Sub>>>().as_ptr();
    // SAFETY: made by `cast` as a box; its content was moved out, so only the memory goes.
    drop(unsafe { Box::from_raw(whole) });
}

/// The function behind [`NodeVt::dispose`]: the memory goes first, as in [`message`].
unsafe fn dispose<Sub>(node: NonNull<Node>) {
    // SAFETY: made by `cast` as a box; an unread node is whole.
    let whole = unsafe { Box::from_raw(node.cast::<NarrowNode<Sub>>().as_ptr()) };
    let NarrowNode { sub, .. } = *whole;
    drop(sub);
}

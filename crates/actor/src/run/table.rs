//! What the core knows of an actor's type: made from it once, and named by each of its cells.

use std::marker::PhantomData;

use whitebeam_scheduler::RunVt;

use super::{Actor, CellPtr, Shape, end, run, settle, shape::has_terminate};
use crate::{
    cell::{ActorVt, class_of, is_boxed, type_name},
    crash::StateText,
    named::MessageType,
};

/// The tables of an actor's type.
pub(crate) struct Table<A>(PhantomData<A>);

impl<A: Actor> Table<A> {
    pub(crate) const VT: ActorVt = ActorVt {
        run: RunVt { run: run::<A>, settle, dropped: end::dropped },
        drop_state: drop_state::<A>,
        needs_drop: is_boxed::<A>() || std::mem::needs_drop::<A>(),
        ends_inline: !has_terminate::<A>(),
        is_process: A::FORM.is_process(),
        cell_size: class_of::<A>().size(),
        shape: Shape::of::<A>(),
        type_name: type_name::<A>,
        message: MessageType::of::<A::Msg>(),
        report_state: report_state::<A>,
    };
}

unsafe fn drop_state<A: Actor>(cell: CellPtr) {
    // SAFETY: the table is `A`'s; the rest is the caller's word.
    unsafe { cell.drop_state::<A>() };
}

unsafe fn report_state<A: Actor>(cell: CellPtr) -> Option<String> {
    // SAFETY: the table is `A`'s; the rest is the caller's word.
    StateText::of(unsafe { &*cell.state::<A>() })
}

//! What an actor's functions are laid out like: known from their types, before any of them runs.

use std::{
    alloc::Layout,
    mem::{align_of, size_of},
};

use crate::{
    Actor, Context, ExitReason,
    actor::Nothing,
    cell::is_boxed,
    frame::{self, Inner},
};

/// Bytes that a process of a type has allocated beside its cell, at times.
pub(crate) struct Shape {
    /// The state, if it is boxed.
    pub(crate) boxed: usize,
    /// The buffer that a suspended `handle` is in.
    pub(crate) handle: usize,
    /// That of a suspended `init`, or body. Of an `init` about: it is wrapped.
    pub(crate) init: usize,
    /// About that of a suspended `terminate`.
    pub(crate) terminate: usize,
}

impl Shape {
    pub(crate) const fn of<A: Actor>() -> Self {
        Shape {
            boxed: if is_boxed::<A>() { size_of::<A>() } else { 0 },
            handle: handle::<A, _, _>(&A::handle),
            init: init::<A, _, _>(&A::init),
            terminate: terminate::<A, _, _>(&A::terminate),
        }
    }
}

/// Whether `A` has a `terminate` of its own: one whose future is not laid out as the default's.
pub(crate) const fn has_terminate<A: Actor>() -> bool {
    const fn is_nothing<'a, A: Actor, F, R>(_: &F) -> bool
    where
        F: FnOnce(&'a mut A, &'a ExitReason, &'a mut Context<A>) -> R,
    {
        size_of::<R>() == size_of::<Nothing>() && align_of::<R>() == align_of::<Nothing>()
    }
    !is_nothing::<A, _, _>(&A::terminate)
}

const fn handle<'a, A: Actor, F, R>(_: &F) -> usize
where
    F: FnOnce(&'a mut A, A::Msg, &'a mut Context<A>) -> R,
{
    frame::buffer_size::<A>(Layout::new::<R>())
}

const fn init<'a, A: Actor, F, R>(_: &F) -> usize
where
    F: FnOnce(A::Args, &'a mut Context<A>) -> R,
{
    if A::FORM.is_process() {
        return frame::buffer_size::<A>(Layout::new::<R>());
    }
    // With what starts it: the arguments until it has begun, or else the future; who is told; where the state goes.
    frame::buffer_size::<A>(Layout::new::<(Inner<R>, A::Args, [usize; 6])>())
}

const fn terminate<'a, A: Actor, F, R>(_: &F) -> usize
where
    F: FnOnce(&'a mut A, &'a ExitReason, &'a mut Context<A>) -> R,
{
    frame::buffer_size::<A>(Layout::new::<(Inner<R>, ExitReason, [usize; 3])>())
}

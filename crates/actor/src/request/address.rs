//! Whom a request is for.

use std::{fmt, marker::PhantomData, sync::Arc};

use crate::{
    CallError, SendFailure,
    call::Unsent,
    cell::{CellPtr, CellRef},
    child_ref::Slot,
    named::Place,
};

pub(super) enum Address<'a> {
    Borrowed(CellPtr, PhantomData<&'a ()>),
    Owned(CellRef),
    /// An incarnation of a child; the slot says what it means if that one has ended.
    Child(CellRef, ChildSlot<'a>),
    /// A child without an incarnation: the call has failed before it is sent.
    Nobody(SendFailure),
    /// Whoever has a name when the request is sent.
    Named(Arc<Place>),
    /// A process whose priority lane the request is for. Until it is sent: then it is `Owned`.
    Urgent(CellRef),
}

pub(super) enum ChildSlot<'a> {
    Borrowed(&'a Arc<Slot>),
    Owned(Arc<Slot>),
}

impl Address<'_> {
    #[inline]
    pub(super) fn cell(&self) -> Option<CellPtr> {
        match self {
            Address::Borrowed(cell, _) => Some(*cell),
            Address::Owned(cell) | Address::Child(cell, _) => Some(cell.ptr()),
            Address::Nobody(_) | Address::Named(_) | Address::Urgent(_) => None,
        }
    }

    /// As [`cell`](Self::cell), of a request that is sent now: a name is looked up.
    #[cold]
    pub(super) fn look_up(&mut self) -> Option<CellPtr> {
        match self {
            Address::Named(place) => {
                *self = match place.find() {
                    Ok(cell) => Address::Owned(cell),
                    Err(why) => Address::Nobody(*why),
                };
            }
            Address::Urgent(cell) => *self = Address::Owned(cell.clone()),
            _ => {}
        }
        self.cell()
    }

    pub(super) fn is_urgent(&self) -> bool {
        matches!(self, Address::Urgent(_))
    }

    /// Why nobody took the request.
    #[cold]
    pub(super) fn why(&self) -> &SendFailure {
        match self {
            Address::Borrowed(..) | Address::Owned(_) | Address::Named(_) | Address::Urgent(_) => {
                &SendFailure::NoProc
            }
            Address::Child(_, ChildSlot::Borrowed(slot)) => slot.refusal(),
            Address::Child(_, ChildSlot::Owned(slot)) => slot.refusal(),
            Address::Nobody(why) => why,
        }
    }

    /// Why the request, an `M`, was not sent.
    #[cold]
    pub(super) fn not_sent<M>(&self, unsent: Unsent) -> CallError {
        match unsent {
            Unsent::Closed => self.refusal::<M>(),
            Unsent::Full => CallError::Full,
        }
    }

    /// Why nobody took the request, an `M`.
    #[cold]
    pub(super) fn refusal<M>(&self) -> CallError {
        match self.why() {
            SendFailure::NoProc => CallError::NoProc,
            SendFailure::Restarting => CallError::Restarting,
            SendFailure::Full => CallError::Full,
            SendFailure::WrongMessage { found } => CallError::WrongMessage {
                expected: std::any::type_name::<M>(),
                found: found.as_str(),
            },
        }
    }
}

impl fmt::Debug for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cell(), self) {
            (Some(cell), _) => write!(f, "{}", cell.pid()),
            (None, Address::Named(place)) => place.fmt(f),
            (None, _) => f.write_str("nobody now"),
        }
    }
}

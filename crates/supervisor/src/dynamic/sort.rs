//! What all dynamic supervisors have in common, whatever their children are.
#![expect(
    unnameable_types,
    missing_debug_implementations,
    reason = "named by the hidden items of a sealed trait"
)]

use std::fmt;

use whitebeam_actor::{Actor, ChildTag, Pid, Reply};

use super::handle::Count;
use crate::{
    ChildCounts, ChildEntry, ChildError, ChildSpec, Intensity, SpecError,
    child::Sealed,
    tree::{Looked, Looks},
};

/// What a dynamic supervisor's children are: actors of one kind, which is any [`Actor`], or [`Any`](crate::Any).
///
/// There are no other implementations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an actor nor `Any`",
    note = "children of one kind: `DynamicSupervisor::<A>::new()`; of any kinds: `DynamicSupervisor::any()`"
)]
pub trait Sort: Sized + Send + 'static {
    /// What is known of all children.
    #[doc(hidden)]
    type Template: Clone + fmt::Debug + Send + 'static;
    /// What the supervisor is asked.
    #[doc(hidden)]
    type Request: From<Admin> + Looks;
    /// The supervisor.
    #[doc(hidden)]
    type Process: Actor<Args = (Self::Template, Settings, Count), Msg = Self::Request>;

    /// What is wrong with a template.
    #[doc(hidden)]
    fn check(template: &Self::Template, _: Sealed) -> Result<(), SpecError>;
}

/// What a supervisor was built to do with its children, of whatever kinds.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) max_children: usize,
    pub(crate) intensity: Intensity,
    pub(crate) serial: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_children: usize::MAX, intensity: Intensity::default(), serial: false }
    }
}

/// A child that somebody means.
pub struct Whom {
    /// Its process, when somebody asked.
    pub(crate) pid: Option<Pid>,
    /// Of one with an address, which goes on over its restarts.
    pub(crate) tag: Option<ChildTag>,
}

/// What a supervisor is asked, of whatever kinds its children are.
pub enum Admin {
    Terminate(Whom, Reply<Result<(), ChildError>>),
    WhichChildren(Reply<Vec<ChildEntry>>),
    CountChildren(Reply<ChildCounts>),
    GetChildspec(Whom, Reply<Result<ChildSpec, ChildError>>),
    SetMaxChildren(usize, Reply<()>),
    /// For a handle that was found.
    Count(Reply<Count>),
    /// Somebody makes a picture of the tree: the first so many children, and all supervisors.
    Look(usize, Reply<Looked>),
}

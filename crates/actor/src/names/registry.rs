//! Registries: who keeps names for others than one runtime.

use std::fmt;

use crate::{Name, Pid, Target, cell::CellRef};

/// Keeps names: OTP's `via`. A [`Name::via`] leads to one wherever a name may stand.
///
/// The runtime calls it:
///
/// | function | when | on the thread |
/// | --- | --- | --- |
/// | `register` | a process starts or is registered; it can be found by its pid already, and has not run | of who starts or registers it |
/// | `unregister` | a process that has names ends, before any EXIT or DOWN of it is sent; or its name is taken from it | of the worker that ends it, or of who takes it |
/// | `whereis` | a name is used | of who uses it |
///
/// Whatever it does there, no lock of the runtime's is held: it may look names up and send. It holds up a worker:
/// it should be brief, and must not wait for a process. A panic in it ends where it was called: a start or a
/// registration is refused with [`NameError::Panicked`](crate::NameError::Panicked), a look-up finds nobody, and
/// an end goes on.
///
/// It must tell processes by pid and let a name go at once when it is told: then a name is free when the end of
/// its owner can be seen. One thing it has to look after itself: a process that ends while somebody else
/// registers it may be told to it as an owner when it has ended already; it is taken back at once, and
/// [`Registrant::is_alive`] says so meanwhile.
///
/// [`Directory`](crate::Directory) is one, in memory.
pub trait Registry: Send + Sync + 'static {
    /// Gives a name to a process.
    ///
    /// # Errors
    /// Who has it, if somebody has: the very process as well.
    fn register(&self, key: &Name, process: &Registrant) -> Result<(), Pid>;

    /// Takes a name from `owner`. `false`: it had not got it, and nothing is changed.
    fn unregister(&self, key: &Name, owner: Pid) -> bool;

    /// Who has a name.
    fn whereis(&self, key: &Name) -> Option<Pid>;
}

/// A process that is to have a name, without the type of its messages. Cheap to clone; as an address, it keeps
/// nothing running.
#[derive(Clone)]
pub struct Registrant(CellRef);

impl Registrant {
    pub(super) fn new(cell: &CellRef) -> Self {
        Registrant(cell.clone())
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.0.ptr().pid()
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        !self.0.ptr().is_ended()
    }
}

impl Target for Registrant {
    fn target(&self) -> Option<Pid> {
        Some(self.pid())
    }
}

impl fmt::Debug for Registrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registrant({})", self.pid())
    }
}

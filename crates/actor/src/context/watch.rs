//! Less frequent ways to watch others and to be addressed: monitors of names, aliases, labels.

use super::Context;
use crate::{
    Actor, Alias, Down, MonitorAlias, MonitorRef, Name, Pid, PriorityRef, Relations, Target,
    alias::Use,
    ext::Ext,
    monitor::{self, Whom},
};

// For the `unsafe` blocks see above `impl Context` in the parent.
impl<A: Actor> Context<A> {
    /// Watches whoever has `name` now: [`monitor`](Self::monitor) of a [`Name`], for who has text. `down.name` is
    /// the name. Who takes the name later is not watched.
    pub fn monitor_name(
        &mut self,
        name: impl Into<Name>,
        f: impl FnOnce(Down) -> A::Msg + Send + 'static,
    ) -> MonitorRef {
        self.monitor(name.into(), f)
    }

    /// As [`monitor`](Self::monitor), with an alias to which the other may answer: see [`MonitorAlias`] for how
    /// long it is on. With `Reply` exactly one of the two comes, the first message through the alias or the
    /// monitor's.
    pub fn monitor_alias(
        &mut self,
        to: impl Target,
        kind: MonitorAlias,
        f: impl FnOnce(Down) -> A::Msg + Send + 'static,
    ) -> (MonitorRef, Alias<A::Msg>) {
        let whom = self.whom(&to);
        // SAFETY: see above the parent's impl.
        let monitor = unsafe { monitor::monitor(self.own(), whom, Some(kind), f) };
        (monitor, Alias::new(self.own(), monitor.id))
    }

    /// The address of this process's priority lane, to be given to those who may overtake others. Its messages are
    /// ordinary ones if the process was started without
    /// [`SpawnOptions::priority_lane`](crate::SpawnOptions::priority_lane).
    pub fn priority_ref(&self) -> PriorityRef<A::Msg> {
        PriorityRef::new(self.cell.to_ref())
    }

    /// As [`monitor`](Self::monitor); the message is one of the priority lane, if there is one: it is handled before
    /// whatever else waits. (OTP: `monitor(process, P, [priority])`.)
    pub fn monitor_priority(
        &mut self,
        to: impl Target,
        f: impl FnOnce(Down) -> A::Msg + Send + 'static,
    ) -> MonitorRef {
        let whom = Whom { is_urgent: true, ..self.whom(&to) };
        // SAFETY: see above the parent's impl.
        unsafe { monitor::monitor(self.own(), whom, None, f) }
    }

    /// As [`link`](Self::link); if exits are trapped, the message of the other's end is one of the priority lane, if
    /// there is one. An existing link becomes such a one, for this process; the other's side of it does not. (OTP:
    /// `link(P, [priority])`.)
    pub fn link_priority(&mut self, to: impl Target) {
        self.link_as(&to, true);
    }

    /// As [`demonitor`](Self::demonitor), and if the monitor's message waits in the mailbox it is removed: after
    /// this it is never handled. The answer is the same: `true` if the monitor was active.
    ///
    /// Looks through the mailbox if it was not.
    pub fn demonitor_flush(&mut self, monitor: MonitorRef) -> bool {
        // SAFETY: see above the parent's impl: the turn holds no reference to the cursor while a handler runs.
        unsafe { monitor::demonitor_flush::<A::Msg>(self.own(), monitor) }
    }

    /// Makes an alias of this process, which is on until [`unalias`](Self::unalias).
    pub fn alias(&mut self) -> Alias<A::Msg> {
        self.new_alias(Use::Stays)
    }

    /// Makes an alias of this process for one message: the first through it switches it off.
    pub fn alias_once(&mut self) -> Alias<A::Msg> {
        self.new_alias(Use::Once)
    }

    fn new_alias(&mut self, how: Use) -> Alias<A::Msg> {
        // SAFETY: see above the parent's impl.
        let ext = unsafe { Ext::of(self.own()) };
        let id = ext.next_id();
        ext.aliases.insert(id, how);
        Alias::new(self.own(), id)
    }

    /// Switches an alias of this process off: nothing more comes through it into the mailbox; what is there stays.
    /// `false`: it was off, or is another process's, on which this has no effect.
    pub fn unalias(&mut self, alias: &Alias<A::Msg>) -> bool {
        let Some(id) = alias.id_of(self.own()) else { return false };
        // SAFETY: see above the parent's impl.
        let ext = unsafe { Ext::get(self.own()) };
        ext.is_some_and(|ext| ext.aliases.remove(&id).is_some())
    }

    /// Sets what this process is called where people read of it, see
    /// [`SpawnOptions::label`](crate::SpawnOptions::label).
    pub fn set_label(&mut self, label: impl Into<Name>) {
        Ext::set_label(self.own(), Some(label.into()));
    }

    /// Whom this process is linked to, monitors and is monitored by, as far as it has heard.
    pub fn relations(&self) -> Relations {
        // SAFETY: see above the parent's impl: it is read.
        unsafe { Relations::of(self.own()) }
    }

    pub(super) fn whom(&self, to: &impl Target) -> Whom {
        let shared = self.cell.shared();
        let pid = shared.pid_of(to).unwrap_or(Pid::from_bits(0));
        let cell = shared.resolve(pid);
        Whom { pid, cell, name: to.name().cloned(), is_urgent: false }
    }
}

//! How a process is to be started, beside its arguments.

use crate::Name;

/// Options of a process. Every way to start something takes the same value.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until something is started with them"]
pub struct SpawnOptions {
    name: Option<Name>,
    label: Option<Name>,
    budget: Option<u32>,
}

impl SpawnOptions {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers the process under `name`, of whichever kind, before its `init` runs. If another has it, nothing
    /// is started: [`StartError::NameTaken`](crate::StartError::NameTaken). Free again when the process's end can
    /// be seen.
    ///
    /// What is no name, and a registry that panics, is [`StartError::Invalid`](crate::StartError::Invalid) with a
    /// [`NameError`](crate::NameError) in it. Whatever the error, `init` does not run, who is to be linked is not
    /// linked and hears of no EXIT, and who is to monitor gets its message with `NoProc`.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What the process is called where people read of it: see [`Info::label`](crate::Info::label). Any number of
    /// processes may have the same; nobody is found by it. The process may
    /// [change it](crate::Context::set_label).
    pub fn label(mut self, label: impl Into<Name>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Messages that the process may handle in a turn before it goes behind the others, if that is less than
    /// [`Builder::budget`](crate::Builder::budget) gives to all; at least one. For one that is to leave more to others:
    /// a small budget costs it a way through the queue more often. There are no priorities.
    pub fn budget(mut self, messages: u32) -> Self {
        self.budget = Some(messages.max(1));
        self
    }

    /// Its own budget of messages.
    pub(crate) fn own_budget(&self) -> Option<u32> {
        self.budget
    }

    /// Name and label.
    pub(crate) fn into_parts(self) -> (Option<Name>, Option<Name>) {
        (self.name, self.label)
    }
}

/// What a process knows of its start.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StartInfo {
    /// 1 for the first start, 2 for the first restart, and so on.
    pub attempt: u32,
    /// How the incarnation before this one ended.
    pub last_exit: Option<crate::ExitReason>,
}

impl StartInfo {
    /// A first start.
    pub fn first() -> Self {
        StartInfo { attempt: 1, last_exit: None }
    }

    /// The start after an incarnation that ended with `last_exit`.
    pub fn after(&self, last_exit: crate::ExitReason) -> Self {
        StartInfo { attempt: self.attempt.saturating_add(1), last_exit: Some(last_exit) }
    }
}

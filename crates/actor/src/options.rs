//! How a process is to be started, beside its arguments.

use crate::{
    Name, Overflow, StartError, Unread,
    bound::{Bound, Wanted},
    cell::{CellPtr, bit, flag},
    ext::Ext,
    inspect::level,
    lane,
    named::MessageType,
    unread::Policy,
    watermark::Levels,
};

/// Options of a process. Every way to start something takes the same value.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until something is started with them"]
pub struct SpawnOptions {
    name: Option<Name>,
    label: Option<Name>,
    /// What few processes have: a word for all of it, since options are moved with each spawn.
    extras: Option<Box<Extras>>,
}

/// Options of few processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    bound: Option<Wanted>,
    budget: Option<u32>,
    has_lane: bool,
    unread: Option<Policy>,
    watermark: Option<Levels>,
    keep_last: usize,
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

    /// The name that was [given](Self::name).
    pub fn given_name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// What the process is called where people read of it: see [`Info::label`](crate::Info::label). Any number of
    /// processes may have the same; nobody is found by it. The process may
    /// [change it](crate::Context::set_label).
    pub fn label(mut self, label: impl Into<Name>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// At most `limit` messages wait in the mailbox, and `overflow` says what becomes of those that find it full.
    ///
    /// What counts is what others send, casts and requests, from when they are sent until they are handled (or taken,
    /// in the process form: a receive by choice leaves those in the mailbox that it refuses). Signals, messages that
    /// are born of them, of timers or of the process's own doing, and what comes through an [`Alias`](crate::Alias),
    /// are never refused, dropped or counted. Nor is what comes by [priority](crate::PriorityRef) or was
    /// [kept](crate::Unread::keep) ever refused or dropped; but it takes up room (not with [`Overflow::DropOldest`]). Unless
    /// this is said, a mailbox has no bound.
    ///
    /// A sender may wait for room: [`ActorRef::cast_wait`](crate::ActorRef::cast_wait),
    /// [`Call::wait_for_room`](crate::Call::wait_for_room). First come first served, and nobody comes in before those
    /// who wait. How many messages were dropped is in [`Info::dropped`](crate::Info::dropped).
    ///
    /// A `limit` of 0 is an error at the start: [`StartError::Invalid`](crate::StartError::Invalid) with a
    /// [`ZeroBound`](crate::ZeroBound). One of 2^31 and more means 2^31 - 1.
    ///
    /// Costs those who send to this process one locked operation for each message, with
    /// [`Overflow::DropOldest`] a lock at both ends; the process about half a kilobyte. Others pay nothing.
    ///
    /// ```
    /// use whitebeam_actor::{Mailbox, Overflow, Runtime, SendFailure, SpawnOptions};
    ///
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let two = SpawnOptions::new().bounded(2, Overflow::Reject);
    ///     let slow = rt.with(two).spawn_fn(|mut mailbox: Mailbox<u32>| async move {
    ///         assert_eq!([mailbox.recv().await, mailbox.recv().await], [1, 2]);
    ///         Ok(())
    ///     });
    ///     slow.cast(1)?;
    ///     slow.cast(2)?;
    ///     // It has not run yet.
    ///     let refused = slow.cast(3).unwrap_err();
    ///     assert_eq!((refused.why(), refused.into_message()), (SendFailure::Full, 3));
    ///     assert!(rt.down(&slow).await.reason.is_normal());
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Differences from OTP
    ///
    /// OTP's mailboxes have no bound.
    pub fn bounded(mut self, limit: usize, overflow: Overflow) -> Self {
        self.extras().bound = Some(Wanted::new(limit, overflow));
        self
    }

    /// Messages that the process may handle in a turn before it goes behind the others, if that is less than
    /// [`Builder::budget`](crate::Builder::budget) gives to all; at least one. For one that is to leave more to others:
    /// a small budget costs it a way through the queue more often. There are no priorities.
    pub fn budget(mut self, messages: u32) -> Self {
        self.extras().budget = Some(messages.max(1));
        self
    }

    /// Gives the process a priority lane: what is sent through its [`PriorityRef`](crate::PriorityRef), which only it can
    /// make, is handled before whatever else waits, and so are the messages of
    /// [`monitor_priority`](crate::Context::monitor_priority) and [`link_priority`](crate::Context::link_priority).
    /// Without it, as it is by default, all of these are ordinary messages. (OTP: the receiver's opt-in of EEP 76.)
    ///
    /// Costs a process the rarely used part of its cell, and each priority message a look around.
    pub fn priority_lane(mut self) -> Self {
        self.extras().has_lane = true;
        self
    }

    /// What becomes of the messages of others that the process leaves unread. By default they are
    /// [dropped](Unread::dropped).
    ///
    /// A policy for messages of another type than the process's is
    /// [`StartError::Invalid`](crate::StartError::Invalid) with an [`OptionsError`](crate::OptionsError) in it, and
    /// nothing is started.
    pub fn unread(mut self, policy: Unread) -> Self {
        self.extras().unread = Some(policy.0);
        self
    }

    /// From how many messages on the process's mailbox is told of as long, and down to how many as short again, instead
    /// of [the runtime's numbers](crate::Builder::mailbox_watermark), as are the rules for both. `high` 0: never.
    pub fn watermark(mut self, high: usize, low: usize) -> Self {
        self.extras().watermark = Some(Levels::new(high, low));
        self
    }

    /// Has the process keep the names of the last so many messages that it took, for
    /// [`Info::last_messages`](crate::Info::last_messages): they can be read while it is stuck with one of them. For
    /// system processes: each message goes the long way round its loop then, which costs some hundred nanoseconds.
    ///
    /// The names are those of [`Actor::msg_name`](crate::Actor::msg_name); of an actor that gives none, and in the
    /// process form, the type of the messages.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime, SpawnOptions};
    /// # struct Door;
    /// enum Msg { Open, Close(Reply<()>) }
    /// # impl Actor for Door {
    /// #     type Args = ();
    /// #     type Msg = Msg;
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Door) }
    /// #     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         if let Msg::Close(reply) = msg { reply.send(()) }
    /// #         Ok(())
    /// #     }
    /// #     fn msg_name(msg: &Msg) -> Option<&'static str> {
    /// #         Some(match msg { Msg::Open => "Open", Msg::Close(_) => "Close" })
    /// #     }
    /// # }
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let door = rt.with(SpawnOptions::new().keep_last(2)).start::<Door>(()).await?;
    ///     door.cast(Msg::Open)?;
    ///     door.cast(Msg::Open)?;
    ///     door.call(Msg::Close).await?;
    ///     assert_eq!(rt.info(&door).expect("it lives").last_messages, ["Open", "Close"]);
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep_last(mut self, messages: usize) -> Self {
        self.extras().keep_last = messages;
        self
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// What few processes have, if it is right for one of these messages.
    #[inline]
    pub(crate) fn take_extras(
        &mut self,
        message: &MessageType,
    ) -> Result<Option<Box<Extras>>, StartError> {
        match self.extras.take() {
            None => Ok(None),
            Some(extras) => extras.check(message).map(Some),
        }
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.name.is_none() && self.label.is_none() && self.extras.is_none()
    }

    /// Name and label.
    pub(crate) fn into_parts(self) -> (Option<Name>, Option<Name>) {
        (self.name, self.label)
    }
}

impl Extras {
    #[cold]
    fn check(self: Box<Self>, message: &MessageType) -> Result<Box<Self>, StartError> {
        if let Some(bound) = &self.bound {
            bound.check().map_err(|error| StartError::Invalid(std::sync::Arc::new(error)))?;
        }
        if let Some(policy) = &self.unread {
            policy.check(message.id, message.name())?;
        }
        Ok(self)
    }

    /// Bounds the mailbox of a process that is not published yet, before anything is put there. Called by its spawner.
    #[cold]
    pub(crate) fn bound(&self, cell: CellPtr, name: Option<&Name>) {
        let Some(bound) = self.bound else { return };
        let bound = bound.with_limit(|limit| match cell.shared().observed() {
            Some(observed) => observed.mailbox_bound((cell.vt().type_name)(), name, limit),
            None => limit,
        });
        Bound::install(cell, bound);
    }

    /// Has a process that is not published yet begin with the others of them. Called by its spawner.
    #[cold]
    pub(crate) fn apply(self, cell: CellPtr, ext: &mut Ext) {
        if let Some(budget) = self.budget {
            cell.header().flags.put(flag::PACED);
            cell.header().set(bit::TURNS);
            ext.budget = budget;
        }
        if self.has_lane {
            lane::open(ext);
            cell.header().flags.put(flag::LANE);
        }
        ext.watermark.levels = self.watermark;
        if self.keep_last > 0 {
            level::keep_last(cell, self.keep_last);
        }
        if let Some(policy) = self.unread {
            policy.begin(cell, ext);
        }
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

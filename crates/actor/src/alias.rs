//! Aliases: addresses of one process that it can switch off.
//!
//! A message that is sent through an alias travels as a signal, in the one stream with everything else, and
//! becomes a message where the stream is drained, if the alias is on: what comes later than the switch does
//! not reach the mailbox. What is on is in the owner's part, by number; a monitor's alias has the monitor's.
#![expect(unsafe_code, reason = "the owner's part of a cell is reached by pointer")]

use std::{fmt, marker::PhantomData};

use whitebeam_sync::inbox::Cursor;

use crate::{
    cell::{CellPtr, CellRef},
    contain::contain,
    ext::Ext,
    message::{self, Carried},
    signal::{self, Signal},
};

/// An address of a process that the process can switch off, as a whole and for all who have it: what is sent
/// through it then is dropped, and never reaches the mailbox. Made by [`Context::alias`](crate::Context::alias),
/// [`Context::alias_once`](crate::Context::alias_once) and
/// [`Context::monitor_alias`](crate::Context::monitor_alias).
///
/// Whom it leads to cannot be asked, and only that process can switch it off.
///
/// ```
/// # use whitebeam_actor::{Actor, Alias, Context, ExitReason, Reply, Runtime};
/// struct Door;
/// enum Msg { Open(Reply<Alias<Msg>>), Knock }
///
/// impl Actor for Door {
///     type Args = ();
///     type Msg = Msg;
///     async fn init((): (), _cx: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Door) }
///     async fn handle(&mut self, msg: Msg, cx: &mut Context<Self>) -> Result<(), ExitReason> {
///         match msg {
///             // Good for one knock.
///             Msg::Open(reply) => reply.send(cx.alias_once()),
///             Msg::Knock => cx.stop(ExitReason::Shutdown),
///         }
///         Ok(())
///     }
/// }
///
/// let rt = Runtime::simulated(1)?;
/// rt.block_on(async {
///     let door = rt.start::<Door>(()).await?;
///     let end = rt.down(&door);
///     door.call(Msg::Open).await?.send(Msg::Knock);
///     assert!(end.await.reason.is_orderly());
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Alias<M> {
    cell: CellRef,
    id: u64,
    _message: PhantomData<fn(M)>,
}

/// When the alias of a monitor is switched off, beside by
/// [`Context::unalias`](crate::Context::unalias) and by the end of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MonitorAlias {
    /// By nothing else. (OTP: `explicit_unalias`.)
    Explicit,
    /// With the monitor: when that is taken back, or its message comes. (`demonitor`.)
    Demonitor,
    /// As `Demonitor`, and by the first message through it, which takes the monitor back as well: either that
    /// message comes or the monitor's. (`reply_demonitor`.)
    Reply,
}

/// What becomes of an alias that a message comes through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Stays,
    Once,
    /// And the monitor of the same number goes with it.
    OnceWithMonitor,
}

impl From<MonitorAlias> for Use {
    fn from(kind: MonitorAlias) -> Self {
        match kind {
            MonitorAlias::Explicit | MonitorAlias::Demonitor => Use::Stays,
            MonitorAlias::Reply => Use::OnceWithMonitor,
        }
    }
}

impl<M: Send + 'static> Alias<M> {
    /// Sends a message, which is dropped if the alias is off when it arrives, or its process has ended: nobody
    /// is told. Never waits; two allocations.
    ///
    /// What one sender sends keeps its order, whether through an alias or not. A mailbox's
    /// [bound](crate::SpawnOptions::bounded) neither refuses it nor counts it: its receiver has asked for it.
    pub fn send(&self, msg: M) {
        let is_bounded = self.cell.ptr().header().is_bounded();
        let message =
            if is_bounded { message::carried_uncounted(msg) } else { message::carried(msg) };
        let signal = Signal::Aliased { id: self.id, message };
        drop(signal::send(self.cell.ptr(), signal));
    }
}

impl<M> Alias<M> {
    /// A new alias of `owner`, if `id` is none of its monitors', or that of the monitor.
    pub(crate) fn new(owner: CellPtr, id: u64) -> Self {
        Alias { cell: owner.to_ref(), id, _message: PhantomData }
    }

    /// Its number, if it is `owner`'s.
    pub(crate) fn id_of(&self, owner: CellPtr) -> Option<u64> {
        (self.cell.ptr() == owner).then_some(self.id)
    }
}

/// A message has come through an alias: into the mailbox, if the alias is on.
pub(crate) fn receive(cell: CellPtr, cursor: &mut Cursor, id: u64, message: Carried) {
    // SAFETY: called in the drain of the owner's run.
    let ext = unsafe { Ext::get(cell) };
    let on = ext.and_then(|ext| {
        let on = ext.aliases.get(&id).copied()?;
        if on != Use::Stays {
            ext.aliases.remove(&id);
        }
        let monitor = if on == Use::OnceWithMonitor { ext.monitors.remove(&id) } else { None };
        Some(monitor)
    });
    match on {
        Some(monitor) => {
            signal::append(cell, cursor, message.into_node());
            // With its constructor, which is the user's.
            let _ =
                contain(|| monitor.map(|watched| watched.forget((cell.pid().in_runtime(), id))));
        }
        None => {
            cell.header().took(u32::from(message.is_counted()));
            let _ = contain(|| drop(message));
        }
    }
}

impl<M> Clone for Alias<M> {
    fn clone(&self) -> Self {
        Alias { cell: self.cell.clone(), id: self.id, _message: PhantomData }
    }
}

impl<M> fmt::Debug for Alias<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alias(..)")
    }
}

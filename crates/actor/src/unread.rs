//! What becomes of messages that nobody has read when their process ends.
//!
//! ```text
//!   the mailbox of an ended process
//!     requests of calls ........ answered with the exit reason
//!     what it sent itself, or the runtime in its name (timers, DOWN, EXIT) ........ dropped
//!     messages of others ........ by the policy:
//!        dropped
//!        hook ........ given to a function, one at a time, off the critical path, see `end::dispose`
//!        kept ........ moved to a Keeper before anybody is told of the end, and from there into the mailbox of the
//!                      next process that is started with the same options, before that is published
//! ```
//!
//! The message in hand when the process ended is none of them: it was read.
//!
//! A kept message travels in a node of its own around the one that it was sent in (`kept`), which says how often
//! it was kept; so a message that ends every process which has it waiting is dropped in the end.
//!
//! Each message that was unread when its process ended goes into one of four counts, once: answered, dropped, hooked, or
//! kept, the last when the next process has it. A keeper that goes with messages in it has dropped them.
#![expect(unsafe_code, reason = "nodes are linked by pointer and carry others inside")]

mod keeper;
mod kept;

use std::{any::TypeId, fmt, ptr::NonNull, sync::Arc};

use whitebeam_sync::{
    inbox::Cursor,
    node::Node,
    shim::atomic::{AtomicU64, Ordering},
};

use self::keeper::Keeper;
pub(crate) use self::kept::{inner, open, set_inner};
use crate::{
    ExitReason, StartError, TypeName,
    cell::CellPtr,
    contain::contain,
    error::OptionsError,
    ext::Ext,
    local,
    message::{self, tag},
    monitor::Down,
    narrow,
    shared::Shared,
};

/// What becomes of the messages that a process leaves unread: for [`SpawnOptions::unread`](crate::SpawnOptions::unread).
///
/// It is about what others have sent it by `cast` or an alias. A request of a call is answered with the exit reason in
/// any case; what is the process's own (timers, DOWN and EXIT messages, `continue_with`) is dropped. The message that was
/// in hand was read.
///
/// | policy | the messages are | when |
/// | --- | --- | --- |
/// | [`dropped`](Self::dropped), the default | dropped | after the end was told |
/// | [`hook`](Self::hook) | given to a function | after the end was told |
/// | [`keep`](Self::keep) | handled by the next incarnation | taken before the end is told |
///
/// [`Handle::unread_counts`](crate::Handle::unread_counts) says how many there were.
#[derive(Clone)]
#[must_use = "a policy does nothing until a process is started with it"]
pub struct Unread(pub(crate) Policy);

#[derive(Clone)]
pub(crate) enum Policy {
    Dropped,
    Hook(Arc<Hook>),
    Keep(Arc<Keeper>),
}

/// A function that is given messages of one type.
pub(crate) struct Hook {
    message: Type,
    /// Takes the message out of a node that is the mailbox's own kind, and frees that.
    call: Box<Call>,
}

type Call = dyn Fn(CellPtr, NonNull<Node>, &Down) + Send + Sync;

/// The type of messages that a policy is for.
#[derive(Clone, Copy)]
pub(crate) struct Type {
    id: TypeId,
    name: TypeName,
}

impl Type {
    fn of<M: 'static>() -> Self {
        Type { id: TypeId::of::<M>(), name: TypeName(std::any::type_name::<M>) }
    }
}

impl Unread {
    /// They are dropped, in slices, where a panic in a destructor goes no further.
    pub fn dropped() -> Self {
        Unread(Policy::Dropped)
    }

    /// `f` is called with each, in their order, those of the priority lane first, and with the process's pid and exit
    /// reason. `M` is the process's type of messages.
    ///
    /// It is called by a worker, outside of any process and after the end was told, and holds that worker up: send them
    /// on if they are to be worked with. A panic in it goes no further, is counted, and costs that one message. A
    /// [`Reply`](crate::Reply) in a message that it drops is answered with the exit reason.
    ///
    /// ```
    /// # use std::sync::mpsc;
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Runtime, SpawnOptions, Unread};
    /// # struct Printer;
    /// # impl Actor for Printer {
    /// #     type Args = ();
    /// #     type Msg = String;
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Printer) }
    /// #     async fn handle(&mut self, _: String, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         Err(ExitReason::custom("out of paper"))
    /// #     }
    /// # }
    /// let (unprinted, left) = mpsc::channel();
    /// let hook = Unread::hook(move |page: String, _| _ = unprinted.send(page));
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let printer = rt.with(SpawnOptions::new().unread(hook)).spawn::<Printer>(());
    ///     printer.cast("page 1".to_owned())?;
    ///     printer.cast("page 2".to_owned())?;
    ///     rt.down(&printer).await;
    ///     rt.sleep(std::time::Duration::from_millis(1)).await;
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// // The first was in hand.
    /// assert_eq!(left.try_iter().collect::<Vec<_>>(), ["page 2"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn hook<M: Send + 'static>(f: impl Fn(M, &Down) + Send + Sync + 'static) -> Self {
        let call = move |cell, node, down: &Down| {
            // SAFETY: `Hook::call`'s contract; the type was checked when the process was started.
            f(unsafe { take::<M>(cell, node) }, down)
        };
        Unread(Policy::Hook(Arc::new(Hook { message: Type::of::<M>(), call: Box::new(call) })))
    }

    /// They are kept for the next incarnation: the next process that is started with this very value or a clone of it,
    /// as a supervisor starts a child anew. That has them in its mailbox before anything that is sent to it. `M` is the
    /// process's type of messages.
    ///
    /// A limit against poison: at most `most` messages are kept at a time, the oldest, and each at most `times` times;
    /// more are dropped. What ends a process when it is handled is in hand then, and never kept.
    ///
    /// They are taken when the process has ended and before that is told, at a cost for each message that waits. Replies
    /// in them are still good. When the last clone of the value goes, as with the supervisor that has the child's spec,
    /// they are dropped, and replies in them answered with the exit reason. Nothing is kept once the runtime shuts down.
    ///
    /// # Limits
    ///
    /// They are taken behind the release of the process's name: who starts the next incarnation not upon its DOWN or
    /// EXIT, but because its name has become free, or upon the DOWN of a monitor that was set when it had ended already,
    /// may be too early, and then the one after that has them. A start that
    /// a [via](crate::Name::via) registry refuses counts as an incarnation. A request through a narrowed address that a
    /// body has refused by choice is kept as a message: its caller waits for the next incarnation or its own timeout.
    ///
    /// One value is for one child. Two processes that live at the same time with the same value keep for each other's
    /// next incarnation.
    ///
    /// ```
    /// # use whitebeam_actor::{Actor, Context, ExitReason, Reply, Runtime, SpawnOptions, Unread};
    /// # struct Sum(u32);
    /// # enum Msg { Add(u32), Crash, Get(Reply<u32>) }
    /// # impl Actor for Sum {
    /// #     type Args = ();
    /// #     type Msg = Msg;
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Sum(0)) }
    /// #     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         match msg {
    /// #             Msg::Add(n) => self.0 += n,
    /// #             Msg::Crash => return Err(ExitReason::custom("as asked")),
    /// #             Msg::Get(reply) => reply.send(self.0),
    /// #         }
    /// #         Ok(())
    /// #     }
    /// # }
    /// let options = SpawnOptions::new().unread(Unread::keep::<Msg>(1_000, 3));
    /// let rt = Runtime::simulated(1)?;
    /// rt.block_on(async {
    ///     let first = rt.with(options.clone()).start::<Sum>(()).await?;
    ///     first.cast(Msg::Crash)?;
    ///     first.cast(Msg::Add(7))?;
    ///     rt.down(&first).await;
    ///     let second = rt.with(options).start::<Sum>(()).await?;
    ///     assert_eq!(second.call(Msg::Get).await?, 7);
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep<M: Send + 'static>(most: usize, times: u32) -> Self {
        Unread(Policy::Keep(Arc::new(Keeper::new(Type::of::<M>(), most, times))))
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::Dropped => f.write_str("Unread::dropped"),
            Policy::Hook(hook) => write!(f, "Unread::hook::<{}>", hook.message.name),
            Policy::Keep(keeper) => keeper.fmt(f),
        }
    }
}

impl Policy {
    /// Whether it is for messages of this type.
    pub(crate) fn check(&self, message: TypeId, name: &'static str) -> Result<(), StartError> {
        let wanted = match self {
            Policy::Dropped => return Ok(()),
            Policy::Hook(hook) => hook.message,
            Policy::Keep(keeper) => keeper.message(),
        };
        if wanted.id == message {
            return Ok(());
        }
        let error = OptionsError::UnreadMessage { policy: wanted.name.as_str(), process: name };
        Err(StartError::Invalid(Arc::new(error)))
    }

    /// Gives a process that is not published yet what was kept for it, and the policy. Called by its spawner.
    pub(crate) fn begin(self, cell: CellPtr, ext: &mut Ext) {
        match self {
            Policy::Dropped => {}
            Policy::Hook(_) => ext.unread = Some(self),
            Policy::Keep(ref keeper) => {
                keeper.give(cell);
                ext.unread = Some(self);
            }
        }
    }
}

/// The process has ended, its inbox is closed, and nobody was told: what is to be kept is taken out of its mailbox.
///
/// # Safety
/// The caller is the owner, `cursor` is the cell's, and no reference to its part is alive.
pub(crate) unsafe fn keep(cell: CellPtr, cursor: &mut Cursor, reason: &ExitReason) {
    // SAFETY: the caller's word.
    let Some(ext) = (unsafe { Ext::get(cell) }) else { return };
    if !matches!(ext.unread, Some(Policy::Keep(_))) {
        return;
    }
    let Some(Policy::Keep(keeper)) = ext.unread.take() else { return };
    if !cell.shared().is_closing() {
        keeper.take(cell, cursor, reason);
    }
    // Perhaps with messages, which are the user's.
    let _ = contain(|| drop(keeper));
}

/// Nothing is left of the mailbox.
///
/// # Safety
/// The caller is the owner of an ended cell, and no reference to its part is alive.
#[inline]
pub(crate) unsafe fn over(cell: CellPtr) {
    // SAFETY: the caller's word.
    let Some(ext) = (unsafe { Ext::get(cell) }) else { return };
    let policy = ext.unread.take();
    // With the hook, which is the user's.
    let _ = contain(|| drop(policy));
}

/// Disposes of what an ended process has left unread.
pub(crate) struct Disposal {
    cell: CellPtr,
    down: Down,
    hook: Option<Arc<Hook>>,
    counts: UnreadCounts,
}

impl Disposal {
    /// # Safety
    /// The caller is the owner of the ended cell, and no reference to its part is alive.
    pub(crate) unsafe fn begin(cell: CellPtr, reason: ExitReason) -> Self {
        // SAFETY: the caller's word.
        let hook = match unsafe { Ext::get(cell) }.and_then(|ext| ext.unread.as_ref()) {
            Some(Policy::Hook(hook)) => Some(hook.clone()),
            _ => None,
        };
        Disposal { cell, down: Down::of(cell.pid(), reason), hook, counts: UnreadCounts::default() }
    }

    /// # Safety
    /// `node` was popped from the cell's mailbox, whose inbox is closed; no reference to its cursor is alive.
    pub(crate) unsafe fn dispose(&mut self, node: NonNull<Node>) {
        // SAFETY: popped: ours.
        let mut vt = unsafe { Node::vt(node) };
        let mut node = node;
        if vt.tag == tag::KEPT {
            // SAFETY: of this tag, and the caller's word.
            node = unsafe { open(self.cell, node) };
            // SAFETY: as above.
            vt = unsafe { Node::vt(node) };
        }
        self.cell.header().took(u32::from(vt.counted));
        let is_request = matches!(vt.tag, tag::CALL | tag::NARROWED_CALL);
        if is_request {
            self.counts.answered += 1;
        } else if vt.counted {
            if let Some(hook) = &self.hook {
                self.counts.hooked += 1;
                let call = || (hook.call)(self.cell, node, &self.down);
                if contain(|| local::dying(&self.down.reason, call)).is_err() {
                    self.counts.hook_panics += 1;
                }
                return;
            }
            self.counts.dropped += 1;
        }
        // A panic was told to the hook; the process has its reason.
        let _ = contain(|| {
            // SAFETY: nobody handled it: its payload is there. `dispose` frees before it drops.
            local::dying(&self.down.reason, || unsafe { (vt.dispose)(node) });
        });
    }
}

impl Drop for Disposal {
    fn drop(&mut self) {
        self.cell.shared().unread().add(&self.counts);
    }
}

/// How many messages processes have left unread since the runtime was built:
/// [`Handle::unread_counts`](crate::Handle::unread_counts). Each such message is in one of the first four. What is
/// [kept](Unread::keep) is in none as long as its next incarnation has not been started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct UnreadCounts {
    /// Requests of calls: answered with the exit reason.
    pub answered: u64,
    /// Messages that were dropped, those that were beyond a limit of [`Unread::keep`] included.
    pub dropped: u64,
    /// Messages that were given to a [hook](Unread::hook).
    pub hooked: u64,
    /// Messages that were given to a next incarnation. One that is kept again counts again.
    pub kept: u64,
    /// Calls of a hook that panicked.
    pub hook_panics: u64,
}

/// A runtime's counts.
#[derive(Default)]
pub(crate) struct Counts {
    answered: AtomicU64,
    dropped: AtomicU64,
    hooked: AtomicU64,
    kept: AtomicU64,
    hook_panics: AtomicU64,
}

impl Counts {
    fn add(&self, more: &UnreadCounts) {
        let each = [
            (&self.answered, more.answered),
            (&self.dropped, more.dropped),
            (&self.hooked, more.hooked),
            (&self.kept, more.kept),
            (&self.hook_panics, more.hook_panics),
        ];
        for (count, more) in each {
            if more != 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn read(&self) -> UnreadCounts {
        UnreadCounts {
            answered: self.answered.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            hooked: self.hooked.load(Ordering::Relaxed),
            kept: self.kept.load(Ordering::Relaxed),
            hook_panics: self.hook_panics.load(Ordering::Relaxed),
        }
    }
}

/// Moves a message out of a node that was taken from the mailbox of an ended process, and frees that.
///
/// # Safety
/// The node is the caller's, counted, no request, and unread, from the mailbox of `cell`, whose messages are `M`s and
/// whose inbox is closed; no reference to its cursor is alive.
unsafe fn take<M>(cell: CellPtr, node: NonNull<Node>) -> M {
    // SAFETY: the caller's word.
    let vt = unsafe { Node::vt(node) };
    if vt.tag == tag::NARROWED {
        // SAFETY: the caller's word, and of this tag.
        return unsafe { narrow::take::<M>(cell, node) };
    }
    // SAFETY: what else is counted and no request is a plain message.
    let msg = unsafe { message::take::<M>(node) };
    // SAFETY: moved out just above. The inbox is closed, so that its cursor stands nowhere.
    unsafe { (vt.free)(node) };
    msg
}

/// A keeper that goes has dropped so many messages.
fn dropped_later(shared: &Shared, messages: u64) {
    shared.unread().add(&UnreadCounts { dropped: messages, ..UnreadCounts::default() });
}

/// So many kept messages have reached a next incarnation.
fn reached_next(shared: &Shared, messages: u64) {
    shared.unread().add(&UnreadCounts { kept: messages, ..UnreadCounts::default() });
}
